"""The testbed's worker nodes: each is a JobAgent, as a pilot starts it, which runs one job after the other in itself.

When a JobAgent is killed, the job that it runs goes on, reports and ends on its own. The next start of the worker kills
what is left of it first, as a batch system kills the jobs of a pilot that died: DIRAC then declares the job Stalled,
soon Failed, and the transformation system gives its files to another job.
"""

from __future__ import annotations

from functools import partial

from .dirac_config import worker_names, worker_settings, write_worker
from .dirac_process import process
from .layout import Layout
from .service import Service

JOB_AGENT = "WorkloadManagement/JobAgent"


def services(layout: Layout, catalogs: list[str] | None = None) -> list[Service]:
    """One service ``dirac-worker<N>`` for each worker of the layout.

    Parameters
    ----------
    layout : Layout
        The stack; the workers act with the pilot's proxy and find software in ``layout.software``.
    catalogs : list of str, optional
        As in :func:`.dirac.services`.
    """
    return [
        process(
            layout,
            f"dirac-{name}",
            "worker",
            [JOB_AGENT],
            instance=name,
            variables={"X509_USER_PROXY": str(layout.proxy("pilot"))},
            options=["-o", "/DIRAC/Security/UseServerCertificate=no"],
            needs=("dirac-services",),
            prepare=partial(write_worker, layout, name),
            settings=partial(worker_settings, layout, name, catalogs),
        )
        for name in worker_names(layout)
    ]
