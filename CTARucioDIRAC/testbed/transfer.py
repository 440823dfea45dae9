"""The FTS3-compatible transfer service as a service of the stack; what it is, see :mod:`.transfer_service`."""

from __future__ import annotations

import json
from pathlib import Path

from . import environment, https
from .layout import VO, Layout
from .service import NotReady, Service

#: Copies at a time: a small one over root:// takes three seconds, most of which its process waits; more of them cost
#: more in first connections (a second of processor time each) than they bring on two cores.
COPIES = 10
#: XRootD's client waits minutes for a server that is gone, and remembers it for half an hour; transfers are retried here.
_IMPATIENCE = {
    "XRD_CONNECTIONWINDOW": "15",
    "XRD_CONNECTIONRETRY": "3",
    "XRD_STREAMERRORWINDOW": "0",
    "XRD_REQUESTTIMEOUT": "120",
    "XRD_STREAMTIMEOUT": "60",
    "XRD_READRECOVERY": "false",
    "XRD_WRITERECOVERY": "false",
}


def services(layout: Layout) -> list[Service]:
    """The transfer service.

    Parameters
    ----------
    layout : Layout
        Where; its database and delegated proxies are in ``transfer/``.

    Returns
    -------
    list of Service
        One service, ``transfer``.
    """
    options = {
        "directory": directory(layout),
        "certificate": layout.certs / "host.pem",
        "key": layout.certs / "host.key",
        "authority": layout.ca_file,
        "proxy": layout.proxy("robot"),
        "port": layout.port("transfer"),
        "vo": VO,
        "copies": COPIES,
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [
        Service(
            name="transfer",
            argv=[str(layout.bin / "python"), "-m", f"{__package__}.transfer_service", *arguments],
            env=environment.service(layout, X509_USER_PROXY=str(layout.proxy("robot")), **_IMPATIENCE),
            cwd=layout.run,
            ports=[layout.port("transfer")],
            healthy=lambda: check(layout),
            deadline=30.0,
        )
    ]


def url(layout: Layout) -> str:
    """Address of the service, for the RSE attribute ``fts`` and for DIRAC's servers."""
    return f"https://localhost:{layout.port('transfer')}"


def directory(layout: Layout) -> Path:
    """Where the service keeps its state."""
    return layout.root / "transfer"


def check(layout: Layout) -> None:
    """Ask the service who we are, and whether its engine goes round.

    Raises
    ------
    NotReady
        When it does not know the host certificate's identity, or is ill.
    OSError
        When it does not answer.
    """
    status, body = https.request(layout, layout.port("transfer"), "GET", "/")
    if status != 200:
        raise NotReady(f"GET / answers {status}: {body[:200]!r}")
    status, body = https.request(layout, layout.port("transfer"), "GET", "/whoami")
    if status != 200 or VO not in json.loads(body)["vos"]:
        raise NotReady(f"GET /whoami answers {status}: {body[:200]!r}")
