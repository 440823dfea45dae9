"""DIRAC's datasets as Rucio's: a query with a name, and what fulfils it as the content of a Rucio dataset.

An open dataset is DIRAC's "Dynamic" one: its files are what fulfils the query now; :func:`update` makes the Rucio dataset
hold just them. A closed one is "Frozen": its files are what it holds. Datasets that plain Rucio made have no query; they
can be read ("Static", or "Frozen" if closed), and are left alone.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from CTARucioDIRAC.domain.errors import AlreadyExists, Conflict, CtaRucioError, InvalidInput, NotFound, Unavailable
from CTARucioDIRAC.domain.identifiers import Did, did_of, validate_lfn
from CTARucioDIRAC.domain.metadata_fields import ANNOTATION, DATASET
from CTARucioDIRAC.domain.metadata_query import Condition, MetadataQuery, Operator
from CTARucioDIRAC.gateway.protocol import DidRecord, DidType, RucioGateway

from . import register, resolve, search
from .bulk import THREADS, Bulk, now
from .files import alive

T = TypeVar("T")
DYNAMIC, FROZEN, STATIC = "Dynamic", "Frozen", "Static"
NO_ANNOTATION = "-"


@dataclass(frozen=True)
class Content:
    """What is in a dataset, in short.

    Attributes
    ----------
    digest : str
        The MD5 sum over the names that DIRAC's own catalogue has.
    """

    digest: str
    files: int
    size: int  #: bytes


@dataclass(frozen=True)
class Dataset:
    """A dataset."""

    name: str
    record: DidRecord
    query: Mapping[str, Any] | None = None  #: None for one that plain Rucio made
    content: Content | None = None  #: when it was last updated
    modified: dt.datetime | None = None
    annotation: str = NO_ANNOTATION

    @property
    def status(self) -> str:
        """DIRAC's word for it."""
        if not self.record.is_open:
            return FROZEN
        return STATIC if self.query is None else DYNAMIC


def add(gateway: RucioGateway, queries: Mapping[str, Any], vo: str) -> Bulk[bool]:
    """Make datasets out of queries, by path; a dataset that is there with the same query is made complete."""
    return _each(queries, lambda name: _add(gateway, name, queries[name], vo))


def _add(gateway: RucioGateway, name: str, query: Any, vo: str) -> bool:
    if not name.startswith("/"):
        raise InvalidInput("Dataset name should be specified with full path")
    if not isinstance(query, Mapping):
        raise InvalidInput(f"dataset {name}: its query is a dictionary, not {type(query).__name__}")
    plain = {str(key): _plain(value) for key, value in query.items()}
    wanted = _evaluate(gateway, plain, vo)  # what can't be asked fails here, before anything is there
    did = did_of(name)
    record = gateway.get_dids([did]).get(did)
    if record is not None:
        if record.expired(now()):
            raise Unavailable(f"dataset {name} was removed, and is on its way out: add it when it is gone")
        stored = gateway.get_metadata([did]).get(did, {}).get(DATASET)
        if stored is None and (record.type is not DidType.DATASET or gateway.list_content(did)):
            raise AlreadyExists(f"{did} is a {record.type} of Rucio's own: give the dataset another name")
        if stored is not None and stored.get("query") != plain:
            raise AlreadyExists(f"Dataset {name} already exists, with the query {stored.get('query')}")
    made = register.add_directories(gateway, [name])
    if made.failed:
        raise made.failed[name]
    _write(gateway, did, plain, wanted)
    if record is None or record.is_open:
        _fill(gateway, did, wanted)
    return True


def _write(gateway: RucioGateway, did: Did, query: Mapping[str, Any], wanted: Collection[Did]) -> None:
    content = _summary(gateway, wanted)
    time = now().replace(tzinfo=None).isoformat(timespec="seconds")
    stored = {
        "query": dict(query),
        "hash": content.digest,
        "files": content.files,
        "size": content.size,
        "modified": time,
    }
    gateway.set_metadata({did: {DATASET: stored}})


def _fill(gateway: RucioGateway, did: Did, wanted: Collection[Did]) -> None:
    """Let an open Rucio dataset hold just these files."""
    there = {item.did for item in gateway.list_content(did)}
    new, old = set(wanted) - there, there - set(wanted)
    if new:
        gateway.attach({did: sorted(new)})
    if old:
        gateway.detach(did, sorted(old))


