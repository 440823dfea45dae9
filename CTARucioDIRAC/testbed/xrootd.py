"""XRootD storage: one server per RSE, root:// with GSI and davs:// with third-party copy on the same port.

Each server exports ``layout.storage(rse)``; the nearline endpoint gets what :mod:`.tape` adds. Every identity of the
testbed is mapped, and may do everything on disk storage, but for what is under an embargo (:func:`authorisation`); the
nearline endpoint does not rename (see :mod:`.tape`).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import shutil
import subprocess
from pathlib import Path

from . import environment, https, tape
from .layout import EMBARGO_READERS, EMBARGOED_SCOPE, HOST_DN, ROLES, RSES, TAPE, VO, Layout
from .service import NotReady, Service, TestbedError

#: XRootD privileges (``a`` is all of them): look up, read, write, insert, delete, and ``n``, rename.
DISK_PRIVILEGES = "a"
TAPE_PRIVILEGES = "lrwid"
NATIVE = Path(__file__).parent / "native"
#: Where the files of the embargoed scope are. Names that only begin like it are closed as well.
EMBARGOED_PATH = f"/{VO}/{EMBARGOED_SCOPE}"
PROGRAM = Path("/usr/bin/xrootd")
_REMEDY = "Install the system packages (`make system-packages`)."


def services(layout: Layout) -> list[Service]:
    """One XRootD server per RSE, and the robot of the nearline one.

    Parameters
    ----------
    layout : Layout
        Where; configuration is in ``xrootd/``, files in ``storage/<RSE>/``.

    Returns
    -------
    list of Service
        ``xrootd-<RSE>`` for each of :data:`.layout.RSES`, and ``tape-robot``.
    """
    return [_service(layout, rse) for rse in RSES] + tape.services(layout)


def identities() -> dict[str, str]:
    """Local user name by distinguished name: every role's user, and ``host``."""
    return {role.dn: role.user for role in ROLES.values()} | {HOST_DN: "host"}


def authorisation(privileges: str) -> str:
    """XRootD's table of who may do what: everything, but that what is under the embargo is for its readers.

    The first path of a line that a name begins with decides. Storage knows persons by their certificates, not their DIRAC
    groups: somebody who is in a reader's group and in another one, reads with either proxy.
    """
    outside = {role.user for name, role in ROLES.items() if role.group and name not in EMBARGO_READERS}
    return "".join(
        f"u {user} {f'{EMBARGOED_PATH} -a ' if user in outside else ''}/ {privileges}\n"
        for user in identities().values()
    )


def check(layout: Layout, rse: str) -> None:
    """Ask an endpoint for its root directory over HTTPS, with the host certificate.

    Raises
    ------
    NotReady
        When it answers anything but a listing.
    OSError
        When it does not answer.
    """
    status, _ = https.request(layout, layout.port(rse), "PROPFIND", "/", {"Depth": "0"})
    if status != 207:
        raise NotReady(f"PROPFIND / of {rse} answers {status}, not 207")


def configuration(layout: Layout, rse: str) -> str:
    """The server's configuration file.

    Parameters
    ----------
    layout : Layout
        The stack.
    rse : str
        One of :data:`.layout.RSES`.

    Returns
    -------
    str
        XRootD directives.
    """
    home, port = layout.root / "xrootd", layout.port(rse)
    key_pair = f"{layout.certs}/host.pem {layout.certs}/host.key"
    lines = [
        f"all.sitename {rse}",
        f"all.adminpath {layout.run}/xrootd",
        f"all.pidpath {layout.run}/xrootd",
        f"xrd.port {port}",
        "xrd.network norpipa nodnr",
        "xrd.sched mint 4 maxt 64 avlt 4",
        f"oss.localroot {layout.storage(rse)}",
        "all.export /",
        f"xrd.tls {key_pair}",
        f"xrd.tlsca certdir {layout.ca}",
        "# root://, with the caller's proxy delegated for third-party copies",
        "xrootd.seclib libXrdSec.so",
        f"sec.protocol gsi -certdir:{layout.ca} -cert:{layout.certs}/host.pem -key:{layout.certs}/host.key -crl:0"
        f" -gridmap:{home}/grid-mapfile -gmapopt:1 -dlgpxy:1 -exppxy:=creds",
        "sec.protbind * only gsi",
        "xrootd.chksum max 4 adler32 md5",
        "# an upload that is not closed by its client leaves nothing, and at once, so that it can be repeated",
        "ofs.persist auto hold 0",
        "ofs.tpc autorm fcreds gsi =X509_USER_PROXY pgm /usr/bin/xrdcp --server",
        "# davs://, with HTTP third-party copy (a macaroon authorises the other end)",
        f"xrd.protocol XrdHttp:{port} libXrdHttp.so",
        f"http.gridmap {home}/grid-mapfile",
        "http.exthandler xrdtpc libXrdHttpTPC.so",
        "http.exthandler xrdmacaroons libXrdMacaroons.so",
        f"macaroons.secretkey {home}/macaroon.key",
        "http.header2cgi Authorization authz",
        "http.listingdeny no",
        "# who may do what",
        "ofs.authlib libXrdMacaroons.so",
        "ofs.authorize 1",
        f"acc.authdb {home}/{_authorisation_name(rse)}",
    ]
    if rse == TAPE:
        lines += tape.directives(layout, _tape_plugin(layout))
    return "\n".join(lines) + "\n"


