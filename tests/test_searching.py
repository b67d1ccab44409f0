"""Does a search of the web cross: asked for on one wire, made by another vendor, and told in the client's own words?"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from anthropic import AsyncAnthropic
from google import genai
from openai import AsyncOpenAI

from proxy import registry
from proxy.canon import Request
from proxy.errors import Unrepresentable
from proxy.grammar.searching import leave_kept
from proxy.ports import Encoded, Peek
from tests import recordings
from tests.client import ANTHROPIC, OPENAI, Got, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion
from tests.recordings import Row, needs_recordings
from tests.replay import stage

Json = dict[str, Any]

HERE = {"city": "Utrecht", "country": "NL", "timezone": "Europe/Amsterdam"}
PLACE = {"type": "approximate", **HERE}
ALLOWED = ["example.org"]
MODELS = {"openai_responses": "gpt-5.1", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}
SEARCHING = "gpt-5-search-api"  # a model of Chat Completions that searches before each answer

# What a client of each wire says, as fully as it can.
OF_RESPONSES = {
    "type": "web_search",
    "filters": {"allowed_domains": ALLOWED},
    "user_location": PLACE,
    "search_context_size": "low",
}
OF_CHAT = {"search_context_size": "low", "user_location": {"type": "approximate", "approximate": HERE}}
OF_ANTHROPIC = {
    "type": "web_search_20250305",
    "name": "web_search",
    "allowed_domains": ALLOWED,
    "user_location": PLACE,
    "max_uses": 3,
}
ASKS: dict[str, Json] = {
    "openai_responses": {"input": "Hi", "tools": [OF_RESPONSES]},
    "openai_chat": {"messages": [{"role": "user", "content": "Hi"}], "web_search_options": OF_CHAT},
    "anthropic": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 99, "tools": [OF_ANTHROPIC]},
    "gemini": {"contents": [{"parts": [{"text": "Hi"}]}], "tools": [{"googleSearch": {"excludeDomains": ALLOWED}}]},
}
# The same without a limit of domains.
FREE: dict[str, Json] = {
    "openai_responses": {"tools": [{key: value for key, value in OF_RESPONSES.items() if key != "filters"}]},
    "openai_chat": {},
    "anthropic": {"tools": [{key: value for key, value in OF_ANTHROPIC.items() if key != "allowed_domains"}]},
    "gemini": {"tools": [{"googleSearch": {}}]},
}


def searching(provider: str, url: str) -> dict[str, str]:
    """The environment in which clients of other wires may search there."""
    name = f"PILLION_{provider}"
    return {f"{provider}_API_KEY": "x", f"{name}_BASE_URL": url, f"{name}_SEARCHES": "true"}


def parsed(wire: str, target: str, **fields: Any) -> Request:
    body = ASKS[wire] | fields
    named = {} if wire == "gemini" else {"model": "m"}
    request = registry.dialect(wire).parse(json.dumps(body | named).encode(), Peek("m", False))
    request.model, request.searches = MODELS.get(target, SEARCHING), True
    return request


def said(wire: str, target: str, **fields: Any) -> tuple[Json, set[str]]:
    """What the provider gets, and the receipt."""
    encoded: Encoded = registry.dialect(target).encode(parsed(wire, target, **fields))
    return json.loads(encoded.body), set(encoded.dropped)


@pytest.mark.parametrize(
    ("wire", "tool", "receipt"),
    [
        ("openai_chat", {"user_location": PLACE}, {"web_search_options.search_context_size"}),
        (
            "openai_responses",
            {"allowed_domains": ALLOWED, "user_location": PLACE},
            {"tools.search_context_size"},
        ),
        ("gemini", {"blocked_domains": ALLOWED}, set()),
    ],
)
def test_claude_is_asked_to_search(wire: str, tool: Json, receipt: set[str]) -> None:
    body, dropped = said(wire, "anthropic")
    assert body["tools"] == [{"type": "web_search_20250305", "name": "web_search", **tool}]
    assert dropped == receipt


@pytest.mark.parametrize(
    ("wire", "tool", "more", "receipt"),
    [
        ("openai_chat", {"user_location": PLACE, "search_context_size": "low"}, {}, set()),
        (
            "anthropic",
            {"filters": {"allowed_domains": ALLOWED}, "user_location": PLACE},
            {"max_tool_calls": 3},
            set(),
        ),
    ],
)
def test_a_host_of_responses_is_asked_to_search(wire: str, tool: Json, more: Json, receipt: set[str]) -> None:
    body, dropped = said(wire, "openai_responses")
    assert body["tools"] == [{"type": "web_search", **tool}]
    assert {key: body[key] for key in body.keys() & {"max_tool_calls"}} == more
    assert "web_search_call.action.sources" in body["include"]
    assert dropped == receipt


@pytest.mark.parametrize(
    ("wire", "receipt"),
    [
        ("openai_chat", {"web_search_options.search_context_size", "web_search_options.user_location"}),
        (
            "openai_responses",
            {"tools.user_location", "tools.search_context_size"},
        ),
        ("anthropic", {"tools.user_location", "tools.max_uses"}),
    ],
)
def test_gemini_is_asked_to_search(wire: str, receipt: set[str]) -> None:
    body, dropped = said(wire, "gemini", **FREE[wire])
    assert body["tools"] == [{"googleSearch": {}}]
    assert dropped == receipt


@pytest.mark.parametrize(
    ("wire", "options", "receipt"),
    [
        ("openai_responses", OF_CHAT, set()),
        ("anthropic", {"user_location": OF_CHAT["user_location"]}, {"tools.max_uses"}),
        ("gemini", {}, set()),
    ],
)
def test_a_model_of_chat_that_searches_is_told_how(wire: str, options: Json, receipt: set[str]) -> None:
    body, dropped = said(wire, "openai_chat", **FREE[wire])
    assert (body["web_search_options"], "tools" in body) == (options, False)
    assert dropped == receipt


@pytest.mark.parametrize(
    ("wire", "target"),
    [
        ("openai_responses", "gemini"),
        ("openai_responses", "openai_chat"),
        ("anthropic", "gemini"),
        ("anthropic", "openai_chat"),
        ("gemini", "openai_chat"),
        ("gemini", "openai_responses"),
    ],
)
def test_a_limit_of_domains_is_kept_or_the_search_is_refused(wire: str, target: str) -> None:
    which = "blocked" if wire == "gemini" else "allowed"
    with pytest.raises(
        Unrepresentable, match=f"cannot keep a web search to the {which} domains that the request names"
    ):
        said(wire, target)


@pytest.mark.parametrize("wire", ASKS)
def test_on_its_own_wire_it_goes_on_as_it_came(wire: str) -> None:
    key = "web_search_options" if wire == "openai_chat" else "tools"
    body, dropped = said(wire, wire)
    assert (body[key], dropped) == (ASKS[wire][key], set())
    assert wire != "openai_chat" or "tools" not in body


@pytest.mark.parametrize(
    ("kind", "is_one"),
    [
        ("web_search", True),
        ("web_search_2025_08_26", True),
        ("web_search_preview", True),
        ("web_search_preview_2025_03_11", True),
        ("web_search_of_mine", False),
        ("file_search", False),
    ],
)
def test_openai_has_had_several_names_for_it(kind: str, is_one: bool) -> None:
    if is_one:
        assert said("openai_responses", "gemini", tools=[{"type": kind}])[0]["tools"] == [{"googleSearch": {}}]
    else:
        with pytest.raises(Unrepresentable):
            said("openai_responses", "gemini", tools=[{"type": kind}])


def test_what_only_its_own_wire_knows_of_it_gets_a_receipt() -> None:
    open_to_all = {"type": "web_search", "external_web_access": True}
    assert said("openai_responses", "anthropic", tools=[open_to_all])[1] == set()
    marked = {"type": "web_search_20260209", "name": "web_search", "cache_control": {"type": "ephemeral"}}
    assert said("anthropic", "gemini", tools=[marked])[1] == {"cache_control"}


async def test_a_search_that_may_only_read_what_openai_has_kept_is_not_offered_elsewhere() -> None:
    """As Codex asks for it by default."""
    kept = {"type": "web_search", "external_web_access": False}
    function = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
    answer = Scenario(body=ANTHROPIC.whole, headers=[("Content-Type", "application/json")])

    async def responses(tools: list[Json], choice: str) -> Got:
        body = {"model": "anthropic/claude-x", "input": "Hi", "tools": tools, "tool_choice": choice}
        return await ask(gateway, "POST", "/v1/responses", json.dumps(body).encode(), OPENAI.headers)

    environ = {"ANTHROPIC_API_KEY": "sk-x"}
    async with Evil(answer, answer) as evil, pillion(PILLION_ANTHROPIC_BASE_URL=evil.url, **environ) as gateway:
        beside = await responses([kept, function], "auto")
        alone = await responses([kept], "required")
        bodies = [json.loads((await evil.received(n)).body) for n in (1, 2)]
    assert [tool["name"] for tool in bodies[0]["tools"]] == ["f"]
    assert bodies[1].keys().isdisjoint({"tools", "tool_choice"})
    assert (beside.header("x-pillion-dropped"), alone.header("x-pillion-dropped")) == (
        "web_search",
        "tool_choice, web_search",
    )


# --- where there is none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["openai_chat", "bedrock", "ollama", "cohere"])
@pytest.mark.parametrize("wire", ["openai_responses", "anthropic", "gemini"])
def test_a_wire_without_one_refuses_it(wire: str, target: str) -> None:
    request = parsed(wire, target)
    request.model = "gpt-5.1"
    with pytest.raises(Unrepresentable, match=r"^tools\[0\](\.googleSearch)?: a tool of type .*, only functions can"):
        registry.dialect(target).encode(request)


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("wire", ASKS)
def test_so_does_a_host_that_is_not_known_to_run_one(wire: str, target: str) -> None:
    """The operator says who runs one, and that it may be asked in another vendor's name."""
    request = parsed(wire, target)
    request.searches = False
    if wire == target:
        assert b"search" in registry.dialect(target).encode(request).body.lower()
        return
    with pytest.raises(Unrepresentable) as refused:
        registry.dialect(target).encode(request)
    expected = {"openai_chat": "web_search_options", "gemini": "tools[0].googleSearch"}
    assert refused.value.param == expected.get(wire, "tools[0]")


