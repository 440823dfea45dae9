"""The data manager over a gateway and storage in memory, stopped at every line."""

from __future__ import annotations

import errno
import time
import types
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gfal2
import pytest
from DIRAC import S_ERROR, S_OK
from fake_gateway import FakeGateway

from CTARucioDIRAC.DataManagementSystem.Client.RucioDataManager import RucioDataManager
from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.identifiers import Did, did_of
from CTARucioDIRAC.gateway.protocol import FileRecord, ReplicaState

LFN = "/ctao/lst/out/file"
DISK = "PIC-DISK"


class Plugin:
    """What DIRAC's gfal2 plugins have that a storage element doesn't hand on: renaming."""

    def __init__(self, storage: Storage) -> None:
        self.protocolParameters = {"Protocol": "root"}
        self.ctx = self
        self.storage = storage
        self.refusal: int | None = None
        self.overwrites = True  # as XRootD does
        self.listed = 0
        self.ages: dict[str, float] = {}  #: seconds
        self.elsewhere: dict[str, bytes] = {}  # what is at addresses that no name gives

    def getFile(self, url: str, localPath: str) -> dict[str, Any]:
        if url not in self.elsewhere:
            return S_OK({"Successful": {}, "Failed": {url: "No such file"}})
        Path(localPath, url.rsplit("/", 1)[1]).write_bytes(self.elsewhere[url])
        return S_OK({"Successful": {url: len(self.elsewhere[url])}, "Failed": {}})

    def constructURLFromLFN(self, lfn: str, withWSUrl: bool = False) -> dict[str, Any]:
        return S_OK(f"root://host/{lfn}") if withWSUrl else S_ERROR("without WSUrl")

    def listdir(self, url: str) -> list[str]:
        self.listed += 1
        below = f"{url.removeprefix('root://host/')}/"
        names = [name.removeprefix(below) for name in self.storage.files if name.startswith(below)]
        if not names:
            raise gfal2.GError("no such directory", errno.ENOENT)
        return [name for name in names if "/" not in name]

    def stat(self, url: str) -> Any:
        name = url.removeprefix("root://host/")
        if name not in self.storage.files:
            raise gfal2.GError("gone", errno.ENOENT)
        return types.SimpleNamespace(st_mtime=time.time() - self.ages.get(name, 0))

    def rename(self, source: str, target: str) -> int:
        old, new = (url.removeprefix("root://host/") for url in (source, target))
        if self.refusal:
            raise gfal2.GError("refused", self.refusal)
        if new in self.storage.files and not self.overwrites:
            raise gfal2.GError("File exists", errno.EEXIST)
        self.storage.files[new] = self.storage.files.pop(old)
        return 0


