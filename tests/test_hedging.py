"""Is a silent target outrun, the loser let go and paid for, and nobody asked twice who should not be?"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.access.allowance import ClientKey
from proxy.canon import Usage
from proxy.config import Hedge, Retry
from proxy.errors import Down, GatewayError, OverBudget, Refused, Timeout
from proxy.failover.breaker import Rules
from proxy.failover.hedging import SAVED, Hedging
from proxy.failover.race import Race
from proxy.failover.trial import ATTEMPT_FIELDS, LOST
from proxy.ports import UNKNOWN, Abilities, Call, Reply, Target, Wishes
from proxy.reports.explain import Explain
from tests.client import ANTHROPIC, OPENAI, USAGE_CHUNK, Speech, ask, client, spell
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.test_failover import Provider, Unasked, World, course, route
from tests.test_middleware import seen
from tests.waiting import soon

WHOLE = Reply(200, [], b"{}")


def down(said: str = "500") -> Down:
    return Down(said, upstream_status=500)


class Upstreams:
    """Each answers when the test says so, and with what."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.calls: dict[str, Call] = {}
        self.lost: dict[str, BaseException] = {}
        self.lingers = 0  # turns of the loop that one needs to let go
        self._answers: dict[str, asyncio.Future[Reply]] = {}

    async def __call__(self, call: Call) -> Reply:
        assert call.target is not None
        name = call.target.adapter.name
        self.asked.append(name)
        self.calls[name], call.asked = call, True
        try:
            return await asyncio.shield(self._answer(name))
        except asyncio.CancelledError as error:
            self.lost[name] = error
            await passed(self.lingers)
            raise

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody is asked again here")

    def answers(self, name: str, what: Reply | BaseException) -> None:
        if isinstance(what, Reply):
            self._answer(name).set_result(what)
        else:
            self._answer(name).set_exception(what)

    def _answer(self, name: str) -> asyncio.Future[Reply]:
        return self._answers.setdefault(name, asyncio.get_running_loop().create_future())


class Account:
    """Sets aside, and settles; each attempt costs 5. `refuses` those providers."""

    def __init__(self, *refuses: str) -> None:
        self.refuses = refuses
        self.open: list[str] = []
        self.settled: list[tuple[str, str]] = []

    async def reserve(self, call: Call) -> str:
        assert call.target is not None
        await asyncio.sleep(0)
        if call.target.adapter.name in self.refuses:
            raise OverBudget("no")
        self.open.append(call.target.adapter.name)
        return call.target.adapter.name

    def begun(self, call: Call, reply: Reply) -> None:
        """Nothing to do."""

    def settle(self, call: Call, held: str, error: BaseException | None) -> None:
        assert call.target is not None
        self.open.remove(held)
        self.settled.append((held, "" if error is None else type(error).__name__))
        call.spent, call.is_settled = call.spent + 5, True


class Hedged(World):
    """Three providers, of which the second is asked after a millisecond."""

    def __init__(
        self, hedge: Hedge | None = None, refuses: str = "", kind: type[Provider] = Provider, **more: Any
    ) -> None:
        self.up = Upstreams()
        providers = [kind("a"), kind("b"), kind("c")]
        super().__init__(providers, self.up, retry=Retry(max_retries=0), **more)  # type: ignore[arg-type]
        self.counts = Counter[tuple[str, str]]()
        self.failover.hedging = Hedging(hedge or Hedge(enabled=True, after=0.001, share=1.0), self.counts)
        self.account = Account(*refuses)

    def begin(self, model: str = "a/m", body: bytes = b"{}", **fields: Any) -> tuple[Call, asyncio.Task[Reply]]:
        call = self.call(model, body, accounts=[self.account], **fields)
        return call, asyncio.create_task(self.failover(call, self.up))

    async def both(self, **fields: Any) -> tuple[Call, asyncio.Task[Reply]]:
        """Two are being asked."""
        call, task = self.begin(**fields)
        await self.until("a", "b")
        return call, task

    async def until(self, *asked: str) -> None:
        await soon(lambda: self.up.asked == list(asked))

    def is_still(self) -> bool:
        return not self.account.open and all(one.latency.in_flight == 0 for one in self.standings)


def told(call: Call) -> list[tuple[str, str, int]]:
    return [(one.target.adapter.name, one.code or one.skipped, one.number) for one in course(call)]


