"""What is an answer, said bit by bit?"""

from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.canon.parts import Citation, Part

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
    """More of block `index`. `text` is text, thinking, a refusal, arguments or base64 sound, depending on its part."""

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

    A later Usage replaces an earlier one. `extra` has counts that only the wire of origin has a name for. The fields
    after the buckets are for the bill, and a wire need not be able to say them.
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
    model: str = ""  # that answered in place of the one that was asked, where the counts say so
    beside: "tuple[Iteration, ...]" = ()  # what else the provider ran, which is not in the buckets
    is_odd: bool = False  # a count made no sense (negative, far too large, no number, null), and counts as nothing
    is_guess: bool = False  # some of it is our estimate, which nobody has counted
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def total_input(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h + self.audio_input

    @property
    def total_output(self) -> int:
        return self.output + self.reasoning + self.audio_output

    @property
    def whole(self) -> "Usage":
        """With what is `beside` it added to its buckets."""
        if not self.beside:
            return self
        took = [self, *(ran.usage for ran in self.beside)]
        return replace(self, beside=(), **{name: sum(getattr(each, name) for each in took) for name in BUCKETS})


NO_USAGE = Usage()


class Iteration(Struct, frozen=True):
    """What another run of a model used within one request, besides the answer: to sum it up, or to give advice."""

    model: str  # "": the one that answers
    usage: Usage


class Stop(Struct, frozen=True, kw_only=True):
    """Why one choice ended. `raw` is the wire's own word for it; `sequence` the stop string that was met; `why` what
    the provider says of it to people, which is no part of the answer.

    `extra` has what only the wire of origin says at the end of the choice.
    """

    reason: Reason = "stop"
    raw: str = ""
    sequence: str | None = None
    why: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


class Finish(Struct, frozen=True, kw_only=True):
    """`moderation`: what OpenAI has found in the request and in the answer, where it was asked to look, in the words of
    Chat Completions.
    """

    stops: tuple[Stop, ...] = (Stop(),)  # by choice
    moderation: dict[str, Any] | None = None


Event = Start | Open | Delta | Close | Usage | Finish


class Choice(Struct, kw_only=True):
    parts: list[Part]
    stop: Stop


class Completion(Struct, kw_only=True):
    """A whole answer: what `fold` makes of a sentence."""

    start: Start
    choices: list[Choice]
    usage: Usage | None = None
    moderation: dict[str, Any] | None = None  # as of Finish
