"""Does the process end as it is told to, and does its exit code say how that went?

pillion as a process, against an upstream in this one. What a drain does to answers is in test_drain.py.
"""

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import main
from proxy.config import load
from proxy.edge.address import Address
from proxy.process import greeting as greeted_by
from proxy.process import serving as serving_by
from proxy.reports import probe
from proxy.store import CRASHED, ESTIMATED
from tests.client import OPENAI, Client, ask, client, spell
from tests.evil import Evil, Scenario
from tests.gateway import pillion
from tests.nowhere import free_port
from tests.test_cli import ROOT, address, serving
from tests.test_cli import environ as environment
from tests.test_drain import SILENT, SSE, draining, half, last_event
from tests.waiting import soon

SLOW = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked", split=[400], gap=0.3)

BUSY = 3.0  # seconds that a process may take besides on a machine that has more to do


async def code(process: Process) -> int:
    async with asyncio.timeout(20):
        await process.wait()
    assert process.returncode is not None
    return process.returncode


async def begun(one: Client) -> None:
    await one.send(spell("POST", OPENAI.path, OPENAI.request(stream=True, model="gpt")))
    assert (await one.head())[0] == 200
    assert await one.some()


async def not_ready(at: Address) -> None:
    async def says_so() -> bool:
        return (await ask(at, "GET", "/readiness")).status == 503

    await soon(says_so)


async def until_closed(at: Address) -> None:
    """Until nobody listens there."""

    def is_refused() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex((at.host, at.port)) != 0

    await soon(is_refused)


async def test_the_greeting_does_not_wait_for_whom_nobody_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something has Ollama's port, takes connections and says nothing."""
    monkeypatch.setattr(greeted_by, "GLANCE", 0.05)
    async with pillion() as gateway, asyncio.timeout(2):
        ollama = gateway.app.catalog.adapters["ollama"]
        monkeypatch.setattr(ollama, "health", asyncio.Event().wait)
        assert "ollama" not in await greeted_by.greeting(gateway.app)


async def test_a_stream_that_finishes_is_whole_and_the_code_is_0() -> None:
    async with Evil(SLOW) as evil, serving(**OPENAI.environ(evil.url)) as (process, greeting):
        at = address(greeting)
        async with client(at) as one:
            await begun(one)
            process.terminate()
            await until_closed(at)
            assert (await one.rest()).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert await code(process) == 0


async def test_a_stream_that_does_not_finish_is_told_so_and_the_code_is_3() -> None:
    async with (
        Evil(half(OPENAI)) as evil,
        serving(**OPENAI.environ(evil.url), PILLION_MAX_SIGTERM_DELAY="0.2") as (process, greeting),
        client(address(greeting)) as one,
    ):
        await begun(one)
        process.terminate()
        assert "shutting down" in OPENAI.error(last_event(await one.rest()))["message"]
        assert await code(process) == 3
        await evil.closed()


@pytest.mark.parametrize(
    ("delay", "second"), [("0", signal.SIGTERM), ("300", signal.SIGINT)], ids=["draining", "serving on"]
)
async def test_a_second_signal_waits_for_nobody(delay: str, second: signal.Signals, tmp_path: Path) -> None:
    """Except for the ledger."""
    delays = {"PILLION_MIN_SIGTERM_DELAY": delay, "PILLION_MAX_SIGTERM_DELAY": "300"}
    async with (
        Evil(SILENT) as evil,
        serving(**OPENAI.environ(evil.url), **delays, PILLION_STATE_DIR=str(tmp_path)) as (process, greeting),
        client(address(greeting)) as one,
    ):
        await one.send(spell("POST", OPENAI.path, OPENAI.request(model="gpt")))
        await evil.received()
        process.terminate()
        if delay == "0":
            await until_closed(address(greeting))
        else:
            await not_ready(address(greeting))
        signalled = time.monotonic()
        process.send_signal(second)
        assert (await one.answer()).status == 503
        assert await code(process) == 3
        assert time.monotonic() - signalled <= 1 + BUSY
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        rows = database.execute("SELECT error, flags FROM attempts").fetchall()
    assert [(error, flags & (ESTIMATED | CRASHED)) for error, flags in rows] == [("shutting_down", ESTIMATED)]


async def test_quitquitquit_ends_it_and_a_signal_after_it_does_not_hurry() -> None:
    more = {"PILLION_QUITQUITQUIT": "true", "PILLION_MAX_SIGTERM_DELAY": "300"}
    async with Evil(SLOW) as evil, serving(**OPENAI.environ(evil.url), **more) as (process, greeting):
        at = address(greeting)
        async with client(at) as one:
            await begun(one)
            assert (await ask(at, "POST", "/quitquitquit")).status == 200
            await until_closed(at)
            process.terminate()
            assert (await one.rest()).endswith(b"0\r\n\r\n")
        assert await code(process) == 0


