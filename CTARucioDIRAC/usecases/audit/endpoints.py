"""Checks of storage: names, protocols, addresses and settings on both sides."""

from __future__ import annotations

from collections.abc import Iterator

from CTARucioDIRAC.domain.errors import NotFound
from CTARucioDIRAC.domain.identifiers import did_of, same_address
from CTARucioDIRAC.gateway.protocol import Rse, RseType

from .model import Audit, Finding, Severity, StorageElement, check

_YES = ("true", "1", "yes")


@check("rse-names")
def names(audit: Audit) -> Iterator[Finding]:
    """Storage elements of DIRAC and RSEs of Rucio have the same names."""
    elements = {element.name for element in audit.site.elements}
    for name in sorted(audit.rses.keys() - elements):
        remedy = f"add /Resources/StorageElements/{name} (see dirac.cfg.example), or delete the RSE"
        yield Finding("rse-names", Severity.ERROR, name, "this RSE of Rucio is no storage element of DIRAC", remedy)
    for name in sorted(elements - audit.rses.keys()):
        remedy = f"add an RSE {name} to Rucio, or take the storage element out of DIRAC's configuration"
        cause = "this storage element of DIRAC is no RSE of Rucio: nothing can be registered there"
        yield Finding("rse-names", Severity.WARNING, name, cause, remedy)


def _pairs(audit: Audit) -> Iterator[tuple[Rse, StorageElement]]:
    for element in audit.site.elements:
        if element.name in audit.rses:
            yield audit.rses[element.name], element


@check("protocols")
def protocols(audit: Audit) -> Iterator[Finding]:
    """Both sides reach each storage the same way, and give a file the same address."""
    did = did_of(audit.site.probe)
    for rse, element in _pairs(audit):
        theirs = {item.scheme for item in audit.gateway.list_protocols(rse.name)}
        for scheme in sorted(theirs - element.urls.keys()):
            cause = f"Rucio reaches it over {scheme}, DIRAC doesn't"
            remedy = f"add a protocol section for {scheme} to /Resources/StorageElements/{rse.name}"
            yield Finding("protocols", Severity.WARNING, rse.name, cause, remedy)
        for scheme, url in sorted(element.urls.items()):
            if scheme not in theirs:
                cause = f"DIRAC reaches it over {scheme}, Rucio doesn't"
                remedy = f"add the protocol to the RSE (rucio rse protocol add), or take it out of DIRAC's section {rse.name}"
                yield Finding("protocols", Severity.WARNING, rse.name, cause, remedy)
                continue
            try:
                pfn = audit.gateway.addresses(rse.name, [did], scheme).get(did, "")
            except NotFound:
                cause = f"Rucio has {scheme} for it, but not for reading"
                remedy = f"allow reading over {scheme} in the RSE's protocol, for the domain wan"
                yield Finding("protocols", Severity.WARNING, rse.name, cause, remedy)
                continue
            if not same_address(pfn, url):
                cause = f"over {scheme}, {audit.site.probe} is {url} for DIRAC and {pfn} for Rucio"
                remedy = "make host, port and path of DIRAC's section those of the RSE's protocol; " + _algorithm(rse)
                yield Finding("protocols", Severity.ERROR, rse.name, cause, remedy)


def _algorithm(rse: Rse) -> str:
    algorithm = rse.attributes.get("lfn2pfn_algorithm")
    return f"its lfn2pfn_algorithm is {algorithm or 'not set (hash)'}: DIRAC's is the identity (ctao_bdms)"


@check("rse-settings")
def settings(audit: Audit) -> Iterator[Finding]:
    """Settings of RSEs that endanger data, or that stop transfers."""
    for rse, element in _pairs(audit):
        tape = rse.type is RseType.TAPE
        if tape is not element.tape:
            cause = f"Rucio takes it for {'tape' if tape else 'disk'}, DIRAC for {'tape' if element.tape else 'disk'}"
            remedy = (
                "set the RSE's rse_type, and the storage element's SEType (T1D0 for tape, T0D1 for disk), to the truth"
            )
            yield Finding("rse-settings", Severity.ERROR, rse.name, cause, remedy)
    for rse in audit.rses.values():
        yield from _tape(rse) if rse.type is RseType.TAPE else ()
        if not rse.deterministic:
            cause = "its paths don't follow from the names: DIRAC finds no file there by itself"
            remedy = "read from it through Rucio's addresses only (RucioDataManager), or replicate to another RSE"
            yield Finding("rse-settings", Severity.WARNING, rse.name, cause, remedy)
        if "fts" not in rse.attributes:
            cause = "it has no attribute fts: Rucio moves nothing from or to it"
            yield Finding(
                "rse-settings", Severity.WARNING, rse.name, cause, f"rucio rse attribute add {rse.name} fts …"
            )
        closed = [word for word, yes in (("read", rse.can_read), ("write", rse.can_write)) if not yes]
        if closed:
            cause = f"it is closed for {' and '.join(closed)}"
            remedy = "open it when the storage is back (rucio rse update)"
            yield Finding("rse-settings", Severity.NOTE, rse.name, cause, remedy)


def _tape(rse: Rse) -> Iterator[Finding]:
    if not rse.attributes.get("archive_timeout"):
        cause = "it is a tape without archive_timeout: transfers count as done before the file is on tape"
        remedy = f"rucio rse attribute add {rse.name} archive_timeout 86400"
        yield Finding("rse-settings", Severity.ERROR, rse.name, cause, remedy)
    if str(rse.attributes.get("staging_required", "")).lower() in _YES:
        cause = "it is a tape with staging_required: a rule that ends during a recall takes the only copy with it"
        remedy = f"rucio rse attribute remove {rse.name} staging_required"
        yield Finding("rse-settings", Severity.ERROR, rse.name, cause, remedy)
    if str(rse.attributes.get("greedyDeletion", "")).lower() in _YES:
        cause = "it is a tape with greedyDeletion: copies go as soon as their last rule ends"
        remedy = f"rucio rse attribute remove {rse.name} greedyDeletion"
        yield Finding("rse-settings", Severity.ERROR, rse.name, cause, remedy)
