"""Which conversation is this a part of?

A conversation's beginning stays as it is while it goes on, and so does a key that the client gives it. Requests with
the same beginning want the same target, which has it in its cache. The beginning is: instructions, and the first turn.
"""

import re

import msgspec
from msgspec import Raw, Struct, field

from proxy.ports import Call

BEGINNING = 1024  # bytes of each that count

_NAMED = ("prompt_cache_key", "conversation", "session_id")
_FIRST = ("system", "instructions", "systemInstruction", "system_instruction")
_TURNS = ("messages", "contents", "input", "prompt")
_INSTRUCTING = frozenset({"system", "developer"})
# A client marks what it has said so far, and moves the mark as it says more.
_MARK = re.compile(rb',\s*"cache_control"\s*:\s*(?:null|\{[^{}]*\})|,\s*\{\s*"cachePoint"\s*:\s*\{[^{}]*\}\s*\}')


class _Turn(Struct):
    role: str = ""
    content: Raw = Raw(b"")


class _Block(Struct):
    text: Raw = Raw(b"")
    mark: Raw = field(name="cachePoint", default=Raw(b""))


def conversation(call: Call) -> str:
    """Its identity; never to be shown, as it holds what was said."""
    envelope = call.envelope
    named = [raw for key in _NAMED if (raw := envelope.raw(key))]
    first = [raw for key in _FIRST if (raw := envelope.raw(key))]
    turns = [turn for key in _TURNS if (raw := envelope.raw(key)) for turn in _first_turn(raw)]
    return b"\0".join([call.client.encode(), *(named or map(_beginning, [*first, *turns]))]).decode("utf-8", "replace")


def _first_turn(raw: bytes) -> list[bytes]:
    """With the instructions before it, where they are turns as well."""
    found: list[bytes] = []
    try:
        for turn in msgspec.json.decode(raw, type=list[Raw]):
            said = msgspec.json.decode(turn, type=_Turn)
            if said.role not in _INSTRUCTING:
                found.append(_text(bytes(said.content)) or bytes(turn))
                break
            found.append(bytes(turn))
    except msgspec.DecodeError:
        return [raw]  # a text, or what the provider will refuse
    return found


def _text(content: bytes) -> bytes:
    """A turn's text as it would stand alone, for an app may begin with that: `"Hi"`, and later `[{"text": "Hi"}]`."""
    if not content.startswith(b"["):
        return content
    try:
        texts = [bytes(one.text) for one in msgspec.json.decode(content, type=list[_Block]) if not one.mark]
    except msgspec.DecodeError:  # what the provider will refuse
        return b""
    return texts[0] if len(texts) == 1 else b""


def _beginning(raw: bytes) -> bytes:
    return _MARK.sub(b"", raw[: 2 * BEGINNING])[:BEGINNING]
