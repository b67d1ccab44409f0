"""How are the turns of a chat written as messages?

The mirror of parse_turns.py.

A tool message holds only text. Anything else that a tool returned on another wire (a screenshot, a file) goes into a
user message after the last of the results, since tool messages must not be interrupted. A text before it names the
call.
"""

from collections.abc import Iterator
from itertools import takewhile

from msgspec.structs import replace

from proxy.canon import (
    Audio,
    Document,
    Image,
    Part,
    Refusal,
    Request,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)
from proxy.dialects.openai_chat.encode_parts import Parts
from proxy.dialects.openai_chat.reasoning import SENT, THOUGHTS, detail_of
from proxy.dialects.openai_chat.seals import sealed
from proxy.dialects.openai_chat.words import API, NAME, SPELT
from proxy.grammar.arguments import NONE
from proxy.grammar.fields import Object, as_object
from proxy.grammar.functions import nest
from proxy.grammar.neighbours import joined
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import unaccepted
from proxy.grammar.showing import ELSEWHERE, caption, with_shown
from proxy.grammar.textual import document_as_text

_BRIDGE = {"role": "assistant", "content": "OK."}  # where the host wants a turn of its model's there
_SHOWN = (Image, Audio, Video, Document)  # a user message can hold these, a tool message cannot


