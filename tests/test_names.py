"""Does a provider whose name is not known, or not said, or means another address by now, hurt nobody for long? (U14)

With a resolver of the test's own in place of the system's. What takes seconds is made shorter, but for `make soak`.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from proxy import upstream
from proxy.edge import names, wire
from proxy.edge.failures import why
from tests import laws
from tests.client import OPENAI, Got, ask, chat
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion
from tests.nowhere import refusing
from tests.waiting import soon

HOST = "provider.test"
LONGEST = 5.0  # seconds that an error may take
ANSWER = Scenario(body=OPENAI.whole, headers=[("Content-Type", "application/json")])
CLOSING = replace(ANSWER, then="close")  # and each request asks for the name
NONE = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

Said = str | OSError | None  # an address; None: nothing, ever


class Resolver(AbstractResolver):
    """Says what the test has it say: one by one, and the last for good."""

    def __init__(self, *says: Said) -> None:
        self.says = list(says)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        assert host == HOST
        self.asked += 1
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if said is None:
            await asyncio.Event().wait()
        if isinstance(said, OSError):
            raise said
        assert said is not None
        return [ResolveResult(hostname=host, host=said, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing to do."""


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names.PATIENCE < LONGEST
    if not laws.SOAK:
        monkeypatch.setattr(names, "PATIENCE", 0.2)


def resolving(resolver: AbstractResolver, port: int, patch: pytest.MonkeyPatch) -> AbstractAsyncContextManager[Gateway]:
    patch.setattr(aiohttp, "ThreadedResolver", lambda: resolver)
    patch.setattr(upstream, "KNOWN_FOR", 0)  # so that each new connection asks
    return pillion(OPENAI_API_KEY="sk-names", PILLION_OPENAI_BASE_URL=f"http://{HOST}:{port}/v1")


async def asked(gateway: Gateway) -> Got:
    async with asyncio.timeout(LONGEST):
        return await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))


def code(got: Got) -> tuple[int, str]:
    return got.status, json.loads(got.body)["error"]["code"]


async def statuses(gateway: Gateway, count: int) -> list[int]:
    return [(await asked(gateway)).status for _ in range(count)]


# --- nobody says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", [NONE, AGAIN, None], ids=["no such name", "not now", "silence"])
async def test_a_name_that_is_not_known_is_an_error_within_seconds(says: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    async with resolving(Resolver(says), 1, monkeypatch) as gateway:
        assert code(await asked(gateway)) == (502, "dns_error")


async def test_who_hangs_is_asked_once_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(None)
    async with resolving(resolver, 1, monkeypatch) as gateway:
        for _ in range(2):  # the second time while the first lookup still hangs
            told = await asyncio.gather(*(asked(gateway) for _ in range(20)))
            assert {code(got) for got in told} == {(502, "dns_error")}
        assert resolver.asked == 1


async def test_meanwhile_everybody_else_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "PATIENCE", 10 * LONGEST)
    resolver = Resolver(None)
    async with resolving(resolver, 1, monkeypatch) as gateway:
        asking = asyncio.create_task(asked(gateway))
        await soon(lambda: resolver.asked)
        for _ in range(10):
            assert (await ask(gateway, "GET", "/liveness")).status == 200
            assert (await chat(gateway, OPENAI, OPENAI.request(model="echo/text"))).status == 200
        assert not asking.done()
        asking.cancel()


# --- it says now this, now that --------------------------------------------------------------------------------------


async def test_a_host_is_where_it_was_while_nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver("127.0.0.1", AGAIN, "127.0.0.1", AGAIN, None)
    async with Evil(answering=lambda _: CLOSING) as evil, resolving(resolver, evil.port, monkeypatch) as gateway:
        assert await statuses(gateway, 6) == [200] * 6
        assert resolver.asked == 5  # the last two were one: it still hung


