"""Pointing of observed events: the monitoring file, and the ctapipe plugin that reads it.

ctapipe-io-zfits fills no pointing into DL0 events and no monitoring source of ctapipe 0.28 fills the array's. Without
it HillasReconstructor marks events as valid whose direction is NaN. The plugin fills both or stops with an error.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path as FilePath
from typing import Any

import astropy.units as u
import numpy as np
import tables
from astropy.table import QTable
from astropy.time import Time
from ctapipe.containers import ArrayPointingContainer, TelescopePointingContainer
from ctapipe.core import Provenance
from ctapipe.core.traits import Path
from ctapipe.io import MonitoringSource, MonitoringType, read_table, write_table
from ctapipe.io.hdf5dataformat import DL0_TEL_POINTING_GROUP
from ctapipe.monitoring import PointingInterpolator

__all__ = ["DL0PointingSource", "PointingError", "write_pointing"]

#: Attributes of the file's root that say which observation it belongs to.
OBS_ID, SB_ID = "obs_id", "sb_id"


class PointingError(ValueError):
    """The pointing of an event is not in the monitoring file; the message says which and why."""


def _table_path(tel_id: int) -> str:
    return f"{DL0_TEL_POINTING_GROUP}/tel_{tel_id:03d}"


class DL0PointingSource(MonitoringSource):  # type: ignore[misc]
    """Fill telescope and array pointing of observed events from a pointing monitoring file.

    To be used with ``ctapipe-process --monitoring-source DL0PointingSource --DL0PointingSource.input_url=FILE``.
    Azimuth and altitude are interpolated linearly in time. The array's pointing is the mean direction of the
    telescopes that take part in the event. Nothing else of the event is touched.
    """

    input_url = Path(
        directory_ok=False,
        exists=True,
        help="Pointing monitoring file: HDF5 with a table /dl0/monitoring/telescope/pointing/tel_XXX"
        " (time, azimuth, altitude) per telescope, and the attribute obs_id at its root",
    ).tag(config=True)

    def __init__(self, subarray: Any = None, config: Any = None, parent: Any = None, **kwargs: Any) -> None:
        super().__init__(subarray=subarray, config=config, parent=parent, **kwargs)
        if not self.input_url:
            raise PointingError("no pointing file: give --DL0PointingSource.input_url=FILE")
        self._interpolator = PointingInterpolator()
        self._range: dict[int, tuple[Time, Time]] = {}
        try:
            with tables.open_file(self.input_url, mode="r") as h5file:
                self._obs_id = getattr(h5file.root._v_attrs, OBS_ID, None)
                for tel_id in self.subarray.tel_ids:
                    if _table_path(int(tel_id)) in h5file.root:
                        self._load(h5file, int(tel_id))
        except tables.HDF5ExtError as error:
            raise PointingError(f"{self.input_url} is not a readable HDF5 file: fetch it again") from error
        Provenance().add_input_file(str(self.input_url), role="Pointing", add_meta=False)
        if not self._range:
            known = ", ".join(str(t) for t in self.subarray.tel_ids)
            raise PointingError(f"{self.input_url} has no pointing of any telescope of the subarray ({known})")

    @property
    def monitoring_types(self) -> tuple[MonitoringType, ...]:
        """What this source fills."""
        return (MonitoringType.TELESCOPE_POINTINGS,)

    def _load(self, h5file: tables.File, tel_id: int) -> None:
        table = read_table(h5file, _table_path(tel_id))
        missing = {"time", "azimuth", "altitude"} - set(table.colnames)
        if missing:
            raise PointingError(f"{self.input_url}: pointing of telescope {tel_id} lacks the columns {sorted(missing)}")
        if len(table) < 2:
            raise PointingError(f"{self.input_url}: pointing of telescope {tel_id} has {len(table)} rows, needs 2")
        for column in ("azimuth", "altitude"):
            if not np.isfinite(table[column]).all():
                raise PointingError(f"{self.input_url}: pointing of telescope {tel_id} has a non-finite {column}")
        self._interpolator.add_table(tel_id, table)
        self._range[tel_id] = (table["time"].min(), table["time"].max())

    def _pointing(self, tel_id: int, event: Any) -> TelescopePointingContainer:
        time, name = event.trigger.time, f"event {event.index.event_id} of observation {event.index.obs_id}"
        if tel_id not in self._range:
            raise PointingError(f"{self.input_url} has no pointing of telescope {tel_id}, which took part in {name}")
        first, last = self._range[tel_id]
        if not first <= time <= last:
            raise PointingError(
                f"{name} at {time.utc.isot} UTC is outside the pointing of telescope {tel_id} in {self.input_url}"
                f" ({first.utc.isot} to {last.utc.isot}): give the pointing file of this observation"
            )
        altitude, azimuth = self._interpolator(tel_id, time)
        return TelescopePointingContainer(altitude=altitude, azimuth=azimuth % (2 * np.pi * u.rad))

    def fill_monitoring_container(self, event: Any) -> None:
        """Fill ``event.monitoring.tel[…].pointing`` and ``event.monitoring.pointing``.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            Event with trigger information.

        Raises
        ------
        PointingError
            If the file belongs to another observation, lacks a telescope of the event, or doesn't cover its time.
        """
        if self._obs_id is not None and int(self._obs_id) != int(event.index.obs_id):
            raise PointingError(
                f"{self.input_url} is the pointing of observation {self._obs_id},"
                f" the events are of observation {event.index.obs_id}"
            )
        tel_ids = {int(tel_id) for tel_id in event.trigger.tels_with_trigger} | {
            int(tel_id) for tel_id in event.dl0.tel
        }
        pointings = {tel_id: self._pointing(tel_id, event) for tel_id in sorted(tel_ids)}
        if not pointings:
            return
        for tel_id, pointing in pointings.items():
            event.monitoring.tel[tel_id].pointing = pointing
        event.monitoring.pointing = _mean(list(pointings.values()))


def _mean(pointings: list[TelescopePointingContainer]) -> ArrayPointingContainer:
    alt = np.array([p.altitude.to_value(u.rad) for p in pointings])
    az = np.array([p.azimuth.to_value(u.rad) for p in pointings])
    x, y, z = np.mean([np.cos(alt) * np.cos(az), np.cos(alt) * np.sin(az), np.sin(alt)], axis=1)
    return ArrayPointingContainer(
        array_altitude=np.arctan2(z, np.hypot(x, y)) * u.rad,
        array_azimuth=np.arctan2(y, x) % (2 * np.pi) * u.rad,
    )


def write_pointing(
    path: FilePath,
    obs_id: int,
    sb_id: int,
    tel_ids: tuple[int, ...],
    interval: tuple[datetime, datetime],
    alt: float,
    az: float,
) -> int:
    """Write the pointing file of telescopes that all track one fixed direction.

    Parameters
    ----------
    path : pathlib.Path
        File to create.
    obs_id, sb_id : int
        Observation and scheduling block it belongs to.
    tel_ids : tuple[int, ...]
        Telescopes.
    interval : tuple[datetime.datetime, datetime.datetime]
        First and last time, UTC; about a row per second.
    alt, az : float
        Direction, degrees.

    Returns
    -------
    int
        Rows per telescope.
    """
    start, end = interval
    n_rows = max(2, int((end - start).total_seconds()) + 1)
    table = QTable(
        {
            "time": Time(start) + np.linspace(0, (end - start) / timedelta(seconds=1), n_rows) * u.s,
            "azimuth": np.full(n_rows, np.deg2rad(az)) * u.rad,
            "altitude": np.full(n_rows, np.deg2rad(alt)) * u.rad,
        }
    )
    with tables.open_file(path, mode="w") as h5file:
        h5file.root._v_attrs[OBS_ID] = obs_id
        h5file.root._v_attrs[SB_ID] = sb_id
        for tel_id in tel_ids:
            write_table(table, h5file, _table_path(tel_id))
    return n_rows
