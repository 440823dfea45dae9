"""Rucio's records in the shapes of DIRAC's file catalogue, with owners and groups as DIRAC knows them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from DIRAC.ConfigurationSystem.Client.Helpers.Registry import (
    findDefaultGroupForUser,
    getDNForUsername,
    getUsersInGroup,
    getVOMSAttributeForGroup,
)

from CTARucioDIRAC.ConfigurationSystem.Client.RucioConfiguration import (
    groups_of_account,
    groups_with_own_accounts,
    users_of_account,
)
from CTARucioDIRAC.Core.Utilities.Kept import Kept
from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.domain.identifiers import did_of, validate_lfn
from CTARucioDIRAC.gateway.protocol import DidRecord, FileRecord, Replica, ReplicaState
from CTARucioDIRAC.usecases.datasets import Dataset
from CTARucioDIRAC.usecases.directories import Dump, Entries, Size
from CTARucioDIRAC.usecases.register import NewFile

#: Rucio has no modes: files and directories can be read by all, and written by those whom Rucio lets.
FILE_MODE = 0o664
DIRECTORY_MODE = 0o775
GOOD = "AprioriGood"
_EPOCH = dt.datetime(1970, 1, 1)


def naive(time: dt.datetime) -> dt.datetime:
    """Time in UTC without saying so, as DIRAC has it."""
    return time.astimezone(dt.UTC).replace(tzinfo=None)


#: Groups with their users, by account; the registry may change while a service runs.
_members: Kept[dict[str, list[str]]] = Kept(seconds=300)


def members(account: str) -> dict[str, list[str]]:
    """Users who act as a Rucio account, by DIRAC group; none for accounts that nobody of DIRAC uses."""
    found: dict[str, list[str]] = {group: list(getUsersInGroup(group)) for group in groups_of_account(account)}
    for user in users_of_account(account):
        for group in groups_with_own_accounts(user):
            found.setdefault(group, []).insert(0, user)
    return found


def ownership(account: str, path: str) -> dict[str, Any]:
    """Owner and group, with the DN and role that DIRAC's requests are executed with.

    The owner of what lies below ``/<vo>/user/<x>/<name>`` is that user; elsewhere whose account it is, or, as an account
    belongs to a group, the first user of it stands for all. The group is one of the account's with the owner in it, else
    the owner's usual one. An account that nobody of DIRAC uses stands for itself.
    """
    groups = _members.get(account, lambda: members(account))
    parts = path.split("/")
    owner = (
        parts[4] if len(parts) > 4 and parts[2] == "user" else next((u for us in groups.values() for u in us), account)
    )
    group = next((name for name, users in groups.items() if owner in users), "")
    if not group:
        default = findDefaultGroupForUser(owner)
        group = str(default["Value"]) if default["OK"] else next(iter(groups), account)
    dns = getDNForUsername(owner)
    return {
        "Owner": owner,
        "OwnerGroup": group,
        "OwnerDN": dns["Value"][0] if dns["OK"] and dns["Value"] else "",
        "OwnerRole": getVOMSAttributeForGroup(group) or "",
        "UID": 0,
        "GID": 0,
    }


def file_metadata(record: DidRecord, status: str | None = None) -> dict[str, Any]:
    """Metadata of a file; ``status`` is DIRAC's word for it, if it isn't the usual one.

    DIRAC compares ``Checksum`` with the adler32 of what it has downloaded: of a file with an md5 only, it must be empty.
    """
    return {
        "Size": record.size or 0,
        "Checksum": record.adler32 or "",
        "ChecksumType": "Adler32" if record.adler32 else "",
        "MD5": record.md5 or "",
        "GUID": record.guid or "",
        "CreationDate": naive(record.created_at),
        "ModificationDate": naive(record.updated_at),
        "Mode": FILE_MODE,
        "Status": status or GOOD,
        **ownership(record.account, record.did.name),
    }


def directory_metadata(record: DidRecord | None, path: str, account: str = "root") -> dict[str, Any]:
    """Metadata of a directory; one that only names below it imply is ``account``'s, and as old as time."""
    return {
        "CreationDate": naive(record.created_at) if record else _EPOCH,
        "ModificationDate": naive(record.updated_at) if record else _EPOCH,
        "Mode": DIRECTORY_MODE,
        "Status": 0,
        **ownership(record.account if record else account, path),
    }


def replica_status(replica: Replica) -> str:
    """DIRAC's word for a good copy, Rucio's for all others."""
    return GOOD if replica.state is ReplicaState.AVAILABLE else replica.state.value


