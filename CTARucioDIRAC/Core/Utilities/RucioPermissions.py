"""Who may write where, as Rucio's policy has it: administrators everywhere, owners of a scope in it."""

from __future__ import annotations

from collections.abc import Iterable

from CTARucioDIRAC.Core.Utilities.Kept import Kept
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.usecases.bulk import Bulk, identify

_facts: Kept[tuple[bool, dict[str, str]]] = Kept(seconds=60)


def may_write(gateway: RucioGateway, server: str, paths: Iterable[str]) -> Bulk[bool]:
    """Say for each path whether the gateway's account may register and remove there.

    What Rucio says of an account and of the scopes is kept for a minute.
    """
    answers: Bulk[bool] = Bulk()
    names = identify(paths, answers)
    admin, owners = _facts.get((server, gateway.account), lambda: _ask(gateway))
    for path, did in names.items():
        answers.done[path] = admin or owners.get(did.scope) == gateway.account
    return answers


def _ask(gateway: RucioGateway) -> tuple[bool, dict[str, str]]:
    admin = gateway.is_admin()
    return admin, {} if admin else gateway.list_scope_owners()
