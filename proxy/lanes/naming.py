"""What are tools and calls named to a provider whose wire refuses the client's names and ids?

Clients of MCP servers, Gemini and Ollama name tools with dots, slashes or more than 64 characters, for which OpenAI,
Anthropic and Bedrock refuse the whole request; and one host's call ids are too long for another, or have odd
characters. Such a word is replaced by one that fits, everywhere in the request and each time by the same; calls.py
gives the answer's calls the client's names again.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256

from msgspec.structs import replace

from proxy.canon import Part, Request, Tool, ToolCall, ToolChoice, ToolResult, Turn
from proxy.errors import UpstreamError
from proxy.ports import Dialect, ToolNames

_DIGEST = 8  # characters that tell apart two names that would become one

Names = Mapping[str, str]  # the names of one side by those of the other
AS_THEY_ARE: Names = {}


def named(request: Request, dialect: Dialect, own: bool = False, length: int | None = None) -> tuple[Request, Names]:
    """The request with names that this wire takes, and the client's names of its tools by those.

    `own`: it came on this wire, so its tools have names by its rules, or the host says that they do not. Its ids may be
    of another wire's host, which answered an earlier turn. `length`: for a host whose call ids must have so many
    letters and digits. That is not a rule of the wire, and other hosts' clients do not follow it.
    """
    calls = [
        part for turn in request.turns for part in turn.parts if type(part) is ToolCall or type(part) is ToolResult
    ]
    names = {} if own else _respelled(_tool_names(request.tools, calls), dialect.tool_names)
    ids = _ids(calls, dialect.call_ids) if length is None else _short_ids(calls, length)
    if not names and not ids:
        return request, AS_THEY_ARE  # nearly always
    renamed = replace(
        request,
        tools=[replace(tool, name=names.get(tool.name, tool.name)) for tool in request.tools],
        tool_choice=_chosen(request.tool_choice, names),
        turns=[_turn(turn, names, ids) for turn in request.turns],
    )
    return renamed, {said: name for name, said in names.items()}


def _tool_names(tools: Iterable[Tool], calls: Iterable[ToolCall | ToolResult]) -> set[str]:
    return {tool.name for tool in tools} | {call.name for call in calls if type(call) is ToolCall}


def _respelled(names: set[str], rule: ToolNames | None) -> dict[str, str]:
    """New spellings for the names that this wire does not take."""
    if rule is None or all(map(rule.takes, names)):
        return {}
    spelled: dict[str, str] = {}
    taken = set(filter(rule.takes, names))
    for name in sorted(names - taken):
        spelled[name] = said = _spelled(name, rule, taken)
        taken.add(said)
    return spelled


def _spelled(name: str, rule: ToolNames, taken: Iterable[str]) -> str:
    said = rule.odd.sub("_", name[: rule.longest + 1])  # the rest of a longer one is left out anyway
    if len(said) <= rule.longest and said not in taken and said.strip("_"):
        return said
    return f"{said[: rule.longest - _DIGEST - 1]}_{_digest(name)[:_DIGEST]}"


def _ids(calls: Iterable[ToolCall | ToolResult], fits: re.Pattern[str] | None) -> dict[str, str]:
    """New ids for those that this wire does not take."""
    if fits is None:
        return {}
    return {name: f"call_{_digest(name)[:24]}" for name in {call.id for call in calls} if not fits.fullmatch(name)}


def _short_ids(calls: Iterable[ToolCall | ToolResult], length: int) -> dict[str, str]:
    fits = re.compile(rf"[a-zA-Z0-9]{{{length}}}")
    return {name: _digest(name)[:length] for name in _ids(calls, fits)}


def has_odd_id(body: bytes, length: int) -> bool:
    """Does this body of Chat Completions have a call whose id the host would refuse, even one without a result?"""
    return (
        b'"tool_call' in body
        and re.search(rb'"(?:tool_call_)?id"\s*:\s*"(?![a-zA-Z0-9]{%d}")' % length, body) is not None
    )


def minds_ids(error: UpstreamError) -> bool:
    """Does the provider refuse an id on its own wire, since another host gave it, in an earlier turn?

    Nobody looks for them before: that would cost every body which passes through, and hardly any has one.
    """
    return error.upstream_status == 400 and _is_of_an_id(error.message) is not None


# Anthropic: "messages.1.content.0.tool_use.id: String should match pattern ...". Converse: "Value at
# '...toolUse.toolUseId' failed to satisfy constraint: ...". OpenAI: "Invalid 'messages[1].tool_calls[0].id': string too
# long."
_is_of_an_id = re.compile(
    r"(?i)(?:tool_use\.id|tool_?use_?id|tool_calls\[\d+\]\.id|call_id)\b.{0,80}(?:pattern|constraint|too long|length)",
    re.DOTALL,
).search


def _digest(name: str) -> str:
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _turn(turn: Turn, names: Names, ids: Names) -> Turn:
    return replace(turn, parts=[_part(part, names, ids) for part in turn.parts])


def _part(part: Part, names: Names, ids: Names) -> Part:
    if type(part) is ToolCall:
        return replace(part, name=names.get(part.name, part.name), id=ids.get(part.id, part.id))
    return replace(part, id=ids[part.id]) if type(part) is ToolResult and part.id in ids else part


def _chosen(choice: ToolChoice | None, names: Names) -> ToolChoice | None:
    if choice is None:
        return None
    name = None if choice.name is None else names.get(choice.name, choice.name)
    return replace(choice, name=name, among=tuple(names.get(one, one) for one in choice.among))
