"""Is the same question answered from memory, another one never, and nothing kept that was not whole?"""

import asyncio
import json
import logging
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.allowance import ClientKey
from proxy.answers import Answer, Answers, Gathering, Shelf, lasting, streamed
from proxy.answers.answer import OVERHEAD, from_file, to_file
from proxy.answers.memory import SWEPT
from proxy.answers.sameness import canonical, identity, is_deterministic
from proxy.assembly import Assembly
from proxy.config import Cache as Rules
from proxy.edge.onlookers import conclude
from proxy.envelope import Envelope
from proxy.errors import BadRequest, Down, GatewayError, LedgerUnavailable, OverBudget
from proxy.middleware.cache import Cache
from proxy.middleware.cost import Cost
from proxy.ports import Call, Handler, Reply, Wishes
from proxy.routes import Ways
from tests.client import ANTHROPIC, OPENAI, Got, Speech, chat, client, lane_name, spell
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion, registry
from tests.taking import Taken, behind, call, delivery, take
from tests.waiting import soon

CHUNKS = [b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n"]
ON = ("x-pillion-cache", "on")


class Provider:
    """Counts how often it is asked. An answer of several chunks is a stream; `fails` breaks it behind the last one."""

    def __init__(self, *chunks: bytes, status: int = 200, fails: Exception | None = None) -> None:
        self.asked = 0
        self.chunks = chunks or (b'{"n":1}',)
        self.status = status
        self.fails = fails
        self.headers = [("content-type", "x/y")]
        self.hold, self.rest = asyncio.Event(), asyncio.Event()  # of the answer, and of a stream behind its first chunk
        self.hold.set()
        self.rest.set()

    async def __call__(self, asked: Call) -> Reply:
        self.asked += 1
        await self.hold.wait()
        asked.attempts, asked.dropped = 1, ("seed",)
        live = len(self.chunks) > 1
        body: bytes | AsyncGenerator[bytes] = self._body() if live else self.chunks[0]
        return Reply(self.status, list(self.headers), body, last_words=lambda error: b"last words")

    async def _body(self) -> AsyncGenerator[bytes]:
        for chunk in self.chunks:
            yield chunk
            await self.rest.wait()
        if self.fails is not None:
            raise self.fails


@asynccontextmanager
async def cached(state: Path | None = None, **rules: Any) -> AsyncIterator[Cache]:
    cache = Cache(Rules(**{"enabled": True, **rules}), state)
    await cache.open()
    try:
        yield cache
    finally:
        await cache.close()


async def asking(cache: Cache, provider: Provider, asked: Call | None = None) -> Taken:
    return await take(await behind(cache, provider)(asked or call()))


def key_of(asked: Call, about: str = "", is_shared: bool = False) -> str:
    return identity(asked, about, is_shared)


# --- given again -----------------------------------------------------------------------------------------------------


async def test_the_same_question_is_answered_from_memory() -> None:
    provider = Provider(b'{"answer":42}')
    async with cached() as cache:
        first, second = await asking(cache, provider), await asking(cache, provider)
    assert (first.cache, second.cache) == ("miss", "hit")
    assert (second.status, second.body) == (200, b'{"answer":42}')
    told = {"content-type": "x/y", "age": "0", "x-pillion-cache": "hit", "x-pillion-cost-usd": "0"}
    assert second.headers == told
    assert (provider.asked, cache.hits, cache.misses) == (1, 1, 1)


async def test_a_stream_is_given_again_in_its_own_chunks() -> None:
    provider = Provider(*CHUNKS)
    async with cached() as cache:
        first, second = await asking(cache, provider), await asking(cache, provider)
    assert first.chunks == second.chunks == CHUNKS
    assert (second.cache, provider.asked) == ("hit", 1)


async def test_a_hit_takes_nothing_and_tells_what_was_left_out() -> None:
    provider, asked = Provider(), call()
    async with cached() as cache:
        await asking(cache, provider)
        await asking(cache, provider, asked)
    assert (asked.attempts, asked.usage, asked.spent, asked.target) == (0, None, 0, None)
    assert asked.dropped == ("seed",)


async def test_an_answer_is_good_for_its_time() -> None:
    now = 100.0
    answers = Answers(10**6, ttl=60, clock=lambda: now)
    answers.keep("k", Answer(headers=(), body=b"x"))
    now = 159.0
    found = await answers.find("k")
    assert found is not None
    assert found.age == 59
    now = 160.0
    assert await answers.find("k") is None
    assert (len(answers), answers.bytes) == (0, 0)


async def test_a_long_stream_is_given_again_at_the_clients_pace_and_others_have_their_turn() -> None:
    provider = Provider(*[b"x" * 16384] * 64)
    async with cached(size=2**24) as cache:
        await asking(cache, provider)
        reply = await behind(cache, provider)(call())
        async with delivery(reply) as (got, chunks):
            await anext(chunks)
            assert len(got.body) == 16384  # and no more was made
        again = asyncio.ensure_future(asking(cache, provider))
        turns = 0
        while not again.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns >= 8
    assert provider.asked == 1


async def test_a_hit_that_is_stopped_has_last_words() -> None:
    provider = Provider(*CHUNKS)
    async with cached() as cache:
        await asking(cache, provider)
        reply = await behind(cache, provider)(call())
        assert reply.last_words is not None
        assert b"leaving" in reply.last_words(Down("leaving"))
        assert (await take(reply)).chunks == CHUNKS


def test_what_was_true_of_one_time_alone_is_not_told_again() -> None:
    once = (
        "date age x-request-id x-amzn-requestid apim-request-id x-ratelimit-remaining-tokens retry-after retry-after-ms"
        " anthropic-ratelimit-requests-reset openai-processing-ms cf-ray cf-cache-status x-pillion-cost-usd"
        " x-amzn-bedrock-invocation-latency server-timing x-envoy-upstream-service-time x-pillion-cache"
    ).split()
    always = (
        "content-type openai-version openai-organization anthropic-organization-id x-pillion-estimated"
        " x-amzn-bedrock-input-token-count cache-control"
    ).split()
    lines = [(name, "v") for name in [*once, *always]]
    assert [name for name, _ in lasting(lines)] == always


# --- the switch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "header", "told", "asked"),
    [
        ({}, None, ["miss", "hit"], 1),
        ({}, "off", [None, None], 2),
        ({}, "refresh", ["miss", "miss"], 2),
        ({}, "shared", ["miss", "hit"], 1),
        ({"enabled": False}, None, [None, None], 2),
        ({"enabled": False}, "on", ["miss", "hit"], 1),
        ({"enabled": False}, " ON ", ["miss", "hit"], 1),
        ({"enabled": False}, "shared", ["miss", "miss"], 2),
        ({"enabled": False, "single_flight": True}, None, ["miss", "miss"], 2),
        ({"enabled": False, "single_flight": True}, "off", [None, None], 2),
        ({"single_flight": True}, None, ["miss", "hit"], 1),
        ({"size": 0}, None, ["miss", "miss"], 2),
    ],
)
async def test_who_decides(rules: dict[str, Any], header: str | None, told: list[str | None], asked: int) -> None:
    provider, headers = Provider(), {} if header is None else {"X-Pillion-Cache": header}
    async with cached(**rules) as cache:
        got = [await asking(cache, provider, call(headers=headers)) for _ in range(2)]
    assert [each.cache for each in got] == told
    assert provider.asked == asked


