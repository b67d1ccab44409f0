"""Is the Gemini API asked where and how Google says, and do its own clients and others read what it answers?"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import openai
import pytest
from google import genai
from google.genai import errors, types
from msgspec.structs import replace

from proxy.adapters.http import LIST_PAGES
from proxy.config import Secret
from proxy.ports import Outgoing
from tests import recordings, replay
from tests.client import ANTHROPIC, ask, chat
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion
from tests.recordings import needs_recordings
from tests.replay import Json, Row, Stage
from tests.test_adapters_http import KEY, provider

JSON = [("content-type", "application/json; charset=UTF-8")]
HELLO: Json = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
WHOLE = Scenario(body=json.dumps(HELLO).encode(), headers=JSON)
STREAM = Scenario(body=b"data: %b\r\n\r\n" % WHOLE.body, headers=[("content-type", "text/event-stream")])
ASKED = b'{"contents":[{"role":"user","parts":[{"text":"Hello?"}]}]}'


async def sent(model: str = "m", body: bytes = b"{}", config: Json | None = None, **changes: Any) -> Received:
    """What the upstream receives."""
    outgoing = replace(Outgoing("gemini", model, body, False, [], ""), **changes)
    async with Evil(WHOLE) as evil, provider(evil.url, "gemini", **(config or {})) as adapter:
        await (await adapter.send(outgoing)).read(1000)
        return evil.requests[0]


# --- where -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, "/v1beta/models/m:generateContent"),
        ({"model": "models/m"}, "/v1beta/models/m:generateContent"),
        ({"model": "tunedModels/mine-1"}, "/v1beta/tunedModels/mine-1:generateContent"),
        ({"model": "a/b?c:d é"}, "/v1beta/models/a%2Fb%3Fc%3Ad%20%C3%A9:generateContent"),
        ({"stream": True}, "/v1beta/models/m:streamGenerateContent?alt=sse"),
        ({"stream": True, "query": "%24alt=sse"}, "/v1beta/models/m:streamGenerateContent?%24alt=sse"),
        ({"stream": True, "as_array": True}, "/v1beta/models/m:streamGenerateContent"),
        (
            {"stream": True, "as_array": True, "query": "prettyPrint=false"},
            "/v1beta/models/m:streamGenerateContent?prettyPrint=false",
        ),
        ({"operation": "count_tokens"}, "/v1beta/models/m:countTokens"),
        ({"config": {"api_version": "v1"}}, "/v1/models/m:generateContent"),
    ],
)
async def test_the_path_has_the_model_and_what_is_wanted(changes: Json, target: str) -> None:
    request = await sent(**changes)
    assert (request.method, request.target) == ("POST", target)


# --- who asks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({}, {"x-goog-api-key": KEY}),
        ({"project": "payer"}, {"x-goog-api-key": KEY}),
        ({"api_key": Secret("ya29.t")}, {"authorization": "Bearer ya29.t"}),
        (
            {"api_key": Secret("ya29.t"), "project": "payer"},
            {"authorization": "Bearer ya29.t", "x-goog-user-project": "payer"},
        ),
        ({"api_key": Secret("")}, {}),
    ],
)
async def test_a_key_and_a_token_are_each_shown_in_their_own_way(config: Json, shown: Json) -> None:
    request = await sent(config=config)
    lines = {name: value for name, value in request.headers if "goog" in name or name == "authorization"}
    assert lines == shown


# --- counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "received"),
    [
        (ASKED, ASKED),
        (b'{"generateContentRequest":{"model":"models/m"} }', b'{"generateContentRequest":{"model":"models/m"} }'),
        (b'{"generate_content_request": {}}', b'{"generate_content_request": {}}'),
        (
            b'{"contents":[1.0], "systemInstruction": {}}',
            b'{"generateContentRequest":{"contents":[1.0], "systemInstruction": {},"model":"models/m"}}',
        ),
    ],
)
async def test_a_count_of_more_than_contents_is_of_a_whole_request(body: bytes, received: bytes) -> None:
    assert (await sent(body=body, operation="count_tokens")).body == received


async def test_any_other_body_is_sent_as_it_is() -> None:
    assert (await sent(body=b'{"systemInstruction": {} }')).body == b'{"systemInstruction": {} }'


# --- the list --------------------------------------------------------------------------------------------------------


def page(*names: str, token: str = "") -> Scenario:
    more = {"nextPageToken": token} if token else {}
    return Scenario(body=json.dumps({"models": [{"name": f"models/{name}"} for name in names], **more}).encode())


async def test_the_list_is_read_page_by_page() -> None:
    token = "Cg+/-_&%2B=="
    async with Evil(page("a", "b", token=token), page("c")) as evil, provider(evil.url, "gemini") as adapter:
        assert await adapter.models() == ["a", "b", "c"]
        first, second = evil.requests
        assert first.target == "/v1beta/models?pageSize=1000"
        path, _, query = second.target.partition("?")
        assert (path, parse_qsl(query)) == ("/v1beta/models", [("pageSize", "1000"), ("pageToken", token)])
        assert second.header("x-goog-api-key") == KEY


async def test_a_list_without_end_is_left() -> None:
    pages = [page(str(number), token="t") for number in range(LIST_PAGES)]
    async with Evil(*pages) as evil, provider(evil.url, "gemini") as adapter:
        assert len(await adapter.models()) == LIST_PAGES


@pytest.mark.parametrize("body", [b'{"data":[]}', b'{"models":[{"id":"x"}]}', b'{"models":[],"nextPageToken":1}', b"<"])
async def test_what_is_no_list_is_told(body: bytes) -> None:
    async with Evil(Scenario(body=body)) as evil, provider(evil.url, "gemini") as adapter:
        assert (await adapter.health()).detail == "mine did not answer with a list of models."


# --- its own clients, through pillion --------------------------------------------------------------------------------


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """A pillion whose one provider is the Gemini API."""
    async with (
        Evil(answering=lambda request: acting.plays) as evil,
        pillion(GEMINI_API_KEY="AIza-secret", PILLION_GEMINI_BASE_URL=evil.url) as gateway,
    ):
        acting = Stage(gateway, evil)
        yield acting


@asynccontextmanager
async def google(acting: Stage) -> AsyncIterator[genai.Client]:
    transport = {"transport": httpx2.AsyncHTTPTransport()}  # else it inherits from aiohttp, which warns
    options = types.HttpOptions(base_url=acting.gateway.url, async_client_args=transport)
    client = genai.Client(api_key="unused", http_options=options)
    try:
        yield client
    finally:
        await client.aio.aclose()
        client.close()


ROWS = recordings.load("*gemini.generateContent", "*gemini.streamGenerateContent")
STREAMED = ("sse", "json-array")


def path_of(row: Row, model: str = "gemini/m") -> str:
    verb = "streamGenerateContent" if row["endpoint"] == "streamGenerateContent" else "generateContent"
    alt = "?alt=sse" if verb.startswith("stream") and row["framing"] != "json-array" else ""
    return f"/v1beta/models/{model}:{verb}{alt}"


@needs_recordings
@pytest.mark.parametrize("framing", ["json", *STREAMED])
async def test_what_google_said_passes_through_byte_for_byte(framing: str) -> None:
    async def check(row: Row) -> None:
        acting.plays = Scenario.from_recording(row)
        got = await ask(acting.gateway, "POST", path_of(row), ASKED)
        assert (got.status, got.body, got.whole) == (row["status"], recordings.body(row), True)
        assert acting.last().body == ASKED
        assert acting.last().target == path_of(row, "m")

    async with stage() as acting:
        rows = [row for row in ROWS if row["framing"] == framing]
        assert rows
        await replay.each(rows, check)


async def test_googles_sdk_streams_counts_and_lists() -> None:
    async with stage() as acting, google(acting) as client:
        acting.plays = STREAM
        stream = await client.aio.models.generate_content_stream(model="gemini/m", contents="Hello?")
        assert [chunk.text async for chunk in stream] == ["Hi"]
        assert acting.last().target == "/v1beta/models/m:streamGenerateContent?alt=sse"
        acting.plays = Scenario(body=b'{"totalTokens":7}', headers=JSON)
        assert (await client.aio.models.count_tokens(model="gemini/m", contents="Hello?")).total_tokens == 7
        assert acting.last().target == "/v1beta/models/m:countTokens"
        acting.plays = page("m", "n")
        names = [model.name async for model in await client.aio.models.list()]
        assert {"models/gemini/m", "models/gemini/n"} <= set(names)


async def test_a_key_in_the_clients_query_stays_here() -> None:
    async with stage() as acting:
        acting.plays = STREAM
        await ask(acting.gateway, "POST", "/v1beta/models/gemini/m:streamGenerateContent?key=theirs&alt=sse", ASKED)
        assert acting.last().target == "/v1beta/models/m:streamGenerateContent?alt=sse"
        assert acting.last().header("x-goog-api-key") == "AIza-secret"


async def test_a_key_that_google_refuses_is_told_and_not_shown() -> None:
    said = {"error": {"code": 400, "message": "API key not valid: AIza-secret.", "status": "INVALID_ARGUMENT"}}
    async with stage() as acting, google(acting) as client:
        acting.plays = Scenario(status=400, body=json.dumps(said).encode(), headers=JSON)
        with pytest.raises(errors.ClientError, match=r"API key not valid: \*\*\*") as caught:
            await client.aio.models.generate_content(model="gemini/m", contents="Hello?")
        assert "AIza" not in str(caught.value)


async def test_googles_sdk_talks_to_echo() -> None:
    async with pillion() as gateway:
        acting = Stage(gateway, Evil())
        async with google(acting) as client:
            got = await client.aio.models.generate_content(model="echo/m", contents="Hello?")
            assert "Hello?" in (got.text or "")


# --- other clients ---------------------------------------------------------------------------------------------------


def candidates_of(row: Row) -> list[Json]:
    said = replay.events(row) if row["framing"] == "sse" else [json.loads(recordings.body(row))]
    return [one for each in said for one in each.get("candidates", [])]


def parts_of(row: Row) -> list[Json]:
    return [part for one in candidates_of(row) for part in one.get("content", {}).get("parts", [])]


def is_plain(row: Row) -> bool:
    """Texts and whole calls, which every wire can say."""
    if row["status"] != 200 or any(one.get("finishReason", "STOP") != "STOP" for one in candidates_of(row)):
        return False
    keys = {key for part in parts_of(row) for key in [*part, *part.get("functionCall", ())]}
    kinds = {"text", "functionCall", "thought", "thoughtSignature", "id", "name", "args"}
    return bool(keys) and keys <= kinds


def plain(row: Row) -> tuple[str, list[tuple[str, Any]]]:
    """The texts and calls, by json.loads and nothing of ours."""
    calls = [part["functionCall"] for part in parts_of(row) if "functionCall" in part]
    text = "".join(part.get("text", "") for part in parts_of(row) if not part.get("thought"))
    return text, [(call["name"], call.get("args", {})) for call in calls]


def heard(said: list[Any]) -> tuple[str, list[tuple[str, Any]]]:
    """The texts and calls of a message, or of its deltas: one with a name begins a call."""
    calls: list[list[str]] = []
    for function in [call.function for each in said for call in each.tool_calls or [] if call.function]:
        if function.name:
            calls.append([function.name, ""])
        calls[-1][1] += function.arguments or ""
    text = "".join(each.content or "" for each in said)
    return text, [(name, json.loads(arguments)) for name, arguments in calls]


@needs_recordings
@pytest.mark.parametrize("framing", ["json", "sse"])
async def test_an_openai_client_reads_what_google_said(framing: str) -> None:
    rows = [row for row in ROWS if row["framing"] == framing and is_plain(row)][::3]
    assert len(rows) > 15

    async def check(row: Row) -> None:
        acting.plays = Scenario.from_recording(row)
        asked: Json = {"model": "gemini/m", "messages": [{"role": "user", "content": "Hello?"}]}
        if framing == "json":
            said: list[Any] = [(await client.chat.completions.create(**asked)).choices[0].message]
        else:
            stream = await client.chat.completions.create(**asked, stream=True)
            said = [chunk.choices[0].delta async for chunk in stream if chunk.choices]
        assert acting.last().target == path_of(row, "m")
        assert heard(said) == plain(row)

    async with (
        stage() as acting,
        openai.AsyncOpenAI(base_url=f"{acting.gateway.url}/v1", api_key="unused", max_retries=0) as client,
    ):
        await replay.each(rows, check)


async def test_an_anthropic_client_counts_a_system_prompt() -> None:
    body = ANTHROPIC.request(model="gemini/m", system="Be kind.")
    async with stage() as acting:
        acting.plays = Scenario(body=b'{"totalTokens":7}', headers=JSON)
        got = await ask(acting.gateway, "POST", "/v1/messages/count_tokens", body, ANTHROPIC.headers)
        assert json.loads(got.body) == {"input_tokens": 7}
        inner = json.loads(acting.last().body)["generateContentRequest"]
        assert (inner["model"], inner["systemInstruction"]["parts"]) == ("models/m", [{"text": "Be kind."}])


async def test_an_anthropic_client_is_told_of_an_error_in_its_own_words() -> None:
    said = {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}
    async with stage() as acting:
        acting.plays = Scenario(status=429, body=json.dumps(said).encode(), headers=JSON)
        got = await chat(acting.gateway, ANTHROPIC, ANTHROPIC.request(model="gemini/m"))
        assert (got.status, ANTHROPIC.error(got.body)["type"]) == (429, "rate_limit_error")
