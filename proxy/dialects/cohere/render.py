"""How is an answer sent to a client of Cohere?

Events in, bytes out: a stream as the events come, or the whole answer at Finish.
"""

from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct

from proxy.canon import (
    Audio,
    Choice,
    Citation,
    Close,
    Completion,
    Delta,
    Document,
    Event,
    Finish,
    Image,
    Opaque,
    Open,
    Part,
    Refusal,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    Video,
)
from proxy.dialects.cohere.citations import Told, item_of, spelled
from proxy.dialects.cohere.documents import by_id
from proxy.dialects.cohere.faults import error_event
from proxy.dialects.cohere.parse import PLAN
from proxy.dialects.cohere.usage import usage_fields
from proxy.dialects.cohere.words import API, FAILED, NAME, STOP_WORDS
from proxy.errors import GatewayError
from proxy.framing import sse
from proxy.grammar import whole
from proxy.grammar.endings import word_for
from proxy.grammar.fields import Object, dump, encode_json
from proxy.grammar.gathering import Gathered
from proxy.grammar.ids import answer_id, id_of, seed_of
from proxy.grammar.refusals import unsayable
from proxy.grammar.single import OneByOne, only

NO_ARGUMENTS = "{}"  # clients parse arguments as JSON, which an empty text is not


class _Block(Struct):
    """A block on its way to the client. Its events are `head`, text, `tail`, and at last `end`."""

    head: bytes = b""
    tail: bytes = b""
    end: bytes = b""
    number: int = 0  # the wire's index, which counts each kind of block
    unsaid: bytes = b""  # the event for a call that has had no arguments until its end
    said: Gathered | None = None  # of a text, whose citations repeat its words
    waiting: tuple[Citation, ...] = ()  # those that are of the whole text


class StreamRenderer:
    """One event per delta. What does not change between them is encoded once, when a block opens.

    Cohere sends one block after the other, and clients add a delta to the last one. So the events of a later block wait
    until the earlier one is closed.
    """

    media_type = "text/event-stream"

    def __init__(self, request: Request) -> None:
        self._request = request
        self._told = by_id(request)
        self._seed = ""  # for the ids that we make
        self._order = OneByOne()
        self._block = _Block()  # the open one
        self._contents = self._calls = self._cited = 0  # begun so far
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        match event:
            case Delta(index=index) if index == self._order.open:  # the usual case: one per token
                return self._delta(event)
            case Delta() | Open() | Close():
                return b"".join(map(self._say, self._order.feed(event)))
            case Start():
                self._seed = seed_of(event, self._request)
                message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
                return _frame(
                    "message-start", id=answer_id(event, self._request, "", length=32), delta={"message": message}
                )
            case Usage():
                self._usage = event
                return b""
            case Finish():
                delta = _end(only(event.stops), self._usage)
                return _frame("message-end", delta=delta) + sse(b"[DONE]")
            case _:
                assert_never(event)

    def error(self, error: GatewayError) -> bytes:
        return error_event(error)

    def _say(self, event: Open | Delta | Close) -> bytes:
        match event:
            case Delta():
                return self._delta(event)
            case Open():
                self._block, out = self._opened(event.index, event.part)
                return out
            case Close():
                return self._block.unsaid + self._cite_all(self._block.waiting) + self._block.end
            case _:
                assert_never(event)

    def _opened(self, index: int, part: Part) -> tuple[_Block, bytes]:
        block, out = _Block(), b""
        match part:
            case Text() | Refusal():
                block, out = self._content("text", {"type": "text", "text": ""})
                block.said = Gathered()
            case Thinking() if PLAN in part.extra:
                block = _Block(_head("tool-plan-delta", b'"delta":{"message":{"tool_plan":'), b"}}")
            case Thinking():
                if not part.redacted:  # a redacted thought has no text to show
                    block, out = self._content("thinking", {"type": "thinking", "thinking": ""})
            case ToolCall():
                block, out = self._call(part, index)
            case Opaque(wire="cohere", value=value):
                block, out = self._content("", value)
            case Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
                raise unsayable(part, API, "message")
            case _:
                assert_never(part)
        return block, out

    def _content(self, key: str, shell: Object) -> tuple[_Block, bytes]:
        number = self._contents
        self._contents += 1
        inner = b'"index":%d,"delta":{"message":{"content":{"%b":' % (number, key.encode())
        block = _Block(_head("content-delta", inner), b"}}}", _frame("content-end", index=number), number)
        return block, _frame("content-start", index=number, delta={"message": {"content": shell}})

    def _call(self, part: ToolCall, index: int) -> tuple[_Block, bytes]:
        number = self._calls
        self._calls += 1
        inner = b'"index":%d,"delta":{"message":{"tool_calls":{"function":{"arguments":' % number
        head, tail = _head("tool-call-delta", inner), b"}}}}"
        none = b"%b%b%b}\n\n" % (head, encode_json(NO_ARGUMENTS), tail)
        block = _Block(head, tail, _frame("tool-call-end", index=number), unsaid=none)
        call = _call_fields(part, "", index, self._seed)
        return block, _frame("tool-call-start", index=number, delta={"message": {"tool_calls": call}})

    def _delta(self, event: Delta) -> bytes:
        block = self._block
        if not block.head:
            return b""
        out = b""
        if event.logprobs:
            scored = dump(item_of(event.logprobs))
            out = b'%b%b%b,"logprobs":%b}\n\n' % (block.head, encode_json(event.text), block.tail, scored)
        elif event.text:
            out = b"%b%b%b}\n\n" % (block.head, encode_json(event.text), block.tail)
            block.unsaid = b""
        if block.said is not None:
            block.said.add(event)
        if not event.citations:
            return out
        waiting = [one for one in event.citations if one.end is None and one.wire != NAME]
        block.waiting += tuple(waiting)
        return out + self._cite_all([one for one in event.citations if one not in waiting])

    def _cite_all(self, citations: Sequence[Citation]) -> bytes:
        if not citations:
            return b""
        block = self._block
        text = block.said.text if block.said is not None else ""
        return b"".join(map(self._cite, spelled(citations, block.number, text, self._told)))

    def _cite(self, citation: Object) -> bytes:
        number = self._cited
        self._cited += 1
        started = _frame("citation-start", index=number, delta={"message": {"citations": citation}})
        return started + _frame("citation-end", index=number)


