"""The catalogue plugin in DIRAC's shapes, over the gateway in memory."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from catalog_helpers import FILE, MISSING, OPTIONS, description, successful, value
from fake_gateway import FakeGateway

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import did_of
from CTARucioDIRAC.gateway.protocol import FileRecord, ReplicaState
from CTARucioDIRAC.Resources.Catalog import RucioFileCatalogClient as module
from CTARucioDIRAC.Resources.Catalog.CTARucioFileCatalogClient import CTARucioFileCatalogClient


def test_only_what_is_implemented_is_advertised() -> None:
    reading, writing, without_lfns = CTARucioFileCatalogClient.getInterfaceMethods()
    for name in {*reading, *writing, *without_lfns}:
        assert callable(getattr(CTARucioFileCatalogClient, name))
        assert CTARucioFileCatalogClient.hasCatalogMethod(name)
    assert set(without_lfns) <= {*reading, *writing}
    assert not CTARucioFileCatalogClient.hasCatalogMethod("createLink")
    with pytest.raises(AttributeError):
        CTARucioFileCatalogClient(**OPTIONS).createLink  # noqa: B018 - DIRAC's own clients make a remote call of it


def test_options_are_checked_and_nothing_is_sent(fake: FakeGateway) -> None:
    with pytest.raises(errors.InvalidSettings, match="RucioHots"):
        CTARucioFileCatalogClient(**OPTIONS, RucioHots="x")
    CTARucioFileCatalogClient(**OPTIONS)
    assert fake.requests == 0


def test_kinds(filled: CTARucioFileCatalogClient) -> None:
    names = [FILE, "/ctao/lst", "/ctao/no"]
    assert successful(filled.exists(names)) == {FILE: FILE, "/ctao/lst": "/ctao/lst", "/ctao/no": False}
    assert successful(filled.exists({FILE: "guid"})) == {FILE: FILE}
    assert successful(filled.isFile(names)) == {FILE: FILE, "/ctao/lst": False, "/ctao/no": False}
    assert successful(filled.isDirectory(names)) == {FILE: False, "/ctao/lst": True, "/ctao/no": False}


def test_every_name_is_answered_for_under_its_own_spelling(filled: CTARucioFileCatalogClient) -> None:
    names = [f"lfn:{FILE}", "/ctao//lst/", "/ctao/bad name", "relative"]
    for method in ("exists", "isFile", "isDirectory", "getFileMetadata", "getFileSize", "getReplicas"):
        answer = value(getattr(filled, method)(names))
        assert set(answer["Successful"]) | set(answer["Failed"]) == set(names), method
        assert "bad name" in answer["Failed"]["/ctao/bad name"]


def test_file_metadata(filled: CTARucioFileCatalogClient) -> None:
    answer = value(filled.getFileMetadata([FILE, "/ctao/lst", "/ctao/no"]))
    assert answer["Failed"] == {"/ctao/lst": MISSING, "/ctao/no": MISSING}
    found = answer["Successful"][FILE]
    assert (found["Size"], found["Checksum"], found["ChecksumType"]) == (5, "0000abcd", "Adler32")
    assert found["GUID"] == "AAAAAAAA-BBBB-CCCC-DDDD-000000000001"
    assert isinstance(found["CreationDate"], dt.datetime)
    assert found["CreationDate"].tzinfo is None
    assert {"ModificationDate", "Mode", "Status", "UID", "GID"} <= set(found)
    assert (found["Owner"], found["OwnerGroup"]) == ("jdoe", "group of ctaoprod")
    assert successful(filled.getFileSize(FILE)) == {FILE: 5}


def test_a_file_with_md5_only_has_no_checksum_for_dirac(filled: CTARucioFileCatalogClient, fake: FakeGateway) -> None:
    lfn = "/ctao/lst/run1/md5"
    assert successful(filled.addFile({lfn: description(Checksum="0" * 31 + "a", ChecksumType="MD5")}))
    found = successful(filled.getFileMetadata(lfn))[lfn]
    assert (found["Checksum"], found["MD5"]) == ("", "0" * 31 + "a")
    assert fake.get_dids([did_of(lfn)])[did_of(lfn)].adler32 is None


def test_replicas(filled: CTARucioFileCatalogClient, fake: FakeGateway) -> None:
    address = f"root://pic-disk/{FILE}"
    assert successful(filled.getReplicas(FILE)) == {FILE: {"PIC-DISK": address}}
    fake.add_rule([did_of(FILE)], "CNAF-DISK")
    assert successful(filled.getReplicas(FILE)) == {FILE: {"PIC-DISK": address}}
    assert set(successful(filled.getReplicas(FILE, allStatus=True))[FILE]) == {"PIC-DISK", "CNAF-DISK"}
    assert successful(filled.getReplicaStatus({FILE: "CNAF-DISK"})) == {FILE: "COPYING"}
    assert successful(filled.getReplicaStatus({FILE: "PIC-DISK"})) == {FILE: "AprioriGood"}
    assert value(filled.getReplicaStatus({FILE: "PIC-TAPE"}))["Failed"] == {FILE: "No replica at supplied site"}
    fake.set_replica_states("PIC-DISK", {did_of(FILE): ReplicaState.BAD})
    answer = value(filled.getReplicas([FILE, "/ctao/no"]))
    assert answer == {"Successful": {}, "Failed": {FILE: "File has zero replicas", "/ctao/no": MISSING}}


def test_listings(filled: CTARucioFileCatalogClient) -> None:
    plain = successful(filled.listDirectory("/ctao/lst/run1"))["/ctao/lst/run1"]
    assert set(plain) == {"Files", "SubDirs", "Links", "Datasets"}
    assert set(plain["Files"]) == {FILE}
    above = successful(filled.listDirectory("/ctao/lst", True))["/ctao/lst"]
    assert above["Files"] == {}
    assert above["SubDirs"]["/ctao/lst/run1"]["OwnerGroup"] == "group of ctaoprod"
    verbose = successful(filled.listDirectory("/ctao/lst/run1", verbose=True))["/ctao/lst/run1"]["Files"][FILE]
    assert verbose["MetaData"]["Size"] == 5
    assert verbose["Replicas"]["PIC-DISK"]["Status"] == "AprioriGood"
    assert value(filled.listDirectory(["/ctao/no", FILE]))["Failed"] == {"/ctao/no": MISSING, FILE: MISSING}


def test_dumps_sizes_and_directories(filled: CTARucioFileCatalogClient) -> None:
    dump = successful(filled.getDirectoryDump("/ctao/lst", timeout=360))["/ctao/lst"]
    assert set(dump["Files"]) == {FILE}
    assert dump["Files"][FILE]["Size"] == 5
    assert dump["SubDirs"] == ["/ctao/lst/run1"]
    size = successful(filled.getDirectorySize("/ctao/lst", True))["/ctao/lst"]
    assert (size["LogicalSize"], size["LogicalFiles"], size["LogicalDirectories"]) == (5, 1, 1)
    assert size["PhysicalSize"] == {"PIC-DISK": {"Size": 5, "Files": 1}, "TotalSize": 5, "TotalFiles": 1}
    assert "PhysicalSize" not in successful(filled.getDirectorySize("/ctao/lst"))["/ctao/lst"]
    metadata = successful(filled.getDirectoryMetadata("/ctao/lst"))["/ctao/lst"]
    assert {"Owner", "OwnerGroup", "OwnerDN", "OwnerRole", "Mode", "CreationDate"} <= set(metadata)
    replicas = successful(filled.getDirectoryReplicas("/ctao/lst/run1"))["/ctao/lst/run1"]
    assert set(replicas[FILE]) == {"PIC-DISK"}
    for method in ("getDirectoryDump", "getDirectorySize", "getDirectoryMetadata", "getDirectoryReplicas"):
        assert value(getattr(filled, method)("/ctao/no"))["Failed"] == {"/ctao/no": MISSING}


def test_permissions(filled: CTARucioFileCatalogClient, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    assert successful(filled.hasAccess(FILE, "addFile")) == {FILE: True}
    assert successful(filled.getPathPermissions(FILE)) == {FILE: {"Read": True, "Write": True, "Execute": True}}
    user = fake.as_account("ctaouser")
    monkeypatch.setattr(module, "current_gateway", lambda _settings: user)
    assert successful(filled.hasAccess(FILE, "addFile")) == {FILE: False}
    assert successful(filled.hasAccess(FILE, "getReplicas")) == {FILE: True}
    assert not filled.hasAccess(FILE, "fly")["OK"]


def test_metadata(filled: CTARucioFileCatalogClient) -> None:
    assert filled.setMetadata("/ctao/lst", {"site": "LaPalma"})["OK"]
    assert filled.setMetadataBulk({FILE: {"run": 1}, "/ctao/lst/run1": {"level": 2}})["OK"]
    assert value(filled.getFileUserMetadata(FILE)) == {"site": "LaPalma", "run": 1, "level": 2}
    result = filled.getDirectoryUserMetadata("/ctao/lst/run1")
    assert value(result) == {"site": "LaPalma", "level": 2}
    assert result["MetadataOwner"] == {"site": "ParentMetadata", "level": "OwnMetadata"}
    assert result["MetadataType"] == {"site": "VARCHAR(128)", "level": "int"}
    assert value(filled.findFilesByMetadata({"site": "LaPalma", "run": {">": 0}})) == [FILE]
    assert value(filled.findFilesByMetadata({"site": "LaPalma"}, "/ctao/lst/run2")) == []
    assert value(filled.findFilesByMetadata({"run": 1, "SE": "CNAF-DISK"})) == []
    assert value(filled.findFilesByMetadata({"run": 1, "SE": {"in": ["CNAF-DISK", "PIC-DISK"]}})) == [FILE]
    assert value(filled.findDirectoriesByMetadata({"level": 2})) == {1: "/ctao/lst/run1"}
    assert set(successful(filled.getReplicasByMetadata({"run": 1}))) == {FILE}
    fields = value(filled.getMetadataFields())
    assert fields["FileMetaFields"]["run"] == "int"
    assert fields["DirectoryMetaFields"]["level"] == "int"
    assert fields["DirectoryMetaFields"]["thetaP"] == "float"
    assert filled.removeMetadata({FILE: ["run"]})["OK"]
    assert value(filled.getFileUserMetadata(FILE)) == {"site": "LaPalma", "level": 2}


def test_what_cannot_be_asked_is_an_error(filled: CTARucioFileCatalogClient) -> None:
    for query in ({"run": {"~": 1}}, {"User": "jdoe"}, {"run": None}, "run=1", {"_dirac_status": "x"}):
        assert not filled.findFilesByMetadata(query)["OK"], query
    assert not filled.setMetadata("/ctao/no", {"a": 1})["OK"]
    assert not filled.setMetadata(FILE, "a=1")["OK"]
    assert MISSING in filled.getFileUserMetadata("/ctao/no")["Message"]


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"SE": "PIC-DISK", "Size": -1, "Checksum": "0000abcd"},
        {"SE": "PIC-DISK", "Size": "big", "Checksum": "0000abcd"},
        {"SE": "PIC-DISK", "Size": 5, "Checksum": "xyz"},
        {"SE": "PIC-DISK", "Size": 5},
        {"Size": 5, "Checksum": "0000abcd"},
        {"SE": "PIC-DISK", "Size": 5, "Checksum": "0000abcd", "GUID": "malformed"},
        "PIC-DISK",
    ],
)
def test_bad_descriptions_fail_alone(catalog: CTARucioFileCatalogClient, info: Any) -> None:
    answer = value(catalog.addFile({FILE: info, "/ctao/lst/run1/good": description()}))
    assert set(answer["Failed"]) == {FILE}
    assert set(answer["Successful"]) == {"/ctao/lst/run1/good"}


def test_copies_come_and_go(filled: CTARucioFileCatalogClient, fake: FakeGateway) -> None:
    assert successful(filled.addReplica({FILE: {"SE": "CNAF-DISK", "PFN": ""}})) == {FILE: True}
    assert set(successful(filled.getReplicas(FILE))[FILE]) == {"CNAF-DISK", "PIC-DISK"}
    assert successful(filled.removeReplica({FILE: {"SE": "CNAF-DISK", "PFN": ""}})) == {FILE: True}
    fake.clean()
    assert set(successful(filled.getReplicas(FILE))[FILE]) == {"PIC-DISK"}
    assert value(filled.addReplica({FILE: {}}))["Failed"] == {FILE: "Replica info not supplied"}
    fake.clean()
    assert set(successful(filled.getReplicas(FILE))[FILE]) == {"PIC-DISK"}


def test_other_content_names_both_checksums(filled: CTARucioFileCatalogClient) -> None:
    reason = value(filled.addFile({FILE: description(Checksum="deadbeef")}))["Failed"][FILE]
    assert "0000abcd" in reason
    assert "deadbeef" in reason


def test_removal(filled: CTARucioFileCatalogClient, fake: FakeGateway) -> None:
    assert value(filled.removeDirectory("/ctao/lst/run1"))["Successful"] == {}
    assert successful(filled.removeFile(FILE)) == {FILE: True}
    assert successful(filled.exists(FILE)) == {FILE: False}
    assert value(filled.removeFile("/ctao/no"))["Failed"] == {"/ctao/no": MISSING}
    assert successful(filled.removeDirectory("/ctao/lst/run1")) == {"/ctao/lst/run1": True}
    fake.clean()
    assert did_of(FILE) not in fake.records
    assert successful(filled.createDirectory("/ctao/lst/run2")) == {"/ctao/lst/run2": True}
    assert successful(filled.isDirectory("/ctao/lst/run2")) == {"/ctao/lst/run2": True}


def test_errors_become_results(filled: CTARucioFileCatalogClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_settings: object) -> FakeGateway:
        raise errors.InvalidSettings("DIRAC group 'x' has no Rucio account: set /Registry/Groups/x/RucioAccount")

    monkeypatch.setattr(module, "current_gateway", fail)
    for method in ("exists", "getFileUserMetadata", "removeFile"):
        result = getattr(filled, method)(FILE)
        assert not result["OK"]
        assert "/Registry/Groups/x/RucioAccount" in result["Message"]
    assert not filled.isOK()["OK"]


def test_data_of_plain_rucio_is_there(catalog: CTARucioFileCatalogClient, fake: FakeGateway) -> None:
    fake.add_scope("lst")
    night = "/ctao/lst/DL0/LSTN-01/2026/11/22"
    lfns = [f"{night}/run{i}.fits.fz" for i in range(2)]
    fake.add_replicas("LAPALMA-DISK", [FileRecord(did_of(lfn), 5, adler32="0000abcd") for lfn in lfns])
    fake.add_datasets([did_of(night)])
    fake.attach({did_of(night): [did_of(lfn) for lfn in lfns]})
    assert set(successful(catalog.getReplicas(lfns))) == set(lfns)
    assert set(successful(catalog.listDirectory(night))[night]["Files"]) == set(lfns)
    assert set(successful(catalog.listDirectory("/ctao"))["/ctao"]["SubDirs"]) == {"/ctao/lst"}
    assert set(successful(catalog.getDirectoryDump("/ctao/lst"))["/ctao/lst"]["Files"]) == set(lfns)
    assert successful(catalog.addReplica({lfns[0]: "PIC-DISK"})) == {lfns[0]: True}
    assert successful(catalog.removeReplica({lfns[0]: "LAPALMA-DISK"})) == {lfns[0]: True}
    assert successful(catalog.removeFile(lfns)) == dict.fromkeys(lfns, True)
    fake.clean()
    assert fake.get_dids([did_of(lfn) for lfn in lfns]) == {}


def test_what_is_not_registered_is_in_the_log(
    catalog: CTARucioFileCatalogClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DataManager, and so ``dput``, tells nobody why."""
    from CTARucioDIRAC.Core.Utilities import RucioReturns

    said: list[str] = []

    class Log:
        def getSubLogger(self, _name: str) -> Log:
            return self

        def error(self, *words: str) -> None:
            said.append(" ".join(words))

    monkeypatch.setattr(RucioReturns, "gLogger", Log())
    names = [f"/ctao/log/f{i:02d}" for i in range(12)]
    result = catalog.addFile({name: {"SE": "PIC-DISK", "Size": -1, "Checksum": "00000001"} for name in names})
    assert set(result["Value"]["Failed"]) == set(names)
    assert len(said) == 11
    assert said[0].startswith("Not registered: /ctao/log/f00: ")
    assert "2 more files" in said[-1]
