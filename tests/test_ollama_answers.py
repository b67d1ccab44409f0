"""Does proxy.dialects.ollama hear and tell an answer whole, however it comes?"""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    Inline,
    Opaque,
    Open,
    Part,
    Reason,
    Remote,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Turn,
    Usage,
    fold,
    grammatical,
)
from proxy.dialects.ollama import Ollama
from proxy.dialects.ollama.meter import MAX_LINE
from proxy.dialects.ollama.words import DURATIONS
from proxy.errors import Busy, Down, OverLimit, Refused, Timeout, UnknownModel, Unrepresentable, UpstreamError
from tests import laws, recordings
from tests.laws import examples
from tests.nested import places, put
from tests.test_ollama import ANY_JSON, PNG, ROWS, WIRE, Json, call_of

STREAMS = [row for row in ROWS if row["framing"] == "ndjson"]
WHOLES = [row for row in ROWS if row["framing"] == "json" and row["status"] == 200]
ERRORS = [row for row in ROWS if row["status"] != 200]


def lines(*chunks: Json) -> bytes:
    return b"".join(json.dumps(chunk, separators=(",", ":")).encode() + b"\n" for chunk in chunks)


def chunk(**message: Json) -> Json:
    said = {"role": "assistant", "content": "", **message}
    return {"model": "llama3", "created_at": "2023-11-14T22:13:20Z", "message": said, "done": False}


def done(reason: str | None = "stop", **fields: Json) -> Json:
    said = {"done": True} if reason is None else {"done": True, "done_reason": reason}
    return chunk() | said | fields


def decoded(data: bytes, streamed: bool = True) -> list[Event]:
    return laws.decoded(WIRE.decoder(streamed), data)


def failure(data: bytes, streamed: bool = True) -> UpstreamError:
    return laws.failure(WIRE.decoder(streamed), data)


def parts_of(data: bytes) -> list[Part]:
    return fold(decoded(data)).choices[0].parts


def asked(streamed: bool = True, generate: bool = False) -> Request:
    turns = [Turn(role="user", parts=[Text(text="hi")], at="prompt" if generate else "messages[0]")]
    return Request(wire="ollama", model="llama3", turns=turns, stream=streamed)


def said(events: list[Event], streamed: bool = True, generate: bool = False) -> bytes:
    return laws.say(WIRE.renderer(asked(streamed, generate)), events)


