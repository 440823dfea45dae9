"""cta-rucio-migrate: bring DIRAC's file catalogue into Rucio, and compare the two."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from CTARucioDIRAC.domain.errors import CtaRucioError, InvalidInput

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

EXAMPLES = """
Bring what DIRAC's file catalogue has into Rucio: files with size, checksum, GUID, owner and metadata, their copies with a
rule that keeps each, directories with their metadata, datasets. The files themselves stay where they are.

Every step may be repeated: what is there is left alone, and what an interruption left is finished.

Examples:

  cta-rucio-migrate run /ctao --dry-run --json                    what would be done

  cta-rucio-migrate run /ctao --problems problems.jsonl           do it, and note what can't be brought over

  cta-rucio-migrate verify /ctao --rules                          compare everything, and see that rules keep the copies

  cta-rucio-migrate run /vo.cta.in2p3.fr --map /vo.cta.in2p3.fr=/ctao      under new names (see docs/how-to/migrate.md)

Needs a DIRAC proxy of a group whose Rucio account may register copies everywhere and put rules for others.
Exit codes: 0 all is in Rucio, 1 not all is (the problems say why), 2 wrong usage, 3 no answer: repeat it.
"""
app.callback(help=EXAMPLES)(lambda: None)

Paths = Annotated[list[str], typer.Argument(help="Directories of the old catalogue, with all that is below them.")]
Map = Annotated[
    list[str] | None, typer.Option("--map", metavar="OLD=NEW", help="Another top for names; others are kept.")
]
Element = Annotated[
    list[str] | None, typer.Option("--se", metavar="OLD=NEW", help="RSE of a storage element of another name.")
]
OldService = Annotated[str, typer.Option("--from", metavar="SERVICE", help="Service of the old catalogue.")]
Problems = Annotated[Path | None, typer.Option(help="Write every problem to this file, a line of JSON each.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
OwnRules = Annotated[
    bool, typer.Option("--own-rules", help="All rules for the own account, not for those of the files' owners.")
]
DFC = "DataManagement/FileCatalog"


@app.command()
def run(
    paths: Paths,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    mapping: Map = None,
    elements: Element = None,
    own_rules: OwnRules = False,
    service: OldService = DFC,
    problems: Problems = None,
    as_json: Json = False,
) -> None:
    """Bring directories of the old catalogue into Rucio."""
    from CTARucioDIRAC.usecases.migrate import migrate

    with _session(paths, service, problems, as_json) as (gateway, source, report):
        translation = _translation(mapping, elements, own_rules)
        migrate(gateway, source, paths, translation, report, datasets=_datasets(), dry_run=dry_run)
        report.add("dry_run", dry_run)


@app.command()
def verify(
    paths: Paths,
    rules: Annotated[
        bool, typer.Option("--rules", help="Also ask whether a rule keeps each copy; takes 200 bytes for each.")
    ] = False,
    mapping: Map = None,
    elements: Element = None,
    service: OldService = DFC,
    problems: Problems = None,
    as_json: Json = False,
) -> None:
    """Compare directories of the old catalogue with Rucio: names, sizes, checksums, copies, metadata, counts."""
    from CTARucioDIRAC.usecases.migrate import verify

    with _session(paths, service, problems, as_json) as (gateway, source, report):
        translation = _translation(mapping, elements, own_rules=True)
        verify(gateway, source, paths, translation, report, datasets=_datasets(), rules=rules)


@contextmanager
def _session(paths: list[str], service: str, problems: Path | None, as_json: bool) -> Iterator[Any]:
    """Connect both sides, show progress, and print the report, also of what was done before an error."""
    out = sys.stdout
    sys.stdout = sys.stderr  # what DIRAC logs, before it is imported
    import DIRAC

    DIRAC.initialize()
    from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
    from CTARucioDIRAC.DataManagementSystem.Client.DFCSource import DFCSource
    from CTARucioDIRAC.usecases.migration_report import Report

    file = problems.open("a", encoding="utf-8") if problems else None
    report = Report()
    if file:
        report.note = lambda problem: print(json.dumps(problem), file=file, flush=True)
    gateway, source = current_gateway(), DFCSource(service)
    started = time.monotonic()
    total = source.count(paths)
    report.progress = lambda: _progress(report, total, started)
    try:
        yield gateway, source, report
    finally:
        if file:
            file.close()
        _show(report, total, time.monotonic() - started, as_json, out)
    if not report.clean:
        raise typer.Exit(1)


def _progress(report: Any, total: int, started: float) -> None:
    seconds = time.monotonic() - started
    files = report.counts["files"]
    print(
        f"{files} of {total} files, {files / seconds:.0f} a second, {sum(report.kinds.values())} problems", flush=True
    )


def _show(report: Any, total: int, seconds: float, as_json: bool, out: TextIO) -> None:
    summary = {"files_in_old_catalogue": total, "seconds": round(seconds, 1)} | report.summary()
    if as_json:
        print(json.dumps(summary, indent=1), file=out)
        return
    print(f"files in the old catalogue  {total}", file=out)
    for name, count in summary["counts"].items():
        print(f"{name.replace('_', ' '):<26}  {count}", file=out)
    for kind, count in summary["problems"].items():
        print(f"PROBLEM: {kind.replace('_', ' '):<17}  {count}", file=out)
    for problem in summary["first_problems"][:20]:
        print(f"  {problem['name']}: {problem['problem']}", file=out)


def _translation(mapping: list[str] | None, elements: list[str] | None, own_rules: bool) -> Any:
    from CTARucioDIRAC.usecases.migration_plan import Translation

    prefixes, rses = _pairs("--map", mapping), _pairs("--se", elements)
    return Translation(prefixes, rses) if own_rules else Translation(prefixes, rses, _account)


def _datasets() -> Any:
    from CTARucioDIRAC.DataManagementSystem.Client.DFCSource import RucioDatasets

    return RucioDatasets()


def _account(user: str, group: str) -> str | None:
    """Rucio account of a user in a group; None where there is none, or the group exists no more."""
    from CTARucioDIRAC.ConfigurationSystem.Client.RucioConfiguration import user_account
    from CTARucioDIRAC.domain.errors import InvalidSettings

    try:
        return user_account(user, group)
    except InvalidSettings:
        return None


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise InvalidInput(f"{option} {text!r}: OLD=NEW expected")
        pairs[old] = new
    return pairs


def main() -> None:
    """Entry point: errors become one clear message and an exit code."""
    from DIRAC.Core.Utilities.exceptions import DIRACInitError

    try:
        app(standalone_mode=True)
    except (CtaRucioError, DIRACInitError) as error:
        print(f"cta-rucio-migrate: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InvalidInput) else 3 if getattr(error, "retryable", False) else 1)


if __name__ == "__main__":
    main()
