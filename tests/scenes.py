"""Which kinds of request are there, by what they wait for?

Each is played against providers of the test's own, with everything on that holds something, and one place at each
limit. test_cancelled.py ends them at each of their waits.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proxy import app
from proxy.adapters.http import HTTPProvider
from proxy.adapters.listing import ModelList
from proxy.config import load
from proxy.edge import keptawake, loading
from proxy.edge.remote import Fetcher
from proxy.store import writer
from tests.client import ANTHROPIC, OPENAI, USAGE_CHUNK, Got, Speech, ask, client, spell
from tests.evil import Evil, Received, Scenario, trust
from tests.gateway import DEFAULTS, Gateway, config_file, pillion
from tests.nowhere import refusing
from tests.redisserver import redis
from tests.test_adapter_bedrock import issued
from tests.test_adapter_ollama import Store
from tests.test_adapter_vertex import Google, write_key
from tests.test_remote import SHOWN
from tests.waiting import soon

SSE = [("Content-Type", "text/event-stream")]
JSON = [("Content-Type", "application/json")]
CHAT = OPENAI.stream[:-14] + USAGE_CHUNK + OPENAI.stream[-14:]

# --- what providers answer -------------------------------------------------------------------------------------------


def stream(body: bytes) -> Scenario:
    """In four pieces, for each of which somebody has to wait."""
    quarter = len(body) // 4
    return Scenario(body=body, headers=SSE, framing="chunked", split=[quarter] * 3, gap=0.001)


def refusal(status: int, *lines: tuple[str, str]) -> Scenario:
    body = b'{"error":{"message":"no","type":"server_error","param":null,"code":null}}'
    return Scenario(status=status, headers=[*JSON, *lines], body=body)


WHOLE = {"openai": Scenario(body=OPENAI.whole, headers=JSON), "anthropic": Scenario(body=ANTHROPIC.whole, headers=JSON)}
LIVE = {"openai": stream(CHAT), "anthropic": stream(ANTHROPIC.stream)}
COUNTED = Scenario(body=b'{"input_tokens":5}', headers=JSON)
LISTED = Scenario(body=b'{"object":"list","data":[{"id":"m","type":"model","object":"model"}]}', headers=JSON)
DOWN = refusal(500)
REFUSED = refusal(401)
BUSY = refusal(429, ("Retry-After-Ms", "1"))
SLOW = Scenario(body=OPENAI.whole, headers=JSON, delay_head=0.02)
LATE = Scenario(body=OPENAI.whole, headers=JSON, delay_head=0.15)
SLOW_STREAM = Scenario(body=CHAT, headers=SSE, framing="chunked", split=[len(CHAT) // 4] * 3, gap=0.01)
LONG_ANSWER = Scenario(body=CHAT.replace(b"Gr", b"Gr" * 500_000), headers=SSE, framing="chunked", split=[50_000] * 20)
DUMB = Scenario(cut_at=0, cut_of="wire", how="stall")
STALE = Scenario(cut_at=0, cut_of="wire")
FIRST = CHAT.index(b"Gr")
BROKEN = Scenario(body=CHAT, headers=SSE, framing="chunked", cut_at=FIRST)  # before it has said anything
TORN = Scenario(body=CHAT, headers=SSE, framing="chunked", cut_at=FIRST + 160, split=[FIRST + 155], gap=0.002)


GEMINI = (
    '{"candidates":[{"content":{"role":"model","parts":[{"text":"Grüße"}]},"finishReason":"STOP","index":0}],'
    '"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":7}}'
).encode()
CONVERSE = (
    '{"output":{"message":{"role":"assistant","content":[{"text":"Grüße"}]}},"stopReason":"end_turn",'
    '"usage":{"inputTokens":5,"outputTokens":2,"totalTokens":7},"metrics":{"latencyMs":9}}'
).encode()
CHATS = "/chat/completions", "/responses", "/messages", ":generateContent", "/converse", "/api/chat"  # ends of paths


def well(name: str, request: Received) -> Scenario:
    if request.method == "GET":
        return LISTED
    if "count" in request.target or "input_tokens" in request.target:
        return COUNTED
    return (LIVE if json.loads(request.body).get("stream") else WHOLE)[name]


Asking = Coroutine[Any, Any, Got]


# --- how it is asked -------------------------------------------------------------------------------------------------


async def chats(stage: "Stage", scene: "Scene") -> Got:
    speech = scene.speech
    body = speech.request(scene.stream, scene.model, **scene.fields)
    body = body.replace(b"{third}", stage.hosts[-1].url.encode())
    return await ask(stage.gateway, "POST", scene.path or speech.path, body, [*speech.headers, *scene.headers])


async def gets(stage: "Stage", scene: "Scene") -> Got:
    return await ask(stage.gateway, "GET", scene.path, headers=scene.speech.headers)


async def drips(stage: "Stage", scene: "Scene") -> Got:
    """Its body comes in pieces, once it was asked for."""
    body = scene.speech.request(scene.stream, scene.model)
    lines = [("Content-Length", str(len(body))), ("Content-Type", "application/json"), ("Expect", "100-continue")]
    async with client(stage.gateway) as one:
        await one.send(spell("POST", scene.speech.path, b"", [*scene.speech.headers, *lines]))
        for at in range(0, len(body), 30):
            await asyncio.sleep(0.001)
            if not one.writer.transport.is_closing():
                await one.send(body[at : at + 30])
        return await one.answer()


async def reads_slowly(stage: "Stage", scene: "Scene") -> Got:
    async with client(stage.gateway, receive_buffer=4096) as one:
        await one.send(spell("POST", scene.speech.path, scene.speech.request(scene.stream, scene.model)))
        await asyncio.sleep(0.005)
        return await one.answer()


# --- what is played --------------------------------------------------------------------------------------------------


class Scene(NamedTuple):
    """One kind of request.

    `openai`, `anthropic`: what it answers first, before it is well. `asked`: how. `says`: what a whole answer has.
    `budget`: more of the budget's row. `beside`: so many ask the same at the same moment, of whom the `whom`th is the
    one that matters. `attempts`: those that are booked. `twice`: requests that a provider may see besides. `waits`: the
    request has so many at least. `around`: what else there is. `before`: is done before each time that it is played,
    and `meanwhile` while it is.
    """

    speech: Speech
    model: str
    stream: bool
    openai: tuple[Scenario, ...] = ()
    environ: tuple[tuple[str, str], ...] = ()
    beside: int = 0
    attempts: int = 1
    waits: int = 3
    anthropic: tuple[Scenario, ...] = ()
    asked: "Callable[[Stage, Scene], Asking]" = chats
    path: str = ""
    fields: Mapping[str, Any] = {}
    headers: tuple[tuple[str, str], ...] = ()
    says: str = "ße"
    budget: str = ""
    whom: int = 0
    twice: int = 0
    around: "Callable[[AsyncExitStack, pytest.MonkeyPatch, Path], Around] | None" = None
    before: "Callable[[Stage], Coroutine[Any, Any, object]] | None" = None
    meanwhile: "Callable[[Stage], Coroutine[Any, Any, None]] | None" = None
    tls: bool = False


class Stage:
    """Where a scene is played. `hosts`: OpenAI, Anthropic, and perhaps a third."""

    def __init__(self, scene: Scene, gateway: Gateway, hosts: list[Evil], environ: Mapping[str, str]) -> None:
        self.scene = scene
        self.gateway = gateway
        self.hosts = hosts
        self.environ = environ

    async def begin(self) -> None:
        """As if it were played for the first time."""
        loading._loaded.clear()
        if self.scene.before is not None:
            await self.scene.before(self)
        for host, first in zip(self.hosts, (self.scene.openai, self.scene.anthropic), strict=False):
            host.queue = deque(first)

    async def play(self) -> list[Got | None]:
        """What those who asked have got; None where the connection broke before there was a head."""
        scene = self.scene
        asking = [self._asked() for _ in range(1 + scene.beside)]
        if scene.meanwhile is None:
            return await asyncio.gather(*asking)
        async with asyncio.TaskGroup() as group:
            group.create_task(scene.meanwhile(self))
            return await asyncio.gather(*asking)

    async def _asked(self) -> Got | None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            return await self.scene.asked(self, self.scene)
        return None

    async def quiet(self) -> None:
        """Nothing is held any more, by whomever."""
        app = self.gateway.app
        lasting = app.lasting
        await soon(lambda: not lasting.active and app.upstream.in_use == 0 and lasting.overload.under_way == 0)
        await soon(lambda: not lasting.cache.flights._tasks and app.accounting.ledger.pending == 0)
        assert {row.reserved for row in app.accounting.budgets.statements()} == {0}
        assert {one.latency.in_flight for one in lasting.standings} <= {0}
        assert not any(one.breaker.state == "half_open" and one.breaker.wait for one in lasting.standings)
        assert (lasting.limits.queued, lasting.overload.queued) == (0, 0)

    async def books(self) -> tuple[int, int]:
        """How many attempts are in the ledger, and how many the providers have seen."""
        got = await ask(self.gateway, "GET", "/v1/usage?group_by=provider")
        rows = json.loads(got.body)["data"]
        seen = [one for host in self.hosts for one in host.requests if one.target.endswith(CHATS)]
        return sum(row["requests"] for row in rows), len(seen)


@asynccontextmanager
async def staged(scene: Scene, folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    def answering(number: int, name: str) -> Callable[[Received], Scenario]:
        def answer(request: Received) -> Scenario:
            is_chat, queue = request.target.endswith(CHATS), hosts[number].queue
            return queue.popleft() if queue and is_chat else well(name, request)

        return answer

    patch.setattr(writer, "GATHER", 0.001)  # for each request waits until its row is written
    async with AsyncExitStack() as stack:
        hosts = [Evil(answering=answering(*each), tls=scene.tls) for each in enumerate(("openai", "anthropic"))]
        for host in hosts:
            await stack.enter_async_context(host)
        said = {**config_file(_text(scene), folder), **OPENAI.environ(hosts[0].url), **ANTHROPIC.environ(hosts[1].url)}
        said |= switched(OVERLOAD_MAX_REQUESTS=str(1 + scene.beside), OVERLOAD_MAX_QUEUE="0")
        if scene.tls:
            said |= dict.fromkeys(("PILLION_OPENAI_CA", "PILLION_ANTHROPIC_CA"), str(hosts[0].ca_pem))
        if scene.around is not None:
            third, more = await scene.around(stack, patch, folder)
            hosts += [third] if third is not None else []
            said |= more
        said |= dict(scene.environ)
        yield Stage(scene, await stack.enter_async_context(pillion(**said)), hosts, said)


def _text(scene: Scene) -> str:
    """With everything on that holds something, and one place at each."""
    places = 1 + scene.beside
    return (
        "routes:\n"
        "  r: {targets: [openai/m, anthropic/m]}\n"
        "  cheap: {targets: [openai/m, anthropic/m], strategy: least_cost}\n"
        "  further: {targets: [openai/m, anthropic/claude-sonnet-4-5]}\n"
        "prices: {openai/m: {input: 1, output: 3}, anthropic/m: {input: 1, output: 3}}\n"
        "unknown_price: free\n"
        f"budgets: {{all: {{usd: 1000, window: day, unbounded_usd: {900 // (places + 1)}{scene.budget}}}}}\n"
        f"limits: {{client: {{concurrent: {places}}}, models: {{openai/m: {{concurrent: 1}}}}}}\n"
        "ledger: {create: true, synchronous: full}\n"
    )


# --- what else there is ----------------------------------------------------------------------------------------------

Around = Coroutine[Any, Any, tuple[Evil | None, dict[str, str]]]  # a third host, and the environment that leads to it


def switched(**said: str) -> dict[str, str]:
    return {f"PILLION_{name}": value for name, value in said.items()}


async def nobody_there(stack: AsyncExitStack, patch: pytest.MonkeyPatch, folder: Path) -> Any:
    return None, switched(OPENAI_BASE_URL=await stack.enter_async_context(refusing()))


async def store(stack: AsyncExitStack, patch: pytest.MonkeyPatch, folder: Path) -> Any:
    """Of a fleet. A machine that has more to do is no store that is away."""
    patch.setattr("proxy.store.redis.PATIENCE", 10.0)
    patch.setattr("proxy.fleet.TOGETHER", 10.0)
    return None, switched(STORE=(await stack.enter_async_context(redis())).url)


async def short_silence(stack: AsyncExitStack, patch: pytest.MonkeyPatch, folder: Path) -> Any:
    patch.setattr(keptawake, "PING_INTERVAL", 0.002)
    return None, {}


async def web(stack: AsyncExitStack, patch: pytest.MonkeyPatch, folder: Path) -> Any:
    evil = await stack.enter_async_context(Evil(answering=lambda _: SHOWN, tls=True))
    patch.setattr(app, "Fetcher", partial(Fetcher, trust(), evil.port, is_allowed=lambda _: True))
    return evil, switched(FETCH_IMAGES="true", OPENAI_TAKES_URLS="false")


async def google(stack: AsyncExitStack, patch: pytest.MonkeyPatch, folder: Path) -> Any:
    """With a service account, whose token endpoint and API are one."""
    evil = await stack.enter_async_context((google := Google()).evil)
    google.chat = Scenario(body=GEMINI, headers=JSON)
    write_key(folder / "key.json", f"{evil.url}/token")
    credentials = str(folder / "key.json")
    return evil, switched(VERTEX_BASE_URL=evil.url, VERTEX_LOCATION="eu-west1", VERTEX_CREDENTIALS=credentials)


async def amazon(stack: AsyncExitStack, patch: pytest.MonkeyPatch, folder: Path) -> Any:
    """With a container's agent, which has the credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        patch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        patch.setenv(name, str(folder / "none"))
    said = Scenario(body=CONVERSE, headers=JSON)
    evil = Evil(answering=lambda request: issued(9999) if request.target == "/creds" else said)
    await stack.enter_async_context(evil)
    patch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{evil.url}/creds")
    return evil, switched(BEDROCK_BASE_URL=evil.url, BEDROCK_LOCATION="us-east-1")


