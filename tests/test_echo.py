"""Does echo behave like a provider: the same shapes, whole and streamed, on time, and the same bytes every time?"""

import asyncio
import json
import math
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from proxy.adapters.echo import Echo, page
from proxy.adapters.echo.ask import read, tokens
from proxy.adapters.echo.pattern import LONGEST, Unreadable, sample
from proxy.adapters.echo.schema import fill
from proxy.adapters.echo.script import MOST, PLAIN, TEXT, Said, behaviour, streamed
from proxy.adapters.echo.words import Unfillable
from proxy.edge.aside import LARGE
from proxy.errors import BadRequest, Down, Timeout, UnknownModel
from proxy.framing import ServerSentEvents
from proxy.ports import Adapter, Answer, Health, Outgoing
from tests.laws import examples
from tests.nested import TOO_DEEP

LIMIT = 64 * 1024 * 1024
USER = [{"role": "user", "content": "Say it again, Sam: café 你好 👋!"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {}}}}


class FakeClock:
    """Time passes only when somebody waits for it; what is waited for is noted."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.reached: list[float] = []

    def now(self) -> float:
        return self.time

    async def reach(self, moment: float, gone: asyncio.Event) -> None:
        self.reached.append(moment - 1000.0)
        if moment == math.inf:
            await gone.wait()
        else:
            self.time = max(self.time, moment)


def body(model: str, **fields: Any) -> bytes:
    return json.dumps({"model": model, "messages": USER, **fields}).encode()


async def send(data: bytes, clock: FakeClock | None = None, timeout: float | None = None) -> Answer:
    stream = b'"stream": true' in data
    return await Echo("echo", clock=clock or FakeClock()).send(
        Outgoing(dialect="openai_chat", model="", body=data, stream=stream, headers=[], query="", timeout=timeout)
    )


async def ask(model: str, **fields: Any) -> dict[str, Any]:
    """A whole answer, its status 200 and its shape OpenAI's."""
    answer = await send(body(model, **fields))
    data = await answer.read(LIMIT)
    assert answer.status == 200, data
    assert answer.headers["content-type"] == "application/json"
    ChatCompletion.model_validate_json(data, strict=True)
    value: dict[str, Any] = json.loads(data)
    return value


async def fail(data: bytes) -> tuple[Answer, dict[str, Any]]:
    """An answer that is an error, OpenAI-shaped."""
    answer = await send(data)
    value = json.loads(await answer.read(LIMIT))
    assert list(value) == ["error"]
    assert list(value["error"]) == ["message", "type", "param", "code"]
    assert answer.status >= 400
    return answer, value["error"]


async def chunks(answer: Answer) -> tuple[list[bytes], Down | None]:
    out = []
    try:
        while data := await answer.chunk():
            out.append(data)
    except Down as error:
        return out, error
    return out, None


def events(data: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream that ends as it should, their shape OpenAI's."""
    frames = [frame.data for frame in ServerSentEvents().feed(data)]
    assert frames.pop() == b"[DONE]"
    for frame in frames:
        if b'"custom"' not in frame:  # the SDK has no type for a custom call's delta, though it has one for the call
            ChatCompletionChunk.model_validate_json(frame, strict=True)
    return [json.loads(frame) for frame in frames]


async def stream(model: str, **fields: Any) -> list[dict[str, Any]]:
    answer = await send(body(model, stream=True, **fields))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events(await answer.read(LIMIT))


def summed(chunks: list[dict[str, Any]], choice: int = 0) -> tuple[dict[str, Any], str]:
    """What the deltas of one choice add up to, and how it finished."""
    message: dict[str, Any] = {"content": None, "refusal": None}
    finish = ""
    for part in (part for chunk in chunks for part in chunk["choices"] if part["index"] == choice):
        for key, value in part["delta"].items():
            if key == "tool_calls":
                _add_call(message.setdefault("tool_calls", []), value[0])
            elif key == "role" or message.get(key) is None:
                message[key] = value
            else:
                message[key] += value
        finish = part["finish_reason"] or finish
    return message, finish


def _add_call(calls: list[dict[str, Any]], delta: dict[str, Any]) -> None:
    if delta["index"] == len(calls):
        calls.append({key: value for key, value in delta.items() if key != "index"})
        return
    call = calls[delta["index"]]
    kind = call["type"]
    for key, value in delta[kind].items():
        call[kind][key] += value


def said(message: dict[str, Any]) -> int:
    """The tokens of a message, counted again by the documented rule."""
    count = sum(len(tokens(message.get(key) or "")) for key in ("content", "reasoning_content", "refusal"))
    for call in message.get("tool_calls", []):
        named = call[call["type"]]
        count += 1 + len(tokens(named.get("arguments", "") + named.get("input", "")))
    return count


# --- the adapter -----------------------------------------------------------------------------------------------------


async def test_it_is_an_adapter() -> None:
    echo: Adapter = Echo("demo")
    assert (echo.name, echo.dialects, echo.real, echo.ask_usage) == ("demo", ("openai_chat",), False, True)
    assert repr(echo) == "<Echo demo>"
    assert (await echo.health()) == Health(True, 0.0)
    for model in await echo.models():
        assert echo.has(model)
        assert behaviour(model).source == model


@pytest.mark.parametrize("name", ["echo", "tool-2", "tokens-9+rate-5", "error-503", "text+bogus", "tokens", "error-9"])
def test_names_that_are_behaviours(name: str) -> None:
    assert Echo("echo").has(name)


@pytest.mark.parametrize("name", ["gpt-4o", "text-davinci-003", "gpt-4o+slow-9", "echo:latest", "", "ECHO", "json-x"])
async def test_any_other_name_echoes(name: str) -> None:
    assert not Echo("echo").has(name)
    answer = await ask(name)
    assert answer["model"] == name
    assert answer["choices"][0]["message"]["content"] == USER[0]["content"]


def test_the_page_for_users_names_what_there_is() -> None:
    page = (Path(__file__).parent.parent / "docs" / "echo.md").read_text()
    for name in re.findall(r"echo/([a-z0-9+.-]+)", page):
        assert Echo("echo").has(name)
        behaviour(name)
    for name in (*PLAIN, "tool-N", "tokens-N", "error-STATUS", "+slow-S", "+rate-N", "+cut-K", "+stall-K", "+seed-N"):
        assert f"`{name}`" in page
    assert "`Hello` `,` ` wonderfu` `l` ` world` `!`" in page
    assert tokens("Hello, wonderful world!") == ["Hello", ",", " wonderfu", "l", " world", "!"]


# --- sources ---------------------------------------------------------------------------------------------------------

SOURCES: list[tuple[str, dict[str, Any]]] = [
    ("echo", {}),
    ("text", {}),
    ("tokens-0", {}),
    ("tokens-37", {}),
    ("json", {"response_format": {"type": "json_object"}}),
    ("json", {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}}),
    ("think", {}),
    ("refuse", {}),
    ("length", {}),
    ("tool", {"tools": [WEATHER]}),
    ("tool-3", {"tools": [WEATHER, TIME], "n": 2}),
    ("tool", {"tools": [{"type": "custom", "custom": {"name": "shell"}}]}),
    ("think", {"max_tokens": 3, "n": 3}),
    ("tool", {"tools": [WEATHER], "max_tokens": 4}),
]


