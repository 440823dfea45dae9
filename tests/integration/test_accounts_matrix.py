"""Verb × account × outcome: the table in docs/reference/accounts.md, run on the real server."""

from __future__ import annotations

import configparser
import contextlib
import itertools
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.gateway.connection import ProxyCredential, Server
from CTARucioDIRAC.gateway.protocol import FileRecord, ReplicaState
from CTARucioDIRAC.gateway.rucio_gateway import RestRucioGateway

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
ROLES = {"owner": "analyst", "other user": "user", "data manager": "data", "administrator": "admin"}
DISK, OTHER, CLOSED = "PIC-DISK", "CNAF-DISK", "PIC-TAPE"


def gateway_of(testbed: Any, role: str, port: int | None = None) -> RestRucioGateway:
    from CTARucioDIRAC.testbed.layout import ROLES as TESTBED_ROLES

    address = f"https://localhost:{port or testbed.layout.port('rucio')}"
    server = Server(address, address, testbed.layout.ca)
    return RestRucioGateway(server, TESTBED_ROLES[role].account, ProxyCredential(testbed.layout.proxy(role)))


def table() -> dict[str, dict[str, bool]]:
    """Whether each verb succeeds, by account, as the documentation says."""
    text = (ROOT / "docs" / "reference" / "accounts.md").read_text()
    lines = text.split("<!-- matrix -->")[1].split("<!-- /matrix -->")[0].strip().splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(cell in ("yes", "no") for row in rows for cell in row[1:])
    return {row[0]: dict(zip(header[1:], (cell == "yes" for cell in row[1:]), strict=True)) for row in rows}


@dataclass
class Data:
    """A scope of the owner's, with what each attempt needs of its own."""

    manager: RestRucioGateway
    owner: RestRucioGateway
    scope: str
    counter: Iterator[int]

    def name(self, kind: str) -> Did:
        return Did(self.scope, f"/ctao/{self.scope}/{kind}{next(self.counter)}/f")

    def file(self, *, rule: bool = True) -> Did:
        did = self.name("file")
        self.manager.add_replicas(DISK, [record(did)])
        if rule:
            self.owner.add_rule([did], DISK)
        return did

    def dataset(self) -> Did:
        did = self.name("set")
        self.manager.add_datasets([did])
        return did

    def state(self, did: Did) -> Any:
        """All that could be left half-done."""
        return (
            [replace(found, updated_at=found.created_at) for found in self.manager.get_dids([did]).values()],
            self.manager.list_replicas([did], all_states=True),
            {rule.id: (rule.account, rule.expires_at) for rule in self.manager.list_rules(did=did)},
            self.manager.get_metadata([did]),
        )


def record(did: Did) -> FileRecord:
    return FileRecord(did, 5, adler32="00000001")


@pytest.fixture(scope="module")
def data(testbed: Any, run_name: str) -> Data:
    scope = f"m{run_name[1:]}"[:25].lower()
    manager = gateway_of(testbed, "production")
    manager.add_scope(scope, "panalyst")
    return Data(manager, gateway_of(testbed, "analyst"), scope, itertools.count())


