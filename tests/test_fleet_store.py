"""Is a store that is slow, stopped, broken or gone noticed at once, and is nobody kept waiting for it?"""

import asyncio
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import trustme

from proxy import registry
from proxy.config import Secret
from proxy.errors import ConfigError
from proxy.fleet import Answer, Fleet
from proxy.store import redis as store
from proxy.store.connection import RedisError
from tests import laws
from tests.client import OPENAI, ask, chat
from tests.evil import Evil, authority
from tests.fleetmate import asked
from tests.gateway import Gateway, pillion
from tests.redisserver import Server, redis
from tests.test_cost import BUDGET, WHOLE, priced
from tests.test_cost import chat as paid
from tests.waiting import soon

DECIDED = 0.07 if laws.SOAK else 1.0  # seconds: 50 ms, and what three workers on two cores add; else any time
PASSWORD = "hunter2hunter2"
SHORT, PATIENCE = 0.035, 10.0  # seconds: as in the field, and where a busy machine is no store that is away
SLOW = 5000 if laws.SOAK else 1000  # milliseconds
Act = Callable[[Server], Awaitable[object]]


async def _stop(server: Server) -> None:
    server.stop()


async def _go_on(server: Server) -> None:
    server.go_on()


async def _wait(_server: Server) -> None:
    """It ends of itself."""


# Row M6 of the reliability table: what becomes of the store, how it is mended, and what the log says of it.
FAULTS: dict[str, tuple[Act, Act, str]] = {
    "refused": (Server.kill, Server.start, "cannot be reached"),
    "stopped": (_stop, _go_on, "does not answer in time"),
    "slow": (lambda server: server.do("CLIENT", "PAUSE", SLOW), _wait, "does not answer in time"),
    "read-only": (
        lambda server: server.do("REPLICAOF", "127.0.0.1", 1),
        lambda server: server.do("REPLICAOF", "NO", "ONE"),
        "is read-only",
    ),
    "full": (
        lambda server: server.do("CONFIG", "SET", "maxmemory", 1),
        lambda server: server.do("CONFIG", "SET", "maxmemory", 0),
        "is out of memory",
    ),
}


@asynccontextmanager
async def carried(url: str) -> AsyncIterator[Fleet]:
    fleet = Fleet()
    carrier = store.Redis(Secret(url), fleet)
    await carrier.open()
    try:
        yield fleet
    finally:
        await carrier.close()


async def decided(fleet: Fleet) -> object:
    """What the store says, or None: in time, whichever it is."""
    began = monotonic()
    answer = await asked(fleet, "return {redis.call('INCR', KEYS[1])}", "x")
    assert monotonic() - began < DECIDED
    return answer


