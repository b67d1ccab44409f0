"""Does a provider that fails on purpose look to everybody like one that fails of itself?"""

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from time import monotonic
from typing import Any

import openai
import pytest
from multidict import CIMultiDict

from proxy import config
from proxy.adapters.echo import Echo
from proxy.adapters.http import HTTPProvider
from proxy.config import Fault
from proxy.errors import BadRequest, Timeout, UpstreamError
from proxy.failover.faults import Broken, Failing
from proxy.headers import FAULT
from proxy.middleware.faults import Faults, Said, parse
from proxy.ports import Answer, Call, Outgoing, Reply, Target
from proxy.registry import dialect
from tests import recordings
from tests.client import ANTHROPIC, LANES, OPENAI, SPEECHES, Got, Speech, ask, chat, client, lane_name, spell
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.replay import CHAT, MESSAGES, streamed
from tests.waiting import soon

every_lane = pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
SSE = [("content-type", "text/event-stream")]
ON = {"PILLION_FAULTS_ENABLED": "true"}
STATUSES = [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504, 529]


def header(value: str) -> list[tuple[str, str]]:
    return [(FAULT, value)]


def answering(provider: Speech, request: Received) -> Scenario:
    live = b'"stream":true' in request.body.replace(b" ", b"")
    return Scenario(headers=SSE, body=provider.stream) if live else Scenario(body=provider.whole)


@asynccontextmanager
async def before(provider: Speech, **environ: str) -> AsyncIterator[tuple[Gateway, Evil]]:
    """A pillion with faults, and a provider that is well."""
    async with (
        Evil(answering=lambda request: answering(provider, request)) as evil,
        pillion(**ON, **provider.environ(evil.url), **environ) as gateway,
    ):
        yield gateway, evil


async def faulted(gateway: Gateway, speech: Speech, fault: str, stream: bool = False, model: str = "echo/text") -> Got:
    return await chat(gateway, speech, speech.request(stream, model), header(fault))


def rows(folder: Path) -> list[tuple[Any, ...]]:
    """What the ledger says of each attempt, once it is closed."""
    with closing(sqlite3.connect(folder / "ledger.db")) as database:
        return database.execute("SELECT provider, status, error, nanos FROM attempts ORDER BY id").fetchall()


# --- what a header says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("status=503", Said(Fault(status=503))),
        (" status = 429 ; delay=0.5;cut=1000; rate=0.25;", Said(Fault(status=429, delay=0.5, cut=1000, rate=0.25))),
        ("delay=2;provider=openai", Said(Fault(delay=2.0), "openai")),
        ("delay=0", Said(Fault())),
    ],
)
def test_a_fault_is_read(text: str, meant: Said) -> None:
    assert parse(text) == meant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "needs a status, delay or cut"),
        (";;", "needs a status, delay or cut"),
        ("rate=0.5; provider=openai", "needs a status, delay or cut"),
        ("503", "'503' must be one of status, delay, cut, rate, provider"),
        ("stauts=503", "'stauts=503' must be one of status"),
        ("STATUS=503", "'STATUS=503' must be one of status"),
        ("status=503; status=500", "'status' was given twice"),
        ("status=503, status=500", "status must be a status from 400 to 599, not '503, status=500'"),
        ("status=200", "status must be a status from 400 to 599, not '200'"),
        ("status=", "status must be a status from 400 to 599, not ''"),
        ("status=null", "status must be a status from 400 to 599, not 'null'"),
        ("status=5_03", "status must be"),
        ("status=" + "9" * 5000, "status must be"),
        ("delay=-1", "delay must be a number of seconds from 0 to 86400, not '-1'"),
        ("delay=nan", "delay must be"),
        ("delay=inf", "delay must be"),
        ("cut=0", "cut must be a number of bytes, at least 1, not '0'"),
        ("cut=1.5", "cut must be"),
        ("status=503; rate=2", "rate must be a number from 0 to 1, not '2'"),
        ("status=503; rate=\udc80\u0663", "rate must be a number"),
        ("status=503; provider=", "provider must be a provider's name, not ''"),
    ],
)
def test_what_is_no_fault_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(text)
    assert caught.value.message.startswith(f"{FAULT}: {told}")
    assert caught.value.param == FAULT
    assert len(caught.value.message) < 250


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_header_that_makes_no_sense_is_a_400_and_nobody_is_asked(speech: Speech) -> None:
    async with before(OPENAI) as (gateway, evil):
        for fault, why in [("status=1", "from 400 to 599"), ("status=503; provider=nobody", "no provider 'nobody'")]:
            got = await faulted(gateway, speech, fault, model="openai/m")
            assert (got.status, got.header("x-pillion-attempts")) == (400, None)
            assert why in speech.error(got.body)["message"]
        assert evil.requests == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models"])
