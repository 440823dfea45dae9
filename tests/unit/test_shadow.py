"""Two catalogues are compared: what counts as a difference, and that the shadow never harms the answer."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from DIRAC import S_ERROR, S_OK
from diraccfg import CFG

from CTARucioDIRAC.Core.Utilities.CatalogueComparison import Comparison
from CTARucioDIRAC.domain.errors import InvalidSettings
from CTARucioDIRAC.domain.shadow import NOT_COMPARED, ShadowSettings, differences, shadow_settings
from CTARucioDIRAC.Resources.Catalog import ShadowFileCatalogClient as module

LFN = "/ctao/lst/f"
RECORD = {"Size": 5, "Checksum": "0000abcd", "GUID": "abc", "Status": "AprioriGood", "Mode": 509, "UID": 1}


def bulk(**answers: Any) -> dict[str, Any]:
    return {"Successful": answers, "Failed": {}}


@pytest.mark.parametrize(
    ("method", "one", "other"),
    [
        ("exists", bulk(a="/ctao/a"), bulk(a=True)),
        ("getReplicas", bulk(a={"X": "root://x"}), bulk(a={"X": "/ctao/a"})),
        ("getFileMetadata", bulk(a=RECORD), bulk(a=RECORD | {"Checksum": "ABCD", "GUID": "ABC", "UID": 7, "Mode": 1})),
        (
            "getFileMetadata",
            {"Successful": {}, "Failed": {"a": "No such"}},
            {"Successful": {}, "Failed": {"a": "gone"}},
        ),
        ("findFilesByMetadata", ["a", "b"], ["b", "a"]),
        ("findDirectoriesByMetadata", {1: "/a"}, {"7": "/a"}),
        (
            "getFileUserMetadata",
            {"when": "2026-11-22T01:02:03", "day": "2026-11-22", "dirac_owner": "x"},
            {"when": dt.datetime(2026, 11, 22, 1, 2, 3), "day": dt.date(2026, 11, 22)},
        ),
        (
            "listDirectory",
            bulk(a={"Files": {"/a/f": {}}, "SubDirs": {"/a/d": True}}),
            bulk(a={"Files": {"f": {"MetaData": 1}}, "SubDirs": {"d": {}}, "Links": {}, "Datasets": {}}),
        ),
        (
            "getDirectorySize",
            bulk(
                a={"LogicalSize": 5, "LogicalFiles": 1, "PhysicalSize": {"X": {"Size": 5, "Files": 1}, "TotalSize": 5}}
            ),
            bulk(a={"LogicalSize": 5, "LogicalFiles": 1, "PhysicalSize": {"X": {"Size": 5, "Files": 1}}}),
        ),
        ("getSomethingElse", {"a": 1}, {"a": 1}),
    ],
)
def test_what_means_the_same_is_no_difference(method, one, other):
    assert differences(method, one, other) == []


@pytest.mark.parametrize(
    ("method", "one", "other", "names", "what"),
    [
        ("exists", bulk(a="a", b="b"), bulk(a="a", b=False), ["b"], "answer"),
        ("getReplicas", bulk(a={"X": ""}), bulk(a={"X": "", "Y": ""}), ["a"], "answer"),
        ("getFileMetadata", bulk(a=RECORD), bulk(a=RECORD | {"Size": 6}), ["a"], "Size"),
        ("getFileMetadata", bulk(a=RECORD), bulk(a=RECORD | {"Checksum": "beef"}), ["a"], "Checksum"),
        ("getFileMetadata", bulk(a=RECORD), {"Successful": {}, "Failed": {"a": "no"}}, ["a"], "failed on one side"),
        ("getReplicas", bulk(a={}), bulk(), ["a"], "failed on one side"),
        ("findFilesByMetadata", ["a", "b"], ["a"], [""], "findFilesByMetadata"),
        ("getFileUserMetadata", {"a": 1}, {"a": 2}, [""], "a"),
        ("getFileUserMetadata", {"a": 1}, {}, [""], "a"),
        (
            "listDirectory",
            bulk(a={"Files": {"f": {}}, "SubDirs": {}}),
            bulk(a={"Files": {}, "SubDirs": {}}),
            ["a"],
            "Files",
        ),
        ("getDirectoryDump", bulk(a={"Files": {"f": {"Size": 1}}, "SubDirs": []}), bulk(a=None), ["a"], "answer"),
        ("getSomethingElse", 1, 2, [""], "getSomethingElse"),
    ],
)
def test_differences_are_named(method, one, other, names, what):
    found = differences(method, one, other)
    assert [item.name for item in found] == names
    assert found[0].what == what
    assert found[0].primary != found[0].shadow


def test_long_values_are_cut():
    (found,) = differences("getSomethingElse", "x" * 10_000, "y")
    assert len(found.primary) < 400


class Catalogue:
    """A catalogue that says what it's told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls = 0

    def getInterfaceMethods(self) -> tuple[list[str], list[str], list[str]]:
        return ["exists", "findFilesByMetadata"], ["addFile"], ["findFilesByMetadata", "setMetadata"]

    def hasCatalogMethod(self, name: str) -> bool:
        return name in ("exists", "findFilesByMetadata")

    def exists(self, lfns: Any) -> Any:
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def shadow(monkeypatch, tmp_path):
    def make(one: Any, other: Any, **options: Any) -> tuple[Any, Catalogue, Catalogue]:
        sides = {"RucioFileCatalog": Catalogue(one), "FileCatalog": Catalogue(other)}
        monkeypatch.setattr(module, "_catalogue", lambda name: sides[name])
        module.counters.clear()
        options = {"Primary": "RucioFileCatalog", "Shadow": "FileCatalog", "url": "x"} | options
        client = module.ShadowFileCatalogClient(DifferencesFile=str(tmp_path / "d.jsonl"), **options)
        return client, *sides.values()

    return make


