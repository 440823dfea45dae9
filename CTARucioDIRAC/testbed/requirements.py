"""System packages that the stack needs, checked by what they install, and named as Debian names them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from .environment import SYSTEM_PATH
from .service import TestbedError

_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")

#: Group of services → Debian package → a program, or a library's file pattern below the library directories.
NEEDED: dict[str, dict[str, str]] = {
    "rucio": {"postgresql": "postgresql/*/bin/postgres"},
    "storage": {
        "xrootd-server": "xrootd",
        "xrootd-server-plugins": "*/libXrdHttp-?.so",
        "xrootd-plugins": "*/libXrdSecgsi-?.so",
        "xrootd-client": "xrdcp",
        "python3-gfal2": "python3/dist-packages/gfal2*.so",
        "gfal2-plugin-http": "*/gfal2-plugins/libgfal_plugin_http.so",
        "gfal2-plugin-xrootd": "*/gfal2-plugins/libgfal_plugin_xrootd.so",
        "gcc": "gcc",
    },
    "dirac": {"mariadb-server": "mariadbd"},
}


def missing(groups: Iterable[str]) -> list[str]:
    """Debian packages that the groups of services need and that are not installed."""
    return sorted(
        package for group in groups for package, evidence in NEEDED.get(group, {}).items() if not _installed(evidence)
    )


def check(groups: Iterable[str]) -> None:
    """Raise an error that names the missing packages, if any is.

    Raises
    ------
    TestbedError
        With the command that installs them.
    """
    if packages := missing(groups):
        raise TestbedError(
            f"system packages are missing: {', '.join(packages)}. Install them: apt-get install {' '.join(packages)}"
        )


def _installed(evidence: str) -> bool:
    if "/" not in evidence:
        return shutil.which(evidence, path=SYSTEM_PATH) is not None
    return any(next(Path(directory).glob(evidence), None) for directory in _LIBRARIES if Path(directory).is_dir())
