"""Is a model spared what it cannot take, and its client told; and is what nobody knows let through?"""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy import registry
from proxy.canon import (
    Document,
    Image,
    Inline,
    Part,
    Reasoning,
    Remote,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from proxy.config.models import Cards
from proxy.errors import BadRequest, Unrepresentable
from proxy.lanes.abilities import fit
from proxy.ports import UNKNOWN, Abilities, Peek
from proxy.sealing.seals import MARK
from tests.client import ANTHROPIC, OPENAI, Got, ask
from tests.conformance.scene import is_error, rows_of
from tests.conformance.told import CROSSING, Wire
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.recordings import needs_recordings

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
NOTHING = Abilities(system=False, tools=False, images=False, documents=False, thinking=False)
EVERYTHING = Abilities(system=True, tools=True, images=True, documents=True, thinking=True)
JSON = [("content-type", "application/json")]

IMAGE = Image(source=Inline(PNG, "image/png"), at="messages[0].content[1]")
PAPER = Document(source=Inline("JVBERi0=", "application/pdf"), at="messages[0].content[1]")
NOTES = Document(source=Inline("SGVsbG8=", "text/plain"), name="notes.txt", at="messages[0].content[1]")
CALL = ToolCall(id="c", name="f", at="messages[1].tool_calls[0]")


def asked(*parts: Part, **fields: Any) -> Request:
    turn = Turn(role="user", parts=[Text(text="Hi"), *parts], at="messages[0]")
    return Request(wire="openai_chat", model="m", turns=[turn], **fields)


def result(*parts: Part) -> ToolResult:
    return ToolResult(id="c", parts=list(parts), at="messages[2]")


# --- what is refused -------------------------------------------------------------------------------------------------

REFUSED = [
    (asked(IMAGE), "images", "messages[0].content[1]"),
    (asked(PAPER), "documents", "messages[0].content[1]"),
    (asked(Document(source=Remote("https://h/a.pdf"), at="d")), "documents", "d"),
    (asked(result(Text(text="x"), Image(source=Inline(PNG, "image/png")))), "images", "messages[0]"),
    (asked(result(PAPER)), "documents", "messages[0].content[1]"),
    (asked(CALL), "tools", "messages[1].tool_calls[0]"),
    (asked(result(Text(text="x"))), "tools", "messages[2]"),
    (asked(tools=[Tool(name="f", at="tools[0]")]), "tools", "tools[0]"),
    (asked(tools=[Tool(name="f", kind="custom", at="tools[0]")]), "tools", "tools[0]"),
]


@pytest.mark.parametrize(("request_", "ability", "at"), REFUSED)
def test_what_a_model_cannot_take_is_refused_by_its_path(request_: Request, ability: str, at: str) -> None:
    can = replace(EVERYTHING, **{ability: False})
    with pytest.raises(Unrepresentable) as caught:
        fit(request_, can)
    assert caught.value.param == at
    assert caught.value.message.startswith(f"{at}: m ")
    assert f"`{ability}: true`" in caught.value.message


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_prompt_is_content_too(role: Any) -> None:
    request = asked()
    request.turns.insert(0, Turn(role=role, parts=[Text(text="Be brief.")], at="messages[0]"))
    with pytest.raises(Unrepresentable, match=r"^messages\[0\]: m does not support a system prompt"):
        fit(request, Abilities(system=False))
    assert fit(request, replace(NOTHING, system=None)) == []


@pytest.mark.parametrize("can", [UNKNOWN, EVERYTHING, Abilities(context=1, max_output=1)])
@pytest.mark.parametrize("request_", [row[0] for row in REFUSED])
def test_what_a_model_can_take_and_what_nobody_knows_crosses(request_: Request, can: Abilities) -> None:
    assert fit(request_, can) == []


@pytest.mark.parametrize("request_", [asked(NOTES), asked(result(NOTES))])
def test_a_document_that_is_text_is_none(request_: Request) -> None:
    assert fit(request_, replace(NOTHING, tools=None)) == []


def test_a_vendors_own_tools_are_its_wires_to_refuse() -> None:
    assert fit(asked(tools=[Tool(name="web_search", kind="web_search", at="tools[0]")]), NOTHING) == []


# --- what is left out ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasoning", "left_out"),
    [
        (None, []),
        (Reasoning(effort="high"), ["thinking"]),
        (Reasoning(budget=2048), ["thinking"]),
        (Reasoning(off=True), []),
        (Reasoning(), []),  # Google's thinkingConfig that only says not to show the thoughts
        (Reasoning(summary="auto"), ["thinking"]),
    ],
)
def test_a_wish_to_think_is_left_out_and_one_not_to_is_granted(
    reasoning: Reasoning | None, left_out: list[str]
) -> None:
    request = asked(reasoning=reasoning, names={"reasoning": "thinking"})
    assert fit(request, NOTHING) == left_out
    assert request.reasoning is None


