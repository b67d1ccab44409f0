"""How does a bare client ask, with no SDK between its bytes and pillion's?

One connection, requests spelled by hand, answers taken apart just far enough to say how they ended. And the two wires
that clients and providers speak in these tests: what is asked, what is answered, and what an error looks like.
"""

import asyncio
import contextlib
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

PATIENCE = 10.0  # seconds until a test gives up waiting for an answer

Headers = Sequence[tuple[str, str]]


# --- the two wires ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speech:
    """A wire. `whole` and `stream` are a provider's answers that say "Grüße"."""

    name: str
    provider: str
    path: str
    whole: bytes
    stream: bytes
    headers: Headers = ()
    needed: dict[str, Any] = field(default_factory=dict)

    def request(self, stream: bool = False, model: str = "m", **fields: Any) -> bytes:
        body = {"model": model, "messages": [{"role": "user", "content": "Grüße"}], **self.needed, **fields}
        return json.dumps(body | {"stream": True} if stream else body, ensure_ascii=False).encode()

    def environ(self, url: str) -> dict[str, str]:
        """What makes this wire's own provider stand at the URL."""
        name = self.provider.upper()
        path = "/v1" if self.provider == "openai" else ""
        return {f"{name}_API_KEY": f"sk-{self.provider}-secret", f"PILLION_{name}_BASE_URL": url + path}

    def error(self, body: bytes) -> dict[str, Any]:
        """The error that an answer's body spells; fails where it is not of this wire's shape."""
        said = json.loads(body)
        if self.name == "anthropic":
            assert said["type"] == "error"
            assert isinstance(said["error"]["type"], str)
        else:
            assert {"message", "type", "param", "code"} <= said["error"].keys()
        error: dict[str, Any] = said["error"]
        assert isinstance(error["message"], str)
        assert "Traceback" not in error["message"]
        return error

    def last_event(self, stream: bytes) -> bytes:
        """The payload of a stream's last event."""
        events = [event for event in stream.replace(b"\r\n", b"\n").split(b"\n\n") if event.strip()]
        return b"\n".join(line[5:].strip() for line in events[-1].split(b"\n") if line.startswith(b"data:"))

    def ends_whole(self, stream: bytes) -> bool:
        end = rb'data: \{"type": ?"message_stop"\}\n' if self.name == "anthropic" else rb"data: \[DONE\]\n"
        return re.search(end, stream) is not None


def _chat_chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-real", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(chunk, ensure_ascii=False).encode()


def _event(kind: str, **fields: Any) -> bytes:
    said = json.dumps({"type": kind, **fields}, ensure_ascii=False).encode()
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), said)


USAGE_CHUNK = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-real","choices":[],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\n'
)

OPENAI = Speech(
    name="openai_chat",
    provider="openai",
    path="/v1/chat/completions",
    whole=(
        '{"id":"c1","object":"chat.completion","created":1,"model":"gpt-real","choices":[{"index":0,'
        '"message":{"role":"assistant","content":"Grüße"},"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}'
    ).encode(),
    stream=b"".join(
        [
            _chat_chunk({"role": "assistant", "content": ""}),
            _chat_chunk({"content": "Grü"}),
            _chat_chunk({"content": "ße"}),
            _chat_chunk({}, "stop"),
            b"data: [DONE]\n\n",
        ]
    ),
)

_MESSAGE = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-real"}

ANTHROPIC = Speech(
    name="anthropic",
    provider="anthropic",
    path="/v1/messages",
    headers=[("anthropic-version", "2023-06-01")],
    needed={"max_tokens": 100},
    whole=json.dumps(
        {
            **_MESSAGE,
            "content": [{"type": "text", "text": "Grüße"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 2},
        },
        ensure_ascii=False,
    ).encode(),
    stream=b"".join(
        [
            _event(
                "message_start",
                message={**_MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 5}},
            ),
            _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            _event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Grü"}),
            _event("content_block_delta", index=0, delta={"type": "text_delta", "text": "ße"}),
            _event("content_block_stop", index=0),
            _event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
            _event("message_stop"),
        ]
    ),
)

