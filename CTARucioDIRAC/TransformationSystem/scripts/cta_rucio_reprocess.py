"""cta-rucio-reprocess: submit reprocessing campaigns and see where they stand."""

from __future__ import annotations

import builtins
import functools
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.table import Table

from CTARucioDIRAC.domain.errors import CtaRucioError, Unavailable

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

EXAMPLES = """
Reprocess raw data: recall it from tape through a bounded window, run a production script on worker nodes, merge, and
register the results with their metadata in Rucio.

Examples:

  cta-rucio-reprocess submit Workflow/dl0-to-dl2.yaml --dry-run    what would be done

  cta-rucio-reprocess submit Workflow/dl0-to-dl2.yaml              do it; again after an interruption finishes it

  cta-rucio-reprocess status                                       all campaigns

  cta-rucio-reprocess status /ctao/campaigns/night1 --json         one of them, for scripts

Needs a DIRAC proxy of a group that has a RucioAccount (such as: dirac-proxy-init -g ctao_prod).
Exit codes: 0 done, 1 failed (the message says what to do), 2 wrong usage.
"""
app.callback(help=EXAMPLES)(lambda: None)


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="Campaign file (YAML); see Workflow/.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Freeze a campaign's selection in Rucio and start it."""
    out = _results_only()
    from CTARucioDIRAC.TransformationSystem.Client import CampaignSubmission as submission

    campaign_file = submission.read_campaign(file)
    gateway = _connect()
    plan = submission.plan_submission(gateway, campaign_file)
    summary = plan.summary()
    if not dry_run and plan.groups:
        summary["transformations"] = submission.submit(gateway, campaign_file, plan)
    if as_json:
        print(json.dumps(summary, indent=1), file=out)
    else:
        _print_summary(summary, dry_run, out)
    if not plan.groups:
        raise typer.Exit(1)


@app.command()
def status(
    campaign: Annotated[
        str | None, typer.Argument(help="Container of a campaign, such as /ctao/campaigns/night1; default: all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            min=1,
            help="Wait until the campaign is complete (exit code 0), or does not go on by itself, or so long (exit code 1).",
        ),
    ] = None,
) -> None:
    """Say what is recalled, running, done and failed."""
    if wait is not None and campaign is None:
        raise typer.BadParameter("--wait needs the campaign to wait for")
    out = _results_only()
    from CTARucioDIRAC.TransformationSystem.Client.CampaignStatus import campaign_status
    from CTARucioDIRAC.TransformationSystem.Client.CampaignTransformations import find_steps

    gateway = _connect()
    if wait is not None and campaign is not None:
        _wait(gateway, campaign, wait)
    if campaign is None:
        from DIRAC.TransformationSystem.Client.TransformationClient import TransformationClient

        names = sorted({step.campaign for step in find_steps(TransformationClient())})
    else:
        names = [campaign]
    found, failed = [], []
    for name in names:
        try:
            found.append(campaign_status(gateway, name))
        except CtaRucioError as error:
            if campaign is not None:
                raise
            failed.append(f"{name}: {error}")
    if as_json:
        print(json.dumps(found if campaign is None else found[0], indent=1), file=out)
    else:
        for item in found:
            _print_status(item, out)
        if not names:
            print("No campaigns.", file=out)
    for line in failed:
        print(line, file=sys.stderr)
    if failed:
        raise typer.Exit(1)
    if wait is not None and found[0]["state"] != "complete":
        raise typer.Exit(1)