# --- recorded answers ------------------------------------------------------------------------------------------------


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_a_recorded_stream_is_one_sentence_however_it_is_cut(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    whole = decoded(data)
    for chunks in laws.stream_splits(data):
        assert laws.listen(WIRE.decoder(True), chunks) == (whole, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_a_recorded_answer_says_what_a_plain_reading_finds(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    streamed = row["framing"] == "ndjson"
    told = [json.loads(line) for line in (data.splitlines() if streamed else [data])]
    messages = [line.get("message", line) for line in told]
    completion = fold(decoded(data, streamed))
    parts, stop = completion.choices[0].parts, completion.choices[0].stop
    text = "".join(message.get("content", message.get("response", "")) for message in messages)
    assert "".join(part.text for part in parts if isinstance(part, Text)) == text
    thought = "".join(message.get("thinking", "") for message in messages)
    assert "".join(part.text for part in parts if isinstance(part, Thinking)) == thought
    calls = [call["function"] for message in messages for call in message.get("tool_calls", [])]
    made = [part for part in parts if isinstance(part, ToolCall)]
    assert [(call.name, json.loads(call.arguments)) for call in made] == [(c["name"], c["arguments"]) for c in calls]
    last = told[-1]
    assert stop.raw == last["done_reason"]
    assert stop.reason == ("tool_use" if calls else {"stop": "stop", "length": "length"}.get(stop.raw, "other"))
    usage = completion.usage
    assert usage is not None
    assert (usage.total_input, usage.total_output) == (last.get("prompt_eval_count", 0), last["eval_count"])
    assert usage.extra == {key: last[key] for key in DURATIONS if key in last}
    assert completion.start.model == last["model"]


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_a_recorded_answer_is_metered_as_it_is_decoded(row: recordings.Row) -> None:
    data, streamed = recordings.body(row), row["framing"] == "ndjson"
    completion = fold(decoded(data, streamed))
    for chunks in laws.splits(data, count=10):
        meter = laws.watch(WIRE.meter(streamed), chunks)
        assert (meter.usage, meter.model) == (completion.usage, completion.start.model)
        assert (meter.finished, meter.error) == (True, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_a_recorded_answer_survives_our_own_spelling(row: recordings.Row) -> None:
    events = decoded(recordings.body(row), row["framing"] == "ndjson")
    generate = row["endpoint"] == "api_generate"
    expected = timed(fold(events))
    for streamed in (True, False):
        assert timed(fold(decoded(said(events, streamed, generate), streamed))) == expected


def timed(completion: Completion) -> Completion:
    """Less the durations: what a provider does not tell of is measured."""
    assert completion.usage is not None
    for key in DURATIONS:
        completion.usage.extra.pop(key, None)
    return completion


@recordings.needs_recordings
@pytest.mark.parametrize("row", ERRORS, ids=recordings.ids)
def test_a_recorded_error_keeps_its_status_its_words_and_its_body(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    error = WIRE.decode_error(row["status"], row["response_headers"], data)
    assert isinstance(error, Refused)
    assert (error.status, error.upstream_status, error.body) == (404, 404, data)
    assert error.message == json.loads(data)["error"]
    assert failure(data).message == error.message  # the same where a stream was expected


# --- laws of the answer ----------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
NAMES = st.sampled_from(["f", "get_weather"])
SCORED = st.lists(
    st.fixed_dictionaries({"token": TEXT, "logprob": st.just(-0.5), "bytes": st.none(), "top_logprobs": st.just([])}),
    max_size=2,
)
COUNTS = st.integers(0, 10**7)


@st.composite
def sentences(draw: st.DrawFn) -> list[Event]:
    """What this wire can say: text and thinking in turn, and calls, each whole."""
    model, created = draw(TEXT), draw(st.integers(0, 4 * 10**9))
    events: list[Event] = [Start(wire="ollama", model=model, created=created)]
    before, called = "", False
    for index in range(draw(st.integers(0, 4))):
        kind = draw(
            st.sampled_from([kind for kind in ("text", "thinking", "call") if kind != before or kind == "call"])
        )
        before = kind
        if kind == "call":
            called = True
            arguments = json.dumps(
                draw(st.dictionaries(TEXT, COUNTS, max_size=2)), separators=(",", ":"), ensure_ascii=False
            )
            call = ToolCall(id=draw(st.sampled_from(["", "call_1"])), name=draw(NAMES))
            events += [Open(index=index, part=call), Delta(index=index, text=arguments), Close(index=index)]
            continue
        events.append(Open(index=index, part=Text() if kind == "text" else Thinking()))
        for text in draw(st.lists(TEXT, min_size=1, max_size=3)):
            events.append(Delta(index=index, text=text, logprobs=draw(SCORED) if kind == "text" else []))
        events.append(Close(index=index))
    if draw(st.booleans()):
        durations = {key: draw(COUNTS) for key in DURATIONS}
        events.append(Usage(input=draw(COUNTS), output=draw(COUNTS), extra=durations))
    word = draw(st.sampled_from(["stop", "length", "load", "custom"]))
    reasons: dict[str, Reason] = {"stop": "tool_use" if called else "stop", "length": "length"}
    reason = reasons.get(word, "other")
    return [*events, Finish(stops=(Stop(reason=reason, raw=word),))]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sentences(), st.booleans())
def test_what_is_rendered_is_decoded(events: list[Event], generate: bool) -> None:
    assert decoded(said(events, generate=generate)) == events


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sentences(), st.booleans())
def test_what_is_rendered_whole_has_the_same_parts(events: list[Event], generate: bool) -> None:
    """The wire has one field for each kind, so that the order among the kinds is lost, and only that."""
    told, back = fold(events), fold(decoded(said(events, False, generate), False))
    assert (back.start, back.usage, back.choices[0].stop) == (told.start, told.usage, told.choices[0].stop)
    for kind in (Text, Thinking):
        assert joined(back, kind) == joined(told, kind)
    calls = [[part for part in one.choices[0].parts if isinstance(part, ToolCall)] for one in (told, back)]
    assert calls[0] == calls[1]


def joined(completion: Completion, kind: type[Text | Thinking]) -> str:
    return "".join(part.text for part in completion.choices[0].parts if isinstance(part, kind))


EVENTS: list[Event] = [
    Start(id="x", model="gpt", created=1_700_000_000, extra={"error": "no!", "remote_host": "h"}),
    Open(index=0, part=Thinking()),
    Delta(index=0, text="Hm"),
    Close(index=0),
    Open(index=1, part=Text()),
    Delta(index=1, text="Hé\n"),
    Delta(index=1, citations=[Citation(wire="cohere", value={})]),
    Open(index=2, part=ToolCall(id="c", name="f")),
    Delta(index=2, text='{"x":'),
    Delta(index=1, text="!", logprobs=[{"token": "!", "logprob": -1.0}]),
    Delta(index=2, text="\n1}"),
    Close(index=2),
    Close(index=1),
    Open(index=3, part=ToolCall(id="", name="g")),
    Close(index=3),
    Usage(input=3, cache_read=4, output=5, reasoning=6),
    Finish(stops=(Stop(reason="tool_use", raw="tool_calls"),)),
]


def test_a_stream_as_the_client_reads_it() -> None:
    told = [json.loads(line) for line in said(EVENTS).splitlines()]
    top = {"model": "gpt", "remote_host": "h", "created_at": "2023-11-14T22:13:20Z"}
    assert all(line.items() >= top.items() for line in told)
    assert [{k: v for k, v in line.items() if k not in top} for line in told] == [
        {"message": {"role": "assistant", "content": "", "thinking": "Hm"}, "done": False},
        {"message": {"role": "assistant", "content": "Hé\n"}, "done": False},
        {
            "message": {"role": "assistant", "content": "!"},
            "done": False,
            "logprobs": [{"token": "!", "logprob": -1.0}],
        },
        {
            "message": {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}}],
            },
            "done": False,
        },
        {
            "message": {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"index": 1, "name": "g", "arguments": {}}}],
            },
            "done": False,
        },
        {
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 7,
            "eval_count": 11,
        },
    ]


