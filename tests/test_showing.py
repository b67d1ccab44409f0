"""Does a picture reach a model whose wire takes none there: in a tool's result, or in what the assistant said?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.canon import Image, Inline, Part, Request, Role, Text, ToolCall, ToolResult
from proxy.errors import Unrepresentable
from proxy.grammar.showing import DRAWN, DRAWN_ELSEWHERE
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


# --- what the assistant has drawn ------------------------------------------------------------------------------------

TAKES = ["openai_chat", "openai_responses", "anthropic", "bedrock", "cohere"]  # images from users alone


def drawn(*turns: tuple[Role, list[Part]]) -> Request:
    placed_turns = [placed(role, parts, f"messages[{number}]") for number, (role, parts) in enumerate(turns)]
    return Request(wire="elsewhere", model="m", turns=placed_turns)


def encoded(wire: str, request: Request) -> tuple[str, tuple[str, ...]]:
    made = registry.dialect(wire).encode(request)
    return made.body.decode(), made.dropped


@pytest.mark.parametrize("wire", TAKES)
def test_what_the_assistant_has_drawn_is_shown_by_the_user(wire: str) -> None:
    hello, words = Text(text="Draw a cat."), Text(text="Bluer.")
    body, dropped = encoded(wire, drawn(("user", [hello]), ("assistant", [image()]), ("user", [words])))
    order = [body.index(said) for said in ("Draw a cat.", DRAWN_ELSEWHERE, DRAWN, PIXEL, "Bluer.")]
    assert order == sorted(order)
    assert "messages.content" in dropped
    body, _ = encoded(wire, drawn(("user", [hello]), ("assistant", [Text(text="Here."), image()]), ("user", [words])))
    assert DRAWN_ELSEWHERE not in body


@pytest.mark.parametrize("wire", TAKES)
def test_it_comes_behind_results_and_a_later_one_in_its_own_place(wire: str) -> None:
    call, result = ToolCall(id="1", name="f", arguments="{}"), ToolResult(id="1", parts=[Text(text="42")])
    asked = drawn(
        ("user", [Text(text="Hi")]),
        ("assistant", [image(), call]),
        ("user", [result]),
        ("assistant", [image()]),
        ("user", [Text(text="End")]),
    )
    body, _ = encoded(wire, asked)
    assert body.index("42") < body.index(PIXEL) < body.index(DRAWN_ELSEWHERE) < body.rindex(PIXEL) < body.index("End")


@pytest.mark.parametrize("wire", TAKES)
def test_what_the_assistant_draws_last_is_refused(wire: str) -> None:
    with pytest.raises(Unrepresentable) as caught:
        encoded(wire, drawn(("user", [Text(text="Hi")]), ("assistant", [image()])))
    assert caught.value.param == "messages[1].content[0]"
