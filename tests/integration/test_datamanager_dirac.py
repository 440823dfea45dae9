"""Bytes: the data manager of this package, and DIRAC's own on the Rucio catalogue."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from dirac_client import python

pytestmark = pytest.mark.stack

MANAGER = """
from CTARucioDIRAC.DataManagementSystem.Client.RucioDataManager import RucioDataManager
from CTARucioDIRAC.domain.identifiers import did_of
manager, gateway = RucioDataManager(), current_gateway()
"""


@pytest.fixture(scope="module")
def area(run_name: str) -> str:
    return f"/ctao/d{run_name[1:].lower()}"[:30]


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A file with a name and content of its own."""
    path = tmp_path / f"file{time.time_ns()}"
    path.write_bytes(path.name.encode() * 1000)
    return path


def stored(testbed, rse: str, lfn: str) -> Path:
    return testbed.layout.storage(rse) / lfn.lstrip("/")


def test_upload_register_download(testbed, area, local: Path):
    code = (
        MANAGER
        + """
lfn, path, target = sys.argv[1:]
first = good(manager.put_and_register(lfn, path, "PIC-DISK", metadata={"run": 1}))
second = good(manager.put_and_register(lfn, path, "PIC-DISK"))
third = good(manager.put_and_register(lfn, path, "CNAF-DISK"))
os.makedirs(target)
fetched = good(manager.getFile([lfn], destinationDir=target))
with open(path, "ab") as stream:
    stream.write(b"more")
other = manager.put_and_register(lfn, path, "PIC-DISK")["Message"]
rules = sorted([r.rse_expression, r.did_type] for r in gateway.list_rules_on_file(did_of(lfn)))
report({"uploaded": [first["Uploaded"], second["Uploaded"], third["Uploaded"]], "fetched": fetched, "other": other,
        "rules": rules, "checksum": first["Checksum"], "metadata": gateway.get_metadata([did_of(lfn)])[did_of(lfn)]})
"""
    )
    lfn, target = f"{area}/{local.name}", local.with_suffix(".fetched")
    original = local.read_bytes()
    found = python(testbed, "production", code, lfn, local, target)
    assert found["uploaded"] == [True, False, True]
    assert Path(found["fetched"]["Successful"][lfn]).read_bytes() == original
    assert stored(testbed, "PIC-DISK", lfn).read_bytes() == stored(testbed, "CNAF-DISK", lfn).read_bytes() == original
    assert found["checksum"] in found["other"]
    assert found["rules"] == [["CNAF-DISK", "FILE"], ["PIC-DISK", "FILE"]]
    assert found["metadata"] == {"run": 1}


def test_a_leftover_is_replaced_and_a_damaged_copy_passed_over(testbed, area, local: Path):
    code = (
        MANAGER
        + """
lfn, path, target = sys.argv[1:]
from DIRAC.Resources.Storage.GFAL2_XROOTStorage import GFAL2_XROOTStorage
from DIRAC.Resources.Storage.StorageElement import StorageElement
with open(target, "w") as stream:
    stream.write("left over")
assert not good(StorageElement("PIC-DISK").putFile({lfn: target}))["Failed"]
for rse in ("PIC-DISK", "CNAF-DISK"):
    good(manager.put_and_register(lfn, path, rse))
element = StorageElement("CNAF-DISK")
assert "registered at" in good(element.putFile({lfn: target}))["Failed"][lfn]
plugin = element.storages["GFAL2_XROOT"]  # damage one copy behind Rucio's back, with DIRAC's own plugin
url = good(plugin.constructURLFromLFN(lfn, withWSUrl=True))
assert not good(GFAL2_XROOTStorage.putFile(plugin, {url: target}))["Failed"]
directory = target + ".d"
os.makedirs(directory)
report(good(manager.getFile(lfn, destinationDir=directory, preferred=["CNAF-DISK"])))
"""
    )
    lfn, target = f"{area}/{local.name}", local.with_suffix(".left")
    found = python(testbed, "production", code, lfn, local, target)
    assert Path(found["Successful"][lfn]).read_bytes() == local.read_bytes()


def test_staging_by_rule(testbed, area, local: Path):
    code = (
        MANAGER
        + """
lfn, path = sys.argv[1:]
good(manager.put_and_register(lfn, path, "PIC-DISK"))
rules = [good(manager.stage(what, "PIC-BUFFER", source="PIC-DISK", lifetime=600)) for what in (lfn, lfn)]
rule_id = rules[0][lfn]
deadline = time.monotonic() + 120
while not gateway.get_rules([rule_id])[rule_id].done and time.monotonic() < deadline:
    time.sleep(0.5)
rule = gateway.get_rules([rule_id])[rule_id]
report({"same": rules[0] == rules[1], "state": rule.state, "source": rule.source_replica_expression,
        "replicas": sorted(good(FileCatalog().getReplicas(lfn))["Successful"][lfn])})
"""
    )
    lfn = f"{area}/{local.name}"
    found = python(testbed, "production", code, lfn, local)
    assert found == {"same": True, "state": "OK", "source": "PIC-DISK", "replicas": ["PIC-BUFFER", "PIC-DISK"]}
    assert stored(testbed, "PIC-BUFFER", lfn).read_bytes() == local.read_bytes()


