"""Does a client read of the very words that rest on a source, where Claude tells of each text which sources it has?

Its blocks are one text to a client of chat completions, and the source may come before the words do.
"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.canon import Event, Request
from tests import laws

CLAIM = "It costs 2 £, says the shop."
SAID = ["Milk is dear. ", CLAIM, " So buy less."]
URL = "https://shop.example/milk"
OF_ANTHROPIC = {"type": "web_search_result_location", "url": URL, "title": "Shop", "cited_text": "2 £"}
OF_BEDROCK = {"title": "Shop", "sourceContent": [{"text": "2 £"}], "location": {"web": {"url": URL}}}


def told_by(provider: str, stream: bool) -> list[Event]:
    """A thought, and three texts, of which the second has a source."""
    if provider == "bedrock":
        cited = {"citationsContent": {"content": [{"text": CLAIM}], "citations": [OF_BEDROCK]}}
        thought = {"reasoningContent": {"reasoningText": {"text": "Hm."}}}
        content = [thought, {"text": SAID[0]}, cited, {"text": SAID[2]}]
        output = {"message": {"role": "assistant", "content": content}}
        answer = {"output": output, "stopReason": "end_turn", "usage": {}, "metrics": {"latencyMs": 1}}
        return decoded(provider, json.dumps(answer).encode(), stream=False)
    head = {"type": "message", "id": "m", "role": "assistant", "model": "c", "usage": {}, "content": []}
    if not stream:
        texts = [{"type": "text", "text": text} for text in SAID]
        texts[1] |= {"citations": [OF_ANTHROPIC]}  # type: ignore[dict-item]
        whole = head | {"content": [{"type": "thinking", "thinking": "Hm."}, *texts], "stop_reason": "end_turn"}
        return decoded(provider, json.dumps(whole).encode(), stream=False)
    events: list[dict[str, Any]] = [{"type": "message_start", "message": head}]
    for index, text in enumerate(SAID):
        start = {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
        source = {"type": "citations_delta", "citation": OF_ANTHROPIC}
        pieces = [{"type": "text_delta", "text": piece} for piece in (text[:5], text[5:])]
        deltas = [pieces[0], source, pieces[1]] if text is CLAIM else pieces
        events += [start, *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)]
        events += [{"type": "content_block_stop", "index": index}]
    events += [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}]
    data = b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in events)
    return decoded(provider, data, stream=True)


def decoded(wire: str, data: bytes, stream: bool) -> list[Event]:
    decoder = registry.dialect(wire).decoder(stream)
    return [*decoder.feed(data), *decoder.close()]


def told_to(wire: str, events: list[Event], stream: bool) -> Any:
    renderer = registry.dialect(wire).renderer(Request(wire=wire, model="m", turns=[], stream=stream))
    rendered = laws.say(renderer, events)
    if not stream:
        return json.loads(rendered)
    lines = [line[6:] for line in rendered.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


ANSWERS = [("anthropic", True), ("anthropic", False), ("bedrock", False)]
by_answer = pytest.mark.parametrize(("provider", "streamed"), ANSWERS)


@by_answer
def test_in_a_whole_chat_it_is_a_place_in_the_one_text(provider: str, streamed: bool) -> None:
    message = told_to("openai_chat", told_by(provider, streamed), stream=False)["choices"][0]["message"]
    assert message["content"] == "".join(SAID)
    [note] = message["annotations"]
    assert sliced(note["url_citation"], message["content"]) == (URL, "Shop", CLAIM)


@by_answer
def test_in_a_chat_that_streams_likewise(provider: str, streamed: bool) -> None:
    chunks = told_to("openai_chat", told_by(provider, streamed), stream=True)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    content = "".join(delta.get("content") or "" for delta in deltas)
    [note] = [note for delta in deltas for note in delta.get("annotations", ())]
    assert sliced(note["url_citation"], content) == (URL, "Shop", CLAIM)


@by_answer
def test_of_responses_it_is_a_place_in_its_own_text(provider: str, streamed: bool) -> None:
    output = told_to("openai_responses", told_by(provider, streamed), stream=False)["output"]
    texts = [part for item in output if item["type"] == "message" for part in item["content"]]
    assert [sliced(note, part["text"]) for part in texts for note in part["annotations"]] == [(URL, "Shop", CLAIM)]


@by_answer
def test_of_responses_that_stream_it_is_told_when_its_text_is_whole(provider: str, streamed: bool) -> None:
    events = told_to("openai_responses", told_by(provider, streamed), stream=True)
    [place] = [number for number, event in enumerate(events) if "annotation" in event]
    noted, before, after = events[place], events[:place], events[place:]
    there = [event for event in before if event.get("item_id") == noted["item_id"] and "delta" in event]
    assert sliced(noted["annotation"], "".join(event["delta"] for event in there)) == (URL, "Shop", CLAIM)
    assert after[1]["type"] == "response.output_text.done"
    notes = [
        note
        for item in after[-1]["response"]["output"]
        for part in item.get("content", ())
        for note in part["annotations"]
    ]
    assert notes == [noted["annotation"]]


@by_answer
def test_of_gemini_it_is_a_place_in_bytes(provider: str, streamed: bool) -> None:
    [candidate] = told_to("gemini", told_by(provider, streamed), stream=False)["candidates"]
    [support] = candidate["groundingMetadata"]["groundingSupports"]
    place = support["segment"]
    whole = "".join(SAID).encode()
    assert whole[place["startIndex"] : place["endIndex"]].decode() == place["text"] == CLAIM


def sliced(note: dict[str, Any], text: str) -> tuple[str, str, str]:
    return note["url"], note["title"], text[note["start_index"] : note["end_index"]]
