"""What did Cohere answer, if the answer came whole?"""

from collections.abc import Iterator

from proxy.canon import (
    Choice,
    Completion,
    Event,
    Opaque,
    Part,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    unfold,
)
from proxy.dialects.cohere.citations import citation_of, entry_of
from proxy.dialects.cohere.faults import fault_of_finish, fault_of_no_answer
from proxy.dialects.cohere.parse import PLAN, text_of
from proxy.dialects.cohere.usage import usage_of
from proxy.dialects.cohere.words import NAME, REASONS
from proxy.grammar import whole
from proxy.grammar.endings import reason_of
from proxy.grammar.fields import Object, as_list, as_object, as_text, nonsense, object_in, text_in


class WholeDecoder(whole.Decoder):
    def read(self, body: bytes) -> Iterator[Event]:
        said = object_in(body)
        message = said.get("message")
        if not isinstance(message, dict):
            raise fault_of_no_answer(body)
        word = said.get("finish_reason")
        fault = fault_of_finish(word, said.get("error"))
        if fault is not None:
            raise fault
        start = Start(wire=NAME, id=as_text(said.get("id")))
        choice = Choice(parts=_parts(message, as_list(said.get("logprobs"))), stop=stop_of(word))
        yield from unfold(Completion(start=start, choices=[choice], usage=usage_of(said.get("usage"))))


def _parts(message: Object, logprobs: list[object]) -> list[Part]:
    """The parts, in the order in which a stream would have them."""
    content = [_part(as_object(item)) for item in _array(message, "content")]
    for value in as_list(message.get("citations")):
        citation = as_object(value)
        text = text_of(citation, content)
        if text is not None:
            text.citations.append(citation_of(citation))
    last = next((part for part in reversed(content) if isinstance(part, Text)), None)
    if last is not None:
        last.logprobs = [entry for item in logprobs for entry in entry_of(item)]
    plan = text_in(message, "tool_plan")
    planned: list[Part] = [Thinking(text=plan, extra={PLAN: True})] if plan else []
    return [*planned, *content, *(_call(as_object(item)) for item in _array(message, "tool_calls"))]


def _part(item: Object) -> Part:
    kind = as_text(item.get("type"))
    part = shell_of(kind)
    if part is None:
        return Opaque(wire=NAME, value=item)
    part.text = text_in(item, kind)
    return part


def _call(item: Object) -> ToolCall:
    function = as_object(item.get("function"))
    name = as_text(function.get("name"))
    if not name:
        raise nonsense("a tool call has no name")
    arguments = arguments_of(text_in(function, "arguments"))
    return ToolCall(id=as_text(item.get("id")), name=name, arguments=arguments)


def _array(said: Object, key: str) -> list[object]:
    value = said.get(key)
    if value is not None and not isinstance(value, list):
        raise nonsense(f"{key} is not an array")
    return value or []


# --- shared with streams ---------------------------------------------------------------------------------------------


def shell_of(kind: str) -> Text | Thinking | None:
    """An empty part of this kind; None if only this wire understands the kind."""
    match kind:
        case "text":
            return Text()
        case "thinking":
            return Thinking()
        case _:
            return None


def arguments_of(text: str) -> str:
    return "{}" if text in ("", "null") else text


def stop_of(word: object) -> Stop:
    raw = as_text(word)
    return Stop(reason=reason_of(raw or "COMPLETE", REASONS), raw=raw)
