"""Reading a ctapipe HDF5 file (DL1, DL2) with PyTables alone: importing ctapipe takes longer than the reading."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tables

from .records import Event, Output, TelescopeEvent
from .zfits import DamagedFile

TRIGGER = "/dl1/event/subarray/trigger"
TEL_TRIGGER = "/dl1/event/telescope/trigger"
PER_TELESCOPE = ("parameters", "images")
GEOMETRY = ("/dl2/event/subarray/geometry", "/dl2/event/telescope/geometry")
TRUE_SHOWER = "/simulation/event/subarray/shower"
TO_DEGREES = {"deg": 1.0, "rad": 180 / np.pi}


def read_output(path: Path) -> Output:
    """Read what acceptance needs to know of a ctapipe file.

    Parameters
    ----------
    path : pathlib.Path
        File.

    Returns
    -------
    Output
        Its events.

    Raises
    ------
    DamagedFile
        If it can't be opened or a table can't be read.
    """
    try:
        with warnings.catch_warnings(), tables.open_file(path, mode="r") as h5file:
            warnings.simplefilter("ignore", tables.NaturalNameWarning)
            return _read(h5file)
    except (tables.HDF5ExtError, OSError, ValueError, tables.NoSuchNodeError, KeyError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DamagedFile(f"{path.name} can't be read as HDF5: {lines[-1]}") from error


def _read(h5file: tables.File) -> Output:
    attributes = h5file.root._v_attrs
    output = Output(header={key: str(attributes[key]) for key in attributes._f_list() if key.startswith("CTA ")})
    if TRIGGER in h5file.root:
        output.events = Counter(_events(h5file.root[TRIGGER]))
    if TEL_TRIGGER in h5file.root:
        output.tel_tables["trigger"] = Counter(_tel_events(h5file.root[TEL_TRIGGER]))
    for name in PER_TELESCOPE:
        rows = [Counter(_tel_events(table)) for table in _tables(h5file, f"/dl1/event/telescope/{name}")]
        if rows:
            output.tel_tables[name] = sum(rows, Counter())
    for group in GEOMETRY:
        for table in _tables(h5file, group):
            _add_directions(output, table, per_telescope=group.startswith("/dl2/event/telescope"))
    if TRUE_SHOWER in h5file.root:
        shower = h5file.root[TRUE_SHOWER]
        output.true_directions = dict(zip(_events(shower), _directions(shower, "true"), strict=True))
    return output


def _tables(h5file: tables.File, group: str) -> Iterator[tables.Table]:
    if group in h5file.root:
        yield from h5file.walk_nodes(group, "Table")


def _events(table: tables.Table) -> list[Event]:
    return list(zip(table.col("obs_id").tolist(), table.col("event_id").tolist(), strict=True))


def _tel_events(table: tables.Table) -> list[TelescopeEvent]:
    return list(zip(*(table.col(name).tolist() for name in ("obs_id", "event_id", "tel_id")), strict=True))


def _unit(table: tables.Table, prefix: str, field: str) -> str:
    """Unit of a column, as ctapipe's writer stores it: CTAFIELD_<n>_UNIT where CTAFIELD_<n>_NAME is the field."""
    for key in table.attrs._f_list():
        if key.startswith("CTAFIELD_") and key.endswith("_NAME") and table.attrs[key] in (field, f"{prefix}_{field}"):
            return str(table.attrs[key.removesuffix("NAME") + "UNIT"])
    raise ValueError(f"{field} in {table._v_pathname} has no unit")


def _directions(table: tables.Table, prefix: str) -> list[tuple[float, float]]:
    alt, az = (table.col(f"{prefix}_{field}") * TO_DEGREES[_unit(table, prefix, field)] for field in ("alt", "az"))
    return list(zip(alt.tolist(), az.tolist(), strict=True))


def _add_directions(output: Output, table: tables.Table, per_telescope: bool) -> None:
    prefix = next(name for name in table.colnames if name.endswith("_is_valid")).removesuffix("_is_valid")
    valid = table.col(f"{prefix}_is_valid")
    directions = _directions(table, prefix)
    finite = np.isfinite(np.array(directions)).all(axis=1) if directions else np.array([], bool)
    events = _events(table)
    wrong = [event for event, is_wrong in zip(events, valid & ~finite, strict=True) if is_wrong]
    if wrong:
        output.not_finite[table._v_pathname] = wrong
    if per_telescope:
        return
    output.dl2_tables.append(table._v_pathname)
    for event, direction, good in zip(events, directions, valid & finite, strict=True):
        if good:
            output.directions.setdefault(event, direction)
