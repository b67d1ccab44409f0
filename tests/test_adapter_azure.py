"""Is Azure reached by whichever of its two APIs, and do its own clients reach everybody?"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AzureOpenAI

from proxy import registry
from proxy.app import App
from proxy.config import Provider, Secret, Timers, load
from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.ports import Adapter, Outgoing, Path, Peek
from proxy.upstream import Upstream
from tests import recordings
from tests.client import ANTHROPIC, OPENAI, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import DEFAULTS, Gateway, opened, pillion
from tests.recordings import Row, needs_recordings

KEY = "azure-canary"
TOKEN = "eyJ0eXAiOiJKV1Qi.e30.canary"
WIRE = registry.dialect("azure_chat")
HI: list[Any] = [{"role": "user", "content": "Hi"}]
JSON = [("content-type", "application/json")]
STREAM = [("content-type", "text/event-stream")]

CHATS = recordings.load("azure.chat_completions")
RESPONSES = [row for row in recordings.load("*azure.responses") if row["status"] == 200]


def row(kind: str, url: str, **changes: Any) -> Provider:
    """A provider of this kind that is called like it."""
    made = Provider(
        name=kind,
        kind=kind,
        base_url=url,
        api_key=Secret(KEY),
        key_names=(),
        serves=(),
        models=(),
        ask_usage=True,
        headers={},
        timers=Timers(),
    )
    return made._replace(**changes)


@asynccontextmanager
async def adapter(config: Provider) -> AsyncIterator[Adapter]:
    upstream = Upstream()
    try:
        made: Adapter = registry.adapter(config.kind)(config, upstream)
        yield made
    finally:
        await upstream.close()


@asynccontextmanager
async def served(*rows: Provider) -> AsyncIterator[Gateway]:
    """A pillion with these providers and no others."""
    config = load(environ=DEFAULTS)
    async with opened(App(config._replace(providers={each.name: each for each in rows}))) as gateway:
        yield gateway


def outgoing(dialect: str = "openai_chat", query: str = "", model: str = "my gpt/4") -> Outgoing:
    return Outgoing(dialect, model, b"{}", False, [], query)


# --- where ------------------------------------------------------------------------------------------------------------

DATE = "2024-10-21"

TARGETS = [
    ("", "", "openai_chat", "/openai/v1/chat/completions"),
    ("", "", "openai_responses", "/openai/v1/responses"),
    ("", "preview", "openai_responses", "/openai/v1/responses?api-version=preview"),
    ("/openai/v1", "", "openai_chat", "/openai/v1/chat/completions"),
    ("/openai", "", "openai_chat", "/openai/v1/chat/completions"),
    ("/openai/deployments/other", "", "openai_chat", "/openai/v1/chat/completions"),
    ("/openai", "2025-04-01-preview", "openai_responses", "/openai/responses?api-version=2025-04-01-preview"),
    ("/proxy/openai/v1", "", "openai_chat", "/proxy/openai/v1/chat/completions"),
    ("/openai/v1", "2024-10-21", "openai_chat", "/openai/v1/chat/completions"),
    (
        "",
        "2024-10-21",
        "openai_chat",
        "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21",
    ),
    ("", "2025-04-01-preview", "openai_responses", "/openai/responses?api-version=2025-04-01-preview"),
]


@pytest.mark.parametrize(("path", "version", "dialect", "target"), TARGETS)
async def test_each_api_has_its_own_paths(path: str, version: str, dialect: str, target: str) -> None:
    async with Evil(Scenario()) as evil, adapter(row("azure", evil.url + path, api_version=version)) as azure:
        await (await azure.send(outgoing(dialect))).read(10)
        assert evil.requests[0].target == target


async def test_a_query_of_the_clients_stands_before_the_version() -> None:
    dated = row("azure", "http://azure.example", api_version="2024-10-21")
    async with adapter(dated) as azure:
        target = azure.target(outgoing(query="a=b"))  # type: ignore[attr-defined]
    assert target.endswith("/chat/completions?a=b&api-version=2024-10-21")


@pytest.mark.parametrize(
    ("key", "header", "value"), [(KEY, "api-key", KEY), (TOKEN, "authorization", f"Bearer {TOKEN}"), ("", "", "")]
)
async def test_a_key_and_a_token_each_have_their_header(key: str, header: str, value: str) -> None:
    config = row("azure", "", api_key=Secret(key))
    async with Evil(Scenario()) as evil, adapter(config._replace(base_url=evil.url)) as azure:
        await (await azure.send(outgoing())).read(10)
        shown = {name: evil.requests[0].header(name) for name in ("api-key", "authorization")}
        assert {name: said for name, said in shown.items() if said} == ({header: value} if header else {})


@pytest.mark.parametrize(
    ("version", "target"), [("", "/openai/v1/models"), (DATE, f"/openai/models?api-version={DATE}")]
)
async def test_the_list_is_the_apis_own(version: str, target: str) -> None:
    listed = Scenario(headers=JSON, body=b'{"data":[{"id":"gpt-5","object":"model"}],"object":"list"}')
    async with Evil(listed) as evil, adapter(row("azure", evil.url, api_version=version)) as azure:
        assert await azure.models() == ["gpt-5"]
        assert (evil.requests[0].target, evil.requests[0].header("api-key")) == (target, KEY)


@pytest.mark.parametrize(("version", "taken"), [("", ["openai_chat", "openai_responses"]), (DATE, ["openai_chat"])])
async def test_v1_lacks_no_endpoint_whatever_a_404_says(version: str, taken: list[str]) -> None:
    async with adapter(row("azure", "http://azure.example", api_version=version)) as azure:
        azure.do_without("openai_responses")
        assert list(azure.takes("m")) == taken


# --- the clients' face ------------------------------------------------------------------------------------------------


def test_the_path_names_the_model() -> None:
    assert WIRE.peek(Envelope(b'{"stream":true}'), Path("gpt/chat/completions")) == Peek("gpt", True)
    other = Envelope(b'{"model":"another"}')
    assert WIRE.peek(other, Path("anthropic/claude-x/chat/completions")) == Peek("anthropic/claude-x", False)
    parsed = WIRE.parse(b'{"model":"another","messages":[{"role":"user","content":"Hi"}]}', Peek("gpt", False))
    assert (parsed.model, parsed.wire) == ("gpt", "openai_chat")


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"messages": []}', b'{"messages": [],"model":"m"}'),
        (b'{"model": "another", "messages": []}', b'{"model": "m", "messages": []}'),
        (b'{"model":  "m"}', b'{"model":  "m"}'),
    ],
)
def test_the_body_that_goes_out_names_the_model(body: bytes, sent: bytes) -> None:
    assert WIRE.forward(Envelope(body), "m", False).body == sent


@pytest.mark.parametrize("rest", ["", "/chat/completions", "gpt", "gpt/embeddings"])
def test_a_path_without_a_deployment_is_refused(rest: str) -> None:
    with pytest.raises(BadRequest) as caught:
        WIRE.peek(Envelope(b"{}"), Path(rest))
    assert (caught.value.status, caught.value.code) == (404, "unknown_url")


@pytest.mark.parametrize("field", ["model", "stream"])
def test_a_field_of_a_wrong_type_is_refused_by_name(field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        WIRE.peek(Envelope(b'{"%b":5}' % field.encode()), Path("gpt/chat/completions"))
    assert caught.value.param == field


# --- Azure's own SDK, through pillion ---------------------------------------------------------------------------------


@asynccontextmanager
async def sdk(gateway: Gateway, **more: Any) -> AsyncIterator[AsyncAzureOpenAI]:
    async with AsyncAzureOpenAI(
        azure_endpoint=gateway.url, api_key="none", api_version="2024-10-21", max_retries=0, **more
    ) as client:
        yield client


class Playing:
    """What the upstream answers to the next chat."""

    scenario = Scenario()

    def __call__(self, request: Received) -> Scenario:
        return Scenario(headers=JSON, body=b'{"data":[]}') if request.method == "GET" else self.scenario


def chunks(said: Row) -> list[Any]:
    lines = recordings.body(said).decode().splitlines()
    return [json.loads(line[5:]) for line in lines if line.startswith("data:") and "[DONE]" not in line]


def recorded_text(said: Row) -> str:
    """The first choice's, read plainly."""
    live = said["framing"] == "sse"
    choices = [choice for each in (chunks(said) if live else [json.loads(recordings.body(said))])
               for choice in each["choices"][:1]]  # fmt: skip
    return "".join(choice["delta" if live else "message"].get("content") or "" for choice in choices)


