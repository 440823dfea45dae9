"""Searching for files in DIRAC's notation: by metadata, by properties of the files, by where their copies are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.domain.identifiers import Did, chunks
from CTARucioDIRAC.domain.metadata_fields import STATUS, check_keys
from CTARucioDIRAC.domain.metadata_query import MetadataQuery, parse_query
from CTARucioDIRAC.gateway.protocol import DidRecord, RucioGateway

from . import find
from .status import GOOD

_SE = "SE"
_CHUNK = 1000
#: DIRAC's names of what Rucio knows of every file.
_PROPERTIES: Mapping[str, Callable[[DidRecord], Any]] = {
    "Size": lambda record: record.size,
    "Name": lambda record: record.did.name.rpartition("/")[2],
    "FileName": lambda record: record.did.name.rpartition("/")[2],
    "GUID": lambda record: record.guid,
    "CheckSum": lambda record: record.adler32 or record.md5,
    "CreationDate": lambda record: _text(record.created_at),
    "ModificationDate": lambda record: _text(record.updated_at),
}
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("User", "Group", "UID", "GID"), "Rucio knows accounts, not DIRAC's users and groups"),
    "LastAccessDate": "Rucio's date of the last access isn't that of a user's",
    "Path": "give the path as the search's own argument",
}


def find_files(gateway: RucioGateway, query: Mapping[str, Any], path: str, vo: str) -> Iterator[Did]:
    """Files below a path that fulfil a query; each comes once, in no order.

    Parameters
    ----------
    query : mapping
        Conditions on metadata as :func:`~CTARucioDIRAC.domain.metadata_query.parse_query` reads them, and on DIRAC's names
        of properties (``Size``, ``Name``, ``GUID``, ``CheckSum``, ``CreationDate``, ``ModificationDate``, ``Status``), and
        ``SE``: one or several storage elements out of which one must have a readable copy.

    Raises
    ------
    InvalidInput
        The query asks for what can't be searched for.
    """
    conditions, properties, rses = split_query(query)
    found = find.find_files(gateway, conditions, path, vo)
    if properties.conditions:
        found = _with_properties(gateway, found, properties)
    if rses:
        found = _with_copies(gateway, found, rses)
    yield from found


def split_query(query: Mapping[str, Any]) -> tuple[MetadataQuery, MetadataQuery, frozenset[str]]:
    """Conditions on metadata, conditions on properties, and storage elements; raises InvalidInput."""
    if not isinstance(query, Mapping):
        raise InvalidInput(f"a metadata query is a dictionary, not {type(query).__name__}")
    for key in _REFUSED.keys() & query.keys():
        raise InvalidInput(f"{key} can't be searched for: {_REFUSED[key]}")
    check_keys(query)
    metadata = {key: value for key, value in query.items() if key not in _PROPERTIES and key not in (_SE, "Status")}
    if "Status" in query:
        metadata[STATUS] = _status(query["Status"])
    properties = {key: value for key, value in query.items() if key in _PROPERTIES}
    if isinstance(properties.get("GUID"), str):
        properties["GUID"] = properties["GUID"].upper()
    return parse_query(metadata), parse_query(properties), _storage_elements(query.get(_SE))


def _status(wanted: Any) -> str:
    if isinstance(wanted, Mapping) and set(wanted) == {"="}:
        wanted = wanted["="]
    if not isinstance(wanted, str):
        raise InvalidInput(f"Status can only be one word, not {wanted!r}")
    return "Missing" if wanted == GOOD else wanted


def _storage_elements(wanted: Any) -> frozenset[str]:
    if wanted is None:
        return frozenset()
    if isinstance(wanted, Mapping):
        if len(wanted) != 1 or set(wanted) - {"=", "in"}:
            raise InvalidInput(f"SE can only be one, or one of several, not {wanted!r}")
        wanted = next(iter(wanted.values()))
    names = [wanted] if isinstance(wanted, str) else list(wanted) if isinstance(wanted, (list, tuple, set)) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InvalidInput(f"SE can only be one, or one of several, not {wanted!r}")
    return frozenset(names)


def _with_properties(gateway: RucioGateway, dids: Iterable[Did], wanted: MetadataQuery) -> Iterator[Did]:
    for some in chunks(dids, _CHUNK):
        for did, record in gateway.get_dids(some).items():
            if wanted.matches({key: _PROPERTIES[key](record) for key in wanted.keys}):
                yield did


def _with_copies(gateway: RucioGateway, dids: Iterable[Did], rses: frozenset[str]) -> Iterator[Did]:
    for some in chunks(dids, _CHUNK):
        for did, file in gateway.list_replicas(some).items():
            if any(replica.rse in rses for replica in file.replicas):
                yield did


def _text(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="seconds")
