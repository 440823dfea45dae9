"""One authority for the whole stack, and the host, user and robot credentials that it signs.

DIRAC, Rucio, XRootD and gfal2 all trust the same hashed directory (:attr:`Layout.ca`), so one proxy opens all of them.
The credentials are worth nothing outside the stack: the authority is made anew for each state directory.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .layout import DN_PREFIX, HOST_DN, ROLES, Layout
from .service import TestbedError

#: Life of the authority and of what it signs directly.
CERTIFICATE_LIFETIME = timedelta(days=3650)
#: Certificates are signed again when less than this remains.
CERTIFICATE_MARGIN = timedelta(days=60)
#: Life of a proxy in seconds; it is renewed when less than a third of it remains.
PROXY_LIFETIME = 24 * 3600
#: Clocks of client and server may differ by this much.
CLOCK_SKEW = timedelta(minutes=15)

CA_DN = f"{DN_PREFIX}/CN=CTAO testbed authority"

_RDN = {
    "DC": NameOID.DOMAIN_COMPONENT,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
}


def ensure(layout: Layout) -> None:
    """Make the authority and the certificates of host and users, where they are missing or about to expire.

    Parameters
    ----------
    layout : Layout
        Where; the files are ``certs/ca/`` (hashed), ``certs/ca.key``, ``certs/<host or user>.pem`` and ``.key`` (0400).
    """
    layout.ca.mkdir(parents=True, exist_ok=True)
    key_file = layout.certs / "ca.key"
    if not (key_file.exists() and _valid_for(layout.ca_file, CERTIFICATE_MARGIN)):
        key = _new_key()
        _write(key_file, _pem(key), 0o400)
        _write(layout.ca_file, _authority(key).public_bytes(serialization.Encoding.PEM), 0o644)
    key = _load_key(key_file)
    authority = x509.load_pem_x509_certificate(layout.ca_file.read_bytes())
    _publish_authority(layout, key, authority)
    for name, dn in {"host": HOST_DN, **{role.user: role.dn for role in ROLES.values()}}.items():
        _ensure_certificate(layout, name, dn, key, authority)


def ensure_proxy(layout: Layout, role: str) -> None:
    """Make or renew the proxy of a role; a proxy with more than a third of its life left stays.

    Parameters
    ----------
    layout : Layout
        Where; the file is ``layout.proxy(role)`` (0600), replaced in one step.
    role : str
        Name in :data:`ROLES`. The proxy carries the role's DIRAC group, if it has one.

    Raises
    ------
    TestbedError
        When the role is unknown, or DIRAC cannot sign the proxy.
    """
    if role not in ROLES:
        raise TestbedError(f"no role {role!r} in the testbed; the roles are {', '.join(ROLES)}.")
    path = layout.proxy(role)
    if proxy_seconds_left(path) > PROXY_LIFETIME / 3:
        return
    from DIRAC.Core.Security.X509Chain import X509Chain  # a second of imports: only when a proxy is due

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    user, group = ROLES[role].user, ROLES[role].group
    chain = X509Chain()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        for result in (
            chain.loadChainFromFile(str(layout.certs / f"{user}.pem")),
            chain.loadKeyFromFile(str(layout.certs / f"{user}.key")),
            chain.generateProxyToFile(str(temporary), PROXY_LIFETIME, diracGroup=group or False, strength=2048),
        ):
            if not result["OK"]:
                raise TestbedError(
                    f"proxy of role {role}: {result['Message']}. Run `cta-rucio-testbed reset` if the certificates "
                    f"in {layout.certs} were changed by hand."
                )
        temporary.chmod(0o600)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def proxy_seconds_left(path: Path) -> float:
    """Seconds until the proxy in a file expires; 0 when there is none that can be read."""
    try:
        proxy = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return 0.0
    return max(0.0, proxy.not_valid_after_utc.timestamp() - time.time())


def subject_hashes(authority: x509.Certificate) -> tuple[str, str]:
    """The two file names under which OpenSSL looks for an authority: today's and the one from before OpenSSL 1.0."""
    # OpenSSL hashes the name's canonical form: UTF-8, lower case, single spaces, without the outermost sequence
    canonical = x509.Name(
        [
            x509.NameAttribute(part.oid, " ".join(str(part.value).lower().split()), _type=_ASN1Type.UTF8String)
            for part in authority.subject
        ]
    ).public_bytes()
    header = 2 + (canonical[1] & 0x7F if canonical[1] & 0x80 else 0)
    digests = (
        hashlib.sha1(canonical[header:], usedforsecurity=False).digest(),
        hashlib.md5(authority.subject.public_bytes(), usedforsecurity=False).digest(),
    )
    new, old = (f"{int.from_bytes(digest[:4], 'little'):08x}" for digest in digests)
    return new, old


