"""Rucio of the testbed: its configuration files, its server and its daemons as services."""

from __future__ import annotations

import configparser
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path

import requests

from . import certificates, environment, postgres, state
from .layout import ROLES, Layout
from .service import NotReady, Service

SERVER = "rucio-server"
DAEMONS = "rucio-daemons"
DATABASE = "rucio"
#: Role whose credentials the daemons use, and whose client configuration also has root's password.
ROBOT = "robot"
ROOT_USER = "rucio-root"
#: A group of daemons that has not been round for so long is not healthy (one round may delete 100 files).
STALE_AFTER = 120.0

Configuration = Mapping[str, Mapping[str, str]]


def services(layout: Layout) -> list[Service]:
    """Database server, Rucio's server and its daemons."""
    certificate, key = layout.certs / "host.pem", layout.certs / "host.key"
    module = [str(layout.bin / "python"), "-m", "CTARucioDIRAC.testbed.{}"]
    return [
        *postgres.services(layout),
        Service(
            name=SERVER,
            argv=[*module[:2], module[2].format("rucio_server"), str(layout.port("rucio"))]
            + [str(certificate), str(key), str(layout.ca_file)],
            env=server_environment(layout),
            cwd=layout.root,
            ports=[layout.port("rucio")],
            needs=[postgres.NAME],
            prepare=lambda: _prepare_server(layout),
            healthy=lambda: _server_healthy(layout),
            complete=lambda: _complete(layout),
            settings=lambda: text(server_configuration(layout, DATABASE)),
        ),
        Service(
            name=DAEMONS,
            argv=[*module[:2], module[2].format("rucio_daemons"), str(heartbeat(layout))],
            env=server_environment(layout),
            cwd=layout.root,
            needs=[SERVER],
            prepare=lambda: heartbeat(layout).unlink(missing_ok=True),
            healthy=lambda: _daemons_healthy(layout),
            settings=lambda: text(server_configuration(layout, DATABASE)),
        ),
    ]


def server_environment(layout: Layout, side: str = "server") -> dict[str, str]:
    """Environment of the server, the daemons and the set-up; the robot's proxy is what they show to others."""
    return environment.service(
        layout,
        RUCIO_HOME=str(layout.rucio_home(side)),
        X509_USER_PROXY=str(layout.proxy(ROBOT)),
        # names start with a slash: it arrives as %2F and must stay so until Rucio takes the path apart
        RUCIO_HTTPD_ENCODED_SLASHES_NO_DECODE="true",
    )


def heartbeat(layout: Layout) -> Path:
    """Where the daemons say when each group last went round."""
    return layout.run / f"{DAEMONS}.heartbeat.json"


def write_configuration(layout: Layout) -> None:
    """Write ``rucio.cfg`` for the server, for its set-up, and for the client of each role."""
    _write(layout, "server", server_configuration(layout, DATABASE))
    for role in ROLES:
        _write(layout, f"client-{role}", client_configuration(layout, role))


def server_configuration(layout: Layout, database: str) -> Configuration:
    """Configuration of server and daemons on a database."""
    url = postgres.url(layout, database)
    return {
        "common": {"logdir": str(layout.log), "loglevel": "WARNING"},
        "policy": _policy(_PACKAGES[layout.policy]),
        "core": {"default_mail_from": "rucio@localhost"},
        "database": {"default": url, "pool_size": "4", "max_overflow": "12", "pool_recycle": "3600"},
        "bootstrap": {
            "userpass_identity": ROOT_USER,
            "userpass_pwd": state.secret(layout, ROOT_USER),
            "userpass_email": "root@localhost",
            "x509_identity": ROLES[ROBOT].dn,
            "x509_email": "root@localhost",
            "gss_identity": "",
            "ssh_identity": "",
        },
        "alembic": {"cfg": str(_alembic(layout))},
        "conveyor": {
            "scheme": "root,davs",
            "transfertool": "fts3",
            "ftshosts": f"https://localhost:{layout.port('transfer')}",
            "cacert": str(layout.ca_file),
            "usercert": str(layout.proxy(ROBOT)),
        },
        # every RSE reaches every other directly
        "transfers": {"multihop_rse_expression": ""},
        "metadata": {"plugins": "rucio.core.did_meta_plugins.json_meta.JSONDidMeta"},
    }


