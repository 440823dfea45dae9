"""The REST interface: HTTPS, clients known by certificate or proxy, the FTS3 resources that Rucio and DIRAC ask for."""

from __future__ import annotations

import json
import re
import ssl
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography import x509

from . import submission
from .delegation import Delegations, delegation_id
from .engine import Engine
from .model import Job, job_view, transfer_view
from .store import Store, timestamp
from .submission import BASE_ID, Refused

_PROXY_CERT_INFO = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")
_NAMES = {"commonName": "CN", "organizationalUnitName": "OU", "organizationName": "O", "countryName": "C"}
_NAMES |= {"domainComponent": "DC", "stateOrProvinceName": "ST", "localityName": "L"}
#: Seconds that a client may be silent.
_PATIENCE = 60.0
#: The engine goes round twice a second; if it does not for so long, the service is ill.
_STALE = 60.0
_VERSION = {"major": 3, "minor": 14, "patch": 2}
_ATTRIBUTES = "NULL/Capability=NULL"

Answer = tuple[int, Any]


def distinguished_name(certificate: Mapping[str, Any], encoded: bytes) -> str:
    """The identity behind a client's certificate, in slash notation; of a proxy, the identity that made it.

    Parameters
    ----------
    certificate : mapping
        As :meth:`ssl.SSLSocket.getpeercert` returns it.
    encoded : bytes
        The same in DER.
    """
    dn = "".join(f"/{_NAMES.get(name, name)}={value}" for part in certificate["subject"] for name, value in part)
    try:
        x509.load_der_x509_certificate(encoded).extensions.get_extension_for_oid(_PROXY_CERT_INFO)
    except x509.ExtensionNotFound:
        return dn
    return re.sub(r"(/CN=(\d+|proxy|limited proxy))+$", "", dn)


