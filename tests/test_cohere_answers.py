"""Does proxy.dialects.cohere hear and tell an answer whole, however it comes?"""

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.canon import (
    Audio,
    Citation,
    Close,
    Completion,
    Delta,
    Document,
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
from proxy.dialects.cohere.words import REASONS, STOP_WORDS
from proxy.errors import Busy, Down, Refused, Timeout, UnknownModel, Unrepresentable, UpstreamError
from proxy.grammar.fields import Verbatim
from tests import laws, recordings
from tests.laws import examples
from tests.nested import places, put
from tests.test_cohere import ANY_JSON, CITED, ROWS, WIRE, Json

STREAMS = [row for row in ROWS if row["framing"] == "sse"]
WHOLES = [row for row in ROWS if row["framing"] == "json"]


def stream(*events: Json) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


START: Json = {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant", "content": []}}}


def content_start(index: int, kind: str = "text", text: str = "") -> Json:
    return {"type": "content-start", "index": index, "delta": {"message": {"content": {"type": kind, kind: text}}}}


def content_delta(index: int, text: Json, kind: str = "text", **more: Json) -> Json:
    return {"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: text}}}, **more}


def content_end(index: int) -> Json:
    return {"type": "content-end", "index": index}


def plan(text: Json) -> Json:
    return {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": text}}}


def call_start(index: int, name: str = "f", arguments: str = "") -> Json:
    call = {"id": f"{name}_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": call}}}


def call_delta(index: int, arguments: str) -> Json:
    message = {"tool_calls": {"function": {"arguments": arguments}}}
    return {"type": "tool-call-delta", "index": index, "delta": {"message": message}}


def call_end(index: int) -> Json:
    return {"type": "tool-call-end", "index": index}


def citation(value: Json) -> Json:
    return {"type": "citation-start", "index": 0, "delta": {"message": {"citations": value}}}


def end(reason: Json = "COMPLETE", **more: Json) -> Json:
    return {"type": "message-end", "delta": {"finish_reason": reason, **more}}


def whole(reason: Json = "COMPLETE", **message: Json) -> Json:
    return {"id": "1", "finish_reason": reason, "message": {"role": "assistant", **message}}


def decoded(data: bytes, streamed: bool = True) -> list[Event]:
    return laws.decoded(WIRE.decoder(streamed), data)


def failure(data: bytes, streamed: bool = True) -> UpstreamError:
    return laws.failure(WIRE.decoder(streamed), data)


def parts_of(*events: Json) -> list[Part]:
    return fold(decoded(stream(START, *events, end()))).choices[0].parts


def parts_of_whole(**message: Json) -> list[Part]:
    return fold(decoded(json.dumps(whole(**message)).encode(), False)).choices[0].parts


def asked(streamed: bool = True) -> Request:
    return Request(wire="cohere", model="command-a", turns=[], stream=streamed)


def said(events: list[Event], streamed: bool = True) -> bytes:
    return laws.say(WIRE.renderer(asked(streamed)), events)


# --- recorded answers ------------------------------------------------------------------------------------------------


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_a_recorded_stream_is_one_sentence_however_it_is_cut(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    told = decoded(data)
    for chunks in laws.stream_splits(data):
        assert laws.listen(WIRE.decoder(True), chunks) == (told, None)


def assembled(data: bytes) -> Json:
    """A stream put together to the whole answer that it spells, in another way than the decoder's."""
    message: Json = {"content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    answer: Json = {"message": message}
    for line in data.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        inner = event.get("delta", {}).get("message", {})
        match event["type"]:
            case "message-start":
                answer["id"] = event["id"]
            case "content-start":
                message["content"].append(inner["content"])
            case "content-delta":
                for key, text in inner["content"].items():
                    message["content"][event["index"]][key] += text
            case "tool-plan-delta":
                message["tool_plan"] += inner["tool_plan"]
            case "tool-call-start":
                message["tool_calls"].append(inner["tool_calls"])
            case "tool-call-delta":
                more = inner["tool_calls"]["function"]["arguments"]
                message["tool_calls"][event["index"]]["function"]["arguments"] += more
            case "citation-start":
                message["citations"].append(inner["citations"])
            case "message-end":
                answer |= event["delta"]
            case _:
                assert event["type"] in ("content-end", "tool-call-end", "citation-end")
    return answer


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_a_recorded_answer_says_what_a_plain_reading_finds(row: recordings.Row) -> None:
    data, streamed = recordings.body(row), row["framing"] == "sse"
    recordings.replayed(row)
    told = assembled(data) if streamed else json.loads(data)
    message, completion = told["message"], fold(decoded(data, streamed))
    parts, stop = completion.choices[0].parts, completion.choices[0].stop
    blocks = [part for part in parts if isinstance(part, Text | Thinking) and "tool_plan" not in part.extra]
    kinds = [("text" if isinstance(part, Text) else "thinking", part.text) for part in blocks]
    assert kinds == [(item["type"], item[item["type"]]) for item in message.get("content") or ()]
    plans = [part.text for part in parts if isinstance(part, Thinking) and part.extra == {"tool_plan": True}]
    assert "".join(plans) == message.get("tool_plan", "")
    calls = [(part.id, part.name, json.loads(part.arguments)) for part in parts if isinstance(part, ToolCall)]
    made = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
    assert calls == [(name, said["name"], json.loads(said["arguments"] or "{}") or {}) for name, said in made]
    cited = [one.value for part in parts if isinstance(part, Text) for one in part.citations]
    assert cited == (message.get("citations") or [])
    assert (completion.start.id, stop.raw) == (told["id"], told["finish_reason"])
    assert stop.reason == {"COMPLETE": "stop", "TOOL_CALL": "tool_use"}[stop.raw]
    usage, tokens = completion.usage, told["usage"]["tokens"]
    assert usage is not None
    assert usage.total_input == tokens["input_tokens"] + tokens.get("image_tokens", 0)
    assert usage.total_output == tokens["output_tokens"]
    assert usage.cache_read == told["usage"].get("cached_tokens", 0)
    assert usage.reasoning == tokens.get("reasoning_tokens", 0)
    assert usage.extra["billed_units"] == told["usage"]["billed_units"]


@recordings.needs_recordings
@pytest.mark.parametrize("rows", [STREAMS, WHOLES], ids=["streams", "wholes"])
def test_a_recorded_citation_points_at_its_text(rows: list[recordings.Row]) -> None:
    """`text` repeats the passage that is cited; so that a shifted place would show."""
    cited = [
        (part.text[one.start : one.end], one.value["text"])
        for row in rows
        for part in fold(decoded(recordings.body(row), row["framing"] == "sse")).choices[0].parts
        if isinstance(part, Text)
        for one in part.citations
    ]
    assert cited
    assert [found for found, _ in cited] == [said for _, said in cited]


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_a_recorded_answer_is_metered_as_it_is_decoded(row: recordings.Row) -> None:
    data, streamed = recordings.body(row), row["framing"] == "sse"
    usage = fold(decoded(data, streamed)).usage
    for chunks in laws.splits(data, count=10):
        meter = laws.watch(WIRE.meter(streamed), chunks)
        assert (meter.usage, meter.finished, meter.error) == (usage, True, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_a_recorded_answer_survives_our_own_spelling(row: recordings.Row) -> None:
    events = decoded(recordings.body(row), row["framing"] == "sse")
    assert fold(decoded(said(events))) == fold(events)
    assert fold(decoded(said(events, streamed=False), False)) == fold(events)


# --- laws of the answer ----------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
COUNTS = st.integers(0, 10**7)
SCORES = st.builds(
    lambda text: [
        {
            "token": text,
            "logprob": -0.5,
            "bytes": list(text.encode()),
            "top_logprobs": [],
            "token_ids": [1, 2],
            "logprobs": [-0.25, -0.25],
        }
    ],
    TEXT,
)
PLAN = {"tool_plan": True}


def cited(index: int) -> Citation:
    value = {**CITED, "content_index": index}
    return Citation(wire="cohere", value=value, url="https://x.example", title="T", origin="d1", start=0, end=2)


@st.composite
def blocks(draw: st.DrawFn, number: int, content: int) -> tuple[Part, list[Delta]]:
    kind = draw(st.sampled_from(["text", "thinking", "call"]))
    texts = draw(st.lists(TEXT, min_size=1, max_size=3))
    if kind == "call":
        names = st.sampled_from(["f", "get_weather"])
        return ToolCall(id=draw(TEXT), name=draw(names)), [
            Delta(index=number, text='{"x":'),
            Delta(index=number, text="1}"),
        ]
    if kind == "thinking":
        return Thinking(), [Delta(index=number, text=text) for text in texts]
    deltas = [Delta(index=number, text=text, logprobs=draw(st.just([]) | SCORES)) for text in texts]
    return Text(), [*deltas, *([Delta(index=number, citations=[cited(content)])] if draw(st.booleans()) else [])]


@st.composite
def sentences(draw: st.DrawFn) -> list[Event]:
    """What this wire can say: a plan, blocks of content and calls; the texts close at the end."""
    events: list[Event] = [Start(wire="cohere", id=draw(TEXT))]
    first, content = 0, 0
    texts: list[int] = []
    if draw(st.booleans()):
        first = 1
        events += [Open(index=0, part=Thinking(extra=PLAN)), Delta(index=0, text=draw(TEXT)), Close(index=0)]
    for number in range(first, first + draw(st.integers(0, 3))):
        part, deltas = draw(blocks(number, content))
        content += not isinstance(part, ToolCall)
        events += [Open(index=number, part=part), *deltas]
        if isinstance(part, Text):
            texts.append(number)
        else:
            events.append(Close(index=number))
    events += [Close(index=number) for number in texts]
    if draw(st.booleans()):
        billed = {"billed_units": {"input_tokens": draw(COUNTS)}, "tokens": {"image_tokens": 7}}
        counts: dict[str, Any] = {key: draw(COUNTS) for key in ("cache_read", "output", "reasoning")}
        events.append(Usage(input=7 + draw(COUNTS), **counts, extra=draw(st.just({}) | st.just(billed))))
    word = draw(st.sampled_from(["COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS", "TOOL_CALL"]))
    return [*events, Finish(stops=(Stop(reason=REASONS[word], raw=word),))]


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sentences())
def test_what_is_rendered_is_decoded(events: list[Event]) -> None:
    assert decoded(said(events)) == [*map(paid_for, events)]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sentences())
def test_what_is_rendered_whole_says_the_same(events: list[Event]) -> None:
    """Content stands before calls, and probabilities stand apart from their text: that much is lost, and no more."""
    told, back = fold(map(paid_for, events)), fold(decoded(said(events, False), False))
    assert (back.start, back.usage, back.choices[0].stop) == (told.start, told.usage, told.choices[0].stop)
    for kinds in ((Text, Thinking), (ToolCall,)):
        assert plain(back, kinds) == plain(told, kinds)
    assert len(scores(back)) == (len(scores(told)) if any(isinstance(p, Text) for p in told.choices[0].parts) else 0)


def paid_for(event: Event) -> Event:
    """Where nobody tells what was paid for, all of it was."""
    if not isinstance(event, Usage) or "billed_units" in event.extra:
        return event
    units = {"input_tokens": event.total_input, "output_tokens": event.total_output}
    return replace(event, extra=event.extra | {"billed_units": units})


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_paid_for_is_told_of_another_wires_answer(stream: bool) -> None:
    """LangChain's client and Haystack's read it without asking whether it is there."""
    usage = Usage(input=7, cache_read=3, output=4, reasoning=2)
    answer = said([Start(id="1"), usage, Finish(stops=(Stop(reason="stop"),))], stream)
    units = b'"billed_units":{"input_tokens":10,"output_tokens":6}'
    assert units in answer


def plain(completion: Completion, kinds: tuple[type, ...]) -> list[Json]:
    return [spelled_out(part) for part in completion.choices[0].parts if isinstance(part, kinds)]


def spelled_out(part: Part) -> Json:
    if isinstance(part, ToolCall):
        return part.name, part.arguments
    assert isinstance(part, Text | Thinking)
    return part.text, part.extra


def scores(completion: Completion) -> list[Json]:
    return [entry for part in completion.choices[0].parts if isinstance(part, Text) for entry in part.logprobs]


EVENTS: list[Event] = [
    Start(id="1"),
    Open(index=0, part=Thinking(extra=PLAN)),
    Delta(index=0, text="I plan."),
    Close(index=0),
    Open(index=1, part=Thinking()),
    Delta(index=1, text="Hm", signature="sealed"),
    Close(index=1),
    Open(index=2, part=Thinking(redacted="sealed")),
    Close(index=2),
    Open(index=3, part=Text()),
    Delta(index=3, text="Hé\n"),
    Delta(
        index=3, citations=[Citation(wire="openai_chat", value={}, url="https://u.example", title="T", start=0, end=1)]
    ),
    Open(index=4, part=ToolCall(id="", name="f")),
    Delta(index=4, text='{"x":'),
    Delta(index=3, text="!", logprobs=[{"token": "!", "logprob": -1.0}]),
    Delta(index=4, text="1}"),
    Close(index=4),
    Close(index=3),
    Open(index=5, part=ToolCall(id="", name="f")),
    Delta(index=5, text="{}"),
    Close(index=5),
    Usage(input=3, cache_read=4, cache_write=1, output=5, reasoning=6),
    Finish(stops=(Stop(reason="tool_use", raw="tool_calls"),)),
]
SOURCES = [
    {"type": "document", "id": "https://u.example", "document": {"title": "T", "url": "https://u.example"}},
]
NOTE = {"start": 0, "end": 1, "text": "H", "sources": SOURCES, "type": "TEXT_CONTENT", "content_index": 1}
USAGE = {
    "billed_units": {"input_tokens": 8, "output_tokens": 11},
    "tokens": {"input_tokens": 8, "output_tokens": 11, "reasoning_tokens": 6},
    "cached_tokens": 4,
}


def test_a_stream_as_the_client_reads_it() -> None:
    data = said(EVENTS)
    assert data.endswith(b"\n\ndata: [DONE]\n\n")
    frames = [frame.split("\n") for frame in data.decode().removesuffix("data: [DONE]\n\n").strip().split("\n\n")]
    told = [json.loads(line.removeprefix("data: ")) for _, line in frames]
    assert [name.removeprefix("event: ") for name, _ in frames] == [event["type"] for event in told]
    first, second = (
        event["delta"]["message"]["tool_calls"]["id"] for event in told if event["type"] == "tool-call-start"
    )
    assert first != second
    assert first.startswith("call_")
    assert said(EVENTS) == data  # the same ids again
    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    scored = {"text": "!", "token_ids": [], "logprobs": [-1.0]}
    assert told == [
        {"type": "message-start", "id": "1", "delta": {"message": empty}},
        plan("I plan."),
        content_start(0, "thinking"),
        content_delta(0, "Hm", "thinking"),
        content_end(0),
        content_start(1),
        content_delta(1, "Hé\n"),
        citation(NOTE),
        {"type": "citation-end", "index": 0},
        content_delta(1, "!", logprobs=scored),  # a call has begun by then, and waits
        content_end(1),
        named(call_start(0), first),
        call_delta(0, '{"x":'),
        call_delta(0, "1}"),
        call_end(0),
        named(call_start(1), second),
        call_delta(1, "{}"),
        call_end(1),
        end("TOOL_CALL", usage=USAGE),
    ]


def named(event: Json, name: str) -> Json:
    return put(event, ("delta", "message", "tool_calls", "id"), name)


def test_a_whole_answer_as_the_client_reads_it() -> None:
    told = json.loads(said(EVENTS, streamed=False))
    first, second = (call.pop("id") for call in told["message"]["tool_calls"])
    assert first != second
    assert told == {
        "id": "1",
        "message": {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hé\n!"}],
            "tool_plan": "I plan.",
            "tool_calls": [
                {"type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
            "citations": [NOTE],
        },
        "finish_reason": "TOOL_CALL",
        "usage": USAGE,
        "logprobs": [{"text": "!", "token_ids": [], "logprobs": [-1.0]}],
    }


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("words", [[], [""]])
def test_a_call_without_a_word_of_arguments_has_none_that_clients_can_read(words: list[str], streamed: bool) -> None:
    """OpenAI's hosts say nothing of them, and Cohere's clients read whatever comes as JSON."""
    calling: list[Event] = [
        Open(index=0, part=ToolCall(id="c", name="f")),
        *(Delta(index=0, text=text) for text in words),
    ]
    told = said([Start(id="a"), *calling, Close(index=0), Usage(), Finish(stops=(Stop(reason="tool_use"),))], streamed)
    if streamed:
        deltas = [each for each in told.split(b"\n\n") if b'"type":"tool-call-delta"' in each]
        (delta,) = [json.loads(each.partition(b"data: ")[2]) for each in deltas if b'"arguments":""' not in each]
        assert delta["delta"]["message"]["tool_calls"]["function"] == {"arguments": "{}"}
    else:
        assert json.loads(told)["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_citations_are_counted_through_the_answer() -> None:
    events: list[Event] = [
        Start(id="1"),
        Open(index=0, part=Text()),
        Delta(index=0, citations=[cited(0)]),
        Delta(index=0, citations=[cited(0), cited(0)]),
        Close(index=0),
        Finish(),
    ]
    told = [json.loads(line[6:]) for line in said(events).decode().splitlines() if line.startswith("data: {")]
    assert [event["index"] for event in told if event["type"] == "citation-end"] == [0, 1, 2]


@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_without_an_id_is_given_one(streamed: bool) -> None:
    told = fold(decoded(said([Start(model="m", created=5), Finish(stops=(Stop(raw="COMPLETE"),))], streamed), streamed))
    assert len(told.start.id) == 32


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("reason", list(STOP_WORDS))
def test_every_reason_has_a_word(reason: Reason, streamed: bool) -> None:
    told = said([Start(id="1"), Finish(stops=(Stop(reason=reason),))], streamed)
    if STOP_WORDS[reason] == "ERROR":  # which is a fault on this wire
        assert reason in failure(told, streamed).message
    else:
        assert fold(decoded(told, streamed)).choices[0].stop.raw == (STOP_WORDS[reason] or reason)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("context", "MAX_TOKENS"),
        ("pause", "MAX_TOKENS"),
        ("content_filter", "ERROR"),
        ("refusal", "ERROR"),
        ("malformed_tool_call", "ERROR"),
    ],
)
def test_the_word_that_is_nearest(reason: Reason, word: str) -> None:
    assert STOP_WORDS[reason] == word


@pytest.mark.parametrize("streamed", [True, False])
def test_a_refusal_is_text(streamed: bool) -> None:
    events: list[Event] = [
        Start(id="1"),
        Open(index=0, part=Refusal()),
        Delta(index=0, text="No."),
        Close(index=0),
        Finish(),
    ]
    assert fold(decoded(said(events, streamed), streamed)).choices[0].parts == [Text(text="No.")]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_block_of_this_wire_goes_back_as_it_came(streamed: bool) -> None:
    part = Opaque(wire="cohere", value={"type": "not_yet", "x": 1})
    events: list[Event] = [Start(id="1"), Open(index=0, part=part), Close(index=0), Finish()]
    assert fold(decoded(said(events, streamed), streamed)).choices[0].parts == [part]


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    "part",
    [Image(source=Remote("x")), Audio(id="x"), Opaque(wire="anthropic", value={}), Document(source=Remote("x"))],
    ids=str,
)
def test_a_part_that_the_wire_has_not_is_refused_aloud(part: Part, streamed: bool) -> None:
    with pytest.raises(Unrepresentable):
        said([Start(), Open(index=0, part=part), Close(index=0), Finish()], streamed)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_second_choice_is_not_lost_in_silence(streamed: bool) -> None:
    with pytest.raises(Unrepresentable):
        said([Start(), Open(index=0, part=Text(), choice=1), Close(index=0), Finish(stops=(Stop(), Stop()))], streamed)
    with pytest.raises(Unrepresentable):
        said([Start(), Finish(stops=(Stop(), Stop()))], streamed)


def test_a_stream_that_breaks_does_not_look_whole() -> None:
    told = said(EVENTS[:3]) + WIRE.renderer(asked()).error(Down("It broke."))
    error = failure(told)
    assert (error.message, error.status) == ("It broke.", 502)
    assert b"[DONE]" not in told
    assert WIRE.error_event(Down("It broke.")) == WIRE.renderer(asked()).error(Down("It broke."))


# --- streams that are unusual, and streams that are broken -----------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "arguments"),
    [
        ([call_start(0), call_end(0)], "{}"),
        ([call_start(0), call_delta(0, ""), call_end(0)], "{}"),
        ([call_start(0, arguments="null"), call_end(0)], "{}"),
        ([call_start(0), call_delta(0, "nu"), call_delta(0, "ll"), call_end(0)], "{}"),
        ([call_start(0), call_delta(0, "nu"), call_delta(0, "mber"), call_end(0)], "number"),
        ([call_start(0, arguments='{"a"'), call_delta(0, ":null"), call_delta(0, "}"), call_end(0)], '{"a":null}'),
        ([call_start(0), call_delta(0, "{}")], "{}"),
    ],
    ids=["none", "empty", "null", "null in pieces", "no null", "an object", "no end"],
)
def test_the_arguments_of_a_call(events: list[Json], arguments: str) -> None:
    assert parts_of(*events) == [ToolCall(id="f_1", name="f", arguments=arguments)]


@pytest.mark.parametrize(("told", "arguments"), [("null", "{}"), ("", "{}"), (None, "{}"), ('{"a": 1}', '{"a": 1}')])
def test_the_arguments_of_a_call_that_comes_whole(told: Json, arguments: str) -> None:
    parts = parts_of_whole(tool_calls=[{"id": "f_1", "function": {"name": "f", "arguments": told}}])
    assert parts == [ToolCall(id="f_1", name="f", arguments=arguments)]


def test_calls_may_overlap() -> None:
    parts = parts_of(
        call_start(0), call_start(1, "g"), call_delta(1, "[]"), call_delta(0, "{}"), call_end(1), call_end(0)
    )
    assert [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)] == [("f", "{}"), ("g", "[]")]


def test_a_plan_ends_where_something_else_begins() -> None:
    parts = parts_of(plan("a"), plan("b"), content_start(0), content_delta(0, "c"), plan("d"))
    assert parts == [Thinking(text="ab", extra=PLAN), Text(text="c"), Thinking(text="d", extra=PLAN)]
    assert parts_of(content_start(0), content_delta(0, "c"), plan("")) == [Text(text="c")]


def test_a_citation_may_come_after_the_end_of_its_text() -> None:
    named_text = citation({**CITED, "content_index": 1})
    parts = parts_of(
        content_start(0, "thinking", "t"),
        content_end(0),
        content_start(1),
        content_delta(1, "Hi"),
        content_end(1),
        named_text,
    )
    assert parts == [Thinking(text="t"), Text(text="Hi", citations=[cited(1)])]
    assert parts_of_whole(
        content=[{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "Hi"}],
        citations=[{**CITED, "content_index": 1}],
    ) == [Thinking(text="t"), Text(text="Hi", citations=[cited(1)])]


@pytest.mark.parametrize(
    "value", [{**CITED, "type": "PLAN"}, {**CITED, "content_index": 9}, {**CITED, "content_index": 0}]
)
def test_a_citation_of_no_text_is_passed_over(value: Json) -> None:
    told = parts_of(content_start(0, "thinking", "t"), content_end(0), content_start(1, text="Hi"), citation(value))
    assert told == [Thinking(text="t"), Text(text="Hi")]


def test_a_citation_without_an_index_is_of_the_last_text() -> None:
    parts = parts_of(content_start(0, "thinking", "t"), content_start(1), content_delta(1, "Hi"), citation(CITED))
    assert isinstance(parts[1], Text)
    assert [one.value for one in parts[1].citations] == [CITED]


def test_where_a_citation_comes_from() -> None:
    tool = {"type": "tool", "id": "f:0", "tool_output": {"content": "x"}}
    page = {"type": "tool", "id": "f:1", "tool_output": {"url": "https://u.example", "title": "T", "snippet": "s"}}
    parts = parts_of_whole(content=[{"type": "text", "text": "Hi"}], citations=[{**CITED, "sources": [tool, page]}])
    assert isinstance(parts[0], Text)
    [one] = parts[0].citations
    assert (one.url, one.title, one.quote, one.start, one.end) == ("https://u.example", "T", "s", 0, 2)


def test_logprobs_stay_with_their_text() -> None:
    item = {"text": "Hi", "token_ids": [1, 2], "logprobs": [-0.5, -1.0]}
    entry = {"token": "Hi", "logprob": -1.5, "bytes": [72, 105], "top_logprobs": []} | {
        "token_ids": [1, 2],
        "logprobs": [-0.5, -1.0],
    }
    expected = [Text(text="Hi", logprobs=[entry])]
    assert parts_of(content_start(0), content_delta(0, "Hi", logprobs=item)) == expected
    answer = whole(content=[{"type": "text", "text": "Hi"}]) | {"logprobs": [item]}
    assert fold(decoded(json.dumps(answer).encode(), False)).choices[0].parts == expected


def test_what_is_new_to_us_is_passed_over_or_kept_whole() -> None:
    new = {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "not_yet", "x": 1}}}}
    parts = parts_of({"type": "debug", "prompt": "p"}, new, content_delta(0, "x"), content_end(0), {"type": "news"})
    assert parts == [Opaque(wire="cohere", value={"type": "not_yet", "x": 1})]


