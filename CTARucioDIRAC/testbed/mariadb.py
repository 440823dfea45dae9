"""A private MariaDB for DIRAC: its own data directory, loopback only, one user with a random password."""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .layout import Layout
from .service import NotReady, Service, TestbedError

#: DIRAC's databases, as ``System/Name``; the SQL comes from the installed packages (see :func:`sql_file`).
DATABASES = (
    "Accounting/AccountingDB",
    "DataManagement/DataIntegrityDB",
    "DataManagement/FTS3DB",
    "DataManagement/FileCatalogDB",
    "Framework/ProxyDB",
    "Framework/InstalledComponentsDB",
    "Production/ProductionDB",
    "RequestManagement/ReqDB",
    "ResourceStatus/ResourceManagementDB",
    "ResourceStatus/ResourceStatusDB",
    "StorageManagement/StorageManagementDB",
    "Transformation/TransformationDB",
    "WorkloadManagement/JobDB",
    "WorkloadManagement/JobLoggingDB",
    "WorkloadManagement/PilotAgentsDB",
    "WorkloadManagement/SandboxMetadataDB",
    "WorkloadManagement/TaskQueueDB",
)
#: Packages that may bring a database's SQL, the most specific first: DIRAC's order of extensions.
PACKAGES = ("CTARucioDIRAC", "CTADIRAC", "DIRAC")

USER = "Dirac"
HOST = "127.0.0.1"
#: Says which databases are complete: DIRAC's scripts drop and create tables, so each may run only once.
_LOADED = "testbed.loaded"


def services(layout: Layout) -> list[Service]:
    """The MariaDB server, with DIRAC's databases made as soon as it answers.

    Parameters
    ----------
    layout : Layout
        Where; data are in ``mariadb/``, the password in ``mariadb/password``.

    Returns
    -------
    list of Service
        One service, ``mariadb``.
    """
    return [
        Service(
            name="mariadb",
            argv=_server(layout),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(layout.root / "home"), "LANG": "C.UTF-8"},
            cwd=layout.root,
            ports=[layout.port("mariadb")],
            prepare=lambda: prepare(layout),
            healthy=lambda: check(layout),
            complete=lambda: create_databases(layout),
            deadline=60.0,
            stop_timeout=30.0,
        )
    ]


def data_directory(layout: Layout) -> Path:
    """Where the tables are."""
    return layout.root / "mariadb" / "data"


def password(layout: Layout) -> str:
    """The password of :data:`USER`.

    Raises
    ------
    TestbedError
        When the server was never prepared here, or the file was removed.
    """
    file = layout.root / "mariadb" / "password"
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise TestbedError(
            f"mariadb: no password in {file}. Run `cta-rucio-testbed reset` and then `cta-rucio-testbed up`."
        ) from error


def prepare(layout: Layout) -> None:
    """Make the data directory and the database user, unless both are there.

    Raises
    ------
    TestbedError
        When mariadb-server is not installed or cannot initialise the directory.
    """
    base = layout.root / "mariadb"
    if (base / "password").exists() and (data_directory(layout) / "mysql").is_dir():
        return
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = secrets.token_hex(24)
    # the server's own administrator has no password: it is whoever runs the stack, asked of the kernel over the socket
    _run(
        layout,
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data_directory(layout)}",
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={pwd.getpwuid(os.geteuid()).pw_name}",
            "--skip-test-db",
            "--skip-name-resolve",
        ],
    )
    statements = [
        "FLUSH PRIVILEGES;",  # in bootstrap mode there are no privileges until they are read
        f"CREATE OR REPLACE USER '{USER}'@'{HOST}' IDENTIFIED BY '{secret}';",
        f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'{HOST}';",
    ]
    _run(
        layout,
        ["mariadbd", "--no-defaults", f"--datadir={data_directory(layout)}", "--bootstrap"],
        "\n".join(statements) + "\n",
    )
    _write_private(base / "password", secret)  # last: it says that the rest is done


def check(layout: Layout) -> None:
    """Ask the server for its number of databases, as DIRAC would; raises :class:`NotReady` while there is no answer."""
    rows = query(layout, "SELECT COUNT(*) FROM information_schema.schemata")
    if not rows:
        raise NotReady("no answer to a query")


