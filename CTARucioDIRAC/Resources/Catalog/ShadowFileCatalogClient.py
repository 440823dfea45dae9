"""A file catalogue that answers from one catalogue and compares every answer with another's.

For the time in which Rucio takes over from DIRAC's own catalogue, or before, to see whether it could. It reads only:
writing goes to the catalogues themselves, of which one is the master. See ``docs/how-to/migrate.md``.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from DIRAC import gLogger
from DIRAC.Resources.Catalog.FileCatalogFactory import FileCatalogFactory

from CTARucioDIRAC.domain.errors import InvalidSettings
from CTARucioDIRAC.domain.shadow import NOT_COMPARED, Difference, differences, shadow_settings

Result = dict[str, Any]
SECTION = "/Resources/FileCatalogs/ShadowFileCatalog"
_lock = threading.Lock()
#: How often in this process: ``compared``, ``differing`` calls, ``differences``, ``shadow failed``.
counters: Counter[str] = Counter()


class ShadowFileCatalogClient:
    """File catalogue plugin; has the reading methods of the catalogue that answers.

    Whatever happens on the shadow's side, the answer is the primary's, unchanged.

    Parameters
    ----------
    **options
        Options of the catalogue's section, as DIRAC's factory passes them; see :class:`~.ShadowSettings`.

    Raises
    ------
    InvalidSettings
        Naming what is unknown or wrong, or the catalogue that can't be made.
    """

    def __init__(self, **options: Any) -> None:
        options.pop("url", None)
        self._settings = shadow_settings(options, SECTION)
        self._primary = _catalogue(self._settings.Primary)
        self._shadow = _catalogue(self._settings.Shadow)
        reading, _, without_names = self._primary.getInterfaceMethods()
        self._methods = list(reading)
        self._without_names = [method for method in without_names if method in reading]
        self._log = gLogger.getSubLogger("Shadow")

    def getInterfaceMethods(self) -> tuple[list[str], list[str], list[str]]:
        """Names of the methods that read, none that write, and those of the first that don't take names first."""
        return self._methods, [], self._without_names

    def hasCatalogMethod(self, methodName: str) -> bool:
        """Whether the primary can be read with a method."""
        return methodName in self._methods

    def isOK(self) -> Result:
        """What the primary says."""
        return dict(self._primary.isOK())

    def __getattr__(self, name: str) -> Callable[..., Result]:
        if name.startswith("_") or name not in self._methods:
            raise AttributeError(name)
        return functools.partial(self._read, name)

    def _read(self, method: str, *arguments: Any, **options: Any) -> Result:
        result: Result = getattr(self._primary, method)(*arguments, **options)
        if self._shadow.hasCatalogMethod(method) and random.random() < self._settings.Fraction:
            try:
                self._compare(method, arguments, options, result)
            except Exception as error:
                _count(("shadow failed", 1))
                self._log.exception(f"{method} can't be compared:", repr(error))
        return result

    def _is_compared(self, method: str) -> bool:
        if method in NOT_COMPARED or not self._shadow.hasCatalogMethod(method):
            return False
        return random.random() < self._settings.Fraction

    def _compare(self, method: str, arguments: tuple[Any, ...], options: dict[str, Any], result: Result) -> None:
        other: Result = getattr(self._shadow, method)(*arguments, **options)
        if result["OK"] and other["OK"]:
            found = differences(method, result["Value"], other["Value"])
        elif result["OK"] or other["OK"]:
            texts = ["answered" if side["OK"] else str(side["Message"]) for side in (result, other)]
            found = [Difference("", "failed on one side", *texts)]
        else:
            found = []
        total = _count(("compared", 1), ("differing", bool(found)), ("differences", len(found)))
        if found:
            first = found[0]
            self._log.warn(
                f"{method}: {self._settings.Primary} and {self._settings.Shadow} differ in {len(found)} points "
                f"({total['differing']} of {total['compared']} calls so far):",
                f"{first.name} {first.what}: {first.primary} | {first.shadow}",
            )
            self._write(method, found)

    def _write(self, method: str, found: list[Difference]) -> None:
        if not self._settings.DifferencesFile:
            return
        time = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        sides = {"primary_is": self._settings.Primary, "shadow_is": self._settings.Shadow}
        lines = [json.dumps({"time": time, "method": method, **sides, **vars(one)}) + "\n" for one in found]
        # one write of whole lines: several processes may append to the same file
        descriptor = os.open(self._settings.DifferencesFile, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, "".join(lines).encode())
        finally:
            os.close(descriptor)


def _count(*what: tuple[str, int]) -> Counter[str]:
    """Add to the counters; returns them as they are then."""
    with _lock:
        for name, number in what:
            counters[name] += int(number)
        return Counter(counters)


def _catalogue(name: str) -> Any:
    result = FileCatalogFactory().createCatalog(name)
    if not result["OK"]:
        raise InvalidSettings(f"{SECTION} names {name}, which is no catalogue that works: {result['Message']}")
    return result["Value"]