@pytest.mark.parametrize(("word", "reason"), [*REASONS.items(), ("NEW", "other"), (None, "stop"), (5, "stop")])
@pytest.mark.parametrize("streamed", [True, False])
def test_why_an_answer_ended(word: Json, reason: Reason, streamed: bool) -> None:
    data = stream(START, end(word)) if streamed else json.dumps(whole(word)).encode()
    stop = fold(decoded(data, streamed)).choices[0].stop
    assert stop == Stop(reason=reason, raw=word if isinstance(word, str) else "")


@pytest.mark.parametrize(
    ("word", "error", "kind", "message"),
    [
        ("ERROR", "It broke.", Down, "It broke."),
        ("ERROR", None, Down, "The provider's model failed without giving a reason."),
        ("ERROR", {"odd": 1}, Down, "The provider answered 200 with no readable error."),
        ("TIMEOUT", None, Timeout, "The provider's model timed out."),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_that_failed(word: str, error: Json, kind: type, message: str, streamed: bool) -> None:
    data = stream(START, end(word, error=error)) if streamed else json.dumps(whole(word) | {"error": error}).encode()
    fault = failure(data, streamed)
    meter = laws.watch(WIRE.meter(streamed), [data])
    assert isinstance(fault, kind)
    assert (fault.message, fault.upstream_status) == (message, 200)
    assert meter.error is not None
    assert (type(meter.error), meter.error.message) == (kind, message)
    assert meter.finished is not streamed  # a stream that failed has not come to its end; a whole answer is all there


@pytest.mark.parametrize("streamed", [True, False])
def test_an_error_under_200(streamed: bool) -> None:
    data = b'{"message":"invalid request"}'
    meter = laws.watch(WIRE.meter(streamed), [data[:9], data[9:]])
    assert failure(data, streamed).message == "invalid request"
    assert meter.error is not None
    assert meter.error.message == "invalid request"


def test_what_came_before_a_fault_is_handed_out() -> None:
    events, error = laws.listen(WIRE.decoder(True), [stream(START, content_start(0, text="a"), end("ERROR"))])
    assert events == [Start(wire="cohere", id="1"), Open(index=0, part=Text()), Delta(index=0, text="a")]
    assert error is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"data: no json\n\n",
        b"data: []\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        stream(START),
        stream(START, content_start(0), content_delta(0, "a"), content_end(0)),
        stream(content_start(0)),
        stream(end()),
        stream(START, START),
        stream(START, content_start(0), content_start(0)),
        stream(START, content_delta(0, "a")),
        stream(START, content_end(0)),
        stream(START, content_start(0), content_delta(0, 5)),
        stream(START, content_start(0) | {"index": "0"}),
        stream(START, plan(5)),
        stream(START, call_start(0, "")),
        stream(START, call_start(0), call_start(0)),
        stream(START, call_delta(0, "{}")),
        stream(START, call_end(0)),
        stream(START, call_start(0), call_end(0), call_delta(0, "{}")),
    ],
    ids=lambda data: data[-90:].decode("latin-1"),
)
def test_a_broken_stream_is_the_providers_fault(data: bytes) -> None:
    error = failure(data)
    assert isinstance(error, Down)
    assert error.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"message":[]}',
        b'{"message":{"content":5}}',
        b'{"message":{"content":[{"type":"text","text":5}]}}',
        b'{"message":{"tool_plan":5}}',
        b'{"message":{"tool_calls":{}}}',
        b'{"message":{"tool_calls":[5]}}',
        b'{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{}}}]}}',
        b"\xff",
    ],
)
def test_a_broken_whole_answer_is_the_providers_fault(data: bytes) -> None:
    assert isinstance(failure(data, streamed=False), Down)


