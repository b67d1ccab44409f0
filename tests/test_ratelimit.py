"""Are clients, providers and models kept to their limits, exactly, and told so in their own words?"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anthropic
import openai
import pytest
from multidict import CIMultiDict

from proxy import registry
from proxy.access.allowance import ClientKey, Limits
from proxy.adapters.echo import Echo
from proxy.canon import Usage
from proxy.config import LimitsRow, Queue
from proxy.dispatch import chain
from proxy.edge.address import Address
from proxy.envelope import Envelope
from proxy.errors import Busy, Down, GatewayError, OverLimit
from proxy.failover.attempts import attempt
from proxy.fleet import Fleet
from proxy.limits.rate import TAKE
from proxy.limits.ratelimits import with_ours
from proxy.limits.scope import Limited
from proxy.middleware import ratelimit
from proxy.middleware.intake import Intake
from proxy.middleware.ratelimit import RateLimit
from proxy.ports import Call, Handler, Reply, Target
from proxy.routing import Route
from proxy.server import Server
from tests.client import ANTHROPIC, OPENAI, Speech, chat, lane_name

SECOND = 10**9
NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z
BODY = b'{"model":"m","max_tokens":80}'  # 7 tokens, and 80
TARGET = Target(Echo("echo"), "m")


class Clock:
    """Both: the one that never goes back, and the wall's."""

    def __init__(self) -> None:
        self.now = 46_000 * SECOND
        self.wall = NOON

    def __call__(self) -> int:
        return self.now


class World:
    """A rate limit, with clocks of its own."""

    def __init__(
        self,
        client: Limits = Limits(),  # noqa: B008  it is frozen
        providers: Mapping[str, Limits] | None = None,
        models: Mapping[str, Limits] | None = None,
        queue: Queue = Queue(),  # noqa: B008
    ) -> None:
        self.clock = Clock()
        row = LimitsRow(client=client, models=dict(models or {}), queue=queue)
        self.limit = RateLimit(row, providers or {}, self.clock, lambda: self.clock.wall)

    async def ask(self, handler: Handler, **fields: Any) -> Reply:
        return await self.limit(call(**fields), handler)

    async def refused(self, handler: Handler, **fields: Any) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.ask(handler, **fields)
        return caught.value


def call(dialect: str = "openai_chat", body: bytes = BODY, **fields: Any) -> Call:
    async def receive() -> bytes:
        return body

    return Call(
        id="req_1",
        operation="chat",
        dialect=registry.dialect(dialect),
        headers=CIMultiDict(),
        query={},
        receive=receive,
        started=0.0,
        envelope=Envelope(body),
        target=TARGET,
        **fields,
    )


def end(reply: Reply, error: BaseException | None = None) -> None:
    for ending in reply.endings:
        ending(error)


def limits(requests: int | None = None, tokens: int | None = None, concurrent: int | None = None) -> Limits:
    return Limits(requests_per_minute=requests, tokens_per_minute=tokens, concurrent=concurrent)


async def fine(call: Call) -> Reply:
    call.asked = True
    return Reply(200, [("content-type", "application/json")], b"{}")


def using(input: int, output: int, is_odd: bool = False) -> Handler:  # noqa: A002  as Usage has it
    async def handler(call: Call) -> Reply:
        call.usage = Usage(input=input, output=output, is_odd=is_odd)
        return await fine(call)

    return handler


def failing(error: BaseException, asked: bool = True) -> Handler:
    async def handler(call: Call) -> Reply:
        call.asked = asked
        raise error

    return handler


def attempted(handler: Handler) -> Handler:
    """With the accounts called around it, as failover does."""
    return lambda call: attempt(call, handler)


# --- M4: to the last one ----------------------------------------------------------------------------------------------


