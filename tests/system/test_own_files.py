"""The demonstration's path on one's own simulation files."""

from __future__ import annotations

from pathlib import Path

import pytest
from demonstration import check_both_sides, demo

SIMULATIONS = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.slow
def test_ones_own_simulation_files(testbed, tmp_path):
    if not SIMULATIONS.is_dir():
        pytest.skip(f"{SIMULATIONS} is not there: real simulation files are not part of the repository")
    mine = tmp_path / "mine"
    mine.mkdir()
    names = ("history_meta_75.simtel.zst", "prod4_pixelsettings_v3.gz")
    for name in names:
        (mine / name).write_bytes((SIMULATIONS / name).read_bytes())
    (mine / "broken.simtel.zst").write_bytes((SIMULATIONS / names[0]).read_bytes()[:100_000])
    found = demo(testbed, tmp_path, "--input", mine)
    assert found["state"] == "complete"
    assert sorted(lfn.rsplit("/", 1)[1] for lfn in found["raw"]["files"]) == sorted(names)
    assert list(found["raw"]["set_aside"]) == [str(mine / "broken.simtel.zst")]
    (process,) = found["steps"]
    assert (len(process["outputs"]), process["events"], process["reconstructed"]) == (2, 11, 1)
    check_both_sides(testbed, found["raw"]["files"] + process["outputs"])
