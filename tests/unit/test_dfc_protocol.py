"""The service that answers DIRAC's file catalogue protocol: every method of DIRAC's own is answered, or says why not."""

from __future__ import annotations

import errno
import inspect
import json

import pytest
from DIRAC import S_OK
from DIRAC.ConfigurationSystem.private.ConfigurationClient import ConfigurationClient
from DIRAC.Resources.Catalog.FileCatalogClient import FileCatalogClient

from CTARucioDIRAC.ConfigurationSystem.Client import Gateways
from CTARucioDIRAC.Core.Utilities.CatalogueComparison import Comparison
from CTARucioDIRAC.DataManagementSystem.Service import RucioFileCatalogHandler as service
from CTARucioDIRAC.domain.errors import CtaRucioError, InvalidInput, InvalidSettings, NotAuthenticated
from CTARucioDIRAC.Resources.Catalog.RucioFileCatalogClient import RucioFileCatalogClient

PROTOCOL = service.protocol()
CALLER = {"DN": "/CN=jdoe", "username": "jdoe", "group": "ctao_user"}
CS = {
    "/Registry/Groups/ctao_user/RucioAccount": "ctaouser",
    "/Registry/Hosts/dirac.example.org/RucioAccount": "ctaohost",
}


@pytest.fixture
def host(monkeypatch):
    monkeypatch.setattr(Gateways.Locations, "getHostCertificateAndKeyLocation", lambda: ("/host.pem", "/host.key"))
    monkeypatch.setattr(ConfigurationClient, "getValue", lambda self, option, default=None: CS.get(option, default))


@pytest.fixture
def handler(host, monkeypatch):
    found = object.__new__(service.RucioFileCatalogHandler)
    monkeypatch.setattr(found, "getRemoteCredentials", lambda: CALLER, raising=False)
    return found


def test_all_of_the_protocol_is_exported():
    assert len(PROTOCOL) > 60
    for method, (_, types) in PROTOCOL.items():
        assert callable(getattr(service.RucioFileCatalogHandler, f"export_{method}"))
        assert getattr(service.RucioFileCatalogHandler, f"types_{method}") == types


def test_whatever_diracs_client_calls_is_in_the_protocol():
    dead = {"createLink", "removeLink", "getDirectoryContents", "getLFNForPFN", "setDirectoryStatus"}  # in DIRAC's, too
    by_itself = {"setReplicaProblematic", "getSEDump"}
    offered = {*FileCatalogClient.READ_METHODS, *FileCatalogClient.WRITE_METHODS, *FileCatalogClient.ADMIN_METHODS}
    assert offered - dead - by_itself <= set(PROTOCOL)


@pytest.mark.parametrize("method", sorted(PROTOCOL))
def test_each_method_is_answered_or_says_why_not(method):
    parameters, _ = PROTOCOL[method]
    function = getattr(RucioFileCatalogClient, method, None)
    if function is None:
        arguments = dict.fromkeys(parameters, "x")
        answer = service.call(RucioFileCatalogClient(), method, arguments)
        assert not answer["OK"]
        assert answer["Errno"] == errno.ENOSYS
        assert method in answer["Message"]
    else:
        inspect.signature(function).bind(None, *parameters[:1], **dict.fromkeys(parameters[1:]))


def test_the_catalogue_is_asked_by_name():
    class Catalogue:
        def getDirectorySize(self, lfns, recursiveSum=True, longOut=False, fromFiles=False):
            return S_OK([lfns, longOut, fromFiles, recursiveSum])

        def hasAccess(self, paths, opType):
            return S_OK([paths, opType])

        def getMetadataFields(self):
            return S_OK({})

    parameters, _ = PROTOCOL["getDirectorySize"]
    arguments = dict(zip(parameters, ("/ctao", True, False, "r"), strict=True))
    assert service.call(Catalogue(), "getDirectorySize", arguments)["Value"] == ["/ctao", True, False, "r"]
    assert service.call(Catalogue(), "getMetadataFields", {})["OK"]
    for arguments in (
        {"paths": {"/ctao": True}, "opType": "addFile"},
        {"paths": "addFile", "opType": {"/ctao": True}},  # clients before DIRAC v6r15
    ):
        assert service.call(Catalogue(), "hasAccess", arguments)["Value"] == [{"/ctao": True}, "addFile"]