@pytest.mark.parametrize(("model", "fields"), SOURCES)
async def test_stream_and_whole_say_the_same_and_usage_counts_it(model: str, fields: dict[str, Any]) -> None:
    whole = await ask(model, **fields)
    parts = await stream(model, stream_options={"include_usage": True}, **fields)
    total = 0
    for choice in whole["choices"]:
        message, finish = summed(parts, choice["index"])
        for call in (*message.get("tool_calls", []), *choice["message"].get("tool_calls", [])):
            assert call.pop("id").startswith("call_")  # of the body, and the two bodies differ
        assert message == choice["message"]
        assert finish == choice["finish_reason"]
        total += said(message)
    assert whole["usage"]["completion_tokens"] == total
    assert parts[-1]["choices"] == []
    assert parts[-1]["usage"] == whole["usage"]
    assert all(part["usage"] is None for part in parts[:-1])
    assert len(parts) == 2 * len(whole["choices"]) + total + 1  # a role, an end, one event per token, usage


@pytest.mark.parametrize("model", PLAIN)
async def test_without_being_asked_a_stream_says_nothing_of_usage(model: str) -> None:
    assert all("usage" not in part for part in await stream(model, tools=[TIME]))


async def test_echo_repeats_the_last_user_turn() -> None:
    turns = [
        {"role": "user", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "two"}, "three"]},
    ]
    answer = await ask("echo", messages=[*turns, {"role": "assistant", "content": "no"}])
    assert answer["choices"][0]["message"]["content"] == "two\nthree"


IMAGE = {"type": "image_url", "image_url": {"url": "x"}}


async def test_echo_says_nothing_of_a_picture() -> None:
    for content in ([{"type": "text", "text": "two"}, IMAGE], [IMAGE, "two"]):
        answer = await ask("echo", messages=[{"role": "user", "content": content}])
        assert answer["choices"][0]["message"]["content"] == "two"


@pytest.mark.parametrize("content", [None, "", [], [IMAGE], [IMAGE, IMAGE]])
async def test_echo_of_no_text_is_the_fixed_text(content: Any) -> None:
    answer = await ask("echo", messages=[{"role": "user", "content": content}])
    assert answer["choices"][0]["message"]["content"] == TEXT


async def test_text_has_more_than_ascii() -> None:
    assert re.search("é", TEXT)
    assert re.search("[\u4e00-\u9fff]", TEXT)
    assert re.search("[\U0001f300-\U0001faff]", TEXT)


@pytest.mark.parametrize("number", [0, 1, 5000])
async def test_tokens_says_exactly_so_many(number: int) -> None:
    answer = await ask(f"tokens-{number}")
    assert answer["usage"]["completion_tokens"] == number
    assert len(tokens(answer["choices"][0]["message"]["content"])) == number


async def test_think_reasons_first() -> None:
    deltas = [part["choices"][0]["delta"] for part in await stream("think")]
    kinds = [key for delta in deltas[1:] for key in delta]
    turn = kinds.index("content")
    assert set(kinds[:turn]) == {"reasoning_content"}
    assert set(kinds[turn:]) == {"content"}
    answer = await ask("think")
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == turn


async def test_refuse_and_length() -> None:
    refused = (await ask("refuse"))["choices"][0]
    assert refused["message"]["refusal"]
    assert refused["message"]["content"] is None
    assert refused["finish_reason"] == "stop"
    short = (await ask("length"))["choices"][0]
    assert TEXT.startswith(short["message"]["content"])
    assert short["finish_reason"] == "length"


async def test_json_fits_the_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = await ask("json", response_format=shape)
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"a": 1}
    answer = await ask("json", response_format={"type": "json_object"})
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"echo": USER[0]["content"]}


