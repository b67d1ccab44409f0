"""Does proxy.dialects.bedrock hear what Bedrock answers, and tell clients of Converse what others answer?"""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.canon import (
    Audio,
    Choice,
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
    Place,
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
    unfold,
)
from proxy.dialects.bedrock import Bedrock
from proxy.dialects.bedrock.blobs import join, unwrap, wrap
from proxy.dialects.bedrock.words import REASONS, STOP_WORDS
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
from proxy.framing import Unframed
from proxy.framing.eventstream import EventStream, encode_message
from tests import laws, recordings
from tests.laws import examples

WIRE = Bedrock(clock=lambda: 0.0)

ROWS = recordings.load("bedrock.converse*")
STREAMS = [row for row in ROWS if row["framing"] == "aws-eventstream"]
WHOLES = [row for row in ROWS if row["framing"] == "json" and row["status"] == 200]
ERRORS = [row for row in ROWS if row["status"] != 200]
PNG = b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 20).decode()


def message(kind: str, **payload: Any) -> bytes:
    headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")]
    return encode_message(headers, json.dumps(payload).encode())


def exception(kind: str, payload: bytes = b'{"message":"it broke"}') -> bytes:
    return encode_message([(":exception-type", kind), (":message-type", "exception")], payload)


def block_start(index: int, **start: Any) -> bytes:
    return message("contentBlockStart", contentBlockIndex=index, start=start)


def block_delta(index: int, **delta: Any) -> bytes:
    return message("contentBlockDelta", contentBlockIndex=index, delta=delta, p="abc")


def block_stop(index: int) -> bytes:
    return message("contentBlockStop", contentBlockIndex=index)


