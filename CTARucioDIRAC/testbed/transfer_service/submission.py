"""From the body of a submission to a job and its transfers. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterator, Mapping
from typing import Any
from urllib.parse import urlparse

from .model import MULTI_HOP, MULTI_SOURCE, NORMAL, Job, Transfer, storage_of

#: Namespace of identifiers that a client can compute in advance (``id_generator=deterministic``).
BASE_ID = uuid.UUID("01874efb-4735-4595-bc9c-591aef8240c9")
SCHEMES = ("root", "xroot", "davs", "https", "http", "dav", "file")


class Refused(Exception):
    """A request that cannot be carried out; the status goes into the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def parse(body: Any, dn: str, vo: str, now: str, banned: Container[str]) -> tuple[Job, list[Transfer]]:
    """Check a submission.

    Parameters
    ----------
    body : object
        The JSON document: ``files`` (each with ``sources`` and ``destinations``) and ``params``.
    dn, vo : str
        Who submits.
    now : str
        Time of submission.
    banned : container of str
        Storage (``scheme://host``) that takes no part at present.

    Returns
    -------
    tuple of Job and list of Transfer
        The transfers' ``file_id`` is 0; the store numbers them.

    Raises
    ------
    Refused
        When it cannot be understood, or names banned storage.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("files"), list) or not body["files"]:
        raise Refused(400, "No transfers or staging specified: `files` must be a list with at least one file.")
    params = dict(body.get("params") or {})
    files = body["files"]
    kind = _kind(params, files)
    job_id = _job_id(params, vo)
    priority = int(params.get("priority") or 3)
    job = Job(job_id, kind, dn, vo, min(5, max(1, priority)), submit_time=now, params=params)
    transfers = list(_transfers(job, files, banned))
    state = "STAGING" if transfers[0].stage else "SUBMITTED"
    return Job(job_id, kind, dn, vo, job.priority, state=state, submit_time=now, params=params), transfers


def _kind(params: Mapping[str, Any], files: list[Any]) -> str:
    several = any(len(_urls(file, "sources")) > 1 for file in files)
    if params.get("multihop"):
        if several:
            raise Refused(400, "A hop of a multihop job has exactly one source.")
        return MULTI_HOP
    if several and len(files) > 1:
        raise Refused(400, "A job with several sources for a file must have that file only.")
    return MULTI_SOURCE if several else NORMAL


def _job_id(params: Mapping[str, Any], vo: str) -> str:
    if params.get("id_generator") == "deterministic":
        if not params.get("sid"):
            raise Refused(400, "A deterministic job identifier needs the parameter `sid`.")
        return str(uuid.uuid5(uuid.uuid5(BASE_ID, vo), str(params["sid"])))
    return str(uuid.uuid1())


def _transfers(job: Job, files: list[Any], banned: Container[str]) -> Iterator[Transfer]:
    staged = job.seconds("bring_online") > 0
    index = 0
    for position, file in enumerate(files):
        for source in _urls(file, "sources"):
            for destination in _urls(file, "destinations"):
                for url in (source, destination):
                    if storage_of(url) in banned:
                        raise Refused(403, f"{storage_of(url)} is banned.")
                stage = staged and (job.job_type != MULTI_HOP or position == 0)
                yield Transfer(
                    file_id=0,
                    job_id=job.job_id,
                    file_index=index,
                    state="STAGING" if stage and (index == 0 or job.job_type == NORMAL) else "SUBMITTED",
                    source=source,
                    destination=destination,
                    checksum=str(file.get("checksum") or ""),
                    user_filesize=int(file.get("filesize") or 0),
                    activity=str(file.get("activity") or "default"),
                    metadata=file.get("metadata"),
                    stage=stage,
                )
                index += 1


def _urls(file: Any, name: str) -> list[str]:
    urls = file.get(name) if isinstance(file, Mapping) else None
    if not isinstance(urls, list) or not urls:
        raise Refused(400, f"Each file needs a list of {name}.")
    for url in urls:
        parts = urlparse(str(url))
        if parts.scheme not in SCHEMES or not parts.path.strip("/") or not (parts.hostname or parts.scheme == "file"):
            raise Refused(400, f"Invalid URL {url!r}: scheme ({', '.join(SCHEMES)}), host and path are needed.")
    return [str(url) for url in urls]
