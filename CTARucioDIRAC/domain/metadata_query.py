"""Metadata queries: DIRAC's notation → a typed query → values that match or don't.

DIRAC writes a query as ``{"data_level": 0, "run": {">=": 10, "<": 20}, "site": {"in": ["LaPalma", "Paranal"]}}``; all
conditions must hold. What can't be expressed is an error, never dropped: a dropped condition widens the answer.
"""

from __future__ import annotations

import datetime as dt
import operator as op
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from .errors import InvalidInput

Scalar: TypeAlias = str | int | float | bool | dt.datetime


class Operator(StrEnum):
    """Comparison of a stored value with the wanted one."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    IN = "in"
    NOT_IN = "nin"
    EXISTS = "exists"  #: has any value at all; DIRAC writes ``"Any"``
    MISSING = "missing"  #: has no value; DIRAC writes ``"Missing"``
    LIKE = "like"  #: text with ``*`` for any characters and ``?`` for one


_ORDER = {Operator.LT, Operator.LE, Operator.GT, Operator.GE}
_SETS = {Operator.IN, Operator.NOT_IN}
#: What DIRAC writes as a value of its own instead.
_UNSPELLED = {Operator.EXISTS, Operator.MISSING, Operator.LIKE}
_SPELLED = {str(operator): operator for operator in Operator if operator not in _UNSPELLED} | {"==": Operator.EQ}
_WORDS = {"any": Operator.EXISTS, "missing": Operator.MISSING}


@dataclass(frozen=True)
class Condition:
    """One condition; ``value`` is a tuple for ``in`` and ``nin``, and may be one of patterns; otherwise a scalar."""

    key: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True)
class MetadataQuery:
    """Conditions that must all hold; none at all means everything."""

    conditions: tuple[Condition, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """Keys that the query asks for."""
        return frozenset(condition.key for condition in self.conditions)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether metadata fulfil the query.

        Booleans are 0 and 1. A missing key fulfils no condition but ``"Missing"``, not even ``!=``: nothing is known about it. A number and a text that
        spells it out are the same, as catalogues with typed keys and commands that pass text have it; a time is
        compared with ISO texts; otherwise values of different kinds are unequal and have no order.
        """
        return all(_holds(condition, metadata.get(condition.key)) for condition in self.conditions)


def parse_query(query: Mapping[str, Any]) -> MetadataQuery:
    """Read DIRAC's notation.

    Parameters
    ----------
    query : mapping
        ``{key: value}`` for equality, ``{key: [values]}`` for one of several, ``{key: {operator: value}}`` with the
        operators ``= != < <= > >= in nin``. The conditions of one key must all hold. Without an operator, ``"Any"`` means
        any value, ``"Missing"`` none, and ``*`` and ``?`` in a text stand for any characters and for one.

    Raises
    ------
    InvalidInput
        Naming the key: unknown operator, empty list, a value that isn't text, number, boolean or date.
    """
    if not isinstance(query, Mapping):
        raise InvalidInput(f"a metadata query is a dictionary, not {type(query).__name__}")
    conditions: list[Condition] = []
    for key, wanted in query.items():
        if not isinstance(key, str) or not key or "." in key:
            raise InvalidInput(f"{key!r} can't be a metadata key: text without dots expected")
        if isinstance(wanted, Mapping):
            if not wanted:
                raise InvalidInput(f"metadata key {key!r}: no operator given")
            conditions += [_condition(key, operator, value) for operator, value in wanted.items()]
        elif isinstance(wanted, (list, tuple, set, frozenset)):
            conditions.append(_condition(key, Operator.IN, wanted))
        else:
            conditions.append(_plain(key, wanted))
    return MetadataQuery(tuple(conditions))


def _plain(key: str, wanted: Any) -> Condition:
    """Condition of a value without operator."""
    if isinstance(wanted, str):
        if wanted.lower() in _WORDS:
            return Condition(key, _WORDS[wanted.lower()], True)
        if "*" in wanted or "?" in wanted:
            return Condition(key, Operator.LIKE, wanted)
    return _condition(key, Operator.EQ, wanted)


