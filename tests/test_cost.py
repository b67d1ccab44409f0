"""Is every attempt booked with what it cost, whatever came of it, and refused where it cannot be paid?"""

import asyncio
import json
import threading
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import proxy.store.comeback
from proxy.config import Budget, Config, load
from proxy.edge import outbox
from proxy.edge.aside import LARGE
from proxy.middleware import cost
from proxy.spending.brake import LOOK
from proxy.spending.extent import TEMPLATE, extent
from proxy.spending.money import NANOS
from proxy.store import CRASHED
from proxy.store.intents import found
from tests.client import ANTHROPIC, OPENAI, USAGE_CHUNK, Got, ask, client, spell
from tests.evil import Evil, Scenario
from tests.gateway import DEFAULTS, Gateway, config_file, pillion, registry, telling
from tests.test_cancel import full
from tests.test_logs import Kept, log_to
from tests.waiting import soon

SSE = [("Content-Type", "text/event-stream")]
JSON = [("Content-Type", "application/json")]

# Dollars for a million tokens: 5 in and 2 out are 5 * 1 + 2 * 3 = 11 micro-dollars.
PRICES = "prices: {openai/m: {input: 1, output: 3}, anthropic/m: {input: 1, output: 3}}\n"
ELEVEN = "0.000011"
WHOLE = Scenario(body=OPENAI.whole, headers=JSON)
STREAM = Scenario(body=OPENAI.stream[:-14] + USAGE_CHUNK + OPENAI.stream[-14:], headers=SSE, framing="chunked")


def priced(evil: Evil, folder: Path, text: str = "", **environ: str) -> AbstractAsyncContextManager[Gateway]:
    """One whose ledger is in the folder; `text`: what config.yaml says beside the prices."""
    hosts = {**OPENAI.environ(evil.url), **ANTHROPIC.environ(evil.url)}
    return pillion(**{**config_file(PRICES + text, folder), **hosts, **environ})


async def chat(gateway: Gateway, model: str = "openai/m", headers: Any = (), **fields: Any) -> Got:
    return await ask(gateway, "POST", OPENAI.path, OPENAI.request(model=model, **fields), headers)


async def booked(gateway: Gateway, by: str = "provider") -> list[dict[str, Any]]:
    got = await ask(gateway, "GET", f"/v1/usage?group_by={by}")
    assert got.status == 200, got.body
    rows: list[dict[str, Any]] = json.loads(got.body)["data"]
    return rows


def sums(row: Mapping[str, Any]) -> tuple[Any, ...]:
    tokens = row["tokens"]
    return row["requests"], row["errors"], tokens["input"], tokens["output"], row["cost_usd"], row["estimated"]


async def test_a_whole_answer_says_what_it_cost_and_the_ledger_knows(tmp_path: Path) -> None:
    async with Evil(WHOLE, WHOLE) as evil, priced(evil, tmp_path) as gateway:
        for _ in range(2):
            got = await chat(gateway)
            assert (got.status, got.header("x-pillion-cost-usd")) == (200, ELEVEN)
        (row,) = await booked(gateway)
        assert (row["provider"], *sums(row)) == ("openai", 2, 0, 10, 4, "0.000022", 0)


@pytest.mark.parametrize("count", [1, 12])
async def test_what_is_spent_is_written_down_before_anybody_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """An intent before the provider is asked, and what it cost before the client is answered."""
    write, asked, answered, late = outbox._write, 0, 0, []

    def looking(line: outbox.Line, data: bytes) -> None:
        nonlocal asked, answered
        rows = found(tmp_path / "state" / "ledger.intents").rows
        settled = [row for row in rows if not row.flags & CRASHED]
        asked += data.startswith(b"POST")
        answered += data.startswith(b"HTTP/1.1 200")
        if len(rows) < asked or len(settled) < answered:
            late.append((len(rows), asked, len(settled), answered))
        write(line, data)

    async with Evil(*[WHOLE] * count) as evil, priced(evil, tmp_path) as gateway:
        monkeypatch.setattr(outbox, "_write", looking)
        await asyncio.gather(*(chat(gateway) for _ in range(count)))
    assert (asked, answered, late) == (count, count, [])


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC], ids=lambda one: one.name)
async def test_a_stream_is_booked_at_its_end(tmp_path: Path, speech: Any) -> None:
    async with Evil(STREAM) as evil, priced(evil, tmp_path) as gateway:
        body = speech.request(stream=True, model="openai/m")
        got = await ask(gateway, "POST", speech.path, body, speech.headers)
        assert (got.status, got.header("x-pillion-cost-usd")) == (200, None)
        (row,) = await booked(gateway)
        assert sums(row) == (1, 0, 5, 2, ELEVEN, 0)


async def test_what_the_provider_refuses_is_a_row_that_costs_nothing(tmp_path: Path) -> None:
    body = b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}'
    async with Evil(Scenario(status=400, body=body, headers=JSON)) as evil, priced(evil, tmp_path) as gateway:
        assert (await chat(gateway)).status == 400
        (row,) = await booked(gateway)
        assert sums(row) == (1, 1, 0, 0, "0", 0)


async def test_the_first_answer_of_a_model_costs_under_its_own_name(tmp_path: Path) -> None:
    async with Evil(WHOLE) as evil, priced(evil, tmp_path) as gateway:
        await chat(gateway)
        place, value = {"provider": "openai", "model": "m"}, registry(gateway.app).get_sample_value
        assert value("pillion_cost_usd_total", place) == float(ELEVEN)
        assert value("pillion_tokens_total", {**place, "kind": "input"}) == 5


