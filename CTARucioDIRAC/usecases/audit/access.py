"""Checks of who may act: accounts, identities, certificates, clocks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from CTARucioDIRAC.domain.errors import CtaRucioError

from .model import Audit, Credential, Finding, Severity, check

#: Seconds by which the clocks of both sides may differ; certificates and tokens fail beyond minutes.
CLOCK_WARNING, CLOCK_ERROR = 30, 240
#: Time left below which something should be renewed.
SOON = {
    "proxy": dt.timedelta(hours=1),
    "host certificate": dt.timedelta(days=14),
    "authority": dt.timedelta(days=30),
    "CRL": dt.timedelta(days=1),
}
RENEW = {
    "proxy": "make a new one: dirac-proxy-init",
    "host certificate": "renew it with the authority, and restart the services that use it",
    "authority": "update the authorities' certificates (package of the IGTF, or dirac-admin-get-CAs)",
    "CRL": "run fetch-crl, and see why it doesn't run by itself",
}


@check("clock")
def clock(audit: Audit) -> Iterator[Finding]:
    """The clocks of this machine and of Rucio's server agree."""
    apart = abs((audit.gateway.server_time() - audit.site.now).total_seconds())
    if apart > CLOCK_WARNING:
        severity = Severity.ERROR if apart > CLOCK_ERROR else Severity.WARNING
        cause = f"the clocks of this machine and of Rucio's server are {apart:.0f} s apart"
        yield Finding("clock", severity, "clock", cause, "let both follow a time server (chronyd)")


@check("certificates")
def certificates(audit: Audit) -> Iterator[Finding]:
    """Proxy, host certificate, authorities and revocation lists are valid, and will be for a while."""
    audit.counts["certificates"] = len(audit.site.credentials)
    for item in audit.site.credentials:
        yield from _ending(item, audit.site.now)
    kinds = {item.kind for item in audit.site.credentials}
    if "authority" in kinds and "CRL" not in kinds:
        cause = "there are no revocation lists beside the authorities' certificates: revoked ones are taken as good"
        yield Finding("certificates", Severity.WARNING, "CRLs", cause, "install and run fetch-crl")


def _ending(item: Credential, now: dt.datetime) -> Iterator[Finding]:
    what = f"{item.kind} {item.path}"
    if item.ends is None:
        yield Finding("certificates", Severity.ERROR, what, f"it can't be read: {item.problem}", RENEW[item.kind])
    elif item.ends <= now:
        yield Finding(
            "certificates", Severity.ERROR, what, f"it ended at {item.ends:%Y-%m-%d %H:%M} UTC", RENEW[item.kind]
        )
    elif item.ends - now < SOON[item.kind]:
        cause = f"it ends at {item.ends:%Y-%m-%d %H:%M} UTC"
        yield Finding("certificates", Severity.WARNING, what, cause, RENEW[item.kind])


@check("accounts")
def accounts(audit: Audit) -> Iterator[Finding]:
    """Everybody who acts in DIRAC has a Rucio account that exists, and a certificate that may use it."""
    known = set(audit.gateway.list_accounts())
    audit.counts["users in groups, and hosts"] = len(audit.site.members)
    identities: dict[str, set[str]] = {}
    for member in audit.site.members:
        who = f"{member.name} in group {member.group}"
        if member.account is None:
            cause = f"has no Rucio account, and can't use the catalogue: {member.problem}"
            yield Finding(
                "accounts", Severity.NOTE, who, cause, "set RucioAccount where the message says, if that is wanted"
            )
            continue
        if member.account not in known:
            remedy = f"add it (rucio account add), or correct RucioAccount of {member.group}"
            cause = f"acts as Rucio account {member.account}, which doesn't exist"
            yield Finding("accounts", Severity.ERROR, who, cause, remedy)
            continue
        try:
            if member.account not in identities:
                identities[member.account] = audit.gateway.list_identities(member.account)
        except CtaRucioError as error:
            cause = f"identities of account {member.account} can't be read: {error}"
            yield Finding("accounts", Severity.ERROR, who, cause, "run the audit as an administrator of Rucio")
            continue
        if not set(member.dns) & identities[member.account]:
            cause = f"none of the certificates {', '.join(member.dns) or '(none)'} may act as account {member.account}"
            remedy = f"add the DN as an X509 identity of account {member.account} (rucio-admin identity add)"
            yield Finding("accounts", Severity.ERROR, who, cause, remedy)
