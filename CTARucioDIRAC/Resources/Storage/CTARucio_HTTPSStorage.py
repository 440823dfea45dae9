"""HTTPS and WebDAV storage that Rucio manages: ``PluginName = CTARucio_HTTPS``.

The name isn't DIRAC's: its ObjectLoader turns the order of the extensions around once a configuration is loaded, so that
of two classes with one name now this, now that one is found.
"""

from __future__ import annotations

from typing import Any

from DIRAC.Resources.Storage.GFAL2_HTTPSStorage import GFAL2_HTTPSStorage

from CTARucioDIRAC.Resources.Storage.CTARucioStorageGuard import CTARucioStorageGuard


class CTARucio_HTTPSStorage(CTARucioStorageGuard, GFAL2_HTTPSStorage):  # type: ignore[misc]
    """DIRAC's GFAL2_HTTPS with :class:`~.CTARucioStorageGuard.CTARucioStorageGuard` before it."""

    def __init__(self, storageName: str, parameters: dict[str, Any]) -> None:
        super().__init__(storageName, parameters)
        self.pluginName = "CTARucio_HTTPS"
