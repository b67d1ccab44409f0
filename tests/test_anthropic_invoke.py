"""Does proxy.dialects.anthropic.invoke say and hear Anthropic's words in Bedrock's envelope, and nobody else's?"""

import asyncio
import base64
import json
import re
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropicBedrock
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.canon import (
    Choice,
    Completion,
    Event,
    Image,
    Inline,
    Part,
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
from proxy.dialects.anthropic import Anthropic
from proxy.dialects.anthropic.invoke import Invoke
from proxy.envelope import Envelope
from proxy.errors import BadRequest, Down, OverLimit, Unrepresentable, Unsupported, UpstreamError
from proxy.framing.eventstream import encode_message
from proxy.ports import Hints, Path, Peek
from tests import laws, recordings, replay
from tests.client import ANTHROPIC, OPENAI, Speech, ask
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion, telling
from tests.test_adapter_bedrock import ENVIRON, Environ, an_environment, refused, sdk, verify
from tests.test_logs import Kept, log_to
from tests.test_logs import told as logged

__all__ = ["an_environment"]  # a fixture, and in force for every test here

WIRE, MESSAGES = Invoke(), Anthropic()
PEEK = Peek("m", False)
CLAUDE = "us.anthropic.claude-3-haiku-20240307-v1:0"
VERSION = "bedrock-2023-05-31"
BODY: dict[str, Any] = {
    "anthropic_version": VERSION,
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Grüße"}],
}
TITAN = {"inputText": "Once", "textGenerationConfig": {"maxTokenCount": 9}}

WHOLES = [row for row in recordings.load("bedrock.invoke") if row["status"] == 200]
STREAMS = recordings.load("bedrock.invoke-with-response-stream")


def is_claudes(row: recordings.Row) -> bool:
    asked = row["request_json"]
    return "anthropic_version" in asked and "prompt" not in asked


CLAUDES = [row for row in STREAMS if is_claudes(row)]
OTHERS = [row for row in STREAMS if not is_claudes(row)]


def events_in(data: bytes) -> Iterator[Any]:
    """The JSON of each chunk, read by the lengths of the messages alone."""
    at = 0
    while at < len(data):
        size, headers = struct.unpack_from(">II", data, at)
        assert b"chunk" in data[at + 12 : at + 12 + headers]
        yield json.loads(base64.b64decode(json.loads(data[at + 12 + headers : at + size - 4])["bytes"]))
        at += size


def chunk(event: dict[str, Any] | bytes) -> bytes:
    text = event if isinstance(event, bytes) else json.dumps(event).encode()
    headers = ((":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event"))
    return encode_message(headers, json.dumps({"bytes": base64.b64encode(text).decode(), "p": "abc"}).encode())


def exception(name: str, message: str) -> bytes:
    headers = ((":exception-type", name), (":message-type", "exception"))
    return encode_message(headers, json.dumps({"message": message}).encode())


MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "claude", "content": []}
START = {"type": "message_start", "message": {**MESSAGE, "stop_reason": None, "usage": {"input_tokens": 5}}}
BEGUN = chunk(START) + chunk({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
SAID = chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüße"}})
LAST = {"inputTokenCount": 7, "outputTokenCount": 3, "cacheReadInputTokenCount": 2, "cacheWriteInputTokenCount": 1}
ENDED = (
    chunk({"type": "content_block_stop", "index": 0})
    + chunk({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}})
    + chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": LAST})
)
WHOLE_STREAM = BEGUN + SAID + ENDED


# --- the request -----------------------------------------------------------------------------------------------------


def parsed(body: Any, stream: bool = False) -> Any:
    return WIRE.parse(json.dumps(body).encode(), Peek("some/model", stream))


@pytest.mark.parametrize(
    ("rest", "peek"),
    [
        ("anthropic.claude-v2:1/invoke", Peek("anthropic.claude-v2:1", False)),
        ("openai/gpt-4o/invoke-with-response-stream", Peek("openai/gpt-4o", True)),
    ],
)
def test_the_path_tells_the_model_and_whether_to_stream(rest: str, peek: Peek) -> None:
    assert WIRE.peek(Envelope(b"{}"), Path(rest)) == peek


@pytest.mark.parametrize("rest", ["m/converse", "m/count-tokens", "/invoke", "invoke"])
def test_other_paths_are_not_of_this_wire(rest: str) -> None:
    with pytest.raises(BadRequest, match="followed by invoke or invoke-with-response-stream") as caught:
        WIRE.peek(Envelope(b"{}"), Path(rest))
    assert caught.value.status == 404


def test_a_body_is_anthropics_with_the_model_of_the_path() -> None:
    request = parsed(BODY | {"anthropic_beta": ["b"], "top_k": 3}, stream=True)
    assert (request.wire, request.model, request.stream) == ("anthropic", "some/model", True)
    assert (request.max_tokens, request.top_k, request.betas) == (50, 3, ["b"])
    assert request.turns[0].parts == [Text(text="Grüße")]


@pytest.mark.parametrize("key", ["model", "stream"])
def test_what_the_path_says_the_body_must_not(key: str) -> None:
    with pytest.raises(BadRequest, match=f"{key} belongs in the path") as caught:
        parsed(BODY | {key: True})
    assert caught.value.param == key


@pytest.mark.parametrize(
    "body",
    [
        TITAN,
        {"prompt": "\n\nHuman: hi\n\nAssistant:", "max_tokens_to_sample": 9, "anthropic_version": VERSION},
        {"messages": [], "inferenceConfig": {}, "schemaVersion": "messages-v1"},
        {"messages": [], "max_tokens": 9, "anthropic_version": None},
    ],
)
def test_another_familys_body_is_nobodys_but_bedrocks(body: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=r"Only Bedrock accepts this body.*anthropic_version") as caught:
        parsed(body)
    assert caught.value.status == 501


def test_a_mistake_is_told_with_its_path() -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(BODY | {"messages": [{"role": "user", "content": [{"type": "text"}]}]})
    assert caught.value.param == "messages[0].content[0].text"


@recordings.needs_recordings
@pytest.mark.parametrize("row", [row for row in WHOLES + STREAMS if is_claudes(row)], ids=recordings.ids)
def test_a_recorded_request_is_said_again_as_it_came(row: recordings.Row) -> None:
    asked = row["request_json"]
    encoded = WIRE.encode(parsed(asked, stream=row["streamed"]))
    assert encoded.dropped == ()
    assert in_blocks(json.loads(encoded.body)) == in_blocks(asked)
    recordings.replayed(row)


ARN = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3"


def test_the_version_is_bedrocks_own() -> None:
    """Vertex AI's SDK says another, and Bedrock refuses it."""
    asked = MESSAGES.parse(json.dumps(BODY | {"model": ARN, "anthropic_version": "vertex-2023-10-16"}).encode(), PEEK)
    assert json.loads(WIRE.encode(asked).body) == json.loads(WIRE.encode(parsed(BODY)).body)


def test_claude_is_shown_no_thought_without_a_seal_whatever_its_name() -> None:
    said = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}]
    turns = [*BODY["messages"], {"role": "assistant", "content": said}, *BODY["messages"]]
    encoded = WIRE.encode(MESSAGES.parse(json.dumps(BODY | {"model": ARN, "messages": turns}).encode(), PEEK))
    assert json.loads(encoded.body)["messages"][1]["content"] == said[1:]
    assert encoded.dropped == ("messages.thinking",)


