"""The authority and what it signs, judged by OpenSSL and DIRAC, not by the code that made them."""

import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from CTARucioDIRAC.testbed import certificates
from CTARucioDIRAC.testbed.layout import HOST_DN, ROLES, Layout
from CTARucioDIRAC.testbed.service import TestbedError


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    made = Layout(tmp_path_factory.mktemp("certificates"), 23400, Path("/opt/environment"), Path("/opt/software"))
    certificates.ensure(made)
    for role in ("production", "robot"):
        certificates.ensure_proxy(made, role)
    return made


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_openssl_accepts_every_certificate_and_looks_at_the_revocations(layout):
    for name in ["host", *(role.user for role in ROLES.values())]:
        checked = openssl("verify", "-CApath", layout.ca, "-crl_check", "-x509_strict", layout.certs / f"{name}.pem")
        assert checked.endswith("OK")


def test_the_hashed_links_have_openssls_names(layout):
    hashes = openssl("x509", "-noout", "-hash", "-subject_hash_old", "-in", layout.ca_file).split()
    assert certificates.subject_hashes(x509.load_pem_x509_certificate(layout.ca_file.read_bytes())) == tuple(hashes)
    for one in hashes:
        for ending in (".0", ".r0", ".signing_policy"):
            assert (layout.ca / f"{one}{ending}").resolve().parent == layout.ca


def test_subjects_are_the_layouts(layout):
    subjects = {"host": HOST_DN} | {role.user: role.dn for role in ROLES.values()}
    for name, dn in subjects.items():
        printed = openssl("x509", "-noout", "-subject", "-nameopt", "compat", "-in", layout.certs / f"{name}.pem")
        assert printed.replace("subject=", "").strip() == dn


def test_the_host_certificate_is_for_loopback(layout):
    for option, name in (("-checkhost", "localhost"), ("-checkip", "127.0.0.1")):
        assert "does match" in openssl("x509", "-noout", option, name, "-in", layout.certs / "host.pem")


def test_keys_and_proxies_are_closed_to_others(layout):
    for path in [*layout.certs.glob("*.key"), *layout.proxy("robot").parent.glob("*.pem")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_proxies_are_rfc_proxies_that_openssl_accepts(layout):
    for role in ("production", "robot"):
        proxy = layout.proxy(role)
        checked = openssl("verify", "-allow_proxy_certs", "-CApath", layout.ca, "-untrusted", proxy, proxy)
        assert checked.endswith("OK")
        assert "Proxy Certificate Information" in openssl("x509", "-noout", "-text", "-in", proxy)


def test_dirac_reads_the_group_from_a_proxy_and_none_from_the_robots(layout):
    from DIRAC.Core.Security.X509Chain import X509Chain

    for role in ("production", "robot"):
        chain = X509Chain()
        assert chain.loadProxyFromFile(str(layout.proxy(role)))["OK"]
        assert (chain.getDIRACGroup(ignoreDefault=True)["Value"] or None) == ROLES[role].group
        assert chain.getIssuerCert()["Value"].getSubjectDN()["Value"] == ROLES[role].dn


def test_a_second_call_changes_nothing(layout):
    before = {path: path.read_bytes() for path in layout.certs.rglob("*") if path.is_file()}
    certificates.ensure(layout)
    assert {path: path.read_bytes() for path in layout.certs.rglob("*") if path.is_file()} == before


def test_a_key_that_does_not_match_is_replaced_with_its_certificate(layout):
    key = layout.certs / "puser.key"
    key.unlink()
    key.write_bytes((layout.certs / "pdata.key").read_bytes())
    certificates.ensure(layout)
    public = openssl("x509", "-noout", "-pubkey", "-in", layout.certs / "puser.pem")
    assert openssl("pkey", "-pubout", "-in", key) == public


def test_a_new_authority_signs_everything_anew(tmp_path):
    made = Layout(tmp_path, 23400, Path("/opt/environment"), Path("/opt/software"))
    certificates.ensure(made)
    (made.certs / "ca.key").unlink()
    certificates.ensure(made)
    assert openssl("verify", "-CApath", made.ca, "-crl_check", made.certs / "pprod.pem").endswith("OK")


def test_a_proxy_stays_until_a_third_of_its_life_remains(layout, monkeypatch):
    proxy = layout.proxy("robot")
    first = proxy.read_bytes()
    certificates.ensure_proxy(layout, "robot")
    assert proxy.read_bytes() == first
    later = time.time() + certificates.PROXY_LIFETIME * 0.7
    monkeypatch.setattr(certificates.time, "time", lambda: later)
    certificates.ensure_proxy(layout, "robot")
    assert proxy.read_bytes() != first


def test_an_unknown_role_is_named(layout):
    with pytest.raises(TestbedError, match="no role 'boss'.*production"):
        certificates.ensure_proxy(layout, "boss")


def test_certificates_about_to_expire_are_signed_again(layout, monkeypatch):
    serial = openssl("x509", "-noout", "-serial", "-in", layout.certs / "pprod.pem")
    monkeypatch.setattr(certificates, "CERTIFICATE_MARGIN", timedelta(days=10**4))
    certificates.ensure(layout)
    assert openssl("x509", "-noout", "-serial", "-in", layout.certs / "pprod.pem") != serial
