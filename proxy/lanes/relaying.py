"""How do a provider's own bytes go on to the client?

By whole events, so that an error can be put between two of them when the stream breaks.
"""

from collections.abc import AsyncGenerator

from proxy.errors import Down, GatewayError, UpstreamError
from proxy.framing import Unframed
from proxy.grammar.repeating import unescaped
from proxy.lanes.asking import blame, provider_of
from proxy.lanes.pouring import Pouring
from proxy.ports import Answer, Call, Meter, Pour, Sink, Strip


class Relay(Pouring):
    """The body of a live answer. `held`: its beginning, which the meter has seen. Raises UpstreamError where the
    provider's bytes end before the answer does: what breaks the connection behind its last event breaks no answer.
    """

    def __init__(self, call: Call, answer: Answer, meter: Meter, strip: Strip | None, held: bytes) -> None:
        super().__init__(answer)
        self._call = call
        self._meter = meter
        self._strip = strip
        self._held = held
        self._gate = call.dialect.gate()
        self._alarm, self._farewell = call.dialect.alarm, call.dialect.farewell
        self._sums = call.wishes.summary
        self._fault: UpstreamError | None = None  # the provider's: raised behind what came before it

    async def _poured(self, sink: Sink, pour: Pour) -> bool:
        feed, passed = self._meter.feed, self._passed

        def hear(chunk: bytes) -> bool:
            feed(chunk)
            events = passed(chunk)
            return sink(events) if events and self._fault is None else self._hand_on(events, sink)

        try:
            held, self._held = self._held, b""
            if held and not self._hand_on(passed(held), sink):
                return False
            try:
                if not await pour(hear):
                    return False
            except UpstreamError:
                if self._fault is not None or not self._meter.over:
                    raise
            if rest := self._rest():
                sink(rest)
            self._check_end()
        except Unframed as error:
            raise self._senseless(error) from None
        return True

    def last_words(self, error: GatewayError) -> bytes:
        """The error, as an event of its own."""
        return self._gate.ending() + self._call.dialect.error_event(error)

    def _hand_on(self, events: bytes, sink: Sink) -> bool:
        may_go_on = not events or sink(events)
        if self._fault is not None:
            raise self._fault
        return may_go_on

    async def _one_by_one(self) -> AsyncGenerator[bytes]:
        chunk, self._held = self._held, b""
        try:
            while chunk:
                if events := self._passed(chunk):
                    yield events
                if self._fault is not None:
                    raise self._fault
                if chunk := await self._chunk():
                    self._meter.feed(chunk)
            if rest := self._rest():
                yield rest
            self._check_end()
        except Unframed as error:
            raise self._senseless(error) from None
        finally:
            self._over()

    async def _chunk(self) -> bytes:
        try:
            return await self._answer.chunk()
        except UpstreamError:
            if not self._meter.over:
                raise
            return b""

    def _passed(self, chunk: bytes) -> bytes:
        """The whole events that are there now, as the client gets them. Raises Unframed."""
        events = self._gate.feed(chunk)
        if (not self._farewell or events.find(self._farewell) >= 0) and self._meter.over:
            self._answer.concluded()
        if not self._alarm or events.find(self._alarm) >= 0:
            fault = self._meter.error
            if fault is not None and (before := self._readable(fault, events)) is not None:
                self._fault = fault
                return before
        if self._strip is not None:
            events = self._strip.feed(events)
        if self._sums and events:  # a summary goes before the last event
            note_usage(self._call, self._meter)
        return events

    def _rest(self) -> bytes:
        """What was held back as half an event, if the answer is whole without its rest. Raises UpstreamError."""
        meter, strip = self._meter, self._strip
        meter.close()
        rest = self._gate.close()
        if meter.error is not None and self._readable(meter.error, rest) is not None:
            raise meter.error
        if strip is not None:
            rest = strip.feed(rest) + strip.close()
        if not (meter.finished or meter.error is not None):
            return b""
        note_usage(self._call, meter)
        return rest

    def _check_end(self) -> None:
        """Raises UpstreamError where a stream has ended, and its answer has not."""
        error = self._meter.error
        if error is not None:
            error.told = True
            raise error
        if not self._meter.finished:
            message, name = "The provider's answer ended before it was complete.", provider_of(self._call)
            raise Down(message, code="upstream_cut", provider=name)

    def _ended(self) -> None:
        note(self._call, self._meter)
        if self._gate.ending():
            self._call.is_mixed = True

    def _senseless(self, error: Unframed) -> Down:
        message = f"The provider's answer could not be read: {error}."
        return Down(message, code="upstream_protocol", provider=provider_of(self._call))

    def _readable(self, fault: UpstreamError, events: bytes) -> bytes | None:
        """Which of these events, in which the provider tells of a fault, may go to the client before we tell of it
        ourselves. None: all of them may, and we need not.

        None of them goes (b"") where another target may resume the answer, as what came with the fault can be said
        later.
        """
        before, strip = _before_our_key(self._call, fault, events), self._strip
        if before is None and fault.mute:
            before = events[: max(events.find(fault.mute), 0)]
        if before is None and self._call.resumable:
            fault.event = events if strip is None else strip.feed(events)
            return b""
        return before if before is None or strip is None else strip.feed(before)


def note_usage(call: Call, meter: Meter) -> None:
    call.usage = meter.usage
    call.answered_model = meter.model


def note(call: Call, meter: Meter) -> None:
    note_usage(call, meter)
    if meter.error is not None:
        blame(call, meter.error)


def _before_our_key(call: Call, fault: UpstreamError, events: bytes) -> bytes | None:
    """The events before the first one that repeats our key; None where none does. `fault`: what they tell of.

    If the key shows only in what is decoded, it is escaped, perhaps twice, or broken up in the events, and nobody knows
    where: then no event is sure to be clean.
    """
    assert call.target is not None
    hide, text = call.target.adapter.hide, events.decode("utf-8", "surrogateescape")
    if (hidden := hide(text)) != text:
        same = next((at for at, (one, other) in enumerate(zip(text, hidden, strict=False)) if one != other), 0)
        return call.dialect.gate().feed(text[:same].encode("utf-8", "surrogateescape"))
    words = f"{fault.message} {fault.code} {fault.param} {unescaped(text)}"
    return b"" if hide(words) != words else None
