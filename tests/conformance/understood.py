"""Is what a client was answered of the types that its SDK reads it as?

The SDKs themselves take much for granted and check little: an app would stumble later. A word that the types do not
list (a finish reason, a code) is none of ours to find: vendors invent them, and pillion hands them on.
"""

import binascii
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

import ollama
from anthropic.types import Message, RawMessageStreamEvent
from cohere.v2.types import V2ChatResponse, V2ChatStreamResponse
from google.genai.types import GenerateContentResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, ValidationError

from tests.conformance.told import Json, Wire
from tests.conformance.vendor import operation, unlike

_OF_ANSWERS: Mapping[Wire, type[BaseModel]] = {
    "openai_chat": ChatCompletion,
    "openai_responses": Response,
    "anthropic": Message,
    "gemini": GenerateContentResponse,
    "ollama": ollama.ChatResponse,
    "ollama_generate": ollama.GenerateResponse,
    "cohere": V2ChatResponse,
}
_OF_EVENTS: Mapping[Wire, Any] = {
    "openai_chat": ChatCompletionChunk,
    "openai_responses": ResponseStreamEvent,
    "anthropic": RawMessageStreamEvent,
    "gemini": GenerateContentResponse,
    "ollama": ollama.ChatResponse,
    "ollama_generate": ollama.GenerateResponse,
    "cohere": V2ChatStreamResponse,
}
_OPEN = ("literal_error", "enum")  # pydantic's words for a word that is not in the list


def misread(wire: Wire, value: Json) -> list[str]:
    """What is wrong with a whole answer, a line each."""
    if wire == "bedrock":
        return _unlike(value, operation("Converse").output_shape)
    return _wrong(_OF_ANSWERS[wire], value)


def event_misread(wire: Wire, value: Json, name: str) -> list[str]:
    """The same of an event. `name`: what AWS's frame calls it."""
    if wire == "bedrock":
        return _unlike({name: value}, operation("ConverseStream").output_shape.members["stream"])
    kinds = _by_type(wire)
    kind = kinds.get(value.get("type") if "" not in kinds else "")
    return _wrong(kind, value) if kind is not None else [f"the SDK knows no event {value.get('type')!r}"]


def _unlike(value: Json, shape: Any) -> list[str]:
    """Its SDK measures what it sends, and not what it reads. Base64 goes on as it came, and may be none."""
    try:
        return [line for line in unlike(value, shape) if "Invalid length" not in line]
    except binascii.Error:
        return []


@cache
def _by_type(wire: Wire) -> Mapping[object, type[BaseModel]]:
    """The model of each event; of a wire that has only one, under no name."""
    found: dict[object, type[BaseModel]] = {}
    for kind in _members(_OF_EVENTS[wire]):
        words = get_args(kind.model_fields["type"].annotation) if "type" in kind.model_fields else ("",)
        found |= dict.fromkeys(words, kind)
    return found


def _members(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [member for part in get_args(kind) for member in _members(part)]


def _wrong(kind: type[BaseModel], value: Json) -> list[str]:
    try:
        kind.model_validate(value)
    except ValidationError as error:
        found = [each for each in error.errors() if each["type"] not in _OPEN]
        return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found[:3]]
    return []
