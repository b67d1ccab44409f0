"""How does a tool that takes free text reach a provider that knows functions alone?

Codex edits files with one (`apply_patch`), whose input is no JSON; beside OpenAI's models from GPT-5 on nobody has
such tools. There it is a function of one text, and what is called so is told to the client as the free text that it
asked for. A grammar that the text must follow stands in the description, where nobody is held to it: a receipt says so.
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
    """The names of such tools, where this provider has to be told of functions."""
    if request.wire not in SAYS_NONE or request.wire == dialect.name or takes_free_text(dialect.name, request.model):
        return NONE
    offered = {tool.name for tool in request.tools if tool.kind == "custom"}
    return frozenset(offered.union(call.name for call in calls_in(request.turns) if call.kind == "custom"))


def as_functions(request: Request) -> Request:
    """A copy, in which such tools and calls are functions and theirs."""
    return replace(
        request,
        tools=[_function(tool) if tool.kind == "custom" else tool for tool in request.tools],
        turns=[_turn(turn) for turn in request.turns],
    )


def lost(request: Request) -> list[str]:
    """What is not held to, by the client's name."""
    return [request.name_of("tool.form")] if any(map(_grammar, request.tools)) else []


def _function(tool: Tool) -> Tool:
    grammar = _grammar(tool)
    text = f"{INPUT} must follow this grammar:\n{grammar}" if grammar else None
    description = "\n\n".join(filter(None, (tool.description, text)))
    return replace(
        tool, kind="function", description=description or None, parameters=dict(_PARAMETERS), form=None, strict=None
    )


def _grammar(tool: Tool) -> str:
    """That of a custom tool, as text; "" where any will do."""
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

_HEAD = 200  # characters in which the text begins, or it is none
_begins = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*"').match
# Whole characters of a JSON text: of an escape, or of a surrogate pair, the rest may be still to come.
_characters = re.compile(
    r'(?:[^"\\]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"
).match


class FreeText:
    """The text within arguments that come bit by bit: `{"input": "..."}`.

    Whatever else a model says for arguments is told as it came: the client's tool will complain of it.
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
        assert found is not None  # it matches nothing as well
        whole, self._held = found[0], self._held[found.end() :]
        self._is_over = self._held.startswith('"')
        text: str = json.loads(f'"{whole}"', strict=False)
        return text

    def close(self) -> str:
        """What is left: half an escape of an answer that was cut is nothing."""
        return "" if self._is_within or self._is_over else self._let_go()

    def _enter(self) -> bool:
        if (head := _begins(self._held)) is not None:
            self._is_within, self._held = True, self._held[head.end() :]
        return self._is_within

    def _let_go(self) -> str:
        self._is_other, held, self._held = True, self._held, ""
        return "" if held.strip() == "{}" else held
