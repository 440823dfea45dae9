"""Who may write where, as Rucio's policy has it: administrators everywhere, owners of a scope in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.usecases.bulk import Bulk, identify

#: Seconds for which what Rucio says of an account and of scopes is kept.
_KEPT = 60.0
_lock = threading.Lock()
_known: dict[tuple[int, str], tuple[float, bool, dict[str, str]]] = {}


def may_write(gateway: RucioGateway, paths: Iterable[str]) -> Bulk[bool]:
    """Say for each path whether the gateway's account may register and remove there."""
    answers: Bulk[bool] = Bulk()
    names = identify(paths, answers)
    admin, owners = _facts(gateway)
    for path, did in names.items():
        answers.done[path] = admin or owners.get(did.scope) == gateway.account
    return answers


def _facts(gateway: RucioGateway) -> tuple[bool, dict[str, str]]:
    key = (id(gateway), gateway.account)
    with _lock:
        until, admin, owners = _known.get(key, (0.0, False, {}))
    if until < time.monotonic():
        admin = gateway.is_admin()
        owners = {} if admin else gateway.list_scope_owners()
        with _lock:
            _known[key] = (time.monotonic() + _KEPT, admin, owners)
    return admin, owners
