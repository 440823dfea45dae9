"""The audit: clean where all is well, and each kind of finding where something was made wrong. On the fake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fake_gateway import RSES, FakeGateway

from CTARucioDIRAC.domain import errors, scopes
from CTARucioDIRAC.domain.identifiers import Did, did_of
from CTARucioDIRAC.domain.scopes import ScopeRules
from CTARucioDIRAC.gateway.protocol import DidType, FileRecord, ReplicaState, RuleState
from CTARucioDIRAC.usecases import register
from CTARucioDIRAC.usecases.audit import (
    CHECKS,
    Audit,
    Credential,
    Finding,
    Member,
    Severity,
    Site,
    StorageElement,
    StoredFile,
    run,
)

PROBE = "/ctao/audit/probe"
DN = "/O=CTARucio testbed/CN=Paula Production"
LFNS = ["/ctao/lst/run/f1", "/ctao/lst/run/f2"]


class Stores:
    """Storages that have what is registered."""

    def __init__(self, gateway: FakeGateway) -> None:
        self.files = {
            f"root://{rse.lower()}/{did.name}": StoredFile(5, "0000abcd")
            for did, copies in gateway.copies.items()
            for rse in copies
        }
        self.broken = False

    def stat(self, rse: str, pfn: str) -> StoredFile | None:
        if self.broken:
            raise errors.Unavailable(f"{rse} is away")
        return self.files.get(pfn)

    def list(self, rse: str, directory: str) -> list[str]:
        return [url for url in self.files if url.rpartition("/")[0] == directory and rse.lower() in url]


class World:
    """An installation where all is well, until a test changes it."""

    def __init__(self) -> None:
        self.gateway = FakeGateway()
        for rse in RSES:
            self.gateway.attributes[rse] = {"fts": "https://fts.example.org:8446"}
        self.gateway.attributes["PIC-TAPE"]["archive_timeout"] = "86400"
        self.gateway.identities["ctaohost"] = {"/CN=host"}
        new = [register.NewFile(lfn, FileRecord(did_of(lfn), 5, adler32="0000abcd"), "PIC-DISK") for lfn in LFNS]
        assert register.add_files(self.gateway, new).failed == {}
        now = self.gateway.now
        self.elements = {
            rse: StorageElement(rse, rse == "PIC-TAPE", {"root": f"root://me@{rse.lower()}//{PROBE}"}) for rse in RSES
        }
        self.members = [Member("prod", "ctao_prod", (DN,), "ctaoprod"), Member("h", "hosts", ("/CN=host",), "ctaohost")]
        self.credentials = {
            kind: Credential(kind, f"/etc/{kind}", now + dt.timedelta(days=100))
            for kind in ("proxy", "host certificate", "authority", "CRL")
        }
        self.now = now
        self.storage = Stores(self.gateway)

    def audit(self) -> Audit:
        elements, credentials = tuple(self.elements.values()), tuple(self.credentials.values())
        site = Site("ctao", PROBE, elements, tuple(self.members), credentials, self.now)
        return Audit(self.gateway, site, storage=self.storage)


@pytest.fixture
def world() -> Iterator[World]:
    yield World()
    scopes.use(ScopeRules())


def test_an_installation_where_all_is_well_is_clean(world: World) -> None:
    audit = world.audit()
    assert run(audit) == []
    assert audit.counts["files"] == 2
    assert audit.counts["storage endpoints"] == len(RSES)
    assert audit.counts["copies at storages"] == 2


def rule_on(world: World, lfn: str) -> Any:
    return next(rule for rule in world.gateway.rules.values() if rule.did.name == lfn)


def change_rule(world: World, **changes: Any) -> None:
    rule = rule_on(world, LFNS[0])
    world.gateway.rules[rule.id] = replace(rule, **changes)


def element(world: World, name: str, **changes: Any) -> None:
    world.elements[name] = replace(world.elements[name], **changes)


def record(world: World, lfn: str, **changes: Any) -> None:
    did = did_of(lfn)
    world.gateway.records[did] = replace(world.gateway.records[did], **changes)


def credential(world: World, kind: str, **changes: Any) -> None:
    world.credentials[kind] = replace(world.credentials[kind], **changes)


def foreign_file(world: World, name: str = "/ctao/lst/run/f3") -> None:
    world.gateway.add_scope("other")
    did = Did("other", name)
    world.gateway.add_replicas("PIC-DISK", [FileRecord(did, 5, adler32="0000abcd")])
    world.gateway.add_rule([did], "PIC-DISK")
    world.gateway.attach({did_of("/ctao/lst/run"): [did]})
    world.storage = Stores(world.gateway)


def odd_name(world: World) -> None:
    world.gateway.add_scope("odd")
    world.gateway.records[Did("odd", "raw")] = replace(
        world.gateway.records[did_of("/ctao/lst/run")], did=Did("odd", "raw")
    )
    world.gateway.contents[Did("odd", "raw")] = {}


def dark_file(world: World) -> None:
    world.storage.files["root://pic-disk//ctao/lst/run/dark"] = StoredFile(7, None)


def stored(world: World, file: StoredFile | None) -> None:
    url = f"root://pic-disk/{LFNS[0]}"
    if file is None:
        del world.storage.files[url]
    else:
        world.storage.files[url] = file


def make_odd_rse(world: World, **changes: Any) -> None:
    listed = world.gateway.list_rses

    def list_rses(expression: str | None = None, *, attributes: bool = False) -> Any:
        found = listed(expression, attributes=attributes)
        return [replace(rse, **changes) if rse.name == "CNAF-DISK" else rse for rse in found]

    world.gateway.list_rses = list_rses  # type: ignore[method-assign]


ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
#: What is made wrong; the check that finds it, how bad it is, what it is about, words of its cause and remedy.
CASES: dict[str, tuple[Callable[[World], Any], str, Severity, str, str, str]] = {
    "RSE without SE": (lambda w: w.elements.pop("CNAF-DISK"), "rse-names", ERROR, "CNAF-DISK", "no storage el", "add"),
    "SE without RSE": (
        lambda w: w.elements.update(X=StorageElement("X", False, {"root": "root://x//p"})),
        *("rse-names", WARNING, "X", "no RSE", "add an RSE X"),
    ),
    "other host": (
        lambda w: element(w, "CNAF-DISK", urls={"root": f"root://old//{PROBE}"}),
        *("protocols", ERROR, "CNAF-DISK", "root://old", "lfn2pfn"),
    ),
    "protocol of DIRAC only": (
        lambda w: element(w, "CNAF-DISK", urls={"root": f"root://cnaf-disk//{PROBE}", "davs": "davs://x//p"}),
        *("protocols", WARNING, "CNAF-DISK", "davs, Rucio doesn't", "protocol add"),
    ),
    "protocol of Rucio only": (
        lambda w: element(w, "CNAF-DISK", urls={}),
        *("protocols", WARNING, "CNAF-DISK", "root, DIRAC doesn't", "add a protocol section"),
    ),
    "tape for DIRAC": (
        lambda w: element(w, "CNAF-DISK", tape=True),
        *("rse-settings", ERROR, "CNAF-DISK", "DIRAC for tape", "SEType"),
    ),
    "no archive_timeout": (
        lambda w: w.gateway.attributes["PIC-TAPE"].pop("archive_timeout"),
        *("rse-settings", ERROR, "PIC-TAPE", "without archive_timeout", "archive_timeout"),
    ),
    "staging_required": (
        lambda w: w.gateway.attributes["PIC-TAPE"].update(staging_required="True"),
        *("rse-settings", ERROR, "PIC-TAPE", "staging_required", "remove"),
    ),
    "greedy tape": (
        lambda w: w.gateway.attributes["PIC-TAPE"].update(greedyDeletion=True),
        *("rse-settings", ERROR, "PIC-TAPE", "greedyDeletion", "remove"),
    ),
    "no fts": (
        lambda w: w.gateway.attributes["PIC-DISK"].clear(),
        *("rse-settings", WARNING, "PIC-DISK", "no attribute fts", "rucio rse attribute"),
    ),
    "not deterministic": (
        lambda w: make_odd_rse(w, deterministic=False),
        *("rse-settings", WARNING, "CNAF-DISK", "don't follow", "RucioDataManager"),
    ),
    "closed": (
        lambda w: make_odd_rse(w, can_write=False),
        *("rse-settings", NOTE, "CNAF-DISK", "closed for write", "open"),
    ),
    "clock": (
        lambda w: setattr(w, "now", w.now + dt.timedelta(seconds=100)),
        *("clock", WARNING, "clock", "s apart", "time server"),
    ),
    "proxy ends": (
        lambda w: credential(w, "proxy", ends=w.now + dt.timedelta(minutes=5)),
        *("certificates", WARNING, "proxy", "it ends at", "dirac-proxy-init"),
    ),
    "host certificate ended": (
        lambda w: credential(w, "host certificate", ends=w.now - dt.timedelta(minutes=5)),
        *("certificates", ERROR, "host certificate", "it ended at", "renew"),
    ),
    "CRL unreadable": (
        lambda w: credential(w, "CRL", ends=None, problem="no such file"),
        *("certificates", ERROR, "CRL", "no such file", "fetch-crl"),
    ),
    "no CRLs": (lambda w: w.credentials.pop("CRL"), "certificates", WARNING, "CRLs", "no revocation", "fetch-crl"),
    "no account": (
        lambda w: w.members.append(Member("u", "g", ("/CN=u",), None, "set X")),
        *("accounts", NOTE, "u in group g", "no Rucio account", "RucioAccount"),
    ),
    "account unknown": (
        lambda w: w.members.append(Member("u", "g", ("/CN=u",), "nobody")),
        *("accounts", ERROR, "u in group g", "nobody, which doesn't exist", "account add"),
    ),
    "identity missing": (
        lambda w: w.members.append(Member("u", "g", ("/CN=u",), "ctaoprod")),
        *("accounts", ERROR, "u in group g", "may act as account ctaoprod", "identity add"),
    ),
    "foreign path": (foreign_file, "scopes", WARNING, "scope other", "other:/ctao/lst/run/f3", "ForeignScopes"),
    "path in two scopes": (
        lambda w: (foreign_file(w, LFNS[0]), scopes.use(ScopeRules(foreign=("other",)))),
        *("scopes", WARNING, "scope other", "in their own, too", "remove one"),
    ),
    "no path": (odd_name, "scopes", NOTE, "scope odd", "no paths", "scope:name"),
    "file without parent": (
        lambda w: w.gateway.detach(did_of("/ctao/lst/run"), [did_of(LFNS[0])]),
        *("parents", WARNING, "scope lst", LFNS[0], "cta-rucio-adopt /ctao/lst"),
    ),
    "dataset without parent": (
        lambda w: w.gateway.detach(did_of("/ctao/lst"), [did_of("/ctao/lst/run")]),
        *("parents", WARNING, "scope lst", "/ctao/lst/run", "cta-rucio-adopt /ctao/lst"),
    ),
    "copy without rule": (
        lambda w: (
            w.gateway.add_replicas("CNAF-DISK", [FileRecord(did_of(LFNS[0]), 5, adler32="0000abcd")])
            or setattr(w, "storage", Stores(w.gateway))
        ),
        *("custody", WARNING, "scope lst", "copies at CNAF-DISK", "cta-rucio-adopt /ctao/lst/run"),
    ),
    "stuck rule": (
        lambda w: change_rule(w, state=RuleState.STUCK, error="no space"),
        *("rules", WARNING, "rule", "no space", "judge-repairer"),
    ),
    "rule that is never injected": (
        lambda w: change_rule(w, state=RuleState.INJECT, created_at=w.now - dt.timedelta(hours=2)),
        *("rules", WARNING, "rule", "INJECT since", "judge-injector"),
    ),
    "rule without DID": (
        lambda w: w.gateway.rules.update(r=replace(rule_on(w, LFNS[0]), id="r", did=did_of("/ctao/lst/gone"))),
        *("rules", WARNING, "rule r", "doesn't exist", "rucio rule remove r"),
    ),
    "lost file": (
        lambda w: w.gateway.set_replica_states("PIC-DISK", {did_of(LFNS[0]): ReplicaState.BAD}),
        *("copies", ERROR, LFNS[0], "BAD at PIC-DISK", "bring one back"),
    ),
    "lost copy": (
        lambda w: (
            w.gateway.add_replicas("CNAF-DISK", [FileRecord(did_of(LFNS[0]), 5, adler32="0000abcd")]),
            w.gateway.set_replica_states("CNAF-DISK", {did_of(LFNS[0]): ReplicaState.UNAVAILABLE}),
        ),
        *("copies", WARNING, LFNS[0], "UNAVAILABLE at CNAF-DISK", "declare"),
    ),
    "no checksum": (
        lambda w: record(w, LFNS[0], adler32=None),
        *("copies", WARNING, LFNS[0], "no checksum", "register it again"),
    ),
    "md5 only": (
        lambda w: record(w, LFNS[0], adler32=None, md5="0" * 32),
        *("copies", NOTE, LFNS[0], "an md5 only", "nothing"),
    ),
    "storage: missing": (lambda w: stored(w, None), "storage", ERROR, LFNS[0], "there is no file", "bad"),
    "storage: other size": (
        lambda w: stored(w, StoredFile(6, None)),
        *("storage", ERROR, LFNS[0], "6 bytes, 5 are registered", "bad"),
    ),
    "storage: other content": (
        lambda w: stored(w, StoredFile(5, "1")),
        *("storage", ERROR, LFNS[0], "adler32 1", "bad"),
    ),
    "storage: away": (
        lambda w: setattr(w.storage, "broken", True),
        *("storage", ERROR, LFNS[0], "is away", "logs"),
    ),
    "storage: dark": (dark_file, "storage", WARNING, "PIC-DISK", "/ctao/lst/run/dark", "register"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_found_with_its_remedy(world: World, case: str) -> None:
    spoil, name, severity, about, cause, remedy = CASES[case]
    spoil(world)
    found = [item for item in run(world.audit(), [name]) if item.severity is severity]
    assert found, run(world.audit())
    assert any(about in item.object and cause in item.cause and remedy in item.remedy for item in found), found


def test_each_check_has_a_case() -> None:
    assert {case[1] for case in CASES.values()} == set(CHECKS)


def test_a_copy_that_is_elsewhere_than_dirac_thinks_is_found(world: World) -> None:
    element(world, "PIC-DISK", urls={"root": f"root://pic-disk//store/{PROBE}"})
    (found,) = run(world.audit(), ["copies"])
    assert (found.severity, found.object) == (Severity.WARNING, "PIC-DISK")
    assert "RucioDataManager" in found.remedy


def test_a_check_that_can_not_be_done_is_a_finding(world: World) -> None:
    def refuse() -> list[str]:
        raise errors.NotAllowed("you may not list accounts")

    world.gateway.list_accounts = refuse  # type: ignore[method-assign]
    (found,) = run(world.audit())
    assert (found.check, found.severity) == ("accounts", Severity.ERROR)
    assert "you may not" in found.cause


def test_one_scope_alone(world: World) -> None:
    foreign_file(world)
    audit = replace(world.audit(), scopes=("lst",))
    assert [item for item in run(audit) if isinstance(item, Finding) and item.object == "scope other"] == []
    assert audit.counts["scopes"] == 1


def test_names_above_the_scopes_need_no_parents(world: World) -> None:
    world.gateway.detach(Did("root", "/ctao"), [did_of("/ctao/lst")])
    assert world.gateway.records[did_of("/ctao/lst")].type is DidType.CONTAINER
    assert run(world.audit(), ["parents"]) == []