# --- who wins --------------------------------------------------------------------------------------------------------


async def test_the_second_answers_while_the_first_is_silent() -> None:
    world = Hedged()
    call, task = await world.both()
    world.up.answers("b", WHOLE)
    assert await task is WHOLE
    assert (repr(call.target), call.attempts, call.spent) == ("<Target b/m>", 2, 10)
    assert told(call) == [("a", LOST, 1), ("b", "", 2)]
    assert world.account.settled == [("b", ""), ("a", "CancelledError")]
    assert world.counts == {("b", "won"): 1}
    assert world.is_still()


async def test_the_first_one_still_wins_where_it_is_quicker() -> None:
    world = Hedged()
    call, task = await world.both(spent=1)
    world.up.answers("a", WHOLE)
    assert await task is WHOLE
    assert (repr(call.target), call.attempts, call.spent) == ("<Target a/m>", 2, 11)
    assert told(call) == [("b", LOST, 2), ("a", "", 1)]
    assert world.account.settled == [("a", ""), ("b", "CancelledError")]
    assert world.counts == {("b", "lost"): 1}
    assert world.is_still()


async def test_who_was_never_asked_for_a_list_is_a_hedge_as_well() -> None:
    world = Hedged(kind=Unasked)
    _, task = await world.both()
    world.up.answers("b", WHOLE)
    assert await task is WHOLE
    assert world.is_still()


class Hanging(Unasked):
    async def models(self, via: str = "") -> list[str]:
        self.lists += 1
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_list_that_does_not_come_keeps_no_answer_waiting() -> None:
    world = Hedged(kind=Hanging)
    call, task = world.begin()
    await soon(lambda: world.adapters["b"].lists > 0)
    world.up.answers("a", WHOLE)
    assert await task is WHOLE
    assert (world.up.asked, call.attempts) == (["a"], 1)
    assert world.is_still()


async def test_who_is_quick_is_asked_alone() -> None:
    world = Hedged(Hedge(enabled=True, after=60, share=1.0))
    call, task = world.begin()
    await world.until("a")
    world.up.answers("a", WHOLE)
    await task
    assert (world.up.asked, call.attempts, told(call)) == (["a"], 1, [("a", "", 1)])
    assert not world.counts


async def test_a_hedge_is_waited_for_where_the_first_fails() -> None:
    world = Hedged()
    call, task = await world.both()
    world.up.answers("a", down())
    await soon(lambda: len(call.history) == 1)
    assert not task.done()
    world.up.answers("b", WHOLE)
    assert await task is WHOLE
    assert (world.up.lost, told(call)) == ({}, [("a", "upstream_error", 1), ("b", "", 2)])
    assert world.counts == {("b", "won"): 1}


async def test_the_first_is_waited_for_where_its_hedge_fails() -> None:
    world = Hedged()
    call, task = await world.both()
    world.up.answers("b", down())
    await soon(lambda: len(call.history) == 1)
    assert not task.done()
    world.up.answers("a", WHOLE)
    assert await task is WHOLE
    assert (repr(call.target), call.attempts) == ("<Target a/m>", 2)


async def test_what_is_wrong_everywhere_is_told_at_once() -> None:
    world = Hedged()
    _, task = await world.both()
    world.up.answers("a", Refused("bad", upstream_status=400))
    with pytest.raises(Refused, match="bad"):
        await task
    assert set(world.up.lost) == {"b"}
    assert world.is_still()


async def test_where_both_fail_the_others_are_asked() -> None:
    world = Hedged()
    call, task = await world.both()
    world.up.answers("b", down("second"))
    world.up.answers("a", down("first"))
    world.up.answers("c", down("third"))
    with pytest.raises(Down, match="first"):
        await task
    assert (world.up.asked, call.attempts, repr(call.target)) == (["a", "b", "c"], 3, "<Target a/m>")
    assert world.counts == {("b", "lost"): 1}
    assert world.is_still()


async def test_only_the_first_one_of_all_has_a_hedge() -> None:
    world = Hedged(Hedge(enabled=True, after=0.02, share=1.0))
    _, task = world.begin()
    world.up.answers("a", down())
    await world.until("a", "b")
    await asyncio.sleep(0.05)  # more than twice what a hedge would wait
    assert world.up.asked == ["a", "b"]
    world.up.answers("b", WHOLE)
    await task


# --- who loses -------------------------------------------------------------------------------------------------------


