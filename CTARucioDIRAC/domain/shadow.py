"""How the answers of two file catalogues differ, after what is known to differ and means nothing. Pure.

Answers are what DIRAC's catalogues return, without S_OK. What isn't compared, and why, is in ``docs/how-to/migrate.md``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic

from .errors import InvalidSettings

#: Keys of metadata that a migration adds.
_ADDED = frozenset({"dirac_owner", "dirac_group"})
_NOTHING = "(nothing)"
#: Characters of each side of a difference that are kept.
_LENGTH = 300


class ShadowSettings(pydantic.BaseModel):
    """Options of ``/Resources/FileCatalogs/ShadowFileCatalog``.

    Attributes
    ----------
    Primary, Shadow : str
        Names of the catalogue that answers, and of the one that is compared with it.
    DifferencesFile : str
        File that gets a line of JSON for each difference; none if empty.
    Fraction : float
        Share of the calls that are compared; 1 for all.
    CatalogType, AccessType, Status, CatalogURL
        Read by DIRAC itself.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    Primary: Annotated[str, pydantic.StringConstraints(min_length=1)]
    Shadow: Annotated[str, pydantic.StringConstraints(min_length=1)]
    DifferencesFile: str = ""
    Fraction: Annotated[float, pydantic.Field(ge=0, le=1)] = 1.0
    CatalogType: str = "ShadowFileCatalog"
    AccessType: Annotated[str, pydantic.StringConstraints(pattern="^Read$")] = "Read"
    Status: str = "Active"
    CatalogURL: str = ""


def shadow_settings(options: Mapping[str, Any], section: str) -> ShadowSettings:
    """Check the options of the comparing catalogue.

    Raises
    ------
    InvalidSettings
        Naming every option that is missing, unknown or wrong.
    """
    try:
        return ShadowSettings.model_validate(dict(options))
    except pydantic.ValidationError as error:
        wrong = [f"{section}/{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise InvalidSettings("; ".join(wrong)) from None


@dataclass(frozen=True)
class Difference:
    """What two catalogues say differently of one name; ``name`` is empty where it's about the whole answer."""

    name: str
    what: str
    primary: str
    shadow: str


def differences(method: str, primary: Any, shadow: Any) -> list[Difference]:
    """Compare two answers of a method of DIRAC's file catalogues."""
    shape = _SHAPES.get(method, _as_it_is)
    if _is_bulk(primary) and _is_bulk(shadow):
        return _bulk(shape, primary, shadow)
    if _is_bulk(primary) or _is_bulk(shadow):
        return [Difference("", "shape of the answer", _text(primary), _text(shadow))]
    return list(_differ("", method, _shaped(shape, primary), _shaped(shape, shadow)))


def _is_bulk(value: Any) -> bool:
    return isinstance(value, Mapping) and "Successful" in value and "Failed" in value


def _bulk(shape: Callable[[Any], Any], primary: Mapping[str, Any], shadow: Mapping[str, Any]) -> list[Difference]:
    found: list[Difference] = []
    for name in sorted({*_names(primary), *_names(shadow)}):
        sides = [_outcome(shape, answer, name) for answer in (primary, shadow)]
        if sides[0] is _FAILED or sides[1] is _FAILED:
            if sides[0] is not sides[1]:
                texts = [_text(_said(answer, name)) for answer in (primary, shadow)]
                found.append(Difference(name, "failed on one side", *texts))
        else:
            found.extend(_differ(name, "answer", *sides))
    return found


_FAILED = object()


def _outcome(shape: Callable[[Any], Any], answer: Mapping[str, Any], name: str) -> Any:
    return _shaped(shape, answer["Successful"][name]) if name in answer["Successful"] else _FAILED


def _said(answer: Mapping[str, Any], name: str) -> Any:
    return "answered" if name in answer["Successful"] else answer["Failed"].get(name, "not in the answer")


def _names(answer: Mapping[str, Any]) -> Iterable[str]:
    return (*answer["Successful"], *answer["Failed"])


def _shaped(shape: Callable[[Any], Any], value: Any) -> Any:
    try:
        return shape(value)
    except (TypeError, KeyError, AttributeError, ValueError):
        return _as_it_is(value)  # not of that shape at all: this is the difference


def _differ(name: str, what: str, one: Any, other: Any) -> Iterable[Difference]:
    if one == other:
        return
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}, key=str):
            if one.get(key, _NOTHING) != other.get(key, _NOTHING):
                yield Difference(name, str(key), _text(one.get(key, _NOTHING)), _text(other.get(key, _NOTHING)))
    elif isinstance(one, frozenset) and isinstance(other, frozenset):
        yield Difference(
            name, what, f"only here: {_text(sorted(one - other))}", f"only here: {_text(sorted(other - one))}"
        )
    else:
        yield Difference(name, what, _text(one), _text(other))


