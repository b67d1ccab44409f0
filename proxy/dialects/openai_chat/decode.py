"""What did a host of this wire answer?

Bytes in, events out, as they come. The mirror of render.py; anything that is not an answer raises UpstreamError.
"""

from collections.abc import Iterator
from typing import Any

from proxy.canon import (
    Audio,
    Citation,
    Close,
    Delta,
    Event,
    Finish,
    Image,
    Inline,
    Opaque,
    Open,
    Refusal,
    Start,
    Stop,
    Text,
    Thinking,
    Usage,
)
from proxy.dialects.openai_chat.citations import citations_of, sources_of
from proxy.dialects.openai_chat.faults import error_in, error_line, fault
from proxy.dialects.openai_chat.parse_turns import drawn
from proxy.dialects.openai_chat.reasoning import Thought, flat, thoughts_in
from proxy.dialects.openai_chat.usage import said_usage, told_usage
from proxy.dialects.openai_chat.voices import Voice, Voices
from proxy.dialects.openai_chat.words import MAX_CHOICES, NAME, REASONS
from proxy.framing import FrameTooLong, ServerSentEvents, frame_of
from proxy.grammar import whole
from proxy.grammar.endings import reason_of
from proxy.grammar.fields import (
    UNREADABLE,
    Object,
    as_list,
    as_object,
    as_text,
    cut_short,
    decode_json,
    is_number,
    json_of,
    nonsense,
    text_in,
)
from proxy.grammar.halves import Halves
from proxy.grammar.moderation import readable
from proxy.grammar.repeats import Repeats

# The known keys of a chunk; other keys go to `extra`. `obfuscation` and `p` are padding.
_OF_CHUNK = frozenset("id object created model choices usage moderation error obfuscation p".split())
_TEXT_KEYS = frozenset("role content refusal annotations".split())  # a message with no other keys is text alone


class StreamDecoder:
    def __init__(self) -> None:
        self._frames = ServerSentEvents()
        self._answer = _Answer(streamed=True)
        self._repeats = Repeats()
        self._halves = Halves()
        self._index = 0  # of the block whose deltas `_repeats` reads
        self._over = False

    def feed(self, data: bytes) -> Iterator[Event]:
        try:
            for said in self._frames.sift(data, self._repeats):
                if isinstance(said, str):
                    yield Delta(index=self._index, text=said)
                else:
                    yield from self._hear(said)
        except FrameTooLong as error:
            raise nonsense(str(error)) from None

    def close(self) -> Iterator[Event]:
        yield from self._hear(self._frames.last())
        if not self._over:
            if not self._answer.ended:
                raise cut_short()
            yield from self._answer.finish()

    def _hear(self, event: bytes) -> list[Event]:
        frame = frame_of(event)
        data = b"" if frame is None else frame.data.strip()
        if self._over or not data:
            if not self._over and (error := error_line(event)):
                raise fault(error)
            return []
        if data == b"[DONE]":
            self._over = True
            self._repeats.forget()
            return self._answer.finish()
        try:
            chunk = decode_json(data)
        except UNREADABLE:
            chunk = self._halves.read_mended(data, decode_json, "an event is not valid JSON")
        said = self._answer.hear(chunk)
        last = said[-1] if said else None
        if isinstance(last, Delta) and last.is_text and (len(said) == 1 or (len(said) == 2 and type(said[0]) is Open)):
            self._index = last.index
            self._repeats.learn(event, last.text)
        else:
            self._repeats.forget()
        return said


class WholeDecoder(whole.Decoder):
    def read(self, body: bytes) -> Iterator[Event]:
        answer = _Answer(streamed=False)
        yield from answer.hear(json_of(body))
        yield from answer.finish()


