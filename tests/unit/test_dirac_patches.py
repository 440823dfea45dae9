"""Each change that the testbed's launcher makes in DIRAC takes effect in the DIRAC that is installed."""

from __future__ import annotations

import datetime
import json
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from CTARucioDIRAC.testbed import dirac_launcher, dirac_patches


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def age(stamp: str | datetime.datetime) -> float:
    """Seconds since a time that DIRAC wrote."""
    return (now() - datetime.datetime.fromisoformat(str(stamp))).total_seconds()


def put_back_afterwards(monkeypatch: pytest.MonkeyPatch, owner: Any, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(owner, name, getattr(owner, name))


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> Any:
    """DIRAC's transport class, whose own initAsServer only notes where it would listen."""
    from DIRAC.Core.DISET.private.Transports.M2SSLTransport import SSLTransport

    def listen(self: Any) -> dict[str, Any]:
        self.listens_on = self.stServerAddress
        return {"OK": True, "Value": None}

    monkeypatch.setattr(SSLTransport, "initAsServer", listen)
    return SSLTransport


def test_services_listen_on_the_loopback_address(transport: Any) -> None:
    dirac_patches.bind_to_loopback()
    everywhere = SimpleNamespace(stServerAddress=("", 9135))
    transport.initAsServer(everywhere)
    assert everywhere.listens_on == ("::ffff:127.0.0.1", 9135)
    told = SimpleNamespace(stServerAddress=("::1", 9135))
    transport.initAsServer(told)
    assert told.listens_on == ("::1", 9135)


def test_services_answer_without_delay(transport: Any) -> None:
    dirac_patches.answer_without_delay()
    with socket.socket() as listening:
        transport.initAsServer(SimpleNamespace(stServerAddress=("", 1), oSocket=listening))
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_reactor_sees_one_connection_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import DIRAC.Core.DISET.ServiceReactor as reactor

    put_back_afterwards(monkeypatch, reactor, "selectors")
    dirac_patches.accept_one_at_a_time()
    pairs = [socket.socketpair() for _ in range(3)]
    with reactor.selectors.DefaultSelector() as selector:
        for index, (reading, writing) in enumerate(pairs):
            selector.register(reading, reactor.selectors.EVENT_READ, index)
            writing.send(b"x")
        seen = set()
        while len(seen) < len(pairs):  # each is shown in turn as long as it is readable
            ((key, _),) = selector.select(timeout=1)
            seen.add(key.data)
    for pair in pairs:
        for end in pair:
            end.close()


def test_tasks_are_handed_out_after_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    import DIRAC.TransformationSystem.Service.TransformationManagerHandler as module

    put_back_afterwards(monkeypatch, module, "datetime")
    dirac_patches.submit_tasks_soon()
    database = Mock()
    database.getTransformation.return_value = {"OK": True, "Value": {}}
    database.getTasksForSubmission.return_value = {"OK": True, "Value": {}}
    handler = module.TransformationManagerHandlerMixin
    handler.export_getTasksToSubmit(SimpleNamespace(transformationDB=database), 1, 50)
    older = database.getTasksForSubmission.call_args.kwargs["older"]
    assert age(older) == pytest.approx(dirac_patches.TASK_DELAY, abs=1)


@pytest.fixture
def task_agents(monkeypatch: pytest.MonkeyPatch) -> Any:
    import DIRAC.TransformationSystem.Agent.TaskManagerAgentBase as module
    from DIRAC.TransformationSystem.Client.WorkflowTasks import WorkflowTasks

    put_back_afterwards(monkeypatch, module, "datetime")
    put_back_afterwards(monkeypatch, WorkflowTasks, "getSubmittedFileStatus")
    return module


@pytest.mark.parametrize(
    ("operation", "query", "seconds"),
    [
        ("updateTaskStatus", "getTransformationTasks", dirac_patches.LOOK_AGAIN),
        ("updateFileStatus", "getTransformationFiles", dirac_patches.LOOK_AGAIN),
        ("checkReservedTasks", "getTransformationTasks", dirac_patches.RESERVED_FOR),
    ],
)
def test_tasks_and_files_are_looked_at_soon(task_agents: Any, operation: str, query: str, seconds: int) -> None:
    dirac_patches.look_at_tasks_soon()
    client = Mock()
    getattr(client, query).return_value = {"OK": True, "Value": []}
    agent = Mock()
    getattr(task_agents.TaskManagerAgentBase, operation)(
        agent, {"TransformationID": 1}, {"TransformationClient": client}
    )
    older = getattr(client, query).call_args.kwargs["older"]
    assert age(older) == pytest.approx(seconds, abs=1.5)


@pytest.mark.usefixtures("task_agents")
def test_files_of_tasks_without_a_job_are_left_alone() -> None:
    """Otherwise the file is given to a second task, and the first one's job processes it as well."""
    from DIRAC.TransformationSystem.Client.WorkflowTasks import WorkflowTasks

    dirac_patches.look_at_tasks_soon()
    tasks = WorkflowTasks.__new__(WorkflowTasks)
    tasks.transClient = Mock()
    tasks.transClient.getTransformationTasks.return_value = {
        "OK": True,
        "Value": [{"TaskID": 1, "ExternalStatus": "Created"}, {"TaskID": 2, "ExternalStatus": "Running"}],
    }
    tasks.updateTransformationReservedTasks = Mock(
        return_value={"OK": True, "Value": {"NoTasks": [], "TaskNameIDs": {"00000001_00000002": 77}}}
    )
    tasks.jobMonitoringClient = Mock()
    tasks.jobMonitoringClient.getJobsStatus.return_value = {"OK": True, "Value": {77: {"Status": "Done"}}}
    files = [
        {"TransformationID": 1, "TaskID": number, "LFN": f"/ctao/{number}", "Status": "Assigned"} for number in (1, 2)
    ]
    assert tasks.getSubmittedFileStatus(files)["Value"] == {"/ctao/2": "Processed"}
    assert [file["TaskID"] for file in tasks.updateTransformationReservedTasks.call_args.args[0]] == [2]


@pytest.mark.parametrize("period", [1, 60])
def test_agents_begin_at_once_and_may_cycle_every_five_seconds(monkeypatch: pytest.MonkeyPatch, period: int) -> None:
    import DIRAC.Core.Base.AgentReactor as reactor

    put_back_afterwards(monkeypatch, reactor, "ThreadScheduler")
    dirac_patches.cycle_often()
    scheduler = reactor.ThreadScheduler.ThreadScheduler(enableReactorThread=False, minPeriod=10)
    scheduler.addPeriodicTask(period, lambda: None, executions=2, elapsedTime=period)
    first = scheduler.executeNextTask()
    assert first <= 1
    time.sleep(first)
    assert scheduler.executeNextTask() == pytest.approx(max(period, dirac_patches.SHORTEST_PERIOD), abs=0.5)


def test_workers_never_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from DIRAC.WorkloadManagementSystem.Agent.JobAgent import JobAgent

    put_back_afterwards(monkeypatch, JobAgent, "_checkMatchingIssues")
    dirac_patches.ask_for_jobs_steadily()
    agent = Mock(matchFailedCount=2, stopAfterFailedMatches=10)
    JobAgent._checkMatchingIssues(agent, {"OK": False, "Errno": 1510, "Message": "No match found"})
    assert agent.matchFailedCount == 0
    agent._finish.assert_not_called()


def test_rescheduled_jobs_are_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from DIRAC.WorkloadManagementSystem.Executor.JobScheduling import JobScheduling

    monkeypatch.setattr(JobScheduling, "ex_getOption", staticmethod(lambda name, *default: (name, default)))
    dirac_patches.release_rescheduled_jobs()
    assert JobScheduling.ex_getOption("RescheduleDelays", [60, 180]) == [0]
    assert JobScheduling().ex_getOption("HoldTime", 300) == ("HoldTime", (300,))


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own: the patch would change this process for good."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_what_a_killed_wrapper_leaves_is_ended() -> None:
    done = run(
        """
        import subprocess, psutil
        from DIRAC.Resources.Computing.InProcessComputingElement import InProcessComputingElement as Element
        from CTARucioDIRAC.testbed import dirac_patches
        # a payload leads a session of its own, as in DIRAC, and its parent is gone when submitJob returns
        Element.submitJob = lambda self, *_: subprocess.run(
            "setsid sleep 600 >/dev/null 2>&1 & echo $!", shell=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        dirac_patches.end_what_a_job_left()
        payload = int(Element.__new__(Element).submitJob())
        assert not psutil.pid_exists(payload) and not psutil.Process().children()
        print("ended")
        """
    )
    assert done.stdout.strip().endswith("ended"), done.stdout + done.stderr


@pytest.mark.parametrize(("status", "output", "code"), [(0, "again", 0), (3, "", 3)])
def test_a_worker_that_ends_well_starts_again(status: int, output: str, code: int) -> None:
    done = run(
        f"""
        import sys
        from CTARucioDIRAC.testbed import dirac_patches
        dirac_patches.start_again([sys.executable, "-c", "print('again')"])
        import DIRAC.Core.scripts.dirac_agent as script
        script.os._exit({status})
        """
    )
    assert (done.stdout.strip(), done.returncode) == (output, code), done.stderr


def read_mark(directory: Path, name: str) -> Any:
    return json.loads(dirac_patches.mark_file(directory, name).read_text())


@pytest.mark.parametrize("result", [{"OK": True}, {"OK": False, "Message": "no Rucio"}])
def test_agents_leave_the_result_of_their_cycle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: dict[str, Any]
) -> None:
    from DIRAC.Core.Base.AgentModule import AgentModule

    monkeypatch.setattr(AgentModule, "am_go", lambda _self: result)
    dirac_patches.mark_cycles(tmp_path)
    agent = Mock()
    agent.am_getModuleParam.return_value = "System/Name"
    assert AgentModule.am_go(agent) is result
    mark = read_mark(tmp_path, "System/Name")
    assert (mark["ok"], mark["message"]) == (result["OK"], result.get("Message", ""))


