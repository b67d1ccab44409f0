"""Does a stream pass by whole events: every byte, in its order, none held longer than its event, and no half one?"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import registry
from proxy.dialects.gemini.frames import ChunkGate
from proxy.framing import MAX_EVENT, Unframed
from proxy.framing.bounds import MAX_PASSED
from proxy.framing.eventstream import encode_message
from proxy.framing.gates import EventGate, LineGate, MessageGate
from proxy.ports import Gate
from tests import laws
from tests.client import ANTHROPIC, OPENAI, SPEECHES, USAGE_CHUNK, Got, Speech, ask, chat, client, lane_name, spell
from tests.evil import Evil, Scenario
from tests.gateway import pillion

SSE = [("content-type", "text/event-stream")]


def events() -> Gate:
    return EventGate(MAX_EVENT)


def lines() -> Gate:
    return LineGate(MAX_EVENT)


# The whole events of a stream, and the half one at its end.
STREAMS: dict[str, tuple[Callable[[], Gate], list[bytes], bytes]] = {
    "lf": (events, [b"data: {}\n\n", b"event: a\ndata: 1\ndata: 2\n\n", b": ping\n\n", b"data: 3\n\n"], b"data: {"),
    "crlf": (events, [b"data: {}\r\n\r\n", b"event: a\r\ndata: 1\r\n\r\n", b"data: x\r\n\r\n"], b"data: {}\r\n"),
    "cr": (events, [b"data: {}\r\r", b"event: a\rdata: 1\r\r"], b"data: x\r"),
    "mixed": (events, [b"data: 1\n\r\n", b"data: 2\r\n\n", b"data: 3\n\n", b"data: 4\r\n\r\n"], b"data"),
    "no half": (events, [b"data: {}\n\n", b"data: {}\n\n"], b""),
    "gemini": (ChunkGate, [b'data: {"a": 1}\r\n\r\n', b"data: {}\r\n\r\n"], b'{\n  "error": {'),
    "lines": (lines, [b'{"a":1}\n', b"\n", b'{"b":"x"}\n', b'{"c":3}\n'], b'{"d":'),
    "messages": (
        MessageGate,
        [encode_message([(":event-type", f"e{n}")], b"x" * n) for n in (0, 5, 70)],
        b"\0\0\0\x50\0",
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_what_has_passed_after_each_chunk_is_what_was_whole_by_then(name: str) -> None:
    make, whole, half = STREAMS[name]
    data = b"".join([*whole, half])
    ends = [len(b"".join(whole[:count])) for count in range(len(whole) + 1)]
    ends += [end - 1 for end in ends if data[:end].endswith(b"\r\n")]  # a CR is a line end by itself
    for chunks in laws.splits(data):
        gate, came, went = make(), 0, 0
        for chunk in chunks:
            came, went = came + len(chunk), went + len(gate.feed(chunk))
            assert went in ends
            assert went >= max(end for end in ends if end <= came) - 1


@pytest.mark.parametrize("name", STREAMS)
def test_every_byte_passes_in_its_order(name: str) -> None:
    make, whole, half = STREAMS[name]
    data = b"".join([*whole, half])
    for chunks in laws.splits(data):
        gate = make()
        assert b"".join([*map(gate.feed, chunks), gate.close()]) == data
        assert gate.close() == b""


@given(st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b"\n\n", b":"])))
def test_text_never_stops_but_behind_a_blank_line(pieces: list[bytes]) -> None:
    gate, data = events(), b"".join(pieces)
    out = [gate.feed(piece) for piece in pieces]
    assert b"".join([*out, gate.close()]) == data
    for count in range(len(out)):
        before = b"".join(out[: count + 1])
        assert not before or before.replace(b"\r\n", b"\n").replace(b"\r", b"\n").endswith(b"\n\n")


@given(st.binary(max_size=60), st.integers(0, 60))
def test_no_bytes_break_a_gate_for_messages(data: bytes, cut: int) -> None:
    gate = MessageGate()
    try:
        out = [gate.feed(encode_message([], b"") + data[:cut]), gate.feed(data[cut:])]
    except Unframed:
        return
    assert b"".join([*out, gate.close()]) == encode_message([], b"") + data


def test_what_is_whole_passes_before_what_is_no_message() -> None:
    gate, good = MessageGate(), encode_message([], b"{}")
    assert gate.feed(good + b"x" * 20) == good
    with pytest.raises(Unframed, match="checksum"):
        gate.feed(b"x")


def test_a_chunk_of_whole_events_is_not_even_copied() -> None:
    for gate, chunk in ((events(), b"data: 1\n\ndata: 2\n\n"), (lines(), b"{}\n{}\n"), (MessageGate(), MESSAGE)):
        assert gate.feed(chunk) is chunk


MESSAGE = encode_message([(":event-type", "a")], b"{}")


# --- an event that is too long to be kept together -------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, (make, *_) in STREAMS.items() if make in (events, lines)])
def test_every_byte_of_a_long_event_passes_and_the_next_one_is_whole_again(name: str) -> None:
    make, whole, half = STREAMS[name]
    kind, data = type(make()), b"".join([*whole, half])
    assert issubclass(kind, EventGate | LineGate)
    for longest in range(1, max(map(len, whole)) + 1):
        for chunks in laws.splits(data):
            gate, out = kind(longest), b""
            for chunk in chunks:
                out += gate.feed(chunk)
                assert data.startswith(out)
            assert out + gate.close() == data


def test_what_of_it_has_come_goes_on_but_for_the_byte_by_which_it_may_end() -> None:
    gate = EventGate(1000)
    assert gate.feed(b"data: 1\n\ndata: " + b"x" * 900) == b"data: 1\n\n"
    assert (gate.ending(), gate.feed(b"x" * 200)) == (b"", b"data: " + b"x" * 1099)
    assert (gate.ending(), gate.feed(b"y\n")) == (b"\n\n", b"xy")
    assert (gate.feed(b"\ndata: 2"), gate.ending()) == (b"\n\n", b"")
    assert gate.feed(b"\n\n") == b"data: 2\n\n"


def test_an_event_without_end_is_given_up() -> None:
    gate, piece = EventGate(1000), b"x" * (MAX_PASSED // 4)
    for _ in range(4):
        gate.feed(piece)
    with pytest.raises(Unframed, match=f"an event is longer than {MAX_PASSED} bytes"):
        gate.feed(b"xx")


LONG = 3 * MAX_EVENT  # bytes


def spoken_at_length(speech: Speech) -> tuple[bytes, int]:
    """A stream with a long event in its middle, and where that begins."""
    events = speech.stream.split(b"\n\n")
    at = len(events) // 2
    before = b"".join(event + b"\n\n" for event in events[:at])
    return before + b": " + b"x" * LONG + b"\n\n" + b"\n\n".join(events[at:]), len(before)


async def test_a_long_event_passes_and_what_the_answer_cost_is_known() -> None:
    stream, _ = spoken_at_length(ANTHROPIC)
    async with (
        Evil(Scenario(body=stream, headers=SSE, framing="chunked")) as evil,
        pillion(**ANTHROPIC.environ(evil.url)) as gateway,
    ):
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(True, "anthropic/m"))
        took = json.loads((await ask(gateway, "GET", "/v1/usage")).body)["total"]["tokens"]
    assert (got.whole, got.body) == (True, stream)
    assert (took["input"], took["output"]) == (5, 2)


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_where_it_is_broken_off_ours_stands_apart_from_it(speech: Speech) -> None:
    stream, begins = spoken_at_length(speech)
    cut_at = begins + 2 * MAX_EVENT
    got = await played(speech, Scenario(body=stream, headers=SSE, framing="chunked", cut_at=cut_at))
    came, _, ours = got.body.partition(b"xx\n\n")
    assert (got.whole, stream.startswith(came)) == (False, True)
    assert len(came) > begins + MAX_EVENT
    assert speech.error(speech.last_event(ours))["message"].startswith("The provider's ")


# --- Google's and Amazon's -------------------------------------------------------------------------------------------


def test_an_array_of_google_s_passes_as_it_comes() -> None:
    gate = ChunkGate()
    assert [gate.feed(chunk) for chunk in (b' [{"a"', b":1}")] == [b' [{"a"', b":1}"]


# --- in the pass-through lane ----------------------------------------------------------------------------------------


async def played(speech: Speech, plays: Scenario) -> Got:
    async with Evil(plays) as evil, pillion(**speech.environ(evil.url)) as gateway:
        return await chat(gateway, speech, speech.request(True, f"{speech.provider}/m"))


def whole_events(stream: bytes, upto: int) -> bytes:
    return stream[: stream.rfind(b"\n\n", 0, upto) + 2]


@pytest.mark.parametrize("how", ["fin", "rst", "ends early"])
@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_half_an_event_is_not_handed_on_before_ours(speech: Speech, how: Any) -> None:
    cut_at = len(speech.stream) - 30
    plays = Scenario(body=speech.stream, headers=SSE, framing="chunked", split=[cut_at - 200])
    if how == "ends early":
        plays = replace(plays, body=speech.stream[:cut_at])
    else:
        plays = replace(plays, cut_at=cut_at, how=how)
    got = await played(speech, plays)
    begun = whole_events(speech.stream, cut_at)
    assert got.body.startswith(begun)
    ours = got.body.removeprefix(begun)
    assert ours.count(b"\n\n") == 1
    assert speech.error(speech.last_event(ours))["message"].startswith("The provider's ")


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_stream_without_its_last_blank_line_passes_whole(speech: Speech) -> None:
    body = speech.stream.removesuffix(b"\n")
    got = await played(speech, Scenario(body=body, headers=SSE, framing="chunked", split="bytes"))
    assert (got.whole, got.body) == (True, body)


async def test_usage_that_was_not_asked_for_is_withheld_from_the_tail_as_well() -> None:
    body = OPENAI.stream.replace(b"data: [DONE]\n\n", USAGE_CHUNK + b"data: [DONE]\n")
    got = await played(OPENAI, Scenario(body=body, headers=SSE, framing="chunked", split="bytes"))
    assert got.body == OPENAI.stream.removesuffix(b"\n")


async def test_an_event_is_handed_on_once_it_is_whole() -> None:
    begun = len(OPENAI.stream) - 20
    stall = Scenario(body=OPENAI.stream, headers=SSE, framing="chunked", split=[begun - 100], cut_at=begun, how="stall")
    async with Evil(stall) as evil, pillion(**OPENAI.environ(evil.url)) as gateway, client(gateway) as one:
        await one.send(spell("POST", OPENAI.path, OPENAI.request(True, "openai/m")))
        await one.until(b"\xc3\x9fe")  # of a stream that stands still in the middle of a later event


async def test_messages_that_make_no_sense_end_in_an_exception() -> None:
    kind, word = (":event-type", "contentBlockDelta"), b'{"contentBlockIndex":0,"delta":{"text":"Hi"}}'
    start = encode_message([(":message-type", "event"), kind], word)
    media_type = [("content-type", registry.dialect("bedrock").stream_type)]
    plays = Scenario(body=start + b"x" * 50, headers=media_type, framing="chunked")
    environ = {"AWS_BEARER_TOKEN_BEDROCK": "x", "AWS_REGION": "eu-west-1"}
    async with (
        Evil(plays) as evil,
        pillion(PILLION_BEDROCK_BASE_URL=evil.url, **environ) as gateway,
        client(gateway) as one,
    ):
        body = json.dumps({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}).encode()
        await one.send(spell("POST", "/model/bedrock%2Fm/converse-stream", body))
        got = await one.answer()
    assert got.body.startswith(start)
    assert b"modelStreamErrorException" in got.body
    assert b"x" * 20 not in got.body


async def test_the_sdks_raise_their_own_error_with_our_message() -> None:
    broken: list[tuple[Speech, type[Exception]]] = [(OPENAI, openai.APIError), (ANTHROPIC, anthropic.APIError)]
    for speech, raised in broken:
        cut = Scenario(body=speech.stream, headers=SSE, framing="chunked", cut_at=len(speech.stream) - 30)
        async with Evil(cut) as evil, pillion(**speech.environ(evil.url)) as gateway:
            with pytest.raises(raised, match="The provider's answer was cut short"):
                await _read(speech, gateway.url)


async def _read(speech: Speech, url: str) -> None:
    if speech is OPENAI:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as sdk:
            async for _ in await sdk.chat.completions.create(model="openai/m", messages=[], stream=True):
                pass
        return
    async with anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0) as sdk_of_messages:
        made = sdk_of_messages.messages.create(model="anthropic/m", max_tokens=9, messages=[], stream=True)
        async for _ in await made:
            pass
