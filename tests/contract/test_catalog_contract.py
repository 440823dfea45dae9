"""Methods of DIRAC's catalogue contract beyond files and directories, over the gateway in memory."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from catalog_helpers import MISSING, description, failed, successful, value
from fake_gateway import FakeGateway

from CTARucioDIRAC.domain.identifiers import did_of
from CTARucioDIRAC.domain.metadata_fields import Fields
from CTARucioDIRAC.gateway.embargo import hide
from CTARucioDIRAC.gateway.protocol import DidType, FileRecord, ReplicaState
from CTARucioDIRAC.Resources.Catalog import RucioCatalogBase
from CTARucioDIRAC.Resources.Catalog import RucioFileCatalogClient as module
from CTARucioDIRAC.Resources.Catalog.CTARucioFileCatalogClient import CTARucioFileCatalogClient

TOP = "/ctao/lst"
NO = f"{TOP}/no"


@pytest.fixture
def lfns(catalog: CTARucioFileCatalogClient) -> list[str]:
    """Four files in two directories, with metadata on both."""
    names = [f"{TOP}/{directory}/f{i}" for directory in ("a", "b") for i in range(2)]
    files = {lfn: description(GUID=f"AAAAAAAA-0000-0000-0000-{i:012d}", Size=i) for i, lfn in enumerate(names)}
    assert successful(catalog.addFile(files)) == dict.fromkeys(names, True)
    meta = {f"{TOP}/a": {"level": 0}, f"{TOP}/b": {"level": 1}} | {lfn: {"n": i} for i, lfn in enumerate(names)}
    assert catalog.setMetadataBulk(meta)["OK"]
    return names


# -------------------------------------------------------------------- ancestors


def test_ancestors_and_descendents(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    one, two, three, four = lfns
    links = {two: {"Ancestors": [one]}, three: {"Ancestors": two}, four: {"Ancestors": [two, one]}}
    for _ in range(2):
        assert successful(catalog.addFileAncestors(links)) == dict.fromkeys(links, True)
    assert successful(catalog.getFileAncestors([three, one], [1, 2])) == {three: {two: 1, one: 2}, one: {}}
    assert successful(catalog.getFileAncestors(three, 2)) == {three: {one: 2}}
    assert successful(catalog.getFileAncestors(four, [])) == {four: {two: 1, one: 1}}
    assert successful(catalog.getFileDescendents([one, four], [])) == {one: {two: 1, four: 1, three: 2}, four: {}}
    assert successful(catalog.getFileDescendents(one, [2])) == {one: {three: 2}}
    assert value(catalog.getFileAncestors([NO], 1))["Failed"] == {NO: MISSING}
    assert successful(catalog.addFileAncestors({three: {"Ancestors": [four], "AncestorDepth": 3}}))
    assert successful(catalog.getFileAncestors(three, 3)) == {three: {four: 3}}
    assert value(catalog.getFileUserMetadata(three)) == {"level": 1, "n": 2}


def test_ancestors_must_exist(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    answer = value(
        catalog.addFileAncestors(
            {lfns[0]: {"Ancestors": [NO]}, NO: {"Ancestors": []}, lfns[1]: {"Ancestors": [lfns[0]]}}
        )
    )
    assert answer["Failed"] == {lfns[0]: f"Failed to resolve ancestor files: {NO}", NO: MISSING}
    assert answer["Successful"] == {lfns[1]: True}
    assert failed(catalog.addFileAncestors({lfns[0]: [lfns[1]]}))
    assert failed(catalog.addFileAncestors({lfns[0]: {"Ancestors": [lfns[1]], "AncestorDepth": 0}}))
    assert not catalog.getFileAncestors(lfns, [0])["OK"]


def test_a_file_may_be_registered_with_its_ancestors(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    new = f"{TOP}/c/new"
    assert successful(catalog.addFile({new: description(GUID="", Ancestors=[lfns[0]])})) == {new: True}
    assert successful(catalog.getFileDescendents(lfns[0], 1)) == {lfns[0]: {new: 1}}


def test_ancestors_under_an_embargo_are_left_out(
    catalog: CTARucioFileCatalogClient, fake: FakeGateway, lfns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = "/ctao/dark/raw"
    assert successful(catalog.addFile({raw: description(GUID="")}))
    assert successful(catalog.addFileAncestors({raw: {"Ancestors": [lfns[0]]}, lfns[1]: {"Ancestors": [raw]}}))
    assert successful(catalog.getFileAncestors(lfns[1], [])) == {lfns[1]: {raw: 1, lfns[0]: 2}}
    monkeypatch.setattr(module, "current_gateway", lambda _settings: hide(fake, frozenset({"dark"}), "guests"))
    assert raw not in successful(catalog.getFileAncestors(lfns[1], []))[lfns[1]]
    assert successful(catalog.getFileDescendents(lfns[0], [])) == {lfns[0]: {}}


def test_ancestors_of_many_cost_few_requests(catalog: CTARucioFileCatalogClient, fake: FakeGateway) -> None:
    files = [FileRecord(did_of(f"{TOP}/many/f{i}"), 1, adler32="00000001") for i in range(1500)]
    fake.add_scope("lst")
    fake.add_replicas("PIC-DISK", files)
    names = [file.did.name for file in files]
    before = fake.requests
    links = {name: {"Ancestors": [names[0]]} for name in names[1:]}
    assert len(successful(catalog.addFileAncestors(links))) == 1499
    assert fake.requests - before <= 12
    before = fake.requests
    assert len(successful(catalog.getFileDescendents(names, [1]))[names[0]]) == 1499
    assert fake.requests - before <= 12


# -------------------------------------------------------------------- statuses


def test_statuses_of_files(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    answer = value(catalog.setFileStatus({lfns[0]: "Trash", lfns[1]: "Nonsense", NO: "Trash"}))
    assert answer["Successful"] == {lfns[0]: True}
    assert answer["Failed"] == {lfns[1]: "Invalid file status Nonsense", NO: MISSING}
    found = successful(catalog.getFileMetadata(lfns[:2]))
    assert [found[lfn]["Status"] for lfn in lfns[:2]] == ["Trash", "AprioriGood"]
    assert value(catalog.findFilesByMetadata({"Status": "Trash"}, TOP)) == [lfns[0]]
    assert value(catalog.findFilesByMetadata({"Status": "AprioriGood"}, TOP)) == lfns[1:]
    assert "_dirac_status" not in value(catalog.getFileUserMetadata(lfns[0]))
    assert successful(catalog.setFileStatus({lfns[0]: "AprioriGood"}))
    assert successful(catalog.getFileMetadata(lfns[0]))[lfns[0]]["Status"] == "AprioriGood"


def test_statuses_cost_a_request_now_and_then(
    catalog: CTARucioFileCatalogClient, fake: FakeGateway, lfns: list[str]
) -> None:
    catalog.getFileMetadata(lfns)
    before = fake.requests
    catalog.getFileMetadata(lfns)
    assert fake.requests - before == 1


def test_copies_are_kept_back_and_released(
    catalog: CTARucioFileCatalogClient, fake: FakeGateway, lfns: list[str]
) -> None:
    one = lfns[0]
    assert successful(catalog.addReplica({one: "CNAF-DISK"}))
    assert successful(catalog.setReplicaStatus({one: {"SE": "PIC-DISK", "Status": "Probing"}})) == {one: True}
    assert set(successful(catalog.getReplicas(one))[one]) == {"CNAF-DISK"}
    assert set(successful(catalog.getReplicas(one, allStatus=True))[one]) == {"CNAF-DISK", "PIC-DISK"}
    assert successful(catalog.getReplicaStatus({one: "PIC-DISK"})) == {one: "Probing"}
    assert fake.copies[did_of(one)]["PIC-DISK"].locks
    fake.clean()
    assert successful(catalog.setReplicaProblematic({one: {"PIC-DISK": "", "CNAF-DISK": ""}})) == {
        one: ["CNAF-DISK", "PIC-DISK"]
    }
    assert successful(catalog.getReplicaStatus({one: "CNAF-DISK"})) == {one: "Trash"}
    assert value(catalog.getReplicas(one))["Failed"] == {one: "File has zero replicas"}
    assert successful(catalog.setReplicaProblematic({one: {"PIC-DISK": ""}}, revert=True)) == {one: ["PIC-DISK"]}
    assert successful(catalog.getReplicaStatus({one: "PIC-DISK"})) == {one: "AprioriGood"}
    assert set(successful(catalog.getReplicas(one))[one]) == {"PIC-DISK"}


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"SE": "PIC-DISK"}, "Missing 'Status' parameter"),
        ({"Status": "Trash"}, "Missing 'SE' parameter"),
        ("PIC-DISK", "Missing 'SE' parameter"),
        ({"SE": "PIC-DISK", "Status": "Fine"}, "Invalid replica status Fine"),
        ({"SE": "PIC-TAPE", "Status": "Trash"}, "Replica does not exist"),
        ({"SE": "PIC-DISK", "Status": "Removing"}, "removeReplica"),
    ],
)
def test_what_cannot_be_said_of_a_copy(
    catalog: CTARucioFileCatalogClient, lfns: list[str], info: Any, reason: str
) -> None:
    assert reason in failed(catalog.setReplicaStatus({lfns[0]: info}))[lfns[0]]


def test_a_copy_on_its_way_is_not_declared_good(
    catalog: CTARucioFileCatalogClient, fake: FakeGateway, lfns: list[str]
) -> None:
    fake.add_rule([did_of(lfns[0])], "CNAF-DISK")
    answer = catalog.setReplicaStatus({lfns[0]: {"SE": "CNAF-DISK", "Status": "AprioriGood"}})
    assert "COPYING" in failed(answer)[lfns[0]]
    assert fake.copies[did_of(lfns[0])]["CNAF-DISK"].state is ReplicaState.COPYING


def test_a_copy_stays_where_it_is(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    answer = value(
        catalog.setReplicaHost(
            {
                lfns[0]: {"SE": "PIC-DISK", "NewSE": "CNAF-DISK"},
                lfns[1]: {"SE": "PIC-DISK", "NewSE": "PIC-DISK"},
                lfns[2]: {"SE": "PIC-DISK"},
                NO: {"SE": "PIC-DISK", "NewSE": "CNAF-DISK"},
            }
        )
    )
    assert answer["Successful"] == {lfns[1]: True}
    assert "addReplica" in answer["Failed"][lfns[0]]
    assert answer["Failed"][lfns[2]] == "Missing 'NewSE' parameter"
    assert answer["Failed"][NO] == MISSING


def test_owners_are_the_accounts(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    assert successful(catalog.changePathOwner({lfns[0]: "jdoe"})) == {lfns[0]: True}
    assert "stays 'jdoe'" in failed(catalog.changePathOwner({lfns[0]: "other"}, recursive=True))[lfns[0]]
    assert successful(catalog.changePathGroup({f"{TOP}/a": "group of ctaoprod"}))
    assert failed(catalog.changePathGroup({f"{TOP}/a": "other"}))
    assert successful(catalog.changePathMode({lfns[0]: 0o664, f"{TOP}/a": 0o775}))
    assert failed(catalog.changePathMode({lfns[0]: 0o600, NO: 0o664}))[NO] == MISSING
    assert catalog.rebuildDirectoryUsage()["OK"]
    assert "cta-rucio-check" in catalog.repairCatalog()["Message"]


# -------------------------------------------------------------------- GUIDs


def test_files_by_guid(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    guid, unknown = "aaaaaaaa-0000-0000-0000-000000000002", "BBBBBBBB-0000-0000-0000-000000000002"
    answer = value(catalog.getLFNForGUID([guid, unknown, "malformed"]))
    assert answer["Successful"] == {guid: lfns[2]}
    assert answer["Failed"][unknown] == "GUID does not exist"
    assert "malformed" in answer["Failed"]["malformed"]
    assert successful(catalog.getLFNForGUID(guid)) == {guid: lfns[2]}
    assert successful(catalog.exists({NO: guid, lfns[0]: unknown})) == {NO: lfns[2], lfns[0]: lfns[0]}
    assert successful(catalog.exists({NO: {"GUID": guid}})) == {NO: lfns[2]}
    assert successful(catalog.exists({NO: unknown, f"{NO}2": "no guid"})) == {NO: False, f"{NO}2": False}


# -------------------------------------------------------------------- metadata


def test_details_and_pages(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    details = value(catalog.getFileDetails([*lfns[:2], NO]))
    assert set(details) == set(lfns[:2])
    assert details[lfns[1]]["Metadata"] == {"n": 1}
    assert {"Size", "Checksum", "Owner", "Status"} <= set(details[lfns[0]])
    assert value(catalog.findFilesByMetadataDetailed({"level": 0}, TOP)) == details
    page = value(catalog.findFilesByMetadataWeb({"level": "Any"}, TOP, 1, 2))
    assert page["TotalRecords"] == 4
    assert list(page["Records"]) == lfns[1:3]
    assert value(catalog.findFilesByMetadataWeb({"level": 7}, TOP, 0, 2)) == {"TotalRecords": 0, "Records": {}}
    assert "existing range" in catalog.findFilesByMetadataWeb({"level": 0}, TOP, 5, 2)["Message"]
    bulk = value(catalog.getFileUserMetadataBulk([*lfns, NO]))
    assert bulk["Failed"] == {NO: MISSING}
    assert bulk["Successful"][lfns[3]] == {"level": 1, "n": 3}


def test_compatible_values(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    assert catalog.setMetadata(f"{TOP}/a", {"site": "n"})["OK"]
    assert value(catalog.getCompatibleMetadata({}, TOP)) == {"level": [0, 1], "site": ["n"]}
    assert value(catalog.getCompatibleMetadata({"level": 1}, TOP)) == {"level": [1]}
    assert value(catalog.getCompatibleMetadata({"level": 5}, TOP)) == {}
    assert "Path not found" in catalog.getCompatibleMetadata({}, NO)["Message"]


def test_fields_are_declared_once(catalog: CTARucioFileCatalogClient, fake: FakeGateway, lfns: list[str]) -> None:
    assert value(catalog.addMetadataField("zenith", "FLOAT")) == "Added new metadata: zenith"
    assert value(catalog.addMetadataField("zenith", "float")) == "Already exists"
    assert "different type: int/FLOAT" in catalog.addMetadataField("zenith", "int")["Message"]
    assert "defined for Directories" in catalog.addMetadataField("zenith", "FLOAT", "-f")["Message"]
    assert "defined for Files" in catalog.addMetadataField("runNumber", "int")["Message"]
    assert "Unknown metadata type -x" in catalog.addMetadataField("other", "int", "-x")["Message"]
    for name, kind in (("a b", "int"), ("_dirac_x", "int"), ("ok", "blob"), ("", "int")):
        assert not catalog.addMetadataField(name, kind)["OK"]
    assert value(catalog.addMetadataField("night", "datetime", "-f"))
    fields = value(catalog.getMetadataFields())
    assert fields["DirectoryMetaFields"]["zenith"] == "FLOAT"
    assert fields["FileMetaFields"]["night"] == "datetime"
    assert fields["FileMetaFields"]["n"] == "int"
    assert fake.get_metadata([did_of("/ctao")])[did_of("/ctao")]["_dirac_field_zenith"]["type"] == "FLOAT"


def test_values_are_of_the_declared_type(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    for name, kind in (("zenith", "FLOAT"), ("night", "datetime"), ("word", "VARCHAR(20)")):
        assert catalog.addMetadataField(name, kind, "-f")["OK"]
    values = {"zenith": "20", "night": "2026-05-01 10:00:00", "word": 5, "runNumber": "7", "free": "8"}
    assert catalog.setMetadata(lfns[0], values)["OK"]
    found = value(catalog.getFileUserMetadata(lfns[0]))
    expected = {"zenith": 20.0, "night": dt.datetime(2026, 5, 1, 10), "word": "5", "runNumber": 7, "free": "8"}
    assert found == expected | {"level": 0, "n": 0}
    assert [type(found[key]) for key in expected] == [type(item) for item in expected.values()]
    assert value(catalog.findFilesByMetadata({"night": "2026-05-01 10:00:00"}, TOP)) == [lfns[0]]
    assert value(catalog.findFilesByMetadata({"merged": True}, TOP)) == []
    assert catalog.setMetadata(f"{TOP}/a", {"merged": 1})["OK"]
    assert value(catalog.findFilesByMetadata({"merged": True}, TOP)) == lfns[:2]
    for bad in ({"zenith": "high"}, {"night": "soon"}, {"runNumber": 7.5}):
        assert next(iter(bad)) in catalog.setMetadata(lfns[0], bad)["Message"]
    assert "catalogue's own" in catalog.setMetadata(lfns[0], {"_dirac_status": "x"})["Message"]
    assert "catalogue's own" in catalog.removeMetadata({lfns[0]: ["_dirac_status"]})["Message"]


def test_a_field_in_use_stays(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    assert catalog.addMetadataField("zenith", "FLOAT", "-f")["OK"]
    assert catalog.setMetadata(lfns[0], {"zenith": 20})["OK"]
    assert "in use in scope lst" in catalog.deleteMetadataField("zenith")["Message"]
    assert catalog.removeMetadata({lfns[0]: ["zenith"]})["OK"]
    assert catalog.deleteMetadataField("zenith")["OK"]
    assert "zenith" not in value(catalog.getMetadataFields())["FileMetaFields"]
    assert not catalog.deleteMetadataField("zenith")["OK"]
    assert "CTAO's own" in catalog.deleteMetadataField("MCCampaign")["Message"]


def test_the_configuration_declares_fields(
    catalog: CTARucioFileCatalogClient, lfns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = Fields({"nsb": "float"}, {"data_level": "VARCHAR(8)"})
    monkeypatch.setattr(RucioCatalogBase, "metadata_fields", lambda _vo: configured)
    RucioCatalogBase.forget()
    fields = value(catalog.getMetadataFields())
    assert fields["DirectoryMetaFields"]["nsb"] == "float"
    assert "nsb" not in fields["FileMetaFields"]
    assert fields["FileMetaFields"]["data_level"] == "VARCHAR(8)"


def test_sets_of_values(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    assert catalog.addMetadataField("setup", "MetaSet")["OK"]
    assert catalog.addMetadataField("level", "int")["OK"]
    assert catalog.addMetadataSet("inner", {"level": 1})["OK"]
    assert catalog.addMetadataSet("outer", {"setup": "inner", "site": "n"})["OK"]
    assert "nofield" in catalog.addMetadataSet("bad", {"nofield": 1})["Message"]
    assert value(catalog.getMetadataSet("outer", False)) == {"setup": "inner", "site": "n"}
    assert value(catalog.getMetadataSet("outer", True)) == {"level": 1, "site": "n"}
    assert value(catalog.getMetadataSet("nothing", True)) == {}
    assert value(catalog.findFilesByMetadata({"setup": "inner"}, TOP)) == lfns[2:]


def test_metadata_of_many_go_in_one_request(catalog: CTARucioFileCatalogClient, fake: FakeGateway) -> None:
    files = [FileRecord(did_of(f"{TOP}/many/f{i}"), 1, adler32="00000001") for i in range(1001)]
    fake.add_scope("lst")
    fake.add_replicas("PIC-DISK", files)
    names = [file.did.name for file in files]
    catalog.getMetadataFields()
    before = fake.requests
    assert catalog.setMetadataBulk({name: {"n": 1} for name in names})["OK"]
    assert fake.requests - before == 2
    assert catalog.removeMetadata({name: ["n"] for name in names})["OK"]
    assert fake.requests - before == 4
    assert value(catalog.findFilesByMetadata({"n": 1}, TOP)) == []


def test_what_a_file_says_itself_counts(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    assert catalog.setMetadata(lfns[0], {"level": 1})["OK"]
    for query in ({"level": 0}, {"level": 1}, {"level": {"<": 1}}, {"level": {"!=": 1}}, {"level": "Missing"}):
        found = value(catalog.findFilesByMetadata(query, TOP))
        expected = {
            "{'level': 0}": [lfns[1]],
            "{'level': 1}": [lfns[0], *lfns[2:]],
            "{'level': {'<': 1}}": [lfns[1]],
            "{'level': {'!=': 1}}": [lfns[1]],
            "{'level': 'Missing'}": [],
        }[str(query)]
        assert found == expected, query
    assert catalog.removeMetadata({f"{TOP}/a": ["level"]})["OK"]
    assert value(catalog.findFilesByMetadata({"level": "Missing"}, TOP)) == [lfns[1]]
    assert value(catalog.findFilesByMetadata({"level": "Missing", "n": {">": 0}}, TOP)) == [lfns[1]]
    assert value(catalog.findDirectoriesByMetadata({"level": "Missing"}, TOP)) == {1: TOP, 2: f"{TOP}/a"}


def test_properties_of_files_can_be_searched_for(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> None:
    def search(**query: Any) -> Any:
        return value(catalog.findFilesByMetadata(query, TOP))

    assert search(Size={">": 1}) == lfns[2:]
    assert search(Size={">": 1}, level=1, n=3) == [lfns[3]]
    assert search(Name="f0") == search(FileName="?0") == [lfns[0], lfns[2]]
    assert search(GUID="aaaaaaaa-0000-0000-0000-000000000002") == [lfns[2]]
    assert search(CheckSum="0000abcd", n=0) == [lfns[0]]
    assert search(CreationDate={">": "2020-01-01 00:00:00"}) == lfns
    assert search(ModificationDate={"<": dt.datetime(2020, 1, 1)}) == []
    for key in ("User", "Group", "UID", "LastAccessDate", "Path"):
        assert key in catalog.findFilesByMetadata({key: "x"}, TOP)["Message"]


# -------------------------------------------------------------------- datasets

DATASET = f"{TOP}/sets/level0"


@pytest.fixture
def dataset(catalog: CTARucioFileCatalogClient, lfns: list[str]) -> str:
    assert successful(catalog.addDataset({DATASET: {"level": 0, "Path": TOP}})) == {DATASET: True}
    return DATASET


def content(fake: FakeGateway, name: str) -> list[str]:
    return sorted(item.did.name for item in fake.list_content(did_of(name)))


def test_a_dataset_is_a_query_with_a_name(
    catalog: CTARucioFileCatalogClient, fake: FakeGateway, lfns: list[str], dataset: str
) -> None:
    found = successful(catalog.getDatasetParameters(dataset))[dataset]
    assert found["MetaQuery"] == {"level": 0, "Path": TOP}
    assert (found["Status"], found["NumberOfFiles"], found["TotalSize"]) == ("Dynamic", 2, 1)
    assert len(found["DatasetHash"]) == 32
    assert isinstance(found["CreationDate"], dt.datetime)
    assert successful(catalog.getDatasetFiles(dataset)) == {dataset: lfns[:2]}
    assert fake.records[did_of(dataset)].type is DidType.DATASET
    assert content(fake, dataset) == lfns[:2]
    assert successful(catalog.checkDataset(dataset)) == {dataset: {}}


def test_a_dataset_follows_its_query_and_can_be_frozen(
    catalog: CTARucioFileCatalogClient, fake: FakeGateway, lfns: list[str], dataset: str
) -> None:
    assert catalog.setMetadata(lfns[2], {"level": 0})["OK"]
    assert catalog.setMetadata(lfns[0], {"level": 3})["OK"]
    assert successful(catalog.getDatasetFiles(dataset)) == {dataset: lfns[1:3]}
    changes = successful(catalog.checkDataset(dataset))[dataset]
    assert changes["TotalSize"] == (1, 3)
    assert "NumberOfFiles" not in changes
    assert successful(catalog.updateDataset(dataset)) == {dataset: 1}
    assert successful(catalog.updateDataset(dataset)) == {dataset: None}
    assert content(fake, dataset) == lfns[1:3]
    for _ in range(2):
        assert successful(catalog.freezeDataset(dataset)) == {dataset: True}
    assert fake.records[did_of(dataset)].is_open is False
    assert successful(catalog.getDatasetParameters(dataset))[dataset]["Status"] == "Frozen"
    assert catalog.setMetadata(lfns[3], {"level": 0})["OK"]
    assert successful(catalog.getDatasetFiles(dataset)) == {dataset: lfns[1:3]}
    assert "release it" in failed(catalog.updateDataset(dataset))[dataset]
    for _ in range(2):
        assert successful(catalog.releaseDataset(dataset)) == {dataset: True}
    assert successful(catalog.getDatasetFiles(dataset)) == {dataset: lfns[1:]}


def test_datasets_are_made_once(catalog: CTARucioFileCatalogClient, lfns: list[str], dataset: str) -> None:
    assert successful(catalog.addDataset({dataset: {"level": 0, "Path": TOP}})) == {dataset: True}
    assert "already exists" in failed(catalog.addDataset({dataset: {"level": 1}}))[dataset]
    assert "full path" in failed(catalog.addDataset({"short": {"level": 0}}))["short"]
    assert "of Rucio's own" in failed(catalog.addDataset({f"{TOP}/a": {"level": 0}}))[f"{TOP}/a"]
    bad = f"{TOP}/sets/bad"
    assert "unknown operator" in failed(catalog.addDataset({bad: {"level": {"~": 0}}}))[bad]
    assert successful(catalog.exists(bad)) == {bad: False}


def test_datasets_by_name(catalog: CTARucioFileCatalogClient, lfns: list[str], dataset: str) -> None:
    other = f"{TOP}/other/level0"
    single = f"{TOP}/other/level1"
    assert successful(catalog.getDatasetFiles("level0")) == {"level0": lfns[:2]}
    assert successful(catalog.addDataset({other: {"level": 0}, single: {"level": 1}}))
    assert "Ambiguous" in failed(catalog.getDatasetFiles("level0"))["level0"]
    assert set(successful(catalog.getDatasets("*"))["*"]) == {dataset, other, "level1"}
    assert set(successful(catalog.getDatasets("lev*1"))["lev*1"]) == {"level1"}
    assert set(successful(catalog.getDatasets(f"{TOP}/other/*"))[f"{TOP}/other/*"]) == {"level0", "level1"}
    assert successful(catalog.getDatasets(NO)) == {NO: {}}
    assert failed(catalog.getDatasetParameters([NO, "short"])) == {NO: "No such dataset", "short": "Dataset not found"}
    assert successful(catalog.addDatasetAnnotation({dataset: "for the paper"})) == {dataset: True}
    found = successful(catalog.getDatasetAnnotation([dataset, other]))
    assert found == {dataset: "for the paper", other: "-"}


def test_datasets_are_listed_as_such(catalog: CTARucioFileCatalogClient, lfns: list[str], dataset: str) -> None:
    directory = f"{TOP}/sets"
    plain = successful(catalog.listDirectory(directory))[directory]
    assert plain["SubDirs"] == {}
    assert plain["Datasets"]["level0"]["Metadata"]["NumberOfFiles"] == 2
    assert "Annotation" not in plain["Datasets"]["level0"]
    assert catalog.setMetadata(directory, {"kind": "sets"})["OK"]
    assert value(catalog.findDirectoriesByMetadata({"kind": "sets"}, TOP)) == {1: directory}
    verbose = successful(catalog.listDirectory(directory, True))[directory]
    assert verbose["Datasets"]["level0"]["Annotation"] == "-"
    assert verbose["SubDirs"] == {}


def test_removing_a_dataset_leaves_its_files(
    catalog: CTARucioFileCatalogClient, fake: FakeGateway, lfns: list[str], dataset: str
) -> None:
    ((_, rule),) = fake.add_rule([did_of(dataset)], "CNAF-DISK").items()
    assert rule in failed(catalog.removeDataset(dataset))[dataset]
    fake.end_rule(rule)
    fake.clean()
    for _ in range(2):
        assert successful(catalog.removeDataset([dataset, NO])) == {dataset: True, NO: True}
    assert "on its way out" in failed(catalog.addDataset({dataset: {"level": 0}}))[dataset]
    fake.clean()
    assert set(successful(catalog.getReplicas(lfns))) == set(lfns)
    assert successful(catalog.addDataset({dataset: {"level": 0}})) == {dataset: True}


def test_datasets_of_plain_rucio_are_read_and_left_alone(
    catalog: CTARucioFileCatalogClient, fake: FakeGateway, lfns: list[str]
) -> None:
    night = f"{TOP}/a"
    found = successful(catalog.getDatasetParameters(night))[night]
    assert (found["Status"], found["MetaQuery"]) == ("Static", {})
    assert successful(catalog.getDatasetFiles(night)) == {night: lfns[:2]}
    for method in ("freezeDataset", "releaseDataset", "updateDataset", "checkDataset", "removeDataset"):
        assert "of Rucio's own" in failed(getattr(catalog, method)(night))[night], method
    assert fake.records[did_of(night)].is_open
    assert failed(catalog.getDatasetFiles(lfns[0])) == {lfns[0]: "No such dataset"}


# -------------------------------------------------------------------- whatever is given

ODD: list[Any] = [None, 5, True, "", [], {}, [None], [5], {5: 1}, "no path", ["/"], {"/ctao/lst/a/f0": object()}, b"x"]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_arguments_are_answered(
    catalog: CTARucioFileCatalogClient, fake: FakeGateway, lfns: list[str], odd: Any, tmp_path: Path
) -> None:
    """No exception escapes, whatever stands for the first argument: DIRAC's FileCatalog would pass it on."""
    reading, writing, _ = catalog.getInterfaceMethods()
    others: dict[str, tuple[Any, ...]] = {
        "hasAccess": ("addFile",),
        "getFileAncestors": (1,),
        "getFileDescendents": (1,),
        "findFilesByMetadataWeb": ("/", 0, 1),
        "setMetadata": ({"a": 1},),
        "addMetadataField": ("int",),
        "addMetadataSet": ({},),
        "getMetadataSet": (True,),
        "getSEDump": (str(tmp_path / "dump"),),
    }
    without = {"getMetadataFields", "rebuildDirectoryUsage", "repairCatalog"}
    for method in sorted({*reading, *writing} - without):
        result = getattr(catalog, method)(odd, *others.get(method, ()))
        assert isinstance(result["OK"], bool), method
