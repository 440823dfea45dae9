"""Size and checksums of local files, read once."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

from CTARucioDIRAC.domain.errors import InvalidInput

_BLOCK = 4 * 1024 * 1024


@dataclass(frozen=True)
class Digest:
    """What a file contains."""

    size: int  #: bytes
    adler32: str  #: 8 hexadecimal digits
    md5: str | None  #: 32 hexadecimal digits, if asked for


def digest(path: Path, *, md5: bool = False) -> Digest:
    """Read a file.

    Raises
    ------
    InvalidInput
        It can't be read.
    """
    size, adler = 0, 1
    other = hashlib.md5(usedforsecurity=False) if md5 else None
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                size += len(block)
                adler = zlib.adler32(block, adler)
                if other is not None:
                    other.update(block)
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error}") from error
    return Digest(size, f"{adler & 0xFFFFFFFF:08x}", other.hexdigest() if other is not None else None)


def same_adler32(one: str, other: str) -> bool:
    """Compare checksums as storages write them: in any case, with or without leading zeros or ``0x``."""

    def digits(text: str) -> str:
        return text.lower().removeprefix("0x").lstrip("0")

    return digits(one) == digits(other)
