"""Does a pillion that is told to read its configuration, to end, or to take sockets over, do so and refuse nobody?

pillion as a process. What a reload does to requests is in test_reload.py.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from proxy.config import handed_over, load
from proxy.edge.address import Address
from proxy.edge.handover import Handed, share
from proxy.edge.listening import Listener
from proxy.errors import ConfigError
from tests.client import OPENAI, ask, chat, client, spell
from tests.evil import Evil
from tests.gateway import pillion
from tests.test_cli import environ
from tests.test_reload import ANSWER, SLOW, begun, provider
from tests.test_serving import code, until_closed
from tests.waiting import soon

# What systemd does: the sockets become the descriptors from 3 on, and then the program takes our place.
LAUNCHER = """
import os, sys
for at, descriptor in enumerate(map(int, sys.argv[1].split(",")), 3):
    os.dup2(descriptor, at)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sys.argv[1].split(",")))}
os.execv(sys.executable, [sys.executable, "-m", "proxy", *sys.argv[2:]])
"""


@contextmanager
def bound(path: Path | None = None) -> Iterator[socket.socket]:
    """A socket that listens, and whose number is none of those that it is to become."""
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as sock:
        sock.bind(str(path) if path else ("127.0.0.1", 0))
        sock.listen(128)
        with socket.socket(fileno=os.dup(sock.fileno())) as far:
            yield far


def place(sock: socket.socket) -> Address:
    return Address(*sock.getsockname()[:2])


@asynccontextmanager
async def started(*socks: socket.socket, **more: str) -> AsyncIterator[Process]:
    """A pillion that these are handed over to, and its log."""
    numbers = [os.dup(sock.fileno()) for sock in socks]
    high = [number if number > 10 else os.dup(number) for number in numbers]
    words = ["-c", LAUNCHER, ",".join(map(str, high))] if socks else ["-m", "proxy"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        env=environ(**{"PILLION_LOG_FORMAT": "json", **more}),
        stdout=DEVNULL,
        stderr=PIPE,
        pass_fds=high,
    )
    for number in {*numbers, *high}:
        os.close(number)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def event(process: Process, name: str) -> dict[str, Any]:
    """The next line of the log that tells of it."""
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while line := await process.stderr.readline():
            said: dict[str, Any] = json.loads(line)
            if said["event"] == name:
                return said
    raise AssertionError(f"it ended without {name}")


def where(started_line: dict[str, Any]) -> Address:
    host, _, port = started_line["listen"].rpartition(":")
    return Address(host, int(port))


# --- signals ---------------------------------------------------------------------------------------------------------


async def test_sighup_brings_the_file_into_force_and_sigterm_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("{}")
    async with started(PILLION_CONFIG=str(file)) as process:
        at = where(await event(process, "started"))
        file.write_text("aliases: {a: echo/text}")
        process.send_signal(signal.SIGHUP)
        said = await event(process, "reloaded")
        assert (said["by"], said["level"]) == ("SIGHUP", "info")
        assert said["message"].split()[1].encode() in (await ask(at, "GET", "/metrics")).body
        assert (await chat(at, OPENAI, OPENAI.request(model="a"))).status == 200
        file.write_text("aliases: [")
        process.send_signal(signal.SIGHUP)
        assert str(file) in (await event(process, "reload_failed"))["message"]
        assert (await chat(at, OPENAI, OPENAI.request(model="a"))).status == 200
        process.terminate()
        assert await code(process) == 0


async def test_ten_sighups_and_a_sigterm_at_once_end_it_as_one_would() -> None:
    async with started() as process:
        await event(process, "started")
        for _ in range(10):
            process.send_signal(signal.SIGHUP)
        process.terminate()
        assert (await event(process, "draining"))["by"] == "SIGTERM"
        assert await code(process) == 0


async def test_a_sighup_while_pillion_ends_changes_nothing_and_hurries_nobody(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    async with Evil(SLOW) as evil:
        file.write_text(json.dumps({"providers": provider(evil)}))
        async with started(PILLION_CONFIG=str(file), PILLION_MAX_SIGTERM_DELAY="300") as process:
            at = where(await event(process, "started"))
            async with client(at) as one:
                start = await begun(one)
                process.terminate()
                await until_closed(at)
                process.send_signal(signal.SIGHUP)
                assert "no longer reads its configuration" in (await event(process, "reload_failed"))["message"]
                assert OPENAI.ends_whole(start + await one.rest())
            assert await code(process) == 0


# A process of its own session, whose terminal is its standard input.
IN_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "proxy"])
"""