async def test_where_faults_are_not_switched_on_the_header_is_refused_with_the_way_to_do_so(path: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", path, OPENAI.request(model="echo/text"), header("status=503"))
    assert (got.status, OPENAI.error(got.body)["code"]) == (400, "faults_not_enabled")
    assert "PILLION_FAULTS_ENABLED=true" in OPENAI.error(got.body)["message"]


async def test_no_provider_ever_sees_the_header() -> None:
    async with before(OPENAI) as (gateway, evil):
        assert (await faulted(gateway, OPENAI, "cut=100000", model="openai/m")).status == 200
        assert evil.requests[0].header(FAULT) is None


# --- status ----------------------------------------------------------------------------------------------------------


@every_lane
async def test_a_status_is_as_if_the_provider_had_answered_so(speech: Speech, provider: Speech, tmp_path: Path) -> None:
    """The client, the metrics and the ledger see no difference."""
    model, here, there = f"{provider.provider}/m", tmp_path / "injected", tmp_path / "real"
    async with before(provider, PILLION_STATE_DIR=str(here)) as (gateway, evil):
        injected = [await faulted(gateway, speech, f"status={status}", model=model) for status in STATUSES]
        told = await counts(gateway)
        assert evil.requests == []
    scenarios = await spoken(provider)
    environ = provider.environ("") | {"PILLION_STATE_DIR": str(there)}
    async with Evil(*scenarios) as evil, pillion(**environ | provider.environ(evil.url)) as gateway:
        real = [await chat(gateway, speech, speech.request(model=model)) for _ in STATUSES]
        assert await counts(gateway) == told
    for status, one, other in zip(STATUSES, injected, real, strict=True):
        assert one.status == status
        assert (
            f"{provider.provider} answered with status {status}, because of an injected fault"
            in speech.error(one.body)["message"]
        )
        assert (one.status, speech.error(one.body)) == (other.status, speech.error(other.body))
        assert one.header("retry-after") == other.header("retry-after") == ("1" if status in (429, 503, 529) else None)
    assert rows(here) == rows(there)
    assert [(status, nanos) for _, status, _, nanos in rows(here)] == [(status, 0) for status in STATUSES]


async def spoken(provider: Speech) -> list[Scenario]:
    """What a provider would have to say to be told so: its own wire passes it on as it is."""
    async with before(provider) as (gateway, _):
        model = f"{provider.provider}/m"
        got = [await faulted(gateway, provider, f"status={status}", model=model) for status in STATUSES]
    names = ("content-type", "retry-after")
    lines = [[(name, value) for name in names if (value := each.header(name))] for each in got]
    return [Scenario(status=each.status, headers=head, body=each.body) for each, head in zip(got, lines, strict=True)]


async def counts(gateway: Gateway) -> list[str]:
    """What the metrics say of errors."""
    told = (await ask(gateway, "GET", "/metrics")).body.decode()
    names = ("pillion_errors_", "pillion_upstream_errors_", "pillion_upstream_attempts_")
    return sorted(line for line in told.splitlines() if line.startswith(names))


async def test_a_key_that_the_provider_refuses_is_refused_and_one_that_a_fault_does_is_not() -> None:
    keys = {"PILLION_RETRY_MAX_RETRIES": "1", "PILLION_RETRY_INITIAL_DELAY": "0"}
    async with before(OPENAI, **keys) as (gateway, evil):
        await faulted(gateway, OPENAI, "status=401", model="openai/m")
        assert failed_keys(gateway) == 0
        evil._answering = lambda request: Scenario(status=401, body=b'{"error":{"message":"no"}}')
        await faulted(gateway, OPENAI, "cut=1000", model="openai/m")
        assert failed_keys(gateway) == 1


def failed_keys(gateway: Gateway) -> int:
    adapter = gateway.app.catalog.adapters["openai"]
    assert isinstance(adapter, HTTPProvider)
    return adapter.keys_state()["failed"]


async def test_echo_fails_on_purpose_as_well() -> None:
    async with pillion(**ON) as gateway:
        got = await faulted(gateway, OPENAI, "status=503; provider=echo")
        assert (got.status, got.header("x-pillion-provider"), got.header("retry-after")) == (503, "echo", "1")
        assert (await faulted(gateway, OPENAI, "status=503; rate=0")).status == 200


@pytest.mark.parametrize(("what", "statuses"), [("cut", [502, 200, 200]), ("malformed", [502, 502, 200])])
async def test_what_echo_spoils_before_anything_is_said_is_a_502(what: str, statuses: list[int]) -> None:
    async with pillion(PILLION_RETRY_MAX_RETRIES="0") as gateway:
        got = [await chat(gateway, OPENAI, OPENAI.request(True, f"echo/text+{what}-{k}")) for k in (1, 2, 3)]
    assert [each.status for each in got] == statuses


async def test_echo_fails_as_often_as_its_models_name_says_so() -> None:
    quick = {"PILLION_RETRY_INITIAL_DELAY": "0", "PILLION_BREAKER_FAILURES": "2"}
    async with pillion(**quick) as gateway:
        got = [await chat(gateway, OPENAI, OPENAI.request(model="echo/error-500")) for _ in range(4)]
    assert [each.status for each in got] == [500] * 4


async def test_another_provider_answers_where_one_fails_on_purpose() -> None:
    order = {"PILLION_FAILOVER_OTHERS": "true", "PILLION_ANTHROPIC_MODEL": "claude"}
    async with before(OPENAI) as (_, _), Evil(answering=lambda request: answering(ANTHROPIC, request)) as other:
        environ = OPENAI.environ("http://127.0.0.1:9") | ANTHROPIC.environ(other.url) | order
        async with pillion(**ON, **environ) as gateway:
            got = await faulted(gateway, OPENAI, "status=503; provider=openai", model="openai/m")
    assert (got.status, got.header("x-pillion-provider"), got.header("x-pillion-attempts")) == (200, "anthropic", "2")


async def test_it_is_retried_as_often_as_it_may_be() -> None:
    retry = {"PILLION_RETRY_MAX_RETRIES": "2", "PILLION_RETRY_INITIAL_DELAY": "0"}
    async with before(OPENAI, **retry) as (gateway, evil):
        got = await faulted(gateway, OPENAI, "status=500", model="openai/m")
        assert (got.status, got.header("x-pillion-attempts"), evil.requests) == (500, "3", [])
        got = await faulted(gateway, OPENAI, "status=400", model="openai/m")
        assert (got.status, got.header("x-pillion-attempts")) == (400, "1")


async def test_the_breaker_leaves_alone_whoever_fails_on_purpose() -> None:
    async with before(OPENAI, PILLION_BREAKER_FAILURES="2") as (gateway, evil):
        got = [await faulted(gateway, OPENAI, "status=500", model="openai/m") for _ in range(3)]
        codes = [OPENAI.error(each.body)["code"] for each in got]
        assert codes == ["upstream_error", "upstream_error", "target_resting"]
        assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).status == 503
        assert evil.requests == []


