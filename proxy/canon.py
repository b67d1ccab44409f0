"""What is a chat request, and what is an answer, whatever wire it came on?

The canonical form is nobody's wire format. A field enters it when two wires can carry it; until then it rides in
`extra`, under the name that its own wire gives it. A dialect turns bytes into these values and back; nothing here
knows how any vendor spells them.

An answer is a sentence of events:

    Start (Open Delta* Close)* Usage* Finish

Blocks may interleave, and a Usage may come at any time after Start: the last one counts. A whole answer is the same
sentence said at once: `fold` sums it, and there is no second path. With several choices (`n` > 1) every block says
which choice it belongs to, and the one Finish carries a Stop for each.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, assert_never

from msgspec import Struct, field
from msgspec.structs import replace

Role = Literal["system", "developer", "user", "assistant"]

Reason = Literal[
    "stop",  # the model ended its turn
    "stop_sequence",  # one of the request's stop strings was met
    "length",  # max_tokens was reached
    "context",  # the context window is full
    "tool_use",  # the model waits for tool results
    "content_filter",  # the provider withheld the answer
    "refusal",  # the model declined
    "pause",  # a long server-side turn was suspended; send it back to go on
    "malformed_tool_call",  # the provider says that the model's call could not be read
    "other",  # a word we do not know; Stop.raw has it
]


# --- where the bytes of an image, a sound or a document are ----------------------------------------------------------


class Inline(Struct, frozen=True, tag="inline"):
    """Bytes carried in the request itself: base64 text, as every wire but multipart has them."""

    data: str
    media_type: str = ""


class Remote(Struct, frozen=True, tag="remote"):
    """A URL that the provider is asked to fetch."""

    url: str
    media_type: str = ""


class Stored(Struct, frozen=True, tag="stored"):
    """A file that was uploaded to the provider before; the id means nothing anywhere else."""

    id: str


Source = Inline | Remote | Stored


# --- parts: what a turn, or an answer, is made of --------------------------------------------------------------------
# `extra` on a part holds what its own wire alone can say of it (`cache_control` goes in `cache`, since two can).


class _Placed(Struct, kw_only=True):
    """`at` is the part's path in the client's body, such as `messages[3].content[0]`: errors name it.

    Two parts are equal wherever they stand.
    """

    at: str = ""

    def __eq__(self, other: object) -> bool:
        said = (name for name in self.__struct_fields__ if name != "at")
        return type(other) is type(self) and all(getattr(self, name) == getattr(other, name) for name in said)


class Citation(Struct, kw_only=True):
    """Where a passage comes from. What every wire has a word for, and the whole as its own wire (`wire`) spells it."""

    wire: str
    value: dict[str, Any]
    url: str = ""
    title: str = ""
    quote: str = ""  # the passage of the source
    start: int | None = None  # in characters of the text that it stands on
    end: int | None = None


class Text(_Placed, kw_only=True, tag="text"):
    """`signature`: a seal that the provider put on its own answer and wants to see again (Gemini)."""

    text: str = ""
    signature: str = ""
    citations: list[Citation] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)  # one OpenAI-shaped entry per token
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Is it a text and nothing more? Nearly every one is."""
        return self.cache is None and not (self.signature or self.citations or self.logprobs or self.extra)


