"""What do Anthropic's errors mean, and how are ours told in its words?

https://platform.claude.com/docs/en/api/errors"""

import msgspec

from proxy.dialects.anthropic.words import ERROR_STATUS, ERROR_WORDS, OBJECT, UNREADABLE, dump
from proxy.errors import Busy, Down, GatewayError, Kind, Refused, UpstreamError


def error_body(error: GatewayError, more: dict[str, str] | None = None) -> bytes:
    told = {"type": _error_word(error), "message": error.message}
    return dump({"type": "error", "error": told, **(more or {})})


def _error_word(error: GatewayError) -> str:
    if error.kind == "quota_exceeded":
        return "billing_error"
    if error.kind == "timeout":
        return "timeout_error"
    unnamed = "invalid_request_error" if error.status < 500 else "api_error"
    return ERROR_WORDS.get(error.status, unnamed)


def failure(status: int, word: str, message: str) -> UpstreamError:
    if status in (429, 529):
        kind: Kind = "quota_exceeded" if word == "billing_error" else "rate_limit"
        return Busy(message, status=status, kind=kind, upstream_type=word)
    if status >= 500:
        return Down(message, status=status, kind="timeout" if status == 504 else None, upstream_type=word)
    kinds: dict[int, Kind] = {401: "authentication", 402: "quota_exceeded", 403: "authentication"}
    return Refused(message, status=status, kind=kinds.get(status), upstream_type=word)


def error_in_answer(error: object) -> UpstreamError:
    """An error that came where an answer should be, under status 200: its type stands for the status."""
    word, message = _word_and_message({"error": error})
    text = message or "The provider broke off with no readable error."
    return failure(ERROR_STATUS.get(word, 502), word, text)


def no_answer(body: bytes) -> UpstreamError:
    """Bytes that are no answer: an error's JSON, a page of HTML, nothing."""
    word, message = told_error(body)
    if word or message:
        return failure(ERROR_STATUS.get(word, 502), word, message or "The provider gave an error without a message.")
    return Down("The provider's answer is empty." if not body.strip() else "The provider's answer cannot be read.")


def told_error(body: bytes) -> tuple[str, str]:
    try:
        return _word_and_message(msgspec.json.decode(body))
    except UNREADABLE:
        return "", ""


def _word_and_message(value: object) -> tuple[str, str]:
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, str):
        return "", error
    word, message = (error.get("type"), error.get("message")) if isinstance(error, dict) else (None, None)
    return word if isinstance(word, str) else "", message if isinstance(message, str) else ""


def is_error(body: bytes) -> bool:
    try:
        return "error" in OBJECT.decode(body)
    except UNREADABLE:
        return False


def for_clients(name: str) -> bool:
    return name in ("retry-after", "retry-after-ms", "x-should-retry") or name.startswith("anthropic-ratelimit-")
