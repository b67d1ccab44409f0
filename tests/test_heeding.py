"""Is a host that refuses a knob by its name asked again without it, and the client told what was left out?"""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from proxy.canon import Reasoning, Request, Text, Tool, ToolChoice, Turn, Way
from proxy.errors import Refused
from proxy.lanes import heeding, lessons
from proxy.lanes.heeding import LIFE, Heeding
from tests.client import ANTHROPIC, OPENAI, Got, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.test_spoken import JSON

MESSAGES, RESPONSES, CHAT = "/v1/messages", "/v1/responses", "/v1/chat/completions"
TOOL = {"name": "f", "input_schema": {"type": "object"}}
TEXT = {"type": "text", "text": "Hello"}

Body = dict[str, Any]
Check = Callable[[Body], str | None]


# --- what hosts say --------------------------------------------------------------------------------------------------

SAID = [
    ("Unrecognized request argument supplied: store", ["store"]),
    ("Unrecognized request arguments supplied: user, seed", ["user", "seed"]),
    ("Model incompatible request arguments supplied: temperature, top_p", ["temperature", "top_p"]),
    ("Unknown parameter: 'verbosity'.", ["verbosity"]),
    ("Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.",
     ["temperature"]),
    ("Argument not supported on this model: presencePenalty", ["presence_penalty"]),
    ("Model grok-4 does not support parameter reasoningEffort.", ["reasoning"]),
    ("`logprobs` is not supported with this model", ["logprobs", "top_logprobs"]),
    ("`reasoning_effort` must be one of `none` or `default`", ["reasoning"]),
    ("property 'prompt_cache_key' is unsupported", ["prompt_cache_key"]),
    ("body.store: property 'body.store' is unsupported", ["store"]),
    ("reasoning_effort: 'reasoning_effort' is not supported for this model", ["reasoning"]),
    ("Extra inputs are not permitted, field: 'store', value: False", ["store"]),
    ("[{'type': 'extra_forbidden', 'loc': ('body', 'store'), 'msg': 'Extra inputs are not permitted'}]", ["store"]),
    ("body.user: Extra inputs are not permitted; body.seed: Extra inputs are not permitted", ["user", "seed"]),
    ("body.tools.0.function.strict: Extra inputs are not permitted", ["tool.strict"]),
    ("reasoning_effort is not enabled for this model", ["reasoning"]),
    ("Extra parameters ['user', 'seed'] are not allowed when extra-parameters is not set", ["user", "seed"]),
    ("Validation: Unsupported parameter(s): `parallel_tool_calls`", ["parallel_tools"]),
    ('Invalid JSON payload received. Unknown name "seed": Cannot find field.', ["seed"]),
    ("invalid temperature: only 1 is allowed for this model", ["temperature"]),
    ("<400> The tool_choice parameter does not support being set to required or object in thinking mode",
     ["tool_choice"]),
    ("deepseek-reasoner does not support this tool_choice", ["tool_choice"]),
    ("tool_choice 'required' is incompatible with thinking enabled", ["tool_choice"]),
    ('"llama3.2" does not support thinking', ["reasoning"]),
    ("Thinking is not enabled for models/gemini-2.0-flash", ["reasoning"]),
    ("Penalty is not enabled for models/gemini-2.5-flash", ["frequency_penalty", "presence_penalty"]),
    ("Penalty is not enabled for this model", ["frequency_penalty", "presence_penalty"]),
    ("Logprobs is not enabled for models/gemini-2.5-pro", ["logprobs", "top_logprobs"]),
    ("adaptive thinking is not supported on this model", ["reasoning"]),
    ("This model doesn't support the toolConfig.toolChoice.any field. Remove toolConfig.toolChoice.any and try again.",
     ["tool_choice"]),
    ("This model doesn't support the topP field. Remove topP and try again.", ["top_p"]),
    ("The model returned the following errors: Malformed input request: #: extraneous key [reasoning_config] is not"
     " permitted, please reformat your input and try again.", ["reasoning"]),
    ("`temperature` is deprecated for this model.", ["temperature"]),
    ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", ["top_p"]),
    ("Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with length 150"
     " instead.", ["user"]),
    ("Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length 6 instead.",
     ["stop"]),
    ("Invalid 'metadata.a': string too long. Expected a string with maximum length 512, but got a string with length"
     " 600 instead.", ["metadata"]),
    ('Invalid JSON payload received. Unknown name "labels": Cannot find field.', ["metadata"]),
    ("The 'metadata' parameter is only allowed when 'store' is enabled.", ["metadata"]),
]  # fmt: skip
NOT_FOR_US = [
    "body.messages.0.user.name: Extra inputs are not permitted",
    "The `reasoning_content` in the thinking mode must be passed back to the API.",
    "body.tools.0.function.parameters: Extra inputs are not permitted",
    "`tools` is not supported with this model",
    "Unknown parameter: 'messages'.",
    "This response_format type is unavailable now",
    "The user is not supported",
    "temperature must be at most 2",
    "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 200.",
    "Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64.",
    "This model doesn't support the toolConfig field. Remove toolConfig and try again.",
    "",
]


