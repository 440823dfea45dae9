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
    EXISTS = "exists"  #: has any value at all; not in DIRAC's notation


_ORDER = {Operator.LT, Operator.LE, Operator.GT, Operator.GE}
_SETS = {Operator.IN, Operator.NOT_IN}
_SPELLED = {str(operator): operator for operator in Operator if operator is not Operator.EXISTS} | {"==": Operator.EQ}


@dataclass(frozen=True)
class Condition:
    """One condition; ``value`` is a tuple for ``in`` and ``nin``, a scalar otherwise."""

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

        A missing key fulfils no condition, not even ``!=``: nothing is known about it. A number and a text that
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
        operators ``= != < <= > >= in nin``. The conditions of one key must all hold.

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
            conditions.append(_condition(key, Operator.EQ, wanted))
    return MetadataQuery(tuple(conditions))


def _condition(key: str, name: object, value: Any) -> Condition:
    try:
        operator = _SPELLED[str(name)]
    except KeyError:
        known = " ".join(_SPELLED)
        raise InvalidInput(f"metadata key {key!r}: unknown operator {name!r}; known are {known}") from None
    if isinstance(value, (list, tuple, set, frozenset)):
        values = tuple(_scalar(key, item) for item in value)
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
    if isinstance(wanted, bool) or isinstance(stored, bool):
        return (stored, wanted) if isinstance(stored, bool) and isinstance(wanted, bool) else None
    if isinstance(wanted, dt.datetime):
        time = _time(stored)
        return (time, _in_utc(wanted)) if time else None
    one, other = number(stored), number(wanted)
    if other is not None:
        return (one, other) if one is not None else None
    return (stored, wanted) if isinstance(stored, str) else None


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
    if stored is None or condition.operator is Operator.EXISTS:
        return stored is not None
    operator, wanted = condition.operator, condition.value
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
