"""Metadata queries: DIRAC's notation, what matches, and what is asked of the server."""

from __future__ import annotations

import ast
import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.domain.metadata_fields import field_types
from CTARucioDIRAC.domain.metadata_query import Condition, MetadataQuery, Operator, number, parse_query
from CTARucioDIRAC.gateway.filters import ANY_VALUE, rucio_filters


def matches(query: dict[str, Any], **metadata: Any) -> bool:
    return parse_query(query).matches(metadata)


def test_notation() -> None:
    assert parse_query({"a": 1, "b": [1, 2], "c": {">": 1, "<=": 3}, "d": {"nin": ["x"]}}).conditions == (
        Condition("a", Operator.EQ, 1),
        Condition("b", Operator.IN, (1, 2)),
        Condition("c", Operator.GT, 1),
        Condition("c", Operator.LE, 3),
        Condition("d", Operator.NOT_IN, ("x",)),
    )
    assert parse_query({"a": {"==": 1}}) == parse_query({"a": {"=": 1}}) == parse_query({"a": 1})
    assert parse_query({"a": {"!=": [1, 2]}}) == parse_query({"a": {"nin": [1, 2]}})
    assert parse_query({}).conditions == ()


@pytest.mark.parametrize(
    "query",
    [
        "a=1",
        {"a": {"~": 1}},
        {"a": {"like": "x"}},
        {"a": {"exists": True}},
        {"a": {"missing": True}},
        {"a": [1, "Missing"]},
        {"a": {"in": ["x", "any"]}},
        {"a": {}},
        {"a": []},
        {"a": None},
        {"a": {">": [1, 2]}},
        {"a": {">": True}},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": object()},
        {"a": {"=": {"b": 1}}},
        {"a.b": 1},
        {"": 1},
        {5: 1},
    ],
)
def test_what_cannot_be_asked_is_an_error(query: Any) -> None:
    with pytest.raises(InvalidInput):
        parse_query(query)


def test_the_error_names_the_key() -> None:
    with pytest.raises(InvalidInput, match="'run'.*unknown operator '~'"):
        parse_query({"run": {"~": 1}})


def test_matching() -> None:
    assert matches({"n": 3}, n=3)
    assert matches({"n": 3}, n="3")
    assert matches({"n": "3"}, n=3.0)
    assert not matches({"n": 3}, n="three")
    assert matches({"n": 1}, n=True)
    assert matches({"n": True}, n=1)
    assert matches({"n": False}, n="0")
    assert matches({"n": {"!=": True}}, n=2)
    assert not matches({"n": True}, n="true")
    assert not matches({"s": "True"}, s=True)
    assert matches({"n": {">": 9}}, n="10")
    assert matches({"n": {"!=": 3}}, n=4)
    assert not matches({"n": {"!=": 3}})
    assert not matches({"n": {"nin": [3]}})
    assert matches({"n": [1, 2]}, n=2)
    assert matches({"s": {"<": "b"}}, s="a")
    assert not matches({"s": {"<": "b"}}, s=5)
    assert not matches({"n": {"<": 5}}, n="a")
    assert not matches({"s": "a"}, s=["a"])
    assert matches({}, anything=1)


def test_times() -> None:
    time = dt.datetime(2026, 5, 1, 10)
    assert matches({"t": time}, t="2026-05-01T10:00:00")
    assert matches({"t": time}, t="2026-05-01T12:00:00+02:00")
    assert matches({"t": {">": time}}, t="2026-05-01T10:00:01")
    assert matches({"t": {"<=": time.replace(tzinfo=dt.UTC)}}, t="2026-05-01T10:00:00")
    assert not matches({"t": time}, t="yesterday")
    assert not matches({"t": time}, t=20260501)


def test_diracs_words_and_wildcards() -> None:
    assert matches({"n": "Any"}, n=0)
    assert not matches({"n": "any"})
    assert matches({"n": "Missing"})
    assert matches({"n": "missing"}, n=None)
    assert not matches({"n": "Missing"}, n=0)
    assert matches({"s": "prod*"}, s="prod6")
    assert matches({"s": "prod?"}, s="prod6")
    assert not matches({"s": "prod?"}, s="prod")
    assert not matches({"s": "prod?"}, s="Xprod6")
    assert matches({"n": "1*"}, n=15)
    assert not matches({"b": "*"}, b=True)
    assert matches({"s": "a.c*"}, s="a.cd")
    assert not matches({"s": "a.c*"}, s="abcd")
    assert matches({"s": {"=": "a*"}}, s="a*")
    assert not matches({"s": {"=": "a*"}}, s="ab")


