"""Files of the nearline endpoint: where they are, and the few ways in which they may move.

XRootD exports the *buffer*. A file in it is a regular file (online) or, when its bytes are only in the *library*, a
symbolic link to the library copy (offline), which is read-only; the endpoint's server refuses to open such a link
(``native/loopback.c``), but shows size and stored checksum of what is behind it. A library copy is valid for the buffer's
file when size and modification time agree; a file that was overwritten is therefore simply not archived any more, and is
archived anew.

Everything here is safe against a kill at any line and against clients that write, overwrite and delete meanwhile:
an entry of the buffer is replaced by exchanging names (:meth:`TapeStore._swap`), never by deleting and creating.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import stat
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_CHUNK = 1 << 20
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
#: XRootD marks an upload that is not complete yet with this bit (persist on successful close).
_INCOMPLETE = stat.S_ISVTX
#: Marks an online file that was recalled, so that it may stay longer than one that was just archived.
_RECALLED = stat.S_ISGID
#: On a file system without leases, a file counts as complete when unchanged for so many seconds.
_QUIET = 3.0


class FileState(Enum):
    """Where a file's bytes are."""

    ABSENT = "absent"
    DISK = "disk"  #: only in the buffer
    ARCHIVED = "archived"  #: in buffer and library
    OFFLINE = "offline"  #: only in the library


class Interrupted(Exception):
    """A copy was given up because nobody wants it any more."""


class TapeError(Exception):
    """A file could not be archived or recalled; the message names the file and the cause."""


