"""Storage, tape and transfers as tests see them: on the stack of ``make test``, or on a small one of their own.

A test module asks for the fixtures with ``pytest_plugins = ["storage_fixture"]``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from CTARucioDIRAC.testbed import environment, state, tape
from CTARucioDIRAC.testbed.layout import PORT_SPAN, Layout
from CTARucioDIRAC.testbed.service import recorded
from CTARucioDIRAC.testbed.tape_spool import Request, Spool
from CTARucioDIRAC.testbed.tape_store import FileState

#: Where free ports for a small stack are looked for.
PORT_BASES = range(19460, 23460, 100)
FINAL = {"FINISHED", "FAILED", "CANCELED", "FINISHEDDIRTY"}


def until(condition: Callable[[], object], seconds: float = 60, what: str = "") -> object:
    """Wait for a condition; fail with what it was about and what it said last."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {what or condition} (last: {answer!r})"
        time.sleep(0.1)
    return answer


@dataclass
class Storage:
    """The endpoints and services of a stack, and what tests do with them."""

    layout: Layout
    until = staticmethod(until)

    def url(self, rse: str, name: str, scheme: str = "root") -> str:
        slash = "//" if scheme == "root" else "/"
        return f"{scheme}://localhost:{self.layout.port(rse)}{slash}{name}"

    def environment(self, role: str = "robot") -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in environment.UNWANTED}
        patience = {"XRD_CONNECTIONWINDOW": "20", "XRD_CONNECTIONRETRY": "1"}
        return kept | environment.client(self.layout, role) | patience

    def run(self, *words: object, role: str = "robot", check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(word) for word in words]
        done = subprocess.run(
            command, env=self.environment(role), capture_output=True, text=True, timeout=120, check=False
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def xrdfs(self, rse: str, *words: object, role: str = "robot", check: bool = True) -> str:
        done = self.run("xrdfs", f"root://localhost:{self.layout.port(rse)}", *words, role=role, check=check)
        return done.stdout + done.stderr

    def put(self, path: Path, rse: str, name: str, role: str = "robot") -> None:
        self.run("xrdcp", "-f", "-s", path, self.url(rse, name), role=role)

    def get(self, rse: str, name: str, path: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("xrdcp", "-f", "-s", self.url(rse, name), path, check=check)

    def http(self, method: str, url: str, body: bytes | None = None, role: str = "robot") -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=self.layout.ca_file)
        context.load_cert_chain(self.layout.proxy(role))
        request = urllib.request.Request(url.replace("davs://", "https://"), data=body, method=method)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    # --- tape

    def tape_state(self, name: str) -> FileState:
        return tape.tape_store(self.layout).state(name)

    def put_offline(self, path: Path, name: str) -> None:
        """Put a file on tape only."""
        self.put(path, "PIC-TAPE", name)
        until(lambda: self.tape_state(name) is FileState.ARCHIVED, what=f"{name} archived")
        self.xrdfs("PIC-TAPE", "prepare", "-e", f"/{name}")
        until(lambda: self.tape_state(name) is FileState.OFFLINE, what=f"{name} offline")

    def tape_events(self, name: str, event: str) -> list[dict]:
        return [one for one in tape.events(self.layout) if one.get("name") == name and one["event"] == event]

    def requests(self) -> list[Request]:
        """What waits to be staged."""
        return Spool(self.layout.root / "tape" / "spool").requests()

    def prepared(self, request: str, name: str) -> dict:
        return json.loads(self.xrdfs("PIC-TAPE", "query", "prepare", request, f"/{name}"))["responses"][0]

    # --- transfers

    def rest(self, method: str, path: str, content: object = None, role: str = "robot") -> tuple[int, object]:
        body = None if content is None else json.dumps(content).encode()
        status, answer = self.http(method, f"https://localhost:{self.layout.port('transfer')}{path}", body, role)
        return status, json.loads(answer) if answer.strip().startswith((b"{", b"[", b'"', b"null")) else answer.decode()

    def submit(self, pairs: list[tuple[str, str]], path: Path | None = None, **parameters: object) -> str:
        """Submit one job; each pair is a file, or a source for the same file if ``several`` is among the parameters."""
        about = (
            {"checksum": f"ADLER32:{zlib.adler32(path.read_bytes()):08x}", "filesize": path.stat().st_size}
            if path
            else {}
        )
        about |= {key: parameters.pop(key) for key in ("checksum", "filesize") if key in parameters}
        about["metadata"] = {"request_id": uuid.uuid4().hex}
        files = [{"sources": [source], "destinations": [target], **about} for source, target in pairs]
        if parameters.pop("several", False):
            files = [{**files[0], "sources": [source for source, _ in pairs]}]
        document = {"files": files, "params": {"verify_checksum": "both", "overwrite": True, **parameters}}
        status, answer = self.rest("POST", "/jobs", document)
        assert status == 200, answer
        return answer["job_id"]

    def job(self, job_id: str) -> dict:
        status, job = self.rest("GET", f"/jobs/{job_id}")
        assert status == 200, job
        return job | {"files": self.rest("GET", f"/jobs/{job_id}/files")[1]}

    def finished(self, job_id: str, seconds: float = 120) -> dict:
        """The job, once it is final."""
        until(lambda: self.rest("GET", f"/jobs/{job_id}")[1]["job_state"] in FINAL, seconds, f"job {job_id} final")
        return self.job(job_id)

    # --- processes

    def pid(self, service: str) -> int:
        record = recorded(self.layout, service)
        assert record and record.alive(), f"{service} does not run"
        return record.pid

    def kill(self, service: str) -> None:
        """Kill a service, and wait until the keeper has started it again."""
        old = self.pid(service)
        os.kill(old, signal.SIGKILL)

        def replaced() -> bool:
            record = recorded(self.layout, service)
            return bool(record and record.pid != old and record.alive())

        until(replaced, what=f"{service} started again")

    def workers(self) -> list[int]:
        """Pids of the transfer service's worker processes."""
        parent, found = self.pid("transfer"), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    status = (entry / "stat").read_text()
                    if int(status[status.rindex(")") + 2 :].split()[1]) == parent:
                        found.append(int(entry.name))
        return found


@dataclass
class Files:
    """Local files of one test, and names of its own on the storage."""

    directory: Path
    prefix: str

    def make(self, size: int = 300_000) -> Path:
        path = self.directory / uuid.uuid4().hex
        path.write_bytes(os.urandom(size))
        return path

    def name(self) -> str:
        return f"{self.prefix}/{uuid.uuid4().hex[:12]}"

    @staticmethod
    def same(first: Path, second: Path) -> bool:
        return hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()


def _cli(*words: object) -> None:
    command = [str(Path(sys.executable).parent / "cta-rucio-testbed"), *[str(word) for word in words]]
    subprocess.run(command, check=True, timeout=180, env={k: v for k, v in os.environ.items() if "CTA_RUCIO" not in k})


def _free_ports() -> int:
    """First port of a range that nobody listens in."""

    def free(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    return next(base for base in PORT_BASES if all(free(base + offset) for offset in range(PORT_SPAN)))


@pytest.fixture(scope="session")
def storage() -> Iterator[Storage]:
    """Storage of the stack that runs, or of a small one that is started for these tests."""
    if directory := os.environ.get("CTA_RUCIO_TESTBED_DIR"):
        yield Storage(state.load(Path(directory)))
        return
    parent = Path(tempfile.mkdtemp(prefix="ct-storage-", dir="/var/tmp"))
    parent.chmod(0o755)
    root = parent / "stack"
    try:
        _cli("up", "--only", "storage", "--dir", root, "--port-base", _free_ports(), "--tape-latency", 0.5)
        yield Storage(state.load(root))
        _cli("reset", "--yes", "--dir", root)
    finally:
        if (root / "testbed.json").exists():
            _cli("down", "--dir", root)
        shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Local files, and a directory of the test's own on each endpoint."""
    return Files(tmp_path, f"ctao/test-storage/{uuid.uuid4().hex[:8]}")
