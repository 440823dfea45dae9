"""Requests to the tape robot, on disk: whoever is killed, what was asked for stays asked for.

The prepare program writes (:meth:`Spool.stage`, :meth:`Spool.cancel`, :meth:`Spool.evict`), the robot reads and answers
(:meth:`Spool.finish`). One file per message, each written in one step.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

#: An unknown request counts as on its way for so many seconds: XRootD queues calls of the prepare program.
GRACE = 15.0
#: How long answers to finished requests are kept, in seconds.
KEEP = 24 * 3600.0


@dataclass(frozen=True)
class Request:
    """One stage request: its identifier, when it came, and which files it wants."""

    identifier: str
    time: float
    names: tuple[str, ...]


@dataclass(frozen=True)
class Spool:
    """A directory of messages between the prepare program and the robot."""

    directory: Path

    def prepare(self) -> None:
        """Make the directories."""
        for name in ("stage", "cancel", "evict", "done", "seen"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)

    def stage(self, identifier: str, names: Sequence[str]) -> None:
        """Ask for files to be brought online; repeating it changes nothing."""
        if not self._file("done", identifier).exists():
            _write(self._file("stage", identifier), {"id": identifier, "time": time.time(), "names": list(names)})

    def cancel(self, identifier: str, names: Sequence[str] = ()) -> None:
        """Take a stage request back, or some of its files; it may also not have arrived yet."""
        part = self._file("cancel", f"{identifier}.{uuid.uuid4().hex}")
        _write(part, {"id": identifier, "time": time.time(), "names": list(names)})

    def evict(self, names: Sequence[str]) -> None:
        """Ask for archived files to leave the buffer now."""
        _write(self.directory / "evict" / f"{uuid.uuid4().hex}.json", {"names": list(names)})

    def staging(self, identifier: str) -> Request | None:
        """The request, if it is not finished yet."""
        record = _read(self._file("stage", identifier))
        return _request(record) if record else None

    def cancelled(self, identifier: str, name: str) -> bool:
        """Whether a file of a request, or all of it, was taken back."""
        parts = (self.directory / "cancel").glob(f"{quote(identifier, safe='')}.*.json")
        records = [record for part in parts if (record := _read(part))]
        return any(not record["names"] or name in record["names"] for record in records)

    def answer(self, identifier: str) -> Mapping[str, str] | None:
        """Error text per name (empty: it was brought online) of a finished request, else None."""
        record = _read(self._file("done", identifier))
        return record["errors"] if record else None

    def awaited(self, identifier: str) -> bool:
        """Whether an unknown request may still be on its way; asked again later than :data:`GRACE`, it may not."""
        marker = self._file("seen", identifier)
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            return True
        except FileExistsError:
            with suppress(FileNotFoundError):
                return time.time() - marker.stat().st_mtime < GRACE
            return False

    def requests(self) -> list[Request]:
        """What waits to be staged, oldest first, also what was cancelled."""
        found = [_request(record) for record in self._records("stage")]
        return sorted(found, key=lambda request: request.time)

    def evictions(self) -> Iterator[str]:
        """Names to evict; a message is gone once its names were taken."""
        for path in (self.directory / "evict").glob("*.json"):
            if record := _read(path):
                yield from record["names"]
            path.unlink(missing_ok=True)

    def finish(self, identifier: str, errors: Mapping[str, str]) -> None:
        """Answer a stage request."""
        _write(self._file("done", identifier), {"id": identifier, "time": time.time(), "errors": dict(errors)})
        self._file("stage", identifier).unlink(missing_ok=True)

    def expire(self) -> None:
        """Delete answers and markers that nobody will ask for any more."""
        for name in ("cancel", "done", "seen"):
            for path in (self.directory / name).iterdir():
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > KEEP:
                        path.unlink()

    def _file(self, kind: str, identifier: str) -> Path:
        return self.directory / kind / f"{quote(identifier, safe='')}.json"

    def _records(self, kind: str) -> Iterator[dict[str, Any]]:
        for path in (self.directory / kind).glob("*.json"):
            if record := _read(path):
                yield record


def _request(record: Mapping[str, Any]) -> Request:
    return Request(record["id"], record["time"], tuple(record["names"]))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return record


def _write(path: Path, record: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    with temporary.open("w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
