"""How is a provider asked, whichever lane the call is in?

What both lanes share: getting to an answer that is no error, finding out what kind of answer it is, and keeping keys
out of the provider's words.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from time import monotonic, time

from proxy.errors import Down, UpstreamError, is_unsent
from proxy.framing import MAX_WHOLE, Unframed
from proxy.grammar.complaints import understand
from proxy.grammar.mirrored import unmirrored
from proxy.grammar.repeating import repeated, shows_key, unescaped
from proxy.grammar.statuses import says_no_more
from proxy.headers import REQUEST_IDS
from proxy.lanes.begun import Begun
from proxy.limits import ratelimits
from proxy.ports import Answer, Call, Dialect, Outgoing, Target

ERROR_LIMIT = 1024 * 1024  # bytes of a provider's error that are read
ERROR_PATIENCE = 5.0  # seconds in which it must have come
HOLD_LIMIT = 256 * 1024  # bytes that may be held back until a stream has said something
BEGINNING = 1024  # bytes of an answer in which its wire nearly always shows
# Codes of errors after which the provider has certainly seen nothing, and bills nothing.
NEVER_REACHED = frozenset({"connect_timeout", "tls_timeout", "connect_error", "dns_error", "tls_error", "proxy_error"})
_PAGES = frozenset({"text/html", "text/xml", "application/xml"})
_is_page = re.compile(rb"(?:\xef\xbb\xbf)?\s*<").match
_is_type = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}", re.ASCII).fullmatch

Find = Callable[[str], Dialect]  # the dialect of this name


async def ask(call: Call, target: Target, dialect: Dialect, sent: Outgoing) -> Answer:
    """Send, and return the answer at its head, where that is no error. Raises UpstreamError."""
    call.asked, began = True, monotonic()  # unless it turns out that nothing was sent
    try:
        answer = await target.adapter.send(sent)
    except (UpstreamError, asyncio.CancelledError) as failed:
        call.asked = not (is_unsent(failed) or getattr(failed, "code", "") in NEVER_REACHED)
        raise
    finally:
        call.waited += monotonic() - began
    call.answer_head = monotonic(), answer.headers
    call.upstream_id = next(filter(None, map(answer.headers.get, REQUEST_IDS)), "")
    if 200 <= answer.status < 300:
        return answer if media_type_of(answer) not in _PAGES else await _no_page(call, answer)
    if not 400 <= answer.status < 600:
        answer.abort()
        raise _astray(call, answer.status)
    body, lack = await _error_body(call, answer)
    error = dialect.decode_error(answer.status, answer.headers, body)
    error.detail = lack
    error.date = answer.headers.get("date", "")
    blame(call, error)
    if not lack and (found := _stranger(answer, body, error, dialect)):
        error.message = f"{error.provider} answered with status {answer.status} and {found}: check base_url."
        error.unmirrored = ""
    target.adapter.refused(answer, error)
    if dialect is not call.dialect:
        error.body, error.heard = None, error.headers
        error.headers = [*error.headers, *ratelimits.translated(answer.headers, call.dialect.name, time())]
    raise error


async def _error_body(call: Call, answer: Answer) -> tuple[bytes, str]:
    """The provider's words, or none and why. The status and Retry-After count without them, so no retry waits long."""
    try:
        async with asyncio.timeout(ERROR_PATIENCE):
            return await call.timed(answer.read(ERROR_LIMIT)), ""
    except TimeoutError:
        answer.abort()
        return b"", f"The body of this error did not end within {ERROR_PATIENCE:g} s."
    except UpstreamError as cut:
        answer.abort()
        return b"", f"The body of this error was not read: {cut.message}"
    except BaseException:  # most of all where the client has left: the provider must not go on
        answer.abort()
        raise


def _stranger(answer: Answer, body: bytes, error: UpstreamError, dialect: Dialect) -> str:
    """What shows that it is not the provider's API that refuses, but whatever else is at that URL or on the way there.

    A page under 413 or 429 is that of the provider's own front, whose status says what it means.
    """
    status, media_type = answer.status, media_type_of(answer)
    nothing = dialect.decode_error(status, {}, b"").message
    error.lost = says_no_more(status, error.message, nothing)
    if media_type in _PAGES and _is_page(body) and status < 500 and status not in (408, 413, 429):
        return f"{media_type} instead of JSON"
    if not error.lost or status >= 500:
        return ""
    return "no reason" if error.message == nothing else f'"{error.message}"'