def _service(layout: Layout, rse: str) -> Service:
    variables = environment.service(layout, LD_PRELOAD=str(_preload(layout)), XrdSecGSISRVNAMES="*")
    if rse == TAPE:
        variables |= tape.variables(layout)
    return Service(
        name=f"xrootd-{rse}",
        argv=[str(PROGRAM), "-I", "v4", "-c", str(layout.root / "xrootd" / f"{rse}.cfg"), "-n", rse],
        env=variables,
        cwd=layout.run,
        ports=[layout.port(rse)],
        prepare=lambda: prepare(layout, rse),
        healthy=lambda: check(layout, rse),
        settings=lambda: configuration(layout, rse) + _tables(rse),
        deadline=20.0,
        stop_timeout=5.0,
    )


def prepare(layout: Layout, rse: str) -> None:
    """Write what the server of an RSE reads, and compile what it loads; a second call changes nothing.

    Raises
    ------
    TestbedError
        When XRootD or a compiler is missing.
    """
    home = layout.root / "xrootd"
    for directory in (home, layout.run / "xrootd", layout.storage(rse)):
        directory.mkdir(parents=True, exist_ok=True)
    _write(home / "grid-mapfile", _gridmap())
    _write(home / _authorisation_name(rse), authorisation(_privileges(rse)))
    if not (home / "macaroon.key").exists():
        _write(home / "macaroon.key", base64.b64encode(secrets.token_bytes(64)).decode() + "\n", mode=0o400)
    _compile(_preload(layout), NATIVE / "loopback.c", [])
    if rse == TAPE:
        text = _version()
        major, minor, patch = (int(part) for part in re.findall(r"\d+", text)[:3])
        stamp = [f"-DXRD_VERSION_NUMBER={major * 10000 + minor * 100 + patch}", f'-DXRD_VERSION_TEXT="{text}"']
        _compile(_tape_plugin(layout), NATIVE / "tapestat.c", stamp)
        tape.prepare(layout)
    _write(home / f"{rse}.cfg", configuration(layout, rse))


def _gridmap() -> str:
    return "".join(f'"{dn}" {user}\n' for dn, user in identities().items())


def _privileges(rse: str) -> str:
    return TAPE_PRIVILEGES if rse == TAPE else DISK_PRIVILEGES


def _tables(rse: str) -> str:
    return _gridmap() + authorisation(_privileges(rse))


def _authorisation_name(rse: str) -> str:
    return "authdb-tape" if rse == TAPE else "authdb-disk"


def _preload(layout: Layout) -> Path:
    return _built(layout, NATIVE / "loopback.c")


def _tape_plugin(layout: Layout) -> Path:
    return _built(layout, NATIVE / "tapestat.c")


def _built(layout: Layout, source: Path) -> Path:
    """Where the library made from a source file is; a changed source gets another name."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    return layout.root / "bin" / f"{source.stem}-{digest}.so"


def _compile(library: Path, source: Path, options: list[str]) -> None:
    if library.exists():
        return
    library.parent.mkdir(parents=True, exist_ok=True)
    if not (compiler := shutil.which("gcc") or shutil.which("cc")):
        raise TestbedError(f"{source.name}: no C compiler is installed. {_REMEDY}")
    temporary = library.with_suffix(f".{os.getpid()}.tmp")
    command = [compiler, "-shared", "-fPIC", "-O2", *options, "-o", str(temporary), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise TestbedError(f"{source.name} does not compile: {done.stderr.strip()[-600:]}. {_REMEDY}")
    temporary.replace(library)


def _version() -> str:
    try:
        done = subprocess.run([str(PROGRAM), "-v"], capture_output=True, text=True, timeout=30, check=False)
    except OSError as error:
        raise TestbedError(f"{PROGRAM} cannot be run ({error.strerror}). {_REMEDY}") from error
    text = (done.stdout + done.stderr).strip()
    if not re.fullmatch(r"v\d+\.\d+\.\d+\S*", text):
        raise TestbedError(f"{PROGRAM} -v says {text!r}, which is no version. {_REMEDY}")
    return text


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file in one step; several servers share some of them and may start at the same time."""
    if path.exists() and path.read_text() == text:
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.replace(path)
