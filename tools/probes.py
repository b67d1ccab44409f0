"""What may a chat request ask for, and how does it look with that one thing alone?

The rows of docs/matrix.md. A probe is two requests: one that asks for something, and one that does not and is the same
otherwise.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from msgspec.structs import replace

from proxy.canon import (
    Audio,
    Citation,
    Document,
    Format,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Request,
    Role,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Video,
    WebSearch,
)

ELSEWHERE = "elsewhere"  # a wire that nobody's is

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_URL = "https://example.com/"
_CACHE = {"type": "ephemeral"}


class Probe(NamedTuple):
    """`own`: a client of any wire might say it. `idle`: a wire may do so unasked, and then nothing need be said."""

    name: str
    asks: Request
    silent: Request
    own: bool = True
    idle: bool = False


def _request(*turns: tuple[Role, list[Part]], **fields: Any) -> Request:
    said = [Turn(role=role, parts=parts, at=f"messages[{place}]") for place, (role, parts) in enumerate(turns)]
    return Request(wire=ELSEWHERE, model="m", turns=said, **fields)


def _hi(*parts: Part) -> tuple[Role, list[Part]]:
    return "user", [Text(text="Hi"), *parts]


def _tool(**fields: Any) -> Tool:
    return Tool(**{"name": "weather", "parameters": _SCHEMA, "at": "tools[0]", **fields})


SILENT = _request(_hi())
_STREAMED = replace(SILENT, stream=True)
_OFFERED = _request(_hi(), tools=[_tool()])
_INLINE = Inline(data=_PNG, media_type="image/png")
_PDF = Inline(data="JVBERi0xLjEKJSVFT0Y=", media_type="application/pdf")
_LIST = Inline(data="SGk=", media_type="text/plain")
_CALL = ToolCall(id="call_1", name="weather", arguments='{"city":"Paris"}')
_RESULT = ToolResult(id="call_1", parts=[Text(text="18")])

_MEDIA: Mapping[str, Part] = {
    "image": Image(source=_INLINE),
    "image by URL": Image(source=Remote(url=f"{_URL}cat.png")),
    "PDF": Document(source=_PDF),
    "PDF by URL": Document(source=Remote(url=f"{_URL}a.pdf", media_type="application/pdf")),
    "text file": Document(source=_LIST),
    "sound": Audio(source=Inline(data="UklGRg==", media_type="audio/wav")),
    "video": Video(source=Inline(data="AAAA", media_type="video/mp4")),
    "video by URL": Video(source=Remote(url=f"{_URL}cat.mp4", media_type="video/mp4")),
    "what a search has found": Document(source=_LIST, pieces=["Hi"], origin=f"{_URL}a", name="t"),
    "document in passages": Document(source=_LIST, pieces=["Hi"]),
    "file by a provider's id": Document(source=Stored(id="file-1")),
}

_KNOBS: Mapping[str, Mapping[str, Any]] = {
    "max_tokens": {"max_tokens": 100},
    "temperature": {"temperature": 0.5},
    "temperature above 1": {"temperature": 1.5},
    "top_p": {"top_p": 0.5},
    "top_k": {"top_k": 40},
    "seed": {"seed": 7},
    "stop": {"stop": ["END"]},
    "stop at a blank": {"stop": ["\n"]},
    "n": {"n": 2},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "presence_penalty": {"presence_penalty": 0.5},
    "logit_bias": {"logit_bias": {"50256": -100.0}},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "verbosity": {"verbosity": "low"},
    "an answer with images": {"modalities": ["text", "image"]},
    "an answer in sound": {"modalities": ["text", "audio"]},
    "stream": {"stream": True},
}

_REASONING: Mapping[str, Reasoning] = {
    "effort: low": Reasoning(effort="low"),
    "effort: high": Reasoning(effort="high"),
    "effort: max": Reasoning(effort="max"),
    "a budget of tokens": Reasoning(budget=2000),
    "none at all": Reasoning(off=True),
    "thoughts shown": Reasoning(effort="low", summary="auto"),
}

_BOOKS: Mapping[str, Mapping[str, Any]] = {
    "user": {"user": "u1"},
    "safety_identifier": {"safety_identifier": "s1"},
    "metadata": {"metadata": {"team": "blue"}},
    "store": {"store": True},
    "a beta of Claude's": {"betas": ["context-1m-2025-08-07"]},
    "service_tier: default": {"service_tier": "default"},
    "service_tier: flex": {"service_tier": "flex"},
    "service_tier: priority": {"service_tier": "priority"},
    "prompt_cache_key": {"prompt_cache_key": "k1"},
    "prompt_cache_retention": {"prompt_cache_retention": "24h"},
}


_IDLE = {"choice: auto", "none at all", "service_tier: default", "held to strictly"}


def _with(name: str, silent: Request = SILENT, own: bool = True, **fields: Any) -> Probe:
    asks = deepcopy(silent)
    for field, value in fields.items():
        setattr(asks, field, value)
    return Probe(name, asks, silent, own, idle=name in _IDLE)


def _content() -> Iterator[Probe]:
    for name, part in _MEDIA.items():
        yield Probe(name, _request(_hi(part)), SILENT)
    yield Probe(
        "detail of an image", _request(_hi(Image(source=_INLINE, detail="low"))), _request(_hi(_MEDIA["image"]))
    )
    yield Probe("name of a PDF", _request(_hi(Document(source=_PDF, name="report"))), _request(_hi(_MEDIA["PDF"])))
    yield Probe("context of a PDF", _request(_hi(Document(source=_PDF, context="c"))), _request(_hi(_MEDIA["PDF"])))
    yield Probe("citations of a PDF", _request(_hi(Document(source=_PDF, cited=True))), _request(_hi(_MEDIA["PDF"])))


def _turns() -> Iterator[Probe]:
    def after(*parts: Part) -> Request:
        return _request(_hi(), ("assistant", list(parts)), _hi())

    hello, cited = Text(text="Hello"), Citation(wire=ELSEWHERE, value={}, url=_URL, title="A")
    yield Probe("system", _request(("system", [Text(text="Be brief.")]), _hi()), SILENT)
    yield Probe("developer", _request(("developer", [Text(text="Be brief.")]), _hi()), SILENT)
    middle = _request(_hi(), ("assistant", [hello]), ("system", [Text(text="Be brief.")]), _hi())
    yield Probe("system in the middle", middle, after(hello))
    yield Probe("the assistant's", after(hello), SILENT)
    yield Probe("the assistant's, to be continued", _request(_hi(), ("assistant", [hello])), SILENT)
    yield Probe("an image by the assistant", after(hello, _MEDIA["image"]), after(hello))
    yield Probe("a refusal", after(Refusal(text="No.")), SILENT)
    yield Probe("citations", after(Text(text="Hello", citations=[cited])), after(hello), own=False)
    yield Probe("seal of a text", after(Text(text="Hello", signature="U0VBTA==")), after(hello))
    yield Probe("a thought", after(Thinking(text="Hm."), hello), after(hello))
    yield Probe("a thought and its seal", after(Thinking(text="Hm.", signature="U0VBTA=="), hello), after(hello))
    yield Probe("a sealed thought", after(Thinking(redacted="U0VBTA=="), hello), after(hello))
    block = Opaque(wire="another", value={"type": "server_tool_use"})
    yield Probe("a block of a server tool", after(block, hello), after(hello), own=False)


def _tools() -> Iterator[Probe]:
    yield Probe("function", _OFFERED, SILENT)
    yield _with("function without parameters", tools=[_tool(parameters=None)])
    yield _with("description", _OFFERED, tools=[_tool(description="Now")])
    yield _with("strict", _OFFERED, tools=[_tool(strict=True)])
    yield _with("custom (free text)", tools=[_tool(kind="custom", parameters=None)])
    yield _with("server tool", own=False, tools=[_tool(kind="web_search", parameters=None, name="web_search")])
    search = replace(_tool(kind="web_search", parameters=None, name="web_search"), search=WebSearch())
    silent = replace(SILENT, searches=True)
    yield Probe("web search, at a host that runs one", replace(silent, tools=[search]), silent)
    for mode in ("auto", "required", "none"):
        yield _with(f"choice: {mode}", _OFFERED, tool_choice=ToolChoice(mode))
    yield _with("choice: one", _OFFERED, tool_choice=ToolChoice("tool", "weather"))
    two = _request(_hi(), tools=[_tool(), _tool(name="clock")])
    yield _with("choice: some", two, tool_choice=ToolChoice("required", among=("weather",)))
    yield _with("parallel off", _OFFERED, parallel_tools=False)
    yield from _calls()


def _calls() -> Iterator[Probe]:
    def answered(result: ToolResult, call: ToolCall = _CALL) -> Request:
        return _request(_hi(), ("assistant", [call]), ("user", [result]), tools=[_tool()])

    plain = answered(_RESULT)
    yield Probe("call and result", plain, _OFFERED)
    sealed = ToolCall(id="call_1", name="weather", arguments='{"city":"Paris"}', signature="U0VBTA==")
    yield Probe("seal of a call", answered(_RESULT, sealed), plain)
    failed = ToolResult(id="call_1", parts=[Text(text="18")], is_error=True)
    yield Probe("result: failed", answered(failed), plain)
    for name in ("image", "PDF"):
        shown = ToolResult(id="call_1", parts=[Text(text="18"), _MEDIA[name]])
        yield Probe(f"result: {name}", answered(shown), plain)


def _shapes() -> Iterator[Probe]:
    def shape(**fields: Any) -> Format:
        return Format(kind="schema", schema=_SCHEMA, **fields)

    shaped = _with("a JSON schema", format=shape())
    yield _with("JSON", format=Format(kind="json"))
    yield shaped
    yield _with("name of the schema", shaped.asks, format=shape(name="place"))
    yield _with("description of the schema", shaped.asks, format=shape(description="A place"))
    yield _with("held to strictly", shaped.asks, format=shape(strict=True))


def _caching() -> Iterator[Probe]:
    briefed = _request(("system", [Text(text="Be brief.")]), _hi())
    hour = {**_CACHE, "ttl": "1h"}
    yield Probe("of a text", _request(("user", [Text(text="Hi", cache=_CACHE)])), SILENT)
    yield Probe("for an hour", _request(("user", [Text(text="Hi", cache=hour)])), SILENT)
    yield Probe("of the system's", _request(("system", [Text(text="Be brief.", cache=_CACHE)]), _hi()), briefed)
    yield _with("of the tools", _OFFERED, tools=[_tool(cache=_CACHE)])


def _alone() -> Iterator[Probe]:
    yield _with("what tunes the answer", own=False, extra={"shiny": True})
    yield _with("what makes it another one", own=False, demands={"remembered": "r1"})


PROBES: Mapping[str, list[Probe]] = {
    "In a user's turn": list(_content()),
    "Turns, and what stands in them": list(_turns()),
    "Tools": list(_tools()),
    "Knobs": [_with(name, **fields) for name, fields in _KNOBS.items()],
    "The shape of the answer": list(_shapes()),
    "Reasoning": [_with(name, reasoning=reasoning) for name, reasoning in _REASONING.items()],
    "A cache point behind it": list(_caching()),
    "Books and delivery": [
        *(_with(name, **fields) for name, fields in _BOOKS.items()),
        _with("padding of a stream's events", _STREAMED, obfuscation=True),
    ],
    "What only the client's own wire has": list(_alone()),
}
