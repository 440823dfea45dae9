"""The connection to Rucio: tokens, retries, counting, errors; against a transport in memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import tenacity

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.gateway import connection, translate
from CTARucioDIRAC.gateway.connection import CertificateCredential, Connection, ProxyCredential, Server
from CTARucioDIRAC.gateway.rucio_gateway import RestRucioGateway

HOST = "https://rucio.example.org"
Handler = Callable[[str, str, dict[str, Any]], "Answer | Exception"]


class Answer(requests.Response):
    def __init__(self, status: int = 200, text: str = "", **headers: str) -> None:
        super().__init__()
        self.status_code = status
        self._content = text.encode()
        self._content_consumed = True
        self.headers.update({key.replace("_", "-"): value for key, value in headers.items()})


class Wire:
    """Records what is sent, and answers."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.handler: Handler = lambda _method, _url, _options: Answer()
        self.tokens = 0
        self.token_expires = "Fri, 01 Jan 2100 00:00:00 UTC"

    def request(self, method: str, url: str, **options: Any) -> Answer:
        self.sent.append((method, url, options))
        if "/auth/" in url:
            self.tokens += 1
            return Answer(X_Rucio_Auth_Token=f"token{self.tokens}", X_Rucio_Auth_Token_Expires=self.token_expires)
        answer = self.handler(method, url, options)
        if isinstance(answer, Exception):
            raise answer
        answer.request = requests.Request(method, url, headers=options["headers"]).prepare()
        return answer


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    monkeypatch.setattr(requests.Session, "request", lambda _self, method, url, **o: wire.request(method, url, **o))
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda _seconds: None)
    return wire


@pytest.fixture
def proxy(tmp_path: Path) -> Path:
    path = tmp_path / "proxy.pem"
    path.write_text("proxy")
    return path


@pytest.fixture
def link(wire: Wire, proxy: Path, tmp_path: Path) -> Connection:
    return Connection(Server(HOST, HOST, tmp_path), "ctaoprod", ProxyCredential(proxy))


def test_constructing_does_nothing(wire: Wire, tmp_path: Path) -> None:
    gateway = RestRucioGateway(Server(HOST, HOST, tmp_path), "ctaoprod", ProxyCredential(tmp_path / "none"))
    assert wire.sent == []
    assert gateway.requests == 0
    with pytest.raises(errors.NotAuthenticated, match="dirac-proxy-init"):
        gateway.whoami()
    assert wire.sent == []


def test_one_token_for_all_requests(link: Connection, wire: Wire, proxy: Path, tmp_path: Path) -> None:
    for _ in range(3):
        link.send("GET", f"{HOST}/x")
    assert [url for _, url, _ in wire.sent] == [f"{HOST}/auth/x509_proxy", *[f"{HOST}/x"] * 3]
    assert link.requests == 4
    _, _, authentication = wire.sent[0]
    assert authentication["cert"] == str(proxy)
    assert authentication["headers"]["X-Rucio-Account"] == "ctaoprod"
    _, _, options = wire.sent[1]
    assert options["headers"]["X-Rucio-Auth-Token"] == "token1"
    assert options["verify"] == str(tmp_path)


