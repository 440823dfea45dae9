"""Metadata of paths, which keys there are, and which were declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from CTARucioDIRAC.domain.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from CTARucioDIRAC.domain.identifiers import ancestors_of, did_of
from CTARucioDIRAC.domain.metadata_fields import (
    DIRECTORY_FIELDS,
    FIELD,
    FILE_FIELDS,
    METASET,
    Fields,
    as_declared,
    check_keys,
    check_name,
    check_type,
    field_types,
    of_users,
    times_read,
)
from CTARucioDIRAC.domain.metadata_query import MetadataQuery
from CTARucioDIRAC.gateway.protocol import Content, DidRecord, DidType, RucioGateway

from . import find, tree
from .bulk import THREADS, Bulk, missing
from .files import inherited_metadata, stat_files
from .resolve import above_with_scope, known_scopes, look_up, look_up_one

#: So many names of a scope are looked at to see which keys are in use.
_SAMPLE = 100


def of_file(gateway: RucioGateway, path: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Metadata of a file (or directory), with those of the directories above it; the nearest wins.

    Raises
    ------
    NotFound
        No such name.
    """
    did, record = look_up_one(gateway, path)
    if record is None:
        raise missing()
    return times_read(inherited_metadata(gateway, [did])[did], kinds)


def of_files(gateway: RucioGateway, lfns: Iterable[str], kinds: Mapping[str, str]) -> Bulk[dict[str, Any]]:
    """Metadata of files, with those of the directories above them; N files cost about 3 ⌈N / 1000⌉ requests."""
    answers: Bulk[dict[str, Any]] = Bulk()
    stat = stat_files(gateway, lfns)
    answers.failed = stat.failed
    found = inherited_metadata(gateway, (record.did for record in stat.done.values()))
    for lfn, record in stat.done.items():
        answers.done[lfn] = times_read(found.get(record.did, {}), kinds)
    return answers


def details(
    gateway: RucioGateway, lfns: Iterable[str], kinds: Mapping[str, str]
) -> Bulk[tuple[DidRecord, dict[str, Any]]]:
    """Records of files, and the metadata that they have themselves."""
    answers: Bulk[tuple[DidRecord, dict[str, Any]]] = Bulk()
    stat = stat_files(gateway, lfns)
    answers.failed = stat.failed
    found = gateway.get_metadata(record.did for record in stat.done.values())
    for lfn, record in stat.done.items():
        answers.done[lfn] = record, times_read(found.get(record.did, {}), kinds)
    return answers


