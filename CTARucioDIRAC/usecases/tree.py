"""Directories: a view of Rucio's names that trusts the names, not the containers.

A directory is there when a container or dataset has its path as name, or when any name lies below it. So data that plain
Rucio brought in is seen where its names say, whether or not somebody made and attached the collections above; and a
dataset's members with other paths aren't taken for its files, so that whoever cleans a directory can't reach them.
"""

from __future__ import annotations

import os.path
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from CTARucioDIRAC.domain.errors import NotFound
from CTARucioDIRAC.domain.identifiers import Did, did_of, explicit_did, lfn_of, parent_of, scope_of
from CTARucioDIRAC.domain.scopes import EVERY, rules
from CTARucioDIRAC.gateway.protocol import Content, Depth, DidRecord, DidType, RucioGateway

from . import resolve
from .bulk import THREADS, missing

#: Dataset for the files of a directory whose own name is a container's; it isn't shown.
FILES_DATASET = ".files"
_COLLECTIONS = frozenset({DidType.DATASET, DidType.CONTAINER})
#: Up to this many names below a common beginning are read to see which of them are directories, or imply any.
_GLANCE = 2000


@dataclass
class Listing:
    """What is directly in a directory.

    Attributes
    ----------
    files : dict
        Size in bytes by logical file name.
    directories : dict
        Whether the directory is a collection in Rucio (else it's implied by names below), by path.
    links : dict
        Members of the dataset that lie elsewhere, by logical file name.
    dids : dict
        Where each file, and each directory that is a collection, is registered, by logical file name.
    """

    files: dict[str, int | None] = field(default_factory=dict)
    directories: dict[str, bool] = field(default_factory=dict)
    links: dict[str, Did] = field(default_factory=dict)
    dids: dict[str, Did] = field(default_factory=dict)

    def add(self, found: Content) -> None:
        """Add an entry; of a path in two scopes, the first keeps the path for its name."""
        lfn = found.did.name if found.did.name.startswith("/") else str(found.did)
        if found.type is not DidType.FILE:
            self.directories[lfn] = True
            self.dids.setdefault(lfn, found.did)
            return
        if lfn in self.files:
            lfn = str(found.did)
        self.files[lfn] = found.size
        self.dids[lfn] = found.did


def list_directory(gateway: RucioGateway, lfn: str, vo: str, *, links: bool = False) -> Listing:
    """List a directory.

    Parameters
    ----------
    lfn : str
        Valid path, or ``scope:name`` of a collection, or of a directory as that one scope has it.
    vo : str
        First component of all paths.
    links : bool
        Also tell a dataset's members that lie elsewhere.

    Raises
    ------
    NotFound
        No such directory.
    """
    explicit = explicit_did(lfn)
    if explicit is None and _above_scopes(lfn):
        return _list_top(gateway, lfn, vo)
    did = explicit or did_of(lfn)
    if not did.name.startswith("/"):
        return _list_collection(gateway, did)
    listing = Listing()
    _list_in(gateway, did, listing)
    if explicit is None:
        for scope in resolve.foreign_scopes(gateway, did.name):
            _list_in(gateway, Did(scope, did.name), listing)
    listing.directories.pop(f"{did.name}/{FILES_DATASET}", None)
    if not (listing.files or listing.directories) or links:
        _complete(gateway, lfn, listing, links)
    return listing


def _list_collection(gateway: RucioGateway, did: Did) -> Listing:
    """List a collection whose name is no path: what it holds is what is in it."""
    record = gateway.get_dids([did]).get(did)
    if record is None or record.type is DidType.FILE:
        raise missing()
    listing = Listing()
    for member in gateway.list_content(did):
        listing.add(member)
    return listing


def _list_in(gateway: RucioGateway, did: Did, listing: Listing) -> None:
    """Add what one scope has directly in a directory."""
    path = did.name
    for found in gateway.find_names(did.scope, f"{path}/", depth=Depth.DIRECT):
        listing.add(found)
    deeper = gateway.find_names(did.scope, f"{path}/", _COLLECTIONS, depth=Depth.DEEPER)
    _add_implied(listing, path, deeper)
    deeper = gateway.find_names(did.scope, f"{path}/", {DidType.FILE}, depth=Depth.DEEPER)
    _add_implied(listing, path, islice(deeper, _GLANCE) if listing.directories else deeper)


def _add_implied(listing: Listing, path: str, deeper: Iterable[Content]) -> None:
    for found in deeper:
        listing.directories.setdefault(_child(path, found.did.name), False)


def _child(path: str, name: str) -> str:
    """Entry of a directory on the way to a name below it."""
    top = path.rstrip("/")
    return f"{top}/{name[len(top) + 1 :].split('/', 1)[0]}"


def _complete(gateway: RucioGateway, lfn: str, listing: Listing, links: bool) -> None:
    """Tell an empty directory from none, find one that another scope has, and add what a dataset has elsewhere."""
    did, record = resolve.look_up_one(gateway, lfn)
    if record is None or record.type is DidType.FILE:
        if not listing.files and not listing.directories:
            raise missing()
        return
    if not (listing.files or listing.directories):
        _list_in(gateway, did, listing)
        listing.directories.pop(f"{did.name}/{FILES_DATASET}", None)
    if links and record.type is DidType.DATASET:
        for member in gateway.list_content(did):
            if parent_of(member.did.name) != did.name:
                listing.links[lfn_of(member.did)] = member.did


def _above_scopes(path: str) -> bool:
    return rules().is_above(path)


