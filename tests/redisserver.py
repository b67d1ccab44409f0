"""What does a real Redis do to those who ask it, and what can be done to it?

A server of its own for each test, on a free port of the loopback, with nothing on disk: what it forgets is forgotten.
"""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis as Client
from redis.exceptions import RedisError

from tests.evil import authority
from tests.nowhere import free_port
from tests.waiting import soon


class Server:
    """`url` holds the password. `tls`: it speaks nothing else, and its certificate is `authority`'s, for `name`."""

    def __init__(self, folder: str, password: str = "", tls: bool = False, name: str = "127.0.0.1") -> None:
        self.port = free_port()
        place = f"{f':{password}@' if password else ''}127.0.0.1:{self.port}/3"
        self.url = f"rediss://{place}?ssl_ca_certs={folder}/ca.pem" if tls else f"redis://{place}"
        self._own_url = f"rediss://{place}?ssl_cert_reqs=none" if tls else self.url
        self._args = [
            "redis-server", "--tls-port" if tls else "--port", str(self.port), "--bind", "127.0.0.1", "--dir", folder,
            "--save", "", "--appendonly", "no", "--enable-debug-command", "yes", "--loglevel", "warning",
            *(["--requirepass", password] if password else []),
            *(_certified(folder, name) if tls else []),
        ]  # fmt: skip
        self._log = Path(folder, "log")
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._launch()
        await soon(self._answers)

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
        client = Client.from_url(self._own_url, decode_responses=True)
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
async def redis(password: str = "", tls: bool = False, name: str = "127.0.0.1") -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="pillion-redis-") as folder:
        server = Server(folder, password, tls, name)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()


def _certified(folder: str, name: str) -> list[str]:
    """Redis's own arguments, and the files that they name."""
    ca, key, certificate = (f"{folder}/{file}.pem" for file in ("ca", "key", "certificate"))
    issued = authority().issue_cert(name)
    authority().cert_pem.write_to_path(ca)
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca]
    return ["--port", "0", *files, "--tls-auth-clients", "no"]
