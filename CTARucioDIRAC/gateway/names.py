"""Verbs on names: scopes, DIDs, collections and what is in them."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.accounts import MANAGER, Privileges
from CTARucioDIRAC.domain.identifiers import Did, chunks, validate_did

from . import translate
from .protocol import Content, Depth, DidRecord, DidType
from .verbs import CHUNK, Verbs, by_list, some

#: No rule has this id: the server answers whether it would let us change it, or else that it isn't there.
_NO_RULE = "0" * 32
_COLLECTIONS = frozenset({DidType.DATASET, DidType.CONTAINER})


class NameVerbs(Verbs):
    """See :class:`~.protocol.RucioGateway` for what each verb promises."""

    def list_scopes(self) -> list[str]:
        with self._doing("listing the scopes"):
            return sorted(str(scope) for scope in self._client.list_scopes())

    def add_scope(self, scope: str, account: str | None = None) -> None:
        with contextlib.suppress(errors.AlreadyExists), self._doing(f"adding scope {scope}"):
            self._client.add_scope(account or self.account, scope)

    def list_scope_owners(self) -> dict[str, str]:
        answers = self._stream(self._client.list_scope_owners, "listing the owners of the scopes")
        return {str(answer["scope"]): str(answer["account"]) for answer in answers}

    def is_admin(self) -> bool:
        return self.account == "root" or "admin" in self._account_attributes()

    def privileges(self) -> Privileges:
        attributes = {"admin"} if self.account == "root" else self._account_attributes()
        if "admin" in attributes:
            return Privileges(admin=True, manager=True, owners_decide=True)
        try:
            with self._doing(f"asking whether account {self.account} may change rules of its own"):
                self._client.update_replication_rule(_NO_RULE, {})
        except errors.NotFound:  # allowed, had there been such a rule
            return Privileges(admin=False, manager=MANAGER in attributes, owners_decide=True)
        except errors.NotAllowed:
            pass
        return Privileges(admin=False, manager=False, owners_decide=False)

    def _account_attributes(self) -> set[str]:
        """Keys of the account's attributes: to Rucio, one counts whatever its value."""
        what = f"reading the attributes of account {self.account}"
        answers = list(self._stream(lambda: self._client.list_account_attributes(self.account), what))
        pairs = [item for answer in answers for item in (answer if isinstance(answer, list) else [answer])]
        return {str(item["key"]) for item in pairs}

    def get_dids(self, dids: Iterable[Did]) -> dict[Did, DidRecord]:
        found: dict[Did, DidRecord] = {}
        listed, single = by_list(dids)
        for did in single:
            with contextlib.suppress(errors.NotFound), self._doing(f"looking up {did}"):
                found[did] = translate.did_record(self._client.get_metadata(did.scope, did.name))
        for chunk in chunks(listed, CHUNK):
            with self._doing(f"looking up {some(chunk)}"):
                answer = self._client.get_metadata_bulk([translate.as_dict(did) for did in chunk], plugin="DID_COLUMN")
                found |= {record.did: record for record in map(translate.did_record, answer)}
        return found

    def find_names(
        self, scope: str, prefix: str, types: Collection[DidType] | None = None, *, depth: Depth = Depth.ANY
    ) -> Iterator[Content]:
        pattern = f"{prefix}*/*" if depth is Depth.DEEPER else f"{prefix}*"
        conditions: dict[str, Any] = {"name": pattern}
        if depth is Depth.DIRECT:
            conditions["name.ne"] = f"{prefix}*/*"
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        alive = [conditions | {"expired_at": None}, conditions | {"expired_at.gt": now}]
        wanted = frozenset(types or DidType)
        what = f"listing {scope}:{pattern}"
        for answer in self._stream(
            lambda: self._client.list_dids(scope, alive, did_type=type_word(wanted), long=True), what
        ):
            found = translate.content(answer)
            if found.type in wanted:
                yield found

    def add_datasets(self, dids: Iterable[Did], *, lifetime: float | None = None) -> None:
        self._add_collections(dids, DidType.DATASET, {"lifetime": lifetime} if lifetime else {})

    def add_containers(self, dids: Iterable[Did]) -> None:
        self._add_collections(dids, DidType.CONTAINER, {})

    def _add_collections(self, dids: Iterable[Did], kind: DidType, options: Mapping[str, Any]) -> None:
        for chunk in chunks(map(validate_did, dict.fromkeys(dids)), CHUNK):
            missing = chunk
            while missing:
                try:
                    with self._doing(f"creating {some(missing)} as {kind}"):
                        self._client.add_dids([translate.as_dict(d) | {"type": kind.value, **options} for d in missing])
                    break
                except errors.AlreadyExists:
                    known = self.get_dids(missing)
                    for record in known.values():
                        if record.type is not kind:
                            raise errors.AlreadyExists(
                                f"{record.did} can't be created as {kind}: it is a {record.type}"
                            ) from None
                    missing = [did for did in missing if did not in known]

    def attach(self, content: Mapping[Did, Collection[Did]]) -> None:
        links = [(parent, child) for parent, children in content.items() for child in dict.fromkeys(children)]
        for chunk in chunks(links, CHUNK):
            self._attach(chunk)

    def _attach(self, links: list[tuple[Did, Did]]) -> None:
        attachments: dict[Did, list[Did]] = {}
        for parent, child in links:
            attachments.setdefault(parent, []).append(child)
        what = f"attaching {some([child for _, child in links])} to {some(list(attachments))}"
        try:
            with self._doing(what):
                self._client.attach_dids_to_dids(
                    [
                        translate.as_dict(parent) | {"dids": [translate.as_dict(child) for child in children]}
                        for parent, children in attachments.items()
                    ],
                    ignore_duplicate=True,
                )
        except errors.AlreadyExists:  # somebody else attached the same at the same time
            self._attach_missing(links)
        except errors.Conflict as error:
            if "Mixed collection" in str(error):
                self._attach_by_type(links)
            elif "closed" in str(error):
                self._attach_missing(links, error)
            else:
                raise

    def _attach_by_type(self, links: list[tuple[Did, Did]]) -> None:
        """Attach datasets and containers in requests of their own: the server takes one kind at a time."""
        records = self.get_dids(child for _, child in links)
        kinds = {records[child].type if child in records else None for _, child in links}
        if len(kinds) == 1:
            raise errors.Conflict(f"{some([child for _, child in links])} can't be attached: mixed kinds of DIDs")
        for kind in kinds:
            same = [link for link in links if (records[link[1]].type if link[1] in records else None) is kind]
            self._attach(same)

    def _attach_missing(self, links: list[tuple[Did, Did]], error: errors.CtaRucioError | None = None) -> None:
        """Attach what isn't attached; raise ``error`` if that's anything."""
        members = {parent: {item.did for item in self.list_content(parent)} for parent, _ in links}
        missing = [(parent, child) for parent, child in links if child not in members[parent]]
        if missing and error is not None:
            raise error
        if missing:
            self._attach(missing)

    def detach(self, parent: Did, children: Iterable[Did]) -> None:
        members = {item.did for item in self.list_content(parent)}
        for chunk in chunks([child for child in dict.fromkeys(children) if child in members], CHUNK):
            with contextlib.suppress(errors.NotFound), self._doing(f"detaching {some(chunk)} from {parent}"):
                self._client.detach_dids(parent.scope, parent.name, [translate.as_dict(did) for did in chunk])

    def close(self, did: Did) -> None:
        try:
            with self._doing(f"closing {did}"):
                self._client.close(did.scope, did.name)
        except errors.Conflict:
            record = self.get_dids([did]).get(did)
            if record is None or record.is_open is not False:
                raise

    def reopen(self, did: Did) -> None:
        try:
            with self._doing(f"opening {did} again"):
                self._client.set_status(did.scope, did.name, open=True)
        except errors.Conflict:
            record = self.get_dids([did]).get(did)
            if record is None or not record.is_open:
                raise

    def list_content(self, did: Did) -> list[Content]:
        what = f"listing the content of {did}"
        return [
            translate.content(a) for a in self._stream(lambda: self._client.list_content(did.scope, did.name), what)
        ]

    def list_files(self, did: Did) -> Iterator[Content]:
        seen: set[Did] = set()
        for answer in self._stream(lambda: self._client.list_files(did.scope, did.name), f"listing the files of {did}"):
            found = translate.content(answer, DidType.FILE)
            if found.did not in seen:
                seen.add(found.did)
                yield found

    def list_parents(self, did: Did) -> list[Content]:
        what = f"listing the parents of {did}"
        answers = self._stream(lambda: self._client.list_parent_dids(did.scope, did.name), what)
        return [translate.content(answer) for answer in answers]

    def expire(self, dids: Iterable[Did]) -> None:
        for chunk in chunks(dict.fromkeys(dids), CHUNK):
            with self._doing(f"expiring {some(chunk)}"):
                self._client.set_dids_metadata_bulk([translate.as_dict(d) | {"meta": {"lifetime": 0}} for d in chunk])


def type_word(types: frozenset[DidType]) -> str:
    """Rucio's word for the smallest set of types that it knows and that has all of ours."""
    if len(types) == 1:
        return next(iter(types)).value.lower()
    return "collection" if types == _COLLECTIONS else "all"
