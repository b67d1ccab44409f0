"""How is a Request said to a host of this wire?

The mirror of parse.py. Knobs that it lacks are dropped and named in the receipt; content that it cannot carry is
refused with its path.

A tool message holds text alone. What else a tool gave back on another wire (a picture of the screen, a file) is shown
by the user, in a message after the last of the results, which must stand together; a text before it names the call.
"""

import re
from collections.abc import Iterable
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
    ToolChoice,
    ToolResult,
    Turn,
    Video,
)
from proxy.dialects.openai_chat.reasoning import THOUGHTS
from proxy.dialects.openai_chat.seals import sealed
from proxy.dialects.openai_chat.words import EFFORTS, KNOBS, NAME, TIERS
from proxy.errors import Unrepresentable
from proxy.fields import Object, as_object
from proxy.receipts import Receipt, refuse_beyond_text, refuse_demands

_SHOWN = (Image, Audio, Video, Document)  # what a tool message cannot hold, and a user's can


def limit_field(model: str) -> str:
    """OpenAI's reasoning models refuse `max_tokens`; other hosts know nothing else."""
    newer = re.match(r"(?:.*/)?(?:o1|o3|o4|gpt-5)", model)
    return "max_completion_tokens" if newer else "max_tokens"


class Encoding:
    """One request on its way out, and the receipt: the names of what this wire lacks."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._own = request.wire == NAME
        self.dropped = Receipt(request)
        self._shown: list[Object] = []  # by tools, and not yet told

    def body(self) -> Object:
        request = self._request
        if not self._own:
            refuse_demands(request, "Chat Completions")
            refuse_beyond_text(request, "Chat Completions")
        body: Object = {"model": request.model, "messages": self._messages()}
        self._add_tools(body)
        optional = {
            "response_format": self._format(),
            self._limit_field(): request.max_tokens,
            "stop": request.stop,
            "logit_bias": request.logit_bias,
            "modalities": request.modalities if self._own else None,  # silence says text, and few hosts know more
            "metadata": request.metadata,
            **self._reasoning(),
            **{name: getattr(request, name) for name in KNOBS if self._speaks(name)},
        }
        body |= self._carry(request.extra) | request.demands
        body |= {key: value for key, value in optional.items() if value is not None}
        if request.stream:
            body["stream"] = True
            body["stream_options"] = {**as_object(body.get("stream_options")), "include_usage": True}
        return body

    def _carry(self, extra: Object) -> Object:
        """What only the wire of origin knows: kept where this is it, else receipted."""
        if self._own:
            return extra
        self.dropped.left(extra)
        return {}

    def _marks(self, part: Part | Tool) -> Object:
        marks = self._carry(part.extra)
        if part.cache is None:
            return marks
        if self._own:
            return marks | {"cache_control": part.cache}
        self.dropped.add("cache")
        return marks

    # knobs

    def _speaks(self, knob: str) -> bool:
        """OpenAI refuses arguments that it does not know, and tiers that are another vendor's."""
        value = getattr(self._request, knob)
        if self._own or value is None:
            return True
        foreign = knob == "top_k" or (knob == "service_tier" and value not in TIERS)
        if foreign:
            self.dropped.add(knob)
        return not foreign

    def _limit_field(self) -> str:
        """A client's own word is kept."""
        if self._own and self._request.limit_field:
            return self._request.limit_field
        return limit_field(self._request.model)

    def _reasoning(self) -> Object:
        """The effort. What OpenRouter alone knows goes in its `reasoning`, and then the effort does."""
        reasoning, rest = self._request.reasoning or Reasoning(), self._request.extra.get("reasoning")
        if reasoning.summary is not None:
            self.dropped.add("reasoning.summary")
        if not self._own or (reasoning.budget is None and not isinstance(rest, dict)):
            return {"reasoning_effort": self._effort()}
        said = {"effort": self._effort(), "max_tokens": reasoning.budget}
        return {"reasoning": {key: value for key, value in said.items() if value is not None} | as_object(rest)}

    def _effort(self) -> str | None:
        """The effort; a budget becomes the effort that it would pay for, and that is receipted."""
        reasoning = self._request.reasoning
        if reasoning is None:
            return None
        if reasoning.off:
            if self._own:
                return "none"
            self.dropped.add("reasoning")  # most models refuse to be told so, and none of them reasons unasked
            return None
        if reasoning.budget is not None and not self._own:
            self.dropped.add("reasoning.budget")
            if reasoning.effort is None:
                budget = reasoning.budget
                return next((effort for most, effort in EFFORTS if budget <= most), "high")
        return reasoning.effort

    def _format(self) -> Object | None:
        form = self._request.format
        if form is None:
            return None
        if form.kind != "schema":
            return {"type": "text" if form.kind == "text" else "json_object"}
        name = form.name if self._own or form.name else "response"  # required by OpenAI
        named = {"name": name, "description": form.description, "schema": form.schema, "strict": form.strict}
        return {"type": "json_schema", "json_schema": {key: value for key, value in named.items() if value is not None}}

    # tools

    def _add_tools(self, body: Object) -> None:
        tools, choice = self._request.tools, self._request.tool_choice
        legacy = [tool for tool in tools if self._own and tool.at.startswith("functions[")]
        modern = [self._tool(tool) for tool in tools if tool not in legacy]
        if modern:
            body["tools"] = modern
        if legacy:
            body["functions"] = [self._offer(tool) | tool.extra for tool in legacy]
        if not tools and not self._own:
            return  # a choice among no tools says nothing, and OpenAI refuses it
        if choice is not None:
            body["function_call" if legacy and not modern else "tool_choice"] = self._choice(choice, bool(modern))
        if self._request.parallel_tools is not None:
            body["parallel_tool_calls"] = self._request.parallel_tools

    def _offer(self, tool: Tool) -> Object:
        fields = {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            "strict": tool.strict,
        }
        return {key: value for key, value in fields.items() if value is not None}

    def _tool(self, tool: Tool) -> Object:
        if tool.kind in ("function", "custom"):
            return nest(tool.kind, self._offer(tool), self._marks(tool))
        if not self._own:
            raise Unrepresentable(
                f"{tool.at} is a {tool.kind} tool, which Chat Completions does not have.", param=tool.at
            )
        return {"type": tool.kind, **self._marks(tool)}

    def _choice(self, choice: ToolChoice, modern: bool) -> object:
        if choice.mode != "tool":
            return choice.mode
        if not modern and self._request.tools:
            return {"name": choice.name}
        custom = any(tool.kind == "custom" and tool.name == choice.name for tool in self._request.tools)
        kind = "custom" if custom else "function"
        return {"type": kind, kind: {"name": choice.name}}

    # messages

    def _messages(self) -> list[Object]:
        """The messages; what tools have shown comes once all of their results are told."""
        messages: list[Object] = []
        for message in (message for turn in self._request.turns for message in self._turn(turn)):
            if message["role"] not in ("tool", "function"):
                messages += self._flush()
            messages.append(message)
        return messages + self._flush()

    def _flush(self) -> list[Object]:
        shown, self._shown = self._shown, []
        return [{"role": "user", "content": shown}] if shown else []

    def _turn(self, turn: Turn) -> list[Object]:
        extra = self._carry(turn.extra)
        if turn.role == "assistant":
            return [self._spoken(turn) | extra]
        messages = [self._result(part, turn) for part in turn.parts if isinstance(part, ToolResult)]
        rest = [part for part in turn.parts if not isinstance(part, ToolResult)]
        if rest or not messages:
            messages.append({"role": turn.role, "content": self._content(rest, turn)} | extra)
        return messages

    def _result(self, result: ToolResult, turn: Turn) -> Object:
        """A tool message holds text alone, and has no word for failure."""
        if result.is_error is not None:
            self.dropped.add("tool_result.is_error")
        shown = [] if self._own else [part for part in result.parts if isinstance(part, _SHOWN)]
        if shown:
            self._shown.append({"type": "text", "text": f"What the tool call {result.id} gave back:"})
            self._shown += [self._item(part, turn) for part in shown]
        content = self._content([part for part in result.parts if part not in shown], turn)
        if shown and not content:
            content = "The result is in the user's next message."
        if self._own and result.extra.get("role") == "function":
            return {"role": "function", "content": content} | self._marks(result)
        return {"role": "tool", "tool_call_id": result.id, "content": content} | self._marks(result)

    def _spoken(self, turn: Turn) -> Object:
        message: Object = {"role": "assistant"}
        content: list[Part] = []
        thoughts: list[Thinking] = []
        for part in turn.parts:
            if isinstance(part, Thinking) and "thinking" not in part.extra:
                thoughts.append(part)
            elif isinstance(part, Refusal):
                message["refusal"] = message.get("refusal", "") + part.text
                self._marks(part)
            elif isinstance(part, Audio) and part.source is None:
                self._replay(part, message)
            elif isinstance(part, ToolCall):
                self._add_call(part, message)
            else:
                content.append(part)
        self._think(thoughts, message)
        silent = not content and len(message) > 1
        return {**message, "content": None if silent else self._content(content, turn)}

    def _replay(self, part: Audio, message: Object) -> None:
        if not self._own:
            raise _refusal(part, "a sound of another provider's by its id")
        message["audio"] = {"id": part.id}

    def _add_call(self, call: ToolCall, message: Object) -> None:
        if self._own and "function_call" in call.extra:
            message["function_call"] = legacy_call(call)
            return
        message.setdefault("tool_calls", []).append({"id": call.id} | self._call(call))

    def _call(self, call: ToolCall) -> Object:
        marks = sealed(self._marks(call), call.signature)
        if call.kind == "custom":
            return nest("custom", {"name": call.name, "input": call.arguments}, marks)
        arguments = call.arguments if self._own else call.arguments or "{}"  # OpenAI: JSON text, so not empty
        return nest("function", {"name": call.name, "arguments": arguments}, marks)

    def _think(self, thoughts: list[Thinking], message: Object) -> None:
        """Replayed reasoning goes back to its own wire only: OpenAI takes none, and no user has seen it."""
        if not thoughts:
            return
        if not self._own:
            self.dropped.add("thinking")
            return
        sent = {key: thoughts[0].extra[key] for key in THOUGHTS if key in thoughts[0].extra}
        message |= sent or {"reasoning_content": "".join(part.text for part in thoughts)}

    def _content(self, parts: Iterable[Part], turn: Turn) -> object:
        """A string where one will do: many hosts know nothing else."""
        items = [self._item(part, turn) for part in parts]
        if not items:
            return ""
        alone = len(items) == 1 and items[0].keys() == {"type", "text"} and items[0]["type"] == "text"
        return items[0]["text"] if alone else items

    def _item(self, part: Part, turn: Turn) -> Object:
        match part:
            case Text():
                if part.citations:
                    self.dropped.add("text.citations")
                return {"type": "text", "text": part.text} | self._marks(part)
            case Image() | Audio() | Video() | Document():
                if turn.role != "user" and not self._own:
                    raise _refusal(part, f"{noun_of(part)} outside a user turn")
                return self._medium(part)
            case Thinking() if self._own and "thinking" in part.extra:
                return {"type": "thinking"} | self._marks(part)
            case Opaque(wire="openai_chat"):
                return part.value
            case Refusal() | Thinking() | ToolCall() | ToolResult() | Opaque():
                raise _refusal(part, f"{noun_of(part)} in a {turn.role} turn")
            case _:
                assert_never(part)

    def _medium(self, part: Image | Audio | Video | Document) -> Object:
        source = part.source
        if isinstance(part, Image) and isinstance(source, Inline | Remote):
            inner = {"url": url_of(source)} | ({"detail": part.detail} if part.detail else {})
            return nest("image_url", inner, self._marks(part))
        if isinstance(part, Video) and not self._own:  # OpenAI refuses it; OpenRouter, Qwen and others do not
            raise _refusal(part, noun_of(part))
        if isinstance(part, Video) and isinstance(source, Inline | Remote):
            return nest("video_url", {"url": url_of(source)}, self._marks(part))
        if isinstance(part, Audio) and isinstance(source, Inline):
            return nest("input_audio", {"data": source.data, "format": _sound(source.media_type)}, self._marks(part))
        if isinstance(part, Document) and self._takes(part.source):
            return nest("file", self._filed(part), self._marks(part))
        where = "by a URL" if isinstance(source, Remote) else "by another provider's id"
        raise _refusal(part, f"{noun_of(part)} {where}")

    def _takes(self, source: Source) -> bool:
        """A document by URL is OpenRouter's; a file id means something to OpenAI alone."""
        of_openai = isinstance(source, Stored) and self._request.wire == "openai_responses"
        return self._own or of_openai or isinstance(source, Inline)

    def _filed(self, document: Document) -> Object:
        named = {} if document.name is None else {"filename": document.name}
        match document.source:
            case Stored(id=stored):
                return {"file_id": stored, **named}
            case Remote(url=url):
                return {"file_data": url, **named}
            case Inline(data=data, media_type=media) as source:
                if not self._own and not named:  # OpenAI wants a name with the data
                    named = {"filename": "document.pdf" if media == "application/pdf" else "document"}
                return {"file_data": url_of(source) if media else data, **named}


