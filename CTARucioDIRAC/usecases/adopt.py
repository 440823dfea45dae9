"""Adoption: data that plain Rucio brought in become as if DIRAC had registered them.

Directories get the collections that are missing, hanging below one another; files get into the dataset of their directory;
copies that no rule holds get a permanent one, so that no rule that ends makes them deletable; metadata that names tell are
set where they are missing. Each directory is planned, then done; what is done already costs nothing but a look, so that a
run that was stopped is completed by the same call again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from CTARucioDIRAC.domain.errors import CtaRucioError, NotAllowed
from CTARucioDIRAC.domain.identifiers import (
    Did,
    ancestors_of,
    chunks,
    parent_of,
    scope_of,
)
from CTARucioDIRAC.domain.names import directory_metadata, file_metadata
from CTARucioDIRAC.domain.scopes import rules
from CTARucioDIRAC.gateway.protocol import Depth, DidRecord, DidType, RucioGateway

from .bulk import THREADS, each_or_split
from .custody import Holdings
from .files import alive
from .survey import Survey, survey
from .tree import FILES_DATASET

COMMENT = "custodial copy, adopted from plain Rucio"
#: So many directories are adopted at the same time, and so many are planned ahead.
_AT_ONCE, _AHEAD = 4, 64
#: Up to so many files, rules are asked for file by file.
_FEW = 500
#: So many names are sent together.
_CHUNK = 1000
#: So many problems are kept word by word.
_PROBLEMS = 1000


@dataclass(frozen=True)
class Options:
    """How to adopt.

    Attributes
    ----------
    dry_run : bool
        Say what would be done, and write nothing.
    file_rules : bool
        A rule for each file, which DIRAC's removeReplica can end, also where one for the dataset would do.
    rses : str or None
        RSE expression: only copies there get rules.
    """

    dry_run: bool = False
    file_rules: bool = False
    rses: str | None = None


@dataclass
class Report:
    """What was done, or would be; ``problems`` is what can't be, each with the reason."""

    directories: int = 0
    files: int = 0
    scopes_added: int = 0
    containers_created: int = 0
    datasets_created: int = 0
    collections_attached: int = 0
    files_attached: int = 0
    rules_on_datasets: int = 0
    rules_on_files: int = 0
    copies_held: int = 0
    metadata_set: int = 0
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        """Note what can't be done."""
        self.problem_count += 1
        if len(self.problems) < _PROBLEMS:
            self.problems.append(text)

    def merge(self, other: Report) -> None:
        """Add what was done elsewhere."""
        for name, value in vars(other).items():
            if isinstance(value, int):
                setattr(self, name, getattr(self, name) + value)
        self.problems += other.problems[: _PROBLEMS - len(self.problems)]

    @property
    def changes(self) -> int:
        """Number of things that were, or would be, changed."""
        return sum(value for name, value in vars(self).items() if isinstance(value, int) and name not in _LOOKS)


_LOOKS = ("directories", "files", "problem_count", "copies_held")


def adopt(
    gateway: RucioGateway,
    what: str,
    vo: str,
    options: Options,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,  # noqa: ARG005
) -> Report:
    """Adopt what is below a path, in a scope (``scope:``), or in a collection (``scope:name``).

    Parameters
    ----------
    progress : callable
        Called with what is being done, how much of it is done, and how much there is.

    Raises
    ------
    InvalidInput, NotFound
        There is no such thing.
    """
    progress("looking at names", 0, 1)
    found = survey(gateway, what, vo)
    progress("looking at names", 1, 1)
    report = Report(directories=len(found.files))
    holdings = Holdings(gateway, _below_any(found))
    if found.number > _FEW:
        progress("looking at rules", 0, 1)
        holdings.load()
        progress("looking at rules", 1, 1)
    rses, few = _rses(gateway, options.rses), found.number <= _FEW
    leaves = _Work(gateway, options, report, holdings, rses, few).collections(found)

    def one(item: tuple[str, set[str]]) -> Report:
        own = Report()
        _Work(gateway, options, own, holdings, rses, few).directory(item[0], sorted(item[1]), leaves.get(item[0]))
        return own

    done = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for some in chunks(sorted(found.files.items()), _AHEAD):
            for part in pool.map(one, some):
                report.merge(part)
                done += 1
                progress("adopting directories", done, len(found.files))
    if found.odd:
        _Work(gateway, options, report, holdings, rses, few).custody(found.odd, None)
        report.files += len(found.odd)
    return report


def _below_any(found: Survey) -> Callable[[Did], bool]:
    odd = set(found.odd)
    return lambda did: parent_of(did.name) in found.files or did in odd


def _rses(gateway: RucioGateway, expression: str | None) -> set[str]:
    return {rse.name for rse in gateway.list_rses(expression)}


