"""What does a model's name make echo say, and how?

A name is a source, then its modifiers: `tokens-200+rate-100`. What precedes the first `+` decides whether it is a
behaviour at all: a source's word, or `tool`, `tokens` or `error` with a hyphen and more. Any other name (`gpt-4o`)
behaves like `echo`. docs/echo.md has the table.

Pure: from a request and a name to tokens, and when each is due.
"""

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from proxy.adapters.echo.ask import Ask, Choice, Message, Tool, tokens
from proxy.adapters.echo.schema import fill
from proxy.adapters.echo.words import Unfillable
from proxy.errors import BadRequest, UnknownModel
from proxy.framing import sse

PLAIN = ("echo", "text", "tool", "json", "think", "refuse", "length")
MOST = 100_000  # tokens of one answer, all choices together; a longer one ends there
TEXT = (
    "Hello! This is echo, pillion's offline provider: no key, no network, the same words every time. "
    "It has had a café au lait, it can say 你好, and it waves 👋."
)
THOUGHT = "The user said something. I shall say it back, word for word."
REFUSAL = "I'm sorry, I can't help with that."
BROKEN = b'{"this": is not JSON'

_WORDS = ("one", "more", "word", "and", "then", "another", "after", "that")
_NUMBERED = ("tool", "tokens", "error")
_SOURCES = (
    re.compile(f"({'|'.join(PLAIN)})"),
    re.compile(r"(tool)-([1-9][0-9]?)"),
    re.compile(r"(tokens)-(100000|[0-9]{1,5})"),
    re.compile(r"(error)-([45][0-9]{2})(?:-retry-([0-9]{1,6}))?"),
)
_MODIFIERS = (
    re.compile(r"(slow|rate)-([0-9]{1,6}(?:\.[0-9]{1,6})?)"),
    re.compile(r"(cut|stall|malformed|seed)-([0-9]{1,9})"),
)
_NAMES = (
    "echo, text, tool, tool-N, json, think, refuse, length, tokens-N (at most 100000), error-STATUS and "
    "error-STATUS-retry-SECONDS (400 to 599); each with +slow-SECONDS, +rate-N, +cut-K, +stall-K, +malformed-K, +seed-N"
)


# --- the name --------------------------------------------------------------------------------------------------------


class Behaviour(Struct, frozen=True, kw_only=True):
    source: str = "echo"
    number: int = 1  # of tool calls, of tokens, or the status of an error
    retry: int | None = None  # seconds
    slow: float = 0.0  # seconds before the first event
    rate: float = math.inf  # tokens a second
    cut: int | None = None  # events before the connection breaks
    stall: int | None = None  # events before it falls silent
    malformed: int | None = None  # which event, counted from 1, is not JSON
    seed: int = 0


def is_behaviour(name: str) -> bool:
    head = name.partition("+")[0]
    return head in PLAIN or head.partition("-")[0] in _NUMBERED


def behaviour(name: str) -> Behaviour:
    """What the name stands for. Raises UnknownModel for one that begins like a behaviour but is none."""
    if not is_behaviour(name):
        return Behaviour()
    head, *words = name.split("+")
    source, number, retry = (*_read(_SOURCES, head, name), None, None)[:3]
    values: dict[str, Any] = {"source": source, "number": int(number or 1), "retry": retry and int(retry)}
    for word in words:
        key, value = _read(_MODIFIERS, word, name)
        if key in values:
            raise _unknown(name, word)
        values[key] = float(value) if key in ("slow", "rate") else int(value)
    for key in ("rate", "malformed"):
        if not values.get(key, 1):
            raise _unknown(name, f"{key}-0")
    return Behaviour(**values)


def _read(spellings: Iterable[re.Pattern[str]], word: str, name: str) -> list[Any]:
    for spelling in spellings:
        if found := spelling.fullmatch(word):
            return [group for group in found.groups() if group is not None]
    raise _unknown(name, word)


def _unknown(name: str, word: str) -> UnknownModel:
    return UnknownModel(
        f"model: echo does not understand `{word:.100}` in `{name:.100}`. It knows {_NAMES}. "
        "Any name that begins differently is answered with an echo.",
        param="model",
    )


# --- what is said ----------------------------------------------------------------------------------------------------

Kind = Literal["content", "reasoning_content", "refusal", "function", "custom"]


class Piece(NamedTuple):
    """One token of an answer, and one event of its stream. A tool call opens with its name; its arguments follow."""

    kind: Kind
    text: str
    call: int = 0  # which of the tool calls
    opens: bool = False


class Script(NamedTuple):
    pieces: list[Piece]
    finish: str