async def test_a_thousand_a_minute_are_a_thousand_of_a_hundred_thousand_that_64_offer() -> None:
    world, passed = World(limits(requests=1000)), 0

    async def offer(count: int) -> None:
        nonlocal passed
        asked = call()
        for n in range(count):
            asked.accounts.clear()
            with suppress(OverLimit):
                end(await world.limit(asked, yielding))
                passed += 1
            if not n % 50:
                await asyncio.sleep(0)

    async def yielding(call: Call) -> Reply:
        await asyncio.sleep(0)
        return await fine(call)

    await asyncio.gather(*(offer(100_000 // 64 + (n < 100_000 % 64)) for n in range(64)))
    assert passed == 1000
    assert world.limit.refused == {("client", "requests"): 99_000}


async def test_however_many_come_at_once_no_more_than_so_many_are_under_way() -> None:
    world, under_way, most = World(limits(concurrent=8)), 0, 0

    async def slow(call: Call) -> Reply:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return await fine(call)

    async def one() -> bool:
        try:
            end(await world.ask(slow))
        except OverLimit:
            return False
        return True

    assert sum(await asyncio.gather(*(one() for _ in range(500)))) == 8
    assert most == 8


# --- M5: clocks -------------------------------------------------------------------------------------------------------


async def admitted(world: World, offered: int) -> int:
    count = 0
    for _ in range(offered):
        try:
            end(await world.ask(fine))
        except OverLimit:
            continue
        count += 1
    return count


@pytest.mark.parametrize("jump", [3600.0, -3600.0, -86400.0, 1.0, 2**31 - NOON, 4e9])
async def test_what_the_wall_shows_changes_nothing(jump: float) -> None:
    world = World(limits(requests=100))
    assert await admitted(world, 150) == 100
    world.clock.wall += jump
    assert await admitted(world, 10) == 0
    world.clock.now += 60 * SECOND
    assert await admitted(world, 150) == 100


async def test_what_passed_while_the_store_was_away_is_told_to_it_once_when_it_is_back() -> None:
    fleet, clock = Fleet(), Clock()
    limit = RateLimit(LimitsRow(client=limits(9)), {}, clock, lambda: clock.wall, fleet)
    await limit(call(client="ann"), fine)
    assert not fleet.line
    fleet.came()
    (told,) = fleet.line
    assert (told.script, *told.args[:2]) == (TAKE, fleet.id, "force")
    fleet.line.clear()
    fleet.beat()
    assert not fleet.line


async def test_a_leap_of_three_years_is_one_minute_of_rest() -> None:
    world = World(limits(requests=100))
    assert await admitted(world, 150) == 100
    world.clock.now += 10**8 * SECOND
    assert await admitted(world, 350) == 100
    world.clock.now += 6 * SECOND
    assert await admitted(world, 50) == 10


# --- whose limits -----------------------------------------------------------------------------------------------------


def key(name: str, **limit: int) -> dict[str, Any]:
    return {"client": name, "key": ClientKey(name=name, limits=limits(**limit))}


async def test_each_client_has_its_own() -> None:
    world = World(limits(requests=1))
    for name in ("a", "b", ""):
        await world.ask(fine, client=name)
        await world.refused(fine, client=name)
    await world.ask(fine, **key("c", requests=2))
    await world.ask(fine, **key("c", requests=2))
    error = await world.refused(fine, **key("c", requests=2))
    assert error.message == "The limit of client c is 2 requests per minute: try again in 30 s."
    assert (await world.refused(fine)).message.startswith("The limit of clients without a key is 1 request ")


async def test_a_key_without_limits_has_the_default_and_one_with_new_ones_has_these() -> None:
    world = World(limits(requests=1))
    await world.ask(fine, client="a", key=ClientKey(name="a"))
    await world.refused(fine, client="a", key=ClientKey(name="a"))
    await world.ask(fine, **key("a", requests=5))


async def test_where_nobody_limits_anything_all_is_as_it_was() -> None:
    world = World()
    reply = await world.ask(attempted(fine))
    assert reply.headers == [("content-type", "application/json")]
    end(reply)


async def test_clients_who_have_rested_are_forgotten_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "MOST_CLIENTS", 3)
    world = World(limits(requests=1))
    end(await world.ask(fine, client="early"))
    world.clock.now += 60 * SECOND
    for name in ("a", "b", "c"):
        end(await world.ask(fine, client=name))
    assert len(world.limit._clients) == 3
    for name in ("a", "b", "c"):
        await world.refused(fine, client=name)


async def test_where_many_are_busy_a_new_client_does_not_look_at_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Limited] = []
    is_idle = Limited.is_idle

    def looked(scope: Limited, now: int) -> bool:
        looks.append(scope)
        return is_idle(scope, now)

    monkeypatch.setattr(ratelimit, "MOST_CLIENTS", 10)
    monkeypatch.setattr(Limited, "is_idle", looked)
    world = World(limits(requests=1))
    for number in range(1000):
        end(await world.ask(fine, client=f"c{number}"))
    assert 0 < len(looks) <= 2000
    world.clock.now += 60 * SECOND
    for number in range(1000):
        end(await world.ask(fine, client=f"d{number}"))
    assert len(world.limit._clients) <= 1280


@pytest.mark.parametrize(
    ("kind", "name", "where"),
    [("provider", "echo", {"providers": {"echo": limits(1)}}), ("model", "echo/m", {"models": {"echo/m": limits(1)}})],
)
async def test_a_provider_and_a_model_have_limits_of_their_own(kind: str, name: str, where: Any) -> None:
    world = World(**where)
    await world.ask(attempted(fine))
    error = await world.refused(attempted(fine))
    assert isinstance(error, OverLimit)
    assert error.elsewhere
    assert error.message == f"The limit of {name} is 1 request per minute: try again in 60 s."
    assert world.limit.refused == {(kind, "requests"): 1}
    other = Target(Echo("other"), "m")
    asked = call()
    asked.target = other
    await world.limit(asked, attempted(fine))


async def test_a_models_limit_is_for_all_names_of_the_model() -> None:
    world = World(models={"echo/gpt-4o": limits(1)})

    async def asking(model: str) -> None:
        asked = call()
        asked.target = Target(Echo("echo"), model)
        await world.limit(asked, attempted(fine))

    await asking("gpt-4o-2024-08-06")
    with pytest.raises(OverLimit, match="The limit of echo/gpt-4o is 1 request"):
        await asking("gpt-4o:nitro")
    await asking("gpt-4o-mini")


async def test_each_attempt_counts_at_its_provider_and_the_request_once_at_its_client() -> None:
    world = World(limits(requests=1), {"echo": limits(3)})

    async def thrice(call: Call) -> Reply:
        for _ in range(2):
            with pytest.raises(Down):
                await attempt(call, failing(Down("no")))
        return await attempt(call, fine)

    end(await world.ask(thrice))
    world.limit._clients.clear()
    await world.refused(attempted(fine))
    assert world.limit.refused == {("provider", "requests"): 1}


# --- what is given back -----------------------------------------------------------------------------------------------


def tokens_left(world: World) -> int:
    (scope,) = world.limit._clients.values()
    return scope.levels(world.clock.now)[-1][2]


@pytest.mark.parametrize(
    ("handler", "left"),
    [
        (using(10, 20), 970),
        (using(10, 990), 0),
        (using(0, 5000), 0),
        (fine, 913),  # nobody counted: the estimate stands
        (using(-5, 3), 913),
        (using(10**30, 3), 913),
        (using(0, 3, is_odd=True), 913),
        (using(10, 20, is_odd=True), 970),  # in a part of a part
        (using(0, 0), 913),
        (using(0, 3), 990),  # nobody reads nothing
        (failing(Busy("no", upstream_status=429)), 1000),  # refused, and not answered
        (failing(Down("no"), asked=False), 1000),
        (failing(Down("cut")), 993),  # it was read, and nothing was heard
        (failing(asyncio.CancelledError()), 993),
    ],
)
async def test_tokens_are_settled_by_what_was_used(handler: Handler, left: int) -> None:
    world = World(limits(tokens=1000))
    try:
        reply = await world.ask(handler)
    except (GatewayError, asyncio.CancelledError):
        pass
    else:
        assert tokens_left(world) == 913
        end(reply)
    assert tokens_left(world) == left


async def test_a_debt_is_paid_before_the_next_one_passes() -> None:
    world = World(limits(tokens=1000))
    end(await world.ask(using(1000, 1000)))
    world.clock.now += 60 * SECOND
    await world.refused(fine)
    world.clock.now += 6 * SECOND
    await world.ask(fine)


async def test_who_leaves_in_the_middle_of_a_stream_has_used_what_was_heard() -> None:
    world = World(limits(tokens=1000))
    said = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"word" * 50)

    async def body() -> AsyncIterator[bytes]:
        yield said

    async def streaming(call: Call) -> Reply:
        call.asked = True
        call.usage = Usage(input=11)  # as Anthropic tells at the beginning
        return Reply(200, [], body())  # type: ignore[arg-type]

    reply = await world.ask(attempted(streaming), stream=True)
    for tap in reply.taps:
        tap(said)
    end(reply, ConnectionResetError())
    assert tokens_left(world) == 1000 - 11 - 50


