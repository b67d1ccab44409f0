"""What does proxy.dialects.gemini make of Google's answers, and how does it tell answers in Google's words?"""

import json
import random
import time
from itertools import islice
from typing import Any

import pytest
from google.genai import types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.canon import (
    BUCKETS,
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
    Reason,
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
    Video,
    fold,
    grammatical,
    unfold,
)
from proxy.dialects.gemini import Gemini
from proxy.dialects.gemini.citations import Sources, _Places
from proxy.dialects.gemini.frames import Chunks
from proxy.dialects.gemini.seals import seal_in
from proxy.envelope import Envelope
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
from proxy.framing import LONGEST_LINE, FrameTooLong, Unframed
from proxy.ports import Dialect
from tests import laws, recordings
from tests.laws import examples
from tests.nested import places, put

WIRE = Gemini()
IS_A_DIALECT: Dialect = WIRE  # for mypy

ROWS = recordings.load("*.generateContent", "*.streamGenerateContent")
STREAMS = [row for row in ROWS if row["status"] == 200 and row["framing"] in ("sse", "json-array")]
WHOLES = [row for row in ROWS if row["status"] == 200 and row["framing"] == "json"]
ERRORS = [row for row in ROWS if row["status"] != 200]
CANCELLED = "vertex.streamGenerateContent.1efd5d835ff3"  # an error in mid-stream
BROKEN = {CANCELLED: "The operation was cancelled.", "vertex.streamGenerateContent.608030670872": "no chunk"}
GOOD_STREAMS = [row for row in STREAMS if row["id"] not in BROKEN]


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: %b\r\n\r\n" % json.dumps(chunk).encode() for chunk in chunks)


def candidate(*parts: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    ended = {} if finish is None else {"finishReason": finish}
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "index": 0, **ended, **fields}]}


def decoded(data: bytes, streamed: bool = True) -> list[Event]:
    return laws.decoded(WIRE.decoder(streamed), data)


def parts_of(*chunks: dict[str, Any]) -> list[Part]:
    return fold(decoded(sse(*chunks, candidate(finish="STOP")))).choices[0].parts


def whole(*parts: dict[str, Any], **fields: Any) -> Choice:
    data = json.dumps(candidate(*parts, finish="STOP", **fields)).encode()
    return fold(decoded(data, streamed=False)).choices[0]


def failure(data: bytes, streamed: bool = True) -> UpstreamError:
    return laws.failure(WIRE.decoder(streamed), data)


def asked(streamed: bool = True, as_array: bool = False) -> Request:
    return Request(wire="gemini", model="gemini-2.5-pro", turns=[], stream=streamed, as_array=as_array)


def said(events: list[Event], streamed: bool = True, as_array: bool = False) -> bytes:
    return laws.say(WIRE.renderer(asked(streamed, as_array)), events)


def chunks_in(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(chunk) for chunk in laws.drain(Chunks(), [data])]


def answer(*parts: Part, stop: Stop | None = None, usage: Usage | None = None) -> list[Event]:
    choice = Choice(parts=list(parts), stop=stop or Stop(reason="stop", raw="STOP"))
    return list(unfold(Completion(start=Start(id="r1", model="gemini-2.5-pro"), choices=[choice], usage=usage)))


def told(*parts: Part, **fields: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(said(answer(*parts, **fields), streamed=False))
    return value


# --- recorded answers ------------------------------------------------------------------------------------------------


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_recorded_stream_is_one_sentence_however_it_is_cut(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    events, error = laws.listen(WIRE.decoder(True), [data])
    assert BROKEN.get(row["id"], "None") in str(error)
    for chunks in laws.stream_splits(data):
        again, fault = laws.listen(WIRE.decoder(True), chunks)
        assert again == events
        assert str(fault) == str(error)
    if error is None:
        assert list(grammatical(events)) == events


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*GOOD_STREAMS, *WHOLES], ids=recordings.ids)
def test_recorded_answer_says_what_a_plain_reading_finds(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    streamed = row["framing"] != "json"
    completion = fold(decoded(data, streamed))
    chunks = read_plainly(data, row["framing"])
    spoken = [part for chunk in chunks for one in chunk.get("candidates", []) for part in parts_in(one)]
    texts = [(part.get("thought", False), part["text"]) for part in spoken if "text" in part]
    parts = completion.choices[0].parts
    assert "".join(part.text for part in parts if isinstance(part, Text)) == joined(texts, False)
    assert "".join(part.text for part in parts if isinstance(part, Thinking)) == joined(texts, True)
    calls = [part["functionCall"] for part in spoken if "functionCall" in part]
    if not any("willContinue" in call for call in calls):
        named = [(call["name"], call.get("id", ""), call.get("args", {})) for call in calls]
        ours = [(part.name, part.id, json.loads(part.arguments)) for part in parts if isinstance(part, ToolCall)]
        assert ours == named
    seals = [part["thoughtSignature"] for part in spoken if "thoughtSignature" in part]
    kept = [part.signature for part in parts if isinstance(part, Text | Thinking | ToolCall) and part.signature]
    kept += [part.value["thoughtSignature"] for part in parts if isinstance(part, Opaque) if sealed(part)]
    assert sorted(kept) == sorted(seals)
    assert completion.start.model == chunks[0].get("modelVersion", "")
    assert completion.start.id == chunks[0].get("responseId", "")


def sealed(part: Opaque) -> bool:
    return "thoughtSignature" in part.value


def joined(texts: list[tuple[bool, str]], thought: bool) -> str:
    return "".join(text for is_thought, text in texts if is_thought == thought)


def parts_in(one: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = one.get("content", {}).get("parts", [])
    return parts


def read_plainly(data: bytes, framing: str) -> list[dict[str, Any]]:
    """The chunks of an answer, read in another way than the decoder's."""
    if framing == "sse":
        return [json.loads(line[5:]) for line in data.decode().split("\n") if line.startswith("data:")]
    value = json.loads(data)
    return value if isinstance(value, list) else [value]


# Invented by their sources: totals that their own parts exceed, and a stream that counts no prompt.
ODD_TOTALS = {"gemini.generateContent.47d3afc72b8c", "gemini.generateContent.80dad1596f1e"}


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*GOOD_STREAMS, *WHOLES], ids=recordings.ids)
def test_recorded_usage_adds_up_and_the_meter_counts_alike(row: recordings.Row) -> None:
    data, streamed = recordings.body(row), row["framing"] != "json"
    events = decoded(data, streamed)
    last = next((event for event in reversed(events) if isinstance(event, Usage)), None)
    counts = [chunk["usageMetadata"] for chunk in read_plainly(data, row["framing"]) if "usageMetadata" in chunk]
    counts = [count for count in counts if "promptTokenCount" in count or "candidatesTokenCount" in count]
    if counts and "totalTokenCount" in counts[-1] and row["id"] not in ODD_TOTALS:
        assert last is not None
        assert last.total_input + last.total_output == counts[-1]["totalTokenCount"]
        assert last.total_output == counts[-1].get("candidatesTokenCount", 0) + counts[-1].get("thoughtsTokenCount", 0)
        assert last.cache_read == counts[-1].get("cachedContentTokenCount", 0)
    start = events[0]
    assert isinstance(start, Start)
    for chunks in islice(laws.splits(data, count=5), 7) if streamed else [[data]]:
        meter = laws.watch(WIRE.meter(streamed), chunks)
        assert (meter.usage, meter.model, meter.finished, meter.error) == (last, start.model, True, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*GOOD_STREAMS, *WHOLES], ids=recordings.ids)
