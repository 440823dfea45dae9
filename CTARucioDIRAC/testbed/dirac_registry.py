"""DIRAC's /Registry and /Operations for the testbed: who may do what, and how the VO works. Pure."""

from __future__ import annotations

from .dirac_tree import Tree
from .layout import HOST_ACCOUNT, HOST_DN, ROLES, VO, Layout

USER_PROPERTIES = ["NormalUser", "PrivateLimitedDelegation"]
PRODUCTION_PROPERTIES = [
    "ProductionManagement",
    "NormalUser",
    "JobAdministrator",
    "JobSharing",
    "FileCatalogManagement",
    "SiteManager",
    "ProxyManagement",
    "FullDelegation",
    "StepAdministrator",
]
DATA_PROPERTIES = [
    "NormalUser",
    "DataOperation",
    "FileCatalogManagement",
    "StageAllowed",
    "SiteManager",
    "FullDelegation",
]
ADMIN_PROPERTIES = [
    "AlarmsManagement",
    "ServiceAdministrator",
    "CSAdministrator",
    "JobAdministrator",
    "FullDelegation",
    "ProxyManagement",
    "Operator",
    "SiteManager",
    "NormalUser",
    "FileCatalogManagement",
    "ProductionManagement",
]
PILOT_PROPERTIES = ["GenericPilot", "LimitedDelegation"]
HOST_PROPERTIES = [
    "TrustedHost",
    "CSAdministrator",
    "JobAdministrator",
    "FullDelegation",
    "ProxyManagement",
    "Operator",
    "ServiceAdministrator",
    "SiteManager",
    "GenericPilot",
    "FileCatalogManagement",
    "ProductionManagement",
    "AlarmsManagement",
    "LimitedDelegation",
]
_PROPERTIES = {
    "user": USER_PROPERTIES,
    "production": PRODUCTION_PROPERTIES,
    "data": DATA_PROPERTIES,
    "admin": ADMIN_PROPERTIES,
    "pilot": PILOT_PROPERTIES,
}
#: Roles whose proxies DIRAC keeps, to run their jobs and to act as shifters.
UPLOADED_ROLES = ("user", "production", "data", "admin")

#: Transformation types that run jobs, and those that run requests.
JOB_TYPES = ["MCSimulation", "DataReprocessing", "Merge", "Processing", "DataReconstruction"]
REQUEST_TYPES = ["Replication", "Removal"]

#: The RMS operations' and jobs' protocols, in order of preference.
PROTOCOLS = ["root", "davs", "https", "file", "dips"]


def registry() -> Tree:
    """Users, groups and the host; each group and the host name the Rucio account that they act as.

    A user whose account isn't the group's has it in the registry's own section.
    """
    users: Tree = {}
    groups: Tree = {}
    own: list[str] = []
    for role in ROLES.values():
        if role.group is None:  # works with Rucio and the storage only
            continue
        users[role.user] = {"DN": role.dn, "Email": f"{role.user}@localhost"}
        if role.group in groups:
            users[role.user]["RucioAccount"] = role.account
            own.append(role.user)
            continue
        groups[role.group] = {
            "Users": [role.user],
            "Properties": _PROPERTIES[role.name],
            "VO": VO,
            "AutoUploadProxy": str(role.name in UPLOADED_ROLES),
            "RucioAccount": role.account,
        }
    # a production manager is an ordinary user as well
    user_group = groups[_group("user")]
    assert isinstance(user_group, dict)
    user_group["Users"] = [ROLES["user"].user, ROLES["production"].user, *own]
    user_group["RucioAccountPerUser"] = "True"
    return {
        "DefaultGroup": _group("user"),
        "DefaultProxyTime": "86400",
        "Users": users,
        "Groups": groups,
        "Hosts": {"localhost": {"DN": HOST_DN, "Properties": HOST_PROPERTIES, "RucioAccount": HOST_ACCOUNT}},
        "VO": {VO: {"VOAdmin": ROLES["admin"].user, "VOAdminGroup": _group("admin"), "DefaultGroup": _group("user")}},
    }


def operations(catalogs: list[str]) -> Tree:
    """/Operations/Defaults: catalogues in their order, shifters, transformation types, protocols, site status."""
    declared: Tree = {
        "RucioFileCatalog": {"AccessType": "Read-Write", "Status": "Active", "Master": "True"},
        "TSCatalog": {"CatalogType": "TSCatalog", "AccessType": "Write", "Status": "Active"},
        "FileCatalog": {"AccessType": "Read-Write", "Status": "Active", "Master": "True"},
    }
    return {
        "Defaults": {
            "Services": {
                "Catalogs": {"CatalogList": catalogs, **{name: declared[name] for name in catalogs}},
            },
            "Shifter": {
                "DataManager": {"User": ROLES["data"].user, "Group": _group("data")},
                "ProductionManager": {"User": ROLES["production"].user, "Group": _group("production")},
            },
            "Transformations": {
                "DataProcessing": JOB_TYPES,
                "DataManipulation": REQUEST_TYPES,
                "TransfIDMeta": "TransformationID",
            },
            "Pilot": {"CheckVersion": "False"},
            "MonitoringBackends": {"Default": "Accounting"},
            "ResourceStatus": {
                "Config": {
                    "Cache": "60",
                    "StatusTypes": {
                        "default": "all",
                        "StorageElement": ["ReadAccess", "WriteAccess", "CheckAccess", "RemoveAccess"],
                    },
                }
            },
            "InputDataPolicy": {
                "Default": "DIRAC.WorkloadManagementSystem.Client.DownloadInputData",
                "Download": "DIRAC.WorkloadManagementSystem.Client.DownloadInputData",
                "Protocol": "DIRAC.WorkloadManagementSystem.Client.InputDataByProtocol",
            },
            "DataManagement": {
                "AccessProtocols": PROTOCOLS,
                "RegistrationProtocols": PROTOCOLS,
                "WriteProtocols": PROTOCOLS,
                "ThirdPartyProtocols": PROTOCOLS,
            },
        }
    }


def local_client(layout: Layout) -> Tree:
    """The part of dirac.cfg that every instance needs: where the configuration service and the authorities are."""
    return {
        "DIRAC": {
            "VirtualOrganization": VO,
            "Hostname": "localhost",
            "Configuration": {
                "Servers": f"dips://localhost:{layout.port('Configuration/Server')}/Configuration/Server",
            },
            "Security": {
                "UseServerCertificate": "no",
                "CALocation": str(layout.ca),
                "SkipCAChecks": "no",
            },
        }
    }


def _group(role: str) -> str:
    group = ROLES[role].group
    assert group is not None
    return group
