"""What does a client read of its tokens, where its wire must say them and the provider tells none?"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from proxy.canon import Usage
from proxy.dialects.anthropic.invoke import StreamDecoder as InvokeDecoder
from proxy.dialects.bedrock.decode import StreamDecoder as ConverseDecoder
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Got, Speech, ask, lane_name
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, config_file, pillion

Json = dict[str, Any]

SSE = [("content-type", "text/event-stream")]
JSON = [("content-type", "application/json")]
PRICES = "prices: {openai/m: {input: 1, output: 3}}\n"
MODEL = "openai/m"
QUESTION = "How many tokens are there in all of this, if nobody has counted them?"
SAID = 2  # tokens of what the host says, in one piece or in two


def host(usage: Json | None = None) -> Any:
    """A host of Chat Completions that says of its tokens just this."""

    def answering(request: Received) -> Scenario:
        told = b"" if usage is None else b',"usage":%b' % json.dumps(usage).encode()
        if json.loads(request.body).get("stream"):
            chunk = b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"choices":[]%b}\n\n' % told
            body = OPENAI.stream[:-14] + (chunk if told else b"") + OPENAI.stream[-14:]
            return Scenario(headers=SSE, body=body, framing="chunked")
        head, _, _ = OPENAI.whole.partition(b',"usage"')
        return Scenario(headers=JSON, body=head + told + b"}")

    return answering


def silent(evil: Evil, folder: Path, text: str = "") -> Any:
    return pillion(**config_file(PRICES + text, folder), **OPENAI.environ(evil.url))


async def messages(gateway: Gateway, stream: bool) -> tuple[Got, int, int]:
    """The answer, and the tokens in and out that its client reads in it."""
    body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": QUESTION}], "stream": stream}
    got = await ask(gateway, "POST", ANTHROPIC.path, json.dumps(body).encode(), ANTHROPIC.headers)
    usage = json.loads(_last_counts(got.body) if stream else got.body)["usage"]
    return got, usage["input_tokens"], usage["output_tokens"]


def _last_counts(stream: bytes) -> bytes:
    (event,) = (event for event in stream.split(b"\n\n") if b'"message_delta"' in event)
    return event.partition(b"data: ")[2]


async def converse(gateway: Gateway, stream: bool) -> tuple[Got, int, int]:
    body = {"messages": [{"role": "user", "content": [{"text": QUESTION}]}]}
    path = f"/model/{quote(MODEL, safe='')}/converse{'-stream' if stream else ''}"
    got = await ask(gateway, "POST", path, json.dumps(body).encode())
    if stream:
        return got, *_of_events(ConverseDecoder(), got.body)
    usage = json.loads(got.body)["usage"]
    return got, usage["inputTokens"], usage["outputTokens"]


async def invoke(gateway: Gateway, stream: bool) -> tuple[Got, int, int]:
    turns = [{"role": "user", "content": QUESTION}]
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": turns}
    path = f"/model/{quote(MODEL, safe='')}/invoke{'-with-response-stream' if stream else ''}"
    got = await ask(gateway, "POST", path, json.dumps(body).encode())
    if stream:
        return got, *_of_events(InvokeDecoder(), got.body)
    usage = json.loads(got.body)["usage"]
    assert got.header("x-amzn-bedrock-input-token-count") == str(usage["input_tokens"])
    return got, usage["input_tokens"], usage["output_tokens"]


def _of_events(decoder: Any, body: bytes) -> tuple[int, int]:
    said = [event for event in [*decoder.feed(body), *decoder.close()] if isinstance(event, Usage)]
    usage = said[-1] if said else Usage()
    return usage.total_input, usage.total_output


async def booked(gateway: Gateway) -> tuple[int, int, int]:
    """Tokens in and out, and how many requests were estimated."""
    (row,) = json.loads((await ask(gateway, "GET", "/v1/usage?group_by=provider")).body)["data"]
    return row["tokens"]["input"], row["tokens"]["output"], row["estimated"]


WAYS = [messages, converse, invoke]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_wire_that_must_say_its_tokens_says_those_that_are_booked(
    way: Any, stream: bool, tmp_path: Path
) -> None:
    async with Evil(answering=host()) as evil, silent(evil, tmp_path) as gateway:
        got, read, written = await way(gateway, stream)
        assert len(QUESTION) // 4 <= read <= len(QUESTION)
        assert written >= SAID
        assert await booked(gateway) == (read, written, 1)
        if not stream:
            assert got.header("x-pillion-estimated") == "usage"
            assert got.header("x-pillion-cost-estimated") == "true"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("half", [{"prompt_tokens": 41}, {"completion_tokens": 7}], ids=["read", "written"])
@pytest.mark.parametrize("way", WAYS)
async def test_half_a_count_is_made_whole(way: Any, half: Json, stream: bool, tmp_path: Path) -> None:
    """As Ollama's is, where it had read the prompt before."""
    async with Evil(answering=host(half)) as evil, silent(evil, tmp_path) as gateway:
        got, read, written = await way(gateway, stream)
        assert read == 41 if "prompt_tokens" in half else len(QUESTION) // 4 <= read <= len(QUESTION)
        assert written == 7 if "completion_tokens" in half else written >= SAID
        assert await booked(gateway) == (read, written, 1)
        assert stream or got.header("x-pillion-estimated") == "usage"


