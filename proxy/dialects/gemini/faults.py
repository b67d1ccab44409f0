"""What do Google's errors mean, and how are ours put into its words?

https://cloud.google.com/apis/design/errors: a code, a message, a status, and details of declared types.
"""

import re
from collections.abc import Iterator, Mapping
from math import ceil

from proxy.dialects.gemini.words import ERROR_STATUS, ERROR_WORDS
from proxy.errors import GatewayError, Headers, Kind, Refused, UpstreamError, excerpt
from proxy.grammar.fields import UNREADABLE, Object, as_list, as_object, as_text, decode_json, dump, kept_headers
from proxy.grammar.overflow import in_words_of
from proxy.grammar.statuses import class_of, is_servers
from proxy.grammar.worded import message_in

_TYPE = "type.googleapis.com/google.rpc."

_told = in_words_of("The input token count exceeds the maximum number of tokens allowed", "number of tokens allowed")
_delay = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s").fullmatch


def fault_of_body(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error behind a status other than 200. Its body is kept if the client may read it."""
    try:
        said: object = decode_json(body)
    except UNREADABLE:
        said = None
    error = error_in(said)
    kept = kept_headers(headers, "x-ratelimit-")
    return fault(said, status, kept) if error is None else fault(error, status, kept, body)


def error_in(said: object) -> object:
    """The error in an answer: an object, or the first of an array of them (a stream without `alt=sse`)."""
    if isinstance(said, list):
        said = next(iter(said), None)
    return as_object(said).get("error")


def fault(error: object, status: int = 200, headers: Headers = (), body: bytes | None = None) -> UpstreamError:
    """The error that a provider's error object and status mean. `error`: an object, a text, or anything at all."""
    said = as_object(error)
    word = excerpt(as_text(said.get("status")), 200)
    message = message_in(error) or f"The provider answered {status} with no readable error."
    meant = _meant(status, said, word)
    made, kind = _classify(meant, said)
    known = {name.lower() for name, _ in headers}
    waits = [] if "retry-after" in known else [("retry-after", wait) for wait in _waits(said)]
    return made(
        message,
        status=meant,
        kind=kind,
        code="insufficient_quota" if kind == "quota_exceeded" else None,
        headers=[*headers, *waits],
        upstream_status=status,
        upstream_type=word,
        body=body,
    )


def _meant(status: int, said: Object, word: str) -> int:
    """The status that an error means. In an answer with status 200 its own words say it."""
    if status >= 400:
        return status
    code = said.get("code")
    if isinstance(code, int) and 400 <= code < 600:
        return code
    return ERROR_STATUS.get(word, 502)


def _classify(status: int, said: Object) -> tuple[type[UpstreamError], Kind | None]:
    """The error's class, and its kind if that is not the usual one of the class."""
    made, kind = class_of(
        502 if status == 499 else status, quota=_is_spent(said)
    )  # 499: Google gave up, not the client
    of_key = any(as_text(detail.get("reason")).startswith("API_KEY_") for detail in _details(said))
    return made, "authentication" if made is Refused and of_key else kind


def _is_spent(said: Object) -> bool:
    """Is a quota used up? A limit per minute, which Google calls a quota as well, does not count: it soon recovers."""
    broken = [as_object(item) for detail in _details(said) for item in as_list(detail.get("violations"))]
    if any("PerMinute" in as_text(item.get("quotaId")) for item in broken):
        return False
    return bool(broken) or "quota" in as_text(said.get("message")).lower()


def _waits(said: Object) -> Iterator[str]:
    """How long to wait, in whole seconds, as google.rpc.RetryInfo says."""
    for detail in _details(said):
        if found := _delay(as_text(detail.get("retryDelay"))):
            yield str(ceil(float(found[1])))
            return


def _details(said: Object) -> list[Object]:
    return [as_object(detail) for detail in as_list(said.get("details"))]


def error_body(error: GatewayError) -> bytes:
    return dump(error_object(error))


def error_object(error: GatewayError) -> Object:
    """Our error in Google's shape. `error` must be the first key, as Google's SDK knows a broken stream by it."""
    unnamed = "INTERNAL" if is_servers(error) else "INVALID_ARGUMENT"
    details: list[Object] = [{"@type": f"{_TYPE}ErrorInfo", "reason": error.code.upper(), "domain": "pillion"}]
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    for name, value in error.headers:
        if name.lower() == "retry-after" and value.isascii() and value.isdigit():
            details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{value}s"})
    told = {"code": error.status, "message": _told(error), "status": ERROR_WORDS.get(error.status, unnamed)}
    return {"error": {**told, "details": details}}
