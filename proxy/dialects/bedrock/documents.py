"""What is a document called that is sent to Bedrock?

Converse wants a name, of few kinds of character, and no name twice. The ending of a file's name has no place in it, and
stands in `format`. (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html)
"""

import re
from collections.abc import Callable

from msgspec.structs import replace

from proxy.canon import Document, Inline, Part
from proxy.dialects.bedrock.words import TAKEN
from proxy.grammar.claude.quoting import quoting
from proxy.grammar.fields import Object
from proxy.grammar.receipts import Receipt
from proxy.grammar.textual import is_text, text_of

# Converse refuses a document that comes without text (.../APIReference/API_runtime_Message.html).
BESIDE_A_DOCUMENT = "The document is attached."

_ILLEGAL = re.compile(r"[^A-Za-z0-9()\[\] -]+")
_LONGEST = 190  # of 200 characters, so that a number has room behind it
_NAMELESS = "document"


class Names:
    """Of one request's documents."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def of(self, said: str | None) -> str:
        """The nearest to what the client said."""
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
    """Blanks stand alone; what may not stand becomes a hyphen."""
    return _ILLEGAL.sub("-", " ".join(name.split()))[:_LONGEST].strip("- ")


def said_as_text(part: Document, named: Callable[[Document], str]) -> Object:
    """The block of what a search has found, or of a text that is to be cited; empty of other documents.

    Claude cites no text that comes as bytes, which Converse takes for a PDF then; and what comes as text, or in pieces,
    must be one to cite (https://github.com/boto/boto3/issues/4726, https://github.com/strands-agents/harness-sdk/pull/2135).
    """
    content = [{"text": text} for text in part.pieces or ()]
    if part.origin is not None:
        found = {"source": part.origin, "title": part.name or "", "content": content}
        return {"searchResult": found | quoting(part)}
    inline = part.source if part.cited and isinstance(part.source, Inline) else None
    text = text_of(inline.data) if inline is not None and is_text(inline.media_type) else None
    if not text:
        return {}
    source = {"content": content} if content else {"text": text}
    return {"document": {"name": named(part), "format": "txt", "source": source, **quoting(part)}}


def uncited(part: Part, dropped: Receipt) -> Part:
    """What a tool gave back: no document of it is cited on this wire (https://github.com/boto/boto3/issues/4648)."""
    if not isinstance(part, Document) or part.origin is not None or not part.cited:
        return part
    dropped.unquoted(part)
    return replace(part, cited=None)
