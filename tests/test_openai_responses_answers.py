"""Does proxy.dialects.openai_responses hear and tell an answer as the wire has it, also to OpenAI's own SDK?"""

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.types.responses import Response, ResponseOutputText
from openai.types.responses.response_stream_event import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from proxy.canon import (
    Audio,
    Choice,
    Citation,
    Close,
    Completion,
    Delta,
    Event,
    Finish,
    Format,
    Image,
    Inline,
    Opaque,
    Open,
    Part,
    Reason,
    Refusal,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    Tool,
    ToolCall,
    Turn,
    Usage,
    fold,
    grammatical,
    unfold,
)
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.dialects.openai_responses.citations import citations_of, spelled
from proxy.dialects.openai_responses.items import content_of
from proxy.errors import (
    BadRequest,
    Busy,
    Down,
    GatewayError,
    OverLimit,
    Refused,
    Timeout,
    Unauthorized,
    Unrepresentable,
    UpstreamError,
)
from proxy.framing import Frame, ServerSentEvents
from proxy.grammar.openai import TIERS
from proxy.ports import Peek
from tests import laws, recordings
from tests.laws import examples

WORLD = "openai_responses"
NOW = 1750000000
WIRE = OpenAIResponses(clock=lambda: float(NOW))

ROWS = recordings.load("*.responses")
STREAMS = [row for row in ROWS if row["framing"] == "sse"]
WHOLES = [row for row in ROWS if row["framing"] == "json" and row["status"] == 200]
ERRORS = [row for row in ROWS if row["status"] != 200]


def frames(data: bytes) -> list[Frame]:
    return laws.drain(ServerSentEvents(), [data])


def told(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame.data) for frame in frames(data)]


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def decoded(data: bytes, streamed: bool = True) -> list[Event]:
    return laws.decoded(WIRE.decoder(streamed), data)


def failure(data: bytes, streamed: bool = True) -> UpstreamError:
    return laws.failure(WIRE.decoder(streamed), data)


def asked(streamed: bool = True, **fields: Any) -> Request:
    every: dict[str, Any] = {"wire": WORLD, "model": "gpt", "turns": [], "stream": streamed}
    return Request(**every | fields)


def said(events: list[Event], streamed: bool = True) -> bytes:
    return laws.say(WIRE.renderer(asked(streamed)), events)


DONE = Stop(raw="completed")


def sentence(*parts: Part, stop: Stop = DONE, usage: Usage | None = None) -> list[Event]:
    start = Start(wire="openai_responses", id="resp_1", model="gpt-5", created=NOW)
    return list(unfold(Completion(start=start, choices=[Choice(parts=list(parts), stop=stop)], usage=usage)))


# --- recorded answers ------------------------------------------------------------------------------------------------


def response_of(row: recordings.Row) -> dict[str, Any]:
    """The response that the recording tells: what came first, where a stream tells twice.

    Azure seals a thought anew each time that it tells it, and OpenAI rounds logprobs where it tells a message again.
    """
    if row["framing"] == "json":
        whole: dict[str, Any] = json.loads(recordings.body(row))
        return whole
    events = [json.loads(frame.data) for frame in frames(recordings.body(row)) if frame.data != b"[DONE]"]
    last: dict[str, Any] = events[-1]["response"]
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    for item, scores in zip((item for item in items if item["type"] == "message"), scored(events), strict=False):
        item["content"][0] |= {"logprobs": scores} if scores else {}
    return {**last, "output": items}


def scored(events: list[dict[str, Any]]) -> list[list[Any]]:
    """The logprobs of each text, as its deltas had them."""
    texts: dict[int, list[Any]] = {}
    for event in events:
        if event["type"] == "response.output_text.delta":
            texts.setdefault(event["output_index"], []).extend(event.get("logprobs") or [])
    return list(texts.values())


def plain_part(part: Part) -> dict[str, Any]:
    """A part, as a plain reading of the wire would have it."""
    match part:
        case Text():
            notes, scores = spelled(part.citations), part.logprobs
            return {"type": "output_text", "text": part.text, "annotations": notes, "logprobs": scores, **part.extra}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Thinking():
            return {"type": "reasoning", "id": part.id, "text": part.text, "seal": part.signature}
        case ToolCall():
            return {"type": part.kind, "id": part.id, "name": part.name, "arguments": part.arguments, **part.extra}
        case Image(source=Inline(data=data)):
            return {**part.extra["image_generation_call"], "result": data}
        case Opaque():
            return part.value
        case _:
            raise AssertionError(part)


def plain_items(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for item in items for part in plain_item(item)]


