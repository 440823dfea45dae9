"""The carousel's plan: bounded, ordered, and safe to repeat."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from CTARucioDIRAC.domain.campaign import Chunk, Group, SelectedFile, Window
from CTARucioDIRAC.domain.staging import ChunkState, Pin, plan, progress, ready, too_large

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


def chunk(number: int, files: int = 2, size: int = 100, shared: str | None = None) -> Chunk:
    lfns = [f"/ctao/x/{number:03d}-{i}" for i in range(files)]
    sizes = dict.fromkeys(lfns, size // files)
    sizes[lfns[0]] += size - sum(sizes.values())
    return Chunk(f"c{number:03d}", sizes | ({shared: 0} if shared else {}))


def pin(number: int, left: timedelta = WEEK) -> Pin:
    return Pin(f"rule{number}", NOW + left)


def test_fills_the_window_in_order_and_not_beyond():
    states = [ChunkState(chunk(i)) for i in range(10)]
    result = plan(states, Window(files=5, bytes=10**6), {}, NOW, WEEK)
    assert [c.key for c in result.pin] == ["c000", "c001"]


def test_bytes_bound_too():
    states = [ChunkState(chunk(i)) for i in range(10)]
    assert len(plan(states, Window(files=1000, bytes=350), {}, NOW, WEEK).pin) == 3


def test_a_small_chunk_does_not_overtake_a_large_one():
    states = [ChunkState(chunk(0, size=300), pin(0)), ChunkState(chunk(1, size=300)), ChunkState(chunk(2, size=10))]
    assert not plan(states, Window(files=1000, bytes=500), {}, NOW, WEEK).pin


def test_released_replicas_still_fill_the_buffer_until_the_reaper_has_removed_them():
    done = chunk(0)
    states = [ChunkState(done, finished=True), ChunkState(chunk(1))]
    still_there = dict(done.sizes)
    assert not plan(states, Window(files=3, bytes=10**6), still_there, NOW, WEEK).pin
    assert plan(states, Window(files=3, bytes=10**6), {}, NOW, WEEK).pin == (states[1].chunk,)


def test_a_shared_file_is_counted_once():
    states = [ChunkState(chunk(i, files=1, shared="/ctao/x/pointing")) for i in range(3)]
    assert len(plan(states, Window(files=4, bytes=10**6), {}, NOW, WEEK).pin) == 3


def test_releases_finished_and_extends_unfinished_pins():
    states = [
        ChunkState(chunk(0), pin(0), finished=True),
        ChunkState(chunk(1), pin(1, timedelta(days=1))),
        ChunkState(chunk(2), pin(2)),
        ChunkState(chunk(3), pin(3, timedelta(days=1)), given_up=True),
    ]
    result = plan(states, Window(files=1, bytes=1), {}, NOW, WEEK)
    assert [p.rule_id for p in result.release] == ["rule0", "rule3"]
    assert [p.rule_id for p in result.extend] == ["rule1"]


def test_what_can_never_be_recalled_is_named():
    assert too_large([chunk(0), chunk(1, files=20)], Window(files=10, bytes=1000)) == (chunk(1, files=20),)


def test_a_job_starts_only_when_all_its_files_are_online():
    group = Group("g", 1, (SelectedFile("/a", 1), SelectedFile("/b", 1)))
    assert ready(group, {"/a", "/b", "/c"})
    assert not ready(group, {"/a"})


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 100), st.sampled_from(["new", "pinned", "done"])), max_size=30
    ),
    st.integers(5, 40),
    st.integers(100, 1000),
)
def test_never_overfills(shape, max_files, max_bytes):
    window = Window(files=max_files, bytes=max_bytes)
    states = [
        ChunkState(chunk(i, files, size), pin(i) if kind == "pinned" else None, finished=kind == "done")
        for i, (files, size, kind) in enumerate(shape)
    ]
    held = [s.chunk for s in states if s.pin]
    result = plan(states, window, {}, NOW, WEEK)
    if result.pin:
        assert sum(len(c.sizes) for c in [*held, *result.pin]) <= max_files
        assert sum(sum(c.sizes.values()) for c in [*held, *result.pin]) <= max_bytes


def test_progress_counts_a_shared_file_for_the_first_chunk():
    chunks = [chunk(i, files=1, shared="/ctao/x/pointing") for i in range(3)]
    own = [next(iter(c.sizes)) for c in chunks]
    status = {own[0]: "MaxReset", "/ctao/x/pointing": "MaxReset", own[1]: "Processed", own[2]: "Assigned"}
    assert progress(chunks, status) == ({"c001"}, {"c000"})
