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
from urllib.parse import quote

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.metadata_query import Condition, MetadataQuery, Operator, Scalar, as_time, number

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
#: Pattern that every value fulfils; a single star would ask for nothing at all.
ANY_VALUE = "**"
_MAX_GROUPS = 20
#: Servers refuse longer addresses (gunicorn at 4094 characters).
_MAX_ADDRESS = 3000
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
    exact = len(asked) == len(query.conditions) and not any(c.operator is Operator.MISSING for c in asked)
    asked = [c for c in asked if c.operator is not Operator.MISSING]  # the server can't look for it
    for condition in asked:
        alternatives = [_one(condition, value) for value in _values(condition)]
        taken = {key for group in groups for key in group}
        if len(groups) * len(alternatives) > _MAX_GROUPS or any(key in taken for alt, _ in alternatives for key in alt):
            exact = False  # the caller confirms it
            if not any(key.partition(".")[0] == condition.key for key in taken):
                groups = [group | {condition.key: ANY_VALUE} for group in groups]
            continue
        exact = exact and all(sure for _, sure in alternatives)
        groups = [group | alt for group, (alt, _) in itertools.product(groups, alternatives)]
    loose = base | {c.key: ANY_VALUE for c in asked}
    if loose == {}:
        groups, loose = [{"name": ANY_VALUE}], {"name": ANY_VALUE}
    return SearchPlan(requests=_packed(groups), loose=[loose], exact=exact)


def _packed(groups: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Alternatives in as few requests as their length allows: they travel in the address."""
    requests: list[list[dict[str, Any]]] = [[]]
    length = 0
    for group in groups:
        length += len(quote(repr(group)))
        if requests[-1] and length > _MAX_ADDRESS:
            requests.append([])
            length = len(quote(repr(group)))
        requests[-1].append(group)
    return requests


def _values(condition: Condition) -> tuple[Scalar, ...]:
    if isinstance(condition.value, tuple):
        return condition.value if condition.operator in (Operator.IN, Operator.LIKE) else (condition.value[0],)
    return (condition.value,)


def _one(condition: Condition, value: Scalar) -> tuple[dict[str, Any], bool]:
    """Filter for one value, and whether it finds exactly what is wanted."""
    key, operator = condition.key, condition.operator
    if operator is Operator.IN:
        operator = Operator.EQ
    elif operator is Operator.LIKE:
        return _alike(key, str(value))
    elif operator in (Operator.NOT_IN, Operator.EXISTS):
        return {key: ANY_VALUE}, operator is Operator.EXISTS
    if isinstance(value, bool):  # the server's cast takes 1 for true
        return {key + _SUFFIX[operator]: value}, False
    spelled = number(value)
    if spelled is not None:
        return {key + _SUFFIX[operator]: spelled}, True
    time = as_time(value)
    if time is not None:
        return _around(key, operator, time), False
    text = str(value)
    survives = _survives(text)
    if operator is Operator.EQ:
        return {key: text if survives else _pattern(text)}, survives
    if not survives:
        return {key: ANY_VALUE}, False
    return {key + _SUFFIX[operator]: text}, operator is Operator.NE


def _alike(key: str, pattern: str) -> tuple[dict[str, Any], bool]:
    """Filter for a pattern; one with more than stars finds too much."""
    sent = _pattern(pattern.replace("?", "*"))
    if not sent.strip("*"):
        return {key: ANY_VALUE}, not pattern.strip("*")
    return {key: sent}, sent == pattern


def _around(key: str, operator: Operator, time: dt.datetime) -> dict[str, Any]:
    """Filter for ISO texts near a time, with ``T`` or a space in them: not to the second, which the server would take
    for a time."""
    before = time.strftime("%Y-%m-%d %H:%M")
    after = (time + dt.timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M")
    if operator in (Operator.GT, Operator.GE):
        return {f"{key}.gte": before}
    if operator in (Operator.LT, Operator.LE):
        return {f"{key}.lte": after}
    if operator is Operator.EQ:
        return {f"{key}.gte": before, f"{key}.lte": after}
    return {key: ANY_VALUE}


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
