"""The DIRAC configuration that the testbed generates, and the example for administrators, as DIRAC reads them."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diraccfg import CFG

from CTARucioDIRAC.domain.settings import CatalogueSettings, catalogue_settings
from CTARucioDIRAC.testbed import dirac, dirac_config, dirac_resources, dirac_systems, dirac_tree
from CTARucioDIRAC.testbed.layout import DIRAC_SERVICES, HOST_ACCOUNT, ROLES, RSES, TAPE, VO, Layout

EXAMPLE = Path(__file__).resolve().parents[2] / "dirac.cfg.example"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    result = Layout(root=tmp_path, port_base=18400, prefix=Path("/opt/env"), software=Path("/opt/software"))
    (tmp_path / "mariadb").mkdir()
    (tmp_path / "mariadb" / "password").write_text("secret\n")
    return result


@pytest.fixture
def central(layout: Layout) -> CFG:
    """The central configuration, through DIRAC's own reader."""
    return CFG().loadFromBuffer(dirac_tree.text(dirac_config.central(layout)))


def options(cfg: CFG, section: str) -> dict[str, str]:
    found = cfg.getAsCFG(section)
    return {name: found.getOption(name) for name in found.listOptions()}


def paths(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    result = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            result |= paths(value, f"{prefix}/{key}")
        else:
            result[f"{prefix}/{key}"] = ", ".join(value) if isinstance(value, list) else value
    return result


def test_text_is_read_back_as_it_was() -> None:
    tree = {"A": {"text": "x y", "list": ["a", "b"], "empty": "", "B": {"c": "1"}}}
    cfg = CFG().loadFromBuffer(dirac_tree.text(tree))
    assert cfg.getOption("A/text") == "x y"
    assert cfg.getOption("A/list", []) == ["a", "b"]
    assert cfg.getOption("A/empty") == ""
    assert cfg.getOption("A/B/c") == "1"


def test_the_last_of_merged_trees_wins_and_nothing_is_shared() -> None:
    first = {"A": {"x": "1", "y": "1"}}
    result = dirac_tree.merged(first, {"A": {"y": "2"}, "B": ["b"]})
    assert result == {"A": {"x": "1", "y": "2"}, "B": ["b"]}
    assert first == {"A": {"x": "1", "y": "1"}}


def test_each_group_and_the_host_have_a_rucio_account_and_the_vo(central: CFG) -> None:
    for role in ROLES.values():
        if role.group:
            own = central.getOption(f"Registry/Users/{role.user}/RucioAccount", "")
            assert (own or central.getOption(f"Registry/Groups/{role.group}/RucioAccount")) == role.account
            assert central.getOption(f"Registry/Groups/{role.group}/VO") == VO
            assert central.getOption(f"Registry/Users/{role.user}/DN") == role.dn
    assert central.getOption("Registry/Hosts/localhost/RucioAccount") == HOST_ACCOUNT


def test_production_managers_may_change_the_catalogue_and_are_users_too(central: CFG) -> None:
    assert "FileCatalogManagement" in central.getOption("Registry/Groups/ctao_prod/Properties", [])
    assert central.getOption("Registry/Groups/ctao_user/Users", []) == ["puser", "pprod", "panalyst"]
    assert central.getOption("Registry/Groups/ctao_user/RucioAccountPerUser") == "True"


def test_storage_elements_are_the_rses_and_only_the_tape_is_tape(central: CFG, layout: Layout) -> None:
    elements = set(central.getAsCFG("Resources/StorageElements").listSections())
    assert elements == {*RSES, dirac_resources.SANDBOX_SE}
    for rse in RSES:
        section = f"Resources/StorageElements/{rse}"
        assert central.getOption(f"{section}/SEType") == ("T1D0" if rse == TAPE else "T0D1")
        assert central.getOption(f"{section}/GFAL2_XROOT/Port") == str(layout.port(rse))
        assert central.isSection(f"{section}/GFAL2_HTTPS") == (rse != TAPE)


def test_each_storage_element_belongs_to_the_site_of_its_rse(central: CFG) -> None:
    for rse, place in RSES.items():
        name = dirac_resources.SITES[place]
        assert rse in central.getOption(f"Resources/Sites/CTAO/{name}/SE", [])


def test_each_service_has_its_port_and_its_address(central: CFG, layout: Layout) -> None:
    for name in DIRAC_SERVICES:
        system, service = name.split("/")
        port = layout.port(name)
        assert central.getOption(f"Systems/{system}/Services/{service}/Port") == str(port)
        assert central.getOption(f"Systems/{system}/URLs/{service}") == f"dips://localhost:{port}/{name}"


def test_rucio_is_the_catalogue_and_diracs_own_is_declared_but_not_asked(central: CFG) -> None:
    assert central.getOption("Operations/Defaults/Services/Catalogs/CatalogList", []) == [
        "RucioFileCatalog",
        "TSCatalog",
    ]
    assert central.getOption("Operations/Defaults/Services/Catalogs/RucioFileCatalog/Master") == "True"
    assert central.isSection("Resources/FileCatalogs/FileCatalog")
    catalogue_settings(options(central, "Resources/FileCatalogs/RucioFileCatalog"), "testbed")


def test_heartbeats_are_shorter_than_the_time_after_which_a_job_is_stalled(central: CFG) -> None:
    wrapper = options(central, "Systems/WorkloadManagement/JobWrapper")
    agent = options(central, "Systems/WorkloadManagement/Agents/StalledJobAgent")
    heartbeat = int(wrapper["CheckingTime"])
    assert int(wrapper["MinCheckingTime"]) <= heartbeat
    stalled = heartbeat * (float(agent["StalledTimeHours"]) + 0.5)
    assert heartbeat + int(wrapper["PollingTime"]) < stalled
    assert stalled + 2 * int(agent["PollingTime"]) <= 90


def test_agents_go_on_for_ever(central: CFG) -> None:
    for name in dirac_systems.installed_agents():
        system, agent = name.split("/")
        assert central.getOption(f"Systems/{system}/Agents/{agent}/MaxCycles") == "0"


def test_only_the_server_knows_the_password_and_its_file_is_private(layout: Layout) -> None:
    dirac_config.write(layout)
    files = sorted((layout.root / "dirac").rglob("*.cfg"))
    assert {file.parent.parent.name for file in files} == {"server", "client", "worker1", "worker2"}
    knowing = [file for file in files if "secret" in file.read_text()]
    assert knowing == [layout.dirac_root("server") / "etc" / "dirac.cfg"]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_what_an_administrator_committed_stays_until_the_generator_says_other(layout: Layout) -> None:
    dirac_config.write(layout)
    served = dirac_config.configuration_file(layout)
    served.write_text(served.read_text() + "\nMine\n{\n  option = 1\n}\n")
    dirac_config.write(layout)
    assert "Mine" in served.read_text()
    dirac_config.write(layout, ["FileCatalog"])
    assert "Mine" not in served.read_text()


def test_workers_look_like_pilots_of_their_site(layout: Layout) -> None:
    cfg = CFG().loadFromBuffer(dirac_tree.text(dirac_config.worker(layout, "worker2")))
    assert cfg.getOption("LocalSite/Site") == dirac_resources.WORKER_SITE
    assert cfg.getOption("LocalSite/PilotReference") == "testbed-worker2"
    assert cfg.getOption("LocalSite/SharedArea") == str(layout.software)


# --- the example for administrators


@pytest.fixture
def example() -> CFG:
    return CFG().loadFromFile(str(EXAMPLE))


def test_the_example_loads_into_diracs_configuration(example: CFG) -> None:
    from DIRAC import gConfig
    from DIRAC.ConfigurationSystem.private.ConfigurationData import ConfigurationData

    data = ConfigurationData(loadDefaultCFG=False)
    data.mergeWithLocal(example)
    assert data.extractOptionFromCFG("/Resources/FileCatalogs/RucioFileCatalog/VO") == "ctao"
    assert gConfig is not None


def test_the_example_has_every_option_of_the_catalogue(example: CFG) -> None:
    section = options(example, "Resources/FileCatalogs/RucioFileCatalog")
    catalogue_settings(section, str(EXAMPLE))
    assert set(CatalogueSettings.model_fields) - set(section) == {"CatalogURL"}  # not for Rucio; DIRAC may add it


def test_the_testbed_does_what_the_example_says(example: CFG, layout: Layout) -> None:
    """Same options, and the same values but for addresses and times."""
    ours = paths(dirac_config.central(layout))
    theirs = paths(example.getAsDict())
    differ = ("/RucioHost", "/AuthHost", "/CACertificate", "/Host", "/Port", "/PollingTime")
    left_out = ("/RucioVO", "/RequestTimeout", "/ScopeMapping", "/ForeignScopes")  # optional, and at their defaults
    for path, value in theirs.items():
        path = path.replace("/dirac.example.org/", "/localhost/")
        if path.endswith(left_out) or (dirac_systems.CAMPAIGN_AGENT.split("/")[1] in path and path not in ours):
            continue
        assert path in ours, f"{path} is in the example and not in the testbed"
        if not path.endswith(differ):
            assert ours[path] == value, path


def test_the_installed_packages_have_the_sql_of_every_database() -> None:
    from CTARucioDIRAC.testbed import mariadb

    for database in mariadb.DATABASES:
        assert mariadb.sql_file(database).read_text()


def test_the_logging_of_short_commands_asks_nothing_of_operations(layout: Layout) -> None:
    """Else one that takes the configuration from its shell's cache finds /Operations empty."""
    cfg = CFG().loadFromBuffer(dirac_tree.text(dirac_config.client(layout)))
    commands = cfg.getAsCFG("Scripts").listSections()
    assert {"dls", "dput", "dget", "drm"} <= set(commands)
    for name in commands:
        assert options(cfg, f"Scripts/{name}") == {"LogBackends": "stdout", "LogLevel": "NOTICE"}


def test_another_configuration_starts_the_processes_that_read_it_again(layout: Layout) -> None:
    ours = {one.name: one.settings() for one in dirac.services(layout)}
    other = {one.name: one.settings() for one in dirac.services(layout, ["FileCatalog"])}
    more = {one.name: one.settings() for one in dirac.services(replace(layout, workers=3))}
    assert {name for name in ours if ours[name] != other[name]} == set(ours) - {"dirac-documents"}
    assert {name: more[name] for name in ours} == ours
    assert "dirac-worker3" in more
