"""The transfer service's memory, its decisions, and its REST interface, without storage and without workers."""

import datetime
import json
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from CTARucioDIRAC.testbed.transfer_service import engine as engine_module
from CTARucioDIRAC.testbed.transfer_service import rest
from CTARucioDIRAC.testbed.transfer_service.delegation import Delegations, delegation_id
from CTARucioDIRAC.testbed.transfer_service.engine import Engine, Limits
from CTARucioDIRAC.testbed.transfer_service.pool import Message
from CTARucioDIRAC.testbed.transfer_service.store import Store, timestamp
from CTARucioDIRAC.testbed.transfer_service.submission import Refused, parse

ME = "/DC=org/CN=me"


class FakePool:
    """Records what workers would be told."""

    def __init__(self):
        self.assigned, self.told, self.killed, self.workers = {}, [], [], []

    def full(self, _proxy):
        return False

    def assign(self, task, _proxy, content, _seconds):
        self.assigned[task] = dict(content)

    def tell(self, task, content):
        self.told.append((task, content))

    def kill(self, task):
        self.killed.append(task)

    def wake(self):
        """Nobody waits."""


class Service:
    """Store, engine and interface, with workers played by the test."""

    def __init__(self, directory, copies=10):
        self.path = directory / "transfers.sqlite"
        self.store = Store(self.path)
        self.engine = Engine(self.store, lambda _: "/robot.pem", Limits(copies=copies))
        self.engine.pool.close()
        self.engine.pool = self.pool = FakePool()
        delegations = Delegations(directory / "delegated", self.store, directory / "robot.pem")
        self.api = rest.Api(self.store, self.engine, delegations, "ctao")

    def submit(self, *files, **params):
        body = {"files": [{"sources": list(sources), "destinations": [to]} for *sources, to in files], "params": params}
        job, transfers = parse(body, ME, "ctao", timestamp(), ())
        assert self.store.add(job, transfers)
        return job.job_id

    def tasks(self, kind="copy"):
        self.engine.schedule()
        return [task for task in self.engine.tasks if task.kind == kind]

    def say(self, task, **content):
        self.engine.hear(Message(task, content))

    def die(self, task):
        self.engine.hear(Message(task, None, "killed"))

    def fail(self, task, code=110, message="expired", phase="TRANSFER", permanent=None):
        self.say(task, failure={"phase": phase, "code": code, "message": message, "permanent": permanent})

    def states(self, job_id):
        return [transfer.state for transfer in self.store.transfers(job_id)]

    def soon(self, job_id):
        """Let the time before the next attempt pass."""
        for transfer in self.store.transfers(job_id):
            self.store.change(transfer.file_id, not_before=0.0)


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path)
    yield made
    made.store.close()


DONE = {"filesize": 5, "tx_duration": 0.1}
A, B, C = "davs://a/x", "davs://b/x", "davs://c/x"
TAPE = "root://tape//x"


def test_a_copy_is_started_once_and_ends(service):
    job = service.submit((A, C))
    [task] = service.tasks()
    assert service.tasks() == [task]
    assert service.pool.assigned[task]["overwrite"] == "no"
    assert service.states(job) == ["ACTIVE"]
    service.say(task, prepared=True)
    assert service.pool.told == [(task, {"go": True})]
    assert service.store.transfers(job)[0].owned
    service.say(task, result=DONE)
    assert service.store.job(job).state == "FINISHED"
    assert service.store.transfers(job)[0].filesize == 5


def test_copies_are_limited_and_the_urgent_go_first(tmp_path):
    service = Service(tmp_path, copies=1)
    service.submit((A, C), priority=1)
    urgent = service.submit((A, B), priority=5)
    [task] = service.tasks()
    assert task.job.job_id == urgent
    service.store.close()


def test_two_copies_never_write_to_the_same_place(service):
    service.submit((A, C))
    service.submit((B, C), overwrite=True)
    [task] = service.tasks()
    service.say(task, result=DONE)
    assert len(service.tasks()) == 1


