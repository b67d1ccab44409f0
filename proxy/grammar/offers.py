"""Which tools are on offer where the client offers none any more, and the wire wants some beside calls and results?

An app's last request of a loop often has none, so that the model answers in words; OpenAI takes it so.
"""

from proxy.canon import Request, Tool, ToolCall


def tools_called(request: Request) -> list[Tool]:
    """The tools that the conversation has called, by their names alone, each once."""
    parts = (part for turn in request.turns for part in turn.parts)
    names = dict.fromkeys(part.name for part in parts if isinstance(part, ToolCall))
    return [Tool(name=name) for name in names]
