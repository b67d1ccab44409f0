"""Does a client of one of OpenAI's wires read what was found in its request, where the other one answered?"""

import json
from typing import Any

import openai.types.chat.chat_completion as chat_types
import openai.types.responses.response as response_types
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from proxy import registry
from proxy.canon import Request, fold, unfold
from tests import laws

Json = dict[str, Any]


def result(flagged: bool, model: str = "omni") -> Json:
    scores: Json = {"categories": {"violence": flagged}, "category_scores": {"violence": 0.5}}
    kinds = {"category_applied_input_types": {"violence": ["text"]}}
    return {"type": "moderation_result", "model": model, "flagged": flagged, **scores, **kinds}


def results(*found: Json) -> Json:
    return {"type": "moderation_results", "model": "omni", "results": list(found)}


ERROR = {"type": "error", "code": "server_error", "message": "It failed."}
FOUND: dict[str, Json] = {
    "openai_chat": {"input": results(result(True)), "output": ERROR},
    "openai_responses": {"input": result(True), "output": ERROR},
}
TYPES: dict[str, type[BaseModel]] = {
    "openai_chat": chat_types.ChatCompletion,
    "openai_responses": response_types.Response,
}


def answer(wire: str, stream: bool, moderation: Json) -> bytes:
    if wire == "openai_chat":
        said = {"role": "assistant", "content": "Hi"}
        choice = {"index": 0, "delta" if stream else "message": said, "finish_reason": "stop"}
        body = {"id": "c", "created": 1, "model": "m", "choices": [choice]}
        last = {"id": "c", "created": 1, "model": "m", "choices": [], "moderation": moderation}
        return events(body, last) + b"data: [DONE]\n\n" if stream else json.dumps({**body, **last, **body}).encode()
    text = {"type": "output_text", "text": "Hi", "annotations": []}
    item = {"type": "message", "id": "i", "status": "completed", "role": "assistant", "content": [text]}
    response = {"id": "r", "created_at": 1, "status": "completed", "model": "m", "output": [item]}
    begun = {"type": "response.created", "response": response | {"status": "in_progress", "output": []}}
    ended = {"type": "response.completed", "response": response | {"moderation": moderation}}
    return events(begun, ended) if stream else json.dumps(ended["response"]).encode()


def events(*said: Json) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in said)


def told(source: str, target: str, stream: bool, moderation: Json) -> object:
    """What the client reads, by the SDK's own types."""
    heard = laws.decoded(registry.dialect(source).decoder(stream), answer(source, stream, moderation))
    assert list(unfold(fold(heard)))[-1] == heard[-1]
    request = Request(wire=target, model="m", turns=[], stream=stream, include_usage=True)
    body = laws.say(registry.dialect(target).renderer(request), heard)
    if not stream:
        return told_by(TYPES[target], json.loads(body))
    said = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    if target == "openai_responses":
        return told_by(TYPES[target], said[-1]["response"])
    chunks = [found for one in said if (found := told_by(ChatCompletionChunk, one)) is not None]
    assert len(chunks) == 1
    return chunks[0]


def told_by(kind: type[BaseModel], body: Json) -> object:
    return kind.model_validate(body).model_dump(mode="json", exclude_unset=True).get("moderation")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("target", FOUND)
@pytest.mark.parametrize("source", FOUND)
def test_what_was_found_is_told_on_either_wire(source: str, target: str, stream: bool) -> None:
    assert told(source, target, stream, FOUND[source]) == FOUND[target]


@pytest.mark.parametrize("stream", [True, False])
def test_of_several_results_the_one_that_flags_something_is_told(stream: bool) -> None:
    several = {"input": results(result(False)), "output": results(result(False), result(True, "b"), result(True, "c"))}
    expected = {"input": result(False), "output": result(True, "b")}
    assert told("openai_chat", "openai_responses", stream, several) == expected


@pytest.mark.parametrize(("source", "target"), [tuple(FOUND), tuple(reversed(FOUND))])
def test_one_side_may_be_missing(source: str, target: str) -> None:
    body = answer(source, False, FOUND[source] | {"output": None})
    heard = laws.decoded(registry.dialect(source).decoder(False), body)
    said = laws.say(registry.dialect(target).renderer(Request(wire=target, model="m", turns=[])), heard)
    assert json.loads(said)["moderation"] == FOUND[target] | {"output": None}


ODD: list[Json] = [
    {"type": "odd"},
    {"type": "error", "code": 1, "message": "It failed."},
    {"type": "moderation_result", "model": "omni", "flagged": True},
    result(True) | {"categories": {"violence": {}}},
    result(True) | {"category_scores": {"violence": "much"}},
    result(True) | {"category_applied_input_types": {"violence": [["text"]]}},
    result(True) | {"category_applied_input_types": {"violence": ["odd"]}},
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("source", "target"), [tuple(FOUND), tuple(reversed(FOUND))])
def test_what_no_sdk_could_read_is_not_told(source: str, target: str, stream: bool, odd: Json) -> None:
    found = results(odd) if source == "openai_chat" and odd["type"] == "moderation_result" else odd
    heard = laws.decoded(
        registry.dialect(source).decoder(stream), answer(source, stream, FOUND[source] | {"input": found})
    )
    request = Request(wire=target, model="m", turns=[], stream=stream)
    assert b"moderation" not in laws.say(registry.dialect(target).renderer(request), heard)


@pytest.mark.parametrize("nothing", [None, {}, [], "odd"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("source", "target"), [tuple(FOUND), tuple(reversed(FOUND))])
def test_nothing_found_is_nothing_told(source: str, target: str, stream: bool, nothing: Any) -> None:
    heard = laws.decoded(registry.dialect(source).decoder(stream), answer(source, stream, nothing))
    request = Request(wire=target, model="m", turns=[], stream=stream)
    assert b"moderation" not in laws.say(registry.dialect(target).renderer(request), heard)