async def _no_page(call: Call, answer: Answer) -> Answer:
    """The answer, unless it is a web page. Its type alone does not tell: some hosts give it to JSON as well."""
    try:
        began = await call.timed(answer.chunk())
        if not began or _is_page(began):
            due = "a stream" if call.stream else "JSON"
            raise _misled(call, f"{media_type_of(answer)} instead of {due}", "upstream_protocol", answer.status)
    except BaseException:  # most of all where the client has left: the provider must not go on
        answer.abort()
        raise
    return Begun(answer, began)


def _astray(call: Call, status: int) -> Down:
    if 300 <= status < 400:
        return _misled(call, f"status {status}, and redirects are not followed", "upstream_redirect", status)
    return _misled(call, f"status {status}, which no provider gives", "upstream_protocol", status)


def _misled(call: Call, what: str, code: str, status: int) -> Down:
    """The error for an answer that no provider gives: the host is something else, or has moved."""
    name = provider_of(call)
    return Down(f"{name} answered with {what}: check base_url.", provider=name, code=code, upstream_status=status)


def media_type_of(answer: Answer) -> str:
    return _media_type(answer.headers.get("content-type", ""))


@lru_cache(maxsize=256)
def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def unexpected_type(answer: Answer, due: str) -> str:
    """For a sentence about an answer that makes no sense: its media type, if that is not the one that was `due`."""
    came = media_type_of(answer)
    return "" if came == due else f" (of type {came})" if _is_type(came) else " (of unknown type)"


def is_stream(call: Call, answer: Answer, dialect: Dialect) -> bool:
    """Judged by what came, not by what was asked for: some hosts answer a request for a stream with a whole answer."""
    if call.stream:  # some hosts call a stream text/plain; if it is none, that shows soon enough
        return media_type_of(answer) != "application/json"
    return media_type_of(answer) == dialect.stream_type


async def hold(
    call: Call, answer: Answer, dialect: Dialect, hear: Callable[[bytes, bytes], None] = lambda chunk, held: None
) -> bytes:
    """The bytes of a stream up to the first event that says something: until then an error can still have its status.

    `hear` gets each chunk as it comes (b"" at the end), and all that has come. Raises UpstreamError, and what `hear`
    raises.
    """
    held = b""
    while True:
        chunk = await call.timed(answer.chunk())
        held += chunk
        hear(chunk, held)
        try:
            if not chunk or len(held) > HOLD_LIMIT or dialect.has_event(held):
                return held
        except Unframed:
            message = f"The provider's answer{unexpected_type(answer, dialect.stream_type)} is not a stream."
            raise Down(message, code="upstream_protocol", provider=provider_of(call)) from None


def read_whole(call: Call, answer: Answer) -> Awaitable[bytes]:
    """An answer that is no stream. Raises UpstreamError."""
    return call.timed(answer.read(MAX_WHOLE))


def dialect_of(held: bytes, asked: Dialect, taken: Sequence[str], find: Find) -> Dialect:
    """The dialect of an answer that begins so. A host that imitates OpenAI may answer every wire's requests in one.

    `taken`: the names of the host's dialects; `find` has their code, which is not loaded before it is needed.
    """
    if len(taken) < 2 or asked.sign is None or asked.sign.search(held, 0, BEGINNING):
        return asked
    for end in (BEGINNING, len(held)):
        for dialect in (asked, *map(find, taken)):
            if dialect.sign is not None and dialect.sign.search(held, 0, end):
                return dialect
    return asked


def blame(call: Call, error: UpstreamError) -> None:
    """Name the provider in its error, find out what it means, and take keys out of its words. Once for each error.

    What the provider says of our key must not read as if we said it of the client's.
    """
    assert call.target is not None
    understand(error)
    hide = call.target.adapter.hide
    error.provider = call.target.adapter.name
    names = (call.model, call.target.model)
    error.message, error.code = repeated(hide(error.message), names), hide(error.code)
    if error.kind == "authentication":
        key = f"{call.target.adapter.whose_key} key"
        refused = f"does not allow {key} to do this" if error.status == 403 else f"refused {key}"
        error.message = f"{error.provider} {refused}: {error.message}"
    error.param = hide(error.param) if error.param else None
    error.unmirrored = unmirrored(error.message, call.envelope.body, names)
    if error.body is not None:
        text = error.body.decode("utf-8", "surrogateescape")
        if any(shows_key(said, names) or hide(said) != said for said in {text, unescaped(text)}):
            error.body = None


def provider_of(call: Call) -> str:
    return call.target.adapter.name if call.target is not None else ""
