"""Does each call that shares an answer get all of it, whoever comes, lags, leaves or fails beside it?"""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from proxy.answers import flights as module
from proxy.answers.flights import AHEAD, LONGEST, Flight, Flights
from proxy.errors import Busy, Down, GatewayError, OverBudget
from proxy.ports import Call, Reply
from tests.taking import Taken, call, delivery, take

KEY = ("key",)
CHUNKS = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]


class Provider:
    """A handler whose answer comes as the test says: `say`, `end`, `fail`. Until `head` it has not begun."""

    def __init__(self) -> None:
        self.asked = self.pulled = self.spelled = 0  # `pulled` is in bytes
        self.head = asyncio.Event()
        self.refusal: Exception | None = None
        self.reply: Reply | None = None
        self.ended: list[BaseException | None] = []
        self.seen: list[bytes] = []
        self.cancelled = self.closed = self.aborted = False
        self.parting = asyncio.Event()  # until then it is not let go
        self.parting.set()
        self._coming: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()

    async def __call__(self, asked: Call) -> Reply:
        self.asked += 1
        try:
            await self.head.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.refusal is not None:
            raise self.refusal
        asked.dropped = ("seed",)
        self.reply = Reply(
            200,
            [("content-type", "text/event-stream")],
            self._body(),
            ping=b": ping\n\n",
            last_words=self._spell,
            abort=self._abort,
            taps=[self.seen.append],
            endings=[self.ended.append],
        )
        return self.reply

    def say(self, *chunks: bytes) -> None:
        self.head.set()
        for chunk in chunks:
            self._coming.put_nowait(chunk)

    def end(self) -> None:
        self._coming.put_nowait(None)

    def fail(self, error: Exception) -> None:
        self._coming.put_nowait(error)

    def _spell(self, error: GatewayError) -> bytes:
        self.spelled += 1
        return b"event %d: %b" % (self.spelled, error.code.encode())

    def _abort(self) -> None:
        self.aborted = True

    async def _body(self) -> AsyncGenerator[bytes]:
        try:
            while (next_one := await self._coming.get()) is not None:
                if isinstance(next_one, Exception):
                    raise next_one
                self.pulled += len(next_one)
                yield next_one
        finally:
            await self.parting.wait()
            self.closed = True


@pytest.fixture
async def provider() -> Provider:
    return Provider()


async def settle() -> None:
    """Until everybody has done what can be done with what there is."""
    for _ in range(20):
        await asyncio.sleep(0)


async def share(flights: Flights, provider: Callable[[Call], Awaitable[Reply]], asked: Call | None = None) -> Reply:
    return (await flights.share(KEY, asked or call(), provider)).reply


async def taken(flights: Flights, provider: Provider) -> Taken:
    return await take(await share(flights, provider))


def is_empty(flights: Flights) -> bool:
    return flights.held == 0 and flights.first(KEY) is None and "0 under way" in repr(flights)


# --- one for all -----------------------------------------------------------------------------------------------------


async def test_calls_at_once_share_one_upstream_call(provider: Provider) -> None:
    flights = Flights(LONGEST)
    waiting = [asyncio.ensure_future(taken(flights, provider)) for _ in range(5)]
    await settle()
    provider.say(*CHUNKS)
    provider.end()
    got = await asyncio.gather(*waiting)
    assert [each.chunks for each in got] == [CHUNKS] * 5
    assert all(each.headers == {"content-type": "text/event-stream"} for each in got)
    assert (provider.asked, provider.seen, provider.ended) == (1, CHUNKS, [None])
    await settle()
    assert is_empty(flights)


async def test_who_comes_late_has_it_from_the_beginning(provider: Provider) -> None:
    flights = Flights(LONGEST)
    first = asyncio.ensure_future(taken(flights, provider))
    provider.say(*CHUNKS[:2])
    await settle()
    late = asyncio.ensure_future(taken(flights, provider))
    await settle()
    provider.say(CHUNKS[2])
    provider.end()
    assert (await first).chunks == (await late).chunks == CHUNKS
    assert provider.asked == 1