def _name(dn: str) -> x509.Name:
    parts = (part.split("=", 1) for part in dn.strip("/").split("/"))
    return x509.Name([x509.NameAttribute(_RDN[kind], value) for kind, value in parts])


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _load_key(path: Path) -> rsa.RSAPrivateKey:
    # not validated: it is our own, and validation takes longer than all the rest
    key = serialization.load_pem_private_key(path.read_bytes(), password=None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    # "RSA PRIVATE KEY": the one form that old GSI implementations read as well
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    temporary.chmod(mode)
    temporary.replace(path)


def _valid_for(path: Path, margin: timedelta) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    return certificate.not_valid_after_utc > datetime.now(UTC) + margin


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + CERTIFICATE_LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _key_usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in names for usage in _KEY_USAGES})


def _authority(key: rsa.RSAPrivateKey) -> x509.Certificate:
    return (
        _builder(_name(CA_DN), _name(CA_DN), key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
        .sign(key, hashes.SHA256())
    )


def _publish_authority(layout: Layout, key: rsa.RSAPrivateKey, authority: x509.Certificate) -> None:
    """Write the signing policy and the (empty) revocation list, and link all under OpenSSL's two hashes."""
    policy = layout.ca_file.with_suffix(".signing_policy")
    _write(
        policy,
        f"access_id_CA X509 '{CA_DN}'\npos_rights globus CA:sign\ncond_subjects globus '\"{DN_PREFIX}/*\"'\n".encode(),
        0o644,
    )
    crl = layout.ca_file.with_suffix(".crl")
    if not crl.exists() or not x509.load_pem_x509_crl(crl.read_bytes()).is_signature_valid(key.public_key()):
        now = datetime.now(UTC)
        revocations = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(authority.subject)
            .last_update(now - CLOCK_SKEW)
            .next_update(now + CERTIFICATE_LIFETIME)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .add_extension(x509.CRLNumber(1), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(crl, revocations.public_bytes(serialization.Encoding.PEM), 0o644)
    for subject_hash in subject_hashes(authority):
        for ending, target in ((".0", layout.ca_file), (".signing_policy", policy), (".r0", crl)):
            link = layout.ca / f"{subject_hash}{ending}"
            if not link.is_symlink() or link.readlink() != Path(target.name):
                link.unlink(missing_ok=True)
                link.symlink_to(target.name)


def _ensure_certificate(
    layout: Layout, name: str, dn: str, authority_key: rsa.RSAPrivateKey, authority: x509.Certificate
) -> None:
    certificate_file, key_file = layout.certs / f"{name}.pem", layout.certs / f"{name}.key"
    if key_file.exists() and _valid_for(certificate_file, CERTIFICATE_MARGIN):
        issued = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if issued.subject == _name(dn) and _matches(issued, authority, key_file):
            return
    key = _new_key()
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if name == "host" else [])
    builder = (
        _builder(_name(dn), authority.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage("digital_signature", "key_encipherment"), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    if name == "host":
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(authority_key, hashes.SHA256())
    _write(key_file, _pem(key), 0o400)
    _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _matches(issued: x509.Certificate, authority: x509.Certificate, key_file: Path) -> bool:
    """Whether a certificate comes from this authority and belongs to this key (a kill may have come between the two)."""
    try:
        issued.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return issued.public_key() == _load_key(key_file).public_key()
