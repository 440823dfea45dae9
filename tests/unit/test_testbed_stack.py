"""The order of services, their selection, and the lock."""

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rucio.db", reason="the stack runs on the default column, with Rucio's server")

from CTARucioDIRAC.testbed import keeper, requirements, stack, state
from CTARucioDIRAC.testbed.layout import PORT_SPAN, Layout
from CTARucioDIRAC.testbed.service import Service, TestbedError

pytestmark = pytest.mark.default_column


@pytest.fixture
def layout(tmp_path):
    made = Layout(tmp_path, 23400, Path("/opt/environment"), Path("/opt/software"))
    made.run.mkdir()
    return made


def service(name, *needs):
    return Service(name=name, argv=[], env={}, cwd=Path("/"), healthy=lambda: None, needs=needs)


@st.composite
def graphs(draw):
    names = [f"s{i}" for i in range(draw(st.integers(1, 8)))]
    return {
        name: service(name, *draw(st.sets(st.sampled_from(names[:position])) if position else st.just(set())))
        for position, name in enumerate(names)
    }


@given(graphs())
def test_each_service_comes_after_all_that_it_needs(services):
    came = []
    stack._in_order(services, lambda one: came.append(one.name))
    assert sorted(came) == sorted(services)
    for one in services.values():
        assert all(came.index(needed) < came.index(one.name) for needed in one.needs)


def test_services_that_do_not_need_each_other_come_side_by_side():
    meeting = threading.Barrier(3, timeout=5)
    stack._in_order({n: service(n) for n in "abc"}, lambda _: meeting.wait() and None)


def test_nothing_comes_after_a_failure_and_the_failure_names_its_service():
    came = []

    def act(one):
        came.append(one.name)
        if one.name == "b":
            raise ValueError("out of paper")

    with pytest.raises(TestbedError, match="b: ValueError: out of paper"):
        stack._in_order({"a": service("a"), "b": service("b", "a"), "c": service("c", "b")}, act)
    assert came == ["a", "b"]


def test_a_service_comes_with_what_it_needs(layout):
    assert list(stack.select(layout, ["rucio-server"])) == ["postgres", "rucio-server"]
    assert {"postgres", "rucio-server", "rucio-daemons"} <= set(stack.select(layout, ["rucio"]))
    assert set(stack.select(layout)) == set(stack.all_services(layout))


def test_an_unknown_name_is_refused_with_the_known_ones(layout):
    with pytest.raises(TestbedError, match=r"no service 'mailer'; groups are rucio.*services are postgres"):
        stack.select(layout, ["mailer"])


def test_services_are_consistent(layout):
    services = stack.all_services(layout)
    ports = [port for one in services.values() for port in one.ports]
    assert len(ports) == len(set(ports))
    assert all(layout.port_base <= port < layout.port_base + PORT_SPAN for port in ports)
    for one in services.values():
        assert set(one.needs) <= set(services), one.name
        assert Path(one.argv[0]).is_absolute(), one.name
    assert keeper.NAME not in services


