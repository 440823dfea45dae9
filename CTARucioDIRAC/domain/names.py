"""What paths and names of raw data say about them. Pure."""

from __future__ import annotations

import re

#: Data levels as CTAO's production metadata number them.
DATA_LEVELS = {"MC0": -3, "R0": -2, "R1": -1} | {f"DL{level}": level for level in range(6)}
_ACADA = re.compile(r"(?:TEL|SUB)\d+_[A-Z]+\d+_\d{8}T\d{6,}_SBID(?P<sb_id>\d+)_OBSID(?P<obs_id>\d+)_.*")


def file_metadata(name: str) -> dict[str, int]:
    """Metadata that a file's name tells: scheduling block and observation of what ACADA wrote; nothing of others."""
    match = _ACADA.fullmatch(name.rpartition("/")[2])
    return {key: int(value) for key, value in match.groupdict().items()} if match else {}


def directory_metadata(path: str) -> dict[str, int]:
    """Metadata that a directory's own name tells: the data level."""
    level = DATA_LEVELS.get(path.rpartition("/")[2])
    return {} if level is None else {"data_level": level}
