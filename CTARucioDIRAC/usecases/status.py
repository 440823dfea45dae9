"""Statuses of files and of copies, in DIRAC's words.

Rucio has no status of files: DIRAC's word is kept with the file. A copy that DIRAC doesn't trust any more is kept back by
Rucio (TEMPORARY_UNAVAILABLE: it isn't read, nor deleted), with DIRAC's word beside it; it can be released again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from CTARucioDIRAC.domain.errors import Conflict, CtaRucioError, InvalidInput, NotFound
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.domain.metadata_fields import REPLICA_STATUS, STATUS
from CTARucioDIRAC.domain.metadata_query import Condition, MetadataQuery, Operator
from CTARucioDIRAC.gateway.protocol import DidRecord, FileReplicas, Replica, ReplicaState, RucioGateway

from .bulk import ZERO_REPLICAS, Bulk, each_or_split
from .files import stat_files

GOOD = "AprioriGood"
REMOVING = "Removing"
#: DIRAC's words, as its own catalogue has them unless configured otherwise.
WORDS = (GOOD, "Trash", REMOVING, "Probing")
_KEPT_BACK = ReplicaState.TEMPORARY_UNAVAILABLE


@dataclass(frozen=True)
class ReplicaStatus:
    """Status that a copy shall have."""

    rse: str
    word: str


def with_status(gateway: RucioGateway, scope: str) -> frozenset[Did]:
    """Files of a scope that have a status of their own; costs a request."""
    return frozenset(gateway.find_dids(scope, MetadataQuery((Condition(STATUS, Operator.EXISTS, True),))))


def file_statuses(gateway: RucioGateway, dids: Iterable[Did]) -> dict[Did, str]:
    """Statuses of files, by what is written with them; those without are absent."""
    found = gateway.get_metadata(dids)
    return {did: str(values[STATUS]) for did, values in found.items() if values.get(STATUS)}


def set_file_statuses(gateway: RucioGateway, wanted: Mapping[str, str]) -> Bulk[bool]:
    """Set DIRAC's status of files; N files cost 2 ⌈N / 1000⌉ requests."""
    answers: Bulk[bool] = Bulk()
    stat = stat_files(gateway, wanted)
    answers.failed = stat.failed
    good: dict[Did, str] = {}
    for lfn, record in stat.done.items():
        if wanted[lfn] in WORDS:
            good[record.did] = lfn
        else:
            answers.failed[lfn] = InvalidInput(f"Invalid file status {wanted[lfn]}")

    def write(some: list[Did]) -> None:
        words = {did: wanted[good[did]] for did in some}
        gateway.set_metadata({did: {STATUS: None if word == GOOD else word} for did, word in words.items()})

    errors = each_or_split(list(good), write)
    for did, lfn in good.items():
        if did in errors:
            answers.failed[lfn] = errors[did]
        else:
            answers.done[lfn] = True
    return answers


def replica_words(gateway: RucioGateway, copies: Mapping[Did, Replica]) -> dict[Did, str]:
    """DIRAC's word for a copy of each file: what was set, or else Rucio's own word, if it isn't a good one."""
    kept_back = [did for did, replica in copies.items() if replica.state is _KEPT_BACK]
    written = gateway.get_metadata(kept_back) if kept_back else {}
    words = {}
    for did, replica in copies.items():
        said = written.get(did, {}).get(f"{REPLICA_STATUS}{replica.rse}")
        words[did] = GOOD if replica.state is ReplicaState.AVAILABLE else str(said or replica.state.value)
    return words


def set_replica_statuses(gateway: RucioGateway, wanted: Mapping[str, ReplicaStatus]) -> Bulk[bool]:
    """Keep copies back, or release them; N copies at S storage elements cost about (2 + 2 S) ⌈N / 1000⌉ requests.

    Only a copy that was kept back can be declared good: whether another one is there, Rucio's transfers say.
    """
    answers: Bulk[bool] = Bulk()
    stat = stat_files(gateway, wanted)
    answers.failed = stat.failed
    there = gateway.list_replicas((record.did for record in stat.done.values()), all_states=True)
    by_rse: dict[str, dict[Did, str]] = {}
    for lfn, record in stat.done.items():
        try:
            _check(record, there.get(record.did), wanted[lfn])
            by_rse.setdefault(wanted[lfn].rse, {})[record.did] = lfn
        except CtaRucioError as error:
            answers.failed[lfn] = error
    for rse, lfns in by_rse.items():

        def write(some: list[Did], rse: str = rse, lfns: dict[Did, str] = lfns) -> None:
            words = {did: wanted[lfns[did]].word for did in some}
            states = {did: ReplicaState.AVAILABLE if word == GOOD else _KEPT_BACK for did, word in words.items()}
            changed = {did: state for did, state in states.items() if _state(there[did], rse) is not state}
            gateway.set_metadata(
                {did: {f"{REPLICA_STATUS}{rse}": None if word == GOOD else word} for did, word in words.items()}
            )
            gateway.set_replica_states(rse, changed)

        errors = each_or_split(list(lfns), write)
        for did, lfn in lfns.items():
            if did in errors:
                answers.failed[lfn] = errors[did]
            else:
                answers.done[lfn] = True
    return answers


def _state(file: FileReplicas, rse: str) -> ReplicaState:
    return next(replica.state for replica in file.replicas if replica.rse == rse)


def _check(record: DidRecord, file: FileReplicas | None, wanted: ReplicaStatus) -> None:
    """Refuse what can't be said of a copy."""
    if wanted.word not in WORDS:
        raise InvalidInput(f"Invalid replica status {wanted.word}")
    if file is None or not file.replicas:
        raise NotFound(ZERO_REPLICAS)
    if all(replica.rse != wanted.rse for replica in file.replicas):
        raise NotFound(f"Replica does not exist: Rucio has none of {record.did} at {wanted.rse}")
    if wanted.word == REMOVING:
        raise InvalidInput(f"{record.did} at {wanted.rse}: a copy is removed with removeReplica, not by its status")
    state = _state(file, wanted.rse)
    if state not in (ReplicaState.AVAILABLE, _KEPT_BACK):
        raise Conflict(
            f"the copy of {record.did} at {wanted.rse} is {state} in Rucio: it can't be called {wanted.word} before Rucio "
            "has it AVAILABLE"
        )
