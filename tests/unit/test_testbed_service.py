"""Starting and stopping exactly one's own processes."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from CTARucioDIRAC.testbed import service
from CTARucioDIRAC.testbed.layout import Layout
from CTARucioDIRAC.testbed.service import NotReady, ProcessId, Service, TestbedError


@pytest.fixture
def layout(tmp_path):
    made = Layout(tmp_path, 23400, Path("/opt/environment"), Path("/opt/software"))
    made.run.mkdir()
    made.log.mkdir()
    return made


@pytest.fixture
def sleeper(layout):
    """A service that sleeps; whatever is left of it is ended after the test."""
    yield shell("sleeper", "exec sleep 60")
    service.stop(layout, "sleeper")


def shell(name, script, **more):
    return Service(
        name=name,
        argv=["/bin/sh", "-c", script],
        env={"PATH": "/usr/bin:/bin"},
        cwd=Path("/"),
        healthy=more.pop("healthy", lambda: None),
        **more,
    )


def wait_for(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.01)


def record_of(layout, name="sleeper"):
    return layout.run / f"{name}.pid.json"


def test_start_is_idempotent_and_stop_ends_it(layout, sleeper):
    first = service.start(layout, sleeper)
    assert service.start(layout, sleeper) == first == service.running(layout, "sleeper")
    assert service.stop(layout, "sleeper") is True
    assert not first.alive()
    assert service.stop(layout, "sleeper") is False


def test_a_process_is_recorded_even_if_its_starter_is_killed(layout, sleeper):
    # the child writes the record itself before it becomes the service: take away what the parent wrote
    process = service.start(layout, sleeper)
    service.stop(layout, "sleeper")
    command = ["/bin/sh", "-c", service._RECORD_AND_EXEC, "sh", str(record_of(layout)), "digest", "sleep", "60"]
    child = subprocess.Popen(command, start_new_session=True)
    wait_for(lambda: service.recorded(layout, "sleeper") is not None)
    assert service.running(layout, "sleeper") == ProcessId.of(child.pid) != process
    wait_for(lambda: Path(f"/proc/{child.pid}/comm").read_text().strip() == "sleep")
    assert service.running(layout, "sleeper").pid == child.pid


def test_the_record_that_the_process_writes_is_its_starters(layout, sleeper):
    process = service.start(layout, sleeper)
    by_starter = json.loads(record_of(layout).read_text())
    wait_for(lambda: Path(f"/proc/{process.pid}/comm").read_text().strip() == "sleep")
    assert json.loads(record_of(layout).read_text()) == by_starter
    assert not service.outdated(layout, sleeper)


def test_a_process_whose_first_thread_has_ended_lives_until_the_others_have(layout):
    """Its ports are open until then."""
    script = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
    child = subprocess.Popen([sys.executable, "-c", script + "ctypes.CDLL(None).pthread_exit(None)"])
    try:
        wait_for(lambda: " Z " in Path(f"/proc/{child.pid}/stat").read_text())
        assert ProcessId.of(child.pid) is not None
        child.kill()
        wait_for(lambda: ProcessId.of(child.pid) is None)
    finally:
        child.kill()
        child.wait()


def test_a_halted_process_is_seen(layout, sleeper):
    process = service.start(layout, sleeper)
    assert not service.halted(layout, "sleeper")
    os.kill(process.pid, signal.SIGSTOP)
    wait_for(lambda: service.halted(layout, "sleeper"))
    assert service.stop(layout, "sleeper")
    assert not service.halted(layout, "sleeper")


def test_a_reused_pid_is_neither_running_nor_killed(layout):
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        ours = ProcessId.of(stranger.pid)
        record = {"pid": ours.pid, "start_ticks": ours.start_ticks - 1, "boot": service._boot()}
        record_of(layout).write_text(json.dumps(record))
        assert service.running(layout, "sleeper") is None
        assert service.family(service.recorded(layout, "sleeper")) == []
        assert service.stop(layout, "sleeper") is False
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_record_from_before_a_reboot_counts_for_nothing(layout):
    own = ProcessId.of(os.getpid())
    record_of(layout).write_text(json.dumps({"pid": own.pid, "start_ticks": own.start_ticks, "boot": "another"}))
    assert service.recorded(layout, "sleeper") is None


def test_a_damaged_record_counts_for_nothing(layout):
    record_of(layout).write_text('{"pid": 1')
    assert service.recorded(layout, "sleeper") is None


def test_stop_ends_children_in_sessions_of_their_own(layout):
    parent = shell("sleeper", "setsid sleep 60 & exec sleep 61")
    leader = service.start(layout, parent)
    wait_for(lambda: len(service.family(leader)) == 2)
    family = service.family(leader)
    service.stop(layout, "sleeper")
    wait_for(lambda: not any(member.alive() for member in family))


def test_start_ends_what_outlived_a_killed_parent(layout):
    parent = shell("sleeper", "sleep 60 & echo $! >child; sleep 61", ports=())
    parent = dataclasses.replace(parent, cwd=layout.root)
    leader = service.start(layout, parent)
    wait_for(lambda: (layout.root / "child").exists() and (layout.root / "child").read_text().strip())
    orphan = ProcessId.of(int((layout.root / "child").read_text()))
    os.kill(leader.pid, signal.SIGKILL)
    wait_for(lambda: not leader.alive())
    assert orphan.alive()
    again = service.start(layout, parent)
    assert again != leader
    assert not orphan.alive()
    service.stop(layout, "sleeper")


def test_a_stubborn_process_is_killed_after_its_time(layout):
    stubborn = shell("sleeper", "trap '' TERM; touch ready; while :; do sleep 1; done")
    stubborn = dataclasses.replace(stubborn, cwd=layout.root)
    leader = service.start(layout, stubborn)
    wait_for((layout.root / "ready").exists)
    service.stop(layout, "sleeper", timeout=0.2)
    wait_for(lambda: not leader.alive())


def test_a_taken_port_is_named(layout):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(TestbedError, match=rf"sleeper: port {taken.getsockname()[1]} is in use"):
            service.start(layout, shell("sleeper", "sleep 60", ports=[taken.getsockname()[1]]))
    assert service.recorded(layout, "sleeper") is None


def test_a_service_that_dies_is_reported_with_its_telling_lines(layout):
    def never() -> None:
        raise NotReady("no answer")

    dying = shell("sleeper", "echo all is well; echo FATAL: no such table; exit 3", healthy=never)
    service.start(layout, dying)
    with pytest.raises(TestbedError, match=r"(?s)sleeper stopped while starting.*FATAL: no such table") as caught:
        service.wait_healthy(layout, dying)
    assert "all is well" not in str(caught.value)


def test_a_service_that_does_not_answer_is_reported_with_its_answer(layout, sleeper):
    def never() -> None:
        raise NotReady("still loading")

    slow = dataclasses.replace(sleeper, healthy=never, deadline=0.2)
    service.start(layout, slow)
    with pytest.raises(TestbedError, match=r"does not answer after 0 s \(NotReady: still loading\)"):
        service.wait_healthy(layout, slow)


def test_only_lines_since_the_last_start_are_told(layout):
    log = layout.log / "x.log"
    log.write_text("--- start 1\nerror: old\n--- start 2\nerror: new\n")
    assert service.telling_lines(log) == "    error: new"


def test_a_service_that_would_be_started_otherwise_now_is_outdated(layout, sleeper):
    assert not service.outdated(layout, sleeper)
    service.start(layout, sleeper)
    assert not service.outdated(layout, sleeper)
    assert service.outdated(layout, dataclasses.replace(sleeper, env={"PATH": "/bin"}))
    assert service.outdated(layout, dataclasses.replace(sleeper, argv=["/bin/true"]))
    assert service.outdated(layout, dataclasses.replace(sleeper, settings=lambda: "port = 1"))
    service.stop(layout, "sleeper")
    assert not service.outdated(layout, dataclasses.replace(sleeper, argv=["/bin/true"]))