def test_who_can_think_is_let() -> None:
    request = asked(reasoning=Reasoning(effort="high"))
    assert fit(request, replace(NOTHING, thinking=None)) == []
    assert request.reasoning == Reasoning(effort="high")


# --- through a gateway -----------------------------------------------------------------------------------------------

BLIND = "{name: blind, images: false, tools: false, documents: false, thinking: false, context: 1000, max_output: 9999}"


def configured(folder: Path, evil: Evil) -> dict[str, str]:
    hosts = {"anthropic": evil.url, "openai": f"{evil.url}/v1"}
    rows = [f"{name}: {{base_url: '{url}', api_key: sk-x, models: [{BLIND}]}}" for name, url in hosts.items()]
    return config_file(f"providers: {{{', '.join(rows)}}}", folder)


def speaking(request: Received) -> Scenario:
    return Scenario(headers=JSON, body=OPENAI.whole if request.target.startswith("/v1/chat") else ANTHROPIC.whole)


async def chat(gateway: Gateway, model: str, content: object = "Hi", **fields: Any) -> Got:
    body = {"model": model, "messages": [{"role": "user", "content": content}], **fields}
    return await ask(gateway, "POST", "/v1/chat/completions", json.dumps(body).encode())


SEEN = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    ("content", "fields", "at"), [(SEEN, {}, "messages[0].content[1]"), ("Hi", {"tools": TOOLS}, "tools[0]")]
)
async def test_a_client_hears_what_a_model_of_another_wire_cannot_take(
    content: object, fields: dict[str, Any], at: str, tmp_path: Path
) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(tmp_path, evil)) as gateway:
        got = await chat(gateway, "anthropic/blind", content, **fields)
        assert (got.status, json.loads(got.body)["error"]["param"], evil.requests) == (400, at, [])
        assert (await chat(gateway, "anthropic/claude-unheard-of", content, **fields)).status == 200


async def test_the_wish_to_think_stands_in_the_receipt(tmp_path: Path) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(tmp_path, evil)) as gateway:
        got = await chat(gateway, "anthropic/blind", reasoning_effort="high")
        assert (got.status, got.header("x-pillion-dropped")) == (200, "reasoning_effort")
        assert "thinking" not in json.loads(evil.requests[-1].body)


async def test_strict_refuses_it(tmp_path: Path) -> None:
    async with (
        Evil(answering=speaking) as evil,
        pillion(**configured(tmp_path, evil), PILLION_STRICT="true") as gateway,
    ):
        got = await chat(gateway, "anthropic/blind", reasoning_effort="high")
        assert (got.status, json.loads(got.body)["error"]["param"]) == (400, "reasoning_effort")


@pytest.mark.parametrize("user", ["u", MARK.decode()])  # a body that seems to hold a seal of ours is written anew
async def test_what_came_in_the_providers_own_words_is_the_providers_to_judge(user: str, tmp_path: Path) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(tmp_path, evil)) as gateway:
        got = await chat(gateway, "openai/blind", SEEN, tools=TOOLS, reasoning_effort="high", user=user)
        sent = json.loads(evil.requests[-1].body)
        assert (got.status, got.header("x-pillion-dropped")) == (200, None)
        assert (sent["messages"][0]["content"], sent["tools"], sent["reasoning_effort"]) == (SEEN, TOOLS, "high")


# --- cards -----------------------------------------------------------------------------------------------------------

KNOWN = Abilities(context=1000, max_output=99, tools=False, images=True, thinking=True)
CARDS: dict[Wire, dict[str, object]] = {
    "anthropic": {"max_input_tokens": 1000, "max_tokens": 99},
    "gemini": {"inputTokenLimit": 1000, "outputTokenLimit": 99, "thinking": True},
    "cohere": {"context_length": 1000},
    "ollama": {
        "capabilities": ["completion", "vision", "thinking"],
        "model_info": {
            "general.architecture": "unknown", "general.basename": "m", "unknown.context_length": 1000,
        },
    },
    "bedrock": {"inputModalities": ["TEXT", "IMAGE"]},
    "openai_chat": {},
    "openai_responses": {},
}  # fmt: skip


@pytest.mark.parametrize("wire", CARDS)
def test_a_card_says_what_its_wire_has_words_for(wire: Wire) -> None:
    dialect = registry.dialect(wire)
    bare, known = (json.loads(dialect.model_card("m", can)) for can in (UNKNOWN, KNOWN))
    if wire == "bedrock":
        bare, known = bare["modelDetails"], known["modelDetails"]
    assert {key: value for key, value in known.items() if bare.get(key) != value} == CARDS[wire]
    assert None not in [*bare.values(), *known.values()]


