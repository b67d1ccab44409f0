"""Which id has an answer, or a call in it, on a wire that wants one, where its provider gave none?

A call's is the same whenever the same answer is told, and another in the next answer: an agent calls one tool again and
again, and both its client and the next provider go by the ids of the whole conversation. Gemini's and Ollama's calls
have none. An answer's (Bedrock's and Ollama's have none) is of the request that it answers: clients that keep answers
by it must not take two of them for one.
"""

from hashlib import sha256

from proxy.canon import Request, Start, ToolCall


def answer_id(start: Start, request: Request, prefix: str, length: int = 24) -> str:
    """`length`: characters behind the prefix."""
    seed = f"{start.model or request.model} {start.created} {len(request.turns)} {request.call}"
    return start.id or prefix + sha256(seed.encode()).hexdigest()[:length]


def seed_of(start: Start, request: Request) -> str:
    """What tells this answer from the conversation's others: its own name and time, and how much was said before."""
    return f"{start.id} {start.created} {len(request.turns)}"


def id_of(call: ToolCall, prefix: str, seed: str, number: int, length: int = 24) -> str:
    """`number`: the call's place in its answer. `length`: characters behind the prefix."""
    return call.id or prefix + sha256(f"{seed} {number} {call.name}".encode()).hexdigest()[:length]
