"""Metadata queries → the filters of Rucio's ``list_dids``, with what its server does to them in mind. Pure.

The server reads every text value again: ``"20"`` becomes a number, ``"construed"`` loses its ``true``, a date becomes a
time; it compares by the kind of the wanted value, and one stored value of another kind makes the whole search fail. So a
value that wouldn't survive is replaced by a pattern that finds at least what is wanted, and the caller confirms each hit.
"""

from __future__ import annotations

import ast
import datetime as dt
import itertools
import re
from dataclasses import dataclass
from typing import Any

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.metadata_query import Condition, MetadataQuery, Operator, Scalar

#: Columns of Rucio's own table of DIDs that hold what users set; they can't be mixed with other keys in a search.
USER_COLUMNS = (
    "events",
    "datatype",
    "run_number",
    "stream_name",
    "project",
    "prod_step",
    "version",
    "campaign",
    "task_id",
    "panda_id",
    "phys_group",
    "provenance",
    "lumiblocknr",
)
#: Columns that the server or this package keeps; no search by metadata may ask for them.
RESERVED = frozenset(
    {
        "account", "accessed_at", "access_cnt", "adler32", "availability", "bytes", "closed_at", "complete",
        "constituent", "created_at", "created_before", "created_after", "deleted_at", "did_type", "eol_at",
        "expired_at", "guid", "hidden", "is_archive", "is_new", "is_open", "length", "lifetime", "md5", "monotonic",
        "name", "obsolete", "purge_replicas", "scope", "suppressed", "transient", "type", "updated_at",
    }
)  # fmt: skip
_SUFFIX = {
    Operator.EQ: "",
    Operator.NE: ".ne",
    Operator.LT: ".lt",
    Operator.LE: ".lte",
    Operator.GT: ".gt",
    Operator.GE: ".gte",
}
_ANY_VALUE = "**"
_MAX_GROUPS = 20
_DATES = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%fZ",
    "%Y-%m-%dT%H:%M:%S.%fZ",
    "%a, %d %b %Y %H:%M:%S UTC",
)


@dataclass(frozen=True)
class SearchPlan:
    """What to ask the server.

    Attributes
    ----------
    requests : list of list of dict
        One request each; within it, the groups are alternatives.
    loose : list of dict
        Asked instead where a request fails because of values of another kind: all that has the keys at all.
    exact : bool
        True if what is found needs no confirmation.
    """

    requests: list[list[dict[str, Any]]]
    loose: list[dict[str, Any]]
    exact: bool


def rucio_filters(query: MetadataQuery, prefix: str) -> SearchPlan:
    """Plan a search.

    Parameters
    ----------
    prefix : str
        What the names must begin with.

    Raises
    ------
    InvalidInput
        A key is one of Rucio's own columns.
    """
    for key in query.keys:
        if key in RESERVED:
            raise errors.InvalidInput(f"{key!r} is kept by Rucio itself and can't be searched for as metadata")
    columns = query.keys & frozenset(USER_COLUMNS)
    asked = [c for c in query.conditions if c.key not in columns] or list(query.conditions)
    base = {"name": f"{prefix}*"} if prefix else {}
    groups = [base]
    exact = len(asked) == len(query.conditions)
    for condition in asked:
        alternatives = [_one(condition, value) for value in _values(condition)]
        taken = {key for group in groups for key in group}
        if len(groups) * len(alternatives) > _MAX_GROUPS or any(key in taken for alt, _ in alternatives for key in alt):
            exact = False  # the caller confirms it
            if not any(key.partition(".")[0] == condition.key for key in taken):
                groups = [group | {condition.key: _ANY_VALUE} for group in groups]
            continue
        exact = exact and all(sure for _, sure in alternatives)
        groups = [group | alt for group, (alt, _) in itertools.product(groups, alternatives)]
    loose = base | {c.key: _ANY_VALUE for c in asked}
    return SearchPlan(requests=[[group] for group in groups], loose=[loose], exact=exact)


def _values(condition: Condition) -> tuple[Scalar, ...]:
    if isinstance(condition.value, tuple):
        return condition.value if condition.operator is Operator.IN else (condition.value[0],)
    return (condition.value,)


def _one(condition: Condition, value: Scalar) -> tuple[dict[str, Any], bool]:
    """Filter for one value, and whether it finds exactly what is wanted."""
    key, operator = condition.key, condition.operator
    if operator is Operator.IN:
        operator = Operator.EQ
    elif operator is Operator.NOT_IN:
        return {key: _ANY_VALUE}, False
    if isinstance(value, dt.datetime):
        return {key: _ANY_VALUE}, False
    if isinstance(value, str):
        survives = _survives(value)
        if operator is Operator.EQ:
            return {key: value if survives else _pattern(value)}, survives
        return ({key + _SUFFIX[operator]: value} if survives else {key: _ANY_VALUE}), False
    # "true" is a number to nobody but Python; the server would compare 1 and true alike in its cast
    return {key + _SUFFIX[operator]: value}, False


def _survives(value: str) -> bool:
    """Say whether the server leaves a text as it is."""
    if not value or any(char in value for char in "*%\\") or re.search("true|false", value, re.IGNORECASE):
        return False
    for pattern in _DATES:
        try:
            dt.datetime.strptime(value, pattern)
            return False
        except ValueError:
            continue
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return True
    return False


def _pattern(value: str) -> str:
    """Pattern that finds a text which wouldn't survive, and possibly others."""
    safe = re.sub("(?i)(tru|fals)e", r"\1*", value)
    safe = re.sub(r"[%\\]", "*", safe)
    return safe if "*" in safe else f"{safe}*"
