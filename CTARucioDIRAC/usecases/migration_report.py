"""What came of a migration, or of a comparison: counts, and every problem with the name that it is about."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

#: Problems that are kept to be shown; all of them go to ``note``.
SHOWN = 100


class Kind(StrEnum):
    """What is wrong with a name."""

    IMPOSSIBLE = "impossible"  #: Rucio can't have it as it is
    LEFT = "left_behind"  #: the old catalogue doesn't show it
    CONFLICT = "conflict"  #: Rucio has another content under that name
    FAILED = "failed"  #: Rucio refused
    MISSING = "missing_file"
    COPY = "missing_copy"
    RULE = "missing_rule"
    METADATA = "metadata"
    DIRECTORY = "directory"
    DATASET = "dataset"


@dataclass
class Report:
    """Counts and problems; may be added to by many threads.

    Attributes
    ----------
    note : callable
        Takes each problem, as ``{"kind", "name", "problem"}``.
    progress : callable
        Called whenever some thousand files have been dealt with.
    """

    note: Callable[[dict[str, str]], None] = lambda problem: None  # noqa: ARG005
    progress: Callable[[], None] = lambda: None
    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    shown: list[dict[str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, number: int = 1) -> None:
        """Count."""
        with self._lock:
            self.counts[what] += int(number)

    def problem(self, kind: Kind, name: str, text: str) -> None:
        """Tell that something can't be, or isn't, as it was."""
        problem = {"kind": str(kind), "name": name, "problem": text}
        with self._lock:
            self.kinds[str(kind)] += 1
            if len(self.shown) < SHOWN:
                self.shown.append(problem)
            self.note(problem)

    @property
    def clean(self) -> bool:
        """True if nothing is wrong; what the old catalogue hides itself isn't."""
        return not any(count for kind, count in self.kinds.items() if kind != Kind.LEFT)

    def summary(self) -> dict[str, Any]:
        """Everything but the problems beyond the first :data:`SHOWN`."""
        counts = {name: count for name, count in self.counts.items() if count}
        return {"counts": counts, "problems": dict(self.kinds), "first_problems": self.shown}
