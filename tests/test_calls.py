"""Does each result meet its call, and each call its tool, where two wires do not take the same ids and names?"""

import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import registry
from proxy.canon import Image, Inline, Request, Text, Tool, ToolCall, ToolChoice, ToolResult, Turn
from proxy.lanes.naming import named
from proxy.lanes.pairing import pair
from proxy.ports import ToolNames
from tests.client import ANTHROPIC, OPENAI, Speech, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion

ODD = "files.read/all"
LONG = "a_tool_of_a_server_with_a_name_that_is_very_long_indeed_" + "x" * 20
WIRES = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "ollama", "cohere")


def spoken(*parts: ToolCall | ToolResult | Text) -> list[Turn]:
    """A turn for each run of the assistant's parts, and of the user's."""
    turns: list[Turn] = []
    for part in parts:
        role: Any = "assistant" if isinstance(part, ToolCall) else "user"
        if not turns or turns[-1].role != role:
            turns.append(Turn(role=role, parts=[]))
        turns[-1].parts.append(part)
    return turns


def call(name: str, tool: str = "f") -> ToolCall:
    return ToolCall(id=name, name=tool, arguments="{}")


def result(name: str, text: str = "") -> ToolResult:
    return ToolResult(id=name, parts=[Text(text=text)])


def ids(turns: Sequence[Turn]) -> list[str]:
    return [part.id for turn in turns for part in turn.parts if isinstance(part, ToolCall | ToolResult)]


# --- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "paired"),
    [
        ([call("a"), call("b"), result("b"), result("a")], "a b b a"),
        ([call("a"), call("a"), result("a"), result("a")], "a a_2 a a_2"),
        ([call("a"), result("a"), call("a"), result("a")], "a a a_2 a_2"),
        ([call("a"), call("a_2"), call("a"), result("a"), result("a_2"), result("a")], "a a_2 a_3 a a_2 a_3"),
        ([call(""), call(""), result(""), result("")], "call_1 call_2 call_1 call_2"),
        ([call("a"), call("a"), result("a"), call("a"), result("a")], "a a_2 a a_3 a_3"),  # one was never answered
        ([call("a"), Text(text="Never mind"), call("a"), result("a")], "a a_2 a_2"),  # nor was this one
        ([call("a"), call("b"), call("b"), result("a"), result("a"), result("b")], "a b b_2 a b"),
        ([result("a"), call("a"), call("a")], "a a a_2"),
    ],
)
def test_each_call_has_an_id_of_its_own_and_each_result_its_calls(
    parts: list[ToolCall | ToolResult | Text], paired: str
) -> None:
    turns = spoken(*parts)
    pair(turns)
    assert ids(turns) == paired.split()


def image(data: str) -> Image:
    return Image(source=Inline(data=data, media_type="image/png"))


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ([result("a"), result("b"), result("a"), result("b")], "0 1"),
        # What a result comes with comes again, too, and what is new stays where it is.
        ([result("a"), image("AA=="), result("b"), result("a"), image("AA=="), Text(text="Go on.")], "0 1 2 5"),
        ([result("a", "an error"), result("a", "at last")], "0 1"),  # they say different things
        ([Text(text="Go on."), result("a"), Text(text="Go on."), result("b")], "0 1 2 3"),
    ],
)
def test_a_result_that_is_told_twice_in_one_turn_is_told_once(said: list[Any], left: str) -> None:
    turns = [Turn(role="assistant", parts=[call("a"), call("b")]), Turn(role="user", parts=list(said))]
    pair(turns)
    assert turns[1].parts == [said[int(place)] for place in left.split()]


