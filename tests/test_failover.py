"""Is a call answered by somebody where anybody can, and is nobody asked in vain?"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from time import monotonic
from typing import Any, cast

import pytest

from proxy.access.allowance import ClientKey
from proxy.catalog import Catalog
from proxy.catalog.given import Given
from proxy.config import Failover as Choice
from proxy.config import Retry, Route
from proxy.envelope import Envelope
from proxy.errors import (
    BadRequest,
    Busy,
    Down,
    GatewayError,
    OverBudget,
    Refused,
    Timeout,
    UnknownModel,
    Unrepresentable,
)
from proxy.failover.breaker import Breaker, Rules
from proxy.failover.candidates import NO_MODEL
from proxy.failover.failures import Failures
from proxy.failover.plan import Planner
from proxy.failover.standing import LAST, RESTS, Standings
from proxy.limits.refusal import OverTargetLimit
from proxy.middleware.failover import Failover
from proxy.ports import UNKNOWN, Abilities, Attempt, Call, Reply, Target, answering
from proxy.registry import dialect
from tests.clock import Clock
from tests.test_middleware import call


class Provider:
    """As much of an adapter as failover sees."""

    real = True

    def __init__(
        self, name: str, models: Sequence[str] = ("m",), abilities: Abilities = UNKNOWN, keys: int = 1
    ) -> None:
        self.name, self._models, self._abilities, self.keys = name, models, abilities, keys

    async def models(self, via: str = "") -> list[str]:
        return list(self._models)

    def has(self, model: str) -> bool:
        return model in self._models

    def abilities(self, model: str) -> Abilities:
        return self._abilities

    def may_ask(self, model: str) -> bool:
        return True

    def has_other_key(self, model: str) -> bool:
        self.keys -= 1
        return self.keys > 0


def reset() -> Down:
    return Down("reset", kind="network_error", code="upstream_closed")


def down() -> Down:
    return Down("500", upstream_status=500)


def busy(*headers: tuple[str, str]) -> Busy:
    return Busy("429", upstream_status=429, headers=headers)


def course(call: Call) -> list[Attempt]:
    """Who was passed over or failed, and at the end who has answered."""
    number = answering(call.attempts, [one.number for one in call.history])
    assert call.target is not None
    return [*call.history, *([Attempt(call.target, number)] if number else [])]


class Upstreams:
    """Answers by a script: for each provider what its next attempts come to; then it is fine."""

    def __init__(self, **scripts: Iterable[BaseException | Reply]) -> None:
        self.scripts: dict[str, Iterator[BaseException | Reply]] = {k: iter(v) for k, v in scripts.items()}
        self.asked: list[str] = []
        self.slept: list[float] = []
        self.was_asked = asyncio.Event()

    async def __call__(self, call: Call) -> Reply:
        assert call.target is not None
        name = call.target.adapter.name
        self.asked.append(f"{name}/{call.target.model}")
        call.asked = True
        self.was_asked.set()
        step = next(self.scripts.get(name, iter(())), None) or Reply(200, [], b"{}")
        if isinstance(step, BaseException):
            raise step
        return step

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class World:
    def __init__(
        self,
        providers: Sequence[Provider],
        upstreams: Upstreams,
        *,
        routes: dict[str, Route] | None = None,
        choice: Choice | None = None,
        retry: Retry | None = None,
        defaults: dict[str, str] | None = None,
        local: Iterable[str] = (),
        rules: Rules | None = None,
        is_well: Callable[[str], bool] = lambda name: True,
        cost: Callable[[Any, Any], int | None] = lambda call, target: None,
        alone: bool = False,
    ) -> None:
        self.adapters: Any = {provider.name: provider for provider in providers}
        catalog = Catalog(self.adapters, Given())
        planner = Planner(catalog, routes or {}, choice or Choice(), defaults or {}, local, alone)
        self.standings = Standings(rules or Rules())
        self.upstreams = upstreams
        self.failover = Failover(planner, self.standings, retry or Retry(), 120.0, cost, is_well, sleep=upstreams.sleep)

    async def ask(self, model: str = "a/m", body: bytes = b"{}", **fields: Any) -> Call:
        call = self.call(model, body, **fields)
        await self.failover(call, self.upstreams)
        return call

    def call(self, model: str = "a/m", body: bytes = b"{}", **fields: Any) -> Call:
        made = Call(
            id="1", operation="chat", dialect=dialect("openai_chat"), headers={}, query={}, receive=_nothing,
            started=monotonic(), **fields,
        )  # fmt: skip
        made.model, made.envelope = model, Envelope(body)
        return made


async def _nothing() -> bytes:
    return b""


def three(upstreams: Upstreams, **more: Any) -> World:
    return World([Provider("a"), Provider("b"), Provider("c")], upstreams, **more)


# --- the same target again -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [reset, down, busy])
async def test_what_may_pass_is_asked_again(error: Callable[[], GatewayError]) -> None:
    upstreams = Upstreams(a=[error(), error()])
    call = await three(upstreams).ask()
    assert (upstreams.asked, call.attempts) == (["a/m"] * 3, 3)
    assert len(upstreams.slept) == 2
    assert 0 <= upstreams.slept[0] <= 0.5
    assert 0 <= upstreams.slept[1] <= 1.0


async def test_only_as_often_as_may_be() -> None:
    upstreams = Upstreams(a=[down() for _ in range(9)])
    with pytest.raises(Down):
        await World([Provider("a")], upstreams, retry=Retry(max_retries=1)).ask()
    assert upstreams.asked == ["a/m"] * 2


async def test_what_the_provider_asks_for_is_waited() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "3"))])
    await three(upstreams).ask()
    assert 3 <= upstreams.slept[0] <= 3.5


async def test_who_wants_to_be_left_alone_for_long_is() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "30"))])
    call = await three(upstreams).ask()
    assert (upstreams.asked, upstreams.slept, call.target.adapter.name) == (["a/m", "b/m"], [], "b")  # type: ignore[union-attr]


async def test_all_requests_together_repeat_a_share_alone() -> None:
    upstreams = Upstreams(a=[down() for _ in range(1000)])
    world = World([Provider("a")], upstreams, rules=Rules(failures=10**6, least=10**6))
    for _ in range(100):
        with pytest.raises(Down):
            await world.ask()
    assert len(upstreams.asked) <= 100 * 1.2 + 3


async def test_no_attempt_is_begun_after_the_clients_own_time() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "5"))])
    with pytest.raises(Busy):
        await World([Provider("a")], upstreams).ask(timeout=4.0)
    assert upstreams.asked == ["a/m"]


REFUSED_KEY = Refused("no", status=401, kind="authentication")
REFUSED_KEY.of_key = True


@pytest.mark.parametrize(
    ("error", "left", "asked"),
    [
        (reset(), -1.0, ["a/m"]),  # neither the same target again nor another one
        (REFUSED_KEY, -1.0, ["a/m"]),
        (busy(("retry-after", "5")), 2.0, ["a/m", "b/m"]),  # there is no time left to wait, and some to ask elsewhere
        (REFUSED_KEY, 2.0, ["a/m", "a/m"]),
    ],
)
async def test_no_attempt_is_begun_after_the_operators_deadline(
    error: GatewayError, left: float, asked: list[str]
) -> None:
    upstreams = Upstreams(a=[error])
    world = World([Provider("a", keys=4), Provider("b")], upstreams)
    call = world.call()
    call.started -= world.failover.deadline - left
    with nullcontext() if left > 0 else pytest.raises(type(error)):
        await world.failover(call, upstreams)
    assert (upstreams.asked, upstreams.slept) == (asked, [0.0] if asked == ["a/m", "a/m"] else [])


async def test_another_target_has_what_is_left_of_it_and_is_not_asked_when_it_is_over() -> None:
    async def ask(timeout: float) -> tuple[Upstreams, Call]:
        upstreams = Upstreams(a=[Timeout("x", code="total_timeout")])
        world = World([Provider("a"), Provider("b")], upstreams)
        call = world.call(timeout=timeout)
        call.started -= 3.0  # that the first one has taken
        with suppress(Timeout):
            await world.failover(call, upstreams)
        return upstreams, call

    upstreams, call = await ask(10.0)
    assert upstreams.asked == ["a/m", "b/m"]
    assert call.left() == pytest.approx(7, abs=0.6)
    upstreams, _ = await ask(2.0)
    assert upstreams.asked == ["a/m"]


async def test_another_key_is_tried_at_once() -> None:
    refused, elsewhere = Refused("no", status=401, kind="authentication"), Down("x", upstream_status=500)
    refused.of_key = True
    upstreams = Upstreams(a=[refused, refused, elsewhere])
    await World([Provider("a", keys=4), Provider("b")], upstreams, retry=Retry(max_retries=0)).ask()
    assert (upstreams.asked, upstreams.slept) == (["a/m"] * 3 + ["b/m"], [0.0, 0.0])


async def test_only_the_kinds_that_the_operator_names_are_asked_again() -> None:
    upstreams = Upstreams(a=[down()])
    await three(upstreams, retry=Retry(retryable_errors=["rate_limit"])).ask()
    assert upstreams.asked == ["a/m", "b/m"]


# --- another target --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        Down("x", upstream_status=500), Refused("no", status=401, kind="authentication", upstream_status=401),
        Busy("q", kind="quota_exceeded", upstream_status=429), Refused("?", status=404, upstream_status=404),
        Timeout("t", code="first_event_timeout"), reset(),
    ],
)  # fmt: skip
async def test_another_is_asked_where_one_cannot(error: GatewayError) -> None:
    upstreams = Upstreams(a=[error])
    call = await three(upstreams, retry=Retry(max_retries=0)).ask()
    assert upstreams.asked == ["a/m", "b/m"]
    assert [(repr(one.target), one.code) for one in course(call)] == [
        ("<Target a/m>", error.code),
        ("<Target b/m>", ""),
    ]


@pytest.mark.parametrize("error", [Refused("bad", upstream_status=400), BadRequest("bad"), Unrepresentable("no")])
async def test_what_is_wrong_everywhere_is_asked_once(error: GatewayError) -> None:
    upstreams = Upstreams(a=[error])
    with pytest.raises(type(error)):
        await three(upstreams).ask()
    assert upstreams.asked == ["a/m"]


async def test_the_first_error_is_told_where_nobody_can() -> None:
    upstreams = Upstreams(a=[Down("first", upstream_status=500)], b=[Down("second")], c=[Busy("third")])
    world = three(upstreams, retry=Retry(max_retries=0))
    call = world.call()
    with pytest.raises(Down, match="first"):
        await world.failover(call, upstreams)
    assert (upstreams.asked, repr(call.target)) == (["a/m", "b/m", "c/m"], "<Target a/m>")


async def test_the_order_is_the_operators_then_any_and_those_at_home_last() -> None:
    fails = {name: [Down("x")] for name in "abcde"}
    providers = [Provider("a"), Provider("home"), Provider("b"), Provider("c"), Provider("d", models=["other"])]
    upstreams = Upstreams(**fails)
    world = World(
        providers, upstreams, choice=Choice(fallback_order=["c/special"]), local=["home"], retry=Retry(max_retries=0)
    )
    await world.ask()
    assert upstreams.asked == ["a/m", "c/special", "b/m", "home/m"]


async def test_who_has_no_such_model_is_asked_for_its_default_or_passed_over() -> None:
    providers = [Provider("a"), Provider("b", models=["x"]), Provider("c", models=["y"])]
    upstreams = Upstreams(a=[Down("x")])
    await World(providers, upstreams, defaults={"c": "y"}, retry=Retry(max_retries=0)).ask()
    assert upstreams.asked == ["a/m", "c/y"]


async def test_who_is_passed_over_for_that_is_told() -> None:
    providers = [Provider("a"), Provider("b", models=["x"]), Provider("c"), Provider("d", models=[])]
    choice, fails = Choice(fallback_order=["b"]), Upstreams(a=[Down("x")], c=[Down("x")])
    world = World(providers, fails, choice=choice, retry=Retry(max_retries=0))
    world.failover.planner.catalog._assumed = [world.adapters["d"]]
    call = world.call()
    with pytest.raises(Down):
        await world.failover(call, fails)
    told = [("<Target a/m>", ""), ("<Target b/m>", NO_MODEL), ("<Target c/m>", "")]
    assert [(repr(one.target), one.skipped) for one in call.history] == told
    assert list(await world.failover.rest(call, fails, [one.target for one in call.history])) == []
    assert len(call.history) == len(told)  # a stream that breaks asks once more whom there is
    call = world.call(key=ClientKey(name="me", providers=("a", "c")))
    await world.failover.rehearse(call)
    assert [one.skipped for one in call.history] == ["", "not allowed", ""]


async def test_a_key_that_may_use_no_target_of_a_route_is_told_so() -> None:
    """It read that the first one had failed too often."""
    world = three(upstreams := Upstreams(), routes=route("a/m", "b/m"))
    with pytest.raises(GatewayError) as caught:
        await world.ask("smart", key=ClientKey(name="me", models=("c/m",)))
    assert (caught.value.status, caught.value.code, upstreams.asked) == (403, "model_not_allowed", [])


class Unasked(Provider):
    """Nobody has asked it for its list yet."""

    lists = 0

    async def models(self, via: str = "") -> list[str]:
        self.lists += 1
        return await super().models(via)

    def has(self, model: str) -> bool:
        return self.lists > 0 and super().has(model)


@pytest.mark.parametrize("choice", [Choice(), Choice(fallback_order=["c"], others=False), Choice(fallback_order=["c"])])
async def test_who_was_never_asked_for_a_list_is_asked_when_the_first_one_has_failed(choice: Choice) -> None:
    providers = [Unasked("a"), Unasked("b"), Unasked("c"), Unasked("down")]
    upstreams = Upstreams(a=[Down("x")], b=[Down("x")])
    retry = Retry(max_retries=0)
    world = World(providers, upstreams, choice=choice, retry=retry, is_well=lambda name: name != "down")
    with pytest.raises(BadRequest):
        await World([Unasked("z"), *providers], Upstreams(z=[BadRequest("no")])).ask("z/m")
    assert [one.lists for one in providers] == [0, 0, 0, 0]  # a request that is wrong everywhere waits for nobody
    await world.ask()
    assert upstreams.asked[-1] == "c/m"
    assert [one.lists for one in providers] == [0, int(choice.others), 1, 0]


@pytest.mark.parametrize("more", [{"alone": True}, {"choice": Choice(others=False)}])
async def test_who_wants_one_provider_alone_has_it(more: dict[str, Any]) -> None:
    upstreams = Upstreams(a=[Down("x")])
    with pytest.raises(Down):
        await three(upstreams, retry=Retry(max_retries=0), **more).ask()
    assert upstreams.asked == ["a/m"]


def priced(call: Call, target: Target) -> int | None:
    return {"a": 50, "b": 100, "c": 1, "d": 20}.get(target.adapter.name)


async def test_a_spent_budget_sends_to_a_cheaper_one_only_where_it_says_so() -> None:
    def spent(cheaper: bool) -> OverBudget:
        error = OverBudget("spent")
        error.cheaper = cheaper
        return error

    upstreams = Upstreams(a=[spent(True)], d=[down()])
    providers = [Provider(name) for name in "abcde"]  # of e nobody knows what it costs
    call = await World(providers, upstreams, cost=priced, retry=Retry(max_retries=0)).ask()
    assert upstreams.asked == ["a/m", "d/m", "c/m"]
    assert {one.target.adapter.name: one.skipped for one in call.history if one.skipped} == {
        "b": "not cheaper", "e": "not cheaper"
    }  # fmt: skip
    with pytest.raises(OverBudget):
        await three(Upstreams(a=[spent(False)]), cost=priced).ask()


async def test_behind_a_spent_budget_nobody_dearer_is_asked() -> None:
    error = OverBudget("spent")
    error.cheaper = True
    upstreams = Upstreams(c=[error])
    with pytest.raises(OverBudget):
        await three(upstreams, cost=priced).ask("c/m")
    assert upstreams.asked == ["c/m"]


async def test_where_one_has_failed_a_spent_budget_of_the_next_is_passed_over() -> None:
    upstreams = Upstreams(a=[down()], b=[OverBudget("spent")])
    await three(upstreams, retry=Retry(max_retries=0)).ask()
    assert upstreams.asked == ["a/m", "b/m", "c/m"]
    upstreams = Upstreams(a=[down()], b=[OverBudget("spent")], c=[OverBudget("spent")])
    with pytest.raises(Down):
        await three(upstreams, retry=Retry(max_retries=0)).ask()


async def test_a_name_that_means_nothing_is_no_attempt() -> None:
    world = three(Upstreams())
    call = world.call("nobody")
    with pytest.raises(UnknownModel):
        await world.failover(call, world.upstreams)
    assert (call.target, call.attempts) == (None, 0)


# --- routes ----------------------------------------------------------------------------------------------------------


def route(*targets: str, strategy: str = "order", weights: Sequence[int] = ()) -> dict[str, Route]:
    rows = tuple(zip(targets, weights or [1] * len(targets), strict=True))
    return {"smart": Route(rows, strategy, None)}


async def test_a_route_goes_to_its_targets_and_no_others() -> None:
    upstreams = Upstreams(b=[Down("x")], c=[Down("x")])
    world = three(upstreams, routes=route("b/one", "c/two"), retry=Retry(max_retries=0))
    with pytest.raises(Down):
        await world.ask("smart")
    assert upstreams.asked == ["b/one", "c/two"]


async def test_weights_share_out_the_requests() -> None:
    upstreams = Upstreams()
    world = three(upstreams, routes=route("a/m", "b/m", strategy="weighted", weights=[9, 1]))
    for _ in range(1000):
        await world.ask("smart")
    assert 850 <= upstreams.asked.count("a/m") <= 950


async def test_the_cheapest_is_asked_first() -> None:
    prices = {"a": 3, "b": None, "c": 1}
    upstreams = Upstreams(c=[Down("x")])
    world = three(
        upstreams, routes=route("a/m", "b/m", "c/m", strategy="least_cost"), retry=Retry(max_retries=0),
        cost=lambda call, target: prices[target.adapter.name],
    )  # fmt: skip
    await world.ask("smart")
    assert upstreams.asked == ["c/m", "a/m"]


async def test_a_conversation_stays_where_it_is() -> None:
    upstreams = Upstreams()
    world = three(upstreams, routes=route("a/m", "b/m", "c/m", strategy="sticky"))
    start = b'{"messages":[{"role":"user","content":"%d"}' + b" " * 2000
    for n in range(30):
        for more in (b"]}", b',{"role":"assistant","content":"x"}]}'):
            await world.ask("smart", start % n + more)
    pairs = list(zip(upstreams.asked[::2], upstreams.asked[1::2], strict=True))
    assert all(one == other for one, other in pairs)
    assert len({one for one, _ in pairs}) == 3


MARKS = {"{mark}": ', "cache_control": {"type": "ephemeral"}', "{point}": ', {"cachePoint": {"type": "default"}}'}


@pytest.mark.parametrize(
    ("before", "turn", "last"),
    [
        ('"messages": [', '{"role": "user", "content": "%s"}', ""),
        ('"messages": [{"role": "system", "content": "S"}, ', '{"role": "user", "content": "%s"}', ""),
        (
            '"system": "S", "messages": [',
            '{"role": "user", "content": [{"type": "text", "text": "%s"{mark}}]}',
            '{"role": "user", "content": [{"type": "text", "text": "more"{mark}}]}',
        ),
        ('"messages": [', '{"role": "user", "content": [{"text": "%s"}{point}]}', ""),
        ('"contents": [', '{"role": "user", "parts": [{"text": "%s"}]}', ""),
        ('"input": [{"role": "developer", "content": "S"}, ', '{"role": "user", "content": "%s"}', ""),
        ('"input": [', '{"type": "message", "role": "user", "content": "%s"}', ""),
    ],
)
async def test_a_short_conversation_stays_where_it_is_as_it_grows(before: str, turn: str, last: str) -> None:
    upstreams = Upstreams()
    world = three(upstreams, routes=route("a/m", "b/m", "c/m", strategy="sticky"))
    for n in range(30):
        marked = plain = turn % n
        for name, mark in MARKS.items():
            marked, plain, last = marked.replace(name, mark), plain.replace(name, ""), last.replace(name, mark)
        for turns in ([marked], [plain, *([last or '{"role": "user", "content": "more"}'] * 3)]):
            await world.ask("smart", ("{" + before + ", ".join(turns) + "]}").encode())
    pairs = list(zip(upstreams.asked[::2], upstreams.asked[1::2], strict=True))
    assert all(one == other for one, other in pairs)
    assert len({one for one, _ in pairs}) == 3


@pytest.mark.parametrize(
    ("once", "later"),
    [
        ('"input": "%s"', '"input": [{"role": "user", "content": "%s"}, {"role": "assistant", "content": "x"}]'),
        ('"input": "%s"', '"input": [{"role": "user", "content": [{"type": "input_text", "text": "%s"}]}]'),
        (
            '"messages": [{"role": "user", "content": "%s"}]',
            '"messages": [{"content": [{"text": "%s", "type": "text"}], "role": "user"}, {"role": "assistant"}]',
        ),
    ],
)
async def test_a_conversation_stays_where_it_is_however_its_first_turn_is_spelled(once: str, later: str) -> None:
    world = three(upstreams := Upstreams(), routes=route("a/m", "b/m", "c/m", strategy="sticky"))
    for n in range(30):
        for body in (once, later):
            await world.ask("smart", f"{{{body % n}}}".encode())
    assert upstreams.asked[::2] == upstreams.asked[1::2]
    assert len(set(upstreams.asked)) == 3


@pytest.mark.parametrize("prompt", ['"x"', "3", "[3]", '["x"]', '[{"role": 3}]', "[]"])
async def test_what_has_no_turns_has_an_identity(prompt: str) -> None:
    world = three(upstreams := Upstreams(), routes=route("a/m", "b/m", strategy="sticky"))
    await world.ask("smart", f'{{"input": {prompt}}}'.encode())
    assert len(upstreams.asked) == 1


IMAGE = b'{"role":"user","content":[{"type":"image_url","image_url":{"url":"%b"}}]}'
PDF = b'{"parts":[{"inlineData":{"mimeType":"application/pdf","data":"%b"}}]}'
LONG = b"x" * 999


@pytest.mark.parametrize(
    ("abilities", "body", "why"),
    [
        (Abilities(tools=False), b'{"tools":[{"type":"function"}]}', "no tools"),
        (Abilities(images=False), b'{"messages":[%b]}' % (IMAGE % b"x"), "no images"),
        (Abilities(documents=False), b'{"contents":[%b]}' % (PDF % b"x"), "no documents"),
        (Abilities(context=9), b'{"messages":"%b"}' % LONG, "context of 9 tokens"),
    ],
)
async def test_who_lacks_what_is_needed_is_passed_over_and_said_so(abilities: Abilities, body: bytes, why: str) -> None:
    upstreams = Upstreams()
    world = World([Provider("a", abilities=abilities), Provider("b")], upstreams, routes=route("a/m", "b/m"))
    call = await world.ask("smart", body)
    assert upstreams.asked == ["b/m"]
    assert [(repr(one.target), one.skipped) for one in course(call)] == [("<Target a/m>", why), ("<Target b/m>", "")]


async def test_a_route_of_which_no_target_can_asks_them_all_the_same() -> None:
    """They were passed over, and the client read that the first one had failed too often, though nobody had failed."""
    limited, body = Abilities(tools=False), b'{"tools":[{}]}'
    providers = [Provider(name, abilities=limited) for name in "ab"]
    upstreams = Upstreams(a=[Unrepresentable("no tools here")], b=[Unrepresentable("nor here")])
    with pytest.raises(Unrepresentable, match="no tools here"):
        await World(providers, upstreams, routes=route("a/m", "b/m")).ask("smart", body)
    assert upstreams.asked == ["a/m", "b/m"]


async def test_who_cannot_is_neither_asked_nor_waited_for_while_another_one_rests() -> None:
    limited, body = Abilities(tools=False), b'{"tools":[{}]}'
    world = World(
        [Provider("a", abilities=limited), Provider("b")],
        upstreams := Upstreams(),
        routes=route("a/m", "b/m"),
        rules=Rules(failures=1, cool=30.0),
    )
    for name in "ba":
        breaker = world.standings.of(Target(world.adapters[name], "m")).breaker
        breaker.become(Rules(failures=1, cool=5.0 if name == "a" else 30.0))
        breaker.failed(breaker.allow())
    call = world.call("smart", body)
    with pytest.raises(Down) as caught:
        await world.failover(call, upstreams)
    assert (caught.value.code, caught.value.provider, upstreams.asked) == ("target_resting", "b", [])
    assert int(dict(caught.value.headers)["retry-after"]) > 20
    assert [one.skipped for one in call.history] == ["no tools", RESTS]


@pytest.mark.parametrize(
    ("abilities", "body"),
    [
        (Abilities(tools=False), b'{"tools":[],"functions":null,"toolConfig":{}}'),
        (Abilities(images=False), b'{"contents":[%b]}' % (PDF % b"x")),
        (Abilities(documents=False), b'{"messages":[%b]}' % (IMAGE % b"x")),
        (Abilities(context=9), b'{"messages":[%b]}' % (IMAGE % LONG)),  # its bytes are no text
        (Abilities(context=9), b'{"contents":[%b]}' % (PDF % LONG)),
    ],
)
async def test_who_may_be_able_to_is_asked(abilities: Abilities, body: bytes) -> None:
    upstreams = Upstreams()
    await World([Provider("a", abilities=abilities), Provider("b")], upstreams, routes=route("a/m", "b/m")).ask(
        "smart", body
    )
    assert upstreams.asked == ["a/m"]


async def test_of_several_that_have_a_model_those_that_can_are_asked_first() -> None:
    limited, tools = Abilities(tools=False), b'{"tools":[{}]}'
    providers = [
        Provider("a", abilities=limited),
        Provider("x", ["y"]),
        Provider("b", abilities=limited),
        Provider("c"),
    ]

    async def ask(model: str, body: bytes, *broken: str, **more: Any) -> tuple[list[str], Call]:
        upstreams = Upstreams(**{name: [Down("x")] for name in broken})
        world = World(providers, upstreams, retry=Retry(max_retries=0), defaults={"x": "y"}, **more)
        return upstreams.asked, await world.ask(model, body)

    asked, call = await ask("m", tools)
    assert (asked, call.how) == (["c/m"], "listed")
    assert [(one.target.adapter.name, one.skipped) for one in course(call)] == [("a", f"no tools{LAST}"), ("c", "")]
    assert (await ask("m", tools, "c"))[0] == ["c/m", "a/m"]
    assert (await ask("m", tools, "c", "a"))[0] == ["c/m", "a/m", "x/y"]
    assert (await ask("m", b"{}"))[0] == ["a/m"]
    assert (await ask("a/m", tools))[0] == ["a/m"]  # the client says whom it wants
    assert (await ask("m", tools, choice=Choice(others=False)))[0] == ["a/m"]


async def test_what_one_wire_cannot_say_another_of_the_route_may() -> None:
    upstreams = Upstreams(a=[Unrepresentable("no")])
    await three(upstreams, routes=route("a/m", "b/m")).ask("smart")
    assert upstreams.asked == ["a/m", "b/m"]


@pytest.mark.parametrize("unable", ["a", "b"])
async def test_what_one_wire_cannot_say_hides_nothing_that_another_said(unable: str) -> None:
    scripts: dict[str, list[BaseException | Reply]] = {"a": [], "b": []}
    for name, script in scripts.items():
        script.append(Unrepresentable("no") if name == unable else busy(("retry-after", "20")))
    world = three(upstreams := Upstreams(**scripts), routes=route("a/m", "b/m"))
    call = world.call("smart")
    with pytest.raises(Busy) as caught:
        await world.failover(call, upstreams)
    assert dict(caught.value.headers) == {"retry-after": "20"}
    assert (repr(call.target), call.attempts) == (f"<Target {'b' if unable == 'a' else 'a'}/m>", 2)


def forgetful() -> Refused:
    return Refused("?", code="previous_response_not_found", upstream_status=400)


async def test_whoever_does_not_keep_a_conversation_is_left_for_one_who_does() -> None:
    world = three(upstreams := Upstreams(a=[forgetful()]), routes=route("a/m", "b/m"))
    await world.ask("smart")
    assert upstreams.asked == ["a/m", "b/m"]


@pytest.mark.parametrize("scripts", [{"a": [forgetful()], "b": [down()]}, {"a": [down()], "b": [forgetful()]}])
async def test_and_hides_nothing_that_the_other_said(scripts: dict[str, list[BaseException | Reply]]) -> None:
    world = three(upstreams := Upstreams(**scripts), routes=route("a/m", "b/m"), retry=Retry(max_retries=0))
    with pytest.raises(Down, match="500"):
        await world.ask("smart")
    assert upstreams.asked == ["a/m", "b/m"]


async def test_what_nobody_keeps_is_told() -> None:
    world = three(Upstreams(a=[forgetful()], b=[forgetful()]), routes=route("a/m", "b/m"))
    with pytest.raises(Refused):
        await world.ask("smart")


async def test_nor_that_another_rests_who_could_have_been_asked() -> None:
    upstreams = Upstreams(a=[down()], b=[Unrepresentable("no")] * 3)
    world = three(upstreams, routes=route("a/m", "b/m"), rules=Rules(failures=1), retry=Retry(max_retries=0))
    with pytest.raises(Down, match="500"):
        await world.ask("smart")
    with pytest.raises(Down, match="has failed too often") as caught:
        await world.ask("smart")
    assert (caught.value.status, dict(caught.value.headers)["retry-after"]) == (503, "10")


async def test_what_the_wire_of_a_stand_in_cannot_say_ends_nothing() -> None:
    upstreams = Upstreams(b=[Unrepresentable("no")])
    world = World([Provider("a"), Provider("b")], upstreams, is_well=lambda name: name == "b")
    await world.ask()
    assert upstreams.asked == ["b/m", "a/m"]  # who is unwell is asked last


# --- rest ------------------------------------------------------------------------------------------------------------


async def test_who_fails_too_often_is_left_alone() -> None:
    upstreams = Upstreams(a=[down() for _ in range(9)])
    world = three(upstreams, rules=Rules(failures=2), retry=Retry(max_retries=0))
    for _ in range(4):
        await world.ask()
    assert upstreams.asked == ["a/m", "b/m", "a/m", "b/m", "b/m", "b/m"]


async def test_of_many_targets_those_that_are_well_are_forgotten_and_not_who_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Clients choose models: what is known of targets must not grow for ever."""
    monkeypatch.setattr("proxy.failover.standing.KEPT", 3)
    upstreams = Upstreams(a=[down()])
    world = three(upstreams, rules=Rules(failures=1), retry=Retry(max_retries=0), choice=Choice(others=False))
    with pytest.raises(Down):
        await world.ask("a/m")
    for model in "xyz":
        await world.ask(f"a/{model}")
    there = [f"{standing.target.model} {standing.breaker.state}" for standing in world.standings]
    assert there == ["m open", "z closed"]


