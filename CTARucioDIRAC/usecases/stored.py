"""What lies on a storage: is it the copy of a file that Rucio knows, or a leftover?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from CTARucioDIRAC.domain.errors import Conflict, Unavailable
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.gateway.protocol import DidRecord, DidType, FileRecord, ReplicaState, RucioGateway
from CTARucioDIRAC.gateway.replicas import check_same_content

from .bulk import Bulk, identify
from .files import now

#: States of a copy that isn't there yet, as far as Rucio knows.
_MISSING = frozenset({ReplicaState.UNAVAILABLE, ReplicaState.COPYING})


@dataclass(frozen=True)
class StoredCopy:
    """A copy that Rucio has at an RSE.

    Attributes
    ----------
    record : DidRecord
        The file.
    leaving : bool
        Whether the file was removed, and the copy waits for Rucio's reaper.
    """

    record: DidRecord
    state: ReplicaState
    leaving: bool


def stored_copies(gateway: RucioGateway, lfns: Iterable[str], rse: str) -> Bulk[StoredCopy | None]:
    """What Rucio has at an RSE under the paths of files, in whatever state; None for what it doesn't know there.

    A path is looked for in the scope that follows from it, and then in all others: storages keep no scopes. N paths cost
    two bulk requests where all are registered, and ⌈N · scopes / 1000⌉ more for those that aren't.

    Returns
    -------
    Bulk
        A name that Rucio can't be asked for is in ``failed``.

    Raises
    ------
    InvalidInput
        Rucio has no such RSE.
    """
    answers: Bulk[StoredCopy | None] = Bulk()
    names = identify(lfns, answers)
    there = _at(gateway, names.values(), rse)
    elsewhere = {did.name: None for did in names.values() if did not in there}
    if elsewhere:
        scopes = gateway.list_scopes()
        own = set(names.values())
        known = gateway.get_dids(did for name in elsewhere for scope in scopes if (did := Did(scope, name)) not in own)
        there |= _at(gateway, known, rse) if known else {}
    by_name = {did.name: did for did in there}
    records = gateway.get_dids(there) if there else {}
    time = now()
    for lfn, did in names.items():
        found = did if did in there else by_name.get(did.name)
        record = records.get(found) if found else None
        if found is None or record is None or record.type is not DidType.FILE:
            answers.done[lfn] = None
        else:
            answers.done[lfn] = StoredCopy(record, there[found], record.expired(time))
    return answers


def _at(gateway: RucioGateway, dids: Iterable[Did], rse: str) -> dict[Did, ReplicaState]:
    found = gateway.list_replicas(dids, all_states=True, rse_expression=rse)
    return {did: replica.state for did, file in found.items() for replica in file.replicas if replica.rse == rse}


def check_may_write(copy: StoredCopy, content: FileRecord | None, rse: str) -> None:
    """Refuse to put bytes where Rucio has a copy, unless they are those that it waits for.

    Parameters
    ----------
    content : FileRecord or None
        What would be written; None if that isn't known.

    Raises
    ------
    Conflict
        There is a copy, or the content differs.
    Unavailable
        The file was removed and the copy isn't gone yet.
    """
    if copy.leaving:
        raise Unavailable(f"removed, and Rucio is about to delete the copy at {rse}: write it when that's gone")
    if copy.state not in _MISSING:
        raise Conflict(f"registered at {rse}, {copy.state}, and not overwritten: remove the file first")
    if content is None:
        raise Conflict(f"registered at {rse}, {copy.state}: Rucio itself brings that copy")
    check_same_content(content, copy.record)
