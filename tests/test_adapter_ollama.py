"""Is Ollama reached, does it cost nothing while it is not there, and is a model that it lacks fetched once?"""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import ollama
import pytest

from proxy.adapters import listing
from proxy.adapters import ollama as room
from proxy.config import Provider, Secret
from proxy.errors import Down, Refused, Timeout
from proxy.ports import Outgoing
from tests import recordings
from tests.client import ANTHROPIC, OPENAI, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion
from tests.recordings import Row, needs_recordings
from tests.test_adapter_azure import HI, JSON, KEY, Playing, adapter, answer_of, row, served
from tests.test_adapter_cohere import anthropic_text
from tests.waiting import soon

CHATS = [said for said in recordings.load("*ollama.api_chat") if said["status"] == 200]
PROMPTS = recordings.load("*ollama.api_generate")

TAGS = Scenario(headers=JSON, body=b'{"models":[{"name":"llama3:latest","model":"llama3:latest"},{"name":"qwen3:8b"}]}')
LACKING = Scenario(status=404, headers=JSON, body=b'{"error":"model \'m\' not found"}')
LINES = [("content-type", "application/x-ndjson")]
DONE = b'{"model":"m","message":{"role":"assistant","content":"Gr\xc3\xbc\xc3\x9fe"},"done":true,"done_reason":"stop"}'
SAID = Scenario(headers=JSON, body=DONE)
PULLED = Scenario(
    headers=LINES,
    framing="chunked",
    body=b'{"status":"pulling manifest"}\n{"status":"pulling abc","total":200,"completed":50}\n{"status":"success"}\n',
)


def outgoing(operation: str = "chat", model: str = "m", timeout: float | None = None) -> Outgoing:
    return Outgoing("ollama", model, b'{"model":"m"}', False, [], "", operation, timeout)


@asynccontextmanager
async def sdk(gateway: Gateway) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=gateway.url) as client:
        yield client


# --- where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("operation", "target"), [("chat", "/api/chat"), ("generate", "/api/generate")])
@pytest.mark.parametrize(("key", "shown"), [(KEY, f"Bearer {KEY}"), ("", None)])
async def test_each_operation_has_its_path_and_a_key_is_shown_if_any(
    operation: str, target: str, key: str, shown: str | None
) -> None:
    async with Evil(SAID) as evil, adapter(row("ollama", evil.url, api_key=Secret(key))) as one:
        await (await one.send(outgoing(operation))).read(1000)
        assert (evil.requests[0].target, evil.requests[0].header("authorization")) == (target, shown)


async def test_its_list_is_known_by_name_and_a_name_without_a_tag_means_the_latest() -> None:
    async with Evil(TAGS) as evil, adapter(row("ollama", evil.url)) as one:
        assert await one.models() == ["llama3:latest", "qwen3:8b"]
        assert evil.requests[0].target == "/api/tags"
        known = ["llama3", "llama3:latest", "qwen3:8b", "qwen3", "llama3:8b"]
        assert [one.has(name) for name in known] == [True, True, True, False, False]


@pytest.mark.parametrize("body", [b'{"models":[]}', b'{"models":null}', b"{}"])
async def test_one_without_models_is_well(body: bytes) -> None:
    async with Evil(Scenario(headers=JSON, body=body)) as evil, adapter(row("ollama", evil.url)) as one:
        assert await one.models() == []


@pytest.mark.parametrize("body", [b'{"models":5}', b'{"models":[{"id":"x"}]}', b"[]", b"Ollama is running"])
async def test_what_is_no_list_is_told(body: bytes) -> None:
    async with Evil(Scenario(headers=JSON, body=body)) as evil, adapter(row("ollama", evil.url)) as one:
        with pytest.raises(Down, match="did not answer with a list of models"):
            await one.models()


# --- its own SDK, through pillion -------------------------------------------------------------------------------------


def recorded_text(said: Row, field: str = "message") -> str:
    """Read plainly."""
    lines = [json.loads(line) for line in recordings.body(said).splitlines() if line.strip()]
    values = [line.get(field) or "" for line in lines] if said["framing"] == "ndjson" else [
        json.loads(recordings.body(said))[field]
    ]  # fmt: skip
    return "".join(value if isinstance(value, str) else value.get("content") or "" for value in values)