def test_recoverable_failures_are_tried_again_later(service):
    job = service.submit((A, C), retry=1)
    [task] = service.tasks()
    service.fail(task)
    assert service.states(job) == ["SUBMITTED"]
    assert service.tasks() == []  # not yet
    service.soon(job)
    [task] = service.tasks()
    service.fail(task)
    [transfer] = service.store.transfers(job)
    assert (transfer.state, transfer.recoverable, transfer.attempts) == ("FAILED", True, 1)
    assert service.store.job(job).reason == "TRANSFER [110] expired"


def test_others_are_not(service):
    job = service.submit((A, C))
    service.fail(service.tasks()[0], 2, "No such file", "SOURCE", permanent=True)
    [transfer] = service.store.transfers(job)
    assert (transfer.state, transfer.recoverable, transfer.reason) == ("FAILED", False, "SOURCE [2] No such file")


def test_a_killed_worker_costs_no_attempt_but_not_for_ever(service):
    job = service.submit((A, C))
    for _ in range(engine_module.KILLS):
        service.die(service.tasks()[0])
        assert service.states(job) == ["SUBMITTED"]
    service.die(service.tasks()[0])
    [transfer] = service.store.transfers(job)
    assert (transfer.state, transfer.attempts, transfer.recoverable) == ("FAILED", 0, True)


def test_a_restarted_service_copies_again_what_it_had_begun(service, tmp_path):
    job = service.submit((A, C))
    service.say(service.tasks()[0], prepared=True)
    service.store.close()
    again = Service(tmp_path)
    assert again.store.resume() == 1
    [task] = again.tasks()
    assert again.pool.assigned[task]["owned"]
    again.say(task, result=DONE)
    assert again.store.job(job).state == "FINISHED"
    again.store.close()


def test_a_file_on_tape_is_recalled_watched_and_copied(service):
    job = service.submit((TAPE, C), bring_online=60)
    assert service.store.job(job).state == "STAGING"
    [task] = service.tasks("stage")
    service.say(task, result={"token": "t:1", "online": [], "failed": {}})
    assert service.states(job) == ["STARTED"]
    assert service.tasks() == []
    service.engine.clock.looked.clear()
    [task] = service.tasks("poll_stage")
    assert service.pool.assigned[task]["token"] == "t:1"
    service.say(task, result={"online": [TAPE], "failed": {}})
    assert service.store.transfers(job)[0].staging_finished
    service.say(service.tasks()[0], result=DONE)
    assert service.store.job(job).state == "FINISHED"


def test_a_file_that_left_the_buffer_before_the_copy_is_recalled_again(service):
    job = service.submit((TAPE, C), bring_online=60)
    service.say(service.tasks("stage")[0], result={"token": "", "online": [TAPE], "failed": {}})
    service.fail(service.tasks()[0], 123, "No medium found: only on tape", "SOURCE")
    assert service.states(job) == ["STAGING"]
    service.soon(job)
    assert len(service.tasks("stage")) == 1


def test_a_recall_that_takes_too_long_fails(service):
    job = service.submit((TAPE, C), bring_online=60)
    service.say(service.tasks("stage")[0], result={"token": "t", "online": [], "failed": {}})
    [transfer] = service.store.transfers(job)
    service.store.change(transfer.file_id, staging_start="2020-01-01T00:00:00")
    service.engine.clock.looked.clear()
    service.say(service.tasks("poll_stage")[0], result={"online": [], "failed": {}})
    assert "bring-online timeout" in service.store.job(job).reason


def test_only_staging_needs_no_copy(service):
    job = service.submit((TAPE, TAPE), bring_online=60)
    service.say(service.tasks("stage")[0], result={"token": "", "online": [TAPE], "failed": {}})
    assert service.store.job(job).state == "FINISHED"


def test_a_copy_to_tape_ends_when_it_is_archived(service):
    job = service.submit((A, TAPE), archive_timeout=60)
    service.say(service.tasks()[0], result=DONE)
    assert service.store.job(job).state == "ARCHIVING"
    service.engine.clock.looked.clear()
    service.say(service.tasks("poll_archive")[0], result={"archived": [], "failed": {}})
    assert service.store.job(job).state == "ARCHIVING"
    service.engine.clock.looked.clear()
    service.say(service.tasks("poll_archive")[0], result={"archived": [TAPE], "failed": {}})
    assert service.store.job(job).state == "FINISHED"