def test_recorded_answer_survives_our_own_spelling(row: recordings.Row) -> None:
    events = decoded(recordings.body(row), row["framing"] != "json")
    for streamed, as_array in ((True, False), (True, True), (False, False)):
        again = decoded(said(events, streamed, as_array), streamed)
        assert compact(fold(again)) == compact(fold(events))


def compact(completion: Completion) -> Completion:
    """An answer without what our spelling of it changes, and nobody can tell.

    A reason and a model's name that Google left out are given; texts that follow each other are one; citations that
    came with different chunks stand together.
    """
    completion.start = Start(id=completion.start.id, created=completion.start.created, extra=completion.start.extra)
    for choice in completion.choices:
        choice.stop = Stop(reason=choice.stop.reason, raw=choice.stop.raw or "STOP")
        parts: list[Part] = []
        for part in choice.parts:
            last = parts[-1] if parts else None
            if isinstance(part, Text):
                part.citations.sort(key=lambda one: json.dumps(one.value) + one.url)
            if isinstance(part, Text) and isinstance(last, Text) and not last.signature:
                last.text, last.signature = last.text + part.text, part.signature
            else:
                parts.append(part)
        choice.parts = parts
    return completion


# Enums that nobody knows are a warning of the SDK's, and numbers for enums are what no SDK of today asks for.
NEW = ("FAKE", "NEW_ENUM")
WORDED = [
    row
    for row in [*GOOD_STREAMS, *WHOLES]
    if not any(word in str(row) for word in NEW) and "enum-encoding" not in row["query"]
]


@recordings.needs_recordings
@pytest.mark.parametrize("row", WORDED, ids=recordings.ids)
def test_google_s_own_types_know_every_field_that_we_say(row: recordings.Row) -> None:
    events = decoded(recordings.body(row), row["framing"] != "json")
    for chunk in [*chunks_in(said(events)), json.loads(said(events, streamed=False))]:
        accepted(chunk)


def accepted(chunk: dict[str, Any]) -> types.GenerateContentResponse:
    """Read by the SDK's types, which forbid what they do not know: Google itself says a few fields more."""
    for one in chunk.get("candidates", []):
        one.get("groundingMetadata", {}).pop("retrievalMetadata", None)
        metadata = one.get("citationMetadata", {})
        one["citationMetadata"] = {"citations": metadata.pop("citationSources", metadata.get("citations", []))}
        for source in one.get("groundingMetadata", {}).get("groundingChunks", []):
            source.get("retrievedContext", {}).pop("fileSearchStore", None)
    chunk.get("usageMetadata", {}).pop("serviceTier", None)
    return types.GenerateContentResponse.model_validate(chunk)