class Api:
    """What each resource answers; knows nothing of sockets.

    Parameters
    ----------
    store, engine, delegations
        The service.
    vo : str
        The one virtual organisation it serves.
    """

    def __init__(self, store: Store, engine: Engine, delegations: Delegations, vo: str) -> None:
        self.store, self.engine, self.delegations, self.vo = store, engine, delegations, vo
        self.routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
            (method, re.compile(pattern), function)
            for methods, pattern, function in (
                ("GET", r"/", self.version),
                ("GET", r"/whoami", self.whoami),
                ("GET", r"/metrics", self.metrics),
                ("POST PUT", r"/jobs", self.submit),
                ("GET", r"/jobs", self.list_jobs),
                ("GET", r"/jobs/(?P<ids>[^/]+)", self.show_jobs),
                ("DELETE", r"/jobs/(?P<ids>[^/]+)", self.cancel_jobs),
                ("POST", r"/jobs/(?P<job_id>[^/]+)", self.modify_job),
                ("GET", r"/jobs/(?P<job_id>[^/]+)/files", self.show_files),
                ("GET", r"/jobs/(?P<job_id>[^/]+)/dm", self.show_deletions),
                ("GET", r"/jobs/(?P<job_id>[^/]+)/(?P<field>\w+)", self.show_field),
                ("DELETE", r"/jobs/(?P<job_id>[^/]+)/files/(?P<ids>[\d,]+)", self.cancel_files),
                ("GET", r"/delegation/(?P<identifier>\w+)", self.show_delegation),
                ("DELETE", r"/delegation/(?P<identifier>\w+)", self.end_delegation),
                ("GET", r"/delegation/(?P<identifier>\w+)/request", self.request_delegation),
                ("PUT POST", r"/delegation/(?P<identifier>\w+)/credential", self.accept_delegation),
                ("GET", r"/ban/se", self.show_bans),
                ("POST", r"/ban/se", self.ban),
                ("DELETE", r"/ban/se", self.unban),
                ("GET", r"/config/se", self.show_storage),
                ("POST", r"/config/se", self.configure_storage),
            )
            for method in methods.split()
        ]

    def answer(self, dn: str, method: str, url: str, body: bytes) -> Answer:
        """Status and content (a JSON-able object, a text, or None) for a request."""
        parts = urlsplit("/" + url.lstrip("/"))
        path = "/" + "/".join(part for part in unquote(parts.path).split("/") if part)
        known = False
        for allowed, pattern, function in self.routes:
            if match := pattern.fullmatch(path):
                known = True
                if allowed == method:
                    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                    return function(dn=dn, query=query, body=body, **match.groupdict())
        if known:
            raise Refused(405, f"{method} is not possible for {path}.")
        raise Refused(404, f"There is no {path} here.")

    # --- the service itself

    def version(self, **_: Any) -> Answer:
        """What kind of service this is; 503 while its engine does not go round."""
        if time.monotonic() - self.engine.alive > _STALE:
            raise Refused(503, "The engine of the transfer service does not answer; see the service's log.")
        schema, delegation = {"major": 8, "minor": 0, "patch": 0}, {"major": 1, "minor": 0, "patch": 0}
        return 200, {"api": _VERSION, "core": _VERSION, "schema": schema, "delegation": delegation, "_links": {}}

    def whoami(self, dn: str, **_: Any) -> Answer:
        """Who the client is."""
        return 200, {
            "delegation_id": delegation_id(dn),
            "user_dn": dn,
            "dn": [dn],
            "vos": [self.vo],
            "vos_id": [str(BASE_ID)],
            "voms_cred": [f"/{self.vo}/Role={_ATTRIBUTES}"],
            "roles": [],
            "level": {"transfer": "vo", "config": "all"},
            "method": "certificate",
            "is_root": False,
            "base_id": str(BASE_ID),
        }

    def metrics(self, **_: Any) -> Answer:
        """Counters in Prometheus' text format."""
        lines = ["# TYPE transfers gauge"]
        lines += [f'transfers{{state="{state}"}} {count}' for state, count in sorted(self.store.counts().items())]
        lines += ["# TYPE transfer_workers gauge", f"transfer_workers {len(self.engine.pool.workers)}"]
        return 200, "\n".join(lines) + "\n"

    # --- jobs

    def submit(self, dn: str, body: bytes, **_: Any) -> Answer:
        """Take a job."""
        banned = self.store.records("ban")
        job, transfers = submission.parse(_json(body), dn, self.vo, timestamp(), banned)
        if not self.store.add(job, transfers):
            raise Refused(409, f"The job {job.job_id} exists already.")
        self.engine.wake()
        return 200, {"job_id": job.job_id}

    def list_jobs(self, query: Mapping[str, str], **_: Any) -> Answer:
        """Jobs, by default those that are not final."""
        states = query.get("state_in", "SUBMITTED,READY,ACTIVE,STAGING,ARCHIVING").split(",")
        jobs = [job for job in self.store.jobs(states) if query.get("user_dn") in (None, job.user_dn)]
        return 200, [job_view(job) for job in jobs]

    def show_jobs(self, ids: str, query: Mapping[str, str], **_: Any) -> Answer:
        """One job, or several in one answer, with chosen fields of their transfers if asked for."""
        wanted = ids.split(",")
        fields = query["files"].split(",") if "files" in query else []
        shown = [self._show(job_id, fields) for job_id in wanted]
        found = all("job_state" in entry for entry in shown)
        if len(shown) == 1:
            if not found and not fields:
                raise Refused(404, shown[0]["http_message"])
            return (200 if found else 404), shown[0]
        return (200 if found else 207), shown

    def _show(self, job_id: str, fields: list[str]) -> dict[str, Any]:
        job = self.store.job(job_id)
        if job is None:
            return _unknown(job_id)
        shown = {**job_view(job), "http_status": "200 Ok", "http_message": None}
        if fields:
            views = [transfer_view(transfer, job.vo) for transfer in self.store.transfers(job_id)]
            shown["files"] = [{name: view.get(name) for name in fields} for view in views]
        return shown

    def show_files(self, job_id: str, **_: Any) -> Answer:
        """All about a job's transfers."""
        job = self._job(job_id)
        return 200, [transfer_view(transfer, job.vo) for transfer in self.store.transfers(job_id)]

    def show_deletions(self, job_id: str, **_: Any) -> Answer:
        """Deletions of a job: this service makes none."""
        self._job(job_id)
        return 200, []

    def show_field(self, job_id: str, field: str, **_: Any) -> Answer:
        """One field of a job."""
        view = job_view(self._job(job_id))
        if field not in view:
            raise Refused(404, f"A job has no field {field}.")
        return 200, view[field]

    def cancel_jobs(self, ids: str, **_: Any) -> Answer:
        """Cancel jobs; each is shown as it is afterwards."""
        shown = []
        for job_id in ids.split(","):
            job = self.store.cancel(job_id)
            done = {"http_status": "200 Ok", "http_message": None}
            shown.append({**job_view(job), **done} if job else _unknown(job_id))
        self.engine.wake()
        if len(shown) == 1:
            if "job_state" not in shown[0]:
                raise Refused(404, shown[0]["http_message"])
            return 200, shown[0]
        return (200 if all("job_state" in entry for entry in shown) else 207), shown

    def cancel_files(self, job_id: str, ids: str, **_: Any) -> Answer:
        """Cancel some transfers of a job; answers with their states."""
        numbers = [int(number) for number in ids.split(",") if number]
        self._job(job_id)
        self.store.cancel(job_id, numbers)
        self.engine.wake()
        states = {transfer.file_id: transfer.state for transfer in self.store.transfers(job_id)}
        found = [states.get(number) for number in numbers]
        return 200, found[0] if len(found) == 1 else found

    def modify_job(self, job_id: str, body: bytes, **_: Any) -> Answer:
        """Change a job's priority."""
        self._job(job_id)
        document = _json(body)
        try:
            priority = int(document["params"]["priority"])
        except (KeyError, TypeError, ValueError):
            raise Refused(400, "Only the parameter `priority` (1 to 5) of a job can be changed.") from None
        job = self.store.prioritise(job_id, priority)
        self.engine.wake()
        return 200, job_view(job) if job else None

    def _job(self, job_id: str) -> Job:
        job = self.store.job(job_id)
        if job is None:
            raise Refused(404, _unknown(job_id)["http_message"])
        return job

    # --- delegation

    @staticmethod
    def _own(dn: str, identifier: str) -> None:
        if identifier != delegation_id(dn):
            raise Refused(403, f"The delegation {identifier} belongs to somebody else; yours is {delegation_id(dn)}.")

    def show_delegation(self, dn: str, identifier: str, **_: Any) -> Answer:
        """When a delegated proxy ends; null if there is none."""
        self._own(dn, identifier)
        end = self.delegations.ends(identifier)
        attributes = [f"/{self.vo}/Role={_ATTRIBUTES}"]
        return 200, end and {"termination_time": end.strftime("%Y-%m-%dT%H:%M:%S"), "voms_attrs": attributes}

    def request_delegation(self, dn: str, identifier: str, **_: Any) -> Answer:
        """A certificate request to be signed by the client."""
        self._own(dn, identifier)
        return 200, self.delegations.request(identifier)

    def accept_delegation(self, dn: str, identifier: str, body: bytes, **_: Any) -> Answer:
        """The proxy that the client signed."""
        self._own(dn, identifier)
        self.delegations.accept(identifier, body.decode())
        return 201, ""

    def end_delegation(self, dn: str, identifier: str, **_: Any) -> Answer:
        """Forget a delegated proxy."""
        self._own(dn, identifier)
        self.delegations.withdraw(identifier)
        return 204, None

    # --- storage

    def show_bans(self, **_: Any) -> Answer:
        """Storage that takes no part, and why."""
        return 200, self.store.records("ban")

    def ban(self, body: bytes, **_: Any) -> Answer:
        """Let storage take no part: nothing new is accepted or started; ``CANCEL`` also cancels what waits."""
        document = _json(body)
        if not isinstance(document, Mapping) or "://" not in str(document.get("storage")):
            raise Refused(400, "`storage` must be given, as scheme://host.")
        storage = str(document["storage"])
        self.store.put("ban", storage, dict(document))
        affected = []
        for job, transfers in self.store.open_jobs():
            views = [
                transfer_view(transfer, job.vo) for transfer in transfers if transfer.state in ("SUBMITTED", "STAGING")
            ]
            numbers = [view["file_id"] for view in views if storage in (view["source_se"], view["dest_se"])]
            if numbers:
                affected.append(job.job_id)
                if str(document.get("status", "CANCEL")).upper() == "CANCEL":
                    self.store.cancel(job.job_id, numbers)
        self.engine.wake()
        return 200, affected

    def unban(self, query: Mapping[str, str], **_: Any) -> Answer:
        """Let storage take part again."""
        self.store.discard("ban", query.get("storage", ""))
        self.engine.wake()
        return 204, None

    def show_storage(self, **_: Any) -> Answer:
        """Settings of storage, as they were last written; they have no effect here."""
        return 200, self.store.records("storage")

    def configure_storage(self, body: bytes, **_: Any) -> Answer:
        """Keep settings of storage."""
        document = _json(body)
        if not isinstance(document, Mapping):
            raise Refused(400, "Settings by storage are needed.")
        for storage, settings in document.items():
            self.store.put("storage", str(storage), settings)
        return 200, self.store.records("storage")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Refused(400, f"The body is no JSON: {error}.") from error


