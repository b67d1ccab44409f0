"""Does the operator's word count where the client is silent, and nowhere else?"""

import json
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from msgspec.structs import replace

from proxy import registry
from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.ports import Hints, Peek
from tests.client import ANTHROPIC, OPENAI, Speech, ask, chat
from tests.evil import Evil, Scenario
from tests.gateway import config_file, pillion

JSON = [("content-type", "application/json")]
HINTS = Hints("m", max_tokens=77, temperature=0.5)

# By wire: a body that says nothing of either, what is filled in, and bodies that say both, in every spelling.
SILENT: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "openai_chat": (
        {"max_tokens": 77, "temperature": 0.5},
        [{"max_tokens": 1, "temperature": 0}, {"max_completion_tokens": 1, "temperature": 1.0}],
    ),
    "openai_responses": ({"max_output_tokens": 77, "temperature": 0.5}, [{"max_output_tokens": 1, "temperature": 0}]),
    "anthropic": ({"max_tokens": 77, "temperature": 0.5}, [{"max_tokens": 1, "temperature": 0}]),
    "cohere": ({"max_tokens": 77, "temperature": 0.5}, [{"max_tokens": 1, "temperature": 0}]),
    "gemini": (
        {"generationConfig": {"maxOutputTokens": 77, "temperature": 0.5}},
        [
            {"generationConfig": {"maxOutputTokens": 1, "temperature": 0}},
            {"generation_config": {"max_output_tokens": 1, "temperature": 0}},
        ],
    ),
    "bedrock": (
        {"inferenceConfig": {"maxTokens": 77, "temperature": 0.5}},
        [{"inferenceConfig": {"maxTokens": 1, "temperature": 0}}],
    ),
    "ollama": (
        {"options": {"num_predict": 77, "temperature": 0.5}},
        [{"options": {"num_predict": 1, "temperature": 0}}],
    ),
}


def filled(wire: str, body: dict[str, Any]) -> dict[str, Any]:
    envelope = Envelope(json.dumps(body).encode())
    made: dict[str, Any] = json.loads(envelope.filled(registry.dialect(wire).hinted(envelope, HINTS)))
    return made


@pytest.mark.parametrize("wire", SILENT)
def test_silence_is_filled_on_every_wire_and_words_are_kept(wire: str) -> None:
    said, full = SILENT[wire]
    assert filled(wire, {"model": "m"}) == {"model": "m", **said}
    for body in full:
        assert filled(wire, body) == body


@pytest.mark.parametrize("wire", ["gemini", "bedrock", "ollama"])
def test_half_of_an_inner_object_is_filled_and_its_other_bytes_stay(wire: str) -> None:
    ((outer, inner),) = SILENT[wire][0].items()
    limit = next(key for key in inner if key != "temperature")
    body = b'{"a": [1.0, {"b":1e2}], "%b": {"topP" : 0.50, "%b": 3}, "z":"\\u00e9"}' % (outer.encode(), limit.encode())
    envelope = Envelope(body)
    made = envelope.filled(registry.dialect(wire).hinted(envelope, HINTS))
    assert made == body.replace(b": 3}", b': 3,"temperature":0.5}')


def test_reasoning_models_of_openai_get_the_newer_word() -> None:
    wire = registry.dialect("openai_chat")
    said = wire.hinted(Envelope(b"{}"), replace(HINTS, model="o3-mini"))
    assert said == {"max_completion_tokens": 77, "temperature": 0.5}


NOVA = "us.amazon.nova-2-lite-v1:0"
USER = [{"role": "user", "content": "Hi"}]
BLOCKS = [{"role": "user", "content": [{"text": "Hi"}]}]

# What is said to which Claude, beside which it takes no other temperature than its own; and that in Converse's words.
THINKS = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
TAKEN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("claude-opus-4-7", {}, {}),
    ("claude-opus-4-1", {"top_p": 0.5}, {"inferenceConfig": {"topP": 0.5}}),
    ("claude-sonnet-4-5", THINKS, {"additionalModelRequestFields": THINKS}),
    ("claude-3-7-sonnet-latest", THINKS, {"additionalModelRequestFields": {"reasoning_config": THINKS["thinking"]}}),
]


