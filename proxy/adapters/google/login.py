"""How does pillion log in to Google Cloud?

With google-auth, which reads the file named by the row's `credentials`, or else finds what every Google library finds
(the key file or workload identity of GOOGLE_APPLICATION_CREDENTIALS, gcloud's own login, the metadata server), and
exchanges it for access tokens that last an hour. It blocks, and so runs in a thread. However many requests wait, only
one login runs; and while a token is still good, no request waits for the next one.
https://cloud.google.com/docs/authentication/application-default-credentials
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import UTC
from functools import partial
from math import inf
from time import monotonic, time

from proxy.config import Provider, Secret
from proxy.errors import ConfigError, Down, Refused, Timeout, UpstreamError, excerpt
from proxy.headers import spell
from proxy.ports import Headers

try:
    from google.auth import default, load_credentials_from_file
    from google.auth.credentials import Credentials, with_scopes_if_required
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError, TransportError
    from google.auth.external_account import Credentials as Federated
    from google.auth.transport.requests import Request
except ImportError:
    raise ConfigError("a provider of kind vertex needs google-auth: pip install 'pillion[vertex]'") from None

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
EARLY = 225.0  # seconds before a token expires to fetch the next; the metadata server has none sooner
SPARE = 10.0  # seconds before it expires during which it is not used
RETRY = 10.0  # seconds until the next login after one failed, or its token was refused
PATIENCE = 30.0  # seconds that a request waits for a token at most

_is_code = re.compile(r"[a-z_]{3,40}").fullmatch  # as in https://www.rfc-editor.org/rfc/rfc6749#section-5.2

log = logging.getLogger("pillion")


class Login:
    """One provider's login. `project`: the credentials' own, once they are found."""

    def __init__(self, config: Provider) -> None:
        self.project = ""
        self.headers: Headers = []  # the headers that show the token ...
        self.token = Secret("")  # ... and the token itself
        self._config = config
        self._credentials: Credentials | None = None
        self._lines = b""
        self._ends = 0.0  # time.time, as tokens expire by wall-clock time
        self._got = -inf  # time.monotonic, as the wall clock may be set back
        self._renewal: asyncio.Task[None] | None = None
        self._fault: Callable[[], UpstreamError] | None = None

    def __repr__(self) -> str:
        state = "good" if time() < self._ends else "none"
        return f"<Login of {self._config.name} to {self.project or 'no project'}: token {state}>"

    async def lines(self) -> bytes:
        """The header lines that show a token. Raises UpstreamError."""
        now = time()
        if now >= self._ends - EARLY and self._renewal is None and self._may_retry():
            self._renewal = asyncio.create_task(self._renewed(), name=f"login of {self._config.name}")
        if now >= self._ends:
            await self._wait()
        return self._lines

    def refused(self) -> None:
        """The provider refused the token, so it is not used again, unless it is brand new."""
        if self._may_retry():
            self._ends = 0.0

    def _may_retry(self) -> bool:
        return monotonic() >= self._got + RETRY

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                if self._renewal is not None:
                    await asyncio.shield(self._renewal)  # a request that is cancelled must not end it for the others
        except TimeoutError:
            message = f"Google did not issue an access token for {self._config.name} within {PATIENCE:g} s."
            raise Timeout(message, provider=self._config.name, code="token_timeout") from None
        if self._fault is not None:
            raise self._fault()

    async def _renewed(self) -> None:
        try:
            headers, ends = await asyncio.to_thread(self._fetch)
            self._lines = spell(headers)
            self.headers, self._ends, self._fault = headers, ends, None
            self.token.become(dict(headers).get("authorization", "").removeprefix("Bearer "))
        except Exception as error:  # google-auth parses foreign input, so any error may come: there is no token then
            found, self._credentials = self._credentials is not None, None  # they are looked for again the next time
            self._fault = (_fault if found else _no_credentials)(self._config.name, error)
            log.warning("%s: no new access token: %s", self._config.name, _detail(error))
        finally:
            self._got = monotonic()
            self._renewal = None

    def _fetch(self) -> tuple[Headers, float]:
        """In a thread: the headers that show a new token, and when it expires."""
        request = Request()
        with closing(request.session) as session:
            session.trust_env = False  # its proxy, its CAs and its .netrc would come before the row's
            if proxy := self._config.proxy.reveal():
                session.proxies["https"] = proxy  # not "http", which the metadata server is reached by
            system = ssl.get_default_verify_paths()  # as SSL_CERT_FILE says; on many systems there is only a folder
            trusted = self._config.ca or system.cafile or system.capath
            session.verify = str(trusted) if trusted else True
            if self._credentials is None:
                self._credentials, project = self._found(request)
                self.project = project or ""
            self._credentials.refresh(request)  # type: ignore[no-untyped-call]
        headers: dict[str, str] = {}
        self._credentials.apply(headers)  # type: ignore[no-untyped-call]
        expiry = self._credentials.expiry  # in UTC, but without a time zone
        ends = inf if expiry is None else expiry.replace(tzinfo=UTC).timestamp() - SPARE
        return list(headers.items()), ends

    def _found(self, request: Request) -> tuple[Credentials, str | None]:
        """The credentials in the row's own file, or those that Google's search finds; and their project.

        The scope is added last: scoped federated credentials ask another Google host for the project, even if the row
        names it, and that host may be out of reach.

        Google warns against other people's files, which may name any host as their token endpoint: this one is the
        operator's. https://cloud.google.com/docs/authentication/external/externally-sourced-credentials
        """
        found: Credentials
        if (file := self._config.credentials) is not None:
            found, project = load_credentials_from_file(str(file), request=request)  # type: ignore[no-untyped-call]
        else:
            found, project = default(request=request)
        scoped: Credentials = with_scopes_if_required(found, [SCOPE])  # type: ignore[no-untyped-call]
        if not (project or self._config.project) and isinstance(scoped, Federated):
            project = scoped.get_project_id(request)  # type: ignore[no-untyped-call]
        return scoped, project


# What the client sees: what to do, and nothing about files and hosts. Each error is made anew, without the one that
# caused it, which would keep its stack and the connection there alive.


def _no_credentials(provider: str, error: Exception) -> Callable[[], UpstreamError]:
    if _is_out_of_reach(error):
        return _fault(provider, error)
    message = (
        f"There are no Google Cloud credentials for {provider}: set GOOGLE_APPLICATION_CREDENTIALS to the path of a key"
        " file, or `credentials` in its row, or run `gcloud auth application-default login`."
    )
    return partial(Refused, message, provider=provider, status=401, kind="authentication", code="no_credentials")


def _fault(provider: str, error: Exception) -> Callable[[], UpstreamError]:
    if _is_out_of_reach(error):
        message = f"Google's token endpoint cannot be reached for {provider}."
        return partial(Down, message, provider=provider, kind="network_error", code="token_error")
    word = f" ({code})" if (code := _code(error)) else ""
    message = f"Google refused an access token for {provider}{word}: check its credentials, or log in again."
    return partial(Refused, message, provider=provider, status=401, kind="authentication", code="token_refused")


def _is_out_of_reach(error: Exception) -> bool:
    causes = (error, error.__cause__)
    is_passing = isinstance(error, GoogleAuthError) and error.retryable
    return is_passing or any(isinstance(cause, TransportError) for cause in causes)


def _code(error: Exception) -> str:
    """The code of a token endpoint's refusal, such as `invalid_grant`; its text may quote what was sent."""
    word = str(error.args[0]).partition(":")[0] if isinstance(error, RefreshError) and error.args else ""
    return word if _is_code(word) else ""


def _detail(error: Exception) -> str:
    """What goes into the log, including the files and hosts that google-auth tried."""
    told = excerpt(str(error), 300) if isinstance(error, DefaultCredentialsError | TransportError) else _code(error)
    return " ".join(f"{type(error).__name__} {told}".split())