async def test_after_its_end_nobody_joins(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(*CHUNKS)
    provider.end()
    reply = await share(flights, provider)
    await settle()  # it has landed, and its one client has read nothing
    assert flights.first(KEY) is None
    provider.say(*CHUNKS)
    provider.end()
    assert (await taken(flights, provider)).chunks == CHUNKS
    assert provider.asked == 2
    assert (await take(reply)).chunks == CHUNKS


async def test_a_whole_answer_is_shared_likewise() -> None:
    begun, ended, seen = asyncio.Event(), list[object](), list[bytes]()

    async def whole(asked: Call) -> Reply:
        await begun.wait()
        return Reply(200, [("a", "b")], b"{}", taps=[seen.append], endings=[ended.append])

    flights = Flights(LONGEST)
    waiting = [asyncio.ensure_future(share(flights, whole)) for _ in range(3)]
    await settle()
    begun.set()
    replies = await asyncio.gather(*waiting)
    assert [(reply.status, reply.headers, reply.body) for reply in replies] == [(200, [("a", "b")], b"{}")] * 3
    assert len({id(reply.headers) for reply in replies}) == 3  # each may add its own
    assert (seen, ended) == ([b"{}"], [None])
    assert is_empty(flights)


async def test_each_has_what_keeps_its_stream_alive(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(b"x")
    provider.end()
    reply = await share(flights, provider)
    assert reply.ping == b": ping\n\n"
    await take(reply)


# --- who leaves ------------------------------------------------------------------------------------------------------


async def test_the_first_one_leaves_before_the_head_and_the_others_go_on(provider: Provider) -> None:
    flights = Flights(LONGEST)
    first = asyncio.ensure_future(taken(flights, provider))
    await settle()
    second = asyncio.ensure_future(taken(flights, provider))
    await settle()
    first.cancel()
    await settle()
    provider.say(*CHUNKS)
    provider.end()
    assert (await second).chunks == CHUNKS
    assert (provider.asked, provider.ended, first.cancelled()) == (1, [None], True)


async def test_the_first_one_has_waited_for_the_provider_until_it_left(provider: Provider) -> None:
    flights, asked = Flights(LONGEST), call()
    first = asyncio.ensure_future(share(flights, provider, asked))
    await settle()
    second = asyncio.ensure_future(taken(flights, provider))
    await asyncio.sleep(0.01)
    first.cancel()
    await settle()
    assert 0.005 < asked.waited < 1
    provider.say(*CHUNKS)
    provider.end()
    await second


async def test_the_first_one_leaves_in_the_middle_and_the_others_go_on(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(CHUNKS[0])
    reply = await share(flights, provider)
    second = asyncio.ensure_future(taken(flights, provider))
    await settle()
    async with delivery(reply) as (_, chunks):
        assert await anext(chunks) == CHUNKS[0]
    await settle()
    assert not provider.closed
    provider.say(*CHUNKS[1:])
    provider.end()
    assert (await second).chunks == CHUNKS
    assert provider.ended == [None]


async def test_when_all_have_left_before_the_head_nothing_more_is_asked(provider: Provider) -> None:
    flights = Flights(LONGEST)
    waiting = [asyncio.ensure_future(taken(flights, provider)) for _ in range(3)]
    await settle()
    (task,) = flights._tasks
    for each in waiting:
        each.cancel()
    await settle()
    assert provider.cancelled
    assert task.cancelled()
    assert is_empty(flights)


@pytest.mark.parametrize("reads", [0, 1])
async def test_when_all_have_left_in_the_middle_the_provider_is_let_go(provider: Provider, reads: int) -> None:
    flights = Flights(LONGEST)
    provider.say(*CHUNKS[:2])
    replies = [await share(flights, provider) for _ in range(3)]
    for reply in replies:
        assert not provider.aborted
        async with delivery(reply) as (_, chunks):
            for _ in range(reads):
                await anext(chunks)
    assert flights.first(KEY) is None
    await settle()
    assert provider.aborted
    assert provider.closed
    assert [type(error) for error in provider.ended] == [asyncio.CancelledError]
    assert is_empty(flights)


async def test_the_last_one_to_leave_waits_until_the_provider_is_let_go(provider: Provider) -> None:
    """What it has cost is known only then."""
    flights = Flights(LONGEST)
    provider.say(CHUNKS[0])
    first, last = await share(flights, provider), await share(flights, provider)
    for reply, ended in [(first, []), (last, [asyncio.CancelledError])]:
        async with delivery(reply) as (_, chunks):
            await anext(chunks)
        assert [type(error) for error in provider.ended] == ended
    assert is_empty(flights)


async def test_so_does_one_that_leaves_before_there_is_an_answer(provider: Provider) -> None:
    flights = Flights(LONGEST)
    waiting = asyncio.ensure_future(taken(flights, provider))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert provider.cancelled
    assert is_empty(flights)


async def test_who_asks_while_a_flight_is_broken_off_has_one_of_its_own(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(CHUNKS[0])
    provider.parting.clear()
    first = await share(flights, provider)

    async def leave() -> None:
        async with delivery(first):
            await settle()

    leaving = asyncio.ensure_future(leave())
    await settle()
    second = asyncio.ensure_future(taken(flights, provider))
    await settle()
    assert not provider.closed
    provider.parting.set()
    await settle()
    assert provider.closed
    assert leaving.done()
    third = asyncio.ensure_future(taken(flights, provider))  # the end of the first is not the end of the second
    await settle()
    provider.say(*CHUNKS)
    provider.end()
    assert (await second).chunks == (await third).chunks == CHUNKS
    assert provider.asked == 2


async def test_one_that_is_stopped_alone_has_words_of_its_own(provider: Provider) -> None:
    """Whoever renders the shared stream goes on with it, and must not be asked to end it."""
    flights = Flights(LONGEST)
    provider.say(CHUNKS[0])
    one, other = await share(flights, provider), asyncio.ensure_future(taken(flights, provider))
    await settle()
    async with delivery(one) as (got, chunks):
        await anext(chunks)
        one.stop(OverBudget("spent"))
        async for _ in chunks:
            pytest.fail("it was stopped")
        raise one.stopped or AssertionError
    assert b"spent" in got.words
    provider.say(*CHUNKS[1:])
    provider.end()
    assert (await other).chunks == CHUNKS
    assert provider.spelled == 0


async def test_the_last_one_that_is_stopped_is_told_so(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(CHUNKS[0])
    reply = await share(flights, provider)
    async with delivery(reply) as (got, chunks):
        await anext(chunks)
        reply.stop(OverBudget("spent"))
        async for _ in chunks:
            pytest.fail("it was stopped")
        raise reply.stopped or AssertionError
    assert provider.closed
    assert b"spent" in got.words


async def test_at_the_end_of_pillion_all_are_broken_off(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(CHUNKS[0])
    reply = await share(flights, provider)
    await flights.close()
    assert provider.closed
    with pytest.raises(RuntimeError):
        await take(reply)
    assert is_empty(flights)


# --- what fails ------------------------------------------------------------------------------------------------------


async def test_a_failure_before_the_first_byte_is_everybodys_own(provider: Provider) -> None:
    flights = Flights(LONGEST)
    waiting = [asyncio.ensure_future(share(flights, provider)) for _ in range(3)]
    await settle()
    provider.refusal = Busy("wait", provider="openai", upstream_status=429, headers=[("retry-after", "2")], body=b"{}")
    provider.head.set()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    for error in errors:
        assert type(error) is Busy
        assert (error.message, error.provider, error.status) == ("wait", "openai", 429)
        assert (error.upstream_status, error.headers, error.body) == (429, [("retry-after", "2")], b"{}")
    assert provider.asked == 1
    assert is_empty(flights)


async def test_a_failure_in_the_middle_is_told_to_each(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(*CHUNKS[:2])
    waiting = [asyncio.ensure_future(taken(flights, provider)) for _ in range(3)]
    await settle()
    provider.fail(Down("broke", code="upstream_cut"))
    got = await asyncio.gather(*waiting)
    assert [each.chunks for each in got] == [CHUNKS[:2]] * 3
    assert {each.words for each in got} == {b"event 1: upstream_cut"}  # it was spelled once
    assert len({id(each.error) for each in got}) == 3
    assert [type(error) for error in provider.ended] == [Down]
    assert provider.aborted


async def test_what_the_provider_has_told_itself_stays_told(provider: Provider) -> None:
    flights, error = Flights(LONGEST), Down("overloaded")
    error.told = True
    provider.say(CHUNKS[0])
    waiting = [asyncio.ensure_future(taken(flights, provider)) for _ in range(2)]
    await settle()
    provider.fail(error)
    for got in await asyncio.gather(*waiting):
        assert isinstance(got.error, Down)
        assert got.error.told


async def test_a_stream_that_is_stopped_from_below_is_stopped_for_all(provider: Provider) -> None:
    """As a budget does that is spent; what the provider's side then says of it counts for nothing."""
    flights = Flights(LONGEST)
    provider.say(CHUNKS[0])
    waiting = [asyncio.ensure_future(taken(flights, provider)) for _ in range(2)]
    await settle()
    assert provider.reply is not None
    provider.reply.stop(OverBudget("spent"))
    provider.fail(Down("cut"))
    for got in await asyncio.gather(*waiting):
        assert type(got.error) is OverBudget
    assert [type(error) for error in provider.ended] == [OverBudget]


async def test_a_stop_at_a_chunk_lets_that_chunk_out_and_no_more(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.head.set()
    reply = await share(flights, provider)
    inner = provider.reply
    assert inner is not None
    inner.taps.append(lambda chunk: inner.stop(OverBudget("spent")))
    provider.say(*CHUNKS)
    got = await take(reply)
    assert got.chunks == CHUNKS[:1]
    assert type(got.error) is OverBudget


@pytest.mark.parametrize("begun", [False, True])
async def test_a_bug_reaches_each_and_says_where_it_was(provider: Provider, begun: bool) -> None:
    flights = Flights(LONGEST)
    if begun:
        provider.say(CHUNKS[0])
        provider.fail(ZeroDivisionError("bug"))
    else:
        provider.refusal = ZeroDivisionError("bug")
        provider.head.set()
    results = await asyncio.gather(*(taken(flights, provider) for _ in range(2)), return_exceptions=True)
    assert [type(error) for error in results] == [RuntimeError] * 2
    assert all(isinstance(error.__cause__, ZeroDivisionError) for error in results if isinstance(error, RuntimeError))


async def test_an_observer_that_fails_costs_nobody_anything(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(CHUNKS[0])
    reply = await share(flights, provider)
    assert provider.reply is not None

    def fails(_: object) -> None:
        raise ValueError("observer")

    provider.reply.taps.append(fails)
    provider.reply.endings.insert(0, fails)
    provider.say(*CHUNKS[1:])
    provider.end()
    assert (await take(reply)).chunks == CHUNKS
    assert provider.ended == [None]


# --- everybody's pace ------------------------------------------------------------------------------------------------

PIECE = b"x" * 16 * 1024


async def test_nobody_reads_and_little_comes(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(*[PIECE] * 200)
    replies = [await share(flights, provider) for _ in range(3)]
    await settle()
    assert provider.pulled <= AHEAD + len(PIECE)
    for reply in replies:
        async with delivery(reply):
            pass


async def test_a_slow_one_lags_while_there_is_room_for_it(provider: Provider) -> None:
    flights, count = Flights(LONGEST), LONGEST // len(PIECE)
    provider.say(*[PIECE] * count)
    provider.end()
    slow, fast = await share(flights, provider), await share(flights, provider)
    got = await asyncio.wait_for(take(fast), 5)
    assert len(got.body) == LONGEST
    assert flights.held == LONGEST
    assert len((await take(slow)).body) == LONGEST
    assert is_empty(flights)


async def test_beyond_that_the_slowest_sets_the_pace_and_nobody_joins(provider: Provider) -> None:
    flights, count = Flights(2 * LONGEST), 3 * LONGEST // len(PIECE)
    provider.say(*[PIECE] * count)
    provider.end()
    slow, fast = await share(flights, provider), asyncio.ensure_future(taken(flights, provider))
    for _ in range(count):
        await asyncio.sleep(0)
    assert not fast.done()
    assert provider.pulled > LONGEST
    assert provider.pulled <= LONGEST + len(PIECE)
    assert flights.first(KEY) is None
    async with delivery(slow) as (_, chunks):
        while provider.pulled <= LONGEST + len(PIECE):
            await anext(chunks)
        await settle()
        assert flights.held <= AHEAD + len(PIECE)  # what both have read is gone
    assert len((await asyncio.wait_for(fast, 5)).body) == 3 * LONGEST
    await settle()
    assert is_empty(flights)


async def test_all_logs_together_have_a_bound(provider: Provider) -> None:
    flights = Flights(len(PIECE) * 4)
    provider.say(*[PIECE] * 100)
    provider.end()
    reply = await share(flights, provider)
    await settle()
    assert flights.first(KEY) is None
    other = Provider()
    other.say(PIECE)
    await share(flights, other)
    await settle()
    assert flights.first(KEY) is None  # there was no room for a second one to be joined, either
    assert len((await take(reply)).body) == 100 * len(PIECE)
    await flights.close()


async def test_a_long_backlog_gives_others_their_turn(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(*[PIECE] * 16)
    provider.end()
    reply = await share(flights, provider)
    await settle()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0)
    ticks = 0
    await take(reply)
    ticking.cancel()
    assert ticks >= 3


async def test_nothing_is_left_of_a_flight(provider: Provider) -> None:
    flights = Flights(LONGEST)
    provider.say(*CHUNKS)
    waiting = [asyncio.ensure_future(taken(flights, provider)) for _ in range(3)]
    await settle()
    flight = weakref.ref(flights._open[KEY])
    provider.end()
    await asyncio.gather(*waiting)
    await settle()
    waiting.clear()
    provider.reply = None
    gc.collect()
    assert flight() is None


# --- any order of things ---------------------------------------------------------------------------------------------

WAITERS = 4
_who = st.integers(0, WAITERS - 1)
_step = st.one_of(
    st.tuples(st.just("join"), _who),
    st.tuples(st.just("read"), _who),
    st.tuples(st.just("leave"), _who),
    st.tuples(st.just("say"), st.integers(1, 12)),
)


class Stage:
    """Waiters that read when they are told to, and a provider that says the same to each flight."""

    def __init__(self, most: int) -> None:
        self.flights = Flights(most)
        self.said: list[bytes] = []
        self.is_over = False
        self.under_way = 0
        self.permits: dict[int, asyncio.Semaphore] = {}
        self.waiters: dict[int, asyncio.Task[bytes]] = {}
        self._more = asyncio.Event()

    async def provider(self, asked: Call) -> Reply:
        return Reply(200, [], self._body())

    async def _body(self) -> AsyncGenerator[bytes]:
        at, self.under_way = 0, self.under_way + 1
        try:
            while at < len(self.said) or not self.is_over:
                if at < len(self.said):
                    yield self.said[at]
                    at += 1
                else:
                    await self._more.wait()
        finally:
            self.under_way -= 1

    def do(self, what: str, value: int) -> None:
        match what:
            case "join" if value not in self.waiters:
                self.permits[value] = asyncio.Semaphore(0)
                self.waiters[value] = asyncio.ensure_future(self._wait(value))
            case "read" if value in self.waiters:
                self.permits[value].release()
            case "leave" if value in self.waiters:
                self.waiters.pop(value).cancel()
            case "say":
                self.said.append(bytes([65 + len(self.said) % 26]) * value)
                self._wake()
            case _:
                pass

    def finish(self) -> None:
        self.is_over = True
        self._wake()
        for permits in self.permits.values():
            for _ in range(len(self.said) + 1):
                permits.release()

    def _wake(self) -> None:
        self._more.set()
        self._more.clear()

    async def _wait(self, who: int) -> bytes:
        reply = await share(self.flights, self.provider)
        async with delivery(reply) as (got, chunks):
            while True:
                await self.permits[who].acquire()
                if await anext(chunks, None) is None:
                    break
        return got.body


@given(steps=st.lists(_step, max_size=60), most=st.sampled_from([0, 20, 1000]))
def test_in_any_order_of_things_each_has_exactly_what_came(steps: list[tuple[str, int]], most: int) -> None:
    async def play() -> None:
        stage = Stage(most)
        for what, value in steps:
            stage.do(what, value)
            for _ in range(3):
                await asyncio.sleep(0)
        stage.finish()
        got: list[Any] = await asyncio.wait_for(asyncio.gather(*stage.waiters.values()), 5)
        assert got == [b"".join(stage.said)] * len(got)
        await settle()
        assert is_empty(stage.flights)
        assert stage.under_way == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "AHEAD", 8)
        patch.setattr(module, "LONGEST", 40)
        uvloop.run(play())


def test_a_flight_says_nothing_of_what_flies() -> None:
    assert repr(Flights(1)) == "<Flights: 0 under way, 0 open, 0 bytes>"
    assert Flight.__doc__
