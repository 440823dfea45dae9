"""Searches find exactly the files whose metadata, with those of the directories above them, fulfil the query."""

from __future__ import annotations

from typing import Any

from fake_gateway import FakeGateway
from hypothesis import given, settings
from hypothesis import strategies as st

from CTARucioDIRAC.domain.identifiers import ancestors_of, did_of
from CTARucioDIRAC.domain.metadata_query import MetadataQuery, parse_query
from CTARucioDIRAC.gateway.protocol import FileRecord
from CTARucioDIRAC.usecases import find

TOP = "/ctao/lst"
DIRECTORIES = [TOP, f"{TOP}/a", f"{TOP}/a/b", f"{TOP}/c"]
FILES = [f"{directory}/f{i}" for directory in DIRECTORIES for i in range(2)]
VALUES = st.dictionaries(st.sampled_from(["k", "m", "version"]), st.integers(0, 2), max_size=2)
CONDITIONS = st.one_of(
    st.integers(0, 2),
    st.sampled_from(["Any", "Missing"]),
    st.lists(st.integers(0, 2), min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(["=", "!=", "<", ">="]), st.integers(0, 2), min_size=1, max_size=2),
    st.fixed_dictionaries({"nin": st.lists(st.integers(0, 2), min_size=1, max_size=2)}),
)
QUERIES = st.dictionaries(st.sampled_from(["k", "m", "version"]), CONDITIONS, min_size=1, max_size=2)


def rucio() -> FakeGateway:
    fake = FakeGateway()
    fake.add_scope("lst")
    fake.add_containers([did_of(path) for path in DIRECTORIES])
    fake.add_replicas("PIC-DISK", [FileRecord(did_of(path), 1, adler32="00000001") for path in FILES])
    return fake


def merged(metadata: dict[str, dict[str, Any]], path: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for one in (*ancestors_of(path), path):
        values |= metadata.get(one, {})
    return values


def expected(metadata: dict[str, dict[str, Any]], query: MetadataQuery, paths: list[str]) -> list[str]:
    return sorted(path for path in paths if query.matches(merged(metadata, path)))


@settings(max_examples=300, deadline=None)
@given(
    metadata=st.dictionaries(st.sampled_from(DIRECTORIES + FILES), VALUES, max_size=8),
    query=QUERIES,
    below=st.sampled_from(DIRECTORIES),
)
def test_what_is_found_is_what_fulfils_the_query(
    metadata: dict[str, dict[str, Any]], query: dict[str, Any], below: str
) -> None:
    fake, parsed = rucio(), parse_query(query)
    fake.set_metadata({did_of(path): values for path, values in metadata.items()})
    found = [did.name for did in find.find_files(fake, parsed, below, "ctao")]
    assert sorted(found) == expected(metadata, parsed, [path for path in FILES if path.startswith(f"{below}/")])
    found = [did.name for did in find.find_directories(fake, parsed, below, "ctao")]
    inside = [path for path in DIRECTORIES if path == below or path.startswith(f"{below}/")]
    assert sorted(found) == expected(metadata, parsed, inside)