@pytest.fixture(scope="module")
def generic(testbed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a second server on the same database, with CTAO's policy as it is."""
    layout, home = testbed.layout, tmp_path_factory.mktemp("generic")
    configuration = configparser.RawConfigParser()
    configuration.read(layout.rucio_home("server") / "etc" / "rucio.cfg")
    configuration["policy"]["package"] = "bdms_rucio_policy"
    (home / "etc").mkdir()
    with (home / "etc" / "rucio.cfg").open("w") as file:
        configuration.write(file)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    from CTARucioDIRAC.testbed import rucio

    command = [layout.bin / "python", "-m", "CTARucioDIRAC.testbed.rucio_server", port]
    command += [layout.certs / "host.pem", layout.certs / "host.key", layout.ca_file]
    variables = rucio.server_environment(layout) | {"RUCIO_HOME": str(home)}
    with (home / "log").open("w") as log:
        process = subprocess.Popen([str(word) for word in command], env=variables, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None and time.monotonic() < deadline, (home / "log").read_text()[-2000:]
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(30)


Attempt = Callable[[], Any]


def verbs(data: Data, gateway: RestRucioGateway) -> dict[str, Callable[[], tuple[Did, Attempt]]]:
    """What to try, by the name that the documentation gives it: makes a name, and returns it with the attempt on it."""

    def on(make: Callable[[], Did], attempt: Callable[[Did], Any]) -> Callable[[], tuple[Did, Attempt]]:
        def prepare() -> tuple[Did, Attempt]:
            made = make()
            return made, lambda: attempt(made)

        return prepare

    def on_rule(of: RestRucioGateway, attempt: Callable[[str], Any]) -> Callable[[], tuple[Did, Attempt]]:
        def prepare() -> tuple[Did, Attempt]:
            did = data.file(rule=False)
            rule = of.add_rule([did], DISK, lifetime=3600)[did]
            return did, lambda: attempt(rule)

        return prepare

    def fill(dataset: Did) -> None:
        gateway.attach({dataset: [members[0]]})
        gateway.detach(dataset, [members[0]])

    def give_away(rule: str) -> None:
        with gateway._doing("giving a rule away"):
            gateway._client.update_replication_rule(rule, {"account": "ctaodata"})

    members = [data.file()]

    def declare_bad(did: Did) -> None:
        with gateway._doing("declaring a copy bad"):
            gateway._client.declare_bad_file_replicas([{"scope": did.scope, "name": did.name, "rse": DISK}], "a test")

    def administrate(_: Any) -> None:
        with gateway._doing("changing an RSE"):
            gateway._client.add_rse_attribute(DISK, "tested", "true")

    def read(did: Did) -> None:
        assert did in gateway.get_dids([did])
        assert did in gateway.list_replicas([did])
        gateway.get_metadata([did])

    return {
        "register a new file at a disk (`addFile`)": on(
            lambda: data.name("new"), lambda did: gateway.add_replicas(DISK, [record(did)])
        ),
        "register a further copy at a disk (`addReplica`)": on(
            data.file, lambda did: gateway.add_replicas(OTHER, [record(did)])
        ),
        "register a copy on tape": on(data.file, lambda did: gateway.add_replicas(CLOSED, [record(did)])),
        "put a rule (`replicate`, `stage`)": on(data.file, lambda did: gateway.add_rule([did], DISK, lifetime=60)),
        "extend a rule of one's own": on_rule(gateway, lambda rule: gateway.update_rule(rule, lifetime=7200)),
        "end a rule of one's own": on_rule(gateway, gateway.end_rule),
        "give a rule of one's own to another account": on_rule(gateway, give_away),
        "end the owner's rule (`removeReplica`)": on_rule(data.owner, gateway.end_rule),
        "say that a copy isn't available (`setReplicaStatus`)": on(
            data.file, lambda did: gateway.set_replica_states(DISK, {did: ReplicaState.UNAVAILABLE})
        ),
        "declare a copy bad": on(data.file, declare_bad),
        "let go of a copy without a rule": on(
            lambda: data.file(rule=False), lambda did: gateway.set_tombstones(DISK, [did])
        ),
        "remove a name (`removeFile`)": on(data.file, lambda did: gateway.expire([did])),
        "create a directory or dataset": on(lambda: data.name("dir"), lambda did: gateway.add_datasets([did])),
        "put a file into the owner's dataset, take it out": on(data.dataset, fill),
        "close a dataset": on(data.dataset, gateway.close),
        "set metadata": on(data.file, lambda did: gateway.set_metadata({did: {"obs_id": 1}})),
        "read everything that the catalogue has": on(data.file, read),
        "add a scope": on(data.file, lambda _: gateway.add_scope(f"{data.scope}{next(data.counter)}"[-25:])),
        "change an RSE, an account, a limit": on(data.file, administrate),
    }


def outcomes(data: Data, gateway: RestRucioGateway, column: str) -> dict[str, bool]:
    """What each verb came to; a refusal, where one is expected, must leave everything as it was."""
    refused = {verb for verb, done in expected(column).items() if not done}
    found = {}
    for verb, prepare in verbs(data, gateway).items():
        did, attempt = prepare()
        before = data.state(did) if verb in refused else None
        try:
            attempt()
            found[verb] = True
        except errors.NotAllowed:
            found[verb] = False
            assert before is None or data.state(did) == before, f"{verb}: refused, and something is left"
    return found


def expected(column: str) -> dict[str, bool]:
    return {verb: row[column] for verb, row in table().items()}


@pytest.mark.parametrize("who", ROLES)
def test_least_privilege_policy(testbed: Any, data: Data, who: str) -> None:
    gateway = gateway_of(testbed, ROLES[who])
    assert outcomes(data, gateway, who) == expected(who)


@pytest.mark.parametrize("who", ["owner", "other user"])
def test_generic_policy(testbed: Any, data: Data, generic: int, who: str) -> None:
    gateway = gateway_of(testbed, ROLES[who], generic)
    assert outcomes(data, gateway, f"{who}, generic") == expected(f"{who}, generic")
    assert not gateway.privileges().owners_decide


def test_privileges_say_so(testbed: Any) -> None:
    found = {role: gateway_of(testbed, role).privileges() for role in ("user", "production", "data", "admin")}
    assert all(privileges.owners_decide for privileges in found.values())
    assert {role for role, privileges in found.items() if privileges.manager} == {"production", "data", "admin"}
    assert {role for role, privileges in found.items() if privileges.admin} == {"admin"}


def test_another_ones_files_are_no_way_in(testbed: Any, data: Data) -> None:
    """A request that names files of several scopes is judged by all of them."""
    user, did = gateway_of(testbed, "user"), data.file()
    mine = Did("user.puser", f"/ctao/user/p/puser/{data.scope}-{next(data.counter)}")
    user.add_replicas(DISK, [record(mine)])
    before = data.state(did)
    for attempt in (
        lambda: user.add_replicas(OTHER, [record(mine), record(did)]),
        lambda: user.set_replica_states(DISK, dict.fromkeys([mine, did], ReplicaState.UNAVAILABLE)),
        lambda: user.set_tombstones(DISK, [mine, did]),
        lambda: user.expire([mine, did]),
        lambda: user.set_metadata({mine: {"obs_id": 1}, did: {"obs_id": 1}}),
    ):
        with pytest.raises(errors.NotAllowed):
            attempt()
    assert data.state(did) == before
