"""The simulated part of the nearline endpoint: a robot with a few drives that archives, recalls and purges.

A drive is held while a cartridge is mounted (``latency`` seconds) and the bytes move. A recall mounts once per file; an
archiving session mounts once and writes what waits. Everything else is real: files move, requests come through
XRootD's prepare interface, and until a file is back nobody can read it.

The robot keeps no state of its own: what to do is read from the files (:mod:`.tape_store`) and from the requests
(:mod:`.tape_spool`), so it can be killed at any time. What it did is appended to a journal, one JSON object per line.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .tape_spool import Request, Spool
from .tape_store import FileState, Interrupted, TapeError, TapeStore

#: Seconds between two looks at the requests.
REQUEST_INTERVAL = 0.2
#: Seconds between two scans of buffer and library (more, if a scan takes long).
SCAN_INTERVAL = 1.0
#: Files that one mounted cartridge takes before the drive is given to somebody else.
SESSION_FILES = 20


@dataclass(frozen=True)
class Settings:
    """Dimensions of the library: drives, seconds from mount to first byte, seconds that unused files stay online."""

    drives: int
    latency: float
    keep_archived: float
    keep_recalled: float


class Journal:
    """What the robot did: one JSON object per line, appended by one process only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def write(self, event: str, **details: Any) -> None:
        """Append one event with the present time."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **details})
        with self._lock, self._path.open("a") as file:
            file.write(line + "\n")


@dataclass
class Work:
    """What waits for a drive; drives take from it, the robot's main loop puts in."""

    recalls: dict[str, list[str]] = field(default_factory=dict)  #: name → identifiers of the requests that want it
    archives: dict[str, None] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)  #: names that a drive works on
    errors: dict[str, dict[str, str]] = field(default_factory=dict)  #: request → name → error text
    archiving: int = 0  #: drives in an archiving session
    condition: threading.Condition = field(default_factory=threading.Condition)
    stopping: bool = False
    failure: Exception | None = None  #: what ended a drive


