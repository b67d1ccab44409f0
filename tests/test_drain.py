"""Does pillion leave without a word broken off, and say so to those whom it cannot wait for?

In this process, against an upstream that is slow on demand; test_serving.py has the signals and the exit codes.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from errno import ECONNREFUSED
from math import inf
from typing import Any

import pytest

from proxy.edge.door import Door
from proxy.edge.inbound import Inbound
from proxy.errors import GatewayError
from proxy.process import serving
from proxy.process.serving import drain
from tests.client import ANTHROPIC, LANES, OPENAI, SPEECHES, Client, Got, Speech, ask, client, lane_name, spell
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion
from tests.waiting import soon

SSE = [("Content-Type", "text/event-stream")]
HALF = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked", cut_at=300, how="stall")
SILENT = Scenario(cut_at=0, cut_of="wire", how="stall")


def half(speech: Speech) -> Scenario:
    """A stream that has begun, and does not go on."""
    return replace(HALF, body=speech.stream, cut_at=len(speech.stream) * 3 // 4)


@asynccontextmanager
async def draining(
    gateway: Gateway, hurry: asyncio.Event | None = None, least: float = 0.0, most: float = 30.0
) -> AsyncIterator["asyncio.Task[int]"]:
    """With these seconds of min_sigterm_delay and max_sigterm_delay."""
    app = gateway.app
    app.config = app.config._replace(min_sigterm_delay=least, max_sigterm_delay=most)
    task = asyncio.create_task(drain(app, hurry or asyncio.Event()))
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()


async def asked(one: Client, speech: Speech, stream: bool, model: str) -> None:
    await one.send(spell("POST", speech.path, speech.request(stream, model), speech.headers))


async def refused(gateway: Gateway) -> None:
    """Until nobody listens any more."""

    def is_refused() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex((gateway.host, gateway.port)) == ECONNREFUSED

    await soon(is_refused)


async def begun(one: Client) -> None:
    """The head of a stream, and its first bytes."""
    assert (await one.head())[0] == 200
    assert await one.some()


# --- what may finish -------------------------------------------------------------------------------------------------


async def test_fifty_live_streams_are_given_whole_and_then_it_is_over() -> None:
    slow = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked", split=[300], gap=0.2)
    async with Evil(answering=lambda _: slow) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        async with AsyncExitStack() as stack:
            ones = [await stack.enter_async_context(client(gateway)) for _ in range(50)]
            await asyncio.gather(*(asked(one, OPENAI, True, "gpt") for one in ones))
            heads = await asyncio.gather(*(one.head() for one in ones))
            async with draining(gateway) as end:
                bodies = await asyncio.gather(*(one.rest() for one in ones))
                assert await end == 0
        assert {status for status, _ in heads} == {200}
        assert all(body.endswith(b"0\r\n\r\n") for body in bodies)
        assert {unchunked(body) for body in bodies} == {OPENAI.stream}


def unchunked(body: bytes) -> bytes:
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        out, body = out + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return out


async def test_a_whole_answer_that_is_under_way_is_given_and_says_that_it_is_the_last() -> None:
    slow = Scenario(body=OPENAI.whole, delay_head=0.1)
    async with Evil(slow) as evil, pillion(**OPENAI.environ(evil.url)) as gateway, client(gateway) as one:
        await asked(one, OPENAI, False, "gpt")
        await evil.received()
        async with draining(gateway) as end:
            got = await one.answer()
            assert (got.status, got.body, got.header("connection")) == (200, OPENAI.whole, "close")
            assert await one.rest() == b""
            assert await end == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_while_it_serves_on_each_answer_is_the_last_of_its_connection(stream: bool) -> None:
    """So that a client that keeps connections is elsewhere when they are closed."""
    scenario = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked") if stream else Scenario(body=OPENAI.whole)
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway, client(gateway) as one:
        await one.send(spell("GET", "/liveness"))
        assert (await one.answer()).header("connection") is None
        async with draining(gateway, least=30.0):
            await asked(one, OPENAI, stream, "gpt")
            got = await one.answer()
            assert (got.status, got.whole, got.header("connection")) == (200, True, "close")
            assert await one.rest() == b""
            async with client(gateway) as other:
                await other.send(spell("GET", "/readiness"))
                assert (await other.answer()).status == 503


async def test_the_listener_for_the_cluster_keeps_its_connections_meanwhile() -> None:
    async with (
        pillion(PILLION_METRICS_ADDRESS="127.0.0.1:0") as gateway,
        draining(gateway, least=30.0),
        client(gateway.app.addresses[-1]) as one,
    ):
        await one.send(spell("GET", "/metrics"))
        assert (await one.answer()).header("connection") is None


@pytest.mark.parametrize("before", [False, True], ids=["silent", "after an answer"])
async def test_an_idle_connection_is_closed_and_nobody_waits_for_it(before: bool) -> None:
    async with pillion() as gateway, client(gateway) as one:
        if before:
            await one.send(spell("GET", "/liveness"))
            await one.answer()
        else:
            await soon(lambda: bool(gateway.app.server._doors))
        async with draining(gateway) as end:
            assert await one.rest() == b""
            assert await end == 0


# --- in which order --------------------------------------------------------------------------------------------------


async def test_it_is_not_ready_at_once_serves_on_for_a_while_and_then_lets_nobody_in() -> None:
    hurry = asyncio.Event()
    async with pillion(PILLION_METRICS_ADDRESS="127.0.0.1:0") as gateway:
        async with draining(gateway, hurry, least=30, most=60) as end:
            assert (await ask(gateway, "GET", "/readiness")).status == 503
            assert (await ask(gateway, "GET", "/liveness")).status == 200
            got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(model="echo/text"))
            assert (got.status, got.header("connection")) == (200, "close")
            hurry.set()
            assert await end == 0
        await refused(gateway)


async def test_the_clusters_listener_tells_to_the_end_that_we_are_not_ready() -> None:
    async with (
        Evil(SILENT) as evil,
        pillion(**OPENAI.environ(evil.url), PILLION_METRICS_ADDRESS="127.0.0.1:0") as gateway,
        client(gateway) as one,
    ):
        await asked(one, OPENAI, False, "gpt")
        await evil.received()
        async with draining(gateway):
            await refused(gateway)
            where = gateway.app.addresses[-1]
            assert (await ask(where, "GET", "/readiness")).status == 503
            assert (await ask(where, "GET", "/liveness")).status == 200
            assert (await ask(where, "GET", "/metrics")).status == 200


async def test_the_delay_counts_from_the_signal_and_not_from_the_drain() -> None:
    late = Scenario(body=OPENAI.whole, delay_head=0.5)  # in time for a drain that counted from its own beginning
    async with Evil(late) as evil, pillion(**OPENAI.environ(evil.url)) as gateway, client(gateway) as one:
        await asked(one, OPENAI, False, "gpt")
        await evil.received()
        async with draining(gateway, least=0.3, most=0.3) as end:
            assert (await one.answer()).status == 503
            assert await end == 1


# --- what is cut -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["the deadline", "hurry"])
@pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
async def test_a_stream_that_goes_on_too_long_is_cut_in_its_clients_words(
    speech: Speech, provider: Speech, why: str
) -> None:
    hurry = asyncio.Event()
    async with Evil(half(provider)) as evil, pillion(**provider.environ(evil.url)) as gateway:
        async with client(gateway) as one:
            await asked(one, speech, True, f"{provider.provider}/m")
            await begun(one)
            if why == "hurry":
                hurry.set()
            async with draining(gateway, hurry, most=0.05 if why == "the deadline" else 30) as end:
                rest = await one.rest()
                assert await end == 1
        assert not rest.endswith(b"0\r\n\r\n")
        assert "shutting down" in speech.error(last_event(rest))["message"]
        assert (await evil.closed()).how in ("rst", "fin")
        assert gateway.app.upstream.in_use == 0


def last_event(rest: bytes) -> bytes:
    """The data of the last event in the chunks."""
    return [line for line in rest.split(b"\n") if line.startswith(b"data:")][-1].removeprefix(b"data:").strip()


async def test_a_stream_of_our_own_that_sleeps_is_cut_as_well() -> None:
    async with pillion() as gateway, client(gateway) as one:
        await asked(one, OPENAI, True, "echo/tokens-200+rate-2")
        await begun(one)
        async with draining(gateway, most=0.05) as end:
            assert "shutting down" in OPENAI.error(last_event(await one.rest()))["message"]
            assert await end == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
async def test_an_answer_that_has_not_begun_is_a_503_on_its_own_wire(
    speech: Speech, provider: Speech, stream: bool
) -> None:
    async with Evil(SILENT) as evil, pillion(**provider.environ(evil.url)) as gateway, client(gateway) as one:
        await asked(one, speech, stream, f"{provider.provider}/m")
        await evil.received()
        async with draining(gateway, most=0.05) as end:
            got = await one.answer()
            assert (got.status, got.header("connection"), got.whole) == (503, "close", True)
            assert "shutting down" in speech.error(got.body)["message"]
            assert await end == 1
        await evil.closed()


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_one_that_came_in_the_very_turn_of_the_end_is_told_as_well(
    speech: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task is there by then, and has not begun."""
    begin, error = Door._begin, GatewayError("pillion is shutting down: try again.", status=503, code="shutting_down")

    def begun(door: Door, inbound: Inbound) -> None:
        begin(door, inbound)
        assert gateway.app.cut(error) == 1

    monkeypatch.setattr(Door, "_begin", begun)
    async with pillion() as gateway:
        got = await ask(gateway, "POST", speech.path, speech.request(model="echo/text"), speech.headers)
        assert (got.status, speech.error(got.body)["message"]) == (503, error.message)


