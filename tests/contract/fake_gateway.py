"""A Rucio in memory, behind the same protocol as the real one: for tests of whatever is built on the gateway.

It keeps what a server keeps (names, contents, copies with their locks and tombstones, rules, metadata) and treats it by
the server's rules, as far as the protocol lets them be seen; ``test_gateway_contract.py`` runs the same tests on both.
Files don't move by themselves: :meth:`FakeGateway.transfer` is the transfer service, :meth:`FakeGateway.clean` the
judge, the undertaker and the reaper.
"""

from __future__ import annotations

import copy
import datetime as dt
import fnmatch
import functools
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.accounts import Privileges
from CTARucioDIRAC.domain.identifiers import Did, chunks, validate_did
from CTARucioDIRAC.domain.metadata_query import MetadataQuery
from CTARucioDIRAC.gateway import translate
from CTARucioDIRAC.gateway.filters import RESERVED
from CTARucioDIRAC.gateway.protocol import (
    Content,
    Depth,
    DidRecord,
    DidType,
    FileRecord,
    FileReplicas,
    Grouping,
    Lock,
    Protocol,
    Replica,
    ReplicaState,
    Rse,
    RseType,
    RseUsage,
    Rule,
    RuleState,
)
from CTARucioDIRAC.gateway.replicas import check_same_content
from CTARucioDIRAC.gateway.verbs import CHUNK

#: Accounts that manage all data without being administrators.
DATA_MANAGERS = ("ctaoprod", "ctaodata")
RSES = ("CNAF-DISK", "LAPALMA-DISK", "PIC-BUFFER", "PIC-DISK", "PIC-TAPE")


P = ParamSpec("P")
T = TypeVar("T")
_LOCK = threading.RLock()


def _alone(method: Callable[Concatenate[FakeGateway, P], T]) -> Callable[Concatenate[FakeGateway, P], T]:
    """One writer at a time, as a database's transactions have it."""

    @functools.wraps(method)
    def locked(self: FakeGateway, *args: P.args, **kwargs: P.kwargs) -> T:
        with _LOCK:
            return method(self, *args, **kwargs)

    return locked


@dataclass
class Copy:
    """A copy of a file: what the server's table of replicas has."""

    state: ReplicaState
    locks: set[str] = field(default_factory=set)
    deletable: bool = False


