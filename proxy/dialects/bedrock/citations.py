"""How does this wire say where a passage comes from?

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Citation.html. Its places are in the source, not in
the text that cites it.
"""

from collections.abc import Iterable

from proxy.canon import Citation, Place, Unit
from proxy.dialects.bedrock.words import NAME
from proxy.grammar.claude.quoting import is_url, place_of
from proxy.grammar.fields import Object, as_list, as_object, as_text

_PLACES: dict[Unit, tuple[str, str]] = {  # the location, and the key of the document
    "char": ("documentChar", "documentIndex"),
    "page": ("documentPage", "documentIndex"),
    "block": ("documentChunk", "documentIndex"),
    "result": ("searchResultLocation", "searchResultIndex"),
}


def citations_of(values: Iterable[object]) -> list[Citation]:
    return [_citation(as_object(value)) for value in values]


def own(citations: Iterable[Citation]) -> list[Object]:
    """Those that are in this wire's words."""
    return [one.value for one in citations if one.wire == NAME]


def again(citations: Iterable[Citation]) -> list[Object]:
    """Those of another wire that can go back to the model: they cite documents in the request.

    Those of search results cannot, as Bedrock passes them on in a form that Claude refuses.
    (https://github.com/langchain-ai/langchain-aws/pull/1175)
    """
    return [_retold(one) for one in citations if one.place is not None and one.place.unit != "result"]


def spelled(citations: Iterable[Citation]) -> list[Object]:
    """Those in this wire's words as they came; of another wire's what can be said here, where there is something."""
    told = (one.value if one.wire == NAME else _retold(one) for one in citations)
    return [value for value in told if value]


def _citation(value: Object) -> Citation:
    location = as_object(value.get("location"))
    web = as_object(location.get("web"))
    source = as_text(value.get("source"))
    return Citation(
        wire=NAME,
        value=value,
        url=as_text(web.get("url")) or (source if is_url(source) else ""),
        origin=source,
        title=as_text(value.get("title")),
        quote="".join(as_text(as_object(piece).get("text")) for piece in as_list(value.get("sourceContent"))),
        place=_place(location),
    )


def _place(location: Object) -> Place | None:
    for unit, (kind, which) in _PLACES.items():
        if found := as_object(location.get(kind)):
            return place_of(unit, found.get(which), found.get("start"), found.get("end"))
    return None


def _retold(one: Citation) -> Object:
    value: Object = {"title": one.title} if one.title else {}
    if one.quote:
        value["sourceContent"] = [{"text": one.quote}]
    if one.origin:
        value["source"] = one.origin
    if (place := one.place) is not None:
        kind, which = _PLACES[place.unit]
        value["location"] = {kind: {which: place.document, "start": place.start, "end": place.end}}
    elif one.url:
        value["location"] = {"web": {"url": one.url}}
    return value
