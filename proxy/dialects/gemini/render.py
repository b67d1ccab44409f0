"""How is an answer rendered for a client of generateContent?

Events in, bytes out: a stream as it goes, or the whole answer at Finish. Each chunk of a stream has the shape of a
whole answer; a call goes into one part, once its arguments are whole. Clients that do not ask for `alt=sse` get the
chunks as the elements of one JSON array.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import assert_never

from msgspec import Struct, field

from proxy.canon import (
    Choice,
    Citation,
    Close,
    Completion,
    Delta,
    Event,
    Finish,
    Open,
    Part,
    Refusal,
    Request,
    Start,
    Text,
    Thinking,
    Usage,
    fold,
)
from proxy.dialects.gemini.citations import Sources, own_metadata
from proxy.dialects.gemini.endings import ending_of, feedback_of, is_blocked, late_feedback
from proxy.dialects.gemini.faults import error_body
from proxy.dialects.gemini.logprobs import logprobs_result
from proxy.dialects.gemini.render_parts import parts_of
from proxy.dialects.gemini.seals import seal_out
from proxy.dialects.gemini.usage import usage_fields
from proxy.dialects.gemini.words import NAME
from proxy.errors import GatewayError
from proxy.grammar import whole
from proxy.grammar.fields import Object, dump, encode_json
from proxy.grammar.gathering import Gathered


class _Block(Struct):
    """An open block: its part, and what has been gathered of it."""

    part: Part
    choice: int
    tail: bytes = b""  # what follows the text in each chunk; empty for a part that does not stream
    said: Gathered = field(default_factory=Gathered)
    citations: list[Citation] = []  # of other wires


class StreamRenderer:
    """Server-Sent Events. What does not change between chunks is encoded once: at Start, and when a block opens."""

    media_type = "text/event-stream"

    def __init__(self, request: Request) -> None:
        self._model = request.model
        self._start = Start()
        self._head: Object = {}  # of every chunk: which answer it belongs to
        self._blocks: dict[int, _Block] = {}
        self._said: dict[int, int] = {}  # bytes of text, by choice
        self._refused: set[int] = set()  # choices
        self._sources: dict[int, Sources] = {}  # of other wires, by choice
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        match event:
            case Delta():
                return self._delta(event)
            case Start():
                self._start, self._head = event, _head_of(event, self._model)
                feedback = feedback_of(event)
                return self._frame(dump(feedback | self._head)) if feedback else b""
            case Open():
                return self._open(event)
            case Close():
                return self._close(self._blocks.pop(event.index))
            case Usage():
                self._usage = event
                return b""
            case Finish():
                return self._finish(event)
            case _:
                assert_never(event)

    def error(self, error: GatewayError) -> bytes:
        return self._frame(error_body(error))

    def _frame(self, chunk: bytes) -> bytes:
        return b"data: %b\r\n\r\n" % chunk

    def _last(self, chunk: bytes) -> bytes:
        return self._frame(chunk)

    def _open(self, event: Open) -> bytes:
        block = self._blocks[event.index] = _Block(event.part, event.choice)
        if isinstance(event.part, Refusal):
            self._refused.add(event.choice)
        if isinstance(event.part, Text | Refusal) or (isinstance(event.part, Thinking) and not event.part.redacted):
            thought = b',"thought":true' if isinstance(event.part, Thinking) else b""
            rest = b'%b}],"role":"model"},"index":%d}],' % (thought, event.choice)
            block.tail = rest + encode_json(self._head)[1:]
        return b""

    def _delta(self, event: Delta) -> bytes:
        block = self._blocks[event.index]
        if not block.tail:
            block.said.add(event)
            return b""
        if isinstance(block.part, Text | Refusal):  # another wire's citation of it may follow
            block.said.add(event)
        if event.signature or event.logprobs or event.citations:
            return self._remarked(block, event)
        if not event.text:
            return b""
        return self._frame(b'{"candidates":[{"content":{"parts":[{"text":%b%b' % (encode_json(event.text), block.tail))

    def _remarked(self, block: _Block, event: Delta) -> bytes:
        """A delta with more than text."""
        said: Object = {"text": event.text}
        if isinstance(block.part, Thinking):
            said["thought"] = True
        if event.signature:
            said["thoughtSignature"] = seal_out(event.signature)
        block.citations += [one for one in event.citations if one.wire != NAME]
        more = logprobs_result(event.logprobs) | own_metadata(event.citations)
        return self._chunk(block.choice, [said], more) if event.text or event.signature or more else b""

    def _chunk(self, choice: int, parts: list[Object], more: Object) -> bytes:
        candidate = {"content": {"parts": parts, "role": "model"}, **more, "index": choice}
        return self._frame(dump({"candidates": [candidate], **self._head}))

    def _close(self, block: _Block) -> bytes:
        """The part is whole: one that does not stream goes out now, and the citations of text get their places."""
        if block.tail:
            self._place(block)
            return b""
        return self._chunk(block.choice, parts_of(_summed(block.part, block.said.deltas)), {})

    def _place(self, block: _Block) -> None:
        text, before = block.said.text, self._said.get(block.choice, 0)
        self._said[block.choice] = before + len(text.encode(errors="replace"))
        if block.citations:
            self._sources.setdefault(block.choice, Sources()).add(block.citations, text, before)

    def _finish(self, event: Finish) -> bytes:
        told = late_feedback(self._start, event.stops) | _metered(self._usage) | self._head
        if is_blocked(self._start, event.stops, bool(self._said)):
            return self._last(dump(told))
        candidates = []
        for number, stop in enumerate(event.stops):
            empty = {"parts": [{"text": ""}], "role": "model"}  # SDKs may expect a content
            sources = self._sources.get(number, Sources()).metadata()
            ending = ending_of(stop, number in self._refused, self._start)
            candidates.append({"content": empty, **ending, **sources, "index": number})
        return self._last(dump({"candidates": candidates, **told}))


class ArrayRenderer(StreamRenderer):
    """The same chunks as the elements of one JSON array, as Google streams without `alt=sse`."""

    media_type = "application/json"

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._opening = b"["

    def error(self, error: GatewayError) -> bytes:
        return self._last(error_body(error))

    def _frame(self, chunk: bytes) -> bytes:
        opening, self._opening = self._opening, b",\n"
        return opening + chunk

    def _last(self, chunk: bytes) -> bytes:
        return self._frame(chunk) + b"]"


class WholeRenderer(whole.Renderer):
    def __init__(self, request: Request) -> None:
        super().__init__()
        self._model = request.model

    def spell(self, completion: Completion) -> bytes:
        said = any(choice.parts for choice in completion.choices)
        start, stops = completion.start, [choice.stop for choice in completion.choices]
        body = feedback_of(start)
        body |= late_feedback(start, stops)
        if not is_blocked(start, stops, said):
            numbered = enumerate(completion.choices)
            body["candidates"] = [_candidate(number, choice, start) for number, choice in numbered]
        body |= _metered(completion.usage)
        body |= _head_of(start, self._model)
        return dump(body)


def _head_of(start: Start, model: str) -> Object:
    head: Object = {"modelVersion": start.model or model}
    if start.id:
        head["responseId"] = start.id
    if start.created is not None:
        head["createTime"] = _time(start.created)
    return head


@lru_cache(maxsize=256)  # many answers have the same second
def _time(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}Z"
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00Z"


def _metered(usage: Usage | None) -> Object:
    return {} if usage is None else {"usageMetadata": usage_fields(usage)}


def _candidate(number: int, choice: Choice, start: Start) -> Object:
    content = {"parts": [told for part in choice.parts for told in parts_of(part)], "role": "model"}
    ending = ending_of(choice.stop, any(type(part) is Refusal for part in choice.parts), start)
    is_noted = any(type(part) is Text and (part.logprobs or part.citations) for part in choice.parts)
    return {"content": content, **ending, **(_notes(choice.parts) if is_noted else {}), "index": number}


def _notes(parts: Iterable[Part]) -> Object:
    """What comes with the texts: their citations and logprobs."""
    sources, before = Sources(), 0
    cited: list[Citation] = []
    notes: Object = {}
    for part in parts:
        if isinstance(part, Text):
            notes |= logprobs_result(part.logprobs)
            sources.add([one for one in part.citations if one.wire != NAME], part.text, before)
            cited += part.citations
        if isinstance(part, Text | Refusal):
            before += len(part.text.encode(errors="replace"))
    return notes | sources.metadata() | own_metadata(cited)


def _summed(part: Part, deltas: list[Delta]) -> Part:
    """The whole part, of those that do not stream on this wire."""
    events: list[Event] = [Start(), Open(index=0, part=part), *(_at_zero(delta) for delta in deltas)]
    return fold([*events, Close(index=0), Finish()]).choices[0].parts[0]


def _at_zero(delta: Delta) -> Delta:
    return Delta(index=0, text=delta.text, signature=delta.signature, transcript=delta.transcript)