@pytest.mark.parametrize(
    ("result", "good"),
    [
        ({"OK": True, "Value": {}}, True),
        ({"OK": False, "Errno": 1510, "Message": "No match found"}, True),
        ({"OK": False, "Errno": 1112, "Message": "Connection refused"}, False),
    ],
)
def test_a_worker_is_well_when_the_matcher_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: dict[str, Any], good: bool
) -> None:
    from DIRAC.WorkloadManagementSystem.Agent.JobAgent import JobAgent

    monkeypatch.setattr(JobAgent, "_matchAJob", lambda _self, _descriptions: result)
    dirac_patches.mark_requests(tmp_path, "WorkloadManagement/JobAgent")
    assert JobAgent._matchAJob(Mock(), []) is result
    assert read_mark(tmp_path, "WorkloadManagement/JobAgent")["ok"] is good


def test_executors_leave_a_mark_when_their_mind_takes_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from DIRAC.Core.DISET.MessageClient import MessageClient

    monkeypatch.setattr(MessageClient, "connect", lambda _self, **_: {"OK": True})
    dirac_patches.mark_connection(tmp_path, "WorkloadManagement/Optimizers")
    MessageClient.connect(Mock(), executorTypes=[])
    assert read_mark(tmp_path, "WorkloadManagement/Optimizers")["ok"]


