"""Do the metrics show money, limits, targets and the cache, and with no more labels than they may?"""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from proxy import config
from proxy.budgets import Alert, Budgets
from proxy.config import Budget, Secret
from proxy.middleware.cache import Cache
from proxy.middleware.metrics import Metrics
from proxy.reports import watched
from proxy.reports.families import Families
from proxy.spending.alerts import Alerts
from proxy.store import Ledger
from tests.client import OPENAI, Place, ask, chat
from tests.evil import Evil, Scenario
from tests.gateway import config_file, pillion
from tests.nowhere import refusing

FAILING = Scenario(status=500, body=b"no")

Samples = dict[tuple[str, frozenset[str]], float]


async def scraped(gateway: Place) -> Samples:
    """By name, less its prefix, and the values of its labels."""
    text = (await ask(gateway, "GET", "/metrics")).body.decode()
    return {
        (one.name.removeprefix("pillion_"), frozenset(filter(None, one.labels.values()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


async def test_budgets_are_told_by_name_and_client(tmp_path: Path) -> None:
    text = """
providers: {openai: {base_url: URL/v1, api_key: k}}
prices: {openai/m: {input: 1000000, output: 0}}
budgets: {all: {usd: 20, mode: lenient}, own: {usd: 7, window: day, client: '*', mode: lenient}}
"""
    whole = Scenario(body=OPENAI.whole, headers=[("Content-Type", "application/json")])  # five tokens in
    async with Evil(whole) as evil, pillion(**config_file(text.replace("URL", evil.url), tmp_path)) as gateway:
        await chat(gateway, OPENAI, OPENAI.request(model="openai/m", max_tokens=1))
        told = await scraped(gateway)
    of_all = frozenset(["all", "month"])
    names = ("limit", "spent", "reserved", "remaining")
    assert [told[f"budget_{name}_usd", of_all] for name in names] == [20, 5, 0, 15]
    assert told["ledger_failed", frozenset()] == 0
    assert told["ledger_lost_rows_total", frozenset()] == 0
    assert ("ledger_pending_rows", frozenset()) in told
    assert told["limit_queue", frozenset()] == 0


async def test_a_refusal_is_told_by_whose_limit_it_is(tmp_path: Path) -> None:
    text = "limits: {client: {requests_per_minute: 1}}"
    async with pillion(**config_file(text, tmp_path)) as gateway:
        for _ in range(3):
            await chat(gateway, OPENAI, OPENAI.request(model="echo/text"))
        told = await scraped(gateway)
    found = {labels: count for (name, labels), count in told.items() if name == "limit_refusals_total"}
    assert found == {frozenset(["client", "requests"]): 2}


async def test_a_targets_state_is_told_and_of_models_that_do_not_count_together(tmp_path: Path) -> None:
    text = "providers: {openai: {base_url: URL/v1, api_key: k, models: [m]}}\nbreaker: {failures: 1}"
    refusing = Scenario(status=404, body=b"{}")
    async with Evil(FAILING, FAILING, refusing) as evil:
        there = config_file(text.replace("URL", evil.url), tmp_path)
        async with pillion(**there, PILLION_BREAKER_FAILURES="1") as gateway:
            for model in ("openai/m", "openai/whatever-a-client-says", "openai/nothing"):
                await chat(gateway, OPENAI, OPENAI.request(model=model))
            told = await scraped(gateway)
    states = {labels: value for (name, labels), value in told.items() if name == "target_state"}
    assert states == {
        frozenset(["openai", model, state]): float(state in found)
        for model, found in (("m", ["open"]), ("other", ["open", "closed"]))
        for state in ("closed", "open", "half_open", "ramp")
    }
    assert [told["target_in_flight", frozenset(["openai", model])] for model in ("m", "other")] == [0, 0]


async def test_a_configured_target_behind_another_counts_by_name_though_no_call_was_its_own(tmp_path: Path) -> None:
    """The client is told the first one's error, and the call counts as that one's."""
    text = """
providers: {openai: {base_url: URL/v1, api_key: k, models: [m]}, gemini: {base_url: "NOBODY", api_key: k}}
failover: {fallback_order: [gemini/next]}
"""
    async with Evil(FAILING) as evil, refusing() as nobody:
        there = config_file(text.replace("URL", evil.url).replace("NOBODY", nobody), tmp_path)
        async with pillion(**there, PILLION_BREAKER_FAILURES="1") as gateway:
            await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
            told = await scraped(gateway)
    for target in (("openai", "m"), ("gemini", "next")):
        assert told["target_state", frozenset([*target, "open"])] == 1


async def test_targets_of_routes_and_of_the_fallback_order_count_by_name(tmp_path: Path) -> None:
    text = """
providers: {openai: {base_url: URL/v1, api_key: k}, gemini: {base_url: URL, api_key: k}}
routes: {r: {targets: [openai/one]}, other: {targets: [google/one]}}
failover: {fallback_order: [openai/next]}
"""
    async with Evil(FAILING, FAILING, FAILING) as evil:
        there = config_file(text.replace("URL", evil.url), tmp_path)
        async with pillion(**there) as gateway:
            for model in ("r", "openai/next", "other"):
                await chat(gateway, OPENAI, OPENAI.request(model=model))
            told = await scraped(gateway)
    for target in (("openai", "one"), ("openai", "next"), ("gemini", "one")):
        assert told["target_state", frozenset([*target, "closed"])] == 1


def values(metrics: Metrics, name: str) -> dict[frozenset[str], float]:
    return {
        frozenset(one.labels.values()): one.value
        for family in Families(metrics.told).collect()
        for one in family.samples
        if one.name == name
    }


async def test_of_clients_own_budgets_those_are_told_that_have_spent_most() -> None:
    rows = {"own": Budget(usd=9, window="total", client="*", mode="lenient")}
    budgets, metrics = Budgets(rows, lambda: 0.0, lambda alert: None), Metrics()
    for n in range(watched.CLIENTS + 50):
        budgets.settle(budgets.reserve(f"c{n}", "p", "m", 1), n)
    alerts = Alerts(Secret(""), lambda url, body: None)  # type: ignore[arg-type,return-value]
    alerts.tell(Alert("threshold", "own", "c1", "total", 8, 9))
    watched.money(metrics, budgets, Ledger(None, config.Ledger(), False), alerts)
    spent = values(metrics, "pillion_budget_spent_usd")
    assert len(spent) == watched.CLIENTS
    assert {client for labels in spent for client in labels} >= {"c50", "c149"}
    assert values(metrics, "pillion_budget_alerts_total") == {frozenset(["threshold", "own"]): 1}


def test_what_the_cache_did_is_told() -> None:
    metrics, cache = Metrics(), Cache(config.Cache())
    cache.hits, cache.misses, cache.shared, cache.answers.evictions = 1, 2, 3, 4
    watched.cache(metrics, cache)
    counts = values(metrics, "pillion_cache_requests_total")
    assert counts == {frozenset(["hit"]): 1, frozenset(["miss"]): 2, frozenset(["shared"]): 3}
    assert values(metrics, "pillion_cache_evictions_total") == {frozenset(): 4}
    assert values(metrics, "pillion_cache_bytes") == values(metrics, "pillion_cache_answers") == {frozenset(): 0}