async def test_who_closes_the_terminal_in_which_pillion_runs_ends_it() -> None:
    """To close it sends a SIGHUP as well."""
    ours, its = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        IN_A_TERMINAL,
        env=environ(PILLION_LOG_FORMAT="json"),
        stdin=its,
        stdout=DEVNULL,
        stderr=PIPE,
        start_new_session=True,
    )
    os.close(its)
    try:
        await event(process, "started")
        process.send_signal(signal.SIGHUP)
        await event(process, "reloaded")
        os.close(ours)
        assert (await event(process, "draining"))["by"] == "SIGHUP"
        assert await code(process) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


# --- sockets ---------------------------------------------------------------------------------------------------------


async def test_one_pillion_after_the_other_takes_the_same_socket_and_nobody_is_refused(tmp_path: Path) -> None:
    """Who comes while none runs waits for the next one. R4 of the reliability figures, with fewer restarts."""
    asked, more = list[int](), {"PILLION_STATE_DIR": str(tmp_path)}

    async def keep_asking(at: Address) -> None:
        while True:
            asked.append((await chat(at, OPENAI, OPENAI.request(model="echo/text"))).status)

    with bound() as sock:
        asking = asyncio.create_task(keep_asking(place(sock)))
        for _ in range(3):
            async with started(sock, **more) as process:
                assert where(await event(process, "started")).port == place(sock).port
                before = len(asked)
                await soon(lambda before=before: len(asked) >= before + 20 or asking.done())  # type: ignore[misc]
                process.terminate()
                assert await code(process) == 0
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    assert len(asked) >= 60
    assert set(asked) == {200}


async def test_who_has_just_come_when_pillion_begins_to_end_is_answered() -> None:
    async with pillion() as gateway, client(gateway) as one:
        await soon(lambda: gateway.app.server.connections == 1)
        gateway.app.retire()
        await one.send(spell("POST", OPENAI.path, OPENAI.request(model="echo/text"), OPENAI.headers))
        got = await one.answer()
        assert (got.status, got.header("connection")) == (200, "close")
        assert await one.rest() == b""


async def test_who_is_on_the_way_in_when_pillion_begins_to_end_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on, let_in = asyncio.Event(), Listener._let_in

    async def slowly(listener: Listener, sock: socket.socket) -> None:
        await may_go_on.wait()
        await let_in(listener, sock)

    monkeypatch.setattr(Listener, "_let_in", slowly)
    async with pillion() as gateway, client(gateway) as one:
        await soon(lambda: gateway.app.room.coming == 1)
        gateway.app.retire()
        left = asyncio.create_task(gateway.app.left())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not left.done()
        may_go_on.set()
        await one.send(spell("POST", OPENAI.path, OPENAI.request(model="echo/text"), OPENAI.headers))
        got = await one.answer()
        assert (got.status, got.header("connection")) == (200, "close")
        await left


async def test_a_restart_under_way_lets_what_is_being_answered_finish(tmp_path: Path) -> None:
    """The old one drains while the new one serves."""
    async with Evil(SLOW, ANSWER) as evil:
        with bound() as sock:
            more = OPENAI.environ(evil.url)
            async with (
                started(sock, **more, PILLION_STATE_DIR=str(tmp_path / "one")) as old,
                client(place(sock)) as one,
            ):
                await event(old, "started")
                start = await begun(one)
                async with started(sock, **more, PILLION_STATE_DIR=str(tmp_path / "two")) as new:
                    await event(new, "started")
                    old.terminate()
                    await event(old, "draining")
                    assert (await chat(place(sock), OPENAI, OPENAI.request(model="openai/m"))).status == 200
                    assert OPENAI.ends_whole(start + await one.until(b"0\r\n\r\n"))
                    assert await code(old) == 0
                    new.terminate()
                    assert await code(new) == 0


