"""Is every error asked again after, taken elsewhere or handed to the client as it should be, and never too often?"""

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from math import ceil, isfinite
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy import registry
from proxy.config.schema import Retry
from proxy.errors import (
    BadRequest,
    Busy,
    Down,
    GatewayError,
    Kind,
    OverLimit,
    Refused,
    Timeout,
    Unauthorized,
    UnknownModel,
    Unrepresentable,
)
from proxy.failover.pacing import Backoff, RetryBudget
from proxy.failover.recent import SLOTS
from proxy.failover.retries import Verdict, verdict
from proxy.failover.waits import asked_by, retry_after
from tests.clock import Clock
from tests.laws import examples

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
RETRYABLE = Retry().retryable_errors
WIRES = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "bedrock_invoke", "ollama", "cohere")

AGAIN, ELSEWHERE, STOP = Verdict(True, True), Verdict(False, True), Verdict(False, False)


def judged(error: GatewayError, retryable: Sequence[str] = RETRYABLE) -> Verdict:
    return verdict(error, retryable, NOON)


# --- which errors ----------------------------------------------------------------------------------------------------

BODIES = {
    "JSON": b'{"error": {"message": "No.", "type": "x"}, "message": "No.", "type": "error"}',
    "HTML": b"<html><h1>No.</h1></html>",
    "nothing": b"",
    "bad JSON": b'{"error": }',
    "cut": b'{"error": {"mess',
}
OF_STATUS = {
    401: ELSEWHERE,
    402: ELSEWHERE,
    403: ELSEWHERE,
    404: ELSEWHERE,
    405: ELSEWHERE,
    408: AGAIN,
    409: AGAIN,
    410: ELSEWHERE,
    413: ELSEWHERE,
    425: AGAIN,
    429: AGAIN,
    501: ELSEWHERE,
    505: ELSEWHERE,
    508: ELSEWHERE,
}
OWN = {("gemini", 499): AGAIN, ("bedrock", 424): AGAIN, ("bedrock_invoke", 424): AGAIN}  # the provider's, not ours


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("wire", WIRES)
def test_every_status_of_every_provider_has_its_verdict(wire: str, body: bytes) -> None:
    dialect = registry.dialect(wire)
    for status in range(400, 600):
        due = OWN.get((wire, status)) or OF_STATUS.get(status) or (STOP if status < 500 else AGAIN)
        assert judged(dialect.decode_error(status, {}, body)) == due, status


def test_every_status_of_every_kind_has_its_verdict() -> None:
    for status, kind, made in product(range(100, 600), get_args(Kind), (Refused, Busy, Down, Timeout)):
        own = OF_STATUS.get(status) if status in (404, 405, 409, 410, 413, 425, 501, 505, 508) else None
        due = own or (AGAIN if kind in RETRYABLE else STOP if kind == "invalid_request" else ELSEWHERE)
        assert judged(made("No.", status=status, kind=kind)) == due, (status, kind)