async def test_where_none_is_well_the_ones_that_were_met_first_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.failover.standing.KEPT", 2)
    upstreams = Upstreams(a=[down(), down()])
    world = three(upstreams, rules=Rules(failures=1), retry=Retry(max_retries=0), choice=Choice(others=False))
    for model in "xy":
        with pytest.raises(Down):
            await world.ask(f"a/{model}")
    await world.ask("a/z")
    assert [standing.target.model for standing in world.standings] == ["y", "z"]


async def test_of_many_names_plans_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.failover.plan.KEPT", 2)
    world = three(upstreams := Upstreams())
    names = ["a/x", "a/y", "a/z", "a/x"]
    for name in [*names, *names]:
        await world.ask(name)
        assert len(world.failover.planner._plans) <= 2
    assert upstreams.asked == [*names, *names]


@pytest.mark.parametrize("others", ["", "rests", "lacks the model"])
async def test_where_nobody_else_can_be_asked_a_request_with_its_retries_is_one_failure(others: str) -> None:
    upstreams = Upstreams(a=[down() for _ in range(15)])
    providers = [Provider("a"), Provider("b", ["m"] if others == "rests" else ["x"])][: 2 if others else 1]
    retry = Retry(budget=1.0, max_retries=1)
    world = World(providers, upstreams, rules=Rules(failures=5, cool=60.0), retry=retry)
    if others == "rests":
        breaker = world.standings.of(Target(world.adapters["b"], "m")).breaker
        for _ in range(5):
            breaker.failed(breaker.allow())
    for n in range(1, 6):
        with pytest.raises(Down):
            await world.ask()
        assert world.standings.of(Target(world.adapters["a"], "m")).breaker.state == ("open" if n == 5 else "closed")
    assert upstreams.asked == ["a/m"] * 9  # the last one was not retried, as it rests by then


