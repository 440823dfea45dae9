"""A gateway that keeps scopes out of sight: whoever may not read them finds nothing there, and writes nothing.

It stands in front of another gateway, whatever verbs that has, so that a new verb can't forget the embargo: names of hidden
scopes are taken out of what is asked and out of what is answered. This keeps honest programs honest. Rucio's own reads
are open to every account, so that the bytes are protected by the storage.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from CTARucioDIRAC.domain.errors import NotAllowed, NotFound
from CTARucioDIRAC.domain.identifiers import Did

from .protocol import RucioGateway

#: Beginnings of the names of verbs that change nothing.
_READING = ("get_", "list_", "find_", "has_", "addresses")
#: Answers to questions about a hidden scope, where an empty sequence isn't one.
_NOTHING: Mapping[str, Any] = {"has_metadata": False, "find_guids": {}}


def hide(gateway: RucioGateway, scopes: frozenset[str], group: str) -> RucioGateway:
    """The same gateway without some scopes; ``group`` is named where something is refused for it."""
    return cast(RucioGateway, _Hiding(gateway, scopes, group)) if scopes else gateway


def hidden(gateway: RucioGateway) -> frozenset[str]:
    """Scopes that a gateway keeps out of sight."""
    return gateway.hidden if isinstance(gateway, _Hiding) else frozenset()


class _Hiding:
    def __init__(self, gateway: RucioGateway, scopes: frozenset[str], group: str) -> None:
        self._gateway = gateway
        self._group = group
        self.hidden = scopes

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._gateway, name)
        return functools.partial(self._call, name, value) if callable(value) else value

    def _call(self, name: str, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        reading = name.startswith(_READING)
        asked = inspect.signature(verb).bind(*args, **kwargs)
        for key, value in asked.arguments.items():
            if (key == "scope" and value in self.hidden) or (name == "list_rules" and self._is_hidden(value)):
                if reading:
                    return _NOTHING.get(name, iter(()))
                raise self._refusal(str(value))
            asked.arguments[key] = self._without(value, reading)
        answer = verb(*asked.args, **asked.kwargs)
        if name == "list_scopes":
            return [scope for scope in answer if scope not in self.hidden]
        if name == "list_scope_owners":
            return {scope: owner for scope, owner in answer.items() if scope not in self.hidden}
        return self._visible(answer)

    def _without(self, value: Any, reading: bool) -> Any:
        """An argument without hidden names; for what would change one, a refusal."""
        if isinstance(value, Did):
            if self._is_hidden(value):
                raise NotFound(f"{value}: no such name") if reading else self._refusal(value.scope)
            return value
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            return value
        items = dict(value) if isinstance(value, Mapping) else list(value)
        inner = (
            [i for v in items.values() if isinstance(v, list | tuple | set | frozenset | dict) for i in v]
            if (isinstance(items, dict))
            else []
        )
        named = [item for item in (*items, *inner) if self._is_hidden(item)]
        if named and not reading:
            raise self._refusal(str(named[0]))
        return self._visible(items) if named else items

    def _visible(self, answer: Any) -> Any:
        if isinstance(answer, dict):
            return {
                key: self._visible(value) if isinstance(value, list) else value
                for key, value in answer.items()
                if not (self._is_hidden(key) or self._is_hidden(value))
            }
        if isinstance(answer, list):
            return [item for item in answer if not self._is_hidden(item)]
        if isinstance(answer, Iterator):
            return (item for item in answer if not self._is_hidden(item))
        return answer

    def _is_hidden(self, item: Any) -> bool:
        did = item if isinstance(item, Did) else getattr(item, "did", None)
        return isinstance(did, Did) and did.scope in self.hidden

    def _refusal(self, what: str) -> NotAllowed:
        return NotAllowed(f"{what} is under an embargo, which DIRAC group {self._group!r} isn't let into")
