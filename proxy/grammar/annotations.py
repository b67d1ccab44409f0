"""How do OpenAI's two wires tell where a passage comes from?

One list of annotations, whose fields the one wire nests and the other does not: `url_citation` of
https://platform.openai.com/docs/api-reference/chat/object and .../api-reference/responses/object.
"""

from collections.abc import Callable, Iterable

from proxy.canon import Citation
from proxy.grammar.fields import Object, as_text


def citation_of(wire: str, value: Object, told: Object) -> Citation:
    """`value`: the whole annotation. `told`: the object that has its fields."""
    start, end = told.get("start_index"), told.get("end_index")
    return Citation(
        wire=wire,
        value=value,
        url=as_text(told.get("url")),
        title=as_text(told.get("title")) or as_text(told.get("filename")),
        start=start if isinstance(start, int) else None,
        end=end if isinstance(end, int) else None,
    )


def fields_of(one: Citation) -> Object:
    return {"url": one.url, "title": one.title, "start_index": one.start or 0, "end_index": one.end or 0}


def spelled(wire: str, citations: Iterable[Citation], annotation: Callable[[Citation], Object]) -> list[Object]:
    """The wire's own as they came; of another wire's, those that have an address."""
    return [one.value if one.wire == wire else annotation(one) for one in citations if one.wire == wire or one.url]