STREAM: list[Json] = [
    START,
    plan("p"),
    content_start(0, "thinking"),
    content_delta(0, "t", "thinking"),
    content_end(0),
    content_start(1),
    content_delta(1, "Hi", logprobs={"text": "Hi", "token_ids": [1], "logprobs": [-1.0]}),
    citation({**CITED, "content_index": 1}),
    content_end(1),
    call_start(0),
    call_delta(0, "{}"),
    call_end(0),
    end("TOOL_CALL", usage={"tokens": {"input_tokens": 1, "output_tokens": 2}, "billed_units": {}, "cached_tokens": 1}),
]
ANSWER: Json = whole(
    "TOOL_CALL",
    content=[{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "Hi"}],
    tool_plan="p",
    citations=[{**CITED, "content_index": 1}],
    tool_calls=[{"id": "f_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
) | {"usage": {"tokens": {"input_tokens": 1}}, "logprobs": [{"text": "Hi", "logprobs": [-1]}]}


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(places(STREAM)[1:]), ANY_JSON)
def test_any_json_in_any_place_of_a_stream(path: tuple[Json, ...], item: Json) -> None:
    data = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in put(STREAM, path, item))
    events, error = laws.listen(WIRE.decoder(True), [data])
    meter = laws.watch(WIRE.meter(True), [data])
    if error is None:
        assert list(grammatical(events)) == events
        assert (meter.finished, meter.usage) == (True, fold(events).usage)


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(places(ANSWER)), ANY_JSON)
def test_any_json_in_any_place_of_a_whole_answer(path: tuple[Json, ...], item: Json) -> None:
    data = json.dumps(put(ANSWER, path, item)).encode()
    events, error = laws.listen(WIRE.decoder(False), [data])
    meter = laws.watch(WIRE.meter(False), [data])
    if error is None:
        assert (meter.finished, meter.usage, meter.error) == (True, fold(events).usage, None)


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_a_stream_out_of_order_is_a_sentence_or_an_error(seed: int) -> None:
    dice = random.Random(seed)
    events = [dice.choice(STREAM) for _ in range(12)]
    told, error = laws.listen(WIRE.decoder(True), [stream(START, *events)])
    assert error is not None or list(grammatical(told)) == told