@pytest.mark.parametrize(("model", "said", "converse"), TAKEN)
def test_the_operators_temperature_gives_way_where_claude_takes_none(
    model: str, said: dict[str, Any], converse: dict[str, Any]
) -> None:
    hints = replace(HINTS, model=model, max_tokens=None)
    invoke = said | {"anthropic_version": "bedrock-2023-05-31"}
    for wire, body in (("anthropic", said), ("bedrock", converse), ("bedrock_invoke", invoke)):
        envelope = Envelope(json.dumps(body).encode())
        assert registry.dialect(wire).hinted(envelope, hints) == {}, wire


@pytest.mark.parametrize(("model", "said", "converse"), TAKEN)
def test_so_it_does_in_a_request_that_goes_to_its_own_wire_by_another_lane(
    model: str, said: dict[str, Any], converse: dict[str, Any]
) -> None:
    turns = [{"role": "user", "content": "Hi"}]
    asked = {"model": model, "max_tokens": 2000, "messages": turns, **said}
    blocks = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], **converse}
    for wire, body in (("anthropic", asked), ("bedrock", blocks)):
        request = registry.dialect(wire).parse(json.dumps(body).encode(), Peek(model, False))
        request.temperature, request.hinted = 0.5, True
        assert b"temperature" not in registry.dialect(wire).encode(request).body, wire


@pytest.mark.parametrize("model", ["claude-opus-4-1", "claude-sonnet-4-5", "claude-3-7-sonnet-latest", "m"])
@pytest.mark.parametrize("wire", ["anthropic", "bedrock"])
def test_a_claude_that_takes_a_temperature_gets_the_operators(model: str, wire: str) -> None:
    hints = replace(HINTS, model=model)
    assert registry.dialect(wire).hinted(Envelope(b'{"thinking": null}'), hints) == SILENT[wire][0]


def test_so_does_one_that_is_told_not_to_think() -> None:
    off = {"thinking": {"type": "disabled"}}
    for wire, said in (
        ("anthropic", {"model": "m", "max_tokens": 9, "messages": USER, **off}),
        ("bedrock", {"messages": BLOCKS, "additionalModelRequestFields": off}),
    ):
        request = registry.dialect(wire).parse(json.dumps(said).encode(), Peek("claude-sonnet-4-5", False))
        request.temperature, request.hinted = 0.5, True
        assert b'"temperature":0.5' in registry.dialect(wire).encode(request).body, wire


# Which temperature an effort leaves to the operator, by the model's row.
EFFORTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("openai_chat", {}, {"reasoning_effort": "low"}),
    ("openai_chat", {"reasoning_effort": "none"}, {"reasoning_effort": "high"}),
    ("openai_responses", {"reasoning": {"summary": "auto"}}, {"reasoning": {"effort": "low"}}),
    ("openai_responses", {"reasoning": {"effort": "none"}}, {"reasoning": {"effort": "high"}}),
    ("bedrock", {}, {"additionalModelRequestFields": {"reasoningConfig": {"maxReasoningEffort": "high"}}}),
]


@pytest.mark.parametrize(("wire", "calm", "thinking"), EFFORTS)
def test_the_operators_temperature_gives_way_beside_an_effort(
    wire: str, calm: dict[str, Any], thinking: dict[str, Any]
) -> None:
    hints = replace(HINTS, max_tokens=None, unthinking=True)
    hinted = [registry.dialect(wire).hinted(Envelope(json.dumps(body).encode()), hints) for body in (calm, thinking)]
    assert hinted == [{"inferenceConfig": {"temperature": 0.5}} if wire == "bedrock" else {"temperature": 0.5}, {}]


