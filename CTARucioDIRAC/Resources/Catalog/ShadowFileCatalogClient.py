"""A file catalogue that answers from one catalogue and compares every answer with another's.

For the time in which Rucio takes over from DIRAC's own catalogue, or before, to see whether it could. It reads only:
writing goes to the catalogues themselves, of which one is the master. See ``docs/how-to/migrate.md``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from DIRAC.Resources.Catalog.FileCatalogFactory import FileCatalogFactory

from CTARucioDIRAC.Core.Utilities.CatalogueComparison import Comparison, counters
from CTARucioDIRAC.domain.errors import InvalidSettings
from CTARucioDIRAC.domain.shadow import shadow_settings

__all__ = ["ShadowFileCatalogClient", "counters"]

Result = dict[str, Any]
SECTION = "/Resources/FileCatalogs/ShadowFileCatalog"


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
        settings = shadow_settings(options, SECTION)
        self._primary = _catalogue(settings.Primary)
        self._shadow = _catalogue(settings.Shadow)
        self._comparison = Comparison(settings.Primary, settings.Shadow, settings.DifferencesFile, settings.Fraction)
        reading, _, without_names = self._primary.getInterfaceMethods()
        self._methods = list(reading)
        self._without_names = [method for method in without_names if method in reading]

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
        if self._shadow.hasCatalogMethod(method):
            self._comparison.compare(method, result, lambda: getattr(self._shadow, method)(*arguments, **options))
        return result


def _catalogue(name: str) -> Any:
    result = FileCatalogFactory().createCatalog(name)
    if not result["OK"]:
        raise InvalidSettings(f"{SECTION} names {name}, which is no catalogue that works: {result['Message']}")
    return result["Value"]
