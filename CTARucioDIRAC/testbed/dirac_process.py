"""What all DIRAC processes of the testbed have in common: how they are launched, and the evidence that they work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import environment
from .dirac_launcher import MODULE
from .dirac_patches import mark_file
from .layout import Layout
from .service import NotReady, Service, no_settings, nothing, running

#: Seconds after which an agent that has not ended a cycle counts as hung.
STALE_AFTER = 300.0
NEVER = float("inf")


def process(
    layout: Layout,
    name: str,
    kind: str,
    members: Sequence[str],
    *,
    instance: str = "server",
    variables: dict[str, str] | None = None,
    options: Sequence[str] = (),
    needs: Sequence[str] = (),
    ports: Sequence[int] = (),
    healthy: Callable[[], None] | None = None,
    prepare: Callable[[], None] = nothing,
    complete: Callable[[], None] = nothing,
    settings: Callable[[], str] = no_settings,
    deadline: float = 90.0,
    stop_timeout: float = 5.0,
) -> Service:
    """One DIRAC process, to be supervised.

    Parameters
    ----------
    layout : Layout
        The stack.
    name : str
        Name of the service.
    kind : str
        One of the launcher's kinds: service, executor, agent, worker.
    members : sequence of str
        What runs in it, as ``System/Name``.
    instance : str
        Whose ``dirac.cfg`` it reads.
    variables : dict, optional
        More variables of its environment.
    options : sequence of str
        Options for DIRAC's command.
    healthy : callable, optional
        By default: each member has left the mark of a good cycle since the process started.
    needs, ports, prepare, complete, settings, deadline, stop_timeout
        As in :class:`Service`.
    """
    root = layout.dirac_root(instance)

    def make_ready() -> None:
        for directory in (root / "work", marks(layout, name)):
            directory.mkdir(parents=True, exist_ok=True)
        prepare()

    return Service(
        name=name,
        argv=[str(layout.bin / "python"), "-m", MODULE, kind, str(marks(layout, name)), *members, *options],
        env=environment.service(layout, DIRAC_ROOT_PATH=str(root), **(variables or {})),
        cwd=root / "work",
        ports=ports,
        needs=needs,
        prepare=make_ready,
        healthy=healthy or (lambda: check_marks(layout, name, members, STALE_AFTER if kind == "agent" else NEVER)),
        complete=complete,
        settings=settings,
        deadline=deadline,
        stop_timeout=stop_timeout,
    )


def marks(layout: Layout, name: str) -> Path:
    """Directory of the marks that the agents or executors of a process leave."""
    return layout.run / "dirac" / name


def check_marks(layout: Layout, name: str, members: Sequence[str], stale_after: float = NEVER) -> None:
    """Return if each agent or executor of a process has worked since the process started.

    Parameters
    ----------
    layout : Layout
        The stack.
    name : str
        The process's service name.
    members : sequence of str
        What runs in it.
    stale_after : float
        Seconds after which a mark is too old; executors and workers make one when they begin to work only.

    Raises
    ------
    NotReady
        When one has not, or its last cycle failed; says which, and DIRAC's reason.
    """
    supervised = running(layout, name)
    for member in members:
        file = mark_file(marks(layout, name), member)
        try:
            mark, age = json.loads(file.read_text()), time.time() - file.stat().st_mtime
        except (OSError, ValueError):
            mark, age = {}, 0.0
        if supervised is None or mark.get("pid") != supervised.pid:
            raise NotReady(f"{member} has not done its first cycle")
        if age > stale_after:
            raise NotReady(f"{member} has not ended a cycle for {age:.0f} s")
        if not mark["ok"]:
            raise NotReady(f"the last cycle of {member} failed: {mark['message']}")
