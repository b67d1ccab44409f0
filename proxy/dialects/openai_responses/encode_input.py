"""How are the turns of a chat written as `instructions` and `input`?

The mirror of parse_input.py.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import groupby
from typing import assert_never

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Remote,
    Request,
    Role,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)
from proxy.dialects.openai_responses.citations import spelled
from proxy.dialects.openai_responses.namespaces import NAMESPACE
from proxy.dialects.openai_responses.seals import closed
from proxy.dialects.openai_responses.words import ADDED, API, CALLS, DRAWING, NAME, SENT
from proxy.grammar.arguments import NONE
from proxy.grammar.caching import is_openais
from proxy.grammar.dataurls import url_of
from proxy.grammar.fields import Object, Verbatim
from proxy.grammar.filetypes import filename_of
from proxy.grammar.nouns import noun_of
from proxy.grammar.openai import is_gpt
from proxy.grammar.receipts import BREAKPOINT, Receipt
from proxy.grammar.refusals import stored_elsewhere, unaccepted
from proxy.grammar.textual import found_as_text

_SYSTEM = ("system", "developer")
_ITEMS = (ToolCall, ToolResult, Thinking)  # each of these is an item of its own; other parts belong to a message


class Saying:
    """The turns of one request. `dropped` gathers the receipt."""

    def __init__(self, request: Request, dropped: Receipt) -> None:
        self._own = request.wire == NAME
        self._breaks = self._own or is_gpt(request.model)
        self._of_openai = request.wire in (NAME, "openai_chat")
        self._turns = request.turns
        self._has_instructions = self._leads()
        self.dropped = dropped

    @cached_property
    def _customs(self) -> set[str]:
        """The ids of calls of custom tools. Cached and lazy, as a response repeats only the instructions."""
        parts = (part for turn in self._turns for part in turn.parts)
        return {part.id for part in parts if isinstance(part, ToolCall) and part.kind == "custom"}

    def _leads(self) -> bool:
        """Does the first turn become `instructions`? From another wire it does if no other system turn follows it, but
        another one does: OpenAI wants an `input`, and takes the system's words for one.
        """
        first, second = [*self._turns[:2], None, None][:2]
        if first is None or second is None or self._own:
            return self._own and first is not None and first.at == "instructions"
        alone = second.role not in _SYSTEM
        return first.role in _SYSTEM and alone and all(isinstance(part, Text) for part in first.parts)

    def instructions(self) -> Object:
        if not self._has_instructions:
            return {}
        turn = self._turns[0]
        self.dropped.carried(turn.extra)
        texts = [self._item(part, turn.role)["text"] for part in turn.parts]
        text = "\n\n".join(texts)
        return {"instructions": text} if text else {}

    def items(self) -> list[Object]:
        turns = self._turns[1:] if self._has_instructions else self._turns
        items = [item for turn in turns for item in self._said(turn)]
        return items if self._own else self._followed(items)

    def _followed(self, items: list[Object]) -> list[Object]:
        """Leaves out a thought that nothing follows, as in an answer that was cut off: OpenAI refuses such a chat."""
        told: list[Object] = []
        for item in reversed(items):
            if item.get("type") == "reasoning" and not (told and _is_answer(told[-1])):
                self.dropped.add("thinking")
            else:
                told.append(item)
        return told[::-1]

    def _said(self, turn: Turn) -> Iterator[Object]:
        extra = self.dropped.carried(turn.extra)
        silent = not self._own and any(map(_says_something, turn.parts))  # an empty text needs no message then
        for alone, group in groupby(turn.parts, self._stands_alone):
            parts = list(group)
            if alone or turn.role == "assistant":
                items = [self._own_item(part, turn.role) for part in parts]
                yield from (item for item in items if item is not None and not (silent and item.get("content") == ""))
            else:
                yield {"role": turn.role, "content": self._content(parts, turn.role), **extra}
        if ADDED in extra:
            yield extra[ADDED]
        elif not turn.parts and self._own:
            yield {"role": turn.role, "content": "", **extra}

    def _stands_alone(self, part: Part) -> bool:
        return isinstance(part, _ITEMS) or (isinstance(part, Opaque) and "content" not in part.extra)

    # items

    def _own_item(self, part: Part, role: Role) -> Object | None:
        """A part that is an item by itself; None if it may not be sent."""
        match part:
            case Text():
                return self._message(part)
            case Refusal():
                return {
                    "role": "assistant",
                    "content": [{"type": "refusal", "refusal": part.text}],
                    **self.dropped.marks(part),
                }
            case Thinking():
                return self._thought(part)
            case ToolCall():
                return self._call(part)
            case ToolResult():
                return self._result(part)
            case Opaque(wire=wire, value=value) if wire == NAME:
                return value
            case Image(source=Inline() as source) if DRAWING in part.extra:
                return {**part.extra[DRAWING], "result": source.data}
            case Image() | Audio() | Video() | Document() | Opaque():
                raise unaccepted(part, API, f"{noun_of(part)} in {role} messages")
            case _:
                assert_never(part)

    def _message(self, part: Text) -> Object:
        """A text of the model's. It is a string, which all hosts know, unless it has citations or logprobs."""
        marks = self.dropped.marks(part)
        self.dropped.unsealed(part)
        if not self._own or not (part.citations or part.logprobs):
            if part.citations:
                self.dropped.add("text.citations")
            return {"role": "assistant", "content": part.text, **marks}
        shown = {"annotations": spelled(part.citations), "logprobs": part.logprobs}
        return {"role": "assistant", "content": [{"type": "output_text", "text": part.text, **shown}], **marks}

    def _thought(self, part: Thinking) -> Object | None:
        """A thought goes back with its provider's signature.

        From a client of this wire it may also go back by its id, or as open text in `content`, as some hosts have it.
        """
        sent = part.extra.get(SENT, {})
        known = part.redacted or part.id or "content" in sent
        if not (part.signature or (self._own and known)):
            self.dropped.add("thinking")
            return None
        marks, seal = {key: value for key, value in self.dropped.marks(part).items() if key != SENT}, closed(part)
        item: Object = {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": part.text}] if part.text else [],
        }
        item |= ({"id": part.id} if part.id else {}) | ({"encrypted_content": seal} if seal else {})
        return item | marks | (sent if self._own else {})

    def _call(self, call: ToolCall) -> Object:
        self.dropped.unsealed(call)
        kind = "custom_tool_call" if call.kind == "custom" else "function_call"
        is_empty = call.arguments in NONE and not (self._own or call.kind == "custom")  # arguments are JSON, so never
        said = {"type": kind, "call_id": call.id, "name": call.name, CALLS[kind]: "{}" if is_empty else call.arguments}
        marks = self.dropped.marks(call)
        space = marks.get(NAMESPACE)
        return said | marks | (space if isinstance(space, Verbatim) else {})

    def _result(self, result: ToolResult) -> Object:
        if result.is_error:  # this wire cannot say that a tool failed
            self.dropped.add("tool_result.is_error")
        for part in result.parts:
            if not isinstance(part, Text | Image | Document) and not self._own:
                raise unaccepted(part, API, f"{noun_of(part)} in a tool result")
        kind = "custom_tool_call_output" if result.id in self._customs else "function_call_output"
        said = {"type": kind, "call_id": result.id, "output": self._content(result.parts, "user")}
        return said | self.dropped.marks(result)

    # content

    def _content(self, parts: list[Part], role: Role) -> object:
        """A string if that is enough, as some hosts take nothing else."""
        items = [self._item(part, role) for part in parts]
        if not items:
            return ""
        alone = len(items) == 1 and items[0].keys() == {"type", "text"}
        return items[0]["text"] if alone else items

    def _item(self, part: Part, role: Role) -> Object:
        match part:
            case Text():
                if part.citations:
                    self.dropped.add("text.citations")
                self.dropped.unsealed(part)
                return {"type": "input_text", "text": part.text} | self._marks(part)
            case Image():
                detail = part.detail if self._own else part.detail or "auto"  # the SDK's types require one
                shown = {} if detail is None else {"detail": detail}
                return {"type": "input_image", **self._pictured(part), **shown} | self._marks(part)
            case Document() if part.origin is not None:
                return self._item(found_as_text(part, self.dropped.unquoted), role)
            case Document():
                self.dropped.uncited(part)
                return {"type": "input_file", **self._filed(part)} | self._marks(part)
            case Audio() if self._own:  # neither in the reference nor in the SDK's types, but some hosts take it
                return {"type": "input_audio", "input_audio": _sound(part)} | self._marks(part)
            case Opaque(wire=wire, value=value) if wire == NAME:
                return value
            case Refusal() | Thinking() | ToolCall() | ToolResult() | Audio() | Video() | Opaque():
                raise unaccepted(part, API, f"{noun_of(part)} in {role} messages")
            case _:
                assert_never(part)

    def _marks(self, part: Part) -> Object:
        if not is_openais(part.cache) or not self._breaks:
            return self.dropped.marks(part)
        return self.dropped.carried(part.extra) | {BREAKPOINT: part.cache}

    def _pictured(self, part: Image) -> Object:
        match part.source:
            case Stored(id=stored):
                return {"file_id": self._stored(stored, part)}
            case Remote() | Inline() as source:
                return {"image_url": url_of(source)}
            case _:
                assert_never(part.source)

    def _filed(self, document: Document) -> Object:
        named = {"filename": document.name} if document.name or (self._own and document.name is not None) else {}
        match document.source:
            case Stored(id=stored):
                return {"file_id": self._stored(stored, document), **named}
            case Remote(url=url):
                return {"file_url": url, **named}
            case Inline(data=data, media_type=media) as source:
                if self._own:
                    return {"file_data": url_of(source) if media else data, **named}
                media = media or "application/pdf"
                return {"file_data": f"data:{media};base64,{data}", "filename": filename_of(document.name, media)}
            case _:
                assert_never(document.source)

    def _stored(self, stored: str, part: Part) -> str:
        if not self._of_openai:
            raise stored_elsewhere(part.at)
        return stored


def _sound(audio: Audio) -> Object:
    assert isinstance(audio.source, Inline)  # this wire's parser makes no other kind
    return {"data": audio.source.data, "format": audio.source.media_type.partition("/")[2]}


def _says_something(part: Part) -> bool:
    """A call, or words of the model's."""
    return isinstance(part, ToolCall) or (isinstance(part, Text | Refusal) and part.text != "")


def _is_answer(item: Object) -> bool:
    """Did the model produce it?"""
    return item.get("role") == "assistant" or item.get("type") in ("reasoning", *CALLS)