class Image(_Placed, kw_only=True, tag="image"):
    source: Source
    detail: str | None = None
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Audio(_Placed, kw_only=True, tag="audio"):
    """A sound. In an answer `source` is Inline; a turn sent back may hold only the `id` of an earlier answer's."""

    source: Source | None = None
    id: str = ""
    transcript: str = ""
    expires_at: int | None = None  # seconds since 1970
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Video(_Placed, kw_only=True, tag="video"):
    source: Source
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Document(_Placed, kw_only=True, tag="document"):
    source: Source
    name: str | None = None  # a file name or a title
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Thinking(_Placed, kw_only=True, tag="thinking"):
    """Reasoning shown before the answer. `redacted` is the sealed form: then `text` is empty.

    `signature` is the provider's seal, to be sent back unchanged and to no other provider. `id` is the provider's own
    name for the block, where it has one (Responses).
    """

    id: str = ""
    text: str = ""
    signature: str = ""
    redacted: str = ""
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class ToolCall(_Placed, kw_only=True, tag="tool_call"):
    """`arguments` is JSON text exactly as the model wrote it, or free text where `kind` is "custom".

    `id` is empty where the wire has none: the next wire makes one that is deterministic.
    """

    id: str
    name: str
    arguments: str = ""
    signature: str = ""  # as of Text
    kind: Literal["function", "custom"] = "function"
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Refusal(_Placed, kw_only=True, tag="refusal"):
    text: str = ""
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Opaque(_Placed, kw_only=True, tag="opaque"):
    """A block that only its own wire (`wire`, a dialect's name) understands: server tools and the like, kept whole."""

    wire: str
    value: dict[str, Any]
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class ToolResult(_Placed, kw_only=True, tag="tool_result"):
    """What a tool gave back. It stands in a user turn, whatever role its wire gives it."""

    id: str
    parts: list["Part"] = field(default_factory=list)
    is_error: bool | None = None
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


Part = Text | Image | Audio | Video | Document | Thinking | ToolCall | ToolResult | Refusal | Opaque


# --- the request -----------------------------------------------------------------------------------------------------


class Turn(Struct, kw_only=True):
    role: Role
    parts: list[Part]
    at: str = ""  # the turn's path in the client's body, such as `messages[3]`: errors name it
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> str | None:
        """Its text, where it says one and nothing more; None elsewhere."""
        part = self.parts[0] if len(self.parts) == 1 and not self.extra else None
        return part.text if type(part) is Text and part.is_plain else None


class Tool(Struct, kw_only=True):
    """A tool on offer. `kind` is "function", "custom", or the vendor's own word for a server tool, kept in `extra`."""

    name: str
    kind: str = "function"
    description: str | None = None
    parameters: dict[str, Any] | None = None  # JSON Schema
    strict: bool | None = None
    at: str = ""  # such as `tools[0]`
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class ToolChoice(Struct, frozen=True):
    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None  # with mode "tool"


class Format(Struct, kw_only=True):
    """The shape that the answer's text must have."""

    kind: Literal["text", "json", "schema"]
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Reasoning(Struct, kw_only=True):
    effort: str | None = None  # minimal, low, medium, high, ...
    budget: int | None = None  # tokens
    off: bool = False
    summary: str | None = None  # show it in the answer, and how: auto, concise, detailed


class Request(Struct, kw_only=True):
    """One chat request. None means that the client was silent; `extra` holds top-level fields of its own wire."""

    wire: str  # the dialect that it was parsed from: only there does `extra` mean anything
    model: str
    turns: list[Turn]
    stream: bool = False
    as_array: bool = False  # the stream is to be one JSON array (Gemini without `alt=sse`)
    include_usage: bool = False  # the client asked to see usage in its stream
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    format: Format | None = None
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    limit_field: str = ""  # the client's own name for max_tokens, where its wire has two
    longest: int | None = None  # answer that the model gives, in tokens, where that is known
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: list[str] | None = None
    n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None  # the client's own labels, which the provider keeps
    store: bool | None = None
    prompt_cache_key: str | None = None
    verbosity: str | None = None  # low, medium, high
    modalities: list[str] | None = None  # of the answer: text, audio, image
    service_tier: str | None = None  # in OpenAI's words (auto, default, flex, priority), where its wire has the like
    extra: dict[str, Any] = field(default_factory=dict)
    demands: dict[str, Any] = field(default_factory=dict)  # like `extra`, but the answer would be another without it
    call: str = ""  # our own name for the request: the answer goes by it where its provider gives it none
    names: Mapping[str, str] = field(default_factory=dict)  # what the client calls a field, where that is not our name

    def name_of(self, field: str) -> str:
        """What the client calls a field, for errors and receipts. `field`: ours (docs/decisions/0010-receipts.md)."""
        return self.names.get(field, field)


# --- the answer ------------------------------------------------------------------------------------------------------


class Start(Struct, frozen=True, kw_only=True):
    wire: str = ""  # the dialect that the answer is in: only there does any `extra` of it mean anything
    id: str = ""
    model: str = ""
    created: int | None = None  # seconds since 1970
    extra: dict[str, Any] = field(default_factory=dict)


