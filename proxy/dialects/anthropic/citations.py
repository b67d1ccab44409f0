"""Where does a passage come from, as this wire tells it?

https://platform.claude.com/docs/en/build-with-claude/citations
"""

from collections.abc import Iterable

from proxy.canon import Citation
from proxy.dialects.anthropic.words import NAME
from proxy.grammar.fields import Object, as_object, as_text

_FOUND = "web_search_result_location"


def citations_of(values: Iterable[object]) -> list[Citation]:
    return [_citation(as_object(value)) for value in values]


def spelled(citations: Iterable[Citation]) -> list[Object]:
    """Those that this wire spelled. Another wire's would be refused when they come back."""
    return [one.value for one in citations if one.wire == NAME]


def shown(citations: Iterable[Citation]) -> list[Object]:
    """For a client's eyes: those of other wires as well, where they have an address to show."""
    return [one.value if one.wire == NAME else _found(one) for one in citations if one.wire == NAME or one.url]


def was_shown(value: object) -> bool:
    """Is this one of ours, on its way back? Anthropic's own have an index."""
    said = as_object(value)
    return said.get("type") == _FOUND and said.get("encrypted_index") == ""


def _found(citation: Citation) -> Object:
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
    )
