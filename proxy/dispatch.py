"""How does a call get to its target and back: as it is, or translated?

`chain` puts the middlewares in front of a handler, in the order of the list. `Dispatch` is the innermost handler, and
the fork into the two lanes. Where the target's provider takes the client's own dialect, the bytes pass through and a
meter watches the copy; otherwise one dialect parses, the other encodes, and the answer comes back the same way.
Nobody above can tell which it was.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from time import monotonic
from typing import TypeVar, assert_never
from urllib.parse import unquote_plus

from proxy import headers
from proxy.canon import Close, Delta, Event, Finish, Open, Start, Usage
from proxy.errors import Down, Unrepresentable, UpstreamError
from proxy.framing import MAX_FRAME, Unframed
from proxy.ports import (
    Answer,
    Call,
    Decoder,
    Dialect,
    Handler,
    Meter,
    Middleware,
    Outgoing,
    Peek,
    Renderer,
    Reply,
    Strip,
    Target,
)

T = TypeVar("T")

WHOLE_LIMIT = 64 * 1024 * 1024  # bytes of one whole answer
ERROR_LIMIT = 1024 * 1024  # bytes of a provider's error that are read
HOLD_LIMIT = 64 * 1024  # bytes that may be held back until a stream has shown its first event


def chain(middlewares: Sequence[Middleware], handler: Handler) -> Handler:
    """The first of the list is the outermost."""
    for middleware in reversed(middlewares):
        handler = _before(middleware, handler)
    return handler


def _before(middleware: Middleware, handler: Handler) -> Handler:
    return lambda call: middleware(call, handler)


class Dispatch:
    """The innermost handler. `dialect` finds a dialect by its name."""

    def __init__(self, dialect: Callable[[str], Dialect]) -> None:
        self._dialect = dialect

    async def __call__(self, call: Call) -> Reply:
        """Raises GatewayError before the first byte; after it, the body raises."""
        assert call.target is not None  # failover chose it
        taken = call.target.adapter.dialects
        if call.dialect.name in taken:
            return await _pass_through(call, call.target)
        return await _translate(call, call.target, self._dialect(taken[0]))


# --- the pass-through lane -------------------------------------------------------------------------------------------


async def _pass_through(call: Call, target: Target) -> Reply:
    """The client's own bytes out, the provider's own bytes back."""
    dialect = call.dialect
    forward = dialect.forward(call.envelope, target.model, target.adapter.ask_usage)
    sent = Outgoing(dialect.name, target.model, forward.body, call.stream, headers.outgoing(call.headers), _query(call))
    answer = await _ask(call, target, dialect, sent)
    live = _is_stream(call, answer, dialect)
    meter = dialect.meter(live)
    with _or_abort(answer):
        if not live:
            body = await _whole(call, answer, meter)
            return Reply(answer.status, headers.returning(answer.headers), body)
        held = await _hold(call, answer, meter)
    if forward.strip is not None:
        held = forward.strip.feed(held)
    if answer.ended():
        meter.close()
    if answer.ended() and meter.finished and meter.error is None:  # a stream that has come whole is sent whole
        _note_meter(call, meter)
        rest = forward.strip.close() if forward.strip is not None else b""
        return Reply(answer.status, headers.returning(answer.headers), held + rest)
    return Reply(
        answer.status,
        headers.returning(answer.headers),
        _relay(call, answer, meter, forward.strip, held),
        last_words=dialect.error_event,
        abort=answer.abort,
    )


async def _whole(call: Call, answer: Answer, meter: Meter) -> bytes:
    body = await _timed(call, answer.read(WHOLE_LIMIT))
    meter.feed(body)
    meter.close()
    _note_meter(call, meter)
    if meter.error is not None:
        raise meter.error
    if not meter.finished:
        raise Down("The provider's answer is not valid JSON.", code="upstream_protocol", provider=_name(call))
    return body


async def _hold(call: Call, answer: Answer, meter: Meter) -> bytes:
    """Wait for the first whole event: an error in its place still has its status, and an empty stream is none."""
    held = b""
    while True:
        chunk = await _timed(call, answer.chunk())
        held += chunk
        meter.feed(chunk)
        if not chunk:
            meter.close()
        if meter.error is not None:
            raise meter.error
        if not chunk and not meter.finished:
            raise Down("The provider's stream ended before it began.", code="upstream_cut", provider=_name(call))
        try:
            if not chunk or call.dialect.has_event(held) or len(held) > HOLD_LIMIT:
                answer.begun()
                return held
        except Unframed:
            raise Down("The provider's stream is none.", code="upstream_protocol", provider=_name(call)) from None


async def _relay(call: Call, answer: Answer, meter: Meter, strip: Strip | None, held: bytes) -> AsyncGenerator[bytes]:
    """The provider's bytes as they come. Raises UpstreamError where they end before the answer does."""
    try:
        if held:
            yield held
        unended = 0  # bytes since the last line end
        while chunk := await answer.chunk():
            meter.feed(chunk)
            unended = 0 if b"\n" in chunk or b"\r" in chunk else unended + len(chunk)
            if unended > MAX_FRAME:
                raise Down("An event of the provider's stream does not end.", code="upstream_protocol")
            if strip is not None:
                chunk = strip.feed(chunk)
            if chunk:
                yield chunk
        if strip is not None and (rest := strip.close()):
            yield rest
        meter.close()
        if meter.error is not None:
            meter.error.told = True
            raise meter.error
        if not meter.finished:
            raise Down("The provider's stream ended before its answer did.", code="upstream_cut", provider=_name(call))
    finally:
        answer.abort()
        _note_meter(call, meter)