@pytest.mark.parametrize(
    ("error", "due"),
    [
        (Down("x", kind="network_error", code="dns_error"), AGAIN),
        (Down("x", kind="network_error", code="connect_error"), AGAIN),
        (Down("x", kind="network_error", code="proxy_error"), AGAIN),
        (Down("x", kind="network_error", code="tls_error"), ELSEWHERE),
        (Down("x", kind="network_error", code="stream_cut"), AGAIN),
        (Down("x", code="upstream_closed"), AGAIN),
        (Down("x", code="upstream_cut"), AGAIN),
        (Down("x", code="upstream_protocol"), ELSEWHERE),
        (Down("x", code="upstream_redirect", upstream_status=302), ELSEWHERE),
        (Down("x", code="upstream_too_long"), ELSEWHERE),
        (Down("x", code="upstream_aborted"), STOP),
        (Timeout("x", code="connect_timeout"), AGAIN),
        (Timeout("x", code="tls_timeout"), AGAIN),
        (Timeout("x", code="headers_timeout"), AGAIN),
        (Timeout("x", code="first_event_timeout"), ELSEWHERE),
        (Timeout("x", code="idle_timeout"), ELSEWHERE),
        (Timeout("x", code="total_timeout"), ELSEWHERE),
        (Timeout("x", code="pull_timeout"), ELSEWHERE),
        (Busy("x", kind="quota_exceeded", code="insufficient_quota"), ELSEWHERE),
        (Busy("x", status=529), AGAIN),
        (Refused("x", kind="authentication"), ELSEWHERE),  # Google's API_KEY_INVALID is a 400
        (Refused("x", code="context_length_exceeded"), ELSEWHERE),
        (Refused("x", code="content_filter"), STOP),
        (Refused("x", status=403, kind="authentication", upstream_type="content_policy_violation"), STOP),
        (Down("x", code="invalid_prompt", upstream_status=200), STOP),
        (Down("x", code="Data_Inspection_Failed"), STOP),
        (BadRequest("x"), STOP),
        (UnknownModel("x"), STOP),
        (Unrepresentable("x"), ELSEWHERE),
        (Unauthorized("x"), STOP),
        (OverLimit("x", headers=[("retry-after", "7")]), STOP),
        (GatewayError("x"), STOP),
    ],
    ids=lambda value: f"{type(value).__name__} {value.code}" if isinstance(value, GatewayError) else None,
)
def test_what_an_error_calls_itself_comes_first(error: GatewayError, due: Verdict) -> None:
    assert judged(error) == due


def test_who_raises_an_error_of_ours_may_say_that_another_target_will_do() -> None:
    error = OverLimit("x")
    error.elsewhere = True
    assert judged(error) == ELSEWHERE


def test_the_operator_says_which_kinds_are_asked_again_after() -> None:
    assert judged(Busy("x"), []) == ELSEWHERE
    assert judged(Refused("x", status=409), ["timeout"]) == ELSEWHERE
    assert judged(Refused("x"), ["invalid_request"]) == Verdict(True, False)
    assert judged(Refused("x", status=401, kind="authentication"), ["authentication"]) == AGAIN
    assert judged(Refused("x", status=404), ["invalid_request"]) == ELSEWHERE
    assert judged(Down("x", code="tls_error", kind="network_error"), ["network_error"]) == ELSEWHERE
    assert judged(BadRequest("x"), ["invalid_request"]) == STOP


@pytest.mark.parametrize(("told", "again"), [("false", False), ("False", False), ("true", True), ("what?", True)])
def test_a_provider_may_say_that_asking_again_is_in_vain(told: str, again: bool) -> None:
    assert judged(Down("x", headers=[("X-Should-Retry", told)])) == Verdict(again, True)


def test_the_wait_that_a_provider_asks_for_goes_with_the_verdict() -> None:
    assert judged(Busy("x", headers=[("Retry-After", "7")])) == Verdict(True, True, 7.0)
    assert judged(Busy("x", kind="quota_exceeded", headers=[("retry-after", "1e9")])) == Verdict(False, True, 60.0)


def test_a_wait_in_googles_body_counts() -> None:
    body = (
        b'{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.4s"}]}}'
    )
    assert judged(registry.dialect("gemini").decode_error(429, {}, body)).wait == 4.0


# --- how long --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e1", 10.0),
        (" 7 ", 7.0),
        ("1e9", 60.0),
        ("1000000000", 60.0),
        ("1e999", 60.0),
        ("Thu, 01 Jan 2026 12:00:09 GMT", 9.0),
        ("Thursday, 01-Jan-26 12:00:09 GMT", 9.0),
        ("Thu Jan  1 12:00:09 2026", 9.0),
        ("Thu, 01 Jan 2026 13:00:09 +0100", 9.0),
        ("Fri, 01 Jan 2027 12:00:00 GMT", 60.0),
        ("2, 3", 3.0),  # two lines
        ("3, soon, -1", 3.0),
        ("2, Thu, 01 Jan 2026 12:00:09 GMT", 9.0),
        ("Thursday, 01-Jan-26 12:00:09 GMT, Thu Jan  1 12:00:09 2026, 2", 9.0),
        ("Thu, 01 Jan 2026 11:59:59 GMT", None),  # it is over
        *[(junk, None) for junk in ("-1", "-0.1", "nan", "inf", "-inf", "", "soon", "1_000", "\u0661", "0x10", "7 s")],
        *[(junk, None) for junk in (", ", "+7", "Thu, 99 Foo 2026 12:00:00 GMT", "1 Jan 99999 00:00:00 GMT", "\0")],
    ],
)
def test_retry_after_is_read_in_all_its_forms(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, NOON) == seconds


