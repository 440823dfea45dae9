"""Each known defect of DIRAC's own Rucio client has a test here that names it by its number.

The list is in docs/reference/catalogue.md.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from catalog_helpers import FILE, MISSING, OPTIONS, description, failed, successful, value
from DIRAC.Resources.Catalog.FileCatalog import FileCatalog
from fake_gateway import FakeGateway

from CTARucioDIRAC.domain import errors, scopes
from CTARucioDIRAC.domain.identifiers import Did, did_of
from CTARucioDIRAC.gateway import translate
from CTARucioDIRAC.gateway.connection import ProxyCredential, Server
from CTARucioDIRAC.gateway.protocol import FileRecord, ReplicaState
from CTARucioDIRAC.gateway.rucio_gateway import RestRucioGateway
from CTARucioDIRAC.Resources.Catalog import RucioFileCatalogClient as module
from CTARucioDIRAC.Resources.Catalog.CTARucioFileCatalogClient import CTARucioFileCatalogClient

Catalog = CTARucioFileCatalogClient
RUN, NO = "/ctao/lst/run1", "/ctao/lst/run1/no"


@pytest.fixture
def many(catalog: Catalog, fake: FakeGateway) -> list[str]:
    """A hundred files that plain Rucio brought in."""
    fake.add_scope("lst")
    files = [FileRecord(did_of(f"{RUN}/g{i:03d}"), 5, adler32="0000abcd") for i in range(100)]
    fake.add_replicas("PIC-DISK", files)
    fake.add_datasets([did_of(RUN)])
    fake.attach({did_of(RUN): [file.did for file in files]})
    return [file.did.name for file in files]


def cost(fake: FakeGateway, result: dict[str, Any], before: int) -> int:
    assert result["OK"]
    return fake.requests - before


def test_defect_1_unknown_files_do_not_vanish(filled: Catalog, fake: FakeGateway) -> None:
    answer = value(filled.getReplicas([FILE, NO]))
    assert set(answer["Successful"]) == {FILE}
    assert answer["Failed"] == {NO: MISSING}


def test_defect_2_no_copy_is_a_failure_and_every_copy_is_told(filled: Catalog, fake: FakeGateway) -> None:
    fake.set_replica_states("PIC-DISK", {did_of(FILE): ReplicaState.UNAVAILABLE})
    assert failed(filled.getReplicas(FILE)) == {FILE: "File has zero replicas"}
    assert set(successful(filled.getReplicas(FILE, allStatus=True))[FILE]) == {"PIC-DISK"}
    answer = {"scope": "lst", "name": FILE, "bytes": 5, "rses": {}, "states": {"PIC-DISK": "AVAILABLE"}}
    assert [(r.rse, r.pfn) for r in translate.file_replicas(answer).replicas] == [("PIC-DISK", "")]


def test_defect_3_answers_come_under_the_names_asked_for(catalog: Catalog, many: list[str]) -> None:
    name = f"lst:{many[0]}"
    assert set(successful(catalog.getReplicas([name, many[1]]))) == {name, many[1]}
    assert failed(catalog.getReplicas(RUN)) == {RUN: MISSING}


def test_defect_4_only_the_named_copy_is_let_go(filled: Catalog, fake: FakeGateway) -> None:
    assert successful(filled.addReplica({FILE: "CNAF-DISK"}))
    assert successful(filled.removeReplica({FILE: {"SE": "CNAF-DISK", "PFN": ""}})) == {FILE: True}
    assert [rule.rse_expression for rule in fake.list_rules_on_file(did_of(FILE)) if not rule.expires_at] == [
        "PIC-DISK"
    ]
    fake.clean()
    assert set(fake.copies[did_of(FILE)]) == {"PIC-DISK"}
    result = filled.removeReplica({FILE: {"SE": "NOSUCH-DISK", "PFN": ""}})
    assert not result["OK"] or FILE in result["Value"]["Failed"]
    fake.clean()
    assert set(fake.copies[did_of(FILE)]) == {"PIC-DISK"}


def test_defect_5_a_removed_file_is_gone(filled: Catalog, fake: FakeGateway) -> None:
    assert successful(filled.removeFile(FILE)) == {FILE: True}
    assert successful(filled.exists(FILE)) == {FILE: False}
    assert "on its way out" in failed(filled.addFile({FILE: description()}))[FILE]
    fake.clean()
    assert successful(filled.addFile({FILE: description(Checksum="0000beef")})) == {FILE: True}
    assert successful(filled.getFileMetadata(FILE))[FILE]["Checksum"] == "0000beef"


def test_defect_6_a_known_file_gets_the_copy_or_an_error(filled: Catalog) -> None:
    assert successful(filled.addFile({FILE: description(SE="CNAF-DISK")})) == {FILE: True}
    assert set(successful(filled.getReplicas(FILE))[FILE]) == {"CNAF-DISK", "PIC-DISK"}
    reason = failed(filled.addFile({FILE: description(Checksum="0000beef")}))[FILE]
    assert "0000abcd" in reason
    assert "0000beef" in reason


def test_defect_7_files_go_anywhere_and_fail_alone(catalog: Catalog, fake: FakeGateway) -> None:
    assert fake.records == {}
    lfns = ["/ctao/lst/f", "/ctao/lst/run1/f", "/ctao/lst/run1/deeper/f", "/ctao/lst/run1/g"]
    for lfn in lfns:
        assert successful(catalog.addFile({lfn: description(GUID="")})) == {lfn: True}, lfn
    batch = {f"/ctao/lst/batch/f{i}": description(GUID="") for i in range(100)}
    bad = "/ctao/lst/f/below-a-file"
    answer = value(catalog.addFile(batch | {bad: description(GUID="")}))
    assert set(answer["Failed"]) == {bad}
    assert set(answer["Successful"]) == set(batch)


def test_defect_8_copies_come_in_bulk_and_with_their_rule(
    catalog: Catalog, fake: FakeGateway, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fake.requests
    assert cost(fake, catalog.addReplica(dict.fromkeys(many, "CNAF-DISK")), before) <= 5
    original = FakeGateway.add_rule

    def refused(*_args: Any, **_kwargs: Any) -> dict[Did, str]:
        raise errors.Conflict("quota")

    monkeypatch.setattr(FakeGateway, "add_rule", refused)
    assert set(failed(catalog.addReplica({many[0]: "LAPALMA-DISK"}))) == {many[0]}
    monkeypatch.setattr(FakeGateway, "add_rule", original)
    assert successful(catalog.addReplica({many[0]: "LAPALMA-DISK"})) == {many[0]: True}
    assert "LAPALMA-DISK" in [rule.rse_expression for rule in fake.list_rules_on_file(did_of(many[0]))]


def test_defect_9_reads_are_in_bulk_and_exists_tells_the_name(
    catalog: Catalog, fake: FakeGateway, many: list[str]
) -> None:
    for method in (catalog.exists, catalog.getFileSize):
        before = fake.requests
        assert cost(fake, method(many), before) <= 2
    assert successful(catalog.exists(many)) == {lfn: lfn for lfn in many}


def test_defect_10_listings_have_metadata(catalog: Catalog, fake: FakeGateway, many: list[str]) -> None:
    fake.add_containers([did_of("/ctao/lst")])
    fake.attach({did_of("/ctao/lst"): [did_of(RUN)]})
    verbose = successful(catalog.listDirectory(RUN, True))[RUN]["Files"]
    assert all(verbose[lfn]["MetaData"]["Size"] == 5 for lfn in many)
    plain = successful(catalog.listDirectory(RUN))[RUN]["Files"]
    assert all("MetaData" in plain[lfn] for lfn in many)


def test_defect_11_files_without_a_good_copy_are_listed_with_their_dates(
    catalog: Catalog, fake: FakeGateway, many: list[str]
) -> None:
    fake.set_replica_states("PIC-DISK", {did_of(lfn): ReplicaState.BAD for lfn in many})
    listing = successful(catalog.listDirectory(RUN, True))[RUN]["Files"]
    assert set(listing) == set(many)
    recently = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(hours=1)
    assert all(entry["MetaData"]["CreationDate"] > recently for entry in listing.values())


def test_defect_12_sizes_are_of_all_that_is_below(catalog: Catalog, many: list[str]) -> None:
    size = successful(catalog.getDirectorySize("/ctao/lst"))["/ctao/lst"]
    assert (size["LogicalFiles"], size["LogicalSize"]) == (100, 500)


def test_defect_13_full_directories_stay(catalog: Catalog, fake: FakeGateway, many: list[str]) -> None:
    assert set(failed(catalog.removeDirectory(RUN))) == {RUN}
    fake.clean()
    assert did_of(RUN) in fake.records


def test_defect_14_searches_are_exact(catalog: Catalog, fake: FakeGateway, many: list[str]) -> None:
    assert catalog.setMetadata(RUN, {"site": "n"})["OK"]
    assert catalog.setMetadataBulk({lfn: {"n": i, "version": "v1"} for i, lfn in enumerate(many)})["OK"]
    assert value(catalog.findFilesByMetadata({"site": "n"}, RUN)) == many
    assert value(catalog.findFilesByMetadata({"site": "n"}, "/ctao/lst/run2")) == []
    assert value(catalog.findFilesByMetadata({"version": "v1", "n": {"<": 2}})) == many[:2]
    assert "unknown operator" in catalog.findFilesByMetadata({"n": {"~": 1}})["Message"]


def test_defect_15_metadata_of_many(catalog: Catalog, many: list[str]) -> None:
    assert catalog.setMetadataBulk({lfn: {"n": i} for i, lfn in enumerate(many[:3])})["OK"]
    answer = value(catalog.getFileUserMetadataBulk([*many[:3], NO]))
    assert answer == {"Successful": {lfn: {"n": i} for i, lfn in enumerate(many[:3])}, "Failed": {NO: MISSING}}


def test_defect_16_checksums_and_guids(catalog: Catalog) -> None:
    lfn, bad = f"{RUN}/md5", f"{RUN}/bad"
    answer = value(
        catalog.addFile({lfn: description(Checksum="a" * 32, ChecksumType="MD5"), bad: description(GUID="malformed")})
    )
    assert (set(answer["Successful"]), set(answer["Failed"])) == ({lfn}, {bad})
    assert successful(catalog.getFileMetadata(lfn))[lfn]["Checksum"] == ""


def test_defect_17_it_works_with_the_configuration_of_dirac_alone(
    filled: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("RUCIO_HOME", "RUCIO_CONFIG", "RUCIO_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    server = Server("https://rucio.example.org", "https://rucio.example.org", tmp_path)
    assert RestRucioGateway(server, "ctaoprod", ProxyCredential(tmp_path / "proxy")).account == "ctaoprod"
    assert successful(filled.exists(FILE)) == {FILE: FILE}


def test_defect_18_constructing_does_nothing(fake: FakeGateway) -> None:
    before = dict(os.environ)
    for _ in range(3):
        CTARucioFileCatalogClient(**OPTIONS)
    assert fake.requests == 0
    assert dict(os.environ) == before


@pytest.fixture
def dirac_scopes(fake: FakeGateway) -> Iterator[Catalog]:
    in_use = scopes.rules()
    yield CTARucioFileCatalogClient(**OPTIONS, ScopeAlgorithm="dirac")
    scopes.use(in_use)


def test_defect_19_the_root_is_listed_with_every_algorithm(dirac_scopes: Catalog, fake: FakeGateway) -> None:
    lfn = "/ctao/lst/f"
    fake.add_scope("ctao")
    assert successful(dirac_scopes.addFile({lfn: description()})) == {lfn: True}
    assert set(successful(dirac_scopes.listDirectory("/"))["/"]["SubDirs"]) == {"/ctao"}
    assert set(successful(dirac_scopes.listDirectory("/ctao"))["/ctao"]["SubDirs"]) == {"/ctao/lst"}


def test_defect_20_removing_many_costs_about_one_request_each(
    catalog: Catalog, fake: FakeGateway, many: list[str]
) -> None:
    assert successful(catalog.addReplica(dict.fromkeys(many, "PIC-DISK")))
    before = fake.requests
    assert cost(fake, catalog.removeFile(many), before) <= 2.5 * len(many)
    assert successful(catalog.exists(many)) == dict.fromkeys(many, False)


# -------------------------------------------------------------------- seen on real servers


def test_seen_1_rules_ask_for_no_activity(filled: Catalog, fake: FakeGateway) -> None:
    assert successful(filled.addReplica({FILE: "CNAF-DISK"}))
    assert {rule.activity for rule in fake.list_rules_on_file(did_of(FILE))} == {"User Subscriptions"}


def test_seen_2_any_number_of_names(catalog: Catalog, fake: FakeGateway, many: list[str]) -> None:
    names = [*many, *(f"{RUN}/no{i}" for i in range(1500))]
    for method in (catalog.isFile, catalog.isDirectory):
        before = fake.requests
        result = method(names)
        assert set(successful(result)) == set(names)
        assert cost(fake, result, before) <= 6


def test_seen_3_names_that_cannot_be_fail_alone(filled: Catalog) -> None:
    bad = f"{RUN}/with space"
    answer = value(filled.getReplicas([FILE, bad]))
    assert (set(answer["Successful"]), set(answer["Failed"])) == ({FILE}, {bad})
    assert "with space" in failed(filled.addFile({bad: description()}))[bad]


def test_seen_4_no_exception_escapes(filled: Catalog, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    for result in (
        filled.addReplica({FILE: "NOSUCH-DISK"}),
        filled.addFile({f"{RUN}/new": description(SE="NOSUCH-DISK")}),
        filled.removeReplica({FILE: "NOSUCH-DISK"}),
        filled.getFileUserMetadata(NO),
        filled.setMetadata(NO, {"a": 1}),
    ):
        assert not result["OK"] or result["Value"]["Failed"]

    def unknown(_settings: object) -> FakeGateway:
        raise errors.InvalidSettings("no account")

    monkeypatch.setattr(module, "current_gateway", unknown)
    assert "no account" in filled.exists(FILE)["Message"]


def test_seen_5_every_method_can_be_reached() -> None:
    reading, writing, _ = Catalog.getInterfaceMethods()
    assert {"setMetadataBulk", "removeMetadata"} <= set(writing)
    assert {"getFileUserMetadataBulk", "getCompatibleMetadata"} <= set(reading)
    public = {name for name in dir(Catalog) if re.match("[a-z]", name) and callable(getattr(Catalog, name))}
    assert public - {*reading, *writing} == {"getInterfaceMethods", "hasCatalogMethod", "isOK"}
    catalogue = FileCatalog.__new__(FileCatalog)
    catalogue.ro_methods, catalogue.write_methods = set(reading), set(writing)
    assert all(getattr(catalogue, name) for name in (*reading, *writing))


def test_seen_6_a_server_that_is_away_is_told_with_its_cause(filled: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_self: FakeGateway) -> str:
        raise errors.Unavailable("https://rucio.example.org doesn't answer")

    monkeypatch.setattr(FakeGateway, "whoami", away)
    assert "doesn't answer" in filled.isOK()["Message"]


def test_seen_7_one_missing_file_is_an_answer(filled: Catalog) -> None:
    assert failed(filled.getReplicas(NO)) == {NO: MISSING}


def test_seen_8_a_copy_that_is_not_there_unpins_nothing(filled: Catalog, fake: FakeGateway) -> None:
    value(filled.removeReplica({FILE: {"SE": "CNAF-DISK", "PFN": ""}}))
    fake.clean()
    assert [rule.rse_expression for rule in fake.list_rules_on_file(did_of(FILE))] == ["PIC-DISK"]
    assert set(successful(filled.getReplicas(FILE))[FILE]) == {"PIC-DISK"}


def test_seen_9_the_configured_authorities_are_the_ones_in_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("X509_CERT_DIR", "/somewhere/else")
    server = Server("https://rucio.example.org", "https://rucio.example.org", tmp_path)
    gateway = RestRucioGateway(server, "ctaoprod", ProxyCredential(tmp_path / "proxy"))
    assert gateway._client.ca_cert == str(tmp_path)


def test_seen_10_the_first_file_needs_nothing_above_it(catalog: Catalog, fake: FakeGateway) -> None:
    assert did_of("/ctao") not in fake.records
    assert successful(catalog.addFile({FILE: description()})) == {FILE: True}


def test_every_known_defect_has_a_test() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/catalogue.md").read_text()
    listed = {f"{kind}_{number}" for kind, number in re.findall(r"^\| (defect|seen) (\d+) \|", text, re.MULTILINE)}
    tested = {match[1] for name in globals() if (match := re.match(r"test_((?:defect|seen)_\d+)_", name))}
    assert listed == tested == {*(f"defect_{i}" for i in range(1, 21)), *(f"seen_{i}" for i in range(1, 11))}


def test_the_matrix_names_every_method_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/catalogue.md").read_text()
    matrix = text[text.index("## Method by method") : text.index("## Queries")]
    named = re.findall(r"^\| `(\w+)` \|", matrix, re.MULTILINE)
    reading, writing, _ = Catalog.getInterfaceMethods()
    assert sorted(named) == sorted([*reading, *writing])