def test_of_several_sources_one_is_enough(service):
    job = service.submit((A, B, B, C))
    [task] = service.tasks()
    service.fail(task, 2, "none", permanent=True)
    assert service.store.job(job).state == "ACTIVE"
    [task] = service.tasks()
    assert service.pool.assigned[task]["source"] == B
    service.say(task, result=DONE)
    assert service.states(job) == ["FAILED", "FINISHED", "NOT_USED"]
    assert service.store.job(job).state == "FINISHED"


def test_cancelling_kills_the_copy_and_removes_what_it_wrote(service):
    job = service.submit((A, C))
    [task] = service.tasks()
    service.say(task, prepared=True)
    assert service.store.cancel(job).state == "CANCELED"
    later = service.submit((B, C))
    [tidy] = service.tasks("tidy")
    assert service.pool.killed == [task]
    assert service.pool.assigned[tidy] == {"op": "remove", "destination": C}
    assert service.states(later) == ["SUBMITTED"]  # not before the place is clean
    service.say(tidy, result={"removed": True})
    assert [one.job.job_id for one in service.tasks()] == [later]
    service.say(task, result=DONE)  # too late
    assert service.states(job) == ["CANCELED"]


def test_cancelling_takes_a_recall_back_in_one_request(service):
    job = service.submit((TAPE, C), (TAPE + "2", C + "2"), bring_online=60)
    service.say(service.tasks("stage")[0], result={"token": "t", "online": [], "failed": {}})
    service.store.cancel(job)
    [tidy] = service.tasks("tidy")
    assert service.pool.assigned[tidy] == {"op": "abort", "urls": [TAPE, TAPE + "2"], "token": "t"}
    service.say(tidy, result={})
    assert service.store.open_jobs() == []


def test_the_report_about_a_taken_destination_reaches_the_client(service):
    body = {
        "files": [{"sources": [A], "destinations": [C], "metadata": {"request_id": "r"}}],
        "params": {"dst_file_report": True},
    }
    job, transfers = parse(body, ME, "ctao", timestamp(), ())
    service.store.add(job, transfers)
    [task] = service.tasks()
    service.say(task, report={"file_size": 1})
    service.fail(task, 17, "Destination file exists and overwrite is not enabled", "DESTINATION", permanent=True)
    [transfer] = service.store.transfers(job.job_id)
    assert transfer.metadata == {"request_id": "r", "dst_file": {"file_size": 1}}


def test_banned_storage_is_not_used(service):
    job = service.submit((A, C))
    body = json.dumps({"storage": "davs://a", "status": "WAIT"}).encode()
    assert service.api.answer(ME, "POST", "/ban/se", body) == (200, [job])
    assert service.tasks() == []
    assert service.api.answer(ME, "DELETE", "/ban/se?storage=davs://a", b"")[0] == 204
    assert len(service.tasks()) == 1


def test_old_jobs_are_forgotten(service):
    job = service.submit((A, C))
    service.store.cancel(job)
    service.store.expire(days=1)
    assert service.store.job(job)
    service.store.expire(days=-1)
    assert service.store.job(job) is None


# --- the REST interface


def test_jobs_through_the_interface(service):
    document = {"files": [{"sources": [A], "destinations": [C], "metadata": {"request_id": "r"}}], "params": {}}
    status, answer = service.api.answer(ME, "POST", "//jobs", json.dumps(document).encode())
    job = answer["job_id"]
    assert status == 200
    status, shown = service.api.answer(ME, "GET", f"/jobs/{job}?files=file_state,file_metadata", b"")
    assert (status, shown["files"]) == (200, [{"file_state": "SUBMITTED", "file_metadata": {"request_id": "r"}}])
    status, shown = service.api.answer(ME, "GET", f"/jobs/{job},none?files=file_state", b"")
    assert (status, shown[1]["http_status"]) == (207, "404 Not Found")
    assert service.api.answer(ME, "GET", "/jobs/none?files=file_state", b"")[0] == 404
    assert service.api.answer(ME, "GET", f"/jobs/{job}/job_state", b"") == (200, "SUBMITTED")
    assert service.api.answer(ME, "GET", f"/jobs/{job}/dm", b"") == (200, [])
    body = json.dumps({"params": {"priority": 4}}).encode()
    assert service.api.answer(ME, "POST", f"/jobs/{job}", body)[1]["priority"] == 4
    number = service.api.answer(ME, "GET", f"/jobs/{job}/files", b"")[1][0]["file_id"]
    assert service.api.answer(ME, "DELETE", f"/jobs/{job}/files/{number}", b"") == (200, "CANCELED")
    assert [one["job_id"] for one in service.api.answer(ME, "GET", "/jobs?state_in=CANCELED", b"")[1]] == [job]
    assert 'transfers{state="CANCELED"} 1' in service.api.answer(ME, "GET", "/metrics", b"")[1]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/whoami", 405), ("GET", "/jobs/none/files", 404)]
)
def test_what_is_not_there_is_refused(service, method, path, status):
    with pytest.raises(Refused) as refusal:
        service.api.answer(ME, method, path, b"")
    assert refusal.value.status == status