# --- what it says of itself ------------------------------------------------------------------------------------------


async def heard(process: Process, stop: Callable[[Mapping[str, Any]], Awaitable[None]]) -> list[Mapping[str, Any]]:
    """The lines of its log: the first, what stopping it brings, and the rest."""
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            lines = [json.loads(await process.stderr.readline())]
            await stop(lines[0])
            lines += [json.loads(line) for line in (await process.stderr.read()).splitlines()]
        await code(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return lines


async def started(environ: Mapping[str, str], stdout: int = DEVNULL) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", env=environment(PILLION_LOG_FORMAT="json", **environ), stdout=stdout, stderr=PIPE
    )


@pytest.mark.parametrize("by", ["SIGTERM", "SIGINT", "/quitquitquit"])
async def test_machines_read_where_it_listens_who_is_there_and_how_it_ended(by: str, tmp_path: Path) -> None:
    async def stop(first: Mapping[str, Any]) -> None:
        if by.startswith("SIG"):
            process.send_signal(signal.Signals[by])
        else:
            host, _, port = first["listen"].rpartition(":")
            assert (await ask(Address(host, int(port)), "POST", by)).status == 200

    ours = {"LISTN": "x", "QUITQUITQUIT": "1", "METRICS_ADDRESS": f"unix:{tmp_path}/m"}
    environ = {"OPENAI_API_KEY": "k", **{f"PILLION_{name}": text for name, text in ours.items()}}
    process = await started(environ, stdout=PIPE)
    first, *lines = await heard(process, stop)
    assert process.stdout is not None
    assert await process.stdout.read() == b""  # that is for people
    assert first["event"] == "started"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", first["listen"])
    url = f"http://{first['listen']}"
    assert first["in_your_app"] == f"export OPENAI_BASE_URL={url}/v1 ANTHROPIC_BASE_URL={url}"
    assert (first["metrics"], first["providers"]) == (f"unix:{tmp_path}/m", ["openai", "echo"])
    assert (first["asks_for_keys"], first["message"].endswith("; no client key is needed")) == (False, True)
    assert [line["event"] for line in lines if line["level"] == "warning"] == ["unknown_variable"]
    events = [line for line in lines if line["event"] in ("draining", "stopped")]
    assert [line.get("by") for line in events] == [by, None]
    assert (events[1]["exit_code"], "cut" in events[1]) == (0, False)


