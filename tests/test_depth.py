"""Does an answer that is nested too deeply do no harm, wherever in it that is?

Whoever reads JSON with a stack meets its end. The provider is at fault, and nobody else is told so: not the client, who
asked for nothing wrong, and not the loop.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from proxy import registry
from proxy.framing.eventstream import EventStream, Message, encode_message
from tests import laws
from tests.client import OPENAI, ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion
from tests.test_words import said
from tests.wire.paper import HERE, read

WIRES = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "ollama", "cohere")
DEPTH = 100_000
DEEP = b"[" * DEPTH + b"]" * DEPTH
HOLE = "a place for it"

Put = Callable[[Any], bytes]


def places(value: Any) -> Iterator[Any]:
    """The value again and again, each time with a hole in another place, or with a key that nobody knows."""
    yield HOLE
    if isinstance(value, dict):
        yield value | {"not_yet": HOLE}
        for key, inner in value.items():
            yield from (value | {key: holed} for holed in places(inner))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], holed, *value[at + 1 :]] for holed in places(inner))


def filled(holed: Any) -> bytes:
    return json.dumps(holed).encode().replace(json.dumps(HOLE).encode(), DEEP)


def whole(wire: str) -> Any:
    return read(HERE / "answers" / f"{wire}.tool-calls.json")["answered"]


def events_of(wire: str, stream: bytes) -> Iterator[tuple[Any, Put]]:
    """Each event of a stream, and how the stream is spelled with another in its place."""
    if wire != "bedrock":
        for found in re.finditer(rb"(?m)^(?:data: )?(\{.*\})\r?$", stream):
            yield json.loads(found[1]), partial(_line, stream[: found.start(1)], stream[found.end(1) :])
        return
    messages = list(EventStream().feed(stream))
    spelled = [encode_message(head_of(each), each.payload) for each in messages]
    for at, message in enumerate(messages):
        put = partial(_frame, b"".join(spelled[:at]), b"".join(spelled[at + 1 :]), head_of(message))
        yield json.loads(message.payload), put


def head_of(message: Message) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in message.headers.items()]


def _line(before: bytes, after: bytes, event: Any) -> bytes:
    return before + filled(event) + after


def _frame(before: bytes, after: bytes, head: list[tuple[str, str]], event: Any) -> bytes:
    return before + encode_message(head, filled(event)) + after


def streams(wire: str) -> Iterator[bytes]:
    events, error = laws.listen(registry.dialect(wire).decoder(False), [json.dumps(whole(wire)).encode()])
    assert error is None
    for event, put in events_of(wire, said(wire, events, True)):
        yield from map(put, places(event))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", WIRES)
def test_nothing_but_an_upstream_error_comes_of_it(wire: str, stream: bool) -> None:
    dialect, bodies = registry.dialect(wire), streams(wire) if stream else map(filled, places(whole(wire)))
    failed = 0
    for body in bodies:
        _, error = laws.listen(dialect.decoder(stream), [body])
        laws.watch(dialect.meter(stream), [body])
        dialect.decode_error(500, {}, body)
        failed += error is not None
    assert failed > 5


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", WIRES)
def test_arguments_of_that_kind_are_told_as_they_came(wire: str, stream: bool) -> None:
    """They are a text of the model's, and may be anything."""
    answer = whole("openai_chat")
    answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = DEEP.decode()
    events, _ = laws.listen(registry.dialect("openai_chat").decoder(False), [json.dumps(answer).encode()])
    assert DEEP in said(wire, events, stream)


async def test_what_can_be_read_and_not_be_told_is_the_providers_fault() -> None:
    """The renderer is deeper in the stack than the decoder, so that there is a depth between the two.

    Since Python 3.12 what C code calls does not count as the stack of Python's, and no depth is between them.
    """
    answer = json.loads(OPENAI.whole)
    plays: list[Scenario] = []
    seen = set()
    async with Evil(answering=lambda _: plays[-1]) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        for depth in range(850, 1000):
            call = {"name": "f", "arguments": '{"a":' * depth + "1" + "}" * depth}
            message = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": call}]}
            answer["choices"][0] |= {"message": message}
            plays.append(Scenario(body=json.dumps(answer).encode(), headers=[("content-type", "application/json")]))
            asked = {"model": "openai/m", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
            seen.add((await ask(gateway, "POST", "/api/chat", json.dumps(asked).encode())).status)
    assert seen == ({200, 502} if sys.version_info < (3, 12) else {200})
