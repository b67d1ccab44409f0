"""How is the schema of an answer, or of a strict tool, written for a model that is held to it word by word?

Anthropic and Bedrock compile a schema, and refuse one with anything that the compiler does not support, or without what
it needs (https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations and
https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html). Every object must be closed, which schemas
of other wires leave open, and numbers, strings and arrays may have no bounds, and only some formats. So an object that
names its properties is closed, bounds and formats go into the description, and `oneOf` becomes `anyOf`, as in
Anthropic's own SDKs. Anything else is left for the provider to refuse: an object that is explicitly open would mean
something else if it were closed.

At OpenAI's a strict schema has every member of an object among the required ones, and only some of JSON Schema's words
(https://platform.openai.com/docs/guides/structured-outputs#supported-schemas). On other wires a strict tool may have
members that can be left out. To require those as well, with null for their absence, would give the app arguments that
it has never seen; so such a tool is not strict at OpenAI's, and the receipt says so.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from proxy.canon import Format, Request, Tool
from proxy.grammar.fields import Object, as_list, as_object, dump
from proxy.grammar.openai import is_gpt
from proxy.grammar.receipts import Receipt
from proxy.grammar.roots import parameters_of

BOUNDS = frozenset(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems uniqueItems"
    " minProperties maxProperties".split()
)
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
# What Anthropic and Bedrock take of those words. OpenAPI's formats of numbers (`int32`, `double`) are none.
_TAKEN: dict[str, tuple[object, ...]] = {"minItems": (0, 1), "format": (*_FORMATS, "uri")}
_TOLD = BOUNDS | {"format"}
_NAMED = ("properties", "$defs", "definitions")  # schemas under names that the client chose
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")

# What OpenAI takes.
_KNOWN = frozenset(
    "type properties required additionalProperties items anyOf $ref $defs definitions $schema enum const title"
    " description pattern format multipleOf minimum maximum exclusiveMinimum exclusiveMaximum minItems maxItems".split()
)


def labelled(form: Format, dropped: Receipt) -> Object:
    """The schema of `form` with its name and description inside, for wires without another place for them.

    `title` and `description` that are in the schema already stay, and beside a `$ref` nothing may stand.
    """
    schema = form.schema or {}
    labels = {"title": ("format.name", form.name), "description": ("format.description", form.description)}
    said = {key: label for key, (_, label) in labels.items() if label}
    told = {} if "$ref" in schema else {key: schema.get(key, label) for key, label in said.items()}
    dropped.update(labels[key][0] for key, label in said.items() if told.get(key) != label)
    return told | schema


def in_words(form: Format, dropped: Receipt) -> str:
    """The shape as an instruction, for a model that cannot be held to one beside tools. The receipt says so."""
    dropped.add("format")
    told = "When you answer and call no function, answer with one JSON value and nothing else, and without Markdown."
    if form.schema is None:
        return told
    return f"{told}\nIt must be valid by this JSON Schema:\n{dump(labelled(form, dropped)).decode()}"


def held_to(schema: Object, dropped: Receipt, name: str) -> Object:
    """What the model gets of a schema from another wire. `name`: for the receipt, if it is held to less."""
    told, is_bare = taken(schema)
    if not is_bare:
        dropped.add(name)
    return told


def taken(schema: Object) -> tuple[Object, bool]:
    """The schema as these providers take it, and whether it binds as much. Works at any depth, as nothing recurses."""
    told, is_bare = dict(schema), True
    for one in _copied(told):
        is_bare = all((_unbound(one), _joined(one), is_bare))
        if "properties" in one:
            one.setdefault("additionalProperties", False)
    return told, is_bare


def _unbound(schema: Object) -> bool:
    """Move the schema's bounds, and a format that is not taken, into its description. Had it none?"""
    bounds = {key: value for key, value in schema.items() if key in _TOLD and value not in _TAKEN.get(key, ())}
    described = schema.get("description", "")
    if not bounds or not isinstance(described, str):
        return True
    for key in bounds:
        del schema[key]
    told = "({})".format(", ".join(f"{key}: {value}" for key, value in bounds.items()))
    schema["description"] = f"{described} {told}" if described else told
    return False


