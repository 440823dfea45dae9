"""Removing: exactly what was named, and nothing that something else still needs.

A copy may go when only file rules for that very RSE hold it, and a rule without an end holds another one that can be
read: neither a pin, which ends, nor a copy that no rule holds is a safe one. The last copy is never removed as a copy:
that is removing the file. A dataset rule, or a rule over several RSEs, that holds it is a refusal that names the rule.
Ending a rule makes the copy that it held deletable and no other. The bytes are removed by Rucio's reaper, never from here.

Reasons don't repeat the file's name, which their answer is by, and stay below 230 characters: DIRAC's requests have room for
255, and one with more text hangs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from CTARucioDIRAC.domain.errors import Conflict, CtaRucioError, NotAllowed, NotFound
from CTARucioDIRAC.domain.identifiers import Did, explicit_did, lfn_of
from CTARucioDIRAC.gateway.protocol import DidType, FileReplicas, ReplicaState, RucioGateway, Rule

from . import tree
from .bulk import THREADS, Bulk, each_or_split, missing, now
from .files import alive, stat_directories, stat_files
from .holders import Holders, without_end
from .resolve import look_up, look_up_one

T = TypeVar("T")


@dataclass(frozen=True)
class _Release:
    """A copy that may go."""

    did: Did
    rse: str
    here: list[Rule]  #: rules that hold it, and that end
    keepers: list[Rule]  #: rules that keep another one


def remove_copies(gateway: RucioGateway, copies: Mapping[str, str]) -> Bulk[bool]:
    """Let go of the copy of each file at the RSE given for it.

    The copy is deleted by Rucio soon after. One of the others must be held for good: those that are merely listed may be
    on their way out. A file without a copy there is done already. N files cost 2 N requests, some at the same time, and
    about 6 ⌈N / 1000⌉: the server has no bulk call for rules.
    """
    answers: Bulk[bool] = Bulk()
    stat = stat_files(gateway, copies)
    answers.failed = dict(stat.failed)
    holders = Holders(gateway, stat.done.values())
    unknown = set(copies.values()) - holders.rses
    if unknown:
        raise NotFound(f"there is no RSE {', '.join(sorted(unknown))} in Rucio")
    there = gateway.list_replicas((record.did for record in stat.done.values()), all_states=True)
    plans: dict[str, _Release] = {}

    def plan(lfn: str) -> _Release | None:
        return _plan_release(there.get(stat.done[lfn].did), copies[lfn], holders)

    for lfn, release in _each(plan, stat.done, answers).items():
        if release is None:
            answers.done[lfn] = True
        else:
            plans[lfn] = release
    _drop_loose(gateway, plans, answers)
    _each(lambda lfn: _end_rules(gateway, plans[lfn]), plans, answers)
    _check_that_another_stays(gateway, plans, answers)
    for lfn in plans:
        if lfn not in answers.failed:
            answers.done[lfn] = True
    return answers


def _each(act: Callable[[str], T], lfns: Iterable[str], answers: Bulk[bool]) -> dict[str, T]:
    """Act on many files at the same time; who fails goes to ``answers``."""

    def attempt(lfn: str) -> T | CtaRucioError:
        try:
            return act(lfn)
        except CtaRucioError as error:
            return error

    done: dict[str, T] = {}
    wanted = list(lfns)
    with ThreadPoolExecutor(THREADS) as pool:
        for lfn, outcome in zip(wanted, pool.map(attempt, wanted), strict=True):
            if isinstance(outcome, CtaRucioError):
                answers.failed[lfn] = outcome
            else:
                done[lfn] = outcome
    return done


def _plan_release(file: FileReplicas | None, rse: str, holders: Holders) -> _Release | None:
    """How to let a copy go; None if there is none, or it's being deleted."""
    states = {replica.rse: replica.state for replica in file.replicas} if file else {}
    if file is None or states.get(rse) in (None, ReplicaState.BEING_DELETED):
        return None
    rules = holders.of(file.did)
    here = [rule for rule, where in rules if rse in where]
    for rule in here:
        if rule.did_type is not DidType.FILE or rule.rse_expression != rse:
            raise Conflict(
                f"the copy at {rse} is held by rule {rule.id} of account {rule.account} on a {rule.did_type.lower()} "
                f"({rule.copies} at {_short(rule.rse_expression)}): end or change that rule first"
            )
    others = {replica.rse for replica in file.available if replica.rse != rse}
    if not others:
        raise Conflict(
            f"the copy at {rse} is the last one: the last copy isn't removed this way; remove the file (removeFile), or make "
            "another copy first"
        )
    keepers = [rule for rule, where in rules if others & holders.keeps(rule, where, file.did)]
    if not keepers:
        raise Conflict(
            f"no rule holds another copy for good ({', '.join(sorted(others)[:2])} can be read), and the last copy isn't "
            "removed this way: put a rule without an end on another one, or remove the file (removeFile)"
        )
    return _Release(file.did, rse, here, keepers)


def _short(expression: str) -> str:
    return expression if len(expression) <= 60 else f"{expression[:60]}…"