class FakeGateway:
    """See :class:`CTARucioDIRAC.gateway.protocol.RucioGateway` for the verbs.

    Parameters
    ----------
    account : str
        Account that speaks through it.
    admin : bool
        Whether that account may change rules and copies; others may not, as Rucio's generic policy has it.
    """

    def __init__(self, account: str = "ctaoprod", admin: bool = True) -> None:
        self.account = account
        self.admin = admin
        self.requests = 0
        self.now = dt.datetime.now(dt.UTC)
        self.scopes = {"root"}
        self.records: dict[Did, DidRecord] = {}
        self.contents: dict[Did, dict[Did, None]] = {}
        self.copies: dict[Did, dict[str, Copy]] = {}
        self.rules: dict[str, Rule] = {}
        self.metadata: dict[Did, dict[str, Any]] = {}
        self.identities: dict[str, set[str]] = {"ctaoprod": {"/O=CTARucio testbed/CN=Paula Production"}}
        self.attributes: dict[str, dict[str, Any]] = {}

    def as_account(self, account: str, admin: bool = False) -> FakeGateway:
        """The same Rucio through another account."""
        other = copy.copy(self)
        other.account, other.admin, other.requests = account, admin, 0
        return other

    # ---------------------------------------------------------------- what time does

    def transfer(self, only: Collection[Did] | None = None) -> None:
        """Let copies arrive."""
        for did, copies in self.copies.items():
            for there in copies.values():
                if there.state is ReplicaState.COPYING and (only is None or did in only):
                    there.state = ReplicaState.AVAILABLE
        self._count_locks()

    def clean(self) -> None:
        """End what has expired and remove what is deletable."""
        for rule in [r for r in self.rules.values() if r.expires_at and r.expires_at <= self.now and not r.locked]:
            self._drop_rule(rule)
        for did, record in list(self.records.items()):
            if record.expired(self.now):
                self._bury(did)
        for did, copies in list(self.copies.items()):
            for rse in [rse for rse, there in copies.items() if there.deletable and not there.locks]:
                del copies[rse]
                if not copies:
                    self._forget(did)

    def _bury(self, did: Did) -> None:
        if any(rule.did == did and rule.locked for rule in self.rules.values()):
            return
        for rule in [rule for rule in self.rules.values() if rule.did == did]:
            self._drop_rule(rule)
        if self.records[did].type is not DidType.FILE:
            self._forget(did)
            return
        if any(not there.deletable for there in self.copies.get(did, {}).values()):
            self.records[did] = replace(self.records[did], expired_at=None)  # the name comes back
            return
        for members in self.contents.values():
            members.pop(did, None)

    def _forget(self, did: Did) -> None:
        self.records.pop(did, None)
        self.contents.pop(did, None)
        self.copies.pop(did, None)
        self.metadata.pop(did, None)
        for members in self.contents.values():
            members.pop(did, None)

    def _drop_rule(self, rule: Rule) -> None:
        self.rules.pop(rule.id, None)
        for did in self._files_below(rule.did):
            for rse, there in list(self.copies.get(did, {}).items()):
                if rule.id in there.locks:
                    there.locks.discard(rule.id)
                    if not there.locks:
                        there.deletable = True
                        if there.state is ReplicaState.COPYING:
                            del self.copies[did][rse]

    # ---------------------------------------------------------------- the server

    def _ask(self, count: int = 1) -> None:
        self.requests += max(1, -(-count // CHUNK))

    def ping(self) -> str:
        self._ask()
        return "fake"

    def whoami(self) -> str:
        self._ask()
        return self.account

    def server_time(self) -> dt.datetime:
        self._ask()
        return self.now.replace(microsecond=0)

    def list_accounts(self) -> list[str]:
        self._ask()
        return sorted(self.identities)

    def list_identities(self, account: str) -> set[str]:
        self._ask()
        if account not in self.identities:
            raise errors.NotFound(f"account {account} doesn't exist")
        return set(self.identities[account])

    # ---------------------------------------------------------------- names

    def list_scopes(self) -> list[str]:
        self._ask()
        return sorted(self.scopes)

    def add_scope(self, scope: str, account: str | None = None) -> None:
        self._ask()
        self.scopes.add(scope)

    def list_scope_owners(self) -> dict[str, str]:
        self._ask()
        return dict.fromkeys(self.scopes, "ctaoprod")

    def is_admin(self) -> bool:
        self._ask()
        return self.admin and self.account not in DATA_MANAGERS

    def privileges(self) -> Privileges:
        self.requests += 2
        return Privileges(admin=self.is_admin(), manager=self.admin, owners_decide=self.admin)

    def get_dids(self, dids: Iterable[Did]) -> dict[Did, DidRecord]:
        wanted = list(dict.fromkeys(dids))
        if wanted:
            self._ask(len(wanted))
        return {did: self.records[did] for did in wanted if did in self.records}

    def find_names(
        self, scope: str, prefix: str, types: Collection[DidType] | None = None, *, depth: Depth = Depth.ANY
    ) -> Iterator[Content]:
        self._ask()
        for did, record in list(self.records.items()):
            if did.scope != scope or not did.name.startswith(prefix) or record.type not in (types or DidType):
                continue
            if record.expired(self.now):
                continue
            deeper = "/" in did.name[len(prefix) :]
            if depth is Depth.ANY or deeper is (depth is Depth.DEEPER):
                yield Content(did, record.type, record.size)

    def add_datasets(self, dids: Iterable[Did], *, lifetime: float | None = None) -> None:
        expires = self.now + dt.timedelta(seconds=lifetime) if lifetime else None
        self._add_collections(dids, DidType.DATASET, expires)

    def add_containers(self, dids: Iterable[Did]) -> None:
        self._add_collections(dids, DidType.CONTAINER, None)

    @_alone
    def _add_collections(self, dids: Iterable[Did], kind: DidType, expires: dt.datetime | None) -> None:
        wanted = [validate_did(did) for did in dict.fromkeys(dids)]
        self._ask(len(wanted))
        for did in wanted:
            self._check_name(did)
            known = self.records.get(did)
            if known and known.type is not kind:
                raise errors.AlreadyExists(f"{did} can't be created as {kind}: it is a {known.type}")
        for did in wanted:
            if did not in self.records:
                self.records[did] = DidRecord(
                    did, kind, self.account, self.now, self.now, is_open=True, expired_at=expires
                )
                self.contents[did] = {}

    def _check_name(self, did: Did) -> None:
        if did.scope not in self.scopes:
            raise errors.NotFound(f"creating {did}: Scope not found!")

    @_alone
    def attach(self, content: Mapping[Did, Collection[Did]]) -> None:
        links = [(parent, child) for parent, children in content.items() for child in children]
        if links:
            self._ask(len(links))
        for parent, child in links:
            holder = self._existing(parent)
            if child in self.contents.get(parent, {}):
                continue
            if holder.type is DidType.FILE or not holder.is_open:
                raise errors.Conflict(f"attaching {child} to {parent}: it is a file or closed")
            member = self._existing(child)
            if (member.type is DidType.FILE) is not (holder.type is DidType.DATASET):
                raise errors.Conflict(f"attaching {child} to {parent}: a {member.type} can't be in a {holder.type}")
        for parent, child in links:
            if child in self.contents[parent]:
                continue
            self.contents[parent][child] = None
            for rule in [rule for rule in self.rules.values() if parent in (rule.did, *self._below(rule.did))]:
                self._lock(rule, self._files_below(child))
        self._count_locks()

    def _existing(self, did: Did) -> DidRecord:
        if did not in self.records:
            raise errors.NotFound(f"Data identifier '{did}' not found")
        return self.records[did]

    def detach(self, parent: Did, children: Iterable[Did]) -> None:
        self._ask(2)
        self._existing(parent)
        for child in children:
            self.contents[parent].pop(child, None)

    def close(self, did: Did) -> None:
        self._ask()
        self.records[did] = replace(self._existing(did), is_open=False)

    def reopen(self, did: Did) -> None:
        self._ask()
        self._need_admin(f"open {did}")
        self.records[did] = replace(self._existing(did), is_open=True)

    def list_content(self, did: Did) -> list[Content]:
        self._ask()
        self._existing(did)
        return [self._content(child) for child in self.contents.get(did, {})]

    def _content(self, did: Did) -> Content:
        record = self.records[did]
        return Content(did, record.type, record.size, record.adler32, record.md5)

    def _below(self, did: Did) -> list[Did]:
        found: dict[Did, None] = {}
        waiting = list(self.contents.get(did, {}))
        while waiting:
            child = waiting.pop(0)
            if child not in found:
                found[child] = None
                waiting += self.contents.get(child, {})
        return list(found)

    def _files_below(self, did: Did) -> list[Did]:
        return [item for item in (did, *self._below(did)) if item in self.copies]

    def list_files(self, did: Did) -> Iterator[Content]:
        self._ask()
        self._existing(did)
        yield from [self._content(child) for child in self._files_below(did)]

    def list_parents(self, did: Did) -> list[Content]:
        self._ask()
        return [self._content(parent) for parent, members in self.contents.items() if did in members]

    def expire(self, dids: Iterable[Did]) -> None:
        wanted = list(dids)
        self._ask(len(wanted))
        for did in wanted:
            self.records[did] = replace(self._existing(did), expired_at=self.now)

    # ---------------------------------------------------------------- copies

    @_alone
    def add_replicas(
        self, rse: str, files: Iterable[FileRecord], *, known: Mapping[Did, DidRecord] | None = None
    ) -> None:
        records = list({record.did: record for record in files}.values())
        known = self.get_dids(validate_did(record.did) for record in records) if known is None else known
        for record in records:
            if record.did in known:
                check_same_content(record, known[record.did])
        old = [record for record in records if record.did in known]
        if old:
            self._ask(len(old))
            self._check_rse(rse, errors.InvalidInput)
        if any(rse not in self.copies.get(record.did, {}) for record in records):
            self._ask(len(records))
        self._check_rse(rse, errors.NotFound)
        for record in records:
            self._check_name(record.did)
            guid = translate.guid_from_rucio(translate.guid_to_rucio(record.guid)) if record.guid else None
            self.records.setdefault(
                record.did,
                DidRecord(
                    record.did,
                    DidType.FILE,
                    self.account,
                    self.now,
                    self.now,
                    size=record.size,
                    adler32=record.adler32,
                    md5=record.md5,
                    guid=guid,
                ),
            )
            if record.meta and record.did not in known:
                self.metadata.setdefault(record.did, {}).update(translate.plain_metadata(record.meta))
            there = self.copies.setdefault(record.did, {}).setdefault(rse, Copy(record.state))
            if record.state is ReplicaState.AVAILABLE and there.state is not ReplicaState.BAD:
                there.state = ReplicaState.AVAILABLE

    def _check_rse(self, rse: str, kind: type[errors.CtaRucioError]) -> None:
        if rse not in RSES:
            raise kind(f"RSE {rse} doesn't exist")

    def list_replicas(
        self,
        dids: Iterable[Did],
        *,
        all_states: bool = False,
        rse_expression: str | None = None,
        schemes: Collection[str] | None = None,
    ) -> dict[Did, FileReplicas]:
        wanted = list(dict.fromkeys(dids))
        if wanted:
            self._ask(len(wanted))
        rses = self._rses(rse_expression)
        return {did: self._replicas(did, all_states, rses) for did in wanted if did in self.copies}

    def _replicas(self, did: Did, all_states: bool, rses: Collection[str]) -> FileReplicas:
        record = self.records[did]
        replicas = tuple(
            Replica(rse, f"root://{rse.lower()}/{did.name}", there.state, (f"root://{rse.lower()}/{did.name}",))
            for rse, there in sorted(self.copies[did].items())
            if rse in rses and (all_states or there.state is ReplicaState.AVAILABLE)
        )
        return FileReplicas(did, record.size or 0, record.adler32, record.md5, replicas)

    def list_collection_replicas(
        self, did: Did, *, all_states: bool = False, rse_expression: str | None = None
    ) -> Iterator[FileReplicas]:
        self._ask()
        rses = self._rses(rse_expression)
        for child in self._files_below(did):
            found = self._replicas(child, all_states, rses)
            if found.replicas:
                yield found

    def set_replica_states(self, rse: str, states: Mapping[Did, ReplicaState]) -> None:
        if states:
            self._ask(len(states))
        for did, state in states.items():
            if rse not in self.copies.get(did, {}):
                raise errors.NotFound(f"no replica of {did} at {rse}")
            self.copies[did][rse].state = state

    def set_tombstones(self, rse: str, dids: Iterable[Did]) -> None:
        self._ask()
        self._need_admin("make copies deletable")
        for did in dids:
            if rse not in self.copies.get(did, {}):
                raise errors.NotFound(f"no replica of {did} at {rse}")
            if self.copies[did][rse].locks:
                raise errors.Conflict(f"the replica of {did} at {rse} is locked")
            self.copies[did][rse].deletable = True

    # ---------------------------------------------------------------- rules

    def _rses(self, expression: str | None) -> list[str]:
        if expression is None or expression == "*":
            return list(RSES)
        found = [rse for part in expression.split("|") for rse in RSES if rse == part]
        if not found:
            raise errors.InvalidInput(f"RSE expression {expression!r} resulted in an empty set")
        return found

    @_alone
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
        wanted = list(dict.fromkeys(dids))
        owner = account or self.account
        rses = self._rses(rse_expression)
        if len(rses) < copies:
            raise errors.Conflict(f"a rule for {copies} copies at {rse_expression}: not enough RSEs")
        ids: dict[Did, str] = {}
        for chunk in chunks(wanted, CHUNK):
            self._ask()
            for did in chunk:
                record = self._existing(did)
                key = (did, owner, rse_expression, copies)
                same = [r for r in self.rules.values() if (r.did, r.account, r.rse_expression, r.copies) == key]
                if same:
                    if lifetime is None and same[0].expires_at is not None:
                        self._keep(same[0])
                    ids[did] = same[0].id
                    continue
                rule = Rule(
                    id=uuid.uuid4().hex,
                    did=did,
                    did_type=record.type,
                    account=owner,
                    rse_expression=rse_expression,
                    copies=copies,
                    state=RuleState.INJECT if asynchronous else RuleState.OK,
                    locks_ok=0,
                    locks_replicating=0,
                    locks_stuck=0,
                    created_at=self.now,
                    updated_at=self.now,
                    expires_at=self.now + dt.timedelta(seconds=lifetime) if lifetime is not None else None,
                    activity=activity or "User Subscriptions",
                    source_replica_expression=source_replica_expression,
                    grouping=grouping,
                    locked=lifetime is None and "PIC-TAPE" in rses,
                    comment=comment,
                    meta=dict(meta or {}),
                )
                ids[did] = rule.id
                self.rules[rule.id] = rule
                self._lock(rule, self._files_below(did))
        self._count_locks()
        return ids

    def _keep(self, rule: Rule) -> None:
        try:
            soon = rule.expires_at is not None and rule.expires_at <= self.now + dt.timedelta(minutes=10)
            self.update_rule(rule.id, permanent=True, locked=True if soon else None)
        except errors.NotAllowed as error:
            raise errors.Conflict(f"{rule.did} has rule {rule.id}, which ends: {error}") from error

    def _lock(self, rule: Rule, files: Iterable[Did]) -> None:
        for did in files:
            there = self.copies[did]
            order = sorted(self._rses(rule.rse_expression), key=lambda rse: (rse not in there, rse))
            for rse in order[: rule.copies]:
                if rse not in there:
                    there[rse] = Copy(ReplicaState.COPYING)
                there[rse].locks.add(rule.id)
                there[rse].deletable = False

    def _count_locks(self) -> None:
        for rule in self.rules.values():
            states = [
                there.state
                for did in self._files_below(rule.did)
                for there in self.copies[did].values()
                if rule.id in there.locks
            ]
            ok = states.count(ReplicaState.AVAILABLE)
            self.rules[rule.id] = replace(
                rule,
                locks_ok=ok,
                locks_replicating=len(states) - ok,
                state=RuleState.OK if ok == len(states) else RuleState.REPLICATING,
            )

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
        self._ask()
        for rule in list(self.rules.values()):
            if all(
                (
                    did in (None, rule.did),
                    account in (None, rule.account),
                    rse_expression in (None, rule.rse_expression),
                    scope in (None, rule.did.scope),
                    activity in (None, rule.activity),
                    did_type in (None, rule.did_type),
                    state in (None, rule.state),
                    created_after is None or rule.created_at >= created_after,
                    name_pattern is None or fnmatch.fnmatchcase(rule.did.name, name_pattern),
                )
            ):
                yield rule

    def list_rules_on_file(self, did: Did) -> list[Rule]:
        self._ask()
        self._existing(did)
        ids = {rule_id for there in self.copies.get(did, {}).values() for rule_id in there.locks}
        return [rule for rule in self.rules.values() if rule.id in ids]

    def list_locks(self, rule_id: str) -> Iterator[Lock]:
        self._ask()
        for did, copies in self.copies.items():
            for rse, there in copies.items():
                if rule_id in there.locks:
                    yield Lock(did, rse, there.state is ReplicaState.AVAILABLE)

    def get_rules(self, ids: Iterable[str]) -> dict[str, Rule]:
        wanted = list(dict.fromkeys(ids))
        self.requests += len(wanted)
        return {rule_id: self.rules[rule_id] for rule_id in wanted if rule_id in self.rules}

    @_alone
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
        self._ask()
        self._need_admin(f"change rule {rule_id}")
        if rule_id not in self.rules:
            raise errors.NotFound(f"rule {rule_id} doesn't exist")
        rule = self.rules[rule_id]
        changes: dict[str, Any] = {
            "expires_at": None if lifetime is None else self.now + dt.timedelta(seconds=lifetime),
            "locked": locked,
            "comment": comment,
            "activity": activity,
            "source_replica_expression": source_replica_expression,
            "state": RuleState.STUCK if stuck else None,
        }
        rule = replace(rule, **{key: value for key, value in changes.items() if value is not None})
        self.rules[rule_id] = replace(rule, expires_at=None) if permanent else rule

    def _need_admin(self, what: str) -> None:
        if not self.admin:
            raise errors.NotAllowed(f"account {self.account} may not {what}")

    def end_rule(self, rule_id: str, *, purge_replicas: bool = False) -> None:
        if rule_id in self.rules:
            self.update_rule(rule_id, locked=False, lifetime=0)
        else:
            self._ask()

    # ---------------------------------------------------------------- metadata

    @_alone
    def set_metadata(self, metadata: Mapping[Did, Mapping[str, Any]]) -> None:
        self._ask(len(metadata))
        missing = [did for did, meta in metadata.items() if meta and did not in self.records]
        for did, meta in metadata.items():
            plain = translate.plain_metadata(meta)
            if did in self.records:
                self.metadata.setdefault(did, {}).update(plain)
        if missing:
            raise errors.NotFound(f"no metadata set for {missing[0]}: no such DID")

    def delete_metadata(self, did: Did, keys: Iterable[str]) -> None:
        for key in keys:
            self._ask()
            self.metadata.get(did, {}).pop(key, None)

    def get_metadata(self, dids: Iterable[Did]) -> dict[Did, dict[str, Any]]:
        wanted = list(dict.fromkeys(dids))
        if wanted:
            self._ask(2 * len(wanted))
        return {
            did: {key: value for key, value in self.metadata.get(did, {}).items() if value is not None}
            for did in wanted
            if did in self.records
        }

    def clear_metadata(self, keys: Mapping[Did, Collection[str]]) -> None:
        self.set_metadata({did: dict.fromkeys(some_keys) for did, some_keys in keys.items()})

    def find_guids(self, scope: str, guids: Collection[str]) -> dict[str, list[Did]]:
        self.requests += -(-len(set(guids)) // 40)
        wanted = {translate.guid_to_rucio(guid): guid for guid in guids}
        found: dict[str, list[Did]] = {}
        for did, record in list(self.records.items()):
            guid = translate.guid_to_rucio(record.guid) if record.guid else None
            if did.scope == scope and guid in wanted and not record.expired(self.now):
                found.setdefault(wanted[guid], []).append(did)
        return found

    def find_dids(
        self, scope: str, query: MetadataQuery, *, types: Collection[DidType] | None = None, prefix: str = ""
    ) -> Iterator[Did]:
        self._ask()
        if query.keys & RESERVED:
            raise errors.InvalidInput(f"{sorted(query.keys & RESERVED)} can't be searched for")
        for did, record in list(self.records.items()):
            if did.scope != scope or not did.name.startswith(prefix) or record.type not in (types or DidType):
                continue
            if not record.expired(self.now) and query.matches(self.metadata.get(did, {})):
                yield did

    def has_metadata(self, scope: str, keys: Collection[str], prefix: str = "") -> bool:
        self._ask()
        return any(
            any(meta.get(key) is not None for key in keys)
            for did, meta in self.metadata.items()
            if did.scope == scope and did.name.startswith(prefix)
        )

    # ---------------------------------------------------------------- storage endpoints

    def list_rses(self, expression: str | None = None, *, attributes: bool = False) -> list[Rse]:
        self._ask()
        names = self._rses(expression)
        if attributes:
            self.requests += len(names)
        return [
            Rse(
                name,
                RseType.TAPE if name.endswith("TAPE") else RseType.DISK,
                True,
                True,
                True,
                True,
                {"site": name.split("-")[0], **self.attributes.get(name, {})} if attributes else {},
            )
            for name in sorted(names)
        ]

    def list_protocols(self, rse: str) -> list[Protocol]:
        self._ask()
        self._check_rse(rse, errors.NotFound)
        return [Protocol("root", f"{rse.lower()}", 1094, "/", frozenset({"read", "write", "delete"}))]

    def addresses(self, rse: str, dids: Iterable[Did], scheme: str) -> dict[Did, str]:
        self._ask()
        self._check_rse(rse, errors.NotFound)
        if scheme != "root":
            raise errors.NotFound(f"{rse} can't be read over {scheme}")
        return {did: f"root://{rse.lower()}/{did.name}" for did in dids}

    def rse_usage(self, rse: str) -> list[RseUsage]:
        self._ask()
        self._check_rse(rse, errors.NotFound)
        held = [self.records[did].size or 0 for did, copies in self.copies.items() if rse in copies]
        return [RseUsage(rse, "rucio", sum(held), None, sum(held), len(held))]
