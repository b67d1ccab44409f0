"""What do Ollama's errors mean, and how does its wire spell ours?

An error is one sentence: {"error": "model 'x' not found"}. (https://docs.ollama.com/api/errors)
"""

from collections.abc import Mapping

from proxy.dialects.ollama.lines import one_line
from proxy.errors import GatewayError, Headers, UpstreamError
from proxy.grammar.fields import dump, kept_headers, object_in
from proxy.grammar.statuses import class_of
from proxy.grammar.worded import message_in


def fault_of_body(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error in an answer whose status is not 200. Its body is kept if the client may read it."""
    said = object_in(body)
    readable = isinstance(said.get("error"), str)
    return fault(said, status, kept_headers(headers, "x-ratelimit-"), body if readable else None)


def fault(error: object, status: int = 200, headers: Headers = (), body: bytes | None = None) -> UpstreamError:
    """The error that a provider's text and status mean. `error`: a text, or anything at all."""
    message = message_in(error)
    meant = status if status >= 400 else 502  # errors within an answer are always the server's own
    made, kind = class_of(529 if meant == 503 else meant)  # 503: the queue is full
    return made(
        message or f"The provider answered {status} with no readable error.",
        status=meant,
        kind=kind,
        headers=headers,
        upstream_status=status,
        body=body,
    )


def error_body(error: GatewayError) -> bytes:
    return dump({"error": error.message})


def error_line(error: GatewayError) -> bytes:
    return one_line(error_body(error)) + b"\n"
