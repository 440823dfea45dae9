"""One supervised process: start it, ask it something real, stop exactly it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .layout import Layout


class TestbedError(Exception):
    """Something the user can mend; the message names the object, the cause and the remedy."""

    __test__ = False  # not a test class, whatever its name


class NotReady(Exception):
    """A service does not answer yet; the message says what it answered instead."""


def nothing() -> None:
    """Do nothing: the default of a service's optional steps."""


def no_settings() -> str:
    """Nothing that a service reads from files: the default of :attr:`Service.settings`."""
    return ""


@dataclass(frozen=True)
class Service:
    """One process of the stack.

    Attributes
    ----------
    name : str
        Unique; names the pid record and the log file.
    argv, env, cwd
        The command, its complete environment, and where it starts.
    healthy : callable
        Returns when the service gives a real answer; raises :class:`NotReady` (or any exception) while it does not.
    ports : sequence of int
        Ports it listens on (checked to be free before it starts).
    needs : sequence of str
        Names of the services that must be healthy before this one starts.
    prepare : callable
        Idempotent; writes configuration, makes databases. Runs before the process starts.
    complete : callable
        Idempotent; runs each time after the service became healthy (such as: create RSEs that are missing).
    settings : callable
        What the service reads from generated files when it starts, as this program would write them now. A running one
        that was started with others is started again.
    deadline : float
        Seconds from start to healthy.
    stop_signal, stop_timeout
        How it is asked to stop, and how many seconds later it is killed.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    healthy: Callable[[], None]
    ports: Sequence[int] = ()
    needs: Sequence[str] = ()
    prepare: Callable[[], None] = nothing
    complete: Callable[[], None] = nothing
    settings: Callable[[], str] = no_settings
    deadline: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_timeout: float = 10.0


@dataclass(frozen=True)
class ProcessId:
    """A pid that cannot be mistaken for a later process with the same number."""

    pid: int
    start_ticks: int = field(default=0)

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The identity of a running process, or None when it is gone (a zombie is gone)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        fields = stat[stat.rindex(")") + 2 :].split()
        return None if _gone(fields) else cls(pid, int(fields[19]))

    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        return self == ProcessId.of(self.pid)


def _gone(fields: Sequence[str]) -> bool:
    """Whether a process, given by ``stat``'s fields from its state on, has ended; its first thread may end before others."""
    return fields[0] in "ZX" and int(fields[17]) <= 1


def halted(layout: Layout, name: str) -> bool:
    """Whether the process of this service was stopped with SIGSTOP (or by a debugger), and does nothing."""
    process = running(layout, name)
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{process.pid}/stat").read_text(errors="replace") if process else ""
        return stat[stat.rfind(")") + 2 :].startswith(("T", "t"))
    return False


def _record(layout: Layout, name: str) -> Path:
    return layout.run / f"{name}.pid.json"


def recorded(layout: Layout, name: str) -> ProcessId | None:
    """The process last started under this name, running or not."""
    try:
        record = json.loads(_record(layout, name).read_text())
        if record["boot"] != _boot():
            return None  # the machine was started anew: the number belongs to nobody, or to somebody else
        return ProcessId(record["pid"], record["start_ticks"])
    except (OSError, ValueError, KeyError):
        return None


def running(layout: Layout, name: str) -> ProcessId | None:
    """The process of this service if it runs, else None."""
    process = recorded(layout, name)
    return process if process and process.alive() else None


def check_ports_free(who: str, ports: Iterable[int]) -> None:
    """Raise an error that names the first port on which somebody listens.

    Parameters
    ----------
    who : str
        Who needs the ports, for the message.
    ports : iterable of int
        Ports of 127.0.0.1.

    Raises
    ------
    TestbedError
        When one of them cannot be bound.
    """
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise TestbedError(
                    f"{who}: port {port} is in use ({error.strerror}) by a process that this stack did not start. "
                    "Stop that process (`ss -ltnp` shows it), or bring up a stack with another --dir and --port-base."
                ) from error


