"""One contestant, one number of files, in a process of its own: ``measure.py CONTESTANT N TOP`` prints JSON lines.

Requests are counted below all clients, at the sockets' doors: every HTTP request (authentication and pings included),
every call of a DIRAC service. Memory is the peak of the resident set during an operation, above what it was before.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import requests
from contestants import CONTESTANTS, OPERATIONS, READS

#: A reading operation on few files is repeated so many times, and the fastest counts.
REPEATS = 5
FEW = 100


class Count:
    """Requests sent since the last question."""

    def __init__(self) -> None:
        from DIRAC.Core.DISET.private.InnerRPCClient import InnerRPCClient

        self.requests = 0
        for owner, name in ((requests.adapters.HTTPAdapter, "send"), (InnerRPCClient, "executeRPC")):
            self._watch(owner, name)

    def _watch(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.requests += 1
            return original(*args, **kwargs)

        setattr(owner, name, counted)


def resident(word: str) -> int:
    """Bytes of memory of this process: now (``VmRSS``), or at the highest since the last reset (``VmHWM``)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{word}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status doesn't tell {word}")


def main() -> None:
    """Run all operations; one that fails is reported with its reason, and those after it go on."""
    import DIRAC

    DIRAC.initialize()
    contestant, number, top = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    names = [f"{top}/d{index // 1000:03d}/f{index:06d}" for index in range(number)]
    count = Count()
    with contextlib.redirect_stdout(sys.stderr):
        subject = CONTESTANTS[contestant]()
    for operation in OPERATIONS:
        times = REPEATS if operation in READS and number <= FEW else 1
        found = {"contestant": contestant, "n": number, "operation": operation}
        Path("/proc/self/clear_refs").write_text("5")
        before, memory, seconds, done = count.requests, resident("VmRSS"), [], 0
        try:
            for _ in range(times):
                begin = time.perf_counter()
                with contextlib.redirect_stdout(sys.stderr):
                    done = getattr(subject, operation.replace(" ", "_"))(names)
                seconds.append(time.perf_counter() - begin)
        except Exception as error:  # the next operation may work, and the report says what didn't
            found["error"] = f"{type(error).__name__}: {error}"[:300]
        found |= {"seconds": min(seconds, default=None), "requests": (count.requests - before) / times}
        found |= {"done": done, "memory": max(0, resident("VmHWM") - memory)}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
