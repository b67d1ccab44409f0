"""What did Bedrock answer?

Bytes go in as they come, and events come out: the mirror of render.py. What is no answer raises UpstreamError.

A block of a stream opens with its start, or with its first delta where it has no start (text and thoughts). What cannot
grow in the canonical form (a sealed thought, an image, what Amazon's own tools say) is gathered, and goes out when its
block closes. So does a block of a type that we do not know; of a known one, a delta of such a type is passed over. The
usage comes after the end of the message, so that Finish waits for it.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

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
    Usage,
    unfold,
)
from proxy.dialects.bedrock.blocks import (
    KINDS,
    SEALED,
    Block,
    cited,
    first_of,
    gathered_part,
    is_hollow,
    part_of,
    piece_of,
    shell_of,
)
from proxy.dialects.bedrock.faults import fault_of_message, fault_of_no_answer
from proxy.dialects.bedrock.usage import usage_of
from proxy.dialects.bedrock.words import NAME, REASONS
from proxy.framing.eventstream import BadMessage, EventStream, Message
from proxy.grammar import whole
from proxy.grammar.endings import reason_of
from proxy.grammar.fields import UNREADABLE, Object, as_object, cut_short, nonsense
from proxy.grammar.halves import Halves


class _Said(Struct, rename="camel"):
    """The payload of a stream's message: each kind has a few of these."""

    content_block_index: int = -1
    start: Object | None = None
    delta: Object | None = None
    stop_reason: str | None = None
    additional_model_response_fields: Any = None
    usage: Any = None
    service_tier: Any = None
    performance_config: Any = None


class Answer(Struct, rename="camel"):
    """A whole answer."""

    output: Any = None
    stop_reason: str | None = None
    additional_model_response_fields: Any = None
    usage: Any = None
    service_tier: Any = None
    performance_config: Any = None


class _Content(Struct):
    content: list[Raw] | None = None


class _Message(Struct):
    message: _Content | None = None


class _Output(Struct):
    """The same answer, down to its blocks."""

    output: _Message | None = None


_SAID = msgspec.json.Decoder(_Said)
ANSWER = msgspec.json.Decoder(Answer)
_OUTPUT = msgspec.json.Decoder(_Output)
_EVENTS = frozenset("messageStart contentBlockStart contentBlockDelta contentBlockStop messageStop metadata".split())


