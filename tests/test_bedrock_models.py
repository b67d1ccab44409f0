"""Is each generation of Claude and of Nova on Bedrock told what it takes, and nothing that it refuses?

https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html
"""

import json
from typing import Any

import pytest

from proxy.canon import Reasoning, Request, Text, Thinking, Tool, ToolChoice, Turn
from proxy.dialects.bedrock import Bedrock
from proxy.errors import Unrepresentable

WIRE = Bedrock()
OLDEST = "anthropic.claude-3-haiku-20240307-v1:0"
BY_BUDGET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
BY_EITHER = "us.anthropic.claude-opus-4-6-v1"
BY_EFFORT = "us.anthropic.claude-opus-4-8-v1:0"
ALWAYS = "anthropic.claude-fable-5"
UNFORCED = "anthropic.claude-opus-6-v1"


def said(text: str, role: Any = "user") -> Turn:
    return Turn(role=role, parts=[Text(text=text)], at="messages[0]")


def told(model: str, *turns: Turn, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What goes out beside the messages, and the receipt."""
    request = Request(wire="openai_chat", model=model, turns=list(turns) or [said("Hi")], **fields)
    encoded = WIRE.encode(request)
    body = json.loads(encoded.body)
    del body["messages"]
    return body, encoded.dropped


@pytest.mark.parametrize(
    ("model", "taken", "dropped"),
    [
        (OLDEST, {"temperature": 0.5, "topP": 0.9}, ()),
        ("amazon.nova-pro-v1:0", {"temperature": 0.5, "topP": 0.9}, ()),
        (BY_BUDGET, {"temperature": 0.5}, ("top_p",)),
        (BY_EITHER, {"temperature": 0.5}, ("top_p",)),
        (BY_EFFORT, {}, ("temperature", "top_p")),
        (ALWAYS, {}, ("temperature", "top_p")),
    ],
)
def test_a_model_gets_the_sampling_that_it_takes(model: str, taken: Any, dropped: tuple[str, ...]) -> None:
    body, lost = told(model, temperature=0.5, top_p=0.9)
    assert (body.get("inferenceConfig", {}), lost) == (taken, dropped)
    assert told(model, temperature=1.0)[1] == ()


@pytest.mark.parametrize(("model", "dropped"), [(BY_BUDGET, ()), (BY_EFFORT, ("top_k",))])
def test_a_model_that_samples_by_itself_gets_no_top_k(model: str, dropped: tuple[str, ...]) -> None:
    body, lost = told(model, top_k=5)
    assert ("additionalModelRequestFields" not in body, lost) == (bool(dropped), dropped)


SHOWN = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("model", "effort", "extra", "dropped"),
    [
        (BY_BUDGET, "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}, ()),
        (BY_EITHER, "low", {"thinking": SHOWN, "output_config": {"effort": "low"}}, ()),
        (BY_EITHER, "xhigh", {"thinking": SHOWN, "output_config": {"effort": "high"}}, ("reasoning",)),
        (BY_EFFORT, "xhigh", {"thinking": SHOWN, "output_config": {"effort": "xhigh"}}, ()),
        (ALWAYS, "high", {"thinking": SHOWN, "output_config": {"effort": "high"}}, ()),
    ],
)
def test_an_effort_is_said_as_the_model_takes_it(model: str, effort: str, extra: Any, dropped: Any) -> None:
    body, lost = told(model, reasoning=Reasoning(effort=effort), max_tokens=9000)
    assert (body["additionalModelRequestFields"], lost) == (extra, dropped)
    assert body["inferenceConfig"] == {"maxTokens": 9000}


@pytest.mark.parametrize(
    ("model", "extra", "dropped"),
    [
        (BY_BUDGET, {"thinking": {"type": "disabled"}}, ()),
        (BY_EFFORT, None, ()),
        (ALWAYS, {"output_config": {"effort": "low"}}, ("reasoning",)),
    ],
)
def test_no_thinking_is_said_where_the_model_takes_that(model: str, extra: Any, dropped: Any) -> None:
    body, lost = told(model, reasoning=Reasoning(off=True))
    assert (body.get("additionalModelRequestFields"), lost) == (extra, dropped)


@pytest.mark.parametrize(
    ("model", "fields", "paths"),
    [
        (BY_EFFORT, {"reasoning": Reasoning(effort="high")}, ["/usage/output_tokens_details"]),
        (
            BY_BUDGET,
            {"reasoning": Reasoning(budget=2000), "max_tokens": 9000, "stop": ["a"]},
            ["/stop_sequence", "/usage/output_tokens_details"],
        ),
        (BY_BUDGET, {"reasoning": Reasoning(off=True)}, None),
        (BY_EFFORT, {}, None),
        (ALWAYS, {}, ["/usage/output_tokens_details"]),  # it thinks unasked
        ("anthropic.claude-opus-5", {}, ["/usage/output_tokens_details"]),
        ("anthropic.claude-opus-5", {"reasoning": Reasoning(off=True)}, None),
        ("openai.gpt-oss-120b-1:0", {"reasoning": Reasoning(effort="high"), "stop": ["a"]}, None),
    ],
)
def test_claude_is_asked_what_it_says_only_then(model: str, fields: Any, paths: list[str] | None) -> None:
    body, _ = told(model, **fields)
    assert body.get("additionalModelResponseFieldPaths") == paths


def test_thoughts_are_asked_to_be_shown() -> None:
    body, lost = told(BY_EFFORT, reasoning=Reasoning(effort="high", summary="auto"))
    assert body["additionalModelRequestFields"]["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert lost == ()


@pytest.mark.parametrize("model", [BY_EITHER, BY_EFFORT, ALWAYS])
def test_a_turn_to_be_continued_is_refused_where_none_is(model: str) -> None:
    with pytest.raises(Unrepresentable, match="this model requires the last message to be the user's"):
        told(model, said("Hi"), said("The", "assistant"))
    assert told(BY_BUDGET, said("Hi"), said("The", "assistant"))[1] == ()


@pytest.mark.parametrize("unsaid", [Text(text=""), Thinking(text="Hm.")])
def test_a_last_turn_of_which_nothing_is_said_is_not_to_be_continued(unsaid: Any) -> None:
    assert told(BY_EFFORT, said("Hi"), Turn(role="assistant", parts=[unsaid], at="messages[1]"))[0] == {}


def test_a_tool_is_forced_where_the_model_takes_that() -> None:
    forced: dict[str, Any] = {"tools": [Tool(name="f")], "tool_choice": ToolChoice("required")}
    body, lost = told(BY_EFFORT, **forced)
    assert (body["toolConfig"]["toolChoice"], lost) == ({"any": {}}, ())
    body, lost = told(UNFORCED, **forced)
    assert ("toolChoice" not in body["toolConfig"], lost) == (True, ("tool_choice",))


# --- and Nova --------------------------------------------------------------------------------------------------------

NOVA_2 = "us.amazon.nova-2-lite-v1:0"


@pytest.mark.parametrize(
    ("fields", "effort", "dropped"),
    [
        ({"reasoning": Reasoning(effort="low"), "max_tokens": 500}, "low", ()),
        ({"reasoning": Reasoning(effort="minimal")}, "low", ("reasoning.effort",)),
        ({"reasoning": Reasoning(effort="high")}, "high", ()),
        ({"reasoning": Reasoning(effort="high"), "max_tokens": 500}, "medium", ("reasoning.effort",)),
        ({"reasoning": Reasoning(effort="xhigh"), "temperature": 0.5}, "medium", ("reasoning.effort",)),
    ],
)
def test_nova_thinks_by_effort_and_keeps_its_bounds(fields: Any, effort: str, dropped: tuple[str, ...]) -> None:
    body, lost = told(NOVA_2, **fields)
    said = {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}
    assert (body["additionalModelRequestFields"], lost) == (said, dropped)
    assert body.get("inferenceConfig", {}).get("maxTokens") == fields.get("max_tokens")


def test_nova_does_not_think_unasked() -> None:
    assert told(NOVA_2, reasoning=Reasoning(off=True)) == ({}, ())
    assert told(NOVA_2, reasoning=Reasoning(effort="none")) == ({}, ())
    assert told(NOVA_2, reasoning=Reasoning(budget=2000)) == ({}, ("reasoning",))
    assert told("amazon.nova-pro-v1:0", reasoning=Reasoning(effort="low")) == ({}, ("reasoning",))
