"""Does a model of OpenAI's get no more of what clients of other wires say than it takes, and is the rest named?"""

import json
from typing import Any

import pytest

from proxy.canon import Reasoning, Request, Text, Turn
from proxy.config.models import Cards
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.ports import Dialect

CHAT: Dialect = OpenAIChat(clock=lambda: 1750000000.0)
RESPONSES: Dialect = OpenAIResponses(clock=lambda: 1750000000.0)
SAMPLED: dict[str, Any] = {
    "temperature": 0.2, "top_p": 0.5, "logprobs": True, "top_logprobs": 2,
    "frequency_penalty": 1, "presence_penalty": 1, "logit_bias": {"1": 2},
}  # fmt: skip
STOP: dict[str, Any] = {"stop": ["x"]}
IDLE: dict[str, Any] = {
    "temperature": 1, "top_p": 1, "logprobs": False, "top_logprobs": 0,
    "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}, "stop": [],
}  # fmt: skip


def crossed(target: Dialect, model: str, wire: str = "cohere", **fields: Any) -> tuple[dict[str, Any], set[str]]:
    """What goes out, and the receipt."""
    turns = [Turn(role="user", parts=[Text(text="Hi")])]
    encoded = target.encode(Request(wire=wire, model=model, turns=turns, **fields))
    return json.loads(encoded.body), set(encoded.dropped)


def effort(target: Dialect, said: dict[str, Any]) -> Any:
    return said.get("reasoning_effort") if target is CHAT else said.get("reasoning", {}).get("effort")


@pytest.mark.parametrize("target", [CHAT, RESPONSES], ids=["chat", "responses"])
@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        ("o4-mini", "minimal", "low"),
        ("gpt-5-mini", "none", "minimal"),
        ("gpt-5", "xhigh", "high"),
        ("gpt-5-pro", "low", "high"),
        ("gpt-5-codex", "minimal", "low"),
        ("gpt-5.1", "max", "high"),
        ("gpt-5.1-codex-max", "max", "xhigh"),
        ("gpt-5.2", "minimal", "low"),
        ("gpt-5.2-pro", "max", "xhigh"),
        ("gpt-5.3-chat-latest", "low", "medium"),
        ("openai/gpt-5.5-2026-04-24", "max", "xhigh"),
        ("gpt-6.1-sol", "none", "low"),
        ("openai.gpt-oss-120b", "max", "high"),
    ],
)
def test_an_effort_that_the_model_refuses_is_the_nearest_and_named(
    target: Dialect, model: str, asked: str, expected: str
) -> None:
    said, dropped = crossed(target, model, reasoning=Reasoning(effort=asked))
    assert (effort(target, said), dropped) == (expected, {"reasoning"})


@pytest.mark.parametrize("target", [CHAT, RESPONSES], ids=["chat", "responses"])
@pytest.mark.parametrize(
    ("model", "reasoning", "expected"),
    [
        ("gpt-5.1", Reasoning(off=True), "none"),
        ("gpt-5.6-luna", Reasoning(budget=0), "none"),
        ("gpt-6-sol", Reasoning(effort="max"), "max"),
        ("gpt-5.4-mini", Reasoning(effort="xhigh"), "xhigh"),
        ("llama-4", Reasoning(effort="max"), "max"),
        ("gpt-5.1", Reasoning(effort="unheard-of"), "unheard-of"),
    ],
)
def test_an_effort_that_it_takes_crosses(target: Dialect, model: str, reasoning: Reasoning, expected: str) -> None:
    said, dropped = crossed(target, model, reasoning=reasoning)
    assert (effort(target, said), dropped) == (expected, set())


@pytest.mark.parametrize("target", [CHAT, RESPONSES], ids=["chat", "responses"])
@pytest.mark.parametrize(
    ("model", "reasoning", "expected", "dropped"),
    [
        ("gpt-5.1", Reasoning(budget=2048), "low", {"reasoning.budget"}),
        ("gpt-5-pro", Reasoning(budget=2048), "high", {"reasoning.budget"}),
        ("gpt-5.2-pro", Reasoning(budget=2048), "medium", {"reasoning.budget"}),
        ("gpt-5.3-chat-latest", Reasoning(budget=9000), "medium", {"reasoning.budget"}),
        ("gpt-5.1", Reasoning(effort="high", budget=2048), "high", {"reasoning.budget"}),
        ("gpt-5.1", Reasoning(effort="max", budget=2048), "high", {"reasoning", "reasoning.budget"}),
    ],
)
def test_a_budget_is_an_effort_that_the_model_takes(
    target: Dialect, model: str, reasoning: Reasoning, expected: str, dropped: set[str]
) -> None:
    said, receipt = crossed(target, model, reasoning=reasoning)
    assert (effort(target, said), receipt) == (expected, dropped)