async def test_a_fresh_answer_takes_the_old_ones_place() -> None:
    provider = Provider(b"old")
    async with cached() as cache:
        await asking(cache, provider)
        provider.chunks = (b"new",)
        await asking(cache, provider, call(headers={"x-pillion-cache": "refresh"}))
        assert (await asking(cache, provider)).body == b"new"
        assert cache.answers.bytes == Answer(headers=(("content-type", "x/y"),), body=b"new").weight
    assert (provider.asked, len(cache.answers)) == (2, 1)


@pytest.mark.parametrize("word", ["", "yes", "on, shared", "\udce9", "x" * 1000])
async def test_another_word_is_refused(word: str) -> None:
    async with cached() as cache:
        with pytest.raises(BadRequest, match="must be on, off, refresh or shared") as caught:
            await cache(call(headers={"x-pillion-cache": word}), Provider())
    assert caught.value.param == "x-pillion-cache"
    assert len(caught.value.message) < 200


async def test_a_route_may_decide() -> None:
    routes = {"cached": True, "fresh": False}
    for enabled, hits in ((False, 1), (True, 2)):
        provider = Provider()
        cache = Cache(Rules(enabled=enabled), wanted=lambda call: routes.get(call.model))
        for _ in range(2):
            for model in ("cached", "fresh", "other"):
                await asking(cache, provider, call(b'{"model":"%b"}' % model.encode()))
        assert (provider.asked, cache.hits) == (6 - hits, hits)


async def test_other_rules_hold_from_now_on() -> None:
    provider = Provider(b"x" * 1000)
    async with cached() as cache:
        for n in range(4):
            await asking(cache, provider, call(b'{"model":"m%d"}' % n))
        cache.become(Rules(enabled=True, size=9000))
        assert len(cache.answers) == 4
        cache.become(Rules(enabled=True, size=8000))
        assert len(cache.answers) == 3
        assert (await asking(cache, provider, call(b'{"model":"m3"}'))).cache == "hit"
        cache.become(Rules(enabled=True, size=9000), about="another configuration")
        assert (await asking(cache, provider, call(b'{"model":"m3"}'))).cache == "miss"
        cache.become(Rules())
        assert (await asking(cache, provider, call(b'{"model":"m3"}'))).cache is None


# --- the same, or not ------------------------------------------------------------------------------------------------


def _schema(properties: bytes) -> bytes:
    return b'{"model":"m","response_format":{"json_schema":{"schema":{"properties": {%b}}}}}' % properties


SAME = [
    (b'{"a":1,"model":"m"}', b'{ "model" : "m",\n\t"a" : 1 }'),
    (b'{"model":"m","a":[1.50,{"y":null,"z":"\\u00e9"}]}', '{"a":[1.50,{"z":"é","y":null}],"model":"m"}'.encode()),
    (b'{"model":"m","a":"\\/"}', b'{"model":"m","a":"/"}'),
    # Beside a schema, all else is sorted as ever; and the word alone is none.
    (b'{"a":{"y":0.5,"z":2},"s":{"properties":{"x":{}}}}', b'{"s": {"properties": {"x":{}}}, "a":{"z":2,"y":0.5}}'),
    (b'{"a":{"y":"\\"properties\\":","z":2}}', b'{"a":{"z":2,"y":"\\"properties\\":"}}'),
]
OTHERS = [
    (b'{"model":"m","a":1}', b'{"model":"m","a":1.0}'),
    (b'{"model":"m","a":0.1}', b'{"model":"m","a":0.10000000000000000001}'),
    (b'{"model":"m","a":1e2}', b'{"model":"m","a":100.0}'),
    (b'{"model":"m","a":[1,2]}', b'{"model":"m","a":[2,1]}'),
    (b'{"model":"m","a":"1"}', b'{"model":"m","a":1}'),
    (b'{"model":"m","a":null}', b'{"model":"m"}'),
    (b'{"model":"m","a":" x"}', b'{"model":"m","a":"x"}'),
    # A model writes the keys of an object in the order of its schema: what is thought first decides what is said.
    (_schema(b'"why":{},"so":{}'), _schema(b'"so":{},"why":{}')),
    (_schema(b'"why":{},"so":{}'), _schema(b'"so":{},"why":{}').replace(b'"properties"', b'"propertie\\u0073"')),
    # Of two equal keys our parser keeps one, and the provider's perhaps the other.
    (b'{"model":"m","a":{"b":"x","b":"y"}}', b'{"model":"m","a":{"b":"y"}}'),
    (b'{"model":"m","a":{"b":1,"b":2},"c":"\\u0022\\u0022"}', b'{"model":"m","a":{"b":2},"c":"\\"\\""}'),
    (b'{"model":"m","a":{"b":1,"\\u0062":2}}', b'{"model":"m","a":{"b":2}}'),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_neither_order_nor_spacing_makes_another_question(one: bytes, other: bytes) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_another_body_is_another_question(one: bytes, other: bytes) -> None:
    assert canonical(one) != canonical(other)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def _turned(value: object) -> object:
    """The same, its keys the other way round."""
    if isinstance(value, dict):
        return {key: _turned(each) for key, each in reversed(value.items())}
    return [_turned(each) for each in value] if isinstance(value, list) else value


@given(_json, _json)
def test_a_question_is_its_values(one: object, other: object) -> None:
    spelled_otherwise = json.dumps(_turned({"a": one}), indent=2, ensure_ascii=False).encode("utf-8", "replace")
    plain = json.dumps({"a": one}, ensure_ascii=False).encode("utf-8", "replace")
    assert canonical(plain) == canonical(spelled_otherwise) or b"\\u0022" in plain
    if json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):
        assert canonical(plain) != canonical(json.dumps({"a": other}, ensure_ascii=False).encode("utf-8", "replace"))


