"""Parts of DIRAC that call the catalogue, with Rucio as the only one: transformations, jobs, staging, requests, commands."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from dirac_client import ingest, python

pytestmark = pytest.mark.stack

REGISTER = """
top, guid = sys.argv[1:]
info = {"PFN": "", "Size": 5, "SE": "PIC-DISK", "GUID": "", "Checksum": "0000abcd"}
files = {f"{top}/d/{name}": dict(info) for name in ("a", "b", "hidden")} | {f"{top}/d/tape": info | {"SE": "PIC-TAPE"}}
files[f"{top}/d/a"]["GUID"] = guid
assert not good(FileCatalog().addFile(files))["Failed"]
assert not good(FileCatalog().addReplica({f"{top}/d/b": {"SE": "CNAF-DISK", "PFN": ""}}))["Failed"]
hidden = {f"{top}/d/hidden": {"SE": "PIC-DISK", "PFN": "", "Status": "Trash"}}
assert not good(FileCatalog().setReplicaStatus(hidden))["Failed"]
report(True)
"""


@pytest.fixture(scope="module")
def area(run_name: str) -> str:
    return f"/ctao/w{run_name[1:].lower()}"[:30]


@pytest.fixture(scope="module")
def guid() -> str:
    return str(uuid.uuid4()).upper()


@pytest.fixture(scope="module", autouse=True)
def registered(testbed, area: str, guid: str) -> None:
    """Files with one copy, with two, with none that can be read, and on tape; there are no bytes."""
    python(testbed, "production", REGISTER, area, guid)


TRANSFORMATION = """
from DIRAC.TransformationSystem.Client.Transformation import Transformation
from DIRAC.TransformationSystem.Client.TransformationClient import TransformationClient
top, kind, raw = sys.argv[1:]
fc, client, transformation = FileCatalog(), TransformationClient(), Transformation()
info = {"PFN": "", "Size": 5, "SE": "PIC-DISK", "GUID": "", "Checksum": "0000abcd"}
first, late, other = f"{top}/ts/d1/first", f"{top}/ts/d1/late", f"{top}/ts/d2/other"
good(fc.addFile({first: info}))
good(fc.setMetadata(f"{top}/ts/d1", {"particle": kind}))
for name, value in (("Name", f"{kind}{time.time()}"), ("Description", "test"), ("LongDescription", "test"), ("Body", "")):
    option = "TransformationName" if name == "Name" else name
    good(getattr(transformation, f"set{option}")(value))
good(transformation.setType("Processing"))
good(transformation.setPlugin("Standard"))
good(transformation.setInputMetaQuery({"particle": kind}))
good(transformation.addTransformation())
good(transformation.setAgentType("Manual"))
good(transformation.setStatus("Active"))
number = good(transformation.getTransformationID())
def files():
    return {file["LFN"]: file["Status"] for file in good(client.getTransformationFiles({"TransformationID": number}))}
try:
    found = {"at the start": files()}
    good(fc.addFile({late: info, other: info}))
    found["registered later"] = files()
    good(fc.setMetadata(other, {"particle": kind}))
    found["described later"] = files()
    good(fc.setMetadata(raw, {"particle": kind}))  # of a file that no catalogue of DIRAC's was told of
    good(client.setTransformationParameter(number, "Status", "Active"))
    deadline = time.monotonic() + 90
    while raw not in files() and time.monotonic() < deadline:
        time.sleep(0.5)  # between two looks; the deadline is above
    found["raw"] = files().get(raw)
    good(fc.removeFile(first))
    found["removed"] = files()[first]
finally:
    client.setTransformationParameter(number, "Status", "Stopped")
