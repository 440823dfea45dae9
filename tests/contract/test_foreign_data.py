"""Names that aren't where the rules look for them: other scopes, no paths, no parents. On the fake and on a real server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fake_gateway import FakeGateway
from test_gateway_contract import real_gateway

from CTARucioDIRAC.domain import errors, scopes
from CTARucioDIRAC.domain.identifiers import Did, did_of
from CTARucioDIRAC.domain.scopes import Algorithm, Mapped, ScopeRules
from CTARucioDIRAC.gateway.protocol import FileRecord, RucioGateway
from CTARucioDIRAC.usecases import directories, files, metadata, remove, resolve, tree
from CTARucioDIRAC.usecases.bulk import Bulk

VO, DISK = "ctao", "PIC-DISK"


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.stack)])
def gateway(request: pytest.FixtureRequest) -> RucioGateway:
    if request.param == "fake":
        return FakeGateway()
    return real_gateway(request.getfixturevalue("testbed"), "production")


@pytest.fixture(autouse=True)
def rules() -> Iterator[None]:
    yield
    scopes.use(ScopeRules())


@dataclass
class Zoo:
    """A tree of one scope, whose files another scope has."""

    own: str
    other: str
    third: str
    top: str

    def path(self, name: str) -> str:
        return f"{self.top}/{name}"


@pytest.fixture
def zoo(gateway: RucioGateway) -> Zoo:
    word = uuid.uuid4().hex[:8]
    found = Zoo(f"o{word}", f"x{word}", f"y{word}", f"/ctao/o{word}")
    for scope in (found.own, found.other, found.third):
        gateway.add_scope(scope)
    return found


def put(gateway: RucioGateway, scope: str, *names: str, **more: Any) -> list[Did]:
    dids = [Did(scope, name) for name in names]
    gateway.add_replicas(DISK, [FileRecord(did, 5, **({"adler32": "0000abcd"} | more)) for did in dids])
    return dids


def requests_of(gateway: RucioGateway, call: Callable[[], Any]) -> int:
    before = gateway.requests
    call()
    return gateway.requests - before


def test_a_path_in_another_scope_is_found_by_every_read(gateway: RucioGateway, zoo: Zoo) -> None:
    lfn, usual = zoo.path("a/f1"), zoo.path("a/f0")
    put(gateway, zoo.own, usual)
    (did,) = put(gateway, zoo.other, lfn)
    lfns = [usual, lfn, zoo.path("a/no")]
    assert files.kinds(gateway, lfns, VO).done == {lfns[0]: "file", lfn: "file", lfns[2]: None}
    stat = files.stat_files(gateway, lfns)
    assert {name: record.did for name, record in stat.done.items()} == {usual: did_of(usual), lfn: did}
    assert list(stat.failed) == [lfns[2]]
    assert files.replicas(gateway, lfns).done[lfn].did == did
    assert files.replica_states(gateway, {lfn: DISK}).done[lfn].rse == DISK
    metadata.set_all(gateway, {lfn: {"run": 7}}, {})
    assert metadata.of_file(gateway, lfn, {}) == {"run": 7}


def test_a_path_that_is_where_it_should_be_costs_nothing_more(gateway: RucioGateway, zoo: Zoo) -> None:
    lfn = zoo.path("a/f1")
    put(gateway, zoo.own, lfn)
    put(gateway, zoo.other, lfn)
    assert requests_of(gateway, lambda: files.stat_files(gateway, [lfn])) == 1
    assert files.stat_files(gateway, [lfn]).done[lfn].did.scope == zoo.own


def test_many_lost_names_cost_a_look_into_each_scope_at_most(gateway: RucioGateway, zoo: Zoo) -> None:
    names = [zoo.path(f"a/f{i:04d}") for i in range(2100)]
    count = len(resolve.known_scopes(gateway))
    answers: Bulk[Any] = Bulk()
    assert requests_of(gateway, lambda: resolve.look_up(gateway, names, answers)) <= 3 + max(
        count, len(names) * count // 1000 + 1
    )
    assert requests_of(gateway, lambda: resolve.look_up(gateway, names, answers)) <= 3 + 2  # known for a minute


def test_a_path_in_two_other_scopes_is_an_error_that_names_both(gateway: RucioGateway, zoo: Zoo) -> None:
    lfn, good = zoo.path("a/f1"), zoo.path("a/f2")
    put(gateway, zoo.other, lfn, good)
    (third,) = put(gateway, zoo.third, lfn)
    stat = files.stat_files(gateway, [lfn, good, str(third)])
    assert set(stat.done) == {good, str(third)}
    assert isinstance(stat.failed[lfn], errors.Conflict)
    assert f"{zoo.other}:{lfn}" in str(stat.failed[lfn])
    assert f"{zoo.third}:{lfn}" in str(stat.failed[lfn])
    assert set(remove.remove_files(gateway, [lfn]).failed) == {lfn}
    assert len(gateway.get_dids([third, Did(zoo.other, lfn)])) == 2


def test_directories_of_another_scope_are_seen_at_once_where_they_are_collections(
    gateway: RucioGateway, zoo: Zoo
) -> None:
    directory = zoo.path("DL0/night")
    dids = put(gateway, zoo.other, f"{directory}/f1", f"{directory}/f2")
    gateway.add_datasets([Did(zoo.other, directory)])
    gateway.attach({Did(zoo.other, directory): dids})
    assert files.kinds(gateway, [directory], VO).done == {directory: "directory"}
    listing = directories.list_all(gateway, [directory], VO, details=True).done[directory]
    assert set(listing.files) == {did.name for did in dids}
    assert {lfn: item.did for lfn, item in listing.replicas.items()} == {did.name: did for did in dids}
    assert set(directories.dump_all(gateway, [directory], VO).done[directory].files) == {did.name for did in dids}
    assert directories.sizes(gateway, [directory], VO).done[directory].files == 2


@pytest.mark.parametrize("foreign", ["named", "every"])
def test_directories_of_both_scopes_are_listed_together(gateway: RucioGateway, zoo: Zoo, foreign: str) -> None:
    scopes.use(ScopeRules(foreign=(zoo.other,) if foreign == "named" else ("*",)))
    put(gateway, zoo.own, zoo.path("a/f0"), zoo.path("a/both"))
    put(gateway, zoo.other, zoo.path("a/f1"), zoo.path("a/b/f2"), zoo.path("a/both"))
    (listing,) = directories.list_all(gateway, [zoo.path("a")], VO, details=True).done.values()
    both = f"{zoo.other}:{zoo.path('a/both')}"
    assert set(listing.files) == {zoo.path("a/f0"), zoo.path("a/both"), zoo.path("a/f1"), both}
    assert set(listing.directories) == {zoo.path("a/b")}
    assert set(listing.replicas) == set(listing.files) == set(listing.records)
    dump = directories.dump_all(gateway, [zoo.top], VO).done[zoo.top]
    assert set(dump.files) == {*listing.files, zoo.path("a/b/f2")}
    assert dump.directories == {zoo.path("a"), zoo.path("a/b")}
    assert files.stat_directories(gateway, [zoo.path("a/b")], VO).done == {zoo.path("a/b"): None}
    found = directories.replicas_in(gateway, [zoo.path("a/b")], VO).done[zoo.path("a/b")]
    assert found[zoo.path("a/b/f2")].did.scope == zoo.other
    assert set(files.replicas(gateway, dump.files).done) == set(dump.files)


def test_names_without_slashes() -> None:
    """CTAO's schema lets hardly any in; a Rucio with another policy, or from before it, has them."""
    gateway = FakeGateway()
    gateway.add_scope("old")
    dids = put(gateway, "old", "raw1", "raw2")
    data = Did("old", "rawdata")
    gateway.add_datasets([data])
    gateway.attach({data: dids})
    for written in (str(data), f"/{data}", f"lfn:{data}"):
        listing = directories.list_all(gateway, [written], VO, details=True).done[written]
        assert set(listing.files) == set(map(str, dids))
        assert files.kinds(gateway, [written], VO).done == {written: "directory"}
        assert directories.sizes(gateway, [written], VO, copies=True).done[written].copies == {DISK: (10, 2)}
        assert set(directories.dump_all(gateway, [written], VO).done[written].files) == set(map(str, dids))
    assert set(files.replicas(gateway, [str(dids[0]), f"/{dids[1]}"]).done) == {str(dids[0]), f"/{dids[1]}"}
    assert set(remove.remove_directories(gateway, [str(data)], VO).failed) == {str(data)}
    assert remove.remove_files(gateway, list(map(str, dids))).failed == {}
    assert remove.remove_directories(gateway, [str(data)], VO).failed == {}