def _unknown(job_id: str) -> dict[str, Any]:
    message = f"No job with the id {job_id} has been found"
    return {"job_id": job_id, "http_status": "404 Not Found", "http_message": message}


class Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, asks the :class:`Api`, writes answers."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: clients ask every second."""

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        connection = self.connection
        assert isinstance(connection, ssl.SSLSocket)
        try:
            certificate, encoded = connection.getpeercert(), connection.getpeercert(binary_form=True)
            if not certificate or encoded is None:
                raise Refused(401, "A certificate or proxy of an authority known here is needed.")
            dn = distinguished_name(certificate, encoded)
            status, content = self.server.api.answer(dn, self.command, self.path, body)
        except Refused as refusal:
            status, content = refusal.status, {"status": str(refusal.status), "message": str(refusal)}
        except Exception as error:  # the client gets to know, the log has the place
            traceback.print_exc()
            status, content = 500, {"status": "500", "message": f"{type(error).__name__}: {error}"}
        self._send(status, content)

    def _send(self, status: int, content: Any) -> None:
        plain = isinstance(content, str)
        data = b"" if status == 204 else content.encode() if plain else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if plain else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _handle


class Server(ThreadingHTTPServer):
    """Listens on the loopback interface; the TLS handshake is made in the connection's own thread."""

    daemon_threads = True
    request_queue_size = 128
    api: Api

    def __init__(self, port: int, certificate: Path, key: Path, authority: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._context.load_verify_locations(authority)
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self._context.verify_flags |= ssl.VerifyFlags.VERIFY_ALLOW_PROXY_CERTS
        super().__init__(("127.0.0.1", port), Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Make the handshake, then serve the connection."""
        request.settimeout(_PATIENCE)
        Handler(self._context.wrap_socket(request, server_side=True), client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        """Log what is not simply a client that went away or was refused."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()
