"""Rules: bring data to a place for a while, from a named source."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping

from CTARucioDIRAC.domain.errors import Conflict, InvalidInput, NotAllowed, NotFound, Unavailable
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.domain.placement import unsafe_to_pin
from CTARucioDIRAC.gateway.protocol import DidType, RucioGateway, Rule

from .files import alive, now

STAGING = "Staging"
#: Up to this many rules are looked up one by one; more cost one listing for each scope.
_FEW = 8
#: A rule is extended when less than this part of the lifetime asked for is left.
_ENOUGH = 0.95


def stage(
    gateway: RucioGateway, dids: Iterable[Did], rse: str, *, source: str | None = None, lifetime: float
) -> dict[Did, str]:
    """Bring files, or the files of datasets, to an RSE for some time.

    Parameters
    ----------
    rse : str
        RSE expression of the buffer.
    source : str, optional
        RSE expression that the bytes must come from, such as a tape's: without it, Rucio prefers any disk.
    lifetime : float
        Seconds until the copies may be deleted again.

    Returns
    -------
    dict
        Rule by DID; the same call again returns the same rules, which last at least as long as asked for now.

    Raises
    ------
    NotFound
        A DID isn't there.
    Conflict
        A file has a copy in the buffer that nothing holds: the end of this rule would let it be deleted. Or the account
        has a rule there already, with another source, or with an end that it may not change.
    Unavailable
        A rule there has just ended and isn't cleaned up yet.
    """
    wanted = list(dict.fromkeys(dids))
    if lifetime <= 0:
        raise InvalidInput(f"staging to {rse}: the lifetime must be positive, not {lifetime}")
    records = alive(gateway, wanted)
    missing = [did for did in wanted if did not in records]
    if missing:
        raise NotFound(f"{missing[0]} can't be staged to {rse}: no such DID")
    buffers = {item.name for item in gateway.list_rses(rse)}
    files = {did: None for did in wanted if records[did].type is DidType.FILE}
    for did in wanted:
        if did not in files:
            files |= {item.did: None for item in gateway.list_files(did)}
    check_pins(gateway, files, rse, buffers)
    placed = gateway.add_rule(
        wanted, rse, lifetime=lifetime, source_replica_expression=source, activity=STAGING, asynchronous=False
    )
    time = now()
    for rule in _look_up(gateway, placed, rse):
        _check_source(rule, source)
        _extend(gateway, rule, time, lifetime)
    return placed


def _look_up(gateway: RucioGateway, placed: Mapping[Did, str], rse: str) -> list[Rule]:
    if len(placed) <= _FEW:
        return list(gateway.get_rules(placed.values()).values())
    ids = set(placed.values())
    scopes = {did.scope for did in placed}
    found = (rule for scope in sorted(scopes) for rule in gateway.list_rules(scope=scope, rse_expression=rse))
    return [rule for rule in found if rule.id in ids]


def _check_source(rule: Rule, source: str | None) -> None:
    """Refuse a pin of the same account whose bytes come from elsewhere; where a copy is kept for good, it doesn't matter."""
    if source is None or rule.source_replica_expression == source or (rule.expires_at is None and rule.done):
        return
    raise Conflict(
        f"{rule.did} has rule {rule.id} at {rule.rse_expression} already, with source "
        f"{rule.source_replica_expression or 'anywhere'}, not {source}; Rucio holds one rule of an account at a place: "
        "end that one first"
    )


def _extend(gateway: RucioGateway, rule: Rule, time: dt.datetime, lifetime: float) -> None:
    """Let a rule that was there already last as long as is asked for."""
    if rule.expires_at is None or rule.expires_at >= time + dt.timedelta(seconds=lifetime * _ENOUGH):
        return
    ended = f"rule {rule.id} on {rule.did} at {rule.rse_expression} has ended, and isn't cleaned up yet: stage it again soon"
    if rule.expires_at <= time:
        raise Unavailable(ended)
    try:
        gateway.update_rule(rule.id, lifetime=lifetime)
    except NotFound as error:
        raise Unavailable(ended) from error
    except NotAllowed as error:
        raise Conflict(
            f"{rule.did} has rule {rule.id} at {rule.rse_expression} already, which ends at "
            f"{rule.expires_at:%Y-%m-%d %H:%M:%S} UTC, and account {gateway.account} may not extend it: stage it again "
            f"after that, or ask an administrator ({error})"
        ) from error


def check_pins(gateway: RucioGateway, files: Iterable[Did], expression: str, buffers: set[str]) -> None:
    """Refuse a rule with an end over copies that no rule holds: its end would make them deletable.

    Raises
    ------
    Conflict
        Naming one of the files.
    """
    found = gateway.list_replicas(files, all_states=True, rse_expression=expression)
    copies = {did: {replica.rse for replica in file.replicas} for did, file in found.items() if file.replicas}
    unsafe = unsafe_to_pin(copies, _held(gateway, copies), buffers)
    if unsafe:
        raise Conflict(
            f"{len(unsafe)} files have copies at {expression} that no rule holds, such as {unsafe[0]}: a rule that ends "
            "would make them deletable; put a rule without an end on them first"
        )


def _held(gateway: RucioGateway, copies: Mapping[Did, Collection[str]]) -> dict[Did, set[str]]:
    """RSEs where any rule holds a copy of each file; costs two requests for each rule, not for each file."""
    held: dict[Did, set[str]] = {}
    seen: set[str] = set()
    for did, places in copies.items():
        if set(places) <= held.get(did, set()):
            continue
        for rule in gateway.list_rules_on_file(did):
            if rule.id not in seen:
                seen.add(rule.id)
                for lock in gateway.list_locks(rule.id):
                    held.setdefault(lock.did, set()).add(lock.rse)
    return held
