"""Which headers may cross, and which way?

All headers travel between client and provider, except: those of one connection (RFC 9110, 7.6.1) and what `Connection`
names; credentials (the adapter sends its own) and whatever sounds like one; cookies; what a browser says about its
page, and what tells one what to do; what a proxy before us says about our network; and what the rewritten body makes
untrue. `Via` (RFC 9110, 7.6.3) travels on with our own entry behind it, so that we recognise a request that comes back
to us.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote_plus

from proxy.errors import BadRequest, GatewayError, Unrepresentable

REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid")  # headers that carry an answer's id
HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding"
    " upgrade".split()
)
CREDENTIALS = frozenset(
    "authorization x-api-key api-key x-goog-api-key x-amz-security-token ocp-apim-subscription-key cookie".split()
)
# Other credentials, by their names: `x-litellm-api-key`, `x-goog-iam-authorization-token`.
_SOUNDS_SECRET = re.compile(
    r"(?:^|[^a-z])(?:key|apikey|token|secret|credential|password|passwd|auth|authorization|authentication|jwt)s?(?![a-z])"
)
_NO_SECRETS = frozenset(("idempotency-key", "x-idempotency-key"))  # SDKs send them, and they only sound like secrets
# Which account pays: they belong to the key that is shown beside them.
ACCOUNTS = frozenset("openai-organization openai-project x-goog-user-project".split())
# Query parameters that are meant for us: keys, and the versions of Azure's API. AWS's presigned ones (X-Amz-*) are told
# by their beginning.
_SAID_TO_US = frozenset("access_token api-key api-version api_key key oauth_token subscription-key".split())
_NEVER_OUT = (
    HOP_BY_HOP
    | CREDENTIALS
    | frozenset(
        "host content-length content-type content-encoding accept-encoding expect origin referer forwarded x-real-ip"
        # JSON in which apps of other gateways send providers' keys.
        " x-portkey-config helicone-fallbacks"
        # Some hosts, Google's among them, take a request with these for another than the one that we have judged.
        " x-http-method x-http-method-override x-method-override x-original-uri x-original-url x-rewrite-url".split()
    )
)
# What acts on a browser, or on requests that come later: we would say it in our own name, for our own origin.
_ACTING = frozenset(
    "set-cookie set-cookie2 clear-site-data refresh location content-location link alt-svc service-worker-allowed"
    " strict-transport-security public-key-pins public-key-pins-report-only www-authenticate set-login"
    " content-security-policy content-security-policy-report-only permissions-policy speculation-rules sourcemap"
    " accept-ch critical-ch nel report-to reporting-endpoints".split()
)
_NEVER_BACK = (
    HOP_BY_HOP
    | CREDENTIALS  # a host that mirrors what it was sent would show the client our key
    | _ACTING
    | frozenset(REQUEST_IDS)  # which our answer has besides
    | frozenset("content-length content-encoding server via".split())
)
# Those for every client, and for the clients of one vendor, whose SDKs look for a third.
_IDS = "x-request-id: {0}\r\nrequest-id: {0}\r\n"
_IDS_OF = dict.fromkeys(("bedrock", "bedrock_invoke"), f"{_IDS}x-amzn-requestid: {{0}}\r\n")
# `sec-` is a browser's alone (Fetch, 2.2.2), and what a proxy or a mesh before us forwards, down to the certificates of
# who called it (`x-forwarded-client-cert`), is about our own network.
_NEVER_OUT_FAMILIES = ("x-pillion-", "sec-", "access-control-", "x-forwarded-")
_NEVER_BACK_FAMILIES = ("access-control-", "x-pillion-")
# What a client may say to us: no other header of this family means anything.
TIMEOUT = "x-pillion-timeout"  # seconds that it allows
COST_LIMIT = "x-pillion-cost-limit"  # dollars
CACHE = "x-pillion-cache"
SUMMARY = "x-pillion-summary"
FAULT = "x-pillion-fault"  # what is to go wrong on purpose
READ_BY_US = frozenset((TIMEOUT, COST_LIMIT, CACHE, SUMMARY, FAULT))
# What InvokeModel (where Converse has fields in the body) and Vertex AI say in headers. Only their own hosts read them.
_CLOUDS_OWN = (
    "x-amzn-bedrock-performanceconfig-latency",
    "x-amzn-bedrock-request-metadata",
    "x-amzn-bedrock-service-tier",
    "x-amzn-bedrock-trace",
    "x-vertex-ai-llm-request-type",
    "x-vertex-ai-llm-shared-request-type",
)
# The value with which each asks for what is so anyway.
_IDLE = {
    "x-amzn-bedrock-performanceconfig-latency": "standard",
    "x-amzn-bedrock-service-tier": "default",
    "x-amzn-bedrock-trace": "DISABLED",
}
_GUARDS = ("x-amzn-bedrock-guardrailidentifier", "x-amzn-bedrock-guardrailversion")  # these limit what may be answered
# What changes the answer of a provider that speaks the body's dialect.
_VENDORS_OWN = ("openai-beta", "openai-organization", "openai-project")
_LOST = _CLOUDS_OWN + _VENDORS_OWN
# What still means something to a provider that speaks another language than the client.
_TRANSLATED_OUT = ("user-agent", "traceparent", "tracestate", "via")


def outgoing(client: Mapping[str, str]) -> list[tuple[str, str]]:
    """The client's headers (names in lower case) that go to a provider of the same wire."""
    return _without_named(_picked(client, _leaving(tuple(client))), client)


