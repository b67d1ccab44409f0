"""How does this wire say where a passage comes from?

https://platform.openai.com/docs/api-reference/chat/object: `annotations` of a message.
"""

from collections.abc import Iterable

from proxy.canon import Citation
from proxy.dialects.openai_chat.words import NAME
from proxy.grammar import annotations
from proxy.grammar.fields import Object, as_list, as_object, as_text


def citations_of(values: Iterable[object]) -> list[Citation]:
    return [_citation_of(as_object(value)) for value in values]


def _citation_of(value: Object) -> Citation:
    """Without the index that annotations have in our streams."""
    value = {key: said for key, said in value.items() if key != "index"}
    return annotations.citation_of(NAME, value, as_object(value.get("url_citation")))


def sources_of(answer: Object) -> list[Citation]:
    """What Perplexity names beside the choices, and only means by a number in the text:
    https://docs.perplexity.ai/api-reference/chat-completions-post
    """
    found = map(as_object, as_list(answer.get("search_results")))
    named = [(as_text(one.get("url")), as_text(one.get("title"))) for one in found]
    if not named:
        named = [(as_text(url), "") for url in as_list(answer.get("citations"))]
    return [Citation(wire="", value={}, url=url, title=title) for url, title in named if url]


def spelled(citations: Iterable[Citation], text: int = 0, before: int = 0) -> list[Object]:
    """`text`: the length of the text that they belong to; `before`: the length of the message's text before it."""
    return annotations.spelled(NAME, citations, _annotation, text, before)


def _annotation(told: Object) -> Object:
    return {"type": "url_citation", "url_citation": told}
