"""What a state directory remembers, and what is refused before anything is written."""

import json
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from CTARucioDIRAC.testbed import state
from CTARucioDIRAC.testbed.layout import PORT_SPAN, Layout
from CTARucioDIRAC.testbed.service import TestbedError

PREFIX = Path("/opt/environment")
DEFAULTS = {
    "port_base": 23400,
    "software": Path("/opt/software"),
    "workers": 2,
    "tape_drives": 2,
    "tape_latency": 2.0,
}


def create(root, prefix=PREFIX, **given):
    return state.create(root, prefix, DEFAULTS, given)


@pytest.fixture(autouse=True)
def _ports_free(monkeypatch):
    monkeypatch.setattr(state, "check_ports_free", lambda *_: None)


def test_options_left_out_keep_their_value(tmp_path):
    root = tmp_path / "s"
    create(root, workers=5, tape_latency=0.5)
    again = create(root, workers=None, tape_drives=1)
    assert (again.workers, again.tape_latency, again.tape_drives, again.port_base) == (5, 0.5, 1, 23400)
    assert state.load(root) == again


def test_a_directory_with_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(TestbedError, match="not empty and holds no testbed"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_directory_and_one_with_only_a_lock_are_taken(tmp_path):
    (tmp_path / state.LOCK).touch()
    assert create(tmp_path).root == tmp_path


def test_another_environment_is_refused(tmp_path):
    create(tmp_path)
    with pytest.raises(TestbedError, match="belongs to the environment /opt/environment"):
        create(tmp_path, prefix=Path("/opt/other"))


def test_another_format_is_refused(tmp_path):
    create(tmp_path)
    record = json.loads((tmp_path / state.FILE).read_text())
    (tmp_path / state.FILE).write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(TestbedError, match="has format 99"):
        state.load(tmp_path)


def test_ports_stay_once_given(tmp_path):
    create(tmp_path)
    assert create(tmp_path, port_base=23400).port_base == 23400
    with pytest.raises(TestbedError, match="choose another --dir"):
        create(tmp_path, port_base=25000)


@pytest.mark.parametrize("base", [80, 65536 - PORT_SPAN + 1])
def test_ports_out_of_range_are_refused(tmp_path, base):
    with pytest.raises(TestbedError, match="out of range"):
        create(tmp_path / "s", port_base=base)
    assert not (tmp_path / "s").exists()


def test_a_taken_port_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.undo()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        base = min(port, 65536 - PORT_SPAN)
        with pytest.raises(TestbedError, match=r"port \d+ is in use.*--port-base"):
            create(tmp_path / "s", port_base=base)
    assert not (tmp_path / "s").exists()


def test_a_nearly_full_disk_is_named(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**9))
    with pytest.raises(TestbedError, match=r"1\.0 GB free.*--dir"):
        create(tmp_path)


def test_a_missing_directory_is_no_testbed(tmp_path):
    with pytest.raises(TestbedError, match=r"holds no testbed.*cta-rucio-testbed up"):
        state.load(tmp_path / "nowhere")


def test_secrets_are_made_once_and_closed(tmp_path):
    layout = create(tmp_path)
    first = state.secret(layout, "x")
    assert state.secret(layout, "x") == first != state.secret(layout, "y")
    assert (tmp_path / "secrets" / "x").stat().st_mode & 0o077 == 0


def test_an_older_stack_has_the_default_of_a_later_option(tmp_path):
    layout = Layout(tmp_path, 23400, Path("/opt/environment"), Path("/opt/software"), policy="ctao")
    state.save(layout)
    assert state.load(tmp_path) == layout
    record = json.loads((tmp_path / state.FILE).read_text())
    del record["policy"]
    (tmp_path / state.FILE).write_text(json.dumps(record))
    assert state.load(tmp_path).policy == "overlay"
