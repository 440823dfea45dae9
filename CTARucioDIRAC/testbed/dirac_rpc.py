"""A DISET call without DIRAC: what the testbed asks DIRAC's services, in milliseconds and without DIRAC's global state.

DISET is DIRAC's own protocol: TLS with certificates on both sides; messages are JSON with their length in front.
Only plain JSON values are sent here, which is all that the testbed needs.
"""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .layout import VO, Layout

TIMEOUT = 10.0
_VERSION = "testbed"


class CallError(Exception):
    """The service refused, failed or did not answer; the message says which, of which service."""


@dataclass(frozen=True)
class Identity:
    """Who calls: files of certificate and key (the same for a proxy), and DIRAC's group for a host."""

    certificate: Path
    key: Path
    group: str | None = None

    @classmethod
    def host(cls, layout: Layout) -> Identity:
        """The host: DIRAC's services trust it with everything, in the group ``hosts``."""
        return cls(layout.certs / "host.pem", layout.certs / "host.key", "hosts")

    @classmethod
    def proxy(cls, layout: Layout, role: str) -> Identity:
        """A role's proxy; its DIRAC group is inside."""
        return cls(layout.proxy(role), layout.proxy(role))


def call(layout: Layout, service: str, method: str, *arguments: Any, identity: Identity | None = None) -> Any:
    """Call a method of a DIRAC service of this stack.

    Parameters
    ----------
    layout : Layout
        The stack.
    service : str
        ``System/Service``.
    method : str
        Name of the method, as in DIRAC's clients.
    *arguments
        Plain JSON values.
    identity : Identity, optional
        Who calls; the host by default.

    Returns
    -------
    object
        What DIRAC would give as ``result["Value"]``.

    Raises
    ------
    CallError
        When the service refuses or fails.
    OSError
        When it does not answer.
    """
    identity = identity or Identity.host(layout)
    context = ssl.create_default_context(cafile=str(layout.ca_file))
    context.load_cert_chain(identity.certificate, identity.key)
    address = ("127.0.0.1", layout.port(service))
    with (
        socket.create_connection(address, timeout=TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        # NB: the second element once named DIRAC's setup; it is still in the protocol
        _send(connection, [[service, "None", VO], ["RPC", method], identity.group or "", _VERSION])
        _value(_receive(connection), service, method)
        _send(connection, list(arguments))
        return _value(_receive(connection), service, method)


def ping(layout: Layout, service: str) -> None:
    """Make an authenticated call that does nothing; returns if the service answered under its own name."""
    answer = call(layout, service, "ping")
    if answer.get("name") not in (service, None):
        raise CallError(f"{service}: the port is answered by {answer['name']}")


def _send(connection: ssl.SSLSocket, value: Any) -> None:
    message = json.dumps({"OK": True, "Value": value}).encode()
    connection.sendall(str(len(message)).encode() + b":" + message)


def _receive(connection: ssl.SSLSocket) -> Any:
    data = b""
    while b":" not in data:
        data += _more(connection)
    length, _, data = data.partition(b":")
    while len(data) < int(length):
        data += _more(connection)
    return json.loads(data)


def _more(connection: ssl.SSLSocket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise ConnectionError("closed by the service")
    return part


def _value(answer: dict[str, Any], service: str, method: str) -> Any:
    if not answer.get("OK"):
        raise CallError(f"{service}.{method}: {answer.get('Message', answer)}")
    return answer.get("Value")
