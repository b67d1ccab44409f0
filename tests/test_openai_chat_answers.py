"""Are answers of Chat Completions decoded, rendered, metered and stripped, as the laws for all of them have it?"""

import json
import random
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.lib.streaming._deltas import accumulate_delta

from proxy.canon import (
    Audio,
    Choice,
    Citation,
    Close,
    Completion,
    Delta,
    Event,
    Finish,
    Image,
    Inline,
    Iteration,
    Opaque,
    Open,
    Part,
    Refusal,
    Remote,
    Request,
    Start,
    Stop,
    Stored,
    Text,
    Thinking,
    ToolCall,
    Usage,
    fold,
    grammatical,
    unfold,
)
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_chat.citations import citations_of
from proxy.dialects.openai_chat.strip import UsageStrip
from proxy.errors import Busy, Down, Refused, Unrepresentable, UpstreamError
from proxy.framing import MAX_EVENT, Body
from proxy.grammar import whole
from proxy.lanes.hearing import joined
from proxy.ports import Dialect, Meter, Peek
from tests import laws, recordings
from tests.laws import examples
from tests.nested import places, put

CHAT: Dialect = OpenAIChat(clock=lambda: 1700000000.0)
Json = Any

ROWS = [row for row in recordings.load("*chat_completions") if row["status"] == 200]
STREAMS = [row for row in ROWS if row["framing"] == "sse"]
ERROR_UNDER_200 = "azure.chat_completions.93c62a88d87d"
WHOLES = [row for row in ROWS if row["framing"] == "json" and row["id"] != ERROR_UNDER_200]


ASKED = Request(wire="openai_chat", model="asked", turns=[], stream=True, include_usage=True)


def decoded(body: bytes | list[bytes], stream: bool = True) -> list[Event]:
    chunks = [body] if isinstance(body, bytes) else body
    events, error = laws.listen(CHAT.decoder(stream), chunks)
    assert error is None, error
    return list(grammatical(events))


def failed(body: bytes, stream: bool = True) -> UpstreamError:
    error = laws.listen(CHAT.decoder(stream), [body])[1]
    assert error is not None
    return error


def metered(chunks: list[bytes], stream: bool = True) -> Meter:
    return laws.watch(CHAT.meter(stream), chunks)


def last_usage(events: list[Event]) -> Usage | None:
    return next((event for event in reversed(events) if isinstance(event, Usage)), None)


def sse(*chunks: Json, done: bool = True) -> bytes:
    body = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks)
    return body + (b"data: [DONE]\n\n" if done else b"")


def chunk(delta: Json, finish: str | None = None, index: int = 0, **fields: Json) -> Json:
    return {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **fields}


def parts(*chunks: Json) -> list[Part]:
    return fold(decoded(sse(*chunks, chunk({}, "stop")))).choices[0].parts


# --- the recordings --------------------------------------------------------------------------------------------------


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_a_recorded_stream_says_the_same_however_it_is_cut(row: recordings.Row) -> None:
    body = recordings.body(row)
    whole = joined(decoded(body))
    read = metered([body])
    assert read.usage == last_usage(whole)
    for chunks in laws.stream_splits(body):
        assert joined(decoded(chunks)) == whole
        again = metered(chunks)
        assert (again.usage, again.model, again.finished, again.error) == (read.usage, read.model, True, None)
    recordings.replayed(row)


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_a_stripped_stream_loses_its_usage_and_no_other_byte(row: recordings.Row) -> None:
    for end in (b"\n\n", b"\r\n\r\n"):
        body = recordings.body(row).replace(b"\n\n", end)
        events = body.split(end)
        expected = end.join(event for event in events if not _is_usage_alone(event))
        for chunks in laws.splits(body, count=5):
            strip = UsageStrip()
            assert b"".join([strip.feed(data) for data in chunks] + [strip.close()]) == expected


def _is_usage_alone(event: bytes) -> bool:
    line = event.strip().rpartition(b"\n")[2]
    if not line.startswith(b"data:") or b"[DONE]" in line:
        return False
    said = json.loads(line[5:])
    return said["choices"] == [] and bool(said.get("usage"))


@recordings.needs_recordings
def test_the_recordings_hold_what_is_stripped() -> None:
    assert sum(any(map(_is_usage_alone, recordings.body(row).split(b"\n\n"))) for row in STREAMS) > 50


def plain(message: Json) -> tuple[str, list[tuple[str, str]]]:
    """The text and the tool calls of a message or a delta, read without any care."""
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    calls = []
    for call in message.get("tool_calls") or []:
        if call.get("type") == "custom":
            calls.append((call["custom"]["name"], call["custom"]["input"]))
        else:
            calls.append((call["function"].get("name") or "", call["function"].get("arguments") or ""))
    legacy = message.get("function_call") or {}
    if legacy.get("name"):
        calls.append((legacy["name"], legacy["arguments"]))
    return content, calls


def heard(choice_parts: list[Part]) -> tuple[str, list[tuple[str, str]]]:
    text = "".join(part.text for part in choice_parts if isinstance(part, Text))
    return text, [(part.name, part.arguments) for part in choice_parts if isinstance(part, ToolCall)]


@recordings.needs_recordings
def test_every_recorded_whole_answer_says_what_a_plain_reading_says() -> None:
    for row in WHOLES:
        body = recordings.body(row)
        said = json.loads(body)
        events = decoded(body, stream=False)
        answer = fold(events)
        assert len(answer.choices) == len(said["choices"])
        for choice, plainly in zip(answer.choices, said["choices"], strict=True):
            assert heard(choice.parts) == plain(plainly["message"]), row["id"]
            assert choice.stop.raw == plainly["finish_reason"], row["id"]
        assert answer.start.id == said.get("id", ""), row["id"]
        _check_usage(answer, said.get("usage"))
        read = metered([body], stream=False)
        assert (read.usage, read.finished, read.error) == (last_usage(events), True, None), row["id"]
        recordings.replayed(row)


@recordings.needs_recordings
def test_every_recorded_stream_says_what_a_plain_reading_says() -> None:
    for row in STREAMS:
        body = recordings.body(row)
        lines = [line[5:] for line in body.splitlines() if line.startswith(b"data:") and b"[DONE]" not in line]
        said = [json.loads(line) for line in lines]
        answer = fold(decoded(body))
        for number, choice in enumerate(answer.choices):
            deltas = [c["delta"] for each in said for c in each["choices"] if c.get("index", 0) == number]
            plainly = [plain(delta) for delta in deltas]
            text, calls = heard(choice.parts)
            assert text == "".join(text for text, _ in plainly), row["id"]
            fragments = [fragment for _, found in plainly for fragment in found]
            assert sorted("".join(args for _, args in calls)) == sorted("".join(args for _, args in fragments)), row[
                "id"
            ]
            assert [name for name, _ in calls] == [name for name, _ in fragments if name], row["id"]
        _check_usage(answer, next((each["usage"] for each in reversed(said) if each.get("usage")), None))


def _check_usage(answer: Completion, said: Json) -> None:
    if said is None:
        assert answer.usage is None
        return
    assert answer.usage is not None
    total = said.get("total_tokens") or said["prompt_tokens"] + said["completion_tokens"]
    assert answer.usage.total_input == said["prompt_tokens"]
    assert answer.usage.total_output == total - said["prompt_tokens"]


