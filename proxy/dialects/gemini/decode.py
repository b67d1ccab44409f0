"""What did Google answer?

Bytes go in as they come, and events come out: the mirror of render.py. What is no answer raises UpstreamError.

A candidate has one open block at a time: a part of another kind closes the one before it. Text that comes in pieces is
one block until a seal ends it, as Google asks that sealed text never be joined to other text. A seal that comes without
text, like the last part of most streams and of some whole answers, belongs to the text before it.

What only this wire says of a candidate (`safetyRatings`, `avgLogprobs`, `finishMessage`, `tokenCount`), and of the
prompt once the answer has begun, is kept in its Stop: the latest value of each counts.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

from msgspec import Struct

from proxy.canon import (
    Close,
    Delta,
    Event,
    Finish,
    Opaque,
    Part,
    Reason,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from proxy.dialects.gemini.citations import citations_of
from proxy.dialects.gemini.faults import error_in, fault
from proxy.dialects.gemini.frames import Chunks
from proxy.dialects.gemini.logprobs import logprobs_of
from proxy.dialects.gemini.media import heard
from proxy.dialects.gemini.partial import PartialArguments
from proxy.dialects.gemini.usage import Tally
from proxy.dialects.gemini.words import FINISHES, MAX_CANDIDATES, NAME, REASONS
from proxy.framing import FrameTooLong
from proxy.grammar import whole
from proxy.grammar.endings import reason_of
from proxy.grammar.fields import (
    Object,
    as_object,
    as_text,
    cut_short,
    decode_json,
    encode_json,
    json_of,
    nonsense,
    without_nulls,
)
from proxy.grammar.halves import Halves
from proxy.grammar.sentence import Sentence

_OF_CHUNK = frozenset("candidates usageMetadata modelVersion responseId createTime error".split())
_OF_CANDIDATE = frozenset(
    "content index finishReason logprobsResult groundingMetadata citationMetadata urlContextMetadata".split()
)
_OF_CALL = frozenset("id name args partialArgs willContinue".split())
_OF_TEXT = frozenset("text thought thoughtSignature".split())


class StreamDecoder:
    """The wire has no last event: a stream is whole if its bytes end when every candidate has its finishReason."""

    def __init__(self) -> None:
        self._chunks = Chunks()
        self._halves = Halves()
        self._answer = _Answer(streamed=True)

    def feed(self, data: bytes) -> Iterator[Event]:
        yield from self._hear(self._chunks.feed(data))

    def close(self) -> Iterator[Event]:
        yield from self._hear(self._chunks.close())
        if not self._answer.begun:
            raise nonsense("the stream has no chunk of an answer")
        if not self._answer.ended:
            raise cut_short()
        yield from self._answer.finish()

    def _hear(self, chunks: Iterator[bytes]) -> Iterator[Event]:
        try:
            for chunk in chunks:
                yield from self._answer.hear(self._halves.read(chunk, decode_json, "it is not valid JSON"))
        except FrameTooLong as error:
            raise nonsense(str(error)) from None


class WholeDecoder(whole.Decoder):
    def read(self, body: bytes) -> Iterator[Event]:
        said = json_of(body)
        if error := error_in(said):
            raise fault(error)
        answer = _Answer(streamed=False)
        yield from answer.hear(said)
        yield from answer.finish()


class _Candidate(Struct):
    """One candidate: its open block, and why it ended."""

    number: int
    kind: str = ""  # of the open block: text, thinking, call
    index: int = 0  # of the open block
    signed: bool = False  # the open block has its seal
    said: list[str] = []  # the text of the open block
    pieces: PartialArguments | None = None  # of the open call
    called: bool = False
    raw: str = ""  # its finishReason
    extra: Object = {}  # what else is said of it


class _Answer(Sentence):
    """What an answer has said so far. A whole answer is a stream of one chunk, with a block for each part."""

    def __init__(self, streamed: bool) -> None:
        super().__init__()
        self._streamed = streamed
        self.begun = False
        self._candidates: dict[int, _Candidate] = {}
        self._blocked = ""  # why the prompt was
        self._feedback: Object = {}  # on the prompt, if it comes after the first chunk
        self._tally = Tally()

    def hear(self, chunk: object) -> list[Event]:
        """One more chunk. Raises UpstreamError."""
        if not isinstance(chunk, dict):
            raise nonsense("a chunk is not a JSON object")
        if error := chunk.get("error"):
            raise fault(error)
        candidates = chunk.get("candidates") or []
        if not isinstance(candidates, list):
            raise nonsense("candidates is not an array")
        self._out = []
        counted, feedback = self._tally.hear(chunk), as_object(chunk.get("promptFeedback"))
        if not self.begun and (candidates or counted or feedback):
            self._start(chunk)
        elif feedback:
            self._feedback = {"promptFeedback": feedback}
        self._blocked = self._blocked or as_text(feedback.get("blockReason"))
        for position, candidate in enumerate(candidates):
            self._candidate(candidate, position)
        if usage := self._tally.news():
            self._out.append(usage)
        return self._out

    @property
    def ended(self) -> bool:
        """Was the prompt blocked, or has every candidate its finishReason?"""
        return bool(self._blocked or self._candidates) and all(candidate.raw for candidate in self._candidates.values())

    def finish(self) -> list[Event]:
        """The end of the answer. Raises UpstreamError where it holds nothing."""
        if not self._candidates and not self._blocked:
            raise nonsense("it has no candidates")
        self._out = []
        for candidate in self._candidates.values():
            self._close(candidate)
        stops = [self._stop(self._candidates.get(number)) for number in range(max(self._candidates, default=0) + 1)]
        self._out.append(Finish(stops=tuple(stops)))
        return self._out

    def _start(self, chunk: Object) -> None:
        self.begun = True
        start = Start(
            wire=NAME,
            id=as_text(chunk.get("responseId")),
            model=as_text(chunk.get("modelVersion")),
            created=_seconds(chunk.get("createTime")),
            extra={key: value for key, value in chunk.items() if key not in _OF_CHUNK and value},
        )
        self._out.append(start)

    def _candidate(self, said: object, position: int) -> None:
        if not isinstance(said, dict):
            raise nonsense("a candidate is not a JSON object")
        number = position if said.get("index") is None else said["index"]
        if not isinstance(number, int) or not 0 <= number < MAX_CANDIDATES:
            raise nonsense("a candidate has no valid index")
        candidate = self._candidates.setdefault(number, _Candidate(number))
        parts = as_object(said.get("content")).get("parts") or []
        if not isinstance(parts, list):
            raise nonsense("parts is not an array")
        for part in parts:
            if not isinstance(part, dict):
                raise nonsense("a part is not a JSON object")
            self._part(candidate, without_nulls(part) if None in part.values() else part)
        self._remarks(candidate, said)
        candidate.raw = _word(said.get("finishReason")) or candidate.raw
        if not said.keys() <= _OF_CANDIDATE:
            candidate.extra |= {key: value for key, value in without_nulls(said).items() if key not in _OF_CANDIDATE}

    def _remarks(self, candidate: _Candidate, said: Object) -> None:
        """What comes with a text: its citations and logprobs."""
        scores = logprobs_of(said) if candidate.kind == "text" else []
        citations = citations_of(said, "".join(candidate.said) if candidate.kind == "text" else "")
        if citations or scores:
            index = self._in(candidate, "text", Text)
            self._out.append(Delta(index=index, citations=citations, logprobs=scores))

    def _stop(self, candidate: _Candidate | None) -> Stop:
        if candidate is None:
            reason: Reason = "content_filter" if self._blocked else "other"
            return Stop(reason=reason, raw=self._blocked, extra=self._feedback)
        reason = reason_of(candidate.raw or "STOP", REASONS)
        if reason == "stop" and candidate.called:
            reason = "tool_use"
        return Stop(reason=reason, raw=candidate.raw, extra=candidate.extra | self._feedback)

    # parts

    def _part(self, candidate: _Candidate, part: Object) -> None:
        text = part.get("text")
        if "functionCall" in part:
            self._call(candidate, part)
        elif text is not None or part.keys() <= _OF_TEXT:
            if text is not None and not isinstance(text, str):
                raise nonsense("text is not a string")
            self._text(candidate, part, text or "")
        else:
            medium = None if part.get("thought") is True else heard(part)  # a sketch, and no image of the answer
            self._aside(candidate, Opaque(wire=NAME, value=part) if medium is None else medium)

    def _text(self, candidate: _Candidate, part: Object, text: str) -> None:
        seal = as_text(part.get("thoughtSignature"))
        if not text and not seal:
            return
        kind = "thinking" if part.get("thought") is True else "text"
        if candidate.signed or (text and not self._streamed):
            self._close(candidate)
        extra = {key: value for key, value in part.items() if key not in _OF_TEXT}
        index = self._in(candidate, kind, lambda: Thinking(extra=extra) if kind == "thinking" else Text(extra=extra))
        self._out.append(Delta(index=index, text=text, signature=seal))
        candidate.signed = bool(seal)
        candidate.said.append(text)

    def _call(self, candidate: _Candidate, part: Object) -> None:
        """A call, or a piece of one: a piece without a name continues the open call."""
        call = as_object(part["functionCall"])
        name = as_text(call.get("name"))
        if name:
            self._open_call(candidate, name, call, as_text(part.get("thoughtSignature")))
        elif candidate.pieces is None:
            if call:
                raise nonsense("a function call has no name")
            return
        if candidate.pieces is not None:
            candidate.pieces.add(call.get("partialArgs"))
        if call.get("willContinue") is not True:
            self._close(candidate)

    def _open_call(self, candidate: _Candidate, name: str, call: Object, seal: str) -> None:
        self._close(candidate)
        extra = {key: value for key, value in call.items() if key not in _OF_CALL}
        kept = {"functionCall": extra} if extra else {}
        candidate.kind, candidate.called = "call", True
        shell = ToolCall(id=as_text(call.get("id")), name=name, extra=kept)
        candidate.index = self._open(shell, candidate.number)
        candidate.pieces = PartialArguments(as_object(call.get("args")))
        if seal:
            self._out.append(Delta(index=candidate.index, signature=seal))

    # blocks

    def _in(self, candidate: _Candidate, kind: str, shell: Callable[[], Part]) -> int:
        """The index of the candidate's open block, after opening one if the last is of another kind."""
        if candidate.kind != kind:
            self._close(candidate)
            candidate.kind = kind
            candidate.index = self._open(shell(), candidate.number)
        return candidate.index

    def _close(self, candidate: _Candidate) -> None:
        if candidate.pieces is not None:
            self._out.append(Delta(index=candidate.index, text=encode_json(candidate.pieces.value).decode()))
        if candidate.kind:
            self._out.append(Close(index=candidate.index))
        candidate.kind, candidate.signed, candidate.pieces = "", False, None
        candidate.said.clear()

    def _aside(self, candidate: _Candidate, part: Part) -> None:
        """A block that comes whole."""
        self._close(candidate)
        self._whole(part, candidate.number)


def _word(reason: object) -> str:
    """The word of an enum, whose number older hosts send."""
    if isinstance(reason, int) and not isinstance(reason, bool):
        return FINISHES[reason] if 0 <= reason < len(FINISHES) else str(reason)
    return as_text(reason)


def _seconds(time: object) -> int | None:
    try:
        return int(datetime.fromisoformat(as_text(time)).timestamp())
    except (ValueError, OverflowError):
        return None