START = message("messageStart", role="assistant")
STOP = message("messageStop", stopReason="end_turn")
META = message("metadata", usage={"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, metrics={"latencyMs": 1})
USED = Usage(input=3, output=2)


def stream(*blocks: bytes) -> bytes:
    return b"".join([START, *blocks, STOP, META])


def whole(*content: Any, **fields: Any) -> bytes:
    answer = {"output": {"message": {"role": "assistant", "content": list(content)}}, "stopReason": "end_turn"}
    return json.dumps(answer | fields).encode()


def decoded(data: bytes, streamed: bool = True) -> list[Event]:
    return laws.decoded(WIRE.decoder(streamed), data)


def parts(data: bytes, streamed: bool = True) -> list[Part]:
    return fold(decoded(data, streamed)).choices[0].parts


def failure(data: bytes, streamed: bool = True) -> UpstreamError:
    return laws.failure(WIRE.decoder(streamed), data)


def said(events: list[Event], streamed: bool = True) -> bytes:
    request = Request(wire="bedrock", model="m", turns=[], stream=streamed)
    return laws.say(WIRE.renderer(request), events)


def sentence(*blocks: Part, stop: Stop | None = None) -> list[Event]:
    choice = Choice(parts=list(blocks), stop=stop or Stop(raw="end_turn"))
    return list(unfold(Completion(start=Start(wire="bedrock"), choices=[choice], usage=USED)))


def told(data: bytes) -> list[tuple[object, Any]]:
    """A stream's events and their payloads."""
    return [(one.headers[":event-type"], json.loads(one.payload)) for one in laws.drain(EventStream(), [data])]


# --- recorded answers ------------------------------------------------------------------------------------------------


def plain_parts(content: list[Any]) -> list[tuple[str, ...]]:
    """A whole answer's blocks, read without the code under test."""
    out: list[tuple[str, ...]] = []
    for block in content:
        match block:
            case {"text": text}:
                out.append(("text", text))
            case {"citationsContent": cited}:
                titles = [one.get("title", "") for one in cited["citations"]]
                out.append(("text", "".join(piece["text"] for piece in cited.get("content", ())), *titles))
            case {"toolUse": {"type": "server_tool_use"}} | {"toolResult": _}:
                out.append(("opaque",))
            case {"toolUse": call}:
                out.append(("call", call["toolUseId"], call["name"], json.dumps(call["input"], sort_keys=True)))
            case {"reasoningContent": {"redactedContent": sealed}}:
                out.append(("sealed", sealed))
            case {"reasoningContent": {"reasoningText": thought}}:
                out.append(("thought", thought["text"], thought.get("signature", "")))
            case _:
                raise AssertionError(f"an unheard block: {block}")
    return out


def our_parts(ours: list[Part]) -> list[tuple[str, ...]]:
    out: list[tuple[str, ...]] = []
    for part in ours:
        match part:
            case Text():
                out.append(("text", part.text, *(one.title for one in part.citations)))
            case ToolCall():
                given = json.dumps(json.loads(part.arguments or "{}"), sort_keys=True)
                out.append(("call", part.id, part.name, given))
            case Thinking(redacted=sealed) if sealed:
                out.append(("sealed", sealed))
            case Thinking():
                out.append(("thought", part.text, part.signature))
            case _:
                out.append(("opaque",))
    return out


def plain_stream(data: bytes) -> tuple[list[tuple[str, ...]], str, int]:
    """The blocks, the stop reason and the total of tokens that a stream tells, read without the code under test."""
    blocks: dict[int, dict[str, Any]] = {}
    reason, total = "", 0
    for kind, payload in told(data):
        block = blocks.setdefault(payload.get("contentBlockIndex", -1), {"titles": []})
        if kind == "contentBlockStart":
            block |= payload["start"]["toolUse"]
        elif kind == "contentBlockDelta":
            delta = payload["delta"]
            thought = delta.get("reasoningContent", {})
            block["titles"] += [delta["citation"]["title"]] if "citation" in delta else []
            for key, more in (("text", delta.get("text")), ("input", delta.get("toolUse", {}).get("input"))):
                block[key] = block.get(key, "") + (more or "")
            for key in ("text", "signature", "redactedContent"):
                if key in thought:
                    block["thought"] = True
                    block[f"_{key}"] = block.get(f"_{key}", "") + thought[key]
        elif kind == "messageStop":
            reason = payload["stopReason"]
        elif kind == "metadata":
            total = payload["usage"]["totalTokens"]
    out = [_plain_block(block) for index, block in sorted(blocks.items()) if index >= 0]
    return out, reason, total


def _plain_block(block: dict[str, Any]) -> tuple[str, ...]:
    if "_redactedContent" in block:
        return ("sealed", block["_redactedContent"])
    if "thought" in block:
        return ("thought", block.get("_text", ""), block.get("_signature", ""))
    if "toolUseId" in block:
        given = json.dumps(json.loads(block["input"] or "{}"), sort_keys=True)
        return ("call", block["toolUseId"], block["name"], given)
    return ("text", block["text"], *block["titles"])


def total_of(usage: Usage | None) -> int:
    assert usage is not None
    return usage.total_input + usage.total_output


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_a_recorded_stream_says_what_stands_in_it(row: recordings.Row) -> None:
    recordings.replayed(row)
    completion = fold(decoded(recordings.body(row)))
    blocks, reason, total = plain_stream(recordings.body(row))
    assert our_parts(completion.choices[0].parts) == blocks
    assert completion.choices[0].stop.raw == reason
    assert completion.choices[0].stop.reason == REASONS[reason]
    assert total_of(completion.usage) == total


@recordings.needs_recordings
@pytest.mark.parametrize("row", WHOLES, ids=recordings.ids)
def test_a_recorded_answer_says_what_stands_in_it(row: recordings.Row) -> None:
    recordings.replayed(row)
    answer = json.loads(recordings.body(row))
    completion = fold(decoded(recordings.body(row), streamed=False))
    assert our_parts(completion.choices[0].parts) == plain_parts(answer["output"]["message"]["content"])
    assert completion.choices[0].stop.raw == answer["stopReason"]
    if "usage" in answer:
        assert total_of(completion.usage) == answer["usage"]["totalTokens"]


@recordings.needs_recordings
@pytest.mark.parametrize("row", [row for row in STREAMS if len(row["response_body"]) < 30_000], ids=recordings.ids)
def test_a_recorded_stream_decodes_alike_however_it_is_cut(row: recordings.Row) -> None:
    data = recordings.body(row)
    expected = decoded(data)
    for chunks in laws.stream_splits(data):
        assert laws.listen(WIRE.decoder(True), chunks) == (expected, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS + WHOLES, ids=recordings.ids)
@pytest.mark.parametrize("streamed", [True, False])
def test_what_is_rendered_is_heard_again(row: recordings.Row, streamed: bool) -> None:
    events = decoded(recordings.body(row), row["framing"] != "json")
    first, again = fold(events), fold(decoded(said(events, streamed), streamed))
    assert again == Completion(start=Start(wire="bedrock"), choices=first.choices, usage=first.usage or Usage())


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS + WHOLES, ids=recordings.ids)
def test_the_meter_counts_what_the_decoder_counts(row: recordings.Row) -> None:
    data, streamed = recordings.body(row), row["framing"] != "json"
    usage = fold(decoded(data, streamed)).usage
    for chunks in ([data], [data[i : i + 7] for i in range(0, len(data), 7)]):
        meter = laws.watch(WIRE.meter(streamed), chunks)
        assert (meter.usage, meter.finished, meter.error, meter.model) == (usage, True, None, "")


@recordings.needs_recordings
@pytest.mark.parametrize("row", ERRORS, ids=recordings.ids)
def test_a_recorded_error_is_understood(row: recordings.Row) -> None:
    recordings.replayed(row)
    body = recordings.body(row)
    error = WIRE.decode_error(row["status"], row["response_headers"], body)
    assert isinstance(error, Refused)
    assert (error.status, error.upstream_status, error.body) == (row["status"], row["status"], body)
    assert error.message == json.loads(body)["message"]
    if "x-amzn-errortype" in row["response_headers"]:
        assert error.upstream_type == row["response_headers"]["x-amzn-errortype"].partition(":")[0]
    assert error.kind == ("authentication" if row["status"] == 403 else "invalid_request")


# --- decoding --------------------------------------------------------------------------------------------------------


def test_blocks_may_interleave_and_need_no_start() -> None:
    data = stream(
        block_delta(0, text="a"),
        block_start(1, toolUse={"toolUseId": "t", "name": "f"}),
        block_delta(1, toolUse={"input": '{"x":'}),
        block_delta(0, text="b"),
        block_delta(1, toolUse={"input": "1}"}),
        block_stop(1),
        block_stop(0),
    )
    assert parts(data) == [Text(text="ab"), ToolCall(id="t", name="f", arguments='{"x":1}')]


@pytest.mark.parametrize("said", [b"", block_delta(0, toolUse={"input": ""})], ids=["no delta", "an empty one"])
def test_a_streamed_call_without_input_is_what_a_whole_one_is(said: bytes) -> None:
    data = stream(block_start(0, toolUse={"toolUseId": "t", "name": "f"}), said, block_stop(0))
    empty = whole({"toolUse": {"toolUseId": "t", "name": "f", "input": {}}})
    assert parts(data) == parts(empty, streamed=False) == [ToolCall(id="t", name="f", arguments="{}")]


def test_thoughts_are_heard_with_their_seals() -> None:
    data = stream(
        block_delta(0, reasoningContent={"text": "h"}),
        block_delta(0, reasoningContent={"text": "m"}),
        block_delta(0, reasoningContent={"signature": "sig"}),
        block_stop(0),
        block_delta(1, reasoningContent={"redactedContent": "YQ=="}),
        block_delta(1, reasoningContent={"redactedContent": "Yg=="}),
        block_stop(1),
    )
    assert parts(data) == [Thinking(text="hm", signature="sig"), Thinking(redacted="YWI=")]


def test_a_citation_stands_on_its_text() -> None:
    value = {
        "title": "t",
        "source": "https://x/a",
        "sourceContent": [{"text": "q"}, {"text": "r"}],
        "location": {"documentChar": {"documentIndex": 0, "start": 1, "end": 2}},
    }
    place = Place("char", document=0, start=1, end=2)
    expected = Citation(
        wire="bedrock", value=value, url="https://x/a", title="t", origin="https://x/a", quote="qr", place=place
    )
    data = stream(block_delta(0, citation=value), block_delta(0, text="a"), block_stop(0))
    assert parts(data) == [Text(text="a", citations=[expected])]
    cited = {"citationsContent": {"content": [{"text": "a"}], "citations": [value]}}
    assert parts(whole(cited), streamed=False) == [Text(text="a", citations=[expected])]


def test_images_and_system_tools_are_gathered() -> None:
    call = {"toolUseId": "t", "name": "nova_grounding", "type": "server_tool_use"}
    result = {"toolUseId": "t", "type": "nova_grounding_result", "status": "success"}
    data = stream(
        block_start(0, toolUse=call),
        block_delta(0, toolUse={"input": '{"query":'}),
        block_delta(0, toolUse={"input": '"x"}'}),
        block_stop(0),
        block_start(1, toolResult=result),
        block_delta(1, toolResult=[{"text": "found"}]),
        block_stop(1),
        block_start(2, image={"format": "png"}),
        block_delta(2, image={"source": {"bytes": PNG}}),
        block_stop(2),
    )
    expected: list[Part] = [
        Opaque(wire="bedrock", value={"toolUse": call | {"input": {"query": "x"}}}),
        Opaque(wire="bedrock", value={"toolResult": result | {"content": [{"text": "found"}]}}),
        Image(source=Inline(PNG, "image/png")),
    ]
    assert parts(data) == expected
    content = [
        {"toolUse": call | {"input": {"query": "x"}}},
        {"toolResult": result | {"content": [{"text": "found"}]}},
        {"image": {"format": "png", "source": {"bytes": PNG}}},
    ]
    assert parts(whole(*content), streamed=False) == expected
    assert said(decoded(data)) == said(decoded(whole(*content, usage={"inputTokens": 3, "outputTokens": 2}), False))
    assert parts(said(sentence(*expected))) == expected
    assert parts(said(sentence(*expected), streamed=False), streamed=False) == expected


def test_the_inputs_own_bytes_are_the_arguments() -> None:
    data = b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"t","name":"f","input":{ "x": 1.10 }}}]}}}'
    assert parts(data, streamed=False) == [ToolCall(id="t", name="f", arguments='{ "x": 1.10 }')]


