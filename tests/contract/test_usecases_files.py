"""Files, directories, registration, removal and search, on the fake and on a real server."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from fake_gateway import FakeGateway
from test_gateway_contract import real_gateway

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import Did, did_of
from CTARucioDIRAC.domain.metadata_query import parse_query
from CTARucioDIRAC.gateway.protocol import DidType, FileRecord, ReplicaState, RucioGateway
from CTARucioDIRAC.usecases import files, find, register, remove, rules, tree

VO = "ctao"
DISK, OTHER = "PIC-DISK", "CNAF-DISK"


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.stack)])
def gateway(request: pytest.FixtureRequest) -> RucioGateway:
    if request.param == "fake":
        return FakeGateway()
    return real_gateway(request.getfixturevalue("testbed"), "production")


@pytest.fixture
def top() -> str:
    """Path, and scope, of one test."""
    return f"/ctao/u{uuid.uuid4().hex[:10]}"


def new_file(lfn: str, rse: str = DISK, adler32: str = "0000abcd", size: int = 5, **more: Any) -> register.NewFile:
    return register.NewFile(lfn, FileRecord(did_of(lfn), size, adler32=adler32, **more), rse)


def add(gateway: RucioGateway, *lfns: str, rse: str = DISK) -> None:
    answers = register.add_files(gateway, [new_file(lfn, rse) for lfn in lfns])
    assert answers.failed == {}
    assert set(answers.done) == set(lfns)


def bdms_night(gateway: RucioGateway, top: str) -> list[str]:
    """Raw data as CTAO's BDMS brings them in: no /VO/scope, the dataset attached, no rule on the files."""
    scope = top.rsplit("/", 1)[1]
    gateway.add_scope(scope)
    names = [f"{top}/DL0/LSTN-01/2026/11/22/run{i}.fits.fz" for i in range(3)]
    gateway.add_replicas(DISK, [FileRecord(did_of(name), 5, adler32="0000abcd") for name in names])
    way = [f"{top}/DL0", f"{top}/DL0/LSTN-01", f"{top}/DL0/LSTN-01/2026", f"{top}/DL0/LSTN-01/2026/11"]
    gateway.add_containers([did_of(path) for path in way])
    gateway.add_datasets([did_of(f"{way[-1]}/22")])
    for parent, child in zip(way, [*way[1:], f"{way[-1]}/22"], strict=True):
        gateway.attach({did_of(parent): [did_of(child)]})
    gateway.attach({did_of(f"{way[-1]}/22"): [did_of(name) for name in names]})
    gateway.set_metadata({did_of(name): {"obs_id": 7, "run": i} for i, name in enumerate(names)})
    return names


# ------------------------------------------------------------------------------- registration


def test_a_new_file_has_copy_rule_and_place(gateway: RucioGateway, top: str) -> None:
    lfn = f"{top}/a/b/f1"
    for _ in range(2):
        add(gateway, lfn)
    (replica,) = files.replicas(gateway, [lfn]).done[lfn].replicas
    assert replica.rse == DISK
    (rule,) = gateway.list_rules_on_file(did_of(lfn))
    assert (rule.rse_expression, rule.did, rule.account) == (DISK, did_of(lfn), "ctaoprod")
    assert rule.expires_at is None
    assert [item.did for item in gateway.list_content(did_of(f"{top}/a/b"))] == [did_of(lfn)]
    assert [item.did for item in gateway.list_content(did_of(f"{top}/a"))] == [did_of(f"{top}/a/b")]
    assert did_of(top) in {item.did for item in gateway.list_content(Did("root", "/ctao"))}
    kinds = gateway.get_dids([did_of(f"{top}/a"), did_of(f"{top}/a/b")])
    assert {did.name: record.type for did, record in kinds.items()} == {
        f"{top}/a": DidType.CONTAINER,
        f"{top}/a/b": DidType.DATASET,
    }


