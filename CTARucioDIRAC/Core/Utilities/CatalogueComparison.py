"""Answers of one file catalogue compared with another's, while they are given: log, counters, and a file of differences."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from DIRAC import gLogger

from CTARucioDIRAC.domain.shadow import NOT_COMPARED, Difference, differences

Result = dict[str, Any]
_lock = threading.Lock()
#: How often in this process: ``compared``, ``differing`` calls, ``differences``, ``shadow failed``.
counters: Counter[str] = Counter()


@dataclass(frozen=True)
class Comparison:
    """Who answers, who is compared, and where differences go.

    Attributes
    ----------
    primary, shadow : str
        Names of the two, for people.
    file : str
        Gets a line of JSON for each difference; none if empty.
    fraction : float
        Share of the calls that are compared.
    """

    primary: str
    shadow: str
    file: str = ""
    fraction: float = 1.0

    def compare(self, method: str, result: Result, ask: Callable[[], Result]) -> None:
        """Compare an answer that the primary has given with the shadow's; never raises.

        Parameters
        ----------
        result : dict
            What the primary says, in DIRAC's form.
        ask : callable
            Asks the shadow the same question.
        """
        if method in NOT_COMPARED or random.random() >= self.fraction:
            return
        try:
            self._compare(method, result, ask())
        except Exception as error:
            _count(("shadow failed", 1))
            gLogger.getSubLogger("Shadow").exception(f"{method} can't be compared:", repr(error))

    def _compare(self, method: str, result: Result, other: Result) -> None:
        if result["OK"] and other["OK"]:
            found = differences(method, result["Value"], other["Value"])
        elif result["OK"] or other["OK"]:
            texts = ["answered" if side["OK"] else str(side["Message"]) for side in (result, other)]
            found = [Difference("", "failed on one side", *texts)]
        else:
            found = []
        total = _count(("compared", 1), ("differing", bool(found)), ("differences", len(found)))
        if found:
            first = found[0]
            gLogger.getSubLogger("Shadow").warn(
                f"{method}: {self.primary} and {self.shadow} differ in {len(found)} points "
                f"({total['differing']} of {total['compared']} calls so far):",
                f"{first.name} {first.what}: {first.primary} | {first.shadow}",
            )
            self._write(method, found)

    def _write(self, method: str, found: list[Difference]) -> None:
        if not self.file:
            return
        time = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        sides = {"primary_is": self.primary, "shadow_is": self.shadow}
        lines = [json.dumps({"time": time, "method": method, **sides, **vars(one)}) + "\n" for one in found]
        # one write of whole lines: several processes may append to the same file
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, "".join(lines).encode())
        finally:
            os.close(descriptor)


def _count(*what: tuple[str, int]) -> Counter[str]:
    """Add to the counters; returns them as they are then."""
    with _lock:
        for name, number in what:
            counters[name] += int(number)
        return Counter(counters)