def everything() -> Request:
    """Says all that may be refused."""
    return Request(
        wire="w",
        model="m",
        turns=[Turn(role="user", parts=[Text(text="Hi")])],
        tools=[Tool(name="f", strict=False), Tool(name="g")],
        tool_choice=ToolChoice("required"),
        parallel_tools=False,
        reasoning=Reasoning(effort="high"),
        temperature=0.2,
        top_p=0.9,
        seed=1,
        frequency_penalty=0.1,
        presence_penalty=0.1,
        logprobs=True,
        top_logprobs=2,
        user="u",
        stop=["x"],
        metadata={"a": "b"},
        store=False,
        prompt_cache_key="k",
        verbosity="low",
    )


def refusal(message: str, status: int = 400) -> Refused:
    return Refused(message, status=status, upstream_status=status)


@pytest.mark.parametrize(("message", "fields"), SAID)
def test_what_a_host_names_is_left_out(message: str, fields: list[str]) -> None:
    heard, request = Heeding(), everything()
    assert heard.heard(refusal(message), request, "host", "wire")
    assert sorted(heard.fit(request, "host", "wire")) == sorted(fields)
    untouched = everything()
    gone = {field for field in Request.__struct_fields__ if getattr(request, field) != getattr(untouched, field)}
    assert gone == {"tools" if field == "tool.strict" else field for field in fields}
    assert not heard.heard(refusal(message), request, "host", "wire")  # it says that no longer


@pytest.mark.parametrize(
    ("message", "way"),
    [
        ("Developer instruction is not enabled for models/gemma-3-27b-it", "uninstructed"),
        ("JSON mode is not enabled for models/gemma-3-27b-it", "shapeless"),
    ],
)
def test_what_gemma_lacks_is_said_in_another_way(message: str, way: Way) -> None:
    heard, request = Heeding(), everything()
    assert heard.heard(refusal(message), request, "host", "wire")
    assert heard.fit(request, "host", "wire") == []
    assert request.ways == {way}
    assert not heard.heard(refusal(message), request, "host", "wire")


@pytest.mark.parametrize("message", NOT_FOR_US)
def test_content_and_what_is_no_knob_stay(message: str) -> None:
    assert not Heeding().heard(refusal(message), everything(), "host", "wire")


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_only_a_refusal_of_the_request_counts(status: int) -> None:
    assert not Heeding().heard(refusal(SAID[0][0], status), everything(), "host", "wire")


def test_none_of_the_tools_may_be_called_stays() -> None:
    request = everything()
    request.tool_choice = ToolChoice("none")
    assert not Heeding().heard(refusal("deepseek-reasoner does not support this tool_choice"), request, "host", "wire")


def test_what_happens_anyway_goes_without_a_receipt() -> None:
    heard, request = Heeding(), everything()
    request.tool_choice = ToolChoice("auto")
    words = (
        "This model doesn't support the toolConfig.toolChoice.auto field. Remove toolConfig.toolChoice.auto and try."
    )
    assert heard.heard(refusal(words), request, "host", "wire")
    assert heard.fit(request, "host", "wire") == []
    assert request.tool_choice is None


def test_a_value_that_was_refused_says_nothing_of_another() -> None:
    heard, request = Heeding(), everything()
    assert heard.heard(refusal("`reasoning_effort` must be one of `none` or `default`"), request, "host", "wire")
    other = everything()
    other.reasoning = Reasoning(effort="none")
    assert heard.fit(other, "host", "wire") == []
    assert other.reasoning is not None


def test_the_operators_temperature_goes_without_a_receipt() -> None:
    heard, request = Heeding(), everything()
    request.hinted = True
    assert heard.heard(refusal("`temperature` is deprecated for this model."), request, "host", "wire")
    assert heard.fit(request, "host", "wire") == []
    assert request.temperature is None


def test_it_is_remembered_by_host_model_and_wire_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("proxy.lanes.heeding.time.monotonic", lambda: now)
    heard = Heeding()
    assert heard.heard(refusal("Unknown parameter: 'user'."), everything(), "host", "wire")
    for place in (("other", "wire"), ("host", "other")):
        assert heard.fit(everything(), *place) == []
    now = LIFE - 1
    assert heard.fit(everything(), "host", "wire") == ["user"]
    now = LIFE + 1
    assert heard.fit(everything(), "host", "wire") == []


