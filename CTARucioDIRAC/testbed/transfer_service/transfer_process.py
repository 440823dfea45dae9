"""A worker: one task at a time, each a conversation with storage through gfal2.

It reads tasks from standard input and answers on standard output, one JSON object per line. It keeps nothing: whoever
kills it loses at most the task at hand. It ends with its parent.

Tasks (``op``): ``copy``, ``stage``, ``poll_stage``, ``poll_archive``, ``abort``, ``remove``. An answer has ``result``, or
``failure`` with phase, code and message. Before the first byte is written, ``copy`` says ``prepared`` and waits for
``go``: so the parent knows whose the destination is, even if both are killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import gfal2  # type: ignore[import-not-found]  # a compiled module without types

_PR_SET_PDEATHSIG = 1
_MISSING = 2
_EXISTS = 17
_IO_ERROR = 5
_NO_MEDIUM = 123


class TaskFailure(Exception):
    """Why a task failed; ``permanent`` is None where code and message must tell."""

    def __init__(self, phase: str, code: int, message: str, permanent: bool | None = None) -> None:
        super().__init__(message)
        self.phase, self.code, self.message, self.permanent = phase, code, message, permanent


class Conversation:
    """Lines from and to the parent; whatever libraries print goes to standard error."""

    def __init__(self) -> None:
        self._output: TextIO = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def say(self, **message: Any) -> None:
        """Send one message."""
        self._output.write(json.dumps(message) + "\n")
        self._output.flush()

    def hear(self) -> dict[str, Any] | None:
        """The next message, or None when the parent is gone."""
        line = sys.stdin.readline()
        return json.loads(line) if line else None


def context(proxy: str) -> Any:
    """A gfal2 context that acts with a proxy and moves bytes only between the two storages."""
    made = gfal2.creat_context()
    made.set_opt_string("X509", "CERT", proxy)
    made.set_opt_string("X509", "KEY", proxy)
    made.set_opt_boolean("HTTP PLUGIN", "ENABLE_STREAM_COPY", False)
    made.set_opt_boolean("HTTP PLUGIN", "RETRIEVE_BEARER_TOKEN", True)
    return made


def _guarded(phase: str, function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except gfal2.GError as error:
        raise TaskFailure(phase, error.code, str(error.message).strip()) from error


def _size(gfal: Any, phase: str, url: str) -> int | None:
    """Size of a file, or None if there is none."""
    try:
        return int(gfal.stat(url).st_size)
    except gfal2.GError as error:
        if error.code == _MISSING:
            return None
        raise TaskFailure(phase, error.code, str(error.message).strip()) from error


def _on_tape(gfal: Any, url: str) -> tuple[bool, bool]:
    """Whether a file is on disk and on tape; storage that cannot say so has it on disk only."""
    try:
        status = gfal.getxattr(url, "user.status").strip().rstrip("\0")
    except gfal2.GError:
        return True, False
    return "ONLINE" in status, "NEARLINE" in status


def _checksum(gfal: Any, phase: str, url: str, algorithm: str) -> str:
    return _normal(_guarded(phase, gfal.checksum, url, algorithm))


def _normal(value: str) -> str:
    """Checksums are compared without leading zeros, which not every storage writes."""
    return value.strip().rstrip("\0").lower().lstrip("0")


def _expected(task: Mapping[str, Any]) -> tuple[str, str]:
    """Algorithm and value from ``ALGORITHM:value``."""
    algorithm, _, value = str(task.get("checksum") or "").partition(":")
    return (algorithm or "adler32").lower(), _normal(value)


def check_source(gfal: Any, task: Mapping[str, Any]) -> int:
    """Size of the source, after size and checksum were found to be the expected ones."""
    url, phase = task["source"], "SOURCE"
    size = _size(gfal, phase, url)
    if size is None:
        raise TaskFailure(phase, _MISSING, f"No such file or directory: {url}", permanent=True)
    if task["filesize"] and size != task["filesize"]:
        message = f"Source file has {size} bytes, not the {task['filesize']} of the submission"
        raise TaskFailure(phase, _IO_ERROR, message, permanent=True)
    if url.startswith(("root:", "xroot:")) and not _on_tape(gfal, url)[0]:
        raise TaskFailure(phase, _NO_MEDIUM, f"No medium found: {url} is only on tape")
    algorithm, value = _expected(task)
    if value and task["verify"] in ("both", "source"):
        found = _checksum(gfal, phase, url, algorithm)
        if found != value:
            message = f"Source checksum is {algorithm}:{found}, not the submission's {algorithm}:{value}"
            raise TaskFailure(phase, _IO_ERROR, message, permanent=True)
    return size


def complete(gfal: Any, task: Mapping[str, Any], size: int) -> str:
    """Compare the destination with what was asked for; returns what is wrong, or nothing."""
    url, phase = task["destination"], "DESTINATION"
    found = _size(gfal, phase, url)
    if found != size:
        return f"Destination file has {found} bytes, not {size}"
    if task["verify"] in ("both", "target"):
        algorithm, value = _expected(task)
        if not value and task["verify"] == "both":
            value = _checksum(gfal, "SOURCE", task["source"], algorithm)
        got = _checksum(gfal, phase, url, algorithm)
        if value and got != value:
            return f"Destination checksum is {algorithm}:{got}, not {algorithm}:{value}"
    return ""


def _report(gfal: Any, url: str, size: int) -> dict[str, Any]:
    """What is at a destination that may not be overwritten; the client judges whether it is the right file."""
    on_disk, on_tape = _on_tape(gfal, url)
    report: dict[str, Any] = {"file_size": size, "file_on_disk": on_disk, "file_on_tape": on_tape}
    try:  # of a file that is only on tape, the storage may know the checksum
        report |= {"checksum_type": "ADLER32", "checksum_value": gfal.checksum(url, "adler32").strip().rstrip("\0")}
    except gfal2.GError as error:
        sys.stderr.write(f"no checksum of {url}: {error.message}\n")
    return report


def _clear_destination(gfal: Any, task: Mapping[str, Any], size: int, talk: Conversation) -> bool:
    """Make room for the copy where that is allowed; True if the file is there already, complete."""
    url, phase = task["destination"], "DESTINATION"
    present = _size(gfal, phase, url)
    if present is None:
        return False
    if task["owned"]:
        if present == size and not complete(gfal, task, size):
            return True
    elif task["overwrite"] != "yes":
        on_tape = _on_tape(gfal, url)[1]
        if task["overwrite"] != "on_disk" or on_tape:
            if task["report"]:
                talk.say(report=_report(gfal, url, present))
            cause = "is on tape" if task["overwrite"] == "on_disk" else "overwrite is not enabled"
            raise TaskFailure(phase, _EXISTS, f"Destination file exists and {cause}", permanent=True)
    _guarded(phase, gfal.unlink, url)
    return False


def copy(gfal: Any, task: Mapping[str, Any], talk: Conversation) -> dict[str, Any]:
    """Copy one file between two storages, and check what arrived."""
    size = check_source(gfal, task)
    if _clear_destination(gfal, task, size, talk):
        return {"filesize": size, "tx_duration": 0.0}
    talk.say(prepared=True)
    if talk.hear() is None:
        raise SystemExit(0)
    started = time.monotonic()
    parameters = gfal.transfer_parameters()
    parameters.create_parent, parameters.overwrite, parameters.timeout = True, False, int(task["timeout"])
    try:
        _guarded("TRANSFER", gfal.filecopy, parameters, task["source"], task["destination"])
        if problem := complete(gfal, task, size):
            raise TaskFailure("DESTINATION", _IO_ERROR, problem, permanent=False)
    except TaskFailure:
        remove(gfal, task)
        raise
    return {"filesize": size, "tx_duration": round(time.monotonic() - started, 3)}


def remove(gfal: Any, task: Mapping[str, Any]) -> dict[str, Any]:
    """Remove an unwanted destination, if it is there."""
    try:
        gfal.unlink(task["destination"])
    except gfal2.GError as error:
        if error.code != _MISSING:
            sys.stderr.write(f"cannot remove {task['destination']}: {error.message}\n")
            return {"removed": False}
    return {"removed": True}


def stage(gfal: Any, task: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for files to be brought online; ``online`` are those that are already."""
    online: list[str] = []
    wanted: list[str] = []
    failed: dict[str, list[Any]] = {}
    for url in task["urls"]:
        try:
            status = _guarded("STAGING", gfal.getxattr, url, "user.status")
        except TaskFailure as failure:
            failed[url] = [failure.code, failure.message]
            continue
        (online if "ONLINE" in status else wanted).append(url)
    token = ""
    if wanted:
        errors, token = _guarded("STAGING", gfal.bring_online, wanted, task["pin"], task["timeout"], True)
        failed |= {url: [error.code, str(error.message)] for url, error in zip(wanted, errors, strict=True) if error}
    return {"token": token, "online": online, "failed": failed}


