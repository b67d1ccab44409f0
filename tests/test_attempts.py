"""Is every attempt settled once by each account that heard of it, whatever came of it?"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from proxy.errors import Down, OverLimit, Unrepresentable
from proxy.failover.attempts import attempt
from proxy.ports import Call, Headers, Reply
from proxy.registry import dialect


async def nothing() -> bytes:
    return b""


def call(*accounts: Any) -> Call:
    made = Call(
        id="1", operation="chat", dialect=dialect("openai_chat"), headers={}, query={}, receive=nothing, started=0.0
    )
    made.accounts.extend(accounts)
    return made


class Book:
    """An account that notes what it hears."""

    def __init__(self, name: str, notes: list[Any], refuses: Exception | None = None) -> None:
        self.name, self.notes, self.refuses = name, notes, refuses

    async def reserve(self, call: Call) -> str:
        if self.refuses:
            raise self.refuses
        self.notes.append(("reserve", self.name, call.attempts))
        return self.name

    def begun(self, call: Call, reply: Reply) -> None:
        self.notes.append(("begun", self.name))

    def settle(self, call: Call, held: Any, error: BaseException | None) -> None:
        heard = b"".join(call.heard.chunks) if call.heard else b""
        self.notes.append(("settle", held, type(error).__name__ if error else "", heard))


HEAD: Headers = []


async def test_a_whole_answer_is_settled_before_its_head_goes_out() -> None:
    async def whole(call: Call) -> Reply:
        notes.append("asked")
        return Reply(200, HEAD, b"{}")

    notes: list[Any] = []
    await attempt(call(Book("a", notes), Book("b", notes)), whole)
    assert notes == [
        ("reserve", "a", 1), ("reserve", "b", 1), "asked", ("settle", "b", "", b"{}"), ("settle", "a", "", b"{}"),
    ]  # fmt: skip


@pytest.mark.parametrize("error", [None, Down("x"), asyncio.CancelledError()])
async def test_a_stream_is_settled_at_its_end(error: BaseException | None) -> None:
    async def body() -> AsyncGenerator[bytes]:
        yield b""

    async def live(call: Call) -> Reply:
        return Reply(200, HEAD, body())

    notes: list[Any] = []
    reply = await attempt(call(Book("a", notes)), live)
    assert notes == [("reserve", "a", 1), ("begun", "a")]
    for chunk in (b"data: 1\n\n", b"data: 2\n\n"):
        for tap in reply.taps:
            tap(chunk)
    for ending in reply.endings * 2:
        ending(error)
    name = type(error).__name__ if error else ""
    assert notes[2:] == [("settle", "a", name, b"data: 1\n\ndata: 2\n\n")]
    assert isinstance(reply.body, AsyncGenerator)
    await reply.body.aclose()


@pytest.mark.parametrize("error", [Down("x"), asyncio.CancelledError(), ZeroDivisionError()])
async def test_an_attempt_that_fails_is_settled(error: BaseException) -> None:
    async def fail(call: Call) -> Reply:
        raise error

    notes: list[Any] = []
    with pytest.raises(type(error)):
        await attempt(call(Book("a", notes)), fail)
    assert notes[1:] == [("settle", "a", type(error).__name__, b"")]


async def test_who_refuses_has_the_others_let_go_and_nobody_is_asked() -> None:
    async def never(call: Call) -> Reply:
        raise AssertionError

    notes: list[Any] = []
    refused = call(Book("a", notes), Book("b", notes, OverLimit("no")))
    with pytest.raises(OverLimit):
        await attempt(refused, never)
    assert notes == [("reserve", "a", 1), ("settle", "a", "OverLimit", b"")]
    assert refused.attempts == 0


async def test_what_a_target_cannot_be_asked_is_no_attempt_and_leaves_nothing_to_the_next() -> None:
    async def cannot(call: Call) -> Reply:
        call.wire, call.dropped = "gemini", ("seed",)
        raise Unrepresentable("no such part there")

    async def whole(call: Call) -> Reply:
        assert (call.wire, call.dropped, call.is_settled) == ("", (), False)
        return Reply(200, HEAD, b"{}")

    notes: list[Any] = []
    one = call(Book("a", notes))
    with pytest.raises(Unrepresentable):
        await attempt(one, cannot, lambda call, error: notes.append("told"))
    assert (one.attempts, notes) == (0, [("reserve", "a", 1), ("settle", "a", "Unrepresentable", b"")])
    one.is_settled = True  # as cost leaves it
    await attempt(one, whole)
    assert one.attempts == 1


async def test_nothing_of_an_attempt_is_taken_for_the_next_ones() -> None:
    async def fail(call: Call) -> Reply:
        call.asked, call.upstream_id, call.dropped = True, "u", ("seed",)
        raise Down("x")

    async def look(call: Call) -> Reply:
        assert (call.asked, call.upstream_id, call.dropped, call.attempts) == (False, "", (), 2)
        return Reply(200, HEAD, b"")

    one = call()
    with pytest.raises(Down):
        await attempt(one, fail)
    await attempt(one, look)
