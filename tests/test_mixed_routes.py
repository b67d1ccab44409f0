"""Does a conversation go on where the targets of a route speak different wires, and answer it in turn?"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.client import ANTHROPIC, OPENAI, Got, Speech, chat
from tests.client import ask as ask_bare
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, config_file, pillion

JSON = [("content-type", "application/json")]
DOWN = Scenario(status=500, body=b"{}", headers=JSON)
HI: dict[str, Any] = {"role": "user", "content": "Hi"}
CLAUDE, GPT = "anthropic/claude-sonnet-4-5", "openai/gpt-5.1"

Answering = Callable[[Received], Scenario]


@asynccontextmanager
async def route(folder: Path, claude: Answering, gpt: Answering, *targets: str, **more: Any) -> AsyncIterator[Gateway]:
    """One by the name `r`, with Claude and an OpenAI behind it. `more`: keys of the configuration."""
    async with Evil(answering=claude) as one, Evil(answering=gpt) as other:
        config = config_file(json.dumps({"routes": {"r": {"targets": targets}}, **more}), folder)
        async with pillion(**ANTHROPIC.environ(one.url), **OPENAI.environ(other.url), **config) as gateway:
            yield gateway


async def ask(gateway: Gateway, speech: Speech, messages: list[Any], **fields: Any) -> Got:
    body = {"model": "r", "messages": messages, **speech.needed, **fields}
    return await chat(gateway, speech, json.dumps(body).encode())


def said(body: dict[str, Any]) -> Scenario:
    return Scenario(body=json.dumps(body).encode(), headers=JSON)


def refused(message: str, status: int = 400) -> Scenario:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    return Scenario(status=status, body=json.dumps(error).encode(), headers=JSON)


# --- Claude thinks, and the call was another's -----------------------------------------------------------------------

BUDGET = {"type": "enabled", "budget_tokens": 1024}
NO_THOUGHT = (
    "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is"
    " enabled, a final `assistant` message must start with a thinking block."
)
CALLS: list[Any] = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]


def calling(request: Received) -> Scenario:
    answer = json.loads(OPENAI.whole)
    answer["choices"] = [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": CALLS},
            "finish_reason": "tool_calls",
        }
    ]
    return said(answer)


class Claude:
    """Down for the first request. It wants to have thought before its calls."""

    def __init__(self, refusal: str = NO_THOUGHT) -> None:
        self.asked: list[dict[str, Any]] = []
        self._refusal = refusal

    def __call__(self, request: Received) -> Scenario:
        self.asked.append(body := json.loads(request.body))
        if len(self.asked) == 1:
            return DOWN
        begins = body["messages"][1]["content"][0]["type"]
        return (
            refused(self._refusal)
            if "thinking" in body and begins == "tool_use"
            else Scenario(body=ANTHROPIC.whole, headers=JSON)
        )


async def in_its_loop(gateway: Gateway) -> Got:
    """Another target calls a tool while Claude is down; and the next turn, for which it is back."""
    fields = {"thinking": BUDGET, "max_tokens": 4000, "tools": [{"name": "f", "input_schema": {"type": "object"}}]}
    first = json.loads((await ask(gateway, ANTHROPIC, [HI], **fields)).body)
    call = first["content"][0]
    assert (first["model"], call["type"]) == ("gpt-real", "tool_use")
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "1"}]}
    return await ask(gateway, ANTHROPIC, [HI, {"role": "assistant", "content": [call]}, result], **fields)


async def test_claude_goes_on_without_thinking_behind_a_call_of_another_target(tmp_path: Path) -> None:
    claude = Claude()
    async with route(tmp_path, claude, calling, CLAUDE, GPT) as gateway:
        got = await in_its_loop(gateway)
    assert (got.status, got.header("x-pillion-dropped")) == (200, "thinking")
    assert got.header("x-pillion-provider") == "anthropic"
    thought = [body.pop("thinking", None) for body in claude.asked]
    assert thought == [BUDGET, BUDGET, None]
    assert [body["messages"][1]["content"][0]["id"] for body in claude.asked[1:]] == ["call_1", "call_1"]


async def test_under_strict_the_client_hears_what_claude_said(tmp_path: Path) -> None:
    claude = Claude()
    async with route(tmp_path, claude, calling, CLAUDE, "openai/gpt-4.1", strict=True) as gateway:
        await ask(gateway, ANTHROPIC, [HI])
        call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "1"}]}
        messages = [HI, {"role": "assistant", "content": [call]}, result]
        got = await ask(gateway, ANTHROPIC, messages, thinking=BUDGET, max_tokens=4000, model=CLAUDE)
    assert (got.status, ANTHROPIC.error(got.body)["message"]) == (400, NO_THOUGHT)


async def test_any_other_400_stays_as_it_is(tmp_path: Path) -> None:
    claude = Claude("messages.1: Expected another thing")
    async with route(tmp_path, claude, calling, CLAUDE, GPT) as gateway:
        got = await in_its_loop(gateway)
    assert (got.status, len(claude.asked)) == (400, 2)


# --- Gemini 3 wants calls sealed, and Gemini 2.5 does not seal them ---------------------------------------------------

UNSEALED = (
    "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly,"
    " and missing thought_signature may lead to degraded model performance. Additional data, function call"
    " `default_api:f`, position 2."
)


async def test_gemini_3_goes_on_behind_a_call_that_nobody_has_sealed(tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = []

    def gemini(request: Received) -> Scenario:
        if "gemini-2.5" in request.target:
            return DOWN
        calls.append(call := json.loads(request.body)["contents"][1]["parts"][0])
        if "thoughtSignature" not in call:
            error = {"code": 400, "message": UNSEALED, "status": "INVALID_ARGUMENT"}
            return Scenario(status=400, body=json.dumps({"error": error}).encode(), headers=JSON)
        content = {"role": "model", "parts": [{"text": "Ja."}]}
        return said({"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]})

    call = {"functionCall": {"name": "f", "args": {}}}
    contents = [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": 1}}}]},
    ]
    async with Evil(answering=gemini) as evil:
        environ = {"GEMINI_API_KEY": "k-1", "PILLION_GEMINI_BASE_URL": evil.url}
        targets = ["gemini/gemini-2.5-flash", "gemini/gemini-3-pro"]
        config = config_file(json.dumps({"routes": {"r": {"targets": targets}}}), tmp_path)
        async with pillion(**environ, **config) as gateway:
            body = json.dumps({"contents": contents}).encode()
            got = await ask_bare(gateway, "POST", "/v1beta/models/r:generateContent", body)
    assert (got.status, got.header("x-pillion-model")) == (200, "gemini-3-pro")
    assert calls == [call, {**call, "thoughtSignature": "skip_thought_signature_validator"}]


# --- a chat with another provider's thoughts, or without ------------------------------------------------------------

OF_GROQ = (
    "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property 'reasoning_content'"
    " is unsupported)]"
)
UNKNOWN = "Unknown parameter: 'messages[1].reasoning_content'."
FORBIDDEN = "body.messages.1.assistant.reasoning_content: Extra inputs are not permitted"
OF_CEREBRAS = "messages.1.assistant.reasoning_content: property 'messages.1.assistant.reasoning_content' is unsupported"
OF_MOONSHOT = "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1"
OF_DEEPSEEK = "The `reasoning_content` in the thinking mode must be passed back to the API."
THOUGHTS = ("reasoning_content", "reasoning_details")


def thinking(request: Received) -> Scenario:
    answer = json.loads(ANTHROPIC.whole)
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "RXJ-the-seal-of-claude=="}
    answer["content"] = [thought, {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}]
    return said(answer)


class Chat:
    """A host of Chat Completions that is down for the first request, and refuses what `minds` says of a message."""

    def __init__(self, minds: Callable[[dict[str, Any]], bool], refusal: str, status: int = 400) -> None:
        self.asked: list[dict[str, Any]] = []
        self._minds = minds
        self._refusal = refused(refusal, status)

    def __call__(self, request: Received) -> Scenario:
        self.asked.append(body := json.loads(request.body))
        if len(self.asked) == 1:
            return DOWN
        calls = [message for message in body["messages"] if message["role"] == "assistant"]
        return self._refusal if any(map(self._minds, calls)) else Scenario(body=OPENAI.whole, headers=JSON)


def thinks(message: dict[str, Any]) -> bool:
    return not message.keys().isdisjoint(THOUGHTS)


async def brought_back(gateway: Gateway, *kept: str) -> Got:
    """What Claude has said while the host was down, as SDKs bring it back, and the next turn."""
    first = await ask(gateway, OPENAI, [HI], tools=[{"type": "function", "function": {"name": "f"}}])
    message = json.loads(first.body)["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": "toolu_1", "content": "1"}
    answer = {key: value for key, value in message.items() if key in ("role", "content", "tool_calls", *kept)}
    return await ask(gateway, OPENAI, [HI, answer, result])


@pytest.mark.parametrize("kept", [THOUGHTS, THOUGHTS[:1]], ids=["sealed", "as text"])
@pytest.mark.parametrize(("status", "refusal"), [(400, OF_GROQ), (400, UNKNOWN), (422, FORBIDDEN), (400, OF_CEREBRAS)])
async def test_a_host_that_refuses_claudes_thoughts_is_asked_without_them(
    status: int, refusal: str, kept: tuple[str, ...], tmp_path: Path
) -> None:
    host = Chat(thinks, refusal, status)
    async with route(tmp_path, thinking, host, GPT, CLAUDE) as gateway:
        got = await brought_back(gateway, *kept)
    assert (got.status, got.header("x-pillion-provider")) == (200, "openai")
    assert "messages.reasoning_content" in (got.header("x-pillion-dropped") or "")
    assert [call["id"] for call in host.asked[-1]["messages"][1]["tool_calls"]] == ["toolu_1"]


@pytest.mark.parametrize("refusal", ["Unknown parameter: 'messages[1].x'.", "Unknown parameter: 'reasoning'."])
async def test_a_host_that_refuses_another_field_is_not_asked_again(refusal: str, tmp_path: Path) -> None:
    host = Chat(thinks, refusal)
    async with route(tmp_path, thinking, host, GPT, CLAUDE) as gateway:
        got = await brought_back(gateway, "reasoning_content")
    assert (got.status, len(host.asked)) == (400, 2)


@pytest.mark.parametrize("refusal", [OF_MOONSHOT, OF_DEEPSEEK])
async def test_a_host_that_misses_a_thought_of_claudes_gets_an_empty_one(refusal: str, tmp_path: Path) -> None:
    host = Chat(lambda message: not message.get("reasoning_content"), refusal)
    providers = {"openai": {"thoughts": "demanded"}}
    async with route(tmp_path, thinking, host, GPT, CLAUDE, providers=providers) as gateway:
        got = await brought_back(gateway)
    assert (got.status, got.header("x-pillion-provider"), got.header("x-pillion-dropped")) == (200, "openai", None)
    assert host.asked[-1]["messages"][1]["reasoning_content"] == " "


# --- Responses, of which each account keeps its reasoning ------------------------------------------------------------

NOT_FOUND = (
    "Item with id '{}' not found. Items are not persisted when `store` is set to false. Try again with `store` set to"
    " true, or remove this item from your input."
)
RESPONSES = "/v1/responses"


class Account:
    """It thinks before each answer, and knows its own thoughts by their ids. `down`: the numbers of its requests that
    fail.
    """

    def __init__(self, name: str, down: set[int]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._name = name
        self._down = down

    def __call__(self, request: Received) -> Scenario:
        self.asked.append(body := json.loads(request.body))
        if len(self.asked) in self._down:
            return DOWN
        for item in body["input"]:
            if item.get("type") == "reasoning" and not item["id"].startswith(f"rs_{self._name}"):
                return refused(NOT_FOUND.format(item["id"]), 404)
        number = len(self.asked)
        thought = {"type": "reasoning", "id": f"rs_{self._name}{number}", "summary": []}
        text = [{"type": "output_text", "text": "Ja.", "annotations": []}]
        spoken = {"type": "message", "id": f"msg_{self._name}{number}", "role": "assistant", "content": text}
        answer = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5.1", "status": "completed"}
        return said({**answer, "output": [thought, spoken], "error": None, "incomplete_details": None})


@pytest.mark.parametrize(
    ("down", "answered", "dropped"),
    [
        (2, ["openai", "azure", "openai"], [None, "input.reasoning", None]),
        (1, ["azure", "openai", "openai"], [None, "input.reasoning", "input.reasoning"]),
    ],
)
async def test_another_account_is_not_shown_the_ids_of_thoughts_that_it_does_not_keep(
    down: int, answered: list[str], dropped: list[str | None], tmp_path: Path
) -> None:
    one, other = Account("a", {down}), Account("b", set())
    got, given = [], [HI]
    async with Evil(answering=one) as first, Evil(answering=other) as second:
        environ = {"AZURE_OPENAI_API_KEY": "k-1", "PILLION_AZURE_BASE_URL": second.url}
        config = config_file(json.dumps({"routes": {"r": {"targets": ["openai/gpt-5.1", "azure/gpt-5.1"]}}}), tmp_path)
        async with pillion(**OPENAI.environ(first.url), **environ, **config) as gateway:
            for _ in range(3):
                body = json.dumps({"model": "r", "input": given}).encode()
                got.append(answer := await ask_bare(gateway, "POST", RESPONSES, body))
                given = [*given, *json.loads(answer.body)["output"], HI]
    assert [one.header("x-pillion-provider") for one in got] == answered
    assert [one.header("x-pillion-dropped") for one in got] == dropped
    anew = (other if down == 2 else one).asked[-1]["input"]
    assert {"role": "assistant", "content": "Ja."} in anew
    assert "id" not in {key for item in anew for key in item}  # or it would miss the thought before what it has said


async def test_who_has_openai_keep_nothing_reads_its_advice(tmp_path: Path) -> None:
    """It forgot `include`, and would lose its thoughts at each turn."""
    thought = {"type": "reasoning", "id": "rs_b1", "summary": []}
    async with Evil(answering=Account("a", set())) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        body = json.dumps({"model": GPT, "input": [HI, thought], "store": False}).encode()
        got = await ask_bare(gateway, "POST", RESPONSES, body)
    assert (got.status, json.loads(got.body)["error"]["message"]) == (404, NOT_FOUND.format("rs_b1"))


async def test_who_has_openai_keep_it_all_may_change_the_account() -> None:
    thought = {"type": "reasoning", "id": "rs_b1", "summary": []}
    async with Evil(answering=Account("a", set())) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        body = json.dumps({"model": GPT, "input": [HI, thought, HI]}).encode()
        got = await ask_bare(gateway, "POST", RESPONSES, body)
    assert (got.status, got.header("x-pillion-dropped")) == (200, "input.reasoning")


# --- too much for one host, and not for the next --------------------------------------------------------------------

TOO_LARGE = "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 6096280 bytes > 5242880 bytes"


async def test_an_image_that_is_too_large_for_claude_goes_to_the_next_target(tmp_path: Path) -> None:
    seen: list[Any] = []

    def seeing(request: Received) -> Scenario:
        seen.append(json.loads(request.body)["messages"][0]["content"])
        return Scenario(body=OPENAI.whole, headers=JSON)

    source = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    async with route(tmp_path, lambda request: refused(TOO_LARGE), seeing, CLAUDE, GPT) as gateway:
        got = await ask(gateway, ANTHROPIC, [{"role": "user", "content": [{"type": "image", "source": source}]}])
    assert (got.status, got.header("x-pillion-provider")) == (200, "openai")
    assert seen == [[{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]]


async def test_if_it_is_too_large_for_all_the_client_reads_the_first_ones_words(tmp_path: Path) -> None:
    large = json.dumps({"error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}})
    no = Scenario(status=413, body=large.encode(), headers=JSON)
    async with route(tmp_path, lambda request: refused(TOO_LARGE), lambda request: no, CLAUDE, GPT) as gateway:
        got = await ask(gateway, ANTHROPIC, [HI])
    assert (got.status, ANTHROPIC.error(got.body)["message"]) == (400, TOO_LARGE)


async def test_an_image_that_a_local_model_cannot_see_goes_to_the_next_target(tmp_path: Path) -> None:
    blind = Scenario(status=400, body=b'{"error":"this model does not support image input (ref: b8bd)"}', headers=JSON)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    async with Evil(answering=lambda request: blind) as local:
        targets = ["ollama/glm-5.2", GPT]
        config = config_file(json.dumps({"routes": {"r": {"targets": targets}}}), tmp_path)
        async with (
            Evil(answering=lambda request: Scenario(body=OPENAI.whole, headers=JSON)) as other,
            pillion(PILLION_OLLAMA_BASE_URL=local.url, **OPENAI.environ(other.url), **config) as gateway,
        ):
            got = await ask(gateway, OPENAI, [{"role": "user", "content": [image]}])
    assert (got.status, got.header("x-pillion-provider"), got.header("x-pillion-attempts")) == (200, "openai", "2")
