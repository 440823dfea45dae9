"""What happens to raw data before DIRAC hears of it, with plain Rucio, as CTAO's Bulk Data Management System does it.

Nothing here knows of DIRAC or of this package's catalogue: the demonstration shows that data which came in this way works.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import gfal2
from rucio.client import Client
from rucio.common.exception import DuplicateContent, DuplicateRule, RucioException

from CTARucioDIRAC.demo.raw import RawData, RawFile
from CTARucioDIRAC.domain.errors import DifferentContent, Unavailable
from CTARucioDIRAC.domain.identifiers import did_of, parent_of

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Copies:
    """Result of a check of the copies at a storage, read back from the storage itself."""

    rse: str
    verified: int
    failures: tuple[str, ...]


def ingest(client: Client, data: RawData, rse: str, progress: Progress) -> list[str]:
    """Bring files to a storage on site and register them, those that are registered already with the same content excepted.

    The datasets are the files' directories; containers begin below the scope. No rule holds the copies.

    Returns
    -------
    list of str
        Names of the datasets.
    """
    files = list(data.files)
    for scope in {did_of(file.lfn).scope for file in files}:
        if scope not in set(client.list_scopes()):
            client.add_scope(client.account, scope)
    _upload(client, files, rse, progress)
    directories: dict[str, list[RawFile]] = defaultdict(list)
    for file in files:
        directories[parent_of(file.lfn)].append(file)
    for number, (directory, members) in enumerate(sorted(directories.items())):
        _add_directory(client, directory)
        progress("registering", number, len(directories))
        _register(client, members, rse, directory)
    progress("registering", len(directories), len(directories))
    return sorted(directories)


def _upload(client: Client, files: Sequence[RawFile], rse: str, progress: Progress) -> None:
    context = gfal2.creat_context()
    parameters = context.transfer_parameters()
    parameters.create_parent = True
    parameters.overwrite = True
    known = _available(client, files)
    for number, file in enumerate(files):
        progress(f"writing to {rse}", number, len(files))
        if file.lfn in known:
            continue
        name = str(did_of(file.lfn))
        target = next(iter(client.lfns2pfns(rse, [name], operation="write", scheme="root").values()))
        context.filecopy(parameters, f"file://{file.path}", target)
    progress(f"writing to {rse}", len(files), len(files))


def _available(client: Client, files: Iterable[RawFile]) -> set[str]:
    """Files that have a readable copy somewhere already: an earlier demonstration brought them.

    Raises
    ------
    DifferentContent
        If a name is registered with another content: that file would be processed in place of this one.
    """
    wanted = {file.lfn: file for file in files}
    dids = [{"scope": did_of(lfn).scope, "name": lfn} for lfn in wanted]
    known = set()
    for replica in client.list_replicas(dids):
        file = wanted[replica["name"]]
        if (replica["bytes"], replica["adler32"]) != (file.size, file.adler32):
            raise DifferentContent(
                f"{file.path} would be {file.lfn}, which is registered with other content: {replica['bytes']} bytes, adler32 "
                f"{replica['adler32']}, here {file.size} bytes, {file.adler32}. Rename the file."
            )
        if any(state == "AVAILABLE" for state in replica["states"].values()):
            known.add(file.lfn)
    return known


def _add_directory(client: Client, directory: str) -> None:
    """The dataset of a directory, attached to containers that begin at /VO/scope/level, as BDMS makes them."""
    parts = directory.strip("/").split("/")
    chain = ["/" + "/".join(parts[:depth]) for depth in range(3, len(parts) + 1)]
    for name in chain[:-1]:
        _again(lambda name=name: client.add_container(did_of(name).scope, name))
    _again(lambda: client.add_dataset(did_of(directory).scope, directory))
    for parent, child in zip(chain, chain[1:], strict=False):
        _again(
            lambda parent=parent, child=child: client.attach_dids(
                did_of(parent).scope, parent, [{"scope": did_of(child).scope, "name": child}]
            )
        )


def _register(client: Client, files: Sequence[RawFile], rse: str, directory: str) -> None:
    known = _available(client, files)
    new = [
        {"scope": did_of(f.lfn).scope, "name": f.lfn, "bytes": f.size, "adler32": f.adler32}
        for f in files
        if f.lfn not in known
    ]
    if new:
        client.add_replicas(rse, new)
    client.set_dids_metadata_bulk(
        [{"scope": did_of(f.lfn).scope, "name": f.lfn, "meta": dict(f.metadata)} for f in files]
    )
    for file in files:
        child = {"scope": did_of(file.lfn).scope, "name": file.lfn}
        _again(lambda child=child: client.attach_dids(child["scope"], directory, [child]))


def _again(call: Callable[[], Any]) -> None:
    """Call, and be content if it was done before."""
    from rucio.common.exception import DataIdentifierAlreadyExists, FileAlreadyExists

    try:
        call()
    except (DataIdentifierAlreadyExists, DuplicateContent, FileAlreadyExists):
        return


def add_rules(client: Client, datasets: Iterable[str], rse: str) -> list[str]:
    """A permanent rule on each dataset; returns the rules' ids."""
    ids = []
    for name in datasets:
        did = {"scope": did_of(name).scope, "name": name}
        try:
            ids += client.add_replication_rule([did], 1, rse, grouping="DATASET")
        except DuplicateRule:
            ids += [
                rule["id"]
                for rule in client.list_did_rules(**did)
                if rule["rse_expression"] == rse and not rule["expires_at"]
            ]
    return ids


