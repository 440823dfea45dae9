"""What a state directory remembers about itself (``testbed.json``), and the checks before anything is written to one."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .layout import POLICIES, PORT_SPAN, Layout
from .service import TestbedError, check_ports_free

#: Version of the state directory's arrangement; another one is refused, not converted.
FORMAT = 1
FILE = "testbed.json"
LOCK = "lock"
MINIMUM_FREE_BYTES = 2 * 10**9

_OPTIONS: Mapping[str, type] = {
    "port_base": int,
    "software": Path,
    "workers": int,
    "tape_drives": int,
    "tape_latency": float,
    "policy": str,
}
#: Value of an option that an older stack doesn't remember.
_LATER: Mapping[str, Any] = {"policy": POLICIES[0]}


def is_testbed(root: Path) -> bool:
    """Whether a directory holds a testbed's state."""
    return (root / FILE).is_file()


def load(root: Path) -> Layout:
    """The layout of an existing state directory.

    Parameters
    ----------
    root : Path
        State directory.

    Returns
    -------
    Layout
        With the options given when the stack was last brought up.

    Raises
    ------
    TestbedError
        When the directory is not a testbed's, or was made by another format version.
    """
    try:
        record = json.loads((root / FILE).read_text())
    except FileNotFoundError:
        raise TestbedError(
            f"{root} holds no testbed ({FILE} is missing). Bring one up with `cta-rucio-testbed up --dir {root}`, "
            "or name the right directory with --dir."
        ) from None
    except (OSError, ValueError) as error:
        raise TestbedError(f"{root / FILE} cannot be read ({error}). Name another directory with --dir.") from error
    if record.get("format") != FORMAT:
        raise TestbedError(
            f"{root} has format {record.get('format')}, this program makes and reads format {FORMAT}. "
            f"Delete it with `cta-rucio-testbed reset --dir {root}` of the version that made it, or choose another --dir."
        )
    options = {name: kind({**_LATER, **record}[name]) for name, kind in _OPTIONS.items()}
    return Layout(root=root, prefix=Path(record["prefix"]), **options)


def create(root: Path, prefix: Path, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Layout:
    """Make a state directory, or take up an existing one with changed options.

    Parameters
    ----------
    root : Path
        State directory; made if missing.
    prefix : Path
        Environment that runs the stack.
    defaults : mapping
        Value of each option for a new directory.
    given : mapping
        Options that the user named; None means "not named": what the directory remembers stays.

    Returns
    -------
    Layout

    Raises
    ------
    TestbedError
        When the directory is foreign, was made by another environment, or its disk is nearly full.
    """
    named = {name: value for name, value in given.items() if value is not None}
    if is_testbed(root):
        layout = load(root)
        if layout.prefix != prefix:
            raise TestbedError(
                f"{root} belongs to the environment {layout.prefix}, this one is {prefix}. Use that environment's "
                "cta-rucio-testbed, or choose another --dir."
            )
        options = {name: getattr(layout, name) for name in _OPTIONS} | named
        if options["port_base"] != layout.port_base:
            raise TestbedError(
                f"{root} has its ports from {layout.port_base} on; they are part of its storage addresses and stay. "
                f"Leave --port-base out, or choose another --dir for a stack with ports from {options['port_base']} on."
            )
    else:
        if root.exists() and any(entry.name != LOCK for entry in root.iterdir()):
            raise TestbedError(f"{root} is not empty and holds no testbed: nothing was changed. Choose another --dir.")
        options = dict(defaults) | named
    known, layout = is_testbed(root), Layout(root=root, prefix=prefix, **options)
    if not 1024 <= layout.port_base <= 65536 - PORT_SPAN:
        raise TestbedError(f"port base {layout.port_base} is out of range: choose 1024 to {65536 - PORT_SPAN}.")
    if not known:
        check_ports_free("a new stack", range(layout.port_base, layout.port_base + PORT_SPAN))
    root.mkdir(parents=True, exist_ok=True)
    check_disk(root)
    for directory in (layout.run, layout.log, root / "home", root / "tmp"):
        directory.mkdir(parents=True, exist_ok=True)
    save(layout)
    return layout


def save(layout: Layout) -> None:
    """Write ``testbed.json`` in one step."""
    record = {"format": FORMAT} | {name: _plain(value) for name, value in asdict(layout).items() if name != "root"}
    write_atomically(layout.root / FILE, json.dumps(record, indent=2) + "\n", 0o644)


def check_disk(root: Path) -> None:
    """Refuse to go on when the disk below a directory is nearly full."""
    free = shutil.disk_usage(root).free
    if free < MINIMUM_FREE_BYTES:
        raise TestbedError(
            f"the disk of {root} has {free / 1e9:.1f} GB free; the testbed needs {MINIMUM_FREE_BYTES / 1e9:.0f} GB. "
            "Free some space, or choose a directory on another disk with --dir."
        )


def secret(layout: Layout, name: str) -> str:
    """A password of this stack, made at the first call and kept in a file that only its user reads."""
    path = layout.root / "secrets" / name
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, secrets.token_urlsafe(24), 0o600)
    return path.read_text()


def write_atomically(path: Path, content: str, mode: int = 0o644) -> None:
    """Replace a file in one step, so that a reader or a killed writer never leaves half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(content)
    temporary.chmod(mode)
    temporary.replace(path)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
