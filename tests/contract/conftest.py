"""The catalogue plugin over the Rucio in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from catalog_helpers import FILE, OPTIONS, description, successful
from fake_gateway import FakeGateway

from CTARucioDIRAC.Core.Utilities import RucioPermissions, RucioShapes
from CTARucioDIRAC.Resources.Catalog import RucioFileCatalogClient as module
from CTARucioDIRAC.Resources.Catalog.CTARucioFileCatalogClient import CTARucioFileCatalogClient
from CTARucioDIRAC.Resources.Catalog.RucioCatalogBase import forget


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    fake = FakeGateway()
    monkeypatch.setattr(module, "current_gateway", lambda _settings: fake)
    monkeypatch.setattr(RucioShapes, "members", lambda account: {f"group of {account}": ["jdoe"]})
    RucioShapes._members.clear()
    RucioPermissions._facts.clear()
    forget()
    yield fake
    RucioPermissions._facts.clear()


@pytest.fixture
def catalog(fake: FakeGateway) -> CTARucioFileCatalogClient:
    return CTARucioFileCatalogClient(**OPTIONS, url="DataManagement/RucioFileCatalog")


@pytest.fixture
def filled(catalog: CTARucioFileCatalogClient) -> CTARucioFileCatalogClient:
    assert successful(catalog.addFile({FILE: description()})) == {FILE: True}
    return catalog
