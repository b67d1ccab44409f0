"""What did Ollama answer?

Bytes in, events out, as they come. The mirror of render.py; anything that is not an answer raises UpstreamError.

Each line holds more of the message, with a field for each kind of block: a block of another kind closes the one before
it. Tool calls come whole. An answer of /api/generate has the fields of a message at its top level.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

from proxy.canon import Close, Delta, Event, Finish, Image, Part, Start, Stop, Text, Thinking, ToolCall
from proxy.dialects.ollama.faults import fault
from proxy.dialects.ollama.parse import inline
from proxy.dialects.ollama.usage import usage_of
from proxy.dialects.ollama.words import NAME, OF_START, REASONS
from proxy.framing import FrameTooLong, NewlineDelimited
from proxy.grammar import whole
from proxy.grammar.endings import reason_of
from proxy.grammar.fields import (
    Object,
    as_list,
    as_object,
    as_text,
    cut_short,
    decode_json,
    encode_json,
    json_of,
    nonsense,
    text_in,
)
from proxy.grammar.halves import Halves
from proxy.grammar.sentence import Sentence


class StreamDecoder:
    def __init__(self) -> None:
        self._lines = NewlineDelimited()
        self._halves = Halves()
        self._answer = _Answer()

    def feed(self, data: bytes) -> Iterator[Event]:
        yield from self._hear(self._lines.feed(data))

    def close(self) -> Iterator[Event]:
        yield from self._hear(self._lines.close())
        if not self._answer.over:
            raise cut_short()

    def _hear(self, lines: Iterator[bytes]) -> Iterator[Event]:
        try:
            for line in lines:
                if not self._answer.over:
                    said = self._halves.read(line, decode_json, "a line is not valid JSON")
                    yield from self._answer.hear(said)
        except FrameTooLong as error:
            raise nonsense(str(error)) from None


class WholeDecoder(whole.Decoder):
    def read(self, body: bytes) -> Iterator[Event]:
        answer = _Answer()
        yield from answer.hear(json_of(body))
        if not answer.over:
            raise cut_short()


class _Answer(Sentence):
    """What an answer has said so far. A whole answer is read like a stream of one line."""

    def __init__(self) -> None:
        super().__init__()
        self.over = False
        self._started = False
        self._kind = ""  # of the open block
        self._called = False

    def hear(self, line: object) -> list[Event]:
        """One more line. Raises UpstreamError."""
        if not isinstance(line, dict):
            raise nonsense("a line is not a JSON object")
        if line.get("error"):
            raise fault(line["error"])
        self._out = []
        done = line.get("done") is True
        message = line.get("message")
        if message is None:
            message = line if "response" in line else {}
        if not isinstance(message, dict):
            raise nonsense("message is not a JSON object")
        if not self._started:
            self._start(line)
        self._message(message, _logprobs(line))
        if done:
            self._finish(line)
        return self._out

    def _start(self, line: Object) -> None:
        self._started = True
        extra = {key: line[key] for key in OF_START if isinstance(line.get(key), str)}
        model = as_text(line.get("model"))
        self._out.append(Start(wire=NAME, model=model, created=_created(line), extra=extra))

    def _message(self, message: Object, logprobs: list[Object]) -> None:
        if thought := text_in(message, "thinking"):
            self._out.append(Delta(index=self._in("thinking", Thinking), text=thought))
        text = text_in(message, "content") or text_in(message, "response")
        if text or (logprobs and not thought):  # there is no place for the logprobs of a thought
            self._out.append(Delta(index=self._in("text", Text), text=text, logprobs=logprobs))
        for data in as_list(message.get("images")):
            if isinstance(data, str):
                self._aside(Image(source=inline(data)))
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise nonsense("tool_calls is not an array")
        for call in calls or ():
            self._call(call)

    def _call(self, call: object) -> None:
        said = as_object(as_object(call).get("function"))
        name, given = as_text(said.get("name")), said.get("arguments")
        if not name or not isinstance(given, dict | None):
            raise nonsense("a tool call has no name, or its arguments are not an object")
        self._called = True
        shell = ToolCall(id=as_text(as_object(call).get("id")), name=name)
        self._aside(shell, encode_json(given or {}).decode())

    def _finish(self, line: Object) -> None:
        self.over = True
        self._close()
        if (usage := usage_of(line)) is not None:
            self._out.append(usage)
        word = as_text(line.get("done_reason"))
        reason = reason_of(word or "stop", REASONS)  # older servers give no reason
        if reason == "stop" and self._called:
            reason = "tool_use"
        self._out.append(Finish(stops=(Stop(reason=reason, raw=word),)))

    # blocks

    def _in(self, kind: str, shell: Callable[[], Part]) -> int:
        """The index of the last block, if that is open and of this kind, or of a new one."""
        if self._kind != kind:
            self._close()
            self._open(shell())
            self._kind = kind
        return self._blocks - 1

    def _close(self) -> None:
        if self._kind:
            self._out.append(Close(index=self._blocks - 1))
            self._kind = ""

    def _aside(self, part: Part, text: str = "") -> None:
        """Adds a block that comes whole."""
        self._close()
        self._whole(part, text=text)


def _logprobs(line: Object) -> list[Object]:
    """One entry per token, in OpenAI's form. Ollama leaves out the alternatives if there are none."""
    entries = (entry for entry in as_list(line.get("logprobs")) if isinstance(entry, dict))
    return [{"bytes": None, "top_logprobs": [], **entry} for entry in entries]


def _created(line: Object) -> int | None:
    """In seconds since 1970. The wire has RFC 3339, to the nanosecond."""
    try:
        date = datetime.fromisoformat(as_text(line.get("created_at")))
        return int(date.timestamp())
    except (ValueError, OverflowError, OSError):
        return None