@given(st.binary())
def test_any_bytes_at_all_are_some_question(body: bytes) -> None:
    assert canonical(body) or body == b""


@pytest.mark.parametrize("value", [b'"\xff"', b"[" * 100_000, b"1" * 5000, b'"\\ud800"', b'"\\u0022"', b""])
def test_a_body_that_cannot_be_read_is_like_no_other(value: bytes) -> None:
    assert canonical(b'{"a":%b}' % value) == b'{"a":%b}' % value


@pytest.mark.parametrize(
    "changes",
    [
        {"operation": "count_tokens"},
        {"dialect": "anthropic"},
        {"rest": "x"},
        {"raw_query": "beta=true"},
        {"model": "n"},
        {"stream": True},
        {"as_array": True},
        {"client": "somebody"},
        {"key": ClientKey(name="", models=("openai/*",))},
        {"key": ClientKey(name="", providers=("openai",))},
        {"wishes": Wishes(context=1000)},
        {"wishes": Wishes(spelled={"reasoning_effort": "thinking_mode"})},  # as the receipt calls it
        {"envelope": Envelope(b'{"b":1}')},
        {"headers": {"anthropic-beta": "x"}},
        {"headers": {"openai-organization": "x"}},
        {"headers": {"X-Unheard-Of": "x"}},
        {"headers": {"X-Unheard-Of": "caf\udce9"}},
    ],
    ids=str,
)
def test_what_an_answer_depends_on_makes_another_question(changes: dict[str, Any]) -> None:
    assert key_of(call(**changes)) != key_of(call())


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "req_2"},
        {"started": 1.0},
        {"timeout": 3.0},
        {"raw_query": "key=secret"},
        {"wishes": Wishes(cost_limit=5, summary=True)},
        {"key": ClientKey(name="other")},
        {"headers": {"X-Pillion-Cache": "on"}},
        {"headers": {"Authorization": "Bearer x", "Cookie": "a=b"}},
        {"headers": {"User-Agent": "x", "X-Stainless-Retry-Count": "1", "Traceparent": "00-1", "X-Request-Id": "7"}},
        {"headers": {"Idempotency-Key": "x", "Accept-Encoding": "gzip", "amz-sdk-invocation-id": "1"}},
        {"headers": {"X-Amz-Date": "20261124T022500Z", "X-Amz-Content-SHA256": "0" * 64}},  # of a signature
        {"headers": {"Date": "Tue, 24 Nov 2026 02:25:00 GMT", "X-Ms-Client-Request-Id": "1"}},
        {"headers": {"Uber-Trace-Id": "1:2:0:1", "Elastic-Apm-Traceparent": "00-1", "X-Instana-T": "1", "sw8": "1-x"}},
        {"headers": {"X-Dynatrace": "1", "X-NewRelic-Transaction": "", "ot-tracer-traceid": "", "Request-Context": ""}},
    ],
    ids=str,
)
def test_what_changes_no_answer_makes_no_other_question(changes: dict[str, Any]) -> None:
    assert key_of(call(**changes)) == key_of(call(key=ClientKey(name="x")))


def test_another_configuration_is_another_question() -> None:
    assert key_of(call(), about="a") != key_of(call(), about="b")


def test_shared_answers_are_for_those_of_the_same_rights() -> None:
    one, other = call(client="a"), call(client="b")
    few = call(client="c", key=ClientKey(name="c", models=("openai/*",)))
    assert key_of(one, is_shared=True) == key_of(other, is_shared=True) != key_of(few, is_shared=True)


async def test_one_clients_answers_are_not_anothers_unless_so_configured() -> None:
    for shared, asked in ((False, 2), (True, 1)):
        provider = Provider()
        async with cached(shared=shared) as cache:
            for client in ("a", "b"):
                await asking(cache, provider, call(client=client))
        assert provider.asked == asked


@pytest.mark.parametrize("header", ["on", "shared"])
@pytest.mark.parametrize(("state", "told"), [("resp_1", ["miss", "miss"]), (None, ["miss", "hit"])])
async def test_what_goes_on_at_the_provider_is_asked_each_time(header: str, state: str | None, told: list[str]) -> None:
    provider, body = Provider(), json.dumps({"model": "m", "previous_response_id": state}).encode()
    async with cached() as cache:
        asked = [call(body, {"x-pillion-cache": header}, dialect="openai_responses") for _ in range(2)]
        got = [await asking(cache, provider, each) for each in asked]
    assert [each.cache for each in got] == told


async def test_a_fault_is_for_the_one_that_asked_for_it() -> None:
    provider, faulty = Provider(), {"x-pillion-fault": "delay=1"}
    provider.hold.clear()
    async with cached(single_flight=True) as cache:
        waiting = [asyncio.ensure_future(asking(cache, provider, call(headers=each))) for each in (faulty, {}, {})]
        await asyncio.sleep(0)
        provider.hold.set()
        assert [(await each).cache for each in waiting] == ["miss", "miss", "shared"]
        assert (await asking(cache, provider, call(headers=faulty))).cache == "miss"


async def test_a_large_body_is_read_aside() -> None:
    provider, body = Provider(), json.dumps({"model": "m", "a": ["x" * 1000] * 600}).encode()
    async with cached() as cache:
        got = [await asking(cache, provider, call(body)) for _ in range(2)]
    assert [each.cache for each in got] == ["miss", "hit"]


# --- what is not kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("status", [201, 206, 404, 500])
async def test_only_what_went_well_is_kept(status: int, live: bool) -> None:
    provider = Provider(*CHUNKS if live else [b"{}"], status=status)
    async with cached() as cache:
        got = [await asking(cache, provider) for _ in range(2)]
    assert [each.status for each in got] == [status, status]
    assert (provider.asked, len(cache.answers)) == (2, 0)


async def test_what_fails_before_its_head_is_not_kept() -> None:
    async def fails(asked: Call) -> Reply:
        raise Down("no")

    async with cached() as cache:
        for _ in range(2):
            with pytest.raises(Down):
                await behind(cache, fails)(call())
    assert (len(cache.answers), cache.misses) == (0, 2)


