"""Bringing another catalogue into Rucio, over the gateway in memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from fake_gateway import FakeGateway

from CTARucioDIRAC.domain.errors import NotAllowed, NotFound, Unavailable
from CTARucioDIRAC.domain.identifiers import did_of
from CTARucioDIRAC.gateway.protocol import FileRecord
from CTARucioDIRAC.usecases import migrate as module
from CTARucioDIRAC.usecases.ancestors import ancestors_of_files
from CTARucioDIRAC.usecases.migrate import migrate, verify
from CTARucioDIRAC.usecases.migration_datasets import Known
from CTARucioDIRAC.usecases.migration_plan import GROUP, OWNER, Translation
from CTARucioDIRAC.usecases.migration_report import Report
from CTARucioDIRAC.usecases.migration_source import OldCopy, OldDataset, OldDirectory, OldFile

TOP = "/ctao/lst"
OWNERS = {"dirac_owner": "jdoe", "dirac_group": "ctao_user"}


class Old:
    """A catalogue in memory."""

    def __init__(self, *directories: OldDirectory) -> None:
        self.directories = {directory.path: directory for directory in directories}
        self.asked = 0

    def directory(self, path: str) -> OldDirectory:
        self.asked += 1
        if path not in self.directories:
            raise NotFound(path)
        return self.directories[path]


class Datasets:
    """Datasets in memory."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}

    def find(self, name: str) -> Known | None:
        return self.known.get(name)

    def add(self, name: str, query: Mapping[str, Any]) -> None:
        self.known[name] = Known(query, False)

    def freeze(self, name: str) -> None:
        self.known[name] = Known(self.known[name].query, True)


def file(lfn: str, *elements: str, **more: Any) -> OldFile:
    copies = tuple(OldCopy(element) for element in elements or ("PIC-DISK",))
    return OldFile(lfn, 5, "abcd", "jdoe", "ctao_user", copies, **more)


def source(count: int = 3) -> Old:
    files = tuple(file(f"{TOP}/run1/f{i:04}", "PIC-DISK", "CNAF-DISK", metadata={"runNumber": i}) for i in range(count))
    return Old(
        OldDirectory(TOP, (), (f"{TOP}/run1", f"{TOP}/empty"), metadata={"site": "LaPalma"}),
        OldDirectory(
            f"{TOP}/run1",
            files,
            (),
            (OldDataset(f"{TOP}/DS", {"site": "LaPalma"}, True), OldDataset(f"{TOP}/DS2", {"runNumber": 1}, False)),
            metadata={"date": dt.date(2026, 11, 22), "time": dt.datetime(2026, 11, 22, 1, 2, 3)},
        ),
        OldDirectory(f"{TOP}/empty", (), ()),
    )


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


def run(gateway: FakeGateway, old: Old, translation: Translation | None = None, **options: Any) -> Report:
    report = Report()
    migrate(gateway, old, [TOP], translation or Translation(), report, **options)
    return report


def check(gateway: FakeGateway, old: Old, translation: Translation | None = None, **options: Any) -> Report:
    report = Report()
    verify(gateway, old, [TOP], translation or Translation(), report, **options)
    return report


def test_everything_is_brought_over(gateway):
    translation = Translation(account=lambda user, group: {("jdoe", "ctao_user"): "ctaouser"}.get((user, group)))
    datasets = Datasets()
    report = run(gateway, source(), translation, datasets=datasets)
    assert report.clean, report.summary()
    assert report.counts["done"] == 3
    did = did_of(f"{TOP}/run1/f0001")
    record = gateway.get_dids([did])[did]
    assert (record.size, record.adler32) == (5, "0000abcd")
    assert {replica.rse for replica in gateway.list_replicas([did])[did].replicas} == {"PIC-DISK", "CNAF-DISK"}
    rules = gateway.list_rules_on_file(did)
    assert {(rule.rse_expression, rule.account, rule.expires_at) for rule in rules} == {
        ("PIC-DISK", "ctaouser", None),
        ("CNAF-DISK", "ctaouser", None),
    }
    assert [parent.did.name for parent in gateway.list_parents(did)] == [f"{TOP}/run1"]
    assert gateway.get_metadata([did])[did] == {"runNumber": 1} | OWNERS
    found = gateway.get_metadata([did_of(TOP), did_of(f"{TOP}/run1"), did_of(f"{TOP}/empty")])
    assert list(found.values()) == [
        {"site": "LaPalma"},
        {"date": "2026-11-22", "time": "2026-11-22T01:02:03"},
        {},
    ]
    assert datasets.known == {
        f"{TOP}/DS": Known({"site": "LaPalma"}, True),
        f"{TOP}/DS2": Known({"runNumber": 1}, False),
    }
    assert check(gateway, source(), datasets=datasets, rules=True).clean


