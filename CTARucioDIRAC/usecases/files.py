"""Reading: what is known of files and directories, and where their copies are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from CTARucioDIRAC.domain.errors import NotFound
from CTARucioDIRAC.domain.identifiers import Did, ancestors_of
from CTARucioDIRAC.domain.metadata_fields import of_users
from CTARucioDIRAC.gateway.protocol import DidRecord, DidType, FileReplicas, Replica, RucioGateway

from . import resolve, tree
from .bulk import ZERO_REPLICAS, Bulk, missing
from .bulk import now as now  # also for those who ask what is alive


def alive(gateway: RucioGateway, dids: Iterable[Did]) -> dict[Did, DidRecord]:
    """Look names up; those that have expired are gone."""
    time = now()
    return {did: record for did, record in gateway.get_dids(dids).items() if not record.expired(time)}


def stat_files(gateway: RucioGateway, lfns: Iterable[str]) -> Bulk[DidRecord]:
    """Records of files; what isn't there, or is a directory, fails."""
    answers: Bulk[DidRecord] = Bulk()
    found = resolve.look_up(gateway, lfns, answers)
    for lfn in found.dids:
        record = found.record(lfn)
        if record is None or record.type is not DidType.FILE:
            answers.failed[lfn] = missing()
        else:
            answers.done[lfn] = record
    return answers


def stat_directories(gateway: RucioGateway, lfns: Iterable[str], vo: str) -> Bulk[DidRecord | None]:
    """Records of directories: None for one that only names below it imply; what isn't there, or is a file, fails."""
    answers: Bulk[DidRecord | None] = Bulk()
    found = resolve.look_up(gateway, lfns, answers)
    dids, records = found.dids, found.records
    directories = tree.are_directories(gateway, set(dids.values()), records, vo)
    for lfn, did in dids.items():
        if did in directories:
            answers.done[lfn] = records.get(did)
        else:
            answers.failed[lfn] = missing()
    return answers


def kinds(gateway: RucioGateway, lfns: Iterable[str], vo: str) -> Bulk[str | None]:
    """Say of each name whether it is a ``"file"``, a ``"directory"`` or nothing (None)."""
    answers: Bulk[str | None] = Bulk()
    found = resolve.look_up(gateway, lfns, answers)
    dids, records = found.dids, found.records
    directories = tree.are_directories(gateway, set(dids.values()), records, vo)
    for lfn, did in dids.items():
        answers.done[lfn] = "directory" if did in directories else "file" if did in records else None
    return answers


def replicas(gateway: RucioGateway, lfns: Iterable[str], *, all_states: bool = False) -> Bulk[FileReplicas]:
    """Copies of files: AVAILABLE ones, or all; a file without any fails with ``File has zero replicas``.

    N names cost 2 ⌈N / 1000⌉ requests: the list of replicas doesn't tell which names have expired.
    """
    answers: Bulk[FileReplicas] = Bulk()
    stat = stat_files(gateway, lfns)
    answers.failed = stat.failed
    found = gateway.list_replicas((record.did for record in stat.done.values()), all_states=all_states)
    for lfn, record in stat.done.items():
        if record.did in found and found[record.did].replicas:
            answers.done[lfn] = found[record.did]
        else:
            answers.failed[lfn] = NotFound(ZERO_REPLICAS)
    return answers


def replica_states(gateway: RucioGateway, wanted: Mapping[str, str]) -> Bulk[Replica]:
    """The copy of each file at the RSE given for it, in whatever state."""
    answers: Bulk[Replica] = Bulk()
    found = replicas(gateway, wanted, all_states=True)
    answers.failed = found.failed
    for lfn, file in found.done.items():
        here = [replica for replica in file.replicas if replica.rse == wanted[lfn]]
        if here:
            answers.done[lfn] = here[0]
        else:
            answers.failed[lfn] = NotFound("No replica at supplied site")
    return answers


def inherited_metadata(gateway: RucioGateway, dids: Iterable[Did]) -> dict[Did, dict[str, Any]]:
    """Metadata of DIDs with those of the directories above, by path; the nearest wins.

    Unknown DIDs are absent, and so are the catalogue's own keys.
    """
    wanted = list(dict.fromkeys(dids))
    above = {did: resolve.above_with_scope(did, _paths_above(did)) for did in wanted}
    everything = dict.fromkeys([*wanted, *(item for items in above.values() for item in items)])
    found = gateway.get_metadata(everything)
    merged: dict[Did, dict[str, Any]] = {}
    for did in wanted:
        if did in found:
            merged[did] = {}
            for item in (*above[did], did):
                merged[did] |= of_users(found.get(item, {}))
    return merged


def _paths_above(did: Did) -> list[str]:
    return ancestors_of(did.name) if did.name.startswith("/") else []
