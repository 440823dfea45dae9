"""What all tests share: the running testbed, and names of their own for each run."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first: whoever runs several at a time then doesn't wait for one at the end."""
    items.sort(key=lambda item: "system" not in item.path.parts)


@dataclass(frozen=True)
class Testbed:
    """The running stack, as tests see it."""

    __test__ = False
    layout: object  #: CTARucioDIRAC.testbed.layout.Layout

    def environment(self, role: str) -> dict[str, str]:
        """Variables of a shell that acts in a role."""
        from CTARucioDIRAC.testbed import environment

        kept = {k: v for k, v in os.environ.items() if k not in (*environment.UNWANTED, "RUCIO_HOME")}
        kept["PATH"] = f"{self.layout.bin}:{kept.get('PATH', '')}"
        kept["no_proxy"] = kept["NO_PROXY"] = "localhost,127.0.0.1"
        return kept | environment.client(self.layout, role)

    def run(self, role: str, *command: object, cwd: Path | None = None, timeout: float = 300, check: bool = True):
        """Run a command in a role; returns the completed process with its output as text."""
        words = [str(word) for word in command]
        result = subprocess.run(
            words, env=self.environment(role), cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and result.returncode:
            raise AssertionError(f"{words} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}")
        return result

    def python(self, role: str, script: str, value: object = None, timeout: float = 300):
        """Run Python in a role, with a value as JSON on its standard input; returns the JSON that it printed last."""
        result = subprocess.run(
            [str(self.layout.bin / "python"), "-c", script],
            input=json.dumps(value),
            env=self.environment(role),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    def testbed(self, *arguments: object, timeout: float = 300) -> str:
        """Run cta-rucio-testbed on this stack; returns what it printed."""
        words = [self.layout.bin / "cta-rucio-testbed", *arguments, "--dir", self.layout.root]
        result = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=timeout, check=False)
        if result.returncode and arguments[0] != "status":
            raise AssertionError(f"{words} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}")
        return result.stdout


@pytest.fixture(scope="session")
def testbed() -> Testbed:
    """The stack that ``make test`` started, or another one that CTA_RUCIO_TESTBED_DIR names."""
    directory = os.environ.get("CTA_RUCIO_TESTBED_DIR")
    if not directory:
        pytest.fail("these tests need a running testbed: use make test, or set CTA_RUCIO_TESTBED_DIR to one that is up")
    from CTARucioDIRAC.testbed import state

    return Testbed(state.load(Path(directory)))


_modules = itertools.count()


@pytest.fixture(scope="module")
def run_name() -> str:
    """A name of this run's, and this module's, own, fit for a scope (18 characters) and a path component."""
    return (
        f"t{time.strftime('%m%dT%H%M%S', time.gmtime())}-{os.getpid() % 10000:04d}{chr(ord('a') + next(_modules) % 26)}"
    )
