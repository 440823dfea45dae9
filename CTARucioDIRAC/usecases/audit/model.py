"""What an audit looks at, and what it finds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import Protocol, TypeVar

from CTARucioDIRAC.domain.errors import CtaRucioError
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.gateway.protocol import Content, DidType, FileReplicas, Rse, RucioGateway, Rule

from ..bulk import THREADS
from ..files import alive
from ..tree import FILES_DATASET

T = TypeVar("T")
R = TypeVar("R")
COLLECTIONS = frozenset({DidType.DATASET, DidType.CONTAINER})


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  #: something doesn't work, or data are lost or in danger
    WARNING = "warning"  #: something will not work, or only partly
    NOTE = "note"  #: nothing to do, but good to know


@dataclass(frozen=True)
class Finding:
    """Something that isn't as it should be.

    Attributes
    ----------
    check : str
        Name of the check that found it.
    object : str
        What it is about: an RSE, a DID, a group …
    cause : str
        What is the matter with it.
    remedy : str
        What to do.
    """

    check: str
    severity: Severity
    object: str
    cause: str
    remedy: str


@dataclass(frozen=True)
class StorageElement:
    """A storage element of DIRAC.

    Attributes
    ----------
    tape : bool
        Whether DIRAC takes it for a tape.
    urls : mapping
        Address of the probe, by protocol, as DIRAC makes it.
    """

    name: str
    tape: bool
    urls: Mapping[str, str]


@dataclass(frozen=True)
class Member:
    """Somebody who acts in DIRAC: a user in a group, or a host; with the Rucio account, if there is one."""

    name: str
    group: str
    dns: tuple[str, ...]
    account: str | None
    problem: str = ""  #: why there is no account


@dataclass(frozen=True)
class Credential:
    """Something with an end: a proxy, a certificate, a list of revoked certificates.

    Attributes
    ----------
    kind : str
        ``proxy``, ``host certificate``, ``authority`` or ``CRL``.
    ends : datetime or None
        None if it couldn't be read, for the reason in ``problem``.
    """

    kind: str
    path: str
    ends: dt.datetime | None
    problem: str = ""


@dataclass(frozen=True)
class StoredFile:
    """A file as a storage has it."""

    size: int
    adler32: str | None


class Storage(Protocol):
    """How files at storages are looked at."""

    def stat(self, rse: str, pfn: str) -> StoredFile | None:
        """Size and checksum of a file; None if it isn't there. CtaRucioError if the storage can't say."""

    def list(self, rse: str, directory: str) -> Collection[str] | None:
        """Addresses of the files directly in a directory; None if it can't be listed."""


@dataclass(frozen=True)
class Site:
    """What DIRAC says of itself.

    Attributes
    ----------
    probe : str
        Path that the storage elements' addresses are given for.
    now : datetime
        The local clock.
    """

    vo: str
    probe: str
    elements: tuple[StorageElement, ...]
    members: tuple[Member, ...]
    credentials: tuple[Credential, ...]
    now: dt.datetime


@dataclass(eq=False)
class Audit:
    """What the checks share: what was asked for once isn't asked for again.

    Attributes
    ----------
    scopes : collection of str
        Only these scopes are looked into; all, if empty.
    sample : int
        So many files, and so many collections, of each scope are looked at.
    storage : Storage or None
        Where to look whether the files are there; nowhere, if None.
    """

    gateway: RucioGateway
    site: Site
    scopes: Collection[str] = ()
    sample: int = 20
    storage: Storage | None = None
    counts: dict[str, int] = field(default_factory=dict)  #: what was looked at

    @cached_property
    def rses(self) -> dict[str, Rse]:
        """Storage endpoints, with their attributes."""
        found = {rse.name: rse for rse in self.gateway.list_rses(attributes=True)}
        self.counts["storage endpoints"] = len(found)
        return found

    @cached_property
    def all_scopes(self) -> list[str]:
        """Scopes to look into."""
        found = [scope for scope in self.gateway.list_scopes() if not self.scopes or scope in self.scopes]
        self.counts["scopes"] = len(found)
        return found

    @cached_property
    def files(self) -> list[Content]:
        """Some files of each scope."""
        found = self._some({DidType.FILE})
        self.counts["files"] = len(found)
        return found

    @cached_property
    def collections(self) -> list[Content]:
        """Some collections of each scope."""
        found = [item for item in self._some(COLLECTIONS) if not item.did.name.endswith(f"/{FILES_DATASET}")]
        self.counts["collections"] = len(found)
        return found

    def _some(self, types: Collection[DidType]) -> list[Content]:
        def one(scope: str) -> list[Content]:
            return list(islice(self.gateway.find_names(scope, "", types), self.sample))

        return [item for items in self.many(one, self.all_scopes) for item in items]

    @cached_property
    def replicas(self) -> dict[Did, FileReplicas]:
        """Copies of the files looked at, in all states."""
        return self.gateway.list_replicas([item.did for item in self.files], all_states=True)

    @cached_property
    def rules(self) -> dict[Did, list[Rule]]:
        """Rules that hold the files looked at."""
        wanted = list(alive(self.gateway, [item.did for item in self.files]))
        return dict(zip(wanted, self.many(self.gateway.list_rules_on_file, wanted), strict=True))

    def many(self, act: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Ask for things one by one, several at a time."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(act, items))


Check = Callable[[Audit], Iterator[Finding]]
#: All checks, by name, in the order in which they are done.
CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Register a check."""

    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register


def run(audit: Audit, names: Iterable[str] = (), started: Callable[[str], None] | None = None) -> list[Finding]:
    """Do the checks named, or all.

    A check that can't be done is a finding itself.

    Parameters
    ----------
    started : callable
        Called with the name of each check as it begins.
    """
    findings: list[Finding] = []
    for name, function in CHECKS.items():
        if not names or name in set(names):
            if started is not None:
                started(name)
            try:
                findings.extend(function(audit))
            except CtaRucioError as error:
                remedy = "see what the message says; an account with Rucio's attribute admin may read everything"
                findings.append(Finding(name, Severity.ERROR, "the check itself", f"can't be done: {error}", remedy))
    return findings


def examples(names: Iterable[object], most: int = 3) -> str:
    """Name a few of many."""
    wanted = [str(name) for name in names]
    return ", ".join(wanted[:most]) + (f" and {len(wanted) - most} more" if len(wanted) > most else "")