def plain_item(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match item["type"]:
        case "message":
            phase = {"phase": item["phase"]} if item.get("phase") else {}
            for part in item["content"]:
                if part["type"] == "refusal":
                    yield part
                else:
                    yield {
                        "type": "output_text",
                        "annotations": [],
                        **part,
                        "logprobs": part.get("logprobs") or [],
                        **phase,
                    }
        case "reasoning":
            texts = [part["text"] for part in item.get("summary") or item.get("content") or []]
            seal = item.get("encrypted_content") or ""
            if texts or seal:
                yield {"type": "reasoning", "id": item["id"], "text": "\n\n".join(texts), "seal": seal}
        case "function_call" | "custom_tool_call":
            known = ("type", "id", "call_id", "name", "arguments", "input", "status", "item_id", "output_index")
            extra = {key: more for key, more in item.items() if key not in known and more is not None}
            kind, text = ("function", "arguments") if item["type"] == "function_call" else ("custom", "input")
            yield {"type": kind, "id": item["call_id"], "name": item["name"], "arguments": item[text], **extra}
        case _:
            yield item


def plain_stop(response: dict[str, Any]) -> Reason:
    kinds = [part["type"] for part in plain_items(response["output"])]
    if response["status"] == "incomplete":
        reasons: dict[str, Reason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
        return reasons[response["incomplete_details"]["reason"]]
    if {"function", "custom"} & set(kinds):
        return "tool_use"
    return "stop"


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_recorded_answer_says_what_a_plain_reading_finds(row: recordings.Row) -> None:
    response = response_of(row)
    recordings.replayed(row)
    completion = fold(decoded(recordings.body(row), row["framing"] == "sse"))
    choice, usage = completion.choices[0], completion.usage
    assert [plain_part(part) for part in choice.parts] == plain_items(response["output"])
    assert (completion.start.id, completion.start.model) == (response["id"], response["model"])
    assert completion.start.created == response["created_at"]
    assert choice.stop.reason == plain_stop(response)
    counts = response["usage"]
    assert usage is not None
    assert (usage.total_input, usage.total_output) == (counts["input_tokens"], counts["output_tokens"])
    assert usage.cache_read == (counts.get("input_tokens_details") or {}).get("cached_tokens", 0)
    assert usage.reasoning == (counts.get("output_tokens_details") or {}).get("reasoning_tokens", 0)


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_recorded_stream_is_one_sentence_however_it_is_cut(row: recordings.Row) -> None:
    data = recordings.body(row)
    whole = decoded(data)
    for chunks in laws.stream_splits(data):
        assert laws.listen(WIRE.decoder(True), chunks) == (whole, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_recorded_answer_is_metered_as_it_is_decoded(row: recordings.Row) -> None:
    data, streamed = recordings.body(row), row["framing"] == "sse"
    completion = fold(decoded(data, streamed))
    for chunks in laws.splits(data, count=10):
        meter = laws.watch(WIRE.meter(streamed), chunks)
        heard = (meter.usage, meter.model, meter.finished, meter.error)
        assert heard == (completion.usage, completion.start.model, True, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_recorded_stream_is_the_whole_answer_that_ends_it(row: recordings.Row) -> None:
    response = json.dumps(response_of(row)).encode()
    assert fold(decoded(recordings.body(row))) == fold(decoded(response, streamed=False))


def test_thoughts_of_one_id_are_several_and_the_sdk_can_tell_them_apart() -> None:
    parts: list[Part] = [
        Thinking(id="rs_1", text="One.", signature="a"),
        Thinking(id="rs_1", text="Two.", signature="b"),
    ]
    items = [
        {**THOUGHT_ITEM, "summary": [{"type": "summary_text", "text": text}], "encrypted_content": seal}
        for text, seal in (("One.", "a"), ("Two.", "b"))
    ]
    assert fold(decoded(json.dumps(completed(*items)["response"]).encode(), streamed=False)).choices[0].parts == parts
    with sdk(said(sentence(*parts))).responses.stream(model="gpt", input="hi") as events:
        assert [item.type for item in events.get_final_response().output] == ["reasoning", "reasoning"]


@recordings.needs_recordings
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_recorded_answer_survives_our_own_spelling(row: recordings.Row, streamed: bool) -> None:
    events = decoded(recordings.body(row), row["framing"] == "sse")
    back, whole = distinct(fold(decoded(said(events, streamed), streamed))), distinct(fold(events))
    assert back.choices[0].stop.reason == whole.choices[0].stop.reason
    back.choices[0].stop = whole.choices[0].stop  # one fixture has a word of its own for "completed"
    if whole.usage and not whole.usage.tier:  # an older host named none, and we always do
        whole.usage = replace(whole.usage, tier="default")
    assert back == whole


def distinct(completion: Completion) -> Completion:
    """Without the ids of thoughts but the first: xAI gives one to several, and we do not."""
    for part in [part for part in completion.choices[0].parts if isinstance(part, Thinking)][1:]:
        part.id = ""
    return completion


@recordings.needs_recordings
@pytest.mark.parametrize("row", ERRORS, ids=recordings.ids)
def test_recorded_error_keeps_its_status_its_words_and_its_body(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    error = WIRE.decode_error(row["status"], row["response_headers"], data)
    body = json.loads(data)
    words = body["error"] if isinstance(body["error"], dict) else {"message": body["error"], "code": body["code"]}
    assert isinstance(error, Refused)
    assert (error.status, error.upstream_status, error.body) == (row["status"], row["status"], data)
    assert (error.message, error.param) == (words["message"], words.get("param"))
    assert error.code == (words["code"] or "upstream_refused")
    assert failure(data, streamed=False).message == words["message"]  # the same where an answer was expected


# --- hosts that leave things out -------------------------------------------------------------------------------------

CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "gpt", "created_at": NOW}}
TEXT_ITEM = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello there", "annotations": []}],
}
CALL_ITEM = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"x":1}'}
THOUGHT_ITEM = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
    "encrypted_content": "gAAA",
}


def completed(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "type": "response.completed",
        "response": {"id": "resp_1", "status": "completed", "output": list(items), **fields},
    }


