"""Rules: bring data to a place for a while, from a named source."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from CTARucioDIRAC.domain.errors import Conflict, InvalidInput, NotFound
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.domain.placement import unsafe_to_pin
from CTARucioDIRAC.gateway.protocol import DidType, RucioGateway

from .files import alive

STAGING = "Staging"


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
        Rule by DID; the same call again returns the same rules.

    Raises
    ------
    NotFound
        A DID isn't there.
    Conflict
        A file has a copy in the buffer that nothing holds: the end of this rule would let it be deleted.
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
    return gateway.add_rule(
        wanted, rse, lifetime=lifetime, source_replica_expression=source, activity=STAGING, asynchronous=False
    )


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
