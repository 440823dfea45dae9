"""Scopes that only some DIRAC groups may read."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from .errors import InvalidInput

#: DIRAC's servers and agents work for all groups.
EVERYBODY = frozenset({"hosts"})


@functools.lru_cache(maxsize=64)
def parse_embargo(text: str) -> Mapping[str, frozenset[str]]:
    """Read ``<scope>=<group>|<group>, <scope>=<group>``: the groups that may read each scope.

    Raises
    ------
    InvalidInput
        Naming the part that is none of that form, or a scope that is there twice.
    """
    groups: dict[str, frozenset[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([A-Za-z0-9._-]{1,25})\s*=\s*([\w.-]+(?:\s*\|\s*[\w.-]+)*)", part)
        if match is None:
            raise InvalidInput(f"{part!r}: <scope>=<DIRAC group>|<DIRAC group> expected, with commas between scopes")
        if match[1] in groups:
            raise InvalidInput(f"scope {match[1]} is there twice: name all of its groups at one place")
        groups[match[1]] = frozenset(group.strip() for group in match[2].split("|"))
    return groups


def hidden_scopes(embargo: Mapping[str, frozenset[str]], group: str) -> frozenset[str]:
    """Scopes that a DIRAC group may not read."""
    if group in EVERYBODY:
        return frozenset()
    return frozenset(scope for scope, groups in embargo.items() if group not in groups)