async def test_who_is_silent_is_not_ill() -> None:
    world = Hedged(rules=Rules(failures=1))
    _, task = await world.both()
    world.up.answers("b", WHOLE)
    await task
    assert [one.breaker.state for one in world.standings] == ["closed", "closed"]


class Stream:
    """A live answer."""

    def __init__(self) -> None:
        self.aborted = 0
        self.ended: list[BaseException | None] = []
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.reply = Reply(200, [], self._body(), abort=self._abort, endings=[self.ended.append])

    def _abort(self) -> None:
        self.aborted += 1

    async def _body(self) -> AsyncGenerator[bytes]:
        while (chunk := await self.chunks.get()) is not None:
            yield chunk


async def test_of_two_that_answer_at_once_one_is_dropped() -> None:
    world, loser = Hedged(), Stream()
    call, task = await world.both(stream=True)
    world.up.answers("a", WHOLE)
    world.up.answers("b", loser.reply)
    assert await task is WHOLE
    (ended,) = loser.ended
    assert (loser.aborted, type(ended)) == (1, asyncio.CancelledError)
    assert told(call) == [("b", LOST, 2), ("a", "", 1)]
    assert call.spent == 10
    assert world.is_still()


@pytest.mark.parametrize("reason", [(), (GatewayError("Cancelled.", code="request_cancelled"),)])
async def test_a_client_that_leaves_takes_both_with_it(reason: tuple[Any, ...]) -> None:
    world = Hedged()
    call, task = await world.both()
    task.cancel(*reason)
    with pytest.raises(asyncio.CancelledError) as left:
        await task
    assert left.value.args == reason
    assert [error.args for error in world.up.lost.values()] == [reason, reason]
    code = reason[0].code if reason else "client_gone"
    assert told(call) == [("a", code, 1), ("b", code, 2)]
    assert (call.attempts, call.spent, world.is_still()) == (2, 10, True)


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("who", ["a", "b", "ab"])
async def test_wherever_a_client_leaves_everything_is_settled(who: str, turns: int) -> None:
    """It leaves so many turns of the loop after the answers are there; after some, all is over before it can."""
    world, streams = Hedged(), {name: Stream() for name in who}
    _, task = await world.both(stream=True)
    for name, stream in streams.items():
        world.up.answers(name, stream.reply)
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.cancel():
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert turns > 3
        for ending in task.result().endings:
            ending(None)
    assert world.is_still()
    assert all(len(one.ended) == one.aborted for one in streams.values() if one.ended != [None])


@pytest.mark.parametrize("turns", range(14))
@pytest.mark.parametrize("again", range(1, 6))
async def test_who_is_told_to_leave_twice_still_settles_everything(turns: int, again: int) -> None:
    """The second time so many turns of the loop after the first, while the losers are waited for."""
    world, streams = Hedged(), {name: Stream() for name in "ab"}
    world.up.lingers = 4
    call, task = await world.both(stream=True)
    for name, stream in streams.items():
        if turns:
            world.up.answers(name, stream.reply)
    await passed(turns)
    reason = GatewayError("Cancelled.", code="request_cancelled")
    if task.cancel(reason):
        await passed(again)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as left:
            await task
        assert left.value.args == (reason,)
    else:
        for ending in task.result().endings:
            ending(None)
    assert (world.is_still(), call.spent) == (True, 10)
    assert all(len(one.ended) == one.aborted for one in streams.values() if one.ended != [None])


