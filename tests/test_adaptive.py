"""Is a model told that it decides how much to think, wherever there is a word for that, and the client told where not?

Claude's `thinking: {type: adaptive}`, and Google's `thinkingBudget: -1`.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy import registry
from proxy.ports import Peek

Json = dict[str, Any]

NEWER, EITHER, OLDER = "claude-opus-4-7", "claude-opus-4-6", "claude-sonnet-4-5"
ADAPTIVE = {"type": "adaptive"}
TURNS = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
MESSAGES: Json = {"model": "m", "max_tokens": 9000, "messages": TURNS}
CONVERSE: Json = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {"maxTokens": 9000}}
GEMINI: Json = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def claudes(effort: str | None) -> Iterator[tuple[str, Json, str]]:
    """What clients say that let Claude decide, and what they call it."""
    config: Json = {} if effort is None else {"output_config": {"effort": effort}}
    yield "anthropic", {**MESSAGES, "thinking": ADAPTIVE, **config}, "thinking.type"
    for key in ("thinking", "reasoning_config"):
        more = {"additionalModelRequestFields": {key: ADAPTIVE, **config}}
        yield "bedrock", CONVERSE | more, f"additionalModelRequestFields.{key}.type"


def googles() -> tuple[str, Json, str]:
    config = {"thinkingConfig": {"thinkingBudget": -1}, "maxOutputTokens": 9000}
    return "gemini", {**GEMINI, "generationConfig": config}, "generationConfig.thinkingConfig.thinkingBudget"


def crossed(client: str, body: Json, target: str, model: str) -> tuple[Json, tuple[str, ...]]:
    request = registry.dialect(client).parse(json.dumps(body).encode(), Peek("m", stream=False))
    request.model = model
    encoded = registry.dialect(target).encode(request)
    return json.loads(encoded.body), encoded.dropped


TARGETS = [
    ("openai_chat", "gpt-5.5"),
    ("openai_responses", "gpt-5.5"),
    ("gemini", "gemini-3-pro"),
    ("ollama", "gpt-oss:20b"),
    ("cohere", "command-a-reasoning-08-2025"),
    ("bedrock", "openai.gpt-oss-120b-1:0"),
    ("bedrock", NEWER),
    ("bedrock_invoke", NEWER),
    ("anthropic", EITHER),
]


@pytest.mark.parametrize(("target", "model"), TARGETS)
@pytest.mark.parametrize("case", [*claudes("low")], ids=["anthropic", "bedrock", "as it was"])
def test_an_effort_says_all_of_it(case: tuple[str, Json, str], target: str, model: str) -> None:
    client, body, name = case
    said, dropped = crossed(client, body, target, model)
    assert name not in dropped
    assert b"low" in json.dumps(said).lower().encode() or "thinking" in said  # Cohere has tokens


@pytest.mark.parametrize(("target", "model"), TARGETS)
@pytest.mark.parametrize("case", [*claudes(None), googles()], ids=["anthropic", "bedrock", "as it was", "google"])
def test_without_one_it_is_said_to_models_that_know_it_and_else_receipted(
    case: tuple[str, Json, str], target: str, model: str
) -> None:
    client, body, name = case
    said, dropped = crossed(client, body, target, model)
    if client == target:
        assert dropped == ()  # in the client's own words
    elif "claude" in model:
        fields = said.get("additionalModelRequestFields", said)
        assert (fields["thinking"], dropped) == (ADAPTIVE, ())
    elif target == "gemini":
        assert (said["generationConfig"]["thinkingConfig"], dropped) == ({"includeThoughts": True}, ())
    else:
        assert dropped == (name,)


@pytest.mark.parametrize("target", ["anthropic", "bedrock", "bedrock_invoke"])
def test_a_model_that_thinks_by_budget_is_not_told(target: str) -> None:
    said, dropped = crossed(*googles()[:2], target, OLDER)
    assert "thinking" not in json.dumps(said)
    assert dropped == (googles()[2],)


def test_googles_models_that_take_tokens_are_told_so() -> None:
    for client, body, _ in claudes(None):
        said, dropped = crossed(client, body, "gemini", "gemini-2.5-flash")
        assert said["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, "thinkingBudget": -1}
        assert dropped == ()


def test_who_must_call_a_tool_does_not_think_first() -> None:
    client, body, name = googles()
    tool = {"functionDeclarations": [{"name": "f"}]}
    forced = {"functionCallingConfig": {"mode": "ANY"}}
    said, dropped = crossed(client, {**body, "tools": [tool], "toolConfig": forced}, "anthropic", EITHER)
    assert ("thinking" in said, dropped) == (False, (name,))


@pytest.mark.parametrize("case", [*claudes(None), *claudes("low"), googles()])
def test_the_own_wire_gets_it_as_it_came(case: tuple[str, Json, str]) -> None:
    client, body, _ = case
    said, dropped = crossed(client, body, client, "m")
    assert dropped == ()
    assert {key: value for key, value in said.items() if value} | {"model": "m"} == body | {"model": "m"}


@pytest.mark.parametrize("model", [NEWER, EITHER])
@pytest.mark.parametrize("off", [{}, {"thinking": {"type": "disabled"}}])
def test_an_effort_alone_makes_no_model_think(off: Json, model: str) -> None:
    """It is that of the whole answer: https://platform.claude.com/docs/en/build-with-claude/effort"""
    body = {**MESSAGES, "output_config": {"effort": "low"}, **off}
    said, dropped = crossed("anthropic", body, "bedrock", model)
    assert said["inferenceConfig"]["maxTokens"] == MESSAGES["max_tokens"]
    unthinking = off if model == EITHER else {}  # the newer one does not think unless it is asked to
    assert said["additionalModelRequestFields"] == {"output_config": {"effort": "low"}} | unthinking
    assert dropped == ()


def test_an_effort_of_a_model_that_knows_none_is_receipted() -> None:
    body = {**MESSAGES, "output_config": {"effort": "low"}, "thinking": {"type": "disabled"}}
    said, dropped = crossed("anthropic", body, "bedrock", OLDER)
    assert (said["additionalModelRequestFields"], dropped) == (
        {"thinking": {"type": "disabled"}},
        ("output_config.effort",),
    )