def count_looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each connection that is made, of which there are more than elsewhere."""
    looks: list[None] = []
    made = store.Redis._made

    def note(carrier: store.Redis) -> Any:
        looks.append(None)
        return made(carrier)

    monkeypatch.setattr("proxy.store.redis.AGAIN", 0.02)
    monkeypatch.setattr("proxy.store.redis.CONNECT", 0.1)
    monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
    monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
    monkeypatch.setattr(store.Redis, "_made", note)
    return looks


@pytest.mark.parametrize("name", FAULTS)
async def test_a_store_that_fails_is_left_alone_until_it_is_back(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = count_looks(monkeypatch)
    break_it, mend_it, said = FAULTS[name]
    caplog.set_level(logging.INFO, "pillion")
    async with redis(PASSWORD) as server, carried(server.url) as fleet:
        await soon(lambda: fleet.is_up)
        await soon(lambda: decided(fleet))
        await break_it(server)
        monkeypatch.setattr("proxy.store.redis.PATIENCE", SHORT)
        answers = [await decided(fleet) for _ in range(3)]
        await soon(lambda: not fleet.is_up)
        assert answers[1:] == [None, None]
        assert [await decided(fleet) for _ in range(100)] == [None] * 100
        assert not fleet.line
        seen = len(looks)
        await soon(lambda: len(looks) > seen + 2)  # it is looked whether it is back
        assert not fleet.is_up
        monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
        monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
        await mend_it(server)
        await soon(lambda: fleet.is_up)
        await soon(lambda: decided(fleet))
    lines = [record.getMessage() for record in caplog.records]
    assert any(said in line for line in lines)
    assert sum("connected to redis" in line for line in lines) == 2
    assert all(line != after for line, after in pairwise(lines))
    assert PASSWORD not in caplog.text


async def test_who_trips_over_an_answer_keeps_nobody_else_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """Such an answer is none: whoever asked is told that the store is away, and so are all behind."""

    def trip(answer: Answer) -> None:
        heard.append(answer)
        if answer is not None:
            raise IndexError

    heard: list[Answer] = []
    async with redis(PASSWORD) as server, carried(server.url) as fleet:
        await soon(lambda: fleet.is_up)
        fleet.tell("return {1}", [], [], trip)
        async with asyncio.timeout(PATIENCE):
            assert await asked(fleet, "return {1}") is None
            await soon(lambda: fleet.is_up)
            assert await decided(fleet)
    assert heard == [[1], None]
    assert "redis IndexError" in caplog.text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "is loading its data"),
        (b"-MASTERDOWN Link with MASTER is down.\r\n", "answers with an err"),
        (b"-NOAUTH Authentication required.\r\n", "refuses the password"),
        (b"-ERR \xff\xfe\r\n", "answers with an err"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ""),
        (b":1\r\n", ""),
        (b"$-1\r\n", ""),
        (b"*1\r\n$3\r\nabc\r\n", ""),
        (b"", "does not answer in time"),
    ],
)  # fmt: skip
async def test_whatever_answers_there_is_no_store(
    answer: bytes, said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.store.redis.CONNECT", 0.1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65536):
                writer.write(answer)
        except OSError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, carried(f"redis://{f':{PASSWORD}@' if said else ''}127.0.0.1:{port}") as fleet:
        assert await decided(fleet) is None
        await asyncio.sleep(0)
        assert not fleet.is_up
    assert said in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_store_that_was_never_opened_can_be_closed() -> None:
    await store.Redis(Secret("redis://127.0.0.1:1"), Fleet()).close()


@pytest.mark.parametrize("error", [OSError, RedisError, TimeoutError])
async def test_a_connection_that_cannot_be_closed_in_peace_is_closed(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    carrier = store.Redis(Secret("redis://127.0.0.1:1"), Fleet())

    async def closing() -> None:
        raise error

    monkeypatch.setattr(carrier._client, "aclose", closing)
    await carrier._drop()


async def test_what_fails_when_nobody_waits_any_more_is_nobodys_fault() -> None:
    """Else asyncio complains of it in the log."""

    async def failing() -> list[int]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("in the same moment") from None
        return []

    with pytest.raises(TimeoutError):
        await store._within(0.01, failing())


class Prompt:
    """A store that answers two milliseconds after it was asked."""

    async def __call__(self, times: int = 1) -> list[int]:
        loop = asyncio.get_running_loop()
        for _ in range(times):
            answer: asyncio.Future[int] = loop.create_future()
            loop.call_later(0.002, answer.set_result, 1)
            await answer
        return [times]


async def test_what_our_own_loop_is_late_by_is_not_the_stores() -> None:
    """All of the patience is over before the question has gone out, and again before the next one has."""
    loop = asyncio.get_running_loop()
    loop.call_soon(sleep, 2 * SHORT)
    assert await store._within(SHORT, Prompt()()) == [1]
    loop.call_soon(sleep, 2 * SHORT)
    loop.call_later(0.001, sleep, 2 * SHORT)
    assert await store._within(SHORT, Prompt()(2)) == [2]


async def test_a_store_that_is_silent_is_away_however_late_we_are() -> None:
    turns: list[asyncio.Handle] = []

    def hold_up() -> None:
        turns.append(asyncio.get_running_loop().call_soon(hold_up))
        sleep(0.02)

    hold_up()
    with pytest.raises(TimeoutError):
        await store._within(SHORT, asyncio.Event().wait())
    turns[-1].cancel()
    assert len(turns) <= 4 * SHORT / store.LEAST


async def test_who_leaves_takes_nobody_elses_answer_along() -> None:
    """Row X1: a connection is shared, and an answer is its asker's alone."""
    async with redis() as server, carried(server.url) as fleet:
        await soon(lambda: fleet.is_up)

        async def ask(number: int) -> None:
            answer = await asked(fleet, "return {tonumber(ARGV[1])}", args=[number])
            assert answer in ([number], None)

        tasks = [asyncio.ensure_future(ask(number)) for number in range(laws.share("answers of a store", 10_000, 1000))]
        for task in tasks[::3]:
            task.cancel()
            await asyncio.sleep(0)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [each for each in done if isinstance(each, AssertionError)]


