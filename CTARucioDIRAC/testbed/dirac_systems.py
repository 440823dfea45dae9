"""DIRAC's /Systems for the testbed: what the installed DIRAC's templates say, with the testbed's choices on top."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .dirac_registry import JOB_TYPES
from .dirac_tree import Tree, merged
from .layout import DIRAC_SERVICES, Layout
from .mariadb import DATABASES, PACKAGES

#: This product's agent, declared as soon as it is installed.
CAMPAIGN_AGENT = "Transformation/RucioCampaignAgent"
#: This product's choice of which files become a job; DIRAC's own, until it is installed.
PLUGIN = "CTARucioDIRAC.TransformationSystem.Agent.RucioTransformationPlugin"

#: Agents of the testbed and the seconds between their cycles (the launcher allows 5).
AGENTS: Mapping[str, int] = {
    "Transformation/InputDataAgent": 15,
    "Transformation/TransformationAgent": 5,
    "Transformation/WorkflowTaskAgent": 5,
    "Transformation/RequestTaskAgent": 10,
    "Transformation/TransformationCleaningAgent": 30,
    "Transformation/MCExtensionAgent": 60,
    CAMPAIGN_AGENT: 5,
    "RequestManagement/RequestExecutingAgent": 5,
    "RequestManagement/CleanReqDBAgent": 60,
    "WorkloadManagement/StalledJobAgent": 15,
    "WorkloadManagement/JobAgent": 1,
}

#: Seconds between two heartbeats of a running job.
HEARTBEAT = 20
#: A job without a sign of life for this many heartbeats (and a half: DIRAC adds it) is Stalled, and one cycle of
#: StalledJobAgent later Failed: within 50 + 15 + 15 s.
STALLED_AFTER = 2
#: Seconds after which a job that was matched, submitted or rescheduled and went no further is taken up again.
STUCK_AFTER = 90

#: Choices by agent; those that are not named here stay as DIRAC's templates say.
_AGENT_OPTIONS: Mapping[str, Tree] = {
    "Transformation/InputDataAgent": {"shifterProxy": "ProductionManager", "FullUpdatePeriod": "60"},
    "Transformation/TransformationAgent": {
        "shifterProxy": "ProductionManager",
        "NoUnusedDelay": "0",
    },
    "Transformation/WorkflowTaskAgent": {
        "shifterProxy": "ProductionManager",
        "MonitorTasks": "yes",
        "MonitorFiles": "yes",
        "CheckReserved": "yes",
        "TransType": JOB_TYPES,
        # DIRAC's template leaves out the last five, and loses sight of jobs that it finds in one of them
        "TaskUpdateStatus": "Submitted, Received, Waiting, Running, Matched, Completed, Failed, Checking, Staging, Stalled, "
        "Rescheduled, Completing",
    },
    "Transformation/RequestTaskAgent": {
        "shifterProxy": "DataManager",
        "MonitorTasks": "yes",
        "MonitorFiles": "yes",
        "CheckReserved": "yes",
    },
    "Transformation/TransformationCleaningAgent": {"shifterProxy": "ProductionManager", "ArchiveAfter": "7"},
    CAMPAIGN_AGENT: {"shifterProxy": "ProductionManager"},
    "RequestManagement/RequestExecutingAgent": {"MinProcess": "1", "MaxProcess": "2", "RequestsPerCycle": "20"},
    "WorkloadManagement/StalledJobAgent": {
        "StalledTimeHours": str(STALLED_AFTER),  # whatever its name: a number of heartbeats
        "FailedTimeHours": str(STALLED_AFTER + 1),
        "MatchedTime": str(STUCK_AFTER),
        "SubmittingTime": str(STUCK_AFTER),
        "RescheduledTime": str(STUCK_AFTER),
        "MaxNumberOfThreads": "2",
    },
    "WorkloadManagement/JobAgent": {
        "FillingModeFlag": "true",
        "StopOnApplicationFailure": "False",
        "StopAfterFailedMatches": "1000000",
        "StopAfterHostFailures": "10",
        "SubmissionDelay": "0",
        "MinimumTimeLeft": "10",
    },
}
_SERVICE_OPTIONS: Mapping[str, Tree] = {
    # the template names the HTTPS service, whose web server is not on package indexes
    "Configuration/Server": {"HandlerPath": "DIRAC/ConfigurationSystem/Service/ConfigurationHandler.py"},
    "DataManagement/FileCatalog": {
        "UserGroupManager": "UserAndGroupManagerDB",
        "SEManager": "SEManagerDB",
        "SecurityManager": "DirectorySecurityManagerWithDelete",
        # with these two, metadata of directories select files; the stored procedures' variant cannot
        "DirectoryManager": "DirectoryLevelTree",
        "FileManager": "FileManager",
        "UniqueGUID": "True",
        "GlobalReadAccess": "True",
        "LFNPFNConvention": "Strong",
        "ResolvePFN": "True",
        "DefaultUmask": "509",
        "VisibleStatus": "AprioriGood",
    },
    # seconds after which it finds a job that an agent has set back to Received
    "WorkloadManagement/OptimizationMind": {"LoadJobPeriod": "15"},
}


def installed_agents() -> list[str]:
    """The agents of :data:`AGENTS` that the installed packages have."""
    return [name for name in AGENTS if name != CAMPAIGN_AGENT or _importable(_module(CAMPAIGN_AGENT))]


def systems(layout: Layout) -> Tree:
    """/Systems: services with ports and URLs, agents, executors, databases, the job wrapper."""
    parts = [_service(layout, name) for name in DIRAC_SERVICES]
    parts += [_agent(name) for name in installed_agents()]
    parts += [_database(name) for name in DATABASES]
    parts += [
        {"WorkloadManagement": {"Executors": _section("WorkloadManagement", "Executors")}},
        {"WorkloadManagement": {"JobWrapper": _job_wrapper()}},
        {"WorkloadManagement": {"Databases": {"JobParametersDB": {"index_name": "job_parameters"}}}},
        {"WorkloadManagement": {"Services": {"SandboxStore": {"BasePath": str(sandboxes(layout))}}}},
        {"DataManagement": {"Services": {"StorageElement": {"BasePath": str(layout.root / "dirac" / "dips")}}}},
    ]
    return merged(*parts)


def sandboxes(layout: Layout) -> Path:
    """Where the sandboxes of the jobs are."""
    return layout.root / "dirac" / "sandboxes"


def database_access(layout: Layout, password: str) -> Tree:
    """How servers reach MariaDB, and the store of job parameters."""
    return {
        "Databases": {
            "User": "Dirac",
            "Password": password,
            "Host": "127.0.0.1",  # "localhost" would mean the socket
            "Port": str(layout.port("mariadb")),
        },
        "NoSQLDatabases": {
            "Host": "127.0.0.1",
            "Port": str(layout.port("documents")),
            "SSL": "no",
            "User": "",
            "Password": "",
        },
    }


def _module(agent: str) -> str:
    system, name = agent.split("/")
    return f"CTARucioDIRAC.{system}System.Agent.{name}"


def _importable(module: str) -> bool:
    return find_spec(module) is not None


def _service(layout: Layout, name: str) -> Tree:
    system, service = name.split("/")
    port = str(layout.port(name))
    options = merged(_section(system, "Services", service), _SERVICE_OPTIONS.get(name, {}), {"Port": port})
    return {
        system: {
            "Services": {service: options},
            "URLs": {service: f"dips://localhost:{port}/{name}"},
        }
    }


def _agent(name: str) -> Tree:
    system, agent = name.split("/")
    options = merged(
        _section(system, "Agents", agent),
        _AGENT_OPTIONS.get(name, {}),
        {"PollingTime": str(AGENTS[name]), "MaxCycles": "0"},
    )
    if agent == "TransformationAgent" and _importable(PLUGIN):
        options["PluginLocation"] = PLUGIN
    return {system: {"Agents": {agent: options}}}


def _database(name: str) -> Tree:
    system, database = name.split("/")
    return {system: {"Databases": {database: {"DBName": database}}}}


def _job_wrapper() -> Tree:
    # without the template: its lists are written with brackets, which DIRAC takes as part of the names
    return {
        "CheckingTime": str(HEARTBEAT),
        "MinCheckingTime": str(HEARTBEAT),
        "PollingTime": "2",  # seconds after which the end of the payload is noticed
        "CleanUpFlag": "True",
        "MinOutputDataBufferGB": "1",
        "DiskSE": ["-DISK", "-BUFFER"],
        "TapeSE": ["-TAPE"],
    }


def _section(system: str, *path: str) -> Tree:
    """A section of the installed templates; the most specific package that has it wins, as in DIRAC's installation."""
    for package in PACKAGES:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            file = Path(place) / f"{system}System" / "ConfigTemplate.cfg"
            if file.is_file() and (found := _read(file, path)):
                return found
    return {}


def _read(file: Path, path: tuple[str, ...]) -> Tree:
    section: Any = _template(file)
    for step in path:
        section = section.get(step, {})
    return merged(section)


@cache
def _template(file: Path) -> Tree:
    from diraccfg import CFG  # DIRAC's own reader of its own format

    return dict(CFG().loadFromFile(str(file)).getAsDict())
