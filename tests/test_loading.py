"""Is a client of Ollama that has a model loaded answered, whoever the model's provider is?"""

import json
from typing import Any

import ollama
import pytest

from proxy.dialects.ollama import Ollama
from proxy.dialects.ollama.loading import loaded
from proxy.ports import Peek
from tests.client import OPENAI, ask
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion

CHAT, GENERATE = "/api/chat", "/api/generate"
ANSWERED: dict[str, type[ollama.ChatResponse | ollama.GenerateResponse]] = {
    CHAT: ollama.ChatResponse,
    GENERATE: ollama.GenerateResponse,
}


async def said(gateway: Gateway, path: str, **fields: Any) -> dict[str, Any]:
    got = await ask(gateway, "POST", path, json.dumps(fields).encode())
    assert got.status == 200, got.body
    body: dict[str, Any] = json.loads(got.body)
    return body


@pytest.mark.parametrize("stream", [{}, {"stream": False}], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("path", "fields", "word"),
    [
        (GENERATE, {}, "load"),
        (GENERATE, {"prompt": "", "keep_alive": "10m"}, "load"),
        (GENERATE, {"system": "Be kind.", "keep_alive": -1}, "load"),
        (GENERATE, {"keep_alive": 0}, "unload"),
        (CHAT, {"messages": []}, "load"),
        (CHAT, {}, "load"),  # as ollama-js leaves them out, and Ollama's client in Go says null
        (CHAT, {"messages": None, "keep_alive": 0}, "unload"),
        (CHAT, {"messages": [], "keep_alive": "0s"}, "unload"),
    ],
)
async def test_another_provider_is_not_asked(
    path: str, fields: dict[str, Any], word: str, stream: dict[str, Any]
) -> None:
    async with Evil() as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        body = await said(gateway, path, model="openai/gpt", **fields, **stream)
        assert evil.requests == []
    answer = ANSWERED[path].model_validate(body)
    assert (answer.model, answer.done, answer.done_reason) == ("gpt", True, word)
    assert (body["message"] if path == CHAT else body["response"]) in ("", {"role": "assistant", "content": ""})


async def test_ollama_is_asked_as_ever() -> None:
    answer = {
        "model": "llama3",
        "created_at": "2025-01-01T00:00:00Z",
        "response": "",
        "done": True,
        "done_reason": "load",
    }
    plays = Scenario(body=json.dumps(answer).encode(), headers=[("content-type", "application/json")])
    async with (
        Evil(answering=lambda _: plays) as evil,
        pillion(PILLION_OLLAMA_BASE_URL=evil.url, OLLAMA_API_KEY="x") as gateway,
    ):
        assert await said(gateway, GENERATE, model="ollama/llama3") == answer
        assert [request.target for request in evil.requests if request.method == "POST"] == [GENERATE]


@pytest.mark.parametrize("body", [{"prompt": "hi"}, {"messages": [{"role": "user", "content": "hi"}]}])
def test_who_asks_for_more_is_not_answered_here(body: dict[str, Any]) -> None:
    request = Ollama().parse(json.dumps({"model": "m", "raw": True, **body}).encode(), Peek("m", True))
    assert request.demands
    assert loaded(request) == ()
