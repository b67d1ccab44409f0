"""When is a conversation, or an answer, the same as an earlier one?

A client repeats the whole conversation with every request, and each client in its own way: in one turn or in several,
in one text or in parts, with the arguments of a call spelled anew. What every wire keeps and every client repeats is
hashed: roles, texts, calls, results and media. How it is split up is not: adjacent turns of one role count as one, as
do adjacent texts, and arguments count as what their JSON means. Thoughts, seals and tuning knobs are left out.
"""

import secrets
from collections.abc import Iterable
from hashlib import sha256
from math import isfinite
from typing import assert_never

import msgspec

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Remote,
    Source,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)

LONGEST = 1024 * 1024  # characters of arguments that are parsed: the values may take twenty times as much memory


def identities(parts: list[Part]) -> list[list[str]]:
    """What an answer is recognised by, the most reliable first.

    A call may have no id from its provider, or lose it at a client whose wire has none: then its contents must do.
    """
    calls = [part for part in parts if isinstance(part, ToolCall)]
    if not calls:
        return [["text", "".join(part.text for part in parts if isinstance(part, Text | Refusal))]]
    content = ["calls", *(field for call in calls for field in (call.name, _arguments(call)))]
    if not all(call.id for call in calls):
        return [content]
    return [["ids", *(call.id for call in calls)], content]


class Conversation:
    """The digest of a conversation so far, turn by turn."""

    def __init__(self) -> None:
        self._hash = sha256()
        self._role = ""
        self._text: list[str] = []  # said and not yet hashed, since more of it may follow

    def add(self, turn: Turn) -> None:
        if turn.role != self._role:
            self._role = turn.role
            self._item("role", turn.role)
        for part in turn.parts:
            self._part(part)

    def digest(self) -> bytes:
        so_far = self._hash.copy()
        so_far.update(self._last_text())
        return so_far.digest()

    def _item(self, *fields: str) -> None:
        self._hash.update(self._last_text() + _framed(fields))
        self._text.clear()

    def _last_text(self) -> bytes:
        return _framed(("text", "".join(self._text))) if self._text else b""

    def _part(self, part: Part) -> None:
        match part:
            case Text(text=text) | Refusal(text=text):
                if text:
                    self._text.append(text)
            case Thinking():
                pass
            case ToolCall():
                self._item("call", part.kind, part.id, part.name, _arguments(part))
            case ToolResult():
                inner = Conversation()
                inner.add(Turn(role="user", parts=part.parts))
                self._item("result", part.id, "failed" if part.is_error else "", inner.digest().hex())
            case Image() | Audio() | Video() | Document():
                name = part.id if isinstance(part, Audio) else ""
                self._item("medium", type(part).__name__, name, *_where(part.source))
            case Opaque():
                self._item("opaque", part.wire, _canonical(part.value))
            case _:
                assert_never(part)


def _where(source: Source | None) -> tuple[str, str, str]:
    match source:
        case Inline(data=data, media_type=media_type):
            return "inline", media_type, sha256(data.encode()).hexdigest()
        case Remote(url=url, media_type=media_type):
            return "remote", media_type, url
        case Stored(id=name):
            return "stored", "", name
        case None:
            return "", "", ""
        case _:
            assert_never(source)


def _arguments(call: ToolCall) -> str:
    """What the JSON means, as clients parse it and spell it again; what is no JSON, or too long, is left as it is."""
    if call.kind == "custom" or len(call.arguments) > LONGEST:
        return call.arguments
    try:
        return _spell(_read(call.arguments or "{}"), order="sorted").decode()
    except (ValueError, RecursionError):
        return call.arguments


def _number(text: str) -> float:
    """JavaScript writes 1 where 1.0 came."""
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text} is no number that can be spelled again")
    return int(value) if value.is_integer() else value


_spell = msgspec.json.encode
_read = msgspec.json.Decoder(float_hook=_number).decode


def _canonical(value: object) -> str:
    try:
        return _spell(value, order="sorted").decode()
    except RecursionError:  # nested so deep only to break us: then it is like nothing else
        return secrets.token_hex()


def digest_of(fields: Iterable[str]) -> bytes:
    return sha256(_framed(fields)).digest()


def _framed(fields: Iterable[str]) -> bytes:
    """Each field with its length before it, so that no two lists of fields give the same bytes."""
    held = [field.encode() for field in fields]
    return b"".join([b"%d:%b" % (len(field), field) for field in held])