class _Answer(Voices):
    """What an answer has said so far. A whole message is read like a delta that says everything at once."""

    def __init__(self, streamed: bool) -> None:
        super().__init__(streamed)
        self._key = "delta" if streamed else "message"
        self._head: Object = {}
        self._voices: dict[int, Voice] = {}
        self._usage: Usage | None = None
        self._moderation: Object | None = None
        self._noted: object = None  # an error that came together with choices
        self._sources: list[Citation] = []  # for the texts that name none themselves
        self._cited = False

    def hear(self, chunk: object) -> list[Event]:
        """One more chunk. Raises UpstreamError."""
        if not isinstance(chunk, dict):
            raise nonsense("an event is not a JSON object")
        choices = chunk.get("choices") or []
        if not isinstance(choices, list):
            raise nonsense("choices is not an array")
        self._out = []
        error = error_in(chunk)
        if error and not choices:
            raise fault(error)
        self._noted = error or self._noted
        if "citations" in chunk or "search_results" in chunk:
            self._sources = sources_of(chunk) or self._sources
        if "moderation" in chunk:
            self._moderation = readable(as_object(chunk["moderation"])) or self._moderation
        usage, told = None, told_usage(chunk.get("usage"), choices)
        if told or "x_groq" in chunk:
            usage = said_usage(told, chunk.get("x_groq"), chunk.get("service_tier"), chunk.get("model"))
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
        """Does every choice have its finish_reason?"""
        return bool(self._voices) and all(voice.raw for voice in self._voices.values())

    def finish(self) -> list[Event]:
        """The end of the answer. Raises UpstreamError if there was none."""
        if not self._voices:
            raise nonsense("it has no choices")
        if self._noted and not self.ended:
            raise fault(self._noted)
        self._out = []
        for voice in self._voices.values():
            for call in voice.calls:
                self._end_call(voice, call, is_whole=_stop_of(voice).reason == "tool_use")
            if self._sources and not self._cited and voice.kind == "text":
                self._out.append(Delta(index=voice.index, citations=self._sources))
            self._close(voice)
            self._out += [Close(index=call.index) for call in voice.calls if call.index is not None]
        stops = (_stop_of(self._voices.get(number)) for number in range(max(self._voices) + 1))
        self._out.append(Finish(stops=tuple(stops), moderation=self._moderation))
        return self._out

    def _start(self, chunk: Object, ready: bool) -> None:
        """Start waits for a chunk that says something, as Azure's first one has no id and no model yet."""
        if self._head or not ready:
            self._head |= {key: value for key, value in chunk.items() if _says(value)}
        if not ready:
            return
        head = self._head or chunk
        created = head.get("created")
        self._id = as_text(head.get("id"))
        start = Start(
            wire=NAME,
            id=self._id,
            model=as_text(head.get("model")),
            created=int(created) if is_number(created) else None,
            extra={key: value for key, value in head.items() if key not in _OF_CHUNK and _says(value)},
        )
        self._out.append(start)

    def _choice(self, choice: object, position: int) -> None:
        if not isinstance(choice, dict):
            raise nonsense("a choice is not a JSON object")
        number = choice.get("index", position)
        if not isinstance(number, int) or not 0 <= number < MAX_CHOICES:
            raise nonsense("a choice has no valid index")
        voice = self._voices.get(number)
        if voice is None:
            voice = self._voices[number] = Voice(number)
        said = choice.get(self._key)
        if said is not None and not isinstance(said, dict):
            raise nonsense(f"a {self._key} is not a JSON object")
        if said or choice.get("logprobs"):
            self._hear(voice, said or {}, as_object(choice.get("logprobs")))
        self._reason(voice, choice)

    def _reason(self, voice: Voice, choice: Object) -> None:
        reason, sequence = choice.get("finish_reason"), choice.get("stop_reason")
        if reason == "error":  # how OpenRouter ends an answer that broke
            raise fault(choice.get("error") or self._noted)
        voice.raw = as_text(reason) or voice.raw
        if isinstance(sequence, str):  # vLLM
            voice.sequence = sequence

    def _hear(self, voice: Voice, said: Object, logprobs: Object) -> None:
        if said.keys() <= _TEXT_KEYS:  # nearly always
            self._speak(voice, said, logprobs)
            return
        reasoning = text_in(said, "reasoning_content") or text_in(said, "reasoning")
        if reasoning or said.get("reasoning_details"):
            for thought in thoughts_in(reasoning, said.get("reasoning_details")):
                self._think(voice, thought)
        self._speak(voice, said, logprobs, thinks=bool(reasoning))
        self._media(voice, said)
        self._called(voice, said)

    def _speak(self, voice: Voice, said: Object, logprobs: Object, thinks: bool = False) -> None:
        content = said.get("content")
        if isinstance(content, list):
            self._listed(voice, content)
            content = None
        elif content is not None and not isinstance(content, str):
            raise nonsense("content is neither a string nor an array")
        scored = as_list(logprobs.get("content")) if logprobs else []
        cited = citations_of(as_list(notes)) if (notes := said.get("annotations")) else []
        if content or cited or (scored and voice.kind in ("", "text") and not thinks):
            index = self._in(voice, "text", Text)
            self._cited = self._cited or bool(cited)
            self._out.append(Delta(index=index, text=content or "", logprobs=scored, citations=cited))
        scored = as_list(logprobs.get("refusal")) if logprobs else []
        if (refusal := text_in(said, "refusal")) or scored:
            self._out.append(Delta(index=self._in(voice, "refusal", Refusal), text=refusal, logprobs=scored))

    def _listed(self, voice: Voice, content: list[Any]) -> None:
        """Mistral's content, which is a list if the model thinks."""
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
                    raise nonsense("a part of content is not a JSON object")

    def _think(self, voice: Voice, thought: Thought) -> None:
        if thought.shell.redacted:
            self._aside(voice, thought.shell)
        elif thought.text or thought.signature:
            index = self._in(voice, "thinking", lambda: thought.shell, thought.key)
            self._out.append(Delta(index=index, text=thought.text, signature=thought.signature))

    def _media(self, voice: Voice, said: Object) -> None:
        sound = as_object(said.get("audio"))
        data, transcript, name = text_in(sound, "data"), text_in(sound, "transcript"), text_in(sound, "id")
        if data or transcript or name:
            until = sound.get("expires_at")
            expires = int(until) if is_number(until) else None
            index = self._in(voice, "audio", lambda: Audio(source=Inline(""), id=name, expires_at=expires))
            if data or transcript:
                self._out.append(Delta(index=index, text=data, transcript=transcript))
        for item in as_list(said.get("images")):
            if isinstance(item, dict) and isinstance(url := as_object(item.get("image_url")).get("url"), str):
                self._aside(voice, Image(source=drawn(url)))


def _says(value: object) -> bool:
    return value is not None and value != ""


def _stop_of(voice: Voice | None) -> Stop:
    """Why a choice ended. Where a host gives no reason, the turn is over, or waits for the tools that were called."""
    if voice is None:
        return Stop(reason="other")
    reason = reason_of(voice.raw or "stop", REASONS)
    if reason == "stop" and voice.calls:  # OpenAI says `stop` after a forced tool call, some hosts after any
        reason = "tool_use"
    elif reason == "tool_use" and not voice.calls:  # vLLM of a call that it could not read: nobody waits for a result
        reason = "stop"
    elif reason == "stop" and voice.sequence is not None:
        reason = "stop_sequence"
    return Stop(reason=reason, raw=voice.raw, sequence=voice.sequence)