@dataclass(frozen=True)
class TapeStore:
    """The three directories of a nearline endpoint; they must be on one file system.

    Attributes
    ----------
    buffer : Path
        What XRootD exports.
    library : Path
        What the library holds, under the same names.
    work : Path
        Unfinished copies and exchanges.
    """

    buffer: Path
    library: Path
    work: Path

    def prepare(self) -> None:
        """Make the directories."""
        for directory in (self.buffer, self.library, self.work / "copies", self.work / "swaps"):
            directory.mkdir(parents=True, exist_ok=True)

    def state(self, name: str) -> FileState:
        """Where the bytes of a file are.

        Parameters
        ----------
        name : str
            Path below the buffer, as :func:`clean_name` returns it.
        """
        try:
            entry = os.lstat(self.buffer / name)
        except (FileNotFoundError, NotADirectoryError):
            return FileState.ABSENT
        archived = _lstat(self.library / name)
        if stat.S_ISLNK(entry.st_mode):
            return FileState.OFFLINE if archived else FileState.ABSENT
        if not stat.S_ISREG(entry.st_mode):
            return FileState.ABSENT
        return FileState.ARCHIVED if archived and _same_content(entry, archived) else FileState.DISK

    def online(self) -> Iterator[tuple[str, os.stat_result]]:
        """Name and status of every regular file in the buffer."""
        for name, status in _walk(self.buffer):
            if stat.S_ISREG(status.st_mode):
                yield name, status

    def deleted(self) -> Iterator[str]:
        """Names in the library without an entry in the buffer: a client deleted them."""
        if not self.buffer.is_dir():  # nothing can be said without the buffer
            return
        for name, _ in _walk(self.library):
            if _lstat(self.buffer / name) is None:
                yield name

    def lost(self) -> Iterator[str]:
        """Names of offline files without a copy in the library."""
        if not self.library.is_dir():  # nothing can be said without the library
            return
        for name, status in _walk(self.buffer):
            if stat.S_ISLNK(status.st_mode) and _lstat(self.library / name) is None:
                yield name

    def complete(self, name: str) -> bool:
        """Whether an online file is there and nobody has it open for writing."""
        status = _lstat(self.buffer / name)
        if status is None or not stat.S_ISREG(status.st_mode) or status.st_mode & _INCOMPLETE:
            return False
        return _unused(self.buffer / name, by_readers=False)

    def idle(self, name: str) -> tuple[float, bool] | None:
        """For how long nobody used an archived online file.

        Returns
        -------
        tuple of float and bool, or None
            Seconds since it was read, archived or recalled; whether it was recalled. None if it isn't archived and online.
        """
        entry, archived = _lstat(self.buffer / name), _lstat(self.library / name)
        if self.state(name) is not FileState.ARCHIVED or entry is None or archived is None:
            return None
        recalled = bool(entry.st_mode & _RECALLED)
        since = max(entry.st_atime, entry.st_ctime) if recalled else max(entry.st_atime, archived.st_ctime)
        return time.time() - since, recalled

    def archive(self, name: str, proceed: Callable[[], bool] = lambda: True) -> int | None:
        """Copy a complete file into the library, check the copy, and only then let it be seen.

        Parameters
        ----------
        name : str
            Name of the file.
        proceed : callable
            Asked between two pieces; False gives the copy up.

        Returns
        -------
        int or None
            Bytes; None when the file changed or went meanwhile (it is looked at again later).

        Raises
        ------
        TapeError
            When the copy cannot be made, or differs from the file.
        Interrupted
            When told not to proceed.
        """
        copy = self.work / "copies" / uuid.uuid4().hex
        try:
            with (self.buffer / name).open("rb") as source:
                before = os.fstat(source.fileno())
                written = _copy(source.fileno(), copy, proceed)
            if _checksum(copy) != written:
                raise TapeError(f"{name}: the copy in the library differs from the file; is the disk failing?")
            os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
            after = _lstat(self.buffer / name)
            if after is None or not _same_file(before, after) or not self.complete(name):
                return None
            copy.chmod(0o400)
            target = self.library / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy.replace(target)
            _sync_directory(target.parent)
            return before.st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TapeError(f"{name}: cannot be archived ({error.strerror}).") from error
        finally:
            copy.unlink(missing_ok=True)

    def recall(self, name: str, proceed: Callable[[], bool] = lambda: True) -> int:
        """Bring an offline file back into the buffer.

        Parameters
        ----------
        name, proceed
            As in :meth:`archive`.

        Returns
        -------
        int
            Bytes; 0 when the file was online already.

        Raises
        ------
        TapeError
            When there is no such file, or it cannot be copied.
        Interrupted
            When told not to proceed.
        """
        if self.state(name) in (FileState.DISK, FileState.ARCHIVED):
            return 0
        copy = self.work / "copies" / uuid.uuid4().hex
        try:
            with (self.library / name).open("rb") as source:
                status = os.fstat(source.fileno())
                _copy(source.fileno(), copy, proceed)
            os.utime(copy, ns=(time.time_ns(), status.st_mtime_ns))
            copy.chmod(0o644 | _RECALLED)
            if not self._swap(name, copy, accept=Path.is_symlink) and self.state(name) is FileState.ABSENT:
                raise TapeError(f"{name}: was deleted while it was recalled.")
            return status.st_size
        except FileNotFoundError as error:
            raise TapeError(f"{name}: is unknown, or was deleted meanwhile.") from error
        except OSError as error:
            raise TapeError(f"{name}: cannot be recalled ({error.strerror}).") from error
        finally:
            copy.unlink(missing_ok=True)

    def purge(self, name: str) -> bool:
        """Let an archived file go offline, unless somebody has it open; True if it went."""
        if self.state(name) is not FileState.ARCHIVED:
            return False
        link = self.work / "copies" / uuid.uuid4().hex
        link.symlink_to(self.library / name)
        try:
            return self._swap(name, link, accept=lambda path: self._expendable(name, path))
        except FileNotFoundError:  # deleted by a client a moment ago
            return False
        finally:
            link.unlink(missing_ok=True)

    def forget(self, name: str) -> bool:
        """Remove the library copy of a file that a client deleted; True if there was one."""
        if _lstat(self.buffer / name) is not None:
            return False
        try:
            (self.library / name).unlink()
        except FileNotFoundError:
            return False
        return True

    def recover(self) -> int:
        """Tidy up after a kill: undo exchanges that nobody checked, delete unfinished copies; returns how many."""
        found = 0
        for record in (self.work / "swaps").glob("*.json"):
            found += 1
            swapped = record.with_suffix("")
            try:
                details = json.loads(record.read_text())
            except ValueError:  # killed while writing the record, before the exchange
                details = {}
            status = _lstat(swapped)
            if status and details and status.st_ino != details["inode"]:
                with suppress(FileNotFoundError):  # the entry was deleted meanwhile: so be it
                    _exchange(swapped, self.buffer / details["name"])
            swapped.unlink(missing_ok=True)
            record.unlink()
        for leftover in [*(self.work / "copies").iterdir(), *(self.work / "swaps").iterdir()]:
            found += 1
            leftover.unlink()
        return found

    def _expendable(self, name: str, path: Path) -> bool:
        status, archived = path.lstat(), _lstat(self.library / name)
        regular = stat.S_ISREG(status.st_mode) and archived is not None
        return regular and archived is not None and _same_content(status, archived) and _unused(path, by_readers=True)

    def _swap(self, name: str, replacement: Path, accept: Callable[[Path], bool]) -> bool:
        """Put a replacement in the place of an entry; put the entry back unless what came out is acceptable.

        The record written first lets :meth:`recover` undo an exchange after a kill: what lies in ``swaps/`` is either
        the replacement itself (known by its inode) or what was exchanged for it.
        """
        aside = self.work / "swaps" / uuid.uuid4().hex
        record = aside.with_suffix(".json")
        record.write_text(json.dumps({"name": name, "inode": replacement.lstat().st_ino}))
        replacement.rename(aside)
        entry = self.buffer / name
        try:
            _exchange(aside, entry)
            if accept(aside):
                return True
            _exchange(aside, entry)
            return False
        finally:
            aside.unlink(missing_ok=True)
            record.unlink()


