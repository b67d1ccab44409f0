"""By what names and ids does a provider know tools and their calls, where its wire does not take the client's?

MCP's servers, Gemini's clients and Ollama's call tools by names with dots, slashes, or more than 64 characters, for
which OpenAI, Anthropic and Bedrock refuse a whole request; and what one host gives a call for an id is too long for
another, or has odd characters. Such a word is spelled so that it fits, everywhere in the request and each time alike;
calls.py tells the answer's calls by the client's own names again.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256

from msgspec.structs import replace

from proxy.canon import Part, Request, Tool, ToolCall, ToolChoice, ToolResult, Turn
from proxy.ports import Dialect, ToolNames

_DIGEST = 8  # characters of what tells two names apart that would be one

Names = Mapping[str, str]  # one side's, by the other's
AS_THEY_ARE: Names = {}


def named(request: Request, dialect: Dialect, own: bool = False, length: int | None = None) -> tuple[Request, Names]:
    """The request as a provider of this wire may hear it, and the client's names of tools by those in it.

    `own`: it came on this wire, and so keeps to its rules, or is told by its host. `length`: of ids, where the host
    takes so many letters and digits alone; that is no rule of the wire, and no client of another host keeps to it.
    """
    if own and length is None:
        return request, AS_THEY_ARE
    parts = (part for turn in request.turns for part in turn.parts)
    calls = [part for part in parts if type(part) is ToolCall or type(part) is ToolResult]
    names = {} if own else _names(_tools(request.tools, calls), dialect.tool_names)
    ids = _ids(calls, dialect.call_ids) if length is None else _short_ids(calls, length)
    if not names and not ids:
        return request, AS_THEY_ARE  # as nearly always
    renamed = replace(
        request,
        tools=[replace(tool, name=names.get(tool.name, tool.name)) for tool in request.tools],
        tool_choice=_chosen(request.tool_choice, names),
        turns=[_turn(turn, names, ids) for turn in request.turns],
    )
    return renamed, {said: name for name, said in names.items()}


def _tools(tools: Iterable[Tool], calls: Iterable[ToolCall | ToolResult]) -> set[str]:
    return {tool.name for tool in tools} | {call.name for call in calls if type(call) is ToolCall}


def _names(names: set[str], rule: ToolNames | None) -> dict[str, str]:
    """How those are spelled that this wire does not take."""
    if rule is None or all(map(rule.takes, names)):
        return {}
    spelled: dict[str, str] = {}
    taken = set(filter(rule.takes, names))
    for name in sorted(names - taken):
        spelled[name] = said = _spelled(name, rule, taken)
        taken.add(said)
    return spelled


def _spelled(name: str, rule: ToolNames, taken: Iterable[str]) -> str:
    said = rule.odd.sub("_", name)
    if len(said) <= rule.longest and said not in taken and said.strip("_"):
        return said
    return f"{said[: rule.longest - _DIGEST - 1]}_{_digest(name)[:_DIGEST]}"


def _ids(calls: Iterable[ToolCall | ToolResult], fits: re.Pattern[str] | None) -> dict[str, str]:
    """What becomes of the ids that this wire does not take."""
    if fits is None:
        return {}
    return {name: f"call_{_digest(name)[:24]}" for name in {call.id for call in calls} if not fits.fullmatch(name)}


def _short_ids(calls: Iterable[ToolCall | ToolResult], length: int) -> dict[str, str]:
    fits = re.compile(rf"[a-zA-Z0-9]{{{length}}}")
    return {name: _digest(name)[:length] for name in _ids(calls, fits)}


def has_odd_id(body: bytes, length: int) -> bool:
    """Is there a call in this body of Chat Completions whose id its host would refuse? It need not have a result."""
    return (
        b'"tool_call' in body
        and re.search(rb'"(?:tool_call_)?id"\s*:\s*"(?![a-zA-Z0-9]{%d}")' % length, body) is not None
    )


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