class WholeRenderer(whole.Renderer):
    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request

    def spell(self, completion: Completion) -> bytes:
        choice = only(completion.choices)
        message, logprobs = _message(choice, seed_of(completion.start, self._request), by_id(self._request))
        scored = {"logprobs": logprobs} if logprobs else {}
        end = _end(choice.stop, completion.usage)
        return dump(
            {"id": answer_id(completion.start, self._request, "", length=32), "message": message, **end, **scored}
        )


def _message(choice: Choice, seed: str, told: Told) -> tuple[Object, list[Object]]:
    """The fields of a whole message, and its logprobs."""
    content: list[Object] = []
    lists: dict[str, list[Object]] = {"tool_calls": [], "citations": [], "logprobs": []}
    plan = ""
    for index, part in enumerate(choice.parts):
        match part:
            case Text():
                lists["citations"] += spelled(part.citations, len(content), part.text, told)
                lists["logprobs"] += [item_of([entry]) for entry in part.logprobs]
                content.append({"type": "text", "text": part.text})
            case Refusal():
                content.append({"type": "text", "text": part.text})
            case Thinking() if PLAN in part.extra:
                plan += part.text
            case Thinking():
                if not part.redacted:
                    content.append({"type": "thinking", "thinking": part.text})
            case ToolCall():
                lists["tool_calls"].append(_call_fields(part, part.arguments or NO_ARGUMENTS, index, seed))
            case Opaque(wire="cohere", value=value):
                content.append(value)
            case Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
                raise unsayable(part, API, "message")
            case _:
                assert_never(part)
    logprobs = lists.pop("logprobs")
    said: Object = {"content": content, "tool_plan": plan, **lists}
    return {"role": "assistant"} | {key: value for key, value in said.items() if value}, logprobs


def _head(name: str, inner: bytes) -> bytes:
    """The beginning of a delta's event, up to its text."""
    return b'event: %b\ndata: {"type":"%b",%b' % (name.encode(), name.encode(), inner)


def _frame(name: str, **fields: object) -> bytes:
    return sse(dump({"type": name, **fields}), name)


def _call_fields(call: ToolCall, arguments: str, index: int, seed: str) -> Object:
    """The wire requires an id, so one is made if the provider gave none."""
    name = id_of(call, "call_", seed, index, length=12)
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _end(stop: Stop, usage: Usage | None) -> Object:
    told = {} if usage is None else {"usage": usage_fields(usage)}
    word = word_for(stop, STOP_WORDS)
    why = stop.why or f"The provider ended the answer: {stop.raw or stop.reason}."
    return {"finish_reason": word, **({"error": why} if word == FAILED else {}), **told}