def test_the_same_content_adds_a_copy_and_another_is_refused(gateway: RucioGateway, top: str) -> None:
    lfn, good = f"{top}/a/f1", f"{top}/a/f2"
    add(gateway, lfn)
    answers = register.add_files(gateway, [new_file(lfn, OTHER), new_file(good, OTHER)])
    assert set(answers.done) == {lfn, good}
    assert [r.rse for r in files.replicas(gateway, [lfn]).done[lfn].replicas] == [OTHER, DISK]
    answers = register.add_files(gateway, [new_file(lfn, adler32="deadbeef"), new_file(f"{top}/a/f3")])
    assert set(answers.done) == {f"{top}/a/f3"}
    assert isinstance(answers.failed[lfn], errors.DifferentContent)
    assert "0000abcd" in str(answers.failed[lfn])
    assert "deadbeef" in str(answers.failed[lfn])


def test_every_file_is_answered_for(gateway: RucioGateway, top: str) -> None:
    add(gateway, f"{top}/a/file")
    wanted = [
        new_file(f"{top}/a/good"),
        register.NewFile(f"{top}/a/bad name", FileRecord(Did("x", "/x"), 1), DISK),
        new_file(f"{top}/a/file/below"),
        new_file(f"{top}/a/nowhere", rse="NOSUCH-DISK"),
        new_file(f"{top}/a"),
    ]
    answers = register.add_files(gateway, wanted)
    assert set(answers.done) == {f"{top}/a/good"}
    assert {lfn: type(error) for lfn, error in answers.failed.items()} == {
        f"{top}/a/bad name": errors.InvalidInput,
        f"{top}/a/file/below": errors.AlreadyExists,
        f"{top}/a/nowhere": errors.NotFound,
        f"{top}/a": errors.AlreadyExists,
    }


def test_files_next_to_directories(gateway: RucioGateway, top: str) -> None:
    add(gateway, f"{top}/a/b/f1")
    add(gateway, f"{top}/a/f2")  # a is a container: it gets a dataset for its files
    add(gateway, f"{top}/a/b/c/f3")  # a/b is a dataset: a/b/c hangs from a
    listing = tree.list_directory(gateway, f"{top}/a", VO)
    assert set(listing.files) == {f"{top}/a/f2"}
    assert set(listing.directories) == {f"{top}/a/b"}
    listing = tree.list_directory(gateway, f"{top}/a/b", VO)
    assert set(listing.files) == {f"{top}/a/b/f1"}
    assert set(listing.directories) == {f"{top}/a/b/c"}
    below = {item.did.name for item in gateway.list_files(did_of(f"{top}/a"))}
    assert below == {f"{top}/a/f2", f"{top}/a/b/f1", f"{top}/a/b/c/f3"}


def test_a_closed_dataset_takes_nothing(gateway: RucioGateway, top: str) -> None:
    add(gateway, f"{top}/a/f1")
    gateway.close(did_of(f"{top}/a"))
    answers = register.add_files(gateway, [new_file(f"{top}/a/f1"), new_file(f"{top}/a/f2")])
    assert isinstance(answers.failed[f"{top}/a/f2"], errors.Conflict)
    assert gateway.get_dids([did_of(f"{top}/a/f2")]) == {}


def test_next_to_data_of_plain_rucio(gateway: RucioGateway, top: str) -> None:
    bdms_night(gateway, top)
    add(gateway, f"{top}/DL1/f1")
    listing = tree.list_directory(gateway, top, VO)
    assert set(listing.directories) == {f"{top}/DL0", f"{top}/DL1"}


def test_further_copies(gateway: RucioGateway, top: str) -> None:
    lfn = f"{top}/a/f1"
    add(gateway, lfn)
    for _ in range(2):
        answers = register.add_copies(gateway, {lfn: OTHER, f"{top}/a/no": OTHER})
        assert answers.done == {lfn: True}
        assert str(answers.failed[f"{top}/a/no"]) == "No such file or directory"
    assert {rule.rse_expression for rule in gateway.list_rules_on_file(did_of(lfn))} == {DISK, OTHER}