@recordings.needs_recordings
@pytest.mark.parametrize("row", ERRORS, ids=recordings.ids)
def test_recorded_error_keeps_its_status_its_words_and_its_body(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    error = WIRE.decode_error(row["status"], row["response_headers"], data)
    assert (error.status, error.upstream_status) == (row["status"], row["status"])
    try:
        told = json.loads(data)["error"]
    except ValueError:
        assert (error.message, error.body) == ("The provider answered 404 with no readable error.", None)
        return
    assert (error.message, error.upstream_type, error.body) == (told["message"], told["status"], data)
    for streamed in (True, False):
        assert failure(data, streamed).message == told["message"]  # the same where an answer was expected
        assert failure(b"[%b]" % data, streamed).message == told["message"]
        meter = laws.watch(WIRE.meter(streamed), [data])
        assert meter.error is not None
        assert meter.error.message == told["message"]


# --- pieces of streams -----------------------------------------------------------------------------------------------


def test_pieces_of_text_are_one_block_and_a_late_seal_is_theirs() -> None:
    late = candidate({"text": "", "thoughtSignature": "c2VhbA=="})
    assert parts_of(candidate({"text": "a"}), candidate({"text": "b"}), late) == [Text(text="ab", signature="c2VhbA==")]


def test_a_late_seal_of_a_whole_answer_belongs_to_the_text_before_it_too() -> None:
    """Else the answer ends with an empty text, which OpenAI's Agents SDK takes for the final one."""
    late = {"text": "", "thoughtSignature": "c2VhbA=="}
    assert whole({"text": "a"}, {"text": "b"}, late).parts == [
        Text(text="a"),
        Text(text="b", signature="c2VhbA=="),
    ]
    sealed_already = {"text": "a", "thoughtSignature": "Zmlyc3Q="}
    assert whole(sealed_already, late).parts == [Text(text="a", signature="Zmlyc3Q="), Text(signature="c2VhbA==")]


def test_text_behind_a_seal_is_another_block() -> None:
    first = candidate({"text": "a", "thoughtSignature": "c2VhbA=="})
    parts = parts_of(first, candidate({"text": "b"}))
    assert parts == [Text(text="a", signature="c2VhbA=="), Text(text="b")]


def test_a_seal_without_text_before_it_is_a_block_of_its_own() -> None:
    thought, late = candidate({"text": "hm", "thought": True}), candidate({"thoughtSignature": "c2VhbA=="})
    assert parts_of(thought, late) == [Thinking(text="hm"), Text(signature="c2VhbA==")]


def test_a_call_has_its_seal_and_makes_the_reason_tool_use() -> None:
    call = {"functionCall": {"name": "f", "args": {"x": [1, 2.50]}}, "thoughtSignature": "c2VhbA=="}
    events = decoded(sse(candidate(call, {"functionCall": {"name": "g"}}), candidate({"text": ""}, finish="STOP")))
    choice = fold(events).choices[0]
    assert choice.stop == Stop(reason="tool_use", raw="STOP")
    first = ToolCall(id="", name="f", arguments='{"x":[1,2.5]}', signature="c2VhbA==")
    assert choice.parts == [first, ToolCall(id="", name="g", arguments="{}")]


def test_a_call_that_says_nothing_is_none() -> None:
    assert parts_of(candidate({"functionCall": {}}, {"text": "a"})) == [Text(text="a")]
    error = failure(sse(candidate({"functionCall": {"args": {}}})))
    assert error.message == "The provider's answer could not be read: a function call has no name."


def partial(*pieces: dict[str, Any], last: bool = False) -> dict[str, Any]:
    return candidate({"functionCall": {"partialArgs": list(pieces)} | ({} if last else {"willContinue": True})})


def test_arguments_in_pieces_are_put_together_by_their_paths() -> None:
    parts = parts_of(
        candidate({"functionCall": {"name": "f", "id": "7", "willContinue": True}}),
        partial({"jsonPath": "$.a[0].b", "stringValue": "x", "willContinue": True}),
        partial({"jsonPath": "$.a[0].b", "stringValue": "y"}),
        partial({"jsonPath": "$.a[1]['odd.key']", "numberValue": 1.5}, {"jsonPath": "$.t", "boolValue": False}),
        partial({"jsonPath": "$.n", "nullValue": "NULL_VALUE"}, last=True),
        candidate({"functionCall": {"name": "g"}}),
    )
    assert isinstance(parts[0], ToolCall)
    assert json.loads(parts[0].arguments) == {"a": [{"b": "xy"}, {"odd.key": 1.5}], "t": False, "n": None}
    assert [(part.name, part.id) for part in parts if isinstance(part, ToolCall)] == [("f", "7"), ("g", "")]


@pytest.mark.parametrize("path", ["", "$", "a", "$.a[2]", "$[0]", "$.a.b..c", "$.a[x]", 5, None, "$" + ".a" * 200])
def test_a_piece_of_arguments_without_a_place_is_nonsense(path: Any) -> None:
    opened = candidate({"functionCall": {"name": "f", "willContinue": True}})
    error = failure(sse(opened, partial({"jsonPath": path, "stringValue": "x"})))
    assert (
        error.message
        == "The provider's answer could not be read: a piece of a function call's arguments has no valid jsonPath."
    )


def test_media_and_the_work_of_google_s_own_tools_come_whole() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "c2VhbA=="}
    said: list[dict[str, Any]] = [
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "aGk="}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "https://x.example/d"}},
        code,
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
    ]
    parts = parts_of(candidate(*said))
    assert parts == [
        Image(source=Inline("aGk=", "image/png")),
        Audio(source=Inline("aGk=", "audio/L16;rate=24000")),
        Video(source=Stored("gs://b/v")),
        Document(source=Remote("https://x.example/d", "application/pdf")),
        Opaque(wire="gemini", value=code),
        Opaque(wire="gemini", value=said[5]),
    ]


@pytest.mark.parametrize("streamed", [True, False])
def test_null_is_as_if_it_were_not_said(streamed: bool) -> None:
    """As hosts write an answer that came out of a struct with all of Google's fields."""
    nothing = dict.fromkeys(("text", "thought", "thoughtSignature", "inlineData", "functionCall", "executableCode"))
    call = {"id": None, "name": "f", "args": {"a": 1}, "partialArgs": None, "willContinue": None}
    drawn = {"mimeType": "image/png", "data": "aGk="}
    parts = [nothing, nothing | {"text": "Hi"}, nothing | {"functionCall": call}, nothing | {"inlineData": drawn}]
    said = candidate(*parts, finish="STOP", index=None, finishMessage=None, groundingMetadata=None)
    data = sse(said) if streamed else json.dumps(said).encode()
    choice = fold(decoded(data, streamed)).choices[0]
    read = [Text(text="Hi"), ToolCall(id="", name="f", arguments='{"a":1}'), Image(source=Inline("aGk=", "image/png"))]
    assert (choice.parts, choice.stop) == (read, Stop(reason="tool_use", raw="STOP"))
    assert laws.watch(WIRE.meter(streamed), [data]).finished


def test_what_a_model_has_sketched_in_its_thoughts_is_no_image_of_the_answer() -> None:
    """https://ai.google.dev/gemini-api/docs/image-generation#thinking-process: it draws up to two before the last."""
    sketch = {"inlineData": {"mimeType": "image/jpeg", "data": "aGk="}, "thought": True}
    drawn = {"inlineData": {"mimeType": "image/png", "data": "aGo="}}
    parts = parts_of(candidate(sketch, drawn))
    assert parts == [Opaque(wire="gemini", value=sketch), Image(source=Inline("aGo=", "image/png"))]


def test_candidates_are_choices_and_one_without_a_word_has_its_reason() -> None:
    both = {
        "candidates": [
            {"content": {"parts": [{"text": "a"}]}, "index": 0, "finishReason": "STOP"},
            {"index": 1, "finishReason": "SAFETY"},
        ]
    }
    for data, streamed in ((sse(both), True), (json.dumps(both).encode(), False)):
        choices = fold(decoded(data, streamed)).choices
        assert [choice.parts for choice in choices] == [[Text(text="a")], []]
        assert [choice.stop.reason for choice in choices] == ["stop", "content_filter"]


