"""The worker tools, run as a job runs them: as commands of the ctapipe environment, on files that they made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOFTWARE = "ctapipe-0.28"
CONFIG = ROOT / "Workflow" / "config"
SIMTEL_DATA = ROOT.parent / "shared" / "data"
COMMANDS = ("cta-rucio-make-night", "cta-rucio-check-events", "cta-rucio-inspect-raw")
#: Events per chunk, observation, source of the night that all tests share.
EVENTS, OBS_ID, SOURCE_LIMIT_DEG = 6, 1001, 0.05


def _bin() -> Path:
    area = Path(os.environ.get("CTA_SOFTWARE_AREA", ROOT / ".software"))
    found = area if (area / "bin" / "ctapipe-process").exists() else area / SOFTWARE
    for command in ("ctapipe-process", *COMMANDS):
        if not (found / "bin" / command).exists():
            pytest.fail(f"{found}/bin has no {command}: run make, or set CTA_SOFTWARE_AREA to the software area")
    return found / "bin"


def run(command: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of the ctapipe environment; the caller judges the exit code."""
    return subprocess.run(
        [str(_bin() / command), *map(str, arguments)],
        cwd=cwd or tempfile.gettempdir(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@dataclass
class Job:
    """An isolated directory of one job, with what ctapipe-process made of it."""

    directory: Path
    exit_code: int = -1
    log: str = ""

    @property
    def output(self) -> Path:
        return self.directory / "out.h5"

    @property
    def trigger(self) -> Path:
        return next(self.directory.rglob("SUB*.fits.fz"))

    @property
    def pointing(self) -> Path:
        return next(self.directory.rglob("pointing_*.mon.h5"))

    def stream(self, name: str) -> Path:
        return next(self.directory.rglob(f"{name}_*.fits.fz"))

    def process(self, *arguments: object, pointing: bool = True) -> None:
        options = ["-i", self.trigger, "-o", self.output, *arguments]
        if pointing:
            options += ["-c", CONFIG / "dl0-to-dl2.yaml", f"--DL0PointingSource.input_url={self.pointing}"]
        done = run("ctapipe-process", *options, cwd=self.directory)
        self.exit_code, self.log = done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One observation of two chunks."""
    output = tmp_path_factory.mktemp("night") / "night"
    made = run("cta-rucio-make-night", "--output", output, "--observations", 1, "--events-per-chunk", EVENTS)
    assert made.returncode == 0, made.stderr
    return output


def _new_job(night: Path, directory: Path, chunk: int) -> Job:
    for entry in json.loads((night / "manifest.json").read_text())["files"]:
        if entry["chunk"] in (chunk, None):
            target = directory / entry["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(night / entry["path"], target)
    return Job(directory)


def _keep(_job: Job) -> None:
    """A good job."""


def _cut(job: Job) -> None:
    path = job.stream("TEL003_SDH001")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _wrong_layout(job: Job) -> None:
    for events in job.directory.glob("DL0/*/*/acada-adh/events"):
        events.rename(events.with_name("event"))


@pytest.fixture(scope="module")
def jobs(night: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    """Good jobs and one job for each trap, processed two at a time."""
    base = tmp_path_factory.mktemp("jobs")
    without_pointing = ("--write-showers", "--DataWriter.write_dl1_parameters=True")
    plans: dict[str, tuple[int, Callable[[Job], object], tuple[str, ...]]] = {
        "chunk0": (0, _keep, ()),
        "chunk1": (1, _keep, ()),
        "no pointing": (0, _keep, without_pointing),
        "missing stream": (0, lambda job: job.stream("TEL002_SDH000").unlink(), ()),
        "missing telescope": (0, lambda job: shutil.rmtree(job.directory / "DL0" / "LSTN-04"), ()),
        "cut stream": (0, _cut, ()),
        "wrong layout": (0, _wrong_layout, ()),
    }

    def process(name: str) -> Job:
        chunk, spoil, arguments = plans[name]
        job = _new_job(night, base / name.replace(" ", "-"), chunk)
        spoil(job)
        job.process(*arguments, pointing=not arguments)
        return job

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(plans, pool.map(process, plans), strict=True))


@pytest.fixture(scope="module")
def merged(jobs: dict[str, Job], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both chunks of the observation in one file."""
    output = tmp_path_factory.mktemp("merged") / "observation.h5"
    done = run("ctapipe-merge", jobs["chunk0"].output, jobs["chunk1"].output, "-o", output, "--single-ob")
    assert done.returncode == 0, done.stderr
    return output


def check(output: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
    """Exit code and result of cta-rucio-check-events."""
    done = run("cta-rucio-check-events", "--output", output, *arguments, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def refused(output: Path, *arguments: object) -> str:
    """The reasons for which an output is refused."""
    exit_code, result = check(output, *arguments)
    assert (exit_code, result["accepted"]) == (1, False)
    return "\n".join(result["reasons"])


def inspect(*paths: object) -> list[dict[str, Any]]:
    done = run("cta-rucio-inspect-raw", *paths)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# ----------------------------------------------------------------------------------------------------- make-night


def test_a_night_is_complete_and_its_manifest_tells_the_truth(night: Path) -> None:
    files = json.loads((night / "manifest.json").read_text())["files"]
    on_disk = sorted(str(path.relative_to(night)) for path in (night / "DL0").rglob("*") if path.is_file())
    assert [entry["path"] for entry in files] == on_disk
    assert sorted(path.name for path in night.iterdir()) == ["DL0", "manifest.json", "truth.json"]
    for entry in files:
        content = (night / entry["path"]).read_bytes()
        assert (len(content), f"{zlib.adler32(content):08x}") == (entry["bytes"], entry["adler32"])
    kinds = [entry["kind"] for entry in files]
    assert {kind: kinds.count(kind) for kind in kinds} == {"pointing": 1, "trigger": 2, "event": 2 * 4 * 2}


def test_what_the_manifest_says_is_what_the_files_say(night: Path) -> None:
    manifest = {entry["path"]: entry for entry in json.loads((night / "manifest.json").read_text())["files"]}
    found = inspect(night / "DL0")
    assert len(found) == len(manifest)
    for file in found:
        entry = manifest[file["dl0_path"]]
        assert file["file"].endswith(entry["path"])
        same = ("kind", "obs_id", "sb_id", "chunk", "n_events", "start", "end", "bytes")
        assert {key: file[key] for key in same} == {key: entry[key] for key in same}
        if file["kind"] == "event":
            assert (file["tel_ids"], file["stream"]) == ([entry["tel_id"]], f"SDH{entry['sdh']:03d}")
            assert file["checksum_valid"]


def test_the_same_night_again_changes_nothing_and_another_is_refused(night: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in night.rglob("*")}
    same = ("--output", night, "--observations", 1, "--events-per-chunk", EVENTS)
    assert run("cta-rucio-make-night", *same).returncode == 0
    other = run("cta-rucio-make-night", *same, "--seed", 5)
    assert other.returncode == 1
    assert "seed is 0, asked for 5" in other.stderr
    assert {path: path.stat().st_mtime_ns for path in night.rglob("*")} == before


def test_a_damaged_night_is_not_taken_for_a_good_one(night: Path, tmp_path: Path) -> None:
    copy = tmp_path / "night"
    shutil.copytree(night, copy)
    damaged = next(copy.rglob("TEL001_SDH000*CHUNK001*"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    again = run("cta-rucio-make-night", "--output", copy, "--observations", 1, "--events-per-chunk", EVENTS)
    assert again.returncode == 1
    assert f"{damaged.name} is missing or changed" in again.stderr


def test_wrong_options_are_named(tmp_path: Path) -> None:
    for options, message in (
        (("--events-per-chunk", 1), "events_per_chunk must be at least 2"),
        (("--alt", 95), "alt must be between"),
        (("--source-offset", 9, 0), "outside the cameras"),
        (("--start", "yesterday"), "yesterday"),
    ):
        done = run("cta-rucio-make-night", "--output", tmp_path / "night", *options)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "night").exists()


# ---------------------------------------------------------------------------------------------- good outputs


def test_a_chunk_is_processed_to_the_right_direction_and_accepted(jobs: dict[str, Job], night: Path) -> None:
    for chunk in (0, 1):
        job = jobs[f"chunk{chunk}"]
        assert job.exit_code == 0, job.log
        exit_code, result = check(job.output, "--dl0-triggers", job.trigger, "--truth", night / "truth.json")
        assert (exit_code, result["accepted"], result["reasons"]) == (0, True, [])
        assert (result["events_in"], result["events_out"]) == (EVENTS, EVENTS)
        assert (result["tel_rows_in"], result["tel_rows_out"]) == (4 * EVENTS, 4 * EVENTS)
        assert (result["reconstructed"], result["without_reconstruction"]) == (EVENTS, 0)
        assert result["median_direction_error_deg"] <= SOURCE_LIMIT_DEG
        assert (result["obs_ids"], result["data_levels"]) == ([OBS_ID], ["DL1_PARAMETERS", "DL2"])
        assert result["ctapipe_version"].startswith("0.28")
        assert result["product_id"] != result["activity_id"]
        assert len(result["streams"]) == 4 * 2
        assert {stream["n_events"] for stream in result["streams"]} == {EVENTS // 2}


def test_merged_chunks_are_accepted(jobs: dict[str, Job], merged: Path, night: Path) -> None:
    parts = [jobs["chunk0"].output, jobs["chunk1"].output]
    exit_code, result = check(merged, "--merged-from", *parts, "--truth", night / "truth.json")
    assert (exit_code, result["reasons"]) == (0, [])
    assert (result["events_in"], result["events_out"], result["tel_rows_out"]) == (2 * EVENTS, 2 * EVENTS, 8 * EVENTS)
    assert (result["reconstructed"], result["activity_name"]) == (2 * EVENTS, "ctapipe-merge")
    triggers = [jobs["chunk0"].trigger, jobs["chunk1"].trigger]
    assert check(merged, "--dl0-triggers", *triggers)[0] == 0


# ------------------------------------------------------------------------------------------------------- traps


def test_valid_events_without_direction_are_refused(jobs: dict[str, Job]) -> None:
    job = jobs["no pointing"]
    assert job.exit_code == 0, "ctapipe itself is content"
    reasons = refused(job.output, "--dl0-triggers", job.trigger)
    assert f"{EVENTS} events are marked valid without a finite direction" in reasons


def test_a_missing_stream_is_refused(jobs: dict[str, Job]) -> None:
    job = jobs["missing stream"]
    assert job.exit_code == 0, "ctapipe itself is content"
    reasons = refused(job.output, "--dl0-triggers", job.trigger)
    assert f"telescope 2, chunk 0 of observation {OBS_ID}: its streams in" in reasons
    assert f"have {EVENTS // 2} events, the trigger says {EVENTS}" in reasons
    assert "telescope rows (observation, event, telescope) of parameters are missing" in reasons


def test_a_stream_that_the_catalogue_expects_must_be_there(jobs: dict[str, Job]) -> None:
    job = jobs["chunk0"]
    names = [path.name for path in job.directory.rglob("*.fits.fz")]
    assert check(job.output, "--dl0-triggers", job.trigger, "--expect", *names)[0] == 0
    extra = names[0].replace("SDH000", "SDH002").replace("SDH001", "SDH002").replace("SUB002", "SUB003")
    assert f"expected files are missing: {extra}" in refused(
        job.output, "--dl0-triggers", job.trigger, "--expect", *names, extra
    )


def test_a_missing_telescope_is_refused(jobs: dict[str, Job]) -> None:
    job = jobs["missing telescope"]
    assert job.exit_code != 0, "ctapipe itself fails, and leaves an output"
    reasons = refused(job.output, "--dl0-triggers", job.trigger)
    assert "telescope 4" in reasons
    assert "no stream file is there" in reasons


def test_a_cut_stream_is_refused(jobs: dict[str, Job]) -> None:
    job = jobs["cut stream"]
    assert job.output.exists(), "ctapipe leaves a file behind"
    reasons = refused(job.output, "--dl0-triggers", job.trigger)
    assert "TEL003_SDH001" in reasons
    assert "cut: " in reasons


def test_an_output_without_events_is_refused(jobs: dict[str, Job]) -> None:
    job = jobs["wrong layout"]
    assert job.exit_code == 0, "ctapipe itself is content"
    reasons = refused(job.output, "--dl0-triggers", job.trigger)
    assert "the output has no events" in reasons
    assert "no stream file is there" in reasons


def test_a_trigger_outside_the_tree_is_refused(jobs: dict[str, Job], tmp_path: Path) -> None:
    flat = tmp_path / jobs["chunk0"].trigger.name
    shutil.copy(jobs["chunk0"].trigger, flat)
    assert "is not in DL0/ARRAY/<user>/acada-adh/triggers" in refused(jobs["chunk0"].output, "--dl0-triggers", flat)


def test_the_output_of_another_chunk_is_refused(jobs: dict[str, Job]) -> None:
    reasons = refused(jobs["chunk1"].output, "--dl0-triggers", jobs["chunk0"].trigger)
    assert f"{EVENTS} of {EVENTS} events (observation, event) are missing" in reasons
    assert f"{EVENTS} events (observation, event) are not in the input" in reasons


def test_merging_the_same_events_twice_is_refused(jobs: dict[str, Job], tmp_path: Path) -> None:
    twin, output = tmp_path / "twin.h5", tmp_path / "merged.h5"
    shutil.copy(jobs["chunk0"].output, twin)
    done = run("ctapipe-merge", jobs["chunk0"].output, twin, "-o", output, "--single-ob")
    assert done.returncode == 0, "ctapipe itself is content"
    reasons = refused(output, "--merged-from", jobs["chunk0"].output, twin)
    assert f"{EVENTS} events are in the input more than once" in reasons
    assert f"{EVENTS} events (observation, event) are there more than once" in reasons


def test_a_merge_that_left_out_a_part_is_refused(jobs: dict[str, Job], merged: Path) -> None:
    parts = (jobs["chunk0"].output, jobs["chunk1"].output)
    assert "are missing" in refused(parts[0], "--merged-from", *parts)
    assert "are not in the input" in refused(merged, "--merged-from", parts[0])


def test_a_cut_output_is_refused(jobs: dict[str, Job], tmp_path: Path) -> None:
    cut = tmp_path / "out.h5"
    cut.write_bytes(jobs["chunk0"].output.read_bytes()[:100_000])
    assert "can't be read as HDF5" in refused(cut, "--dl0-triggers", jobs["chunk0"].trigger)


def test_a_missing_data_level_is_refused(jobs: dict[str, Job]) -> None:
    job = jobs["chunk0"]
    reasons = refused(job.output, "--dl0-triggers", job.trigger, "--levels", "DL1_IMAGES", "DL2")
    assert "data level DL1_IMAGES is missing (there are DL1_PARAMETERS, DL2)" in reasons


def test_what_can_not_be_read_is_no_verdict(jobs: dict[str, Job], tmp_path: Path) -> None:
    job = jobs["chunk0"]
    no_file = run("cta-rucio-check-events", "--output", tmp_path / "none.h5", "--dl0-triggers", job.trigger)
    assert (no_file.returncode, "no such file" in no_file.stderr) == (2, True)
    no_trigger = run("cta-rucio-check-events", "--output", job.output, "--dl0-triggers", job.stream("TEL001_SDH000"))
    assert (no_trigger.returncode, "is not a trigger file" in no_trigger.stderr) == (2, True)
    (tmp_path / "truth.json").write_text('{"source": {"alt": 70, "az": 180}, "observations": []}')
    other_night = ("--dl0-triggers", job.trigger, "--truth", tmp_path / "truth.json")
    wrong_truth = run("cta-rucio-check-events", "--output", job.output, *other_night)
    assert (wrong_truth.returncode, "has no observation [1001]" in wrong_truth.stderr) == (2, True)


# ---------------------------------------------------------------------------------------------------- pointing

POINTING_SCRIPT = """
import json, sys
from datetime import datetime, timedelta
from pathlib import Path
import numpy as np, tables, astropy.units as u
from astropy.time import Time
from ctapipe.containers import ArrayEventContainer
from ctapipe_io_zfits.instrument import build_subarray_description
from ctapipe.io import MonitoringSource
from cta_rucio_worker_tools.pointing import write_pointing

subarray, start = build_subarray_description(2), datetime(2025, 2, 4, 20)
event = ArrayEventContainer()
event.index.obs_id, event.index.event_id = 7, 1
event.trigger.time, event.trigger.tels_with_trigger = Time(start) + 30 * u.s, [1, 2, 3, 4]

def outcome(obs_id=7, tel_ids=(1, 2, 3, 4), shift=0, spoil=None):
    path = Path("pointing.h5")
    path.unlink(missing_ok=True)
    first = start + timedelta(seconds=shift)
    write_pointing(path, obs_id, 1, tel_ids, (first, first + timedelta(seconds=60)), 70, 359)
    if spoil:
        with tables.open_file(path, "a") as h5file:
            spoil(h5file.root.dl0.monitoring.telescope.pointing)
    try:
        source = MonitoringSource.from_name("DL0PointingSource", subarray=subarray, input_url=path)
        source.fill_monitoring_container(event)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    pointing = event.monitoring.pointing
    return [float(x.to_value(u.deg)) for x in (pointing.array_altitude, pointing.array_azimuth,
                                                event.monitoring.tel[3].pointing.azimuth)]

def across_north(group):
    for tel_id, azimuth in ((1, 359.0), (2, 359.0), (3, 1.0), (4, 1.0)):
        group[f"tel_{tel_id:03d}"].modify_column(column=np.full(61, np.deg2rad(azimuth)), colname="azimuth")

def not_finite(group):
    group.tel_002.modify_column(start=5, stop=6, column=np.array([np.nan]), colname="altitude")

print(json.dumps({
    "good": outcome(),
    "across north": outcome(spoil=across_north),
    "other observation": outcome(obs_id=8),
    "missing telescope": outcome(tel_ids=(1, 2, 4)),
    "other time": outcome(shift=3600),
    "not finite": outcome(spoil=not_finite),
    "no telescope": outcome(tel_ids=(9,)),
}))
"""


def test_pointing_is_right_or_an_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(_bin() / "python"), "-c", POINTING_SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert outcomes["good"] == pytest.approx([70, 359, 359])
    altitude, azimuth, telescope_azimuth = outcomes["across north"]
    assert (azimuth + 180) % 360 == pytest.approx(180, abs=1e-6), "the mean of 359 and 1 degrees is north, not south"
    assert (altitude, telescope_azimuth) == (pytest.approx(70, abs=0.01), pytest.approx(1))
    for case, message in {
        "other observation": "is the pointing of observation 8, the events are of observation 7",
        "missing telescope": "has no pointing of telescope 3, which took part in event 1 of observation 7",
        "other time": "is outside the pointing of telescope 1",
        "not finite": "pointing of telescope 2 has a non-finite altitude",
        "no telescope": "has no pointing of any telescope of the subarray",
    }.items():
        assert outcomes[case].startswith("PointingError: "), outcomes[case]
        assert message in outcomes[case]


# -------------------------------------------------------------------------------------------------- inspection


def test_bad_files_are_named_with_their_reason_and_hide_no_good_one(night: Path, tmp_path: Path) -> None:
    good = next(night.rglob("TEL001_SDH000*CHUNK000*"))
    content = good.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) * 2 // 3] ^= 0xFF
    bad = {
        "empty": b"",
        "text": b"this is no raw file\n",
        good.name.replace("TEL001", "TEL002"): content,
        good.name.replace("OBSID0", "OBSID1"): content,
        "not-an-acada-name.fits.fz": content,
        "cut/" + good.name: content[: len(content) // 2],
        "flipped/" + good.name: bytes(flipped),
        "cut.gz": b"\x1f\x8b\x08\x00",
        "cut.zst": b"\x28\xb5\x2f\xfd",
        "cut.h5": next(night.rglob("*.mon.h5")).read_bytes()[:5000],
        "simtel": b"\x37\x8a\x1f\xd4" + bytes(100),
    }
    for name, data in bad.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    found = inspect("--quick", *(tmp_path / name for name in bad), tmp_path / "none", good)
    assert [file["kind"] for file in found] == ["unreadable"] * (len(bad) + 1) + ["event"]
    reasons = dict(zip(bad, (file["reason"] for file in found), strict=False))
    assert reasons["empty"] == "empty"
    assert "neither sim_telarray" in reasons["text"]
    assert "tel_id is 2 in the name, [1] in the file" in reasons[good.name.replace("TEL001", "TEL002")]
    assert (
        "obs_id is 1000000000000001001 in the name, 1001 in the file" in reasons[good.name.replace("OBSID0", "OBSID1")]
    )
    assert "not named as ACADA names one" in reasons["not-an-acada-name.fits.fz"]
    assert reasons["cut/" + good.name].startswith("cut: ")
    assert "wrong FITS checksum of table Events" in reasons["flipped/" + good.name]
    assert all(reasons.values())


# ------------------------------------------------------------------------------------------- real simulations

#: Per file: run, events, telescopes of the array, stereo, reconstructed events.
SIMTEL = {
    "history_meta_75.simtel.zst": (4, 1, 19, True, 1),
    "camsettings_v6.simtel.zst": (1, 1, 19, True, 1),
    "prod4_pixelsettings_v3.gz": (1, 10, 1, False, 0),
}


@pytest.fixture(scope="module")
def simtel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    """Real sim_telarray files, processed."""
    if not SIMTEL_DATA.is_dir():
        pytest.skip(f"no real simtel files: {SIMTEL_DATA} is not there")
    base = tmp_path_factory.mktemp("simtel")

    def process(name: str) -> Job:
        job = Job(base / name)
        job.directory.mkdir()
        options = ("-i", SIMTEL_DATA / name, "-o", job.output, "-c", CONFIG / "simtel-to-dl2.yaml")
        done = run("ctapipe-process", *options, cwd=job.directory)
        job.exit_code, job.log = done.returncode, done.stdout + done.stderr
        return job

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(SIMTEL, pool.map(process, SIMTEL), strict=True))


def test_real_simulations_reach_dl2_where_they_allow_stereo(simtel: dict[str, Job]) -> None:
    for name, (run_id, n_events, _, stereo, reconstructed) in SIMTEL.items():
        assert simtel[name].exit_code == 0, simtel[name].log
        exit_code, result = check(simtel[name].output, "--simtel", SIMTEL_DATA / name)
        assert (exit_code, result["reasons"]) == (0, [])
        assert (result["events_in"], result["events_out"], result["obs_ids"]) == (n_events, n_events, [run_id])
        assert result["reconstructed"] == reconstructed
        assert result["without_reconstruction"] == n_events - reconstructed
        assert (result["median_direction_error_deg"] is not None) == stereo


def test_real_simulations_are_described(simtel: dict[str, Job]) -> None:
    del simtel  # only for its skip when there are no files
    for file in inspect(*(SIMTEL_DATA / name for name in SIMTEL)):
        run_id, n_events, n_tel, stereo, _ = SIMTEL[Path(file["file"]).name]
        assert (file["kind"], file["reason"]) == ("simtel", None)
        assert (file["obs_id"], file["n_events"], len(file["tel_ids"]), file["stereo"]) == (
            run_id, n_events, n_tel, stereo,
        )  # fmt: skip
        assert file["particles"] == ["gamma"]


@pytest.mark.parametrize("lost", [300, 0.3])
def test_a_cut_simulation_is_refused_although_ctapipe_reads_it(
    simtel: dict[str, Job], tmp_path: Path, lost: float
) -> None:
    for name, job in simtel.items():
        content = (SIMTEL_DATA / name).read_bytes()
        cut = tmp_path / name
        cut.write_bytes(content[: -lost if isinstance(lost, int) else -int(len(content) * lost)])
        assert "cut" in refused(job.output, "--simtel", cut)
        assert inspect("--quick", cut)[0]["kind"] == "unreadable"


# -------------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_and_the_reference_has_the_command(command: str) -> None:
    text = run(command, "--help").stdout
    assert "exit codes:" in text
    assert "example" in text
    reference = (ROOT / "docs" / "reference" / "worker-tools.md").read_text()
    assert f"`{command}`" in reference