def test_two_calls_of_one_id_keep_their_equal_results() -> None:
    turns = spoken(call("a"), call("a"), result("a", "sunny"), result("a", "sunny"), result("a", "sunny"))
    pair(turns)
    assert ids(turns) == "a a_2 a a_2".split()


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["", "a", "a_2", "call_1"])), max_size=12))
def test_no_two_calls_share_an_id_and_those_before_stay_as_they_were(said: list[tuple[bool, str]]) -> None:
    parts = [call(name) if calls else result(name) for calls, name in said]
    turns = spoken(*parts)
    pair(turns)
    made = [part.id for turn in turns for part in turn.parts if isinstance(part, ToolCall)]
    assert len(made) == len(set(made))
    assert "" not in made
    pair(turns)  # what a client has once been told stays
    assert [part.id for turn in turns for part in turn.parts if isinstance(part, ToolCall)] == made


@pytest.mark.parametrize("name", ["", "a"])
def test_a_long_conversation_under_one_id_costs_each_call_the_same(name: str) -> None:
    def lines(calls: int) -> int:
        turns = spoken(*[part for _ in range(calls) for part in (call(name), result(name))])
        return lines_run(lambda: pair(turns))

    assert lines(400) < 3 * lines(200)


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python it takes."""
    count, before = 0, sys.gettrace()

    def heard(*_: object) -> Any:
        nonlocal count
        count += 1
        return heard

    sys.settrace(heard)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def calling(*calls: tuple[str, str], stream: bool) -> bytes:
    """A host of chat completions calls these: an id, and a tool."""
    told = [
        {"index": number, "id": name, "type": "function", "function": {"name": tool, "arguments": f'{{"x":{number}}}'}}
        for number, (name, tool) in enumerate(calls)
    ]
    kind = "chat.completion.chunk" if stream else "chat.completion"
    choice = {"index": 0, "delta" if stream else "message": {"role": "assistant", "content": None, "tool_calls": told}}
    said = {
        "id": "c1",
        "object": kind,
        "created": 1,
        "model": "m",
        "choices": [choice | {"finish_reason": "tool_calls"}],
    }
    return b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(said).encode() if stream else json.dumps(said).encode()


def answering(*calls: tuple[str, str], stream: bool) -> Scenario:
    kind = "text/event-stream" if stream else "application/json"
    return Scenario(headers=[("content-type", kind)], body=calling(*calls, stream=stream))


def of_claude(stream: bool, tool: str = "f", **fields: Any) -> bytes:
    tools = [{"name": tool, "input_schema": {"type": "object"}}]
    return ANTHROPIC.request(stream, "openai/m", tools=tools, **fields)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_by_ids_can_tell_two_calls_of_one_id_apart(stream: bool) -> None:
    """Of one answer, and of the conversation."""
    before = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "call_0", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_0", "content": "done"}]},
    ]
    scenario = answering(("call_0", "f"), ("call_0", "f"), stream=stream)
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", "/v1/messages", of_claude(stream, messages=before))
    assert re.findall(rb'"id": ?"(call_[^"]*)"', got.body) == [b"call_0_2", b"call_0_3"]


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_without_an_id_are_each_given_one_of_the_clients_wire(stream: bool) -> None:
    """Gemini's older models give none."""
    calls = [{"functionCall": {"name": "f", "args": {}}}] * 2
    said = json.dumps({"candidates": [{"content": {"parts": calls}, "finishReason": "STOP"}]}).encode()
    kind, body = ("text/event-stream", b"data: %b\n\n" % said) if stream else ("application/json", said)
    scenario = Scenario(headers=[("content-type", kind)], body=body)
    async with (
        Evil(scenario) as evil,
        pillion(GEMINI_API_KEY="k", PILLION_GEMINI_BASE_URL=evil.url) as gateway,
    ):
        tools = [{"name": "f", "input_schema": {"type": "object"}}]
        got = await ask(gateway, "POST", "/v1/messages", ANTHROPIC.request(stream, "gemini/m", tools=tools))
    ids = re.findall(rb'"id": ?"(toolu_[^"]+)"', got.body)
    assert (len(ids), len(set(ids))) == (2, 2)