@recordings.needs_recordings
@pytest.mark.parametrize("streamed", [True, False])
def test_every_recorded_answer_is_rendered_back_to_what_it_said(streamed: bool) -> None:
    for row in STREAMS + WHOLES:
        answer = fold(decoded(recordings.body(row), row["framing"] == "sse"))
        request = replace(ASKED, stream=streamed)
        again = fold(decoded(laws.say(CHAT.renderer(request), list(unfold(answer))), streamed))
        for choice, other in zip(answer.choices, again.choices, strict=True):
            assert heard(choice.parts) == heard(other.parts), row["id"]
            thoughts = [
                [(p.text, p.signature, p.redacted) for p in c.parts if isinstance(p, Thinking)] for c in (choice, other)
            ]
            assert thoughts[0] == thoughts[1], row["id"]
        assert again.usage == answer.usage, row["id"]


@recordings.needs_recordings
def test_an_error_under_200_is_an_error() -> None:
    body = next(recordings.body(row) for row in ROWS if row["id"] == ERROR_UNDER_200)
    error = failed(body, stream=False)
    assert (type(error), error.status, error.code, error.param) == (Refused, 400, "content_filter", "prompt")
    read = metered([body], stream=False)
    assert read.finished
    assert isinstance(read.error, Refused)


# --- decode(render(events)) == events --------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
SCORES = st.lists(st.fixed_dictionaries({"token": WORDS, "logprob": st.integers(-9, 0)}), max_size=2)
NOTES = st.lists(st.fixed_dictionaries({"type": st.just("url_citation"), "url": WORDS}), max_size=2).map(citations_of)
COUNT = st.integers(0, 10**6)

USAGE = st.builds(
    Usage,
    input=COUNT,
    cache_read=COUNT,
    cache_write=COUNT,
    audio_input=COUNT,
    output=COUNT,
    reasoning=COUNT,
    audio_output=COUNT,
    extra=st.sampled_from([{}, {"cost": 0.5}, {"completion_tokens_details": {"accepted_prediction_tokens": 3}}]),
)
TIER = st.sampled_from(["", "on_demand"])  # a host may name it with the counts alone
START = st.builds(
    Start,
    wire=st.just("openai_chat"),
    id=WORDS,
    model=WORDS,
    created=st.integers(0, 2**40),
    # A URL among the citations would be one of the text's, once it has come back.
    extra=st.sampled_from([{}, {"system_fingerprint": "fp"}, {"service_tier": "flex", "citations": [1]}]),
)
STOP = st.sampled_from(
    [
        Stop(reason="stop", raw="stop"),
        Stop(reason="length", raw="length"),
        Stop(reason="content_filter", raw="content_filter"),
        Stop(reason="stop_sequence", raw="stop", sequence="END"),
    ]
)
CALLED = Stop(reason="tool_use", raw="tool_calls")

TEXT = st.builds(Text, text=WORDS, citations=NOTES, logprobs=SCORES)
THINKING = st.builds(
    Thinking, text=WORDS, signature=st.sampled_from(["", "sig"]), extra=st.sampled_from([{}, {"format": "f"}])
)
SEALED = st.builds(Thinking, redacted=WORDS, extra=st.sampled_from([{}, {"id": "rs_1"}]))
SUMMARY = st.builds(Thinking, text=WORDS, extra=st.just({"type": "reasoning.summary"}))
REFUSAL = st.builds(Refusal, text=WORDS)
SOUND = st.builds(
    Audio,
    source=st.builds(Inline, data=st.sampled_from(["QUJD", ""])),
    id=WORDS,
    transcript=WORDS,
    expires_at=st.none() | st.integers(0, 2**40),
)
PICTURE = st.builds(Image, source=st.builds(Inline, data=st.just("QUJD"), media_type=st.just("image/png")))
CALL = st.builds(
    ToolCall,
    id=st.uuids().map(str),
    name=WORDS,
    arguments=WORDS | st.just("{}"),
    kind=st.sampled_from(["function", "custom"]),
    extra=st.sampled_from([{}, {"extra_content": {"a": 1}}]),
    signature=st.sampled_from(["", "", "seal"]),
)


def pieces(draw: st.DrawFn, index: int, part: Part) -> Iterator[Event]:
    """The deltas of one block: its text in one piece or two."""
    match part:
        case Text(text=text, citations=citations, logprobs=scores):
            cut = draw(st.integers(1, len(text)))
            yield Delta(index=index, text=text[:cut], logprobs=scores)
            if text[cut:]:
                yield Delta(index=index, text=text[cut:])
            if citations:
                yield Delta(index=index, citations=citations)
        case Thinking(text=text, signature=signature) if text:
            cut = draw(st.integers(1, len(text)))
            yield Delta(index=index, text=text[:cut])
            if text[cut:] or signature:
                yield Delta(index=index, text=text[cut:], signature=signature)
        case Refusal(text=text) | ToolCall(arguments=text, signature="") if text:
            cut = draw(st.integers(1, len(text)))
            yield from (Delta(index=index, text=piece) for piece in (text[:cut], text[cut:]) if piece)
        case ToolCall(arguments=text, signature=signature) if signature:
            if text:
                yield Delta(index=index, text=text)
            yield Delta(index=index, signature=signature)
        case Audio(source=Inline(data=data), transcript=transcript):
            yield Delta(index=index, text=data, transcript=transcript)
        case _:
            pass


def shell_of(part: Part) -> Part:
    match part:
        case Text():
            return Text()
        case Refusal():
            return Refusal()
        case Thinking() if part.text:
            return replace(part, text="", signature="")
        case ToolCall():
            return replace(part, arguments="", signature="")
        case Audio():
            return replace(part, source=Inline(""), transcript="")
        case _:
            return part


@st.composite
def sentences(draw: st.DrawFn) -> list[Event]:
    """Sentences in this wire's normal form: no block follows one of its own kind, and calls end with the answer."""
    choices = draw(st.integers(1, 3))
    lines: list[list[Part]] = []
    for _ in range(choices):
        drawn = draw(st.lists(st.one_of(TEXT, THINKING, SEALED, SUMMARY, REFUSAL, SOUND, PICTURE, CALL), max_size=5))
        line: list[Part] = []
        for part in drawn:
            alike = line and type(line[-1]) is type(part) and isinstance(part, Text | Refusal | Audio)
            if not alike:
                line.append(part)
        lines.append(line)
    start = draw(START)
    said: list[Event] = [start]
    calls: list[list[int]] = [[] for _ in lines]
    index = 0
    for turn in range(max(map(len, lines))):
        for choice, line in enumerate(lines):
            if turn < len(line):
                part = line[turn]
                said += [Open(index=index, part=shell_of(part), choice=choice), *pieces(draw, index, part)]
                if isinstance(part, ToolCall):
                    calls[choice].append(index)
                else:
                    said.append(Close(index=index))
                index += 1
    said += [Close(index=each) for line_calls in calls for each in line_calls]
    if draw(st.booleans()):
        said.append(replace(draw(USAGE), tier=start.extra.get("service_tier") or draw(TIER)))
    said.append(Finish(stops=tuple(CALLED if line_calls else draw(STOP) for line_calls in calls)))
    return said


def settled(events: list[Event]) -> list[Event]:
    """The decoder closes a block when its choice moves on; where exactly a Close stands says nothing."""
    finish = events[-1:]
    closes = sorted((event for event in events if isinstance(event, Close)), key=lambda event: event.index)
    usage = [event for event in events if isinstance(event, Usage)]
    rest = [event for event in events[:-1] if not isinstance(event, Close | Usage)]
    return [*rest, *closes, *usage, *finish]


