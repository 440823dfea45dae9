"""XRootD endpoints and the nearline one, asked by real clients."""

import json
import os
import signal
import subprocess
import zlib

import pytest

from CTARucioDIRAC.testbed.layout import RSES, TAPE
from CTARucioDIRAC.testbed.tape_store import FileState

pytest_plugins = ["storage_fixture"]
pytestmark = pytest.mark.stack
DISKS = [rse for rse in RSES if rse != TAPE]


@pytest.mark.parametrize("rse", RSES)
def test_every_endpoint_takes_and_gives_files_with_their_checksum(storage, files, rse):
    local, back, name = files.make(), files.directory / "back", files.name()
    storage.put(local, rse, name)
    assert storage.xrdfs(rse, "query", "checksum", f"/{name}").split() == [
        "adler32",
        f"{zlib.adler32(local.read_bytes()):08x}",
    ]
    storage.get(rse, name, back)
    assert files.same(local, back)


@pytest.mark.parametrize("role", ["user", "production", "data", "admin", "pilot"])
def test_every_role_may_write_and_delete(storage, files, role):
    local, name = files.make(), files.name()
    storage.put(local, "PIC-DISK", name, role=role)
    storage.xrdfs("PIC-DISK", "rm", f"/{name}", role=role)


def test_davs_takes_and_gives_files(storage, files):
    local, url = files.make(), storage.url("CNAF-DISK", files.name(), "davs")
    assert storage.http("PUT", url, local.read_bytes())[0] in (200, 201)
    assert storage.http("GET", url) == (200, local.read_bytes())


def test_nobody_gets_in_without_a_certificate(storage, files):
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", storage.layout.ca_file]
    url = storage.url("PIC-DISK", files.name(), "davs").replace("davs", "https")
    done = subprocess.run([*command, "-T", files.make(), url], capture_output=True, text=True, check=False)
    assert done.stdout == "403"


def test_a_file_goes_offline_and_comes_back_only_when_staged(storage, files):
    local, back, name = files.make(), files.directory / "back", files.name()
    storage.put_offline(local, name)
    assert "Offline" in storage.xrdfs(TAPE, "stat", f"/{name}")
    assert f"Size:   {local.stat().st_size}\n" in storage.xrdfs(TAPE, "stat", f"/{name}")
    refused = storage.get(TAPE, name, back, check=False)
    assert refused.returncode
    assert "no medium found" in refused.stderr
    assert storage.http("GET", storage.url(TAPE, name, "davs"))[0] >= 400
    request = storage.xrdfs(TAPE, "prepare", "-s", f"/{name}").strip()
    answer = storage.prepared(request, name)
    assert answer["requested"] or answer["online"]
    storage.until(lambda: storage.prepared(request, name)["online"], what="staged")
    storage.get(TAPE, name, back)
    assert files.same(local, back)
    [event] = storage.tape_events(name, "recall")
    assert event["bytes"] == local.stat().st_size
    assert event["requests"] == [request]
    assert event["seconds"] >= storage.layout.tape_latency


def test_archived_files_leave_the_buffer_by_themselves(storage, files):
    name = files.name()
    storage.put(files.make(), TAPE, name)
    storage.until(lambda: storage.tape_state(name) is FileState.OFFLINE, 60, "purged")


def test_what_is_only_on_tape_is_not_overwritten_unasked(storage, files):
    name = files.name()
    storage.put_offline(files.make(), name)
    refused = storage.run("xrdcp", "-s", files.make(), storage.url(TAPE, name), check=False)
    assert refused.returncode
    assert storage.tape_state(name) is FileState.OFFLINE


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("client", ["xrdcp", "gfal2"])
def test_an_overwritten_file_is_archived_again(storage, files, offline, client):
    name, first, second = files.name(), files.make(), files.make()
    if offline:
        storage.put_offline(first, name)
    else:
        storage.put(first, TAPE, name)
        storage.until(lambda: storage.tape_state(name) is FileState.ARCHIVED, what="first version archived")
    if client == "xrdcp":
        storage.put(second, TAPE, name)
    else:
        script = "import gfal2, sys; c = gfal2.creat_context(); p = c.transfer_parameters(); p.overwrite = True; c.filecopy(p, *sys.argv[1:])"
        storage.run(storage.layout.bin / "python", "-c", script, f"file://{second}", storage.url(TAPE, name))
    storage.until(lambda: len(storage.tape_events(name, "archive")) == 2, what="second version archived")
    assert storage.tape_state(name) in (FileState.ARCHIVED, FileState.OFFLINE)
    assert (storage.layout.tape_library / name).read_bytes() == second.read_bytes()


