"""How is an answer rendered for a client of the Messages API?

Events in, bytes out: a stream as it goes, or the whole message at Finish.
"""

from collections.abc import Iterator
from typing import assert_never

from proxy.canon import (
    Audio,
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
from proxy.dialects.anthropic.citations import shown
from proxy.dialects.anthropic.faults import error_body
from proxy.dialects.anthropic.usage import beside, usage_fields
from proxy.dialects.anthropic.words import API, DELTA_FIELDS, END_FIELDS, START_FIELDS, STOP_WORDS
from proxy.errors import GatewayError
from proxy.framing import sse
from proxy.grammar import whole
from proxy.grammar.arguments import as_given
from proxy.grammar.endings import declined, word_for
from proxy.grammar.fields import Object, dump
from proxy.grammar.ids import answer_id, id_of, seed_of
from proxy.grammar.refusals import unsayable
from proxy.grammar.single import OneByOne, only


class StreamRenderer:
    """The wire has one open block at a time: what belongs to a later one waits until the earlier one is closed.

    message_start waits for the event after Start, as that may bring the input's tokens, for which it has a field.
    """

    media_type = "text/event-stream"

    def __init__(self, request: Request) -> None:
        self._request = request
        self._seed = ""  # of the ids that we make
        self._start: Start | None = None
        self._usage: Usage | None = None
        self._refused = False
        self._blocks = OneByOne()
        self._part: Part = Text()  # of the open block, without its content
        self._lead = b""  # how each of its deltas begins; empty where it has none
        self._sent = 0  # blocks begun

    def feed(self, event: Event) -> bytes:
        match event:
            case Delta(index=index) if index == self._blocks.open:  # the usual case, one for every token
                return self._said(event)
            case Delta() | Open() | Close():
                return self._begin() + b"".join(map(self._say, self._blocks.feed(event)))
            case Start():
                self._start, self._seed = event, seed_of(event, self._request)
                return b""
            case Usage():
                self._usage = event
                return self._begin()
            case Finish():
                return self._begin() + self._end(only(event.stops))
            case _:
                assert_never(event)

    def error(self, error: GatewayError) -> bytes:
        return sse(error_body(error), "error")

    def _begin(self) -> bytes:
        if self._start is None:
            return b""
        head = _message_head(self._start, self._request)
        self._start = None
        stop, usage = {"stop_reason": None, "stop_sequence": None}, usage_fields(self._usage)
        if self._usage is None:  # Anthropic's SDKs take this one from here alone: zeros would stay, beside the counts
            usage["cache_creation"] = None
        return _frame("message_start", message={**head, "content": [], **stop, "usage": usage})

    def _end(self, stop: Stop) -> bytes:
        said = _stop_said(stop, self._refused) | beside(self._usage, DELTA_FIELDS)
        more = beside(self._usage, END_FIELDS)
        return _frame("message_delta", delta=said, usage=usage_fields(self._usage), **more) + _frame("message_stop")

    def _say(self, event: Open | Delta | Close) -> bytes:
        match event:
            case Delta():
                return self._said(event)
            case Open():
                index = self._sent
                self._part, self._lead = event.part, _lead(event.part, index)
                self._refused |= isinstance(event.part, Refusal)
                self._sent += 1
                return _opened(event.part, index, self._seed)
            case Close():
                return _frame("content_block_stop", index=self._sent - 1)
            case _:
                assert_never(event)

    def _said(self, delta: Delta) -> bytes:
        if not self._lead:
            return b""
        out = self._lead + dump(delta.text) + _TAIL if delta.text else b""
        if delta.signature or delta.citations:
            index = self._sent - 1
            more = (_frame("content_block_delta", index=index, delta=said) for said in _besides(self._part, delta))
            out += b"".join(more)
        return out


class WholeRenderer(whole.Renderer):
    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request

    def spell(self, completion: Completion) -> bytes:
        choice = only(completion.choices)
        refused = any(type(part) is Refusal for part in choice.parts)
        seed = seed_of(completion.start, self._request)
        message = {
            **_message_head(completion.start, self._request),
            "content": [_block(part, index, seed) for index, part in enumerate(choice.parts)],
            **_stop_said(choice.stop, refused),
            **beside(completion.usage, DELTA_FIELDS + END_FIELDS),
            "usage": usage_fields(completion.usage),
        }
        return dump(message)


def _frame(name: str, **fields: object) -> bytes:
    return sse(dump({"type": name, **fields}), name)


def _opened(part: Part, index: int, seed: str) -> bytes:
    """content_block_start. A tool's input goes into a delta behind it, as clients collect it only from deltas."""
    block = _block(part, index, seed)
    given = block.get("input")
    if not isinstance(given, dict) or not given:
        return _frame("content_block_start", index=index, content_block=block)
    started = _frame("content_block_start", index=index, content_block={**block, "input": {}})
    piece = {"type": "input_json_delta", "partial_json": dump(given).decode()}
    return started + _frame("content_block_delta", index=index, delta=piece)


def _lead(part: Part, index: int) -> bytes:
    """What stands before the text in every delta of a block. It is built once, so that a delta costs one encode."""
    match part:
        case Text() | Refusal():
            kind = b'"text_delta","text"'
        case Thinking(redacted=""):
            kind = b'"thinking_delta","thinking"'
        case ToolCall():
            kind = b'"input_json_delta","partial_json"'
        case Thinking() | Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
            return b""  # they come whole, with Open
        case _:
            assert_never(part)
    return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b:' % (
        index,
        kind,
    )


_TAIL = b"}}\n\n"


def _besides(part: Part, delta: Delta) -> Iterator[Object]:
    """What a delta says beside its text, each in a delta of its own."""
    match part:
        case Text() | Refusal():
            for citation in shown(delta.citations):
                yield {"type": "citations_delta", "citation": citation}
        case Thinking():
            if delta.signature:
                yield {"type": "signature_delta", "signature": delta.signature}
        case ToolCall() | Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
            pass  # a call's signature is another wire's, and has no place here
        case _:
            assert_never(part)


def _block(part: Part, index: int, seed: str) -> Object:
    match part:
        case Text():
            citations = shown(part.citations)
            return {"type": "text", "text": part.text} | ({"citations": citations} if citations else {})
        case Refusal():
            return {"type": "text", "text": part.text}
        case Thinking(redacted=redacted):
            if redacted:
                return {"type": "redacted_thinking", "data": redacted}
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case ToolCall():
            name = id_of(part, "toolu_", seed, index)
            block = {"type": "tool_use", "id": name, "name": part.name, "input": as_given(part.arguments)}
            return block | {key: part.extra[key] for key in _CALL_KEYS if key in part.extra}
        case Opaque(wire="anthropic", value=value):
            return value
        case Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
            raise unsayable(part, API, f"content[{index}]")
        case _:
            assert_never(part)


_CALL_KEYS = ("caller", "toolset_name")  # what else a tool_use of this wire may have


def _message_head(start: Start, request: Request) -> Object:
    told = {key: start.extra[key] for key in START_FIELDS if key in start.extra} if start.extra else {}
    return {
        **told,
        "id": answer_id(start, request, "msg_"),
        "type": "message",
        "role": "assistant",
        "model": start.model or request.model,
    }


def _stop_said(stop: Stop, refused: bool) -> Object:
    return {"stop_reason": word_for(declined(stop, refused), STOP_WORDS), "stop_sequence": stop.sequence}
