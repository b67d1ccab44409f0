"""Would the vendor take this body? Its own SDK's types say so.

Pydantic reads the TypedDicts and models of the SDKs, botocore its model of the service. Each validator returns what is
wrong, a line each.
"""

import base64
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, get_type_hints

import ollama._types as ollama_types
from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_params
from cohere.v2.client import V2Client
from google.genai import types as google_types
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import BaseModel, TypeAdapter, ValidationError

from tests.conformance.told import Json, Wire

Validator = Callable[[Json, bool], list[str]]


def invalid(wire: Wire, body: Json, stream: bool) -> list[str]:
    return _VALIDATORS[wire](body, stream)


# --- TypedDicts of OpenAI and Anthropic ------------------------------------------------------------------------------


def _typed(whole: Any, streaming: Any, more: Sequence[str] = ()) -> Validator:
    """`more`: what the vendor takes and its SDK no longer writes."""

    def validate(body: Json, stream: bool) -> list[str]:
        kind = streaming if stream else whole
        unknown = [f"{key}: the vendor knows no such key" for key in body if key not in {*_hints(kind), *more}]
        return unknown + _checked(_adapter(kind), body)

    return validate


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _checked(adapter: TypeAdapter[Any], value: Any) -> list[str]:
    try:
        _exhaust(adapter.validate_python(value))
    except ValidationError as error:
        return [f"{_place(each['loc'])}: {each['msg']}" for each in error.errors()[:5]]
    return []


def _place(path: tuple[int | str, ...]) -> str:
    """The members of a union are named on the way, some at great length."""
    return ".".join(step for step in map(str, path) if "[" not in step)


def _exhaust(value: Any) -> None:
    """An Iterable is validated as it is iterated."""
    if isinstance(value, dict):
        for inner in value.values():
            _exhaust(inner)
    elif not isinstance(value, str | bytes | int | float | bool | BaseModel | None):
        for inner in value:
            _exhaust(inner)


# --- Google's models -------------------------------------------------------------------------------------------------

_GOOGLE: Mapping[str, Any] = {
    "contents": list[google_types.Content],
    "systemInstruction": google_types.Content,
    "tools": list[google_types.Tool],
    "toolConfig": google_types.ToolConfig,
    "safetySettings": list[google_types.SafetySetting],
    "generationConfig": google_types.GenerationConfig,
    "cachedContent": str,
    "labels": dict[str, str],
    "serviceTier": str,
    "store": bool,
}


def _google(body: Json, stream: bool) -> list[str]:
    return _by_key(_GOOGLE, body)


def _by_key(kinds: Mapping[str, Any], body: Json) -> list[str]:
    found = []
    for key, value in body.items():
        if key not in kinds:
            found.append(f"{key}: the vendor knows no such key")
        else:
            found += [f"{key}.{line}" for line in _checked(_adapter_of(key, kinds), value)]
    return found


_adapters: dict[tuple[int, str], TypeAdapter[Any]] = {}


def _adapter_of(key: str, kinds: Mapping[str, Any]) -> TypeAdapter[Any]:
    return _adapters.setdefault((id(kinds), key), TypeAdapter(kinds[key]))


# --- Cohere's and Ollama's -------------------------------------------------------------------------------------------

_COHERE: Mapping[str, Any] = {
    **get_type_hints(V2Client.chat, vars(inspect.getmodule(V2Client))),
    "stream": bool,
    "return": None,
}


# The model lets any mapping pass for a message.
_OLLAMA: Mapping[str, Any] = {
    **{name: field.annotation for name, field in ollama_types.ChatRequest.model_fields.items()},
    "messages": list[ollama_types.Message],
}


def _cohere(body: Json, stream: bool) -> list[str]:
    return _by_key(_COHERE, body)


def _ollama(body: Json, stream: bool) -> list[str]:
    """An image is a model with a value in the SDK, and base64 on the wire."""
    messages = [
        {**message, "images": [{"value": image} for image in message["images"]]} if "images" in message else message
        for message in body["messages"]
    ]
    return _by_key(_OLLAMA, {**body, "messages": messages})


# --- Amazon's service model ------------------------------------------------------------------------------------------


@cache
def operation(name: str) -> Any:
    """Of Amazon's: its `input_shape` and `output_shape`."""
    session = import_module("botocore.session").get_session()
    return session.get_service_model("bedrock-runtime").operation_model(name)


def _converse() -> Any:
    return operation("Converse").input_shape


def _bedrock(body: Json, stream: bool) -> list[str]:
    return unlike({"modelId": "m", **body}, _converse())


def unlike(body: Json, shape: Any) -> list[str]:
    """How it differs from a shape of the service model, a line each."""
    report = import_module("botocore.validate").ParamValidator().validate(_blobs(body, shape), shape)
    return str(report.generate_report()).splitlines()[:5] if report.has_errors() else []


def _blobs(value: Any, shape: Any) -> Any:
    """On the wire a blob is base64, and in the model bytes."""
    match shape.type_name:
        case "blob":
            return base64.b64decode(value, validate=True)
        case "structure" if isinstance(value, dict) and not shape.is_document_type:
            return {k: _blobs(v, shape.members[k]) if k in shape.members else v for k, v in value.items()}
        case "list":
            return [_blobs(each, shape.member) for each in value]
        case _:
            return value


def _anthropic(body: Json, stream: bool) -> list[str]:
    """What is in beta has types of its own."""
    found = _STABLE(body, stream)
    return found and _BETA(body, stream)


# https://docs.anthropic.com/en/api/messages: for models before Opus 4.1.
_SAMPLING = ("temperature", "top_p", "top_k")

_STABLE = _typed(
    message_create_params.MessageCreateParamsNonStreaming,
    message_create_params.MessageCreateParamsStreaming,
    _SAMPLING,
)
_BETA = _typed(beta_params.MessageCreateParamsNonStreaming, beta_params.MessageCreateParamsStreaming, _SAMPLING)


def _invoke(body: Json, stream: bool) -> list[str]:
    """Anthropic's body, but that its version stands in it, and model and stream in the path."""
    misplaced = [key for key in ("model", "stream") if key in body]
    said = {key: value for key, value in body.items() if key not in ("anthropic_version", "anthropic_beta")}
    unlike = [] if body.get("anthropic_version") == "bedrock-2023-05-31" else ["anthropic_version: is not Bedrock's"]
    found = _anthropic(said | {"model": "m"} | ({"stream": True} if stream else {}), stream)
    return [*found, *unlike, *(f"{key}: stands in the path" for key in misplaced)]


_VALIDATORS: Mapping[Wire, Validator] = {
    "openai_chat": _typed(
        completion_create_params.CompletionCreateParamsNonStreaming,
        completion_create_params.CompletionCreateParamsStreaming,
    ),
    "openai_responses": _typed(
        response_create_params.ResponseCreateParamsNonStreaming, response_create_params.ResponseCreateParamsStreaming
    ),
    "anthropic": _anthropic,
    "gemini": _google,
    "bedrock": _bedrock,
    "bedrock_invoke": _invoke,
    "ollama": _ollama,
    "cohere": _cohere,
}