SPEECHES = [OPENAI, ANTHROPIC]
LANES = [(client, provider) for client in SPEECHES for provider in SPEECHES]


def lane_name(value: object) -> str | None:
    """For `parametrize(ids=...)`."""
    return value.name if isinstance(value, Speech) else None


class Place(Protocol):
    """Where to ask: an Address, a Gateway, or whatever else listens."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


# --- the client ------------------------------------------------------------------------------------------------------


@dataclass
class Got:
    """An answer. `whole` says that it ended as its framing promised; else the connection broke first."""

    status: int
    headers: Headers
    body: bytes
    whole: bool

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name]
        assert len(found) < 2, f"{name} stands {len(found)} times"
        return found[0] if found else None

    @property
    def raw_headers(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.headers)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, Headers]:
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")[:-2]
        pairs = [line.partition(":") for line in lines]
        return int(first.split(" ")[1]), [(name, value.strip()) for name, _, value in pairs]

    async def answer(self, bodiless: bool = False) -> Got:
        status, headers = await self.head()
        if status == 100:  # it may send its body
            status, headers = await self.head()
        framing = {name.lower(): value for name, value in headers}
        async with asyncio.timeout(PATIENCE):
            if bodiless:
                return Got(status, headers, b"", True)
            if "chunked" in framing.get("transfer-encoding", ""):
                return Got(status, headers, *await self._chunked())
            if "content-length" in framing:
                size = int(framing["content-length"])
                body = await self._exactly(size)
                return Got(status, headers, body, len(body) == size)
            return Got(status, headers, await self.rest(), True)

    async def some(self) -> bytes:
        """What comes next, whatever it is; b"" at the end."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read(65536)

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(mark)

    async def rest(self) -> bytes:
        """All that still comes until the connection ends, in whichever way."""
        out = bytearray()
        with contextlib.suppress(ConnectionError):
            while data := await self.some():
                out += data
        return bytes(out)

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def leave(self, how: Literal["fin", "rst"]) -> None:
        if how == "rst":
            self.reset()
        else:
            self.writer.close()

    async def _chunked(self) -> tuple[bytes, bool]:
        out = bytearray()
        try:
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                out += await self._exactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        except (asyncio.IncompleteReadError, ConnectionError):
            return bytes(out), False
        return bytes(out), True

    async def _exactly(self, size: int) -> bytes:
        try:
            return await self.reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            return error.partial


@asynccontextmanager
async def client(gateway: Place, receive_buffer: int = 0) -> AsyncIterator[Client]:
    """A connection. `receive_buffer`, in bytes, is what the kernel takes for a client that does not read."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (gateway.host, gateway.port))
    except OSError:
        sock.close()
        raise
    reader, writer = await asyncio.open_connection(sock=sock, limit=receive_buffer or 256 * 1024)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def spell(method: str, path: str, body: bytes = b"", headers: Headers = (), version: str = "1.1") -> bytes:
    """A request. Its length is told unless the headers tell of a framing."""
    lines = [f"{method} {path} HTTP/{version}", "Host: pillion"]
    told = {name.lower() for name, _ in headers}
    if body and "content-type" not in told:
        lines.append("Content-Type: application/json")
    if method == "POST" and not told & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def showing(key: str) -> Headers:
    """The client key, where there is one."""
    return [("x-api-key", key)] if key else []


async def ask(gateway: Place, method: str, path: str, body: bytes = b"", headers: Headers = ()) -> Got:
    """One request on a connection of its own."""
    async with client(gateway) as one:
        await one.send(spell(method, path, body, headers))
        return await one.answer(bodiless=method == "HEAD")


async def chat(gateway: Place, speech: Speech, body: bytes, headers: Headers = ()) -> Got:
    return await ask(gateway, "POST", speech.path, body, [*speech.headers, *headers])
