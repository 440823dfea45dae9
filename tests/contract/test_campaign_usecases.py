"""A campaign in Rucio: frozen, recalled in a window, handed on; and whole again after a crash at any request."""

from __future__ import annotations

import datetime as dt

import pytest
from fake_gateway import FakeGateway

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.campaign import Campaign, SelectedFile, divide, output_lfn
from CTARucioDIRAC.domain.identifiers import did_of, lfn_of
from CTARucioDIRAC.gateway.protocol import FileRecord
from CTARucioDIRAC.usecases import campaign as uc

NOW = dt.datetime.now(dt.UTC)
BASE = "/ctao/night/DL0"
WRITES = (
    "add_scope",
    "add_datasets",
    "add_containers",
    "attach",
    "close",
    "set_metadata",
    "add_rule",
    "end_rule",
    "update_rule",
)


def night() -> list[SelectedFile]:
    files = []
    for obs in (1001, 1002):
        for chunk in (0, 1):
            for producer, kind in (("SUB002_SWAT001", "SUBARRAY"), ("TEL001_SDH000", "TEL_SHOWER")):
                name = f"{producer}_20250204T204531_SBID{77:019d}_OBSID{obs:019d}_{kind}_CHUNK{chunk:03d}.fits.fz"
                files.append(SelectedFile(f"{BASE}/{name}", 10))
        files.append(SelectedFile(f"{BASE}/pointing_OBSID{obs:019d}.mon.h5", 5))
    return files


def campaign(name: str = "c1", window_files: int = 7) -> Campaign:
    output = {"path": "/ctao/night/DL2", "name": "{key}.h5", "storage": "PIC-DISK", "data_level": 2}
    process = {
        "name": "process",
        "kind": "dl0",
        "software": {"name": "ctapipe", "version": "0.28"},
        "output": output,
    }
    return Campaign.model_validate(
        {
            "campaign": name,
            "selection": {"path": BASE},
            "staging": {"source": "PIC-TAPE", "buffer": "PIC-BUFFER", "window": {"files": window_files, "bytes": 1000}},
            "steps": [
                process,
                process | {"name": "merge", "kind": "merge", "output": output | {"name": "obs{obs_id}.h5"}},
            ],
        }
    )


@pytest.fixture
def gateway() -> FakeGateway:
    gateway = FakeGateway()
    gateway.add_scope("night")
    gateway.add_replicas("PIC-TAPE", [FileRecord(did_of(f.lfn), f.size, "00000001") for f in night()])
    gateway.add_rule([did_of(f.lfn) for f in night()], "PIC-TAPE")
    return gateway


def groups():
    return divide("dl0", night()).groups


def test_freezing_writes_exactly_the_selection(gateway):
    c = campaign()
    chunks = uc.freeze(gateway, c, groups())
    assert {lfn_of(f.did) for f in gateway.list_files(did_of(c.selection_name))} == {f.lfn for f in night()}
    assert uc.load(gateway, c.base) == c
    assert uc.list_chunks(gateway, c, c.steps[0], {}) == list(chunks)
    assert not gateway.get_dids([did_of(c.selection_name)])[did_of(c.selection_name)].is_open


def test_another_selection_under_the_same_name_is_refused(gateway):
    uc.freeze(gateway, campaign(), groups())
    with pytest.raises(errors.Conflict, match="exists with other files"):
        uc.freeze(gateway, campaign(), groups()[:2])
    with pytest.raises(errors.Conflict, match=r"another specification \(staging\)"):
        uc.freeze(gateway, campaign(window_files=50), groups())


def test_other_configuration_files_under_the_same_name_are_refused(gateway):
    uc.freeze(gateway, campaign(), groups(), "aaaa")
    uc.freeze(gateway, campaign(), groups(), "aaaa")
    with pytest.raises(errors.Conflict, match="other configuration files"):
        uc.freeze(gateway, campaign(), groups(), "bbbb")


def test_nothing_to_do_and_too_small_a_window_are_refused(gateway):
    with pytest.raises(errors.InvalidInput, match="nothing to process"):
        uc.freeze(gateway, campaign(), [])
    with pytest.raises(errors.InvalidInput, match="enlarge the window"):
        uc.freeze(gateway, campaign(window_files=2), groups())


def test_the_window_rolls(gateway):
    c = campaign()
    chunks = uc.freeze(gateway, c, groups())
    first = uc.recall(gateway, c, chunks, (), (), NOW)
    assert [chunk.key for chunk in first.plan.pin] == ["chunk00000", "chunk00001"]
    assert not uc.recall(gateway, c, chunks, (), (), NOW).plan
    rules = list(gateway.list_rules(rse_expression="PIC-BUFFER"))
    assert {rule.source_replica_expression for rule in rules} == {"PIC-TAPE"}
    assert all(rule.expires_at for rule in rules)
    gateway.transfer()
    assert len(uc.recall(gateway, c, chunks, (), (), NOW).on_buffer) == 5
    released = uc.recall(gateway, c, chunks, {"chunk00000"}, (), NOW)
    assert len(released.plan.release) == 1
    gateway.clean()
    third = uc.recall(gateway, c, chunks, {"chunk00000"}, (), NOW)
    assert [chunk.key for chunk in third.plan.pin] == ["chunk00002"]
    uc.recall(gateway, c, chunks, {"chunk00000", "chunk00001"}, (), NOW)
    gateway.clean()
    last = uc.recall(gateway, c, chunks, {"chunk00000", "chunk00001"}, (), NOW)
    assert [chunk.key for chunk in last.plan.pin] == ["chunk00003"]