def test_removal_in_another_scope(gateway: RucioGateway, zoo: Zoo) -> None:
    directory = zoo.path("gone")
    first, second = put(gateway, zoo.other, f"{directory}/f1", f"{directory}/f2")
    gateway.add_datasets([Did(zoo.other, directory), Did(zoo.other, zoo.path("set"))])
    gateway.attach({Did(zoo.other, directory): [first, second], Did(zoo.other, zoo.path("set")): [first]})
    gateway.add_rule([first], DISK)
    gateway.add_replicas("CNAF-DISK", [FileRecord(first, 5, adler32="0000abcd")])
    refused = remove.remove_copies(gateway, {second.name: DISK})
    assert set(refused.failed) == {second.name}
    assert remove.remove_copies(gateway, {first.name: "CNAF-DISK"}).failed == {}
    assert set(remove.remove_directories(gateway, [directory], VO).failed) == {directory}
    for _ in range(2):
        assert remove.remove_files(gateway, [first.name, second.name]).failed == {}
    assert remove.remove_directories(gateway, [directory], VO).failed == {}
    assert files.kinds(gateway, [first.name, directory], VO).done == {first.name: None, directory: None}


def test_a_mapping_gives_trees_scopes_of_their_own(gateway: RucioGateway, zoo: Zoo) -> None:
    scopes.use(ScopeRules(mapping=(Mapped(f"{zoo.top}/*/dark", zoo.other[:1] + "{1}"),)))
    word = zoo.other[1:]
    lfn = f"{zoo.top}/{word}/dark/f1"
    assert did_of(lfn) == Did(zoo.other, lfn)
    put(gateway, zoo.other, lfn)
    assert requests_of(gateway, lambda: files.stat_files(gateway, [lfn])) == 1
    assert set(tree.list_directory(gateway, f"{zoo.top}/{word}", VO).directories) == {f"{zoo.top}/{word}/dark"}
    assert [item.did.name for item in tree.walk_files(gateway, zoo.top, VO)] == [lfn]
    assert zoo.top in tree.list_directory(gateway, "/ctao", VO).directories