@pytest.mark.parametrize("is_hurried", [False, True])
async def test_when_all_is_closed_threads_that_hang_have_a_moment_and_after_a_second_signal_less(
    is_hurried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that signal comes only now."""
    waits: list[tuple[float, int]] = []
    monkeypatch.setattr(serving_by, "_go_within", lambda seconds, code: waits.append((seconds, code)))
    serving_by._go_anyway(3, is_hurried)
    os.kill(os.getpid(), signal.SIGTERM)
    await soon(lambda: len(waits) == 2)
    assert waits == [(serving_by.HURRIED if is_hurried else serving_by.LAST_BREATH, 3), (serving_by.HURRIED, 3)]
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)


# A resolver of the loop's that never hears from its name servers hangs like this one, in a thread that all wait for.
HANGS = """
import sys, threading
from proxy import app, cli
async def close(self, close=app.App.close):
    await close(self)
    threading.Thread(target=threading.Event().wait).start()
app.App.close = close
sys.exit(cli.main(["serve"]))
"""


async def test_who_hangs_in_a_thread_does_not_keep_the_process() -> None:
    at_will = environment(PILLION_LISTEN="127.0.0.1:0", PILLION_LOG_FORMAT="json")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HANGS, env=at_will, stderr=PIPE)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            while b'"started"' not in (line := await process.stderr.readline()):
                assert line
            process.terminate()
            assert b'"stopped"' in await process.stderr.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_how_many_answers_were_cut_stands_in_fields() -> None:
    async def stop(first: Mapping[str, Any]) -> None:
        host, _, port = first["listen"].rpartition(":")
        async with client(Address(host, int(port))) as one:
            await begun(one)
            process.terminate()
            await one.rest()

    async with Evil(half(OPENAI)) as evil:
        process = await started({**OPENAI.environ(evil.url), "PILLION_MAX_SIGTERM_DELAY": "0.2"})
        lines = await heard(process, stop)
        await evil.closed()
    (cut,) = [line for line in lines if line["event"] == "cut"]
    assert (cut["level"], cut["cut"]) == ("warning", 1)
    assert (lines[-1]["event"], lines[-1]["exit_code"], lines[-1]["cut"]) == ("stopped", 3, 1)


@pytest.mark.parametrize("places", [">/dev/full", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", "| true"])
async def test_it_serves_whoever_hears_its_greeting(places: str) -> None:
    where = f"127.0.0.1:{free_port()}"
    words = f"{sys.executable} -m proxy & echo $! >&3; wait $!; echo $? >&3"
    command = f"{{ {words}; }} {places}" if places.startswith("|") else f"{words.replace(' &', f' {places} &', 1)}"
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"exec 3>&{writing}; {command}", env=environment(PILLION_LISTEN=where), pass_fds=[writing],
        stdout=DEVNULL, stderr=DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with open(reading, encoding="ascii") as told:  # noqa: ASYNC230  two lines
        number = int(await asyncio.to_thread(told.readline))
        assert await waited(there(PILLION_LISTEN=where)) == ""
        os.kill(number, signal.SIGTERM)
        assert await asyncio.to_thread(told.readline) == "0\n"
    await process.wait()


# --- wait and healthcheck --------------------------------------------------------------------------------------------


def there(**environ: str) -> Address:
    question = probe.plain(["healthcheck"], environ)
    assert question
    return question.where


async def healthy(at: Address) -> str:
    return await asyncio.to_thread(probe.healthcheck, at)


async def waited(at: Address, seconds: float = 20.0) -> str:
    return await asyncio.to_thread(probe.wait, at, seconds)


@pytest.mark.parametrize("place", ["127.0.0.1", "0.0.0.0", "[::1]", "localhost", "unix"])
@pytest.mark.parametrize("which", ["LISTEN", "METRICS_ADDRESS"])
async def test_who_is_up_is_found_up(which: str, place: str, tmp_path: Path) -> None:
    where = f"unix:{tmp_path}/s" if place == "unix" else f"{place}:{free_port()}"
    environ = {f"PILLION_{which}": where, "PILLION_ALLOW_OPEN": "1"}
    async with pillion(**environ):
        assert (await healthy(there(**environ)), await waited(there(**environ))) == ("", "")


async def test_who_is_not_up_is_not(tmp_path: Path) -> None:
    where = f"127.0.0.1:{free_port()}"
    assert await healthy(there(PILLION_LISTEN=where)) == f"{where}: connection refused"
    assert await waited(there(PILLION_LISTEN=where), 0.2) == f"{where}: connection refused"
    nowhere = f"unix:{tmp_path}/nobody"
    assert await healthy(there(PILLION_LISTEN=nowhere)) == f"{nowhere}: no such file or directory"


async def test_who_is_waited_for_may_come_later() -> None:
    where = f"127.0.0.1:{free_port()}"
    waiting = asyncio.create_task(waited(there(PILLION_LISTEN=where)))
    await asyncio.sleep(0.05)
    async with pillion(PILLION_LISTEN=where):
        assert await waiting == ""


async def test_who_drains_is_alive_and_not_ready() -> None:
    where = f"127.0.0.1:{free_port()}"
    async with pillion(PILLION_METRICS_ADDRESS=where) as gateway, draining(gateway, least=30):
        cluster = there(PILLION_METRICS_ADDRESS=where)
        assert await healthy(cluster) == ""
        assert await waited(cluster, 0) == f"{where} answered /readiness with status 503"


@pytest.mark.parametrize("said", [b"", b"garbage", b"\xff\xfe \xff\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n"])
async def test_somebody_else_at_our_address_is_not_us(said: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(say, "127.0.0.1", 0) as server:
        where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        what = "status 404" if b"404" in said else "something that is not HTTP"
        assert await healthy(there(PILLION_LISTEN=where)) == f"{where} answered /liveness with {what}"


async def test_somebody_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        assert await healthy(there(PILLION_LISTEN=where)) == f"{where}: timed out"


# What was typed, the variables, the file, and where that is.
PLAIN: list[tuple[str, dict[str, str], str | None, str]] = [
    ("", {}, None, "127.0.0.1:7455"),
    ("", {"LISTEN": "[::1]:80"}, None, "[::1]:80"),
    ("", {"LISTEN": ""}, "listen: 127.0.0.1:1", "127.0.0.1:1"),
    ("", {"LISTEN": "127.0.0.1:2"}, "listen: 127.0.0.1:1", "127.0.0.1:2"),
    ("--listen 127.0.0.1:3", {"LISTEN": "127.0.0.1:2"}, "listen: 127.0.0.1:1", "127.0.0.1:3"),
    ("--listen=unix:/run/s", {"METRICS_ADDRESS": "127.0.0.1:4"}, None, "127.0.0.1:4"),
    ("--metrics-address 127.0.0.1:5", {}, "metrics_address: 127.0.0.1:4", "127.0.0.1:5"),
    ("", {}, "strict: true\nlisten: 'unix:/run/s'  # there\n", "unix:/run/s"),
    ("", {}, 'listen: 127.0.0.1:6\nmetrics_address: "127.0.0.1:7"\n# listen: 127.0.0.1:8', "127.0.0.1:7"),
    ("", {}, "# nothing\n", "127.0.0.1:7455"),
]
INTRICATE: list[tuple[str, dict[str, str], str | None]] = [
    ("", {}, "listen: ${PLACE:-127.0.0.1:1}"),
    ("", {}, "{listen: 127.0.0.1:1}"),
    ("", {}, "'listen': 127.0.0.1:1"),
    ("", {}, "listen: &here 127.0.0.1:1\nmetrics_address: *here"),
    ("", {}, "listen:\n  127.0.0.1:1"),
    ("", {}, "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2"),
    ("", {}, "listen: nowhere"),
    ("", {"LISTEN": "nowhere"}, None),
    ("--strict", {}, None),
    ("--listen", {}, None),
    ("--listen --strict", {}, None),
    ("stray", {}, None),
]


def asked(words: str, variables: dict[str, str], text: str | None, folder: Path) -> tuple[list[str], dict[str, str]]:
    """What is typed, and the environment."""
    (folder / "config.yaml").write_text(text or "")
    environ = {f"PILLION_{name}": value for name, value in variables.items()}
    return words.split(), environ if text is None else {**environ, "PILLION_CONFIG": str(folder / "config.yaml")}


@pytest.mark.parametrize(("words", "variables", "text", "where"), PLAIN)
def test_what_is_put_plainly_is_read_as_the_whole_configuration_would_be(
    words: str, variables: dict[str, str], text: str | None, where: str, tmp_path: Path
) -> None:
    typed, environ = asked(words, variables, text, tmp_path)
    question = probe.plain(["healthcheck", *typed], environ)
    flags = {f"PILLION_{name.upper()}": value for name, value in (probe._flags(typed) or {}).items()}
    whole = load(environ=environ, flags=flags)
    assert question
    assert str(question.where) == where == str(whole.metrics_address or whole.listen)


@pytest.mark.parametrize(("words", "variables", "text"), INTRICATE)
def test_what_is_not_is_left_to_the_whole_configuration(
    words: str, variables: dict[str, str], text: str | None, tmp_path: Path
) -> None:
    typed, environ = asked(words, variables, text, tmp_path)
    assert probe.plain(["healthcheck", *typed], environ) is None


@pytest.mark.parametrize("data", [None, b"listen: \xff"])
def test_a_file_that_cannot_be_read_is_left_to_who_says_why(data: bytes | None, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "c").write_bytes(data)
    assert probe.plain(["healthcheck", "--config", str(tmp_path / "c")], {}) is None


def test_the_file_of_this_repository_is_plain() -> None:
    """It is what the image brings."""
    assert probe.plain(["healthcheck", "--config", str(ROOT / "config.yaml")], {})


@pytest.mark.parametrize(
    "words",
    ["", "serve", "check", "wait --timeout soon", "wait --timeout", "healthcheck -h", "version", "wait --tim 1"],
)
def test_what_is_no_plain_question_is_none(words: str) -> None:
    assert probe.plain(words.split(), {}) is None


def test_a_question_may_say_for_how_long() -> None:
    assert probe.plain(["wait", "--timeout", "2.5"], {}) == ("wait", ("127.0.0.1", 7455, ""), 2.5)
    assert probe.plain(["wait"], {"PILLION_WAIT_TIMEOUT": "3"}) == ("wait", ("127.0.0.1", 7455, ""), 3.0)
    assert probe.plain(["wait", "--timeout", "2"], {"PILLION_WAIT_TIMEOUT": "3"}) == (
        "wait",
        ("127.0.0.1", 7455, ""),
        2,
    )
    assert probe.plain(["wait"], {"PILLION_WAIT_TIMEOUT": "soon"}) is None


def test_what_is_intricate_is_asked_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"127.0.0.1:{free_port()}"
    (tmp_path / "config.yaml").write_text(f"listen: ${{NOT_SET:-{where}}}")
    for command in ("healthcheck", "wait --timeout 0"):
        assert main([*command.split(), "--config", str(tmp_path / "config.yaml")]) == 1
        assert capsys.readouterr().err == f"pillion: {where}: connection refused\n"


@pytest.mark.parametrize("seconds", ["-1", "soon", "nan", "inf"])
def test_a_timeout_is_a_number_of_seconds(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["wait", "--timeout", seconds])
    assert "argument --timeout" in capsys.readouterr().err
