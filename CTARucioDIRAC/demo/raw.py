"""The raw files of a demonstration: a night written for it, or the user's own."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.domain.identifiers import validate_lfn

#: Metadata key that says which run of the demonstration a file belongs to: its campaign selects by it.
RUN = "demo_run"


@dataclass(frozen=True)
class RawFile:
    """A file to ingest.

    Attributes
    ----------
    path : Path
        Where it is now.
    lfn : str
        Its name in Rucio.
    size : int
        Bytes.
    adler32 : str
        Eight hexadecimal digits.
    events : int or None
        Subarray events that it holds; None for files that repeat or accompany them.
    metadata : mapping
        The keys CTAO's BDMS sets at ingestion.
    """

    path: Path
    lfn: str
    size: int
    adler32: str
    events: int | None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RawData:
    """What a demonstration processes.

    Attributes
    ----------
    kind : str
        ``dl0`` or ``simtel``: the kind of the campaign's first step.
    path : str
        Directory in Rucio that holds the files.
    files : sequence of RawFile
    set_aside : mapping of path to str
        Files that are not processed, each with its reason.
    truth : Path or None
        Where the true direction of the events is, for a night written here.
    """

    kind: str
    path: str
    files: Sequence[RawFile]
    set_aside: Mapping[str, str] = field(default_factory=dict)
    truth: Path | None = None

    @property
    def events(self) -> int:
        """Subarray events in the input."""
        return sum(file.events or 0 for file in self.files)


def adler32(path: Path) -> str:
    """Checksum of a file, as Rucio writes it."""
    value = 1
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.adler32(block, value)
    return f"{value & 0xFFFFFFFF:08x}"


def make_night(programs: Path, directory: Path, scope: str, observations: int, chunks: int, events: int) -> RawData:
    """Write a night of raw data as ACADA writes it.

    Parameters
    ----------
    programs : Path
        ``bin`` of the environment with ctapipe and the worker tools.
    directory : Path
        Where to write.
    scope : str
        Scope of the files in Rucio: the second component of their names.
    observations, chunks, events : int
        Observation blocks, chunks in each, events in each chunk.
    """
    command = [programs / "cta-rucio-make-night", "--output", directory, "--observations", observations]
    command += ["--chunks", chunks, "--events-per-chunk", events, "--json"]
    manifest = json.loads(run_tool(command))
    files = [
        RawFile(
            directory / entry["path"],
            f"/ctao/{scope}/{entry['path']}",
            entry["bytes"],
            entry["adler32"],
            entry["n_events"] if entry["kind"] == "trigger" else None,
            _bdms_metadata(entry) | {RUN: scope},
        )
        for entry in manifest["files"]
    ]
    return RawData("dl0", f"/ctao/{scope}/DL0", files, truth=directory / "truth.json")


def own_files(programs: Path, directory: Path, scope: str) -> RawData:
    """Take the user's own raw files: DL0 as ACADA writes it, or simulation files; the former when there are any.

    Raises
    ------
    InvalidInput
        If nothing in the directory can be read.
    """
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise InvalidInput(f"{directory} holds no files; INPUT must be a directory with raw data")
    described = [json.loads(line) for line in run_tool([programs / "cta-rucio-inspect-raw", *paths]).splitlines()]
    aside = {str(path): item["reason"] for path, item in zip(paths, described, strict=True) if item.get("reason")}
    readable = [(p, i) for p, i in zip(paths, described, strict=True) if str(p) not in aside]
    kinds = {"trigger": "dl0", "event": "dl0", "pointing": "dl0", "simtel": "simtel"}
    found = {kinds[item["kind"]] for _, item in readable}
    if not found:
        reasons = "\n".join(f"  {path}: {reason}" for path, reason in aside.items())
        raise InvalidInput(f"nothing in {directory} can be processed:\n{reasons}")
    kind = "dl0" if "dl0" in found else "simtel"
    files: dict[str, RawFile] = {}
    for path, item in readable:
        if kinds[item["kind"]] != kind:
            aside[str(path)] = "is a simulation file beside DL0 files; give it a directory of its own"
            continue
        lfn = _own_lfn(path, item, kind, scope)
        try:
            validate_lfn(lfn)
        except InvalidInput as error:
            aside[str(path)] = str(error)
        if lfn in files:
            aside[str(path)] = f"would have the same name as {files[lfn].path}: {lfn}"
        elif str(path) not in aside:
            files[lfn] = _own_file(path, item, lfn, scope)
    top = "/ctao/sim" if kind == "simtel" else f"/ctao/{scope}/DL0"
    return RawData(kind, top, list(files.values()), aside)


def _own_lfn(path: Path, item: Mapping[str, Any], kind: str, scope: str) -> str:
    if kind == "simtel":
        return f"/ctao/sim/{item['obs_id']}/{path.name}"
    return f"/ctao/{scope}/{item['dl0_path']}"


def _own_file(path: Path, item: Mapping[str, Any], lfn: str, run: str) -> RawFile:
    counted = item["kind"] in ("trigger", "simtel")
    events = item.get("n_events") if counted else None
    return RawFile(path, lfn, path.stat().st_size, adler32(path), events, _bdms_metadata(item) | {RUN: run})


def _bdms_metadata(item: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that CTAO's BDMS sets at ingestion, from what is known of the file."""
    values = {
        "observatory": "CTAO-NORTH" if item["kind"] != "simtel" else None,
        "obs_id": item.get("obs_id"),
        "sb_id": item.get("sb_id"),
        "subarray_id": item.get("subarray_id"),
        "tel_ids": item.get("tel_ids") or ([item["tel_id"]] if item.get("tel_id") else None),
        "start_time": item.get("start"),
        "end_time": item.get("end"),
        "data_level": 0 if item["kind"] != "simtel" else -1,
    }
    return {key: value for key, value in values.items() if value is not None}


def run_tool(command: Iterable[object]) -> str:
    """Run a program of the workers' software; returns what it printed.

    Raises
    ------
    InvalidInput
        If it fails, with what it said.
    """
    words = [str(word) for word in command]
    cache = Path(words[0]).parents[2] / "numba-cache"
    result = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
    )
    if result.returncode:
        raise InvalidInput(f"{Path(words[0]).name} failed: {(result.stderr or result.stdout).strip()[-2000:]}")
    return result.stdout
