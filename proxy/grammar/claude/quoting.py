"""How is Claude told what it may quote, and where in it is a quotation?

The same on Anthropic's wire and on Bedrock's. https://platform.claude.com/docs/en/build-with-claude/citations
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html
"""

from base64 import b64encode

from proxy.canon import Document, Inline, Place, Unit
from proxy.grammar.fields import Fields, Object

_BETWEEN = "\n\n"  # pieces that are joined into one text


def cited_in(document: Fields) -> bool | None:
    """What its `citations` say. If they say more than `enabled`, they are left in place."""
    match document.rest.get("citations"):
        case {"enabled": bool(enabled), **more} if not more:
            del document.rest["citations"]
            return enabled
        case _:
            return None


def quoting(document: Document) -> Object:
    context = {} if document.context is None else {"context": document.context}
    return context if document.cited is None else {**context, "citations": {"enabled": document.cited}}


def in_pieces(pieces: list[str]) -> Document:
    text = _BETWEEN.join(pieces)
    return Document(source=Inline(b64encode(text.encode()).decode(), "text/plain"), pieces=pieces)


def is_url(origin: str) -> bool:
    return origin.startswith(("http://", "https://"))


def place_of(unit: Unit, document: object, start: object, end: object) -> Place | None:
    """None where one of these is not a number."""
    if type(document) is int and type(start) is int and type(end) is int:
        return Place(unit, document, start, end)
    return None