def test_a_date_without_a_zone_is_not_the_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        said = retry_after({"retry-after": "Thu Jan  1 12:00:09 2026"}, NOON)
    time.tzset()
    assert said == 9.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "-1", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "1500, 900", "retry-after": "2, 1"}, 1.5),
        ({"retry-after-ms": "Thu, 01 Jan 2026 12:00:09 GMT"}, None),
        ({"retry-after": "soon", "x-ratelimit-reset-requests": "12ms"}, 0.012),
        ({"retry-after": "2", "x-ratelimit-reset-requests": "30s"}, 2.0),
        ({"x-ratelimit-reset-tokens": "6m0s"}, 60.0),
        ({"x-ratelimit-reset-tokens": "1m2s"}, 60.0),
        ({"x-ratelimit-reset-tokens": "1.5s"}, 1.5),
        ({"x-ratelimit-reset-tokens": "17"}, 0.017),  # Azure's milliseconds
        ({"x-ratelimit-reset-requests": "1500", "x-ratelimit-reset-tokens": "7"}, 1.5),
        ({"x-ratelimit-reset": "17"}, 17.0),
        ({"x-ratelimit-reset-tokens-minute": "11.38"}, 11.38),  # Cerebras
        ({"x-ratelimit-reset-tokens": f"{NOON + 5:.0f}"}, 5.0),
        ({"x-ratelimit-reset": f"{NOON + 5:.0f}"}, 5.0),
        ({"x-ratelimit-reset": f"{(NOON + 5) * 1000:.0f}"}, 5.0),
        ({"x-ratelimit-reset": f"{NOON - 5:.0f}"}, None),
        ({"x-ratelimit-reset-tokens": "6m-1s"}, None),
        ({"anthropic-ratelimit-tokens-reset": "2026-01-01T12:00:08Z"}, 8.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-01-01T13:00:08+01:00"}, 8.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-01-01T12:00:08"}, None),  # where?
        ({"anthropic-ratelimit-tokens-reset": "2026-01-01T11:00:00Z"}, None),
        # The longest of those that are spent; what has something left is not why.
        ({"x-ratelimit-reset-requests": "3s", "x-ratelimit-reset-tokens": "9s"}, 9.0),
        (
            {
                "x-ratelimit-reset-requests": "3s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "9s",
                "x-ratelimit-remaining-tokens": "120",
            },
            3.0,
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2026-01-01T12:00:08Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-01-01T12:00:02Z",
            },
            2.0,
        ),
        ({"x-ratelimit-reset-tokens": "9s", "x-ratelimit-remaining-tokens": "1"}, None),
        ({"x-ratelimit-limit-tokens": "9", "date": "Thu, 01 Jan 2026 12:00:09 GMT"}, None),
        ({}, None),
    ],
)
def test_the_plainest_header_counts(headers: dict[str, str], seconds: float | None) -> None:
    said = retry_after(headers, NOON)
    assert said == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


def test_a_key_may_be_told_to_wait_for_longer_than_a_request() -> None:
    assert retry_after({"retry-after": "7200"}, NOON, longest=3600.0) == 3600.0


def test_a_date_is_by_the_clock_of_the_provider_who_says_it() -> None:
    error = Busy("x", headers=[("Retry-After", "Thu, 01 Jan 2026 12:00:09 GMT")])
    assert asked_by(error, NOON) == 9.0
    error.date = "Thu, 01 Jan 2026 12:00:02 GMT"
    assert asked_by(error, NOON - 86_400) == asked_by(error, NOON + 86_400) == 7.0
    error.date = "yesterday"
    assert asked_by(error, NOON) == 9.0


NAMES = ("retry-after", "retry-after-ms", "x-ratelimit-reset-tokens", "x-ratelimit-reset", "anthropic-ratelimit-reset")
FORMS = st.one_of(
    st.text(max_size=30),
    st.text("0123456789.eE+-:msTZ, GMTJanFri", max_size=40),
    st.floats().map(str),
    st.integers().map(str),
    st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT")),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
)