# --- a choice --------------------------------------------------------------------------------------------------------

[UNBOUND] = FREE["anthropic"]["tools"]
CLOCK = {"name": "clock", "input_schema": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("tools", [[UNBOUND], [CLOCK, UNBOUND]])
def test_a_search_can_be_demanded_where_the_wire_has_a_word_for_it(tools: list[Json]) -> None:
    """As Claude Code does it."""
    chosen = {"tools": tools, "tool_choice": {"type": "tool", "name": "web_search"}}
    assert said("anthropic", "openai_responses", **chosen)[0]["tool_choice"] == {"type": "web_search"}
    body, dropped = said("anthropic", "gemini", **chosen)
    assert ("toolConfig" in body, "toolConfig.functionCallingConfig" in body) == (False, False)
    assert "tool_choice" in dropped


def test_no_tool_means_no_search() -> None:
    body, _ = said("anthropic", "gemini", tools=[UNBOUND], tool_choice={"type": "none"})
    assert "tools" not in body
    body, _ = said("openai_chat", "anthropic", tool_choice="none")
    assert body["tool_choice"] == {"type": "none"}


def test_functions_and_a_search_go_together() -> None:
    body, _ = said("anthropic", "gemini", tools=[CLOCK, UNBOUND])
    assert [list(tool) for tool in body["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    body, _ = said("anthropic", "openai_responses", tools=[CLOCK, UNBOUND])
    assert [tool["type"] for tool in body["tools"]] == ["function", "web_search"]


WANTED = "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function calling."


@pytest.mark.parametrize(
    ("choice", "calling"),
    [(None, None), ("auto", {"mode": "VALIDATED"}), ("required", {"mode": "ANY"}), ("none", {"mode": "NONE"})],
)
async def test_gemini_is_told_of_a_search_beside_functions(choice: str | None, calling: Json) -> None:
    """As Codex asks, with each request: Gemini 3 refused them all. It takes no AUTO there. Vertex AI knows no such
    flag, and does not ask for it.
    """
    sent: list[Json] = []

    def answer(request: Received) -> Scenario:
        sent.append(body := json.loads(request.body))
        is_told = body.get("toolConfig", {}).get("includeServerSideToolInvocations") is True
        mixed = len(body.get("tools", ())) == 2 and not is_told
        error = {"error": {"code": 400, "message": WANTED, "status": "INVALID_ARGUMENT"}}
        said = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
        text = json.dumps(error if mixed else said).encode()
        return Scenario(status=400 if mixed else 200, body=text, headers=[("content-type", "application/json")])

    clock = {"type": "function", "name": "clock", "parameters": {"type": "object", "properties": {}}}
    asked: Json = {"model": "gemini/gemini-3.1-pro", "input": "Hi", "tools": [clock, {"type": "web_search"}]}
    if choice is not None:
        asked["tool_choice"] = choice
    async with Evil(answering=answer) as evil, pillion(**searching("GEMINI", evil.url)) as gateway:
        for _ in range(2):
            got = await ask(gateway, "POST", "/v1/responses", json.dumps(asked).encode())
            assert (got.status, got.header("x-pillion-dropped")) == (200, None)
        alone = asked | {"tools": [{"type": "web_search"}]}
        await ask(gateway, "POST", "/v1/responses", json.dumps(alone).encode())
    flag = {} if choice == "none" else {"includeServerSideToolInvocations": True}
    assert len(sent) == (3 if choice == "none" else 4)
    for body in sent[-3:-1]:
        assert body.get("toolConfig", {}) == ({"functionCallingConfig": calling} if calling else {}) | flag
    assert "toolConfig" not in sent[-1]


# --- the answer, as the official SDKs read it ------------------------------------------------------------------------

PROVIDERS = {
    "anthropic": ("anthropic.messages", "anthropic/claude-sonnet-4-0", "ANTHROPIC", ""),
    "openai": ("openai.responses", "openai/gpt-4.1", "OPENAI", "/v1"),
    "gemini": ("gemini.*enerateContent", "gemini/gemini-2.5-flash", "GEMINI", ""),
}


def found(provider: str, streamed: bool) -> Row:
    """A recorded answer whose model has searched and cites what it has found."""
    rows = recordings.load(PROVIDERS[provider][0])
    marks = {"anthropic": b"web_search_result_location", "openai": b'"url_citation"', "gemini": b"groundingSupports"}
    is_search = (
        row
        for row in rows
        if row["streamed"] == streamed
        and row["status"] == 200
        and {"web_search", "citations"} <= set(row["tags"])
        and marks[provider] in recordings.body(row)
    )
    return next(is_search)


@asynccontextmanager
async def answering(provider: str, row: Row) -> AsyncIterator[tuple[Gateway, Evil]]:
    _, _, name, path = PROVIDERS[provider]
    recordings.replayed(row)
    async with Evil(Scenario.from_recording(row)) as evil:
        environ = searching(name, evil.url + path)
        async with pillion(**environ) as gateway:
            yield gateway, evil


def tools_sent(evil: Evil) -> list[Json]:
    tools: list[Json] = json.loads(evil.requests[-1].body)["tools"]
    return tools


SENT = {
    "anthropic": [{"type": "web_search_20250305", "name": "web_search"}],
    "openai": [{"type": "web_search"}],
    "gemini": [{"googleSearch": {}}],
}


@needs_recordings
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", ["openai", "gemini"])
async def test_a_client_of_anthropic_s_reads_what_was_found(provider: str, streamed: bool) -> None:
    async with answering(provider, found(provider, streamed)) as (gateway, evil):
        asked: Any = {
            "model": PROVIDERS[provider][1],
            "max_tokens": 999,
            "messages": [{"role": "user", "content": "What is new?"}],
            "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        }
        async with AsyncAnthropic(base_url=gateway.url, api_key="unused", max_retries=0) as sdk:
            if streamed:
                async with sdk.messages.stream(**asked) as stream:
                    said = await stream.get_final_message()
            else:
                said = await sdk.messages.create(**asked)
    assert tools_sent(evil) == SENT[provider]
    cited = [one for block in said.content if block.type == "text" for one in block.citations or ()]
    assert cited
    assert all(one.type == "web_search_result_location" and one.url.startswith("http") for one in cited)
    assert said.usage.server_tool_use is not None
    assert said.usage.server_tool_use.web_search_requests > 0


@needs_recordings
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
async def test_a_client_of_responses_reads_what_was_found(provider: str, streamed: bool) -> None:
    async with answering(provider, found(provider, streamed)) as (gateway, evil):
        asked: Any = {"model": PROVIDERS[provider][1], "input": "What is new?", "tools": [{"type": "web_search"}]}
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0) as sdk:
            if streamed:
                async with sdk.responses.stream(**asked) as stream:
                    said = await stream.get_final_response()
            else:
                said = await sdk.responses.create(**asked)
    assert tools_sent(evil) == SENT[provider]
    texts = [part for item in said.output if item.type == "message" for part in item.content]
    cited = [one for part in texts if part.type == "output_text" for one in part.annotations]
    assert cited
    assert all(one.type == "url_citation" and one.url.startswith("http") for one in cited)


@needs_recordings
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
async def test_a_client_of_chat_reads_what_was_found(provider: str, streamed: bool) -> None:
    async with answering(provider, found(provider, streamed)) as (gateway, evil):
        asked: Any = {
            "model": PROVIDERS[provider][1],
            "messages": [{"role": "user", "content": "What is new?"}],
            "web_search_options": {},
        }
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0) as sdk:
            if streamed:
                chunks = [chunk async for chunk in await sdk.chat.completions.create(**asked, stream=True)]
                deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
                cited = [one for delta in deltas for one in getattr(delta, "annotations", None) or ()]
                urls = [one["url_citation"]["url"] for one in cited]
            else:
                said = await sdk.chat.completions.create(**asked)
                urls = [one.url_citation.url for one in said.choices[0].message.annotations or ()]
    assert tools_sent(evil) == SENT[provider]
    assert urls
    assert all(url.startswith("http") for url in urls)


@needs_recordings
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_a_client_of_gemini_s_reads_what_was_found(provider: str, streamed: bool) -> None:
    async with answering(provider, found(provider, streamed)) as (gateway, evil):
        transport = {"transport": httpx2.AsyncHTTPTransport()}  # else it inherits from aiohttp, which warns
        options = genai.types.HttpOptions(base_url=gateway.url, async_client_args=transport)
        tool = genai.types.Tool(google_search=genai.types.GoogleSearch())
        asked: Any = {
            "model": PROVIDERS[provider][1],
            "contents": "What is new?",
            "config": genai.types.GenerateContentConfig(tools=[tool]),
        }
        client = genai.Client(api_key="unused", http_options=options)
        sdk = client.aio
        if streamed:
            chunks = [chunk async for chunk in await sdk.models.generate_content_stream(**asked)]
        else:
            chunks = [await sdk.models.generate_content(**asked)]
        await sdk.aclose()
        client.close()
    assert tools_sent(evil) == SENT[provider]
    told = [candidate.grounding_metadata for chunk in chunks for candidate in chunk.candidates or ()]
    sources = [source for one in told if one is not None for source in one.grounding_chunks or ()]
    assert sources
    assert all(source.web is not None and (source.web.uri or "").startswith("http") for source in sources)


# --- the next turn ---------------------------------------------------------------------------------------------------

CALL = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
TEXT = {"type": "text", "text": "It is dry."}
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}]}  # fmt: skip


