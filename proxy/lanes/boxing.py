"""How does an answer that is no JSON object come from a host that answers in objects alone?

Google's SDK asks for lists (`response_schema=list[Recipe]`) and for one word of an enum, Ollama's for any schema.
OpenAI refuses such a root ("schema must be a JSON Schema of 'type: "object"', got 'type: "array"'"), and so do Cohere
and most who compile a schema for OpenAI's API. So the model is asked for an object with one member, and the client
hears what is in it.
https://platform.openai.com/docs/guides/structured-outputs#supported-schemas and
https://docs.cohere.com/docs/structured-outputs#schema-constraints
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from proxy.canon import Close, Delta, Event, Format, Open, Request, Text
from proxy.grammar.fields import Object
from proxy.grammar.thinking import SAYS_NONE
from proxy.lanes.freetext import FreeText
from proxy.ports import Decoder, Dialect

MEMBER = "answer"
_HEAD = f'{{"{MEMBER}":'
_OBJECTS_ALONE = SAYS_NONE | {"cohere"}
_DEFINED = ("$defs", "definitions")  # what the schema refers to, from its root
_ROOTS = ("type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const")


def needs_box(request: Request, dialect: Dialect) -> bool:
    """Clients of OpenAI's wires know what it refuses, or hear it from the host."""
    form = request.format
    if form is None or form.schema is None or dialect.name == request.wire:
        return False
    if form.bare:
        return True
    asks, takes = request.wire in SAYS_NONE, dialect.name in _OBJECTS_ALONE
    return takes and not (asks and dialect.name in SAYS_NONE) and _may_move(form.schema) and not _is_object(form.schema)


def boxed(request: Request) -> Request:
    """A copy that asks for the object."""
    form = request.format
    assert form is not None
    assert form.schema is not None
    return replace(request, format=_boxed(form, form.schema))


def _boxed(form: Format, schema: Object) -> Format:
    moved = {key: schema[key] for key in _DEFINED if key in schema}
    root = {key: value for key, value in schema.items() if key not in (*_DEFINED, "$schema", "$id")}
    box: Object = {
        "type": "object",
        "properties": {MEMBER: root},
        "required": [MEMBER],
        "additionalProperties": False,
    }
    return replace(form, schema=box | moved, bare=False)


def _is_object(schema: Object) -> bool:
    """Also of one that says too little to tell."""
    if "anyOf" in schema or "oneOf" in schema:
        return False
    return schema.get("type") == "object" or not any(key in schema for key in _ROOTS)


def _may_move(schema: Object) -> bool:
    """Would all that it refers to still be there? Works at any depth, as nothing recurses."""
    waiting: list[object] = [schema]
    while waiting:
        match waiting.pop():
            case dict() as one:
                ref = one.get("$ref")
                if isinstance(ref, str) and not ref.startswith(tuple(f"#/{key}/" for key in _DEFINED)):
                    return False
                waiting += one.values()
            case list() as several:
                waiting += several
            case _:
                pass
    return True


# --- the answer ------------------------------------------------------------------------------------------------------


class Unboxing:
    """The decoder of an answer that comes in a box. `bare`: the client wants a string without its quotes."""

    def __init__(self, decoder: Decoder, bare: bool) -> None:
        self._decoder = decoder
        self._bare = bare
        self._open: dict[int, Box | FreeText] = {}  # by the text's index

    def feed(self, data: bytes) -> Iterator[Event]:
        return self._unboxed(self._decoder.feed(data))

    def close(self) -> Iterator[Event]:
        return self._unboxed(self._decoder.close())

    def _unboxed(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            if type(event) is Open and type(event.part) is Text:
                self._open[event.index] = FreeText() if self._bare else Box()
            elif type(event) is Delta and event.index in self._open:
                event = replace(event, text=self._open[event.index].feed(event.text))
                if event.is_text and not event.text:
                    continue
            elif type(event) is Close and event.index in self._open and (rest := self._open.pop(event.index).close()):
                yield Delta(index=event.index, text=rest)
            yield event


class Box:
    """The value within an object of one member that comes bit by bit: `{"answer": [1, 2]}`.

    Anything else is passed on as it came: the model was not held to its schema.
    """

    def __init__(self) -> None:
        self._held: str | None = ""  # the beginning, until it shows whether it is a box
        self._is_other = False
        self._is_begun = False
        self._depth = 0  # of arrays and objects within the value
        self._is_quoted = False
        self._is_escaped = False

    def feed(self, text: str) -> str:
        if self._held is None:
            return text if self._is_other else self._within(text)
        self._held += text
        head, colon, rest = self._held.partition(":")
        head = "".join(head.split()) + colon
        if head == _HEAD:
            self._held = None
            return self._within(rest)
        return "" if _HEAD.startswith(head) else self.close()

    def close(self) -> str:
        """What is left: of an answer that was no box, or was cut off before it showed."""
        held, self._held, self._is_other = self._held or "", None, True
        return held

    def _within(self, text: str) -> str:
        """As much of it as belongs to the value."""
        text = text if self._is_begun else text.lstrip()
        self._is_begun = self._is_begun or text != ""
        for place, char in enumerate(text):
            if self._is_quoted:
                self._is_quoted = self._is_escaped or char != '"'
                self._is_escaped = char == "\\" and not self._is_escaped
            elif char == '"':
                self._is_quoted = True
            elif char in "[{":
                self._depth += 1
            elif char in "]}":
                self._depth -= 1
                if self._depth < 0:  # the box's own
                    return text[:place].rstrip()
        return text if self._depth >= 0 else ""
