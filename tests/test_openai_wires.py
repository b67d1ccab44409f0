"""Does what OpenAI's clients say cross to its other wire, and reach others, with a receipt for what is lost alone?"""

import json
import re
from typing import Any

import pytest

from proxy.dialects.anthropic import Anthropic
from proxy.dialects.bedrock import Bedrock
from proxy.dialects.cohere import Cohere
from proxy.dialects.gemini import Gemini
from proxy.dialects.ollama import Ollama
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.errors import BadRequest, Unrepresentable
from proxy.lanes.asking import dialect_of
from proxy.ports import Dialect, Peek

CHAT: Dialect = OpenAIChat(clock=lambda: 1750000000.0)
RESPONSES: Dialect = OpenAIResponses(clock=lambda: 1750000000.0)
GEMINI: Dialect = Gemini()
LARK = {"syntax": "lark", "definition": 'start: "a"'}
FREE = {"name": "p", "description": "Runs it."}
F, G = ({"name": name, "parameters": {"type": "object", "properties": {}}, "strict": False} for name in "fg")
CHOSEN = [{"type": "function", "name": "f"}, {"type": "custom", "name": "p"}]
SAID_BY_BOTH = [
    pytest.param(
        {
            "tools": [
                {"type": "function", "function": F},
                {"type": "function", "function": G},
                {"type": "custom", "custom": FREE},
            ],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "custom", "custom": {"name": "p"}},
                    ],
                },
            },
        },
        {
            "tools": [{"type": "function", **F}, {"type": "function", **G}, {"type": "custom", **FREE}],
            "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": CHOSEN},
        },
        id="a choice among some tools",
    ),
    pytest.param(
        {"tools": [{"type": "custom", "custom": FREE | {"format": {"type": "grammar", "grammar": LARK}}}]},
        {"tools": [{"type": "custom", **FREE, "format": {"type": "grammar", **LARK}}]},
        id="grammar of a custom tool",
    ),
    pytest.param(
        {"tools": [{"type": "custom", "custom": FREE | {"format": {"type": "text"}}}]},
        {"tools": [{"type": "custom", **FREE, "format": {"type": "text"}}]},
        id="custom tool of free text",
    ),
    pytest.param({"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}, id="no thinking"),
    pytest.param(
        {"prompt_cache_key": "k", "prompt_cache_retention": "24h"},
        {"prompt_cache_key": "k", "prompt_cache_retention": "24h"},
        id="how long a cached prompt is kept",
    ),
    *(
        pytest.param(
            {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": padded}},
            {"stream": True, "stream_options": {"include_obfuscation": padded}},
            id=f"events of a stream {'padded' if padded else 'as they are'}",
        )
        for padded in (True, False)
    ),
]


def crossed(source: Dialect, target: Dialect, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What goes out on the other wire, and the receipt."""
    body = {"model": "gpt-5.1", ("messages" if source is CHAT else "input"): [{"role": "user", "content": "Hi"}]}
    encoded = target.encode(source.parse(json.dumps(body | fields).encode(), Peek("gpt-5.1", False)))
    return json.loads(encoded.body), encoded.dropped


@pytest.mark.parametrize("target", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_a_file_of_converses_has_the_end_of_a_name_that_openai_goes_by(target: Dialect) -> None:
    """Converse's names have no dots, and OpenAI refuses a file whose name does not say what it is."""
    document = {"name": "report", "format": "pdf", "source": {"bytes": "JVBERi0="}}
    body = {"messages": [{"role": "user", "content": [{"text": "q"}, {"document": document}]}]}
    encoded = target.encode(Bedrock().parse(json.dumps(body).encode(), Peek("gpt-5.1", False)))
    assert (b'"filename":"report.pdf"' in encoded.body, encoded.dropped) == (True, ())


@pytest.mark.parametrize(("chat", "responses"), SAID_BY_BOTH)
def test_what_both_wires_say_crosses(chat: dict[str, Any], responses: dict[str, Any]) -> None:
    said, dropped = crossed(CHAT, RESPONSES, **chat)
    assert (said | responses, dropped) == (said, ())
    said, dropped = crossed(RESPONSES, CHAT, **responses)
    assert (said | chat, dropped) == (said, ())


@pytest.mark.parametrize(("chat", "responses"), SAID_BY_BOTH)
def test_each_wire_says_its_own_words_again(chat: dict[str, Any], responses: dict[str, Any]) -> None:
    assert crossed(CHAT, CHAT, **chat)[0].items() >= chat.items()
    assert crossed(RESPONSES, RESPONSES, **responses)[0].items() >= responses.items()


@pytest.mark.parametrize("source", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_what_is_left_of_a_streams_options_is_told_by_its_path(source: Dialect) -> None:
    target = RESPONSES if source is CHAT else CHAT
    options = {"include_obfuscation": False, "new": 1}
    assert crossed(source, target, stream=True, stream_options=options)[1] == ("stream_options.new",)
    assert crossed(source, GEMINI, stream=True, stream_options=options)[1] == ("stream_options.new",)
    assert crossed(source, source, stream=True, stream_options=options)[0]["stream_options"].items() >= options.items()
    padded = {"stream": True, "stream_options": {"include_obfuscation": True}}
    assert crossed(source, GEMINI, **padded)[1] == ("stream_options.include_obfuscation",)


def test_a_form_that_only_one_wire_knows_is_left_out_aloud() -> None:
    odd = {"type": "custom", "custom": FREE | {"format": {"type": "regex", "regex": "a"}}}
    said, dropped = crossed(CHAT, RESPONSES, tools=[odd])
    assert (said["tools"], dropped) == ([{"type": "custom", **FREE}], ("custom.format",))


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.mark.parametrize("said", ["image/png", "image/jpeg", "image/jpg", ""])
def test_an_image_is_what_its_bytes_are(said: str) -> None:
    url, told = f"data:{said};base64,{PIXEL}", f"data:image/png;base64,{PIXEL}"
    shown = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    assert crossed(CHAT, RESPONSES, messages=[shown])[0]["input"][0]["content"][0]["image_url"] == told
    seen = {"role": "user", "content": [{"type": "input_image", "image_url": url}]}
    assert crossed(RESPONSES, CHAT, input=[seen])[0]["messages"][0]["content"][0]["image_url"]["url"] == told


def test_a_pdf_is_one_whatever_it_is_called() -> None:
    file = {"filename": "a.pdf", "file_data": "data:application/octet-stream;base64,JVBERi0xLjQK"}
    told = {"type": "input_file", **file, "file_data": "data:application/pdf;base64,JVBERi0xLjQK"}
    shown = {"role": "user", "content": [{"type": "file", "file": file}]}
    assert crossed(CHAT, RESPONSES, messages=[shown])[0]["input"][0]["content"] == [told]
    seen = {"role": "user", "content": [{"type": "input_file", **file}]}
    assert (
        crossed(RESPONSES, CHAT, input=[seen])[0]["messages"][0]["content"][0]["file"]["file_data"] == told["file_data"]
    )


PDF_AT = "data:application/pdf;base64,JVBERi0xLjQK"
TEXT_AT = "data:text/plain;base64,SGk="
FILED = [(target, data) for target in (CHAT, RESPONSES, GEMINI, Anthropic(), Bedrock()) for data in (PDF_AT, TEXT_AT)]


def filed(source: Dialect, **file: str) -> dict[str, Any]:
    if source is CHAT:
        return {"messages": [{"role": "user", "content": [{"type": "file", "file": file}]}]}
    return {"input": [{"role": "user", "content": [{"type": "input_file", **file}]}]}


@pytest.mark.parametrize("source", [CHAT, RESPONSES], ids=["chat", "responses"])
@pytest.mark.parametrize(("target", "data"), [*FILED, (Ollama(), TEXT_AT)])
def test_an_empty_name_is_none_for_another_wire(source: Dialect, target: Dialect, data: str) -> None:
    empty = crossed(source, target, **filed(source, file_data=data, filename=""))
    if target is source:
        assert '"filename": ""' in json.dumps(empty[0])
    else:
        assert empty == crossed(source, target, **filed(source, file_data=data))


SAYS_NOTHING = [
    {"frequency_penalty": 0, "presence_penalty": 0},
    {"logit_bias": {}},
    {"stop": []},
    {"metadata": {}},
]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OLD_CALL = {"name": "f", "arguments": "{}"}
ECHOES = [
    pytest.param([{"role": "assistant", "content": "Hi", "annotations": []}], id="no annotations"),
    pytest.param(
        [
            {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **CALL}]},
            {"role": "tool", "tool_call_id": "c", "name": "f", "content": "x"},
        ],
        id="a streamed call, and its result by name",
    ),
    pytest.param(
        [
            {"role": "assistant", "content": None, "function_call": OLD_CALL},
            {"role": "function", "name": "f", "content": "x"},
        ],
        id="a call from before there were tools",
    ),
]


@pytest.mark.parametrize("wire", [RESPONSES, GEMINI], ids=["responses", "gemini"])
@pytest.mark.parametrize("fields", SAYS_NOTHING, ids=str)
def test_what_says_nothing_needs_no_receipt(wire: Dialect, fields: dict[str, Any]) -> None:
    assert crossed(CHAT, wire, **fields)[1] == ()


@pytest.mark.parametrize("turns", ECHOES)
def test_an_answer_that_is_sent_back_needs_no_receipt(turns: list[dict[str, Any]]) -> None:
    asked = {"role": "user", "content": "Hi"}
    messages = [asked, *turns, asked]
    assert crossed(CHAT, RESPONSES, messages=messages)[1] == ()
    assert crossed(CHAT, CHAT, messages=messages) == ({"model": "gpt-5.1", "messages": messages}, ())


# --- a choice among some of the tools --------------------------------------------------------------------------------


def among(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", **F}, {"type": "function", **G}]
    chosen = [{"type": "function", "name": name} for name in names]
    return {"tools": tools, "tool_choice": {"type": "allowed_tools", "mode": mode, "tools": chosen}}


@pytest.mark.parametrize(("mode", "word"), [("auto", "VALIDATED"), ("required", "ANY")])
def test_gemini_has_a_word_for_a_choice_among_some_tools(mode: str, word: str) -> None:
    said, dropped = crossed(RESPONSES, GEMINI, **among(mode, "f"))
    assert said["toolConfig"]["functionCallingConfig"] == {"mode": word, "allowedFunctionNames": ["f"]}
    assert len(said["tools"][0]["functionDeclarations"]) == 2
    assert dropped == ()


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (Anthropic(), {"tool_choice": {"type": "any"}}),
        (Bedrock(), {}),
        (Cohere(), {"tool_choice": "REQUIRED"}),
    ],
    ids=["anthropic", "bedrock", "cohere"],
)
def test_elsewhere_the_other_tools_are_not_on_offer(wire: Dialect, said: dict[str, Any]) -> None:
    body, dropped = crossed(RESPONSES, wire, **among("required", "f"))
    assert body.items() >= said.items()
    assert '"f"' in json.dumps(body)
    assert '"g"' not in json.dumps(body)
    assert dropped == ("tool_choice", "tools")
    assert crossed(RESPONSES, wire, **among("required", "f", "g"))[1] == ("tool_choice",)


def test_a_choice_among_tools_that_nobody_offers_is_refused() -> None:
    with pytest.raises(Unrepresentable, match="tool_choice names only tools that the request does not offer"):
        crossed(RESPONSES, Anthropic(), **among("auto", "h"))


def test_a_choice_of_a_servers_tool_is_still_refused_elsewhere() -> None:
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
    with pytest.raises(Unrepresentable, match="tool_choice: the Chat Completions API has no equivalent of this field"):
        crossed(RESPONSES, CHAT, **among("auto", "f") | {"tool_choice": choice})


@pytest.mark.parametrize(
    "wire", [RESPONSES, GEMINI, Anthropic(), Bedrock(), Cohere(), Ollama()], ids=lambda wire: wire.name
)
def test_what_asks_for_the_impossible_is_refused(wire: Dialect) -> None:
    with pytest.raises(Unrepresentable, match="tool_choice requires a tool call, but the request offers no tools"):
        crossed(CHAT, wire, tool_choice="required")


@pytest.mark.parametrize("wire", [RESPONSES, Anthropic(), Bedrock(), Cohere(), Ollama()], ids=lambda wire: wire.name)
def test_no_answer_at_all_is_refused(wire: Dialect) -> None:
    with pytest.raises(Unrepresentable, match=r"n must be 1, not 0: .* one answer"):
        crossed(CHAT, wire, n=0)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"stop": 5}, "stop must be a string or an array, not an integer."),
        ({"tool_choice": "maybe"}, "tool_choice must be auto, none, required or an object, not 'maybe'."),
    ],
    ids=str,
)
def test_a_mistake_is_told_with_what_came(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest, match=f"^{re.escape(told)}$"):
        crossed(CHAT, CHAT, **fields)


