"""Does proxy.dialects.anthropic hear and tell an answer whole, however it comes?"""

import json
import random
import re
from typing import Any

import anthropic.types
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from proxy.canon import (
    Audio,
    Citation,
    Close,
    Delta,
    Event,
    Finish,
    Image,
    Opaque,
    Open,
    Part,
    Reason,
    Refusal,
    Remote,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
    fold,
    grammatical,
)
from proxy.dialects.anthropic.citations import citations_of, spelled
from proxy.errors import (
    BadRequest,
    Busy,
    Down,
    GatewayError,
    OverLimit,
    Refused,
    Timeout,
    Unauthorized,
    UnknownModel,
    Unrepresentable,
    UpstreamError,
)
from proxy.framing import MAX_EVENT, Frame, ServerSentEvents
from tests import laws, recordings
from tests.laws import examples
from tests.nested import places, put
from tests.test_anthropic import ASKED, CALL, JSON, ROWS, THOUGHT, WIRE

SDK_EVENT: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)

STREAMS = [row for row in ROWS if row["framing"] == "sse"]
# Invented by its source: a second message_start in the middle of the first answer.
BROKEN = {"anthropic.messages.4f8904767c1f"}
GOOD_STREAMS = [row for row in STREAMS if row["id"] not in BROKEN]


def frames(data: bytes) -> list[Frame]:
    return laws.drain(ServerSentEvents(), [data])


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def message_start(**usage: Any) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage}
    return {"type": "message_start", "message": message}


