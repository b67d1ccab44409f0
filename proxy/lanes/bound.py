"""Does a model refuse its own thoughts, and what is left without them?

Claude's newer models take a thought back only behind the very words that it was thought behind: the system's, the
tools, each message and each thought before it. A client of another wire knows nothing of that, and seldom that there
are thoughts: it changes its tools between two turns, and every request of that chat would be refused from then on.
Without the thoughts each host takes it; Anthropic's own beta to the same end is refused by some.
https://platform.claude.com/docs/en/build-with-claude/preserved-thinking
"""

import re

from proxy.canon import Request, Thinking
from proxy.errors import UpstreamError
from proxy.sealing.seals import is_sealed

_is_of_a_seal = re.compile(r"(?i)\binvalid .?signature.? in .?thinking.? block").search


def refuses_thoughts(error: UpstreamError) -> bool:
    return error.upstream_status == 400 and _is_of_a_seal(error.message) is not None


def without_thoughts(request: Request) -> set[str]:
    """Leave out those that are sealed, in place; the receipt."""
    gone: set[str] = set()
    for turn in request.turns:
        sealed = [part for part in turn.parts if isinstance(part, Thinking) and is_sealed(part)]
        if sealed:
            turn.parts = [part for part in turn.parts if part not in sealed]
            gone.update("thinking.signature" if part.signature else "thinking.redacted" for part in sealed)
    return {request.name_of(name) for name in gone}
