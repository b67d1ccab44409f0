"""How is an answer told to a client of the Messages API?

Events in, bytes out: a stream as it goes, or the whole message at Finish.
"""

from hashlib import sha256
from typing import assert_never

import msgspec

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
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    Video,
    fold,
)
from proxy.dialects.anthropic.citations import spelled
from proxy.dialects.anthropic.faults import error_body
from proxy.dialects.anthropic.usage import usage_fields
from proxy.dialects.anthropic.words import STOP_WORDS
from proxy.errors import GatewayError, Unrepresentable
from proxy.fields import UNREADABLE, Object, dump
from proxy.framing import sse


class StreamRenderer:
    """The wire knows one open block at a time: what belongs to a later one waits until the earlier is closed.

    message_start waits for the event after Start, since it has room for the input's tokens.
    """

    media_type = "text/event-stream"

    def __init__(self, model: str) -> None:
        self._model = model
        self._start: Start | None = None
        self._usage: Usage | None = None
        self._refused = False
        self._speaking: int | None = None  # the one open block that the client knows of
        self._part: Part = Text()  # its shell
        self._sent = 0  # blocks begun
        self._waiting: dict[int, list[Open | Delta | Close]] = {}  # what later blocks have held back

    def feed(self, event: Event) -> bytes:
        match event:
            case Delta() | Open() | Close():
                return self._begin() + self._block_event(event)
            case Start():
                self._start = event
                return b""
            case Usage():
                self._usage = event
                return self._begin()
            case Finish():
                if len(event.stops) > 1:
                    raise _too_many()
                return self._begin() + self._end(event.stops[0])
            case _:
                assert_never(event)

    def error(self, error: GatewayError) -> bytes:
        return sse(error_body(error), "error")

    def _begin(self) -> bytes:
        if self._start is None:
            return b""
        head = _message_head(self._start, self._model)
        self._start = None
        stop = {"stop_reason": None, "stop_sequence": None}
        return _frame("message_start", message={**head, "content": [], **stop, "usage": usage_fields(self._usage)})

    def _end(self, stop: Stop) -> bytes:
        said = _stop_said(stop, self._refused)
        return _frame("message_delta", delta=said, usage=usage_fields(self._usage)) + _frame("message_stop")

    def _block_event(self, event: Open | Delta | Close) -> bytes:
        if isinstance(event, Open) and event.choice:
            raise _too_many()
        if self._speaking not in (None, event.index):
            self._waiting.setdefault(event.index, []).append(event)
            return b""
        out = self._say(event)
        while self._speaking is None and self._waiting:
            held = self._waiting.pop(next(iter(self._waiting)))
            out += b"".join(map(self._say, held))
        return out

    def _say(self, event: Open | Delta | Close) -> bytes:
        index = self._sent - 1
        match event:
            case Delta():
                return _said(self._part, event, index)
            case Open():
                self._speaking, self._part = event.index, event.part
                self._refused |= isinstance(event.part, Refusal)
                self._sent += 1
                return _opened(event.part, index + 1)
            case Close():
                self._speaking = None
                return _frame("content_block_stop", index=index)
            case _:
                assert_never(event)


class WholeRenderer:
    """Holds the sentence until it is whole."""

    media_type = "application/json"

    def __init__(self, model: str) -> None:
        self._model = model
        self._events: list[Event] = []

    def feed(self, event: Event) -> bytes:
        self._events.append(event)
        return dump(self._message(fold(self._events))) if isinstance(event, Finish) else b""

    def error(self, error: GatewayError) -> bytes:
        return error_body(error)

    def _message(self, completion: Completion) -> Object:
        if len(completion.choices) > 1:
            raise _too_many()
        choice = completion.choices[0]
        refused = any(isinstance(part, Refusal) for part in choice.parts)
        return {
            **_message_head(completion.start, self._model),
            "content": [_block(part, f"content[{index}]") for index, part in enumerate(choice.parts)],
            **_stop_said(choice.stop, refused),
            "usage": usage_fields(completion.usage),
        }


def _too_many() -> Unrepresentable:
    return Unrepresentable("The answer has several choices, and this wire cannot carry more than one.", param="choices")


def _frame(name: str, **fields: object) -> bytes:
    return sse(dump({"type": name, **fields}), name)


def _opened(part: Part, index: int) -> bytes:
    """content_block_start. Clients gather a tool's input from deltas alone, so that it never stands in the start."""
    block = _block(part, f"content[{index}]")
    given = block.get("input")
    if not isinstance(given, dict) or not given:
        return _frame("content_block_start", index=index, content_block=block)
    started = _frame("content_block_start", index=index, content_block={**block, "input": {}})
    return started + _piece(index, _JSON_PIECE, dump(given).decode())


def _said(part: Part, delta: Delta, index: int) -> bytes:
    match part:
        case Text() | Refusal():
            out = _piece(index, _TEXT_PIECE, delta.text)
            for citation in spelled(delta.citations):
                more = {"type": "citations_delta", "citation": citation}
                out += _frame("content_block_delta", index=index, delta=more)
            return out
        case Thinking():
            thought = _piece(index, _THINKING_PIECE, delta.text)
            return thought + _piece(index, _SIGNATURE_PIECE, delta.signature)
        case ToolCall():
            return _piece(index, _JSON_PIECE, delta.text)
        case Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
            return b""  # they come whole, with Open
        case _:
            assert_never(part)


_TEXT_PIECE = b'"text_delta","text"'
_JSON_PIECE = b'"input_json_delta","partial_json"'
_THINKING_PIECE = b'"thinking_delta","thinking"'
_SIGNATURE_PIECE = b'"signature_delta","signature"'


def _piece(index: int, kind: bytes, text: str) -> bytes:
    """A delta of text, spelled by hand with one encode, since there is one of these for every token."""
    if not text:
        return b""
    return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b:%b}}\n\n' % (
        index,
        kind,
        dump(text),
    )


def _block(part: Part, at: str) -> Object:
    match part:
        case Text():
            citations = spelled(part.citations)
            return {"type": "text", "text": part.text} | ({"citations": citations} if citations else {})
        case Refusal():
            return {"type": "text", "text": part.text}
        case Thinking(redacted=redacted):
            if redacted:
                return {"type": "redacted_thinking", "data": redacted}
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case ToolCall():
            block = {"type": "tool_use", "id": part.id, "name": part.name, "input": _input(part.arguments)}
            return block | {key: part.extra[key] for key in _CALL_KEYS if key in part.extra}
        case Opaque(wire="anthropic", value=value):
            return value
        case Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
            what = type(part).__name__.lower()
            raise Unrepresentable(f"The answer holds a block ({what}) that Anthropic's wire has not.", param=at)
        case _:
            assert_never(part)


_CALL_KEYS = ("caller", "toolset_name")  # what a tool_use of this wire may have besides


def _input(arguments: str) -> Object:
    """The arguments as an object. What a model wrote wrongly, or not to the end, is handed on for all to see."""
    try:
        value = msgspec.json.decode(arguments or "{}", type=Object)
    except (*UNREADABLE, UnicodeEncodeError):
        return {"malformed_arguments": arguments}
    return value


def _message_head(start: Start, model: str) -> Object:
    name = start.model or model
    made_up = "msg_" + sha256(f"{name} {start.created}".encode()).hexdigest()[:24]
    return {"id": start.id or made_up, "type": "message", "role": "assistant", "model": name}


def _stop_said(stop: Stop, refused: bool) -> Object:
    word = "refusal" if refused and stop.reason == "stop" else STOP_WORDS[stop.reason]
    return {"stop_reason": word, "stop_sequence": stop.sequence}
