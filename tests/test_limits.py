"""Who passes, who waits and in which order, and what is made of what a provider tells?"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from time import monotonic_ns
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import registry
from proxy.access.allowance import Limits
from proxy.config import Queue
from proxy.envelope import Envelope
from proxy.errors import BadRequest, Busy, OverLimit
from proxy.limits.admission import Admission
from proxy.limits.announced import LONGEST, Announcements, rows_in
from proxy.limits.need import NO_TOKENS, Need, need_of
from proxy.limits.ratelimits import seconds_until
from proxy.limits.refusal import refusal
from proxy.limits.scope import Held, Limited, Scope
from proxy.ports import Call
from proxy.spending.tokens import ANSWER
from tests import recordings
from tests.recordings import needs_recordings

SECOND = 10**9
NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z
ONE = Need()


class Clock:
    def __init__(self) -> None:
        self.now = 46_000 * SECOND

    def __call__(self) -> int:
        return self.now


def limited(**limits: int) -> Limited:
    return Limited("client", "x", Limits(**limits))


def lines(error: OverLimit | Busy) -> dict[str, str]:
    return dict(error.headers)


# --- how much a request may take --------------------------------------------------------------------------------------


def call(body: Any, dialect: str = "openai_chat", operation: str = "chat") -> Call:
    async def receive() -> bytes:
        raise AssertionError

    envelope = Envelope(body if isinstance(body, bytes) else msgspec.json.encode(body))
    return Call(
        id="req_1",
        operation=operation,
        dialect=registry.dialect(dialect),
        headers={},
        query={},
        receive=receive,
        started=0.0,
        envelope=envelope,
    )


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_chat", {"max_tokens": 70}),
        ("openai_chat", {"max_completion_tokens": 70, "max_tokens": 9}),
        ("openai_responses", {"max_output_tokens": 70}),
        ("anthropic", {"max_tokens": 70}),
        ("bedrock_invoke", {"max_tokens": 70}),
        ("gemini", {"generationConfig": {"maxOutputTokens": 70}}),
        ("gemini", {"generation_config": {"max_output_tokens": 70}}),
        ("bedrock", {"inferenceConfig": {"maxTokens": 70}}),
        ("ollama", {"options": {"num_predict": 70}}),
        ("cohere", {"max_tokens": 70}),
    ],
)
def test_the_length_of_the_answer_is_what_the_request_says(dialect: str, body: dict[str, Any]) -> None:
    size = len(msgspec.json.encode(body))
    assert need_of(call(body, dialect)) == Need(size // 4, 70)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_chat", {"n": 3, "max_tokens": 70}),
        ("gemini", {"generationConfig": {"candidateCount": 3, "maxOutputTokens": 70}}),
        ("gemini", {"generation_config": {"candidate_count": 3, "max_output_tokens": 70}}),
    ],
)
def test_several_answers_may_each_be_as_long(dialect: str, body: dict[str, Any]) -> None:
    assert need_of(call(body, dialect)).write == 210


def test_several_answers_of_which_nobody_says_the_length_are_a_guess_each() -> None:
    assert need_of(call({"n": 3})) == Need(1, 3 * ANSWER, says=False)
    for said in (None, 0, -1, "3", 1.5, True):
        assert need_of(call({"n": said})).write == ANSWER
    assert need_of(call(b'{"n":%d}' % 10**30)).write == 10**9


@pytest.mark.parametrize("said", [None, "70", 0, -1, 1.5, True, [], {"x": 1}])
def test_what_is_no_length_is_none(said: Any) -> None:
    for need in (need_of(call({"max_tokens": said})), need_of(call({"options": said}, "ollama"))):
        assert (need.write, need.says) == (ANSWER, False)


def test_a_length_beyond_all_bounds_is_one_all_the_same() -> None:
    assert need_of(call(b'{"max_tokens":%d}' % 10**30)).write == 10**9


def test_a_length_that_cannot_be_read_is_a_bad_request() -> None:
    with pytest.raises(BadRequest) as caught:
        need_of(call(b'{"max_tokens":1e999}'))
    assert caught.value.param == "max_tokens"


def test_a_picture_counts_as_one_and_not_by_its_bytes() -> None:
    image = "data:image/png;base64," + "iVBORw0KGgo" * 100_000
    assert 1000 < need_of(call({"max_tokens": 1, "url": image})).read < 1200


@pytest.mark.parametrize("text", ["word " * 20_000, "\u6f22" * 20_000, "\\u6f22" * 20_000])
def test_a_long_text_is_no_picture(text: str) -> None:
    body = {"max_tokens": 1, "text": text}
    assert need_of(call(body)).read == len(msgspec.json.encode(body)) // 4


def test_who_asks_for_a_count_uses_no_tokens() -> None:
    assert need_of(call({"max_tokens": 5}, operation="count_tokens")) is NO_TOKENS


def test_a_guess_alone_keeps_nobody_out() -> None:
    assert Need(10, ANSWER, says=False).within(100) == 100
    assert Need(200, ANSWER, says=False).within(100) == 200
    assert Need(10, 500).within(100) == 510


# --- at once ----------------------------------------------------------------------------------------------------------


def test_whoever_passes_takes_from_all_scopes_and_else_from_none() -> None:
    wide, narrow = limited(requests_per_minute=10, concurrent=9), limited(tokens_per_minute=100)
    admission = Admission(Queue(), clock := Clock())
    assert admission.admit((wide, narrow), Need(60, 0)) is not None
    assert admission.admit((wide, narrow), Need(60, 0)) is None
    assert admission.admit((narrow, wide), Need(60, 0)) is None
    assert [admission.admit((wide, narrow), Need(5, 0)) is None for _ in range(9)] == [False] * 8 + [True]
    assert wide.levels(clock.now)[0][2] == 1


def test_who_does_not_pass_for_its_tokens_is_no_request() -> None:
    admission, scope = Admission(Queue(), Clock()), limited(requests_per_minute=2, tokens_per_minute=100)
    assert [admission.admit((scope,), Need(80, 0)) is None for _ in range(9)] == [False] + [True] * 8
    assert admission.admit((scope,), Need(20, 0)) is not None


@pytest.mark.parametrize(
    ("limits", "need", "message", "seconds"),
    [
        ({"requests_per_minute": 2}, ONE, "The limit of x is 2 requests per minute: try again in 30 s.", "30"),
        (
            {"concurrent": 2},
            ONE,
            "The limit of x is 2 requests at the same time: try again when one of them has ended.",
            "1",
        ),
        (
            {"tokens_per_minute": 600},
            Need(50, 250),
            "The limit of x is 600 tokens per minute, but this request may take 300, with an answer of the length it"
            " allows: try again in 30 s.",
            "30",
        ),
        (
            {"tokens_per_minute": 600},
            Need(290, 10, says=False),
            "The limit of x is 600 tokens per minute, but this request may take 300, its answer included: try again"
            " in 30 s.",
            "30",
        ),
    ],
)
async def test_a_refusal_says_what_the_limit_is_and_when_there_is_room(
    limits: dict[str, int], need: Need, message: str, seconds: str
) -> None:
    admission, scope = Admission(Queue(), Clock()), limited(**limits)
    assert [admission.admit((scope,), need) is None for _ in range(3)] == [False, False, True]
    with pytest.raises(OverLimit) as caught:
        await admission.enter((scope,), need)
    error = caught.value
    assert (error.status, error.code, error.message) == (429, "rate_limit_exceeded", message)
    assert not error.elsewhere
    assert lines(error)["retry-after"] == seconds
    assert admission.refused == {("client", next(iter(limits)).split("_")[0]): 1}


async def test_who_comes_back_as_told_passes_and_not_a_millisecond_before() -> None:
    clock, scope = Clock(), limited(requests_per_minute=7)
    admission = Admission(Queue(), clock)
    for _ in range(7):
        assert admission.admit((scope,), ONE)
    with pytest.raises(OverLimit) as caught:
        await admission.enter((scope,), ONE)
    wait = int(lines(caught.value)["retry-after-ms"])
    assert (wait, lines(caught.value)["retry-after"]) == (8572, "9")
    clock.now += (wait - 1) * 10**6
    assert admission.admit((scope,), ONE) is None
    clock.now += 10**6
    assert admission.admit((scope,), ONE) is not None


async def test_what_is_larger_than_the_limit_is_refused_for_good() -> None:
    admission, scope = Admission(Queue(60), Clock()), limited(tokens_per_minute=100)
    with pytest.raises(
        OverLimit, match=r"may take 101, with an answer of the length it allows\. It can never pass"
    ) as caught:
        await admission.enter((scope,), Need(1, 100))
    assert (caught.value.code, lines(caught.value)) == ("request_exceeds_limit", {"x-should-retry": "false"})
    assert admission.refused == {("client", "tokens"): 1}


@pytest.mark.parametrize("kind", ["provider", "model"])
def test_another_target_may_answer_where_a_provider_has_no_room(kind: Any) -> None:
    error = refusal(Limited(kind, "openai/m", Limits(concurrent=1)), "concurrent", ONE, None)
    assert isinstance(error, OverLimit)
    assert error.elsewhere


def test_what_a_request_holds_is_given_back_once() -> None:
    admission, scope = Admission(Queue(), Clock()), limited(concurrent=1)
    held = admission.admit((scope,), ONE)
    assert held is not None
    for _ in range(3):
        admission.leave(held, None)
    assert admission.admit((scope,), ONE) is not None
    assert admission.admit((scope,), ONE) is None


# --- in the queue -----------------------------------------------------------------------------------------------------


class Crowd:
    """Requests that come one after the other; `passed` has those that did, in that order."""

    def __init__(self, queue: Queue, clock: Any = monotonic_ns) -> None:
        self.admission = Admission(queue, clock)
        self.passed: list[str] = []
        self.held: dict[str, Held] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, *scopes: Scope, need: Need = ONE) -> None:
        self.tasks[name] = asyncio.create_task(self._pass(name, scopes, need))
        await asyncio.sleep(0)

    async def _pass(self, name: str, scopes: tuple[Scope, ...], need: Need) -> None:
        self.held[name] = self.admission.admit(scopes, need) or await self.admission.enter(scopes, need)
        self.passed.append(name)

    async def leave(self, name: str, used: int | None = None) -> None:
        self.admission.leave(self.held.pop(name), used)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def go_away(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.wait([self.tasks[name]])

    async def end(self) -> None:
        await asyncio.gather(*self.tasks.values())


LONG = Queue(seconds=30)


async def test_they_pass_in_the_order_of_their_arrival() -> None:
    crowd, scope = Crowd(LONG), limited(concurrent=2)
    for name in "abcdef":
        await crowd.come(name, scope)
    assert (crowd.passed, crowd.admission.queued) == (["a", "b"], 4)
    for name in "bacd":
        await crowd.leave(name)
    assert (crowd.passed, crowd.admission.queued) == (list("abcdef"), 0)


async def test_a_timer_lets_them_pass_when_time_has_paid() -> None:
    crowd, scope = Crowd(LONG), limited(requests_per_minute=6000)
    for _ in range(6000):
        crowd.admission.admit((scope,), ONE)
    for name in "abc":
        await crowd.come(name, scope)
    await crowd.end()
    assert crowd.passed == list("abc")
    assert scope.timer is None


async def test_a_small_one_does_not_overtake_a_big_one() -> None:
    crowd, scope = Crowd(LONG, Clock()), limited(tokens_per_minute=100)
    await crowd.come("first", scope, need=Need(60, 0))
    await crowd.come("big", scope, need=Need(90, 0))
    await crowd.come("small", scope, need=Need(1, 0))
    assert crowd.passed == ["first"]
    await crowd.leave("first", used=5)  # gives back 55: there are 95, enough for the one and then the other
    assert crowd.passed == ["first", "big", "small"]


async def test_who_comes_when_there_is_room_again_stands_behind_those_who_wait() -> None:
    clock = Clock()
    crowd, scope = Crowd(LONG, clock), limited(tokens_per_minute=100)
    await crowd.come("a", scope, need=Need(100, 0))
    await crowd.come("b", scope, need=Need(90, 0))
    clock.now += 30 * SECOND  # for b there is no room yet
    await crowd.come("c", scope, need=Need(10, 0))
    assert crowd.passed == ["a"]
    clock.now += 30 * SECOND
    crowd.admission.advance([scope])
    await crowd.settle()
    assert crowd.passed == ["a", "b", "c"]


async def test_a_client_that_leaves_leaves_the_queue() -> None:
    crowd, scope = Crowd(LONG), limited(concurrent=1)
    for name in "abc":
        await crowd.come(name, scope)
    await crowd.go_away("b")
    assert (crowd.admission.queued, len(scope.queue)) == (1, 1)
    await crowd.leave("a")
    assert crowd.passed == ["a", "c"]


async def test_the_first_that_leaves_makes_room_for_those_behind() -> None:
    crowd, scope = Crowd(LONG, Clock()), limited(tokens_per_minute=100)
    await crowd.come("a", scope, need=Need(50, 0))
    await crowd.come("big", scope, need=Need(90, 0))
    await crowd.come("small", scope, need=Need(50, 0))
    await crowd.go_away("big")
    await crowd.settle()
    assert crowd.passed == ["a", "small"]
    assert scope.timer is None


async def test_a_client_that_leaves_as_its_turn_comes_gives_it_to_the_next() -> None:
    crowd, scope = Crowd(LONG), limited(concurrent=1)
    for name in "abc":
        await crowd.come(name, scope)
    crowd.admission.leave(crowd.held.pop("a"), None)
    await crowd.go_away("b")
    await crowd.settle()
    assert crowd.passed == ["a", "c"]
    assert "b" not in crowd.held
    await crowd.leave("c")
    assert crowd.admission.admit((scope,), ONE) is not None


async def test_the_queue_has_a_length() -> None:
    crowd, scope = Crowd(Queue(seconds=30, length=2)), limited(concurrent=1)
    for name in "abcd":
        await crowd.come(name, scope)
    with pytest.raises(OverLimit):
        await crowd.tasks["d"]
    await crowd.leave("a")
    await crowd.leave("b")
    assert crowd.passed == ["a", "b", "c"]


async def test_the_wait_has_an_end_and_the_refusal_counts_who_is_ahead() -> None:
    crowd, scope = Crowd(Queue(seconds=0.02), Clock()), limited(requests_per_minute=6)
    for _ in range(6):
        crowd.admission.admit((scope,), ONE)
    for name in "abc":
        await crowd.come(name, scope)
    done = await asyncio.gather(*crowd.tasks.values(), return_exceptions=True)
    assert [isinstance(error, OverLimit) for error in done] == [True] * 3
    assert lines(done[0])["retry-after"] == "10"  # type: ignore[arg-type]
    assert (crowd.admission.queued, scope.timer, len(scope.queue)) == (0, None, 0)


async def test_who_finds_the_queue_full_is_told_the_time_until_its_own_turn() -> None:
    crowd, scope = Crowd(Queue(seconds=30, length=2), Clock()), limited(requests_per_minute=6)
    for _ in range(6):
        crowd.admission.admit((scope,), ONE)
    for name in "ab":
        await crowd.come(name, scope)
    with pytest.raises(OverLimit) as caught:
        await crowd.admission.enter((scope,), ONE)
    assert lines(caught.value)["retry-after"] == "30"
    for name in "ab":
        await crowd.go_away(name)


async def test_a_model_without_room_holds_up_no_other_of_its_provider() -> None:
    crowd, provider = Crowd(LONG), limited(concurrent=2)
    small, other = limited(concurrent=1), limited(concurrent=9)
    await crowd.come("a", small, provider)
    await crowd.come("b", small, provider)
    await crowd.come("c", other, provider)
    assert crowd.passed == ["a", "c"]
    await crowd.come("d", other, provider)  # waits for the provider, and b for its model
    await crowd.leave("a")  # both may go on, and there is room for one: d was the first at the provider
    assert crowd.passed == ["a", "c", "d"]
    await crowd.leave("c")
    assert crowd.passed == ["a", "c", "d", "b"]


async def test_two_scopes_never_wait_for_each_other() -> None:
    crowd, provider = Crowd(LONG), limited(concurrent=2)
    models = [limited(concurrent=1) for _ in range(3)]
    for n in range(30):
        await crowd.come(str(n), models[n % 3], provider)
    while crowd.held:
        await crowd.leave(next(iter(crowd.held)))
    assert sorted(crowd.passed, key=int) == [str(n) for n in range(30)]
    await crowd.end()


@given(
    st.lists(st.tuples(st.sampled_from(["come", "leave", "go away"]), st.integers(0, 99), st.integers(1, 100))),
)
def test_whatever_they_do_the_limit_holds_and_nobody_overtakes(steps: list[tuple[str, int, int]]) -> None:
    asyncio.run(_live(steps))


async def _live(steps: list[tuple[str, int, int]]) -> None:
    crowd, scope = Crowd(LONG, Clock()), limited(concurrent=3, tokens_per_minute=100)
    came: list[str] = []
    names = map(str, range(1000))
    for what, which, size in steps:
        waiting = [name for name in came if name not in crowd.passed and not crowd.tasks[name].done()]
        if what == "come":
            came.append(name := next(names))
            await crowd.come(name, scope, need=Need(size, 0))
        elif what == "leave" and crowd.held:
            await crowd.leave(sorted(crowd.held)[which % len(crowd.held)], used=0)
        elif what == "go away" and waiting:
            await crowd.go_away(waiting[which % len(waiting)])
        await crowd.settle()
        assert len(crowd.held) <= 3
        assert sum(held.need.read for held in crowd.held.values()) <= 100
        assert crowd.passed == [name for name in came if name in crowd.passed]
        assert crowd.admission.queued == len(scope.queue)
    for name in came:
        if not crowd.tasks[name].done():
            await crowd.go_away(name)
    assert (crowd.admission.queued, scope.timer) == (0, None)


# --- what a provider tells --------------------------------------------------------------------------------------------


class Provider:
    """`told`: by its last answer."""

    def __init__(self, told: dict[str, str]) -> None:
        self.scope = Announcements("openai", "m")
        self.at = 46_000 * SECOND
        self.tell(told)

    def tell(self, told: dict[str, str], at: int = 46_000 * SECOND, wall: float = NOON) -> None:
        self.scope.hear(rows_in(told), told, at, wall)

    def wait(self, need: Need = ONE, after: float = 0.0) -> float:
        """Seconds."""
        waits = self.scope.waits(need, self.at + int(after * SECOND))
        return max((wait or 0) / SECOND for _, wait in waits) if waits else 0.0


def openai(left: str, reset: str, limit: str = "", what: str = "requests") -> dict[str, str]:
    told = {f"x-ratelimit-remaining-{what}": left, f"x-ratelimit-reset-{what}": reset}
    return told | ({f"x-ratelimit-limit-{what}": limit} if limit else {})


@pytest.mark.parametrize(
    ("reset", "seconds"), [("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1h1m1s", 3600), ("500", 0.5)]
)
def test_nothing_left_means_a_wait_until_the_reset(reset: str, seconds: float) -> None:
    provider = Provider(openai("0", reset))
    assert provider.wait() == seconds  # an hour is the longest
    assert provider.wait(after=seconds) == 0


def test_where_the_whole_is_told_it_comes_back_little_by_little() -> None:
    """5,000 a minute is one in 12 ms, and nobody need wait for all of them."""
    provider = Provider(openai("0", "60s", limit="5000"))
    assert provider.wait() == 0.012
    assert provider.wait(after=0.012) == 0
    assert provider.scope.take(ONE, provider.at + 12_000_000) == 0
    assert provider.wait(after=0.012) == 0.012


def test_what_is_asked_meanwhile_is_taken_off() -> None:
    provider = Provider(openai("2", "10s"))
    assert [provider.scope.take(ONE, provider.at) for _ in range(3)] == [0, 0, None]
    provider.scope.undo(ONE)
    assert provider.scope.take(ONE, provider.at) == 0


def test_tokens_are_reckoned_as_the_request_says() -> None:
    provider = Provider(openai("500", "30s", what="tokens"))
    assert provider.wait(Need(100, 400)) == 0
    assert provider.wait(Need(100, 401)) == 30
    assert provider.wait(Need(500, ANSWER, says=False)) == 0


def test_what_is_larger_than_the_whole_is_for_the_provider_to_refuse() -> None:
    provider = Provider(openai("0", "30s", limit="100", what="tokens"))
    assert provider.wait(Need(5000, 0)) == 30
    assert provider.wait(Need(5000, 0), after=30) == 0


@pytest.mark.parametrize(
    ("name", "need", "seconds"),
    [
        ("requests", ONE, 90),
        ("tokens", Need(100, 9000), 90),
        ("output-tokens", Need(0, 9000), 90),
        ("input-tokens", Need(1, 0), 90),
        ("input-tokens", Need(0, 9000), 0),
    ],
)
def test_anthropics_are_moments_and_count_what_is_read(name: str, need: Need, seconds: float) -> None:
    told = {
        f"anthropic-ratelimit-{name}-remaining": "0",
        f"anthropic-ratelimit-{name}-reset": "2026-01-01T12:01:30Z",
    }
    assert Provider(told).wait(need) == seconds


def test_a_moment_is_reckoned_by_the_providers_own_clock() -> None:
    told = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-01-01T12:01:30Z",
        "date": "Thu, 01 Jan 2026 12:01:00 GMT",
    }
    assert Provider(told).wait() == 30
    assert Provider(told | {"date": "yesterday"}).wait() == 90


def test_the_providers_clock_is_in_no_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2026-01-01T12:01:30Z"}
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        waits = [
            Provider(told | {"date": date}).wait()
            for date in ("Thu Jan  1 12:01:00 2026", "Thu, 01 Jan 2026 12:01:00 -0000")
        ]
    time.tzset()
    assert waits == [30, 30]


def test_only_the_newest_answer_counts_and_each_once() -> None:
    provider = Provider(told := openai("1", "10s"))
    assert provider.scope.take(ONE, provider.at) == 0
    provider.tell(told)  # the same again
    provider.tell(openai("9", "10s"), at=provider.at - 1)  # from before
    assert provider.scope.take(ONE, provider.at) is None
    provider.tell(openai("9", "10s"), at=provider.at + 1)
    assert provider.scope.take(ONE, provider.at) == 0


JUNK = ["", "-1", "0s", "soon", "\u0663s", "9" * 30, "1e9", "nan", "2026-01-01", "0001-01-01T00:00:00+23:59", "1s\r\nx"]


@pytest.mark.parametrize("reset", JUNK)
def test_a_reset_that_cannot_be_read_keeps_nobody_out(reset: str) -> None:
    assert Provider(openai("0", reset)).wait() == 0


@pytest.mark.parametrize("left", ["", "-1", "none", "0.5", "\u0663", "9" * 30])
def test_a_count_that_is_none_is_none(left: str) -> None:
    assert Provider(openai(left, "60s")).wait() == 0


@given(st.dictionaries(st.sampled_from(sorted(openai("", "", "1") | {"date": ""})), st.text(max_size=12)))
def test_no_header_does_harm(told: dict[str, str]) -> None:
    assert 0 <= Provider(told).wait(Need(5, 5)) <= LONGEST / SECOND


def test_no_moment_is_believed_for_more_than_an_hour() -> None:
    told = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "9999-01-01T00:00:00Z",
    }
    assert Provider(told).wait() == 3600
    assert Provider(told).wait(after=3600) == 0


def test_it_is_told_as_the_provider_would() -> None:
    scope = Announcements("openai", "gpt/x")
    error = refusal(scope, "tokens", ONE, 90 * SECOND)
    assert isinstance(error, Busy)
    assert error.elsewhere
    assert (error.status, error.code, error.provider) == (429, "provider_rate_limit", "openai")
    assert error.message == "openai reports that its limit of tokens for gpt/x is used up: try again in 90 s."
    assert dict(error.headers) == {"retry-after": "90", "retry-after-ms": "90000"}


def _recorded() -> Iterator[tuple[str, dict[str, str]]]:
    for row in recordings.load("*"):
        yield row["id"], {name.lower(): value for name, value in (row.get("response_headers") or {}).items()}


@needs_recordings
def test_no_recorded_answer_keeps_an_ordinary_request_out() -> None:
    """Each of them left plenty: who is kept out then has been misread."""
    told = [(name, headers) for name, headers in _recorded() if rows_in(headers)]
    assert len(told) > 300
    assert [name for name, headers in told if Provider(headers).wait(Need(50, 100))] == []


@needs_recordings
def test_every_recorded_limit_comes_back_little_by_little() -> None:
    """Of what one request took: a minute's share of the limit, and Groq's a day's. Azure's numbers are milliseconds."""
    shares = Counter[float]()
    for _, told in _recorded():
        said = [told.get(f"x-ratelimit-{word}-requests", "") for word in ("limit", "remaining", "reset")]
        if said[0].isdigit() and said[1] == str(int(said[0]) - 1) and said[2] not in ("", "0", "0s"):
            seconds = seconds_until(said[2], NOON)
            assert seconds is not None
            shares[round(seconds * int(said[0]), -1)] += 1
    assert sum(shares.values()) > 200
    assert set(shares) <= {*range(0, 70, 10), 86400.0}  # by the time of the answer, some of it was back
    assert shares[60.0] > 150


def test_a_scope_tells_of_itself() -> None:
    scope = limited(concurrent=2)
    held = Admission(Queue(), Clock()).admit((scope,), ONE)
    assert repr(scope) == "<Limited client x: 1 under way, 0 wait>"
    assert repr(held) == "<Held of x>"
    assert repr(Provider(openai("1", "1s")).scope) == (
        "<Announcements of openai/m: x-ratelimit-remaining-requests; 0 wait>"
    )
