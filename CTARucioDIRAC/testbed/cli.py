"""``cta-rucio-testbed``: parses the command line and prints; the work is in :mod:`.stack` and :mod:`.status`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import environment, privileges, requirements, stack, state, status
from .layout import POLICIES, ROLES, Layout
from .service import TestbedError

_HELP = """A whole CTAO data-management stack on one machine: Rucio, DIRAC, storage with a tape, transfers.

All of it lives below one state directory and listens on 127.0.0.1 only.
Nothing needs root; started as root, it runs as the user ctarucio.
The first `up` takes about a minute.

\b
  cta-rucio-testbed up                     start it
  cta-rucio-testbed status                 every service: health, pid, ports, memory
  eval "$(cta-rucio-testbed env)"          this shell is a user's now: rucio, dls, ...
  eval "$(cta-rucio-testbed env --role production)"
  cta-rucio-testbed logs rucio-server -f   follow a service's log
  cta-rucio-testbed down                   stop what `up` started; data stays
  cta-rucio-testbed reset                  stop and delete everything

Two stacks side by side: give the second its own --dir and --port-base.
"""

app = typer.Typer(help=_HELP, no_args_is_help=True, add_completion=False)
out = Console()
err = Console(stderr=True)


def default_directory() -> Path:
    """One state directory per environment, on a local disk that survives a restart."""
    return Path("/var/tmp/cta-rucio-testbed") / hashlib.sha256(sys.prefix.encode()).hexdigest()[:8]


def default_software() -> Path:
    """The software area that the installer makes beside the environment."""
    return Path(sys.prefix).parent / ".software"


Directory = Annotated[
    Path,
    typer.Option("--dir", envvar="CTA_RUCIO_TESTBED_DIR", help="State directory.", default_factory=default_directory),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def up(
    directory: Directory,
    port_base: Annotated[
        int | None,
        typer.Option(envvar="CTA_RUCIO_TESTBED_PORT_BASE", help="First of 60 ports; a new stack: 18400."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these services or groups (rucio, storage, dirac), comma-separated, and what they need."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="DIRAC workers that run jobs. A new stack: 2.", min=0)] = None,
    tape_drives: Annotated[int | None, typer.Option(help="Drives of the tape library. A new stack: 2.", min=1)] = None,
    tape_latency: Annotated[
        float | None, typer.Option(help="Seconds from a mount to the first byte. A new stack: 2.", min=0)
    ] = None,
    software: Annotated[
        Path | None, typer.Option(help="Software area of the workers. A new stack: .software beside the environment.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="Rucio's permissions: overlay (least privilege) or ctao (generic). A new stack: overlay."),
    ] = None,
) -> None:
    """Start the stack, or what of it does not run. Options left out keep the value of the time before.

    Examples: `cta-rucio-testbed up` · `cta-rucio-testbed up --only rucio,storage` ·
    `cta-rucio-testbed up --dir /data/second --port-base 19000 --workers 4`
    """
    directory = directory.absolute()
    software = software.absolute() if software else None
    privileges.leave_root(directory, sys.argv[1:], _readable(software or default_software()), explain=True)
    names = [name for part in only or [] for name in part.split(",") if name]
    requirements.check([group for group in stack.GROUPS if not names or group in names])
    given: dict[str, Any] = {"port_base": port_base, "software": software, "workers": workers}
    given |= {"tape_drives": tape_drives, "tape_latency": tape_latency, "policy": policy}
    defaults = {"port_base": 18400, "software": default_software(), "workers": 2, "tape_drives": 2, "tape_latency": 2.0}
    defaults["policy"] = POLICIES[0]
    if policy not in (None, *POLICIES):
        raise TestbedError(f"no policy {policy!r}; there are {', '.join(POLICIES)}.")
    layout = state.create(directory, Path(sys.prefix), defaults, given)
    started = time.monotonic()
    with _progress() as report:
        stack.up(layout, names, report)
    out.print(f"[green]up[/] after {time.monotonic() - started:.1f} s: {escape(str(layout.root))}")
    out.print(f'use it:  eval "$(cta-rucio-testbed env --dir {escape(str(layout.root))})"', highlight=False)


@app.command()
def down(directory: Directory) -> None:
    """Stop exactly what `up` started. The data stays: the next `up` goes on with it."""
    layout = _existing(directory)
    with _progress() as report:
        stack.down(layout, report)
    out.print("[green]down[/]")


@app.command(name="status")
def show_status(directory: Directory, as_json: AsJson = False) -> None:
    """Show every service and storage element; the exit code is 1 unless all that was brought up is healthy."""
    layout = _existing(directory)
    found = status.collect(layout)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _print_status(found)
    raise typer.Exit(0 if found["healthy"] else 1)


@app.command()
def env(
    directory: Directory,
    role: Annotated[str, typer.Option(help=f"Who to be: {', '.join(ROLES)}.")] = "user",
) -> None:
    """Print the lines that make a shell a client of the stack: `eval "$(cta-rucio-testbed env --role production)"`."""
    print(environment.shell(state.load(directory.absolute()), role))


@app.command()
def logs(
    directory: Directory,
    name: Annotated[str, typer.Argument(help="Service, as `status` names it; without: list the logs.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.", min=0)] = 40,
) -> None:
    """Print the end of a service's log: `cta-rucio-testbed logs rucio-daemons -f`."""
    layout = state.load(directory.absolute())
    if not name:
        print("\n".join(sorted(path.stem for path in layout.log.glob("*.log"))))
        return
    path = layout.log / f"{name}.log"
    if "/" in name or not path.is_file():
        known = ", ".join(sorted(path.stem for path in layout.log.glob("*.log")))
        raise TestbedError(f"no log of {name!r}. There are logs of: {known or 'nothing yet'}.")
    sys.stdout.flush()
    tail = shutil.which("tail") or "/usr/bin/tail"
    os.execv(tail, [tail, f"--lines={lines}", *(["--follow=name", "--retry"] if follow else []), str(path)])