@pytest.mark.parametrize("single_flight", [False, True])
async def test_a_stream_that_breaks_is_not_kept(single_flight: bool) -> None:
    provider = Provider(*CHUNKS, fails=Down("cut"))
    async with cached(single_flight=single_flight) as cache:
        got = [await asking(cache, provider) for _ in range(2)]
        assert (len(cache.answers), cache.answers.bytes) == (0, 0)
    assert [type(each.error) for each in got] == [Down, Down]
    assert provider.asked == 2


@pytest.mark.parametrize("single_flight", [False, True])
async def test_a_stream_whose_client_leaves_is_not_kept(single_flight: bool) -> None:
    provider = Provider(*CHUNKS)
    provider.rest.clear()
    async with cached(single_flight=single_flight) as cache:
        for _ in range(2):
            reply = await behind(cache, provider)(call())
            async with delivery(reply) as (_, chunks):
                await anext(chunks)
            await asyncio.sleep(0)
            assert (len(cache.answers), cache.answers.bytes) == (0, 0)
    assert provider.asked == 2


async def test_a_whole_answer_that_nobody_took_is_not_kept() -> None:
    async with cached() as cache:
        conclude(await behind(cache, Provider())(call()), ConnectionResetError(), "req_1")
        assert len(cache.answers) == 0


async def test_a_stream_that_is_stopped_is_not_kept() -> None:
    provider = Provider(*CHUNKS)
    async with cached() as cache:
        reply = await behind(cache, provider)(call())
        reply.stop(Down("we are leaving"))
        await take(reply)
        assert (len(cache.answers), cache.answers.bytes) == (0, 0)


# --- room ------------------------------------------------------------------------------------------------------------


async def test_when_it_is_full_the_one_goes_that_was_asked_for_longest_ago() -> None:
    answers = Answers(4 * (OVERHEAD + 100), ttl=60)
    for name in "abcd":
        answers.keep(name, Answer(headers=(), body=b"x" * 100))
    await answers.find("a")
    answers.keep("e", Answer(headers=(), body=b"x" * 100))
    assert [name for name in "abcde" if await answers.find(name)] == ["a", "c", "d", "e"]
    assert (answers.evictions, answers.bytes, len(answers)) == (1, 4 * (OVERHEAD + 100), 4)


@pytest.mark.parametrize("chunks", [(b"x" * 30_000,), (b"x" * 15_000, b"x" * 15_000)])
async def test_an_answer_longer_than_a_quarter_of_the_room_is_not_kept(chunks: Sequence[bytes]) -> None:
    provider = Provider(*chunks)
    async with cached(size=100_000) as cache:
        got = [await asking(cache, provider) for _ in range(2)]
        assert (len(cache.answers), cache.answers.bytes) == (0, 0)
    assert [each.body for each in got] == [b"x" * 30_000] * 2
    assert provider.asked == 2


async def test_what_becomes_too_long_is_let_go_at_once() -> None:
    async def body() -> AsyncGenerator[bytes]:
        for _ in range(7):
            yield b"x" * 100

    answers = Answers(1600, ttl=60)
    gathering = Gathering(answers)
    held = [answers.bytes async for _ in gathering.over(body())]
    assert held == [100, 200, 300, 400, 0, 0, 0]
    assert gathering.take() is None


async def test_what_is_still_coming_takes_room() -> None:
    answers = Answers(40_000, ttl=60)
    answers.keep("old", Answer(headers=(), body=b"x" * 5000))

    async def body() -> AsyncGenerator[bytes]:
        for _ in range(9):
            yield b"y" * 1000

    gatherings = [Gathering(answers) for _ in range(5)]
    streams = [gathering.over(body()) for gathering in gatherings]
    for _ in range(9):
        for stream in streams:
            await anext(stream)
        assert answers.bytes <= 40_000
    assert (len(answers), answers.evictions) == (0, 1)
    kept = [gathering.take() for gathering in gatherings]
    assert [chunks is not None for chunks in kept].count(False) == 1  # for the fifth there was no room
    assert answers.bytes == 0
    for stream in streams:
        await stream.aclose()


# --- together --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "headers", "body", "asked"),
    [
        ({"single_flight": True}, {}, b'{"model":"m"}', 1),
        ({"enabled": False, "single_flight": True}, {}, b'{"model":"m"}', 1),
        ({"enabled": False}, {"x-pillion-cache": "shared"}, b'{"model":"m"}', 1),
        ({}, {"x-pillion-cache": "shared"}, b'{"model":"m"}', 1),
        ({}, {}, b'{"model":"m"}', 3),
        ({}, {}, b'{"model":"m","temperature":0}', 1),
        ({}, {}, b'{"model":"m","seed":7}', 1),
        ({"enabled": False}, {}, b'{"model":"m","temperature":0}', 3),
        ({"single_flight": True}, {"x-pillion-cache": "off"}, b'{"model":"m"}', 3),
        ({"single_flight": True}, {"x-pillion-cache": "refresh"}, b'{"model":"m","temperature":0}', 3),
    ],
)
@pytest.mark.parametrize("live", [False, True])
async def test_who_shares(rules: dict[str, Any], headers: dict[str, str], body: bytes, asked: int, live: bool) -> None:
    provider = Provider(*CHUNKS if live else [b"{}"])
    provider.hold.clear()
    async with cached(**rules) as cache:
        waiting = [asyncio.ensure_future(asking(cache, provider, call(body, headers))) for _ in range(3)]
        await asyncio.sleep(0)
        provider.hold.set()
        got = await asyncio.gather(*waiting)
    assert provider.asked == asked
    assert {each.body for each in got} == {b"".join(provider.chunks)}
    assert sorted(each.cache or "" for each in got) == (
        ["miss", "shared", "shared"] if asked == 1 else [got[0].cache or ""] * 3
    )
    assert cache.shared == (2 if asked == 1 else 0)


async def test_an_answer_that_was_shared_is_kept_once() -> None:
    provider = Provider(*CHUNKS)
    async with cached(single_flight=True) as cache:
        await asyncio.gather(*(asking(cache, provider) for _ in range(3)))
        got = await asking(cache, provider)
    assert (got.cache, got.chunks, provider.asked) == ("hit", CHUNKS, 1)
    assert (cache.hits, cache.misses, cache.shared) == (1, 1, 2)