@given(st.lists(st.binary(max_size=20) | st.sampled_from([stream(START), stream(end()), b"{", b"\r\n", b"data: "])))
def test_any_bytes_at_all(pieces: list[bytes]) -> None:
    for streamed in (True, False):
        events, error = laws.listen(WIRE.decoder(streamed), pieces)
        assert error is not None or list(grammatical(events)) == events
        laws.watch(WIRE.meter(streamed), pieces)


# --- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ({"tokens": {"input_tokens": 9.0, "output_tokens": 4.0}}, Usage(input=9, output=4)),
        (
            {"tokens": {"input_tokens": 9, "output_tokens": 4, "reasoning_tokens": 3}, "cached_tokens": 5},
            Usage(input=4, cache_read=5, output=1, reasoning=3),
        ),
        (
            {"tokens": {"input_tokens": 34, "output_tokens": 1, "image_tokens": 259}},
            Usage(input=293, output=1, extra={"tokens": {"image_tokens": 259}}),
        ),
        (
            {"billed_units": {"input_tokens": 7, "output_tokens": 2, "search_units": 1}},
            Usage(
                input=7, output=2, extra={"billed_units": {"input_tokens": 7, "output_tokens": 2, "search_units": 1}}
            ),
        ),
        ({"tokens": {"input_tokens": 3}, "cached_tokens": 10}, Usage(cache_read=3)),
        ({"tokens": {"output_tokens": 3, "reasoning_tokens": 10}}, Usage(reasoning=3)),
        ({"tokens": {"input_tokens": -3, "output_tokens": "x"}}, Usage(is_odd=True)),
        ({"tokens": {"input_tokens": 10**300}}, Usage(is_odd=True)),
    ],
    ids=str,
)
def test_usage_is_read_into_disjoint_buckets(told: Json, usage: Usage | None) -> None:
    assert fold(decoded(stream(START, end(usage=told)))).usage == usage


