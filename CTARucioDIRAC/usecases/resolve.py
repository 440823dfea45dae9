"""Where a path is registered, when it isn't where the rules look for it: look-up in the other scopes.

Names that are in the scope that the rules give (see :mod:`CTARucioDIRAC.domain.scopes`) cost nothing in addition, and are
taken from there even if another scope has the same name. Others are looked for in every scope, in bulk; a name that two
other scopes have is an error that names both. A name written as ``scope:name`` is in that scope, or nowhere.
"""

from __future__ import annotations

import os.path
import threading
import time
import weakref
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from CTARucioDIRAC.domain.errors import Conflict
from CTARucioDIRAC.domain.identifiers import Did, did_of, explicit_did, is_foreign, lfn_of, scope_of
from CTARucioDIRAC.domain.scopes import EVERY, rules
from CTARucioDIRAC.gateway.protocol import DidRecord, RucioGateway

from .bulk import THREADS, Bulk, identify, now

#: Seconds for which the list of scopes, and which of them have names in a tree, are taken as known.
FRESH = 60.0
#: Up to this many combinations of name and scope are asked for, in lists; of more, scopes without any are left out first.
_CANDIDATES = 2000
#: So many trees are kept in mind.
_TREES = 1000


@dataclass
class _Memory:
    """What was learned of a server through one gateway."""

    scopes: list[str] = field(default_factory=list)
    scopes_at: float = float("-inf")
    trees: dict[str, tuple[float, frozenset[str]]] = field(default_factory=dict)  #: scopes with names, by beginning
    foreign: dict[str, frozenset[str]] = field(default_factory=dict)  #: scopes where a tree's names were found, by top


_memories: weakref.WeakKeyDictionary[RucioGateway, _Memory] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _memory(gateway: RucioGateway) -> _Memory:
    with _lock:
        return _memories.setdefault(gateway, _Memory())


def forget(gateway: RucioGateway) -> None:
    """Take nothing as known any more, such as after scopes were added."""
    with _lock:
        _memories.pop(gateway, None)


@dataclass
class Found:
    """Names as they are registered.

    Attributes
    ----------
    dids : dict
        Data identifier by logical file name: where the name is, or else where the rules would have it.
    records : dict
        What is known of those that are there.
    """

    dids: dict[str, Did]
    records: dict[Did, DidRecord]

    def record(self, lfn: str) -> DidRecord | None:
        """What is known of a name."""
        return self.records.get(self.dids[lfn]) if lfn in self.dids else None


def look_up(gateway: RucioGateway, lfns: Iterable[str], answers: Bulk[Any], *, expired: bool = False) -> Found:
    """Look names up, wherever they are registered; those that can't be names, or are ambiguous, go to ``answers.failed``.

    N names that are where the rules say cost ⌈N / 1000⌉ requests.

    Parameters
    ----------
    expired : bool
        Whether names that have expired, but aren't cleaned up yet, count as there.
    """
    dids = identify(lfns, answers)
    records = _alive(gateway, dids.values(), expired)
    lost = {lfn: did for lfn, did in dids.items() if did not in records and _may_be_elsewhere(lfn, did)}
    elsewhere = _everywhere(gateway, set(lost.values()), expired) if lost else {}
    for lfn, did in lost.items():
        there = elsewhere.get(did, [])
        if len(there) > 1:
            answers.failed[lfn] = ambiguous(did, [record.did.scope for record in there])
            del dids[lfn]
        elif there:
            dids[lfn] = there[0].did
            records[there[0].did] = there[0]
            _learn(gateway, there[0].did)
    return Found(dids, records)


def look_up_one(gateway: RucioGateway, lfn: str) -> tuple[Did, DidRecord | None]:
    """Look one name up, wherever it is registered.

    Raises
    ------
    InvalidInput, Conflict
        It can't be a name, or is ambiguous.
    """
    answers: Bulk[Any] = Bulk()
    found = look_up(gateway, [lfn], answers)
    if lfn in answers.failed:
        raise answers.failed[lfn]
    return found.dids[lfn], found.record(lfn)


def ambiguous(did: Did, scopes: Iterable[str]) -> Conflict:
    """Error for a path that several scopes have."""
    names = " and ".join(f"{scope}:{did.name}" for scope in sorted(scopes))
    return Conflict(f"{did.name} isn't in scope {did.scope}, but there are {names}: say which one is meant")


def _may_be_elsewhere(lfn: str, did: Did) -> bool:
    return did.name.startswith("/") and did.name != "/" and explicit_did(lfn) is None


def _alive(gateway: RucioGateway, dids: Iterable[Did], expired: bool) -> dict[Did, DidRecord]:
    at = now()
    return {did: record for did, record in gateway.get_dids(dids).items() if expired or not record.expired(at)}


