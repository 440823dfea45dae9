"""XRootD storage that Rucio manages: ``PluginName = CTARucio_XROOT``.

The name isn't DIRAC's: its ObjectLoader turns the order of the extensions around once a configuration is loaded, so that
of two classes with one name now this, now that one is found.
"""

from __future__ import annotations

from typing import Any

from DIRAC.Resources.Storage.GFAL2_XROOTStorage import GFAL2_XROOTStorage

from CTARucioDIRAC.Resources.Storage.CTARucioStorageGuard import CTARucioStorageGuard


class CTARucio_XROOTStorage(CTARucioStorageGuard, GFAL2_XROOTStorage):  # type: ignore[misc]
    """DIRAC's GFAL2_XROOT with :class:`~.CTARucioStorageGuard.CTARucioStorageGuard` before it."""

    def __init__(self, storageName: str, parameters: dict[str, Any]) -> None:
        super().__init__(storageName, parameters)
        self.pluginName = "CTARucio_XROOT"
