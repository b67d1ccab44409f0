"""Where does a passage come from, as this wire tells it?

https://platform.openai.com/docs/api-reference/responses/object: `annotations` of an output_text.
"""

from collections.abc import Iterable

from proxy.canon import Citation
from proxy.dialects.openai_responses.words import NAME
from proxy.fields import Object, as_object, as_text


def citations_of(values: Iterable[object]) -> list[Citation]:
    return [_citation(as_object(value)) for value in values]


def spelled(citations: Iterable[Citation]) -> list[Object]:
    """Ours as they came; of another wire's, those that have an address."""
    return [one.value if one.wire == NAME else _annotation(one) for one in citations if one.wire == NAME or one.url]


def _citation(value: Object) -> Citation:
    start, end = value.get("start_index"), value.get("end_index")
    return Citation(
        wire=NAME,
        value=value,
        url=as_text(value.get("url")),
        title=as_text(value.get("title")) or as_text(value.get("filename")),
        start=start if isinstance(start, int) else None,
        end=end if isinstance(end, int) else None,
    )


def _annotation(one: Citation) -> Object:
    place = {"start_index": one.start or 0, "end_index": one.end or 0}
    return {"type": "url_citation", "url": one.url, "title": one.title, **place}
