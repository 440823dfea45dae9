"""After any fault on the way to Rucio: done, or a clear error; a repeat converges; nothing is left half-registered."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, cut_after, cut_before, cut_within, error_after, running, status

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import Did, did_of
from CTARucioDIRAC.gateway.connection import ProxyCredential, Server
from CTARucioDIRAC.gateway.protocol import FileRecord
from CTARucioDIRAC.gateway.rucio_gateway import RestRucioGateway
from CTARucioDIRAC.usecases import files, register, remove
from CTARucioDIRAC.usecases.register import NewFile

pytestmark = pytest.mark.stack

FAULTS = {
    "503 once": status(503),
    "500 once": status(500),
    "token forgotten": status(401),
    "cut before": cut_before,
    "cut after it was applied": cut_after,
    "cut within the answer": cut_within,
    "502 after it was applied": error_after,
}
DISK, OTHER = "PIC-DISK", "CNAF-DISK"


def direct(testbed: Any, role: str, proxy: Path | None = None, address: str | None = None) -> RestRucioGateway:
    from CTARucioDIRAC.testbed.layout import ROLES

    real = f"https://localhost:{testbed.layout.port('rucio')}"
    server = Server(address or real, real, testbed.layout.ca, timeout=30)
    return RestRucioGateway(server, ROLES[role].account, ProxyCredential(proxy or testbed.layout.proxy(role)))


@pytest.fixture(scope="module")
def faulty(testbed: Any) -> Iterator[FaultServer]:
    with running(testbed.layout) as server:
        yield server


@dataclass
class Names:
    """New names for each attempt, in one scope."""

    scope: str
    counter: Iterator[int]

    def some(self, count: int = 2) -> list[str]:
        number = next(self.counter)
        return [f"/ctao/{self.scope}/d{number}/f{i}" for i in range(count)]


@pytest.fixture(scope="module")
def names(testbed: Any, run_name: str) -> Names:
    scope = f"x{run_name[1:]}"[:25].lower()
    direct(testbed, "production").add_scope(scope)
    return Names(scope, itertools.count())


def new(lfns: list[str]) -> list[NewFile]:
    return [NewFile(lfn, FileRecord(did_of(lfn), 5, adler32="00000001"), DISK) for lfn in lfns]


def complete(gateway: RestRucioGateway, lfns: list[str], rses: set[str]) -> None:
    """Each file has its copies, exactly one rule for each of them, and a place in its directory."""
    replicas = gateway.list_replicas(map(did_of, lfns), all_states=True)
    for lfn in lfns:
        assert {replica.rse for replica in replicas[did_of(lfn)].available} == rses
        assert sorted(rule.rse_expression for rule in gateway.list_rules(did=did_of(lfn))) == sorted(rses)
        assert [parent.did.name for parent in gateway.list_parents(did_of(lfn))] == [lfn.rsplit("/", 1)[0]]


def add(gateway: RestRucioGateway, lfns: list[str]) -> Any:
    return register.add_files(gateway, new(lfns))


def copy(gateway: RestRucioGateway, lfns: list[str]) -> Any:
    return register.add_copies(gateway, dict.fromkeys(lfns, OTHER))


def forget(gateway: RestRucioGateway, lfns: list[str]) -> Any:
    return remove.remove_files(gateway, lfns)


def check_forgotten(gateway: RestRucioGateway, lfns: list[str]) -> None:
    assert files.stat_files(gateway, lfns).done == {}


Step = Callable[[RestRucioGateway, list[str]], Any]
WRITES: dict[str, tuple[Step | None, Step, Step]] = {
    "addFile": (None, add, lambda gateway, lfns: complete(gateway, lfns, {DISK})),
    "addReplica": (add, copy, lambda gateway, lfns: complete(gateway, lfns, {DISK, OTHER})),
    "removeFile": (add, forget, check_forgotten),
}


#: Requests that each write costs.
counts: dict[str, int] = {}


def attempt(act: Step, gateway: RestRucioGateway, lfns: list[str]) -> bool:
    """Whether all was done; what wasn't must be an error that says that a repeat may help."""
    try:
        answers = act(gateway, lfns)
    except errors.CtaRucioError as error:
        assert error.retryable, error
        return False
    assert set(answers.done) | set(answers.failed) == set(lfns)
    for lfn, error in answers.failed.items():
        assert error.retryable or (act is forget and isinstance(error, errors.NotFound)), f"{lfn}: {error!r}"
    return all(act is forget and isinstance(error, errors.NotFound) for error in answers.failed.values())


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_write_is_done_or_says_so_and_a_repeat_converges(
    testbed: Any, faulty: FaultServer, names: Names, write: str, fault: str
) -> None:
    prepare, act, check = WRITES[write]
    clean, gateway = direct(testbed, "production"), direct(testbed, "production", address=faulty.address)

    def prepared() -> list[str]:
        lfns = names.some()
        if prepare is not None:
            assert not prepare(clean, lfns).failed
        return lfns

    faulty.befall({})
    gateway.whoami()  # has a token now, so that each of its requests goes to the faulty server
    if write not in counts:
        for _ in range(2):  # the first one may have to make the directories above
            faulty.befall({})
            assert attempt(act, gateway, prepared())
        counts[write] = faulty.count
    requests = range(counts[write])
    # a cut connection is the hardest: of each request; the others, of one each
    for number in requests if FAULTS[fault] is cut_after else [len(fault) % len(requests)]:
        lfns = prepared()
        faulty.befall({number: FAULTS[fault]})
        outcomes = [attempt(act, gateway, lfns)]
        assert faulty.count > number, "the fault never happened"
        while not outcomes[-1]:  # the machine may be so busy that a repeat fails, too
            assert len(outcomes) < 4, f"request {number}: no repeat has done it"
            outcomes.append(attempt(act, gateway, lfns))
        check(clean, lfns)


