"""What the testbed changes in DIRAC while it starts it, and why. Each change is one function; nothing else is changed.

None of this is part of the product: a DIRAC of an observatory runs unchanged. The same list is in ``docs/reference/testbed-dirac.md``.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import json
import os
import random
import selectors
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

#: Seconds for which the transformation system keeps a new task to itself, instead of 30.
TASK_DELAY = 2
#: Seconds after its last change at which a task or file is looked at again, instead of 600.
LOOK_AGAIN = 5
#: Seconds after which a task whose submission was interrupted is cleared up, instead of 3600.
RESERVED_FOR = 60
#: Seconds for which a rescheduled job is held back, instead of 60, 180, 300 and 600.
RESCHEDULE_DELAY = 0
#: Shortest period of agents and workers, instead of 10.
SHORTEST_PERIOD = 5
#: Agents that follow each other before AgentReactor looks whether one is to stop.
MAX_IN_A_ROW = 10


def bind_to_loopback() -> None:
    """Services listen on 127.0.0.1.

    ServiceReactor binds every interface of the machine, and no option changes that; this stack's certificates and
    passwords are for one machine.
    """
    from DIRAC.Core.DISET.private.Transports.M2SSLTransport import SSLTransport

    original = SSLTransport.initAsServer

    def init_as_server(self: Any) -> Any:
        host, port = self.stServerAddress
        if not host:
            # its sockets are IPv6 ones, so this is how they spell the loopback address
            self.stServerAddress = ("::ffff:127.0.0.1", port)
        return original(self)

    SSLTransport.initAsServer = init_as_server


def answer_without_delay() -> None:
    """Services send at once what they have to send.

    A DISET answer is several small packets; the kernel holds the second back until the first was acknowledged, 40 ms
    later. Accepted connections inherit the setting of the listening socket.
    """
    from DIRAC.Core.DISET.private.Transports.M2SSLTransport import SSLTransport

    original = SSLTransport.initAsServer

    def init_as_server(self: Any) -> Any:
        result = original(self)
        if result["OK"]:
            self.oSocket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return result

    SSLTransport.initAsServer = init_as_server


def accept_one_at_a_time() -> None:
    """No connection is dropped when two services of one process get one each at the same time.

    ServiceReactor accepts a connection for every readable socket but handles only the last: about one call in two
    hundred fails. It is shown one socket at a time; the others stay readable.
    """
    import DIRAC.Core.DISET.ServiceReactor as reactor

    class OneEvent(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            events = super().select(timeout)
            return [random.choice(events)] if len(events) > 1 else events

    reactor.selectors = SimpleNamespace(DefaultSelector=OneEvent, EVENT_READ=selectors.EVENT_READ)


def submit_tasks_soon() -> None:
    """A new task is handed out for submission after 2 s, not 30 s: a hard-coded wait in TransformationManager."""
    import DIRAC.TransformationSystem.Service.TransformationManagerHandler as handler

    handler.datetime = _shorter({datetime.timedelta(seconds=30): TASK_DELAY})


def look_at_tasks_soon() -> None:
    """The task agents look at a task's job 5 s after its last change, not 10 min: hard-coded waits.

    They clear up after an interrupted submission after 1 min, not 1 h.

    The ten minutes also hide a race: a file whose task has no job yet counts as lost and is given to another task,
    so that it is processed twice. Here files wait until their task was submitted, however long that takes.
    """
    import DIRAC.TransformationSystem.Agent.TaskManagerAgentBase as agents
    from DIRAC.TransformationSystem.Client.WorkflowTasks import WorkflowTasks

    agents.datetime = _shorter(
        {datetime.timedelta(minutes=10): LOOK_AGAIN, datetime.timedelta(hours=1): RESERVED_FOR},
    )
    original = WorkflowTasks.getSubmittedFileStatus

    def get_submitted_file_status(self: Any, files: list[dict[str, Any]]) -> Any:
        if not files:
            return original(self, files)
        wanted = {
            "TransformationID": files[0]["TransformationID"],
            "TaskID": sorted({int(file["TaskID"]) for file in files}),
        }
        tasks = self.transClient.getTransformationTasks(wanted)
        if not tasks["OK"]:
            return tasks
        waiting = {int(task["TaskID"]) for task in tasks["Value"] if task["ExternalStatus"] in ("Created", "Reserved")}
        return original(self, [file for file in files if int(file["TaskID"]) not in waiting])

    WorkflowTasks.getSubmittedFileStatus = get_submitted_file_status


def release_rescheduled_jobs() -> None:
    """A rescheduled job is scheduled at once, not held back for 1 to 10 min.

    There is an option for it, but DIRAC compares its texts with a number: the executor fails at each such job, again and
    again, and no other job is scheduled any more.
    """
    from DIRAC.WorkloadManagementSystem.Executor.JobScheduling import JobScheduling

    original = JobScheduling.ex_getOption

    def ex_get_option(name: str, *default: Any) -> Any:
        return [RESCHEDULE_DELAY] if name == "RescheduleDelays" else original(name, *default)

    JobScheduling.ex_getOption = staticmethod(ex_get_option)


def cycle_often() -> None:
    """Agents may begin a cycle every 5 s, the first one at once, and agents of a process that are due follow each other.

    AgentReactor knows no period below 10 s, and sleeps at least half a second after each agent.
    """
    import DIRAC.Core.Base.AgentReactor as reactor
    from DIRAC.Core.Utilities.ThreadScheduler import ThreadScheduler

    class Scheduler(ThreadScheduler):  # type: ignore[misc]
        def __init__(self, enableReactorThread: bool = True, **_: Any) -> None:
            super().__init__(enableReactorThread=enableReactorThread, minPeriod=SHORTEST_PERIOD)

        def addPeriodicTask(self, *arguments: Any, **named: Any) -> Any:
            return super().addPeriodicTask(*arguments, **{**named, "elapsedTime": sys.maxsize})

        def executeNextTask(self) -> Any:
            left = super().executeNextTask()
            for _ in range(MAX_IN_A_ROW):
                if left is None or left > 0:
                    break
                left = super().executeNextTask()
            return left

    reactor.ThreadScheduler = SimpleNamespace(ThreadScheduler=Scheduler)


def ask_for_jobs_steadily() -> None:
    """A worker asks for jobs in every cycle.

    JobAgent waits longer after each request without a job and then ends, for its pilot to end.
    """
    from DIRAC.WorkloadManagementSystem.Agent.JobAgent import JobAgent

    original = JobAgent._checkMatchingIssues

    def check_matching_issues(self: Any, request: Any) -> Any:
        result = original(self, request)
        self.matchFailedCount = 0
        return result

    JobAgent._checkMatchingIssues = check_matching_issues


def end_what_a_job_left() -> None:
    """When a job wrapper has ended, what it had started ends as well, as on the node of a batch system.

    JobAgent notices at once when a wrapper was killed, and has the job run again; the payload would go on beside that.
    """
    import psutil  # type: ignore[import-untyped]
    from DIRAC.Resources.Computing.InProcessComputingElement import InProcessComputingElement

    adopt_orphans()
    original = InProcessComputingElement.submitJob

    def submit_job(self: Any, *arguments: Any, **named: Any) -> Any:
        result = original(self, *arguments, **named)
        left = psutil.Process().children(recursive=True)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        return result

    InProcessComputingElement.submitJob = submit_job


def adopt_orphans() -> None:
    """Become the parent of all descendants whose parent dies, instead of the machine's first process.

    Raises
    ------
    OSError
        When the kernel refuses.
    """
    set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def start_again(command: Sequence[str]) -> None:
    """A JobAgent that ends by itself (a job failed in a way that makes it doubt its machine) starts again.

    On a grid another pilot would come. ``dirac-agent`` ends with ``os._exit(0)``: instead, this process becomes a new
    one with the same number.
    """
    import DIRAC.Core.scripts.dirac_agent as script

    def leave(status: int) -> None:
        if status:
            os._exit(status)
        sys.stdout.flush()
        os.execv(command[0], list(command))

    script.os = SimpleNamespace(_exit=leave, environ=os.environ, path=os.path)


def mark_cycles(directory: Path) -> None:
    """Each agent leaves the result of its last cycle in a file, for the health check of the testbed."""
    from DIRAC.Core.Base.AgentModule import AgentModule

    original = AgentModule.am_go

    def am_go(self: Any) -> Any:
        result = original(self)
        mark(directory, self.am_getModuleParam("fullName"), result)
        return result

    AgentModule.am_go = am_go


def mark_requests(directory: Path, name: str) -> None:
    """A worker leaves what the Matcher answered it, before it runs the job that it may have got."""
    from DIRAC.Core.Utilities import DErrno
    from DIRAC.WorkloadManagementSystem.Agent.JobAgent import JobAgent

    original = JobAgent._matchAJob

    def match_a_job(self: Any, descriptions: Any) -> Any:
        result = original(self, descriptions)
        nothing_to_do = not result["OK"] and DErrno.cmpError(result, DErrno.EWMSNOMATCH)
        mark(directory, name, {"OK": True} if nothing_to_do else result)
        return result

    JobAgent._matchAJob = match_a_job


def mark_connection(directory: Path, name: str) -> None:
    """Executors leave a file when the mind that gives them work has accepted them."""
    from DIRAC.Core.DISET.MessageClient import MessageClient

    original = MessageClient.connect

    def connect(self: Any, **arguments: Any) -> Any:
        result = original(self, **arguments)
        mark(directory, name, result)
        return result

    MessageClient.connect = connect


def mark(directory: Path, name: str, result: dict[str, Any]) -> None:
    """Write what an agent or executor did last: ``<directory>/<System>_<Name>.json``."""
    file = mark_file(directory, name)
    temporary = file.with_suffix(f".{os.getpid()}")
    content = {"pid": os.getpid(), "ok": bool(result["OK"]), "message": str(result.get("Message", ""))}
    temporary.write_text(json.dumps(content))
    temporary.replace(file)


def mark_file(directory: Path, name: str) -> Path:
    """Where the mark of an agent or executor (``System/Name``) is."""
    return directory / f"{name.replace('/', '_')}.json"


def _shorter(waits: dict[datetime.timedelta, int]) -> Any:
    """The datetime module with another timedelta, which makes the given durations shorter and leaves all others."""

    def timedelta(*arguments: float, **named: float) -> datetime.timedelta:
        duration = datetime.timedelta(*arguments, **named)
        return datetime.timedelta(seconds=waits[duration]) if duration in waits else duration

    return _Module(timedelta)


class _Module:
    """Stands for the datetime module in one other module."""

    def __init__(self, timedelta: Callable[..., datetime.timedelta]) -> None:
        self.timedelta = timedelta

    def __getattr__(self, name: str) -> Any:
        return getattr(datetime, name)
