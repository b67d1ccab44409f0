"""Does a cache point of OpenAI's reach every wire that has one, and what only its two wires know the other one?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.errors import Unrepresentable
from proxy.grammar.searching import leave_kept
from proxy.ports import Encoded, Peek

SPEC = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
POINT = {"cachePoint": {"type": "default"}}
MODELS = {
    "openai_chat": "gpt-6.1-sol",
    "openai_responses": "gpt-6.1-sol",
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "anthropic.claude-sonnet-4-5",
}


def pointed(wire: str, target: str, point: dict[str, Any], model: str = "") -> Encoded:
    """What the target gets of a user's text that ends with a cache point."""
    kind, turns = ("text", "messages") if wire == "openai_chat" else ("input_text", "input")
    part = {"type": kind, "text": "a", "prompt_cache_breakpoint": point}
    body: dict[str, Any] = {"model": model or MODELS[target], turns: [{"role": "user", "content": [part]}]}
    request = registry.dialect(wire).parse(json.dumps(body).encode(), Peek(body["model"], False))
    return registry.dialect(target).encode(request)


def told(wire: str, target: str, point: dict[str, Any]) -> str:
    return pointed(wire, target, point).body.decode()


@pytest.mark.parametrize("wire", ["openai_chat", "openai_responses"])
@pytest.mark.parametrize(("ttl", "claudes"), [(None, None), ("30m", "1h"), ("12h", "1h")])
def test_claude_gets_its_own(wire: str, ttl: str | None, claudes: str | None) -> None:
    point = {"mode": "explicit"} | ({} if ttl is None else {"ttl": ttl})
    lasts = {} if claudes is None else {"ttl": claudes}
    block = json.loads(told(wire, "anthropic", point))["messages"][0]["content"][0]
    assert block == {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"} | lasts}
    _, mark = json.loads(told(wire, "bedrock", point))["messages"][0]["content"]
    assert mark == {"cachePoint": {"type": "default"} | lasts}


@pytest.mark.parametrize("wire", ["openai_chat", "openai_responses"])
@pytest.mark.parametrize("target", ["openai_chat", "openai_responses"])
def test_openai_gets_it_as_it_came(wire: str, target: str) -> None:
    point = {"mode": "explicit", "ttl": "30m"}
    assert f'"prompt_cache_breakpoint":{json.dumps(point, separators=(",", ":"))}' in told(wire, target, point)


@pytest.mark.parametrize("point", [{}, {"ttl": "30m"}])
def test_what_is_none_is_left_as_it_is(point: dict[str, Any]) -> None:
    assert '"prompt_cache_breakpoint":{' in told("openai_chat", "openai_chat", point)
    assert "cache_control" not in told("openai_chat", "anthropic", point)


CROSSED = pytest.mark.parametrize(
    ("wire", "target"), [("openai_chat", "openai_responses"), ("openai_responses", "openai_chat")], ids=str
)


@CROSSED
@pytest.mark.parametrize("model", ["llama-3.3-70b-versatile", "openai/gpt-oss-120b", "prod"])
def test_other_hosts_of_openais_wires_get_none(wire: str, target: str, model: str) -> None:
    """Many refuse a field that they do not know, and content that is no string."""
    encoded = pointed(wire, target, {"mode": "explicit"}, model)
    assert (b"prompt_cache" in encoded.body, encoded.dropped) == (False, ("prompt_cache_breakpoint",))
    assert set(asked(wire, target, FIELDS, model).dropped) == set(FIELDS)
    with pytest.raises(Unrepresentable, match=r"^moderation: "):
        asked(wire, target, {"moderation": {"policy": {"input": {"mode": "block"}}}}, model)


@CROSSED
@pytest.mark.parametrize("model", ["o3", "gpt-4o", "openai/gpt-5.6", "chatgpt-4o-latest"])
def test_each_model_of_openais_gets_it_as_it_came(wire: str, target: str, model: str) -> None:
    assert b"prompt_cache_breakpoint" in pointed(wire, target, {"mode": "explicit"}, model).body


FIELDS = {"prompt_cache_options": {"mode": "explicit"}, "moderation": {"model": "omni-moderation-latest"}}


def asked(wire: str, target: str, fields: dict[str, Any], model: str = "") -> Encoded:
    said = {"messages": [{"role": "user", "content": "a"}]} if wire == "openai_chat" else {"input": "a"}
    body = {"model": model or MODELS[target], **said, **fields}
    request = registry.dialect(wire).parse(json.dumps(body).encode(), Peek(body["model"], False))
    return registry.dialect(target).encode(request)


@CROSSED
def test_openais_wires_tell_each_other_what_only_they_know(wire: str, target: str) -> None:
    encoded = asked(wire, target, FIELDS)
    assert (json.loads(encoded.body).items() >= FIELDS.items(), encoded.dropped) == (True, ())
    assert set(asked(wire, "anthropic", FIELDS).dropped) == set(FIELDS)


def test_what_one_of_them_lacks_is_told() -> None:
    compared = {"prompt_cache_options": {"mode": "explicit", "comparison_response_id": "resp_1"}}
    assert asked("openai_responses", "openai_chat", compared).dropped == ("prompt_cache_options",)


@pytest.mark.parametrize("side", ["input", "output"])
@CROSSED
def test_a_moderation_that_blocks_is_left_out_nowhere(wire: str, target: str, side: str) -> None:
    blocking = {"moderation": {"model": "m", "policy": {side: {"mode": "block"}}}}
    encoded = asked(wire, target, blocking)
    assert (json.loads(encoded.body).items() >= blocking.items(), encoded.dropped) == (True, ())
    assert json.loads(asked(wire, wire, blocking).body).items() >= blocking.items()
    with pytest.raises(Unrepresentable, match=r"^moderation: Anthropic's API has no equivalent of this field"):
        asked(wire, "anthropic", blocking)
    blocking["moderation"]["unknown"] = {}
    with pytest.raises(Unrepresentable, match=r"^moderation: the"):
        asked(wire, target, blocking)
    scored = {"moderation": {"model": "m", "policy": {side: {"mode": "score"}}}}
    assert asked(wire, "anthropic", scored).dropped == ("moderation",)


@pytest.mark.parametrize("target", ["openai_chat", "anthropic"])
def test_nobody_answers_who_is_only_to_warm_a_cache(target: str) -> None:
    with pytest.raises(Unrepresentable, match="prompt_cache_options"):
        asked("openai_responses", target, {"prompt_cache_options": {"prewarm": True}})
    assert asked("openai_responses", target, {"prompt_cache_options": {"prewarm": False}}).dropped


def after_caching_by_itself(target: str, content: Any, **more: Any) -> Encoded:
    body = {
        "model": MODELS[target],
        "max_tokens": 9,
        "messages": [{"role": "user", "content": content}],
        "cache_control": {"type": "ephemeral"},
        **more,
    }
    request = registry.dialect("anthropic").parse(json.dumps(body).encode(), Peek(MODELS[target], False))
    encoded = registry.dialect(target).encode(request)
    if target == "anthropic":
        assert json.loads(encoded.body)["cache_control"] == {"type": "ephemeral"}
        assert str(json.loads(encoded.body)).count("ephemeral") == str(body).count("ephemeral")
    return encoded


@pytest.mark.parametrize(
    "content", ["a", [{"type": "text", "text": "b"}, {"type": "text", "text": "a"}]], ids=["text", "blocks"]
)
def test_a_request_that_caches_by_itself_does_so_on_bedrock(content: Any) -> None:
    encoded = after_caching_by_itself("bedrock", content)
    assert json.loads(encoded.body)["messages"][-1]["content"][-2:] == [
        {"text": "a"},
        {"cachePoint": {"type": "default"}},
    ]
    assert encoded.dropped == ()
    after_caching_by_itself("anthropic", content)
    assert after_caching_by_itself("openai_chat", content).dropped == ("cache_control",)


def test_a_point_that_is_there_already_is_the_one() -> None:
    point = {"type": "ephemeral", "ttl": "1h"}
    encoded = after_caching_by_itself("bedrock", [{"type": "text", "text": "a", "cache_control": point}])
    assert encoded.body.count(b"cachePoint") == 1
    after_caching_by_itself("anthropic", [{"type": "text", "text": "a", "cache_control": point}])


# --- a point that a chat request sets at its end, as OpenRouter has it ------------------------------------------------


def ended(target: str) -> Encoded:
    at_the_end = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    body: dict[str, Any] = {"model": MODELS[target], "messages": [{"role": "user", "content": "a"}], **at_the_end}
    request = registry.dialect("openai_chat").parse(json.dumps(body).encode(), Peek(body["model"], False))
    return registry.dialect(target).encode(request)


def test_a_point_at_the_end_reaches_claude() -> None:
    encoded = ended("anthropic")
    (block,) = json.loads(encoded.body)["messages"][-1]["content"]
    assert block == {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert encoded.dropped == ()
    encoded = ended("bedrock")
    assert json.loads(encoded.body)["messages"][-1]["content"][-1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert encoded.dropped == ()


def test_on_its_own_wire_it_is_said_once() -> None:
    told = json.loads(ended("openai_chat").body)
    assert told["messages"] == [{"role": "user", "content": "a"}]
    assert told["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_where_there_are_none_it_is_on_the_receipt() -> None:
    assert ended("openai_responses").dropped == ("cache_control",)


@pytest.mark.parametrize(
    "tools",
    [
        [POINT, SPEC],
        [SPEC, POINT, POINT],
        [SPEC, {"cachePoint": {"type": "new"}}],
    ],
)
def test_a_cache_point_that_marks_no_tool_is_no_tool_elsewhere(tools: list[dict[str, Any]]) -> None:
    """It was refused as a tool of Bedrock's own. Bedrock itself gets it where it stood."""
    bedrock = registry.dialect("bedrock")
    asked = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "toolConfig": {"tools": tools}}
    request = bedrock.parse(json.dumps(asked).encode(), Peek("m", False))
    assert json.loads(bedrock.encode(request).body)["toolConfig"]["tools"] == tools
    assert leave_kept(request) == ["cachePoint"]
    assert [tool.name for tool in request.tools] == ["f"]
    registry.dialect("gemini").encode(request)