def test_an_unknown_block_of_a_whole_answer_is_kept() -> None:
    block = {"hologram": {"a": 1}}
    assert parts(whole(block), streamed=False) == [Opaque(wire="bedrock", value=block)]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}, Usage()),
        (
            {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 4},
            Usage(input=1, output=2, cache_read=3, cache_write=4),
        ),
        (
            {
                "inputTokens": 1,
                "outputTokens": 2,
                "cacheWriteInputTokens": 9,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 5}, {"ttl": "5m", "inputTokens": 4}],
            },
            Usage(input=1, output=2, cache_write=4, cache_write_1h=5),
        ),
        ({"inputTokens": "1", "outputTokens": -2, "totalTokens": None}, Usage(is_odd=True)),
        ({"inputTokens": 1, "serverToolUsage": {"x": 1}}, Usage(input=1, extra={"serverToolUsage": {"x": 1}})),
        ({}, None),
        ("many", None),
    ],
)
def test_tokens_are_counted_in_disjoint_buckets(usage: Any, expected: Usage | None) -> None:
    assert fold(decoded(whole(usage=usage), streamed=False)).usage == expected
    assert fold(decoded(START + STOP + message("metadata", usage=usage))).usage == expected


@pytest.mark.parametrize(
    ("thought", "expected"),
    [
        ({"thinking_tokens": 40}, Usage(input=3, output=2, reasoning=40)),
        ({"thinking_tokens": 99}, Usage(input=3, reasoning=42)),
        ({"thinking_tokens": "x"}, Usage(input=3, output=42, is_odd=True)),
        (None, Usage(input=3, output=42)),
    ],
)
def test_what_claude_has_thought_is_counted_beside_the_usage(thought: Any, expected: Usage) -> None:
    """Where encode.py has asked for it."""
    more, counts = {"usage": {"output_tokens_details": thought}}, {"inputTokens": 3, "outputTokens": 42}
    data = whole(usage=counts, additionalModelResponseFields=more)
    stop = message("messageStop", stopReason="end_turn", additionalModelResponseFields=more)
    streamed = START + stop + message("metadata", usage=counts)
    for is_stream, answer in ((False, data), (True, streamed)):
        assert fold(decoded(answer, streamed=is_stream)).usage == expected
        assert laws.watch(WIRE.meter(is_stream), [answer]).usage == expected


