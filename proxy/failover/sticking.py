"""Which conversation is this a part of?

What it begins with stays as it is while it goes on, and so does a key that the client gives it: requests of the same
beginning want the same target, which has read that already.
"""

from proxy.ports import Call

BEGINNING = 1024  # bytes of each that count

_NAMED = ("prompt_cache_key", "conversation", "session_id")
_FIRST = ("system", "instructions", "systemInstruction", "system_instruction")
_TURNS = ("messages", "contents", "input", "prompt")


def conversation(call: Call) -> str:
    """Its identity; never shown to anybody, as it holds what was said."""
    envelope = call.envelope
    named = [raw for key in _NAMED if (raw := envelope.raw(key))]
    said = named or [raw[:BEGINNING] for key in (*_FIRST, *_TURNS) if (raw := envelope.raw(key))]
    return b"\0".join([call.client.encode(), *said]).decode("utf-8", "replace")