class Storage:
    """A storage element in memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.files: dict[str, bytes] = {}
        self.valid = True
        self.checksums = True
        self.puts = 0
        self.damage = False
        self.away = False
        self.tape = False
        self.plugin = Plugin(self)
        self.storages = {"GFAL2_XROOT": self.plugin}
        self.localWriteProtocolList = ["root"]
        self.after_put: Callable[[], None] | None = None

    def isValid(self) -> dict[str, Any]:
        return S_OK() if self.valid else S_ERROR("storage is banned")

    def status(self) -> dict[str, Any]:
        return {"TapeSE": self.tape}

    def putFile(self, files: dict[str, str]) -> dict[str, Any]:
        self.puts += 1
        ((lfn, path),) = files.items()
        content = Path(path).read_bytes()
        self.files[lfn] = b"damaged" if self.damage else content
        if self.after_put:
            act, self.after_put = self.after_put, None
            act()
        return S_OK({"Successful": {lfn: len(content)}, "Failed": {}})

    def getFileMetadata(self, lfn: str) -> dict[str, Any]:
        if self.away:
            return S_OK({"Successful": {}, "Failed": {lfn: "Operation timed out"}})
        if lfn not in self.files:
            return S_OK({"Successful": {}, "Failed": {lfn: "No such file"}})
        content = self.files[lfn]
        found = {"Size": len(content)}
        if self.checksums:
            found["Checksum"] = f"{zlib.adler32(content):X}"  # as storages do: capitals, no leading zeros
        return S_OK({"Successful": {lfn: found}, "Failed": {}})

    def exists(self, lfn: str) -> dict[str, Any]:
        if self.away:
            return S_OK({"Successful": {}, "Failed": {lfn: "Operation timed out"}})
        return S_OK({"Successful": {lfn: lfn in self.files}, "Failed": {}})

    def removeFile(self, lfn: str) -> dict[str, Any]:
        self.files.pop(lfn, None)
        return S_OK({"Successful": {lfn: True}, "Failed": {}})

    def getFile(self, lfn: str, localPath: str) -> dict[str, Any]:
        if self.away:
            Path(localPath, lfn.rsplit("/", 1)[1]).write_bytes(self.files[lfn][:2])
            return S_OK({"Successful": {}, "Failed": {lfn: "Operation timed out"}})
        if lfn not in self.files:
            return S_OK({"Successful": {}, "Failed": {lfn: "No such file"}})
        Path(localPath, lfn.rsplit("/", 1)[1]).write_bytes(self.files[lfn])
        return S_OK({"Successful": {lfn: len(self.files[lfn])}, "Failed": {}})


class World:
    def __init__(self, path: Path) -> None:
        self.fake = FakeGateway()
        self.storages: dict[str, Storage] = {}
        self.manager = RucioDataManager("ctao", gateway=lambda: self.fake, storage=self.storage)
        self.local = path / "file"
        self.local.write_bytes(b"content")
        self.target = path / "target"
        self.target.mkdir()

    def storage(self, name: str) -> Storage:
        return self.storages.setdefault(name, Storage(name))

    def put(self, **options: Any) -> dict[str, Any]:
        return dict(self.manager.put_and_register(LFN, self.local, DISK, **options))

    def states(self) -> dict[str, ReplicaState]:
        found = self.fake.list_replicas([did_of(LFN)], all_states=True)
        return {r.rse: r.state for file in found.values() for r in file.replicas}

    def complete(self) -> bool:
        """Copy, rule and place are there, and the storage has what is registered."""
        did = did_of(LFN)
        (rule,) = self.fake.list_rules_on_file(did)
        (place,) = self.fake.list_parents(did)
        record = self.fake.get_dids([did])[did]
        same = record.adler32 == f"{zlib.adler32(self.storages[DISK].files[LFN]):08x}"
        return rule.rse_expression == DISK and place.did == did_of("/ctao/lst/out") and same


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    class NoSites:
        def __init__(self, vo: str) -> None:
            self.vo = vo

        def getSEsAtSite(self, _site: str) -> dict[str, Any]:
            return S_OK([])

    module = "CTARucioDIRAC.DataManagementSystem.Client.RucioDataManager"
    monkeypatch.setattr(f"{module}.DMSHelpers", NoSites)
    return World(tmp_path)


def test_upload(world: World) -> None:
    result = world.put(metadata={"run": 1})
    assert result["OK"], result
    assert result["Value"] == {"Size": 7, "Checksum": f"{zlib.adler32(b'content'):08x}", "Uploaded": True}
    assert world.complete()
    assert world.fake.get_metadata([did_of(LFN)])[did_of(LFN)] == {"run": 1}


def test_the_same_again_uploads_nothing(world: World) -> None:
    world.put()
    result = world.put()
    assert result["Value"]["Uploaded"] is False
    assert world.storages[DISK].puts == 1
    assert world.complete()


def test_other_content_is_refused_before_the_storage_is_touched(world: World) -> None:
    world.put()
    world.local.write_bytes(b"something else")
    result = world.put()
    assert not result["OK"]
    assert f"{zlib.adler32(b'content'):08x}" in result["Message"]
    assert world.storages[DISK].files[LFN] == b"content"
    assert not world.manager.putAndRegister(LFN, str(world.local), "CNAF-DISK", overwrite=True)["OK"]
    assert "CNAF-DISK" not in world.storages


def test_a_leftover_is_replaced(world: World) -> None:
    world.storage(DISK).files[LFN] = b"half of an old"
    assert world.put()["Value"]["Uploaded"]
    assert world.storages[DISK].files[LFN] == b"content"
    assert world.complete()


def test_the_very_same_leftover_is_taken(world: World) -> None:
    world.storage(DISK).files[LFN] = b"content"
    assert world.put()["OK"]
    assert world.storages[DISK].puts == 0
    assert world.complete()


def test_what_arrives_damaged_is_not_registered(world: World) -> None:
    world.storage(DISK).damage = True
    assert "differs" in world.put()["Message"]
    assert world.fake.get_dids([did_of(LFN)]) == {}


def test_a_storage_without_checksums_is_refused(world: World) -> None:
    world.storage(DISK).checksums = False
    assert "ChecksumType" in world.put()["Message"]
    assert world.fake.get_dids([did_of(LFN)]) == {}


@pytest.mark.parametrize("verb", ["add_scope", "add_replicas", "add_rule", "add_datasets", "attach", "set_metadata"])
def test_stopped_anywhere_the_same_call_completes_it(world: World, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    real = getattr(FakeGateway, verb)
    calls = []

    def once(self: FakeGateway, *args: Any, **kwargs: Any) -> Any:
        calls.append(verb)
        if len(calls) == 1:
            raise errors.Unavailable("stopped")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(FakeGateway, verb, once)
    assert not world.put(metadata={"run": 1})["OK"]
    assert world.put(metadata={"run": 1})["OK"]
    assert world.complete()
    assert world.storages[DISK].puts == 1
    assert world.fake.get_metadata([did_of(LFN)])[did_of(LFN)] == {"run": 1}


def test_bytes_overwritten_by_somebody_else_are_never_left_as_good(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FakeGateway.add_replicas

    def meanwhile(self: FakeGateway, *args: Any, **kwargs: Any) -> None:
        world.storages[DISK].files[LFN] = b"of another job"
        real(self, *args, **kwargs)

    monkeypatch.setattr(FakeGateway, "add_replicas", meanwhile)
    assert "overwritten" in world.put()["Message"]
    assert world.states() == {DISK: ReplicaState.BAD}


def another(world: World, content: bytes = b"of another job") -> Callable[[], None]:
    """The same output, made by another attempt."""

    def put() -> None:
        path = world.local.with_name("other")
        path.write_bytes(content)
        result = world.manager.put_and_register(LFN, path, DISK)
        assert result["OK"], result

    return put


def leftovers(world: World) -> set[str]:
    return set(world.storages[DISK].files) - {LFN}


@pytest.mark.parametrize("refusal", [None, errno.EACCES, errno.ENOSYS])
def test_a_second_attempt_never_overwrites_a_registered_output(world: World, refusal: int | None) -> None:
    world.storage(DISK).plugin.refusal = refusal
    world.storage(DISK).after_put = another(world)
    assert "registered with other content" in world.put()["Message"]
    assert world.complete()
    assert world.storages[DISK].files == {LFN: b"of another job"}
    assert world.states() == {DISK: ReplicaState.AVAILABLE}


def test_the_same_output_of_two_attempts_is_one_file(world: World) -> None:
    world.storage(DISK).after_put = another(world, b"content")
    assert world.put()["OK"]
    assert world.complete()
    assert world.storages[DISK].files == {LFN: b"content"}


def test_an_upload_that_breaks_off_harms_nobody(world: World) -> None:
    put = Storage.putFile

    class Broken(Storage):
        def putFile(self, files: dict[str, str]) -> dict[str, Any]:
            put(self, files)
            del self.files[next(iter(files))]  # as gfal2 does
            return S_OK({"Successful": {}, "Failed": dict.fromkeys(files, "connection lost")})

    world.put()
    world.storages[DISK].__class__ = Broken
    world.fake.set_replica_states(DISK, {did_of(LFN): ReplicaState.UNAVAILABLE})
    world.storages[DISK].files[LFN] = b"good, but unknown"
    assert "connection lost" in world.put()["Message"]
    assert world.storages[DISK].files == {LFN: b"good, but unknown"}


def test_a_storage_that_refuses_to_replace(world: World) -> None:
    world.storage(DISK).plugin.overwrites = False
    world.storages[DISK].files[LFN] = b"half of an old"
    assert world.put()["OK"]
    assert world.complete()
    assert not leftovers(world)


@pytest.mark.parametrize("how", ["refuses", "tape", "no gfal2"])
def test_a_storage_without_renaming(world: World, how: str) -> None:
    storage = world.storage(DISK)
    storage.files[LFN] = b"half of an old"
    if how == "refuses":
        storage.plugin.refusal = errno.EPERM
    elif how == "tape":
        storage.tape = True
    else:
        del storage.plugin.ctx
    assert world.put()["OK"]
    assert world.complete()
    assert not leftovers(world)
    assert storage.puts == (2 if how == "refuses" else 1)


def test_a_renaming_that_fails_leaves_nothing(world: World) -> None:
    world.storage(DISK).plugin.refusal = errno.ETIMEDOUT
    assert "can't be renamed" in world.put()["Message"]
    assert world.storages[DISK].files == {}
    assert world.states() == {}
    world.storages[DISK].plugin.refusal = None
    assert world.put()["OK"]
    assert world.complete()


def test_who_overwrites_at_the_last_moment_marks_the_copy_as_bad(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Plugin.rename

    def late(self: Plugin, source: str, target: str) -> int:
        monkeypatch.setattr(Plugin, "rename", real)
        another(world)()  # after our last look, before our renaming
        return real(self, source, target)

    monkeypatch.setattr(Plugin, "rename", late)
    assert "registered with other content" in world.put()["Message"]
    assert world.states() == {DISK: ReplicaState.BAD}
    assert not leftovers(world)


def test_what_was_renamed_and_belongs_to_nobody_is_removed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Plugin.rename

    def late(self: Plugin, source: str, target: str) -> int:
        world.fake.add_scope("lst")
        world.fake.add_replicas("CNAF-DISK", [FileRecord(did_of(LFN), 3, adler32="0000abcd")])
        return real(self, source, target)

    monkeypatch.setattr(Plugin, "rename", late)
    assert "registered with other content" in world.put()["Message"]
    assert world.storages[DISK].files == {}
    assert world.states() == {"CNAF-DISK": ReplicaState.AVAILABLE}


def test_a_storage_that_does_not_answer_marks_nothing_as_bad(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FakeGateway.attach

    def away(self: FakeGateway, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        world.storages[DISK].away = True

    monkeypatch.setattr(FakeGateway, "attach", away)
    assert "timed out" in world.put()["Message"]
    assert world.states() == {DISK: ReplicaState.AVAILABLE}
    world.storages[DISK].away = False
    assert world.put()["OK"]


def test_a_banned_storage_an_empty_file_a_missing_file(world: World) -> None:
    world.storage(DISK).valid = False
    assert "banned" in world.put()["Message"]
    world.local.write_bytes(b"")
    assert "empty" in world.put()["Message"]
    world.local.unlink()
    assert "can't be read" in world.put()["Message"]
    assert world.fake.get_dids([did_of(LFN)]) == {}


def test_a_copy_that_is_being_deleted_is_waited_for(world: World) -> None:
    world.put()
    world.fake.set_replica_states(DISK, {did_of(LFN): ReplicaState.BEING_DELETED})
    assert "being deleted" in world.put()["Message"]


def test_further_datasets(world: World) -> None:
    world.fake.add_scope("lst")
    world.fake.add_datasets([did_of("/ctao/lst/campaign")])
    assert world.put(datasets=["/ctao/lst/campaign"])["OK"]
    assert [item.did for item in world.fake.list_content(did_of("/ctao/lst/campaign"))] == [did_of(LFN)]


def test_download(world: World) -> None:
    world.put()
    result = world.manager.getFile([LFN, "/ctao/lst/no"], destinationDir=str(world.target))
    assert result["Value"]["Successful"] == {LFN: str(world.target / "file")}
    assert result["Value"]["Failed"] == {"/ctao/lst/no": "No such file or directory"}
    assert (world.target / "file").read_bytes() == b"content"
    assert world.manager.getFile(LFN, destinationDir=str(world.target))["Value"]["Failed"] == {}


def test_a_damaged_copy_is_passed_over(world: World) -> None:
    world.put()
    world.manager.put_and_register(LFN, world.local, "CNAF-DISK")
    world.storages["CNAF-DISK"].files[LFN] = b"CONTENT"
    result = world.manager.getFile(LFN, destinationDir=str(world.target))
    assert result["Value"]["Failed"] == {}
    assert (world.target / "file").read_bytes() == b"content"
    world.storages[DISK].files[LFN] = b"cont"
    reason = world.manager.getFile(LFN, destinationDir=str(world.target))["Value"]["Failed"][LFN]
    assert "CNAF-DISK: its adler32 is" in reason
    assert "PIC-DISK: it has 4 bytes" in reason
    assert {path.name: path.read_bytes() for path in world.target.iterdir()} == {"file": b"content"}


def test_a_failed_download_leaves_local_files_alone(world: World) -> None:
    world.put()
    world.storages[DISK].away = True
    (world.target / "file").write_bytes(b"mine")
    assert "timed out" in world.manager.getFile(LFN, str(world.target))["Value"]["Failed"][LFN]
    assert {path.name: path.read_bytes() for path in world.target.iterdir()} == {"file": b"mine"}
    world.storages[DISK].away = False
    assert world.manager.getFile(LFN, str(world.target / "new" / "directory"))["Value"]["Failed"] == {}
    assert world.manager.getFile([LFN, LFN], str(world.target))["Value"]["Failed"] == {}
    assert (world.target / "file").read_bytes() == b"content"


def test_a_copy_is_read_from_where_it_is_registered(world: World) -> None:
    world.put()
    content = world.storages[DISK].files.pop(LFN)
    did = did_of(LFN)
    (address,) = world.fake.list_replicas([did])[did].replicas[0].pfns
    world.storages[DISK].plugin.elsewhere[address] = content
    assert world.manager.getFile(LFN, str(world.target))["Value"]["Failed"] == {}
    assert (world.target / "file").read_bytes() == b"content"


def test_a_name_that_is_no_path_is_read_from_where_it_is_registered(world: World) -> None:
    world.fake.add_scope("old")
    did = Did("old", "raw1")
    world.fake.add_replicas(DISK, [FileRecord(did, 3, adler32=f"{zlib.adler32(b'abc'):08x}")])
    world.storage(DISK).plugin.elsewhere["root://pic-disk/raw1"] = b"abc"
    assert world.manager.getFile("old:raw1", str(world.target))["Value"]["Failed"] == {}
    assert (world.target / "raw1").read_bytes() == b"abc"


def test_files_of_one_name_are_refused(world: World) -> None:
    world.put()
    twin = "/ctao/lst/other/file"
    assert world.manager.put_and_register(twin, world.local, DISK)["OK"]
    result = world.manager.getFile([LFN, twin, "/ctao/lst/no"], str(world.target))["Value"]
    assert result["Successful"] == {}
    assert "have the name file" in result["Failed"][LFN] and "have the name file" in result["Failed"][twin]
    assert list(world.target.iterdir()) == []


def test_the_source_can_be_chosen(world: World) -> None:
    world.put()
    failed = world.manager.getFile(LFN, str(world.target), sourceSE="CNAF-DISK")["Value"]["Failed"]
    assert "it has some at PIC-DISK" in failed[LFN]
    assert world.manager.getFile(LFN, str(world.target), sourceSE=DISK)["Value"]["Failed"] == {}


def test_tape_is_read_last_or_never(world: World) -> None:
    world.fake.add_scope("lst")
    world.fake.add_replicas("PIC-TAPE", [FileRecord(did_of(LFN), 7, adler32=f"{zlib.adler32(b'content'):08x}")])
    world.storage("PIC-TAPE").files[LFN] = b"content"
    assert "no readable copy" in world.manager.getFile(LFN, str(world.target), diskOnly=True)["Value"]["Failed"][LFN]
    assert world.manager.getFile(LFN, str(world.target))["Value"]["Failed"] == {}


def test_md5_only(world: World) -> None:
    world.fake.add_scope("lst")
    good, bad = "9a0364b9e99bb480dd25e1f0284c8555", "0" * 32
    for lfn, md5 in ((LFN, good), (f"{LFN}2", bad)):
        world.fake.add_replicas(DISK, [FileRecord(did_of(lfn), 7, md5=md5)])
        world.storage(DISK).files[lfn] = b"content"
    result = world.manager.getFile([LFN, f"{LFN}2"], str(world.target))
    assert set(result["Value"]["Successful"]) == {LFN}
    assert "md5" in result["Value"]["Failed"][f"{LFN}2"]


def test_staging(world: World) -> None:
    world.put()
    for what in (LFN, [LFN], "/ctao/lst/out"):
        result = world.manager.stage(what, "PIC-BUFFER", source=DISK, lifetime=60)
        again = world.manager.stage(what, "PIC-BUFFER", source=DISK, lifetime=60)
        assert result["OK"], result
        assert result["Value"] == again["Value"]
    rules = {rule.did.name: rule for rule in world.fake.list_rules(rse_expression="PIC-BUFFER")}
    assert set(rules) == {LFN, "/ctao/lst/out"}
    assert rules[LFN].source_replica_expression == DISK
    assert rules[LFN].activity == "Staging"
    assert rules[LFN].expires_at is not None
    assert "no such DID" in world.manager.stage("/ctao/lst/no", "PIC-BUFFER")["Message"]
    assert not world.manager.stage(LFN, "PIC-BUFFER", lifetime=0)["OK"]
    assert not world.manager.stage(LFN, "NOSUCH")["OK"]


def test_staging_never_makes_an_old_copy_deletable(world: World) -> None:
    world.put()
    world.fake.add_replicas("PIC-BUFFER", [FileRecord(did_of(LFN), 7)])
    assert "no rule holds" in world.manager.stage(LFN, "PIC-BUFFER", lifetime=60)["Message"]
    world.fake.add_rule([did_of(LFN)], "PIC-BUFFER")
    assert world.manager.stage("/ctao/lst/out", "PIC-BUFFER", lifetime=60)["OK"]


def test_constructing_does_nothing() -> None:
    def fail(*_: object) -> Any:
        raise AssertionError("asked for before it was needed")

    RucioDataManager("ctao", gateway=fail, storage=fail)


def test_what_killed_uploads_left_is_cleaned(world: World) -> None:
    """Old parts of the same file by the next upload, all old ones by asking for it; never a young one."""
    directory = LFN.rsplit("/", 1)[0]
    names = [f"{LFN}.{digit * 32}.part" for digit in "abc"] + [f"{directory}/other.{'d' * 32}.part"]
    storage = world.storage(DISK)
    storage.files |= dict.fromkeys([*names, f"{directory}/x.part"], b"half of")
    storage.plugin.ages = dict.fromkeys((names[0], names[3]), 100_000.0)
    assert world.manager.clean_uploads(DISK, directory, dry_run=True)["Value"] == {
        "Successful": {names[0]: pytest.approx(100_000, abs=60), names[3]: pytest.approx(100_000, abs=60)},
        "Failed": {},
    }
    assert len(storage.files) == 5
    assert world.manager.put_and_register(LFN, world.local, DISK)["OK"]
    assert set(storage.files) == {LFN, *names[1:], f"{directory}/x.part"}
    assert set(world.manager.clean_uploads(DISK, f"{directory}/", older_than=0)["Value"]["Successful"]) == set(
        names[1:]
    )
    assert set(storage.files) == {LFN, f"{directory}/x.part"}
    assert world.manager.clean_uploads(DISK, "/ctao/nothing/here")["Value"] == {"Successful": {}, "Failed": {}}