async def passed(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


class Toolless(Provider):
    """Of all but one."""

    def abilities(self, model: str) -> Abilities:
        return UNKNOWN if self.name == "c" else Abilities(tools=False)


async def test_who_is_put_last_as_it_cannot_is_no_hedge() -> None:
    world = Hedged(kind=Toolless)
    body = b'{"max_tokens":9,"messages":[],"tools":[{"type":"function","function":{"name":"f"}}]}'
    _, task = world.begin("m", body)
    await world.until("c")
    await asyncio.sleep(0.02)
    assert world.up.asked == ["c"]
    world.up.answers("c", WHOLE)
    assert await task is WHOLE


# --- what the client's call knows ------------------------------------------------------------------------------------


def test_each_field_of_a_call_is_of_an_attempt_or_of_the_call() -> None:
    of_the_call = {
        "id", "operation", "dialect", "headers", "query", "receive", "started", "raw_query", "rest", "client", "key",
        "envelope", "model", "stream", "as_array", "timeout", "wishes", "accounts", "how", "attempts", "history",
        "store_waited", "spent", "is_guess", "bill", "waited", "interrupt", "resumable", "so_far", "reply",
        "is_queued", "cached", "delayed", "may_wait", "lent", "strategy", "weighed",
    }  # fmt: skip
    assert of_the_call | set(ATTEMPT_FIELDS) == set(Call.__struct_fields__)
    assert not of_the_call & set(ATTEMPT_FIELDS)


async def test_a_stream_that_wins_tells_the_clients_call_as_it_goes() -> None:
    world, stream = Hedged(), Stream()
    call, task = await world.both(stream=True)
    own = world.up.calls["b"]
    own.dropped = ("seed",)
    world.up.answers("b", stream.reply)
    reply = await task
    assert (own is call, call.dropped, call.heard is own.heard, call.spent) == (False, ("seed",), True, 5)
    assert not call.is_settled
    own.usage = Usage(output=1)
    stream.chunks.put_nowait(b"1")
    assert not isinstance(reply.body, bytes)
    assert await anext(reply.body) == b"1"
    assert call.usage == Usage(output=1)
    own.usage, own.answered_model = Usage(output=2), "m-1"
    stream.chunks.put_nowait(None)
    assert [chunk async for chunk in reply.body] == []
    seen: list[tuple[Any, ...]] = []
    reply.endings.append(lambda error: seen.append((call.usage, call.answered_model, call.spent, call.is_settled)))
    for ending in reply.endings:
        ending(None)
    assert seen == [(Usage(output=2), "m-1", 10, True)]


async def test_time_that_nobody_else_books_is_the_providers() -> None:
    world = Hedged()
    call, task = await world.both()
    world.up.answers("a", down())
    await asyncio.sleep(0.02)
    world.up.answers("b", WHOLE)
    await task
    assert call.waited > 0.01


async def test_what_breaks_the_winner_is_told_of_the_winner() -> None:
    world, explain = Hedged(), Explain(1, str)
    call, task = await world.both()
    world.up.answers("a", WHOLE)
    await task
    explain.keep(seen(call, 200, Down("cut", code="upstream_cut")))
    call.rest = call.id
    said = await explain.tell(lambda asking: None, call)
    assert isinstance(said.body, bytes)
    assert [one["error"]["code"] for one in json.loads(said.body)["attempts"]] == ["upstream_cut", LOST]


# --- who has one -----------------------------------------------------------------------------------------------------


async def test_no_more_calls_than_their_share_have_one() -> None:
    world = Hedged(Hedge(enabled=True, after=0.001, share=0.25))
    for number in range(1, 9):
        world.up.asked = []
        world.up._answers = {}
        _, task = world.begin()
        await soon(lambda number=number: len(world.up.asked) == (1 if number % 4 else 2))  # type: ignore[misc]
        world.up.answers("a", WHOLE)
        await task
        assert len(world.up.asked) == (1 if number % 4 else 2)


def test_a_quiet_time_saves_no_more_than_a_few() -> None:
    hedging, call = Hedging(Hedge(enabled=True, after=1, share=0.5), Counter()), World.call(None)  # type: ignore[arg-type]
    for _ in range(1000):
        hedging.asked()
    assert [hedging.take(call) for _ in range(SAVED + 1)] == [True] * SAVED + [False]
    assert repr(hedging) == "<Hedging, 0 saved>"


@pytest.mark.parametrize(
    "fields",
    [
        {"operation": "count_tokens"},
        {"wishes": Wishes(cost_limit=1)},
        {"body": b'{"web_search_options": {}}'},
        {"body": b'{"tools": [{"type": "mcp"}]}'},
        {"body": b'{"max_tokens": 1e999}'},  # nobody can say how much that is
        {"model": "smart"},
        {"key": ClientKey(name="k", providers=("a",))},
    ],
)
async def test_some_are_asked_once(fields: dict[str, Any]) -> None:
    """Who counts, who has a limit of their own, what has effects; and where there is nobody else who may be asked."""
    world = Hedged(is_well=lambda name: name != "b", routes=route("c/m"))
    call = world.call(**{name: value for name, value in fields.items() if name != "operation"})
    call.operation = fields.get("operation", "chat")
    task = asyncio.create_task(world.failover(call, world.up))
    await soon(lambda: bool(world.up.asked))
    await asyncio.sleep(0.01)  # ten times what a hedge would wait
    assert len(world.up.asked) == 1
    world.up.answers(world.up.asked[0], WHOLE)
    await task


async def test_who_is_unwell_is_no_hedge_and_still_comes_after() -> None:
    world = Hedged(is_well=lambda name: name == "a")
    _, task = world.begin()
    await world.until("a")
    await asyncio.sleep(0.01)
    assert world.up.asked == ["a"]
    world.up.answers("b", WHOLE)
    world.up.answers("a", down())
    await task
    assert world.up.asked == ["a", "b"]


async def test_what_cannot_be_paid_is_no_hedge_and_still_comes_after() -> None:
    world = Hedged(refuses="b")
    call, task = world.begin()
    await world.until("a")
    await soon(lambda: len(call.history) == 1)
    assert not task.done()
    world.account.refuses = ()
    world.up.answers("b", WHOLE)
    world.up.answers("a", down())
    await task
    assert told(call) == [("b", "insufficient_quota", 0), ("a", "upstream_error", 1), ("b", "", 2)]
    assert not world.counts
    assert world.is_still()


async def test_who_still_waits_for_a_place_of_ours_is_not_silent() -> None:
    world, place = Hedged(), asyncio.Event()
    reserve = world.account.reserve

    async def waits(call: Call) -> str:
        await place.wait()
        return await reserve(call)

    world.account.reserve = waits  # type: ignore[method-assign]
    call, task = world.begin()
    for _ in range(5):  # times what a hedge would wait
        await asyncio.sleep(0.001)
    assert (world.up.asked, call.attempts) == ([], 1)
    place.set()
    await world.until("a", "b")
    world.up.answers("b", WHOLE)
    await task
    assert told(call) == [("a", LOST, 1), ("b", "", 2)]


async def test_who_waits_for_a_place_of_ours_is_seldom_looked_at() -> None:
    """However soon a hedge would come: many may wait behind one limit, and looking takes the time of those who work."""

    class Waiting:
        looks = 0
        is_slowed = False

        @property
        def asked(self) -> bool:
            self.looks += 1
            return False

    async def first() -> Reply:
        await place.wait()
        return WHOLE

    async def known() -> None:
        """Whom there is to ask."""

    waiting, place = Waiting(), asyncio.Event()
    race = Race(cast(Call, waiting), known, lambda: None, lambda error: True, Counter())
    running = asyncio.create_task(race.run(first(), 1e-9))
    await passed(200)
    assert 0 < waiting.looks < 20
    place.set()
    assert await running is WHOLE


async def test_who_is_tried_by_another_request_just_then_is_no_hedge() -> None:
    """Its breaker lets one probe in, and is no longer open: nobody passes it over, and it asks nobody."""
    world = Hedged(rules=Rules(failures=1, cool=0.0))
    b = world.failover.planner.catalog.adapter("b")
    assert b is not None
    breaker = world.standings.of(Target(b, "m")).breaker
    breaker.failed(breaker.allow())
    assert (breaker.allow() > 0, breaker.state) == (True, "half_open")
    call, task = world.begin()
    await world.until("a")
    await soon(lambda: world.failover.hedging._saved == 0)  # type: ignore[union-attr]
    world.up.answers("a", WHOLE)
    await task
    assert told(call) == [("a", "", 1)]
    assert not world.counts


async def test_who_is_only_asked_when_nobody_else_is_left_is_no_hedge() -> None:
    world = Hedged(rules=Rules(failures=1))
    for name in "bc":
        other = world.failover.planner.catalog.adapter(name)
        assert other is not None
        breaker = world.standings.of(Target(other, "m")).breaker
        breaker.failed(breaker.allow())
        breaker._sooner = 0.0
    _, task = world.begin()
    await world.until("a")
    await asyncio.sleep(0.01)
    assert world.up.asked == ["a"]
    world.up.answers("a", WHOLE)
    await task
    assert not world.counts


async def test_a_hedge_has_what_is_left_of_the_clients_time() -> None:
    world = Hedged()
    _, task = await world.both(timeout=9.0)
    first, second = world.up.calls["a"], world.up.calls["b"]
    assert (first.timeout, first.started) == (9.0, second.started)
    assert second.timeout == 9.0
    world.up.answers("b", WHOLE)
    await task


async def test_no_hedge_is_begun_after_the_operators_deadline() -> None:
    world = Hedged()
    call, task = world.begin()
    call.started -= world.failover.deadline + 1
    await world.until("a")
    await asyncio.sleep(0.01)
    assert world.up.asked == ["a"]
    world.up.answers("a", WHOLE)
    await task


# --- after how long --------------------------------------------------------------------------------------------------


async def test_after_the_time_in_which_most_have_answered() -> None:
    world = Hedged(Hedge(enabled=True, after=0, share=1.0))
    call, task = world.begin()
    await world.until("a")
    (standing,) = world.standings
    await asyncio.sleep(0.01)
    assert world.up.asked == ["a"]  # nothing is known yet
    world.up.answers("a", WHOLE)
    await task
    for _ in range(20):
        standing.first_bytes[0].add(0.001)
    assert world.failover.hedging is not None
    assert world.failover.hedging.after(world.call(), standing) is not None
    assert world.failover.hedging.after(world.call(stream=True), standing) is None  # of those nothing is known
    world.up.asked, world.up._answers = [], {}
    call, task = await world.both()
    world.up.answers("b", WHOLE)
    await task
    assert call.attempts == 2
    assert len(standing.first_bytes[0]._last) == 22  # the one that lost counts: it was slower than most


async def test_a_failure_says_nothing_of_how_long_an_answer_takes() -> None:
    world = Hedged(Hedge(enabled=True, after=60, share=1.0))
    _, task = world.begin()
    await world.until("a")
    (standing,) = world.standings
    for _ in range(20):
        standing.first_bytes[0].add(0.0)
    world.up.answers("a", Timeout("slow", code="head_timeout"))
    await world.until("a", "b")
    world.up.answers("b", WHOLE)
    await task
    assert len(standing.first_bytes[0]._last) == 20


async def test_a_hedge_that_loses_was_not_quick() -> None:
    world = Hedged(Hedge(enabled=True, after=0.001, share=1.0))
    _, task = await world.both()
    world.up.answers("a", WHOLE)
    await task
    _, lost = world.standings
    assert len(lost.first_bytes[0]._last) == 0


# --- a whole pillion, over TLS ---------------------------------------------------------------------------------------

SSE = [("Content-Type", "text/event-stream")]
JSON = [("Content-Type", "application/json")]
SILENT = Scenario(cut_at=0, cut_of="wire", how="stall")
HEAD = Scenario(body=b": wait\n\n" * 9, headers=SSE, framing="chunked", cut_at=20, how="stall")
PRICES = "prices: {openai/m: {input: 1, output: 3}, anthropic/m: {input: 1, output: 3}}\n"


def stream(speech: Speech) -> Scenario:
    body = speech.stream if speech is ANTHROPIC else speech.stream[:-14] + USAGE_CHUNK + speech.stream[-14:]
    return Scenario(body=body, headers=SSE, framing="chunked")


def hedged(first: Evil, second: Evil, folder: Path) -> AbstractAsyncContextManager[Gateway]:
    """The first is OpenAI's, the second Anthropic's."""
    said = {
        **config_file(PRICES + "routes: {r: {targets: [openai/m, anthropic/m]}}\n", folder),
        **OPENAI.environ(first.url),
        **ANTHROPIC.environ(second.url),
        "PILLION_OPENAI_CA": str(first.ca_pem),
        "PILLION_ANTHROPIC_CA": str(second.ca_pem),
        "PILLION_HEDGE_ENABLED": "true",
        "PILLION_HEDGE_AFTER": "0.25",  # a handshake of TLS takes longer than a few milliseconds on a busy machine
        "PILLION_HEDGE_SHARE": "1",
    }
    return pillion(**said)


async def rows(gateway: Gateway) -> dict[str, tuple[Any, ...]]:
    got = await ask(gateway, "GET", "/v1/usage?group_by=provider")
    data = json.loads(got.body)["data"]
    return {row["provider"]: (row["requests"], row["errors"], row["cost_usd"], row["estimated"]) for row in data}


async def let_go(evil: Evil) -> None:
    """By an abort: a close_notify would have us wait for theirs."""
    await evil.closed()
    assert [one._tls.left for one in evil._connections if one._tls] == [False] * evil.connections


@pytest.mark.parametrize("loser", [SILENT, HEAD], ids=["silent", "head"])
@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC], ids=lambda one: one.name)
async def test_a_stream_comes_from_whoever_speaks_first(tmp_path: Path, speech: Speech, loser: Scenario) -> None:
    async with (
        Evil(loser, tls=True) as slow,
        Evil(stream(ANTHROPIC), tls=True) as quick,
        hedged(slow, quick, tmp_path) as there,
    ):
        body = speech.request(stream=True, model="r")
        got = await ask(there, "POST", speech.path, body, speech.headers)
        assert (got.status, got.whole, speech.ends_whole(got.body)) == (200, True, True)
        assert "ße".encode() in got.body or b"\\u00dfe" in got.body
        assert [got.header(f"x-pillion-{name}") for name in ("provider", "attempts")] == ["anthropic", "2"]
        await let_go(slow)
        booked = await rows(there)
        assert booked["anthropic"] == (1, 0, "0.000011", 0)
        assert booked["openai"][:2] == (1, 1)
        assert booked["openai"][3] == 1
        said = await ask(there, "GET", f"/v1/explain/{got.header('x-pillion-request-id')}")
        told = json.loads(said.body)
        assert [one["error"] and one["error"]["code"] for one in told["attempts"]] == [LOST, None]
        assert [one["number"] for one in told["attempts"]] == [1, 2]
        assert (told["model"]["answered"], told["usage"]["output"]) == ("claude-real", 2)
        assert there.app.upstream.in_use == 0
        metrics = (await ask(there, "GET", "/metrics")).body.decode()
        for provider in ("openai", "anthropic"):
            assert f'pillion_upstream_attempts_total{{provider="{provider}"}} 1.0' in metrics
        assert "pillion_upstream_errors_total{" not in metrics


