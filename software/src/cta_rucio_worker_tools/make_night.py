"""Command ``cta-rucio-make-night``: a night of raw data as ACADA writes it, of toy showers from a known direction."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

MANIFEST, TRUTH = "manifest.json", "truth.json"
SUBARRAY = 2
N_STREAMS = 2
EVENT_SPACING = timedelta(milliseconds=10)
BLOCK_SPACING = timedelta(minutes=20)
POINTING_MARGIN = timedelta(seconds=5)

DESCRIPTION = """\
Write a night of raw data (DL0) as ACADA writes it: file names, directory tree, parallel streams, chunks. The events
are toy showers from one direction, so that what is reconstructed can be compared with the truth.

In DIR appear:
  DL0/LSTN-0x/ctao-acada-n/acada-adh/events/YYYY/MM/DD/     two streams (SDH) for each of four telescopes
  DL0/ARRAY/ctao-acada-n/acada-adh/triggers/YYYY/MM/DD/     the subarray's trigger
  DL0/ARRAY/ctao-acada-n/acada-adh/monitoring/YYYY/MM/DD/   where the telescopes pointed, one file per observation
  manifest.json   every file: kind, obs_id, sb_id, chunk, tel_id, stream, start, end, events, bytes, adler32
  truth.json      direction of the source, core and height of each shower