async def test_a_unix_socket_that_was_handed_over_stays_when_pillion_goes(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with bound(path) as sock:
        async with started(sock, PILLION_LISTEN=f"unix:{path}") as process:
            assert (await event(process, "started"))["listen"] == f"unix:{path}"
            process.terminate()
            assert await code(process) == 0
        assert path.exists()


async def test_what_is_no_socket_to_listen_at_is_told_of() -> None:
    with socket.socket() as sock, socket.socket(fileno=os.dup(sock.fileno())) as far:
        async with started(far, PILLION_LOG_FORMAT="human") as process:
            said = (await process.communicate())[1].decode()
    assert (await code(process), said) == (
        2,
        "pillion: descriptor 3 of LISTEN_FDS is not a listening stream socket\n",
    )


# --- what was said ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ({}, 0),
        ({"LISTEN_PID": "{pid}", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "LISTEN_PIDFDID": "7"}, 2),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, 0),
        ({"LISTEN_FDS": "2"}, 0),
    ],
)
def test_sockets_are_ours_that_are_meant_for_this_process(said: dict[str, str], count: int) -> None:
    environ: MutableMapping[str, str] = {name: value.format(pid=os.getpid()) for name, value in said.items()}
    assert handed_over({**environ}) == count
    handed_over(environ)
    assert environ == {}


@pytest.mark.parametrize("said", ["", "two", "-1", "²"])
def test_a_number_of_sockets_that_is_none_is_told_of(said: str) -> None:
    with pytest.raises(ConfigError, match="LISTEN_FDS must be a number"):
        handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": said})


# --- whose they are --------------------------------------------------------------------------------------------------


@contextmanager
def listening(*hosts: str) -> Iterator[list[Handed]]:
    """Sockets that listen at each of these."""
    handed = []
    for host in hosts:
        with closing(socket.create_server((host, 0))) as sock:
            handed.append(Handed(os.dup(sock.fileno())))
    try:
        yield handed
    finally:
        for each in handed:
            each.socket.close()


async def dealt(handed: list[Handed], *addresses: Address) -> list[list[int]]:
    """Which of them each address gets, by number."""
    order = [each.socket for each in handed]
    return [[order.index(sock) for sock in got] for got in await share(handed, addresses)]


async def test_an_address_gets_the_socket_that_is_bound_to_it() -> None:
    with listening("127.0.0.1", "127.0.0.1", "127.0.0.1") as handed:
        first, second, third = (each.address for each in handed)
        assert await dealt(handed, second, third, first) == [[1], [2], [0]]
        named = Address("localhost", third.port)
        assert await dealt(handed, named, Address("127.0.0.1", 1), Address("127.0.0.1", 2)) == [[2], [0], [1]]


async def test_the_others_go_to_whom_none_is_bound_for_in_their_order() -> None:
    with listening("127.0.0.1", "127.0.0.1") as handed:
        elsewhere, nowhere = Address("127.0.0.1", 1), Address("no.such.host.invalid", 1)
        assert await dealt(handed, elsewhere, handed[0].address) == [[1], [0]]
        assert await dealt(handed, elsewhere, elsewhere, elsewhere) == [[0], [1], []]
        assert await dealt(handed, nowhere, elsewhere) == [[0], [1]]
        assert await dealt([], elsewhere) == [[]]


async def test_one_too_many_is_told_of() -> None:
    with (
        listening("127.0.0.1", "127.0.0.1") as handed,
        pytest.raises(ConfigError, match="all listeners already have a socket"),
    ):
        await share(handed, [Address("127.0.0.1", 1)])


async def test_one_that_strangers_can_reach_is_no_substitute_for_loopback() -> None:
    with listening("0.0.0.0") as handed:
        with pytest.raises(
            ConfigError, match=r"configure 0\.0\.0\.0:\d+ itself, so that pillion checks who may use it"
        ):
            await share(handed, [Address("127.0.0.1", 7455)])
        assert await dealt(handed, Address("10.0.0.1", 7455)) == [[0]]
        assert await dealt(handed, Address("0.0.0.0", handed[0].address.port)) == [[0]]


def test_datagrams_are_nothing_to_listen_at() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sock,
        pytest.raises(ConfigError, match="not a listening stream socket"),
    ):
        Handed(os.dup(sock.fileno()))


def test_fewer_than_were_announced_is_told_of() -> None:
    with socket.socket() as sock:
        free = os.dup(sock.fileno())
        os.close(free)
        with pytest.raises(ConfigError, match=f"descriptor {free} of LISTEN_FDS is not a listening stream socket"):
            Handed(free)


def test_nobody_whom_we_start_has_them() -> None:
    with listening("127.0.0.1") as (handed,):
        assert not handed.socket.get_inheritable()


def test_the_variables_are_no_mistake() -> None:
    assert not load(environ={"LISTEN_FDS": "1", "LISTEN_PID": "1"}).warnings
