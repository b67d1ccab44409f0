"""Which addresses cannot be reached, and why not?"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trustme

from tests.evil import Evil


def free_port() -> int:
    """One of the loopback that nobody has."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def refusing() -> AsyncIterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"  # bound, and nobody listens


@asynccontextmanager
async def unnamed() -> AsyncIterator[str]:
    yield "http://nobody.invalid"


@asynccontextmanager
async def plain() -> AsyncIterator[str]:
    """It speaks no TLS, though the URL says so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def forged() -> AsyncIterator[str]:
    """With a certificate of an authority that nobody trusts."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(theirs)
    async with Evil(tls=theirs) as evil:
        yield evil.url
        assert evil.requests == []
