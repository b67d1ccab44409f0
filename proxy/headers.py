"""Which headers may cross, and which way?

Between client and provider everything end-to-end travels but what is named here: what belongs to one connection
(RFC 9110, 7.6.1), what `Connection` names, credentials (the adapter's own go out instead), cookies, what a browser
says of its page, and what the rewritten body makes false.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from proxy.errors import BadRequest

HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding"
    " upgrade".split()
)
CREDENTIALS = frozenset("authorization x-api-key api-key x-goog-api-key cookie".split())
_NEVER_OUT = (
    HOP_BY_HOP
    | CREDENTIALS
    | frozenset(
        "host content-length content-type content-encoding accept-encoding expect origin referer via forwarded"
        " x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip".split()
    )
)
_NEVER_BACK = (
    HOP_BY_HOP
    | CREDENTIALS  # a host that mirrors what it was sent would show the client our key
    | frozenset(
        "content-length content-encoding set-cookie set-cookie2 server alt-svc strict-transport-security via"
        " x-request-id request-id".split()
    )
)
_NEVER_OUT_FAMILIES = ("x-pillion-", "sec-fetch-", "access-control-")
_NEVER_BACK_FAMILIES = ("access-control-", "x-pillion-")
# What still means something to a provider that speaks another language than the client.
_VENDORS_OWN = ("anthropic-beta", "openai-beta", "openai-organization", "openai-project")
_TRANSLATED_OUT = ("user-agent", "traceparent", "tracestate")


def outgoing(client: Mapping[str, str]) -> list[tuple[str, str]]:
    """The client's headers (names in lower case) that a provider of its own wire gets."""
    return _without_named([line for line in client.items() if _may_leave(line[0])], client)


def translated(client: Mapping[str, str]) -> list[tuple[str, str]]:
    """The client's headers that a provider of another wire gets."""
    return [(name, client[name]) for name in _TRANSLATED_OUT if name in client]


def untranslatable(client: Mapping[str, str]) -> tuple[str, ...]:
    """The client's headers that would have changed the answer, and mean nothing to a provider of another wire."""
    return tuple(name for name in _VENDORS_OWN if name in client)


def returning(provider: Mapping[str, str]) -> list[tuple[str, str]]:
    """The provider's headers (names in lower case) that the client gets."""
    return _without_named([line for line in provider.items() if _may_come_back(line[0])], provider)


def returning_translated(provider: Mapping[str, str]) -> list[tuple[str, str]]:
    """Those of them that stay true of an answer that was written anew."""
    return [(name, value) for name, value in returning(provider) if name not in ("content-type", "cache-control")]


def spell(headers: Sequence[tuple[str, str]]) -> bytes:
    """Header lines as they go on the wire. Raises BadRequest where a value would end its line or the head."""
    text = "\r\n".join(map(": ".join, headers)) + "\r\n" if headers else ""
    if text.count("\n") != len(headers) or text.count("\r") != len(headers) or "\0" in text:
        raise BadRequest("A header holds a line end or a NUL.", code="invalid_header")
    return text.encode("utf-8", "surrogateescape")


# Verdicts are remembered: the names that arrive are the same few, call after call.


@lru_cache(maxsize=1024)
def _may_leave(name: str) -> bool:
    return name not in _NEVER_OUT and not name.startswith(_NEVER_OUT_FAMILIES)


@lru_cache(maxsize=1024)
def _may_come_back(name: str) -> bool:
    return name not in _NEVER_BACK and not name.startswith(_NEVER_BACK_FAMILIES)


def _without_named(kept: list[tuple[str, str]], headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Less what `Connection` names."""
    if "connection" not in headers:
        return kept
    named = {token.strip().lower() for token in headers["connection"].split(",")}
    return [line for line in kept if line[0] not in named]