async def calls(model: str, **fields: Any) -> list[tuple[str, Any]]:
    choice = (await ask(model, **fields))["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    made = [call["function"] for call in choice["message"]["tool_calls"]]
    return [(call["name"], json.loads(call["arguments"])) for call in made]


async def test_tool_calls_the_first_tool() -> None:
    assert await calls("tool", tools=[WEATHER, TIME]) == [("weather", {"city": "echo", "unit": "C"})]
    assert await calls("tool+seed-1", tools=[WEATHER, TIME]) == [("weather", {"city": "canyon", "unit": "F"})]


async def test_tool_n_calls_several() -> None:
    assert [name for name, _ in await calls("tool-2", tools=[WEATHER, TIME])] == ["weather", "time"]
    assert [name for name, _ in await calls("tool-2", tools=[TIME])] == ["time", "time"]
    assert len(await calls("tool-2", tools=[TIME], parallel_tool_calls=False)) == 1


async def test_each_call_has_its_own_id() -> None:
    answer = await ask("tool-2", tools=[TIME], n=2)
    ids = [call["id"] for choice in answer["choices"] for call in choice["message"]["tool_calls"]]
    assert len(set(ids)) == 4


async def test_tool_choice_is_obeyed() -> None:
    named = {"type": "function", "function": {"name": "time"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}
    for choice in (named, allowed):
        assert await calls("tool", tools=[WEATHER, TIME], tool_choice=choice) == [("time", {})]
    assert (await ask("tool", tools=[TIME], tool_choice="none"))["choices"][0]["finish_reason"] == "stop"
    unknown = {"type": "function", "function": {"name": "date"}}
    answer, error = await fail(body("tool", tools=[TIME], tool_choice=unknown))
    assert (answer.status, error["param"]) == (400, "tool_choice")


@pytest.mark.parametrize("tools", [None, [], [{"type": "web_search"}]])
async def test_tool_without_tools_is_an_error(tools: Any) -> None:
    answer, error = await fail(body("tool", tools=tools))
    assert (answer.status, error["param"]) == (400, "tools")


@pytest.mark.parametrize("after", [[], [{"role": "user", "content": "(a reminder)"}]])
async def test_an_agents_loop_ends(after: list[Any]) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "time", "arguments": "{}"}}
    turns = [
        *USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "noon"},
    ]
    answer = await ask("tool", tools=[TIME], messages=turns + after)
    assert answer["choices"][0]["message"]["content"] == "noon"
    again = [*turns, {"role": "assistant", "content": "noon"}, *USER]
    assert await calls("tool", tools=[TIME], messages=again) == [("time", {})]


async def test_a_schema_that_cannot_be_filled_is_an_error_with_its_place() -> None:
    tool = {
        "type": "function",
        "function": {"name": "x", "parameters": {"required": ["y"], "additionalProperties": False}},
    }
    answer, error = await fail(body("tool", tools=[tool]))
    assert (answer.status, error["param"]) == (400, "tools[0].function.parameters")
    assert "`y`" in error["message"]


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503, 529, 599])
@pytest.mark.parametrize("streaming", [False, True])
async def test_error_has_the_status_asked_for(status: int, streaming: bool) -> None:
    answer, error = await fail(body(f"error-{status}", stream=streaming))
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert (error["type"] == "server_error") == (status >= 500)
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)


async def test_error_says_when_to_come_back() -> None:
    answer, error = await fail(body("error-429-retry-30"))
    assert answer.headers["retry-after"] == "30"
    assert error["code"] == "rate_limit_exceeded"
    answer, _ = await fail(body("error-503-retry-0"))
    assert answer.headers["retry-after"] == "0"


BAD_NAMES = (
    "text+bogus text+ text+slow text+slow-x text+rate-0 text+malformed-0 text+slow-1+slow-2 error error-399 error-600 "
    "error-429-retry error-429-retry-x tokens tokens-x tokens-100001 tool-0 tool-x text+cut--1 text+seed-1.5"
).split()


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_a_behaviour_that_makes_no_sense_is_404_with_the_names(name: str) -> None:
    with pytest.raises(UnknownModel):
        behaviour(name)
    answer, error = await fail(body(name))
    assert (answer.status, error["code"], error["param"]) == (404, "model_not_found", "model")
    for word in (*PLAIN, "tokens-N", "error-STATUS", "+slow", "+rate", "+cut", "+stall", "+malformed", "+seed"):
        assert word in error["message"]


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"{", None),
        (b'{"messages":[]}', "model"),
        (b'{"model":"echo"}', "messages"),
        (b'{"model":"echo","messages":[{}]}', "messages[0].role"),
        (b'{"model":"echo","messages":[{"role":"user","content":5}]}', "messages[0].content"),
        (b'{"model":"echo","messages":[{"role":"user","content":"\xff"}]}', None),
        (b'{"model":"echo","messages":[],"n":0}', "n"),
        (b'{"model":"echo","messages":[],"max_tokens":0}', "max_tokens"),
        (b'{"model":"echo","messages":[],"stop":""}', "stop"),
        (
            b'{"model":"echo","messages":[],"tools":[{"function":{"parameters":1,"name":"x"}}]}',
            "tools[0].function.parameters",
        ),
        (b'{"model":"echo","messages":[],"tools":[{"function":{"name":"x","parameters":' + b'{"a":' * 100_000, None),
    ],
)
async def test_a_bad_body_is_a_400(data: bytes, param: str | None) -> None:
    answer, error = await fail(data)
    assert (answer.status, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert param is None or param in error["message"]


@pytest.mark.parametrize(
    ("levels", "allowed"), [(50, {200}), (TOO_DEEP, {400}), *((n, {200, 400}) for n in range(100, 600, 50))]
)
async def test_a_deep_body_is_answered(levels: int, allowed: set[int]) -> None:
    """Whatever gives up first: reading it, filling it, or counting it."""
    parameters = b'{"properties":{"a":' * levels + b"{}" + b"}}" * levels
    tool = b'{"function":{"name":"x","parameters":%b}}' % parameters
    for model in (b"tool", b"text"):
        answer = await send(b'{"model":"%b","messages":[],"tools":[%b]}' % (model, tool))
        assert answer.status in allowed
        assert await answer.read(LIMIT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=8,
)
ODD = st.fixed_dictionaries(
    {"model": st.sampled_from([*PLAIN, "tool-2", "gpt-4o", "x+y"]) | JSON},
    optional={
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "tool"])}, optional={"content": JSON})
        ),
        "tools": st.lists(
            st.fixed_dictionaries({"function": st.fixed_dictionaries({"name": JSON, "parameters": JSON})})
        ),
        "response_format": st.fixed_dictionaries({"json_schema": st.fixed_dictionaries({"schema": JSON})}) | JSON,
        **dict.fromkeys(("stream", "stream_options", "tool_choice", "max_tokens", "n", "stop"), JSON),
    },
)


