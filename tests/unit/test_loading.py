"""DIRAC finds what this extension brings, on both supported versions, and CTADIRAC stays in charge."""

import importlib
from importlib.metadata import entry_points, version

import pytest
from DIRAC.Core.Utilities.Extensions import extensionsByPriority, getExtensionMetadata
from DIRAC.Core.Utilities.ObjectLoader import ObjectLoader

SUPPORTED = {"9.1.9", "9.1.22"}


def test_a_supported_version_is_installed():
    assert version("DIRAC") in SUPPORTED, f"DIRAC {version('DIRAC')}: add a column to the tests before supporting it"


def test_this_extension_comes_first_and_ctadirac_stays_primary():
    assert extensionsByPriority() == ["CTARucioDIRAC", "CTADIRAC", "DIRAC"]
    assert getExtensionMetadata("CTADIRAC")["primary_extension"]
    assert not getExtensionMetadata("CTARucioDIRAC")["primary_extension"]


@pytest.mark.parametrize(
    "path",
    [
        "Resources.Catalog.RucioFileCatalogClient",
        "DataManagementSystem.Client.RucioDataManager",
        "TransformationSystem.Agent.RucioCampaignAgent",
        "WorkloadManagementSystem.Client.StepFetchesInput",
        "Workflow.Modules.RucioStep",
    ],
)
def test_objects_are_found_by_name(path):
    result = ObjectLoader().loadObject(path)
    assert result["OK"], result.get("Message")
    assert result["Value"].__module__ == f"CTARucioDIRAC.{path}"


def test_dirac_and_ctadirac_are_not_shadowed():
    for path, owner in (
        ("Resources.Catalog.FileCatalogClient", "DIRAC"),
        ("Workflow.Modules.Script", "DIRAC"),
        ("TransformationSystem.DB.TransformationDB", "CTADIRAC"),
    ):
        module = ObjectLoader().loadModule(path)
        if not module["OK"] and "MySQLdb" in module["Message"]:
            pytest.fail(f"{path}: the server's dependencies are missing")
        assert module["Value"].__name__.startswith(f"{owner}."), module


def test_the_transformation_plugin_adds_to_diracs():
    module = importlib.import_module("CTARucioDIRAC.TransformationSystem.Agent.RucioTransformationPlugin")
    assert hasattr(module.TransformationPlugin, "_RucioChunks")
    assert hasattr(module.TransformationPlugin, "_Standard")


def test_the_entry_point_is_registered():
    values = {e.value for e in entry_points(group="dirac") if e.value.startswith("CTARucioDIRAC")}
    assert values == {"CTARucioDIRAC:extension_metadata"}