@pytest.mark.parametrize(("said", "left"), [("null", {"x": 1}), ("5", 5), ("{}", {"x": 1})])
def test_what_is_no_object_is_left_to_the_provider(said: str, left: object) -> None:
    made = Envelope(b'{"options": %b}' % said.encode()).filled({"options": {"x": 1}})
    assert json.loads(made) == {"options": left}


def test_an_inner_object_with_a_key_twice_is_refused() -> None:
    with pytest.raises(BadRequest, match="same key twice"):
        Envelope(b'{"options": {"a": 1, "a": 2}}').filled({"options": {"x": 1}})


# --- through pillion -------------------------------------------------------------------------------------------------


async def sent(client: Speech, provider: Speech, strict: str = "false", **fields: Any) -> dict[str, Any]:
    """What the provider receives that an operator said something of."""
    name = provider.provider.upper()
    said = {f"PILLION_{name}_MAX_TOKENS": "77", f"PILLION_{name}_TEMPERATURE": "0.5", "PILLION_STRICT": strict}
    async with (
        Evil(Scenario(body=provider.whole, headers=JSON)) as evil,
        pillion(**provider.environ(evil.url), **said) as gateway,
    ):
        body = json.dumps(
            {"model": f"{provider.provider}/m", "messages": [{"role": "user", "content": "Hi"}], **fields}
        )
        got = await chat(gateway, client, body.encode())
        assert got.status == 200, got.body
        received: dict[str, Any] = json.loads((await evil.received(1)).body)
    return received


@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
async def test_on_either_lane_the_silent_client_is_helped(provider: Speech) -> None:
    silent = await sent(OPENAI, provider)
    assert (silent["max_tokens"], silent["temperature"]) == (77, 0.5)
    spoken = await sent(OPENAI, provider, max_tokens=5, temperature=0)
    assert (spoken["max_tokens"], spoken["temperature"]) == (5, 0)


@pytest.mark.parametrize(
    ("model", "said", "kept"),
    [
        ("claude-opus-4-7", {}, {}),
        ("claude-opus-4-1", {"top_p": 0.5}, {"top_p": 0.5}),
        ("claude-sonnet-4-5", {"reasoning_effort": "high", "max_tokens": 4096}, {"thinking": ANY}),
    ],
)
async def test_nothing_of_the_clients_is_lost_or_refused_for_the_operators_temperature(
    model: str, said: dict[str, Any], kept: dict[str, Any]
) -> None:
    """`strict` refuses what a receipt would name."""
    received = await sent(OPENAI, ANTHROPIC, strict="true", model=f"anthropic/{model}", **said)
    limit = said.get("max_tokens", 77)
    assert {key: received[key] for key in received.keys() - {"model", "messages"}} == {"max_tokens": limit, **kept}


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    ("model", "effort", "temperature"),
    [
        ("gpt-4.1", None, 0.5),
        ("gpt-5", None, None),
        ("gpt-5-mini-2025-08-07", "low", None),
        ("gpt-5-chat-latest", None, 0.5),
        ("gpt-5.1", None, 0.5),
        ("gpt-5.2-2025-12-11", "low", None),
        ("gpt-5.2-pro", None, None),
        ("gpt-5.6-sol", None, None),
        ("o1", None, None),
        ("o3-mini", "high", None),
        ("o4-mini-2025-04-16", None, None),
        ("openai/gpt-oss-120b", "low", 0.5),
    ],
)
async def test_on_either_lane_the_operators_temperature_gives_way_where_openais_models_take_none(
    client: Speech, model: str, effort: str | None, temperature: float | None
) -> None:
    said = {"reasoning_effort": effort} if client is OPENAI else {"output_config": {"effort": effort}}
    received = await sent(client, OPENAI, model=f"openai/{model}", max_tokens=9, **(said if effort else {}))
    assert received.get("temperature") == temperature
    assert received.get("reasoning_effort") == effort


@pytest.mark.parametrize("thinking", [{"type": "adaptive"}, {"type": "enabled", "budget_tokens": 1024}])
async def test_so_it_does_where_thoughts_are_asked_for_in_other_words(thinking: dict[str, Any]) -> None:
    received = await sent(ANTHROPIC, OPENAI, model="openai/gpt-5.1", max_tokens=2048, thinking=thinking)
    assert "temperature" not in received


