"""Which copies rules hold: one that none holds is deletable as soon as any rule over it ends, unless a permanent one comes
first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from CTARucioDIRAC.domain.errors import NotFound
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.gateway.protocol import DidType, Lock, RucioGateway, Rule

from .bulk import THREADS

_NONE: frozenset[str] = frozenset()


class Holdings:
    """RSEs where rules hold copies of files.

    Parameters
    ----------
    wanted : callable
        Says of a DID whether it is one of the files that will be asked for: the others aren't remembered.

    Notes
    -----
    :meth:`load` costs a request for all rules, and one for each rule on a collection or over several RSEs; :meth:`ask` one
    for each file.
    """

    def __init__(self, gateway: RucioGateway, wanted: Callable[[Did], bool]) -> None:
        self._gateway = gateway
        self._wanted = wanted
        self._held: dict[Did, frozenset[str]] = {}
        self._same: dict[frozenset[str], frozenset[str]] = {}

    def load(self) -> None:
        """Read what all rules hold."""
        rses = {rse.name for rse in self._gateway.list_rses()}
        unclear: list[Rule] = []
        for rule in self._gateway.list_rules():
            if rule.did_type is DidType.FILE and not self._wanted(rule.did):
                continue
            if rule.did_type is DidType.FILE and rule.rse_expression in rses:
                self._add(rule.did, rule.rse_expression)
            else:
                unclear.append(rule)
        with ThreadPoolExecutor(THREADS) as pool:
            for locks in pool.map(self._locks, unclear):
                for lock in locks:
                    self._add(lock.did, lock.rse)

    def ask(self, dids: Iterable[Did]) -> None:
        """Read which rules hold some files: better than :meth:`load` for few."""
        wanted = list(dids)
        rses = {rse.name for rse in self._gateway.list_rses()}
        unclear: dict[str, Rule] = {}
        with ThreadPoolExecutor(THREADS) as pool:
            for did, rules in zip(wanted, pool.map(self._gateway.list_rules_on_file, wanted), strict=True):
                for rule in rules:
                    if rule.rse_expression in rses:
                        self._add(did, rule.rse_expression)
                    else:
                        unclear[rule.id] = rule
            for locks in pool.map(self._locks, unclear.values()):
                for lock in locks:
                    self._add(lock.did, lock.rse)

    def _locks(self, rule: Rule) -> list[Lock]:
        try:
            return [lock for lock in self._gateway.list_locks(rule.id) if self._wanted(lock.did)]
        except NotFound:  # it has ended meanwhile
            return []

    def _add(self, did: Did, rse: str) -> None:
        places = self._held.get(did, _NONE) | {rse}
        self._held[did] = self._same.setdefault(places, places)

    def loose(self, copies: Mapping[Did, Iterable[str]]) -> dict[str, list[Did]]:
        """Files with a copy that no rule holds, by RSE."""
        found: dict[str, list[Did]] = {}
        for did, places in copies.items():
            for rse in set(places) - self._held.get(did, _NONE):
                found.setdefault(rse, []).append(did)
        return found
