"""The storage plugins that leave registered files to Rucio, and how the catalogue plays its part in DIRAC's removals."""

from __future__ import annotations

import errno
import stat
import types
import uuid
import zlib
from pathlib import Path
from typing import Any

import gfal2
import pytest
from catalog_helpers import OPTIONS
from DIRAC.Core.Utilities.ObjectLoader import ObjectLoader
from fake_gateway import FakeGateway

from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import Identity, acting_as
from CTARucioDIRAC.DataManagementSystem.Service.RucioFileCatalogHandler import _ServedCatalogue
from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import Did, did_of
from CTARucioDIRAC.gateway.connection import ProxyCredential
from CTARucioDIRAC.gateway.protocol import FileRecord, ReplicaState, RucioGateway
from CTARucioDIRAC.Resources.Catalog.CTARucioFileCatalogClient import CTARucioFileCatalogClient
from CTARucioDIRAC.Resources.Storage.CTARucio_HTTPSStorage import CTARucio_HTTPSStorage
from CTARucioDIRAC.Resources.Storage.CTARucio_XROOTStorage import CTARucio_XROOTStorage
from CTARucioDIRAC.usecases import register, remove

RSE, OTHER = "PIC-DISK", "CNAF-DISK"
TOP = "/ctao/lst"
NOTHING_THERE = "No such file or directory"


