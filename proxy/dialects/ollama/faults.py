"""What do Ollama's errors mean, and how are ours told in its words?

An error is one sentence: {"error": "model 'x' not found"}. (https://docs.ollama.com/api/errors)
"""

from collections.abc import Mapping

from proxy.errors import Busy, Down, GatewayError, Headers, Kind, Refused, Timeout, UpstreamError
from proxy.fields import UNREADABLE, as_object, as_text, decode_json, dump, kept_headers


def fault_of_body(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error that an answer of another status than 200 means. Its body is kept where the client may read it."""
    try:
        said = as_object(decode_json(body))
    except UNREADABLE:
        said = {}
    readable = isinstance(said.get("error"), str)
    return fault(said.get("error"), status, kept_headers(headers, "x-ratelimit-"), body if readable else None)


def fault(error: object, status: int = 200, headers: Headers = (), body: bytes | None = None) -> UpstreamError:
    """The error that a provider's text and status mean. `error`: a text, or anything at all."""
    message = as_text(error) or as_text(as_object(error).get("message"))
    meant = status if status >= 400 else 502  # in the middle of an answer only the server's own failures are told
    made, kind = _classify(meant)
    return made(
        message or f"The provider answered {status} with no readable error.",
        status=meant,
        kind=kind,
        headers=headers,
        upstream_status=status,
        body=body,
    )


def _classify(status: int) -> tuple[type[UpstreamError], Kind | None]:
    """The class, and the kind where it is not the class's own. 503 says that the queue is full."""
    if status in (429, 503, 529):
        return Busy, None
    if status in (408, 504):
        return Timeout, None
    if status >= 500:
        return Down, None
    kinds: dict[int, Kind] = {401: "authentication", 402: "quota_exceeded", 403: "authentication"}
    return Refused, kinds.get(status)


def error_body(error: GatewayError) -> bytes:
    return dump({"error": error.message})


def error_line(error: GatewayError) -> bytes:
    return error_body(error) + b"\n"
