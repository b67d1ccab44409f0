"""How is a provider asked, whichever lane the call is in?

What both lanes share: the head of an answer that is one, time booked as the provider's, and words of a provider's that
never repeat our key.
"""

from collections.abc import Awaitable, Sequence
from time import monotonic, time
from typing import TypeVar
from urllib.parse import unquote_plus

from proxy import ratelimits
from proxy.errors import Down, UpstreamError
from proxy.ports import Answer, Call, Dialect, Outgoing, Target

T = TypeVar("T")

ERROR_LIMIT = 1024 * 1024  # bytes of a provider's error that are read
_REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid")
_SAID_TO_US = ("key", "api-version")


async def ask(call: Call, target: Target, dialect: Dialect, sent: Outgoing) -> Answer:
    """Send, and return the head of an answer that is one. Raises UpstreamError."""
    answer = await timed(call, target.adapter.send(sent))
    call.upstream_id = next(filter(None, map(answer.headers.get, _REQUEST_IDS)), "")
    if 200 <= answer.status < 300:
        return answer
    if answer.status < 400:
        answer.abort()
        raise Down(f"{name_of(call)} answered with a redirect, which is never followed.", code="upstream_redirect")
    with or_abort(answer):
        body = await timed(call, answer.read(ERROR_LIMIT))
    error = dialect.decode_error(answer.status, answer.headers, body)
    blame(call, error)
    if dialect is not call.dialect:
        error.body = None
        error.headers = [*error.headers, *ratelimits.spelled(answer.headers, call.dialect.name, time())]
    raise error


def query_of(call: Call) -> str:
    """The client's query, less what was said to us: our key, and which version of Azure's API the client speaks."""
    pairs = call.raw_query.split("&") if call.raw_query else []
    return "&".join(pair for pair in pairs if unquote_plus(pair.partition("=")[0]) not in _SAID_TO_US)


def media_type_of(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_stream(call: Call, answer: Answer, dialect: Dialect) -> bool:
    """What came, which need not be what was asked for: some hosts answer a request for a stream whole."""
    if call.stream:  # hosts have named a stream text/plain; what is none shows soon enough
        return media_type_of(answer) != "application/json"
    return media_type_of(answer) == dialect.stream_type


def spoken(held: bytes, asked: Dialect, others: Sequence[Dialect]) -> Dialect:
    """The dialect of an answer that begins so. A host that only looks like OpenAI may have one for all questions."""
    if not others or asked.sign is None or asked.sign.search(held):
        return asked
    return next((other for other in others if other.sign is not None and other.sign.search(held)), asked)


class Begun:
    """An answer of which the beginning was read before."""

    def __init__(self, answer: Answer, held: bytes) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.begun = answer.begun
        self.ended = answer.ended
        self.abort = answer.abort
        self._answer = answer
        self._held = held

    async def chunk(self) -> bytes:
        held, self._held = self._held, b""
        return held or await self._answer.chunk()

    async def read(self, limit: int) -> bytes:
        return self._held + await self._answer.read(limit)


class or_abort:  # noqa: N801  reads as a word: `with or_abort(answer):`
    """Whatever ends our waiting, a client that has left above all: the provider must not go on."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if kind is not None:
            self._answer.abort()


async def timed(call: Call, waiting: Awaitable[T]) -> T:
    """Await the provider, and book the time as its own and not as ours."""
    began = monotonic()
    try:
        return await waiting
    finally:
        call.waited += monotonic() - began


def blame(call: Call, error: UpstreamError) -> None:
    """Name the provider, and let none of its words repeat our key."""
    assert call.target is not None
    hide = call.target.adapter.hide
    error.provider = call.target.adapter.name
    error.message, error.code = hide(error.message), hide(error.code)
    error.param = hide(error.param) if error.param else None
    if error.body is not None and hide(text := error.body.decode("utf-8", "surrogateescape")) != text:
        error.body = None


def name_of(call: Call) -> str:
    return call.target.adapter.name if call.target is not None else ""
