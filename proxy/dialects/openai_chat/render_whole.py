"""How is an answer sent to a client of chat completions as a whole?"""

from collections.abc import Callable
from typing import Any, assert_never

from proxy.canon import (
    Audio,
    Choice,
    Completion,
    Document,
    Image,
    Inline,
    Opaque,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from proxy.dialects.openai_chat.citations import spelled
from proxy.dialects.openai_chat.encode_messages import legacy_call
from proxy.dialects.openai_chat.reasoning import detail_of
from proxy.dialects.openai_chat.render_fields import finish_fields, named, offers_functions, picture, top_of
from proxy.dialects.openai_chat.seals import sealed
from proxy.dialects.openai_chat.usage import tier_beside, usage_fields
from proxy.dialects.openai_chat.words import API
from proxy.grammar import whole
from proxy.grammar.fields import Object, as_text, dump
from proxy.grammar.functions import nest
from proxy.grammar.ids import id_of, seed_of
from proxy.grammar.refusals import unsayable


class WholeRenderer(whole.Renderer):
    def __init__(self, request: Request, clock: Callable[[], float]) -> None:
        super().__init__()
        self._request = request
        self._clock = clock

    def spell(self, completion: Completion) -> bytes:
        body = top_of(completion.start, "chat.completion", self._request, self._clock)
        body.setdefault("system_fingerprint", None)  # OpenRouter's SDK, and LangChain by it, read no answer without
        seed = seed_of(completion.start, self._request)
        legacy = offers_functions(self._request)
        body["choices"] = [
            _choice_fields(number, choice, seed, legacy) for number, choice in enumerate(completion.choices)
        ]
        if completion.usage is not None:
            body["usage"] = usage_fields(completion.usage)
            body |= tier_beside(completion.start, completion.usage)
        if completion.moderation is not None:
            body["moderation"] = completion.moderation
        return dump(body)


def _choice_fields(number: int, choice: Choice, seed: str, legacy: bool) -> Object:
    message: Object = {"role": "assistant", "content": None, "refusal": None}
    content: list[Object] = []
    logprobs: Object = {}
    details: list[Object] = []
    for part in choice.parts:
        match part:
            case Text():
                texts = (as_text(item.get("text")) for item in content if item.get("type") == "text")
                before = sum(map(len, texts)) if part.citations else 0
                content.append({"type": "text", "text": part.text})
                _extend(message, "annotations", spelled(part.citations, len(part.text), before))
                _extend(logprobs, "content", part.logprobs)
            case Refusal():
                message["refusal"] = (message["refusal"] or "") + part.text
                _extend(logprobs, "refusal", part.extra.get("logprobs", []))
            case Thinking():
                message["reasoning_content"] = message.get("reasoning_content", "") + part.text
                details.append(detail_of(part, len(details)))
            case ToolCall() if "function_call" in part.extra or (legacy and "function_call" not in message):
                message["function_call"] = legacy_call(part)
            case ToolCall():
                name = id_of(part, "call_", f"{seed} {number}", len(message.get("tool_calls", ())))
                _extend(message, "tool_calls", [{"id": name, **_call_fields(part)}])
            case Audio():
                data = part.source.data if isinstance(part.source, Inline) else ""
                message["audio"] = named(part) | {"data": data, "transcript": part.transcript}
            case Image():
                _extend(message, "images", [picture(part)])
            case Opaque(wire="openai_chat"):
                content.append(part.value)
            case Video() | Document() | ToolResult() | Opaque():
                raise unsayable(part, API)
            case _:
                assert_never(part)
    if details:
        message["reasoning_details"] = details
    if any(isinstance(part, Opaque) for part in choice.parts):
        message["content"] = content  # only a block of Mistral's own makes it a list, as Mistral has it
    elif content or not choice.parts:
        message["content"] = "".join(item["text"] for item in content)
    said = {"content": None, "refusal": None} | logprobs if logprobs else None
    return {"index": number, "message": message, "logprobs": said, **finish_fields(choice.stop, legacy)}


def _call_fields(part: ToolCall) -> Object:
    key, field = ("function", "arguments") if part.kind == "function" else ("custom", "input")
    return nest(key, {"name": part.name, field: part.arguments}, sealed(part.extra, part.signature))


def _extend(fields: Object, key: str, values: list[Any]) -> None:
    if values:
        fields.setdefault(key, []).extend(values)
