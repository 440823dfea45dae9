"""Root does not run the stack: started as root, the command runs itself again as the user that owns the directory."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .environment import SYSTEM_PATH
from .service import TestbedError

USER = "ctarucio"
#: Capabilities in setpriv's notation: none, or reading alone.
_NONE = "-all"
_READING = "-all,+dac_read_search"
_KEPT_VARIABLES = ("TERM", "COLUMNS", "LINES", "NO_COLOR", "LANG")
#: Options may come from variables whose names begin so.
_OPTIONS = "CTA_RUCIO_TESTBED_"


def leave_root(root: Path, arguments: Sequence[str], readable: Sequence[Path], explain: bool = False) -> None:
    """Run the command again as an unprivileged user, if this process is root's; does not return then.

    Parameters
    ----------
    root : Path
        State directory. Its owner is the user; if it doesn't exist or is root's and empty, that is ``ctarucio``, who is
        created if missing and becomes the owner.
    arguments : sequence of str
        Of the command line.
    readable : sequence of Path
        What the user has to be able to read: environment, package, software.
    explain : bool
        Whether to say so when the processes keep a capability.

    Raises
    ------
    TestbedError
        When that user cannot be made, or cannot read what it needs.
    """
    if os.geteuid() != 0:
        return
    user = _owner(root)
    _check_reach(user, root)
    capabilities = _capabilities_to_read(user, readable, explain)
    kept = {name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES or name.startswith(_OPTIONS)}
    variables = kept | {"PATH": SYSTEM_PATH, "HOME": "/nonexistent"}
    python = [sys.executable, "-P", "-m", "CTARucioDIRAC.testbed.cli"]
    sys.stdout.flush()
    os.execvpe("setpriv", [*_setpriv(user, capabilities), *python, *arguments], variables)


def _owner(root: Path) -> pwd.struct_passwd:
    if root.exists() and (owner := root.stat().st_uid):
        try:
            return pwd.getpwuid(owner)
        except KeyError:
            raise TestbedError(
                f"{root} belongs to user number {owner}, who does not exist. Choose another --dir."
            ) from None
    if root.exists() and any(root.iterdir()):
        raise TestbedError(f"{root} is root's and not empty: it is no testbed's directory. Choose another --dir.")
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        user = _create_user()
    _check_reach(user, next(parent for parent in root.parents if parent.exists()))
    if not root.parent.exists():
        root.parent.mkdir(parents=True)
        root.parent.chmod(0o1777)  # other users' stacks may stand beside this one
    root.mkdir(exist_ok=True)
    os.chown(root, user.pw_uid, user.pw_gid)
    return user


def _create_user() -> pwd.struct_passwd:
    print(f"creating the system user {USER}, as whom the stack runs", file=sys.stderr)
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    done = subprocess.run([*command, "--shell", "/usr/sbin/nologin", USER], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TestbedError(
            f"the system user {USER} cannot be created ({done.stderr.strip()}). Create it, or run as an ordinary user."
        )
    return pwd.getpwnam(USER)


def _setpriv(user: pwd.struct_passwd, capabilities: str) -> list[str]:
    if shutil.which("setpriv", path=SYSTEM_PATH) is None:
        raise TestbedError(
            "setpriv is missing, without which root cannot become an ordinary user: apt-get install util-linux"
        )
    group = grp.getgrgid(user.pw_gid).gr_gid
    command = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={group}", "--init-groups", "--no-new-privs"]
    command += [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", f"--bounding-set={capabilities}"]
    if capabilities != _NONE:
        # else access(2), with which many programs ask before they open a file, would not count the capability
        command.append("--securebits=+no_setuid_fixup")
    return command


def _can_read(user: pwd.struct_passwd, paths: Sequence[Path], capabilities: str) -> Path | None:
    """The first of the paths that the user cannot open, None if there is none."""
    script = 'for path in "$@"; do test -r "$path" || { echo "$path"; exit 1; }; done'
    command = [*_setpriv(user, capabilities), "/bin/sh", "-c", script, "sh", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode == 0:
        return None
    return Path(done.stdout.strip() or paths[0])  # it says nothing when setpriv itself was refused


def _check_reach(user: pwd.struct_passwd, root: Path) -> None:
    if _can_read(user, [root], _NONE):
        raise TestbedError(
            f"the user {user.pw_name}, as whom the stack runs, cannot enter {root} (it or a parent directory is closed). "
            "Choose a directory with --dir that every user can enter, such as one below /var/tmp."
        )


def _capabilities_to_read(user: pwd.struct_passwd, readable: Sequence[Path], explain: bool) -> str:
    """Capabilities, in setpriv's notation, that the user needs to read the environment: none, or reading alone."""
    paths = [path for path in readable if path.exists()]
    closed = _can_read(user, paths, _NONE)
    if closed is None:
        return _NONE
    # only for the user of our own: a directory that somebody else made must not get them a capability
    if user.pw_name == USER and _can_read(user, paths, _READING) is None:
        if explain:
            print(
                f"{closed} is closed to the user {user.pw_name}, as whom the stack runs: its processes keep the one "
                "capability CAP_DAC_READ_SEARCH (to read any file).",
                file=sys.stderr,
            )
        return _READING
    raise TestbedError(
        f"the user {user.pw_name}, as whom the stack runs, cannot read {closed}, and cannot be given the capability to. "
        "Open that path (chmod o+rx on it and its parents), or install the environment elsewhere, such as below /opt."
    )