async def ollama(stack: AsyncExitStack, patch: pytest.MonkeyPatch, folder: Path) -> Any:
    evil = await stack.enter_async_context(Evil(answering=Store()))
    return evil, switched(OLLAMA_BASE_URL=evil.url, OLLAMA_PULL="true", OLLAMA_MODEL="m")


# --- as if it were the first time ------------------------------------------------------------------------------------


def adapter(stage: Stage, name: str) -> Any:
    return stage.gateway.app.now.adapters[name]


async def warm(stage: Stage) -> None:
    """There is a connection that waits in the pool, and the answer is kept, if any is."""
    await chats(stage, stage.scene)


async def file_away(stage: Stage) -> None:
    """The answer is kept, and only in its file."""
    await chats(stage, stage.scene)
    answers = stage.gateway.app.lasting.cache.answers
    shelf = answers._shelf
    assert shelf is not None
    await soon(lambda: not shelf._jobs)
    for entry in answers._entries.values():
        entry.answer = None


async def forget_lists(stage: Stage) -> None:
    now = stage.gateway.app.now
    now.catalog._met.clear()
    for each in now.adapters.values():
        if isinstance(each, HTTPProvider):
            each._listed = ModelList()


async def forgive_keys(stage: Stage) -> None:
    keys = adapter(stage, "openai").keys
    for key in keys._keys:
        keys._cooldown.renew(key.index, keys._name(key.value))