def test_an_answer_is_given_as_who_asks(handler, monkeypatch):
    class Catalogue:
        def exists(self, lfns):
            identity = Gateways.current_identity()
            return S_OK({"Successful": {lfns: identity.account}, "Failed": {}})

    monkeypatch.setattr(service, "_ServedCatalogue", Catalogue)
    assert handler.export_exists("/ctao")["Value"]["Successful"] == {"/ctao": "ctaouser"}
    with pytest.raises(CtaRucioError):  # outside of the call, the process is nobody special
        monkeypatch.setattr(Gateways.Locations, "getProxyLocation", lambda: False)
        Gateways.current_identity()


def test_more_than_the_service_sends_is_refused(handler, monkeypatch):
    class Catalogue:
        def findFilesByMetadata(self, metaDict, path="/"):
            return S_OK([f"/ctao/{i}" for i in range(11)])

    monkeypatch.setattr(service, "_ServedCatalogue", Catalogue)
    monkeypatch.setattr(service.RucioFileCatalogHandler, "max_entries", 10)
    answer = handler.export_findFilesByMetadata({}, "/")
    assert answer["Errno"] == errno.EINVAL
    assert "11 entries" in answer["Message"]
    too_many = handler.export_getMetadataFields(1)
    assert too_many["Errno"] == errno.EINVAL


def test_answers_can_be_compared_with_diracs_own_service(handler, monkeypatch, tmp_path):
    class Catalogue:
        def exists(self, lfns):
            return S_OK({"Successful": {lfns: lfns}, "Failed": {}})

        def setMetadata(self, path, metadatadict):
            return S_OK()

    class Other:
        def __init__(self, url):
            asked.append(url)

        def exists(self, lfns):
            return S_OK({"Successful": {lfns: False}, "Failed": {}})

    asked, log = [], tmp_path / "differences"
    comparison = Comparison("RucioFileCatalog", "dips://dfc.example.org:9197/DataManagement/FileCatalog", str(log))
    monkeypatch.setattr(service, "_ServedCatalogue", Catalogue)
    monkeypatch.setattr(service, "FileCatalogClient", Other)
    monkeypatch.setattr(service.RucioFileCatalogHandler, "comparison", comparison)
    assert handler.export_exists("/ctao")["Value"]["Successful"] == {"/ctao": "/ctao"}
    assert asked == [comparison.shadow]
    assert json.loads(log.read_text())["name"] == "/ctao"
    assert handler.export_setMetadata("/ctao", {})["OK"]
    assert len(asked) == 1, "what is written is written once"


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (None, 0),
        (True, 0),
        (["a", "b"], 2),
        ({"Successful": {"/d": {"Files": {"f": {}, "g": {}, "h": {}}}}, "Failed": {}}, 3),
        ({"1": "/d"}, 1),
    ],
)
def test_entries_are_counted(value, count):
    assert service.entries(value) == count


@pytest.mark.parametrize("names", ["PIC-DISK", "[]", "{}", "[1]", '{"a": 1}'])
def test_a_dump_needs_storage_elements(names):
    with pytest.raises(InvalidInput):
        list(service.dump_texts(names))


def test_a_dump_is_written_as_it_comes(monkeypatch):
    files = [("PIC-DISK", f"/ctao/{i}", "0000abcd", i) for i in range(3)]
    monkeypatch.setattr(service, "current_gateway", lambda: None)
    monkeypatch.setattr(service, "files_at", lambda gateway, rses: iter(files))
    monkeypatch.setattr(service, "LINES", 2)
    texts = list(service.dump_texts(json.dumps(["PIC-DISK"])))
    assert texts == [
        "PIC-DISK|/ctao/0|0000abcd|0\r\nPIC-DISK|/ctao/1|0000abcd|1\r\n",
        "PIC-DISK|/ctao/2|0000abcd|2\r\n",
    ]


def test_who_may_call(host):
    assert Gateways.remote_identity(CALLER).account == "ctaouser"
    assert Gateways.remote_identity({"username": "dirac.example.org", "group": "hosts"}).account == "ctaohost"
    with pytest.raises(InvalidSettings, match="/Registry/Groups/other/RucioAccount"):
        Gateways.remote_identity(CALLER | {"group": "other"})
    for nobody in ({}, {"DN": "/CN=x", "username": "anonymous", "group": "visitor"}, CALLER | {"group": ""}):
        with pytest.raises(NotAuthenticated):
            Gateways.remote_identity(nobody)
