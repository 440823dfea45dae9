"""Rucio as DIRAC's file catalogue, through ``FileCatalog()`` and DIRAC's own commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dirac_client import ingest, python

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def area(run_name: str) -> str:
    return f"/ctao/c{run_name[1:].lower()}"[:30]


@pytest.fixture(scope="module")
def night(testbed, area: str) -> list[str]:
    """Raw data that DIRAC has never heard of."""
    scope = area.rsplit("/", 1)[1]
    return ingest(testbed, scope, f"{area}/DL0/LSTN-01/2026/11/22", ["a.fits.fz", "b.fits.fz", "c.fits.fz"])


def words(testbed, role: str, *command: str) -> list[str]:
    """What a command of DIRAC's prints, line by line, without its header."""
    lines = testbed.run(role, *command).stdout.splitlines()
    noise = "Failed to clean cache files"  # those of other users of this machine
    return [line.strip() for line in lines if line.strip() and not line.endswith(":") and not line.startswith(noise)]


def test_every_process_gets_this_catalogue(testbed):
    """DIRAC's own commands load the configuration in a way that turns the order of the extensions around."""
    code = """
from DIRAC.Core.Base.Script import Script
sys.argv = ["x"]
Script.parseCommandLine(ignoreErrors=True)
catalog = FileCatalog()
report([[name, type(client).__module__, master] for name, client, master in catalog.readCatalogs])
"""
    expected = ["RucioFileCatalog", "CTARucioDIRAC.Resources.Catalog.CTARucioFileCatalogClient", True]
    assert python(testbed, "production", code) == [expected]


def test_raw_data_of_plain_rucio_is_all_there(testbed, night, area):
    code = """
catalog = FileCatalog()
lfns, area = sys.argv[2:], sys.argv[1]
directory = lfns[0].rsplit("/", 1)[0]
report({
    "exists": good(catalog.exists(lfns))["Successful"],
    "replicas": good(catalog.getReplicas(lfns))["Successful"],
    "listing": sorted(good(catalog.listDirectory(directory))["Successful"][directory]["Files"]),
    "top": sorted(good(catalog.listDirectory("/ctao"))["Successful"]["/ctao"]["SubDirs"]),
    "below": sorted(good(catalog.getDirectoryDump(area))["Successful"][area]["Files"]),
    "found": good(catalog.findFilesByMetadata({"obs_id": {">=": 1}, "observatory": "CTAO-N"}, area)),
    "metadata": good(catalog.getFileUserMetadata(lfns[2])),
})
"""
    for role in ("production", "user"):
        found = python(testbed, role, code, area, *night)
        assert found["exists"] == {lfn: lfn for lfn in night}
        assert {lfn: list(where) for lfn, where in found["replicas"].items()} == {
            lfn: ["LAPALMA-DISK"] for lfn in night
        }
        assert found["listing"] == found["below"] == night
        assert area in found["top"]
        assert found["found"] == night[1:]
        assert found["metadata"] == {"obs_id": 2, "observatory": "CTAO-N"}


def test_both_sides_agree_on_every_copy(testbed, night):
    """DIRAC's storage elements are Rucio's AVAILABLE RSEs, and a listing is the dataset's content."""
    code = """
from CTARucioDIRAC.domain.identifiers import did_of
catalog, gateway, lfns = FileCatalog(), current_gateway(), sys.argv[1:]
gateway.add_rule([did_of(lfns[0])], "LAPALMA-DISK")
gateway.add_rule([did_of(lfns[0])], "CNAF-DISK", lifetime=600)  # its bytes don't exist: it never arrives
directory = lfns[0].rsplit("/", 1)[0]
report({
    "dirac": {lfn: sorted(where) for lfn, where in good(catalog.getReplicas(lfns))["Successful"].items()},
    "rucio": {did.name: sorted(r.rse for r in file.available) for did, file in
              gateway.list_replicas([did_of(lfn) for lfn in lfns], all_states=True).items()},
    "all": sorted(good(catalog.getReplicas(lfns[0], allStatus=True))["Successful"][lfns[0]]),
    "content": sorted(item.did.name for item in gateway.list_content(did_of(directory))),
})
"""
    found = python(testbed, "production", code, *night)
    assert found["dirac"] == found["rucio"]
    assert found["all"] == ["CNAF-DISK", "LAPALMA-DISK"]
    directory = night[0].rsplit("/", 1)[0]
    assert words(testbed, "production", "dls", directory) == [name.rsplit("/", 1)[1] for name in found["content"]]


