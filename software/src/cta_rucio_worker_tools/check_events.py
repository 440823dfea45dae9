"""Command ``cta-rucio-check-events``: decide whether the output of ctapipe may be accepted."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from .acceptance import median_error, refusals
from .ctapipe_file import read_output
from .records import Event, Input, Output
from .zfits import DamagedFile

LEVELS = ("DL1_PARAMETERS", "DL2")

DESCRIPTION = """\
Decide whether an output of ctapipe-process or ctapipe-merge may be registered. ctapipe's exit code alone doesn't tell:
it is 0 for a missing stream, for no events at all, for a cut simtel file, and for events marked valid without direction.

Accepted is a file that opens, was finished, has the expected data levels, and in which
  - the subarray events are those of the input, each once;
  - the telescope rows are those of the input, each once, as many as the streams hold;
  - all streams of the chunk were there (DL0: the trigger file says how many events each telescope has);
  - no event is marked valid with a direction that is not finite.
Events without reconstruction are counted, not refused."""
EPILOG = """\
exit codes: 0 accepted, 1 refused (the reasons are printed), 2 wrong usage or the input can't be read
examples:   cta-rucio-check-events --output c0.h5 --dl0-triggers DL0/ARRAY/*/acada-adh/triggers/*/*/*/SUB*.fits.fz
            cta-rucio-check-events --output run4.h5 --simtel run4.simtel.zst --json
            cta-rucio-check-events --output obs.h5 --merged-from c0.h5 c1.h5 --truth truth.json"""


def _read_simtel(path: Path) -> Input:
    from .simtel import read_simtel

    try:
        content = read_simtel(path)
    except DamagedFile as error:
        return Input(faults=[f"{path.name}: {error}"])
    found = Input()
    if len(content.obs_ids) != 1:
        found.faults.append(f"{path.name} holds the runs {content.obs_ids}: ctapipe reads files of one run only")
    obs_id, pseudo_id = content.obs_ids[0], 0
    for event in content.events:
        event_id = event.event_id
        if not event_id:  # ctapipe numbers events without id downwards
            pseudo_id -= 1
            event_id = pseudo_id
        found.events[obs_id, event_id] += 1
        found.tel_rows.update((obs_id, event_id, tel_id) for tel_id in event.with_data)
        found.tel_triggers.update((obs_id, event_id, tel_id) for tel_id in event.triggered)
    found.tel_rows_in = sum(found.tel_rows.values())
    return found


def _read_parts(paths: list[Path]) -> Input:
    found = Input(reconstructed=0)
    for path in paths:
        try:
            part = read_output(path)
        except DamagedFile as error:
            found.faults.append(f"part {error}")
            continue
        found.events.update(part.events)
        found.tel_rows.update(part.tel_rows)
        found.tel_triggers.update(part.tel_tables.get("trigger", Counter()))
        found.reconstructed = (found.reconstructed or 0) + len(part.directions)
    found.tel_rows_in = sum(found.tel_rows.values())
    return found


def _read_truth(path: Path, events: Counter[Event]) -> dict[Event, tuple[float, float]]:
    """Direction of the source, for every event of an observation that the file knows."""
    truth = json.loads(path.read_text())
    source = (float(truth["source"]["alt"]), float(truth["source"]["az"]))
    known = {int(observation["obs_id"]) for observation in truth["observations"]}
    unknown = sorted({obs_id for obs_id, _ in events} - known)
    if unknown:
        raise ValueError(f"has no observation {unknown}: give the truth of the same night")
    return dict.fromkeys(events, source)


def _read_input(options: argparse.Namespace) -> Input:
    if options.dl0_triggers:
        from .dl0_input import read_dl0

        return read_dl0(options.dl0_triggers, options.expect)
    if options.simtel:
        return _read_simtel(options.simtel)
    return _read_parts(options.merged_from)


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Compare an output with its input.

    Parameters
    ----------
    options : argparse.Namespace
        As the command's parser gives them.

    Returns
    -------
    dict
        The result, as ``--json`` prints it; ``accepted`` is whether ``reasons`` is empty.

    Raises
    ------
    DamagedFile, OSError, ValueError
        If an input can't be read at all.
    """
    source = _read_input(options)
    output, reasons = Output(), []
    try:
        output = read_output(options.output)
        reasons = refusals(source, output, options.levels)
    except DamagedFile as error:
        reasons = [*source.faults, str(error)]
    truth = _read_truth(options.truth, output.events) if options.truth else output.true_directions
    header = output.header
    return {
        "accepted": not reasons,
        "output": str(options.output),
        "events_in": sum(source.events.values()),
        "events_out": sum(output.events.values()),
        "tel_rows_in": source.tel_rows_in,
        "tel_rows_out": sum(output.tel_rows.values()),
        "reconstructed": len(output.directions),
        "without_reconstruction": len(set(output.events) - set(output.directions)),
        "median_direction_error_deg": median_error(output.directions, truth),
        "obs_ids": sorted({obs_id for obs_id, _ in output.events}),
        "data_levels": output.levels,
        "ctapipe_version": header.get("CTA ACTIVITY SOFTWARE VERSION"),
        "product_id": header.get("CTA PRODUCT ID"),
        "activity_id": header.get("CTA ACTIVITY ID"),
        "activity_name": header.get("CTA ACTIVITY NAME"),
        "data_model_version": header.get("CTA PRODUCT DATA MODEL VERSION"),
        "streams": source.streams,
        "reasons": reasons,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "cta-rucio-check-events",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="FILE.h5", help="file to decide on")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dl0-triggers", type=Path, nargs="+", metavar="FILE",
        help="it was made from these DL0 trigger files and the streams beside them")  # fmt: skip
    source.add_argument("--simtel", type=Path, metavar="FILE", help="it was made from this sim_telarray file")
    source.add_argument("--merged-from", type=Path, nargs="+", metavar="FILE.h5", help="it was merged from these files")
    add("--expect", nargs="+", default=[], metavar="NAME",
        help="DL0: names of files that must have been there, for instance all that the catalogue knows of the chunk")  # fmt: skip
    add("--levels", nargs="+", default=list(LEVELS), metavar="LEVEL",
        help=f"data levels it must have (default {' '.join(LEVELS)})")  # fmt: skip
    add("--truth", type=Path, metavar="FILE.json",
        help="truth.json of cta-rucio-make-night: compare directions with it (simulations hold their own truth)")  # fmt: skip
    add("--json", action="store_true", help="print the result as one JSON object")
    return parser


def _text(result: dict[str, Any]) -> str:
    error = result["median_direction_error_deg"]
    lines = [
        f"{result['output']}: {'accepted' if result['accepted'] else 'REFUSED'}",
        f"  events {result['events_out']} of {result['events_in']},"
        f" telescope rows {result['tel_rows_out']} of {result['tel_rows_in']}",
        f"  reconstructed {result['reconstructed']}, without reconstruction {result['without_reconstruction']}"
        + (f", median direction error {error:.4f} deg" if error is not None else ""),
    ]
    return "\n".join(lines + [f"  - {reason}" for reason in result["reasons"]])


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.expect and not options.dl0_triggers:
        parser.error("--expect goes with --dl0-triggers")
    named = [*(options.dl0_triggers or []), *(options.merged_from or []), options.simtel, options.truth, options.output]
    absent = [str(path) for path in named if path and not path.is_file()]
    if absent:
        parser.error(f"no such file: {', '.join(absent)}")
    try:
        result = check(options)
    except (DamagedFile, OSError, ValueError, KeyError) as error:
        print(f"cta-rucio-check-events: the input can't be read: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result) if options.json else _text(result))
    return 0 if result["accepted"] else 1


if __name__ == "__main__":
    sys.exit(main())
