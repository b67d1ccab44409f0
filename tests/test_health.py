"""Is it known of each provider how it is, at no cost, and is one that is down asked behind the others?"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from proxy import config
from proxy.adapters import http
from proxy.adapters.http import HTTPProvider
from proxy.adapters.keys import STRANGER
from proxy.commands import do
from proxy.failover import health
from proxy.failover.health import Checked, Health
from proxy.logs import Handler
from proxy.ports import Health as Found
from tests.client import OPENAI, ask, chat
from tests.clock import Clock
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion
from tests.nowhere import forged, plain, refusing, unnamed
from tests.test_logs import Kept, log_to
from tests.waiting import soon

KEY, OTHER = "sk-canary-health-1", "sk-canary-health-2"
JSON = [("Content-Type", "application/json")]
LISTED = Scenario(body=b'{"data":[{"id":"m"}]}', headers=JSON)
FINE = Scenario(body=OPENAI.whole, headers=JSON)
OFTEN = {"PILLION_HEALTH_INTERVAL": "0.05"}  # seconds; one that is down is looked at as often then

Play = Callable[[Received], Scenario]


def listing(answer: Scenario = LISTED) -> Play:
    return lambda request: answer if request.method == "GET" else FINE


@asynccontextmanager
async def checked(play: Play, **environ: str) -> AsyncIterator[tuple[Gateway, Evil]]:
    async with Evil(answering=play) as evil:
        where = {"OPENAI_API_KEY": KEY, "PILLION_OPENAI_BASE_URL": f"{evil.url}/v1"}
        async with pillion(**{**OFTEN, **where, **environ}) as gateway:
            yield gateway, evil


async def found(gateway: Gateway, ok: bool) -> Checked:
    def is_found() -> bool:
        now = gateway.app.lasting.health.of("openai")
        return now is not None and now.is_there == ok

    await soon(is_found)
    there = gateway.app.lasting.health.of("openai")
    assert there is not None
    return there


async def told(gateway: Gateway) -> dict[str, Any]:
    rows = json.loads((await ask(gateway, "GET", "/v1/providers")).body)["data"]
    return next(row for row in rows if row["id"] == "openai")


# --- what is found ---------------------------------------------------------------------------------------------------


async def test_a_provider_that_answers_is_well_and_was_asked_for_nothing_that_costs() -> None:
    async with checked(listing()) as (gateway, evil):
        there = await found(gateway, ok=True)
        assert (there.error, 0 <= there.latency < 10, there.at > 1.7e9) == ("", True, True)
        assert {(request.method, request.target) for request in evil.requests} == {("GET", "/v1/models")}
        metrics = (await ask(gateway, "GET", "/metrics")).body.decode()
        assert 'pillion_provider_up{provider="openai"} 1.0' in metrics
        assert 'pillion_provider_check_seconds{provider="openai"}' in metrics
        row = await told(gateway)
        assert (row["status"], row["error"]) == ("well", None)


async def test_it_is_looked_at_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    async with checked(listing()) as (_, evil):
        await evil.received(4)
    assert not [record for record in caplog.records if getattr(record, "event", "") == "provider_down"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Scenario(status=500), "openai answered the request for its list of models with status 500."),
        (Scenario(status=503, body=b"<html>"), "openai answered the request for its list of models with status 503."),
        (Scenario(raw=b"HTTP/2 nonsense\r\n\r\n"), "The provider's answer is not valid HTTP."),
        (Scenario(cut_at=0, cut_of="wire", how="rst", body=b"x"), "The connection to the provider failed."),
    ],
)
async def test_one_that_fails_is_down(answer: Scenario, error: str, caplog: pytest.LogCaptureFixture) -> None:
    async with checked(listing(answer)) as (gateway, _):
        assert (await found(gateway, ok=False)).error == error
        assert 'pillion_provider_up{provider="openai"} 0.0' in (await ask(gateway, "GET", "/metrics")).body.decode()
        row = await told(gateway)
        assert (row["status"], row["error"]) == ("unwell", error)
    assert caplog.text.count("openai is down") == 1


@pytest.mark.parametrize(
    ("somewhere", "error", "detail"),
    [
        (refusing, "The provider cannot be reached.", "127.0.0.1:[0-9]+: Connection refused"),
        (unnamed, "The provider's host name cannot be resolved.", "nobody.invalid:80: .+"),
        (forged, "The TLS connection to the provider failed.", "127.0.0.1:[0-9]+: .*certificate.*"),
        (plain, "The TLS connection to the provider failed.", "127.0.0.1:[0-9]+: wrong version number"),
    ],
)
async def test_why_nobody_is_there_is_told_to_operators_where_all_calls_go_elsewhere(
    somewhere: Any, error: str, detail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept()
    logging.getLogger("pillion").addHandler(handler := Handler(log_to(kept)))
    try:
        async with somewhere() as url:
            where = {"OPENAI_API_KEY": KEY, "PILLION_OPENAI_BASE_URL": f"{url}/v1", "PILLION_BREAKER_FAILURES": "1"}
            async with pillion(**{**OFTEN, **where}) as gateway:
                await found(gateway, ok=False)
                await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
                await chat(gateway, OPENAI, OPENAI.request(model="m"))
                row = await told(gateway)
                words = ["providers", "--listen", f"{gateway.host}:{gateway.port}"]
                assert await asyncio.to_thread(do, words) == 0
                seen = (await ask(gateway, "GET", "/providers/openai/health")).body
    finally:
        logging.getLogger("pillion").removeHandler(handler)
    assert (row["error"], bool(re.fullmatch(detail, row["error_detail"]))) == (error, True)
    lines = {line["event"]: line for line in kept.lines}
    for event in ("provider_down", "models_failed", "target_resting"):
        assert re.fullmatch(detail, lines[event]["detail"]), event
    assert f"openai: {error} ({row['error_detail']})\n" in capsys.readouterr().out
    assert json.loads(seen)["detail"] == f"{error} ({row['error_detail']})"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Scenario(status=401), "openai answered the request for its list of models with status 401."),
        (Scenario(status=403), "openai answered the request for its list of models with status 403."),
        (Scenario(status=404), "openai answered the request for its list of models with status 404."),
        (Scenario(status=429), "openai answered the request for its list of models with status 429."),
        (Scenario(body=b"[]"), "openai did not answer with a list of models."),
        (Scenario(body=b"<html>"), "openai did not answer with a list of models."),
    ],
)
async def test_one_that_has_no_list_for_us_is_there_all_the_same(answer: Scenario, error: str) -> None:
    """Hosts without a list, and keys that may not see it, chat as well as any."""
    async with checked(listing(answer)) as (gateway, _):
        assert (await found(gateway, ok=True)).error == error


async def test_one_that_is_silent_for_too_long_is_down() -> None:
    async with checked(listing(Scenario(delay_head=60)), PILLION_HEALTH_TIMEOUT="0.05") as (gateway, _):
        there = await found(gateway, ok=False)
        assert (there.error, there.latency) == ("openai did not answer within 0.05 s.", 0.05)


async def test_who_asks_how_it_is_waits_no_longer_and_no_less() -> None:
    """However long a list may take that is not asked for as a check."""
    silent = Scenario(delay_head=60)
    async with checked(listing(silent), PILLION_HEALTH_INTERVAL="0", PILLION_HEALTH_TIMEOUT="0.05") as (gateway, _):
        got = await ask(gateway, "GET", "/v1/providers/openai/health")
        said = json.loads(got.body)
        assert (got.status, said["ok"], said["detail"]) == (503, False, "openai did not answer within 0.05 s.")
        assert said["latency_ms"] == 50
        there = gateway.app.now.adapters  # one that nobody configured is checked only if somebody asks
        assert {name: one.check_within for name, one in there.items()} == {"openai": 0.05, "ollama": 0.05}


async def test_a_provider_may_take_longer_to_be_well_than_to_list_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SIDE_TIMEOUT", 0.01)
    slow = replace(LISTED, delay_head=0.1)
    async with checked(listing(slow), PILLION_HEALTH_TIMEOUT="30") as (gateway, _):
        assert (await found(gateway, ok=True)).error == ""
        assert (await ask(gateway, "GET", "/v1/providers/openai/health")).status == 200


async def test_one_that_comes_back_is_well_again(caplog: pytest.LogCaptureFixture) -> None:
    answers = [Scenario(status=500)]

    def play(request: Received) -> Scenario:
        return answers[0]

    with caplog.at_level(logging.INFO, "pillion"):
        async with checked(play) as (gateway, _):
            await found(gateway, ok=False)
            answers[0] = LISTED
            await found(gateway, ok=True)
    assert caplog.text.count("openai is up again") == 1


# --- what comes of it ------------------------------------------------------------------------------------------------


async def test_one_that_is_down_is_asked_behind_the_others_and_alone_where_there_is_none(tmp_path: Path) -> None:
    async with Evil(answering=listing(Scenario(status=500))) as down, Evil(answering=listing()) as up:
        rows = {name: {"base_url": f"{evil.url}/v1", "api_key": KEY} for name, evil in (("openai", down), ("b", up))}
        settings = {"providers": rows, "routes": {"r": {"targets": ["openai/m", "b/m"]}}}
        (tmp_path / "config.json").write_text(json.dumps(settings))
        async with pillion(PILLION_CONFIG=str(tmp_path / "config.json"), **OFTEN) as gateway:
            await found(gateway, ok=False)
            for model in ("r", "r", "openai/m"):
                assert (await chat(gateway, OPENAI, OPENAI.request(model=model))).status == 200
            posted = [[request.method for request in evil.requests].count("POST") for evil in (down, up)]
            assert posted == [1, 2]


async def test_a_key_that_was_refused_is_tried_and_comes_back() -> None:
    good: set[str] = {OTHER}

    def play(request: Received) -> Scenario:
        shown = (request.header("authorization") or "").removeprefix("Bearer ")
        if shown not in good:
            return Scenario(status=401, body=b'{"error":{"message":"no"}}', headers=JSON)
        return listing()(request)

    environ = {"PILLION_OPENAI_API_KEYS": f"{KEY},{OTHER}", "OPENAI_API_KEY": ""}
    async with checked(play, **environ) as (gateway, _):
        adapter = gateway.app.now.adapters["openai"]
        assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).status == 200
        assert adapter.keys_state()["failed"] == 1
        good.add(KEY)
        await soon(lambda: adapter.keys_state()["failed"] == 0)


@pytest.mark.parametrize("looks_at_keys", [False, True])
async def test_a_list_that_is_open_to_all_proves_no_key(looks_at_keys: bool) -> None:
    """Nor does one that refuses whoever shows no key, and looks at none."""

    def play(request: Received) -> Scenario:
        shown = (request.header("authorization") or "").removeprefix("Bearer ")
        is_in = (shown or not looks_at_keys) if request.method == "GET" else shown == OTHER
        return listing()(request) if is_in else Scenario(status=401, body=b'{"error":{"message":"no"}}', headers=JSON)

    environ = {"PILLION_OPENAI_API_KEYS": f"{KEY},{OTHER}", "OPENAI_API_KEY": ""}
    async with checked(play, **environ) as (gateway, evil):
        adapter = gateway.app.now.adapters["openai"]
        assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).status == 200
        asked = len(evil.requests)
        await soon(lambda: sum(STRANGER in str(request.headers) for request in evil.requests[asked:]) > 2)
        assert adapter.keys_state()["failed"] == 1
        assert {(await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).status for _ in range(4)} == {200}
    tried = [request.header("authorization") for request in evil.requests if request.method == "POST"]
    assert tried.count(f"Bearer {KEY}") == 1


# --- when it is looked at --------------------------------------------------------------------------------------------


async def test_nobody_looks_where_the_interval_is_nothing() -> None:
    async with checked(listing(), PILLION_HEALTH_INTERVAL="0") as (gateway, evil):
        assert "health" not in {task.get_name() for task in asyncio.all_tasks()}
        assert (await told(gateway))["status"] == "unknown"
        assert evil.requests == []


async def test_it_does_not_delay_readiness_and_ends_at_once() -> None:
    """Also while somebody is asked who never answers."""
    async with checked(listing(Scenario(delay_head=60))) as (gateway, evil):
        assert gateway.app.admin.ready
        assert gateway.app.lasting.health.is_well("openai")
        await evil.received(1)
    assert "health" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_who_lists_them_first_is_told_what_the_first_check_finds() -> None:
    async with checked(listing(), PILLION_HEALTH_INTERVAL="300") as (gateway, evil):
        rows = await asyncio.gather(*(told(gateway) for _ in range(3)))
        assert [row["status"] for row in rows] == ["well"] * 3
        assert len(evil.requests) == 1
        await told(gateway)
        assert len(evil.requests) == 1


async def test_who_lists_them_does_not_wait_for_one_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LISTED", 0.05)
    silent = listing(Scenario(delay_head=60))
    async with checked(silent, PILLION_HEALTH_INTERVAL="300", PILLION_HEALTH_TIMEOUT="60") as (gateway, evil):
        assert [(await told(gateway))["status"] for _ in range(2)] == ["unknown"] * 2
        assert len(evil.requests) == 1  # which is still under way


async def test_one_that_nobody_configured_is_not_looked_at() -> None:
    async with checked(listing()) as (gateway, _):
        await found(gateway, ok=True)
        assert "ollama" in gateway.app.now.adapters
        assert gateway.app.lasting.health.of("ollama") is None


class Provider:
    """As far as its health goes."""

    def __init__(self, said: Found | Exception) -> None:
        self.said = said
        self.asked = 0

    async def health(self) -> Found:
        self.asked += 1
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    async def try_failed_keys(self, seconds: float) -> None: ...


def looking(rules: config.Health, dice: float = 0.5, **providers: Provider) -> Health:
    made = Health(lambda: dice, Clock(0.0))
    made.become(rules, cast(Mapping[str, HTTPProvider], providers))
    return made


async def test_an_adapter_that_trips_takes_nobody_down() -> None:
    """Whose adapter fails is not down for that, and the others are looked after."""
    providers = {"a": Provider(RuntimeError("what it says is not told")), "b": Provider(Found(True, 0.1))}
    made = looking(config.Health(interval=0.01), a=providers["a"], b=providers["b"])
    made._clock = asyncio.get_running_loop().time
    made.open()
    await soon(lambda: providers["b"].asked > 2 and providers["a"].asked > 2)
    await made.close()
    there = made.of("a")
    assert there is not None
    assert (there.is_there, there.error) == (True, "Its adapter failed: RuntimeError.")


@pytest.mark.parametrize(("dice", "first", "again"), [(0.0, 1.0, 270.0), (0.5, 1.5, 300.0), (1.0, 2.0, 330.0)])
async def test_those_that_start_together_do_not_ask_together(dice: float, first: float, again: float) -> None:
    made = looking(config.Health(), dice, a=Provider(Found(True, 0.1)))
    assert made.due["a"] == first
    await made._check("a")
    assert made.due["a"] == again


@pytest.mark.parametrize(("interval", "sooner"), [(300.0, 30.0), (20.0, health.SOONEST), (2.0, 2.0)])
async def test_one_that_is_down_is_looked_at_sooner(interval: float, sooner: float) -> None:
    made = looking(config.Health(interval=interval), a=Provider(Found(False, 0.1, "x", answers=False)))
    await made._check("a")
    assert made.due["a"] == pytest.approx(sooner)
    assert repr(made) == "<Health of 1 providers, a down>"


async def test_of_a_provider_that_stays_all_stays_known_and_of_another_nothing() -> None:
    stays, goes = Provider(Found(False, 0.1, "x", answers=False)), Provider(Found(False, 0.1, "x", answers=False))
    made = looking(config.Health(), a=stays, b=goes)
    await made._check("a")
    await made._check("b")
    due = made.due["a"]
    made.become(config.Health(), cast(Mapping[str, HTTPProvider], {"a": stays, "b": Provider(Found(True, 0.1))}))
    assert (made.is_well("a"), made.due["a"], made.of("b"), made.is_well("b")) == (False, due, None, True)
    made.become(config.Health(interval=5), cast(Mapping[str, HTTPProvider], {"a": stays}))
    assert (made.of("a"), made.due["a"]) == (None, 1.5)
