"""Has each timer an error of its own, and does the client hear which it was?

Over TLS and uvloop, through the whole of pillion. test_wire.py and test_upstream.py have the timers by themselves,
test_door.py those that a client has.
"""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from proxy.adapters import http
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Speech, ask, chat, client, lane_name, spell
from tests.evil import Evil, Scenario
from tests.gateway import config_file, pillion
from tests.nowhere import refusing
from tests.test_cancel import SSE, full
from tests.test_drain import half, last_event

MUTE = Scenario(cut_at=0, cut_of="wire", how="stall")
WORDLESS = Scenario(body=b": wait\n\n" * 9, headers=SSE, framing="chunked", cut_at=20, how="stall")
UNFINISHED = Scenario(body=OPENAI.whole, cut_at=20, how="stall")

# The timer that is short; what the provider does; is a stream asked for; the code.
TIMERS: list[tuple[str, Scenario, bool, str]] = [
    ("headers", MUTE, True, "headers_timeout"),
    ("first_event", WORDLESS, True, "first_event_timeout"),
    ("total", MUTE, False, "total_timeout"),
    ("total", UNFINISHED, False, "total_timeout"),
]


def timed(provider: Speech, evil: Evil, timer: str, seconds: float = 0.1) -> dict[str, str]:
    name = f"PILLION_{provider.provider.upper()}"
    return {
        **provider.environ(evil.url),
        f"{name}_CA": str(evil.ca_pem),
        f"{name}_TIMERS_{timer.upper()}": str(seconds),
    }


def check(got: Any, speech: Speech, code: str) -> None:
    assert got.status == 504
    error = speech.error(got.body)
    assert "0.1 s" in error["message"]
    assert error.get("code", code) == code  # Anthropic's wire has no place for it


@pytest.mark.parametrize(("timer", "scenario", "stream", "code"), TIMERS)
@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_each_phase_of_an_answer_has_its_timer(
    speech: Speech, timer: str, scenario: Scenario, stream: bool, code: str
) -> None:
    async with Evil(scenario, tls=True) as evil, pillion(**timed(speech, evil, timer)) as gateway:
        check(await chat(gateway, speech, speech.request(stream, f"{speech.provider}/m")), speech, code)
        await evil.closed()
        assert [one._tls.left for one in evil._connections if one._tls] == [False]


@pytest.mark.parametrize("stalled", [MUTE, UNFINISHED], ids=["mute", "unfinished"])
@pytest.mark.parametrize("timed_row", ["timers: {total: 0.1}", "models: [{name: m, timers: {total: 0.1}}]"])
async def test_behind_a_whole_answer_that_does_not_come_another_target_is_asked(
    timed_row: str, stalled: Scenario, tmp_path: Path
) -> None:
    async with Evil(stalled) as silent, Evil(Scenario(body=OPENAI.whole)) as other:
        text = (
            f"providers: {{a: {{kind: openai, base_url: '{silent.url}/v1', api_key: one-key-of-many, {timed_row}}},"
            f" b: {{kind: openai, base_url: '{other.url}/v1', api_key: another-key-of-many}}}}\n"
            "routes: {r: {targets: [a/m, b/m]}}"
        )
        async with pillion(**config_file(text, tmp_path)) as gateway:
            got = await chat(gateway, OPENAI, OPENAI.request(model="r"))
            assert (got.status, got.header("x-pillion-provider")) == (200, "b")
            await silent.closed()


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_stream_that_falls_silent_ends_in_its_own_words(speech: Speech) -> None:
    async with (
        Evil(half(speech), tls=True) as evil,
        pillion(**timed(speech, evil, "idle")) as gateway,
        client(gateway) as one,
    ):
        request = speech.request(True, f"{speech.provider}/m")
        await one.send(spell("POST", speech.path, request, speech.headers))
        assert (await one.head())[0] == 200
        error = speech.error(last_event(await one.rest()))
        assert "silent for 0.1 s" in error["message"]
        await evil.closed()


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_tls_and_connect_are_one_timer_with_two_names(speech: Speech) -> None:
    async with Evil(tls=True, welcome="stall") as evil, pillion(**timed(speech, evil, "connect")) as gateway:
        got = await chat(gateway, speech, speech.request(model=f"{speech.provider}/m"))
        check(got, speech, "tls_timeout")
    name = f"PILLION_{speech.provider.upper()}_TIMERS_CONNECT"
    with full() as url:
        async with pillion(**speech.environ(url), **{name: "0.1"}) as gateway:
            got = await chat(gateway, speech, speech.request(model=f"{speech.provider}/m"))
            check(got, speech, "connect_timeout")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_may_ask_for_less_time(stream: bool) -> None:
    scenario = half(OPENAI) if stream else MUTE
    async with Evil(scenario, tls=True) as evil, pillion(**timed(OPENAI, evil, "idle", 30)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(stream, "openai/m"), [("x-pillion-timeout", "0.1")])
        said = OPENAI.error(last_event(got.body) if stream else got.body)
        assert 0 < within(said) <= 0.1
        assert said["code"] == "total_timeout"
        await evil.closed()