def compose(ask: Ask, manner: Behaviour) -> Script:
    """The answer that each choice gives. Raises BadRequest."""
    pieces = _pieces(ask, manner)
    said = (limit for limit in (ask.max_tokens, ask.max_completion_tokens) if limit is not None)
    limit = min([*said, MOST // (ask.n or 1)])
    if len(pieces) > limit:
        return Script(pieces[:limit], "length")
    if manner.source == "length":
        return Script(pieces, "length")
    return Script(pieces, "tool_calls" if any(piece.opens for piece in pieces) else "stop")


def _pieces(ask: Ask, manner: Behaviour) -> list[Piece]:
    match manner.source:
        case "text":
            return _content(TEXT, ask)
        case "tokens":
            words = [_WORDS[(number + manner.seed) % len(_WORDS)] for number in range(manner.number)]
            return _content(" ".join(words), ask)
        case "json":
            return _content(_json(ask, manner.seed), ask)
        case "think":
            return _spoken("reasoning_content", THOUGHT) + _content(_echo(ask), ask)
        case "refuse":
            return _spoken("refusal", REFUSAL)
        case "length":
            return _content(TEXT[: len(TEXT) // 2], ask)
        case "tool" if (result := _result(ask)) is not None:
            return _content(_text(result) or TEXT, ask)
        case "tool" if ask.tool_choice != "none":
            return _calls(ask, manner)
        case _:
            return _content(_echo(ask), ask)


def _content(text: str, ask: Ask) -> list[Piece]:
    """Text up to the first of the request's stop strings."""
    stops = [ask.stop] if isinstance(ask.stop, str) else ask.stop or []
    ends = [text.find(stop) for stop in stops if stop in text]
    return _spoken("content", text[: min(ends, default=len(text))])


def _spoken(kind: Kind, text: str, call: int = 0) -> list[Piece]:
    """One more than MOST shows that there is more."""
    return [Piece(kind, token, call) for token in tokens(text, MOST + 1)]


def _text(message: Message) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    texts = (part if isinstance(part, str) else part.text for part in message.content)
    return "\n".join(text for text in texts if text)  # and nothing in place of a picture


def _echo(ask: Ask) -> str:
    user = next((message for message in reversed(ask.messages) if message.role == "user"), None)
    return (user and _text(user)) or TEXT


def _result(ask: Ask) -> Message | None:
    """The last tool result, if the model has not answered it yet. Some clients put a user turn after it."""
    for message in reversed(ask.messages):
        if message.role in ("tool", "assistant"):
            return message if message.role == "tool" else None
    return None


def _json(ask: Ask, seed: int) -> str:
    shape = ask.response_format
    if shape is None or shape.json_schema is None or shape.json_schema.schema is None:
        return _encoded({"echo": _echo(ask)})
    return _encoded(_filled(shape.json_schema.schema, seed, "response_format.json_schema.schema"))


def _calls(ask: Ask, manner: Behaviour) -> list[Piece]:
    offered = _offered(ask)
    pieces: list[Piece] = []
    for call in range(1 if ask.parallel_tool_calls is False else manner.number):
        if len(pieces) > MOST:
            break
        index, tool = offered[call % len(offered)]
        if tool.function is not None:
            schema = {"type": "object", **(tool.function.parameters or {})}
            value = _filled(schema, manner.seed + call, f"tools[{index}].function.parameters")
            pieces += [Piece("function", tool.function.name, call, opens=True)]
            pieces += _spoken("function", _encoded(value), call)
        elif tool.custom is not None:
            pieces += [Piece("custom", tool.custom.name, call, opens=True), *_spoken("custom", _echo(ask), call)]
    return pieces


def _offered(ask: Ask) -> list[tuple[int, Tool]]:
    """The tools to call, each with its index in the request: those that `tool_choice` names, or all."""
    offered = [(index, tool) for index, tool in enumerate(ask.tools or []) if tool.named]
    if not offered:
        raise BadRequest("tools: this model calls the request's tools, but the request has none.", param="tools")
    choice = ask.tool_choice
    if not isinstance(choice, Choice):
        return offered
    picked = choice.allowed_tools.tools if choice.allowed_tools else [choice]
    names = [tool.named.name for tool in picked if tool.named]
    chosen = [(index, tool) for index, tool in offered if tool.named and tool.named.name in names]
    if not chosen:
        raise BadRequest("tool_choice: must name one of the request's tools.", param="tool_choice")
    return chosen


def _filled(schema: dict[str, Any], seed: int, at: str) -> Any:
    try:
        return fill(schema, seed)
    except Unfillable as error:
        place = f", for `{error.path:.100}` in the value" if error.path else ""
        raise BadRequest(f"{at}: echo cannot make a value that matches: {error.why}{place}.", param=at) from None


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# --- when it is said -------------------------------------------------------------------------------------------------


class Said(NamedTuple):
    """An event of a stream, or a piece of a whole body, and the number of tokens before it."""

    data: bytes
    after: int


class Beat(NamedTuple):
    """Bytes, or None where the connection breaks, and when: seconds after the request, `inf` for never."""

    at: float
    data: bytes | None


def streamed(events: Iterable[Said], manner: Behaviour) -> Iterator[Beat]:
    """Due by the clock, whatever came before: a slow reader catches up."""
    for before, event in enumerate(events):
        at = manner.slow + event.after / manner.rate
        if before in (manner.stall, manner.cut):
            yield Beat(math.inf if before == manner.stall else at, None)
            return
        yield Beat(at, sse(BROKEN) if before + 1 == manner.malformed else event.data)


def whole(body: bytes, count: int, manner: Behaviour) -> Iterator[Beat]:
    """A body in two halves, due when all its tokens are; a cut or a stall comes between them, or before both."""
    if manner.malformed is not None:
        body = BROKEN
    half = len(body) // 2
    cut, stall = (None if event is None else min(event, 1) for event in (manner.cut, manner.stall))
    halves = (Said(body[:half], count), Said(body[half:], count))
    return streamed(halves, replace(manner, cut=cut, stall=stall, malformed=None))
