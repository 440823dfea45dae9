"""One authenticated HTTPS request to a service of the stack: how services are asked whether they work."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping

from .layout import Layout


def request(
    layout: Layout, port: int, method: str, path: str, headers: Mapping[str, str] | None = None, timeout: float = 5.0
) -> tuple[int, bytes]:
    """Ask with the host certificate, and check the answering server's certificate.

    Parameters
    ----------
    layout : Layout
        The stack.
    port : int
        Port on the loopback interface.
    method, path : str
        The request.
    headers : mapping, optional
        Further headers.
    timeout : float
        Seconds for each step of the conversation.

    Returns
    -------
    tuple of int and bytes
        Status and body, whatever the status is.

    Raises
    ------
    OSError
        When nothing listens, or a certificate is refused.
    """
    context = ssl.create_default_context(cafile=layout.ca_file)
    context.load_cert_chain(layout.certs / "host.pem", layout.certs / "host.key")
    connection = http.client.HTTPSConnection("localhost", port, timeout=timeout, context=context)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
