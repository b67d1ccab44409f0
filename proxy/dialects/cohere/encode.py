"""How is a Request said to Cohere?

The mirror of parse.py. Knobs that this wire lacks are dropped and named in the receipt; content that it cannot carry is
refused with its path.
"""

from typing import assert_never

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Request,
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
from proxy.dialects.cohere.parse import PLAN
from proxy.dialects.cohere.words import BUDGETS, KNOBS, LACKED, MODE_WORDS, NAME, OWN_EFFORT, RANGES
from proxy.errors import Unrepresentable
from proxy.fields import Object, as_list, as_object


class Encoding:
    """One request on its way to the wire. `own`: it came on this wire, so that `extra` means something here."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._own = request.wire == NAME
        self.dropped: set[str] = set()

    def body(self) -> Object:
        request = self._request
        self._refuse()
        self._leave_out()
        body: Object = {"model": request.model, "messages": [one for turn in request.turns for one in self._turn(turn)]}
        said = {key: self._within(name) for name, (key, _) in KNOBS.items()}
        said |= {"response_format": self._format(), "thinking": self._thinking()}
        body |= {key: value for key, value in said.items() if value is not None}
        body |= self._tools() | {"stream": request.stream}
        return _merged(body, self._carry(request.extra) | request.demands)

    def _refuse(self) -> None:
        request = self._request
        if request.n is not None and request.n > 1:
            raise Unrepresentable(f"n is {request.n}, and Cohere's wire carries one choice.", param="n")
        if not self._own:
            for key in request.demands:
                raise Unrepresentable(f"{key} cannot be said on Cohere's wire.", param=key)

    def _leave_out(self) -> None:
        """The knobs that the wire lacks, those apart that ask for what happens anyway."""
        for key, idle in LACKED.items():
            value = getattr(self._request, key)
            if value is not None and value not in idle:
                self.dropped.add(key)

    def _carry(self, extra: Object) -> Object:
        """What only the wire of origin knows: kept where this is it, else receipted."""
        if self._own:
            return extra
        self.dropped.update(extra)
        return {}

    def _marks(self, part: Part | Tool) -> Object:
        if part.cache is not None:
            self.dropped.add("cache_control")
        return self._carry(part.extra)

    # knobs

    def _within(self, name: str) -> object:
        """A knob, brought to what the wire takes; that is receipted."""
        value = getattr(self._request, name)
        if self._own or value is None or name not in RANGES:
            return value
        least, most = RANGES[name]
        near = min(max(value, least), most)
        if near != value:
            self.dropped.add(name)
        return near

    def _format(self) -> Object | None:
        form = self._request.format
        if form is None:
            return None
        if form.description:
            self.dropped.add("response_format")
        if form.kind == "text":
            return {"type": "text"}
        return {"type": "json_object"} | ({} if form.schema is None else {"json_schema": form.schema})

    def _thinking(self) -> Object | None:
        reasoning = self._request.reasoning
        if reasoning is None:
            return None
        budget = reasoning.budget
        if reasoning.off or (not self._own and (budget == 0 or reasoning.effort == "none")):
            told = {} if budget is None or not self._own else {"token_budget": budget}
            return {"type": "disabled"} | told
        unmeasured = budget is not None and budget < 0  # Gemini's word for: as many as the model likes
        if unmeasured or (budget is None and self._own and reasoning.effort == OWN_EFFORT):
            return {"type": "enabled"}
        if budget is None:
            budget = self._budget(reasoning.effort)
        return None if budget is None else {"type": "enabled", "token_budget": budget}

    def _budget(self, effort: str | None) -> int | None:
        """The tokens that an effort stands for. Of an answer that is limited it leaves half to be said."""
        if effort is None:
            return None
        if effort not in BUDGETS:
            self.dropped.add("reasoning")
            return None
        limit = self._request.max_tokens
        return BUDGETS[effort] if limit is None else max(1, min(BUDGETS[effort], limit // 2))

    # tools

    def _tools(self) -> Object:
        tools, choice = self._request.tools, self._request.tool_choice
        mode = "auto" if choice is None else choice.mode
        if mode == "tool":  # the wire can only ask for some tool: so that one alone is on offer
            mode, tools = "required", self._only(tools)
        strict = {bool(tool.strict) for tool in tools if tool.strict is not None}
        if len(strict) > 1 or (True in strict and any(tool.strict is None for tool in tools)):
            self.dropped.add("strict")
        body: Object = {}
        if tools:
            body["tools"] = [self._tool(tool, tool.at or f"tools[{place}]") for place, tool in enumerate(tools)]
        if True in strict or (strict and self._own):
            body["strict_tools"] = True in strict
        if mode in MODE_WORDS and (tools or self._own):  # a choice among no tools says nothing
            body["tool_choice"] = MODE_WORDS[mode]
        return body

    def _only(self, tools: list[Tool]) -> list[Tool]:
        choice = self._request.tool_choice
        named = [tool for tool in tools if choice is not None and tool.name == choice.name]
        if not named:
            self.dropped.add("tool_choice")
        return named or tools

    def _tool(self, tool: Tool, at: str) -> Object:
        if tool.kind != "function":
            raise Unrepresentable(f"{at} is of type {tool.kind}, which Cohere's wire has not.", param=at)
        said = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        if not self._own and not tool.parameters:  # required
            said["parameters"] = {"type": "object", "properties": {}}
        return _function({key: value for key, value in said.items() if value is not None}, self._marks(tool))

    # messages

    def _turn(self, turn: Turn) -> list[Object]:
        """Results are messages of their own, and go before the rest of their turn."""
        extra = self._carry(turn.extra)
        if turn.role == "assistant":
            return [extra | self._spoken(turn)]
        heard = turn.role == "user"
        placed = [(part, f"{turn.at}.content[{place}]") for place, part in enumerate(turn.parts)]
        messages = [self._result(part, at) for part, at in placed if isinstance(part, ToolResult) and heard]
        rest = [(part, at) for part, at in placed if not (isinstance(part, ToolResult) and heard)]
        if rest or not messages:
            role = "system" if turn.role == "developer" else turn.role
            messages.append({"role": role, "content": self._content(rest, turn)} | extra)
        return messages

    def _result(self, result: ToolResult, at: str) -> Object:
        if result.is_error is not None:
            self.dropped.add("is_error")
        parts = [(part, at) for part in result.parts]
        for part in result.parts:
            if not isinstance(part, Text | Opaque):
                raise Unrepresentable(f"{at}: a tool result of Cohere's wire holds text alone.", param=at)
        content = self._content(parts, None)
        return {"role": "tool", "tool_call_id": result.id, "content": content} | self._marks(result)

    def _spoken(self, turn: Turn) -> Object:
        message: Object = {"role": "assistant"}
        content: list[tuple[Part, str]] = []
        citations: list[Object] = []
        for place, part in enumerate(turn.parts):
            at = f"{turn.at}.content[{place}]"
            if isinstance(part, ToolCall):
                message.setdefault("tool_calls", []).append(self._call(part, at))
            elif isinstance(part, Thinking) and part.extra.get(PLAN) is True:
                message["tool_plan"] = message.get("tool_plan", "") + part.text
            elif isinstance(part, Thinking) and not self._own:
                self.dropped.add("thinking")  # many of Cohere's models do not take any, and no user has seen it
            else:
                citations += self._cited(part, len(content))
                content.append((part, at))
        if citations:
            message["citations"] = citations + as_list(turn.extra.get("citations"))
        if content or len(message) == 1:
            message["content"] = self._content(content, turn)
        return message

    def _cited(self, part: Part, index: int) -> list[Object]:
        if not isinstance(part, Text) or not part.citations:
            return []
        if not self._own:
            self.dropped.add("citations")
            return []
        return spelled(part.citations, index)

    def _call(self, call: ToolCall, at: str) -> Object:
        if call.kind == "custom":
            raise Unrepresentable(f"{at} calls a tool with free text, and Cohere's wire takes JSON alone.", param=at)
        arguments = call.arguments if self._own else call.arguments or "{}"  # JSON text, so not empty
        return {"id": call.id} | _function({"name": call.name, "arguments": arguments}, self._marks(call))

    def _content(self, parts: list[tuple[Part, str]], turn: Turn | None) -> object:
        """A string where one will do. `turn`: None in a tool's result."""
        items = [self._item(part, at, turn) for part, at in parts]
        if not items:
            return ""
        alone = len(items) == 1 and items[0].keys() == {"type", "text"} and items[0]["type"] == "text"
        return items[0]["text"] if alone else items

    def _item(self, part: Part, at: str, turn: Turn | None) -> Object:
        match part:
            case Text():
                if self._own and "document" in part.extra:
                    return {"type": "document", **part.extra}
                return {"type": "text", "text": part.text} | self._marks(part)
            case Refusal():
                return {"type": "text", "text": part.text} | self._marks(part)
            case Thinking() if turn is not None and turn.role == "assistant":
                return {"type": "thinking", "thinking": part.text} | self._marks(part)
            case Image() if turn is not None and (turn.role == "user" or self._own):
                return self._image(part, at)
            case Opaque(wire="cohere"):
                return part.value
            case Thinking() | Image() | ToolCall() | ToolResult() | Audio() | Video() | Document() | Opaque():
                what = f"a block of the {part.wire} wire" if isinstance(part, Opaque) else type(part).__name__.lower()
                raise Unrepresentable(f"{at} is {what}, which Cohere's wire cannot carry there.", param=at)
            case _:
                assert_never(part)

    def _image(self, part: Image, at: str) -> Object:
        source = part.source
        if isinstance(source, Stored):
            raise Unrepresentable(f"{at} is a file at another provider.", param=at)
        url = f"data:{source.media_type};base64,{source.data}" if isinstance(source, Inline) else source.url
        marks = self._marks(part)
        inner = {"url": url} | ({"detail": part.detail} if part.detail else {})
        return {"type": "image_url", **marks, "image_url": inner | as_object(marks.get("image_url"))}


def _function(inner: Object, marks: Object) -> Object:
    """A tool, or a call of one, with what was left over at both levels."""
    return {"type": "function", **marks, "function": inner | as_object(marks.get("function"))}


def _merged(body: Object, more: Object) -> Object:
    """`body` and `more`; where both have an object, the two in one."""
    shared = [key for key, value in more.items() if isinstance(value, dict) and isinstance(body.get(key), dict)]
    return body | more | {key: body[key] | more[key] for key in shared}
