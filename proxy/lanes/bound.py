"""Does a model refuse its own thoughts, or miss one, and can the request do without?

Claude's newer models take a thought back only if everything before it is unchanged: the system prompt, the tools, each
message and each thought. A client of another wire does not know that, and seldom that there are thoughts: it changes
its tools between two turns, and from then on every request of that chat would be refused. Without the thoughts every
host takes it; Anthropic's beta for the same purpose is refused by some.
https://platform.claude.com/docs/en/build-with-claude/preserved-thinking

On a host's own wire a thought is missed where another provider has called the tool, while the host was down, and had no
thought to show. Claude with a budget must not think then either; DeepSeek and Moonshot get an empty thought; and Gemini
3, which misses the seal of a call of Gemini 2.5's, takes a word of Google's in its place. In Responses an account keeps
its reasoning, and clients bring back its id, which OpenAI does not find if it was Azure that has thought, or another
account.
"""

import re

from proxy.canon import Request, Thinking
from proxy.errors import UpstreamError

_is_of_a_gap = re.compile(
    r"Expected `thinking` or `redacted_thinking`, but found `"  # Claude
    r"|Function call is missing a thought_signature"  # Gemini 3
    r"|reasoning_content is missing in assistant|Missing `reasoning_content`"  # Moonshot, DeepSeek, and the next one
    r"|`?reasoning_content`? in the thinking mode must be passed back"
).search
_is_of_a_seal = re.compile(r"(?i)\binvalid .?signature.? in .?thinking.? block").search
_has_thoughts = re.compile(rb'"type"\s*:\s*"reasoning"').search
_keeps_none = re.compile(rb'"store"\s*:\s*false').search
_is_of_an_item = re.compile(r"Item with id '?rs_[\w-]+'? not found").match


def refuses_thoughts(error: UpstreamError, own: bool) -> bool:
    """`own`: the request is on the host's own wire. There the client knows what it has changed before a thought, and
    hears of it; but not who has thought.
    """
    if own:
        return error.upstream_status in (400, 404) and _is_of_an_item(error.message) is not None
    return error.upstream_status == 400 and _is_of_a_seal(error.message) is not None


def loses_thought(error: UpstreamError, body: bytes, meant: bool) -> bool:
    """Is it about a thought in this body, which passed through, that another account may keep? Who has `meant` this
    host, and told it to keep none, reads its advice.
    """
    is_of_body = refuses_thoughts(error, own=True) and _has_thoughts(body) is not None
    return is_of_body and not (meant and _keeps_none(body))


def misses_thought(error: UpstreamError) -> bool:
    return error.upstream_status == 400 and _is_of_a_gap(error.message) is not None


def without_thoughts(request: Request, own: bool) -> set[str]:
    """Remove the sealed thoughts in place, or on the host's `own` wire all of them, and return the receipt."""
    gone: set[str] = set()
    for turn in request.turns:
        unwanted = [part for part in turn.parts if isinstance(part, Thinking) and (own or part.is_sealed)]
        if unwanted:
            turn.parts = [part for part in turn.parts if part not in unwanted]
            gone.update(map(_name_of, unwanted))
    return {request.name_of(name) for name in gone}


def _name_of(thought: Thinking) -> str:
    if thought.redacted:
        return "thinking.redacted"
    return "thinking.signature" if thought.signature else "thinking"
