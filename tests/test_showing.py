"""Does a picture that a tool gave back reach a model whose wire holds text alone in a result?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.canon import Image, Inline, Part, Request, Text, ToolCall, ToolResult
from tests.placed import placed

PIXEL = "iVBORw0KGgo="
URL = f"data:image/png;base64,{PIXEL}"
CAPTIONS = ["What the tool call 1 gave back:", "What the tool call 2 gave back:"]


def image() -> Part:
    return Image(source=Inline(PIXEL, "image/png"))


def asked(*results: ToolResult, more: str = "") -> Request:
    """Each result in a turn of its own; what the user says besides stands in the last."""
    calls = [ToolCall(id=result.id, name="f", arguments="{}") for result in results]
    turns = [placed("user", [Text(text="Hi")], "messages[0]"), placed("assistant", calls, "messages[1]")]
    turns += [placed("user", [result], f"messages[{number}]") for number, result in enumerate(results, 2)]
    turns[-1].parts += [Text(text=more)] if more else []
    return Request(wire="elsewhere", model="m", turns=turns)


def said(wire: str, request: Request) -> list[dict[str, Any]]:
    """What follows the calls: each message's role, words and pictures."""
    messages = json.loads(registry.dialect(wire).encode(request).body)["messages"][2:]
    return [_read(message) for message in messages]


def _read(message: dict[str, Any]) -> dict[str, Any]:
    content: Any = message["content"]
    items: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    words = [line for item in items if item["type"] == "text" for line in item["text"].splitlines()]
    shown = [item["image_url"]["url"] for item in items if item["type"] == "image_url"]
    return {"role": message["role"], "words": words, "shown": shown or message.get("images", [])}


@pytest.mark.parametrize("wire", ["openai_chat", "ollama", "cohere"])
def test_it_comes_once_all_results_are_told(wire: str) -> None:
    results = ToolResult(id="1", parts=[Text(text="a"), image()]), ToolResult(id="2", parts=[image(), image()])
    picture = PIXEL if wire == "ollama" else URL
    told = said(wire, asked(*results, more="Well?"))
    assert [message["role"] for message in told] == ["tool", "tool", "user", "user"]
    assert [message["words"] for message in told] == [
        ["a"],
        ["The result is in the user's next message."],
        CAPTIONS,
        ["Well?"],
    ]
    assert [len(message["shown"]) for message in told] == [0, 0, 3, 0]
    assert set(told[2]["shown"]) == {picture}


@pytest.mark.parametrize("wire", ["openai_chat", "ollama", "cohere"])
def test_it_comes_at_the_end_where_nothing_follows(wire: str) -> None:
    told = said(wire, asked(ToolResult(id="1", parts=[image()])))
    assert [(message["role"], len(message["shown"])) for message in told] == [("tool", 0), ("user", 1)]


@pytest.mark.parametrize("wire", ["openai_chat", "ollama", "cohere"])
def test_a_result_of_words_stays_as_it_was(wire: str) -> None:
    told = said(wire, asked(ToolResult(id="1", parts=[Text(text="a")])))
    assert told == [{"role": "tool", "words": ["a"], "shown": []}]