def in_blocks(body: dict[str, Any]) -> dict[str, Any]:
    """A text may stand alone for a block of it."""

    def blocks(content: Any) -> Any:
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    messages = [message | {"content": blocks(message["content"])} for message in body["messages"]]
    for block in (block for message in messages for block in message["content"] if block["type"] == "tool_result"):
        block["content"] = blocks(block["content"])
    system = {"system": blocks(body["system"])} if body.get("system") else {}
    return {key: value for key, value in body.items() if value != []} | {"messages": messages} | system


def test_what_the_operator_says_is_said_to_claude_alone() -> None:
    hints = Hints("m", max_tokens=9, temperature=0.5)
    said = {"max_tokens": 9, "temperature": 0.5}
    assert WIRE.hinted(Envelope(json.dumps(BODY).encode()), hints) == said
    assert WIRE.hinted(Envelope(json.dumps(TITAN).encode()), hints) == {}


# --- an answer that is decoded ---------------------------------------------------------------------------------------


def heard(data: bytes) -> tuple[list[Event], UpstreamError | None]:
    return laws.listen(WIRE.decoder(True), [data])


@recordings.needs_recordings
@pytest.mark.parametrize("row", CLAUDES, ids=recordings.ids)
def test_a_recorded_stream_says_what_its_events_say_however_it_is_cut(row: recordings.Row) -> None:
    data = recordings.body(row)
    plain = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events_in(data))
    whole, error = heard(data)
    assert error is None
    assert whole == list(grammatical(whole)) == laws.drain(MESSAGES.decoder(True), [plain])
    for chunks in laws.stream_splits(data):
        assert laws.drain(WIRE.decoder(True), chunks) == whole
    recordings.replayed(row)


