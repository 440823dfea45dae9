"""Compare the catalogue with its peers on a running stack; see ``--help``."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from contestants import CONTESTANTS, FIRST, LABELS, OPERATIONS, SECOND

HERE = Path(__file__).parent
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
#: DIRAC's own client loops over the files in most of its methods; more than this would take hours.
DIRACS_LIMIT = 1000
Key = tuple[str, int, str]  # operation, number of files, contestant

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


def _environment(role: str) -> dict[str, str]:
    sys.path.insert(0, str(HERE.parent / "tests"))
    from conftest import Testbed

    from CTARucioDIRAC.testbed import state

    directory = os.environ.get("CTA_RUCIO_TESTBED_DIR")
    if not directory:
        raise typer.BadParameter("no stack: use `make bench`, or set CTA_RUCIO_TESTBED_DIR to one that is up")
    return Testbed(state.load(Path(directory))).environment(role)


def _run(environment: dict[str, str], script: str, *arguments: object) -> str:
    command = [sys.executable, script, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise typer.Exit(1)
    return done.stdout


#: Without an RSE that has the attribute ANY, the server's ``addfiles``, which DIRAC's client uses, refuses everything.
_PREPARE = """
import sys
from rucio.client import Client
client = Client()
client.add_scope("root", sys.argv[1])
for rse in sys.argv[2:]:
    client.add_rse_attribute(rse, "ANY", True)
"""


@app.command()
def main(
    sizes: Annotated[str, typer.Option(help="Numbers of files, comma-separated.")] = "1,100,1000,10000",
    contestants: Annotated[str, typer.Option(help="Who takes part.")] = ",".join(CONTESTANTS),
    dirac_limit: Annotated[int, typer.Option(help="Most files for DIRAC's own client.")] = DIRACS_LIMIT,
    role: Annotated[str, typer.Option(help="Role of the stack to act in.")] = "production",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all measurements here.")] = None,
    write: Annotated[bool, typer.Option(help="Put the table and the plot into docs/.")] = False,
) -> None:
    """Time each operation of the catalogue for this package, DIRAC's own client, the DFC, and the fewest bare Rucio calls.

    All act on files of their own, in a process of their own, one after the other on the same stack.

    Example: `make bench`, or on a stack that is up: `python benchmarks/catalogue.py --sizes 1,100`
    """
    environment = _environment(role)
    scope = f"bench{dt.datetime.now(dt.UTC):%m%d%H%M%S}"
    subprocess.run([sys.executable, "-c", _PREPARE, scope, FIRST, SECOND], env=_environment("robot"), check=True)
    found: list[dict[str, Any]] = []
    plan = [
        (number, name)
        for number in map(int, sizes.split(","))
        for name in contestants.split(",")
        if name != "dirac" or number <= dirac_limit
    ]
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task("", total=len(plan))
        for number, name in plan:
            progress.update(task, description=f"{LABELS[name]}, {number} files")
            top = f"/ctao/{scope}/{name}/n{number}"
            output = _run(environment, str(HERE / "measure.py"), name, number, top)
            found += [json.loads(line) for line in output.splitlines() if line.startswith("{")]
            progress.advance(task)
    about = {
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }
    if json_file:
        json_file.write_text(json.dumps({"about": about, "measurements": found}, indent=1) + "\n")
    _print(found)
    if write:
        write_docs(about, found)


def by_key(found: list[dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Measurements by operation, number of files and contestant."""
    return {(one["operation"], one["n"], one["contestant"]): one for one in found}


def _cell(one: dict[str, Any] | None, number: int) -> str:
    if one is None:
        return "–"
    if one.get("error"):
        return "fails"
    wrong = "" if one["done"] == number else f" ({one['done']} of {number})"
    return f"{one['requests']:.0f} / {one['seconds']:.3g} s{wrong}"


def _ratio(one: dict[str, Any] | None, other: dict[str, Any] | None) -> str:
    if not one or not other or one.get("error") or other.get("error") or not one["seconds"]:
        return "–"
    return f"{one['seconds'] / other['seconds']:.2g}"


def _rows(found: list[dict[str, Any]]) -> list[list[str]]:
    known = by_key(found)
    rows = []
    for operation in OPERATIONS:
        for number in sorted({one["n"] for one in found}):
            ours = known.get((operation, number, "ours"))
            cells = [_cell(known.get((operation, number, name)), number) for name in CONTESTANTS]
            ratios = [_ratio(ours, known.get((operation, number, name))) for name in ("bare", "dirac", "dfc")]
            memory = f"{ours['memory'] / 2**20:.0f}" if ours else "–"
            rows.append([operation, f"{number:,}", *cells, *ratios, memory])
    return rows


_HEADINGS = (
    "operation", "files", "ours", "DIRAC's client", "DFC", "bare Rucio",
    "ours : bare", "ours : DIRAC's", "ours : DFC", "MiB (ours)",
)  # fmt: skip


def _print(found: list[dict[str, Any]]) -> None:
    table = Table(*_HEADINGS)
    for row in _rows(found):
        table.add_row(*row)
    Console(width=200).print(table)
    for one in found:
        if one.get("error"):
            print(
                f"{one['contestant']}: {one['operation']} of {one['n']} files failed: {one['error']}", file=sys.stderr
            )


def write_docs(about: dict[str, Any], found: list[dict[str, Any]]) -> None:
    """Put the table into ``docs/performance.md`` between its marks, and draw the plot beside it."""
    page = HERE.parent / "docs" / "performance.md"
    text = page.read_text()
    lines = [
        f"Measured {about['date']}, {about['cores']} cores, load at the end {about['load']:.1f}. Cells: requests / seconds.",
        "",
        "| " + " | ".join(_HEADINGS) + " |",
        "|---|" + "--:|" * (len(_HEADINGS) - 1),
        *("| " + " | ".join(row) + " |" for row in _rows(found)),
    ]
    before, _, rest = text.partition(BEGIN)
    page.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.partition(END)[2])
    _draw(found, HERE.parent / "docs" / "performance.svg")


def _draw(found: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "performance"
    from matplotlib import pyplot

    known, number = by_key(found), max(one["n"] for one in found if one["contestant"] == "dirac")
    figure, axes = pyplot.subplots(figsize=(10, 5), layout="constrained")
    for index, name in enumerate(CONTESTANTS):
        seconds = [(known.get((o, number, name)) or {}).get("seconds") or 0 for o in OPERATIONS]
        axes.bar([x + 0.2 * index for x in range(len(OPERATIONS))], seconds, 0.2, label=LABELS[name])
    axes.set_yscale("log")
    axes.set_ylabel("seconds")
    axes.set_title(f"{number:,} files")
    axes.set_xticks([x + 0.3 for x in range(len(OPERATIONS))], OPERATIONS, rotation=40, ha="right")
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    app()
