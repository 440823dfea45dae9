"""What happens next: which transfers are staged, copied and watched, and what the workers' answers mean.

All state is in the store; the engine remembers only which tasks are under way, so a killed service goes on where the
store says. A copy is repeated safely: what the service itself began to write is verified or removed first.
"""

from __future__ import annotations

import calendar
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import failures
from .failures import Failure
from .model import FINAL, Job, Transfer, startable, storage_of
from .pool import Message, Pool
from .store import Store, timestamp

#: Files that one bring-online request, or one question about them, may have.
BATCH = 200
#: Seconds between two looks at files that are being recalled or archived, and between two questions about the recall.
POLL_SECONDS = 1.0
ASK_SECONDS = 10.0
#: Seconds that any task but a copy may take.
CONTROL_DEADLINE = 60.0
#: A copy may take so many seconds, and more for big files: nothing useful is slower than this many bytes a second.
COPY_SECONDS = 60.0
SLOWEST = 1e6
#: Attempts after the first, if the submission doesn't say; and repeats of copies whose process was killed.
RETRIES = 3
KILLS = 3
_TOO_LATE = Failure("STAGING", 110, "bring-online timeout has been exceeded", permanent=True)


@dataclass(frozen=True)
class Limits:
    """How many copies, and how many other tasks, may run at a time."""

    copies: int = 10
    control: int = 3


@dataclass(eq=False)
class Task:
    """Something that a worker does, for some transfers of one job."""

    kind: str
    job: Job
    transfers: Sequence[Transfer]
    report: Any = None


@dataclass
class Clock:
    """When a transfer was last looked at; forgotten at a restart."""

    looked: dict[int, float] = field(default_factory=dict)
    asked: dict[int, float] = field(default_factory=dict)

    def due(self, file_id: int) -> bool:
        """Whether it is time for another look."""
        return time.monotonic() - self.looked.get(file_id, 0.0) >= POLL_SECONDS


