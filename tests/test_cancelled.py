"""Is everything given back wherever a request is cancelled: at each place where it waits, one after the other? (D3)

A request is played again and again, and cancelled at its first wait, at its second, and so on until it gets through;
what waits on its behalf in a task of its own (a hedge, a shared answer) counts as well. Each wait is left in two ways:
while what it waits for is still to come, and in the very turn in which it has come, so that the result reaches nobody.
There is one place for it, at every limit that there is: what one attempt keeps, the next one lacks.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from types import coroutine
from typing import Any, NamedTuple, TypeVar

import pytest

from proxy.edge.door import Door
from proxy.edge.inbound import Inbound
from proxy.store import writer
from tests.client import ANTHROPIC, OPENAI, USAGE_CHUNK, Got, Speech, ask, chat
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.waiting import soon

SSE = [("Content-Type", "text/event-stream")]
JSON = [("Content-Type", "application/json")]
T = TypeVar("T")
CHAT = OPENAI.stream[:-14] + USAGE_CHUNK + OPENAI.stream[-14:]


# --- the one who cancels ---------------------------------------------------------------------------------------------


class Cut:
    """Cancels a request at the `at`-th wait of its own or of the tasks that it has begun, if it has as many."""

    def __init__(self, at: int, late: bool) -> None:
        self.at = at
        self.late = late
        self.waits = 0
        self.is_made = False
        self.task: asyncio.Task[Any] | None = None  # the request's

    @coroutine
    def through(self, doing: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        steps = doing.__await__()
        try:
            waits = next(steps)
            while True:
                self._see(waits)
                try:
                    turn = yield waits
                except BaseException as error:
                    waits = steps.throw(error)
                else:
                    waits = steps.send(turn)
        except StopIteration as end:
            result: T = end.value
            return result

    def _see(self, waits: "asyncio.Future[Any] | None") -> None:
        self.waits += 1
        if self.waits != self.at or self.task is None:
            return
        self.is_made, task = True, self.task
        if self.late and waits is not None:
            waits.add_done_callback(lambda _: task.cancel())  # before whoever waits hears of it
        else:
            task.cancel()


_cut: ContextVar[Cut | None] = ContextVar("cut", default=None)  # which tasks have from whoever begins them


@pytest.fixture
async def cuts(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[deque[Cut]]:
    """Those that the next requests are led through; a request for which none is left is let alone."""
    queue, answer, loop = deque[Cut](), Door._answer, asyncio.get_running_loop()

    async def led(cut: Cut, doing: Coroutine[Any, Any, T]) -> T:
        return await cut.through(doing)

    async def answering(door: Door, inbound: Inbound) -> None:
        if not queue:
            await answer(door, inbound)
            return
        cut = queue.popleft()
        cut.task = asyncio.current_task()
        _cut.set(cut)
        await cut.through(answer(door, inbound))

    def task(loop: Any, doing: Coroutine[Any, Any, T], **named: Any) -> asyncio.Task[T]:
        cut = _cut.get()
        return asyncio.Task(doing if cut is None else led(cut, doing), loop=loop, **named)

    monkeypatch.setattr(Door, "_answer", answering)
    monkeypatch.setattr(writer, "GATHER", 0.001)  # for each request waits until its row is written
    loop.set_task_factory(task)  # type: ignore[arg-type]
    yield queue
    loop.set_task_factory(None)


# --- what is played --------------------------------------------------------------------------------------------------


def stream(body: bytes) -> Scenario:
    """In four pieces, for each of which somebody has to wait."""
    quarter = len(body) // 4
    return Scenario(body=body, headers=SSE, framing="chunked", split=[quarter] * 3, gap=0.001)


WHOLE = {"openai": Scenario(body=OPENAI.whole, headers=JSON), "anthropic": Scenario(body=ANTHROPIC.whole, headers=JSON)}
LIVE = {"openai": stream(CHAT), "anthropic": stream(ANTHROPIC.stream)}
DOWN = Scenario(
    status=500, headers=JSON, body=b'{"error":{"message":"no","type":"server_error","param":null,"code":null}}'
)
SLOW = Scenario(body=OPENAI.whole, headers=JSON, delay_head=0.02)
DUMB = Scenario(cut_at=0, cut_of="wire", how="stall")


class Scene(NamedTuple):
    """`openai`: what it answers first, before it is well. `beside`: so many ask the same at the same moment."""

    speech: Speech
    model: str
    stream: bool
    openai: tuple[Scenario, ...] = ()
    environ: tuple[tuple[str, str], ...] = ()
    beside: int = 0
    attempts: int = 1
    waits: int = 3  # at least


RETRY = (("PILLION_RETRY_MAX_RETRIES", "2"), ("PILLION_RETRY_INITIAL_DELAY", "0.001"), ("PILLION_RETRY_BUDGET", "1"))
HEDGE = (("PILLION_HEDGE_ENABLED", "true"), ("PILLION_HEDGE_AFTER", "0.001"), ("PILLION_HEDGE_SHARE", "1"))
FLIGHT = (("PILLION_CACHE_SINGLE_FLIGHT", "true"),)
KEPT = (("PILLION_CACHE_ENABLED", "true"), ("PILLION_CACHE_TTL", "0.000001"))
SCENES = {
    "passed through": Scene(OPENAI, "openai/m", False),
    "a stream passed through": Scene(OPENAI, "openai/m", True, waits=5),
    "another wire's passed through": Scene(ANTHROPIC, "anthropic/m", True, waits=5),
    "translated": Scene(ANTHROPIC, "openai/m", False),
    "a stream translated": Scene(OPENAI, "anthropic/m", True, waits=5),
    "a stream translated the other way": Scene(ANTHROPIC, "openai/m", True, waits=5),
    "tried again": Scene(OPENAI, "openai/m", False, (DOWN, DOWN), RETRY, attempts=3, waits=8),
    "a stream tried again": Scene(OPENAI, "openai/m", True, (DOWN,), RETRY, attempts=2, waits=8),
    "answered by another": Scene(OPENAI, "r", False, (DOWN,), attempts=2, waits=6),
    "a stream by another": Scene(ANTHROPIC, "r", True, (DOWN,), attempts=2, waits=6),
    "hedged": Scene(OPENAI, "r", False, (DUMB,), HEDGE, attempts=2),
    "a stream hedged": Scene(ANTHROPIC, "r", True, (DUMB,), HEDGE, attempts=2),
    "kept": Scene(OPENAI, "openai/m", False, (), KEPT),
    "a stream kept": Scene(OPENAI, "openai/m", True, (), KEPT, waits=5),
    "shared": Scene(OPENAI, "openai/m", False, (SLOW,), FLIGHT, beside=1),
    "a stream shared": Scene(ANTHROPIC, "openai/m", True, (), FLIGHT, beside=1),
}


class Stage:
    def __init__(self, scene: Scene, gateway: Gateway, hosts: list[Evil]) -> None:
        self.scene = scene
        self.gateway = gateway
        self.hosts = hosts

    async def play(self) -> int:
        """How many of those who asked have a whole answer."""
        self.hosts[0].queue = deque(self.scene.openai)
        answers = await asyncio.gather(*(self._asked() for _ in range(1 + self.scene.beside)))
        for got in answers:
            if got is not None:
                self._check(got)
        return sum(got is not None and got.whole for got in answers)

    async def _asked(self) -> Got | None:
        speech = self.scene.speech
        body = speech.request(self.scene.stream, self.scene.model)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            return await chat(self.gateway, speech, body)
        return None

    def _check(self, got: Got) -> None:
        """Never as if it were whole when it is not."""
        assert got.status == 200
        ends = self.scene.speech.ends_whole(got.body) if self.scene.stream else "ße".encode() in got.body
        assert ends or not got.whole

    async def quiet(self) -> None:
        """Nothing is held any more, by whomever."""
        app = self.gateway.app
        lasting = app.lasting
        await soon(lambda: not lasting.active and app.upstream.in_use == 0 and lasting.overload.under_way == 0)
        await soon(lambda: not lasting.cache.flights._tasks and app.accounting.ledger.pending == 0)
        assert {row.reserved for row in app.accounting.budgets.statements()} == {0}
        assert {one.latency.in_flight for one in lasting.standings} <= {0}
        assert (lasting.limits.queued, lasting.overload.queued) == (0, 0)

    async def books(self) -> tuple[int, int]:
        """How many attempts are in the ledger, and how many the providers have seen."""
        got = await ask(self.gateway, "GET", "/v1/usage?group_by=provider")
        rows = json.loads(got.body)["data"]
        return sum(row["requests"] for row in rows), sum(len(host.requests) for host in self.hosts)


@asynccontextmanager
async def staged(scene: Scene, folder: Path) -> AsyncIterator[Stage]:
    """With everything on that holds something, and one place at each."""
    places = 1 + scene.beside
    text = (
        "routes: {r: {targets: [openai/m, anthropic/m]}}\n"
        "prices: {openai/m: {input: 1, output: 3}, anthropic/m: {input: 1, output: 3}}\n"
        f"budgets: {{all: {{usd: 1000, window: day, unbounded_usd: {900 // (places + 1)}}}}}\n"
        f"limits: {{client: {{concurrent: {places}}}, models: {{openai/m: {{concurrent: 1}}}}}}\n"
        "ledger: {create: true, synchronous: full}\n"
    )

    def openai(request: Received) -> Scenario:
        return hosts[0].queue.popleft() if hosts[0].queue else well("openai", request)

    def well(name: str, request: Received) -> Scenario:
        return (LIVE if json.loads(request.body).get("stream") else WHOLE)[name]

    async with Evil(answering=openai) as one, Evil(answering=lambda request: well("anthropic", request)) as other:
        hosts = [one, other]
        said = {
            **config_file(text, folder),
            **OPENAI.environ(one.url),
            **ANTHROPIC.environ(other.url),
            "PILLION_OVERLOAD_MAX_REQUESTS": str(places),
            "PILLION_OVERLOAD_MAX_QUEUE": "0",
            **dict(scene.environ),
        }
        async with pillion(**said) as gateway:
            yield Stage(scene, gateway, hosts)


@pytest.mark.parametrize("late", [False, True], ids=["as it waits", "as its turn comes"])
@pytest.mark.parametrize("name", SCENES)
async def test_wherever_it_is_cancelled_nothing_is_kept(
    name: str, late: bool, tmp_path: Path, cuts: deque[Cut]
) -> None:
    scene = SCENES[name]
    async with staged(scene, tmp_path) as stage:
        booked, seen = await stage.books()
        was, had = booked, seen
        for at in count(1):
            cuts.append(cut := Cut(at, late))
            whole = await stage.play()
            await stage.quiet()
            assert whole >= scene.beside + (not cut.is_made), f"at wait {at}"  # nobody is cancelled with another
            was, had, (booked, seen) = booked, seen, await stage.books()
            # What a provider has seen is booked; what was cancelled on its way there may have been seen or not.
            assert seen - had <= booked - was <= scene.attempts + scene.beside, f"at wait {at}"
            if not cut.is_made:
                break
        # All of them are; but the loser of a hedge may be let go of before its provider has read a word, and on a busy
        # machine whoever asks the same comes too late to share the answer.
        assert booked - was == scene.attempts or (scene.beside and booked - was > scene.attempts)
        assert at > scene.waits
