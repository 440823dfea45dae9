"""Searching by metadata, with the metadata of directories valid for what is below them."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from CTARucioDIRAC.domain.identifiers import Did, ancestors_of, scope_of
from CTARucioDIRAC.domain.metadata_query import Condition, MetadataQuery, Operator
from CTARucioDIRAC.gateway.protocol import DidType, RucioGateway

from .bulk import THREADS
from .files import alive
from .tree import FILES_DATASET, scopes_below

#: Up to this many directories, their metadata are read instead of searched.
_FEW = 3000
_COLLECTIONS = frozenset({DidType.DATASET, DidType.CONTAINER})


def find_files(gateway: RucioGateway, query: MetadataQuery, path: str, vo: str) -> Iterator[Did]:
    """Files below a directory that fulfil a query with their own metadata, or those of a directory above them.

    What a file says itself counts, or else what the nearest directory above it says. Each file comes once, in no order.
    The number of requests grows with the number of different sets of conditions that directories fulfil, and with the
    conditions, not with the number of directories or files, but for ⌈files found / 1000⌉ to sort out what isn't alive.
    """
    return _in_scopes(
        gateway, path, vo, _needed(query), lambda scope, prefix: _find_in_scope(gateway, query, scope, prefix)
    )


def _in_scopes(
    gateway: RucioGateway, path: str, vo: str, keys: Collection[str], search: Callable[[str, str], Iterator[Did]]
) -> Iterator[Did]:
    """Search each scope below a path: one as its answers come; of several, those that have the keys, side by side."""
    places = scopes_below(gateway, path, vo)
    if len(places) == 1:
        yield from search(*places[0])
        return

    def look(place: tuple[str, str]) -> list[Did]:
        relevant = not keys or gateway.has_metadata(place[0], keys)
        return list(search(*place)) if relevant else []

    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(look, places):
            yield from found


def _find_in_scope(gateway: RucioGateway, query: MetadataQuery, scope: str, prefix: str) -> Iterator[Did]:
    fulfilled = _fulfilled_by_directories(gateway, query, scope, prefix)
    unsaid = _unsaid(query)
    open_sets = {_rest(query, done) for done in (*fulfilled.values(), unsaid)}
    contradicting = _Contradicting(gateway, scope, prefix)
    for rest in sorted(open_sets, key=lambda q: len(q.conditions)):
        if any(c.operator is Operator.MISSING for c in rest.conditions):
            continue  # the directories have the key: every file below them has
        below = prefix
        if rest != _rest(query, unsaid):  # only below the directories that leave just this open
            common = os.path.commonprefix([f"{d}/" for d, done in fulfilled.items() if _rest(query, done) == rest])
            below = max(prefix, common, key=len)
        done_above = [c for c in query.conditions if c not in rest.conditions]
        for did in gateway.find_dids(scope, rest, types={DidType.FILE}, prefix=below):
            if _rest(query, _above(fulfilled, did.name, unsaid)) == rest and not any(
                did in contradicting.of(condition) for condition in done_above
            ):
                yield did


class _Contradicting:
    """Files that have a key themselves, with a value that doesn't fulfil what the directories above them do."""

    def __init__(self, gateway: RucioGateway, scope: str, prefix: str) -> None:
        self._gateway, self._scope, self._prefix = gateway, scope, prefix
        self._having: dict[str, set[Did]] = {}
        self._found: dict[Condition, set[Did]] = {}

    def of(self, condition: Condition) -> set[Did]:
        if condition not in self._found:
            if condition.key not in self._having:
                self._having[condition.key] = self._search(Condition(condition.key, Operator.EXISTS, True))
            having = self._having[condition.key]
            fine = self._search(condition) if having and condition.operator is not Operator.MISSING else set()
            self._found[condition] = having - fine
        return self._found[condition]

    def _search(self, condition: Condition) -> set[Did]:
        query = MetadataQuery((condition,))
        return set(self._gateway.find_dids(self._scope, query, types={DidType.FILE}, prefix=self._prefix))