async def test_where_somebody_else_can_be_asked_each_retry_is_a_failure() -> None:
    upstreams = Upstreams(a=[down() for _ in range(15)])
    world = World([Provider("a"), Provider("b")], upstreams, rules=Rules(failures=5), retry=Retry(budget=1.0))
    for _ in range(2):
        await world.ask()
    assert upstreams.asked == ["a/m", "a/m", "a/m", "b/m", "a/m", "a/m", "b/m"]


async def test_a_success_between_the_retries_ends_the_row_all_the_same() -> None:
    upstreams = Upstreams(a=[down(), Reply(200, [], b"{}")] * 6)
    world = World([Provider("a")], upstreams, rules=Rules(failures=2), retry=Retry(budget=1.0))
    for _ in range(6):
        await world.ask()
    assert len(upstreams.asked) == 12


async def test_where_all_rest_the_client_is_told_when_to_come_again() -> None:
    upstreams = Upstreams(a=[down(), down()])
    world = World([Provider("a")], upstreams, rules=Rules(failures=1), retry=Retry(max_retries=0))
    with pytest.raises(Down):
        await world.ask()
    with pytest.raises(Down) as caught:
        await world.ask()
    assert (caught.value.status, caught.value.code, len(upstreams.asked)) == (503, "target_resting", 1)
    assert 9 <= int(dict(caught.value.headers)["retry-after"]) <= 11


