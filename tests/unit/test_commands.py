"""Every command of the product is documented and answers --help."""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(e.name for e in distribution("CTARucioDIRAC").entry_points if e.group == "console_scripts")


def test_there_are_commands():
    assert "cta-rucio-testbed" in COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command):
    result = subprocess.run(
        [str(Path(sys.executable).parent / command), "--help"], capture_output=True, text=True, check=True
    )
    assert len(result.stdout.splitlines()) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_the_docs_have_it(command):
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert any(command in page.read_text() for page in pages)
