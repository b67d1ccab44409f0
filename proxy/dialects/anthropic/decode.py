"""What did Anthropic answer?

Bytes go in as they come, and events come out: the mirror of render.py. What is no answer raises UpstreamError.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from proxy.canon import (
    Choice,
    Close,
    Completion,
    Delta,
    Event,
    Finish,
    Opaque,
    Open,
    Part,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    unfold,
)
from proxy.dialects.anthropic.citations import citations_of
from proxy.dialects.anthropic.events import (
    CONTENT,
    EVENT,
    KIND,
    MESSAGE,
    DeltaFields,
    EventFields,
    MessageFields,
    beside_delta,
    beside_message,
    start_of,
)
from proxy.dialects.anthropic.faults import fault, fault_of_no_answer
from proxy.dialects.anthropic.usage import Tally
from proxy.dialects.anthropic.words import NAME, REASONS
from proxy.framing import MAX_FRAME, Batches, data_of
from proxy.grammar import whole
from proxy.grammar.endings import reason_of
from proxy.grammar.fields import UNREADABLE, Object, as_object, as_text, cut_short, nonsense
from proxy.grammar.halves import Halves, well_formed


class _Block(Struct):
    """An open block, and what is still to be said when it closes."""

    index: int  # in our own events
    part: Part
    given: str = ""  # a tool's input from content_block_start: it counts if no delta comes
    pieces: list[str] = msgspec.field(default_factory=list)  # of an Opaque's input, which we do not stream


_OBJECT = msgspec.json.Decoder(Object)
_EVENTS = frozenset(
    "message_start content_block_start content_block_delta content_block_stop message_delta message_stop ping"
    " error".split()
)

# The part that a delta belongs to, and the field that has its content.
_DELTAS: dict[str, tuple[type[Part], str]] = {
    "text_delta": (Text, "text"),
    "citations_delta": (Text, "citation"),
    "thinking_delta": (Thinking, "thinking"),
    "signature_delta": (Thinking, "signature"),
    "input_json_delta": (ToolCall, "partial_json"),
}


class StreamDecoder:
    def __init__(self) -> None:
        self._batches = Batches(MAX_FRAME)
        self._halves = Halves()
        self._first = b""  # what came before the first event, in case it is no stream
        self._started = self._finished = False
        self._blocks: dict[int, _Block] = {}
        self._count = 0
        self._tally = Tally()
        self._stop = Stop()

    def feed(self, data: bytes) -> Iterator[Event]:
        if not self._started:
            self._first = (self._first + data)[:65536]
        if self._batches.held + len(data) > MAX_FRAME:
            raise nonsense(f"an event is longer than {MAX_FRAME} bytes")
        return self._hear(self._batches.feed(data))

    def close(self) -> Iterator[Event]:
        yield from self._hear(self._batches.close())
        if not self._started:
            raise fault_of_no_answer(self._first)
        if not self._finished:
            raise cut_short()

    def _hear(self, events: bytes) -> Iterator[Event]:
        """Nearly every event is a delta: those do not go through `_event`."""
        for text in events.split(b"\n\n"):
            if not text or self._finished or not (data := data_of(text)):  # some hosts add a [DONE]
                continue
            event = self._read(data)
            if event.type != "content_block_delta":
                yield from self._event(event)
            elif (delta := self._block_delta(event, data)) is not None:
                yield delta

    def _read(self, data: bytes) -> EventFields:
        """The event. Only the type is read where its kind is unknown, as its fields may have any shape."""
        try:
            event = EVENT.decode(data)
        except UNREADABLE:
            kind = _kind_of(well_formed(data))
            if kind and kind not in _EVENTS:
                return EventFields(kind)
            event = self._halves.read_mended(data, EVENT.decode, "an event is malformed")
        if not self._started and event.type.startswith(("content_", "message_delta", "message_stop")):
            raise nonsense("the stream does not begin with message_start")
        return event

    def _event(self, event: EventFields) -> Iterator[Event]:
        match event.type:
            case "content_block_start":
                yield from self._block_start(event)
            case "content_block_stop":
                yield from self._block_stop(event)
            case "message_start":
                yield from self._message_start(event.message)
            case "message_delta":
                yield from self._message_delta(event)
            case "message_stop":
                yield self._message_stop()
            case "error":
                raise fault(event.error)
            case _:  # a ping, or a kind that we do not know
                pass

    def _message_start(self, message: MessageFields | None) -> Iterator[Event]:
        if self._started or message is None:
            raise nonsense("message_start has no message" if message is None else "message_start was sent twice")
        self._started, self._first = True, b""
        yield start_of(message)
        if usage := self._tally.add(message.usage):
            yield usage

    def _message_delta(self, event: EventFields) -> Iterator[Event]:
        self._stop = _stop_of(event.delta or DeltaFields())
        if usage := self._tally.add(event.usage, beside_delta(event)):
            yield usage

    def _message_stop(self) -> Event:
        if self._blocks:
            raise nonsense("message_stop was sent before every block was closed")
        self._finished = True
        return Finish(stops=(self._stop,))

    def _block_start(self, event: EventFields) -> Iterator[Event]:
        if event.index in self._blocks or event.index < 0:
            raise nonsense(f"block {event.index} was opened twice, or has no valid index")
        part = _part_of(event.content_block)
        block = self._blocks[event.index] = _Block(self._count, part)
        self._count += 1
        if isinstance(part, ToolCall):
            block.given, part.arguments = part.arguments, ""
        if not isinstance(part, Opaque):  # an Opaque may still grow, and goes out when it closes
            whole = Completion(start=Start(), choices=[Choice(parts=[part], stop=Stop())])
            shell = (said for said in unfold(whole) if isinstance(said, Open | Delta))
            yield from (replace(said, index=block.index) for said in shell)

    def _block_delta(self, event: EventFields, data: bytes) -> Delta | None:
        block, delta = self._blocks.get(event.index), event.delta
        if block is None or delta is None:
            raise nonsense(f"a delta is empty, or belongs to block {event.index}, which is not open")
        if isinstance(block.part, Opaque):
            _grow(block.part.value, _delta_of(data), block.pieces)
            return None
        kind, name = _DELTAS.get(delta.type, (None, ""))
        if kind is None:  # a kind that we do not know
            return None
        more = getattr(delta, name)
        if more is None or not isinstance(block.part, kind):
            raise nonsense(f"a {delta.type} is empty, or does not fit the type of its block")
        if not more:
            return None
        block.given = ""
        return _delta(block.index, name, more)

    def _block_stop(self, event: EventFields) -> Iterator[Event]:
        block = self._blocks.pop(event.index, None)
        if block is None:
            raise nonsense(f"block {event.index} was closed without being open")
        if isinstance(block.part, Opaque):
            if block.pieces:
                block.part.value["input"] = _input_of_opaque("".join(block.pieces))
            yield Open(index=block.index, part=block.part)
        if block.given:
            yield Delta(index=block.index, text=block.given)
        yield Close(index=block.index)


class WholeDecoder(whole.Decoder):
    def read(self, body: bytes) -> Iterator[Event]:
        try:
            message = MESSAGE.decode(body)
        except UNREADABLE:
            raise fault_of_no_answer(body) from None
        if message.error is not None:
            raise fault(message.error)
        if message.content is None:
            raise nonsense("it has no content")
        parts = [_part_of(raw) for raw in message.content]
        choice = Choice(parts=parts, stop=_stop_of(message))
        usage = Tally().add(message.usage, beside_message(message))
        yield from unfold(Completion(start=start_of(message), choices=[choice], usage=usage))


# --- blocks ----------------------------------------------------------------------------------------------------------


def _kind_of(data: bytes) -> str:
    try:
        return KIND.decode(data).type
    except UNREADABLE:
        return ""


def _delta_of(data: bytes) -> Object:
    """All of an event's delta. What no field of ours is for, nobody has read before, and it may be unreadable."""
    try:
        delta: Object = _OBJECT.decode(well_formed(data))["delta"]
    except UNREADABLE:
        raise nonsense("an event is malformed") from None
    return delta


