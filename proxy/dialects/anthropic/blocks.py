"""How is one block of a turn said to Anthropic?

What this wire cannot carry is refused with its path. `own`: the request came in this wire, so that its `extra` is valid
here, and everything goes out as it came.
"""

from typing import assert_never

from msgspec.structs import replace

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Remote,
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
from proxy.dialects.anthropic.citations import again, spelled
from proxy.dialects.anthropic.words import API, IMAGES
from proxy.errors import Unrepresentable
from proxy.grammar.caching import Automatic, lifetime
from proxy.grammar.claude.quoting import quoting
from proxy.grammar.fields import Object
from proxy.grammar.nouns import noun_of
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import arguments_for, stored_elsewhere, unaccepted
from proxy.grammar.textual import is_text, text_of


class Blocks:
    """The blocks of one request. `claude`: the model is Anthropic's own. `dropped` collects the receipt."""

    def __init__(self, own: bool, claude: bool, dropped: Receipt) -> None:
        self.own = own
        self._claude = claude
        self.dropped = dropped

    def of(self, turn: Turn) -> list[Object]:
        if not self.own:
            self.dropped.left(turn.extra)
            _check_places(turn)
        return self._parts(self._solid(turn.parts))

    def marked(self, block: Object, part: Part | Tool) -> Object:
        """The block, with the cache point and the `extra` of its part."""
        if part.cache is not None and not (self.own and isinstance(part.cache, Automatic)):
            block["cache_control"] = part.cache if self.own else self._cache_control(part.cache)
        if self.own:
            return {**block, **part.extra}
        self.dropped.left(part.extra)
        return block

    def _cache_control(self, cache: Object) -> Object:
        """The cache point of another wire, which spells it its own way; this one has one kind, with two durations."""
        return {"type": "ephemeral"} | lifetime(cache, self.dropped)

    def _solid(self, parts: list[Part]) -> list[Part]:
        """The parts less blank texts, if all are blank: "text content blocks must contain non-whitespace text"."""
        texts = [part for part in parts if isinstance(part, Text | Refusal) and part.text]
        if self.own or not texts or not all(part.text.isspace() for part in texts):
            return parts
        for part in texts:
            self.dropped.blank(part)
        return [replace(part, text="") if isinstance(part, Text | Refusal) else part for part in parts]

    def _parts(self, parts: list[Part]) -> list[Object]:
        return [block for part in parts if (block := self._part(part)) is not None]

    def _part(self, part: Part) -> Object | None:
        """One block; None where there is nothing to say, or the part must be left out."""
        match part:
            case Text():
                return self._text(part)
            case Refusal():
                return self.marked({"type": "text", "text": part.text}, part) if part.text else None
            case Image():
                return self._image(part)
            case Document():
                return self._document(part)
            case Thinking():
                return self._thought(part)
            case ToolCall():
                return self._call(part)
            case ToolResult():
                return self._result(part)
            case Opaque(wire="anthropic", value=value):
                return dict(value)
            case Audio() | Video() | Opaque():
                raise unaccepted(part, API, noun_of(part))
            case _:
                assert_never(part)

    def _text(self, part: Text) -> Object | None:
        if not part.text and not self.own:  # the wire refuses empty text
            self.dropped.marks(part)
            return None
        block: Object = {"type": "text", "text": part.text}
        if part.citations:
            told = spelled(part.citations) if self.own else again(part.citations)
            block |= {"citations": told} if told or self.own else {}
            if len(told) < len(part.citations) and not self.own:
                self.dropped.add("text.citations")
        self.dropped.unsealed(part)
        return self.marked(block, part)

    def _image(self, part: Image) -> Object:
        if part.detail not in (None, "auto"):
            self.dropped.add("image.detail")
        source = part.source
        if isinstance(source, Inline) and source.media_type not in IMAGES and not self.own:
            came = source.media_type or "unknown"
            raise unaccepted(part, API, f"an image of type {came}, only {', '.join(IMAGES)}")
        return self.marked({"type": "image", "source": self._source(source, part.at)}, part)

    def _document(self, part: Document) -> Object:
        texts = [{"type": "text", "text": text} for text in part.pieces or ()]
        if part.origin is not None:
            named = {"source": part.origin, "title": part.name or part.origin}
            found = {"type": "search_result", **named, "content": texts}
            return self.marked(found | quoting(part), part)
        made = {"type": "content", "content": texts} if texts else self._document_source(part.source, part.at)
        block: Object = {"type": "document", "source": made}
        if part.name or (self.own and part.name is not None):
            block["title"] = part.name
        block |= quoting(part)
        return self.marked(block, part)

    def _document_source(self, source: Source, at: str) -> Object:
        media_type = "" if isinstance(source, Stored) else source.media_type
        if isinstance(source, Inline) and is_text(media_type):
            return {"type": "text", "media_type": "text/plain", "data": _plain(source.data, at)}
        if media_type not in ("", "application/pdf") and not self.own:
            message = f"{at}: Anthropic's API does not accept a document of type {media_type}, only PDF and text."
            raise Unrepresentable(message, param=at)
        if isinstance(source, Inline) and not media_type:
            source = Inline(source.data, "application/pdf")
        return self._source(source, at)

    def _source(self, source: Source, at: str) -> Object:
        match source:
            case Inline():
                return {"type": "base64", "media_type": source.media_type, "data": source.data}
            case Remote():
                return {"type": "url", "url": source.url}
            case Stored():
                if not self.own:
                    raise stored_elsewhere(at)
                return {"type": "file", "file_id": source.id}
            case _:
                assert_never(source)

    def _thought(self, part: Thinking) -> Object | None:
        """A thought goes back under its seal or not at all, and cannot carry a cache point.

        Other vendors' models on this wire seal nothing: a client of this wire may send their thoughts back unsealed.
        """
        if not part.is_sealed and (self._claude or not self.own):
            self.dropped.add("thinking")
            return None
        if part.cache is not None and not self.own:
            self.dropped.uncached(part.cache)
            part = replace(part, cache=None)
        if part.redacted:
            return self.marked({"type": "redacted_thinking", "data": part.redacted}, part)
        block = {"type": "thinking", "thinking": part.text}
        return self.marked(block | ({"signature": part.signature} if part.signature else {}), part)

    def _call(self, part: ToolCall) -> Object:
        given = arguments_for(part, API, self.dropped)
        self.dropped.unsealed(part)
        return self.marked({"type": "tool_use", "id": part.id, "name": part.name, "input": given}, part)

    def _result(self, part: ToolResult) -> Object:
        block: Object = {"type": "tool_result", "tool_use_id": part.id}
        if content := self._parts(self._solid(part.parts)):
            block["content"] = content
        if part.is_error is not None:
            block["is_error"] = part.is_error
        return self.marked(block, part)


def _check_places(turn: Turn) -> None:
    """Only the user may show images and documents: https://platform.claude.com/docs/en/build-with-claude/vision"""
    for part in turn.parts:
        if turn.role in ("system", "developer") and not isinstance(part, Text):
            raise unaccepted(part, API, f"{noun_of(part)} in a system prompt, only text")
        if turn.role == "assistant" and isinstance(part, Image | Document):
            raise unaccepted(part, API, f"{noun_of(part)} in assistant messages, only in user messages")


def _plain(data: str, at: str) -> str:
    text = text_of(data)
    if text is None:
        raise Unrepresentable(f"{at} is declared as text, but it is not UTF-8 text in base64.", param=at)
    return text