async def test_so_does_one_that_breaks(tmp_path: Path) -> None:
    half = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked", cut_at=len(OPENAI.stream) * 3 // 4)
    async with Evil(half) as evil, priced(evil, tmp_path) as gateway:
        await ask(gateway, "POST", OPENAI.path, OPENAI.request(stream=True, model="openai/m"))
        value = registry(gateway.app).get_sample_value
        assert value("pillion_cost_usd_total", {"provider": "openai", "model": "m"})
        assert value("pillion_cost_usd_total", {"provider": "openai", "model": "other"}) is None


async def test_tokens_are_counted_of_each_attempt_as_the_ledger_has_them(tmp_path: Path) -> None:
    """Of one that broke after its provider had counted, and before it had said anything, and of the next one."""
    begun = ANTHROPIC.stream.partition(b"event: content_block_start")[0]
    broken = Scenario(body=begun, headers=SSE, framing="chunked")
    route = "routes: {r: {targets: [anthropic/m, openai/m]}}"
    async with Evil(broken, STREAM) as evil, priced(evil, tmp_path, route) as gateway:
        got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(stream=True, model="r"))
        assert (got.status, got.header("x-pillion-attempts")) == (200, "2")
        value = registry(gateway.app).get_sample_value
        for row in await booked(gateway):
            place = {"provider": row["provider"], "model": "m", "kind": "input"}
            assert value("pillion_tokens_total", place) == row["tokens"]["input"] > 0


async def test_a_refusal_pays_no_fee_for_the_request(tmp_path: Path) -> None:
    fee = config_file("prices: {openai/m: {input: 1, output: 3, request: 0.01}}", tmp_path)
    refusals = [Scenario(status=status, body=b'{"error":{"message":"no"}}', headers=JSON) for status in (401, 429, 503)]
    async with Evil(*refusals, WHOLE) as evil, pillion(**fee, **OPENAI.environ(evil.url)) as gateway:
        costs = [(await chat(gateway)).header("x-pillion-cost-usd") for _ in range(4)]
        assert costs == ["0", "0", "0", "0.010011"]
        (row,) = await booked(gateway)
        assert sums(row) == (4, 3, 5, 2, "0.010011", 0)


async def test_who_was_never_reached_is_no_row(tmp_path: Path) -> None:
    async with Evil() as evil:
        gone = evil.url
    environ = {"PILLION_OPENAI_BASE_URL": f"{gone}/v1"}
    async with Evil() as evil, priced(evil, tmp_path, **environ) as gateway:
        assert (await chat(gateway)).status == 502
        assert await booked(gateway) == []
        assert gateway.app.accounting.ledger.pending == 0


STRICT = "budgets: {all: {usd: 1000, window: day, unbounded_usd: 1}}\nledger: {create: true}\n"


async def test_a_client_that_leaves_while_nobody_is_reached_is_no_row(tmp_path: Path) -> None:
    with full() as url:
        async with Evil() as other, priced(other, tmp_path, STRICT, **OPENAI.environ(url)) as gateway:
            async with client(gateway) as one:
                await one.send(spell("POST", OPENAI.path, OPENAI.request(model="openai/m")))
                await soon(lambda: gateway.app.upstream.in_use == 1)
                one.leave("rst")
            await soon(lambda: gateway.app.upstream.in_use == 0)
            assert await booked(gateway) == []
            (budget,) = gateway.app.accounting.budgets.statements()
            assert (budget.spent, budget.reserved, gateway.app.accounting.ledger.pending) == (0, 0, 0)


async def test_a_hedge_that_is_outrun_while_it_connects_is_no_row(tmp_path: Path) -> None:
    route = "routes: {r: {targets: [openai/m, anthropic/m]}}\nhedge: {enabled: true, after: 0.02, share: 1}\n"
    slow = Scenario(body=OPENAI.whole, headers=JSON, delay_head=0.2)
    with full() as url:
        async with Evil(slow) as evil, priced(evil, tmp_path, STRICT + route, **ANTHROPIC.environ(url)) as gateway:
            got = await chat(gateway, "r")
            assert [got.header(f"x-pillion-{name}") for name in ("attempts", "cost-usd")] == ["2", ELEVEN]
            (row,) = await booked(gateway)
            assert (row["provider"], *sums(row)) == ("openai", 1, 0, 5, 2, ELEVEN, 0)


async def test_each_attempt_is_a_row(tmp_path: Path) -> None:
    """M7."""
    body = b'{"error":{"message":"busy","type":"server_error","param":null,"code":null}}'
    failing = Scenario(status=500, body=body, headers=JSON)
    environ = {"PILLION_RETRY_MAX_RETRIES": "2", "PILLION_RETRY_INITIAL_DELAY": "0"}
    async with Evil(failing, failing, WHOLE) as evil, priced(evil, tmp_path, **environ) as gateway:
        got = await chat(gateway)
        assert (got.status, got.header("x-pillion-attempts"), got.header("x-pillion-cost-usd")) == (200, "3", ELEVEN)
        (row,) = await booked(gateway)
        assert sums(row) == (3, 2, 5, 2, ELEVEN, 0)


