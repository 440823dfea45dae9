"""Which copies may be pinned for a while, and from where a file is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.domain.placement import reading_order, unsafe_to_pin

FILE, OTHER = Did("lst", "/ctao/lst/f"), Did("lst", "/ctao/lst/g")
PLACES = st.sets(st.sampled_from("ABCD"))


def test_a_copy_that_nothing_holds_must_not_be_pinned_for_a_while() -> None:
    assert unsafe_to_pin({FILE: {"A"}}, {}, {"A", "B"}) == [FILE]
    assert unsafe_to_pin({FILE: {"A"}}, {FILE: {"A"}}, {"A", "B"}) == []
    assert unsafe_to_pin({FILE: {"A"}}, {}, {"B"}) == []
    assert unsafe_to_pin({FILE: {"A"}, OTHER: {"A"}}, {FILE: {"A"}, OTHER: {"B"}}, {"A"}) == [OTHER]


@given(PLACES, PLACES, PLACES)
def test_pin_and_unpin_never_makes_an_old_copy_deletable(copies: set[str], held: set[str], rses: set[str]) -> None:
    held &= copies
    if not unsafe_to_pin({FILE: copies}, {FILE: held}, rses):
        # whatever copies the new rule locks, and lets go again, a rule had held before
        assert (copies & rses) <= held


def test_reading_order() -> None:
    assert reading_order(["T", "B", "A"], tapes=["T"]) == ["A", "B", "T"]
    assert reading_order(["T", "B", "A"], local=["B"], tapes=["T"]) == ["B", "A", "T"]
    assert reading_order(["T", "B", "A"], preferred=["A"], local=["B"]) == ["A", "B", "T"]
    assert reading_order(["T", "A"], preferred=["T"], tapes=["T"]) == ["A", "T"]
    assert reading_order([]) == []