@given(st.binary(max_size=64) | ODD.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=examples(300), deadline=None)
def test_no_body_raises(data: bytes) -> None:
    async def go() -> None:
        answer = await send(data)
        assert answer.status in (200, 400, 404)
        assert await answer.read(LIMIT)

    asyncio.run(go())


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_cuts_the_answer(key: str) -> None:
    answer = await ask("text", **{key: 5})
    choice = answer["choices"][0]
    assert choice["message"]["content"] == "".join(tokens(TEXT)[:5])
    assert choice["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 5


async def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    choice = (await ask("tokens-5", max_tokens=5))["choices"][0]
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("stop", ["Sam", ["nowhere", "Sam", "你好"]])
async def test_stop_strings_are_obeyed(stop: Any) -> None:
    choice = (await ask("echo", stop=stop))["choices"][0]
    assert choice["message"]["content"] == "Say it again, "
    assert choice["finish_reason"] == "stop"


# --- tokens and determinism ------------------------------------------------------------------------------------------


def _of_many_values(count: int) -> dict[str, Any]:
    return {"type": "array", "minItems": count, "items": {"type": "null"}}


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("tokens-100000", {}),
        ("echo", {"messages": [{"role": "user", "content": "<" * 200_000}]}),
        ("tool-99", {"tools": [{"type": "function", "function": {"name": "f", "parameters": {
            "type": "object", "properties": {"a": _of_many_values(2000)}}}}]}),
    ],
)  # fmt: skip
async def test_no_request_makes_echo_say_more_than_it_ever_says(model: str, fields: dict[str, Any]) -> None:
    """A few bytes could ask for gigabytes, for 128 choices with 99 calls each."""
    for n in (1, 128):
        said = await ask(model, n=n, **fields)
        whole = model == "tokens-100000" and n == 1
        assert 99_000 < said["usage"]["completion_tokens"] <= MOST
        assert {choice["finish_reason"] for choice in said["choices"]} == {"stop" if whole else "length"}


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("tool-99", {"n": 128, "tools": [WEATHER]}),
        ("json", {"response_format": {"type": "json_schema", "json_schema": {"schema": _of_many_values(5000)}}}),
        ("tokens-100000", {}),
        ("echo", {"messages": [{"role": "user", "content": "<" * (LARGE + 1)}]}),
    ],
)
async def test_what_takes_echo_long_keeps_nobody_else_waiting(
    model: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by, joined = [], page._joined

    def noted(pieces: Any) -> Any:
        made_by.append(threading.current_thread())
        return joined(pieces)

    monkeypatch.setattr(page, "_joined", noted)
    await ask(model, **fields)
    assert made_by
    assert threading.main_thread() not in made_by


async def test_a_thousand_stop_strings_are_enough() -> None:
    assert (await ask("text", stop=["no such word"] * 1000))["choices"][0]["message"]["content"] == TEXT
    answer = await send(body("text", stop=["no such word"] * 1001))
    assert answer.status == 400


@given(st.text())
@settings(deadline=None)
def test_tokens_join_to_the_text(text: str) -> None:
    pieces = tokens(text)
    assert "".join(pieces) == text
    assert all(pieces)


def test_the_counting_rule() -> None:
    assert tokens("Hello, wonderful  world!\n") == ["Hello", ",", " wonderfu", "l", "  world", "!", "\n"]


async def test_the_prompt_is_counted_by_the_same_rule() -> None:
    call = {"type": "function", "function": {"name": "time", "arguments": '{"a":1}'}}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look!"}, image]},
        {"role": "assistant", "tool_calls": [call]},
    ]
    answer = await ask("echo", messages=turns)
    assert answer["usage"]["prompt_tokens"] == 3 + (2 + 1) + (1 + 7)
    more = await ask("echo", messages=turns, tools=[TIME])
    spelt = msgspec.json.encode(read(body("echo", tools=[TIME])).tools).decode()[1:-1]
    assert more["usage"]["prompt_tokens"] == 14 + len(tokens(spelt))


@pytest.mark.parametrize("streaming", [False, True])
async def test_the_same_body_gets_the_same_bytes(streaming: bool) -> None:
    data = body("tool-2", tools=[WEATHER], stream=streaming)
    assert await (await send(data)).read(LIMIT) == await (await send(data)).read(LIMIT)


async def test_another_seed_is_another_answer() -> None:
    plain, other = await ask("tokens-5"), await ask("tokens-5+seed-3")
    assert plain["id"] != other["id"]
    assert plain["choices"] != other["choices"]


# --- modifiers -------------------------------------------------------------------------------------------------------


