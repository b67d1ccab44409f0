"""By what name does a tool of a namespace go, where a wire has no namespaces?

Functions may stand in a group that has a name of its own, and a call of one says both names: Codex offers so what it
does with agents, and the tools of its MCP servers. On every other wire a tool has one name. So the two are joined, as
MCP's clients do it, and what calls it is told apart again by the request that offered it.

https://developers.openai.com/api/docs/guides/function-calling
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from proxy.canon import Part, Tool, ToolCall
from proxy.grammar.fields import Object, Verbatim, as_object

NAMESPACE = "namespace"  # the kind of such a tool, what a call says, and where both are kept in `extra`

Spaces = Mapping[str, Object]  # by a joined name: the namespace, and the name in it


def joined(namespace: str, name: str) -> str:
    return f"{namespace}__{name}"


def apart(namespace: str, name: str) -> Verbatim:
    return Verbatim(namespace=namespace, name=name)


def members(group: Object, namespace: str, about: str, functions: Sequence[Tool]) -> list[Tool]:
    """The functions of a group as tools of their own. The first keeps the group, for its own wire."""
    tools = []
    for number, tool in enumerate(functions):
        kept = apart(namespace, tool.name) | {"group": None if number else group}
        text = "\n\n".join(filter(None, (about, tool.description)))
        named = replace(tool, name=joined(namespace, tool.name), description=text or None)
        tools.append(replace(named, extra=tool.extra | {NAMESPACE: Verbatim(kept)}))
    return tools


def is_member(tool: Tool) -> bool:
    return isinstance(tool.extra.get(NAMESPACE), Verbatim)


def group_of(tool: Tool) -> Object | None:
    """The group of a member, told once: by its first one."""
    group = tool.extra[NAMESPACE]["group"]
    return None if group is None else as_object(group)


def spaces(tools: Sequence[Tool]) -> Spaces:
    return {tool.name: tool.extra[NAMESPACE] for tool in tools if is_member(tool)}


def told_apart(part: Part, known: Spaces) -> Part:
    """A call of one of these says both names."""
    space = known.get(part.name) if isinstance(part, ToolCall) else None
    if space is None:
        return part
    assert isinstance(part, ToolCall)
    return replace(part, name=space["name"], extra=part.extra | {NAMESPACE: space[NAMESPACE]})
