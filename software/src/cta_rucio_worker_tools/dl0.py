"""Writing one chunk of DL0 as ACADA does: a subarray trigger file and, per telescope, parallel event streams."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from astropy.time import Time
from ctapipe_io_zfits.time import time_to_cta_high_res
from protozfits import DL0v1_Subarray_pb2 as subarray_messages
from protozfits import DL0v1_Telescope_pb2 as telescope_messages
from protozfits import FlatProtobufZOFits
from protozfits.anyarray import numpy_to_any_array

from .acada import event_name, trigger_name
from .toy_showers import N_SAMPLES, OFFSET, SCALE

#: Bits of a pixel's status: data volume reduction kept it, high gain is stored.
PIXEL_STORED = 0b00001101
SUBARRAY_EVENT = 32  # ctapipe.containers.EventType.SUBARRAY
SB_CREATOR = 2
N_MODULES = 265


@dataclass(frozen=True)
class Block:
    """An observation block: what every file of it repeats.

    Attributes
    ----------
    obs_id, sb_id : int
        Observation and scheduling block.
    subarray_id : int
        Subarray; 2 is the four LSTs of the northern site.
    tel_ids : tuple[int, ...]
        Its telescopes.
    start : datetime.datetime
        Start of the block, UTC; part of every file name.
    """

    obs_id: int
    sb_id: int
    subarray_id: int
    tel_ids: tuple[int, ...]
    start: datetime


def _seconds(time: datetime) -> dict[str, int]:
    seconds, quarter_ns = time_to_cta_high_res(Time(time))
    return {"event_time_s": int(seconds), "event_time_qns": int(quarter_ns)}


def _open(stack: ExitStack, path: Path, headers: list[tuple[str, Any]], table: str) -> Any:
    file = stack.enter_context(FlatProtobufZOFits(n_tiles=5, rows_per_tile=20, compression_block_size_kb=64 * 1024))
    file.open(str(path))
    for name, message in headers:
        file.move_to_new_table(name)
        file.write_message(message)
    file.move_to_new_table(table)
    return file


class ChunkWriter:
    """Writes the events of one chunk; made by :func:`open_chunk`."""

    def __init__(
        self, stack: ExitStack, directory: Path, block: Block, chunk: int, n_streams: int, n_pixels: int
    ) -> None:
        self._block = block
        self._n_pixels = n_pixels
        self._tel_ids = numpy_to_any_array(np.array(block.tel_ids))
        self._status = numpy_to_any_array(np.full(n_pixels, PIXEL_STORED, np.uint8))
        self._trigger = _open(
            stack,
            directory / trigger_name(block.subarray_id, block.start, block.sb_id, block.obs_id, chunk),
            [("DataStream", self._trigger_header())],
            "SubarrayEvents",
        )
        self._streams = {
            (tel_id, sdh): _open(
                stack,
                directory / event_name(tel_id, sdh, block.start, block.sb_id, block.obs_id, chunk),
                self._telescope_headers(tel_id),
                "Events",
            )
            for tel_id in block.tel_ids
            for sdh in range(n_streams)
        }

    def _trigger_header(self) -> Any:
        return subarray_messages.DataStream(
            subarray_id=self._block.subarray_id,
            sb_id=self._block.sb_id,
            obs_id=self._block.obs_id,
            producer_id=1,
            sb_creator_id=SB_CREATOR,
        )

    def _telescope_headers(self, tel_id: int) -> list[tuple[str, Any]]:
        stream = telescope_messages.DataStream(
            tel_id=tel_id,
            sb_id=self._block.sb_id,
            obs_id=self._block.obs_id,
            waveform_scale=SCALE,
            waveform_offset=OFFSET,
            sb_creator_id=SB_CREATOR,
        )
        camera = telescope_messages.CameraConfiguration(
            tel_id=tel_id,
            local_run_id=self._block.obs_id,
            config_time_s=int(self._block.start.timestamp()),
            camera_config_id=47,
            num_pixels=self._n_pixels,
            pixel_id_map=numpy_to_any_array(np.arange(self._n_pixels)),
            module_id_map=numpy_to_any_array(np.arange(N_MODULES)),
            num_channels=2,
            num_samples_nominal=N_SAMPLES,
            num_samples_long=0,
            num_modules=N_MODULES,
            sampling_frequency=1024,
        )
        return [("DataStream", stream), ("CameraConfiguration", camera)]

    def write_trigger(self, event_id: int, time: datetime) -> None:
        """Write one subarray trigger: all telescopes of the block triggered and have data."""
        self._trigger.write_message(
            subarray_messages.Event(
                event_id=event_id,
                trigger_type=1,
                sb_id=self._block.sb_id,
                obs_id=self._block.obs_id,
                trigger_ids=numpy_to_any_array(np.array([event_id])),
                tel_ids_with_trigger=self._tel_ids,
                tel_ids_with_data=self._tel_ids,
                **_seconds(time),
            )
        )

    def write_event(self, event_id: int, time: datetime, tel_id: int, sdh: int, waveform: np.ndarray) -> None:
        """Write one telescope's event into one of its streams; `waveform` is unsigned 16 bit, (pixels, samples)."""
        self._streams[tel_id, sdh].write_message(
            telescope_messages.Event(
                event_id=event_id,
                tel_id=tel_id,
                event_type=SUBARRAY_EVENT,
                pixel_status=self._status,
                waveform=numpy_to_any_array(waveform[np.newaxis]),
                num_channels=1,
                num_samples=N_SAMPLES,
                num_pixels_survived=self._n_pixels,
                **_seconds(time),
            )
        )


@contextmanager
def open_chunk(directory: Path, block: Block, chunk: int, n_streams: int, n_pixels: int) -> Iterator[ChunkWriter]:
    """Open all files of one chunk for writing, and close them at the end of the ``with`` block.

    Parameters
    ----------
    directory : pathlib.Path
        Existing directory; the files of all telescopes are written side by side in it, to be moved into ACADA's tree.
    block : Block
        Observation block.
    chunk : int
        Chunk number.
    n_streams : int
        Parallel streams of each telescope, numbered from 0.
    n_pixels : int
        Pixels of each camera.

    Yields
    ------
    ChunkWriter
        Takes the events.
    """
    with ExitStack() as stack:
        yield ChunkWriter(stack, directory, block, chunk, n_streams, n_pixels)


@contextmanager
def quiet_library() -> Iterator[None]:
    """Keep the zfits library's remarks off standard output (two lines per file); if it fails they go to the error."""
    sys.stdout.flush()
    stdout = os.dup(1)
    with tempfile.TemporaryFile() as remarks:
        os.dup2(remarks.fileno(), 1)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(stdout, 1)
            os.close(stdout)
            if failed:
                remarks.seek(0)
                os.write(2, remarks.read())