async def test_where_all_rest_the_one_that_is_back_first_says_when() -> None:
    upstreams = Upstreams()
    world = World([Provider("a"), Provider("b")], upstreams, routes=route("a/m", "b/m"), rules=Rules(failures=1))
    for name, more in [("a", 290), ("b", 0)]:
        breaker = world.standings.of(Target(world.adapters[name], "m")).breaker
        breaker.failed(breaker.allow())
        breaker._until += more
        breaker._sooner += more
    with pytest.raises(Down) as caught:
        await world.ask("smart")
    assert (caught.value.code, caught.value.provider) == ("target_resting", "b")
    assert 9 <= int(dict(caught.value.headers)["retry-after"]) <= 11


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ([("retry-after", "30")], [("retry-after", "5")], [("retry-after", "5")]),
        ([("retry-after", "5")], [("retry-after", "30")], [("retry-after", "5")]),
        ([("Retry-After", "300")], [("retry-after-ms", "1500")], [("Retry-After", "2")]),
        ([("retry-after-ms", "9000"), ("retry-after", "9"), ("x-a", "b")], [("x-ratelimit-reset", "2.5s")],
         [("retry-after-ms", "2500"), ("retry-after", "3"), ("x-a", "b")]),
        ([("retry-after", "30")], [], [("retry-after", "30")]),
        ([("retry-after", "junk")], [("retry-after", "5")], [("retry-after", "junk")]),
        ([], [("retry-after", "5")], []),
    ],
)  # fmt: skip
async def test_a_client_waits_no_longer_than_until_the_first_of_all_is_back(
    first: list[tuple[str, str]], second: list[tuple[str, str]], told: list[tuple[str, str]]
) -> None:
    upstreams = Upstreams(a=[busy(*first)], b=[busy(*second)])
    world = World([Provider("a"), Provider("b")], upstreams, routes=route("a/m", "b/m"), retry=Retry(max_retries=0))
    with pytest.raises(Busy) as caught:
        await world.ask("smart")
    assert list(caught.value.headers) == told