def _joined(schema: Object) -> bool:
    """Say `anyOf` for `oneOf`, without the `discriminator` that libraries put beside it. Was there none?"""
    if not isinstance(schema.get("oneOf"), list) or "anyOf" in schema:
        return True
    schema["anyOf"] = schema.pop("oneOf")
    schema.pop("discriminator", None)  # https://spec.openapis.org/oas/v3.1.0#discriminator-object: a hint for parsers
    return False


def _copied(schema: Object) -> Iterator[Object]:
    """The schema and all within it, each as a copy that may be changed as soon as it is yielded."""
    waiting = [schema]
    while waiting:
        yield (one := waiting.pop())
        for key, value in one.items():
            if key in _NAMED and isinstance(value, dict):
                one[key] = {name: _own(inner, waiting) for name, inner in value.items()}
            elif key in _LISTED and isinstance(value, list):
                one[key] = [_own(inner, waiting) for inner in value]
            elif key in _SINGLE:
                one[key] = _own(value, waiting)


def _own(value: object, waiting: list[Object]) -> object:
    """A copy of a schema, which is queued as well; anything else (`true`, or what is no schema) as it was."""
    if not isinstance(value, dict):
        return value
    waiting.append(copy := dict(value))
    return copy


# --- for OpenAI's wires ----------------------------------------------------------------------------------------------


def offered(tool: Tool, request: Request, dropped: Receipt) -> tuple[Object, bool | None]:
    """The schema of a function from another wire, and whether the model is held to it. A client of OpenAI's other wire
    knows what may be strict, or hears it from the host.
    """
    schema = parameters_of(tool, is_gpt(request.model), dropped)
    if not tool.strict or request.wire.startswith("openai_"):
        return schema, tool.strict
    if (held := exact(schema)) is None:
        dropped.add("tool.strict")
        return schema, False
    return held, True


def answered(form: Format, request: Request) -> Format:
    """The format of an answer from another wire, for a model of OpenAI's: those wires always hold a model to a schema,
    and this one only if it is told to. A schema that may not be strict is a wish.
    """
    if form.schema is None or form.strict is not None or request.wire.startswith("openai_"):
        return form
    held = exact(form.schema)
    return form if held is None else replace(form, schema=held, strict=True)


def exact(schema: Object) -> Object | None:
    """The schema as it may be strict; None where it may not. An object that names its members is closed, as it is for
    those who hold a model to it elsewhere. Works at any depth, as nothing recurses.
    """
    told = dict(schema)
    if told.get("type") != "object" or "anyOf" in told:
        return None
    for one in _copied(told):
        if isinstance(one.get("properties"), dict):
            one.setdefault("additionalProperties", False)
            one.setdefault("required", [])
        if not _may_be_strict(one):
            return None
    return told


def _may_be_strict(schema: Object) -> bool:
    if not schema.keys() <= _KNOWN or not all(isinstance(inner, dict) for inner in _within(schema)):
        return False
    if "$ref" in schema:
        return len(schema) == 1  # nothing may stand beside it
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if None in kinds and "anyOf" not in schema:
        return False
    if "format" in schema and schema["format"] not in _FORMATS:
        return False
    return ("array" not in kinds or "items" in schema) and ("object" not in kinds or _is_closed(schema))


def _within(schema: Object) -> Iterator[object]:
    for key in ("properties", "$defs", "definitions"):
        yield from as_object(schema.get(key)).values()
    yield from as_list(schema.get("anyOf"))
    yield schema.get("items", {})


def _is_closed(schema: Object) -> bool:
    members, required = schema.get("properties"), as_list(schema.get("required"))
    if not isinstance(members, dict) or schema.get("additionalProperties") is not False:
        return False
    return {name for name in required if isinstance(name, str)} == members.keys()
