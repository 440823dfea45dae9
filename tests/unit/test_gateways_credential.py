"""In whose name Rucio is asked: what DIRAC put into the environment comes before the host's certificate."""

import pytest
from DIRAC import gConfig

from CTARucioDIRAC.ConfigurationSystem.Client import Gateways
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
