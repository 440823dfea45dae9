"""Verbs on the server itself: its clock, its accounts, how its storage endpoints are reached."""

from __future__ import annotations

import datetime as dt
import email.utils
from collections.abc import Iterable

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import Did, chunks

from .connection import Connection
from .records import Protocol
from .verbs import Verbs

#: Names of files in one address: it must stay short.
_NAMES = 20


class ServerVerbs(Verbs):
    """See :class:`~.protocol.RucioGateway` for what each verb promises."""

    _connection: Connection

    def server_time(self) -> dt.datetime:
        with self._doing("asking the server for the time"):
            answer = self._connection.send(
                "GET", f"{self._connection.server.rucio_host}/ping", read_only=True, anonymous=True
            )
        date = answer.headers.get("Date", "")
        try:
            return email.utils.parsedate_to_datetime(date).astimezone(dt.UTC)
        except ValueError:
            raise errors.CtaRucioError(f"asking the server for the time: {date!r} is none") from None

    def list_accounts(self) -> list[str]:
        return sorted(str(a["account"]) for a in self._stream(self._client.list_accounts, "listing the accounts"))

    def list_identities(self, account: str) -> set[str]:
        what = f"listing the identities of account {account}"
        answers = self._stream(lambda: self._client.list_identities(account), what)
        return {str(answer["identity"]) for answer in answers}

    def list_protocols(self, rse: str) -> list[Protocol]:
        with self._doing(f"listing the protocols of {rse}"):
            answers = self._client.get_protocols(rse)
        found = []
        for answer in [answers] if isinstance(answers, dict) else answers:
            wan = dict(answer.get("domains") or {}).get("wan") or {}
            operations = frozenset(str(name) for name, rank in wan.items() if rank)
            host, port, prefix = str(answer["hostname"]), int(answer.get("port") or 0), str(answer.get("prefix") or "")
            found.append(Protocol(str(answer["scheme"]), host, port, prefix, operations))
        return sorted(found, key=lambda item: (item.scheme, item.hostname, item.port))

    def addresses(self, rse: str, dids: Iterable[Did], scheme: str) -> dict[Did, str]:
        found: dict[Did, str] = {}
        for chunk in chunks(dict.fromkeys(dids), _NAMES):
            with self._doing(f"asking for addresses of {chunk[0]} at {rse}"):
                answer = self._client.lfns2pfns(rse, [str(did) for did in chunk], operation="read", scheme=scheme)
            found |= {did: str(answer[str(did)]) for did in chunk if str(did) in answer}
        return found