def test_an_engine_that_hangs_makes_the_service_ill(service):
    assert service.api.answer(ME, "GET", "/", b"")[0] == 200
    service.engine.alive -= 3600
    with pytest.raises(Refused, match="engine"):
        service.api.answer(ME, "GET", "/", b"")


def key():
    return rsa.generate_private_key(65537, 2048)


def certificate(subject, public, signer, proxy=False):
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name) for name in subject]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(x509.Name(names[:1]))
        .public_key(public)
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=5))
    )
    if proxy:
        builder = builder.add_extension(x509.UnrecognizedExtension(rest._PROXY_CERT_INFO, b"\x30\x00"), critical=True)
    return builder.sign(signer, hashes.SHA256())


@pytest.mark.parametrize(
    ("names", "proxy", "expected"),
    [
        (["me"], False, "/CN=me"),
        (["me", "123"], True, "/CN=me"),
        (["me", "123", "456"], True, "/CN=me"),
        (["me", "123"], False, "/CN=me/CN=123"),
    ],
)
def test_the_identity_behind_a_proxy(names, proxy, expected):
    secret = key()
    made = certificate(names, secret.public_key(), secret, proxy)
    peer = {"subject": tuple((("commonName", name),) for name in names)}
    assert rest.distinguished_name(peer, made.public_bytes(serialization.Encoding.DER)) == expected


def test_delegation(service, tmp_path):
    mine, path = delegation_id(ME), f"/delegation/{delegation_id(ME)}"
    credential = service.api.delegations.credential
    assert service.api.answer(ME, "GET", path, b"") == (200, None)
    assert credential(ME) == str(tmp_path / "robot.pem")
    with pytest.raises(Refused, match="requested"):
        service.api.answer(ME, "PUT", f"{path}/credential", b"x")
    request = x509.load_pem_x509_csr(service.api.answer(ME, "GET", f"{path}/request", b"")[1].encode())
    user = key()
    wrong = certificate(["me", "1"], user.public_key(), user).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(Refused, match="another request"):
        service.api.answer(ME, "PUT", f"{path}/credential", wrong)
    chain = certificate(["me", "1"], request.public_key(), user).public_bytes(serialization.Encoding.PEM)
    chain += certificate(["me"], user.public_key(), user).public_bytes(serialization.Encoding.PEM)
    assert service.api.answer(ME, "PUT", f"{path}/credential", chain)[0] == 201
    proxy = tmp_path / "delegated" / f"{mine}.pem"
    assert credential(ME) == str(proxy)
    assert proxy.stat().st_mode & 0o777 == 0o600
    assert [line for line in proxy.read_text().splitlines() if "BEGIN" in line] == [
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----",
    ]
    with pytest.raises(Refused) as refusal:
        service.api.answer("/CN=other", "GET", path, b"")
    assert refusal.value.status == 403
    assert service.api.answer(ME, "DELETE", path, b"")[0] == 204
    assert credential(ME) == str(tmp_path / "robot.pem")


def test_what_the_store_keeps_is_what_it_was_given(service):
    job = service.submit((A, C))
    [transfer] = service.store.transfers(job)
    changed = service.store.change(transfer.file_id, metadata={"a": [1]}, recoverable=False, not_before=1.5)
    assert (
        service.store.transfer(transfer.file_id)
        == changed
        == replace(transfer, metadata={"a": [1]}, recoverable=False, not_before=1.5)
    )