@pytest.mark.parametrize(("first", "second", "asked"), [("shared", "on", 2), ("on", "shared", 1)])
async def test_who_wants_it_kept_shares_only_what_is_kept(first: str, second: str, asked: int) -> None:
    provider, body = Provider(*CHUNKS), b'{"model":"m","seed":1}'
    provider.hold.clear()
    async with cached(enabled=False) as cache:
        calls = [call(body, {"x-pillion-cache": word}) for word in (first, second)]
        waiting = [asyncio.ensure_future(asking(cache, provider, each)) for each in calls]
        await soon(lambda: provider.asked + cache.shared == 2)
        provider.hold.set()
        await asyncio.gather(*waiting)
        assert provider.asked == asked
        assert (await asking(cache, provider, call(body, dict([ON])))).cache == "hit"


async def test_a_shared_call_is_booked_once_under_the_first() -> None:
    provider = Provider(*CHUNKS)
    provider.headers = [("content-type", "x/y"), ("x-pillion-cost-usd", "0.1"), ("x-ratelimit-remaining-tokens", "5")]
    calls = [call(id=f"req_{n}") for n in range(3)]
    async with cached(single_flight=True) as cache:
        got = await asyncio.gather(*(asking(cache, provider, each) for each in calls))
    assert [each.attempts for each in calls] == [1, 0, 0]
    assert [each.usage for each in calls] == [None] * 3
    assert [each.dropped for each in calls] == [("seed",)] * 3
    assert [each.headers.get("x-pillion-cost-usd") for each in got] == ["0.1", None, None]  # of a stream
    assert all(each.headers["content-type"] == "x/y" for each in got)


async def test_who_shares_is_told_what_was_left_out_by_the_head_and_by_the_end() -> None:
    provider, first, second = Provider(*CHUNKS), call(), call()
    provider.rest.clear()
    async with cached(single_flight=True) as cache:
        taking = asyncio.ensure_future(asking(cache, provider, first))
        await asyncio.sleep(0)
        reply = await behind(cache, provider)(second)
        by_head = second.dropped
        first.dropped = ("seed", "web_search")  # a block of the answer
        provider.rest.set()
        await take(reply)
        await taking
    assert (by_head, second.dropped) == (("seed",), ("seed", "web_search"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"headers": {"x-pillion-timeout": "5"}}),
        ({}, {"headers": {"x-pillion-cost-limit": "0.5"}}),
        ({"headers": {"x-pillion-cost-limit": "0.1"}}, {"headers": {"x-pillion-cost-limit": "0.5"}}),
        ({"headers": {"x-pillion-timeout": "5"}}, {"headers": {"x-pillion-timeout": "5"}}),  # over at another moment
    ],
)
async def test_who_sets_a_limit_of_its_own_waits_for_no_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    provider = Provider()
    provider.hold.clear()
    async with cached(single_flight=True) as cache:
        waiting = [asyncio.ensure_future(asking(cache, provider, call(**each))) for each in (one, other)]
        await asyncio.sleep(0.001)
        provider.hold.set()
        await asyncio.gather(*waiting)
    assert provider.asked == 2


@pytest.mark.parametrize("error", [OverBudget, LedgerUnavailable])
@pytest.mark.parametrize("live", [False, True])
async def test_who_pays_for_an_answer_refuses_it_to_nobody_else(error: type[GatewayError], live: bool) -> None:
    class Billing(Provider):
        async def __call__(self, asked: Call) -> Reply:
            reply = await super().__call__(asked)
            if asked.client == "poor":
                raise error("There is nothing left for poor.")
            return reply

    provider = Billing(*CHUNKS if live else [b"{}"])
    provider.hold.clear()
    async with cached(single_flight=True, shared=True) as cache:
        calls = [call(client=name) for name in ("poor", "poor", "rich", "rich")]
        waiting = [asyncio.ensure_future(asking(cache, provider, each)) for each in calls]
        await asyncio.sleep(0.001)
        provider.hold.set()
        got = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in got] == [error, error, Taken, Taken]
    assert [each.cache for each in got if isinstance(each, Taken)] == ["miss", "shared"]
    assert provider.asked == 2


@pytest.mark.parametrize("live", [False, True])
async def test_why_the_last_one_was_ended_is_known_to_the_call_that_it_shared(live: bool) -> None:
    class Noting(Provider):
        why: BaseException | None = None

        def note(self, error: BaseException | None) -> None:
            self.why = error

        async def __call__(self, asked: Call) -> Reply:
            try:
                reply = await super().__call__(asked)
            except asyncio.CancelledError as error:
                self.note(error)
                raise
            reply.endings.append(self.note)
            return reply

    provider, why = Noting(*CHUNKS), GatewayError("Somebody has ended it.", code="request_cancelled")
    (provider.rest if live else provider.hold).clear()
    async with cached(single_flight=True) as cache:
        waiting = [asyncio.ensure_future(asking(cache, provider)) for _ in range(2)]
        await asyncio.sleep(0.001)
        for each in waiting:
            each.cancel(why)
        await asyncio.gather(*waiting, return_exceptions=True)
        await soon(lambda: provider.why)
    assert provider.why is not None
    assert provider.why.args == (why,)


async def test_the_time_that_another_calls_provider_takes_is_no_time_of_ours() -> None:
    provider, calls = Provider(), [call() for _ in range(2)]
    provider.hold.clear()
    async with cached(single_flight=True) as cache:
        waiting = [asyncio.ensure_future(asking(cache, provider, each)) for each in calls]
        await asyncio.sleep(0.02)
        provider.hold.set()
        await asyncio.gather(*waiting)
    assert calls[1].waited > 0.01


@pytest.mark.parametrize(
    ("body", "sure"),
    [
        (b'{"temperature":0}', True),
        (b'{"temperature":0.0}', True),
        (b'{"seed":0}', True),
        (b'{"generationConfig":{"temperature":0}}', True),
        (b'{"generation_config":{"seed":1}}', True),
        (b'{"inferenceConfig":{"temperature":0.00}}', True),
        (b'{"options":{"seed":1}}', True),
        (b'{"temperature":0.01}', False),
        (b'{"temperature":"0"}', False),
        (b'{"temperature":null,"seed":null}', False),
        (b'{"options":{"temperature":0,"temperature":1}}', False),
        (b'{"options":[0]}', False),
        (b"{}", False),
    ],
)
def test_who_wants_the_same_answer_each_time(body: bytes, sure: bool) -> None:
    assert is_deterministic(Envelope(body)) is sure


# --- the shelf -------------------------------------------------------------------------------------------------------


def files(state: Path) -> list[Path]:
    return sorted((state / "answers").iterdir())