def test_a_time_is_the_same_however_it_is_spelled() -> None:
    assert matches({"t": "2026-05-01 10:00:00"}, t="2026-05-01T10:00:00")
    assert matches({"t": {">": "2026-05-01 10:00:00"}}, t="2026-05-01T10:00:01")
    assert not matches({"t": {"<": "2026-05-01T10:00:00"}}, t="2026-05-01 23:00:00")
    assert matches({"t": {"<": "2026-05-01T10:00:00"}}, t="2026-05-01 09:00:00")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5, 5), (5.5, 5.5), ("5", 5), ("-5", -5), ("2e1", 20.0), (".5", 0.5), (True, None), ("", None), ("5a", None)]
    + [("0x10", None), ("1_000", None), ("nan", None), ("inf", None), (" 5", None), (None, None)],
)
def test_numbers(value: object, expected: float | None) -> None:
    assert number(value) == expected


def plan(query: dict[str, Any], prefix: str = "") -> tuple[list[dict[str, Any]], bool]:
    found = rucio_filters(parse_query(query), prefix)
    return [group for request in found.requests for group in request], found.exact


@pytest.mark.parametrize(
    ("query", "groups", "exact"),
    [
        ({"n": 3}, [{"n": 3}], True),
        ({"n": "3"}, [{"n": 3}], True),
        ({"n": {">": 1, "<": 5}}, [{"n.gt": 1, "n.lt": 5}], True),
        ({"n": [1, 2]}, [{"n": 1}, {"n": 2}], True),
        ({"s": "LaPalma"}, [{"s": "LaPalma"}], True),
        ({"s": {"!=": "LaPalma"}}, [{"s.ne": "LaPalma"}], True),
        ({"s": {">": "L"}}, [{"s.gt": "L"}], False),
        ({"s": "construed"}, [{"s": "constru*d"}], False),
        ({"s": "[1]"}, [{"s": "[1]*"}], False),
        ({"s": "50%"}, [{"s": "50*"}], False),
        ({"s": ""}, [{"s": "*"}], False),
        ({"b": True}, [{"b": True}], False),
        ({"n": {"nin": [1]}}, [{"n": ANY_VALUE}], False),
        ({"n": {"=": 1, "in": [1, 2]}}, [{"n": 1}], False),
        ({"t": {">": "2026-05-01T10:00:30"}}, [{"t.gte": "2026-05-01 10:00"}], False),
        ({"t": {"<": "2026-05-01 10:00:30"}}, [{"t.lte": "2026-05-01T10:01"}], False),
        ({"s": "prod6*"}, [{"s": "prod6*"}], True),
        ({"s": "prod?"}, [{"s": "prod*"}], False),
        ({"s": "*"}, [{"s": ANY_VALUE}], True),
        ({"s": "?"}, [{"s": ANY_VALUE}], False),
        ({"s": "Any"}, [{"s": ANY_VALUE}], True),
        ({"s": "Missing", "n": 1}, [{"n": 1}], False),
        ({"s": "Missing"}, [{"name": ANY_VALUE}], False),
        ({"version": "v1", "n": 1}, [{"n": 1}], False),
        ({"version": "v1"}, [{"version": "v1"}], True),
    ],
)
def test_filters(query: dict[str, Any], groups: list[dict[str, Any]], exact: bool) -> None:
    assert plan(query) == (groups, exact)


def test_too_many_alternatives_are_confirmed_instead() -> None:
    groups, exact = plan({"n": list(range(100))})
    assert groups == [{"n": ANY_VALUE}]
    assert not exact


def test_prefix_and_packing() -> None:
    prefix = "/ctao/lst/" + "x" * 200 + "/"
    found = rucio_filters(parse_query({"n": list(range(20))}), prefix)
    assert len(found.requests) > 1
    assert all(group["name"] == f"{prefix}*" for request in found.requests for group in request)
    assert sum(len(request) for request in found.requests) == 20


def test_columns_of_rucio_are_refused() -> None:
    for key in ("name", "bytes", "scope", "did_type", "expired_at", "guid"):
        with pytest.raises(InvalidInput, match=key):
            rucio_filters(parse_query({key: 1}), "")


def server_reads(value: str) -> Any:
    """What Rucio's filter engine makes of a text (its own algorithm, but for dates)."""
    value = value.replace("true", "True").replace("TRUE", "True").replace("false", "False").replace("FALSE", "False")
    if not any(operator in value for operator in "+-*/"):
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError):
            return value
    return value


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=12))
def test_texts_that_survive_are_sent_as_they_are(text: str) -> None:
    query = MetadataQuery((Condition("k", Operator.EQ, text),))
    found = rucio_filters(query, "")
    (group,) = found.requests[0]
    if found.exact and isinstance(group["k"], str):
        assert server_reads(group["k"]) == text
        assert not any(char in group["k"] for char in "*%")
    elif found.exact:
        assert number(text) == group["k"]


def test_types_in_use() -> None:
    found = field_types(
        [{"a": 1, "b": 1.5, "c": "x", "d": "2026-05-01T10:00:00", "e": 1}, {"a": 2.5, "e": "x", "f": [1]}]
    )
    assert found == {
        "a": "float",
        "b": "float",
        "c": "VARCHAR(128)",
        "d": "datetime",
        "e": "VARCHAR(128)",
        "f": "VARCHAR(128)",
    }
