"""Between this package, which returns values and raises errors, and DIRAC, which returns S_OK and S_ERROR."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from DIRAC import S_ERROR, S_OK, gLogger
from DIRAC.Resources.Catalog.Utilities import checkCatalogArguments

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.usecases.bulk import Bulk

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])

#: So many files that fail in one call are in the log.
_LOGGED = 10
#: DIRAC's requests keep 255 characters of the reason why a file failed, with the catalogue's name around it, and hang on
#: longer ones: MySQL refuses them.
_LONGEST = 220
_NUMBERS: tuple[tuple[type[errors.CtaRucioError], int], ...] = (
    (errors.NotFound, errno.ENOENT),
    (errors.NotAllowed, errno.EACCES),
    (errors.AlreadyExists, errno.EEXIST),
    (errors.DifferentContent, errno.EEXIST),
    (errors.Conflict, errno.EBUSY),
    (errors.InvalidInput, errno.EINVAL),
    (errors.Unavailable, errno.EAGAIN),
)


def ok_result(value: Any = None) -> dict[str, Any]:
    """S_OK of a value."""
    return dict(S_OK(value))


def error_result(error: errors.CtaRucioError) -> dict[str, Any]:
    """S_ERROR of an error, with a number that DIRAC's ``cmpError`` can compare."""
    number = next((number for kind, number in _NUMBERS if isinstance(error, kind)), errno.EIO)
    return dict(S_ERROR(number, str(error)))


def bulk_result(answers: Bulk[T], convert: Callable[[T], Any] = lambda value: value) -> dict[str, Any]:
    """S_OK with Successful and Failed; every name is in one of them."""
    return ok_result(
        {
            "Successful": {lfn: convert(value) for lfn, value in answers.done.items()},
            "Failed": {lfn: _reason(lfn, error) for lfn, error in answers.failed.items()},
        }
    )


def _reason(lfn: str, error: errors.CtaRucioError) -> str:
    """Why a file failed, as long as DIRAC can keep it; the whole text is in the log then."""
    text = str(error)
    if len(text) <= _LONGEST:
        return text
    gLogger.getSubLogger("Rucio").warn(f"{lfn}:", text)
    return f"{text[: _LONGEST - 3]}..."


def registration_result(answers: Bulk[bool]) -> dict[str, Any]:
    """As :func:`bulk_result`; says in the log what isn't registered, as DIRAC's DataManager tells nobody the cause."""
    log = gLogger.getSubLogger("Rucio")
    for lfn, error in list(answers.failed.items())[:_LOGGED]:
        log.error("Not registered:", f"{lfn}: {error}. If its bytes were written, write it again: that replaces them")
    if len(answers.failed) > _LOGGED:
        log.error("Not registered:", f"{len(answers.failed) - _LOGGED} more files")
    return bulk_result(answers)


def returns(method: Method) -> Method:
    """Turn the errors that a method raises into S_ERROR; DIRAC's ``timeout`` is taken and not needed."""

    @functools.wraps(method)
    def wrapped(*args: Any, timeout: float | None = None, **kwargs: Any) -> Any:  # noqa: ARG001
        try:
            return method(*args, **kwargs)
        except errors.CtaRucioError as error:
            # DIRAC's FileCatalog drops the cause of what a reading method returns
            gLogger.getSubLogger("Rucio").warn(f"{method.__name__} failed:", str(error))
            return error_result(error)

    return wrapped  # type: ignore[return-value]


def takes_lfns(method: Method) -> Method:
    """As :func:`returns`, for a method whose first argument is a name, a list of names, or a dictionary by name."""
    checked = checkCatalogArguments(returns(method))

    @functools.wraps(method)
    def wrapped(self: Any, lfns: Any, *args: Any, **kwargs: Any) -> Any:
        try:  # DIRAC's own check takes for granted that names are texts
            if not isinstance(lfns, str):
                as_names(lfns)
        except errors.InvalidInput as error:
            return error_result(error)
        return checked(self, lfns, *args, **kwargs)

    return wrapped  # type: ignore[return-value]


def as_name(value: object) -> str:
    """One name; raises InvalidInput for anything but text."""
    if not isinstance(value, str):
        raise errors.InvalidInput(f"{value!r} is no name: text expected, not {type(value).__name__}")
    return value


def as_names(value: object) -> list[str]:
    """One name, several, or the keys of a dictionary; raises InvalidInput for anything else."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, (list, tuple, set, frozenset, Mapping)):
        raise errors.InvalidInput(f"a name, a list of names, or a dictionary by name expected, not {value!r}")
    return [as_name(item) for item in value]


def as_mapping(value: object, what: str) -> Mapping[str, Any]:
    """Check that a value is a dictionary; raises InvalidInput naming what it is for."""
    if not isinstance(value, Mapping):
        raise errors.InvalidInput(f"{what}: dictionary expected, not {type(value).__name__}")
    return value
