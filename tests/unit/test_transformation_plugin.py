"""Which tasks the plugin makes: whole groups, online, each file in one task only."""

from CTARucioDIRAC.domain.campaign import Chunk, Group, SelectedFile
from CTARucioDIRAC.TransformationSystem.Agent.RucioTransformationPlugin import owned_elsewhere, tasks_of

POINTING = "/ctao/n/pointing"


def group(number: int) -> Group:
    files = tuple(SelectedFile(f"/ctao/n/{number}-{name}", 1) for name in ("tel", "trigger"))
    return Group(f"g{number}", 1, (*files, SelectedFile(POINTING, 1)))


GROUPS = [group(0), group(1), group(2)]
CHUNKS = [Chunk(f"chunk{n}", {file.lfn: 1 for file in g.files}) for n, g in enumerate(GROUPS)]
ALL = {lfn for g in GROUPS for lfn in g.lfns}


def tasks(unused, online):
    waiting = [chunk for chunk in CHUNKS if not unused.isdisjoint(chunk.sizes)]
    groups = [g for g, chunk in zip(GROUPS, CHUNKS, strict=True) if chunk in waiting]
    return tasks_of(groups, owned_elsewhere(CHUNKS, waiting), unused, online, "PIC-BUFFER")


def test_each_file_is_in_one_task():
    found = tasks(ALL, ALL)
    assert sorted(lfn for _, lfns in found for lfn in lfns) == sorted(ALL)
    assert POINTING in found[0][1]


def test_nothing_starts_before_all_its_files_are_online():
    assert tasks(ALL, ALL - {POINTING}) == []
    assert [len(lfns) for _, lfns in tasks(ALL, set(GROUPS[0].lfns))] == [3]


def test_a_shared_file_processed_with_another_chunk_holds_nobody_up():
    unused = ALL - set(GROUPS[0].lfns)
    assert [lfns for _, lfns in tasks(unused, ALL)] == [list(GROUPS[1].lfns[:2]), list(GROUPS[2].lfns[:2])]


def test_a_failed_group_comes_back_whole():
    assert [lfns for _, lfns in tasks(set(GROUPS[0].lfns), ALL)] == [list(GROUPS[0].lfns)]


def test_a_group_that_is_partly_assigned_waits():
    assert tasks(ALL - {GROUPS[1].lfns[0], *GROUPS[0].lfns, *GROUPS[2].lfns}, ALL) == []


def test_merging_needs_nothing_online():
    assert len(tasks(ALL, None)) == 3
