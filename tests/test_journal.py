"""Does a line say what its reader needs: whose fault it was, where the time went, and why no connection came about?

test_logs.py has the rest of the line, and how it gets out.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.canon import Usage
from proxy.edge.onlookers import conclude
from proxy.errors import BadRequest, Busy, Down, GatewayError, Refused, Timeout, Unauthorized
from proxy.logs import Handler, Log, as_words
from proxy.middleware import journal
from proxy.middleware.journal import Journal
from proxy.middleware.witness import Witness
from proxy.ports import Call, Reply
from proxy.reports.outcome import outcome
from proxy.reports.sight import Sight
from tests import taking
from tests.client import ANTHROPIC, LANES, OPENAI, Speech, ask, chat, lane_name
from tests.evil import Evil, Scenario, trust
from tests.gateway import config_file, telling
from tests.nowhere import forged, refusing, unnamed
from tests.test_logs import JSON, SSE, Kept, log_to, told
from tests.test_metrics import targeted
from tests.test_server import Watched, answering, saying, serving

every_lane = pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
streamed_and_whole = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


async def line_of(error: BaseException, asked: Call) -> dict[str, Any]:
    """What the journal says of a call that raises this."""
    kept = Kept()

    async def broken(call: Call) -> Reply:
        raise error

    with pytest.raises(type(error)):
        await Witness(Journal(log_to(kept)).ended)(asked, broken)
    await asyncio.sleep(0)  # what ends in one turn of the loop is told of in the next
    (line,) = kept.lines
    return line


# --- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 500])
@every_lane
async def test_time_that_a_provider_took_is_its_own_also_where_it_fails(
    speech: Speech, provider: Speech, status: int
) -> None:
    kept = Kept()
    slow = Scenario(status=status, body=provider.whole, headers=JSON, delay_head=0.05)
    async with Evil(slow) as evil, telling(log_to(kept), provider.environ(evil.url)) as gateway:
        await chat(gateway, speech, speech.request(model=f"{provider.provider}/m"))
        (line,) = await told(kept)
    assert line["status"] == status
    assert line["duration_ms"] >= line["upstream_ms"] >= 45
    assert 0 < line["upstream_ms"] + line["overhead_ms"] <= line["duration_ms"] + 0.002  # each is cut to a microsecond


async def test_what_was_not_waited_for_is_left_out() -> None:
    line = await line_of(BadRequest("No."), targeted())
    assert {"first_byte_ms", "upstream_ms", "attempts", "tokens", "bytes_out", "detail"}.isdisjoint(line)
    assert line["overhead_ms"] > 0


async def test_tokens_that_were_not_counted_are_left_out() -> None:
    kept = Kept()

    async def answer(call: Call) -> Reply:
        return Reply(200, [], b"")

    for usage in (Usage(), Usage(output=7, extra={"images": 2})):
        call = targeted()
        call.usage = usage
        for ending in (await Witness(Journal(log_to(kept)).ended)(call, answer)).endings:
            ending(None)
    await asyncio.sleep(0)
    assert [line.get("tokens") for line in kept.lines] == [None, {"output": 7}]


# --- whose fault -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (Refused("the key is wrong", status=401, kind="authentication"), "warning"),
        (Refused("not for you", status=403, kind="authentication"), "warning"),
        (Refused("nothing is left", status=402, kind="quota_exceeded"), "warning"),
        (Busy("later"), "warning"),
        (Busy("no more today", kind="quota_exceeded"), "warning"),
        (Down("it broke"), "warning"),
        (Timeout("too slow"), "warning"),
        (Refused("messages must not be empty"), "info"),
        (Refused("no such model", status=404), "info"),
        (Unauthorized("the client's key is wrong"), "info"),
        (BadRequest("no JSON"), "info"),
        (GatewayError("we go", status=503, code="shutting_down"), "warning"),
        (GatewayError("a bug"), "error"),
        (ValueError("a bug"), "error"),
        (asyncio.CancelledError(), "info"),
    ],
    ids=repr,
)
def test_what_a_provider_does_to_us_is_a_warning_and_the_clients_own_is_none(error: BaseException, level: str) -> None:
    assert outcome(error).level == level


async def test_a_key_that_has_expired_leaves_a_line_for_those_who_read_warnings_alone() -> None:
    kept = Kept()
    expired = Scenario(status=401, body=b'{"error":{"message":"expired","code":"invalid_api_key"}}', headers=JSON)
    async with Evil(expired) as evil, telling(log_to(kept, "warning"), OPENAI.environ(evil.url)) as gateway:
        await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
        (line,) = await told(kept)
    assert (line["level"], line["message"]) == ("warning", "openai refused pillion's key: expired")


# --- why no connection came about ------------------------------------------------------------------------------------


@asynccontextmanager
async def no_http() -> AsyncIterator[str]:
    async with Evil(Scenario(raw=b"SSH-2.0-OpenSSH_9.9\r\n\r\n")) as evil:
        yield evil.url


@asynccontextmanager
async def resetting() -> AsyncIterator[str]:
    async with Evil(Scenario(body=b"x", cut_at=0, cut_of="wire", how="rst")) as evil:
        yield evil.url


@pytest.mark.parametrize(
    ("somewhere", "message", "detail"),
    [
        (refusing, "The provider cannot be reached.", r"127\.0\.0\.1:\d+: Connection refused"),
        (unnamed, "The provider's host name cannot be resolved.", r"nobody\.invalid:80: \w.+"),
        (
            forged,
            "The TLS connection to the provider failed.",
            r"127\.0\.0\.1:\d+: unable to get local issuer certificate",
        ),
        (no_http, "The provider's answer is not valid HTTP.", r"Expected HTTP/.*"),
        (resetting, "The provider closed the connection without an answer.", "Connection reset by peer"),
    ],
)
async def test_the_log_says_why_and_the_client_reads_what_it_may(
    somewhere: Any, message: str, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.edge.trust._kept", [trust()])
    kept = Kept()
    async with somewhere() as url, telling(log_to(kept), OPENAI.environ(url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
        (line,) = await told(kept)
    assert OPENAI.error(got.body)["message"] == line["message"] == message
    assert re.fullmatch(detail, line["detail"]), line["detail"]
    assert line["detail"].encode() not in got.body


REFUSALS = {
    "budgets: {b: {usd: 0.000001, window: day}}\nledger: {create: true}": (429, "insufficient_quota"),
    "limits: {models: {openai/m: {tokens_per_minute: 1}}}": (429, "request_exceeds_limit"),
    "strict: true\nproviders: {openai: {dialects: [openai_responses]}}": (400, "unrepresentable"),
}


@pytest.mark.parametrize("settings", REFUSALS)
async def test_a_line_without_attempts_is_of_a_call_that_pillion_refused(settings: str, tmp_path: Path) -> None:
    """docs/alerts.md: the code, the status and the provider may all be as where the provider refuses."""
    kept, asked = Kept(), OPENAI.request(model="openai/m", seed=1)
    async with Evil() as evil:
        environ = {**OPENAI.environ(evil.url), **config_file(settings, tmp_path)}
        async with telling(log_to(kept), environ) as gateway:
            await chat(gateway, OPENAI, asked)
            *_, line = await told(kept)
    assert ((line["status"], line["code"]), line["provider"]) == (REFUSALS[settings], "openai")
    assert "attempts" not in line


@pytest.mark.parametrize("somewhere", [refusing, unnamed, resetting])
async def test_whoever_cannot_be_reached_was_asked(somewhere: Any) -> None:
    kept = Kept()
    async with somewhere() as url, telling(log_to(kept), OPENAI.environ(url)) as gateway:
        await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
        (line,) = await told(kept)
    assert line["attempts"] == 1


async def test_nothing_that_a_provider_said_is_in_the_detail() -> None:
    kept = Kept()
    async with (
        Evil(Scenario(raw=b"HTTP/1.1 200 OK\r\nx-canary canary\r\n\r\n")) as evil,
        telling(log_to(kept), OPENAI.environ(evil.url)) as gateway,
    ):
        await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
        (line,) = await told(kept)
    assert line["detail"]
    assert b"canary" not in kept.data


# --- who answers as no provider would --------------------------------------------------------------------------------

PAGE = b"<!doctype html><title>It works!</title>"
HTML = [("Content-Type", "text/html; charset=utf-8")]
OPENAI_LACKS = b'{"error":{"message":"The model `m` does not exist","type":"x","param":null,"code":"model_not_found"}}'


@streamed_and_whole
@every_lane
async def test_a_web_page_is_called_one(speech: Speech, provider: Speech, stream: bool) -> None:
    kept = Kept()
    for page in (PAGE, b"\n" + PAGE, b""):
        async with (
            Evil(Scenario(body=page, headers=HTML)) as evil,
            telling(log_to(kept), provider.environ(evil.url)) as gateway,
        ):
            got = await chat(gateway, speech, speech.request(stream, f"{provider.provider}/m"))
        due = "a stream" if stream else "JSON"
        said = f"{provider.provider} answered with text/html instead of {due}: check base_url."
        assert (got.status, speech.error(got.body)["message"]) == (502, said)
    assert {line["code"] for line in kept.lines} == {"upstream_protocol"}


@streamed_and_whole
@every_lane
async def test_an_answer_that_is_only_called_a_page_is_read_all_the_same(
    speech: Speech, provider: Speech, stream: bool
) -> None:
    body = provider.stream if stream else provider.whole
    plan = Scenario(body=body, headers=HTML, framing="chunked", split=[20], gap=0.01)
    async with Evil(plan) as evil, telling(log_to(Kept()), provider.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(stream, f"{provider.provider}/m"))
    assert (got.status, got.whole) == (200, True)
    if speech is provider and not stream:
        assert got.body == body


@streamed_and_whole
@pytest.mark.parametrize(
    ("media_type", "shown"),
    [("text/plain", " (of type text/plain)"), ("x" * 300, " (of unknown type)"), ("\xff/\xfe", " (of unknown type)")],
    ids=ascii,
)
async def test_what_passes_through_and_is_no_answer_has_its_type_named(
    stream: bool, media_type: str, shown: str
) -> None:
    plan = Scenario(body=b"ok", headers=[("Content-Type", media_type)])
    async with Evil(plan) as evil, telling(log_to(Kept()), OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(stream, "openai/m"))
    assert got.status == 502
    assert f"The provider's {'stream' if stream else 'answer'}{shown} " in OPENAI.error(got.body)["message"]


@pytest.mark.parametrize("status", [301, 307])
@every_lane
async def test_a_redirect_says_which_and_what_to_look_at(speech: Speech, provider: Speech, status: int) -> None:
    moved = Scenario(status=status, headers=[("Location", "http://127.0.0.1:1/")])
    async with Evil(moved) as evil, telling(log_to(Kept()), provider.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(model=f"{provider.provider}/m"))
    said = f"{provider.provider} answered with status {status}, and redirects are not followed: check base_url."
    assert speech.error(got.body)["message"] == said


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 407])
@every_lane
async def test_a_page_that_refuses_is_no_words_of_the_providers(speech: Speech, provider: Speech, status: int) -> None:
    kept = Kept()
    async with (
        Evil(Scenario(status=status, body=PAGE, headers=HTML)) as evil,
        telling(log_to(kept), provider.environ(evil.url)) as gateway,
    ):
        got = await chat(gateway, speech, speech.request(model=f"{provider.provider}/m"))
        (line,) = [line for line in await told(kept) if line["event"] == "request"]
    said = f"{provider.provider} answered with status {status} and text/html instead of JSON: check base_url."
    assert (got.status, speech.error(got.body)["message"]) == (status, said)
    assert line["message"] == said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no reason"),
        (b"404 page not found\n", "no reason"),
        (b'{"error":{"message":"Resource not found","code":"404"}}', '"Resource not found"'),  # Azure's
    ],
    ids=ascii,
)
@every_lane
async def test_a_404_that_says_no_more_points_to_the_base_url(
    speech: Speech, provider: Speech, body: bytes, words: str
) -> None:
    kept = Kept()
    async with (
        Evil(Scenario(status=404, body=body, headers=JSON)) as evil,
        telling(log_to(kept), provider.environ(evil.url)) as gateway,
    ):
        got = await chat(gateway, speech, speech.request(model=f"{provider.provider}/m"))
        (line,) = await told(kept)
    assert got.status == 404
    assert line["message"] == f"{provider.provider} answered with status 404 and {words}: check base_url."
    if speech is not provider or words == "no reason":  # else the provider's own bytes
        assert speech.error(got.body)["message"] == line["message"]


async def test_a_path_that_a_framework_does_not_know_points_there_too() -> None:
    lost = Scenario(status=404, body=b'{"detail":"Not Found"}', headers=JSON)  # FastAPI's: a vLLM without its /v1
    async with Evil(lost) as evil, telling(log_to(Kept()), OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
    said = 'openai answered with status 404 and "Not Found": check base_url.'
    assert (got.status, OPENAI.error(got.body)["message"]) == (404, said)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [(429, PAGE, HTML), (413, PAGE, HTML), (503, PAGE, HTML), (404, OPENAI_LACKS, JSON), (400, b"", JSON)],
    ids=["busy", "too long", "down", "no such model", "no words"],
)
async def test_what_the_base_url_has_nothing_to_do_with_does_not_name_it(
    status: int, body: bytes, headers: list[tuple[str, str]]
) -> None:
    async with (
        Evil(Scenario(status=status, body=body, headers=headers)) as evil,
        telling(log_to(Kept()), OPENAI.environ(evil.url)) as gateway,
    ):
        got = await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
    assert got.status == status
    assert b"base_url" not in got.body


# --- whose key -------------------------------------------------------------------------------------------------------


def refusal(provider: Speech, message: str) -> bytes:
    error = {"type": "authentication_error", "message": message}
    return json.dumps({"type": "error", "error": error} if provider is ANTHROPIC else {"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "refused pillion's key"), (403, "does not allow pillion's key to do this")],
)
@every_lane
async def test_a_key_that_a_provider_refuses_is_said_to_be_pillions(
    speech: Speech, provider: Speech, status: int, said: str
) -> None:
    """Where its words repeat the key, they are not passed on as they are, even to a client of its own wire."""
    key = f"sk-{provider.provider}-secret"
    refused = Scenario(status=status, body=refusal(provider, f"the key {key} is wrong"), headers=JSON)
    async with Evil(refused) as evil, telling(log_to(Kept()), provider.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(model=f"{provider.provider}/m"))
    assert got.status == status
    assert speech.error(got.body)["message"] == f"{provider.provider} {said}: the key *** is wrong"


async def test_an_error_as_the_first_event_repeats_our_key_to_nobody() -> None:
    key = "sk-openai-secret"
    body = b'data: {"error":{"message":"the key %b","type":"x%b","code":401}}\n\n' % (key.encode(), key.encode())
    kept = Kept()
    plan = Scenario(body=body, headers=SSE, framing="chunked")
    async with Evil(plan) as evil, telling(log_to(kept), OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(True, "openai/m"))
        (line,) = await told(kept)
    assert (got.status, line["message"]) == (401, "openai refused pillion's key: the key ***")
    assert key.encode() not in got.body + kept.data


# --- our id, in every line -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("live", [False, True], ids=["whole", "live"])
async def test_an_observer_that_fails_is_told_of_with_the_requests_id(
    live: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def raising(_: object) -> None:
        raise ValueError

    watched = Watched(saying(b"a", b"b") if live else b"ab")
    watched.reply.taps.append(raising)
    watched.reply.endings.insert(0, raising)
    async with serving(answering(lambda: watched.reply)) as at:
        got = await ask(at, "POST", "/x", b"{}")
        await watched.end()
    assert [vars(record).get("id") for record in caplog.records] == [got.header("x-pillion-request-id")] * 2


async def test_a_witness_that_fails_keeps_no_other_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []

    def failing(sight: Sight) -> None:
        raise ValueError

    watched = Watched(b"ab")
    asked = taking.call()
    witness = Witness(failing, lambda sight: heard.append(sight.status))
    reply = await witness(asked, answering(lambda: watched.reply))
    conclude(reply, None, asked.id)
    await asyncio.sleep(0)
    assert heard == [200]
    assert [(record.message, vars(record)["id"]) for record in caplog.records] == [("an observer failed", asked.id)]


async def test_each_witness_hears_of_all_that_ended_in_one_turn_in_a_row() -> None:
    heard: list[tuple[str, str]] = []

    def first(sight: Sight) -> None:
        heard.append(("first", sight.call.id))
        if sight.call.id == "a":
            raise ValueError

    at_once, asked = list[str](), [taking.call() for _ in "ab"]
    witness = Witness(
        first,
        lambda sight: heard.append(("second", sight.call.id)),
        at_once=[lambda sight: at_once.append(sight.call.id)],
    )
    for one, name in zip(asked, "ab", strict=True):
        one.id = name
        with pytest.raises(Busy):
            await witness(one, raising)
    assert (at_once, heard) == (["a", "b"], [])
    await asyncio.sleep(0)
    assert heard == [("first", "a"), ("first", "b"), ("second", "a"), ("second", "b")]


async def test_clients_do_not_choose_how_many_names_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KINDS_KEPT", 2)
    kept = Kept()
    made = Journal(log_to(kept))
    for name in "abcab":
        with pytest.raises(Busy):
            await Witness(made.ended)(taking.call(model=name), raising)
        await asyncio.sleep(0)
        assert len(made._kinds) <= 2
    assert [line["model"] for line in kept.lines] == ["a", "b", "c", "a", "b"]


async def raising(call: Call) -> Reply:
    raise Busy("no")


async def test_a_bug_is_told_of_with_the_requests_id(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(call: Call) -> Reply:
        raise ValueError("a bug")

    async with serving(broken) as at:
        got = await ask(at, "POST", "/x", b"{}")
    (record,) = caplog.records
    assert vars(record).get("id") == got.header("x-pillion-request-id")


async def test_a_request_that_reached_no_route_has_its_facts_in_fields_and_once() -> None:
    kept = Kept()
    logger, handler = logging.getLogger("pillion"), Handler(Log("info", as_words, kept, str))
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        async with telling(log_to(Kept()), {}) as gateway:
            got = await ask(gateway, "GET", "/nowhere")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    ours = (got.header("x-pillion-request-id") or "").encode()
    (line,) = [line for line in kept.data.splitlines() if b" refused " in line]
    assert b" id=%b status=404 error=invalid_request code=unknown_url " % ours in line
    assert [line.count(word) for word in (ours, b"404", b"unknown_url")] == [1, 1, 1]


# --- what comes back as it was ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speech", "stream", "came"),
    [
        (OPENAI, False, "caf\udce9 \udcff\udcfe"),
        (OPENAI, True, "caf\udce9 \udcff\udcfe"),
        (ANTHROPIC, False, "caf\udce9 \udcff\udcfe"),
        (ANTHROPIC, True, "caf\ufffd \ufffd\ufffd"),  # frames of our own go out through aiohttp's response
    ],
)
async def test_a_header_of_a_providers_that_is_no_utf8_comes_back_as_it_was(
    speech: Speech, stream: bool, came: str
) -> None:
    body = OPENAI.stream if stream else OPENAI.whole
    headers = [*(SSE if stream else JSON), ("x-mark", "caf\xe9 \xff\xfe")]
    plan = Scenario(body=body, headers=headers, framing="chunked", split=[300], gap=0.01)
    async with Evil(plan) as evil, telling(log_to(Kept()), OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(stream, "openai/m"))
    assert (got.status, got.whole, got.header("x-mark")) == (200, True, came)
