"""The table at the end of a demonstration: every number is read back from Rucio, DIRAC, the tape library or the files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rucio.client import Client

from CTARucioDIRAC.demo.raw import RawData, run_tool
from CTARucioDIRAC.domain.identifiers import did_of

#: What the tape robot writes for each file that it brought back.
RECALLED = "recall"


@dataclass(frozen=True)
class Outputs:
    """What a campaign registered in one step."""

    names: tuple[str, ...]
    size: int
    events: int
    reconstructed: int


def outputs(client: Client, dataset: str) -> Outputs:
    """Outputs of a step with the figures in their metadata."""
    did = did_of(dataset)
    files = list(client.list_files(did.scope, did.name))
    dids = [{"scope": f["scope"], "name": f["name"]} for f in files]
    metadata = list(client.get_metadata_bulk(dids, plugin="JSON")) if dids else []
    return Outputs(
        tuple(sorted(f["name"] for f in files)),
        sum(f["bytes"] for f in files),
        sum(int(m["n_events"]) for m in metadata),
        sum(int(m["n_reconstructed"]) for m in metadata),
    )


def recalled(journal: Path, names: Iterable[str], since: float) -> tuple[int, int]:
    """Files and bytes that the tape robot brought back since a time, from its journal."""
    wanted = set(names)
    count = size = 0
    for line in journal.read_text().splitlines():
        entry = json.loads(line)
        if entry["event"] == RECALLED and entry["time"] >= since and "/" + entry["name"].lstrip("/") in wanted:
            count += 1
            size += entry["bytes"]
    return count, size


def direction_errors(programs: Path, truth: Path, merged: Iterable[Path]) -> list[float]:
    """Median distance between true and reconstructed direction in each file, in degrees."""
    errors = []
    for path in merged:
        command = [
            programs / "cta-rucio-check-events",
            "--json",
            "--output",
            path,
            "--merged-from",
            path,
            "--truth",
            truth,
        ]
        errors.append(float(json.loads(run_tool(command))["median_direction_error_deg"]))
    return errors


def figures(
    data: RawData,
    tape: tuple[int, int],
    status: Mapping[str, Any],
    steps: Mapping[str, Outputs],
    errors: Sequence[float],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """All that the table shows, for scripts."""
    return {
        "campaign": status["campaign"],
        "state": status["state"],
        "raw": {
            "files": [file.lfn for file in data.files],
            "bytes": sum(file.size for file in data.files),
            "events": data.events,
            "set_aside": dict(data.set_aside),
        },
        "recalled": {"files": tape[0], "bytes": tape[1]},
        "steps": [
            {
                "step": step["step"],
                "jobs": step["jobs"],
                "outputs": list(steps[step["step"]].names),
                "output_dataset": step["output_dataset"],
                "bytes": steps[step["step"]].size,
                "events": steps[step["step"]].events,
                "reconstructed": steps[step["step"]].reconstructed,
            }
            for step in status["steps"]
        ],
        "median_direction_error_deg": list(errors),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }


def print_table(found: Mapping[str, Any]) -> None:
    """Print what was done."""
    table = Table(title="What was done", title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")

    def row(name: str, value: object) -> None:
        table.add_row(name, str(value))

    raw = found["raw"]
    row("raw files ingested", f"{len(raw['files'])} files, {raw['bytes'] / 1e6:.1f} MB")
    if raw["set_aside"]:
        row("set aside", f"{len(raw['set_aside'])} files")
    row("recalled from tape", f"{found['recalled']['files']} files, {found['recalled']['bytes'] / 1e6:.1f} MB")
    for step in found["steps"]:
        row(f"{step['step']}: jobs done", f"{step['jobs'].get('Done', 0)} of {sum(step['jobs'].values())}")
        row(f"{step['step']}: outputs", f"{len(step['outputs'])} files, {step['bytes'] / 1e6:.1f} MB")
        row(
            f"{step['step']}: events",
            f"{raw['events']} in, {step['events']} out, {step['reconstructed']} with a direction",
        )
    if errors := found["median_direction_error_deg"]:
        row("median direction error, by observation", ", ".join(f"{error:.4f}°" for error in errors))
    table.add_section()
    for name, value in found["seconds"].items():
        row(name, f"{value:.1f} s")
    row("all", f"{sum(found['seconds'].values()):.1f} s")
    Console().print(table)
