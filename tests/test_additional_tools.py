"""Are the tools that an item of the input offers on offer, wherever the answer comes from?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.envelope import Envelope
from proxy.lanes.freetext import as_functions
from proxy.ports import Dialect, Peek
from proxy.spending.extent import Longest, extent

WIRE: Dialect = OpenAIResponses(clock=lambda: 1750000000.0)
PARAMETERS = {"type": "object", "properties": {}}
INNER = {"type": "function", "name": "f", "parameters": PARAMETERS, "strict": False}
SPACE = {"type": "namespace", "name": "mcp", "description": "x", "tools": [INNER]}
FREE = {"type": "custom", "name": "exec", "description": "Runs it."}
TOP = {"type": "function", "name": "top", "parameters": PARAMETERS, "strict": False}
ADDED = {"type": "additional_tools", "role": "developer", "tools": [SPACE, FREE]}
HI = {"role": "user", "content": "Hi"}
WIRES = {
    "openai_chat": "llama-4",
    "anthropic": "claude-opus-4-8",
    "gemini": "gemini-3.8-flash",
    "bedrock": "amazon.nova-pro",
    "ollama": "qwen3",
    "cohere": "command-a",
}


def parsed(*items: Any) -> Any:
    return WIRE.parse(json.dumps({"model": "m", "input": items, "tools": [TOP]}).encode(), Peek("m", False))


@pytest.mark.parametrize("items", [(ADDED, HI), (HI, ADDED), (HI, ADDED, HI)])
def test_its_own_wire_gets_the_item_where_it_stood(items: tuple[Any, ...]) -> None:
    body = json.loads(WIRE.encode(parsed(*items)).body)
    assert (body["input"], body["tools"]) == (list(items), [TOP])


@pytest.mark.parametrize("items", [(ADDED, HI), (HI, ADDED), (HI, ADDED, HI)])
@pytest.mark.parametrize("wire", WIRES)
def test_others_get_the_tools(wire: str, items: tuple[Any, ...]) -> None:
    request = parsed(*items)
    assert [tool.name for tool in request.tools] == ["top", "mcp__f", "exec"]
    request.model = WIRES[wire]
    encoded = registry.dialect(wire).encode(as_functions(request))
    assert all(name in encoded.body for name in (b'"top"', b'"mcp__f"', b'"exec"'))
    assert (encoded.dropped, b"additional_tools" in encoded.body) == ((), False)


def test_a_tool_of_another_wire_with_a_field_of_that_name_is_no_such_tool() -> None:
    tool = {"type": "function", "function": {"name": "f"}, "additional_tools": {}}
    asked = {"model": "m", "messages": [HI], "tools": [tool]}
    request = registry.dialect("openai_chat").parse(json.dumps(asked).encode(), Peek("m", False))
    encoded = WIRE.encode(request)
    assert [one["name"] for one in json.loads(encoded.body)["tools"]] == ["f"]
    assert encoded.dropped == ("additional_tools",)


def test_a_server_tool_among_them_is_refused_where_it_stands() -> None:
    request = parsed({**ADDED, "tools": [{"type": "web_search"}]}, HI)
    with pytest.raises(Exception, match=r"input\[0\]\.tools\[0\]"):
        registry.dialect("anthropic").encode(request)


def test_whatever_they_are_a_strict_budget_holds_them_for_tools_without_a_bound() -> None:
    body = json.dumps({"model": "m", "max_output_tokens": 9, "input": [ADDED, HI]}).encode()
    assert extent(Envelope(body), WIRE.bounds, Longest(None, None)).is_open
