"""The transfer service, asked as Rucio and DIRAC ask it, on real storage."""

import datetime
import os
import signal
import uuid
import zlib

import pytest

from CTARucioDIRAC.testbed.layout import ROLES, TAPE, VO
from CTARucioDIRAC.testbed.tape_store import FileState

pytest_plugins = ["storage_fixture"]
pytestmark = pytest.mark.stack
A, B, C = "LAPALMA-DISK", "PIC-DISK", "CNAF-DISK"


def states(job):
    return [file["file_state"] for file in job["files"]]


def reason(job):
    return " ".join(file["reason"] for file in job["files"])


@pytest.mark.parametrize("scheme", ["root", "davs"])
def test_a_third_party_copy_arrives_unharmed(storage, files, scheme):
    local, name = files.make(), files.name()
    storage.put(local, A, name)
    job = storage.finished(storage.submit([(storage.url(A, name, scheme), storage.url(C, name, scheme))], local))
    assert (job["job_state"], states(job)) == ("FINISHED", ["FINISHED"])
    assert (storage.layout.storage(C) / name).read_bytes() == local.read_bytes()
    [file] = job["files"]
    assert file["filesize"] == local.stat().st_size
    for moment in ("start_time", "finish_time"):
        datetime.datetime.strptime(file[moment], "%Y-%m-%dT%H:%M:%S")


def test_many_files_in_one_job(storage, files):
    local, names = files.make(), [files.name() for _ in range(20)]
    storage.put(local, A, names[0])
    pairs = [(storage.url(A, names[0], "davs"), storage.url(C, name, "davs")) for name in names]
    job = storage.finished(storage.submit(pairs, local))
    assert states(job) == ["FINISHED"] * len(names)


def test_a_missing_source_is_not_tried_again(storage, files):
    job = storage.finished(storage.submit([(storage.url(A, files.name()), storage.url(C, files.name()))]))
    assert (job["job_state"], job["files"][0]["recoverable"], job["files"][0]["retry"]) == ("FAILED", False, 0)
    assert "No such file" in reason(job)


def test_a_wrong_checksum_is_refused_and_nothing_stays(storage, files):
    local, name, target = files.make(), files.name(), files.name()
    storage.put(local, A, name)
    pair = [(storage.url(A, name, "davs"), storage.url(C, target, "davs"))]
    for mode, end in (("both", "Source"), ("target", "Destination")):
        job = storage.submit(pair, local, checksum="ADLER32:00000007", verify_checksum=mode, retry=1)
        job = storage.finished(job)
        assert job["job_state"] == "FAILED"
        assert f"{end} checksum" in reason(job)
        assert not (storage.layout.storage(C) / target).exists()


def test_md5_is_compared_too(storage, files):
    local, name = files.make(), files.name()
    storage.put(local, A, name)
    pair = [(storage.url(A, name), storage.url(C, name))]
    right = storage.xrdfs(A, "query", "checksum", f"/{name}?cks.type=md5").split()[1]
    assert storage.finished(storage.submit(pair, local, checksum=f"MD5:{right}"))["job_state"] == "FINISHED"
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    assert storage.finished(storage.submit(pair, local, checksum=f"MD5:{wrong}"))["job_state"] == "FAILED"


def test_nothing_is_overwritten_unless_allowed(storage, files):
    local, other, name, taken = files.make(), files.make(), files.name(), files.name()
    storage.put(local, A, name)
    storage.put(other, C, taken)
    pair = [(storage.url(A, name, "davs"), storage.url(C, taken, "davs"))]
    job = storage.finished(storage.submit(pair, local, overwrite=False, dst_file_report=True))
    assert "Destination file exists and overwrite is not enabled" in reason(job)
    assert (storage.layout.storage(C) / taken).read_bytes() == other.read_bytes()
    report = job["files"][0]["file_metadata"]["dst_file"]
    assert report["file_size"] == other.stat().st_size
    assert report["checksum_value"] == f"{zlib.adler32(other.read_bytes()):08x}"
    assert storage.finished(storage.submit(pair, local))["job_state"] == "FINISHED"
    assert (storage.layout.storage(C) / taken).read_bytes() == local.read_bytes()