def test_a_blocked_prompt_is_an_answer_without_candidates_both_ways() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    events = decoded(sse(blocked))
    assert fold(events).choices == [Choice(parts=[], stop=Stop(reason="content_filter", raw="SAFETY"))]
    told = json.loads(said(events, streamed=False))
    assert told["promptFeedback"] == {"blockReason": "SAFETY"}
    assert "candidates" not in told
    assert not any("candidates" in chunk for chunk in chunks_in(said(events)))
    assert fold(decoded(said(events))).choices == fold(events).choices
    assert laws.watch(WIRE.meter(True), [sse(blocked)]).finished


BESIDE = {
    "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW", "blocked": False}],
    "avgLogprobs": -0.25,
    "tokenCount": 7,
    "finishMessage": "So.",
}
FEEDBACK = {"safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]}


@pytest.mark.parametrize("streamed", [True, False])
def test_what_google_says_beside_an_answer_comes_back_to_its_own_clients(streamed: bool) -> None:
    last = candidate(finish="STOP", **BESIDE) | {"promptFeedback": FEEDBACK}
    events = decoded(sse(candidate({"text": "a"}), last))
    told = said(events, streamed)
    body = chunks_in(told)[-1] if streamed else json.loads(told)
    assert body["candidates"][0].items() >= BESIDE.items()
    assert body["promptFeedback"] == FEEDBACK
    assert "promptFeedback" not in body["candidates"][0]
    assert fold(decoded(told, streamed)).choices[0].stop.extra.items() >= BESIDE.items()
    accepted(body)


def test_another_wire_s_answer_says_nothing_beside_it() -> None:
    stop = Stop(extra={"avgLogprobs": -0.25, "promptFeedback": FEEDBACK})
    body = json.loads(said([Start(wire="anthropic"), Finish(stops=(stop,))], streamed=False))
    assert b"avgLogprobs" not in json.dumps(body).encode()
    assert "promptFeedback" not in body


GROUNDING = {
    "webSearchQueries": ["q"],
    "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}, {"retrievedContext": {"text": "src"}}],
    "groundingSupports": [
        {"segment": {"startIndex": 6, "endIndex": 11, "text": "wörd"}, "groundingChunkIndices": [0, 9, "x"]},
        {"segment": {"startIndex": 1, "endIndex": 3, "text": "no"}, "groundingChunkIndices": [0]},
    ],
}


def test_grounding_is_citations_in_characters_and_comes_back_whole() -> None:
    text = "Ä é wörd"  # the word begins at character 4, byte 6
    choice = whole({"text": text}, groundingMetadata=GROUNDING)
    assert isinstance(choice.parts[0], Text)
    assert choice.parts[0].citations == [
        Citation(
            wire="gemini", value={"groundingMetadata": GROUNDING}, url="https://a.example", title="A", start=4, end=8
        ),
        Citation(wire="gemini", value={}, url="https://a.example", title="A"),
        Citation(wire="gemini", value={}, quote="src"),
    ]
    assert told(*choice.parts)["candidates"][0]["groundingMetadata"] == GROUNDING


def test_recitals_and_fetched_pages_come_back_as_they_came() -> None:
    fields = {
        "citationMetadata": {
            "citationSources": [{"endIndex": 2, "uri": "https://a.example"}, {"startIndex": 1}, {"endIndex": "2"}]
        },
        "urlContextMetadata": {"urlMetadata": [{"retrievedUrl": "https://b.example"}]},
    }
    choice = whole({"text": "héy"}, **fields)
    assert isinstance(choice.parts[0], Text)
    assert [(one.url, one.start, one.end) for one in choice.parts[0].citations[:3]] == [
        ("https://a.example", 0, 1),
        ("", None, None),
        ("", None, None),
    ]
    back = told(*choice.parts)["candidates"][0]
    assert {key: back[key] for key in fields} == fields


def test_citations_of_another_wire_become_grounding_in_bytes() -> None:
    cited = Text(
        text="é da", citations=[Citation(wire="x", value={}, url="https://a.example", title="A", start=2, end=4)]
    )
    quoted = Text(text="so", citations=[Citation(wire="x", value={}, title="book", quote="words")])
    events = answer(Text(text="ü"), cited, quoted)
    expected = {
        "groundingChunks": [
            {"web": {"uri": "https://a.example", "title": "A"}},
            {"retrievedContext": {"title": "book", "text": "words"}},
        ],
        "groundingSupports": [
            {"segment": {"startIndex": 5, "endIndex": 7, "text": "da"}, "groundingChunkIndices": [0]},
            {"segment": {"startIndex": 7, "endIndex": 9, "text": "so"}, "groundingChunkIndices": [1]},
        ],
    }
    assert json.loads(said(events, streamed=False))["candidates"][0]["groundingMetadata"] == expected
    assert chunks_in(said(events))[-1]["candidates"][0]["groundingMetadata"] == expected


@given(st.lists(st.sampled_from(["a", "é", "🌍", "x" * 700, "ü" * 1500]), max_size=6).map("".join), st.data())
def test_a_place_in_a_text_of_any_length_is_the_same_in_bytes(text: str, data: st.DataObject) -> None:
    places = _Places(text)
    for at in data.draw(st.lists(st.integers(-3, len(text) + 3), max_size=4)):
        assert places.before(at) == len(text[:at].encode())


def test_thousands_of_citations_take_no_longer_each_than_a_few() -> None:
    text, each = "é" * 2_000_000, range(10_000)
    cited = [Citation(wire="x", value={}, url=f"https://{n}", start=199 * n, end=199 * n + 5) for n in each]
    sources, began = Sources(), time.process_time()
    sources.add(cited, text, 0)
    assert len(sources.metadata()["groundingMetadata"]["groundingSupports"]) == len(cited)
    assert time.process_time() - began < 2  # a tenth of a second; and ten if each read all that came before it


def test_logprobs_cross_both_ways() -> None:
    result = {
        "chosenCandidates": [{"token": "hé", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "x", "logProbability": -2}]}],
    }
    choice = whole({"text": "hé"}, logprobsResult=result)
    assert isinstance(choice.parts[0], Text)
    top = [{"token": "x", "logprob": -2, "bytes": [120]}]
    assert choice.parts[0].logprobs == [{"token": "hé", "logprob": -0.5, "bytes": [104, 195, 169], "top_logprobs": top}]
    assert told(*choice.parts)["candidates"][0]["logprobsResult"] == result


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 2},
            Usage(input=6, cache_read=4, output=5, reasoning=2),
        ),
        (
            {"promptTokenCount": 10, "totalTokenCount": 30, "candidatesTokenCount": 5},
            Usage(input=10, output=5, reasoning=15),
        ),
        (
            {
                "promptTokenCount": 10,
                "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 7}],
                "candidatesTokenCount": 5,
                "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}],
            },
            Usage(input=3, audio_input=7, output=1, audio_output=4),
        ),
        ({"promptTokenCount": 3, "toolUsePromptTokenCount": 8}, Usage(input=11)),
        ({"promptTokenCount": "3", "candidatesTokenCount": -1, "totalTokenCount": 10**30}, Usage(is_odd=True)),
        ({"trafficType": "ON_DEMAND"}, None),
        (["x"], None),
    ],
)
def test_usage_falls_into_disjoint_buckets(usage: Any, expected: Usage | None) -> None:
    data = json.dumps(candidate({"text": "a"}, finish="STOP") | {"usageMetadata": usage}).encode()
    found = fold(decoded(data, streamed=False)).usage
    if expected is None or found is None:
        assert found == expected
        return
    assert replace(found, extra={}) == expected
    back = json.loads(said(answer(usage=found), streamed=False))["usageMetadata"]
    assert back["totalTokenCount"] == found.total_input + found.total_output
    assert back.get("toolUsePromptTokenCount", 0) == usage.get("toolUsePromptTokenCount", 0)
    assert fold(decoded(said(answer(usage=found)))).usage == found or "promptTokensDetails" not in usage