def test_a_repeat_does_nothing(gateway):
    run(gateway, source())
    before, records = gateway.requests, dict(gateway.records)
    report = run(gateway, source())
    assert report.counts["already"] == 3
    assert not report.counts["done"]
    assert gateway.records == records
    assert gateway.requests - before <= 6


def test_a_dry_run_writes_nothing(gateway):
    report = run(gateway, source(), dry_run=True, datasets=Datasets())
    assert report.counts["to_register"] == 3
    assert report.counts["directories_to_create"] == 2
    assert report.counts["datasets_to_do"] == 2
    assert not gateway.records


def test_a_batch_of_files_costs_a_few_requests(gateway, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 100)
    report = run(gateway, source(300))
    assert report.counts["done"] == 300
    assert gateway.requests <= 3 * 20 + 10


@pytest.mark.parametrize("verb", ["add_replicas", "add_rule", "attach", "set_metadata", "add_datasets"])
def test_what_an_interruption_leaves_is_finished(gateway, monkeypatch, verb):
    """Whatever fails first, the same call again brings the same state."""
    calls = iter(range(100))
    original = getattr(FakeGateway, verb)

    def breaks(self: FakeGateway, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 1:
            raise Unavailable("gone")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(FakeGateway, verb, breaks)
    monkeypatch.setattr(module, "BATCH", 2)
    for _ in range(2):
        try:
            run(gateway, source())
            break
        except Unavailable:
            continue
    monkeypatch.undo()
    run(gateway, source())
    assert check(gateway, source(), rules=True).clean


def test_a_copy_that_comes_later_gets_its_rule_whatever_happens(gateway, monkeypatch):
    old = source(1)
    later = old.directories[f"{TOP}/run1"].files[0]
    only = replace(later, copies=later.copies[:1])
    first = Old(*old.directories.values())
    first.directories[f"{TOP}/run1"] = replace(old.directories[f"{TOP}/run1"], files=(only,))
    assert run(gateway, first).clean
    with monkeypatch.context() as broken:
        broken.setattr(FakeGateway, "add_rule", lambda *args, **kwargs: (_ for _ in ()).throw(Unavailable("gone")))
        with pytest.raises(Unavailable):
            run(gateway, old)
    assert run(gateway, old).counts["done"] == 1
    assert check(gateway, old, rules=True).clean


def test_a_copy_whose_rule_was_refused_is_told_and_done_by_the_next_run(gateway, monkeypatch):
    """The replica is registered by then: it must not count as brought over."""
    original = FakeGateway.add_rule

    def refuses(self: FakeGateway, dids: Any, rse: str, **options: Any) -> Any:
        if rse == "CNAF-DISK":
            raise NotAllowed("over its quota")
        return original(self, dids, rse, **options)

    with monkeypatch.context() as refused:
        refused.setattr(FakeGateway, "add_rule", refuses)
        report = run(gateway, source())
    assert report.counts.get("done", 0) == 0
    assert report.summary()["problems"] == {"failed": 3}
    again = run(gateway, source())
    assert (again.counts["done"], again.counts.get("already", 0)) == (3, 0)
    assert check(gateway, source(), rules=True).clean


def test_names_and_elements_can_change_on_the_way(gateway):
    old = Old(OldDirectory("/vo.cta.in2p3.fr/MC", (file("/vo.cta.in2p3.fr/MC/f", "OLD-DISK"),), ()))
    translation = Translation({"/vo.cta.in2p3.fr": "/ctao"}, {"OLD-DISK": "PIC-DISK"})
    report = Report()
    migrate(gateway, old, ["/vo.cta.in2p3.fr/MC"], translation, report)
    assert report.clean, report.summary()
    assert did_of("/ctao/MC/f") in gateway.records
    kept = Report()
    migrate(gateway, old, ["/vo.cta.in2p3.fr/MC"], Translation({}, {"OLD-DISK": "PIC-DISK"}), kept)
    assert kept.clean, kept.summary()
    assert did_of("/vo.cta.in2p3.fr/MC/f") in gateway.records


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"copies": (OldCopy("NOPE"),)}, "impossible", "--se"),
        ({"copies": ()}, "impossible", "no copy"),
        ({"copies": (OldCopy("PIC-DISK", good=False),)}, "left_behind", "PIC-DISK"),
        ({"good": False}, "left_behind", "hides"),
        ({"checksum": "not hex!"}, "impossible", "checksum"),
        ({"lfn": f"{TOP}/run1/a b"}, "impossible", "characters"),
        ({"metadata": {"a.b": 1}}, "failed", "a.b"),
    ],
)
def test_what_cannot_be_brought_over_is_told_and_the_rest_is_done(gateway, changes, kind, text):
    old = source()
    directory = old.directories[f"{TOP}/run1"]
    bad = replace(directory.files[0], **changes)
    old.directories[f"{TOP}/run1"] = replace(directory, files=(bad, *directory.files[1:]))
    report = run(gateway, old)
    assert report.counts["done"] == 2
    problems = [problem for problem in report.shown if problem["kind"] == kind]
    assert [problem["name"] for problem in problems] == [bad.lfn]
    assert text in problems[0]["problem"]


