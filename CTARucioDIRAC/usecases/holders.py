"""Which rules hold the copies of files, and whether one of them does so for good.

The server tells the rules on one file at a time, and ends one rule at a time. Its one bulk answer with the collections that
files are in costs it more than asking for each file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.gateway.protocol import DidRecord, Lock, RucioGateway, Rule

from .bulk import THREADS

#: Up to this many rules are looked at one by one; more cost a listing for each scope.
_FEW = 8


class Holders:
    """Which rules hold a copy; remembers what rules cost a request to look into.

    Parameters
    ----------
    known : iterable of DidRecord
        Files that have just been looked up.
    """

    def __init__(self, gateway: RucioGateway, known: Iterable[DidRecord] = ()) -> None:
        self._gateway = gateway
        self.rses = {rse.name for rse in gateway.list_rses()}
        self._locks: dict[str, set[Lock]] = {}
        self._ends = {record.did: record.expired_at is not None for record in known}

    def of(self, did: Did) -> list[tuple[Rule, set[str]]]:
        """Rules that hold a file, each with the RSEs where it holds a copy."""
        return [(rule, self._where(rule, did)) for rule in self._gateway.list_rules_on_file(did)]

    def _where(self, rule: Rule, did: Did) -> set[str]:
        if rule.rse_expression in self.rses:
            return {rule.rse_expression}
        return {lock.rse for lock in self._locks_of(rule) if lock.did == did}

    def _locks_of(self, rule: Rule) -> set[Lock]:
        if rule.id not in self._locks:
            self._locks[rule.id] = set(self._gateway.list_locks(rule.id))
        return self._locks[rule.id]

    def keeps(self, rule: Rule, where: set[str], did: Did) -> set[str]:
        """RSEs where a rule keeps a copy for good: it is there, and neither the rule nor the name it is on ends."""
        if rule.expires_at is not None or self._is_ending(rule.did):
            return set()
        if rule.done:
            return where
        return {lock.rse for lock in self._locks_of(rule) if lock.did == did and lock.ok}

    def _is_ending(self, did: Did) -> bool:
        if did not in self._ends:
            record = self._gateway.get_dids([did]).get(did)
            self._ends[did] = record is None or record.expired_at is not None
        return self._ends[did]


def without_end(gateway: RucioGateway, rules: Collection[Rule]) -> set[str]:
    """Ids of those rules that still have no end; costs few requests where the rules are about as old as each other."""
    wanted = {rule.id: rule for rule in rules}
    found: dict[str, Rule] = {}
    if len(wanted) > _FEW:
        oldest = min(rule.created_at for rule in wanted.values()) - dt.timedelta(seconds=1)
        patience = 2000 + 5 * len(wanted)
        for scope in sorted({rule.did.scope for rule in wanted.values()}):
            for rule in gateway.list_rules(scope=scope, created_after=oldest):
                patience -= 1
                if rule.id in wanted:
                    found[rule.id] = rule
                if patience < 0 or len(found) == len(wanted):
                    break
    missing = [rule_id for rule_id in wanted if rule_id not in found]
    with ThreadPoolExecutor(THREADS) as pool:
        for some in pool.map(lambda rule_id: gateway.get_rules([rule_id]), missing):
            found |= some
    return {rule_id for rule_id, rule in found.items() if rule.expires_at is None}