# --- broken answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "the stream has no chunk"),
        (b"<html>nothing</html>", "the stream has no chunk"),
        (b"[]", "the stream has no chunk"),
        (b"data: {\n\n", "it is not valid JSON"),
        (b"data: 5\n\n", "a chunk is not a JSON object"),
        (sse({"candidates": 5}), "candidates is not an array"),
        (sse({"candidates": [5]}), "a candidate is not a JSON object"),
        (sse({"candidates": [{"index": -1}]}), "a candidate has no valid index"),
        (sse({"candidates": [{"content": {"parts": 5}}]}), "parts is not an array"),
        (sse(candidate({"text": 5})), "text is not a string"),
        (sse({"candidates": [{"content": {"parts": ["x"]}}]}), "a part is not a JSON object"),
        (sse(candidate({"functionCall": {"args": {}}})), "a function call has no name"),
        (sse(candidate({"text": "a"})), "ended before it was complete"),
        (b"[" + json.dumps(candidate({"text": "a"})).encode(), "ended before it was complete"),
        (sse({"error": {"message": "Bad luck."}}), "Bad luck."),
        (sse(candidate({"text": "a"}, finish="STOP"), {"error": "Too late."}), "Too late."),
    ],
)
def test_what_is_no_stream_is_an_upstream_error(data: bytes, why: str) -> None:
    for chunks in laws.splits(data, count=5):
        _, error = laws.listen(WIRE.decoder(True), chunks)
        assert isinstance(error, Down)
        assert why in error.message


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is not valid JSON"),
        (b"<html>", "it is not valid JSON"),
        (b"5", "a chunk is not a JSON object"),
        (b"{}", "it has no candidates"),
        (b'{"candidates": [], "usageMetadata": {"promptTokenCount": 5}}', "it has no candidates"),
        (b'{"error": {"code": 503, "message": "Later.", "status": "UNAVAILABLE"}}', "Later."),
    ],
)
def test_what_is_no_whole_answer_is_an_upstream_error(data: bytes, why: str) -> None:
    error = failure(data, streamed=False)
    assert isinstance(error, Down)
    assert why in error.message


@recordings.needs_recordings
def test_bare_json_between_events_is_the_error_it_says() -> None:
    data = recordings.body(next(row for row in ROWS if row["id"] == CANCELLED))
    error = failure(data)
    assert (error.message, error.upstream_type, error.status) == ("The operation was cancelled.", "CANCELLED", 499)
    for chunks in laws.splits(data, count=20):
        meter = laws.watch(WIRE.meter(True), chunks)
        assert meter.error is not None
        assert meter.error.message == error.message


@given(
    st.lists(st.sampled_from([b"data: ", b"{", b"}", b"[", b"]", b'"', b"\\", b"\r", b"\n", b"\n\n", b"a", b",", b":"]))
)
@settings(max_examples=examples(200), deadline=None)
def test_any_bytes_are_a_sentence_or_an_upstream_error(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    for streamed in (True, False):
        events, error = laws.listen(WIRE.decoder(streamed), [data])
        byte_by_byte, _ = laws.listen(WIRE.decoder(streamed), [data[i : i + 1] for i in range(len(data))])
        assert byte_by_byte == events
        assert error is not None or list(grammatical(events)) == events
        laws.watch(WIRE.meter(streamed), pieces)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FULL: dict[str, Any] = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "a", "thought": True, "thoughtSignature": "c2VhbA=="},
                    {"text": "wörd"},
                    {"functionCall": {"name": "f", "id": "1", "args": {}, "willContinue": True}},
                    {"functionCall": {"partialArgs": [{"jsonPath": "$.a[0]", "stringValue": "x"}]}},
                    {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
                    {"fileData": {"mimeType": "image/png", "fileUri": "gs://x"}},
                    {"executableCode": {"code": "1"}},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
            "groundingMetadata": GROUNDING,
            "citationMetadata": {"citations": [{"startIndex": 0, "endIndex": 1, "uri": "u"}]},
            "urlContextMetadata": {"urlMetadata": []},
            "logprobsResult": {
                "chosenCandidates": [{"token": "a", "logProbability": -1}],
                "topCandidates": [{"candidates": [{"token": "a"}]}],
            },
        }
    ],
    "promptFeedback": {"blockReason": "SAFETY"},
    "usageMetadata": {
        "promptTokenCount": 1,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
        "totalTokenCount": 1,
    },
    "modelVersion": "m",
    "responseId": "r",
    "createTime": "2026-01-01T00:00:00.123456789Z",
    "error": {},
}


