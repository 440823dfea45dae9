"""Rucio's answers and errors → this package's types and errors. Pure."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import Did

from .protocol import (
    Content,
    DidRecord,
    DidType,
    FileReplicas,
    Grouping,
    Replica,
    ReplicaState,
    Rse,
    RseType,
    RseUsage,
    Rule,
    RuleState,
)

_ERRORS: dict[type[errors.CtaRucioError], tuple[str, ...]] = {
    errors.NotFound: (
        "AccountNotFound",
        "DataIdentifierNotFound",
        "KeyNotFound",
        "ReplicaNotFound",
        "RSENotFound",
        "RSEProtocolNotSupported",
        "RuleNotFound",
        "ScopeNotFound",
    ),
    errors.AlreadyExists: (
        "DataIdentifierAlreadyExists",
        "Duplicate",
        "DuplicateContent",
        "DuplicateRule",
        "FileAlreadyExists",
        "FileReplicaAlreadyExists",
    ),
    errors.DifferentContent: ("FileConsistencyMismatch",),
    errors.Conflict: (
        "InsufficientTargetRSEs",
        "ManualRuleApprovalBlocked",
        "ReplicaIsLocked",
        "RSEOverQuota",
        "UnsupportedOperation",
    ),
    errors.NotAllowed: ("AccessDenied", "InsufficientAccountLimit"),
    errors.NotAuthenticated: ("CannotAuthenticate", "CannotAuthorize", "IdentityError", "IdentityNotFound"),
    errors.InvalidInput: (
        "DIDFilterSyntaxError",
        "DuplicateCriteriaInDIDFilter",
        "InputValidationError",
        "InvalidMetadata",
        "InvalidObject",
        "InvalidPath",
        "InvalidReplicationRule",
        "InvalidRequest",
        "InvalidRSEExpression",
        "InvalidSourceReplicaExpression",
        "InvalidType",
        "InvalidValueForKey",
        "StagingAreaRuleRequiresLifetime",
        "UnsupportedMetadataPlugin",
    ),
    errors.Unavailable: (
        "DatabaseException",
        "ReplicationRuleCreationTemporaryFailed",
        "ResourceTemporaryUnavailable",
        "RSEWriteBlocked",
        "ServerConnectionException",
        "ServiceUnavailable",
    ),
}
_BY_NAME = {name: kind for kind, names in _ERRORS.items() for name in names}
_MAX_TEXT = 400
#: Keys that Rucio keeps in columns of its own, with their widths.
COLUMN_WIDTHS = {
    "datatype": 50,
    "stream_name": 70,
    "project": 50,
    "prod_step": 50,
    "version": 50,
    "campaign": 50,
    "phys_group": 25,
    "provenance": 2,
}
MAX_TEXT = 10**9


def error_from(name: str, text: str, doing: str) -> errors.CtaRucioError:
    """Error for a Rucio exception of a given class name.

    Parameters
    ----------
    doing : str
        What was asked for, such as ``"adding 3 replicas at PIC-DISK"``; begins the message.
    """
    detail = re.sub(r"\s*\n(Details: )?", " ", text).strip()
    if len(detail) > _MAX_TEXT:  # a schema error repeats the whole request
        detail = f"{detail[: _MAX_TEXT // 2]} … {detail[-_MAX_TEXT // 2 :]}"
    lost = "(http status code: 5" in detail  # something between us and Rucio answered
    kind = _BY_NAME.get(name, errors.Unavailable if lost else errors.CtaRucioError)
    known = f"{detail} [{name}]" if detail else name
    return kind(f"{doing}: {known}")


def utc(value: Any) -> dt.datetime | None:
    """Time of an answer, as a time that knows it's in UTC."""
    if value is None:
        return None
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    for pattern in ("%a, %d %b %Y %H:%M:%S UTC", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"):
        try:
            return dt.datetime.strptime(str(value), pattern).replace(tzinfo=dt.UTC)
        except ValueError:
            continue
    raise errors.CtaRucioError(f"the server gave {value!r} for a time")


def some_utc(value: Any) -> dt.datetime:
    """Time of an answer that must have one."""
    time = utc(value)
    if time is None:
        raise errors.CtaRucioError("the server gave no time where it always gives one")
    return time


def guid_to_rucio(guid: str) -> str:
    """GUID as Rucio keeps it: 32 hexadecimal digits."""
    digits = re.sub(r"[{}-]", "", guid).lower()
    if not re.fullmatch(r"[0-9a-f]{32}", digits):
        raise errors.InvalidInput(f"{guid!r} is no GUID: 32 hexadecimal digits expected, hyphens allowed")
    return digits


def guid_from_rucio(guid: str | None) -> str | None:
    """GUID as DIRAC writes it: upper case, with hyphens."""
    if not guid:
        return None
    digits = guid.replace("-", "").upper()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def as_dict(did: Did) -> dict[str, str]:
    """DID as Rucio wants it."""
    return {"scope": did.scope, "name": did.name}


def as_did(answer: Mapping[str, Any]) -> Did:
    """DID of an answer."""
    return Did(str(answer["scope"]), str(answer["name"]))


def did_type(value: Any) -> DidType:
    """Kind of a DID, from its name or its letter."""
    letters = {"F": DidType.FILE, "D": DidType.DATASET, "C": DidType.CONTAINER}
    text = str(value).removeprefix("DIDType.").upper()
    return letters.get(text) or DidType(text)


def did_record(answer: Mapping[str, Any]) -> DidRecord:
    """Record of a DID, from its columns."""
    kind = did_type(answer["did_type"])
    return DidRecord(
        did=as_did(answer),
        type=kind,
        account=str(answer["account"]),
        created_at=some_utc(answer["created_at"]),
        updated_at=some_utc(answer["updated_at"]),
        is_open=None if kind is DidType.FILE else bool(answer.get("is_open")),
        size=answer.get("bytes"),
        length=None if kind is DidType.FILE else answer.get("length"),
        adler32=answer.get("adler32"),
        md5=answer.get("md5"),
        guid=guid_from_rucio(answer.get("guid")),
        expired_at=utc(answer.get("expired_at")),
    )


def content(answer: Mapping[str, Any], kind: DidType | None = None) -> Content:
    """Member of a collection, or a name that was found."""
    found = answer.get("type") or answer.get("did_type") or kind
    return Content(
        did=as_did(answer),
        type=did_type(found),
        size=answer.get("bytes"),
        adler32=answer.get("adler32"),
        md5=answer.get("md5"),
    )


def file_replicas(answer: Mapping[str, Any]) -> FileReplicas:
    """A file with its copies; an RSE for which the server gives no address is there all the same."""
    states: Mapping[str, str] = answer.get("states") or {}
    addresses: Mapping[str, list[str]] = answer.get("rses") or {}
    replicas = []
    for rse in sorted({*states, *addresses}):
        pfns = tuple(addresses.get(rse) or ())
        state = ReplicaState(states.get(rse, ReplicaState.AVAILABLE))
        replicas.append(Replica(rse, pfns[0] if pfns else "", state, pfns))
    return FileReplicas(
        did=as_did(answer),
        size=int(answer.get("bytes") or 0),
        adler32=answer.get("adler32"),
        md5=answer.get("md5"),
        replicas=tuple(replicas),
    )


def rule(answer: Mapping[str, Any]) -> Rule:
    """Replication rule."""
    meta = answer.get("meta")
    if isinstance(meta, str):
        meta = json.loads(meta)
    if isinstance(meta, str):  # the server wraps text once more
        meta = json.loads(meta)
    return Rule(
        id=str(answer["id"]),
        did=as_did(answer),
        did_type=did_type(answer["did_type"]),
        account=str(answer["account"]),
        rse_expression=str(answer["rse_expression"]),
        copies=int(answer["copies"]),
        state=RuleState(str(answer["state"]).removeprefix("RuleState.")),
        locks_ok=int(answer.get("locks_ok_cnt") or 0),
        locks_replicating=int(answer.get("locks_replicating_cnt") or 0),
        locks_stuck=int(answer.get("locks_stuck_cnt") or 0),
        created_at=some_utc(answer["created_at"]),
        updated_at=some_utc(answer["updated_at"]),
        expires_at=utc(answer.get("expires_at")),
        activity=answer.get("activity"),
        source_replica_expression=answer.get("source_replica_expression"),
        grouping=Grouping(str(answer.get("grouping") or "DATASET").removeprefix("RuleGrouping.")),
        locked=bool(answer.get("locked")),
        error=answer.get("error"),
        comment=answer.get("comments"),
        meta=meta if isinstance(meta, Mapping) else {},
    )


def rse(answer: Mapping[str, Any], attributes: Mapping[str, Any]) -> Rse:
    """Storage endpoint."""
    return Rse(
        name=str(answer["rse"]),
        type=RseType(str(answer.get("rse_type") or "DISK").removeprefix("RSEType.")),
        deterministic=bool(answer.get("deterministic")),
        can_read=bool(answer.get("availability_read", True)),
        can_write=bool(answer.get("availability_write", True)),
        can_delete=bool(answer.get("availability_delete", True)),
        attributes=dict(attributes),
    )


def rse_usage(answer: Mapping[str, Any]) -> RseUsage:
    """Fill level."""
    return RseUsage(
        rse=str(answer["rse"]),
        source=str(answer["source"]),
        used=answer.get("used"),
        free=answer.get("free"),
        total=answer.get("total"),
        files=answer.get("files"),
    )


def plain_metadata(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as JSON can hold them: times become ISO texts in UTC, which sort like times.

    Raises
    ------
    InvalidInput
        Naming the key: a dot in it (Rucio's separator of key and operator), or a value that JSON can't hold.
    """
    plain = {}
    for key, value in meta.items():
        if not isinstance(key, str) or not key or "." in key:
            raise errors.InvalidInput(f"{key!r} can't be a metadata key: text without dots expected")
        if isinstance(value, dt.datetime):
            naive = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
            value = naive.isoformat(timespec="seconds")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise errors.InvalidInput(f"metadata key {key!r}: {value!r} can't be kept: {error}") from None
        if len(str(value)) > COLUMN_WIDTHS.get(key, MAX_TEXT):
            raise errors.InvalidInput(
                f"metadata key {key!r} is one of Rucio's own columns, of {COLUMN_WIDTHS[key]} characters: {value!r} is too "
                "long for it; take another key"
            )
        plain[key] = value
    return plain


def metadata(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of an answer; what the client took for a time becomes text again, as it was set."""
    return {
        key: value.strftime("%a, %d %b %Y %H:%M:%S UTC") if isinstance(value, dt.datetime) else value
        for key, value in answer.items()
        if key not in ("scope", "name") and value is not None
    }
