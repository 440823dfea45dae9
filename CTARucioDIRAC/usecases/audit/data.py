"""Checks of what is registered: scopes, parents, rules, copies."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from CTARucioDIRAC.domain.identifiers import Did, chunks, did_of, is_foreign, is_path, parent_of, same_address
from CTARucioDIRAC.domain.scopes import EVERY, rules
from CTARucioDIRAC.gateway.protocol import DidType, Lock, Replica, ReplicaState, RuleState

from ..files import alive
from .model import Audit, Finding, Severity, check, examples

#: A rule that is waiting longer than this waits in vain.
_WAITING = dt.timedelta(hours=1)
#: So many rules are looked at to see whether their DIDs are there.
_RULES = 20_000


@check("scopes")
def scopes(audit: Audit) -> Iterator[Finding]:
    """Paths are in the scopes where this client looks for them."""
    by_scope: dict[str, list[Did]] = {}
    for item in (*audit.collections, *audit.files):
        by_scope.setdefault(item.did.scope, []).append(item.did)
    for scope, dids in sorted(by_scope.items()):
        yield from _foreign(audit, scope, dids)
        odd = [did for did in dids if not is_path(did.name)]
        if odd:
            cause = f"{len(odd)} of {len(dids)} names looked at are no paths, such as {examples(odd)}"
            remedy = "name them as scope:name; DIRAC's storage elements can't make addresses of them"
            yield Finding("scopes", Severity.NOTE, f"scope {scope}", cause, remedy)


def _foreign(audit: Audit, scope: str, dids: list[Did]) -> Iterator[Finding]:
    foreign = [did for did in dids if is_foreign(did)]
    if not foreign:
        return
    files = [did for did in foreign if did not in {item.did for item in audit.collections}]
    twice = alive(audit.gateway, [did_of(did.name) for did in files])
    if twice:
        cause = f"{len(twice)} files are in this scope and in their own, too, such as {min(twice)}: the latter is taken"
        remedy = f"write {scope}:<path> for these, or remove one of both"
        yield Finding("scopes", Severity.WARNING, f"scope {scope}", cause, remedy)
    if scope in rules().foreign or EVERY in rules().foreign:
        return
    theirs = did_of(foreign[0].name).scope
    cause = (
        f"{len(foreign)} of {len(dids)} names looked at are paths of other scopes, such as {foreign[0]}: algorithm "
        f"{rules().algorithm} gives {theirs}. They are found by name, and missing in listings of directories"
    )
    paths = {"/".join(did.name.split("/")[:3]) for did in foreign}
    remedy = (
        f"add {scope} to ForeignScopes of the catalogue, or {min(paths)}={scope} to its ScopeMapping; if it is so in all "
        "scopes, ScopeAlgorithm isn't the server's"
    )
    yield Finding("scopes", Severity.WARNING, f"scope {scope}", cause, remedy)


@check("parents")
def parents(audit: Audit) -> Iterator[Finding]:
    """Names hang below one another as their paths say: else rules and metadata of directories don't reach them."""
    top = did_of(f"/{audit.site.vo}").scope
    items = [
        item
        for item in (*audit.collections, *audit.files)
        if is_path(item.did.name)
        and item.did.scope != top
        and item.did.name != rules().top_of(item.did.scope, audit.site.vo)  # what is above isn't everybody's to write
        and not (is_foreign(item.did) and item.type is not DidType.FILE)  # directories are those of their own scope
    ]
    above = audit.many(lambda item: audit.gateway.list_parents(item.did), items)
    lost: dict[str, list[Did]] = {}
    for item, found in zip(items, above, strict=True):
        expected = parent_of(item.did.name)
        if item.type is DidType.FILE:
            good = any(parent.type is DidType.DATASET for parent in found)
        else:
            good = any(expected.startswith(parent.did.name) for parent in found)
        if not good:
            lost.setdefault(item.did.scope, []).append(item.did)
    for scope, dids in sorted(lost.items()):
        cause = f"{len(dids)} names looked at are in no collection above them, such as {examples(sorted(dids))}"
        remedy = f"cta-rucio-adopt {'/'.join(min(dids).name.split('/')[:3])}"
        yield Finding("parents", Severity.WARNING, f"scope {scope}", cause, remedy)


@check("custody")
def custody(audit: Audit) -> Iterator[Finding]:
    """Every copy is held by a rule: one without is deletable as soon as any rule over it ends."""
    loose: dict[tuple[str, str], list[Did]] = {}
    locks: dict[str, list[Lock]] = {}
    for did, found in audit.rules.items():
        held = {rule.rse_expression for rule in found}
        copies = audit.replicas[did].available if did in audit.replicas else ()
        places = {replica.rse for replica in copies} - held
        if places and any(expression not in audit.rses for expression in held):
            for rule in found:
                if rule.id not in locks:
                    locks[rule.id] = list(audit.gateway.list_locks(rule.id))
                places -= {lock.rse for lock in locks[rule.id] if lock.did == did}
        for rse in places:
            loose.setdefault((did.scope, rse), []).append(did)
    for (scope, rse), dids in sorted(loose.items()):
        cause = f"no rule holds the copies at {rse} of {len(dids)} files looked at, such as {examples(sorted(dids))}"
        yield Finding("custody", Severity.WARNING, f"scope {scope}", cause, f"cta-rucio-adopt {_where(min(dids))}")