# --- cut -------------------------------------------------------------------------------------------------------------


class Chunks:
    """An answer in these pieces, as a provider gives it."""

    def __init__(self, pieces: Iterable[bytes], knows_its_end: bool) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = dict(SSE)
        self.left = list(pieces)
        self.knows_its_end = knows_its_end
        self.aborted = 0

    async def read(self, limit: int) -> bytes:
        return b"".join(self.left)

    async def chunk(self) -> bytes:
        return self.left.pop(0) if self.left else b""

    def begun(self) -> None:
        pass

    def concluded(self) -> None:
        pass

    def ended(self) -> bool:
        return self.knows_its_end and not self.left

    def abort(self) -> None:
        self.aborted += 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("knows_its_end", [False, True])
async def test_an_answer_breaks_off_after_so_many_bytes_and_at_no_other(size: int, knows_its_end: bool) -> None:
    text = bytes(range(20))
    for cut in range(1, 25):
        chunks = Chunks([text[at : at + size] for at in range(0, len(text), size)], knows_its_end)
        broken, heard, error = Broken(chunks, cut, "openai"), b"", None
        try:
            while not broken.ended() and (chunk := await broken.chunk()):
                heard += chunk
        except UpstreamError as caught:
            error = caught
        assert heard == text[:cut]
        assert (error is not None, chunks.aborted) == (cut < len(text), cut < len(text))
        assert error is None or (error.code, error.provider) == ("upstream_cut", "openai")


