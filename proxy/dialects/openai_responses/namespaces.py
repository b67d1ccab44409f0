"""By what name does a tool of a namespace go, where a wire has no namespaces?

Functions may stand in a group that has a name of its own, and a call of one says both names: Codex offers so what it
does with agents, and the tools of its MCP servers. On every other wire a tool has one name. So the two are joined, as
MCP's clients do it, and what calls it is told apart again by the request that offered it.

https://developers.openai.com/api/docs/guides/function-calling
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from proxy.canon import Part, Tool, ToolCall, ToolChoice
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


def by_joined_names(choice: ToolChoice | None, tools: Sequence[Tool]) -> ToolChoice | None:
    """A choice names a function as its namespace does, and has no word for that: what has the name may be called."""
    if choice is None or not any(map(is_member, tools)):
        return choice
    asked = choice.among or (() if choice.name is None else (choice.name,))
    found = dict.fromkeys(name for said in asked for name in _called(said, tools))
    if choice.mode == "tool" and len(found) > 1:
        return ToolChoice("required", among=tuple(found))
    return replace(choice, name=next(iter(found))) if choice.mode == "tool" else replace(choice, among=tuple(found))


def _called(said: str, tools: Sequence[Tool]) -> Sequence[str]:
    """The tools that a choice may mean by a name; one that is its own goes before a namespace's."""
    if any(tool.name == said for tool in tools):
        return (said,)
    return [tool.name for tool in tools if is_member(tool) and inner_name(tool) == said] or (said,)


def inner_name(tool: Tool) -> str:
    """Of a member, in its namespace."""
    return str(tool.extra[NAMESPACE]["name"])


def spaces(tools: Sequence[Tool]) -> Spaces:
    return {tool.name: tool.extra[NAMESPACE] for tool in tools if is_member(tool)}


def told_apart(part: Part, known: Spaces) -> Part:
    """A call of one of these says both names."""
    space = known.get(part.name) if isinstance(part, ToolCall) else None
    if space is None:
        return part
    assert isinstance(part, ToolCall)
    return replace(part, name=space["name"], extra=part.extra | {NAMESPACE: space[NAMESPACE]})
