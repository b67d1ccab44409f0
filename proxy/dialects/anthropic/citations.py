"""How does this wire say where a passage comes from?

https://platform.claude.com/docs/en/build-with-claude/citations
"""

from collections.abc import Iterable

from proxy.canon import Citation, Place, Unit
from proxy.dialects.anthropic.words import NAME
from proxy.grammar.claude.quoting import is_url, place_of
from proxy.grammar.fields import Object, as_object, as_text

_FOUND = "web_search_result_location"
_PLACES: dict[Unit, tuple[str, str, str, str]] = {  # the type, and the keys of the document, the start and the end
    "char": ("char_location", "document_index", "start_char_index", "end_char_index"),
    "page": ("page_location", "document_index", "start_page_number", "end_page_number"),
    "block": ("content_block_location", "document_index", "start_block_index", "end_block_index"),
    "result": ("search_result_location", "search_result_index", "start_block_index", "end_block_index"),
}


def citations_of(values: Iterable[object]) -> list[Citation]:
    return [_citation(as_object(value)) for value in values]


def spelled(citations: Iterable[Citation]) -> list[Object]:
    """Those that are in this wire's words: it refuses another wire's when they come back."""
    return [one.value for one in citations if one.wire == NAME]


def again(citations: Iterable[Citation]) -> list[Object]:
    """Those of another wire that can go back to the model: they cite a place in the request itself."""
    placed = [_placed(one) for one in citations if one.place is not None]
    return [{key: value for key, value in one.items() if key != "file_id"} for one in placed]


def shown(citations: Iterable[Citation]) -> list[Object]:
    """For a client to read: other wires' citations as well, where they have a URL or a place to show."""
    told = (one.value if one.wire == NAME else _placed(one) or _found(one) for one in citations)
    return [value for value in told if value]


def was_shown(value: object) -> bool:
    """Is this one that we made for a client, on its way back? Anthropic's own have an index."""
    said = as_object(value)
    return said.get("type") == _FOUND and said.get("encrypted_index") == ""


def _placed(citation: Citation) -> Object:
    place = citation.place
    if place is None:
        return {}
    kind, which, start, end = _PLACES[place.unit]
    found = {"source": citation.origin, "title": citation.title or None}
    named = found if place.unit == "result" else {"document_title": citation.title or None, "file_id": None}
    where = {which: place.document, start: place.start, end: place.end}
    return {"type": kind, "cited_text": citation.quote, **named, **where}


def _found(citation: Citation) -> Object:
    if not citation.url:
        return {}
    return {
        "type": _FOUND,
        "url": citation.url,
        "title": citation.title or None,
        "cited_text": citation.quote,
        "encrypted_index": "",
    }


def _citation(value: Object) -> Citation:
    origin = as_text(value.get("source"))
    return Citation(
        wire=NAME,
        value=value,
        url=as_text(value.get("url")) or (origin if is_url(origin) else ""),
        origin=origin,
        title=as_text(value.get("title")) or as_text(value.get("document_title")),
        quote=as_text(value.get("cited_text")),
        place=_place(value),
    )


def _place(value: Object) -> Place | None:
    for unit, (kind, which, start, end) in _PLACES.items():
        if value.get("type") == kind:
            return place_of(unit, value.get(which), value.get(start), value.get(end))
    return None
