"""The catalogue is found by its type, whichever way DIRAC's loader has turned the order of the extensions."""

from __future__ import annotations

import pytest
from DIRAC.Core.Utilities.ObjectLoader import ObjectLoader


@pytest.mark.parametrize("reloads", [0, 1, 2])
def test_this_packages_class_is_loaded(reloads: int) -> None:
    loader = ObjectLoader()
    for _ in range(reloads):
        loader.reloadRootModules()
    result = loader.loadObject("Resources.Catalog.CTARucioFileCatalogClient")
    assert result["OK"], result
    assert result["Value"].__module__ == "CTARucioDIRAC.Resources.Catalog.CTARucioFileCatalogClient"
