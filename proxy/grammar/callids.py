"""Which id has a call on a wire that wants one, where its provider gave none?

The same whenever the same answer is told, and another in the next answer: an agent calls one tool again and again, and
both its client and the next provider go by the ids of the whole conversation. Gemini's and Ollama's calls have none.
"""

from hashlib import sha256

from proxy.canon import Request, Start, ToolCall


def seed_of(start: Start, request: Request) -> str:
    """What tells this answer from the conversation's others: its own name and time, and how much was said before."""
    return f"{start.id} {start.created} {len(request.turns)}"


def id_of(call: ToolCall, prefix: str, seed: str, number: int, length: int = 24) -> str:
    """`number`: the call's place in its answer. `length`: characters behind the prefix."""
    return call.id or prefix + sha256(f"{seed} {number} {call.name}".encode()).hexdigest()[:length]
