"""Is Cohere reached as its SDK would, and is what it said what its SDK hears?"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import cohere
import httpx
import pytest
from cohere.core.api_error import ApiError

from proxy.config import Secret
from proxy.errors import Down
from tests import recordings
from tests.client import ANTHROPIC, OPENAI, ask
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion
from tests.recordings import Row, needs_recordings
from tests.test_adapter_azure import HI, JSON, KEY, Playing, adapter, answer_of, outgoing, row, served

ROWS = recordings.load("*cohere.v2_chat")


@asynccontextmanager
async def sdk(gateway: Gateway) -> AsyncIterator[cohere.AsyncClientV2]:
    async with httpx.AsyncClient() as http:
        yield cohere.AsyncClientV2(api_key="none", base_url=gateway.url, httpx_client=http)


@pytest.fixture(autouse=True)
def nothing_skipped(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The SDK passes over an event that it cannot read, and says so in its log alone."""
    yield
    assert not [record for record in caplog.records if record.name.startswith("cohere")]


@pytest.mark.parametrize(("key", "shown"), [(KEY, f"Bearer {KEY}"), ("", None)])
async def test_it_is_asked_at_its_own_path_with_a_bearer_key(key: str, shown: str | None) -> None:
    async with Evil(Scenario()) as evil, adapter(row("cohere", evil.url, api_key=Secret(key))) as one:
        await (await one.send(outgoing("cohere"))).read(10)
        assert (evil.requests[0].target, evil.requests[0].header("authorization")) == ("/v2/chat", shown)


async def test_its_list_is_of_models_that_chat() -> None:
    listed = Scenario(headers=JSON, body=b'{"models":[{"name":"command-a","endpoints":["chat"]},{"name":"b"}]}')
    async with Evil(listed) as evil, adapter(row("cohere", evil.url)) as one:
        assert await one.models() == ["command-a", "b"]
        assert evil.requests[0].target == "/v1/models?endpoint=chat&page_size=1000"


@pytest.mark.parametrize("body", [b"{}", b'{"models":[{"id":"x"}]}', b'{"models":{}}', b"\xff"])
async def test_what_is_no_list_is_told(body: bytes) -> None:
    async with Evil(Scenario(headers=JSON, body=body)) as evil, adapter(row("cohere", evil.url)) as one:
        with pytest.raises(Down, match="did not answer with a list of models"):
            await one.models()


# --- its own SDK, through pillion -------------------------------------------------------------------------------------


def recorded_text(said: Row) -> str:
    """Read plainly."""
    if said["framing"] == "json":
        return "".join(each.get("text", "") for each in json.loads(recordings.body(said))["message"].get("content", ()))
    lines = [line[5:] for line in recordings.body(said).decode().splitlines() if line.startswith("data:")]
    events = [json.loads(line) for line in lines if "[DONE]" not in line]
    deltas = [event["delta"]["message"]["content"] for event in events if event["type"] == "content-delta"]
    return "".join(delta.get("text", "") for delta in deltas)


async def heard_text(client: cohere.AsyncClientV2, model: str, live: bool) -> str:
    if live:
        heard: list[Any] = [event async for event in client.chat_stream(model=model, messages=HI)]
        assert heard[-1].type == "message-end"
        deltas = [event.delta.message.content for event in heard if event.type == "content-delta"]
        return "".join(delta.text or "" for delta in deltas)
    whole: Any = await client.chat(model=model, messages=HI)
    return "".join(part.text for part in whole.message.content or () if part.type == "text")


@needs_recordings
async def test_its_sdk_reads_every_recording() -> None:
    play = Playing()
    async with Evil(answering=play) as evil, served(row("cohere", evil.url)) as gateway, sdk(gateway) as client:
        for said in ROWS:
            play.scenario = Scenario.from_recording(said)
            live = said["framing"] == "sse"
            assert await heard_text(client, "cohere/command-x", live) == recorded_text(said), said["id"]
            recordings.replayed(said)
            sent = evil.requests[-1]
            assert (sent.target, sent.header("authorization")) == ("/v2/chat", f"Bearer {KEY}")
            assert json.loads(sent.body) == {"model": "command-x", "messages": HI, "stream": live}


@needs_recordings
async def test_an_anthropic_client_reads_every_recording() -> None:
    play = Playing()
    async with Evil(answering=play) as evil, served(row("cohere", evil.url)) as gateway:
        for said in ROWS:
            play.scenario = Scenario.from_recording(said)
            live = said["framing"] == "sse"
            body = ANTHROPIC.request(live, "cohere/command-x")
            got = await ask(gateway, "POST", "/v1/messages", body, ANTHROPIC.headers)
            assert got.status == 200, said["id"]
            assert anthropic_text(got.body, live) == recorded_text(said), said["id"]


def anthropic_text(body: bytes, live: bool) -> str:
    if not live:
        return "".join(part.get("text", "") for part in json.loads(body)["content"])
    events = [json.loads(line[5:]) for line in body.decode().splitlines() if line.startswith("data:")]
    assert events[-1]["type"] == "message_stop"
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


@needs_recordings
async def test_a_client_that_is_not_async() -> None:
    said = next(said for said in ROWS if said["framing"] == "json" and recorded_text(said))
    async with Evil(Scenario.from_recording(said)) as evil, served(row("cohere", evil.url)) as gateway:
        with httpx.Client() as http:
            client = cohere.ClientV2(api_key="none", base_url=gateway.url, httpx_client=http)
            heard: Any = await asyncio.to_thread(lambda: client.chat(model="cohere/command-x", messages=HI))
        assert "".join(part.text for part in heard.message.content) == recorded_text(said)


@pytest.mark.parametrize("live", [False, True])
async def test_its_sdk_reaches_other_providers(live: bool) -> None:
    async with Evil(answering=lambda request: answer_of(request, live)) as evil:
        environ = {**OPENAI.environ(evil.url), **ANTHROPIC.environ(evil.url)}
        async with pillion(**environ) as gateway, sdk(gateway) as client:
            for model in ("openai/gpt-x", "anthropic/claude-x"):
                assert await heard_text(client, model, live) == "Grüße"


async def test_an_error_is_the_sdks_own() -> None:
    refused = Scenario(status=401, headers=JSON, body=b'{"message":"invalid api token"}')
    async with Evil(refused) as evil, served(row("cohere", evil.url)) as gateway, sdk(gateway) as client:
        with pytest.raises(ApiError) as caught:
            await client.chat(model="cohere/command-x", messages=HI)
        assert (caught.value.status_code, caught.value.body) == (401, {"message": "invalid api token"})