class Open(Struct, frozen=True, kw_only=True):
    """A block begins. `part` is its shell: text and arguments empty, what never streams (id, name) already there."""

    index: int  # unique in the sentence
    part: Part
    choice: int = 0


class Delta(Struct, frozen=True, kw_only=True):
    """More of block `index`. `text` is text, thinking, refusal, arguments or base64 sound: whatever the block is of."""

    index: int
    text: str = ""
    signature: str = ""
    transcript: str = ""
    logprobs: list[Any] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)

    @property
    def is_text(self) -> bool:
        """Is it text and nothing more?"""
        return not (self.signature or self.transcript or self.logprobs or self.citations)


class Close(Struct, frozen=True, kw_only=True):
    index: int


BUCKETS = ("input", "cache_read", "cache_write", "cache_write_1h", "audio_input", "output", "reasoning", "audio_output")


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens in disjoint buckets (BUCKETS): their sum is what was read and written, and no token is in two.

    A later Usage replaces an earlier one. `extra` holds counts that only the wire of origin has a name for. What is
    behind the buckets is for the bill, and a wire need not be able to say it.
    """

    input: int = 0  # fresh text and images
    cache_read: int = 0
    cache_write: int = 0  # five minutes, or the vendor's only kind
    cache_write_1h: int = 0
    audio_input: int = 0
    output: int = 0  # text and tool arguments
    reasoning: int = 0
    audio_output: int = 0
    searches: int = 0  # by a tool of the provider's own, which has a fee for each
    tier: str = ""  # that served the request, in the provider's words
    is_odd: bool = False  # a count cannot be (below zero, beyond all bounds, no number, null): it counts as nothing
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def total_input(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h + self.audio_input

    @property
    def total_output(self) -> int:
        return self.output + self.reasoning + self.audio_output


NO_USAGE = Usage()


class Stop(Struct, frozen=True, kw_only=True):
    """Why one choice ended. `raw` is the wire's own word for it; `sequence` the stop string that was met.

    `extra` holds what only the wire of origin says of the choice at its end.
    """

    reason: Reason = "stop"
    raw: str = ""
    sequence: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Finish(Struct, frozen=True, kw_only=True):
    stops: tuple[Stop, ...] = (Stop(),)  # by choice


Event = Start | Open | Delta | Close | Usage | Finish


class Choice(Struct, kw_only=True):
    parts: list[Part]
    stop: Stop


class Completion(Struct, kw_only=True):
    """A whole answer: what `fold` makes of a sentence."""

    start: Start
    choices: list[Choice]
    usage: Usage | None = None


class Ungrammatical(ValueError):
    """The events are no sentence. A decoder never lets this out: it raises UpstreamError before."""


def fold(events: Iterable[Event]) -> Completion:
    """Sum a sentence into the whole answer that it spells. That it is one, `grammatical` tells."""
    start: Start | None = None
    usage: Usage | None = None
    blocks: dict[int, tuple[int, Part, list[Delta]]] = {}
    stops: tuple[Stop, ...] | None = None
    for event in events:  # a `match` would ask each event up to six questions that are dear of a Struct
        if type(event) is Delta:
            blocks[event.index][2].append(event)
        elif type(event) is Open:
            blocks[event.index] = (event.choice, event.part, [])
        elif type(event) is Start:
            start = event
        elif type(event) is Usage:
            usage = event
        elif type(event) is Finish:
            stops = event.stops
    if start is None or stops is None:
        raise Ungrammatical("the sentence has no beginning, or no end")
    choices = [Choice(parts=[], stop=stop) for stop in stops]
    for choice, part, deltas in blocks.values():
        choices[choice].parts.append(_sum(part, deltas))
    return Completion(start=start, choices=choices, usage=usage)


def unfold(completion: Completion) -> Iterator[Event]:
    """Say a whole answer as a sentence: each part one block, each block's text one delta."""
    yield completion.start
    index = 0
    for number, choice in enumerate(completion.choices):
        for part in choice.parts:
            shell, delta = _split(part, index)
            yield Open(index=index, part=shell, choice=number)
            if delta is not None:
                yield delta
            yield Close(index=index)
            index += 1
    if completion.usage is not None:
        yield completion.usage
    yield Finish(stops=tuple(choice.stop for choice in completion.choices))


