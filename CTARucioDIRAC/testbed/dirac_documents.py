"""A store for DIRAC's job parameters: the few calls of OpenSearch's interface that DIRAC makes, over SQLite.

DIRAC keeps job parameters (host, pilot, CPU time …) in OpenSearch only. Without any, jobs run, but StalledJobAgent never
declares a stalled job Failed and no job can be rescheduled: both ask for parameters first and give up on the error. This
is not OpenSearch: it finds documents by their number, and cannot search.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from . import environment
from .layout import Layout
from .service import NotReady, Service

_REMOVAL = re.compile(r"ctx\._source\.remove\('(?P<name>.*)'\)")


def services(layout: Layout) -> list[Service]:
    """The store, as service ``dirac-documents``; its data are in one file, ``dirac/documents.sqlite``."""
    port = layout.port("documents")
    return [
        Service(
            name="dirac-documents",
            argv=[
                str(layout.bin / "python"),
                "-m",
                "CTARucioDIRAC.testbed.dirac_documents",
                str(layout.root / "dirac" / "documents.sqlite"),
                str(port),
            ],
            env=environment.service(layout),
            cwd=layout.root,
            ports=[port],
            prepare=lambda: (layout.root / "dirac").mkdir(exist_ok=True),
            healthy=lambda: _check(port),
            deadline=20.0,
        )
    ]


def _check(port: int) -> None:
    """Ask for a document that is not there: an answer needs the file."""
    body = json.dumps({"docs": [{"_index": "health", "_id": "1"}]}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/_mget", body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=5) as answer:
        if json.load(answer)["docs"][0]["found"]:
            raise NotReady("the store claims a document that nobody wrote")


class Documents:
    """Documents by index and number, on disk; safe across threads."""

    def __init__(self, file: Path | str) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS documents (indexname TEXT, id TEXT, body TEXT, PRIMARY KEY (indexname, id))"
        )
        self._database.execute("CREATE TABLE IF NOT EXISTS indices (name TEXT PRIMARY KEY)")

    def _run(self, statement: str, *arguments: str) -> list[tuple[str, ...]]:
        with self._lock:
            return self._database.execute(statement, arguments).fetchall()

    def create_index(self, name: str) -> None:
        """Note that an index exists."""
        self._run("INSERT OR IGNORE INTO indices VALUES (?)", name)

    def has_index(self, name: str) -> bool:
        """Whether the index was created or has documents."""
        return bool(self._run("SELECT 1 FROM indices WHERE name = ?", name))

    def delete_index(self, name: str) -> None:
        """Forget an index and its documents."""
        self._run("DELETE FROM documents WHERE indexname = ?", name)
        self._run("DELETE FROM indices WHERE name = ?", name)

    def get(self, index: str, number: str) -> dict[str, Any] | None:
        """The document, or None."""
        rows = self._run("SELECT body FROM documents WHERE indexname = ? AND id = ?", index, number)
        return json.loads(rows[0][0]) if rows else None

    def put(self, index: str, number: str, body: dict[str, Any]) -> None:
        """Write or replace a document."""
        self.create_index(index)
        self._run("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", index, number, json.dumps(body))

    def update(self, index: str, number: str, change: dict[str, Any]) -> bool:
        """Add to a document, or take a key from it, as OpenSearch's ``_update``; False if there is none."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                row = self._database.execute(
                    "SELECT body FROM documents WHERE indexname = ? AND id = ?", (index, number)
                ).fetchone()
                if row:
                    body = json.loads(row[0])
                    body.update(change.get("doc", {}))
                    if removal := _REMOVAL.search(str(change.get("script", ""))):
                        body.pop(removal["name"], None)
                    self._database.execute(
                        "UPDATE documents SET body = ? WHERE indexname = ? AND id = ?",
                        (json.dumps(body), index, number),
                    )
            finally:
                self._database.execute("COMMIT")
        return row is not None

    def delete(self, index: str, number: str) -> bool:
        """Delete a document; False if there is none."""
        return bool(self._run("DELETE FROM documents WHERE indexname = ? AND id = ? RETURNING id", index, number))


#: An answer: HTTP status and the object to send.
Answer = tuple[int, dict[str, Any]]


def answer(documents: Documents, method: str, path: list[str], content: bytes) -> Answer:
    """What OpenSearch would answer.

    Parameters
    ----------
    documents : Documents
        The store.
    method : str
        HTTP method.
    path : list of str
        Parts of the path.
    content : bytes
        Body of the request.

    Returns
    -------
    tuple
        HTTP status and body; 400 with a reason for a call that DIRAC's job parameters don't make.
    """
    match path:
        case []:
            return 200, {
                "name": "testbed",
                "cluster_name": "testbed-documents",
                "version": {"number": "2.11.1", "distribution": "opensearch"},
            }
        case [("_index_template" | "_template"), *_]:
            return 200, {"acknowledged": True}
        case [*_, "_mget"]:
            return 200, {"docs": [_found(documents, item) for item in json.loads(content)["docs"]]}
        case [index]:
            return _index(documents, method, index)
        case [index, ("_doc" | "_create" | "_update") as kind, number]:
            return _document(documents, method, index, kind, number, content)
    return _unknown(method, path)


def _found(documents: Documents, item: dict[str, Any]) -> dict[str, Any]:
    index, number = str(item["_index"]), str(item["_id"])
    body = documents.get(index, number)
    found: dict[str, Any] = {"_index": index, "_id": number, "found": body is not None}
    return found if body is None else {**found, "_source": body}


def _index(documents: Documents, method: str, index: str) -> Answer:
    if method == "HEAD":
        return (200 if documents.has_index(index) else 404), {}
    if method == "PUT":
        documents.create_index(index)
        return 200, {"acknowledged": True, "index": index}
    if method == "DELETE":
        documents.delete_index(index)
        return 200, {"acknowledged": True}
    return _unknown(method, [index])


def _document(documents: Documents, method: str, index: str, kind: str, number: str, content: bytes) -> Answer:
    about = {"_index": index, "_id": number}
    missing: Answer = (404, {**about, "found": False, "result": "not_found"})
    if kind == "_update":
        return (
            (200, {**about, "result": "updated"}) if documents.update(index, number, json.loads(content)) else missing
        )
    if method in ("GET", "HEAD"):
        found = _found(documents, about)
        return (200, found) if found["found"] else missing
    if method in ("PUT", "POST"):
        documents.put(index, number, json.loads(content))
        return 201, {**about, "result": "created"}
    if method == "DELETE":
        return (200, {**about, "result": "deleted"}) if documents.delete(index, number) else missing
    return _unknown(method, [index, kind, number])


def _unknown(method: str, path: list[str]) -> Answer:
    reason = f"{method} /{'/'.join(path)}: not one of the calls that this store knows; it is not OpenSearch"
    return 400, {"error": {"type": "not_implemented", "reason": reason}, "status": 400}


def _handler(documents: Documents) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Nothing for each request; failures are raised and end in the log."""

        def _respond(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = [part for part in self.path.partition("?")[0].split("/") if part]
            status, body = answer(documents, self.command, path, content)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _respond

    return Handler


def main() -> None:
    """Serve until killed: ``dirac_documents FILE PORT``."""
    documents = Documents(Path(sys.argv[1]))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), _handler(documents)).serve_forever()


if __name__ == "__main__":
    main()
