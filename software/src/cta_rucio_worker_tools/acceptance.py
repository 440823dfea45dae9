"""Whether the output of a processing step may be accepted: the rules. Pure: nothing is read or written here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any, TypeVar

import numpy as np

from .records import Event, Input, Output, named

Key = TypeVar("Key", bound=Hashable)
#: What ctapipe writes into the header when it finishes a file.
PRODUCT_KEYS = ("CTA PRODUCT ID", "CTA ACTIVITY ID", "CTA PRODUCT DATA LEVELS")


def _differences(what: str, wanted: Counter[Key], found: Counter[Key]) -> list[str]:
    """Everything in which two collections differ, where each key should be there exactly once."""
    missing = sorted(set(wanted) - set(found))  # type: ignore[type-var]
    unknown = sorted(set(found) - set(wanted))  # type: ignore[type-var]
    doubled = sorted(key for key, n in found.items() if n > 1)  # type: ignore[type-var]
    reasons = []
    if missing:
        reasons.append(f"{len(missing)} of {len(wanted)} {what} are missing: {named(missing)}")
    if unknown:
        reasons.append(f"{len(unknown)} {what} are not in the input: {named(unknown)}")
    if doubled:
        reasons.append(f"{len(doubled)} {what} are there more than once: {named(doubled)}")
    return reasons


def refusals(source: Input, output: Output, levels: list[str]) -> list[str]:
    """Reasons why an output must not be accepted.

    Parameters
    ----------
    source : Input
        What it should hold.
    output : Output
        What it holds.
    levels : list[str]
        Data levels it must have, such as ``DL1_PARAMETERS`` and ``DL2``.

    Returns
    -------
    list[str]
        Empty if it is accepted.
    """
    reasons = list(source.faults)
    if not source.events:
        return reasons or ["the input has no events"]
    doubled = sorted(event for event, n in source.events.items() if n > 1)
    if doubled:
        reasons.append(f"{len(doubled)} events are in the input more than once: {named(doubled)}")
    if not output.events:
        reasons.append("the output has no events")
    else:
        reasons += _differences("events (observation, event)", source.events, output.events)
        reasons += _telescope_refusals(source, output)
    reasons += _level_refusals(output, levels)
    for table, events in output.not_finite.items():
        reasons.append(f"{len(events)} events are marked valid without a finite direction in {table}: {named(events)}")
    if source.reconstructed is not None and source.reconstructed != len(output.directions):
        reasons.append(f"{len(output.directions)} events are reconstructed, in the parts {source.reconstructed}")
    return reasons


def _telescope_refusals(source: Input, output: Output) -> list[str]:
    reasons = []
    for table in sorted(output.tel_tables):
        wanted = source.tel_triggers if table == "trigger" else source.tel_rows
        what = f"telescope rows (observation, event, telescope) of {table}"
        reasons += _differences(what, wanted, output.tel_tables[table])
    if not output.tel_tables:
        reasons.append("the output has no telescope rows")
    if sum(output.tel_rows.values()) != source.tel_rows_in:
        reasons.append(f"{sum(output.tel_rows.values())} telescope rows, but {source.tel_rows_in} in the input")
    return reasons


def _level_refusals(output: Output, levels: list[str]) -> list[str]:
    reasons = []
    absent = [key for key in PRODUCT_KEYS if not output.header.get(key)]
    if absent:
        reasons.append(f"the header lacks {', '.join(absent)}: the file was not finished by ctapipe")
    missing = sorted(set(levels) - set(output.levels))
    if missing:
        reasons.append(f"data level {', '.join(missing)} is missing (there are {', '.join(output.levels) or 'none'})")
    if "DL2" in levels and output.events and not output.dl2_tables:
        reasons.append("there is no table of reconstructed directions")
    if "DL1_PARAMETERS" in levels and output.events and not output.tel_tables.get("parameters"):
        reasons.append("there is no table of image parameters")
    if "DL1_IMAGES" in levels and output.events and not output.tel_tables.get("images"):
        reasons.append("there is no table of images")
    return reasons


def median_error(directions: dict[Event, tuple[float, float]], truth: dict[Event, tuple[float, float]]) -> float | None:
    """Median angle between reconstructed and true directions.

    Parameters
    ----------
    directions, truth : dict[Event, tuple[float, float]]
        Altitude and azimuth, degrees.

    Returns
    -------
    float or None
        Degrees; None if no event is in both.
    """
    common = sorted(set(directions) & set(truth))
    if not common:
        return None
    found, true = (_vectors([where[event] for event in common]) for where in (directions, truth))
    angles = 2 * np.arcsin(np.clip(np.linalg.norm(found - true, axis=1) / 2, 0, 1))
    return round(float(np.rad2deg(np.median(angles))), 6)


def _vectors(directions: list[tuple[float, float]]) -> Any:
    alt, az = np.deg2rad(np.array(directions)).T
    return np.stack([np.cos(alt) * np.cos(az), np.cos(alt) * np.sin(az), np.sin(alt)], axis=1)