def _delta(index: int, name: str, more: Any) -> Delta:
    if name == "citation":
        return Delta(index=index, citations=citations_of([more]))
    return Delta(index=index, signature=more) if name == "signature" else Delta(index=index, text=more)


def _stop_of(ending: DeltaFields | MessageFields) -> Stop:
    """How it ended. No reason counts as end_turn."""
    word = ending.stop_reason or ""
    why = as_text(as_object(ending.stop_details).get("explanation"))
    return Stop(reason=reason_of(word or "end_turn", REASONS), raw=word, sequence=ending.stop_sequence, why=why)


def _part_of(raw: Raw) -> Part:
    """A content block. Raises UpstreamError where a known one is malformed; an unknown one is kept whole."""
    try:
        value = _OBJECT.decode(raw)
        if value.get("type") not in ("text", "thinking", "redacted_thinking", "tool_use"):
            return Opaque(wire=NAME, value=value | {"type": KIND.decode(raw).type})
        block = CONTENT.decode(raw)
    except UNREADABLE:
        raise nonsense("a content block is malformed") from None
    match block.type:
        case "text":
            return Text(text=block.text, citations=citations_of(block.citations or []))
        case "thinking":
            return Thinking(text=block.thinking, signature=block.signature or "")
        case "redacted_thinking":
            return Thinking(redacted=block.data)
        case _:
            if not isinstance(value.get("input", {}), dict) or not block.name:
                raise nonsense("a tool_use has no name, or its input is not an object")
            # The input's own bytes are the arguments: no number is rounded, and no key moves.
            arguments = bytes(block.input).decode()
            extra = {key: more for key, more in value.items() if key not in ("type", "id", "name", "input")}
            return ToolCall(id=block.id, name=block.name, arguments=arguments, extra=extra)


def _grow(value: Object, delta: Object, pieces: list[str]) -> None:
    """Add a delta to an Opaque block: text to text, a citation to its list, JSON to the pieces of the input."""
    for key, more in delta.items():
        had = value.get(key)
        if key == "partial_json":
            pieces.append(more or "")
        elif key == "citation":
            value["citations"] = [*had, more] if isinstance(had := value.get("citations"), list) else [more]
        elif key != "type":
            value[key] = had + more if isinstance(had, str) and isinstance(more, str) else more


def _input_of_opaque(text: str) -> Object:
    try:
        return _OBJECT.decode(text or "{}")
    except UNREADABLE:
        raise nonsense("the input of a server tool is not a JSON object") from None