@given(st.sampled_from(places(FULL)), JSON)
@settings(max_examples=examples(200), deadline=None)
def test_any_json_in_any_place_of_an_answer_is_read_told_and_metered_or_an_upstream_error(
    path: tuple[Any, ...], item: Any
) -> None:
    value = put(FULL, path, item)
    for data, streamed in ((sse(value), True), (json.dumps(value).encode(), False)):
        events, error = laws.listen(WIRE.decoder(streamed), [data])
        meter = laws.watch(WIRE.meter(streamed), [data])
        if error is None:
            assert list(grammatical(events)) == events
            assert meter.usage == fold(events).usage
            said(events)
            said(events, streamed=False)
        WIRE.decode_error(500, {}, data)


def test_an_answer_that_never_ends_is_given_up() -> None:
    for data in (b"data: " + b"x" * 200, b"data: xx\n" * 40, b"[{" + b"x" * 200, b"{\n" + b"x\n" * 200):
        with pytest.raises(FrameTooLong):
            laws.drain(Chunks(limit=100), [data])


@pytest.mark.parametrize(
    ("held", "has"),
    [
        (b"", False),
        (b'data: {"parts": [{}]}', False),
        (b'data: {"parts": [{}]}\r\n\r\n', True),
        (b" [", False),
        (b'[{"parts": "}', False),
        (b'[{"parts": "}"}', True),
        (b"{", False),
        (b'{"error": {}}\n', True),
        (b"[" + b" " * LONGEST_LINE, True),
    ],
)
def test_the_head_is_handed_out_once_a_whole_chunk_has_come(held: bytes, has: bool) -> None:
    assert WIRE.has_event(held) is has


def test_bytes_that_can_be_no_stream_are_known_for_it() -> None:
    with pytest.raises(Unframed):
        WIRE.has_event(b"x" * (LONGEST_LINE + 1))


# --- telling ---------------------------------------------------------------------------------------------------------


PARTS = st.lists(
    st.one_of(
        st.builds(Text, text=st.text(min_size=1), signature=st.sampled_from(["", "c2VhbA==", "any-text é", "a+/="])),
        st.builds(Thinking, text=st.text(min_size=1), signature=st.sampled_from(["", "c2VhbA=="])),
        st.builds(ToolCall, id=st.sampled_from(["", "call_1"]), name=st.text(min_size=1), arguments=st.just('{"a":1}')),
        st.just(Image(source=Inline("aGk=", "image/png"))),
        st.just(Audio(source=Inline("aGk=", "audio/wav"))),
        st.just(Opaque(wire="gemini", value={"executableCode": {"code": "1"}})),
    ),
    max_size=5,
)
COUNTS = st.integers(0, 1000)
USAGES = st.none() | st.builds(
    Usage, input=COUNTS, cache_read=COUNTS, audio_input=COUNTS, output=COUNTS, reasoning=COUNTS, audio_output=COUNTS
)