def _condition(key: str, name: object, value: Any) -> Condition:
    try:
        operator = _SPELLED[str(name)]
    except KeyError:
        known = " ".join(_SPELLED)
        raise InvalidInput(f"metadata key {key!r}: unknown operator {name!r}; known are {known}") from None
    if isinstance(value, (list, tuple, set, frozenset)):
        values = tuple(_scalar(key, item) for item in value)
        if any(isinstance(item, str) and item.lower() in _WORDS for item in values):
            raise InvalidInput(f"metadata key {key!r}: Any and Missing can't be among other values: ask for them alone")
        if not values:
            raise InvalidInput(f"metadata key {key!r}: {operator} of an empty list")
        if operator in (Operator.EQ, Operator.IN):
            return Condition(key, Operator.IN, values)
        if operator in (Operator.NE, Operator.NOT_IN):
            return Condition(key, Operator.NOT_IN, values)
        raise InvalidInput(f"metadata key {key!r}: {operator} takes one value, not a list")
    scalar = _scalar(key, value)
    if operator in _SETS:
        return Condition(key, operator, (scalar,))
    if operator in _ORDER and isinstance(scalar, bool):
        raise InvalidInput(f"metadata key {key!r}: booleans have no order")
    return Condition(key, operator, scalar)


def _scalar(key: str, value: Any) -> Scalar:
    if isinstance(value, (str, bool, int, dt.datetime)):
        return value
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    raise InvalidInput(f"metadata key {key!r}: {value!r} is no text, number, boolean or date")


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def number(value: Any) -> float | int | None:
    """Number that a value is or spells out, else None: ``20``, ``"20"`` and ``"2e1"`` are one number, ``True`` is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        try:
            return int(value)
        except ValueError:
            return float(value)
    return None


def _comparable(stored: Any, wanted: Scalar) -> tuple[Any, Any] | None:
    """Both values on one scale, or None if they have none."""
    if isinstance(wanted, bool) or isinstance(stored, bool):  # DIRAC's catalogues keep booleans as 0 and 1
        one, other = _bit_or_number(stored), _bit_or_number(wanted)
        return (one, other) if one is not None and other is not None else None
    if isinstance(wanted, dt.datetime):
        time = _time(stored)
        return (time, _in_utc(wanted)) if time else None
    one, other = number(stored), number(wanted)
    if other is not None:
        return (one, other) if one is not None else None
    if not isinstance(stored, str):
        return None
    time = as_time(wanted)
    if time is not None and as_time(stored) is not None:  # "2026-05-01 10:00:00" and "2026-05-01T10:00:00" are one time
        return as_time(stored), time
    return stored, wanted


def _bit_or_number(value: Any) -> float | int | None:
    return int(value) if isinstance(value, bool) else number(value)


def like(stored: Any, pattern: str) -> bool:
    """Whether a text, or a number as it is written, is like a pattern with ``*`` and ``?``."""
    if isinstance(stored, bool) or not isinstance(stored, (str, int, float)):
        return False
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(expression, str(stored), re.DOTALL) is not None


_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d.*)?")


def as_time(value: Any) -> dt.datetime | None:
    """Time that a text with date and time of day means, or a time itself, in UTC; None for anything else."""
    if isinstance(value, str) and not _TIME.fullmatch(value):
        return None
    return _time(value)


def _time(value: Any) -> dt.datetime | None:
    if isinstance(value, dt.datetime):
        return _in_utc(value)
    if isinstance(value, str):
        try:
            return _in_utc(dt.datetime.fromisoformat(value))
        except ValueError:
            return None
    return None


def _in_utc(time: dt.datetime) -> dt.datetime:
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)


def _equal(stored: Any, wanted: Scalar) -> bool:
    pair = _comparable(stored, wanted)
    return pair is not None and bool(pair[0] == pair[1])


def _holds(condition: Condition, stored: Any) -> bool:
    operator, wanted = condition.operator, condition.value
    if operator is Operator.MISSING:
        return stored is None
    if stored is None or operator is Operator.EXISTS:
        return stored is not None
    if operator is Operator.LIKE:
        return any(like(stored, str(item)) for item in (wanted if isinstance(wanted, tuple) else (wanted,)))
    if isinstance(wanted, tuple):
        found = any(_equal(stored, item) for item in wanted)
        return found if operator is Operator.IN else not found
    if operator in (Operator.EQ, Operator.NE):
        return _equal(stored, wanted) is (operator is Operator.EQ)
    pair = _comparable(stored, wanted)
    return pair is not None and bool(_COMPARE[operator](*pair))


_COMPARE: dict[Operator, Callable[[Any, Any], Any]] = {
    Operator.LT: op.lt,
    Operator.LE: op.le,
    Operator.GT: op.gt,
    Operator.GE: op.ge,
}