def added(number: int, item: dict[str, Any], **change: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": number, "item": {**item, **change}}


def done(number: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": number, "item": item}


def delta(kind: str, text: str, number: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": number, "delta": text, **fields}


HELLO = Text(text="Hello there")
CALLED = ToolCall(id="call_1", name="f", arguments='{"x":1}')
THOUGHT = Thinking(id="rs_1", text="One.\n\nTwo.", signature="gAAA")


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        pytest.param(
            [CREATED, completed(THOUGHT_ITEM, TEXT_ITEM, CALL_ITEM)], [THOUGHT, HELLO, CALLED], id="all but the end"
        ),
        pytest.param(
            [CREATED, done(0, THOUGHT_ITEM), done(1, TEXT_ITEM), completed()], [THOUGHT, HELLO], id="no pieces"
        ),
        pytest.param(
            [CREATED, delta("output_text", "Hello", content_index=0), delta("output_text", " there"), completed()],
            [HELLO],
            id="no items",
        ),
        pytest.param(
            [CREATED, delta("output_text", "Hello"), completed(TEXT_ITEM)],
            [HELLO],
            id="the end of a text comes with the end",
        ),
        pytest.param(
            [delta("output_text", "Hello there"), done(0, TEXT_ITEM), completed()], [HELLO], id="no beginning"
        ),
        pytest.param(
            [CREATED, added(0, CALL_ITEM, arguments=""), done(0, CALL_ITEM), completed(CALL_ITEM)],
            [CALLED],
            id="no arguments",
        ),
        pytest.param(
            [CREATED, delta("function_call_arguments", '{"x"'), done(0, CALL_ITEM), completed()],
            [CALLED],
            id="a late name",
        ),
        pytest.param(
            [CREATED, added(0, CALL_ITEM, arguments=""), delta("function_call_arguments", '{"x":1}'), completed()],
            [CALLED],
            id="no item.done",
        ),
        pytest.param(
            [CREATED, done(0, {**CALL_ITEM, "arguments": {"x": 1}}), completed()],
            [CALLED],
            id="arguments that are an object",
        ),
        pytest.param(
            [CREATED, done(0, {**CALL_ITEM, "call_id": None}), completed()],
            [ToolCall(id="fc_1", name="f", arguments='{"x":1}')],
            id="no call_id",
        ),
        pytest.param(
            [
                CREATED,
                delta("reasoning_summary_text", "One.", summary_index=0, item_id="rs_1"),
                delta("reasoning_text", "Not shown."),
                delta("reasoning_summary_text", "Two.", summary_index=1),
                done(0, THOUGHT_ITEM),
                completed(THOUGHT_ITEM),
            ],
            [THOUGHT],
            id="a summary of two parts",
        ),
        pytest.param(
            [
                CREATED,
                delta("output_text", "Hello", 1, item_id="msg_1"),
                delta("reasoning_text", "Hm.", 0, item_id="rs_1"),
                delta("output_text", " there", 1, item_id="msg_1"),
                completed({"type": "reasoning", "id": "rs_1", "summary": []}, TEXT_ITEM),
            ],
            [HELLO, Thinking(id="rs_1", text="Hm.")],
            id="items that interleave",
        ),
        pytest.param(
            [
                CREATED,
                {**delta("output_text", "Hello there"), "output_index": None, "item_id": "msg_1"},
                completed(TEXT_ITEM),
            ],
            [HELLO],
            id="no output_index",
        ),
        pytest.param(
            [CREATED, done(0, {"type": "reasoning", "id": "rs_1", "summary": []}), done(1, TEXT_ITEM), completed()],
            [HELLO],
            id="a thought that says nothing",
        ),
        pytest.param(
            [CREATED, done(0, {**TEXT_ITEM, "content": [{"type": "new", "x": 1}]}), completed()],
            [Opaque(wire=WORLD, value={"type": "message", "role": "assistant", "content": [{"type": "new", "x": 1}]})],
            id="a part that nobody knows",
        ),
        pytest.param(
            [CREATED, delta("output_text", "Adieu"), done(0, TEXT_ITEM), completed(TEXT_ITEM)],
            [Text(text="Adieu")],
            id="a host that contradicts itself",
        ),
        pytest.param(
            [
                CREATED,
                done(0, {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"x":1}'}),
                delta("function_call_arguments", '{"x":1}'),
                completed(),
            ],
            [CALLED],
            id="a host that goes on with what is done",
        ),
    ],
)
def test_what_a_host_leaves_out_is_found_elsewhere(events: list[dict[str, Any]], parts: list[Part]) -> None:
    assert fold(decoded(stream(*events))).choices[0].parts == parts


def test_annotations_are_told_once_wherever_they_stand() -> None:
    notes = [
        {"type": "url_citation", "url": f"https://{n}.example", "title": "", "start_index": 0, "end_index": 1}
        for n in (1, 2)
    ]
    item = {**TEXT_ITEM, "content": [{"type": "output_text", "text": "Hello there", "annotations": notes}]}
    note = {
        "type": "response.output_text.annotation.added",
        "output_index": 0,
        "content_index": 0,
        "annotation": notes[0],
    }
    events = decoded(stream(CREATED, delta("output_text", "Hello there"), note, done(0, item), completed(item)))
    assert fold(events).choices[0].parts == [Text(text="Hello there", citations=citations_of(notes))]


@pytest.mark.parametrize(
    ("response", "stop"),
    [
        (completed(TEXT_ITEM), Stop(reason="stop", raw="completed")),
        (completed(TEXT_ITEM, CALL_ITEM), Stop(reason="tool_use", raw="completed")),
        (
            completed(TEXT_ITEM, status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            Stop(reason="length", raw="max_output_tokens"),
        ),
        (
            completed(CALL_ITEM, status="incomplete", incomplete_details={"reason": "content_filter"}),
            Stop(reason="content_filter", raw="content_filter"),
        ),
        (
            completed(status="incomplete", incomplete_details={"reason": "steered"}),
            Stop(reason="other", raw="steered"),
        ),
        (completed(status="incomplete"), Stop(reason="other", raw="incomplete")),
        (
            completed({**TEXT_ITEM, "content": [{"type": "refusal", "refusal": "No."}]}),
            Stop(reason="stop", raw="completed"),
        ),
    ],
)
def test_why_an_answer_ended(response: dict[str, Any], stop: Stop) -> None:
    assert fold(decoded(stream(CREATED, response))).choices[0].stop == stop
    whole = json.dumps(response["response"]).encode()
    assert fold(decoded(whole, streamed=False)).choices[0].stop == stop


def test_usage_is_counted_in_disjoint_buckets() -> None:
    counts = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10, "new_tokens": 1},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 70},
        "total_tokens": 150,
        "cost": 0.5,
    }
    extra = {"cost": 0.5, "input_tokens_details": {"new_tokens": 1}}
    usage = fold(decoded(stream(CREATED, completed(usage=counts)))).usage
    assert usage == Usage(input=30, cache_read=60, cache_write=10, output=0, reasoning=50, extra=extra)


# --- answers that are none -------------------------------------------------------------------------------------------


def failed(**error: Any) -> dict[str, Any]:
    return {"type": "response.failed", "response": {"id": "resp_1", "status": "failed", "error": error, "output": []}}


