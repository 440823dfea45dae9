"""What the rest of this package may ask of Rucio, and what it gets back.

All verbs take and return this module's types, speak in bulk (N names cost ⌈N / chunk⌉ requests), raise the errors of
:mod:`CTARucioDIRAC.domain.errors`, and are idempotent where they write: the same call twice leaves the same state and
succeeds. All times are in UTC and know it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.domain.metadata_query import MetadataQuery


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
class RseUsage:
    """Fill level of a storage endpoint, in bytes, as one source reports it."""

    rse: str
    source: str  #: "rucio" (sum of the registered replicas), "storage" …
    used: int | None
    free: int | None
    total: int | None
    files: int | None


@runtime_checkable
class RucioGateway(Protocol):
    """The verbs. One object speaks for one account and may be used from many threads."""

    @property
    def account(self) -> str:
        """Rucio account that everything is done as."""

    @property
    def requests(self) -> int:
        """Number of HTTP requests sent so far, authentication included."""

    # ---------------------------------------------------------------- the server

    def ping(self) -> str:
        """Version of the server; needs no credentials."""

    def whoami(self) -> str:
        """Account that the server takes the caller for."""

    # ---------------------------------------------------------------- names

    def list_scopes(self) -> list[str]:
        """All scopes."""

    def add_scope(self, scope: str, account: str | None = None) -> None:
        """Add a scope, for the gateway's own account unless another is named; an existing one is left alone."""

    def list_scope_owners(self) -> dict[str, str]:
        """Account that owns each scope."""

    def is_admin(self) -> bool:
        """Whether the gateway's account has Rucio's attribute ``admin``, or is root."""

    def get_dids(self, dids: Iterable[Did]) -> dict[Did, DidRecord]:
        """Look names up; unknown ones are absent from the answer, expired ones are in it."""

    def find_names(
        self, scope: str, prefix: str, types: Collection[DidType] | None = None, *, depth: Depth = Depth.ANY
    ) -> Iterator[Content]:
        """DIDs of a scope whose name begins with a prefix (all of them for ``""``), in no order.

        ``depth`` says how many components may follow the prefix: any number, exactly one, or more than one. An
        unknown scope has none; names that have expired are gone. Closing the iterator early is cheap.
        """

    def add_datasets(self, dids: Iterable[Did], *, lifetime: float | None = None) -> None:
        """Create datasets; existing ones are left alone.

        Raises :class:`~CTARucioDIRAC.domain.errors.AlreadyExists` if a name is a file or a container.
        """

    def add_containers(self, dids: Iterable[Did]) -> None:
        """Create containers; existing ones are left alone. AlreadyExists if a name is a file or a dataset."""

    def attach(self, content: Mapping[Did, Collection[Did]]) -> None:
        """Attach children to each parent; those that already are in it are left alone.

        Raises NotFound for a missing parent or child, Conflict for a closed parent or a wrong kind of child.
        """

    def detach(self, parent: Did, children: Iterable[Did]) -> None:
        """Detach children from a parent; those that aren't in it are left alone."""

    def close(self, did: Did) -> None:
        """Close a collection: nothing can be attached any more. Closing twice succeeds."""

    def list_content(self, did: Did) -> list[Content]:
        """Direct members of a collection."""

    def list_files(self, did: Did) -> Iterator[Content]:
        """All files below a collection, each once."""

    def list_parents(self, did: Did) -> list[Content]:
        """Collections that a DID is a direct member of."""

    def expire(self, dids: Iterable[Did]) -> None:
        """Let names end now: the server's cleaners remove them with their rules."""

    # ---------------------------------------------------------------- copies

    def add_replicas(
        self, rse: str, files: Iterable[FileRecord], *, known: Mapping[Did, DidRecord] | None = None
    ) -> None:
        """Register copies at an RSE, and the files where they are new.

        ``known`` is what a caller has just got of :meth:`get_dids` for these files; it saves a request. A copy that is there already with the same content is left alone, but made AVAILABLE if it was UNAVAILABLE
        or COPYING and the record says so.

        Raises
        ------
        DifferentContent
            Naming both checksums (or sizes), before anything is written.
        """

    def list_replicas(
        self,
        dids: Iterable[Did],
        *,
        all_states: bool = False,
        rse_expression: str | None = None,
        schemes: Collection[str] | None = None,
    ) -> dict[Did, FileReplicas]:
        """Copies of files; names that aren't files, or no paths, are absent. Without ``all_states`` only AVAILABLE ones."""

    def list_collection_replicas(
        self, did: Did, *, all_states: bool = False, rse_expression: str | None = None
    ) -> Iterator[FileReplicas]:
        """Copies of all files below a collection, in one request."""

    def set_replica_states(self, rse: str, states: Mapping[Did, ReplicaState]) -> None:
        """Say that copies are AVAILABLE, UNAVAILABLE …"""

    def set_tombstones(self, rse: str, dids: Iterable[Did]) -> None:
        """Make copies without any rule deletable; the reaper removes file and copy."""

    # ---------------------------------------------------------------- rules

    def add_rule(
        self,
        dids: Iterable[Did],
        rse_expression: str,
        *,
        copies: int = 1,
        lifetime: float | None = None,
        account: str | None = None,
        activity: str | None = None,
        source_replica_expression: str | None = None,
        grouping: Grouping = Grouping.DATASET,
        comment: str | None = None,
        meta: Mapping[str, Any] | None = None,
        asynchronous: bool = False,
        priority: int = 3,
    ) -> dict[Did, str]:
        """State where DIDs shall be.

        Parameters
        ----------
        lifetime : float or None
            Seconds from now until the rule ends by itself.
        source_replica_expression : str or None
            Where the bytes must come from; needed to make a recall read tape.
        asynchronous : bool
            Let the server place the copies later (state INJECT), which answers fast for many files.

        Returns
        -------
        dict
            Rule id per DID: of the new rule, or of the rule of the same account, expression and number of copies
            that is there already (Rucio holds only one), which is left as it is.
        """

    def list_rules(
        self,
        *,
        did: Did | None = None,
        account: str | None = None,
        rse_expression: str | None = None,
        scope: str | None = None,
        activity: str | None = None,
        did_type: DidType | None = None,
        state: RuleState | None = None,
        created_after: dt.datetime | None = None,
        name_pattern: str | None = None,
    ) -> Iterator[Rule]:
        """Rules that fulfil all conditions given; ``name_pattern`` has shell wildcards and is applied on this side."""

    def list_rules_on_file(self, did: Did) -> list[Rule]:
        """Rules that hold copies of a file, whether put on it or on a collection above it."""

    def list_locks(self, rule_id: str) -> Iterator[Lock]:
        """Copies that a rule holds."""

    def get_rules(self, ids: Iterable[str]) -> dict[str, Rule]:
        """Rules by id, one request each; ended ones are absent."""

    def update_rule(
        self,
        rule_id: str,
        *,
        lifetime: float | None = None,
        purge_replicas: bool | None = None,
        locked: bool | None = None,
        comment: str | None = None,
        activity: str | None = None,
        source_replica_expression: str | None = None,
        priority: int | None = None,
        stuck: bool | None = None,
        cancel_requests: bool | None = None,
        boost: bool | None = None,
    ) -> None:
        """Change a rule. ``lifetime`` is counted from now; 0 ends it at the judge's next cycle.

        NotFound if it has ended already; NotAllowed if the account may not.
        """

    def end_rule(self, rule_id: str, *, purge_replicas: bool = False) -> None:
        """Unlock a rule and let it end now; one that has ended already is fine."""

    # ---------------------------------------------------------------- metadata

    def set_metadata(self, metadata: Mapping[Did, Mapping[str, Any]]) -> None:
        """Set keys of DIDs; other keys stay. NotFound names the missing DIDs; the others are set."""

    def delete_metadata(self, did: Did, keys: Iterable[str]) -> None:
        """Remove keys of a DID; those that aren't there are fine."""

    def get_metadata(self, dids: Iterable[Did]) -> dict[Did, dict[str, Any]]:
        """Keys of DIDs; unknown DIDs are absent, known ones without metadata have ``{}``.

        Nothing is inherited: Rucio follows only the first collection that it finds a file in; by path,
        :func:`CTARucioDIRAC.usecases.files.inherited_metadata` does.
        """

    def find_dids(
        self, scope: str, query: MetadataQuery, *, types: Collection[DidType] | None = None, prefix: str = ""
    ) -> Iterator[Did]:
        """DIDs of a scope that carry fulfilling metadata themselves (nothing is inherited), each once, in no order.

        Names that have expired are gone.
        """

    def has_metadata(self, scope: str, keys: Collection[str], prefix: str = "") -> bool:
        """Whether any DID of a scope, whose name begins with a prefix, has any of the keys; costs one request."""

    # ---------------------------------------------------------------- storage endpoints

    def list_rses(self, expression: str | None = None, *, attributes: bool = False) -> list[Rse]:
        """Storage endpoints; ``attributes`` costs a request for each."""

    def rse_usage(self, rse: str) -> list[RseUsage]:
        """Fill level of a storage endpoint, as each source reports it."""