def _text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}… ({len(text)} characters)"


# ---------------------------------------------------------------- what counts of each answer


def _as_it_is(value: Any) -> Any:
    return value


def _metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """User metadata; times as texts, numbers that are equal as equal."""
    return {key: _value(value) for key, value in values.items() if key not in _ADDED}


def _value(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="seconds")
    return value.isoformat() if isinstance(value, dt.date) else value


def _record(values: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a file: what it contains. Dates, modes and numbers of owners are each catalogue's own."""
    checksum = str(values.get("Checksum") or "").lower().lstrip("0")
    return {
        "Size": int(values["Size"]),
        "Checksum": checksum,
        "GUID": str(values.get("GUID") or "").upper(),
        "Status": values.get("Status"),
    }


def _size(values: Mapping[str, Any]) -> dict[str, Any]:
    physical = values.get("PhysicalSize") or {}
    sizes = {f"at {name}": dict(size) for name, size in physical.items() if isinstance(size, Mapping)}
    return {"LogicalSize": int(values["LogicalSize"]), "LogicalFiles": int(values["LogicalFiles"])} | sizes


def _leaf(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _listing(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Files": frozenset(map(_leaf, values["Files"])),
        "SubDirs": frozenset(map(_leaf, values["SubDirs"])),
        "Datasets": frozenset(map(_leaf, values.get("Datasets", ()))),
    }


def _dump(values: Mapping[str, Any]) -> dict[str, Any]:
    files = {lfn: int(record["Size"]) for lfn, record in values["Files"].items()}
    return files | {"SubDirs": frozenset(path.rstrip("/") for path in values["SubDirs"])}


def _ownership(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: values.get(key) for key in ("Owner", "OwnerGroup")}


def _details(values: Mapping[str, Any]) -> dict[str, Any]:
    return {lfn: {"Size": int(v["Size"]), "Metadata": _metadata(v.get("Metadata", {}))} for lfn, v in values.items()}


def _replicas_of_directory(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_leaf(lfn): frozenset(copies) for lfn, copies in values.items()}


def _dataset(values: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("MetaQuery", "TotalSize", "NumberOfFiles", "Owner", "OwnerGroup", "Status")
    return {key: values.get(key) for key in wanted}


#: Methods that aren't compared: declared fields are each catalogue's own, and DIRAC's client fails at getFileDetails.
NOT_COMPARED = frozenset({"getMetadataFields", "getFileDetails"})

_SHAPES: Mapping[str, Callable[[Any], Any]] = {
    "exists": bool,
    "isFile": bool,
    "isDirectory": bool,
    "getFileSize": int,
    "getReplicas": frozenset,  # addresses are each catalogue's own
    "getReplicasByMetadata": frozenset,
    "getFileMetadata": _record,
    "getFileUserMetadata": _metadata,
    "getDirectoryUserMetadata": _metadata,
    "getDirectoryMetadata": _ownership,
    "getDirectorySize": _size,
    "getDirectoryReplicas": _replicas_of_directory,
    "getDirectoryDump": _dump,
    "listDirectory": _listing,
    "findFilesByMetadata": frozenset,
    "findDirectoriesByMetadata": lambda found: frozenset(found.values()),
    "findFilesByMetadataDetailed": _details,
    "getFileDetails": _details,
    "getDatasetFiles": frozenset,
    "findFilesByMetadataWeb": lambda found: found["TotalRecords"],  # pages of names in each catalogue's own order
    "getDatasetParameters": _dataset,
    "getDatasets": lambda found: {name: _dataset(values) for name, values in found.items()},
    "getPathPermissions": lambda found: {"Read": found["Read"]},  # writing is what Rucio's account may
}