@pytest.mark.parametrize("word", [*REASONS, "brand_new"])
def test_a_stop_reason_is_read_and_said_again(word: str) -> None:
    events = decoded(whole(stopReason=word), streamed=False)
    assert events[-1] == Finish(stops=(Stop(reason=REASONS.get(word, "other"), raw=word),))
    assert json.loads(said(events, streamed=False))["stopReason"] == word
    assert ("messageStop", {"stopReason": word}) in told(said(events))


@pytest.mark.parametrize("reason", list(STOP_WORDS))
def test_a_stop_of_another_wire_gets_the_nearest_word(reason: Reason) -> None:
    events = sentence(Text(text="a"), stop=Stop(reason=reason, raw="THEIR_WORD"))
    assert json.loads(said(events, streamed=False))["stopReason"] == (STOP_WORDS[reason] or "THEIR_WORD")


def test_the_stop_string_that_was_met_is_told() -> None:
    data = whole(stopReason="stop_sequence", additionalModelResponseFields={"stop_sequence": "END"})
    events = decoded(data, streamed=False)
    assert events[-1] == Finish(stops=(Stop(reason="stop_sequence", raw="stop_sequence", sequence="END"),))
    for streamed in (True, False):
        assert decoded(said(events, streamed), streamed)[-1] == events[-1]


def test_a_refusal_is_text_and_says_so_at_the_end() -> None:
    answer = json.loads(said(sentence(Refusal(text="no"), stop=Stop(raw="stop")), streamed=False))
    assert answer["output"]["message"]["content"] == [{"text": "no"}]
    assert answer["stopReason"] == "content_filtered"


def test_a_stream_may_end_without_its_usage_and_close_its_blocks_late() -> None:
    events = decoded(START + block_delta(0, text="a") + STOP)
    assert events == [
        Start(wire="bedrock"),
        Open(index=0, part=Text()),
        Delta(index=0, text="a"),
        Close(index=0),
        events[-1],
    ]
    assert isinstance(events[-1], Finish)


def test_the_usage_may_come_before_the_end() -> None:
    events = decoded(START + META + STOP + META)
    assert [type(event) for event in events] == [Start, Usage, Finish]


def test_what_is_not_invented_yet_is_passed_over() -> None:
    hush = message("keepAlive", anything=[1])
    assert decoded(hush + START + hush + block_start(0) + block_delta(0, text="a") + block_stop(0) + STOP + META)
    assert parts(stream(block_stop(0))) == []


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (block_start(0, hologram={"a": 1}), {"hologram": {"a": 1}}),
        (block_start(0, hologram={}) + block_delta(0, hologram="a") + block_delta(0, text="b"), {"hologram": {}}),
        (block_delta(0, hologram="a") + block_delta(0, hologram="b"), {"hologram": "a"}),
        (block_delta(0, reasoningContent={"hologram": "a"}), {"reasoningContent": {"hologram": "a"}}),
    ],
)
def test_an_unknown_block_of_a_stream_is_kept_as_it_is_of_a_whole_answer(blocks: bytes, expected: Any) -> None:
    said = block_delta(1, text="b") + block_stop(1)
    kept = Opaque(wire="bedrock", value=expected)
    assert parts(stream(blocks + block_stop(0) + said)) == [kept, Text(text="b")]


def test_a_thought_and_the_answer_may_have_one_number() -> None:
    thought, text = block_delta(0, reasoningContent={"text": "Hm"}), block_delta(0, text="a")
    assert parts(stream(thought + text + text + block_stop(0))) == [Thinking(text="Hm"), Text(text="aa")]
    sealed = block_delta(0, reasoningContent={"redactedContent": "cw=="})
    assert [type(part) for part in parts(stream(sealed + text + thought + block_stop(0)))] == [Thinking, Text, Thinking]


def test_a_number_is_free_again_once_its_block_is_closed() -> None:
    thought = block_delta(0, reasoningContent={"text": "a"}) + block_stop(0)
    call = block_start(0, toolUse={"toolUseId": "t", "name": "f"}) + block_delta(0, toolUse={"input": "{}"})
    texts = block_delta(0, text="b") + block_stop(0) + block_delta(0, text="c")
    assert parts(stream(thought + texts + block_stop(0) + block_stop(0) + call + block_stop(0))) == [
        Thinking(text="a"),
        Text(text="b"),
        Text(text="c"),
        ToolCall(id="t", name="f", arguments="{}"),
    ]
    unknown = block_delta(0, hologram="a") + block_stop(0)
    assert parts(stream(unknown + block_stop(0) + block_delta(0, text="b"))) == [
        Opaque(wire="bedrock", value={"hologram": "a"}),
        Text(text="b"),
    ]


def test_an_unknown_delta_of_a_known_block_is_passed_over() -> None:
    odd = block_delta(0, hologram="a")
    assert parts(stream(odd + block_delta(0, text="a") + odd + block_delta(0, text="b") + odd + block_stop(0))) == [
        Text(text="ab")
    ]
    thought = odd + block_delta(0, reasoningContent={"hologram": 1}) + block_delta(0, reasoningContent={"text": "a"})
    assert parts(stream(thought + block_stop(0))) == [Thinking(text="a")]


@pytest.mark.parametrize("start", [{}, {"text": ""}, {"reasoningContent": {}}])
def test_a_start_that_says_nothing_is_passed_over(start: Any) -> None:
    assert parts(stream(block_start(0, **start) + block_delta(0, text="a") + block_stop(0))) == [Text(text="a")]


