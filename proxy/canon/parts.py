"""What are turns and answers made of?"""

from typing import Any, Literal

from msgspec import Struct, field

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
    """A file that was uploaded to the provider; the id means nothing to any other one."""

    id: str
    media_type: str = ""


Source = Inline | Remote | Stored


# --- parts -----------------------------------------------------------------------------------------------------------

# `extra` on a part has what only its own wire can say of it (`cache_control` is in `cache`, since two wires have it).


class _Placed(Struct, kw_only=True):
    """`at` is the part's path in the client's body, such as `messages[3].content[0]`: errors name it.

    Two parts are equal wherever they stand.
    """

    at: str = ""

    def __eq__(self, other: object) -> bool:
        said = (name for name in self.__struct_fields__ if name != "at")
        return type(other) is type(self) and all(getattr(self, name) == getattr(other, name) for name in said)


Unit = Literal["char", "page", "block", "result"]


class Place(Struct, frozen=True):
    """Where in the request's documents a passage stands: from `start` to before `end`, as Claude counts.

    `result`: in a document that a search has found, of which it counts the pieces, as `block` does of others.
    """

    unit: Unit
    document: int  # which of them, from 0; those that a search has found are counted by themselves
    start: int
    end: int


class Citation(Struct, kw_only=True):
    """Where a passage comes from: `value` is how its own wire says it, the other fields are what all wires can say."""

    wire: str
    value: dict[str, Any]
    url: str = ""
    title: str = ""
    origin: str = ""  # of what a search has found, as of Document
    quote: str = ""  # the passage of the source
    place: Place | None = None  # and where it stands there
    start: int | None = None  # in characters of the text that it stands on
    end: int | None = None


class Text(_Placed, kw_only=True, tag="text"):
    """`signature`: a seal that the provider put on its own answer and wants to get back (Gemini)."""

    text: str = ""
    signature: str = ""
    citations: list[Citation] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)  # one OpenAI-shaped entry per token
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Is it text and nothing more? Nearly every one is."""
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
    """`pieces` are its text again, cut so that an answer cites one or some of them, each as a whole."""

    source: Source
    pieces: list[str] | None = None
    origin: str | None = None  # where a search has found it: a URL, or the client's own name for the place
    name: str | None = None  # a file name or a title
    context: str | None = None  # what the model is to know about it, and not to quote
    cited: bool | None = None  # the answer is to tell which passages it rests on
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

    @property
    def is_sealed(self) -> bool:
        """Will its provider recognise it?"""
        return bool(self.signature or self.redacted)


class ToolCall(_Placed, kw_only=True, tag="tool_call"):
    """`arguments` is JSON text exactly as the model wrote it, or free text where `kind` is "custom".

    `id` is empty where the wire has none: a wire that needs one makes it up, the same each time.
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
    """A block that only its own wire (`wire`, a dialect's name) understands: server tools and the like, kept whole.

    `is_mark`: it says nothing itself, so that the conversation can go on without it at a provider of another wire.
    `is_search`: a search of the web; the answer has what was found. `told`: what it says in words, for another wire;
    empty where that can go on without it. `parts`: or in parts that other wires know.
    """

    wire: str
    value: dict[str, Any]
    is_mark: bool = False
    is_search: bool = False
    told: str | None = None
    parts: list["Part"] = field(default_factory=list)
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
