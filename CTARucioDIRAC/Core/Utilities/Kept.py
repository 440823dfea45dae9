"""Answers that are kept for a while, for all threads of a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Remembers a value for each key.

    Parameters
    ----------
    seconds : float
        For how long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._values: dict[Hashable, tuple[float, T]] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made anew if there is none or it's too old; what fails isn't kept."""
        with self._lock:
            found = self._values.get(key)
        if found is not None and found[0] > time.monotonic():
            return found[1]
        value = make()
        with self._lock:
            self._values[key] = (time.monotonic() + self._seconds, value)
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
