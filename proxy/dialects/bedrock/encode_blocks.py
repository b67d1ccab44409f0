"""How is one part of a conversation said to Bedrock?"""

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
    ToolCall,
    ToolResult,
    Video,
)
from proxy.dialects.bedrock.blobs import bytes_of, sniff, wrap
from proxy.dialects.bedrock.citations import again, own
from proxy.dialects.bedrock.documents import Names, said_as_text, uncited
from proxy.dialects.bedrock.words import (
    API,
    CACHES_TEXT,
    NAME,
    NOTHING,
    TAKEN,
    WHOLE,
    cache_point,
    family_of,
    format_of,
)
from proxy.errors import Unrepresentable
from proxy.grammar.claude.quoting import quoting
from proxy.grammar.fields import Object, as_object, decode_json
from proxy.grammar.nouns import noun_of
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import arguments_for, stored_elsewhere, unaccepted
from proxy.grammar.textual import found_as_text, is_text

Unit = list[Object]  # a block, and its cachePoint; empty where there is nothing to say
Medium = Image | Audio | Video | Document


class Blocks:
    """The blocks of one request."""

    def __init__(self, request: Request, dropped: Receipt) -> None:
        self._own = request.wire == NAME  # then they go out as they came
        family = family_of(request.model)
        self._caches = self._own or family in CACHES_TEXT
        self._claude = family == "claude"
        self._dropped = dropped
        self._names = Names()

    def unit(self, part: Part) -> Unit:
        block, cache = self._block(part), part.cache
        if not self._own:
            self._dropped.left(part.extra)
        if isinstance(part, ToolResult):  # no mark fits inside a result, so the result gets it
            cache = next((inner.cache for inner in part.parts if inner.cache is not None), cache)
        if cache is not None and not (self._caches if block is not None else self._own):
            self._dropped.uncached(cache)
            cache = None
        unit = [] if block is None else [block]
        return unit if cache is None else [*unit, cache_point(cache, self._dropped)]

    def _block(self, part: Part) -> Object | None:
        """One block; None where there is nothing to say, or the part must be left out."""
        match part:
            case Text():
                return self._text(part)
            case Refusal():
                return self._text(Text(text=part.text, at=part.at))
            case Image() | Audio() | Video() | Document() if self._own and WHOLE in part.extra:
                return as_object(part.extra[WHOLE])
            case Document() if self._claude and not self._own and (block := said_as_text(part, self._named)):
                return block
            case Document() if part.origin is not None:
                return self._block(found_as_text(part, self._dropped.unquoted))
            case Image() | Audio() | Video() | Document():
                return self._medium(part)
            case Thinking():
                return self._thought(part)
            case ToolCall():
                return {"toolUse": self._call(part)}
            case ToolResult():
                return {"toolResult": self._result(part)}
            case Opaque(wire="bedrock"):
                return part.value
            case Opaque():
                raise unaccepted(part, API, noun_of(part))
            case _:
                assert_never(part)

    def _text(self, part: Text) -> Object | None:
        if self._own and "json" in part.extra:
            return {"json": decode_json(part.text)}
        citations = own(part.citations) if self._own else again(part.citations) if self._claude else []
        if len(citations) < len(part.citations):
            self._dropped.add("text.citations")
        self._dropped.unsealed(part)
        if not self._own and part.text.isspace():  # refused like empty text
            self._dropped.blank(part)
            return None
        if not (citations or (self._own and part.extra)):
            # Empty text is refused. In this wire's own requests it may be what parse.py marked with a lone cachePoint.
            return {"text": part.text} if part.text or (self._own and part.cache is None) else None
        said = {"content": [{"text": part.text}]} if part.text else {}
        return {"citationsContent": said | {"citations": citations} | self._more(part)}

    def _thought(self, part: Thinking) -> Object | None:
        if part.redacted:
            return {"reasoningContent": {"redactedContent": wrap(part.redacted)}}
        if not part.signature and (self._claude or not self._own):  # Claude refuses it, and other models have none
            self._dropped.add("thinking")
            return None
        signed = {"signature": part.signature} if part.signature else {}
        return {"reasoningContent": {"reasoningText": {"text": part.text, **signed, **self._more(part)}}}

    def _call(self, part: ToolCall) -> Object:
        given = arguments_for(part, API, self._dropped)
        self._dropped.unsealed(part)
        return {"toolUseId": part.id, "name": part.name, "input": given, **self._more(part)}

    def _result(self, part: ToolResult) -> Object:
        blocks = []
        for inner in part.parts:
            if isinstance(inner, Thinking | ToolCall | ToolResult | Audio):
                raise unaccepted(inner, API, f"{noun_of(inner)} in a tool result")
            blocks += self.unit(inner if self._own else uncited(inner, self._dropped))[:1]
        if not blocks and not self._own:
            blocks = [{"text": NOTHING}]
        status = {} if part.is_error is None else {"status": "error" if part.is_error else "success"}
        return {"toolUseId": part.id, "content": blocks, **status, **self._more(part)}

    def _more(self, part: Part) -> Object:
        return part.extra if self._own else {}

    # --- media ---

    def _medium(self, part: Medium) -> Object:
        kind, at = type(part).__name__.lower(), part.at
        if part.source is None:
            raise unaccepted(part, API, "the ID of another provider's audio")
        if isinstance(part, Image) and part.detail not in (None, "auto"):
            self._dropped.add("image.detail")
        block: Object = {"source": self._source(part.source, at)}
        if form := self._format(kind, part, part.source):
            block["format"] = form
        if isinstance(part, Document):
            block["name"] = (part.name or "") if self._own else self._named(part)
            block |= self._quoting(part)
        return {kind: block | self._more(part)}

    def _quoting(self, part: Document) -> Object:
        """Only Claude cites its sources on this wire."""
        if self._own or self._claude:
            return quoting(part)
        self._dropped.uncited(part)
        return {}

    def _named(self, part: Document) -> str:
        name = self._names.of(part.name)
        if part.name and name != part.name:
            self._dropped.add("document.name")
        return name

    def _format(self, kind: str, part: Medium, source: Source) -> str:
        """The format, by the media type, or by the file's first bytes, or by its name."""
        media_type = source.media_type
        said = format_of(kind, media_type)
        if self._own or said in TAKEN[kind]:
            return said
        seen = sniff(source.data) if isinstance(source, Inline) else ""
        name = source.url if isinstance(source, Remote) else part.name if isinstance(part, Document) else ""
        named = (name or "").rpartition(".")[2].lower()
        plain = "txt" if is_text(media_type) else ""
        form = next((form for form in (seen, named, plain) if form in TAKEN[kind]), "")
        if not form:
            taken = ", ".join(sorted(TAKEN[kind]))
            what = f"{noun_of(part)} of type {media_type or 'unknown'}, only {taken}"
            raise unaccepted(part, API, what)
        return form

    def _source(self, source: Source, at: str) -> Object:
        match source:
            case Inline(data=data):
                if not self._own and not bytes_of(data):
                    raise Unrepresentable(f"{at} is empty or not valid base64.", param=at)
                return {"bytes": data}
            case Stored(id=uri) if self._own:
                return {"s3Location": {"uri": uri}}
            case Remote(url=url) if url.startswith("s3://"):
                return {"s3Location": {"uri": url}}
            case Remote():
                message = f"{at}: Bedrock's Converse does not accept web URLs, only s3:// ones; send the bytes instead."
                raise Unrepresentable(message, param=at)
            case Stored():
                raise stored_elsewhere(at)
            case _:
                assert_never(source)