class Engine:
    """The service's main loop.

    Parameters
    ----------
    store : Store
        Its memory.
    proxy_of : callable
        Path of the credential to act with, by the distinguished name of who submitted.
    limits : Limits
        Tasks at a time.
    """

    def __init__(self, store: Store, proxy_of: Callable[[str], str], limits: Limits) -> None:
        self.store, self.proxy_of, self.limits = store, proxy_of, limits
        self.pool = Pool()
        self.tasks: list[Task] = []
        self.clock = Clock()
        self.alive = time.monotonic()
        self._stop = threading.Event()

    def run(self) -> None:
        """Work until :meth:`stop`; ends the workers."""
        self.store.expire()
        if count := self.store.resume():
            log(f"{count} transfers were under way when the service ended; they are done again")
        try:
            while not self._stop.is_set():
                for message in self.pool.wait(POLL_SECONDS / 2):
                    self.hear(message)
                self.schedule()
                self.alive = time.monotonic()
        finally:
            self.pool.close()

    def stop(self) -> None:
        """End :meth:`run`, from any thread."""
        self._stop.set()
        self.pool.wake()

    def wake(self) -> None:
        """Look at the store now: something was submitted or cancelled."""
        self.pool.wake()

    # --- starting

    def schedule(self) -> None:
        """Give up what was cancelled, and start what may start."""
        jobs = self.store.open_jobs()
        current = {transfer.file_id: transfer for _, transfers in jobs for transfer in transfers}
        for task in list(self.tasks):
            if task.kind != "tidy" and all(self._gone(current, transfer) for transfer in task.transfers):
                self.pool.kill(task)
                self.tasks.remove(task)
        taken = {transfer.file_id for task in self.tasks for transfer in task.transfers}
        blocked = {t.destination for task in self.tasks if task.kind == "copy" for t in task.transfers}
        blocked |= {transfer.destination for transfer in current.values() if transfer.cleanup}
        banned = self.store.records("ban")
        for job, transfers in jobs:
            free = [transfer for transfer in transfers if transfer.file_id not in taken]
            self._tidy(job, [transfer for transfer in free if transfer.cleanup])
            turns = startable(job.job_type, [transfer.state for transfer in transfers])
            mine = {transfers[index].file_id for index in turns}
            ready = [transfer for transfer in free if transfer.file_id in mine and not transfer.cleanup]
            self._watch(job, ready)
            ready = [t for t in ready if not {storage_of(t.source), storage_of(t.destination)} & banned.keys()]
            self._stage(job, ready)
            self._copy(job, ready, blocked, last_index=transfers[-1].file_index)

    @staticmethod
    def _gone(current: Mapping[int, Transfer], transfer: Transfer) -> bool:
        now = current.get(transfer.file_id)
        return now is None or now.state in FINAL

    def _running(self, copies: bool) -> int:
        return sum((task.kind == "copy") == copies for task in self.tasks)

    def _assign(self, task: Task, content: Mapping[str, Any], seconds: float = CONTROL_DEADLINE) -> None:
        self.tasks.append(task)
        self.pool.assign(task, self.proxy_of(task.job.user_dn), content, seconds)

    def _tidy(self, job: Job, transfers: Iterable[Transfer]) -> None:
        for batch in _batches(transfers, lambda transfer: transfer.token or transfer.destination):
            if self._running(copies=False) < self.limits.control:
                first = batch[0]
                content: dict[str, Any] = {"op": "remove", "destination": first.destination}
                if first.cleanup == "abort":
                    content = {"op": "abort", "urls": [one.source for one in batch], "token": first.token}
                self._assign(Task("tidy", job, batch), content)

    def _stage(self, job: Job, ready: Iterable[Transfer]) -> None:
        wanted = []
        for transfer in ready:
            if not transfer.needs_staging or transfer.state not in ("STAGING", "SUBMITTED"):
                continue
            if _age(transfer.staging_start) > job.seconds("bring_online"):
                self._end(transfer, _TOO_LATE)
            elif transfer.not_before <= time.time():
                wanted.append(transfer)
        for batch in _batches(wanted, lambda transfer: storage_of(transfer.source)):
            if self._running(copies=False) >= self.limits.control:
                return
            started = timestamp()
            batch = [
                self.store.change(t.file_id, state="STAGING", staging_start=t.staging_start or started) for t in batch
            ]
            pin, patience = job.seconds("copy_pin_lifetime") or 3600, job.seconds("bring_online")
            urls = [transfer.source for transfer in batch]
            self._assign(Task("stage", job, batch), {"op": "stage", "urls": urls, "pin": pin, "timeout": patience})

    def _watch(self, job: Job, ready: Iterable[Transfer]) -> None:
        """Look again at what is being recalled or archived."""
        due = [transfer for transfer in ready if self.clock.due(transfer.file_id)]
        for batch in _batches([t for t in due if t.state == "STARTED"], lambda transfer: transfer.token):
            if self._running(copies=False) >= self.limits.control:
                return
            first = batch[0].file_id
            ask = time.monotonic() - self.clock.asked.setdefault(first, time.monotonic()) >= ASK_SECONDS
            if ask:
                self.clock.asked[first] = time.monotonic()
            urls = [transfer.source for transfer in batch]
            content = {"op": "poll_stage", "urls": urls, "token": batch[0].token, "ask": ask}
            self._assign(Task("poll_stage", job, batch), content, CONTROL_DEADLINE + len(batch))
        for batch in _batches(
            [t for t in due if t.state == "ARCHIVING"], lambda transfer: storage_of(transfer.destination)
        ):
            if self._running(copies=False) >= self.limits.control:
                return
            urls = [transfer.destination for transfer in batch]
            self._assign(Task("poll_archive", job, batch), {"op": "poll_archive", "urls": urls})

    def _copy(self, job: Job, ready: Iterable[Transfer], blocked: set[str], last_index: int) -> None:
        for transfer in ready:
            if self._running(copies=True) >= self.limits.copies or self.pool.full(self.proxy_of(job.user_dn)):
                return
            waits = transfer.state not in ("SUBMITTED", "READY") or transfer.needs_staging
            if waits or transfer.not_before > time.time() or transfer.destination in blocked:
                continue
            blocked.add(transfer.destination)
            transfer = self.store.change(
                transfer.file_id, state="ACTIVE", start_time=transfer.start_time or timestamp()
            )
            seconds = job.seconds("timeout") or COPY_SECONDS + transfer.user_filesize / SLOWEST
            content = {
                "op": "copy",
                "source": transfer.source,
                "destination": transfer.destination,
                "checksum": transfer.checksum,
                "filesize": transfer.user_filesize,
                "verify": job.verify(),
                "overwrite": job.may_overwrite(transfer, last_index),
                "owned": transfer.owned,
                "report": bool(job.params.get("dst_file_report")),
                "timeout": seconds,
            }
            self._assign(Task("copy", job, [transfer]), content, seconds)

    # --- answers

    def hear(self, message: Message) -> None:
        """Take a worker's answer."""
        task: Task = message.task
        if task is None or task not in self.tasks:
            return
        content = message.content
        if content is not None and "prepared" in content:
            self.store.change(task.transfers[0].file_id, owned=True)
            self.pool.tell(task, {"go": True})
        elif content is not None and "report" in content:
            task.report = content["report"]
        else:
            self.tasks.remove(task)
            for transfer in task.transfers:
                self.clock.looked[transfer.file_id] = time.monotonic()
            if content is None:
                self._killed(task, message.reason)
            elif "failure" in content:
                self._failed_task(task, Failure(**content["failure"]))
            else:
                answer: dict[str, Callable[[Task, Mapping[str, Any]], None]]
                answer = {"copy": self._copied, "stage": self._staging, "poll_stage": self._recalled}
                answer |= {"poll_archive": self._archived, "tidy": self._tidied}
                answer[task.kind](task, content["result"])

    def _copied(self, task: Task, result: Mapping[str, Any]) -> None:
        archive = task.job.seconds("archive_timeout") > 0
        state = {"state": "ARCHIVING", "archive_start_time": timestamp()} if archive else {"state": "FINISHED"}
        self.store.change(
            task.transfers[0].file_id,
            filesize=result["filesize"],
            tx_duration=result["tx_duration"],
            reason="",
            recoverable=None,
            **state,
        )

    def _staging(self, task: Task, result: Mapping[str, Any]) -> None:
        for transfer in task.transfers:
            if transfer.source in result["failed"]:
                self._fail(task.job, transfer, Failure("STAGING", *result["failed"][transfer.source]))
            elif transfer.source in result["online"]:
                self._online(transfer)
            else:
                self.store.change(transfer.file_id, state="STARTED", token=result["token"])

    def _online(self, transfer: Transfer) -> None:
        only_staging = transfer.source == transfer.destination
        self.store.change(
            transfer.file_id,
            state="FINISHED" if only_staging else "SUBMITTED",
            staging_finished=timestamp(),
            start_time=timestamp() if only_staging else None,
        )

    def _recalled(self, task: Task, result: Mapping[str, Any]) -> None:
        patience = task.job.seconds("bring_online")
        for transfer in task.transfers:
            if transfer.source in result["online"]:
                self._online(transfer)
            elif transfer.source in result["failed"]:
                code, text = result["failed"][transfer.source]
                self._fail(task.job, transfer, Failure("STAGING", code, text))
            elif _age(transfer.staging_start) > patience:
                self._end(transfer, _TOO_LATE)

    def _archived(self, task: Task, result: Mapping[str, Any]) -> None:
        patience = task.job.seconds("archive_timeout")
        for transfer in task.transfers:
            if transfer.destination in result["archived"]:
                self.store.change(transfer.file_id, state="FINISHED", archive_finish_time=timestamp())
            elif transfer.destination in result["failed"]:
                code, text = result["failed"][transfer.destination]
                self._end(transfer, Failure("ARCHIVING", code, text, permanent=True))
            elif _age(transfer.archive_start_time) > patience:
                self._end(transfer, Failure("ARCHIVING", 110, "archive timeout has been exceeded", permanent=True))

    def _tidied(self, task: Task, _result: Mapping[str, Any]) -> None:
        for transfer in task.transfers:
            self.store.tidied(transfer.file_id)

    # --- failures

    def _killed(self, task: Task, reason: str) -> None:
        log(f"{task.kind} of {task.transfers[0].source} and {len(task.transfers) - 1} others: {reason}")
        if task.kind == "copy":
            transfer = self.store.transfer(task.transfers[0].file_id)
            failure = Failure("TRANSFER", 110, f"The transfer process was killed: {reason}", permanent=False)
            if transfer.kills < KILLS:
                again = {"state": "SUBMITTED", "kills": transfer.kills + 1, "not_before": 0.0}
                self.store.change(transfer.file_id, **again)
            else:
                self._end(transfer, failure)
        elif task.kind == "tidy":
            self._tidied(task, {})
        # what was asked of a nearline endpoint is asked again

    def _failed_task(self, task: Task, failure: Failure) -> None:
        log(f"{task.kind} of {task.transfers[0].source}: {failure.reason}")
        if task.kind == "tidy":
            self._tidied(task, {})
        elif task.kind in ("copy", "stage"):
            for transfer in task.transfers:
                if task.report is not None and isinstance(transfer.metadata, dict):
                    metadata = {**transfer.metadata, "dst_file": task.report}
                    transfer = self.store.change(transfer.file_id, metadata=metadata)
                self._fail(task.job, transfer, failure)

    def _fail(self, job: Job, transfer: Transfer, failure: Failure) -> None:
        """Try again later, or end."""
        transfer = self.store.transfer(transfer.file_id)
        attempts = transfer.attempts + 1
        retries = int(job.params.get("retry") or 0)
        if not failure.recoverable or attempts > (retries if retries > 0 else RETRIES):
            self._end(transfer, failure)
            return
        values: dict[str, Any] = {"state": "SUBMITTED"}
        if transfer.stage and (transfer.needs_staging or failure.offline):
            values = {"state": "STAGING", "token": "", "staging_finished": None}
        pause = job.seconds("retry_delay") or failures.delay(attempts)
        reason = {"reason": failure.reason, "attempts": attempts, "not_before": time.time() + pause}
        self.store.change(transfer.file_id, **values, **reason)

    def _end(self, transfer: Transfer, failure: Failure) -> None:
        self.store.change(transfer.file_id, state="FAILED", reason=failure.reason, recoverable=failure.recoverable)


def log(text: str) -> None:
    """One line into the service's log."""
    sys.stderr.write(f"{timestamp()} {text}\n")
    sys.stderr.flush()


def _age(moment: str | None) -> float:
    """Seconds since a time as :func:`.store.timestamp` writes it."""
    if moment is None:
        return 0.0
    return time.time() - calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%S"))


def _batches(transfers: Iterable[Transfer], key: Callable[[Transfer], str]) -> list[list[Transfer]]:
    """Groups of transfers with the same key, none bigger than :data:`BATCH`."""
    groups: dict[str, list[Transfer]] = {}
    for transfer in transfers:
        groups.setdefault(key(transfer), []).append(transfer)
    return [group[i : i + BATCH] for group in groups.values() for i in range(0, len(group), BATCH)]
