"""How does this wire say where a passage comes from?

https://platform.openai.com/docs/api-reference/chat/object: `annotations` of a message.
"""

from collections.abc import Iterable

from proxy.canon import Citation
from proxy.dialects.openai_chat.words import NAME
from proxy.grammar import annotations
from proxy.grammar.fields import Object, as_object


def citations_of(values: Iterable[object]) -> list[Citation]:
    return [_citation_of(as_object(value)) for value in values]


def _citation_of(value: Object) -> Citation:
    """Without the index that annotations have in our streams."""
    value = {key: said for key, said in value.items() if key != "index"}
    return annotations.citation_of(NAME, value, as_object(value.get("url_citation")))


def spelled(citations: Iterable[Citation], text: int = 0, before: int = 0) -> list[Object]:
    """`text`: the length of the text that they belong to; `before`: the length of the message's text before it."""
    return annotations.spelled(NAME, citations, _annotation, text, before)


def _annotation(told: Object) -> Object:
    return {"type": "url_citation", "url_citation": told}
