"""What does Claude get of a tool whose arguments are one of several shapes?

"input_schema does not support oneOf, allOf, or anyOf at the top level": for one such tool the whole request is refused,
and servers of MCP offer them. So the shapes become one object that has the members of all, and requires those that each
of them requires. What they were is told in the description, as Anthropic's own SDKs do with what they take out.
"""

from proxy.grammar.fields import Object, as_list, as_object, dump

_ALL, _ANY = "allOf", ("anyOf", "oneOf")


def rooted(schema: Object) -> Object | None:
    """The schema as one object; None where it is one."""
    said = [key for key in (_ALL, *_ANY) if isinstance(schema.get(key), list)]
    if not said:
        return None
    one = {key: value for key, value in schema.items() if key not in said}
    members, required = dict(as_object(one.get("properties"))), _required(one)
    for key in said:
        shapes = [_resolved(as_object(shape), schema) for shape in schema[key]]
        for shape in shapes:
            for name, member in as_object(shape.get("properties")).items():
                members[name] = _either(members[name], member) if name in members else member
        needed = [_required(shape) for shape in shapes]
        required += [name for names in needed for name in names if key == _ALL or all(name in each for each in needed)]
    told = [one.get("description"), *(f"({key}: {dump(schema[key]).decode()})" for key in said)]
    one["properties"] = members
    one["description"] = " ".join(text for text in told if isinstance(text, str))
    return one | ({"required": list(dict.fromkeys(required))} if required else {})


def _required(shape: Object) -> list[str]:
    return [name for name in as_list(shape.get("required")) if isinstance(name, str)]


def _resolved(shape: Object, schema: Object) -> Object:
    """What it refers to, if that is among the root's definitions."""
    ref = shape.get("$ref")
    parts = ref.split("/") if isinstance(ref, str) else []
    return as_object(as_object(schema.get(parts[1])).get(parts[2])) if len(parts) == 3 and parts[0] == "#" else shape


def _either(first: object, second: object) -> object:
    if first == second:
        return first
    before = first["anyOf"] if isinstance(first, dict) and first.keys() == {"anyOf"} else [first]
    return {"anyOf": [*before, second]} if second not in before else first
