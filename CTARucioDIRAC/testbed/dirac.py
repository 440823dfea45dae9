"""DIRAC's processes in the testbed: how they start, how they are asked whether they work, what they need.

Few processes with many components each, to save memory; the configuration service and OptimizationMind are alone,
because others need them to start. Each process is supervised for itself: any of them may be killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from . import dirac_config, dirac_documents, dirac_rpc, dirac_setup, dirac_worker, rucio
from .dirac_process import process
from .dirac_systems import installed_agents
from .layout import DIRAC_SERVICES, Layout
from .service import Service, nothing

CONFIGURATION = "Configuration/Server"
MIND = "WorkloadManagement/OptimizationMind"
EXECUTORS = "WorkloadManagement/Optimizers"
#: Agents that work in child processes: apart, because a shifter's proxy is set for a whole process.
REQUEST_AGENTS = ["RequestManagement/RequestExecutingAgent", "RequestManagement/CleanReqDBAgent"]


def services(layout: Layout, catalogs: list[str] | None = None) -> list[Service]:
    """All DIRAC processes, the workers included, in an order in which they can start.

    Parameters
    ----------
    layout : Layout
        The stack. MariaDB is a service of its own (:mod:`.mariadb`).
    catalogs : list of str, optional
        Names of the file catalogues that DIRAC asks; by default Rucio's and the transformation system's.

    Returns
    -------
    list of Service
        ``dirac-documents``, ``dirac-configuration``, ``dirac-mind``, ``dirac-services``, ``dirac-executors``,
        ``dirac-agents``, ``dirac-requests``, ``dirac-worker1`` ….
    """
    others = [name for name in DIRAC_SERVICES if name not in (CONFIGURATION, MIND)]
    agents = [name for name in installed_agents() if name not in (*REQUEST_AGENTS, dirac_worker.JOB_AGENT)]
    base = ("dirac-configuration", "mariadb", "dirac-documents")

    def settings() -> str:
        return dirac_config.settings(layout, catalogs)

    servers = [
        _services(
            layout,
            "dirac-configuration",
            [CONFIGURATION],
            needs=("mariadb",),
            prepare=lambda: dirac_config.write(layout, catalogs),
            complete=lambda: dirac_config.write_client(layout),
        ),
        _services(layout, "dirac-mind", [MIND], needs=base),
        _services(layout, "dirac-services", others, needs=base, complete=lambda: dirac_setup.complete(layout)),
        process(layout, "dirac-executors", "executor", [EXECUTORS], needs=("dirac-mind", "dirac-services")),
        # the campaigns' agent works with Rucio: without it, its cycles fail
        process(layout, "dirac-agents", "agent", agents, needs=("dirac-services", rucio.SERVER)),
        process(layout, "dirac-requests", "agent", REQUEST_AGENTS, needs=("dirac-services",)),
    ]
    return [
        *dirac_documents.services(layout),
        *(replace(server, settings=settings) for server in servers),
        *dirac_worker.services(layout, catalogs),
    ]


def upload_proxies(layout: Layout) -> None:
    """Give DIRAC the proxies with which jobs and shifters work, where they are missing or end in less than ten days."""
    dirac_setup.upload_proxies(layout)


def _services(
    layout: Layout,
    name: str,
    members: Sequence[str],
    needs: Sequence[str],
    prepare: Callable[[], None] = nothing,
    complete: Callable[[], None] = nothing,
) -> Service:
    """A process of DISET services, healthy when each of them answers an authenticated call."""

    def healthy() -> None:
        for member in members:
            dirac_rpc.ping(layout, member)

    return process(
        layout,
        name,
        "service",
        members,
        needs=needs,
        ports=[layout.port(member) for member in members],
        healthy=healthy,
        prepare=prepare,
        complete=complete,
    )