def test_directories_are_created_once(gateway: RucioGateway, top: str) -> None:
    add(gateway, f"{top}/a/f1")
    paths = [f"{top}/new/deep", f"{top}/a", f"{top}/a/f1", "/"]
    for _ in range(2):
        answers = register.add_directories(gateway, paths)
        assert set(answers.done) == {f"{top}/new/deep", f"{top}/a", "/"}
        assert isinstance(answers.failed[f"{top}/a/f1"], errors.AlreadyExists)
    assert tree.list_directory(gateway, f"{top}/new/deep", VO).files == {}
    add(gateway, f"{top}/new/deep/f")
    assert [item.did for item in gateway.list_content(did_of(f"{top}/new/deep"))] == [did_of(f"{top}/new/deep/f")]


def test_registering_many_costs_few_requests(gateway: RucioGateway, top: str) -> None:
    add(gateway, f"{top}/a/first")
    before = gateway.requests
    add(gateway, *[f"{top}/a/f{i}" for i in range(200)])
    assert gateway.requests - before <= 7


# ------------------------------------------------------------------------------- reading


def test_kinds(gateway: RucioGateway, top: str) -> None:
    names = bdms_night(gateway, top)
    wanted = {
        names[0]: "file",
        f"{top}/DL0": "directory",
        top: "directory",
        f"{top}/DL0/no": None,
        f"{top}/DL0/no2": None,
        f"{names[0]}/below": None,
        "/": "directory",
        "/ctao": "directory",
        "/ctao/nosuchscope": None,
        "/other": None,
    }
    answers = files.kinds(gateway, [*wanted, "relative", "/bad name"], VO)
    assert answers.done == wanted
    assert set(answers.failed) == {"relative", "/bad name"}


def test_directories_implied_by_files_alone(gateway: RucioGateway, top: str) -> None:
    gateway.add_scope(top.rsplit("/", 1)[1])
    lfns = [f"{top}/x/y/f{i}" for i in range(3)] + [f"{top}/x/z/f"]
    gateway.add_replicas(DISK, [FileRecord(did_of(lfn), 5, adler32="0000abcd") for lfn in lfns])
    answers = files.kinds(gateway, [f"{top}/x", f"{top}/x/y", f"{top}/x/z", f"{top}/x/yy", lfns[0]], VO)
    assert list(answers.done.values()) == ["directory", "directory", "directory", None, "file"]
    assert set(tree.list_directory(gateway, f"{top}/x", VO).directories) == {f"{top}/x/y", f"{top}/x/z"}
    assert set(tree.list_directory(gateway, f"{top}/x/y", VO).files) == set(lfns[:3])


def test_listings_from_the_top(gateway: RucioGateway, top: str) -> None:
    names = bdms_night(gateway, top)
    assert set(tree.list_directory(gateway, "/", VO).directories) == {"/ctao"}
    assert top in tree.list_directory(gateway, "/ctao", VO).directories
    assert tree.list_directory(gateway, top, VO).directories == {f"{top}/DL0": True}
    assert set(tree.list_directory(gateway, names[0].rsplit("/", 1)[0], VO).files) == set(names)
    for path in (f"{top}/no", names[0], "/ctao/nosuchscope", "/other"):
        with pytest.raises(errors.NotFound, match="No such file or directory"):
            tree.list_directory(gateway, path, VO)


def test_members_that_lie_elsewhere_are_links(gateway: RucioGateway, top: str) -> None:
    names = bdms_night(gateway, top)
    selection = did_of(f"{top}/selection")
    gateway.add_datasets([selection])
    gateway.attach({selection: [did_of(name) for name in names]})
    listing = tree.list_directory(gateway, selection.name, VO, links=True)
    assert listing.files == {}
    assert set(listing.links) == set(names)


