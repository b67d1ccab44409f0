"""Is a host asked by its Responses API for what it says has no place in Chat Completions, and asked there at once?"""

import json
from typing import Any

import pytest

from proxy.lanes import elsewhere
from tests.client import ANTHROPIC, OPENAI, Got, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion
from tests.test_spoken import JSON, RESPONSE

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
MODEL = "gpt-6.1-sol"
PARAMETERS = {"type": "object", "properties": {}}
CALLED: dict[str, Any] = {"tools": [{"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}]}
FOR_TOOLS = (
    "Function tools with reasoning_effort are not supported for gpt-6.1-sol in /v1/chat/completions. To use function"
    " tools, use /v1/responses or set reasoning_effort to 'none'."
)
# What OpenAI, and hosts of its models, have said of models that have never been in Chat Completions.
FOR_ALL = [
    (404, "This model is only supported in v1/responses and not in v1/chat/completions."),
    (404, "This model is not supported in the v1/chat/completions endpoint. Use the v1/responses endpoint instead."),
    (404, "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use"
          " v1/completions?"),
    (400, "model gpt-6.1-sol is not accessible via the /chat/completions endpoint"),
]  # fmt: skip
OF_A_WORD = [
    (400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
    (404, "The model `gpt-6.1-sol` does not exist or you do not have access to it."),
    (429, FOR_TOOLS),
]


def refusal(status: int, message: str) -> Scenario:
    error = {"message": message, "type": "invalid_request_error", "param": "reasoning_effort", "code": None}
    return Scenario(status=status, body=json.dumps({"error": error}).encode(), headers=JSON)


class Host:
    """One that answers there, and here refuses: what has tools, or everything."""

    def __init__(self, status: int, message: str, tools_alone: bool = False) -> None:
        self._refusal = refusal(status, message)
        self._tools_alone = tools_alone

    def __call__(self, request: Received) -> Scenario:
        if request.target == RESPONSES:
            return Scenario(body=json.dumps(RESPONSE).encode(), headers=JSON)
        if self._tools_alone and b'"tools"' not in request.body:
            return Scenario(body=OPENAI.whole, headers=JSON)
        return self._refusal


def asked(evil: Evil) -> list[str]:
    return [request.target for request in evil.requests if request.method == "POST"]


async def chat(gateway: Any, model: str = MODEL, **fields: Any) -> Got:
    return await ask(gateway, "POST", CHAT, OPENAI.request(model=model, **fields))


def text(got: Got) -> str:
    assert got.status == 200, got.body
    said: str = json.loads(got.body)["choices"][0]["message"]["content"]
    return said


async def test_tools_that_have_no_place_here_are_asked_for_there_and_at_once_from_then_on() -> None:
    host = Host(400, FOR_TOOLS, tools_alone=True)
    async with Evil(answering=host) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        assert [text(await chat(gateway, **CALLED)) for _ in range(2)] == ["Grüße", "Grüße"]
        assert asked(evil) == [CHAT, RESPONSES, RESPONSES]
        assert json.loads(evil.requests[-1].body)["tools"] == [
            {"type": "function", "name": "f", "parameters": PARAMETERS, "strict": False}
        ]
        await chat(gateway)  # and what has none passes as it did, as another model's does
        await chat(gateway, "gpt-4.1")
        assert asked(evil)[3:] == [CHAT, CHAT]


async def test_only_so_many_models_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients choose their names. One that is forgotten is asked for here once more."""
    monkeypatch.setattr(elsewhere, "REMEMBERED", 2)
    async with Evil(answering=Host(*FOR_ALL[0])) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        for model in ("gpt-6", "gpt-7", "gpt-6", "gpt-7", "gpt-8", "gpt-6"):
            assert text(await chat(gateway, model)) == "Grüße"
    both = [CHAT, RESPONSES]
    assert asked(evil) == [*both, *both, RESPONSES, RESPONSES, *both, *both]


async def test_a_client_of_another_wire_is_sent_there_as_well() -> None:
    body = ANTHROPIC.request(model=MODEL, tools=[{"name": "f", "input_schema": PARAMETERS}])
    host = Host(400, FOR_TOOLS, tools_alone=True)
    async with Evil(answering=host) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        answers = [await ask(gateway, "POST", ANTHROPIC.path, body, ANTHROPIC.headers) for _ in range(2)]
        assert asked(evil) == [CHAT, RESPONSES, RESPONSES]
    assert [json.loads(got.body)["content"][0]["text"] for got in answers] == ["Grüße", "Grüße"]


@pytest.mark.parametrize(("status", "message"), FOR_ALL)
async def test_a_model_that_is_not_here_at_all_is_asked_there(status: int, message: str) -> None:
    async with Evil(answering=Host(status, message)) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        assert [text(await chat(gateway, **fields)) for fields in ({}, CALLED, {})] == ["Grüße"] * 3
        assert asked(evil) == [CHAT, RESPONSES, RESPONSES, RESPONSES]


async def test_that_it_was_asked_there_is_told() -> None:
    async with Evil(answering=Host(*FOR_ALL[0])) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        for _ in range(2):  # the second time it is known
            name = (await chat(gateway)).header("x-pillion-request-id")
            [attempt] = json.loads((await ask(gateway, "GET", f"/v1/explain/{name}")).body)["attempts"]
            assert (attempt["lane"], attempt["to"]) == ("translated", "openai_responses")


@pytest.mark.parametrize(("status", "message"), OF_A_WORD)
async def test_what_is_said_of_a_word_or_a_name_goes_to_the_client_as_it_is(status: int, message: str) -> None:
    async with Evil(refusal(status, message)) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, **CALLED)
        assert asked(evil) == [CHAT]
    assert (got.status, json.loads(got.body)["error"]["message"]) == (status, message)


async def test_what_is_said_there_leads_nowhere_else() -> None:
    message = "This model is not supported in /v1/responses, but only in /v1/chat/completions."
    body = json.dumps({"model": MODEL, "input": "Hi"}).encode()
    async with Evil(refusal(400, message)) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", RESPONSES, body)
        assert asked(evil) == [RESPONSES]
    assert (got.status, json.loads(got.body)["error"]["message"]) == (400, message)


async def test_a_host_that_has_no_other_endpoint_is_believed() -> None:
    environ = {"GROQ_API_KEY": "k", "PILLION_UPSTREAM": "groq/m"}
    async with Evil(refusal(400, FOR_TOOLS)) as evil:
        async with pillion(**environ, PILLION_GROQ_BASE_URL=evil.url + "/v1") as gateway:
            assert (await chat(gateway, **CALLED)).status == 400
        assert asked(evil) == [CHAT]


async def test_a_host_that_names_what_it_has_not_is_asked_for_it_once() -> None:
    missing = Scenario(status=404, body=b'{"detail":"Not Found"}', headers=JSON)
    async with Evil(refusal(400, FOR_TOOLS), missing, refusal(400, FOR_TOOLS)) as evil:
        async with pillion(**OPENAI.environ(evil.url)) as gateway:
            answers = [await chat(gateway, **CALLED) for _ in range(2)]
        assert asked(evil) == [CHAT, RESPONSES, CHAT]
    assert {(got.status, json.loads(got.body)["error"]["message"]) for got in answers} == {(400, FOR_TOOLS)}


async def test_what_the_other_endpoint_refuses_is_told() -> None:
    """It is there, so what it says of the request counts, and it is asked at once from then on."""
    spent = refusal(429, "You exceeded your current quota.")
    async with Evil(refusal(400, FOR_TOOLS), spent, spent) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        answers = [await chat(gateway, **CALLED) for _ in range(2)]
        assert asked(evil) == [CHAT, RESPONSES, RESPONSES]
    assert {(got.status, json.loads(got.body)["error"]["message"]) for got in answers} == {
        (429, "You exceeded your current quota.")
    }


async def test_what_the_other_endpoint_cannot_say_is_named() -> None:
    host = Host(400, FOR_TOOLS, tools_alone=True)
    async with Evil(answering=host) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, **CALLED, stop="x")
        assert (text(got), got.header("x-pillion-dropped")) == ("Grüße", "stop")
        refused = await chat(gateway, **CALLED, n=2)
    assert (refused.status, json.loads(refused.body)["error"]["param"]) == (400, "n")


# --- and for what only it can say --------------------------------------------------------------------------------


def with_document(**source: str) -> bytes:
    content = [{"type": "document", "source": source}, {"type": "text", "text": "Hi"}]
    return ANTHROPIC.request(model="gpt-4.1", messages=[{"role": "user", "content": content}])


BY_URL = with_document(type="url", url="https://x.example/a.pdf")


async def test_a_document_by_its_url_is_shown_there() -> None:
    async with Evil(answering=Host(500, "")) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", ANTHROPIC.path, BY_URL, ANTHROPIC.headers)
        assert (got.status, json.loads(got.body)["content"][0]["text"]) == (200, "Grüße")
        assert asked(evil) == [RESPONSES]
        shown = json.loads(evil.requests[-1].body)["input"][0]["content"][0]
    assert shown == {"type": "input_file", "file_url": "https://x.example/a.pdf"}


async def test_what_neither_endpoint_can_say_is_refused_in_the_words_of_the_first() -> None:
    async with Evil(answering=Host(500, "")) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        body = with_document(type="file", file_id="file_1")
        got = await ask(gateway, "POST", ANTHROPIC.path, body, ANTHROPIC.headers)
        assert (got.status, asked(evil)) == (400, [])
    assert "messages[0].content[0] refers to a file" in json.loads(got.body)["error"]["message"]


async def test_a_host_without_the_other_endpoint_cannot_be_shown_it() -> None:
    missing = Scenario(status=404, body=b'{"detail":"Not Found"}', headers=JSON)
    async with Evil(missing) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        answers = [await ask(gateway, "POST", ANTHROPIC.path, BY_URL, ANTHROPIC.headers) for _ in range(2)]
        assert asked(evil) == [RESPONSES]
    for got in answers:
        assert (got.status, "document by URL; send the bytes instead" in json.loads(got.body)["error"]["message"]) == (
            400,
            True,
        )