def _everywhere(gateway: RucioGateway, dids: Collection[Did], expired: bool) -> dict[Did, list[DidRecord]]:
    """Look for paths in all scopes but the one that the rules give."""
    candidates: dict[Did, Did] = {}
    for group in _by_top(dids).values():
        scopes: Collection[str] = known_scopes(gateway)
        if len(group) * len(scopes) > _CANDIDATES:
            scopes = scopes_with(gateway, os.path.commonprefix([did.name for did in group]))
        candidates |= {Did(scope, did.name): did for did in group for scope in scopes if scope != did.scope}
    found: dict[Did, list[DidRecord]] = {}
    if candidates:
        for place, record in _alive(gateway, candidates, expired).items():
            found.setdefault(candidates[place], []).append(record)
    return found


def everywhere(gateway: RucioGateway, dids: Iterable[Did]) -> list[Did]:
    """All DIDs with the paths of some, in whatever scope."""
    wanted = list(dict.fromkeys(did_of(did.name) for did in dids))
    own = _alive(gateway, wanted, expired=False)
    others = _everywhere(gateway, wanted, expired=False)
    return [*own, *(record.did for records in others.values() for record in records)]


def _by_top(dids: Iterable[Did]) -> dict[str, list[Did]]:
    groups: dict[str, list[Did]] = {}
    for did in dids:
        groups.setdefault(_top(did.name), []).append(did)
    return groups


def _top(path: str) -> str:
    return "/".join(path.split("/")[:3])


def _learn(gateway: RucioGateway, did: Did) -> None:
    memory, top = _memory(gateway), _top(did.name)
    with _lock:
        memory.foreign[top] = memory.foreign.get(top, frozenset()) | {did.scope}


def known_scopes(gateway: RucioGateway) -> list[str]:
    """All scopes, as they were within the last minute."""
    memory = _memory(gateway)
    if time.monotonic() - memory.scopes_at > FRESH:
        memory.scopes, memory.scopes_at = gateway.list_scopes(), time.monotonic()
    return memory.scopes


def scopes_with(gateway: RucioGateway, beginning: str) -> frozenset[str]:
    """Scopes that have names with a beginning, as it was within the last minute; costs a request for each scope."""
    memory = _memory(gateway)
    since = time.monotonic() - FRESH
    with _lock:
        for known, (at, scopes) in memory.trees.items():
            if at > since and beginning.startswith(known) and (known == beginning or not scopes):
                return scopes
        if len(memory.trees) >= _TREES:
            memory.trees.clear()
    wanted = known_scopes(gateway)
    with ThreadPoolExecutor(THREADS) as pool:
        filled = pool.map(lambda scope: any(True for _ in gateway.find_names(scope, beginning)), wanted)
        scopes = frozenset(scope for scope, yes in zip(wanted, filled, strict=True) if yes)
    with _lock:
        memory.trees[beginning] = (time.monotonic(), scopes)
    return scopes


def foreign_scopes(gateway: RucioGateway, path: str) -> list[str]:
    """Scopes that hold names at or below a path, and that the rules wouldn't look into.

    These are the ones that the configuration names, those mapped to a tree at or below the path, and those where names of
    the tree were found before; with ``*`` in the configuration, whichever there are.
    """
    in_use, own = rules(), scope_of(path)
    found = set(_memory(gateway).foreign.get(_top(path), ()))
    if EVERY in in_use.foreign:
        found |= scopes_with(gateway, f"{path.rstrip('/')}/")
    elif in_use.foreign:
        found |= set(in_use.foreign) & set(known_scopes(gateway))
    if in_use.mapping:
        found |= in_use.mapped_near(path, known_scopes(gateway)).keys()
    return sorted(found - {own})


def lfns_of(gateway: RucioGateway, dids: Iterable[Did]) -> dict[Did, str]:
    """Logical file names by which DIDs are found again: paths, where these aren't ambiguous.

    Only what is in a foreign scope costs a request for each 1,000.
    """
    wanted = list(dict.fromkeys(dids))
    foreign = [did for did in wanted if is_foreign(did)]
    if not foreign:
        return {did: lfn_of(did) for did in wanted}
    own = {did: did_of(did.name) for did in foreign}
    taken = {did.name for did in _alive(gateway, own.values(), expired=False)}
    seen: set[str] = set()
    for did in foreign:
        taken |= {did.name} & seen
        seen.add(did.name)
    names = {did: did.name for did in foreign if did.name not in taken}
    return {did: names.get(did, lfn_of(did)) for did in wanted}


def above_with_scope(did: Did, paths: Iterable[str]) -> list[Did]:
    """Directories of a DID's path, from the top down, as the rules have them and as its own scope may have them."""
    found: dict[Did, None] = {}
    for path in paths:
        found[Did(scope_of(path), path)] = None
        found[Did(did.scope, path)] = None
    return list(found)
