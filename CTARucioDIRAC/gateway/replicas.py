"""Verbs on copies."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import Did, chunks, validate_did

from . import translate
from .names import NameVerbs
from .protocol import DidRecord, DidType, FileRecord, FileReplicas, ReplicaState
from .verbs import CHUNK, by_list, some

#: So many writers of the same files at the same time are coped with.
_WRITERS = 5
_LETTERS = {
    ReplicaState.AVAILABLE: "A",
    ReplicaState.UNAVAILABLE: "U",
    ReplicaState.COPYING: "C",
    ReplicaState.BEING_DELETED: "B",
    ReplicaState.BAD: "D",
    ReplicaState.TEMPORARY_UNAVAILABLE: "T",
}


class ReplicaVerbs(NameVerbs):
    """See :class:`~.protocol.RucioGateway` for what each verb promises."""

    def add_replicas(
        self, rse: str, files: Iterable[FileRecord], *, known: Mapping[Did, DidRecord] | None = None
    ) -> None:
        records = list({record.did: record for record in files}.values())
        known = self._check_content(records, known)
        for chunk in chunks(records, CHUNK):
            for attempt in range(_WRITERS):
                try:
                    self._register(rse, chunk, known)
                    break
                except (errors.AlreadyExists, errors.Unavailable):
                    # Somebody else registers the same: the server fails one of us without saying why.
                    if attempt == _WRITERS - 1:
                        raise
                    known = self._check_content(chunk)

    def _check_content(
        self, records: list[FileRecord], known: Mapping[Did, DidRecord] | None = None
    ) -> Mapping[Did, DidRecord]:
        dids = [validate_did(record.did) for record in records]
        known = self.get_dids(dids) if known is None else known
        for record in records:
            if record.did in known:
                check_same_content(record, known[record.did])
        return known

    def _register(self, rse: str, records: list[FileRecord], known: Collection[Did]) -> None:
        old = [record.did for record in records if record.did in known]
        there = self.list_replicas(old, all_states=True, rse_expression=rse) if old else {}
        states = {did: r.state for did, file in there.items() for r in file.replicas if r.rse == rse}
        new = [record for record in records if record.did not in states]
        if new:
            with self._doing(f"registering {some([record.did for record in new])} at {rse}"):
                self._client.add_replicas(rse, [_replica_dict(record) for record in new])
        unfinished = (ReplicaState.UNAVAILABLE, ReplicaState.COPYING)
        arrived = [record for record in records if record.state is ReplicaState.AVAILABLE]
        self.set_replica_states(
            rse, {record.did: record.state for record in arrived if states.get(record.did) in unfinished}
        )

    def list_replicas(
        self,
        dids: Iterable[Did],
        *,
        all_states: bool = False,
        rse_expression: str | None = None,
        schemes: Collection[str] | None = None,
    ) -> dict[Did, FileReplicas]:
        found: dict[Did, FileReplicas] = {}
        for chunk in chunks(by_list(dids)[0], CHUNK):
            wanted = set(chunk)
            for file in self._replicas([translate.as_dict(did) for did in chunk], all_states, rse_expression, schemes):
                if file.did in wanted:
                    found[file.did] = file
        return found

    def list_collection_replicas(
        self, did: Did, *, all_states: bool = False, rse_expression: str | None = None
    ) -> Iterator[FileReplicas]:
        yield from self._replicas([translate.as_dict(did)], all_states, rse_expression, None)

    def _replicas(
        self,
        dids: list[dict[str, str]],
        all_states: bool,
        rse_expression: str | None,
        schemes: Collection[str] | None,
    ) -> Iterator[FileReplicas]:
        what = f"listing the replicas of {dids[0]['scope']}:{dids[0]['name']}" + (" …" if len(dids) > 1 else "")
        answers = self._stream(
            lambda: self._client.list_replicas(
                dids,
                schemes=list(schemes) if schemes else None,
                all_states=all_states,
                rse_expression=rse_expression,
                resolve_archives=False,
                sort="random",  # the default looks up the geography of every address
            ),
            what,
        )
        return map(translate.file_replicas, answers)

    def set_replica_states(self, rse: str, states: Mapping[Did, ReplicaState]) -> None:
        for chunk in chunks(states.items(), CHUNK):
            with self._doing(f"setting the state of {some([did for did, _ in chunk])} at {rse}"):
                self._client.update_replicas_states(
                    rse, [translate.as_dict(did) | {"state": _LETTERS[state]} for did, state in chunk]
                )

    def set_tombstones(self, rse: str, dids: Iterable[Did]) -> None:
        for chunk in chunks(dict.fromkeys(dids), CHUNK):
            with self._doing(f"making {some(chunk)} deletable at {rse}"):
                self._client.set_tombstone([translate.as_dict(did) | {"rse": rse} for did in chunk])


def _replica_dict(record: FileRecord) -> dict[str, Any]:
    meta = translate.plain_metadata(record.meta)
    if record.guid:
        meta["guid"] = translate.guid_to_rucio(record.guid)
    optional = {"adler32": record.adler32, "md5": record.md5, "pfn": record.pfn, "meta": meta or None}
    return (
        translate.as_dict(record.did)
        | {"bytes": record.size, "state": _LETTERS[record.state]}
        | {key: value for key, value in optional.items() if value is not None}
    )


def check_same_content(wanted: FileRecord, known: DidRecord) -> None:
    if known.type is not DidType.FILE:
        raise errors.AlreadyExists(f"{wanted.did} can't be registered as a file: it is a {known.type}")
    if known.expired(dt.datetime.now(dt.UTC)):
        raise errors.Unavailable(
            f"{wanted.did} was removed at {known.expired_at} and is on its way out; register it again when it is gone"
        )
    pairs = {
        "size": (wanted.size, known.size),
        "adler32": (wanted.adler32, known.adler32),
        "md5": (wanted.md5, known.md5),
    }
    both = {what: pair for what, pair in pairs.items() if None not in pair}
    if any(str(ours).lower() != str(theirs).lower() for ours, theirs in both.values()):
        there = ", ".join(f"{what} {theirs}" for what, (_, theirs) in both.items())
        here = ", ".join(f"{what} {ours}" for what, (ours, _) in both.items())
        raise errors.DifferentContent(
            f"{wanted.did} is registered with other content: {there}; not {here}. Give the new content a name of its own, "
            "or remove the file first"
        )
