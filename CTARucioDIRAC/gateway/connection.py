"""One account's connection to a Rucio server: TLS, token, retries, and a count of what was sent.

Nothing is read from the environment or from a configuration file, nothing is written to disk: the token lives in
memory only, so that no other user, process or account can pick it up, and no left-over file can get in the way.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import requests.adapters
import tenacity

import CTARucioDIRAC
from CTARucioDIRAC.domain.errors import InvalidSettings, NotAuthenticated, OutcomeUnknown, Unavailable

#: Attempts of one request; with the waiting times below, about five seconds pass before giving up.
ATTEMPTS = 5
#: Answers that mean "not now": the request wasn't done, or was done and lost; all our requests may be repeated.
_BUSY = {502, 503, 504}
#: A token is renewed when it has less than this to live.
_MARGIN = dt.timedelta(seconds=60)
_POOL = 32


@dataclass(frozen=True)
class ProxyCredential:
    """An x509 proxy, in one file with its key and chain."""

    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must be there."""
        return (self.path,)

    @property
    def endpoint(self) -> str:
        """Where the server takes it."""
        return "auth/x509_proxy"


@dataclass(frozen=True)
class CertificateCredential:
    """An x509 certificate with its key, such as a host's."""

    certificate: Path
    key: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must be there."""
        return (self.certificate, self.key)

    @property
    def endpoint(self) -> str:
        """Where the server takes it."""
        return "auth/x509"


Credential = ProxyCredential | CertificateCredential


@dataclass(frozen=True)
class Server:
    """Where a Rucio server is, and how to trust it.

    Attributes
    ----------
    rucio_host, auth_host : str
        Base addresses, such as ``https://rucio.example.org``.
    ca : pathlib.Path
        One file with the authorities' certificates, or a hashed directory of them.
    vo : str
        Rucio's own name of the virtual organisation (``def`` where the server has only one).
    timeout : float
        Seconds to wait for an answer.
    """

    rucio_host: str
    auth_host: str
    ca: Path
    vo: str = "def"
    timeout: float = 300.0

    def __post_init__(self) -> None:
        for name in ("rucio_host", "auth_host"):
            if not getattr(self, name).startswith("https://"):
                raise InvalidSettings(f"{name} {getattr(self, name)!r} must begin with https://")


class _Busy(Exception):
    """Inside this module: an attempt that failed in a way that may pass."""


def _is_accident(response: requests.Response) -> bool:
    """Whether the server failed in a way that Rucio doesn't know, such as Python 3.11's parser in several threads."""
    return response.status_code == requests.codes.server_error and "ExceptionClass" not in response.headers


class Connection:
    """Sends requests as one account; may be used from many threads.

    Parameters
    ----------
    server : Server
    account : str
        Rucio account to act as; the credential's identity must be allowed to.
    credential : ProxyCredential or CertificateCredential
        Read when a token is needed, and again when its file has changed.
    """

    def __init__(self, server: Server, account: str, credential: Credential) -> None:
        self.server = server
        self.account = account
        self.credential = credential
        self.requests = 0
        self._lock = threading.Lock()
        self._count_lock = threading.Lock()
        self._session: requests.Session | None = None
        self._token: str | None = None
        self._token_ends: dt.datetime | None = None
        self._stamp: tuple[tuple[int, int], ...] | None = None

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: str | None = None,
        params: Mapping[str, Any] | None = None,
        stream: bool = False,
        read_only: bool = False,
        anonymous: bool = False,
    ) -> requests.Response:
        """Send one request, again where the network or the server fails for a moment.

        Returns
        -------
        requests.Response
            Whatever its status, but for 401 (a new token is tried) and 502, 503, 504 (tried again). What only reads
            is asked once more where the server fails without an error of Rucio's.

        Raises
        ------
        NotAuthenticated
            The credential is missing or refused.
        Unavailable
            No answer, or "not now", after several attempts; OutcomeUnknown if it may have been done nevertheless.
        """

        def attempt() -> requests.Response:
            response = self._attempt(method, url, headers, data, params, stream, anonymous)
            if read_only and _is_accident(response):
                response.close()
                response = self._attempt(method, url, headers, data, params, stream, anonymous)
            return response

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=0.3, max=5),
            retry=tenacity.retry_if_exception_type(_Busy),
        )
        try:
            return retrying(attempt)
        except tenacity.RetryError as error:
            cause = error.last_attempt.exception()
            kind = Unavailable if read_only else OutcomeUnknown
            raise kind(
                f"Rucio at {self.server.rucio_host} doesn't answer after {ATTEMPTS} attempts: {cause}"
            ) from cause
        except requests.RequestException as error:
            kind = Unavailable if read_only else OutcomeUnknown
            raise kind(f"Rucio at {self.server.rucio_host}: {error}") from error

    def _attempt(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        data: str | None,
        params: Mapping[str, Any] | None,
        stream: bool,
        anonymous: bool,
    ) -> requests.Response:
        response = self._once(method, url, headers, data, params, stream, None if anonymous else self._current_token())
        # 401 is the server's answer to a dead token, and to what the account may not do as well.
        denied = response.headers.get("ExceptionClass") == "AccessDenied"
        if response.status_code == requests.codes.unauthorized and not anonymous and not denied:
            used = response.request.headers.get("X-Rucio-Auth-Token")
            response.close()
            self._forget_token(str(used))
            response = self._once(method, url, headers, data, params, stream, self._current_token())
        if response.status_code in _BUSY:
            text = response.text[:200]
            response.close()
            raise _Busy(f"HTTP {response.status_code} {text}")
        return response

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        data: str | None,
        params: Mapping[str, Any] | None,
        stream: bool,
        token: str | None,
    ) -> requests.Response:
        all_headers = {
            "X-Rucio-VO": self.server.vo,
            "X-Rucio-Account": self.account,
            "User-Agent": f"CTARucioDIRAC/{CTARucioDIRAC.__version__}",
            "X-Rucio-Script": "CTARucioDIRAC",
            **(headers or {}),
        }
        if token is not None:
            all_headers["X-Rucio-Auth-Token"] = token
        self._count()
        try:
            response = self._get_session().request(
                method,
                url,
                headers=all_headers,
                data=data,
                params=params,
                stream=True,
                verify=str(self.server.ca),
                timeout=(20, self.server.timeout),
            )
            if response.raw is not None:  # else an answer that breaks off is taken for a short one
                response.raw.enforce_content_length = True
            if not stream:
                response.content  # noqa: B018  # reads it
            return response
        except (requests.exceptions.SSLError, requests.exceptions.ReadTimeout):
            raise
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _Busy(str(error)) from error

    def _count(self) -> None:
        with self._count_lock:
            self.requests += 1

    def _get_session(self) -> requests.Session:
        if self._session is None:
            session = requests.Session()
            session.trust_env = False  # neither proxies nor .netrc nor CA bundles from the environment
            adapter = requests.adapters.HTTPAdapter(pool_connections=2, pool_maxsize=_POOL)
            session.mount("https://", adapter)
            self._session = session
        return self._session

    def _current_token(self) -> str:
        with self._lock:
            stamp = self._credential_stamp()
            now = dt.datetime.now(dt.UTC)
            ended = self._token_ends is not None and self._token_ends - _MARGIN <= now
            if self._token is None or ended or stamp != self._stamp:
                self._token, self._token_ends = self._authenticate()
                self._stamp = stamp
            return self._token

    def _forget_token(self, refused: str) -> None:
        with self._lock:
            if self._token == refused:
                self._token = None

    def _credential_stamp(self) -> tuple[tuple[int, int], ...]:
        try:
            stats = [path.stat() for path in self.credential.files]
        except OSError as error:
            raise NotAuthenticated(
                f"no usable credential for Rucio account {self.account!r}: {error}; make a proxy (dirac-proxy-init)"
            ) from error
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in stats)

    def _authenticate(self) -> tuple[str, dt.datetime | None]:
        files = [str(path) for path in self.credential.files]
        self._count()
        # A session of its own: the TLS connection carries the credential, and must not be used again with another.
        with requests.Session() as session:
            session.trust_env = False
            try:
                response = session.get(
                    f"{self.server.auth_host}/{self.credential.endpoint}",
                    headers={"X-Rucio-VO": self.server.vo, "X-Rucio-Account": self.account},
                    cert=(files[0], files[1]) if len(files) == 2 else files[0],
                    verify=str(self.server.ca),
                    timeout=(20, 60),
                )
            except (requests.exceptions.SSLError, OSError) as error:
                if isinstance(error, requests.ConnectionError) and not isinstance(error, requests.exceptions.SSLError):
                    raise _Busy(str(error)) from error
                raise NotAuthenticated(
                    f"{self.server.auth_host} refuses {files[0]} for account {self.account!r}, or can't be trusted with "
                    f"{self.server.ca}: {error}"
                ) from error
        if response.status_code in _BUSY:
            raise _Busy(f"HTTP {response.status_code} at authentication")
        token = response.headers.get("X-Rucio-Auth-Token")
        if response.status_code != requests.codes.ok or not token:
            reason = response.headers.get("ExceptionMessage") or response.text[:200] or f"HTTP {response.status_code}"
            raise NotAuthenticated(
                f"{self.server.auth_host} gives no token for account {self.account!r} with {files[0]}: {reason}; "
                "the credential may have expired, or its DN isn't an identity of that account"
            )
        return token, _expiry(response.headers.get("X-Rucio-Auth-Token-Expires"))


def _expiry(text: str | None) -> dt.datetime | None:
    """Read the server's time of expiry; None if it's missing or unreadable: then the server's 401 tells."""
    try:
        return dt.datetime.strptime(text or "", "%a, %d %b %Y %H:%M:%S UTC").replace(tzinfo=dt.UTC)
    except ValueError:
        return None