@pytest.mark.parametrize("offline", [False, True])
def test_deleting_empties_the_library_too(storage, files, offline):
    name = files.name()
    storage.put_offline(files.make(), name)
    if not offline:
        request = storage.xrdfs(TAPE, "prepare", "-s", f"/{name}").strip()
        storage.until(lambda: storage.prepared(request, name)["online"], what="staged")
    storage.xrdfs(TAPE, "rm", f"/{name}")
    storage.until(lambda: not (storage.layout.tape_library / name).exists(), what="gone from the library")
    assert "no such file" in storage.xrdfs(TAPE, "stat", f"/{name}", check=False).lower()


def test_names_on_tape_do_not_change(storage, files):
    name = files.name()
    storage.put_offline(files.make(), name)
    assert "permission denied" in storage.xrdfs(TAPE, "mv", f"/{name}", f"/{name}2", check=False)
    assert storage.tape_state(name) is FileState.OFFLINE


def test_a_stage_request_can_be_taken_back(storage, files):
    names = [files.name() for _ in range(2 * storage.layout.tape_drives + 1)]
    for name in names:
        storage.put(files.make(), TAPE, name)
    storage.until(lambda: all(storage.tape_state(name) is FileState.OFFLINE for name in names), 90, "all offline")
    robot = storage.pid("tape-robot")
    os.kill(robot, signal.SIGSTOP)  # else it might be done before we take the request back
    try:
        request = storage.xrdfs(TAPE, "prepare", "-s", *[f"/{name}" for name in names]).strip()
        assert storage.prepared(request, names[-1])["requested"]
        storage.xrdfs(TAPE, "prepare", "-a", request, *[f"/{name}" for name in names])
        answer = storage.prepared(request, names[-1])
    finally:
        os.kill(robot, signal.SIGCONT)
    assert not answer["online"]
    assert not answer["requested"]
    assert "cancelled" in answer["error_text"]
    storage.until(lambda: request not in [one.identifier for one in storage.requests()], what="request gone")
    assert not any(storage.tape_events(name, "recall") for name in names)


def test_a_query_about_an_unknown_file_says_so(storage, files):
    request = storage.xrdfs(TAPE, "prepare", "-s", f"/{files.name()}").strip()
    answer = storage.prepared(request, "ctao/test-storage/none")
    assert (answer["path_exists"], answer["online"], answer["error_text"]) == (False, False, "no such file")


@pytest.mark.slow
@pytest.mark.alone
def test_a_recall_survives_the_death_of_the_robot(storage, files):
    local, back, name = files.make(20_000_000), files.directory / "back", files.name()
    storage.put_offline(local, name)
    request = storage.xrdfs(TAPE, "prepare", "-s", f"/{name}").strip()
    status = storage.layout.run / "tape-robot.json"
    storage.until(lambda: name in json.loads(status.read_text())["active"], what="a drive works on it")
    storage.kill("tape-robot")
    storage.until(lambda: storage.prepared(request, name)["online"], 90, "staged after all")
    storage.get(TAPE, name, back)
    assert files.same(local, back)
    assert not list((storage.layout.root / "tape" / "copies").iterdir())


@pytest.mark.slow
def test_an_upload_that_dies_is_not_archived(storage, files):
    """A half-written file is open, or marked incomplete; neither goes on tape."""
    local, name = files.make(200_000_000), files.name()
    command = ["xrdcp", "-f", "-s", "--posc", str(local), storage.url(TAPE, name)]
    upload = subprocess.Popen(command, env=storage.environment() | {"XRD_CPCHUNKSIZE": "100000"})
    buffer = storage.layout.storage(TAPE) / name
    storage.until(lambda: buffer.exists() and buffer.stat().st_size, what="upload begun")
    os.kill(upload.pid, signal.SIGSTOP)
    assert storage.tape_state(name) is FileState.DISK
    other = files.name()
    storage.put(files.make(), TAPE, other)
    storage.until(lambda: storage.tape_state(other) is not FileState.DISK, what="a later file archived")
    assert not (storage.layout.tape_library / name).exists()
    os.kill(upload.pid, signal.SIGKILL)
    upload.wait()
    storage.until(lambda: not buffer.exists(), 10, "removed by the server")
    assert not (storage.layout.tape_library / name).exists()


@pytest.mark.slow
@pytest.mark.parametrize("rse", ["CNAF-DISK", TAPE])
@pytest.mark.alone
def test_a_killed_server_comes_back_with_its_files(storage, files, rse):
    local, back, name = files.make(), files.directory / "back", files.name()
    storage.put(local, rse, name)
    storage.kill(f"xrootd-{rse}")
    storage.until(lambda: storage.run("xrdfs", storage.url(rse, ""), "stat", f"/{name}", check=False).returncode == 0)
    if storage.tape_state(name) is not FileState.OFFLINE or rse != TAPE:
        storage.get(rse, name, back)
        assert files.same(local, back)
