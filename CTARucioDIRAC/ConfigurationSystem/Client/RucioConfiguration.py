"""What DIRAC's configuration says about Rucio: the catalogue's options, and which account each group and host acts as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from DIRAC import gConfig
from DIRAC.ConfigurationSystem.Client.Helpers.Operations import Operations
from DIRAC.ConfigurationSystem.Client.Helpers.Registry import getHosts

from CTARucioDIRAC.domain import scopes
from CTARucioDIRAC.domain.errors import InvalidInput, InvalidSettings
from CTARucioDIRAC.domain.metadata_fields import Fields, check_type
from CTARucioDIRAC.domain.settings import CatalogueSettings, catalogue_settings

CATALOGUES = "/Resources/FileCatalogs"
#: The first is what to use; the second works where DIRAC's own class of that name isn't found first.
CATALOGUE_TYPES = ("CTARucioFileCatalog", "RucioFileCatalog")
FIELDS = "DataManagement/MetadataFields"
GROUPS = "/Registry/Groups"
HOSTS = "/Registry/Hosts"
USERS = "/Registry/Users"
ACCOUNT = "RucioAccount"
#: Option of a group whose members act as accounts of their own, if they have one.
PER_USER = "RucioAccountPerUser"


def catalogue_name() -> str:
    """Name of the section of the Rucio catalogue.

    Raises
    ------
    InvalidSettings
        There is none, or more than one.
    """
    sections = gConfig.getSections(CATALOGUES).get("Value", [])
    types = {name: gConfig.getValue(f"{CATALOGUES}/{name}/CatalogType", name) for name in sections}
    names = [name for name in sections if types[name] in CATALOGUE_TYPES]
    if len(names) == 1:
        return str(names[0])
    if names:
        raise InvalidSettings(f"{CATALOGUES} has several catalogues of type {CATALOGUE_TYPES[0]}: {', '.join(names)}")
    raise InvalidSettings(f"{CATALOGUES} has no catalogue of type {CATALOGUE_TYPES[0]}: add a section RucioFileCatalog")


def read_catalogue_settings(name: str | None = None) -> CatalogueSettings:
    """Read and check the options of the Rucio catalogue.

    Parameters
    ----------
    name : str, optional
        Name of its section; the one of its type, unless given.

    Raises
    ------
    InvalidSettings
        Naming what is missing or wrong.
    """
    section = f"{CATALOGUES}/{name or catalogue_name()}"
    result = gConfig.getOptionsDict(section)
    if not result["OK"]:
        raise InvalidSettings(f"{section} can't be read: {result['Message']}")
    return settings_in_use(result["Value"], section)


def settings_in_use(options: Mapping[str, Any], section: str) -> CatalogueSettings:
    """Check the options of the Rucio catalogue, and put what they say of scopes into use.

    Raises
    ------
    InvalidSettings
        Naming what is missing or wrong.
    """
    settings = catalogue_settings(options, section)
    scopes.use(settings.scope_rules)
    return settings


def metadata_fields(vo: str) -> Fields:
    """Metadata fields that ``/Operations/<vo or Defaults>/DataManagement/MetadataFields`` declares.

    Raises
    ------
    InvalidSettings
        Naming the option that has no type.
    """
    operations, fields = Operations(vo=vo), Fields()
    for section, of_files in (("Directory", False), ("File", True)):
        found = operations.getOptionsDict(f"{FIELDS}/{section}")
        for name, kind in (found["Value"] if found["OK"] else {}).items():
            try:
                fields.add(name, check_type(name, kind), of_files=of_files)
            except InvalidInput as error:
                raise InvalidSettings(f"/Operations/.../{FIELDS}/{section}/{name}: {error}") from None
    return fields


def group_account(group: str) -> str:
    """Rucio account of a DIRAC group.

    Raises
    ------
    InvalidSettings
        The group has none: an account is never guessed.
    """
    return _account(f"{GROUPS}/{group}/{ACCOUNT}", f"DIRAC group {group!r}")


def user_account(user: str, group: str) -> str:
    """Rucio account of a user who acts in a DIRAC group: the group's, or the user's own where the group has that.

    Raises
    ------
    InvalidSettings
        There is none: an account is never guessed.
    """
    own = f"{USERS}/{user}/{ACCOUNT}"
    if not gConfig.getValue(f"{GROUPS}/{group}/{PER_USER}", False):
        return group_account(group)
    account = gConfig.getValue(own, "") or gConfig.getValue(f"{GROUPS}/{group}/{ACCOUNT}", "")
    if not account:
        raise InvalidSettings(
            f"user {user!r} of DIRAC group {group!r} has no Rucio account: set {own}, or {GROUPS}/{group}/{ACCOUNT} for "
            "all who have none of their own"
        )
    return str(account)


def users_of_account(account: str) -> list[str]:
    """DIRAC users who act as a Rucio account of their own."""
    users = gConfig.getSections(USERS).get("Value", [])
    return [str(user) for user in users if gConfig.getValue(f"{USERS}/{user}/{ACCOUNT}", "") == account]


def groups_with_own_accounts(user: str) -> list[str]:
    """DIRAC groups of a user in which they act as their own Rucio account."""
    groups = gConfig.getSections(GROUPS).get("Value", [])
    return [
        str(group)
        for group in groups
        if gConfig.getValue(f"{GROUPS}/{group}/{PER_USER}", False)
        and user in gConfig.getValue(f"{GROUPS}/{group}/Users", [])
    ]


def host_account(host: str) -> str:
    """Rucio account of a DIRAC host, for servers and agents that act with the host certificate.

    Raises
    ------
    InvalidSettings
        The host has none.
    """
    return _account(f"{HOSTS}/{host}/{ACCOUNT}", f"host {host!r}")


def _account(option: str, owner: str) -> str:
    account = gConfig.getValue(option, "")
    if not account:
        raise InvalidSettings(f"{owner} has no Rucio account: set {option}")
    return str(account)


def groups_of_account(account: str) -> list[str]:
    """DIRAC groups that act as a Rucio account; usually one."""
    groups = gConfig.getSections(GROUPS).get("Value", [])
    return [str(group) for group in groups if gConfig.getValue(f"{GROUPS}/{group}/{ACCOUNT}", "") == account]


def hosts_of_account(account: str) -> list[str]:
    """DIRAC hosts that act as a Rucio account."""
    hosts = getHosts().get("Value", [])
    return [str(host) for host in hosts if gConfig.getValue(f"{HOSTS}/{host}/{ACCOUNT}", "") == account]
