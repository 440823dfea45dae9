"""What the rest of this package may ask of Rucio, and what it gets back.

All verbs take and return this module's types, speak in bulk (N names cost ⌈N / chunk⌉ requests), raise the errors of
:mod:`CTARucioDIRAC.domain.errors`, and are idempotent where they write: the same call twice leaves the same state and
succeeds. All times are in UTC and know it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, runtime_checkable
from typing import Protocol as Interface

from CTARucioDIRAC.domain.accounts import Privileges
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.domain.metadata_query import MetadataQuery

from .records import (
    Content,
    Depth,
    DidRecord,
    DidType,
    FileRecord,
    FileReplicas,
    Grouping,
    Lock,
    Protocol,
    Replica,
    ReplicaState,
    Rse,
    RseType,
    RseUsage,
    Rule,
    RuleState,
)

__all__ = [
    "Content",
    "Depth",
    "DidRecord",
    "DidType",
    "FileRecord",
    "FileReplicas",
    "Grouping",
    "Lock",
    "Protocol",
    "Replica",
    "ReplicaState",
    "Rse",
    "RseType",
    "RseUsage",
    "RucioGateway",
    "Rule",
    "RuleState",
]


@runtime_checkable
class RucioGateway(Interface):
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

    def server_time(self) -> dt.datetime:
        """The server's clock, to the second."""

    def list_accounts(self) -> list[str]:
        """All accounts."""

    def list_identities(self, account: str) -> set[str]:
        """What may act as an account: names of certificates, of users, of tokens. NotFound for an unknown account."""

    # ---------------------------------------------------------------- names

    def list_scopes(self) -> list[str]:
        """All scopes."""

    def add_scope(self, scope: str, account: str | None = None) -> None:
        """Add a scope, for the gateway's own account unless another is named; an existing one is left alone."""

    def list_scope_owners(self) -> dict[str, str]:
        """Account that owns each scope."""

    def is_admin(self) -> bool:
        """Whether the gateway's account has Rucio's attribute ``admin``, or is root."""

    def privileges(self) -> Privileges:
        """What the gateway's account may do by itself, and as an owner, under the policy that the server has."""

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

    def reopen(self, did: Did) -> None:
        """Open a closed collection again, for which Rucio wants an administrator; an open one is left alone."""

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
            that is there already (Rucio holds only one). That is left as it is, except where no lifetime is asked for
            and it has one: then it is made permanent.

        Raises
        ------
        Conflict
            A rule that is there ends, none that ends was asked for, and the account may not make it permanent.
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
        permanent: bool = False,
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
        """Change a rule. ``lifetime`` is counted from now; 0 ends it at the judge's next cycle; ``permanent`` takes its
        end away.

        NotFound if it has ended already; NotAllowed if the account may not.
        """

    def end_rule(self, rule_id: str, *, purge_replicas: bool = False) -> None:
        """Unlock a rule and let it end now; one that has ended already is fine."""

    # ---------------------------------------------------------------- metadata

    def set_metadata(self, metadata: Mapping[Did, Mapping[str, Any]]) -> None:
        """Set keys of DIDs; other keys stay. NotFound names the missing DIDs; the others are set."""

    def delete_metadata(self, did: Did, keys: Iterable[str]) -> None:
        """Remove keys of a DID; those that aren't there are fine."""

    def clear_metadata(self, keys: Mapping[Did, Collection[str]]) -> None:
        """Remove keys of many DIDs, ⌈N / 1000⌉ requests; NotFound names the missing DIDs, the others are done.

        The keys are left with nothing in them (null), which counts as absent in every answer and search.
        """

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

    def find_guids(self, scope: str, guids: Collection[str]) -> dict[str, list[Did]]:
        """Files of a scope by GUID, as the GUIDs were written; those that nothing has are absent.

        Some 40 GUIDs are asked for in one request. Names that have expired are gone.
        """

    def has_metadata(self, scope: str, keys: Collection[str], prefix: str = "") -> bool:
        """Whether any DID of a scope, whose name begins with a prefix, has any of the keys; costs one request."""

    # ---------------------------------------------------------------- storage endpoints

    def list_rses(self, expression: str | None = None, *, attributes: bool = False) -> list[Rse]:
        """Storage endpoints; ``attributes`` costs a request for each."""

    def list_protocols(self, rse: str) -> list[Protocol]:
        """Ways to reach a storage endpoint."""

    def addresses(self, rse: str, dids: Iterable[Did], scheme: str) -> dict[Did, str]:
        """Where files would be at a storage endpoint that makes its paths from names, whether they are there or not.

        NotFound if the endpoint can't be read that way.
        """

    def rse_usage(self, rse: str) -> list[RseUsage]:
        """Fill level of a storage endpoint, as each source reports it."""
