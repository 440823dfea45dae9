"""Answers about many names at once: each of them ends in ``done`` or in ``failed``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from CTARucioDIRAC.domain.errors import CtaRucioError, InvalidInput, NotFound, Unavailable
from CTARucioDIRAC.domain.identifiers import Did, did_of

T = TypeVar("T")
K = TypeVar("K")

#: What the server has no bulk call for, such as one scope or one file at a time, is asked by so many requests at once.
THREADS = 8
#: Texts that DIRAC's callers compare with.
NO_SUCH_FILE = "No such file or directory"
ZERO_REPLICAS = "File has zero replicas"


@dataclass
class Bulk(Generic[T]):
    """Answers by logical file name."""

    done: dict[str, T] = field(default_factory=dict)
    failed: dict[str, CtaRucioError] = field(default_factory=dict)


def identify(lfns: Iterable[str], answers: Bulk[T]) -> dict[str, Did]:
    """Data identifiers of logical file names; those that can't be any go to ``answers.failed``."""
    dids = {}
    for lfn in lfns:
        try:
            dids[lfn] = did_of(lfn)
        except InvalidInput as error:
            answers.failed[lfn] = error
    return dids


def now() -> dt.datetime:
    """The time."""
    return dt.datetime.now(dt.UTC)


def missing() -> NotFound:
    """Error for a name that isn't there, with the text that DIRAC compares."""
    return NotFound(NO_SUCH_FILE)


def each_or_split(items: list[K], act: Callable[[list[K]], None]) -> dict[K, CtaRucioError]:
    """Act on all at once; where that fails because of some, find them by halving, and do the rest.

    Parameters
    ----------
    act : callable
        Must be idempotent.

    Returns
    -------
    dict
        Error of each item that can't be done. If the server is away, all that are left get that error.
    """
    if not items:
        return {}
    try:
        act(items)
        return {}
    except Unavailable as error:
        return dict.fromkeys(items, error)
    except CtaRucioError as error:
        if len(items) == 1:
            return {items[0]: error}
        middle = len(items) // 2
        return each_or_split(items[:middle], act) | each_or_split(items[middle:], act)