async def test_a_client_that_does_not_read_holds_nobody_up() -> None:
    big = Scenario(body=b'{"x":"' + b"x" * 8_000_000 + b'"}')
    async with (
        Evil(big) as evil,
        pillion(**OPENAI.environ(evil.url)) as gateway,
        client(gateway, receive_buffer=4096) as one,
    ):
        await asked(one, OPENAI, False, "gpt")
        await one.head()
        async with draining(gateway, most=0.05) as end:
            assert await end == 1


async def test_who_is_in_a_hurry_waits_no_second_for_a_client_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the waits that begin once a second signal is there, and not by the clock, which counts a slow machine too.

    The last is for threads that hang, when all is closed.
    """
    waits: list[float] = []
    hurry = asyncio.Event()
    real = serving._wait_for

    async def noted(doing: Coroutine[Any, Any, None], event: asyncio.Event, seconds: float | None = None) -> None:
        if not event.is_set():
            waits.append(inf if seconds is None else seconds)
        await real(doing, event, seconds)

    monkeypatch.setattr(serving, "_wait_for", noted)
    big = Scenario(body=b'{"x":"' + b"x" * 8_000_000 + b'"}')
    async with (
        Evil(big) as evil,
        pillion(**OPENAI.environ(evil.url)) as gateway,
        client(gateway, receive_buffer=4096) as one,
    ):
        await asked(one, OPENAI, False, "gpt")
        await one.head()
        hurry.set()
        async with draining(gateway, hurry, least=30, most=60) as end:
            assert await end == 1
    assert len(waits) == 1
    assert sum(waits) + serving.HURRIED < 1


async def test_what_is_cut_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        Evil(half(ANTHROPIC), SILENT) as evil,
        pillion(**ANTHROPIC.environ(evil.url)) as gateway,
        client(gateway) as one,
        client(gateway) as two,
    ):
        await asked(one, ANTHROPIC, True, "claude")
        await begun(one)
        await asked(two, ANTHROPIC, False, "claude")
        await evil.received(2)
        async with draining(gateway, most=0.05) as end:
            assert await end == 2
    assert "2 answers were cut off, because they were not finished" in caplog.text


async def test_one_that_is_cut_is_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    async with Evil(half(ANTHROPIC)) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway, client(gateway) as one:
        await asked(one, ANTHROPIC, True, "claude")
        await begun(one)
        async with draining(gateway, most=0.05) as end:
            assert await end == 1
    assert "1 answer was cut off, because it was not finished when pillion had to stop" in caplog.text


# --- who may ask for it ----------------------------------------------------------------------------------------------


async def quit_(gateway: Gateway, **headers: str) -> Got:
    return await ask(gateway, "POST", "/quitquitquit", headers=list(headers.items()))


async def test_quitquitquit_asks_for_the_end_where_it_may() -> None:
    async with pillion(PILLION_QUITQUITQUIT="true") as gateway:
        assert (await ask(gateway, "GET", "/quitquitquit")).status == 405
        assert not gateway.app.admin.stop.is_set()
        assert (await quit_(gateway, Origin="https://evil.example")).status == 403
        assert not gateway.app.admin.stop.is_set()
        assert (await quit_(gateway)).status == 200
        assert gateway.app.admin.stop.is_set()


async def test_quitquitquit_is_not_there_unless_it_is_wanted() -> None:
    async with pillion() as gateway:
        assert (await quit_(gateway)).status == 404
        assert not gateway.app.admin.stop.is_set()


async def test_where_clients_have_keys_none_of_them_ends_it_for_all() -> None:
    apart = {"PILLION_QUITQUITQUIT": "true", "PILLION_CLIENT_KEY": "k", "PILLION_ADMIN_ADDRESS": "127.0.0.1:0"}
    async with pillion(**apart) as gateway:
        assert (await quit_(gateway)).status == 401
        got = await quit_(gateway, Authorization="Bearer k")
        assert (got.status, json.loads(got.body)["error"]["code"]) == (404, "admin_listener_only")
        operators = gateway.app.addresses[1]
        assert (await ask(operators, "POST", "/quitquitquit")).status == 401
        assert not gateway.app.admin.stop.is_set()
        got = await ask(operators, "POST", "/quitquitquit", headers=[("authorization", "Bearer k")])
        assert got.status == 200
        assert gateway.app.admin.stop.is_set()