def _note_meter(call: Call, meter: Meter) -> None:
    call.usage = meter.usage
    call.answered_model = meter.model
    if meter.error is not None:
        _blame(call, meter.error)


# --- the translate lane ----------------------------------------------------------------------------------------------


async def _translate(call: Call, target: Target, dialect: Dialect) -> Reply:
    """Parsed by the client's dialect, encoded by the provider's; the answer the other way round."""
    request = call.dialect.parse(call.envelope.body, Peek(call.model, call.stream, call.as_array))
    request.model = target.model
    encoded = dialect.encode(request)
    call.dropped = encoded.dropped + headers.untranslatable(call.headers)
    sent = Outgoing(dialect.name, target.model, encoded.body, call.stream, headers.translated(call.headers), "")
    answer = await _ask(call, target, dialect, sent)
    decoder = dialect.decoder(_is_stream(call, answer, dialect))
    renderer = call.dialect.renderer(request)
    body = _rendered(call, answer, decoder, renderer)
    back = headers.returning_translated(answer.headers)
    if not call.stream:
        whole = b"".join([part async for part in body])
        return Reply(200, [*back, ("content-type", renderer.media_type)], whole)
    first = await anext(body)
    return Reply(
        200,
        [*back, ("content-type", renderer.media_type)],
        _after(first, body),
        ping=call.dialect.ping,
        last_words=renderer.error,
        abort=answer.abort,
    )


async def _rendered(call: Call, answer: Answer, decoder: Decoder, renderer: Renderer) -> AsyncGenerator[bytes]:
    """The client's bytes, from the first event on that says something. Raises UpstreamError, after what came before."""
    out = bytearray()
    begun = ended = False
    try:
        while not ended:
            # Up to the head of a live answer, and to the end of a whole one, we wait for the provider.
            chunk = await (answer.chunk() if begun and call.stream else _timed(call, answer.chunk()))
            ended = not chunk
            fault: UpstreamError | None = None
            try:
                for event in decoder.close() if ended else decoder.feed(chunk):
                    if _note_event(call, event) and not begun:
                        begun = True
                        answer.begun()
                    out += renderer.feed(event)
            except UpstreamError as error:
                fault = error
                _blame(call, fault)
            except Unrepresentable as error:  # the client asked for nothing wrong: it is the answer that does not fit
                fault = Down(error.message, provider=_name(call), code=error.code, param=error.param)
            if begun and out:
                yield bytes(out)
                out.clear()
            if fault is not None:
                raise fault
    finally:
        answer.abort()


async def _after(first: bytes, body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(body):
        yield first
        async for chunk in body:
            yield chunk


def _note_event(call: Call, event: Event) -> bool:
    """Keep what the ledger wants; tell whether the event says something."""
    match event:
        case Start():
            call.answered_model = event.model
            return False
        case Usage():
            call.usage = event
            return False
        case Open() | Delta() | Close() | Finish():
            return True
        case _:
            assert_never(event)


# --- what both lanes do ----------------------------------------------------------------------------------------------


async def _ask(call: Call, target: Target, dialect: Dialect, sent: Outgoing) -> Answer:
    """Send, and return the head of an answer that is one. Raises UpstreamError."""
    answer = await _timed(call, target.adapter.send(sent))
    call.upstream_id = answer.headers.get("x-request-id") or answer.headers.get("request-id") or ""
    if 200 <= answer.status < 300:
        return answer
    if answer.status < 400:
        answer.abort()
        raise Down(f"{_name(call)} answered with a redirect, which is never followed.", code="upstream_redirect")
    with _or_abort(answer):
        body = await _timed(call, answer.read(ERROR_LIMIT))
    error = dialect.decode_error(answer.status, answer.headers, body)
    _blame(call, error)
    if dialect is not call.dialect:
        error.body = None
    raise error


def _query(call: Call) -> str:
    """The client's query, less the key that may stand in it: that one is ours."""
    pairs = call.raw_query.split("&") if call.raw_query else []
    return "&".join(pair for pair in pairs if unquote_plus(pair.partition("=")[0]) != "key")


def _is_stream(call: Call, answer: Answer, dialect: Dialect) -> bool:
    """What came, which need not be what was asked for: some hosts answer a request for a stream whole."""
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if call.stream:  # hosts have named a stream text/plain; what is none shows soon enough
        return media_type != "application/json"
    return media_type == dialect.stream_type


class _or_abort:  # noqa: N801  reads as a word: `with _or_abort(answer):`
    """Whatever ends our waiting, a client that has left above all: the provider must not go on."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if kind is not None:
            self._answer.abort()


async def _timed(call: Call, waiting: Awaitable[T]) -> T:
    """Await the provider, and book the time as its own and not as ours."""
    began = monotonic()
    try:
        return await waiting
    finally:
        call.waited += monotonic() - began


def _blame(call: Call, error: UpstreamError) -> None:
    """Name the provider, and let none of its words repeat our key."""
    assert call.target is not None
    hide = call.target.adapter.hide
    error.provider = call.target.adapter.name
    error.message = hide(error.message)
    if error.body is not None and hide(text := error.body.decode("utf-8", "surrogateescape")) != text:
        error.body = None


def _name(call: Call) -> str:
    return call.target.adapter.name if call.target is not None else ""