async def test_a_limit_of_ours_says_too_when_the_client_may_come_again() -> None:
    def limited(seconds: int) -> OverTargetLimit:
        return OverTargetLimit("ours", headers=[("retry-after", str(seconds))])

    for first, second in ((limited(40), busy(("retry-after", "5"))), (busy(("retry-after", "40")), limited(5))):
        upstreams = Upstreams(a=[first], b=[second])
        world = World([Provider("a"), Provider("b")], upstreams, routes=route("a/m", "b/m"), retry=Retry(max_retries=0))
        with pytest.raises(type(first)) as caught:
            await world.ask("smart")
        assert list(caught.value.headers) == [("retry-after", "5")]


async def test_a_limit_that_is_never_passed_says_nothing_of_when() -> None:
    spent = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1s")]
    never = OverTargetLimit("ours", headers=[("x-should-retry", "false"), *spent])
    upstreams = Upstreams(a=[busy(("retry-after", "40"))], b=[never])
    world = World([Provider("a"), Provider("b")], upstreams, routes=route("a/m", "b/m"), retry=Retry(max_retries=0))
    with pytest.raises(Busy) as caught:
        await world.ask("smart")
    assert list(caught.value.headers) == [("retry-after", "40")]


async def test_nor_longer_than_until_one_has_rested() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "300"))])
    rules = Rules(failures=1, cool=20.0)
    world = World([Provider("a"), Provider("b")], upstreams, routes=route("a/m", "b/m"), rules=rules)
    breaker = world.standings.of(Target(world.adapters["b"], "m")).breaker
    breaker.failed(breaker.allow())
    with pytest.raises(Busy) as caught:
        await world.ask("smart")
    assert caught.value.headers == [("retry-after", "20")]