class StreamDecoder:
    def __init__(self) -> None:
        self._messages = EventStream()
        self._halves = Halves()
        self._first = b""  # what came before the first message, in case it is no stream
        self._started = self._finished = False
        self._blocks: dict[int, Block] = {}  # the open ones, by the wire's index
        self._unknown: dict[int, Object] = {}  # the first delta of each that is of a type that we do not know
        self._count = 0
        self._stop: Stop | None = None
        self._usage: Usage | None = None
        self._more: object = None  # additionalModelResponseFields, which come before the usage

    def feed(self, data: bytes) -> Iterator[Event]:
        if not self._started:
            self._first = (self._first + data)[:65536]
        if self._first[:1] in (b"{", b"<"):  # an error's JSON or a web page, which is read whole at its end
            return
        try:
            for message in self._messages.feed(data):
                yield from self._message(message)
        except BadMessage as error:
            raise nonsense(str(error)) from None

    def close(self) -> Iterator[Event]:
        if not self._finished and self._stop is not None:  # the usage did not come
            yield self._finish(self._stop)
        if not self._finished:
            if not self._started:
                raise fault_of_no_answer(self._first)
            raise cut_short()

    def _message(self, message: Message) -> Iterator[Event]:
        if self._finished:
            return
        if message.headers.get(":message-type") in ("exception", "error"):
            raise fault_of_message(message)
        kind = message.headers.get(":event-type")
        if kind not in _EVENTS:  # a kind that we do not know
            return
        try:
            said = _SAID.decode(message.payload)
        except UNREADABLE:
            said = self._halves.read_mended(message.payload, _SAID.decode, f"the payload of {kind} is malformed")
        if self._started == (kind == "messageStart"):
            raise nonsense("the stream does not begin with messageStart, or has two of them")
        yield from self._event(kind, said)

    def _event(self, kind: object, said: _Said) -> Iterator[Event]:
        match kind:
            case "contentBlockDelta":
                yield from self._delta(said.content_block_index, said.delta)
            case "contentBlockStart":
                yield from self._block_start(said.content_block_index, as_object(said.start))
            case "contentBlockStop":
                yield from self._block_stop(said.content_block_index)
            case "messageStart":
                self._started, self._first = True, b""
                yield Start(wire=NAME)
            case "messageStop":
                yield from self._message_stop(said)
            case _:
                yield from self._metadata(said)

    def _message_stop(self, said: _Said) -> Iterator[Event]:
        for index in list(self._blocks):
            yield from self._block_stop(index)
        self._more = said.additional_model_response_fields
        self._stop = _stop_of(said.stop_reason, self._more)
        if self._usage is not None:
            yield self._finish(self._stop)

    def _metadata(self, said: _Said) -> Iterator[Event]:
        usage = usage_of(said.usage, said.service_tier, self._more, said.performance_config)
        if usage is not None:
            self._usage = usage
            yield usage
        if self._stop is not None:
            yield self._finish(self._stop)

    def _finish(self, stop: Stop) -> Event:
        self._finished = True
        return Finish(stops=(stop,))

    # blocks

    def _block_start(self, number: int, start: Object) -> Iterator[Event]:
        if not is_hollow(start):
            part, gathered = shell_of(start)
            yield from self._open(number, part, gathered)

    def _open(self, number: int, part: Part, gathered: bool) -> Iterator[Event]:
        if number in self._blocks or number < 0 or self._stop is not None:
            raise nonsense(f"block {number} was opened twice or after the end, or has no valid index")
        block = self._blocks[number] = Block(self._count, part, gathered)
        self._count += 1
        if not gathered:
            yield Open(index=block.index, part=part)

    def _delta(self, number: int, delta: Object | None) -> Iterator[Event]:
        kind, more = next(iter((delta or {}).items()), ("", None))
        if kind == "reasoningContent":
            kind, more = next(iter(as_object(more).items()), ("", None))
            kind = f"reasoningContent.{kind}"
        if not kind:
            raise nonsense(f"a delta of block {number} is empty")
        if kind not in KINDS:
            self._unknown.setdefault(number, delta or {})
            return
        if (first := first_of(kind)) is not None:
            if self._turns_to(first, number):  # some models answer under the number of their thought
                yield from self._block_stop(number)
            if number not in self._blocks:
                yield from self._open(number, first, kind == SEALED)
        block = self._blocks.get(number)
        if block is None:
            raise nonsense(f"a delta belongs to block {number}, which is not open")
        yield from self._grow(block, kind, more)

    def _turns_to(self, first: Part, number: int) -> bool:
        """Does a thought or a text go on as the other of the two?"""
        block = self._blocks.get(number)
        return block is not None and isinstance(block.part, Text | Thinking) and type(block.part) is not type(first)

    def _grow(self, block: Block, kind: str, more: object) -> Iterator[Event]:
        if block.gathered:
            block.pieces.append(piece_of(block.part, kind, more))
            return
        if kind == "citation" and isinstance(block.part, Text):
            yield Delta(index=block.index, citations=cited(more))
            return
        text = as_object(more).get("input") if kind == "toolUse" else more
        if kind == SEALED or not isinstance(block.part, KINDS[kind]) or not isinstance(text, str):
            raise nonsense(f"a delta is not a string, or does not fit the type of its block ({kind})")
        if text:
            block.silent = False
            is_signature = kind == "reasoningContent.signature"
            yield Delta(index=block.index, signature=text) if is_signature else Delta(index=block.index, text=text)

    def _block_stop(self, number: int) -> Iterator[Event]:
        """The end of a block. Another one may follow under its number, as some models give theirs to all they say."""
        unknown = self._unknown.pop(number, None)
        if number not in self._blocks and unknown is not None:
            yield from self._open(number, Opaque(wire=NAME, value=unknown), gathered=True)
        block = self._blocks.pop(number, None)
        if block is None:  # nothing of it has come, not even a start
            return
        if block.gathered:
            yield Open(index=block.index, part=gathered_part(block))
        elif block.silent and isinstance(block.part, ToolCall):  # no arguments; a whole answer says {}
            yield Delta(index=block.index, text="{}")
        yield Close(index=block.index)


class WholeDecoder(whole.Decoder):
    def read(self, body: bytes) -> Iterator[Event]:
        try:
            answer, message = ANSWER.decode(body), (_OUTPUT.decode(body).output or _Message()).message
        except UNREADABLE:
            raise fault_of_no_answer(body) from None
        if message is None:
            raise fault_of_no_answer(body)
        parts = [part_of(raw) for raw in message.content or ()]
        stop = _stop_of(answer.stop_reason, answer.additional_model_response_fields)
        choice = Choice(parts=parts, stop=stop)
        more, speed = answer.additional_model_response_fields, answer.performance_config
        usage = usage_of(answer.usage, answer.service_tier, more, speed)
        yield from unfold(Completion(start=Start(wire=NAME), choices=[choice], usage=usage))


def _stop_of(word: str | None, more: object) -> Stop:
    """How it ended; no reason counts as end_turn. `more`: additionalModelResponseFields, where Claude puts the stop
    string that it met, if a request has asked for it by its path.
    """
    met = as_object(more).get("stop_sequence")
    sequence = met if isinstance(met, str) else None
    return Stop(reason=reason_of(word or "end_turn", REASONS), raw=word or "", sequence=sequence)