@pytest.mark.parametrize("way", WAYS)
async def test_what_was_withheld_may_have_no_tokens(way: Any, tmp_path: Path) -> None:
    """So Google counts an answer that was blocked."""

    def blocking(request: Received) -> Scenario:
        plays: Scenario = host({"prompt_tokens": 41})(request)
        return replace(plays, body=plays.body.replace(b'"stop"', b'"content_filter"'))

    async with Evil(answering=blocking) as evil, silent(evil, tmp_path) as gateway:
        got, read, written = await way(gateway, False)
        assert (read, written, got.header("x-pillion-estimated")) == (41, 0, None)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("way", WAYS)
async def test_what_the_host_tells_is_told_as_it_is(way: Any, stream: bool, tmp_path: Path) -> None:
    """Though the ledger does not believe that a question is read in no tokens."""
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    async with Evil(answering=host(zeros)) as evil, silent(evil, tmp_path) as gateway:
        got, read, written = await way(gateway, stream)
        assert (read, written, got.header("x-pillion-estimated")) == (0, 0, None)
        assert (await booked(gateway))[2] == 1


@pytest.mark.parametrize("way", WAYS)
async def test_what_was_counted_is_no_estimate(way: Any, tmp_path: Path) -> None:
    counted = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    async with Evil(answering=host(counted)) as evil, silent(evil, tmp_path) as gateway:
        got, read, written = await way(gateway, False)
        assert (read, written) == (5, 2)
        assert (got.header("x-pillion-estimated"), got.header("x-pillion-cost-estimated")) == (None, None)
        assert await booked(gateway) == (5, 2, 0)


async def test_a_picture_is_not_read_by_its_bytes(tmp_path: Path) -> None:
    """A client that believed it would cut its conversation short."""
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}
    turns = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    body = json.dumps({"model": MODEL, "max_tokens": 9, "messages": turns}).encode()
    async with Evil(answering=host()) as evil, silent(evil, tmp_path) as gateway:
        got = await ask(gateway, "POST", ANTHROPIC.path, body, ANTHROPIC.headers)
        count = await ask(gateway, "POST", f"{ANTHROPIC.path}/count_tokens", body, ANTHROPIC.headers)
        assert json.loads(got.body)["usage"]["input_tokens"] == json.loads(count.body)["input_tokens"] < 5000


async def test_a_wire_that_need_not_say_its_tokens_says_none(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": QUESTION}]
    paths: dict[str, Json] = {
        "/v1/responses": {"model": MODEL, "input": QUESTION},
        "/api/chat": {"model": MODEL, "messages": turns, "stream": False},
        "/v2/chat": {"model": MODEL, "messages": turns},
        f"/v1beta/models/{MODEL}:generateContent": {"contents": [{"role": "user", "parts": [{"text": QUESTION}]}]},
    }
    async with Evil(answering=host()) as evil, silent(evil, tmp_path) as gateway:
        for path, body in paths.items():
            got = await ask(gateway, "POST", path, json.dumps(body).encode())
            said = json.loads(got.body)
            told = said.get("usage"), said.get("usageMetadata"), said.get("prompt_eval_count"), said.get("eval_count")
            assert (got.status, *told) == (200, None, None, None, None), path
            assert got.header("x-pillion-estimated") is None
            assert got.header("x-pillion-cost-estimated") == "true"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("usage", "estimated"), [(None, True), ({"prompt_tokens": 5, "completion_tokens": 2}, False)])
async def test_the_summary_tells_whether_its_cost_is_an_estimate(
    usage: Json | None, estimated: bool, stream: bool, tmp_path: Path
) -> None:
    async with Evil(answering=host(usage)) as evil, silent(evil, tmp_path) as gateway:
        got = await ask(gateway, "POST", "/v1/chat", OPENAI.request(model=MODEL, stream=stream))
        (told,) = (line for line in got.body.split(b"\n") if b'"pillion"' in line)
        summary = json.loads(told.removeprefix(b"data: "))["pillion"]
        assert (summary["cost_usd"] > "0", summary["cost_estimated"]) == (True, estimated)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("usage", "estimated"), [(None, True), ({"prompt_tokens": 5, "completion_tokens": 2}, False)])
async def test_so_does_explain(usage: Json | None, estimated: bool, stream: bool, tmp_path: Path) -> None:
    async with Evil(answering=host(usage)) as evil, silent(evil, tmp_path) as gateway:
        got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(model=MODEL, stream=stream))
        told = await ask(gateway, "GET", f"/v1/explain/{got.header('x-pillion-request-id')}")
        assert json.loads(told.body)["cost_estimated"] is estimated


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_so_is_a_cost_by_a_price_that_is_a_guess(speech: Speech, tmp_path: Path) -> None:
    counted = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    async with Evil(answering=host(counted)) as evil, silent(evil, tmp_path) as gateway:
        body = speech.request(model="openai/nobody-knows-its-price")
        got = await ask(gateway, "POST", speech.path, body, speech.headers)
        assert (got.header("x-pillion-estimated"), got.header("x-pillion-cost-estimated")) == (None, "true")


async def test_an_answer_from_the_cache_still_says_that_its_usage_is_an_estimate(tmp_path: Path) -> None:
    async with Evil(answering=host()) as evil, silent(evil, tmp_path, "cache: {enabled: true}\n") as gateway:
        await messages(gateway, False)
        got, read, _ = await messages(gateway, False)
        assert (got.header("x-pillion-cache"), got.header("x-pillion-estimated"), read > 0) == ("hit", "usage", True)
        assert (got.header("x-pillion-cost-usd"), got.header("x-pillion-cost-estimated")) == ("0", None)