@needs_recordings
@pytest.mark.parametrize("version", ["", "2024-10-21"])
async def test_its_sdk_reads_every_recording(version: str) -> None:
    play = Playing()
    rows = [said for said in CHATS if said["status"] == 200 and b'"choices"' in recordings.body(said)]
    assert len(rows) > 30
    async with (
        Evil(answering=play) as evil,
        served(row("azure", evil.url, api_version=version)) as gateway,
        sdk(gateway) as client,
    ):
        for said in rows:
            play.scenario = Scenario.from_recording(said)
            heard = await heard_text(client, said)
            assert heard == recorded_text(said), said["id"]
            recordings.replayed(said)
            at = f"deployments/{said['model']}/chat/completions?api-version={version}" if version else ""
            assert evil.requests[-1].target == f"/openai/{at or 'v1/chat/completions'}"
            assert json.loads(evil.requests[-1].body)["model"] == said["model"]
            assert evil.requests[-1].header("api-key") == KEY


async def heard_text(client: AsyncAzureOpenAI, said: Row) -> str:
    model = f"azure/{said['model']}"
    if said["framing"] != "sse":
        whole = await client.chat.completions.create(model=model, messages=HI)
        return whole.choices[0].message.content or ""
    heard = [chunk async for chunk in await client.chat.completions.create(model=model, messages=HI, stream=True)]
    return "".join(choice.delta.content or "" for chunk in heard for choice in chunk.choices[:1])


