"""Does a client learn why its own request was answered as it was, and what would happen to another one?"""

import asyncio
import gc
import json
import sys
import weakref
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from time import time
from typing import Any

import pytest

from proxy.access.rights import everybodys
from proxy.canon import Usage
from proxy.envelope import Envelope
from proxy.errors import Down, GatewayError, Timeout
from proxy.ports import Attempt, Heard, Target
from proxy.reports.explain import Explain, Record, Tried, facts_of, read
from tests.client import ANTHROPIC, LANES, OPENAI, SPEECHES, Got, Speech, ask, chat, lane_name, showing
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.test_middleware import call, seen

Json = dict[str, Any]

JSON = [("Content-Type", "application/json")]
SSE = [("Content-Type", "text/event-stream")]
FAILING = Scenario(status=500, body=b"no")
HI = {"role": "user", "content": "hi"}

lanes = pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)


class Name:
    """As much of an adapter as a record sees."""

    name = "openai"


def whole(speech: Speech) -> Scenario:
    return Scenario(body=speech.whole, headers=JSON)


def streamed(speech: Speech) -> Scenario:
    return Scenario(body=speech.stream, headers=SSE, framing="chunked")


async def explained(gateway: Gateway, got: Got, key: str = "") -> Json:
    """What is told of the request that was answered so."""
    told = await ask(gateway, "GET", f"/v1/explain/{got.header('x-pillion-request-id')}", headers=showing(key))
    assert told.status == 200, told.body
    said: Json = json.loads(told.body)
    return said


async def rehearsed(gateway: Gateway, body: bytes, path: str = "", headers: Sequence[tuple[str, str]] = ()) -> Json:
    query = f"?path={path}" if path else ""
    got = await ask(gateway, "POST", f"/v1/explain{query}", body, headers)
    assert got.status == 200, got.body
    said: Json = json.loads(got.body)
    return said


# --- what became of it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@lanes
async def test_a_request_is_told_of_from_its_name_to_its_price(speech: Speech, provider: Speech, stream: bool) -> None:
    answer = streamed(provider) if stream else whole(provider)
    before = int(time())
    async with Evil(answer) as evil, pillion(**provider.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(stream, f"{provider.provider}/m", user="u"))
        said = await explained(gateway, got)
    assert before <= datetime.fromisoformat(said["at"]).timestamp() <= time()
    assert (said["dialect"], said["stream"], said["status"], said["error"]) == (speech.name, stream, 200, None)
    assert said["model"]["asked"] == said["model"]["target"] == f"{provider.provider}/m"
    assert (said["model"]["understood_as"], said["model"]["answered"]) == (
        "named",
        "gpt-real" if provider is OPENAI else "claude-real",
    )
    (attempt,) = said["attempts"]
    assert (attempt["number"], attempt["target"], attempt["error"]) == (1, f"{provider.provider}/m", None)
    assert attempt["upstream_status"] == 200
    lane = "passed_through" if speech is provider else "translated"
    assert (attempt["lane"], attempt["from"], attempt["to"]) == (lane, speech.name, provider.name)
    seconds = attempt["seconds"]
    assert 0 < seconds["head"] <= seconds["first_event"] <= seconds["total"] <= said["seconds"]["total"]
    if not (stream and provider is OPENAI):  # that stream says no usage
        assert (said["usage"]["input"], said["usage"]["output"]) == (5, 2)
    assert float(said["cost_usd"]) > 0
    assert said["price_source"]


@lanes
async def test_what_was_dropped_is_named(speech: Speech, provider: Speech) -> None:
    async with Evil(whole(provider)) as evil, pillion(**provider.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(model=f"{provider.provider}/m", top_k=3, seed=1))
        said = await explained(gateway, got)
    assert ", ".join(said["dropped"]) == (got.header("x-pillion-dropped") or "")
    assert bool(said["dropped"]) == (speech is not provider)


HOW = """
providers: {openai: {base_url: URL/v1, api_key: k, models: [listed]}, anthropic: {api_key: k}}
aliases: {short: openai/m}
routes: {both: {targets: [openai/m, anthropic/m]}}
default_model: openai/m
"""