@pytest.mark.parametrize(("budget", "expected"), [(2048, "medium"), (0, "medium"), (50_000, "high")])
def test_a_budget_of_a_client_of_the_other_wire_is_one_too(budget: int, expected: str) -> None:
    said, dropped = crossed(RESPONSES, "gpt-5.2-pro", wire="openai_chat", reasoning=Reasoning(budget=budget))
    assert (effort(RESPONSES, said), dropped) == (expected, {"reasoning" if budget == 0 else "reasoning.budget"})


def test_the_highest_effort_of_the_newest_is_not_in_chat_completions() -> None:
    asked = Reasoning(effort="max")
    assert effort(CHAT, crossed(CHAT, "gpt-6.1-sol", reasoning=asked)[0]) == "xhigh"
    assert effort(RESPONSES, crossed(RESPONSES, "gpt-6.1-sol", reasoning=asked)[0]) == "max"


def test_a_client_of_the_other_wire_has_said_its_models_own_word() -> None:
    for asked in (Reasoning(effort="none"), Reasoning(off=True)):
        said, dropped = crossed(RESPONSES, "gpt-6.1-sol", wire="openai_chat", reasoning=asked)
        assert (effort(RESPONSES, said), dropped) == ("none", set())
    both = Reasoning(effort="none", budget=2048)
    said, dropped = crossed(RESPONSES, "gpt-6.1-sol", wire="openai_chat", reasoning=both)
    assert (effort(RESPONSES, said), dropped) == ("none", {"reasoning.budget"})


@pytest.mark.parametrize(
    ("model", "reasoning", "takes"),
    [
        ("o1", None, STOP),
        ("o3", None, {}),
        ("gpt-5-mini", None, {}),
        ("gpt-5.5", None, STOP),
        ("gpt-5.6-sol", None, STOP),
        ("gpt-6.1-terra", Reasoning(effort="low"), STOP),
        ("gpt-5.2-chat-latest", None, {}),
        ("gpt-5.1", Reasoning(effort="low"), {}),
        ("gpt-5.1", Reasoning(budget=5000), {}),
        ("gpt-5.1", None, SAMPLED),
        ("gpt-5.1", Reasoning(summary="auto"), SAMPLED),
        ("gpt-5.4", None, SAMPLED),
        ("gpt-5.4", Reasoning(off=True), SAMPLED),
        ("gpt-6-luna", Reasoning(effort="none"), SAMPLED | STOP),
        ("gpt-5-chat-latest", None, SAMPLED | STOP),
        ("gpt-4.1", None, SAMPLED | STOP),
        ("gpt-4o-mini-search-preview", None, STOP),
        ("gpt-4o-search-preview-2025-03-11", Reasoning(effort="low"), STOP),
        ("gpt-oss-120b", Reasoning(effort="low"), SAMPLED | STOP),
        ("deepseek-chat", None, SAMPLED | STOP),
    ],
)
def test_what_it_takes_beside_its_reasoning(model: str, reasoning: Reasoning | None, takes: dict[str, Any]) -> None:
    said, dropped = crossed(CHAT, model, reasoning=reasoning, **SAMPLED, **STOP)
    assert {key: said[key] for key in SAMPLED | STOP if key in said} == takes
    assert dropped - {"reasoning.budget", "reasoning.summary"} == (SAMPLED | STOP).keys() - takes.keys()
    said, dropped = crossed(RESPONSES, model, reasoning=reasoning, **SAMPLED)
    assert ("temperature" in said, "message.output_text.logprobs" in said["include"]) == ("temperature" in takes,) * 2


def test_what_it_does_unasked_is_named_nowhere() -> None:
    said, dropped = crossed(CHAT, "gpt-5-mini", **IDLE)
    assert (said.keys() & IDLE.keys(), dropped) == (set(), set())


def test_an_operators_temperature_gives_way_in_silence() -> None:
    said, dropped = crossed(RESPONSES, "gpt-6.1-sol", temperature=0.2, hinted=True, top_p=0.5)
    assert (said.keys() & SAMPLED.keys(), dropped) == (set(), {"top_p"})


@pytest.mark.parametrize(
    "model",
    """gpt-5 gpt-5-mini gpt-5-pro gpt-5-chat-latest gpt-5-codex gpt-5.1 gpt-5.1-chat-latest gpt-5.1-codex-max gpt-5.2
    gpt-5.2-pro gpt-5.3-codex gpt-5.4-mini gpt-5.5 gpt-5.6-luna gpt-6.1-sol gpt-oss-120b gpt-4o gpt-4o-search-preview
    gpt-4.1 o1 o1-mini o3 o3-mini o3-pro o4-mini openai/o3 openai.gpt-5.1""".split(),
)
def test_the_two_tables_agree_on_when_a_temperature_is_taken(model: str) -> None:
    """This one decides about the client's, and models.yaml about the operator's."""
    silent = "temperature" in crossed(CHAT, model, temperature=0.2)[0]
    thinking = "temperature" in crossed(CHAT, model, temperature=0.2, reasoning=Reasoning(effort="high"))[0]
    card = Cards().of(model)
    sampling = (card and card.sampling) or "always"
    assert {(True, True): "always", (True, False): "unthinking", (False, False): "never"}[silent, thinking] == sampling
