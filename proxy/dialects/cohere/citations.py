"""How does this wire say where a passage comes from, and how likely each token was?

https://docs.cohere.com/docs/rag-citations. A citation is beside the message's content, and names its block by
`content_index`; older models have one block, and name none. A citation of a plan or a thought says so in its `type`,
and has no canonical form.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.canon import Citation
from proxy.dialects.cohere.words import NAME
from proxy.grammar.fields import Object, as_list, as_object, as_text, is_number


def citation_of(value: Object) -> Citation:
    """The URL, the title, the name and the quote are each from the first source that has one."""
    sources = [as_object(source) for source in as_list(value.get("sources"))]
    told = [as_object(source.get("document")) | as_object(source.get("tool_output")) for source in sources]
    return Citation(
        wire=NAME,
        value=value,
        url=next(filter(None, (as_text(one.get("url")) for one in told)), ""),
        title=next(filter(None, (as_text(one.get("title")) for one in told)), ""),
        origin=next(filter(None, (as_text(source.get("id")) for source in sources)), ""),
        quote=next(filter(None, (as_text(one.get("snippet")) for one in told)), ""),
        start=_place(value.get("start")),
        end=_place(value.get("end")),
    )


def is_of_text(value: Object) -> bool:
    return value.get("type") in (None, "TEXT_CONTENT")


Told = Mapping[str, Object]  # documents of the request, by their ids
_NONE: Told = {}


def spelled(citations: Iterable[Citation], index: int, text: str, told: Told = _NONE) -> list[Object]:
    """Citations of this wire as they came; those of other wires as citations of a document, in block `index`, which
    has said `text`.
    """
    said = [one for one in citations if one.wire == NAME or one.url or one.title or one.quote or one.origin]
    return [one.value if one.wire == NAME else _of_document(one, text, told) | {"content_index": index} for one in said]


def _of_document(one: Citation, text: str, told: Told) -> Object:
    """A citation without a place covers all of its text, as Claude's do."""
    known = {"title": one.title, "url": one.url, "snippet": one.quote}
    document = told.get(one.origin) or {key: value for key, value in known.items() if value}
    name = one.origin if one.origin in told else one.url or one.title or one.origin or "source"
    start = 0 if one.start is None else one.start
    end = len(text) if one.end is None else one.end
    source = {"type": "document", "id": name, "document": document}
    return {"start": start, "end": end, "text": text[start:end], "sources": [source], "type": "TEXT_CONTENT"}


def _place(value: object) -> int | None:
    return value if type(value) is int else None


# --- log probabilities -----------------------------------------------------------------------------------------------


def entry_of(item: object) -> list[Object]:
    """An entry in OpenAI's form for one of Cohere's. That may be for several tokens: then it is their joint logprob."""
    told = as_object(item)
    scores = [score for score in as_list(told.get("logprobs")) if is_number(score)]
    if not scores:
        return []
    text = as_text(told.get("text"))
    shaped = {"token": text, "logprob": sum(scores), "bytes": list(text.encode()), "top_logprobs": []}
    return [{**shaped, "token_ids": as_list(told.get("token_ids")), "logprobs": scores}]


def item_of(entries: list[Any]) -> Object:
    """The mirror: one item for all entries of a delta. Entries from other wires have no token ids."""
    told = [as_object(entry) for entry in entries]
    return {
        "text": "".join(as_text(entry.get("token")) for entry in told),
        "token_ids": [number for entry in told for number in as_list(entry.get("token_ids"))],
        "logprobs": [score for entry in told for score in as_list(entry.get("logprobs")) or [entry.get("logprob")]],
    }