report(found)
"""


def test_transformations_get_the_files_that_fulfil_their_query(testbed, area):
    """At registration, when they are described, by InputDataAgent; what is removed isn't left to be processed."""
    scope = area.rsplit("/", 1)[1]
    (raw,) = ingest(testbed, scope, f"{area}/DL0/LSTN-01", ["raw.fits.fz"])
    found = python(testbed, "production", TRANSFORMATION, area, scope, raw)
    first, late, other = (f"{area}/ts/{name}" for name in ("d1/first", "d1/late", "d2/other"))
    assert set(found["at the start"]) == {first}
    assert set(found["registered later"]) == {first, late}
    assert set(found["described later"]) == {first, late, other}
    assert found["raw"] in ("Unused", "Assigned")  # the stack's agent may have made a task of it by now
    assert found["removed"] == "Deleted"


JOBS = """
from DIRAC.DataManagementSystem.Client.DataManager import DataManager
from DIRAC.Interfaces.API.Dirac import Dirac
from DIRAC.Interfaces.API.Job import Job
top = sys.argv[1]
names = [f"{top}/d/{name}" for name in ("a", "b", "hidden", "tape", "missing")]
found, dirac, jobs = {"for jobs": good(DataManager().getReplicasForJobs(names))}, Dirac(), {}
for name, inputs in (("missing", [names[0], names[4]]), ("hidden", [names[2]])):
    job = Job()
    job.setExecutable("/bin/true")
    job.setInputData(inputs)
    jobs[name] = good(dirac.submitJob(job))
deadline = time.monotonic() + 90
while time.monotonic() < deadline:
    states = good(dirac.getJobStatus(list(jobs.values())))
    if all(state["Status"] == "Failed" for state in states.values()):
        break
    time.sleep(0.5)  # between two looks; the deadline is above
found["jobs"] = {name: [states[number]["Status"], states[number]["MinorStatus"]] for name, number in jobs.items()}
report(found)
"""


def test_a_job_waits_for_no_input_that_cannot_come(testbed, area):
    found = python(testbed, "production", JOBS, area)
    names = {name: f"{area}/d/{name}" for name in ("a", "b", "hidden", "tape", "missing")}
    assert {lfn: sorted(where) for lfn, where in found["for jobs"]["Successful"].items()} == {
        names["a"]: ["PIC-DISK"],
        names["b"]: ["CNAF-DISK", "PIC-DISK"],
        names["tape"]: ["PIC-TAPE"],
    }
    assert found["for jobs"]["Failed"] == {
        names["hidden"]: "File has zero replicas",
        names["missing"]: "No such file or directory",
    }
    assert found["jobs"] == dict.fromkeys(("missing", "hidden"), ["Failed", "InputData optimizer"])


REQUESTS = """
import importlib
from DIRAC.DataManagementSystem.Client.DataIntegrityClient import DataIntegrityClient
from DIRAC.DataManagementSystem.Client.DataManager import DataManager
from DIRAC.RequestManagementSystem.Client.File import File
from DIRAC.RequestManagementSystem.Client.Operation import Operation
from DIRAC.RequestManagementSystem.Client.Request import Request
from DIRAC.StorageManagementSystem.Agent.RequestPreparationAgent import RequestPreparationAgent
top = sys.argv[1]
names = [f"{top}/d/{name}" for name in ("a", "tape", "hidden", "missing")]
agent = object.__new__(RequestPreparationAgent)
agent.fileCatalog, agent.dm, agent.dataIntegrityClient = FileCatalog(), DataManager(), DataIntegrityClient()
found = {"staging": {
    name: good(getattr(agent, f"_RequestPreparationAgent__{name}")(names))
    for name in ("getExistingFiles", "getFileSize", "getFileReplicas")
}}

def operation(package, kind, lfns, target=""):
    what, request = Operation(), Request()
    what.Type, what.TargetSE = kind.removeprefix("CTA"), target
    for lfn in lfns:
        file = File()
        file.LFN, file.PFN = lfn, ""
        what.addFile(file)
    request.RequestName = f"{kind}{time.time()}"
    request.addOperation(what)
    for item in (what, *what):
        item.Status = "Waiting"
    module = importlib.import_module(f"{package}.DataManagementSystem.Agent.RequestOperations.{kind}")
    handlers = "/Systems/RequestManagement/Agents/RequestExecutingAgent/OperationHandlers"
    act = getattr(module, kind)(what, f"{handlers}/{what.Type}")
    act.shifter, act.rmsMonitoring = ["DataManager"], False
    act()
    return {file.LFN.rsplit("/", 1)[1]: file.Status for file in what}

a, b, missing = (f"{top}/d/{name}" for name in ("a", "b", "missing"))
found["register"] = operation("DIRAC", "RegisterReplica", [a], "CNAF-DISK")
found["register, CTA"] = operation("CTADIRAC", "CTARegisterReplica", [b, missing], "PIC-BUFFER")
found["copies"] = {lfn: sorted(where) for lfn, where in good(FileCatalog().getReplicas([a, b]))["Successful"].items()}
found["remove"] = operation("CTADIRAC", "CTARemoveReplica", [a, missing], "CNAF-DISK")
found["files"] = operation("DIRAC", "RemoveFile", [a, b, missing])
found["left"] = good(FileCatalog().exists([a, b]))["Successful"]
report(found)
"""