@pytest.mark.parametrize("before", [0, 10_000], ids=["at its beginning", "late"])
@pytest.mark.parametrize(("asked", "other"), [(CHAT, RESPONSES), (RESPONSES, CHAT)], ids=["chat", "responses"])
def test_the_wire_of_an_answer_shows_wherever_its_sign_stands(asked: Dialect, other: Dialect, before: int) -> None:
    find = {wire.name: wire for wire in (asked, other)}.__getitem__
    for sign, wire in ((b'"object":"chat.completion"', CHAT), (b'"object":"response"', RESPONSES)):
        held = b'{"id":"%b",%b}' % (b"x" * before, sign)
        assert dialect_of(held, asked, [asked.name, other.name], find) is wire
    assert dialect_of(b'{"id":"x"}', asked, [asked.name, other.name], find) is asked


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("target", [RESPONSES, GEMINI, Anthropic(), Bedrock(), Ollama(), Cohere()])
def test_a_limit_below_nought_is_none(target: Dialect, field: str) -> None:
    """So LM Studio and llama.cpp have it. OpenAI was asked for an answer of 16 tokens, and others refused."""
    body, dropped = crossed(CHAT, target, **{field: -1})
    assert dropped == (field,)
    assert body == crossed(CHAT, target)[0]
    assert crossed(CHAT, CHAT, **{field: -1}) == (crossed(CHAT, CHAT)[0] | {field: -1}, ())
