"""What did a recorded answer say, and how is it played to a pillion that has one provider?

A `Stage` is one gateway before one evil upstream; whoever asks says first what the upstream is to answer. And there is
a plain reading of the recordings, with json.loads and nothing of ours, in the words of the wire that they came on. What
crosses lanes is compared with that.
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from tests import recordings
from tests.client import Speech
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion

Json = dict[str, Any]

CHAT = recordings.load("*chat_completions")
MESSAGES = recordings.load("*anthropic.messages")

Row = recordings.Row


# --- the stage -------------------------------------------------------------------------------------------------------


class Stage:
    """`plays` is what the upstream answers to the next chat. Its list of models has every name that was recorded."""

    def __init__(self, gateway: Gateway, evil: Evil) -> None:
        self.gateway = gateway
        self.evil = evil
        self.plays = Scenario()

    def last(self) -> Received:
        return self.evil.requests[-1]


@asynccontextmanager
async def stage(provider: Speech) -> AsyncIterator[Stage]:
    """A pillion whose one provider speaks this wire."""

    def answer(request: Received) -> Scenario:
        return _MODELS if request.method == "GET" else acting.plays

    async with Evil(answering=answer) as evil, pillion(**provider.environ(evil.url)) as gateway:
        acting = Stage(gateway, evil)
        yield acting


async def each(rows: Iterable[Row], check: Callable[[Row], Awaitable[None]]) -> None:
    """Check every recording, and tell of all that failed, by id."""
    failed = []
    for row in rows:
        try:
            await check(row)
        except (Exception, pytest.fail.Exception) as error:  # whatever it is, the other rows are checked as well
            failed.append(f"{row['id']}: {type(error).__name__} {str(error)[:600]}")
        else:
            recordings.replayed(row)
    if failed:
        raise AssertionError(f"{len(failed)} recordings failed:\n" + "\n".join(failed))


def by_host(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The recordings by where they were made: xdist shares the groups out."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["id"].rpartition(".")[0]].append(row)
    return dict(groups)


def asked(row: Row) -> Json:
    """The recorded request; a short one where there is none. A model that stands in the path alone is put in."""
    said = row["request_json"] or {"messages": [{"role": "user", "content": "Hi"}], "stream": streamed(row)}
    return said | {"model": said.get("model") or row["model"] or "m"}


def streamed(row: Row) -> bool:
    return bool(row["framing"] == "sse")


_MODELS = Scenario(
    body=json.dumps(
        {"data": [{"id": name} for name in sorted({asked(row)["model"] for row in CHAT + MESSAGES})]}
    ).encode()
)


# --- a plain reading -------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """What an answer says, in no wire's words but for `finish`. A call is its name and its arguments, read as JSON."""

    text: str
    thinking: str
    calls: list[tuple[str, Any]]
    finish: str
    read: int  # tokens, cached ones among them
    cached: int  # of them
    written: int  # tokens, thoughts among them