@needs_recordings
async def test_an_anthropic_client_reads_every_stream() -> None:
    """The other lane: chunks without choices come before the first word."""
    play = Playing()
    live = [said for said in CHATS if said["framing"] == "sse"]
    assert any(not chunks(said)[0]["choices"] for said in live)
    async with Evil(answering=play) as evil, served(row("azure", evil.url)) as gateway:
        for said in live:
            play.scenario = Scenario.from_recording(said)
            got = await ask(gateway, "POST", "/v1/messages", ANTHROPIC.request(True, "azure/m"), ANTHROPIC.headers)
            assert got.status == 200, said["id"]
            events = [json.loads(line[5:]) for line in got.body.decode().splitlines() if line.startswith("data:")]
            deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
            assert "".join(delta.get("text", "") for delta in deltas) == recorded_text(said), said["id"]
            assert events[-1]["type"] == "message_stop"


@needs_recordings
async def test_its_responses_are_read_by_the_sdk_and_in_the_other_lane() -> None:
    play = Playing()
    async with Evil(answering=play) as evil, served(row("azure", evil.url)) as gateway, sdk(gateway) as client:
        for said in RESPONSES:
            play.scenario = Scenario.from_recording(said)
            live = said["framing"] == "sse"
            answer = await client.responses.create(model="azure/m", input="Hi", stream=live)
            heard = [event async for event in answer] if isinstance(answer, openai.AsyncStream) else [answer]
            assert heard, said["id"]
            recordings.replayed(said)
            assert evil.requests[-1].target == "/openai/v1/responses"
            assert json.loads(evil.requests[-1].body)["model"] == "m"


