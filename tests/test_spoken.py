"""Is an answer read as what it is, where a host that looks like OpenAI lacks one of its two wires?"""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.config import load
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


def not_found(message: str, code: str | None = None) -> Scenario:
    error = {"message": message, "type": "invalid_request_error", "param": "input", "code": code}
    return Scenario(status=404, body=json.dumps({"error": error}).encode(), headers=JSON)


# What OpenAI says of what it does not keep, and what others say of what they do not have.
NOT_KEPT = [
    "Item with id 'rs_68' not found. Items are not persisted when `store` is set to false.",
    "Previous response with id 'resp_1' not found.",
    "Conversation with id 'conv_1' not found.",
    "No such File object: file-abc",
    "No tool output found for function call call_1. See https://platform.openai.com/docs/api-reference/responses",
]
NO_ENDPOINT = [
    ("Unknown request URL: POST /openai/v1/responses. Please check the URL for typos.", "unknown_url"),
    ("Invalid URL (POST /v1/responses)", None),
    ("File Not Found", None),
    ("Resource not found", "404"),
]


@pytest.mark.parametrize("message", NOT_KEPT)
async def test_a_404_of_what_was_asked_for_switches_nothing_off(message: str) -> None:
    answers = not_found(message), Scenario(body=json.dumps(RESPONSE).encode(), headers=JSON)
    async with Evil(*answers) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        refused, answered = await respond(gateway), await respond(gateway, previous_response_id="resp_2")
        targets = [request.target for request in evil.requests if request.method == "POST"]
    assert (refused.status, json.loads(refused.body)["error"]["message"]) == (404, message)
    assert (answered.status, targets) == (200, ["/v1/responses"] * 2)


@pytest.mark.parametrize(("message", "code"), NO_ENDPOINT)
async def test_a_404_of_the_path_is_a_missing_endpoint(message: str, code: str | None) -> None:
    answers = not_found(message, code), Scenario(body=OPENAI.whole, headers=JSON)
    async with Evil(*answers) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        assert texts(await respond(gateway)) == "Grüße"


@pytest.mark.parametrize(
    "body", [b"", b"<html>404</html>", b'{"error":"Not Found"}', b'{"message":"404 page not found"}']
)
async def test_a_404_without_a_word_is_a_missing_endpoint(body: bytes) -> None:
    answers = Scenario(status=404, body=body, headers=JSON), Scenario(body=OPENAI.whole, headers=JSON)
    async with Evil(*answers) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        assert texts(await respond(gateway)) == "Grüße"


async def test_a_host_that_has_nothing_at_all_for_a_while_loses_no_endpoint() -> None:
    """A front that knows no path while it is put in place, or a base_url that is wrong: no endpoint, but everything."""
    lost = Scenario(status=404, body=b"", headers=JSON)
    there = Scenario(body=json.dumps(RESPONSE).encode(), headers=JSON), Scenario(body=OPENAI.whole, headers=JSON)
    async with Evil(lost, lost, lost, *there) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        refused = [await respond(gateway), await chat(gateway, OPENAI, OPENAI.request(model="openai/gpt-x"))]
        assert [got.status for got in refused] == [404, 404]
        assert all("check base_url" in json.loads(got.body)["error"]["message"] for got in refused)
        assert texts(await respond(gateway)) == "Grüße"
        assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/gpt-x"))).body == OPENAI.whole
        posts = [request.target for request in evil.requests if request.method == "POST"]
    assert [post.removeprefix("/v1/") for post in posts] == [
        "responses", "chat/completions", "chat/completions", "responses", "chat/completions"
    ]  # fmt: skip


async def test_a_host_that_the_operator_vouches_for_has_all_its_endpoints(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("providers: {openai: {dialects: [openai_chat, openai_responses]}}")
    answers = [Scenario(status=404, body=b"", headers=JSON)] * 2
    async with (
        Evil(*answers) as evil,
        pillion(**OPENAI.environ(evil.url), PILLION_CONFIG=str(config)) as gateway,
    ):
        assert [(await respond(gateway)).status for _ in answers] == [404, 404]
        assert {request.target for request in evil.requests if request.method == "POST"} == {"/v1/responses"}


def test_a_preset_vouches_for_its_own_host_alone() -> None:
    keys = {"OPENAI_API_KEY": "k", "OPENAI_EAST_API_KEY": "k", "XAI_API_KEY": "k", "GROQ_API_KEY": "k"}
    rows = load(environ=keys | {"PILLION_OPENAI_EAST_BASE_URL": "http://127.0.0.1:9/v1"}).providers
    vouched = {name: row.vouched for name, row in rows.items() if row.kind == "openai"}
    assert vouched == {"openai": True, "openai-east": False, "xai": True, "groq": False}


FAILED = [
    {"type": "response.created", "response": {"object": "response", "status": "in_progress", "output": []}},
    {"type": "response.failed", "response": {"status": "failed", "error": {"code": "rate_limit_exceeded",
                                                                          "message": "slow down"}}},
]  # fmt: skip


@pytest.mark.parametrize("split", [None, [1], "bytes"])
async def test_a_stream_is_known_however_it_is_cut(split: Any) -> None:
    """A client of a third wire, and an answer in the host's other one."""
    said = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in FAILED)
    asked = {"model": "openai/gpt-x", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    async with (
        Evil(Scenario(body=said, headers=SSE, framing="chunked", split=split)) as evil,
        pillion(**OPENAI.environ(evil.url)) as gateway,
    ):
        got = await ask(gateway, "POST", "/v1/messages", json.dumps(asked).encode())
    assert (got.status, json.loads(got.body)["error"]["message"]) == (429, "slow down")