def test_a_whole_answer_as_the_client_reads_it() -> None:
    told = json.loads(said(EVENTS, streamed=False))
    assert {key: told[key] for key in ("message", "done", "done_reason", "eval_count")} == {
        "message": {
            "role": "assistant",
            "content": "Hé\n!",
            "thinking": "Hm",
            "tool_calls": [
                {"id": "c", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}},
                {"function": {"index": 1, "name": "g", "arguments": {}}},
            ],
        },
        "done": True,
        "done_reason": "stop",
        "eval_count": 11,
    }
    assert told["logprobs"] == [{"token": "!", "logprob": -1.0}]


def test_an_answer_to_a_prompt_has_no_message() -> None:
    first, *_, last = (json.loads(line) for line in said(EVENTS, generate=True).splitlines())
    assert (first["response"], first["thinking"], first["done"]) == ("", "Hm", False)
    assert (last["response"], last["done"]) == ("", True)
    whole = json.loads(said(EVENTS, streamed=False, generate=True))
    assert (whole["response"], whole["thinking"]) == ("Hé\n!", "Hm")
    assert "message" not in first | last | whole


def test_the_time_that_an_answer_took_is_measured() -> None:
    times = iter([100.0, 100.25, 101.25, 101.25])
    renderer = Ollama(clock=lambda: next(times)).renderer(asked())
    events: list[Event] = [
        Start(wire="ollama", created=0),
        Open(index=0, part=Text()),
        Close(index=0),
        Usage(output=5),
        Finish(),
    ]
    last = json.loads(laws.say(renderer, events).splitlines()[-1])
    assert (last["prompt_eval_duration"], last["eval_duration"]) == (250_000_000, 1_000_000_000)
    assert last["total_duration"] == 1_250_000_000
    assert "load_duration" not in last


def test_of_an_answer_that_came_whole_nobody_saw_the_first_word() -> None:
    times = iter([100.0, 102.0, 102.0])
    renderer = Ollama(clock=lambda: next(times)).renderer(asked(streamed=False))
    told = json.loads(laws.say(renderer, EVENTS))
    assert (told["total_duration"], told["eval_duration"]) == (2_000_000_000, 2_000_000_000)
    assert told.keys().isdisjoint({"prompt_eval_duration", "load_duration"})