@pytest.mark.parametrize(
    ("model", "how"),
    [
        ("openai/m", "named"),
        ("short", "alias"),
        ("both", "route"),
        ("listed", "listed"),
        ("gpt-x", "beginning"),
        ("anything", "default"),
    ],
)
async def test_how_a_name_was_understood_is_told(model: str, how: str, tmp_path: Path) -> None:
    def answer(request: Any) -> Scenario:
        return Scenario(body=b'{"data":[]}') if request.method == "GET" else whole(OPENAI)

    async with (
        Evil(answering=answer) as evil,
        pillion(**config_file(HOW.replace("URL", evil.url), tmp_path)) as gateway,
    ):
        for _ in range(2):  # the second time it is known
            said = await explained(gateway, await chat(gateway, OPENAI, OPENAI.request(model=model)))
            assert (said["model"]["understood_as"], said["model"]["asked"]) == (how, model)
        assert (await rehearsed(gateway, OPENAI.request(model=model)))["model"]["understood_as"] == how


async def test_who_gets_everything_is_told() -> None:
    async with pillion(PILLION_UPSTREAM="echo/text") as gateway:
        said = await explained(gateway, await chat(gateway, OPENAI, OPENAI.request(model="whatever")))
    assert (said["model"]["understood_as"], said["model"]["target"]) == ("upstream", "echo/text")


ROUTE = """
providers:
  openai: {base_url: URL/v1, api_key: k}
  groq: {base_url: URL/v1, api_key: k, models: [{name: blind, tools: false}]}
routes: {both: {targets: [openai/m, groq/blind, echo/tool]}}
failover: {others: false}
"""
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


BOTH = """
providers: {openai: {base_url: URL/v1, api_key: k}, groq: {base_url: URL/v1, api_key: k}}
routes: {both: {targets: [openai/m, groq/m]}}
"""


async def test_each_attempt_and_each_that_was_passed_over_is_told(tmp_path: Path) -> None:
    async with Evil(FAILING) as evil, pillion(**config_file(ROUTE.replace("URL", evil.url), tmp_path)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="both", tools=TOOLS))
        said = await explained(gateway, got)
    first, second, third = said["attempts"]
    assert (first["target"], first["upstream_status"]) == ("openai/m", 500)
    assert first["error"] == {"kind": "server_error", "code": "upstream_error"}
    assert second == {"target": "groq/blind", "skipped": "no tools"}
    assert (third["target"], third["number"], third["error"]) == ("echo/tool", 2, None)
    assert (said["status"], said["model"]["target"]) == (200, "echo/tool")


async def test_the_targets_of_a_route_are_told_though_the_first_has_answered(tmp_path: Path) -> None:
    both = "routes: {both: {targets: [echo/one, echo/two], strategy: STRATEGY}}"
    for strategy in ("order", "weighted", "least_latency", "least_cost", "sticky"):
        async with pillion(**config_file(both.replace("STRATEGY", strategy), tmp_path)) as gateway:
            said = await explained(gateway, await chat(gateway, OPENAI, OPENAI.request(model="both")))
            direct = await explained(gateway, await chat(gateway, OPENAI, OPENAI.request(model="echo/one")))
        assert said["strategy"] == strategy
        first, second = [row["target"] for row in said["targets"]]
        assert {first, second} == {"echo/one", "echo/two"}
        assert [row["target"] for row in said["attempts"]] == [first]
        assert (direct["strategy"], direct["targets"]) == (None, [{"target": "echo/one"}])


@pytest.mark.parametrize("retries", [0, 1])
async def test_of_an_answer_behind_a_failure_its_own_tokens_are_told(retries: int, tmp_path: Path) -> None:
    """By another target, or by the same one again."""
    async with Evil(FAILING, whole(OPENAI)) as evil:
        file = config_file(BOTH.replace("URL", evil.url), tmp_path)
        async with pillion(**file, PILLION_RETRY_MAX_RETRIES=str(retries)) as gateway:
            said = await explained(gateway, await chat(gateway, OPENAI, OPENAI.request(model="both")))
    assert [one["upstream_status"] for one in said["attempts"]] == [500, 200]
    assert (said["usage"]["input"], said["usage"]["output"]) == (5, 2)


