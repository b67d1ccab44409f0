"""What does a real Redis do to those who ask it, and what can be done to it?

A server of its own for each test, on a free port of the loopback, with nothing on disk: what it forgets is forgotten.
"""

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis as Client
from redis.exceptions import RedisError

PATIENCE = 10.0  # seconds for a server to come up
POLL = 0.01


class Server:
    """`url` holds the password."""

    def __init__(self, folder: str, password: str = "") -> None:
        self.port = _free_port()
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/3"
        self._args = [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", folder, "--enable-debug-command", "yes", "--loglevel", "warning",
            *(["--requirepass", password] if password else []),
        ]  # fmt: skip
        self._log = Path(folder, "log")
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._launch()
        await until(self._answers)

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.send_signal(signal.SIGCONT)
            await asyncio.to_thread(process.wait)

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    async def do(self, *words: str | float) -> Any:
        """A command, from a connection of its own."""
        client = Client.from_url(self.url, decode_responses=True)
        try:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]
        finally:
            await client.aclose()

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._args, stdout=log, stderr=log)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    async def _answers(self) -> bool:
        try:
            return bool(await self.do("PING"))
        except (OSError, RedisError):
            return False


@asynccontextmanager
async def redis(password: str = "") -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="pillion-redis-") as folder:
        server = Server(folder, password)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()


async def until(is_so: Callable[[], object]) -> None:
    """Waits for it, and for its truth where it must be awaited."""
    async with asyncio.timeout(PATIENCE):
        while True:
            said = is_so()
            if await said if asyncio.iscoroutine(said) else said:
                return
            await asyncio.sleep(POLL)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
