"""What did a host of this wire answer?

Bytes in, events out, fed as they come. The mirror of render.py; whatever is no answer is an UpstreamError.

A choice speaks one block at a time: a block of another kind closes the one before it. Tool calls alone overlap, with
each other and with what follows, so they stay open until the answer ends. A call opens once its name is known.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

from msgspec import Struct

from proxy import whole
from proxy.canon import (
    Audio,
    Close,
    Delta,
    Event,
    Finish,
    Image,
    Inline,
    Opaque,
    Open,
    Part,
    Refusal,
    Remote,
    Source,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from proxy.dialects.openai_chat.citations import citations_of
from proxy.dialects.openai_chat.faults import fault
from proxy.dialects.openai_chat.parse import source_of
from proxy.dialects.openai_chat.reasoning import Thought, flat, thoughts_in
from proxy.dialects.openai_chat.seals import unsealed
from proxy.dialects.openai_chat.usage import said_usage
from proxy.dialects.openai_chat.words import MAX_CHOICES, NAME, REASONS
from proxy.errors import BadRequest, Down
from proxy.fields import (
    UNREADABLE,
    Object,
    as_list,
    as_object,
    as_text,
    decode_json,
    encode_json,
    is_number,
    nonsense,
)
from proxy.framing import FrameTooLong, Repeats, ServerSentEvents, frame_of

# The known keys of a chunk and of a tool call; the others are `extra`. `obfuscation` and `p` are padding.
_OF_CHUNK = frozenset("id object created model choices usage error obfuscation p".split())
_OF_CALL = frozenset("index id type function custom".split())


class StreamDecoder:
    def __init__(self) -> None:
        self._frames = ServerSentEvents()
        self._answer = _Answer(streamed=True)
        self._repeats = Repeats()
        self._index = 0  # of the block that repeats
        self._over = False

    def feed(self, data: bytes) -> Iterator[Event]:
        try:
            for event in self._frames.events(data):
                if (text := self._repeats.text(event)) is None:
                    yield from self._hear(event)
                elif text:
                    yield Delta(index=self._index, text=text)
        except FrameTooLong as error:
            raise nonsense(str(error)) from None

    def close(self) -> Iterator[Event]:
        yield from self._hear(self._frames.last())
        if not self._over:
            if not self._answer.ended:
                raise Down("The provider's stream broke off before its end.", kind="network_error", code="stream_cut")
            yield from self._answer.finish()

    def _hear(self, event: bytes) -> list[Event]:
        frame = frame_of(event)
        data = b"" if frame is None else frame.data.strip()
        if self._over or not data:
            return []
        if data == b"[DONE]":
            self._over = True
            self._repeats.forget()
            return self._answer.finish()
        try:
            chunk = decode_json(data)
        except UNREADABLE:
            raise nonsense("an event is no JSON") from None
        said = self._answer.hear(chunk)
        match said:
            case [Delta(text=text) as only] if only == Delta(index=only.index, text=text):
                self._index = only.index
                self._repeats.learn(event, text)
            case _:
                self._repeats.forget()
        return said


class WholeDecoder(whole.Decoder):
    def read(self, body: bytes) -> Iterator[Event]:
        try:
            said = decode_json(body)
        except UNREADABLE:
            raise nonsense("it is no JSON") from None
        answer = _Answer(streamed=False)
        yield from answer.hear(said)
        yield from answer.finish()


class _Call(Struct):
    """A tool call as it arrives. `index` is its block's, once that is open; until then `arguments` waits."""

    index: int | None = None
    id: str = ""
    name: str = ""
    kind: Literal["function", "custom"] = "function"
    arguments: str = ""
    extra: Object = {}


class _Voice(Struct):
    """One choice: the block that it is in, and the calls that it has made."""

    number: int
    kind: str = ""  # of the open block
    key: int | None = None  # of the open block, where it is thinking
    index: int = 0  # of the open block
    calls: list[_Call] = []
    known: dict[int | str, _Call] = {}  # by the wire's index, or by id where it has none
    raw: str = ""  # its finish_reason
    sequence: str | None = None