@lanes
async def test_a_stream_that_broke_is_the_last_attempts_fault(speech: Speech, provider: Speech) -> None:
    cut = Scenario(body=provider.stream, headers=SSE, framing="chunked", cut_at=len(provider.stream) * 3 // 4)
    async with Evil(cut) as evil, pillion(**provider.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(True, f"{provider.provider}/m"))
        said = await explained(gateway, got)
    (attempt,) = said["attempts"]
    assert said["status"] == 200
    assert said["error"]["ended_by"] == "upstream"
    assert attempt["error"] == {"kind": said["error"]["kind"], "code": said["error"]["code"]}


async def test_where_all_fail_the_first_one_is_told_of_and_not_the_last(tmp_path: Path) -> None:
    """By its id, which its support asks for, and without what only the last one would have dropped."""
    first = Scenario(status=500, headers=[("x-request-id", "theirs")], body=b"{}")
    last = Scenario(status=529, headers=[("request-id", "another")], body=b"{}")
    file = config_file("routes: {r: {targets: [openai/m, anthropic/m]}}\nretry: {max_retries: 0}\n", tmp_path)
    async with (
        Evil(first) as one,
        Evil(last) as two,
        pillion(**file, **OPENAI.environ(one.url), **ANTHROPIC.environ(two.url)) as gateway,
    ):
        got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(model="r", seed=1))
        said = await explained(gateway, got)
    heads = [got.header(name) for name in ("x-pillion-provider", "x-request-id", "x-pillion-dropped")]
    assert (got.status, heads) == (500, ["openai", "theirs", None])
    assert (said["upstream_id"], said["dropped"], len(said["attempts"])) == ("theirs", [], 2)


@pytest.mark.parametrize("environ", [{}, {"PILLION_CACHE_SINGLE_FLIGHT": "true"}], ids=["alone", "shared"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_cancelled_is_told_of_with_what_it_cost(environ: dict[str, str], stream: bool) -> None:
    silent = Scenario(cut_at=0, cut_of="wire", how="stall")
    async with Evil(silent) as evil, pillion(**OPENAI.environ(evil.url), **environ) as gateway:
        asking = asyncio.ensure_future(chat(gateway, OPENAI, OPENAI.request(stream, "openai/gpt-4o")))
        await evil.received(1)
        (row,) = json.loads((await ask(gateway, "GET", "/v1/requests/active")).body)["data"]
        await ask(gateway, "DELETE", f"/v1/requests/active/{row['id']}")
        got = await asking
        said = await explained(gateway, got)
    (attempt,) = said["attempts"]
    assert attempt["error"]["code"] == said["error"]["code"] == "request_cancelled"
    assert said["cost_usd"] == got.header("x-pillion-cost-usd") != "0"


async def test_an_attempt_that_was_answered_lasts_until_its_answer_has_ended() -> None:
    explain, one, target = Explain(1, str), call(), Target(Name(), "m")  # type: ignore[arg-type]
    one.began, one.attempts = one.started - 5, 2
    one.history = [Attempt(target, 1, 0.5, code="upstream_error")]
    explain.keep(seen(one, 200))
    asked = call()
    asked.rest = one.id
    reply = await explain.tell(everybodys, asked)
    assert isinstance(reply.body, bytes)
    first, second = [attempt["seconds"]["total"] for attempt in json.loads(reply.body)["attempts"]]
    assert first == 0.5
    assert 5 <= second < 65


async def test_an_answer_from_the_cache_is_told_of_as_one() -> None:
    async with pillion(PILLION_CACHE_ENABLED="true", PILLION_CACHE_SINGLE_FLIGHT="true") as gateway:
        slow = OPENAI.request(model="echo/text+slow-0.1")
        together = await asyncio.gather(*[chat(gateway, OPENAI, slow) for _ in range(2)])
        together.sort(key=lambda got: got.header("x-pillion-cache") or "")  # either may have come first
        later = await chat(gateway, OPENAI, slow)
        told = [await explained(gateway, got) for got in [*together, later]]
    assert [got.header("x-pillion-cache") for got in [*together, later]] == ["miss", "shared", "hit"]
    assert [(said["cache"], len(said["attempts"])) for said in told] == [(None, 1), ("shared", 0), ("hit", 0)]


async def test_what_never_came_to_a_provider_is_told_as_well() -> None:
    async with pillion() as gateway:
        said = await explained(gateway, await ask(gateway, "POST", OPENAI.path, b"{"))
        assert (said["status"], said["error"]["code"], said["attempts"]) == (400, "invalid_json", [])
        said = await explained(gateway, await chat(gateway, OPENAI, OPENAI.request(model="nobody/m")))
        assert (said["status"], said["model"]["target"], said["attempts"]) == (404, None, [])


async def test_that_we_leave_a_target_alone_is_our_own_doing_and_another_pillions_is_not() -> None:
    theirs = Scenario(status=503, headers=JSON, body=b'{"error": {"message": "rests", "code": "target_resting"}}')
    async with (
        Evil(theirs) as evil,
        pillion(**OPENAI.environ(evil.url), PILLION_BREAKER_FAILURES="1") as gateway,
    ):
        got = [await chat(gateway, OPENAI, OPENAI.request(model="openai/m")) for _ in range(2)]
        told = [(await explained(gateway, each))["error"] for each in got]
    assert [each.status for each in got] == [503, 503]
    assert told == [
        {"kind": "server_error", "code": "upstream_error", "ended_by": "upstream"},
        {"kind": "server_error", "code": "target_resting", "ended_by": "pillion"},
    ]


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_an_unknown_id_is_a_404_in_the_clients_words(speech: Speech) -> None:
    async with pillion(PILLION_EXPLAIN="2") as gateway:
        first = await chat(gateway, speech, speech.request(model="echo/text"))
        for _ in range(2):
            await chat(gateway, speech, speech.request(model="echo/text"))
        for name in (first.header("x-pillion-request-id"), "req_nobody", "%2e%2e", "x" * 5000):
            got = await ask(gateway, "GET", f"/v1/explain/{name}", headers=speech.headers)
            assert got.status == 404
            assert "among the last 2 that have ended" in speech.error(got.body)["message"]


async def test_nothing_is_kept_where_nothing_is_to_be() -> None:
    async with pillion(PILLION_EXPLAIN="0") as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="echo/text"))
        told = await ask(gateway, "GET", f"/v1/explain/{got.header('x-pillion-request-id')}")
        assert told.status == 404