class Robot:
    """Drives, the loop that feeds them, and the housekeeping.

    Parameters
    ----------
    store, spool, journal
        The endpoint's files, its requests, and where to write what was done.
    settings : Settings
        Dimensions.
    """

    def __init__(self, store: TapeStore, spool: Spool, journal: Journal, settings: Settings) -> None:
        self.store, self.spool, self.journal, self.settings = store, spool, journal, settings
        self.work = Work()

    def run(self, heartbeat: Callable[[dict[str, Any]], None]) -> None:
        """Work until :meth:`stop`; ``heartbeat`` is called with the state after each round."""
        self.store.prepare()
        self.spool.prepare()
        if tidied := self.store.recover():
            self.journal.write("recover", items=tidied)
        drives = [threading.Thread(target=self._drive, args=(number,)) for number in range(self.settings.drives)]
        for drive in drives:
            drive.start()
        next_scan = 0.0
        try:
            while not self.work.stopping:
                self.take_requests()
                if time.monotonic() >= next_scan:
                    started = time.monotonic()
                    self.scan()
                    next_scan = time.monotonic() + max(SCAN_INTERVAL, 10 * (time.monotonic() - started))
                heartbeat(self.status())
                with self.work.condition:
                    self.work.condition.wait_for(lambda: self.work.stopping, timeout=REQUEST_INTERVAL)
        finally:
            self.stop()
            for drive in drives:
                drive.join()
        if self.work.failure:
            raise self.work.failure

    def stop(self) -> None:
        """End the main loop and the drives; copies under way are given up, and made again at the next start."""
        with self.work.condition:
            self.work.stopping = True
            self.work.condition.notify_all()

    def status(self) -> dict[str, Any]:
        """What waits and what is being done."""
        with self.work.condition:
            return {
                "pid": os.getpid(),
                "time": time.time(),
                "recalls": len(self.work.recalls),
                "archives": len(self.work.archives),
                "active": sorted(self.work.active),
            }

    # --- requests

    def take_requests(self) -> None:
        """Put what was newly requested into the queue, take out what was cancelled, evict."""
        requests = {request.identifier: request for request in self.spool.requests()}
        with self.work.condition:
            for request in requests.values():
                if request.identifier not in self.work.errors:
                    self._accept(request)
            for name, wanted_by in list(self.work.recalls.items()):
                for identifier in [one for one in wanted_by if self.spool.cancelled(one, name)]:
                    wanted_by.remove(identifier)
                    self.work.errors[identifier][name] = "the request was cancelled"
                    self._finish_if_done(identifier, requests[identifier].names)
                if not wanted_by:
                    del self.work.recalls[name]
                    self.journal.write("cancel", name=name)
            self.work.errors = {key: value for key, value in self.work.errors.items() if key in requests}
            self.work.condition.notify_all()
        for name in self.spool.evictions():
            self._purge(name, "evict")

    def _accept(self, request: Request) -> None:
        errors = self.work.errors[request.identifier] = {}
        for name in request.names:
            state = self.store.state(name)
            if state is FileState.ABSENT:
                errors[name] = "no such file"
            elif state is FileState.OFFLINE:
                self.work.recalls.setdefault(name, []).append(request.identifier)
            else:
                errors[name] = ""
        self._finish_if_done(request.identifier, request.names)

    def _settle(self, name: str, error: str) -> None:
        """Answer the requests that waited for a file, where it was their last one."""
        with self.work.condition:
            for identifier in self.work.recalls.pop(name, []):
                if identifier in self.work.errors:
                    self.work.errors[identifier][name] = error
                    if request := self.spool.staging(identifier):
                        self._finish_if_done(identifier, request.names)

    def _finish_if_done(self, identifier: str, names: tuple[str, ...]) -> None:
        if all(name in self.work.errors[identifier] for name in names):
            self.spool.finish(identifier, self.work.errors[identifier])

    # --- scanning

    def scan(self) -> None:
        """Find files to archive and to purge, and library copies of files that clients deleted."""
        with self.work.condition:
            known = self.work.active | self.work.archives.keys()
        found = []
        for name, _ in list(self.store.online()):
            if name in known:
                continue
            if self.store.state(name) is FileState.DISK:
                if self.store.complete(name):
                    found.append(name)
            elif (idle := self.store.idle(name)) and idle[0] > self._keep(recalled=idle[1]):
                self._purge(name, "purge")
        with self.work.condition:
            self.work.archives.update(dict.fromkeys(found))
            self.work.condition.notify_all()
        for name in list(self.store.deleted()):
            if name not in self.work.active and self.store.forget(name):
                self.journal.write("delete", name=name)
        for name in list(self.store.lost()):
            with suppress(FileNotFoundError):
                (self.store.buffer / name).unlink()
                self.journal.write("lost", name=name, error="offline, and no copy in the library")
        self.spool.expire()

    def _keep(self, recalled: bool) -> float:
        return self.settings.keep_recalled if recalled else self.settings.keep_archived

    def _purge(self, name: str, event: str) -> None:
        with self.work.condition:
            if name in self.work.recalls or name in self.work.active:
                return
        if self.store.purge(name):
            self.journal.write(event, name=name)

    # --- drives

    def _drive(self, number: int) -> None:
        while True:
            with self.work.condition:
                self.work.condition.wait_for(lambda: self.work.stopping or self._next() is not None)
                task = self._next()
                if self.work.stopping or task is None:
                    return
                kind, name = task
                self._take(kind, name)
            try:
                if kind == "recall":
                    self._recall(number, name)
                else:
                    self._archive(number, name)
            except Interrupted:
                self.journal.write("interrupted", kind=kind, name=name, drive=number)
            except Exception as problem:
                self.work.failure = (
                    problem  # raised again by the main loop: a robot without drives must not look healthy
                )
                self.stop()
                return
            finally:
                with self.work.condition:
                    self.work.archiving -= kind == "archive"
                    self.work.active.discard(name)
                    self.work.condition.notify_all()

    def _next(self) -> tuple[str, str] | None:
        """What a free drive should do: recalls first, but of several drives one may archive."""
        recall = next((name for name in self.work.recalls if name not in self.work.active), None)
        archive = next((name for name in self.work.archives if name not in self.work.active), None)
        if archive and (not recall or (self.settings.drives > 1 and not self.work.archiving)):
            return "archive", archive
        return ("recall", recall) if recall else None

    def _take(self, kind: str, name: str) -> None:
        self.work.active.add(name)
        if kind == "archive":
            self.work.archives.pop(name)
            self.work.archiving += 1

    def _mount(self, number: int, kind: str, wanted: Callable[[], bool]) -> None:
        """Hold the drive until the cartridge is at the first byte; give up when nobody wants it any more."""
        self.journal.write("mount", drive=number, kind=kind)
        with self.work.condition:
            if self.work.condition.wait_for(lambda: not wanted(), timeout=self.settings.latency):
                raise Interrupted

    def _recall(self, number: int, name: str) -> None:
        def wanted() -> bool:
            return not self.work.stopping and bool(self.work.recalls.get(name))

        started, error = time.monotonic(), ""
        requests = list(self.work.recalls.get(name, []))
        self._mount(number, "recall", wanted)
        try:
            size = self.store.recall(name, wanted)
        except TapeError as problem:
            error = str(problem)
            self.journal.write("error", name=name, error=error)
        else:
            seconds = round(time.monotonic() - started, 3)
            self.journal.write("recall", name=name, bytes=size, seconds=seconds, drive=number, requests=requests)
        self._settle(name, error)

    def _archive(self, number: int, first: str) -> None:
        def wanted() -> bool:
            return not self.work.stopping

        self._mount(number, "archive", wanted)
        name: str | None = first
        for _ in range(SESSION_FILES):
            if name is None:
                break
            started = time.monotonic()
            try:
                if (size := self.store.archive(name, wanted)) is not None:
                    seconds = round(time.monotonic() - started, 3)
                    self.journal.write("archive", name=name, bytes=size, seconds=seconds, drive=number)
            except TapeError as problem:
                self.journal.write("error", name=name, error=str(problem))
            with self.work.condition:
                if name != first:
                    self.work.active.discard(name)
                name = next((other for other in self.work.archives if other not in self.work.active), None)
                if name is not None:
                    self.work.archives.pop(name)
                    self.work.active.add(name)


def main() -> None:
    """Entry point: ``tape_robot --buffer … --library … --work … --status FILE [dimensions]``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option in ("buffer", "library", "work", "status"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--drives", type=int, default=2)
    for option in ("latency", "keep-archived", "keep-recalled"):
        parser.add_argument(f"--{option}", type=float, default=2.0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    lock = (options.work / "robot.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"error: another robot serves {options.work}; stop it first.")
    store = TapeStore(options.buffer, options.library, options.work)
    settings = Settings(options.drives, options.latency, options.keep_archived, options.keep_recalled)
    robot = Robot(store, Spool(options.work / "spool"), Journal(options.work / "journal.jsonl"), settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: robot.stop())
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # somebody wants a file on which a lease is tried

    def heartbeat(state: dict[str, Any]) -> None:
        temporary = options.status.with_suffix(".tmp")
        temporary.write_text(json.dumps(state))
        temporary.replace(options.status)

    robot.run(heartbeat)


if __name__ == "__main__":
    main()