@given(PARTS, USAGES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_we_tell_is_what_we_hear(parts: list[Part], usage: Usage | None) -> None:
    called = any(isinstance(part, ToolCall) for part in parts)
    events = answer(*parts, stop=Stop(reason="tool_use" if called else "stop", raw="STOP"), usage=usage)
    for streamed, as_array in ((True, False), (True, True), (False, False)):
        data = said(events, streamed, as_array)
        heard = fold(decoded(data, streamed))
        unsealed = [unseal(part) for part in heard.choices[0].parts]
        apart = [merge_texts(unsealed), merge_texts(parts)]
        assert apart[0] == apart[1]
        assert heard.choices[0].stop == fold(events).choices[0].stop
        counted = fold(events).usage
        if counted and counted.total_input + counted.total_output:
            assert heard.usage is not None
            assert [getattr(heard.usage, name) for name in BUCKETS] == [getattr(counted, name) for name in BUCKETS]
        for chunk in chunks_in(data) if streamed else [json.loads(data)]:
            accepted(chunk)


def unseal(part: Part) -> Part:
    """A part as a client sends it back: its seal is what it was, whatever the way that it travelled."""
    if isinstance(part, Text | Thinking) and part.signature:
        part.signature = seal_in(part.signature)[0]
    return part


def merge_texts(parts: list[Part]) -> list[Any]:
    """Texts that follow each other without a seal are one to a client."""
    merged: list[Any] = []
    for part in parts:
        last = merged[-1] if merged else None
        kind = type(part)
        if kind in (Text, Thinking) and last is not None and last[0] is kind and not last[2]:
            merged[-1] = (kind, last[1] + part.text, part.signature)  # type: ignore[union-attr]  # both have them
        elif isinstance(part, Text | Thinking):
            merged.append((kind, part.text, part.signature))
        else:
            merged.append((kind, part, "closed"))
    return merged


def test_a_stream_is_framed_as_google_frames_it() -> None:
    events = answer(Text(text="hé\n"), usage=Usage(input=1, output=2))
    lines = said(events).split(b"\r\n\r\n")
    assert lines.pop() == b""
    assert all(line.startswith(b'data: {"') and b"\n" not in line for line in lines)
    last = json.loads(lines[-1][6:])
    assert last["usageMetadata"] == {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert (last["modelVersion"], last["responseId"]) == ("gemini-2.5-pro", "r1")
    assert WIRE.ping is None


def test_an_array_is_json_at_its_end() -> None:
    events = answer(Text(text="a"), Text(text="b"))
    data = said(events, as_array=True)
    assert [chunk["candidates"][0]["content"]["parts"] for chunk in json.loads(data)] == [
        [{"text": "a"}],
        [{"text": "b"}],
        [{"text": ""}],
    ]
    assert WIRE.renderer(asked(as_array=True)).media_type == "application/json"


def test_a_broken_array_ends_with_the_error_as_its_last_element() -> None:
    renderer = WIRE.renderer(asked(as_array=True))
    begun = laws.say(renderer, answer(Text(text="a"))[:3])
    assert json.loads(begun + renderer.error(Down("Gone.")))[-1]["error"]["message"] == "Gone."
    assert json.loads(WIRE.renderer(asked(as_array=True)).error(Down("Gone.")))[0]["error"]["status"] == "UNAVAILABLE"


def test_calls_are_told_whole_and_in_the_order_of_their_ends() -> None:
    events: list[Event] = [
        Start(),
        Open(index=0, part=ToolCall(id="a", name="f")),
        Open(index=1, part=ToolCall(id="b", name="g")),
        Delta(index=1, text='{"y":'),
        Delta(index=0, text='{"x":1}'),
        Delta(index=1, text="2}", signature="c2VhbA=="),
        Close(index=0),
        Close(index=1),
        Finish(stops=(Stop(reason="tool_use"),)),
    ]
    parts = [part for chunk in chunks_in(said(events)) for part in chunk["candidates"][0]["content"]["parts"]]
    assert parts == [
        {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}},
        {"functionCall": {"id": "b", "name": "g", "args": {"y": 2}}, "thoughtSignature": "c2VhbA=="},
        {"text": ""},
    ]


def test_a_day_beyond_the_calendar_is_the_first() -> None:
    """A client's parser of times would fail for the whole answer."""
    said_at = [json.loads(said([Start(created=day), Finish()], streamed=False))["createTime"] for day in (0, 10**18)]
    assert said_at == ["1970-01-01T00:00:00Z"] * 2


def test_arguments_that_are_no_object_are_handed_on_for_all_to_see() -> None:
    broken = ToolCall(id="", name="f", arguments='{"x":')
    free = ToolCall(id="", name="g", arguments="anything", kind="custom")
    parts = told(broken, free)["candidates"][0]["content"]["parts"]
    assert [part["functionCall"]["args"] for part in parts] == [{"malformed_arguments": '{"x":'}, {"input": "anything"}]


def test_what_other_wires_say_has_a_place() -> None:
    parts = told(
        Refusal(text="No."),
        Thinking(redacted="hidden"),
        Audio(source=Inline("aGk=", "audio/wav"), transcript="hi"),
        Image(source=Remote("https://x.example/a.png")),
        stop=Stop(reason="refusal"),
    )["candidates"][0]["content"]["parts"]
    assert parts == [
        {"text": "No."},
        {"text": "", "thought": True, "thoughtSignature": parts[1]["thoughtSignature"]},
        {"text": "hi"},
        {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example/a.png"}},
    ]
    assert seal_in(parts[1]["thoughtSignature"]) == ("", "hidden")


@pytest.mark.parametrize("part", [Opaque(wire="anthropic", value={}), Audio(id="audio_1")])
def test_what_has_no_place_is_refused_aloud(part: Part) -> None:
    for streamed in (True, False):
        with pytest.raises(Unrepresentable):
            said(answer(part), streamed)


@pytest.mark.parametrize(
    ("reason", "raw", "word"),
    [
        ("stop", "end_turn", "STOP"),
        ("stop_sequence", "", "STOP"),
        ("length", "max_tokens", "MAX_TOKENS"),
        ("context", "", "MAX_TOKENS"),
        ("tool_use", "tool_calls", "STOP"),
        ("content_filter", "RECITATION", "RECITATION"),
        ("content_filter", "content_filter", "SAFETY"),
        ("refusal", "", "SAFETY"),
        ("pause", "pause_turn", "MAX_TOKENS"),
        ("malformed_tool_call", "", "MALFORMED_FUNCTION_CALL"),
        ("other", "", "OTHER"),
        ("other", "BRAND_NEW", "BRAND_NEW"),
        ("other", "eos_token", "OTHER"),
        ("other", "MISSING_THOUGHT_SIGNATURE", "MISSING_THOUGHT_SIGNATURE"),
        ("content_filter", "LANGUAGE", "LANGUAGE"),
    ],
)
def test_every_reason_has_google_s_word(reason: Reason, raw: str, word: str) -> None:
    stop = Stop(reason=reason, raw=raw)
    assert told(stop=stop)["candidates"][0]["finishReason"] == word
    assert chunks_in(said(answer(stop=stop)))[-1]["candidates"][0]["finishReason"] == word


@pytest.mark.parametrize(
    ("raw", "reason"),
    [("MAX_TOKENS", "length"), (1, "stop"), (2, "length"), (77, "other"), ("NEW", "other"), ("SPII", "content_filter")],
)
def test_every_word_of_google_s_has_a_reason(raw: Any, reason: Reason) -> None:
    data = json.dumps(candidate({"text": "a"}) | {"candidates": [{"finishReason": raw}]}).encode()
    assert fold(decoded(data, streamed=False)).choices[0].stop.reason == reason


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (BadRequest("No."), 400, "INVALID_ARGUMENT"),
        (Unauthorized("No."), 401, "UNAUTHENTICATED"),
        (UnknownModel("No."), 404, "NOT_FOUND"),
        (OverLimit("No."), 429, "RESOURCE_EXHAUSTED"),
        (OverLimit("No.", kind="quota_exceeded", code="insufficient_quota"), 429, "RESOURCE_EXHAUSTED"),
        (Down("No."), 502, "UNAVAILABLE"),
        (Timeout("No."), 504, "DEADLINE_EXCEEDED"),
        (Busy("No.", status=529), 529, "UNAVAILABLE"),
        (BadRequest("No.", status=418), 418, "INVALID_ARGUMENT"),
        (GatewayError("No.", status=599), 599, "INTERNAL"),
        (Down("No.", status=424), 424, "INTERNAL"),  # of a model on Bedrock
    ],
)
def test_our_errors_have_google_s_shape(error: GatewayError, code: int, word: str) -> None:
    told = json.loads(WIRE.error(error, "req_1"))
    assert {key: told["error"][key] for key in ("code", "message", "status")} == {
        "code": code,
        "message": "No.",
        "status": word,
    }
    assert WIRE.error_headers(error) == []
    assert json.loads(WIRE.error_event(error).strip()[5:]) == told


def test_an_error_names_the_field_and_the_time_to_wait() -> None:
    error = BadRequest("No.", param="contents[0]", headers=[("Retry-After", "7")])
    details = json.loads(WIRE.error(error, ""))["error"]["details"]
    assert details[0]["reason"] == "INVALID_REQUEST"
    assert details[1]["fieldViolations"] == [{"field": "contents[0]", "description": "No."}]
    assert details[2] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}