@settings(
    max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(sentences())
def test_a_rendered_stream_decodes_to_what_was_rendered(events: list[Event]) -> None:
    body = laws.say(CHAT.renderer(ASKED), list(grammatical(events)))
    assert body.endswith(b"data: [DONE]\n\n")
    assert settled(decoded(body)) == settled(events)
    assert metered([body]).usage == last_usage(events)


def one_of_each(part_list: list[Part]) -> list[Part]:
    """The order and the number in which a whole message can tell its parts apart."""
    order: list[type] = [Thinking, Text, Refusal, Audio, Image, ToolCall]
    single: dict[type, Part] = {type(part): part for part in part_list}
    many = [part for part in part_list if isinstance(part, Thinking | Image | ToolCall)]
    rest = [part for kind, part in single.items() if kind in (Text, Refusal, Audio)]
    return sorted([*many, *rest], key=lambda part: order.index(type(part)))


@settings(
    max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(sentences())
def test_a_rendered_whole_answer_decodes_to_what_was_rendered(events: list[Event]) -> None:
    answer = fold(events)
    for choice in answer.choices:
        choice.parts = one_of_each(choice.parts)
    body = laws.say(CHAT.renderer(replace(ASKED, stream=False)), list(unfold(answer)))
    if answer.usage and answer.usage.tier:  # whole, it stands in the head, whenever the host named it
        answer.start = replace(answer.start, extra=answer.start.extra | {"service_tier": answer.usage.tier})
    assert fold(decoded(body, stream=False)) == answer
    assert metered([body], stream=False).usage == answer.usage


def test_a_stream_as_a_client_reads_it() -> None:
    renderer = CHAT.renderer(ASKED)
    events: list[Event] = [
        Start(wire="openai_chat", id="x", model="m", created=5, extra={"service_tier": "flex", "citations": [1]}),
        Open(index=0, part=Thinking()),
        Delta(index=0, text="hm"),
        Delta(index=0, signature="s"),
        Close(index=0),
        Open(index=1, part=Text()),
        Delta(index=1, text="a"),
        Delta(index=1),
        Close(index=1),
        Open(index=2, part=ToolCall(id="t", name="f")),
        Delta(index=2, text="{}"),
        Close(index=2),
        Usage(input=3, output=4, reasoning=5),
        Finish(stops=(Stop(reason="tool_use", raw="tool_use"),)),
    ]
    chunks = laws.say(renderer, events).split(b"\n\n")
    assert chunks[-2:] == [b"data: [DONE]", b""]
    said = [json.loads(data.removeprefix(b"data: ")) for data in chunks[:-2]]
    head = {"id": "x", "object": "chat.completion.chunk", "created": 5, "model": "m", "service_tier": "flex"}
    assert all(head.items() <= each.items() for each in said)
    assert [each.get("citations") for each in said] == [[1]] + [None] * (len(said) - 1)
    assert [each["choices"][0]["delta"] for each in said[:-1]] == [
        {"role": "assistant", "content": None},
        {"reasoning_content": "hm", "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "s"}]},
        {"content": "a"},
        {"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [each["choices"][0]["finish_reason"] for each in said[:-1]] == [None] * 6 + ["tool_calls"]
    assert said[-2]["choices"][0]["native_finish_reason"] == "tool_use"
    assert [each["usage"] for each in said[:-1]] == [None] * 7
    assert said[-1]["choices"] == []
    assert said[-1]["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 9,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
    }


@pytest.mark.parametrize(
    ("part", "content"), [(Text(), ""), (ToolCall(id="t", name="f"), None), (Refusal(), None), (None, "")]
)
def test_a_stream_that_does_not_begin_with_text_has_no_empty_text(part: Part | None, content: str | None) -> None:
    """As OpenAI says it; Vercel's AI SDK takes an empty content for a text, and shows one before each call."""
    begun: list[Event] = [] if part is None else [Open(index=0, part=part), Close(index=0)]
    said = laws.say(CHAT.renderer(ASKED), [Start(id="x", model="m"), *begun, Finish(stops=(Stop(reason="stop"),))])
    first = json.loads(said.split(b"\n\n")[0].removeprefix(b"data: "))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": content}


def test_usage_is_streamed_only_to_who_asked() -> None:
    events: list[Event] = [Start(id="x", model="m"), Usage(input=3), Finish()]
    assert b"usage" not in laws.say(CHAT.renderer(replace(ASKED, include_usage=False)), events)


def test_an_answer_without_a_date_or_a_model_is_given_them() -> None:
    body = laws.say(CHAT.renderer(replace(ASKED, stream=False)), [Start(), Finish()])
    said = json.loads(body)
    assert (said["created"], said["model"], said["object"]) == (1700000000, "asked", "chat.completion")
    assert said["choices"][0]["message"]["content"] == ""


def test_a_whole_answer_as_a_client_reads_it() -> None:
    sentence: list[Event] = [
        Start(wire="openai_chat", id="x", model="m", created=5),
        Open(index=0, part=ToolCall(id="t", name="f", arguments="{}")),
        Close(index=0),
        Finish(stops=(CALLED,)),
    ]
    assert json.loads(laws.say(CHAT.renderer(replace(ASKED, stream=False)), sentence)) == {
        "id": "x",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "system_fingerprint": None,  # as OpenAI has it, and OpenRouter's SDK demands
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
    }


@pytest.mark.parametrize(
    ("stop", "word", "native"),
    [
        (Stop(reason="stop", raw="end_turn"), "stop", "end_turn"),
        (Stop(reason="refusal", raw="refusal"), "content_filter", "refusal"),
        (Stop(reason="pause", raw="pause_turn"), "length", "pause_turn"),
        (Stop(reason="context", raw=""), "length", None),
        (Stop(reason="stop", raw="eos"), "stop", "eos"),
        (Stop(reason="other", raw="brand_new"), "brand_new", None),
        (Stop(reason="tool_use", raw="function_call"), "function_call", None),
    ],
)
def test_a_finish_reason_is_one_that_clients_know(stop: Stop, word: str, native: str | None) -> None:
    said = json.loads(laws.say(CHAT.renderer(replace(ASKED, stream=False)), [Start(), Finish(stops=(stop,))]))
    assert said["choices"][0]["finish_reason"] == word
    assert said["choices"][0].get("native_finish_reason") == native


@pytest.mark.parametrize("streamed", [True, False])
def test_who_offers_functions_reads_a_function_call(streamed: bool) -> None:
    """An app of the form before `tools` looks nowhere else. There is room for one."""
    offered = {"model": "m", "messages": [{"role": "user", "content": "x"}], "functions": [{"name": "f"}]}
    request = CHAT.parse(json.dumps(offered | {"stream": streamed}).encode(), Peek("m", streamed))
    calls = [ToolCall(id="toolu_1", name="f", arguments='{"a":1}'), ToolCall(id="toolu_2", name="f", arguments="{}")]
    answer = Completion(start=Start(wire="anthropic", id="x", model="m", created=5), choices=[], usage=None)
    answer.choices.append(Choice(parts=[*calls], stop=Stop(reason="tool_use", raw="tool_use")))
    body = laws.say(CHAT.renderer(request), list(unfold(answer)))
    found = fold(decoded(body, streamed)).choices[0]
    said = [
        (part.name, part.arguments, "function_call" in part.extra) for part in found.parts if type(part) is ToolCall
    ]
    assert sorted(said, reverse=True) == [("f", "{}", False), ("f", '{"a":1}', True)]
    assert found.stop.reason == "tool_use"
    assert b'"finish_reason":"function_call"' in body


def test_a_function_call_has_no_place_for_a_seal() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"functions":[{"name":"f"}],"stream":true}'
    request = CHAT.parse(body, Peek("m", True))
    opened: list[Event] = [Start(), Open(index=0, part=ToolCall(id="c", name="f")), Delta(index=0, text="{")]
    end: list[Event] = [Close(index=0), Finish(stops=(Stop(reason="tool_use"),))]
    sealed, plain = (
        laws.say(CHAT.renderer(request), [*opened, Delta(index=0, text="}", signature=seal), *end])
        for seal in ("s", "")
    )
    assert sealed == plain


@pytest.mark.parametrize("streamed", [True, False])
def test_a_block_of_mistral_goes_back_as_it_came(streamed: bool) -> None:
    block = Opaque(wire="openai_chat", value={"type": "reference", "reference_ids": [1]})
    answer = Completion(start=Start(wire="openai_chat", id="x", model="m", created=5), choices=[], usage=None)
    answer.choices.append(Choice(parts=[Text(text="a"), block, Text(text="b")], stop=Stop(reason="stop", raw="stop")))
    body = laws.say(CHAT.renderer(replace(ASKED, stream=streamed)), list(unfold(answer)))
    assert fold(decoded(body, streamed)) == answer


def test_a_whole_message_has_all_of_a_refusal_and_the_name_of_a_stored_picture() -> None:
    said: list[Part] = [Refusal(text="No, "), Text(text="a"), Refusal(text="never."), Image(source=Stored("gs://b/i"))]
    answer = Completion(start=Start(wire="gemini"), choices=[Choice(parts=said, stop=Stop())])
    [choice] = json.loads(laws.say(CHAT.renderer(replace(ASKED, stream=False)), list(unfold(answer))))["choices"]
    assert choice["message"]["refusal"] == "No, never."
    assert choice["message"]["images"] == [{"type": "image_url", "image_url": {"url": "gs://b/i"}}]


def test_openais_sdk_puts_pictures_and_notes_together_whatever_stands_between_them() -> None:
    """It merges the lists of chunks by an index: https://github.com/openai/openai-python, lib/streaming/_deltas.py."""
    picture, note = Image(source=Remote("https://a")), Citation(wire="anthropic", value={}, url="https://b", title="B")
    said: list[Part] = [
        Text(text="a", citations=[note]),
        picture,
        Text(text="b", citations=[note]),
        ToolCall(id="t", name="f", arguments="{}"),
        picture,
        Text(text="c", citations=[note]),
    ]
    answer = Completion(start=Start(id="x", created=5), choices=[Choice(parts=said, stop=Stop(reason="tool_use"))])
    body = laws.say(CHAT.renderer(ASKED), list(unfold(answer)))
    summed: dict[object, object] = {}
    for line in body.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                summed = accumulate_delta(summed, choice["delta"])
    assert [shown["image_url"]["url"] for shown in cast(list[Json], summed["images"])] == ["https://a", "https://a"]
    assert [
        (noted["url_citation"]["start_index"], noted["url_citation"]["end_index"])
        for noted in cast(list[Json], summed["annotations"])
    ] == [(0, 1), (1, 2), (2, 3)]


def test_a_call_whose_wire_has_no_ids_gets_one() -> None:
    parts: list[Part] = [ToolCall(id="", name="f"), ToolCall(id="", name="f")]
    stop = Stop(reason="tool_use", raw="tool_calls")
    answers = []
    for name, streamed in (("x", True), ("x", False), ("y", False)):
        answer = Completion(start=Start(id=name, created=5), choices=[Choice(parts=parts, stop=stop)])
        body = laws.say(CHAT.renderer(replace(ASKED, stream=streamed)), list(unfold(answer)))
        heard = fold(decoded(body, streamed)).choices[0].parts
        answers.append([part.id for part in heard if isinstance(part, ToolCall)])
    assert answers[0] == answers[1]
    assert len({*answers[0], *answers[2]}) == 4
    assert all(name.startswith("call_") for name in answers[0])


@pytest.mark.parametrize("streamed", [True, False])
def test_a_block_of_another_wire_is_not_dropped_in_silence(streamed: bool) -> None:
    renderer = CHAT.renderer(replace(ASKED, stream=streamed))
    block = Opaque(wire="anthropic", value={"type": "server_tool_use"})
    with pytest.raises(Unrepresentable, match="server_tool_use"):
        laws.say(renderer, [Start(), Open(index=0, part=block), Close(index=0), Finish()])


def test_a_stream_that_breaks_ends_with_an_error_and_nothing_else() -> None:
    renderer = CHAT.renderer(ASKED)
    renderer.feed(Start(wire="openai_chat", id="x", model="m"))
    event = renderer.error(Down("gone", code="stream_cut"))
    assert event == b'data: {"error":{"message":"gone","type":"server_error","param":null,"code":"stream_cut"}}\n\n'
    error = failed(event)
    assert (type(error), error.message, error.code) == (Down, "gone", "stream_cut")


# --- what hosts do ---------------------------------------------------------------------------------------------------


def tool(**fields: Json) -> Json:
    return {"tool_calls": [fields]}


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        pytest.param(
            [
                tool(index=0, id="a", function={"name": "f", "arguments": ""}),
                tool(index=0, function={"arguments": "{}"}),
            ],
            [("a", "f", "{}")],
            id="fragments",
        ),
        pytest.param(
            [
                tool(index=0, id="a", function={"name": "f", "arguments": "null"}),
                tool(index=1, id="b", function={"name": "g", "arguments": '{"x":'}),
                tool(index=1, function={"arguments": "null"}),
                tool(index=1, function={"arguments": "}"}),
            ],
            [("a", "f", "{}"), ("b", "g", '{"x":null}')],
            id="null for none",
        ),
        pytest.param(
            [
                tool(id="a", function={"name": "f", "arguments": "1"}),
                tool(id="b", function={"name": "g", "arguments": "2"}),
            ],
            [("a", "f", "1"), ("b", "g", "2")],
            id="no index",
        ),
        pytest.param(
            [tool(id="a", function={"name": "f", "arguments": "1"}), tool(function={"arguments": "2"})],
            [("a", "f", "12")],
            id="no index and no id",
        ),
        pytest.param(
            [tool(index=0, id="a", function={"name": "f"}), tool(index=0, id="b", function={"name": "g"})],
            [("a", "f", "{}"), ("b", "g", "{}")],
            id="one index for all",
        ),
        pytest.param(
            [
                tool(index=0, id="", function={"name": "f", "arguments": '{"x":1}'}),
                tool(index=0, id="", function={"name": "g", "arguments": '{"y"'}),
                tool(index=0, function={"arguments": ":2}"}),
            ],
            [("call_c_0", "f", '{"x":1}'), ("call_c_1", "g", '{"y":2}')],
            id="one index for all and no ids",
        ),
        pytest.param(
            [
                tool(index=0, function={"name": "f", "arguments": '{"x":1}'}),
                tool(index=0, function={"name": "f", "arguments": '{"x":2}'}),
                tool(index=0, function={"name": "f", "arguments": ""}),
            ],
            [("call_c_0", "f", '{"x":1}'), ("call_c_1", "f", '{"x":2}')],
            id="one index for all, no ids, and one name",
        ),
        pytest.param(
            [
                tool(index=0, function={"name": "f", "arguments": '{"x"'}),
                tool(index=0, function={"name": "f", "arguments": ":1}"}),
            ],
            [("call_c_0", "f", '{"x":1}')],
            id="no ids and name repeated",
        ),
        pytest.param(
            [
                tool(index=0, id="a", function={"name": "f"}),
                tool(index=0, id="a", function={"name": "f", "arguments": "1"}),
            ],
            [("a", "f", "1")],
            id="id and name repeated",
        ),
        pytest.param(
            [
                tool(index=0, id="a", function={"arguments": "1"}),
                tool(index=0, function={"name": "f", "arguments": "2"}),
            ],
            [("a", "f", "12")],
            id="name after arguments",
        ),
        pytest.param(
            [tool(index=0, id="a", function={"name": "f", "arguments": {"x": 1}})], [("a", "f", '{"x":1}')], id="object"
        ),
        pytest.param([tool(index=0, id="a", function={"name": "f", "arguments": None})], [("a", "f", "{}")], id="null"),
        pytest.param(
            [tool(index=0, id="a", type="custom", custom={"name": "f", "input": "x"})], [("a", "f", "x")], id="custom"
        ),
        pytest.param(
            [
                {
                    "tool_calls": [
                        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "1"}},
                        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "2"}},
                    ]
                },
                tool(index=0, function={"arguments": "3"}),
            ],
            [("a", "f", "13"), ("b", "g", "2")],
            id="several in one delta",
        ),
        pytest.param([tool(index=0, function={"name": "f", "arguments": ""})], [("call_c_0", "f", "{}")], id="no id"),
        pytest.param(
            [{"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}],
            [("call_c_0", "f", "{}")],
            id="legacy",
        ),
    ],
)
def test_tool_calls_as_hosts_send_them(deltas: list[Json], expected: list[tuple[str, str, str]]) -> None:
    calls = parts(*map(chunk, deltas))
    assert [(call.id, call.name, call.arguments) for call in calls if isinstance(call, ToolCall)] == expected
    assert len(calls) == len(expected)