def test_what_is_remembered_is_bounded() -> None:
    heard = Heeding()
    for number in range(1000):
        request = everything()
        request.model = f"m{number}"
        assert heard.heard(refusal("Unknown parameter: 'user'."), request, "host", "wire")
    assert len(heard.lessons) <= heeding.REMEMBERED


def test_so_are_the_values_that_a_model_was_refused() -> None:
    heard = Heeding()
    for number in range(1000):
        request = everything()
        request.temperature = number / 1000
        words = "Unsupported value: 'temperature' does not support this with this model."
        assert heard.heard(refusal(words), request, "host", "wire")
        assert heard.fit(request, "host", "wire") == ["temperature"]
    (lessons,) = heard.lessons.values()
    assert len(lessons) <= heeding.LESSONS


def test_a_long_value_is_remembered_by_something_short() -> None:
    heard, request = Heeding(), everything()
    request.user = "u" * 10**6
    assert heard.heard(refusal("Invalid 'user': string too long."), request, "host", "wire")
    assert len(repr(heard.lessons)) < 1000
    assert heard.fit(request, "host", "wire") == ["user"]
    assert heard.fit(everything(), "host", "wire") == []


def test_every_way_has_words_for_the_log() -> None:
    assert set(lessons._NOT_THIS_WAY) == set(get_args(Way))