THOUGHT = block_delta(0, reasoningContent={"text": "a"})
SEARCH = block_start(0, toolUse={"toolUseId": "t", "name": "f", "type": "server_tool_use"})
BROKEN: list[tuple[str, bytes]] = [
    ("no start", block_delta(0, text="a") + STOP),
    ("two starts", START + START),
    ("no payload", encode_message([(":event-type", "messageStart"), (":message-type", "event")], b"")),
    ("odd payload", START + message("contentBlockDelta", contentBlockIndex="0", delta={"text": "a"})),
    ("delta that is none", START + message("contentBlockDelta", contentBlockIndex=0, delta=[])),
    ("no number", START + message("contentBlockDelta", delta={"text": "a"})),
    ("empty delta", START + block_delta(0)),
    ("text that is none", START + block_delta(0, text=1)),
    ("input without a start", START + block_delta(0, toolUse={"input": "{}"})),
    ("input of a closed block", START + THOUGHT + block_stop(0) + block_delta(0, toolUse={"input": "{}"})),
    ("block opens twice", START + block_delta(0, text="a") + block_start(0, toolUse={"toolUseId": "t", "name": "f"})),
    ("start of a text that says some", START + block_start(0, text="a")),
    ("start of a call that is none", START + block_start(0, toolUse=1)),
    ("call without a name", START + block_start(0, toolUse={"toolUseId": "t"})),
    ("thought in a text", START + block_delta(0, text="a") + block_delta(0, reasoningContent={"text": "b"})),
    ("seal in a thought", START + THOUGHT + block_delta(0, reasoningContent={"redactedContent": "YQ=="})),
    ("citation that is none", START + block_delta(0, citation="x")),
    ("citation in a thought", START + THOUGHT + block_delta(0, citation={})),
    ("input that is none", START + SEARCH + block_delta(0, toolUse={"input": "{"}) + block_stop(0)),
    ("image that is none", START + block_start(0, image={}) + block_delta(0, image={"error": {}})),
    ("block behind the end", START + STOP + block_delta(0, text="a")),
    ("cut before its end", START + block_delta(0, text="a") + block_stop(0)),
    ("cut in a message", START + STOP[:20]),
    ("damaged", START + STOP[:-1] + b"\0"),
    ("nothing", b""),
    ("a page", b"<html>no</html>"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data"), BROKEN, ids=[name for name, _ in BROKEN])
def test_a_stream_that_makes_no_sense_is_the_providers_fault(name: str, data: bytes) -> None:
    error = failure(data)
    assert isinstance(error, Down)
    assert error.message
    bytewise = laws.listen(WIRE.decoder(True), [data[i : i + 1] for i in range(len(data))])[1]
    assert (str(bytewise), type(bytewise)) == (str(error), type(error))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"output":{}}',
        b'{"output":{"message":1}}',
        whole(1),
        whole({"text": 1}),
        whole({"citationsContent": []}),
        whole({"toolUse": {"name": "f", "input": []}}),
        whole({"toolUse": {"input": {}}}),
        whole({"toolUse": {"name": 1, "input": {}}}),
        whole(stopReason=1),
        b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}',
    ],
)
def test_an_answer_that_makes_no_sense_is_the_providers_fault(data: bytes) -> None:
    assert isinstance(failure(data, streamed=False), UpstreamError)


def test_an_error_where_a_stream_should_be_is_read_as_one() -> None:
    body = b'{"__type":"com.amazon.bedrock#ThrottlingException","message":"slow down"}'
    for chunks in ([body], [body[i : i + 1] for i in range(len(body))]):
        error = laws.listen(WIRE.decoder(True), chunks)[1]
        assert isinstance(error, Busy)
        assert error.message == "slow down"
    assert isinstance(failure(body, streamed=False), Busy)


@pytest.mark.parametrize(
    ("name", "made", "status"),
    [
        ("throttlingException", Busy, 429),
        ("validationException", Refused, 400),
        ("internalServerException", Down, 500),
        ("serviceUnavailableException", Down, 503),
        ("modelStreamErrorException", Down, 424),
        ("modelTimeoutException", Timeout, 408),
        ("somethingNewException", Down, 502),
    ],
)
def test_an_exception_breaks_a_stream(name: str, made: type[UpstreamError], status: int) -> None:
    data = START + block_delta(0, text="a") + exception(name)
    events, error = laws.listen(WIRE.decoder(True), [data])
    assert [type(event) for event in events] == [Start, Open, Delta]
    meter = laws.watch(WIRE.meter(True), [data])
    for each in (error, meter.error):
        assert type(each) is made
        assert (each.status, each.message) == (status, "it broke")
        assert each.upstream_type == name[0].upper() + name[1:]
    assert not meter.finished


def test_an_error_message_without_a_payload_is_told_too() -> None:
    headers = [(":message-type", "error"), (":error-code", "InternalFailure"), (":error-message", "it broke")]
    error = failure(START + encode_message(headers, b""))
    assert (error.message, error.upstream_type) == ("it broke", "InternalFailure")


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "body", "made", "kind"),
    [
        (429, {"x-amzn-errortype": "ThrottlingException:http://x/"}, b"", Busy, "rate_limit"),
        (400, {"x-amzn-errortype": "ServiceQuotaExceededException"}, b"{}", Busy, "quota_exceeded"),
        (400, {}, b'{"__type":"a.b#ValidationException","message":"no"}', Refused, "invalid_request"),
        (403, {"x-amzn-errortype": "ExpiredTokenException"}, b"<html>", Refused, "authentication"),
        (404, {}, b"", Refused, "invalid_request"),
        (408, {"x-amzn-errortype": "ModelTimeoutException"}, b"{}", Timeout, "timeout"),
        (424, {"x-amzn-errortype": "ModelErrorException"}, b"{}", Down, "server_error"),
        (500, {}, b"[1]", Down, "server_error"),
        (503, {"x-amzn-errortype": "ServiceUnavailableException"}, b"\xff", Down, "server_error"),
    ],
)
def test_an_error_is_known_by_its_name_or_its_status(
    status: int, headers: dict[str, str], body: bytes, made: type[UpstreamError], kind: str
) -> None:
    error = WIRE.decode_error(status, headers, body)
    assert type(error) is made
    assert (error.kind, error.upstream_status) == (kind, status)
    assert error.message