def test_services_of_a_group_prepare_one_after_the_other():
    inside = []

    def prepare():
        inside.append(1)
        assert len(inside) == 1
        time.sleep(0.01)
        inside.pop()

    wrapped = stack._one_at_a_time("rucio", prepare)
    threads = [threading.Thread(target=wrapped) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not inside


def test_the_lock_is_held_by_one_and_told_to_the_other(layout, monkeypatch):
    monkeypatch.setattr(stack, "LOCK_PATIENCE", 0.3)
    told = []
    with (
        stack.locked(layout),
        pytest.raises(TestbedError, match="has been at work on"),
        stack.locked(layout, lambda *what: told.append(what)),
    ):
        pass
    assert told == [("lock", "waiting for another up or down of this state directory")]
    with stack.locked(layout):
        pass


def test_remove_refuses_what_is_no_testbed(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(TestbedError, match="nothing was deleted"):
        stack.remove(Layout(tmp_path, 23400, Path("/opt/environment"), Path("/opt/software")))
    assert (tmp_path / "run").exists()


def test_remove_refuses_while_something_runs(layout, monkeypatch):
    state.save(layout)
    (layout.run / "postgres.pid.json").write_text("{}")
    monkeypatch.setattr(stack, "running", lambda *_: object())
    with pytest.raises(TestbedError, match="postgres still run.*down"):
        stack.remove(layout)


def test_remove_deletes_all_of_it_but_follows_no_link(layout, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "kept").touch()
    state.save(layout)
    (layout.root / "link").symlink_to(outside)
    stack.remove(layout)
    assert not layout.root.exists()
    assert (outside / "kept").exists()


def test_missing_packages_are_named_as_debian_names_them(monkeypatch):
    monkeypatch.setitem(requirements.NEEDED, "rucio", {"postgresql": "postgresql/*/bin/no-such-program", "sh": "sh"})
    with pytest.raises(TestbedError, match="apt-get install postgresql$"):
        requirements.check(["rucio"])


def test_the_keeper_backs_off(layout, monkeypatch):
    """A service that cannot be started is tried less and less often."""
    now, attempts = [0.0], []
    stop = threading.Event()

    class Clock:
        def wait(self, seconds):
            now[0] += seconds
            return now[0] > 100

        set = stop.set

    monkeypatch.setattr(keeper.threading, "Event", Clock)
    monkeypatch.setattr(keeper.signal, "signal", lambda *_: None)
    monkeypatch.setattr(keeper.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(keeper, "_renew", lambda _: None)
    monkeypatch.setattr(keeper, "_wanted", lambda _: ["postgres"])
    monkeypatch.setattr(keeper, "running", lambda *_: None)
    monkeypatch.setattr(keeper, "_start_again", lambda *_: attempts.append(now[0]) or False)
    keeper.keep(layout)
    pauses = [after - before for before, after in zip(attempts, attempts[1:], strict=False)]
    assert pauses[:4] == [2.0, 4.0, 8.0, 16.0]
    assert keeper._heartbeat(layout).exists()


def test_a_large_log_is_shortened_under_its_writer(layout):
    layout.log.mkdir()
    with (layout.log / "postgres.log").open("a") as log:
        log.write("old line\n" * 100)
        log.flush()
        keeper.shorten_logs(layout, limit=100)
        log.write("new line\n")
    assert (layout.log / "postgres.log").read_text() == "new line\n"
    assert "old line" in (layout.log / "postgres.log.1").read_text()


def test_the_keeper_leaves_services_to_an_up_that_is_at_work(layout):
    assert not keeper._others_at_work(layout)
    with stack.locked(layout):
        assert keeper._others_at_work(layout)
    assert not keeper._others_at_work(layout)


def test_the_keeper_looks_at_the_proxies_that_dirac_keeps_when_dirac_runs(layout, monkeypatch):
    ran, up = [], {"mariadb", "dirac-services"}
    monkeypatch.setattr(keeper, "running", lambda _, name: name in up)
    monkeypatch.setattr(keeper, "_run", lambda _layout, command, *_: ran.append(command) or True)
    monkeypatch.setattr(keeper, "_wanted", lambda _: ["postgres"])
    assert keeper._renew_stored(layout, threading.Event())  # a stack without DIRAC: nothing to do
    monkeypatch.setattr(keeper, "_wanted", lambda _: ["mariadb", "dirac-services"])
    up.remove("mariadb")
    assert not keeper._renew_stored(layout, threading.Event())
    assert not ran
    up.add("mariadb")
    assert keeper._renew_stored(layout, threading.Event())
    assert ran[0][-2:] == ["CTARucioDIRAC.testbed.dirac_setup", str(layout.root)]


def test_the_keeper_ends_a_command_that_hangs(layout, monkeypatch):
    monkeypatch.setattr(keeper.environment, "service", lambda _: {})
    assert keeper._run(layout, ["/bin/sh", "-c", "exit 0"], threading.Event())
    assert not keeper._run(layout, ["/bin/sh", "-c", "exit 1"], threading.Event())
    assert not keeper._run(layout, ["/bin/sleep", "60"], threading.Event(), patience=0.1)
