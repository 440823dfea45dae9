"""What Rucio's answers are made of: the types that the gateway takes and returns. All times know that they are in UTC."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from CTARucioDIRAC.domain.identifiers import Did


class DidType(StrEnum):
    """Kind of a DID: datasets hold files, containers hold datasets and containers."""

    FILE = "FILE"
    DATASET = "DATASET"
    CONTAINER = "CONTAINER"


class ReplicaState(StrEnum):
    """State of one copy; only AVAILABLE ones can be read."""

    AVAILABLE = "AVAILABLE"
    UNAVAILABLE = "UNAVAILABLE"
    COPYING = "COPYING"
    BEING_DELETED = "BEING_DELETED"
    BAD = "BAD"
    SOURCE = "SOURCE"
    TEMPORARY_UNAVAILABLE = "TEMPORARY_UNAVAILABLE"


class RuleState(StrEnum):
    """State of a replication rule."""

    OK = "OK"
    REPLICATING = "REPLICATING"
    STUCK = "STUCK"
    SUSPENDED = "SUSPENDED"
    WAITING_APPROVAL = "WAITING_APPROVAL"
    INJECT = "INJECT"


class Grouping(StrEnum):
    """How a rule spreads the files of a collection over its RSEs."""

    ALL = "ALL"
    DATASET = "DATASET"
    NONE = "NONE"


class Depth(StrEnum):
    """How far below a prefix names are looked for."""

    ANY = "ANY"
    DIRECT = "DIRECT"  #: no further slash
    DEEPER = "DEEPER"  #: at least one further slash


class RseType(StrEnum):
    """Kind of storage."""

    DISK = "DISK"
    TAPE = "TAPE"


@dataclass(frozen=True)
class DidRecord:
    """What Rucio knows about one DID, without its metadata."""

    did: Did
    type: DidType
    account: str
    created_at: dt.datetime
    updated_at: dt.datetime
    is_open: bool | None = None  #: collections only
    size: int | None = None  #: bytes of a file, or sum over a collection where Rucio keeps it
    length: int | None = None  #: number of files of a collection, where Rucio keeps it
    adler32: str | None = None
    md5: str | None = None
    guid: str | None = None  #: with hyphens, upper case
    expired_at: dt.datetime | None = None  #: from then on it's hidden, and on its way out

    def expired(self, now: dt.datetime) -> bool:
        """Say whether the name is gone at that time, though the server's cleaners haven't come by yet."""
        return self.expired_at is not None and self.expired_at <= now


@dataclass(frozen=True)
class FileRecord:
    """A file to register: its name and its content."""

    did: Did
    size: int  #: bytes
    adler32: str | None = None  #: 8 hexadecimal digits
    md5: str | None = None  #: 32 hexadecimal digits
    guid: str | None = None
    pfn: str | None = None  #: only for RSEs whose paths don't follow from the names
    state: ReplicaState = ReplicaState.AVAILABLE
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """A member of a collection."""

    did: Did
    type: DidType
    size: int | None = None
    adler32: str | None = None
    md5: str | None = None


@dataclass(frozen=True)
class Replica:
    """One copy of a file."""

    rse: str
    pfn: str  #: the first by the RSE's own priorities; empty if no protocol of the RSE gives one
    state: ReplicaState
    pfns: tuple[str, ...] = ()  #: all, in the RSE's order


@dataclass(frozen=True)
class FileReplicas:
    """A file and its copies."""

    did: Did
    size: int
    adler32: str | None
    md5: str | None
    replicas: tuple[Replica, ...]

    @property
    def available(self) -> tuple[Replica, ...]:
        """Copies that can be read."""
        return tuple(replica for replica in self.replicas if replica.state is ReplicaState.AVAILABLE)


@dataclass(frozen=True)
class Rule:
    """A replication rule: copies of a DID that must be at an RSE expression."""

    id: str
    did: Did
    did_type: DidType
    account: str
    rse_expression: str
    copies: int
    state: RuleState
    locks_ok: int
    locks_replicating: int
    locks_stuck: int
    created_at: dt.datetime
    updated_at: dt.datetime
    expires_at: dt.datetime | None = None
    activity: str | None = None
    source_replica_expression: str | None = None
    grouping: Grouping = Grouping.DATASET
    locked: bool = False
    error: str | None = None
    comment: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """True when every copy that it asks for is there."""
        return self.state is RuleState.OK


@dataclass(frozen=True)
class Lock:
    """A copy that a rule holds."""

    did: Did
    rse: str
    ok: bool = True  #: False while the copy isn't there yet, or is stuck


@dataclass(frozen=True)
class Rse:
    """A storage endpoint."""

    name: str
    type: RseType
    deterministic: bool
    can_read: bool
    can_write: bool
    can_delete: bool
    attributes: Mapping[str, Any] = field(default_factory=dict)  #: empty unless asked for


@dataclass(frozen=True)
class Protocol:
    """A way to reach a storage endpoint."""

    scheme: str
    hostname: str
    port: int
    prefix: str
    operations: frozenset[str] = frozenset()  #: what it may be used for from outside the site


@dataclass(frozen=True)
class RseUsage:
    """Fill level of a storage endpoint, in bytes, as one source reports it."""

    rse: str
    source: str  #: "rucio" (sum of the registered replicas), "storage" …
    used: int | None
    free: int | None
    total: int | None
    files: int | None