def _wait(gateway: Any, campaign: str, seconds: float) -> None:
    """Show progress on standard error until there is nothing to wait for."""
    from DIRAC.Core.Utilities.ReturnValues import SErrorException
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from CTARucioDIRAC.TransformationSystem.Client.CampaignStatus import campaign_status

    end = time.monotonic() + seconds
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}
        while True:
            try:
                item = campaign_status(gateway, campaign)
            except (Unavailable, SErrorException) as error:
                if time.monotonic() > end:
                    raise
                bars.console.print(f"no answer, asking again: {error}", highlight=False)
                time.sleep(5)  # a server that restarts; the deadline is that of the whole wait
                continue
            for name, done, total in _bars(item):
                if name not in tasks:
                    tasks[name] = bars.add_task(name)
                bars.update(tasks[name], completed=done, total=total or None)
            if item["state"] != "running" or time.monotonic() > end:
                return
            time.sleep(2)  # between two questions; the campaign's state is the condition


def _bars(item: dict[str, Any]) -> list[tuple[str, int, int]]:
    """What to show of a campaign: how much of what is done."""
    processed = item["steps"][0]["files"].get("Processed", 0)
    recall = item["recall"]
    # a file whose input is processed has been recalled, though it is not on the buffer any more
    bars = [
        (
            "recalled from tape",
            max(recall["online"], min(recall["online"] + processed, recall["selected"])),
            recall["selected"],
        )
    ]
    for step in item["steps"]:
        bars.append((f"{step['step']}: files", step["files"].get("Processed", 0), sum(step["files"].values())))
    return bars


def _results_only() -> TextIO:
    """Keep standard output for results: what DIRAC logs goes to standard error from here on. Before DIRAC is imported."""
    out = sys.stdout
    sys.stdout = sys.stderr
    return out


def _connect() -> Any:
    """Initialise DIRAC and take the current proxy's account in Rucio."""
    import DIRAC

    DIRAC.initialize()
    from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway

    return current_gateway()


def _print_summary(summary: dict[str, Any], dry_run: bool, out: TextIO) -> None:
    print = functools.partial(builtins.print, file=out)
    print(f"Campaign {summary['campaign']}{' (dry run: nothing was written)' if dry_run else ''}")
    print(f"  files      {summary['files']} ({summary['bytes'] / 1e6:.1f} MB)")
    print(f"  recalls    {summary['recalls']}")
    for step, jobs in summary["jobs"].items():
        number = summary.get("transformations", {}).get(step)
        print(f"  jobs       {jobs} {step}" + (f" (transformation {number})" if number else ""))
    if summary["set_aside"]:
        print(f"  set aside  {len(summary['set_aside'])}:")
        for lfn, reason in list(summary["set_aside"].items())[:20]:
            print(f"    {lfn}: {reason}")
        if len(summary["set_aside"]) > 20:
            print(f"    … and {len(summary['set_aside']) - 20} more (--json shows all)")
    if not dry_run:
        print(f"Follow it with: cta-rucio-reprocess status {summary['campaign']}")


def _print_status(item: dict[str, Any], out: TextIO) -> None:
    print = functools.partial(builtins.print, file=out)
    recall = item["recall"]
    pins = ", ".join(f"{count} {state}" for state, count in recall["pins"].items()) or "none"
    table = Table(title=f"{item['campaign']}: {item['state']}", title_justify="left")
    for column in ("step", "transformation", "status", "files", "jobs", "outputs"):
        table.add_column(column, justify="right" if column in ("transformation", "outputs") else "left")
    for step in item["steps"]:
        table.add_row(
            step["step"],
            str(step["transformation"]),
            step["status"],
            _counts(step["files"]),
            _counts(step["jobs"]),
            str(step["outputs"]),
        )
    Console(file=out).print(table)
    for problem in item["problems"]:
        print(f"problem: {problem}")
    print(
        f"recall: {recall['online']} of {recall['selected']} files of {recall['source']} on {recall['buffer']}; pins: {pins}"
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "-"


def main() -> None:
    """Entry point: errors become one clear message and exit code 1."""
    from DIRAC.Core.Utilities.exceptions import DIRACInitError
    from DIRAC.Core.Utilities.ReturnValues import SErrorException

    try:
        app(standalone_mode=True)
    except (CtaRucioError, SErrorException, DIRACInitError) as error:
        print(f"cta-rucio-reprocess: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
