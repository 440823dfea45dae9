"""All of Rucio's daemons that the testbed needs, in one process.

``python -m CTARucioDIRAC.testbed.rucio_daemons HEARTBEAT`` (Rucio's configuration comes from ``RUCIO_HOME``). Each
group of daemons has a thread, so that a slow deletion doesn't hold up transfers; each daemon runs alone in its round, so
that one that raises doesn't stop the others. ``HEARTBEAT`` is a JSON file, written after each round: per group when it
last went round and what its daemons raised. For what is patched in this process see :mod:`.rucio_patches`.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import rucio_patches
from .state import write_atomically

#: Pause between two looks for work, in seconds.
PAUSE = 0.5
#: A group goes round at least this often, whether there seems to be work or not.
ROUND_AT_LEAST_EVERY = 10.0
#: A group in which a daemon raised goes round again after this.
RETRY_AFTER = 2.0
#: There are no subscriptions, and nobody measures a tape's free space.
_AS_MEANT = ("No subscriptions defined", "requested for source_for_total_space")


@dataclass
class Group:
    """Daemons that run one after the other in a thread of their own.

    Attributes
    ----------
    name : str
        For the heartbeat.
    daemons : mapping
        Module below ``rucio.daemons`` → arguments of its ``run``.
    work : str
        SQL condition: whether there may be something to do. It only saves CPU; see :data:`ROUND_AT_LEAST_EVERY`.
    every : float
        Seconds from one round to the next, at least.
    """

    name: str
    daemons: Mapping[str, Mapping[str, Any]]
    work: str
    every: float = PAUSE
    errors: dict[str, str] = field(default_factory=dict)
    last_round: float = 0.0


_NOW = "timezone('utc', now())"
GROUPS = (
    Group(
        "judge",
        {"judge.injector": {}, "judge.evaluator": {}, "judge.cleaner": {}, "judge.repairer": {}},
        f"exists(select 1 from updated_dids) or exists(select 1 from rules where state in ('I', 'S') or expires_at < {_NOW})",
    ),
    Group(
        "conveyor",
        {
            "conveyor.preparer": {},
            "conveyor.submitter": {"group_bulk": 100, "group_policy": "src_dest"},
            "conveyor.poller": {"older_than": 0},
            "conveyor.finisher": {},
        },
        "exists(select 1 from requests)",
    ),
    Group(
        "deletion",
        {
            "undertaker.undertaker": {},
            "reaper.reaper": {"chunk_size": 100, "delay_seconds": 0},
            "badreplicas.necromancer": {},
            "badreplicas.minos": {},
        },
        f"exists(select 1 from replicas where tombstone < {_NOW}) or exists(select 1 from dids where expired_at < {_NOW}) "
        "or exists(select 1 from bad_replicas where state = 'B') or exists(select 1 from bad_pfns)",
        every=2.0,
    ),
    Group(
        "accounting",
        {
            "abacus.rse": {},
            "abacus.account": {},
            "abacus.collection_replica": {},
            "transmogrifier.transmogrifier": {},
        },
        "exists(select 1 from updated_rse_counters) or exists(select 1 from updated_account_counters) "
        "or exists(select 1 from updated_col_rep)",
        every=2.0,
    ),
)


def run(heartbeat: Path) -> None:
    """Go round until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    rucio_patches.ping_connections()
    rucio_patches.no_partition_wait()
    rucio_patches.check_schema_once()
    logging.basicConfig(
        stream=sys.stdout, format="%(asctime)s %(name)s %(levelname)s %(message)s", level=logging.WARNING
    )
    rucio_patches.leave_out_of_log(*_AS_MEANT)
    runs = {name: importlib.import_module(f"rucio.daemons.{name}").run for group in GROUPS for name in group.daemons}
    lock = threading.Lock()

    def beat() -> None:
        with lock:
            groups = {group.name: {"last_round": group.last_round, "errors": group.errors} for group in GROUPS}
            write_atomically(heartbeat, json.dumps({"pid": os.getpid(), "groups": groups}))

    threads = [
        threading.Thread(target=_go_round, args=(group, runs, beat, stop), name=group.name, daemon=True)
        for group in GROUPS
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(1.0):
        if dead := [thread.name for thread in threads if not thread.is_alive()]:
            raise SystemExit(f"the thread of {', '.join(dead)} ended")
    for thread in threads:
        thread.join(timeout=8.0)


def _go_round(
    group: Group, runs: Mapping[str, Callable[..., None]], beat: Callable[[], None], stop: threading.Event
) -> None:
    due = 0.0
    while not stop.is_set():
        if time.monotonic() >= due or _has_work(group):
            for name, arguments in group.daemons.items():
                if stop.is_set():
                    return
                try:
                    runs[name](once=True, **arguments)
                    group.errors.pop(name, None)
                except Exception as error:
                    logging.exception("%s failed; it runs again in the next round", name)
                    group.errors[name] = f"{type(error).__name__}: {error}"[:500]
            group.last_round = time.time()
            due = time.monotonic() + (RETRY_AFTER if group.errors else ROUND_AT_LEAST_EVERY)
            beat()
        stop.wait(group.every)


def _has_work(group: Group) -> bool:
    from rucio.db.sqla.session import get_engine
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with get_engine().connect() as connection:
            return bool(connection.execute(text(f"select {group.work}")).scalar())
    except SQLAlchemyError:
        return True  # the round itself will say what is wrong


if __name__ == "__main__":
    run(Path(sys.argv[1]))