# --- and to whom -----------------------------------------------------------------------------------------------------


KEYS = """
keys: {ann: {key: hers, models: [echo/*]}, bob: {key: his}}
providers: {openai: {base_url: URL, api_key: k}}
routes: {both: {targets: [echo/error-500, openai/m, echo/text]}}
"""


async def test_a_client_is_told_of_its_own_and_of_nobody_whom_it_may_not_ask(tmp_path: Path) -> None:
    apart = {"PILLION_ADMIN_ADDRESS": "127.0.0.1:0"}
    config = config_file(KEYS.replace("URL", "http://127.0.0.1:9"), tmp_path)
    async with pillion(**config, **apart) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="both"), showing("hers"))
        path = f"/v1/explain/{got.header('x-pillion-request-id')}"
        mine = json.loads((await ask(gateway, "GET", path, headers=showing("hers"))).body)
        assert [row["target"] for row in mine["attempts"]] == ["echo/error-500", "echo/text"]
        assert mine["targets"] == [{"target": "echo/error-500"}, {"target": "echo/text"}]
        assert mine["client"] == "ann"
        assert (await ask(gateway, "GET", path, headers=showing("his"))).status == 404
        assert (await ask(gateway, "GET", path)).status == 401
        operators = gateway.app.addresses[1]
        all_of_it = json.loads((await ask(operators, "GET", path, headers=showing("his"))).body)
        assert all_of_it["attempts"][1] == {"target": "openai/m", "skipped": "not allowed"}
        assert all_of_it["targets"][1] == {"target": "openai/m"}
        dry = await ask(gateway, "POST", "/v1/explain", OPENAI.request(model="both"), showing("hers"))
        assert [row["target"] for row in json.loads(dry.body)["targets"]] == ["echo/error-500", "echo/text"]


