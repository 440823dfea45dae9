"""The tape robot and its prepare program, on directories of the test's own and without waiting for cartridges."""

import json
import threading
import time

import pytest

from CTARucioDIRAC.testbed import tape_prepare, tape_spool
from CTARucioDIRAC.testbed.tape_robot import Journal, Robot, Settings
from CTARucioDIRAC.testbed.tape_spool import Spool
from CTARucioDIRAC.testbed.tape_store import FileState, TapeStore


class Endpoint:
    """A nearline endpoint whose robot runs in a thread."""

    def __init__(self, root, drives=1, latency=0.0, keep_archived=1e9, keep_recalled=1e9):
        self.store = TapeStore(root / "buffer", root / "library", root / "work")
        self.spool = Spool(root / "work" / "spool")
        self.journal = root / "journal.jsonl"
        self.settings = Settings(drives, latency, keep_archived, keep_recalled)
        self.robot = self.thread = None
        self.store.prepare()
        self.spool.prepare()

    def start(self):
        self.robot = Robot(self.store, self.spool, Journal(self.journal), self.settings)
        self.thread = threading.Thread(target=self.robot.run, args=(lambda _: None,))
        self.thread.start()
        return self

    def stop(self):
        if self.thread:
            self.robot.stop()
            self.thread.join(10)
            assert not self.thread.is_alive()

    def put(self, name, content=b"content"):
        (self.store.buffer / name).write_bytes(content)

    def put_offline(self, *names):
        for name in names:
            self.put(name)
            self.store.archive(name)
            assert self.store.purge(name)

    def events(self, kind):
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [event for line in lines if (event := json.loads(line))["event"] == kind]

    def prepare(self, *words):
        return tape_prepare.run(self.store, self.spool, ["-p", "0", "--", *words])

    def query(self, request, *paths):
        return json.loads(self.prepare(request, "query", *paths))["responses"]


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def endpoint(tmp_path):
    made = Endpoint(tmp_path)
    yield made
    made.stop()


def test_new_files_are_archived_and_purged(tmp_path):
    endpoint = Endpoint(tmp_path, keep_archived=0.0).start()
    try:
        endpoint.put("a")
        until(lambda: endpoint.store.state("a") is FileState.OFFLINE)
        assert [event["bytes"] for event in endpoint.events("archive")] == [7]
        assert endpoint.events("purge")
    finally:
        endpoint.stop()


def test_a_request_is_answered_when_all_its_files_are_online(endpoint):
    endpoint.put_offline("a", "b")
    endpoint.prepare("r:1", "stage", "/a", "//b")
    assert [(one["requested"], one["online"]) for one in endpoint.query("r:1", "/a", "/b")] == [(True, False)] * 2
    endpoint.start()
    until(lambda: endpoint.spool.answer("r:1"))
    assert endpoint.spool.answer("r:1") == {"a": "", "b": ""}
    assert all(one["online"] and one["on_tape"] and not one["error_text"] for one in endpoint.query("r:1"))
    assert len(endpoint.events("mount")) == 2
    assert {event["name"] for event in endpoint.events("recall")} == {"a", "b"}


def test_one_recall_serves_several_requests(endpoint):
    endpoint.put_offline("a")
    for request in ("r:1", "r:2"):
        endpoint.prepare(request, "stage", "/a")
    endpoint.start()
    until(lambda: endpoint.spool.answer("r:1") and endpoint.spool.answer("r:2"))
    assert [event["requests"] for event in endpoint.events("recall")] == [["r:1", "r:2"]]


def test_unknown_files_are_answered_with_the_reason(endpoint):
    endpoint.start().prepare("r:1", "stage", "/none")
    until(lambda: endpoint.spool.answer("r:1"))
    [answer] = endpoint.query("r:1", "/none")
    assert (answer["path_exists"], answer["error_text"]) == (False, "no such file")


@pytest.mark.parametrize("part", [(), ("/a", "/b", "/c"), ("/b", "/c")])
def test_what_is_cancelled_is_not_recalled(tmp_path, part):
    endpoint = Endpoint(tmp_path, latency=0.5)
    endpoint.put_offline("a", "b", "c")
    endpoint.prepare("r:1", "stage", "/a", "/b", "/c")
    endpoint.start()
    try:
        until(lambda: endpoint.robot.status()["active"])
        endpoint.prepare("r:1", "cancel", *part)
        until(lambda: endpoint.spool.answer("r:1"))
        recalled = {event["name"] for event in endpoint.events("recall")}
        assert recalled == ({"a"} if part == ("/b", "/c") else set())
        [answer] = endpoint.query("r:1", "/b")
        assert (answer["requested"], answer["error_text"]) == (False, "the request was cancelled")
        until(lambda: {event["name"] for event in endpoint.events("cancel")} == {"a", "b", "c"} - recalled)
    finally:
        endpoint.stop()


