"""Verbs on metadata."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import Did, chunks
from CTARucioDIRAC.domain.metadata_query import MetadataQuery

from . import translate
from .filters import ANY_VALUE, USER_COLUMNS, rucio_filters
from .names import NameVerbs, type_word
from .protocol import DidType
from .verbs import CHUNK, by_list, some

#: GUIDs that fit in the address of one request.
_GUIDS = 40


class MetadataVerbs(NameVerbs):
    """See :class:`~.protocol.RucioGateway` for what each verb promises."""

    def set_metadata(self, metadata: Mapping[Did, Mapping[str, Any]]) -> None:
        missing: list[Did] = []
        for chunk in chunks([(did, meta) for did, meta in metadata.items() if meta], CHUNK):
            values = [translate.as_dict(did) | {"meta": translate.plain_metadata(meta)} for did, meta in chunk]
            what = f"setting metadata of {some([did for did, _ in chunk])}"
            try:
                with self._doing(what):
                    self._client.set_dids_metadata_bulk(values)
            except errors.NotFound:
                known = self.get_dids(did for did, _ in chunk)
                missing += [did for did, _ in chunk if did not in known]
                if known:
                    with self._doing(what):
                        self._client.set_dids_metadata_bulk([v for v in values if translate.as_did(v) in known])
        if missing:
            raise errors.NotFound(f"no metadata set for {some(missing)}: no such DID")

    def delete_metadata(self, did: Did, keys: Iterable[str]) -> None:
        for key in dict.fromkeys(keys):
            with contextlib.suppress(errors.NotFound), self._doing(f"removing metadata key {key!r} of {did}"):
                self._client.delete_metadata(did.scope, did.name, key)

    def clear_metadata(self, keys: Mapping[Did, Collection[str]]) -> None:
        self.set_metadata({did: dict.fromkeys(some_keys) for did, some_keys in keys.items()})

    def find_guids(self, scope: str, guids: Collection[str]) -> dict[str, list[Did]]:
        wanted = {translate.guid_to_rucio(guid): guid for guid in guids}
        found: dict[str, list[Did]] = {}
        for chunk in chunks(wanted, _GUIDS):
            # with hyphens: the server takes digits alone for a number
            conditions = [{"guid": translate.guid_from_rucio(guid)} for guid in chunk]
            what = f"looking for {len(chunk)} GUIDs in scope {scope}"
            names = list(self._stream(lambda: self._client.list_dids(scope, conditions, did_type="file"), what))  # noqa: B023
            now = dt.datetime.now(dt.UTC)
            for did, record in self.get_dids(Did(scope, name) for name in names).items():
                if record.guid and not record.expired(now):
                    found.setdefault(wanted[translate.guid_to_rucio(record.guid)], []).append(did)
        return found

    def get_metadata(self, dids: Iterable[Did]) -> dict[Did, dict[str, Any]]:
        found: dict[Did, dict[str, Any]] = {}
        listed, single = by_list(dids)
        for did in single:
            with contextlib.suppress(errors.NotFound), self._doing(f"reading metadata of {did}"):
                values = self._client.get_metadata(did.scope, did.name, plugin="JSON")
                found[did] = translate.metadata(values)
        for chunk in chunks(listed, CHUNK):
            asked = [translate.as_dict(did) for did in chunk]
            with self._doing(f"reading metadata of {some(chunk)}"):
                for answer in self._client.get_metadata_bulk(asked, plugin="JSON"):
                    found[translate.as_did(answer)] = translate.metadata(answer)
                for answer in self._client.get_metadata_bulk(asked, plugin="DID_COLUMN"):
                    columns = {k: answer[k] for k in USER_COLUMNS if answer.get(k) is not None}
                    found.setdefault(translate.as_did(answer), {}).update(columns)
        return found

    def find_dids(
        self, scope: str, query: MetadataQuery, *, types: Collection[DidType] | None = None, prefix: str = ""
    ) -> Iterator[Did]:
        wanted = frozenset(types or DidType)
        if not query.conditions:
            yield from (found.did for found in self.find_names(scope, prefix, wanted))
            return
        plan = rucio_filters(query, prefix)
        seen: set[str] = set()
        for conditions in plan.requests:
            names, exact = self._candidates(scope, conditions, plan.loose, wanted, query)
            new = [Did(scope, name) for name in names if name not in seen]
            seen.update(did.name for did in new)
            new = self._alive(new, wanted, prefix)
            for chunk in chunks(new, CHUNK):
                yield from chunk if plan.exact and exact else self._confirmed(chunk, query)

    def has_metadata(self, scope: str, keys: Collection[str], prefix: str = "") -> bool:
        base = {"name": f"{prefix}*"} if prefix else {}
        own = [base | {key: ANY_VALUE} for key in keys if key in USER_COLUMNS]
        other = [base | {key: ANY_VALUE} for key in keys if key not in USER_COLUMNS]
        what = f"looking for {', '.join(sorted(keys))} in scope {scope}"
        return any(self._any(scope, alternatives, what) for alternatives in (other, own) if alternatives)

    def _any(self, scope: str, alternatives: list[dict[str, Any]], what: str) -> bool:
        return any(self._stream(lambda: self._client.list_dids(scope, alternatives, did_type="all"), what))

    def _candidates(
        self,
        scope: str,
        conditions: list[dict[str, Any]],
        loose: list[dict[str, Any]],
        wanted: frozenset[DidType],
        query: MetadataQuery,
    ) -> tuple[list[str], bool]:
        """Names that the server finds, and whether it took the conditions as they were."""
        what = f"searching scope {scope} for {query}"
        word = type_word(wanted)
        try:
            # Answers are read to the end before the first is given on: an error in the middle must not leave a part.
            return list(self._stream(lambda: self._client.list_dids(scope, conditions, did_type=word), what)), True
        except (errors.NotAllowed, errors.NotFound):
            raise
        except errors.CtaRucioError:
            # The database stumbled over a value of another kind: take all that have the keys, and look at each.
            return list(self._stream(lambda: self._client.list_dids(scope, loose, did_type=word), what)), False

    def _alive(self, dids: list[Did], types: frozenset[DidType], prefix: str) -> list[Did]:
        """Those of the right type (which the server ignores in a search by custom keys) that haven't expired."""
        if len(dids) > 10 * CHUNK:  # one listing is cheaper
            names = {found.did for found in self.find_names(dids[0].scope, prefix, types)}
            return [did for did in dids if did in names]
        now = dt.datetime.now(dt.UTC)
        records = self.get_dids(dids)
        return [d for d in dids if d in records and records[d].type in types and not records[d].expired(now)]

    def _confirmed(self, dids: list[Did], query: MetadataQuery) -> list[Did]:
        metadata = self.get_metadata(dids)
        return [did for did in dids if query.matches(metadata.get(did, {}))]
