"""What do Anthropic's errors mean, and how are ours put into its words?

https://platform.claude.com/docs/en/api/errors
"""

from collections.abc import Mapping
from typing import Any

from proxy.dialects.anthropic.words import ERROR_STATUS, ERROR_WORDS
from proxy.errors import GatewayError, Headers, Unrepresentable, UpstreamError
from proxy.grammar.fields import UNREADABLE, as_object, as_text, decode_json, dump, kept_headers, no_answer
from proxy.grammar.overflow import in_words_of
from proxy.grammar.statuses import class_of, is_servers
from proxy.grammar.worded import message_in

# Anthropic's SDK keeps the chats of its tool runner in threads. At this error it sends the whole chat instead.
_UNTHREADED = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}

_message = in_words_of("prompt is too long", "prompt is too long")


def fault_of_body(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error behind a status other than 200. Its body is kept if it is this wire's, as a client can read it then."""
    said = _object_of(body)
    kept = kept_headers(headers, "anthropic-ratelimit-")
    is_own = said.get("type") == "error" and "error" in said
    return fault(said.get("error") or said, status, kept, body if is_own else None)


def fault_of_no_answer(body: bytes) -> UpstreamError:
    """The error behind bytes that came as an answer and are none: an error's JSON, a page of HTML, nothing."""
    said = _object_of(body)
    if "error" in said:
        return fault(said["error"])
    return no_answer(body)


def fault(error: object, status: int = 200, headers: Headers = (), body: bytes | None = None) -> UpstreamError:
    """The error that a provider's error object and status mean. `error`: an object, a text, or anything at all."""
    word, message = as_text(as_object(error).get("type")), message_in(error)
    meant = status if status >= 400 else ERROR_STATUS.get(word, 502)
    made, kind = class_of(meant, quota=word == "billing_error")
    return made(
        message or f"The provider answered {status} with no readable error.",
        status=meant,
        kind=kind,
        headers=headers,
        upstream_status=status,
        upstream_type=word,
        body=body,
    )


def _object_of(body: bytes) -> dict[str, object]:
    """The object, also out of an array, into which Vertex AI puts its own errors."""
    try:
        said = decode_json(body)
    except UNREADABLE:
        return {}
    return as_object(said[0] if isinstance(said, list) and said else said)


def error_body(error: GatewayError, more: dict[str, str] | None = None) -> bytes:
    told: dict[str, Any] = {"type": _error_word(error), "message": _message(error)}
    if isinstance(error, Unrepresentable) and error.param == "thread":
        told["details"] = _UNTHREADED
    return dump({"type": "error", "error": told, **(more or {})})


def _error_word(error: GatewayError) -> str:
    if error.kind == "quota_exceeded":
        return "billing_error"
    if error.kind == "timeout":
        return "timeout_error"
    unnamed = "api_error" if is_servers(error) else "invalid_request_error"
    return ERROR_WORDS.get(error.status, unnamed)