def test_copies_by_state(gateway: RucioGateway, top: str) -> None:
    lfn = f"{top}/a/f1"
    add(gateway, lfn)
    gateway.add_rule([did_of(lfn)], OTHER)
    assert [r.rse for r in files.replicas(gateway, [lfn]).done[lfn].replicas] == [DISK]
    both = files.replicas(gateway, [lfn], all_states=True).done[lfn].replicas
    assert {r.rse: r.state for r in both} == {DISK: ReplicaState.AVAILABLE, OTHER: ReplicaState.COPYING}
    gateway.set_replica_states(DISK, {did_of(lfn): ReplicaState.BAD})
    answers = files.replicas(gateway, [lfn, f"{top}/no", f"{top}/a"])
    assert {name: str(error) for name, error in answers.failed.items()} == {
        lfn: "File has zero replicas",
        f"{top}/no": "No such file or directory",
        f"{top}/a": "No such file or directory",
    }
    states = files.replica_states(gateway, {lfn: DISK})
    assert states.done[lfn].state is ReplicaState.BAD
    assert str(files.replica_states(gateway, {lfn: "PIC-TAPE"}).failed[lfn]) == "No replica at supplied site"


# ------------------------------------------------------------------------------- removal


def test_removing_a_copy_ends_only_its_own_rule(gateway: RucioGateway, top: str) -> None:
    lfn = f"{top}/a/f1"
    add(gateway, lfn)
    register.add_copies(gateway, {lfn: OTHER})
    answers = remove.remove_copies(gateway, {lfn: OTHER, f"{top}/no": OTHER})
    assert answers.done == {lfn: True}
    assert str(answers.failed[f"{top}/no"]) == "No such file or directory"
    rules = {rule.rse_expression: rule for rule in gateway.list_rules_on_file(did_of(lfn))}
    assert rules[DISK].expires_at is None
    assert OTHER not in rules or rules[OTHER].expires_at is not None
    assert remove.remove_copies(gateway, {lfn: "PIC-TAPE"}).done == {lfn: True}


def test_the_last_copy_is_never_removed_as_a_copy(gateway: RucioGateway, top: str) -> None:
    lfn = f"{top}/a/f1"
    add(gateway, lfn)
    register.add_copies(gateway, {lfn: OTHER})
    assert remove.remove_copies(gateway, {lfn: OTHER}).done == {lfn: True}
    refused = remove.remove_copies(gateway, {lfn: DISK}).failed[lfn]  # the other is still listed, or gone already
    assert isinstance(refused, errors.Conflict)
    assert "the last copy isn't removed this way" in str(refused)
    assert "removeFile" in str(refused)
    assert [r.expires_at for r in gateway.list_rules_on_file(did_of(lfn)) if r.rse_expression == DISK] == [None]
    assert remove.remove_files(gateway, [lfn]).done == {lfn: True}


def test_the_last_copy_stays_without_a_rule_too(gateway: RucioGateway, top: str) -> None:
    lfn = bdms_night(gateway, top)[0]
    assert isinstance(remove.remove_copies(gateway, {lfn: DISK}).failed[lfn], errors.Conflict)
    gateway.add_replicas(OTHER, [FileRecord(did_of(lfn), 5, adler32="0000abcd")])
    gateway.add_rule([did_of(lfn)], OTHER, lifetime=3600)
    assert isinstance(remove.remove_copies(gateway, {lfn: DISK}).failed[lfn], errors.Conflict)


def test_two_who_remove_different_copies_at_once_leave_one(top: str) -> None:
    gateway = FakeGateway()
    lfn = f"{top}/a/f1"
    add(gateway, lfn)
    register.add_copies(gateway, {lfn: OTHER})

    class Slow(FakeGateway):
        """Somebody else removes the other copy between our look and our deed."""

        def end_rule(self, rule_id: str, *, purge_replicas: bool = False) -> None:
            if not self.interrupted:
                self.interrupted = True
                assert remove.remove_copies(gateway, {lfn: OTHER}).done == {lfn: True}
            super().end_rule(rule_id, purge_replicas=purge_replicas)

    slow = Slow()
    slow.__dict__ |= gateway.__dict__ | {"interrupted": False}
    assert isinstance(remove.remove_copies(slow, {lfn: DISK}).failed[lfn], errors.Conflict)
    gateway.now += dt.timedelta(hours=1)
    gateway.clean()
    assert [r.rse for r in files.replicas(gateway, [lfn]).done[lfn].replicas] == [DISK]