def ramping(world: World, name: str) -> None:
    """Its breaker has opened, and its probe was answered, just now."""
    breaker = world.standings.of(Target(world.adapters[name], "m")).breaker
    breaker.failed(breaker.allow())
    breaker.succeeded(breaker.allow())
    assert (breaker.state, breaker.allow() > 0, breaker.allow()) == ("ramp", True, 0)


def left_alone(world: World, name: str, seconds: float) -> Breaker:
    """It has failed so often that it would be left alone for minutes, and that has been so for these seconds."""
    breaker = world.standings.of(Target(world.adapters[name], "m")).breaker
    breaker._clock = clock = Clock()
    breaker.failed(breaker.allow())
    for _ in range(4):
        clock.sleep(breaker.rest)
        breaker.failed(breaker.allow())
    clock.sleep(seconds)
    assert breaker.rest == 160.0 - seconds
    return breaker


async def test_the_only_target_is_left_alone_for_no_longer_than_the_first_pause() -> None:
    """Its provider is back after an outage of minutes, and there is nobody else."""
    for seconds, asked in ((9.0, []), (10.0, ["a/m"])):
        upstreams = Upstreams()
        world = World([Provider("a")], upstreams, rules=Rules(failures=1))
        breaker = left_alone(world, "a", seconds)
        with suppress(Down) if not asked else nullcontext():
            await world.ask()
        assert upstreams.asked == asked
        assert breaker.state == ("ramp" if asked else "open")


async def test_while_it_is_down_it_has_one_probe_in_each_such_pause() -> None:
    upstreams = Upstreams(a=[down()] * 3)
    world = World([Provider("a")], upstreams, rules=Rules(failures=1), retry=Retry(max_retries=0))
    clock = cast(Clock, left_alone(world, "a", 10.0)._clock)
    for _ in range(30):
        with pytest.raises(Down) as caught:
            await world.ask()
        clock.sleep(1.0)
        if caught.value.code == "target_resting":
            assert 1 <= int(dict(caught.value.headers)["retry-after"]) <= 10
    assert upstreams.asked == ["a/m"] * 3


@pytest.mark.parametrize("model", ["smart", "a/m"])
async def test_where_all_are_left_alone_each_is_asked_after_that_pause(model: str) -> None:
    upstreams = Upstreams(a=[down()])
    world = World([Provider("a"), Provider("b")], upstreams, routes=route("a/m", "b/m"), rules=Rules(failures=1))
    for name in "ab":
        left_alone(world, name, 10.0)
    call = await world.ask(model)
    assert [(one.target.adapter.name, one.number, one.skipped) for one in course(call)] == [
        ("a", 0, RESTS),
        ("b", 0, RESTS),
        ("a", 1, ""),
        ("b", 2, ""),
    ]


