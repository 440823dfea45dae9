"""Verbs on replication rules."""

from __future__ import annotations

import contextlib
import datetime as dt
import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import Did, chunks

from . import translate
from .names import NameVerbs
from .protocol import DidType, Grouping, Lock, Rule, RuleState
from .verbs import CHUNK, some

#: A rule that ends within this time, or has ended, may be on the server's list of those to clean up.
_SOON = dt.timedelta(minutes=10)
#: Up to this many DIDs with a rule in the way are looked at one by one; more cost one listing.
_FEW = 8
_RULE_LETTERS = {
    RuleState.OK: "O",
    RuleState.REPLICATING: "R",
    RuleState.STUCK: "S",
    RuleState.SUSPENDED: "U",
    RuleState.WAITING_APPROVAL: "W",
    RuleState.INJECT: "I",
}


class RuleVerbs(NameVerbs):
    """See :class:`~.protocol.RucioGateway` for what each verb promises."""

    def add_rule(
        self,
        dids: Iterable[Did],
        rse_expression: str,
        *,
        copies: int = 1,
        lifetime: float | None = None,
        account: str | None = None,
        activity: str | None = None,
        source_replica_expression: str | None = None,
        grouping: Grouping = Grouping.DATASET,
        comment: str | None = None,
        meta: Mapping[str, Any] | None = None,
        asynchronous: bool = False,
        priority: int = 3,
    ) -> dict[Did, str]:
        owner = account or self.account

        def create(wanted: list[Did]) -> dict[Did, str]:
            with self._doing(f"adding a rule for {some(wanted)} at {rse_expression}"):
                ids = self._client.add_replication_rule(
                    [translate.as_dict(did) for did in wanted],
                    copies,
                    rse_expression,
                    lifetime=lifetime,
                    account=owner,
                    activity=activity,
                    source_replica_expression=source_replica_expression,
                    grouping=grouping.value,
                    comment=comment,
                    meta=json.dumps(dict(meta)) if meta else None,
                    asynchronous=asynchronous,
                    priority=priority,
                )
            return dict(zip(wanted, map(str, ids), strict=True))

        rules: dict[Did, str] = {}
        for chunk in chunks(dict.fromkeys(dids), CHUNK):
            missing = chunk
            for _ in range(3):  # once more for each writer that adds the same rules at the same time
                try:
                    rules |= create(missing)
                    missing = []
                    break
                except errors.AlreadyExists:
                    there = self._rules_in_the_way(missing, owner, rse_expression, copies)
                    if lifetime is None:
                        there = {did: rule for did, rule in there.items() if self._keep(rule)}
                    rules |= {did: rule.id for did, rule in there.items()}
                    missing = [did for did in missing if did not in rules]
                    if not missing:
                        break
            if missing:
                raise errors.Conflict(
                    f"a rule for {some(missing)} at {rse_expression} is said to exist for account {owner}, but can't be "
                    "found: another process may be adding and ending it; repeat the call"
                )
        return rules

    def _keep(self, rule: Rule) -> bool:
        """Make a rule that would end permanent; False if it's gone.

        One that ends soon is locked, too: the server's cleaner may have it on its list already, and looks at nothing but
        the lock when its turn comes. :meth:`end_rule` unlocks.
        """
        if rule.expires_at is None:
            return True
        locked = True if rule.expires_at <= dt.datetime.now(dt.UTC) + _SOON else None
        try:
            self.update_rule(rule.id, permanent=True, purge_replicas=False, locked=locked)
        except errors.NotFound:
            return False
        except errors.NotAllowed as error:
            raise errors.Conflict(
                f"{rule.did} has rule {rule.id} of account {rule.account} at {rule.rse_expression}, which ends at "
                f"{rule.expires_at:%Y-%m-%d %H:%M:%S} UTC, so that none without an end can be put; account {self.account} "
                f"may not make it permanent: ask an administrator, or repeat the call when it has ended ({error})"
            ) from error
        return True

    def _rules_in_the_way(self, dids: list[Did], account: str, rse_expression: str, copies: int) -> dict[Did, Rule]:
        """Rules that make the server refuse ours."""
        if len(dids) <= _FEW:
            rules = [rule for did in dids for rule in self.list_rules(did=did, account=account)]
        else:
            created = [record.created_at for record in self.get_dids(dids).values()]
            since = min(created) - dt.timedelta(seconds=1) if created else None
            rules = [
                rule
                for scope in sorted({did.scope for did in dids})
                for rule in self.list_rules(
                    account=account, rse_expression=rse_expression, scope=scope, created_after=since
                )
            ]
        wanted = set(dids)
        return {
            rule.did: rule
            for rule in rules
            if rule.did in wanted and rule.rse_expression == rse_expression and rule.copies == copies
        }

    def list_rules(
        self,
        *,
        did: Did | None = None,
        account: str | None = None,
        rse_expression: str | None = None,
        scope: str | None = None,
        activity: str | None = None,
        did_type: DidType | None = None,
        state: RuleState | None = None,
        created_after: dt.datetime | None = None,
        name_pattern: str | None = None,
    ) -> Iterator[Rule]:
        conditions = {
            "scope": did.scope if did else scope,
            "name": did.name if did else None,
            "account": account,
            "rse_expression": rse_expression,
            "activity": activity,
            "did_type": did_type.value[0] if did_type else None,
            "state": _RULE_LETTERS[state] if state else None,
            "created_after": created_after.astimezone(dt.UTC).strftime("%a, %d %b %Y %H:%M:%S UTC")
            if created_after
            else None,
        }
        given = {key: value for key, value in conditions.items() if value is not None}
        for answer in self._stream(lambda: self._client.list_replication_rules(given), f"listing rules with {given}"):
            rule = translate.rule(answer)
            if name_pattern is None or fnmatch.fnmatchcase(rule.did.name, name_pattern):
                yield rule

    def list_rules_on_file(self, did: Did) -> list[Rule]:
        what = f"listing the rules that hold {did}"
        answers = self._stream(lambda: self._client.list_associated_rules_for_file(did.scope, did.name), what)
        return [translate.rule(answer) for answer in answers]

    def list_locks(self, rule_id: str) -> Iterator[Lock]:
        for answer in self._stream(lambda: self._client.list_replica_locks(rule_id), f"listing the locks of {rule_id}"):
            yield Lock(translate.as_did(answer), str(answer["rse"]), str(answer["state"]).endswith("OK"))

    def get_rules(self, ids: Iterable[str]) -> dict[str, Rule]:
        found: dict[str, Rule] = {}
        for rule_id in dict.fromkeys(ids):
            with contextlib.suppress(errors.NotFound), self._doing(f"looking up rule {rule_id}"):
                found[rule_id] = translate.rule(self._client.get_replication_rule(rule_id))
        return found

    def update_rule(
        self,
        rule_id: str,
        *,
        lifetime: float | None = None,
        permanent: bool = False,
        purge_replicas: bool | None = None,
        locked: bool | None = None,
        comment: str | None = None,
        activity: str | None = None,
        source_replica_expression: str | None = None,
        priority: int | None = None,
        stuck: bool | None = None,
        cancel_requests: bool | None = None,
        boost: bool | None = None,
    ) -> None:
        options = {
            "locked": locked,
            "purge_replicas": purge_replicas,
            "lifetime": lifetime,
            "comment": comment,
            "activity": activity,
            "source_replica_expression": source_replica_expression,
            "priority": priority,
            "state": "STUCK" if stuck else None,
            "cancel_requests": cancel_requests,
            "boost_rule": boost,
        }
        given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
        if permanent:
            given["lifetime"] = None
        with self._doing(f"changing rule {rule_id}: {given}"):
            self._client.update_replication_rule(rule_id, given)

    def end_rule(self, rule_id: str, *, purge_replicas: bool = False) -> None:
        with contextlib.suppress(errors.NotFound):
            self.update_rule(rule_id, locked=False, purge_replicas=purge_replicas or None, lifetime=0)