def test_all_rules_for_the_very_rse_end_whoever_put_them(top: str) -> None:
    admin = FakeGateway()
    lfn = f"{top}/a/f1"
    add(admin, lfn)
    register.add_copies(admin, {lfn: OTHER})
    user = admin.as_account("ctaouser")
    user.add_rule([did_of(lfn)], OTHER)
    assert "ctaoprod, which account ctaouser may not end" in str(remove.remove_copies(user, {lfn: OTHER}).failed[lfn])
    assert all(rule.expires_at is None for rule in admin.list_rules_on_file(did_of(lfn)))
    assert remove.remove_copies(admin, {lfn: OTHER}).failed == {}
    admin.now += dt.timedelta(hours=1)
    admin.clean()
    assert [rule.rse_expression for rule in admin.list_rules_on_file(did_of(lfn))] == [DISK]
    assert [r.rse for r in files.replicas(admin, [lfn], all_states=True).done[lfn].replicas] == [DISK]


@pytest.mark.parametrize("expression", [OTHER, f"{OTHER}|PIC-BUFFER"])
def test_a_copy_that_another_rule_holds_stays(gateway: RucioGateway, top: str, expression: str) -> None:
    lfn = f"{top}/a/f1"
    add(gateway, lfn)
    register.add_copies(gateway, {lfn: OTHER})
    held = did_of(f"{top}/a") if expression == OTHER else did_of(lfn)
    ((_, rule_id),) = gateway.add_rule([held], expression).items()
    answers = remove.remove_copies(gateway, {lfn: OTHER})
    assert rule_id in str(answers.failed[lfn])
    assert all(rule.expires_at is None for rule in gateway.list_rules_on_file(did_of(lfn)))
    gateway.end_rule(rule_id)


def test_a_copy_without_rule_goes_only_when_another_is_pinned(gateway: RucioGateway, top: str) -> None:
    lfn = bdms_night(gateway, top)[0]
    gateway.add_replicas(OTHER, [FileRecord(did_of(lfn), 5, adler32="0000abcd")])
    reason = str(remove.remove_copies(gateway, {lfn: DISK}).failed[lfn])
    assert "no rule holds" in reason
    assert len(reason) < 230  # DIRAC's requests hang on longer ones
    gateway.add_rule([did_of(lfn)], OTHER)
    assert remove.remove_copies(gateway, {lfn: DISK}).done == {lfn: True}


def test_a_pin_is_no_safe_copy(top: str) -> None:
    """Neither for a copy that no rule holds, nor for one with a rule of its own."""
    gateway = FakeGateway()
    plain, kept = bdms_night(gateway, top)[0], f"{top}/a/f1"
    add(gateway, kept)
    for lfn in (plain, kept):
        rules.stage(gateway, [did_of(lfn)], "PIC-BUFFER", lifetime=600)
        for _ in range(2):  # before it has arrived, and after
            assert isinstance(remove.remove_copies(gateway, {lfn: DISK}).failed[lfn], errors.Conflict)
            gateway.transfer()
    gateway.now += dt.timedelta(hours=1)
    gateway.clean()
    assert [r.rse for lfn in (plain, kept) for r in files.replicas(gateway, [lfn]).done[lfn].replicas] == [DISK, DISK]


def test_only_a_copy_that_has_arrived_and_stays_is_safe(top: str) -> None:
    gateway = FakeGateway()
    lfn = f"{top}/a/f1"
    add(gateway, lfn)
    gateway.add_datasets([did_of(f"{top}/d")], lifetime=600)
    gateway.attach({did_of(f"{top}/d"): [did_of(lfn)]})
    gateway.add_rule([did_of(f"{top}/d")], OTHER)  # it ends with the dataset
    gateway.transfer()
    assert "for good" in str(remove.remove_copies(gateway, {lfn: DISK}).failed[lfn])
    gateway.add_rule([did_of(f"{top}/a")], "PIC-TAPE")
    assert "for good" in str(remove.remove_copies(gateway, {lfn: DISK}).failed[lfn])
    gateway.transfer()
    assert remove.remove_copies(gateway, {lfn: DISK}).done == {lfn: True}
    gateway.clean()
    assert [r.rse for r in files.replicas(gateway, [lfn]).done[lfn].replicas] == [OTHER, "PIC-TAPE"]


