"""Metadata of one path, of queries in DIRAC's notation, and of what is in use."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.domain.identifiers import Did, ancestors_of, did_of, scope_of
from CTARucioDIRAC.domain.metadata_fields import DIRECTORY_FIELDS, FILE_FIELDS, field_types
from CTARucioDIRAC.gateway.protocol import DidType, RucioGateway

from . import tree
from .bulk import missing
from .files import alive, inherited_metadata

_COLLECTIONS = frozenset({DidType.DATASET, DidType.CONTAINER})
#: So many files, and directories, of a scope are looked at to see which keys are in use.
_SAMPLE = 50
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
    did = did_of(path)
    if did not in alive(gateway, [did]):
        raise missing()
    return inherited_metadata(gateway, [did])[did]


def of_directory(gateway: RucioGateway, path: str, vo: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Metadata of a directory, with those of the directories above it, and the path that each comes from."""
    did = did_of(path)
    if did not in tree.are_directories(gateway, [did], alive(gateway, [did]), vo):
        raise missing()
    way = [Did(scope_of(above), above) for above in ancestors_of(path)] + [did]
    found = gateway.get_metadata(item for item in way if item.name != "/")
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for item in way:
        for key, value in found.get(item, {}).items():
            values[key], origins[key] = value, item.name
    return values, origins


def types_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Types of metadata, in the notation of DIRAC's file catalogue."""
    return {key: _declared().get(key, kind) for key, kind in field_types([values]).items()}


def _declared() -> dict[str, str]:
    return {**FILE_FIELDS, **DIRECTORY_FIELDS}


def fields(gateway: RucioGateway) -> tuple[dict[str, str], dict[str, str]]:
    """Keys and types of directories, and of files: those that CTAO uses, and those found in a sample of each scope."""
    with ThreadPoolExecutor(tree.THREADS) as pool:
        samples = list(pool.map(lambda scope: _sample(gateway, scope), gateway.list_scopes()))
    collections = [did for dids, _ in samples for did in dids]
    files = [did for _, dids in samples for did in dids]
    found = gateway.get_metadata([*collections, *files])
    of_directories = field_types(found[did] for did in collections if did in found)
    of_files = field_types(found[did] for did in files if did in found)
    return of_directories | dict(DIRECTORY_FIELDS), of_files | dict(FILE_FIELDS)


def _sample(gateway: RucioGateway, scope: str) -> tuple[list[Did], list[Did]]:
    """Some collections and some files of a scope."""
    collections = islice(gateway.find_names(scope, "/", _COLLECTIONS), _SAMPLE)
    files = islice(gateway.find_names(scope, "/", {DidType.FILE}), _SAMPLE)
    return [item.did for item in collections], [item.did for item in files]


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
