"""PostgreSQL, the database of Rucio: a cluster of its own below the state directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from . import environment, state
from .layout import Layout
from .service import NotReady, Service, TestbedError

NAME = "postgres"
USER = "rucio"

# A killed process loses nothing that was written to the kernel, so fsync is off. What must stay on for that:
# synchronous_commit (else commits wait in the killed server's own memory) and full_page_writes (a kill can cut a page's
# write in two). A crash of the whole machine may lose the cluster: `reset` and `up` make a new one.
_CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
port = {port}
fsync = off
synchronous_commit = on
full_page_writes = on
max_connections = 100
shared_buffers = 64MB
max_worker_processes = 2
max_parallel_workers = 0
max_wal_senders = 0
wal_level = minimal
max_wal_size = 256MB
min_wal_size = 32MB
jit = off
autovacuum_naptime = 30s
log_min_messages = warning
"""


def services(layout: Layout) -> list[Service]:
    """The database server of the stack."""
    data = _data(layout)
    return [
        Service(
            name=NAME,
            argv=[str(binary("postgres")), "-D", str(data)],
            env=environment.service(layout),
            cwd=layout.root,
            ports=[layout.port("postgres")],
            prepare=lambda: _prepare(layout),
            healthy=lambda: _healthy(layout),
            settings=lambda: _CONFIGURATION,
            stop_signal=signal.SIGINT,  # "fast": rolls back what is open and ends
            stop_timeout=20,
        )
    ]


def binary(name: str) -> Path:
    """A program of the newest PostgreSQL server installed.

    Raises
    ------
    TestbedError
        When Debian's package is missing.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not installed:
        raise TestbedError("PostgreSQL's server is not installed: apt-get install postgresql")
    return installed[-1].with_name(name)


def url(layout: Layout, database: str) -> str:
    """SQLAlchemy's address of a database (with its password: write it only into files of mode 0600)."""
    password = state.secret(layout, "postgres")
    return f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{layout.port('postgres')}/{database}"


def connect(layout: Layout, database: str = "postgres") -> psycopg.Connection:
    """A connection that commits each statement."""
    return psycopg.connect(
        host="127.0.0.1",
        port=layout.port("postgres"),
        user=USER,
        password=state.secret(layout, "postgres"),
        dbname=database,
        connect_timeout=5,
        autocommit=True,
    )


def _data(layout: Layout) -> Path:
    return layout.root / "postgres"


def _healthy(layout: Layout) -> None:
    with connect(layout) as connection:
        if connection.execute("select 1").fetchone() != (1,):
            raise NotReady("select 1 gave another answer")


def _prepare(layout: Layout) -> None:
    data = _data(layout)
    if not (data / "PG_VERSION").exists():
        _initialise(layout, data)
    _end_orphans(data)
    # of a killed server; that its process is gone was seen above, whatever has its number now
    (data / "postmaster.pid").unlink(missing_ok=True)
    state.write_atomically(data / "postgresql.conf", _CONFIGURATION.format(port=layout.port("postgres")), 0o600)


def _initialise(layout: Layout, data: Path) -> None:
    unfinished = data.with_name(f"{data.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    state.secret(layout, "postgres")
    command = [str(binary("initdb")), "-D", str(unfinished), "-U", USER, "--no-locale", "-E", "UTF8", "--no-sync"]
    command += ["--auth=scram-sha-256", f"--pwfile={layout.root / 'secrets' / 'postgres'}"]
    done = subprocess.run(command, env=environment.service(layout), capture_output=True, text=True, check=False)
    if done.returncode:
        raise TestbedError(f"PostgreSQL's initdb failed: {done.stderr.strip() or done.stdout.strip()}")
    shutil.rmtree(data, ignore_errors=True)
    unfinished.rename(data)


def _end_orphans(data: Path, patience: float = 10.0) -> None:
    """Wait for server processes that outlive their killed parent: they end by themselves, at the latest when told."""
    end = time.monotonic() + patience
    told = signal.SIGQUIT
    while orphans := _server_processes(data):
        if time.monotonic() > end:
            told = signal.SIGKILL
        if time.monotonic() > end + patience:
            raise TestbedError(
                f"processes {orphans} still use {data} and cannot be ended. Stop them, then run `up` again."
            )
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, told)
        time.sleep(0.05)  # until they are gone or the deadline passes


def _server_processes(data: Path) -> list[int]:
    """PostgreSQL processes of this very cluster: each works in the cluster's directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").resolve() == data.resolve() and (entry / "exe").resolve().name == "postgres":
                    found.append(int(entry.name))
    return found