def poll_stage(gfal: Any, task: Mapping[str, Any]) -> dict[str, Any]:
    """See which files are online by now. ``ask`` asks for the request too, which costs the storage more."""
    online, failed = [], {}
    for url in task["urls"]:
        if _on_tape(gfal, url)[0]:
            online.append(url)
        elif task["ask"]:
            try:
                gfal.bring_online_poll(url, task["token"])
            except gfal2.GError as error:
                failed[url] = [error.code, str(error.message).strip()]
    return {"online": online, "failed": failed}


def poll_archive(gfal: Any, task: Mapping[str, Any]) -> dict[str, Any]:
    """See which files are on tape by now."""
    archived, failed = [], {}
    for url in task["urls"]:
        try:
            status = gfal.getxattr(url, "user.status")
        except gfal2.GError as error:
            if error.code == _MISSING:
                failed[url] = [error.code, str(error.message).strip()]
            continue
        if "NEARLINE" in status:
            archived.append(url)
    return {"archived": archived, "failed": failed}


def abort(gfal: Any, task: Mapping[str, Any]) -> dict[str, Any]:
    """Take a request to bring files online back."""
    _guarded("STAGING", gfal.abort_bring_online, list(task["urls"]), task["token"])
    return {}


def main() -> None:
    """Work until the parent goes."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    talk = Conversation()
    operations = {f.__name__: f for f in (stage, poll_stage, poll_archive, abort, remove)}
    while task := talk.hear():
        gfal = context(task["proxy"])
        try:
            if task["op"] == "copy":
                talk.say(result=copy(gfal, task, talk))
            else:
                talk.say(result=operations[task["op"]](gfal, task))
        except TaskFailure as failure:
            problem = {"phase": failure.phase, "code": failure.code, "message": failure.message}
            talk.say(failure=problem | {"permanent": failure.permanent})
        except gfal2.GError as error:
            talk.say(
                failure={"phase": "TRANSFER", "code": error.code, "message": str(error.message), "permanent": None}
            )


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # the parent is gone, and with it whoever wants an answer
        os._exit(0)