def test_an_event_may_have_line_ends() -> None:
    text = json.dumps(START, indent=2).replace("\n", "\r\n\r\n").encode()
    assert heard(chunk(text) + WHOLE_STREAM[len(chunk(START)) :]) == heard(WHOLE_STREAM)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (BEGUN + SAID, "ended before it was complete"),
        ((BEGUN + SAID + ENDED)[:-9], "ended before it was complete"),
        (BEGUN + exception("modelStreamErrorException", "it broke"), "it broke"),
        (BEGUN + chunk({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}), "busy"),
        (BEGUN + SAID[:-1] + b"?", "checksum of a message"),
        (b"<html>it is no stream at all", "checksum"),
        (encode_message(((":event-type", "chunk"),), b"{}}"), "a chunk has no bytes"),
        (encode_message(((":event-type", "chunk"),), b'{"bytes":"?"}'), "a chunk has no bytes"),
        (chunk(b'{"outputText":"x"}'), "could not be read"),
    ],
)
def test_what_is_no_answer_is_the_providers_fault(data: bytes, said: str) -> None:
    _, error = heard(data)
    assert error is not None
    assert said in error.message
    meter = laws.watch(WIRE.meter(True), [data])
    assert not (meter.finished and meter.error is None) or "read" in said


def test_nothing_counts_behind_the_end() -> None:
    behind = WHOLE_STREAM + exception("throttlingException", "late")
    assert heard(behind) == heard(WHOLE_STREAM)
    meter = laws.watch(WIRE.meter(True), [behind])
    assert (meter.finished, meter.error) == (True, None)


def test_a_message_of_a_kind_yet_to_come_is_passed_over() -> None:
    newer = encode_message(((":event-type", "initialResponse"), (":message-type", "event")), b"\xff")
    assert heard(newer + WHOLE_STREAM) == heard(WHOLE_STREAM)


mutations = st.lists(st.tuples(st.integers(0, len(WHOLE_STREAM) - 1), st.integers(0, 255)), max_size=6)


@given(mutations, st.binary(max_size=40))
def test_any_bytes_are_a_sentence_or_an_upstream_error(changes: list[tuple[int, int]], more: bytes) -> None:
    data = bytearray(WHOLE_STREAM)
    for at, byte in changes:
        data[at] = byte
    events, error = heard(bytes(data) + more)
    if error is None:
        fold(events)
    laws.watch(WIRE.meter(True), [bytes(data), more])


@given(st.binary(max_size=200))
def test_a_chunk_of_any_bytes_is_heard_or_refused(event: bytes) -> None:
    heard(BEGUN + chunk(event) + ENDED)
    laws.watch(WIRE.meter(True), [BEGUN + chunk(event) + ENDED])
    laws.watch(WIRE.meter(True), [chunk(event)])


def test_a_stream_begins_with_what_it_says_or_with_a_fault() -> None:
    """The client gets its head only then: until then another target may answer."""
    assert not WIRE.has_event(chunk(START))
    for first in (
        SAID,
        exception("throttlingException", "slow down"),
        encode_message(((":event-type", "chunk"),), b"{}}"),
    ):
        assert WIRE.has_event(first)
        assert WIRE.has_event(chunk(START) + first)


# --- an answer that passes through -----------------------------------------------------------------------------------


