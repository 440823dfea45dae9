"""Adoption of data that plain Rucio brought in, on the fake and on a real server."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator

import pytest
from fake_gateway import FakeGateway
from test_gateway_contract import real_gateway

from CTARucioDIRAC.domain import errors, scopes
from CTARucioDIRAC.domain.identifiers import Did, did_of
from CTARucioDIRAC.domain.names import directory_metadata, file_metadata
from CTARucioDIRAC.domain.scopes import ScopeRules
from CTARucioDIRAC.gateway.protocol import DidType, FileRecord, RucioGateway
from CTARucioDIRAC.usecases import files, remove
from CTARucioDIRAC.usecases.adopt import Options, adopt

VO, DISK, OTHER = "ctao", "PIC-DISK", "CNAF-DISK"
ACADA = "TEL001_SDH000_20250204T204531_SBID0000000002000000013_OBSID0000000002000000206_TEL_SHOWER_CHUNK000.fits.fz"


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.stack)])
def gateway(request: pytest.FixtureRequest) -> RucioGateway:
    if request.param == "fake":
        fake = FakeGateway()
        fake.add_containers([Did("root", "/ctao")])
        return fake
    return real_gateway(request.getfixturevalue("testbed"), "production")


@pytest.fixture(autouse=True)
def rules() -> Iterator[None]:
    yield
    scopes.use(ScopeRules())


@pytest.fixture
def top(gateway: RucioGateway) -> str:
    scope = f"a{uuid.uuid4().hex[:10]}"
    gateway.add_scope(scope)
    return f"/ctao/{scope}"


def put(gateway: RucioGateway, *lfns: str, rse: str = DISK, scope: str = "") -> list[Did]:
    dids = [Did(scope, lfn) if scope else did_of(lfn) for lfn in lfns]
    gateway.add_replicas(rse, [FileRecord(did, 5, adler32="0000abcd") for did in dids])
    return dids


def bdms(gateway: RucioGateway, top: str, count: int = 3) -> tuple[str, list[Did]]:
    """A night as BDMS brings it in: DL0 hangs from nothing, no rule."""
    night = f"{top}/DL0/LSTN-01/22"
    dids = put(gateway, *[f"{night}/f{i}" for i in range(count - 1)], f"{night}/{ACADA}")
    way = [f"{top}/DL0", f"{top}/DL0/LSTN-01"]
    gateway.add_containers([did_of(path) for path in way])
    gateway.add_datasets([did_of(night)])
    for parent, child in zip(way, [*way[1:], night], strict=True):
        gateway.attach({did_of(parent): [did_of(child)]})
    gateway.attach({did_of(night): dids})
    return night, dids


def members(gateway: RucioGateway, path: str) -> set[str]:
    return {item.did.name for item in gateway.list_content(did_of(path))}


def holders(gateway: RucioGateway, did: Did) -> list[tuple[str, str, bool]]:
    return sorted(
        (rule.did.name, rule.rse_expression, rule.expires_at is None) for rule in gateway.list_rules_on_file(did)
    )


def test_a_night_of_bdms(gateway: RucioGateway, top: str) -> None:
    night, dids = bdms(gateway, top)
    planned = adopt(gateway, top, VO, Options(dry_run=True))
    assert did_of(top) not in gateway.get_dids([did_of(top)])
    assert gateway.list_rules_on_file(dids[0]) == []
    report = adopt(gateway, top, VO, Options())
    assert report == planned
    assert (report.directories, report.files, report.problem_count) == (1, 3, 0)
    assert (report.containers_created, report.datasets_created, report.collections_attached) == (1, 0, 2)
    assert (report.rules_on_datasets, report.rules_on_files, report.copies_held) == (1, 0, 3)
    assert members(gateway, top) == {f"{top}/DL0"}
    assert top in members(gateway, "/ctao")
    assert holders(gateway, dids[0]) == [(night, DISK, True)]
    metadata = gateway.get_metadata([dids[2], did_of(f"{top}/DL0")])
    assert metadata[dids[2]] == {"sb_id": 2000000013, "obs_id": 2000000206}
    assert metadata[did_of(f"{top}/DL0")] == {"data_level": 0}
    again = adopt(gateway, top, VO, Options())
    assert (again.changes, again.files) == (0, 3)


def test_a_pin_that_ends_leaves_adopted_copies_alone() -> None:
    gateway = FakeGateway()
    gateway.add_scope("lst")
    _, dids = bdms(gateway, "/ctao/lst")
    top = "/ctao/lst"
    adopt(gateway, top, VO, Options())
    gateway.add_rule(dids, "PIC-DISK|CNAF-DISK", lifetime=60)
    gateway.now += dt.timedelta(seconds=120)
    gateway.clean()
    assert {did: [r.rse for r in f.replicas] for did, f in gateway.list_replicas(dids).items()} == {
        did: [DISK] for did in dids
    }


def test_files_without_anything_above_and_mixed_directories(gateway: RucioGateway, top: str) -> None:
    dids = put(gateway, f"{top}/a/f1", f"{top}/a/f2", f"{top}/a/b/c/f3", f"{top}/d/f4")
    gateway.add_containers([did_of(f"{top}/d")])
    report = adopt(gateway, f"{top}", VO, Options())
    assert report.problem_count == 0
    kinds = gateway.get_dids([did_of(f"{top}/{name}") for name in ("a", "a/.files", "a/b", "a/b/c", "d", "d/.files")])
    assert {did.name.removeprefix(top): record.type for did, record in kinds.items()} == {
        "/a": DidType.CONTAINER,
        "/a/.files": DidType.DATASET,
        "/a/b": DidType.CONTAINER,
        "/a/b/c": DidType.DATASET,
        "/d": DidType.CONTAINER,
        "/d/.files": DidType.DATASET,
    }
    assert members(gateway, f"{top}/a") == {f"{top}/a/.files", f"{top}/a/b"}
    assert members(gateway, f"{top}/a/.files") == {dids[0].name, dids[1].name}
    assert members(gateway, f"{top}/a/b/c") == {dids[2].name}
    assert members(gateway, top) == {f"{top}/a", f"{top}/d"}
    assert holders(gateway, dids[2]) == [(dids[2].name, DISK, True)]
    assert adopt(gateway, top, VO, Options()).changes == 0


def test_rules_follow_the_copies(gateway: RucioGateway, top: str) -> None:
    dids = put(gateway, f"{top}/a/f1", f"{top}/a/f2", f"{top}/a/f3")
    put(gateway, dids[0].name, rse=OTHER)
    gateway.add_rule([dids[1]], DISK)
    report = adopt(gateway, f"{top}/a", VO, Options(rses=f"{DISK}|{OTHER}"))
    assert (report.rules_on_datasets, report.rules_on_files) == (0, 3)
    assert holders(gateway, dids[0]) == [(dids[0].name, OTHER, True), (dids[0].name, DISK, True)]
    assert [len(holders(gateway, did)) for did in dids[1:]] == [1, 1]
    assert remove.remove_copies(gateway, {dids[0].name: OTHER}).failed == {}


def test_copies_that_a_dataset_rule_holds_get_no_other(gateway: RucioGateway, top: str) -> None:
    night, dids = bdms(gateway, top)
    (rule,) = gateway.add_rule([did_of(night)], f"{DISK}|{OTHER}").values()
    report = adopt(gateway, top, VO, Options())
    assert report.copies_held == 0
    assert {r.id for r in gateway.list_rules_on_file(dids[0])} == {rule}


def test_file_rules_on_request(gateway: RucioGateway, top: str) -> None:
    _, dids = bdms(gateway, top)
    report = adopt(gateway, top, VO, Options(file_rules=True))
    assert (report.rules_on_datasets, report.rules_on_files) == (0, 3)
    assert holders(gateway, dids[1]) == [(dids[1].name, DISK, True)]


def test_files_of_another_scope_get_a_place_where_their_paths_say(gateway: RucioGateway, top: str) -> None:
    other = f"x{top[-8:]}"
    gateway.add_scope(other)
    (did,) = put(gateway, f"{top}/a/f1", scope=other)
    report = adopt(gateway, top, VO, Options())
    assert (report.files, report.problem_count) == (1, 0)
    assert [item.did for item in gateway.list_content(did_of(f"{top}/a"))] == [did]
    assert files.stat_files(gateway, [did.name]).done[did.name].did == did
    assert adopt(gateway, f"{other}:", VO, Options()).changes == 0


def test_names_that_are_no_paths_are_held() -> None:
    gateway = FakeGateway()
    gateway.add_scope("old")
    (did,) = put(gateway, "raw1", scope="old")
    gateway.add_datasets([Did("old", "rawdata")])
    gateway.attach({Did("old", "rawdata"): [did]})
    assert adopt(gateway, "old:rawdata", VO, Options()).rules_on_files == 1
    assert holders(gateway, did) == [("raw1", DISK, True)]
    assert adopt(gateway, "old:", VO, Options()).changes == 0


def test_what_can_not_be_done_is_said_and_the_rest_is_done(gateway: RucioGateway, top: str) -> None:
    closed, below, good = put(gateway, f"{top}/closed/f1", f"{top}/file/x/f2", f"{top}/good/f3")
    gateway.add_datasets([did_of(f"{top}/closed")])
    gateway.close(did_of(f"{top}/closed"))
    put(gateway, f"{top}/file/x")
    report = adopt(gateway, top, VO, Options())
    assert report.problem_count == 2
    assert any(f"{top}/closed is a closed dataset" in problem for problem in report.problems)
    assert any(f"{top}/file/x is a file" in problem for problem in report.problems)
    assert members(gateway, f"{top}/good") == {good.name}
    assert all(holders(gateway, did) for did in (closed, below, good))
    with pytest.raises(errors.NotFound, match="nothing to adopt"):
        adopt(gateway, f"{top}/nothing", VO, Options())
    with pytest.raises(errors.InvalidInput):
        adopt(gateway, "/", VO, Options())


def test_the_number_of_requests_grows_with_directories_and_thousands_of_files() -> None:
    counts = {}
    for number in (600, 2600):
        gateway = FakeGateway()
        gateway.add_scope("big")
        put(gateway, *[f"/ctao/big/d{i % 2}/f{i:05d}" for i in range(number)])
        gateway.requests = 0
        report = adopt(gateway, "/ctao/big", VO, Options())
        assert (report.files_attached, report.rules_on_datasets) == (number, 2)
        counts[number] = gateway.requests
    assert counts[600] <= 30
    assert counts[2600] - counts[600] <= 8  # four lists of a thousand more, for two directories


def test_what_names_tell() -> None:
    assert file_metadata(f"/ctao/lst/{ACADA}") == {"sb_id": 2000000013, "obs_id": 2000000206}
    assert file_metadata("/ctao/lst/gamma_run1.simtel.zst") == {}
    assert directory_metadata("/ctao/lst/DL2") == {"data_level": 2}
    assert directory_metadata("/ctao/lst/R1/x") == {}