@pytest.mark.parametrize("error", [None, Down("cut"), asyncio.CancelledError(), ConnectionResetError()])
async def test_the_place_is_free_when_the_answer_has_ended_however(error: BaseException | None) -> None:
    world = World(limits(concurrent=1), {"echo": limits(concurrent=1)})
    reply = await world.ask(attempted(fine))
    assert isinstance(await world.refused(fine), OverLimit)
    end(reply, error)
    await world.ask(attempted(fine))


@pytest.mark.parametrize("error", [Down("no"), asyncio.CancelledError(), ValueError(), Busy("no", upstream_status=529)])
async def test_the_place_is_free_where_there_is_no_answer(error: BaseException) -> None:
    world = World(limits(concurrent=1), {"echo": limits(concurrent=1)}, {"echo/m": limits(concurrent=1)})
    for _ in range(3):
        with pytest.raises(type(error)):
            await world.ask(attempted(failing(error)))
    await world.ask(attempted(fine))


@pytest.mark.parametrize("turns", range(6))
async def test_a_client_that_leaves_at_any_moment_leaves_nothing_held(turns: int) -> None:
    world = World(limits(concurrent=1), {"echo": limits(concurrent=1)}, queue=Queue(seconds=30))

    async def slow(call: Call) -> Reply:
        for _ in range(2):
            await asyncio.sleep(0)
        return await fine(call)

    first = await world.ask(attempted(slow))
    leaving = asyncio.create_task(world.ask(attempted(slow)))
    for n in range(turns):
        await asyncio.sleep(0)
        if n == 1:
            end(first)
    if turns < 2:
        end(first)
    leaving.cancel()
    done = (await asyncio.gather(leaving, return_exceptions=True))[0]
    if isinstance(done, Reply):
        end(done)
    assert world.limit.queued == 0
    end(await world.ask(attempted(fine)))