async def test_what_a_client_repeats_under_one_id_reaches_claude_under_two() -> None:
    """A conversation that was another host's, and goes on there."""
    said = [{"id": "same", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": said * 2},
        {"role": "tool", "tool_call_id": "same", "content": "first"},
        {"role": "tool", "tool_call_id": "same", "content": "second"},
    ]
    answer = Scenario(headers=[("content-type", "application/json")], body=ANTHROPIC.whole)
    async with Evil(answer) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        await ask(gateway, "POST", OPENAI.path, OPENAI.request(model="anthropic/claude-x", messages=messages))
        sent = json.loads((await evil.received()).body)["messages"]
    assert [block["id"] for block in sent[1]["content"]] == ["same", "same_2"]
    told = [(block["tool_use_id"], block["content"][0]["text"]) for block in sent[2]["content"]]
    assert told == [("same", "first"), ("same_2", "second")]


async def test_what_gemini_cli_tells_twice_in_a_resumed_chat_reaches_claude_once() -> None:
    parts = [
        {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "an image"}}},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
    ]
    contents = [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "f", "args": {}}}]},
        {"role": "user", "parts": parts * 2},
        {"role": "model", "parts": [{"text": "Done."}]},
        {"role": "user", "parts": [{"text": "Again"}]},
    ]
    answer = Scenario(headers=[("content-type", "application/json")], body=ANTHROPIC.whole)
    async with Evil(answer) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        path = "/v1beta/models/anthropic/claude-x:generateContent"
        got = await ask(gateway, "POST", path, json.dumps({"contents": contents}).encode())
        sent = json.loads((await evil.received()).body)["messages"]
    assert (got.status, got.header("x-pillion-dropped")) == (200, None)
    assert [block["type"] for block in sent[2]["content"]] == ["tool_result", "image"]


# --- names -----------------------------------------------------------------------------------------------------------


def asked(*names: str, wire: str = "elsewhere") -> Request:
    return Request(
        wire=wire,
        model="m",
        tools=[Tool(name=name) for name in names],
        tool_choice=ToolChoice("required", among=names),
        turns=spoken(Text(text="Hi"), *(call(f"c{number}", name) for number, name in enumerate(names))),
    )


@pytest.mark.parametrize("wire", WIRES)
@given(
    st.lists(st.one_of(st.text("a.-_é/ 1", min_size=1), st.sampled_from([LONG, LONG + "x", "a" * 200])), unique=True)
)
def test_tools_of_any_names_have_names_that_the_wire_takes_each_its_own(wire: str, names: list[str]) -> None:
    dialect = registry.dialect(wire)
    request, known = named(asked(*names), dialect)
    said = [tool.name for tool in request.tools]
    assert [known.get(name, name) for name in said] == names
    assert len(set(said)) == len(names)
    assert dialect.tool_names is None or all(map(dialect.tool_names.takes, said))
    assert request.tool_choice == ToolChoice("required", among=tuple(said))
    assert [part.name for turn in request.turns for part in turn.parts if isinstance(part, ToolCall)] == said


@pytest.mark.parametrize(
    ("wire", "name", "said"),
    [
        ("openai_chat", ODD, "files_read_all"),
        ("openai_responses", LONG, "a_tool_of_a_server_with_a_name_that_is_very_long_indeed_4efca888"),
        ("anthropic", LONG, LONG),
        ("anthropic", ODD, "files_read_all"),
        ("bedrock", ODD, "files_read_all"),
        ("gemini", "files.read:all", "files.read:all"),
        ("gemini", "2nd/one", "_nd_one"),
        ("ollama", ODD, ODD),
        ("cohere", ODD, ODD),
    ],
)
def test_a_name_stays_as_like_itself_as_it_can(wire: str, name: str, said: str) -> None:
    request, _ = named(asked(name), registry.dialect(wire))
    assert request.tools[0].name == said


