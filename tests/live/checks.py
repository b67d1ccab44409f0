"""What must hold before any vendor, in whichever SDK's words?"""

import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from tests.live.sdks.talk import Counting, Question, Refused, Talk


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _picture(side: int = 64) -> bytes:
    """A red square: some vendors refuse what is smaller than a few pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xff\0\0" * side) * side
    chunks = _chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


HELLO = Question("Say hello, in one word.")
WEATHER = Question("How is the weather in Paris? Ask the tool.", tool=True)
COLOUR = Question("Which colour is this picture: red, green or blue? One word.", image=_picture())


async def chat(talk: Talk, model: str) -> None:
    said = await talk.ask(model, HELLO, stream=False)
    assert said.text.strip()
    assert said.tokens > 1


async def stream(talk: Talk, model: str) -> None:
    said = await talk.ask(model, HELLO, stream=True)
    assert said.text.strip()
    assert said.tokens > 1


async def tools(talk: Talk, model: str) -> None:
    said = await talk.ask(model, WEATHER, stream=False)
    [(name, arguments)] = said.calls
    assert name == "weather"
    assert isinstance(arguments["city"], str)


async def image(talk: Talk, model: str) -> None:
    said = await talk.ask(model, COLOUR, stream=False)
    assert "red" in said.text.lower()


async def error(talk: Talk, model: str) -> None:
    """A model that there is not: the SDK raises its own error, and it says something."""
    with pytest.raises(Refused) as caught:
        await talk.ask(model, HELLO, stream=False)
    assert caught.value.status in (400, 403, 404)
    assert caught.value.message


async def count_tokens(talk: Talk, model: str) -> None:
    assert isinstance(talk, Counting)
    assert 1 < await talk.count(model, HELLO) < 100


CHECKS: Mapping[str, Callable[[Talk, str], Awaitable[Any]]] = {
    "chat": chat,
    "stream": stream,
    "tools": tools,
    "image": image,
    "error": error,
    "count_tokens": count_tokens,
}
