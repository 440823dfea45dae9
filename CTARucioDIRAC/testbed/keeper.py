"""The stack's keeper: renews proxies before they expire, starts again what died, keeps logs from filling the disk.

``python -m CTARucioDIRAC.testbed.keeper STATE_DIRECTORY``. It starts nothing itself: it runs ``cta-rucio-testbed up``
for what is wanted, so that there is one way in which services start, under one lock. The proxies that DIRAC keeps are
looked at by a process that ends, so that DIRAC's modules don't stay in memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from . import certificates, dirac_setup, environment, state
from .layout import ROLES, Layout
from .service import NotReady, Service, TestbedError, running

NAME = "keeper"
#: Seconds between two looks at the services, and between two looks at the proxies.
LOOK_EVERY = 1.0
RENEW_EVERY = 60.0
#: Seconds between two looks at the proxies that DIRAC keeps (the first is `up`'s), and after one that failed.
STORED_EVERY = (3600.0, 60.0)
#: Seconds that such a look may take.
STORED_PATIENCE = 120.0
#: What has to run for it.
STORED_NEEDS = ("mariadb", "dirac-services")
#: Pause after a failed attempt to start something again: doubled each time, up to the second number.
BACK_OFF = (2.0, 60.0)
STALE_AFTER = 30.0
#: Bytes at which a log is shortened.
LOG_LIMIT = 64 * 2**20


def service(layout: Layout) -> Service:
    """The keeper as a service of the stack; it is started last and stopped first."""
    return Service(
        name=NAME,
        argv=[str(layout.bin / "python"), "-m", "CTARucioDIRAC.testbed.keeper", str(layout.root)],
        env=environment.service(layout),
        cwd=layout.root,
        prepare=lambda: _heartbeat(layout).unlink(missing_ok=True),
        healthy=lambda: _healthy(layout),
        deadline=20,
    )


def keep(layout: Layout) -> None:
    """Look after the stack until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    renew_at, stored_at = 0.0, time.monotonic() + STORED_EVERY[0]
    attempt_at, back_off = 0.0, BACK_OFF[0]
    while True:
        state.write_atomically(_heartbeat(layout), json.dumps({"time": time.time()}))
        if time.monotonic() >= renew_at:
            _renew(layout)
            shorten_logs(layout)
            renew_at = time.monotonic() + RENEW_EVERY
        if time.monotonic() >= stored_at:
            stored_at = time.monotonic() + STORED_EVERY[0 if _renew_stored(layout, stop) else 1]
        dead = [name for name in _wanted(layout) if not running(layout, name)]
        if dead and time.monotonic() >= attempt_at and not _others_at_work(layout):
            logging.warning("%s died: starting again", ", ".join(dead))
            if _start_again(layout, dead, stop):
                attempt_at, back_off = 0.0, BACK_OFF[0]
            else:
                attempt_at, back_off = time.monotonic() + back_off, min(back_off * 2, BACK_OFF[1])
        if stop.wait(LOOK_EVERY):
            return


def _renew(layout: Layout) -> None:
    for role in ROLES:
        try:
            certificates.ensure_proxy(layout, role)
        except (TestbedError, OSError):
            logging.exception(
                "the proxy of role %s could not be renewed; the next attempt is in %s s", role, RENEW_EVERY
            )


def _renew_stored(layout: Layout, stop: threading.Event) -> bool:
    """Whether the proxies that DIRAC keeps are good for long; without DIRAC, there are none."""
    if not set(STORED_NEEDS) <= set(_wanted(layout)):
        return True
    command = [str(layout.bin / "python"), "-m", dirac_setup.__name__, str(layout.root)]
    return all(running(layout, name) for name in STORED_NEEDS) and _run(layout, command, stop, STORED_PATIENCE)


def shorten_logs(layout: Layout, limit: int = LOG_LIMIT) -> None:
    """Keep one older copy of a log that has become too large, and go on in an empty one.

    Services have their logs open for appending, so what they write next comes to the new beginning.
    """
    for log in layout.log.glob("*.log"):
        if log.stat().st_size > limit:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


def _start_again(layout: Layout, names: list[str], stop: threading.Event) -> bool:
    command = [str(layout.bin / "python"), "-m", "CTARucioDIRAC.testbed.cli", "up", "--dir", str(layout.root)]
    command += ["--only", ",".join(names)]
    return _run(layout, command, stop)


def _run(layout: Layout, command: list[str], stop: threading.Event, patience: float = float("inf")) -> bool:
    """Run a command, with the heart beating; end it when the keeper is to stop or it takes longer than ``patience`` s."""
    process = subprocess.Popen(command, env=environment.service(layout), stdin=subprocess.DEVNULL)
    end = time.monotonic() + patience
    while process.poll() is None:
        state.write_atomically(_heartbeat(layout), json.dumps({"time": time.time()}))
        if stop.wait(0.5) or time.monotonic() > end:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            return False
    return process.returncode == 0


def _others_at_work(layout: Layout) -> bool:
    """Whether an `up` or `down` is going on, which starts or stops services itself."""
    with (layout.root / state.LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _wanted(layout: Layout) -> list[str]:
    try:
        return list(json.loads((layout.run / "wanted.json").read_text()))
    except FileNotFoundError:
        return []


def _heartbeat(layout: Layout) -> Path:
    return layout.run / f"{NAME}.heartbeat.json"


def _healthy(layout: Layout) -> None:
    try:
        beat = json.loads(_heartbeat(layout).read_text())
    except FileNotFoundError:
        raise NotReady("it has not looked at the services yet") from None
    age = time.time() - beat["time"]
    if age > STALE_AFTER:
        raise NotReady(f"it looked at the services {age:.0f} s ago")


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    keep(state.load(Path(sys.argv[1])))