async def test_slow_waits_before_the_first_event() -> None:
    clock = FakeClock()
    answer = await send(body("text+slow-2.5", stream=True), clock)
    assert clock.reached == []
    assert (await answer.chunk()).startswith(b"data: ")
    assert clock.reached == [2.5]


@pytest.mark.parametrize("model", ["text+stall-2", "text+slow-9", "tokens-40+rate-10", "error-503+stall-0"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_may_ask_echo_for_less_time_as_well(model: str, stream: bool) -> None:
    clock = FakeClock()
    answer = await send(body(model, stream=stream), clock, timeout=1.5)
    with pytest.raises(Timeout, match=r"did not end within 1\.5 s") as caught:
        await answer.read(LIMIT)
    assert (caught.value.code, clock.time) == ("total_timeout", 1001.5)


async def test_rate_is_kept_by_deadline() -> None:
    clock = FakeClock()
    answer = await send(body("tokens-4+rate-2+slow-1", stream=True), clock)
    await answer.chunk()
    clock.time += 0.75  # a slow reader
    await answer.read(LIMIT)
    assert clock.reached[:7] == [1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0]  # role, four tokens, the end, [DONE]
    assert clock.time == 1003.0


async def test_rate_counts_the_tokens_of_all_choices() -> None:
    clock = FakeClock()
    await (await send(body("tokens-4+rate-2", n=3), clock)).read(LIMIT)
    assert clock.time == 1006.0


async def test_a_late_beat_does_not_move_those_after_it() -> None:
    beats = list(streamed([Said(b"x", 0), Said(b"x", 1), Said(b"x", 2)], behaviour("text+rate-10")))
    assert [beat.at for beat in beats] == [0.0, 0.1, 0.2]


def test_nothing_comes_after_a_cut_or_a_stall() -> None:
    events = [Said(b"x", 0), Said(b"y", 1), Said(b"z", 2)]
    assert list(streamed(events, behaviour("text+cut-1"))) == [(0.0, b"x"), (0.0, None)]
    assert list(streamed(events, behaviour("text+stall-1"))) == [(0.0, b"x"), (math.inf, None)]


@pytest.mark.parametrize("streaming", [False, True])
async def test_the_loops_own_clock_keeps_order(streaming: bool) -> None:
    echo = Echo("echo")
    data = body("tokens-3+rate-1000+slow-0.001", stream=streaming)
    answer = await echo.send(Outgoing("openai_chat", "", data, streaming, [], "r"))
    assert await answer.read(LIMIT) == await (await send(data)).read(LIMIT)


@pytest.mark.parametrize("number", [0, 1, 3])
async def test_cut_breaks_a_stream_after_event_k(number: int) -> None:
    full, _ = await chunks(await send(body("text", stream=True)))
    answer = await send(body(f"text+cut-{number}", stream=True))
    out, error = await chunks(answer)
    assert [len(event) > 0 for event in out] == [True] * number
    assert [_delta(event) for event in out] == [_delta(event) for event in full[:number]]
    assert error is not None
    assert error.code == "upstream_cut"
    with pytest.raises(Down):
        await answer.chunk()


def _delta(event: bytes) -> Any:
    return json.loads(event.removeprefix(b"data: "))["choices"]


async def test_cut_breaks_a_whole_answer() -> None:
    answer = await send(body("text+cut-9"))
    with pytest.raises(Down) as caught:
        await answer.read(LIMIT)
    assert caught.value.code == "upstream_cut"
    out, error = await chunks(await send(body("text+cut-9")))
    assert error is not None
    assert out[0].startswith(b'{"id":')
    assert await chunks(await send(body("text+cut-0"))) != (out, error)
    assert (await chunks(await send(body("text+cut-0"))))[0] == []


async def test_a_cut_behind_the_end_changes_nothing() -> None:
    _, error = await chunks(await send(body("tokens-1+cut-4", stream=True)))  # role, token, end, [DONE]
    assert error is None
    _, error = await chunks(await send(body("tokens-1+cut-3", stream=True)))
    assert error is not None


@pytest.mark.parametrize(("model", "streaming", "first"), [("text+stall-2", True, 2), ("text+stall-2", False, 1)])
async def test_a_stall_ends_by_abort_and_at_once(model: str, streaming: bool, first: int) -> None:
    echo = Echo("echo")
    answer = await echo.send(Outgoing("openai_chat", "", body(model, stream=streaming), streaming, [], "r"))
    for _ in range(first):
        assert await answer.chunk()
    waiting = asyncio.ensure_future(answer.chunk())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    answer.abort()
    for _ in range(3):
        await asyncio.sleep(0)
    assert waiting.done()
    error = waiting.exception()
    assert isinstance(error, Down)
    assert error.code == "upstream_aborted"


async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    echo = Echo("echo")
    data = body("text+slow-0.02", stream=True)
    answer = await echo.send(Outgoing("openai_chat", "", data, True, [], "r"))
    waiting = asyncio.ensure_future(answer.chunk())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await answer.read(LIMIT) == await (await send(data)).read(LIMIT)


async def test_abort_after_the_end_is_harmless() -> None:
    answer = await send(body("text"))
    await answer.read(LIMIT)
    answer.abort()
    assert await answer.chunk() == b""


async def test_abort_before_the_end_is_not() -> None:
    answer = await send(body("text", stream=True))
    answer.abort()
    _, error = await chunks(answer)
    assert error is not None
    assert error.code == "upstream_aborted"


async def test_malformed_spoils_one_event() -> None:
    out, error = await chunks(await send(body("text+malformed-2", stream=True)))
    assert error is None
    frames = [frame.data for frame in ServerSentEvents().feed(b"".join(out))]
    spoilt = [number for number, frame in enumerate(frames[:-1], 1) if not _is_json(frame)]
    assert spoilt == [2]


async def test_malformed_spoils_a_whole_answer() -> None:
    assert not _is_json(await (await send(body("text+malformed-2"))).read(LIMIT))


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


async def test_a_body_longer_than_allowed_is_let_go() -> None:
    answer = await send(body("text"))
    with pytest.raises(Down) as caught:
        await answer.read(10)
    assert caught.value.code == "upstream_too_long"


async def test_modifiers_hold_for_errors_too() -> None:
    clock = FakeClock()
    answer = await send(body("error-500+slow-3+cut-1"), clock)
    out, error = await chunks(answer)
    assert (answer.status, len(out), clock.time) == (500, 1, 1003.0)
    assert error is not None


# --- values from schemas ---------------------------------------------------------------------------------------------

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
        "twin": {"$ref": "#/$defs/Node"},
    },
    "required": ["value", "next", "children"],
}
PASSWORDS = r"^(?=.*[A-Z])(?=.*\d).+$"
# What z.email() of Zod 4 says beside its format.
ZODS_EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"

