"""Accounts as users of DIRAC meet them: what is refused beforehand, whose account is used, what logs say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dirac_client import python

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def home(run_name: str) -> str:
    return f"/ctao/user/p/puser/{run_name}"


def put(testbed: Any, role: str, file: Path, lfn: str, se: str) -> Any:
    return testbed.run(role, "dput", "-D", se, file, lfn, check=False)


def test_an_ordinary_user_puts_gets_and_removes_files(testbed: Any, home: str, tmp_path: Path) -> None:
    (tmp_path / "hello").write_text(text := f"hello {home}\n")
    done = put(testbed, "user", tmp_path / "hello", f"{home}/hello", "PIC-DISK")
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "back").mkdir()
    testbed.run("user", "dget", f"{home}/hello", tmp_path / "back")
    assert (tmp_path / "back" / "hello").read_text() == text
    code = """
catalog, lfn = FileCatalog(), sys.argv[1]
metadata = good(catalog.getFileMetadata(lfn))["Successful"][lfn]
replicas = good(catalog.getReplicas(lfn))["Successful"][lfn]
removed = good(catalog.removeFile(lfn))
report([metadata["Owner"], metadata["OwnerGroup"], sorted(replicas), removed["Failed"], good(catalog.exists(lfn))])
"""
    owner, group, replicas, failed, exists = python(testbed, "user", code, f"{home}/hello")
    assert (owner, group, replicas, failed) == ("puser", "ctao_user", ["PIC-DISK"], {})
    assert exists["Successful"] == {f"{home}/hello": False}


def test_what_cannot_be_registered_is_refused_before_a_byte_is_sent(
    testbed: Any, run_name: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("hello\n")
    for lfn in (f"/ctao/user/p/pprod/{run_name}/f", f"/ctao/{run_name.lower()}nobody/f"):
        done = put(testbed, "user", tmp_path / "file", lfn, "PIC-DISK")
        assert done.returncode != 0
        assert "not permitted" in done.stdout + done.stderr
        assert not (testbed.layout.storage("PIC-DISK") / lfn.lstrip("/")).exists()


def test_what_one_may_is_known_beforehand(testbed: Any, home: str, run_name: str) -> None:
    code = """
catalog = FileCatalog()
report({path: [good(catalog.hasAccess(path, op))["Successful"][path] for op in ("addFile", "removeReplica", "setMetadata")]
        + [good(catalog.getPathPermissions(path))["Successful"][path]["Write"]] for path in sys.argv[1:]})
"""
    mine, other, new = home, f"/ctao/user/p/pprod/{run_name}", f"/ctao/{run_name.lower()}nobody"
    assert python(testbed, "user", code, mine, other, new) == {mine: [True] * 4, other: [False] * 4, new: [False] * 4}
    assert python(testbed, "production", code, mine, new) == {mine: [True] * 4, new: [True] * 4}


def test_uploads_to_closed_storage_are_refused_by_name(testbed: Any, home: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f"closed {home}\n")
    done = put(testbed, "user", tmp_path / "file", f"{home}/closed", "PIC-TAPE")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert f"account ctaouser can't register {home}/closed at PIC-TAPE" in said
    assert "CNAF-DISK, PIC-BUFFER, PIC-DISK only" in said
    assert not (testbed.layout.storage("PIC-TAPE") / home.lstrip("/") / "closed").exists()


def test_accounts_per_group_and_per_user(testbed: Any) -> None:
    """The group's account by default; one's own where the group has that; none is an error that names the option."""
    code = """
from DIRAC.ConfigurationSystem.Client.ConfigurationData import gConfigurationData
accounts = []
for proxy in sys.argv[1:]:
    os.environ["X509_USER_PROXY"] = proxy
    accounts.append(current_gateway().whoami())
gConfigurationData.setOptionInCFG("/Registry/Groups/ctao_user/RucioAccountPerUser", "False")
accounts.append(current_gateway().account)
gConfigurationData.setOptionInCFG("/Registry/Groups/ctao_user/RucioAccountPerUser", "True")
gConfigurationData.setOptionInCFG("/Registry/Groups/ctao_user/RucioAccount", "")
accounts.append(current_gateway().account)
gConfigurationData.setOptionInCFG("/Registry/Users/panalyst/RucioAccount", "")
try:
    current_gateway()
except Exception as error:
    accounts.append(f"{type(error).__name__}: {error}")
report(accounts)
"""
    found = python(testbed, "user", code, testbed.layout.proxy("user"), testbed.layout.proxy("analyst"))
    assert found[:4] == ["ctaouser", "panalyst", "ctaouser", "panalyst"]
    assert found[4].startswith("InvalidSettings: user 'panalyst' of DIRAC group 'ctao_user' has no Rucio account")
    assert "/Registry/Users/panalyst/RucioAccount" in found[4]


def test_owners_as_requests_need_them(testbed: Any, home: str, run_name: str) -> None:
    """Owner, group and DN: of one's own area, of an account of one's own, of a group's, of what only names imply."""
    code = """
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.gateway.protocol import FileRecord
run = sys.argv[1]
gateway, catalog, scopes = current_gateway(), FileCatalog(), {"panalyst": f"{run}a", "ctaoprod": f"{run}p"}
paths = [f"/ctao/user/p/puser/{run}owner"]
for account, scope in scopes.items():
    gateway.add_scope(scope, account)
    name = f"/ctao/{scope}/implied/f"
    gateway.add_replicas("PIC-DISK", [FileRecord(Did(scope, name), 1, adler32="00000001")])
    paths.append(name.rsplit("/", 1)[0])
good(catalog.createDirectory(paths[0]))
found = good(catalog.getDirectoryMetadata(paths))["Successful"]
report([[found[path][key] for key in ("Owner", "OwnerGroup", "OwnerDN")] for path in paths])
"""
    run = f"o{run_name[1:]}"[:24].lower()
    found = python(testbed, "production", code, run)
    from CTARucioDIRAC.testbed.layout import ROLES

    assert found == [
        ["puser", "ctao_user", ROLES["user"].dn],
        ["panalyst", "ctao_user", ROLES["analyst"].dn],
        ["pprod", "ctao_prod", ROLES["production"].dn],
    ]
