"""In whose name Rucio is asked: what DIRAC put into the environment comes before the host's certificate."""

import threading
import time
from pathlib import Path

import pytest
from DIRAC import gConfig

from CTARucioDIRAC.ConfigurationSystem.Client import Gateways
from CTARucioDIRAC.domain.errors import NotAuthenticated
from CTARucioDIRAC.gateway.connection import CertificateCredential, ProxyCredential


@pytest.fixture
def server(monkeypatch):
    """A process that uses the host certificate."""
    monkeypatch.setattr(gConfig, "useServerCertificate", lambda: True)
    monkeypatch.setattr(Gateways.Locations, "getHostCertificateAndKeyLocation", lambda: ("/host.pem", "/host.key"))
    monkeypatch.delenv("X509_USER_PROXY", raising=False)


def test_a_service_acts_as_its_host(server):
    assert isinstance(Gateways._current_credential(), CertificateCredential)


def test_an_agent_acts_as_its_shifter(server, monkeypatch, tmp_path):
    proxy = tmp_path / "shifter.pem"
    proxy.write_text("x")
    monkeypatch.setenv("X509_USER_PROXY", str(proxy))
    assert Gateways._current_credential() == ProxyCredential(proxy)


@pytest.fixture
def user(monkeypatch, tmp_path):
    """A process with a user's proxy; returns what the proxy says, to be changed."""
    proxy = tmp_path / "proxy.pem"
    proxy.write_text("x")
    says = {"name": "alice", "group": "ctao_user", "ends": time.time() + 100}
    monkeypatch.setenv("X509_USER_PROXY", str(proxy))
    monkeypatch.setattr(gConfig, "useServerCertificate", lambda: False)
    monkeypatch.setattr(Gateways, "_read_proxy", lambda _credential: (says["name"], says["group"], says["ends"]))
    monkeypatch.setattr(Gateways, "_holders", {})
    monkeypatch.setattr(Gateways.RucioConfiguration, "user_account", lambda name, group: f"{group}.{name}")
    return says


def test_a_user_acts_as_the_account_that_the_configuration_says_now(user, monkeypatch):
    assert Gateways.current_identity().account == "ctao_user.alice"
    monkeypatch.setattr(Gateways.RucioConfiguration, "user_account", lambda name, group: "other")
    assert Gateways.current_identity().account == "other"


def test_a_replaced_proxy_is_read_again(user, tmp_path):
    assert Gateways.current_identity().name == "alice"
    user["name"] = "bob"
    assert Gateways.current_identity().name == "alice"
    (tmp_path / "new").write_text("y")
    (tmp_path / "new").replace(tmp_path / "proxy.pem")
    assert Gateways.current_identity().name == "bob"


def test_an_expired_proxy_is_refused_before_anything_is_sent(user, tmp_path):
    user["ends"] = time.time() - 1
    with pytest.raises(NotAuthenticated, match=r"proxy\.pem has expired.*dirac-proxy-init"):
        Gateways.current_identity()
    (tmp_path / "proxy.pem").unlink()
    with pytest.raises(NotAuthenticated, match="no proxy found|no usable credential"):
        Gateways.current_identity()


def test_somebody_else_can_be_acted_for_in_one_thread(user):
    remote = Gateways.Identity("carol", "ctao_prod", "ctaoprod", ProxyCredential(Path("/carol")))
    found = []
    with Gateways.acting_as(remote):
        assert Gateways.current_identity() is remote
        other = threading.Thread(target=lambda: found.append(Gateways.current_identity().name))
        other.start()
        other.join()
    assert found == ["alice"]
    assert Gateways.current_identity().name == "alice"
