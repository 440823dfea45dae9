"""The store of job parameters, through the client that DIRAC uses for OpenSearch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from CTARucioDIRAC.testbed import dirac_documents
from CTARucioDIRAC.testbed.dirac_documents import Documents, answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    documents = Documents(tmp_path / "documents.sqlite")
    with ThreadingHTTPServer(("127.0.0.1", 0), dirac_documents._handler(documents)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def client(server: ThreadingHTTPServer) -> Any:
    from DIRAC.Core.Utilities.ElasticSearchDB import ElasticSearchDB

    return ElasticSearchDB("127.0.0.1", server.server_address[1], useSSL=False)


def value(result: dict[str, Any]) -> Any:
    assert result["OK"], result["Message"]
    return result.get("Value")


def test_dirac_connects_and_keeps_documents(client: Any) -> None:
    index = "job_parameters_ctao_0m"
    assert not value(client.existingIndex(index))
    value(client.addIndexTemplate("jobs", ["job_parameters_*"], {"JobID": {"type": "long"}}))
    value(client.createIndex(index, period=None))
    assert value(client.existingIndex(index))
    assert not client.existsDoc(index, docID="7")
    value(client.index(index, body={"JobID": 7, "HostName": "here"}, docID="7"))
    assert client.existsDoc(index, docID="7")
    value(client.updateDoc(index=index, docID="7", body={"doc": {"PayloadPID": 1}}))
    value(client.updateDoc(index=index, docID="7", body={"script": "ctx._source.remove('HostName')"}))
    assert value(client.getDoc(index, "7")) == {"JobID": 7, "PayloadPID": 1}
    found = value(client.getDocs(lambda *_: index, [7, 8], "ctao"))
    assert found == {7: {"JobID": 7, "PayloadPID": 1}, 8: {}}
    value(client.deleteDoc(index, docID="7"))
    assert not client.existsDoc(index, docID="7")


def test_documents_outlive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "documents.sqlite"
    Documents(file).put("index", "1", {"a": 1})
    assert Documents(file).get("index", "1") == {"a": 1}


def test_updates_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    documents = Documents(tmp_path / "documents.sqlite")
    documents.put("index", "1", {})

    def add(thread: int) -> None:
        for number in range(20):
            documents.update("index", "1", {"doc": {f"{thread}-{number}": 1}})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(documents.get("index", "1") or {}) == 80


@pytest.mark.parametrize("path", [["index", "_search"], ["_cluster", "health"], ["index", "_doc"]])
def test_other_calls_are_refused_with_a_reason(tmp_path: Path, path: list[str]) -> None:
    status, body = answer(Documents(tmp_path / "documents.sqlite"), "GET", path, b"")
    assert status == 400
    assert "not OpenSearch" in body["error"]["reason"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_document_that_is_not_there_is_not_found(tmp_path: Path, method: str) -> None:
    status, _ = answer(Documents(tmp_path / "documents.sqlite"), method, ["index", "_doc", "1"], b"")
    assert status == 404
