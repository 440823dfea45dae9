"""What a chunk of DL0 must lead to: events from the trigger file, telescope events from the streams beside it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from protozfits import File

from .acada import TELESCOPE_NAMES, AcadaName, parse_name
from .records import Input, named
from .zfits import DamagedFile, open_zfits


def read_dl0(triggers: list[Path], expected: list[str]) -> Input:
    """Read the trigger files of some chunks and count the events of all their streams.

    Parameters
    ----------
    triggers : list[pathlib.Path]
        Trigger files in ACADA's tree; the telescopes' streams are looked for where ctapipe-io-zfits does.
    expected : list[str]
        Names of stream files that must be there, for instance all that the catalogue knows of the chunk.

    Returns
    -------
    Input
        Events, telescope events, and the faults of the input.

    Raises
    ------
    DamagedFile
        If a trigger file can't be read.
    """
    found = Input()
    for path in triggers:
        _add_chunk(found, path)
    found.tel_triggers = found.tel_rows
    found.tel_rows_in = sum(stream["n_events"] for stream in found.streams)
    names = {stream["name"] for stream in found.streams} | {path.name for path in triggers}
    missing = sorted({Path(name).name for name in expected} - names)
    if missing:
        found.faults.append(f"expected files are missing: {named(missing)}")
    return found


def _read_trigger(path: Path) -> list[tuple[int, int, list[int]]]:
    """Observation, event, telescopes with data, of each trigger."""
    try:
        zfits = open_zfits(path)
    except DamagedFile as error:
        raise DamagedFile(f"trigger file {path}: {error}") from error
    if zfits.kind != "trigger":
        raise DamagedFile(f"{path} is not a trigger file: it has telescope events")
    rows = []
    with File(str(path)) as file:
        for event in getattr(file, zfits.table):
            tel_ids = event.tel_ids_with_data
            tel_ids = event.tel_ids_with_trigger if tel_ids is None else tel_ids
            rows.append((int(event.obs_id), int(event.event_id), [int(tel_id) for tel_id in tel_ids]))
    return rows


def _add_chunk(found: Input, path: Path) -> None:
    rows = _read_trigger(path)
    found.events.update((obs_id, event_id) for obs_id, event_id, _ in rows)
    found.tel_rows.update((obs_id, event_id, tel_id) for obs_id, event_id, tel_ids in rows for tel_id in tel_ids)
    name = parse_name(path.name)
    if name is None or name.kind != "trigger":
        found.faults.append(f"{path.name} is not named as ACADA names triggers: its streams can't be found")
        return
    wanted = Counter(tel_id for _, _, tel_ids in rows for tel_id in tel_ids)
    for tel_id, n_wanted in sorted(wanted.items()):
        _add_telescope(found, path, name, tel_id, n_wanted)


def _telescope_directory(trigger: Path, tel_id: int) -> Path | None:
    """Where ctapipe-io-zfits looks for the streams of a telescope, or None if the trigger isn't in ACADA's tree."""
    parents = trigger.absolute().parents
    if len(parents) < 8 or [parents[i].name for i in (3, 4, 6, 7)] != ["triggers", "acada-adh", "ARRAY", "DL0"]:
        return None
    element = TELESCOPE_NAMES.get(tel_id, f"telescope-{tel_id}")
    return parents[7] / element / parents[5].name / "acada-adh" / "events" / parents[0].relative_to(parents[3])


def _add_telescope(found: Input, trigger: Path, name: AcadaName, tel_id: int, n_wanted: int) -> None:
    directory = _telescope_directory(trigger, tel_id)
    label = f"telescope {tel_id}, chunk {name.chunk} of observation {name.obs_id}"
    if directory is None:
        found.faults.append(
            f"{label}: {trigger.name} is not in DL0/ARRAY/<user>/acada-adh/triggers/YYYY/MM/DD,"
            " so that its streams are not found"
        )
        return
    n_found = 0
    for path in sorted(directory.glob("*.fits.fz")) if directory.is_dir() else []:
        stream = parse_name(path.name)
        if stream is None or (stream.kind, stream.tel_id) != ("event", tel_id):
            continue
        if (stream.sb_id, stream.obs_id, stream.chunk) != (name.sb_id, name.obs_id, name.chunk):
            continue
        n_found += _add_stream(found, path, stream)
    if n_found != n_wanted:
        found.faults.append(
            f"{label}: its streams in {directory} have {n_found} events, the trigger says {n_wanted}:"
            f" {'no stream file is there' if not n_found else 'a stream is missing, cut or of another chunk'}"
        )


def _add_stream(found: Input, path: Path, name: AcadaName) -> int:
    try:
        n_events = open_zfits(path).n_events
    except DamagedFile as error:
        found.faults.append(f"stream {path.name}: {error}")
        n_events = 0
    found.streams.append(
        {"name": path.name, "tel_id": name.tel_id, "stream": name.stream, "chunk": name.chunk, "n_events": n_events}
    )
    return n_events