def test_the_algorithm_of_dirac(gateway: RucioGateway, zoo: Zoo) -> None:
    scopes.use(ScopeRules(Algorithm.DIRAC))
    lfn = zoo.path("a/f1")
    assert did_of("/ctao") == Did("ctao", "/ctao")
    assert did_of("/ctao/user/j/jane/f") == Did("user", "/ctao/user/j/jane/f")
    put(gateway, zoo.own, lfn)
    assert zoo.top in tree.list_directory(gateway, "/ctao", VO).directories
    assert set(tree.list_directory(gateway, zoo.path("a"), VO).files) == {lfn}
    assert set(files.kinds(gateway, ["/ctao", lfn], VO).done.values()) == {"directory", "file"}


def test_metadata_come_from_directories_of_both_scopes(gateway: RucioGateway, zoo: Zoo) -> None:
    directory, lfn = zoo.path("m"), zoo.path("m/f1")
    put(gateway, zoo.other, lfn)
    gateway.add_containers([did_of(zoo.top)])
    gateway.add_datasets([Did(zoo.other, directory)])
    gateway.set_metadata({did_of(zoo.top): {"site": "N", "k": 1}, Did(zoo.other, directory): {"k": 2}})
    assert metadata.of_file(gateway, lfn, {}) == {"site": "N", "k": 2}
    assert metadata.of_directory(gateway, directory, VO, {})[0] == {"site": "N", "k": 2}
