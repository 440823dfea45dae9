"""Check of what is really at the storages; done only where somebody gave the means to look."""

from __future__ import annotations

from collections.abc import Iterator

from CTARucioDIRAC.domain.errors import CtaRucioError
from CTARucioDIRAC.domain.identifiers import Did, is_path, same_address
from CTARucioDIRAC.gateway.protocol import FileReplicas, Replica

from ..resolve import everywhere
from .model import Audit, Finding, Severity, Storage, check, examples


@check("storage")
def storage(audit: Audit) -> Iterator[Finding]:
    """Copies are at their addresses with the registered content, and nothing else is beside them."""
    if audit.storage is None:
        return
    there = audit.storage
    work = [(file, replica) for _, file in sorted(audit.replicas.items()) for replica in file.available if replica.pfn]
    audit.counts["copies at storages"] = len(work)
    for found in audit.many(lambda item: _copy(there, *item), work):
        yield from found
    yield from _dark(audit, there)


def _copy(there: Storage, file: FileReplicas, replica: Replica) -> list[Finding]:
    what = f"{file.did} at {replica.rse}"
    try:
        stored = there.stat(replica.rse, replica.pfn)
    except CtaRucioError as error:
        return [Finding("storage", Severity.ERROR, what, f"the storage doesn't say: {error}", "see the storage's logs")]
    declare = f"declare the copy bad: rucio replica state update bad --reason … {replica.pfn}"
    if stored is None:
        return [Finding("storage", Severity.ERROR, what, f"there is no file {replica.pfn}", declare)]
    if stored.size != file.size:
        cause = f"{replica.pfn} has {stored.size} bytes, {file.size} are registered"
        return [Finding("storage", Severity.ERROR, what, cause, declare)]
    if stored.adler32 and file.adler32 and stored.adler32.lower().zfill(8) != file.adler32:
        cause = f"{replica.pfn} has adler32 {stored.adler32}, {file.adler32} is registered"
        return [Finding("storage", Severity.ERROR, what, cause, declare)]
    return []


def _dark(audit: Audit, there: Storage) -> Iterator[Finding]:
    """Files beside the copies looked at that nobody registered."""
    directories: dict[tuple[str, str], Did] = {}
    for did, file in audit.replicas.items():
        for replica in file.available:
            if replica.pfn and did.name.startswith("/") and replica.pfn.endswith(did.name):
                directories.setdefault((replica.rse, replica.pfn.rpartition("/")[0]), did)
    for (rse, directory), did in sorted(directories.items()):
        listed = there.list(rse, directory)
        if not listed:
            continue
        path = did.name.rpartition("/")[0]
        names = {f"{path}/{url.rpartition('/')[2]}": url for url in listed}
        there_are = everywhere(audit.gateway, [Did(did.scope, name) for name in names if is_path(name)])
        known = audit.gateway.list_replicas(there_are, all_states=True, rse_expression=rse)
        registered = [pfn for file in known.values() for replica in file.replicas for pfn in replica.pfns]
        dark = [url for url in sorted(names.values()) if not any(same_address(url, pfn) for pfn in registered)]
        if dark:
            cause = f"{len(dark)} files in {directory} are registered nowhere, such as {examples(dark)}"
            remedy = "register them (dirac-dms-register-file), or delete them at the storage"
            yield Finding("storage", Severity.WARNING, rse, cause, remedy)
