"""A TLS server between a client and Rucio that does to requests what networks and servers do."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

#: Gets the handler; answers by itself, or returns False to let the request pass on.
Fault = Callable[["Handler"], bool]


class Handler(BaseHTTPRequestHandler):
    """Passes requests on, but for those that a fault befalls."""

    protocol_version = "HTTP/1.1"
    server: FaultServer

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.body = body
        fault = self.server.next_fault()
        if fault is None or not fault(self):
            self.answer(self.forward())

    do_POST = do_PUT = do_DELETE = do_GET

    def forward(self) -> requests.Response:
        """What Rucio answers; the request has been applied then."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                self.command, self.server.upstream + self.path, headers=headers, data=self.body, verify=self.server.ca
            )

    def answer(self, response: requests.Response, upto: int | None = None) -> None:
        """Give an answer, or the first bytes of it."""
        self.send_response(response.status_code)
        for name in ("Content-Type", "ExceptionClass", "ExceptionMessage"):
            if name in response.headers:
                self.send_header(name, response.headers[name])
        self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()
        self.wfile.write(response.content if upto is None else response.content[:upto])

    def cut(self) -> None:
        """Close the connection at once."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def status(code: int, **headers: str) -> Fault:
    """The server says so, and does nothing."""

    def befall(handler: Handler) -> bool:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return befall


def cut_before(handler: Handler) -> bool:
    """The connection is cut, nothing was done."""
    handler.cut()
    return True


def cut_after(handler: Handler) -> bool:
    """The request is applied; the connection is cut before the answer."""
    handler.forward()
    handler.cut()
    return True


def cut_within(handler: Handler) -> bool:
    """The request is applied; the answer breaks off in its middle."""
    response = handler.forward()
    handler.answer(response, upto=len(response.content) // 2)
    handler.cut()
    return True


def error_after(handler: Handler) -> bool:
    """The request is applied, and something on the way answers 502 nevertheless."""
    handler.forward()
    return status(502)(handler)


class FaultServer(ThreadingHTTPServer):
    """Passes on to Rucio; :attr:`faults` gives the fault of the request with that number, counted from 0."""

    daemon_threads = True

    def __init__(self, layout: Any, port: int = 0) -> None:
        self.upstream = f"https://localhost:{layout.port('rucio')}"
        self.ca = str(layout.ca_file)
        self.faults: dict[int, Fault] = {}
        self.count = 0
        self.connections = 0
        self._lock = threading.Lock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(layout.certs / "host.pem", layout.certs / "host.key")
        super().__init__(("127.0.0.1", port), Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    @property
    def address(self) -> str:
        return f"https://localhost:{self.server_address[1]}"

    def next_fault(self) -> Fault | None:
        with self._lock:
            self.count += 1
            return self.faults.get(self.count - 1)

    def befall(self, faults: dict[int, Fault]) -> None:
        """Count from now on, and let these happen."""
        with self._lock:
            self.count, self.faults = 0, faults

    def handle_error(self, *_: Any) -> None:
        """Cut connections are what it is for."""


@contextmanager
def running(layout: Any, port: int = 0) -> Iterator[FaultServer]:
    server = FaultServer(layout, port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
