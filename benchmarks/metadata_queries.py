"""Metadata queries on many files: seconds to the first and to the last answer, and memory; see ``--help``.

The files are written straight into the database of the stack's Rucio server, ten keys each: registering them through the
server would take hours, and what is measured is the reading.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

_DIDS = """
insert into dids (scope, name, account, did_type, availability, bytes, adler32, is_new, created_at, updated_at)
select %(scope)s::text, format('/ctao/%%s/d%%s/f%%s', %(scope)s::text, lpad((i / 1000)::text, 4, '0'), lpad(i::text, 7, '0')),
       'root', 'F', 'A', 5, '00000001', false, now(), now()
from generate_series(0, %(number)s - 1) i
"""
_META = """
insert into did_meta (scope, name, did_type, meta, created_at, updated_at)
select %(scope)s::text, format('/ctao/%%s/d%%s/f%%s', %(scope)s::text, lpad((i / 1000)::text, 4, '0'), lpad(i::text, 7, '0')), 'F',
       jsonb_build_object('observatory', 'CTAO-N', 'data_level', i %% 4, 'obs_id', i / 100, 'sb_id', i / 1000,
                          'subarray_id', 2, 'tel_ids', '1,2,3,4', 'start_time', '2026-11-22T00:00:00',
                          'end_time', '2026-11-22T00:20:00', 'zenith', (i %% 60) + 0.5, 'valid_fits_checksum', 1),
       now(), now()
from generate_series(0, %(number)s - 1) i
"""
#: Query in DIRAC's notation, and which of the files (by their numbers) it must find.
QUERIES: dict[str, tuple[dict[str, object], Callable[[int], bool]]] = {
    "one observation": ({"obs_id": 17}, lambda i: i // 100 == 17),
    "a range": ({"obs_id": {">=": 10, "<": 20}}, lambda i: 10 <= i // 100 < 20),
    "one of two levels": ({"data_level": {"in": [0, 1]}, "observatory": "CTAO-N"}, lambda i: i % 4 in (0, 1)),
    "three keys, one a float": (
        {"data_level": 1, "zenith": {"<": 30}, "subarray_id": 2},
        lambda i: i % 4 == 1 and i % 60 < 30,
    ),
    "everything": ({"observatory": "CTAO-N"}, lambda _: True),
}

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def fill(
    number: Annotated[int, typer.Option(help="Number of files.")] = 200_000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the measurements here.")] = None,
) -> None:
    """Fill a scope of the running stack with files, and query them in a process of its own.

    Example, on a stack that is up: `CTA_RUCIO_TESTBED_DIR=/data/stack python benchmarks/metadata_queries.py`
    """
    from CTARucioDIRAC.testbed import postgres, rucio, state

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from conftest import Testbed

    layout = state.load(Path(os.environ["CTA_RUCIO_TESTBED_DIR"]))
    environment = Testbed(layout).environment
    scope = f"many{dt.datetime.now(dt.UTC):%m%d%H%M%S}"
    code = "import sys; from rucio.client import Client; Client().add_scope('root', sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, scope], env=environment("robot"), check=True)
    with postgres.connect(layout, rucio.DATABASE) as connection:
        for statement in (_DIDS, _META):
            connection.execute(statement, {"scope": scope, "number": number})
        connection.execute("analyze dids")
        connection.execute("analyze did_meta")
    output = subprocess.run(
        [sys.executable, __file__, scope, str(number)],
        env=environment("production"),
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    found = json.loads(output.splitlines()[-1])
    print(f"{number:,} files, ten keys each")
    print("query\tfound\tfirst (s)\tlast (s)\trequests\tmemory (MiB)")
    for one in found:
        print(*(one[key] for key in ("query", "found", "first", "last", "requests", "memory")), sep="\t")
    if json_file:
        json_file.write_text(json.dumps(found, indent=1) + "\n")


def query(scope: str, number: int) -> None:
    """Run all queries, counting what comes and forgetting it."""
    import DIRAC

    DIRAC.initialize()
    from measure import resident

    from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
    from CTARucioDIRAC.domain.metadata_query import parse_query
    from CTARucioDIRAC.usecases.find import find_files

    gateway = current_gateway()
    gateway.ping()
    answers = []
    for name, (wanted, belongs) in QUERIES.items():
        Path("/proc/self/clear_refs").write_text("5")
        memory, requests, begin, first, count = resident("VmRSS"), gateway.requests, time.perf_counter(), None, 0
        for _ in find_files(gateway, parse_query(wanted), f"/ctao/{scope}", "ctao"):
            first = first or time.perf_counter() - begin
            count += 1
        last = time.perf_counter() - begin
        if count != (expected := sum(map(belongs, range(number)))):
            raise SystemExit(f"{name}: {count} files found, not {expected}")
        answers.append(
            {
                "query": name,
                "found": count,
                "first": round(first or last, 3),
                "last": round(last, 3),
                "requests": gateway.requests - requests,
                "memory": round((resident("VmHWM") - memory) / 2**20),
            }
        )
    print(json.dumps(answers))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].startswith("many"):
        query(sys.argv[1], int(sys.argv[2]))
    else:
        app()