@recordings.needs_recordings
@pytest.mark.parametrize("row", CLAUDES, ids=recordings.ids)
def test_a_recorded_stream_is_metered_as_it_is_decoded(row: recordings.Row) -> None:
    data = recordings.body(row)
    events, _ = heard(data)
    last = [event for event in events if isinstance(event, Usage)][-1]
    start = events[0]
    assert isinstance(start, Start)
    for chunks in laws.splits(data, count=20):
        meter = laws.watch(WIRE.meter(True), chunks)
        assert (meter.usage, meter.model, meter.finished, meter.error) == (last, start.model, True, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", OTHERS, ids=recordings.ids)
def test_of_another_family_bedrocks_own_count_counts(row: recordings.Row) -> None:
    data = recordings.body(row)
    counted = list(events_in(data))[-1].get("amazon-bedrock-invocationMetrics")
    for chunks in laws.splits(data, count=20):
        meter = laws.watch(WIRE.meter(True), chunks)
        assert (meter.finished, meter.error, meter.model) == (True, None, "")
        if counted is None:  # a guardrail spoke, and no model
            assert meter.usage is None
            continue
        assert meter.usage is not None
        assert meter.usage.total_input == counted["inputTokenCount"] + counted.get("cacheReadInputTokenCount", 0)
        assert meter.usage.total_output == counted["outputTokenCount"]
    assert not laws.watch(WIRE.meter(True), [data[:-1]]).finished
    recordings.replayed(row)


@recordings.needs_recordings
@pytest.mark.parametrize("row", WHOLES, ids=recordings.ids)
def test_a_recorded_answer_is_finished_and_claudes_is_counted(row: recordings.Row) -> None:
    meter = laws.watch(WIRE.meter(False), [recordings.body(row)])
    assert (meter.finished, meter.error) == (True, None)
    said = json.loads(recordings.body(row)).get("usage")
    if is_claudes(row) and said:
        assert meter.usage is not None
        assert meter.usage.total_output == said["output_tokens"]
    recordings.replayed(row)


COUNTED = {
    "x-amzn-bedrock-input-token-count": "7",
    "x-amzn-bedrock-output-token-count": "3",
    "x-amzn-bedrock-cache-read-input-token-count": "2",
    "x-amzn-bedrock-cache-write-input-token-count": "1",
}


def test_bedrocks_own_counts_are_read_and_nonsense_is_none() -> None:
    counted = Usage(input=7, output=3, cache_read=2, cache_write=1)
    last = chunk({"outputText": "x", "amazon-bedrock-invocationMetrics": LAST})
    assert laws.watch(WIRE.meter(True), [last]).usage == WIRE.usage_in_head(COUNTED) == counted
    assert WIRE.usage_in_head({}) is None
    spoilt = COUNTED | {"x-amzn-bedrock-input-token-count": "-7"}
    assert WIRE.usage_in_head(spoilt) == replace(counted, input=0, is_odd=True)
    for metrics in ({"inputTokenCount": -7}, {"inputTokenCount": "7"}):
        usage = laws.watch(WIRE.meter(True), [chunk({"amazon-bedrock-invocationMetrics": metrics})]).usage
        assert usage == Usage(is_odd=True)
    for nonsense in (chunk({"amazon-bedrock-invocationMetrics": [7]}), chunk(b'{"amazon-bedrock-invocationMetrics":')):
        assert laws.watch(WIRE.meter(True), [nonsense]).usage is None
        assert laws.watch(WIRE.meter(True), [last, nonsense]).usage == counted


@recordings.needs_recordings
@pytest.mark.parametrize("row", WHOLES, ids=recordings.ids)
def test_a_recorded_answer_of_any_family_is_counted(row: recordings.Row) -> None:
    """What Claude tells of itself is what its head tells; of all others the head alone does."""
    said, headed = (
        laws.watch(WIRE.meter(False), [recordings.body(row)]).usage,
        WIRE.usage_in_head(row["response_headers"]),
    )
    told = (headed.total_input, headed.total_output) if headed is not None else None
    assert (headed is not None) == ("x-amzn-bedrock-input-token-count" in row["response_headers"])
    if said is not None and told is not None:
        assert (said.total_input, said.total_output) == told
    recordings.replayed(row)


async def test_an_answer_of_another_family_is_metered_by_its_head(aws: Environ) -> None:
    aws()
    kept = Kept()
    plays = Scenario(
        headers=[("content-type", "application/json"), *COUNTED.items()],
        body=b'{"inputTextTokenCount":7,"results":[{"tokenCount":3,"outputText":"x"}]}',
    )
    async with Evil(plays) as evil, telling(log_to(kept), to_bedrock(evil.url)) as gateway:
        got = await ask(gateway, "POST", "/model/amazon.titan-text-express-v1/invoke", json.dumps(TITAN).encode())
        assert (got.status, got.body) == (200, plays.body)
        (line,) = await logged(kept)
    assert line["tokens"] == {"input": 7, "output": 3, "cache_read": 2, "cache_write": 1}


@pytest.mark.parametrize(
    ("data", "finished"),
    [(b"", False), (BEGUN + SAID, False), (WHOLE_STREAM[:-1], False), (chunk(b'{"outputText":"x"}'), True)],
)
def test_a_stream_that_is_cut_is_not_finished(data: bytes, finished: bool) -> None:
    """Other families than Claude's have no last event."""
    assert laws.watch(WIRE.meter(True), [data]).finished is finished


def test_a_meter_hears_an_exception_and_is_lost_at_a_bad_checksum() -> None:
    meter = laws.watch(WIRE.meter(True), [BEGUN + exception("throttlingException", "slow down")])
    assert meter.error is not None
    assert (meter.error.status, meter.error.message, meter.finished) == (429, "slow down", False)
    other = chunk(b'{"outputText":"x"}')
    lost = laws.watch(WIRE.meter(True), [other, other[:-1] + b"?", other])
    assert (lost.finished, lost.error) == (False, None)


# --- an answer that is rendered --------------------------------------------------------------------------------------

PARTS: list[Part] = [
    Thinking(text="hm", signature="sig"),
    Thinking(redacted="sealed"),
    Text(text="say 😀\n\ndata: so"),
    ToolCall(id="t1", name="f", arguments='{"x": [1, 2.5]}'),
]
USAGE = Usage(input=3, cache_read=4, cache_write=5, cache_write_1h=6, output=7, reasoning=8)
SENTENCE = list(
    unfold(
        Completion(
            start=Start(id="x", model="m"),
            choices=[Choice(parts=PARTS, stop=Stop(reason="tool_use", raw="tool_use"))],
            usage=USAGE,
        )
    )
)


def test_what_is_rendered_is_heard_again() -> None:
    request = parsed(BODY, stream=True)
    data = laws.say(WIRE.renderer(request), SENTENCE)
    again, error = heard(data)
    assert error is None
    assert fold(again).choices == fold(SENTENCE).choices
    assert fold(again).usage == laws.watch(WIRE.meter(True), [data]).usage
    own = laws.say(MESSAGES.renderer(request), SENTENCE)
    said = [json.loads(each) for each in re.findall(rb"data: (.*)\n", own)]
    *events, last = events_in(data)
    assert [*events, {"type": last["type"]}] == said
    assert last["amazon-bedrock-invocationMetrics"] == {
        "inputTokenCount": 3,
        "outputTokenCount": 15,
        "cacheReadInputTokenCount": 4,
        "cacheWriteInputTokenCount": 11,
    }


def test_a_whole_answer_is_anthropics() -> None:
    request = parsed(BODY)
    assert laws.say(WIRE.renderer(request), SENTENCE) == laws.say(MESSAGES.renderer(request), SENTENCE)


def test_what_anthropic_has_no_way_to_say_is_refused_here_as_well() -> None:
    drawn = Completion(
        start=Start(), choices=[Choice(parts=[Image(source=Inline("aa", "image/png"))], stop=Stop())], usage=None
    )
    with pytest.raises(Unrepresentable):
        laws.say(WIRE.renderer(parsed(BODY, stream=True)), list(unfold(drawn)))


def test_errors_are_bedrocks() -> None:
    error = OverLimit("slow down")
    assert WIRE.error(error, "req_1") == b'{"message":"slow down"}'
    assert WIRE.error_headers(error) == [("x-amzn-errortype", "ThrottlingException")]
    assert b"throttlingException" in WIRE.error_event(error)
    assert WIRE.error_event(error) == WIRE.renderer(parsed(BODY, stream=True)).error(error)
    assert WIRE.decode_error(403, {"x-amzn-errortype": "AccessDeniedException"}, b'{"message":"no"}').status == 403


# --- with the official SDKs, through pillion -------------------------------------------------------------------------


@asynccontextmanager
async def bedrock_sdk(gateway: Gateway, signs: bool = False) -> AsyncIterator[AsyncAnthropicBedrock]:
    key: Any = {"aws_access_key": "AKIDAPP", "aws_secret_key": "s"} if signs else {"api_key": "unused"}
    async with AsyncAnthropicBedrock(base_url=gateway.url, aws_region="eu-west-1", max_retries=0, **key) as client:
        yield client


def to_bedrock(url: str) -> dict[str, str]:
    return {"PILLION_BEDROCK_BASE_URL": url, "AWS_REGION": "us-east-1"}


ASKED: dict[str, Any] = {"max_tokens": 50, "messages": [{"role": "user", "content": "Grüße"}]}


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
async def test_anthropic_bedrock_on_another_provider(speech: Any) -> None:
    whole = Scenario(headers=[("content-type", "application/json")], body=speech.whole)
    stream = Scenario(headers=[("content-type", "text/event-stream")], body=speech.stream, framing="chunked")
    model = f"{speech.provider}/m"
    async with (
        Evil(whole, stream) as evil,
        pillion(**speech.environ(evil.url)) as gateway,
        bedrock_sdk(gateway, signs=True) as client,
    ):
        message = await client.messages.create(model=model, **ASKED)
        async with client.messages.stream(model=model, **ASKED) as events:
            gathered = await events.get_final_message()
        for said in (message, gathered):
            assert isinstance(said.content[0], anthropic.types.TextBlock)
            assert (said.content[0].text, said.stop_reason) == ("Grüße", "end_turn")
            assert said.usage.output_tokens == (3 if said is gathered and speech is OPENAI else 2)  # an estimate
        asked = [json.loads(request.body) for request in evil.requests]
    assert [one["model"] for one in asked] == ["m", "m"]
    assert [one.get("stream", False) for one in asked] == [False, True]
    assert not any("anthropic_version" in one for one in asked)


async def test_anthropic_bedrock_on_echo_with_tools_and_an_error() -> None:
    tool = {
        "name": "f",
        "input_schema": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    }
    async with pillion() as gateway, bedrock_sdk(gateway) as client:
        asked = ASKED | {"tools": [tool], "tool_choice": {"type": "tool", "name": "f"}}
        message = await client.messages.create(model="echo/tool", **asked)
        async with client.messages.stream(model="echo/tool", **asked) as events:
            gathered = await events.get_final_message()
        for said in (message, gathered):
            assert said.stop_reason == "tool_use"
            assert isinstance(said.content[-1], anthropic.types.ToolUseBlock)
            assert said.content[-1].name == "f"
        with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
            await client.messages.create(model="echo", **ASKED | {"max_tokens": -1})


@pytest.mark.parametrize("signs", [False, True])
async def test_anthropic_bedrock_passes_through_to_bedrock(aws: Environ, signs: bool) -> None:
    aws()
    stream = Scenario(
        headers=[("content-type", "application/vnd.amazon.eventstream")], body=WHOLE_STREAM, framing="chunked", split=7
    )
    whole = Scenario(headers=[("content-type", "application/json")], body=ANTHROPIC.whole)
    async with (
        Evil(whole, stream) as evil,
        pillion(**to_bedrock(evil.url)) as gateway,
        bedrock_sdk(gateway, signs) as client,
    ):
        message = await client.messages.create(model=CLAUDE, **ASKED)
        async with client.messages.stream(model=CLAUDE, **ASKED) as events:
            gathered = await events.get_final_message()
        for said in (message, gathered):
            assert isinstance(said.content[0], anthropic.types.TextBlock)
            assert (said.content[0].text, said.usage.output_tokens) == ("Grüße", 2)
        for request, verb in zip(evil.requests, ["invoke", "invoke-with-response-stream"], strict=True):
            assert request.target == f"/model/{CLAUDE.replace(':', '%3A')}/{verb}"
            assert "AKIDAPP" not in str(request.headers)
            verify(request)
            assert json.loads(request.body).pop("anthropic_version")  # the SDK has one of its own
            assert json.loads(request.body).items() >= ASKED.items()


@pytest.mark.parametrize(
    "model", ["amazon.nova-pro-v1:0", "us.meta.llama4-x", "arn:aws:bedrock:us-east-1::foundation-model/openai.gpt-oss"]
)
async def test_anthropic_bedrock_reaches_models_that_do_not_read_claudes_body(aws: Environ, model: str) -> None:
    aws()
    said = {"output": {"message": {"role": "assistant", "content": [{"text": "Grüße"}]}}, "stopReason": "end_turn"}
    whole = Scenario(headers=[("content-type", "application/json")], body=json.dumps(said).encode())
    async with Evil(whole) as evil, pillion(**to_bedrock(evil.url)) as gateway, bedrock_sdk(gateway) as client:
        message = await client.messages.create(model=model, **ASKED)
        assert [block.text for block in message.content if block.type == "text"] == ["Grüße"]
    assert evil.requests[0].target.endswith("/converse")
    assert "anthropic_version" not in json.loads(evil.requests[0].body)


@pytest.mark.parametrize(
    ("model", "fits"),
    [
        (CLAUDE, True),
        (ARN, True),  # whose it is, is not said
        ("arn:aws:bedrock:us-east-1:1:provisioned-model/abc", True),
        ("claude-3.5", True),
        ("mine", True),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/eu.amazon.nova-lite-v1:0", False),
        ("us-gov.amazon.nova-lite-v1:0", False),
        ("deepseek.v3-v1:0", False),
    ],
)
def test_claudes_body_is_for_claude(model: str, fits: bool) -> None:
    assert WIRE.suits(Envelope(json.dumps(BODY).encode()), model) is fits
    assert WIRE.suits(Envelope(b'{"inputText": "hi"}'), model)


@pytest.mark.parametrize("broken", ["exception", "cut"])
async def test_anthropic_bedrock_raises_where_a_stream_breaks(aws: Environ, broken: str) -> None:
    aws()
    data = BEGUN + SAID + (exception("modelStreamErrorException", "it broke") if broken == "exception" else b"")
    kind = ("content-type", "application/vnd.amazon.eventstream")
    breaks = Scenario(headers=[kind], body=data, framing="chunked", cut_at=len(data) if broken == "cut" else None)
    async with Evil(breaks) as evil, pillion(**to_bedrock(evil.url)) as gateway, bedrock_sdk(gateway) as client:
        heard: list[str] = []
        with pytest.raises(anthropic.APIError, match="it broke" if broken == "exception" else "cut short"):
            heard.extend(
                [event.type async for event in await client.messages.create(model=CLAUDE, stream=True, **ASKED)]
            )
    assert heard == []  # the comprehension ended by what was raised, and not by an end


async def invoked(client: Any, body: Any, model: str, stream: bool) -> list[Any]:
    """The JSON of the answer, or of each chunk of it, as boto3 has it."""

    def go() -> list[Any]:
        asked = {"modelId": model, "body": json.dumps(body)}
        if not stream:
            return [json.loads(client.invoke_model(**asked)["body"].read())]
        events = client.invoke_model_with_response_stream(**asked)["body"]
        return [json.loads(event["chunk"]["bytes"]) for event in events]

    return await asyncio.to_thread(go)


async def test_boto3_invokes_another_provider() -> None:
    async with sdk("") as client:
        (whole,) = await invoked(client, BODY, "echo", stream=False)
        assert whole["content"] == [{"type": "text", "text": "Grüße"}]
        chunks = await invoked(client, BODY, "echo", stream=True)
        assert "".join(one["delta"]["text"] for one in chunks if one["type"] == "content_block_delta") == "Grüße"
        assert chunks[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == whole["usage"]["output_tokens"]
        for stream in (False, True):
            said = await refused(invoked(client, TITAN, "echo", stream))
            assert said["ResponseMetadata"]["HTTPStatusCode"] == 501
            assert "Only Bedrock accepts this body" in said["Error"]["Message"]


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC])
async def test_invoke_counts_in_the_head_whoever_answers(speech: Speech) -> None:
    """LangChain reads the tokens of a whole answer there, and nowhere else."""
    said = json.loads(speech.whole) | {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    said["usage"] |= {"input_tokens": 7, "output_tokens": 3}
    whole = Scenario(headers=[("content-type", "application/json")], body=json.dumps(said).encode())
    async with Evil(whole) as evil, pillion(**speech.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", f"/model/{speech.provider}%2Fm/invoke", json.dumps(BODY).encode())
    assert {name: got.header(name) for name in COUNTED} == dict.fromkeys(COUNTED, "0") | {
        "x-amzn-bedrock-input-token-count": "7",
        "x-amzn-bedrock-output-token-count": "3",
    }


async def test_a_beta_that_cannot_cross_is_on_the_receipt() -> None:
    whole = Scenario(headers=[("content-type", "application/json")], body=OPENAI.whole)
    async with Evil(whole) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        body = json.dumps(BODY | {"anthropic_beta": ["computer-use"]}).encode()
        got = await ask(gateway, "POST", "/model/openai%2Fm/invoke", body)
    assert (got.status, got.header("x-pillion-dropped")) == (200, "anthropic_beta")


GUARD = [("X-Amzn-Bedrock-GuardrailIdentifier", "g"), ("X-Amzn-Bedrock-GuardrailVersion", "1")]
PACE = [("X-Amzn-Bedrock-PerformanceConfig-Latency", "optimized"), ("X-Amzn-Bedrock-Service-Tier", "flex")]


@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC])
async def test_what_invoke_says_in_headers_is_no_more_lost_than_what_converse_says_in_its_body(
    provider: Speech,
) -> None:
    """A guardrail says what may be answered at all, to Anthropic no less, whose body it stands beside."""
    whole = Scenario(headers=[("content-type", "application/json")], body=provider.whole)
    path = f"/model/{provider.provider}%2Fm/invoke"
    async with Evil(whole) as evil, pillion(**provider.environ(evil.url)) as gateway:
        told = await ask(gateway, "POST", path, json.dumps(BODY).encode(), PACE)
        refused = await ask(gateway, "POST", path, json.dumps(BODY).encode(), GUARD)
        assert len(evil.requests) == 1
    dropped = "x-amzn-bedrock-performanceconfig-latency, x-amzn-bedrock-service-tier"
    assert (told.status, told.header("x-pillion-dropped")) == (200, dropped)
    assert refused.status == 400
    assert b"x-amzn-bedrock-guardrailidentifier" in refused.body


