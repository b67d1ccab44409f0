"""Where does a passage come from, as this wire tells it?

https://platform.claude.com/docs/en/build-with-claude/citations
"""

from collections.abc import Iterable

from proxy.canon import Citation, Place, Unit
from proxy.dialects.anthropic.words import NAME
from proxy.grammar.claude.quoting import place_of
from proxy.grammar.fields import Object, as_object, as_text

_FOUND = "web_search_result_location"
_PLACES: dict[Unit, tuple[str, str, str]] = {  # the type, and what says where the passage begins and ends
    "char": ("char_location", "start_char_index", "end_char_index"),
    "page": ("page_location", "start_page_number", "end_page_number"),
    "block": ("content_block_location", "start_block_index", "end_block_index"),
}


def citations_of(values: Iterable[object]) -> list[Citation]:
    return [_citation(as_object(value)) for value in values]


def spelled(citations: Iterable[Citation]) -> list[Object]:
    """Those that this wire spelled. Another wire's would be refused when they come back."""
    return [one.value for one in citations if one.wire == NAME]


def shown(citations: Iterable[Citation]) -> list[Object]:
    """For a client's eyes: those of other wires as well, where they have an address or a place to show."""
    told = (one.value if one.wire == NAME else _placed(one) or _found(one) for one in citations)
    return [value for value in told if value]


def was_shown(value: object) -> bool:
    """Is this one of ours, on its way back? Anthropic's own have an index."""
    said = as_object(value)
    return said.get("type") == _FOUND and said.get("encrypted_index") == ""


def _placed(citation: Citation) -> Object:
    place = citation.place
    if place is None:
        return {}
    kind, start, end = _PLACES[place.unit]
    named = {"document_index": place.document, "document_title": citation.title or None, "file_id": None}
    return {"type": kind, "cited_text": citation.quote, **named, start: place.start, end: place.end}


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
    return Citation(
        wire=NAME,
        value=value,
        url=as_text(value.get("url")),
        title=as_text(value.get("title")) or as_text(value.get("document_title")),
        quote=as_text(value.get("cited_text")),
        place=_place(value),
    )


def _place(value: Object) -> Place | None:
    for unit, (kind, start, end) in _PLACES.items():
        if value.get("type") == kind:
            return place_of(unit, value.get("document_index"), value.get(start), value.get(end))
    return None
