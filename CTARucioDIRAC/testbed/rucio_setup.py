"""What a fresh Rucio needs: its tables, then accounts, scopes, storage elements and the VO's container.

``python -m CTARucioDIRAC.testbed.rucio_setup bootstrap|complete STATE_DIRECTORY``, with ``RUCIO_HOME`` set. ``complete``
asks what is there and adds what is missing, through the REST interface as root; what somebody changed stays changed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from . import state
from .layout import HOST_ACCOUNT, HOST_DN, ROLES, RSES, TAPE, VO, Layout

#: RSEs on the telescopes' site and those where copies for keeping go; the buffer is neither: what is there, is passing.
ON_SITE = ("LAPALMA-DISK",)
BUFFERS = ("PIC-BUFFER",)
#: Where owners of scopes may register copies themselves; what is at the telescopes and on tape, only data managers do.
OPEN_TO_OWNERS = ("PIC-DISK", "PIC-BUFFER", "CNAF-DISK")
ADMINISTRATORS = ("root", "ctaoadmin", HOST_ACCOUNT)
#: They manage data of all scopes: with the overlay, as data managers; with the generic policy, as administrators.
MANAGERS = ("ctaoprod", "ctaodata")
SERVICE_ACCOUNTS = (HOST_ACCOUNT, "ctaopilot")
#: What the overlay policy asks of an RSE where owners register copies.
OWNERS_ATTRIBUTE = "owners_add_replicas"
UNLIMITED = 10**15


def bootstrap() -> None:
    """Make the tables, the VO and the root account in the (empty) database of the configuration."""
    from rucio.db.sqla.util import build_database, create_base_vo, create_root_account

    build_database()
    create_base_vo()
    create_root_account()


def complete(layout: Layout) -> None:
    """Add the accounts, identities, scopes, RSEs, limits and the VO's container that are missing."""
    from rucio.client import Client
    from rucio.common.exception import DataIdentifierNotFound

    client = Client()
    for account, dns in identities().items():
        _complete_account(client, account, dns)
        _complete_attributes(client, account, layout.policy)
    scopes = set(client.list_scopes())
    for scope, account in scope_owners().items():
        if scope not in scopes:
            client.add_scope(account, scope)
    _complete_rses(client, layout)
    for account in identities():
        limits = client.get_local_account_limits(account)
        for rse in RSES:
            if rse not in limits:
                client.set_local_account_limit(account, rse, UNLIMITED)
    try:
        client.get_did("root", f"/{VO}")
    except DataIdentifierNotFound:
        client.add_container("root", f"/{VO}")


def identities() -> dict[str, list[str]]:
    """DNs that may act as each account; the account is the default of a DN that stands first in its list.

    The production manager may also act as the user account, as a person with two DIRAC groups does. DIRAC's service that
    answers from Rucio enters the account of every group with the host's certificate.
    """
    accounts = {role.account: [role.dn] for role in ROLES.values()} | {HOST_ACCOUNT: [HOST_DN]}
    accounts[ROLES["user"].account].append(ROLES["production"].dn)
    for role in ROLES.values():
        if role.group:
            accounts[role.account].append(HOST_DN)
    return accounts


def scope_owners() -> dict[str, str]:
    """Scopes and the accounts that own them: CTAO's policy needs ``root``, and one for each user's own files."""
    return {"root": "root"} | {f"user.{role.user}": role.account for role in ROLES.values() if role.group}