async def test_a_client_that_leaves_is_booked_with_what_it_heard(tmp_path: Path) -> None:
    half = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked", cut_at=len(OPENAI.stream) * 3 // 4, how="stall")
    async with Evil(half) as evil, priced(evil, tmp_path) as gateway:
        async with client(gateway) as one:
            body = OPENAI.request(stream=True, model="openai/m")
            await one.send(spell("POST", OPENAI.path, body))
            await one.head()
            await one.until("ü".encode())
            one.leave("rst")
        await soon(lambda: gateway.app.upstream.in_use == 0)
        (row,) = await booked(gateway)
        read = len(body) // 4
        written = row["tokens"]["output"]
        assert written >= 2
        assert sums(row) == (1, 1, read, written, f"0.{read * 1000 + written * 3000:09}".rstrip("0"), 1)


@pytest.mark.parametrize("stream", [True, False])
async def test_the_log_has_the_tokens_that_a_client_who_leaves_is_booked_with(stream: bool) -> None:
    kept, body = Kept(), OPENAI.request(stream=stream, model="openai/m")
    half = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked", cut_at=len(OPENAI.stream) * 3 // 4, how="stall")
    silent = Scenario(body=OPENAI.whole, cut_at=0, cut_of="wire", how="stall")
    async with Evil(half if stream else silent) as evil, telling(log_to(kept), OPENAI.environ(evil.url)) as gateway:
        async with client(gateway) as one:
            await one.send(spell("POST", OPENAI.path, body))
            if stream:
                await one.head()
                await one.until("ü".encode())
            else:
                await evil.received(1)
            one.leave("rst")
        await soon(lambda: gateway.app.upstream.in_use == 0)
        (row,) = await booked(gateway)
    (line,) = [line for line in kept.lines if line.get("operation") == "chat"]
    assert line["tokens"] == {name: count for name, count in row["tokens"].items() if count and name != "total"}
    assert (line["ended_by"], line["estimated"]) == ("client", True)


async def test_an_answer_that_nobody_counted_is_estimated(tmp_path: Path) -> None:
    silent = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked")
    async with Evil(silent) as evil, priced(evil, tmp_path) as gateway:
        await ask(gateway, "POST", OPENAI.path, OPENAI.request(stream=True, model="openai/m"))
        (row,) = await booked(gateway)
        assert (row["requests"], row["errors"], row["estimated"]) == (1, 0, 1)
        assert row["tokens"]["output"] >= 2
        assert row["cost_usd"] != "0"


async def test_who_does_not_wait_for_a_whole_answer_is_booked_with_a_guess_at_it(tmp_path: Path) -> None:
    """Else a client that hangs up in time has all that it asks for booked at the price of its questions."""
    for n, (said, written) in enumerate(((9, 9), (5000, 1000), (None, 1000))):
        folder = tmp_path / str(n)
        folder.mkdir()
        silent = Scenario(body=OPENAI.whole, cut_at=0, cut_of="wire", how="stall")
        async with Evil(silent) as evil, priced(evil, folder) as gateway:
            body = OPENAI.request(model="openai/m", max_tokens=said)
            async with client(gateway) as one:
                await one.send(spell("POST", OPENAI.path, body))
                await evil.received(1)
                one.leave("rst")
                await evil.closed()
            (row,) = await booked(gateway)
            assert sums(row)[:4] == (1, 1, len(body) // 4, written)
            assert row["estimated"] == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "text", "written"),
    [
        (9, "", 9),
        (5000, "", 1000),
        (None, "", 1000),
        (None, "providers: {openai: {max_tokens: 9}}\n", 9),
        (20, "providers: {openai: {max_tokens: 9}}\nbudgets: {all: {usd: 1, mode: lenient}}\n", 20),
    ],
)
async def test_what_a_kill_cuts_short_is_booked_with_no_more_than_it_allowed(
    tmp_path: Path, stream: bool, said: int | None, text: str, written: int
) -> None:
    """Else a start after it would count in a budget what was never set aside there."""
    silent = Scenario(body=OPENAI.whole, cut_at=0, cut_of="wire", how="stall")
    async with Evil(silent) as evil, priced(evil, tmp_path, text) as gateway, client(gateway) as one:
        body = OPENAI.request(stream, "openai/m", max_tokens=said)
        await one.send(spell("POST", OPENAI.path, body))
        await evil.received(1)
        (row,) = found(tmp_path / "state" / "ledger.intents").rows
        read = len(body) // 4
        assert (row.flags & CRASHED, row.input, row.output) == (CRASHED, read, written)
        assert row.nanos == read * 1000 + written * 3000
        one.leave("rst")
        await evil.closed()


async def test_under_a_strict_budget_it_is_booked_with_all_that_it_may_have_cost(tmp_path: Path) -> None:
    silent = Scenario(body=OPENAI.whole, cut_at=0, cut_of="wire", how="stall")
    async with Evil(silent) as evil, priced(evil, tmp_path, BUDGET.replace("0.001", "1")) as gateway:
        (counter,) = (budgets := gateway.app.accounting.budgets).counters("", "openai", "m")
        async with client(gateway) as one:
            await one.send(spell("POST", OPENAI.path, OPENAI.request(model="openai/m", max_tokens=5000)))
            await evil.received(1)
            reserved = counter.reserved
            assert [row.nanos for row in found(tmp_path / "state" / "ledger.intents").rows] == [reserved]
            one.leave("rst")
            await evil.closed()
        (row,) = await booked(gateway)
        (statement,) = budgets.statements()
        assert statement.spent == reserved > 5000 * 3000
        assert (row["cost_usd"], row["estimated"]) == (f"0.{reserved:09}".rstrip("0"), 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 529])