def test_a_further_copy_is_kept_for_good_whatever_rule_was_there(top: str) -> None:
    gateway = FakeGateway()
    pinned, ended = f"{top}/a/f1", f"{top}/a/f2"
    add(gateway, pinned, ended)
    rules.stage(gateway, [did_of(pinned)], "PIC-BUFFER", lifetime=600)
    gateway.transfer()
    assert register.add_copies(gateway, {pinned: "PIC-BUFFER"}).failed == {}
    register.add_copies(gateway, {ended: OTHER})
    assert remove.remove_copies(gateway, {ended: OTHER}).failed == {}
    assert register.add_copies(gateway, {ended: OTHER}).failed == {}
    gateway.now += dt.timedelta(hours=1)
    gateway.clean()
    assert {r.rse for r in files.replicas(gateway, [pinned]).done[pinned].replicas} == {DISK, "PIC-BUFFER"}
    assert {r.rse for r in files.replicas(gateway, [ended]).done[ended].replicas} == {DISK, OTHER}


def test_a_rule_that_ends_and_cannot_be_changed_is_a_conflict(top: str) -> None:
    admin = FakeGateway()
    lfn = f"{top}/a/f1"
    add(admin, lfn)
    gateway = admin.as_account("ctaouser")
    rules.stage(gateway, [did_of(lfn)], "PIC-BUFFER", lifetime=600)
    assert isinstance(register.add_copies(gateway, {lfn: "PIC-BUFFER"}).failed[lfn], errors.Conflict)
    with pytest.raises(errors.Conflict, match="ends at"):
        rules.stage(gateway, [did_of(lfn)], "PIC-BUFFER", lifetime=86400)


def test_a_pin_that_ends_takes_nothing_with_it(gateway: RucioGateway, top: str) -> None:
    """Neither a copy with a rule of its own, nor the rule; see test_removal_properties for all orders."""
    lfn, pin = f"{top}/a/f1", f"{OTHER}|PIC-BUFFER"
    add(gateway, lfn)
    register.add_copies(gateway, {lfn: OTHER})
    rules.stage(gateway, [did_of(lfn)], pin, lifetime=2)
    assert [r.rse_expression for r in gateway.list_rules_on_file(did_of(lfn)) if r.expires_at] == [pin]
    deadline = time.monotonic() + 120
    while any(rule.expires_at for rule in gateway.list_rules_on_file(did_of(lfn))):
        assert time.monotonic() < deadline, "the pin doesn't end"
        if isinstance(gateway, FakeGateway):
            gateway.now += dt.timedelta(hours=1)
            gateway.clean()
        else:
            time.sleep(0.5)
    assert {r.rse_expression for r in gateway.list_rules_on_file(did_of(lfn))} == {DISK, OTHER}
    assert {r.rse for r in files.replicas(gateway, [lfn]).done[lfn].replicas} == {DISK, OTHER}


def test_staging_again(top: str) -> None:
    gateway = FakeGateway()
    did = did_of(f"{top}/a/f1")
    add(gateway, did.name)
    first = rules.stage(gateway, [did], "PIC-BUFFER", source=DISK, lifetime=300)
    assert rules.stage(gateway, [did], "PIC-BUFFER", lifetime=7 * 86400) == first
    (rule,) = gateway.list_rules(did=did, rse_expression="PIC-BUFFER")
    assert rule.expires_at == gateway.now + dt.timedelta(days=7)
    rules.stage(gateway, [did], "PIC-BUFFER", source=DISK, lifetime=60)
    assert next(gateway.list_rules(did=did, rse_expression="PIC-BUFFER")).expires_at == rule.expires_at
    with pytest.raises(errors.Conflict, match=DISK):
        rules.stage(gateway, [did], "PIC-BUFFER", source="PIC-TAPE", lifetime=60)
    gateway.end_rule(rule.id)
    with pytest.raises(errors.Unavailable, match="has ended"):
        rules.stage(gateway, [did], "PIC-BUFFER", lifetime=60)
    gateway.clean()
    assert rules.stage(gateway, [did], "PIC-BUFFER", lifetime=60) != first