@pytest.mark.parametrize("chunks", [CHUNKS, [b'{"n":1}']])
async def test_answers_outlive_a_restart(tmp_path: Path, chunks: list[bytes]) -> None:
    provider = Provider(*chunks)
    async with cached(tmp_path, stored=True) as cache:
        first = await asking(cache, provider)
    async with cached(tmp_path, stored=True) as cache:
        assert len(cache.answers) == 1
        asked = call()
        second, third = await asking(cache, provider, asked), await asking(cache, provider)
    assert (second.cache, third.cache) == ("hit", "hit")
    assert first.chunks == second.chunks == third.chunks
    assert second.headers["content-type"] == "x/y"
    assert (provider.asked, asked.dropped) == (1, ("seed",))


async def test_a_file_is_for_nobody_else(tmp_path: Path) -> None:
    async with cached(tmp_path, stored=True) as cache:
        await asking(cache, Provider())
    (file,) = files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(file.name) == 64


async def test_without_a_place_for_them_they_are_in_memory_alone() -> None:
    async with cached(None, stored=True) as cache:
        provider = Provider()
        assert [(await asking(cache, provider)).cache for _ in range(2)] == ["miss", "hit"]


async def test_what_was_written_before_is_swept_out_also_where_nothing_is_written_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.answers.memory.EVERY", 0.01)
    provider = Provider()
    async with cached(tmp_path, stored=True) as cache:
        await asking(cache, provider)
    async with cached(tmp_path) as cache:
        assert (await asking(cache, provider)).cache == "hit"
        await asking(cache, provider, call(b'{"model":"n"}'))
        assert len(files(tmp_path)) == 1
        cache.become(Rules(enabled=True, ttl=0.05))
        await soon(lambda: not files(tmp_path))
    assert provider.asked == 2


async def test_a_folder_is_made_only_where_answers_are_written(tmp_path: Path) -> None:
    async with cached(tmp_path) as cache:
        await asking(cache, Provider())
    assert not os.listdir(tmp_path)


def linked(file: Path) -> None:
    file.rename(file.with_suffix(".elsewhere"))
    file.symlink_to(file.with_suffix(".elsewhere"))


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("change", [Path.unlink, linked, a_folder])
async def test_a_file_that_is_there_no_more_is_as_if_there_were_none(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    provider = Provider()
    async with cached(tmp_path, stored=True) as cache:
        await asking(cache, provider)
    async with cached(tmp_path, stored=True) as cache:
        assert len(cache.answers) == 1
        change(files(tmp_path)[0])
        assert [(await asking(cache, provider)).cache for _ in range(2)] == ["miss", "hit"]
    assert provider.asked == 2


async def test_what_is_too_old_is_swept_out_though_nobody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.answers.memory.EVERY", 0.01)
    async with cached(tmp_path, stored=True, ttl=0.2) as cache:
        for n in range(3):
            await asking(cache, Provider(), call(b'{"model":"m%d"}' % n))
        assert (len(cache.answers), cache.answers.bytes > 0) == (3, True)
        await soon(lambda: not len(cache.answers))
        assert (cache.answers.bytes, cache.answers.evictions) == (0, 0)
        await soon(lambda: not files(tmp_path))


async def test_a_file_from_before_the_start_is_swept_out_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.answers.memory.EVERY", 0.01)
    async with cached(tmp_path, stored=True) as cache:
        await asking(cache, Provider())
    (file,) = files(tmp_path)
    changed = file.stat().st_mtime - 299.8
    os.utime(file, (changed, changed))
    async with cached(tmp_path, stored=True):
        await soon(lambda: not files(tmp_path))


async def test_a_shorter_time_sweeps_out_what_it_makes_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.answers.memory.EVERY", 0.01)
    async with cached() as cache:
        await asking(cache, Provider())
        assert len(cache.answers) == 1
        cache.become(Rules(enabled=True, ttl=0.05))
        await soon(lambda: not len(cache.answers))


async def test_only_so_many_are_swept_at_a_time_and_the_oldest_first() -> None:
    now = 0.0
    answers = Answers(10**9, ttl=60, clock=lambda: now)
    for n in range(SWEPT + 50):
        now = float(n) / 100
        answers.keep(f"k{n}", Answer(headers=(), body=b"x"))
    answers.keep("k0", Answer(headers=(), body=b"x"))  # a new one, in place of the oldest
    assert await answers.find("k1") is not None  # to be asked for makes it no younger
    now = 60 + (SWEPT + 20) / 100
    answers.sweep()
    assert len(answers) == 50
    answers.sweep()
    assert list(answers._by_age) == [*(f"k{n}" for n in range(SWEPT + 21, SWEPT + 50)), "k0"]
    await answers.close()


@pytest.mark.parametrize("age", [301, -10])
async def test_a_file_that_is_too_old_or_of_the_future_is_removed(tmp_path: Path, age: float) -> None:
    provider = Provider()
    async with cached(tmp_path, stored=True) as cache:
        await asking(cache, provider)
    (file,) = files(tmp_path)
    changed = file.stat().st_mtime - age
    os.utime(file, (changed, changed))
    async with cached(tmp_path, stored=True) as cache:
        assert len(cache.answers) == 0
        assert (await asking(cache, provider)).cache == "miss"
    assert provider.asked == 2


async def test_how_old_a_file_is_counts_on(tmp_path: Path) -> None:
    provider = Provider()
    async with cached(tmp_path, stored=True) as cache:
        await asking(cache, provider)
    (file,) = files(tmp_path)
    changed = file.stat().st_mtime - 100
    os.utime(file, (changed, changed))
    async with cached(tmp_path, stored=True) as cache:
        got = await asking(cache, provider)
    assert 100 <= int(got.headers["age"]) <= 110


async def test_the_bound_includes_the_files(tmp_path: Path) -> None:
    async with cached(tmp_path, stored=True, size=16_000) as cache:
        for n in range(8):
            await asking(cache, Provider(b"x" * 2000), call(b'{"model":"m%d"}' % n))
    assert len(files(tmp_path)) == len(cache.answers) <= 5
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 16_000
    by_age = files(tmp_path)
    for n, file in enumerate(by_age):
        changed = file.stat().st_mtime - n
        os.utime(file, (changed, changed))
    async with cached(tmp_path, stored=True, size=13_000) as smaller:
        assert len(smaller.answers) == 4
    assert files(tmp_path) == by_age[:4]


def _broken(answer: Answer) -> list[bytes]:
    good = to_file(answer)
    digest, _, rest = good.partition(b"\n")
    wrong = [b"{}", b"[]", rest.replace(b'"version":1', b'"version":2'), rest.replace(b'"ends":[', b'"ends":[-1,')]
    return [b"", good[:-1], good + b"x", good[1:], digest, b"\xff\xfe", good.replace(b"data", b"dada")] + [
        _sealed(each) for each in wrong
    ]


def _sealed(rest: bytes) -> bytes:
    return sha256(rest).hexdigest().encode() + b"\n" + rest


async def test_a_file_that_is_broken_is_as_if_there_were_none(tmp_path: Path) -> None:
    provider = Provider(*CHUNKS)
    broken = _broken(streamed([("a", "b")], CHUNKS, ()))
    for data in broken:
        assert from_file(data) is None, data
    for data in broken[:3]:
        async with cached(tmp_path, stored=True) as cache:
            await asking(cache, provider, call(headers={"x-pillion-cache": "refresh"}))
        (file,) = files(tmp_path)
        file.write_bytes(data)
        async with cached(tmp_path, stored=True) as cache:
            assert (len(cache.answers), await cache.answers.find(file.name), len(cache.answers)) == (1, None, 0)
        async with cached(tmp_path, stored=True) as cache:
            file.write_bytes(data)
            assert (await asking(cache, provider)).cache == "miss"
        assert from_file(file.read_bytes()) is not None  # it was put right


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_an_answer_or_none(data: bytes) -> None:
    assert from_file(data) is None


@given(
    headers=st.lists(st.tuples(st.text(), st.text())),
    chunks=st.lists(st.binary(min_size=1)),
    dropped=st.lists(st.text()).map(tuple),
)
def test_an_answer_is_read_as_it_was_spelled(
    headers: list[tuple[str, str]], chunks: list[bytes], dropped: tuple[str, ...]
) -> None:
    answer = streamed(headers, chunks, dropped)
    assert from_file(to_file(answer)) == answer
    assert from_file(to_file(Answer(headers=tuple(headers), body=b"\n".join(chunks)))) is not None


async def test_strange_files_are_left_alone_and_unfinished_ones_swept_up(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    key = "0" * 64
    (folder / "notes.txt").write_text("mine")
    (folder / f"{key}").symlink_to(folder / "notes.txt")
    for name, age in ((f"{key}.1.new", 1000), (f"{key}.2.new", 0)):
        (folder / name).write_text("half")
        changed = (folder / name).stat().st_mtime - age
        os.utime(folder / name, (changed, changed))
    async with cached(tmp_path, stored=True) as cache:
        assert len(cache.answers) == 0
    assert [file.name for file in files(tmp_path)] == [key, f"{key}.2.new", "notes.txt"]


async def test_a_disk_that_fails_is_told_of_once_and_costs_no_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "answers").write_text("in the way")
    provider = Provider()
    with caplog.at_level(logging.WARNING, "pillion"):
        async with cached(tmp_path, stored=True) as cache:
            for n in range(3):
                asked = call(b'{"model":"m%d"}' % n)
                assert [(await asking(cache, provider, asked)).cache for _ in range(2)] == ["miss", "hit"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'answers'}: File exists; answers are cached only in memory"
    ]


