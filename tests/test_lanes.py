"""Does every recorded exchange go through a running pillion as it should, on either lane?

Pass-through: what the provider receives is what the client sent, and what the client receives is what the provider
sent, byte for byte but for the named edits. Translate: the client's own SDK reads, in the answer of a provider of the
other wire, what a plain reading of the recording finds in it.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from proxy.envelope import Envelope
from tests import recordings, replay
from tests.client import ANTHROPIC, OPENAI, Speech, chat
from tests.evil import Scenario
from tests.recordings import Row, needs_recordings
from tests.replay import Json, Stage, Told, stage

SPLITS = (1, 2, 3)  # seeds
EVERY = 4  # of so many streams one is cut up as well

# An error that came under status 200, with the status that it means.
ERROR_UNDER_200 = {"azure.chat_completions.93c62a88d87d": 400}
# OpenAI repeats the key that it refused. It was ours and not the client's, so that the client is told in our words.
SHOWS_A_KEY = {"openai.chat_completions.5216027198e9"}
# Half a message and then another one: who speaks the wire may make of it what he likes, but it cannot be translated.
SPLICED = {"anthropic.messages.4f8904767c1f"}

# What no Anthropic client can be told, and must not miss either.
SOUND = {"openai.chat_completions.96a0e19eb7c3", "openai.chat_completions.ca07674e1e9c"}
SECOND_CHOICE = {
    "openai-compatible.chat_completions.57e3a80a99ac",
    "openai.chat_completions.2580d6af9550",
    "openai.chat_completions.47fc2a80a130",
    "openai.chat_completions.679ddb5d2848",
}

# Two citations, each in a chunk of its own.
CITED = {"anthropic.messages.772cb89c2d5f"}

CHAT_HOSTS = replay.by_host(replay.CHAT)
MESSAGES_HOSTS = replay.by_host(replay.MESSAGES)


def some(ids: set[str]) -> list[Row]:
    return [row for row in replay.CHAT + replay.MESSAGES if row["id"] in ids]


def sample(rows: list[Row], without: set[str]) -> list[Row]:
    """Some of the streams."""
    streams = [row for row in rows if replay.streamed(row) and row["id"] not in without]
    return streams[::EVERY]


# --- the pass-through lane -------------------------------------------------------------------------------------------


@needs_recordings
@pytest.mark.parametrize("host", CHAT_HOSTS)
async def test_chat_passes_through_byte_for_byte(host: str) -> None:
    async with stage(OPENAI) as acting:
        await replay.each(CHAT_HOSTS[host], lambda row: check_passed(acting, OPENAI, row))


@needs_recordings
@pytest.mark.parametrize("host", MESSAGES_HOSTS)
async def test_messages_pass_through_byte_for_byte(host: str) -> None:
    async with stage(ANTHROPIC) as acting:
        await replay.each(MESSAGES_HOSTS[host], lambda row: check_passed(acting, ANTHROPIC, row))


async def check_passed(acting: Stage, speech: Speech, row: Row) -> None:
    acting.plays = Scenario.from_recording(row)
    sent = json.dumps(replay.asked(row), ensure_ascii=False).encode("utf-8", "surrogatepass")
    expected, withheld = edited(speech, sent)
    got = await chat(acting.gateway, speech, sent)
    assert acting.last().body == expected
    theirs = row["response_headers"].get("x-request-id") or row["response_headers"].get("request-id")
    assert theirs is None or got.header("x-request-id") == got.header("request-id") == theirs
    if row["id"] in ERROR_UNDER_200:
        assert got.status == ERROR_UNDER_200[row["id"]]
        speech.error(got.body)
        return
    assert got.status == row["status"]
    recorded = recordings.body(row)
    if row["id"] in SHOWS_A_KEY:
        assert got.body != recorded
        speech.error(got.body)
        return
    assert got.whole
    assert got.body == (without_usage(recorded) if withheld and replay.streamed(row) else recorded)
    content_type = dict(acting.plays.headers).get("content-type")
    assert got.header("content-type") == (content_type if row["status"] == 200 else "application/json")


def edited(speech: Speech, sent: bytes) -> tuple[bytes, bool]:
    """What the provider must receive: the same bytes, but for the model's prefix and usage that is asked for."""
    said = json.loads(sent)
    provider, slash, model = said["model"].partition("/")
    if slash and provider == speech.provider:
        sent = sent.replace(
            b'"model": "%b/%b"' % (provider.encode(), model.encode()), b'"model": "%b"' % model.encode()
        )
    if speech is ANTHROPIC:  # Vertex's own field, which Anthropic refuses
        return (Envelope(sent).without("anthropic_version") if "anthropic_version" in said else sent), False
    if said.get("stream") is not True:
        return sent, False
    if "stream_options" in said:
        assert said["stream_options"]["include_usage"] is True  # no recorded client asked for anything else
        return sent, False
    return sent[:-1] + b',"stream_options":{"include_usage":true}}', True


