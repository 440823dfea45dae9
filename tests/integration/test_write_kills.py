"""Rucio's server is killed in the middle of a write: done, or a clear error; the same call again makes it whole."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import did_of, parent_of
from CTARucioDIRAC.gateway.connection import ProxyCredential, Server
from CTARucioDIRAC.gateway.protocol import FileRecord
from CTARucioDIRAC.gateway.rucio_gateway import RestRucioGateway
from CTARucioDIRAC.usecases import files, register, remove
from CTARucioDIRAC.usecases.bulk import Bulk

pytestmark = [pytest.mark.stack, pytest.mark.alone, pytest.mark.slow]

DISK = "PIC-DISK"
COUNT = 40


@pytest.fixture
def gateway(testbed: Any) -> RestRucioGateway:
    from CTARucioDIRAC.testbed.layout import ROLES

    address = f"https://localhost:{testbed.layout.port('rucio')}"
    server = Server(address, address, testbed.layout.ca, timeout=60)
    return RestRucioGateway(server, ROLES["production"].account, ProxyCredential(testbed.layout.proxy("production")))


def kill_rucio(testbed: Any) -> None:
    found = json.loads(testbed.testbed("status", "--json"))
    server = next(one for one in found["services"] if one["name"] == "rucio-server")
    for pid in server["processes"]:
        os.kill(pid, signal.SIGKILL)


def interrupted(
    testbed: Any, gateway: RestRucioGateway, act: Callable[[], Bulk[bool]], after: int
) -> Bulk[bool] | errors.CtaRucioError:
    """Kill the server when so many requests of an action have been sent, and start it again; what the action said."""
    outcome: list[Bulk[bool] | errors.CtaRucioError] = []
    before = gateway.requests

    def run() -> None:
        try:
            outcome.append(act())
        except errors.CtaRucioError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 60
    while gateway.requests - before < after and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    kill_rucio(testbed)
    testbed.testbed("up")
    thread.join(timeout=120)
    assert outcome, "the action hangs"
    return outcome[0]


def check_outcome(outcome: Bulk[bool] | errors.CtaRucioError, lfns: Iterable[str]) -> set[str]:
    """What was said to be done; all else must have a reason that says that it may be tried again."""
    if isinstance(outcome, errors.CtaRucioError):
        assert isinstance(outcome, errors.Unavailable), outcome
        return set()
    assert set(outcome.done) | set(outcome.failed) == set(lfns)
    assert all(isinstance(error, errors.Unavailable) for error in outcome.failed.values()), outcome.failed
    return set(outcome.done)


def check_whole(gateway: RestRucioGateway, lfns: Iterable[str], rses: set[str]) -> None:
    """Every copy has a rule without an end, and every file is in its directory."""
    wanted = list(lfns)
    found = files.replicas(gateway, wanted)
    assert not found.failed
    members = {item.did for lfn in wanted[:1] for item in gateway.list_content(did_of(parent_of(lfn)))}
    for lfn in wanted:
        assert {replica.rse for replica in found.done[lfn].replicas} == rses
        assert {r.rse_expression for r in gateway.list_rules_on_file(did_of(lfn)) if r.expires_at is None} == rses
        assert did_of(lfn) in members


def test_writes_survive_the_servers_death(testbed: Any, gateway: RestRucioGateway, run_name: str) -> None:
    top = f"/ctao/w{run_name[1:].lower()}"[:30]
    lfns = [f"{top}/a/b/f{number}" for number in range(COUNT)]
    new = [register.NewFile(lfn, FileRecord(did_of(lfn), 5, adler32="0000abcd"), DISK) for lfn in lfns]
    first = register.NewFile(f"{top}/a/b/first", FileRecord(did_of(f"{top}/a/b/first"), 5, adler32="0000abcd"), DISK)
    assert not register.add_files(gateway, [first]).failed

    outcome = interrupted(
        testbed, gateway, lambda: register.add_files(gateway, new), after=5
    )  # the rules are being put
    check_whole(gateway, sorted(check_outcome(outcome, lfns)), {DISK})
    assert not register.add_files(gateway, new).failed
    check_whole(gateway, lfns, {DISK})

    outcome = interrupted(testbed, gateway, lambda: remove.remove_files(gateway, lfns), after=COUNT // 2)
    gone = check_outcome(outcome, lfns)
    assert all(kind is None for lfn, kind in files.kinds(gateway, lfns, "ctao").done.items() if lfn in gone)
    again = remove.remove_files(gateway, lfns)
    assert {str(error) for error in again.failed.values()} <= {"No such file or directory"}  # cleaned up already
    assert set(files.kinds(gateway, lfns, "ctao").done.values()) == {None}
