"""What a migration reads: another catalogue's directories, files and datasets, as they are there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class OldCopy:
    """A copy of a file at a storage element.

    Attributes
    ----------
    good : bool
        Whether it can be read; others stay behind.
    pfn : str
        Its address, where the old catalogue knows it; empty where it follows from the name.
    """

    element: str
    good: bool = True
    pfn: str = ""


@dataclass(frozen=True)
class OldFile:
    """A file; checksums as they were registered, of whatever kind, or empty."""

    lfn: str
    size: int
    checksum: str
    owner: str
    group: str
    copies: tuple[OldCopy, ...]
    guid: str = ""
    good: bool = True  #: whether it's to be seen; others stay behind
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: its own, nothing inherited
    ancestors: tuple[str, ...] = ()  #: files that it was made from


@dataclass(frozen=True)
class OldDataset:
    """A selection that has a name."""

    name: str
    query: Mapping[str, Any]
    frozen: bool


@dataclass(frozen=True)
class OldDirectory:
    """A directory, with what is directly in it."""

    path: str
    files: tuple[OldFile, ...]
    directories: tuple[str, ...]  #: paths
    datasets: tuple[OldDataset, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: its own, nothing inherited


class Source(Protocol):
    """A catalogue to bring into Rucio."""

    def directory(self, path: str) -> OldDirectory:
        """Read a directory.

        Raises
        ------
        NotFound
            There is no such directory.
        Unavailable
            The catalogue gives no answer.
        """


def walk(source: Source, tops: Iterable[str]) -> Iterator[OldDirectory]:
    """All directories at and below some paths, each parent before its children, in a stable order."""
    waiting = list(reversed(list(tops)))
    while waiting:
        found = source.directory(waiting.pop())
        waiting.extend(sorted(found.directories, reverse=True))
        yield found


def plain(value: Any) -> Any:
    """A value of metadata as Rucio can hold it: dates become ISO texts, in UTC."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, dt.datetime):
        naive = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
        return naive.isoformat(timespec="seconds")
    return value