@app.command()
def reset(
    directory: Directory,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the stack and delete its state directory with all its data."""
    layout = _existing(directory)
    if not yes:
        typer.confirm(f"Delete {layout.root} with all its data?", abort=True)
    with _progress() as report:
        stack.down(layout, report)
    stack.remove(layout)
    out.print(f"deleted {escape(str(layout.root))}")


def main() -> None:
    """Entry point: errors that the user can mend are printed without a traceback; the exit code is 1 then."""
    try:
        app()
    except TestbedError as error:
        err.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(1)
    except PermissionError as error:
        err.print(
            f"[red]error:[/] {escape(str(error))}. The state directory belongs to another user? "
            "Run as that user or as root, or choose another --dir.",
            soft_wrap=True,
            highlight=False,
        )
        sys.exit(1)


def _readable(software: Path) -> list[Path]:
    """What the processes of the stack have to read: environment, interpreter, this package, the workers' software."""
    prefix = Path(sys.prefix)
    configuration = prefix / "pyvenv.cfg"
    package = Path(__file__).parent
    paths = [Path(sys.executable), prefix / "lib", prefix / "bin", Path(os.__file__), package, Path(__file__), software]
    return [*([configuration] if configuration.exists() else []), *paths]


def _existing(directory: Path) -> Layout:
    """The layout of an existing stack; as root, this goes on as the user who owns it."""
    layout = state.load(directory.absolute())
    privileges.leave_root(layout.root, sys.argv[1:], _readable(layout.software))
    return layout


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, str], None]]:
    """A line for each service as it becomes ready, and, on a terminal, what is still to come."""
    signal.signal(signal.SIGINT, _interrupted)
    started: dict[str, float] = {}
    with out.status("", spinner="dots") as spinner:

        def report(name: str, what: str) -> None:
            if what in ("start", "check"):
                started.setdefault(name, time.monotonic())
            elif what.startswith(stack.RESTART):
                out.print(f"  [yellow]↻[/] {escape(name):<40} {escape(what)}", highlight=False, soft_wrap=True)
            else:
                seconds = time.monotonic() - started.pop(name, time.monotonic())
                took = f" {seconds:5.1f} s" if what == "ready" else ""
                out.print(f"  [green]✓[/] {escape(name):<40} {escape(what)}{took}", highlight=False)
            spinner.update(f"waiting for {escape(', '.join(sorted(started)))}" if started else "")

        yield report


def _interrupted(*_: object) -> None:
    """End at once: services have sessions of their own, and threads that wait for them need not be waited for."""
    err.print("interrupted: what was started stays. `cta-rucio-testbed up` goes on with it, `down` stops it.")
    os._exit(130)


def _print_status(found: dict[str, Any]) -> None:
    table = Table(box=None, header_style="bold")
    for heading in ("service", "health", "pid", "ports", "memory"):
        table.add_column(heading, no_wrap=True)
    colours = {"healthy": "green", "unhealthy": "red", "dead": "red", "down": "dim"}
    for one in found["services"]:
        memory = f"{one['memory'] / 2**20:.0f} MiB" if one["memory"] is not None else ""
        health = f"[{colours[one['health']]}]{one['health']}[/]"
        table.add_row(one["name"], health, str(one["pid"] or ""), _ranges(one["ports"]), memory)
    out.print(table)
    for one in found["services"]:
        if one["reason"]:
            out.print(f" {one['name']}: {escape(one['reason'])}", highlight=False, soft_wrap=True)
    storage = Table("RSE", "type", "site", "port", "schemes", "directory", box=None, header_style="bold")
    for rse in found["rses"]:
        schemes = " ".join(protocol["scheme"] for protocol in rse["protocols"])
        directory = escape(str(Path(rse["directory"]).relative_to(found["directory"])))
        storage.add_row(rse["name"], rse["type"], rse["site"], str(rse["port"]), schemes, directory)
    out.print(storage)
    total = found["memory"] / 2**20
    verdict = "[green]healthy[/]" if found["healthy"] else "[red]not healthy[/]"
    out.print(f"{verdict}; {total:.0f} MiB in all; state in {escape(found['directory'])}")


def _ranges(ports: list[int]) -> str:
    """Ports in few characters: ``18401 18422-18442``."""
    parts: list[tuple[int, int]] = []
    for port in sorted(ports):
        if parts and port == parts[-1][1] + 1:
            parts[-1] = (parts[-1][0], port)
        else:
            parts.append((port, port))
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


if __name__ == "__main__":
    main()