@pytest.mark.parametrize("created", [None, 10**15, -(10**15)])
def test_an_answer_without_a_date_has_ours(created: int | None) -> None:
    [last] = said([Start(created=created), Finish()]).splitlines()
    assert json.loads(last)["created_at"] == "2023-11-14T22:13:20.500000Z"


@pytest.mark.parametrize(
    ("stop", "word"),
    [
        (Stop(reason="stop", raw="end_turn"), "stop"),
        (Stop(reason="stop_sequence"), "stop"),
        (Stop(reason="length"), "length"),
        (Stop(reason="context"), "length"),
        (Stop(reason="pause"), "length"),
        (Stop(reason="tool_use"), "stop"),
        (Stop(reason="content_filter"), "content_filter"),
        (Stop(reason="refusal"), "content_filter"),
        (Stop(reason="malformed_tool_call", raw="MALFORMED_FUNCTION_CALL"), "MALFORMED_FUNCTION_CALL"),
        (Stop(reason="other"), "other"),
        (Stop(reason="other", raw="unload"), "unload"),
    ],
    ids=str,
)
@pytest.mark.parametrize("streamed", [True, False])
def test_every_reason_has_a_word(stop: Stop, word: str, streamed: bool) -> None:
    told = said([Start(), Finish(stops=(stop,))], streamed)
    assert json.loads(told)["done_reason"] == word


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


@pytest.mark.parametrize("arguments", ['{"x":', "[]", "x", "\ud800"])
def test_arguments_that_are_no_object_are_shown_as_they_are(arguments: str) -> None:
    """Half of a surrogate pair, which no JSON can hold that everybody reads, as U+FFFD."""
    call = ToolCall(id="c", name="f")
    events: list[Event] = [Start(), Open(index=0, part=call), Delta(index=0, text=arguments), Close(index=0), Finish()]
    told = json.loads(said(events).splitlines()[0])
    assert told["message"]["tool_calls"][0]["function"]["arguments"] == {
        "malformed_arguments": arguments.replace("\ud800", "\ufffd")
    }


def test_a_stream_that_breaks_ends_with_a_line_that_says_so() -> None:
    renderer = WIRE.renderer(asked())
    assert renderer.error(Down("It broke.")) == b'{"error":"It broke."}\n'
    assert WIRE.error_event(Down("It broke.")) == b'{"error":"It broke."}\n'


# --- streams that are unusual, and streams that are broken -----------------------------------------------------------


def test_thinking_and_text_take_turns() -> None:
    data = lines(chunk(thinking="a"), chunk(thinking="b", content="c"), chunk(content="d"), chunk(thinking="e"), done())
    assert parts_of(data) == [Thinking(text="ab"), Text(text="cd"), Thinking(text="e")]


def test_calls_may_come_one_by_one_or_together() -> None:
    first, second, third = call_of("f", x=1), call_of("g") | {"id": "b"}, {"function": {"name": "h"}}
    data = lines(chunk(tool_calls=[first]), chunk(content="x", tool_calls=[second, third]), done())
    assert parts_of(data) == [
        ToolCall(id="", name="f", arguments='{"x":1}'),
        Text(text="x"),
        ToolCall(id="b", name="g", arguments="{}"),
        ToolCall(id="", name="h", arguments="{}"),
    ]
    assert fold(decoded(data)).choices[0].stop == Stop(reason="tool_use", raw="stop")


def test_the_last_line_may_speak_too() -> None:
    assert parts_of(lines(done(message={"role": "assistant", "content": "all"}))) == [Text(text="all")]


def test_an_image_is_no_text() -> None:
    assert parts_of(lines(chunk(images=[PNG]), done())) == [Image(source=Inline(PNG, "image/png"))]


def test_logprobs_stay_with_their_text() -> None:
    data = lines(chunk(content="a") | {"logprobs": [{"token": "a", "logprob": -1}, 3]}, done())
    entry = {"token": "a", "logprob": -1, "bytes": None, "top_logprobs": []}
    assert parts_of(data) == [Text(text="a", logprobs=[entry])]


