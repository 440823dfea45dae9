"""The service's memory: one SQLite database. After a kill, everything that was answered is in it."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from . import model
from .model import CANCELED_REASON, FINAL, Job, Transfer

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY, job_type TEXT NOT NULL, user_dn TEXT NOT NULL, vo TEXT NOT NULL, priority INTEGER NOT NULL,
    state TEXT NOT NULL, reason TEXT, submit_time TEXT NOT NULL, finish_time TEXT, params TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS transfers (
    file_id INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL REFERENCES jobs, file_index INTEGER NOT NULL,
    state TEXT NOT NULL, source TEXT NOT NULL, destination TEXT NOT NULL, checksum TEXT NOT NULL,
    user_filesize INTEGER NOT NULL, activity TEXT NOT NULL, metadata TEXT NOT NULL, stage INTEGER NOT NULL,
    token TEXT NOT NULL, owned INTEGER NOT NULL, cleanup TEXT NOT NULL, attempts INTEGER NOT NULL, kills INTEGER NOT NULL,
    not_before REAL NOT NULL, reason TEXT NOT NULL, recoverable INTEGER, filesize INTEGER, tx_duration REAL,
    start_time TEXT, finish_time TEXT, staging_start TEXT, staging_finished TEXT,
    archive_start_time TEXT, archive_finish_time TEXT);
CREATE INDEX IF NOT EXISTS transfers_job ON transfers (job_id, file_index);
CREATE INDEX IF NOT EXISTS transfers_open ON transfers (job_id)
    WHERE state NOT IN ('FINISHED', 'FAILED', 'CANCELED', 'NOT_USED') OR cleanup != '';
CREATE TABLE IF NOT EXISTS records (kind TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (kind, name));
"""
_OPEN = "(state NOT IN ('FINISHED', 'FAILED', 'CANCELED', 'NOT_USED') OR cleanup != '')"
_JOB = [field.name for field in fields(Job)]
_TRANSFER = [field.name for field in fields(Transfer)]
_BOOLEANS = ("stage", "owned", "recoverable")


