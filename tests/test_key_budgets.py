"""Has a client key a budget of its own wherever it is from, from its first request on, and across whatever comes?"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.access.budgeted import budgets_of, in_vain
from proxy.access.keyring import FILE, Minted, Rows, change, read
from proxy.budgets import Spent
from proxy.config import Budget, KeyBudget, load, spending
from proxy.config.secret import digest_of
from proxy.errors import ConfigError, LedgerUnavailable
from proxy.process.reloading import FAILURE
from tests.client import OPENAI, Got, ask, showing
from tests.client import chat as asked
from tests.evil import Evil
from tests.gateway import Gateway, pillion
from tests.test_config_spending import ISSUED, loaded
from tests.test_cost import WHOLE, priced
from tests.test_keys import Typed, folder, typed
from tests.test_reload import Changing, another_has_the_ledger, changing, levels, provider
from tests.test_tokens import AUDIENCE, ISSUER, SET, publish, token
from tests.waiting import soon

__all__ = ["folder", "levels", "typed"]  # fixtures

CREATED = datetime(2026, 1, 2, tzinfo=UTC)
CENT = KeyBudget(usd=0.01, mode="lenient", window="total")


def minted(name: str, budget: KeyBudget | None = CENT, key: str = "") -> Minted:
    return Minted(name=name, sha256=digest_of(key or name).hex(), created=CREATED, budget=budget)


def keep(path: Path, *rows: Minted) -> None:
    change(path / "state", lambda _: rows)


async def chat(gateway: Gateway, key: str, model: str = "openai/m") -> Got:
    return await asked(gateway, OPENAI, OPENAI.request(model=model), showing(key))


async def standing(gateway: Gateway, key: str = "") -> dict[str, Mapping[str, Any]]:
    """By name, as `/v1/budgets` tells it."""
    got = await ask(gateway, "GET", "/v1/budgets", headers=showing(key) if key else ())
    assert got.status == 200, got.body
    return {row["name"]: row for row in json.loads(got.body)["data"]}


def left(gateway: Gateway) -> dict[str, int]:
    return {row.name: row.spent for row in gateway.app.accounting.budgets.statements()}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second is waited for before the file is looked at, or a try is made, again."""
    monkeypatch.setattr("proxy.access.clients.LOOK_AGAIN", 0.0)
    monkeypatch.setattr("proxy.spending.adoption.AGAIN", 0.0)


async def test_a_try_that_is_under_way_ends_with_pillion() -> None:
    async with pillion() as gateway, gateway.app.accounting.turn:
        trying = gateway.app.adoption.begin()
        assert trying is not None
        await asyncio.sleep(0)
        await gateway.app.adoption.close()
        assert trying.cancelled()


# --- of the configuration --------------------------------------------------------------------------------------------


def test_it_is_a_budget_of_that_client_by_its_name(tmp_path: Path) -> None:
    text = "keys: {app: {key: x, budget: {usd: 2, window: day, unbounded_usd: 1}}}\nbudgets: {all: {usd: 9}}"
    config = loaded(text, tmp_path)
    assert config.budgets == {
        "all": Budget(usd=9),
        "app": Budget(usd=2, window="day", client="app", unbounded_usd=1),
    }


