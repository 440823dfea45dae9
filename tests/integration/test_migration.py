"""DIRAC's file catalogue is brought into Rucio, and both are compared while they are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dirac_client import python

pytestmark = pytest.mark.stack
FILES = 200

FILL = """
import uuid
from DIRAC.Resources.Catalog.FileCatalogClient import FileCatalogClient
dfc, top, number = FileCatalogClient(), sys.argv[1], int(sys.argv[2])
for name, kind, whose in (("migr_site", "VARCHAR(64)", "-d"), ("migr_run", "int", "-f")):
    dfc.addMetadataField(name, kind, whose)  # an error if it's there
def files(run):
    return [f"{top}/run{run}/f{i:03}" for i in range(number // 2)]
for run in range(2):
    info = {lfn: {"PFN": "", "Size": 5 + i, "SE": "PIC-DISK", "Checksum": f"{i + 1:x}",
                  "GUID": str(uuid.uuid4()).upper()}
            for i, lfn in enumerate(files(run))}
    assert not good(dfc.addFile(info))["Failed"]
    good(dfc.addReplica({lfn: {"PFN": "", "SE": "CNAF-DISK"} for lfn in files(run)[:20]}))
    good(dfc.setMetadata(f"{top}/run{run}", {"migr_site": f"{top} {run}"}))
    good(dfc.setMetadataBulk({lfn: {"migr_run": i} for i, lfn in enumerate(files(run)[:10])}))
good(dfc.createDirectory(f"{top}/empty"))
good(dfc.addDataset({f"{top}/run0/selection": {"migr_site": f"{top} 0"}}))
report([*files(0), *files(1)])
"""

READ = """
from DIRAC.ConfigurationSystem.Client.ConfigurationData import gConfigurationData
top, log, primary, lfns = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
other = "FileCatalog" if primary == "RucioFileCatalog" else "RucioFileCatalog"
section = {"CatalogType": "ShadowFileCatalog", "AccessType": "Read", "Status": "Active", "Primary": primary,
           "Shadow": other, "DifferencesFile": log}
for option, value in section.items():
    gConfigurationData.setOptionInCFG(f"/Resources/FileCatalogs/ShadowFileCatalog/{option}", value)
catalogs = "/Operations/Defaults/Services/Catalogs"
gConfigurationData.setOptionInCFG(f"{catalogs}/CatalogList", f"ShadowFileCatalog, {primary}")
gConfigurationData.setOptionInCFG(f"{catalogs}/{primary}/AccessType", "Write")
gConfigurationData.setOptionInCFG(f"{catalogs}/{primary}/Master", "True")
fc, run = FileCatalog(), f"{top}/run1"
assert [name for name, _, _ in fc.readCatalogs] == ["ShadowFileCatalog"]
calls = [
    ("exists", [*lfns, f"{top}/no"]), ("isFile", lfns), ("isDirectory", [run, lfns[0]]), ("getFileSize", lfns),
    ("getFileMetadata", [*lfns, f"{top}/no"]), ("getReplicas", [*lfns, f"{top}/no"]), ("listDirectory", [top, run], True),
    ("getDirectorySize", top, True), ("getDirectoryDump", run), ("getDirectoryReplicas", run),
    ("getDirectoryMetadata", [top, run]), ("getDirectoryUserMetadata", run),
    ("findFilesByMetadata", {"migr_site": f"{top} 1"}, top), ("findFilesByMetadata", {"migr_run": {">": 3}}, top),
    ("findDirectoriesByMetadata", {"migr_site": f"{top} 1"}, top), ("getReplicasByMetadata", {"migr_run": 4}, top),
    ("getDatasetParameters", f"{top}/run0/selection"), ("getDatasetFiles", f"{top}/run0/selection"),
    *(("getFileUserMetadata", lfn) for lfn in lfns),
]
for method, *arguments in calls:
    good(getattr(fc, method)(*arguments))
from CTARucioDIRAC.Resources.Catalog.ShadowFileCatalogClient import counters
report({"calls": len(calls), **counters})
"""

CHANGE = """
from DIRAC.Resources.Catalog.FileCatalogClient import FileCatalogClient
one, other = sys.argv[1:]
good(FileCatalog().setMetadata(one, {"migr_run": 99}))
good(FileCatalogClient().removeReplica({other: {"SE": "CNAF-DISK", "PFN": ""}}))
report(True)
"""


def migrate(testbed, *arguments: object, code: int = 0) -> dict:
    """Run the command; returns its report."""
    done = testbed.run("production", "cta-rucio-migrate", *arguments, "--json", check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_a_catalogue_moves_and_both_say_the_same_until_one_changes(testbed, run_name, tmp_path: Path):
    top = f"/ctao/m{run_name[1:].lower()}"[:30]
    lfns = python(testbed, "production", FILL, top, FILES)

    planned = migrate(testbed, "run", top, "--dry-run")["counts"]
    assert (planned["to_register"], planned["directories"], planned["datasets_to_do"]) == (FILES, 4, 1)
    done = migrate(testbed, "run", top)
    assert done["problems"] == {}
    assert (done["counts"]["done"], done["counts"]["copies"], done["files_in_old_catalogue"]) == (
        FILES,
        FILES + 40,
        FILES,
    )
    again = migrate(testbed, "run", top)["counts"]
    assert again["already"] == FILES
    assert not {"done", "copies", "datasets_to_do"} & set(again)
    assert migrate(testbed, "verify", top, "--rules")["counts"]["same"] == FILES

    log, some = tmp_path / "differences", [lfns[0], lfns[7], lfns[FILES // 2], lfns[-1]]
    for primary in ("FileCatalog", "RucioFileCatalog"):  # before the change of masters, and after it
        read = python(testbed, "production", READ, top, log, primary, *some)
        assert not log.exists(), log.read_text()
        assert read == {"calls": read["calls"], "compared": read["calls"], "differing": 0, "differences": 0}

    python(testbed, "production", CHANGE, some[0], some[1])
    read = python(testbed, "production", READ, top, log, "RucioFileCatalog", *some)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert read["differences"] == len(lines)
    seen = {(line["method"], line["what"]) for line in lines}
    assert {
        ("getFileUserMetadata", "migr_run"),
        ("getReplicas", "answer"),
        ("getDirectorySize", "at CNAF-DISK"),
    } <= seen
    problems = tmp_path / "problems"
    differing = migrate(testbed, "verify", top, "--problems", problems, code=1)
    assert differing["problems"] == {"metadata": 1}  # a copy that only Rucio has is nothing that a migration lacks
    assert [json.loads(line)["name"] for line in problems.read_text().splitlines()] == [some[0]]