class _Answer:
    """What an answer has said so far. A message that comes whole is a delta that says everything at once."""

    def __init__(self, streamed: bool) -> None:
        self._key = "delta" if streamed else "message"
        self._streamed = streamed
        self._head: Object = {}
        self._id: str | None = None  # None until Start is out
        self._voices: dict[int, _Voice] = {}
        self._blocks = 0
        self._usage: Usage | None = None
        self._noted: object = None  # an error that came beside choices
        self._out: list[Event] = []

    def hear(self, chunk: object) -> list[Event]:
        """One more chunk. Raises UpstreamError."""
        if not isinstance(chunk, dict):
            raise nonsense("an event is no JSON object")
        choices = chunk.get("choices") or []
        if not isinstance(choices, list):
            raise nonsense("choices is no array")
        self._out = []
        error = chunk.get("error")
        if error and not choices:
            raise fault(error)
        self._noted = error or self._noted
        usage = said_usage(chunk.get("usage"), chunk.get("x_groq"))
        if self._id is None:
            self._start(chunk, ready=bool(choices or usage))
        for position, choice in enumerate(choices):
            self._choice(choice, position)
        if usage is not None and usage != self._usage:
            self._usage = usage
            self._out.append(usage)
        return self._out

    @property
    def ended(self) -> bool:
        """Has every choice its finish_reason?"""
        return bool(self._voices) and all(voice.raw for voice in self._voices.values())

    def finish(self) -> list[Event]:
        """The provider says that this was all. Raises UpstreamError where it was nothing."""
        if not self._voices:
            raise nonsense("it has no choices")
        if self._noted and not self.ended:
            raise fault(self._noted)
        self._out = []
        for voice in self._voices.values():
            for call in voice.calls:
                self._open_call(voice, call)
            self._close(voice)
            self._out += [Close(index=call.index) for call in voice.calls if call.index is not None]
        stops = (_stop_of(self._voices.get(number)) for number in range(max(self._voices) + 1))
        self._out.append(Finish(stops=tuple(stops)))
        return self._out

    def _start(self, chunk: Object, ready: bool) -> None:
        """Azure's first chunk has no id and no model yet: Start waits for a chunk that says something."""
        self._head |= {key: value for key, value in chunk.items() if value is not None and value != ""}
        if not ready:
            return
        created = self._head.get("created")
        self._id = as_text(self._head.get("id"))
        start = Start(
            wire=NAME,
            id=self._id,
            model=as_text(self._head.get("model")),
            created=int(created) if is_number(created) else None,
            extra={key: value for key, value in self._head.items() if key not in _OF_CHUNK},
        )
        self._out.append(start)

    def _choice(self, choice: object, position: int) -> None:
        if not isinstance(choice, dict):
            raise nonsense("a choice is no JSON object")
        number = choice.get("index", position)
        if not isinstance(number, int) or not 0 <= number < MAX_CHOICES:
            raise nonsense("a choice has no index")
        voice = self._voices.get(number)
        if voice is None:
            voice = self._voices[number] = _Voice(number)
        said = choice.get(self._key)
        if said is not None and not isinstance(said, dict):
            raise nonsense(f"a {self._key} is no JSON object")
        if said or choice.get("logprobs"):
            self._hear(voice, said or {}, as_object(choice.get("logprobs")))
        self._reason(voice, choice)

    def _reason(self, voice: _Voice, choice: Object) -> None:
        reason, sequence = choice.get("finish_reason"), choice.get("stop_reason")
        if reason == "error":  # OpenRouter: the stream breaks here
            raise fault(self._noted)
        voice.raw = as_text(reason) or voice.raw
        if isinstance(sequence, str):  # vLLM
            voice.sequence = sequence

    def _hear(self, voice: _Voice, said: Object, logprobs: Object) -> None:
        reasoning = _text(said, "reasoning_content") or _text(said, "reasoning")
        if reasoning or said.get("reasoning_details"):
            for thought in thoughts_in(reasoning, said.get("reasoning_details")):
                self._think(voice, thought)
        content = said.get("content")
        if isinstance(content, list):
            self._listed(voice, content)
            content = None
        elif content is not None and not isinstance(content, str):
            raise nonsense("content is no text")
        scored, cited = as_list(logprobs.get("content")), citations_of(as_list(said.get("annotations")))
        if content or cited or (scored and voice.kind in ("", "text") and not reasoning):
            index = self._in(voice, "text", Text)
            self._out.append(Delta(index=index, text=content or "", logprobs=scored, citations=cited))
        scored = as_list(logprobs.get("refusal"))
        if (refusal := _text(said, "refusal")) or scored:
            self._out.append(Delta(index=self._in(voice, "refusal", Refusal), text=refusal, logprobs=scored))
        self._media(voice, said)
        self._called(voice, said)

    def _listed(self, voice: _Voice, content: list[Any]) -> None:
        """Mistral's content, a list once a model thinks."""
        for item in content:
            match item:
                case {"type": "text", "text": str(text)}:
                    if text:
                        self._out.append(Delta(index=self._in(voice, "text", Text), text=text))
                case {"type": "thinking"}:
                    self._think(voice, Thought(None, Thinking(), flat(item.get("thinking"))))
                case dict():
                    self._aside(voice, Opaque(wire=NAME, value=item))
                case _:
                    raise nonsense("a part of content is no JSON object")

    def _think(self, voice: _Voice, thought: Thought) -> None:
        if thought.shell.redacted:
            self._aside(voice, thought.shell)
        elif thought.text or thought.signature:
            index = self._in(voice, "thinking", lambda: thought.shell, thought.key)
            self._out.append(Delta(index=index, text=thought.text, signature=thought.signature))

    def _media(self, voice: _Voice, said: Object) -> None:
        sound = as_object(said.get("audio"))
        data, transcript, name = _text(sound, "data"), _text(sound, "transcript"), _text(sound, "id")
        if data or transcript or name:
            until = sound.get("expires_at")
            expires = int(until) if is_number(until) else None
            index = self._in(voice, "audio", lambda: Audio(source=Inline(""), id=name, expires_at=expires))
            if data or transcript:
                self._out.append(Delta(index=index, text=data, transcript=transcript))
        for item in as_list(said.get("images")):
            if isinstance(item, dict) and isinstance(url := as_object(item.get("image_url")).get("url"), str):
                self._aside(voice, Image(source=_drawn(url)))

    # blocks

    def _in(self, voice: _Voice, kind: str, shell: Callable[[], Part], key: int | None = None) -> int:
        """The index of the choice's open block, once that is one of this kind (and key)."""
        same = voice.kind == kind and (key is None or voice.key is None or key == voice.key)
        if not same:
            self._close(voice)
            voice.kind, voice.key = kind, key
            voice.index = self._open(voice, shell())
        elif key is not None:
            voice.key = key
        return voice.index

    def _open(self, voice: _Voice, part: Part) -> int:
        index = self._blocks
        self._blocks += 1
        self._out.append(Open(index=index, part=part, choice=voice.number))
        return index

    def _close(self, voice: _Voice) -> None:
        if voice.kind:
            self._out.append(Close(index=voice.index))
            voice.kind = ""

    def _aside(self, voice: _Voice, part: Part) -> None:
        """A block that is whole at once."""
        self._close(voice)
        self._out.append(Close(index=self._open(voice, part)))

    # tool calls

    def _called(self, voice: _Voice, said: Object) -> None:
        calls = said.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise nonsense("tool_calls is no array")
        for item in calls or ():
            if not isinstance(item, dict):
                raise nonsense("a tool call is no JSON object")
            self._fragment(voice, item)
        legacy = as_object(said.get("function_call"))
        if _text(legacy, "name") or _arguments(legacy.get("arguments")):
            rest = {key: value for key, value in legacy.items() if key not in ("name", "arguments")}
            self._fragment(voice, {"index": -1, "function": legacy, "function_call": rest})

    def _fragment(self, voice: _Voice, item: Object) -> None:
        function, custom = as_object(item.get("function")), as_object(item.get("custom"))
        inner = custom if item.get("type") == "custom" else function or custom
        name, named = _text(inner, "name"), _text(item, "id")
        call = self._which(voice, item.get("index"), named, name)
        if call.index is None:
            call.id, call.name = call.id or named, call.name or name
            call.kind = "function" if inner is function else "custom"
            call.extra = call.extra | {key: item[key] for key in item if key not in _OF_CALL and item[key] is not None}
        text = _arguments(inner.get("arguments") if inner is function else inner.get("input"))
        if call.index is None:
            call.arguments += text
            if call.name:
                self._open_call(voice, call)
        elif (seal := unsealed(item)[0]) or text:
            self._out.append(Delta(index=call.index, text=text, signature=seal))

    def _which(self, voice: _Voice, index: object, named: str, name: str) -> _Call:
        """The call that a fragment belongs to.

        Hosts leave out the index (Mistral), or give every call the same one: then a new id with a name is a new call.
        In a message each entry is one.
        """
        key = index if isinstance(index, int) else named
        call = voice.known.get(key) if self._streamed else None
        if call is not None and name and named and call.id and named != call.id:
            call = None
        if call is None and key == "" and not name and voice.calls:
            call = voice.calls[-1]
        if call is None:
            call = _Call()
            voice.calls.append(call)
            if key != "":
                voice.known[key] = call
        return call

    def _open_call(self, voice: _Voice, call: _Call) -> None:
        if call.index is not None:
            return
        self._close(voice)
        made = f"call_{re.sub('[^A-Za-z0-9]', '', self._id or '')[:40]}_{self._blocks}"
        seal, extra = unsealed(call.extra)
        shell = ToolCall(id=call.id or made, name=call.name, kind=call.kind, extra=extra)
        call.index = self._open(voice, shell)
        if call.arguments or seal:
            self._out.append(Delta(index=call.index, text=call.arguments, signature=seal))


def _stop_of(voice: _Voice | None) -> Stop:
    """Why a choice ended. A host that gives no reason has ended its turn all the same, or asks for its tools."""
    if voice is None:
        return Stop(reason="other")
    reason = REASONS.get(voice.raw or "stop", "other")
    if reason == "stop" and voice.calls:  # OpenAI says `stop` where a tool was forced, and others always
        reason = "tool_use"
    elif reason == "stop" and voice.sequence is not None:
        reason = "stop_sequence"
    return Stop(reason=reason, raw=voice.raw, sequence=voice.sequence)


def _text(said: Object, key: str) -> str:
    value = said.get(key)
    if value is not None and not isinstance(value, str):
        raise nonsense(f"{key} is no text")
    return value or ""


def _arguments(value: object) -> str:
    """JSON text; a few hosts send the object itself."""
    if value is None or isinstance(value, str):
        return value or ""
    return encode_json(value).decode()


def _drawn(url: str) -> Source:
    try:
        return source_of(url, "images")
    except BadRequest:
        return Remote(url)
