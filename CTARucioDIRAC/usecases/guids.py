"""Files by GUID."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from CTARucioDIRAC.domain.errors import Conflict, InvalidInput, NotFound
from CTARucioDIRAC.domain.identifiers import Did, scope_of
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.gateway.translate import guid_to_rucio

from . import resolve
from .bulk import THREADS, Bulk


def find(gateway: RucioGateway, guids: Iterable[str]) -> Bulk[str]:
    """Name of the file with each GUID; N GUIDs cost ⌈N / 40⌉ requests in each scope, 8 scopes at a time."""
    answers: Bulk[str] = Bulk()
    good = []
    for guid in dict.fromkeys(guids):
        try:
            guid_to_rucio(guid)
            good.append(guid)
        except (InvalidInput, TypeError):
            answers.failed[guid] = InvalidInput(f"{guid!r} is no GUID")
    found = _search(gateway, good, resolve.known_scopes(gateway)) if good else {}
    names = resolve.lfns_of(gateway, [did for dids in found.values() for did in dids])
    for guid in good:
        dids = found.get(guid, [])
        if len(dids) == 1:
            answers.done[guid] = names[dids[0]]
        elif dids:
            answers.failed[guid] = Conflict(f"several files have GUID {guid}: {', '.join(sorted(map(str, dids)))}")
        else:
            answers.failed[guid] = NotFound("GUID does not exist")
    return answers


def elsewhere(gateway: RucioGateway, wanted: Mapping[str, str]) -> dict[str, str]:
    """Of paths that aren't there, those whose GUID another file of the same scope has: the name of that one.

    Parameters
    ----------
    wanted : mapping
        GUID by path; what is no GUID is left out.
    """
    by_scope: dict[str, dict[str, str]] = {}
    for lfn, guid in wanted.items():
        try:
            guid_to_rucio(guid)
        except InvalidInput:
            continue
        if lfn.startswith("/"):
            by_scope.setdefault(scope_of(lfn), {})[lfn] = guid
    found: dict[str, str] = {}
    for scope, guids in by_scope.items():
        dids = gateway.find_guids(scope, set(guids.values()))
        names = resolve.lfns_of(gateway, [did for some in dids.values() for did in some])
        found |= {lfn: names[dids[guid][0]] for lfn, guid in guids.items() if dids.get(guid)}
    return found


def _search(gateway: RucioGateway, guids: Collection[str], scopes: Collection[str]) -> dict[str, list[Did]]:
    found: dict[str, list[Did]] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for answer in pool.map(lambda scope: gateway.find_guids(scope, guids), scopes):
            for guid, dids in answer.items():
                found.setdefault(guid, []).extend(dids)
    return found