def test_other_content_of_the_same_name_is_a_conflict(gateway):
    run(gateway, source(1))
    old = source(1)
    directory = old.directories[f"{TOP}/run1"]
    old.directories[f"{TOP}/run1"] = replace(directory, files=(replace(directory.files[0], checksum="beef"),))
    report = run(gateway, old)
    assert report.kinds == {"conflict": 1}
    assert "0000abcd" in report.shown[0]["problem"]


def test_what_files_were_made_from_comes_along(gateway):
    old = source(2)
    directory = old.directories[f"{TOP}/run1"]
    first, second = directory.files
    bad = replace(second, ancestors=(first.lfn, f"{TOP}/a b"))
    old.directories[f"{TOP}/run1"] = replace(directory, files=(first, bad))
    report = run(gateway, old)
    assert report.counts["done"] == 2
    assert report.kinds == {"impossible": 1}
    assert "a b" in report.shown[0]["problem"]
    assert ancestors_of_files(gateway, [second.lfn], [1]).done == {second.lfn: {first.lfn: 1}}


def test_differences_are_found(gateway):
    run(gateway, source())
    did = did_of(f"{TOP}/run1/f0000")
    gateway.set_metadata({did: {"runNumber": 7}})
    gateway.set_metadata({did_of(TOP): {"site": "Paranal"}})
    gateway.expire([did_of(f"{TOP}/run1/f0001")])
    gateway.clean()
    other = did_of(f"{TOP}/run1/f0002")
    for rule in gateway.list_rules_on_file(other):
        if rule.rse_expression == "CNAF-DISK":
            gateway.end_rule(rule.id)
    datasets = Datasets()
    datasets.add(f"{TOP}/DS", {"site": "LaPalma"})
    datasets.add(f"{TOP}/DS2", {"runNumber": 2})
    report = check(gateway, source(), rules=True, datasets=datasets)
    kinds = {(problem["kind"], problem["name"].rsplit("/", 1)[1]) for problem in report.shown}
    assert kinds == {
        ("metadata", "f0000"),
        ("missing_file", "f0001"),
        ("missing_rule", "f0002"),
        ("directory", "lst"),
        ("dataset", "DS"),
        ("dataset", "DS2"),
    }
    assert not report.clean


def test_what_is_known_without_the_owner_is_completed(gateway):
    """A file that somebody registered in Rucio by other means."""
    did = did_of(f"{TOP}/run1/f0000")
    gateway.add_scope("lst")
    gateway.add_replicas("PIC-DISK", [FileRecord(did, 5, adler32="0000abcd")])
    report = run(gateway, source(1))
    assert report.counts["to_complete"] == 1
    assert gateway.get_metadata([did])[did][OWNER] == "jdoe"
    assert gateway.get_metadata([did])[did][GROUP] == "ctao_user"
    assert check(gateway, source(1), rules=True).clean
