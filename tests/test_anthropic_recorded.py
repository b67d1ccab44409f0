"""Does proxy.dialects.anthropic find in every recorded answer what a plain reading finds, however it is cut?"""

import json
from typing import Any

import pytest

from proxy.canon import (
    Completion,
    Opaque,
    Part,
    Start,
    Text,
    Thinking,
    ToolCall,
    Usage,
    fold,
    grammatical,
)
from proxy.dialects.anthropic.citations import spelled
from proxy.errors import (
    Refused,
)
from tests import laws, recordings
from tests.test_anthropic import ROWS, WIRE
from tests.test_anthropic_answers import BROKEN, GOOD_STREAMS, STREAMS, decoded, failure, said

WHOLES = [row for row in ROWS if row["framing"] == "json" and row["status"] == 200]
ERRORS = [row for row in ROWS if row["status"] != 200]

# --- recorded answers ------------------------------------------------------------------------------------------------


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_recorded_stream_is_one_sentence_however_it_is_cut(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    whole, error = laws.listen(WIRE.decoder(True), [data])
    assert (error is not None) == (row["id"] in BROKEN)
    for chunks in laws.stream_splits(data):
        events, again = laws.listen(WIRE.decoder(True), chunks)
        assert events == whole
        assert str(again) == str(error)
    if error is None:
        assert list(grammatical(whole)) == whole


@recordings.needs_recordings
@pytest.mark.parametrize("row", GOOD_STREAMS, ids=recordings.ids)
def test_recorded_stream_is_metered_as_it_is_decoded(row: recordings.Row) -> None:
    data = recordings.body(row)
    events = decoded(data)
    start = events[0]
    assert isinstance(start, Start)
    last = [event for event in events if isinstance(event, Usage)][-1]
    for chunks in laws.splits(data, count=20):
        meter = laws.watch(WIRE.meter(True), chunks)
        assert (meter.usage, meter.model, meter.finished, meter.error) == (last, start.model, True, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", GOOD_STREAMS, ids=recordings.ids)
def test_recorded_stream_says_what_a_plain_reading_finds(row: recordings.Row) -> None:
    first = recordings.body(row).split(b'"message_stop"')[0].decode()
    events = [json.loads(line[5:]) for line in first.splitlines() if line.startswith("data:") and line.endswith("}")]
    blocks = read_stream(events)
    assert [as_block(part) for part in fold(decoded(recordings.body(row))).choices[0].parts] == blocks


def read_stream(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks of a stream, read in another way than the decoder's."""
    blocks: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["type"] == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"])
        elif event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            match delta["type"]:
                case "input_json_delta":
                    block["json"] = block.get("json", "") + delta["partial_json"]
                case "citations_delta":
                    block["citations"] = [*(block.get("citations") or []), delta["citation"]]
                case kind:
                    field = kind.removesuffix("_delta").replace("compaction", "content")
                    block[field] = (block.get(field) or "") + delta[field]
    for block in blocks.values():
        if block.get("json"):
            block["input"] = json.loads(block["json"])
        block.pop("json", None)
    return [plain(block) for block in blocks.values()]


def plain(block: dict[str, Any]) -> dict[str, Any]:
    """A block as it is compared: no citations and no signature are the same as empty ones."""
    if block["type"] in ("text", "thinking"):
        return {key: value for key, value in block.items() if value or key == block["type"]}
    return block


def as_block(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return plain({"type": "text", "text": part.text, "citations": spelled(part.citations)})
        case Thinking(redacted=""):
            return plain({"type": "thinking", "thinking": part.text, "signature": part.signature})
        case Thinking():
            return {"type": "redacted_thinking", "data": part.redacted}
        case ToolCall():
            given = json.loads(part.arguments)
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": given, **part.extra}
        case Opaque():
            return part.value
        case _:
            raise AssertionError(part)


@recordings.needs_recordings
@pytest.mark.parametrize("row", WHOLES, ids=recordings.ids)
def test_recorded_whole_answer_says_what_a_plain_reading_finds(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    told = json.loads(data)
    completion = fold(laws.split_proof(lambda: WIRE.decoder(False), data, count=5))
    assert [as_block(part) for part in completion.choices[0].parts] == [plain(block) for block in told["content"]]
    assert (completion.start.id, completion.start.model) == (told["id"], told["model"])
    assert completion.choices[0].stop.raw == told["stop_reason"]
    usage, counts = completion.usage, told["usage"]
    assert usage is not None
    cached = counts.get("cache_creation_input_tokens", 0) + counts.get("cache_read_input_tokens", 0)
    assert usage.total_input == counts["input_tokens"] + cached
    assert usage.total_output == counts["output_tokens"]
    meter = laws.watch(WIRE.meter(False), [data])
    assert (meter.usage, meter.model, meter.finished, meter.error) == (usage, told["model"], True, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*GOOD_STREAMS, *WHOLES], ids=recordings.ids)
def test_recorded_answer_survives_our_own_spelling(row: recordings.Row) -> None:
    events = decoded(recordings.body(row), row["framing"] == "sse")
    assert fold(decoded(said(events))) == fold(events)
    whole = decoded(said(events, streamed=False), streamed=False)
    assert compact(fold(whole)) == compact(fold(events))


def compact(completion: Completion) -> Completion:
    """Arguments without the blanks between their words: a whole answer has an object where a stream has text."""
    for part in completion.choices[0].parts:
        if isinstance(part, ToolCall):
            part.arguments = json.dumps(json.loads(part.arguments))
    return completion


@recordings.needs_recordings
@pytest.mark.parametrize("row", ERRORS, ids=recordings.ids)
def test_recorded_error_keeps_its_status_its_words_and_its_body(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    error = WIRE.decode_error(row["status"], row["response_headers"], data)
    told = json.loads(data)["error"]
    assert isinstance(error, Refused)
    assert (error.status, error.upstream_status, error.body) == (row["status"], row["status"], data)
    assert (error.message, error.upstream_type) == (told["message"], told["type"])
    assert failure(data).message == told["message"]  # the same where a stream was expected
    assert failure(data, streamed=False).message == told["message"]