# --- the meter -------------------------------------------------------------------------------------------------------


def test_a_meter_is_not_finished_before_the_end() -> None:
    meter = laws.watch(WIRE.meter(True), [stream(START, content_start(0, text='"message-end"'))])
    assert (meter.finished, meter.usage, meter.error, meter.model) == (False, None, None, "")


def test_a_meter_parses_no_event_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes) -> Any:
        raise AssertionError(data)

    monkeypatch.setattr("proxy.dialects.cohere.meter.object_in", refuse)
    laws.watch(WIRE.meter(True), [stream(*STREAM[:-1])])


def test_a_head_is_a_whole_event() -> None:
    assert not WIRE.has_event(stream(START) + b"event: message-end\ndata: {")
    assert WIRE.has_event(stream(START, {"type": "message-end"}))


# --- errors and models -----------------------------------------------------------------------------------------------


def test_an_error_for_the_client() -> None:
    told = json.loads(WIRE.error(UnknownModel("No such model."), "req_1"))
    assert told == {"message": "No such model.", "id": "req_1"}
    assert WIRE.error_headers(UnknownModel("No such model.")) == []


@pytest.mark.parametrize(
    ("status", "message", "kind", "sort"),
    [
        (400, "bad", Refused, "invalid_request"),
        (401, "invalid api token", Refused, "authentication"),
        (402, "pay", Refused, "quota_exceeded"),
        (403, "no", Refused, "authentication"),
        (404, "model 'x' not found", Refused, "invalid_request"),
        (422, "bad", Refused, "invalid_request"),
        (429, "limited to 10 API calls / minute", Busy, "rate_limit"),
        (429, "limited to 1000 API calls / month", Busy, "quota_exceeded"),
        (498, "blocked", Refused, "invalid_request"),
        (500, "oh", Down, "server_error"),
        (503, "oh", Down, "server_error"),
        (504, "oh", Timeout, "timeout"),
    ],
)
def test_an_error_of_the_provider(status: int, message: str, kind: type[UpstreamError], sort: str) -> None:
    data = json.dumps({"id": "1", "message": message}).encode()
    error = WIRE.decode_error(status, {"retry-after": "3", "x-debug-trace-id": "t"}, data)
    assert isinstance(error, kind)
    assert (error.status, error.kind, error.message, error.body) == (status, sort, message, data)
    assert error.headers == [("retry-after", "3")]


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b'{"message":5}', b"\xff", b"{}"])
def test_an_error_that_cannot_be_read_is_not_handed_on(data: bytes) -> None:
    error = WIRE.decode_error(500, {}, data)
    assert (error.message, error.body) == ("The provider answered 500 with no readable error.", None)


