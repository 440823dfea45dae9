"""Delegated proxies: who submitted may let the service act as them; otherwise it acts as the robot."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .store import Store
from .submission import Refused

_END = "-----END CERTIFICATE-----"
#: A delegated proxy that ends sooner than this is not used any more.
MARGIN = timedelta(minutes=10)


def delegation_id(dn: str) -> str:
    """Names the delegation of an identity."""
    return uuid.uuid5(uuid.NAMESPACE_OID, dn).hex[:16]


class Delegations:
    """Proxies on disk, one per identity; the keys of requests under way are in the store.

    Parameters
    ----------
    directory : Path
        Where proxies are.
    store : Store
        Keeps keys.
    fallback : Path
        Proxy to act with for those who delegated none.
    """

    def __init__(self, directory: Path, store: Store, fallback: Path) -> None:
        self._directory, self._store, self._fallback = directory, store, fallback
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def credential(self, dn: str) -> str:
        """Path of the proxy to act with for an identity."""
        end = self.ends(delegation_id(dn))
        if end is None or end - datetime.now(UTC) < MARGIN:
            return str(self._fallback)
        return str(self._path(delegation_id(dn)))

    def ends(self, identifier: str) -> datetime | None:
        """When a delegated proxy ends, or None if there is none."""
        try:
            certificate = x509.load_pem_x509_certificate(self._path(identifier).read_bytes())
        except FileNotFoundError:
            return None
        return certificate.not_valid_after_utc

    def request(self, identifier: str) -> str:
        """A new key's certificate request (PEM), to be signed by the client."""
        key = rsa.generate_private_key(65537, 2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        self._store.put("key", identifier, pem.decode())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "transfer service")])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM).decode()

    def accept(self, identifier: str, chain: str) -> None:
        """Keep what the client signed.

        Raises
        ------
        Refused
            When nothing was requested, or the chain belongs to another key.
        """
        key_text = self._store.records("key").get(identifier)
        if key_text is None:
            raise Refused(400, "No delegation was requested; ask for /delegation/<id>/request first.")
        if _END not in chain:
            raise Refused(400, "The credential is no chain of PEM certificates.")
        cut = chain.index(_END) + len(_END)
        try:
            certificate = x509.load_pem_x509_certificate(chain[:cut].encode())
        except ValueError as error:
            raise Refused(400, f"The credential is no certificate: {error}.") from error
        key = serialization.load_pem_private_key(key_text.encode(), password=None)
        if certificate.public_key() != key.public_key():
            raise Refused(400, "The credential belongs to another request; ask for a new one and sign that.")
        path = self._path(identifier)
        temporary = path.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(chain[:cut].strip() + "\n" + key_text + chain[cut:].lstrip())
        temporary.replace(path)
        self._store.discard("key", identifier)

    def withdraw(self, identifier: str) -> None:
        """Forget a delegated proxy."""
        self._path(identifier).unlink(missing_ok=True)

    def _path(self, identifier: str) -> Path:
        return self._directory / f"{identifier}.pem"
