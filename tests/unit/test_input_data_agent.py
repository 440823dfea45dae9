"""DIRAC starts this extension's InputDataAgent, which finds files through the catalogues that are configured."""

import importlib

from DIRAC import S_OK
from DIRAC.ConfigurationSystem.Client import PathFinder
from DIRAC.Core.Base.private.ModuleLoader import ModuleLoader

OURS = "CTARucioDIRAC.TransformationSystem.Agent.InputDataAgent"


def test_dirac_loads_ours():
    loader = ModuleLoader("Agent", PathFinder.getAgentSection, moduleSuffix="")
    assert loader.loadModule("Transformation/InputDataAgent", hideExceptions=False)["OK"]
    found = loader.getModules()["Transformation/InputDataAgent"]["classObj"]
    assert found.__module__ == OURS


def test_files_come_from_the_configured_catalogues(monkeypatch):
    module = importlib.import_module(OURS)
    asked, added = [], []

    class Catalogue:
        def findFilesByMetadata(self, query):
            asked.append(query)
            return S_OK(["/ctao/b", "/ctao/a"])

    class Transformations:
        def getTransformations(self, *args, **kwargs):
            return S_OK([{"TransformationID": 7, "AuthorDN": "/CN=x", "AuthorGroup": "g"}])

        def getTransformationMetaQuery(self, number, kind):
            return S_OK({"site": "LaPalma"})

        def addFilesToTransformation(self, number, lfns):
            added.append((number, lfns))
            return S_OK({"Failed": {}, "Successful": dict.fromkeys(lfns, "Added")})

    class Log:
        def __getattr__(self, name):
            return lambda *args, **kwargs: None

    monkeypatch.setattr(module, "FileCatalog", Catalogue)
    monkeypatch.setattr(module.DiracInputDataAgent, "__init__", lambda self, *args, **kwargs: None)
    agent = module.InputDataAgent("Transformation/InputDataAgent", "Transformation/InputDataAgent")
    agent.transClient, agent.log, agent.fileLog = Transformations(), Log(), {}
    agent.transformationTypes, agent.refreshonly, agent.multiVO = ["DataReprocessing"], False, False
    assert agent.execute()["OK"]
    assert asked == [{"site": "LaPalma"}]
    assert added == [(7, ["/ctao/a", "/ctao/b"])]
