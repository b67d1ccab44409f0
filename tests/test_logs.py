"""Does each request leave one line that tells what came of it, and does nothing ever wait for whoever reads them?"""

import asyncio
import fcntl
import json
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
from msgspec import inspect

from proxy import logs
from proxy.canon import Iteration, Usage
from proxy.config import Log as Wish
from proxy.config import Secret
from proxy.config.meant import meant
from proxy.config.schema import File
from proxy.errors import Down, GatewayError
from proxy.logs import SEARCHED, Handler, Line, Log, Note, as_json, as_words, complain, visible
from proxy.logs import writer as writing
from proxy.logs.redaction import Redaction
from proxy.logs.writer import Writer
from proxy.middleware.journal import Entry, Journal, Tokens
from proxy.middleware.witness import Witness
from proxy.ports import Call, Reply
from proxy.reports.explain import Explain
from proxy.reports.sight import Sight
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Speech, ask, chat, client, lane_name, spell
from tests.evil import Evil, Scenario
from tests.gateway import telling
from tests.test_metrics import targeted
from tests.waiting import soon

JSON = [("Content-Type", "application/json")]
SSE = [("Content-Type", "text/event-stream")]
PATIENCE = 5.0  # seconds
FILE = cast(inspect.StructType, inspect.type_info(File))
Fields = dict[str, Any]


