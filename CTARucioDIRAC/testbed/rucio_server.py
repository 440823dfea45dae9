"""Rucio's REST and authentication server on gunicorn: TLS with client certificates and proxies, without Apache.

``python -m CTARucioDIRAC.testbed.rucio_server PORT CERTIFICATE KEY AUTHORITY`` (Rucio's own configuration comes from
``RUCIO_HOME``). The WSGI layer here gives Rucio what Apache's mod_ssl and ``AllowEncodedSlashes NoDecode`` give it
elsewhere: the client's DN in slash notation, and ``%2F`` kept in paths, as names of data start with a slash.
"""

from __future__ import annotations

import gc
import re
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from . import rucio_patches

WORKERS = 2
THREADS = 8

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_SHORT = {
    "commonName": "CN",
    "organizationalUnitName": "OU",
    "organizationName": "O",
    "countryName": "C",
    "domainComponent": "DC",
    "stateOrProvinceName": "ST",
    "localityName": "L",
}
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


def slash_dn(peer: Mapping[str, Any]) -> str:
    """The subject of a certificate, as ``ssl`` reports it, in slash notation: ``/DC=org/…/CN=name``."""
    return "".join(f"/{_SHORT.get(kind, kind)}={value}" for rdn in peer["subject"] for kind, value in rdn)


def path_of(raw_uri: str) -> str:
    """The decoded path of a request, in which encoded slashes stay encoded."""
    raw = raw_uri.split("?", 1)[0]
    if raw.startswith("http"):
        raw = "/" + raw.split("/", 3)[3]
    # latin-1: WSGI's convention for bytes in strings
    return "%2F".join(unquote(part, "latin-1") for part in _ENCODED_SLASH.split(raw))


def as_behind_mod_ssl(application: WsgiApplication) -> WsgiApplication:
    """Wrap an application so that it finds the variables that Apache would set."""

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ.pop("SSL_CLIENT_S_DN", None)
        connection = environ.get("gunicorn.socket")
        peer = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
        environ["SSL_CLIENT_VERIFY"] = "SUCCESS" if peer else "NONE"
        if peer:
            environ["SSL_CLIENT_S_DN"] = slash_dn(peer)
        environ["PATH_INFO"] = path_of(environ["RAW_URI"])
        environ["REQUEST_URI"] = environ["RAW_URI"]
        return application(environ, start_response)

    return wrapped


def rucio_application() -> WsgiApplication:
    """Rucio's application, loaded once in the parent so that its workers share the memory."""
    rucio_patches.ping_connections()
    rucio_patches.sort_without_geoip()
    rucio_patches.parse_in_turn()
    from rucio.web.rest.flaskapi.v1.main import application

    # Rucio warns of every boolean parameter, being able to make an int of any bool
    rucio_patches.leave_out_of_log("Booleans should only accept true/false")
    gc.collect()
    gc.freeze()
    return as_behind_mod_ssl(application)


def _tls(_config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VerifyFlags.VERIFY_ALLOW_PROXY_CERTS
    return context


def _forget_inherited_connections(_server: Any, _worker: Any) -> None:
    """After a fork: the parent's database connections are the parent's."""
    from rucio.db.sqla import session

    if session._ENGINE:
        session._ENGINE.dispose(close=False)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn configured from here instead of from files."""

    def __init__(self, port: int, certificate: str, key: str, authority: str) -> None:
        self._settings = {
            "bind": f"127.0.0.1:{port}",
            "workers": WORKERS,
            "worker_class": "gthread",
            "threads": THREADS,
            "preload_app": True,
            "timeout": 600,
            "graceful_timeout": 5,
            "keepalive": 60,
            "certfile": certificate,
            "keyfile": key,
            "ca_certs": authority,
            "cert_reqs": ssl.CERT_OPTIONAL,
            "ssl_context": _tls,
            "post_fork": _forget_inherited_connections,
            "control_socket_disable": True,  # it would be in the home directory, shared between stacks
            "loglevel": "warning",
        }
        super().__init__()

    def load_config(self) -> None:
        """Hand the settings to gunicorn."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> WsgiApplication:
        """Rucio's application."""
        return rucio_application()


if __name__ == "__main__":
    Server(int(sys.argv[1]), *sys.argv[2:5]).run()