@pytest.mark.parametrize(
    ("event", "kind", "status"),
    [
        (failed(code="server_error", message="Oops."), Down, 500),
        (failed(code="rate_limit_exceeded", message="Oops."), Busy, 429),
        (failed(code="insufficient_quota", message="Oops."), Busy, 429),
        (failed(code="context_length_exceeded", message="Oops."), Refused, 400),
        (failed(code="invalid_prompt", message="Oops."), Refused, 400),
        (failed(code="vector_store_timeout", message="Oops."), Timeout, 504),
        (failed(message="Oops."), Down, 502),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "Oops.", "param": None}, Busy, 429),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "Oops."}}, Refused, 400),
        ({"type": "error", "error": "Oops."}, Down, 502),
        ({"error": {"message": "Oops.", "code": "invalid_api_key"}}, Refused, 401),
    ],
    ids=str,
)
def test_a_stream_that_fails_is_an_error(event: dict[str, Any], kind: type[UpstreamError], status: int) -> None:
    data = f"data: {json.dumps(CREATED)}\n\ndata: {json.dumps(event)}\n\n".encode()
    error = failure(data)
    assert (type(error), error.status, error.upstream_status, error.message) == (kind, status, 200, "Oops.")
    meter = laws.watch(WIRE.meter(True), [data])
    assert meter.error is not None
    assert (meter.error.message, meter.finished) == ("Oops.", False)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_whole_answer_that_failed_is_an_error_and_was_billed(status: str) -> None:
    body = {"id": "r", "status": status, "output": [], "error": {"code": "server_error", "message": "Oops."}}
    data = json.dumps(body | {"usage": {"input_tokens": 5}}).encode()
    events, error = laws.listen(WIRE.decoder(False), [data])
    assert error is not None
    assert error.message == "Oops."
    meter = laws.watch(WIRE.meter(False), [data])
    assert meter.usage == events[-1] == Usage(input=5)
    assert meter.error is not None


@pytest.mark.parametrize(
    ("data", "streamed", "word"),
    [
        (b"", False, "not valid JSON"),
        (b"<html>", False, "not valid JSON"),
        (b"[]", False, "not a JSON object"),
        (b"{}", False, "no output"),
        (b'{"output": [], "status": "queued"}', False, "not finished"),
        (b"data: x\n\n", True, "not valid JSON"),
        (b"data: []\n\n", True, "not a JSON object"),
        (b"", True, "ended before it was complete"),
        (stream(CREATED), True, "ended before it was complete"),
        (stream(CREATED, delta("function_call_arguments", "x"), completed()), True, "no name"),
        (stream(CREATED, done(0, {**CALL_ITEM, "name": 1})), True, "no name"),
        (stream(CREATED, added(0, CALL_ITEM), delta("output_text", "x")), True, "changed its type"),
        (stream(CREATED, delta("output_text", "x"), delta("refusal", "x")), True, "does not fit the type of its block"),
    ],
    ids=str,
)
def test_what_is_no_answer_is_an_error(data: bytes, streamed: bool, word: str) -> None:
    error = failure(data, streamed)
    assert isinstance(error, Down)
    assert word in error.message


def test_what_came_before_a_fault_is_handed_out() -> None:
    events, error = laws.listen(WIRE.decoder(True), [stream(CREATED, completed(TEXT_ITEM, {**CALL_ITEM, "name": ""}))])
    assert isinstance(error, Down)
    assert [type(event) for event in events] == [Start, Open, Delta, Close]


def test_the_headers_that_say_when_to_come_again_are_kept() -> None:
    data = json.dumps({"error": {"message": "Bad key", "type": "invalid_request_error"}}).encode()
    error = WIRE.decode_error(401, {"Retry-After": "3", "x-ratelimit-reset": "1", "server": "x"}, data)
    assert (error.message, error.body) == ("Bad key", data)
    assert error.kind == "authentication"
    assert list(error.headers) == [("Retry-After", "3"), ("x-ratelimit-reset", "1")]


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (429, {"error": {"message": "m", "code": "insufficient_quota"}}, "quota_exceeded", "insufficient_quota"),
        (429, {"error": {"message": "m"}}, "rate_limit", "rate_limit_exceeded"),
        (503, {"detail": "m"}, "server_error", "upstream_error"),
        (403, "m", "authentication", "upstream_refused"),
        (408, {}, "timeout", "upstream_timeout"),
    ],
)
def test_an_error_s_kind(status: int, body: Any, kind: str, code: str) -> None:
    error = WIRE.decode_error(status, {}, json.dumps(body).encode())
    assert (error.kind, error.code) == (kind, code)


# --- any bytes -------------------------------------------------------------------------------------------------------


def mutated(data: bytes, dice: random.Random) -> bytes:
    """The bytes with a few values put in the place of others."""
    values = (b"null", b"1", b"-1", b'"x"', b"[]", b"{}", b"[1]", b'{"type":[]}', b"true", b"1e9")
    for _ in range(dice.randint(1, 3)):
        spots = [at for at in range(len(data)) if data[at : at + 2] == b'":']
        at = dice.choice(spots) + 2
        end = min((end for end in (data.find(b",", at), data.find(b"}", at)) if end >= 0), default=len(data))
        data = data[:at] + dice.choice(values) + data[end:]
    return data


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_a_mutated_answer_is_a_sentence_or_an_error(row: recordings.Row) -> None:
    dice, streamed = random.Random(row["id"]), row["framing"] == "sse"
    for _ in range(4):
        data = mutated(recordings.body(row)[:20000] if streamed else recordings.body(row), dice)
        events, error = laws.listen(WIRE.decoder(streamed), [data])
        if error is None:
            assert list(grammatical(events)) == events
        laws.watch(WIRE.meter(streamed), [data])
        WIRE.decode_error(400, {}, data)


PIECES = st.sampled_from(
    [
        stream(CREATED),
        stream(added(0, CALL_ITEM, arguments="")),
        stream(added(0, TEXT_ITEM, content=[])),
        stream(delta("output_text", "Hel", content_index=0)),
        stream(delta("refusal", "No", content_index=1)),
        stream(delta("reasoning_text", "Hm", 1)),
        stream(delta("function_call_arguments", "{", 0)),
        stream(done(0, TEXT_ITEM)),
        stream(done(0, CALL_ITEM)),
        stream(done(1, THOUGHT_ITEM)),
        stream({"type": "response.output_text.annotation.added", "annotation": 5}),
        stream({"type": "response.output_item.done", "item": [], "output_index": {}}),
        stream(completed(TEXT_ITEM, THOUGHT_ITEM)),
        stream(completed(CALL_ITEM, usage={"input_tokens": "x"})),
        stream({"type": "response.completed", "response": 5}),
        stream(failed(code=[], message={})),
        b"data: [DONE]\n\n",
        b": ping\n\n",
        b'data: {"type": [], "error": 1}\n\n',
    ]
)