async def test_a_head_that_is_no_text_stays_in_memory(tmp_path: Path) -> None:
    provider = Provider()
    provider.headers = [("x-odd", "caf\udce9")]
    async with cached(tmp_path, stored=True) as cache:
        got = [await asking(cache, provider) for _ in range(2)]
    assert got[1].headers["x-odd"] == "caf\udce9"
    assert files(tmp_path) == []


async def test_a_disk_that_is_slow_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.answers.shelf.BACKLOG", 5000)
    async with cached(tmp_path, stored=True) as cache:
        for n in range(8):
            cache.answers.keep(f"{n:064}", Answer(headers=(), body=b"x" * 1000))  # and the loop has not turned yet
        assert len(cache.answers) == 8
    assert len(files(tmp_path)) == 2


async def test_a_disk_that_has_kept_up_is_given_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Answer(headers=(), body=b"x")
    monkeypatch.setattr("proxy.answers.shelf.BACKLOG", answer.weight)
    shelf = Shelf(tmp_path)
    await shelf.look()
    for n in range(3):
        shelf.write(f"{n:064}", answer)
        await shelf.look()  # which is done after it
    await shelf.close()
    assert len(files(tmp_path)) == 3


async def test_after_the_end_nothing_is_written(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    await shelf.close()
    shelf.write("0" * 64, Answer(headers=(), body=b""))
    shelf.remove("0" * 64)
    assert await shelf.read("0" * 64) is None
    assert not (tmp_path / "answers").exists()


# --- on the wire -----------------------------------------------------------------------------------------------------


class Stage:
    """A pillion, and a gate behind its cache: who has come so far waits there until it is opened."""

    cache: Cache

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    def chained(self, ways: Ways) -> Ways:
        at = next(n for n, middleware in enumerate(ways.call) if isinstance(middleware, Cost))
        return ways._replace(call=[*ways.call[:at], self._held, *ways.call[at:]])

    async def together(self, gateway: Gateway, count: int, request: bytes) -> list[Got]:
        """What so many clients get that ask for the same, all before the first of them is answered."""
        self.gate.clear()
        asked, enough = [("x-pillion-cache", "shared")], self.cache.shared + self.cache.misses + count
        waiting = [asyncio.ensure_future(chat(gateway, OPENAI, request, asked)) for _ in range(count)]
        await soon(lambda: self.cache.shared + self.cache.misses >= enough)
        self.gate.set()
        return await asyncio.gather(*waiting)

    async def _held(self, call: Call, handler: Handler) -> Reply:
        await self.gate.wait()
        return await handler(call)


@asynccontextmanager
async def gateway_of(speech: Speech, evil: Evil) -> AsyncIterator[tuple[Gateway, Stage]]:
    stage, chained = Stage(), Assembly._make_ways
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Assembly, "_make_ways", lambda assembly: stage.chained(chained(assembly)))
        async with pillion(**speech.environ(evil.url)) as gateway:
            stage.cache = gateway.app.lasting.cache
            yield gateway, stage


def request_of(speech: Speech, stream: bool) -> bytes:
    return speech.request(stream, model=f"{speech.provider}/m")