async def test_a_client_that_is_not_async() -> None:
    async with Evil(Scenario(headers=JSON, body=OPENAI.whole)) as evil, served(row("azure", evil.url)) as gateway:
        with AzureOpenAI(
            azure_endpoint=gateway.url, azure_deployment="azure/gpt", api_key="none", api_version="x", max_retries=0
        ) as client:
            heard = await asyncio.to_thread(lambda: client.chat.completions.create(model="another", messages=HI))
        assert heard.choices[0].message.content == "Grüße"
        assert json.loads(evil.requests[0].body)["model"] == "gpt"


@pytest.mark.parametrize("live", [False, True])
async def test_its_sdk_reaches_other_providers(live: bool) -> None:
    async with Evil(answering=lambda request: answer_of(request, live)) as evil:
        environ = {**OPENAI.environ(evil.url), **ANTHROPIC.environ(evil.url)}
        async with pillion(**environ) as gateway, sdk(gateway) as client:
            for model in ("openai/gpt-x", "anthropic/claude-x"):
                answer = await client.chat.completions.create(model=model, messages=HI, stream=live)
                if isinstance(answer, openai.AsyncStream):
                    said = [choice.delta.content or "" async for chunk in answer for choice in chunk.choices]
                    assert "".join(said) == "Grüße"
                else:
                    assert answer.choices[0].message.content == "Grüße"
        assert [request.target for request in evil.requests] == ["/v1/chat/completions", "/v1/messages"]
        assert [json.loads(request.body)["model"] for request in evil.requests] == ["gpt-x", "claude-x"]
        assert evil.requests[0].header("api-key") is None


def answer_of(request: Received, live: bool) -> Scenario:
    speech = OPENAI if request.target.startswith("/v1/chat") else ANTHROPIC
    return Scenario(headers=STREAM if live else JSON, body=speech.stream if live else speech.whole)


@pytest.mark.parametrize("query", ["?api-version=2024-10-21", "?api%2Dversion=x&api-version=y"])
async def test_no_host_but_azure_hears_of_a_version(query: str) -> None:
    async with (
        Evil(Scenario(headers=JSON, body=OPENAI.whole)) as evil,
        pillion(**OPENAI.environ(evil.url)) as gateway,
    ):
        path = f"/openai/deployments/openai%2Fgpt-x/chat/completions{query}"
        got = await ask(gateway, "POST", path, json.dumps({"messages": HI}).encode())
        assert (got.status, evil.requests[0].target) == (200, "/v1/chat/completions")


async def test_a_dated_version_is_said_once_whatever_the_client_says() -> None:
    async with (
        Evil(Scenario(headers=JSON, body=OPENAI.whole)) as evil,
        served(row("azure", evil.url, api_version="2024-10-21")) as gateway,
        sdk(gateway, default_query={"x": "y"}) as client,
    ):
        await client.chat.completions.create(model="azure/gpt", messages=HI)
        query = evil.requests[0].target.partition("?")[2]
        assert sorted(query.split("&")) == ["api-version=2024-10-21", "x=y"]


@needs_recordings
async def test_its_errors_are_the_sdks_own() -> None:
    kinds = {404: openai.NotFoundError, 429: openai.RateLimitError}
    rows = [said for said in CHATS if said["status"] != 200]
    assert {said["status"] for said in rows} == set(kinds)
    for said in rows:
        play = Playing()
        play.scenario = Scenario.from_recording(said)
        async with Evil(answering=play) as evil, served(row("azure", evil.url)) as gateway, sdk(gateway) as client:
            with pytest.raises(kinds[said["status"]], match=json.loads(recordings.body(said))["error"]["message"][:30]):
                await client.chat.completions.create(model="azure/m", messages=HI)
            recordings.replayed(said)
