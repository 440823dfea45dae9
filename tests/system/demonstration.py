"""The demonstration on the running stack, and what must hold after it."""

from __future__ import annotations

import json


def demo(testbed, tmp_path, *options, timeout=900) -> dict:
    result = tmp_path / "result.json"
    command = testbed.layout.bin / "cta-rucio-demo"
    done = testbed.run(
        "robot", command, "--dir", testbed.layout.root, "--json", result, *options, cwd=tmp_path, timeout=timeout
    )
    print(done.stdout)
    return json.loads(result.read_text())


def check_both_sides(testbed, lfns) -> None:
    """For every LFN: DIRAC's storage elements are Rucio's available RSEs, and dls lists what Rucio lists."""
    script = """
import json, sys
import DIRAC
DIRAC.initialize()
from DIRAC.Resources.Catalog.FileCatalog import FileCatalog
lfns = json.load(sys.stdin)
catalogue = FileCatalog()
replicas = catalogue.getReplicas(lfns)["Value"]
directories = sorted({lfn.rpartition("/")[0] for lfn in lfns})
listing = catalogue.listDirectory(directories)["Value"]
assert not replicas["Failed"] and not listing["Failed"], (replicas["Failed"], listing["Failed"])
print(json.dumps({
    "replicas": {lfn: sorted(found) for lfn, found in replicas["Successful"].items()},
    "listing": {d: sorted(found["Files"]) for d, found in listing["Successful"].items()},
}))
"""
    dirac = testbed.python("production", script, lfns)
    rucio_side = """
import json, sys
from rucio.client import Client
client = Client()
lfns = json.load(sys.stdin)
scope = lambda name: name.split("/")[2]
dids = [{"scope": scope(l), "name": l} for l in lfns]
replicas = {r["name"]: sorted(k for k, s in r["states"].items() if s == "AVAILABLE") for r in client.list_replicas(dids, all_states=True)}
directories = sorted({l.rpartition("/")[0] for l in lfns})
listing = {d: sorted(c["name"] for c in client.list_content(scope(d), d) if c["type"] == "FILE") for d in directories}
print(json.dumps({"replicas": replicas, "listing": listing}))
"""
    assert dirac == testbed.python("robot", rucio_side, lfns)
    one = lfns[0].rpartition("/")[0]
    dls = testbed.run("production", testbed.layout.bin / "dls", one).stdout.split()
    assert sorted(f"{one}/{name}" for name in dls if f"{one}/{name}" in lfns) == dirac["listing"][one]


def check_audit(testbed, found) -> None:
    """Nothing of the demonstration's own is found fault with: not its data, not its campaign."""
    scope = found["raw"]["files"][0].split("/")[2]
    check = testbed.layout.bin / "cta-rucio-check"
    arguments = ("--scope", scope, "--scope", "campaigns", "--sample", 200, "--json")
    audit = json.loads(testbed.run("production", check, *arguments, check=False).stdout)
    assert audit["looked_at"]
    mine = [one for one in audit["findings"] if scope in json.dumps(one) and one["severity"] != "note"]
    assert mine == []