def test_to_tape_ends_when_the_file_is_archived(storage, files):
    local, name = files.make(), files.name()
    storage.put(local, A, name)
    pair = [(storage.url(A, name), storage.url(TAPE, name))]
    number = storage.submit(pair, local, overwrite=False, archive_timeout=120, dst_file_report=True)
    storage.until(lambda: states(storage.job(number)) == ["ARCHIVING"], what="archiving")
    job = storage.finished(number)
    assert job["job_state"] == "FINISHED"
    assert storage.tape_state(name) in (FileState.ARCHIVED, FileState.OFFLINE)
    assert job["files"][0]["archive_finish_time"]
    # Rucio asks again when it lost the answer: the report says that the right file is on tape, be it offline
    storage.xrdfs(TAPE, "prepare", "-e", f"/{name}")
    storage.until(lambda: storage.tape_state(name) is FileState.OFFLINE, what="offline")
    job = storage.finished(storage.submit(pair, local, overwrite=False, archive_timeout=120, dst_file_report=True))
    report = job["files"][0]["file_metadata"]["dst_file"]
    assert (report["file_on_tape"], report["file_on_disk"]) == (True, False)
    assert report["checksum_value"] == f"{zlib.adler32(local.read_bytes()):08x}"
    job = storage.finished(storage.submit(pair, local, overwrite=False, overwrite_when_only_on_disk=True))
    assert "Destination file exists and is on tape" in reason(job)
    assert storage.finished(storage.submit(pair, local, archive_timeout=120))["job_state"] == "FINISHED"


def test_from_tape_the_file_is_recalled_first(storage, files):
    local, name = files.make(), files.name()
    storage.put_offline(local, name)
    pair = [(storage.url(TAPE, name), storage.url(C, name))]
    number = storage.submit(pair, local, bring_online=120, copy_pin_lifetime=60)
    assert storage.rest("GET", f"/jobs/{number}")[1]["job_state"] in ("STAGING", "ACTIVE")
    job = storage.finished(number)
    assert (job["job_state"], len(storage.tape_events(name, "recall"))) == ("FINISHED", 1)
    assert (storage.layout.storage(C) / name).read_bytes() == local.read_bytes()
    assert job["files"][0]["staging_start"] <= job["files"][0]["staging_finished"] <= job["files"][0]["finish_time"]


def test_without_a_recall_a_file_on_tape_cannot_be_copied(storage, files):
    local, name = files.make(), files.name()
    storage.put_offline(local, name)
    job = storage.finished(storage.submit([(storage.url(TAPE, name), storage.url(C, name))], local, retry=1))
    assert job["job_state"] == "FAILED"
    assert "only on tape" in reason(job)


def test_a_recall_that_is_too_slow_fails(storage, files):
    name = files.name()
    storage.put_offline(files.make(), name)
    number = storage.submit([(storage.url(TAPE, name), storage.url(C, name))], bring_online=1)
    job = storage.finished(number)
    if storage.layout.tape_latency > 2:
        assert "bring-online timeout" in reason(job)
    else:
        assert job["job_state"] in ("FAILED", "FINISHED")


def test_cancelling_takes_the_recall_back(storage, files):
    names = [files.name() for _ in range(2 * storage.layout.tape_drives + 1)]
    for name in names:
        storage.put(files.make(), TAPE, name)
    storage.until(lambda: all(storage.tape_state(name) is FileState.OFFLINE for name in names), 90, "all offline")
    number = storage.submit([(storage.url(TAPE, name), storage.url(C, name)) for name in names], bring_online=120)
    storage.until(lambda: "STARTED" in states(storage.job(number)), what="recall requested")
    status, job = storage.rest("DELETE", f"/jobs/{number}")
    assert (status, job["job_state"]) == (200, "CANCELED")
    assert set(states(storage.job(number))) == {"CANCELED"}
    storage.until(lambda: not storage.requests(), what="no request left")
    assert not storage.tape_events(names[-1], "recall")


def test_cancelling_a_copy_leaves_nothing_behind(storage, files):
    local, name = files.make(30_000_000), files.name()
    storage.put(local, A, name)
    number = storage.submit([(storage.url(A, name), storage.url(C, name))], local)
    storage.until((storage.layout.storage(C) / name).exists, what="copy begun")
    assert storage.rest("DELETE", f"/jobs/{number}")[1]["job_state"] == "CANCELED"
    storage.until(lambda: not (storage.layout.storage(C) / name).exists(), what="destination removed")
    assert storage.job(number)["job_state"] == "CANCELED"