@given(st.lists(PIECES, max_size=10) | st.lists(st.binary(max_size=20), max_size=5))
@settings(max_examples=examples(300), deadline=None)
def test_any_bytes_are_a_sentence_or_an_upstream_error(pieces: list[bytes]) -> None:
    events, error = laws.listen(WIRE.decoder(True), pieces)
    meter = laws.watch(WIRE.meter(True), pieces)
    if error is None:
        assert list(grammatical(events)) == events
        assert meter.finished
        assert meter.usage == fold(events).usage


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("item", "answer", "arguments"),
    [
        ({"arguments": ""}, {"status": "completed"}, "{}"),
        ({"arguments": None}, {"status": "completed"}, "{}"),
        ({"arguments": "null"}, {"status": "completed"}, "{}"),
        ({"type": "custom_tool_call", "input": "null"}, {"status": "completed"}, "null"),
        ({"arguments": "", "status": "completed"}, {"status": "completed"}, "{}"),
        ({"arguments": "", "status": "incomplete"}, {"status": "incomplete"}, ""),
        ({"arguments": ""}, {"status": "incomplete"}, ""),
        ({"type": "custom_tool_call", "input": ""}, {"status": "completed"}, ""),
    ],
)
def test_a_call_without_arguments_is_json_unless_it_was_cut(
    item: dict[str, Any], answer: dict[str, Any], arguments: str, streamed: bool
) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", **item}
    response = {"id": "r", "output": [call], **answer}
    kind = f"response.{answer['status']}"
    added = {"type": "response.output_item.added", "output_index": 0, "item": {**call, "status": "in_progress"}}
    data = stream(added, {"type": kind, "response": response}) if streamed else json.dumps(response).encode()
    (part,) = fold(decoded(data, streamed)).choices[0].parts
    assert isinstance(part, ToolCall)
    assert part.arguments == arguments


def test_null_in_pieces_is_no_argument_before_the_first_one() -> None:
    def piece(text: str) -> dict[str, Any]:
        return {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": text}

    def arguments(*pieces: str) -> str:
        call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "".join(pieces)}
        added = {"type": "response.output_item.added", "output_index": 0, "item": {**call, "arguments": ""}}
        end = {"type": "response.completed", "response": {"id": "r", "output": [call]}}
        (part,) = fold(decoded(stream(added, *map(piece, pieces), end), True)).choices[0].parts
        assert isinstance(part, ToolCall)
        return part.arguments

    assert (arguments("null"), arguments('{"a":', "null", "}")) == ("{}", '{"a":null}')


# --- what a client is told -------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
COUNT = st.integers(0, 10**6)
USAGE = st.builds(
    Usage,
    input=COUNT,
    cache_read=COUNT,
    cache_write=COUNT,
    output=COUNT,
    reasoning=COUNT,
    tier=st.sampled_from(sorted(TIERS)),
    extra=st.sampled_from([{}, {"cost": 0.5}, {"input_tokens_details": {"new": 1}}]),
)
START = st.builds(Start, wire=st.just("openai_responses"), id=WORDS, model=WORDS, created=st.integers(0, 2**40))
NOTES = st.lists(st.fixed_dictionaries({"type": st.just("url_citation"), "url": WORDS}), max_size=2).map(citations_of)
SCORE = {"token": WORDS, "logprob": st.integers(-9, 0), "bytes": st.just([48])}
OTHERS = st.lists(st.fixed_dictionaries(SCORE), max_size=1)
SCORES = st.lists(st.fixed_dictionaries(SCORE | {"top_logprobs": OTHERS}), max_size=2)
PHASE = st.sampled_from([{}, {"phase": "commentary"}])
TEXT = st.builds(Text, text=WORDS, citations=NOTES, logprobs=SCORES, extra=PHASE)
REFUSAL = st.builds(Refusal, text=WORDS, extra=PHASE)
THINKING = st.builds(Thinking, id=st.uuids().map(str), text=WORDS, signature=st.sampled_from(["", "gAAA"]))
REDACTED = st.builds(Thinking, id=st.uuids().map(str), redacted=WORDS)
ARGUMENTS = WORDS.filter(lambda text: not text.startswith("null"))  # which stands for none
CALL = st.builds(
    ToolCall,
    id=st.uuids().map(str),
    name=WORDS,
    arguments=ARGUMENTS,
    extra=st.sampled_from([{}, {"namespace": "n"}]),
)
CUSTOM = st.builds(replace, CALL, arguments=WORDS | st.just(""), kind=st.just("custom"))
SEARCH = st.builds(Opaque, wire=st.just(WORLD), value=st.just({"type": "web_search_call", "id": "ws_1"}))


def pieces_of(draw: st.DrawFn, index: int, part: Part) -> list[Event]:
    """The block of a part: its text in two pieces, and what ends with it, last."""
    stop = Stop(raw="completed")
    events = [event for event in sentence(part, stop=stop) if isinstance(event, Open | Delta | Close)]
    opening, closing = events[0], Close(index=index)
    assert isinstance(opening, Open)
    out: list[Event] = [Open(index=index, part=opening.part)]
    for event in events[1:-1]:
        assert isinstance(event, Delta)
        cut = draw(st.integers(0, len(event.text)))
        if event.text[:cut]:
            out.append(Delta(index=index, text=event.text[:cut]))
        if event.text[cut:] or event.logprobs:
            out.append(Delta(index=index, text=event.text[cut:], logprobs=event.logprobs))
        out += [Delta(index=index, citations=[note]) for note in event.citations]
        if event.signature:
            out.append(Delta(index=index, signature=event.signature))
    return [*out, closing]