@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize(
    ("said", "dropped"),
    [
        (("X-Amzn-Bedrock-Request-Metadata", '{"team":"a"}'), "x-amzn-bedrock-request-metadata"),
        (("X-Amzn-Bedrock-Trace", "ENABLED"), "x-amzn-bedrock-trace"),
        (("X-Amzn-Bedrock-Trace", "DISABLED"), None),
        (("X-Amzn-Bedrock-Service-Tier", "default"), None),
        (("X-Amzn-Bedrock-PerformanceConfig-Latency", "standard"), None),
    ],
    ids=str,
)
async def test_a_header_of_invokes_is_on_the_receipt_where_it_asks_for_something(
    provider: Speech, said: tuple[str, str], dropped: str | None
) -> None:
    whole = Scenario(headers=[("content-type", "application/json")], body=provider.whole)
    async with Evil(whole) as evil, pillion(**provider.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", f"/model/{provider.provider}%2Fm/invoke", json.dumps(BODY).encode(), [said])
    assert (got.status, got.header("x-pillion-dropped")) == (200, dropped)


async def test_a_seal_that_we_marked_goes_back_to_bedrock_as_it_was(aws: Environ) -> None:
    """What a client of another wire was given comes back in a body that is not passed through as it is."""
    aws()
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2VhbA=="}
    said = json.loads(ANTHROPIC.whole) | {"content": [thought, {"type": "text", "text": "so"}]}
    converse = {
        "output": {
            "message": {
                "role": "assistant",
                "content": [{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2VhbA=="}}}],
            }
        },
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    }
    kind = [("content-type", "application/json")]
    async with Evil(
        Scenario(headers=kind, body=json.dumps(converse).encode()),
        Scenario(headers=kind, body=json.dumps(said).encode()),
    ) as evil:
        async with pillion(**to_bedrock(evil.url)) as gateway:
            asked = {"model": f"bedrock/{CLAUDE}", **ASKED}
            first = await ask(gateway, "POST", "/v1/messages", json.dumps(asked).encode())
            given = json.loads(first.body)["content"]
            assert given[0]["signature"] != "c2VhbA=="
            turns = [*ASKED["messages"], {"role": "assistant", "content": given}, *ASKED["messages"]]
            body = json.dumps(BODY | {"messages": turns}).encode()
            again = await ask(gateway, "POST", f"/model/{CLAUDE}/invoke", body)
        request = evil.requests[1]
    assert again.status == 200
    assert request.target.endswith("/invoke")
    verify(request)
    assert json.loads(request.body)["anthropic_version"] == VERSION
    assert json.loads(request.body)["messages"][1]["content"][0] == thought


@recordings.needs_recordings
async def test_recorded_answers_of_every_family_are_read_by_boto3(aws: Environ) -> None:
    aws()
    plays: list[Scenario] = []
    async with Evil(answering=lambda _: plays[-1]) as evil, sdk(evil.url) as client:

        async def check(row: recordings.Row) -> None:
            plays.append(Scenario.from_recording(row))
            model = f"bedrock/{row['model']}"
            heard = await invoked(client, row["request_json"], model, row["streamed"])
            body = recordings.body(row)
            assert heard == (list(events_in(body)) if row["streamed"] else [json.loads(body)])
            assert json.loads(evil.requests[-1].body) == row["request_json"]
            verify(evil.requests[-1])

        await replay.each(WHOLES + STREAMS, check)


@recordings.needs_recordings
async def test_recorded_errors_are_raised_by_boto3(aws: Environ) -> None:
    aws()
    plays: list[Scenario] = []
    async with Evil(answering=lambda _: plays[-1]) as evil, sdk(evil.url) as client:

        async def check(row: recordings.Row) -> None:
            plays.append(Scenario.from_recording(row))
            said = await refused(invoked(client, row["request_json"], f"bedrock/{row['model']}", row["streamed"]))
            assert said["ResponseMetadata"]["HTTPStatusCode"] == row["status"]
            assert said["Error"]["Code"] == row["response_headers"]["x-amzn-errortype"].partition(":")[0]
            assert said["Error"]["Message"] == json.loads(recordings.body(row))["message"]

        await replay.each([row for row in recordings.load("bedrock.invoke") if row["status"] != 200], check)


@recordings.needs_recordings
async def test_recorded_answers_of_claude_are_read_by_anthropic_bedrock(aws: Environ) -> None:
    aws()
    plays: list[Scenario] = []
    rows = [
        row for row in WHOLES + STREAMS if is_claudes(row) and "usage" in str(recordings.body(row)) + row["framing"]
    ]
    async with (
        Evil(answering=lambda _: plays[-1]) as evil,
        pillion(**to_bedrock(evil.url)) as gateway,
        bedrock_sdk(gateway) as client,
    ):

        async def check(row: recordings.Row) -> None:
            plays.append(Scenario.from_recording(row))
            model = f"bedrock/{row['model']}"
            if not row["streamed"]:
                message = await client.messages.create(model=model, **ASKED)
                said = json.loads(recordings.body(row))
                assert message.model_dump(exclude_unset=True, mode="json") == said
                return
            async with client.messages.stream(model=model, **ASKED) as stream:
                gathered = await stream.get_final_message()
            events = list(events_in(recordings.body(row)))
            texts = [event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta"]
            assert "".join(getattr(block, "text", "") for block in gathered.content) == "".join(texts)
            assert gathered.usage.output_tokens == events[-2]["usage"]["output_tokens"]

        await replay.each(rows, check)


async def test_a_stream_that_never_was_one_is_down(aws: Environ) -> None:
    aws(ENVIRON)
    kind = ("content-type", "application/vnd.amazon.eventstream")
    async with Evil(Scenario(headers=[kind], body=b"<html>" * 9)) as evil, sdk(evil.url) as client:
        said = await refused(invoked(client, BODY, CLAUDE, stream=True))
    assert said["ResponseMetadata"]["HTTPStatusCode"] == Down.status
