"""What DIRAC says of itself, for an audit: its storage elements, who acts as which Rucio account, what will end."""

from __future__ import annotations

import datetime as dt
import errno
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from cryptography import x509
from DIRAC import gConfig
from DIRAC.ConfigurationSystem.Client.Helpers.Registry import getDNForUsername, getUsersInGroup
from DIRAC.Core.Security import Locations
from DIRAC.Resources.Storage.StorageElement import StorageElement as DiracStorageElement

from CTARucioDIRAC.ConfigurationSystem.Client import RucioConfiguration
from CTARucioDIRAC.domain.errors import CtaRucioError, Unavailable
from CTARucioDIRAC.usecases.audit import Credential, Member, Site, StorageElement, StoredFile

ELEMENTS = "/Resources/StorageElements"
#: Protocols of what only DIRAC uses, such as sandboxes.
_OWN_PROTOCOLS = {"dips", "dip", "file"}


def read_site(vo: str) -> Site:
    """Read DIRAC's configuration and the local certificates."""
    probe = f"/{vo}/audit/probe"
    return Site(
        vo=vo,
        probe=probe,
        elements=tuple(_elements(vo, probe)),
        members=tuple(_members(vo)),
        credentials=tuple(read_credentials()),
        now=dt.datetime.now(dt.UTC),
    )


def _elements(vo: str, probe: str) -> Iterator[StorageElement]:
    for name in gConfig.getSections(ELEMENTS).get("Value", []):
        if not gConfig.getSections(f"{ELEMENTS}/{name}").get("Value"):
            continue  # a base that others are made of
        urls = {}
        element = DiracStorageElement(name, vo=vo)
        for plugin in element.storages.values():
            url = plugin.constructURLFromLFN(probe, withWSUrl=False)
            if url["OK"]:
                urls[str(plugin.protocolParameters["Protocol"])] = str(url["Value"])
        if urls.keys() - _OWN_PROTOCOLS:
            kind = str(gConfig.getValue(f"{ELEMENTS}/{name}/SEType", "T0D1"))
            yield StorageElement(str(name), not kind.startswith("T0"), urls)


def _members(vo: str) -> Iterator[Member]:
    for group in gConfig.getSections(RucioConfiguration.GROUPS).get("Value", []):
        if gConfig.getValue(f"{RucioConfiguration.GROUPS}/{group}/VO", vo) != vo:
            continue
        for user in getUsersInGroup(group):
            dns = getDNForUsername(user)
            yield _member(
                str(user),
                str(group),
                dns["Value"] if dns["OK"] else [],
                lambda user=user, group=group: RucioConfiguration.user_account(user, group),  # type: ignore[misc]
            )
    for host in gConfig.getSections(RucioConfiguration.HOSTS).get("Value", []):
        dn = str(gConfig.getValue(f"{RucioConfiguration.HOSTS}/{host}/DN", ""))
        yield _member(
            str(host),
            "hosts",
            [dn] if dn else [],
            lambda host=host: RucioConfiguration.host_account(host),  # type: ignore[misc]
        )


def _member(name: str, group: str, dns: Collection[str], account: Callable[[], str]) -> Member:
    try:
        return Member(name, group, tuple(dns), account())
    except CtaRucioError as error:
        return Member(name, group, tuple(dns), None, str(error))


def read_credentials() -> Iterator[Credential]:
    """The proxy, the host certificate, the authorities and their revocation lists, as far as they are there."""
    proxy = Locations.getProxyLocation()
    if proxy:
        yield _credential("proxy", Path(proxy), _certificates_end)
    host = Locations.getHostCertificateAndKeyLocation()
    if host:
        yield _credential("host certificate", Path(host[0]), _certificates_end)
    directory = Locations.getCAsLocation()
    for path in sorted(Path(directory).glob("*.0")) if directory else ():
        yield _credential("authority", path, _certificates_end)
    for path in sorted(Path(directory).glob("*.r0")) if directory else ():
        yield _credential("CRL", path, _crl_end)


def _credential(kind: str, path: Path, read: Callable[[Path], dt.datetime]) -> Credential:
    try:
        return Credential(kind, str(path), read(path))
    except (OSError, ValueError) as error:
        return Credential(kind, str(path), None, str(error))


def _certificates_end(path: Path) -> dt.datetime:
    return min(certificate.not_valid_after_utc for certificate in x509.load_pem_x509_certificates(path.read_bytes()))


def _crl_end(path: Path) -> dt.datetime:
    data = path.read_bytes()
    crl = x509.load_pem_x509_crl(data) if b"-----BEGIN" in data else x509.load_der_x509_crl(data)
    if crl.next_update_utc is None:
        raise ValueError("it doesn't say when the next one is due")
    return crl.next_update_utc


class GfalStorage:
    """Storages, looked at with gfal2 as whoever's proxy is in the environment.

    Parameters
    ----------
    tapes : collection of str
        RSEs whose files aren't read for a checksum: that would recall them.
    """

    def __init__(self, tapes: Collection[str]) -> None:
        self._tapes = frozenset(tapes)
        self._local = threading.local()

    def _context(self):  # type: ignore[no-untyped-def]
        import gfal2

        if not hasattr(self._local, "context"):
            self._local.context = gfal2.creat_context()
        return self._local.context

    def stat(self, rse: str, pfn: str) -> StoredFile | None:
        """Size and checksum of a file; None if it isn't there."""
        import gfal2

        try:
            size = int(self._context().stat(pfn).st_size)
            adler32 = None if rse in self._tapes else str(self._context().checksum(pfn, "adler32"))
        except gfal2.GError as error:
            if error.code == errno.ENOENT:
                return None
            raise Unavailable(f"{pfn}: {error}") from error
        return StoredFile(size, adler32)

    def list(self, rse: str, directory: str) -> list[str] | None:  # noqa: ARG002
        """Addresses of the files directly in a directory; None if there is none, or the storage doesn't list."""
        import gfal2

        try:
            names = [str(name) for name in self._context().listdir(directory) if name not in (".", "..")]
            found = [f"{directory}/{name}" for name in names]
            return [url for url in found if not _is_directory(self._context().stat(url))]
        except gfal2.GError:
            return None


def _is_directory(information) -> bool:  # type: ignore[no-untyped-def]
    import stat

    return stat.S_ISDIR(information.st_mode)