@pytest.mark.parametrize(
    ("reason", "arguments"),
    [
        ("tool_calls", "{}"),
        ("stop", "{}"),
        ("eos", "{}"),
        ("length", ""),
        ("model_length", ""),
        ("MAX_TOKENS", ""),
        ("content_filter", ""),
    ],
)
def test_a_call_without_arguments_is_json_unless_it_was_cut(reason: str, arguments: str) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    body = {"id": "c", "model": "m", "choices": [{"message": {"tool_calls": [call]}, "finish_reason": reason}]}
    (heard,) = fold(decoded(json.dumps(body).encode(), stream=False)).choices[0].parts
    assert heard == ToolCall(id="a", name="f", arguments=arguments)


def test_in_a_whole_message_every_entry_is_a_call_of_its_own() -> None:
    call = {"id": "a", "index": 0, "function": {"name": "f", "arguments": "{}"}}
    body = {
        "id": "c",
        "model": "m",
        "choices": [{"message": {"tool_calls": [call, call]}, "finish_reason": "tool_calls"}],
    }
    assert len(fold(decoded(json.dumps(body).encode(), stream=False)).choices[0].parts) == 2


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        (
            [{"reasoning_content": "a"}, {"reasoning_content": "b"}, {"content": "c"}],
            [Thinking(text="ab"), Text(text="c")],
        ),
        ([{"reasoning": "a", "reasoning_content": "a"}], [Thinking(text="a")]),
        (
            [
                {
                    "reasoning": "a",
                    "reasoning_details": [{"type": "reasoning.text", "text": "a", "index": 0, "format": "f"}],
                }
            ],
            [Thinking(text="a", extra={"format": "f"})],
        ),
        (
            [{"reasoning": "a"}, {"reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]}],
            [Thinking(text="a", signature="s")],
        ),
        (
            [{"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "id": "r"}]}],
            [Thinking(redacted="x", extra={"id": "r"})],
        ),
        (
            [
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]},
                {"content": [{"type": "text", "text": "b"}, {"type": "reference", "reference_ids": [1]}]},
            ],
            [
                Thinking(text="a"),
                Text(text="b"),
                Opaque(wire="openai_chat", value={"type": "reference", "reference_ids": [1]}),
            ],
        ),
        ([{"refusal": "no"}, {"refusal": "!"}], [Refusal(text="no!")]),
        ([{"role": "assistant", "content": ""}, {"content": None}, {"refusal": "", "tool_calls": None}], []),
        (
            [{"audio": {"id": "a", "transcript": "x"}}, {"audio": {"data": "QUJD"}}],
            [Audio(id="a", source=Inline("QUJD"), transcript="x")],
        ),
        ([{"audio": {"id": "", "data": ""}, "function_call": {"name": "", "arguments": ""}}], []),
        ([{"images": [{"type": "image_url", "image_url": {"url": "https://a"}}]}], [Image(source=Remote("https://a"))]),
        (
            [{"content": "a", "annotations": [{"type": "url_citation"}]}],
            [Text(text="a", citations=citations_of([{"type": "url_citation"}]))],
        ),
    ],
)
def test_deltas_as_hosts_send_them(deltas: list[Json], expected: list[Part]) -> None:
    assert parts(*map(chunk, deltas)) == expected


