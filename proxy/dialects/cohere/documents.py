"""How does a client of Cohere say what the answer is to be grounded in?

`documents` of the request, beside the messages (https://docs.cohere.com/reference/chat). Other wires have such things
within a message, so they stand before what the user has said last, as what a search has found.
"""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from proxy.canon import Document, Part, Request, ToolResult, Turn
from proxy.dialects.cohere.words import DOCUMENTS, NAME, UNCITED
from proxy.grammar.claude.quoting import in_pieces
from proxy.grammar.fields import Fields, Object, Verbatim, as_object, as_text, decode_json, dump, wrong


def placed(top: Fields, turns: list[Turn]) -> list[Turn]:
    """The turns, with the documents in them. A list of none stays where it is."""
    if not top.rest.get(DOCUMENTS):
        return turns
    mode = as_text(as_object(top.rest.get("citation_options")).get("mode")).upper()
    found: list[Part] = [_document(value, at, number, mode) for number, (value, at) in enumerate(top.items(DOCUMENTS))]
    last = next((number for number in reversed(range(len(turns))) if _is_said(turns[number])), 0)
    turns[last] = replace(turns[last], parts=[*found, *turns[last].parts])
    return turns


def lifted(turns: list[Turn]) -> tuple[list[Turn], list[object]]:
    """The mirror: the turns without the documents, and these as they came."""
    found = [as_they_came(part) for turn in turns for part in turn.parts if _is_ours(part)]
    if not found:
        return turns, []
    return [replace(turn, parts=[part for part in turn.parts if not _is_ours(part)]) for turn in turns], found


def by_id(request: Request) -> Mapping[str, Object]:
    """What a citation repeats of each."""
    return dict(_told(request)) if request.wire == NAME else {}


def _told(request: Request) -> Iterator[tuple[str, Object]]:
    for part in (part for turn in request.turns for part in turn.parts if _is_ours(part)):
        assert isinstance(part, Document)
        came = as_they_came(part)
        data = as_object(came).get("data", came)
        origin = part.origin or ""
        yield origin, (data if isinstance(data, dict) else {"text": data}) | {"id": origin}


def as_they_came(part: Part) -> object:
    """It is kept as JSON, in which nobody looks for a seal."""
    return decode_json(part.extra[DOCUMENTS]["as"])


def _is_ours(part: Part) -> bool:
    return isinstance(part, Document) and DOCUMENTS in part.extra


def _is_said(turn: Turn) -> bool:
    return turn.role == "user" and not any(isinstance(part, ToolResult) for part in turn.parts)


def _document(value: object, at: str, number: int, mode: str) -> Document:
    """A text, or fields of which one is the text; then the title is told apart."""
    name, data = f"doc:{number}", value
    if not isinstance(value, str):
        fields = Fields(value, at)
        name, data = fields.text("id") or name, fields.rest.get("data")
    if not isinstance(data, str | dict):
        raise wrong(at if data is value else f"{at}.data", "a string or an object", data)
    title = data.get("title") if isinstance(data, dict) else None
    title = title if isinstance(title, str) else None
    made = in_pieces([_text(data, title)])
    cited = None if mode in UNCITED else True
    kept = Verbatim({"as": dump(value).decode()})
    return replace(made, origin=name, name=title, cited=cited, at=at, extra={DOCUMENTS: kept})


def _text(data: str | Object, title: str | None) -> str:
    if isinstance(data, str):
        return data
    rest = [value for key, value in data.items() if key != "title" or title is None]
    alone = rest[0] if len(rest) == 1 else None
    return alone if isinstance(alone, str) else dump(data).decode()
