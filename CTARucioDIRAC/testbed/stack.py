"""The whole stack: which services there are, how they come up side by side, and how they go down."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import certificates, dirac, environment, keeper, mariadb, rucio, state, transfer, xrootd
from .layout import ROLES, Layout
from .service import Service, TestbedError, halted, outdated, running, start, stop, wait_healthy

#: Told about each step: name of the service (or of a step before the services) and what is going on with it.
Report = Callable[[str, str], None]

GROUPS: Mapping[str, Callable[[Layout], list[Service]]] = {
    "rucio": rucio.services,
    "storage": lambda layout: [*xrootd.services(layout), *transfer.services(layout)],
    "dirac": lambda layout: [*mariadb.services(layout), *dirac.services(layout)],
}
#: How a report begins that a running service is started again; the reason follows.
RESTART = "restart"
HALTED = "somebody stopped its process (SIGSTOP)"
#: How long an `up` or `down` waits for another one that is at work on the same state directory.
LOCK_PATIENCE = 300.0


def all_services(layout: Layout) -> dict[str, Service]:
    """Every service of the stack but its keeper, by name."""
    return {
        service.name: dataclasses.replace(service, prepare=_one_at_a_time(group, service.prepare))
        for group, services in GROUPS.items()
        for service in services(layout)
    }


_PREPARING = {group: threading.Lock() for group in GROUPS}


def _one_at_a_time(group: str, prepare: Callable[[], None]) -> Callable[[], None]:
    """Services of a group write some files in common: they prepare one after the other."""

    def prepare_alone() -> None:
        with _PREPARING[group]:
            prepare()

    return prepare_alone


def select(layout: Layout, only: Iterable[str] = ()) -> dict[str, Service]:
    """The named services or groups (all, if none is named), with the services that they need.

    Raises
    ------
    TestbedError
        When a name is neither a group nor a service.
    """
    services = all_services(layout)
    groups = {group: [service.name for service in members(layout)] for group, members in GROUPS.items()}
    chosen: dict[str, Service] = {}

    def choose(name: str) -> None:
        if name not in chosen:
            for needed in services[name].needs:
                choose(needed)
            chosen[name] = services[name]

    for name in list(only) or list(groups):
        if name not in groups and name not in services:
            raise TestbedError(
                f"no service {name!r}; groups are {', '.join(groups)}; services are {', '.join(services)}."
            )
        for member in groups.get(name, [name]):
            choose(member)
    return chosen


def wanted(layout: Layout) -> list[str]:
    """Names of the services that were brought up and not taken down since, whether they run or not."""
    try:
        return list(json.loads((layout.run / "wanted.json").read_text()))
    except FileNotFoundError:
        return []


def up(layout: Layout, only: Sequence[str] = (), report: Report = lambda _name, _what: None) -> None:
    """Start what does not run, in the order of needs, side by side where that allows; return when all is healthy.

    Parameters
    ----------
    layout : Layout
        A state directory made by :func:`state.create`.
    only : sequence of str
        Groups or services; all when empty. What they need comes with them.
    report : callable
        Told about each step.

    Raises
    ------
    TestbedError
        The first thing that went wrong. What runs stays; another `up` goes on from there.
    """
    with locked(layout, report):
        state.check_disk(layout.root)
        report("certificates", "start")
        certificates.ensure(layout)
        for role in ROLES:
            certificates.ensure_proxy(layout, role)
        environment.prepare_clients(layout)
        report("certificates", "ready")
        services, selected = all_services(layout), select(layout, only)
        names = [name for name in services if name in {*wanted(layout), *selected}]
        state.write_atomically(layout.run / "wanted.json", json.dumps(names))
        _stop_strangers(layout, services, report)  # fewer workers than before, say
        _in_order(selected, lambda service: _bring_up(layout, service, report))
        _bring_up(layout, keeper.service(layout), report)


def down(layout: Layout, report: Report = lambda _name, _what: None) -> None:
    """Stop what was started, and only that: the keeper first, then each service after those that need it."""
    stop(layout, keeper.NAME)  # before taking the lock: an `up` of the keeper's would hold it
    with locked(layout, report):
        stop(layout, keeper.NAME)
        (layout.run / "wanted.json").unlink(missing_ok=True)
        services = all_services(layout)
        recorded = {path.name.removesuffix(".pid.json") for path in layout.run.glob("*.pid.json")}
        dependants = {name: [s.name for s in services.values() if name in s.needs] for name in services}

        def take_down(service: Service) -> None:
            if service.name in recorded:
                ran = stop(layout, service.name, service.stop_signal, service.stop_timeout)
                report(service.name, "stopped" if ran else "did not run")

        _in_order(services, take_down, dependants)
        _stop_strangers(layout, services, report)


@contextlib.contextmanager
def locked(layout: Layout, report: Report = lambda _name, _what: None) -> Iterator[None]:
    """Hold the state directory's lock: one `up` or `down` at a time.

    Raises
    ------
    TestbedError
        When another process holds it for longer than :data:`LOCK_PATIENCE`.
    """
    path = layout.root / state.LOCK
    end = time.monotonic() + LOCK_PATIENCE
    told = False
    with path.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TestbedError(
                        f"another `up` or `down` has been at work on {layout.root} for {LOCK_PATIENCE:.0f} s. "
                        f"Wait for it, or end it (`fuser {path}` shows its pid) and try again."
                    ) from None
                if not told:
                    report("lock", "waiting for another up or down of this state directory")
                    told = True
            time.sleep(0.1)  # until the lock is free or the deadline passes
        yield


def _stop_strangers(layout: Layout, services: Mapping[str, Service], report: Report) -> None:
    """Stop what was started with other options, or by another version of this program, and is no service any more."""
    for path in sorted(layout.run.glob("*.pid.json")):
        name = path.name.removesuffix(".pid.json")
        if name not in services and name != keeper.NAME and stop(layout, name):
            report(name, "stopped")


def _bring_up(layout: Layout, service: Service, report: Report) -> None:
    ran = running(layout, service.name) is not None
    report(service.name, "check" if ran else "start")
    if ran and (reason := _why_restart(layout, service)):
        report(service.name, f"{RESTART}: {reason}")
        stop(layout, service.name, service.stop_signal, service.stop_timeout)
    start(layout, service)
    wait_healthy(layout, service)
    service.complete()
    report(service.name, "ready")


def _why_restart(layout: Layout, service: Service) -> str:
    """Why a running service has to be a new process, or nothing."""
    if outdated(layout, service):
        return "its command or its settings have changed"
    if halted(layout, service.name):
        return HALTED
    try:
        service.healthy()
        return ""
    except Exception as error:
        # it may still be starting; if it is hung instead, only a new process helps
        return "" if _recovers(service) else f"{type(error).__name__}: {error}"


def _recovers(service: Service) -> bool:
    end = time.monotonic() + min(service.deadline, 15.0)
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            service.healthy()
            return True
        time.sleep(0.2)  # between two questions; the condition is the answer
    return False


def _in_order(
    services: Mapping[str, Service],
    action: Callable[[Service], None],
    before: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Act on all services side by side, on each after those before it (by default: those that it needs)."""
    done = {name: threading.Event() for name in services}
    failures: list[TestbedError] = []

    def run(service: Service) -> None:
        try:
            for name in before[service.name] if before is not None else service.needs:
                if name in done:
                    done[name].wait()
            if not failures:
                action(service)
        except TestbedError as error:
            failures.append(error)
        except Exception as error:
            failures.append(TestbedError(f"{service.name}: {type(error).__name__}: {error}"))
            failures[-1].__cause__ = error
        finally:
            done[service.name].set()

    with ThreadPoolExecutor(max_workers=max(1, len(services))) as pool:
        for service in services.values():
            pool.submit(run, service)
    if failures:
        raise failures[0]


def remove(layout: Layout) -> None:
    """Delete the state directory of a stack that is down.

    Raises
    ------
    TestbedError
        When a process of the stack still runs, or the directory is not a testbed's.
    """
    if not state.is_testbed(layout.root):
        raise TestbedError(f"{layout.root} holds no testbed: nothing was deleted.")
    names = [path.name.removesuffix(".pid.json") for path in layout.run.glob("*.pid.json")]
    if alive := [name for name in names if running(layout, name)]:
        raise TestbedError(f"{', '.join(alive)} still run: run `cta-rucio-testbed down --dir {layout.root}` first.")
    # the mark goes last: a reset that was interrupted can be repeated
    for entry in sorted(layout.root.iterdir(), key=lambda path: path.name == state.FILE):
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    with contextlib.suppress(OSError):
        Path(layout.root).rmdir()  # somebody may have made it beforehand, in a directory that we can't change