def test_diracs_own_data_manager(testbed, area, local: Path):
    code = (
        MANAGER
        + """
from DIRAC.DataManagementSystem.Client.DataManager import DataManager
lfn, path, target = sys.argv[1:]
dirac = DataManager(masterCatalogOnly=True)
put = good(dirac.putAndRegister(lfn, path, "PIC-DISK"))
again = dirac.putAndRegister(lfn, path, "PIC-DISK")["Message"]
os.makedirs(target)
got = good(dirac.getFile(lfn, destinationDir=target))
replicated = good(dirac.replicateAndRegister(lfn, "CNAF-DISK"))
both = sorted(good(dirac.getReplicas(lfn))["Successful"][lfn])
removed = good(dirac.removeReplica("CNAF-DISK", lfn))
deadline = time.monotonic() + 120
while len(good(dirac.getReplicas(lfn, allStatus=True))["Successful"][lfn]) > 1 and time.monotonic() < deadline:
    time.sleep(0.5)
last = dirac.removeReplica("PIC-DISK", lfn)
assert not good(dirac.replicateAndRegister(lfn, "LAPALMA-DISK"))["Failed"]
gone = good(dirac.removeFile(lfn))
overwritten = dirac.putAndRegister(lfn, path, "PIC-DISK", overwrite=True)
report({"overwritten": overwritten.get("Message") or overwritten["Value"], "put": put, "again": again, "got": got, "replicated": replicated, "both": both, "removed": removed,
        "last": last.get("Message") or last["Value"]["Failed"], "gone": gone,
        "after": good(dirac.getReplicas(lfn))["Failed"]})
"""
    )
    lfn, target = f"{area}/{local.name}", local.with_suffix(".fetched")
    found = python(testbed, "production", code, lfn, local, target, timeout=300)
    assert found["put"]["Failed"] == {}
    assert "already exists" in found["again"]
    assert Path(found["got"]["Successful"][lfn]).read_bytes() == local.read_bytes()
    assert found["replicated"]["Failed"] == {}
    assert found["both"] == ["CNAF-DISK", "PIC-DISK"]
    assert found["removed"]["Failed"] == {}
    assert found["last"] == {lfn: "Failed to remove sole replica"}
    assert found["gone"]["Failed"] == {}
    assert "about to delete" in found["overwritten"]
    assert found["after"] == {lfn: "No such file or directory"}


def test_storage_elements_leave_registered_files_to_rucio(testbed, area, local: Path):
    code = (
        MANAGER
        + """
from DIRAC.Resources.Storage.StorageElement import StorageElement
lfn, path = sys.argv[1:]
directory, left = lfn.rsplit("/", 1)[0], lfn + ".left"
element = StorageElement("PIC-DISK")
good(manager.put_and_register(lfn, path, "PIC-DISK"))
assert not good(element.putFile({left: path}))["Failed"]
removed = good(element.removeFile([lfn, left]))
cleaned = good(element.removeDirectory(directory, recursive=True))["Failed"]
report({"registered": removed["Failed"][lfn], "left": removed["Successful"], "cleaned": cleaned[directory],
        "there": good(element.exists([lfn, left]))["Successful"]})
"""
    )
    lfn = f"{area}/only/{local.name}"
    for role in ("production", "data"):
        found = python(testbed, role, code, lfn, local)
        assert "No such file or directory" in found["registered"]  # what DataManager needs to go on to the catalogue
        assert found["left"] == {f"{lfn}.left": True}
        assert "registered in Rucio" in found["cleaned"]
        assert found["there"] == {lfn: True, f"{lfn}.left": False}


def test_what_killed_uploads_left_is_removed(testbed, area, local: Path):
    code = """
from DIRAC.Resources.Storage.StorageElement import StorageElement
part, path = sys.argv[1:]
report(good(StorageElement("PIC-DISK").putFile({part: path}))["Failed"])
"""
    part = f"{area}/killed/file.{'0123456789abcdef' * 2}.part"
    assert python(testbed, "production", code, part, local) == {}
    command = (
        testbed.layout.bin / "python", "-m", "CTARucioDIRAC.DataManagementSystem.scripts.cta_rucio_clean_uploads",
        "PIC-DISK", f"{area}/killed", "--json",
    )  # fmt: skip
    assert json.loads(testbed.run("production", *command).stdout)["removed"] == {}  # too young
    for dry in (["--dry-run"], []):
        assert stored(testbed, "PIC-DISK", part).exists()
        done = json.loads(testbed.run("production", *command, "--older-than", "0", *dry).stdout)
        assert set(done["removed"]) == {part}
        assert done["failed"] == {}
    assert not stored(testbed, "PIC-DISK", part).exists()


def test_removed_files_leave_nothing_behind(testbed, area, local: Path):
    """The catalogue forgets at once; Rucio's daemons remove rules, name and bytes; the name can be used again."""
    code = (
        MANAGER
        + """
lfn, path = sys.argv[1:]
for rse in ("PIC-DISK", "CNAF-DISK"):
    good(manager.put_and_register(lfn, path, rse))
assert not good(FileCatalog(catalogs="RucioFileCatalog").removeFile(lfn))["Failed"]
hidden = good(FileCatalog().exists(lfn))["Successful"][lfn]
with open(path, "ab") as stream:
    stream.write(b"new content")
deadline = time.monotonic() + 120
while True:
    again = manager.put_and_register(lfn, path, "PIC-DISK")
    if again["OK"] or time.monotonic() > deadline:
        break
    assert "on its way out" in again["Message"] or "being deleted" in again["Message"], again["Message"]
    time.sleep(1)
report({"hidden": hidden, "again": good(again)})
"""
    )
    lfn = f"{area}/{local.name}"
    found = python(testbed, "production", code, lfn, local, timeout=300)
    assert found["hidden"] is False
    assert found["again"]["Uploaded"]
    assert stored(testbed, "PIC-DISK", lfn).read_bytes() == local.read_bytes()
    assert not stored(testbed, "CNAF-DISK", lfn).exists()
