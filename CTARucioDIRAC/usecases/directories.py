"""Many directories at once: listings with details, dumps, sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from CTARucioDIRAC.domain.errors import CtaRucioError
from CTARucioDIRAC.domain.identifiers import Did, did_of, explicit_did, is_foreign
from CTARucioDIRAC.gateway.protocol import DidRecord, DidType, FileReplicas, RucioGateway

from . import resolve, tree
from .bulk import Bulk, identify, missing
from .files import alive

T = TypeVar("T")
_COLLECTIONS = frozenset({DidType.DATASET, DidType.CONTAINER})


@dataclass
class Entries(tree.Listing):
    """What is directly in a directory, with details if asked for."""

    records: dict[str, DidRecord] = field(default_factory=dict)  #: of the files, by name
    replicas: dict[str, FileReplicas] = field(default_factory=dict)  #: of the files, by name, in all states
    above: dict[str, DidRecord] = field(default_factory=dict)  #: of the directories that are collections, by path


@dataclass
class Dump:
    """Everything below a directory."""

    files: dict[str, DidRecord]
    directories: set[str]


@dataclass
class Size:
    """How much is in a directory."""

    bytes: int
    files: int
    directories: int
    copies: dict[str, tuple[int, int]] | None = None  #: bytes and files by RSE, of AVAILABLE copies


def _each(paths: Iterable[str], act: Callable[[str], T]) -> Bulk[T]:
    """Act on each path, or ``scope:name``, written as it should be."""
    answers: Bulk[T] = Bulk()
    for path, did in identify(paths, answers).items():
        try:
            answers.done[path] = act(did.name if explicit_did(path) is None else str(did))
        except CtaRucioError as error:
            answers.failed[path] = error
    return answers


def list_all(gateway: RucioGateway, paths: Iterable[str], vo: str, *, details: bool = False) -> Bulk[Entries]:
    """List directories; with ``details``, records and copies of their files as well."""

    def one(path: str) -> Entries:
        listing = tree.list_directory(gateway, path, vo, links=details)
        entries = Entries(listing.files, listing.directories, listing.links, listing.dids)
        if details:
            known = alive(gateway, listing.dids.values())
            records = {lfn: known[did] for lfn, did in listing.dids.items() if did in known}
            entries.records = {lfn: record for lfn, record in records.items() if lfn in listing.files}
            entries.above = {lfn: record for lfn, record in records.items() if lfn in listing.directories}
            names = {record.did: lfn for lfn, record in entries.records.items()}
            entries.replicas = {names[did]: file for did, file in gateway.list_replicas(names, all_states=True).items()}
        return entries

    return _each(paths, one)


def dump_all(gateway: RucioGateway, paths: Iterable[str], vo: str) -> Bulk[Dump]:
    """All files and directories below each directory."""

    def one(path: str) -> Dump:
        files, collections = _below(gateway, path, vo)
        records = alive(gateway, files)
        _check(gateway, path, vo, bool(files or collections))
        below = tree.directories_below(path, (did.name for did in files), collections)
        names = resolve.lfns_of(gateway, records)
        return Dump({names[did]: record for did, record in records.items()}, below)

    return _each(paths, one)


def _below(gateway: RucioGateway, path: str, vo: str) -> tuple[dict[Did, int], list[str]]:
    """Files, with their sizes, and collections below a directory."""
    files: dict[Did, int] = {}
    collections: list[str] = []
    own = explicit_did(path)
    if own is not None and not own.name.startswith("/"):
        return {item.did: item.size or 0 for item in gateway.list_files(own)}, collections
    places = [(own.scope, f"{own.name}/")] if own is not None else tree.scopes_below(gateway, path, vo)
    for scope, prefix in places:
        for found in gateway.find_names(scope, prefix):
            if found.type is DidType.FILE:
                files[found.did] = found.size or 0
            else:
                collections.append(found.did.name)
    if not files and not collections and own is None:
        did, record = resolve.look_up_one(gateway, path)
        if record is not None and is_foreign(did):
            return _below(gateway, str(did), vo)
    return files, collections


def _check(gateway: RucioGateway, path: str, vo: str, not_empty: bool) -> None:
    """Raise NotFound if there is no such directory."""
    did = did_of(path)
    if not not_empty and did not in tree.are_directories(gateway, [did], alive(gateway, [did]), vo):
        raise missing()


def replicas_in(
    gateway: RucioGateway, paths: Iterable[str], vo: str, *, all_states: bool = False
) -> Bulk[dict[str, FileReplicas]]:
    """Copies of the files directly in each directory; files without any are left out."""

    def one(path: str) -> dict[str, FileReplicas]:
        listing = tree.list_directory(gateway, path, vo)
        names = {listing.dids[lfn]: lfn for lfn in listing.files}
        found = gateway.list_replicas(names, all_states=all_states)
        return {names[did]: file for did, file in found.items() if file.replicas}

    return _each(paths, one)


def sizes(
    gateway: RucioGateway, paths: Iterable[str], vo: str, *, copies: bool = False, recursive: bool = True
) -> Bulk[Size]:
    """Files and bytes of each directory, at any depth or directly in it; with ``copies``, at each RSE as well."""

    def one(path: str) -> Size:
        if recursive:
            files, collections = _below(gateway, path, vo)
            below = len(tree.directories_below(path, (did.name for did in files), collections))
            _check(gateway, path, vo, bool(files or collections))
        else:
            listing = tree.list_directory(gateway, path, vo)
            files = {listing.dids[lfn]: size or 0 for lfn, size in listing.files.items()}
            below = len(listing.directories)
        size = Size(sum(files.values()), len(files), below)
        if copies:
            size.copies = _copies(gateway, files)
        return size

    return _each(paths, one)


def _copies(gateway: RucioGateway, files: dict[Did, int]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for file in gateway.list_replicas(files).values():
        for replica in file.available:
            held, count = found.get(replica.rse, (0, 0))
            found[replica.rse] = (held + file.size, count + 1)
    return found
