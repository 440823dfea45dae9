"""Environments of the stack's processes and of its users' shells, made from scratch: nothing stray is inherited."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .layout import ROLES, VO, Layout
from .service import TestbedError

#: They replace the authorities that requests, curl or OpenSSL trust; with them the stack's own would be refused.
UNWANTED = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
#: Where DIRAC's short commands put files.
DEFAULT_SE = "PIC-DISK"
LOOPBACK = "localhost,127.0.0.1"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def service(layout: Layout, **more: str) -> dict[str, str]:
    """The complete environment of a service, without credentials.

    Parameters
    ----------
    layout : Layout
        The stack.
    **more : str
        Variables to add, such as ``X509_USER_PROXY``.

    Returns
    -------
    dict
        Variables by name.
    """
    return {
        "PATH": f"{layout.bin}:{SYSTEM_PATH}",
        "HOME": str(layout.root / "home"),
        "TMPDIR": str(layout.root / "tmp"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",
        # three quarters of the memory that glibc's per-thread arenas would take
        "MALLOC_ARENA_MAX": "2",
        "X509_CERT_DIR": str(layout.ca),
        "no_proxy": LOOPBACK,
        **_XROOTD,
        **more,
    }


#: The endpoints listen on 127.0.0.1 only; a third-party copy over root:// delegates the caller's proxy. XRootD's client
#: waits minutes for a server that is gone, and remembers it for half an hour; here it is back in seconds.
_XROOTD = {
    "XRD_NETWORKSTACK": "IPv4",
    "XrdSecGSIDELEGPROXY": "1",
    "XRD_CONNECTIONWINDOW": "10",
    "XRD_CONNECTIONRETRY": "3",
    "XRD_STREAMERRORWINDOW": "0",
    "XRD_STREAMTIMEOUT": "30",
    "XRD_REQUESTTIMEOUT": "120",
}


def client(layout: Layout, role: str) -> dict[str, str]:
    """What a shell or a test sets to act in a role (see :data:`layout.ROLES`).

    Parameters
    ----------
    layout : Layout
        The stack.
    role : str
        Name of the role.

    Returns
    -------
    dict
        Variables by name; to be added to an existing environment, after :data:`UNWANTED` was removed from it.

    Raises
    ------
    TestbedError
        When there is no such role.
    """
    if role not in ROLES:
        raise TestbedError(f"no role {role!r}; the roles are {', '.join(ROLES)}.")
    user = ROLES[role].user
    return {
        "DIRAC_ROOT_PATH": str(layout.dirac_root("client")),
        "RUCIO_HOME": str(layout.rucio_home(f"client-{role}")),
        "X509_CERT_DIR": str(layout.ca),
        "X509_USER_PROXY": str(layout.proxy(role)),
        "X509_USER_CERT": str(layout.certs / f"{user}.pem"),
        "X509_USER_KEY": str(layout.certs / f"{user}.key"),
        "DCOMMANDS_CONFIG_DIR": str(_dcommands(layout, role)),
        **_XROOTD,
    }


def prepare_clients(layout: Layout) -> None:
    """Write what DIRAC's short commands (``dls``, ``dget``, ...) keep per user, else they fail at their first call."""
    for role in ROLES.values():
        if role.group:
            directory = _dcommands(layout, role.name)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            home = f"/{VO}/user/{role.user[0]}/{role.user}"
            profile = {"group_name": role.group, "home_dir": home, "default_se": DEFAULT_SE}
            lines = ["[global]", f"default_profile = {role.group}", f"[{role.group}]"]
            lines += [f"{name} = {value}" for name, value in profile.items()]
            (directory / "dcommands.conf").write_text("\n".join(lines) + "\n")


def _dcommands(layout: Layout, role: str) -> Path:
    return layout.root / "dirac" / "dcommands" / role


def shell(layout: Layout, role: str, current: Mapping[str, str] = os.environ) -> str:
    """Lines for ``eval`` in a POSIX shell.

    Parameters
    ----------
    layout : Layout
        The stack.
    role : str
        Role to act in.
    current : mapping
        The shell's present environment, whose PATH and no_proxy are kept and extended (once).

    Returns
    -------
    str
        ``export`` and ``unset`` lines.
    """
    variables = client(layout, role)
    variables["PATH"] = _extended(str(layout.bin), current.get("PATH", SYSTEM_PATH), ":")
    for name in ("no_proxy", "NO_PROXY"):
        variables[name] = _extended(LOOPBACK, current.get(name, ""), ",")
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*lines, f"unset {' '.join(UNWANTED)}"])


def _extended(first: str, rest: str, separator: str) -> str:
    parts = first.split(separator)
    return separator.join(parts + [part for part in rest.split(separator) if part and part not in parts])


def run(command: list[str], variables: Mapping[str, str], purpose: str, timeout: float = 120.0) -> str:
    """Run a short command of the set-up in a service's environment.

    Returns
    -------
    str
        What it wrote to its standard output.

    Raises
    ------
    TestbedError
        When it fails or takes longer than ``timeout`` seconds; the message has the end of what it wrote.
    """
    try:
        done = subprocess.run(
            command,
            env=dict(variables),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"{purpose} took longer than {timeout:.0f} s: {' '.join(command[:4])}") from error
    if done.returncode:
        evidence = "\n".join(f"    {line[:300]}" for line in (done.stdout + done.stderr).strip().splitlines()[-12:])
        raise TestbedError(f"{purpose} failed with exit code {done.returncode}:\n{evidence}")
    return done.stdout