async def test_a_name_that_is_none_any_more_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver("127.0.0.1", NONE, "127.0.0.1")
    async with Evil(answering=lambda _: CLOSING) as evil, resolving(resolver, evil.port, monkeypatch) as gateway:
        assert await statuses(gateway, 3) == [200, 502, 200]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NONE, "Name or service not known"),
        (ConnectionRefusedError(111, "of somebody's own"), "Connection refused"),
        (ValueError("https://user:secret@h/"), "ValueError"),
        (None, ""),
    ],
)
def test_the_log_hears_it_in_the_networks_words_and_no_others(error: BaseException | None, words: str) -> None:
    assert why(error) == words


# --- it means another address ----------------------------------------------------------------------------------------


@asynccontextmanager
async def moved() -> AsyncIterator[int]:
    """A port that answers at 127.0.0.2, and at 127.0.0.1 refuses."""
    async with refusing() as dead:
        port = URL(dead).port
        assert port is not None
        async with Evil(answering=lambda _: ANSWER, host="127.0.0.2", port=port):
            yield port


async def test_a_connection_that_is_used_all_the_time_moves_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver("127.0.0.1")
    async with (
        Evil(answering=lambda _: ANSWER) as old,
        Evil(answering=lambda _: ANSWER, host="127.0.0.2", port=old.port) as new,
        resolving(resolver, old.port, monkeypatch) as gateway,
    ):
        assert await statuses(gateway, 3) == [200] * 3
        resolver.says = ["127.0.0.2"]
        assert await statuses(gateway, 3) == [200] * 3
        assert (old.connections, len(old.requests), len(new.requests)) == (1, 6, 0)
        monkeypatch.setattr(wire, "LIFE", 0.0)  # as if so long had passed
        assert await statuses(gateway, 3) == [200] * 3
        assert (old.connections, len(old.requests), len(new.requests)) == (1, 7, 2)


async def test_a_connection_over_which_models_are_listed_moves_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver("127.0.0.1")
    async with Evil(answering=lambda _: ANSWER) as evil, resolving(resolver, evil.port, monkeypatch) as gateway:
        listed = gateway.app.now.adapters["openai"].health
        assert [(await listed()).answers for _ in range(3)] == [True] * 3
        assert (evil.connections, len(evil.requests)) == (1, 3)
        monkeypatch.setattr(wire, "LIFE", 0.0)
        assert (await statuses(gateway, 1), evil.connections) == ([200], 2)
        await listed()
        await listed()
        assert evil.connections == 4


@pytest.mark.parametrize("known_for", [0, 60])
async def test_where_the_old_address_is_dead_the_next_request_finds_the_new_one(
    known_for: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it would be believed for longer."""
    resolver = Resolver("127.0.0.1", "127.0.0.2")
    async with moved() as port, resolving(resolver, port, monkeypatch) as gateway:
        monkeypatch.setattr(gateway.app.upstream._connector._cached_hosts, "_ttl", known_for)
        assert [code(await asked(gateway)), *await statuses(gateway, 2)] == [(502, "connect_error"), 200, 200]
        assert resolver.asked == 2


async def test_so_it_is_where_the_dead_one_was_the_egress_proxys(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver("127.0.0.1", "127.0.0.2")
    monkeypatch.setattr(aiohttp, "ThreadedResolver", lambda: resolver)
    async with moved() as port:
        way = {"PILLION_OPENAI_BASE_URL": "http://api.test/v1", "PILLION_OPENAI_PROXY": f"http://{HOST}:{port}"}
        async with pillion(OPENAI_API_KEY="sk-names", **way) as gateway:
            assert [code(await asked(gateway)), *await statuses(gateway, 1)] == [(502, "proxy_error"), 200]
            assert resolver.asked == 2


def test_all_have_moved_within_seventy_seconds() -> None:
    """What is known of a name, a connection that was made of it, and the time that this may wait."""
    assert names.KNOWN_FOR + wire.LIFE + upstream.IDLE_LIFE <= 60 + 10
