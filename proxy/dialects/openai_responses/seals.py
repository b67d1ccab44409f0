"""Where does a provider's seal stand on this wire, which has a place for those of thoughts alone?

A reasoning item's `encrypted_content` is what every client sends back unread (Codex keeps nothing else of the item but
its text). So another provider's seals travel there: that of redacted thinking in an item of its own, and that of a
call or a text in one right behind the item that it belongs to. OpenAI's own seals, and xAI's, are base64, which has no
colon: ours begin with a word and one.
"""

from collections.abc import Sequence

from proxy.canon import Part, Text, Thinking, ToolCall

_REDACTED = "redacted:"
_CALL = "call:"  # then the call's id, which has no line end, and one
_TEXT = "text:"


def opened(seal: str) -> Thinking:
    """The shell of a thinking block with this seal."""
    if seal.startswith(_REDACTED):
        return Thinking(redacted=seal.removeprefix(_REDACTED))
    return Thinking(signature=seal)


def closed(part: Thinking) -> str:
    return _REDACTED + part.redacted if part.redacted else part.signature


def seal_behind(part: Part, call: str) -> str:
    """What a reasoning item behind this part must hold; empty where the part has no seal. `call`: its id here."""
    match part:
        case ToolCall(signature=signature) if signature:
            return f"{_CALL}{call}\n{signature}"
        case Text(signature=signature) if signature:
            return _TEXT + signature
        case _:
            return ""


def put_back(item: Sequence[Part], before: Sequence[Part]) -> bool:
    """Is this item the seal of a part before it? Then that has it back; a part that is gone needs none."""
    seal = item[0].signature if len(item) == 1 and isinstance(item[0], Thinking) else ""
    if not seal.startswith((_CALL, _TEXT)):
        return False
    for part in reversed(before):
        if isinstance(part, ToolCall) and seal.startswith(f"{_CALL}{part.id}\n"):
            part.signature = seal.partition("\n")[2]
            break
        if isinstance(part, Text) and seal.startswith(_TEXT):
            part.signature = seal.removeprefix(_TEXT)
            break
    return True