def translated(client: Mapping[str, str]) -> list[tuple[str, str]]:
    """The client's headers that go to a provider of another wire."""
    return _without_named([(name, client[name]) for name in _TRANSLATED_OUT if name in client], client)


def untranslatable(client: Mapping[str, str], own: bool) -> tuple[str, ...]:
    """The client's headers that would have changed the answer, and mean nothing to a provider of another wire.

    `own`: the body keeps its dialect, and only the API around it is another vendor's. Raises Unrepresentable for a
    guardrail, which nobody would heed.
    """
    for name in _GUARDS:
        if name in client:
            raise Unrepresentable(f"{name}: guardrails cannot be sent to this provider.", param=name)
    names = _CLOUDS_OWN if own else _LOST
    if client.keys().isdisjoint(names):
        return ()
    return tuple(name for name in names if name in client and client[name] != _IDLE.get(name))


def unheeded(client: Mapping[str, str]) -> tuple[str, ...]:
    """The client's headers that are meant for us, and that we do not have, as one that is misspelt."""
    return _nobodys(tuple(client))


def query_out(query: str) -> str:
    """The part of a client's query that goes to a provider of the same wire: all but what is meant for us."""
    return "&".join(pair for pair in query.split("&") if _may_be_asked(pair.partition("=")[0])) if query else ""


def returning(provider: Mapping[str, str]) -> list[tuple[str, str]]:
    """The provider's headers (names in lower case) that go back to the client."""
    return _without_named(_picked(provider, _coming_back(tuple(provider))), provider)


def returning_translated(provider: Mapping[str, str]) -> list[tuple[str, str]]:
    """Of those, the ones that are still true of a translated answer."""
    return _without_named(_picked(provider, _staying(tuple(provider))), provider)


def request_ids(value: str, dialect: str) -> str:
    """The header lines with an answer's id, for a client of this dialect."""
    return _IDS_OF.get(dialect, _IDS).format(value)


def spell(headers: Sequence[tuple[str, str]]) -> bytes:
    """Header lines as they go on the wire. Raises BadRequest where a value would end its line or the head."""
    text = "\r\n".join(map(": ".join, headers)) + "\r\n" if headers else ""
    if text.count("\n") != len(headers) or text.count("\r") != len(headers) or "\0" in text:
        raise BadRequest("A header contains a line break or a NUL.", code="invalid_header")
    return text.encode("utf-8", "surrogateescape")


class Trail:
    """The mark on the requests that we send, and the check for it on those that come in. One for each pillion."""

    def __init__(self) -> None:
        self._name = f"pillion-{secrets.token_hex(8)}"
        self._mark = re.compile(rf"\b{self._name} \(([A-Za-z0-9._-]+)\)")

    def via(self, provider: str) -> tuple[str, str]:
        """The header of every request to this provider."""
        return "via", f"1.1 {self._name} ({provider})"

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises GatewayError, 508: we sent this request ourselves."""
        if "via" not in headers or self._name not in headers["via"]:
            return
        found = self._mark.search(headers["via"])
        provider = found[1] if found else "NAME"
        variable = re.sub("[^A-Z0-9]", "_", provider.upper())
        raise GatewayError(
            f"This request comes from pillion itself: what it sends to {provider} comes back to it. Check"
            f" PILLION_{variable}_BASE_URL, or base_url of that provider in config.yaml.",
            status=508,
            kind="server_error",  # the operator must fix it, so it is a warning in the log
            code="loop_detected",
        )


# Verdicts are remembered: the same few names arrive in the same order, call after call.


@lru_cache(maxsize=256)
def _leaving(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(filter(_may_leave, names))


@lru_cache(maxsize=256)
def _nobodys(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name.startswith("x-pillion-") and name not in READ_BY_US)


@lru_cache(maxsize=256)
def _coming_back(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(filter(_may_come_back, names))


@lru_cache(maxsize=256)
def _staying(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(filter(_stays_true, names))


def _picked(headers: Mapping[str, str], names: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(zip(names, map(headers.__getitem__, names)))  # noqa: B905  `strict` would cost more than the zip


@lru_cache(maxsize=1024)
def _may_leave(name: str) -> bool:
    if name in _NEVER_OUT or name.startswith(_NEVER_OUT_FAMILIES):
        return False
    return name in _NO_SECRETS or _SOUNDS_SECRET.search(name) is None


@lru_cache(maxsize=1024)
def _may_be_asked(name: str) -> bool:
    said = unquote_plus(name).lower()
    return said not in _SAID_TO_US and not said.startswith("x-amz-")


@lru_cache(maxsize=1024)
def _may_come_back(name: str) -> bool:
    return name not in _NEVER_BACK and not name.startswith(_NEVER_BACK_FAMILIES)


def _stays_true(name: str) -> bool:
    return name not in ("content-type", "cache-control") and _may_come_back(name)


def _without_named(kept: list[tuple[str, str]], headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Less what `Connection` names."""
    if "connection" not in headers:
        return kept
    named = {token.strip().lower() for token in headers["connection"].split(",")}
    return [line for line in kept if line[0] not in named]