@st.composite
def sentences(draw: st.DrawFn) -> list[Event]:
    """Sentences in this wire's normal form: what a stream tells a piece at a time comes a piece at a time."""
    parts = draw(st.lists(st.one_of(TEXT, REFUSAL, THINKING, REDACTED, CALL, CUSTOM, SEARCH), max_size=4))
    if sum(isinstance(part, Opaque) for part in parts) > 1:
        parts = [part for part in parts if not isinstance(part, Opaque)]
    blocks = [pieces_of(draw, index, part) for index, part in enumerate(parts)]
    kinds = {type(part) for part in parts}
    natural: Reason = "tool_use" if ToolCall in kinds else "stop"
    cut: list[Stop] = [
        Stop(reason="length", raw="max_output_tokens"),
        Stop(reason="content_filter", raw="content_filter"),
    ]
    stop = draw(st.sampled_from([Stop(reason=natural, raw="completed"), *cut]))
    searches = sum(isinstance(part, Opaque) for part in parts)
    usage = [replace(counted, searches=searches) for counted in draw(st.lists(USAGE, max_size=1))]
    return [draw(START), *(event for block in blocks for event in block), *usage, Finish(stops=(stop,))]


@given(sentences())
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_rendered_stream_is_heard_as_it_was_said(events: list[Event]) -> None:
    assert decoded(said(events)) == events


@given(sentences())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_rendered_answer_is_heard_as_it_was_said(events: list[Event]) -> None:
    assert fold(decoded(said(events, streamed=False), streamed=False)) == fold(events)


EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
FULL: list[Part] = [
    Thinking(text="Hm.", signature="gAAA"),
    Text(text="Sunny.", citations=[Citation(wire="anthropic", value={}, url="https://x.example", title="X")]),
    Refusal(text="No."),
    ToolCall(id="call_1", name="f", arguments='{"x":1}'),
    ToolCall(id="", name="p", arguments="free", kind="custom"),
    Image(source=Inline("aGk=", "image/png")),
]
USED = Usage(input=3, cache_read=2, output=5, reasoning=1)
ASKING = asked(
    turns=[Turn(role="system", parts=[Text(text="Be kind.")], at="instructions")],
    tools=[Tool(name="f", parameters={"type": "object"}), Tool(name="p", kind="custom")],
    format=Format(kind="schema", name="n", schema={"type": "object"}),
    metadata={"a": "b"},
    temperature=0.5,
    store=True,
)


def test_a_stream_tells_each_block_in_the_order_that_the_wire_has() -> None:
    data = said(sentence(FULL[0], FULL[1], FULL[3], usage=USED))
    assert [(frame.event, json.loads(frame.data)["type"]) for frame in frames(data)] == [
        (f"response.{kind}", f"response.{kind}")
        for kind in (
            "created in_progress"
            " output_item.added reasoning_summary_part.added reasoning_summary_text.delta reasoning_summary_text.done"
            " reasoning_summary_part.done output_item.done"
            " output_item.added content_part.added output_text.delta output_text.annotation.added output_text.done"
            " content_part.done output_item.done"
            " output_item.added function_call_arguments.delta function_call_arguments.done output_item.done"
            " completed"
        ).split()
    ]
    assert [event["sequence_number"] for event in told(data)] == list(range(20))


@pytest.mark.parametrize("stop", [Stop(), Stop(reason="length"), Stop(reason="refusal")])
def test_every_event_is_of_the_sdk_s_types(stop: Stop) -> None:
    data = laws.say(WIRE.renderer(ASKING), sentence(*FULL, stop=stop, usage=USED))
    for event in told(data):
        EVENT.validate_python(event)


def test_a_response_repeats_its_request() -> None:
    whole = laws.say(
        WIRE.renderer(asked(False, **{name: getattr(ASKING, name) for name in ECHO})), sentence(*FULL, usage=USED)
    )
    value = json.loads(whole)
    Response.model_validate(value)
    assert value["instructions"] == "Be kind."
    assert value["tools"][0] == {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    assert value["text"] == {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}
    assert (value["metadata"], value["temperature"], value["store"]) == ({"a": "b"}, 0.5, False)
    assert (value["id"], value["model"], value["created_at"]) == ("resp_1", "gpt-5", NOW)
    assert (value["completed_at"], value["status"]) == (NOW, "completed")
    assert value["usage"]["total_tokens"] == 11


ECHO = ("turns", "tools", "format", "metadata", "temperature", "store")


def test_stream_and_whole_tell_the_same_response() -> None:
    events = sentence(*FULL, usage=USED)
    assert told(said(events))[-1]["response"] == json.loads(said(events, streamed=False))


def test_ids_are_made_of_the_response_s_and_are_the_same_again() -> None:
    events = sentence(*FULL)
    first, again = (json.loads(said(events, streamed=False))["output"] for _ in range(2))
    assert first == again
    assert len({item["id"] for item in first}) == len(first)
    assert [item["id"].partition("_")[0] for item in first] == ["rs", "msg", "msg", "fc", "fc", "ig"]
    assert first[4]["call_id"].startswith("call_")
    other = said([Start(id="resp_2"), *events[1:]], streamed=False)
    assert not {item["id"] for item in first} & {item["id"] for item in json.loads(other)["output"]}


def test_a_response_without_an_id_gets_one() -> None:
    events: list[Event] = [Start(), Finish()]
    value = json.loads(said(events, streamed=False))
    assert value["id"].startswith("resp_")
    assert (value["model"], value["created_at"]) == ("gpt", NOW)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("length", "max_output_tokens"),
        ("context", "max_output_tokens"),
        ("pause", "max_output_tokens"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
    ],
)
def test_an_answer_that_is_not_all_there_is_incomplete(reason: Reason, word: str) -> None:
    data = said(sentence(Text(text="a"), stop=Stop(reason=reason)))
    last = told(data)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": word}
    assert last["response"]["completed_at"] is None


CUT = [Text(text="a"), Refusal(text="No"), Thinking(text="Hm"), ToolCall(id="c", name="f", arguments='{"x"')]


@pytest.mark.parametrize("part", CUT, ids=lambda part: type(part).__name__)
@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_the_last_item_of_an_answer_that_was_cut_short_is_cut_short_as_well(part: Part, reason: Reason) -> None:
    events = sentence(Text(text="First."), ToolCall(id="b", name="f", arguments="{}"), part, stop=Stop(reason=reason))
    streamed = told(said(events))
    done = [event["item"] for event in streamed if event["type"] == "response.output_item.done"]
    whole = json.loads(said(events, streamed=False))
    assert streamed[-1]["response"] == whole
    assert done == whole["output"]
    assert [item.get("status", "completed") for item in done] == ["completed", "completed", whole["status"]]
    for event in streamed:
        EVENT.validate_python(event)