def test_the_log_names_what_is_refused_and_repeats_no_value(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pillion")
    request = everything()
    request.temperature = 0.123
    words = "Unknown parameter: 'user'. Unsupported value: 'temperature' does not support 0.123 with this model."
    assert Heeding().heard(refusal(words), request, "host", "wire")
    (line,) = caplog.records
    assert (line.levelname, line.__dict__["event"]) == ("INFO", "heeded")
    assert line.getMessage() == (
        f"host refused a request for {request.model} because of this temperature, user: "
        "it is asked again without that, and so are others for an hour"
    )


# --- seen from outside -----------------------------------------------------------------------------------------------


class Host:
    """It answers what passes its check, and refuses all else in these words."""

    def __init__(self, check: Check, status: int = 400) -> None:
        self._check = check
        self._status = status
        self.bodies: list[Body] = []

    def __call__(self, request: Received) -> Scenario:
        self.bodies.append(body := json.loads(request.body))
        if (words := self._check(body)) is None:
            live = body.get("stream")
            headers = [("content-type", "text/event-stream")] if live else JSON
            return Scenario(body=OPENAI.stream if live else OPENAI.whole, headers=headers)
        error = {"error": {"message": words, "type": "invalid_request_error", "param": None, "code": None}}
        return Scenario(status=self._status, body=json.dumps(error).encode(), headers=JSON)


def lacks(*fields: str) -> Check:
    return lambda body: next((f"Unknown parameter: '{field}'." for field in fields if field in body), None)


def at(url: str, **more: Any) -> dict[str, str]:
    return {**OPENAI.environ(url), "PILLION_OPENAI_DIALECTS": "openai_chat", **more}


async def claude(gateway: Gateway, **fields: Any) -> Got:
    return await ask(gateway, "POST", MESSAGES, ANTHROPIC.request(model="openai/m", **fields))


def dropped(got: Got) -> list[str]:
    assert got.status == 200, got.body
    return [name for name in (got.header("x-pillion-dropped") or "").split(", ") if name]


async def test_a_host_that_refuses_two_knobs_is_asked_without_them_and_at_once_from_then_on() -> None:
    host = Host(lacks("user", "reasoning_effort"))
    asked = {"metadata": {"user_id": "u"}, "thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 1}
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        assert dropped(await claude(gateway, **asked)) == ["metadata.user_id", "thinking"]
        assert len(host.bodies) == 3
        assert dropped(await claude(gateway, **asked)) == ["metadata.user_id", "thinking"]
        assert len(host.bodies) == 4
        assert host.bodies[-1].keys() == {"model", "messages", "max_tokens", "temperature"}


async def test_strict_refuses_what_the_host_does_not_take() -> None:
    host = Host(lacks("user"))
    async with Evil(answering=host) as evil, pillion(**at(evil.url, PILLION_STRICT="1")) as gateway:
        got = await claude(gateway, metadata={"user_id": "u"})
        assert got.status == 400
        assert "metadata.user_id" in ANTHROPIC.error(got.body)["message"]
        assert len(host.bodies) == 1


async def test_a_client_of_the_hosts_own_wire_reads_the_hosts_own_words() -> None:
    host = Host(lacks("user"))
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        got = await ask(gateway, "POST", CHAT, OPENAI.request(model="openai/m", user="u"))
        assert (got.status, OPENAI.error(got.body)["message"]) == (400, "Unknown parameter: 'user'.")
        assert len(host.bodies) == 1


@pytest.mark.parametrize(("model", "wanted"), [("prod", "max_completion_tokens"), ("gpt-5.1", "max_tokens")])
async def test_a_limit_goes_by_the_name_that_the_host_wants(model: str, wanted: str) -> None:
    """Azure's deployments have names of their own."""
    other = "max_tokens" if wanted == "max_completion_tokens" else "max_completion_tokens"
    words = f"Unsupported parameter: '{other}' is not supported with this model. Use '{wanted}' instead."
    host = Host(lambda body: words if other in body else None)
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        got = await ask(gateway, "POST", MESSAGES, ANTHROPIC.request(model=f"openai/{model}"))
        assert dropped(got) == []
        assert host.bodies[-1][wanted] == host.bodies[0][other]
        assert len(host.bodies) == 2


async def test_a_host_that_takes_neither_name_has_the_last_word() -> None:
    host = Host(lacks("max_tokens", "max_completion_tokens"))
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        assert (await claude(gateway)).status == 400
        assert len(host.bodies) == 2


async def test_a_stream_is_not_asked_for_its_usage_where_that_is_refused() -> None:
    host = Host(lacks("stream_options"))
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        assert dropped(await claude(gateway, stream=True)) == []
        assert ["stream_options" in body for body in host.bodies] == [True, False]


async def test_nor_is_one_that_passes_through() -> None:
    host = Host(lacks("stream_options"))
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        for _ in range(2):
            got = await ask(gateway, "POST", CHAT, OPENAI.request(model="openai/m", stream=True))
            assert (got.status, got.body) == (200, OPENAI.stream)
        assert ["stream_options" in body for body in host.bodies] == [True, False, False]
        own = OPENAI.request(model="openai/m", stream=True, stream_options={"include_usage": True})
        assert (await ask(gateway, "POST", CHAT, own)).status == 400
        assert len(host.bodies) == 4


DEVELOPER = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
REFUSED = [
    "Failed to deserialize the JSON body into the target type: messages[0].role: unknown variant `developer`, expected"
    " one of `system`, `user`, `assistant`, `tool` at line 1 column 85",
    "body.messages.0: Input tag 'developer' found using 'role' does not match any of the expected tags: 'assistant'",
    "developer is not one of ['system', 'assistant', 'user', 'tool', 'function'] - 'messages.0.role'",
    "Invalid request: unsupported role ROLE_UNSPECIFIED",
]


@pytest.mark.parametrize("words", REFUSED)
@pytest.mark.parametrize(("path", "key"), [(CHAT, "messages"), (RESPONSES, "input")])
async def test_a_developer_is_the_system_where_a_host_has_none(path: str, key: str, words: str, tmp_path: Path) -> None:
    """On its own wire as well: an app need not know which hosts have followed OpenAI."""
    host = Host(lambda body: words if "developer" in json.dumps(body) else None)
    text = "providers:\n  host: {base_url: %s/v1, dialects: [openai_chat, openai_responses]}"
    async with Evil(answering=host) as evil, pillion(**config_file(text % evil.url, tmp_path)) as gateway:
        body = json.dumps({"model": "host/m", key: DEVELOPER, "store": False}).encode()
        for _ in range(2):
            assert dropped(await ask(gateway, "POST", path, body)) == []
        roles = [[message["role"] for message in body[key]] for body in host.bodies]
        assert roles == [["developer", "user"], ["system", "user"], ["system", "user"]]
        assert host.bodies[-1]["store"] is False
        calm = json.dumps({"model": "host/m", key: DEVELOPER[1:]}).encode()
        await ask(gateway, "POST", path, calm)
        assert evil.requests[-1].body == calm.replace(b"host/m", b"m")


async def test_on_its_own_wire_a_stream_with_a_developer_is_not_asked_for_its_usage_again() -> None:
    def check(body: Body) -> str | None:
        return REFUSED[0] if "developer" in json.dumps(body) else lacks("stream_options")(body)

    host = Host(check)
    asked = OPENAI.request(model="openai/m", stream=True, messages=DEVELOPER)
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        for _ in range(2):
            assert dropped(await ask(gateway, "POST", CHAT, asked)) == []
        assert ["stream_options" in body for body in host.bodies] == [True, True, False, False]
        own = OPENAI.request(model="openai/m", stream=True, messages=DEVELOPER, stream_options={"include_usage": True})
        assert (await ask(gateway, "POST", CHAT, own)).status == 400


async def test_a_developer_is_the_system_where_the_body_must_change_for_another_reason(tmp_path: Path) -> None:
    """Another host's call ids, at Mistral."""
    host = Host(lambda body: REFUSED[1] if "developer" in json.dumps(body) else None)
    call = {"id": "call_from_elsewhere", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    told = [
        *DEVELOPER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "20"},
    ]
    text = "providers:\n  host: {base_url: %s/v1, call_id_length: 9}"
    async with Evil(answering=host) as evil, pillion(**config_file(text % evil.url, tmp_path)) as gateway:
        for _ in range(2):
            assert dropped(await ask(gateway, "POST", CHAT, OPENAI.request(model="host/m", messages=told))) == []
        got = await ask(gateway, "POST", CHAT, OPENAI.request(model="host/m", messages=told, user="u"))
        assert dropped(got) == []
    assert [body["messages"][0]["role"] for body in host.bodies] == ["developer", "system", "system", "system"]
    assert host.bodies[-1]["user"] == "u"


# Groq, Cerebras, Mistral, NVIDIA, OpenAI and those that speak like it.
THOUGHTLESS = [
    "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property 'reasoning_content'"
    " is unsupported)]",
    "messages.2.assistant.reasoning_content: property 'messages.2.assistant.reasoning_content' is unsupported",
    "body.messages.1.assistant.reasoning_details: Extra inputs are not permitted",
    "[{'type': 'extra_forbidden', 'loc': ('body', 'messages', 1, 'assistant', 'reasoning_content'), 'msg': 'Extra"
    " inputs are not permitted', 'input': 'Hm'}]",
    "Unknown parameter: 'messages[1].reasoning_content'.",
    "Additional properties are not allowed ('reasoning_content' was unexpected) - 'messages.1'",
]


@pytest.mark.parametrize("words", THOUGHTLESS)
@pytest.mark.parametrize("thought", ["Hm", None])
async def test_on_its_own_wire_a_host_that_takes_no_thoughts_is_told_none(words: str, thought: str | None) -> None:
    """An app has them from us where another model answered before, and sends the message back as it came. vLLM's
    messages have an empty one, whose loss is none.
    """
    host = Host(lambda body: words if "reasoning_" in json.dumps(body) else None)
    said: Body = {"role": "assistant", "content": "Hello", "reasoning_content": thought}
    if thought:
        said["reasoning_details"] = [{"type": "reasoning.text", "text": thought, "index": 0}]
    messages = [{"role": "user", "content": "Hi"}, said, {"role": "user", "content": "Again"}]
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        for _ in range(2):
            got = await ask(gateway, "POST", CHAT, OPENAI.request(model="openai/m", messages=messages, user="u"))
            assert (got.status, dropped(got)) == (200, ["messages.reasoning_content"] if thought else [])
        assert [body["messages"][1] == said for body in host.bodies] == [True, False, False]
        assert host.bodies[-1]["messages"][1] == {"role": "assistant", "content": "Hello"}
        assert host.bodies[-1]["user"] == "u"
        calm = OPENAI.request(model="openai/m", messages=messages[:1], reasoning={"effort": "low"})
        await ask(gateway, "POST", CHAT, calm)
        assert evil.requests[-1].body == calm.replace(b"openai/m", b"m")


async def test_strict_keeps_the_thoughts_that_a_host_refuses() -> None:
    host = Host(lambda body: THOUGHTLESS[0] if "reasoning_" in json.dumps(body) else None)
    said = {"role": "assistant", "content": "Hello", "reasoning_content": "Hm"}
    asked = OPENAI.request(model="openai/m", messages=[said, {"role": "user", "content": "Again"}])
    async with Evil(answering=host) as evil, pillion(**at(evil.url, PILLION_STRICT="1")) as gateway:
        got = await ask(gateway, "POST", CHAT, asked)
        assert (got.status, len(host.bodies)) == (400, 1)
        assert "reasoning_content" in got.body.decode()


async def test_a_host_that_is_said_to_take_thoughts_and_takes_none_is_told_none(tmp_path: Path) -> None:
    host = Host(lambda body: THOUGHTLESS[0] if "reasoning_" in json.dumps(body) else None)
    text = "providers:\n  host: {base_url: %s/v1, thoughts: taken}"
    said = {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": ""}, TEXT]}
    messages = [{"role": "user", "content": "Hi"}, said, {"role": "user", "content": "Again"}]
    async with Evil(answering=host) as evil, pillion(**config_file(text % evil.url, tmp_path)) as gateway:
        got = await ask(gateway, "POST", MESSAGES, ANTHROPIC.request(model="host/m", messages=messages))
        assert (got.status, dropped(got)) == (200, ["messages.thinking"])
        assert ["reasoning_" in json.dumps(body) for body in host.bodies] == [True, False]


def unbridged(body: Body) -> str | None:
    roles = [message["role"] for message in body["messages"]]
    return "Unexpected role 'user' after role 'tool'" if ("tool", "user") in pairwise(roles) else None


def of_parts(body: Body) -> str | None:
    lists = any(isinstance(message["content"], list) for message in body["messages"])
    return "messages[0].content: invalid type: sequence, expected a string" if lists else None


@pytest.mark.parametrize(
    "words",
    [
        "System message must be at the beginning.",  # Qwen's template, at whichever host
        "invalid params, invalid chat setting (2013)",  # MiniMax, of two at the beginning
        "invalid params, chat content has invalid message role: system (2013)",
    ],
)
async def test_a_system_that_must_come_first_does(words: str) -> None:
    """Codex has instructions, and a developer in the beginning and later."""
    host = Host(lambda body: words if "system" in [message["role"] for message in body["messages"]][1:] else None)
    asked = {"model": "openai/m", "instructions": "Code.", "input": [*DEVELOPER, DEVELOPER[0]]}
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        assert dropped(await ask(gateway, "POST", RESPONSES, json.dumps(asked).encode())) == ["input.role"]
        assert host.bodies[-1]["messages"] == [
            {"role": "system", "content": "Code.\n\nBe brief."},
            {"role": "user", "content": "Hi"},
            {"role": "user", "content": "Be brief."},
        ]


CALLED = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "20"},
            {"type": "text", "text": "one"},
            {"type": "text", "text": "two"},
        ],
    },
]