def without_usage(stream: bytes) -> bytes:
    """The stream without the events that tell of usage alone."""
    return b"\n\n".join(event for event in stream.split(b"\n\n") if not is_usage(event))


def is_usage(event: bytes) -> bool:
    data = event.strip().removeprefix(b"data:").strip()
    if not data.startswith(b"{"):
        return False
    said = json.loads(data)
    return said.get("choices") == [] and bool(said.get("usage"))


# --- the translate lane: an Anthropic client, an OpenAI provider -----------------------------------------------------

FINISHES_OF_CHAT = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


@needs_recordings
@pytest.mark.parametrize("host", CHAT_HOSTS)
async def test_an_anthropic_client_reads_what_an_openai_host_said(host: str) -> None:
    rows = [row for row in CHAT_HOSTS[host] if row["id"] not in SECOND_CHOICE]
    async with stage(OPENAI) as acting, anthropic_sdk(acting) as client:
        await replay.each(rows, lambda row: check_as_message(acting, client, row))


@needs_recordings
@pytest.mark.parametrize("row", some(SECOND_CHOICE), ids=recordings.ids)
async def test_an_anthropic_client_is_told_that_there_was_a_second_choice(row: Row) -> None:
    async with stage(OPENAI) as acting, anthropic_sdk(acting) as client:
        acting.plays = Scenario.from_recording(row)
        with pytest.raises(anthropic.APIError):
            await message(client, row)


@needs_recordings
@pytest.mark.parametrize("seed", SPLITS)
async def test_an_anthropic_client_reads_the_same_however_the_stream_is_cut(seed: int) -> None:
    async with stage(OPENAI) as acting, anthropic_sdk(acting) as client:
        rows = sample(replay.CHAT, SECOND_CHOICE)
        await replay.each(rows, lambda row: check_as_message(acting, client, row, split=seed))


def anthropic_sdk(acting: Stage) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=acting.gateway.url, api_key="unused", max_retries=0)


async def check_as_message(acting: Stage, client: AsyncAnthropic, row: Row, split: int | None = None) -> None:
    acting.plays = Scenario.from_recording(row, split=split)
    if row["status"] >= 400 or row["id"] in ERROR_UNDER_200:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await message(client, row)
        assert caught.value.status_code == ERROR_UNDER_200.get(row["id"], row["status"])
        assert caught.value.type is not None
        told = json.loads(recordings.body(row))["error"]["message"].strip()
        assert told in str(caught.value.api_message) or row["id"] in SHOWS_A_KEY
    elif row["id"] in SOUND:
        with pytest.raises(anthropic.APIError, match="audio"):
            await message(client, row)
    else:
        expected, got = as_message(replay.read_chat(row), row), told_by_message(await message(client, row))
        if not replay.tells_usage(row):
            assert got.read  # an estimate, as this wire demands one
            got = got._replace(read=0, written=0)
        assert got == expected


async def message(client: AsyncAnthropic, row: Row) -> Message:
    asked: Json = {"model": "openai/m", "max_tokens": 1000, "messages": [{"role": "user", "content": "Hi"}]}
    if not replay.streamed(row):
        whole: Message = await client.messages.create(**asked)
        return whole
    async with client.messages.stream(**asked) as stream:
        return await stream.get_final_message()


