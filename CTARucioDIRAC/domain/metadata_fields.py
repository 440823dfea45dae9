"""Metadata keys that CTAO uses, with their types in the notation of DIRAC's file catalogue. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

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
