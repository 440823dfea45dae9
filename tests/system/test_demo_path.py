"""The demonstration's path: a night from the telescope to DL2."""

from __future__ import annotations

import pytest
from demonstration import check_audit, check_both_sides, demo


@pytest.mark.slow
def test_a_night_from_the_telescope_to_dl2(testbed, tmp_path):
    found = demo(testbed, tmp_path)
    assert found["state"] == "complete"
    assert len(found["raw"]["files"]) == 38
    assert found["raw"]["events"] == 80
    assert found["recalled"] == {"files": 38, "bytes": found["raw"]["bytes"]}
    process, merge = found["steps"]
    assert (len(process["outputs"]), process["events"], process["reconstructed"]) == (4, 80, 80)
    assert (len(merge["outputs"]), merge["events"]) == (2, 80)
    assert len(found["median_direction_error_deg"]) == 2
    assert max(found["median_direction_error_deg"]) <= 0.05
    check_both_sides(testbed, found["raw"]["files"] + process["outputs"] + merge["outputs"])
    check_audit(testbed, found)
