"""Which scope a path belongs to, and how names with a scope are written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from CTARucioDIRAC.domain import scopes
from CTARucioDIRAC.domain.errors import InvalidInput, InvalidSettings
from CTARucioDIRAC.domain.identifiers import Did, did_of, explicit_did, is_foreign, lfn_of, same_address
from CTARucioDIRAC.domain.scopes import Algorithm, Mapped, ScopeRules, parse_mapping
from CTARucioDIRAC.domain.settings import catalogue_settings

GOOD = {"RucioHost": "https://rucio.example.org", "VO": "ctao"}


@pytest.fixture(autouse=True)
def rules() -> Iterator[None]:
    yield
    scopes.use(ScopeRules())


@pytest.mark.parametrize(
    ("path", "ctao", "dirac"),
    [
        ("/ctao", "root", "ctao"),
        ("/ctao/lst", "lst", "lst"),
        ("/ctao/lst/DL0/f", "lst", "lst"),
        ("/ctao/user", "root", "user"),
        ("/ctao/user/j/jane", "user.jane", "user"),
        ("/ctao/user/j/jane/f", "user.jane", "user"),
    ],
)
def test_the_algorithms_agree_with_the_servers(path: str, ctao: str, dirac: str) -> None:
    from bdms_rucio_policy.scope import scope as theirs
    from rucio.common.utils import ScopeExtractionAlgorithms

    assert ScopeRules().scope_of(path) == ctao == theirs(path, None)[0]
    assert ScopeRules(Algorithm.DIRAC).scope_of(path) == dirac
    assert dirac == ScopeExtractionAlgorithms.extract_scope_dirac(path, None)[0]


@pytest.mark.parametrize("algorithm", Algorithm)
def test_tops_of_scopes_are_found_by_the_algorithm(algorithm: Algorithm) -> None:
    here = ScopeRules(algorithm)
    for scope in ("lst", "user.jane", "commissioning-2026"):
        if algorithm is Algorithm.CTAO_BDMS or "." not in scope:
            top = here.top_of(scope, "ctao")
            assert top is not None
            assert here.scope_of(f"{top}/f") == scope
    assert here.top_of(here.scope_of("/ctao"), "ctao") is None


def test_the_most_detailed_mapping_decides() -> None:
    here = ScopeRules(mapping=parse_mapping("/ctao/site/*=site-{1}, /ctao/site/north/dark = dark,/ctao/old=legacy"))
    assert here.scope_of("/ctao/site/south/f") == "site-south"
    assert here.scope_of("/ctao/site/north/dark/f") == "dark"
    assert here.scope_of("/ctao/site") == "site"
    assert here.scope_of("/ctao/old") == "legacy"
    assert here.scope_of("/ctao/older/f") == "older"
    near = here.mapped_near("/ctao/site", ["site-north", "dark", "legacy", "lst"])
    assert near == {"site-north": "/ctao/site", "dark": "/ctao/site/north/dark"}


@pytest.mark.parametrize("text", ["/ctao/x", "ctao=x", "/ctao/x*=y", "/ctao/x=y{1}", "/ctao/*=a b", "/ctao/x="])
def test_a_wrong_mapping_is_named(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_mapping(text)
    with pytest.raises(InvalidSettings, match="ScopeMapping"):
        catalogue_settings(GOOD | {"ScopeMapping": text}, "/S")


def test_the_options_become_rules() -> None:
    options = {"ScopeAlgorithm": "dirac", "ScopeMapping": "/ctao/a=b", "ForeignScopes": "x, y"}
    rules = catalogue_settings(GOOD | options, "/S").scope_rules
    assert rules == ScopeRules(Algorithm.DIRAC, (Mapped("/ctao/a", "b"),), ("x", "y"))
    with pytest.raises(InvalidSettings, match="ForeignScopes"):
        catalogue_settings(GOOD | {"ForeignScopes": "x y"}, "/S")


@pytest.mark.parametrize("written", ["lst:raw1", "/lst:raw1", "lfn:lst:raw1", "LFN:/lst:raw1"])
def test_names_with_their_scope(written: str) -> None:
    assert explicit_did(written) == did_of(written) == Did("lst", "raw1")


@pytest.mark.parametrize("written", ["other:/ctao/lst/f", "/other:/ctao/lst/f", "/other:/ctao//lst/f/"])
def test_paths_with_another_scope(written: str) -> None:
    assert did_of(written) == Did("other", "/ctao/lst/f")
    assert is_foreign(did_of(written))
    assert did_of(lfn_of(did_of(written))) == did_of(written)


@pytest.mark.parametrize("written", ["/ctao/lst/a:b", "a b:c", "lst:", "lst:a b", f"{'x' * 30}:a"])
def test_what_is_neither_a_path_nor_a_name_with_its_scope(written: str) -> None:
    with pytest.raises(InvalidInput):
        did_of(written)


def test_rules_in_use() -> None:
    scopes.use(ScopeRules(mapping=parse_mapping("/ctao/lst/dark=dark")))
    assert did_of("/ctao/lst/dark/f") == Did("dark", "/ctao/lst/dark/f")
    assert lfn_of(Did("dark", "/ctao/lst/dark/f")) == "/ctao/lst/dark/f"
    assert lfn_of(Did("lst", "/ctao/lst/dark/f")) == "lst:/ctao/lst/dark/f"


def test_addresses_of_one_file() -> None:
    assert same_address("root://me@host:1094//ctao/f", "root://host:1094/ctao/f")
    assert not same_address("root://host:1094//ctao/f", "root://host:1095//ctao/f")
    assert not same_address("root://host:1094//ctao/f", "davs://host:1094//ctao/f")