@pytest.mark.parametrize(("cut", "fits"), [(19, False), (20, True), (21, True)])
async def test_a_whole_answer_that_is_longer_breaks_off(cut: int, fits: bool) -> None:
    broken = Broken(Chunks([bytes(15), bytes(5)], True), cut, "openai")
    if fits:
        assert await broken.read(100) == bytes(20)
    else:
        with pytest.raises(UpstreamError, match="openai's answer was cut short by an injected fault"):
            await broken.read(100)


@every_lane
async def test_a_whole_answer_that_is_cut_is_an_error(speech: Speech, provider: Speech) -> None:
    async with before(provider) as (gateway, evil):
        got = await faulted(gateway, speech, "cut=20", model=f"{provider.provider}/m")
        assert got.status == 502
        assert "cut short by an injected fault" in speech.error(got.body)["message"]
        assert (len(evil.requests), gateway.app.upstream.in_use) == (1, 0)
        assert (await faulted(gateway, speech, "cut=20000", model=f"{provider.provider}/m")).status == 200


@every_lane
async def test_a_stream_that_is_cut_says_so_at_its_end_or_before_its_beginning(
    speech: Speech, provider: Speech
) -> None:
    async with before(provider) as (gateway, _):
        heard = set()
        for cut in range(1, len(provider.stream), 16):
            got = await faulted(gateway, speech, f"cut={cut}", True, f"{provider.provider}/m")
            said = speech.error(got.body if got.status == 502 else speech.last_event(got.body))
            assert "cut short by an injected fault" in said["message"]
            assert not (got.status == 200 and (got.whole or speech.ends_whole(got.body)))
            heard.add(got.status)
        assert heard == {200, 502}  # both were seen
        got = await faulted(gateway, speech, f"cut={len(provider.stream)}", True, f"{provider.provider}/m")
        assert got.whole
        assert speech.ends_whole(got.body)


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_recorded_streams_break_off_half_way(speech: Speech) -> None:
    provider, recorded = (OPENAI, CHAT) if speech is OPENAI else (ANTHROPIC, MESSAGES)
    several = [row for row in recorded if streamed(row) and row["status"] == 200][:40]
    async with before(provider) as (gateway, evil):
        for row in several:
            body = recordings.body(row)
            evil._answering = lambda request, row=row: Scenario.from_recording(row)
            got = await faulted(gateway, speech, f"cut={len(body) // 2}", True, f"{provider.provider}/m")
            assert not (got.status == 200 and got.whole), row["id"]
            assert b"cut short by an injected fault" in got.body, row["id"]
            recordings.replayed(row)


async def test_what_was_cut_is_paid_for_as_far_as_it_was_heard_and_a_made_up_error_is_not(tmp_path: Path) -> None:
    async with before(OPENAI, PILLION_STATE_DIR=str(tmp_path)) as (gateway, _):
        for fault, status in (("cut=50", 502), ("status=500; cut=10", 500)):
            assert (await faulted(gateway, OPENAI, fault, model="openai/gpt-4o")).status == status
    (_, *cut), (_, *refused) = rows(tmp_path)
    assert (cut[:2], cut[2] > 0) == ([502, "upstream_cut"], True)
    assert refused == [500, "upstream_error", 0]


# --- delay, rate, and whose fault it is ------------------------------------------------------------------------------


class Timed(Echo):
    """Notes how long it may take."""

    given: float | None = None

    async def send(self, outgoing: Outgoing) -> Answer:
        self.given = outgoing.timeout
        return await super().send(outgoing)


