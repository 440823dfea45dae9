"""The nearline endpoint ``PIC-TAPE``: XRootD over a disk buffer, a tape library that is simulated by a robot.

New files are archived, and leave the buffer soon after; then they are offline until somebody stages them through
XRootD's prepare interface. Reading an offline file fails with "no medium found". Deleting works online and offline, and
removes the library's copy. A file may be overwritten as a whole, and is archived again. Renaming is refused: the library
knows files by their names, as an archive does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import environment
from .layout import TAPE, Layout
from .service import NotReady, Service
from .tape_spool import Spool
from .tape_store import TapeStore

ROBOT = "tape-robot"
#: Seconds that a file stays in the buffer after it was archived, and after it was recalled or last read.
KEEP_ARCHIVED = 5.0
KEEP_RECALLED = 300.0
#: The robot writes its state several times a second; older than this, it hangs.
_STALE = 20.0
#: Calls of the prepare program that XRootD runs at once, and its answers at once; it loses calls that it has to queue.
_RUNNERS = 64
_QUERIES = 8


def services(layout: Layout) -> list[Service]:
    """The robot that archives and recalls the endpoint's files.

    Parameters
    ----------
    layout : Layout
        Where; the library is ``tapelib/``, requests and journal are in ``tape/``.

    Returns
    -------
    list of Service
        One service, ``tape-robot``.
    """
    store = tape_store(layout)
    options = {
        "buffer": store.buffer,
        "library": store.library,
        "work": store.work,
        "status": _status_file(layout),
        "drives": layout.tape_drives,
        "latency": layout.tape_latency,
        "keep-archived": KEEP_ARCHIVED,
        "keep-recalled": KEEP_RECALLED,
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [
        Service(
            name=ROBOT,
            argv=[str(layout.bin / "python"), "-m", "CTARucioDIRAC.testbed.tape_robot", *arguments],
            env=environment.service(layout),
            cwd=layout.run,
            prepare=lambda: prepare(layout),
            healthy=lambda: check(layout),
            deadline=20.0,
        )
    ]


def tape_store(layout: Layout) -> TapeStore:
    """The endpoint's directories."""
    return TapeStore(layout.storage(TAPE), layout.tape_library, layout.root / "tape")


def directives(layout: Layout, plugin: Path) -> list[str]:
    """What the endpoint's XRootD configuration has more than that of a disk.

    Parameters
    ----------
    layout : Layout
        The stack.
    plugin : Path
        The compiled ``native/tapestat.c``.
    """
    program = _program(layout)
    return [
        "# files that are only on tape are shown as offline; they are staged through the prepare interface",
        f"oss.statlib {plugin}",
        f"ofs.preplib libXrdOfsPrepGPI.so -admit all -maxfiles 1000 -maxreq {_RUNNERS} -maxquery {_QUERIES} -run {program}",
    ]


def variables(layout: Layout) -> dict[str, str]:
    """What the endpoint's server, its plug-in and its prepare program find in the environment."""
    store = tape_store(layout)
    return {"TAPE_BUFFER": str(store.buffer), "TAPE_LIBRARY": str(store.library), "TAPE_WORK": str(store.work)}


def prepare(layout: Layout) -> None:
    """Make the directories and the prepare program; a second call changes nothing."""
    tape_store(layout).prepare()
    Spool(layout.root / "tape" / "spool").prepare()
    program = _program(layout)
    program.parent.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).resolve().parents[2]
    text = (
        "#!/bin/sh\n"
        "# XRootD's prepare program for the nearline endpoint; -S: it needs the standard library only, and starts faster\n"
        f"export PYTHONPATH='{source}' PYTHONPYCACHEPREFIX='{layout.root}/tmp/pycache'\n"
        "unset LD_PRELOAD\n"
        f"exec '{layout.bin}/python' -S -m CTARucioDIRAC.testbed.tape_prepare \"$@\"\n"
    )
    if not program.exists() or program.read_text() != text:
        temporary = program.with_suffix(".tmp")
        temporary.write_text(text)
        temporary.chmod(0o755)
        temporary.replace(program)


def check(layout: Layout) -> None:
    """See that the robot has just been through its round.

    Raises
    ------
    NotReady
        When it has not.
    """
    try:
        state = json.loads(_status_file(layout).read_text())
    except FileNotFoundError:
        raise NotReady("the robot has not finished its first round") from None
    age = time.time() - state["time"]
    if age > _STALE:
        raise NotReady(f"the robot's last round was {age:.0f} s ago")


def events(layout: Layout, since: float = 0.0) -> Iterator[dict[str, Any]]:
    """What the robot did, in order.

    Parameters
    ----------
    layout : Layout
        The stack.
    since : float
        Only what happened at or after this time (seconds since 1970).

    Yields
    ------
    dict
        ``time``, ``event`` (mount, archive, recall, purge, evict, delete, cancel, interrupted, lost, error, recover),
        and with it ``name``, ``bytes``, ``seconds``, ``drive`` where they apply.
    """
    journal = layout.root / "tape" / "journal.jsonl"
    if not journal.exists():
        return
    with journal.open() as lines:
        for line in lines:
            if not line.endswith("\n"):  # being written
                return
            event = json.loads(line)
            if event["time"] >= since:
                yield event


def totals(layout: Layout, since: float = 0.0) -> dict[str, int]:
    """Count what the robot did.

    Parameters
    ----------
    layout, since
        As for :func:`events`.

    Returns
    -------
    dict
        Number of events by kind (``recall``, ``archive``, ``mount``, …), and ``recall_bytes``, ``archive_bytes``.
    """
    result = {"recall": 0, "recall_bytes": 0, "archive": 0, "archive_bytes": 0, "mount": 0}
    for event in events(layout, since):
        kind = event["event"]
        result[kind] = result.get(kind, 0) + 1
        if "bytes" in event:
            result[f"{kind}_bytes"] += event["bytes"]
    return result


def _status_file(layout: Layout) -> Path:
    return layout.run / "tape-robot.json"


def _program(layout: Layout) -> Path:
    return layout.root / "bin" / "tape-prepare"