@pytest.mark.parametrize("reason", [None, "stop", "load", "unload", "not yet invented"])
def test_why_an_answer_ended(reason: str | None) -> None:
    known = reason in (None, "stop")
    stop = Stop(reason="stop" if known else "other", raw=reason or "")
    assert decoded(lines(done(reason)))[-1] == Finish(stops=(stop,))


def test_a_model_that_was_loaded_counted_nothing() -> None:
    events = decoded(
        lines({"model": "m", "created_at": "x", "response": "", "done": True, "done_reason": "load"}), False
    )
    assert events == [Start(wire="ollama", model="m"), Finish(stops=(Stop(reason="other", raw="load"),))]


def test_a_cached_prompt_may_count_nothing() -> None:
    usage = fold(decoded(lines(done(eval_count=3)))).usage
    assert usage == Usage(output=3)


@pytest.mark.parametrize("count", [-1, True, "7", None, [1], 10**13])
def test_a_count_that_is_no_count_counts_nothing(count: Json) -> None:
    usage = fold(decoded(lines(done(prompt_eval_count=count, eval_count=3)))).usage
    assert usage == Usage(output=3, is_odd=True)


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000),
        ("2023-11-14T14:13:20.5-08:00", 1_700_000_000),
        ("0001-01-01T00:00:00Z", -62135596800),
        ("0001-01-01T00:00:00+23:59", -62135683140),
        ("yesterday", None),
        (5, None),
    ],
)
def test_dates(date: Json, seconds: int | None) -> None:
    start = decoded(lines(done() | {"created_at": date}))[0]
    assert isinstance(start, Start)
    assert start.created == seconds


def test_what_follows_the_last_line_is_not_the_answers() -> None:
    assert decoded(lines(done()) + b"garbage\n") == decoded(lines(done()))


def test_what_came_before_a_fault_is_handed_out() -> None:
    events, error = laws.listen(WIRE.decoder(True), [lines(chunk(content="a"), {"error": "it broke"})])
    assert events == decoded(lines(chunk(content="a"), done()))[:3]
    assert isinstance(error, Down)
    assert (error.message, error.status) == ("it broke", 502)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"no json\n",
        b"[]\n",
        b"5\n",
        b'{"error":{"message":"odd"}}\n',
        b'{"error":["x"]}\n',
        b'{"message":"Unauthorized"}\n',
        b'{"model":"m","message":{"content":5},"done":false}\n',
        b'{"model":"m","message":{"thinking":[]},"done":false}\n',
        b'{"model":"m","message":{"tool_calls":{}},"done":false}\n',
        b'{"model":"m","message":{"tool_calls":[5]},"done":false}\n',
        b'{"model":"m","message":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},"done":true}\n',
        b"\xff\n",
        b"[" * 100_000,
        lines(chunk(content="a")),
        lines(chunk(content="a") | {"done": "yes"}),
    ],
    ids=lambda data: data[:60].decode("latin-1"),
)
@pytest.mark.parametrize("streamed", [True, False])
def test_a_broken_answer_is_the_providers_fault(data: bytes, streamed: bool) -> None:
    error = failure(data, streamed)
    assert isinstance(error, Down)
    assert error.message


def test_an_error_in_openais_shape_is_told_in_its_words() -> None:
    """As hosts give it that speak both wires."""
    assert failure(b'{"error":{"message":"odd"}}\n').message == "odd"


ANSWER: Json = chunk(content="x", thinking="t", tool_calls=[{"id": "i", **call_of("f", x=1)}], images=[PNG]) | {
    "done": True,
    "done_reason": "stop",
    "eval_count": 1,
    "prompt_eval_count": 1,
    "total_duration": 1,
    "logprobs": [{"token": "x", "logprob": -1}],
    "remote_host": "h",
    "error": "",
}


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(places(ANSWER)), ANY_JSON, st.booleans())
def test_any_json_in_any_place_of_an_answer(path: tuple[Json, ...], item: Json, streamed: bool) -> None:
    data = lines(put(ANSWER, path, item))
    events, error = laws.listen(WIRE.decoder(streamed), [data])
    meter = laws.watch(WIRE.meter(streamed), [data])
    if error is None:
        assert meter.usage == fold(events).usage
        assert meter.finished


