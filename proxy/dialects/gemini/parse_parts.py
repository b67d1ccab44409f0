"""What is in the contents that a client sent?

A result without an id answers the oldest call of its name that has no result: Google matches them so, and its SDK
gives its results no ids, whatever the calls have. Other wires need ids: a call without one gets one made from its
place, so that it is the same in the next request, and encode_parts.py takes it off again.

Google's SDKs bring a streamed answer back as a content for each of its events, even an empty last one. To Google that
is one answer; to other wires it would be many messages.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from msgspec.structs import replace

from proxy.canon import Opaque, Part, Role, Text, Thinking, ToolCall, ToolResult, Turn
from proxy.dialects.gemini.media import read_file, read_inline
from proxy.dialects.gemini.seals import seal_in
from proxy.dialects.gemini.words import NAME
from proxy.errors import BadRequest
from proxy.grammar.fields import Fields, dump, wrong_word

_MADE = "call_gemini_"

# In Google's protobuf a part has only one of these.
_KINDS = (
    "text inlineData fileData functionCall functionResponse executableCode codeExecutionResult toolCall toolResponse"
).split()


def is_made(name: str) -> bool:
    """Did we make this id, as the client gave none?"""
    return name.startswith(_MADE)


class Chat:
    """One request's contents. They must be read in order, as a result belongs to an earlier call."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # of functions, by the call's id
        self._waiting: dict[str, str] = {}  # the same, of calls without a result so far

    def system(self, top: Fields) -> list[Turn]:
        """`systemInstruction`: a content, a list of contents or of parts, or a string, as SDKs allow all of them."""
        value = top.rest.pop("systemInstruction", None)
        at = "systemInstruction"
        match value:
            case None | "" | []:
                return []
            case str():
                return [Turn(role="system", parts=[Text(text=value, at=at)], at=at)]
            case list():
                parts = [part for i, item in enumerate(value) for part in self._instruction(item, f"{at}[{i}]")]
                return [Turn(role="system", parts=parts, at=at)]
            case _:
                fields = Fields(value, at)
                fields.rest.pop("role", None)  # Google ignores it here
                return [Turn(role="system", parts=self._parts(fields), at=at, extra=fields.rest)]

    def _instruction(self, value: object, at: str) -> list[Part]:
        if isinstance(value, str):
            return [Text(text=value, at=at)]
        fields = Fields(value, at)
        return self._parts(fields) if "parts" in fields.rest else [self._any_part(fields)]

    def turns(self, contents: Iterable[tuple[object, str]]) -> list[Turn]:
        """The turns: a content of the model's with words or thoughts alone belongs to the one before it.

        `contents`: each with its path.
        """
        runs: list[list[Turn]] = []
        for turn in (self._turn(Fields(value, at)) for value, at in contents):
            if runs and runs[-1][0].role == "assistant" and _is_piece(turn):
                runs[-1].append(turn)
            else:
                runs.append([turn])
        return [run[0] if len(run) == 1 else _one(run) for run in runs]

    def _turn(self, fields: Fields) -> Turn:
        """One turn. The role of a tool result used to be `function`, and may be absent: both mean the user."""
        role = fields.text("role") or "user"
        if role not in ("user", "model", "function", "tool"):
            raise wrong_word(fields.path("role"), "user or model", role)
        named: Role = "assistant" if role == "model" else "user"
        return Turn(role=named, parts=self._parts(fields), at=fields.at, extra=fields.rest)

    def _parts(self, fields: Fields) -> list[Part]:
        if isinstance(fields.rest.get("parts"), dict):
            fields.rest["parts"] = [fields.rest["parts"]]
        return _joined([self._part(value, at) for value, at in fields.items("parts")])

    def _part(self, value: object, at: str) -> Part:
        if isinstance(value, dict) and len(value) == 1 and isinstance(text := value.get("text"), str):
            return Text(text=text, at=at)  # nearly every part, six times as fast as by matching a pattern
        return self._any_part(Fields(value, at))

    def _any_part(self, fields: Fields) -> Part:
        kinds = [kind for kind in _KINDS if kind in fields.rest]
        if len(kinds) > 1:
            message = f"{fields.at} has {' and '.join(kinds)}: a part must have exactly one of them."
            raise BadRequest(message, param=fields.at)
        if not fields.rest:
            message = f"{fields.at} is empty: a part must have text, inlineData, functionCall or the like."
            raise BadRequest(message, param=fields.at)
        part: Part
        match kinds:
            case ["text"]:
                part = _text(fields)
            case ["inlineData"]:
                part = read_inline(fields)
            case ["fileData"]:
                part = read_file(fields)
            case ["functionCall"]:
                part = self._call(fields)
            case ["functionResponse"]:
                part = self._result(fields)
            case [] if "thoughtSignature" in fields.rest:
                part = _text(fields)
            case _:
                return Opaque(wire=NAME, value=fields.rest, at=fields.at)
        part.at = fields.at
        part.extra = {**fields.rest}
        return part

    def _call(self, fields: Fields) -> ToolCall:
        inner = fields.need_inner("functionCall")
        name, given = inner.need_name("name"), inner.text("id")
        made = _MADE + "_".join(re.findall(r"\d+", fields.at))
        self._waiting[given or made] = self._names[given or made] = name
        arguments = inner.object("args")
        call = ToolCall(
            id=given or made,
            name=name,
            arguments="" if arguments is None else dump(arguments).decode(),
            signature=_seal(fields)[0],
        )
        fields.keep("functionCall", inner)
        return call

    def _result(self, fields: Fields) -> ToolResult:
        inner = fields.need_inner("functionResponse")
        name, given = inner.text("name") or "", inner.text("id")
        call = given or self._oldest(name)
        self._waiting.pop(call, None)
        known = self._names.get(call, "")
        if not name and not known:
            at = inner.path("name")
            raise BadRequest(f"{at} must be the name of the function called, but it is missing or empty.", param=at)
        if name and name != known:
            inner.rest["name"] = name
        told = dump(inner.object("response") or {}).decode()
        parts: list[Part] = [Text(text=told, at=inner.path("response"))]
        parts += [_medium(Fields(value, at)) for value, at in inner.items("parts")]
        fields.keep("functionResponse", inner)
        return ToolResult(id=call, parts=parts)

    def _oldest(self, name: str) -> str:
        """The id of the oldest call of this name without a result."""
        return next((call for call, called in self._waiting.items() if called == name), _MADE + name)