class Gfal:
    """gfal2's context on a storage in memory, by address; directories are there with the files below them."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.directories: set[str] = set()

    def set_opt_boolean(self, *_: Any) -> None: ...
    def set_opt_integer(self, *_: Any) -> None: ...
    def get_opt_boolean(self, *_: Any) -> bool:
        return False

    def stat(self, url: str) -> Any:
        directory = url in self.directories
        if not directory and url not in self.files:
            raise gfal2.GError("not there", errno.ENOENT)
        mode = stat.S_IFDIR if directory else stat.S_IFREG
        return types.SimpleNamespace(
            st_mode=mode | 0o755, st_size=self.files.get(url, 0), st_nlink=1, st_ino=1, st_uid=0, st_gid=0,
            st_atime=0, st_mtime=0, st_ctime=0,
        )  # fmt: skip

    def checksum(self, *_: Any) -> str:
        return "0000abcd"

    def listdir(self, url: str) -> list[str]:
        self.stat(url)
        return [n.removeprefix(f"{url}/") for n in (*self.files, *self.directories) if n.rpartition("/")[0] == url]

    def unlink(self, url: str) -> None:
        self.stat(url)
        del self.files[url]

    def rmdir(self, url: str) -> None:
        if self.listdir(url):
            raise gfal2.GError("not empty", errno.ENOTEMPTY)
        self.directories.remove(url)

    def transfer_parameters(self) -> Any:
        return types.SimpleNamespace(set_checksum=lambda *_: None)

    def filecopy(self, _: Any, source: str, target: str) -> None:
        self.files[target] = Path(source.removeprefix("file://")).stat().st_size


@pytest.fixture
def rucio(fake: FakeGateway) -> FakeGateway:
    """One file with a rule, one that BDMS brought in, one that is elsewhere only."""
    fake.scopes |= {"lst", "strange"}
    register.add_files(fake, [register.NewFile(f"{TOP}/ruled", record("ruled"), RSE)])
    fake.add_replicas(RSE, [record("bare")])
    fake.add_replicas(OTHER, [record("elsewhere")])
    return fake


def record(name: str, **more: Any) -> FileRecord:
    return FileRecord(did_of(f"{TOP}/{name}"), 5, **({"adler32": "0000abcd"} | more))


@pytest.fixture(params=[CTARucio_XROOTStorage, CTARucio_HTTPSStorage])
def plugin(request: pytest.FixtureRequest, rucio: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(gfal2, "creat_context", Gfal)
    protocol, path = ("root", "/") if request.param is CTARucio_XROOTStorage else ("davs", "/base")
    before = rucio.requests
    made = request.param(
        "another-name", {"Protocol": protocol, "Host": "host", "Port": "1094", "Path": path, "Access": "remote"}
    )
    made.setStorageElement(types.SimpleNamespace(name=RSE, vo="ctao"))
    made.gateway = lambda: rucio
    assert rucio.requests == before
    return made


def url(plugin: Any, name: str) -> str:
    result = plugin.constructURLFromLFN(f"{TOP}/{name}", withWSUrl=True)
    assert result["OK"], result
    return str(result["Value"])


def put(plugin: Any, *names: str) -> list[str]:
    addresses = [url(plugin, name) for name in names]
    plugin.ctx.files |= dict.fromkeys(addresses, 5)
    plugin.ctx.directories |= {address.rpartition("/")[0] for address in addresses}
    return addresses


@pytest.mark.parametrize("reloads", [0, 1, 2])
@pytest.mark.parametrize("name", ["CTARucio_XROOT", "CTARucio_HTTPS"])
def test_dirac_finds_the_plugins_in_either_order(name: str, reloads: int) -> None:
    loader = ObjectLoader()
    for _ in range(reloads):
        loader.reloadRootModules()
    assert loader.loadObject(f"Resources.Storage.{name}Storage")["OK"]


def test_only_leftovers_are_deleted(plugin: Any, rucio: FakeGateway) -> None:
    ruled, bare, elsewhere, left, gone = addresses = put(plugin, "ruled", "bare", "elsewhere", "left", "gone")
    del plugin.ctx.files[gone]
    before = rucio.requests
    answer = plugin.removeFile(addresses)["Value"]
    assert rucio.requests - before <= 5
    assert answer["Successful"] == dict.fromkeys([elsewhere, left, gone], True)
    assert set(answer["Failed"]) == {ruled, bare} == set(plugin.ctx.files)
    assert all(NOTHING_THERE in reason for reason in answer["Failed"].values())  # else DataManager stops here


def test_a_copy_in_a_scope_that_paths_do_not_tell(plugin: Any, rucio: FakeGateway) -> None:
    rucio.add_replicas(RSE, [FileRecord(Did("strange", f"{TOP}/strange"), 5, adler32="0000abcd")])
    (address,) = put(plugin, "strange")
    assert set(plugin.removeFile([address])["Value"]["Failed"]) == {address}
    assert plugin.ctx.files


def test_copies_in_any_state_stay(plugin: Any, rucio: FakeGateway) -> None:
    rucio.set_replica_states(RSE, {did_of(f"{TOP}/bare"): ReplicaState.BAD})
    remove.remove_files(rucio, [f"{TOP}/ruled"])
    put(plugin, "ruled", "bare")
    assert set(plugin.removeFile(list(plugin.ctx.files))["Value"]["Failed"]) == set(plugin.ctx.files)
    assert len(plugin.ctx.files) == 2


@pytest.mark.parametrize("error", [errors.Unavailable("away"), errors.NotAuthenticated(f"proxy: {NOTHING_THERE}")])
def test_without_an_answer_nothing_happens(plugin: Any, tmp_path: Path, error: errors.CtaRucioError) -> None:
    def away() -> RucioGateway:
        raise error

    plugin.gateway = away
    addresses = put(plugin, "ruled", "left")
    for answer in (plugin.removeFile(addresses), plugin.putFile({url(plugin, "new"): str(local(tmp_path))})):
        assert answer["Value"]["Successful"] == {}
        assert all("refused" in why and NOTHING_THERE not in why for why in answer["Value"]["Failed"].values())
    assert "files stay" in str(plugin.removeDirectory(addresses[0].rpartition("/")[0])["Value"]["Failed"])
    assert set(plugin.ctx.files) == set(addresses)


def test_a_storage_element_that_is_no_rse_is_left_alone(plugin: Any) -> None:
    plugin.setStorageElement(types.SimpleNamespace(name="NOSUCH-DISK", vo="ctao"))
    (left,) = put(plugin, "left")
    assert "refused" in plugin.removeFile(left)["Value"]["Failed"][left]
    assert plugin.ctx.files


def test_addresses_that_have_no_lfn_are_refused(plugin: Any) -> None:
    for strange in ("root://other//ctao/lst/left", f"{url(plugin, 'a')}/../../x", f"{url(plugin, 'with space')} x"):
        plugin.ctx.files[strange] = 5
        assert "refused" in plugin.removeFile(strange)["Value"]["Failed"][strange]
    assert len(plugin.ctx.files) == 3


def local(path: Path, content: bytes = b"hello") -> Path:
    target = path / uuid.uuid4().hex
    target.write_bytes(content)
    return target


def test_registered_bytes_are_not_replaced(plugin: Any, rucio: FakeGateway, tmp_path: Path) -> None:
    mine, other = local(tmp_path), local(tmp_path, b"other")
    rucio.add_replicas(
        RSE, [record("waiting", adler32=f"{zlib.adler32(b'hello'):08x}", state=ReplicaState.UNAVAILABLE)]
    )
    remove.remove_files(rucio, [f"{TOP}/ruled"])
    names = {name: url(plugin, name) for name in ("ruled", "bare", "waiting", "elsewhere", "left")}
    answer = plugin.putFile(dict.fromkeys(names.values(), str(other)))["Value"]
    assert set(answer["Successful"]) == {names["elsewhere"], names["left"]}
    assert "isn't gone" in answer["Failed"][names["ruled"]] or "about to delete" in answer["Failed"][names["ruled"]]
    assert "AVAILABLE" in answer["Failed"][names["bare"]]
    assert "other content" in answer["Failed"][names["waiting"]]
    assert plugin.putFile({names["waiting"]: str(mine)})["Value"]["Successful"] == {names["waiting"]: 5}
    third_party = plugin.putFile({names["waiting"]: "root://elsewhere//f"}, sourceSize=5)["Value"]
    assert "Rucio itself" in third_party["Failed"][names["waiting"]]


def test_directories_lose_only_leftovers(plugin: Any, rucio: FakeGateway) -> None:
    put(plugin, "left", "sub/left", "sub/deep/left", "sub/deep/registered")
    rucio.add_replicas(RSE, [record("sub/deep/registered")])
    top = url(plugin, "left").rpartition("/")[0]
    answer = plugin.removeDirectory(top, recursive=True)["Value"]
    assert "registered in Rucio" in answer["Failed"][top]
    assert set(plugin.ctx.files) == {url(plugin, "sub/deep/registered")}
    remove.remove_files(rucio, [f"{TOP}/sub/deep/registered"])
    assert plugin.removeDirectory(top, recursive=True)["Value"]["Failed"] == {}  # Rucio is about to come by
    assert plugin.ctx.files
    plugin.ctx.files.clear()
    assert plugin.removeDirectory(top, recursive=True)["Value"]["Failed"] == {}
    assert not plugin.ctx.directories


# ------------------------------------------------------------------------------- removal of files as a whole


@pytest.fixture
def catalogue(rucio: FakeGateway, catalog: CTARucioFileCatalogClient) -> CTARucioFileCatalogClient:
    assert rucio.copies
    return catalog


LFN = f"{TOP}/ruled"


def as_data_manager_removes_a_file(catalogue: CTARucioFileCatalogClient) -> list[dict[str, Any]]:
    catalogue.exists([LFN])
    catalogue.hasAccess([LFN], "removeFile")
    there = catalogue.getReplicas([LFN], allStatus=True)["Value"]["Successful"][LFN]
    done = []
    for rse in sorted(there):
        catalogue.hasAccess([LFN], "removeReplica")
        done.append(catalogue.removeReplica({LFN: {"SE": rse, "PFN": ""}}))
    return [*done, catalogue.removeFile([LFN])]


def rules_without_end(rucio: FakeGateway) -> list[str]:
    return sorted(r.rse_expression for r in rucio.rules.values() if r.did == did_of(LFN) and r.expires_at is None)


def test_a_file_is_removed_as_a_whole(catalogue: CTARucioFileCatalogClient, rucio: FakeGateway) -> None:
    register.add_copies(rucio, {LFN: OTHER})
    answers = as_data_manager_removes_a_file(catalogue)
    assert [answer["Value"]["Failed"] for answer in answers] == [{}, {}, {}]
    assert catalogue.exists([LFN])["Value"]["Successful"] == {LFN: False}
    rucio.clean()
    assert did_of(LFN) not in rucio.copies


def test_a_file_that_may_not_go_loses_no_copy(catalogue: CTARucioFileCatalogClient, rucio: FakeGateway) -> None:
    register.add_copies(rucio, {LFN: OTHER})
    ((_, rule_id),) = rucio.add_rule([did_of(TOP)], OTHER).items()
    *_, last = as_data_manager_removes_a_file(catalogue)
    assert rule_id in last["Value"]["Failed"][LFN]
    assert rules_without_end(rucio) == [OTHER, RSE]


def test_removals_of_copies_are_told_apart(catalogue: CTARucioFileCatalogClient, rucio: FakeGateway) -> None:
    """Also after a removal of the file was given up in the middle."""

    def remove_copy() -> dict[str, str]:
        return dict(catalogue.removeReplica({LFN: {"SE": RSE}})["Value"]["Failed"])

    catalogue.hasAccess([LFN], "removeFile")
    assert "last one" in remove_copy()[LFN]
    catalogue.getReplicas([LFN], allStatus=True)
    assert remove_copy() == {}  # not done, but left for removeFile …
    assert rules_without_end(rucio) == [RSE]
    catalogue.hasAccess([LFN], "removeReplica")  # … which doesn't come: DataManager.removeReplica begins
    catalogue.getReplicas([LFN], allStatus=True)
    assert "last one" in remove_copy()[LFN]
    catalogue.hasAccess([LFN], "removeFile")
    catalogue.hasAccess([LFN], "removeReplica")
    catalogue.getReplicas([LFN], allStatus=True)
    assert "last one" in remove_copy()[LFN]
    as_data_manager_removes_a_file(catalogue)
    assert catalogue.removeReplica({LFN: {"SE": RSE}})["Value"]["Failed"] == {LFN: NOTHING_THERE}


def test_the_service_knows_a_removal_by_its_user(catalogue: CTARucioFileCatalogClient, rucio: FakeGateway) -> None:
    """It makes a catalogue for each call."""
    assert catalogue.exists([LFN])["OK"]
    credential = ProxyCredential(Path("/no/proxy"))
    manager, other = (Identity(name, "ctao_data", "ctaodata", credential) for name in ("pdata", "puser"))

    def ask(who: Identity, method: str, *arguments: Any) -> Any:
        with acting_as(who):
            return getattr(_ServedCatalogue(**OPTIONS), method)(*arguments)["Value"]

    ask(manager, "hasAccess", [LFN], "removeFile")
    ask(manager, "getReplicas", [LFN], True)
    assert "last one" in ask(other, "removeReplica", {LFN: {"SE": RSE}})["Failed"][LFN]
    assert ask(manager, "removeReplica", {LFN: {"SE": RSE}})["Successful"] == {LFN: True}
    assert rules_without_end(rucio) == [RSE]
    assert ask(manager, "removeFile", [LFN])["Successful"] == {LFN: True}
    assert "last one" not in str(ask(manager, "removeReplica", {LFN: {"SE": RSE}}))
