"""Run Python as a DIRAC client of the stack."""

from __future__ import annotations

import json
from typing import Any

PRELUDE = """
import datetime, json, os, sys, time
import DIRAC
DIRAC.initialize()
from DIRAC.Resources.Catalog.FileCatalog import FileCatalog
from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway

def report(value):
    print(json.dumps(value, default=str))

def good(result):
    assert result["OK"], result["Message"]
    return result["Value"]
"""


def python(testbed: Any, role: str, code: str, *arguments: object, timeout: float = 180) -> Any:
    """Run code with DIRAC in a role; returns what it last reported."""
    done = testbed.run(role, testbed.layout.bin / "python", "-c", PRELUDE + code, *arguments, timeout=timeout)
    return json.loads(done.stdout.strip().splitlines()[-1])


#: Ingests files as CTAO's BDMS does: with Rucio's own client, an existing scope, containers from /VO/scope/level down.
INGEST = """
import sys, zlib
from rucio.client import Client
from rucio.common.exception import Duplicate
scope, directory, names = sys.argv[1], sys.argv[2], sys.argv[3:]
client = Client()
try:
    client.add_scope("root", scope)
except Duplicate:
    pass
files = [{"scope": scope, "name": f"{directory}/{n}", "bytes": 5, "adler32": "%08x" % zlib.adler32(n.encode())} for n in names]
client.add_replicas("LAPALMA-DISK", files)
parts = directory.strip("/").split("/")
above = ["/" + "/".join(parts[:i]) for i in range(3, len(parts))]
for path in above:
    client.add_container(scope, path)
client.add_dataset(scope, directory)
for parent, child in zip(above, [*above[1:], directory]):
    client.attach_dids(scope, parent, [{"scope": scope, "name": child}])
client.attach_dids(scope, directory, [{"scope": f["scope"], "name": f["name"]} for f in files])
for number, f in enumerate(files):
    client.set_metadata_bulk(scope, f["name"], {"obs_id": number, "observatory": "CTAO-N"})
"""


def ingest(testbed: Any, scope: str, directory: str, names: list[str]) -> list[str]:
    """Bring files into Rucio without DIRAC; returns their names."""
    testbed.run("robot", testbed.layout.bin / "python", "-c", INGEST, scope, directory, *names)
    return [f"{directory}/{name}" for name in names]