def test_host_certificates(wire: Wire, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_text("c")
    key.write_text("k")
    Connection(Server(HOST, HOST, tmp_path), "host", CertificateCredential(certificate, key)).send("GET", f"{HOST}/x")
    assert wire.sent[0][1] == f"{HOST}/auth/x509"
    assert wire.sent[0][2]["cert"] == (str(certificate), str(key))


def test_a_new_proxy_gets_a_new_token(link: Connection, wire: Wire, proxy: Path) -> None:
    link.send("GET", f"{HOST}/x")
    os.utime(proxy, (1, 1))
    link.send("GET", f"{HOST}/x")
    assert wire.tokens == 2


def test_an_old_token_is_renewed(link: Connection, wire: Wire) -> None:
    wire.token_expires = "Thu, 01 Jan 2026 00:00:00 UTC"
    link.send("GET", f"{HOST}/x")
    link.send("GET", f"{HOST}/x")
    assert wire.tokens == 2


def test_a_refused_token_is_renewed_once(link: Connection, wire: Wire) -> None:
    def handler(_method: str, _url: str, options: dict[str, Any]) -> Answer:
        return Answer(401 if options["headers"]["X-Rucio-Auth-Token"] == "token1" else 200)

    wire.handler = handler
    assert link.send("GET", f"{HOST}/x").status_code == 200
    assert wire.tokens == 2


def test_what_is_denied_is_not_asked_again(link: Connection, wire: Wire) -> None:
    wire.handler = lambda *_: Answer(401, ExceptionClass="AccessDenied")
    assert link.send("POST", f"{HOST}/x").status_code == 401
    assert wire.tokens == 1
    assert link.requests == 2


@pytest.mark.parametrize("trouble", [Answer(503), Answer(502), requests.ConnectionError("reset")])
def test_passing_trouble_is_retried(link: Connection, wire: Wire, trouble: Answer | Exception) -> None:
    answers = [trouble, trouble, Answer(200)]
    wire.handler = lambda *_: answers.pop(0)
    assert link.send("GET", f"{HOST}/x").status_code == 200


@pytest.mark.parametrize("trouble", [Answer(503), requests.ConnectionError("refused")])
def test_lasting_trouble_is_an_error(link: Connection, wire: Wire, trouble: Answer | Exception) -> None:
    wire.handler = lambda *_: trouble
    with pytest.raises(errors.Unavailable, match=HOST) as failure:
        link.send("GET", f"{HOST}/x", read_only=True)
    assert not isinstance(failure.value, errors.OutcomeUnknown)
    with pytest.raises(errors.OutcomeUnknown):
        link.send("POST", f"{HOST}/x")
    assert errors.OutcomeUnknown.retryable


def test_no_answer_in_time_is_not_waited_for_again(link: Connection, wire: Wire) -> None:
    wire.handler = lambda *_: requests.exceptions.ReadTimeout("too late")
    with pytest.raises(errors.OutcomeUnknown, match="too late"):
        link.send("POST", f"{HOST}/x")
    assert link.requests == 2


def test_many_threads_share_one_token(link: Connection, wire: Wire) -> None:
    threads = [threading.Thread(target=lambda: link.send("GET", f"{HOST}/x")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wire.tokens == 1
    assert link.requests == 21


def test_only_https(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidSettings, match="https"):
        Server("http://rucio.example.org", HOST, tmp_path)


def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, link: Connection, wire: Wire) -> None:
    for name in ("RUCIO_HOME", "RUCIO_ACCOUNT", "RUCIO_VO", "HTTPS_PROXY", "X509_USER_PROXY"):
        monkeypatch.setenv(name, "/nowhere")
    before = dict(os.environ)
    link.send("GET", f"{HOST}/x")
    assert link._get_session().trust_env is False
    assert wire.sent[1][2]["headers"]["X-Rucio-VO"] == "def"
    assert dict(os.environ) == before


def test_no_configuration_file_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; before = list(sys.argv)\n"
        "from CTARucioDIRAC.gateway.rucio_gateway import RestRucioGateway\n"
        "from CTARucioDIRAC.gateway.connection import ProxyCredential, Server\n"
        "server = Server('https://localhost:9', 'https://localhost:9', Path('/nowhere'))\n"
        "RestRucioGateway(server, 'root', ProxyCredential(Path('/nowhere')))\n"
        "assert sys.argv == before"
    )
    environment = {"PATH": "/usr/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


def test_errors_by_name() -> None:
    error = translate.error_from("RSENotFound", "RSE does not exist.\nDetails: X", "asking for X")
    assert isinstance(error, errors.NotFound)
    assert str(error) == "asking for X: RSE does not exist. X [RSENotFound]"
    unknown = translate.error_from("SomethingNew", "?", "asking")
    assert type(unknown) is errors.CtaRucioError
    broken = translate.error_from("RucioException", "no error information passed (http status code: 500)", "asking")
    assert isinstance(broken, errors.Unavailable)


def test_long_errors_are_shortened() -> None:
    text = str(translate.error_from("InvalidObject", "x" * 10**6, "asking"))
    assert len(text) < 600


def test_every_error_named_in_the_table_exists_in_rucio() -> None:
    from rucio.common import exception

    missing = [name for name in translate._BY_NAME if not hasattr(exception, name)]
    assert missing == []


def test_guids() -> None:
    assert translate.guid_to_rucio("{AAAAAAAA-BBBB-CCCC-DDDD-000000000001}") == "aaaaaaaabbbbccccdddd000000000001"
    assert translate.guid_from_rucio("aaaaaaaabbbbccccdddd000000000001") == "AAAAAAAA-BBBB-CCCC-DDDD-000000000001"
    assert translate.guid_from_rucio(None) is None
    with pytest.raises(errors.InvalidInput):
        translate.guid_to_rucio("malformed")


def test_metadata_that_cannot_be_kept() -> None:
    for bad in ({"a.b": 1}, {"a": float("nan")}, {"a": object()}, {"campaign": "x" * 51}, {"": 1}):
        with pytest.raises(errors.InvalidInput):
            translate.plain_metadata(bad)


def test_the_exception_tree_is_drawn_completely() -> None:
    names = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert all(name in (errors.__doc__ or "") for name in names)
    assert connection.ATTEMPTS > 1


@pytest.mark.parametrize(("read_only", "attempts"), [(True, 2), (False, 1)])
def test_a_servers_accident_is_asked_again_where_nothing_is_written(
    wire: Wire, link: Connection, read_only: bool, attempts: int
) -> None:
    answers = [Answer(500, "Internal Server Error"), Answer(200, "done")]
    wire.handler = lambda _method, _url, _options: answers.pop(0)
    answer = link.send("GET", f"{HOST}/x", read_only=read_only)
    assert answer.status_code == (200 if read_only else 500)
    assert 2 - len(answers) == attempts


def test_an_error_of_rucios_own_is_an_answer(wire: Wire, link: Connection) -> None:
    wire.handler = lambda _method, _url, _options: Answer(500, "no", ExceptionClass="DatabaseException")
    assert link.send("GET", f"{HOST}/x", read_only=True).status_code == 500
    assert len([sent for sent in wire.sent if "/auth/" not in sent[1]]) == 1