def test_staging_and_requests_know_what_is_there(testbed, area):
    """The preparation of stage requests, and the operations of requests: DIRAC's, and CTADIRAC's, which need no change."""
    found = python(testbed, "data", REQUESTS, area)
    a, tape, hidden, missing = (f"{area}/d/{name}" for name in ("a", "tape", "hidden", "missing"))
    staging = found["staging"]
    assert sorted(staging["getExistingFiles"]["Exist"]) == sorted([a, tape, hidden])
    assert list(staging["getExistingFiles"]["Missing"]) == [missing]
    assert staging["getFileSize"]["FileSizes"] == dict.fromkeys([a, tape, hidden], 5)
    assert {lfn: list(where) for lfn, where in staging["getFileReplicas"]["Replicas"].items()} == {
        a: ["PIC-DISK"],
        tape: ["PIC-TAPE"],
    }
    assert staging["getFileReplicas"]["Failed"][hidden] == "File has zero replicas"
    assert found["register"] == {"a": "Done"}
    assert found["register, CTA"]["b"] == "Done"
    assert found["copies"] == {a: ["CNAF-DISK", "PIC-DISK"], f"{area}/d/b": ["CNAF-DISK", "PIC-BUFFER", "PIC-DISK"]}
    assert found["remove"] == {"a": "Done", "missing": "Done"}
    assert found["files"] == {"a": "Done", "b": "Done", "missing": "Done"}
    assert found["left"] == {a: False, f"{area}/d/b": False}


def test_commands_of_data_managers(testbed, area, tmp_path: Path):
    """On what the other tests leave alone: the files on tape and without a readable copy."""
    tape, hidden = f"{area}/d/tape", f"{area}/d/hidden"

    def run(*command: object) -> str:
        return testbed.run("production", *command, cwd=tmp_path).stdout

    run("dmeta", "add", tape, "runNumber=7", "particle=gamma")
    run("dmeta", "rm", tape, "particle")
    metadata = run("dmeta", "ls", tape)
    assert "runNumber = 7" in metadata
    assert "particle" not in metadata
    assert "0000abcd" in run("dirac-dms-catalog-metadata", tape)
    assert "2 " in run("dirac-dms-data-size", tape, hidden)
    status = run("dirac-dms-set-replica-status", hidden, "PIC-DISK", "AprioriGood")
    assert "Successfully updated the status of 1 files at PIC-DISK" in status
    run("dirac-dms-user-lfns", "-b", f"{area}/d")
    listed = {line for file in tmp_path.glob("*.lfns") for line in file.read_text().split()}
    assert {tape, hidden} <= listed
    new = str(uuid.uuid4()).upper()
    code = """
info = {"PFN": "", "Size": 5, "SE": "PIC-DISK", "GUID": sys.argv[2], "Checksum": "0000abcd"}
report(good(FileCatalog().addFile({sys.argv[1]: info}))["Failed"])
"""
    assert python(testbed, "production", code, f"{area}/d/guid", new) == {}
    assert f"{area}/d/guid" in run("dirac-dms-resolve-guid", new)
