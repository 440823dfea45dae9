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
from CTARucioDIRAC.domain.identifiers import ROOT_SCOPE, Did, lfn_of, parent_of, scope_of
from CTARucioDIRAC.gateway.protocol import Content, Depth, DidRecord, DidType, RucioGateway

from .bulk import missing

#: Dataset for the files of a directory whose own name is a container's; it isn't shown.
FILES_DATASET = ".files"
_COLLECTIONS = frozenset({DidType.DATASET, DidType.CONTAINER})
#: Up to this many names below a common beginning are read to see which of them are directories.
_GLANCE = 2000
#: Scopes are looked into one by one: so many at the same time.
THREADS = 8


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
    """

    files: dict[str, int | None] = field(default_factory=dict)
    directories: dict[str, bool] = field(default_factory=dict)
    links: dict[str, Did] = field(default_factory=dict)


def list_directory(gateway: RucioGateway, path: str, vo: str, *, links: bool = False) -> Listing:
    """List a directory.

    Parameters
    ----------
    path : str
        Valid path.
    vo : str
        First component of all paths.
    links : bool
        Also tell a dataset's members that lie elsewhere.

    Raises
    ------
    NotFound
        No such directory.
    """
    if _above_scopes(path):
        return _list_top(gateway, path, vo)
    did = Did(scope_of(path), path)
    listing = Listing()
    for found in gateway.find_names(did.scope, f"{path}/", depth=Depth.DIRECT):
        if found.type is DidType.FILE:
            listing.files[found.did.name] = found.size
        else:
            listing.directories[found.did.name] = True
    deeper = gateway.find_names(did.scope, f"{path}/", _COLLECTIONS, depth=Depth.DEEPER)
    _add_implied(listing, path, deeper)
    if not listing.directories:
        _add_implied(listing, path, gateway.find_names(did.scope, f"{path}/", {DidType.FILE}, depth=Depth.DEEPER))
    listing.directories.pop(f"{path}/{FILES_DATASET}", None)
    if not (listing.files or listing.directories) or links:
        _complete(gateway, did, listing, links)
    return listing


def _add_implied(listing: Listing, path: str, deeper: Iterable[Content]) -> None:
    for found in deeper:
        listing.directories.setdefault(_child(path, found.did.name), False)


def _child(path: str, name: str) -> str:
    """Entry of a directory on the way to a name below it."""
    return f"{path}/{name[len(path) + 1 :].split('/', 1)[0]}"


def _complete(gateway: RucioGateway, did: Did, listing: Listing, links: bool) -> None:
    """Tell an empty directory from none, and add what a dataset has elsewhere."""
    record = gateway.get_dids([did]).get(did)
    if record is None or record.type is DidType.FILE:
        if not listing.files and not listing.directories:
            raise missing()
        return
    if links and record.type is DidType.DATASET:
        for member in gateway.list_content(did):
            if parent_of(member.did.name) != did.name:
                listing.links[lfn_of(member.did)] = member.did


def _above_scopes(path: str) -> bool:
    return scope_of(path) == ROOT_SCOPE


def _list_top(gateway: RucioGateway, path: str, vo: str) -> Listing:
    """List ``/``, ``/<vo>``, ``/<vo>/user`` or ``/<vo>/user/<letter>``: what is there follows from the scopes."""
    if path == "/":
        return Listing(directories={f"/{vo}": True})
    listing = Listing()
    for found in gateway.find_names(ROOT_SCOPE, f"{path}/", depth=Depth.DIRECT):
        if found.type is DidType.FILE:
            listing.files[found.did.name] = found.size
        else:
            listing.directories[found.did.name] = True
    for entry in _scope_entries(gateway, path, vo, listing.directories):
        listing.directories[entry] = False
    if not (listing.files or listing.directories) and Did(ROOT_SCOPE, path) not in gateway.get_dids(
        [Did(ROOT_SCOPE, path)]
    ):
        raise missing()
    return listing


def _scope_entries(gateway: RucioGateway, path: str, vo: str, known: Collection[str]) -> set[str]:
    """Entries of a directory above the scopes that follow from what is in the scopes."""
    if path != f"/{vo}" and not path.startswith(f"/{vo}/"):
        return set()
    tops = [(scope, scope_path(scope, vo)) for scope in gateway.list_scopes()]
    doubtful = [
        (scope, top) for scope, top in tops if top and top.startswith(f"{path}/") and _child(path, top) not in known
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        filled = pool.map(lambda item: _has_below(gateway, *item), doubtful)
        return {_child(path, top) for (_, top), yes in zip(doubtful, filled, strict=True) if yes}


def scope_path(scope: str, vo: str) -> str | None:
    """Path above everything in a scope; None for the scope of what lies above."""
    if scope == ROOT_SCOPE:
        return None
    if scope.startswith("user."):
        user = scope.removeprefix("user.")
        return f"/{vo}/user/{user[0]}/{user}" if user else None
    return f"/{vo}/{scope}"


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
    """Scopes with names below a path, and what these names begin with."""
    if not _above_scopes(path):
        return [(scope_of(path), f"{path}/")]
    below = path if path.endswith("/") else f"{path}/"
    tops = {scope: scope_path(scope, vo) for scope in gateway.list_scopes()}
    found = [(scope, f"{top}/") for scope, top in tops.items() if top and top.startswith(below)]
    return [*found, (ROOT_SCOPE, below)]


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
        if did.scope == ROOT_SCOPE:
            found |= {did} if _is_top(gateway, did.name, vo) else set()
        elif did.name.startswith("/"):
            groups.setdefault((did.scope, parent_of(did.name)), []).append(did)
    for group in groups.values():
        found |= _implied(gateway, group)
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