def query(
    layout: Layout, statement: str, arguments: Iterable[object] = (), database: str = ""
) -> list[tuple[Any, ...]]:
    """Run one statement as DIRAC's database user and return its rows.

    Raises
    ------
    MySQLdb.Error
        What the server says, or that it does not answer.
    """
    import MySQLdb  # type: ignore[import-untyped] # part of DIRAC's server packages: not needed by who only asks for the layout

    connection = MySQLdb.connect(
        host=HOST,
        port=layout.port("mariadb"),
        user=USER,
        password=password(layout),
        database=database,
        connect_timeout=5,
        read_timeout=60,
        autocommit=True,
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, tuple(arguments) or None)
            return list(cursor.fetchall())
    finally:
        connection.close()


def create_databases(layout: Layout) -> None:
    """Create the databases that are missing or were left half made, from the SQL of the installed packages.

    Raises
    ------
    TestbedError
        When a script fails; the message names it.
    """
    query(layout, "CREATE DATABASE IF NOT EXISTS testbed")
    query(layout, f"CREATE TABLE IF NOT EXISTS {_LOADED} (name VARCHAR(64) PRIMARY KEY)")
    there = {name for (name,) in query(layout, f"SELECT name FROM {_LOADED}")}
    missing = [database for database in DATABASES if database.split("/")[1] not in there]
    if not missing:
        return
    script = "".join(creation(name.split("/")[1], sql_file(name).read_text(encoding="utf-8")) for name in missing)
    _run(
        layout,
        ["mariadb", "--no-defaults", f"--host={HOST}", f"--port={layout.port('mariadb')}", f"--user={USER}"],
        script,
        {"MYSQL_PWD": password(layout)},
    )


def creation(name: str, sql: str) -> str:
    """The script that makes one database from nothing, and notes that it is complete as the last thing."""
    return (
        f"DROP DATABASE IF EXISTS `{name}`;\nCREATE DATABASE `{name}`;\nUSE `{name}`;\n{sql}\n"
        f"INSERT INTO {_LOADED} VALUES ('{name}');\n"
    )


def sql_file(database: str) -> Path:
    """The SQL of a database (``System/Name``), from the first of :data:`PACKAGES` that has it.

    Raises
    ------
    TestbedError
        When none of the installed packages has it.
    """
    system, name = database.split("/")
    for package in PACKAGES:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            file = Path(place) / f"{system}System" / "DB" / f"{name}.sql"
            if file.is_file():
                return file
    raise TestbedError(
        f"mariadb: no SQL for {name} in {', '.join(PACKAGES)}: this DIRAC has another set of databases. "
        "Install a supported version (see requirements/)."
    )


def _server(layout: Layout) -> list[str]:
    return [
        "/usr/sbin/mariadbd",
        "--no-defaults",
        f"--datadir={data_directory(layout)}",
        f"--bind-address={HOST}",
        f"--port={layout.port('mariadb')}",
        # relative to the data directory: absolute names of sockets may have 107 characters only
        "--socket=server.sock",
        "--pid-file=server.pid",
        "--skip-name-resolve",
        "--max-connections=300",
        "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=32M",
        # a killed server loses nothing; a power cut may lose the last second
        "--innodb-flush-log-at-trx-commit=2",
        "--performance-schema=OFF",
        "--aria-pagecache-buffer-size=8M",
        "--key-buffer-size=8M",
        "--character-set-server=utf8mb4",
        # what DIRAC is developed with
        "--sql-mode=STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
    ]


def _run(layout: Layout, command: list[str], text: str = "", extra: dict[str, str] | None = None) -> None:
    """Run one of MariaDB's own programs; its output goes to the log, its failure into the error."""
    env = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(layout.root / "home"),
        "LANG": "C.UTF-8",
        **(extra or {}),
    }
    try:
        done = subprocess.run(
            command, input=text, env=env, cwd=layout.root, capture_output=True, text=True, timeout=120, check=False
        )
    except FileNotFoundError as error:
        raise TestbedError(
            f"mariadb: the program {command[0]} is missing. Install Debian's mariadb-server (`make system-packages`)."
        ) from error
    output = (done.stdout + done.stderr).strip()
    with (layout.log / "mariadb.log").open("a", encoding="utf-8") as log:
        log.write(f"--- {command[0]}\n{output}\n")
    if done.returncode:
        raise TestbedError(
            f"mariadb: {command[0]} failed with exit code {done.returncode}: {output[-600:]}. "
            "Is the disk full, or the state directory on a file system without locks?"
        )


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text + "\n")
    temporary.replace(path)
