"""DIRAC's FileCatalogClient on a service that answers from Rucio, as CTADIRAC's commands use it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from dirac_client import ingest, python

pytestmark = pytest.mark.stack
SERVICE = "DataManagement/RucioFileCatalog"


@pytest.fixture(scope="module")
def area(run_name: str) -> str:
    return f"/ctao/s{run_name[1:].lower()}"[:30]


@pytest.fixture(scope="module")
def night(testbed, area: str) -> list[str]:
    """Raw data that DIRAC has never heard of."""
    return ingest(testbed, area.rsplit("/", 1)[1], f"{area}/DL0/LSTN-01/2026/11/22", ["a.fits.fz", "b.fits.fz"])


def instead(testbed) -> list[str]:
    """Options of DIRAC's commands that put the service in the place of DIRAC's file catalogue."""
    port = testbed.layout.port(SERVICE)
    return ["-o", f"/Systems/DataManagement/URLs/FileCatalog=dips://localhost:{port}/{SERVICE}"]


def test_diracs_client_finds_everything_unchanged(testbed, area, night, tmp_path: Path):
    code = """
from DIRAC.Resources.Catalog.FileCatalogClient import FileCatalogClient
dfc, area, dump, lfns = FileCatalogClient("DataManagement/RucioFileCatalog"), sys.argv[1], sys.argv[2], sys.argv[3:]
directory, new = lfns[0].rsplit("/", 1)[0], f"{sys.argv[1]}/new/f"
info = {"PFN": "", "Size": 5, "SE": "PIC-DISK", "GUID": "", "Checksum": "0000abcd"}
found = {"ok": good(dfc.isOK())}
found["added"] = good(dfc.addFile({new: info}))["Successful"]
found["exists"] = good(dfc.exists([*lfns, f"{area}/no"]))["Successful"]
found["replicas"] = good(dfc.getReplicas([*lfns, f"{area}/no"]))
found["listing"] = sorted(good(dfc.listDirectory(directory, True))["Successful"][directory]["Files"])
found["below"] = sorted(good(dfc.getDirectoryReplicas(directory))["Successful"][directory])
found["owner"] = good(dfc.getDirectoryMetadata(f"{area}/new"))["Successful"][f"{area}/new"]["OwnerDN"]
good(dfc.setMetadata(f"{area}/new", {"site": "LaPalma"}))
found["metadata"] = good(dfc.getFileUserMetadata(new))
found["found"] = good(dfc.findFilesByMetadata({"site": "LaPalma"}, area))
found["bulk"] = good(dfc.findFilesByMetadata({"obs_id": {">=": 0}}, area))
found["denied"] = dfc.addUser("x")["Message"]
good(dfc.getSEDump(["PIC-DISK", "LAPALMA-DISK"], dump))
found["no such element"] = dfc.getSEDump(["NOPE"], dump + ".no")["Message"]
report(found)
"""
    dump = tmp_path / "dump"
    found = python(testbed, "production", code, area, dump, *night)
    new = f"{area}/new/f"
    assert found["ok"] is True
    assert found["added"] == {new: True}
    assert found["exists"] == {lfn: lfn for lfn in night} | {f"{area}/no": False}
    assert {lfn: list(where) for lfn, where in found["replicas"]["Successful"].items()} == {
        lfn: ["LAPALMA-DISK"] for lfn in night
    }
    assert found["replicas"]["Failed"] == {f"{area}/no": "No such file or directory"}
    assert found["listing"] == found["below"] == night
    assert found["owner"].endswith("CN=pprod")
    assert found["metadata"] == {"site": "LaPalma"}
    assert found["found"] == [new]
    assert found["bulk"] == night
    assert "/Registry" in found["denied"]
    assert "NOPE" in found["no such element"]
    with dump.open() as file:
        lines = {tuple(line) for line in csv.reader(file, delimiter="|")}
    assert ("PIC-DISK", new, "0000abcd", "5") in lines
    assert {line[1] for line in lines if line[1].startswith(area)} == {new, *night}


def test_nobody_may_do_more_through_the_service(testbed, area, night):
    """What Rucio denies the account of the caller's group, it denies here, though the service's own may do it."""
    code = """
from DIRAC.Resources.Catalog.FileCatalogClient import FileCatalogClient
dfc, lfn = FileCatalogClient("DataManagement/RucioFileCatalog"), sys.argv[1]
report({
    "read": list(good(dfc.getReplicas(lfn))["Successful"]),
    "access": good(dfc.hasAccess(lfn, "removeFile"))["Successful"][lfn],
    "removed": good(dfc.removeFile(lfn))["Failed"].get(lfn, ""),
    "replica": good(dfc.removeReplica({lfn: {"SE": "LAPALMA-DISK", "PFN": ""}}))["Failed"].get(lfn, ""),
    "there": good(dfc.exists(lfn))["Successful"][lfn],
})
"""
    found = python(testbed, "user", code, night[0])
    assert found["read"] == [night[0]]
    assert found["access"] is False
    assert "denied" in found["removed"]
    assert found["replica"]
    assert found["there"] == night[0]


def test_ctadiracs_commands_work_on_it(testbed, area, night, tmp_path: Path):
    """With the service in the place of DIRAC's file catalogue, which has none of these files."""
    names = tmp_path / "names"
    names.write_text("\n".join([*night, f"{area}/no"]))
    testbed.run("production", "cta-dms-check-lfn", names, *instead(testbed))
    assert Path(f"{names}_Found.list").read_text().split() == night
    assert Path(f"{names}_NotFound.list").read_text().split() == [f"{area}/no"]
    names.write_text("\n".join(night))
    kind = area.rsplit("/", 1)[1]
    out = testbed.run("production", "cta-prod-set-metadata", names, "particle", kind, *instead(testbed)).stdout
    assert "Successfully set meta data particle for 2 files" in out
    query = tmp_path / f"{kind}.json"
    query.write_text(json.dumps({"particle": kind, "obs_id": 1}))
    testbed.run("production", "cta-prod-add-dataset", query, "--dry-run", *instead(testbed), cwd=tmp_path)
    assert (tmp_path / f"{kind}.lfns").read_text().split() == [night[1]]
    testbed.run("production", "cta-prod-add-dataset", query, *instead(testbed), cwd=tmp_path)
    testbed.run("production", "cta-prod-dump-dataset", kind, *instead(testbed), cwd=tmp_path)
    assert (tmp_path / f"{kind}.list").read_text().split() == [night[1]]
    testbed.run("production", "cta-prod-remove-dataset", kind, *instead(testbed), cwd=tmp_path)