def test_of_a_name_of_megabytes_only_the_beginning_is_respelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one call of C, during which nobody else can run: a second for six megabytes."""
    read: list[int] = []

    class Odd:
        search = staticmethod(re.compile("[^a-z0-9_]").search)

        @staticmethod
        def sub(by: str, text: str) -> str:
            read.append(len(text))
            return re.sub("[^a-z0-9_]", by, text)

    rule = ToolNames(cast(re.Pattern[str], Odd), longest=64)
    anthropic = registry.dialect("anthropic")
    monkeypatch.setattr(type(anthropic), "tool_names", rule)
    request = Request(wire="openai_chat", model="m", turns=[], tools=[Tool(name="é" * 1024 * 1024)])
    (name,) = named(request, anthropic)[1]
    assert rule.takes(name)
    assert max(read) <= 65


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_finds_its_tool_under_the_name_that_it_offered(stream: bool) -> None:
    scenario = answering(("c1", "files_read_all"), stream=stream)
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        choice = {"type": "tool", "name": ODD}
        got = await ask(gateway, "POST", "/v1/messages", of_claude(stream, ODD, tool_choice=choice))
        sent = json.loads((await evil.received()).body)
    assert sent["tools"][0]["function"]["name"] == sent["tool_choice"]["function"]["name"] == "files_read_all"
    assert re.findall(rb'"name": ?"([^"]*)"', got.body) == [ODD.encode()]


async def test_a_tool_that_is_on_offer_no_more_is_called_by_its_name_as_well() -> None:
    """Converse takes no conversation of calls without their tools, so that they stay on offer there."""
    said = {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "files_read_all", "input": {}}}]}
    body = {"output": {"message": said}, "stopReason": "tool_use", "usage": {}, "metrics": {"latencyMs": 1}}
    answer = Scenario(headers=[("content-type", "application/json")], body=json.dumps(body).encode())
    function = {"name": ODD, "arguments": "{}"}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]
    environ = {"AWS_BEARER_TOKEN_BEDROCK": "x", "AWS_REGION": "us-east-1"}
    async with Evil(answer) as evil, pillion(PILLION_BEDROCK_BASE_URL=evil.url, **environ) as gateway:
        asking = OPENAI.request(model="bedrock/amazon.nova-lite-v1:0", messages=messages)
        got = await ask(gateway, "POST", OPENAI.path, asking)
        sent = json.loads((await evil.received()).body)
    assert sent["toolConfig"]["tools"][0]["toolSpec"]["name"] == "files_read_all"
    assert json.loads(got.body)["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == ODD


async def test_a_name_is_counted_as_it_is_asked() -> None:
    answer = Scenario(headers=[("content-type", "application/json")], body=b'{"input_tokens":7}')
    question = {
        "generateContentRequest": {
            "model": "models/anthropic/claude-x",
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "tools": [{"functionDeclarations": [{"name": "files.read"}]}],
        },
    }
    async with Evil(answer) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        path = "/v1beta/models/anthropic/claude-x:countTokens"
        got = await ask(gateway, "POST", path, json.dumps(question).encode())
        sent = json.loads((await evil.received()).body)
    assert json.loads(got.body)["totalTokens"] == 7
    assert sent["tools"][0]["name"] == "files_read"


# --- ids that a wire does not take -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["c|1", "functions.get weather:0", "ü" * 10, "x" * 41, "x" * 65, "toolu_01AbC"])
def test_a_call_and_its_result_meet_under_an_id_that_the_wire_takes(wire: str, name: str) -> None:
    fits = registry.dialect(wire).call_ids
    request = Request(wire="elsewhere", model="m", turns=spoken(call(name), result(name)))
    made = ids(named(request, registry.dialect(wire))[0].turns)
    assert made[0] == made[1]
    assert (made[0] == name) == (fits is None or fits.fullmatch(name) is not None)
    assert fits is None or fits.fullmatch(made[0])


@pytest.mark.parametrize("wire", ["anthropic", "bedrock_invoke"])
def test_claude_is_told_no_id_with_dots_or_colons(wire: str) -> None:
    """Which Converse takes."""
    request = Request(wire="elsewhere", model="m", turns=spoken(call("functions.f:0"), result("functions.f:0")))
    (made,) = set(ids(named(request, registry.dialect(wire))[0].turns))
    assert re.fullmatch("[a-zA-Z0-9_-]+", made)


CLAUDES = "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
OPENAIS = "Invalid 'messages[1].tool_calls[0].id': string too long. Expected a string with maximum length 40."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("speech", "name", "words"), [(ANTHROPIC, "functions.f:0", CLAUDES), (OPENAI, "c" * 41, OPENAIS)]
)
async def test_what_another_wires_host_has_called_reaches_the_clients_own_at_the_second_try(
    speech: Speech, name: str, words: str, stream: bool
) -> None:
    """Its body passes through, with an id that another host gave to an earlier answer, and is refused."""
    call = {"id": name, "type": "function", "function": {"name": "f.x", "arguments": "{}"}}
    chats: dict[str, list[Any]] = {
        OPENAI.name: [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": name, "content": "1"},
        ],
        ANTHROPIC.name: [
            {"role": "assistant", "content": [{"type": "tool_use", "id": name, "name": "f.x", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": name, "content": "1"}]},
        ],
    }
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": words}}
    refused = Scenario(status=400, headers=[("content-type", "application/json")], body=json.dumps(error).encode())
    kind = "text/event-stream" if stream else "application/json"
    answer = Scenario(headers=[("content-type", kind)], body=speech.stream if stream else speech.whole)

    def host(request: Received) -> Scenario:
        return refused if name.encode() in request.body else answer

    async with Evil(answering=host) as evil, pillion(**speech.environ(evil.url)) as gateway:
        said = [{"role": "user", "content": "Hi"}, *chats[speech.name]]
        body = speech.request(stream, f"{speech.provider}/m", messages=said)
        got = await ask(gateway, "POST", speech.path, body)
        assert (got.status, got.header("x-pillion-dropped")) == (200, None)
        first, second = evil.requests
    assert name.encode() in first.body
    assert len(set(re.findall(rb"call_[0-9a-f]{24}", second.body))) == 1
    assert second.body.count(b"f.x") == 1  # nothing else changes


async def test_what_cannot_be_sent_again_is_refused_in_the_hosts_own_words() -> None:
    """A body that passes through may hold what we cannot read, and the client is told what is wrong with its id."""
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": CLAUDES}}
    refused = Scenario(status=400, headers=[("content-type", "application/json")], body=json.dumps(error).encode())
    async with Evil(answering=lambda _: refused) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        said = [{"role": "of_next_year", "content": "Hi"}]
        got = await ask(gateway, "POST", ANTHROPIC.path, ANTHROPIC.request(model="anthropic/m", messages=said))
        assert (got.status, ANTHROPIC.error(got.body)["message"]) == (400, CLAUDES)
        assert len(evil.requests) == 1


async def test_a_request_without_such_an_id_is_not_sent_for_ever() -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": CLAUDES}}
    refused = Scenario(status=400, headers=[("content-type", "application/json")], body=json.dumps(error).encode())
    async with Evil(answering=lambda _: refused) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", ANTHROPIC.path, ANTHROPIC.request(model="anthropic/m"))
        assert got.status == 400
        assert len(evil.requests) == 2


# --- a host that takes no ids but its own kind -----------------------------------------------------------------------

HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_abcdefgh", "type": "function", "function": {"name": "f.x", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_abcdefgh", "content": "done"},
]


@pytest.mark.parametrize("stream", [False, True])
async def test_mistral_goes_on_with_what_another_host_has_called(stream: bool) -> None:
    """By a client of its own wire, as after a failover, and by one of another."""
    scenario = answering(("abcdefghi", "f"), stream=stream)
    environ = {"MISTRAL_API_KEY": "x"}
    async with (
        Evil(answering=lambda _: scenario) as evil,
        pillion(PILLION_MISTRAL_BASE_URL=evil.url, **environ) as gateway,
    ):
        body = OPENAI.request(stream, "mistral/m", messages=HISTORY, safe_prompt=True)
        got = await ask(gateway, "POST", OPENAI.path, body)
        assert (got.status, b"abcdefghi" in got.body) == (200, True)
        block = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
        before = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [block]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"}]},
        ]
        claudes = ANTHROPIC.request(stream, "mistral/m", messages=before)
        assert (await ask(gateway, "POST", ANTHROPIC.path, claudes)).status == 200
        own, other = [json.loads(request.body) for request in evil.requests]
    assert own["safe_prompt"] is True
    assert own["messages"][1]["tool_calls"][0]["function"] == {"name": "f.x", "arguments": "{}"}
    for asked in (own, other):
        (made,) = {call["id"] for call in asked["messages"][1]["tool_calls"]}
        assert re.fullmatch("[a-zA-Z0-9]{9}", made)
        assert asked["messages"][2]["tool_call_id"] == made


@pytest.mark.parametrize("name", ["call_0", ""])
async def test_mistral_can_tell_two_calls_of_one_id_apart_as_well(name: str) -> None:
    """Which a client of its own wire brings with it."""
    said = {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    done = {"role": "tool", "tool_call_id": name, "content": "done"}
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [said, said]}, done, done]
    answer = Scenario(headers=[("content-type", "application/json")], body=OPENAI.whole)
    async with Evil(answer) as evil, pillion(PILLION_MISTRAL_BASE_URL=evil.url, MISTRAL_API_KEY="x") as gateway:
        await ask(gateway, "POST", OPENAI.path, OPENAI.request(model="mistral/m", messages=messages))
        sent = json.loads((await evil.received()).body)["messages"]
    made = [call["id"] for call in sent[1]["tool_calls"]]
    assert len(set(made)) == 2
    assert [message["tool_call_id"] for message in sent[2:]] == made


async def test_mistral_is_told_of_a_call_without_a_result_by_an_id_that_it_takes() -> None:
    """As where the user goes on without it. What is else called an id is nobody's business."""
    messages = [*HISTORY[:2], {"role": "user", "content": "Never mind"}]
    answer = Scenario(headers=[("content-type", "application/json")], body=OPENAI.whole)
    async with Evil(answer) as evil, pillion(PILLION_MISTRAL_BASE_URL=evil.url, MISTRAL_API_KEY="x") as gateway:
        body = OPENAI.request(model="mistral/m", messages=messages, metadata={"id": "mine"})
        assert (await ask(gateway, "POST", OPENAI.path, body)).status == 200
        sent = json.loads((await evil.received()).body)
    (made,) = sent["messages"][1]["tool_calls"]
    assert re.fullmatch("[a-zA-Z0-9]{9}", made["id"])
    assert sent["metadata"] == {"id": "mine"}


async def test_what_mistral_itself_has_called_passes_untouched() -> None:
    history = json.loads(json.dumps(HISTORY).replace("call_abcdefgh", "AbCdEfGh1"))
    history[1]["tool_calls"][0]["function"]["arguments"] = '{"id": "mine"}'
    said = json.dumps(history)
    body = b'{"model":"mistral/m",  "messages":%b}' % said.encode()
    answer = Scenario(headers=[("content-type", "application/json")], body=OPENAI.whole)
    async with Evil(answer) as evil, pillion(PILLION_MISTRAL_BASE_URL=evil.url, MISTRAL_API_KEY="x") as gateway:
        assert (await ask(gateway, "POST", OPENAI.path, body)).status == 200
        assert (await evil.received()).body == body.replace(b"mistral/m", b"m")