async def test_what_claude_has_searched_stays_behind_where_another_goes_on() -> None:
    said = [{"role": "user", "content": "Dry?"}, {"role": "assistant", "content": [CALL, FOUND, TEXT]}]
    answer = Scenario(body=json.dumps(ANSWER).encode(), headers=[("content-type", "application/json")])
    async with Evil(answer) as evil, pillion(**searching("OPENAI", evil.url)) as gateway:
        body = {"model": "openai/gpt-5.1", "max_tokens": 99, "messages": [*said, {"role": "user", "content": "Sure?"}]}
        got = await ask(gateway, "POST", "/v1/messages", json.dumps(body).encode())
    assert got.status == 200
    assert got.header("x-pillion-dropped") == "server_tool_use, web_search_tool_result"
    assert json.loads(evil.requests[-1].body)["messages"] == [
        {"role": "user", "content": "Dry?"},
        {"role": "assistant", "content": "It is dry."},
        {"role": "user", "content": "Sure?"},
    ]


@pytest.mark.parametrize("text", [[{"role": "assistant", "content": "It is dry."}], []])
async def test_what_openai_has_searched_stays_behind_where_another_goes_on(text: list[Json]) -> None:
    call = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
    user = [{"role": "user", "content": "Dry?"}], [{"role": "user", "content": "Sure?"}]
    reply = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [TEXT], "usage": {}}
    answer = Scenario(
        body=json.dumps(reply | {"stop_reason": "end_turn"}).encode(), headers=[("content-type", "application/json")]
    )
    async with Evil(answer) as evil, pillion(**searching("ANTHROPIC", evil.url)) as gateway:
        body = {"model": "anthropic/claude-sonnet-4-5", "input": [*user[0], call, *text, *user[1]]}
        got = await ask(gateway, "POST", "/v1/responses", json.dumps(body).encode())
    assert (got.status, got.header("x-pillion-dropped")) == (200, "web_search_call")
    spoken = [block["text"] for turn in json.loads(evil.requests[-1].body)["messages"] for block in turn["content"]]
    assert spoken == ["Dry?", *(["It is dry."] if text else []), "Sure?"]