def test_the_next_source_is_used_when_one_fails(storage, files):
    local, name, target = files.make(), files.name(), files.name()
    storage.put(local, B, name)
    pairs = [(storage.url(rse, name, "davs"), storage.url(C, target, "davs")) for rse in (A, B, B)]
    job = storage.finished(storage.submit(pairs, local, several=True))
    assert (job["job_state"], job["job_type"]) == ("FINISHED", "R")
    assert states(job) == ["FAILED", "FINISHED", "NOT_USED"]


def test_hops_follow_each_other(storage, files):
    local, name = files.make(), files.name()
    storage.put(local, A, name)
    hops = [
        (storage.url(A, name, "davs"), storage.url(B, name, "davs")),
        (storage.url(B, name, "davs"), storage.url(C, name, "davs")),
    ]
    job = storage.finished(storage.submit(hops, local, multihop=True))
    assert (job["job_state"], job["job_type"], states(job)) == ("FINISHED", "H", ["FINISHED", "FINISHED"])
    missing = files.name()
    hops = [
        (storage.url(A, missing, "davs"), storage.url(B, missing, "davs")),
        (storage.url(B, missing, "davs"), storage.url(C, missing, "davs")),
    ]
    job = storage.finished(storage.submit(hops, multihop=True))
    assert (job["job_state"], states(job)) == ("FAILED", ["FAILED", "NOT_USED"])


def test_status_of_several_jobs_at_once(storage, files):
    jobs = [storage.submit([(storage.url(A, files.name()), storage.url(C, files.name()))]) for _ in range(2)]
    for job in jobs:
        storage.finished(job)
    fields = (
        "file_state,dest_surl,finish_time,start_time,staging_start,staging_finished,reason,source_surl,file_metadata"
    )
    unknown = str(uuid.uuid4())
    status, answer = storage.rest("GET", f"/jobs/{','.join([*jobs, unknown])}?files={fields}")
    assert status == 207
    assert [one["http_status"] for one in answer] == ["200 Ok", "200 Ok", "404 Not Found"]
    assert set(answer[0]["files"][0]) == set(fields.split(","))
    assert answer[0]["files"][0]["file_metadata"]["request_id"]
    assert storage.rest("GET", f"/jobs/{unknown}")[0] == 404
    assert storage.rest("DELETE", f"/jobs/{unknown}")[0] == 404


def test_the_same_deterministic_job_is_taken_once(storage, files):
    seed = uuid.uuid4().hex
    pair = [(storage.url(A, files.name()), storage.url(C, files.name()))]
    number = storage.submit(pair, id_generator="deterministic", sid=seed)
    base = storage.rest("GET", "/whoami")[1]["base_id"]
    assert number == str(uuid.uuid5(uuid.uuid5(uuid.UUID(base), VO), seed))
    document = {
        "files": [{"sources": [pair[0][0]], "destinations": [pair[0][1]]}],
        "params": {"id_generator": "deterministic", "sid": seed},
    }
    assert storage.rest("POST", "/jobs", document)[0] == 409
    assert storage.rest("POST", f"/jobs/{number}", {"params": {"priority": 5}})[1]["priority"] == 5


def test_banned_storage_takes_no_part(storage, files):
    storage_name = "root://banned.example"
    assert storage.rest("POST", "/ban/se", {"storage": storage_name, "status": "CANCEL", "message": "test"})[0] == 200
    document = {"files": [{"sources": [f"{storage_name}//a"], "destinations": [storage.url(C, files.name())]}]}
    assert storage.rest("POST", "/jobs", document)[0] == 403
    assert storage_name in storage.rest("GET", "/ban/se")[1]
    assert storage.rest("DELETE", f"/ban/se?storage={storage_name}")[0] == 204
    assert storage_name not in storage.rest("GET", "/ban/se")[1]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "files"),
        ({"files": [{"sources": ["root://a//b"], "destinations": []}]}, "destinations"),
        ({"files": [{"sources": ["nonsense"], "destinations": ["root://a//b"]}]}, "Invalid URL"),
    ],
)
def test_a_wrong_submission_is_refused_with_its_reason(storage, document, words):
    status, answer = storage.rest("POST", "/jobs", document)
    assert status == 400
    assert words in answer["message"]


def test_clients_are_known_by_their_certificate_behind_the_proxy(storage):
    for role in ("robot", "production"):
        assert storage.rest("GET", "/whoami", role=role)[1]["user_dn"] == ROLES[role].dn


