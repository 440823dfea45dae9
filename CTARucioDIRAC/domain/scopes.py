"""Which Rucio scope a path belongs to: the mapping that the configuration gives, else the algorithm of the server's policy.

An installation has one set of rules. :func:`use` puts those of its configuration into use, once, before the first name is
looked at; without it CTAO's algorithm holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from .errors import InvalidInput

#: Scope of what lies above all scopes, such as ``/ctao``, after CTAO's algorithm.
ROOT_SCOPE = "root"
#: In place of names of scopes: all of them.
EVERY = "*"


class Algorithm(StrEnum):
    """How a path gives its scope; the server's policy has algorithms of the same names."""

    CTAO_BDMS = "ctao_bdms"  #: the second component; ``user.<name>`` below ``/<vo>/user/<x>/<name>``; else ``root``
    DIRAC = "dirac"  #: the second component; the first, which is the VO, where there is no second


@dataclass(frozen=True)
class Mapped:
    """A tree of paths that is in a scope of its own.

    Attributes
    ----------
    pattern : str
        Path of its top; a component ``*`` stands for any one component.
    scope : str
        Scope; ``{1}`` stands for what the first ``*`` stands for, ``{2}`` for the second …
    """

    pattern: str
    scope: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(/([A-Za-z0-9.\-_]+|\*))+", self.pattern):
            raise InvalidInput(f"{self.pattern!r} is no pattern of paths, such as /ctao/dark or /ctao/site/*")
        stars = self.pattern.split("/").count("*")
        numbers = [int(number) for number in re.findall(r"\{(\d+)\}", self.scope)]
        if not re.fullmatch(r"([A-Za-z0-9.\-_]|\{\d+\})+", self.scope) or any(not 1 <= n <= stars for n in numbers):
            raise InvalidInput(f"{self.scope!r} is no scope, or has a number that {self.pattern} gives nothing for")

    @property
    def static(self) -> str:
        """What all its paths begin with."""
        return self.pattern.split("/*")[0]

    def is_below(self, path: str) -> bool:
        """Whether such a tree may begin below a path, or at it."""
        ours, theirs = self.pattern.split("/"), path.rstrip("/").split("/")
        return len(ours) >= len(theirs) and all(a in ("*", b) for a, b in zip(ours, theirs, strict=False))

    def scope_of(self, path: str) -> str | None:
        """Scope of a path; None for a path outside the tree."""
        expression = re.escape(self.pattern).replace(re.escape("*"), "([^/]+)")
        match = re.match(rf"{expression}(?:/|$)", path)
        if match is None:
            return None
        return re.sub(r"\{(\d+)\}", lambda number: str(match.group(int(number.group(1)))), self.scope)


@dataclass(frozen=True)
class ScopeRules:
    """How paths and scopes belong together.

    Attributes
    ----------
    algorithm : Algorithm
        For all paths that no mapping has.
    mapping : tuple of Mapped
        Of several that fit, the one with most components decides, and fewest ``*``.
    foreign : tuple of str
        Scopes that hold paths of others' trees: directories are listed with what these have; ``("*",)`` for any scope.
    """

    algorithm: Algorithm = Algorithm.CTAO_BDMS
    mapping: tuple[Mapped, ...] = ()
    foreign: tuple[str, ...] = ()

    def scope_of(self, path: str) -> str:
        """Scope of a valid path."""
        for mapped in sorted(self.mapping, key=lambda item: (-item.pattern.count("/"), item.pattern.count("*"))):
            scope = mapped.scope_of(path)
            if scope is not None:
                return scope
        parts = [part for part in path.split("/") if part]
        if self.algorithm is Algorithm.DIRAC:
            return parts[1] if len(parts) > 1 else parts[0] if parts else ROOT_SCOPE
        if len(parts) < 2:
            return ROOT_SCOPE
        if parts[1] == "user":
            return f"user.{parts[3]}" if len(parts) >= 4 else ROOT_SCOPE
        return parts[1]

    def is_above(self, path: str) -> bool:
        """Whether what is in a directory follows from which scopes there are, such as in ``/ctao``."""
        parts = [part for part in path.split("/") if part]
        return len(parts) < 2 or (self.algorithm is Algorithm.CTAO_BDMS and self.scope_of(path) == ROOT_SCOPE)

    def top_of(self, scope: str, vo: str) -> str | None:
        """Path above everything that the algorithm puts into a scope; None for the scope of what lies above."""
        if scope == self.scope_of(f"/{vo}"):
            return None
        if self.algorithm is Algorithm.CTAO_BDMS and scope.startswith("user."):
            user = scope.removeprefix("user.")
            return f"/{vo}/user/{user[0]}/{user}" if user else None
        return f"/{vo}/{scope}"

    def mapped_near(self, path: str, scopes: Iterable[str]) -> dict[str, str]:
        """Which of some scopes mappings put at or below a path, and the path that their names begin with at least."""
        found: dict[str, str] = {}
        for mapped in self.mapping:
            if mapped.is_below(path):
                expression = re.sub(r"\\\{\d+\\\}", "[^/]+", re.escape(mapped.scope))
                found |= {s: mapped.static for s in scopes if re.fullmatch(expression, s)}
        return found


class _InUse:
    rules = ScopeRules()


def use(rules: ScopeRules) -> None:
    """Put rules into use."""
    _InUse.rules = rules


def rules() -> ScopeRules:
    """The rules in use."""
    return _InUse.rules


def parse_mapping(text: str) -> tuple[Mapped, ...]:
    """Read a mapping written as ``/ctao/dark=dark-data, /ctao/site/*=site-{1}``.

    Raises
    ------
    InvalidInput
        Naming the entry that is no mapping.
    """
    found = []
    for entry in (part.strip() for part in text.split(",")):
        if entry:
            pattern, equals, scope = (part.strip() for part in entry.partition("="))
            if not equals:
                raise InvalidInput(f"{entry!r} maps nothing: <path>=<scope> expected, such as /ctao/dark=dark-data")
            found.append(Mapped(pattern.rstrip("/"), scope))
    return tuple(found)
