"""Rucio behind the protocol of :mod:`.protocol`: the only module that imports rucio."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from rucio.client.client import Client
from rucio.common.exception import RucioException

from CTARucioDIRAC.domain import errors

from . import translate
from .connection import Connection, Credential, Server
from .metadata import MetadataVerbs
from .protocol import Rse, RseUsage
from .replicas import ReplicaVerbs
from .rules import RuleVerbs
from .server import ServerVerbs


class _Client(Client):  # type: ignore[misc]
    """Rucio's client with our transport below it.

    Its own constructor isn't called: that one reads a configuration file and the environment, writes a token file
    shared by all processes of a user, and talks to the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.host = self.trace_host = connection.server.rucio_host
        self.auth_host = connection.server.auth_host
        self.list_hosts = [self.host]
        self.account = connection.account
        self.vo = connection.server.vo
        self.ca_cert = str(connection.server.ca)
        self.timeout = connection.server.timeout
        self.headers: dict[str, str] = {}
        self.logger = logging.getLogger(__name__)
        self.user_agent = "CTARucioDIRAC"

    def _send_request(
        self,
        url: str,
        method: Any = None,
        headers: Mapping[str, str] | None = None,
        data: str | None = None,
        params: Mapping[str, Any] | None = None,
        stream: bool = False,
        type_: Any = None,
        **_: Any,
    ) -> requests.Response:
        verb = str(getattr(method or type_, "value", method or type_ or "GET"))
        path = url.removeprefix(self.host)
        read_only = verb == "GET" or any(path.endswith(end) for end in ("/list", "/bulkmeta", "/bulkfiles"))
        return self._connection.send(
            verb,
            url,
            headers=headers,
            data=data,
            params=params,
            stream=stream or verb == "GET",
            read_only=read_only,
            anonymous=path == "/ping",
        )


class RestRucioGateway(ReplicaVerbs, RuleVerbs, MetadataVerbs, ServerVerbs):
    """Gateway to a Rucio server over its REST interface; see :class:`~.protocol.RucioGateway` for the verbs.

    Parameters
    ----------
    server : Server
        Addresses, authorities, time limit.
    account : str
        Rucio account to act as.
    credential : ProxyCredential or CertificateCredential
        What proves that the caller may use the account; read at the first request, and again when its file changes.

    Notes
    -----
    Constructing one does nothing; the first verb connects. It may be used from many threads.
    """

    def __init__(self, server: Server, account: str, credential: Credential) -> None:
        self._connection = Connection(server, account, credential)
        self._client = _Client(self._connection)

    @property
    def account(self) -> str:
        """Rucio account that everything is done as."""
        return self._connection.account

    @property
    def requests(self) -> int:
        """Number of HTTP requests sent so far, authentication included."""
        return self._connection.requests

    # ---------------------------------------------------------------- the server

    def ping(self) -> str:
        with self._doing("asking the server for its version"):
            return str(self._client.ping()["version"])

    def whoami(self) -> str:
        with self._doing("asking the server who we are"):
            return str(self._client.whoami()["account"])

    # ---------------------------------------------------------------- storage endpoints

    def list_rses(self, expression: str | None = None, *, attributes: bool = False) -> list[Rse]:
        what = f"listing the RSEs of {expression!r}" if expression else "listing the RSEs"
        answers = sorted(self._stream(lambda: self._client.list_rses(expression), what), key=lambda a: str(a["rse"]))
        rses = []
        for answer in answers:
            extra: Mapping[str, Any] = {}
            if attributes:
                with self._doing(f"reading the attributes of {answer['rse']}"):
                    extra = self._client.list_rse_attributes(answer["rse"])
            rses.append(translate.rse(answer, extra))
        return rses

    def rse_usage(self, rse: str) -> list[RseUsage]:
        answers = self._stream(lambda: self._client.get_rse_usage(rse), f"reading the usage of {rse}")
        return [translate.rse_usage(answer) for answer in answers]

    # ---------------------------------------------------------------- inside

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except RucioException as error:
            raise translate.error_from(type(error).__name__, str(error), what) from error
        except (requests.RequestException, json.JSONDecodeError) as error:
            raise errors.Unavailable(f"{what}: the answer broke off: {error}") from error
