"""What DIRAC's running services are told once: that sites and storage may be used, and the proxies to work with.

``python -m CTARucioDIRAC.testbed.dirac_setup STATE_DIRECTORY`` replaces the proxies that end soon.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import dirac_rpc, mariadb, state
from .dirac_registry import UPLOADED_ROLES
from .dirac_resources import ACCESS_TYPES, SANDBOX_SE, SITES, WORKER_CE
from .layout import ROLES, RSES, Layout
from .service import TestbedError

#: Life of the proxies that DIRAC keeps, in seconds. Shifters ask for two days, jobs for five.
LIFETIME = 30 * 86400
#: They are replaced when less than this remains.
RENEW_BELOW = 10 * 86400


def complete(layout: Layout) -> None:
    """Do what is missing; quick when nothing is."""
    allow_resources(layout)
    upload_proxies(layout)


def allow_resources(layout: Layout) -> None:
    """Enter sites, storage elements and the computing element as Active; those that are entered stay as they are."""
    service = "ResourceStatus/ResourceStatus"
    there = {
        (table, name, status_type)
        for table in ("SiteStatus", "ResourceStatus")
        for name, status_type in mariadb.query(layout, f"SELECT Name, StatusType FROM ResourceStatusDB.{table}")
    }
    for table, element_type, name, status_type in _elements():
        if (table, name, status_type) not in there:
            element = {
                "Name": name,
                "StatusType": status_type,
                "Status": "Active",
                "ElementType": element_type,
                "Reason": "testbed",
                "TokenOwner": "rs_svc",
            }
            dirac_rpc.call(layout, service, "addIfNotThere", table, element)


def _elements() -> list[tuple[str, str, str, str]]:
    sites = [("SiteStatus", "Site", name, "all") for name in SITES.values()]
    storage = [
        ("ResourceStatus", "StorageElement", rse, access) for rse in (*RSES, SANDBOX_SE) for access in ACCESS_TYPES
    ]
    return [*sites, *storage, ("ResourceStatus", "ComputingElement", WORKER_CE, "all")]


def upload_proxies(layout: Layout) -> None:
    """Give ProxyManager a proxy of each user that runs jobs or is a shifter, where there is none or it ends soon.

    Parameters
    ----------
    layout : Layout
        The stack; its ProxyManager service must run, and the roles' proxies must be there.

    Raises
    ------
    TestbedError
        When DIRAC refuses one; the message names the user and has DIRAC's reason.
    """
    rows = mariadb.query(layout, "SELECT UserDN, UNIX_TIMESTAMP(ExpirationTime) FROM ProxyDB.ProxyDB_CleanProxies")
    expiry = {dn: float(end) for dn, end in rows if end is not None}
    due = [role for role in UPLOADED_ROLES if expiry.get(ROLES[role].dn, 0.0) < time.time() + RENEW_BELOW]
    for role in due:
        try:
            _upload(layout, role)
        except dirac_rpc.CallError as error:
            raise TestbedError(
                f"DIRAC does not take the proxy of {ROLES[role].user}: {error}. Is the clock right? "
                "`cta-rucio-testbed reset` makes new certificates."
            ) from error


def _upload(layout: Layout, role: str) -> None:
    """Delegate, as ``dirac-proxy-init`` does: the service makes a key, the user's certificate signs it."""
    service, identity = "Framework/ProxyManager", dirac_rpc.Identity.proxy(layout, role)
    request = dirac_rpc.call(layout, service, "requestDelegationUpload", identity=identity)
    chain = _sign(layout, role, request["request"])
    dirac_rpc.call(layout, service, "completeDelegationUpload", request["id"], chain, identity=identity)


def _sign(layout: Layout, role: str, request: str) -> Any:
    from DIRAC.Core.Security.X509Chain import X509Chain  # a second of imports: only when a proxy is due

    user = ROLES[role].user
    chain: Any = X509Chain()
    steps: list[Callable[[], Any]] = [
        lambda: chain.loadChainFromFile(str(layout.certs / f"{user}.pem")),
        lambda: chain.loadKeyFromFile(str(layout.certs / f"{user}.key")),
        lambda: chain.generateChainFromRequestString(request, lifetime=LIFETIME),
    ]
    for step in steps:
        result = step()
        if not result["OK"]:
            raise TestbedError(
                f"proxy of {user} for DIRAC: {result['Message']}. Run `cta-rucio-testbed reset` if the certificates in "
                f"{layout.certs} were changed by hand."
            )
    return result["Value"]


if __name__ == "__main__":
    upload_proxies(state.load(Path(sys.argv[1])))
