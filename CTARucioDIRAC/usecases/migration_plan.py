"""What Rucio shall have of another catalogue's files, what it has, and how these differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from CTARucioDIRAC.domain.errors import CtaRucioError, DifferentContent, InvalidInput
from CTARucioDIRAC.domain.identifiers import Did, did_of, validate_lfn
from CTARucioDIRAC.domain.metadata_fields import ANCESTORS
from CTARucioDIRAC.gateway.protocol import DidRecord, FileRecord, FileReplicas, Rse, RucioGateway
from CTARucioDIRAC.gateway.replicas import check_same_content

from .ancestors import as_text
from .files import now
from .migration_report import Kind, Report
from .migration_source import OldFile, plain

#: Keys of files' metadata that say whose they were: a DIRAC user, and the group.
OWNER, GROUP = "dirac_owner", "dirac_group"


@dataclass(frozen=True)
class Translation:
    """How names change on the way.

    Attributes
    ----------
    prefixes : mapping
        New path by old path of trees of directories; the longest that fits decides. Others keep their names.
    elements : mapping
        RSE by storage element, where they have different names.
    account : callable
        Rucio account of a DIRAC user and group; None if there is none: then rules are the migrating account's, as they
        all are where it isn't given.
    """

    prefixes: Mapping[str, str] = field(default_factory=dict)
    elements: Mapping[str, str] = field(default_factory=dict)
    account: Callable[[str, str], str | None] | None = None

    def path(self, old: str) -> str:
        """New name of a path."""
        for prefix in sorted(self.prefixes, key=len, reverse=True):
            if old == prefix or old.startswith(f"{prefix.rstrip('/')}/"):
                return validate_lfn(f"{self.prefixes[prefix].rstrip('/')}/{old[len(prefix.rstrip('/')) :].lstrip('/')}")
        return validate_lfn(old)


@dataclass(frozen=True)
class Wanted:
    """What Rucio shall have of a file."""

    old: str
    record: FileRecord
    copies: Mapping[str, str | None]  #: PFN by RSE; None where it follows from the name
    metadata: Mapping[str, Any]
    account: str | None

    @property
    def did(self) -> Did:
        """Its name in Rucio."""
        return self.record.did


@dataclass(frozen=True)
class State:
    """What Rucio has of some files."""

    records: Mapping[Did, DidRecord]
    copies: Mapping[Did, FileReplicas]
    metadata: Mapping[Did, Mapping[str, Any]]


def translate(
    files: Iterable[OldFile], translation: Translation, rses: Mapping[str, Rse], report: Report
) -> list[Wanted]:
    """What Rucio shall have of some files; what can't be brought there goes to the report."""
    wanted: dict[Did, Wanted] = {}
    for file in files:
        report.add("files")
        report.add("bytes", file.size)
        try:
            one = _wanted(file, translation, rses, report)
        except CtaRucioError as error:
            report.problem(Kind.IMPOSSIBLE, file.lfn, str(error))
            continue
        if one is None:
            continue
        if one.did in wanted:
            report.problem(Kind.IMPOSSIBLE, file.lfn, f"{wanted[one.did].old} gets the same name, {one.did}")
        else:
            wanted[one.did] = one
    return list(wanted.values())


def _wanted(file: OldFile, translation: Translation, rses: Mapping[str, Rse], report: Report) -> Wanted | None:
    did = did_of(translation.path(file.lfn))
    if not file.good:
        report.problem(Kind.LEFT, file.lfn, "the old catalogue hides it")
        return None
    copies: dict[str, str | None] = {}
    for copy in file.copies:
        rse = rses.get(translation.elements.get(copy.element, copy.element))
        if not copy.good:
            report.problem(Kind.LEFT, file.lfn, f"its copy at {copy.element}, which can't be read")
        elif rse is None:
            report.problem(Kind.IMPOSSIBLE, file.lfn, f"{copy.element} is no RSE: say which it is (--se OLD=NEW)")
        elif not rse.deterministic and not copy.pfn:
            report.problem(Kind.IMPOSSIBLE, file.lfn, f"the address of its copy at {copy.element} isn't known")
        else:
            copies[rse.name] = None if rse.deterministic else copy.pfn
    if not file.copies:
        report.problem(Kind.IMPOSSIBLE, file.lfn, "it has no copy, and Rucio knows files by their copies")
    if not copies:
        return None
    account = translation.account(file.owner, file.group) if translation.account else None
    report.add("without_account", translation.account is not None and account is None)
    report.add("without_checksum", not file.checksum)
    return Wanted(
        old=file.lfn,
        record=_record(did, file),
        copies=copies,
        metadata=plain_values(file.metadata)
        | _ancestors(file, translation, report)
        | {OWNER: file.owner, GROUP: file.group},
        account=account,
    )


def _ancestors(file: OldFile, translation: Translation, report: Report) -> dict[str, str]:
    """What a file was made from, as the catalogue keeps it; whether these are in Rucio already doesn't matter."""
    names = {}
    for name in file.ancestors:
        try:
            names[translation.path(name)] = 1
        except InvalidInput as error:
            report.problem(Kind.IMPOSSIBLE, file.lfn, f"its ancestor {name}: {error}")
    return {ANCESTORS: as_text(names)} if names else {}


def _record(did: Did, file: OldFile) -> FileRecord:
    checksum = file.checksum.strip().lower()
    checksum = checksum.removeprefix("0x") if len(checksum) <= 10 else checksum
    if checksum and (len(checksum) > 8 and len(checksum) != 32 or set(checksum) - set("0123456789abcdef")):
        raise InvalidInput(f"{file.checksum!r} is neither an adler32 nor an md5 checksum")
    md5 = checksum if len(checksum) == 32 else None
    adler32 = checksum.rjust(8, "0") if checksum and md5 is None else None
    return FileRecord(did, file.size, adler32=adler32, md5=md5, guid=file.guid or None)


def plain_values(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: plain(value) for key, value in metadata.items()}


def look(gateway: RucioGateway, wanted: Iterable[Wanted]) -> State:
    """What Rucio has of some files: 3 requests for a thousand."""
    dids = [file.did for file in wanted]
    if not dids:
        return State({}, {}, {})
    records = gateway.get_dids(dids)
    known = list(records)
    copies = gateway.list_replicas(known, all_states=True) if known else {}
    return State(records, copies, gateway.get_metadata(known) if known else {})


def differences(file: Wanted, state: State) -> list[tuple[Kind, str]]:
    """What Rucio lacks of a file, or has otherwise."""
    record = state.records.get(file.did)
    if record is None:
        return [(Kind.MISSING, f"{file.did} isn't in Rucio")]
    if record.expired(now()):
        return [(Kind.CONFLICT, f"{file.did} is being removed from Rucio: repeat this later")]
    try:
        check_same_content(file.record, record)
    except DifferentContent as error:
        return [(Kind.CONFLICT, str(error))]
    found = []
    there = {replica.rse for replica in state.copies[file.did].replicas} if file.did in state.copies else set()
    lacking = sorted(set(file.copies) - there)
    if lacking:
        found.append((Kind.COPY, f"no copy of {file.did} at {', '.join(lacking)}"))
    values = state.metadata.get(file.did, {})
    other = {key: value for key, value in file.metadata.items() if key not in values or values[key] != value}
    if other:
        found.append((Kind.METADATA, f"metadata of {file.did} differ: {other} wanted"))
    return found
