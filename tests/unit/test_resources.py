"""The operators' files can be loaded."""

from pathlib import Path

import pytest
from diraccfg import CFG
from ruamel.yaml import YAML

RESOURCES = Path(__file__).resolve().parents[2] / "Resources"


@pytest.mark.parametrize("path", sorted(RESOURCES.rglob("*.cfg")), ids=lambda p: p.name)
def test_configuration_snippets_load(path):
    configuration = CFG()
    configuration.loadFromFile(str(path))
    plugin = "Systems/Transformation/Agents/TransformationAgent/PluginLocation"
    assert configuration.getOption(plugin) == "CTARucioDIRAC.TransformationSystem.Agent.RucioTransformationPlugin"


def test_tapes_are_never_set_up_so_that_copies_get_lost():
    roles = YAML(typ="safe").load((RESOURCES / "rses.yaml").read_text())
    assert set(roles) == {"onsite", "tape", "buffer", "disk"}
    assert not {"staging_required", "greedyDeletion"} & set(roles["tape"]["attributes"])
