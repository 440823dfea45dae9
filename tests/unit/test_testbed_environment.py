"""Environments: made from scratch for services, evaluated by a real shell for users."""

import configparser
import subprocess
from pathlib import Path

import pytest

from CTARucioDIRAC.testbed import environment
from CTARucioDIRAC.testbed.layout import ROLES, RSES, Layout
from CTARucioDIRAC.testbed.service import TestbedError

LAYOUT = Layout(Path("/var/tmp/a stack's place"), 23400, Path("/opt/environment"), Path("/opt/software"))
SHELL = {
    "PATH": "/opt/environment/bin:/usr/bin:/bin",
    "no_proxy": "example.org,localhost",
    "REQUESTS_CA_BUNDLE": "/etc/other.pem",
    "SSL_CERT_FILE": "/etc/other.pem",
    "HOME": "/home/somebody",
}


def evaluated(role, variables=SHELL, times=1):
    """The environment of a shell that evaluates the lines for a role."""
    for _ in range(times):
        lines = environment.shell(LAYOUT, role, variables)
        done = subprocess.run(
            ["/bin/sh", "-c", 'eval "$1"; exec /usr/bin/env -0', "sh", lines],
            env=variables,
            capture_output=True,
            text=True,
            check=True,
        )
        variables = dict(item.split("=", 1) for item in done.stdout.split("\0") if item)
    return variables


@pytest.mark.parametrize("role", ROLES)
def test_a_shell_gets_the_roles_credentials_and_configuration(role):
    found = evaluated(role)
    assert found["X509_USER_PROXY"] == f"{LAYOUT.root}/proxies/{role}.pem"
    assert found["X509_USER_CERT"] == f"{LAYOUT.root}/certs/{ROLES[role].user}.pem"
    assert found["X509_CERT_DIR"] == str(LAYOUT.ca)
    assert found["RUCIO_HOME"] == f"{LAYOUT.root}/rucio/client-{role}"
    assert found["DIRAC_ROOT_PATH"] == f"{LAYOUT.root}/dirac/client"


def test_what_breaks_the_stack_is_unset_and_the_rest_stays():
    found = evaluated("user")
    assert not set(environment.UNWANTED) & set(found)
    assert found["HOME"] == "/home/somebody"
    assert set(found["no_proxy"].split(",")) == {"localhost", "127.0.0.1", "example.org"}


def test_evaluating_twice_adds_nothing():
    once, twice = evaluated("user"), evaluated("user", times=2)
    assert once == twice
    assert once["PATH"].split(":").count("/opt/environment/bin") == 1


def test_services_inherit_nothing(monkeypatch):
    for name in (*environment.UNWANTED, "X509_USER_PROXY", "PYTHONPATH", "http_proxy", "RUCIO_HOME", "DIRAC"):
        monkeypatch.setenv(name, "stray")
    assert "stray" not in environment.service(LAYOUT).values()


def test_an_unknown_role_is_named():
    with pytest.raises(TestbedError, match="no role 'boss'"):
        environment.shell(LAYOUT, "boss")


def test_a_failed_command_tells_what_it_wrote():
    with pytest.raises(TestbedError, match=r"(?s)making tea failed with exit code 3.*no water"):
        environment.run(["/bin/sh", "-c", "echo no water >&2; exit 3"], {}, "making tea")


def test_a_command_that_hangs_is_ended():
    with pytest.raises(TestbedError, match="making tea took longer than 0 s"):
        environment.run(["/bin/sleep", "60"], {}, "making tea", timeout=0.1)


def test_diracs_short_commands_find_a_profile_of_the_roles_group(tmp_path):
    layout = Layout(tmp_path, 23400, Path("/opt/environment"), Path("/opt/software"))
    environment.prepare_clients(layout)
    for name, role in ROLES.items():
        parser = configparser.ConfigParser()
        found = parser.read(Path(environment.client(layout, name)["DCOMMANDS_CONFIG_DIR"]) / "dcommands.conf")
        assert bool(found) == bool(role.group)
        if role.group:
            assert parser[parser["global"]["default_profile"]]["group_name"] == role.group
            assert parser[role.group]["default_se"] in RSES
