"""What does a client hear when the provider fails it, in every way that there is: on either lane, streamed and whole?

Always an error on the client's own wire, with the right status while there is one to give; never a traceback, never a
hang, and never a stream that ends as if it were whole.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from proxy.lanes import asking
from tests.client import ANTHROPIC, LANES, OPENAI, Got, Speech, chat, lane_name
from tests.evil import Evil, How, Scenario, trust
from tests.gateway import pillion
from tests.nowhere import forged, refusing, unnamed

JSON = [("Content-Type", "application/json")]
HTML = [("Content-Type", "text/html")]
SSE = [("Content-Type", "text/event-stream")]
PAGE = b"<html><body>It works!</body></html>"

every_lane = pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
streamed_and_whole = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def error_body(provider: Speech, message: str = "try later", kind: str = "overloaded_error") -> bytes:
    error = {"type": kind, "message": message}
    body = (
        {"type": "error", "error": error}
        if provider is ANTHROPIC
        else {"error": {**error, "param": None, "code": kind}}
    )
    return json.dumps(body).encode()


def error_event(provider: Speech) -> bytes:
    name = b"event: error\n" if provider is ANTHROPIC else b""
    return name + b"data: " + error_body(provider) + b"\n\n"


def first_events(provider: Speech, count: int = 2) -> bytes:
    return b"".join(event + b"\n\n" for event in provider.stream.split(b"\n\n")[:count])


async def through(evil: Evil, speech: Speech, provider: Speech, stream: bool) -> Got:
    async with pillion(**provider.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(stream, f"{provider.provider}/m"))
        assert gateway.app.upstream.in_use == 0
        return got


async def answered(scenario: Scenario, speech: Speech, provider: Speech, stream: bool) -> Got:
    async with Evil(scenario) as evil:
        return await through(evil, speech, provider, stream)


def told(got: Got, speech: Speech, provider: Speech) -> dict[str, Any]:
    """The error of an answer that is nothing else."""
    assert got.whole
    assert got.header("content-type") == "application/json"
    assert (got.header("x-pillion-request-id") or "").startswith("req_")
    assert b".py" not in got.body
    assert f"sk-{provider.provider}-secret".encode() not in got.body
    return speech.error(got.body)


# --- what was not asked for: a whole answer for a stream, and the other way round ---------------------------------


@streamed_and_whole
@every_lane
async def test_an_answer_of_the_other_form_comes_in_the_one_that_was_asked_for(
    speech: Speech, provider: Speech, stream: bool
) -> None:
    """An SDK reads JSON as a stream that says nothing, and ends well."""
    other, form = (provider.whole, JSON) if stream else (provider.stream, SSE)
    got = await answered(Scenario(body=other, headers=form), speech, provider, stream)
    assert (got.status, got.whole) == (200, True)
    assert got.header("content-type") == ("text/event-stream" if stream else "application/json")
    assert "Grüße" in "".join(re.findall(r'"(?:text|content)": ?"([^"]*)"', got.body.decode()))
    assert speech.ends_whole(got.body) if stream else json.loads(got.body)


async def test_what_we_cannot_read_comes_in_the_form_that_the_provider_chose() -> None:
    asked = OPENAI.request(True, "openai/m", temperature="tepid")
    scenario = Scenario(body=OPENAI.whole, headers=JSON)
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, asked)
    assert (got.status, got.body) == (200, OPENAI.whole)


# --- before the first byte: a status ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    scenario: Callable[[Speech], Scenario]
    status: int
    said: str = ""


def always(**fields: Any) -> Callable[[Speech], Scenario]:
    return lambda _: Scenario(**fields)


FAULTS = {
    "html 200": Fault(always(body=PAGE, headers=HTML), 502, "answered with text/html instead of"),
    "html 502": Fault(always(status=502, body=PAGE, headers=HTML), 502, "answered 502"),
    "html 404": Fault(always(status=404, body=PAGE, headers=HTML), 404, "answered with status 404 and text/html"),
    "text 200": Fault(always(body=b"ok", headers=[("Content-Type", "text/plain")]), 502),
    "empty 200": Fault(always(headers=JSON), 502),
    "empty 200 of no type": Fault(always(), 502),
    "empty 500": Fault(always(status=500), 500, "answered 500"),
    "empty stream": Fault(always(headers=SSE, framing="chunked"), 502),
    "empty stream to the end of the connection": Fault(always(headers=SSE, framing="eof"), 502),
    "only a comment": Fault(always(headers=SSE, framing="chunked", body=b": hello\n"), 502),
    "204": Fault(always(status=204, headers=[("Content-Length", "0")]), 502),
    "json that breaks off": Fault(lambda p: Scenario(body=p.whole[:-9], headers=JSON), 502),
    "json, connection cut": Fault(lambda p: Scenario(body=p.whole, headers=JSON, cut_at=50), 502, "cut short"),
    "json that is no object": Fault(always(body=b"[1]", headers=JSON), 502),
    "error, connection cut": Fault(always(status=400, body=b'{"a":1}', headers=JSON, cut_at=3), 400, "answered 400"),
    "stream cut in its first event": Fault(
        lambda p: Scenario(body=p.stream, headers=SSE, framing="chunked", cut_at=30), 502
    ),
    "no http": Fault(always(raw=b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), 502, "not valid HTTP"),
    "closed at once": Fault(always(cut_at=0, cut_of="wire"), 502, "without an answer"),
    "reset at once": Fault(always(cut_at=0, cut_of="wire", how="rst"), 502),
    "gzip": Fault(always(body=b"\x1f\x8b", headers=[*JSON, ("Content-Encoding", "gzip")]), 502, "content encoding"),
    "switched protocols": Fault(
        always(raw=b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), 502
    ),
    "endless head": Fault(always(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000), 502, "is too long"),
    "error in 200": Fault(lambda p: Scenario(body=error_body(p), headers=JSON), 529, "try later"),
    "error as the first event": Fault(
        lambda p: Scenario(body=error_event(p), headers=SSE, framing="chunked"), 529, "try later"
    ),
    "429": Fault(lambda p: Scenario(status=429, body=error_body(p), headers=JSON), 429, "try later"),
    "400": Fault(
        lambda p: Scenario(status=400, body=error_body(p, "bad", "invalid_request_error"), headers=JSON), 400, "bad"
    ),
    **{
        str(status): Fault(always(status=status, headers=[("Location", "http://127.0.0.1:1/")]), 502, "check base_url")
        for status in (301, 302, 303, 304, 307, 308)
    },
    **{
        f"status {status}": Fault(
            always(raw=b"HTTP/1.1 %03d X\r\nContent-Length: 2\r\n\r\n{}" % status),
            502,
            f"with status {status}, which no provider gives",
        )
        for status in (600, 999)
    },
}


@pytest.mark.parametrize("name", FAULTS)
@streamed_and_whole
@every_lane
async def test_a_fault_before_the_first_byte_is_an_error_answer(
    speech: Speech, provider: Speech, stream: bool, name: str
) -> None:
    fault = FAULTS[name]
    got = await answered(fault.scenario(provider), speech, provider, stream)
    error = told(got, speech, provider)
    assert (got.status, fault.said in error["message"]) == (fault.status, True), error


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@streamed_and_whole
@every_lane
async def test_a_redirect_is_never_followed(speech: Speech, provider: Speech, stream: bool, status: int) -> None:
    """Neither to another host, which would be shown the key, nor on the same."""
    async with Evil() as elsewhere:
        for where in (elsewhere.url, ""):
            moved = Scenario(status=status, headers=[("Location", where + "/v1/messages")])
            got = await answered(
                moved, speech, provider, stream
            )  # whose host would miss a scenario for a second request
            assert (got.status, elsewhere.connections) == (502, 0)


@streamed_and_whole
@every_lane
async def test_when_to_ask_again_is_passed_on(speech: Speech, provider: Speech, stream: bool) -> None:
    busy = Scenario(status=429, body=error_body(provider), headers=[*JSON, ("Retry-After", "7")])
    got = await answered(busy, speech, provider, stream)
    assert (got.status, got.header("retry-after")) == (429, "7")


# --- no connection ---------------------------------------------------------------------------------------------------


async def test_a_comment_before_an_error_does_not_make_it_a_200() -> None:
    body = b": PROCESSING\n\n" + b'data: {"error":{"message":"later","code":503}}\n\n'
    scenario = Scenario(body=body, headers=SSE, framing="chunked", split=[14], gap=0.02)
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(True, "openai/m"))
    assert (got.status, json.loads(got.body)["error"]["message"]) == (503, "later")


@pytest.mark.parametrize(
    ("somewhere", "said"),
    [
        (refusing, "cannot be reached"),
        (unnamed, "host name cannot be resolved"),
        (forged, "TLS connection to the provider failed"),
    ],
)
@streamed_and_whole
@every_lane
async def test_a_provider_that_cannot_be_reached_is_a_502(
    speech: Speech, provider: Speech, stream: bool, somewhere: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.edge.trust._kept", [trust()])
    async with somewhere() as url, pillion(**provider.environ(url)) as gateway:
        got = await chat(gateway, speech, speech.request(stream, f"{provider.provider}/m"))
    assert (got.status, said in told(got, speech, provider)["message"]) == (502, True)


# --- timers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(tmp_path: Path) -> str:
    """A configuration whose timers are short."""
    timers = "{connect: 5, headers: 0.1, first_event: 0.1, idle: 0.1, total: 0.1}"
    rows = "".join(f"  {name}: {{timers: {timers}}}\n" for name in ("openai", "anthropic"))
    file = tmp_path / "config.yaml"
    file.write_text(f"providers:\n{rows}")
    return str(file)


@pytest.mark.parametrize("cut_at", [0, 10])
@streamed_and_whole
@every_lane
async def test_a_provider_that_says_nothing_is_a_504(
    speech: Speech, provider: Speech, stream: bool, cut_at: int, hasty: str
) -> None:
    stall = Scenario(body=provider.whole, headers=JSON, cut_at=cut_at, cut_of="wire", how="stall")
    async with Evil(stall) as evil, pillion(PILLION_CONFIG=hasty, **provider.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(stream, f"{provider.provider}/m"))
        assert got.status == 504
        assert "within 0.1 s" in told(got, speech, provider)["message"]
        await evil.closed()


@every_lane
async def test_a_stream_that_falls_silent_ends_with_an_error_event(
    speech: Speech, provider: Speech, hasty: str
) -> None:
    stall = Scenario(
        body=provider.stream, headers=SSE, framing="chunked", cut_at=len(provider.stream) - 20, how="stall"
    )
    async with Evil(stall) as evil, pillion(PILLION_CONFIG=hasty, **provider.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(True, f"{provider.provider}/m"))
        broken(got, speech)
        await evil.closed()


# --- after the first byte: the wire's own error event ----------------------------------------------------------------


def broken(got: Got, speech: Speech, whole: bool = False) -> dict[str, Any]:
    """The error event that ends a stream which is not whole."""
    assert (got.status, got.whole) == (200, whole)
    assert not speech.ends_whole(got.body), got.body
    return speech.error(speech.last_event(got.body))


@pytest.mark.parametrize("how", ["fin", "rst"])
@every_lane
async def test_a_stream_that_is_cut_ends_with_an_error_event(speech: Speech, provider: Speech, how: Any) -> None:
    stream, begun = provider.stream, len(first_events(provider, 3))
    plan = Scenario(body=stream, headers=SSE, framing="chunked", split=[begun], gap=0.01, how=how)
    for cut_at in (begun, begun + 40, len(stream) - 5):
        cut = replace(plan, cut_at=cut_at)
        broken(await answered(cut, speech, provider, True), speech)


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
@every_lane
async def test_a_stream_that_ends_in_good_order_before_its_answer_does_is_not_whole(
    speech: Speech, provider: Speech, framing: Any
) -> None:
    for body in (first_events(provider, 3), first_events(provider, 3) + b'data: {"ty'):
        short = Scenario(body=body, headers=SSE, framing=framing)
        broken(await answered(short, speech, provider, True), speech)


@every_lane
async def test_an_error_event_in_the_middle_is_told_on_the_clients_wire(speech: Speech, provider: Speech) -> None:
    before = first_events(provider, 3)
    body = before + error_event(provider)
    plan = Scenario(body=body, headers=SSE, framing="chunked", split=[len(before)], gap=0.02)
    got = await answered(plan, speech, provider, True)
    error = broken(got, speech, whole=speech is provider)
    assert error["message"] == "try later"
    if speech is provider:
        assert got.body == body


@pytest.mark.parametrize("nonsense", [b"data: {\n\n", b"data: []\n\n", b"data: \xff\n\n", b'data: {"a":' + b"[" * 5000])
@every_lane
async def test_nonsense_in_a_stream_is_no_end_of_it(speech: Speech, provider: Speech, nonsense: bytes) -> None:
    body = first_events(provider, 3) + nonsense
    got = await answered(Scenario(body=body, headers=SSE, framing="chunked"), speech, provider, True)
    broken(got, speech)


# --- without end -----------------------------------------------------------------------------------------------------


@every_lane
async def test_a_whole_answer_without_end_is_cut_off(
    speech: Speech, provider: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MAX_WHOLE", 1024 * 1024)
    endless = Scenario(body=b'{"a":"' + b"x" * (80 * 1024 * 1024), headers=JSON)
    got = await answered(endless, speech, provider, False)
    assert got.status == 502
    assert "longer than" in told(got, speech, provider)["message"]


@every_lane
async def test_an_error_without_end_is_cut_off(
    speech: Speech, provider: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ERROR_LIMIT", 64 * 1024)
    got = await answered(Scenario(status=400, body=b"x" * (1024 * 1024)), speech, provider, False)
    assert (got.status, "answered 400" in told(got, speech, provider)["message"]) == (400, True)


@every_lane
@pytest.mark.parametrize("how", ["fin", "rst", "stall"])
async def test_an_error_that_is_cut_still_has_its_status(
    speech: Speech, provider: Speech, how: How, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ERROR_PATIENCE", 0.1)
    body = b'{"error": {"message": "later", "type": "rate_limit_error"}}'
    later = [("Content-Type", "application/json"), ("Retry-After", "3600")]
    got = await answered(Scenario(status=429, headers=later, body=body, cut_at=9, how=how), speech, provider, False)
    assert (got.status, got.header("retry-after")) == (429, "3600")
    assert "answered 429" in told(got, speech, provider)["message"]


@every_lane
async def test_a_line_without_end_never_looks_like_an_answer(speech: Speech, provider: Speech) -> None:
    """The pass-through lane forwards it and does not keep it; the other gives up at the cap."""
    size = 70 * 1024 * 1024
    body = first_events(provider, 3) + b"data: " + b"x" * size
    got = await answered(Scenario(body=body, headers=SSE, framing="chunked"), speech, provider, True)
    broken(got, speech)
    assert (len(got.body) > size) == (speech is provider)


async def test_what_never_begins_a_line_is_no_stream() -> None:
    scenario = Scenario(body=b"x" * (1024 * 1024), headers=SSE, framing="chunked", how="stall", cut_at=1024 * 1024)
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(True, "openai/m"))
    assert (got.status, json.loads(got.body)["error"]["code"]) == (502, "upstream_protocol")


async def test_an_error_of_a_crlf_stream_has_its_status_wherever_it_is_cut() -> None:
    body = b'data: {"error":{"message":"later","code":429}}\r\n\r\n'
    scenario = Scenario(body=body, headers=SSE, framing="chunked", split=[len(body) - 2], gap=0.02)
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        assert (await chat(gateway, OPENAI, OPENAI.request(True, "openai/m"))).status == 429


async def test_a_stream_under_another_name_is_one_all_the_same() -> None:
    scenario = Scenario(body=OPENAI.stream, headers=[("Content-Type", "text/plain")], framing="chunked")
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(True, "openai/m", stream_options={"include_usage": True}))
    assert (got.status, got.body) == (200, OPENAI.stream)


@every_lane
async def test_our_key_is_repeated_to_nobody(
    speech: Speech, provider: Speech, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key = f"sk-{provider.provider}-secret"
    body = json.dumps({"type": "error", "error": {"type": "x", "message": f"the key {key} is wrong", "code": "c"}})
    scenario = Scenario(status=401, body=body.encode(), headers=[("Content-Type", "application/json")])
    async with Evil(scenario) as evil, pillion(**provider.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(model=f"{provider.provider}/m"))
    assert got.status == 401
    assert key.encode() not in got.body
    assert "the key *** is wrong" in speech.error(got.body)["message"]
    assert key not in caplog.text