def test_a_cancellation_that_overtakes_its_request_counts(endpoint):
    endpoint.put_offline("a")
    endpoint.prepare("r:1", "cancel", "/a")
    endpoint.prepare("r:1", "stage", "/a")
    endpoint.start()
    until(lambda: endpoint.spool.answer("r:1"))
    assert endpoint.store.state("a") is FileState.OFFLINE


def test_requests_survive_the_robot(tmp_path):
    endpoint = Endpoint(tmp_path, latency=30.0)
    endpoint.put_offline("a")
    endpoint.prepare("r:1", "stage", "/a")
    endpoint.start()
    until(lambda: endpoint.robot.status()["active"])
    endpoint.stop()
    endpoint.settings = Settings(1, 0.0, 1e9, 1e9)
    endpoint.start()
    try:
        until(lambda: endpoint.spool.answer("r:1"))
        assert endpoint.store.state("a") is FileState.ARCHIVED
    finally:
        endpoint.stop()


def test_eviction_is_done_at_once_but_not_to_what_is_not_archived(endpoint):
    endpoint.put("new")
    endpoint.put_offline("a")
    endpoint.store.recall("a")
    endpoint.prepare("r:9", "evict", "/a", "/new")
    endpoint.start()
    until(lambda: endpoint.store.state("a") is FileState.OFFLINE)
    assert (endpoint.store.buffer / "new").read_bytes() == b"content"


def test_deleting_reaches_the_library(endpoint):
    endpoint.start()
    endpoint.put("a")
    until(lambda: endpoint.store.state("a") is FileState.ARCHIVED)
    (endpoint.store.buffer / "a").unlink()
    until(lambda: endpoint.events("delete"))
    assert not (endpoint.store.library / "a").exists()


def test_recalls_and_archives_share_the_drives(tmp_path):
    endpoint = Endpoint(tmp_path, drives=2, latency=0.2)
    endpoint.put_offline(*[f"old{number}" for number in range(6)])
    endpoint.prepare("r:1", "stage", *[f"/old{number}" for number in range(6)])
    for number in range(6):
        endpoint.put(f"new{number}")
    endpoint.start()
    try:
        until(lambda: endpoint.spool.answer("r:1") and len(endpoint.events("archive")) == 6)
        mounts = [event["kind"] for event in endpoint.events("mount")]
        assert mounts.count("recall") == 6
        assert mounts.count("archive") < 6  # one session takes what waits
        last_recall = max(event["time"] for event in endpoint.events("recall"))
        assert min(event["time"] for event in endpoint.events("archive")) < last_recall
    finally:
        endpoint.stop()


def test_a_failing_drive_ends_the_robot(endpoint, monkeypatch):
    def broken(*_):
        raise RuntimeError("drive on fire")

    monkeypatch.setattr(TapeStore, "archive", broken)
    endpoint.put("a")
    robot = Robot(endpoint.store, endpoint.spool, Journal(endpoint.journal), endpoint.settings)
    with pytest.raises(RuntimeError, match="on fire"):
        robot.run(lambda _: None)


def test_a_request_on_its_way_is_waited_for_but_not_for_ever(endpoint, monkeypatch):
    endpoint.put_offline("a")
    assert endpoint.query("r:unknown", "/a")[0]["requested"]
    monkeypatch.setattr(tape_spool, "GRACE", 0.0)
    assert not endpoint.query("r:unknown", "/a")[0]["requested"]


def test_a_finished_request_whose_file_left_again_says_so(endpoint):
    endpoint.put_offline("a")
    endpoint.spool.finish("r:1", {"a": ""})
    [answer] = endpoint.query("r:1", "/a")
    assert not answer["requested"]
    assert "has left the disk buffer" in answer["error_text"]


def test_a_call_that_is_not_understood_is_an_error(endpoint):
    with pytest.raises(ValueError, match="unknown request 'dance'"):
        endpoint.prepare("r:1", "dance")
    assert endpoint.prepare("r:1", "prep", "/a") == ""


def test_old_answers_are_forgotten(endpoint, monkeypatch):
    endpoint.spool.finish("r:1", {"a": ""})
    endpoint.spool.expire()
    assert endpoint.spool.answer("r:1")
    monkeypatch.setattr(tape_spool, "KEEP", 0.0)
    endpoint.spool.expire()
    assert endpoint.spool.answer("r:1") is None
