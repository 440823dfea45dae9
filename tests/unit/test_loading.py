"""DIRAC finds what this extension brings, on both supported versions, and CTADIRAC stays in charge."""

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points, version

import pytest
from DIRAC.Core.Utilities.Extensions import extensionsByPriority, getExtensionMetadata

SUPPORTED = {"9.1.9", "9.1.22"}


def test_a_supported_version_is_installed():
    assert version("DIRAC") in SUPPORTED, f"DIRAC {version('DIRAC')}: add a column to the tests before supporting it"


def test_this_extension_comes_first_and_ctadirac_stays_primary():
    assert extensionsByPriority() == ["CTARucioDIRAC", "CTADIRAC", "DIRAC"]
    assert getExtensionMetadata("CTADIRAC")["primary_extension"]
    assert not getExtensionMetadata("CTARucioDIRAC")["primary_extension"]


OURS = (
    "Resources.Catalog.CTARucioFileCatalogClient",
    "DataManagementSystem.Client.RucioDataManager",
    "TransformationSystem.Agent.RucioCampaignAgent",
    "WorkloadManagementSystem.Client.StepFetchesInput",
    "Workflow.Modules.RucioStep",
)
_OWNERS = """
import json, sys
from DIRAC.Core.Utilities.ObjectLoader import ObjectLoader
loader = ObjectLoader()
if sys.argv[1] == "configured":
    loader.reloadRootModules()  # as each command and service does once its configuration is loaded
found = {path: loader.loadModule(path) for path in sys.argv[2:]}
print(json.dumps({path: r["Value"].__name__ if r["OK"] else r["Message"] for path, r in found.items()}))
"""


def owners(state, *paths):
    """Which module DIRAC's loader takes for each path, in a process of its own: the loader is a singleton."""
    command = [sys.executable, "-c", _OWNERS, state, *paths]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("state", ["started", "configured"])
def test_what_we_bring_is_found_by_name(state):
    """In both orders: DIRAC reverses its list of extensions whenever a configuration is loaded."""
    assert owners(state, *OURS) == {path: f"CTARucioDIRAC.{path}" for path in OURS}


def test_dirac_and_ctadirac_are_not_shadowed():
    paths = (
        "Resources.Catalog.FileCatalogClient",
        "Workflow.Modules.Script",
        "TransformationSystem.DB.TransformationDB",
    )
    found = owners("started", *paths)
    assert [found[path].split(".")[0] for path in paths] == ["DIRAC", "DIRAC", "CTADIRAC"]


def test_the_transformation_plugin_adds_to_diracs():
    module = importlib.import_module("CTARucioDIRAC.TransformationSystem.Agent.RucioTransformationPlugin")
    assert hasattr(module.TransformationPlugin, "_RucioChunks")
    assert hasattr(module.TransformationPlugin, "_Standard")


def test_the_entry_point_is_registered():
    values = {e.value for e in entry_points(group="dirac") if e.value.startswith("CTARucioDIRAC")}
    assert values == {"CTARucioDIRAC:extension_metadata"}
