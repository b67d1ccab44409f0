"""Is a file of text said as text where a wire has no place for files, and is no other file taken for one?"""

import json
from base64 import b64encode
from typing import Any

import pytest

from proxy import registry
from proxy.canon import Document, Inline, Part, Remote, Request, Stored, Text, ToolCall, ToolResult, Turn
from proxy.errors import Unrepresentable
from proxy.grammar.textual import document_as_text, is_text

NOTES = Inline(b64encode("Büy <milk>.\n".encode()).decode(), "text/plain")
SAID = '<document name="notes.txt">\nBüy <milk>.\n\n</document>'
WITHOUT_FILES = ["openai_chat", "ollama", "cohere"]


def sent(wire: str, *turns: Turn) -> Any:
    encoded = registry.dialect(wire).encode(Request(wire="another", model="m", turns=list(turns)))
    assert encoded.dropped == ()
    return json.loads(encoded.body)["messages"]


def texts(message: Any) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "\n".join(item["text"] for item in content)


@pytest.mark.parametrize(
    ("media_type", "textual"),
    [
        ("text/plain", True),
        ("text/markdown; charset=utf-8", True),
        ("Text/CSV", True),
        ("text/html", True),
        ("application/json", True),
        ("application/ld+json", True),
        ("application/xml", True),
        ("application/x-yaml", True),
        ("text/", False),
        ("application/pdf", False),
        ("application/jsonx", False),
        ("application/vnd.ms-excel", False),
        ("image/svg+xml", False),
        ("", False),
    ],
)
def test_what_is_text(media_type: str, textual: bool) -> None:
    assert is_text(media_type) is textual


@pytest.mark.parametrize("wire", WITHOUT_FILES)
def test_a_text_comes_with_its_name_in_front(wire: str) -> None:
    asked = Turn(role="user", parts=[Document(source=NOTES, name="notes.txt"), Text(text="Sum it up")])
    [message] = sent(wire, asked)
    assert texts(message) == f"{SAID}\nSum it up"


@pytest.mark.parametrize("wire", WITHOUT_FILES)
def test_what_a_tool_gave_back_stands_in_its_result(wire: str) -> None:
    result = ToolResult(id="1", parts=[Document(source=NOTES, name="notes.txt")])
    called = Turn(role="assistant", parts=[ToolCall(id="1", name="f")])
    messages = sent(wire, Turn(role="user", parts=[Text(text="a")]), called, Turn(role="user", parts=[result]))
    assert (len(messages), messages[2]["role"], texts(messages[2])) == (3, "tool", SAID)


@pytest.mark.parametrize("wire", ["ollama", "cohere"])
@pytest.mark.parametrize(
    "source",
    [
        Inline("JVBERi0=", "application/pdf"),
        Inline("/w==", "text/plain"),
        Inline("no base64", "text/plain"),
        Remote("https://x.example/notes.txt", "text/plain"),
        Stored("file-1"),
    ],
    ids=str,
)
def test_another_file_is_refused(wire: str, source: Any) -> None:
    with pytest.raises(Unrepresentable) as caught:
        sent(wire, Turn(role="user", parts=[Document(source=source, at="messages[0].content[0]")]))
    assert caught.value.param == "messages[0].content[0]"


def test_anthropic_takes_any_text_as_plain_text() -> None:
    document = Document(source=Inline(b64encode(b"{}").decode(), "application/json"), name="a.json")
    [message] = sent("anthropic", Turn(role="user", parts=[document]))
    source = {"type": "text", "media_type": "text/plain", "data": "{}"}
    assert message["content"] == [{"type": "document", "source": source, "title": "a.json"}]


def test_a_name_cannot_end_its_frame() -> None:
    said = document_as_text(Document(source=NOTES, name='a">b'))
    assert isinstance(said, Text)
    assert said.text.startswith('<document name="a&quot;&gt;b">\n')


def test_a_file_without_a_type_is_what_its_name_says() -> None:
    assert isinstance(document_as_text(Document(source=Inline(NOTES.data), name="notes.txt")), Text)
    assert isinstance(document_as_text(Document(source=Inline(NOTES.data), name="notes.pdf")), Document)
    assert isinstance(document_as_text(Document(source=Inline(NOTES.data))), Document)


def test_where_it_stood_and_what_else_was_said_of_it_stays() -> None:
    said = document_as_text(
        Document(source=NOTES, at="messages[0]", cache={"type": "ephemeral"}, extra={"context": "c"})
    )
    assert isinstance(said, Text)
    assert (said.at, said.cache, said.extra) == ("messages[0]", {"type": "ephemeral"}, {"context": "c"})
    assert said.text.startswith("<document>\n")


@pytest.mark.parametrize("part", [Text(text="a"), ToolResult(id="1", parts=[Text(text="a")])], ids=str)
def test_everything_else_is_itself(part: Part) -> None:
    assert document_as_text(part) is part
