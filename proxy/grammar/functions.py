"""How does a tool stand in the shape that OpenAI gave it, and that Ollama and Cohere have taken over?

`{"type": "function", "function": {...}}`, for a tool on offer and for a call of one. What its wire alone says of it may
stand at either level.
"""

from proxy.canon import Tool
from proxy.grammar.fields import Fields, Object, as_object, wrong_word


def function_tool(fields: Fields) -> Tool:
    """A tool on offer, where there is no kind of it but this. Raises BadRequest."""
    kind = fields.text("type") or "function"
    if kind != "function":
        raise wrong_word(fields.path("type"), "function", kind)
    inner = fields.need_inner("function")
    tool = Tool(
        name=inner.need_text("name"),
        description=inner.text("description"),
        parameters=inner.object("parameters"),
        at=fields.at,
    )
    fields.keep("function", inner)
    tool.extra = fields.rest
    return tool


def nest(kind: str, inner: Object, marks: Object) -> Object:
    """`{"type": kind, kind: {...}}`, with what was left over at both levels."""
    return {"type": kind, **marks, kind: inner | as_object(marks.get(kind))}
