"""What is a document called that is sent to Bedrock?

Converse wants a name, of few kinds of character, and no name twice. The ending of a file's name has no place in it, and
stands in `format`. (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html)
"""

import re
from collections.abc import Callable

from proxy.canon import Document
from proxy.dialects.bedrock.words import TAKEN, WHOLE
from proxy.grammar.claude.quoting import quoting
from proxy.grammar.fields import Object

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


def said_in_pieces(part: Document, own: bool, named: Callable[[Document], str]) -> Object:
    """The block of a document that is made of texts, or of what a search has found, which needs no name of its own.

    .../APIReference/API_runtime_DocumentContentBlock.html and .../API_runtime_SearchResultBlock.html
    """
    found, content = part.origin is not None, [{"text": text} for text in part.pieces or ()]
    kind = "searchResult" if found else "document"
    if own:
        return {kind: part.extra[WHOLE]}
    if found:
        return {kind: {"source": part.origin, "title": part.name or "", "content": content, **quoting(part)}}
    return {kind: {"name": named(part), "source": {"content": content}, **quoting(part)}}
