"""How does this wire say where a passage comes from?

A candidate has `groundingMetadata` (the sources, and which passage rests on which), `citationMetadata` (what was
recited) and `urlContextMetadata` (what was fetched). Google counts places in bytes of UTF-8, and we in characters. One
citation keeps the whole of a `groundingMetadata`, so that this wire gets it back as it came.
https://ai.google.dev/api/generate-content#GroundingMetadata
"""

from collections.abc import Iterable, Iterator

from proxy.canon import Citation
from proxy.dialects.gemini.words import NAME
from proxy.grammar.fields import Object, as_list, as_object, as_text

STRETCH = 1024  # characters


def citations_of(candidate: Object, text: str) -> list[Citation]:
    """`text`: what has come of the candidate's open block."""
    told: list[Citation] = []
    data = text.encode(errors="replace")
    if grounding := as_object(candidate.get("groundingMetadata")):
        sources = list(_grounded(grounding, data)) or [Citation(wire=NAME, value={})]
        sources[0].value = {"groundingMetadata": grounding}
        told += sources
    for key, items in as_object(candidate.get("citationMetadata")).items():
        told += [_recited(key, as_object(item), data) for item in as_list(items)]
    if fetched := as_object(candidate.get("urlContextMetadata")):
        told.append(Citation(wire=NAME, value={"urlContextMetadata": fetched}))
    return told


def _grounded(grounding: Object, data: bytes) -> Iterator[Citation]:
    """One for each pair of a passage and its source, and one for each source that no passage names."""
    chunks = [as_object(chunk) for chunk in as_list(grounding.get("groundingChunks"))]
    silent = set(range(len(chunks)))
    for support in map(as_object, as_list(grounding.get("groundingSupports"))):
        start, end = _place(as_object(support.get("segment")), data)
        for number in as_list(support.get("groundingChunkIndices")):
            if isinstance(number, int) and 0 <= number < len(chunks):
                silent.discard(number)
                yield _source(chunks[number], start, end)
    for number in sorted(silent):
        yield _source(chunks[number])


def _source(chunk: Object, start: int | None = None, end: int | None = None) -> Citation:
    inner = next((as_object(value) for value in chunk.values() if isinstance(value, dict)), {})
    return Citation(
        wire=NAME,
        value={},
        url=as_text(inner.get("uri")) or as_text(inner.get("sourceUri")),
        title=as_text(inner.get("title")),
        quote=as_text(inner.get("text")),
        start=start,
        end=end,
    )


def _place(segment: Object, data: bytes) -> tuple[int | None, int | None]:
    """The passage's start and end, in characters. None where the text there is not the passage."""
    start, end = segment.get("startIndex", 0), segment.get("endIndex")
    words = as_text(segment.get("text")).encode(errors="replace")
    if not isinstance(start, int) or not isinstance(end, int) or not words or data[start:end] != words:
        return None, None
    before = len(data[:start].decode(errors="ignore"))
    return before, before + len(words.decode(errors="ignore"))


def _recited(key: str, item: Object, data: bytes) -> Citation:
    start, end = item.get("startIndex", 0), item.get("endIndex")
    known = isinstance(start, int) and isinstance(end, int) and 0 <= start <= end <= len(data)
    return Citation(
        wire=NAME,
        value={"citationMetadata": {key: [item]}},
        url=as_text(item.get("uri")),
        title=as_text(item.get("title")),
        start=len(data[:start].decode(errors="ignore")) if known else None,
        end=len(data[:end].decode(errors="ignore")) if known else None,
    )


def own_metadata(citations: Iterable[Citation]) -> Object:
    """The fields of a candidate from which this wire's own citations came. Lists of recited passages are joined; of all
    else the latest counts.
    """
    told: Object = {}
    for one in citations:
        if one.wire == NAME:
            for key, value in one.value.items():
                told[key] = _added(told.get(key, {}), value) if key == "citationMetadata" else told.get(key, {}) | value
    return told


def _added(had: Object, more: Object) -> Object:
    return had | {key: [*had.get(key, ()), *items] for key, items in more.items()}


class Sources:
    """The sources of another wire's answer, gathered into one `groundingMetadata`."""

    def __init__(self) -> None:
        self._chunks: list[Object] = []
        self._numbers: dict[tuple[str, ...], int] = {}  # their places in the list, by what they say
        self._supports: list[Object] = []

    def add(self, citations: Iterable[Citation], text: str, before: int) -> None:
        """`text`: the block that cites them; `before`: the bytes of text that came before it."""
        places = _Places(text)
        for one in citations:
            if not (one.url or one.title or one.quote):
                continue
            said = ("web", one.url, one.title) if one.url else ("", one.title, one.quote)
            number = self._numbers.setdefault(said, len(self._numbers))
            if number == len(self._chunks):
                self._chunks.append(_chunk(one))
            start = 0 if one.start is None else one.start  # one without a place is cited by the whole text
            end = len(text) if one.end is None else one.end
            if start < end:
                segment = _segment(start, end, text, before + places.before(start))
                self._supports.append({"segment": segment, "groundingChunkIndices": [number]})

    def metadata(self) -> Object:
        if not self._chunks:
            return {}
        supports = {"groundingSupports": self._supports} if self._supports else {}
        return {"groundingMetadata": {"groundingChunks": self._chunks, **supports}}


def _chunk(one: Citation) -> Object:
    if one.url:
        return {"web": {"uri": one.url, "title": one.title}}
    return {"retrievedContext": {"title": one.title, "text": one.quote}}


class _Places:
    """How many bytes stand before a character. Each stretch of the text is encoded once, however many ask."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._bytes = [0]  # before each stretch

    def before(self, at: int) -> int:
        if at < 0 or len(self._text) <= STRETCH:
            return _size(self._text[:at])
        stretch = min(at, len(self._text)) // STRETCH
        while len(self._bytes) <= stretch:
            done = (len(self._bytes) - 1) * STRETCH
            self._bytes.append(self._bytes[-1] + _size(self._text[done : done + STRETCH]))
        return self._bytes[stretch] + _size(self._text[stretch * STRETCH : at])


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _segment(start: int, end: int, text: str, first: int) -> Object:
    words = text[start:end]
    return {"startIndex": first, "endIndex": first + len(words.encode(errors="replace")), "text": words}
