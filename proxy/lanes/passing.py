"""How does a call pass through, when its provider takes it as it is?

The client's own bytes go out, edited only where they must be, and the provider's own bytes come back. A meter watches a
copy of them.
"""

from collections.abc import Sequence
from contextlib import suppress

from msgspec.structs import replace

from proxy import headers
from proxy.edge.aside import SKIMMED, aside
from proxy.errors import BadRequest, Down, UpstreamError
from proxy.lanes.asking import (
    Find,
    ask,
    blame,
    dialect_of,
    hold,
    is_stream,
    media_type_of,
    provider_of,
    read_whole,
    unexpected_type,
)
from proxy.lanes.begun import Begun
from proxy.lanes.heeding import Heeding
from proxy.lanes.relaying import Relay, note
from proxy.lanes.respelling import filled
from proxy.lanes.translating import Translation
from proxy.lanes.windows import window
from proxy.ports import Answer, Call, Forward, HeadCounting, Meter, Outgoing, Reply, Strip, Target
from proxy.sealing.provenance import Provenance, has_one

_LINES = "application/x-ndjson"  # a stream of one line, to its clients, is what a whole answer is as well


class PassThrough:
    """The lane. `dialect` finds a dialect by its name; `translation`: the other lane, for an answer that turns out to
    be of another wire, or a whole one where a stream was asked for, which an SDK would read as a stream that says
    nothing.
    """

    def __init__(self, dialect: Find, translation: Translation, provenance: Provenance, heeding: Heeding) -> None:
        self._dialect = dialect
        self._translation = translation
        self._provenance = provenance
        self._heeding = heeding

    async def pass_on(self, call: Call, target: Target, taken: Sequence[str]) -> Reply:
        """`taken`: the names of the dialects that the provider takes.

        Raises GatewayError before the first byte; after it, the body raises.
        """
        unheeded = headers.unheeded(call.headers)
        if call.wishes.context is not None or unheeded:
            self._translation.receipt(call, (*window(call, target, call.dialect).dropped, *unheeded))
        answer, forward = await self._asked(call, target)
        live = is_stream(call, answer, call.dialect) or (call.as_array and media_type_of(answer) == "application/json")
        meter = call.dialect.meter(live)
        try:
            held = await (_hold if live else _whole)(call, answer, meter)
            if (spoke := dialect_of(held, call.dialect, taken, self._dialect)) is not call.dialect:
                return await self._translation.answer(call, target, Begun(answer, held), spoke)
            if live != call.stream and (live or call.dialect.stream_type != _LINES):
                with suppress(BadRequest):  # an answer to what we cannot read stays as it came
                    return await self._translation.answer(call, target, Begun(answer, held), spoke)
        except BaseException:  # most of all where the client has left: the provider must not go on
            answer.abort()
            raise
        reply = _live(call, answer, meter, forward.strip, held) if live else _replied(call, answer, meter, held)
        words, place = call.dialect.seals, (target.adapter.name, call.dialect.name)
        if words and place not in self._provenance.silent and (live or has_one(words, held)):
            reply.taps.append(self._provenance.tap(words, target.adapter.name))
        return reply

    async def _asked(self, call: Call, target: Target) -> tuple[Answer, Forward]:
        """Raises UpstreamError: what the client is to know. That a host will not tell its usage is none of it."""
        heeding, size, wire = self._heeding, len(call.envelope.body), call.dialect.name
        asks_usage = target.adapter.ask_usage
        if asks_usage and heeding.lessons:
            asks_usage = heeding.asks_usage(target.adapter.name, target.model, wire)
        made = call, target, asks_usage
        forward = _forward(*made) if size <= SKIMMED else await aside(size, _forward, *made)
        try:
            return await ask(call, target, call.dialect, _outgoing(call, target, forward)), forward
        except UpstreamError as error:
            if forward.strip is None or not heeding.minds_usage(error, target.adapter.name, target.model, wire):
                raise
        forward = await aside(size, _forward, call, target, False)
        return await ask(call, target, call.dialect, _outgoing(call, target, forward)), forward


def _replied(call: Call, answer: Answer, meter: Meter, body: bytes) -> Reply:
    """Raises UpstreamError."""
    _check_whole(call, answer, meter)
    if call.usage is None and isinstance(call.dialect, HeadCounting):
        call.usage = call.dialect.usage_in_head(answer.headers)
    return Reply(answer.status, headers.returning(answer.headers), body)


def _live(call: Call, answer: Answer, meter: Meter, strip: Strip | None, held: bytes) -> Reply:
    back = headers.returning(answer.headers)
    if answer.ended():
        meter.close()
    if answer.ended() and meter.finished and meter.error is None:  # a stream that has come whole is sent whole
        note(call, meter)
        return Reply(answer.status, back, held if strip is None else strip.feed(held) + strip.close())
    body = Relay(call, answer, meter, strip, held)
    return Reply(answer.status, back, body, last_words=body.last_words, abort=answer.abort)


def _forward(call: Call, target: Target, asks_usage: bool) -> Forward:
    """The client's body, with what the operator says where the client does not."""
    forward = call.dialect.forward(call.envelope, target.model, asks_usage)
    hints = target.adapter.hints(target.model)
    if hints.says_something:
        for fields in filter(None, (call.dialect.hinted(call.envelope, hints), hints.fields)):
            forward = replace(forward, body=filled(forward.body, fields, call.dialect))
    return forward


def _outgoing(call: Call, target: Target, forward: Forward) -> Outgoing:
    return Outgoing(
        call.dialect.name,
        target.model,
        forward.body,
        call.stream,
        headers.outgoing(call.headers),
        headers.query_out(call.raw_query),
        call.operation,
        call.timeout and call.left(),
        call.as_array,
        call.timeout,
    )


async def _whole(call: Call, answer: Answer, meter: Meter) -> bytes:
    body = await read_whole(call, answer)
    meter.feed(body)
    meter.close()
    return body


def _check_whole(call: Call, answer: Answer, meter: Meter) -> None:
    note(call, meter)
    if meter.error is not None:
        raise meter.error
    if not meter.finished:
        message = f"The provider's answer{unexpected_type(answer, 'application/json')} is not valid JSON."
        raise Down(message, code="upstream_protocol", provider=provider_of(call))


async def _hold(call: Call, answer: Answer, meter: Meter) -> bytes:
    """The beginning of a stream. Raises UpstreamError where it is an error's, or nothing comes."""
    alarm = call.dialect.alarm

    def hear(chunk: bytes, held: bytes) -> None:
        meter.feed(chunk)
        if chunk and alarm and held.find(alarm) < 0:  # asking a meter for its error makes it read all that it got
            return
        if not chunk:
            meter.close()
        if meter.error is not None:
            blame(call, meter.error)
            raise meter.error
        if not chunk and not meter.finished:
            came = unexpected_type(answer, call.dialect.stream_type)
            message = f"The provider's stream{came} ended before the answer began."
            raise Down(message, code="upstream_cut", provider=provider_of(call))

    held = await hold(call, answer, call.dialect, hear)
    answer.begun()
    return held