def google_error(code: int, status: str, message: str = "No.", *details: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status, "details": details}}).encode()


SPENT = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
MINUTE = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]}


@pytest.mark.parametrize(
    ("status", "body", "made", "kind", "reported"),
    [
        (400, google_error(400, "INVALID_ARGUMENT"), Refused, "invalid_request", 400),
        (
            400,
            google_error(400, "INVALID_ARGUMENT", "No.", {"reason": "API_KEY_INVALID"}),
            Refused,
            "authentication",
            400,
        ),
        (401, google_error(401, "UNAUTHENTICATED"), Refused, "authentication", 401),
        (403, google_error(403, "PERMISSION_DENIED"), Refused, "authentication", 403),
        (404, google_error(404, "NOT_FOUND"), Refused, "invalid_request", 404),
        (429, google_error(429, "RESOURCE_EXHAUSTED", "Slow down."), Busy, "rate_limit", 429),
        (429, google_error(429, "RESOURCE_EXHAUSTED", "You exceeded your quota."), Busy, "quota_exceeded", 429),
        (429, google_error(429, "RESOURCE_EXHAUSTED", "No.", SPENT), Busy, "quota_exceeded", 429),
        (429, google_error(429, "RESOURCE_EXHAUSTED", "Your quota.", MINUTE), Busy, "rate_limit", 429),
        (500, google_error(500, "INTERNAL"), Down, "server_error", 500),
        (503, google_error(503, "UNAVAILABLE"), Down, "server_error", 503),
        (504, google_error(504, "DEADLINE_EXCEEDED"), Timeout, "timeout", 504),
        (499, google_error(499, "CANCELLED"), Down, "server_error", 499),
        (200, google_error(429, "RESOURCE_EXHAUSTED"), Busy, "rate_limit", 429),
        (200, b'{"error": {"status": "NOT_FOUND"}}', Refused, "invalid_request", 404),
        (404, b"<html>gone</html>", Refused, "invalid_request", 404),
        (502, b"\xff", Down, "server_error", 502),
        (429, b'[{"error": {"code": 429, "message": "Slow down."}}]', Busy, "rate_limit", 429),
        (500, b'{"error": "a text"}', Down, "server_error", 500),
        (302, b"", Down, "server_error", 502),
    ],
)
def test_google_s_errors_are_understood(
    status: int, body: bytes, made: type[UpstreamError], kind: str, reported: int
) -> None:
    error = WIRE.decode_error(status, {}, body)
    assert (type(error), error.kind, error.status, error.upstream_status) == (made, kind, reported, status)


def test_a_time_to_wait_becomes_a_header_once() -> None:
    body = google_error(429, "RESOURCE_EXHAUSTED", "No.", {"retryDelay": "34.4s"}, {"retryDelay": "9s"})
    assert list(WIRE.decode_error(429, {}, body).headers) == [("retry-after", "35")]
    assert list(WIRE.decode_error(429, {"Retry-After": "3"}, body).headers) == [("Retry-After", "3")]


# --- lists, and the pass-through lane --------------------------------------------------------------------------------


def test_models_are_listed_as_google_lists_them() -> None:
    listed = json.loads(WIRE.model_list(["a/b", "c"]))
    assert [model["name"] for model in listed["models"]] == ["models/a/b", "models/c"]
    card = json.loads(WIRE.model_card("c"))
    assert card == listed["models"][1]
    assert "streamGenerateContent" in card["supportedGenerationMethods"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"contents": [] }', b'{"contents": [] }'),
        (b'{"model": "models/gemini-x" }', b'{"model": "models/gemini-x" }'),
        (b'{"model": "models/old", "a": 1.50}', b'{"model": "models/gemini-x", "a": 1.50}'),
        (b'{"model": "projects/p/models/old"}', b'{"model": "projects/p/models/gemini-x"}'),
        (b'{"model": 5}', b'{"model": 5}'),
        (
            b'{"generateContentRequest": {"model": "models/old", "a": 1.50} }',
            b'{"generateContentRequest": {"model": "models/gemini-x", "a": 1.50} }',
        ),
        (b'{"generate_content_request":{"model":"old"}}', b'{"generate_content_request":{"model":"gemini-x"}}'),
        (  # a request stands within the request, and not deeper
            b'{"generateContentRequest": {"generateContentRequest": {"model": "old"}}}',
            b'{"generateContentRequest": {"generateContentRequest": {"model": "old"}}}',
        ),
    ],
)
def test_a_body_that_passes_through_is_edited_only_where_it_repeats_the_model(body: bytes, expected: bytes) -> None:
    assert WIRE.forward(Envelope(body), "gemini-x", ask_usage=True).body == expected


def test_a_meter_may_be_asked_at_any_time() -> None:
    meter = WIRE.meter(True)
    assert (meter.usage, meter.model, meter.finished, meter.error) == (None, "", False, None)
    meter.feed(sse(candidate({"text": '"finishReason"'}) | {"usageMetadata": {"promptTokenCount": 5}}))
    assert meter.usage == Usage(input=5)
    assert not meter.finished
    meter.feed(sse(candidate(finish="STOP") | {"usageMetadata": {"trafficType": "X"}, "modelVersion": "m"}))
    assert (meter.usage, meter.model, meter.finished) == (Usage(input=5), "m", True)


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("candidates", [1, 2, 3])
def test_a_stream_is_finished_when_all_its_candidates_are(candidates: int, array: bool) -> None:
    """For the meter and the decoder alike, wherever the stream breaks off."""
    dice = random.Random(candidates)
    call = {"functionCall": {"name": "f", "args": {"index": 7}}}
    for _ in range(20):
        left = {
            number: [candidate({"text": "a"}), candidate(call), candidate(finish="STOP")]
            for number in range(candidates)
        }
        body, order = b"[" if array else b"", [number for number in left for _ in left[number]]
        dice.shuffle(order)
        for number in order:
            said = left[number].pop(0)
            said["candidates"][0]["index"] = number
            body += json.dumps(said).encode() + b"," if array else sse(said)
            _, error = laws.listen(WIRE.decoder(True), [body])
            assert laws.watch(WIRE.meter(True), [body]).finished == (error is None)
        assert laws.watch(WIRE.meter(True), [body]).finished