def test_dirac_s_client_delegates_and_transfers(storage, files):
    local, name = files.make(), files.name()
    storage.put(local, A, name)
    script = """
import sys, warnings, datetime
warnings.simplefilter("ignore")
import fts3.rest.client.easy as client
endpoint, proxy, source, target = sys.argv[1:]
context = client.Context(endpoint, ucert=proxy, verify=False)
client.delegate(context, lifetime=datetime.timedelta(hours=3), force=True)
print(client.submit(context, client.new_job([client.new_transfer(source, target)], overwrite=True, verify_checksum="both")))
"""
    endpoint = f"https://localhost:{storage.layout.port('transfer')}"
    urls = [storage.url(A, name), storage.url(C, name)]
    proxy = storage.layout.proxy("production")
    done = storage.run(storage.layout.bin / "python", "-c", script, endpoint, proxy, *urls)
    job = storage.finished(done.stdout.strip())
    assert (job["job_state"], job["user_dn"]) == ("FINISHED", ROLES["production"].dn)
    identifier = storage.rest("GET", "/whoami", role="production")[1]["delegation_id"]
    assert storage.rest("GET", f"/delegation/{identifier}", role="production")[1]["termination_time"]
    assert storage.rest("GET", f"/delegation/{identifier}", role="user")[0] == 403
    assert storage.rest("DELETE", f"/delegation/{identifier}", role="production")[0] == 204


@pytest.mark.slow
@pytest.mark.alone
def test_a_copy_whose_process_is_killed_is_made_again(storage, files):
    local, name = files.make(), files.name()
    storage.put(local, A, name)
    number = storage.submit([(storage.url(A, name), storage.url(C, name))], local, overwrite=False)
    storage.until((storage.layout.storage(C) / name).exists, what="copy begun")
    for pid in storage.workers():
        os.kill(pid, signal.SIGKILL)
    job = storage.finished(number)
    assert job["job_state"] == "FINISHED"
    assert job["files"][0]["retry"] >= 1
    assert (storage.layout.storage(C) / name).read_bytes() == local.read_bytes()


@pytest.mark.slow
@pytest.mark.alone
def test_a_copy_that_hangs_is_killed_at_its_deadline_and_made_again(storage, files):
    local, name = files.make(), files.name()
    storage.put(local, A, name)
    number = storage.submit([(storage.url(A, name), storage.url(C, name))], local, timeout=15)
    storage.until(lambda: states(storage.job(number)) == ["ACTIVE"] and storage.workers(), what="copy begun")
    for pid in storage.workers():
        os.kill(pid, signal.SIGSTOP)
    job = storage.finished(number)
    assert (job["job_state"], job["files"][0]["retry"]) == ("FINISHED", 1)


@pytest.mark.slow
@pytest.mark.alone
def test_transfers_survive_the_death_of_the_service(storage, files):
    local, name = files.make(), files.name()
    storage.put(local, A, name)
    storage.put_offline(local, tape_name := files.name())
    names = [files.name() for _ in range(6)]
    copies = storage.submit([(storage.url(A, name), storage.url(C, one)) for one in names], local, overwrite=False)
    recall = storage.submit([(storage.url(TAPE, tape_name), storage.url(C, tape_name))], local, bring_online=120)
    storage.until(lambda: any((storage.layout.storage(C) / one).exists() for one in names), what="copies begun")
    storage.kill("transfer")
    storage.until(lambda: _answers(storage), what="service back")
    for number in (copies, recall):
        assert set(states(storage.finished(number))) == {"FINISHED"}
    for one in (*names, tape_name):
        assert (storage.layout.storage(C) / one).read_bytes() == local.read_bytes()


def _answers(storage):
    try:
        return storage.rest("GET", "/")[0] == 200
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.alone
def test_a_copy_waits_for_storage_that_is_down(storage, files):
    local, name = files.make(), files.name()
    storage.put(local, A, name)
    number = storage.submit([(storage.url(A, name), storage.url(B, name))], local)
    storage.until(lambda: states(storage.job(number)) == ["ACTIVE"], what="copy begun")
    storage.kill(f"xrootd-{B}")
    assert storage.finished(number, 200)["job_state"] == "FINISHED"
    assert (storage.layout.storage(B) / name).read_bytes() == local.read_bytes()
