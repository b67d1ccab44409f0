"""Is an answer read as what it is, where a host that looks like OpenAI lacks one of its two wires?"""

import json
from typing import Any

import pytest

from tests.client import OPENAI, Got, ask, chat
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion

JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]
ASKED = {"model": "openai/gpt-x", "input": "Hi"}

RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-real",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Grüße", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
}


async def respond(gateway: Any, **fields: Any) -> Got:
    return await ask(gateway, "POST", "/v1/responses", json.dumps(ASKED | fields).encode())


def texts(got: Got) -> str:
    said = json.loads(got.body)
    return "".join(part["text"] for item in said["output"] for part in item["content"])


async def test_a_chat_answer_to_a_responses_request_is_translated() -> None:
    async with (
        Evil(Scenario(body=OPENAI.whole, headers=JSON), Scenario(body=OPENAI.stream, headers=SSE)) as evil,
        pillion(**OPENAI.environ(evil.url)) as gateway,
    ):
        whole, stream = await respond(gateway), await respond(gateway, stream=True)
        targets = [request.target for request in evil.requests if request.method == "POST"]
    assert targets == ["/v1/responses"] * 2
    assert (whole.status, texts(whole)) == (200, "Grüße")
    assert (stream.status, stream.whole) == (200, True)
    assert b'"type":"response.completed"' in stream.body.replace(b": ", b":")


async def test_a_response_to_a_chat_request_is_translated() -> None:
    body = json.dumps(RESPONSE).encode()
    async with Evil(Scenario(body=body, headers=JSON)) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="openai/gpt-x"))
    assert (got.status, json.loads(got.body)["choices"][0]["message"]["content"]) == (200, "Grüße")


async def test_an_answer_of_its_own_wire_passes_untouched() -> None:
    body = json.dumps(RESPONSE | {"future": [1.0, {"object": "chat.completion"}]}).encode()
    async with Evil(Scenario(body=body, headers=JSON)) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        assert (await respond(gateway)).body == body


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_host_without_the_endpoint_is_asked_for_the_other_and_remembered(status: int) -> None:
    def answer(request: Received) -> Scenario:
        if request.target == "/v1/responses":
            return Scenario(status=status, body=b'{"detail":"Not Found"}', headers=JSON)
        return Scenario(body=OPENAI.whole, headers=JSON)

    async with Evil(answering=answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        answers = [await respond(gateway), await respond(gateway)]
        targets = [request.target for request in evil.requests if request.method == "POST"]
    assert [texts(got) for got in answers] == ["Grüße", "Grüße"]
    assert targets == ["/v1/responses", "/v1/chat/completions", "/v1/chat/completions"]


@pytest.mark.parametrize(
    ("message", "code"), [("The model `gpt-x` does not exist", None), ("It does not exist", "DeploymentNotFound")]
)
async def test_an_unknown_model_is_no_missing_endpoint(message: str, code: str | None) -> None:
    error = {"error": {"message": message, "type": "invalid_request_error", "code": code}}
    refusal = Scenario(status=404, body=json.dumps(error).encode(), headers=JSON)
    async with Evil(refusal) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await respond(gateway)
        assert len([request for request in evil.requests if request.method == "POST"]) == 1
    assert (got.status, json.loads(got.body)) == (404, error)