async def test_what_the_provider_refuses_costs_nothing(tmp_path: Path, status: int, stream: bool) -> None:
    refusal = Scenario(status=status, body=b'{"error":{"message":"no"}}', headers=JSON)
    async with Evil(refusal) as evil, priced(evil, tmp_path, BUDGET.replace("0.001", "1")) as gateway:
        body = OPENAI.request(stream, "openai/m", max_tokens=5000)
        assert (await ask(gateway, "POST", OPENAI.path, body)).status >= 400
        (row,) = await booked(gateway)
        (statement,) = gateway.app.accounting.budgets.statements()
        assert (row["cost_usd"], statement.spent, statement.reserved) == ("0", 0, 0)


async def test_an_answer_of_no_tokens_at_all_is_not_believed(tmp_path: Path) -> None:
    nothing = OPENAI.whole.replace(b'{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}',
                                   b'{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}')  # fmt: skip
    async with Evil(Scenario(body=nothing, headers=JSON)) as evil, priced(evil, tmp_path) as gateway:
        await chat(gateway, "openai/m")
        (row,) = await booked(gateway)
        assert (row["estimated"], row["tokens"]["output"] >= 2, row["cost_usd"] > "0") == (1, True, True)


async def test_a_length_below_what_a_wire_takes_is_bounded_by_what_it_is_asked_for(tmp_path: Path) -> None:
    """OpenAI's Responses are asked for 16 tokens at least."""
    body = OPENAI.request(model="openai/m", max_tokens=1)
    nanos = (len(body) + TEMPLATE) * 1000 + 10 * 3000
    async with Evil() as evil, priced(evil, tmp_path) as gateway:
        got = await ask(gateway, "POST", OPENAI.path, body, [("x-pillion-cost-limit", f"0.{nanos:09}")])
        assert (got.status, OPENAI.error(got.body)["code"]) == (400, "cost_limit_exceeded")


async def test_what_is_taken_for_free_costs_nothing_whatever_model_answers(tmp_path: Path) -> None:
    """Nothing was set aside for it, and what costs nothing is always admitted: a budget would never stop it."""
    text = "unknown_price: free\n" + BUDGET.replace("0.001", "0.00001")
    named = Scenario(body=OPENAI.whole.replace(b'"model":"', b'"model":"gpt-4o","x":"', 1), headers=JSON)
    async with Evil(named, named) as evil, priced(evil, tmp_path, text) as gateway:
        for _ in range(2):
            assert (await chat(gateway, "openai/my-own-name-for-it")).header("x-pillion-cost-usd") == "0"
        (statement,) = gateway.app.accounting.budgets.statements()
        assert statement.spent == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "answered", "cost", "is_guess"),
    [
        ("small", "large", "0.00011", False),
        ("large", "small", ELEVEN, False),
        ("small", "small", ELEVEN, False),
        ("small", "large:by-another-name", "0.00011", True),
        ("nothing", "large", "0.00011", False),  # else such a request would be free
        ("small", "nothing", "0", False),
    ],
)
async def test_what_answers_in_place_of_another_costs_what_it_costs_itself(
    asked: str, answered: str, cost: str, is_guess: bool, stream: bool, tmp_path: Path
) -> None:
    """OpenRouter's `models`: 5 tokens read and 2 written."""
    text = "".join(
        f"  openai/{name}: {{input: {price}, output: {3 * price}}}\n"
        for name, price in {"small": 1, "large": 10, "nothing": 0}.items()
    )
    scenario = STREAM if stream else WHOLE
    body = scenario.body.replace(b'"model":"gpt-real"', b'"model":"%b"' % answered.encode())
    body = body.replace(b'"model": "gpt-real"', b'"model": "%b"' % answered.encode())
    others = [name for name in ("small", "large", "nothing") if name != asked]
    async with (
        Evil(replace(scenario, body=body)) as evil,
        pillion(**config_file(f"prices:\n{text}", tmp_path), **OPENAI.environ(evil.url)) as gateway,
    ):
        request = OPENAI.request(stream, model=f"openai/{asked}", models=others)
        got = await ask(gateway, "POST", OPENAI.path, request)
        assert got.status == 200, got.body
        assert stream or got.header("x-pillion-cost-usd") == cost
        (row,) = await booked(gateway)
        assert (row["cost_usd"], row["unpriced"]) == (cost, int(is_guess))


@pytest.mark.parametrize(
    ("model", "fields", "status"),
    [
        ("openai/nothing", {"models": ["m"]}, 429),
        ("openai/nothing", {"models": ["nothing"]}, 200),
        ("openai/m", {"models": ["nothing"], "max_tokens": 1}, 429),
        ("anthropic/m", {"fallbacks": [{"model": "m", "max_tokens": 10**6}]}, 429),
        ("anthropic/m", {"fallbacks": []}, 200),
        ("openai/m", {"fallbacks": [{"model": "m", "max_tokens": 10**6}]}, 200),  # whom nobody asks there
    ],
)
async def test_who_may_answer_in_place_of_another_has_no_bound(
    model: str, fields: dict[str, Any], status: int, tmp_path: Path
) -> None:
    speech = ANTHROPIC if "fallbacks" in fields else OPENAI
    text = PRICES.replace("{openai/m", "{openai/nothing: {input: 0, output: 0}, openai/m") + BUDGET
    body = OPENAI.whole if model.startswith("openai/") else ANTHROPIC.whole
    async with Evil(*[Scenario(body=body, headers=JSON)] * (status == 200)) as evil:
        hosts = {**OPENAI.environ(evil.url), **ANTHROPIC.environ(evil.url)}
        async with pillion(**config_file(text, tmp_path), **hosts) as gateway:
            asked = speech.request(False, model=model, **fields)
            got = await ask(gateway, "POST", speech.path, asked, speech.headers)
            assert (got.status, len(evil.requests)) == (status, int(status == 200)), got.body
            assert status == 200 or b"no known bound" in got.body


