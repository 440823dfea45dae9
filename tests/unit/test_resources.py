"""The operators' files can be loaded."""

from pathlib import Path

import pytest
from diraccfg import CFG
from ruamel.yaml import YAML

from CTARucioDIRAC.domain.metadata_fields import DIRECTORY_FIELDS, FILE_FIELDS

RESOURCES = Path(__file__).resolve().parents[2] / "Resources"


@pytest.mark.parametrize("path", sorted(RESOURCES.rglob("*.cfg")), ids=lambda p: p.name)
def test_configuration_snippets_load(path):
    assert CFG().loadFromFile(str(path)).listSections()


def test_the_snippet_of_campaigns_names_the_plugin():
    configuration = CFG().loadFromFile(str(RESOURCES / "cs" / "campaigns.cfg"))
    plugin = "Systems/Transformation/Agents/TransformationAgent/PluginLocation"
    assert configuration.getOption(plugin) == "CTARucioDIRAC.TransformationSystem.Agent.RucioTransformationPlugin"


def test_the_metadata_schema_is_the_one_that_the_catalogue_declares():
    configuration = CFG()
    configuration.loadFromFile(str(RESOURCES / "cs" / "metadata-schema.cfg"))
    section = "Operations/Defaults/DataManagement/MetadataFields"
    for name, fields in (("Directory", DIRECTORY_FIELDS), ("File", FILE_FIELDS)):
        assert configuration[section][name].getAsDict() == dict(fields)


def test_tapes_are_never_set_up_so_that_copies_get_lost():
    roles = YAML(typ="safe").load((RESOURCES / "rses.yaml").read_text())
    assert set(roles) == {"onsite", "tape", "buffer", "disk"}
    assert not {"staging_required", "greedyDeletion"} & set(roles["tape"]["attributes"])
