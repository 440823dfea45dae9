"""What every gateway promises: the same tests on the fake and on a real server."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from fake_gateway import FakeGateway

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.accounts import Privileges
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.domain.metadata_query import Condition, MetadataQuery, Operator, parse_query
from CTARucioDIRAC.gateway.protocol import (
    Depth,
    DidType,
    FileRecord,
    ReplicaState,
    RseType,
    RucioGateway,
    RuleState,
)

DISK = "PIC-DISK"


def real_gateway(testbed: Any, role: str) -> RucioGateway:
    from CTARucioDIRAC.gateway.connection import ProxyCredential, Server
    from CTARucioDIRAC.gateway.rucio_gateway import RestRucioGateway
    from CTARucioDIRAC.testbed.layout import ROLES

    address = f"https://localhost:{testbed.layout.port('rucio')}"
    server = Server(address, address, testbed.layout.ca)
    return RestRucioGateway(server, ROLES[role].account, ProxyCredential(testbed.layout.proxy(role)))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.stack)])
def speak(request: pytest.FixtureRequest) -> Callable[[str], RucioGateway]:
    """Gateway for a role; all of one test speak to the same Rucio."""
    if request.param == "fake":
        fake = FakeGateway()
        return lambda role: fake if role == "production" else fake.as_account(f"ctao{role}", role != "user")
    testbed = request.getfixturevalue("testbed")
    return lambda role: real_gateway(testbed, role)


@pytest.fixture
def gateway(speak: Callable[[str], RucioGateway]) -> RucioGateway:
    return speak("production")


class Area:
    """Names of one test."""

    def __init__(self, gateway: RucioGateway) -> None:
        self.scope = f"t{uuid.uuid4().hex[:10]}"
        self.top = f"/ctao/{self.scope}"
        gateway.add_scope(self.scope)

    def did(self, path: str = "") -> Did:
        return Did(self.scope, f"{self.top}/{path}".rstrip("/"))

    def files(self, count: int, directory: str = "run") -> list[FileRecord]:
        return [
            FileRecord(self.did(f"{directory}/f{i:05d}"), 100 + i, adler32=f"{i + 1:08x}", guid=str(uuid.uuid4()))
            for i in range(count)
        ]


@pytest.fixture
def area(gateway: RucioGateway) -> Area:
    return Area(gateway)


def dids(files: list[FileRecord]) -> list[Did]:
    return [file.did for file in files]


def test_is_a_gateway(gateway: RucioGateway) -> None:
    assert isinstance(gateway, RucioGateway)
    assert gateway.ping()
    assert gateway.whoami() == gateway.account == "ctaoprod"


def test_scopes_are_added_once(gateway: RucioGateway, area: Area) -> None:
    gateway.add_scope(area.scope)
    assert gateway.list_scopes().count(area.scope) == 1


def test_who_may_do_what(gateway: RucioGateway, area: Area, speak: Callable[[str], RucioGateway]) -> None:
    assert gateway.list_scope_owners()[area.scope] == "ctaoprod"
    assert not gateway.is_admin()
    assert speak("admin").is_admin()
    assert gateway.privileges() == Privileges(admin=False, manager=True, owners_decide=True)
    user = speak("user")
    assert not user.is_admin()
    assert not user.privileges().manager


def test_unknown_names_are_absent(gateway: RucioGateway, area: Area) -> None:
    nothing = area.did("nothing")
    assert gateway.get_dids([nothing]) == {}
    assert gateway.list_replicas([nothing]) == {}
    assert gateway.get_metadata([nothing]) == {}
    assert gateway.get_dids([]) == {}
    with pytest.raises(errors.NotFound):
        gateway.list_content(nothing)
    with pytest.raises(errors.NotFound):
        list(gateway.list_files(nothing))


def test_collections_are_created_once_and_keep_their_kind(gateway: RucioGateway, area: Area) -> None:
    gateway.add_datasets([area.did("d1")])
    gateway.add_datasets([area.did("d1"), area.did("d2")])
    gateway.add_containers([area.did()])
    known = gateway.get_dids([area.did(), area.did("d1"), area.did("d2")])
    assert [known[area.did(n)].type for n in ("", "d1", "d2")] == [
        DidType.CONTAINER,
        DidType.DATASET,
        DidType.DATASET,
    ]
    assert known[area.did("d1")].is_open
    with pytest.raises(errors.AlreadyExists, match="d1.*DATASET"):
        gateway.add_containers([area.did("d1")])
    with pytest.raises(errors.NotFound):
        gateway.add_datasets([Did("nosuchscope", "/ctao/nosuchscope/d")])


def test_files_are_registered_once(gateway: RucioGateway, area: Area) -> None:
    files = area.files(3)
    gateway.add_replicas(DISK, files)
    gateway.add_replicas(DISK, files)
    record = gateway.get_dids(dids(files))[files[1].did]
    assert (record.type, record.size, record.adler32) == (DidType.FILE, 101, "00000002")
    assert record.guid == (files[1].guid or "").upper()
    assert record.created_at.tzinfo is not None
    found = gateway.list_replicas(dids(files))[files[1].did]
    assert [(replica.rse, replica.state) for replica in found.replicas] == [(DISK, ReplicaState.AVAILABLE)]
    assert found.replicas[0].pfn.endswith(files[1].did.name)


def test_other_content_is_refused_before_anything_is_written(gateway: RucioGateway, area: Area) -> None:
    old, new = area.files(2)
    gateway.add_replicas(DISK, [old])
    changed = FileRecord(old.did, old.size, adler32="deadbeef")
    with pytest.raises(errors.DifferentContent, match=f"{old.adler32}.*deadbeef"):
        gateway.add_replicas("CNAF-DISK", [new, changed])
    assert new.did not in gateway.get_dids([new.did])
    assert [r.rse for r in gateway.list_replicas([old.did], all_states=True)[old.did].replicas] == [DISK]
    with pytest.raises(errors.DifferentContent, match="size"):
        gateway.add_replicas(DISK, [FileRecord(old.did, 7, adler32=old.adler32)])
    gateway.add_datasets([area.did("d")])
    with pytest.raises(errors.AlreadyExists):
        gateway.add_replicas(DISK, [FileRecord(area.did("d"), 1, adler32="00000001")])


def test_second_copies_and_states(gateway: RucioGateway, area: Area) -> None:
    (file,) = area.files(1)
    gateway.add_replicas(DISK, [file])
    unfinished = FileRecord(file.did, file.size, adler32=file.adler32, state=ReplicaState.UNAVAILABLE)
    gateway.add_replicas("CNAF-DISK", [unfinished])
    assert [r.rse for r in gateway.list_replicas([file.did])[file.did].replicas] == [DISK]
    both = gateway.list_replicas([file.did], all_states=True)[file.did].replicas
    assert {r.rse: r.state for r in both} == {
        DISK: ReplicaState.AVAILABLE,
        "CNAF-DISK": ReplicaState.UNAVAILABLE,
    }
    one = gateway.list_replicas([file.did], all_states=True, rse_expression="CNAF-DISK")
    assert [r.rse for r in one[file.did].replicas] == ["CNAF-DISK"]
    gateway.add_replicas("CNAF-DISK", [file])
    assert len(gateway.list_replicas([file.did])[file.did].available) == 2
    gateway.set_replica_states("CNAF-DISK", {file.did: ReplicaState.BAD})
    assert [r.rse for r in gateway.list_replicas([file.did])[file.did].available] == [DISK]


def test_a_file_without_readable_copy_is_there(gateway: RucioGateway, area: Area) -> None:
    (file,) = area.files(1)
    gateway.add_replicas(DISK, [file])
    gateway.set_replica_states(DISK, {file.did: ReplicaState.UNAVAILABLE})
    assert gateway.list_replicas([file.did])[file.did].replicas == ()


def test_unknown_rse(gateway: RucioGateway, area: Area) -> None:
    with pytest.raises(errors.NotFound):
        gateway.add_replicas("NOSUCH-DISK", area.files(1))
    files = area.files(1)
    gateway.add_replicas(DISK, files)
    with pytest.raises(errors.InvalidInput):
        gateway.add_rule(dids(files), "NOSUCH-DISK")
    with pytest.raises(errors.NotFound):
        gateway.rse_usage("NOSUCH-DISK")


def test_attaching(gateway: RucioGateway, area: Area) -> None:
    files = area.files(3)
    gateway.add_replicas(DISK, files)
    run = area.did("run")
    gateway.add_containers([area.did()])
    gateway.add_datasets([run])
    for _ in range(2):
        gateway.attach({area.did(): [run], run: dids(files)})
    assert [(c.did, c.type) for c in gateway.list_content(area.did())] == [(run, DidType.DATASET)]
    assert {c.did for c in gateway.list_content(run)} == set(dids(files))
    content = {c.did: c for c in gateway.list_files(area.did())}
    assert content[files[2].did].size == 102
    assert content[files[2].did].adler32 == "00000003"
    assert [p.did for p in gateway.list_parents(files[0].did)] == [run]
    assert len(list(gateway.list_collection_replicas(area.did()))) == 3
    gateway.detach(run, [files[0].did, area.did("other")])
    assert {c.did for c in gateway.list_content(run)} == {files[1].did, files[2].did}


def test_attaching_mixed_kinds_to_a_container(gateway: RucioGateway, area: Area) -> None:
    gateway.add_containers([area.did(), area.did("c")])
    gateway.add_datasets([area.did("d")])
    gateway.attach({area.did(): [area.did("c"), area.did("d")]})
    assert {c.did for c in gateway.list_content(area.did())} == {area.did("c"), area.did("d")}


def test_what_cannot_be_attached(gateway: RucioGateway, area: Area) -> None:
    files = area.files(2)
    gateway.add_replicas(DISK, files)
    gateway.add_containers([area.did("c")])
    gateway.add_datasets([area.did("d")])
    with pytest.raises(errors.NotFound):
        gateway.attach({area.did("d"): [area.did("nothing")]})
    with pytest.raises(errors.NotFound):
        gateway.attach({area.did("nothing"): [files[0].did]})
    with pytest.raises(errors.Conflict):
        gateway.attach({area.did("c"): [files[0].did]})
    with pytest.raises(errors.Conflict):
        gateway.attach({area.did("d"): [area.did("c")]})


def test_closed_datasets(gateway: RucioGateway, area: Area) -> None:
    files = area.files(2)
    gateway.add_replicas(DISK, files)
    gateway.add_datasets([area.did("d")])
    gateway.attach({area.did("d"): [files[0].did]})
    for _ in range(2):
        gateway.close(area.did("d"))
    assert gateway.get_dids([area.did("d")])[area.did("d")].is_open is False
    gateway.attach({area.did("d"): [files[0].did]})
    with pytest.raises(errors.Conflict):
        gateway.attach({area.did("d"): dids(files)})


def test_names_by_prefix(gateway: RucioGateway, area: Area) -> None:
    files = area.files(2, "a_b")
    gateway.add_replicas(DISK, files + area.files(1, "axb"))
    gateway.add_datasets([area.did("a_b")])
    everything = [area.did("a_b"), *dids(files), area.did("axb/f00000")]

    def names(prefix: str, **options: Any) -> set[Did]:
        return {found.did for found in gateway.find_names(area.scope, f"{area.top}/{prefix}", **options)}

    assert names("") == set(everything)
    assert names("a_b/") == set(dids(files))
    assert names("", types=[DidType.DATASET]) == {area.did("a_b")}
    assert names("", depth=Depth.DIRECT) == {area.did("a_b")}
    assert names("", depth=Depth.DEEPER) == set(everything) - {area.did("a_b")}
    assert list(gateway.find_names("nosuchscope", "/")) == []


def test_rules_are_added_once(gateway: RucioGateway, area: Area) -> None:
    files = area.files(12)
    gateway.add_replicas(DISK, files)
    few = gateway.add_rule(dids(files[:2]), DISK, comment="custody")
    assert gateway.add_rule(dids(files[:2]), DISK) == few
    all_rules = gateway.add_rule(dids(files), DISK)
    assert set(all_rules) == set(dids(files))
    assert all_rules[files[0].did] == few[files[0].did]
    assert gateway.add_rule(dids(files), DISK) == all_rules
    rule = gateway.get_rules([few[files[0].did], "0" * 32])[few[files[0].did]]
    assert (rule.did, rule.account, rule.rse_expression) == (files[0].did, "ctaoprod", DISK)
    assert (rule.state, rule.locks_ok, rule.copies, rule.comment) == (RuleState.OK, 1, 1, "custody")
    assert rule.done
    with pytest.raises(errors.NotFound):
        gateway.add_rule([area.did("nothing")], DISK)


def test_rules_on_datasets(gateway: RucioGateway, area: Area) -> None:
    files = area.files(2)
    gateway.add_replicas(DISK, files)
    gateway.add_datasets([area.did("d")])
    gateway.attach({area.did("d"): dids(files)})
    options: dict[str, Any] = {
        "lifetime": 3600,
        "activity": "Staging",
        "source_replica_expression": DISK,
        "meta": {"campaign": "x"},
    }
    ((_, rule_id),) = gateway.add_rule([area.did("d")], "CNAF-DISK", **options).items()
    (rule,) = gateway.list_rules(did=area.did("d"))
    assert rule.id == rule_id
    assert (rule.state, rule.locks_replicating, rule.activity) == (RuleState.REPLICATING, 2, "Staging")
    assert rule.source_replica_expression == DISK
    assert rule.meta == {"campaign": "x"}
    assert rule.expires_at is not None
    assert 3500 < (rule.expires_at - rule.created_at).total_seconds() < 3700
    copies = gateway.list_replicas(dids(files), all_states=True)[files[0].did].replicas
    assert {r.rse: r.state for r in copies}["CNAF-DISK"] is ReplicaState.COPYING
    assert [r.id for r in gateway.list_rules_on_file(files[0].did)] == [rule_id]
    locks = {(lock.did, lock.rse, lock.ok) for lock in gateway.list_locks(rule_id)}
    assert locks == {(file.did, "CNAF-DISK", False) for file in files}
    gateway.end_rule(rule_id)
    ((_, rule_id),) = gateway.add_rule([files[0].did], DISK).items()
    assert [(lock.rse, lock.ok) for lock in gateway.list_locks(rule_id)] == [(DISK, True)]


def test_finding_rules(gateway: RucioGateway, area: Area) -> None:
    files = area.files(2)
    gateway.add_replicas(DISK, files)
    ids = gateway.add_rule(dids(files), DISK)
    found = [r.id for r in gateway.list_rules(scope=area.scope, account="ctaoprod", rse_expression=DISK)]
    assert sorted(found) == sorted(ids.values())
    assert [r.did for r in gateway.list_rules(scope=area.scope, name_pattern="*/f00001")] == [files[1].did]
    assert list(gateway.list_rules(scope=area.scope, state=RuleState.STUCK)) == []
    assert list(gateway.list_rules(scope=area.scope, did_type=DidType.DATASET)) == []
    assert len(list(gateway.list_rules(scope=area.scope, did_type=DidType.FILE, state=RuleState.OK))) == 2
    future = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert list(gateway.list_rules(scope=area.scope, created_after=future)) == []


def test_changing_and_ending_rules(gateway: RucioGateway, area: Area, speak: Callable[[str], RucioGateway]) -> None:
    files = area.files(1)
    gateway.add_replicas(DISK, files)
    ((_, rule_id),) = gateway.add_rule(dids(files), DISK).items()
    with pytest.raises(errors.NotAllowed):
        speak("user").update_rule(rule_id, lifetime=10)
    gateway.update_rule(rule_id, lifetime=1000, comment="soon")
    rule = gateway.get_rules([rule_id])[rule_id]
    assert rule.expires_at is not None
    assert rule.comment == "soon"
    with pytest.raises(errors.NotFound):
        gateway.update_rule("0" * 32, lifetime=10)
    for _ in range(2):
        gateway.end_rule(rule_id)
    gateway.end_rule("0" * 32)


def test_a_rule_that_ends_is_no_custody(
    gateway: RucioGateway, area: Area, speak: Callable[[str], RucioGateway]
) -> None:
    ending, ended, pinned = area.files(3)
    gateway.add_replicas(DISK, [ending, ended, pinned])
    before = gateway.add_rule(dids([ending, pinned]), DISK, lifetime=86400)
    before |= gateway.add_rule([ended.did], DISK)
    gateway.end_rule(before[ended.did])
    with pytest.raises((errors.Conflict, errors.NotAllowed)):
        speak("user").add_rule([ending.did], DISK, account="ctaoprod")
    kept = gateway.add_rule(dids([ending, ended]), DISK)
    rules = gateway.get_rules(kept.values())
    assert len(rules) == 2
    assert all(rule.expires_at is None for rule in rules.values())
    assert kept[ending.did] == before[ending.did]
    again = gateway.add_rule([pinned.did], DISK, lifetime=60)  # as the recall of a campaign does
    assert again == {pinned.did: before[pinned.did]}
    assert gateway.get_rules(again.values())[again[pinned.did]].expires_at is not None
    for rule_id in kept.values():
        gateway.end_rule(rule_id)
        assert gateway.get_rules([rule_id])[rule_id].expires_at is not None


def test_metadata(gateway: RucioGateway, area: Area) -> None:
    files = area.files(2)
    gateway.add_replicas(DISK, files)
    gateway.add_datasets([area.did("d")])
    values = {"obs_id": 5, "zenith": 20.5, "site": "La Palma", "ok": True, "version": "v2", "list": [1, 2]}
    gateway.set_metadata({files[0].did: values, area.did("d"): {"site": "Paranal"}})
    gateway.set_metadata({files[0].did: {"obs_id": 6, "when": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)}})
    found = gateway.get_metadata([*dids(files), area.did("d"), area.did("nothing")])
    assert found == {
        files[0].did: values | {"obs_id": 6, "when": "2026-01-02T03:04:05"},
        files[1].did: {},
        area.did("d"): {"site": "Paranal"},
    }
    gateway.delete_metadata(files[0].did, ["zenith", "nothing"])
    assert "zenith" not in gateway.get_metadata([files[0].did])[files[0].did]
    with pytest.raises(errors.NotFound, match="nothing"):
        gateway.set_metadata({files[1].did: {"a": 1}, area.did("nothing"): {"a": 1}})
    assert gateway.get_metadata([files[1].did])[files[1].did] == {"a": 1}
    with pytest.raises(errors.InvalidInput, match="dotted"):
        gateway.set_metadata({files[1].did: {"dotted.key": 1}})


def test_removing_metadata_of_many(gateway: RucioGateway, area: Area) -> None:
    files = area.files(3)
    gateway.add_replicas(DISK, files)
    gateway.set_metadata({did: {"n": 1, "s": "x", "version": "v1"} for did in dids(files)})
    before = gateway.requests
    gateway.clear_metadata({did: ["n", "version", "nothing"] for did in dids(files[:2])})
    assert gateway.requests == before + 1
    assert gateway.get_metadata(dids(files)) == {
        files[0].did: {"s": "x"},
        files[1].did: {"s": "x"},
        files[2].did: {"n": 1, "s": "x", "version": "v1"},
    }
    for query in ({"n": 1}, {"n": "Any"}, {"n": {"!=": 5}}, {"n": {"nin": [5]}}, {"version": "v1"}, {"n": "*"}):
        assert list(gateway.find_dids(area.scope, parse_query(query))) == [files[2].did], query
    assert not gateway.has_metadata(area.scope, {"nothing"})
    gateway.clear_metadata({files[2].did: ["n"]})
    assert not gateway.has_metadata(area.scope, {"n"})
    with pytest.raises(errors.NotFound, match="nothing"):
        gateway.clear_metadata({area.did("nothing"): ["n"]})


def test_finding_guids(gateway: RucioGateway, area: Area) -> None:
    files = area.files(45)
    digits = FileRecord(area.did("digits"), 1, adler32="00000001", guid="1" * 32)
    gateway.add_replicas(DISK, [*files, digits])
    wanted = [file.guid or "" for file in files]
    unknown = str(uuid.uuid4())
    found = gateway.find_guids(area.scope, [*wanted, unknown, "1" * 32])
    assert found == {file.guid: [file.did] for file in files} | {"1" * 32: [digits.did]}
    gateway.expire([files[0].did])
    assert gateway.find_guids(area.scope, wanted[:1]) == {}
    assert gateway.find_guids("nosuchscope", wanted) == {}


def test_collections_are_opened_again(gateway: RucioGateway, area: Area, speak: Callable[[str], RucioGateway]) -> None:
    files = area.files(1)
    gateway.add_replicas(DISK, files)
    gateway.add_datasets([area.did("d")])
    gateway.reopen(area.did("d"))
    gateway.close(area.did("d"))
    with pytest.raises(errors.NotAllowed):
        speak("user").reopen(area.did("d"))
    for _ in range(2):
        speak("admin").reopen(area.did("d"))
    gateway.attach({area.did("d"): dids(files)})
    assert gateway.get_dids([area.did("d")])[area.did("d")].is_open
    with pytest.raises(errors.NotFound):
        speak("admin").reopen(area.did("nothing"))


SEARCHES: list[tuple[dict[str, Any], list[int]]] = [
    ({"n": 3}, [3]),
    ({"n": "3"}, [3]),
    ({"n": {">": 7}}, [8, 9]),
    ({"n": {">=": 2, "<": 4}}, [2, 3]),
    ({"n": {"!=": 3}, "parity": "odd"}, [1, 5, 7, 9]),
    ({"n": [1, 2, 11]}, [1, 2]),
    ({"n": {"nin": [0, 1, 2, 3, 4, 5, 6, 7]}}, [8, 9]),
    ({"text": "4"}, [4]),
    ({"text": 4}, [4]),
    ({"mixed": 4}, [4]),
    ({"mixed": "odd"}, [1, 3, 5, 7, 9]),
    ({"mixed": {">": 5}}, [6, 8]),
    ({"minus": {"<": -7}}, [8, 9]),
    ({"flag": True}, [0, 2, 4, 6, 8]),
    ({"flag": 1}, [0, 2, 4, 6, 8]),
    ({"flag": {"<": 1}, "n": {"<": 4}}, [1, 3]),
    ({"n": True}, [1]),
    ({"mixed": True}, []),
    ({"flag": False, "n": {"<": 4}}, [1, 3]),
    ({"word": "construed1"}, [1]),
    ({"word": {"!=": "construed1"}, "n": {"<": 3}}, [0, 2]),
    ({"when": {">=": dt.datetime(2026, 5, 1, 10, 8)}}, [8, 9]),
    ({"when": dt.datetime(2026, 5, 1, 10, 8)}, [8]),
    ({"when": "2026-05-01T10:08:00"}, [8]),
    ({"when": {"<": "2026-05-01T10:02:00"}}, [0, 1]),
    ({"version": "v1"}, [1]),
    ({"version": "v1", "n": {">": 1}}, []),
    ({"n": {">": 2}, "version": "v4"}, [4]),
    ({"nokey": 1}, []),
    ({"n": "three"}, []),
    ({"percent": "100%"}, [1]),
    ({"parity": "Missing"}, []),
    ({"nokey": "Missing", "n": {"<": 2}}, [0, 1]),
    ({"word": "construed?"}, list(range(10))),
    ({"word": "*d1"}, [1]),
    ({"word": "??nstrued[12]"}, []),
    ({"n": "any", "parity": "e*"}, [0, 2, 4, 6, 8]),
    ({"when": {">=": "2026-05-01 10:08:00"}}, [8, 9]),
    ({"when": {"<": "2026-05-01 10:02:00"}}, [0, 1]),
]


@pytest.fixture
def searched(gateway: RucioGateway, area: Area) -> Area:
    files = area.files(10)
    gateway.add_replicas(DISK, files)
    gateway.add_datasets([area.did("d")])
    gateway.set_metadata(
        {
            file.did: {
                "n": i,
                "parity": "odd" if i % 2 else "even",
                "text": str(i),
                "mixed": "odd" if i % 2 else i,
                "minus": -i,
                "flag": i % 2 == 0,
                "word": f"construed{i}",
                "when": dt.datetime(2026, 5, 1, 10, i),
                "version": f"v{i}",
                "percent": "100%" if i == 1 else f"100{i}",
            }
            for i, file in enumerate(files)
        }
    )
    gateway.set_metadata({area.did("d"): {"n": 3, "parity": "odd"}})
    return area


def test_searches(gateway: RucioGateway, searched: Area) -> None:
    wrong = {}
    for query, expected in SEARCHES:
        found = list(gateway.find_dids(searched.scope, parse_query(query), types=[DidType.FILE]))
        numbers = sorted(int(did.name[-5:]) for did in found)
        if numbers != expected:
            wrong[str(query)] = numbers
    assert wrong == {}


def test_searches_by_type_and_prefix(gateway: RucioGateway, searched: Area) -> None:
    query = parse_query({"n": 3})
    both = {searched.did("d"), searched.did("run/f00003")}
    assert set(gateway.find_dids(searched.scope, query)) == both
    assert list(gateway.find_dids(searched.scope, query, types=[DidType.DATASET])) == [searched.did("d")]
    assert list(gateway.find_dids(searched.scope, query, prefix=f"{searched.top}/run/")) == [searched.did("run/f00003")]
    assert list(gateway.find_dids("nosuchscope", query)) == []
    everything = set(gateway.find_dids(searched.scope, parse_query({}), types=[DidType.FILE]))
    assert len(everything) == 10
    exists = MetadataQuery((Condition("parity", Operator.EXISTS, True),))
    assert set(gateway.find_dids(searched.scope, exists, types=[DidType.DATASET])) == {searched.did("d")}
    assert len(set(gateway.find_dids(searched.scope, exists))) == 11
    assert gateway.has_metadata(searched.scope, {"nokey", "parity"})
    assert gateway.has_metadata(searched.scope, {"version"}, f"{searched.top}/run/")
    assert not gateway.has_metadata(searched.scope, {"version"}, f"{searched.top}/walk/")
    assert not gateway.has_metadata(searched.scope, {"nokey"})
    with pytest.raises(errors.InvalidInput, match="bytes"):
        list(gateway.find_dids(searched.scope, parse_query({"bytes": 3})))


def test_expiring(gateway: RucioGateway, area: Area) -> None:
    files = area.files(1)
    gateway.add_replicas(DISK, files)
    gateway.expire(dids(files))
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    assert gateway.get_dids(dids(files))[files[0].did].expired(later)
    with pytest.raises(errors.Unavailable, match="on its way out"):
        gateway.add_replicas(DISK, files)


def test_expired_names_are_not_found(gateway: RucioGateway, area: Area) -> None:
    files = area.files(3)
    gateway.add_replicas(DISK, files)
    gateway.set_metadata({file.did: {"n": 1} for file in files})
    gateway.expire([files[0].did])
    rest = {files[1].did, files[2].did}
    assert {found.did for found in gateway.find_names(area.scope, f"{area.top}/")} == rest
    assert set(gateway.find_dids(area.scope, parse_query({"n": 1}), types=[DidType.FILE])) == rest
    assert set(gateway.find_dids(area.scope, parse_query({"n": 1}))) == rest


def test_tombstones(gateway: RucioGateway, area: Area) -> None:
    files = area.files(2)
    gateway.add_replicas(DISK, files)
    gateway.set_tombstones(DISK, [files[0].did])
    with pytest.raises(errors.NotFound):
        gateway.set_tombstones("CNAF-DISK", [files[0].did])
    gateway.add_rule([files[1].did], DISK)
    with pytest.raises(errors.Conflict):
        gateway.set_tombstones(DISK, [files[1].did])


def test_storage_endpoints(gateway: RucioGateway) -> None:
    rses = {rse.name: rse for rse in gateway.list_rses()}
    assert rses["PIC-TAPE"].type is RseType.TAPE
    assert rses[DISK].type is RseType.DISK
    assert rses[DISK].can_read
    (one,) = gateway.list_rses(DISK, attributes=True)
    assert one.attributes["site"] == "PIC"
    assert any(usage.source == "rucio" for usage in gateway.rse_usage(DISK))
    with pytest.raises(errors.InvalidInput):
        gateway.list_rses("NOSUCH-DISK")


def test_names_are_checked_before_anything_is_written(gateway: RucioGateway, area: Area) -> None:
    for path in ("with space", "double//slash", "up/../down", "x" * 250):
        with pytest.raises(errors.InvalidInput):
            gateway.add_datasets([area.did("good"), area.did(path)])
        with pytest.raises(errors.InvalidInput):
            gateway.add_replicas(DISK, [*area.files(1), FileRecord(area.did(path), 1, adler32="00000001")])
    assert list(gateway.find_names(area.scope, "/")) == []


@pytest.mark.parametrize("count", [1, 1000, 1001])
def test_requests_grow_with_chunks_only(gateway: RucioGateway, area: Area, count: int) -> None:
    files = area.files(count)
    chunks = -(-count // 1000)
    run = area.did("run")
    gateway.add_datasets([run])

    def cost(call: Callable[[], Any]) -> int:
        before = gateway.requests
        call()
        return gateway.requests - before

    assert cost(lambda: gateway.add_replicas(DISK, files)) == 2 * chunks
    assert cost(lambda: gateway.attach({run: dids(files)})) == chunks
    assert cost(lambda: gateway.get_dids(dids(files))) == chunks
    assert cost(lambda: gateway.list_replicas(dids(files), all_states=True)) == chunks
    assert cost(lambda: gateway.set_metadata({file.did: {"n": 1} for file in files})) == chunks
    assert cost(lambda: gateway.get_metadata(dids(files))) <= 2 * chunks
    assert cost(lambda: list(gateway.list_collection_replicas(run))) == 1
    assert cost(lambda: list(gateway.list_files(run))) == 1


def test_many_threads(gateway: RucioGateway, area: Area) -> None:
    files = area.files(20)
    run = area.did("run")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            gateway.add_datasets([run])
            gateway.add_replicas(DISK, files)
            gateway.attach({run: dids(files)})
            gateway.add_rule(dids(files), DISK)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(gateway.list_content(run)) == 20
    assert len(list(gateway.list_rules(scope=area.scope))) == 20


def test_the_servers_clock_and_accounts(gateway: RucioGateway) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
    assert before < gateway.server_time() < before + dt.timedelta(minutes=10)
    assert gateway.account in gateway.list_accounts()
    assert any("CN=" in identity for identity in gateway.list_identities(gateway.account))
    with pytest.raises(errors.NotFound):
        gateway.list_identities("nosuchaccount")


def test_how_a_storage_endpoint_is_reached(gateway: RucioGateway, area: Area) -> None:
    (protocol,) = [item for item in gateway.list_protocols(DISK) if item.scheme == "root"]
    assert protocol.hostname and protocol.port and protocol.prefix == "/"
    assert {"read", "write"} <= protocol.operations
    did = area.did("run/f1")
    (address,) = gateway.addresses(DISK, [did], "root").values()
    assert address.startswith(f"root://{protocol.hostname}")
    assert address.endswith(did.name)
    with pytest.raises(errors.NotFound):
        gateway.addresses(DISK, [did], "gsiftp")
    with pytest.raises(errors.NotFound):
        gateway.list_protocols("NO-SUCH-RSE")