FILLED: list[tuple[Any, Any]] = [
    (True, "echo"),
    ({}, "echo"),
    ({"type": "string", "minLength": 6, "maxLength": 6}, "echoec"),
    ({"type": "string", "maxLength": 2}, "ec"),
    ({"type": ["null", "boolean"]}, True),
    ({"type": "null"}, None),
    ({"const": {"a": 1}}, {"a": 1}),
    ({"enum": ["x", "y"]}, "x"),
    ({"type": "string", "enum": [1, "y"]}, "y"),
    ({"type": "integer", "default": 7}, 7),
    ({"type": "integer", "default": "seven"}, 1),
    ({"type": "string", "default": True}, "echo"),
    ({"type": "boolean", "default": False}, False),
    ({"default": False}, False),
    ({"type": "integer", "minimum": 3, "exclusiveMaximum": 5}, 3),
    ({"type": "integer", "exclusiveMinimum": 6, "multipleOf": 2.5}, 10),
    ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, 4),
    ({"type": "integer", "maximum": -3}, -3),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
    ({"type": "number", "minimum": 0.25, "multipleOf": 0.1}, 0.3),
    ({"minimum": 8}, 8),
    ({"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 3}, ["x", "y", "x"]),
    ({"type": "array", "maxItems": 0}, []),
    ({"prefixItems": [{"type": "integer"}, {"type": "null"}]}, [1, None]),
    ({"type": "array", "items": [{"type": "null"}, {"type": "integer"}]}, [None, 2]),
    ({"properties": {"a": {"type": "null"}, "b": False}, "required": ["c"]}, {"a": None, "c": "echo"}),
    ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "echo"),
    ({"oneOf": [False, {"const": 2}], "title": "x"}, 2),
    ({"allOf": [{"$ref": "#/$defs/A"}, {"minLength": 5}], "$defs": {"A": {"type": "string"}}}, "echoe"),
    ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 3}}}, 3),
    ({"$ref": "#/$defs/Node", "$defs": {"Node": NODE}}, {"value": 1, "next": None, "children": []}),
    ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000000"),
    ({"type": "string", "format": "date-time"}, "2025-01-01T12:00:00Z"),
    ({"type": "string", "format": "email"}, "ada@example.com"),
    ({"type": "string", "format": "of-ours"}, "echo"),
    ({"type": "string", "pattern": r"^[A-Z]{3}-\d{2}$"}, "AAA-00"),
    ({"type": "string", "pattern": r"^[A-Z]{3}-\d+$", "minLength": 6, "maxLength": 10}, "AAA-00"),
    ({"type": "string", "pattern": ZODS_EMAIL, "format": "email"}, "ada@example.com"),
    ({"type": "string", "pattern": PASSWORDS, "examples": [1, "Passw0rd"], "minLength": 8}, "Passw0rd"),
    ({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$", "format": "date"}, "2025-01-01"),
    ({"type": "string", "pattern": r"^\d\d:\d\d$", "format": "time"}, "00:00"),
    ({"type": "string", "pattern": r"^.{20}$", "format": "date-time", "maxLength": 19}, "e" * 20),
    ({"type": "integer", "minimum": 1 - 2**53, "maximum": 2**53 - 1}, 1),
    ({"type": "integer", "minimum": 1 - 2**53, "maximum": 0}, 1 - 2**53),
    ({"additionalProperties": {"type": "null"}, "minProperties": 2}, {"echo": None, "canyon": None}),
    ({"properties": {"echo": {"const": 1}}, "minProperties": 2}, {"echo": 1, "canyon": "echo"}),
    ({"minProperties": 2, "propertyNames": {"enum": ["x", "y"]}, "type": "object"}, {"x": "echo", "y": "echo"}),
    ({"minProperties": 2, "propertyNames": {"pattern": "^[a-z]+$"}, "type": "object"}, {"a": "echo", "aa": "echo"}),
    ({"propertyNames": False, "type": "object"}, {}),
    (
        {"patternProperties": {"^x-": {"const": 2}}, "additionalProperties": False, "minProperties": 1},
        {"x-": 2},
    ),
    ({"type": "integer", "multipleOf": 5, "minimum": 1 - 2**53, "maximum": 2**53 - 1}, 5),
    ({"$ref": "#/$defs/Part%3CA%3E", "$defs": {"Part<A>": {"const": 4}}}, 4),
]


@pytest.mark.parametrize(("schema", "value"), FILLED)
def test_a_schema_is_filled(schema: Any, value: Any) -> None:
    assert fill(schema) == value


@pytest.mark.parametrize(
    ("parts", "value"),
    [
        ([{"minimum": 3}, {"minimum": 5}], 5),
        ([{"exclusiveMinimum": 5}, {"exclusiveMinimum": 3}], 6),
        ([{"maximum": -3}, {"maximum": -5}], -5),
        ([{"maximum": -5}, {"maximum": -3}], -5),
        ([{"type": "string", "maxLength": 2}, {"maxLength": 3}], "ec"),
        ([{"type": "array", "items": {"const": 0}, "minItems": 1}, {"minItems": 2}], [0, 0]),
        ([{"enum": ["x", 1, [2]]}, {"enum": [[2], "y", 1]}], 1),
        ([{"enum": ["x", "y"]}, {"enum": ["y"]}], "y"),
        ([{"type": "string"}, {"type": "integer"}], 1),  # what cannot be joined is as the last one says
        ([{"maximum": "3"}, {"maximum": -3}], -3),
        ([{"title": "a"}, True, {"title": "b", "const": 5}], 5),
    ],
)
def test_what_several_parts_say_is_said_by_all(parts: list[Any], value: Any) -> None:
    assert fill({"allOf": parts}) == value


def test_parts_of_allof_join() -> None:
    schema = {
        "allOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}],
        "$defs": {
            "A": {"properties": {"a": {"type": "integer", "minimum": 5}}, "required": ["a", "c"]},
            "B": {"properties": {"a": {"minimum": 3, "maximum": 5}, "b": {"enum": [3, 4]}}, "required": ["b"]},
        },
    }
    assert fill(schema, 1) == {"a": 5, "b": 4, "c": "canyon"}


def _doubling(steps: int) -> dict[str, Any]:
    """Each definition needs the next one twice: 2**steps values."""
    defs: dict[str, Any] = {f"D{steps}": {"type": "null"}}
    for step in range(steps):
        both = {name: {"$ref": f"#/$defs/D{step + 1}"} for name in "xy"}
        defs[f"D{step}"] = {"properties": both, "required": ["x", "y"]}
    return {"$ref": "#/$defs/D0", "$defs": defs}


def _deep(levels: int) -> Any:
    schema: Any = {"type": "null"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema, "minItems": 1}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        False,
        5,
        {"type": "date"},
        {"type": 5},
        {"enum": []},
        {"allOf": [{"enum": [1]}, {"enum": [2]}]},
        {"allOf": [{"type": "integer", "minimum": 2}, {"maximum": 3}, {"maximum": 1}]},
        {"anyOf": []},
        {"anyOf": "x"},
        {"properties": []},
        {"$ref": "#"},
        {"$ref": 5},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.com/schema"},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "integer", "minimum": "2"},
        {"type": "integer", "multipleOf": 0},
        {"type": "number", "minimum": 10**400},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "minLength": -1},
        {"type": "array", "minItems": 10**9},
        {"type": "array", "items": {"type": "string", "minLength": 90_000}, "minItems": 5_000},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "string", "pattern": "(?=a)b", "examples": [1]},
        {"type": "string", "pattern": "(?=a)b", "examples": "ab"},
        {"type": "string", "pattern": "a*", "minLength": 10**9},
        {"additionalProperties": False, "minProperties": 1},
        {"type": "object", "minProperties": 10**9},
        {"type": "object", "minProperties": 1, "propertyNames": {"const": []}},
        {"type": "string", "pattern": "a|" * LONGEST},
        {"required": ["a"], "additionalProperties": False},
        _doubling(40),
        _deep(5_000),
    ],
)
def test_a_schema_that_cannot_be_filled_says_why(schema: Any) -> None:
    with pytest.raises(Unfillable) as caught:
        fill(schema)
    assert caught.value.why


