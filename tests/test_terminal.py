"""Does `pillion providers` say how they are, and what is wrong where it cannot?"""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from proxy.commands import do
from tests.client import OPENAI, chat
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion


async def typed(*words: str) -> int:
    """The exit code; in a thread, as the pillion that is asked runs on this loop."""
    return await asyncio.to_thread(do, ["providers", *words])


def listening(gateway: Gateway) -> list[str]:
    return ["--listen", f"{gateway.host}:{gateway.port}"]


async def test_people_read_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    failing = Scenario(status=500, body=b"no")
    async with Evil(failing) as evil, pillion(**OPENAI.environ(evil.url), PILLION_BREAKER_FAILURES="1") as gateway:
        await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
        assert await typed(*listening(gateway)) == 0
    head, openai, ollama, echo = capsys.readouterr().out.splitlines()
    assert head.split() == ["provider", "status", "latency", "checked", "keys", "targets", "host"]
    assert openai.split() == ["openai", "unknown", "-", "-", "1", "1", "open", evil.url.removeprefix("http://")]
    assert ollama.split()[:2] == ["ollama", "assumed"]
    assert echo.split()[:2] == ["echo", "well"]


async def test_programs_read_json(capsys: pytest.CaptureFixture[str]) -> None:
    async with pillion(OPENAI_API_KEY="x") as gateway:
        assert await typed("--json", *listening(gateway)) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == ["openai", "ollama", "echo"]


async def test_it_shows_a_key_and_asks_the_admin_listener(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"unix:{tmp_path}/admin.sock"
    async with pillion(PILLION_CLIENT_KEY="canary-0123456789", PILLION_ADMIN_ADDRESS=place) as gateway:
        assert await typed(*listening(gateway)) == 1
        err = capsys.readouterr().err
        assert "asks for a client key: set PILLION_CLIENT_KEY to one" in err
        assert "PILLION_ADMIN_ADDRESS" in err  # a key alone would be of no use
        monkeypatch.setenv("PILLION_CLIENT_KEY", "canary-0123456789")
        assert await typed(*listening(gateway)) == 1
        assert "PILLION_ADMIN_ADDRESS" in capsys.readouterr().err
        monkeypatch.delenv("PILLION_CLIENT_KEY")
        assert await typed("--admin-address", place) == 1
        assert "PILLION_ADMIN_ADDRESS" not in capsys.readouterr().err
        monkeypatch.setenv("PILLION_CLIENT_KEY", "canary-0123456789")
        assert await typed("--admin-address", place) == 0
    told = capsys.readouterr()
    assert "echo" in told.out
    assert "canary" not in told.out + told.err


def test_nobody_there_is_said_in_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        assert do(["providers", "--listen", place]) == 1
    assert capsys.readouterr().err == f"pillion: {place}: connection refused\n"
    assert do(["providers", "--listen", f"unix:{tmp_path}/none"]) == 1
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "answered: SSH-2.0-OpenSSH"),
        (b"", "remote end closed connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope", "is not a pillion of this version"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "is not a pillion of this version"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"data":[{"id":1}]}', "is not a pillion of this version"),
        (b'HTTP/1.1 500 No\r\nContent-Length: 14\r\n\r\n{"error":"bad"}', "is not a pillion of this version"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "answered: "),
    ],
)
async def test_who_is_no_pillion_is_told_apart(raw: bytes, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with Evil(Scenario(raw=raw, then="close") if raw else Scenario(cut_at=0, cut_of="wire")) as evil:
        code = await typed("--listen", evil.url.removeprefix("http://"))
    told = capsys.readouterr().err
    assert (code, told.count("\n")) == (1, 1)
    assert said in told