@given(st.dictionaries(st.sampled_from(NAMES), FORMS), st.floats(0, 1e11))
@example({"retry-after": "1" * 10_000}, NOON)
@settings(max_examples=examples(400))
def test_whatever_a_header_says_the_wait_is_a_sane_one(headers: dict[str, str], now: float) -> None:
    said = retry_after(headers, now)
    assert said is None or (isfinite(said) and 0 <= said <= 60)


# --- the pause -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.none() | st.floats(0, 60), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_within_its_bound_and_no_shorter_than_the_hint(attempt: int, hint: float | None, lot: float) -> None:
    wait = Backoff(0.5, 2.0, 8.0, lambda: lot).wait(attempt, hint)
    assert wait == (hint or 0) + lot * min(8.0, 0.5 * 2 ** min(attempt, 20))


def test_the_jitter_is_full() -> None:
    dice = random.Random(7)
    backoff = Backoff(0.5, 2.0, 8.0, dice.random)
    waits = sorted(backoff.wait(2) for _ in range(1000))
    assert waits[0] < 0.02
    assert waits[-1] > 1.98
    assert waits[500] == pytest.approx(1.0, abs=0.1)


def test_two_that_were_told_the_same_time_do_not_come_back_at_once() -> None:
    backoff = Backoff(0.5, 2.0, 8.0, random.Random(7).random)
    assert len({backoff.wait(0, 7.0) for _ in range(100)}) == 100


def test_no_pause_is_longer_than_the_longest_even_where_the_first_would_be() -> None:
    assert Backoff(5.0, 100.0, 1.0, lambda: 0.5).wait(31) == Backoff(5.0, 1.0, 1.0, lambda: 0.5).wait(0) == 0.5


# --- the budget ------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(st.floats(0, 4), st.tuples(st.sampled_from(["ask", "retry"]), st.integers(1, 40))), max_size=60
)


@given(STEPS, st.sampled_from([0.0, 0.2, 1.0]), st.sampled_from([0, 3]))
@settings(max_examples=examples(200))
def test_no_more_is_retried_than_the_share_and_the_floor(
    steps: list[float | tuple[str, int]], share: float, floor: int
) -> None:
    clock = Clock()
    budget = RetryBudget(share, floor, 10.0, clock=clock)
    began, asked, retried = clock.now, list[float](), list[float]()

    def since(moments: list[float], seconds: float) -> int:
        return sum(moment > clock.now - seconds for moment in moments)

    for step in steps:
        if not isinstance(step, tuple):
            clock.sleep(step)
            continue
        for _ in range(step[1]):
            if step[0] == "ask":
                budget.asked()
                asked.append(clock.now)
            elif budget.take():
                retried.append(clock.now)
                assert since(retried, 10.0) <= floor + share * since(asked, 11.0)
            else:  # and no less: a slot is a tenth of the time
                assert since(retried, 11.0) + 1 > floor + share * since(asked, 10.0)
    assert len(retried) <= share * len(asked) + floor * max(1, ceil((clock.now - began) / 10.0))


def test_an_outage_at_a_thousand_requests_a_second_is_not_multiplied() -> None:
    clock = Clock()
    budget, attempts = RetryBudget(clock=clock), 0
    for _ in range(30_000):
        budget.asked()
        attempts += 1 + sum(budget.take() for _ in range(2))
        clock.sleep(0.001)
    assert 1.19 * 30_000 <= attempts <= 1.2 * 30_000 + 9


def test_who_rarely_asks_may_ask_again_three_times_in_ten_seconds() -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock)
    budget.asked()
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]
    assert repr(budget) == "<RetryBudget 3 retries of 1 requests>"
    clock.sleep(11)
    assert budget.take()


def test_what_is_long_past_does_not_count() -> None:
    clock = Clock(0.0)
    budget = RetryBudget(1.0, 0, 10.0, clock=clock)
    for _ in range(100):
        budget.asked()
    clock.sleep(10.0 + 10.0 / SLOTS)
    assert not budget.take()