def start(layout: Layout, service: Service) -> ProcessId:
    """Start the service unless it runs already; returns at once, see :func:`wait_healthy`."""
    if process := running(layout, service.name):
        return process
    _end_orphans(layout, service.name)
    check_ports_free(service.name, service.ports)
    service.prepare()
    log = layout.log / f"{service.name}.log"
    record, digest = _record(layout, service.name), _digest(service)
    with log.open("ab") as output:
        output.write(f"--- start {time.strftime('%Y-%m-%dT%H:%M:%S')}\n".encode())
        child = subprocess.Popen(
            ["/bin/sh", "-c", _RECORD_AND_EXEC, "sh", str(record), digest, *service.argv],
            env=dict(service.env),
            cwd=service.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process = ProcessId.of(child.pid) or ProcessId(child.pid)
    temporary = record.with_suffix(".tmp")
    content = {"pid": process.pid, "start_ticks": process.start_ticks, "boot": _boot(), "digest": digest}
    temporary.write_text(json.dumps(content))
    temporary.replace(record)
    return process


def outdated(layout: Layout, service: Service) -> bool:
    """Whether the service runs with another command, environment or settings than it would be started with now."""
    if not running(layout, service.name):
        return False
    try:
        known = json.loads(_record(layout, service.name).read_text())
    except (OSError, ValueError):
        return False
    return bool(known.get("digest") != _digest(service))


def _digest(service: Service) -> str:
    content = [list(service.argv), sorted(service.env.items()), service.settings()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


# The process records itself before it becomes the service: if whoever starts it is killed, it is known all the same.
# Both write the same record, so it doesn't matter who is first.
_RECORD_AND_EXEC = """
record=$1; digest=$2; shift 2
ticks=$(read -r line </proc/$$/stat; set -- ${line##*) }; shift 19; echo $1)
read -r boot </proc/sys/kernel/random/boot_id
echo "{\\"pid\\": $$, \\"start_ticks\\": $ticks, \\"boot\\": \\"$boot\\", \\"digest\\": \\"$digest\\"}" \
    >"$record.$$" && mv "$record.$$" "$record"
exec "$@"
"""


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


_TELLING = re.compile(r"error|exception|fatal|traceback|refused|denied|cannot|can't|no such|full|failed", re.IGNORECASE)


def telling_lines(log: Path, count: int = 12) -> str:
    """The last lines of a log that look like a cause; without any, its last lines."""
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()[-400:]
        last_start = max((i for i, line in enumerate(lines) if line.startswith("--- start ")), default=-1)
        lines = lines[last_start + 1 :]
        chosen = [line for line in lines if _TELLING.search(line)][-count:] or lines[-count:]
        return "\n".join(f"    {line[:300]}" for line in chosen)
    return "    (no log)"


def wait_healthy(layout: Layout, service: Service) -> None:
    """Wait until the service answers; fail with its log's telling lines when it dies or the deadline passes."""
    end = time.monotonic() + service.deadline
    log = layout.log / f"{service.name}.log"
    pause = 0.05
    while True:
        try:
            service.healthy()
            return
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        if not running(layout, service.name):
            raise TestbedError(f"{service.name} stopped while starting. From {log}:\n{telling_lines(log)}")
        if time.monotonic() > end:
            raise TestbedError(
                f"{service.name} does not answer after {service.deadline:.0f} s ({answer}). From {log}:\n{telling_lines(log)}"
            )
        time.sleep(pause)  # between two questions; the condition is the answer
        pause = min(pause * 1.5, 0.5)


def stop(layout: Layout, name: str, stop_signal: int = signal.SIGTERM, timeout: float = 10.0) -> bool:
    """Stop the recorded process and all that it started; True if it ran."""
    process = running(layout, name)
    started: list[ProcessId] = []
    if process:
        started = family(process)
        _signal(process, stop_signal)
        _signal(process, signal.SIGCONT)  # a stopped process hears of nothing else
        end = time.monotonic() + timeout
        while process.alive() and time.monotonic() < end:
            time.sleep(0.05)  # until the process is gone or the deadline passes
    if leader := recorded(layout, name):
        _kill(lambda: {*family(leader), *(member for member in started if member.alive())})
    _record(layout, name).unlink(missing_ok=True)
    return process is not None


def _signal(process: ProcessId, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _end_orphans(layout: Layout, name: str) -> None:
    """Kill what a service had started and what outlives it (its parent was killed)."""
    if leader := recorded(layout, name):
        _kill(lambda: set(family(leader)))


def _kill(processes: Callable[[], set[ProcessId]], patience: float = 5.0) -> None:
    end = time.monotonic() + patience
    while (alive := processes()) and time.monotonic() < end:
        for process in alive:
            _signal(process, signal.SIGKILL)
        time.sleep(0.02)  # until they are gone or the deadline passes


def family(leader: ProcessId) -> list[ProcessId]:
    """The running processes of the session that this process leads or led, and their descendants.

    As long as one of the session runs, the kernel gives the leader's number to no other process; so a process that has
    the number, but started at another time, proves that there are none.
    """
    now = ProcessId.of(leader.pid)
    if now and now != leader:
        return []
    children: dict[int, list[ProcessId]] = {}
    members: list[ProcessId] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = (entry / "stat").read_text(errors="replace")
            fields = stat[stat.rindex(")") + 2 :].split()
            process = ProcessId(int(entry.name), int(fields[19]))
            if _gone(fields) or process.pid == os.getpid():
                continue
            children.setdefault(int(fields[1]), []).append(process)
            if int(fields[3]) == leader.pid and process.start_ticks >= leader.start_ticks:
                members.append(process)
    for member in members:  # grows while it is walked
        members += [child for child in children.get(member.pid, []) if child not in members]
    return members