def test_commands(testbed, night, area):
    directory = night[0].rsplit("/", 1)[0]
    assert words(testbed, "user", "dls", f"{area}/DL0") == ["LSTN-01"]
    long = words(testbed, "user", "dls", "-l", directory)
    assert len(long) == 3
    assert all(line.startswith("-rw-rw-r--") and line.split()[4] == "5" for line in long)
    assert any("LAPALMA-DISK" in line for line in words(testbed, "user", "dls", "-L", directory))
    replicas = testbed.run("user", "dirac-dms-lfn-replicas", night[1]).stdout
    assert "LAPALMA-DISK" in replicas
    metadata = testbed.run("user", "dirac-dms-lfn-metadata", night[1]).stdout
    assert "'Size': 5" in metadata
    assert "No such file or directory" in testbed.run("user", "dirac-dms-lfn-metadata", f"{area}/no").stdout
    assert words(testbed, "user", "dirac-dms-find-lfns", f"Path={area}", "obs_id=1") == [night[1]]
    assert words(testbed, "user", "dirac-dms-find-lfns", f"Path={area}", "obs_id>=1", "observatory=CTAO-N") == night[1:]
    assert any("obs_id = 1" in line for line in words(testbed, "user", "dmeta", "ls", night[1]))
    testbed.run("production", "dmkdir", f"{area}/new")
    assert "new" in words(testbed, "production", "dls", area)
    testbed.run("production", "drmdir", f"{area}/new")
    assert "new" not in words(testbed, "production", "dls", area)
    assert "Files: 3" in testbed.run("production", "dsize", "-l", area).stdout


def test_a_user_may_read_and_not_write(testbed, night):
    code = """
catalog, lfn = FileCatalog(), sys.argv[1]
report({
    "read": good(catalog.hasAccess(lfn, "getReplicas"))["Successful"][lfn],
    "write": good(catalog.hasAccess(lfn, "removeFile"))["Successful"][lfn],
    "removed": good(catalog.removeFile(lfn))["Failed"][lfn]["RucioFileCatalog"],
})
"""
    found = python(testbed, "user", code, night[2])
    assert (found["read"], found["write"]) == (True, False)
    assert "denied" in found["removed"]


def test_each_user_acts_as_the_account_of_their_group(testbed):
    """One process serves several users: the proxy of the moment decides, and nothing is kept of another's."""
    code = """
accounts = []
for proxy in sys.argv[1:]:
    os.environ["X509_USER_PROXY"] = proxy  # as DIRAC itself does for executeWithUserProxy and shifters
    accounts.append(current_gateway().whoami())
report(accounts)
"""
    roles = ("production", "user", "data", "production")
    proxies = [testbed.layout.proxy(role) for role in roles]
    assert python(testbed, "production", code, *proxies) == ["ctaoprod", "ctaouser", "ctaodata", "ctaoprod"]


def test_servers_act_as_the_account_of_their_host(testbed):
    code = """
from DIRAC.ConfigurationSystem.Client.ConfigurationData import gConfigurationData
for option, value in (("UseServerCertificate", "true"), ("CertFile", sys.argv[1]), ("KeyFile", sys.argv[2])):
    gConfigurationData.setOptionInCFG(f"/DIRAC/Security/{option}", value)
del os.environ["X509_USER_PROXY"]
report(current_gateway().whoami())
"""
    certs = testbed.layout.certs
    assert python(testbed, "production", code, certs / "host.pem", certs / "host.key") == "ctaohost"


def test_a_group_without_an_account_is_named(testbed):
    code = """
from DIRAC.ConfigurationSystem.Client.ConfigurationData import gConfigurationData
gConfigurationData.setOptionInCFG("/Registry/Groups/ctao_prod/RucioAccount", "")
report(FileCatalog().addFile({"/ctao/x/f": {"SE": "PIC-DISK", "Size": 1, "Checksum": "00000001"}})["Message"])
"""
    message = python(testbed, "production", code)
    assert "/Registry/Groups/ctao_prod/RucioAccount" in message


