"""What do a host's errors mean, and how does this wire spell ours?

https://platform.openai.com/docs/guides/error-codes
"""

from collections.abc import Mapping

from proxy.dialects.openai_responses.words import ERROR_STATUS, FAILURE_CODES
from proxy.errors import GatewayError, Headers, UpstreamError, excerpt
from proxy.framing import sse
from proxy.grammar.fields import Object, as_object, as_text, dump, kept_headers, object_in
from proxy.grammar.openai import ERROR_WORDS
from proxy.grammar.statuses import class_of
from proxy.grammar.worded import message_in


def fault_of_body(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error in an answer whose status is not 200. Its body is kept if the client may read it."""
    said = object_in(body)
    kept = kept_headers(headers, "x-ratelimit-")
    return fault(error_in(said), status, kept, body if "error" in said else None)


def error_in(said: Object) -> object:
    """The error in a body. xAI's `error` is a text, with the code beside it."""
    error = said.get("error")
    return {"message": error, "code": said.get("code")} if isinstance(error, str) else error or said


def fault(error: object, status: int = 200, headers: Headers = (), body: bytes | None = None) -> UpstreamError:
    """The error that a provider's error object and status mean. `error`: an object, a text, or anything at all."""
    said = as_object(error)
    code, word = excerpt(as_text(said.get("code")), 200), excerpt(as_text(said.get("type")), 200)
    told = message_in(error) or f"The provider answered {status} with no readable error."
    meant = _meant(status, f"{code} {word}".lower())
    quota = any(name in f"{code} {word}" for name in ("quota", "billing"))
    made, kind = class_of(meant, quota)
    return made(
        told,
        status=meant,
        kind=kind,
        code=code or None,
        param=excerpt(as_text(said.get("param")), 200) or None,
        headers=headers,
        upstream_status=status,
        upstream_type=word,
        body=body,
    )


def _meant(status: int, words: str) -> int:
    """The status that an error stands for, since it may have come under 200."""
    if status >= 400:
        return status
    return next((meant for word, meant in ERROR_STATUS if word in words), 502)


def error_fields(error: GatewayError) -> Object:
    word = ERROR_WORDS.get(error.kind, "server_error")
    return {"message": error.message, "type": word, "param": error.param, "code": error.code}


def error_body(error: GatewayError) -> bytes:
    return dump({"error": error_fields(error)})


def failure(error: GatewayError, response: Object, number: int) -> bytes:
    """The end of a stream that broke, in two events for two kinds of client.

    OpenAI's SDKs raise if an event has an `error`, and take `response.failed` for an answer like any other. Codex reads
    `response.failed`, and ignores events of type "error". `response`: as much of it as the client knows so far.
    """
    told = error_fields(error) | {"code": FAILURE_CODES.get(error.kind, error.code)}
    alarm = told | {"type": "error", "error": told, "sequence_number": number}
    failed = response | {"status": "failed", "error": {"code": told["code"], "message": error.message}}
    end = {"type": "response.failed", "response": failed, "sequence_number": number + 1}
    return sse(dump(alarm), "error") + sse(dump(end), "response.failed")
