"""What is a tool of a namespace called on a wire that has no namespaces?

Functions may be grouped in a namespace, and a call of one gives both names: Codex offers its agent tools so, and those
of its MCP servers. On every other wire a tool has one name. So the two names are joined, as MCP clients do it, and a
call is split again with the help of the request that offered the tool.

https://developers.openai.com/api/docs/guides/function-calling
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from proxy.canon import Part, Tool, ToolCall, ToolChoice
from proxy.grammar.fields import Object, Verbatim, as_object

NAMESPACE = "namespace"  # the type of such a group, the field of a call, and the key of both in `extra`

Spaces = Mapping[str, Object]  # by joined name: the namespace, and the name within it


def joined(namespace: str, name: str) -> str:
    return f"{namespace}__{name}"


def apart(namespace: str, name: str) -> Verbatim:
    return Verbatim(namespace=namespace, name=name)


def members(group: Object, namespace: str, about: str, functions: Sequence[Tool]) -> list[Tool]:
    """The functions of a group as separate tools. The first one keeps the group as it came, for this wire."""
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
    """The group, if the tool is its first member; otherwise None, so that the group goes out once."""
    group = tool.extra[NAMESPACE]["group"]
    return None if group is None else as_object(group)


def by_joined_names(choice: ToolChoice | None, tools: Sequence[Tool]) -> ToolChoice | None:
    """A choice cannot name a namespace, only the function in it. So every function of that name may be called."""
    if choice is None or not any(map(is_member, tools)):
        return choice
    asked = choice.among or (() if choice.name is None else (choice.name,))
    found = dict.fromkeys(name for said in asked for name in _called(said, tools))
    if choice.mode == "tool" and len(found) > 1:
        return ToolChoice("required", among=tuple(found))
    return replace(choice, name=next(iter(found))) if choice.mode == "tool" else replace(choice, among=tuple(found))


def _called(said: str, tools: Sequence[Tool]) -> Sequence[str]:
    """The tools that a choice may mean by a name. A tool outside all namespaces comes first."""
    if any(tool.name == said for tool in tools):
        return (said,)
    return [tool.name for tool in tools if is_member(tool) and inner_name(tool) == said] or (said,)


def inner_name(tool: Tool) -> str:
    """The name of a member within its namespace."""
    return str(tool.extra[NAMESPACE]["name"])


def spaces(tools: Sequence[Tool]) -> Spaces:
    return {tool.name: tool.extra[NAMESPACE] for tool in tools if is_member(tool)}


def told_apart(part: Part, known: Spaces) -> Part:
    """Splits the name of a call, if it calls a member of a namespace."""
    space = known.get(part.name) if isinstance(part, ToolCall) else None
    if space is None:
        return part
    assert isinstance(part, ToolCall)
    return replace(part, name=space["name"], extra=part.extra | {NAMESPACE: space[NAMESPACE]})