async def test_on_its_own_wire_the_search_goes_back_as_it_came() -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": [CALL, FOUND, TEXT]}]}
    dialect = registry.dialect("anthropic")
    encoded = dialect.encode(dialect.parse(json.dumps(body).encode(), Peek("m", False)))
    assert json.loads(encoded.body)["messages"] == body["messages"]


# --- a search for tools ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["the vendor", "the app"])
async def test_where_all_tools_are_on_offer_none_is_searched_for(source: str) -> None:
    """https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool"""
    found = {"type": "tool_reference", "tool_name": "g"}
    searching: list[dict[str, Any]] = [
        {"type": "server_tool_use", "id": "s", "name": "tool_search_tool_regex", "input": {"query": "g"}},
        {"type": "tool_search_tool_result", "tool_use_id": "s",
         "content": {"type": "tool_search_tool_search_result", "tool_references": [found]}},
    ]  # fmt: skip
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c", "content": [found]}
    tools: list[dict[str, Any]] = [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}, "defer_loading": True},
    ]
    if source == "the vendor":
        tools.append({"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"})
    said = [*(searching if source == "the vendor" else ()), call]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}]
    messages.append({"role": "user", "content": [result]})
    async with stage(OPENAI) as acting:
        acting.plays = Scenario(headers=[("content-type", "application/json")], body=OPENAI.whole)
        asked = ANTHROPIC.request(model="openai/gpt-4.1", tools=tools, messages=messages)
        got = await ask(acting.gateway, "POST", ANTHROPIC.path, asked, ANTHROPIC.headers)
        body = json.loads(acting.last().body)
    assert got.status == 200
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f", "g"]
    assert [(one["role"], one["content"]) for one in body["messages"][1:]] == [("assistant", None), ("tool", "g")]
    left = {"defer_loading", "tool_reference", "messages"}
    if source == "the vendor":
        left |= {"server_tool_use", "tool_search_tool_result"}
        left |= {"tool_search_tool_regex_20251119", "tools"}
    assert set((got.header("x-pillion-dropped") or "").split(", ")) == left