def of_directory(
    gateway: RucioGateway, path: str, vo: str, kinds: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Metadata of a directory, with those of the directories above it, and the path that each comes from."""
    did, record = look_up_one(gateway, path)
    if did not in tree.are_directories(gateway, [did], {} if record is None else {did: record}, vo):
        raise missing()
    way = [*above_with_scope(did, ancestors_of(did.name) if did.name.startswith("/") else []), did]
    found = gateway.get_metadata(item for item in way if item.name != "/")
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for item in way:
        for key, value in of_users(found.get(item, {})).items():
            values[key], origins[key] = value, item.name
    return times_read(values, kinds), origins


def set_all(gateway: RucioGateway, values: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, str]) -> None:
    """Set metadata of files and directories; None removes a key. ⌈N / 1000⌉ requests.

    Values of declared keys are kept as their types have them. Names in other scopes than the rules say are looked up.

    Raises
    ------
    InvalidInput, NotFound, Conflict
        Naming what can't be a name or a value, isn't there, or is ambiguous; the others that are there are set.
    """
    typed: dict[str, dict[str, Any]] = {}
    for lfn, meta in values.items():
        check_keys(meta)
        typed[lfn] = {key: as_declared(key, value, kinds.get(key)) for key, value in meta.items()}
    try:
        gateway.set_metadata({did_of(lfn): meta for lfn, meta in typed.items()})
    except NotFound:
        answers: Bulk[None] = Bulk()
        found = look_up(gateway, typed, answers)
        gateway.set_metadata({did: typed[lfn] for lfn, did in found.dids.items()})
        for error in answers.failed.values():
            raise error from None


def types_of(values: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, str]:
    """Types of metadata, in the notation of DIRAC's file catalogue."""
    return {key: kinds.get(key, kind) for key, kind in field_types([values]).items()}


# -------------------------------------------------------------------- which keys there are


def declared(gateway: RucioGateway, vo: str, configured: Fields) -> tuple[Fields, dict[str, dict[str, Any]]]:
    """Fields that were declared, with all that CTAO uses, and the sets of values; costs two requests.

    Parameters
    ----------
    configured : Fields
        Those of DIRAC's configuration; they come before all others.
    """
    directory = did_of(f"/{vo}")
    written = gateway.get_metadata([directory]).get(directory, {})
    fields = Fields(dict(DIRECTORY_FIELDS), dict(FILE_FIELDS))
    for key, value in written.items():
        if key.startswith(FIELD) and isinstance(value, Mapping):
            fields.add(key.removeprefix(FIELD), str(value["type"]), of_files=value["of"] == "file")
    for of_files, kinds in ((False, configured.directories), (True, configured.files)):
        for name, kind in kinds.items():
            fields.add(name, kind, of_files=of_files)
    sets = {key.removeprefix(METASET): dict(value) for key, value in written.items() if key.startswith(METASET)}
    return fields, sets


def add_field(gateway: RucioGateway, vo: str, known: Fields, name: str, kind: str, *, of_files: bool) -> bool:
    """Declare a field; False if it is already.

    Raises
    ------
    InvalidInput, AlreadyExists
        The name or type can't be one; or the field is there with another type, or for the other kind of names.
    """
    check_keys([name])
    check_type(name, kind)
    here, there = (known.files, known.directories) if of_files else (known.directories, known.files)
    if name in there:
        raise AlreadyExists(f"The metadata {name} is already defined for {'Directories' if of_files else 'Files'}")
    if name in here:
        if here[name].lower() == kind.lower():
            return False
        raise AlreadyExists(f"Attempt to add an existing metadata with different type: {kind}/{here[name]}")
    _write_declaration(gateway, vo, {f"{FIELD}{name}": {"type": kind, "of": "file" if of_files else "directory"}})
    return True


def delete_field(gateway: RucioGateway, vo: str, name: str) -> None:
    """Take the declaration of a field back.

    Raises
    ------
    NotFound, Conflict
        It was never declared, or somewhere else; or names in Rucio still have that key.
    """
    check_name(name)
    directory = did_of(f"/{vo}")
    if f"{FIELD}{name}" not in gateway.get_metadata([directory]).get(directory, {}):
        if name in DIRECTORY_FIELDS or name in FILE_FIELDS:
            raise Conflict(f"metadata field {name} is one of CTAO's own, which are always there")
        raise NotFound(f"No metadata field {name} was added with addMetadataField")
    scopes = known_scopes(gateway)
    with ThreadPoolExecutor(THREADS) as pool:
        having = pool.map(lambda scope: gateway.has_metadata(scope, [name]), scopes)
        used = [scope for scope, yes in zip(scopes, having, strict=True) if yes]
    if used:
        raise Conflict(
            f"metadata field {name} is in use in scope {', '.join(used)}: remove its values with removeMetadata"
        )
    gateway.clear_metadata({directory: [f"{FIELD}{name}"]})


def add_set(gateway: RucioGateway, vo: str, known: Fields, name: str, values: Mapping[str, Any]) -> None:
    """Declare a set of values by a name; raises InvalidInput for a key that isn't declared."""
    check_type(name, "MetaSet")
    for key in values:
        if key not in known.directories:
            raise InvalidInput(f"Unknown key {key}: no metadata field of directories was declared by that name")
    _write_declaration(gateway, vo, {f"{METASET}{name}": dict(values)})


def read_set(name: str, sets: Mapping[str, Mapping[str, Any]], known: Fields, *, expand: bool) -> dict[str, Any]:
    """Values of a set; those that are sets themselves are replaced by theirs with ``expand``. Empty if there is none."""
    check_name(name)
    values: dict[str, Any] = {}
    for key, value in sets.get(name, {}).items():
        if expand and known.kinds.get(key) == "MetaSet" and value != name:
            values |= read_set(str(value), {k: v for k, v in sets.items() if k != name}, known, expand=True)
        else:
            values[key] = value
    return values


def _write_declaration(gateway: RucioGateway, vo: str, values: Mapping[str, Any]) -> None:
    directory = did_of(f"/{vo}")
    try:
        gateway.set_metadata({directory: values})
    except NotFound:  # data that plain Rucio brought in begins below it
        gateway.add_containers([directory])
        gateway.set_metadata({directory: values})


def fields(gateway: RucioGateway, known: Fields) -> Fields:
    """Keys and types of directories, and of files: those declared, and those found in a sample of each scope but users'
    own.
    """
    scopes = [scope for scope in gateway.list_scopes() if not scope.startswith("user.")]
    with ThreadPoolExecutor(THREADS) as pool:
        sample = [item for items in pool.map(lambda scope: _sample(gateway, scope), scopes) for item in items]
    found = gateway.get_metadata(item.did for item in sample)
    in_use = [(item.type, of_users(found[item.did])) for item in sample if item.did in found]
    of_directories = field_types(values for kind, values in in_use if kind is not DidType.FILE)
    of_files = field_types(values for kind, values in in_use if kind is DidType.FILE)
    return Fields(of_directories | known.directories, of_files | known.files)


def _sample(gateway: RucioGateway, scope: str) -> list[Content]:
    return list(islice(gateway.find_names(scope, "/"), _SAMPLE))


# -------------------------------------------------------------------- searches


def typed_query(query: Mapping[str, Any], known: Fields, sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A query with sets of values replaced by what is in them."""
    if not isinstance(query, Mapping):
        raise InvalidInput(f"a metadata query is a dictionary, not {type(query).__name__}")
    typed: dict[str, Any] = {}
    for key, wanted in query.items():
        kind = known.kinds.get(key, "") if isinstance(key, str) else ""
        if kind == "MetaSet" and isinstance(wanted, str) and wanted in sets:
            typed |= read_set(wanted, sets, known, expand=True)
        else:
            typed[key] = wanted
    return typed


def compatible(
    gateway: RucioGateway, query: MetadataQuery, path: str, vo: str, kinds: Mapping[str, str]
) -> dict[str, list[Any]]:
    """Values that each key has in the directories at and below a path that fulfil a query.

    Raises
    ------
    NotFound
        No such directory.
    """
    did, record = look_up_one(gateway, path)
    if did not in tree.are_directories(gateway, [did], {} if record is None else {did: record}, vo):
        raise NotFound(f"Path not found: {path}")
    found = inherited_metadata(gateway, list(find.find_directories(gateway, query, did.name, vo)))
    values: dict[str, dict[str, Any]] = {}
    for meta in found.values():
        for key, value in times_read(meta, kinds).items():
            values.setdefault(key, {})[f"{type(value).__name__} {value}"] = value
    return {key: [different[text] for text in sorted(different)] for key, different in sorted(values.items())}
