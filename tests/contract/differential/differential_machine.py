"""Random sequences of changes on both catalogues: ``differential_machine.py TOP SECONDS``.

After each change both must give the same answers to the same questions. What is removed from Rucio takes its daemons a
moment to go: until then the question is asked again, within a limit.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from differential_client import DFC, OURS, catalogues, declare_fields, description, plain
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

#: Seconds that Rucio's daemons may take to do what they were told.
LIMIT = 30.0
DIRECTORIES = ("a", "b")
QUERIES: list[dict[str, Any]] = [
    {"difflevel": 1},
    {"difflevel": {">": 0}, "diffn": {"<": 2}},
    {"diffn": [0, 2]},
    {"diffn": {"!=": 1}},
    {"difflevel": "Any"},
    {},
]


class Both(RuleBasedStateMachine):
    """The two catalogues."""

    catalogues: dict[str, Any] = {}
    top = ""
    end = 0.0
    examples = 0
    checked = 0
    numbers = 0

    files = Bundle("files")

    @initialize()
    def begin(self) -> None:
        """A directory of its own for each sequence."""
        Both.examples += 1
        self.directory = f"{self.top}/s{Both.examples}"
        self.names: set[str] = set()
        self.copies: dict[str, set[str]] = {}
        if self.in_time():
            self.both("createDirectory", [f"{self.directory}/{name}" for name in DIRECTORIES])

    def in_time(self) -> bool:
        """Whether there is time for another change."""
        return time.monotonic() < self.end

    def both(self, method: str, *arguments: Any) -> Any:
        """Ask both, and compare."""
        deadline = time.monotonic() + LIMIT
        while True:
            answers = {}
            for name, catalogue in self.catalogues.items():
                result = getattr(catalogue, method)(*json.loads(json.dumps(arguments)))
                answers[name] = _comparable(plain(result["Value"])) if result["OK"] else "failed"
            if answers[DFC] == answers[OURS]:
                return answers[OURS]
            assert time.monotonic() < deadline, f"{method}{arguments}: {answers}"
            time.sleep(0.3)  # between two questions; the deadline is above

    @rule(target=files, where=st.sampled_from(DIRECTORIES))
    def add(self, where: str) -> str:
        """Register a new file."""
        Both.numbers += 1
        lfn = f"{self.directory}/{where}/f{Both.numbers}"
        if self.in_time():
            self.both("addFile", {lfn: description(int(time.time()) % 10**6 * 1000 + Both.numbers)})
            self.names.add(lfn)
            self.copies[lfn] = {"PIC-DISK"}
            self.compare()
        return lfn

    @rule(lfn=files)
    def add_copy(self, lfn: str) -> None:
        """Register a copy at the other storage element."""
        if self.in_time() and lfn in self.names:
            self.both("addReplica", {lfn: {"SE": "CNAF-DISK", "PFN": ""}})
            self.copies[lfn].add("CNAF-DISK")
            self.compare()

    @rule(lfn=files, rse=st.sampled_from(["PIC-DISK", "CNAF-DISK"]))
    def remove_copy(self, lfn: str, rse: str) -> None:
        """Let go of one of two copies."""
        if self.in_time() and len(self.copies.get(lfn, ())) == 2:
            self.both("removeReplica", {lfn: {"SE": rse, "PFN": ""}})
            self.copies[lfn].remove(rse)
            self.compare()

    @rule(lfn=files, number=st.integers(0, 2))
    def say(self, lfn: str, number: int) -> None:
        """Set metadata of a file."""
        if self.in_time() and lfn in self.names:
            self.both("setMetadata", lfn, {"diffn": number})
            self.compare()

    @rule(source=st.sampled_from(DIRECTORIES), level=st.integers(0, 2))
    @precondition(lambda self: self.in_time())
    def move_level(self, source: str, level: int) -> None:
        """Take metadata away from one directory and give them to the other."""
        target = DIRECTORIES[1 - DIRECTORIES.index(source)]
        self.both("removeMetadata", {f"{self.directory}/{source}": ["difflevel"]})
        self.both("setMetadata", f"{self.directory}/{target}", {"difflevel": level})
        self.compare()

    @rule(lfn=files)
    def remove(self, lfn: str) -> None:
        """Remove a file for good."""
        if self.in_time() and lfn in self.names:
            self.both("removeFile", lfn)
            self.names.remove(lfn)
            del self.copies[lfn]
            self.compare()

    def compare(self) -> None:
        """Ask both about everything."""
        Both.checked += 1
        names = sorted(self.names)
        for query in QUERIES:
            self.both("findFilesByMetadata", query, self.directory)
        self.both("listDirectory", [f"{self.directory}/{name}" for name in DIRECTORIES])
        self.both("getDirectorySize", self.directory, True)
        if names:
            assert self.both("exists", names)["Successful"] == {name: name for name in names}
            found = self.both("getReplicas", names)["Successful"]
            assert {name: set(where) for name, where in found.items()} == self.copies


def _comparable(value: Any) -> Any:
    """An answer without what the two spell otherwise on purpose (see differential_table)."""
    if isinstance(value, dict):
        if "PIC-DISK" in value or "CNAF-DISK" in value:
            return {key: item if isinstance(item, dict) else "address" for key, item in value.items()}
        if "LogicalSize" in value:  # the DFC counts directories once they have had files
            copies = {se: held for se, held in value["PhysicalSize"].items() if isinstance(held, dict)}
            return {"Size": value["LogicalSize"], "Files": value["LogicalFiles"], "Copies": copies}
        if "MetaData" in value:
            return {"Size": value["MetaData"]["Size"]}
        return {key: _comparable(item) for key, item in value.items()}
    return sorted(value) if isinstance(value, list) else value


def main() -> None:
    """Run sequences until the time is over, and say how many changes were compared."""
    Both.top, seconds = sys.argv[1], float(sys.argv[2])
    Both.catalogues = catalogues()
    for catalogue in Both.catalogues.values():
        declare_fields(catalogue)
    Both.end = time.monotonic() + seconds
    run_state_machine_as_test(
        Both,
        settings=settings(
            max_examples=6,
            stateful_step_count=8,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(json.dumps({"sequences": Both.examples, "checked": Both.checked}))


if __name__ == "__main__":
    main()