async def test_a_host_that_wants_its_models_turn_behind_results_gets_one() -> None:
    """Mistral. Claude Code says something behind most results."""
    host = Host(unbridged)
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        assert dropped(await claude(gateway, messages=CALLED, tools=[TOOL])) == ["messages.role"]
        roles = [message["role"] for message in host.bodies[-1]["messages"]]
        assert roles == ["user", "assistant", "tool", "assistant", "user"]
        assert dropped(await claude(gateway, messages=CALLED[:1])) == []
        assert len(host.bodies) == 3


async def test_a_host_that_wants_tools_beside_calls_gets_those_that_were_called() -> None:
    """Anthropic. An app's last request of a loop often offers none, so that the model answers in words."""
    words, bodies = "Requests which include `tool_use` or `tool_result` blocks must define tools.", list[Body]()

    def answer(request: Received) -> Scenario:
        bodies.append(body := json.loads(request.body))
        if "tools" in body or b"tool_use" not in request.body:
            return Scenario(body=ANTHROPIC.whole, headers=JSON)
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": words}}
        return Scenario(status=400, body=json.dumps(error).encode(), headers=JSON)

    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = [*CALLED[:1], {"role": "assistant", "tool_calls": [call, {**call, "id": "b"}]}]
    said += [{"role": "tool", "tool_call_id": name, "content": "20"} for name in "ab"]
    async with Evil(answering=answer) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        for _ in range(2):
            body = OPENAI.request(model="anthropic/claude-x", messages=said)
            assert dropped(await ask(gateway, "POST", OPENAI.path, body)) == ["tools"]
        assert dropped(await ask(gateway, "POST", OPENAI.path, OPENAI.request(model="anthropic/claude-x"))) == []
        own = ANTHROPIC.request(model="anthropic/claude-x", messages=CALLED)
        assert (await ask(gateway, "POST", MESSAGES, own)).status == 400
    assert [len(body.get("tools", ())) for body in bodies] == [0, 1, 1, 0, 0]
    assert (bodies[1]["tools"][0]["name"], bodies[1]["tool_choice"]) == ("f", {"type": "none"})