@given(
    JSON | st.dictionaries(st.sampled_from(["type", "properties", "items", "enum", "$ref", "anyOf", "minimum"]), JSON)
)
@settings(deadline=None)
def test_no_schema_raises_anything_else(schema: Any) -> None:
    with suppress(Unfillable):
        fill(schema, 3)


PATTERNS = [
    r"^\d{4}-\d{2}$",
    r"^#[0-9a-f]{6}$",
    r"[^\s@]+@[a-z]{2,}\.com",
    "a|b",
    r"(?<x>ab)+c*d?",
    r"(?:\.|x){2}",
    r"\u0041\$",
    "{a}",
]


OTHERS = ["", "^$", "[\u4e00-\u9fff]{2}", "[]a]", r"[\]]", "a{0}b{0,3}", "x{,3}"]
ESCAPES = [r"\u00e9", r"\xe9", r"[\u4e00-\u9fa5]+", r"[\ud800-\udfff\u00e8]", r"[^\x00-\x7f]"]


@pytest.mark.parametrize("pattern", [*PATTERNS, *OTHERS, *ESCAPES])
def test_a_pattern_is_matched(pattern: str) -> None:
    assert re.search(pattern.replace("?<", "?P<"), sample(pattern))


BEYOND = ["(", ")", "[", "*", "a**", r"\1", r"\p{L}", "\\", "[z-a]", "[[a]", "((a{99999}){99}){99}"]


@pytest.mark.parametrize("pattern", [*BEYOND, r"[^\s\S]", r"\ud800"])
def test_a_pattern_beyond_echo_says_so(pattern: str) -> None:
    with pytest.raises(Unreadable):
        sample(pattern)


def test_what_may_be_absent_is_there_once_where_it_may_repeat() -> None:
    assert sample("a*b+c?d{0,3}e{0}f{2}g{3,}") == "abdffggg"