@pytest.mark.parametrize("model", ["smart", "a/m"])
async def test_but_as_long_as_another_answers_it_has_its_whole_pause(model: str) -> None:
    upstreams = Upstreams()
    world = World([Provider("a"), Provider("b")], upstreams, routes=route("a/m", "b/m"), rules=Rules(failures=1))
    left_alone(world, "a", 159.0)
    await world.ask(model)
    assert upstreams.asked == ["b/m"]


ON_RAMP = Rules(failures=1, cool=0.0, ramp=1000.0)


async def test_the_only_target_is_asked_by_all_as_soon_as_it_is_back() -> None:
    upstreams = Upstreams()
    world = World([Provider("a")], upstreams, rules=ON_RAMP)
    ramping(world, "a")
    for _ in range(5):
        call = await world.ask()
        assert (call.attempts, [one.number for one in course(call)]) == (1, [0, 1])
    assert (upstreams.asked, upstreams.slept) == (["a/m"] * 5, [])


@pytest.mark.parametrize("model", ["smart", "a/m"])
async def test_who_is_just_back_has_the_others_asked_first_and_stands_in_for_them(model: str) -> None:
    upstreams = Upstreams(b=[down(), Reply(200, [], b"{}")])
    world = World([Provider("a"), Provider("b")], upstreams, routes=route("a/m", "b/m"), rules=ON_RAMP)
    world.failover.retry = Retry(max_retries=0)
    ramping(world, "a")
    await world.ask(model)
    await world.ask(model)
    assert upstreams.asked == ["b/m", "a/m", "b/m"]


@pytest.mark.parametrize("error", [Refused("bad", upstream_status=400), busy(), BadRequest("bad")])
async def test_what_a_provider_refuses_makes_nobody_ill(error: GatewayError) -> None:
    upstreams = Upstreams(a=[error, error])
    world = World([Provider("a")], upstreams, rules=Rules(failures=1), retry=Retry(max_retries=0))
    for _ in range(2):
        with pytest.raises(type(error)):
            await world.ask()
    assert len(upstreams.asked) == 2


async def test_the_unwell_come_last_and_are_never_all_left_out() -> None:
    upstreams = Upstreams(b=[Down("x")])
    world = World(
        [Provider("a"), Provider("b")], upstreams, is_well=lambda name: name == "b", retry=Retry(max_retries=0)
    )
    call = await world.ask()
    assert upstreams.asked == ["b/m", "a/m"]
    assert [(one.target.adapter.name, one.number, one.skipped) for one in course(call)] == [
        ("a", 0, "unwell: asked last"),
        ("b", 1, ""),
        ("a", 2, ""),
    ]


@pytest.mark.parametrize("model", ["smart", "a/m"])
async def test_where_another_can_be_asked_nobody_waits_for_a_probe(model: str) -> None:
    upstreams = Upstreams(a=[down()])
    world = three(upstreams, routes=route("a/m", "b/m"), retry=Retry(max_retries=0), rules=Rules(failures=1, cool=0.0))
    await world.ask(model)
    world.failover.retry = Retry()
    [a] = [standing for standing in world.standings if standing.target.adapter.name == "a"]
    assert a.breaker.allow()  # the probe, of which nothing is known yet
    call = await world.ask(model)
    assert (upstreams.asked, upstreams.slept) == (["a/m", "b/m", "b/m"], [])
    assert [(one.target.adapter.name, one.skipped) for one in course(call)] == [("a", "resting"), ("b", "")]


@pytest.mark.parametrize("cool", [60.0, 0.0], ids=["resting", "being probed"])
@pytest.mark.parametrize("model", ["smart", "a/m"])
async def test_what_another_says_is_told_and_not_that_the_first_one_rests(model: str, cool: float) -> None:
    wrong = Refused("no", upstream_status=400)
    upstreams = Upstreams(b=[wrong])
    world = three(upstreams, routes=route("a/m", "b/m"), rules=Rules(failures=1, cool=cool))
    breaker = world.standings.of(Target(world.adapters["a"], "m")).breaker
    breaker.failed(breaker.allow())
    assert bool(breaker.allow()) == (cool == 0.0)  # the probe, of which nothing is known yet
    call = world.call(model)
    with pytest.raises(Refused) as caught:
        await world.failover(call, upstreams)
    assert (caught.value, call.target) == (wrong, Target(world.adapters["b"], "m"))


async def test_what_another_pillion_says_of_its_targets_is_an_answer() -> None:
    error = Down("theirs rests", code="target_resting", upstream_status=503)
    world = World([Provider("a")], Upstreams(a=[error]), retry=Retry(max_retries=0))
    call = world.call()
    with pytest.raises(Down) as caught:
        await world.failover(call, world.upstreams)
    assert (caught.value, [(one.number, one.skipped) for one in call.history]) == (error, [(1, "")])


@pytest.mark.parametrize("code", ["connect_timeout", "tls_timeout", "headers_timeout"])
@pytest.mark.parametrize("model", ["smart", "a/m"])
async def test_behind_a_timer_another_is_asked_before_the_same_again(model: str, code: str) -> None:
    upstreams = Upstreams(a=[Timeout("x", code=code)])
    await three(upstreams, routes=route("a/m", "b/m")).ask(model)
    assert (upstreams.asked, upstreams.slept) == (["a/m", "b/m"], [])


async def test_and_the_same_again_where_there_is_no_other() -> None:
    upstreams = Upstreams(a=[Timeout("x", code="headers_timeout")])
    await World([Provider("a")], upstreams).ask()
    assert (upstreams.asked, len(upstreams.slept)) == (["a/m", "a/m"], 1)


async def test_who_is_alone_waits_for_it() -> None:
    upstreams = Upstreams(a=[down()])
    world = World([Provider("a")], upstreams, retry=Retry(max_retries=0), rules=Rules(failures=1, cool=0.0))
    with pytest.raises(Down):
        await world.ask()
    world.failover.retry = Retry(max_retries=1)
    assert world.standings.of(Target(world.adapters["a"], "m")).breaker.allow()
    with pytest.raises(Down):
        await world.ask()
    assert (upstreams.asked, len(upstreams.slept)) == (["a/m"], 1)


def test_a_wait_for_the_next_probe_is_a_wait_too() -> None:
    clock = Clock()
    standings, one = Standings(Rules(failures=1, cool=8.0), clock), call()
    probed, rests = (Target(Provider(name), "m") for name in "ab")  # type: ignore[arg-type]
    for target, pause in ((probed, 8.0), (rests, 1.0)):
        breaker = standings.of(target).breaker
        breaker.failed(breaker.allow())
        clock.sleep(pause)
        one.history.append(Attempt(target, skipped=RESTS))
    assert standings.of(probed).breaker.allow()
    error = Failures(one).final(probed, standings)
    assert (one.target, dict(error.headers)) == (rests, {"retry-after": "7"})