@needs_recordings
async def test_its_sdk_reads_every_recorded_chat() -> None:
    play = Playing()
    async with Evil(answering=play) as evil, served(row("ollama", evil.url)) as gateway, sdk(gateway) as client:
        for said in CHATS:
            play.scenario = Scenario.from_recording(said)
            live = said["framing"] == "ndjson"
            if live:
                heard = [part async for part in await client.chat("ollama/m", HI, stream=True)]
            else:
                heard = [await client.chat("ollama/m", HI)]
            assert "".join(part.message.content or "" for part in heard) == recorded_text(said), said["id"]
            recordings.replayed(said)
            sent = json.loads(evil.requests[-1].body)
            assert (evil.requests[-1].target, sent["model"], sent["stream"]) == ("/api/chat", "m", live)


@needs_recordings
async def test_its_sdk_reads_every_recorded_answer_to_a_prompt() -> None:
    play = Playing()
    async with Evil(answering=play) as evil, served(row("ollama", evil.url)) as gateway, sdk(gateway) as client:
        for said in PROMPTS:
            play.scenario = Scenario.from_recording(said)
            if said["framing"] == "ndjson":
                heard = [part async for part in await client.generate("ollama/m", "Hi", stream=True)]
            else:
                heard = [await client.generate("ollama/m", "Hi")]
            assert "".join(part.response or "" for part in heard) == recorded_text(said, "response"), said["id"]
            recordings.replayed(said)
            assert evil.requests[-1].target == "/api/generate"


@needs_recordings
async def test_an_anthropic_client_reads_every_recorded_chat() -> None:
    play = Playing()
    async with Evil(answering=play) as evil, served(row("ollama", evil.url)) as gateway:
        for said in CHATS:
            play.scenario = Scenario.from_recording(said)
            live = said["framing"] == "ndjson"
            got = await ask(gateway, "POST", "/v1/messages", ANTHROPIC.request(live, "ollama/m"), ANTHROPIC.headers)
            assert got.status == 200, said["id"]
            assert anthropic_text(got.body, live) == recorded_text(said), said["id"]


async def test_a_client_that_is_not_async() -> None:
    async with Evil(SAID) as evil, served(row("ollama", evil.url)) as gateway:

        def heard() -> str | None:
            client = ollama.Client(host=gateway.url)
            try:
                return client.chat("ollama/m", HI).message.content
            finally:
                client._client.close()

        assert await asyncio.to_thread(heard) == "Grüße"


@pytest.mark.parametrize("live", [False, True])
async def test_its_sdk_reaches_other_providers(live: bool) -> None:
    async with Evil(answering=lambda request: answer_of(request, live)) as evil:
        environ = {**OPENAI.environ(evil.url), **ANTHROPIC.environ(evil.url)}
        async with pillion(**environ) as gateway, sdk(gateway) as client:
            for model in ("openai/gpt-x", "anthropic/claude-x"):
                if live:
                    heard = [part async for part in await client.chat(model, HI, stream=True)]
                else:
                    heard = [await client.chat(model, HI)]
                assert "".join(part.message.content or "" for part in heard) == "Grüße"
                assert heard[-1].done


# --- one that nobody configured ---------------------------------------------------------------------------------------


def assumed(url: str) -> Provider:
    return row("ollama", url, api_key=Secret(""), assumed=True)