def test_logprobs_stay_with_their_text() -> None:
    said = chunk({"content": "a"})
    said["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -1}], "refusal": None}
    assert parts(said) == [Text(text="a", logprobs=[{"token": "a", "logprob": -1}])]


def test_choices_may_interleave() -> None:
    body = sse(
        chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({"content": "c"}), chunk({}, "stop"),
        chunk({}, "length", index=1),
    )  # fmt: skip
    answer = fold(decoded(body))
    assert [choice.parts for choice in answer.choices] == [[Text(text="ac")], [Text(text="b")]]
    assert [choice.stop.reason for choice in answer.choices] == ["stop", "length"]


def test_the_first_chunk_of_azure_is_no_start() -> None:
    first = {"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": [1]}
    start = decoded(sse(first, chunk({"content": "a"}, "stop", created=9)))[0]
    assert start == Start(wire="openai_chat", id="c", model="m", created=9, extra={"prompt_filter_results": [1]})


@pytest.mark.parametrize(
    ("finish", "delta", "fields", "stop"),
    [
        ("stop", {}, {}, Stop(reason="stop", raw="stop")),
        ("eos", {}, {}, Stop(reason="stop", raw="eos")),
        ("brand_new", {}, {}, Stop(reason="other", raw="brand_new")),
        ("stop", tool(index=0, id="a", function={"name": "f"}), {}, Stop(reason="tool_use", raw="stop")),
        ("stop", {}, {"stop_reason": "END"}, Stop(reason="stop_sequence", raw="stop", sequence="END")),
        ("stop", {}, {"stop_reason": 154827}, Stop(reason="stop", raw="stop")),
        ("tool_calls", {}, {}, Stop(reason="stop", raw="tool_calls")),
        ("", {}, {}, Stop(reason="stop", raw="")),
        ("", tool(index=0, id="a", function={"name": "f"}), {}, Stop(reason="tool_use", raw="")),
    ],
)
def test_why_a_choice_ended(finish: str, delta: Json, fields: Json, stop: Stop) -> None:
    said = chunk(delta, finish)
    said["choices"][0] |= fields
    assert fold(decoded(sse(said))).choices[0].stop == stop


def test_a_stream_without_done_ends_with_its_finish_reasons() -> None:
    body = sse(chunk({"content": "a"}), chunk({}, "stop"), done=False)
    assert fold(decoded(body)).choices[0].parts == [Text(text="a")]
    assert metered([body]).finished


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"data: [DONE]\n\n",
        b"<html><body>Bad gateway</body></html>",
        b"data: <html>\n\n",
        b"data: 5\n\n",
        b"data: {}\n\n",
        sse(chunk({"content": "a"}), done=False),
        sse(chunk({"content": "a"}, "stop"), chunk({"content": "b"}, index=1), done=False),
        sse({"choices": 5}),
        sse({"choices": [5]}),
        sse(chunk(5)),
        sse(chunk({"content": 5})),
        sse(chunk({"content": [{"type": "text", "text": "a"}, "b"]})),
        sse(chunk({"tool_calls": 5})),
        sse(chunk({"tool_calls": [5]})),
        sse(chunk({"reasoning": {}})),
        sse(chunk({}, index=-1)),
        sse(chunk({}, index=10**9)),
        sse(chunk({"content": "a"}, "error")),
        b'data: {"choices":[{"delta":{"content":"' + b"[" * 5,
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
)
def test_a_stream_that_makes_no_sense_is_the_providers_fault(body: bytes) -> None:
    assert isinstance(failed(body), Down)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"5", b"{}", b'{"choices":[]}', b'{"choices":[{"message":5}]}', b'{"choi']
)
def test_a_whole_answer_that_makes_no_sense_is_the_providers_fault(body: bytes) -> None:
    assert isinstance(failed(body, stream=False), Down)