async def test_a_card_is_the_models_that_answers(tmp_path: Path) -> None:
    async with Evil(answering=speaking) as evil:
        environ = configured(tmp_path, evil)
        async with pillion(**environ) as gateway:
            named = await ask(gateway, "POST", "/api/show", b'{"model": "anthropic/blind"}')
        async with pillion(**environ, PILLION_UPSTREAM="anthropic/blind") as gateway:
            chosen = await ask(gateway, "POST", "/api/show", b'{"model": "anthropic/claude-opus-4-1"}')
    for got in (named, chosen):
        assert json.loads(got.body)["capabilities"] == ["completion"]
        assert json.loads(got.body)["model_info"]["unknown.context_length"] == 1000


# --- how much it writes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "most", "told", "left"),
    [
        (32000, 16384, 16384, ["max_tokens"]),
        (16384, 16384, 16384, []),
        (None, 9, None, []),
        (32000, None, 32000, []),
        (0, None, 1, ["max_tokens"]),
        (0, 9, 1, ["max_tokens"]),
    ],
    ids=["beyond it", "all of it", "unsaid", "unknown", "none", "none of some"],
)
def test_a_limit_is_within_the_models_own(
    wanted: int | None, most: int | None, told: int | None, left: list[str]
) -> None:
    request = asked(max_tokens=wanted)
    assert (fit(request, replace(EVERYTHING, max_output=most)), request.max_tokens) == (left, told)


async def test_an_app_that_says_another_models_limit_is_answered(tmp_path: Path) -> None:
    """Claude Code says 32000 or more, whatever the model, and OpenAI refuses a limit beyond the model's own."""
    async with Evil(answering=speaking) as evil, pillion(**configured(tmp_path, evil)) as gateway:
        asking = ANTHROPIC.request(model="openai/gpt-4o", max_tokens=32000)
        got = await ask(gateway, "POST", ANTHROPIC.path, asking, ANTHROPIC.headers)
        assert (got.status, got.header("x-pillion-dropped")) == (200, "max_tokens")
        assert json.loads(evil.requests[-1].body)["max_tokens"] == 16384
        await ask(gateway, "POST", OPENAI.path, OPENAI.request(model="openai/gpt-4o", max_tokens=32000))
        assert json.loads(evil.requests[-1].body)["max_tokens"] == 32000


async def test_an_app_that_only_warms_claudes_cache_is_answered_elsewhere(tmp_path: Path) -> None:
    """OpenAI, Google and Converse refuse a limit of no tokens."""
    async with Evil(answering=speaking) as evil, pillion(**configured(tmp_path, evil)) as gateway:
        asking = ANTHROPIC.request(model="openai/gpt-4o", max_tokens=0)
        got = await ask(gateway, "POST", ANTHROPIC.path, asking, ANTHROPIC.headers)
        assert (got.status, got.header("x-pillion-dropped")) == (200, "max_tokens")
        assert json.loads(evil.requests[-1].body)["max_tokens"] == 1
        asking = ANTHROPIC.request(model="anthropic/claude-opus-4-1", max_tokens=0)
        await ask(gateway, "POST", ANTHROPIC.path, asking, ANTHROPIC.headers)
        assert json.loads(evil.requests[-1].body)["max_tokens"] == 0


# --- the table -------------------------------------------------------------------------------------------------------


@needs_recordings
@pytest.mark.parametrize("wire", CROSSING)
def test_no_row_denies_what_a_provider_has_taken(wire: Wire) -> None:
    dialect, judged = registry.dialect(wire), 0
    for row in rows_of(wire):
        known = Cards().of(row["model"] or "")
        if known is None or is_error(row) or not isinstance(row["request_json"], dict):
            continue
        try:
            request = dialect.parse(json.dumps(row["request_json"]).encode(), Peek(row["model"], row["streamed"]))
        except BadRequest:  # cut in the recording
            continue
        judged += 1
        limits = known.context, known.max_output
        can = Abilities(*limits, known.system, known.tools, known.images, known.documents, known.thinking)
        assert fit(request, can) == [], row["id"]
    assert judged > 3


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4", "gpt-3.5-turbo", "qwen2.5vl:7b", "qwen2.5-omni-7b", "accounts/fireworks/models/kimi-k2p5",
        "kimi-k2.5", "xtuner/llava-llama-3-8b-v1_1", "llava-llama-2-13b-chat", "deepseek-chat", "mistral-large-2607",
        "nvidia/llama-3.1-nemotron-nano-vl-8b-v1", "nvidia/llama-3.3-nemotron-super-49b-v1",
        "gemini-2.0-flash-thinking-exp",
    ],
)  # fmt: skip
def test_no_row_denies_by_the_beginning_of_a_name_what_another_model_has(name: str) -> None:
    known = Cards().of(name)
    assert known is None or False not in (known.tools, known.images, known.documents, known.thinking)
