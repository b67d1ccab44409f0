"""Is there an estimate of what an answer said that nobody counted?"""

import json

import pytest

from proxy.ports import HEARD, Heard
from proxy.registry import dialect
from proxy.spending.heard import tokens_of
from tests.client import ANTHROPIC, OPENAI, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion

CHAT = dialect("openai_chat")


def event(text: str) -> bytes:
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def heard(*chunks: bytes) -> Heard:
    one = Heard()
    for chunk in chunks:
        one.tap(chunk)
    return one


def test_a_stream_that_was_cut() -> None:
    assert tokens_of(heard(event("Hello"), event(" there"), event("日本語")[:-9]), CHAT, True) == 3
    assert tokens_of(heard(event("日本語")), CHAT, True) == 3


@pytest.mark.parametrize("size", [1, 2, 7, 44])
async def test_wherever_the_text_was_cut(size: int) -> None:
    """Both by the ledger, and by a client whose wire cannot do without a count."""
    text = "Eleven tokens, whoever cuts this in pieces."
    events = [event(text[at : at + size]) for at in range(0, len(text), size)]
    assert tokens_of(heard(*events), CHAT, True) == 11
    end = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    told = Scenario(body=b"".join(events) + end, headers=[("content-type", "text/event-stream")])
    async with Evil(told) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(True, "openai/m"))
    ended = json.loads(got.body.split(b"event: message_delta\ndata: ")[1].splitlines()[0])
    assert ended["usage"]["output_tokens"] == 11


def test_a_whole_answer() -> None:
    message = {"role": "assistant", "content": "x" * 400}
    body = json.dumps({"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    assert tokens_of(heard(body.encode()), CHAT, False) == 100


def test_of_a_long_one_the_beginning_stands_for_the_rest() -> None:
    chunk = event("word")
    times = 3 * HEARD // len(chunk)
    one = heard(*[chunk] * times)
    assert sum(map(len, one.chunks)) < HEARD + len(chunk)
    assert tokens_of(one, CHAT, True) == pytest.approx(times, abs=1)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"data: {\n\n", b"\xff\xfe"])
def test_nonsense_says_nothing(data: bytes) -> None:
    assert tokens_of(heard(data), CHAT, True) == 0


def test_nothing_was_heard() -> None:
    assert tokens_of(None, CHAT, True) == 0