def test_what_came_before_a_fault_is_handed_out() -> None:
    events, error = laws.listen(CHAT.decoder(True), [sse(chunk({"content": "a"}), done=False) + b"data: nonsense\n\n"])
    assert [type(event).__name__ for event in events][:3] == ["Start", "Open", "Delta"]
    assert isinstance(error, Down)


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"message": "m", "code": 429}, Busy, 429),
        ({"message": "m", "code": "rate_limit_exceeded"}, Busy, 429),
        ({"message": "m", "type": "insufficient_quota"}, Busy, 429),
        ({"message": "m", "type": "overloaded_error"}, Busy, 529),
        (
            {"message": "m", "type": "invalid_request_error", "code": "tool_use_failed", "status_code": 400},
            Refused,
            400,
        ),
        ({"message": "m", "code": "context_length_exceeded"}, Refused, 400),
        ({"message": "m", "code": 503}, Down, 503),
        ({"message": "m", "code": "503"}, Down, 503),
        ({"message": "m", "code": "5031", "status": "429"}, Busy, 429),
        ({"message": "m"}, Down, 502),
        ("m", Down, 502),
    ],
)
def test_an_error_in_a_stream(error: Json, kind: type[UpstreamError], status: int) -> None:
    body = sse(chunk({"content": "a"}), {"error": error})
    found = failed(body)
    assert (type(found), found.status, found.message) == (kind, status, "m")
    read = metered([body])
    assert isinstance(read.error, kind)


@pytest.mark.parametrize("said", [{}, {"choices": []}])
def test_a_chunk_that_is_an_error_ends_a_stream_that_has_not_ended(said: Json) -> None:
    """[DONE] follows it, and must not make the answer look whole."""
    error = {"object": "error", "message": "m", "type": "BadRequestError", "param": None, "code": 400} | said
    for before in ([], [chunk({"content": "a"})]):
        body = sse(*before, error)
        found, read = failed(body), metered([body]).error
        assert (type(found), found.message) == (Refused, "m")
        assert isinstance(read, Refused)
    whole = json.dumps(error).encode()
    assert (failed(whole, stream=False).message, type(metered([whole], stream=False).error)) == ("m", Refused)


@pytest.mark.parametrize("beside", [{}, {"usage": {"prompt_tokens": 9, "completion_tokens": 2}}])
@pytest.mark.parametrize(("error", "status"), [(None, 502), ({"message": "m", "code": 503}, 503)])
@pytest.mark.parametrize("where", ["choice", "answer"])
def test_a_whole_answer_that_broke_off_is_an_error_as_its_stream_is(
    where: str, error: Json, status: int, beside: Json
) -> None:
    """OpenRouter's. https://openrouter.ai/docs/api/reference/errors-and-debugging"""
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "error"}
    said = {} if error is None else {"error": error}
    broken = {"choices": [choice | said], **beside} if where == "choice" else {"choices": [choice], **said, **beside}
    whole = json.dumps(broken, indent=1).encode()
    read = metered([whole], stream=False)
    assert isinstance(read.error, Down)
    assert (read.error.status, failed(whole, stream=False).status) == (status, status)
    assert (read.usage is not None) == bool(beside)  # it may have to be paid
    live = sse({"choices": [{**choice, "delta": choice["message"], **(said if where == "choice" else {})}]} | (
        said if where == "answer" else {}
    ))  # fmt: skip
    told = metered([live]).error
    assert told is not None
    assert (told.status, failed(live).status) == (status, status)


def test_a_whole_answer_that_only_speaks_of_errors_is_none() -> None:
    words = {"role": "assistant", "content": '"error"', "tool_calls": [{"function": {"arguments": '{"error":1}'}}]}
    for said in ({"choices": [{"message": words, "finish_reason": "stop"}]}, {"choices": [{"error": None}]}):
        assert metered([json.dumps(said).encode()], stream=False).error is None


def test_a_line_of_llama_cpps_ends_a_stream_though_done_follows() -> None:
    line = b'error: {"code":400,"message":"m","type":"exceed_context_size_error"}\n\n'
    for before in ([], [chunk({"content": "a"})], [chunk({"content": "a"}), chunk({"content": "b"})]):
        body = sse(*before, done=False) + line + b"data: [DONE]\n\n"
        found, read = failed(body), metered([body]).error
        assert (type(found), found.message, found.upstream_type) == (Refused, "m", "exceed_context_size_error")
        assert isinstance(read, Refused)
        assert read.mute == line.strip()
    spoken = sse(chunk({"content": "error: {"}), chunk({}, "stop"))
    assert metered([spoken]).error is None
    assert fold(decoded(spoken)).choices[0].stop.reason == "stop"


def test_an_error_beside_choices_ends_a_stream_that_has_not_ended() -> None:
    late = chunk({"content": ""}, error={"code": 400, "message": "Token limit reached"})
    assert isinstance(failed(sse(chunk({"content": "a"}), late)), Refused)
    assert fold(decoded(sse(chunk({"content": "a"}, "length"), late))).choices[0].stop.reason == "length"