def client_configuration(layout: Layout, role: str) -> Configuration:
    """Configuration of a role's client: its account, its proxy, the stack's server."""
    address = f"https://localhost:{layout.port('rucio')}"
    client = {
        "rucio_host": address,
        "auth_host": address,
        "auth_type": "x509_proxy",
        "account": ROLES[role].account,
        "client_x509_proxy": str(layout.proxy(role)),
        "client_cert": str(layout.certs / f"{ROLES[role].user}.pem"),
        "client_key": str(layout.certs / f"{ROLES[role].user}.key"),
        "ca_cert": str(layout.ca_file),
        "request_retries": "3",
    }
    if ROLES[role].account == "root":
        client |= {"username": ROOT_USER, "password": state.secret(layout, ROOT_USER)}
    policy = _policy(_PACKAGES["ctao"])  # permissions are the server's; all the rest is the same in both
    return {"common": {"logdir": str(layout.log), "loglevel": "WARNING"}, "policy": policy, "client": client}


#: Policy packages by the names in :data:`.layout.POLICIES`.
_PACKAGES = {"ctao": "bdms_rucio_policy", "overlay": "CTARucioDIRAC.rucio_policy"}


def _policy(package: str) -> dict[str, str]:
    return {
        "package": package,
        "permission": "generic",
        "schema": "generic",
        "lfn2pfn_algorithm_default": "ctao_bdms",
        "extract_scope": "ctao_bdms",
    }


# Rucio stamps its schema's version with alembic, which wants a file of its own
_ALEMBIC = """[alembic]
script_location = rucio.db.sqla:migrate_repo
sqlalchemy.url = {url}
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARN
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(levelname)s %(message)s
"""


def _alembic(layout: Layout) -> Path:
    return layout.rucio_home("bootstrap") / "etc" / "alembic.ini"


def text(configuration: Configuration) -> str:
    """A configuration as the content of ``rucio.cfg``."""
    parser = configparser.RawConfigParser()
    parser.read_dict(configuration)
    content = io.StringIO()
    parser.write(content)
    return content.getvalue()


def _write(layout: Layout, side: str, configuration: Configuration) -> None:
    directory = layout.rucio_home(side) / "etc"
    directory.mkdir(parents=True, exist_ok=True)
    state.write_atomically(directory / "rucio.cfg", text(configuration), 0o600)


def _prepare_server(layout: Layout) -> None:
    write_configuration(layout)
    certificates.ensure_proxy(layout, ROBOT)
    with postgres.connect(layout) as connection:
        databases = {name for (name,) in connection.execute("select datname from pg_database")}
        if DATABASE in databases:
            return
        # filled under another name and then renamed: a killed `up` leaves no half-filled database
        unfinished = f"{DATABASE}_unfinished"
        connection.execute(f"drop database if exists {unfinished} with (force)")
        connection.execute(f"create database {unfinished}")
        _write(layout, "bootstrap", server_configuration(layout, unfinished))
        url = postgres.url(layout, unfinished)
        state.write_atomically(_alembic(layout), _ALEMBIC.format(url=url), 0o600)
        _run_setup(layout, "bootstrap", side="bootstrap")
        connection.execute(f"alter database {unfinished} rename to {DATABASE}")


def _complete(layout: Layout) -> None:
    write_configuration(layout)  # the clients' may be another version's
    _run_setup(layout, "complete")


def _run_setup(layout: Layout, what: str, side: str = f"client-{ROBOT}") -> None:
    command = [str(layout.bin / "python"), "-m", "CTARucioDIRAC.testbed.rucio_setup", what, str(layout.root)]
    environment.run(command, server_environment(layout, side), f"setting up Rucio ({what})")


def _server_healthy(layout: Layout) -> None:
    """Ask for a token with the robot's proxy: TLS, the proxy's chain and the database are all needed for it."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(
            f"https://localhost:{layout.port('rucio')}/auth/x509_proxy",
            headers={"X-Rucio-Account": "root", "X-Rucio-AppID": "testbed"},
            cert=str(layout.proxy(ROBOT)),
            verify=str(layout.ca_file),
            timeout=5,
        )
    if answer.status_code != 200:
        raise NotReady(f"no token: HTTP {answer.status_code} {answer.headers.get('ExceptionMessage', '')}".strip())


def _daemons_healthy(layout: Layout) -> None:
    try:
        beat = json.loads(heartbeat(layout).read_text())
    except FileNotFoundError:
        raise NotReady("no group of daemons has gone round yet") from None
    for name, group in beat["groups"].items():
        age = time.time() - group["last_round"]
        if age > STALE_AFTER:
            raise NotReady(f"the daemons of group {name} went round {_since(group['last_round'], age)}")
        if group["errors"]:
            raise NotReady("; ".join(f"{daemon}: {error}" for daemon, error in group["errors"].items()))


def _since(last_round: float, age: float) -> str:
    return f"{age:.0f} s ago" if last_round else "never"