async def test_an_app_that_brings_its_own_key_is_told_of_its_own() -> None:
    async with pillion(PILLION_TRANSPARENT="echo") as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="echo/text"), showing("sk-theirs-0123456789"))
        path = f"/v1/explain/{got.header('x-pillion-request-id')}"
        assert (await ask(gateway, "GET", path, headers=showing("sk-theirs-0123456789"))).status == 200
        assert (await ask(gateway, "GET", path, headers=showing("sk-others-01234567890"))).status == 404


async def test_no_secret_is_repeated() -> None:
    canary = "sk-canary-0123456789abcdef"
    said = json.dumps({"error": {"message": canary, "type": canary, "param": None, "code": canary}}).encode()
    refusing = Scenario(status=400, body=said, headers=[*JSON, ("x-request-id", canary)])
    async with (
        Evil(refusing, refusing) as evil,
        pillion(**OPENAI.environ(evil.url) | {"OPENAI_API_KEY": canary}) as gateway,
    ):
        for model in ("openai/m", f"echo/{canary}", f"openai/{'m' * 180}{canary}"):
            got = await chat(gateway, OPENAI, OPENAI.request(model=model))
            assert canary[:12] not in json.dumps(await explained(gateway, got))


# --- what is kept of it ----------------------------------------------------------------------------------------------


def test_nothing_that_a_call_hangs_on_stays() -> None:
    body, heard, extra, error = b'{"a":"%b"}' % (b"x" * 1000), b"y" * 1000, {"much": "x" * 1000}, Down("broke")
    before, watched = [sys.getrefcount(each) for each in (body, heard, extra)], weakref.ref(error)
    one, explain = call(), Explain(10, str)
    one.envelope, one.heard, one.usage = Envelope(body), Heard(), Usage(input=5, extra=extra)
    one.heard.tap(heard)
    explain.keep(seen(one, 200, error))
    del one, error
    gc.collect()
    assert [sys.getrefcount(each) for each in (body, heard, extra)] == before
    assert watched() is None
    assert repr(explain) == "<Explain: 1 of 10 requests>"


def test_who_chooses_names_does_not_choose_how_much_is_remembered() -> None:
    explain, name = Explain(10, str), "m" * 1_000_000
    for n in range(20):
        target = Target(Name(), f"{name}{n}")  # type: ignore[arg-type]
        one = call()
        one.model = one.answered_model = one.upstream_id = target.model
        one.target, one.history = target, [Attempt(target, 1, code=name)]
        one.dropped = tuple(f"{n}.{name}" for n in range(100))
        explain.keep(seen(one, 200, Down(name, code=name) if n % 2 else None))
    assert max(map(weight, map(read, explain._ring))) < 20_000


def test_nor_does_a_provider_with_its_codes() -> None:
    explain, one, name = Explain(1, str), call(), "c" * 1_000_000
    one.attempts, target = 2, Target(Name(), "m")  # type: ignore[arg-type]
    one.history = [Attempt(target, 1, code=name)]
    explain.keep(seen(one, 200))
    assert weight(read(explain._ring[0])) < 1000


def weight(record: Record) -> int:
    """Characters of its strings: the rest of it has a bound."""
    texts = [
        record.broke.code if record.broke is not None else "",
        *record.dropped,
        record.model,
        record.sent,
        record.answered_model,
        record.upstream_id,
    ]
    texts += [text for one in record.history for text in (one.model, one.code)]
    return sum(map(len, texts))


async def test_another_configuration_may_have_more_kept_or_fewer() -> None:
    explain = Explain(3, str)
    for n in range(5):
        one = call()
        one.id = f"req_{n}"
        explain.keep(seen(one, 200))
    explain.become(2)
    assert repr(explain) == "<Explain: 2 of 2 requests>"
    asked = call()
    asked.rest = "req_4"
    assert (await explain.tell(everybodys, asked)).status == 200
    explain.become(0)
    explain.keep(seen(call(), 200))
    assert repr(explain) == "<Explain: 0 of 0 requests>"


