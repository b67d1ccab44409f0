"""Does a client of one wire read what is left of a rate limit that the other wire's provider told?"""

import json
import re
from datetime import datetime
from typing import Any

import pytest

from proxy.errors import UpstreamError
from proxy.failover.waits import asked_by
from proxy.limits.ratelimits import translated
from proxy.limits.resets import instant
from tests import recordings
from tests.client import ANTHROPIC, OPENAI, Speech, ask, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion
from tests.recordings import needs_recordings

NOON = datetime.fromisoformat("2026-01-01T12:00:00Z").timestamp()
JSON = ("Content-Type", "application/json")

OF_OPENAI = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-tokens": "29987",
    "x-ratelimit-reset-tokens": "6m0s",
}
OF_ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "500",
    "anthropic-ratelimit-requests-remaining": "499",
    "anthropic-ratelimit-requests-reset": "2026-01-01T12:00:01Z",
    "anthropic-ratelimit-tokens-limit": "30000",
    "anthropic-ratelimit-tokens-remaining": "29987",
    "anthropic-ratelimit-tokens-reset": "2026-01-01T12:06:00Z",
}


def moment(value: str, now: float = NOON) -> str | None:
    said = dict(translated({"x-ratelimit-reset-tokens": value}, "anthropic", now))
    return said.get("anthropic-ratelimit-tokens-reset")


def duration(value: str, now: float = NOON) -> str | None:
    said = dict(translated({"anthropic-ratelimit-tokens-reset": value}, "openai_chat", now))
    return said.get("x-ratelimit-reset-tokens")


def test_each_field_has_its_name_on_the_other_wire() -> None:
    assert dict(translated(OF_OPENAI, "anthropic", NOON)) == OF_ANTHROPIC
    there = OF_OPENAI | {"x-ratelimit-reset-requests": "1s"}
    assert dict(translated(OF_ANTHROPIC, "openai_chat", NOON)) == there
    assert dict(translated(OF_ANTHROPIC, "openai_responses", NOON)) == there


@pytest.mark.parametrize("client", ["gemini", "bedrock", "bedrock_invoke", "ollama", "cohere"])
def test_a_wire_that_has_no_such_names_gets_none(client: str) -> None:
    assert translated(OF_OPENAI | OF_ANTHROPIC, client, NOON) == []


def test_what_the_provider_says_itself_is_not_said_again() -> None:
    said = dict(translated(OF_ANTHROPIC | {"x-ratelimit-limit-tokens": "1"}, "openai_chat", NOON))
    assert "x-ratelimit-limit-tokens" not in said
    assert said["x-ratelimit-remaining-tokens"] == "29987"


@pytest.mark.parametrize("off", [-3600, 0, 3600])
def test_a_moment_is_one_by_the_clock_that_tells_it(off: int) -> None:
    """The provider's in what it says, and ours, which the client has as well, in what we make of it."""
    here = NOON + off
    told = OF_ANTHROPIC | {"date": "Thu, 01 Jan 2026 12:00:00 GMT"}
    assert dict(translated(told, "openai_chat", here))["x-ratelimit-reset-tokens"] == "6m0s"
    told = {"x-ratelimit-reset-tokens": f"{NOON + 360}", "date": "Thu, 01 Jan 2026 12:00:00 GMT"}
    (line,) = translated(told, "anthropic", here)
    assert instant(line[1]) == here + 360


async def test_what_we_make_of_it_is_no_word_of_the_provider_on_how_long_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float | None] = []

    def noting(error: UpstreamError, now: float, *longest: float) -> float | None:
        waits.append(asked_by(error, now, *longest))
        return waits[-1]

    monkeypatch.setattr("proxy.failover.retries.asked_by", noting)
    spent = [("x-ratelimit-reset-tokens", "12ms"), ("x-ratelimit-remaining-tokens", "0")]
    late = [JSON, ("Date", "Wed, 01 Jan 2020 12:00:00 GMT")]
    busy = Scenario(status=429, headers=[*late, *spent], body=b"{}")
    async with Evil(busy) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(model="openai/m"))
    assert got.header("anthropic-ratelimit-tokens-reset")
    assert set(waits) == {0.012}


def test_what_is_not_said_is_not_made_up() -> None:
    assert translated({"x-ratelimit-remaining-tokens": "7"}, "anthropic", NOON) == [
        ("anthropic-ratelimit-tokens-remaining", "7")
    ]
    split = {"anthropic-ratelimit-input-tokens-limit": "7", "anthropic-ratelimit-output-tokens-limit": "7"}
    assert translated(split, "openai_chat", NOON) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0s", "12:00:00"),
        ("1ms", "12:00:01"),  # never too soon
        ("12ms", "12:00:01"),
        ("1s", "12:00:01"),
        ("17.575s", "12:00:18"),
        ("6m0s", "12:06:00"),
        ("2m7.93s", "12:02:08"),
        ("1h30m", "13:30:00"),
        ("250µs", "12:00:01"),
        ("0", "12:00:00"),  # Azure: milliseconds
        ("59500", "12:01:00"),
    ],
)
def test_a_duration_is_over_at_a_whole_second(value: str, expected: str) -> None:
    assert moment(value) == f"2026-01-01T{expected}Z"


def test_a_day_ends() -> None:
    assert moment("23h59m") == "2026-01-02T11:59:00Z"
    assert moment("1d") == "2026-01-02T12:00:00Z"