@pytest.mark.parametrize(
    ("budget", "status"),
    [
        ("model: openai/large", 429),
        ("model: openai/large, unbounded_usd: 1", 200),
        ("model: openai/large, unbounded_usd: 3", 429),
        ("model: openai/other", 200),
    ],
)
async def test_a_models_budget_is_not_got_round_by_whom_it_may_stand_in_for(
    budget: str, status: int, tmp_path: Path
) -> None:
    text = f"ledger: {{create: true}}\nbudgets: {{big: {{usd: 2, {budget}}}}}\n"
    async with Evil(*[WHOLE] * (status == 200)) as evil, priced(evil, tmp_path, text) as gateway:
        got = await chat(gateway, models=["large"])
        assert (got.status, len(evil.requests)) == (status, int(status == 200)), got.body
        assert status == 200 or b"Budget `big`" in got.body


async def test_who_may_answer_in_place_of_another_must_have_a_price_too(tmp_path: Path) -> None:
    async with Evil() as evil, priced(evil, tmp_path, "unknown_price: refuse") as gateway:
        got = await chat(gateway, models=["nobody-knows-it"])
        assert (got.status, json.loads(got.body)["error"]["code"], evil.requests) == (400, "unknown_price", [])


async def test_an_unknown_price_is_never_nothing_unless_the_operator_says_so(tmp_path: Path) -> None:
    for n, (word, status, guessed) in enumerate((("dearest", 200, 1), ("free", 200, 1), ("refuse", 400, 0))):
        folder = tmp_path / str(n)
        folder.mkdir()
        async with Evil(*[WHOLE] * (status == 200)) as evil, priced(evil, folder, f"unknown_price: {word}") as gateway:
            got = await chat(gateway, "openai/nobody-knows-it")
            assert got.status == status
            cost = got.header("x-pillion-cost-usd")
            assert (cost == "0") == (word == "free") or status == 400
            assert sum(row["unpriced"] for row in await booked(gateway)) == guessed
            assert len(evil.requests) == (status == 200)
            if status == 400:
                assert json.loads(got.body)["error"]["code"] == "unknown_price"


ROUTED = "routes: {r: {strategy: least_cost, targets: [openai/nobody-knows-it, openai/m]}}\n"


@pytest.mark.parametrize("word", ["dearest", "refuse"])
async def test_where_the_cheapest_is_asked_first_an_unknown_price_is_the_last(tmp_path: Path, word: str) -> None:
    async with Evil(WHOLE) as evil, priced(evil, tmp_path, f"unknown_price: {word}\n{ROUTED}") as gateway:
        assert (await chat(gateway, "r")).status == 200
        assert [json.loads(request.body)["model"] for request in evil.requests] == ["m"]


async def test_a_length_that_nobody_can_read_is_guessed_and_goes_to_the_host_as_it_is(tmp_path: Path) -> None:
    async with Evil(WHOLE) as evil, priced(evil, tmp_path, ROUTED) as gateway:
        body = OPENAI.request(model="r", max_tokens=5).replace(b'"max_tokens": 5', b'"max_tokens": 1e999')
        assert (await ask(gateway, "POST", OPENAI.path, body)).status == 200
        (request,) = evil.requests
        assert request.body == body.replace(b'"r"', b'"m"')


async def test_a_stream_of_a_tier_without_a_price_ends_well_for_who_asks_what_it_took(tmp_path: Path) -> None:
    """`refuse` is for requests. What is under way is told, and booked, at the dearest price that there is."""
    tiered = USAGE_CHUNK.replace(b'"choices"', b'"service_tier":"of-gold","choices"', 1)
    assert tiered != USAGE_CHUNK
    stream = Scenario(body=OPENAI.stream[:-14] + tiered + OPENAI.stream[-14:], headers=SSE, framing="chunked")
    async with Evil(stream) as evil, priced(evil, tmp_path, "unknown_price: refuse\n") as gateway:
        body = OPENAI.request(stream=True, model="openai/gpt-4o")
        got = await ask(gateway, "POST", OPENAI.path, body, [("x-pillion-summary", "true")])
        assert OPENAI.ends_whole(got.body), got.body
        assert b'"cost_usd":"0.' in got.body
        (row,) = await booked(gateway)
        assert f'"cost_usd":"{row["cost_usd"]}"'.encode() in got.body


# --- limits and budgets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "status"), [("0.00005", 400), ("1", 200)])
async def test_a_request_that_may_cost_more_than_its_client_will_pay(tmp_path: Path, limit: str, status: int) -> None:
    async with Evil(*[WHOLE] * (status == 200)) as evil, priced(evil, tmp_path) as gateway:
        got = await chat(gateway, headers=[("x-pillion-cost-limit", limit)], max_tokens=100)
        assert got.status == status
        assert len(evil.requests) == (status == 200)
        if status == 400:
            assert json.loads(got.body)["error"]["code"] == "cost_limit_exceeded"
            assert await booked(gateway) == []