@pytest.mark.parametrize("client", ["openai_chat", "bedrock"])
async def test_a_client_of_nova_gets_the_effort_that_it_asks_for(client: str) -> None:
    """Which Nova takes beside no temperature, and so it was lowered, or refused."""
    config = {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}
    path, body = {
        "openai_chat": ("/v1/chat/completions", {"model": NOVA, "reasoning_effort": "high", "messages": USER}),
        "bedrock": (f"/model/{NOVA}/converse", {"messages": BLOCKS, "additionalModelRequestFields": config}),
    }[client]
    row = {"PILLION_BEDROCK_LOCATION": "us-east-1", "PILLION_BEDROCK_TEMPERATURE": "0.5"}
    async with (
        Evil(Scenario(body=b"{}", headers=JSON)) as evil,
        pillion(PILLION_BEDROCK_BASE_URL=evil.url, AWS_BEARER_TOKEN_BEDROCK="k", **row) as gateway,
    ):
        await ask(gateway, "POST", path, json.dumps(body).encode())
        received = json.loads((await evil.received(1)).body)
    assert received == {"messages": BLOCKS, "additionalModelRequestFields": config}


GOOGLES = {
    "safetySettings": [{"category": "A", "threshold": "B"}],
    "generation_config": {"topK": 5, "temperature": 0.1, "thinking_config": {"includeThoughts": True}},
    "labels": {"a_b": "c"},
}


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ({}, GOOGLES),
        ({"safety_settings": []}, {**GOOGLES, "safety_settings": [], "safetySettings": None}),
        (
            {"generationConfig": {"top_k": 9, "thinkingConfig": {"include_thoughts": False}}, "labels": {"aB": "d"}},
            {
                **GOOGLES,
                "generation_config": None,
                "generationConfig": {
                    "top_k": 9,
                    "temperature": 0.1,
                    "thinkingConfig": {"include_thoughts": False},
                },
                "labels": {"aB": "d", "a_b": "c"},
            },
        ),
        ({"generation_config": None}, GOOGLES),
    ],
    ids=str,
)
async def test_what_the_operator_says_in_googles_words_is_spelled_as_the_client_spells_it(
    said: dict[str, Any], sent: dict[str, Any], tmp_path: Path
) -> None:
    """Google refuses a body in which a field stands in both of its spellings, or takes either for what was meant."""
    asked = {"contents": [{"parts": [{"text": "Hi"}]}], **said}
    async with Evil(Scenario(body=b"{}", headers=JSON)) as evil:
        row = {"base_url": evil.url, "api_key": "k", "body": GOOGLES}
        config = config_file(json.dumps({"providers": {"gemini": row}}), tmp_path)
        async with pillion(**config) as gateway:
            await ask(gateway, "POST", "/v1beta/models/gemini-2.5-flash:generateContent", json.dumps(asked).encode())
        received = json.loads((await evil.received(1)).body)
    assert received == {
        "contents": asked["contents"],
        **{key: value for key, value in sent.items() if value is not None},
    }


async def test_nor_does_another_wires_client_make_two_of_it(tmp_path: Path) -> None:
    async with Evil(Scenario(body=b"{}", headers=JSON)) as evil:
        row = {"base_url": evil.url, "api_key": "k", "body": GOOGLES}
        async with pillion(**config_file(json.dumps({"providers": {"gemini": row}}), tmp_path)) as gateway:
            asked = {"model": "gemini/gemini-2.5-flash", "messages": USER, "temperature": 0.7}
            await ask(gateway, "POST", "/v1/chat/completions", json.dumps(asked).encode())
        received = json.loads((await evil.received(1)).body)
    assert received["generationConfig"] == {
        "temperature": 0.7,
        "topK": 5,
        "thinking_config": {"includeThoughts": True},
    }
    assert "generation_config" not in received
