"""Who may write where, as the policy of the Rucio server has it; asked before any byte moves."""

from __future__ import annotations

from collections.abc import Iterable

from CTARucioDIRAC.Core.Utilities.Kept import Kept
from CTARucioDIRAC.domain.accounts import OPEN_TO_OWNERS, Privileges, is_open, may_write
from CTARucioDIRAC.domain.errors import InvalidInput, NotAllowed
from CTARucioDIRAC.domain.identifiers import did_of
from CTARucioDIRAC.gateway.embargo import hidden
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.usecases.bulk import Bulk, identify

#: Privileges, RSEs where the account may register copies of its own files, owner of each scope.
_Facts = tuple[Privileges, frozenset[str], dict[str, str]]
_facts: Kept[_Facts] = Kept(seconds=60)
_owners: Kept[dict[str, str]] = Kept(seconds=60)


def allowed(gateway: RucioGateway, server: str, paths: Iterable[str], operation: str) -> Bulk[bool]:
    """Say for each path whether the gateway's account may do an operation of the catalogue there.

    What Rucio says of an account, the RSEs and the scopes is kept for a minute.
    """
    answers: Bulk[bool] = Bulk()
    names = identify(paths, answers)
    privileges, opened, owners = _look_up(gateway, server)
    closed = hidden(gateway)
    for path, did in names.items():
        owns = owners.get(did.scope) == gateway.account
        may = may_write(operation, privileges, owns=owns, can_register=bool(opened))
        answers.done[path] = may and did.scope not in closed
    return answers


def readable(gateway: RucioGateway, paths: Iterable[str]) -> Bulk[bool]:
    """Say for each path whether it may be read: all but what is under an embargo for the caller's group."""
    answers: Bulk[bool] = Bulk()
    closed = hidden(gateway)
    answers.done = {path: did.scope not in closed for path, did in identify(paths, answers).items()}
    return answers


def scope_owner(gateway: RucioGateway, server: str, path: str) -> str:
    """Account that owns the scope of a path; root for one that isn't there. The list is kept for a minute."""
    owners = _owners.get((server, gateway.account, hidden(gateway)), gateway.list_scope_owners)
    return owners.get(did_of(path).scope, "root")


def check_upload(gateway: RucioGateway, server: str, paths: Iterable[str], rse: str) -> Bulk[bool]:
    """Refuse files that couldn't be registered at an RSE once they are there.

    Returns
    -------
    Bulk
        Of those that may go there: True. The error of each other one names the account, the cause and the remedy.
    """
    answers = allowed(gateway, server, paths, "addFile")
    privileges, opened, owners = _look_up(gateway, server)
    scopes = identify(answers.done, Bulk[bool]())
    for path, may in list(answers.done.items()):
        scope = scopes[path].scope
        if may and (privileges.manager or rse in opened):
            continue
        del answers.done[path]
        if owners.get(scope) != gateway.account:
            owner = f"belongs to {owners[scope]}" if scope in owners else "doesn't exist"
            cause = f"scope {scope} {owner}: register below a scope of your own, or ask an administrator"
        else:
            cause = f"owners may do so at {', '.join(sorted(opened)) or 'none'} only"
        answers.failed[path] = NotAllowed(f"account {gateway.account} can't register {path} at {rse}: {cause}")
    return answers


def _look_up(gateway: RucioGateway, server: str) -> _Facts:
    return _facts.get((server, gateway.account, hidden(gateway)), lambda: _ask(gateway))


def _ask(gateway: RucioGateway) -> _Facts:
    privileges = gateway.privileges()
    if privileges.manager:
        return privileges, frozenset(rse.name for rse in gateway.list_rses()), {}
    try:
        opened = {rse.name for rse in gateway.list_rses(f"{OPEN_TO_OWNERS}=true")}
    except InvalidInput:  # no RSE has the attribute
        opened = set()
    may = frozenset(rse.name for rse in gateway.list_rses() if is_open(rse.name, privileges, opened))
    return privileges, may, gateway.list_scope_owners()
