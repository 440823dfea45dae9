"""Command ``cta-rucio-inspect-raw``: what is in raw files that a user brings, and which of them can't be processed."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .acada import TELESCOPE_NAMES, AcadaName, directory, night_of, parse_name
from .zfits import DamagedFile, ZfitsFile, open_zfits

POINTING = "/dl0/monitoring/telescope/pointing"
EMPTY: dict[str, Any] = {
    "file": None, "kind": "unreadable", "reason": None, "bytes": None, "obs_id": None, "sb_id": None,
    "subarray_id": None, "tel_id": None, "tel_ids": [], "chunk": None, "stream": None, "n_events": None, "start": None, "end": None,
    "stereo": None, "particles": [], "zenith_deg": None, "azimuth_deg": None, "checksum_valid": None, "dl0_path": None,
}  # fmt: skip

DESCRIPTION = """\
Say what raw files are, one JSON object per line and file. Directories are searched. A file that can't be processed
gets the kind "unreadable" and a reason; it never ends the command.

  kind        simtel, event or trigger (DL0), pointing, unreadable
  obs_id      observation block; for simtel the run number
  sb_id, subarray_id, tel_ids, chunk, stream, n_events, start, end (UTC); tel_id of an event file
  stereo      two telescopes or more: DL2 with directions is possible (simtel, trigger)
  particles, zenith_deg, azimuth_deg       simtel
  checksum_valid   FITS checksums were verified (DL0)
  dl0_path    where ctapipe expects the file, relative to a job's directory (DL0, pointing)"""
EPILOG = """\
exit codes: 0 also when files are unreadable, 2 wrong usage
example:    cta-rucio-inspect-raw /data/mine | jq -r 'select(.kind == "unreadable") | [.file, .reason] | @tsv'"""


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _named(path: Path, kind: str) -> AcadaName:
    name = parse_name(path.name)
    if name is None or name.kind != kind:
        raise DamagedFile(f"{kind} file, but not named as ACADA names one: ctapipe can't tell its chunk")
    return name


def _agrees(name: AcadaName, content: dict[str, Any]) -> None:
    """Refuse a file whose name and content differ: it would be taken for another one."""
    for key, value in content.items():
        if getattr(name, key) not in (None, value):
            raise DamagedFile(f"{key} is {getattr(name, key)} in the name, {value} in the file")


def _dl0(path: Path) -> dict[str, Any]:
    zfits = open_zfits(path, verify=True)
    name = _named(path, zfits.kind)
    if not zfits.n_events:
        raise DamagedFile(f"{zfits.kind} file without events: ctapipe can't open it")
    content = _dl0_content(path, zfits)
    tel_ids = content.pop("tel_ids")
    _agrees(name, {key: content[key] for key in ("obs_id", "sb_id", "subarray_id") if key in content})
    unknown = sorted(set(tel_ids) - set(TELESCOPE_NAMES))
    if unknown:
        raise DamagedFile(f"telescopes {unknown}: ctapipe-io-zfits reads {sorted(TELESCOPE_NAMES)} only")
    if name.tel_id is not None and tel_ids != [name.tel_id]:
        raise DamagedFile(f"tel_id is {name.tel_id} in the name, {tel_ids} in the file")
    if name.start is None:
        raise AssertionError("an ACADA name of DL0 has a time")
    place = directory(zfits.kind, night_of(name.start), name.tel_id)
    return {
        **content,
        "kind": zfits.kind,
        "tel_id": name.tel_id,
        "tel_ids": tel_ids,
        "chunk": name.chunk,
        "stream": name.stream,
        "n_events": zfits.n_events,
        "stereo": len(tel_ids) > 1 if zfits.kind == "trigger" else None,
        "checksum_valid": True,
        "dl0_path": str(place / path.name),
    }


def _dl0_content(path: Path, zfits: ZfitsFile) -> dict[str, Any]:
    from protozfits import File

    with File(str(path)) as file:
        events, stream = getattr(file, zfits.table), file.DataStream[0]
        times = [_time(events[0]), _time(events[zfits.n_events - 1])]
        if zfits.kind == "trigger":
            with_data = [e.tel_ids_with_trigger if e.tel_ids_with_data is None else e.tel_ids_with_data for e in events]
            tel_ids = sorted({int(tel_id) for row in with_data for tel_id in row})
        else:
            tel_ids = [int(stream.tel_id)]
    found = {"obs_id": int(stream.obs_id), "sb_id": int(stream.sb_id), "tel_ids": tel_ids}
    if zfits.kind == "trigger":
        found["subarray_id"] = int(stream.subarray_id)
    return {**found, "start": _iso(min(times)), "end": _iso(max(times))}