def events(row: Row) -> list[Json]:
    """The JSON of each event of a recorded stream."""
    lines = [line[5:].strip() for line in recordings.body(row).splitlines() if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def read_chat(row: Row) -> Told:
    """The first choice of an OpenAI answer."""
    said, choices = _choices(row)
    messages = [message for message, _ in choices]
    usage = _usage(said)
    read = usage.get("prompt_tokens", 0)
    return Told(
        text="".join(_content(message, "text") + (message.get("refusal") or "") for message in messages),
        thinking="".join(_thought(message) for message in messages),
        calls=_calls(messages),
        finish=next((reason for _, reason in reversed(choices) if reason), ""),
        read=read,
        cached=cached if (cached := _cached(usage)) <= read else 0,
        written=max(usage.get("total_tokens", 0) - read, usage.get("completion_tokens", 0)),
    )


def tells_usage(row: Row) -> bool:
    """Does an OpenAI answer say how many tokens it took?"""
    return bool(_usage(_choices(row)[0]))


def _usage(said: list[Json]) -> Json:
    usages = [each.get("usage") or (each.get("x_groq") or {}).get("usage") for each in said]
    return next((usage for usage in reversed(usages) if usage), {})


def refused(row: Row) -> bool:
    """Does the first choice of an OpenAI answer say no?"""
    return any(message.get("refusal") for message, _ in _choices(row)[1])


def _choices(row: Row) -> tuple[list[Json], list[tuple[Json, str | None]]]:
    """The answer, or its chunks; and what the first choice says in each, with its finish reason."""
    said = events(row) if streamed(row) else [json.loads(recordings.body(row))]
    key = "delta" if streamed(row) else "message"
    first = [choice for each in said for choice in each["choices"] if choice.get("index", 0) == 0]
    return said, [(choice.get(key) or {}, choice.get("finish_reason")) for choice in first]


def _cached(usage: Json) -> int:
    """OpenAI's place, and those of DeepSeek, Moonshot and Mistral."""
    places = [(usage.get("prompt_tokens_details") or {}).get("cached_tokens")]
    places += [usage.get(key) for key in ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")]
    return next((count for count in places if count), 0)


def _content(message: Json, kind: str) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content if kind == "text" else ""
    return "".join(_flat(item[kind]) for item in content if item["type"] == kind)


def _flat(value: str | list[Json]) -> str:
    return value if isinstance(value, str) else "".join(item["text"] for item in value)


def _thought(message: Json) -> str:
    """OpenRouter and Vercel say it twice, as text and as details."""
    said = message.get("reasoning_content") or message.get("reasoning")
    if said:
        return str(said)
    details = message.get("reasoning_details") or []
    listed = _content(message, "thinking")
    return listed or "".join(item.get("text") or item.get("summary") or "" for item in details)


def _calls(messages: list[Json]) -> list[tuple[str, Any]]:
    """A fragment with a name begins a call; the others go on with the one of their index, or with the last."""
    calls: list[tuple[str, list[str]]] = []
    places: dict[Any, int] = {}
    for message in messages:
        for call in [*(message.get("tool_calls") or []), *_legacy(message)]:
            inner = call.get("function") or call["custom"]
            if inner.get("name"):
                places[call.get("index")] = len(calls)
                calls.append((inner["name"], []))
            pieces = calls[places.get(call.get("index"), -1)][1]
            pieces.append(inner.get("arguments") or inner.get("input") or "")
    return [(name, arguments("".join(pieces))) for name, pieces in calls]


def _legacy(message: Json) -> list[Json]:
    call = message.get("function_call") or {}
    return [{"function": call, "index": "legacy"}] if call.get("name") or call.get("arguments") else []


def arguments(text: str) -> Any:
    """Arguments as JSON; free text, as a custom tool has it, as what an Anthropic client sees of it."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return {"malformed_arguments": text}


def read_messages(row: Row) -> Told:
    """An Anthropic answer, without the blocks of server tools."""
    blocks, finish, usage = message_of(row)
    cached = usage.get("cache_read_input_tokens") or 0
    return Told(
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        thinking="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        calls=[(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
        finish=finish,
        read=usage["input_tokens"] + (usage.get("cache_creation_input_tokens") or 0) + cached,
        cached=cached,
        written=usage["output_tokens"],
    )


def message_of(row: Row) -> tuple[list[Json], str, Json]:
    """The blocks of an Anthropic answer, its stop reason and its usage."""
    return _streamed_message(row) if streamed(row) else _whole_message(row)


def _whole_message(row: Row) -> tuple[list[Json], str, Json]:
    said = json.loads(recordings.body(row))
    return said["content"], said["stop_reason"], said["usage"]


def _streamed_message(row: Row) -> tuple[list[Json], str, Json]:
    blocks: dict[int, Json] = {}
    finish = ""
    usage: Json = {}
    for event in events(row):
        match event["type"]:
            case "message_stop":  # one fixture goes on, with the messages of the next turns
                break
            case "message_start":
                usage = event["message"]["usage"]
            case "content_block_start":
                blocks[event["index"]] = event["content_block"] | {"pieces": ""}
            case "content_block_delta":
                _grow(blocks[event["index"]], event["delta"])
            case "message_delta":
                finish = event["delta"]["stop_reason"]
                usage = usage | {key: value for key, value in event["usage"].items() if value is not None}
            case _:
                pass
    for block in blocks.values():
        if block["pieces"]:
            block["input"] = json.loads(block["pieces"])
    return list(blocks.values()), finish, usage


def _grow(block: Json, delta: Json) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "input_json_delta":
            block["pieces"] += delta["partial_json"]
        case _:
            pass
