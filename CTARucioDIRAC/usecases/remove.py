"""Removing: exactly what was named, and nothing that something else still needs.

A copy may go when only file rules for that very RSE hold it, and a rule without an end holds another one that can be
read: neither a pin, which ends, nor a copy that no rule holds is a safe one. The last copy is never removed as a copy:
that is removing the file. A dataset rule, or a rule over several RSEs, that holds it is a refusal that names the rule.
Ending a rule makes the copy that it held deletable and no other. The bytes are removed by Rucio's reaper, never from here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from CTARucioDIRAC.domain.errors import Conflict, CtaRucioError, NotAllowed, NotFound
from CTARucioDIRAC.domain.identifiers import Did, explicit_did, lfn_of
from CTARucioDIRAC.gateway.protocol import DidRecord, DidType, FileReplicas, Lock, ReplicaState, RucioGateway, Rule

from . import tree
from .bulk import Bulk, each_or_split, missing
from .files import alive, stat_directories, stat_files
from .resolve import look_up, look_up_one

#: Rules are looked up file by file, as the server has no call for many: so many at the same time.
_THREADS = 8


def remove_copies(gateway: RucioGateway, copies: Mapping[str, str]) -> Bulk[bool]:
    """Let go of the copy of each file at the RSE given for it.

    The copy is deleted by Rucio soon after. One of the others must be held for good: those that are merely listed may be
    on their way out. A file without a copy there is done already.
    """
    answers: Bulk[bool] = Bulk()
    stat = stat_files(gateway, copies)
    answers.failed = dict(stat.failed)
    _check_rses(gateway, set(copies.values()))
    there = gateway.list_replicas((record.did for record in stat.done.values()), all_states=True)
    holders = _Holders(gateway, stat.done.values())

    def remove(lfn: str) -> CtaRucioError | None:
        try:
            _remove_copy(gateway, there.get(stat.done[lfn].did), copies[lfn], holders)
        except CtaRucioError as error:
            return error
        return None

    with ThreadPoolExecutor(_THREADS) as pool:
        for lfn, error in zip(stat.done, pool.map(remove, stat.done), strict=True):
            if error is None:
                answers.done[lfn] = True
            else:
                answers.failed[lfn] = error
    return answers


def _check_rses(gateway: RucioGateway, rses: set[str]) -> None:
    unknown = rses - {rse.name for rse in gateway.list_rses()}
    if unknown:
        raise NotFound(f"there is no RSE {', '.join(sorted(unknown))} in Rucio")


class _Holders:
    """Which rules hold a copy; remembers what rules cost a request to look into."""

    def __init__(self, gateway: RucioGateway, known: Iterable[DidRecord] = ()) -> None:
        self._gateway = gateway
        self._rses = {rse.name for rse in gateway.list_rses()}
        self._locks: dict[str, set[Lock]] = {}
        self._ends = {record.did: record.expired_at is not None for record in known}

    def of(self, did: Did) -> list[tuple[Rule, set[str]]]:
        """Rules that hold a file, each with the RSEs where it holds a copy."""
        return [(rule, self._where(rule, did)) for rule in self._gateway.list_rules_on_file(did)]

    def _where(self, rule: Rule, did: Did) -> set[str]:
        if rule.rse_expression in self._rses:
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


def _remove_copy(gateway: RucioGateway, file: FileReplicas | None, rse: str, holders: _Holders) -> None:
    if file is None or all(replica.rse != rse for replica in file.replicas):
        return
    rules = holders.of(file.did)
    here = [rule for rule, where in rules if rse in where]
    for rule in here:
        if rule.did_type is not DidType.FILE or rule.rse_expression != rse:
            raise Conflict(
                f"the copy of {file.did} at {rse} is held by rule {rule.id} of account {rule.account} on {rule.did} "
                f"({rule.copies} at {rule.rse_expression}); end or change that rule first"
            )
    _check_another_stays(file, rse, rules, holders)
    _let_go_here(gateway, file.did, rse, here)
    try:
        # another process may be removing another copy: who comes last sees it, and each of the two if they are even
        _check_another_stays(file, rse, holders.of(file.did), holders)
    except Conflict:
        _hold_again(gateway, file.did, rse, here)
        raise


def _let_go_here(gateway: RucioGateway, did: Did, rse: str, here: Iterable[Rule]) -> None:
    """End the rules that hold a copy; those of others first, so that nothing is done where that isn't allowed."""
    ending = sorted(here, key=lambda rule: rule.account == gateway.account)
    if not ending:
        gateway.set_tombstones(rse, [did])
    for rule in ending:
        try:
            gateway.end_rule(rule.id, purge_replicas=True)  # not only where the RSE deletes greedily
        except NotAllowed as error:
            raise NotAllowed(
                f"the copy of {did} at {rse} is held by rule {rule.id} of account {rule.account}, which account "
                f"{gateway.account} may not end: ask its owner, or an administrator ({error})"
            ) from error


def _hold_again(gateway: RucioGateway, did: Did, rse: str, ended: Iterable[Rule]) -> None:
    """Take back that a copy may go."""
    held = False
    for rule in ended:
        with contextlib.suppress(NotFound):
            # the lock stops the server's cleaner, which may have the rule on its list already
            gateway.update_rule(rule.id, permanent=True, purge_replicas=False, locked=True)
            held = True
    if not held:
        gateway.add_rule([did], rse, comment="the last copy, which was about to be removed")