async def test_a_host_that_takes_only_strings_gets_them() -> None:
    host = Host(of_parts)
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        assert dropped(await claude(gateway, messages=CALLED, tools=[TOOL])) == []
        assert host.bodies[-1]["messages"][-1]["content"] == "one\n\ntwo"


async def test_a_host_that_takes_no_choice_of_one_tool_is_offered_no_other() -> None:
    """LM Studio."""
    words = "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"
    host = Host(lambda body: words if isinstance(body.get("tool_choice"), dict) else None)
    asked: Body = {"tools": [TOOL, TOOL | {"name": "g"}], "tool_choice": {"type": "tool", "name": "g"}}
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        assert dropped(await claude(gateway, **asked)) == ["tools"]
        assert [tool["function"]["name"] for tool in host.bodies[-1]["tools"]] == ["g"]
        assert host.bodies[-1]["tool_choice"] == "required"


async def test_a_host_that_takes_json_only_by_a_schema_gets_one() -> None:
    """LM Studio."""
    words = "'response_format.type' must be 'json_schema' or 'text'"
    host = Host(lambda body: words if body.get("response_format") == {"type": "json_object"} else None)
    asked = {"input": "Hi", "text": {"format": {"type": "json_object"}}}
    async with Evil(answering=host) as evil, pillion(**at(evil.url)) as gateway:
        got = await ask(gateway, "POST", RESPONSES, json.dumps({"model": "openai/m", **asked}).encode())
        assert dropped(got) == []
        named = {"name": "response", "schema": {"type": "object"}}
        assert host.bodies[-1]["response_format"] == {"type": "json_schema", "json_schema": named}