def _list_top(gateway: RucioGateway, path: str, vo: str) -> Listing:
    """List ``/``, ``/<vo>``, ``/<vo>/user`` or ``/<vo>/user/<letter>``: what is there follows from the scopes."""
    if path == "/":
        return Listing(directories={f"/{vo}": True})
    listing = Listing()
    own = Did(scope_of(path), path)
    for found in gateway.find_names(own.scope, f"{path}/", depth=Depth.DIRECT):
        listing.add(found)
    for entry in _scope_entries(gateway, path, vo, listing.directories):
        listing.directories[entry] = False
    if not (listing.files or listing.directories) and own not in gateway.get_dids([own]):
        raise missing()
    return listing


def _scope_entries(gateway: RucioGateway, path: str, vo: str, known: Collection[str]) -> set[str]:
    """Entries of a directory above the scopes that follow from what is in the scopes."""
    if path != f"/{vo}" and not path.startswith(f"/{vo}/"):
        return set()
    scopes = gateway.list_scopes()
    tops = [(scope, scope_path(scope, vo)) for scope in scopes]
    tops += list(rules().mapped_near(path, scopes).items())
    doubtful = [
        (scope, top) for scope, top in tops if top and top.startswith(f"{path}/") and _child(path, top) not in known
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        filled = pool.map(lambda item: _has_below(gateway, *item), doubtful)
        entries = {_child(path, top) for (_, top), yes in zip(doubtful, filled, strict=True) if yes}
    for scope in scopes if EVERY in rules().foreign else sorted(set(rules().foreign) & set(scopes)):
        own = scope_path(scope, vo)
        foreign = (item.did.name for item in gateway.find_names(scope, f"{path}/"))
        entries |= {_child(path, name) for name in foreign if own is None or not name.startswith(f"{own}/")}
    return entries


def scope_path(scope: str, vo: str) -> str | None:
    """Path above everything in a scope; None for the scope of what lies above."""
    return rules().top_of(scope, vo)


def _has_below(gateway: RucioGateway, scope: str, path: str) -> bool:
    """Whether a path is a name of the scope, or any name lies below it."""
    return any(
        found.did.name == path or found.did.name.startswith(f"{path}/") for found in gateway.find_names(scope, path)
    )


def walk_files(gateway: RucioGateway, path: str, vo: str) -> Iterator[Content]:
    """All files below a directory, at any depth, each once, in no order."""
    for scope, prefix in scopes_below(gateway, path, vo):
        yield from gateway.find_names(scope, prefix, {DidType.FILE})


def scopes_below(gateway: RucioGateway, path: str, vo: str) -> list[tuple[str, str]]:
    """Scopes with names below a path, each once, and what these names begin with."""
    below = path if path.endswith("/") else f"{path}/"
    found: dict[str, str] = {}
    if _above_scopes(path):
        tops = {scope: scope_path(scope, vo) for scope in gateway.list_scopes()}
        found = {scope: f"{top}/" for scope, top in tops.items() if top and top.startswith(below)}
        own = scope_of(below)
    else:
        own = scope_of(path)
    found[own] = below
    found |= dict.fromkeys(resolve.foreign_scopes(gateway, path), below)
    return list(found.items())


def directories_below(path: str, names: Iterable[str], collections: Iterable[str]) -> set[str]:
    """Directories below a path that the names of files, and of collections, imply."""
    top = path.rstrip("/")
    found: set[str] = set()
    for name in names:
        _add_way(parent_of(name), top, found)
    for name in collections:
        if name.rpartition("/")[2] != FILES_DATASET:
            _add_way(name, top, found)
    return found


def _add_way(directory: str, top: str, found: set[str]) -> None:
    while len(directory) > len(top) and directory not in found:
        found.add(directory)
        directory = parent_of(directory) if directory.count("/") > 1 else ""


def are_directories(gateway: RucioGateway, dids: Collection[Did], known: dict[Did, DidRecord], vo: str) -> set[Did]:
    """Those names that are directories.

    Parameters
    ----------
    known : dict
        What :meth:`~CTARucioDIRAC.gateway.protocol.RucioGateway.get_dids` says of them, without what has expired.
    """
    found = {did for did in dids if did in known and known[did].type is not DidType.FILE}
    unknown = [did for did in dids if did not in known]
    groups: dict[tuple[str, str], list[Did]] = {}
    for did in unknown:
        if _above_scopes(did.name) and did.scope == scope_of(did.name):
            found |= {did} if _is_top(gateway, did.name, vo) else set()
        elif did.name.startswith("/"):
            groups.setdefault((did.scope, parent_of(did.name)), []).append(did)
    for (scope, _), group in groups.items():
        found |= _implied(gateway, group)
        left = [did for did in group if did not in found and did.scope == scope_of(did.name)]
        for other in resolve.foreign_scopes(gateway, left[0].name) if left else ():
            there = _implied(gateway, [Did(other, did.name) for did in left])
            found |= {Did(scope, did.name) for did in there}
    return found


def _is_top(gateway: RucioGateway, path: str, vo: str) -> bool:
    try:
        list_directory(gateway, path, vo)
    except NotFound:
        return False
    return True


def _implied(gateway: RucioGateway, siblings: list[Did]) -> set[Did]:
    """Those of one directory's names that aren't in Rucio but have names below them."""
    scope = siblings[0].scope
    if len(siblings) > 1:
        prefix = os.path.commonprefix([did.name for did in siblings])
        seen = list(islice(gateway.find_names(scope, prefix, depth=Depth.DEEPER), _GLANCE))
        if len(seen) < _GLANCE:
            parent = parent_of(siblings[0].name)
            heads = {_child(parent, item.did.name) for item in seen}
            return {did for did in siblings if did.name in heads}
    return {did for did in siblings if any(gateway.find_names(scope, f"{did.name}/"))}