class Messages:
    """The messages of one request. `dropped` gathers the receipt."""

    def __init__(self, request: Request, dropped: Receipt) -> None:
        self._own = request.wire == NAME
        self._thoughts = request.thoughts
        self._ways = request.ways
        self._turns = request.turns if self._own else joined(request.turns)
        self._parts = Parts(request, dropped)
        self._dropped = dropped
        self._shown: list[Object] = []  # returned by tools, and waiting for the next user message

    def told(self) -> list[Object]:
        """The messages. What tools have shown comes after all of their results."""
        messages = (message for turn in self._turns for message in self._turn(turn))
        told = with_shown(messages, self._shown, lambda shown: {"role": "user", "content": shown})
        if "leads" in self._ways:
            told = self._led(told)
        return list(self._bridged(told)) if "bridges" in self._ways else told

    def _led(self, told: list[Object]) -> list[Object]:
        """What the system says first becomes one message, and the user says what it says later."""
        first = list(takewhile(lambda message: message["role"] == "system", told))
        later = [self._moved(message) for message in told[len(first) :]]
        texts = [item["text"] for message in first for item in _items(message["content"])]
        return [{"role": "system", "content": "\n\n".join(texts)}, *later] if first else later

    def _moved(self, message: Object) -> Object:
        if message["role"] != "system":
            return message
        self._dropped.add("turn.place")
        return message | {"role": "user"}

    def _bridged(self, told: list[Object]) -> Iterator[Object]:
        for number, message in enumerate(told):
            if number and message["role"] == "user" and told[number - 1]["role"] == "tool":
                self._dropped.add("turn.place")
                yield _BRIDGE
            yield message

    def _as_texts(self, turn: Turn) -> Turn:
        """Text documents become text, as OpenAI's files are PDFs: https://platform.openai.com/docs/guides/pdf-files"""
        return replace(turn, parts=[document_as_text(part, self._dropped.unquoted) for part in turn.parts])

    def _turn(self, turn: Turn) -> list[Object]:
        if (words := turn.plain) is not None:
            return [{"role": self._role(turn), "content": words}]
        if not self._own:
            turn = self._as_texts(turn)
        extra = _respelt(self._dropped.carried(turn.extra))
        if turn.is_order and not self._own:
            return []
        if turn.role == "assistant":
            if "thoughtless" in self._ways:  # not even an empty one
                extra = {key: value for key, value in extra.items() if key not in THOUGHTS}
            spoken = self._spoken(turn)
            mute = turn.is_mere_thought and not self._own and not spoken.keys() & set(THOUGHTS)
            return [] if mute else [spoken | extra]
        messages = [self._result(part, turn) for part in turn.parts if isinstance(part, ToolResult)]
        rest = [part for part in turn.parts if not isinstance(part, ToolResult)]
        if rest or not messages:
            messages.append({"role": self._role(turn), "content": self._parts.content(rest, turn)} | extra)
        return messages

    def _role(self, turn: Turn) -> str:
        """OpenAI's models read `system` as `developer`, and most other hosts refuse that."""
        return "system" if turn.role == "developer" and not self._own else turn.role

    def _result(self, result: ToolResult, turn: Turn) -> Object:
        """A tool message holds only text, and cannot say that the tool failed."""
        if result.is_error:
            self._dropped.add("tool_result.is_error")
        shown = [] if self._own else [part for part in result.parts if isinstance(part, _SHOWN)]
        if shown:
            self._shown.append({"type": "text", "text": caption(result.id)})
            self._shown += [self._parts.item(part, turn) for part in shown]
        content = self._parts.content([part for part in result.parts if part not in shown], turn)
        if shown and not content:
            content = ELSEWHERE
        marks = _respelt(self._parts.marks(result))
        if not self._own and (point := marks.pop("cache_control", None)) is not None:
            if content:
                content = _items(content)
                content[-1] |= {"cache_control": point}
            else:  # "cache_control cannot be set for empty text blocks"
                self._dropped.add("cache")
        head = {} if marks.get("role") == "function" else {"role": "tool", "tool_call_id": result.id}
        return {**head, "content": content, **marks}

    def _spoken(self, turn: Turn) -> Object:
        message: Object = {"role": "assistant"}
        content: list[Part] = []
        thoughts: list[Thinking] = []
        for part in turn.parts:
            if isinstance(part, Thinking) and "thinking" not in part.extra:
                thoughts.append(part)
            elif isinstance(part, Refusal):
                message["refusal"] = message.get("refusal", "") + part.text
                self._parts.marks(part)
            elif isinstance(part, Audio) and part.source is None:
                self._replay(part, message)
            elif isinstance(part, ToolCall):
                self._add_call(part, message)
            else:
                content.append(part)
        self._add_thoughts(thoughts, message)
        silent = not content and len(message) > 1 and (self._own or not turn.is_mere_thought)
        return {**message, "content": None if silent else self._parts.content(content, turn)}

    def _replay(self, part: Audio, message: Object) -> None:
        if not self._own:
            raise unaccepted(part, API, "the ID of another provider's audio")
        message["audio"] = {"id": part.id}

    def _add_call(self, call: ToolCall, message: Object) -> None:
        if self._own and "function_call" in call.extra:
            message["function_call"] = legacy_call(call)
            return
        message.setdefault("tool_calls", []).append({"id": call.id} | self._call(call))

    def _call(self, call: ToolCall) -> Object:
        marks = sealed(_respelt(self._parts.marks(call)), call.signature)
        if call.kind == "custom":
            return nest("custom", {"name": call.name, "input": call.arguments}, marks)
        arguments = call.arguments if self._own or call.arguments not in NONE else "{}"  # JSON, so never empty
        return nest("function", {"name": call.name, "arguments": arguments}, marks)

    def _add_thoughts(self, thoughts: list[Thinking], message: Object) -> None:
        """Replayed reasoning goes only to hosts that take it. OpenAI takes none, and no user has seen it.

        Hosts that demand it do so for every message that calls a tool, even another provider's. An empty text does not
        count.
        """
        if "thoughtless" in self._ways or (self._thoughts == "refused" and not self._own):
            if thoughts:
                self._dropped.add("thinking")
        elif self._own and (thoughts or self._thoughts != "demanded"):
            if thoughts:
                sent = thoughts[0].extra.get(SENT)
                message |= sent or {"reasoning_content": "".join(part.text for part in thoughts)}
        elif thoughts or (self._thoughts == "demanded" and "tool_calls" in message):
            message["reasoning_content"] = "".join(part.text for part in thoughts) or " "
            if any(part.is_sealed for part in thoughts):
                message["reasoning_details"] = [detail_of(part, index) for index, part in enumerate(thoughts)]


def _items(content: object) -> list[Object]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _respelt(extra: Object) -> Object:
    """Puts the client's own spelling, which was kept aside for this wire, back in its place."""
    if SPELT not in extra:
        return extra
    return {key: value for key, value in extra.items() if key != SPELT} | as_object(extra[SPELT])


def legacy_call(call: ToolCall) -> Object:
    """The `function_call` of an assistant's message: the form of a call that preceded `tool_calls`."""
    return as_object(call.extra.get("function_call")) | {"name": call.name, "arguments": call.arguments}