@pytest.mark.parametrize(
    ("budgets", "problem"),
    [
        (
            "app: {usd: 1, provider: echo}",
            "keys.app.budget: has the same name as a row of `budgets`, app: remove one",
        ),
        ("its: {usd: 1, client: app}", "keys.app.budget: covers the same as its"),
    ],
)
def test_two_that_contradict_each_other_are_a_mistake(budgets: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(f"keys: {{app: {{key: x, budget: {{usd: 2}}}}}}\nbudgets: {{{budgets}}}", tmp_path)
    assert problem in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ("{}", "keys.a.budget: usd is missing"),
        ("{usd: -1}", "keys.a.budget.usd: expected a number of dollars, at least 0"),
        ("{usd: 1, client: b}", "keys.a.budget.client: unknown key"),
        ("{usd: 1, model: echo/x}", "keys.a.budget.model: unknown key"),
        (
            "{usd: 9000001}\nstore: redis://h",
            "keys.a.budget.usd: must not exceed 9,000,000 dollars, because it is shared through `store`",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(budget: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=problem.replace(".", r"\.")):
        loaded("keys:\n  a:\n    key: x\n    budget: " + budget, tmp_path)


async def test_it_stops_that_key_and_is_shown_to_it_alone(tmp_path: Path) -> None:
    text = """
keys:
  ann: {key: ann, budget: {usd: 0.000011, mode: lenient}}
  bob: {key: bob, budget: {usd: 0.01}}
ledger: {create: true}
"""
    async with Evil(WHOLE, WHOLE) as evil, priced(evil, tmp_path, text) as gateway:
        assert [(await chat(gateway, key)).status for key in ("ann", "ann")] == [200, 429]
        hers, his = await standing(gateway, "ann"), await standing(gateway, "bob")
        assert (list(hers), list(his)) == (["ann"], ["bob"])
        assert (hers["ann"]["client"], hers["ann"]["spent_usd"]) == ("ann", "0.000011")


# --- minted ----------------------------------------------------------------------------------------------------------


async def test_a_minted_ones_is_in_force_from_the_start_and_after_a_restart(tmp_path: Path) -> None:
    keep(tmp_path, minted("ann", KeyBudget(usd=0.000022, mode="lenient")))
    async with Evil(WHOLE, WHOLE) as evil:
        async with priced(evil, tmp_path) as gateway:
            assert (await chat(gateway, "ann")).status == 200
        async with priced(evil, tmp_path) as gateway:
            assert left(gateway) == {"ann": 11_000}
            assert [(await chat(gateway, "ann")).status for _ in range(2)] == [200, 429]


async def test_one_that_is_minted_meanwhile_is_let_in_with_all_that_its_name_has_spent(tmp_path: Path) -> None:
    """By the first request that shows it; and when it is revoked its budget is gone."""
    keep(tmp_path, minted("ann", None, "old"), minted("bob", None))
    async with Evil(*[WHOLE] * 4) as evil, priced(evil, tmp_path) as gateway:
        assert (await chat(gateway, "old")).status == 200
        assert left(gateway) == {}
        keep(tmp_path, minted("ann", key="new"), minted("bob", None))
        assert (await chat(gateway, "new")).status == 200
        assert left(gateway) == {"ann": 22_000}
        assert (await chat(gateway, "old")).status == 401
        keep(tmp_path, minted("ann", KeyBudget(usd=0.000033, mode="lenient", window="total"), "new"))
        assert [(await chat(gateway, "new")).status for _ in range(2)] == [200, 429]
        keep(tmp_path, minted("bob", None))
        assert (await chat(gateway, "new")).status == 401
        await soon(lambda: left(gateway) == {})


async def test_all_who_show_it_at_once_are_let_in_when_it_is_in_force(tmp_path: Path) -> None:
    keep(tmp_path, minted("bob", None))
    async with Evil(*[WHOLE] * 3) as evil, priced(evil, tmp_path) as gateway:
        keep(tmp_path, minted("ann", KeyBudget(usd=1, mode="lenient", unbounded_usd=0.01)), minted("bob", None))
        got = await asyncio.gather(*(chat(gateway, "ann") for _ in range(3)))
        assert [each.status for each in got] == [200] * 3


async def test_no_request_passes_by_it_while_it_comes_into_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The ledger cannot say what was spent: the key stays out, which is told once, until it can."""
    keep(tmp_path, minted("bob", None))
    async with Evil(WHOLE) as evil, priced(evil, tmp_path) as gateway:

        async def fail() -> list[Spent]:
            raise LedgerUnavailable("The ledger cannot be read now.")

        with monkeypatch.context() as broken:
            broken.setattr(gateway.app.accounting.ledger, "reckoned", fail)
            keep(tmp_path, minted("ann"), minted("bob", None))
            assert [(await chat(gateway, "ann")).status for _ in range(3)] == [401] * 3
            assert evil.requests == []
        assert (await chat(gateway, "ann")).status == 200
        assert left(gateway) == {"ann": 11_000}
    told = [record for record in caplog.records if getattr(record, "event", "") == "key_waits"]
    assert [record.getMessage().partition("in force: ")[2] for record in told] == ["The ledger cannot be read now."]


async def test_the_first_strict_one_is_in_force_at_once_and_counts_what_its_name_has_spent(tmp_path: Path) -> None:
    keep(tmp_path, minted("ann", None))
    async with Evil(WHOLE) as evil, priced(evil, tmp_path) as gateway:
        assert (await chat(gateway, "ann")).status == 200
        keep(tmp_path, minted("ann", KeyBudget(usd=0.000011), key="another"))
        got = await chat(gateway, "another")
        assert (got.status, OPENAI.error(got.body)["code"]) == (429, "insufficient_quota")
        assert left(gateway) == {"ann": 11_000}
        assert gateway.app.accounting.ledger.is_hard


async def test_without_a_ledger_that_it_may_count_on_it_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(tmp_path, minted("bob", None))
    with another_has_the_ledger(tmp_path):
        async with Evil(WHOLE) as evil, priced(evil, tmp_path) as gateway:
            keep(tmp_path, minted("ann", KeyBudget(usd=1)))
            assert [(await chat(gateway, "ann")).status for _ in range(2)] == [401] * 2
            assert not gateway.app.accounting.ledger.is_hard
    assert "because their budgets cannot be put in force: a strict budget needs the ledger, but" in caplog.text


@asynccontextmanager
async def waiting(evil: Evil, path: Path, text: str) -> AsyncIterator[Gateway]:
    """One that lets in no key with a strict budget, having no ledger."""
    with another_has_the_ledger(path):
        async with priced(evil, path, text) as gateway:
            yield gateway


def issued(path: Path, more: str = "") -> str:
    """A configuration that takes tokens."""
    publish(path / "jwks.json", *SET["keys"])
    return f"jwt: {{jwks: {path}/jwks.json, issuer: '{ISSUER}', audience: {AUDIENCE}{more}}}\n"


async def test_a_key_that_has_waited_for_its_budget_is_no_bad_token(tmp_path: Path) -> None:
    keep(tmp_path, minted("bob", None))
    async with Evil(WHOLE, WHOLE) as evil, priced(evil, tmp_path, issued(tmp_path)) as gateway:
        keep(tmp_path, minted("ann"), minted("bob", None))
        assert [(await chat(gateway, key)).status for key in ("ann", "bob", "nobody")] == [200, 200, 401]
        assert left(gateway) == {"ann": 11_000}


@pytest.mark.parametrize("keys", ["", ", keys: {ann: ann}"], ids=["by its claim", "by the key it is mapped to"])
async def test_no_token_is_let_in_by_the_name_of_a_key_that_waits(keys: str, tmp_path: Path) -> None:
    async with Evil(WHOLE) as evil, waiting(evil, tmp_path, issued(tmp_path, keys)) as gateway:
        keep(tmp_path, minted("ann", KeyBudget(usd=1)))
        got = await chat(gateway, token(sub="ann"))
        assert (got.status, evil.requests) == (401, [])
        assert "The client key ann cannot be used until its budget is in force" in OPENAI.error(got.body)["message"]
        keep(tmp_path, minted("ann"))
        assert (await chat(gateway, token(sub="ann"))).status == (200 if keys else 401)
        assert left(gateway) == {"ann": 11_000 if keys else 0}


def settings(evil: Evil, **more: Any) -> dict[str, Any]:
    return {"providers": provider(evil), "prices": {"openai/m": {"input": 1, "output": 3}}, **more}


async def test_a_reload_lets_it_be_and_refuses_what_contradicts_it(tmp_path: Path) -> None:
    keep(tmp_path, minted("ann"))
    async with Evil(WHOLE, WHOLE) as evil, changing(tmp_path, **settings(evil)) as gateway:
        assert (await chat(gateway, "ann")).status == 200
        await gateway.change(**settings(evil, budgets={"all": {"usd": 1, "mode": "lenient"}}))
        assert left(gateway) == {"ann": 11_000, "all": 11_000}
        for name, row in {"ann": {"provider": "openai"}, "its": {"client": "ann", "window": "total"}}.items():
            gateway.write(**settings(evil, budgets={name: {"usd": 1, "mode": "lenient", **row}}))
            assert await gateway.reload() == FAILURE
        assert (await chat(gateway, "ann")).status == 200
        assert left(gateway) == {"ann": 22_000, "all": 22_000}
        await gateway.change(**settings(evil, keys={"ann": {"key": "configured"}}))  # the minted one counts for nothing
        assert left(gateway) == {}


async def test_one_that_was_away_while_a_reload_came_is_not_let_in_without_it(tmp_path: Path) -> None:
    keep(tmp_path, minted("ann"))
    async with Evil(WHOLE) as evil, changing(tmp_path, **settings(evil)) as gateway:
        keep(tmp_path)
        await gateway.change(**settings(evil, strict=True))
        assert left(gateway) == {}
        keep(tmp_path, minted("ann"))
        assert (await chat(gateway, "ann")).status == 200
        assert left(gateway) == {"ann": 11_000}


async def test_what_is_minted_while_a_reload_is_under_way_counts_once(tmp_path: Path) -> None:
    keep(tmp_path, minted("bob", None))
    async with Evil(*[WHOLE] * 20) as evil, changing(tmp_path, **settings(evil)) as gateway:
        for turn in range(5):
            rows = [minted("bob", None), *(minted(f"k{n}") for n in range(turn + 1))]
            keep(tmp_path, *rows)
            gateway.write(**settings(evil, strict=bool(turn % 2)))
            gateway.reloads.ask()
            assert (await chat(gateway, f"k{turn}")).status == 200
            await settled(gateway)
        await soon(lambda: not gateway.app.clients.ring.is_due)
        assert left(gateway) == {f"k{n}": 11_000 for n in range(5)}


async def settled(gateway: Changing) -> None:
    await soon(lambda: not gateway.app.accounting.turn.locked())


def test_a_minted_one_that_contradicts_the_configuration_lets_nothing_start(tmp_path: Path) -> None:
    config = load(environ={"PILLION_STATE_DIR": str(tmp_path)})
    rows: Rows = (minted("ann"), minted("bob", None))
    assert budgets_of(config, rows) == {"ann": Budget(usd=0.01, mode="lenient", window="total", client="ann")}
    same = config._replace(budgets={"ann": Budget(usd=1), "its": Budget(usd=1, client="bob", window="total")})
    with pytest.raises(ConfigError) as caught:
        budgets_of(same, (minted("ann"), minted("bob")))
    first, second = str(caught.value).splitlines()
    assert first.startswith("the budget of the minted key ann has the same name as a row of `budgets`, ann: ")
    assert second.startswith("the budget of the minted key bob covers the same as its")


def test_a_budget_is_not_compared_with_each_of_all_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There may be ten thousand keys with a budget each, and they are looked at whenever one more is minted."""
    asked, scope = list[Budget](), spending._scope

    def seen(budget: Budget) -> tuple[str | None, ...]:
        asked.append(budget)
        return scope(budget)

    monkeypatch.setattr(spending, "_scope", seen)
    config = load(environ={"PILLION_STATE_DIR": str(tmp_path)})
    assert len(budgets_of(config, tuple(minted(f"client-{n}") for n in range(100)))) == 100
    assert len(asked) <= 200


# --- the command -----------------------------------------------------------------------------------------------------


def test_it_is_minted_kept_and_listed(folder: Path, typed: Typed) -> None:
    typed.add("ann", "--budget", "0.5", "--budget-window", "day", "--budget-mode", "lenient")
    typed.add("bob")
    assert [row.budget for row in read(folder / FILE)] == [KeyBudget(usd=0.5, window="day", mode="lenient"), None]
    assert "budget" not in json.loads((folder / FILE).read_text())["keys"][1]  # an older pillion reads it
    heads, ann, bob = typed("list")[1].splitlines()
    assert heads.endswith("BUDGET")
    assert ann.endswith("$0.5 a day, lenient")
    assert bob.endswith(" -")
    first, second = json.loads(typed("list", "--json")[1])
    assert (first["budget"]["usd"], first["budget"]["window"], second["budget"]) == (0.5, "day", None)


def test_who_mints_the_first_strict_one_hears_what_it_takes(folder: Path, typed: Typed) -> None:
    assert "first strict budget here, and it needs the ledger" in typed("add", "ann", "--budget", "5")[2]
    assert "first strict budget" not in typed("add", "bob", "--budget", "5")[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--budget-window day", "pillion: --budget-window needs --budget"),
        ("--budget -1", "argument --budget: must be a number of dollars"),
        ("--budget much", "argument --budget: must be a number of dollars"),
        ("--budget 1 --budget-window year", "argument --budget-window: invalid choice"),
        ("--budget 1", "pillion: the budget of the minted key ann has the same name as a row of `budgets`"),
    ],
)
def test_what_makes_no_sense_mints_nothing(
    words: str,
    said: str,
    folder: Path,
    typed: Typed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "c.yaml").write_text("budgets: {ann: {usd: 1}}")
    monkeypatch.setenv("PILLION_CONFIG", str(tmp_path / "c.yaml"))
    code, out, complaint = typed("add", "ann", *words.split())
    assert (code, out) == (2, "")
    assert said in complaint
    assert not (folder / FILE).exists()


# --- a budget of nobody ----------------------------------------------------------------------------------------------

NOBODY = "budgets.b.client: there is no client key named nobody, so this budget counts nothing"
REFUSED = "jwt.keys.sub: there is no client key named nobody, so these tokens are refused"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", [NOBODY]),
        ("keys: {a: {key: x}}\n", [NOBODY]),
        ("keys: {nobody: {key: x}}\n", []),
        (ISSUED + "}\n", []),  # a token may say any name
        (ISSUED + ", keys: {sub: a}}\nkeys: {a: {key: x}}\n", [NOBODY]),
        (ISSUED + ", keys: {sub: nobody}}\n", [REFUSED, NOBODY]),
    ],
)
def test_a_budget_of_a_client_that_is_not_there_is_told_of(text: str, told: list[str], tmp_path: Path) -> None:
    config = loaded(
        text + "budgets: {b: {usd: 1, client: nobody}, all: {usd: 1}, each: {usd: 1, client: '*'}}", tmp_path
    )
    assert list(in_vain(config, ())) == told
    assert list(in_vain(config, (minted("nobody", None),))) == []


async def test_so_it_is_when_another_configuration_comes_into_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "pillion")
    budgets = {"b": {"usd": 1, "mode": "lenient", "client": "nobody"}}
    async with changing(tmp_path) as gateway:
        await gateway.change(budgets=budgets)
        await gateway.change(budgets=budgets, strict=True)
    assert [record.getMessage() for record in caplog.records if getattr(record, "event", "") == "unknown_client"] == [
        NOBODY
    ]
