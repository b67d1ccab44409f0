"""How is a tool written in OpenAI's shape, which Ollama and Cohere have adopted?

`{"type": "function", "function": {...}}`, for an offered tool and for a call. Fields that only one wire has may stand
at either level.
"""

from proxy.canon import Tool
from proxy.grammar.fields import Fields, Object, as_object, wrong_word


def function_tool(fields: Fields) -> Tool:
    """An offered tool, on a wire that has functions only. Raises BadRequest."""
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
    """`{"type": kind, kind: {...}}`, with the leftover fields at both levels."""
    return {"type": kind, **marks, kind: inner | as_object(marks.get(kind))}