def nowhere() -> str:
    """Where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


async def chat(gateway: Gateway, model: str) -> Any:
    return await ask(gateway, "POST", "/v1/chat/completions", OPENAI.request(model=model))


async def provider_of(gateway: Gateway, model: str) -> str | None:
    """Who answered."""
    got = await chat(gateway, model)
    provider: str | None = got.header("x-pillion-provider") if got.status == 200 else str(got.status)
    return provider


def at_home(request: Received) -> Scenario:
    return TAGS if request.method == "GET" else SAID


async def test_it_takes_the_models_that_it_lists_and_leaves_the_others_to_echo() -> None:
    async with Evil(answering=at_home) as evil, served(assumed(evil.url)) as gateway:
        answered = [await provider_of(gateway, name) for name in ("gpt-5", "llama3", "qwen3:8b", "text", "ollama/any")]
        assert answered == ["echo", "ollama", "ollama", "echo", "ollama"]


async def test_what_another_claims_never_makes_anybody_look_for_it() -> None:
    whole = Scenario(headers=JSON, body=OPENAI.whole)
    async with Evil(whole, whole) as evil, Evil() as home:
        openai_row = row("openai", evil.url, serves=("gpt",))
        async with served(openai_row, assumed(home.url)) as gateway:
            assert [await provider_of(gateway, name) for name in ("gpt-5", "openai/x")] == ["openai"] * 2
        assert home.connections == 0


async def test_one_that_is_not_there_is_looked_for_once_on_the_way_of_a_request() -> None:
    async with Evil(welcome="fin") as home, served(assumed(home.url)) as gateway:
        assert [await provider_of(gateway, "llama3") for _ in range(5)] == ["echo"] * 5
        assert home.connections == 1


async def test_one_that_does_not_speak_is_left_soon_and_nobody_waits_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ASSUMED_TIMEOUT", 0.05)
    monkeypatch.setattr(listing, "RETRY", 0.0)
    async with Evil(welcome="stall") as home, adapter(assumed(home.url)) as one:
        with pytest.raises(Timeout, match=r"within 0\.05 s"):
            await one.models()
        monkeypatch.setattr(room, "ASSUMED_TIMEOUT", 3600.0)
        before = asyncio.all_tasks()
        for _ in range(3):
            with pytest.raises(Timeout):
                await one.models()
        await home.connected(2)  # the one look aside, which goes on
        assert len(asyncio.all_tasks() - before) == 1
        assert home.connections == 2


async def test_one_that_comes_up_later_is_found_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "RETRY", 0.0)
    came = asyncio.Event()

    def answer(request: Received) -> Scenario:
        return (TAGS if came.is_set() else Scenario(status=503)) if request.method == "GET" else SAID

    async with Evil(answering=answer) as home, served(assumed(home.url)) as gateway:
        assert [await provider_of(gateway, "llama3") for _ in range(3)] == ["echo"] * 3
        came.set()
        assert [await provider_of(gateway, "llama3") for _ in range(30)][-1] == "ollama"


async def test_it_is_listed_and_told_of_only_where_it_is() -> None:
    async with Evil(answering=at_home) as home, served(assumed(home.url)) as gateway:
        listed = json.loads((await ask(gateway, "GET", "/v1/models")).body)["data"]
        assert "ollama/llama3:latest" in [model["id"] for model in listed]
    async with served(row("openai", nowhere()), assumed(nowhere())) as gateway:
        refused = await chat(gateway, "llama3")
        assert refused.status == 404
        assert "Providers: openai (could not be asked), echo." in json.loads(refused.body)["error"]["message"]


async def test_who_names_it_hears_what_is_the_matter() -> None:
    async with served(assumed(nowhere())) as gateway:
        got = await chat(gateway, "ollama/llama3")
        assert (got.status, json.loads(got.body)["error"]["code"]) == (502, "connect_error")


async def test_its_health_is_told() -> None:
    async with Evil(TAGS) as home, adapter(assumed(home.url)) as one:
        assert (await one.health()).ok
    async with adapter(assumed(nowhere())) as one:
        assert not (await one.health()).ok


# --- one that is configured -------------------------------------------------------------------------------------------


async def test_a_configured_one_that_is_well_takes_what_nobody_else_does() -> None:
    async with Evil(answering=lambda request: TAGS if request.method == "GET" else LACKING) as evil:
        async with served(row("openai", nowhere(), serves=("gpt",)), row("ollama", evil.url)) as gateway:
            refused = await chat(gateway, "m")
        assert (refused.status, refused.header("x-pillion-provider")) == (404, "ollama")
        assert json.loads(refused.body)["error"]["message"] == "model 'm' not found: `ollama pull m` fetches it."


async def test_one_that_is_not_well_takes_nothing() -> None:
    async with served(row("openai", nowhere()), row("ollama", nowhere())) as gateway:
        refused = await chat(gateway, "m")
        assert (refused.status, refused.header("x-pillion-provider")) == (404, None)


# --- a model that is not there ----------------------------------------------------------------------------------------


async def test_a_client_of_ollamas_hears_what_to_do() -> None:
    async with Evil(LACKING) as evil, served(row("ollama", evil.url)) as gateway, sdk(gateway) as client:
        with pytest.raises(ollama.ResponseError, match="`ollama pull m` fetches it") as caught:
            await client.chat("ollama/m", HI)
        assert caught.value.status_code == 404


async def test_a_404_that_is_cut_is_one_all_the_same() -> None:
    async with Evil(replace(LACKING, cut_at=9)) as evil, adapter(row("ollama", evil.url)) as one:
        with pytest.raises(Refused) as caught:
            await one.send(outgoing())
    assert caught.value.status == 404


async def test_who_leaves_while_a_404_is_read_lets_go_of_the_connection() -> None:
    async with (
        Evil(replace(LACKING, cut_at=9, how="stall")) as evil,
        adapter(row("ollama", evil.url)) as one,
    ):
        waiting = asyncio.ensure_future(one.send(outgoing()))
        await evil.pushed_all()
        for _ in range(5):
            await asyncio.sleep(0)  # until the head is read
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await evil.closed(0)).how == "fin"


@pytest.mark.parametrize("body", [b"404 page not found", b'{"error":{"message":"x"}}', b""])
async def test_a_404_of_another_server_promises_nothing(body: bytes) -> None:
    async with (
        Evil(Scenario(status=404, body=body)) as evil,
        adapter(row("ollama", evil.url, pull=True, models=("m",))) as one,
    ):
        with pytest.raises(Refused) as caught:
            await one.send(outgoing())
        assert "pull" not in caught.value.message
        assert (caught.value.status, caught.value.code) == (404, "upstream_refused")  # nothing is known of the model
        if b"{" not in body:
            assert caught.value.message == "ollama answered with status 404 and no reason: check base_url."
        assert len(evil.requests) == 1


class Store:
    """An Ollama that lacks its model until somebody has pulled it."""

    def __init__(self, pulling: Scenario = PULLED) -> None:
        self.pulling = pulling
        self.pulls: list[Received] = []

    def __call__(self, request: Received) -> Scenario:
        if request.target == "/api/pull":
            self.pulls.append(request)
            return self.pulling
        if request.method == "GET":
            return TAGS
        return SAID if self.pulls and self.pulling.body.endswith(b'"success"}\n') else LACKING


async def test_a_missing_model_is_fetched_once_for_ten_who_wait() -> None:
    store = Store(replace(PULLED, delay_body=0.05))
    async with Evil(answering=store) as evil, adapter(row("ollama", evil.url, pull=True, models=("m",))) as one:
        answers = await asyncio.gather(*(one.send(outgoing()) for _ in range(10)))
        assert [(answer.status, await answer.read(1000)) for answer in answers] == [(200, DONE)] * 10
        [pull] = store.pulls
        assert (pull.method, json.loads(pull.body), pull.header("authorization")) == (
            "POST",
            {"model": "m"},
            f"Bearer {KEY}",
        )


async def test_a_client_waits_for_its_model_and_reads_on() -> None:
    store = Store()
    async with (
        Evil(answering=store) as evil,
        served(row("ollama", evil.url, pull=True, models=("m",))) as gateway,
        sdk(gateway) as client,
    ):
        assert (await client.chat("ollama/m", HI)).message.content == "Grüße"
        assert len(store.pulls) == 1


async def test_the_log_says_how_it_goes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pillion")
    for seconds, said in [(3600.0, 2), (0.0, 4)]:
        monkeypatch.setattr(room, "PULL_TOLD", seconds)
        caplog.clear()
        async with Evil(answering=Store()) as evil, adapter(row("ollama", evil.url, pull=True, models=("m",))) as one:
            await (await one.send(outgoing())).read(1000)
        assert len(caplog.messages) == said
    assert caplog.messages == [
        "ollama is pulling m",
        "ollama is pulling m: pulling manifest",
        "ollama is pulling m: pulling abc, 25%",
        "ollama pulled m: done",
    ]


FAILURES = [
    (Scenario(headers=LINES, body=b'{"error":"pull model manifest: file does not exist"}\n'), "file does not exist"),
    (Scenario(status=400, headers=JSON, body=b'{"error":"invalid model name"}'), "invalid model name"),
    (Scenario(headers=LINES, body=b'{"status":"pulling manifest"}\n'), "it ended early"),
    (Scenario(headers=LINES, body=b"<html>\n"), "could not be read"),
    (Scenario(headers=LINES, body=b"\xff\n"), "could not be read"),
    (Scenario(headers=LINES, body=b"[" * 100_000 + b"\n"), "could not be read"),
    (Scenario(headers=LINES, body=b"1\n" * 3), "it ended early"),
    (Scenario(headers=LINES, body=b'{"status":"x"}\n' * 9, cut_at=20), "cut short"),
    (Scenario(headers=LINES, body=b'{"error":"%b,\\n no"}\n' % KEY.encode()), r"\*\*\*, no"),
]


@pytest.mark.parametrize(("pulling", "said"), FAILURES)
async def test_a_model_that_cannot_be_fetched_is_not_found_and_it_is_said_why(
    pulling: Scenario, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(pulling)
    async with Evil(answering=store) as evil, adapter(row("ollama", evil.url, pull=True, models=("m",))) as one:
        with pytest.raises(Refused, match=f"^model 'm' not found; pulling it failed: .*{said}") as caught:
            await one.send(outgoing())
        assert (caught.value.status, caught.value.code, caught.value.provider) == (404, "model_not_found", "ollama")
        assert KEY not in caught.value.message
        assert KEY not in caplog.text
        assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_model_that_is_missing_still_is_not_pulled_for_ever() -> None:
    async with (
        Evil(LACKING, PULLED, LACKING) as evil,
        adapter(row("ollama", evil.url, pull=True, models=("m",))) as one,
    ):
        assert (await one.send(outgoing())).status == 404
        assert [request.target for request in evil.requests] == ["/api/chat", "/api/pull", "/api/chat"]


OTHERS = ["evil.example/ns/m", "http://127.0.0.1:80/m", "ns/m", "other", "m:70b", ":latest", "hf.co:443/ns/m"]


@pytest.mark.parametrize("model", OTHERS)
async def test_no_client_chooses_what_is_fetched(model: str) -> None:
    store, named = Store(), ("m", "hf.co/ns/m")
    async with Evil(answering=store) as evil, adapter(row("ollama", evil.url, pull=True, models=named)) as one:
        with pytest.raises(
            Refused, match=r"`ollama pull .* fetches it; pillion does so itself for those in the provider's `models`"
        ):
            await one.send(outgoing(model=model))
        assert store.pulls == []


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("ns/m:8b", {"models": ("ns/m:8b",)}),
        ("hf.co/ns/m", {"models": ("m", "hf.co/ns/m")}),
        ("m:latest", {"models": ("m",)}),
        ("m", {"models": ("m:latest",)}),
        ("m:8b", {"model": "m:8b"}),
    ],
)
async def test_what_the_operator_names_is_fetched(model: str, named: dict[str, Any]) -> None:
    store = Store()
    async with Evil(answering=store) as evil, adapter(row("ollama", evil.url, pull=True, **named)) as one:
        await (await one.send(outgoing(model=model))).read(1000)
        assert [json.loads(pull.body) for pull in store.pulls] == [{"model": model}]


async def test_who_has_no_time_leaves_and_the_pull_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pillion")
    slow = Store(Scenario(headers=LINES, body=PULLED.body, framing="chunked", split=[29], gap=0.2))
    async with Evil(answering=slow) as evil, adapter(row("ollama", evil.url, pull=True, models=("m",))) as one:
        with pytest.raises(Timeout) as caught:
            await one.send(outgoing(timeout=0.05))
        assert (caught.value.code, caught.value.message) == ("pull_timeout", "m is still being pulled.")
        await evil.pushed_all()
        await (await one.send(outgoing())).read(1000)
        assert len(slow.pulls) == 1
        assert caplog.messages[-1] == "ollama pulled m: done"


async def test_who_leaves_in_the_moment_in_which_a_pull_ends_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the model would be asked for a client that is gone."""
    ends: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(room.Ollama, "_pull", lambda self, model: _waited(ends))
    config = row("ollama", "http://127.0.0.1:9", pull=True, models=("m",))
    async with adapter(config) as one:
        assert isinstance(one, room.Ollama)
        waiting = asyncio.create_task(one._pulled(outgoing(timeout=60)))
        await soon(lambda: bool(one._pulls))
        pull = one._pulls["m"]
        pull.add_done_callback(lambda _: waiting.cancel())
        ends.set_result("")
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def _waited(ends: asyncio.Future[str]) -> str:
    return await ends


async def test_a_pull_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PULL_TIME", 0.05)
    endless = Store(Scenario(headers=LINES, body=PULLED.body, framing="chunked", cut_at=29, how="stall"))
    async with Evil(answering=endless) as evil, adapter(row("ollama", evil.url, pull=True, models=("m",))) as one:
        with pytest.raises(Refused, match=r"pulling it failed: .* did not end within 0\.05 s"):
            await one.send(outgoing())


async def test_a_pillion_that_closes_leaves_no_pull_behind() -> None:
    endless = Store(Scenario(headers=LINES, body=PULLED.body, framing="chunked", cut_at=29, how="stall"))
    async with Evil(answering=endless) as evil, adapter(row("ollama", evil.url, pull=True, models=("m",))) as one:
        waiting = asyncio.ensure_future(one.send(outgoing()))
        await evil.received(2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
