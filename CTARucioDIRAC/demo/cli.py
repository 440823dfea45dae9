"""cta-rucio-demo: the whole job, from raw data at the telescope to registered science data, in front of the user."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from CTARucioDIRAC.domain.errors import CtaRucioError
from CTARucioDIRAC.testbed import environment, state
from CTARucioDIRAC.testbed.cli import default_directory
from CTARucioDIRAC.testbed.layout import Layout
from CTARucioDIRAC.testbed.service import TestbedError

ONSITE, TAPE, SECOND = "LAPALMA-DISK", "PIC-TAPE", "CNAF-DISK"
#: Seconds that a single stage may take; generous, so that only something broken reaches it.
DEADLINE = 600.0
WORKFLOWS = Path(__file__).resolve().parents[2] / "Workflow"


class Stages:
    """Seconds of each stage, and how it is announced."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.console = Console()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Any]:
        """Announce a stage, show bars for what it reports, and remember how long it took."""
        self.console.rule(f"[bold]{name}", align="left")
        began = time.monotonic()
        columns = (TextColumn("  {task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as bars:
            tasks: dict[str, Any] = {}

            def report(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what)
                bars.update(tasks[what], completed=done, total=total or None)

            yield report
        self.seconds[name] = time.monotonic() - began


def run(
    directory: Annotated[
        Path,
        typer.Option(
            "--dir", envvar="CTA_RUCIO_TESTBED_DIR", help="State directory.", default_factory=default_directory
        ),
    ],
    input_directory: Annotated[
        Path | None, typer.Option("--input", help="Your own raw files (DL0 in ACADA's tree, or simtel).")
    ] = None,
    observations: Annotated[int, typer.Option(min=1, help="Observation blocks of the night that is made.")] = 2,
    chunks: Annotated[int, typer.Option(min=1, help="Chunks in each observation.")] = 2,
    events: Annotated[int, typer.Option(min=1, help="Events in each chunk.")] = 20,
    result: Annotated[Path | None, typer.Option("--json", help="Also write the table's figures to this file.")] = None,
) -> None:
    """Take raw data from the telescope's disk to tape and a second site, and reprocess it from there.

    Needs a running testbed (cta-rucio-testbed up), and leaves it running. Raw files are made for it, or are your own
    with --input. Nothing is canned: each figure of the table at the end is read back from Rucio, DIRAC, the tape library
    or the files.
    """
    layout = state.load(directory.absolute())
    os.environ.update(environment.client(layout, "robot"))
    for variable in environment.UNWANTED:
        os.environ.pop(variable, None)
    Demo(layout, Stages(), result).run(input_directory, observations, chunks, events)


class Demo:
    """One run; its files are in ``demo/<name>`` of the current directory's testbed."""

    def __init__(self, layout: Layout, stages: Stages, result: Path | None) -> None:
        self.layout, self.stages, self.result = layout, stages, result
        self.programs = layout.software / "ctapipe-0.28" / "bin"
        self.name, self.directory = _own_name(Path(os.environ.get("TMPDIR", "/var/tmp")))

    def run(self, own: Path | None, observations: int, chunks: int, events: int) -> None:
        """Do it all."""
        from rucio.client import Client

        from CTARucioDIRAC.demo import bdms, raw

        client = Client()
        with self.stages.stage("raw data"):
            if own is None:
                data = raw.make_night(self.programs, self.directory / "night", self.name, observations, chunks, events)
            else:
                data = raw.own_files(self.programs, own.resolve(), self.name)
        print(f"  {len(data.files)} files, {sum(f.size for f in data.files) / 1e6:.1f} MB, {data.events} events")
        for path, reason in data.set_aside.items():
            print(f"  set aside: {path}: {reason}")
        with self.stages.stage(f"ingest at {ONSITE} with plain Rucio") as report:
            datasets = bdms.ingest(client, data, ONSITE, report)
            onsite = bdms.add_rules(client, datasets, ONSITE)
            bdms.wait_for_rules(client, onsite, "custodial rule", DEADLINE, report)
        with self.stages.stage(f"replicate to {TAPE} and {SECOND}") as report:
            for rse, rules in [(rse, bdms.add_rules(client, datasets, rse)) for rse in (SECOND, TAPE)]:
                bdms.wait_for_rules(client, rules, f"copies at {rse}", DEADLINE, report)
        with self.stages.stage(f"verify, then release {ONSITE}") as report:
            for rse in (SECOND, TAPE):
                copies = bdms.verify(client, data.files, rse, rse == TAPE, report)
                if copies.failures:
                    raise TestbedError(f"{ONSITE} keeps its copies: {copies.failures[0]}")
            bdms.release(client, data.files, onsite, ONSITE, DEADLINE, report)
        with self.stages.stage("adopt what plain Rucio left"):
            scopes = sorted({file.lfn.split("/")[2] for file in data.files})
            for scope in scopes:
                self._production("cta-rucio-adopt", f"{scope}:", capture=True)
        since = time.time()
        base = self._campaign(data)
        self._report(client, data, base, since)

    def _campaign(self, data: Any) -> str:
        """Write the campaign's file, submit it and wait; returns its container."""
        from ruamel.yaml import YAML

        from CTARucioDIRAC.demo.raw import RUN

        yaml = YAML()
        template = WORKFLOWS / ("night-to-dl2.yaml" if data.kind == "dl0" else "simtel-to-dl2.yaml")
        content = yaml.load(template.read_text())
        content["campaign"] = self.name
        content["selection"]["path"] = data.path
        content["selection"]["metadata"] = {RUN: self.name}
        for step in content["steps"]:
            step["output"]["path"] = f"/ctao/{self.name}/DL2/{step['name']}"
            if "config" in step:
                step["config"] = str(WORKFLOWS / step["config"])
        path = self.directory / "campaign.yaml"
        with path.open("w") as file:
            yaml.dump(content, file)
        base = f"/ctao/campaigns/{self.name}"
        with self.stages.stage("submit the campaign"):
            self._production("cta-rucio-reprocess", "submit", str(path))
        self.stages.console.rule("[bold]recall, process, merge, register", align="left")
        began = time.monotonic()
        patience = str(DEADLINE + 30 * len(data.files))
        self._production("cta-rucio-reprocess", "status", base, "--wait", patience, check=False)
        self.stages.seconds["recall, process, merge, register"] = time.monotonic() - began
        return base

    def _production(self, *command: str, capture: bool = False, check: bool = True) -> str:
        """Run a command as a production manager would."""
        variables = {k: v for k, v in os.environ.items() if k not in ("RUCIO_HOME", *environment.UNWANTED)}
        variables |= environment.client(self.layout, "production")
        result = subprocess.run(
            [str(self.layout.bin / command[0]), *command[1:]],
            env=variables,
            cwd=self.directory,
            check=False,
            text=True,
            stdout=subprocess.PIPE if capture else None,
        )
        if result.returncode and check:
            raise TestbedError(f"{' '.join(command)} ended with exit code {result.returncode}; see above.")
        return result.stdout or ""

    def _report(self, client: Any, data: Any, base: str, since: float) -> None:
        from CTARucioDIRAC.demo import report

        status = json.loads(self._production("cta-rucio-reprocess", "status", base, "--json", capture=True))
        steps = {step["step"]: report.outputs(client, step["output_dataset"]) for step in status["steps"]}
        errors: list[float] = []
        last = status["steps"][-1]["step"]
        if data.truth is not None and steps[last].names:
            self._production("dirac-dms-get-file", *steps[last].names, capture=True)
            local = [self.directory / name.rsplit("/", 1)[1] for name in steps[last].names]
            errors = report.direction_errors(self.programs, data.truth, local)
        journal = self.layout.root / "tape" / "journal.jsonl"
        tape = report.recalled(journal, (f.lfn for f in data.files), since)
        found = report.figures(data, tape, status, steps, errors, self.stages.seconds)
        report.print_table(found)
        if self.result is not None:
            self.result.write_text(json.dumps(found, indent=1))
        example = steps[last].names[0] if steps[last].names else base
        print(f"""
Look further; the stack is left running ({self.layout.root}):
  eval "$({self.layout.bin}/cta-rucio-testbed env --dir {self.layout.root} --role production)"
  cta-rucio-reprocess status {base}
  dls {data.path}
  dirac-dms-lfn-replicas {data.files[0].lfn}
  cta-rucio-check
  rucio did metadata list --plugin JSON {self.name}:{example}
  cta-rucio-testbed status --dir {self.layout.root}
  cta-rucio-testbed down --dir {self.layout.root}
The campaign's file: {self.directory / "campaign.yaml"}""")
        if status["state"] != "complete":
            raise TestbedError(f"the campaign is not complete but {status['state']}: see {base} above.")


def _own_name(parent: Path) -> tuple[str, Path]:
    """A name after the time that no other demonstration on this machine has, and its directory, which says so."""
    while True:
        name = time.strftime("demo%Y%m%dT%H%M%S", time.gmtime())
        directory = parent / f"cta-rucio-{name}"
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            time.sleep(0.2)  # until the next second, whose name is free
        else:
            return name, directory


def main() -> None:
    """Entry point: errors become one clear message and exit code 1."""
    try:
        typer.run(run)
    except (CtaRucioError, TestbedError) as error:
        print(f"cta-rucio-demo: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        # Rucio's and gfal2's errors, by name: neither can be imported before the environment says where Rucio is
        if type(error).__module__.split(".")[0] not in ("rucio", "gfal2"):
            raise
        print(f"cta-rucio-demo: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