def test_pin_then_unpin_leaves_every_other_copy(gateway):
    c = campaign(window_files=50)
    chunks = uc.freeze(gateway, c, groups())
    uc.recall(gateway, c, chunks, (), (), NOW)
    gateway.transfer()
    uc.recall(gateway, c, chunks, {chunk.key for chunk in chunks}, (), NOW)
    gateway.clean()
    replicas = gateway.list_replicas([did_of(f.lfn) for f in night()])
    assert all({r.rse for r in file.available} == {"PIC-TAPE"} for file in replicas.values())


def test_a_copy_that_nothing_else_protects_is_never_pinned_for_a_while(gateway):
    lonely = did_of(night()[0].lfn)
    for rule in list(gateway.list_rules(did=lonely)):
        gateway.end_rule(rule.id)
    gateway.add_replicas("PIC-BUFFER", [FileRecord(lonely, 10, "00000001")])
    c = campaign()
    chunks = uc.freeze(gateway, c, groups())
    cycle = uc.recall(gateway, c, chunks, (), (), NOW)
    assert len(cycle.problems) == 1
    assert "chunk00000 is not recalled" in cycle.problems[0]
    assert [rule.did.name[-10:] for rule in gateway.list_rules(rse_expression="PIC-BUFFER")] == ["chunk00001"]


def test_a_job_knows_its_whole_input_from_one_file(gateway):
    c = campaign()
    uc.freeze(gateway, c, groups())
    for group in groups():
        trigger = next(lfn for lfn in group.lfns if "SUBARRAY" in lfn)
        assert uc.group_of(gateway, c, c.steps[0], trigger) == group
    with pytest.raises(errors.NotFound):
        uc.group_of(gateway, c, c.steps[1], night()[0].lfn)


def test_only_complete_observations_are_handed_on(gateway):
    c = campaign()
    uc.freeze(gateway, c, groups())
    outputs = {g.key: output_lfn(c, c.steps[0], g) for g in groups()}
    first = {lfn for g in groups()[:3] for lfn in g.lfns}
    new, problems = uc.hand_on(gateway, c, 0, groups(), first, ())
    assert new == []
    assert "2 of 2 outputs are not in" in problems[0]
    gateway.add_replicas("PIC-DISK", [FileRecord(did_of(lfn), 1, "00000002") for lfn in outputs.values()])
    gateway.set_metadata({did_of(outputs[g.key]): {"obs_id": g.obs_id} for g in groups()})
    gateway.attach({did_of(c.output_dataset(c.steps[0])): [did_of(lfn) for lfn in outputs.values()]})
    new, problems = uc.hand_on(gateway, c, 0, groups(), first, ())
    assert problems == []
    assert new == [outputs["obs1001-chunk000"], outputs["obs1001-chunk001"]]
    assert uc.hand_on(gateway, c, 0, groups(), first, new) == ([], [])
    merges = uc.groups_of(gateway, c.steps[1], uc.list_chunks(gateway, c, c.steps[1], {}))
    assert [(g.key, g.lfns) for g in merges] == [("obs1001", tuple(sorted(new)))]


class Killed(BaseException):
    """The process is gone: no except clause of the product sees this."""


def kill_at(gateway: FakeGateway, number: int, after: bool):
    """Make the process die at its n-th write: just before the server does it, or just after."""
    seen = 0

    def wrap(method):
        def call(*args, **kwargs):
            nonlocal seen
            seen += 1
            if seen == number and not after:
                raise Killed
            result = method(*args, **kwargs)
            if seen == number and after:
                raise Killed
            return result

        return call

    for name in WRITES:
        setattr(gateway, name, wrap(getattr(gateway, name)))


def revive(gateway: FakeGateway) -> None:
    for name in WRITES:
        vars(gateway).pop(name, None)


def whole(gateway: FakeGateway, c: Campaign) -> str:
    """Submit and run two cycles; all that is in Rucio then of this campaign, without its name."""
    chunks = uc.freeze(gateway, c, groups())
    uc.recall(gateway, c, chunks, (), (), NOW)
    uc.recall(gateway, c, chunks, {"chunk00000"}, (), NOW)
    found = sorted(x.did.name for x in gateway.find_names("campaigns", c.base))
    contents = {name: sorted(x.did.name for x in gateway.list_content(did_of(name))) for name in found}
    rules = sorted(rule.did.name for rule in gateway.list_rules(name_pattern=f"{c.base}/*"))
    return str((contents, rules)).replace(c.campaign, "NAME")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_write_is_made_good_by_a_repeat(gateway, after):
    expected = whole(gateway, campaign("undisturbed"))
    for number in range(1, 200):
        c = campaign(f"crash{number}")
        for rule in list(gateway.list_rules(rse_expression="PIC-BUFFER")):
            gateway.end_rule(rule.id)
        gateway.clean()
        kill_at(gateway, number, after)
        try:
            whole(gateway, c)
            died = False
        except Killed:
            died = True
        revive(gateway)
        assert whole(gateway, c) == expected
        if not died:
            return
    pytest.fail("never ran through")