def test_retry_after_travels_and_a_signature_does_not() -> None:
    assert WIRE.decode_error(429, {"retry-after": "3"}, b"{}").headers == [("retry-after", "3")]
    body = json.dumps({"message": "The signature does not match.\n\nx-amz-security-token: SECRET"}).encode()
    error = WIRE.decode_error(403, {"x-amzn-errortype": "InvalidSignatureException"}, body)
    assert error.message == "The signature does not match."
    assert error.body is None


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (BadRequest("x"), "ValidationException"),
        (BadRequest("x", status=413), "ValidationException"),
        (Unauthorized("x"), "UnrecognizedClientException"),
        (UnknownModel("x"), "ResourceNotFoundException"),
        (OverLimit("x"), "ThrottlingException"),
        (OverLimit("x", kind="quota_exceeded", code="insufficient_quota"), "ServiceQuotaExceededException"),
        (Timeout("x"), "ModelTimeoutException"),
        (Down("x"), "ServiceUnavailableException"),
        (GatewayError("x"), "InternalServerException"),
        (Down("x", status=499), "InternalServerException"),  # of Google, which gave up
        (Refused("x", status=403, upstream_type="ExpiredTokenException"), "ExpiredTokenException"),
        (Busy("x", upstream_type="overloaded_error"), "ThrottlingException"),
    ],
)
def test_our_errors_have_names_of_this_wire(error: GatewayError, name: str) -> None:
    assert WIRE.error_headers(error) == [("x-amzn-errortype", name)]
    assert json.loads(WIRE.error(error, "req_1")) == {"message": "x"}


def test_models_are_listed_as_bedrock_lists_them() -> None:
    assert [one["modelId"] for one in json.loads(WIRE.model_list(["a", "b"]))["modelSummaries"]] == ["a", "b"]
    assert json.loads(WIRE.model_card("a"))["modelDetails"] == {
        "modelArn": "arn:aws:bedrock:pillion::foundation-model/a",
        "modelId": "a",
        "modelName": "a",
        "responseStreamingSupported": True,
    }


# --- rendering -------------------------------------------------------------------------------------------------------


def test_a_stream_is_spelled_as_bedrock_spells_it() -> None:
    call = ToolCall(id="t", name="f", arguments='{"x":1}')
    events = sentence(Thinking(text="hm", signature="s"), Text(text="a"), call, stop=Stop(reason="tool_use"))
    assert told(said(events)) == [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s"}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "a"}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"x":1}'}}}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
        ("messageStop", {"stopReason": "tool_use"}),
        (
            "metadata",
            {
                "usage": {
                    "inputTokens": 3,
                    "outputTokens": 2,
                    "totalTokens": 5,
                    "cacheReadInputTokens": 0,
                    "cacheWriteInputTokens": 0,
                },
                "metrics": {"latencyMs": 0},
            },
        ),
    ]


def test_the_latency_is_measured() -> None:
    times = iter([10.0, 10.0, 11.5])
    wire = Bedrock(clock=lambda: next(times))
    renderers = [wire.renderer(Request(wire="bedrock", model="m", turns=[], stream=False)) for _ in range(2)]
    answer = json.loads(laws.say(renderers[1], sentence(Text(text="a"))))
    assert answer["metrics"] == {"latencyMs": 1500}


def test_blocks_that_overlap_are_told_one_after_the_other() -> None:
    events: list[Event] = [
        Start(wire="bedrock"),
        Open(index=5, part=ToolCall(id="a", name="f")),
        Open(index=7, part=ToolCall(id="b", name="g")),
        Delta(index=7, text="{}"),
        Delta(index=5, text='{"x":1}'),
        Close(index=5),
        Open(index=8, part=Text()),
        Close(index=8),
        Close(index=7),
        USED,
        Finish(),
    ]
    spelled = told(said(events))
    numbers = [payload["contentBlockIndex"] for kind, payload in spelled if str(kind).startswith("contentBlock")]
    assert numbers == sorted(numbers)
    assert fold(decoded(said(events))).choices[0].parts == fold(events).choices[0].parts


def test_a_block_that_says_nothing_is_told_by_an_empty_delta() -> None:
    for part in (Text(), Thinking(), Refusal()):
        assert len(parts(said(sentence(part)))) == 1
    assert parts(said(sentence(Thinking()))) == [Thinking()]


def test_a_call_without_an_id_gets_one_that_stays() -> None:
    calls = [ToolCall(id="", name="f"), ToolCall(id="", name="f")]
    streamed = [part.id for part in parts(said(sentence(*calls))) if isinstance(part, ToolCall)]
    at_once = [part.id for part in parts(said(sentence(*calls), False), False) if isinstance(part, ToolCall)]
    assert streamed == at_once
    assert len(set(streamed)) == 2
    assert all(streamed)


