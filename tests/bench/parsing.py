"""What does it cost to read one streamed answer: with aiohttp's client, and with httptools?

What came of it stands in docs/decisions/0003-wire.md.

    .venv/bin/python tests/bench/parsing.py

Both get the same bytes, a chunked answer of 53 events, in one piece; no socket is involved.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httptools
import uvloop
from aiohttp.client_proto import ResponseHandler

EVENT = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"delta":{"content":" proxy"}}]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = HEAD + (b"%x\r\n%b\r\n" % (len(EVENT), EVENT)) * 53 + b"0\r\n\r\n"
ROUNDS = 3000


class Body:
    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def on_body(self, data: bytes) -> None:
        self.chunks.append(data)


async def with_aiohttp() -> bytes:
    handler = ResponseHandler(asyncio.get_running_loop())
    handler.set_response_params(auto_decompress=False)
    handler.data_received(ANSWER)
    _, payload = await handler.read()
    return await payload.read()


async def with_httptools() -> bytes:
    body = Body()
    httptools.HttpResponseParser(body).feed_data(ANSWER)
    return b"".join(body.chunks)


async def microseconds(read: Callable[[], Awaitable[bytes]]) -> float:
    if await read() != EVENT * 53:
        raise SystemExit(f"{read.__name__} lost something")
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(ROUNDS):
            await read()
        best = min(best, time.perf_counter() - began)
    return best / ROUNDS * 1e6


async def main() -> None:
    for name, read in (("aiohttp", with_aiohttp), ("httptools", with_httptools)):
        print(f"{name:10} {await microseconds(read):6.1f} us per answer")


uvloop.run(main())
