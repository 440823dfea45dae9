"""Kill every kind of process of the stack, a job's wrapper and its payload, while a campaign runs: nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

#: Seconds that a campaign may take after the last disturbance.
DEADLINE = 300
#: What is killed at the same moment, by the beginnings of its names; all of the stack is in one of them.
TOGETHER = (
    ("postgres", "mariadb"),
    ("rucio-", "transfer"),
    ("xrootd-", "tape-robot"),
    ("dirac-configuration", "dirac-mind", "dirac-services", "dirac-documents"),
    ("dirac-executors", "dirac-agents", "dirac-requests"),
    ("dirac-worker", "keeper"),
)


def kill(pid: int) -> None:
    """Kill a process if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        print(f"  {pid} had ended already")


def processes(testbed) -> dict[str, int]:
    """Name and pid of every process that the stack reports."""
    return {p["name"]: p["pid"] for p in json.loads(testbed.testbed("status", "--json"))["services"] if p["pid"]}


def commands_below(roots: set[int]) -> dict[int, str]:
    """Command lines of all descendants of some processes."""
    parents, lines = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
                parents[int(entry.name)] = int(stat[stat.rindex(")") + 2 :].split()[1])
                lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
    found, grown = set(roots), True
    while grown:
        grown = {pid for pid, parent in parents.items() if parent in found} - found
        found |= grown
    return {pid: lines[pid] for pid in found - roots if pid in lines}


def kill_when_seen(testbed, what: str, deadline: float) -> str:
    """Kill the first process below a worker whose command line has this text; returns the command line."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        workers = {pid for name, pid in processes(testbed).items() if "worker" in name}
        for pid, line in commands_below(workers).items():
            if what in line:
                kill(pid)
                return line
        time.sleep(0.5)  # until a job is seen
    raise AssertionError(f"no process with {what!r} below the workers within {deadline} s")


def campaign_of(testbed, running: subprocess.Popen, deadline: float) -> str:
    """Wait until the demonstration's campaign is submitted; returns its container."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        assert running.poll() is None, "the demonstration ended before its campaign began"
        result = testbed.run("production", testbed.layout.bin / "cta-rucio-reprocess", "status", "--json", check=False)
        if result.returncode == 0:
            busy = [
                c for c in json.loads(result.stdout) if c["state"] == "running" and any(s["files"] for s in c["steps"])
            ]
            if busy:
                return busy[-1]["campaign"]
        time.sleep(1)  # until the campaign is there
    raise AssertionError(f"no campaign within {deadline} s")


@pytest.mark.slow
@pytest.mark.alone
def test_a_campaign_survives_the_death_of_every_process(testbed, tmp_path):
    log, result = tmp_path / "demo.log", tmp_path / "result.json"
    command = [testbed.layout.bin / "cta-rucio-demo", "--dir", testbed.layout.root, "--json", result]
    command += ["--observations", 2, "--chunks", 3, "--events", 5]
    with log.open("w") as output:
        running = subprocess.Popen(
            [str(word) for word in command],
            env=testbed.environment("robot"),
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        base = campaign_of(testbed, running, 300)
        for what in ("ctapipe-process", "dirac-jobexec"):
            print("killed", kill_when_seen(testbed, what, 240)[:120])
        killed: set[str] = set()
        for kinds in TOGETHER:
            running_now = processes(testbed)
            victims = {name: pid for name, pid in running_now.items() if name.startswith(kinds)}
            assert victims, f"nothing of {kinds} among {sorted(running_now)}"
            print("killing", victims)
            for pid in victims.values():
                kill(pid)
            killed |= set(victims)
            testbed.testbed("up")
        assert killed == set(processes(testbed)), "the stack has processes that nobody killed"
        begin = time.monotonic()
        done = testbed.run(
            "production",
            testbed.layout.bin / "cta-rucio-reprocess",
            "status",
            base,
            "--json",
            "--wait",
            DEADLINE,
            timeout=DEADLINE + 60,
            check=False,
        )
        status = json.loads(done.stdout)
        print(f"ended {time.monotonic() - begin:.0f} s after the last of them was started again")
    finally:
        running.terminate()
        running.wait(60)
        print(log.read_text()[-5000:])
    assert status["state"] == "complete", status
    check_nothing_lost_or_doubled(testbed, status)


def check_nothing_lost_or_doubled(testbed, status) -> None:
    """Each output once, in Rucio and on the storage, with its rule; the events of the input, each once; no pin left."""
    script = """
import json, sys
from rucio.client import Client
client = Client()
status = json.load(sys.stdin)
found = {}
for step in status["steps"]:
    scope = step["output_dataset"].split("/")[2]
    files = list(client.list_files(scope, step["output_dataset"]))
    dids = [{"scope": f["scope"], "name": f["name"]} for f in files]
    meta = list(client.get_metadata_bulk(dids, plugin="JSON"))
    replicas = list(client.list_replicas(dids, all_states=True))
    found[step["step"]] = {
        "names": sorted(f["name"] for f in files),
        "events": [m["n_events"] for m in meta],
        "replicas": {r["name"]: r["states"] for r in replicas},
        "rules": {f["name"]: [r["rse_expression"] for r in client.list_did_rules(f["scope"], f["name"])] for f in files},
        "checksums": {f["name"]: f["adler32"] for f in files},
    }
base = status["campaign"]
found["pins"] = [r["name"] for r in client.list_replication_rules({"scope": base.split("/")[2]}) if r["name"].startswith(base + "/")]
print(json.dumps(found))
"""
    found = testbed.python("robot", script, status)
    assert found.pop("pins") == []
    assert {step: (len(f["names"]), sum(f["events"])) for step, f in found.items()} == {
        "process": (6, 30),
        "merge": (2, 30),
    }
    for step in found.values():
        assert set(step["replicas"]) == set(step["names"])
        assert all(states == {"PIC-DISK": "AVAILABLE"} for states in step["replicas"].values())
        assert all(rules == ["PIC-DISK"] for rules in step["rules"].values()), step["rules"]
    registered = {name for step in found.values() for name in step["names"]}
    top = os.path.commonpath(registered)
    storage = testbed.layout.storage("PIC-DISK")
    # an upload that was killed leaves a part under a name of its own, which is nobody's file
    files = [p for p in (storage / top.lstrip("/")).rglob("*") if p.is_file() and p.suffix != ".part"]
    present = {f"/{p.relative_to(storage)}" for p in files}
    assert present == registered, "files on the storage that nobody registered, or the reverse"
    from CTARucioDIRAC.demo.raw import adler32

    for step in found.values():
        for name, checksum in step["checksums"].items():
            assert adler32(storage / name.lstrip("/")) == checksum, name