@pytest.mark.parametrize("value", [f"{NOON + 5:.0f}", f"{(NOON + 5) * 1000:.0f}", "2026-01-01T12:00:05Z"])
def test_some_of_openais_kin_say_a_moment_themselves(value: str) -> None:
    assert moment(value) == "2026-01-01T12:00:05Z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-01T12:00:00Z", "0s"),
        ("2026-01-01T11:00:00Z", "0s"),
        ("2026-01-01T12:00:00.012Z", "12ms"),
        ("2026-01-01T12:00:01Z", "1s"),
        ("2026-01-01T12:00:17.575Z", "17.575s"),
        ("2026-01-01T12:06:00Z", "6m0s"),
        ("2026-01-01T12:02:07.93Z", "2m7.93s"),
        ("2026-01-01T20:38:24Z", "8h38m24s"),
        ("2026-01-01T13:00:00Z", "1h0m0s"),
        ("2026-01-01T12:59:59.9999Z", "1h0m0s"),
        ("2026-01-01T14:00:00+02:00", "0s"),
    ],
)
def test_a_moment_is_so_far_away(value: str, expected: str) -> None:
    assert duration(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", "-1s", "soon", "1 s", "s", "1e9", "\u0663s", "9" * 400, "9999999999s", "999999999h", "1s\r\nx: y"],
)
def test_a_duration_that_cannot_be_read_is_not_told(value: str) -> None:
    assert moment(value) is None


@pytest.mark.parametrize("value", ["", "12", "2026-01-01", "2026-01-01T12:00:00", "tomorrow", "\u0663", "9" * 400])
def test_a_moment_that_cannot_be_read_is_not_told(value: str) -> None:
    assert duration(value) is None


@pytest.mark.parametrize("value", ["-1", "1.5", "many", "", "\u0663", "9" * 400, "1\r\nx: y"])
def test_a_count_that_is_none_is_not_told(value: str) -> None:
    assert translated({"x-ratelimit-limit-tokens": value}, "anthropic", NOON) == []


# --- recorded ---------------------------------------------------------------------------------------------------------

_as_go_has_it = re.compile(r"(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?m?s").fullmatch


@needs_recordings
def test_every_recorded_line_has_its_counterpart() -> None:
    seen = 0
    for row in recordings.load("*openai*", "*azure*", "*groq*", "anthropic*"):
        theirs = {name.lower(): value for name, value in row["response_headers"].items()}
        client = "openai_chat" if row["id"].startswith("anthropic") else "anthropic"
        said = dict(translated(theirs, client, NOON))
        known = [name for name in theirs if name in (OF_OPENAI if client == "anthropic" else OF_ANTHROPIC)]
        assert len(said) == len(known), row["id"]
        for name, value in said.items():
            if "reset" in name and client == "anthropic":
                assert datetime.fromisoformat(value).timestamp() >= NOON
            elif "reset" in name:
                assert _as_go_has_it(value), (row["id"], value)
            else:
                assert value in theirs.values()
        seen += bool(said)
    assert seen > 200


# --- through pillion --------------------------------------------------------------------------------------------------


async def answered(client: Speech, provider: Speech, said: dict[str, str], status: int = 200) -> dict[str, str]:
    """What the client is told of limits."""
    error = {"error": {"type": "rate_limit_error", "message": "slow down"}}
    body = provider.whole if status == 200 else json.dumps(error).encode()
    scenario = Scenario(status=status, headers=[JSON, *said.items()], body=body)
    async with Evil(scenario) as evil, pillion(**provider.environ(evil.url)) as gateway:
        got = await chat(gateway, client, client.request(model=f"{provider.provider}/m"))
    assert got.status == status
    return {name.lower(): value for name, value in got.headers if "ratelimit" in name.lower()}


def counted(lines: dict[str, str]) -> dict[str, str]:
    """Without the lines that a clock has a part in."""
    return {name: value for name, value in lines.items() if "reset" not in name}


@pytest.mark.parametrize("status", [200, 429])
async def test_an_anthropic_client_reads_openais_limits(status: int) -> None:
    got = await answered(ANTHROPIC, OPENAI, OF_OPENAI, status)
    assert OF_OPENAI.items() <= got.items()
    assert counted(OF_ANTHROPIC).items() <= counted(got).items()
    assert datetime.fromisoformat(got["anthropic-ratelimit-tokens-reset"]).tzinfo is not None


@pytest.mark.parametrize("status", [200, 429])
async def test_an_openai_client_reads_anthropics_limits(status: int) -> None:
    told = OF_ANTHROPIC | {"anthropic-ratelimit-tokens-reset": "2001-01-01T00:00:00Z"}
    got = await answered(OPENAI, ANTHROPIC, told, status)
    assert told.items() <= got.items()
    assert counted(OF_OPENAI).items() <= counted(got).items()
    assert got["x-ratelimit-reset-tokens"] == "0s"


async def test_a_stream_tells_of_limits_too() -> None:
    lines = [("Content-Type", "text/event-stream"), *OF_OPENAI.items()]
    scenario = Scenario(headers=lines, body=OPENAI.stream, framing="chunked")
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(model="openai/m", stream=True))
    assert got.header("anthropic-ratelimit-tokens-limit") == "30000"


async def test_on_its_own_wire_a_providers_lines_pass_as_they_are() -> None:
    assert await answered(OPENAI, OPENAI, OF_OPENAI) == OF_OPENAI


async def test_a_client_of_a_third_wire_gets_the_providers_own_lines() -> None:
    scenario = Scenario(headers=[JSON, *OF_OPENAI.items()], body=OPENAI.whole)
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", "/v1beta/models/openai/m:generateContent", json.dumps(body).encode())
    assert {name.lower(): value for name, value in got.headers if "ratelimit" in name.lower()} == OF_OPENAI
