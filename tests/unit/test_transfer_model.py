"""States of jobs and transfers, submissions, and which failures are tried again: all pure."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from CTARucioDIRAC.testbed.transfer_service import failures, model, submission
from CTARucioDIRAC.testbed.transfer_service.failures import Failure
from CTARucioDIRAC.testbed.transfer_service.submission import Refused

STATES = sorted(model.FINAL | {"SUBMITTED", "READY", "STAGING", "STARTED", "ACTIVE", "ARCHIVING"})
TYPES = [model.NORMAL, model.MULTI_SOURCE, model.MULTI_HOP]
many = st.lists(st.sampled_from(STATES), min_size=1, max_size=6)


@given(st.sampled_from(TYPES), many)
def test_a_job_is_final_exactly_when_all_its_transfers_are(kind, states):
    assert (model.job_state(kind, states) in model.FINAL_JOB) == model.FINAL.issuperset(states)


@given(st.sampled_from(TYPES), many)
def test_only_open_transfers_are_started_or_dropped_and_none_is_both(kind, states):
    startable, unused = set(model.startable(kind, states)), set(model.unused(kind, states))
    assert all(states[index] not in model.FINAL for index in startable | unused)
    assert not startable & unused
    if kind != model.NORMAL:
        assert len(startable) <= 1
    if not model.FINAL.issuperset(states):
        assert startable | unused  # something can always happen


@pytest.mark.parametrize(
    ("kind", "states", "expected"),
    [
        ("N", ["FINISHED", "FINISHED"], "FINISHED"),
        ("N", ["FINISHED", "FAILED"], "FINISHEDDIRTY"),
        ("N", ["FAILED"], "FAILED"),
        ("N", ["CANCELED", "FINISHED"], "CANCELED"),
        ("N", ["FINISHED", "SUBMITTED"], "ACTIVE"),
        ("N", ["STARTED", "STAGING"], "STAGING"),
        ("N", ["ARCHIVING", "FINISHED"], "ARCHIVING"),
        ("N", ["ACTIVE", "ARCHIVING"], "ACTIVE"),
        ("N", ["SUBMITTED"], "SUBMITTED"),
        ("R", ["FAILED", "FINISHED", "NOT_USED"], "FINISHED"),
        ("R", ["FAILED", "FAILED"], "FAILED"),
        ("H", ["FINISHED", "FINISHED"], "FINISHED"),
        ("H", ["FINISHED", "FAILED", "NOT_USED"], "FAILED"),
    ],
)
def test_states_as_fts3_names_them(kind, states, expected):
    assert model.job_state(kind, states) == expected


def submitted(files, **params):
    return submission.parse({"files": files, "params": params}, "/CN=me", "ctao", "2026-01-01T00:00:00", ())


def file(*sources, to="davs://c/x", **more):
    return {"sources": list(sources), "destinations": [to], **more}


def test_a_submission_becomes_a_job():
    about = {"checksum": "ADLER32:1", "filesize": 5, "metadata": {"request_id": "r"}}
    job, [transfer] = submitted([file("davs://a/x", **about)], priority=9)
    assert (job.job_type, job.state, job.priority, job.user_dn) == ("N", "SUBMITTED", 5, "/CN=me")
    assert (transfer.state, transfer.user_filesize, transfer.metadata) == ("SUBMITTED", 5, {"request_id": "r"})


def test_kinds_of_jobs():
    assert submitted([file("davs://a/x", "davs://b/x")])[0].job_type == "R"
    hops = [file("root://a//x", to="root://b//x"), file("root://b//x", to="root://c//x")]
    job, transfers = submitted(hops, multihop=True, bring_online=60)
    assert (job.job_type, job.state) == ("H", "STAGING")
    assert [(transfer.state, transfer.stage) for transfer in transfers] == [("STAGING", True), ("SUBMITTED", False)]


def test_overwriting_is_asked_for():
    job, [transfer] = submitted([file("davs://a/x")])
    assert job.may_overwrite(transfer, 0) == "no"
    assert submitted([file("davs://a/x")], overwrite=True)[0].may_overwrite(transfer, 0) == "yes"
    assert submitted([file("davs://a/x")], overwrite_when_only_on_disk=True)[0].may_overwrite(transfer, 0) == "on_disk"
    job, hops = submitted([file("davs://a/x", to="davs://b/x"), file("davs://b/x")], multihop=True, overwrite_hop=True)
    assert [job.may_overwrite(hop, 1) for hop in hops] == ["yes", "no"]


@pytest.mark.parametrize(
    ("asked", "done"), [(True, "both"), (False, "none"), (None, "none"), ("target", "target"), ("source", "source")]
)
def test_checksums_are_compared_where_asked(asked, done):
    assert submitted([file("davs://a/x")], verify_checksum=asked)[0].verify() == done


def test_deterministic_identifiers():
    expected = str(uuid.uuid5(uuid.uuid5(submission.BASE_ID, "ctao"), "seed"))
    assert submitted([file("davs://a/x")], id_generator="deterministic", sid="seed")[0].job_id == expected
    with pytest.raises(Refused, match="sid"):
        submitted([file("davs://a/x")], id_generator="deterministic")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (None, 400),
        ({"files": []}, 400),
        ({"files": [{"sources": ["davs://a/x"]}]}, 400),
        ({"files": [file("a/x")]}, 400),
        ({"files": [file("davs:///x")]}, 400),
        ({"files": [file("davs://a/x", "davs://b/x"), file("davs://a/y")]}, 400),
        ({"files": [file("davs://bad/x")]}, 403),
        ({"files": [file("davs://a/x", "davs://b/x")], "params": {"multihop": True}}, 400),
    ],
)
def test_wrong_submissions_are_refused(body, status):
    with pytest.raises(Refused) as refusal:
        submission.parse(body, "/CN=me", "ctao", "", {"davs://bad"})
    assert refusal.value.status == status


@pytest.mark.parametrize(
    ("code", "message", "recoverable"),
    [
        (2, "No such file", False),
        (17, "exists", False),
        (13, "Permission denied", False),
        (19, "[3011] Unable to open; no such file or directory", False),
        (112, "Result HTTP 403 : Permission refused", False),
        (110, "Operation expired", True),
        (111, "Connection refused", True),
        (95, "Failed to stat file (Operation not supported)", True),
        (5, "Destination checksum", True),
        (123, "No medium found", True),
    ],
)
def test_which_failures_are_tried_again(code, message, recoverable):
    assert Failure("TRANSFER", code, message).recoverable is recoverable


def test_the_worker_may_know_better():
    assert not Failure("SOURCE", 5, "wrong checksum", permanent=True).recoverable
    assert Failure("DESTINATION", 17, "exists", permanent=False).recoverable
    assert Failure("SOURCE", 2, "gone").reason == "SOURCE [2] gone"


def test_delays_grow_to_a_limit():
    delays = [failures.delay(attempt) for attempt in range(10)]
    assert delays == sorted(delays)
    assert delays[-1] == 30.0


@pytest.mark.parametrize(
    ("url", "storage"),
    [
        ("root://localhost:1094//a/b", "root://localhost"),
        ("davs://x.org/a", "davs://x.org"),
        ("https://me@x.org:8443/a", "https://x.org"),
    ],
)
def test_storage_of_a_url(url, storage):
    assert model.storage_of(url) == storage