def test_an_unknown_rse_is_an_error(gateway: RucioGateway, top: str) -> None:
    lfn = f"{top}/a/f1"
    add(gateway, lfn)
    with pytest.raises(errors.NotFound, match="NOSUCH-DISK"):
        remove.remove_copies(gateway, {lfn: "NOSUCH-DISK"})


def test_a_removed_file_is_gone(gateway: RucioGateway, top: str) -> None:
    lfn, kept = f"{top}/a/f1", f"{top}/a/f2"
    add(gateway, lfn, kept)
    gateway.add_replicas(OTHER, [FileRecord(did_of(lfn), 5, adler32="0000abcd")])
    answers = remove.remove_files(gateway, [lfn, f"{top}/no", f"{top}/a"])
    assert answers.done == {lfn: True}
    assert set(answers.failed) == {f"{top}/no", f"{top}/a"}
    assert files.kinds(gateway, [lfn, kept], VO).done == {lfn: None, kept: "file"}
    assert set(files.replicas(gateway, [lfn, kept]).done) == {kept}
    assert set(tree.list_directory(gateway, f"{top}/a", VO).files) == {kept}
    assert isinstance(register.add_files(gateway, [new_file(lfn)]).failed[lfn], errors.Unavailable)


def test_a_file_that_a_dataset_rule_holds_stays(gateway: RucioGateway, top: str) -> None:
    lfn = f"{top}/a/f1"
    add(gateway, lfn)
    ((_, rule_id),) = gateway.add_rule([did_of(f"{top}/a")], DISK).items()
    answers = remove.remove_files(gateway, [lfn])
    assert rule_id in str(answers.failed[lfn])
    assert files.kinds(gateway, [lfn], VO).done == {lfn: "file"}


def test_directories_are_removed_when_empty(gateway: RucioGateway, top: str) -> None:
    add(gateway, f"{top}/a/b/f1")
    for recursive in (False, True):
        answers = remove.remove_directories(gateway, [f"{top}/a"], VO, recursive=recursive)
        assert "isn't empty" in str(answers.failed[f"{top}/a"])
    remove.remove_files(gateway, [f"{top}/a/b/f1"])
    assert remove.remove_directories(gateway, [f"{top}/a"], VO).done == {}
    assert remove.remove_directories(gateway, [f"{top}/a"], VO, recursive=True).done == {f"{top}/a": True}
    assert files.kinds(gateway, [f"{top}/a", f"{top}/a/b"], VO).done == {f"{top}/a": None, f"{top}/a/b": None}


def test_a_dataset_with_members_elsewhere_or_rules_stays(gateway: RucioGateway, top: str) -> None:
    names = bdms_night(gateway, top)
    selection = did_of(f"{top}/selection")
    gateway.add_datasets([selection])
    gateway.attach({selection: [did_of(names[0])]})
    answers = remove.remove_directories(gateway, [selection.name], VO, recursive=True)
    assert "elsewhere" in str(answers.failed[selection.name])


# ------------------------------------------------------------------------------- searching


@pytest.fixture
def searchable(gateway: RucioGateway, top: str) -> str:
    add(gateway, *[f"{top}/{site}/{level}/f{i}" for site in "ns" for level in ("dl1", "dl2") for i in range(3)])
    gateway.set_metadata(
        {
            did_of(f"{top}/{site}/{level}/f{i}"): {"run": i}
            for site in "ns"
            for level in ("dl1", "dl2")
            for i in range(3)
        }
        | {did_of(f"{top}/{site}"): {"site": site} for site in "ns"}
        | {
            did_of(f"{top}/n/dl1"): {"level": 1},
            did_of(f"{top}/n/dl2"): {"level": 2},
            did_of(f"{top}/s/dl1"): {"level": 1},
        }
    )
    return top


