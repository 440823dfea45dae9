"""The program behind XRootD's prepare interface (``ofs.preplib libXrdOfsPrepGPI.so``).

XRootD calls it as ``tape-prepare [options] -- REQUEST {stage|prep|cancel|evict|query} PATH…``. It only writes to the
robot's spool and returns at once: XRootD 5.5.3 loses calls from its queue when all its runners are busy. It answers
``query`` from the files themselves, in the form that gfal2 and ``xrdfs query prepare`` understand.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .tape_spool import Spool
from .tape_store import FileState, TapeStore, clean_name


def run(store: TapeStore, spool: Spool, arguments: Sequence[str]) -> str:
    """Carry out one call.

    Parameters
    ----------
    store, spool
        The endpoint and its robot's messages.
    arguments : sequence of str
        The command line after the program's name.

    Returns
    -------
    str
        What to print.

    Raises
    ------
    ValueError
        When the call is not understood, or a path is outside the endpoint.
    """
    request, verb, *paths = arguments[arguments.index("--") + 1 :]
    names = [clean_name(path) for path in paths]
    if verb == "stage":
        spool.stage(request, names)
    elif verb == "cancel":
        spool.cancel(request, names)
    elif verb == "evict":
        spool.evict(names)
    elif verb == "query":
        return json.dumps(answer(store, spool, request, names), separators=(",", ":"))
    elif verb != "prep":
        raise ValueError(f"unknown request {verb!r}")
    return ""


def answer(store: TapeStore, spool: Spool, identifier: str, names: Sequence[str]) -> dict[str, Any]:
    """The answer to a query, about the given files or (without any) all files of the request."""
    request = spool.staging(identifier)
    results = spool.answer(identifier)
    if not names:
        names = request.names if request else tuple(results or ())
    return {
        "request_id": identifier,
        "responses": [_file_answer(store, spool, identifier, name) for name in names],
    }


def _file_answer(store: TapeStore, spool: Spool, identifier: str, name: str) -> dict[str, Any]:
    # the order of the three questions matters: the robot brings online, answers, and only then ends a request
    request = spool.staging(identifier)
    results = spool.answer(identifier)
    state = store.state(name)
    online = state in (FileState.DISK, FileState.ARCHIVED)
    error = (results or {}).get(name, "")
    cancelled = spool.cancelled(identifier, name)
    requested = bool(request and name in request.names) and not cancelled
    if state is FileState.ABSENT:
        error = "no such file"
    elif cancelled:
        error = error or "the request was cancelled"
    elif not online and not request and results is None:
        requested = spool.awaited(identifier)
    elif not online and not requested and not error:
        error = "it was brought online, and has left the disk buffer since; ask for it again"
    return {
        "path": f"/{name}",
        "path_exists": state is not FileState.ABSENT,
        "on_tape": state in (FileState.ARCHIVED, FileState.OFFLINE),
        "online": online,
        "requested": requested,
        "has_reqid": requested,
        "req_time": str(int(request.time)) if request else "1" if requested else "",
        "error_text": "" if online else error,
    }


def main() -> int:
    """Entry point; the directories come from the environment that XRootD was started with."""
    environment = os.environ
    try:
        work = Path(environment["TAPE_WORK"])
        store = TapeStore(Path(environment["TAPE_BUFFER"]), Path(environment["TAPE_LIBRARY"]), work)
        sys.stdout.write(run(store, Spool(work / "spool"), sys.argv[1:]) + "\n")
    except (KeyError, ValueError, OSError) as error:
        sys.stderr.write(f"tape-prepare: {type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
