"""Does a Claude that is asked by InvokeModel alone answer every client's SDK, whole and streamed?

Its row says `dialects: [bedrock_invoke]`; the frames are spelled here, apart from our own.
"""

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from proxy.sealing.seals import is_marked
from tests.client import ANTHROPIC, OPENAI, SPEECHES, chat
from tests.conformance.clients import clients
from tests.conformance.told import CROSSING
from tests.evil import Evil, Received, Scenario
from tests.gateway import config_file, pillion

Json = dict[str, Any]

OTHERS = [wire for wire in CROSSING if wire != "bedrock_invoke"]  # its own client's bytes pass as they are

MODEL = "aws/anthropic.claude-sonnet-4-5-20250929-v1:0"
JSON = ("content-type", "application/json")
HEAD = {"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
CONTENT: list[Json] = [
    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
    {"type": "text", "text": "Grüße"},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    {"type": "tool_use", "id": "toolu_2", "name": "f", "input": {}},
]
USAGE = {"input_tokens": 11, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0, "output_tokens": 7}
METRICS = {"inputTokenCount": 11, "outputTokenCount": 7, "cacheReadInputTokenCount": 3, "cacheWriteInputTokenCount": 0}


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of AWS's event streams."""
    head = b"".join(
        struct.pack(">B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return checked + struct.pack(">I", zlib.crc32(checked))


def chunk(event: Json) -> bytes:
    held = json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abcd"}).encode()
    return frame({":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}, held)


def events() -> list[Json]:
    deltas: list[list[Json]] = [
        [{"type": "thinking_delta", "thinking": "Hm."}, {"type": "signature_delta", "signature": "c2ln"}],
        [{"type": "text_delta", "text": "Grü"}, {"type": "text_delta", "text": "ße"}],
        [{"type": "input_json_delta", "partial_json": '{"a":'}, {"type": "input_json_delta", "partial_json": "1}"}],
        [],
    ]
    empty: Json = {"thinking": "", "signature": "", "text": "", "input": {}}
    said: list[Json] = [{"type": "message_start", "message": {**HEAD, "content": [], "usage": USAGE}}]
    for index, (block, pieces) in enumerate(zip(CONTENT, deltas, strict=True)):
        shell = {key: empty.get(key, value) for key, value in block.items()}
        said.append({"type": "content_block_start", "index": index, "content_block": shell})
        said += [{"type": "content_block_delta", "index": index, "delta": piece} for piece in pieces]
        said.append({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": "tool_use", "stop_sequence": None}
    said.append({"type": "message_delta", "delta": ended, "usage": {"output_tokens": 7}})
    return [*said, {"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}]


def amazon(request: Received) -> Scenario:
    if request.target.endswith("-with-response-stream"):
        stream = b"".join(map(chunk, events()))
        return Scenario(
            headers=[("content-type", "application/vnd.amazon.eventstream")], body=stream, framing="chunked"
        )
    said = {**HEAD, "content": CONTENT, "stop_reason": "tool_use", "stop_sequence": None, "usage": USAGE}
    return Scenario(headers=[JSON], body=json.dumps(said).encode())


def invoking(evil: Evil, folder: Path, dialects: str = "[bedrock_invoke]") -> Any:
    row = f"aws: {{kind: bedrock, base_url: '{evil.url}', api_key: token, location: us-east-1, dialects: {dialects}}}"
    return pillion(**config_file(f"providers: {{{row}}}\n", folder))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_every_sdk_hears_all_of_it(stream: bool, tmp_path: Path) -> None:
    async with Evil(answering=amazon) as evil, invoking(evil, tmp_path) as gateway, clients(gateway.url) as sdks:
        for wire in OTHERS:
            told = await sdks[wire].ask(MODEL, stream)
            assert (wire, told.text) == (wire, "Grüße")
            assert [(call.name, call.arguments) for call in told.calls] == [("f", {"a": 1}), ("f", {})]
            assert (wire, told.used.read, told.used.said) == (wire, 14, 7)
            assert told.thinking in ("Hm.", "")
    verb = "invoke-with-response-stream" if stream else "invoke"
    for asked in evil.requests:
        assert asked.target == f"/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/{verb}"
        said = json.loads(asked.body)
        assert (said["anthropic_version"], said["max_tokens"] > 0) == ("bedrock-2023-05-31", True)
        assert not {"model", "stream"} & said.keys()
    assert len(evil.requests) == len(OTHERS)


async def test_tokens_that_the_head_alone_tells_reach_every_sdk(tmp_path: Path) -> None:
    said = {**HEAD, "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    head = [JSON, ("x-amzn-bedrock-input-token-count", "13"), ("x-amzn-bedrock-output-token-count", "21")]
    plays = Scenario(headers=head, body=json.dumps(said).encode())
    async with (
        Evil(answering=lambda _: plays) as evil,
        invoking(evil, tmp_path) as gateway,
        clients(gateway.url) as sdks,
    ):
        for wire in OTHERS:
            used = (await sdks[wire].ask(MODEL, False)).used
            assert (wire, used.read, used.said) == (wire, 13, 21)


@pytest.mark.parametrize("dialects", ["[bedrock_invoke, bedrock]", "[bedrock, bedrock_invoke]"])
async def test_the_first_wire_of_a_row_is_that_of_other_clients(dialects: str, tmp_path: Path) -> None:
    async with Evil(answering=amazon) as evil, invoking(evil, tmp_path, dialects) as gateway:
        for speech in SPEECHES:
            await chat(gateway, speech, speech.request(model=MODEL))
        verbs = [request.target.rpartition("/")[2] for request in evil.requests]
    assert verbs == (["invoke"] * 2 if dialects.startswith("[bedrock_invoke") else ["converse"] * 2)


async def test_what_anthropics_wire_alone_has_reaches_claude_so(tmp_path: Path) -> None:
    """By Converse it is refused."""
    own: Json = {"tools": [{"type": "bash_20250124", "name": "bash"}], "context_management": {"edits": []}}
    async with Evil(answering=amazon) as evil, invoking(evil, tmp_path) as gateway:
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(model=MODEL, **own))
        said = json.loads(evil.requests[0].body)
    assert (got.status, {key: said[key] for key in own}) == (200, own)


async def test_a_thought_that_is_sealed_as_a_whole_is_seen(tmp_path: Path) -> None:
    """It stands there in Anthropic's words, and not in those of Bedrock's other wire."""
    content = [{"type": "redacted_thinking", "data": "c2VhbGVk"}, {"type": "text", "text": "Hi"}]
    said = {**HEAD, "content": content, "stop_reason": "end_turn", "usage": USAGE}
    async with (
        Evil(Scenario(headers=[JSON], body=json.dumps(said).encode())) as evil,
        invoking(evil, tmp_path) as gateway,
    ):
        got = await chat(gateway, OPENAI, OPENAI.request(model=MODEL))
    assert b"Hi" in got.body
    assert is_marked(got.body)


async def test_a_seal_in_a_stream_that_comes_at_once_is_seen(tmp_path: Path) -> None:
    """In base64, in which no word tells of it."""
    kind = ("content-type", "application/vnd.amazon.eventstream")
    at_once = Scenario(headers=[kind], body=b"".join(map(chunk, events())))
    async with Evil(at_once) as evil, invoking(evil, tmp_path) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model=MODEL, stream=True))
    assert b"Hm." in got.body
    assert is_marked(got.body)


async def test_a_search_for_tools_is_claudes_to_answer(tmp_path: Path) -> None:
    """https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-tool-use.html"""
    finder = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    later = {"name": "g", "input_schema": {"type": "object"}, "defer_loading": True}
    call = {"type": "server_tool_use", "id": "s", "name": "tool_search_tool_regex", "input": {"query": "g"}}
    found = {
        "type": "tool_search_tool_search_result",
        "tool_references": [{"type": "tool_reference", "tool_name": "g"}],
    }
    result = {"type": "tool_search_tool_result", "tool_use_id": "s", "content": found}
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [call, result]}]
    messages.append({"role": "user", "content": "So?"})
    async with Evil(answering=amazon) as evil, invoking(evil, tmp_path) as gateway:
        asking = ANTHROPIC.request(model=MODEL, messages=messages, tools=[finder, later])
        got = await chat(gateway, ANTHROPIC, asking)
    said = json.loads(evil.requests[-1].body)
    assert (got.status, got.header("x-pillion-dropped")) == (200, None)
    assert said["tools"] == [finder, later]
    assert said["messages"][1]["content"] == [call, result]