def _plain(value: Any) -> Any:
    """Value of a query as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value).isoformat(timespec="seconds")
    return value


def _evaluate(gateway: RucioGateway, query: Mapping[str, Any], vo: str) -> list[Did]:
    conditions = dict(query)
    path = validate_lfn(conditions.pop("Path", "/"))
    return list(search.find_files(gateway, conditions, path, vo))


def _summary(gateway: RucioGateway, dids: Collection[Did]) -> Content:
    names = sorted(resolve.lfns_of(gateway, dids).values())
    digest = hashlib.md5(str(names).encode(), usedforsecurity=False).hexdigest().upper()
    records = gateway.get_dids(dids) if dids else {}
    return Content(digest, len(names), sum(record.size or 0 for record in records.values()))


def changes(gateway: RucioGateway, names: Iterable[str], vo: str) -> Bulk[dict[str, tuple[Any, Any]]]:
    """What differs between the last update of each dataset and what fulfils its query now; nothing if nothing does."""
    return _each(names, lambda name: _changes(gateway, _with_query(gateway, name), vo)[0])


def _changes(gateway: RucioGateway, dataset: Dataset, vo: str) -> tuple[dict[str, tuple[Any, Any]], list[Did]]:
    wanted = _evaluate(gateway, dataset.query or {}, vo)
    new, old = _summary(gateway, wanted), dataset.content or Content("", 0, 0)
    pairs = {
        "TotalSize": (old.size, new.size),
        "DatasetHash": (old.digest, new.digest),
        "NumberOfFiles": (old.files, new.files),
    }
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}, wanted


def update(gateway: RucioGateway, names: Iterable[str], vo: str) -> Bulk[int | None]:
    """Let open datasets hold what fulfils their queries now; 1 for each that has changed, None for others."""

    def one(name: str) -> int | None:
        dataset = _with_query(gateway, name)
        if dataset.status == FROZEN:
            raise Conflict(f"dataset {name} is frozen: release it before it can be updated")
        changed, wanted = _changes(gateway, dataset, vo)
        _fill(gateway, dataset.record.did, wanted)
        if changed:
            _write(gateway, dataset.record.did, dataset.query or {}, wanted)
        return 1 if changed else None

    return _each(names, one)


def freeze(gateway: RucioGateway, names: Iterable[str], vo: str) -> Bulk[bool]:
    """Update datasets and close them: their content stays as it is now."""

    def one(name: str) -> bool:
        dataset = _with_query(gateway, name)
        if dataset.status != FROZEN:
            wanted = _evaluate(gateway, dataset.query or {}, vo)
            _fill(gateway, dataset.record.did, wanted)
            _write(gateway, dataset.record.did, dataset.query or {}, wanted)
            gateway.close(dataset.record.did)
        return True

    return _each(names, one)


def release(gateway: RucioGateway, names: Iterable[str]) -> Bulk[bool]:
    """Open frozen datasets again, for which Rucio wants an administrator."""

    def one(name: str) -> bool:
        dataset = _with_query(gateway, name)
        if dataset.status == FROZEN:
            gateway.reopen(dataset.record.did)
        return True

    return _each(names, one)


def remove(gateway: RucioGateway, names: Iterable[str]) -> Bulk[bool]:
    """Remove datasets, not their files; one that isn't there is fine. Refused while a rule is on one: its copies would
    lose that hold.
    """

    def one(name: str) -> bool:
        try:
            dataset = _with_query(gateway, name)
        except NotFound:
            return True
        for rule in gateway.list_rules(did=dataset.record.did):
            raise Conflict(
                f"rule {rule.id} of account {rule.account} keeps the files of dataset {name} at {rule.rse_expression}: end "
                "it first"
            )
        gateway.expire([dataset.record.did])
        return True

    return _each(names, one)


def annotate(gateway: RucioGateway, annotations: Mapping[str, str]) -> Bulk[bool]:
    """Put a remark on datasets."""

    def one(name: str) -> bool:
        gateway.set_metadata({_find(gateway, name).record.did: {ANNOTATION: str(annotations[name])}})
        return True

    return _each(annotations, one)


def describe(gateway: RucioGateway, names: Iterable[str]) -> Bulk[Dataset]:
    """Look datasets up: by path, or those made out of queries by the last component of it."""
    return _each(names, lambda name: _find(gateway, name))


def files_of(gateway: RucioGateway, names: Iterable[str], vo: str) -> Bulk[list[str]]:
    """Names of the files of datasets."""

    def one(name: str) -> list[str]:
        dataset = _find(gateway, name)
        if dataset.status == DYNAMIC:
            dids = _evaluate(gateway, dataset.query or {}, vo)
        else:
            dids = [item.did for item in gateway.list_files(dataset.record.did)]
        return sorted(resolve.lfns_of(gateway, dids).values())

    return _each(names, one)


def matching(gateway: RucioGateway, pattern: str) -> list[Dataset]:
    """Datasets made out of queries that are named so; ``*`` and ``?`` stand for any characters and for one.

    A pattern that begins with a slash is one of the whole path, and else of its last component.
    """
    if "*" not in pattern and "?" not in pattern:
        try:
            return [_find(gateway, pattern)]
        except NotFound:
            return []
    return read(gateway, [did for did in every(gateway) if fnmatch.fnmatchcase(_as_in(pattern, did.name), pattern)])


def every(gateway: RucioGateway) -> list[Did]:
    """All datasets made out of queries; costs a request for each scope.

    The scopes are asked for: the first dataset in a new one must be found at once, by other processes and accounts, too.
    """
    scopes = gateway.list_scopes()
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda scope: in_scope(gateway, scope), scopes)
        return sorted(did for dids in found for did in dids)


def in_scope(gateway: RucioGateway, scope: str) -> frozenset[Did]:
    """Datasets of a scope that were made out of queries; costs a request."""
    query = MetadataQuery((Condition(DATASET, Operator.EXISTS, True),))
    return frozenset(gateway.find_dids(scope, query, types={DidType.DATASET}))


def read(gateway: RucioGateway, dids: Collection[Did]) -> list[Dataset]:
    """Look datasets up that were made out of queries."""
    records = alive(gateway, dids)
    values = gateway.get_metadata(records) if records else {}
    return [_dataset(did.name, record, values.get(did, {})) for did, record in sorted(records.items())]


def _as_in(pattern: str, name: str) -> str:
    return name if pattern.startswith("/") else name.rpartition("/")[2]


def _find(gateway: RucioGateway, name: str) -> Dataset:
    """Look a dataset up; raises NotFound, or Conflict for a short name that several have."""
    if name.startswith("/") or ":" in name:
        did, record = resolve.look_up_one(gateway, name)
        if record is None or record.type is DidType.FILE:
            raise NotFound("No such dataset")
        return _dataset(name, record, gateway.get_metadata([did]).get(did, {}))
    same = [did for did in every(gateway) if did.name.rpartition("/")[2] == name]
    if len(same) > 1:
        raise Conflict(f"Ambiguous dataset name: {', '.join(did.name for did in same)}")
    found = read(gateway, same)
    if not found:
        raise NotFound("Dataset not found")
    return found[0]


def _with_query(gateway: RucioGateway, name: str) -> Dataset:
    dataset = _find(gateway, name)
    if dataset.query is None:
        raise Conflict(f"{dataset.record.did} is a dataset of Rucio's own, without a query: it is left alone")
    return dataset


def _dataset(name: str, record: DidRecord, values: Mapping[str, Any]) -> Dataset:
    stored = values.get(DATASET)
    annotation = str(values.get(ANNOTATION) or NO_ANNOTATION)
    if not isinstance(stored, Mapping):
        return Dataset(name, record, annotation=annotation)
    return Dataset(
        name,
        record,
        query=stored["query"],
        content=Content(stored["hash"], stored["files"], stored["size"]),
        modified=dt.datetime.fromisoformat(stored["modified"]).replace(tzinfo=dt.UTC),
        annotation=annotation,
    )


def _each(names: Iterable[str], act: Callable[[str], T]) -> Bulk[T]:
    answers: Bulk[T] = Bulk()
    for name in names:
        try:
            answers.done[name] = act(name)
        except CtaRucioError as error:
            answers.failed[name] = error
    return answers