@dataclass(frozen=True)
class _Leaf:
    """Dataset that takes the files of a directory, as it was before anything was done."""

    did: Did
    record: DidRecord | None


class _Work:
    """One run."""

    def __init__(
        self, gateway: RucioGateway, options: Options, report: Report, holdings: Holdings, rses: set[str], few: bool
    ) -> None:
        self._gateway = gateway
        self._options = options
        self._report = report
        self._holdings = holdings
        self._rses = rses
        self._few = few

    # ---------------------------------------------------------------- collections

    def collections(self, found: Survey) -> dict[str, _Leaf]:
        """Make and attach what is missing; returns the dataset of each directory, without those that can't have any."""
        known = self._known(found)
        inner = {path for directory in (*found.files, *found.collections) for path in ancestors_of(directory)}
        leaves: dict[str, _Leaf] = {}
        missing: dict[Did, DidType] = {}
        links: dict[tuple[Did, Did], None] = {}
        for directory in sorted(found.files):
            leaf = _leaf(directory, known, inner)
            if self._plan(leaf, known, missing, links):
                if leaf not in known:
                    missing[leaf] = DidType.DATASET
                leaves[directory] = _Leaf(leaf, known.get(leaf))
        for path in sorted(found.collections):
            self._plan(_own(path), known, missing, links)
        self._scopes({did.scope for did in missing})
        self._create(missing)
        self._attach_missing(links, known)
        self._directory_metadata([did for did in known if did.name in found.collections], missing)
        return leaves

    def _known(self, found: Survey) -> dict[Did, DidRecord]:
        paths = {
            path for directory in (*found.files, *found.collections) for path in (*ancestors_of(directory), directory)
        }
        extra = [_own(f"{directory}/{FILES_DATASET}") for directory in found.files]
        return alive(self._gateway, [*(_own(path) for path in sorted(paths)), *extra])

    def _plan(
        self,
        leaf: Did,
        known: Mapping[Did, DidRecord],
        missing: dict[Did, DidType],
        links: dict[tuple[Did, Did], None],
    ) -> bool:
        """Note what the way to a collection lacks; False, and a problem, if there can be none."""
        if leaf in known and known[leaf].type is DidType.FILE:
            self._report.problem(f"{leaf} is a file: what is below it can't hang anywhere")
            return False
        way: list[Did] = []
        for path in ancestors_of(leaf.name):
            did = _own(path)
            record = known.get(did)
            if record is not None and record.type is DidType.FILE:
                self._report.problem(f"{did} is a file: what is below it can't hang anywhere")
                return False
            if record is None:
                missing[did] = DidType.CONTAINER
            if record is None or record.type is DidType.CONTAINER:
                way.append(did)  # a dataset can't hold collections: the container above takes its place
        links |= dict.fromkeys(zip(way, [*way[1:], leaf], strict=True))
        return True

    def _scopes(self, wanted: set[str]) -> None:
        for scope in sorted(wanted - set(self._gateway.list_scopes())):
            self._report.scopes_added += 1
            self._do(f"scope {scope}", partial(self._gateway.add_scope, scope))

    def _create(self, missing: Mapping[Did, DidType]) -> None:
        top = [did for did in missing if rules().is_above(did.name)]
        rest = [did for did in sorted(missing) if did not in set(top)]
        containers = [did for did in rest if missing[did] is DidType.CONTAINER]
        datasets = [did for did in rest if missing[did] is DidType.DATASET]
        self._report.containers_created += self._each(top, self._gateway.add_containers, NotAllowed)
        self._report.containers_created += self._each(containers, self._gateway.add_containers)
        self._report.datasets_created += self._each(datasets, self._gateway.add_datasets)

    def _attach_missing(self, links: Iterable[tuple[Did, Did]], known: Mapping[Did, DidRecord]) -> None:
        wanted = list(links)
        parents = sorted({parent for parent, _ in wanted if parent in known})
        with ThreadPoolExecutor(THREADS) as pool:
            contents = pool.map(lambda did: {item.did for item in self._gateway.list_content(did)}, parents)
            there = dict(zip(parents, contents, strict=True))
        new = [link for link in wanted if link[1] not in there.get(link[0], ())]
        above = [link for link in new if rules().is_above(link[0].name)]
        self._report.collections_attached += self._each(above, self._attach, NotAllowed)
        self._report.collections_attached += self._each([link for link in new if link not in set(above)], self._attach)

    def _attach(self, links: list[tuple[Did, Did]]) -> None:
        content: dict[Did, list[Did]] = {}
        for parent, child in links:
            content.setdefault(parent, []).append(child)
        self._gateway.attach(content)

    def _directory_metadata(self, there: list[Did], missing: Mapping[Did, DidType]) -> None:
        told = {did: directory_metadata(did.name) for did in (*there, *missing)}
        self._set_metadata({did: values for did, values in told.items() if values})

    # ---------------------------------------------------------------- one directory

    def directory(self, directory: str, scopes: list[str], leaf: _Leaf | None) -> None:
        """Attach, hold and describe the files of one directory."""
        files = [
            item.did
            for scope in scopes
            for item in self._gateway.find_names(scope, f"{directory}/", {DidType.FILE}, depth=Depth.DIRECT)
        ]
        self._report.files += len(files)
        dataset = self._members(files, leaf) if leaf is not None else None
        self.custody(files, dataset)
        self._set_metadata({did: values for did in files if (values := file_metadata(did.name))})

    def _members(self, files: list[Did], leaf: _Leaf) -> Did | None:
        """Attach the files; returns their dataset if they, and no others, are in it."""
        members: set[Did] = set()
        if leaf.record is not None:
            members = {item.did for item in self._gateway.list_content(leaf.did)}
        new = [did for did in files if did not in members]
        if new and leaf.record is not None and not leaf.record.is_open:
            self._report.problem(
                f"{leaf.did} is a closed dataset: {len(new)} files of its directory, such as {new[0]}, can't be attached "
                "to it; open it again (rucio did update --open) if that is wanted"
            )
            return None
        attached = self._each(new, lambda some: self._gateway.attach({leaf.did: some}))
        self._report.files_attached += attached
        return leaf.did if attached == len(new) and members <= set(files) else None

    def custody(self, files: list[Did], dataset: Did | None) -> None:
        """Put permanent rules on copies that no rule holds: one on the dataset where it fits all its files.

        Parameters
        ----------
        dataset : Did or None
            Dataset that has these files and no others, if there is one.
        """
        found = self._gateway.list_replicas(files)
        copies = {did: [r.rse for r in file.available if r.rse in self._rses] for did, file in found.items()}
        if self._few:
            self._holdings.ask(copies)
        for rse, loose in sorted(self._holdings.loose(copies).items()):
            whole = dataset is not None and len(loose) == len(files) > 1 and not self._options.file_rules
            targets = [dataset] if whole and dataset is not None else loose
            done = self._each(targets, lambda some, rse=rse: self._hold(some, rse))  # type: ignore[misc]
            if whole:
                self._report.rules_on_datasets += done
                self._report.copies_held += done * len(loose)
            else:
                self._report.rules_on_files += done
                self._report.copies_held += done

    def _hold(self, dids: list[Did], rse: str) -> None:
        self._gateway.add_rule(dids, rse, comment=COMMENT)

    def _set_metadata(self, told: Mapping[Did, Mapping[str, int]]) -> None:
        """Set what names tell, where nobody has said anything else."""
        if not told:
            return
        there = alive(self._gateway, told)
        known = self._gateway.get_metadata(there)
        new = {did: {k: v for k, v in values.items() if k not in known.get(did, {})} for did, values in told.items()}
        wanted = {did: values for did, values in new.items() if values and (did in there or self._options.dry_run)}
        self._report.metadata_set += self._each(
            list(wanted), lambda some: self._gateway.set_metadata({did: wanted[did] for did in some})
        )

    # ---------------------------------------------------------------- doing

    def _do(self, what: str, act: Callable[[], None]) -> None:
        if self._options.dry_run:
            return
        try:
            act()
        except CtaRucioError as error:
            self._report.problem(f"{what}: {error}")

    def _each(
        self,
        items: list,  # type: ignore[type-arg]
        act: Callable[[list], None],  # type: ignore[type-arg]
        expected: type[CtaRucioError] | tuple[()] = (),
    ) -> int:
        """Do something with all items, in bulk; returns with how many.

        Parameters
        ----------
        expected : type
            Errors that are no problem: what is above the scopes isn't everybody's to write, nor needed.
        """
        if self._options.dry_run:
            return len(items)
        done = 0
        for some in chunks(items, _CHUNK):
            try:
                act(some)
                done += len(some)
            except NotAllowed as error:  # what the account may not do with one, it may with none
                if not isinstance(error, expected):
                    self._report.problem(f"{len(some)} times: {error}")
            except CtaRucioError:
                errors = each_or_split(some, act)
                done += len(some) - len(errors)
                for left in errors.values():
                    self._report.problem(str(left))
        return done


def _own(path: str) -> Did:
    return Did(scope_of(path), path)


def _leaf(directory: str, known: Mapping[Did, DidRecord], inner: Collection[str]) -> Did:
    """Dataset for the files of a directory: the directory itself, or one below it where that holds directories."""
    own = _own(directory)
    mixed = known[own].type is DidType.CONTAINER if own in known else directory in inner
    return _own(f"{directory}/{FILES_DATASET}") if mixed else own
