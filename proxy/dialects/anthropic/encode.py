"""How is a Request said to Anthropic?

The mirror of parse.py. Knobs that this wire lacks are dropped and named in the receipt; content that it cannot carry is
refused with its path.
"""

import base64
import binascii
import re
from hashlib import sha256
from typing import assert_never

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Request,
    Source,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)
from proxy.dialects.anthropic.citations import spelled
from proxy.dialects.anthropic.words import (
    BUDGETS,
    DEFAULT_MAX_TOKENS,
    IMAGES,
    KNOBS_LACKED,
    MIN_BUDGET,
    MODE_WORDS,
    NAME,
    TIERS,
)
from proxy.envelope import parse_object
from proxy.errors import BadRequest, Unrepresentable
from proxy.fields import Object

_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")


class Encoding:
    """One request on its way to the wire. `own`: it came on this wire, so that `extra` means something here."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._own = request.wire == NAME
        self.dropped: set[str] = set()

    def body(self) -> Object:
        request = self._request
        self._refuse()
        system, turns = self._parted()
        body: Object = {"model": request.model, **self._limits(), "messages": self._messages(turns)}
        said = {
            "system": [block for turn in system for block in self._blocks(turn)],
            "stream": request.stream,
            "tools": [self._tool(tool, f"tools[{index}]") for index, tool in enumerate(request.tools)],
            "tool_choice": self._tool_choice(),
            "metadata": {} if request.user is None else {"user_id": request.user},
            "service_tier": self._tier(),
            "output_config": self._output(),
        }
        body |= {key: value for key, value in said.items() if value}
        if not body["messages"] and not self._own:
            raise Unrepresentable("messages holds no text, and this wire wants at least one turn.", param="messages")
        body |= self._stop() | self._sampling("budget_tokens" in body.get("thinking", ()))
        self._leave_out()
        return _merged(body, request.extra | request.demands) if self._own else body

    def _refuse(self) -> None:
        request = self._request
        if request.n is not None and request.n > 1:
            raise Unrepresentable(f"n is {request.n}, and Anthropic's wire carries one choice.", param="n")
        if not self._own:
            for key in request.demands:
                raise Unrepresentable(f"{key} cannot be said on Anthropic's wire.", param=key)

    def _leave_out(self) -> None:
        """The knobs that the wire lacks, those apart that are set to do nothing."""
        request = self._request
        for key in KNOBS_LACKED:
            if getattr(request, key):
                self.dropped.add(key)
        if request.seed is not None:
            self.dropped.add("seed")
        if not self._own:
            self.dropped.update(request.extra)

    # knobs

    def _stop(self) -> Object:
        stop = self._request.stop
        if stop is None or self._own:
            return {} if stop is None else {"stop_sequences": stop}
        solid = [text for text in stop if text.strip()]  # the wire refuses blank ones
        if len(solid) < len(stop):
            self.dropped.add("stop")
        return {"stop_sequences": solid} if solid else {}

    def _sampling(self, thinking: bool) -> Object:
        """`thinking` allows neither temperature nor top_k, and top_p from 0.95 to 1 only (.../extended-thinking)."""
        request = self._request
        knobs = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
        said: Object = {key: value for key, value in knobs.items() if value is not None}
        if self._own:
            return said
        if said.get("temperature", 0) > 1:
            said["temperature"] = 1.0
            self.dropped.add("temperature")
        for key in [key for key in said if thinking and not _thinks_with(key, said[key])]:
            del said[key]
            self.dropped.add(key)
        return said

    def _tier(self) -> str | None:
        tier = self._request.service_tier
        if tier is None or self._own:
            return tier
        if tier not in TIERS:
            self.dropped.add("service_tier")
        return TIERS.get(tier)

    def _output(self) -> Object:
        """The SDK's GA types have `output_config.format`; a JSON mode without a schema there is not."""
        shape, reasoning = self._request.format, self._request.reasoning
        effort = reasoning.effort if self._own and reasoning is not None else None
        output: Object = {} if effort is None else {"effort": effort}
        if shape is None or shape.kind == "text":
            return output
        if shape.schema is None:
            self.dropped.add("response_format")
            return output
        if shape.description:
            self.dropped.add("response_format")
        return output | {"format": {"type": "json_schema", "schema": shape.schema}}

    def _limits(self) -> Object:
        """max_tokens and thinking, each of which bounds the other."""
        limit, reasoning = self._request.max_tokens, self._request.reasoning
        room = DEFAULT_MAX_TOKENS if limit is None else limit
        if reasoning is None:
            return {"max_tokens": room}
        if reasoning.off or (not self._own and (reasoning.budget == 0 or reasoning.effort == "none")):
            return {"max_tokens": room, "thinking": {"type": "disabled"}}
        budget = reasoning.budget if self._own else self._budget(reasoning, limit)
        if budget is None:
            return {"max_tokens": room}
        total = room + budget if limit is None else room
        return {"max_tokens": total, "thinking": {"type": "enabled", "budget_tokens": budget}}

    def _budget(self, reasoning: Reasoning, limit: int | None) -> int | None:
        """Tokens to think with: at least what the wire takes, and less than `limit`. None, with a receipt: not so."""
        wanted = BUDGETS.get(reasoning.effort or "") if reasoning.budget is None else reasoning.budget
        if reasoning.budget is None and reasoning.effort is None:
            return None
        if wanted is None or wanted < 0 or (limit is not None and limit <= MIN_BUDGET) or not self._may_think():
            self.dropped.add("reasoning")
            return None
        if limit is not None:  # an effort leaves half of the answer to be said; a budget that was asked for may not
            wanted = min(wanted, limit // 2 if reasoning.budget is None else limit - 1)
        return max(wanted, MIN_BUDGET)

    def _may_think(self) -> bool:
        """With thinking the wire refuses a forced tool, a prefill, and tool results whose call shows no thought.

        The thoughts of other wires are not sent, so that results after the last call rule thinking out.
        """
        request = self._request
        forced = request.tool_choice is not None and request.tool_choice.mode in ("required", "tool")
        prefilled = bool(request.turns) and request.turns[-1].role == "assistant"
        last = next((turn for turn in reversed(request.turns) if turn.role == "assistant"), None)
        calling = last is not None and any(isinstance(part, ToolCall) for part in last.parts)
        return not (forced or prefilled or calling)

    # tools

    def _tool(self, tool: Tool, at: str) -> Object:
        if tool.kind != "function":
            if self._own:
                return tool.extra
            at = tool.at or at
            raise Unrepresentable(f"{at} is of type {tool.kind}, which Anthropic's wire has not.", param=at)
        block: Object = {"name": tool.name, "input_schema": tool.parameters or {}}
        if not self._own:  # the wire insists on these two
            block["input_schema"] = {"type": "object", **(tool.parameters or {"properties": {}})}
        if tool.description is not None:
            block["description"] = tool.description
        if tool.strict or (self._own and tool.strict is not None):
            block["strict"] = tool.strict
        return self._marked(block, tool)

    def _tool_choice(self) -> Object | None:
        choice, parallel = self._request.tool_choice, self._request.parallel_tools
        mode = "auto" if choice is None else choice.mode
        single = parallel is not None if self._own else parallel is False and mode != "none"
        if choice is None and not single:
            return None
        if not self._request.tools and mode in ("auto", "none") and not self._own:
            return None  # the wire refuses a choice among no tools, and this one says nothing
        block: Object = {"type": MODE_WORDS[mode]}
        if choice is not None and choice.name is not None:
            block["name"] = choice.name
        return block | ({"disable_parallel_tool_use": not parallel} if single else {})

    # messages

    def _parted(self) -> tuple[list[Turn], list[Turn]]:
        """What goes to `system`, and the messages."""
        turns = self._request.turns
        count = 0
        while count < len(turns) and self._leads(turns[count]):
            count += 1
        return turns[:count], turns[count:]

    def _leads(self, turn: Turn) -> bool:
        return turn.at == "system" if self._own else turn.role in ("system", "developer")

    def _messages(self, turns: list[Turn]) -> list[Object]:
        if self._own:
            return [{**turn.extra, "role": turn.role, "content": self._blocks(turn)} for turn in turns]
        messages: list[Object] = []
        for turn in turns:
            role = "assistant" if turn.role == "assistant" else "user"
            blocks = self._late(turn) if turn.role in ("system", "developer") else self._blocks(turn)
            if messages and messages[-1]["role"] == role:  # roles take turns
                messages[-1]["content"] += blocks
            elif blocks:
                messages.append({"role": role, "content": blocks})
        for message in messages:  # results must come first
            message["content"].sort(key=lambda block: block["type"] != "tool_result")
        return messages

    def _late(self, turn: Turn) -> list[Object]:
        """A system turn in mid-chat. Older models refuse the role there, so that the user's turn must carry it."""
        self.dropped.add("messages.system_position")
        blocks = self._blocks(turn)
        for block in blocks:
            block["text"] = f"<system>\n{block['text']}\n</system>"
        return blocks

    def _blocks(self, turn: Turn) -> list[Object]:
        if not self._own:
            self.dropped.update(turn.extra)
        at = turn.at if turn.at == "system" else f"{turn.at}.content"
        if turn.role in ("system", "developer") and not self._own:
            _only_text(turn.parts, at)
        return self._parts(turn.parts, at)

    def _parts(self, parts: list[Part], path: str) -> list[Object]:
        blocks = (self._part(part, f"{path}[{index}]") for index, part in enumerate(parts))
        return [block for block in blocks if block is not None]

    def _part(self, part: Part, at: str) -> Object | None:
        """One block; None where nothing is to be said, or nothing may be."""
        match part:
            case Text():
                return self._text(part)
            case Refusal():
                return self._marked({"type": "text", "text": part.text}, part) if part.text else None
            case Image():
                return self._image(part, at)
            case Document():
                return self._document(part, at)
            case Thinking():
                return self._thought(part)
            case ToolCall():
                return self._call(part, at)
            case ToolResult():
                return self._result(part, at)
            case Opaque(wire="anthropic", value=value):
                return value
            case Audio() | Video() | Opaque():
                what = f"a block of the {part.wire} wire" if isinstance(part, Opaque) else type(part).__name__.lower()
                raise Unrepresentable(f"{at} is {what}, which Anthropic's wire cannot carry.", param=at)
            case _:
                assert_never(part)

    def _marked(self, block: Object, part: Part | Tool) -> Object:
        """The block with its part's cache and extra."""
        if part.cache is not None:
            block["cache_control"] = part.cache if self._own else _cache_control(part.cache)
        if self._own:
            return {**block, **part.extra}
        self.dropped.update(part.extra)
        return block

    def _text(self, part: Text) -> Object | None:
        if not part.text and not self._own:  # the wire refuses empty text, and it says nothing
            return None
        block: Object = {"type": "text", "text": part.text}
        if part.citations and self._own:
            block["citations"] = spelled(part.citations)
        elif part.citations:
            self.dropped.add("citations")
        return self._marked(block, part)

    def _image(self, part: Image, at: str) -> Object:
        if part.detail not in (None, "auto"):
            self.dropped.add("detail")
        source = part.source
        if isinstance(source, Inline) and source.media_type not in IMAGES and not self._own:
            came = source.media_type or "an unknown type"
            raise Unrepresentable(f"{at} is {came}; Anthropic's wire takes {', '.join(IMAGES)}.", param=at)
        return self._marked({"type": "image", "source": self._source(source, at)}, part)

    def _document(self, part: Document, at: str) -> Object:
        block: Object = {"type": "document", "source": self._document_source(part.source, at)}
        if part.name is not None:
            block["title"] = part.name
        return self._marked(block, part)

    def _document_source(self, source: Source, at: str) -> Object:
        media_type = "" if isinstance(source, Stored) else source.media_type
        if isinstance(source, Inline) and media_type.startswith("text/"):
            return {"type": "text", "media_type": "text/plain", "data": _plain(source.data, at)}
        if media_type not in ("", "application/pdf") and not self._own:
            raise Unrepresentable(f"{at} is {media_type}; Anthropic's wire takes PDF and text.", param=at)
        if isinstance(source, Inline) and not media_type:
            source = Inline(source.data, "application/pdf")
        return self._source(source, at)

    def _source(self, source: Source, at: str) -> Object:
        match source:
            case Inline():
                return {"type": "base64", "media_type": source.media_type, "data": source.data}
            case Remote():
                return {"type": "url", "url": source.url}
            case Stored():
                if not self._own:
                    raise Unrepresentable(f"{at} is a file at another provider.", param=at)
                return {"type": "file", "file_id": source.id}
            case _:
                assert_never(source)

    def _thought(self, part: Thinking) -> Object | None:
        if not self._own:  # only what Anthropic signed may come back to it
            self.dropped.add("thinking")
            return None
        if part.redacted:
            return self._marked({"type": "redacted_thinking", "data": part.redacted}, part)
        block = {"type": "thinking", "thinking": part.text}
        return self._marked(block | ({"signature": part.signature} if part.signature else {}), part)

    def _call(self, part: ToolCall, at: str) -> Object:
        if part.kind == "custom":
            message = f"{at} calls a tool with free text, and Anthropic's wire takes JSON alone."
            raise Unrepresentable(message, param=at)
        try:
            given = parse_object(part.arguments.encode() or b"{}")
        except BadRequest:
            message = f"{at}: the arguments of {part.name} must be a JSON object."
            raise Unrepresentable(message, param=at) from None
        return self._marked({"type": "tool_use", "id": self._id(part.id), "name": part.name, "input": given}, part)

    def _result(self, part: ToolResult, at: str) -> Object:
        block: Object = {"type": "tool_result", "tool_use_id": self._id(part.id)}
        if content := self._parts(part.parts, f"{at}.content"):
            block["content"] = content
        if part.is_error is not None:
            block["is_error"] = part.is_error
        return self._marked(block, part)

    def _id(self, name: str) -> str:
        """The wire wants ^[a-zA-Z0-9_-]+$; another id becomes its hash, so that call and result still meet."""
        if self._own or _TOOL_ID.fullmatch(name):
            return name
        return "toolu_" + sha256(name.encode()).hexdigest()[:24]


def _only_text(parts: list[Part], path: str) -> None:
    for index, part in enumerate(parts):
        if not isinstance(part, Text):
            at = f"{path}[{index}]"
            raise Unrepresentable(f"{at}: a system prompt of Anthropic's wire is text alone.", param=at)


def _cache_control(cache: Object) -> Object:
    """Other wires spell a cache point their own way; here there is one kind, of two durations."""
    ttl = cache.get("ttl")
    return {"type": "ephemeral"} | ({"ttl": ttl} if ttl in ("5m", "1h") else {})


def _plain(data: str, at: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unrepresentable(f"{at} says that it is text, and is not base64 of UTF-8.", param=at) from None


def _thinks_with(key: str, value: float) -> bool:
    return {"temperature": value == 1, "top_p": 0.95 <= value <= 1, "top_k": False}[key]


def _merged(body: Object, more: Object) -> Object:
    """`body` and `more`; where both have an object, the two in one."""
    merged = body | more
    for key in body.keys() & more.keys():
        if isinstance(body[key], dict) and isinstance(more[key], dict):
            merged[key] = _merged(body[key], more[key])
    return merged