def _time(event: Any) -> datetime:
    """Time of a DL0 event; importing ctapipe-io-zfits for it would take seconds."""
    from astropy.time import Time

    time = Time(event.event_time_s, event.event_time_qns * 0.25e-9, format="unix_tai")
    found: datetime = time.utc.to_datetime(timezone=UTC)
    return found


def _pointing(path: Path) -> dict[str, Any]:
    import tables
    from ctapipe.io import read_table

    try:
        with tables.open_file(path, mode="r") as h5file:
            if POINTING not in h5file.root:
                raise DamagedFile(f"HDF5, but not a pointing file: there is no {POINTING}")
            attributes = h5file.root._v_attrs
            found = {key: int(attributes[key]) for key in ("obs_id", "sb_id") if key in attributes}
            times = {
                int(table.name.removeprefix("tel_")): read_table(h5file, table._v_pathname)["time"].utc
                for table in h5file.walk_nodes(POINTING, "Table")
            }
    except tables.HDF5ExtError as error:
        raise DamagedFile("damaged or cut: HDF5 can't open it") from error
    name = parse_name(path.name)
    if name:
        _agrees(name, found)
    if "obs_id" not in found and name:
        found["obs_id"] = name.obs_id
    if "obs_id" not in found:
        raise DamagedFile("pointing file that says its observation neither in the attribute obs_id nor in its name")
    start = max(time.min() for time in times.values()).to_datetime(timezone=UTC)
    end = min(time.max() for time in times.values()).to_datetime(timezone=UTC)
    return {
        **found,
        "kind": "pointing",
        "tel_ids": sorted(times),
        "start": _iso(start),
        "end": _iso(end),
        "dl0_path": str(directory("pointing", night_of(start)) / path.name),
    }


def _simtel(path: Path, quick: bool) -> dict[str, Any]:
    from .simtel import read_simtel

    content = read_simtel(path)
    if len(content.obs_ids) != 1:
        raise DamagedFile(f"holds the runs {content.obs_ids}: ctapipe reads files of one run only")
    if not content.events:
        raise DamagedFile("sim_telarray file without a triggered shower")
    if len({event.event_id for event in content.events}) < len(content.events):
        raise DamagedFile("holds an event id more than once")
    if not quick:
        _open_with_ctapipe(path)
    return {
        "kind": "simtel",
        "obs_id": content.obs_ids[0],
        "tel_ids": content.tel_ids,
        "n_events": len(content.events),
        "stereo": len(content.tel_ids) > 1,
        "particles": content.particles,
        "zenith_deg": content.zenith,
        "azimuth_deg": content.azimuth,
    }


def _open_with_ctapipe(path: Path) -> None:
    """Read the first event as ctapipe-process will."""
    from ctapipe.io import SimTelEventSource

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with SimTelEventSource(path, max_events=1, focal_length_choice="EQUIVALENT") as source:
                next(iter(source))
    except Exception as error:  # whatever stops ctapipe here will stop the job
        raise DamagedFile(f"ctapipe can't read it: {type(error).__name__}: {error}") from error


def _content(path: Path, quick: bool) -> dict[str, Any]:
    with path.open("rb") as file:
        magic = file.read(8)
    if not magic:
        raise DamagedFile("empty")
    if magic.startswith(b"SIMPLE"):
        return _dl0(path)
    if magic == b"\x89HDF\r\n\x1a\n":
        return _pointing(path)
    from .simtel import is_simtel

    if is_simtel(path):
        return _simtel(path, quick)
    raise DamagedFile("neither sim_telarray (eventio), DL0 (FITS) nor pointing (HDF5)")


def inspect(path: Path, quick: bool = False) -> dict[str, Any]:
    """Describe one file.

    Parameters
    ----------
    path : pathlib.Path
        Any file.
    quick : bool
        Don't open simtel files with ctapipe.

    Returns
    -------
    dict
        As the command prints it; ``kind`` is ``unreadable``, with a ``reason``, for whatever can't be processed.
    """
    found = {**EMPTY, "file": str(path)}
    try:
        found["bytes"] = path.stat().st_size
        found |= _content(path, quick)
    except DamagedFile as error:
        found["reason"] = str(error)
    except FileNotFoundError:
        found["reason"] = "no such file"
    except Exception as error:  # a bad file must not hide what is known of the others
        found["reason"] = f"{type(error).__name__}: {error}"
    return found


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*") if not found.is_dir())
        else:
            yield path


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        "cta-rucio-inspect-raw",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="file, or directory to search")
    parser.add_argument("--quick", action="store_true", help="don't open simtel files with ctapipe: saves its import")
    parser.add_argument("--json", action="store_true", help="JSON lines (the default; accepted for uniformity)")
    options = parser.parse_args(argv)
    for path in _files(options.files):
        print(json.dumps(inspect(path, options.quick)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