@pytest.mark.parametrize("less", [0, 1])
async def test_what_a_client_will_pay_is_for_all_its_attempts(tmp_path: Path, less: int) -> None:
    """The first one was cut, and is booked by what was heard of it: less than the limit is left for the second one."""
    text = "routes: {both: {targets: [openai/m, anthropic/m]}}\nretry: {max_retries: 0}\n"
    body = OPENAI.request(model="both", max_tokens=100)
    cut = Scenario(body=OPENAI.whole, headers=JSON, cut_at=len(OPENAI.whole) - 1, how="rst")
    bound = (len(body) + TEMPLATE) * 1000 + 100 * 3000
    limit = bound + 1000 * 1000 * (1 - less)  # enough for both, or for one
    async with Evil(cut, Scenario(body=ANTHROPIC.whole, headers=JSON)) as evil, priced(evil, tmp_path, text) as gateway:
        got = await ask(gateway, "POST", OPENAI.path, body, [("x-pillion-cost-limit", f"0.{limit:09}")])
        assert (len(evil.requests), got.status == 200) == ((1, False) if less else (2, True))


async def test_a_cost_that_nobody_can_bound_is_above_every_limit(tmp_path: Path) -> None:
    async with Evil() as evil, priced(evil, tmp_path) as gateway:
        got = await chat(
            gateway, headers=[("x-pillion-cost-limit", "1000")], tools=[{"type": "web_search"}], max_tokens=1
        )
        assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "cost_limit_exceeded")