def test_an_unknown_option_is_named(testbed):
    code = """
from DIRAC.ConfigurationSystem.Client.ConfigurationData import gConfigurationData
from CTARucioDIRAC.ConfigurationSystem.Client.RucioConfiguration import read_catalogue_settings
gConfigurationData.setOptionInCFG("/Resources/FileCatalogs/RucioFileCatalog/RucioHots", "x")
try:
    read_catalogue_settings()
except Exception as error:
    report(f"{type(error).__name__}: {error}")
"""
    found = python(testbed, "production", code)
    assert found.startswith("InvalidSettings: /Resources/FileCatalogs/RucioFileCatalog/RucioHots is no option")


def test_no_token_is_left_behind(testbed, tmp_path: Path):
    """Neither a file that another user or account could pick up, nor a directory that could stand in their way."""
    code = """
os.environ["TMPDIR"] = sys.argv[1]
FileCatalog().exists("/ctao")
report(sorted(name for name in os.listdir(sys.argv[1])))
"""
    assert python(testbed, "production", code, tmp_path) == []


def test_it_works_without_any_configuration_of_rucios(testbed, tmp_path: Path):
    python_path = testbed.layout.bin / "python"
    code = (
        "import os; [os.environ.pop(name, None) for name in ('RUCIO_HOME', 'RUCIO_ACCOUNT', 'RUCIO_CONFIG')]\n"
        "import DIRAC; DIRAC.initialize()\n"
        "from DIRAC.Resources.Catalog.FileCatalog import FileCatalog\n"
        "print(FileCatalog().exists('/ctao'))"
    )
    assert "'/ctao': '/ctao'" in testbed.run("production", python_path, "-c", code, cwd=tmp_path).stdout


def test_a_server_that_is_away_is_an_error_with_its_cause(testbed):
    code = """
from CTARucioDIRAC.Resources.Catalog.CTARucioFileCatalogClient import CTARucioFileCatalogClient
catalog = CTARucioFileCatalogClient(RucioHost="https://localhost:9", CACertificate=sys.argv[1], VO="ctao")
start = time.monotonic()
report([catalog.isOK()["Message"], catalog.exists("/ctao")["Message"], time.monotonic() - start])
"""
    one, other, seconds = python(testbed, "production", code, testbed.layout.ca_file)
    assert "https://localhost:9 doesn't answer" in one
    assert "https://localhost:9 doesn't answer" in other
    assert seconds < 30


def test_registration_is_complete_and_removal_final(testbed, area, tmp_path: Path):
    code = """
from CTARucioDIRAC.domain.identifiers import did_of
catalog, gateway, lfn = FileCatalog(), current_gateway(), sys.argv[1]
info = {"PFN": "", "Size": 5, "SE": "PIC-DISK", "GUID": "", "Checksum": "0000abcd"}
for _ in range(2):
    assert lfn in good(catalog.addFile({lfn: info}))["Successful"]
rules = [[r.rse_expression, r.account, r.did_type] for r in gateway.list_rules_on_file(did_of(lfn))]
parents = [item.did.name for item in gateway.list_parents(did_of(lfn))]
refused = good(catalog.addFile({lfn: info | {"Checksum": "0000beef"}}))["Failed"][lfn]["RucioFileCatalog"]
gone = good(catalog.removeFile(lfn))["Successful"]
exists = good(catalog.exists(lfn))["Successful"][lfn]
deadline = time.monotonic() + 90
while did_of(lfn) in gateway.get_dids([did_of(lfn)]) and time.monotonic() < deadline:
    time.sleep(0.5)
again = good(catalog.addFile({lfn: info | {"Checksum": "0000beef"}}))["Failed"].get(lfn, {})
report({"rules": rules, "parents": parents, "refused": refused, "gone": lfn in gone, "exists": exists,
        "again": again.get("RucioFileCatalog")})
"""
    lfn = f"{area}/new/file"
    found = python(testbed, "production", code, lfn)
    assert found["rules"] == [["PIC-DISK", "ctaoprod", "FILE"]]
    assert found["parents"] == [f"{area}/new"]
    assert "0000abcd" in found["refused"]
    assert "0000beef" in found["refused"]
    assert found["gone"]
    assert found["exists"] is False
    assert found["again"] is None
    shutil.rmtree(tmp_path)
