"""What differs between two results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Say where two values differ in shape, type or value, one line each.

    Lists are compared in any order: no catalogue promises one.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            here = f"{path}/{key}"
            if key not in other:
                yield f"{here} only in the DFC: {one[key]!r}"
            elif key not in one:
                yield f"{here} only here: {other[key]!r}"
            else:
                yield from differences(one[key], other[key], here)
    elif isinstance(one, list) and isinstance(other, list):
        if sorted(map(repr, one)) != sorted(map(repr, other)):
            yield f"{path}: {one!r} in the DFC, {other!r} here"
    elif type(one) is not type(other) or one != other:
        yield f"{path}: {one!r} in the DFC, {other!r} here"


def report(answers: dict[str, dict[str, Any]], top: str) -> list[tuple[str, str]]:
    """All differences: step, and where and what; with the tests' own directory as ``TOP``."""
    lines = []
    for step, both in answers.items():
        one, other = both.values()
        for line in differences(one, other):
            lines.append((step, line.replace(top, "TOP")))
    return lines
