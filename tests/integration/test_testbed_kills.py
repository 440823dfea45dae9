"""The stack as its users meet it: what `status` says is so, and what is killed comes back with nothing lost."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from CTARucioDIRAC.testbed.layout import ROLES, RSES, TAPE

pytestmark = pytest.mark.stack

#: 127.0.0.1 as the kernel prints it.
IPV4 = "0100007F"
IPV4_IN_IPV6 = "0000000000000000FFFF0000" + IPV4


def status(testbed):
    return json.loads(testbed.testbed("status", "--json"))


def service(testbed, name):
    return next(one for one in status(testbed)["services"] if one["name"] == name)


def wait_until_healthy(testbed, seconds=90):
    end = time.monotonic() + seconds
    while not (found := status(testbed))["healthy"]:
        ill = {one["name"]: one["reason"] for one in found["services"] if one["health"] != "healthy"}
        assert time.monotonic() < end, f"not healthy after {seconds} s: {ill}"
        time.sleep(0.5)


def rucio(testbed, role, script, *arguments):
    """Run Python with a Rucio client of a role; returns what it printed."""
    prelude = "import sys, json; from rucio.client import Client; client = Client(); "
    return testbed.run(role, testbed.layout.bin / "python", "-c", prelude + script, *arguments).stdout.strip()


def test_status_describes_processes_and_storage(testbed):
    found = status(testbed)
    assert found["healthy"]
    assert 0 < found["memory"] < 2.5 * 2**30
    for one in found["services"]:
        assert one["pid"] in one["processes"]
        assert one["memory"] > 0
        owner = Path(f"/proc/{one['pid']}").stat().st_uid
        assert owner == testbed.layout.root.stat().st_uid != 0
    assert [rse["name"] for rse in found["rses"]] == list(RSES)
    for rse in found["rses"]:
        assert [p["scheme"] for p in rse["protocols"]] == (["root"] if rse["name"] == TAPE else ["root", "davs"])


def test_everything_listens_on_loopback_only(testbed):
    ports = {port for one in status(testbed)["services"] for port in one["ports"]}
    listening = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with Path(table).open() as lines:
            for fields in (line.split() for line in list(lines)[1:]):
                address, port = fields[1].rsplit(":", 1)
                if fields[3] == "0A" and int(port, 16) in ports:
                    listening.setdefault(int(port, 16), set()).add(address)
    assert set(listening) == ports
    assert {address for addresses in listening.values() for address in addresses} <= {IPV4, IPV4_IN_IPV6}


def test_up_on_a_running_stack_changes_nothing(testbed):
    before = {one["name"]: one["pid"] for one in status(testbed)["services"]}
    testbed.testbed("up")
    assert {one["name"]: one["pid"] for one in status(testbed)["services"]} == before


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_its_account(testbed, role):
    assert rucio(testbed, role, "print(client.whoami()['account'])") == ROLES[role].account


def test_a_shell_that_evaluates_env_is_a_client(testbed):
    lines = f'eval "$({testbed.layout.bin}/cta-rucio-testbed env --role data --dir {testbed.layout.root})"'
    done = subprocess.run(["/bin/sh", "-c", f"{lines}; rucio whoami"], capture_output=True, text=True, check=True)
    assert "ctaodata" in done.stdout


def test_an_account_of_somebody_else_is_refused(testbed, tmp_path):
    # Rucio's client keeps tokens in files named after the account alone: look elsewhere than where others left theirs
    script = f"""
import os
os.environ["TMP"] = {str(tmp_path)!r}
from rucio.client import Client
from rucio.common.exception import CannotAuthenticate
try:
    Client(account="ctaodata")
except CannotAuthenticate:
    print("refused")
"""
    assert testbed.run("user", testbed.layout.bin / "python", "-c", script).stdout.strip() == "refused"


def test_root_may_use_its_password(testbed):
    script = "print(Client(auth_type='userpass', account='root').whoami()['account'])"
    assert rucio(testbed, "robot", script) == "root"


def test_names_are_places_and_metadata_are_json(testbed, run_name):
    script = """
scope, name = sys.argv[1], f"/ctao/{sys.argv[1]}/a"
client.add_scope("root", scope)
client.add_replicas("PIC-DISK", [{"scope": scope, "name": name, "bytes": 1, "adler32": "00000001"}])
client.set_metadata(scope, name, "obs_id", 17)
pfns = [pfn for replica in client.list_replicas([{"scope": scope, "name": name}], schemes=["root"]) for pfn in replica["pfns"]]
print(json.dumps([pfns, client.get_metadata(scope, name, plugin="JSON"), list(client.list_dids(scope, {"obs_id": 17}))]))
"""
    scope = f"{run_name}k"[:25]
    pfns, metadata, found = json.loads(rucio(testbed, "robot", f"exec({script!r})", scope))
    assert pfns == [f"root://localhost:{testbed.layout.port('PIC-DISK')}//ctao/{scope}/a"]
    assert metadata == {"obs_id": 17}
    assert found == [f"/ctao/{scope}/a"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["postgres", "rucio-server", "rucio-daemons"])
@pytest.mark.alone
def test_the_keeper_starts_again_what_was_killed(testbed, name):
    pid = service(testbed, name)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until_healthy(testbed)
    assert service(testbed, name)["pid"] not in (None, pid)


@pytest.mark.slow
@pytest.mark.alone
def test_up_brings_back_a_stack_whose_every_process_was_killed_with_nothing_lost(testbed, run_name):
    scope = f"{run_name}all"[:25]
    rucio(testbed, "robot", "client.add_scope('root', sys.argv[1])", scope)
    for pid in [pid for one in status(testbed)["services"] for pid in one["processes"]]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    testbed.testbed("up")
    assert status(testbed)["healthy"]
    assert scope in json.loads(rucio(testbed, "user", "print(json.dumps(client.list_scopes()))"))


@pytest.mark.slow
@pytest.mark.alone
def test_an_up_that_was_killed_is_taken_up_by_the_next(testbed):
    victim = service(testbed, "rucio-server")["pid"]
    keeper = service(testbed, "keeper")["pid"]
    for pid in (keeper, victim):
        os.kill(pid, signal.SIGKILL)
    command = [str(testbed.layout.bin / "cta-rucio-testbed"), "up", "--dir", str(testbed.layout.root)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    for line in first.stdout:
        if "certificates" in line:  # the services are next
            break
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    testbed.testbed("up")
    assert status(testbed)["healthy"]


@pytest.mark.slow
@pytest.mark.alone
def test_a_hung_server_is_replaced(testbed):
    before = service(testbed, "rucio-server")
    for pid in before["processes"]:
        os.kill(pid, signal.SIGSTOP)
    testbed.testbed("up")
    assert service(testbed, "rucio-server")["pid"] != before["pid"]
    assert status(testbed)["healthy"]
