"""What do Cohere's errors mean, and how does its wire spell ours?

https://docs.cohere.com/reference/errors: an error is {"message": "...", "id": "..."}. In a stream it is the last event,
a message-end whose `finish_reason` is ERROR. The official SDK does not raise there, so that this word is all that a
client sees.
"""

from collections.abc import Mapping

from proxy.errors import GatewayError, Headers, Timeout, UpstreamError
from proxy.framing import sse
from proxy.grammar.fields import as_text, dump, kept_headers, no_answer, object_in
from proxy.grammar.overflow import in_words_of
from proxy.grammar.statuses import class_of
from proxy.grammar.worded import message_in

_told = in_words_of("too many tokens", "^too many tokens")


def fault_of_body(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error in an answer whose status is not 200. Its body is kept if the client may read it."""
    said = object_in(body)
    kept = kept_headers(headers, "x-trial-endpoint-call-")
    return fault(message_in(said), status, kept, body if isinstance(said.get("message"), str) else None)


def fault_of_no_answer(body: bytes) -> UpstreamError:
    """The error for bytes that are no answer: an error's JSON, an HTML page, or nothing at all."""
    said = object_in(body)
    if isinstance(said.get("message"), str):
        return fault(said["message"])
    return no_answer(body)


def fault_of_finish(word: object, error: object) -> UpstreamError | None:
    """The error that an answer's `finish_reason` stands for; None if it stands for none."""
    if word == "ERROR":
        return fault(error or "The provider's model failed without giving a reason.")
    if word == "TIMEOUT":
        return Timeout(as_text(error) or "The provider's model timed out.", upstream_status=200)
    return None


def fault(message: object, status: int = 200, headers: Headers = (), body: bytes | None = None) -> UpstreamError:
    """The error that a provider's text and status mean. `message`: a text, or anything at all."""
    text = as_text(message) or f"The provider answered {status} with no readable error."
    meant = status if status >= 400 else 502
    made, kind = class_of(meant, quota="month" in text.lower())  # trial keys: a quota per month, a rate per minute
    return made(text, status=meant, kind=kind, headers=headers, upstream_status=status, body=body)


def error_body(error: GatewayError, more: dict[str, str] | None = None) -> bytes:
    return dump({"message": _told(error), **(more or {})})


def error_event(error: GatewayError) -> bytes:
    delta = {"finish_reason": "ERROR", "error": _told(error)}
    return sse(dump({"type": "message-end", "delta": delta}), "message-end")