def _drop_loose(gateway: RucioGateway, plans: dict[str, _Release], answers: Bulk[bool]) -> None:
    """Make copies deletable that no rule holds."""
    loose: dict[str, dict[Did, str]] = {}
    for lfn, release in plans.items():
        if not release.here:
            loose.setdefault(release.rse, {})[release.did] = lfn
    for rse, names in loose.items():
        for did, error in each_or_split(list(names), partial(_let_go, gateway, rse)).items():
            answers.failed[names[did]] = error


def _end_rules(gateway: RucioGateway, release: _Release) -> None:
    """End the rules that hold a copy; those of others first, so that nothing is done where that isn't allowed."""
    for rule in sorted(release.here, key=lambda rule: rule.account == gateway.account):
        try:
            gateway.end_rule(rule.id, purge_replicas=True)  # not only where the RSE deletes greedily
        except NotAllowed as error:
            raise NotAllowed(
                f"the copy at {release.rse} is held by rule {rule.id} of account {rule.account}, which account "
                f"{gateway.account} may not end: ask its owner, or an administrator"
            ) from error


def _check_that_another_stays(gateway: RucioGateway, done: Mapping[str, _Release], answers: Bulk[bool]) -> None:
    """Look again: somebody else may have removed the other copy meanwhile.

    Who comes last sees it, and both of them if they are even; then both copies stay.
    """
    kept = without_end(gateway, [rule for release in done.values() for rule in release.keepers])
    for lfn, release in done.items():
        if any(rule.id in kept for rule in release.keepers) or isinstance(answers.failed.get(lfn), NotAllowed):
            continue
        try:
            _hold_again(gateway, release)
            answers.failed[lfn] = Conflict(
                f"another process ended the rule that holds the other copy: the one at {release.rse} stays"
            )
        except CtaRucioError as error:
            answers.failed[lfn] = error


def _hold_again(gateway: RucioGateway, release: _Release) -> None:
    """Take back that a copy may go."""
    held = False
    for rule in release.here:
        with contextlib.suppress(NotFound):
            # the lock stops the server's cleaner, which may have the rule on its list already
            gateway.update_rule(rule.id, permanent=True, purge_replicas=False, locked=True)
            held = True
    if not held:
        gateway.add_rule([release.did], release.rse, comment="the last copy, which was about to be removed")


def remove_files(gateway: RucioGateway, lfns: Iterable[str]) -> Bulk[bool]:
    """Remove files for good: the name goes at once, its rules and copies when Rucio's daemons come by.

    A file that a rule on a dataset holds isn't removed: the rule is named. A removal that was stopped in the middle is
    completed by the same call again. N files cost N small requests, some at the same time, for the rules that hold each,
    and about 5 ⌈N / 1000⌉.
    """
    answers: Bulk[bool] = Bulk()
    there_are = look_up(gateway, lfns, answers, expired=True)
    names, records = there_are.dids, there_are.records
    good = {did: lfn for lfn, did in names.items() if did in records and records[did].type is DidType.FILE}
    for lfn, did in names.items():
        if did not in good:
            answers.failed[lfn] = missing()
    there = gateway.list_replicas(good, all_states=True)
    holders = Holders(gateway)
    loose: dict[str, list[Did]] = {}
    with ThreadPoolExecutor(THREADS) as pool:
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


def _release(gateway: RucioGateway, did: Did, file: FileReplicas | None, holders: Holders) -> set[str] | CtaRucioError:
    """Unlock a file's own rules, which end with its name; returns where copies without any rule are."""
    try:
        rules = holders.of(did)
        for rule, _ in rules:
            if rule.did_type is not DidType.FILE and not _has_ended(rule):
                raise Conflict(
                    f"the file is held by rule {rule.id} of account {rule.account} on a {rule.did_type.lower()} at "
                    f"{_short(rule.rse_expression)}: end that rule first, or detach the file"
                )
        for rule, _ in rules:
            if rule.locked:
                gateway.update_rule(rule.id, locked=False)
    except CtaRucioError as error:
        return error
    held = {rse for _, where in rules for rse in where}
    return {r.rse for r in file.replicas if r.rse not in held and r.state in _STABLE} if file else set()


def _has_ended(rule: Rule) -> bool:
    """Whether a rule only waits for the server's cleaner."""
    return rule.expires_at is not None and rule.expires_at <= now() and not rule.locked


_STABLE = (ReplicaState.AVAILABLE, ReplicaState.UNAVAILABLE, ReplicaState.TEMPORARY_UNAVAILABLE, ReplicaState.BAD)


def _let_go(gateway: RucioGateway, rse: str, dids: list[Did]) -> None:
    """Make copies without any rule deletable: else the server brings the name back. Those already gone are fine."""
    try:
        gateway.set_tombstones(rse, dids)
    except NotFound:
        there = gateway.list_replicas(dids, all_states=True, rse_expression=rse)
        left = [did for did in dids if did in there and any(r.rse == rse for r in there[did].replicas)]
        if len(left) == len(dids):
            raise
        if left:
            _let_go(gateway, rse, left)


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
