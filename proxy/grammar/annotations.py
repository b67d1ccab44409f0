"""How do OpenAI's two wires say where a passage comes from?

Both have a list of annotations, whose fields Chat Completions nests and Responses does not: `url_citation` of
https://platform.openai.com/docs/api-reference/chat/object and .../api-reference/responses/object.
"""

from collections.abc import Callable, Iterable

from proxy.canon import Citation
from proxy.grammar.fields import Object, as_text


def citation_of(wire: str, value: Object, told: Object) -> Citation:
    """`value`: the whole annotation. `told`: the object within it that has the fields."""
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
    """The citations: the wire's own as they came, and those of other wires that have a URL.

    `text`: how many characters the cited text has. `before`: how many the same message says before it.
    """
    told = [one for one in citations if one.wire == wire or one.url]
    return [one.value if one.wire == wire else annotation(_fields(one, text, before)) for one in told]


def _fields(one: Citation, text: int, before: int) -> Object:
    """A citation without a place covers all of its text, as Claude's do."""
    start = 0 if one.start is None else one.start
    end = text if one.end is None else one.end
    return {"url": one.url, "title": one.title, "start_index": before + start, "end_index": before + end}