PATCHES = (
    "bind_to_loopback",
    "answer_without_delay",
    "accept_one_at_a_time",
    "submit_tasks_soon",
    "look_at_tasks_soon",
    "release_rescheduled_jobs",
    "cycle_often",
    "ask_for_jobs_steadily",
    "end_what_a_job_left",
    "start_again",
    "mark_cycles",
    "mark_requests",
    "mark_connection",
)


@pytest.mark.parametrize(
    ("kind", "names", "expected"),
    [
        ("service", ["Configuration/Server"], PATCHES[:3]),
        ("service", ["A/B", "Transformation/TransformationManager"], PATCHES[:4]),
        ("agent", ["RequestManagement/CleanReqDBAgent"], ["cycle_often", "mark_cycles"]),
        ("agent", ["Transformation/WorkflowTaskAgent"], ["cycle_often", "look_at_tasks_soon", "mark_cycles"]),
        ("executor", ["WorkloadManagement/Optimizers"], ["release_rescheduled_jobs", "mark_connection"]),
        (
            "worker",
            ["WorkloadManagement/JobAgent"],
            ["cycle_often", "ask_for_jobs_steadily", "end_what_a_job_left", "start_again", "mark_requests"],
        ),
    ],
)
def test_each_process_gets_the_patches_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, names: list[str], expected: list[str]
) -> None:
    called: list[str] = []
    for patch in PATCHES:
        monkeypatch.setattr(dirac_patches, patch, lambda *_, patch=patch: called.append(patch))
    dirac_launcher.apply(kind, tmp_path, names)
    assert sorted(called) == sorted(expected)


def test_each_patch_is_in_the_reference() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "testbed-dirac.md").read_text()
    assert [patch for patch in PATCHES if f"`{patch}`" not in page] == []