Chunk n holds the same event ids in every stream: chunk n of all streams is the smallest piece that can be processed.
Files appear complete, the two JSON files last. The same call again changes nothing; another call on the same DIR is
an error."""
EPILOG = """\
exit codes: 0 written (or already there), 1 DIR holds something else, 2 wrong usage
example:    cta-rucio-make-night --output night --observations 1 --chunks 1"""


@dataclass(frozen=True)
class Night:
    """What to write; see the command's options."""

    observations: int = 2
    first_obs_id: int = 1001
    sb_id: int = 77
    chunks: int = 2
    events_per_chunk: int = 20
    seed: int = 0
    alt: float = 70.0
    az: float = 180.0
    source_offset: tuple[float, float] = (0.4, 0.3)
    start: str = "2025-02-04T20:45:31"

    def __post_init__(self) -> None:
        """Refuse what can't be written."""
        for name in ("observations", "first_obs_id", "sb_id", "chunks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.events_per_chunk < N_STREAMS:
            raise ValueError(f"events_per_chunk must be at least {N_STREAMS}: no stream may be empty")
        if not 10 <= self.alt <= 89:
            raise ValueError(f"alt must be between 10 and 89 degrees, not {self.alt}")
        if max(map(abs, self.source_offset)) > 1.5:
            raise ValueError(f"source_offset must be within 1.5 degrees: {self.source_offset} is outside the cameras")
        datetime.fromisoformat(self.start)


def _blocks(night: Night) -> Iterator[Any]:
    from .acada import TELESCOPE_NAMES
    from .dl0 import Block

    start = datetime.fromisoformat(night.start).replace(tzinfo=UTC)
    for i in range(night.observations):
        yield Block(night.first_obs_id + i, night.sb_id, SUBARRAY, tuple(TELESCOPE_NAMES), start + i * BLOCK_SPACING)


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _adler32(path: Path) -> str:
    return f"{zlib.adler32(path.read_bytes()):08x}"


def _write_chunk(night: Night, block: Any, chunk: int, cameras: dict[int, Any], rng: Any, directory: Path) -> list[Any]:
    """Write one chunk; returns the truth of its events."""
    from .dl0 import open_chunk, quiet_library
    from .toy_showers import draw_shower

    truth = []
    n_pixels = next(iter(cameras.values())).n_pixels
    with quiet_library(), open_chunk(directory, block, chunk, N_STREAMS, n_pixels) as writer:
        for event_id in _event_ids(night, chunk):
            shower, time = draw_shower(rng), block.start + event_id * EVENT_SPACING
            writer.write_trigger(event_id, time)
            for tel_id, camera in cameras.items():
                writer.write_event(event_id, time, tel_id, event_id % N_STREAMS, camera.waveform(shower, rng))
            truth.append({"event_id": event_id, "core": shower.core[:2].tolist(), "height": shower.height})
    return truth


def _event_ids(night: Night, chunk: int) -> range:
    return range(chunk * night.events_per_chunk + 1, (chunk + 1) * night.events_per_chunk + 1)


def _entry(path: Path, night: Night, interval: tuple[datetime, datetime], n_events: int | None) -> dict[str, Any]:
    """Manifest entry of one file that is complete."""
    from .acada import directory, night_of, parse_name

    name = parse_name(path.name)
    if name is None:
        raise AssertionError(f"{path.name} isn't an ACADA name")
    place = directory(name.kind, night_of(interval[0]), name.tel_id)
    return {
        "path": str(place / path.name),
        "kind": name.kind,
        "obs_id": name.obs_id,
        "sb_id": night.sb_id,
        "subarray_id": SUBARRAY,
        "chunk": name.chunk,
        "tel_id": name.tel_id,
        "sdh": int(name.stream[3:]) if name.stream and name.kind == "event" else None,
        "start": _iso(interval[0]),
        "end": _iso(interval[1]),
        "n_events": n_events,
        "bytes": path.stat().st_size,
        "adler32": _adler32(path),
    }


def _chunk_entries(night: Night, block: Any, chunk: int, directory: Path) -> Iterator[dict[str, Any]]:
    from .acada import parse_name

    for path in sorted(directory.glob(f"*OBSID{block.obs_id:019d}_*_CHUNK{chunk:03d}.fits.fz")):
        name = parse_name(path.name)
        ids = list(_event_ids(night, chunk))
        if name and name.kind == "event" and name.stream:
            ids = [event_id for event_id in ids if event_id % N_STREAMS == int(name.stream[3:])]
        yield _entry(
            path, night, (block.start + ids[0] * EVENT_SPACING, block.start + ids[-1] * EVENT_SPACING), len(ids)
        )


def _write_block(night: Night, block: Any, cameras: dict[int, Any], directory: Path) -> tuple[list[Any], list[Any]]:
    """Write one observation block; returns its manifest entries and the truth of its events."""
    import numpy as np

    from .acada import pointing_name
    from .pointing import write_pointing

    rng = np.random.default_rng([night.seed, block.obs_id])
    entries: list[Any] = []
    truth: list[Any] = []
    for chunk in range(night.chunks):
        truth += _write_chunk(night, block, chunk, cameras, rng, directory)
        entries += _chunk_entries(night, block, chunk, directory)
    last = block.start + night.chunks * night.events_per_chunk * EVENT_SPACING
    interval = (block.start - POINTING_MARGIN, last + POINTING_MARGIN)
    path = directory / pointing_name(block.obs_id)
    write_pointing(path, block.obs_id, block.sb_id, block.tel_ids, interval, night.alt, night.az)
    return [*entries, _entry(path, night, interval, None)], truth


def _write_night(night: Night, directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from ctapipe_io_zfits.instrument import build_subarray_description

    from .toy_showers import Camera, offset_source

    subarray = build_subarray_description(SUBARRAY)
    source = offset_source(night.alt, night.az, *night.source_offset)
    cameras = {
        tel_id: Camera(telescope, subarray.positions[tel_id].to_value("m"), (night.alt, night.az), source)
        for tel_id, telescope in subarray.tel.items()
    }
    entries: list[dict[str, Any]] = []
    observations = []
    for block in _blocks(night):
        files, events = _write_block(night, block, cameras, directory)
        entries += files
        observations.append({"obs_id": block.obs_id, "events": events})
    manifest = {"parameters": _parameters(night), "files": sorted(entries, key=lambda entry: entry["path"])}
    truth = {
        "pointing": {"alt": night.alt, "az": night.az},
        "source": {"alt": source[0], "az": source[1]},
        "observations": observations,
    }
    return manifest, truth


def _parameters(night: Night) -> dict[str, Any]:
    return {**asdict(night), "source_offset": list(night.source_offset)}


def _existing(output: Path, night: Night) -> dict[str, Any] | None:
    """Manifest of an earlier, identical call; an error if the directory holds anything else of a night."""
    if not (output / MANIFEST).exists():
        if (output / "DL0").exists():
            raise FileExistsError(f"{output}/DL0 exists without {MANIFEST}: give another --output, or remove it")
        return None
    manifest: dict[str, Any] = json.loads((output / MANIFEST).read_text())
    wanted, found = _parameters(night), manifest["parameters"]
    different = [
        f"{key} is {found.get(key)}, asked for {wanted[key]}" for key in wanted if wanted[key] != found.get(key)
    ]
    if different:
        raise FileExistsError(f"{output} holds another night ({'; '.join(different)}): give another --output")
    for entry in manifest["files"]:
        path = output / entry["path"]
        if not path.is_file() or _adler32(path) != entry["adler32"]:
            raise FileExistsError(f"{path} is missing or changed since it was written: remove {output} and call again")
    return manifest


def make_night(output: Path, night: Night) -> dict[str, Any]:
    """Write a night, or find that it is already there.

    Parameters
    ----------
    output : pathlib.Path
        Directory; created if needed.
    night : Night
        What to write.

    Returns
    -------
    dict
        The manifest: ``parameters`` and ``files``.

    Raises
    ------
    FileExistsError
        If the directory holds a different or a damaged night.
    """
    output.mkdir(parents=True, exist_ok=True)
    if manifest := _existing(output, night):
        return manifest
    temporary = Path(tempfile.mkdtemp(prefix=".make-night-", dir=output))
    try:
        manifest, truth = _write_night(night, temporary)
        for entry in manifest["files"]:
            path = output / entry["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            (temporary / path.name).replace(path)
        for name, content in ((TRUTH, truth), (MANIFEST, manifest)):
            (temporary / name).write_text(json.dumps(content, indent=1) + "\n")
            (temporary / name).replace(output / name)
    finally:
        shutil.rmtree(temporary)
    return manifest


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "cta-rucio-make-night",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = parser.add_argument, Night()
    add("--output", type=Path, required=True, metavar="DIR", help="directory to write to")
    add("--observations", type=int, default=default.observations, help="observation blocks (default %(default)s)")
    add("--first-obs-id", type=int, default=default.first_obs_id, help="OBSID of the first (default %(default)s)")
    add("--sb-id", type=int, default=default.sb_id, help="scheduling block of all (default %(default)s)")
    add("--chunks", type=int, default=default.chunks, help="chunks per observation (default %(default)s)")
    add("--events-per-chunk", type=int, default=default.events_per_chunk, help="default %(default)s")
    add("--seed", type=int, default=default.seed, help="of the random showers and noise (default %(default)s)")
    add("--alt", type=float, default=default.alt, help="pointing, degrees (default %(default)s)")
    add("--az", type=float, default=default.az, help="pointing, degrees from north over east (default %(default)s)")
    add("--source-offset", type=float, nargs=2, default=default.source_offset, metavar=("LON", "LAT"),
        help="of the source in the field of view, degrees (default 0.4 0.3)")  # fmt: skip
    add("--start", default=default.start, help="start of the first observation, UTC (default %(default)s)")
    add("--json", action="store_true", help="print the manifest")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    options = vars(parser.parse_args(argv))
    output, as_json = options.pop("output"), options.pop("json")
    try:
        night = Night(**{**options, "source_offset": tuple(options["source_offset"])})
    except ValueError as error:
        parser.error(str(error))
    try:
        manifest = make_night(output, night)
    except OSError as error:
        print(f"cta-rucio-make-night: {error}", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(manifest))
    else:
        files = manifest["files"]
        print(
            f"{output}: {len(files)} files, {sum(f['bytes'] for f in files) / 1e6:.1f} MB, {night.observations} observations"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