@pytest.mark.parametrize(
    ("pattern", "least", "most", "text"),
    [
        ("^[a-z0-9-]+$", 3, 40, "aaa"),
        ("^(ab){1,4}c?$", 6, 6, "ababab"),
        ("^(ab)*x*$", 0, 2, "x"),
        ("^x{2,}y*$", 0, 2, "xx"),
        ("^((a{2}){2}b?)*$", 8, 9, "aaaaaaaa"),
        ("^[a-z]+@(?:[a-z]+\\.)+com$", 20, None, "a" * 14 + "@a.com"),
        ("^$|^(ab)+$", 3, None, "abab"),
        ("^$|^(ab)+$", 0, None, ""),
        ("^a{2}$|^b$", 3, None, "aa"),  # no text of that length
        ("^a{3,1}$", 9, None, "aaa"),
        ("[A-Z]", 8, None, "AAAAAAAA"),  # some part of the text
        ("(?:)", 2, None, "ee"),
    ],
)
def test_a_pattern_is_matched_by_a_text_of_the_length(pattern: str, least: int, most: int | None, text: str) -> None:
    assert sample(pattern, least, most) == text


MATCHED = ["^$|^ab*$", "(a|b)+?c", r"^\w{2,3}$", "b$", r"\bab", "^(a{0,2}){2}c", "^(?:a?){3}b$"]


@pytest.mark.parametrize("pattern", [*MATCHED, "", "a{2,}", "^(a*)*$", ".", r"ab\b"])
@pytest.mark.parametrize("text", ["a", "ab", "abb", "aac", "abc", "aaab", "b", "b ab"])
def test_a_known_text_is_taken_where_it_matches(pattern: str, text: str) -> None:
    assert (sample(pattern, known=text) == text) == bool(re.search(pattern, text))


def test_a_long_pattern_is_not_matched_for_ever() -> None:
    known = "0" * 30 + "1"
    assert sample("^" + "0?" * 9 + "0*1$", known=known) == known
    assert sample("^" + "0?" * 9_000 + "1$", known=known) == "1"


def simple_schemas() -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(_leaves(), _branches, max_leaves=10)


def _leaves() -> st.SearchStrategy[dict[str, Any]]:
    sizes = st.tuples(st.integers(-50, 50), st.integers(0, 50))
    return st.one_of(
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": [1]}, {"enum": ["a", 2, None]}]),
        sizes.map(lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[0] + pair[1]}),
        sizes.map(
            lambda pair: {"type": "number", "exclusiveMinimum": pair[0] / 8, "maximum": pair[0] / 8 + 1 + pair[1]}
        ),
        st.integers(1, 9).map(lambda step: {"type": "integer", "multipleOf": step}),
        sizes.map(lambda pair: {"type": "string", "minLength": abs(pair[0]), "maxLength": abs(pair[0]) + pair[1]}),
    )


def _branches(each: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    properties = st.dictionaries(st.sampled_from("abc"), each)
    return st.one_of(
        properties.map(lambda made: {"type": "object", "properties": made, "required": sorted(made)[:1]}),
        st.tuples(each, st.integers(0, 3)).map(lambda pair: {"type": "array", "items": pair[0], "minItems": pair[1]}),
        st.lists(each, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
    )


def faults(schema: dict[str, Any], value: Any) -> Iterator[str]:
    """A small validator, of what `simple_schemas` uses."""
    if "anyOf" in schema:
        if all(list(faults(part, value)) for part in schema["anyOf"]):
            yield f"{value!r} fits none of {schema}"
        return
    if "const" in schema or "enum" in schema:
        if value not in schema.get("enum", [schema.get("const")]):
            yield f"{value!r} is not in {schema}"
        return
    match schema["type"], value:
        case "object", dict():
            yield from (f"{name} is missing" for name in schema["required"] if name not in value)
            yield from (f"{name} is not filled" for name in schema["properties"] if name not in value)
            for name in value.keys() & schema["properties"].keys():
                yield from faults(schema["properties"][name], value[name])
        case "array", list():
            if len(value) < schema["minItems"]:
                yield "too few items"
            for item in value:
                yield from faults(schema["items"], item)
        case "string", str() if schema["minLength"] <= len(value) <= schema["maxLength"]:
            return
        case ("null", None) | ("boolean", bool()):
            return
        case ("integer", int()) | ("number", int() | float()) if not isinstance(value, bool) and _fits(schema, value):
            return
        case _:
            yield f"{value!r} does not fit {schema}"


def _fits(schema: dict[str, Any], value: float) -> bool:
    least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    in_steps = "multipleOf" not in schema or value % schema["multipleOf"] == 0
    return bool(least <= value <= most and value > schema.get("exclusiveMinimum", -math.inf) and in_steps)


@given(simple_schemas(), st.integers(0, 10**9))
@settings(deadline=None)
def test_what_fills_a_schema_fits_it(schema: dict[str, Any], seed: int) -> None:
    assert list(faults(schema, fill(schema, seed))) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"model":"echo","messages":[{"role":1}]}', "messages[0].role must be a string, not an integer."),
        (b'{"model":"echo","messages":"x"}', "messages must be an array, not a string."),
        (b'{"model":"echo"}', "messages is missing."),
        (b'{"model":"echo","messages":[],"n":0}', "n must be an integer >= 1."),
        (b'{"model":"echo","messages":[],"n":1.5}', "n must be an integer, not a decimal number."),
        (b'{"model":"echo","messages":[],"stop":1}', "stop must be a string or an array, not an integer."),
        (b"[]", "The request body must be an object, not an array."),
    ],
)
def test_the_error_of_an_unreadable_body_is_declared_in_plain_words(data: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(data)
    assert caught.value.message == message
