"""Which errors of a transfer are worth another attempt. Pure."""

from __future__ import annotations

import errno
from dataclasses import dataclass

#: They mean the same the next time. Most other numbers may also come from a server that is going down.
_PERMANENT = frozenset(
    {
        errno.EPERM,
        errno.ENOENT,
        errno.EACCES,
        errno.EEXIST,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EINVAL,
        errno.ENAMETOOLONG,
        errno.EROFS,
    }
)
#: gfal2 wraps an error of the other end into one of its own, with the original in its text only.
_PERMANENT_TEXTS = ("no such file", "file exists", "permission denied", "not authorized", "HTTP 403", "HTTP 404")
#: What a nearline endpoint answers when a file is only on tape.
_OFFLINE_TEXT = "no medium found"


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed.

    Attributes
    ----------
    phase : str
        ``SOURCE``, ``DESTINATION``, ``TRANSFER``, ``STAGING`` or ``ARCHIVING``.
    code : int
        Number of the system error that comes nearest.
    message : str
        As it came.
    permanent : bool or None
        Known to be the same the next time, or not; None: judge by code and message.
    """

    phase: str
    code: int
    message: str
    permanent: bool | None = None

    @property
    def recoverable(self) -> bool:
        """Whether another attempt may succeed without anybody's help."""
        if self.permanent is not None:
            return not self.permanent
        text = self.message.lower()
        return self.code not in _PERMANENT and not any(known.lower() in text for known in _PERMANENT_TEXTS)

    @property
    def offline(self) -> bool:
        """Whether the file was only on tape."""
        return _OFFLINE_TEXT in self.message.lower()

    @property
    def reason(self) -> str:
        """What is shown to the user."""
        return f"{self.phase} [{self.code}] {self.message}"


def delay(attempt: int) -> float:
    """Seconds to wait before the next attempt, after so many failed ones."""
    return float(min(2 ** max(1, attempt), 30))
