"""Where does a passage come from, as this wire tells it?

https://platform.claude.com/docs/en/build-with-claude/citations
"""

from collections.abc import Iterable

from proxy.canon import Citation
from proxy.dialects.anthropic.words import NAME
from proxy.fields import Object, as_object, as_text


def citations_of(values: Iterable[object]) -> list[Citation]:
    return [_citation(as_object(value)) for value in values]


def spelled(citations: Iterable[Citation]) -> list[Object]:
    """Those that this wire spelled. Another wire's would be refused when they come back."""
    return [one.value for one in citations if one.wire == NAME]


def _citation(value: Object) -> Citation:
    return Citation(
        wire=NAME,
        value=value,
        url=as_text(value.get("url")),
        title=as_text(value.get("title")) or as_text(value.get("document_title")),
        quote=as_text(value.get("cited_text")),
    )
