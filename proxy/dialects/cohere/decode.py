"""What did Cohere answer?

Bytes in, events out, as they come. The mirror of render.py; anything that is not an answer raises UpstreamError.

A block of text stays open until the answer ends, since its citations may come after its content-end. A call without
arguments has an empty text, `null` or `{}`, depending on the model: each of them becomes an empty object.

Only the pass-through lane carries citations of a plan or of a thought (`type` PLAN, THINKING_CONTENT).
"""

from collections.abc import Iterator
from typing import TypeVar

from msgspec import Struct

from proxy.canon import (
    Close,
    Delta,
    Event,
    Finish,
    Opaque,
    Part,
    Start,
    Thinking,
    ToolCall,
)
from proxy.dialects.cohere.citations import citation_of, entry_of, is_of_text
from proxy.dialects.cohere.decode_whole import arguments_of, shell_of, stop_of
from proxy.dialects.cohere.faults import fault_of_finish, fault_of_no_answer
from proxy.dialects.cohere.parse import PLAN
from proxy.dialects.cohere.usage import usage_of
from proxy.dialects.cohere.words import NAME
from proxy.framing import Frame, FrameTooLong, ServerSentEvents
from proxy.grammar.fields import Object, as_object, as_text, cut_short, decode_json, nonsense, text_in
from proxy.grammar.halves import Halves
from proxy.grammar.sentence import Sentence

Block = TypeVar("Block")


class _Content(Struct):
    """A block of content. `kind` is the name of the field that has its text."""

    index: int  # of the block in our events
    kind: str
    open: bool = True


class _Call(Struct):
    """A call as it arrives. `held`: arguments that may turn out to be `null`."""

    index: int
    held: str = ""
    spoken: bool = False
    open: bool = True


class StreamDecoder:
    def __init__(self) -> None:
        self._frames = ServerSentEvents()
        self._halves = Halves()
        self._first = b""  # what came first, in case it is no stream
        self._answer = _Answer()

    def feed(self, data: bytes) -> Iterator[Event]:
        if not self._answer.started:
            self._first = (self._first + data)[:65536]
        yield from self._hear(self._frames.feed(data))

    def close(self) -> Iterator[Event]:
        yield from self._hear(self._frames.close())
        if not self._answer.started:
            raise fault_of_no_answer(self._first)
        if not self._answer.over:
            raise cut_short()

    def _hear(self, frames: Iterator[Frame]) -> Iterator[Event]:
        try:
            for frame in frames:
                if not self._answer.over:  # after the last event comes [DONE], which is no JSON
                    said = self._halves.read(frame.data, decode_json, "an event is not valid JSON")
                    yield from self._answer.hear(said)
        except FrameTooLong as error:
            raise nonsense(str(error)) from None


