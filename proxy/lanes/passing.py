"""How does a call pass through that its provider takes as it is?

The client's own bytes out, edited where they must be and nowhere else, and the provider's own bytes back. A meter
watches the copy.
"""

from collections.abc import AsyncGenerator, Sequence

from proxy import headers
from proxy.envelope import Envelope
from proxy.errors import Down
from proxy.framing import Unframed
from proxy.lanes.asking import Begun, ask, blame, is_stream, media_type_of, name_of, or_abort, query_of, spoken, timed
from proxy.lanes.translating import Translation
from proxy.ports import Answer, Call, Dialect, Forward, Meter, Outgoing, Reply, Strip, Target

WHOLE_LIMIT = 64 * 1024 * 1024  # bytes of one whole answer
HOLD_LIMIT = 64 * 1024  # bytes that may be held back until a stream has shown its first event


class PassThrough:
    """The lane. `translate`: the other one, for an answer that turns out to be of another wire."""

    def __init__(self, translate: Translation) -> None:
        self._translate = translate

    async def __call__(self, call: Call, target: Target, others: Sequence[Dialect]) -> Reply:
        """`others` are the other dialects of the provider.

        Raises GatewayError before the first byte; after it, the body raises.
        """
        forward = _forward(call, target)
        answer = await ask(call, target, call.dialect, _outgoing(call, target, forward))
        live = is_stream(call, answer, call.dialect) or (call.as_array and media_type_of(answer) == "application/json")
        meter = call.dialect.meter(live)
        with or_abort(answer):
            held = await (_hold if live else _whole)(call, answer, meter)
            if (spoke := spoken(held, call.dialect, others)) is not call.dialect:
                return await self._translate.answer(call, target, Begun(answer, held), spoke)
        if not live:
            _check_whole(call, meter)
            return Reply(answer.status, headers.returning(answer.headers), held)
        return _live(call, answer, meter, forward.strip, held)


def _live(call: Call, answer: Answer, meter: Meter, strip: Strip | None, held: bytes) -> Reply:
    back = headers.returning(answer.headers)
    if answer.ended():
        meter.close()
    if answer.ended() and meter.finished and meter.error is None:  # a stream that has come whole is sent whole
        _note(call, meter)
        return Reply(answer.status, back, held if strip is None else strip.feed(held) + strip.close())
    body = _relay(call, answer, meter, strip, held)
    return Reply(answer.status, back, body, last_words=call.dialect.error_event, abort=answer.abort)


def _forward(call: Call, target: Target) -> Forward:
    """The client's body, and in it what the operator says where the client does not."""
    forward = call.dialect.forward(call.envelope, target.model, target.adapter.ask_usage)
    hints = target.adapter.hints(target.model)
    if hints.says_something:
        for fields in filter(None, (call.dialect.hinted(call.envelope, hints), hints.fields)):
            forward = forward._replace(body=Envelope(forward.body).filled(fields))
    return forward


def _outgoing(call: Call, target: Target, forward: Forward) -> Outgoing:
    return Outgoing(
        call.dialect.name,
        target.model,
        forward.body,
        call.stream,
        headers.outgoing(call.headers),
        query_of(call),
        call.operation,
        call.timeout,
        call.as_array,
    )


async def _whole(call: Call, answer: Answer, meter: Meter) -> bytes:
    body = await timed(call, answer.read(WHOLE_LIMIT))
    meter.feed(body)
    meter.close()
    return body


def _check_whole(call: Call, meter: Meter) -> None:
    _note(call, meter)
    if meter.error is not None:
        raise meter.error
    if not meter.finished:
        raise Down("The provider's answer is not valid JSON.", code="upstream_protocol", provider=name_of(call))


async def _hold(call: Call, answer: Answer, meter: Meter) -> bytes:
    """Wait for the first whole event: an error in its place still has its status, and an empty stream is none."""
    held = b""
    while True:
        chunk = await timed(call, answer.chunk())
        held += chunk
        meter.feed(chunk)
        if not chunk:
            meter.close()
        if meter.error is not None:
            raise meter.error
        if not chunk and not meter.finished:
            raise Down("The provider's stream ended before it began.", code="upstream_cut", provider=name_of(call))
        try:
            if not chunk or call.dialect.has_event(held) or len(held) > HOLD_LIMIT:
                answer.begun()
                return held
        except Unframed:
            raise Down("The provider's stream is none.", code="upstream_protocol", provider=name_of(call)) from None


async def _relay(call: Call, answer: Answer, meter: Meter, strip: Strip | None, held: bytes) -> AsyncGenerator[bytes]:
    """The provider's bytes, by whole events. Raises UpstreamError where they end before the answer does."""
    gate, chunk = call.dialect.gate(), held
    try:
        while chunk:
            whole = gate.feed(chunk)
            if strip is not None:
                whole = strip.feed(whole)
            if whole:
                yield whole
            if chunk := await answer.chunk():
                meter.feed(chunk)
        meter.close()
        rest = gate.close()
        if strip is not None:
            rest = strip.feed(rest) + strip.close()
        if rest and (meter.finished or meter.error is not None):
            yield rest
        if meter.error is not None:
            meter.error.told = True
            raise meter.error
        if not meter.finished:
            raise Down(
                "The provider's stream ended before its answer did.", code="upstream_cut", provider=name_of(call)
            )
    except Unframed as error:
        message = f"The provider's stream makes no sense: {error}."
        raise Down(message, code="upstream_protocol", provider=name_of(call)) from None
    finally:
        answer.abort()
        _note(call, meter)


def _note(call: Call, meter: Meter) -> None:
    call.usage = meter.usage
    call.answered_model = meter.model
    if meter.error is not None:
        blame(call, meter.error)
