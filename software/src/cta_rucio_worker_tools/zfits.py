"""Reading what a DL0 zfits file says of itself, without decoding waveforms."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

#: Table and message class that make a file a subarray trigger file or a telescope event file.
CONTENTS = {
    "trigger": ("SubarrayEvents", "DL0v1.Subarray.Event"),
    "event": ("Events", "DL0v1.Telescope.Event"),
}


class DamagedFile(ValueError):
    """A file isn't what it should be; the message says how it shows."""


@dataclass(frozen=True)
class ZfitsFile:
    """A complete DL0 file.

    Attributes
    ----------
    kind : str
        ``trigger`` or ``event``.
    n_events : int
        Rows of its event table.
    """

    kind: str
    n_events: int

    @property
    def table(self) -> str:
        """Name of the event table."""
        return CONTENTS[self.kind][0]


def open_zfits(path: Path, verify: bool = False) -> ZfitsFile:
    """Look at the headers of a DL0 file.

    Parameters
    ----------
    path : pathlib.Path
        File.
    verify : bool
        Read the whole file and verify its FITS checksums.

    Returns
    -------
    ZfitsFile
        Kind and number of events.

    Raises
    ------
    DamagedFile
        If it isn't FITS, isn't DL0, is cut, or its checksums are wrong.
    """
    size = path.stat().st_size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyUserWarning)  # says "may be truncated": said better below
            with fits.open(path) as hdus:
                headers = {hdu.name: hdu.header for hdu in hdus}
                ends = [hdu.fileinfo()["datLoc"] + hdu.fileinfo()["datSpan"] for hdu in hdus]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedFile(f"not a readable FITS file: {error}") from error
    if not ends or max(ends) > size:
        raise DamagedFile(f"cut: {size} bytes of {max(ends, default=0)}")
    for kind, (table, message) in CONTENTS.items():
        if table in headers and headers[table].get("PBFHEAD") == message:
            if verify:
                _verify_checksums(path)
            return ZfitsFile(kind, int(headers[table]["ZNAXIS2"]))
    raise DamagedFile(f"FITS, but neither DL0 telescope events nor subarray triggers (tables: {', '.join(headers)})")


def _verify_checksums(path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AstropyUserWarning)
        with fits.open(path, checksum=True) as hdus:
            names = [hdu.name for hdu in hdus]
    wrong = [name for name in names if any(f"'{name}'" in str(w.message) for w in caught)]
    if wrong:
        raise DamagedFile(f"wrong FITS checksum of table {', '.join(wrong)}: the content changed after it was written")
