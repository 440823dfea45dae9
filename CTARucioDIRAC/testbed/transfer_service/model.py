"""Jobs and transfers as FTS3 names them, and the rules by which their states follow from each other. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: States that nothing leaves.
FINAL = frozenset({"FINISHED", "FAILED", "CANCELED", "NOT_USED"})
FINAL_JOB = frozenset({"FINISHED", "FAILED", "CANCELED", "FINISHEDDIRTY"})
#: Job types: independent files; one file with several sources; hops of one path.
NORMAL, MULTI_SOURCE, MULTI_HOP = "N", "R", "H"
CANCELED_REASON = "Job canceled by the user"


@dataclass(frozen=True)
class Transfer:
    """One file from one source to one destination.

    Times are UTC, ``YYYY-MM-DDTHH:MM:SS``; sizes are bytes.

    Attributes
    ----------
    owned : bool
        This service has begun to write the destination: what is there may be completed, verified or removed.
    cleanup : str
        What is left to do after a cancellation: ``remove`` (the destination), ``abort`` (the recall), or nothing.
    attempts, kills : int
        How often it failed, and how often its process was killed.
    not_before : float
        Seconds since 1970 before which it is not tried again.
    """

    file_id: int
    job_id: str
    file_index: int
    state: str
    source: str
    destination: str
    checksum: str = ""
    user_filesize: int = 0
    activity: str = "default"
    metadata: Any = None
    stage: bool = False
    token: str = ""
    owned: bool = False
    cleanup: str = ""
    attempts: int = 0
    kills: int = 0
    not_before: float = 0.0
    reason: str = ""
    recoverable: bool | None = None
    filesize: int | None = None
    tx_duration: float | None = None
    start_time: str | None = None
    finish_time: str | None = None
    staging_start: str | None = None
    staging_finished: str | None = None
    archive_start_time: str | None = None
    archive_finish_time: str | None = None

    @property
    def needs_staging(self) -> bool:
        """Whether the source must be brought online first, and is not yet."""
        return self.stage and self.staging_finished is None


@dataclass(frozen=True)
class Job:
    """What was submitted in one request."""

    job_id: str
    job_type: str
    user_dn: str
    vo: str
    priority: int
    state: str = "SUBMITTED"
    reason: str | None = None
    submit_time: str = ""
    finish_time: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def seconds(self, name: str) -> int:
        """A duration among the parameters; 0 if it is absent, negative or null."""
        return max(0, int(self.params.get(name) or 0))

    def may_overwrite(self, transfer: Transfer, last_index: int) -> str:
        """``yes``, ``no``, or ``on_disk``: only what is not on tape yet."""
        if self.params.get("overwrite"):
            return "yes"
        if self.params.get("overwrite_hop") and transfer.file_index < last_index:
            return "yes"
        return "on_disk" if self.params.get("overwrite_when_only_on_disk") else "no"

    def verify(self) -> str:
        """Where checksums are compared: ``both``, ``source``, ``target`` or ``none``."""
        asked = self.params.get("verify_checksum")
        return {True: "both", False: "none", None: "none"}.get(asked, str(asked))


def job_state(job_type: str, states: Sequence[str]) -> str:
    """A job's state, from those of its transfers in order.

    Parameters
    ----------
    job_type : str
        One of :data:`NORMAL`, :data:`MULTI_SOURCE`, :data:`MULTI_HOP`.
    states : sequence of str
        At least one.

    Returns
    -------
    str
        Final exactly when all transfers are.
    """
    if not FINAL.issuperset(states):
        for state, shown in (
            ("ACTIVE", "ACTIVE"),
            ("ARCHIVING", "ARCHIVING"),
            ("STARTED", "STAGING"),
            ("STAGING", "STAGING"),
        ):
            if state in states:
                return shown
        return "ACTIVE" if FINAL & set(states) else "SUBMITTED"
    if job_type == MULTI_SOURCE:
        return next((state for state in ("FINISHED", "CANCELED") if state in states), "FAILED")
    if all(state == "FINISHED" for state in states):
        return "FINISHED"
    if "CANCELED" in states:
        return "CANCELED"
    return "FINISHEDDIRTY" if "FINISHED" in states and job_type == NORMAL else "FAILED"


def unused(job_type: str, states: Sequence[str]) -> list[int]:
    """Positions of the transfers that are not needed any more, given the others' states.

    Of several sources one is enough; after a failed hop, no further hop makes sense.
    """
    if job_type == MULTI_SOURCE and "FINISHED" in states:
        return [index for index, state in enumerate(states) if state not in FINAL]
    if job_type == MULTI_HOP:
        broken = next((index for index, state in enumerate(states) if state in FINAL and state != "FINISHED"), None)
        if broken is not None:
            return [index for index, state in enumerate(states) if index > broken and state not in FINAL]
    return []


def startable(job_type: str, states: Sequence[str]) -> list[int]:
    """Positions of the transfers whose turn it is: all, the first source that did not fail, or the next hop."""
    if job_type == NORMAL:
        return [index for index, state in enumerate(states) if state not in FINAL]
    if job_type == MULTI_SOURCE and "FINISHED" in states:
        return []
    for index, state in enumerate(states):
        if state not in FINAL:
            return [index]
        if job_type == MULTI_HOP and state != "FINISHED":
            return []
    return []


def storage_of(url: str) -> str:
    """``scheme://host`` of a URL, as bans name storage."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.split('/', 1)[0].rsplit('@', 1)[-1].split(':', 1)[0]}"


def job_view(job: Job) -> dict[str, Any]:
    """A job as the REST interface shows it, without its transfers."""
    return {
        "job_id": job.job_id,
        "job_state": job.state,
        "job_type": job.job_type,
        "user_dn": job.user_dn,
        "vo_name": job.vo,
        "priority": job.priority,
        "submit_time": job.submit_time,
        "job_finished": job.finish_time,
        "reason": job.reason,
        "retry": job.params.get("retry") or 0,
        "job_metadata": job.params.get("job_metadata") or {},
        "verify_checksum": job.verify(),
        "overwrite_flag": bool(job.params.get("overwrite")),
        "bring_online": job.params.get("bring_online") or -1,
        "copy_pin_lifetime": job.params.get("copy_pin_lifetime") or -1,
        "cancel_job": job.state == "CANCELED",
    }


def transfer_view(transfer: Transfer, vo: str) -> dict[str, Any]:
    """A transfer as the REST interface shows it."""
    size, duration = transfer.filesize, transfer.tx_duration
    return {
        "file_id": transfer.file_id,
        "job_id": transfer.job_id,
        "vo_name": vo,
        "file_index": transfer.file_index,
        "file_state": transfer.state,
        "source_surl": transfer.source,
        "dest_surl": transfer.destination,
        "source_se": storage_of(transfer.source),
        "dest_se": storage_of(transfer.destination),
        "checksum": transfer.checksum or None,
        "user_filesize": transfer.user_filesize,
        "filesize": size,
        "transferred": size or 0,
        "tx_duration": duration,
        "throughput": round(size / 2**20 / max(duration, 0.001), 3) if size and duration else None,
        "activity": transfer.activity,
        "file_metadata": transfer.metadata,
        "reason": transfer.reason,
        "recoverable": transfer.recoverable,
        "retry": transfer.attempts + transfer.kills,
        "start_time": transfer.start_time,
        "finish_time": transfer.finish_time,
        "staging_start": transfer.staging_start,
        "staging_finished": transfer.staging_finished,
        "archive_start_time": transfer.archive_start_time,
        "archive_finish_time": transfer.archive_finish_time,
    }
