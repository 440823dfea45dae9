"""DIRAC's own catalogue and Rucio's, asked the same: answers are the same, but for what is declared with its reason."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from differential_compare import differences, report
from differential_table import DIFFERENCES

HERE = Path(__file__).parent


def run(testbed: Any, script: str, *arguments: str) -> str:
    """Run a script of this directory as a DIRAC client that may do everything; returns what it printed last."""
    done = testbed.run("admin", testbed.layout.bin / "python", HERE / script, *arguments, timeout=300, check=False)
    assert done.returncode == 0, f"{done.stdout[-20000:]}\n{done.stderr[-5000:]}"
    return str(done.stdout.strip().splitlines()[-1])


@pytest.mark.stack
def test_same_calls_same_answers(testbed: Any, run_name: str) -> None:
    top = f"/ctao/d{run_name[1:].lower()}"[:30] + "/x"
    answers = json.loads(run(testbed, "differential_scenarios.py", top))
    assert len(answers) > 100
    used = set()
    surprises = []
    for step, line in report(answers, top):
        matching = [d for d in DIFFERENCES if re.fullmatch(d.step, step) and re.match(d.where, line)]
        used.update(matching)
        if not matching:
            surprises.append(f"{step}: {line}")
    assert surprises == []
    assert [d for d in DIFFERENCES if d not in used] == [], "declared, and no difference any more"


@pytest.mark.stack
def test_any_sequence_of_changes_leaves_both_the_same(testbed: Any, run_name: str) -> None:
    top = f"/ctao/m{run_name[1:].lower()}"[:30]
    steps = json.loads(run(testbed, "differential_machine.py", top, "20"))
    assert steps["checked"]


def test_differences_are_found() -> None:
    one = {"a": [1, 2], "b": {"x": True}, "c": 1}
    assert list(differences(one, {"a": [2, 1], "b": {"x": True}, "c": 1})) == []
    assert list(differences(one, {"a": [1], "b": {"x": 1}, "d": 1})) == [
        "/a: [1, 2] in the DFC, [1] here",
        "/b/x: True in the DFC, 1 here",
        "/c only in the DFC: 1",
        "/d only here: 1",
    ]


def test_reasons_are_documented() -> None:
    text = " ".join((HERE.parents[2] / "docs/reference/catalogue.md").read_text().split())
    assert [d.reason for d in DIFFERENCES if d.reason not in text] == []
