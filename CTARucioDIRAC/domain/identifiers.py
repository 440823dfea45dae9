"""Logical file names and Rucio's data identifiers, and the way from one to the other and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from . import scopes
from .errors import InvalidInput

T = TypeVar("T")

#: What CTAO's policy package lets through, in the server's schema too.
_NAME = re.compile(r"/[A-Za-z0-9][/A-Za-z0-9.\-_]*")
_SCOPE = re.compile(r"[a-zA-Z_\-.0-9]+")
MAX_NAME_LENGTH = 250
MAX_SCOPE_LENGTH = 25
#: Scope of what lies above all scopes, such as ``/ctao``, after CTAO's algorithm.
ROOT_SCOPE = scopes.ROOT_SCOPE


@dataclass(frozen=True, slots=True, order=True)
class Did:
    """Rucio's data identifier: a name that is unique in its scope."""

    scope: str
    name: str

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"


def validate_lfn(lfn: object) -> str:
    """Check that a path can be the name of a DID, before anything is sent.

    Parameters
    ----------
    lfn : object
        Path such as ``/ctao/lst/run1.h5``, optionally with the prefix ``lfn:``.

    Returns
    -------
    str
        The path without prefix, repeated slashes and trailing slash (``/`` stays ``/``).

    Raises
    ------
    InvalidInput
        If it isn't text, doesn't begin with a slash, has a character the policy refuses, a ``.`` or ``..`` as a
        component, or more than 250 characters.
    """
    if not isinstance(lfn, str):
        raise InvalidInput(f"{lfn!r} is no logical file name: text expected, not {type(lfn).__name__}")
    path = lfn[4:] if lfn[:4].lower() == "lfn:" else lfn
    if not path.startswith("/"):
        raise InvalidInput(f"{lfn!r} is no logical file name: it must begin with a slash, such as /ctao/lst/file")
    parts = [part for part in path.split("/") if part]
    path = "/" + "/".join(parts)
    if path == "/":
        return path
    if len(path) > MAX_NAME_LENGTH:
        raise InvalidInput(f"{path!r} has {len(path)} characters; Rucio takes at most {MAX_NAME_LENGTH}")
    if not _NAME.fullmatch(path):
        bad = sorted(set(re.sub(r"[/A-Za-z0-9.\-_]", "", path)))
        what = f"the characters {''.join(bad)!r}" if bad else "a first component that begins with '.', '-' or '_'"
        raise InvalidInput(f"{path!r} has {what}; allowed are letters, digits and '/._-'")
    if "." in parts or ".." in parts:
        raise InvalidInput(f"{path!r} has '.' or '..' as a component: give the path itself")
    return path


def is_path(name: str) -> bool:
    """Whether CTAO's schema takes a name."""
    return len(name) <= MAX_NAME_LENGTH and _NAME.fullmatch(name) is not None


def scope_of(lfn: str) -> str:
    """Scope of a valid path, after the rules in use (see :mod:`.scopes`)."""
    return scopes.rules().scope_of(lfn)


def explicit_did(lfn: object) -> Did | None:
    """Data identifier of a name written as ``scope:name``; None if it is written as a path.

    DIRAC's commands only take what begins with a slash: ``/scope:name``, which can't be a path, is the same.

    Raises
    ------
    InvalidInput
        There is a colon, but what is before or after it can't be a scope or a name.
    """
    if not isinstance(lfn, str) or lfn[:4].lower() == "lfn:":
        return explicit_did(lfn[4:]) if isinstance(lfn, str) and ":" in lfn[4:] else None
    scope, colon, name = lfn.removeprefix("/").partition(":")
    if not colon or "/" in scope:
        return None
    if name.startswith("/"):
        name = validate_lfn(name)
    return Did(validate_scope(scope), validate_name(name))


def did_of(lfn: object) -> Did:
    """Data identifier of a logical file name.

    Parameters
    ----------
    lfn : object
        Path, or ``scope:name`` for a name that isn't where the algorithm would look for it, or isn't a path.

    Raises
    ------
    InvalidInput
        If it is neither.
    """
    explicit = explicit_did(lfn)
    if explicit is not None:
        return explicit
    path = validate_lfn(lfn)
    return Did(validate_scope(scope_of(path)), path)


def is_foreign(did: Did) -> bool:
    """Whether a name is a path that the rules would look for in another scope."""
    return did.name.startswith("/") and scope_of(did.name) != did.scope


def lfn_of(did: Did) -> str:
    """Logical file name of a data identifier: the inverse of :func:`did_of`.

    Returns
    -------
    str
        The name where the rules find its scope from it, else ``scope:name``.
    """
    if did.name.startswith("/") and scope_of(did.name) == did.scope:
        return did.name
    return str(did)


def validate_scope(scope: str) -> str:
    """Return the scope if Rucio accepts it; raises :class:`InvalidInput` otherwise."""
    if len(scope) > MAX_SCOPE_LENGTH or not _SCOPE.fullmatch(scope):
        raise InvalidInput(
            f"{scope!r} is no Rucio scope: at most {MAX_SCOPE_LENGTH} characters out of letters, digits and '_-.'"
        )
    return scope


def validate_name(name: str) -> str:
    """Return the name of a DID that needn't be a path; raises :class:`InvalidInput` if Rucio can't hold it."""
    if not name or len(name) > MAX_NAME_LENGTH or any(ord(c) < 33 or ord(c) > 126 for c in name):
        raise InvalidInput(f"{name!r} is no name of a DID: 1 to {MAX_NAME_LENGTH} printable characters without spaces")
    return name


def validate_did(did: Did) -> Did:
    """Return the DID if Rucio and CTAO's policy accept it as it is; raises :class:`InvalidInput` otherwise."""
    validate_scope(did.scope)
    if did.name.startswith("/"):
        path = validate_lfn(did.name)
        if path != did.name:
            raise InvalidInput(f"{str(did)!r} isn't written as Rucio keeps it: {path}")
    else:
        validate_name(did.name)
    return did


def parent_of(lfn: str) -> str:
    """Directory of a valid path; the parent of ``/ctao`` is ``/``, and that of ``/`` is ``/``."""
    return lfn.rpartition("/")[0] or "/"


def ancestors_of(lfn: str) -> list[str]:
    """Directories above a valid path, from the top (``/ctao``) down to its parent; ``/`` isn't among them."""
    parts = [part for part in lfn.split("/") if part][:-1]
    return ["/" + "/".join(parts[: i + 1]) for i in range(len(parts))]


def same_address(ours: str, theirs: str) -> bool:
    """Whether two addresses are of the same file: repeated slashes, and a user's name before the host, don't matter."""
    parts = [urlsplit(address) for address in (ours, theirs)]
    keys = [(part.scheme, part.hostname, part.port, re.sub(r"/+", "/", part.path)) for part in parts]
    return keys[0] == keys[1]


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Split into lists of at most ``size``."""
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
