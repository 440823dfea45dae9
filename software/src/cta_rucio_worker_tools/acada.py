"""ACADA's file names and directory tree, both ways. Pure: no file is read or written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath

#: Telescopes that ctapipe-io-zfits can read, by telescope id: the name of their directory.
TELESCOPE_NAMES = {1: "LSTN-01", 2: "LSTN-02", 3: "LSTN-03", 4: "LSTN-04"}
ACADA_USER = "ctao-acada-n"
#: Directory of each kind of file, below ``acada-adh``.
DIRECTORIES = {"event": "events", "trigger": "triggers", "pointing": "monitoring"}

_NAME = re.compile(
    r"(?:TEL(?P<tel_id>\d{3})|SUB(?P<subarray_id>\d{3}))"
    r"_(?P<stream>(?P<source>SDH|SWAT)(?P<stream_id>\d+))"
    r"_(?P<stamp>\d{8}T\d{6})"
    r"_SBID(?P<sb_id>\d+)_OBSID(?P<obs_id>\d+)"
    r"(?:_(?P<type>[A-Z0-9]+(?:_[A-Z0-9]+)*?))?"
    r"_CHUNK(?P<chunk>\d+)\.fits\.fz"
)
_POINTING = re.compile(r"pointing_OBSID(?P<obs_id>\d{19})\.mon\.h5")


@dataclass(frozen=True)
class AcadaName:
    """What a file name says.

    Attributes
    ----------
    kind : str
        ``event``, ``trigger`` or ``pointing``.
    obs_id : int
        Observation block.
    sb_id : int or None
        Scheduling block; a pointing file's name doesn't tell it.
    tel_id : int or None
        Telescope of an event file.
    subarray_id : int or None
        Subarray of a trigger file.
    stream : str or None
        ``SDH001`` for one of a telescope's parallel event streams, ``SWAT001`` for the trigger.
    chunk : int or None
        Chunk number: the same block of event ids in every stream.
    start : datetime.datetime or None
        Start of the observation block, UTC.
    """

    kind: str
    obs_id: int
    sb_id: int | None = None
    tel_id: int | None = None
    subarray_id: int | None = None
    stream: str | None = None
    chunk: int | None = None
    start: datetime | None = None


def parse_name(name: str) -> AcadaName | None:
    """Read a file name as ACADA writes it.

    Parameters
    ----------
    name : str
        File name without directories.

    Returns
    -------
    AcadaName or None
        None if the name doesn't follow the convention.
    """
    if pointing := _POINTING.fullmatch(name):
        return AcadaName("pointing", int(pointing["obs_id"]))
    match = _NAME.fullmatch(name)
    if not match or (match["tel_id"] is None) != (match["source"] == "SWAT"):
        return None
    try:
        start = datetime.strptime(match["stamp"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return AcadaName(
        kind="event" if match["tel_id"] else "trigger",
        obs_id=int(match["obs_id"]),
        sb_id=int(match["sb_id"]),
        tel_id=int(match["tel_id"]) if match["tel_id"] else None,
        subarray_id=int(match["subarray_id"]) if match["subarray_id"] else None,
        stream=match["stream"],
        chunk=int(match["chunk"]),
        start=start,
    )


def _block(start: datetime, sb_id: int, obs_id: int) -> str:
    return f"{start:%Y%m%dT%H%M%S}_SBID{sb_id:019d}_OBSID{obs_id:019d}"


def event_name(tel_id: int, sdh: int, start: datetime, sb_id: int, obs_id: int, chunk: int) -> str:
    """Name of one telescope event file; `start` is the observation block's, in UTC."""
    return f"TEL{tel_id:03d}_SDH{sdh:03d}_{_block(start, sb_id, obs_id)}_TEL_SHOWER_CHUNK{chunk:03d}.fits.fz"


def trigger_name(subarray_id: int, start: datetime, sb_id: int, obs_id: int, chunk: int) -> str:
    """Name of one subarray trigger file; `start` is the observation block's, in UTC."""
    return f"SUB{subarray_id:03d}_SWAT001_{_block(start, sb_id, obs_id)}_SUBARRAY_CHUNK{chunk:03d}.fits.fz"


def pointing_name(obs_id: int) -> str:
    """Name of the pointing monitoring file of one observation block."""
    return f"pointing_OBSID{obs_id:019d}.mon.h5"


def night_of(time: datetime) -> date:
    """Date of the evening on which the night of `time` began: nights change at noon UTC."""
    return (time.astimezone(UTC) - timedelta(hours=12)).date()


def directory(kind: str, night: date, tel_id: int | None = None, acada_user: str = ACADA_USER) -> PurePosixPath:
    """Directory in which ctapipe-io-zfits expects a file.

    Parameters
    ----------
    kind : str
        ``event``, ``trigger`` or ``pointing``.
    night : datetime.date
        See :func:`night_of`.
    tel_id : int, optional
        Telescope, for event files; triggers and pointing belong to ``ARRAY``.
    acada_user : str
        ACADA's user at the site.

    Returns
    -------
    pathlib.PurePosixPath
        Relative path that starts with ``DL0``.

    Raises
    ------
    ValueError
        If the telescope has no known name.
    """
    element = "ARRAY"
    if kind == "event":
        if tel_id not in TELESCOPE_NAMES:
            raise ValueError(f"telescope {tel_id} has no known directory: only {sorted(TELESCOPE_NAMES)} can be read")
        element = TELESCOPE_NAMES[tel_id]
    return PurePosixPath("DL0", element, acada_user, "acada-adh", DIRECTORIES[kind], f"{night:%Y/%m/%d}")
