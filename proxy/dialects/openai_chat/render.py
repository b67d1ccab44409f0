"""How is an answer streamed to a client of chat completions?

Events in, bytes out. A completion that goes out whole is in render_whole.py.
"""

from collections.abc import Callable
from typing import assert_never

from msgspec import Struct

from proxy.canon import (
    Audio,
    Citation,
    Close,
    Delta,
    Document,
    Event,
    Finish,
    Image,
    Opaque,
    Open,
    Refusal,
    Request,
    Start,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    Video,
)
from proxy.dialects.openai_chat.citations import spelled
from proxy.dialects.openai_chat.encode_messages import legacy_call
from proxy.dialects.openai_chat.faults import error_body
from proxy.dialects.openai_chat.reasoning import detail_of
from proxy.dialects.openai_chat.render_fields import finish_fields, named, offers_functions, picture, top_of
from proxy.dialects.openai_chat.seals import sealed
from proxy.dialects.openai_chat.usage import tier_beside, usage_fields
from proxy.dialects.openai_chat.words import API
from proxy.errors import GatewayError
from proxy.framing import sse
from proxy.grammar.fields import Object, encode_json
from proxy.grammar.functions import nest
from proxy.grammar.ids import id_of, seed_of
from proxy.grammar.refusals import unsayable


class _Block(Struct):
    """A block on its way to the client. Its chunks are `head`, text, `tail`; `middle` goes between two texts."""

    kind: str
    head: bytes = b""
    middle: bytes = b""  # for thinking, whose text is said twice
    tail: bytes = b""
    choice: int = 0
    number: int = -1  # for a call: its position among the calls of its choice
    said: int = 0  # for a text: its characters so far
    before: int = 0  # for a text: the characters of its choice's earlier texts
    detail: Object = {}  # for thinking: each of its reasoning_details, without the text


# OpenAI repeats these in each chunk; the rest of `extra` goes out once.
_REPEATED = ("system_fingerprint", "service_tier")


