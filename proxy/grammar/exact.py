"""How is the schema of a function, or of an answer, written for a host of OpenAI's wires?

A function's arguments are an object that names its members, were there none: "object schema missing properties" refuses
the whole request, and other wires, like MCP, take `{"type": "object"}`.
https://github.com/langchain-ai/langchain-mcp-adapters/issues/137
"""

from proxy.grammar.fields import Object

_ROOT: Object = {"type": "object", "properties": {}}


def named(parameters: Object | None) -> Object:
    """The schema of a function's arguments, from another wire."""
    given = parameters or {}
    return given if given.keys() >= _ROOT.keys() else given | {key: _ROOT[key] for key in _ROOT if key not in given}