@pytest.mark.parametrize("path", [OPENAI.path, f"/v1/explain?path={OPENAI.path}"])
async def test_nobody_waits_while_a_large_request_is_searched_for_what_may_cost(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its escapes is looked at: in eight megabytes, for a second."""
    by = []

    def noted(*arguments: Any) -> Any:
        by.append(threading.current_thread())
        return extent(*arguments)

    monkeypatch.setattr(cost, "extent", noted)
    text = b"\\u0041" * (LARGE // 6 + 1)
    body = b'{"model":"openai/m","max_tokens":1,"messages":[{"role":"user","content":"%b"}]}' % text
    async with Evil(*[WHOLE] * (path == OPENAI.path)) as evil, priced(evil, tmp_path) as gateway:
        got = await ask(gateway, "POST", path, body, [("x-pillion-cost-limit", "1")])
        assert got.status == 200
    assert by
    assert threading.main_thread() not in by


BUDGET = "budgets: {all: {usd: 0.001, window: day}}\nledger: {create: true}\n"


async def test_a_strict_budget_refuses_before_any_byte_goes_out(tmp_path: Path) -> None:
    """M3: 200 tokens of answer, at most, are 0.0006 dollars, and what is read may be some 0.0003."""
    async with Evil(WHOLE) as evil, priced(evil, tmp_path, BUDGET) as gateway:
        assert (await chat(gateway, max_tokens=200)).status == 200
        got = await chat(gateway, max_tokens=400)
        assert (got.status, json.loads(got.body)["error"]["code"]) == (429, "insufficient_quota")
        assert len(evil.requests) == 1
        (statement,) = gateway.app.accounting.budgets.statements()
        assert (statement.spent, statement.reserved) == (11_000, 0)


LIMIT = "providers: {openai: {limits: {tokens_per_minute: 1}}}\n"


@pytest.mark.parametrize("text", [BUDGET, LIMIT], ids=["a budget", "a limit"])
async def test_where_nobody_was_asked_there_was_no_attempt(tmp_path: Path, text: str) -> None:
    """In the headers, in the log, and to whoever asks why; and a target that answers after that is the first."""
    kept = Kept()
    cheap = "routes: {r: {targets: [openai/m, echo/text]}}\n"
    async with Evil() as evil:
        environ = {**DEFAULTS, **config_file(PRICES + text + cheap, tmp_path)}
        environ |= {**OPENAI.environ(evil.url), **ANTHROPIC.environ(evil.url)}
        async with telling(log_to(kept), environ) as gateway:
            got = await chat(gateway)
            assert (got.status, got.header("x-pillion-provider"), got.header("x-pillion-attempts")) == (
                429, "openai", "0",
            )  # fmt: skip
            said = await ask(gateway, "GET", f"/v1/explain/{got.header('x-pillion-request-id')}")
            assert [one["number"] for one in json.loads(said.body)["attempts"]] == [0]
            assert (await booked(gateway), evil.requests) == ([], [])
            if text is LIMIT:  # the operator's own, which another target may answer
                assert (await chat(gateway, "r")).header("x-pillion-attempts") == "1"
    refused = next(line for line in kept.lines if line["status"] == 429)
    assert "attempts" not in refused


@pytest.mark.parametrize(
    "text",
    [
        "routes: {r: {targets: [answers/m, reads/m], strategy: least_cost}}\n",
        "routes: {r: {targets: [answers/m, reads/m]}}\nbudgets: {all: {usd: 0.03, at_end: cheaper}}\n"
        "ledger: {create: true}\n",
    ],
    ids=["strategy", "budget"],
)
async def test_which_target_is_cheaper_depends_on_how_long_the_answer_may_be(tmp_path: Path, text: str) -> None:
    """One is cheap to read for, the other to write for."""
    async with Evil(answering=lambda _: WHOLE) as evil:
        rows = [f"  {name}: {{base_url: '{evil.url}/v1', api_key: x}}\n" for name in ("answers", "reads")]
        prices = "prices: {answers/m: {input: 10, output: 10}, reads/m: {input: 1, output: 100}}\n"
        environ = config_file("".join(["providers:\n", *rows, prices, text]), tmp_path)
        async with pillion(**environ) as gateway:
            for length, words, by in ((10, 800, "reads"), (200, 1, "answers")):
                messages = [{"role": "user", "content": "word " * words}]
                got = await chat(gateway, "r", max_tokens=length, messages=messages)
                assert (got.status, got.header("x-pillion-provider")) == (200, by)


async def test_which_target_is_cheaper_depends_on_the_tier_that_is_asked_for(tmp_path: Path) -> None:
    """gpt-5 costs half as much in the tier flex."""
    async with Evil(answering=lambda _: WHOLE) as evil:
        host = f"providers: {{b: {{base_url: '{evil.url}/v1', api_key: x}}}}\n"
        price = "prices: {b/m: {input: 1, output: 8}}\n"
        route = "routes: {r: {targets: [b/m, openai/gpt-5], strategy: least_cost}}\n"
        async with pillion(**config_file(host + price + route, tmp_path), **OPENAI.environ(evil.url)) as gateway:
            for tier, by in (("flex", "openai"), ("default", "b")):
                got = await chat(gateway, "r", max_tokens=100, service_tier=tier)
                assert (got.status, got.header("x-pillion-provider")) == (200, by)


async def test_a_strict_budget_holds_whatever_comes_at_once(tmp_path: Path) -> None:
    """Each may cost less than 0.00033, and costs 0.000011: three at a time."""
    async with Evil(answering=lambda _: WHOLE) as evil, priced(evil, tmp_path, BUDGET) as gateway:
        got = await asyncio.gather(*(chat(gateway, max_tokens=20) for _ in range(60)))
        served = [one for one in got if one.status == 200]
        (statement,) = gateway.app.accounting.budgets.statements()
        assert {one.status for one in got} <= {200, 429}
        assert (statement.reserved, statement.spent) == (0, len(served) * 11_000)
        assert statement.spent <= 0.001 * NANOS
        assert len(evil.requests) == len(served) >= 3


async def test_what_was_spent_before_a_restart_counts(tmp_path: Path) -> None:
    async with Evil(WHOLE) as evil:
        async with priced(evil, tmp_path, BUDGET) as gateway:
            assert (await chat(gateway, max_tokens=200)).status == 200
        async with priced(evil, tmp_path, BUDGET.replace("ledger: {create: true}\n", "")) as gateway:
            (statement,) = gateway.app.accounting.budgets.statements()
            assert statement.spent == 11_000


async def test_a_budget_hears_what_was_spent_before_once_its_ledger_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pillion that starts while the one before it still has the ledger counts from nothing until that has ended."""
    monkeypatch.setattr(proxy.store.comeback, "AGAIN", 0.0)
    monkeypatch.setattr(proxy.store.comeback, "REST", 0.0)
    text = "budgets: {all: {usd: 0.00003, window: day, mode: lenient}}\n"
    async with Evil(*[WHOLE] * 3) as evil, AsyncExitStack() as stack:
        async with priced(evil, tmp_path, text) as before:
            assert (await chat(before)).status == 200
            after = await stack.enter_async_context(priced(evil, tmp_path, text))
            assert (await chat(after)).status == 200
        assert (await chat(after)).status == 200
        await soon(lambda: after.app.accounting.budgets.statements()[0].spent == 33_000)
        assert (await chat(after)).status == 429
        (row,) = await booked(after)
        assert sums(row)[:5] == (3, 0, 15, 6, "0.000033")


async def test_a_lenient_budget_goes_on_from_a_ledger_that_can_only_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk, where no slot can be made. It began anew with each start."""
    monkeypatch.setattr(proxy.store.comeback, "AGAIN", 0.0)
    text = "budgets: {all: {usd: 0.00003, window: day, mode: lenient}}\n"
    hindrance = tmp_path / "state" / "ledger.intents.new"
    async with Evil(*[WHOLE] * 4) as evil:
        async with priced(evil, tmp_path, text) as gateway:
            assert (await chat(gateway)).status == 200
        hindrance.mkdir()
        async with priced(evil, tmp_path, text) as gateway:
            (statement,) = gateway.app.accounting.budgets.statements()
            assert statement.spent == 11_000
            assert (await chat(gateway)).status == 200
            assert await spent(gateway) == 22_000
            hindrance.rmdir()
            assert (await chat(gateway)).status == 200
            await soon(lambda: not gateway.app.accounting.ledger.failed)
            assert gateway.app.accounting.budgets.statements()[0].spent == 33_000
            assert (await chat(gateway)).status == 429
            assert await spent(gateway) == 33_000
            (row,) = await booked(gateway)
            assert sums(row)[:5] == (3, 0, 15, 6, "0.000033")


async def spent(gateway: Gateway) -> int:
    """What a budget that comes into force now begins with."""
    return sum(each.nanos for each in await gateway.app.accounting.reckoned({"new": Budget(usd=1.0, mode="lenient")}))


async def test_a_free_model_needs_no_budget(tmp_path: Path) -> None:
    text = BUDGET.replace("0.001", "0")
    async with Evil() as evil, priced(evil, tmp_path, text) as gateway:
        assert (await chat(gateway, "echo/echo")).status == 200
        assert (await chat(gateway, max_tokens=1)).status == 429


async def test_what_a_wire_cannot_carry_was_no_attempt(tmp_path: Path) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    async with Evil() as evil, priced(evil, tmp_path) as gateway:
        got = await chat(gateway, "anthropic/m", messages=[{"role": "user", "content": [sound]}])
        assert (got.status, got.header("x-pillion-attempts"), evil.requests) == (400, "0", [])
        told = (await ask(gateway, "GET", "/metrics")).body.decode()
        assert "pillion_upstream_attempts_total{" not in told


async def test_without_a_word_on_its_length_an_answer_has_the_models_own_bound_or_none(tmp_path: Path) -> None:
    async with Evil() as evil, priced(evil, tmp_path, BUDGET) as gateway:
        got = await chat(gateway)
        assert got.status == 429
        assert "the cost of this request has no known bound" in json.loads(got.body)["error"]["message"]


def stopping(usd: str) -> str:
    """What stops streams that have cost so much."""
    return f"budgets: {{all: {{usd: 1, unbounded_usd: {usd}, stop_streams: true}}}}\nledger: {{create: true}}\n"


@pytest.mark.parametrize("resume", ["false", "true"])
async def test_a_stream_that_has_spent_what_was_set_aside_is_stopped(tmp_path: Path, resume: str) -> None:
    head, chunk = OPENAI.stream.split(b"\n\n")[:2]
    long = head + b"\n\n" + (chunk + b"\n\n") * 1000
    endless = Scenario(body=long, headers=SSE, framing="chunked", cut_at=len(long) - 1, how="stall", split=2000)
    rules, other = stopping("0.00002"), {"PILLION_FAILOVER_RESUME": resume}
    async with Evil(endless) as evil, priced(evil, tmp_path, rules, **other) as gateway:
        got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(stream=True, model="openai/m"))
        assert got.status == 200
        assert OPENAI.error(OPENAI.last_event(got.body))["code"] == "insufficient_quota"
        assert not OPENAI.ends_whole(got.body)
        await evil.closed()
        (statement,) = gateway.app.accounting.budgets.statements()
        assert statement.reserved == 0
        assert 0.00002 * NANOS < statement.spent < 0.004 * NANOS
        assert b"pillion_upstream_errors_total{" not in (await ask(gateway, "GET", "/metrics")).body  # nor its fault


async def test_a_short_stream_is_stopped_too(tmp_path: Path) -> None:
    head, chunk, *rest = [event + b"\n\n" for event in OPENAI.stream.split(b"\n\n")[:-1]]
    short = b"".join([head, *[chunk] * 20, *rest])
    assert len(short) < LOOK
    split = Scenario(body=short, headers=SSE, framing="chunked", split=200)
    async with Evil(split) as evil, priced(evil, tmp_path, stopping("0.00002")) as gateway:
        got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(stream=True, model="openai/m"))
        assert OPENAI.error(OPENAI.last_event(got.body))["code"] == "insufficient_quota"
        assert not OPENAI.ends_whole(got.body)


async def test_a_stream_is_stopped_whatever_its_beginning_says_of_its_cost(tmp_path: Path) -> None:
    """Anthropic's says what was read, and no word of what will be written."""
    *head, chunk = [event + b"\n\n" for event in ANTHROPIC.stream.split(b"\n\n")[:3]]
    long = b"".join([*head, *[chunk] * 5000])
    endless = Scenario(body=long, headers=SSE, framing="chunked", cut_at=len(long) - 1, how="stall")
    async with Evil(endless) as evil, priced(evil, tmp_path, stopping("0.00002")) as gateway:
        got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(stream=True, model="anthropic/m"))
        assert OPENAI.error(OPENAI.last_event(got.body))["code"] == "insufficient_quota"