def test_models() -> None:
    listed = json.loads(WIRE.model_list(["a/b", "c"]))["models"]
    assert [model["name"] for model in listed] == ["a/b", "c"]
    assert json.loads(WIRE.model_card("c")) == listed[1]
    assert listed[1]["endpoints"] == ["chat"]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_plan_is_one_whatever_its_mark_holds(streamed: bool) -> None:
    """A client's plan has another mark than a provider's."""
    plan = Thinking(extra={"tool_plan": Verbatim()})
    events: list[Event] = [Start(id="1"), Open(index=0, part=plan), Delta(index=0, text="p"), Close(index=0), Finish()]
    [part] = fold(decoded(said(events, streamed), streamed)).choices[0].parts
    assert part == Thinking(text="p", extra={"tool_plan": True})


def test_an_errors_words_in_place_of_a_stream_are_an_error() -> None:
    meter = laws.watch(WIRE.meter(True), [b'data: {"message": "out of order"}\n\n'])
    assert meter.error is not None
    assert (meter.error.message, meter.finished) == ("out of order", False)
    said = {"type": "content-delta", "message": "of a kind yet to come"}
    assert laws.watch(WIRE.meter(True), [stream(START, said)]).error is None
    assert laws.watch(WIRE.meter(True), [stream(START), stream(said)]).error is None