class World:
    """The middleware, which throws these dice, and a provider behind it."""

    def __init__(self, *dice: float, **providers: Fault) -> None:
        self.slept: list[float] = []
        rules = config.Faults(enabled=True, providers={_row(name): fault for name, fault in providers.items()})
        named = {"echo": "echo", "mirror": "echo", "openai": "openai"}
        self.faults = Faults(rules, named, dialect, Counter(), iter(dice or [0.0] * 9).__next__, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.call.started -= seconds

    async def ask(self, provider: str = "echo", fault: str = "", timeout: float | None = None) -> Answer:
        """What the provider answers. Raises Timeout."""

        async def nothing() -> bytes:
            raise AssertionError("the body was read long ago")

        self.provider = Timed(provider)
        self.call = Call(
            id="req_1",
            operation="chat",
            dialect=dialect("openai_chat"),
            headers=CIMultiDict(header(fault) if fault else []),
            query={},
            receive=nothing,
            started=monotonic(),
            timeout=timeout,
            target=Target(self.provider, "text"),
        )
        answers: list[Answer] = []

        async def handle(call: Call) -> Reply:
            assert call.target is not None
            sent = Outgoing(
                "openai_chat", "text", b'{"model":"text","messages":[]}', False, [], "", timeout=call.left()
            )
            answers.append(await call.target.adapter.send(sent))
            return Reply(200, [], b"")

        await self.faults(self.call, handle)
        return answers[0]


def _row(name: str) -> str:
    return "*" if name == "any" else name


async def test_a_delay_comes_before_the_request_and_is_a_part_of_its_time() -> None:
    world = World(echo=Fault(delay=0.5))
    assert (await world.ask()).status == 200
    assert (world.slept, world.provider.given) == ([0.5], None)
    assert (await world.ask(timeout=2)).status == 200
    assert world.slept == [0.5, 0.5]
    assert world.provider.given == pytest.approx(1.5, abs=0.3)


@pytest.mark.parametrize("timeout", [0.2, 0.5])
async def test_who_does_not_wait_so_long_is_told_in_time(timeout: float) -> None:
    world = World(echo=Fault(delay=0.5))
    with pytest.raises(
        Timeout, match=f"echo's answer, which an injected fault delays, did not end within {timeout} s"
    ) as caught:
        await world.ask(timeout=timeout)
    assert (caught.value.code, caught.value.status, world.slept) == ("total_timeout", 504, [timeout])


@every_lane
async def test_a_timer_that_runs_out_meanwhile_is_the_providers(speech: Speech, provider: Speech) -> None:
    async with before(provider) as (gateway, evil):
        body = speech.request(model=f"{provider.provider}/m")
        got = await chat(gateway, speech, body, [*header("delay=60"), ("x-pillion-timeout", "0.02")])
        assert (got.status, got.header("x-pillion-attempts"), evil.requests) == (504, "1", [])
        error = f'code="total_timeout",kind="timeout",provider="{provider.provider}"'
        assert f"pillion_upstream_errors_total{{{error}}} 1.0" in await counts(gateway)


async def test_it_happens_to_that_share_of_the_attempts() -> None:
    world = World(0.0, 0.29, 0.3, 0.99, any=Fault(status=503, rate=0.3))
    assert [(await world.ask()).status for _ in range(4)] == [503, 503, 200, 200]
    assert world.faults.given == {("echo", "status"): 2}


async def test_a_providers_own_row_comes_before_that_for_all_and_the_header_before_both() -> None:
    world = World(mirror=Fault(status=500), any=Fault(status=503))
    assert (await world.ask()).status == 500
    assert (await world.ask("openai")).status == 503
    assert (await world.ask(fault="status=429")).status == 429
    assert (await world.ask(fault="delay=0")).status == 200
    assert (await world.ask(fault="status=429; provider=mirror")).status == 429
    assert (await world.ask("openai", fault="status=429; provider=mirror")).status == 200
    counted = {("echo", "status"): 3, ("openai", "status"): 1}
    assert world.faults.given == counted


async def test_one_may_be_late_and_break_off() -> None:
    world = World(echo=Fault(delay=1, cut=5))
    answer = await world.ask()
    assert await answer.chunk() == b'{"id"'
    with pytest.raises(UpstreamError, match="cut short"):
        await answer.chunk()
    assert world.slept == [1]
    assert world.faults.given == {("echo", "delay"): 1, ("echo", "cut"): 1}


def test_what_fails_is_the_provider_itself_in_all_else() -> None:
    echo = Echo("echo")
    failing = Failing(echo, Fault(status=503), dialect)
    assert (failing.name, failing.takes("m"), failing.real) == ("echo", echo.dialects, False)
    assert repr(failing) == "<Failing <Echo echo>>"


async def test_who_leaves_meanwhile_has_asked_nobody_and_pays_nothing(tmp_path: Path) -> None:
    async with before(OPENAI, PILLION_STATE_DIR=str(tmp_path)) as (gateway, evil):
        faults = gateway.app.now.faults
        async with client(gateway) as one:
            body = OPENAI.request(model="openai/m")
            await one.send(spell("POST", OPENAI.path, body, header("delay=3600")))
            await soon(lambda: bool(faults and faults.given))
            one.leave("rst")
        await soon(lambda: gateway.app.server.connections == 0)
        assert evil.requests == []
    assert rows(tmp_path) == []


# --- by configuration ------------------------------------------------------------------------------------------------


async def test_a_row_of_the_file_is_for_all_requests_to_that_provider(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("faults:\n  enabled: true\n  providers:\n    echo: {status: 429}\n")
    async with pillion(PILLION_CONFIG=str(file)) as gateway:
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(model="echo/text"))
        assert (got.status, got.header("retry-after")) == (429, "1")
        assert ANTHROPIC.error(got.body)["type"] == "rate_limit_error"
        told = (await ask(gateway, "GET", "/metrics")).body.decode()
    assert '\npillion_faults_total{fault="status",provider="echo"} 1.0\n' in told


async def test_a_row_does_nothing_while_faults_are_not_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not even in the chain."""
    monkeypatch.delattr(Faults, "__call__")
    file = tmp_path / "config.yaml"
    file.write_text("faults:\n  providers:\n    echo: {status: 429}\n")
    async with pillion(PILLION_CONFIG=str(file)) as gateway:
        assert (await chat(gateway, OPENAI, OPENAI.request(model="echo/text"))).status == 200


async def test_who_starts_it_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    async with pillion(**ON):
        assert "fault injection is on: requests may fail on purpose" in caplog.messages


async def test_the_apps_own_key_goes_with_it_where_the_app_has_one() -> None:
    async with before(OPENAI, PILLION_TRANSPARENT="openai") as (gateway, evil):
        key = ("authorization", "Bearer sk-of-the-app")
        body = OPENAI.request(model="openai/m")
        assert (await chat(gateway, OPENAI, body, [key, *header("cut=10")])).status == 502
        assert evil.requests[0].header("authorization") == "Bearer sk-of-the-app"
        assert (await chat(gateway, OPENAI, body, [key, *header("status=503")])).status == 503


# --- OpenAI's own SDK ------------------------------------------------------------------------------------------------


async def test_openais_own_sdk_meets_what_it_was_promised() -> None:
    async with pillion(**ON) as gateway:
        sdk = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0)
        async with sdk:
            chats: Any = sdk.chat.completions
            with pytest.raises(openai.RateLimitError, match="echo answered with status 429") as limited:
                await chats.create(model="echo/text", messages=[], extra_headers=dict(header("status=429")))
            assert limited.value.response.headers["retry-after"] == "1"
            stream = await chats.create(
                model="echo/text", messages=[], stream=True, extra_headers=dict(header("cut=900"))
            )
            assert (await anext(stream)).choices
            with pytest.raises(openai.APIError, match="cut short by an injected fault"):
                [chunk async for chunk in stream]
            assert (await chats.create(model="echo/text", messages=[])).choices


async def test_a_target_that_is_slow_on_purpose_gets_a_hedge(tmp_path: Path) -> None:
    hedged = """
        routes: {both: {targets: [openai/m, echo/text]}}
        hedge: {enabled: true, after: 0.05, share: 1}
    """
    async with before(OPENAI, **config_file(hedged, tmp_path)) as (gateway, evil):
        began = monotonic()
        for stream in (False, True):
            got = await faulted(gateway, OPENAI, "delay=30;provider=openai", stream, "both")
            assert (got.status, got.header("x-pillion-provider")) == (200, "echo")
            assert got.header("x-pillion-attempts") == "2"
        assert monotonic() - began < 20
        assert not evil.requests