# --- what clients are told --------------------------------------------------------------------------------------------


async def test_every_answer_tells_what_is_left() -> None:
    world = World(limits(requests=60, tokens=1000))
    reply = await world.ask(fine)
    assert dict(reply.headers) == {
        "content-type": "application/json",
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "913",
        "x-ratelimit-reset-tokens": "5.22s",
    }


async def test_an_anthropic_client_is_told_in_its_own_words() -> None:
    world = World(limits(requests=60, tokens=1000))
    reply = await world.ask(fine, dialect="anthropic")
    assert dict(reply.headers) == {
        "content-type": "application/json",
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-01-01T12:00:01Z",
        "anthropic-ratelimit-tokens-limit": "1000",
        "anthropic-ratelimit-tokens-remaining": "913",
        "anthropic-ratelimit-tokens-reset": "2026-01-01T12:00:06Z",
    }


@pytest.mark.parametrize("dialect", ["gemini", "bedrock", "bedrock_invoke", "ollama", "cohere"])
async def test_a_wire_without_such_words_tells_when_to_come_again(dialect: str) -> None:
    world = World(limits(requests=1))
    assert (await world.ask(fine, dialect=dialect)).headers == [("content-type", "application/json")]
    error = await world.refused(fine, dialect=dialect)
    assert dict(error.headers) == {"retry-after": "60", "retry-after-ms": "60000"}


# What a refusal tells OpenAI's clients where one request a minute was allowed.
USED_UP = {
    "retry-after": "60",
    "retry-after-ms": "60000",
    "x-ratelimit-limit-requests": "1",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "1m0s",
}


async def test_a_refusal_tells_it_too() -> None:
    world = World(limits(requests=1))
    await world.ask(fine)
    error = await world.refused(fine)
    assert dict(error.headers) == USED_UP


@pytest.mark.parametrize("where", [{"providers": {"echo": limits(1)}}, {"models": {"echo/m": limits(1)}}])
@pytest.mark.parametrize("own", [Limits(), limits(9), limits(2)])
async def test_so_does_a_refusal_by_a_providers_limit_or_a_models(where: Any, own: Limits) -> None:
    world = World(own, **where)
    await world.ask(attempted(fine))
    error = await world.refused(attempted(fine))
    assert dict(error.headers) == USED_UP
    error = await world.refused(attempted(fine), dialect="gemini", client="another")
    assert dict(error.headers) == {"retry-after": "60", "retry-after-ms": "60000"}


async def test_so_does_a_providers_error() -> None:
    world = World(limits(requests=9))
    error = await world.refused(failing(Down("no", headers=[("retry-after", "7")])))
    assert {"retry-after": "7", "x-ratelimit-remaining-requests": "8"}.items() <= dict(error.headers).items()