def wait_for_rules(client: Client, ids: Sequence[str], what: str, deadline: float, progress: Progress) -> None:
    """Wait until every copy that the rules ask for is there.

    Raises
    ------
    Unavailable
        After ``deadline`` seconds, with what the rules say.
    """
    end = time.monotonic() + deadline
    while True:
        rules = [client.get_replication_rule(rule) for rule in ids]
        done = sum(rule["locks_ok_cnt"] for rule in rules)
        total = sum(rule["locks_ok_cnt"] + rule["locks_replicating_cnt"] + rule["locks_stuck_cnt"] for rule in rules)
        progress(what, done, total)
        open_rules = [rule for rule in rules if rule["state"] != "OK"]
        if not open_rules:
            return
        if time.monotonic() > end:
            rule = open_rules[0]
            raise Unavailable(
                f"{what}: {total - done} of {total} copies are missing after {deadline:.0f} s; rule {rule['id']} on "
                f"{rule['name']} is {rule['state']}: {rule['error']}"
            )
        time.sleep(1)  # between two questions; the rules' state is the condition


def verify(client: Client, files: Sequence[RawFile], rse: str, tape: bool, progress: Progress) -> Copies:
    """Read the copies' checksums back from a disk storage, or a tape storage's word that they are archived."""
    context = gfal2.creat_context()
    dids = [{"scope": did_of(f.lfn).scope, "name": f.lfn} for f in files]
    replicas = {r["name"]: r for r in client.list_replicas(dids, schemes=["root"], rse_expression=rse)}
    failures = []
    for number, file in enumerate(files):
        progress(f"verifying at {rse}", number, len(files))
        pfns = replicas.get(file.lfn, {}).get("rses", {}).get(rse, [])
        try:
            if not pfns:
                failures.append(f"{file.lfn}: no copy at {rse}")
            elif tape:
                status = context.getxattr(pfns[0], "user.status")
                if "NEARLINE" not in status:
                    failures.append(f"{file.lfn}: not archived ({status.strip()})")
            elif (found := context.checksum(pfns[0], "adler32")).zfill(8) != file.adler32:
                failures.append(f"{file.lfn}: checksum {found} at {rse}, {file.adler32} in the catalogue")
        except gfal2.GError as error:
            failures.append(f"{file.lfn}: {error}")
    progress(f"verifying at {rse}", len(files), len(files))
    return Copies(rse, len(files) - len(failures), tuple(failures))


def release(
    client: Client, files: Sequence[RawFile], rules: Iterable[str], rse: str, deadline: float, progress: Progress
) -> None:
    """End the rules at a storage and wait until its copies are gone.

    Raises
    ------
    Unavailable
        If copies remain after ``deadline`` seconds.
    """
    for rule in rules:
        client.update_replication_rule(rule, {"locked": False, "lifetime": 0, "purge_replicas": True})
    dids = [{"scope": did_of(f.lfn).scope, "name": f.lfn} for f in files]
    end = time.monotonic() + deadline
    while True:
        left = [r for r in client.list_replicas(dids, all_states=True) if rse in r["states"]]
        progress(f"releasing {rse}", len(files) - len(left), len(files))
        if not left:
            return
        if time.monotonic() > end:
            raise Unavailable(f"{len(left)} copies are still at {rse} {deadline:.0f} s after their release")
        time.sleep(1)  # between two questions; the absence of the copies is the condition


__all__ = ["Copies", "RucioException", "add_rules", "ingest", "release", "verify", "wait_for_rules"]
