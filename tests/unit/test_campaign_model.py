"""A campaign file's model, and the division of raw files into the inputs of jobs."""

import pytest
from pydantic import ValidationError

from CTARucioDIRAC.domain.acada import parse_name
from CTARucioDIRAC.domain.campaign import (
    Campaign,
    Group,
    SelectedFile,
    Window,
    divide,
    output_lfn,
    owners,
    pack,
    shared_outputs,
)

STEP = {
    "name": "process",
    "kind": "dl0",
    "software": {"name": "ctapipe", "version": "0.28"},
    "output": {"path": "/ctao/n1/DL2/c", "name": "{key}.dl2.h5", "storage": "PIC-DISK", "data_level": 2},
}
GOOD = {
    "campaign": "n1",
    "selection": {"path": "/ctao/n1/DL0"},
    "staging": {"source": "PIC-TAPE", "buffer": "PIC-BUFFER"},
    "steps": [STEP],
}
BASE = "/ctao/n1/DL0"


def dl0(obs: int, chunk: int, tel: int | None, sdh: int = 0) -> SelectedFile:
    producer, kind = ("SUB002_SWAT001", "SUBARRAY") if tel is None else (f"TEL{tel:03d}_SDH{sdh:03d}", "TEL_SHOWER")
    return SelectedFile(
        f"{BASE}/{producer}_20250204T204531_SBID{77:019d}_OBSID{obs:019d}_{kind}_CHUNK{chunk:03d}.fits.fz", 10
    )


def night(observations=(1001, 1002), chunks=2) -> list[SelectedFile]:
    files = [dl0(obs, c, tel) for obs in observations for c in range(chunks) for tel in (None, 1, 2, 3, 4)]
    return files + [SelectedFile(f"{BASE}/pointing_OBSID{obs:019d}.mon.h5", 5) for obs in observations]


def test_acada_names_are_read():
    name = parse_name(dl0(1001, 1, 3, 1).lfn)
    assert (name.obs_id, name.chunk, name.stream) == (1001, 1, "TEL003_SDH001_TEL_SHOWER")
    pointing = parse_name("/x/pointing_OBSID0000000000000001002.mon.h5")
    assert (pointing.obs_id, pointing.chunk) == (1002, None)
    assert parse_name("/ctao/sim/75/history_meta_75.simtel.zst") is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"surprise": 1}, "surprise"),
        ({"campaign": "a b"}, "campaign"),
        ({"selection": {"path": "ctao/x"}}, "path"),
        ({"staging": {"source": "PIC-TAPE", "buffer": "PIC-BUFFER", "window": {"files": 0}}}, "window"),
        ({"steps": []}, "steps"),
        ({"steps": [STEP, STEP]}, "differ"),
        ({"steps": [{**STEP, "kind": "merge"}]}, "first step"),
        ({"steps": [{**STEP, "output": {**STEP["output"], "name": "{keyy}.h5"}}]}, "keyy"),
        ({"steps": [{**STEP, "output": {**STEP["output"], "name": "same.h5"}}]}, "same file"),
        ({"steps": [{**STEP, "output": {**STEP["output"], "name": "a b{key}"}}]}, "characters"),
    ],
)
def test_mistakes_are_named(change, named):
    with pytest.raises(ValidationError) as error:
        Campaign.model_validate(GOOD | change)
    assert named in str(error.value)


def test_a_chunk_holds_all_streams_and_the_pointing():
    division = divide("dl0", night())
    assert [c.key for c in division.groups] == [f"obs{o}-chunk00{c}" for o in (1001, 1002) for c in (0, 1)]
    assert all(len(g.files) == 6 for g in division.groups)
    assert not division.set_aside


def test_each_file_is_accounted_for_once():
    files = night()
    owner = owners(divide("dl0", files).groups)
    assert set(owner) == {file.lfn for file in files}
    assert owner[f"{BASE}/pointing_OBSID{1001:019d}.mon.h5"] == "obs1001-chunk000"