def _check_another_stays(
    file: FileReplicas, rse: str, rules: Iterable[tuple[Rule, set[str]]], holders: _Holders
) -> None:
    others = {replica.rse for replica in file.available if replica.rse != rse}
    if not others:
        raise Conflict(
            f"the copy of {file.did} at {rse} is the last one: the last copy isn't removed this way; remove the file "
            "(removeFile), or make another copy first"
        )
    if not others & {place for rule, where in rules for place in holders.keeps(rule, where, file.did)}:
        raise Conflict(
            f"no rule holds another copy of {file.did} for good ({', '.join(sorted(others))} can be read): the one at {rse} "
            "stays, as the last copy isn't removed this way; put a rule without an end on one that is there, or remove the "
            "file (removeFile)"
        )


def remove_files(gateway: RucioGateway, lfns: Iterable[str]) -> Bulk[bool]:
    """Remove files for good: the name goes at once, its rules and copies when Rucio's daemons come by.

    A file that a rule on a dataset holds isn't removed: the rule is named. A removal that was stopped in the middle is
    completed by the same call again.
    """
    answers: Bulk[bool] = Bulk()
    there_are = look_up(gateway, lfns, answers, expired=True)
    names, records = there_are.dids, there_are.records
    good = {did: lfn for lfn, did in names.items() if did in records and records[did].type is DidType.FILE}
    for lfn, did in names.items():
        if did not in good:
            answers.failed[lfn] = missing()
    there = gateway.list_replicas(good, all_states=True)
    holders = _Holders(gateway)
    loose: dict[str, list[Did]] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        outcomes = list(pool.map(lambda did: _release(gateway, did, there.get(did), holders), good))
    for did, outcome in zip(list(good), outcomes, strict=True):
        if isinstance(outcome, CtaRucioError):
            answers.failed[good.pop(did)] = outcome
        else:
            for rse in outcome:
                loose.setdefault(rse, []).append(did)
    for rse, dids in loose.items():
        _finish(answers, good, each_or_split(dids, partial(_let_go, gateway, rse)))
    _finish(answers, good, each_or_split(list(good), gateway.expire))
    answers.done = dict.fromkeys(good.values(), True)
    return answers


def _finish(answers: Bulk[bool], good: dict[Did, str], errors: Mapping[Did, CtaRucioError]) -> None:
    for did, error in errors.items():
        if did in good:
            answers.failed[good.pop(did)] = error


def _release(gateway: RucioGateway, did: Did, file: FileReplicas | None, holders: _Holders) -> set[str] | CtaRucioError:
    """Unlock a file's own rules, which end with its name; returns where copies without any rule are."""
    try:
        rules = holders.of(did)
        for rule, _ in rules:
            if rule.did_type is not DidType.FILE:
                raise Conflict(
                    f"{did} is held by rule {rule.id} of account {rule.account} on {rule.did} at {rule.rse_expression}; "
                    "end that rule first, or detach the file"
                )
        for rule, _ in rules:
            if rule.locked:
                gateway.update_rule(rule.id, locked=False)
    except CtaRucioError as error:
        return error
    held = {rse for _, where in rules for rse in where}
    return {r.rse for r in file.replicas if r.rse not in held and r.state in _STABLE} if file else set()


_STABLE = (ReplicaState.AVAILABLE, ReplicaState.UNAVAILABLE, ReplicaState.TEMPORARY_UNAVAILABLE, ReplicaState.BAD)


def _let_go(gateway: RucioGateway, rse: str, dids: list[Did]) -> None:
    """Make copies without any rule deletable: else the server brings the name back. Those already gone are fine."""
    try:
        gateway.set_tombstones(rse, dids)
    except NotFound:
        if len(dids) > 1:
            raise


def remove_directories(gateway: RucioGateway, lfns: Iterable[str], vo: str, *, recursive: bool = False) -> Bulk[bool]:
    """Remove directories without files; with ``recursive``, those that hold empty directories too.

    A dataset with members that lie elsewhere, or with a rule, isn't removed: its end would let copies go.
    """
    answers: Bulk[bool] = Bulk()
    stat = stat_directories(gateway, lfns, vo)
    answers.failed = dict(stat.failed)
    for lfn in stat.done:
        try:
            _remove_directory(gateway, lfn, vo, recursive)
            answers.done[lfn] = True
        except CtaRucioError as error:
            answers.failed[lfn] = error
    return answers


def _remove_directory(gateway: RucioGateway, lfn: str, vo: str, recursive: bool) -> None:
    own, record = look_up_one(gateway, lfn)
    path = own.name
    places = tree.scopes_below(gateway, path, vo) if explicit_did(lfn) is None else [(own.scope, f"{path}/")]
    if all(scope != own.scope for scope, _ in places):
        places.append((own.scope, f"{path}/"))
    below = [item for scope, prefix in places for item in gateway.find_names(scope, prefix)]
    files = [item for item in below if item.type is DidType.FILE]
    if files:
        raise Conflict(f"directory {path} isn't empty: it has {len(files)} files, such as {lfn_of(files[0].did)}")
    inner = [item.did for item in below if item.did.name != f"{path}/{tree.FILES_DATASET}"]
    if inner and not recursive:
        raise Conflict(f"directory {path} isn't empty: it has {len(inner)} directories, such as {lfn_of(inner[0])}")
    doomed = [item.did for item in below] + ([own] if record is not None else [])
    names = set(doomed)
    for did in doomed:
        foreign = [member.did for member in gateway.list_content(did) if member.did not in names]
        still = alive(gateway, foreign)
        if still:
            raise Conflict(f"{did} isn't empty: it has {len(still)} members that lie elsewhere, such as {min(still)}")
        rules = list(gateway.list_rules(did=did))
        if rules:
            raise Conflict(f"{did} has rule {rules[0].id} of account {rules[0].account}: end it first")
    if doomed:
        gateway.expire(doomed)