def rse_definition(layout: Layout, rse: str) -> dict[str, Any]:
    """One storage element, as Rucio's import takes it.

    A tape RSE is one by its type and its ``archive_timeout`` alone: with ``staging_required`` a rule that ends during a
    stage-in would take the master copy with it, and with ``greedyDeletion`` so would any rule's end.
    """
    tape = rse == TAPE
    attributes = {
        "fts": f"https://localhost:{layout.port('transfer')}",
        "site": RSES[rse],
        "verify_checksum": "true",
        "supported_checksums": "adler32",
        "lfn2pfn_algorithm": "ctao_bdms",
    }
    if rse in ON_SITE:
        attributes["ONSITE"] = "true"
    elif rse not in BUFFERS:
        attributes["OFFSITE"] = "true"
    if tape:
        attributes |= {"archive_timeout": "600", "maximum_pin_lifetime": "86400"}
    else:
        attributes |= {"greedyDeletion": "true"}
    if rse in OPEN_TO_OWNERS:
        attributes |= {OWNERS_ATTRIBUTE: "true"}
    return {
        "deterministic": True,
        "volatile": False,
        "rse_type": "TAPE" if tape else "DISK",
        "availability_read": True,
        "availability_write": True,
        "availability_delete": True,
        "lfn2pfn_algorithm": "ctao_bdms",
        "verify_checksum": "true",
        "attributes": attributes,
        "protocols": [_protocol(layout, rse, scheme) for scheme in (("root",) if tape else ("root", "davs"))],
    }


def _protocol(layout: Layout, rse: str, scheme: str) -> dict[str, Any]:
    # 1 is the highest priority: root:// for clients; davs:// for third-party copies, where it is ten times faster
    near, copy = (1, 2) if scheme == "root" else (2, 1)
    if rse == TAPE:
        copy = 1  # recall and archive monitoring work over root:// only
    operations = {"read": near, "write": near, "delete": near}
    return {
        "scheme": scheme,
        "hostname": "localhost",
        "port": layout.port(rse),
        "prefix": "/",
        "impl": "rucio.rse.protocols.gfal.Default",
        "domains": {
            "lan": dict(operations),
            "wan": operations | {"third_party_copy_read": copy, "third_party_copy_write": copy},
        },
        "extended_attributes": None,
    }


def _complete_account(client: Any, account: str, dns: list[str]) -> None:
    from rucio.common.exception import AccountNotFound

    try:
        client.get_account(account)
    except AccountNotFound:
        client.add_account(account, "SERVICE" if account in SERVICE_ACCOUNTS else "USER", f"{account}@localhost")
    known = {identity["identity"] for identity in client.list_identities(account)}
    for position, dn in enumerate(dns):
        if dn not in known:
            client.add_identity(account, dn, "X509", f"{account}@localhost", default=position == 0)


def account_attributes(account: str, policy: str) -> set[str]:
    """What makes an account an administrator, or a data manager, under a policy."""
    if account in ADMINISTRATORS:
        return {"admin"}
    if account in MANAGERS:
        return {"admin"} if policy == "ctao" else {"data-manager"}
    return set()


def _complete_attributes(client: Any, account: str, policy: str) -> None:
    there = {item["key"] for answer in client.list_account_attributes(account) for item in answer}
    wanted = account_attributes(account, policy)
    for key in sorted(wanted - there):
        client.add_account_attribute(account, key, "True")
    other = account_attributes(account, "ctao" if policy == "overlay" else "overlay") - wanted
    for key in sorted(other & there):  # the stack was brought up with the other policy before
        client.delete_account_attribute(account, key)


def _complete_rses(client: Any, layout: Layout) -> None:
    missing = set(RSES) - {rse["rse"] for rse in client.list_rses()}
    if missing:  # RSEs and distances come in one transaction
        distances = {a: {b: {"distance": 1} for b in RSES if b != a} for a in RSES}
        rses = {rse: rse_definition(layout, rse) for rse in sorted(missing)}
        client.import_data({"rses": rses, "distances": distances})
    for rse in OPEN_TO_OWNERS:
        if OWNERS_ATTRIBUTE not in client.list_rse_attributes(rse):
            client.add_rse_attribute(rse, OWNERS_ATTRIBUTE, "true")


if __name__ == "__main__":
    if sys.argv[1] == "bootstrap":
        bootstrap()
    else:
        complete(state.load(Path(sys.argv[2])))