def test_a_seal_behind_the_last_item_leaves_it_the_last() -> None:
    call = ToolCall(id="c", name="f", arguments='{"x"', signature="c2Vl")
    events = sentence(call, stop=Stop(reason="length"))
    done = [event["item"] for event in told(said(events)) if event["type"] == "response.output_item.done"]
    assert done == json.loads(said(events, streamed=False))["output"]
    assert [(item["type"], item.get("status")) for item in done] == [
        ("function_call", "incomplete"),
        ("reasoning", None),
    ]


def test_of_items_that_interleave_the_one_that_began_last_was_cut_short() -> None:
    calls: list[Event] = [Open(index=index, part=ToolCall(id=f"c{index}", name="f")) for index in range(2)]
    for closed in ([0, 1], [1, 0]):
        ends: list[Event] = [Close(index=index) for index in closed]
        events = told(said([Start(id="r"), *calls, *ends, Finish(stops=(Stop(reason="length"),))]))
        output = events[-1]["response"]["output"]
        assert [(item["call_id"], item["status"]) for item in output] == [("c0", "completed"), ("c1", "incomplete")]


def test_what_was_whole_when_the_stream_broke_is_told_as_done() -> None:
    renderer = WIRE.renderer(asked())
    before = laws.say(renderer, [Start(id="r"), Open(index=0, part=Text()), Delta(index=0, text="a"), Close(index=0)])
    events = told(before + renderer.error(Down("It broke.")))
    assert [event["type"] for event in events[-3:]] == ["response.output_item.done", "error", "response.failed"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-3]["item"]["status"] == "completed"


def test_a_refusal_in_words_is_complete() -> None:
    assert told(said(sentence(Refusal(text="No."))))[-1]["type"] == "response.completed"


@pytest.mark.parametrize("streamed", [True, False])
def test_a_picture_is_the_answer_and_goes_back_as_it_came(streamed: bool) -> None:
    drawn = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "output_format": "webp"}
    item = drawn | {"revised_prompt": "A cat.", "result": "aGk="}
    events = decoded(json.dumps({"id": "r", "status": "completed", "output": [item]}).encode(), streamed=False)
    (part,) = fold(events).choices[0].parts
    assert isinstance(part, Image)
    assert part.source == Inline("aGk=", "image/webp")
    again = json.loads(said(events, False)) if not streamed else told(said(events))[-1]["response"]
    assert again["output"] == [item]


@pytest.mark.parametrize("result", [None, "", 5])
def test_a_picture_that_was_not_drawn_is_a_block_of_this_wire(result: object) -> None:
    item = {"type": "image_generation_call", "status": "failed", "result": result}
    events = decoded(json.dumps({"id": "r", "status": "completed", "output": [item]}).encode(), streamed=False)
    assert fold(events).choices[0].parts == [Opaque(wire="openai_responses", value=item)]


def test_blocks_that_interleave_are_items_that_do() -> None:
    events: list[Event] = [
        Start(id="resp_1"),
        Open(index=0, part=ToolCall(id="a", name="f")),
        Open(index=1, part=ToolCall(id="b", name="g")),
        Delta(index=1, text="1"),
        Delta(index=0, text="2"),
        Close(index=1),
        Close(index=0),
        Finish(stops=(Stop(reason="tool_use", raw="completed"),)),
    ]
    data = said(events)
    assert [item["call_id"] for item in told(data)[-1]["response"]["output"]] == ["a", "b"]
    deltas = [event for event in told(data) if event["type"].endswith(".delta")]
    assert [(event["output_index"], event["delta"]) for event in deltas] == [(1, "1"), (0, "2")]


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    "events",
    [
        [Start(), Open(index=0, part=Text(), choice=1), Close(index=0), Finish(stops=(Stop(), Stop()))],
        [Start(), Finish(stops=(Stop(), Stop()))],
        sentence(Audio(source=Inline("aGk="))),
        sentence(Opaque(wire="anthropic", value={"type": "server_tool_use"})),
    ],
    ids=["a second block", "a second stop", "a sound", "another wire's"],
)
def test_what_this_wire_cannot_tell_is_refused(events: list[Event], streamed: bool) -> None:
    with pytest.raises(Unrepresentable):
        said(events, streamed)


def test_a_call_says_nothing_that_only_another_wire_knows() -> None:
    call = ToolCall(id="c", name="f", extra={"namespace": "n", "function_call": {}, "extra_content": {}})
    (item,) = json.loads(said(sentence(call), streamed=False))["output"]
    assert item.keys() == {"id", "type", "status", "call_id", "name", "arguments", "namespace"}


# --- seals of other providers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
def test_every_seal_comes_back_with_the_part_that_it_is_of(streamed: bool) -> None:
    parts: list[Part] = [
        Thinking(id="rs_1", redacted="sealed"),
        Thinking(id="rs_2", text="Hm.", signature="a"),
        Text(text="Sunny.", signature="b"),
        ToolCall(id="call_1", name="f", arguments="{}", signature="c"),
        ToolCall(id="call_2", name="f", arguments="{}"),
    ]
    data = said(sentence(*parts), streamed)
    response = told(data)[-1]["response"] if streamed else json.loads(data)
    assert returned(response["output"]) == parts
    # Codex keeps of a thought its text and its seal alone
    kept = [{k: v for k, v in item.items() if k != "id" or item["type"] != "reasoning"} for item in response["output"]]
    for part in parts[:2]:
        assert isinstance(part, Thinking)
        part.id = ""
    assert returned(kept) == parts


def returned(items: list[dict[str, Any]]) -> list[Part]:
    """The parts of the turn that a client sends back."""
    body = json.dumps({"model": "gpt", "input": items}).encode()
    (turn,) = WIRE.parse(body, Peek("gpt", False)).turns
    return turn.parts