class Kept:
    """A sink that keeps the lines."""

    lost = 0

    def __init__(self) -> None:
        self.data = b""

    def write(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        self.data += line

    def close(self) -> None: ...

    @property
    def lines(self) -> list[Fields]:
        return [json.loads(line) for line in self.data.splitlines()]


def log_to(kept: Kept, level: str = "info", hide: Callable[[str], str] = str) -> Log:
    return Log(level, as_json, kept, hide)


async def told(kept: Kept, count: int = 1) -> list[Fields]:
    """The lines, as soon as there are as many: a request's comes when its answer has gone out."""
    await soon(lambda: len(kept.lines) >= count)
    assert len(kept.lines) == count
    return kept.lines


# --- a request's line ------------------------------------------------------------------------------------------------


async def test_what_ran_beside_an_answer_counts_as_it_does_in_the_ledger() -> None:
    """For the log and explain: a compaction, which the answer's own counts leave out."""
    kept, explain, asked = Kept(), Explain(10, str), targeted()
    asked.usage = Usage(input=5, output=2, beside=(Iteration("", Usage(input=60, output=7)),))

    def shown(sight: Sight) -> None:
        sight.was_shown = True

    witness = Witness(Journal(log_to(kept)).ended, explain.keep, at_once=[shown])

    async def answer(call: Call) -> Reply:
        return Reply(200, [], b"")

    for ending in (await witness(asked, answer)).endings:
        ending(None)
    await asyncio.sleep(0)  # what ends in one turn of the loop is told of in the next
    (line,) = kept.lines
    assert (line["tokens"]["input"], line["tokens"]["output"]) == (65, 9)
    asked.rest = asked.id
    explained = await explain.tell(lambda call: None, asked)
    assert isinstance(explained.body, bytes)
    assert json.loads(explained.body)["usage"]["input"] == 65


@pytest.mark.parametrize("kind", ["body", "place", "limit"])
async def test_who_waits_for_the_app_or_a_turn_is_not_slow(kind: str) -> None:
    """A body that comes slowly, a place among `max_requests`, and a limit whose queue is awaited."""
    settings: dict[str, dict[str, str]] = {
        "body": {},
        "place": {"PILLION_OVERLOAD_MAX_REQUESTS": "1"},
        "limit": {"PILLION_LIMITS_CLIENT_CONCURRENT": "1", "PILLION_LIMITS_QUEUE_SECONDS": "20"},
    }
    kept, message = Kept(), spell("POST", OPENAI.path, OPENAI.request(model="echo"))
    async with telling(log_to(kept), settings[kind]) as gateway, client(gateway) as other, client(gateway) as one:
        under_way, end = gateway.app.lasting.active, len(message)
        if kind == "body":
            end -= 1
        else:
            await other.send(spell("POST", OPENAI.path, OPENAI.request(True, "echo/text+stall-3")))
            await other.until(b"data: ")
        before = len(under_way)
        await one.send(message[:end])
        await soon(lambda: len(under_way) == before + 1)
        await asyncio.sleep(0.3)
        other.leave("rst")
        await one.send(message[end:])
        got = await one.answer()
        lines = await told(kept, 1 + before)
        (line,) = (line for line in lines if line["id"] == got.header("x-pillion-request-id"))
        explained = json.loads((await ask(gateway, "GET", f"/v1/explain/{line['id']}")).body)
    assert got.status == 200
    assert line["delayed_ms"] > 250
    assert explained["seconds"]["delayed"] == pytest.approx(line["delayed_ms"] / 1000, abs=1e-4)
    assert line["overhead_ms"] < line["first_byte_ms"] - line["delayed_ms"] + 0.01
    assert float(got.header("x-pillion-overhead-ms") or "inf") < line["first_byte_ms"] - 250


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_request_is_one_line_that_tells_all_of_it(speech: Speech, stream: bool) -> None:
    body = speech.stream if stream else speech.whole
    headers = [*(SSE if stream else JSON), ("x-request-id", "up-1")]
    answer = Scenario(body=body, headers=headers, split=[300], gap=0.01)  # else a stream may come, and go out, whole
    kept = Kept()
    request = speech.request(stream, f"{speech.provider}/m")
    async with Evil(answer) as evil, telling(log_to(kept), speech.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, request)
        (line,) = await told(kept)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    expected = {
        "level": "info",
        "event": "request",
        "id": got.header("x-pillion-request-id"),
        "upstream_id": "up-1",
        "operation": "chat",
        "dialect": speech.name,
        "provider": speech.provider,
        "model": f"{speech.provider}/m",
        "model_sent": "m",
        "model_answered": {"openai": "gpt-real", "anthropic": "claude-real"}[speech.provider],
        "status": 200,
        "attempts": 1,
        "bytes_in": len(request),
        "bytes_out": len(got.body),
    }
    assert {name: line.get(name) for name in expected} == expected
    assert line.get("stream", False) is stream
    if not (stream and speech is OPENAI):  # that stream says no usage
        assert line["tokens"] == {"input": 5, "output": 2}
    assert line["duration_ms"] >= line["first_byte_ms"] >= line["upstream_ms"] > 0
    ours = line["first_byte_ms"] - line["upstream_ms"] - line.get("delayed_ms", 0)
    assert line["overhead_ms"] == pytest.approx(ours, abs=0.01)
    assert {"error", "code", "message", "ended_by", "dropped"}.isdisjoint(line)
    assert "Grüße".encode() not in kept.data
    assert b"Gr\\u" not in kept.data


async def test_what_was_dropped_is_named_and_so_is_the_clients_key() -> None:
    kept = Kept()
    async with Evil(Scenario(body=ANTHROPIC.whole, headers=JSON)) as evil:
        environ = {"PILLION_CLIENT_KEY": "right-canary", **ANTHROPIC.environ(evil.url)}
        async with telling(log_to(kept), environ) as gateway:
            await chat(gateway, OPENAI, OPENAI.request(model="claude", seed=1), [("x-api-key", "right-canary")])
            (line,) = await told(kept)
    assert (line["dropped"], line["client"], line["dialect"]) == (["seed"], "default", "openai_chat")
    assert b"canary" not in kept.data


async def test_a_request_that_fails_is_one_line_as_well() -> None:
    kept = Kept()
    async with telling(log_to(kept), {"PILLION_CLIENT_KEY": "right-canary"}) as gateway:
        echo = OPENAI.request(model="echo/text")
        await ask(gateway, "POST", f"{OPENAI.path}?key=wrong-canary", echo, [("x-api-key", "wrong-canary")])
        await ask(gateway, "POST", f"{OPENAI.path}?key=right-canary", b"{")
        await ask(gateway, "POST", f"{OPENAI.path}?key=right-canary", OPENAI.request(model="nobody/x"))
        lines = await told(kept, 3)
    assert [(line["status"], line["error"], line["code"]) for line in lines] == [
        (401, "authentication", "invalid_api_key"),
        (400, "invalid_request", "invalid_json"),
        (404, "invalid_request", "model_not_found"),
    ]
    assert lines[2]["param"] == "model"
    assert lines[2]["message"].startswith("The model 'nobody/x' is not known.")
    assert {line["level"] for line in lines} == {"info"}
    assert b"canary" not in kept.data


@pytest.mark.parametrize(
    ("scenario", "stream", "ended_by", "code"),
    [
        (Scenario(status=503, body=b"no"), False, None, "upstream_error"),
        (Scenario(body=OPENAI.stream, headers=SSE, framing="chunked", cut_at=400), True, "upstream", "upstream_cut"),
    ],
    ids=["before the head", "in the middle"],
)
async def test_what_a_provider_does_to_us_is_a_warning(
    scenario: Scenario, stream: bool, ended_by: str | None, code: str
) -> None:
    kept = Kept()
    async with Evil(scenario) as evil, telling(log_to(kept), OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(stream, "openai/m"))
        (line,) = await told(kept)
    assert (line["level"], line["code"], line.get("ended_by")) == ("warning", code, ended_by)
    assert line["status"] == (200 if stream else 503)
    assert line["message"]
    assert line.get("bytes_out", 0) == (len(got.body) if stream else 0)  # the stream's last words are ours


@pytest.mark.parametrize("when", ["before the head", "in the middle"])
async def test_a_client_that_leaves_is_said_to_have_ended_it(when: str) -> None:
    kept = Kept()
    stalls = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked", cut_at=400, how="stall")
    silent = Scenario(body=OPENAI.stream, headers=SSE, cut_of="wire", cut_at=0, how="stall")
    is_live = when == "in the middle"
    async with Evil(stalls if is_live else silent) as evil, telling(log_to(kept), OPENAI.environ(evil.url)) as gateway:
        async with client(gateway) as one:
            await one.send(spell("POST", OPENAI.path, OPENAI.request(True, "openai/m")))
            await (one.head() if is_live else evil.received())
        (line,) = await told(kept)
    assert (line["ended_by"], line["code"], line["level"]) == ("client", "client_gone", "info")
    assert line["status"] == (200 if is_live else 499)


async def test_an_answer_that_we_cut_is_said_to_be_cut_by_us() -> None:
    kept = Kept()
    silent = Scenario(body=OPENAI.whole, headers=JSON, cut_of="wire", cut_at=0, how="stall")
    async with Evil(silent) as evil, telling(log_to(kept), OPENAI.environ(evil.url)) as gateway, client(gateway) as one:
        await one.send(spell("POST", OPENAI.path, OPENAI.request(model="openai/m")))
        await evil.received()
        gateway.app.cut(GatewayError("We go.", status=503, code="shutting_down"))
        assert (await one.answer()).status == 503
        (line,) = await told(kept)
    assert (line["status"], line["code"], line.get("ended_by")) == (503, "shutting_down", None)


async def test_a_bug_of_ours_is_an_error() -> None:
    kept = Kept()

    async def broken(call: object) -> Reply:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await Witness(Journal(log_to(kept)).ended)(targeted(), broken)
    await asyncio.sleep(0)
    assert [(line["level"], line["status"], line["code"]) for line in kept.lines] == [("error", 500, "internal_error")]


async def test_what_others_wrote_is_cut_to_length_and_without_line_ends() -> None:
    kept = Kept()
    call = targeted("m\nx" * 500)
    call.upstream_id = "\x1b[31m" + "u" * 1000
    call.dropped = tuple(f"f\udce9{number}" for number in range(100))
    error = Down("first line\nsecond line\x9b" + "x" * 10_000, code="c\r\n" * 1000, param="p" * 10_000)

    async def broken(call: object) -> Reply:
        raise error

    with pytest.raises(Down):
        await Witness(Journal(log_to(kept)).ended)(call, broken)
    await asyncio.sleep(0)
    assert len(kept.data) < 6000
    assert kept.data.count(b"\n") == 1
    (line,) = kept.lines
    assert line["message"].startswith("first line\\nsecond line\\x9bxx")
    assert line["upstream_id"].startswith("\\x1b[31m")
    assert (line["dropped"][0], line["dropped"][50:]) == ("f\\udce90", ["and 50 more"])
    assert kept.data.decode().isprintable() is False
    assert kept.data.decode().removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    "event", ["reload_failed", "failed", "unknown_variable", "doubtful_setting", "log", "target_resting"]
)
def test_a_mistake_in_the_configuration_names_all_the_keys_that_there_are(
    event: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told, kept = f"/{'a' * 200}/config.yaml:1: zzz: {meant('zzz', FILE, FILE)}", Kept()
    if event == "failed":
        complain([told], "json")
        said = json.loads(capsys.readouterr().err)["message"]
    else:
        record = logging.LogRecord("pillion", logging.ERROR, "", 0, "%s", (told,), None)
        record.event = event
        Handler(log_to(kept)).emit(record)
        said = kept.lines[0]["message"]
    assert (said == told) == (event not in ("log", "target_resting"))


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
async def test_the_level_decides_what_is_worth_a_line(level: str, count: int) -> None:
    kept = Kept()
    async with telling(log_to(kept, level), {}) as gateway:
        await ask(gateway, "GET", "/readiness")  # a machine asks that every few seconds
        await chat(gateway, OPENAI, OPENAI.request(model="echo/text"))
        await chat(gateway, OPENAI, OPENAI.request(model="echo/error-503"))
    assert len(kept.lines) == count


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/openai/m", "/v1/providers/openai/health"])
async def test_a_provider_that_is_slow_to_list_its_models_is_not_our_time(path: str) -> None:
    kept = Kept()
    slow = Scenario(body=b'{"object": "list", "data": [{"id": "m", "object": "model"}]}', headers=JSON, delay_body=0.1)
    async with Evil(slow, slow) as evil, telling(log_to(kept), OPENAI.environ(evil.url)) as gateway:
        assert (await ask(gateway, "GET", path)).status == 200
        (line,) = await told(kept)
    assert line["upstream_ms"] >= 100 > line["overhead_ms"]


@pytest.mark.parametrize(
    ("path", "operation"), [("/v1/models", "models"), ("/v1/providers", "providers"), ("/v1/embeddings", "missing")]
)
async def test_other_routes_have_their_line_too(path: str, operation: str) -> None:
    kept = Kept()
    async with telling(log_to(kept), {}) as gateway:
        got = await ask(gateway, "GET", path)
        (line,) = await told(kept)
    assert (line["status"], line["operation"]) == (got.status, operation)


# --- what is said in words -------------------------------------------------------------------------------------------


@pytest.fixture
def spoken() -> Iterator[tuple[logging.Logger, Kept]]:
    """A logger whose words become lines."""
    kept = Kept()
    handler = Handler(log_to(kept, hide=Redaction([Secret("sk-canary-0123")])))
    logger = logging.getLogger("some.library")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, kept
    logger.removeHandler(handler)
    logger.propagate = True


def test_what_is_logged_elsewhere_is_a_line(spoken: tuple[logging.Logger, Kept]) -> None:
    logger, kept = spoken
    logger.warning("%d of\n%s", 2, "sk-canary-0123")
    (line,) = kept.lines
    assert (line["event"], line["level"], line["logger"], line["message"]) == (
        "log", "warning", "some.library", "2 of\\n***"
    )  # fmt: skip


def test_an_event_may_have_a_name_and_fields(spoken: tuple[logging.Logger, Kept]) -> None:
    logger, kept = spoken
    logger.critical("no", extra={"event": "refused", "id": "req_1", "status": 404, "error": "e", "code": "c"})
    (line,) = kept.lines
    assert (line["event"], line["level"], line["id"], line["status"]) == ("refused", "error", "req_1", 404)


def test_a_trace_is_told_without_secrets(spoken: tuple[logging.Logger, Kept]) -> None:
    logger, kept = spoken
    try:
        raise ValueError("sk-canary-0123 is no number")
    except ValueError:
        logger.exception("failed")
    (line,) = kept.lines
    assert line["exception"].endswith("ValueError: *** is no number\\n")
    assert b"canary" not in kept.data


def test_what_cannot_be_read_is_a_line_and_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    kept = Kept()
    record = logging.makeLogRecord({"name": "x", "msg": "%d", "args": ("sk-canary-0123",)})
    Handler(log_to(kept)).handle(record)
    (line,) = kept.lines
    assert line["message"] == "(unreadable)"
    assert capfd.readouterr() == ("", "")


# --- how it looks ----------------------------------------------------------------------------------------------------

ENTRY = Entry(
    time="T", level="info", event="request", id="r", operation="chat", dialect="d", status=200, duration_ms=1.5,
    model="a b", tokens=Tokens(5, output=2), dropped=["seed", "top_k"], message="It went so.",
)  # fmt: skip


def test_people_read_fields_by_name_and_the_message_last() -> None:
    assert as_words(ENTRY) == (
        b'T INFO    request id=r operation=chat dialect=d model="a b" status=200 dropped=seed,top_k'
        b" tokens.input=5 tokens.output=2 duration_ms=1.5 It went so.\n"
    )


@pytest.mark.parametrize("forged", ['echo/x" status=200 error=none y="', "a=b,status=500", 'a"b', "a b", "a\u2028b"])
def test_no_name_makes_a_field_of_its_own(forged: str) -> None:
    entry = Entry(time="T", level="info", event="request", id="r", operation="chat", dialect="d", model=forged,
                  status=400, duration_ms=1.5)  # fmt: skip
    said = as_words(entry).decode()
    before, after = "T INFO    request id=r operation=chat dialect=d model=", " status=400 duration_ms=1.5\n"
    assert said.startswith(before)
    assert said.endswith(after)
    assert json.loads(said.removeprefix(before).removesuffix(after)) == forged


def test_people_read_a_trace_in_lines_of_its_own() -> None:
    note = Note(time="T", level="error", event="log", message="failed", exception="one\\n two\\n")
    assert as_words(note) == b"T ERROR   log failed\n    | one\n    |  two\n"


def test_machines_read_json_and_what_is_empty_is_left_out() -> None:
    assert list(json.loads(as_json(Note(time="T", level="info", event="log")))) == ["time", "level", "event"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grün 日本", "grün 日本"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b]0;title\x07\x7f\x9b", "\\x1b]0;title\\x07\\x7f\\x9b"),
        ("\udce9\u2028\u202e", "\\udce9\\u2028\\u202e"),
        ("x" * 22, "x" * 20 + "[2 more]"),
    ],
    ids=ascii,
)
def test_what_is_not_printable_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text, 20) == shown


