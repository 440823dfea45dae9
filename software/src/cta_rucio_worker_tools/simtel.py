"""What is in a sim_telarray file: run, telescopes, events. Walks through the objects without parsing waveforms."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from eventio import EventIOFile
from eventio.file_types import is_eventio, is_gzip, is_zstd
from eventio.simtel import ArrayEvent, MCRunHeader, MCShower, RunHeader, TelescopeEvent, TriggerInformation

from .zfits import DamagedFile

#: sim_telarray's numbers of primaries: nuclei are 100 * A + Z.
PARTICLES = {0: "gamma", 1: "electron", -1: "positron", 2: "muon", -2: "antimuon", 101: "proton"}
PARTICLES |= {402: "helium", 1407: "nitrogen", 2814: "silicon", 5626: "iron"}


@dataclass(frozen=True)
class SimtelEvent:
    """One triggered shower: its id, telescopes that triggered, telescopes with data that triggered."""

    event_id: int
    triggered: tuple[int, ...]
    with_data: tuple[int, ...]


@dataclass
class SimtelFile:
    """Content of one file.

    Attributes
    ----------
    obs_ids : list[int]
        Run number of every run in the file, in order; ctapipe reads files with exactly one.
    tel_ids : list[int]
        Telescopes of the simulated array.
    events : list[SimtelEvent]
        Showers that ctapipe reads, in order.
    particles : list[str]
        Primaries, sorted.
    zenith, azimuth : float or None
        Pointing, degrees.
    """

    obs_ids: list[int] = field(default_factory=list)
    tel_ids: list[int] = field(default_factory=list)
    events: list[SimtelEvent] = field(default_factory=list)
    particles: list[str] = field(default_factory=list)
    zenith: float | None = None
    azimuth: float | None = None


def is_simtel(path: Path) -> bool:
    """Whether a file begins like eventio, compressed or not."""
    try:
        return bool(is_eventio(path))
    except (OSError, EOFError, zlib.error, zstandard.ZstdError):
        return False


def read_simtel(path: Path) -> SimtelFile:
    """Read a sim_telarray file from beginning to end.

    Parameters
    ----------
    path : pathlib.Path
        File, plain or compressed with gzip or zstd.

    Returns
    -------
    SimtelFile
        Its content.

    Raises
    ------
    DamagedFile
        If it isn't such a file, is cut, or has no run header.
    """
    found = SimtelFile()
    particles: set[int] = set()
    try:
        for item in _objects(path):
            if isinstance(item, RunHeader):
                _add_run(found, item.parse())
            elif isinstance(item, MCRunHeader) and found.zenith is None:
                low, high = item.parse()["alt_range"]
                found.zenith = round(90 - float(np.rad2deg(low + high)) / 2, 6)
            elif isinstance(item, MCShower):
                particles.add(int(item.parse()["primary_id"]))
            elif isinstance(item, ArrayEvent) and particles:  # before the first shower: calibration
                _add_event(found, item)
    except DamagedFile:
        raise
    except (OSError, EOFError, ValueError, KeyError, AttributeError, IndexError, struct.error, zlib.error) as error:
        raise DamagedFile(f"damaged or cut: {error}") from error
    except (zstandard.ZstdError, NotImplementedError, AssertionError) as error:
        raise DamagedFile(f"damaged or not supported: {error}") from error
    if not found.obs_ids:
        raise DamagedFile("eventio without a run header: not a sim_telarray file")
    found.particles = sorted(PARTICLES.get(number, str(number)) for number in particles)
    return found


def _objects(path: Path) -> Iterator[Any]:
    """Top-level objects; unlike pyeventio itself, a cut within the last object is an error too."""
    if not is_simtel(path):
        raise DamagedFile("not an eventio file")
    with EventIOFile(path, zcat=False) as file:
        end = 0
        for item in file:
            end = item.header.content_address + item.header.content_size
            yield item
        compressed = is_gzip(path) or is_zstd(path)
        there = file.tell() if compressed else path.stat().st_size
        if there < end:
            raise DamagedFile(f"cut: {there} bytes of at least {end}, uncompressed")


def _add_run(found: SimtelFile, header: dict[str, Any]) -> None:
    found.obs_ids.append(int(header["run"]))
    found.tel_ids = sorted({*found.tel_ids, *(int(tel_id) for tel_id in header["tel_id"])})
    if header["tracking_mode"] == 0 and found.azimuth is None:
        found.azimuth = round(float(np.rad2deg(header["direction"][0])) % 360, 6)


def _add_event(found: SimtelFile, item: ArrayEvent) -> None:
    """Add an event as ctapipe sees it: telescopes with data that didn't trigger are left out."""
    event_id = int(item.header.id)
    triggered: tuple[int, ...] = ()
    with_data: list[int] = []
    for part in item:
        if isinstance(part, TriggerInformation):
            event_id = int(part.header.id) or event_id
            triggered = tuple(int(tel_id) for tel_id in part.parse()["triggered_telescopes"])
        elif isinstance(part, TelescopeEvent):
            with_data.append(int(part.telescope_id))
    if with_data:
        taken = tuple(tel_id for tel_id in with_data if tel_id in triggered)
        found.events.append(SimtelEvent(event_id, triggered, taken))
