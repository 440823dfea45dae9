"""The events of an input or an output: what acceptance compares."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Event = tuple[int, int]  #: observation, event
TelescopeEvent = tuple[int, int, int]  #: observation, event, telescope


@dataclass
class Input:
    """What an output must hold.

    Attributes
    ----------
    events : collections.Counter
        Subarray events, each of which should be there once.
    tel_rows : collections.Counter
        Telescope events with data.
    tel_triggers : collections.Counter
        Telescopes that triggered, whether with data or not.
    tel_rows_in : int
        Telescope events counted where they are stored; for DL0 the sum over all streams.
    reconstructed : int or None
        Valid events in the parts of a merged file.
    faults : list[str]
        What is wrong with the input itself.
    streams : list[dict]
        For DL0: every stream file found: name, tel_id, stream, chunk, n_events.
    """

    events: Counter[Event] = field(default_factory=Counter)
    tel_rows: Counter[TelescopeEvent] = field(default_factory=Counter)
    tel_triggers: Counter[TelescopeEvent] = field(default_factory=Counter)
    tel_rows_in: int = 0
    reconstructed: int | None = None
    faults: list[str] = field(default_factory=list)
    streams: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Output:
    """What a ctapipe file holds.

    Attributes
    ----------
    header : dict[str, str]
        CTAO's reference metadata: the attributes ``CTA …`` of the file's root.
    events : collections.Counter
        Rows of the subarray trigger table.
    tel_tables : dict[str, collections.Counter]
        Telescope events of every per-telescope table: ``trigger``, ``parameters``, ``images``.
    directions : dict[Event, tuple[float, float]]
        Altitude and azimuth, degrees, of events that some reconstructor marks as valid.
    true_directions : dict[Event, tuple[float, float]]
        For simulations: the truth, degrees.
    not_finite : dict[str, list[Event]]
        By table: events that are marked as valid although their direction is not finite.
    dl2_tables : list[str]
        Tables with a reconstructed direction.
    """

    header: dict[str, str] = field(default_factory=dict)
    events: Counter[Event] = field(default_factory=Counter)
    tel_tables: dict[str, Counter[TelescopeEvent]] = field(default_factory=dict)
    directions: dict[Event, tuple[float, float]] = field(default_factory=dict)
    true_directions: dict[Event, tuple[float, float]] = field(default_factory=dict)
    not_finite: dict[str, list[Event]] = field(default_factory=dict)
    dl2_tables: list[str] = field(default_factory=list)

    @property
    def levels(self) -> list[str]:
        """Data levels that the header lists."""
        return [level for level in self.header.get("CTA PRODUCT DATA LEVELS", "").split(",") if level]

    @property
    def tel_rows(self) -> Counter[TelescopeEvent]:
        """Telescope events that were processed: image parameters if there are any, else triggers."""
        return self.tel_tables.get("parameters") or self.tel_tables.get("trigger") or Counter()


def named(keys: list[Any], limit: int = 5) -> str:
    """The first few of a list, for a message."""
    text = ", ".join(str(key) for key in keys[:limit])
    return f"{text}, … ({len(keys)} in all)" if len(keys) > limit else text