def test_secrets_are_looked_for_where_half_of_one_could_show_and_not_through_megabytes() -> None:
    read: list[int] = []

    def hide(text: str) -> str:
        read.append(len(text))
        return text.replace("secret", "***")

    assert log_to(Kept(), hide=hide).clean("secret" * 1024 * 1024, 20).startswith("*" * 20)
    assert max(read) <= SEARCHED


# --- where it goes ---------------------------------------------------------------------------------------------------


class Pipe:
    """What is written to, and whoever reads it; a pipe as small as it can be, if no other is given."""

    def __init__(self, ends: tuple[int, int] | None = None) -> None:
        self.reading, self.writing = ends or os.pipe()
        self.size = 0 if ends else fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, 4096)

    def fill(self) -> None:
        """Nothing more goes in."""
        os.set_blocking(self.writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self.writing, b"." * self.size)
        os.set_blocking(self.writing, True)

    def read(self) -> bytes:
        return os.read(self.reading, 1 << 20)

    def read_until(self, mark: bytes) -> bytes:
        data = b""
        while mark not in data:
            data += self.read()
        return data

    def close(self) -> None:
        for descriptor in (self.reading, self.writing):
            with suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def terminal() -> Iterator[Pipe]:
    terminal = Pipe(os.openpty())
    yield terminal
    terminal.close()


