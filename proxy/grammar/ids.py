"""Which id does an answer or a call get where the wire wants one and the provider gave none?

A call's id is the same whenever the same answer is rendered, and differs in the next answer: an agent calls one tool
again and again, and both its client and the next provider match ids across the whole conversation. Gemini's and
Ollama's calls have none. An answer's id (Bedrock and Ollama give none) comes from the request that it answers: clients
that store answers by id must not take two for one.
"""

from hashlib import sha256

from proxy.canon import Request, Start, ToolCall


def answer_id(start: Start, request: Request, prefix: str, length: int = 24) -> str:
    """`length`: characters after the prefix."""
    seed = f"{start.model or request.model} {start.created} {len(request.turns)} {request.call}"
    return start.id or prefix + sha256(seed.encode()).hexdigest()[:length]


def seed_of(start: Start, request: Request) -> str:
    """What tells this answer from the conversation's others: its id and time, and how many turns came before."""
    return f"{start.id} {start.created} {len(request.turns)}"


def id_of(call: ToolCall, prefix: str, seed: str, number: int, length: int = 24) -> str:
    """`number`: the call's place in its answer. `length`: characters after the prefix."""
    return call.id or prefix + sha256(f"{seed} {number} {call.name}".encode()).hexdigest()[:length]
