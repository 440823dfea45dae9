"""What the groups of verbs of the REST gateway share."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from CTARucioDIRAC.domain.identifiers import Did, is_path

#: The server's schema refuses longer lists.
CHUNK = 1000


class Verbs(ABC):
    """A group of verbs: has Rucio's client, and translates what it raises."""

    #: Rucio's client; typed loosely, because only :mod:`.rucio_gateway` knows Rucio.
    _client: Any

    @property
    @abstractmethod
    def account(self) -> str:
        """Rucio account that everything is done as."""

    @abstractmethod
    def _doing(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Translate whatever Rucio and the network raise; ``what`` begins the message."""

    def _stream(self, call: Callable[[], Iterable[Any]], what: str) -> Iterator[Any]:
        """Give on the items of an answer as they arrive."""
        with self._doing(what):
            yield from call()


def some(dids: Collection[Did]) -> str:
    """Name one DID, or the first of many."""
    first = next(iter(dids), None)
    return str(first) if len(dids) <= 1 else f"{first} and {len(dids) - 1} more"


def by_list(dids: Iterable[Did]) -> tuple[list[Did], list[Did]]:
    """Split names into those that can be asked for in a list, and those that must be asked for one by one.

    CTAO's schema refuses a whole list for one name that isn't a good path; such names exist, as not every way into
    Rucio checks them. ``/`` can't be a name, and is left out.
    """
    listed: list[Did] = []
    single: list[Did] = []
    for did in dict.fromkeys(dids):
        if did.name != "/":
            (listed if is_path(did.name) else single).append(did)
    return listed, single