# --- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, Usage(input=10, output=5)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 10, "cache_write_tokens": 20},
                "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 5},
            },
            Usage(input=10, cache_read=60, cache_write=20, audio_input=10, output=15, reasoning=30, audio_output=5),
        ),
        (  # xAI: reasoning is not within completion_tokens
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 115,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            Usage(input=10, output=5, reasoning=100),
        ),
        # Gemini: reasoning is told by the total alone
        ({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}, Usage(input=35, output=12, reasoning=62)),
        (  # OpenRouter: more reasoning than completion
            {
                "prompt_tokens": 43,
                "completion_tokens": 10,
                "total_tokens": 53,
                "completion_tokens_details": {"reasoning_tokens": 11},
            },
            Usage(input=43, output=0, reasoning=10, beside=(Iteration("", Usage(reasoning=11)),)),
        ),
        (  # xAI on Azure: more cached than asked, so that nobody knows what was cached of what was asked
            {"prompt_tokens": 203, "completion_tokens": 15, "prompt_tokens_details": {"cached_tokens": 314}},
            Usage(input=203, output=15),
        ),
        (  # DeepSeek
            {"prompt_tokens": 220, "completion_tokens": 39, "prompt_cache_hit_tokens": 192},
            Usage(input=28, cache_read=192, output=39, extra={"prompt_cache_hit_tokens": 192}),
        ),
        (
            {"prompt_tokens": -5, "completion_tokens": "9", "total_tokens": 1e30, "cost": 0.1},
            Usage(extra={"cost": 0.1}, is_odd=True),
        ),
        ({"prompt_tokens": 3.0, "completion_tokens": True, "prompt_tokens_details": 5}, Usage(input=3, is_odd=True)),
    ],
)
def test_usage_is_read_into_disjoint_buckets(said: Json, usage: Usage) -> None:
    body = sse(chunk({"content": "a"}, "stop"), {"choices": [], "usage": said})
    assert last_usage(decoded(body)) == usage
    assert metered([body]).usage == usage


def test_the_usage_that_groq_hides_is_found() -> None:
    body = sse(chunk({}, "stop", x_groq={"usage": {"prompt_tokens": 3, "completion_tokens": 4}}))
    assert last_usage(decoded(body)) == metered([body]).usage == Usage(input=3, output=4)


@pytest.mark.parametrize("more", [{}, {"usage": None}, {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}])
def test_the_usage_that_moonshot_puts_into_a_choice_is_found(more: Json) -> None:
    last = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    body = sse(chunk({"content": "a"}), chunk({}) | {"choices": [last], **more})
    assert last_usage(decoded(body)) == metered([body]).usage == Usage(input=3, output=4)


# --- the meter and the strip, where recordings do not go -------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,  ", " :\t")])
def test_the_meter_meets_any_spacing_and_any_line_end(end: bytes, separators: tuple[str, str]) -> None:
    said = [
        chunk({"content": "a"}, usage=None),
        chunk({"content": '"usage":{"prompt_tokens":9}'}, usage=None),
        chunk({"content": "b"}, usage=None),
        chunk({}, "stop", usage=None),
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
    ]
    lines = [b"data: " + json.dumps(each, separators=separators).encode() for each in said] + [b"data: [DONE]"]
    body = b"".join(line + end + end for line in lines)
    for chunks in laws.splits(body, count=20):
        read = metered(chunks)
        assert (read.usage, read.model, read.finished) == (Usage(input=3, output=4), "m", True)


def test_a_meter_is_not_finished_before_the_end() -> None:
    meter = CHAT.meter(True)
    for said in (chunk({"content": "a"}), chunk({"content": "b"}), chunk({"content": "c"})):
        meter.feed(sse(said, done=False))
        assert not meter.finished
    meter.feed(sse(chunk({}, "stop"), done=False))
    assert meter.finished


def compact(*chunks: Json) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(each, separators=(",", ":")).encode() for each in chunks)


TWO = {"choices": [chunk({}, "stop")["choices"][0], chunk({}, None, 1)["choices"][0]], "usage": None}


@pytest.mark.parametrize(
    ("news", "usage", "finished"),
    [
        ([chunk({"content": "b"}, usage={"prompt_tokens": 7})], 7, False),
        ([{"usage": {"prompt_tokens": 7}, **chunk({"content": "b"})}], 7, False),
        ([{"choices": [], "usage": {"prompt_tokens": 7}}], 7, False),
        ([TWO], None, False),
        ([TWO, chunk({}, "stop", 1)], None, True),
    ],
)
@pytest.mark.parametrize("asked", [True, False])
def test_news_among_dull_events_is_met_however_it_is_cut(
    asked: bool, news: list[Json], usage: int | None, finished: bool
) -> None:
    dull = compact(chunk({"content": "a"}, usage=None) if asked else chunk({"content": "a"}))
    assert metered([dull, dull, compact(*news), dull]).finished == finished
    rest = dull + compact(*news) + dull
    for start in range(len(rest)):
        for end in range(start, len(rest), 7):
            read = metered([dull, dull, rest[:start], rest[start:end], rest[end:], dull])
            assert (read.usage and read.usage.input, read.finished) == (usage, finished)


def call(number: int, **said: Any) -> Json:
    return {"tool_calls": [{"index": number, "function": {"arguments": "{}"} | said}]}


@pytest.mark.parametrize("spacing", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("choices", [1, 2, 3])
def test_a_stream_is_finished_when_all_its_choices_are(choices: int, spacing: tuple[str, str]) -> None:
    """For the meter and the decoder alike, wherever the stream breaks off."""
    dice = random.Random(choices)
    for _ in range(40):
        left = {
            number: [chunk({"content": "a"}), chunk(call(1, name="f")), chunk({}, "stop")] for number in range(choices)
        }
        body, order = b"", [number for number in left for _ in left[number]]
        dice.shuffle(order)
        for number in order:
            said = left[number].pop(0)
            said["choices"][0]["index"] = number
            body += b"data: %b\n\n" % json.dumps(said, separators=spacing).encode()
            _, error = laws.listen(CHAT.decoder(True), [body])
            assert metered([body]).finished == (error is None)
        assert metered([body]).finished


def test_the_end_mark_ends_every_choice() -> None:
    half = [chunk({"content": "a"}, None, 1), chunk({}, "stop", 0)]
    assert not metered([sse(*half, done=False)]).finished
    assert metered([sse(*half)]).finished


SOURCES: Json = {
    "citations": ["https://a.example", "https://b.example"],
    "search_results": [{"title": "A", "url": "https://a.example", "date": None}, {"url": "https://b.example"}],
}


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("said", "named"),
    [
        (SOURCES, [("https://a.example", "A"), ("https://b.example", "")]),
        ({"citations": SOURCES["citations"]}, [("https://a.example", ""), ("https://b.example", "")]),
        ({"citations": [5, None], "search_results": [5, {}]}, []),
        ({"citations": {}, "search_results": None}, []),
    ],
)
def test_sources_that_stand_beside_the_choices_are_those_of_the_text(
    said: Json, named: list[tuple[str, str]], streamed: bool
) -> None:
    message = {"role": "assistant", "content": "It is.[1][2]"}
    whole = {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **said}
    body = sse(chunk(message, **said), chunk({}, "stop", **said)) if streamed else json.dumps(whole).encode()
    [text] = fold(decoded(body, streamed)).choices[0].parts
    assert isinstance(text, Text)
    assert [(one.url, one.title) for one in text.citations] == named


def test_a_text_that_names_its_sources_itself_gets_no_others() -> None:
    cited = {"content": "a", "annotations": [{"type": "url_citation", "url_citation": {"url": "https://c.example"}}]}
    [text] = fold(decoded(sse(chunk(cited), chunk({}, "stop", **SOURCES)))).choices[0].parts
    assert isinstance(text, Text)
    assert [one.url for one in text.citations] == ["https://c.example"]


def test_a_stream_that_groq_stops_early_is_an_error() -> None:
    stopped = chunk({}, x_groq={"id": "req_1", "error": "over capacity"})
    assert str(failed(sse(chunk({"content": "a"}), stopped))) == "over capacity"
    assert decoded(sse(chunk({"content": "a"}, "stop"), stopped))


