"""How does this wire say where a passage comes from?

https://platform.openai.com/docs/api-reference/responses/object: `annotations` of an output_text.
"""

from collections.abc import Iterable

from proxy.canon import Citation
from proxy.dialects.openai_responses.words import NAME
from proxy.grammar import annotations
from proxy.grammar.fields import Object, as_object


def citations_of(values: Iterable[object]) -> list[Citation]:
    return [annotations.citation_of(NAME, value, value) for value in map(as_object, values)]


def spelled(citations: Iterable[Citation], text: int = 0) -> list[Object]:
    """`text`: the length of the text that they belong to."""
    return annotations.spelled(NAME, citations, _annotation, text)


def _annotation(told: Object) -> Object:
    return {"type": "url_citation", **told}
