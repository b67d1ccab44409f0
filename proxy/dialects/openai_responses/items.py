"""How does each part of an answer become an output item?

https://platform.openai.com/docs/api-reference/responses/object
"""

from functools import cached_property
from hashlib import sha256
from typing import assert_never

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from proxy.dialects.openai_responses.citations import spelled
from proxy.dialects.openai_responses.seals import closed, seal_behind
from proxy.dialects.openai_responses.words import API, CALL_MARKS, CALLS, DRAWING, NAME
from proxy.grammar.fields import Object, as_list, as_object, as_text
from proxy.grammar.refusals import unsayable

_PREFIXES: dict[type[Part], str] = {Text: "msg", Refusal: "msg", Thinking: "rs", ToolCall: "fc", Image: "ig"}


class Names:
    """The ids of a response's items and calls. They are the same whenever the same response is rendered."""

    def __init__(self, response: str) -> None:
        self._response = response
        self._given: dict[int, str] = {}
        self._taken: set[str] = set()

    @cached_property
    def _stem(self) -> str:
        return sha256(self._response.encode()).hexdigest()[:32]

    def item(self, part: Part, number: int) -> str:
        """The item's id. A thought keeps its provider's, unless it is taken: xAI repeats them, and SDKs refuse that."""
        if number not in self._given:
            own = part.id if isinstance(part, Thinking) and part.id not in self._taken else ""
            self._given[number] = name = own or f"{_PREFIXES.get(type(part), 'item')}_{self._stem}{number:04x}"
            self._taken.add(name)
        return self._given[number]

    def call(self, part: ToolCall, number: int) -> str:
        """The call's own id, or one of ours if it has none."""
        return part.id or f"call_{sha256(f'{self._stem} {number} {part.name}'.encode()).hexdigest()[:24]}"


def item_of(part: Part, names: Names, number: int, status: str = "completed") -> Object:
    """The whole item, which is number `number` in the answer. Raises Unrepresentable."""
    name, stands = names.item(part, number), {"status": status}
    match part:
        case Text() | Refusal():
            phase = {"phase": part.extra["phase"]} if "phase" in part.extra else {}
            message = {"id": name, "type": "message", **stands, "role": "assistant", **phase}
            return message | {"content": [content_of(part)]}
        case Thinking():
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            cut = {} if status == "completed" else stands  # OpenAI's complete thoughts have no status
            return {"id": name, "type": "reasoning", "summary": summary, **_sealed(closed(part)), **cut}
        case ToolCall():
            kind = "custom_tool_call" if part.kind == "custom" else "function_call"
            head = {"id": name, "type": kind, **stands, "call_id": names.call(part, number)}
            marks = {key: part.extra[key] for key in CALL_MARKS if key in part.extra}
            return head | {"name": part.name, CALLS[kind]: part.arguments} | marks
        case Opaque(wire=wire, value=value) if wire == NAME:
            return value
        case Image(source=Inline() as source):
            own = as_object(part.extra.get(DRAWING))
            return {"id": name, "type": DRAWING, "status": "completed", **own, "result": source.data}
        case Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
            raise unsayable(part, API)
        case _:
            assert_never(part)


def shell_of(part: Part, names: Names, number: int) -> Object:
    """The item as it begins, still empty. Raises Unrepresentable."""
    item = item_of(part, names, number)
    if isinstance(part, Opaque | Image):  # these come whole
        return item
    empty: Object = {"content": []} if isinstance(part, Text | Refusal) else {}
    return item | {"status": "in_progress"} | empty


def seal_of(part: Part, item: Object, names: Names, number: int) -> Object | None:
    """An item for the part's seal, if it has one and its own item has no place for that."""
    seal = seal_behind(part, item.get("call_id", ""))
    if not seal:
        return None
    return {"id": names.item(Thinking(), number), "type": "reasoning", "summary": [], **_sealed(seal)}


def _sealed(seal: str) -> Object:
    return {"encrypted_content": seal} if seal else {}


def content_of(part: Text | Refusal) -> Object:
    """The only content part of a message."""
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    annotations = spelled(part.citations, len(part.text))
    scores = [_scored(entry) for entry in part.logprobs]
    return {"type": "output_text", "text": part.text, "annotations": annotations, "logprobs": scores}


def _scored(entry: object) -> Object:
    """A logprob as this wire has it whole, with its bytes and a list of other tokens. Elsewhere they may be missing."""
    said = as_object(entry)
    others = [_with_bytes(as_object(one)) for one in as_list(said.get("top_logprobs"))]
    return {**_with_bytes(said), "top_logprobs": others}


def _with_bytes(said: Object) -> Object:
    if isinstance(said.get("bytes"), list):
        return said
    return {**said, "bytes": list(as_text(said.get("token")).encode(errors="replace"))}