OURS = [("requests", 60, 10, 50 * SECOND)]


@pytest.mark.parametrize(
    ("theirs", "wins"), [("9", "theirs"), ("10", "theirs"), ("11", "ours"), ("4999", "ours"), ("many", "ours")]
)
def test_of_the_providers_limit_and_ours_the_tighter_is_told(theirs: str, wins: str) -> None:
    lines = [
        ("x-ratelimit-limit-requests", "5000"),
        ("x-ratelimit-remaining-requests", theirs),
        ("x-ratelimit-reset-requests", "12ms"),
        ("x-ratelimit-remaining-tokens", "3"),
    ]
    got = with_ours(lines, OURS, "openai_chat", NOON)
    assert len(got) == len(dict(got))
    kept = dict(lines)
    ours = kept | dict(zip(kept, ("60", "10", "50s"), strict=False))
    assert dict(got) == (kept if wins == "theirs" else ours)


def test_the_other_wires_lines_travel_on_beside_ours() -> None:
    lines = [("anthropic-ratelimit-requests-remaining", "3")]
    assert lines[0] in with_ours(lines, OURS, "openai_chat", NOON)


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    paths = [("/chat/completions", "openai_chat"), ("/messages", "anthropic")]
    server = Server([Route("POST", path, "chat", handler, dialect) for path, dialect in paths], registry.dialect)
    await server.open(Address("127.0.0.1", 0))
    server.start()
    try:
        yield f"http://{server.address.host}:{server.address.port}"
    finally:
        await server.close()


async def test_the_sdks_raise_their_own_error_and_hand_out_the_headers() -> None:
    world = World(limits(requests=1))
    messages: Any = [{"role": "user", "content": "Hi"}]
    async with listening(chain([Intake(60), world.limit], asked_of_echo)) as url:
        async with openai.AsyncOpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0) as client:
            told = await client.chat.completions.with_raw_response.create(model="m", messages=messages)
            assert told.headers["x-ratelimit-remaining-requests"] == "0"
            with pytest.raises(openai.RateLimitError) as caught:
                await client.chat.completions.create(model="m", messages=messages)
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.response.headers["retry-after-ms"] == "60000"
        assert caught.value.response.headers["x-ratelimit-reset-requests"] == "1m0s"
        async with anthropic.AsyncAnthropic(api_key="x", base_url=url, max_retries=0) as other:
            with pytest.raises(anthropic.RateLimitError) as refused:
                await other.messages.create(model="m", messages=messages, max_tokens=5)
        assert refused.value.response.headers["retry-after"] == "60"
        assert refused.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"


async def asked_of_echo(call: Call) -> Reply:
    call.target = TARGET
    return await attempt(call, whole)


async def whole(call: Call) -> Reply:
    return Reply(200, [("content-type", "application/json")], OPENAI.whole)


async def test_the_openai_sdk_comes_back_when_it_is_told_to() -> None:
    """It obeys retry-after-ms, so that the second try passes."""
    world = World(limits(requests=600))
    for _ in range(600):
        await world.ask(fine)
    before, tries = world.clock.now, 0

    async def handler(call: Call) -> Reply:
        nonlocal tries
        tries += 1
        world.clock.now = before + (tries - 1) * SECOND // 10
        return await world.limit(call, whole)

    messages: Any = [{"role": "user", "content": "Hi"}]
    async with (
        listening(handler) as url,
        openai.AsyncOpenAI(api_key="x", base_url=f"{url}/v1", max_retries=1) as client,
    ):
        await client.chat.completions.create(model="m", messages=messages)
    assert tries == 2


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC], ids=lane_name)
async def test_the_error_is_spelled_on_the_clients_wire(speech: Speech) -> None:
    world = World(limits(tokens=10))
    async with listening(chain([Intake(60), world.limit], whole)) as url:
        got = await chat(Address("127.0.0.1", int(url.rpartition(":")[2])), speech, speech.request(model="m"))
    assert got.status == 429
    assert "can never pass" in speech.error(got.body)["message"]


# --- what a provider announced ----------------------------------------------------------------------------------------

SPENT = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s"}


def telling(world: World, headers: Mapping[str, str], error: GatewayError | None = None) -> Handler:
    async def handler(call: Call) -> Reply:
        call.answer_head = world.clock.now / SECOND, headers
        call.began = 0.0
        if error is not None:
            call.asked = True
            raise error
        return await fine(call)

    return attempted(handler)


