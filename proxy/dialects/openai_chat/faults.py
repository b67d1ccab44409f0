"""What do a host's errors mean, and how does this wire spell ours?"""

import re
from collections.abc import Mapping

from proxy.dialects.openai_chat.words import ERROR_STATUS
from proxy.errors import GatewayError, Headers, UpstreamError, excerpt
from proxy.grammar.fields import (
    UNREADABLE,
    Object,
    as_list,
    as_object,
    as_text,
    decode_json,
    dump,
    kept_headers,
    object_in,
)
from proxy.grammar.openai import ERROR_WORDS
from proxy.grammar.statuses import class_of
from proxy.grammar.worded import message_in


def fault_of_body(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error in an answer whose status is not 200. Its body is kept if the client may read it."""
    try:
        said: object = decode_json(body)
    except UNREADABLE:
        said = _plain(headers, body)
    error = as_object(said).get("error")
    readable = isinstance(said, dict) and "error" in said
    kept = kept_headers(headers, "x-ratelimit-")
    return fault(error or said, status, kept, body if readable else None)


def _plain(headers: Mapping[str, str], body: bytes) -> str | None:
    """The sentence that some hosts send in place of JSON, as xAI does of a body that it cannot read."""
    is_plain = headers.get("content-type", "").lower().startswith("text/plain")
    return body.decode(errors="replace") if is_plain and not body.lstrip().startswith(b"<") else None


def error_in(said: Object) -> object:
    """The error in an answer, or in a chunk of one. vLLM's and Mistral's may be all of it; Groq says beside its own
    fields why a stream stopped early: https://github.com/groq/groq-python, types/chat/chat_completion_chunk.py
    """
    told = said.get("error") or as_object(said.get("x_groq")).get("error")
    is_one = said.get("object") == "error" or (not said.get("choices") and _refuses(said.get("base_resp")))
    return told or (said if is_one else None)


def _refuses(told: object) -> bool:
    """MiniMax says 200 to all, and beside an answer that there is none, why: 1008, insufficient balance.
    https://platform.minimax.io/docs/api-reference/errorcode
    """
    return as_object(told).get("status_code") not in (None, 0)


def broken_in(said: Object) -> Object | None:
    """The first choice that ends in an error, as OpenRouter says of an answer that broke off; the error may be in it.
    https://openrouter.ai/docs/api/reference/errors-and-debugging
    """
    choices = map(as_object, as_list(said.get("choices")))
    return next((choice for choice in choices if choice.get("finish_reason") == "error"), None)


def error_line(event: bytes) -> Object:
    """The error in a line of llama.cpp's, which named the line `error` where others name it `data`, and let [DONE]
    follow. Empty where there is none. https://github.com/ggml-org/llama.cpp/blob/b4000/examples/server/utils.hpp
    """
    found = _error_line(event)
    return {} if found is None else object_in(found[1])


_error_line = re.compile(rb"^error: ?(\{.*)", re.MULTILINE).search


def fault(error: object, status: int = 200, headers: Headers = (), body: bytes | None = None) -> UpstreamError:
    """The error that a provider's error object and status mean. `error`: an object, a text, or anything at all."""
    said = as_object(error)
    code, word = _word(said.get("code")), _word(said.get("type"))
    message = message_in(error) or f"The provider answered {status} with no readable error."
    quota = any(name in text.lower() for name in ("quota", "billing", "insufficient") for text in (code, word))
    meant = _meant(status, said, f"{code} {word}".lower())
    made, kind = class_of(meant, quota)
    return made(
        message,
        status=meant,
        kind=kind,
        code="insufficient_quota" if quota and meant == 429 else code or None,
        param=_word(said.get("param")) or None,
        headers=headers,
        upstream_status=status,
        upstream_type=word,
        body=body,
    )


def _meant(status: int, said: Object, words: str) -> int:
    """The status that an error stands for, since it may have come under 200."""
    if status >= 400:
        return status
    for key in ("code", "status", "status_code"):
        value = said.get(key)
        if isinstance(value, str) and re.fullmatch("[45][0-9][0-9]", value):
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return next((meant for word, meant in ERROR_STATUS if word in words), 502)


def _word(value: object) -> str:
    return excerpt(as_text(value), 200)


def error_body(error: GatewayError) -> bytes:
    word = ERROR_WORDS.get(error.kind, "server_error")
    return dump({"error": {"message": error.message, "type": word, "param": error.param, "code": error.code}})
