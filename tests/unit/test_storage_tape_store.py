"""The nearline endpoint's files: what may happen to them, and what a kill or a busy client may not break."""

import json
import os

import pytest

from CTARucioDIRAC.testbed.tape_store import FileState, Interrupted, TapeError, TapeStore, clean_name

NAME = "ctao/dl0/a"
CONTENT = b"0123456789" * 1000


@pytest.fixture
def store(tmp_path):
    made = TapeStore(tmp_path / "buffer", tmp_path / "library", tmp_path / "work")
    made.prepare()
    return made


@pytest.fixture
def online(store):
    path = store.buffer / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def offline(store, online):
    assert store.archive(NAME) == len(CONTENT)
    assert store.purge(NAME)
    return online


def leftovers(store):
    return [path.name for folder in ("copies", "swaps") for path in (store.work / folder).iterdir()]


def test_a_file_goes_through_its_states(store, online):
    assert store.state(NAME) is FileState.DISK
    before = online.stat()
    assert store.archive(NAME) == len(CONTENT)
    assert store.state(NAME) is FileState.ARCHIVED
    assert store.purge(NAME)
    assert store.state(NAME) is FileState.OFFLINE
    assert online.is_symlink()
    assert online.stat().st_size == len(CONTENT)
    assert store.recall(NAME) == len(CONTENT)
    assert store.state(NAME) is FileState.ARCHIVED
    assert online.read_bytes() == CONTENT
    assert online.stat().st_mtime_ns == before.st_mtime_ns
    assert leftovers(store) == []
    assert store.state("ctao/dl0") is store.state("none") is store.state(NAME + "/below") is FileState.ABSENT


def test_an_empty_file_is_archived_too(store):
    (store.buffer / "empty").touch()
    assert store.archive("empty") == 0
    assert store.purge("empty")
    assert store.recall("empty") == 0
    assert store.state("empty") is FileState.ARCHIVED


def test_an_overwritten_file_is_not_archived_any_more(store, online):
    store.archive(NAME)
    online.write_bytes(CONTENT[::-1])
    assert store.state(NAME) is FileState.DISK
    assert not store.purge(NAME)
    store.archive(NAME)
    assert (store.library / NAME).read_bytes() == CONTENT[::-1]


def test_what_is_being_written_is_left_alone(store, online):
    with online.open("ab"):
        assert not store.complete(NAME)
        assert store.archive(NAME) is None
    assert store.complete(NAME)
    online.chmod(0o1644)  # XRootD's mark of an upload that is not closed
    assert not store.complete(NAME)
    assert leftovers(store) == []


@pytest.mark.parametrize("mode", ["rb", "ab"])
def test_what_somebody_has_open_is_not_purged(store, online, mode):
    store.archive(NAME)
    with online.open(mode):
        assert not store.purge(NAME)
        assert online.read_bytes() == CONTENT
    assert store.purge(NAME)


def test_a_file_that_changes_while_it_is_archived_is_not(store, online):
    def change():
        online.write_bytes(CONTENT * 2)
        return True

    assert store.archive(NAME, change) is None
    assert not (store.library / NAME).exists()


@pytest.mark.usefixtures("offline")
def test_copies_are_given_up_when_nobody_wants_them(store):
    with pytest.raises(Interrupted):
        store.recall(NAME, lambda: False)
    assert store.state(NAME) is FileState.OFFLINE
    assert leftovers(store) == []


def test_a_file_overwritten_while_it_is_recalled_keeps_its_new_content(store, offline):
    def overwrite():
        offline.unlink()
        offline.write_bytes(b"new")
        return True

    store.recall(NAME, overwrite)
    assert offline.read_bytes() == b"new"
    assert store.state(NAME) is FileState.DISK


def test_a_file_deleted_while_it_is_recalled_stays_deleted(store, offline):
    def delete():
        offline.unlink()
        return True

    with pytest.raises(TapeError, match="deleted"):
        store.recall(NAME, delete)
    assert store.state(NAME) is FileState.ABSENT
    assert leftovers(store) == []


def test_only_deleted_files_are_forgotten(store, online):
    store.archive(NAME)
    assert list(store.deleted()) == []
    assert not store.forget(NAME)
    store.purge(NAME)
    assert list(store.deleted()) == []
    online.unlink()
    assert list(store.deleted()) == [NAME]
    assert store.forget(NAME)
    assert not store.forget(NAME)
    assert not (store.library / NAME).exists()


@pytest.mark.usefixtures("online")
def test_without_the_buffer_nothing_counts_as_deleted(store):
    store.archive(NAME)
    store.buffer.rename(store.buffer.with_name("elsewhere"))
    assert list(store.deleted()) == []


@pytest.mark.usefixtures("offline")
def test_offline_files_without_a_copy_are_found(store):
    assert list(store.lost()) == []
    (store.library / NAME).unlink()
    assert list(store.lost()) == [NAME]
    assert store.state(NAME) is FileState.ABSENT


@pytest.mark.usefixtures("online")
def test_idle_time_knows_what_was_recalled(store):
    assert store.idle(NAME) is None
    store.archive(NAME)
    seconds, recalled = store.idle(NAME)
    assert seconds < 60
    assert not recalled
    store.purge(NAME)
    assert store.idle(NAME) is None
    store.recall(NAME)
    assert store.idle(NAME)[1]


def kill_in_swap(store, replacement, exchanged):
    """The state after a kill in the middle of an exchange of names."""
    aside = store.work / "swaps" / "abc"
    record = {"name": NAME, "inode": os.lstat(replacement).st_ino}
    aside.with_suffix(".json").write_text(json.dumps(record))
    replacement.rename(aside)
    if exchanged:
        middle = store.work / "swaps" / "middle"
        (store.buffer / NAME).rename(middle)
        aside.rename(store.buffer / NAME)
        middle.rename(aside)


@pytest.mark.parametrize("exchanged", [False, True])
def test_a_kill_while_purging_loses_nothing(store, online, exchanged):
    store.archive(NAME)
    link = store.work / "copies" / "link"
    link.symlink_to(store.library / NAME)
    kill_in_swap(store, link, exchanged)
    if exchanged:  # the client overwrote it just before: the only copy of the new content lies aside
        (store.work / "swaps" / "abc").write_bytes(b"newest")
    assert store.recover()
    assert online.read_bytes() == (b"newest" if exchanged else CONTENT)
    assert leftovers(store) == []


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("exchanged", [False, True])
def test_a_kill_while_recalling_loses_nothing(store, exchanged):
    copy = store.work / "copies" / "copy"
    copy.write_bytes(CONTENT)
    kill_in_swap(store, copy, exchanged)
    store.recover()
    assert store.state(NAME) is FileState.OFFLINE
    assert store.recall(NAME) == len(CONTENT)
    assert leftovers(store) == []


def test_leftovers_of_a_kill_are_deleted(store):
    (store.work / "copies" / "half").write_bytes(b"half")
    (store.work / "swaps" / "abc.json").write_text('{"name": ')
    assert store.recover() == 2
    assert leftovers(store) == []
    assert store.recover() == 0


@pytest.mark.parametrize(
    ("path", "name"), [("/a/b", "a/b"), ("//a//b/", "a/b"), ("/a/./b?xrd.gsiusrpxy=/x/y", "a/b"), ("a", "a")]
)
def test_names_are_cleaned(path, name):
    assert clean_name(path) == name


@pytest.mark.parametrize("path", ["", "/", "/a/../b", "//?x"])
def test_names_outside_are_refused(path):
    with pytest.raises(ValueError, match="names no file"):
        clean_name(path)
