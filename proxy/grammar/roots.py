"""What do Claude and OpenAI's models get of a tool whose arguments are one of several shapes?

"input_schema does not support oneOf, allOf, or anyOf at the top level", says the one, and the other "schema must have
type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level": for one such tool the whole request
is refused, and servers of MCP offer them. So the shapes become one object that has the members of all, and requires
those that each of them requires. What they were is told in the description, as Anthropic's own SDKs do with what they
take out.
"""

from collections import Counter
from itertools import chain

from proxy.canon import Tool
from proxy.grammar.fields import Object, as_list, as_object, dump
from proxy.grammar.receipts import Receipt

_ALL, _ANY = "allOf", ("anyOf", "oneOf")


def rooted(schema: Object) -> Object | None:
    """The schema as one object; None where it is one."""
    said = [key for key in (_ALL, *_ANY) if isinstance(schema.get(key), list)]
    if not said:
        return None
    one = {key: value for key, value in schema.items() if key not in said}
    members, required = _Members(), _required(one)
    members.add(one)
    for key in said:
        resolved = (_resolved(as_object(shape), schema) for shape in schema[key])
        shapes = list({id(shape): shape for shape in resolved}.values())  # many may refer to the same one
        for shape in shapes:
            members.add(shape)
        needed = [dict.fromkeys(_required(shape)) for shape in shapes]
        counted = Counter(chain.from_iterable(needed))
        required += [name for name, count in counted.items() if key == _ALL or count == len(needed)]
    told = [one.get("description"), *(f"({key}: {dump(schema[key]).decode()})" for key in said)]
    one["properties"] = members.said()
    one["description"] = " ".join(text for text in told if isinstance(text, str))
    return one | ({"required": list(dict.fromkeys(required))} if required else {})


def parameters_of(tool: Tool, is_gpt: bool, dropped: Receipt) -> Object:
    """The schema of a function from another wire, for a host of OpenAI's: of an object whose `properties` are said.
    OpenAI refuses one without, and servers of MCP leave them out where a tool takes nothing.
    https://github.com/openai/openai-agents-python/issues/449
    """
    schema = {"type": "object", **(tool.parameters or {})}
    if (one := rooted(schema)) is not None:
        if not is_gpt:  # others take it as it is
            return as_object(tool.parameters)
        dropped.add("tool.schema")
        return one
    is_told = schema["type"] != "object" or "properties" in schema
    return schema if is_told else schema | {"properties": {}}


def _required(shape: Object) -> list[str]:
    return [name for name in as_list(shape.get("required")) if isinstance(name, str)]


def _resolved(shape: Object, schema: Object) -> Object:
    """What it refers to, if that is among the root's definitions."""
    ref = shape.get("$ref")
    parts = ref.split("/") if isinstance(ref, str) else []
    return as_object(as_object(schema.get(parts[1])).get(parts[2])) if len(parts) == 3 and parts[0] == "#" else shape


class _Members:
    """The members of all shapes, and for each what it may be, by its JSON: there may be thousands."""

    def __init__(self) -> None:
        self._named: dict[str, dict[bytes, object]] = {}

    def add(self, shape: Object) -> None:
        for name, member in as_object(shape.get("properties")).items():
            self._named.setdefault(name, {}).setdefault(dump(member), member)

    def said(self) -> Object:
        return {name: _either(list(members.values())) for name, members in self._named.items()}


def _either(members: list[object]) -> object:
    return members[0] if len(members) == 1 else {"anyOf": members}