async def test_a_stream_is_not_stopped_for_what_another_attempt_has_cost(tmp_path: Path) -> None:
    head, chunk, *rest = [event + b"\n\n" for event in OPENAI.stream.split(b"\n\n")[:-1]]
    long = Scenario(body=b"".join([head, *[chunk] * 100, *rest]), headers=SSE, framing="chunked", split=2000)
    cut = Scenario(body=head, headers=SSE, framing="chunked", cut_at=len(head) - 1)
    again = {"PILLION_RETRY_MAX_RETRIES": "1", "PILLION_RETRY_INITIAL_DELAY": "0"}
    async with Evil(cut, long) as evil, priced(evil, tmp_path, stopping("0.0019"), **again) as gateway:
        got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(True, "openai/m", user="x" * 4000))
        assert (len(evil.requests), OPENAI.ends_whole(got.body), len(got.body) > LOOK) == (2, True, True)
        (row,) = await booked(gateway)
        assert (row["requests"], row["errors"]) == (2, 1)
        assert 0.002 < float(row["cost_usd"]) < 2 * 0.0019


async def test_no_ledger_is_no_reason_to_refuse_without_a_budget(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    async with Evil(WHOLE) as evil, priced(evil, tmp_path) as gateway:
        assert (await chat(gateway)).status == 200
        assert gateway.app.accounting.ledger.failed


def test_the_config_is_what_these_tests_mean() -> None:
    config: Config = load(environ={})
    assert (config.unknown_price, config.budgets, config.ledger.synchronous) == ("dearest", {}, "normal")


async def test_what_begins_at_midnight_is_in_one_day_for_budgets_and_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is read once for both, so that a restart counts what was counted."""
    midnight = 1_800_000_000 // 86400 * 86400
    row = "budgets: {it: {usd: 1, window: day, mode: lenient}}\n"
    async with Evil(WHOLE) as evil, priced(evil, tmp_path, row) as gateway:
        budgets = gateway.app.accounting.budgets
        monkeypatch.setattr(cost, "time", SimpleNamespace(time=lambda: midnight - 0.001))
        monkeypatch.setattr(budgets, "_clock", lambda: midnight + 0.001)
        assert (await chat(gateway)).status == 200
        assert [day["day"] for day in await booked(gateway, "day")] == ["2027-01-14"]
        assert [row.spent for row in budgets.statements()] == [0]
        monkeypatch.setattr(budgets, "_clock", lambda: midnight - 1.0)
        assert [row.spent for row in budgets.statements()] == [11_000]
