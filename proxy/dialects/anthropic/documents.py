"""How does a client of the Messages API send a document, or what a search has found?

https://platform.claude.com/docs/en/build-with-claude/citations and .../docs/en/build-with-claude/search-results
"""

from base64 import b64encode

from proxy.canon import Document, Inline, Remote, Source, Stored
from proxy.grammar.claude.quoting import in_pieces
from proxy.grammar.fields import Fields, Verbatim, as_list, as_object, standard_base64, without_nulls


def document_of(fields: Fields) -> Document | None:
    """None where only this wire understands it: it holds more than texts, or is of a kind that we do not know."""
    match fields.rest.get("source"):
        case {"type": "content", "content": str(text), **more} if not more:
            fields.rest["source"] = Verbatim(fields.rest["source"])
            return in_pieces([text])
        case {"type": "content", "content": content, **more} if not more and (texts := _texts(content)):
            del fields.rest["source"]
            return in_pieces(texts)
        case {"type": "content"}:
            return None
        case _:
            source = source_of(fields)
            return None if source is None else Document(source=source)


def found_in(fields: Fields) -> Document | None:
    """What a search has found. None where it holds more than texts."""
    match fields.rest:
        case {"source": str(), "title": str(), "content": content} if texts := _texts(content):
            del fields.rest["content"]
            return in_pieces(texts)
        case _:
            return None


def _texts(content: object) -> list[str]:
    """The texts of the blocks, if each is a text block without further fields; else none."""
    blocks = [without_nulls(as_object(block)) for block in as_list(content)]
    plain = all(block.keys() == {"type", "text"} and block["type"] == "text" for block in blocks)
    texts = [block["text"] for block in blocks] if plain else []
    return texts if all(isinstance(text, str) for text in texts) else []


def source_of(fields: Fields) -> Source | None:
    """None where only this wire understands its kind."""
    source = fields.need_inner("source")
    made: Source
    match source.need_text("type"):
        case "base64":
            made = Inline(data=standard_base64(source.need_text("data")), media_type=source.need_text("media_type"))
        case "text" if source.rest.get("media_type") == "text/plain":
            text, media_type = source.need_text("data"), source.need_text("media_type")
            made = Inline(data=b64encode(text.encode()).decode(), media_type=media_type)
        case "url":
            made = Remote(url=source.need_text("url"))
        case "file":
            made = Stored(id=source.need_text("file_id"))
        case _:
            return None
    return None if source.rest else made
