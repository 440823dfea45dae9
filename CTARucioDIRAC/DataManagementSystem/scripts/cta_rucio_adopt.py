"""cta-rucio-adopt: make data that plain Rucio brought in as good as if DIRAC had registered them."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from CTARucioDIRAC.domain.errors import CtaRucioError

EXAMPLES = """
Adopt data that came in through Rucio alone, such as what BDMS ingests. They can be read without this; adopted, every
directory is a collection in the one above, every file is in the dataset of its directory, a permanent rule holds every
copy that no rule held (so that a rule that ends can't make it deletable), and metadata that names tell are set.

Examples:

  cta-rucio-adopt /ctao/lst/DL0 --dry-run      what would be done

  cta-rucio-adopt /ctao/lst/DL0                do it; again after an interruption finishes it

  cta-rucio-adopt lst:                         everything in a scope

  cta-rucio-adopt lst:rawdata                  the files of a collection

  cta-rucio-adopt /ctao/lst --file-rules       a rule for each file instead of one for a whole directory at one storage

  cta-rucio-adopt /ctao/lst --rse 'PIC-TAPE|CNAF-DISK' --json

Needs a DIRAC proxy of a group whose Rucio account may write there. Exit codes: 0 done, 1 something couldn't be done (the
message says what), 2 wrong usage.
"""
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
_SHOWN = 20


@app.command(help=EXAMPLES)
def adopt(
    what: Annotated[str, typer.Argument(metavar="PATH|SCOPE:|SCOPE:NAME", help="What to adopt.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    file_rules: Annotated[
        bool, typer.Option("--file-rules", help="Put rules on files only; DIRAC's removeReplica can end these.")
    ] = False,
    rse: Annotated[str | None, typer.Option("--rse", help="RSE expression: put rules on copies there only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Adopt data that came in through Rucio alone."""
    out, sys.stdout = sys.stdout, sys.stderr  # what DIRAC logs isn't a result
    report = _run(what, dry_run, file_rules, rse)
    if as_json:
        print(json.dumps({"adopted": what, "dry_run": dry_run, **report}, indent=1), file=out)
    else:
        print(f"{what}{' (dry run: nothing was written)' if dry_run else ''}", file=out)
        for name, value in report.items():
            if name not in ("problems", "problem_count"):
                print(f"  {name.replace('_', ' '):22} {value}", file=out)
        for problem in report["problems"][:_SHOWN]:
            print(f"problem: {problem}", file=out)
        if report["problem_count"] > _SHOWN:
            print(f"… and {report['problem_count'] - _SHOWN} more problems (--json shows up to 1000)", file=out)
    raise typer.Exit(1 if report["problem_count"] else 0)


def _run(what: str, dry_run: bool, file_rules: bool, rse: str | None) -> dict[str, Any]:
    import DIRAC

    DIRAC.initialize()
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
    from CTARucioDIRAC.ConfigurationSystem.Client.RucioConfiguration import read_catalogue_settings
    from CTARucioDIRAC.usecases.adopt import Options, adopt

    settings = read_catalogue_settings()
    gateway = current_gateway(settings)
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def progress(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step)
            bars.update(tasks[step], completed=done, total=total)

        report = adopt(gateway, what, settings.VO, Options(dry_run, file_rules, rse), progress)
    return dataclasses.asdict(report)


def main() -> None:
    """Entry point: errors become one clear message and exit code 1."""
    from DIRAC.Core.Utilities.exceptions import DIRACInitError

    try:
        app(standalone_mode=True)
    except (CtaRucioError, DIRACInitError) as error:
        print(f"cta-rucio-adopt: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