@pytest.mark.parametrize("arguments", ["{", "[1]", "free text", '{"a":1e999}'])
def test_arguments_that_are_no_object_are_shown_as_they_are(arguments: str) -> None:
    answer = json.loads(said(sentence(ToolCall(id="t", name="f", arguments=arguments)), streamed=False))
    shown = answer["output"]["message"]["content"][0]["toolUse"]["input"]
    assert shown == {"malformed_arguments": arguments}


def test_a_citation_of_another_wire_is_retold() -> None:
    foreign = [
        Citation(wire="openai_chat", value={}, url="https://x", title="t", quote="q"),
        Citation(wire="anthropic", value={"type": "char_location"}, quote="q"),
        Citation(wire="anthropic", value={"type": "nothing"}),
    ]
    retold = [
        {"title": "t", "sourceContent": [{"text": "q"}], "location": {"web": {"url": "https://x"}}},
        {"sourceContent": [{"text": "q"}]},
    ]
    events = sentence(Text(text="a", citations=foreign))
    for streamed in (True, False):
        (text,) = parts(said(events, streamed), streamed)
        assert isinstance(text, Text)
        assert [one.value for one in text.citations] == retold


def test_a_citation_without_a_text_stands_alone() -> None:
    cited = {"citationsContent": {"citations": [{"title": "t"}]}}
    told = json.loads(said(decoded(whole(cited), streamed=False), streamed=False))
    assert told["output"]["message"]["content"] == [cited]


@pytest.mark.parametrize("part", [
    Audio(source=Inline("AAAA", "audio/wav")),
    Document(source=Inline("AAAA", "application/pdf")),
    Opaque(wire="anthropic", value={}),
    Image(source=Remote("https://x/y.png")),
    Image(source=Inline("AAAA", "image/tiff")),
])  # fmt: skip
@pytest.mark.parametrize("streamed", [True, False])
def test_what_an_answer_cannot_say_is_refused_aloud(part: Part, streamed: bool) -> None:
    with pytest.raises(Unrepresentable) as caught:
        said(sentence(Text(text="a"), part), streamed)
    assert caught.value.param == "content[1]"


@pytest.mark.parametrize("streamed", [True, False])
def test_several_choices_are_refused_aloud(streamed: bool) -> None:
    choices = [Choice(parts=[Text(text="a")], stop=Stop()), Choice(parts=[Text(text="b")], stop=Stop())]
    with pytest.raises(Unrepresentable):
        said(list(unfold(Completion(start=Start(), choices=choices))), streamed)
    with pytest.raises(Unrepresentable):
        said([Start(), Finish(stops=(Stop(), Stop()))], streamed)


def test_a_system_block_that_has_no_streamed_form_is_refused() -> None:
    with pytest.raises(Unrepresentable):
        said(sentence(Opaque(wire="bedrock", value={"guardContent": {}})))


@pytest.mark.parametrize("seal", ["c2VhbGVk", "", "gAAAA_-x", "YQ", "not base64!", "é", "cGlsbGlvbjp4"])
def test_a_seal_comes_back_unchanged(seal: str) -> None:
    assert unwrap(wrap(seal)) == seal
    again = join([wrap(seal)])
    assert unwrap(again) == seal


def test_a_blob_that_only_begins_as_ours_do_is_left_as_it_is() -> None:
    blob = b64encode(b"pillion:\xff").decode()
    assert unwrap(blob) == blob


def test_a_seal_of_another_provider_survives_the_way_through_an_sdk() -> None:
    (thought,) = parts(said(sentence(Thinking(redacted="gAAAA_-x"))))
    assert thought == Thinking(redacted="gAAAA_-x")


# --- where a stream begins -------------------------------------------------------------------------------------------


def test_a_whole_message_is_an_event() -> None:
    said = message("messageStop", stopReason="end_turn")
    for end in range(len(said)):
        assert not WIRE.has_event(START + said[:end])
    assert WIRE.has_event(START + said)
    assert WIRE.has_event(said + b"x")


@pytest.mark.parametrize("data", [b'{"message":"an error"}', b"data: {} and so on\n\n", b"\0" * 12, b"<html></html>"])
def test_what_can_be_no_stream_is_told_at_once(data: bytes) -> None:
    with pytest.raises(Unframed):
        WIRE.has_event(data)


# --- the meter -------------------------------------------------------------------------------------------------------


def test_the_meter_reads_no_block() -> None:
    data = stream(block_delta(0, text="a"), block_stop(0))
    damaged = data.replace(b'"text": "a"', b'"text": "b"')  # its checksum does not fit: nobody looked
    meter = laws.watch(WIRE.meter(True), [damaged])
    assert (meter.usage, meter.finished, meter.error) == (USED, True, None)


def test_what_stands_behind_the_end_counts_for_nobody() -> None:
    late = message("metadata", usage={"inputTokens": 99}) + exception("internalServerException")
    data = stream(block_delta(0, text="a"), block_stop(0)) + late
    assert fold(decoded(data)).usage == USED
    meter = laws.watch(WIRE.meter(True), [data[:-5], data[-5:]])
    assert (meter.usage, meter.finished, meter.error) == (USED, True, None)


@pytest.mark.parametrize("end", [len(START), -len(META) - 1, -len(META) - len(STOP)])
def test_the_meter_knows_a_stream_that_was_cut(end: int) -> None:
    assert not laws.watch(WIRE.meter(True), [stream(block_delta(0, text="a"), block_stop(0))[:end]]).finished