async def test_a_whole_answer_tells_what_both_have_cost(tmp_path: Path) -> None:
    async with (
        Evil(SILENT, tls=True) as slow,
        Evil(Scenario(body=ANTHROPIC.whole, headers=JSON), tls=True) as quick,
        hedged(slow, quick, tmp_path) as there,
    ):
        got = await ask(there, "POST", OPENAI.path, OPENAI.request(model="r"))
        assert (got.status, got.header("x-pillion-attempts")) == (200, "2")
        booked = await rows(there)
        cost = sum(float(row[2]) for row in booked.values())
        assert float(got.header("x-pillion-cost-usd") or 0) == pytest.approx(cost)
        assert cost > 0.000011
        await let_go(slow)
        metrics = (await ask(there, "GET", "/metrics")).body
        assert b'pillion_hedges_total{outcome="won",provider="anthropic"} 1.0' in metrics


async def test_a_client_that_leaves_aborts_both(tmp_path: Path) -> None:
    async with (
        Evil(SILENT, tls=True) as slow,
        Evil(SILENT, tls=True) as other,
        hedged(slow, other, tmp_path) as there,
    ):
        async with client(there) as one:
            await one.send(spell("POST", OPENAI.path, OPENAI.request(stream=True, model="r")))
            await slow.received(1)
            await other.received(1)
            one.leave("rst")
            await let_go(slow)
            await let_go(other)
        await soon(lambda: there.app.upstream.in_use == 0)
        assert {name: row[:2] for name, row in (await rows(there)).items()} == {"openai": (1, 1), "anthropic": (1, 1)}


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC], ids=lambda one: one.name)
async def test_a_client_that_leaves_the_winner_lets_go_of_it(tmp_path: Path, speech: Speech) -> None:
    cut = len(ANTHROPIC.stream) * 3 // 4
    half = Scenario(body=ANTHROPIC.stream, headers=SSE, framing="chunked", cut_at=cut, how="stall")
    async with (
        Evil(SILENT, tls=True) as slow,
        Evil(half, tls=True) as quick,
        hedged(slow, quick, tmp_path) as there,
    ):
        async with client(there) as one:
            await one.send(spell("POST", speech.path, speech.request(stream=True, model="r"), speech.headers))
            await one.until(b"Gr")
            one.leave("fin")
            await let_go(quick)
        await soon(lambda: there.app.upstream.in_use == 0)
        await soon(lambda: there.app.accounting.ledger.pending == 0)
        assert {name: row[:2] for name, row in (await rows(there)).items()} == {"openai": (1, 1), "anthropic": (1, 1)}


async def test_off_is_off() -> None:
    async with pillion() as gateway:
        assert gateway.app.now._failover.hedging is None
