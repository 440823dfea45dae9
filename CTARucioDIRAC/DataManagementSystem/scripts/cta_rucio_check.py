"""cta-rucio-check: whether Rucio and DIRAC agree, and whether all data are where both can use them."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from CTARucioDIRAC.domain.errors import CtaRucioError

EXAMPLES = """
Audit an installation: names, protocols and addresses of the storages on both sides, settings of RSEs, accounts and
identities, certificates, clocks, scopes, parents, rules, copies. Nothing is changed. Each finding says what is the matter
and what to do.

Examples:

  cta-rucio-check                               everything; some files and collections of each scope

  cta-rucio-check --scope lst --sample 1000     one scope, thoroughly

  cta-rucio-check --only protocols --only rse-settings

  cta-rucio-check --storage                     also look at the storages: missing, different and unregistered files

  cta-rucio-check --json                        for scripts and monitoring

Needs a DIRAC proxy of a group that has a RucioAccount. Exit codes: 0 clean (there may be notes), 1 errors or warnings,
2 the audit can't run, or wrong usage.
"""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=EXAMPLES)
def check(
    scope: Annotated[list[str] | None, typer.Option("--scope", help="Only this scope; may be repeated.")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this check; may be repeated.")] = None,
    sample: Annotated[
        int,
        typer.Option("--sample", min=1, help="So many files, and so many collections, of each scope are looked at."),
    ] = 20,
    storage: Annotated[
        bool, typer.Option("--storage", help="Also look whether the copies are at the storages.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Audit an installation."""
    out, sys.stdout = sys.stdout, sys.stderr  # what DIRAC logs isn't a result
    findings, counts = _audit(scope or [], only or [], sample, storage)
    bad = [item for item in findings if item["severity"] != "note"]
    if as_json:
        print(json.dumps({"clean": not bad, "looked_at": counts, "findings": findings}, indent=1), file=out)
    else:
        _print(findings, counts, out)
    raise typer.Exit(1 if bad else 0)


def _audit(
    scope: list[str], only: list[str], sample: int, storage: bool
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    import DIRAC

    DIRAC.initialize()
    from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
    from CTARucioDIRAC.ConfigurationSystem.Client.RucioConfiguration import read_catalogue_settings
    from CTARucioDIRAC.DataManagementSystem.Client.SiteFacts import GfalStorage, read_site
    from CTARucioDIRAC.gateway.protocol import RseType
    from CTARucioDIRAC.usecases.audit import CHECKS, Audit, run

    unknown = sorted(set(only) - CHECKS.keys())
    if unknown:
        raise typer.BadParameter(f"there is no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    settings = read_catalogue_settings()
    gateway = current_gateway(settings)
    gateway.whoami()
    unknown = sorted(set(scope) - set(gateway.list_scopes())) if scope else []
    if unknown:
        raise typer.BadParameter(f"there is no scope {', '.join(unknown)} in Rucio")
    audit = Audit(gateway, read_site(settings.VO), tuple(scope), sample)
    if storage:
        audit.storage = GfalStorage([rse.name for rse in audit.rses.values() if rse.type is RseType.TAPE])
    console = Console(stderr=True)
    with console.status("auditing") as status:
        found = run(audit, only, lambda name: status.update(f"checking {name}"))
    return [dataclasses.asdict(item) for item in found], audit.counts


def _print(findings: list[dict[str, Any]], counts: dict[str, int], out: TextIO) -> None:
    for item in findings:
        print(f"{item['severity'].upper():7} {item['check']}: {item['object']}", file=out)
        print(f"        {item['cause']}", file=out)
        print(f"        → {item['remedy']}", file=out)
    looked = ", ".join(f"{count} {what}" for what, count in counts.items())
    kinds = {kind: sum(item["severity"] == kind for item in findings) for kind in ("error", "warning", "note")}
    print(f"{'; '.join(f'{count} {kind}s' for kind, count in kinds.items())}. Looked at {looked}.", file=out)


def main() -> None:
    """Entry point: what keeps the audit from running becomes one clear message and exit code 2."""
    from DIRAC.Core.Utilities.exceptions import DIRACInitError

    try:
        app(standalone_mode=True)
    except (CtaRucioError, DIRACInitError) as error:
        print(f"cta-rucio-check: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
