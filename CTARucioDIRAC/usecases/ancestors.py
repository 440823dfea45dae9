"""Which files a file was made from, and which were made from it.

Each file carries the names of its ancestors in Rucio's metadata. Who descends from a file is found by searching for its
name, so that only the new file is written, by whoever may write it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from CTARucioDIRAC.domain.errors import NotFound
from CTARucioDIRAC.domain.identifiers import Did, chunks, did_of
from CTARucioDIRAC.domain.metadata_fields import ANCESTORS
from CTARucioDIRAC.domain.metadata_query import Condition, MetadataQuery, Operator
from CTARucioDIRAC.gateway.embargo import hidden
from CTARucioDIRAC.gateway.protocol import DidType, RucioGateway

from . import resolve
from .bulk import THREADS, Bulk, each_or_split, identify
from .files import stat_files

#: Number of generations by name of the ancestor.
Relatives = dict[str, int]
#: So many names are searched for in one request; of more, all files with ancestors are looked at.
_TOGETHER = 8
_SEARCHES = 10
_FAR = 10**9


def add_ancestors(gateway: RucioGateway, wanted: Mapping[str, Relatives]) -> Bulk[bool]:
    """Add ancestors of files, which must exist; those that are known are left as they are.

    N files cost about 5 ⌈N / 1000⌉ requests.

    Parameters
    ----------
    wanted : mapping
        How many generations away each ancestor is, by name of the file.
    """
    answers: Bulk[bool] = Bulk()
    names = {ancestor for ancestors in wanted.values() for ancestor in ancestors}
    stat = stat_files(gateway, [*wanted, *(name for name in names if name not in wanted)])
    answers.failed = {lfn: error for lfn, error in stat.failed.items() if lfn in wanted}
    canonical = resolve.lfns_of(gateway, (record.did for record in stat.done.values()))
    good: dict[Did, tuple[str, Relatives]] = {}
    for lfn, ancestors in wanted.items():
        unknown = sorted(name for name in ancestors if name in stat.failed)
        if lfn in answers.failed:
            continue
        if unknown:
            answers.failed[lfn] = NotFound(f"Failed to resolve ancestor files: {', '.join(unknown)}")
            continue
        own = stat.done[lfn].did
        found = {canonical[stat.done[name].did]: depth for name, depth in ancestors.items()}
        good[own] = (lfn, {name: depth for name, depth in found.items() if name != canonical[own]})
    known = gateway.get_metadata(good)
    texts = {did: as_text(_read(known.get(did, {}).get(ANCESTORS)) | new) for did, (_, new) in good.items() if new}
    errors = each_or_split(
        list(texts), lambda some: gateway.set_metadata({did: {ANCESTORS: texts[did]} for did in some})
    )
    for did, (lfn, _) in good.items():
        if did in errors:
            answers.failed[lfn] = errors[did]
        else:
            answers.done[lfn] = True
    return answers


def ancestors_of_files(gateway: RucioGateway, lfns: Iterable[str], depths: Collection[int]) -> Bulk[Relatives]:
    """Ancestors of files that are so many generations away; of all generations if no depths are given.

    A generation of N files costs 2 ⌈N / 1000⌉ requests.
    """

    def parents(names: Collection[str]) -> dict[str, Relatives]:
        dids = identify(names, Bulk[None]())
        found = gateway.get_metadata(dids.values())
        return {name: _read(found.get(did, {}).get(ANCESTORS)) for name, did in dids.items()}

    return _relatives(gateway, lfns, depths, parents)


def descendents_of_files(gateway: RucioGateway, lfns: Iterable[str], depths: Collection[int]) -> Bulk[Relatives]:
    """Files that were made from files, so many generations later; of all generations if no depths are given.

    Costs a request for each scope, and in each generation one for each 8 names and scope with such files.
    """
    scopes = _scopes(gateway)
    return _relatives(gateway, lfns, depths, lambda names: _children(gateway, names, scopes))


def _relatives(
    gateway: RucioGateway,
    lfns: Iterable[str],
    depths: Collection[int],
    next_of: Callable[[Collection[str]], dict[str, Relatives]],
) -> Bulk[Relatives]:
    """Follow all links, generation by generation, and tell for each file whom it is linked to, by the shortest way.

    Files under an embargo are left out, though others are linked through them.
    """
    answers: Bulk[Relatives] = Bulk()
    stat = stat_files(gateway, lfns)
    answers.failed = stat.failed
    canonical = resolve.lfns_of(gateway, (record.did for record in stat.done.values()))
    links: dict[str, Relatives] = {}
    waiting = set(canonical.values())
    generation = 0
    while waiting and (not depths or generation < max(depths)):
        links |= next_of(waiting)
        waiting = {name for names in links.values() for name in names} - links.keys()
        generation += 1
    secret = hidden(gateway)
    for lfn, record in stat.done.items():
        found = _distances(canonical[record.did], links)
        answers.done[lfn] = {
            name: depth
            for name, depth in found.items()
            if (not depths or depth in depths) and not (secret and did_of(name).scope in secret)
        }
    return answers


def _distances(start: str, links: Mapping[str, Relatives]) -> Relatives:
    found: Relatives = {start: 0}
    changed = [start]
    while changed:
        name = changed.pop()
        for other, depth in links.get(name, {}).items():
            if found[name] + depth < found.get(other, _FAR):
                found[other] = found[name] + depth
                changed.append(other)
    del found[start]
    return found


def _scopes(gateway: RucioGateway) -> list[str]:
    """Scopes that have files with ancestors."""
    known = resolve.known_scopes(gateway)
    with ThreadPoolExecutor(THREADS) as pool:
        having = pool.map(lambda scope: gateway.has_metadata(scope, [ANCESTORS]), known)
        return [scope for scope, yes in zip(known, having, strict=True) if yes]


def _children(gateway: RucioGateway, names: Collection[str], scopes: Collection[str]) -> dict[str, Relatives]:
    children: dict[str, Relatives] = {name: {} for name in names}
    if len(names) > _TOGETHER * _SEARCHES:
        conditions = [Condition(ANCESTORS, Operator.EXISTS, True)]
    else:
        patterns = [f"*:{name} *" for name in sorted(names)]
        conditions = [Condition(ANCESTORS, Operator.LIKE, tuple(some)) for some in chunks(patterns, _TOGETHER)]

    def search(place: tuple[str, Condition]) -> list[Did]:
        return list(gateway.find_dids(place[0], MetadataQuery((place[1],)), types={DidType.FILE}))

    with ThreadPoolExecutor(THREADS) as pool:
        found = {did for dids in pool.map(search, [(s, c) for s in scopes for c in conditions]) for did in dids}
    written = gateway.get_metadata(found)
    canonical = resolve.lfns_of(gateway, found)
    for did in found:
        for ancestor, depth in _read(written.get(did, {}).get(ANCESTORS)).items():
            if ancestor in children:
                children[ancestor][canonical[did]] = depth
    return children


def as_text(ancestors: Mapping[str, int]) -> str:
    """Ancestors as one text, in which a name can be searched for: names have no spaces."""
    return " " + "".join(f"{depth}:{name} " for name, depth in sorted(ancestors.items()))


def _read(text: object) -> Relatives:
    found: Relatives = {}
    for item in str(text or "").split():
        depth, _, name = item.partition(":")
        if depth.isdigit() and name:
            found[name] = int(depth)
    return found
