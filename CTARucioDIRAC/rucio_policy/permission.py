"""Who may do what: owners with what is theirs, data managers with all data, administrators with everything.

What CTAO's policy, or Rucio's generic one below it, allows stays allowed. In addition:

=================  ============================================================================================
owner of a scope   registers copies of its files at RSEs with the attribute ``owners_add_replicas``, says whether
                   they are there or bad, lets copies that no rule holds go
owner of a rule    changes, ends, reduces and moves it; not: gives it to another account, approves it
data manager       (account attribute ``data-manager``) does what owners do, in every scope, at every RSE, with
                   every rule; fills every scope with names and metadata; adds scopes
=================  ============================================================================================

RSEs, accounts, identities, limits and the configuration stay with administrators. Of some actions Rucio tells a policy
the RSE but not the files: those are read from the request that the server answers, which is what it acts on. Where there
is no such request, nothing is added to the generic policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bdms_rucio_policy import permission as ctao
from rucio.common.exception import RuleNotFound
from rucio.common.types import InternalScope
from rucio.core.account import has_account_attribute
from rucio.core.rse import list_rse_attributes
from rucio.core.rule import get_rule
from rucio.core.scope import is_scope_owner

from . import MANAGER, OPEN_TO_OWNERS
from .request import once, scopes_of_request

if TYPE_CHECKING:
    from rucio.common.types import InternalAccount
    from sqlalchemy.orm import Session

#: What the owner of a scope may by Rucio's generic policy, and a data manager in every scope.
_FILLING = frozenset(
    {
        "add_did",
        "add_dids",
        "add_scope",
        "attach_dids",
        "attach_dids_to_dids",
        "create_did_sample",
        "detach_dids",
        "set_metadata",
        "set_metadata_bulk",
        "set_status",
    }
)


def has_permission(issuer: InternalAccount, action: str, kwargs: dict[str, Any], *, session: Session) -> bool | None:
    """Decide on an action.

    Returns
    -------
    bool or None
        None: as Rucio's generic policy decides.
    """
    decided: bool | None = ctao.has_permission(issuer, action, kwargs, session=session)
    if decided is not None:
        return decided
    if action in _FILLING:
        return (_own_rules(issuer, kwargs) and _is_manager(issuer, session)) or None
    rule = _ACTIONS.get(action)
    return (rule is not None and rule(issuer, kwargs, session)) or None


def _is_manager(issuer: InternalAccount, session: Session) -> bool:
    return once(("manager", issuer), lambda: bool(has_account_attribute(account=issuer, key=MANAGER, session=session)))


def _own_rules(issuer: InternalAccount, kwargs: Mapping[str, Any]) -> bool:
    """Whether no other account is given something to own: a rule that comes with new names, a scope, an open dataset."""
    names = [kwargs, *kwargs.get("dids", [])] if isinstance(kwargs.get("dids", []), list) else [kwargs]
    rules = [rule for name in names for rule in name.get("rules") or []]
    return all(rule["account"] == issuer for rule in rules) and not kwargs.get("open", False)


def _owns_rule(issuer: InternalAccount, kwargs: Mapping[str, Any], session: Session) -> bool:
    changes = {**(kwargs.get("options") or {}), **(kwargs.get("override") or {})}
    if "account" in changes:
        return False
    try:
        owner = get_rule(kwargs["rule_id"], session=session)["account"]
    except RuleNotFound:
        return True  # what is done next says so
    return bool(owner == issuer) or _is_manager(issuer, session)


def _may_add_replicas(issuer: InternalAccount, kwargs: Mapping[str, Any], session: Session) -> bool:
    if _is_manager(issuer, session):
        return True
    opened = list_rse_attributes(kwargs["rse_id"], session=session).get(OPEN_TO_OWNERS, False)
    return str(opened).lower() in ("true", "1") and _owns_files(issuer, session)


def _may_change_copies(issuer: InternalAccount, _kwargs: Mapping[str, Any], session: Session) -> bool:
    return _is_manager(issuer, session) or _owns_files(issuer, session)


def _owns_files(issuer: InternalAccount, session: Session) -> bool:
    """Whether the account owns the scopes of all files that the request names."""

    def look() -> bool:
        scopes = scopes_of_request()
        return bool(scopes) and all(
            is_scope_owner(scope=InternalScope(scope, vo=issuer.vo), account=issuer, session=session)
            for scope in scopes
        )

    return once(("owns", issuer), look)


_ACTIONS: Mapping[str, Callable[[Any, Mapping[str, Any], Any], bool]] = {
    "del_rule": _owns_rule,
    "update_rule": _owns_rule,
    "reduce_rule": _owns_rule,
    "move_rule": _owns_rule,
    "add_replicas": _may_add_replicas,
    "update_replicas_states": _may_change_copies,
    "set_tombstone": _may_change_copies,
    "declare_bad_file_replicas": _may_change_copies,
}
