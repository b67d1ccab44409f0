"""How is an answer rendered for a client of Converse?

Events in, bytes out: a stream of messages as it goes, or the whole answer at Finish.
"""

from collections.abc import Callable
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
from proxy.dialects.bedrock.citations import spelled
from proxy.dialects.bedrock.faults import exception_of
from proxy.dialects.bedrock.spell import block_of, call_head, drawn
from proxy.dialects.bedrock.usage import usage_fields
from proxy.dialects.bedrock.words import API, REASONS, STOP_WORDS, STREAM_TYPE
from proxy.errors import GatewayError
from proxy.framing.eventstream import encode_frame, encode_headers
from proxy.grammar import whole
from proxy.grammar.endings import declined, word_for
from proxy.grammar.fields import Object, as_list, dump
from proxy.grammar.ids import seed_of
from proxy.grammar.refusals import unsayable
from proxy.grammar.single import OneByOne, only

Clock = Callable[[], float]


class StreamRenderer:
    """Blocks are numbered and could overlap, but many clients handle only one open block at a time. So what belongs to
    a later one waits until the earlier one is closed.

    A block of text or thought begins with its first delta, without a start of its own, as Bedrock's do.
    """

    media_type = STREAM_TYPE

    def __init__(self, request: Request, clock: Clock) -> None:
        self._request = request
        self._seed = ""  # of the ids that we make
        self._clock = clock
        self._began = clock()
        self._usage: Usage | None = None
        self._refused = False
        self._blocks = OneByOne()
        self._part: Part = Text()  # of the open block, without its content
        self._silent = True  # nothing of its content has been sent yet
        self._sent = 0  # blocks begun

    def feed(self, event: Event) -> bytes:
        match event:
            case Delta() | Open() | Close():
                return b"".join(map(self._say, self._blocks.feed(event)))
            case Start():
                self._seed = seed_of(event, self._request)
                return _frame("messageStart", {"role": "assistant"})
            case Usage():
                self._usage = event
                return b""
            case Finish():
                return self._end(event)
            case _:
                assert_never(event)

    def error(self, error: GatewayError) -> bytes:
        return exception_of(error)

    def _end(self, finish: Finish) -> bytes:
        stop = only(finish.stops)
        told = {"usage": usage_fields(self._usage), "metrics": _metrics(self._clock, self._began)}
        return _frame("messageStop", _stop_said(stop, self._refused)) + _frame("metadata", told)

    def _say(self, event: Open | Delta | Close) -> bytes:
        index = self._sent - 1
        match event:
            case Delta():
                said = _said(self._part, event, index)
                self._silent = self._silent and not said
                return said
            case Open():
                self._part = event.part
                self._refused |= isinstance(event.part, Refusal)
                self._sent += 1
                said = _opened(event.part, index + 1, self._seed)
                self._silent = not said
                return said
            case Close():
                said = _nothing(self._part, index) if self._silent else b""
                return said + _frame("contentBlockStop", {"contentBlockIndex": index})
            case _:
                assert_never(event)


class WholeRenderer(whole.Renderer):
    def __init__(self, request: Request, clock: Clock) -> None:
        super().__init__()
        self._request = request
        self._clock = clock
        self._began = clock()

    def spell(self, completion: Completion) -> bytes:
        choice = only(completion.choices)
        refused = any(isinstance(part, Refusal) for part in choice.parts)
        seed = seed_of(completion.start, self._request)
        content = [block_of(part, index, seed) for index, part in enumerate(choice.parts)]
        answer = {
            "output": {"message": {"role": "assistant", "content": content}},
            **_stop_said(choice.stop, refused),
            "usage": usage_fields(completion.usage),
            "metrics": _metrics(self._clock, self._began),
        }
        return dump(answer)


def _metrics(clock: Clock, began: float) -> Object:
    """The wire requires it. We measure from when the request was parsed to the end of the answer."""
    return {"latencyMs": max(0, round((clock() - began) * 1000))}