NO_WORD = (
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
    "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.",
)


@pytest.mark.parametrize(("words", "dialects"), [(NO_WORD[0], "openai_chat"), (NO_WORD[1], "openai_responses")])
async def test_json_without_the_word_for_it_is_asked_for_by_a_schema(words: str, dialects: str) -> None:
    """Google's and Ollama's clients need not say the word, and OpenAI wants it in a message."""
    host = Host(lambda body: words if "json_object" in json.dumps(body) else None)
    asked = json.dumps({"model": "openai/m", "messages": [{"role": "user", "content": "Hi"}], "format": "json"})
    async with Evil(answering=host) as evil, pillion(**at(evil.url, PILLION_OPENAI_DIALECTS=dialects)) as gateway:
        await ask(gateway, "POST", "/api/chat", asked.encode())
        assert len(host.bodies) == 2
        form = host.bodies[-1].get("response_format") or host.bodies[-1]["text"]["format"]
        assert form["type"] == "json_schema"
        assert form.get("json_schema", form)["schema"] == {"type": "object"}


async def test_the_responses_api_is_heeded_too(tmp_path: Path) -> None:
    text = "providers:\n  host: {base_url: %s/v1, dialects: [openai_responses]}"
    host = Host(lambda body: "Model m does not support parameter reasoningEffort." if "reasoning" in body else None)
    async with Evil(answering=host) as evil, pillion(**config_file(text % evil.url, tmp_path)) as gateway:
        asked: Body = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
        await ask(gateway, "POST", MESSAGES, ANTHROPIC.request(model="host/m", **asked))
        assert ["reasoning" in body for body in host.bodies] == [True, False]


# --- a host that the client has not named ----------------------------------------------------------------------------

ROUTE = "routes: {smart: {targets: [openai/m, mistral/m]}}\n"


async def routed(folder: Path, first: Host, second: Host, *bodies: Body, **more: str) -> list[Got]:
    """The answers to these, asked of a route to two hosts of the client's own wire."""
    (folder / "config.yaml").write_text(ROUTE)
    async with Evil(answering=first) as one, Evil(answering=second) as two:
        environ = at(one.url, PILLION_CONFIG=str(folder / "config.yaml"), **more)
        environ |= {"MISTRAL_API_KEY": "key", "PILLION_MISTRAL_BASE_URL": f"{two.url}/v1"}
        async with pillion(**environ) as gateway:
            asked = [OPENAI.request(model=body.get("model", "smart"), **_rest(body)) for body in bodies]
            return [await ask(gateway, "POST", CHAT, each) for each in asked]


def _rest(body: Body) -> Body:
    return {name: value for name, value in body.items() if name != "model"}


def down(body: Body) -> str:
    return "Over and out."


@pytest.mark.parametrize("stream", [False, True])
async def test_a_target_that_stands_in_need_not_take_what_the_client_said(stream: bool, tmp_path: Path) -> None:
    first, second = Host(down, 500), Host(lacks("user", "seed"))
    asked = {"user": "u", "seed": 1, "stream": stream, "temperature": 0.5}
    got, again = await routed(tmp_path, first, second, asked, asked, PILLION_FAILOVER_RETRY_MAX_RETRIES="0")
    assert dropped(got) == dropped(again) == ["seed", "user"]
    assert len(second.bodies) == 4  # two that are refused, and those that are not
    assert second.bodies[-1]["temperature"] == 0.5
    assert second.bodies[-1].keys() & {"user", "seed"} == set()


async def test_nor_need_the_first_target_of_a_route(tmp_path: Path) -> None:
    first, second = Host(lacks("user"), 422), Host(lacks())
    (got,) = await routed(tmp_path, first, second, {"user": "u"})
    assert dropped(got) == ["user"]
    assert (len(first.bodies), len(second.bodies)) == (2, 0)


async def test_who_has_named_a_host_reads_its_words_whatever_a_route_has_learnt(tmp_path: Path) -> None:
    first, second = Host(lacks("user")), Host(lacks())
    routed_, named = await routed(tmp_path, first, second, {"user": "u"}, {"user": "u", "model": "openai/m"})
    assert dropped(routed_) == ["user"]
    assert (named.status, OPENAI.error(named.body)["message"]) == (400, "Unknown parameter: 'user'.")
    assert second.bodies == []


