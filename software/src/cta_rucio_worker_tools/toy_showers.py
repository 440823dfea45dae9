"""Toy air showers of a known direction, seen by several cameras as waveforms.

A shower is a straight track whose maximum is a point on its axis. Each camera sees an ellipse around the direction of
that point, whose long axis goes through the source: what stereo reconstruction assumes, so the direction it finds can
be compared with the truth. Neither the shower nor the detector is simulated further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ctapipe.coordinates import TelescopeFrame

N_SAMPLES = 40
#: Stored sample = (photoelectrons + OFFSET) * SCALE, as unsigned 16 bit integer.
SCALE, OFFSET = 80.0, 5.0
NOISE_PE = 0.25
WIDTH_DEG = 0.06


@dataclass(frozen=True)
class Shower:
    """One shower.

    Attributes
    ----------
    core : numpy.ndarray
        Impact point on the ground, metres: x to the north, y to the west, z = 0.
    height : float
        Height of the shower maximum above the array, metres.
    size : float
        Photoelectrons in a camera at the core.
    """

    core: np.ndarray
    height: float
    size: float


def direction(alt: float, az: float) -> np.ndarray:
    """Unit vector on the ground frame (x north, y west, z up) of a direction in radians."""
    return np.array([np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)])


def _camera_axes(alt: float, az: float) -> np.ndarray:
    """Rotation from the ground frame to (towards the pointing, field-of-view longitude, field-of-view latitude)."""
    sin_alt, cos_alt, sin_az, cos_az = np.sin(alt), np.cos(alt), np.sin(az), np.cos(az)
    return np.array(
        [
            [cos_alt * cos_az, -cos_alt * sin_az, sin_alt],
            [-sin_az, -cos_az, 0.0],
            [-sin_alt * cos_az, sin_alt * sin_az, cos_alt],
        ]
    )


def offset_source(alt: float, az: float, fov_lon: float, fov_lat: float) -> tuple[float, float]:
    """Direction at an offset from the pointing.

    Parameters
    ----------
    alt, az : float
        Pointing, degrees.
    fov_lon, fov_lat : float
        Offset in the telescope frame, degrees.

    Returns
    -------
    tuple[float, float]
        Altitude and azimuth of the source, degrees.
    """
    lon, lat = np.deg2rad([fov_lon, fov_lat])
    local = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    north, west, up = _camera_axes(*np.deg2rad([alt, az])).T @ local
    return float(np.rad2deg(np.arcsin(up))), float(np.rad2deg(np.arctan2(-west, north)) % 360)


def draw_shower(rng: np.random.Generator) -> Shower:
    """Draw a shower that four large telescopes see well."""
    core = np.array([*rng.uniform(-90, 90, 2), 0.0])
    return Shower(core, float(rng.normal(9000, 500)), float(rng.uniform(1500, 6000)))


class Camera:
    """One telescope that points at a fixed direction.

    Parameters
    ----------
    telescope : ctapipe.instrument.TelescopeDescription
        Geometry and readout.
    position : numpy.ndarray
        On the ground frame, metres.
    pointing, source : tuple[float, float]
        Altitude and azimuth, degrees.
    """

    def __init__(
        self, telescope: Any, position: np.ndarray, pointing: tuple[float, float], source: tuple[float, float]
    ) -> None:
        geometry = telescope.camera.geometry.transform_to(TelescopeFrame())
        readout = telescope.camera.readout
        self.n_pixels = geometry.n_pixels
        self._x, self._y = geometry.pix_x.to_value("deg"), geometry.pix_y.to_value("deg")
        self._area = geometry.pix_area.to_value("deg2")
        self._position = position
        self._axes = _camera_axes(*np.deg2rad(pointing))
        self._axis = direction(*np.deg2rad(source))
        self._source = self._project(self._axis)
        self._period_ns = float(1 / readout.sampling_rate.to_value("GHz"))
        pulse = readout.reference_pulse_shape[0]
        step = readout.reference_pulse_sample_width.to_value("ns")
        self._pulse_time = (np.arange(len(pulse) + 1) - np.argmax(pulse)) * step
        self._pulse_integral = np.concatenate([[0.0], np.cumsum(pulse) / np.sum(pulse)])

    def _project(self, vector: np.ndarray) -> tuple[float, float]:
        forward, lon, lat = self._axes @ vector
        return float(np.rad2deg(np.arctan2(lon, forward))), float(np.rad2deg(np.arcsin(lat)))

    def image(self, shower: Shower, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Photoelectrons and arrival time (ns) of each pixel."""
        from_here = shower.core + self._axis * shower.height / self._axis[2] - self._position
        x0, y0 = self._project(from_here / np.linalg.norm(from_here))
        impact = float(np.linalg.norm(np.cross(shower.core - self._position, self._axis)))
        psi = np.arctan2(y0 - self._source[1], x0 - self._source[0])
        along = (self._x - x0) * np.cos(psi) + (self._y - y0) * np.sin(psi)
        across = (self._y - y0) * np.cos(psi) - (self._x - x0) * np.sin(psi)
        length = 0.12 + 0.0006 * impact
        density = np.exp(-0.5 * ((along / length) ** 2 + (across / WIDTH_DEG) ** 2)) / (2 * np.pi * length * WIDTH_DEG)
        charge = rng.poisson(shower.size * np.exp(-impact / 150) * density * self._area)
        return charge.astype(float), np.clip(15 + 3 * along, 3, N_SAMPLES - 4)

    def waveform(self, shower: Shower, rng: np.random.Generator) -> np.ndarray:
        """Waveforms of all pixels as they are stored, shape (pixels, samples): pulses on electronic noise."""
        charge, time = self.image(shower, rng)
        samples = rng.standard_normal((self.n_pixels, N_SAMPLES), dtype=np.float32) * np.float32(NOISE_PE)
        lit = charge > 0
        edges = np.arange(N_SAMPLES + 1) * self._period_ns - time[lit, np.newaxis]
        integral = np.interp(edges, self._pulse_time, self._pulse_integral)
        samples[lit] += charge[lit, np.newaxis] * np.diff(integral, axis=1)
        stored: np.ndarray = np.clip((samples + np.float32(OFFSET)) * np.float32(SCALE), 0, 65535).astype(np.uint16)
        return stored
