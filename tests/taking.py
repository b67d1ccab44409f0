"""How is a reply read to its end without a door and a socket? As delivery does it, chunk by chunk."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from time import monotonic
from typing import Any

from proxy import registry
from proxy.dispatch import chain
from proxy.edge.onlookers import conclude, show
from proxy.errors import GatewayError
from proxy.middleware.intake import Intake
from proxy.ports import Call, Handler, Middleware, Reply


def call(
    body: bytes = b'{"model":"m"}',
    headers: Mapping[str, str] | None = None,
    dialect: str = "openai_chat",
    **fields: Any,
) -> Call:
    async def receive() -> bytes:
        return body

    lines = {name.lower(): value for name, value in (headers or {}).items()}
    said: dict[str, Any] = {"id": "req_1", "operation": "chat", "query": {}, "started": monotonic()} | fields
    return Call(dialect=registry.dialect(dialect), headers=lines, receive=receive, **said)


def behind(middleware: Middleware, handler: Handler) -> Callable[[Call], Awaitable[Reply]]:
    """The handler behind it, and intake before it."""
    return chain([Intake(60), middleware], handler)


class Taken:
    """What a client got. `error`: what broke its body; `words`: what was said of it last."""

    def __init__(self, reply: Reply) -> None:
        self.status = reply.status
        self.headers = dict(reply.headers)
        self.chunks: list[bytes] = []
        self.error: BaseException | None = None
        self.words = b""

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def cache(self) -> str | None:
        return self.headers.get("x-pillion-cache")


@asynccontextmanager
async def delivery(reply: Reply) -> AsyncIterator[tuple[Taken, AsyncIterator[bytes]]]:
    """For a test that reads chunk by chunk, and leaves when it has enough: it then is a client that has gone."""
    taken = Taken(reply)
    assert not isinstance(reply.body, bytes)
    over = False

    async def chunks(body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        nonlocal over
        async for chunk in body:
            show(reply, chunk, "req")
            taken.chunks.append(chunk)
            yield chunk
        over = True

    try:
        async with aclosing(reply.body), aclosing(chunks(reply.body)) as each:
            yield taken, each
    except GatewayError as error:
        taken.error = reply.stopped = reply.stopped or error
        taken.words = reply.last_words(reply.stopped) if reply.last_words is not None else b""
    finally:
        if reply.abort is not None:
            reply.abort()
        conclude(reply, reply.stopped or (None if over else ConnectionResetError()), "req")


async def take(reply: Reply) -> Taken:
    """All of it."""
    if isinstance(reply.body, bytes):
        taken = Taken(reply)
        taken.chunks.append(reply.body)
        conclude(reply, None, "req")
        return taken
    async with delivery(reply) as (taken, chunks):
        async for _ in chunks:
            pass
    return taken


async def ask(handler: Handler, asked: Call) -> Taken:
    return await take(await handler(asked))
