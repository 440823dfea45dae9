"""What the name of a raw-data file says, after ACADA's naming of DL0 files.

Examples of names, from CTAO's data challenges::

    SUB002_SWAT001_20250204T204531_SBID0000000000000000077_OBSID0000000000000001001_SUBARRAY_CHUNK000.fits.fz
    TEL001_SDH000_20250204T204531_SBID0000000000000000077_OBSID0000000000000001001_TEL_SHOWER_CHUNK000.fits.fz
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_DL0 = re.compile(
    r"(?P<producer>(?:SUB|TEL)\d{3}_(?:SWAT|SDH)\d{3})_(?P<time>\d{8}T\d{6})"
    r"_SBID(?P<sb_id>\d+)_OBSID(?P<obs_id>\d+)_(?P<kind>[A-Z_]+)_CHUNK(?P<chunk>\d+)\.fits\.fz"
)
_OBSID = re.compile(r"OBSID0*(?P<obs_id>\d+)")


@dataclass(frozen=True)
class RawName:
    """The parts of one raw-data file's name.

    Attributes
    ----------
    obs_id : int
        Observation block (OBSID).
    chunk : int or None
        Number of the block of events; None for a file that belongs to the whole observation, such as the pointing.
    stream : str
        What distinguishes parallel files of the same observation and chunk: producer and kind
        (``TEL001_SDH000_TEL_SHOWER``), or the file's suffix when the name has neither.
    """

    obs_id: int
    chunk: int | None
    stream: str


def parse_name(lfn: str) -> RawName | None:
    """Read an ACADA file name.

    Parameters
    ----------
    lfn : str
        A path; only its last component counts.

    Returns
    -------
    RawName or None
        None for names that carry no OBSID (such as simulation files).
    """
    name = PurePosixPath(lfn).name
    if match := _DL0.fullmatch(name):
        return RawName(int(match["obs_id"]), int(match["chunk"]), f"{match['producer']}_{match['kind']}")
    if match := _OBSID.search(name):
        return RawName(int(match["obs_id"]), None, name.partition("_")[0])
    return None