def test_an_incomplete_chunk_is_set_aside_with_its_reason():
    files = [f for f in night() if not (("TEL002" in f.lfn) and ("CHUNK001" in f.lfn) and ("1001_TEL" in f.lfn))]
    division = divide("dl0", files)
    assert [c.key for c in division.groups] == ["obs1001-chunk000", "obs1002-chunk000", "obs1002-chunk001"]
    assert len(division.set_aside) == 4
    assert all("lacks the stream(s) TEL002_SDH000" in reason for reason in division.set_aside.values())


def test_strangers_are_set_aside():
    division = divide("dl0", [*night(), SelectedFile(f"{BASE}/notes.txt", 1)])
    assert list(division.set_aside) == [f"{BASE}/notes.txt"]


def test_simulation_files_are_chunks_of_their_own():
    files = [
        SelectedFile("/ctao/sim/75/history_meta_75.simtel.zst", 3, 75),
        SelectedFile("/ctao/sim/76/history_meta_75.simtel.zst", 3, 76),
        SelectedFile("/ctao/sim/x/unknown.simtel.gz", 3, None),
    ]
    division = divide("simtel", files)
    assert [(c.key, c.obs_id) for c in division.groups] == [("history_meta_75", 75)]
    assert set(division.set_aside) == {files[1].lfn, files[2].lfn}


def test_an_output_has_one_name_whatever_the_attempt():
    campaign = Campaign.model_validate(GOOD)
    assert (
        output_lfn(campaign, campaign.steps[0], Group("obs1001-chunk000", 1001, ()))
        == "/ctao/n1/DL2/c/obs1001-chunk000.dl2.h5"
    )


def test_chunks_hold_whole_groups_and_a_quarter_of_the_window():
    groups = divide("dl0", night(observations=range(1001, 1011))).groups
    chunks = pack(groups, Window(files=48, bytes=10**6))
    assert len(groups) == 20
    assert [len(c.sizes) for c in chunks] == [11] * 10  # two groups of an observation share its pointing
    assert [len(c.sizes) for c in pack(groups, Window(files=4, bytes=10**6))] == [6] * 20
    assert [c.key for c in chunks] == sorted(c.key for c in chunks)


def test_merging_takes_all_files_of_an_observation():
    files = [SelectedFile(f"/ctao/n1/DL2/obs{o}-{c}.h5", 1, o) for o in (1, 2) for c in (0, 1, 2)]
    assert [(g.key, len(g.files)) for g in divide("merge", files).groups] == [("obs1", 3), ("obs2", 3)]


def test_a_specification_survives_its_way_through_rucio():
    campaign = Campaign.model_validate(GOOD)
    assert Campaign.model_validate_json(campaign.model_dump_json()) == campaign


@pytest.mark.parametrize("path", ["/ctao//n1/DL0", "/ctao/n1/DL0/"])
def test_paths_are_normalised(path):
    assert Campaign.model_validate(GOOD | {"selection": {"path": path}}).selection.path == "/ctao/n1/DL0"


def test_without_a_trigger_or_with_two_pointings_nothing_is_guessed():
    no_trigger = [f for f in night(observations=[1001]) if "SUB002" not in f.lfn]
    division = divide("dl0", no_trigger)
    assert not division.groups
    assert all("lacks the stream(s) SUBARRAY" in r or "no complete chunk" in r for r in division.set_aside.values())
    second = SelectedFile(f"{BASE}/zz_pointing_OBSID{1001:019d}.mon.h5", 5)
    division = divide("dl0", [*night(), second])
    assert len(division.groups) == 4
    assert "second file for the whole of OBSID 1001" in division.set_aside[second.lfn]


def test_jobs_that_would_write_one_name_are_found():
    step = STEP | {"output": STEP["output"] | {"name": "obs{obs_id}.h5"}}
    campaign = Campaign.model_validate(GOOD | {"steps": [step]})
    shared = shared_outputs(campaign, divide("dl0", night()).groups)
    assert shared["/ctao/n1/DL2/c/obs1001.h5"] == ["obs1001-chunk000", "obs1001-chunk001"]