def _needed(query: MetadataQuery) -> frozenset[str]:
    """Keys out of which whatever is found has all."""
    return frozenset(c.key for c in query.conditions if c.operator is not Operator.MISSING)


def _unsaid(query: MetadataQuery) -> frozenset[Condition]:
    """Conditions that are fulfilled where nothing is said."""
    return frozenset(c for c in query.conditions if c.operator is Operator.MISSING)


def find_directories(gateway: RucioGateway, query: MetadataQuery, path: str, vo: str) -> Iterator[Did]:
    """Directories at and below a path that fulfil a query with their own metadata and those of directories above."""
    return _in_scopes(
        gateway, path, vo, _needed(query), lambda scope, prefix: _directories_in_scope(gateway, query, scope, prefix)
    )


def _directories_in_scope(gateway: RucioGateway, query: MetadataQuery, scope: str, prefix: str) -> Iterator[Did]:
    fulfilled = _fulfilled_by_directories(gateway, query, scope, prefix)
    unsaid = _unsaid(query)
    if all(_rest(query, done).conditions for done in (*fulfilled.values(), unsaid)):
        return
    own = Did(scope, prefix.rstrip("/"))
    top = [did for did, record in alive(gateway, [own]).items() if record.type is not DidType.FILE]
    for did in (*top, *(found.did for found in gateway.find_names(scope, prefix, _COLLECTIONS))):
        if did.name.endswith(f"/{FILES_DATASET}"):
            continue
        done = fulfilled[did.name] if did.name in fulfilled else _above(fulfilled, did.name, unsaid)
        if not _rest(query, done).conditions:
            yield did


def _fulfilled_by_directories(
    gateway: RucioGateway, query: MetadataQuery, scope: str, prefix: str
) -> dict[str, frozenset[Condition]]:
    """Conditions that each directory fulfils, with what it inherits; only directories that have any of the keys.

    The directories above the prefix count, too.
    """
    if not query.conditions:
        return {}
    metadata = _directory_metadata(gateway, query, scope, prefix)
    fulfilled = {}
    for name in sorted(metadata):
        merged: dict[str, Any] = {}
        for above in (*ancestors_of(name), name):
            merged |= metadata.get(above, {})
        fulfilled[name] = frozenset(c for c in query.conditions if MetadataQuery((c,)).matches(merged))
    return fulfilled


def _directory_metadata(
    gateway: RucioGateway, query: MetadataQuery, scope: str, prefix: str
) -> dict[str, dict[str, Any]]:
    """Metadata of the directories below and above a prefix, by path; at least of those that have any of the keys."""
    above = {Did(scope_of(path), path) for path in ancestors_of(f"{prefix}x")}
    below = {found.did for found in islice(gateway.find_names(scope, prefix, _COLLECTIONS), _FEW + 1)}
    if len(below) > _FEW:  # searching reads the names of all files with these keys as well: worth it only here
        below = set()
        for key in sorted(query.keys):
            exists = MetadataQuery((Condition(key, Operator.EXISTS, True),))
            below.update(gateway.find_dids(scope, exists, types=_COLLECTIONS, prefix=prefix))
    found = gateway.get_metadata(above | below) if above | below else {}
    return {did.name: values for did, values in found.items() if values}


def _above(fulfilled: dict[str, frozenset[Condition]], name: str, unsaid: frozenset[Condition]) -> frozenset[Condition]:
    """What the nearest directory above a name fulfils; ``unsaid`` if none says anything."""
    for above in reversed(ancestors_of(name)):
        if above in fulfilled:
            return fulfilled[above]
    return unsaid


def _rest(query: MetadataQuery, done: Iterable[Condition]) -> MetadataQuery:
    """Conditions that are still open, in the query's order."""
    fulfilled = set(done)
    return MetadataQuery(tuple(c for c in query.conditions if c not in fulfilled))
