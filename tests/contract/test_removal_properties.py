"""Whatever comes in whatever order: removing copies, and pins that come and go, never cost a copy that nobody removed."""

from __future__ import annotations

import contextlib
import datetime as dt

from fake_gateway import RSES, FakeGateway
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from CTARucioDIRAC.domain.errors import CtaRucioError
from CTARucioDIRAC.domain.identifiers import did_of
from CTARucioDIRAC.gateway.protocol import FileRecord
from CTARucioDIRAC.usecases import files, register, remove, rules

LFNS = ("/ctao/prop/raw/f1", "/ctao/prop/raw/f2")
LFN_STRATEGY, RSE_STRATEGY = st.sampled_from(LFNS), st.sampled_from(RSES[:3])


class Removals(RuleBasedStateMachine):
    """Two files in one directory: one as DIRAC registers it, one as BDMS does, without any rule."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = FakeGateway()
        #: Copies that must stay: all that were there for good, and that nobody removed.
        self.kept: dict[str, set[str]] = {}

    @initialize(raw=RSE_STRATEGY, own=RSE_STRATEGY)
    def arrive(self, raw: str, own: str) -> None:
        self.gateway.add_scope("prop")
        self.gateway.add_replicas(raw, [record(LFNS[0])])
        answers = register.add_files(self.gateway, [register.NewFile(LFNS[1], record(LFNS[1]), own)])
        assert not answers.failed
        self.gateway.attach({did_of("/ctao/prop/raw"): [did_of(LFNS[0])]})
        self.kept = {LFNS[0]: {raw}, LFNS[1]: {own}}

    @rule(lfn=LFN_STRATEGY, rse=RSE_STRATEGY)
    def add_copy(self, lfn: str, rse: str) -> None:
        if not register.add_copies(self.gateway, {lfn: rse}).failed:
            self.kept[lfn].add(rse)

    @rule(lfn=LFN_STRATEGY, rse=RSE_STRATEGY)
    def bring_in_without_rule(self, lfn: str, rse: str) -> None:
        if rse not in self.gateway.copies[did_of(lfn)]:
            self.gateway.add_replicas(rse, [record(lfn)])
            self.kept[lfn].add(rse)

    @rule(what=st.sampled_from((*LFNS, "/ctao/prop/raw")), rse=RSE_STRATEGY, arrives=st.booleans())
    def pin(self, what: str, rse: str, arrives: bool) -> None:
        with contextlib.suppress(CtaRucioError):
            rules.stage(self.gateway, [did_of(what)], rse, lifetime=600)
        if arrives:
            self.gateway.transfer()

    @rule(lfn=LFN_STRATEGY, rse=RSE_STRATEGY)
    def remove_copy(self, lfn: str, rse: str) -> None:
        if not remove.remove_copies(self.gateway, {lfn: rse}).failed:
            self.kept[lfn].discard(rse)

    @rule(lfn=LFN_STRATEGY)
    def remove_one_after_the_other(self, lfn: str) -> None:
        for rse in RSES:
            self.remove_copy(lfn, rse)

    @rule()
    def time_passes(self) -> None:
        self.gateway.now += dt.timedelta(hours=1)
        self.gateway.clean()

    @invariant()
    def what_nobody_removed_is_there(self) -> None:
        for lfn, places in self.kept.items():
            there = self.gateway.copies.get(did_of(lfn), {})
            assert places <= there.keys(), f"{lfn} was lost at {places - there.keys()}"
            assert not [rse for rse in places if there[rse].deletable and not there[rse].locks]

    @invariant()
    def the_last_copy_is_there(self) -> None:
        assert all(self.kept.values())
        assert set(files.replicas(self.gateway, LFNS).done) == set(LFNS)

    def teardown(self) -> None:
        """In the end, too: everything that may end has ended."""
        for _ in range(3):
            self.gateway.transfer()
            self.gateway.now += dt.timedelta(hours=1)
            self.gateway.clean()
        self.what_nobody_removed_is_there()
        self.the_last_copy_is_there()


def record(lfn: str) -> FileRecord:
    return FileRecord(did_of(lfn), 5, adler32="0000abcd")


Removals.TestCase.settings = settings(max_examples=100, stateful_step_count=15, deadline=None)
TestRemovals = Removals.TestCase
