"""Metadata of one path, of queries in DIRAC's notation, and of what is in use."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from CTARucioDIRAC.domain.errors import InvalidInput, NotFound
from CTARucioDIRAC.domain.identifiers import ancestors_of, did_of
from CTARucioDIRAC.domain.metadata_fields import DIRECTORY_FIELDS, FILE_FIELDS, field_types
from CTARucioDIRAC.gateway.protocol import Content, DidType, RucioGateway

from . import tree
from .bulk import Bulk, missing
from .files import inherited_metadata
from .resolve import above_with_scope, look_up, look_up_one

#: So many names of a scope are looked at to see which keys are in use.
_SAMPLE = 100
#: Words of DIRAC's commands for properties of files that aren't metadata.
_STANDARD = frozenset(
    {"CreationDate", "ModificationDate", "LastAccessDate", "User", "Group", "Name", "FileName", "CheckSum", "GUID"}
    | {"UID", "GID", "Size", "Status", "Path"}
)


def of_file(gateway: RucioGateway, path: str) -> dict[str, Any]:
    """Metadata of a file (or directory), with those of the directories above it; the nearest wins.

    Raises
    ------
    NotFound
        No such name.
    """
    did, record = look_up_one(gateway, path)
    if record is None:
        raise missing()
    return inherited_metadata(gateway, [did])[did]


def of_directory(gateway: RucioGateway, path: str, vo: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Metadata of a directory, with those of the directories above it, and the path that each comes from."""
    did, record = look_up_one(gateway, path)
    if did not in tree.are_directories(gateway, [did], {} if record is None else {did: record}, vo):
        raise missing()
    way = [*above_with_scope(did, ancestors_of(did.name) if did.name.startswith("/") else []), did]
    found = gateway.get_metadata(item for item in way if item.name != "/")
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for item in way:
        for key, value in found.get(item, {}).items():
            values[key], origins[key] = value, item.name
    return values, origins


def set_all(gateway: RucioGateway, values: Mapping[str, Mapping[str, Any]]) -> None:
    """Set metadata of files and directories; names in other scopes than the rules say are looked up.

    Raises
    ------
    InvalidInput, NotFound, Conflict
        Naming what can't be a name, isn't there, or is ambiguous; the others that are there are set.
    """
    try:
        gateway.set_metadata({did_of(lfn): meta for lfn, meta in values.items()})
    except NotFound:
        answers: Bulk[None] = Bulk()
        found = look_up(gateway, values, answers)
        gateway.set_metadata({did: values[lfn] for lfn, did in found.dids.items()})
        for error in answers.failed.values():
            raise error from None


def types_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Types of metadata, in the notation of DIRAC's file catalogue."""
    return {key: _declared().get(key, kind) for key, kind in field_types([values]).items()}


def _declared() -> dict[str, str]:
    return {**FILE_FIELDS, **DIRECTORY_FIELDS}


def fields(gateway: RucioGateway) -> tuple[dict[str, str], dict[str, str]]:
    """Keys and types of directories, and of files: those that CTAO uses, and those found in a sample of each
    scope but users' own."""
    scopes = [scope for scope in gateway.list_scopes() if not scope.startswith("user.")]
    with ThreadPoolExecutor(tree.THREADS) as pool:
        sample = [item for items in pool.map(lambda scope: _sample(gateway, scope), scopes) for item in items]
    found = gateway.get_metadata(item.did for item in sample)
    known = [(item.type, found[item.did]) for item in sample if item.did in found]
    of_directories = field_types(values for kind, values in known if kind is not DidType.FILE)
    of_files = field_types(values for kind, values in known if kind is DidType.FILE)
    return of_directories | dict(DIRECTORY_FIELDS), of_files | dict(FILE_FIELDS)


def _sample(gateway: RucioGateway, scope: str) -> list[Content]:
    return list(islice(gateway.find_names(scope, "/"), _SAMPLE))


def split_query(query: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """Conditions on metadata, and the storage elements out of which one must have a copy (key ``SE``).

    Raises
    ------
    InvalidInput
        The query asks for another property that isn't metadata.
    """
    if not isinstance(query, Mapping):
        raise InvalidInput(f"a metadata query is a dictionary, not {type(query).__name__}")
    conditions = dict(query)
    wanted = conditions.pop("SE", None)
    unknown = _STANDARD & conditions.keys()
    if unknown:
        raise InvalidInput(f"{', '.join(sorted(unknown))} can't be searched for: only metadata and SE can")
    if wanted is None:
        return conditions, frozenset()
    if isinstance(wanted, Mapping):
        if set(wanted) - {"=", "in"}:
            raise InvalidInput(f"SE can only be one, or one of several, not {wanted!r}")
        wanted = next(iter(wanted.values()))
    return conditions, frozenset([wanted] if isinstance(wanted, str) else wanted)
