"""What runs, how it is, and what it takes: the state of a stack as plain data."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillAsking
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import keeper, stack
from .layout import RSES, TAPE, Layout
from .service import ProcessId, Service, family, halted, recorded, running

#: Seconds that all services together have to answer.
PATIENCE = 30.0


@dataclass(frozen=True)
class ServiceStatus:
    """One service: whether it runs, whether it answers, what it takes.

    Attributes
    ----------
    name, pid, ports
        ``pid`` is None when it does not run.
    processes : list of int
        The pids of its session and their descendants: its own and those of what it started.
    memory : int or None
        Proportional set size of these processes in bytes; None when it cannot be read.
    wanted : bool
        Whether it was brought up (and not taken down since).
    health : str
        ``healthy``, ``unhealthy``, ``dead`` (wanted, but not running) or ``down``.
    reason : str
        Why it is not healthy.
    """

    name: str
    pid: int | None
    ports: list[int]
    processes: list[int]
    memory: int | None
    wanted: bool
    health: str
    reason: str


def collect(layout: Layout) -> dict[str, Any]:
    """The whole state of a stack, as ``status --json`` prints it.

    Returns
    -------
    dict
        ``directory``, ``healthy`` (whether all that is wanted is, and something is), ``memory`` (bytes), ``services``
        and ``rses``.
    """
    services = [*stack.all_services(layout).values(), keeper.service(layout)]
    names = stack.wanted(layout)
    names += [keeper.NAME] if names else []
    pool = ThreadPoolExecutor(max_workers=16)
    answers = {service.name: pool.submit(_ask, layout, service) for service in services}
    with contextlib.suppress(StillAsking):
        for answer in answers.values():
            answer.exception(timeout=PATIENCE)
    pool.shutdown(wait=False, cancel_futures=True)
    found = [_status(layout, service, service.name in names, answers) for service in services]
    return {
        "directory": str(layout.root),
        "environment": str(layout.prefix),
        "port_base": layout.port_base,
        "healthy": bool(names) and all(status.health == "healthy" for status in found if status.wanted),
        "memory": sum(status.memory or 0 for status in found),
        "services": [asdict(status) for status in found],
        "rses": [describe_rse(layout, rse) for rse in RSES],
    }


def describe_rse(layout: Layout, rse: str) -> dict[str, Any]:
    """Name, type, site, protocols and local directory of a storage element."""
    schemes = ("root",) if rse == TAPE else ("root", "davs")
    return {
        "name": rse,
        "type": "TAPE" if rse == TAPE else "DISK",
        "site": RSES[rse],
        "port": layout.port(rse),
        "directory": str(layout.storage(rse)),
        "protocols": [{"scheme": s, "url": f"{s}://localhost:{layout.port(rse)}//"} for s in schemes],
    }


def memory_of(processes: list[int]) -> int | None:
    """Proportional set size of processes in bytes; None when none of them can be read."""
    total, seen = 0, False
    for pid in processes:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
            seen = True
    return total if seen else None


def _ask(layout: Layout, service: Service) -> None:
    if running(layout, service.name):
        service.healthy()


def _status(layout: Layout, service: Service, wanted: bool, answers: Mapping[str, Future[None]]) -> ServiceStatus:
    process = running(layout, service.name)
    members = [member.pid for member in family(process)] if process else []
    health, reason = _health(process, wanted, answers[service.name])
    if process and halted(layout, service.name):
        health, reason = "unhealthy", f"{stack.HALTED}; `up` starts it again"
    if health == "dead" and recorded(layout, service.name) is None:
        reason = "it was not started yet: `up` did not get so far"
    return ServiceStatus(
        name=service.name,
        pid=process.pid if process else None,
        ports=list(service.ports),
        processes=members,
        memory=memory_of(members),
        wanted=wanted,
        health=health,
        reason=reason,
    )


def _health(process: ProcessId | None, wanted: bool, answer: Future[None]) -> tuple[str, str]:
    if process is None:
        return ("dead", "its process is gone; `up` starts it again") if wanted else ("down", "")
    if not answer.done():
        return "unhealthy", f"no answer within {PATIENCE:.0f} s"
    if error := answer.exception():
        return "unhealthy", f"{type(error).__name__}: {error}"
    return "healthy", ""
