"""Run one step's script over one job's input, and accept its output only if nothing is missing from it.

Knows neither DIRAC nor Rucio: files in, one accepted file out. A directory belongs to one job: ctapipe's DL0 source opens
sibling files by itself, so another chunk's files beside them would be read twice.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CTARucioDIRAC.domain.acada import parse_name
from CTARucioDIRAC.domain.campaign import Group, Step
from CTARucioDIRAC.domain.errors import CtaRucioError, InvalidInput

#: What the output's check says, by name (events_in, events_out, reconstructed, …).
Report = dict[str, Any]


class ProcessingFailed(CtaRucioError):
    """The script failed or its output is not complete; the message has the telling lines."""


@dataclass(frozen=True)
class Processed:
    """An accepted output.

    Attributes
    ----------
    path : Path
        The file.
    report : dict
        What the check counted: ``events_in``, ``events_out``, ``tel_rows_out``, ``reconstructed``,
        ``without_reconstruction`` …
    """

    path: Path
    report: Report


def software_bin(area: Path, step: Step) -> Path:
    """Directory of the step's programs in the site's software area.

    Raises
    ------
    ProcessingFailed
        If the software is not there.
    """
    directory = area / f"{step.software.name}-{step.software.version}" / "bin"
    if not directory.is_dir():
        raise ProcessingFailed(
            f"step {step.name}: {step.software.name} {step.software.version} is not in the software area {area}; "
            "install it there, or set /LocalSite/SharedArea to where it is"
        )
    return directory


def local_path(directory: Path, lfn: str) -> Path:
    """Where a file is put in a job's input directory: the LFN's own tree, which ACADA's DL0 source needs."""
    return directory / lfn.lstrip("/")


def run_step(
    step: Step, group: Group, inputs: Path, work: Path, area: Path, configuration: Mapping[str, Any] | None
) -> Processed:
    """Run the script, then check its output.

    Parameters
    ----------
    step : Step
    group : Group
        The job's input; its files are below ``inputs`` as :func:`local_path` says.
    inputs, work : Path
        Directory of the inputs, and an empty one for everything else.
    area : Path
        The site's software area.
    configuration : mapping, optional
        Content of the script's configuration file.

    Returns
    -------
    Processed

    Raises
    ------
    ProcessingFailed
        If the exit code is not 0, or the check refuses the output. The output is deleted then, and with it whatever part
        of it the script left behind.
    """
    output = work / "output.h5"
    paths = [local_path(inputs, lfn) for lfn in group.lfns]
    command = _script(step, paths, output, _write_configuration(work, configuration))
    try:
        _run(step.name, software_bin(area, step), command, work, "script")
        return Processed(output, check_output(step, group, inputs, output, work, area))
    except BaseException:
        output.unlink(missing_ok=True)
        raise


def check_output(step: Step, group: Group, inputs: Path, output: Path, work: Path, area: Path) -> Report:
    """Compare an output with its inputs, event by event.

    Returns
    -------
    dict
        What was counted.

    Raises
    ------
    ProcessingFailed
        If the output is refused; the message names every reason.
    """
    paths = [local_path(inputs, lfn) for lfn in group.lfns]
    programs = software_bin(area, step)
    command = _check(step, paths, output)
    if step.kind == "simtel":  # a single telescope has no direction: then DL1 is all there can be
        raw = json.loads(_run(step.name, programs, ["cta-rucio-inspect-raw", str(paths[0])], work, "inspect"))
        command += ["--levels", "DL1_PARAMETERS", *(["DL2"] if raw["stereo"] else [])]
    answer = _run(step.name, programs, command, work, "check", accept=(0, 1))
    report: Report = json.loads(answer)
    if report.get("reasons"):
        raise ProcessingFailed(f"step {step.name}, {group.key}: output refused: {'; '.join(report['reasons'])}")
    return report


def _write_configuration(work: Path, configuration: Mapping[str, Any] | None) -> list[str]:
    if not configuration:
        return []
    path = work / "configuration.json"
    path.write_text(json.dumps(configuration, indent=1))
    return ["-c", str(path)]


def _triggers(paths: Sequence[Path]) -> list[Path]:
    triggers = [p for p in paths if (name := parse_name(p.name)) and name.stream.endswith("SUBARRAY")]
    if not triggers:
        raise InvalidInput(f"no trigger file among {', '.join(p.name for p in paths)}: the events cannot be assembled")
    return triggers


def _script(step: Step, paths: Sequence[Path], output: Path, configuration: Sequence[str]) -> list[str]:
    provenance = [f"--provenance-log={output.parent / 'provenance.log'}"]
    if step.kind == "merge":
        files = [str(path) for path in paths]
        return ["ctapipe-merge", *files, "-o", str(output), "--single-ob", *configuration, *provenance, *step.options]
    source = paths[0]
    monitoring: list[str] = []
    if step.kind == "dl0":
        source = _triggers(paths)[0]
        for path in paths:
            if (name := parse_name(path.name)) and name.chunk is None:
                monitoring = ["--monitoring-source", "DL0PointingSource", f"--DL0PointingSource.input_url={path}"]
    command = ["ctapipe-process", "-i", str(source), "-o", str(output)]
    return [*command, *configuration, *monitoring, *provenance, *step.options]


def _check(step: Step, paths: Sequence[Path], output: Path) -> list[str]:
    command = ["cta-rucio-check-events", "--json", "--output", str(output)]
    if step.kind == "merge":
        return [*command, "--merged-from", *map(str, paths)]
    if step.kind == "simtel":
        return [*command, "--simtel", str(paths[0])]
    names = [path.name for path in paths if (name := parse_name(path.name)) and name.chunk is not None]
    return [*command, "--dl0-triggers", *map(str, _triggers(paths)), "--expect", *names]


def _run(step: str, programs: Path, command: Sequence[str], work: Path, what: str, accept: Sequence[int] = (0,)) -> str:
    """Run a program of the software area in an environment of its own; returns what it printed."""
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "HOME": str(work),
        "TMPDIR": str(work),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        # beside the software, so that ctapipe is not compiled again in every job
        "NUMBA_CACHE_DIR": str(programs.parents[1] / "numba-cache"),
    }
    log = work / f"{what}.log"
    with log.open("w") as errors:
        result = subprocess.run(
            [str(programs / command[0]), *command[1:]],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
    if result.returncode not in accept:
        tail = "\n".join((result.stdout + log.read_text(errors="replace")).splitlines()[-15:])
        raise ProcessingFailed(f"step {step}: {command[0]} ended with exit code {result.returncode}:\n{tail}")
    return result.stdout