def within(error: dict[str, Any]) -> float:
    """The seconds that a timer says were left of the client's."""
    found = re.search(r"within ([0-9.]+) s: x-pillion-timeout allows 0\.[14] s in all", error["message"])
    assert found, error
    return float(found[1])


@pytest.mark.parametrize("stream", [False, True])
async def test_connecting_is_a_part_of_the_clients_time(stream: bool) -> None:
    request, asked = OPENAI.request(stream, "openai/m"), [("x-pillion-timeout", "0.1")]
    async with Evil(tls=True, welcome="stall") as evil, pillion(**timed(OPENAI, evil, "connect", 3)) as gateway:
        said = OPENAI.error((await chat(gateway, OPENAI, request, asked)).body)
        assert said["code"] == "tls_timeout"
        assert 0 < within(said) <= 0.1
    with full() as url:
        async with pillion(**OPENAI.environ(url), PILLION_OPENAI_TIMERS_CONNECT="3") as gateway:
            said = OPENAI.error((await chat(gateway, OPENAI, request, asked)).body)
            assert said["code"] == "connect_timeout"
            assert 0 < within(said) <= 0.1


async def test_a_client_may_ask_for_as_much_time_as_the_operator_says() -> None:
    async with pillion(PILLION_MAX_REQUEST_TIMEOUT="60") as gateway:
        for said, status in (("60", 200), ("61", 400)):
            got = await chat(gateway, OPENAI, OPENAI.request(model="echo/text"), [("x-pillion-timeout", said)])
            assert got.status == status
            assert (b"above 0 and at most 60." in got.body) == (status == 400)


async def test_finding_out_who_has_the_model_is_a_part_of_the_clients_time() -> None:
    async with Evil(MUTE, MUTE) as evil:
        here = {
            **OPENAI.environ(evil.url),
            **ANTHROPIC.environ(evil.url),
        }  # who of the two has it, their lists must say
        async with pillion(**here) as gateway:
            got = await chat(gateway, OPENAI, OPENAI.request(model="gpt-x"), [("x-pillion-timeout", "0.1")])
            assert (got.status, OPENAI.error(got.body)["code"]) == (504, "total_timeout")
            assert {request.method for request in evil.requests} == {"GET"}


async def test_who_else_has_the_model_is_not_awaited_for_longer_than_the_clients_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "SIDE_TIMEOUT", 60.0)
    async with Evil(MUTE) as evil, refusing() as nobody:
        here = {**OPENAI.environ(nobody), **ANTHROPIC.environ(evil.url), "PILLION_FAILOVER_OTHERS": "true"}
        async with pillion(**here) as gateway:
            got = await chat(gateway, OPENAI, OPENAI.request(model="openai/gpt-x"), [("x-pillion-timeout", "0.1")])
            assert (got.status, OPENAI.error(got.body)["code"]) == (502, "connect_error")
            await evil.closed()