def block_start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def block_delta(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def block_stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def message_delta(reason: str | None = "end_turn", /, **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


STOP = {"type": "message_stop"}


def decoded(data: bytes, streamed: bool = True) -> list[Event]:
    return laws.decoded(WIRE.decoder(streamed), data)


def failure(data: bytes, streamed: bool = True) -> UpstreamError:
    return laws.failure(WIRE.decoder(streamed), data)


def asked(streamed: bool = True) -> Request:
    return Request(wire="anthropic", model="claude", turns=[], stream=streamed)


def said(events: list[Event], streamed: bool = True) -> bytes:
    return laws.say(WIRE.renderer(asked(streamed)), events)


# --- laws of the answer ----------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
OBJECTS = st.dictionaries(WORDS, st.integers(-(2**53), 2**53) | WORDS | st.none(), max_size=3)
COUNTS = st.integers(0, 10**6)
STOPS: list[tuple[Reason, str]] = [
    ("stop", "end_turn"),
    ("length", "max_tokens"),
    ("context", "model_context_window_exceeded"),
    ("tool_use", "tool_use"),
    ("refusal", "refusal"),
    ("pause", "pause_turn"),
]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    names = ("input", "cache_read", "cache_write", "cache_write_1h", "reasoning")
    counts: dict[str, Any] = {name: draw(COUNTS) for name in names}
    told: dict[str, Any] = {"server_tool_use": {"web_search_requests": 1}, "service_tier": "priority"}
    return Usage(output=draw(st.integers(1, 99)), searches=1, tier="priority", extra=told, **counts)


@st.composite
def blocks(draw: st.DrawFn, index: int) -> list[Event]:
    """A block as this wire's decoder says it: citations and signatures in deltas of their own."""
    kind = draw(st.sampled_from(["text", "thinking", "redacted", "call", "opaque"]))
    texts = [Delta(index=index, text=text) for text in draw(st.lists(WORDS, max_size=4))]
    part: Part
    match kind:
        case "text":
            part = Text()
            texts += [
                Delta(index=index, citations=citations_of([{"type": "page_location", "cited_text": draw(WORDS)}]))
            ]
        case "thinking":
            part = Thinking()
            texts += [Delta(index=index, signature=draw(WORDS))]
        case "redacted":
            part, texts = Thinking(redacted=draw(WORDS)), []
        case "call":
            part = ToolCall(id=draw(WORDS), name=draw(WORDS), extra=draw(st.sampled_from([{}, {"caller": {}}])))
            text = msgspec.json.encode(draw(OBJECTS)).decode()
            texts = [Delta(index=index, text=piece) for piece in (text[:3], text[3:]) if piece]
        case _:
            value = {"type": "server_tool_use", "id": draw(WORDS), "input": draw(OBJECTS)}
            part, texts = Opaque(wire="anthropic", value=value), []
    return [Open(index=index, part=part), *texts, Close(index=index)]


@st.composite
def sentences(draw: st.DrawFn) -> list[Event]:
    reason, word = draw(st.sampled_from(STOPS))
    said = [event for index in range(draw(st.integers(0, 4))) for event in draw(blocks(index))]
    early = [draw(usages())] if not said or draw(st.booleans()) else []
    stop = Stop(reason=reason, raw=word)
    start = Start(wire="anthropic", id=draw(WORDS), model=draw(WORDS))
    return [start, *early, *said, draw(usages()), Finish(stops=(stop,))]


@given(sentences())
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_rendered_is_decoded(events: list[Event]) -> None:
    assert decoded(said(events)) == events
    assert fold(decoded(said(events, streamed=False), streamed=False)) == fold(events)


@given(sentences(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_interleaved_blocks_are_said_one_after_the_other(events: list[Event], dice: random.Random) -> None:
    queues: dict[int, list[Event]] = {}
    for event in events:
        if isinstance(event, Open | Delta | Close):
            queues.setdefault(event.index, []).append(event)
    mixed: list[Event] = []
    unopened = list(queues)
    opened: list[int] = []
    while unopened or opened:
        if unopened and (not opened or dice.random() < 0.5):
            index = unopened.pop(0)
            opened.append(index)
        else:
            index = dice.choice(opened)
        mixed.append(queues[index].pop(0))
        if not queues[index]:
            opened.remove(index)
    first = next((at for at, event in enumerate(events) if isinstance(event, Open)), None)
    if first is not None:
        interleaved = [*events[:first], *mixed, *events[first + len(mixed) :]]
        assert decoded(said(interleaved)) == events


def test_a_block_that_waits_is_not_late_and_the_first_is_not_held() -> None:
    renderer = WIRE.renderer(asked())
    renderer.feed(Start())
    first = renderer.feed(Open(index=0, part=Text()))
    assert b"message_start" in first
    assert b"content_block_start" in first
    assert renderer.feed(Open(index=1, part=Text())) == b""
    assert renderer.feed(Delta(index=1, text="later")) == b""
    assert b"now" in renderer.feed(Delta(index=0, text="now"))
    caught_up = renderer.feed(Close(index=0))
    assert [json.loads(frame.data)["type"] for frame in frames(caught_up)] == [
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
    ]
    assert b"live" in renderer.feed(Delta(index=1, text="live"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_second_choice_is_not_lost_in_silence(stream: bool) -> None:
    events: list[Event] = [Start(), Open(index=0, part=Text(), choice=1), Close(index=0)]
    with pytest.raises(Unrepresentable, match="several choices"):
        said([*events, Finish(stops=(Stop(), Stop()))], stream)


def test_a_stream_as_the_client_reads_it() -> None:
    data = said(
        [
            Start(wire="openai_chat", id="chatcmpl-1", model="gpt"),
            Open(index=0, part=Text()),
            Delta(index=0, text="Hi", logprobs=[{}]),
            Close(index=0),
            Open(index=1, part=ToolCall(id="call_1", name="f")),
            Delta(index=1, text='{"x"'),
            Delta(index=1, text=":1}"),
            Close(index=1),
            Usage(input=5, cache_read=3, audio_input=2, output=7, reasoning=4),
            Finish(stops=(Stop(reason="tool_use", raw="tool_calls"),)),
        ]
    )
    assert all(frame.event == json.loads(frame.data)["type"] for frame in frames(data))
    told = [json.loads(frame.data) for frame in frames(data)]
    start = told[0]["message"]
    assert (start["id"], start["model"], start["content"], start["stop_reason"]) == ("chatcmpl-1", "gpt", [], None)
    assert told[1:-2] == [
        block_start(0, type="text", text=""),
        block_delta(0, type="text_delta", text="Hi"),
        block_stop(0),
        block_start(1, type="tool_use", id="call_1", name="f", input={}),
        block_delta(1, type="input_json_delta", partial_json='{"x"'),
        block_delta(1, type="input_json_delta", partial_json=":1}"),
        block_stop(1),
    ]
    assert told[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    usage = told[-2]["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (7, 3, 11)
    assert told[-1] == STOP
    for frame in frames(data):
        SDK_EVENT.validate_json(frame.data)


def test_a_whole_answer_as_the_client_reads_it() -> None:
    stop = Stop(reason="stop_sequence", raw="stop", sequence="END")
    parts: list[Event] = [Open(index=0, part=ToolCall(id="c", name="f", arguments="")), Close(index=0)]
    data = said([Start(), *parts, Usage(output=1), Finish(stops=(stop,))], streamed=False)
    message = anthropic.types.Message.model_validate_json(data, strict=True)
    assert message.id.startswith("msg_")
    assert message.model == "claude"
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert message.to_dict()["content"] == [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        *STOPS,
        ("content_filter", "refusal"),
        ("malformed_tool_call", "malformed_tool_call"),
        ("other", "other"),
        ("stop_sequence", "stop_sequence"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_every_reason_has_a_word(reason: Reason, word: str, streamed: bool) -> None:
    events = decoded(said([Start(), Finish(stops=(Stop(reason=reason),))], streamed), streamed)
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.stops[0].raw == word


def test_a_refusal_is_text_and_a_reason() -> None:
    events: list[Event] = [Start(), Open(index=0, part=Refusal()), Delta(index=0, text="No."), Close(index=0)]
    for streamed in (True, False):
        completion = fold(decoded(said([*events, Finish()], streamed), streamed))
        assert completion.choices[0].parts == [Text(text="No.")]
        assert completion.choices[0].stop.reason == "refusal"
    cut = said([*events, Finish(stops=(Stop(reason="length"),))])
    assert fold(decoded(cut)).choices[0].stop.reason == "length"


def test_arguments_that_are_no_object_are_shown_as_they_are() -> None:
    part = ToolCall(id="c", name="f", arguments='{"x": ')
    data = said([Start(), Open(index=0, part=part), Close(index=0), Finish()], streamed=False)
    assert json.loads(data)["content"][0]["input"] == {"malformed_arguments": '{"x": '}


FOREIGN = [
    Citation(
        wire="openai_chat", value={"type": "url_citation"}, url="https://x.example", title="X", quote="Q", start=3
    ),
    Citation(wire="gemini", value={}, url="https://y.example"),
    Citation(wire="bedrock", value={"location": {}}, title="a file, which has no address"),
]
SHOWN: list[dict[str, Any]] = [
    {
        "type": "web_search_result_location",
        "url": "https://x.example",
        "title": "X",
        "cited_text": "Q",
        "encrypted_index": "",
    },
    {
        "type": "web_search_result_location",
        "url": "https://y.example",
        "title": None,
        "cited_text": "",
        "encrypted_index": "",
    },
]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_sees_the_citations_of_other_wires_that_have_an_address(streamed: bool) -> None:
    events: list[Event] = [Start(), Open(index=0, part=Text()), Delta(index=0, text="a", citations=FOREIGN)]
    data = said([*events, Close(index=0), Finish()], streamed)
    (part,) = fold(decoded(data, streamed)).choices[0].parts
    assert isinstance(part, Text)
    assert spelled(part.citations) == SHOWN
    if streamed:
        for frame in frames(data):
            SDK_EVENT.validate_json(frame.data)
    else:
        anthropic.types.Message.model_validate_json(data)


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_what_a_client_was_shown_comes_back_as_nothing(role: str) -> None:
    real = SHOWN[0] | {"encrypted_index": "Eo8="}
    text: dict[str, Any] = {"type": "text", "text": "a", "citations": [*SHOWN, real]}
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": role, "content": [text]}]}
    request = WIRE.parse(json.dumps(body).encode(), ASKED)
    (part,) = request.turns[0].parts
    assert isinstance(part, Text)
    assert spelled(part.citations) == [real]
    assert json.loads(WIRE.encode(request).body)["messages"][0]["content"] == [text | {"citations": [real]}]
    assert WIRE.encode(request).dropped == ()


def test_a_call_without_an_id_is_given_one() -> None:
    """Two calls of one name stay apart, and the stream says what the whole answer says."""
    names = ["f", "f", "g"]
    events: list[Event] = [Start()]
    for index, name in enumerate(names):
        events += [Open(index=index, part=ToolCall(id="", name=name, signature="theirs")), Close(index=index)]
    parts = [fold(decoded(said([*events, Finish()], live), live)).choices[0].parts for live in (True, False)]
    ids = [[part.id for part in told if isinstance(part, ToolCall)] for told in parts]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3
    assert all(re.fullmatch("toolu_[0-9a-f]{24}", name) for name in ids[0])


CONTAINER = {"id": "container_1", "expires_at": "2026-11-20T00:00:00Z", "skills": None}
REFUSED = {"type": "refusal", "category": "cyber", "explanation": None}
EDITS = {"applied_edits": [{"type": "clear_tool_uses_20250919", "cleared_tool_uses": 1, "cleared_input_tokens": 9}]}


def test_what_an_answer_tells_beside_its_content_comes_back_where_it_stood() -> None:
    start = message_start(input_tokens=3)
    start["message"]["diagnostics"] = {"cache_miss_reason": {"type": "model_changed", "cache_missed_input_tokens": 5}}
    end = message_delta("refusal", output_tokens=2) | {"context_management": EDITS}
    end["delta"] |= {"container": CONTAINER, "stop_details": REFUSED}
    events = decoded(stream(start, end, STOP))
    told = [json.loads(frame.data) for frame in frames(said(events))]
    assert told[0]["message"]["diagnostics"] == start["message"]["diagnostics"]
    assert told[-2]["delta"] == end["delta"]
    assert told[-2]["context_management"] == EDITS
    assert told[-2]["usage"].keys().isdisjoint(end["delta"].keys() | end.keys())
    whole = said(events, streamed=False)
    assert json.loads(whole).items() >= {"container": CONTAINER, "stop_details": REFUSED}.items()
    message = anthropic.types.beta.BetaMessage.model_validate_json(whole)
    assert message.stop_details is not None
    assert message.stop_details.category == "cyber"
    assert message.context_management is not None
    again = decoded(whole, streamed=False)
    assert fold(again) == fold(events)
    assert laws.watch(WIRE.meter(False), [whole]).usage == again[-2]
    assert laws.watch(WIRE.meter(True), [said(events)]).usage == events[-2]


def test_a_reason_that_is_new_goes_on_as_it_came_and_a_host_s_word_as_this_wire_s() -> None:
    for word, reason, told in (("brand_new", "other", "brand_new"), ("eos", "stop", "end_turn")):
        events = decoded(stream(message_start(), message_delta(word), STOP))
        assert events[-1] == Finish(stops=(Stop(reason=reason, raw=word),))  # type: ignore[arg-type]
        assert json.loads(said(events, streamed=False))["stop_reason"] == told


def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.dialects.anthropic.decode.MAX_FRAME", 1000)
    events = stream(message_start(), block_start(0, type="text", text=""))
    heard, error = laws.listen(WIRE.decoder(True), [events, *[b"data: " + b"x" * 300] * 4])
    assert len(heard) == 2
    assert isinstance(error, Down)
    assert "longer than 1000 bytes" in error.message


@pytest.mark.parametrize("part", [Image(source=Remote("u")), Audio(id="a"), Opaque(wire="gemini", value={})], ids=str)
@pytest.mark.parametrize("streamed", [True, False])
def test_a_part_that_the_wire_has_not_is_refused_aloud(part: Part, streamed: bool) -> None:
    with pytest.raises(Unrepresentable) as caught:
        said([Start(), Open(index=0, part=part), Close(index=0), Finish()], streamed)
    assert caught.value.param == "content[0]"


# --- streams that are unusual, and streams that are broken -----------------------------------------------------------


def test_tool_input_may_come_whole_or_not_at_all() -> None:
    data = stream(
        message_start(),
        block_start(0, type="tool_use", id="a", name="f", input={"x": 1}),
        block_delta(0, type="input_json_delta", partial_json=""),
        block_stop(0),
        block_start(1, type="tool_use", id="b", name="f", input={}),
        block_delta(1, type="input_json_delta", partial_json=""),
        block_stop(1),
        block_start(2, type="tool_use", id="c", name="f", input={"stale": True}),
        block_delta(2, type="input_json_delta", partial_json='{"y":2}'),
        block_stop(2),
        message_delta("tool_use"),
        STOP,
    )
    calls = fold(decoded(data)).choices[0].parts
    assert [json.loads(call.arguments) for call in calls if isinstance(call, ToolCall)] == [{"x": 1}, {}, {"y": 2}]
    assert not [event for event in decoded(data) if isinstance(event, Delta) and not event.text]


def test_what_is_new_to_us_is_passed_over_or_kept_whole() -> None:
    data = stream(
        {"type": "heartbeat", "index": [], "delta": 3},
        message_start(),
        block_start(0, type="text", text="A", citations=None),
        block_delta(0, type="aroma_delta", scent="rose"),
        block_delta(0, type="text_delta", text="b"),
        block_stop(0),
        block_start(1, type="hologram", frames=None, note="x"),
        block_delta(1, type="hologram_delta", frames=[1], note="y"),
        block_delta(1, type="input_json_delta", partial_json='{"a":'),
        block_delta(1, type="input_json_delta", partial_json=None),
        block_delta(1, type="input_json_delta", partial_json="1}"),
        block_stop(1),
        message_delta("novelty"),
        STOP,
        {"type": "message_start"},
    )
    completion = fold(decoded(data + b"data: [DONE]\n\n"))
    hologram = {"type": "hologram", "frames": [1], "note": "xy", "input": {"a": 1}}
    assert completion.choices[0].parts == [Text(text="Ab"), Opaque(wire="anthropic", value=hologram)]
    assert completion.choices[0].stop == Stop(reason="other", raw="novelty")


def test_usage_is_told_twice_and_the_later_wins() -> None:
    early = {"input_tokens": 3, "cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 4}}
    late = {"output_tokens": 8, "output_tokens_details": {"thinking_tokens": 5}, "input_tokens": None}
    data = stream(message_start(**early, output_tokens=1), message_delta(**late), STOP)
    first, last = (event for event in decoded(data) if isinstance(event, Usage))
    assert first == Usage(input=3, cache_write=5, cache_write_1h=4, output=1)
    assert last == Usage(input=3, cache_write=5, cache_write_1h=4, output=3, reasoning=5)
    assert laws.watch(WIRE.meter(True), [data]).usage == last


@pytest.mark.parametrize("count", ["12", -3, None, True, 10**13, [1], {}], ids=str)
def test_a_count_that_is_no_count_counts_nothing(count: object) -> None:
    data = stream(message_start(input_tokens=count, cache_creation=count), message_delta(output_tokens=2), STOP)
    usage = Usage(output=2, is_odd=True)
    assert decoded(data)[-2] == usage
    assert laws.watch(WIRE.meter(True), [data]).usage == usage


@pytest.mark.parametrize(
    ("word", "kind", "status"),
    [
        ("overloaded_error", Busy, 529),
        ("rate_limit_error", Busy, 429),
        ("api_error", Down, 500),
        ("timeout_error", Timeout, 504),
        ("invalid_request_error", Refused, 400),
        ("authentication_error", Refused, 401),
        ("billing_error", Refused, 402),
        ("unheard_of", Down, 502),
    ],
)
def test_an_error_in_the_answer(word: str, kind: type[UpstreamError], status: int) -> None:
    told = {"type": "error", "error": {"type": word, "message": "Sorry."}}
    data = stream(message_start(), block_start(0, type="text", text=""), told)
    meter = laws.watch(WIRE.meter(True), [data])
    for error in (failure(data), failure(json.dumps(told).encode(), streamed=False), meter.error):
        assert type(error) is kind
        assert (error.status, error.message, error.upstream_type) == (status, "Sorry.", word)
    assert not meter.finished


GOOD = [message_start(), block_start(0, type="text", text=""), block_delta(0, type="text_delta", text="a")]


@pytest.mark.parametrize(
    "data",
    [
        stream(*GOOD),
        stream(*GOOD, block_stop(0), message_delta()),
        stream(*GOOD, message_delta(), STOP),
        stream(*GOOD, GOOD[0]),
        stream(*GOOD, GOOD[1]),
        stream(*GOOD, block_delta(1, type="text_delta", text="a")),
        stream(*GOOD, block_delta(0, type="input_json_delta", partial_json="{}")),
        stream(*GOOD, block_delta(0, type="text_delta")),
        stream(*GOOD, block_delta(0, type="text_delta", text=5)),
        stream(*GOOD, {"type": "content_block_delta", "index": 0}),
        stream(*GOOD, {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}),
        stream(*GOOD, block_stop(0), block_stop(0)),
        stream(*GOOD, block_start(1, type=["text"])),
        stream(*GOOD, block_start(1)),
        stream(*GOOD, block_start(1, type="text", text=None)),
        stream(*GOOD, block_start(1, type="tool_use", id="a", name="f", input="{}")),
        stream(*GOOD, block_start(1, type="tool_use", id="a")),
        stream(*GOOD, {"type": "content_block_start", "index": 1}),
        stream(*GOOD, {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}),
        stream(
            *GOOD, block_start(1, type="x"), block_delta(1, type="input_json_delta", partial_json="["), block_stop(1)
        ),
        stream(*GOOD, block_start(1, type="x"), block_delta(1, scent="~")).replace(b"~", b"\xff"),
        stream(*GOOD[1:]),
        stream(message_delta(), STOP),
        stream(STOP),
        stream({"type": "message_start"}),
        stream({"type": "message_start", "message": 5}),
        stream(*GOOD) + b"data: {\n\n",
        stream(*GOOD) + b"data: \xff\n\n",
        stream(*GOOD) + b"data: []\n\n",
        stream(*GOOD) + b"data: " + b"[" * 100_000 + b"\n\n",
        b"",
        b"<html>Bad gateway</html>",
    ],
    ids=lambda data: data[-60:].decode("latin-1"),
)
def test_a_broken_stream_is_the_providers_fault(data: bytes) -> None:
    assert isinstance(failure(data), Down)


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"[]", b"{}", b'{"content": 5}', b'{"content": [5]}', b'{"content": [{"type": 5}]}']
)
def test_a_broken_whole_answer_is_the_providers_fault(data: bytes) -> None:
    assert isinstance(failure(data, streamed=False), Down)
    meter = laws.watch(WIRE.meter(False), [data])
    assert meter.usage is None


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A stream that was treated badly: bytes flipped, lines lost, doubled, swapped, values put in wrong places."""
    lines = data.split(b"\n")
    for _ in range(dice.randint(1, 4)):
        at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        match dice.randrange(6):
            case 0:
                lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
            case 1:
                lines[at], lines[other] = lines[other], lines[at]
            case 2:
                lines.insert(at, lines[other])
            case 3:
                del lines[at]
            case 4:
                lines[at] = re.sub(rb"\d+", dice.choice([b"7", b"null", b'"x"', b"[]", b"1e999"]), lines[at])
            case _:
                lines[at] = re.sub(
                    rb'"[a-z_]+"', dice.choice([b'"type"', b"{}", b'"index"', b"null"]), lines[at], count=2
                )
        lines = lines or [b""]
    return b"\n".join(lines)


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_a_mutated_stream_is_a_sentence_or_an_error(row: recordings.Row) -> None:
    dice = random.Random(row["id"])
    for _ in range(60):
        data = mutated(recordings.body(row), dice)
        events, error = laws.listen(WIRE.decoder(True), [data])
        if error is None:
            list(grammatical(events))
        laws.watch(WIRE.meter(True), [data])


ANSWER = {
    "type": "message",
    "id": "m",
    "model": "c",
    "content": [CALL, THOUGHT],
    "stop_reason": "end_turn",
    "usage": {},
}
EVENTS = [
    [message_start(input_tokens=1, cache_creation={"ephemeral_1h_input_tokens": 1})],
    [message_start(), block_start(0, type="text", text="", citations=[])],
    [message_start(), block_start(0, **CALL)],
    [message_start(), block_start(0, type="other", citations=1), block_delta(0, type="citations_delta", citation={})],
    [*GOOD, block_delta(0, type="text_delta", text="x")],
    [*GOOD, message_delta(output_tokens=1)],
    [message_start(), {"type": "error", "error": {"type": "api_error", "message": "m"}}],
]


@given(st.sampled_from(EVENTS), st.data())
@settings(max_examples=examples(300), deadline=None)
def test_any_json_in_any_place_of_a_stream(events: list[dict[str, Any]], data: st.DataObject) -> None:
    last = put(events[-1], data.draw(st.sampled_from(places(events[-1]))), data.draw(JSON))
    text = stream(*events[:-1]) + b"data: " + json.dumps(last).encode() + b"\n\n" + stream(block_stop(0), STOP)
    decoder = WIRE.decoder(True)
    heard, error = laws.listen(decoder, [text])
    if error is None:
        list(grammatical(heard))
    laws.watch(WIRE.meter(True), [text])


@given(st.sampled_from(places(ANSWER)), JSON)
@settings(max_examples=examples(200), deadline=None)
def test_any_json_in_any_place_of_a_whole_answer(path: tuple[Any, ...], item: Any) -> None:
    text = json.dumps(put(ANSWER, path, item)).encode()
    heard, error = laws.listen(WIRE.decoder(False), [text])
    if error is None:
        list(grammatical(heard))
    laws.watch(WIRE.meter(False), [text])
    assert isinstance(WIRE.decode_error(500, {}, text), Down)


@given(st.binary(max_size=200))
@settings(max_examples=examples(200), deadline=None)
def test_any_bytes_at_all(data: bytes) -> None:
    for streamed in (True, False):
        assert laws.listen(WIRE.decoder(streamed), [data])[1] is not None
        laws.watch(WIRE.meter(streamed), [data])
    assert WIRE.decode_error(503, {}, data).status == 503


# --- the meter -------------------------------------------------------------------------------------------------------


def test_a_meter_passes_over_a_line_that_is_too_long() -> None:
    start, delta, stop = (
        stream(event) for event in (message_start(input_tokens=1), message_delta(output_tokens=2), STOP)
    )
    long = [b"data: " + b"x" * 2**20, stream(message_delta(output_tokens=10**6)).split(b"\n")[1], b"\n\n"]
    meter = laws.watch(WIRE.meter(True), [start, *long])
    assert meter.usage == Usage(input=1)
    laws.watch(meter, [delta + stop])
    assert (meter.usage, meter.finished) == (Usage(input=1, output=2), True)


def test_a_meter_knows_an_error_that_came_instead_of_a_stream() -> None:
    told = b'{"type":"error","error":{"type":"overloaded_error","message":"Sorry."}}'
    meter = laws.watch(WIRE.meter(True), [told])
    assert isinstance(meter.error, Busy)
    assert not meter.finished


def test_a_meter_is_not_deceived_by_text() -> None:
    lie = json.dumps(message_delta(output_tokens=10**6))
    data = stream(*GOOD, block_delta(0, type="text_delta", text=f"\ndata: {lie}\n\n"), block_stop(0))
    assert laws.watch(WIRE.meter(True), [data]).usage is None
    assert not laws.watch(WIRE.meter(True), [data]).finished


def test_a_meter_parses_no_event_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = WIRE.meter(True)
    seen: list[bytes] = []
    monkeypatch.setattr(meter, "_event", seen.append)
    laws.watch(meter, [stream(block_delta(0, type="text_delta", text="word " * 15))] * 3)
    assert seen == []
    laws.watch(meter, [stream(message_delta(output_tokens=1))])
    assert len(seen) == 1


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_meter_reads_lines_as_the_decoder_does(end: bytes) -> None:
    data = b"\xef\xbb\xbf" + stream(message_start(input_tokens=3), message_delta(output_tokens=4), STOP)
    data = re.sub(rb"event: \w+\n", b"", data).replace(b"\n", end)
    last = [event for event in decoded(data) if isinstance(event, Usage)][-1]
    for chunks in laws.splits(data, count=5):
        meter = laws.watch(WIRE.meter(True), chunks)
        assert (meter.usage, meter.model, meter.finished) == (last, "claude", True)


def test_a_meter_passes_over_an_event_that_is_too_long() -> None:
    long = block_delta(0, type="text_delta", text='"message_' + "x" * MAX_EVENT)
    data = stream(message_start(input_tokens=3), long, message_delta(output_tokens=4), STOP)
    chunks = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    meter = laws.watch(WIRE.meter(True), chunks)
    assert (meter.usage, meter.finished) == (Usage(input=3, output=4), True)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (BadRequest("m"), "invalid_request_error"),
        (Unauthorized("m"), "authentication_error"),
        (BadRequest("m", status=403), "permission_error"),
        (UnknownModel("m"), "not_found_error"),
        (BadRequest("m", status=413), "request_too_large"),
        (BadRequest("m", status=422), "invalid_request_error"),
        (OverLimit("m"), "rate_limit_error"),
        (OverLimit("m", kind="quota_exceeded", code="insufficient_quota"), "billing_error"),
        (Down("m"), "api_error"),
        (Down("m", status=503), "api_error"),
        (Down("m", status=424), "api_error"),  # of a model on Bedrock
        (Busy("m", status=529), "overloaded_error"),
        (Timeout("m"), "timeout_error"),
        (GatewayError("m"), "api_error"),
    ],
    ids=repr,
)
def test_an_error_for_the_client(error: GatewayError, word: str) -> None:
    told = {"type": "error", "error": {"type": word, "message": "m"}}
    assert json.loads(WIRE.error(error, "req_1")) == told | {"request_id": "req_1"}
    last = frames(stream(message_start()) + WIRE.error_event(error))[-1]
    assert (last.event, json.loads(last.data)) == ("error", told)
    live = frames(WIRE.renderer(asked()).error(error))
    assert [(frame.event, json.loads(frame.data)) for frame in live] == [("error", told)]


@pytest.mark.parametrize(
    ("status", "kind", "sort", "spelled"),
    [
        (400, Refused, "invalid_request", 400),
        (401, Refused, "authentication", 401),
        (402, Refused, "quota_exceeded", 402),
        (403, Refused, "authentication", 403),
        (404, Refused, "invalid_request", 404),
        (413, Refused, "invalid_request", 413),
        (429, Busy, "rate_limit", 429),
        (529, Busy, "rate_limit", 529),
        (500, Down, "server_error", 500),
        (503, Down, "server_error", 503),
        (504, Timeout, "timeout", 504),
        (302, Down, "server_error", 502),
    ],
)
def test_an_error_of_the_provider(status: int, kind: type[UpstreamError], sort: str, spelled: int) -> None:
    headers = {"retry-after": "3", "x-should-retry": "true", "anthropic-ratelimit-requests-remaining": "0", "via": "x"}
    error = WIRE.decode_error(status, headers, b"<html>")
    assert type(error) is kind
    assert (error.kind, error.status, error.upstream_status, error.body) == (sort, spelled, status, None)
    assert error.message == f"The provider answered {status} with no readable error."
    assert [name for name, _ in error.headers] == list(headers)[:3]


@pytest.mark.parametrize(
    ("data", "text", "kept"),
    [
        (b'{"type": "error", "error": {"type": "t", "message": "Too long."}}', "Too long.", True),
        (b'{"type": "error", "error": {"message": 5}}', "The provider answered 400 with no readable error.", True),
        (
            b'{"error": {"type": "t", "message": "Too long."}}',
            "Too long.",
            False,
        ),  # Google's, which no SDK of ours reads
        (b'[{"error": {"code": 400, "message": "Too long."}}]', "Too long.", False),
        (b'{"error": "Too long."}', "Too long.", False),
        (b'{"detail": "x"}', "x", False),
        (b'{"x": "y"}', "The provider answered 400 with no readable error.", False),
        (b'["error"]', "The provider answered 400 with no readable error.", False),
        (b"", "The provider answered 400 with no readable error.", False),
    ],
)
def test_the_words_of_an_error(data: bytes, text: str, kept: bool) -> None:
    error = WIRE.decode_error(400, {}, data)
    assert (error.message, error.body) == (text, data if kept else None)


def test_models() -> None:
    listed = json.loads(WIRE.model_list(["a", "b/c"]))
    assert [(model["id"], model["type"], model["display_name"]) for model in listed["data"]] == [
        ("a", "model", "a"),
        ("b/c", "model", "b/c"),
    ]
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, "a", "b/c")
    assert json.loads(WIRE.model_list([]))["last_id"] is None
    assert json.loads(WIRE.model_card("a")) == listed["data"][0]


def test_ping_is_a_frame_of_its_own() -> None:
    assert WIRE.ping is not None
    assert frames(WIRE.ping) == [Frame("ping", b'{"type": "ping"}')]
    assert laws.listen(WIRE.decoder(True), [WIRE.ping + stream(message_start(), message_delta(), STOP)])[1] is None
