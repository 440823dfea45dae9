"""Many directories at once: listings with details, dumps, sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from CTARucioDIRAC.domain.errors import CtaRucioError
from CTARucioDIRAC.domain.identifiers import Did, did_of, lfn_of
from CTARucioDIRAC.gateway.protocol import DidRecord, DidType, FileReplicas, RucioGateway

from . import tree
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
    answers: Bulk[T] = Bulk()
    for path, did in identify(paths, answers).items():
        try:
            answers.done[path] = act(did.name)
        except CtaRucioError as error:
            answers.failed[path] = error
    return answers


def list_all(gateway: RucioGateway, paths: Iterable[str], vo: str, *, details: bool = False) -> Bulk[Entries]:
    """List directories; with ``details``, records and copies of their files as well."""

    def one(path: str) -> Entries:
        listing = tree.list_directory(gateway, path, vo, links=details)
        entries = Entries(listing.files, listing.directories, listing.links)
        if details:
            records = alive(gateway, [did_of(name) for name in (*listing.files, *listing.directories)])
            entries.records = {d.name: record for d, record in records.items() if d.name in listing.files}
            entries.above = {d.name: record for d, record in records.items() if d.name in listing.directories}
            found = gateway.list_replicas([record.did for record in entries.records.values()], all_states=True)
            entries.replicas = {did.name: file for did, file in found.items()}
        return entries

    return _each(paths, one)


def dump_all(gateway: RucioGateway, paths: Iterable[str], vo: str) -> Bulk[Dump]:
    """All files and directories below each directory."""

    def one(path: str) -> Dump:
        names, collections = _below(gateway, path, vo)
        records = alive(gateway, names)
        _check(gateway, path, vo, bool(names or collections))
        below = tree.directories_below(path, (did.name for did in names), collections)
        return Dump({lfn_of(did): record for did, record in records.items()}, below)

    return _each(paths, one)


def _below(gateway: RucioGateway, path: str, vo: str) -> tuple[list[Did], list[str]]:
    """Files and collections below a directory."""
    names: list[Did] = []
    collections: list[str] = []
    for scope, prefix in tree.scopes_below(gateway, path, vo):
        for found in gateway.find_names(scope, prefix):
            if found.type is DidType.FILE:
                names.append(found.did)
            else:
                collections.append(found.did.name)
    return names, collections


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
        found = gateway.list_replicas([did_of(name) for name in listing.files], all_states=all_states)
        return {lfn_of(did): file for did, file in found.items() if file.replicas}

    return _each(paths, one)


def sizes(
    gateway: RucioGateway, paths: Iterable[str], vo: str, *, copies: bool = False, recursive: bool = True
) -> Bulk[Size]:
    """Files and bytes of each directory, at any depth or directly in it; with ``copies``, at each RSE as well."""

    def one(path: str) -> Size:
        if recursive:
            found = [
                item
                for scope, prefix in tree.scopes_below(gateway, path, vo)
                for item in gateway.find_names(scope, prefix)
            ]
            files = {item.did: item.size or 0 for item in found if item.type is DidType.FILE}
            collections = [item.did.name for item in found if item.type is not DidType.FILE]
            below = len(tree.directories_below(path, (did.name for did in files), collections))
            _check(gateway, path, vo, bool(found))
        else:
            listing = tree.list_directory(gateway, path, vo)
            files = {did_of(name): size or 0 for name, size in listing.files.items()}
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
