"""DIRAC's configuration of the testbed, written to files: the central one and a ``dirac.cfg`` for each instance.

What it says is in :mod:`.dirac_registry` (who), :mod:`.dirac_resources` (where) and :mod:`.dirac_systems` (with what).
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from .dirac_registry import local_client, operations, registry
from .dirac_resources import WORKER_CE, WORKER_QUEUE, WORKER_SITE, resources, site
from .dirac_systems import database_access, systems
from .dirac_tree import Tree, merged, text
from .layout import VO, Layout
from .mariadb import password

#: Name of the central configuration, which is also the name of its file.
CONFIGURATION = "Production"
#: Catalogues that DIRAC's file catalogue asks, in their order.
CATALOGS = ["RucioFileCatalog", "TSCatalog"]
#: Seconds after which a process looks for changes of the central configuration.
REFRESH_TIME = 60


def central(layout: Layout, catalogs: list[str] | None = None) -> Tree:
    """The central configuration: what the configuration service gives to all others."""
    return {
        "DIRAC": {
            "VirtualOrganization": VO,
            "Extensions": ["CTARucioDIRAC", "CTADIRAC"],
            "Configuration": {
                "Name": CONFIGURATION,
                "RefreshTime": str(REFRESH_TIME),
                "PropagationTime": str(REFRESH_TIME),
            },
        },
        "DiracX": {"DisabledVOs": VO},  # every call would ask for a token of DiracX otherwise
        "Registry": registry(),
        "Operations": operations(catalogs or CATALOGS),
        "Resources": resources(layout),
        "Systems": systems(layout),
    }


def server(layout: Layout) -> Tree:
    """``dirac.cfg`` of services, executors and agents; it has the database's password."""
    own: Tree = {
        "DIRAC": {
            "Configuration": {"Name": CONFIGURATION, "Master": "yes"},
            "Security": {
                "UseServerCertificate": "yes",
                "CertFile": str(layout.certs / "host.pem"),
                "KeyFile": str(layout.certs / "host.key"),
            },
        },
        "Systems": database_access(layout, password(layout)),
    }
    # the configuration service reads its port and its handler before it loads what it serves
    bootstrap: Tree = {"Systems": {"Configuration": systems(layout)["Configuration"]}}
    return merged(local_client(layout), own, bootstrap)


def client(layout: Layout) -> Tree:
    """``dirac.cfg`` of people and scripts."""
    return merged(local_client(layout), {"LocalSite": {"Site": "DIRAC.Client.local"}, "Scripts": _short_commands()})


def _short_commands() -> Tree:
    """What makes DIRAC's short commands (``dls``, ``dput`` ...) work from their second call in a shell on.

    They keep the central configuration for their shell's later calls, but load it only after the logging has asked
    /Operations for these two options, and what was found empty there stays so. What is said here is not asked there.
    """
    spec = find_spec("DIRAC")
    places = (spec.submodule_search_locations or []) if spec else []
    files = [file for place in places for file in (Path(place) / "Interfaces" / "scripts").glob("d[a-z]*.py")]
    names = sorted(file.stem for file in files if not file.stem.startswith("dirac_"))
    return {name: {"LogBackends": "stdout", "LogLevel": "NOTICE"} for name in names}


def worker(layout: Layout, name: str) -> Tree:
    """``dirac.cfg`` of one worker, as a pilot would have made it."""
    return merged(
        local_client(layout),
        {
            "LocalSite": {
                "Site": WORKER_SITE,
                "GridCE": WORKER_CE,
                "CEQueue": WORKER_QUEUE,
                "LocalSE": site(WORKER_SITE)["SE"],
                "SharedArea": str(layout.software),
                "CPUTimeLeft": "100000000",
                "CPUNormalizationFactor": "10",
                "CPUScalingFactor": "10",
                "NumberOfProcessors": "1",
                "MaxRAM": "4096",
                "LocalCE": "InProcess",
                "PilotReference": f"testbed-{name}",
            }
        },
    )


def worker_names(layout: Layout) -> list[str]:
    """The instances that are workers."""
    return [f"worker{number + 1}" for number in range(layout.workers)]


def configuration_file(layout: Layout) -> Path:
    """The file that the configuration service serves, and changes when an administrator commits changes to it."""
    return layout.dirac_root("server") / "etc" / f"{CONFIGURATION}.cfg"


def write(layout: Layout, catalogs: list[str] | None = None) -> None:
    """Write all configuration files; changes that an administrator committed stay until this generator says other.

    Parameters
    ----------
    layout : Layout
        The stack. MariaDB must have been prepared: its password is needed.
    catalogs : list of str, optional
        The file catalogues to ask, :data:`CATALOGS` by default.
    """
    generated = text(central(layout, catalogs))
    target = configuration_file(layout)
    last = target.with_suffix(".generated")
    if not target.exists() or _read(last) != generated:
        _write(target, generated)
        _write(last, generated)
    _write(layout.dirac_root("server") / "etc" / "dirac.cfg", text(server(layout)))
    write_client(layout)
    for name in worker_names(layout):
        write_worker(layout, name)


def write_client(layout: Layout) -> None:
    """Write the ``dirac.cfg`` of people and scripts."""
    _write(layout.dirac_root("client") / "etc" / "dirac.cfg", text(client(layout)))


def write_worker(layout: Layout, name: str) -> None:
    """Write the ``dirac.cfg`` of one worker anew; its JobAgent has put the time that it has left into it."""
    _write(layout.dirac_root(name) / "etc" / "dirac.cfg", text(worker(layout, name)))


def settings(layout: Layout, catalogs: list[str] | None = None) -> str:
    """All that the servers' processes read when they start, as generated; needs MariaDB's password."""
    return text(central(layout, catalogs)) + text(server(layout))


def worker_settings(layout: Layout, name: str, catalogs: list[str] | None = None) -> str:
    """All that a worker reads when it starts, as generated."""
    return text(central(layout, catalogs)) + text(worker(layout, name))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _write(path: Path, content: str) -> None:
    """Replace a file in one step, readable by its owner only: the server's has a password."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
    temporary.replace(path)
