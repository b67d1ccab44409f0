"""How do our own frames go out, so that no middlebox cuts a silent stream?

Through aiohttp-sse's response, which pings from a task, and writes head and end itself. It writes through the door; for
that, the request is described once more in aiohttp's own types.
"""

import asyncio
from collections.abc import Awaitable
from typing import cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage, StreamWriter
from aiohttp_sse import EventSourceResponse
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.edge.door import Door
from proxy.edge.inbound import Inbound

PING_INTERVAL = 15.0  # seconds of silence before a live stream is kept awake


async def kept_awake(door: Door, inbound: Inbound, ping: bytes, head: bytes) -> "KeptAwake":
    """A stream whose head is out. `head`: its header lines."""
    made = KeptAwake(door, ping, head, is_chunked=inbound.http11)
    await made.prepare(_request(door, inbound))
    return made


class KeptAwake(EventSourceResponse):
    """A stream of our own frames. When it is silent it sends the wire's own ping."""

    def __init__(self, door: Door, ping: bytes, head: bytes, is_chunked: bool) -> None:
        super().__init__(
            headers=_headers(head), sep="\n", allow_all_methods=True, send_timeout=None, ping_interval=PING_INTERVAL
        )
        self._door = door
        self._frame = ping
        self._is_chunked = is_chunked
        self._spoke = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self.headers["Connection"] = "keep-alive" if request.keep_alive else "close"
        self._door.flush()  # aiohttp writes behind the door's back
        return await super().prepare(request)

    def put(self, chunk: bytes) -> None:
        """Like `write`, but without waiting: the caller looks whether the client keeps up."""
        self._spoke = True
        if chunk:  # an empty one would be the last
            self._door.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._is_chunked else chunk)

    def end(self) -> Awaitable[None]:
        self._door.flush()
        return self.write_eof()

    def stop(self) -> None:
        """No ping may follow the end."""
        self.stop_streaming()

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._ping_interval)
            if not self._spoke and not self._door.writing_paused:
                self.put(self._frame)
            self._spoke = False


def _headers(head: bytes) -> CIMultiDict[str]:
    """The lines as aiohttp takes them: as text, so that bytes which are not UTF-8 are replaced."""
    lines = head.decode("utf-8", "replace").removesuffix("\r\n").split("\r\n")  # splitlines() knows more ends
    return CIMultiDict((name, value) for name, _, value in (line.partition(": ") for line in lines))


def _request(door: Door, inbound: Inbound) -> web.BaseRequest:
    """The request as aiohttp's responses want to see it."""
    message = RawRequestMessage(
        inbound.method,
        inbound.path,
        HttpVersion11 if inbound.http11 else HttpVersion10,
        CIMultiDictProxy(CIMultiDict(inbound.headers)),
        (),
        not door.stays,
        None,
        False,
        False,
        URL.build(path="/"),
    )
    protocol = cast(web.RequestHandler, door)
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    empty = StreamReader(door, 1, loop=loop)
    return web.BaseRequest(message, empty, protocol, StreamWriter(door, loop), task, loop)
