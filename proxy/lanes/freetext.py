"""How does a tool that takes free text reach a provider that only has functions?

Codex edits files with such a tool (`apply_patch`), whose input is not JSON; only OpenAI's models from GPT-5 on have
them. For others the tool becomes a function with one string, and its calls reach the client as the free text that it
expects. A grammar for the text goes into the description, where nothing enforces it: a receipt says so.
https://developers.openai.com/api/docs/guides/function-calling#custom-tools
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from proxy.canon import Part, Request, Tool, ToolCall, Turn
from proxy.grammar.gpt import takes_free_text
from proxy.grammar.thinking import SAYS_NONE
from proxy.lanes.pairing import calls_in
from proxy.ports import Dialect

INPUT = "input"
_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {INPUT: {"type": "string", "description": "All of the text, as it is."}},
    "required": [INPUT],
    "additionalProperties": False,
}
NONE: frozenset[str] = frozenset()


def free_in(request: Request, dialect: Dialect) -> frozenset[str]:
    """The names of the free-text tools, if this provider has to get functions instead."""
    if request.wire not in SAYS_NONE or request.wire == dialect.name or takes_free_text(dialect.name, request.model):
        return NONE
    offered = {tool.name for tool in request.tools if tool.kind == "custom"}
    return frozenset(offered.union(call.name for call in calls_in(request.turns) if call.kind == "custom"))


def as_functions(request: Request) -> Request:
    """A copy in which such tools and their calls are functions."""
    return replace(
        request,
        tools=[_function(tool) if tool.kind == "custom" else tool for tool in request.tools],
        turns=[_turn(turn) for turn in request.turns],
    )


def lost(request: Request) -> list[str]:
    """What nothing enforces, by the client's name."""
    return [request.name_of("tool.form")] if any(map(_grammar, request.tools)) else []


def _function(tool: Tool) -> Tool:
    grammar = _grammar(tool)
    text = f"{INPUT} must follow this grammar:\n{grammar}" if grammar else None
    description = "\n\n".join(filter(None, (tool.description, text)))
    return replace(
        tool, kind="function", description=description or None, parameters=dict(_PARAMETERS), form=None, strict=None
    )


def _grammar(tool: Tool) -> str:
    """A custom tool's grammar as text; "" where it takes any text."""
    form = tool.form or {}
    if form.get("type", "text") == "text":
        return ""
    definition = form.get("definition")
    return definition if isinstance(definition, str) else json.dumps(form, ensure_ascii=False)


def _turn(turn: Turn) -> Turn:
    return replace(turn, parts=[_part(part) for part in turn.parts])


def _part(part: Part) -> Part:
    if type(part) is not ToolCall or part.kind != "custom":
        return part
    return replace(part, kind="function", arguments=json.dumps({INPUT: part.arguments}, ensure_ascii=False))


# --- the answer ------------------------------------------------------------------------------------------------------

_HEAD = 200  # characters; arguments whose text does not begin within them are not ours
_begins = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*"').match
# Complete characters of a JSON string: an escape or a surrogate pair may be cut off at the end.
_characters = re.compile(
    r'(?:[^"\\]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"
).match


class FreeText:
    """The text within arguments that come bit by bit: `{"input": "..."}`.

    Any other arguments are passed on as they came: the client's tool will complain about them.
    """

    def __init__(self) -> None:
        self._held = ""
        self._is_within = False
        self._is_over = False
        self._is_other = False

    def feed(self, arguments: str) -> str:
        if self._is_other or self._is_over:
            return arguments if self._is_other else ""
        self._held += arguments
        if not self._is_within and not self._enter():
            return self._let_go() if len(self._held) > _HEAD else ""
        found = _characters(self._held)
        assert found is not None  # the pattern also matches nothing at all
        whole, self._held = found[0], self._held[found.end() :]
        self._is_over = self._held.startswith('"')
        text: str = json.loads(f'"{whole}"', strict=False)
        return text

    def close(self) -> str:
        """What is left. Half an escape, in an answer that was cut off, is dropped."""
        return "" if self._is_within or self._is_over else self._let_go()

    def _enter(self) -> bool:
        if (head := _begins(self._held)) is not None:
            self._is_within, self._held = True, self._held[head.end() :]
        return self._is_within

    def _let_go(self) -> str:
        self._is_other, held, self._held = True, self._held, ""
        return "" if held.strip() == "{}" else held