def test_the_meter_of_a_whole_answer() -> None:
    usage = {"inputTokens": 3, "outputTokens": 2}
    cases: list[tuple[bytes, Usage | None, bool, bool]] = [
        (whole(usage=usage), USED, True, False),
        (b'{"message":"no"}', None, True, True),
        (b'{"stopReason":7}', None, True, False),
        (whole(usage=usage)[:-1], None, False, False),
        (b"", None, False, False),
        (b"<html>", None, False, False),
    ]
    for data, counted, finished, failed in cases:
        meter = laws.watch(WIRE.meter(False), [data])
        assert (meter.usage, meter.finished, meter.error is not None) == (counted, finished, failed)


# --- any sentence, any bytes -----------------------------------------------------------------------------------------

texts = st.text(max_size=20)
seals = st.binary(min_size=1, max_size=9).map(lambda data: b64encode(data).decode())
cited = st.builds(
    lambda title: Citation(wire="bedrock", value={"title": title} if title else {}, title=title), st.text(max_size=5)
)
blocks = st.one_of(
    st.builds(Text, text=texts, citations=st.lists(cited, max_size=2)),
    st.builds(Thinking, text=texts, signature=texts),
    st.builds(Thinking, redacted=seals),
    st.builds(ToolCall, id=texts.filter(bool), name=texts.filter(bool), arguments=st.sampled_from(["{}", '{"a":1}'])),
    st.builds(Image, source=st.builds(Inline, seals, st.just("image/png"))),
)
counts = st.integers(0, 10**7)
usages = st.builds(
    Usage, input=counts, cache_read=counts, cache_write=counts, cache_write_1h=counts, output=counts
)  # fmt: skip
stops = st.sampled_from([Stop(reason=reason, raw=word) for word, reason in REASONS.items()])
completions = st.builds(
    lambda parts, stop, usage: Completion(
        start=Start(wire="bedrock"), choices=[Choice(parts=parts, stop=stop)], usage=usage
    ),
    st.lists(blocks, max_size=4), stops, usages,
)  # fmt: skip


def without_empty_citations(part: Part) -> Part:
    if isinstance(part, Text):
        part.citations = [one for one in part.citations if one.value]
    return part


@given(completions, st.booleans())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_sentence_is_heard_as_it_was_said(completion: Completion, streamed: bool) -> None:
    for choice in completion.choices:
        choice.parts = [without_empty_citations(part) for part in choice.parts]
    data = said(list(unfold(completion)), streamed)
    assert fold(decoded(data, streamed)) == completion
    events = laws.listen(WIRE.decoder(streamed), [data[i : i + 9] for i in range(0, len(data), 9)])
    assert fold(events[0]) == completion
    assert laws.watch(WIRE.meter(streamed), [data]).usage == completion.usage


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KINDS = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]
inner_words = st.sampled_from(["input", "text", "signature", "redactedContent", "source"])
deltas = st.dictionaries(
    st.sampled_from(["text", "toolUse", "citation", "image", "toolResult", "reasoningContent"]),
    st.text(max_size=5) | st.dictionaries(inner_words, json_values, max_size=2) | json_values,
    max_size=2,
)
starts = st.dictionaries(
    st.sampled_from(["toolUse", "toolResult", "image", "x"]),
    st.dictionaries(st.sampled_from(["toolUseId", "name", "type", "format"]), json_values, max_size=3) | json_values,
    max_size=1,
)
payloads = st.fixed_dictionaries(
    {},
    optional={
        "contentBlockIndex": st.integers(-1, 2) | json_values,
        "delta": deltas | json_values,
        "start": starts | json_values,
        "stopReason": st.just("end_turn") | json_values,
        "usage": json_values,
        "additionalModelResponseFields": json_values,
    },
)
frames = st.builds(lambda kind, payload: message(kind, **payload), st.sampled_from(KINDS), payloads)


@given(st.lists(frames | st.just(STOP) | st.just(META), max_size=8), st.binary(max_size=3))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=examples(300))
def test_any_messages_are_a_sentence_or_an_error(messages: list[bytes], tail: bytes) -> None:
    data = START + b"".join(messages) + tail
    events, error = laws.listen(WIRE.decoder(True), [data])
    if error is None:
        list(grammatical(events))
    laws.watch(WIRE.meter(True), [data])


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_sentence_or_an_error(data: bytes, streamed: bool) -> None:
    events, error = laws.listen(WIRE.decoder(streamed), [data])
    assert error is not None or list(grammatical(events))
    laws.watch(WIRE.meter(streamed), [data])


def perhaps(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={key: value | json_values for key, value in members.items()})


block_words = st.sampled_from(["text", "toolUse", "citationsContent", "reasoningContent", "image", "x"])
contents = st.lists(st.dictionaries(block_words, json_values, max_size=2), max_size=3)
used_words = st.sampled_from(["inputTokens", "cacheDetails", "cacheWriteInputTokens"])
whole_answers = perhaps(
    output=perhaps(message=perhaps(content=contents)),
    stopReason=st.just("end_turn"),
    usage=st.dictionaries(used_words, json_values, max_size=3),
)


@given(whole_answers)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_json_is_an_answer_or_an_error(answer: Any) -> None:
    data = json.dumps(answer).encode()
    events, error = laws.listen(WIRE.decoder(False), [data])
    assert error is not None or list(grammatical(events))
    laws.watch(WIRE.meter(False), [data])


@pytest.mark.parametrize("feed", [WIRE.meter(True).feed, WIRE.meter(False).feed])
def test_a_meter_never_raises(feed: Callable[[bytes], None]) -> None:
    for data in (b"\xff" * 100, b"\0" * 100, START[:-1] + b"\xff", b"{", b"["):
        feed(data)