def _where(did: Did) -> str:
    return parent_of(did.name) if did.name.startswith("/") else f"{did.scope}:"


@check("rules")
def stuck_rules(audit: Audit) -> Iterator[Finding]:
    """Rules get done, and are on something that is there."""
    wanted = set(audit.all_scopes)
    for state in (RuleState.STUCK, RuleState.INJECT, RuleState.SUSPENDED, RuleState.WAITING_APPROVAL):
        for rule in audit.gateway.list_rules(state=state):
            late = audit.site.now - rule.created_at > _WAITING
            if rule.did.scope in wanted and (late or state is not RuleState.INJECT):
                cause = (
                    f"on {rule.did} at {rule.rse_expression} it is {state} since {rule.updated_at:%Y-%m-%d %H:%M} UTC"
                )
                cause += f": {rule.error}" if rule.error else ""
                remedy = {
                    RuleState.STUCK: "cure what the error says; Rucio's judge-repairer then tries again",
                    RuleState.INJECT: "see whether Rucio's judge-injector runs",
                    RuleState.SUSPENDED: "cure what the error says, then: rucio rule update --state STUCK",
                    RuleState.WAITING_APPROVAL: "approve or deny it (rucio rule approve)",
                }[state]
                yield Finding("rules", Severity.WARNING, f"rule {rule.id}", cause, remedy)
    yield from _rules_without_did(audit)


def _rules_without_did(audit: Audit) -> Iterator[Finding]:
    count = 0
    for scope in audit.all_scopes:
        for some in chunks(audit.gateway.list_rules(scope=scope), 1000):
            count += len(some)
            known = audit.gateway.get_dids({rule.did for rule in some})
            for rule in some:
                if rule.did not in known:
                    cause = f"{rule.did}, which it is on, doesn't exist"
                    yield Finding("rules", Severity.WARNING, f"rule {rule.id}", cause, f"rucio rule remove {rule.id}")
            if count >= _RULES:
                break
    audit.counts["rules"] = count


@check("copies")
def copies(audit: Audit) -> Iterator[Finding]:
    """Files can be read somewhere, have a checksum, and are where DIRAC looks for them."""
    there = alive(audit.gateway, [item.did for item in audit.files])
    for did, record in sorted(there.items()):
        found = audit.replicas[did].replicas if did in audit.replicas else ()
        states = ", ".join(f"{replica.state} at {replica.rse}" for replica in found) or "it has none"
        if not any(replica.state in (ReplicaState.AVAILABLE, ReplicaState.COPYING) for replica in found):
            cause = f"no copy of it can be read: {states}"
            remedy = "bring one back (rucio replica list, storage logs), or remove the file"
            yield Finding("copies", Severity.ERROR, str(did), cause, remedy)
        elif any(replica.state in (ReplicaState.BAD, ReplicaState.UNAVAILABLE) for replica in found):
            remedy = "Rucio's necromancer replaces BAD copies; declare others bad, or say that they are back"
            yield Finding("copies", Severity.WARNING, str(did), f"not all copies can be read: {states}", remedy)
        if not record.adler32 and not record.md5:
            cause = "it has no checksum: nobody can tell whether a copy is good"
            yield Finding("copies", Severity.WARNING, str(did), cause, "register it again with its adler32")
        elif not record.adler32:
            cause = "it has an md5 only, which DIRAC doesn't compare after a download; RucioDataManager does"
            yield Finding("copies", Severity.NOTE, str(did), cause, "nothing to do")
    yield from _elsewhere(audit)


def _elsewhere(audit: Audit) -> Iterator[Finding]:
    """Copies whose registered address isn't the one that DIRAC makes of the name."""
    bases = {element.name: element.urls for element in audit.site.elements}
    odd: dict[str, list[tuple[Did, Replica]]] = {}
    for did, file in audit.replicas.items():
        for replica in file.available if is_path(did.name) else ():
            urls = [url.replace(audit.site.probe, did.name) for url in bases.get(replica.rse, {}).values()]
            if replica.pfns and urls and not any(same_address(pfn, url) for pfn in replica.pfns for url in urls):
                odd.setdefault(replica.rse, []).append((did, replica))
    for rse, found in sorted(odd.items()):
        did, replica = min(found, key=lambda item: item[0])
        cause = f"{len(found)} copies looked at aren't where DIRAC makes their address, such as {did} at {replica.pfn}"
        remedy = "read them through Rucio's addresses (RucioDataManager), or replicate to an RSE with lfn2pfn ctao_bdms"
        yield Finding("copies", Severity.WARNING, rse, cause, remedy)
