"""How is a Request written for Cohere?

The mirror of parse.py. Knobs that this wire lacks are dropped and named in the receipt; content that it cannot carry is
refused with its path.
"""

from typing import assert_never

from proxy.canon import (
    Audio,
    Document,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    Role,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)
from proxy.dialects.cohere.citations import spelled
from proxy.dialects.cohere.documents import lifted
from proxy.dialects.cohere.parse import PLAN
from proxy.dialects.cohere.words import (
    API,
    BUDGETS,
    DOCUMENTS,
    KNOBS,
    KNOBS_LACKED,
    MODE_WORDS,
    MOST_STOPS,
    MOST_THINKING,
    NAME,
    OWN_EFFORT,
    RANGES,
    plans,
)
from proxy.grammar.arguments import NONE
from proxy.grammar.dataurls import url_of
from proxy.grammar.fields import Object, as_list, merged, without_nulls
from proxy.grammar.functions import nest
from proxy.grammar.neighbours import joined
from proxy.grammar.nouns import noun_of
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import foreign_tool, free_text, refuse, stored_elsewhere, unaccepted
from proxy.grammar.shapes import in_words, labelled
from proxy.grammar.showing import parted, with_drawn, with_shown
from proxy.grammar.textual import document_as_text
from proxy.grammar.thinking import half_of, moot