async def forget_login(stage: Stage) -> None:
    login = adapter(stage, "vertex")._login
    await soon(lambda: login._renewal is None)
    login._ends, login._got = 0.0, -inf


async def forget_credentials(stage: Stage) -> None:
    chain = adapter(stage, "bedrock")._chain
    await soon(lambda: chain._asking is None)
    chain._found = chain._frozen = chain._session._credentials = None


async def forget_model(stage: Stage) -> None:
    stage.hosts[2]._answering = Store()


async def on_trial(stage: Stage) -> None:
    """It has rested, and the next request shows whether it is well again."""
    breaker = next(iter(stage.gateway.app.lasting.standings)).breaker
    breaker._open()
    breaker._until = breaker._clock()


async def met(stage: Stage) -> None:
    await warm(stage)
    await on_trial(stage)


async def reload(stage: Stage) -> None:
    await stage.gateway.app.become(load(environ={**DEFAULTS, **stage.environ}))


# --- all of them -----------------------------------------------------------------------------------------------------


def on(**said: str) -> tuple[tuple[str, str], ...]:
    return tuple(switched(**said).items())


RETRY = on(RETRY_MAX_RETRIES="2", RETRY_INITIAL_DELAY="0.001", RETRY_BUDGET="1")
HEDGE = on(HEDGE_ENABLED="true", HEDGE_AFTER="0.001", HEDGE_SHARE="1")
RESUME = on(FAILOVER_RESUME="true")
FLIGHT = on(CACHE_SINGLE_FLIGHT="true")
KEPT = on(CACHE_ENABLED="true", CACHE_TTL="0.000001")
CACHE = on(CACHE_ENABLED="true")
FILES = on(CACHE_ENABLED="true", CACHE_STORED="true")
ONE_PLACE = on(OVERLOAD_MAX_REQUESTS="1", OVERLOAD_MAX_QUEUE="1")
ONE_EACH = on(LIMITS_CLIENT_CONCURRENT="1", LIMITS_QUEUE_SECONDS="9")
QUEUE = on(LIMITS_QUEUE_SECONDS="9")
FAULTS = on(FAULTS_ENABLED="true")
COUNTS = on(OPENAI_COUNTS_TOKENS="true", OPENAI_DIALECTS="openai_responses,openai_chat")
TWO_KEYS = (("OPENAI_API_KEY", ""), *on(OPENAI_API_KEYS="sk-one-of-two-secrets,sk-two-of-two-secrets"))
COUNTING, COUNT = "/v1/messages/count_tokens", "input_tokens"
HEALTH = "/v1/providers/openai/health"
LONG = {"messages": [{"role": "user", "content": "Grüße " * 200_000}], "max_tokens": 9}
SHOWING = {"type": "image", "source": {"type": "url", "url": "{third}/a.png"}}
SEEN = {"messages": [{"role": "user", "content": [SHOWING]}]}
NINE_DOLLARS = (("x-pillion-cost-limit", "9"),)
NINE_SECONDS = (("x-pillion-timeout", "9"),)
SUMMARY = (("x-pillion-summary", "true"),)
DELAY = (("x-pillion-fault", "delay=0.005"),)