async def test_strict_has_a_route_ask_the_next_target_for_what_the_first_refuses(tmp_path: Path) -> None:
    first, second = Host(lacks("user")), Host(lacks())
    (got,) = await routed(tmp_path, first, second, {"user": "u"}, PILLION_STRICT="1")
    assert dropped(got) == []
    assert (len(first.bodies), second.bodies[0]["user"]) == (1, "u")


@pytest.mark.parametrize("said", ["upstream: openai/prod\n", "aliases: {gpt-4o: openai/prod}\n"])
async def test_nor_has_a_client_named_what_the_operator_has_swapped_in(said: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(said)
    host = Host(lacks("seed"))
    environ = {"PILLION_CONFIG": str(tmp_path / "config.yaml")}
    async with Evil(answering=host) as evil, pillion(**at(evil.url, **environ)) as gateway:
        got = await ask(gateway, "POST", CHAT, OPENAI.request(model="gpt-4o", seed=1))
        assert dropped(got) == ["seed"]
        assert [body["model"] for body in host.bodies] == ["prod", "prod"]


async def test_who_asks_for_the_very_model_that_the_operator_chose_has_named_it() -> None:
    host = Host(lacks("seed"))
    async with Evil(answering=host) as evil, pillion(**at(evil.url, PILLION_UPSTREAM="openai/gpt-4o")) as gateway:
        got = await ask(gateway, "POST", CHAT, OPENAI.request(model="gpt-4o", seed=1))
        assert (got.status, OPENAI.error(got.body)["message"]) == (400, "Unknown parameter: 'seed'.")


@pytest.mark.parametrize(
    ("refused", "taken"),
    [("max_completion_tokens", "max_tokens"), ("max_tokens", "max_completion_tokens")],
)
async def test_who_has_not_named_it_has_the_limit_said_by_the_hosts_own_name(refused: str, taken: str) -> None:
    host = Host(lambda body: f"Unsupported parameter: '{refused}' is not supported." if refused in body else None)
    async with Evil(answering=host) as evil, pillion(**at(evil.url, PILLION_UPSTREAM="openai/prod")) as gateway:
        limit: Body = {refused: 7}
        got = await ask(gateway, "POST", CHAT, OPENAI.request(model="gpt-4o", **limit))
        assert dropped(got) == []
        assert (host.bodies[-1].get(taken), len(host.bodies)) == (7, 2)
        calm = OPENAI.request(model="gpt-4o", of_its_own=[1.0])  # it says no limit, and so goes as it is
        await ask(gateway, "POST", CHAT, calm)
        assert evil.requests[-1].body == calm.replace(b"gpt-4o", b"prod")


async def test_a_body_without_what_is_refused_goes_as_it_is() -> None:
    host = Host(lacks("seed"))
    async with Evil(answering=host) as evil, pillion(**at(evil.url, PILLION_UPSTREAM="openai/prod")) as gateway:
        assert dropped(await ask(gateway, "POST", CHAT, OPENAI.request(model="gpt-4o", seed=1))) == ["seed"]
        calm = OPENAI.request(model="gpt-4o", temperature="0.5", of_its_own=[1.0])
        await ask(gateway, "POST", CHAT, calm)
        assert evil.requests[-1].body == calm.replace(b"gpt-4o", b"prod")


@pytest.mark.parametrize(
    "said",
    [{"thinking": {"type": "enabled"}}, {"reasoning": {"effort": "low", "exclude": True}}],
    ids=lambda it: next(iter(it)),
)
async def test_no_word_of_reasoning_stays_where_it_is_refused(said: Body) -> None:
    host = Host(lacks("thinking", "reasoning"))
    async with Evil(answering=host) as evil, pillion(**at(evil.url, PILLION_UPSTREAM="openai/prod")) as gateway:
        assert dropped(await ask(gateway, "POST", CHAT, OPENAI.request(model="gpt-4o", **said))) == [*said]
        assert host.bodies[-1].keys().isdisjoint(("thinking", "reasoning"))


async def test_a_rehearsal_knows_what_was_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("upstream: openai/prod\n")
    host = Host(lacks("seed"))
    environ = {"PILLION_CONFIG": str(tmp_path / "config.yaml")}
    async with Evil(answering=host) as evil, pillion(**at(evil.url, **environ)) as gateway:
        asked = OPENAI.request(model="gpt-4o", seed=1)
        assert dropped(await ask(gateway, "POST", CHAT, asked)) == ["seed"]
        rehearsed = await ask(gateway, "POST", "/v1/explain?path=/v1/chat/completions", asked)
        assert json.loads(rehearsed.body)["request"]["dropped"] == ["seed"]