def streaming(speech: Speech, **changes: Any) -> Scenario:
    return Scenario(
        body=speech.stream, headers=[("content-type", "text/event-stream")], framing="chunked", split=7, **changes
    )


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC], ids=lane_name)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_app_gets_the_same_bytes_again(speech: Speech, stream: bool) -> None:
    body, kind = (speech.stream, "text/event-stream") if stream else (speech.whole, "application/json")
    plays = Scenario(body=body, headers=[("content-type", kind), ("x-request-id", "theirs")], framing="chunked")
    async with Evil(plays) as evil, gateway_of(speech, evil) as (gateway, _):
        first, second = [await chat(gateway, speech, request_of(speech, stream), [ON]) for _ in range(2)]
        assert first.body == second.body == body
        assert second.whole
        assert [got.header("x-pillion-cache") for got in (first, second)] == ["miss", "hit"]
        assert second.header("content-type") == first.header("content-type") == kind
        assert first.header("x-request-id") == "theirs"
        assert second.header("x-request-id") == second.header("x-pillion-request-id") != first.header("x-request-id")
        assert len(evil.requests) == 1
        assert b"x-pillion-cache" not in evil.requests[0].head.lower()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"id":"chatcmpl-1","choices":[]}',
    ],
)
async def test_an_answer_that_says_nothing_is_passed_on_and_not_kept(body: bytes) -> None:
    empty = Scenario(body=body, headers=[("content-type", "application/json")])
    plays = Scenario(body=OPENAI.whole, headers=[("content-type", "application/json")])
    async with Evil(empty, plays) as evil, gateway_of(OPENAI, evil) as (gateway, _):
        got = [await chat(gateway, OPENAI, request_of(OPENAI, stream=False), [ON]) for _ in range(3)]
        assert [each.body for each in got] == [body, OPENAI.whole, OPENAI.whole]
        assert [each.header("x-pillion-cache") for each in got] == ["miss", "miss", "hit"]


async def test_tokens_and_money_are_counted_once() -> None:
    plays = Scenario(body=OPENAI.whole, headers=[("content-type", "application/json")])
    async with Evil(plays, plays) as evil, gateway_of(OPENAI, evil) as (gateway, stage):
        request = request_of(OPENAI, stream=False)
        first = await chat(gateway, OPENAI, request, [ON])
        again = await chat(gateway, OPENAI, request, [ON])
        shared = await stage.together(gateway, 3, request)
        assert len(evil.requests) == 2
        tokens = {"provider": "openai", "model": "m", "kind": "input"}
        assert registry(gateway.app).get_sample_value("pillion_tokens_total", tokens) == 10
        assert [got.header("x-pillion-attempts") is None for got in (first, again)] == [False, True]
        assert sorted(got.header("x-pillion-attempts") is None for got in shared) == [False, True, True]
        cost = first.header("x-pillion-cost-usd") or "0"
        assert (cost != "0", again.header("x-pillion-cost-usd")) == (True, "0")
        assert sorted(got.header("x-pillion-cost-usd") or "" for got in shared) == ["0", "0", cost]


async def test_what_pillion_tells_of_one_answer_is_not_in_the_next() -> None:
    asked = [ON, ("x-pillion-summary", "true")]
    async with Evil(streaming(OPENAI)) as evil, gateway_of(OPENAI, evil) as (gateway, _):
        request = request_of(OPENAI, stream=True)
        told = await chat(gateway, OPENAI, request, asked)
        assert b'"pillion"' in told.body
        assert (await chat(gateway, OPENAI, request, [ON])).body == OPENAI.stream
        again = await chat(gateway, OPENAI, request, asked)
        assert again.header("x-pillion-cache") == "hit"
        assert b'"cost_usd":"0"' in again.body.replace(b": ", b":")


async def test_apps_at_once_cause_one_request() -> None:
    async with Evil(streaming(OPENAI)) as evil, gateway_of(OPENAI, evil) as (gateway, stage):
        got = await stage.together(gateway, 8, request_of(OPENAI, stream=True))
        assert {each.body for each in got} == {OPENAI.stream}
        assert all(each.whole for each in got)
        assert len(evil.requests) == 1


async def test_the_provider_is_let_go_when_the_last_app_has_left() -> None:
    begun = OPENAI.stream.index(b"\n\n", OPENAI.stream.index("Grü".encode())) + 2
    message = spell("POST", OPENAI.path, request_of(OPENAI, stream=True), [("x-pillion-cache", "shared")])
    async with Evil(streaming(OPENAI, cut_at=begun, how="stall")) as evil, gateway_of(OPENAI, evil) as (gateway, stage):
        async with client(gateway) as other:
            async with client(gateway) as first:
                for one in (first, other):
                    await one.send(message)
                    await one.until("Grü".encode())
                first.leave("rst")
            assert not evil.closings
            assert stage.cache.shared == 1
            other.leave("rst")
            await evil.closed((await evil.received(1)).connection)
        assert len(evil.requests) == 1


async def test_a_stream_that_breaks_ends_with_its_wires_error_for_each() -> None:
    begun = OPENAI.stream.index(b"\n\n", OPENAI.stream.index("Grü".encode())) + 2
    async with Evil(streaming(OPENAI, cut_at=begun)) as evil, gateway_of(OPENAI, evil) as (gateway, stage):
        for each in await stage.together(gateway, 3, request_of(OPENAI, stream=True)):
            assert each.body.startswith(OPENAI.stream[:begun])
            assert OPENAI.error(OPENAI.last_event(each.body))["code"] == "upstream_cut"
            assert not each.whole
        assert (len(evil.requests), stage.cache.shared) == (1, 2)


async def test_an_error_says_where_it_is_from_as_answers_do() -> None:
    body = b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}'
    refused = Scenario(status=400, body=body, headers=[("Content-Type", "application/json")])
    async with Evil(refused, refused) as evil, gateway_of(OPENAI, evil) as (gateway, stage):
        one = await chat(gateway, OPENAI, request_of(OPENAI, stream=False), [ON])
        assert (one.status, one.header("x-pillion-cache")) == (400, "miss")
        got = await stage.together(gateway, 4, request_of(OPENAI, stream=False))
        assert sorted(each.header("x-pillion-cache") or "" for each in got) == ["miss", *["shared"] * 3]
        assert ({each.status for each in got}, len(evil.requests)) == ({400}, 2)


async def test_a_word_that_is_none_is_an_error_on_the_wire() -> None:
    async with Evil() as evil, gateway_of(OPENAI, evil) as (gateway, _):
        got = await chat(gateway, OPENAI, request_of(OPENAI, stream=False), [("x-pillion-cache", "maybe")])
        assert got.status == 400
        assert OPENAI.error(got.body)["param"] == "x-pillion-cache"
