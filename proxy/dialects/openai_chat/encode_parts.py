"""How is one part of a turn written in a message?

What this wire cannot carry is refused with its path.
"""

from collections.abc import Iterable
from typing import assert_never

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Remote,
    Request,
    Source,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)
from proxy.dialects.openai_chat.words import API, NAME, SPELT
from proxy.grammar.caching import Automatic, is_openais, lifetime
from proxy.grammar.claude.budgets import is_claude
from proxy.grammar.dataurls import url_of
from proxy.grammar.fields import Object, as_object
from proxy.grammar.filetypes import filename_of
from proxy.grammar.functions import nest
from proxy.grammar.nouns import noun_of
from proxy.grammar.openai import is_gpt
from proxy.grammar.receipts import BREAKPOINT, Receipt
from proxy.grammar.refusals import stored_elsewhere, unaccepted


class Parts:
    """The parts of one request. `dropped` gathers the receipt."""

    def __init__(self, request: Request, dropped: Receipt) -> None:
        self._own = request.wire == NAME
        self._of_responses = request.wire == "openai_responses"
        self._breaks = self._of_responses and is_gpt(request.model)
        self._points = not self._own and request.cache_points and is_claude(request.model)
        self._as_strings = "strings" in request.ways
        self._dropped = dropped

    def marks(self, part: Part) -> Object:
        if self._points and part.cache is not None and not isinstance(part, ToolCall):
            return self._dropped.carried(part.extra) | {"cache_control": self._point(part.cache)}
        if self._breaks and is_openais(part.cache) and not isinstance(part, ToolCall):
            return self._dropped.carried(part.extra) | {BREAKPOINT: part.cache}
        return marks_of(part, self._own, self._dropped)

    def _point(self, cache: Object) -> Object:
        """Anthropic's spelling, which hosts pass on to Claude."""
        said = lifetime(cache, self._dropped)
        return {"type": "ephemeral"} | (said if said.get("ttl") == "1h" else {})

    def content(self, parts: Iterable[Part], turn: Turn) -> object:
        """A string if that is enough, as many hosts take nothing else."""
        items = [self.item(part, turn) for part in parts]
        if not items:
            return ""
        if len(items) > 1 and not self._as_strings:
            return items
        is_text = all(item.keys() == {"type", "text"} and item["type"] == "text" for item in items)
        return "\n\n".join(item["text"] for item in items) if is_text else items

    def item(self, part: Part, turn: Turn) -> Object:
        match part:
            case Text():
                if part.citations:
                    self._dropped.add("text.citations")
                self._dropped.unsealed(part)
                return {"type": "text", "text": part.text} | self.marks(part)
            case Image() | Audio() | Video() | Document():
                if turn.role != "user" and not self._own:
                    raise unaccepted(part, API, f"{noun_of(part)} in {turn.role} messages, only in user messages")
                return self._medium(part)
            case Thinking() if self._own and "thinking" in part.extra:
                return {"type": "thinking", **self.marks(part), **part.extra["thinking"]}
            case Opaque(wire="openai_chat"):
                return part.value
            case Refusal() | Thinking() | ToolCall() | ToolResult() | Opaque():
                raise unaccepted(part, API, f"{noun_of(part)} in {turn.role} messages")
            case _:
                assert_never(part)

    def _medium(self, part: Image | Audio | Video | Document) -> Object:
        source = part.source
        if self._own and SPELT in part.extra:
            return as_object(part.extra[SPELT]) | ({} if part.cache is None else _named(part.cache))
        if isinstance(part, Image) and isinstance(source, Inline | Remote):
            inner = {"url": url_of(source)} | ({"detail": part.detail} if part.detail else {})
            return nest("image_url", inner, self.marks(part))
        if isinstance(part, Video) and not self._own:  # OpenAI refuses it; OpenRouter, Qwen and others do not
            raise unaccepted(part, API, noun_of(part))
        if isinstance(part, Video) and isinstance(source, Inline | Remote):
            return nest("video_url", {"url": url_of(source)}, self.marks(part))
        if isinstance(part, Audio) and isinstance(source, Inline):
            return nest("input_audio", {"data": source.data, "format": _sound(source.media_type)}, self.marks(part))
        if isinstance(part, Document) and self._takes(part.source):
            self._dropped.uncited(part)
            return nest("file", self._filed(part), self.marks(part))
        if isinstance(source, Stored):
            raise stored_elsewhere(part.at)
        if isinstance(source, Remote):
            raise unaccepted(part, API, f"{noun_of(part)} by URL; send the bytes instead")
        raise unaccepted(part, API, "the ID of another provider's audio")

    def _takes(self, source: Source) -> bool:
        """Only OpenRouter takes a document by URL, and only OpenAI knows what a file id means."""
        of_openai = isinstance(source, Stored) and self._of_responses
        return self._own or of_openai or isinstance(source, Inline)

    def _filed(self, document: Document) -> Object:
        named = {"filename": document.name} if document.name or (self._own and document.name is not None) else {}
        match document.source:
            case Stored(id=stored):
                return {"file_id": stored, **named}
            case Remote(url=url):
                return {"file_data": url, **named}
            case Inline(data=data, media_type=media) as source:
                if not self._own:  # OpenAI requires a name with the data
                    named = {"filename": filename_of(document.name, media)}
                return {"file_data": url_of(source) if media else data, **named}


def marks_of(part: Part | Tool, own: bool, dropped: Receipt) -> Object:
    """The other fields of a part. Cache points go out only for a client of this wire, as not every host takes them."""
    if part.cache is None or not own:
        return dropped.marks(part)
    return part.extra | _named(part.cache)


def _named(cache: Object) -> Object:
    if isinstance(cache, Automatic):  # which the request itself says
        return {}
    return {BREAKPOINT if is_openais(cache) else "cache_control": cache}


def _sound(media: str) -> str:
    """The format of `input_audio`: the media subtype, unless OpenAI has another name for it."""
    subtype = media.partition("/")[2]
    return {"mpeg": "mp3", "x-wav": "wav", "": "wav"}.get(subtype, subtype)