def test_it_reads_what_the_primary_reads_and_writes_nothing(shadow):
    client, *_ = shadow(S_OK(bulk()), S_OK(bulk()))
    assert client.getInterfaceMethods() == (["exists", "findFilesByMetadata"], [], ["findFilesByMetadata"])
    assert client.hasCatalogMethod("exists")
    assert not client.hasCatalogMethod("addFile")
    with pytest.raises(AttributeError):
        client.addFile({})


def test_a_difference_is_counted_and_written(shadow, tmp_path):
    client, *_ = shadow(S_OK(bulk(a="a")), S_OK(bulk(a=False)))
    for _ in range(2):
        assert client.exists("a")["Value"]["Successful"] == {"a": "a"}
    assert module.counters == {"compared": 2, "differing": 2, "differences": 2}
    lines = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert lines[0]["method"] == "exists"
    assert (lines[0]["name"], lines[0]["primary"], lines[0]["shadow"]) == ("a", "True", "False")
    assert lines[0]["primary_is"] == "RucioFileCatalog"


def test_equal_answers_leave_no_trace(shadow, tmp_path):
    client, *_ = shadow(S_OK(bulk(a="a")), S_OK(bulk(a="a")))
    client.exists("a")
    assert module.counters["compared"] == 1
    assert not module.counters["differing"]
    assert not (tmp_path / "d.jsonl").exists()


@pytest.mark.parametrize("method", sorted(NOT_COMPARED))
def test_some_methods_are_not_compared(method):
    Comparison("a", "b").compare(method, S_OK({}), lambda: pytest.fail("asked"))


@pytest.mark.parametrize("trouble", [RuntimeError("boom"), S_ERROR("down"), None, {"OK": True, "Value": 7}])
def test_the_shadows_troubles_are_its_own(shadow, trouble):
    client, *_ = shadow(S_OK(bulk(a="a")), trouble)
    assert client.exists("a")["Value"] == bulk(a="a")
    assert module.counters["shadow failed"] + module.counters["differing"] == 1


def test_a_fraction_can_be_compared(shadow):
    client, _, other = shadow(S_OK(bulk()), S_OK(bulk()), Fraction="0")
    for _ in range(20):
        client.exists("a")
    assert other.calls == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"Primary": "A"}, "Shadow"),
        ({"Primary": "A", "Shadow": "B", "Fractoin": "1"}, "Fractoin"),
        ({"Primary": "A", "Shadow": "B", "Fraction": "2"}, "Fraction"),
        ({"Primary": "A", "Shadow": "B", "AccessType": "Read-Write"}, "AccessType"),
    ],
)
def test_wrong_options_are_named(options, text):
    with pytest.raises(InvalidSettings, match=text):
        shadow_settings(options, "/Resources/FileCatalogs/ShadowFileCatalog")


SNIPPET = Path(__file__).resolve().parents[2] / "Resources" / "cs" / "migration.cfg"


def test_what_administrators_merge_is_right():
    from CTARucioDIRAC.DataManagementSystem.Service.RucioFileCatalogHandler import MAX_ENTRIES

    found = CFG().loadFromFile(str(SNIPPET)).getAsDict()
    section = found["Resources"]["FileCatalogs"]["ShadowFileCatalog"]
    shadow_settings(section, "x")
    assert set(ShadowSettings.model_fields) - set(section) == {"CatalogURL"}
    service = found["Systems"]["DataManagement"]
    assert int(service["Services"]["RucioFileCatalog"]["MaxEntries"]) == MAX_ENTRIES
    assert service["URLs"]["RucioFileCatalog"].endswith(":9187/DataManagement/RucioFileCatalog")
    catalogues = found["Operations"]["Defaults"]["Services"]["Catalogs"]
    assert {section["Primary"], section["Shadow"]} <= set(catalogues)
    sections = {name: options for name, options in catalogues.items() if isinstance(options, dict)}
    assert [name for name, options in sections.items() if "Read" in options["AccessType"]] == ["ShadowFileCatalog"]
    assert [name for name, options in sections.items() if options.get("Master") == "True"] == [section["Primary"]]