@pytest.mark.parametrize("fault", FAULTS)
def test_reads_are_right_or_fail(testbed: Any, faulty: FaultServer, names: Names, fault: str) -> None:
    """An answer that breaks off is never taken for a short one."""
    lfns = names.some(20)
    clean, gateway = direct(testbed, "production"), direct(testbed, "production", address=faulty.address)
    assert not register.add_files(clean, new(lfns)).failed
    directory = Did(names.scope, lfns[0].rsplit("/", 1)[0])
    reads: list[Callable[[RestRucioGateway], Any]] = [
        lambda g: {lfn: record.size for lfn, record in files.stat_files(g, lfns).done.items()},
        lambda g: files.replicas(g, lfns).done,
        lambda g: sorted(item.did for item in g.list_content(directory)),
        lambda g: sorted(item.did for item in g.find_names(names.scope, f"{directory.name}/")),
        lambda g: g.get_metadata(map(did_of, lfns)),
        lambda g: sorted(rule.id for rule in g.list_rules(scope=names.scope)),
    ]
    for read in reads:
        faulty.befall({0: FAULTS[fault]})
        try:
            found = read(gateway)
        except errors.Unavailable:
            found = read(gateway)
        assert found == read(clean)


def test_a_server_that_is_restarted_meanwhile(testbed: Any, names: Names) -> None:
    """Kept connections die, and new ones are refused for a moment: the call goes through."""
    with running(testbed.layout) as server:
        port = server.server_address[1]
        gateway = direct(testbed, "production", address=server.address)
        first = names.some()
        assert not add(gateway, first).failed
    back = threading.Event()

    def come_back() -> None:
        with running(testbed.layout, port):
            back.wait(60)

    restart = threading.Timer(0.5, come_back)
    restart.start()
    try:
        second = names.some()
        while not attempt(add, gateway, second):
            assert restart.is_alive()
        complete(gateway, [*first, *second], {DISK})
    finally:
        back.set()
        restart.join(10)


def test_one_connection_and_one_token_for_many_requests(testbed: Any, names: Names) -> None:
    with running(testbed.layout) as server:
        gateway = direct(testbed, "production", address=server.address)
        for _ in range(10):
            gateway.whoami()
        add(gateway, names.some())
        assert (server.connections, gateway.requests) == (1, server.count + 1)