class StreamRenderer:
    """One chunk per event. What does not change between chunks is encoded once: at Start, and when a block opens."""

    media_type = "text/event-stream"

    def __init__(self, request: Request, clock: Callable[[], float]) -> None:
        self._request = request
        self._clock = clock
        self._seed = ""  # for the ids that we make
        self._head = b""  # the beginning of every chunk, up to its choices
        self._once = b""  # fields that only the first chunk has
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"
        self._legacy = offers_functions(request)
        self._to_call: set[int] = set()  # the choices that may still have a `function_call`
        self._blocks: dict[int, _Block] = {}
        self._calls: dict[int, int] = {}  # tool calls opened, by choice; a choice that is not in here has not begun
        self._thoughts: dict[int, int] = {}  # thinking blocks opened, by choice
        self._notes: dict[int, list[tuple[Citation, _Block]]] = {}  # citations still to go out, with their text's block
        self._listed: dict[tuple[str, int], int] = {}  # images and annotations told, by choice
        self._texts: dict[int, _Block] = {}  # the last text of each choice
        self._said = Start()
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        match event:
            case Delta():
                return self._delta(event)
            case Start():
                return self._start(event)
            case Open():
                begun = self._begin(event.choice, b'""' if isinstance(event.part, Text) else b"null")
                return self._tell_notes_before(event) + begun + self._open(event)
            case Close():
                return b""
            case Usage():
                self._usage = event
                return b""
            case Finish():
                return self._finish(event)
            case _:
                assert_never(event)

    def error(self, error: GatewayError) -> bytes:
        return sse(error_body(error))

    def _start(self, start: Start) -> bytes:
        top = top_of(start, "chat.completion.chunk", self._request, self._clock)
        once = {key: top.pop(key) for key in start.extra if key in top and key not in _REPEATED}
        self._said = start
        self._seed = seed_of(start, self._request)
        self._head = b"data: %b" % encode_json(top)[:-1]
        self._once = b",%b" % encode_json(once)[1:-1] if once else b""
        return b""

    def _begin(self, choice: int, content: bytes = b'""') -> bytes:
        """`content`: null for an answer that does not begin with text, as OpenAI has it. A client may take "" for a
        text of its own: Vercel's AI SDK shows an empty one before each call.
        """
        if choice in self._calls:
            return b""
        self._calls[choice] = self._thoughts[choice] = 0
        if self._legacy:
            self._to_call.add(choice)
        return self._frame(choice, b'{"role":"assistant","content":%b}' % content)

    def _frame(self, choice: int, delta: bytes, logprobs: bytes = b"null", finish: bytes = b"null") -> bytes:
        head, tail = self._around(choice)
        return b'%b%b,"logprobs":%b,"finish_reason":%b%b' % (head, delta, logprobs, finish, tail)

    def _around(self, choice: int) -> tuple[bytes, bytes]:
        once, self._once = self._once, b""
        return b'%b%b,"choices":[{"index":%d,"delta":' % (self._head, once, choice), b"}]%b" % self._tail

    def _open(self, event: Open) -> bytes:
        part, choice = event.part, event.choice
        block = _Block("", choice=choice)
        self._blocks[event.index] = block
        said: Object | None = None
        match part:
            case Text():
                if (last := self._texts.get(choice)) is not None:
                    block.before = last.before + last.said
                self._texts[choice] = block
                self._say(block, "text", b'{"content":', b"}")
            case Refusal():
                self._say(block, "refusal", b'{"refusal":', b"}")
            case Thinking():
                said = self._think(block, part)
            case ToolCall():
                said = self._call(block, part)
            case Audio():
                block.kind = "audio"
                said = {"audio": named(part)}
            case Image():
                said = {"images": self._numbered("images", choice, [picture(part)])}
            case Opaque(wire="openai_chat"):
                said = {"content": [part.value]}
            case Video() | Document() | ToolResult() | Opaque():
                raise unsayable(part, API)
            case _:
                assert_never(part)
        return b"" if said is None else self._frame(choice, encode_json(said))

    def _say(self, block: _Block, kind: str, before: bytes, after: bytes, middle: bytes = b"") -> None:
        head, tail = self._around(block.choice)
        block.kind, block.middle = kind, middle
        block.head, block.tail = head + before, b'%b,"logprobs":null,"finish_reason":null%b' % (after, tail)

    def _think(self, block: _Block, part: Thinking) -> Object | None:
        index = self._thoughts[block.choice]
        self._thoughts[block.choice] += 1
        detail = detail_of(part, index)
        if part.redacted:
            return {"reasoning_details": [detail]}
        block.detail = detail
        key = b"summary" if detail["type"] == "reasoning.summary" else b"text"
        middle = b',"reasoning_details":[%b,"%b":' % (encode_json(detail)[:-1], key)
        self._say(block, "thinking", b'{"reasoning_content":', b"}]}", middle)
        return None

    def _call(self, block: _Block, part: ToolCall) -> Object:
        number = self._calls[block.choice]
        key, field = ("function", "arguments") if part.kind == "function" else ("custom", "input")
        opening = {"name": part.name, field: ""}
        if "function_call" in part.extra or block.choice in self._to_call:
            self._to_call.discard(block.choice)  # there is room for one
            self._say(block, "call", b'{"function_call":{"arguments":', b"}}")
            return {"function_call": legacy_call(part)}
        self._calls[block.choice] += 1
        before = b'{"tool_calls":[{"index":%d,"%b":{"%b":' % (number, key.encode(), field.encode())
        self._say(block, "call", before, b"}}]}")
        block.number = number
        name = id_of(part, "call_", f"{self._seed} {block.choice}", number)
        return {"tool_calls": [{"index": number, "id": name, **nest(key, opening, part.extra)}]}

    def _delta(self, event: Delta) -> bytes:
        block = self._blocks[event.index]
        if block.kind == "thinking":
            return self._thought(block, event)
        if block.kind == "audio":
            return self._sound(block, event)
        if event.logprobs or event.citations:
            return self._annotated(block, event)
        if event.signature and block.kind == "call":
            return self._sealed(block, event)
        if not event.text or not block.kind:
            return b""
        block.said += len(event.text)
        return block.head + encode_json(event.text) + block.tail

    def _thought(self, block: _Block, event: Delta) -> bytes:
        if event.signature:
            detail = detail_of(
                Thinking(text=event.text, signature=event.signature, extra=block.detail), block.detail["index"]
            )
            said = {"reasoning_content": event.text} if event.text else {}
            return self._frame(block.choice, encode_json(said | {"reasoning_details": [detail]}))
        if not event.text:
            return b""
        text = encode_json(event.text)
        return b"%b%b%b%b%b" % (block.head, text, block.middle, text, block.tail)

    def _sound(self, block: _Block, event: Delta) -> bytes:
        said = {"data": event.text, "transcript": event.transcript}
        spoken = {key: value for key, value in said.items() if value}
        return self._frame(block.choice, encode_json({"audio": spoken})) if spoken else b""

    def _sealed(self, block: _Block, event: Delta) -> bytes:
        text = block.head + encode_json(event.text) + block.tail if event.text else b""
        if block.number < 0:  # a legacy `function_call` has no place for a signature
            return text
        silent = {"arguments": ""}  # the official SDK appends every piece to the arguments
        said = {"tool_calls": [{"index": block.number, "function": silent, **sealed({}, event.signature)}]}
        return text + self._frame(block.choice, encode_json(said))

    def _annotated(self, block: _Block, event: Delta) -> bytes:
        key = "content" if block.kind == "text" else "refusal"
        self._notes.setdefault(block.choice, []).extend((one, block) for one in event.citations)
        block.said += len(event.text)
        if not event.text and not event.logprobs:
            return b""
        said: Object = {key: event.text}
        logprobs = {"content": None, "refusal": None} | {key: event.logprobs} if event.logprobs else None
        return self._frame(block.choice, encode_json(said), encode_json(logprobs))

    def _tell_notes_before(self, event: Open) -> bytes:
        """The annotations of finished texts. More text of the same choice may bring more annotations, so they wait."""
        over = [choice for choice in self._notes if choice != event.choice or not isinstance(event.part, Text)]
        return b"".join(map(self._tell_notes, over))

    def _tell_notes(self, choice: int) -> bytes:
        """All annotations of a text in one chunk: OpenAI's SDK for JavaScript keeps those of the last chunk alone."""
        cited = self._notes.pop(choice, [])
        notes = [note for one, on in cited for note in spelled([one], on.said, on.before)]
        if not notes:
            return b""
        return self._frame(choice, encode_json({"annotations": self._numbered("annotations", choice, notes)}))

    def _numbered(self, key: str, choice: int, items: list[Object]) -> list[Object]:
        """OpenAI's SDK for Python merges the lists of two chunks by this index, and raises without."""
        first = self._listed.get((key, choice), 0)
        self._listed[key, choice] = first + len(items)
        return [item | {"index": number} for number, item in enumerate(items, first)]

    def _finish(self, event: Finish) -> bytes:
        frames = []
        for choice, stop in enumerate(event.stops):
            frames.append(self._tell_notes(choice))
            said = finish_fields(stop, self._legacy)
            reason = encode_json(said.pop("finish_reason"))
            finish = b"%b,%b" % (reason, encode_json(said)[1:-1]) if said else reason
            frames += [self._begin(choice), self._frame(choice, b"{}", finish=finish)]
        if event.moderation is not None:
            found = {"choices": [], "moderation": event.moderation}
            frames.append(b"%b,%b%b" % (self._head, encode_json(found)[1:-1], self._tail))
        if self._request.include_usage and self._usage is not None:
            told = {"choices": [], "usage": usage_fields(self._usage)} | tier_beside(self._said, self._usage)
            frames.append(b"%b,%b\n\n" % (self._head, encode_json(told)[1:]))
        return b"".join([*frames, b"data: [DONE]\n\n"])