def told_by_message(said: Message) -> Told:
    usage = said.usage
    cached = usage.cache_read_input_tokens or 0
    return Told(
        text="".join(block.text for block in said.content if block.type == "text"),
        thinking="".join(block.thinking for block in said.content if block.type == "thinking"),
        calls=[(block.name, block.input) for block in said.content if block.type == "tool_use"],
        finish=str(said.stop_reason),
        read=usage.input_tokens + (usage.cache_creation_input_tokens or 0) + cached,
        cached=cached,
        written=usage.output_tokens,
    )


def as_message(told: Told, row: Row) -> Told:
    """The plain reading in the words of the Anthropic wire. Hosts say "stop" of a forced tool, or nothing at all."""
    finish = FINISHES_OF_CHAT.get(told.finish, "end_turn")
    if told.calls and finish == "end_turn":
        finish = "tool_use"
    elif finish == "end_turn" and replay.refused(row):
        finish = "refusal"
    return told._replace(finish=finish)


# --- the translate lane: an OpenAI client, an Anthropic provider -----------------------------------------------------

FINISHES_OF_MESSAGES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "length",
    "model_context_window_exceeded": "length",
}


@needs_recordings
@pytest.mark.parametrize("host", MESSAGES_HOSTS)
async def test_an_openai_client_reads_what_anthropic_said(host: str) -> None:
    rows = [row for row in MESSAGES_HOSTS[host] if row["id"] not in CITED]
    async with stage(ANTHROPIC) as acting, openai_sdk(acting) as client:
        await replay.each(rows, lambda row: check_as_completion(acting, client, row))


@needs_recordings
@pytest.mark.parametrize("row", some(CITED), ids=recordings.ids)
async def test_an_openai_client_reads_every_citation_of_a_stream(row: Row) -> None:
    async with stage(ANTHROPIC) as acting, openai_sdk(acting) as client:
        await check_as_completion(acting, client, row)


@needs_recordings
@pytest.mark.parametrize("seed", SPLITS)
async def test_an_openai_client_reads_the_same_however_the_stream_is_cut(seed: int) -> None:
    async with stage(ANTHROPIC) as acting, openai_sdk(acting) as client:
        rows = sample(replay.MESSAGES, CITED)
        await replay.each(rows, lambda row: check_as_completion(acting, client, row, split=seed))


def openai_sdk(acting: Stage) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{acting.gateway.url}/v1", api_key="unused", max_retries=0)


async def check_as_completion(acting: Stage, client: AsyncOpenAI, row: Row, split: int | None = None) -> None:
    acting.plays = Scenario.from_recording(row, split=split)
    if row["status"] >= 400:
        with pytest.raises(openai.APIStatusError) as caught:
            await completion(client, row)
        assert caught.value.status_code == row["status"]
        assert json.loads(recordings.body(row))["error"]["message"] in caught.value.message
    elif row["id"] in SPLICED:
        with pytest.raises(openai.APIError, match="could not be read"):
            await completion(client, row)
    else:
        told = replay.read_messages(row)
        expected = told._replace(finish=FINISHES_OF_MESSAGES[told.finish])
        assert told_by_completion(await completion(client, row)) == expected


async def completion(client: AsyncOpenAI, row: Row) -> ChatCompletion:
    asked: Json = {"model": "anthropic/m", "messages": [{"role": "user", "content": "Hi"}]}
    if not replay.streamed(row):
        whole: ChatCompletion = await client.chat.completions.create(**asked)
        return whole
    async with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
        await stream.until_done()
        return stream.current_completion_snapshot  # the final one is refused where its finish reason is "length"


def told_by_completion(said: ChatCompletion) -> Told:
    choice = said.choices[0]
    calls = [call for call in choice.message.tool_calls or [] if call.type == "function"]
    usage = said.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    return Told(
        text=choice.message.content or "",
        thinking=(choice.message.model_extra or {}).get("reasoning_content", ""),
        calls=[(call.function.name, json.loads(call.function.arguments or "{}")) for call in calls],
        finish=choice.finish_reason,
        read=usage.prompt_tokens,
        cached=usage.prompt_tokens_details.cached_tokens or 0,
        written=usage.completion_tokens,
    )