def test_an_error_that_comes_together_with_a_dull_event_is_met() -> None:
    dull = compact(chunk({"content": "a"}))
    assert isinstance(metered([dull, dull, compact({"error": {"code": 429}}) + dull]).error, Busy)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_json_may_be_spread_over_data_lines(end: bytes) -> None:
    lines = [
        b'data: {"model":"m","choices":[{"delta":{},"finish_reason":"stop"}],',
        b'data: "usage":{"prompt_tokens":3}}',
    ]
    body = end.join(lines) + end + end
    for chunks in laws.splits(body, count=5):
        assert last_usage(decoded(chunks)) == metered(chunks).usage == Usage(input=3)


def test_an_event_beyond_the_cap_is_passed_over_and_the_next_is_read() -> None:
    long = b'data: {"model":"m","choices":[],"x":"' + b"x" * (2 * MAX_EVENT) + b'","usage":{"prompt_tokens":9}}\n\n'
    body = long + sse({"choices": [], "usage": {"prompt_tokens": 3}})
    cuts = [body[at : at + 65_521] for at in range(0, len(body), 65_521)]
    read = metered(cuts)
    assert (read.usage, read.finished) == (Usage(input=3), True)
    assert metered([long[:-9], long[-9:]]).usage is None
    strip = UsageStrip()
    out = b"".join([strip.feed(data) for data in cuts] + [strip.close()])
    assert out == long + b"data: [DONE]\n\n"


def test_a_meter_passes_over_a_whole_answer_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "Body", partial(Body, 40))
    said = b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
    meter = metered([said[:20], said[20:], b" "], stream=False)
    assert (meter.usage, meter.finished, meter.error) == (None, False, None)


def test_a_whole_answer_is_metered_at_its_closing_brace() -> None:
    body = b'{"model":"m","choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":3}}'
    read = metered([body[:20], body[20:]], stream=False)
    assert (read.usage, read.model, read.finished) == (Usage(input=3), "m", True)
    assert not metered([body[:-1]], stream=False).finished


@pytest.mark.parametrize(
    ("event", "stays"),
    [
        (b'data: {"choices": [ ], "usage": {"prompt_tokens":3}}\n\n', False),
        (b'data: {"usage":{},"choices":[]}\n\n', False),
        (b'event: x\ndata: {"choices":[],"usage":{"a":1}}\n\n', False),
        (b'data: {"choices":[],"usage":null}\n\n', True),
        (b'data: {"choices":[]}\n\n', True),
        (b'data: {"choices":[{"delta":{}}],"usage":{"a":1}}\n\n', True),
        (b'data: {"x":{"choices":[]},"usage":{"a":1}}\n\n', True),
        (b'data: {"choices":[],"usage":{"a":1}\n\n', True),
        (b": usage\n\n", True),
    ],
)
def test_what_the_strip_withholds(event: bytes, stays: bool) -> None:
    before, after = sse(chunk({"content": "a"}), done=False), b"data: [DONE]\n\n"
    for end in (b"\n", b"\r\n", b"\r"):
        whole, expected = (
            text.replace(b"\n", end) for text in (before + event + after, before + event * stays + after)
        )
        for chunks in laws.splits(whole, count=5):
            strip = UsageStrip()
            assert b"".join([strip.feed(data) for data in chunks] + [strip.close()]) == expected


def test_the_strip_hands_out_every_event_as_soon_as_it_is_whole() -> None:
    strip = UsageStrip()
    event = sse(chunk({"content": "a"}, usage=None), done=False)
    assert strip.feed(event[:30]) == b""
    assert strip.feed(event[30:] + event[:5]) == event
    assert strip.feed(event[5:]) == event


# --- fuzz ------------------------------------------------------------------------------------------------------------


@recordings.needs_recordings
@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_stream_is_a_sentence_or_an_upstream_error(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(60):
        body = bytearray(recordings.body(dice.choice(STREAMS))[:20_000])
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(body))
            junk = dice.choice([b"\n", b"\r", b'"', b"{", b"null", b"5", b"\xff", b"data: ", b"[]", b"", b'"error":1,'])
            body[at : at + dice.randint(0, 9)] = junk
        _is_lawful(bytes(body), stream=True)


def _is_lawful(body: bytes, stream: bool) -> None:
    events, error = laws.listen(CHAT.decoder(stream), [body])
    halves = [body[: len(body) // 2], body[len(body) // 2 :]]
    again, same = laws.listen(CHAT.decoder(stream), halves)
    assert joined(again) == joined(events)
    assert repr(same) == repr(error)
    read = metered(halves, stream)
    if error is None:
        list(grammatical(events))
        assert read.usage == last_usage(events)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "function", "name", "id", "data", "index", "error"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)

SAID = {
    "id": "c",
    "model": "m",
    "created": 5,
    "error": None,
    "choices": [
        {
            "index": 0,
            "SAID": {
                "role": "assistant",
                "content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": [{"text": "b"}]}],
                "reasoning": "r",
                "reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "index": 0}],
                "refusal": "no",
                "audio": {"id": "a", "data": "QQ==", "transcript": "t", "expires_at": 5},
                "images": [{"image_url": {"url": "data:a"}}],
                "tool_calls": [
                    {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
                "function_call": {"name": "f", "arguments": "{}"},
                "annotations": [{}],
            },
            "logprobs": {"content": [{}], "refusal": [{}]},
            "finish_reason": "stop",
            "stop_reason": "END",
        }
    ],
    "usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}},
    "x_groq": {"usage": {}},
}


@settings(max_examples=examples(400), deadline=None)
@given(place=st.sampled_from(places(SAID)), item=JSON, stream=st.booleans())
@example(place=("choices", 0, "SAID", "content", 0, "text"), item=None, stream=False)
def test_any_json_in_any_place_is_a_sentence_or_an_upstream_error(
    place: tuple[Json, ...], item: Json, stream: bool
) -> None:
    text = json.dumps(put(SAID, place, item)).replace('"SAID"', '"delta"' if stream else '"message"')
    body = b"data: %b\n\ndata: [DONE]\n\n" % text.encode() if stream else text.encode()
    _is_lawful(body, stream)
    events, error = laws.listen(CHAT.decoder(stream), [body])
    if error is None:
        laws.say(CHAT.renderer(replace(ASKED, stream=stream)), events)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(st.sampled_from([b"data:", b"{", b"}", b"[DONE]", b"\n", b"\r", b":", b'"usage"', b"\xff", b" ", b"null"]))
)
def test_any_bytes_are_a_sentence_or_an_upstream_error(pieces: list[bytes]) -> None:
    _is_lawful(b"".join(pieces), stream=True)
    _is_lawful(b"".join(pieces), stream=False)


def test_no_chunk_is_encoded_with_a_raw_line_end() -> None:
    events: list[Event] = [Start(id="a", model="m"), Open(index=0, part=Text()), Delta(index=0, text="a\r\nb")]
    assert not re.search(rb"\r|a\n", laws.say(CHAT.renderer(ASKED), events))


@pytest.mark.parametrize("stream", [False, True])
def test_what_minimax_says_in_place_of_an_answer_is_an_error(stream: bool) -> None:
    said = {"id": "1", "choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}
    body = json.dumps(said).encode()
    _, error = laws.listen(CHAT.decoder(stream), [b"data: %b\n\n" % body if stream else body])
    assert error is not None
    assert error.message == "insufficient balance"


def test_beside_an_answer_it_says_that_all_is_well() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    said = {"id": "1", "choices": [choice], "base_resp": {"status_code": 0, "status_msg": ""}}
    assert laws.listen(CHAT.decoder(False), [json.dumps(said).encode()])[1] is None
