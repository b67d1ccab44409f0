"""How is a Request written for Ollama?

The mirror of parse.py. Knobs that this wire lacks are dropped and named in the receipt; content that it cannot carry is
refused with its path.
"""

from typing import assert_never

from msgspec import Struct, field

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
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
from proxy.dialects.ollama.words import API, KNOBS_LACKED, LEVELS, NAME, OPTIONS, OWN_EFFORT, knows_levels
from proxy.grammar.fields import Object, as_object, without_nulls
from proxy.grammar.functions import nest
from proxy.grammar.neighbours import joined
from proxy.grammar.nouns import noun_of
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import arguments_for, foreign_tool, refuse, stored_elsewhere, unaccepted
from proxy.grammar.shapes import labelled
from proxy.grammar.showing import parted, with_shown
from proxy.grammar.textual import document_as_text
from proxy.grammar.thinking import effort_of, moot


class _Message(Struct):
    """The parts of one message. The wire has a field for each kind of part, and no order among them."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    calls: list[Object] = field(default_factory=list)

    def say(self, text: str) -> None:
        """An empty text makes no paragraph."""
        if text:
            self.texts.append(text)

    def fields(self, glue: str) -> Object:
        more: Object = {"thinking": "".join(self.thoughts), "images": self.images, "tool_calls": self.calls}
        return {"content": glue.join(self.texts)} | {key: value for key, value in more.items() if value}


class Encoding:
    """One request on its way out. `_own`: it came on this wire, so its `extra` goes along. `dropped` is the receipt."""

    def __init__(self, request: Request) -> None:
        self._own = request.wire == NAME
        self._names: dict[str, str] = {}  # the names of the tools that were called, by the call's id
        self._shown: list[Part] = []  # returned by tools, and waiting for the next user message
        self.dropped = Receipt(request, NAME)
        self._request = self.dropped.narrowed(request)

    def body(self) -> Object:
        request = self._request
        refuse(self._request, self._own, API)
        self.dropped.lacking(KNOBS_LACKED)
        extra = self.dropped.carried(request.extra)
        said = {
            "tools": self._tools() or None,
            "format": self._format(),
            "options": self._options() | as_object(extra.get("options")) or None,
            "logprobs": request.logprobs,
            "top_logprobs": request.top_logprobs,
            "think": self._think(),
        }
        chat = self._prompt() if is_generate(request) else {"messages": self._messages()}
        body = {"model": request.model, **chat, "stream": request.stream}
        body |= without_nulls(said)
        return extra | body | request.demands

    # knobs

    def _options(self) -> Object:
        said = {key: getattr(self._request, name) for name, (key, _) in OPTIONS.items()}
        said["stop"] = self._request.stop if self._own else self._request.stop or None  # [] takes the template's away
        return without_nulls(said)

    def _format(self) -> object:
        form = self._request.format
        if form is None or form.kind == "text":
            return None
        return "json" if form.schema is None else labelled(form, self.dropped)

    def _think(self) -> bool | str | None:
        """A boolean, or a level for models that know levels. The receipt names what is lost."""
        reasoning = self._request.reasoning
        if reasoning is None:
            return None
        effort = reasoning.effort
        if reasoning.off or reasoning.budget == 0 or effort == "none":
            self.dropped.update(moot(reasoning))
            return self._off()
        if reasoning.budget is not None:
            self.dropped.add("reasoning.budget")
            effort = effort or _effort(reasoning.budget)
        if effort is None:  # a wish to see the thoughts is no wish that the model think
            self.dropped.update(["reasoning.summary"] if reasoning.summary else ())
            self.dropped.update(["reasoning.adaptive"] if reasoning.adaptive else ())
            return None
        if knows_levels(self._request.model):
            return effort if self._own else self._level(effort)
        if effort == OWN_EFFORT or reasoning.budget is not None:
            return True
        if not self._own:
            self.dropped.add("reasoning.effort")
            return True
        return effort

    def _off(self) -> bool | str:
        """A model that knows levels always thinks, so it gets the lowest level."""
        if self._own or not knows_levels(self._request.model):
            return False
        self.dropped.add("reasoning")
        return LEVELS["minimal"]

    def _level(self, effort: str) -> str:
        word = LEVELS.get(effort, OWN_EFFORT)
        if word != effort:
            self.dropped.add("reasoning.effort")
        return word

    # tools

    def _tools(self) -> list[Object]:
        choice = self._request.tool_choice
        mode = "auto" if choice is None else choice.mode
        if mode == "none":  # tools that are not offered cannot be called
            self.dropped.update(["tools"] if self._request.tools else ())
            return []
        if mode != "auto":
            self.dropped.add("tool_choice")
        return [self._tool(tool) for tool in self._request.tools]

    def _tool(self, tool: Tool) -> Object:
        if tool.kind != "function":
            raise foreign_tool(tool, API)
        if tool.strict:
            self.dropped.add("tool.strict")
        said = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        return nest("function", without_nulls(said), self.dropped.marks(tool))

    # messages

    def _prompt(self) -> Object:
        """The fields of /api/generate, for a request that came from there."""
        said: Object = {"prompt": ""}
        for turn in self._request.turns:
            message = self._gathered(turn.parts, turn.role)
            said[turn.at] = "".join(message.texts)
            if message.images:
                said["images"] = message.images
        return said

    def _messages(self) -> list[Object]:
        turns = self._request.turns if self._own else joined(self._request.turns)
        messages = (message for turn in turns for message in self._turn(turn))
        return with_shown(messages, self._shown, self._showing)

    def _showing(self, shown: list[Part]) -> Object:
        return {"role": "user"} | self._gathered(shown, "user").fields("\n")

    def _turn(self, turn: Turn) -> list[Object]:
        """The messages of a turn. Each result is a message of its own, before the rest of the turn."""
        extra = self.dropped.carried(turn.extra)
        if turn.is_order and not self._own:
            return []
        heard, parts = turn.role == "user", [document_as_text(part, self.dropped.unquoted) for part in turn.parts]
        messages = [self._result(part, turn.role) for part in parts if isinstance(part, ToolResult) and heard]
        rest = [part for part in parts if not (isinstance(part, ToolResult) and heard)]
        if rest or not messages:
            role = "system" if turn.role == "developer" else turn.role
            glue = "" if role == "assistant" else "\n"  # texts of an answer are pieces, those of others paragraphs
            messages.append(extra | {"role": role} | self._gathered(rest, turn.role).fields(glue))
        return messages

    def _result(self, result: ToolResult, role: Role) -> Object:
        if result.is_error:
            self.dropped.add("tool_result.is_error")
        told, shown = result.parts, list[Part]()
        if not self._own:
            told, shown = parted(result)
            for part in told:
                if not isinstance(part, Text):
                    raise unaccepted(part, API, f"{noun_of(part)} in a tool result, only text and images")
        self._shown += shown
        gathered = self._gathered(told, role)
        name = self._names.get(result.id)
        named = {} if name is None else {"tool_name": name}
        message = {"role": "tool", "tool_call_id": result.id} | named | self.dropped.marks(result)
        return message | gathered.fields("\n")

    def _gathered(self, parts: list[Part], role: Role) -> _Message:
        message = _Message()
        for part in parts:
            self._add(part, message, role)
        return message

    def _add(self, part: Part, message: _Message, role: Role) -> None:
        match part:
            case Text():
                message.say(part.text)
                if part.citations:
                    self.dropped.add("text.citations")
                self.dropped.unsealed(part)
                self.dropped.marks(part)
            case Refusal():
                message.say(part.text)
                self.dropped.marks(part)
            case Image():
                message.images.append(self._image(part))
            case Thinking() if role == "assistant":
                self._think_again(part, message)
            case ToolCall() if role == "assistant":
                message.calls.append(self._call(part))
            case Thinking() | ToolCall() | ToolResult() | Audio() | Video() | Document() | Opaque():
                raise unaccepted(part, API, f"{noun_of(part)} in {role} messages")
            case _:
                assert_never(part)

    def _think_again(self, part: Thinking, message: _Message) -> None:
        self.dropped.marks(part)
        message.thoughts.append(part.text)
        if part.redacted:
            self.dropped.add("thinking")

    def _image(self, part: Image) -> str:
        if part.detail not in (None, "auto"):
            self.dropped.add("image.detail")
        self.dropped.marks(part)
        if isinstance(part.source, Stored):
            raise stored_elsewhere(part.at)
        if not isinstance(part.source, Inline):
            raise unaccepted(part, API, "image URLs; send the bytes instead")
        return part.source.data

    def _call(self, call: ToolCall) -> Object:
        given = arguments_for(call, API, self.dropped)
        self.dropped.unsealed(call)
        self._names[call.id] = call.name
        named = {"id": call.id} if call.id else {}
        told = nest("function", {"name": call.name, "arguments": given}, self.dropped.marks(call))
        del told["type"]  # calls have no type on this wire
        return named | told


def is_generate(request: Request) -> bool:
    """Did it come to /api/generate, which takes a `prompt` in place of messages?"""
    prompted = bool(request.turns) and request.turns[-1].at == "prompt"
    return request.wire == NAME and (prompted or "prompt" in request.demands)


def _effort(budget: int) -> str:
    return OWN_EFFORT if budget < 0 else effort_of(budget)  # with Gemini -1 means: as many as the model likes