# --- the translate lane: what was asked ------------------------------------------------------------------------------


# What crosses under another name, or says how the answer is to come; all else stands in the receipt.
CARRIED = set(
    "model messages stream stream_options tools functions tool_choice function_call parallel_tool_calls max_tokens"
    " max_completion_tokens temperature top_p stop stop_sequences system response_format output_config output_format"
    " thinking reasoning reasoning_effort user metadata service_tier web_search_options".split()
)


@needs_recordings
@pytest.mark.parametrize("host", CHAT_HOSTS)
async def test_a_recorded_chat_reaches_anthropic_or_is_refused(host: str) -> None:
    async with stage(ANTHROPIC) as acting:
        await replay.each(CHAT_HOSTS[host], lambda row: check_asked(acting, OPENAI, ANTHROPIC, row))


@needs_recordings
@pytest.mark.parametrize("host", MESSAGES_HOSTS)
async def test_a_recorded_message_reaches_openai_or_is_refused(host: str) -> None:
    async with stage(OPENAI) as acting:
        await replay.each(MESSAGES_HOSTS[host], lambda row: check_asked(acting, ANTHROPIC, OPENAI, row))


async def check_asked(acting: Stage, client: Speech, provider: Speech, row: Row) -> None:
    """The provider is asked for all that was said and offered, or the client is told what could not be."""
    asked = replay.asked(row) | {"model": f"{provider.provider}/m"} | client.needed
    acting.plays = answering(provider, bool(asked.get("stream")))
    before = len(acting.evil.requests)
    got = await chat(acting.gateway, client, json.dumps(asked).encode())
    if got.status == 400:
        error = client.error(got.body)
        assert re.match(rf"(?:{'|'.join(asked)})\b", error["message"]), error
        assert len(acting.evil.requests) == before
        return
    assert got.status == 200, got.body
    assert got.header("content-type") == dict(answering(client, bool(asked.get("stream"))).headers)["content-type"]
    said = json.loads(acting.last().body)
    assert said["model"] == "m"
    assert missing(texts(asked["messages"]), acting.last().body) == []
    receipt = (got.header("x-pillion-dropped") or "").split(", ")
    assert tool_names(said) == tool_names(asked, receipt)
    assert {key for key, value in asked.items() if value and (key, value) != ("n", 1)} - CARRIED <= set(receipt)
    told = any("thinking" in name or "reasoning" in name for name in receipt)  # a seal of another's, or all of it
    assert told or not any(map(thinks, asked["messages"]))


def answering(speech: Speech, stream: bool) -> Scenario:
    media_type = "text/event-stream" if stream else "application/json"
    return Scenario(body=speech.stream if stream else speech.whole, headers=[("content-type", media_type)])


def texts(value: Any) -> list[str]:
    """What the messages say: each text, and the content that is one. Thoughts go to no other wire than their own."""
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    if not isinstance(value, dict) or is_thought(value):
        return []
    own = [value[key] for key in ("text", "content", "output") if isinstance(value.get(key), str)]
    return own + [text for item in value.values() for text in texts(item)]


def is_thought(part: Json) -> bool:
    return str(part.get("type")).startswith(("thinking", "redacted_thinking", "reasoning"))


def thinks(message: Json) -> bool:
    content = message.get("content")
    listed = [*(message.get("reasoning_details") or []), *(content if isinstance(content, list) else [])]
    return any(message.get(key) for key in ("reasoning", "reasoning_content")) or any(map(is_thought, listed))


def missing(wanted: list[str], body: bytes) -> list[str]:
    said = set(texts(json.loads(body)))
    return [text for text in wanted if text and not any(text in other for other in said)]


def tool_names(body: Json, gone: Sequence[str] = ()) -> list[str]:
    """`gone`: a receipt, which may name the type of a tool that was left out."""
    tools = [tool for tool in body.get("tools") or [] if tool.get("type") not in gone]
    offered = [tool.get("function") or tool.get("custom") or tool for tool in tools]
    searches = ["web_search"] if "web_search_options" in body else []  # a field there, a tool of that name elsewhere
    return [tool.get("name") or tool["type"] for tool in [*offered, *(body.get("functions") or [])]] + searches
