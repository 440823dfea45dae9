"""DIRAC's catalogue shell on the Rucio catalogue."""

from __future__ import annotations

import re
from typing import Any

import pytest
from dirac_client import python

pytestmark = pytest.mark.stack

REGISTER = """
info = {"PFN": "", "Size": 5, "SE": "PIC-DISK", "GUID": "", "Checksum": "0000abcd"}
report(sorted(good(FileCatalog().addFile({lfn: info for lfn in sys.argv[1:]}))["Failed"]))
"""


@pytest.fixture(scope="module")
def area(testbed: Any, run_name: str) -> str:
    area = f"/ctao/s{run_name[1:].lower()}"[:30]
    assert python(testbed, "production", REGISTER, f"{area}/run/f0", f"{area}/run/f1") == []
    return area


def answers(testbed: Any, commands: list[str]) -> list[str]:
    """What the shell prints after each command."""
    text = "\n".join([*commands, "quit", ""])
    program = "dirac-dms-filecatalog-cli"
    done = testbed.run("production", "sh", "-c", f"{program} <<'END'\n{text}END", timeout=180)
    return re.split(r"^FC:/>", done.stdout, flags=re.MULTILINE)[1:]


def test_the_shell(testbed: Any, area: str) -> None:
    site = area.rsplit("/", 1)[1]  # datasets look into the whole catalogue
    name = f"north-{site}"
    dataset = f"{area}/sets/{name}"
    commands = {
        f"ls -l {area}/run": "-rw-rw-r-- 1 pprod ctao_prod 5",
        f"meta set {area}/run site {site}": "",
        f"meta set {area}/run/f0 nsb 7": "",
        f"meta get {area}/run": f"!site : {site}",
        f"meta get {area}/run/f0": "nsb : 7",
        f"meta tags {area} site where site={site}": site,
        f"find {area} site={site} nsb>5": f"{area}/run/f0",
        f"find {area} nsb=Missing": f"{area}/run/f1",
        f"size -l {area}": "PIC-DISK",
        f"replicas {area}/run/f0": "PIC-DISK",
        f"ancestorset {area}/run/f1 {area}/run/f0": "Added 1 ancestors",
        f"descendent {area}/run/f0": f"{area}/run/f1",
        f"dataset add {dataset} site={site}": "Successfully added",
        f"ls -l {area}/sets": "srwxrwxr-x 2 pprod ctao_prod 10",
        "dataset show": name,
        f"dataset files {name}": f"{area}/run/f1",
        f"dataset freeze {name}": "Successfully frozen",
        f"dataset status {name}": "Status : Frozen",
        f"dataset rm {name}": "Successfully removed",
        f"replicas {area}/run/f1": "PIC-DISK",
        f"meta remove {area}/run/f0 nsb": "",
    }
    found = dict(zip(commands, answers(testbed, list(commands)), strict=False))
    assert list(found) == list(commands)
    wrong = {command: found[command] for command, expected in commands.items() if expected not in found[command]}
    wrong |= {command: text for command, text in found.items() if re.search("(?i)error|failed|Traceback", text)}
    assert wrong == {}
