"""What is particular to the testbed's Rucio, without one running."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rucio.db", reason="the stack runs on the default column, with Rucio's server")

from CTARucioDIRAC.testbed import rucio, rucio_daemons, rucio_patches, rucio_server, rucio_setup
from CTARucioDIRAC.testbed.layout import HOST_ACCOUNT, HOST_DN, ROLES, RSES, TAPE, Layout

pytestmark = pytest.mark.default_column


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path, 23400, Path("/opt/environment"), Path("/opt/software"))


def test_the_tape_can_lose_no_copy_by_a_rules_end(layout):
    tape = rucio_setup.rse_definition(layout, TAPE)
    assert tape["rse_type"] == "TAPE"
    assert not {"staging_required", "greedyDeletion"} & set(tape["attributes"])
    assert [protocol["scheme"] for protocol in tape["protocols"]] == ["root"]


@pytest.mark.parametrize("rse", [rse for rse in RSES if rse != TAPE])
def test_disks_copy_over_davs_and_are_read_over_root(layout, rse):
    protocols = {protocol["scheme"]: protocol for protocol in rucio_setup.rse_definition(layout, rse)["protocols"]}
    assert protocols["davs"]["domains"]["wan"]["third_party_copy_write"] == 1
    assert protocols["root"]["domains"]["wan"]["read"] == 1


def test_copies_for_keeping_go_neither_to_the_telescope_nor_to_the_buffer(layout):
    off_site = {rse for rse in RSES if "OFFSITE" in rucio_setup.rse_definition(layout, rse)["attributes"]}
    assert off_site == set(RSES) - {"LAPALMA-DISK", "PIC-BUFFER"}


def test_every_dn_has_one_default_account():
    identities = rucio_setup.identities()
    assert set(identities) == {role.account for role in ROLES.values()} | {HOST_ACCOUNT}
    first = [dns[0] for dns in identities.values()]
    assert len(first) == len(set(first))
    assert identities[HOST_ACCOUNT] == [HOST_DN]
    assert ROLES["production"].dn in identities[ROLES["user"].account]


def test_client_configurations_are_each_a_roles_own_and_closed(layout):
    rucio.write_configuration(layout)
    for name, role in ROLES.items():
        file = layout.rucio_home(f"client-{name}") / "etc" / "rucio.cfg"
        parser = configparser.ConfigParser()
        parser.read(file)
        assert parser["client"]["account"] == role.account
        assert parser["client"]["client_x509_proxy"] == str(layout.proxy(name))
        assert ("password" in parser["client"]) == (role.account == "root")
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/dids/root/%2Fctao%2Fa", "/dids/root/%2Fctao%2Fa"),
        ("/dids/root/%2fctao?x=%2F", "/dids/root/%2Fctao"),
        ("/a%20b/c", "/a b/c"),
        ("https://localhost:1/ping", "/ping"),
    ],
)
def test_encoded_slashes_stay_encoded(raw, path):
    assert rucio_server.path_of(raw) == path


def test_the_dn_is_in_slash_notation():
    peer = {"subject": ((("domainComponent", "org"),), (("organizationalUnitName", "Users"),), (("commonName", "a"),))}
    assert rucio_server.slash_dn(peer) == "/DC=org/OU=Users/CN=a"


def test_a_dn_sent_by_the_client_is_not_believed():
    seen = {}

    def application(environ, _start):
        seen.update(environ)
        return []

    wrapped = rucio_server.as_behind_mod_ssl(application)
    wrapped({"SSL_CLIENT_S_DN": "/CN=root", "RAW_URI": "/ping", "gunicorn.socket": None}, lambda *_: None)
    assert "SSL_CLIENT_S_DN" not in seen
    assert seen["SSL_CLIENT_VERIFY"] == "NONE"


def test_each_patch_still_finds_what_it_patches(layout):
    rucio.write_configuration(layout)
    script = """
from CTARucioDIRAC.testbed import rucio_patches
rucio_patches.ping_connections()
import rucio.core.replica_sorter as replica_sorter, rucio.daemons.common as common
import rucio.db.sqla.session as session, rucio.db.sqla.util as database
assert session.get_engine().pool._pre_ping
assert callable(replica_sorter.sort_geoip) and callable(database.is_old_db)
assert "partition_wait_time" in common.db_workqueue.__code__.co_varnames
rucio_patches.sort_without_geoip()
assert replica_sorter.sort_geoip({"b": 1, "a": 2}, "client") == ["a", "b"]
import ast, concurrent.futures
rucio_patches.parse_in_turn()
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert set(map(str, pool.map(lambda _: ast.literal_eval("[{'a': 1}]"), range(500)))) == {"[{'a': 1}]"}
rucio_patches.no_partition_wait()
common.db_workqueue(once=True, graceful_stop=None, executable="x", partition_wait_time=10, sleep_time=1)
"""
    variables = {"RUCIO_HOME": str(layout.rucio_home("server")), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_patch_is_documented():
    patches = [
        name
        for name, value in vars(rucio_patches).items()
        if callable(value) and value.__module__ == rucio_patches.__name__
    ]
    assert patches
    for name in patches:
        assert f":func:`{name}`" in rucio_patches.__doc__


def test_every_daemon_is_one_of_rucios():
    import importlib.util

    names = [name for group in rucio_daemons.GROUPS for name in group.daemons]
    assert len(names) == len(set(names))
    for name in names:
        assert importlib.util.find_spec(f"rucio.daemons.{name}") is not None
