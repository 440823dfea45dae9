"""What the testbed changes in Rucio's code, in its own processes only; none of it changes what Rucio does to data.

==========================  ============================================================================
:func:`ping_connections`    server, daemons: a database connection is tried before it is used, so that a
                            database that was killed and came back costs no failed request
:func:`sort_without_geoip`  server: the default order of replicas looks for a GeoLite database, which is not
                            here, once per replica (3 ms each); they are sorted by name instead
:func:`no_partition_wait`   daemons: each start of a daemon waits 10 s for other instances to take their share
                            of the work; there is one instance
:func:`check_schema_once`   daemons: the schema's version is looked up at the start only, not in each round
:func:`parse_in_turn`       server: ``ast.literal_eval``, with which Rucio reads filters, fails now and then when
                            several threads call it (python/cpython#106905, mended in 3.11.5; Debian 12 has
                            3.11.2)
:func:`leave_out_of_log`    server, daemons: warnings, in each request or round, of what is so on purpose
==========================  ============================================================================
"""

from __future__ import annotations

import ast
import functools
import logging
import threading
from typing import Any


def ping_connections() -> None:
    """Let SQLAlchemy try each pooled connection before it hands it out; to be called before Rucio is imported.

    Raises
    ------
    RuntimeError
        When Rucio has its connections already (some of its modules make them while they are imported).
    """
    from rucio.db.sqla import session

    if session._ENGINE is not None:
        raise RuntimeError("Rucio was imported before ping_connections: its connections are made already")
    session.create_engine = functools.partial(session.create_engine, pool_pre_ping=True)


def sort_without_geoip() -> None:
    """Sort replicas by name where Rucio would ask a GeoIP database."""
    from rucio.core import replica_sorter

    replica_sorter.sort_geoip = lambda replicas, *_, **__: sorted(replicas)


def parse_in_turn() -> None:
    """Let one thread at a time read Python literals."""
    lock, original = threading.Lock(), ast.literal_eval

    def locked(text: Any) -> Any:
        with lock:
            return original(text)

    ast.literal_eval = locked


def no_partition_wait() -> None:
    """Start each daemon's work at once; to be called before the daemons are imported."""
    import rucio.daemons.common as common

    original = common.db_workqueue

    def without_waiting(*arguments: Any, **named: Any) -> Any:
        return original(*arguments, **(named | {"partition_wait_time": None}))

    common.db_workqueue = without_waiting


def leave_out_of_log(*texts: str) -> None:
    """Log no message that contains one of the texts; to be called when the log's handlers are there."""

    def wanted(record: logging.LogRecord) -> bool:
        return not any(text in record.getMessage() for text in texts)

    for handler in logging.getLogger().handlers:
        handler.addFilter(wanted)


def check_schema_once() -> None:
    """Look at the schema's version now and not again.

    Raises
    ------
    SystemExit
        When the database has another version than the code.
    """
    import rucio.db.sqla.util as database

    if database.is_old_db():
        raise SystemExit("Rucio's database has another schema version than the code: run `cta-rucio-testbed reset`")
    database.is_old_db = lambda: False
