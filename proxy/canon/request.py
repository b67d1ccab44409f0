"""What is asked for?"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from proxy.canon.parts import Image, Part, Text, Thinking

Role = Literal["system", "developer", "user", "assistant"]

# How some hosts of a wire want a thing said that others take in any way.
Way = Literal[
    "max_tokens",  # the limit's name, as is the next one
    "max_completion_tokens",
    "strings",  # contents without parts
    "bridges",  # a turn of the assistant's between results and what the user says
    "schemas",  # JSON by a schema that takes any object
    "demands",  # a choice of one tool as a demand for any, with no other on offer
    "system",  # what a developer says as the system's
    "leads",  # one message of the system's, at the beginning
    "thoughtless",  # a chat without the thoughts of earlier answers
    "combined",  # a search beside functions with Google's word for it
    "uninstructed",  # the system's words within the user's turn
    "shapeless",  # the shape of an answer in words
    "offering",  # beside calls the tools that were called, where the client offers none any more
]


class Turn(Struct, kw_only=True):
    """`drawn`: pictures that the assistant had beside its words, by the key under which `extra` has them as they came.
    A wire that takes no picture of the assistant's leaves them out, as it does `extra`.
    """

    role: Role
    parts: list[Part]
    drawn: dict[str, list[Image]] = field(default_factory=dict)
    at: str = ""  # the turn's path in the client's body, such as `messages[3]`: errors name it
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> str | None:
        """Its text, if it is one text and nothing more; else None."""
        part = self.parts[0] if len(self.parts) == 1 and not self.extra else None
        return part.text if type(part) is Text and part.is_plain else None

    @property
    def is_order(self) -> bool:
        """Does it say nothing, and tells what holds from here on: an effort, which its own wire alone knows?"""
        return not self.parts and self.role in ("system", "developer")

    @property
    def is_mere_thought(self) -> bool:
        """Is it an answer that met its limit, or was left, before it said anything?"""
        return self.role == "assistant" and all(type(part) is Thinking for part in self.parts)


class WebSearch(Struct, kw_only=True):
    """How the provider is to search the web, as far as two wires can say it. `rest`: what only its own wire can."""

    allowed: list[str] | None = None  # domains, where alone it may look
    blocked: list[str] | None = None  # domains, where it must not
    place: dict[str, Any] | None = None  # where the user is, roughly: city, region, country, timezone
    most: int | None = None  # searches within one answer
    size: str | None = None  # how much of what is found the model reads: low, medium, high
    kept: bool = False  # it may only read what its own vendor has kept of the web
    rest: dict[str, Any] = field(default_factory=dict)


class Tool(Struct, kw_only=True):
    """A tool on offer. `kind` is "function", "custom", or the vendor's own word for a server tool, kept in `extra`.

    `search`: what a server tool asks for that is a search of the web, which several vendors have.
    """

    name: str
    kind: str = "function"
    description: str | None = None
    parameters: dict[str, Any] | None = None  # JSON Schema
    strict: bool | None = None
    search: WebSearch | None = None
    form: dict[str, Any] | None = None  # what a custom tool's text must be, as the Responses API spells it
    at: str = ""  # such as `tools[0]`
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class ToolChoice(Struct, frozen=True):
    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None  # with mode "tool"
    among: tuple[str, ...] = ()  # with "auto" and "required": the tools that may be chosen, if not all


class Format(Struct, kw_only=True):
    """The shape that the answer's text must have. `bare`: it is to be a string of the schema without its quotes."""

    kind: Literal["text", "json", "schema"]
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    bare: bool = False


class Reasoning(Struct, kw_only=True):
    effort: str | None = None  # minimal, low, medium, high, ...
    budget: int | None = None  # tokens
    off: bool = False
    adaptive: bool = False  # the model decides how much, within the effort where one is said
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
    ask_usage: bool = True  # the provider's host lets a stream be asked for its usage
    thoughts: str = "refused"  # or taken, or demanded, by the provider's host, where its wire has no place for them
    cache_points: bool = False  # the provider's host takes Claude's, where its wire has no place for them
    searches: bool = False  # the provider's host runs the web search of its wire
    ways: frozenset[Way] = frozenset()  # in which the host wants things said (lanes/heeding.py)
    longest: int | None = None  # tokens of the longest answer that the model can give, if that is known
    temperature: float | None = None
    hinted: bool = False  # the temperature is the operator's, and gives way to what the client says
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
    prompt_cache_retention: str | None = None  # how long a cached prompt is kept, in OpenAI's words
    obfuscation: bool | None = None  # the events of a stream are padded, to hide their length
    verbosity: str | None = None  # low, medium, high
    modalities: list[str] | None = None  # of the answer: text, audio, image
    betas: list[str] | None = None  # what Claude is to do that it does not do for all yet, by Anthropic's names
    service_tier: str | None = None  # in OpenAI's words (auto, default, flex, priority), where its wire has the like
    extra: dict[str, Any] = field(default_factory=dict)
    demands: dict[str, Any] = field(default_factory=dict)  # like `extra`, but the answer would be another without it
    call: str = ""  # our own id for the request: the answer's, if the provider gives it none
    names: Mapping[str, str] = field(default_factory=dict)  # what the client calls a field, where that is not our name

    def name_of(self, field: str) -> str:
        """What the client calls a field, for errors and receipts. `field`: ours (docs/decisions/0010-receipts.md)."""
        return self.names.get(field, field)
