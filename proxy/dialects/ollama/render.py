"""How is an answer sent to a client of Ollama?

Events in, bytes out: lines of JSON as the events come, or one object at Finish.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import assert_never

import msgspec
from msgspec import Struct

from proxy.canon import (
    Audio,
    Choice,
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
from proxy.dialects.ollama.encode import is_generate
from proxy.dialects.ollama.faults import error_line
from proxy.dialects.ollama.lines import one_line
from proxy.dialects.ollama.usage import usage_fields
from proxy.dialects.ollama.words import API, OF_START, STOP_WORDS
from proxy.errors import GatewayError
from proxy.grammar import whole
from proxy.grammar.arguments import as_given
from proxy.grammar.endings import declined, word_for
from proxy.grammar.fields import Object, dump, encode_json
from proxy.grammar.gathering import Gathered
from proxy.grammar.refusals import unsayable
from proxy.grammar.single import check_choice, only

Clock = Callable[[], float]


class _Shape(Struct, frozen=True):
    """What is around the fields of a message: in a chat an object of their own, in /api/generate nothing."""

    before: bytes
    after: bytes
    text: str  # the name of the field that holds the text

    def fields(self, said: Object) -> Object:
        """A whole message. It always has a text, as clients read that without a check."""
        body = {self.text: "", **said}
        return {"message": {"role": "assistant", **body}} if self.before else body


_CHAT = _Shape(b'"message":{"role":"assistant",', b"}", "content")
_GENERATE = _Shape(b"", b"", "response")


class _Block(Struct):
    """A block on its way to the client. Its lines are `head`, text, `tail`."""

    head: bytes = b""
    tail: bytes = b""
    call: ToolCall | None = None
    arguments: Gathered = msgspec.field(default_factory=Gathered)  # of the call, which goes out whole


class StreamRenderer:
    """One line per delta. What does not change between lines is encoded once: at Start, and when a block opens."""

    media_type = "application/x-ndjson"

    def __init__(self, request: Request, clock: Clock) -> None:
        self._request = request
        self._shape = _shape_of(request)
        self._watch = _Watch(clock)
        self._head = b""  # the beginning of every line
        self._blocks: dict[int, _Block] = {}
        self._calls = 0  # sent so far
        self._refused = False
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        return one_line(self._told(event))

    def _told(self, event: Event) -> bytes:
        match event:
            case Delta():
                return self._delta(event)
            case Start():
                self._head = encode_json(_top(event, self._request, self._watch))[:-1] + b","
                return b""
            case Open():
                self._open(event)
                return b""
            case Close():
                return self._close(self._blocks.pop(event.index))
            case Usage():
                self._usage = event
                return b""
            case Finish():
                said = self._shape.fields({}) | _end(only(event.stops), self._refused, self._usage, self._watch)
                return b"%b%b\n" % (self._head, dump(said)[1:])
            case _:
                assert_never(event)

    def error(self, error: GatewayError) -> bytes:
        return error_line(error)

    def _open(self, event: Open) -> None:
        check_choice(event)
        _check(event.part)
        self._watch.see()
        self._refused |= isinstance(event.part, Refusal)
        block, text = _Block(), self._shape.text.encode()
        if isinstance(event.part, Text | Refusal):
            block = self._around(b'"%b":' % text)
        elif isinstance(event.part, Thinking):
            block = self._around(b'"%b":"","thinking":' % text)
        elif isinstance(event.part, ToolCall):
            block.call = event.part
        self._blocks[event.index] = block

    def _around(self, before: bytes) -> _Block:
        return _Block(self._head + self._shape.before + before, self._shape.after + b',"done":false')

    def _delta(self, event: Delta) -> bytes:
        block = self._blocks[event.index]
        if block.call is not None:
            block.arguments.add(event)
            return b""
        if event.logprobs:
            told = dump(event.logprobs)
            return b'%b%b%b,"logprobs":%b}\n' % (block.head, encode_json(event.text), block.tail, told)
        return b"%b%b%b}\n" % (block.head, encode_json(event.text), block.tail) if event.text else b""

    def _close(self, block: _Block) -> bytes:
        if block.call is None:
            return b""
        said = self._shape.fields({"tool_calls": [_call(block.call, block.arguments.text, self._calls)]})
        self._calls += 1
        return b"%b%b\n" % (self._head, dump(said | {"done": False})[1:])


class WholeRenderer(whole.Renderer):
    def __init__(self, request: Request, clock: Clock) -> None:
        super().__init__()
        self._request = request
        self._watch = _Watch(clock)

    def spell(self, completion: Completion) -> bytes:
        choice, shape = only(completion.choices), _shape_of(self._request)
        said, logprobs = _message(choice, shape.text)
        refused = any(isinstance(part, Refusal) for part in choice.parts)
        end = _end(choice.stop, refused, completion.usage, self._watch)
        more: Object = {"logprobs": logprobs} if logprobs else {}
        return dump(_top(completion.start, self._request, self._watch) | shape.fields(said) | end | more)


class _Watch:
    """How long did it take to the first word of the answer, and from there to its end, as far as we could see?

    We never see a model being loaded. Nor do we see the first word of an answer that comes whole: all of its time
    counts as writing. A duration that we did not see is left out, as Ollama's own server does.
    (https://github.com/ollama/ollama/blob/main/api/types.go: `Metrics`)
    """

    def __init__(self, clock: Clock) -> None:
        self.now = clock
        self._began = clock()
        self._spoke: float | None = None

    def see(self) -> None:
        """Notes that a block opens."""
        if self._spoke is None:
            self._spoke = self.now()

    def durations(self) -> Object:
        end = self.now()
        seen = {"total_duration": end - self._began, "eval_duration": end - (self._spoke or self._began)}
        if self._spoke is not None:
            seen["prompt_eval_duration"] = self._spoke - self._began
        return {key: round(seconds * 1e9) for key, seconds in seen.items() if seconds > 0}


def _shape_of(request: Request) -> _Shape:
    return _GENERATE if is_generate(request) else _CHAT


def _top(start: Start, request: Request, watch: _Watch) -> Object:
    where = {key: start.extra[key] for key in OF_START if key in start.extra}
    return {"model": start.model or request.model, **where, "created_at": _date(start.created, watch.now)}


def _date(created: int | None, clock: Clock) -> str:
    try:
        date = _EPOCH + timedelta(seconds=clock() if created is None else created)
    except OverflowError:  # the provider's number is no date
        date = _EPOCH + timedelta(seconds=clock())
    return date.isoformat().replace("+00:00", "Z")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _end(stop: Stop, refused: bool, usage: Usage | None, watch: _Watch) -> Object:
    word = word_for(declined(stop, refused), STOP_WORDS)
    return {"done": True, "done_reason": word} | usage_fields(usage, watch.durations())


def _check(part: Part) -> None:
    """Raises Unrepresentable if a message of this wire has no place for the part."""
    match part:
        case Text() | Refusal() | Thinking() | ToolCall():
            pass
        case Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
            raise unsayable(part, API, "message")
        case _:
            assert_never(part)


def _message(choice: Choice, text: str) -> tuple[Object, list[object]]:
    """The fields of a whole message, and its logprobs."""
    said: Object = {text: ""}
    calls: list[Object] = []
    logprobs: list[object] = []
    for part in choice.parts:
        _check(part)
        if isinstance(part, Text | Refusal):
            said[text] += part.text
            logprobs += part.logprobs if isinstance(part, Text) else []
        elif isinstance(part, Thinking):
            said["thinking"] = said.get("thinking", "") + part.text
        elif isinstance(part, ToolCall):
            calls.append(_call(part, part.arguments, len(calls)))
    return said | ({"tool_calls": calls} if calls else {}), logprobs


def _call(call: ToolCall, arguments: str, number: int) -> Object:
    named = {"id": call.id} if call.id else {}
    return named | {"function": {"index": number, "name": call.name, "arguments": as_given(arguments)}}