@given(st.lists(st.binary(max_size=20) | st.sampled_from([lines(chunk(content="a")), lines(done()), b"{", b"\r\n"])))
def test_any_bytes_at_all(pieces: list[bytes]) -> None:
    for streamed in (True, False):
        events, error = laws.listen(WIRE.decoder(streamed), pieces)
        assert error is not None or list(grammatical(events)) == events
        laws.watch(WIRE.meter(streamed), pieces)


# --- the meter -------------------------------------------------------------------------------------------------------


def test_a_meter_is_not_finished_before_the_last_line() -> None:
    meter = laws.watch(WIRE.meter(True), [lines(chunk(content='"done":true'), chunk(content="x"))])
    assert (meter.finished, meter.usage, meter.model) == (False, None, "llama3")


def test_a_meter_parses_no_line_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def read(line: bytes) -> Json:
        seen.append(line)
        return {"model": "m"}

    monkeypatch.setattr("proxy.dialects.ollama.meter.object_in", read)
    laws.watch(WIRE.meter(True), [lines(chunk(content="1")), lines(chunk(content="2"), chunk(content="3"))])
    assert seen == [lines(chunk(content="1")).strip()]


def test_a_meter_meets_any_spacing() -> None:
    data = json.dumps(done(eval_count=2), indent=None, separators=(" , ", " : ")).encode() + b"\r\n"
    meter = laws.watch(WIRE.meter(True), [data])
    assert (meter.finished, meter.usage) == (True, Usage(output=2))


@pytest.mark.parametrize("streamed", [True, False])
def test_a_meter_knows_an_error_under_200(streamed: bool) -> None:
    meter = laws.watch(WIRE.meter(streamed), [b'{"error":"out of memory"}'])
    assert meter.error is not None
    assert meter.error.message == "out of memory"


def test_a_meter_passes_over_a_line_that_is_too_long() -> None:
    long = [b'{"model":"long","message":{"content":"', b"x" * MAX_LINE, b'"}}\n']
    meter = laws.watch(WIRE.meter(True), [*long, lines(done(eval_count=1))])
    assert (meter.finished, meter.usage, meter.model) == (True, Usage(output=1), "llama3")


def test_a_head_is_a_whole_line() -> None:
    assert not WIRE.has_event(b'\n\n{"model":')
    assert WIRE.has_event(b'{"model":"m"}\n')


# --- errors and models -----------------------------------------------------------------------------------------------


def test_an_error_is_one_sentence() -> None:
    assert WIRE.error(UnknownModel("No such model."), "req_1") == b'{"error":"No such model."}'
    assert WIRE.error_headers(OverLimit("Slow down.")) == []


@pytest.mark.parametrize(
    ("status", "kind", "sort"),
    [
        (400, Refused, "invalid_request"),
        (401, Refused, "authentication"),
        (402, Refused, "quota_exceeded"),
        (403, Refused, "authentication"),
        (404, Refused, "invalid_request"),
        (429, Busy, "rate_limit"),
        (500, Down, "server_error"),
        (503, Busy, "rate_limit"),
        (504, Timeout, "timeout"),
    ],
)
def test_an_error_of_the_provider(status: int, kind: type[UpstreamError], sort: str) -> None:
    error = WIRE.decode_error(status, {"Retry-After": "3", "X-Secret": "s"}, b'{"error":"because"}')
    assert isinstance(error, kind)
    assert (error.status, error.kind, error.message) == (status, sort, "because")
    assert error.headers == [("Retry-After", "3")]


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b'{"error":5}', b'{"error":""}', b"\xff", b"{}"])
def test_an_error_that_cannot_be_read_is_not_handed_on(data: bytes) -> None:
    error = WIRE.decode_error(500, {}, data)
    assert error.message == "The provider answered 500 with no readable error."
    assert error.body in (None, b'{"error":""}')


def test_an_error_in_openais_shape_is_read_too() -> None:
    error = WIRE.decode_error(500, {}, b'{"error":{"message":"because"}}')
    assert (error.message, error.body) == ("because", None)


def test_models() -> None:
    listed = json.loads(WIRE.model_list(["a/b:c", "d"]))["models"]
    assert [(model["name"], model["model"]) for model in listed] == [("a/b:c", "a/b:c"), ("d", "d")]
    card = json.loads(WIRE.model_card("a/b:c"))
    assert card["capabilities"] == ["completion", "tools"]