def clean_name(path: str) -> str:
    """The name of a file, from a path as a client wrote it.

    Parameters
    ----------
    path : str
        Such as ``//ctao/dl0/file?xrd.gsiusrpxy=…``.

    Returns
    -------
    str
        Relative path without empty components.

    Raises
    ------
    ValueError
        When it names no file, or one outside the endpoint.
    """
    parts = [part for part in path.split("?", 1)[0].split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise ValueError(f"{path!r} names no file of this endpoint")
    return "/".join(parts)


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Name and status of everything below a directory that is not a directory; what goes meanwhile is left out."""
    pending = [""]
    while pending:
        folder = pending.pop()
        with suppress(FileNotFoundError), os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name)
                    else:
                        yield name, entry.stat(follow_symlinks=False)


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _same_content(first: os.stat_result, second: os.stat_result) -> bool:
    return (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)


def _same_file(first: os.stat_result, second: os.stat_result) -> bool:
    return first.st_ino == second.st_ino and _same_content(first, second)


def _copy(source: int, target: Path, proceed: Callable[[], bool]) -> tuple[int, int]:
    """Copy to stable storage, with the attributes in which XRootD keeps checksums; returns size and Adler-32."""
    size, checksum = 0, 1
    with target.open("xb") as output:
        with suppress(OSError):  # a file system without attributes: checksums are computed again
            for attribute in os.listxattr(source):
                os.setxattr(output.fileno(), attribute, os.getxattr(source, attribute))
        while piece := os.read(source, _CHUNK):
            if not proceed():
                raise Interrupted
            output.write(piece)
            size, checksum = size + len(piece), zlib.adler32(piece, checksum)
        output.flush()
        os.fsync(output.fileno())
    return size, checksum


def _checksum(path: Path) -> tuple[int, int]:
    size, checksum = 0, 1
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            size, checksum = size + len(piece), zlib.adler32(piece, checksum)
    return size, checksum


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unused(path: Path, by_readers: bool) -> bool:
    """Whether no other process has a file open for writing, or (``by_readers``) at all: the kernel grants a lease."""
    kind = fcntl.F_WRLCK if by_readers else fcntl.F_RDLCK
    try:
        with path.open("rb") as file:
            fcntl.fcntl(file.fileno(), fcntl.F_SETLEASE, kind)
            fcntl.fcntl(file.fileno(), fcntl.F_SETLEASE, fcntl.F_UNLCK)
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return False
        if error.errno not in (errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        status = path.lstat()  # a file system without leases
        return time.time() - max(status.st_mtime, status.st_atime if by_readers else 0) > _QUIET


_libc = ctypes.CDLL(None, use_errno=True)


def _exchange(first: Path, second: Path) -> None:
    """Exchange two names in one step; both must exist."""
    if _libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(second))
