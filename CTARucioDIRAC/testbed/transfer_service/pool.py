"""Worker processes: started when needed, given one task at a time, killed when a deadline passes."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: A worker that had nothing to do for so long ends; storage connections age with it.
IDLE_SECONDS = 300.0
#: A worker ends after so many tasks, whatever libraries may leak.
TASKS_PER_WORKER = 200
#: Workers that make their first connections at a time.
COLD_WORKERS = 3


@dataclass(eq=False)
class Worker:
    """One process; ``task`` is what it does (None: nothing), ``deadline`` when it is killed (monotonic)."""

    process: subprocess.Popen[bytes]
    proxy: str
    task: Any = None
    deadline: float = 0.0
    buffer: bytes = b""
    done: int = 0
    idle_since: float = 0.0
    warm: bool = False  #: has been through its first conversation with storage


@dataclass(frozen=True)
class Message:
    """What a worker said about its task; ``content`` is None when it ended instead, for the given reason."""

    task: Any
    content: Mapping[str, Any] | None
    reason: str = ""


class Pool:
    """The workers, and a way to wait for any of them or for a wake-up from another thread.

    To be used by one thread, which must live as long as the workers (they end with it); only :meth:`wake` is for others.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._waker, self._alarm = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._alarm, False)
        self._selector.register(self._waker, selectors.EVENT_READ, None)
        self.workers: list[Worker] = []

    def wake(self) -> None:
        """End a :meth:`wait` in the other thread."""
        try:
            os.write(self._alarm, b"!")
        except BlockingIOError:
            return  # it is full of alarms

    def busy(self) -> list[Worker]:
        """Workers with a task."""
        return [worker for worker in self.workers if worker.task is not None]

    def full(self, proxy: str) -> bool:
        """Whether a new worker is needed for a credential, but too many are making their first connections.

        Those cost seconds of processor time each; all at once they would time out together.
        """
        idle = any(worker.task is None and worker.proxy == proxy for worker in self.workers)
        return not idle and sum(not worker.warm for worker in self.workers) >= COLD_WORKERS

    def assign(self, task: Any, proxy: str, content: Mapping[str, Any], seconds: float) -> None:
        """Give a task to an idle worker with the same proxy, or to a new one.

        Parameters
        ----------
        task : object
            Comes back with every message about it.
        proxy : str
            Path of the credential it acts with; workers are not shared between credentials.
        content : mapping
            The task as the worker reads it.
        seconds : float
            Deadline from now.
        """
        worker = next((w for w in self.workers if w.task is None and w.proxy == proxy), None) or self._start(proxy)
        worker.task, worker.deadline = task, time.monotonic() + seconds
        self.tell(task, {**content, "proxy": proxy})

    def tell(self, task: Any, content: Mapping[str, Any]) -> None:
        """Send something to the worker of a task; a worker that is gone is noticed by :meth:`wait`."""
        for worker in self.workers:
            if worker.task is task and worker.process.stdin:
                try:
                    worker.process.stdin.write(json.dumps(content).encode() + b"\n")
                    worker.process.stdin.flush()
                except BrokenPipeError:
                    return

    def kill(self, task: Any) -> None:
        """Kill the worker of a task; nothing more is heard of it."""
        for worker in self.workers:
            if worker.task is task:
                self._remove(worker)
                return

    def wait(self, seconds: float) -> Iterator[Message]:
        """What workers said within some time, as soon as there is anything; also ends by :meth:`wake`."""
        limit = min([worker.deadline - time.monotonic() for worker in self.busy()] + [seconds])
        for key, _ in self._selector.select(max(0.0, limit)):
            if key.data is None:
                os.read(self._waker, 4096)
            elif key.data in self.workers:
                yield from self._read(key.data)
        for worker in self.busy():
            if time.monotonic() > worker.deadline:
                self._remove(worker)
                yield Message(worker.task, None, "its deadline passed")
        for worker in list(self.workers):
            if worker.task is None and time.monotonic() - worker.idle_since > IDLE_SECONDS:
                self._remove(worker)

    def close(self) -> None:
        """Kill all workers."""
        for worker in list(self.workers):
            self._remove(worker)

    def _start(self, proxy: str) -> Worker:
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.transfer_process"],
            env={**os.environ, "X509_USER_PROXY": proxy},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        worker = Worker(process, proxy)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        self.workers.append(worker)
        return worker

    def _read(self, worker: Worker) -> Iterator[Message]:
        assert worker.process.stdout is not None
        data = os.read(worker.process.stdout.fileno(), 1 << 16)
        if not data:
            self._remove(worker)
            if worker.task is not None:
                yield Message(worker.task, None, f"its process ended with {worker.process.returncode}")
            return
        *lines, worker.buffer = (worker.buffer + data).split(b"\n")
        for line in lines:
            content, task = json.loads(line), worker.task
            worker.warm = True
            if "result" in content or "failure" in content:
                worker.task, worker.idle_since = None, time.monotonic()
                worker.done += 1
                if worker.done >= TASKS_PER_WORKER:
                    self._remove(worker)
            yield Message(task, content)

    def _remove(self, worker: Worker) -> None:
        assert worker.process.stdout is not None
        self.workers.remove(worker)
        self._selector.unregister(worker.process.stdout)
        worker.process.kill()
        worker.process.wait()
        worker.process.stdout.close()
        if worker.process.stdin:
            try:
                worker.process.stdin.close()
            except BrokenPipeError:
                return  # what it was not told any more
