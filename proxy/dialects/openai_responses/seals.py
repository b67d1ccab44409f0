"""How does this wire carry the seals of other providers, if it has a place only for those of thoughts?

Every client sends a reasoning item's `encrypted_content` back unread (Codex keeps nothing else of the item but its
text). So other providers' seals travel there: that of redacted thinking in an item of its own, and that of a call or a
text in an item right after the one that it belongs to. Our seals begin with a word and a colon, and so cannot be
confused with those of OpenAI and xAI, which are base64.
"""

from collections.abc import Sequence

from proxy.canon import Part, Text, Thinking, ToolCall

_REDACTED = "redacted:"
_CALL = "call:"  # followed by the call's id, which has no line end, and a line end
_TEXT = "text:"


def opened(seal: str) -> Thinking:
    """An empty thinking block with this seal."""
    if seal.startswith(_REDACTED):
        return Thinking(redacted=seal.removeprefix(_REDACTED))
    return Thinking(signature=seal)


def closed(part: Thinking) -> str:
    return _REDACTED + part.redacted if part.redacted else part.signature


def seal_behind(part: Part, call: str) -> str:
    """The seal for a reasoning item after this part; "" if the part has none. `call`: the call's id on this wire."""
    match part:
        case ToolCall(signature=signature) if signature:
            return f"{_CALL}{call}\n{signature}"
        case Text(signature=signature) if signature:
            return _TEXT + signature
        case _:
            return ""


def put_back(item: Sequence[Part], before: Sequence[Part]) -> bool:
    """Give a seal back to its part, if this item is one. If the part is gone, the seal is dropped.

    Returns whether the item was such a seal.
    """
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