def grammatical(events: Iterable[Event]) -> Iterator[Event]:
    """Pass the events on, and raise Ungrammatical at the first that breaks the sentence, or at a missing end."""
    started = finished = False
    seen: set[int] = set()
    opened: set[int] = set()
    choices = 0
    for event in events:
        if finished or started == isinstance(event, Start):
            raise Ungrammatical(f"{type(event).__name__} is out of place")
        match event:
            case Start():
                started = True
            case Open(index=index):
                if index in seen or event.choice < 0:
                    raise Ungrammatical(f"block {index} opens twice, or for no choice")
                seen.add(index)
                opened.add(index)
                choices = max(choices, event.choice + 1)
            case Delta(index=index) | Close(index=index):
                if index not in opened:
                    raise Ungrammatical(f"{type(event).__name__} of block {index}, which is not open")
                if isinstance(event, Close):
                    opened.remove(index)
            case Usage():
                pass
            case Finish():
                if opened or len(event.stops) < choices:
                    raise Ungrammatical("Finish before every block is closed and every choice has its stop")
                finished = True
            case _:
                assert_never(event)
        yield event
    if not finished:
        raise Ungrammatical("the sentence has no Finish")


def _sum(part: Part, deltas: list[Delta]) -> Part:
    """The part that a shell and its deltas spell."""
    if not deltas:
        return part
    text = "".join([delta.text for delta in deltas])
    if type(part) is Text and all(delta.is_text for delta in deltas):
        return replace(part, text=part.text + text)  # as nearly always
    signature = "".join([delta.signature for delta in deltas])
    match part:
        case Text():
            return replace(
                part,
                text=part.text + text,
                signature=part.signature + signature,
                citations=part.citations + [one for delta in deltas for one in delta.citations],
                logprobs=part.logprobs + [entry for delta in deltas for entry in delta.logprobs],
            )
        case Thinking():
            return replace(part, text=part.text + text, signature=part.signature + signature)
        case Refusal():
            logprobs = [entry for delta in deltas for entry in delta.logprobs]
            extra = {**part.extra, "logprobs": logprobs} if logprobs else part.extra
            return replace(part, text=part.text + text, extra=extra)
        case ToolCall():
            return replace(part, arguments=part.arguments + text, signature=part.signature + signature)
        case Audio():
            had = part.source if isinstance(part.source, Inline) else Inline(data="")
            transcript = part.transcript + "".join(delta.transcript for delta in deltas)
            return replace(part, source=replace(had, data=had.data + text), transcript=transcript)
        case Image() | Video() | Document() | ToolResult() | Opaque():
            raise Ungrammatical(f"{type(part).__name__} does not stream")
        case _:
            assert_never(part)


def _split(part: Part, index: int) -> tuple[Part, Delta | None]:
    """A part's shell and the one delta that fills it; None where the shell is already the whole."""
    match part:
        case Text():
            delta = Delta(
                index=index,
                text=part.text,
                signature=part.signature,
                logprobs=part.logprobs,
                citations=part.citations,
            )
            shell: Part = replace(part, text="", signature="", logprobs=[], citations=[])
        case Thinking():
            delta = Delta(index=index, text=part.text, signature=part.signature)
            shell = replace(part, text="", signature="")
        case Refusal():
            delta, shell = Delta(index=index, text=part.text), replace(part, text="")
        case ToolCall():
            delta = Delta(index=index, text=part.arguments, signature=part.signature)
            shell = replace(part, arguments="", signature="")
        case Audio(source=Inline()) if isinstance(part.source, Inline):
            delta = Delta(index=index, text=part.source.data, transcript=part.transcript)
            shell = replace(part, source=replace(part.source, data=""), transcript="")
        case Audio() | Image() | Video() | Document() | ToolResult() | Opaque():
            return part, None
        case _:
            assert_never(part)
    return shell, None if delta == Delta(index=index) else delta