def test_two_writers_of_the_same_files(testbed: Any, names: Names) -> None:
    lfns = names.some(20)
    gateways = [direct(testbed, "production") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(lambda gateway: add(gateway, lfns), gateways):
            assert not answers.failed, answers.failed
    complete(gateways[0], lfns, {DISK})


def test_a_dead_token_is_renewed(testbed: Any) -> None:
    gateway = direct(testbed, "user")
    gateway.whoami()
    gateway._connection._token = "not-a-token"
    assert gateway.whoami() == "ctaouser"
    gateway._connection._token_ends = dt.datetime.now(dt.UTC)
    before = gateway.requests
    assert gateway.whoami() == "ctaouser"
    assert gateway.requests == before + 2


def test_a_proxy_is_replaced(testbed: Any, tmp_path: Path) -> None:
    """By one of the same user: it's used. By somebody else's: that one can't be used for this account."""
    proxy = tmp_path / "proxy.pem"

    def replace(role: str) -> None:
        shutil.copy(testbed.layout.proxy(role), tmp_path / "new")
        (tmp_path / "new").replace(proxy)

    replace("user")
    gateway = direct(testbed, "user", proxy)
    assert gateway.whoami() == "ctaouser"
    before = gateway.requests
    replace("user")
    assert gateway.whoami() == "ctaouser"
    assert gateway.requests == before + 2
    replace("data")
    with pytest.raises(errors.NotAuthenticated, match="ctaouser"):
        gateway.whoami()
    proxy.unlink()
    with pytest.raises(errors.NotAuthenticated, match=r"ctaouser.*dirac-proxy-init"):
        gateway.whoami()


def test_an_expired_proxy_is_an_error_that_says_so(testbed: Any, tmp_path: Path) -> None:
    from DIRAC.Core.Security.X509Chain import X509Chain

    proxy, user = tmp_path / "short.pem", testbed.layout.certs / "puser"
    chain = X509Chain()
    assert chain.loadChainFromFile(f"{user}.pem")["OK"]
    assert chain.loadKeyFromFile(f"{user}.key")["OK"]
    assert chain.generateProxyToFile(str(proxy), 1, diracGroup="ctao_user", strength=2048)["OK"]
    deadline = time.monotonic() + 30
    while chain.hasExpired()["Value"] is False:
        assert chain.loadProxyFromFile(str(proxy))["OK"]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    start = time.monotonic()
    with pytest.raises(errors.NotAuthenticated, match="expired"):
        direct(testbed, "user", proxy).whoami()
    assert time.monotonic() - start < 20


def test_one_process_serves_several_users_in_threads(testbed: Any) -> None:
    """Each gateway keeps to its own account and token, and the environment stays as it is."""
    roles = ("user", "production", "data", "admin", "analyst")
    accounts = {"user": "ctaouser", "production": "ctaoprod", "data": "ctaodata", "admin": "ctaoadmin"}
    gateways = {role: direct(testbed, role) for role in roles}
    before = dict(os.environ)
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda role: (role, gateways[role].whoami()), roles * 4))
    assert all(account == accounts.get(role, "panalyst") for role, account in found)
    assert len({gateway._connection._token for gateway in gateways.values()}) == len(roles)
    assert dict(os.environ) == before


def test_no_log_and_no_error_has_a_credential(testbed: Any, names: Names, faulty: FaultServer) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    texts: list[str] = []
    try:
        gateway = direct(testbed, "production", address=faulty.address)
        lfns = names.some()
        faulty.befall({1: status(401), 3: status(503), 4: cut_after})
        attempt(add, gateway, lfns)
        files.stat_files(gateway, lfns)
        faulty.befall(dict.fromkeys(range(100), status(503)))
        with pytest.raises(errors.Unavailable) as failure:
            gateway.whoami()
        texts += [repr(failure.value), repr(gateway), repr(gateway._connection), repr(gateway._connection.credential)]
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    texts.append(written.getvalue())
    assert "/replicas" in texts[-1], "nothing was logged at all"
    token = gateway._connection._token
    key = testbed.layout.proxy("production").read_text().split("PRIVATE KEY-----")[1].strip()[:60]
    assert token
    for text in texts:
        assert token not in text
        assert key not in text
        assert "X-Rucio-Auth-Token" not in text