def _stop_said(stop: Stop, refused: bool) -> Object:
    """Words of this wire stay as they came; the stop string goes where Claude puts it."""
    stop = declined(stop, refused)
    word = stop.raw if REASONS.get(stop.raw) == stop.reason else word_for(stop, STOP_WORDS)
    met = {} if stop.sequence is None else {"additionalModelResponseFields": {"stop_sequence": stop.sequence}}
    return {"stopReason": word, **met}


# --- messages of a stream --------------------------------------------------------------------------------------------


def _headers(event: str) -> bytes:
    return encode_headers(
        ((":event-type", event), (":content-type", "application/json"), (":message-type", "event")),
    )


_HEADERS = {
    event: _headers(event)
    for event in "messageStart contentBlockStart contentBlockStop messageStop metadata contentBlockDelta".split()
}
_DELTA = _HEADERS["contentBlockDelta"]


def _frame(event: str, payload: Object) -> bytes:
    return encode_frame(_HEADERS[event], dump(payload))


def _delta(index: int, delta: Object) -> bytes:
    return _frame("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def _start(index: int, start: Object) -> bytes:
    return _frame("contentBlockStart", {"contentBlockIndex": index, "start": start})


_TEXT_PIECE = b'{"text":%b}'
_INPUT_PIECE = b'{"toolUse":{"input":%b}}'
_THOUGHT_PIECE = b'{"reasoningContent":{"text":%b}}'
_SIGNATURE_PIECE = b'{"reasoningContent":{"signature":%b}}'


def _piece(index: int, kind: bytes, text: str) -> bytes:
    """A delta of text, built by hand with one encode, as there is one for every token."""
    if not text:
        return b""
    return encode_frame(_DELTA, b'{"contentBlockIndex":%d,"delta":%b}' % (index, kind % dump(text)))


def _opened(part: Part, index: int, seed: str) -> bytes:
    match part:
        case Text() | Refusal():
            return b""
        case Thinking():
            return _delta(index, block_of(part, index, seed)) if part.redacted else b""
        case ToolCall():
            return _start(index, {"toolUse": call_head(part, index, seed)})
        case Image():
            form, data = drawn(part, index)
            return _start(index, {"image": {"format": form}}) + _delta(index, {"image": {"source": {"bytes": data}}})
        case Opaque(wire="bedrock"):
            return _system_tool(part, index)
        case Audio() | Video() | Document() | ToolResult() | Opaque():
            raise unsayable(part, API, f"content[{index}]")
        case _:
            assert_never(part)


def _system_tool(part: Opaque, index: int) -> bytes:
    """What Amazon's own tools say. No other Opaque block has a form in a stream."""
    match part.value:
        case {"toolUse": dict(call)}:
            head = {key: value for key, value in call.items() if key != "input"}
            given = dump(call.get("input", {})).decode()
            return _start(index, {"toolUse": head}) + _piece(index, _INPUT_PIECE, given)
        case {"toolResult": dict(result)}:
            head = {key: value for key, value in result.items() if key != "content"}
            return _start(index, {"toolResult": head}) + _delta(index, {"toolResult": as_list(result.get("content"))})
        case _:
            raise unsayable(part, API, f"content[{index}]")


def _said(part: Part, delta: Delta, index: int) -> bytes:
    match part:
        case Text() | Refusal():
            out = _piece(index, _TEXT_PIECE, delta.text)
            for citation in spelled(delta.citations):
                out += _delta(index, {"citation": citation})
            return out
        case Thinking():
            return _piece(index, _THOUGHT_PIECE, delta.text) + _piece(index, _SIGNATURE_PIECE, delta.signature)
        case ToolCall():
            return _piece(index, _INPUT_PIECE, delta.text)
        case Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
            return b""  # they come whole, with Open
        case _:
            assert_never(part)


def _nothing(part: Part, index: int) -> bytes:
    """An empty delta for a block that closes without one: SDKs would not know what it is that closes."""
    thought = isinstance(part, Thinking)
    return _delta(index, {"reasoningContent": {"text": ""}} if thought else {"text": ""})