def lost_line(count: int) -> bytes:
    return b"lost %d\n" % count


def test_lines_that_gather_are_one_write(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    write = os.write

    def watched(descriptor: int, data: Any) -> int:
        writes.append(bytes(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", watched)
    monkeypatch.setattr(writing, "GATHER", 60)  # only its end lets this writer go on
    writer = Writer(pipe.writing, lost_line)
    writer.write(b"0\n")
    while writer._news.is_set():  # until the thread has seen that one
        time.sleep(0.001)
    for number in range(1, 100):
        writer.write(b"%d\n" % number)
    writer.close()
    assert writes == [b"".join(b"%d\n" % number for number in range(100))]


def test_a_line_need_not_wait_for_others(pipe: Pipe) -> None:
    writer = Writer(pipe.writing, lost_line)
    writer.write(b"one\n")
    assert pipe.read_until(b"\n") == b"one\n"
    writer.write(b"two\n")
    assert pipe.read_until(b"\n") == b"two\n"
    writer.close()
    assert not writer._thread.is_alive()


def test_nobody_waits_for_a_full_pipe_and_what_is_lost_is_told(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LINES_HELD", 10)
    pipe.fill()
    writer = Writer(pipe.writing, lost_line)
    for number in range(1000):  # if one of these waited, it would do so for ever
        writer.write(b"%d\n" % number)
    assert writer.lost >= 1000 - 2 * 10  # ten are held, and ten may be in the write that does not end
    data = pipe.read_until(b"lost ")
    data += b"" if data.endswith(b"\n") else pipe.read_until(b"\n")
    assert data.endswith(b"lost %d\n" % writer.lost)
    writer.close()


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writing, False)
    writer = Writer(pipe.writing, lost_line)
    long = b"x" * (8 * pipe.size) + b"\n"
    writer.write(long)
    assert pipe.read_until(b"\n") == long
    writer.close()


def test_a_reader_that_is_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    os.close(pipe.reading)
    writer = Writer(pipe.writing, lost_line)
    writer.write(b"one\n")
    writer.close()
    assert writer.lost == 1


def test_its_end_does_not_wait_for_ever(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "FAREWELL", 0.05)
    pipe.fill()
    writer = Writer(pipe.writing, lost_line)
    writer.write(b"one\n")
    writer.close()
    assert pipe.read_until(b"one\n")  # so that the thread ends as well


async def test_a_gateway_goes_on_while_nobody_reads_its_log(pipe: Pipe) -> None:
    pipe.fill()
    writer = Writer(pipe.writing, lost_line)
    async with telling(Log("info", as_json, writer, str), {}) as gateway:
        for _ in range(3):
            assert (await chat(gateway, OPENAI, OPENAI.request(model="echo/text"))).status == 200
    data = await asyncio.to_thread(pipe.read_until, b"\n")
    writer.close()
    assert data.count(b'"status":200') == 3


# --- a process's log -------------------------------------------------------------------------------------------------


@pytest.fixture
def restored() -> Iterator[None]:
    """The standard library's logging is as it was, afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("pillion")
    handlers, levels = root.handlers, (root.level, ours.level)
    root.handlers = []
    yield
    logging.captureWarnings(False)
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.mark.parametrize(("form", "first"), [("json", b"{"), ("auto", b"{"), ("human", b"2")])
@pytest.mark.usefixtures("restored")
def test_all_that_is_logged_goes_to_standard_error(
    pipe: Pipe, form: Any, first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", os.fdopen(pipe.writing, "w", closefd=False))
    log = logs.start(Wish(format=form), Redaction([]))
    logging.getLogger("pillion").info("ours")
    logging.getLogger("aiohttp.client").info("nothing that anybody needs to know")
    logging.getLogger("aiohttp.client").warning("theirs")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    log.sink.close()
    lines = pipe.read().splitlines()
    assert [line[:1] for line in lines] == [first] * 3
    assert [word for word, line in zip((b"ours", b"theirs", b"old"), lines, strict=True) if word in line] == [
        b"ours", b"theirs", b"old"
    ]  # fmt: skip


@pytest.mark.parametrize(("form", "for_people"), [("auto", True), ("human", True), ("json", False)])
@pytest.mark.usefixtures("restored")
def test_a_terminal_gets_lines_for_people(
    terminal: Pipe, form: Any, for_people: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both the log's own, and those that say why pillion does not start."""
    monkeypatch.setattr(sys, "stderr", os.fdopen(terminal.writing, "w", buffering=1, closefd=False))
    logs.complain(["no"], form)
    log = logs.start(Wish(format=form), Redaction([]))
    logging.getLogger("pillion").info("ours")
    log.sink.close()
    complaint, line = terminal.read_until(b"ours").splitlines()[:2]
    assert (complaint == b"pillion: no", b" INFO " in line) == (for_people, for_people)
    assert (complaint[:1] == b"{", line[:1] == b"{") == (not for_people, not for_people)


def test_lost_lines_have_a_line() -> None:
    line: Line = logs._lost(7)
    assert (line.level, line.event) == ("warning", "log_lost")
    assert b"7 log lines were lost" in as_json(line)
