"""The gateway to Rucio for whoever DIRAC says is acting now: one for each account and credential, kept.

DIRAC decides: the proxy that it has put into ``X509_USER_PROXY`` (``executeWithUserProxy``, an agent's ``shifterProxy``),
else the host certificate where ``/DIRAC/Security/UseServerCertificate`` is on, else the user's proxy. Asked at every call,
so that one process can serve several users; nothing is put into the environment.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DIRAC import gConfig
from DIRAC.ConfigurationSystem.Client.Helpers.Registry import getHostnameForDN
from DIRAC.Core.Security import Locations
from DIRAC.Core.Security.ProxyInfo import getProxyInfo
from DIRAC.Core.Security.X509Chain import X509Chain

from CTARucioDIRAC.ConfigurationSystem.Client import RucioConfiguration
from CTARucioDIRAC.domain.embargo import hidden_scopes, parse_embargo
from CTARucioDIRAC.domain.errors import InvalidSettings, NotAuthenticated
from CTARucioDIRAC.domain.settings import CatalogueSettings
from CTARucioDIRAC.gateway.connection import CertificateCredential, Credential, ProxyCredential, Server
from CTARucioDIRAC.gateway.embargo import hide
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.gateway.rucio_gateway import RestRucioGateway

#: Proxies of that many users are kept in mind at the same time.
_MAX_KEPT = 200
#: What DIRAC calls the group of all hosts.
HOSTS = "hosts"
_lock = threading.Lock()
#: User and group, or host and ``hosts``, that a credential's files say, and when it ends (seconds since the epoch).
_holders: dict[tuple[tuple[str, int, int], ...], tuple[str, str, float]] = {}
_gateways: dict[tuple[Server, str, Credential], RestRucioGateway] = {}


@dataclass(frozen=True)
class Identity:
    """Who acts: a user in a group, or a host.

    Attributes
    ----------
    name : str
        DIRAC user name, or name of the host.
    group : str
        DIRAC group; ``hosts`` for a host.
    account : str
        Rucio account that it acts as.
    """

    name: str
    group: str
    account: str
    credential: Credential


#: Whom a service answers at the moment, in the thread that does it.
_remote: ContextVar[Identity | None] = ContextVar("remote", default=None)


def remote_identity(credentials: Mapping[str, Any]) -> Identity:
    """Whom a service acts for: the account of the caller's group, entered with the service's own certificate.

    Parameters
    ----------
    credentials : mapping
        As DIRAC's services get them, checked, of a caller: ``username`` and ``group``.

    Raises
    ------
    NotAuthenticated
        The caller is nobody that DIRAC knows, or there is no host certificate.
    InvalidSettings
        The caller's group, or the calling host, has no Rucio account.
    """
    name, group = str(credentials.get("username") or ""), str(credentials.get("group") or "")
    if not group or name in ("", "anonymous"):
        raise NotAuthenticated(f"{credentials.get('DN', 'the caller')} is no user of DIRAC's Registry, or in no group")
    return Identity(name, group, _account(name, group), _host_credential())


@contextmanager
def acting_as(identity: Identity) -> Iterator[None]:
    """Within this block, and in this thread, everything is done as somebody else than the process."""
    token = _remote.set(identity)
    try:
        yield
    finally:
        _remote.reset(token)


def current_identity() -> Identity:
    """Find out who acts now.

    Raises
    ------
    NotAuthenticated
        There is no proxy, or no host certificate.
    InvalidSettings
        The group, or the host, has no Rucio account.
    """
    remote = _remote.get()
    if remote is not None:
        return remote
    credential = _current_credential()
    try:
        stats = [(str(path), path.stat()) for path in credential.files]
    except OSError as error:
        raise NotAuthenticated(f"no usable credential: {error}") from error
    stamp = tuple((name, stat.st_mtime_ns, stat.st_ino) for name, stat in stats)
    with _lock:
        holder = _holders.get(stamp)
    if holder is None:
        holder = _read_proxy(credential) if isinstance(credential, ProxyCredential) else _read_certificate(credential)
        with _lock:
            if len(_holders) >= _MAX_KEPT:
                _holders.clear()
            _holders[stamp] = holder
    name, group, ends = holder
    if ends <= time.time():
        raise NotAuthenticated(
            f"the credential in {credential.files[0]} has expired: make a new proxy (dirac-proxy-init), or renew the "
            "host certificate"
        )
    return Identity(name, group, _account(name, group), credential)


def _account(name: str, group: str) -> str:
    """Looked up at each call: the configuration may change while a service runs."""
    return RucioConfiguration.host_account(name) if group == HOSTS else RucioConfiguration.user_account(name, group)


def _current_credential() -> Credential:
    if gConfig.useServerCertificate() and not os.environ.get("X509_USER_PROXY"):
        return _host_credential()
    path = Locations.getProxyLocation()
    if not path:
        raise NotAuthenticated("no proxy found: run dirac-proxy-init, or set X509_USER_PROXY")
    return ProxyCredential(Path(path))


def _host_credential() -> CertificateCredential:
    files = Locations.getHostCertificateAndKeyLocation()
    if not files:
        raise NotAuthenticated("no host certificate found: set /DIRAC/Security/CertFile and /DIRAC/Security/KeyFile")
    return CertificateCredential(Path(files[0]), Path(files[1]))


def _read_proxy(credential: ProxyCredential) -> tuple[str, str, float]:
    result = getProxyInfo(str(credential.path), disableVOMS=True)
    if not result["OK"]:
        raise NotAuthenticated(f"proxy {credential.path} can't be read: {result['Message']}")
    info = result["Value"]
    group = info.get("group")
    if not group:
        raise NotAuthenticated(f"proxy {credential.path} has no DIRAC group: make one with dirac-proxy-init -g <group>")
    name = str(info.get("username", info["identity"]))
    return name, str(group), time.time() + float(info["secondsLeft"])


def _read_certificate(credential: CertificateCredential) -> tuple[str, str, float]:
    chain = X509Chain()
    result = chain.loadChainFromFile(str(credential.certificate))
    if result["OK"]:
        result = chain.getRemainingSecs()
    ends = time.time() + float(result.get("Value") or 0)
    if result["OK"]:
        result = chain.getCertInChain(0)
    if result["OK"]:
        result = result["Value"].getSubjectDN()
    if not result["OK"]:
        raise NotAuthenticated(f"host certificate {credential.certificate} can't be read: {result['Message']}")
    dn = str(result["Value"])
    result = getHostnameForDN(dn)
    if not result["OK"]:
        raise InvalidSettings(f"no host in {RucioConfiguration.HOSTS} has the DN {dn}")
    return str(result["Value"]), HOSTS, ends


def rucio_server(settings: CatalogueSettings) -> Server:
    """Where Rucio is and whom to trust, after the catalogue's settings.

    Raises
    ------
    InvalidSettings
        No directory of trusted authorities is known.
    """
    ca = settings.CACertificate or Locations.getCAsLocation()
    if not ca:
        raise InvalidSettings("no trusted authorities found: set CACertificate of the catalogue, or X509_CERT_DIR")
    return Server(
        rucio_host=settings.RucioHost,
        auth_host=settings.AuthHost,
        ca=Path(ca),
        vo=settings.RucioVO,
        timeout=settings.RequestTimeout,
    )


def current_gateway(settings: CatalogueSettings | None = None) -> RucioGateway:
    """Gateway to Rucio for who acts now, without the scopes that their group may not read; nothing is sent.

    Parameters
    ----------
    settings : CatalogueSettings, optional
        The catalogue's, from the configuration, unless given.

    Raises
    ------
    NotAuthenticated, InvalidSettings
        See :func:`current_identity` and :func:`rucio_server`.
    """
    settings = settings or RucioConfiguration.read_catalogue_settings()
    gateway, group = _gateway(settings)
    return hide(gateway, hidden_scopes(parse_embargo(settings.Embargo), group), group)


def guarding_gateway() -> RucioGateway:
    """The same with the scopes under an embargo: for what must not take hidden files for ones that nobody registered."""
    return _gateway(RucioConfiguration.read_catalogue_settings())[0]


def _gateway(settings: CatalogueSettings) -> tuple[RucioGateway, str]:
    identity = current_identity()
    server = rucio_server(settings)
    key = (server, identity.account, identity.credential)
    with _lock:
        gateway = _gateways.get(key)
        if gateway is None:
            if len(_gateways) >= _MAX_KEPT:
                _gateways.clear()
            gateway = _gateways[key] = RestRucioGateway(*key)
    return gateway, identity.group