def _text(fields: Fields) -> Text | Thinking:
    text = fields.text("text") or ""
    signature, redacted = _seal(fields)
    if fields.flag("thought"):
        return Thinking(text=text, signature=signature, redacted=redacted)
    return Text(text=text, signature=signature)


def _is_piece(turn: Turn) -> bool:
    said = all(isinstance(part, Text | Thinking) for part in turn.parts)
    return said and turn.role == "assistant" and not turn.extra


def _one(run: list[Turn]) -> Turn:
    parts = [part for turn in run for part in turn.parts]
    return replace(run[0], parts=_joined(list(_told(parts)) or parts[:1]))


def _told(parts: list[Part]) -> Iterator[Part]:
    """The parts, with neighbouring texts as one, and none that is empty."""
    for plain, group in groupby(parts, lambda part: isinstance(part, Text) and part.is_plain):
        if not plain:
            yield from group
            continue
        texts = [part for part in group if isinstance(part, Text)]
        if text := "".join(part.text for part in texts):
            yield replace(texts[0], text=text)


def _joined(parts: list[Part]) -> list[Part]:
    """Join the pieces of a thought that its seal ends: clients keep each piece of a stream as a part.

    Google itself seals what follows a thought and not the thought, whose pieces then stay as many parts.
    """
    if len(parts) < 2:
        return parts
    joined: list[Part] = []
    open_thought: list[Thinking] = []
    for part in parts:
        if isinstance(part, Thinking) and part.signature and open_thought:
            del joined[-len(open_thought) :]
            part.at, part.text = open_thought[0].at, "".join(piece.text for piece in [*open_thought, part])
        if isinstance(part, Thinking) and not (part.is_sealed or part.extra):
            open_thought.append(part)
        else:
            open_thought = []
        joined.append(part)
    return joined


def _seal(fields: Fields) -> tuple[str, str]:
    return seal_in(fields.text("thoughtSignature") or "")


def _medium(fields: Fields) -> Part:
    """A medium in a tool's result."""
    part = read_file(fields) if "fileData" in fields.rest else read_inline(fields)
    part.at = fields.at
    part.extra = fields.rest
    return part
