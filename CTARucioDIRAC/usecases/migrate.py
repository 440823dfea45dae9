"""Bring another catalogue into Rucio: names, copies, checksums, owners, metadata, datasets.

What is done is told from Rucio alone, so that a repeat finishes what an interruption left: the copies of some thousand
files are registered, then their rules, their places in directories, and last their metadata, of which every file has at
least :data:`~.migration_plan.OWNER`. A file with all its copies and all its metadata has been through all of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from CTARucioDIRAC.domain.errors import CtaRucioError, InvalidInput, NotAllowed
from CTARucioDIRAC.domain.identifiers import Did, did_of
from CTARucioDIRAC.gateway.protocol import FileRecord, RucioGateway

from .bulk import each_or_split
from .migration_datasets import Datasets, bring, compare
from .migration_plan import OWNER, State, Translation, Wanted, differences, look, plain_values, translate
from .migration_report import Kind, Report
from .migration_source import OldDirectory, OldFile, Source, walk
from .register import COMMENT, add_directories, find_places, put_in_places

#: Files that are looked at and registered together.
BATCH = 1000


def migrate(
    gateway: RucioGateway,
    source: Source,
    tops: Iterable[str],
    translation: Translation,
    report: Report,
    *,
    datasets: Datasets | None = None,
    dry_run: bool = False,
) -> None:
    """Bring everything below some directories into Rucio; what is there already is left alone.

    Problems go to the report, each with the name that it is about; nothing else is kept from being done by them.

    Parameters
    ----------
    gateway : RucioGateway
        Of an account that may register copies everywhere and put rules for others.
    tops : iterable of str
        Directories of the old catalogue.
    datasets : Datasets, optional
        Where datasets go; without it they are left out.
    dry_run : bool
        Only find out what would be done.

    Raises
    ------
    Unavailable
        Rucio or the old catalogue gives no answer: the same call goes on from there.
    """
    rses = {rse.name: rse for rse in gateway.list_rses()}
    directories: list[OldDirectory] = []
    for batch in _batches(source, tops, directories):
        wanted = translate(batch, translation, rses, report)
        _do_batch(gateway, wanted, look(gateway, wanted), report, dry_run)
        report.progress()
    _do_directories(gateway, directories, translation, report, dry_run)
    if datasets:
        old = [dataset for directory in directories for dataset in directory.datasets]
        bring(datasets, old, translation, report, dry_run=dry_run)


def verify(
    gateway: RucioGateway,
    source: Source,
    tops: Iterable[str],
    translation: Translation,
    report: Report,
    *,
    datasets: Datasets | None = None,
    rules: bool = False,
) -> None:
    """Compare everything below some directories with what Rucio has; changes nothing.

    Parameters
    ----------
    rules : bool
        Also ask whether a rule without an end holds each copy; takes about 200 bytes of memory for each.
    """
    rses = {rse.name: rse for rse in gateway.list_rses()}
    directories: list[OldDirectory] = []
    held: dict[str, set[tuple[str, str]]] = {}
    for batch in _batches(source, tops, directories):
        wanted = translate(batch, translation, rses, report)
        state = look(gateway, wanted)
        for file in wanted:
            found = differences(file, state)
            for kind, text in found:
                report.problem(kind, file.old, text)
            report.add("same", not found)
            if rules and file.did in state.records:
                held.setdefault(file.did.scope, set()).update((file.did.name, rse) for rse in file.copies)
        report.progress()
    for scope, expected in held.items():
        _check_rules(gateway, scope, expected, report)
    for directory, did, old in _present(gateway, directories, translation, report):
        missing = old is None or {k: v for k, v in plain_values(directory.metadata).items() if old.get(k) != v}
        if missing:
            text = "no such directory" if old is None else f"metadata differ: {missing}"
            report.problem(Kind.DIRECTORY, directory.path, f"{did}: {text}")
    if datasets:
        old_datasets = [dataset for directory in directories for dataset in directory.datasets]
        compare(datasets, old_datasets, translation, report)


# -------------------------------------------------------------------- files


def _batches(source: Source, tops: Iterable[str], directories: list[OldDirectory]) -> Iterator[list[OldFile]]:
    """Files of all directories, some thousand at a time; the directories are remembered, without their files."""
    batch: list[OldFile] = []
    for directory in walk(source, tops):
        directories.append(replace(directory, files=()))
        for file in directory.files:
            batch.append(file)
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _do_batch(gateway: RucioGateway, wanted: list[Wanted], state: State, report: Report, dry_run: bool) -> None:
    todo: dict[Did, Wanted] = {}
    for file in wanted:
        found = differences(file, state)
        conflicts = [text for kind, text in found if kind is Kind.CONFLICT]
        for text in conflicts:
            report.problem(Kind.CONFLICT, file.old, text)
        report.add("already", not found)
        if found and not conflicts:
            todo[file.did] = file
            new = file.did not in state.records
            report.add("to_register", new)
            report.add("to_complete", not new)
    if dry_run or not todo:
        return
    # a file that had been finished, and gets another copy now, is unfinished until its metadata are set again
    gateway.clear_metadata({did: [OWNER] for did in todo if OWNER in state.metadata.get(did, {})})
    places, refused = find_places(gateway, todo)
    _drop(todo, refused, report)
    _drop(todo, _add_scopes(gateway, todo), report)
    unfinished = _add_copies(gateway, todo, state, report)
    _drop(todo, each_or_split(list(todo), lambda some: put_in_places(gateway, some, places)), report)
    metadata = {
        did: {key: value for key, value in file.metadata.items() if key != OWNER or did not in unfinished}
        for did, file in todo.items()
    }
    _drop(todo, each_or_split(list(todo), lambda some: gateway.set_metadata({d: metadata[d] for d in some})), report)
    report.add("done", len(todo.keys() - unfinished))


def _drop(todo: dict[Did, Wanted], errors: Mapping[Did, CtaRucioError], report: Report) -> None:
    for did, error in errors.items():
        if error.retryable:
            raise error
        file = todo.pop(did, None)
        if file is not None:
            report.problem(Kind.FAILED, file.old, str(error))


def _add_scopes(gateway: RucioGateway, todo: Mapping[Did, Wanted]) -> dict[Did, CtaRucioError]:
    """Add the scopes that are missing, each for the account of its first file."""
    owners: dict[str, str | None] = {}
    for did, file in todo.items():
        owners.setdefault(did.scope, file.account)
    errors: dict[Did, CtaRucioError] = {}
    for scope in owners.keys() - set(gateway.list_scopes()):
        try:
            gateway.add_scope(scope, owners[scope])
        except NotAllowed as error:
            remedy = f"scope {scope} doesn't exist, and account {gateway.account} may not add it"
            errors |= {did: NotAllowed(f"{remedy}: {error}") for did in todo if did.scope == scope}
    return errors


def _add_copies(gateway: RucioGateway, todo: dict[Did, Wanted], state: State, report: Report) -> set[Did]:
    """Register copies, and put the rules that keep them; a file without any copy is dropped.

    Returns
    -------
    set
        Files of which a copy, or its rule, is missing: they mustn't be taken for finished by the next run.
    """
    kept: set[Did] = set()
    unfinished: set[Did] = set()
    by_place: dict[tuple[str, str | None], list[Did]] = {}
    for did, file in todo.items():
        for rse in file.copies:
            by_place.setdefault((rse, file.account), []).append(did)
    for (rse, account), dids in sorted(by_place.items(), key=lambda item: (item[0][0], item[0][1] or "")):

        def keep(some: list[Did], rse: str = rse, account: str | None = account) -> None:
            records = [_with_pfn(todo[did], rse) for did in some]
            gateway.add_replicas(rse, records, known=state.records)
            gateway.add_rule(some, rse, account=account, comment=COMMENT)

        errors = each_or_split(dids, keep)
        kept |= set(dids) - errors.keys()
        unfinished |= errors.keys()
        for did, error in errors.items():
            if error.retryable:
                raise error
            report.problem(Kind.FAILED, todo[did].old, f"its copy at {rse}: {error}")
        report.add("copies", len(dids) - len(errors))
    for did in set(todo) - kept:
        del todo[did]
    return unfinished


def _with_pfn(file: Wanted, rse: str) -> FileRecord:
    record = file.record
    return FileRecord(
        record.did, record.size, adler32=record.adler32, md5=record.md5, guid=record.guid, pfn=file.copies[rse]
    )


def _check_rules(gateway: RucioGateway, scope: str, expected: set[tuple[str, str]], report: Report) -> None:
    for rule in gateway.list_rules(scope=scope):
        if rule.expires_at is None:
            expected.discard((rule.did.name, rule.rse_expression))
    for name, rse in sorted(expected):
        report.problem(Kind.RULE, name, f"no rule without an end keeps the copy at {rse}")


# -------------------------------------------------------------------- directories


def _present(
    gateway: RucioGateway, directories: list[OldDirectory], translation: Translation, report: Report
) -> Iterator[tuple[OldDirectory, Did, Mapping[str, Any] | None]]:
    """Directories with their metadata in Rucio; None where Rucio has none of that name."""
    for start in range(0, len(directories), BATCH):
        names: dict[Did, OldDirectory] = {}
        for directory in directories[start : start + BATCH]:
            report.add("directories")
            try:
                names[did_of(translation.path(directory.path))] = directory
            except InvalidInput as error:
                report.problem(Kind.IMPOSSIBLE, directory.path, str(error))
        found = gateway.get_metadata(names)
        for did, directory in names.items():
            yield directory, did, found.get(did)


def _do_directories(
    gateway: RucioGateway, directories: list[OldDirectory], translation: Translation, report: Report, dry_run: bool
) -> None:
    """Create the directories that the files didn't, and give all of them their metadata."""
    new: dict[str, OldDirectory] = {}
    metadata: dict[Did, tuple[OldDirectory, dict[str, Any]]] = {}
    for directory, did, old in _present(gateway, directories, translation, report):
        if old is None and not directory.directories and did.name != "/":
            new[did.name] = directory
        missing = {k: v for k, v in plain_values(directory.metadata).items() if (old or {}).get(k) != v}
        if missing:
            metadata[did] = (directory, missing)
    report.add("directories_to_create", len(new))
    report.add("directories_to_describe", len(metadata))
    if dry_run:
        return
    for path, error in add_directories(gateway, new).failed.items():
        report.problem(Kind.FAILED, new[path].path, str(error))
    errors = each_or_split(list(metadata), lambda some: gateway.set_metadata({did: metadata[did][1] for did in some}))
    for did, error in errors.items():
        report.problem(Kind.FAILED, metadata[did][0].path, str(error))
