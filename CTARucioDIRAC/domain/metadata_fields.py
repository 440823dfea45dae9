"""Metadata keys that CTAO uses, with their types in the notation of DIRAC's file catalogue. Pure.

What DIRAC keeps of a file, and Rucio has no place for, is in keys of this package's own, which begin with ``_dirac_``: they
are no user's metadata, and don't appear among them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import InvalidInput

#: Beginning of the keys that this package keeps for itself.
OWN = "_dirac_"
STATUS = f"{OWN}status"  #: of a file, in DIRAC's word, if it isn't the usual one
REPLICA_STATUS = f"{OWN}replica_status_"  #: with the RSE behind it: DIRAC's word for a copy that Rucio keeps back
ANCESTORS = f"{OWN}ancestors"  #: files that a file was made from
DATASET = f"{OWN}dataset"  #: query that says what is in a dataset, and what that was
ANNOTATION = f"{OWN}annotation"  #: remark on a dataset
FIELD = f"{OWN}field_"  #: with the name behind it: a key that was declared, on the directory of the VO
METASET = f"{OWN}set_"  #: with the name behind it: a set of values that was declared, on the directory of the VO

TEXT = "VARCHAR(128)"

#: Keys that productions set on directories (CTADIRAC's ``cta-prod-managedata``).
DIRECTORY_FIELDS: Mapping[str, str] = {
    "MCCampaign": TEXT,
    "site": TEXT,
    "particle": TEXT,
    "tel_sim_prog": TEXT,
    "tel_sim_prog_version": TEXT,
    "analysis_prog": TEXT,
    "analysis_prog_version": TEXT,
    "phiP": "float",
    "thetaP": "float",
    "array_layout": TEXT,
    "sct": TEXT,
    "systematics": TEXT,
    "outputType": TEXT,
    "data_level": "int",
    "configuration_id": "int",
    "merged": "int",
}

#: Keys that productions, and CTAO's data ingestion, set on files.
FILE_FIELDS: Mapping[str, str] = {
    "nsb": "int",
    "div_ang": TEXT,
    "split": TEXT,
    "runNumber": "int",
    "jobID": "int",
    "observatory": TEXT,
    "start_time": "datetime",
    "end_time": "datetime",
    "sb_id": "int",
    "obs_id": "int",
    "subarray_id": "int",
    "tel_ids": TEXT,
    "valid_fits_checksum": "int",
}


@dataclass
class Fields:
    """Types of metadata keys, in DIRAC's notation: of directories, and of files."""

    directories: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, kind: str, *, of_files: bool) -> None:
        """Add a key to one kind of names, which takes it from the other."""
        here, there = (self.files, self.directories) if of_files else (self.directories, self.files)
        here[name] = kind
        there.pop(name, None)

    @property
    def kinds(self) -> dict[str, str]:
        """All types by key."""
        return self.files | self.directories


def of_users(values: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata without the keys that this package keeps for itself."""
    return {key: value for key, value in values.items() if not key.startswith(OWN)}


def check_keys(keys: Iterable[object]) -> None:
    """Refuse the keys that this package keeps for itself, with InvalidInput."""
    taken = sorted(str(key) for key in keys if str(key).startswith(OWN))
    if taken:
        raise InvalidInput(f"metadata keys that begin with {OWN} are the catalogue's own: {', '.join(taken)}")


def check_type(name: object, kind: object) -> str:
    """Type of a metadata field in DIRAC's notation, as it was given.

    Raises
    ------
    InvalidInput
        Naming what can't be a name, or a type.
    """
    check_name(name)
    if not isinstance(kind, str) or not _KINDS.fullmatch(kind):
        raise InvalidInput(
            f"Invalid parameter type: {kind!r}; known are int, float, string, VARCHAR(n), datetime, MetaSet"
        )
    return kind


def check_name(name: object) -> None:
    """Refuse what can't be the name of a field or a set, with InvalidInput."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise InvalidInput(f"Invalid parameter name: {name!r}; letters, digits and _ expected")


_KINDS = re.compile(r"int(eger)?|bigint|float|double|string|text|varchar\(\d+\)|date(time)?|metaset", re.IGNORECASE)


def as_declared(key: str, value: Any, kind: str | None) -> Any:
    """Value as a field's type has it, as DIRAC's own catalogue would keep it; texts are read.

    Parameters
    ----------
    kind : str or None
        Type in DIRAC's notation; None leaves the value as it is.

    Raises
    ------
    InvalidInput
        Naming the key: the value can't be one of that type.
    """
    if kind is None or value is None or isinstance(value, (list, tuple, dict)):
        return value
    kind = kind.lower()
    try:
        if kind.startswith(("int", "bigint")):
            if isinstance(value, float) and not value.is_integer():
                raise ValueError(value)
            return int(value)
        if kind.startswith(("float", "double")):
            return float(value)
        if kind.startswith("date"):
            return value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value))
    except ValueError:
        raise InvalidInput(f"metadata key {key!r} is declared as {kind}: {value!r} is none") from None
    if isinstance(value, dt.datetime):
        return value.isoformat(timespec="seconds")
    return str(value)


def times_read(values: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Metadata with the texts of fields declared as times made into times, in UTC without saying so, as DIRAC has them."""
    read = dict(values)
    for key, value in values.items():
        if isinstance(value, str) and kinds.get(key, "").lower().startswith("date"):
            with contextlib.suppress(ValueError):  # what plain Rucio was given may be anything
                time = dt.datetime.fromisoformat(value)
                read[key] = time.astimezone(dt.UTC).replace(tzinfo=None) if time.tzinfo else time
    return read


def field_types(metadata: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Types of the keys in use, from some of their values; a key with values of several kinds is text."""
    found: dict[str, str] = {}
    for values in metadata:
        for key, value in values.items():
            kind = _kind(value)
            before = found.setdefault(key, kind)
            if before != kind:
                found[key] = "float" if {before, kind} == {"int", "float"} else TEXT
    return found


def _kind(value: Any) -> str:
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        try:
            dt.datetime.fromisoformat(value)
        except ValueError:
            return TEXT
        return "datetime" if "T" in value else TEXT
    return TEXT
