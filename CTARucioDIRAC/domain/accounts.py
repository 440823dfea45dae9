"""What a Rucio account may do to the data of a scope, under the policies that a server may have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Attribute of accounts that manage the data of all scopes, where the server has this package's policy.
MANAGER = "data-manager"
#: Attribute of RSEs where owners of scopes may register copies, where the server has this package's policy.
OPEN_TO_OWNERS = "owners_add_replicas"
#: Ends of the names of RSEs where Rucio's generic policy lets every account register copies.
_OPEN_NAMES = ("SCRATCHDISK", "USERDISK", "MOCK", "LOCALGROUPDISK")

#: Operations of the catalogue that register copies, and those that change copies or the rules that keep them.
REGISTERING = frozenset({"addFile", "addReplica"})
CHANGING = frozenset({"removeReplica", "setReplicaStatus", "setReplicaHost", "setReplicaProblematic"})


@dataclass(frozen=True)
class Privileges:
    """What an account is to its server.

    Attributes
    ----------
    admin : bool
        Whether it may do everything with data.
    manager : bool
        Whether it may do in every scope what the owner may, at every RSE; administrators may.
    owners_decide : bool
        Whether owners may change and end their rules, and change their copies: false under Rucio's generic policy.
    """

    admin: bool
    manager: bool
    owners_decide: bool


def is_open(rse: str, privileges: Privileges, opened: Iterable[str]) -> bool:
    """Whether an account may register copies of its own files at an RSE; ``opened`` are those with the attribute."""
    return privileges.manager or rse.endswith(_OPEN_NAMES) or (privileges.owners_decide and rse in opened)


def may_write(operation: str, privileges: Privileges, *, owns: bool, can_register: bool) -> bool:
    """Whether an account may do an operation on names of a scope.

    Parameters
    ----------
    operation : str
        Method of the file catalogue.
    owns : bool
        Whether the scope is the account's. The owner of none is the account that may add it: a manager's.
    can_register : bool
        Whether there is any RSE where the account may register copies.
    """
    if privileges.manager:
        return True
    if operation in REGISTERING:
        return owns and can_register
    if operation in CHANGING:
        return owns and privileges.owners_decide
    return owns
