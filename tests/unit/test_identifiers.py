"""Logical file names, data identifiers, and the scope algorithm of CTAO's policy package."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.domain.identifiers import (
    Did,
    ancestors_of,
    chunks,
    did_of,
    is_path,
    lfn_of,
    parent_of,
    scope_of,
    validate_did,
    validate_lfn,
)

pytest.importorskip("bdms_rucio_policy", reason="CTAO's policy package is installed with the testbed")
from bdms_rucio_policy import scope as policy_scope
from bdms_rucio_policy.schema import NAME, NAME_LENGTH, SCOPE
from jsonschema import ValidationError, validate

COMPONENT = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)
LFN = st.lists(COMPONENT | st.just("user"), min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts))


@given(LFN)
def test_scopes_are_the_policys(lfn: str) -> None:
    assert (scope_of(lfn), lfn) == policy_scope(lfn, None)


@pytest.mark.parametrize(
    ("lfn", "scope"),
    [
        ("/ctao", "root"),
        ("/ctao/lst", "lst"),
        ("/ctao/lst/DL0/file", "lst"),
        ("/ctao/user", "root"),
        ("/ctao/user/j", "root"),
        ("/ctao/user/j/jdoe", "user.jdoe"),
        ("/ctao/user/j/jdoe/file", "user.jdoe"),
    ],
)
def test_scopes(lfn: str, scope: str) -> None:
    assert scope_of(lfn) == policy_scope(lfn, None)[0] == scope


@given(LFN)
def test_names_are_what_the_policys_schema_takes(lfn: str) -> None:
    assert validate_lfn(lfn) == lfn
    assert is_path(lfn)
    validate(lfn, NAME)


@given(st.text(max_size=12).map(lambda text: f"/a{text}"))
def test_what_is_valid_is_valid_for_the_server(text: str) -> None:
    try:
        path = validate_lfn(text)
    except InvalidInput:
        return
    validate(path, NAME)


@pytest.mark.parametrize(
    "lfn",
    [None, 5, "", "relative", "/a b", "/ctao/fö", "/-a", "/ctao/..", "/ctao/./a", "/a\n", "/ctao/" + "x" * 250, "/a*"],
)
def test_what_is_no_name(lfn: object) -> None:
    with pytest.raises(InvalidInput):
        validate_lfn(lfn)


def test_longest_names() -> None:
    longest = "/" + "x" * (NAME_LENGTH - 1)
    assert validate_lfn(longest) == longest
    with pytest.raises(InvalidInput, match="251"):
        validate_lfn(longest + "x")


def test_names_are_tidied() -> None:
    assert validate_lfn("lfn:/ctao//lst/a/") == "/ctao/lst/a"
    assert validate_lfn("LFN:/ctao") == "/ctao"
    assert validate_lfn("/") == "/"


@given(LFN)
def test_both_ways(lfn: str) -> None:
    try:
        did = did_of(lfn)
    except InvalidInput:
        with pytest.raises(ValidationError):
            validate(scope_of(lfn), SCOPE)
        return
    assert lfn_of(did) == lfn
    assert did_of(lfn_of(did)) == did


def test_names_elsewhere_carry_their_scope() -> None:
    for did in (Did("other", "/ctao/lst/file"), Did("lst", "no-path")):
        assert lfn_of(did) == str(did)
        assert did_of(lfn_of(did)) == did
    for bad in ("sc ope:/a", "lst:", ":name", "lst:a b", "x" * 26 + ":/a"):
        with pytest.raises(InvalidInput):
            did_of(bad)


def test_dids_are_written_as_rucio_keeps_them() -> None:
    assert validate_did(Did("lst", "/ctao/lst/a"))
    for bad in (Did("lst", "/ctao/lst/a/"), Did("lst", "/ctao//a"), Did("a b", "/a"), Did("lst", "")):
        with pytest.raises(InvalidInput):
            validate_did(bad)


def test_directories() -> None:
    assert parent_of("/ctao/lst/file") == "/ctao/lst"
    assert parent_of("/ctao") == parent_of("/") == "/"
    assert ancestors_of("/ctao/lst/DL0/file") == ["/ctao", "/ctao/lst", "/ctao/lst/DL0"]
    assert ancestors_of("/ctao") == ancestors_of("/") == []


@given(st.lists(st.integers()), st.integers(1, 5))
def test_chunks(items: list[int], size: int) -> None:
    split = list(chunks(items, size))
    assert [item for chunk in split for item in chunk] == items
    assert all(0 < len(chunk) <= size for chunk in split)
    assert len(split) == -(-len(items) // size)
