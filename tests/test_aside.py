"""Is everybody else still served while a large body is read, and is a small one read at once?"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from proxy.edge.aside import LARGE, SKIMMED, aside
from proxy.edge.inbound import Inbound
from proxy.envelope import Envelope
from proxy.lanes import counting
from proxy.middleware import intake
from proxy.registry import dialect
from proxy.sealing.vault import Recall
from tests.client import ANTHROPIC, OPENAI, Speech, chat, client, lane_name, spell
from tests.evil import Evil, Scenario
from tests.gateway import pillion

PADDING = "x" * SKIMMED


def where(number: int = 0) -> tuple[str, int]:
    return threading.current_thread().name, number


async def test_a_small_body_is_worked_on_where_it_is_and_a_large_one_in_the_thread() -> None:
    here, _ = where()
    assert await aside(LARGE, where, 3) == (here, 3)
    assert await aside(LARGE + 1, where, 3) == ("large-bodies_0", 3)


@pytest.mark.parametrize("size", [LARGE, LARGE + 1])
async def test_what_the_work_raises_is_raised(size: int) -> None:
    with pytest.raises(ZeroDivisionError):
        await aside(size, divmod, 1, 0)


async def test_they_are_done_one_after_the_other_and_who_was_cancelled_before_is_not_done_at_all() -> None:
    go_on, done = threading.Event(), list[int]()
    first = asyncio.create_task(aside(LARGE + 1, go_on.wait))
    others = [asyncio.create_task(aside(LARGE + 1, done.append, number)) for number in range(3)]
    await asyncio.sleep(0)
    others[1].cancel()
    await asyncio.sleep(0)
    assert done == []
    go_on.set()
    await asyncio.gather(first, others[0], others[2])
    assert done == [0, 2]


async def test_others_are_served_while_a_large_body_waits_for_its_turn() -> None:
    go_on = threading.Event()
    async with pillion() as gateway, client(gateway) as large:
        reading = asyncio.create_task(aside(LARGE + 1, go_on.wait))
        await large.send(spell("POST", OPENAI.path, OPENAI.request(model="echo/text", padding=PADDING)))
        assert (await chat(gateway, OPENAI, OPENAI.request(model="echo/text"))).status == 200
        answer = asyncio.create_task(large.answer())
        assert not answer.done()
        go_on.set()
        await reading
        assert (await answer).status == 200


class Nobody:
    """A client whose body has come already."""

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def read_on(self) -> None:
        raise NotImplementedError


async def test_a_long_body_is_put_together_in_the_thread_out_of_few_pieces() -> None:
    inbound, chunks = Inbound(Nobody(), "POST", b"/", {}, True), [bytes([n % 256]) * 1000 for n in range(5000)]
    for chunk in chunks:
        inbound.add(chunk)
    inbound.end()
    go_on = threading.Event()
    before = asyncio.create_task(aside(LARGE + 1, go_on.wait))
    reading = asyncio.create_task(inbound.body(2**30, 1, 1))
    await asyncio.sleep(0)
    waits = not reading.done()
    go_on.set()
    assert await reading == b"".join(chunks)
    assert waits
    await before


STEPS = [
    (intake, "check_values"), (Envelope, "__init__"), (type(dialect("openai_chat")), "forward"),
    (type(dialect("openai_chat")), "encode"), (type(dialect("anthropic")), "parse"), (Recall, "restore"),
    (type(dialect("anthropic")), "count_parse"), (counting, "estimate"),
]  # fmt: skip
READ = {"check_values", "__init__"}


def told(monkeypatch: pytest.MonkeyPatch, owner: object, step: str, threads: dict[str, set[str]]) -> None:
    """From now on `threads` has where the step was taken."""
    taken: Callable[..., Any] = getattr(owner, step)

    def take(*arguments: Any) -> Any:
        threads.setdefault(step, set()).add(threading.current_thread().name)
        return taken(*arguments)

    monkeypatch.setattr(owner, step, take)


@pytest.mark.parametrize(
    ("speech", "path", "steps"),
    [
        (OPENAI, OPENAI.path, READ | {"forward"}),
        (ANTHROPIC, ANTHROPIC.path, READ | {"parse", "restore", "encode"}),
        (ANTHROPIC, "/v1/messages/count_tokens", READ | {"count_parse", "estimate"}),
    ],
    ids=lane_name,
)
async def test_every_step_that_takes_its_time_is_taken_aside(
    monkeypatch: pytest.MonkeyPatch, speech: Speech, path: str, steps: set[str]
) -> None:
    threads: dict[str, set[str]] = {}
    for owner, step in STEPS:
        told(monkeypatch, owner, step, threads)
    answer = Scenario(headers=[("Content-Type", "application/json")], body=OPENAI.whole)
    async with Evil(answering=lambda _: answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        for padding, thread in (("", threading.main_thread().name), (PADDING, "large-bodies_0")):
            asked = speech.request(model="openai/m", metadata={"user_id": padding})
            async with client(gateway) as one:
                await one.send(spell("POST", path, asked, speech.headers))
                assert (await one.answer()).status == 200
            assert threads == {step: {thread} for step in steps}
            threads.clear()


async def test_of_a_body_that_passes_the_first_level_is_read_at_once_up_to_a_greater_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: dict[str, set[str]] = {}
    for owner, step in STEPS[:3]:
        told(monkeypatch, owner, step, threads)
    answer = Scenario(headers=[("Content-Type", "application/json")], body=OPENAI.whole)
    async with Evil(answering=lambda _: answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        asked = OPENAI.request(model="openai/m", metadata={"user_id": "x" * LARGE})
        async with client(gateway) as one:
            await one.send(spell("POST", OPENAI.path, asked, OPENAI.headers))
            assert (await one.answer()).status == 200
    assert threads == {step: {threading.main_thread().name} for step in READ | {"forward"}}