def new_file(lfn: str, info: Any) -> NewFile:
    """File to register, as DIRAC describes it: ``{PFN, Size, SE, GUID, Checksum}``.

    Raises
    ------
    InvalidInput
        Naming what is missing or can't be right.
    """
    if not isinstance(info, dict) or not info.get("SE"):
        raise InvalidInput(f"{lfn}: a dictionary with Size, SE and Checksum is needed to register a file")
    try:
        size = int(info.get("Size", -1))
    except (TypeError, ValueError):
        size = -1
    if size < 0:
        raise InvalidInput(f"{lfn}: Size {info.get('Size')!r} is no number of bytes")
    checksum = str(info.get("Checksum") or "").lower()
    kind = str(info.get("ChecksumType") or ("MD5" if len(checksum) == 32 else "Adler32")).upper()
    record = FileRecord(
        did=did_of(lfn if not lfn.startswith("/") else validate_lfn(lfn)),
        size=size,
        adler32=_hex(lfn, checksum, 8) if kind != "MD5" else None,
        md5=_hex(lfn, checksum, 32) if kind == "MD5" else None,
        guid=str(info["GUID"]) if info.get("GUID") else None,
    )
    return NewFile(lfn, record, str(info["SE"]))


def _hex(lfn: str, checksum: str, digits: int) -> str:
    padded = checksum.rjust(digits, "0")
    if not checksum or len(padded) != digits or any(digit not in "0123456789abcdef" for digit in padded):
        raise InvalidInput(f"{lfn}: {checksum!r} is no checksum of {digits} hexadecimal digits")
    return padded


def plain_listing(entries: Entries) -> dict[str, Any]:
    """What is in a directory, by name."""
    return {
        "Files": {lfn: {"MetaData": {"Size": size or 0}} for lfn, size in entries.files.items()},
        "SubDirs": dict.fromkeys(entries.directories, True),
        "Links": dict.fromkeys(entries.links, True),
        "Datasets": {},
    }


def verbose_listing(entries: Entries) -> dict[str, Any]:
    """What is in a directory, with metadata and copies."""
    listing = plain_listing(entries)
    listing["Files"] = {
        lfn: {
            "MetaData": file_metadata(record),
            "Replicas": {
                replica.rse: {"Status": replica_status(replica), "RepType": "Replica", "PFN": replica.pfn}
                for replica in (entries.replicas[lfn].replicas if lfn in entries.replicas else ())
            },
        }
        for lfn, record in entries.records.items()
    }
    listing["SubDirs"] = {path: directory_metadata(entries.above.get(path), path) for path in entries.directories}
    return listing


def dataset_parameters(dataset: Dataset) -> dict[str, Any]:
    """What is known of a dataset. Rucio has no numbers for datasets and directories: theirs are 0."""
    record = dataset.record
    owner = ownership(record.account, record.did.name)
    return {
        "DatasetID": 0,
        "DirID": 0,
        "MetaQuery": dict(dataset.query or {}),
        "TotalSize": dataset.content.size if dataset.content else record.size or 0,
        "NumberOfFiles": dataset.content.files if dataset.content else record.length or 0,
        "Owner": owner["Owner"],
        "OwnerGroup": owner["OwnerGroup"],
        "Status": dataset.status,
        "CreationDate": naive(record.created_at),
        "ModificationDate": naive(dataset.modified or record.updated_at),
        "DatasetHash": dataset.content.digest if dataset.content else "",
        "Mode": DIRECTORY_MODE,
    }


def dataset_listing(found: Iterable[Dataset], *, verbose: bool) -> dict[str, Any]:
    """Datasets in a directory, by the last component of their names."""
    listing: dict[str, Any] = {}
    for dataset in found:
        values = dataset_parameters(dataset) | {"UID": 0, "GID": 0}
        entry: dict[str, Any] = {"Metadata": values}
        if verbose:
            entry["Annotation"] = dataset.annotation
        listing[dataset.record.did.name.rpartition("/")[2]] = entry
    return listing


def directory_dump(found: Dump) -> dict[str, Any]:
    """Everything below a directory."""
    return {
        "Files": {
            lfn: {"Size": record.size or 0, "CreationDate": file_metadata(record)["CreationDate"]}
            for lfn, record in found.files.items()
        },
        "SubDirs": sorted(found.directories),
    }


def directory_size(size: Size) -> dict[str, Any]:
    """How much is in a directory."""
    answer: dict[str, Any] = {
        "LogicalSize": size.bytes,
        "LogicalFiles": size.files,
        "LogicalDirectories": size.directories,
    }
    if size.copies is not None:
        physical: dict[str, Any] = {rse: {"Size": b, "Files": n} for rse, (b, n) in sorted(size.copies.items())}
        physical["TotalSize"] = sum(b for b, _ in size.copies.values())
        physical["TotalFiles"] = sum(n for _, n in size.copies.values())
        answer["PhysicalSize"] = physical
    return answer