class _Answer(Sentence):
    """What a stream has said so far."""

    def __init__(self) -> None:
        super().__init__()
        self.started = self.over = False
        self._content: dict[int, _Content] = {}  # by the wire's index
        self._calls: dict[int, _Call] = {}  # by the wire's index
        self._plan: int | None = None  # the block of the open plan

    def hear(self, event: object) -> list[Event]:
        """One more event. Raises UpstreamError."""
        if not isinstance(event, dict):
            raise nonsense("an event is not a JSON object")
        self._out = []
        kind, delta = event.get("type"), as_object(event.get("delta"))
        if kind == "message-start":
            self._start(event)
        elif not self.started and kind != "message-end":
            raise nonsense("the stream does not begin with message-start")
        elif kind == "message-end":
            self._finish(delta)
        else:
            self._block(kind, event, as_object(delta.get("message")))
        return self._out

    def _block(self, kind: object, event: Object, said: Object) -> None:
        match kind:
            case "content-delta":
                self._content_delta(_number(event), as_object(said.get("content")), event.get("logprobs"))
            case "content-start":
                self._content_start(_number(event), as_object(said.get("content")))
            case "content-end":
                self._content_end(_number(event))
            case "tool-plan-delta":
                self._think(text_in(said, "tool_plan"))
            case "tool-call-start":
                self._call_start(_number(event), as_object(said.get("tool_calls")))
            case "tool-call-delta":
                function = as_object(as_object(said.get("tool_calls")).get("function"))
                self._call_delta(_of(self._calls, _number(event)), text_in(function, "arguments"))
            case "tool-call-end":
                self._call_end(_of(self._calls, _number(event)))
            case "citation-start":
                self._cite(as_object(said.get("citations")))
            case _:  # the end of a citation, or an event that we do not know
                pass

    def _start(self, event: Object) -> None:
        if self.started:
            raise nonsense("message-start was sent twice")
        self.started = True
        self._out.append(Start(wire=NAME, id=as_text(event.get("id"))))

    def _finish(self, delta: Object) -> None:
        """The end of the answer, which closes every open block."""
        word = delta.get("finish_reason")
        fault = fault_of_finish(word, delta.get("error"))
        if fault is not None:
            raise fault
        if not self.started:
            raise nonsense("the stream does not begin with message-start")
        self.over = True
        self._end_plan()
        for block in self._content.values():
            self._close(block)
        for call in self._calls.values():
            self._call_end(call)
        if (usage := usage_of(delta.get("usage"))) is not None:
            self._out.append(usage)
        self._out.append(Finish(stops=(stop_of(word),)))

    # blocks

    def _begin(self, part: Part) -> int:
        self._end_plan()
        return self._open(part)

    def _close(self, block: _Content | _Call) -> None:
        if block.open:
            block.open = False
            self._out.append(Close(index=block.index))

    def _think(self, text: str) -> None:
        if not text:
            return
        if self._plan is None:
            self._plan = self._begin(Thinking(extra={PLAN: True}))
        self._out.append(Delta(index=self._plan, text=text))

    def _end_plan(self) -> None:
        if self._plan is not None:
            self._out.append(Close(index=self._plan))
            self._plan = None

    def _content_start(self, number: int, said: Object) -> None:
        if number in self._content:
            raise nonsense(f"content {number} was started twice")
        kind = as_text(said.get("type"))
        shell = shell_of(kind)
        block = _Content(self._begin(shell or Opaque(wire=NAME, value=said)), kind)
        self._content[number] = block
        if shell is None:
            self._close(block)
        elif text := text_in(said, kind):
            self._out.append(Delta(index=block.index, text=text))

    def _content_delta(self, number: int, said: Object, logprobs: object) -> None:
        block = _of(self._content, number)
        text, entries = text_in(said, block.kind), entry_of(logprobs) if block.kind == "text" else []
        if block.open and (text or entries):
            self._out.append(Delta(index=block.index, text=text, logprobs=entries))

    def _content_end(self, number: int) -> None:
        block = _of(self._content, number)
        if block.kind != "text":
            self._close(block)

    def _cite(self, citation: Object) -> None:
        place = citation.get("content_index")
        texts = {number: block for number, block in self._content.items() if block.kind == "text"}
        if not texts or not is_of_text(citation):
            return
        number = place if isinstance(place, int) else max(texts)
        if number in texts:
            self._out.append(Delta(index=texts[number].index, citations=[citation_of(citation)]))

    # tool calls

    def _call_start(self, number: int, said: Object) -> None:
        function = as_object(said.get("function"))
        name = as_text(function.get("name"))
        if number in self._calls or not name:
            raise nonsense(f"tool call {number} was started twice, or has no name")
        call = _Call(self._begin(ToolCall(id=as_text(said.get("id")), name=name)))
        self._calls[number] = call
        self._call_delta(call, text_in(function, "arguments"))

    def _call_delta(self, call: _Call, text: str) -> None:
        if not call.open:
            raise nonsense("a tool call continues after its end")
        call.held += text
        if call.held and (call.spoken or not "null".startswith(call.held)):
            self._out.append(Delta(index=call.index, text=call.held))
            call.held, call.spoken = "", True

    def _call_end(self, call: _Call) -> None:
        if not call.open:
            return
        if not call.spoken:
            self._out.append(Delta(index=call.index, text=arguments_of(call.held)))
        self._close(call)


def _number(event: Object) -> int:
    """The block that an event belongs to; the first, if it does not say."""
    number = event.get("index", 0)
    if type(number) is not int:
        raise nonsense("an event has no valid index")
    return number


def _of(blocks: dict[int, Block], number: int) -> Block:
    if number not in blocks:
        raise nonsense(f"an event belongs to block {number}, which has not started")
    return blocks[number]