async def test_openais_search_for_tools_is_left_out_too() -> None:
    """https://platform.openai.com/docs/guides/tools-tool-search"""
    function = {"type": "function", "name": "g", "parameters": {}, "defer_loading": True}
    ours = {"execution": "server", "call_id": None, "status": "completed"}
    body = {
        "model": "anthropic/claude-sonnet-4-5",
        "input": [
            {"role": "user", "content": "Hi"},
            {"type": "tool_search_call", "arguments": {"paths": ["g"]}, **ours},
            {"type": "tool_search_output", "tools": [function], **ours},
            {"type": "function_call", "call_id": "c", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "Ho"},
        ],
        "tools": [function, {"type": "tool_search"}],
    }
    async with stage(ANTHROPIC) as acting:
        acting.plays = Scenario(headers=[("content-type", "application/json")], body=ANTHROPIC.whole)
        got = await ask(acting.gateway, "POST", "/v1/responses", json.dumps(body).encode())
        sent = json.loads(acting.last().body)
    assert (got.status, got.header("x-pillion-dropped")) == (
        200,
        "defer_loading, input, tool_search, tool_search_call, tool_search_output, tools",
    )
    assert [tool["name"] for tool in sent["tools"]] == ["g"]
    assert [block["type"] for turn in sent["messages"] for block in turn["content"]] == [
        "text",
        "tool_use",
        "tool_result",
    ]


def test_a_search_that_the_client_runs_is_not_left_out() -> None:
    body = {"model": "m", "input": "Hi", "tools": [{"type": "tool_search", "execution": "client"}]}
    request = registry.dialect("openai_responses").parse(json.dumps(body).encode(), Peek("m", False))
    assert (leave_kept(request), len(request.tools)) == ([], 1)


def test_a_choice_of_the_search_that_is_left_out_goes_with_it() -> None:
    finder = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
    choice = {"type": "tool", "name": "tool_search_tool_bm25"}
    tools = [{"name": "f", "input_schema": {"type": "object"}}, finder]
    body = {"model": "m", "max_tokens": 9, "messages": [], "tools": tools, "tool_choice": choice}
    request = registry.dialect("anthropic").parse(json.dumps(body).encode(), Peek("m", False))
    assert leave_kept(request) == ["tool_search_tool_bm25_20251119", "tools", "tool_choice"]
    assert request.tool_choice is None