def _refusal(part: Part, what: str) -> Unrepresentable:
    return Unrepresentable(f"{part.at}: Chat Completions cannot carry {what}.", param=part.at)


def legacy_call(call: ToolCall) -> Object:
    """A call from before there were `tool_calls`, as an assistant's message has it."""
    return as_object(call.extra["function_call"]) | {"name": call.name, "arguments": call.arguments}


def nest(kind: str, inner: Object, marks: Object) -> Object:
    """`{"type": kind, kind: {...}}`, with what was left over at both levels."""
    return {"type": kind, **marks, kind: inner | as_object(marks.get(kind))}


def url_of(source: Inline | Remote) -> str:
    return source.url if isinstance(source, Remote) else f"data:{source.media_type};base64,{source.data}"


def _sound(media: str) -> str:
    """The format of `input_audio`: the subtype, but for the two that OpenAI names otherwise."""
    subtype = media.partition("/")[2]
    return {"mpeg": "mp3", "x-wav": "wav", "": "wav"}.get(subtype, subtype)


def noun_of(part: Part) -> str:
    if isinstance(part, Opaque):
        return f"a block of {part.wire} ({part.value.get('type', 'unnamed')})"
    nouns = {
        Image: "an image",
        Audio: "a sound",
        Video: "a video",
        Document: "a document",
        ToolResult: "a tool result",
        Thinking: "thinking",
        ToolCall: "a tool call",
    }
    return nouns.get(type(part), type(part).__name__)