def test_a_seal_whose_part_is_gone_is_forgotten() -> None:
    data = said(sentence(ToolCall(id="call_1", name="f", signature="c")), streamed=False)
    _, seal = json.loads(data)["output"]
    other = {"type": "message", "role": "assistant", "content": "a"}
    assert returned([other, seal]) == [Text(text="a")]
    assert returned([seal, other]) == [Text(text="a")]


# --- OpenAI's own SDK ------------------------------------------------------------------------------------------------


def sdk(data: bytes, media: str = "text/event-stream", status: int = 200) -> openai.OpenAI:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=data, headers={"content-type": media})

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="unused", base_url="http://pillion.example/v1", http_client=client, max_retries=0)


def test_the_sdk_reads_a_whole_answer() -> None:
    data = said(sentence(*FULL, usage=USED), streamed=False)
    response = sdk(data, "application/json").responses.create(model="gpt", input="hi")
    assert (response.output_text, response.status) == ("Sunny.", "completed")
    assert [item.type for item in response.output] == [
        "reasoning", "message", "message", "function_call", "custom_tool_call", "image_generation_call",
    ]  # fmt: skip
    assert response.usage is not None
    assert response.usage.total_tokens == 11


def test_the_sdk_reads_a_stream() -> None:
    data = b": ping\n\n" + said(sentence(*FULL, usage=USED))
    events = list(sdk(data).responses.create(model="gpt", input="hi", stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Sunny."
    assert events[-1].type == "response.completed"


def test_the_sdk_gathers_a_stream() -> None:
    with sdk(said(sentence(*FULL, usage=USED))).responses.stream(model="gpt", input="hi") as events:
        kinds = [event.type for event in events]
        final = events.get_final_response()
    assert kinds[0] == "response.created"
    assert (final.output_text, final.id) == ("Sunny.", "resp_1")
    assert [item.arguments for item in final.output if item.type == "function_call"] == ['{"x":1}']


class Weather(BaseModel):
    city: str


def test_the_sdk_parses_an_answer_into_a_model() -> None:
    data = said(sentence(Text(text='{"city": "Rome"}')), streamed=False)
    response = sdk(data, "application/json").responses.parse(model="gpt", input="hi", text_format=Weather)
    assert response.output_parsed == Weather(city="Rome")


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_the_sdk_gathers_what_we_make_of_a_recorded_stream(row: recordings.Row) -> None:
    data = said(decoded(recordings.body(row)))
    if response_of(row)["status"] == "incomplete":
        assert list(sdk(data).responses.create(model="gpt", input="hi", stream=True))[-1].type == "response.incomplete"
        return
    with sdk(data).responses.stream(model="gpt", input="hi") as events:
        final = events.get_final_response()
    texts = [part["text"] for part in plain_items(response_of(row)["output"]) if part["type"] == "output_text"]
    assert final.output_text == "".join(texts)


# --- errors as a client reads them -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (BadRequest("Oops.", param="input"), 400, openai.BadRequestError),
        (Unauthorized("Oops."), 401, openai.AuthenticationError),
        (OverLimit("Oops."), 429, openai.RateLimitError),
        (Down("Oops."), 502, openai.InternalServerError),
    ],
)
def test_the_sdk_reads_an_error(error: GatewayError, status: int, kind: type[openai.APIStatusError]) -> None:
    data = WIRE.error(error, "req_1")
    with pytest.raises(kind) as caught:
        sdk(data, "application/json", status).responses.create(model="gpt", input="hi")
    assert (caught.value.code, caught.value.param) == (error.code, error.param)
    assert "Oops." in caught.value.message
    assert WIRE.error_headers(error) == []


BROKEN = [
    pytest.param(Down("Oops.", code="stream_cut"), "stream_cut", id="down"),
    pytest.param(
        OverLimit("Oops.", kind="quota_exceeded", code="insufficient_quota"), "insufficient_quota", id="quota"
    ),
    pytest.param(Busy("Oops. Please try again in 1.2s.", code="too_many"), "rate_limit_exceeded", id="busy"),
    pytest.param(Refused("Oops.", code="context_length_exceeded"), "context_length_exceeded", id="context"),
]


@pytest.mark.parametrize("lane", ["rendered", "passed through"])
@pytest.mark.parametrize(("error", "code"), BROKEN)
def test_a_broken_stream_says_so_to_the_sdk_and_to_codex(error: GatewayError, code: str, lane: str) -> None:
    renderer = WIRE.renderer(asked())
    begun = laws.say(renderer, [Start(id="resp_1"), Open(index=0, part=Text()), Delta(index=0, text="Hel")])
    data = begun + (renderer.error(error) if lane == "rendered" else WIRE.error_event(error))
    with pytest.raises(openai.APIError) as caught:
        list(sdk(data).responses.create(model="gpt", input="hi", stream=True))
    assert (caught.value.message, caught.value.code) == (error.message, code)
    with pytest.raises(openai.APIError, match="Oops"), sdk(data).responses.stream(model="gpt", input="hi") as events:
        events.until_done()
    last = frames(data)[-1]
    value = json.loads(last.data)
    assert (last.event, value["type"]) == ("response.failed", "response.failed")
    assert value["response"]["error"] == {"code": code, "message": error.message}
    assert value["response"]["status"] == "failed"
    if lane == "rendered":
        assert [event["sequence_number"] for event in told(data)] == list(range(len(told(data))))
    heard = failure(data)
    assert heard.message == error.message


def test_a_logprob_without_bytes_gets_them() -> None:
    """Many hosts leave them out or say null, and OpenAI's types of this wire want them, and a list of other tokens."""
    bare: list[dict[str, object]] = [
        {"token": "ü", "logprob": -1},
        {"token": "b", "logprob": -1, "bytes": None, "top_logprobs": None},
    ]
    part = content_of(Text(text="ü", logprobs=[{**bare[0], "top_logprobs": [bare[0]]}, bare[1]]))
    read = ResponseOutputText.model_validate(part).logprobs or []
    assert [(one.bytes, [other.bytes for other in one.top_logprobs]) for one in read] == [
        ([195, 188], [[195, 188]]),
        ([98], []),
    ]
