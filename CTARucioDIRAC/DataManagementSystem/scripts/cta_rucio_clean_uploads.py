"""cta-rucio-clean-uploads: remove what killed uploads have left on a storage element."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from CTARucioDIRAC.domain.errors import CtaRucioError

EXAMPLES = """
Remove temporary files (<name>.<32 hexadecimal digits>.part) that uploads have left which were killed. Only those directly
in the directories named, and only those that nobody has written to for a day: younger ones may be uploads under way. A
file that is registered in Rucio is never removed, whatever its name.

Examples:

  cta-rucio-clean-uploads PIC-DISK /ctao/lst/dl1 --dry-run           what would be removed

  cta-rucio-clean-uploads PIC-DISK /ctao/lst/dl1 /ctao/lst/dl2       remove it

  cta-rucio-clean-uploads PIC-DISK /ctao/lst/dl1 --older-than 72     only what is older than three days

  cta-rucio-clean-uploads PIC-DISK /ctao/lst/dl1 --json

Needs a DIRAC proxy that may delete there. May be repeated and interrupted at any time. Exit codes: 0 done, 1 something
couldn't be removed or a storage gave no answer (the message says what), 2 wrong usage.
"""
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=EXAMPLES)
def clean(
    storage: Annotated[str, typer.Argument(metavar="SE", help="Storage element.")],
    directories: Annotated[list[str], typer.Argument(metavar="DIRECTORY…", help="Paths in the catalogue.")],
    older_than: Annotated[float, typer.Option("--older-than", min=0, help="Hours since the last write.")] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Remove what killed uploads have left."""
    out, sys.stdout = sys.stdout, sys.stderr  # what DIRAC logs isn't a result
    removed, failed = _run(storage, directories, older_than * 3600, dry_run)
    if as_json:
        print(json.dumps({"storage": storage, "dry_run": dry_run, "removed": removed, "failed": failed}), file=out)
    else:
        for name, age in removed.items():
            print(f"{'would remove' if dry_run else 'removed'}  {age / 3600:8.1f} h  {name}", file=out)
        for name, reason in failed.items():
            print(f"failed: {name}: {reason}", file=out)
        print(f"{len(removed)} files {'to remove' if dry_run else 'removed'}, {len(failed)} problems", file=out)
    raise typer.Exit(1 if failed else 0)


def _run(
    storage: str, directories: list[str], older_than: float, dry_run: bool
) -> tuple[dict[str, float], dict[str, str]]:
    import DIRAC

    DIRAC.initialize()
    from CTARucioDIRAC.DataManagementSystem.Client.RucioDataManager import RucioDataManager

    manager = RucioDataManager()
    removed: dict[str, float] = {}
    failed: dict[str, str] = {}
    for number, directory in enumerate(directories, start=1):
        print(f"{number}/{len(directories)} {directory} at {storage}", file=sys.stderr)
        result: dict[str, Any] = manager.clean_uploads(storage, directory, older_than, dry_run)
        if result["OK"]:
            removed |= result["Value"]["Successful"]
            failed |= result["Value"]["Failed"]
        else:
            failed[directory] = result["Message"]
    return removed, failed


def main() -> None:
    """Entry point: errors become one clear message and exit code 1."""
    from DIRAC.Core.Utilities.exceptions import DIRACInitError

    try:
        app(standalone_mode=True)
    except (CtaRucioError, DIRACInitError) as error:
        print(f"cta-rucio-clean-uploads: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
