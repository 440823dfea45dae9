"""An embargoed scope: not there for other groups in the catalogue, closed to other people at the storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from dirac_client import python

pytestmark = pytest.mark.stack
SE = "PIC-DISK"


@pytest.fixture(scope="module")
def secret(testbed: Any, run_name: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file under the embargo, put by the production manager."""
    file = tmp_path_factory.mktemp("secret") / "file"
    file.write_text(f"not for all\n{run_name}\n")
    lfn = f"/ctao/embargoed/{run_name}/f"
    done = testbed.run("production", "dput", "-D", SE, file, lfn)
    assert done.returncode == 0, done.stdout + done.stderr
    return lfn


CATALOGUE = """
catalog, lfn = FileCatalog(), sys.argv[1]
directory, gateway = lfn.rsplit("/", 1)[0], current_gateway()
def one(result):
    value = good(result)
    return value["Successful"].get(lfn, value["Failed"].get(lfn))
report({
    "exists": one(catalog.exists(lfn)),
    "replicas": one(catalog.getReplicas(lfn)),
    "metadata": "Size" in one(catalog.getFileMetadata(lfn)),
    "list": lfn in str(catalog.listDirectory(directory)["Value"]["Successful"]),
    "dump": lfn in str(catalog.getDirectoryDump("/ctao/embargoed")["Value"]["Successful"]),
    "top": "/ctao/embargoed" in good(catalog.listDirectory("/ctao"))["Successful"]["/ctao"]["SubDirs"],
    "may read": one(catalog.hasAccess(lfn, "getReplicas")),
    "may write": one(catalog.hasAccess(lfn, "removeFile")),
    "permissions": one(catalog.getPathPermissions(lfn)),
    "rules": sum(rule.did.name == lfn for rule in gateway.list_rules(scope="embargoed")),
})
"""


def test_the_catalogue_hides_it_from_other_groups(testbed: Any, secret: str) -> None:
    inside = python(testbed, "data", CATALOGUE, secret)
    assert inside["exists"] == secret
    assert list(inside["replicas"]) == [SE]
    assert all(inside[key] for key in ("metadata", "list", "dump", "top", "may read", "may write", "rules"))
    for role in ("user", "analyst"):
        outside = python(testbed, role, CATALOGUE, secret)
        assert outside["exists"] is False
        assert "No such file or directory" in str(outside["replicas"])
        assert outside["permissions"] == {"Read": False, "Write": False, "Execute": False}
        for key in ("metadata", "list", "dump", "top", "may read", "may write", "rules"):
            assert not outside[key], key


def test_nothing_can_be_put_there(testbed: Any, secret: str) -> None:
    code = """
lfn = sys.argv[1] + "2"
added = good(FileCatalog().addFile({lfn: {"SE": "PIC-DISK", "Size": 1, "Checksum": "00000001"}}))
report(str(added["Failed"][lfn]))
"""
    message = python(testbed, "user", code, secret)
    assert "embargo" in message
    assert "ctao_user" in message


@pytest.mark.parametrize("written", ["/", "//", "/./"])
def test_other_people_cannot_read_the_bytes_over_root(testbed: Any, secret: str, tmp_path: Path, written: str) -> None:
    url = f"root://localhost:{testbed.layout.port(SE)}/" + secret.replace("/ctao/", f"/ctao{written}")
    for role, readable in {"data": True, "robot": True, "user": False, "analyst": False, "pilot": False}.items():
        copy = tmp_path / role
        done = testbed.run(role, "/usr/bin/xrdcp", "-f", url, copy, check=False)
        if readable and written == "/":
            assert copy.read_text().startswith("not for all"), done.stderr
        elif not readable:
            assert done.returncode != 0
            assert not copy.exists() or copy.read_bytes() == b""
    listing = testbed.run("user", "/usr/bin/xrdfs", url.split("//")[1], "ls", secret.rsplit("/", 1)[0], check=False)
    assert listing.returncode != 0
    assert listing.stdout == ""


def over_http(testbed: Any, role: str, method: str, path: str, **options: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        proxy = str(testbed.layout.proxy(role))
        base = f"https://localhost:{testbed.layout.port(SE)}"
        prepared = session.prepare_request(requests.Request(method, base, **options))
        prepared.url = base + path  # as it's spelled here
        return session.send(prepared, cert=proxy, verify=str(testbed.layout.ca_file), timeout=30)


def test_other_people_cannot_read_the_bytes_over_davs(testbed: Any, secret: str) -> None:
    spellings = [
        secret,
        secret.replace("/ctao/", "//ctao//"),
        "/" + quote(secret[1:], safe=""),
        secret.replace("embargoed", "%65mbargoed"),
    ]
    assert over_http(testbed, "data", "GET", secret).text.startswith("not for all")
    for role in ("user", "analyst", "pilot"):
        for path in spellings:
            answer = over_http(testbed, role, "GET", path)
            assert answer.status_code >= 400, path
            assert "not for all" not in answer.text
        assert over_http(testbed, role, "PROPFIND", secret, headers={"Depth": "0"}).status_code >= 400
        assert over_http(testbed, role, "PUT", f"{secret}2", data=b"x").status_code >= 400
        assert over_http(testbed, role, "DELETE", secret).status_code >= 400
    assert over_http(testbed, "data", "GET", secret).text.startswith("not for all")


def test_no_macaroon_opens_it(testbed: Any, secret: str) -> None:
    """A token that somebody outside gets for themselves isn't worth more than they are."""
    headers = {"Content-Type": "application/macaroon-request"}
    body = '{"caveats": ["activity:DOWNLOAD,LIST"], "validity": "PT10M"}'
    worth = {}
    for role in ("data", "user"):
        answer = over_http(testbed, role, "POST", secret, headers=headers, data=body)
        token = answer.json().get("macaroon") if answer.ok else None
        with requests.Session() as session:
            session.trust_env = False
            got = session.get(
                f"https://localhost:{testbed.layout.port(SE)}{secret}",
                headers={"Authorization": f"Bearer {token}"},
                verify=str(testbed.layout.ca_file),
                timeout=30,
            )
        worth[role] = got.text.startswith("not for all")
    assert worth == {"data": True, "user": False}
