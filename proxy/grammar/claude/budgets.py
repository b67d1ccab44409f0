"""How much may Claude think, whoever hosts it?

By a budget of tokens, with conditions that are the same at Anthropic and at Bedrock:
https://platform.claude.com/docs/en/build-with-claude/extended-thinking and
https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html
"""

from collections.abc import Iterator

from proxy.canon import Part, Reasoning, Request, Thinking, ToolCall
from proxy.grammar.thinking import half_of

# Claude has to be told how long an answer may be. Every model takes this many tokens, and it is the longest answer of
# the oldest ones.
DEFAULT_MAX_TOKENS = 4096

# Tokens of thinking that stand for the efforts of other wires. 1,024 is the least that is taken; beyond 32k Anthropic
# advises batches.
MIN_BUDGET = 1024
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}


def budget_for(request: Request, reasoning: Reasoning) -> int | None:
    """Tokens to think with: at least what is taken, and less than max_tokens. None where there can be no thinking."""
    limit, asked = request.longest if request.max_tokens is None else request.max_tokens, reasoning.budget
    wanted = BUDGETS.get(reasoning.effort or "") if asked is None else asked
    if wanted is None or wanted < 0 or (limit is not None and limit <= MIN_BUDGET) or not _may_think(request):
        return None
    if limit is not None:  # an effort leaves half of the answer to be said; a budget that was asked for may not
        wanted = half_of(limit, wanted) if asked is None else min(wanted, limit - 1)
    return max(wanted, MIN_BUDGET)


def room_for(request: Request, budget: int) -> int:
    """max_tokens, which counts the thinking as well, and may not be more than the model gives."""
    if request.max_tokens is not None:
        return request.max_tokens
    room = DEFAULT_MAX_TOKENS + budget
    return room if request.longest is None else min(room, request.longest)


def moved_to(budget: int, reasoning: Reasoning) -> Iterator[str]:
    """What of it is not said as it was asked. An effort is what its budget stands for, where no other was asked."""
    if reasoning.budget is not None and reasoning.effort is not None:
        yield "reasoning.effort"
    if reasoning.budget not in (None, budget):
        yield "reasoning.budget"


def _may_think(request: Request) -> bool:
    """A forced tool, a prefill, and tool results whose call shows no sealed thought before it are refused."""
    prefilled = bool(request.turns) and request.turns[-1].role == "assistant"
    return not (is_forced(request) or prefilled or lacks_thought(request))


def lacks_thought(request: Request) -> bool:
    """Did the last answer call a tool, and is the thought not there that it began with?

    It was another provider's, or the client had no place for it and it is forgotten. An answer may be several turns.
    """
    first: Part | None = None
    is_calling = False
    for turn in reversed(request.turns):
        if turn.role == "assistant" and turn.parts:
            first = turn.parts[0]
            is_calling = is_calling or any(isinstance(part, ToolCall) for part in turn.parts)
        elif first is not None and turn.role != "assistant":
            break
    return is_calling and not is_sealed(first)


def must_not_think(request: Request) -> bool:
    """For a request to a Claude that came on its provider's own wire, with a budget: would it be refused for that?"""
    reasoning = request.reasoning
    return reasoning is not None and reasoning.budget is not None and lacks_thought(request)


def is_forced(request: Request) -> bool:
    """Must a tool be called?"""
    return request.tool_choice is not None and request.tool_choice.mode in ("required", "tool")


def is_sealed(part: object) -> bool:
    """A thought that its provider will know again."""
    return isinstance(part, Thinking) and bool(part.signature or part.redacted)


def is_claude(model: str) -> bool:
    return "claude" in model.lower()