def timestamp() -> str:
    """The present time, UTC, as the REST interface writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())


class Store:
    """Jobs, transfers and a few named records. Every method is one transaction, and safe across threads.

    Parameters
    ----------
    path : Path
        The database; made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """End all use."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _select(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    # --- jobs

    def add(self, job: Job, transfers: Sequence[Transfer]) -> bool:
        """Take a new job; False if there is one with its identifier already."""
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM jobs WHERE job_id = ?", (job.job_id,)).fetchone():
                return False
            _insert(connection, "jobs", _JOB, _job_row(job))
            for transfer in transfers:
                _insert(connection, "transfers", _TRANSFER[1:], _transfer_row(transfer)[1:])
        return True

    def job(self, job_id: str) -> Job | None:
        """A job, or None."""
        rows = self._select("SELECT * FROM jobs WHERE job_id = ?", (job_id,))
        return _job(rows[0]) if rows else None

    def jobs(self, states: Sequence[str] = ()) -> list[Job]:
        """All jobs, or those in the given states; oldest first."""
        marks = ",".join("?" * len(states))
        where = f"WHERE state IN ({marks})" if states else ""
        return [_job(row) for row in self._select(f"SELECT * FROM jobs {where} ORDER BY submit_time", states)]

    def transfers(self, job_id: str) -> list[Transfer]:
        """A job's transfers in order."""
        query = "SELECT * FROM transfers WHERE job_id = ? ORDER BY file_index, file_id"
        return [_transfer(row) for row in self._select(query, (job_id,))]

    def transfer(self, file_id: int) -> Transfer:
        """One transfer."""
        return _transfer(self._select("SELECT * FROM transfers WHERE file_id = ?", (file_id,))[0])

    def open_jobs(self) -> list[tuple[Job, list[Transfer]]]:
        """Jobs with anything left to do, the most urgent first, with all their transfers."""
        query = f"SELECT * FROM jobs WHERE job_id IN (SELECT DISTINCT job_id FROM transfers WHERE {_OPEN})"
        jobs = [_job(row) for row in self._select(query + " ORDER BY priority DESC, submit_time, job_id")]
        return [(job, self.transfers(job.job_id)) for job in jobs]

    def counts(self) -> dict[str, int]:
        """Number of transfers by state."""
        return {row[0]: row[1] for row in self._select("SELECT state, COUNT(*) FROM transfers GROUP BY state")}

    def change(self, file_id: int, **values: Any) -> Transfer:
        """Change a transfer that is not final yet, and whatever follows from it for its job.

        Returns
        -------
        Transfer
            As it is now; a final one is left alone.
        """
        with self._transaction() as connection:
            transfer = self.transfer(file_id)
            if transfer.state in FINAL:
                return transfer
            transfer = replace(transfer, **values)
            if transfer.state in FINAL and transfer.finish_time is None:
                transfer = replace(transfer, finish_time=timestamp())
            _update(connection, transfer)
            self._settle(connection, transfer.job_id)
            return transfer

    def tidied(self, file_id: int) -> None:
        """Nothing is left to do after the cancellation of a transfer."""
        with self._transaction() as connection:
            connection.execute("UPDATE transfers SET cleanup = '' WHERE file_id = ?", (file_id,))

    def cancel(self, job_id: str, file_ids: Sequence[int] | None = None) -> Job | None:
        """Cancel what is not final of a job, or of some of its transfers; returns the job, or None if unknown."""
        with self._transaction() as connection:
            for transfer in self.transfers(job_id):
                if transfer.state in FINAL or (file_ids is not None and transfer.file_id not in file_ids):
                    continue
                cleanup = "remove" if transfer.owned and transfer.state != "ARCHIVING" else ""
                if transfer.token and transfer.needs_staging:
                    cleanup = "abort"
                _update(
                    connection,
                    replace(
                        transfer, state="CANCELED", reason=CANCELED_REASON, cleanup=cleanup, finish_time=timestamp()
                    ),
                )
            self._settle(connection, job_id)
            return self.job(job_id)

    def prioritise(self, job_id: str, priority: int) -> Job | None:
        """Give a job another priority (1 to 5); returns it, or None if unknown."""
        with self._transaction() as connection:
            connection.execute("UPDATE jobs SET priority = ? WHERE job_id = ?", (min(5, max(1, priority)), job_id))
            return self.job(job_id)

    def resume(self) -> int:
        """After a restart: what was being copied is to be copied again; returns how many transfers."""
        running = [t for _, transfers in self.open_jobs() for t in transfers if t.state in ("ACTIVE", "READY")]
        for transfer in running:
            self.change(transfer.file_id, state="SUBMITTED")
        return len(running)

    def expire(self, days: float = 7.0) -> None:
        """Forget jobs that ended so long ago."""
        limit = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - days * 86400))
        with self._transaction() as connection:
            old = "SELECT job_id FROM jobs WHERE finish_time IS NOT NULL AND finish_time < ?"
            connection.execute(f"DELETE FROM transfers WHERE job_id IN ({old})", (limit,))
            connection.execute("DELETE FROM jobs WHERE finish_time IS NOT NULL AND finish_time < ?", (limit,))

    def _settle(self, connection: sqlite3.Connection, job_id: str) -> None:
        job, transfers = self.job(job_id), self.transfers(job_id)
        if job is None:
            return
        states = [transfer.state for transfer in transfers]
        for index in model.unused(job.job_type, states):
            transfers[index] = replace(transfers[index], state="NOT_USED", finish_time=timestamp())
            _update(connection, transfers[index])
        state = model.job_state(job.job_type, [transfer.state for transfer in transfers])
        ended = state in model.FINAL_JOB
        reason = next((t.reason for t in transfers if t.reason and t.state != "FINISHED"), None)
        connection.execute(
            "UPDATE jobs SET state = ?, reason = ?, finish_time = ? WHERE job_id = ?",
            (
                state,
                reason if ended and state != "FINISHED" else None,
                (job.finish_time or timestamp()) if ended else None,
                job_id,
            ),
        )

    # --- named records: bans, settings of storage, keys of delegations under way

    def put(self, kind: str, name: str, content: Any) -> None:
        """Keep a JSON-able record."""
        with self._transaction() as connection:
            connection.execute("REPLACE INTO records VALUES (?, ?, ?)", (kind, name, json.dumps(content)))

    def records(self, kind: str) -> dict[str, Any]:
        """All records of a kind by name."""
        rows = self._select("SELECT name, content FROM records WHERE kind = ?", (kind,))
        return {row[0]: json.loads(row[1]) for row in rows}

    def discard(self, kind: str, name: str) -> None:
        """Delete a record, if there is one."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM records WHERE kind = ? AND name = ?", (kind, name))


def _insert(connection: sqlite3.Connection, table: str, columns: Sequence[str], values: Sequence[Any]) -> None:
    marks = ",".join("?" * len(columns))
    connection.execute(f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks})", values)


def _update(connection: sqlite3.Connection, transfer: Transfer) -> None:
    assignments = ",".join(f"{name} = ?" for name in _TRANSFER[1:])
    connection.execute(
        f"UPDATE transfers SET {assignments} WHERE file_id = ?", (*_transfer_row(transfer)[1:], transfer.file_id)
    )


def _job_row(job: Job) -> list[Any]:
    return [json.dumps(job.params) if name == "params" else getattr(job, name) for name in _JOB]


def _job(row: sqlite3.Row) -> Job:
    return Job(**{name: json.loads(row[name]) if name == "params" else row[name] for name in _JOB})


def _transfer_row(transfer: Transfer) -> list[Any]:
    return [json.dumps(transfer.metadata) if name == "metadata" else getattr(transfer, name) for name in _TRANSFER]


def _transfer(row: sqlite3.Row) -> Transfer:
    values = {name: row[name] for name in _TRANSFER}
    values["metadata"] = json.loads(values["metadata"])
    for name in _BOOLEANS:
        values[name] = None if values[name] is None else bool(values[name])
    return Transfer(**values)