@pytest.mark.parametrize("url", ["redis://h:port/0", "redis://:hunter2hunter2@h:99999999", "redis://h?hunter2=1"])
def test_what_is_no_url_is_told_without_what_it_says(url: str) -> None:
    with pytest.raises(ConfigError, match="store: must be the URL of a Redis") as caught:
        store.Redis(Secret(url), Fleet())
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_over_tls_a_store_is_asked_as_without(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PATIENCE", 10.0)  # a machine that has more to do is no store that is away
    caplog.set_level(logging.INFO, "pillion")
    async with redis(PASSWORD, tls=True) as server, carried(server.url) as fleet:
        await soon(lambda: fleet.is_up)
        assert await asked(fleet, "return {redis.call('INCR', KEYS[1])}", "x") == [1]
        await server.kill()
        await soon(lambda: not fleet.is_up)
        await server.start()
        await soon(lambda: fleet.is_up)
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("name", "asks", "said"),
    [
        ("127.0.0.1", "", "has a certificate that is not trusted (self-signed certificate in certificate chain)"),
        ("127.0.0.1", "?ssl_ca_certs={other}", "has a certificate that is not trusted ("),
        ("redis.example", "?ssl_ca_certs={ca}", "is not valid for '127.0.0.1'"),
    ],
)
async def test_one_that_is_not_trusted_is_no_store(
    name: str, asks: str, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other"))
    authority().cert_pem.write_to_path(str(tmp_path / "ca"))
    async with redis(PASSWORD, tls=True, name=name) as server:
        url = server.url.partition("?")[0] + asks.format(other=tmp_path / "other", ca=tmp_path / "ca")
        async with carried(url) as fleet:
            assert not fleet.is_up
            assert await asked(fleet, "return {1}") is None
    assert said in caplog.text
    assert len(caplog.records) == 1
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        (f"redis://:{PASSWORD}@127.0.0.1:1/0", "127.0.0.1:1: Connection refused"),
        (f"redis://ann:{PASSWORD}@nobody.invalid:6379", r"nobody\.invalid:6379: (Name|No address|Temporary) .*"),
        ("unix:///nowhere/redis.sock?db=1", "/nowhere/redis.sock: No such file or directory"),
        ("redis://ann:12/34@127.0.0.1:1/0", "Connection refused|Name .*|Temporary .*"),  # not encoded: 12 is no port
    ],
)
async def test_the_log_says_where_the_store_is_sought_and_why_it_is_not_there(
    url: str, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with carried(url) as fleet:
        assert not fleet.is_up
    (record,) = caplog.records
    assert re.fullmatch(detail, vars(record)["detail"])


async def test_what_answers_in_the_clear_is_no_store_over_tls(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"-ERR Protocol error\r\n")
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, carried(f"rediss://:{PASSWORD}@127.0.0.1:{port}/0") as fleet:
        assert not fleet.is_up
    assert "failed the TLS handshake" in caplog.text


@pytest.mark.parametrize(
    ("content", "why"), [(None, "no such file"), ("", "contains no PEM cert"), ("x", "contains no PEM cert")]
)
def test_a_file_of_certificates_that_cannot_be_used_is_told_at_the_start(
    content: str | None, why: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "ca").write_text(content)
    with pytest.raises(ConfigError, match=f"store: ssl_ca_certs.*{why}") as caught:
        store.Redis(Secret(f"rediss://:{PASSWORD}@h:1/0?ssl_ca_certs={tmp_path / 'ca'}"), Fleet())
    assert PASSWORD not in str(caught.value)


async def test_while_a_store_is_away_no_look_for_it_makes_a_context_of_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    create = ssl.create_default_context

    def make() -> ssl.SSLContext:
        made.append(create())
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", make)
    looks = count_looks(monkeypatch)
    async with carried("rediss://127.0.0.1:9/0"):
        await soon(lambda: len(looks) > 3)
    assert len(made) == 1


def test_the_library_is_loaded_where_a_store_is_configured() -> None:
    assert registry.store() is store.Redis


async def test_two_pillions_share_a_budget_and_refuse_without_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request may cost 0.0009 dollars, costs 0.000011, and there is 0.001."""
    monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
    monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
    async with redis(PASSWORD) as server, Evil(answering=lambda _: WHOLE) as evil, AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(priced(evil, folder(tmp_path, name), BUDGET, PILLION_STORE=server.url))
            for name in "ab"
        ]
        got = await asyncio.gather(*(paid(gateway, max_tokens=220) for gateway in (one, other) * 10))
        assert {answer.status for answer in got} <= {200, 429}
        served = [answer for answer in got if answer.status == 200]
        assert len(evil.requests) == len(served) >= 1
        await server.kill()
        await soon(lambda: not one.app.fleet.is_up)  # type: ignore[union-attr]
        refused = await paid(one, max_tokens=220)
        while refused.status == 200:  # by what was leased before
            refused = await paid(one, max_tokens=220)
        assert (refused.status, json.loads(refused.body)["error"]["code"]) == (503, "store_unavailable")
        told = (await ask(one, "GET", "/metrics")).body
        assert b"pillion_store_up 0.0" in told
        assert b"pillion_store_fallbacks_total 1.0" in told
        assert PASSWORD.encode() not in told


async def test_a_pillion_that_ends_gives_back_what_it_has_not_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
    monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
    async with redis(PASSWORD) as server, Evil(WHOLE) as evil:
        async with priced(evil, tmp_path, BUDGET, PILLION_STORE=server.url) as gateway:
            assert (await paid(gateway, max_tokens=220)).status == 200
        [key] = await server.do("KEYS", "pillion:1:budget:*")
        assert await server.do("HMGET", key, "spent", "owned") == ["11000", "11000"]


def folder(path: Path, name: str) -> Path:
    (path / name).mkdir()
    return path / name


@asynccontextmanager
async def two(server: Server, **environ: str) -> AsyncIterator[tuple[Gateway, Gateway]]:
    environ = {"PILLION_STORE": server.url, "PILLION_MODEL": "echo/echo", **environ}
    async with pillion(**environ) as one, pillion(**environ) as other:
        yield one, other


async def test_two_pillions_share_a_limit_and_tell_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
    monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
    limits = {"PILLION_LIMITS_CLIENT_REQUESTS_PER_MINUTE": "5"}
    async with redis(PASSWORD) as server, two(server, **limits) as gateways:
        statuses, left = [], []
        for number in range(8):
            answer = await chat(gateways[number % 2], OPENAI, OPENAI.request())
            statuses.append(answer.status)
            left.append(dict(answer.headers)["x-ratelimit-remaining-requests"])
        assert statuses == [200] * 5 + [429] * 3
        assert left == ["4", "3", "2", "1", "0", "0", "0", "0"]
        await server.kill()
        await soon(lambda: not gateways[0].app.fleet.is_up)  # type: ignore[union-attr]
        assert (await chat(gateways[0], OPENAI, OPENAI.request())).status in (200, 429)  # by its share