LISTS = Scene(OPENAI, "", False, beside=1, attempts=0, asked=gets, path="/v1/models", says="/m", before=forget_lists)

SCENES = {
    # the lanes, and the ways through them
    "passed through": Scene(OPENAI, "openai/m", False),
    "a stream passed through": Scene(OPENAI, "openai/m", True, waits=5),
    "another wire's passed through": Scene(ANTHROPIC, "anthropic/m", True, waits=5),
    "translated": Scene(ANTHROPIC, "openai/m", False),
    "a stream translated": Scene(OPENAI, "anthropic/m", True, waits=5),
    "a stream translated the other way": Scene(ANTHROPIC, "openai/m", True, waits=5),
    "a stream kept awake": Scene(ANTHROPIC, "openai/m", True, (SLOW_STREAM,), around=short_silence, waits=5),
    "with a summary": Scene(OPENAI, "openai/m", True, path="/v1/chat", headers=SUMMARY, waits=5),
    "counted": Scene(ANTHROPIC, "anthropic/m", False, path=COUNTING, says=COUNT, attempts=0),
    "counted on another wire": Scene(ANTHROPIC, "openai/m", False, (), COUNTS, path=COUNTING, says=COUNT, attempts=0),
    # connections
    "over TLS": Scene(OPENAI, "openai/m", True, tls=True, waits=5),
    "sent on what was closed": Scene(OPENAI, "openai/m", False, (STALE,), before=warm, twice=1),
    "refused a connection": Scene(OPENAI, "r", False, around=nobody_there),
    "with a body that drips": Scene(OPENAI, "openai/m", False, asked=drips, waits=6),
    "with a long body": Scene(ANTHROPIC, "openai/m", False, fields=LONG, waits=6),
    "with a long answer": Scene(ANTHROPIC, "openai/m", True, (LONG_ANSWER,), asked=reads_slowly, waits=20),
    # another attempt
    "tried again": Scene(OPENAI, "openai/m", False, (DOWN, DOWN), RETRY, attempts=3, waits=8),
    "a stream tried again": Scene(OPENAI, "openai/m", True, (DOWN,), RETRY, attempts=2, waits=8),
    "asked to pause": Scene(OPENAI, "openai/m", False, (BUSY,), RETRY, attempts=2, waits=5),
    "with another key": Scene(OPENAI, "openai/m", False, (REFUSED,), TWO_KEYS, attempts=2, before=forgive_keys),
    "answered by another": Scene(OPENAI, "r", False, (DOWN,), attempts=2, waits=6),
    "a stream by another": Scene(ANTHROPIC, "r", True, (DOWN,), attempts=2, waits=6),
    "broken before it says anything": Scene(ANTHROPIC, "r", True, (BROKEN,), attempts=2, waits=6),
    "gone on with by another": Scene(OPENAI, "further", True, (TORN,), RESUME, attempts=2, waits=9),
    "on trial": Scene(OPENAI, "openai/m", False, before=met),
    "a stream on trial": Scene(OPENAI, "openai/m", True, before=met, waits=5),
    "with little time": Scene(OPENAI, "r", False, (DOWN,), headers=NINE_SECONDS, attempts=2, waits=6),
    "hedged": Scene(OPENAI, "r", False, (DUMB,), HEDGE, attempts=2),
    "a stream hedged": Scene(ANTHROPIC, "r", True, (DUMB,), HEDGE, attempts=2),
    "hedged in vain": Scene(OPENAI, "r", False, (LATE,), HEDGE, anthropic=(DUMB,), attempts=2),
    # what is kept, and shared
    "kept": Scene(OPENAI, "openai/m", False, (), KEPT),
    "a stream kept": Scene(OPENAI, "openai/m", True, (), KEPT, waits=5),
    "remembered": Scene(OPENAI, "openai/m", True, (), CACHE, attempts=0, waits=0, before=warm),
    "remembered in a file": Scene(OPENAI, "openai/m", False, (), FILES, attempts=0, waits=1, before=file_away),
    "shared": Scene(OPENAI, "openai/m", False, (SLOW,), FLIGHT, beside=1),
    "a stream shared": Scene(ANTHROPIC, "openai/m", True, (), FLIGHT, beside=1),
    "shares another's": Scene(OPENAI, "openai/m", False, (SLOW,), FLIGHT, beside=1, whom=1, waits=0),
    "shares another's stream": Scene(ANTHROPIC, "openai/m", True, (), FLIGHT, beside=1, whom=1, waits=0),
    # limits and budgets
    "queued for a place": Scene(OPENAI, "openai/m", False, (SLOW,), ONE_PLACE, beside=1, whom=1),
    "queued for its client's turn": Scene(OPENAI, "openai/m", False, (SLOW,), ONE_EACH, beside=1, whom=1),
    "queued for its model's turn": Scene(OPENAI, "openai/m", True, (SLOW_STREAM,), QUEUE, beside=1, whom=1, waits=5),
    "has another wait": Scene(OPENAI, "openai/m", True, (SLOW_STREAM,), ONE_EACH, beside=1, waits=5),
    "of a budget that stops streams": Scene(OPENAI, "openai/m", True, budget=", stop_streams: true", waits=5),
    "of a lenient budget": Scene(OPENAI, "r", False, (DOWN,), budget=", mode: lenient", attempts=2, waits=6),
    "of the cheapest, within a limit": Scene(OPENAI, "cheap", False, fields=LONG, headers=NINE_DOLLARS, waits=6),
    "in a fleet": Scene(OPENAI, "openai/m", False, around=store, waits=5),
    "a stream in a fleet": Scene(ANTHROPIC, "openai/m", True, around=store, waits=6),
    "queued in a fleet": Scene(OPENAI, "openai/m", False, (SLOW,), ONE_EACH, around=store, beside=1, whom=1),
    # what has to be asked for first
    "of a name that is looked up": Scene(OPENAI, "m", False, before=forget_lists, waits=6),
    "with an image that is fetched": Scene(ANTHROPIC, "openai/m", False, fields=SEEN, around=web, waits=6),
    "with a login": Scene(OPENAI, "vertex/m", False, around=google, before=forget_login, waits=5),
    "signed": Scene(OPENAI, "bedrock/m", False, around=amazon, before=forget_credentials, waits=6),
    "of a model that is pulled": Scene(OPENAI, "ollama/m", False, around=ollama, before=forget_model, twice=1, waits=8),
    # what else may be going on
    "that goes wrong on purpose": Scene(OPENAI, "openai/m", False, (), FAULTS, headers=DELAY),
    "while it is reloaded": Scene(ANTHROPIC, "openai/m", True, meanwhile=reload, waits=5),
    # reports
    "a list of models": LISTS,
    "a look at a provider": Scene(OPENAI, "", False, asked=gets, path=HEALTH, says="ok", attempts=0),
    "a look at what was used": Scene(OPENAI, "", False, asked=gets, path="/v1/usage", says="data", attempts=0, waits=0),
    "a rehearsal": Scene(OPENAI, "m", False, path="/v1/explain", says="rehearsal", attempts=0, before=forget_lists),
}