async def test_a_stream_that_has_begun_keeps_nobody_waiting() -> None:
    async def live() -> AsyncGenerator[bytes]:
        yield b"data: {}"

    upstreams = Upstreams(a=[down(), Reply(200, [], live()), Reply(200, [], live())])
    rules = Rules(failures=1, cool=0.0)
    world = World([Provider("a")], upstreams, retry=Retry(max_retries=0), rules=rules)
    with pytest.raises(Down):
        await world.ask()
    await world.ask()  # the probe, which nobody has heard to its end
    await world.ask()
    assert upstreams.asked == ["a/m"] * 3


async def test_that_a_target_rests_and_is_back_is_said_once_each(caplog: pytest.LogCaptureFixture) -> None:
    upstreams = Upstreams(a=[down(), down(), down()])
    world = three(upstreams, retry=Retry(max_retries=0), rules=Rules(failures=2, cool=0.0, ramp=0.0))
    caplog.set_level("INFO", logger="pillion")
    for _ in range(6):  # the third one is a probe that fails, the fourth one that is answered
        await world.ask()
    rests = "a/m has failed too often, and is not used for 1 s: 500"
    assert [(record.levelname, record.__dict__["event"], record.getMessage()) for record in caplog.records] == [
        ("WARNING", "target_resting", rests),
        ("WARNING", "target_resting", rests),
        ("INFO", "target_back", "a/m answers again"),
    ]


async def nothing() -> AsyncGenerator[bytes]:
    yield b""


async def test_a_stream_that_breaks_counts_against_its_target() -> None:
    live = Reply(200, [], nothing())
    upstreams = Upstreams(a=[live])
    world = World([Provider("a")], upstreams, rules=Rules(failures=1))
    call = await world.ask()
    standing = world.standings.of(call.target)  # type: ignore[arg-type]
    assert (standing.latency.in_flight, standing.breaker.state) == (1, "closed")
    for ending in live.endings:
        ending(reset())
    assert (standing.latency.in_flight, standing.breaker.state) == (0, "open")
    assert isinstance(live.body, AsyncGenerator)
    await live.body.aclose()


@pytest.mark.parametrize(
    ("timeout", "spent", "usual", "state"),
    [
        (None, 0.1, 0.0, "open"),  # a timer of the operator's
        (60.0, 0.1, 0.0, "open"),  # likewise: the client has time left
        (0.1, 0.1, 0.0, "closed"),  # in so little time nobody can answer
        (5.0, 5.0, 0.0, "open"),
        (5.0, 5.0, 9.0, "closed"),  # it takes longer
    ],
)
async def test_a_client_in_a_hurry_says_nothing_of_the_target(
    timeout: float | None, spent: float, usual: float, state: str
) -> None:
    world = World([Provider("a")], Upstreams(), rules=Rules(failures=1))
    call = world.call(timeout=timeout)

    async def late(call: Call) -> Reply:
        call.started, call.began = call.started - spent, call.began - spent
        raise Timeout("x", code="total_timeout")

    if usual:
        answered(world, usual)
    with pytest.raises(Timeout):
        await world.failover(call, late)
    (standing,) = world.standings
    assert (standing.latency.in_flight, standing.breaker.state) == (0, state)


def answered(world: World, seconds: float, ago: float = 0.0, stream: bool = False) -> None:
    """The target has answered a call in so long."""
    standing = world.standings.of(Target(world.adapters["a"], "m"))
    call = world.call(stream=stream)
    call.headed = monotonic() - ago
    call.began = call.headed - seconds
    standing.latency.in_flight += 1
    standing.ended(call, standing.breaker.allow(), None)


async def impatient(world: World, timeout: float, stream: bool = False) -> str:
    """The state of the breaker behind a call that was given so little time."""

    async def late(call: Call) -> Reply:
        call.started, call.began = call.started - timeout, call.began - timeout
        raise Timeout("x", code="total_timeout")

    with pytest.raises(Timeout):
        await world.failover(world.call(timeout=timeout, stream=stream), late)
    (standing,) = world.standings
    return standing.breaker.state


async def test_how_long_a_target_takes_is_known_for_minutes_after_its_last_answer() -> None:
    """Else an app that gives it two seconds has it left alone for one that asks it once in a while, and waits."""
    for ago, state in ((60.0, "closed"), (240.0, "closed"), (1800.0, "open")):
        world = World([Provider("a")], Upstreams(), rules=Rules(failures=1))
        answered(world, 5.0, ago)
        assert await impatient(world, 2.0) == state


async def test_whole_answers_take_longer_than_streams_to_begin() -> None:
    for stream, state in ((False, "closed"), (True, "open")):
        world = World([Provider("a")], Upstreams(), rules=Rules(failures=1))
        answered(world, 20.0)
        for _ in range(9):
            answered(world, 0.5, stream=True)
        assert await impatient(world, 5.0, stream) == state


async def test_one_slow_answer_excuses_nobody() -> None:
    world = World([Provider("a")], Upstreams(), rules=Rules(failures=1))
    for seconds in (1.0, 1.0, 10.0):
        answered(world, seconds)
    assert await impatient(world, 5.0) == "open"


async def test_a_stream_that_a_client_gave_too_little_time_says_nothing_of_the_target() -> None:
    live = Reply(200, [], nothing())
    world = World([Provider("a")], Upstreams(a=[live]), rules=Rules(failures=1))
    call = await world.ask(timeout=5.0)
    call.started, call.began = call.started - 5.0, call.began - 5.0
    for ending in live.endings:
        ending(Timeout("x", code="total_timeout"))
    (standing,) = world.standings
    assert (standing.latency.in_flight, standing.breaker.state) == (0, "closed")
    assert isinstance(live.body, AsyncGenerator)
    await live.body.aclose()


async def test_a_client_that_leaves_says_nothing_of_the_target() -> None:
    upstreams = Upstreams(a=[asyncio.CancelledError()])
    world = World([Provider("a")], upstreams, rules=Rules(failures=1))
    with pytest.raises(asyncio.CancelledError):
        await world.ask()
    (standing,) = world.standings
    assert (standing.latency.in_flight, standing.breaker.state) == (0, "closed")


async def test_a_pause_ends_with_its_client() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "5"))])
    world = World([Provider("a")], upstreams)
    world.failover.sleep = asyncio.sleep
    task: asyncio.Task[Call] = asyncio.create_task(world.ask())
    await upstreams.was_asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert upstreams.asked == ["a/m"]


async def test_time_in_pauses_is_no_time_of_ours() -> None:
    async def slow(seconds: float) -> None:
        await asyncio.sleep(0.02)

    upstreams = Upstreams(a=[down()])
    world = World([Provider("a")], upstreams)
    world.failover.sleep = slow
    call = await world.ask()
    assert call.waited > 0.01
