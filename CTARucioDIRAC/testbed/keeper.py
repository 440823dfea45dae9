"""The stack's keeper: renews proxies before they expire, starts again what died, keeps logs from filling the disk.

``python -m CTARucioDIRAC.testbed.keeper STATE_DIRECTORY``. It starts nothing itself: it runs ``cta-rucio-testbed up``
for what is wanted, so that there is one way in which services start, under one lock.
"""

from __future__ import annotations

import contextlib
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

from . import certificates, environment, state
from .layout import ROLES, Layout
from .service import NotReady, Service, TestbedError, running

NAME = "keeper"
#: Seconds between two looks at the services, and between two looks at the proxies.
LOOK_EVERY = 1.0
RENEW_EVERY = 60.0
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
    renew_at = 0.0
    attempt_at, back_off = 0.0, BACK_OFF[0]
    while True:
        state.write_atomically(_heartbeat(layout), json.dumps({"time": time.time()}))
        if time.monotonic() >= renew_at:
            _renew(layout)
            shorten_logs(layout)
            renew_at = time.monotonic() + RENEW_EVERY
        dead = [name for name in _wanted(layout) if not running(layout, name)]
        if dead and time.monotonic() >= attempt_at:
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
    process = subprocess.Popen(command, env=environment.service(layout), stdin=subprocess.DEVNULL)
    while process.poll() is None:
        state.write_atomically(_heartbeat(layout), json.dumps({"time": time.time()}))
        if stop.wait(0.5):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            return False
    return process.returncode == 0


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