@pytest.mark.parametrize(
    ("query", "path", "expected"),
    [
        ({"run": 1}, "", {"n/dl1/f1", "n/dl2/f1", "s/dl1/f1", "s/dl2/f1"}),
        ({"run": 1}, "/n/dl1", {"n/dl1/f1"}),
        ({"site": "n", "level": 2}, "", {"n/dl2/f0", "n/dl2/f1", "n/dl2/f2"}),
        ({"site": "n", "level": 1, "run": {">": 1}}, "", {"n/dl1/f2"}),
        ({"level": 1, "run": 0}, "", {"n/dl1/f0", "s/dl1/f0"}),
        ({"level": {">=": 1}, "run": 0}, "/n", {"n/dl1/f0", "n/dl2/f0"}),
        ({"site": "n"}, "/s", set()),
        ({"site": "x"}, "", set()),
        ({"nokey": "x"}, "", set()),
        ({}, "/s/dl2", {"s/dl2/f0", "s/dl2/f1", "s/dl2/f2"}),
    ],
)
def test_directories_pass_their_metadata_on(
    gateway: RucioGateway, searchable: str, query: dict[str, Any], path: str, expected: set[str]
) -> None:
    found = list(find.find_files(gateway, parse_query(query), f"{searchable}{path}", VO))
    assert sorted(did.name for did in found) == sorted(f"{searchable}/{name}" for name in expected)


def test_directories_by_metadata(gateway: RucioGateway, searchable: str) -> None:
    def search(**query: Any) -> list[str]:
        return sorted(
            d.name[len(searchable) :] for d in find.find_directories(gateway, parse_query(query), searchable, VO)
        )

    assert search(site="n") == ["/n", "/n/dl1", "/n/dl2"]
    assert search(site="n", level=1) == ["/n/dl1"]
    assert search(level={">": 0}) == ["/n/dl1", "/n/dl2", "/s/dl1"]
    assert search(site="x") == []


def test_inherited_metadata(gateway: RucioGateway, searchable: str) -> None:
    one, none = did_of(f"{searchable}/n/dl1/f1"), did_of(f"{searchable}/n/no")
    gateway.set_metadata({one: {"level": 9}})
    assert files.inherited_metadata(gateway, [one, none]) == {one: {"site": "n", "level": 9, "run": 1}}


def requests_of(gateway: RucioGateway, call: Callable[[], Any]) -> int:
    before = gateway.requests
    call()
    return gateway.requests - before


def test_reading_many_costs_few_requests(gateway: RucioGateway, top: str) -> None:
    lfns = [f"{top}/a/f{i}" for i in range(150)]
    add(gateway, *lfns)
    assert requests_of(gateway, lambda: files.stat_files(gateway, lfns)) == 1
    assert requests_of(gateway, lambda: files.kinds(gateway, lfns, VO)) == 1
    assert requests_of(gateway, lambda: files.replicas(gateway, lfns)) == 2
    assert requests_of(gateway, lambda: tree.list_directory(gateway, f"{top}/a", VO)) == 3


def test_removing_many_costs_one_look_and_one_deed_each(gateway: RucioGateway, top: str) -> None:
    """The server tells, and ends, rules one by one; all else is done in bulk."""
    lfns = [f"{top}/a/f{i}" for i in range(20)]
    add(gateway, *lfns)
    assert register.add_copies(gateway, dict.fromkeys(lfns, OTHER)).failed == {}
    assert requests_of(gateway, lambda: remove.remove_copies(gateway, dict.fromkeys(lfns, OTHER))) <= 2 * 20 + 5
    assert requests_of(gateway, lambda: remove.remove_files(gateway, lfns)) <= 20 + 8
    assert set(files.kinds(gateway, lfns, VO).done.values()) == {None}
