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


def spelled(
    wire: str, citations: Iterable[Citation], annotation: Callable[[Object], Object], text: int = 0, before: int = 0
) -> list[Object]:
    """The wire's own as they came; of another wire's, those that have an address.

    `text`: the characters of what they stand on, and `before` of what the same message says before it.
    """
    told = [one for one in citations if one.wire == wire or one.url]
    return [one.value if one.wire == wire else annotation(_fields(one, text, before)) for one in told]


def _fields(one: Citation, text: int, before: int) -> Object:
    """One that names no place stands on all of its text, as Claude's do."""
    start = 0 if one.start is None else one.start
    end = text if one.end is None else one.end
    return {"url": one.url, "title": one.title, "start_index": before + start, "end_index": before + end}