class Encoding:
    """One request on its way out. `_own`: it came on this wire, so its `extra` goes along. `dropped` is the receipt."""

    def __init__(self, request: Request) -> None:
        self._own = request.wire == NAME
        self._shown: list[Part] = []  # returned by tools, and waiting for the next user message
        self.dropped = Receipt(request, NAME)
        narrowed = self.dropped.within(self.dropped.narrowed(request), RANGES)
        self._request = with_drawn(narrowed, NAME, self.dropped)

    def body(self) -> Object:
        request = self._request
        refuse(self._request, self._own, API)
        self.dropped.lacking(KNOBS_LACKED)
        turns, documents = lifted(request.turns) if self._own else (joined(request.turns), [])
        messages = (message for turn in turns for message in self._turn(turn))
        told = with_shown(messages, self._shown, self._showing)
        if request.format is not None and self._format() is None:
            told = [{"role": "system", "content": in_words(request.format, self.dropped)}, *told]
        body: Object = {"model": request.model, "messages": told}
        said = {key: getattr(request, name) for name, (key, _) in KNOBS.items()} | {"stop_sequences": self._stop()}
        said |= {"response_format": self._format(), "thinking": self._thinking()}
        body |= without_nulls(said)
        body |= self._tools() | {"stream": request.stream} | ({DOCUMENTS: documents} if documents else {})
        return merged(body, self.dropped.carried(request.extra) | request.demands)

    # knobs

    def _stop(self) -> list[str] | None:
        stop = self._request.stop
        return stop if self._own else self.dropped.stops(stop, MOST_STOPS)

    def _format(self) -> Object | None:
        form = self._request.format
        if form is None:
            return None
        if form.kind == "text":
            return {"type": "text"}
        if self._request.tools and not self._own:  # https://docs.cohere.com/reference/chat: a limitation
            return None
        schema = None if form.schema is None else labelled(form, self.dropped)
        return {"type": "json_object"} | ({} if schema is None else {"json_schema": schema})

    def _thinking(self) -> Object | None:
        reasoning = self._request.reasoning
        if reasoning is None:
            return None
        budget = reasoning.budget
        if self._forbids(reasoning):
            self.dropped.update(() if self._own else moot(reasoning))
            told = {} if budget is None or not self._own else {"token_budget": budget}
            return {"type": "disabled"} | told
        if self._sets_no_limit(reasoning):
            return {"type": "enabled"}
        if budget is None and reasoning.effort is None:  # a wish to see the thoughts is no wish that the model think
            self.dropped.update(["reasoning.summary"] if reasoning.summary else ())
            self.dropped.update(["reasoning.adaptive"] if reasoning.adaptive else ())
            return None
        if budget is not None and reasoning.effort is not None:  # there is room for one of them
            self.dropped.add("reasoning.effort")
        budget = self._budget(reasoning.effort or "") if budget is None else self._bounded(budget)
        return None if budget is None else {"type": "enabled", "token_budget": budget}

    def _forbids(self, reasoning: Reasoning) -> bool:
        return reasoning.off or (not self._own and (reasoning.budget == 0 or reasoning.effort == "none"))

    def _sets_no_limit(self, reasoning: Reasoning) -> bool:
        """May the model think as much as it likes?"""
        if self._own:
            return reasoning.budget is None and reasoning.effort == OWN_EFFORT
        return reasoning.budget is not None and reasoning.budget < 0

    def _bounded(self, budget: int) -> int:
        if self._own or budget <= MOST_THINKING:
            return budget
        self.dropped.add("reasoning.budget")
        return MOST_THINKING

    def _budget(self, effort: str) -> int | None:
        """The tokens that an effort stands for. If the answer has a limit, half of that is left for its text."""
        if effort not in BUDGETS:
            self.dropped.add("reasoning")
            return None
        limit = self._request.max_tokens
        return BUDGETS[effort] if limit is None else max(1, half_of(limit, BUDGETS[effort]))

    # tools

    def _tools(self) -> Object:
        tools, choice = self._request.tools, self._request.tool_choice
        mode = "auto" if choice is None else choice.mode
        if mode == "tool":  # the wire can only require any tool, so only the chosen one is offered
            mode, tools = "required", self._only(tools)
        body: Object = {}
        if tools:
            body["tools"] = [self._tool(tool) for tool in tools]
        if (strict := self._strict(tools)) is not None:
            body["strict_tools"] = strict
        if mode in MODE_WORDS and (tools or self._own):  # a choice among no tools means nothing
            body["tool_choice"] = MODE_WORDS[mode]
        return body

    def _strict(self, tools: list[Tool]) -> bool | None:
        """It is said of all tools at once, and refused if one of them requires no parameter.

        https://docs.cohere.com/docs/tool-use-parameter-types#important-notes
        """
        asked = {tool.strict for tool in tools}
        if True not in asked:
            return False if False in asked and self._own else None
        binds = self._own or all((tool.parameters or {}).get("required") for tool in tools)
        if len(asked) > 1 or not binds:
            self.dropped.add("tool.strict")
        return True if binds else None

    def _only(self, tools: list[Tool]) -> list[Tool]:
        choice = self._request.tool_choice
        named = [tool for tool in tools if choice is not None and tool.name == choice.name]
        if not named:
            self.dropped.add("tool_choice")
        elif len(named) < len(tools):
            self.dropped.add("tools")
        return named or tools

    def _tool(self, tool: Tool) -> Object:
        if tool.kind != "function":
            raise foreign_tool(tool, API)
        said = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        if not self._own and not tool.parameters:  # required
            said["parameters"] = {"type": "object", "properties": {}}
        return nest("function", without_nulls(said), self.dropped.marks(tool))

    # messages

    def _turn(self, turn: Turn) -> list[Object]:
        """The messages of a turn. Each result is a message of its own, before the rest of the turn."""
        extra = self.dropped.carried(turn.extra)
        if turn.is_order and not self._own:
            return []
        if turn.role == "assistant":
            return [extra | self._spoken(turn)]
        heard, parts = turn.role == "user", [document_as_text(part, self.dropped.unquoted) for part in turn.parts]
        messages = [self._result(part) for part in parts if isinstance(part, ToolResult) and heard]
        rest = [part for part in parts if not (isinstance(part, ToolResult) and heard)]
        if rest or not messages:
            role = "system" if turn.role == "developer" else turn.role
            messages.append({"role": role, "content": self._content(rest, turn.role)} | extra)
        return messages

    def _result(self, result: ToolResult) -> Object:
        if result.is_error:
            self.dropped.add("tool_result.is_error")
        told, shown = (result.parts, list[Part]()) if self._own else parted(result)
        for part in told:
            if not isinstance(part, Text | Opaque):
                raise unaccepted(part, API, f"{noun_of(part)} in a tool result, only text and images")
        self._shown += shown
        content = self._content(told, None)
        return {"role": "tool", "tool_call_id": result.id, "content": content} | self.dropped.marks(result)

    def _showing(self, shown: list[Part]) -> Object:
        return {"role": "user", "content": self._content(shown, "user")}

    def _spoken(self, turn: Turn) -> Object:
        message: Object = {"role": "assistant"}
        content: list[Part] = []
        citations: list[Object] = []
        for part in (document_as_text(part, self.dropped.unquoted) for part in turn.parts):
            if isinstance(part, ToolCall):
                message.setdefault("tool_calls", []).append(self._call(part))
            elif isinstance(part, Thinking) and self._is_plan(part, turn):
                message["tool_plan"] = message.get("tool_plan", "") + part.text
            elif isinstance(part, Thinking) and not self._takes(part):
                self.dropped.add("thinking")
            else:
                citations += self._cited(part, len(content))
                content.append(part)
        if citations:
            message["citations"] = citations + as_list(turn.extra.get("citations"))
        if content or len(message) == 1:
            message["content"] = self._content(content, turn.role)
        return message

    def _is_plan(self, thought: Thinking, turn: Turn) -> bool:
        """Other wires have no plans, so that a thought before calls becomes one."""
        if self._own or thought.redacted or not plans(self._request.model):
            return PLAN in thought.extra
        return any(isinstance(part, ToolCall) for part in turn.parts)

    def _takes(self, thought: Thinking) -> bool:
        """Redacted thoughts mean nothing to Cohere, and a model that does not think gets none at all."""
        return self._own or not (thought.redacted or plans(self._request.model))

    def _cited(self, part: Part, index: int) -> list[Object]:
        return spelled(part.citations, index, part.text) if isinstance(part, Text) and self._own else []

    def _call(self, call: ToolCall) -> Object:
        if call.kind == "custom":
            raise free_text(call, API)
        self.dropped.unsealed(call)
        arguments = call.arguments if self._own or call.arguments not in NONE else "{}"  # JSON, so never empty
        return {"id": call.id} | nest("function", {"name": call.name, "arguments": arguments}, self.dropped.marks(call))

    def _content(self, parts: list[Part], role: Role | None) -> object:
        """A string if that is enough. `role`: None in a tool's result."""
        items = [self._item(part, role) for part in parts]
        if not items:
            return ""
        alone = len(items) == 1 and items[0].keys() == {"type", "text"} and items[0]["type"] == "text"
        return items[0]["text"] if alone else items

    def _item(self, part: Part, role: Role | None) -> Object:
        match part:
            case Text():
                if self._own and "document" in part.extra:
                    return {"type": "document", **part.extra}
                self.dropped.unsealed(part)
                if part.citations and not self._own:
                    self.dropped.add("text.citations")
                return {"type": "text", "text": part.text} | self.dropped.marks(part)
            case Refusal():
                return {"type": "text", "text": part.text} | self.dropped.marks(part)
            case Thinking() if role == "assistant":
                return {"type": "thinking", "thinking": part.text} | self.dropped.marks(part)
            case Image() if role is not None and (role == "user" or self._own):
                return self._image(part)
            case Opaque(wire="cohere"):
                return part.value
            case Thinking() | Image() | ToolCall() | ToolResult() | Audio() | Video() | Document() | Opaque():
                where = "a tool result" if role is None else f"{role} messages"
                raise unaccepted(part, API, f"{noun_of(part)} in {where}")
            case _:
                assert_never(part)

    def _image(self, part: Image) -> Object:
        source = part.source
        if isinstance(source, Stored):
            raise stored_elsewhere(part.at)
        inner = {"url": url_of(source)} | ({"detail": part.detail} if part.detail else {})
        return nest("image_url", inner, self.dropped.marks(part))
