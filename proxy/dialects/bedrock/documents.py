"""How is a document sent to Bedrock, and by what name?

Converse wants a name, made of few kinds of characters, and none twice. A file's extension is no part of it, and goes
into `format`. (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html)
"""

import re
from collections.abc import Callable

from msgspec.structs import replace

from proxy.canon import Document, Inline, Part, Text
from proxy.dialects.bedrock.words import TAKEN
from proxy.grammar.claude.quoting import quoting
from proxy.grammar.fields import Object
from proxy.grammar.receipts import Receipt
from proxy.grammar.textual import is_text, text_of

# Converse refuses a document that comes without text (.../APIReference/API_runtime_Message.html).
BESIDE_A_DOCUMENT = "The document is attached."

_ILLEGAL = re.compile(r"[^A-Za-z0-9()\[\] -]+")
_LONGEST = 190  # of the 200 characters allowed: a number may follow
_NAMELESS = "document"


class Names:
    """The names of one request's documents."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def of(self, said: str | None) -> str:
        """The legal name that is nearest to what the client said, and not given yet."""
        first = name = _legal(_stem(said or "")) or _NAMELESS
        number = 1
        while name in self._given:
            number += 1
            name = f"{first} ({number})"
        self._given.add(name)
        return name


def _stem(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    return stem if ending.lower() in TAKEN["document"] else name


def _legal(name: str) -> str:
    """Runs of whitespace become one space, which is all that is allowed; illegal characters become hyphens."""
    return _ILLEGAL.sub("-", " ".join(name.split()))[:_LONGEST].strip("- ")


def said_as_text(part: Document, named: Callable[[Document], str]) -> Object:
    """The block of a search result, or of a text that is to be cited; empty for other documents.

    Text to be cited cannot go as bytes, which Converse takes for a PDF then; and what goes as text, or in pieces, must
    be for citing (https://github.com/boto/boto3/issues/4726, https://github.com/strands-agents/harness-sdk/pull/2135).
    """
    content = [{"text": text} for text in part.pieces or ()]
    if part.origin is not None:
        found = {"source": part.origin, "title": part.name or part.origin, "content": content}
        return {"searchResult": found | quoting(part)}
    inline = part.source if part.cited and isinstance(part.source, Inline) else None
    text = text_of(inline.data) if inline is not None and is_text(inline.media_type) else None
    if not text:
        return {}
    source = {"content": content} if content else {"text": text}
    return {"document": {"name": named(part), "format": "txt", "source": source, **quoting(part)}}


def uncited(part: Part, dropped: Receipt) -> Part:
    """A part of a tool's result, or of a system prompt, in which this wire cites nothing.

    For documents in a tool's result see https://github.com/boto/boto3/issues/4648.
    """
    if isinstance(part, Text) and part.citations:
        dropped.add("text.citations")
        return replace(part, citations=[])
    if not isinstance(part, Document) or part.origin is not None or not part.cited:
        return part
    dropped.unquoted(part)
    return replace(part, cited=None)
