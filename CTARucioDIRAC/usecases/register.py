"""Writing names: register files and copies, with their custodial rules, in their directories.

The order is copy → rule → directory, and every step may be repeated: whoever is stopped in the middle is completed by
the same call again. Nothing is left to the server's ``addfiles``, which would lock an arbitrary copy of each file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from CTARucioDIRAC.domain.errors import AlreadyExists, Conflict, CtaRucioError, NotAllowed
from CTARucioDIRAC.domain.identifiers import ROOT_SCOPE, Did, ancestors_of, chunks, parent_of, scope_of
from CTARucioDIRAC.gateway.protocol import DidRecord, DidType, FileRecord, RucioGateway
from CTARucioDIRAC.gateway.replicas import check_same_content

from .bulk import Bulk, each_or_split, identify, missing
from .files import alive
from .tree import FILES_DATASET, scope_path

COMMENT = "custodial copy, registered through DIRAC"
#: So many requests for rules are sent at the same time, none for fewer files than this.
_WRITERS = 4
_SHARE = 100


@dataclass(frozen=True)
class NewFile:
    """A file to register, and where it is."""

    lfn: str
    record: FileRecord
    rse: str


def add_files(gateway: RucioGateway, files: Iterable[NewFile]) -> Bulk[bool]:
    """Register files: a copy at an RSE each, a rule that keeps it there, a place in their directory.

    A file that is registered with the same content gets the copy in addition; one with other content fails, naming both
    checksums. N files in one directory at one RSE cost about 9 ⌈N / 1000⌉ requests.
    """
    answers: Bulk[bool] = Bulk()
    wanted = {file.lfn: file for file in files}
    names = identify(wanted, answers)
    known = gateway.get_dids(names.values())
    good: dict[Did, NewFile] = {}
    for lfn, did in names.items():
        try:
            if did in known:
                check_same_content(replace(wanted[lfn].record, did=did), known[did])
            good[did] = wanted[lfn]
        except CtaRucioError as error:
            answers.failed[lfn] = error
    places, refused = find_places(gateway, good)
    _fail(answers, good, refused)
    _fail(answers, good, _add_scopes(gateway, good, places))
    _keep_copies(gateway, good, known, answers)
    _fail(answers, good, each_or_split(list(good), lambda some: put_in_places(gateway, some, places)))
    for file in good.values():
        answers.done[file.lfn] = True
    return answers


def add_copies(gateway: RucioGateway, copies: Mapping[str, str]) -> Bulk[bool]:
    """Register a further copy of files that exist, at the RSE given for each, and a rule that keeps it there."""
    answers: Bulk[bool] = Bulk()
    names = identify(copies, answers)
    known = alive(gateway, names.values())
    good: dict[Did, NewFile] = {}
    for lfn, did in names.items():
        record = known.get(did)
        if record is None or record.type is not DidType.FILE:
            answers.failed[lfn] = missing()
        else:
            content = FileRecord(did, record.size or 0, adler32=record.adler32, md5=record.md5)
            good[did] = NewFile(lfn, content, copies[lfn])
    _keep_copies(gateway, good, known, answers)
    for file in good.values():
        answers.done[file.lfn] = True
    return answers


def _fail(answers: Bulk[bool], good: dict[Did, NewFile], errors: Mapping[Did, CtaRucioError]) -> None:
    for did, error in errors.items():
        answers.failed[good.pop(did).lfn] = error


def _add_scopes(gateway: RucioGateway, dids: Iterable[Did], places: Mapping[str, Place]) -> dict[Did, CtaRucioError]:
    """Add the scopes that are missing; where the account may not, say so for each file in them."""
    new = {
        did.scope: None
        for did in dids
        for top, _ in places[parent_of(did.name)].missing
        if top.name == scope_path(did.scope, did.name.split("/")[1])
    }
    if not new:
        return {}
    errors: dict[Did, CtaRucioError] = {}
    for scope in new.keys() - set(gateway.list_scopes()):
        try:
            gateway.add_scope(scope)
        except NotAllowed as error:
            remedy = f"scope {scope} doesn't exist, and account {gateway.account} may not add it: ask an administrator"
            errors |= {did: NotAllowed(f"{remedy} ({error})") for did in dids if did.scope == scope}
    return errors


def _keep_copies(
    gateway: RucioGateway, good: dict[Did, NewFile], known: Mapping[Did, DidRecord], answers: Bulk[bool]
) -> None:
    """Register the copies and put the rules; what fails moves from ``good`` to ``answers``."""
    by_rse: dict[str, list[Did]] = {}
    for did, file in good.items():
        by_rse.setdefault(file.rse, []).append(did)
    for rse, dids in by_rse.items():

        def keep(some: list[Did], rse: str = rse) -> None:
            gateway.add_replicas(rse, [replace(good[did].record, did=did) for did in some], known=known)
            _add_rules(gateway, some, rse)

        _fail(answers, good, each_or_split(dids, keep))


def _add_rules(gateway: RucioGateway, dids: list[Did], rse: str) -> None:
    """Put a rule on each file: what registration costs most, and what several of the server's processes can share."""
    size = max(_SHARE, -(-len(dids) // _WRITERS))
    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(lambda share: gateway.add_rule(share, rse, comment=COMMENT), chunks(dids, size)):
            pass


@dataclass(frozen=True)
class Place:
    """Dataset that takes the files of a directory."""

    dataset: Did
    missing: tuple[tuple[Did, DidType], ...]  #: collections to create, from the top down
    chain: tuple[tuple[Did, Did], ...]  #: parent and child to attach, from the top down


def find_places(gateway: RucioGateway, dids: Iterable[Did]) -> tuple[dict[str, Place], dict[Did, CtaRucioError]]:
    """Find a dataset for the directory of each file, without writing anything.

    Returns
    -------
    dict
        Place by directory.
    dict
        Why a file can have none: a file, or a closed dataset, is in the way.
    """
    by_directory: dict[str, list[Did]] = {}
    for did in dids:
        by_directory.setdefault(parent_of(did.name), []).append(did)
    paths = {path for directory in by_directory for path in (*ancestors_of(directory), directory) if path != "/"}
    extra = {f"{directory}/{FILES_DATASET}" for directory in by_directory if directory != "/"}
    known = alive(gateway, [_collection(path) for path in (*sorted(paths), *sorted(extra))])
    places: dict[str, Place] = {}
    errors: dict[Did, CtaRucioError] = {}
    for directory, files in by_directory.items():
        try:
            places[directory] = _place(directory, known)
        except CtaRucioError as error:
            errors |= dict.fromkeys(files, error)
    return places, errors


def _collection(path: str) -> Did:
    return Did(scope_of(path), path)


def _place(directory: str, known: Mapping[Did, DidRecord]) -> Place:
    if directory == "/":
        raise Conflict("no file can be registered in /: every path begins with the virtual organisation")
    own = known.get(_collection(directory))
    holds_directories = own is not None and own.type is DidType.CONTAINER
    leaf = _collection(f"{directory}/{FILES_DATASET}" if holds_directories else directory)
    here = known.get(leaf)
    if here is not None and here.type is not DidType.DATASET:
        raise AlreadyExists(f"{leaf} is a {here.type}: no file can be registered below it")
    if here is not None and not here.is_open:
        raise Conflict(f"{leaf} is a closed dataset: no file can be added to it")
    create: list[tuple[Did, DidType]] = []
    way: list[Did] = []
    for path in ancestors_of(leaf.name):
        did = _collection(path)
        record = known.get(did)
        if record is not None and record.type is DidType.FILE:
            raise AlreadyExists(f"{did} is a file: nothing can be below it")
        if record is None:
            create.append((did, DidType.CONTAINER))
        if record is None or record.type is DidType.CONTAINER:
            way.append(did)  # a dataset on the way can't hold collections: its place is taken by the container above
    if here is None:
        create.append((leaf, DidType.DATASET))
    return Place(leaf, tuple(create), tuple(zip(way, [*way[1:], leaf], strict=True)))


def put_in_places(gateway: RucioGateway, dids: Iterable[Did], places: Mapping[str, Place]) -> None:
    """Attach files to the datasets of their directories, which are created if need be."""
    members: dict[Place, list[Did]] = {}
    for did in dids:
        members.setdefault(places[parent_of(did.name)], []).append(did)
    make_places(gateway, members)
    gateway.attach({place.dataset: some for place, some in members.items()})


def make_places(gateway: RucioGateway, places: Iterable[Place]) -> None:
    """Create the collections of directories and attach each to the one above.

    What lies above the scopes (``/<vo>`` and ``/<vo>/user``) belongs to the administrators: an account that may not
    create or fill it leaves it as it is, since the view of directories doesn't need it.
    """
    wanted = list(places)
    missing_ones = {item: None for place in wanted for item in place.missing}
    by_type = {kind: [did for did, its in missing_ones if its is kind] for kind in DidType}
    _top_or_all(by_type[DidType.CONTAINER], gateway.add_containers)
    if by_type[DidType.DATASET]:
        gateway.add_datasets(by_type[DidType.DATASET])
    links = {link: None for place in wanted if not _attached(gateway, place) for link in place.chain}
    top = {link for link in links if link[0].scope == ROOT_SCOPE}
    if top:
        _allowed(lambda: _attach(gateway, top))
    if len(links) > len(top):
        _attach(gateway, links.keys() - top)


def _attached(gateway: RucioGateway, place: Place) -> bool:
    """Links are made from the top down: the last one says that all are there."""
    if not place.chain:
        return True
    parent, child = place.chain[-1]
    return not place.missing and any(above.did == parent for above in gateway.list_parents(child))


def _attach(gateway: RucioGateway, links: Iterable[tuple[Did, Did]]) -> None:
    content: dict[Did, list[Did]] = {}
    for parent, child in sorted(links):
        content.setdefault(parent, []).append(child)
    gateway.attach(content)


def _top_or_all(dids: list[Did], create: Callable[[list[Did]], None]) -> None:
    top = [did for did in dids if did.scope == ROOT_SCOPE]
    if top:
        _allowed(lambda: create(top))
    rest = [did for did in dids if did.scope != ROOT_SCOPE]
    if rest:
        create(rest)


def _allowed(act: Callable[[], None]) -> None:
    """Do what is good to have where the account may."""
    with contextlib.suppress(NotAllowed):
        act()


def add_directories(gateway: RucioGateway, lfns: Iterable[str]) -> Bulk[bool]:
    """Create directories, as datasets, so that files can be put into them; existing ones are fine."""
    answers: Bulk[bool] = Bulk()
    names = identify(lfns, answers)
    known = alive(gateway, names.values())
    new: dict[Did, str] = {}
    for lfn, did in names.items():
        if did not in known and did.name != "/":
            new[did] = lfn
        elif did in known and known[did].type is DidType.FILE:
            answers.failed[lfn] = AlreadyExists(f"{did} is a file")
        else:
            answers.done[lfn] = True
    places, refused = find_places(gateway, [Did(did.scope, f"{did.name}/x") for did in new])
    errors = {Did(did.scope, parent_of(did.name)): error for did, error in refused.items()}
    good = [did for did in new if did not in errors]
    refused = _add_scopes(gateway, [Did(did.scope, f"{did.name}/x") for did in good], places)
    errors |= {Did(did.scope, parent_of(did.name)): error for did, error in refused.items()}
    good = [did for did in good if did not in errors]
    errors |= each_or_split(good, lambda some: make_places(gateway, {places[did.name] for did in some}))
    for did, lfn in new.items():
        if did in errors:
            answers.failed[lfn] = errors[did]
        else:
            answers.done[lfn] = True
    return answers
