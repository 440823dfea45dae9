"""ACADA's names and directories, both ways (pure: no ctapipe environment needed)."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "software" / "src"))

from cta_rucio_worker_tools import acada

START = datetime(2025, 2, 4, 20, 45, 31, tzinfo=UTC)
IDS = st.integers(1, 10**18)
SMALL = st.integers(0, 999)


@given(SMALL, SMALL, IDS, IDS, SMALL)
def test_an_event_name_is_read_back(tel_id: int, sdh: int, sb_id: int, obs_id: int, chunk: int) -> None:
    name = acada.parse_name(acada.event_name(tel_id, sdh, START, sb_id, obs_id, chunk))
    assert name == acada.AcadaName("event", obs_id, sb_id, tel_id, None, f"SDH{sdh:03d}", chunk, START)


@given(SMALL, IDS, IDS, SMALL)
def test_a_trigger_name_is_read_back(subarray_id: int, sb_id: int, obs_id: int, chunk: int) -> None:
    name = acada.parse_name(acada.trigger_name(subarray_id, START, sb_id, obs_id, chunk))
    assert name == acada.AcadaName("trigger", obs_id, sb_id, None, subarray_id, "SWAT001", chunk, START)


def test_a_pointing_name_is_read_back() -> None:
    assert acada.parse_name(acada.pointing_name(1001)) == acada.AcadaName("pointing", 1001)


@pytest.mark.parametrize(
    "name",
    [
        "TEL001_SDH0001_20231013T220427_SBID0000000002000000013_OBSID0000000002000000027_CHUNK000.fits.fz",
        "TEL001_SDH000_20250204T204531_SBID0000000000000000077_OBSID0000000000000001001_TEL_SHOWER_CHUNK000.fits.fz",
    ],
)
def test_names_seen_at_the_site_are_understood(name: str) -> None:
    found = acada.parse_name(name)
    assert found is not None
    assert (found.kind, found.tel_id, found.chunk) == ("event", 1, 0)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "run4.simtel.zst",
        "TEL001_SWAT001_20250204T204531_SBID77_OBSID1001_CHUNK000.fits.fz",
        "SUB002_SDH001_20250204T204531_SBID77_OBSID1001_CHUNK000.fits.fz",
        "TEL001_SDH000_20251304T204531_SBID77_OBSID1001_TEL_SHOWER_CHUNK000.fits.fz",
        "TEL001_SDH000_20250204T204531_SBID77_OBSID1001_TEL_SHOWER_CHUNK000.fits.fz.part",
    ],
)
def test_other_names_are_not(name: str) -> None:
    assert acada.parse_name(name) is None


def test_a_night_changes_at_noon() -> None:
    assert acada.night_of(datetime(2025, 2, 5, 3, tzinfo=UTC)) == date(2025, 2, 4)
    assert acada.night_of(datetime(2025, 2, 5, 12, tzinfo=UTC)) == date(2025, 2, 5)


def test_directories_are_those_ctapipe_looks_in() -> None:
    night = date(2025, 2, 4)
    assert str(acada.directory("event", night, 3)) == "DL0/LSTN-03/ctao-acada-n/acada-adh/events/2025/02/04"
    assert str(acada.directory("trigger", night)) == "DL0/ARRAY/ctao-acada-n/acada-adh/triggers/2025/02/04"
    assert str(acada.directory("pointing", night)) == "DL0/ARRAY/ctao-acada-n/acada-adh/monitoring/2025/02/04"
    with pytest.raises(ValueError, match="telescope 5 has no known directory"):
        acada.directory("event", night, 5)
