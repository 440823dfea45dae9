"""The carousel: which chunks to recall next, keep, extend and release, so that the buffer is never overfilled. Pure.

Everything it needs is read back from Rucio and from the Transformation System at each cycle, so the agent that applies its
plans can be killed anywhere and started elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .campaign import Chunk, Group, Window

#: States of a file in the Transformation System in which something may still happen to it by itself.
OPEN_STATUSES = frozenset({"Unused", "Assigned"})


@dataclass(frozen=True)
class Pin:
    """A rule that recalls a chunk and holds it on the buffer."""

    rule_id: str
    expires_at: datetime | None


@dataclass(frozen=True)
class ChunkState:
    """What is known of one chunk at the beginning of a cycle.

    Attributes
    ----------
    chunk : Chunk
    pin : Pin or None
        The rule on the chunk's dataset, if there is one.
    finished : bool
        All its files are Processed.
    given_up : bool
        Nothing more is tried for its unfinished files. Its pin ends, or failures would fill the window; it is recalled
        again if somebody has its files retried.
    """

    chunk: Chunk
    pin: Pin | None = None
    finished: bool = False
    given_up: bool = False


@dataclass(frozen=True)
class Plan:
    """What to do now; each part is safe to apply alone, and again."""

    release: tuple[Pin, ...] = ()
    extend: tuple[Pin, ...] = ()
    pin: tuple[Chunk, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.release or self.extend or self.pin)


def plan(
    chunks: Sequence[ChunkState],
    window: Window,
    on_buffer: Mapping[str, int],
    now: datetime,
    lifetime: timedelta,
) -> Plan:
    """Decide the next step of the recall.

    Parameters
    ----------
    chunks : sequence of ChunkState
        In the order in which they should be recalled.
    window : Window
        Most files and bytes that the campaign may have on the buffer.
    on_buffer : mapping of LFN to bytes
        The campaign's files that have a replica on the buffer in any state, whether a pin still holds them or the reaper has
        not removed them yet: space is counted from replicas, not from pins.
    now : datetime
        The current time, in the same zone as the pins' ``expires_at``.
    lifetime : timedelta
        Lifetime of a pin; one with less than a third of it left is extended while its chunk is unfinished.

    Returns
    -------
    Plan
        Chunks to pin are in order and stop before the first that does not fit: a later, smaller chunk does not overtake,
        or a large one could wait for ever.
    """
    release = tuple(state.pin for state in chunks if state.pin and (state.finished or state.given_up))
    extend = tuple(
        state.pin
        for state in chunks
        if state.pin
        and not (state.finished or state.given_up)
        and state.pin.expires_at is not None
        and state.pin.expires_at - now < lifetime / 3
    )
    held = dict(on_buffer)
    for state in chunks:
        if state.pin:
            held.update(state.chunk.sizes)
    wanted: list[Chunk] = []
    for state in chunks:
        if state.pin or state.finished or state.given_up:
            continue
        together = {**held, **state.chunk.sizes}
        if len(together) > window.files or sum(together.values()) > window.bytes:
            break
        wanted.append(state.chunk)
        held = together
    return Plan(release, extend, tuple(wanted))


def too_large(chunks: Iterable[Chunk], window: Window) -> tuple[Chunk, ...]:
    """Chunks that could never be recalled, because one alone exceeds the window."""
    return tuple(
        chunk for chunk in chunks if len(chunk.sizes) > window.files or sum(chunk.sizes.values()) > window.bytes
    )


def ready(group: Group, on_buffer: Collection[str]) -> bool:
    """Whether a job may start: every file of the group is online."""
    return all(lfn in on_buffer for lfn in group.lfns)


def progress(chunks: Sequence[Chunk], status: Mapping[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """Say which chunks need nothing more.

    Parameters
    ----------
    chunks : sequence of Chunk
        All chunks of a step, in order; a file in several of them counts for the first.
    status : mapping of LFN to str
        Status of each file in the Transformation System.

    Returns
    -------
    finished, given_up : frozenset of str
        Keys of the chunks whose files are all Processed, and of those where none can make progress any more though not all
        are Processed.
    """
    seen: set[str] = set()
    finished, given_up = set(), set()
    for chunk in chunks:
        own = {status.get(lfn, "Unused") for lfn in chunk.sizes if lfn not in seen}
        seen.update(chunk.sizes)
        if own <= {"Processed"}:
            finished.add(chunk.key)
        elif not own & OPEN_STATUSES:
            given_up.add(chunk.key)
    return frozenset(finished), frozenset(given_up)