async def test_what_a_provider_has_announced_is_respected_until_its_reset() -> None:
    world = World()
    end(await world.ask(telling(world, SPENT)))
    error = await world.refused(attempted(fine))
    assert isinstance(error, Busy)
    assert (error.code, error.elsewhere, dict(error.headers)["retry-after"]) == ("provider_rate_limit", True, "30")
    assert world.limit.refused == {("announced", "requests"): 1}
    world.clock.now += 30 * SECOND
    end(await world.ask(attempted(fine)))


@pytest.mark.parametrize(
    ("what", "left", "is_kept"),
    [
        ("requests", "1000", False),
        ("requests", "999", True),
        ("tokens", "5000000", False),
        ("tokens", "4999999", True),
        ("requests", "many", True),
    ],
)
async def test_of_what_leaves_plenty_nothing_is_kept(what: str, left: str, is_kept: bool) -> None:
    world = World()
    end(await world.ask(telling(world, {f"x-ratelimit-remaining-{what}": left})))
    assert bool(world.limit._announced) is is_kept


async def test_a_stream_tells_with_its_head_and_not_at_its_end() -> None:
    async def said() -> AsyncGenerator[bytes]:
        yield b"data: 1"

    async def live(call: Call) -> Reply:
        call.answer_head, call.began = (world.clock.now / SECOND, SPENT), 0.0
        return Reply(200, [], said())

    world = World()
    reply = await world.ask(attempted(live))
    assert (await world.refused(attempted(fine))).code == "provider_rate_limit"
    end(reply)
    assert isinstance(reply.body, AsyncGenerator)
    await reply.body.aclose()


async def test_an_error_tells_of_limits_too() -> None:
    world = World()
    error = await world.refused(telling(world, SPENT, Busy("slow down", upstream_status=429)))
    assert error.message == "slow down"
    assert (await world.refused(attempted(fine))).code == "provider_rate_limit"


async def test_it_concerns_that_model_of_that_provider_alone() -> None:
    world = World()
    world.limit.learn("echo", "other", SPENT, world.clock.now / SECOND)
    world.limit.learn("other", "m", SPENT, world.clock.now / SECOND)
    end(await world.ask(attempted(fine)))


async def test_what_an_earlier_attempt_was_told_is_not_taken_for_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    monkeypatch.setattr("proxy.failover.attempts.monotonic", lambda: world.clock.now / SECOND)

    async def two(call: Call) -> Reply:
        call.target = Target(Echo("first"), "m")
        with pytest.raises(Busy):
            await telling(world, SPENT, Busy("no", upstream_status=429))(call)
        call.target = Target(Echo("second"), "m")
        world.clock.now += SECOND
        with pytest.raises(Down):
            await attempt(call, failing(Down("no connection"), asked=False))
        call.answer_head = 0.0, {}
        return await fine(call)

    await world.ask(two)
    assert list(world.limit._announced) == [("first", "m")]


async def test_who_counts_tokens_has_limits_of_its_own() -> None:
    world = World()
    asked = call()
    asked.operation = "count_tokens"
    await world.limit(asked, telling(world, SPENT))
    end(await world.ask(attempted(fine)))


async def test_those_who_wait_for_a_provider_go_on_when_it_tells_of_room() -> None:
    world = World(queue=Queue(seconds=30))
    end(await world.ask(telling(world, SPENT)))
    waiting = asyncio.create_task(world.ask(attempted(fine)))
    await asyncio.sleep(0)
    assert world.limit.queued == 1
    world.clock.now += SECOND
    world.limit.learn("echo", "m", SPENT | {"x-ratelimit-remaining-requests": "5"}, world.clock.now / SECOND)
    end(await waiting)
    assert world.limit.queued == 0


async def test_of_many_models_only_so_many_are_remembered() -> None:
    world = World()
    for n in range(2 * ratelimit.MOST_TARGETS):
        world.limit.learn("echo", str(n), SPENT, 1.0)
    assert len(world.limit._announced) <= ratelimit.MOST_TARGETS


@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-remaining-requests": "\u0663"}, {"retry-after": "9"}])
async def test_a_provider_that_tells_nothing_keeps_nobody_out(headers: dict[str, str]) -> None:
    world = World()
    end(await world.ask(telling(world, headers)))
    end(await world.ask(attempted(fine)))
