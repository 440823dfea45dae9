"""The catalogue's settings are read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from CTARucioDIRAC.domain.errors import InvalidSettings
from CTARucioDIRAC.domain.settings import catalogue_settings

SECTION = "/Resources/FileCatalogs/RucioFileCatalog"
GOOD = {"RucioHost": "https://rucio.example.org/", "VO": "ctao"}


def test_defaults() -> None:
    settings = catalogue_settings(GOOD, SECTION)
    assert settings.RucioHost == settings.AuthHost == "https://rucio.example.org"
    assert settings.CACertificate is None
    assert (settings.RucioVO, settings.ScopeAlgorithm, settings.RequestTimeout) == ("def", "ctao_bdms", 300.0)


def test_texts_of_the_configuration_are_converted() -> None:
    options = GOOD | {"RequestTimeout": "60", "CACertificate": "/etc/ca.pem", "AuthHost": "https://auth.example.org"}
    settings = catalogue_settings(options, SECTION)
    assert settings.RequestTimeout == 60.0
    assert settings.CACertificate == Path("/etc/ca.pem")
    assert settings.AuthHost == "https://auth.example.org"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"VO": "ctao"}, "RucioHost is missing"),
        ({"RucioHost": "https://rucio.example.org"}, "VO is missing"),
        (GOOD | {"RucioHots": "x"}, "RucioHots is no option"),
        (GOOD | {"RucioHost": "http://rucio.example.org"}, "RucioHost = 'http://"),
        (GOOD | {"RequestTimeout": "soon"}, "RequestTimeout = 'soon'"),
        (GOOD | {"RequestTimeout": "0"}, "RequestTimeout"),
        (GOOD | {"ScopeAlgorithm": "hash"}, "ScopeAlgorithm"),
        (GOOD | {"AccessType": "ReadWrite"}, "AccessType"),
        (GOOD | {"Master": "yes"}, "Master"),
        (GOOD | {"VO": "/ctao"}, "VO"),
        (GOOD | {"Status": "", "Bad": "1"}, "Bad is no option"),
    ],
)
def test_what_is_wrong_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSettings) as failure:
        catalogue_settings(options, SECTION)
    assert f"{SECTION}/{named}" in str(failure.value)