def test_it_is_kept_in_few_bytes() -> None:
    explain, one = Explain(1, str), call()
    one.target, one.attempts, one.usage = Target(Name(), "m"), 1, Usage(input=5, output=7)  # type: ignore[arg-type]
    explain.keep(seen(one, 200))
    assert sys.getsizeof(explain._ring[0]) < 350


async def test_only_what_is_asked_for_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read a hundred thousand records, of which one may be it, would hold up everybody else for half a second."""
    explain, asked = Explain(9, str), call()
    looked: list[bytes] = []

    def noted(row: bytes) -> Record:
        looked.append(row)
        return read(row)

    for n in range(9):
        one = call()
        one.id = f"req_{n}"
        explain.keep(seen(one, 200))
    monkeypatch.setattr("proxy.reports.explain.read", noted)
    asked.rest = "req_3"
    assert (await explain.tell(everybodys, asked)).status == 200
    for unknown in ("req_10", "req_", "chat", "", "\udcff"):
        asked.rest = unknown
        with pytest.raises(GatewayError):
            await explain.tell(everybodys, asked)
    assert len(looked) == 1


def test_an_attempt_has_its_own_fields() -> None:
    assert Tried._fields[2:] == Attempt.__struct_fields__[1:]


async def test_half_of_a_character_in_a_provider_s_own_id_is_told_escaped() -> None:
    explain, one, asked = Explain(1, str), call(), call()
    asked.rest = one.id = "req_1"
    one.upstream_id = "a\udcff"
    explain.keep(seen(one, 200))
    body = (await explain.tell(everybodys, asked)).body
    assert isinstance(body, bytes)
    assert json.loads(body)["upstream_id"] == "a\\udcff"


def test_an_error_before_the_head_gives_the_status() -> None:
    assert Record(*facts_of(seen(call(), 0, Timeout("slow", code="idle_timeout")))).status == 504
    assert Record(*facts_of(seen(call(), 0, asyncio.CancelledError()))).status == 499
    assert Record(*facts_of(seen(call(), 200, Timeout("slow", code="idle_timeout")))).status == 200


def test_of_an_answer_that_broke_off_it_tells_what_was_booked() -> None:
    one = call()
    one.usage, one.booked = Usage(input=29), Usage(input=29, output=100)
    assert Record(*facts_of(seen(one, 200, asyncio.CancelledError()))).usage[:6] == (29, 0, 0, 0, 0, 100)


# --- what would become of it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@lanes
async def test_a_rehearsal_says_how_it_would_go_and_asks_nobody(speech: Speech, provider: Speech, stream: bool) -> None:
    async with Evil() as evil, pillion(**provider.environ(evil.url)) as gateway:
        body = speech.request(stream, f"{provider.provider}/gpt-4o-mini", top_k=3, seed=1, max_tokens=7)
        said = await rehearsed(gateway, body, speech.path)
        usage = json.loads((await ask(gateway, "GET", "/v1/usage")).body)
        metrics = (await ask(gateway, "GET", "/metrics")).body.decode()
        assert evil.requests == []
    assert usage["total"]["requests"] == 0
    assert 'pillion_upstream_attempts_total{provider="' not in metrics
    assert (said["dialect"], said["stream"]) == (speech.name, stream)
    assert said["targets"] == [{"target": f"{provider.provider}/gpt-4o-mini"}]
    request = said["request"]
    lane = "passed_through" if speech is provider else "translated"
    assert (request["lane"], request["from"], request["to"]) == (lane, speech.name, provider.name)
    assert request["refused"] is None
    assert request["bytes"] > 50
    assert bool(request["dropped"]) == (speech is not provider)
    assert said["tokens"]["output"] == 7
    assert 0 < float(said["cost"]["about_usd"]) <= float(said["cost"]["bound_usd"])
    assert said["cost"]["price_source"]


async def test_a_rehearsal_asks_for_lists_of_models_and_for_nothing_else() -> None:
    """A bare name means whoever lists it."""
    listed = Scenario(body=b'{"object":"list","data":[{"id":"odd"}]}', headers=[("Content-Type", "application/json")])
    async with Evil(listed) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        said = await rehearsed(gateway, OPENAI.request(model="odd"))
        assert [request.target for request in evil.requests] == ["/v1/models"]
    assert said["targets"] == [{"target": "openai/odd"}]


async def test_a_rehearsal_and_the_request_agree_on_what_is_sent_and_dropped() -> None:
    async with Evil(whole(ANTHROPIC)) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        body = OPENAI.request(model="anthropic/m", seed=1, logit_bias={"1": 2})
        said = await rehearsed(gateway, body)
        got = await chat(gateway, OPENAI, body)
        assert said["request"]["bytes"] == len(evil.requests[0].body)
        assert ", ".join(said["request"]["dropped"]) == got.header("x-pillion-dropped")


async def test_a_rehearsal_names_whom_it_would_ask_next_and_whom_not(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    async with pillion(**config_file(ROUTE.replace("URL", "http://127.0.0.1:9"), tmp_path)) as gateway:
        said = await rehearsed(gateway, OPENAI.request(model="both", tools=tools))
    assert said["targets"] == [
        {"target": "openai/m"},
        {"target": "groq/blind", "skipped": "no tools"},
        {"target": "echo/tool"},
    ]
    assert said["strategy"] == "order"


@pytest.mark.parametrize("strict", [False, True])
async def test_a_rehearsal_says_what_would_be_refused(strict: bool) -> None:
    config = {**ANTHROPIC.environ("http://127.0.0.1:9"), "PILLION_STRICT": str(strict).lower()}
    async with pillion(**config) as gateway:
        fields: Json = {"seed": 1} if strict else {"n": 3}
        said = await rehearsed(gateway, OPENAI.request(model="anthropic/m", **fields))
    refused = said["request"]["refused"]
    assert (refused["status"], refused["param"]) == (400, "seed" if strict else "n")


async def test_a_rehearsal_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    url = {"type": "image_url", "image_url": {"url": "https://pictures.example/cat.png"}}
    body = {"model": "ollama/m", "messages": [{"role": "user", "content": [url]}]}
    config = {"PILLION_OLLAMA_BASE_URL": "http://127.0.0.1:9", "PILLION_FETCH_IMAGES": "true"}
    async with pillion(**config) as gateway:
        monkeypatch.setattr(gateway.app.lasting.fetcher, "get", None)
        said = await rehearsed(gateway, json.dumps(body).encode())
    assert "a rehearsal fetches nothing" in said["request"]["refused"]["message"]


@pytest.mark.parametrize(
    ("path", "dialect", "body"),
    [
        ("", "openai_chat", {"messages": [HI]}),
        ("/v1/chat/completions", "openai_chat", {"messages": [HI]}),
        ("/v1/responses", "openai_responses", {"input": "hi"}),
        ("/v1/messages", "anthropic", {"messages": [HI], "max_tokens": 9}),
        ("/v1beta/models/echo/text:generateContent?alt=sse", "gemini", {"contents": [{"parts": [{"text": "hi"}]}]}),
        ("/model/echo%2Ftext/converse", "bedrock", {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
        ("/api/chat", "ollama", {"messages": [HI]}),
        ("/v2/chat", "cohere", {"messages": [HI]}),
        ("/v1/messages/count_tokens", "anthropic", {"messages": [HI]}),
    ],
)
async def test_each_path_to_a_model_can_be_rehearsed(path: str, dialect: str, body: Json) -> None:
    is_in_path = "echo" in path
    async with pillion() as gateway:
        said = await rehearsed(
            gateway, json.dumps(body if is_in_path else {**body, "model": "echo/text"}).encode(), path
        )
    assert (said["dialect"], said["targets"]) == (dialect, [{"target": "echo/text"}])
    assert said["request"]["refused"] is None


@pytest.mark.parametrize(
    ("query", "body", "status", "code"),
    [
        ("?path=/v1/nowhere", b"{}", 404, "unknown_url"),
        ("?path=/liveness", b"{}", 404, "unknown_url"),
        ("?path=/v1/explain", b"{}", 404, "unknown_url"),
        ("?path=", b"{}", 404, "unknown_url"),
        ("", b"{", 400, "invalid_json"),
        ("", b"[]", 400, "invalid_json"),
        ("", b"", 400, "invalid_json"),
        ("", b'{"model":"nobody/m","messages":[]}', 404, "model_not_found"),
        ("", b'{"model":7}', 400, "invalid_request"),
    ],
)
async def test_what_makes_no_sense_is_an_error(query: str, body: bytes, status: int, code: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", f"/v1/explain{query}", body)
    assert (got.status, OPENAI.error(got.body)["code"]) == (status, code)


async def test_a_model_that_the_key_may_not_use_is_refused_in_a_rehearsal(tmp_path: Path) -> None:
    async with pillion(**config_file("keys: {ann: {key: hers, models: [echo/text]}}", tmp_path)) as gateway:
        said = await rehearsed(gateway, OPENAI.request(model="echo/tool"), headers=showing("hers"))
    assert said["request"]["refused"]["code"] == "model_not_allowed"
    assert said["request"]["bytes"] == 0


async def test_a_price_that_nobody_knows_is_told_as_what_would_be_said() -> None:
    async with Evil() as evil, pillion(**OPENAI.environ(evil.url), PILLION_UNKNOWN_PRICE="refuse") as gateway:
        said = await rehearsed(gateway, OPENAI.request(model="openai/nobody-knows-it"))
    assert said["cost"] == {"about_usd": None, "bound_usd": None, "price_source": "unknown_price"}
    assert (said["targets"][0]["refused"], said["request"]["refused"]["code"]) == ("unknown_price", "unknown_price")


SPENDING = """
budgets: {small: {usd: 0.000001, model: openai/gpt-4o-mini, window: total, mode: MODE}}
ledger: {create: true}
providers: {openai: {base_url: URL/v1, api_key: x}}
routes: {both: {targets: [openai/gpt-4o-mini, openai/gpt-4o]}}
"""


@pytest.mark.parametrize("mode", ["strict", "lenient"])
async def test_a_target_whose_budget_is_spent_is_told(mode: str, tmp_path: Path) -> None:
    async with Evil(whole(OPENAI)) as evil:
        config = config_file(SPENDING.replace("URL", evil.url).replace("MODE", mode), tmp_path)
        async with pillion(**config) as gateway:
            body = OPENAI.request(model="both", max_tokens=7)
            if mode == "lenient":
                assert (await rehearsed(gateway, body))["targets"][0] == {"target": "openai/gpt-4o-mini"}
                await chat(gateway, OPENAI, body)
            said = await rehearsed(gateway, body)
            got = await chat(gateway, OPENAI, body)
            budget = json.loads((await ask(gateway, "GET", "/v1/budgets")).body)
    assert said["targets"] == [
        {"target": "openai/gpt-4o-mini", "refused": "insufficient_quota"},
        {"target": "openai/gpt-4o"},
    ]
    refused = said["request"]["refused"]
    assert (refused["status"], refused["message"]) == (got.status, OPENAI.error(got.body)["message"])
    assert "Budget `small` has 0" in refused["message"]
    assert (said["request"]["lane"], said["request"]["bytes"] > 50) == ("passed_through", True)
    assert budget["data"][0]["reserved_usd"] == "0"


async def test_a_limit_of_the_requests_own_is_told() -> None:
    async with Evil() as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        body = OPENAI.request(model="openai/gpt-4o", max_tokens=7)
        said = await rehearsed(gateway, body, headers=[("x-pillion-cost-limit", "0.000001")])
        counted = json.dumps({"model": "openai/gpt-4o", "messages": [HI]}).encode()
        free = await rehearsed(gateway, counted, "/v1/messages/count_tokens", [("x-pillion-cost-limit", "0.000001")])
    assert said["targets"] == [{"target": "openai/gpt-4o", "refused": "cost_limit_exceeded"}]
    assert said["request"]["refused"]["code"] == "cost_limit_exceeded"
    assert free["request"]["refused"] is None


async def test_a_target_that_rests_is_told() -> None:
    async with (
        Evil(FAILING) as evil,
        pillion(**OPENAI.environ(evil.url), PILLION_BREAKER_FAILURES="1") as gateway,
    ):
        await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
        said = await rehearsed(gateway, OPENAI.request(model="openai/m"))
    assert said["targets"] == [{"target": "openai/m", "skipped": "resting"}]
    assert (said["request"], said["cost"]) == (None, None)