async def test_what_the_body_took_is_a_part_of_the_clients_time() -> None:
    request = spell("POST", OPENAI.path, OPENAI.request(model="openai/m"), [("x-pillion-timeout", "0.4")])
    async with (
        Evil(MUTE, tls=True) as evil,
        pillion(**timed(OPENAI, evil, "idle", 30)) as gateway,
        client(gateway) as one,
    ):
        await one.send(request[:-5])
        await asyncio.sleep(0.2)
        await one.send(request[-5:])
        assert 0 < within(OPENAI.error((await one.answer()).body)) <= 0.2


async def test_who_had_no_time_for_more_than_his_body_asks_nobody() -> None:
    request = spell("POST", OPENAI.path, OPENAI.request(model="openai/m"), [("x-pillion-timeout", "0.1")])
    async with Evil(MUTE, tls=True) as evil, pillion(**timed(OPENAI, evil, "idle", 30)) as gateway:
        async with client(gateway) as one:
            await one.send(request[:-5])
            await asyncio.sleep(0.2)  # twice as long as it has
            await one.send(request[-5:])
            got = await one.answer()
        assert (got.status, OPENAI.error(got.body)["code"]) == (504, "total_timeout")
        assert evil.requests == []


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/openai/m", "/api/tags", "/providers/openai/health"])
async def test_a_list_of_models_takes_no_longer_than_the_clients_time(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "SIDE_TIMEOUT", 60.0)
    async with Evil(MUTE) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "GET", path, headers=[("x-pillion-timeout", "0.1")])
        assert got.status == 504
        assert b"x-pillion-timeout: the 0.1 s passed before there was an answer." in got.body
        await evil.closed()


@pytest.mark.parametrize("said", ["bad", "0", "-1", "61"])
async def test_a_list_of_models_is_asked_for_with_a_time_that_there_is(said: str) -> None:
    async with pillion(PILLION_MAX_REQUEST_TIMEOUT="60") as gateway:
        for path in ("/v1/models", "/v1/models/echo/text", "/v1/usage"):
            got = await ask(gateway, "GET", path, headers=[("x-pillion-timeout", said)])
            assert got.status == 400
            error = OPENAI.error(got.body)
            assert error["message"] == "x-pillion-timeout must be a number of seconds above 0 and at most 60."
        assert (await ask(gateway, "GET", "/v1/models", headers=[("x-pillion-timeout", "60")])).status == 200


LIMIT = {"PILLION_OPENAI_LIMITS_CONCURRENT": "1", "PILLION_LIMITS_QUEUE_SECONDS": "60"}
CLIENTS = {"PILLION_LIMITS_CLIENT_CONCURRENT": "1", "PILLION_LIMITS_QUEUE_SECONDS": "60"}
PLACE = {"PILLION_OVERLOAD_MAX_REQUESTS": "1", "PILLION_OVERLOAD_WAIT": "60"}


@pytest.mark.parametrize(
    ("one_at_a_time", "status"), [(LIMIT, 429), (CLIENTS, 429), (PLACE, 503)], ids=["limit", "client's", "place"]
)
async def test_nobody_waits_for_his_turn_for_longer_than_he_said(one_at_a_time: dict[str, str], status: int) -> None:
    async with (
        Evil(MUTE) as evil,
        pillion(**OPENAI.environ(evil.url), **one_at_a_time) as gateway,
        client(gateway) as first,
    ):
        await first.send(spell("POST", OPENAI.path, OPENAI.request(model="openai/m")))
        await evil.received(1)
        got = await chat(gateway, OPENAI, OPENAI.request(model="openai/m"), [("x-pillion-timeout", "0.05")])
        assert got.status == status


async def test_a_live_stream_has_no_total() -> None:
    slow = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked", split=[300], gap=0.25)
    async with Evil(slow, tls=True) as evil, pillion(**timed(OPENAI, evil, "total")) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(True, "openai/m"))
        assert (got.body, got.whole) == (OPENAI.stream, True)
