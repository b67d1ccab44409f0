"""How much may Claude think, whoever hosts it?

A budget in tokens says so, under the same conditions at Anthropic and at Bedrock:
https://platform.claude.com/docs/en/build-with-claude/extended-thinking and
https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html
"""

from collections.abc import Iterator

from proxy.canon import Part, Reasoning, Request, Thinking, ToolCall
from proxy.grammar.thinking import half_of

# Claude requires max_tokens. Every model takes this many, as it is the longest answer of the oldest models.
DEFAULT_MAX_TOKENS = 4096

# Tokens of thinking that stand for other wires' efforts. 1,024 is the minimum; beyond 32k Anthropic advises batches.
MIN_BUDGET = 1024
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}


def budget_for(request: Request, reasoning: Reasoning) -> int | None:
    """Tokens to think with: at least the minimum, and less than max_tokens. None where thinking is not possible."""
    limit, asked = request.longest if request.max_tokens is None else request.max_tokens, reasoning.budget
    wanted = BUDGETS.get(reasoning.effort or "") if asked is None else asked
    if wanted is None or wanted < 0 or (limit is not None and limit <= MIN_BUDGET) or not _may_think(request):
        return None
    if limit is not None:  # an effort leaves half of the answer for text; an explicit budget need not
        wanted = half_of(limit, wanted) if asked is None else min(wanted, limit - 1)
    return max(wanted, MIN_BUDGET)


def room_for(request: Request, budget: int) -> int:
    """max_tokens, which includes the thinking, and must not exceed the model's limit."""
    if request.max_tokens is not None:
        return request.max_tokens
    room = DEFAULT_MAX_TOKENS + budget
    return room if request.longest is None else min(room, request.longest)


def moved_to(budget: int, reasoning: Reasoning) -> Iterator[str]:
    """The fields that are not said as asked. Where an effort alone was asked for, its budget says just that."""
    if reasoning.budget is not None and reasoning.effort is not None:
        yield "reasoning.effort"
    if reasoning.budget not in (None, budget):
        yield "reasoning.budget"


def _may_think(request: Request) -> bool:
    """Thinking is refused with a forced tool, a prefill, or tool results whose call has no sealed thought before it."""
    prefilled = bool(request.turns) and request.turns[-1].role == "assistant"
    return not (is_forced(request) or prefilled or lacks_thought(request))


def lacks_thought(request: Request) -> bool:
    """Did the last answer call a tool, but the thought that it began with is missing?

    It came from another provider, or the client could not keep it, and it is forgotten. An answer may span several
    turns.
    """
    first: Part | None = None
    is_calling = False
    for turn in reversed(request.turns):
        if turn.role == "assistant" and turn.parts:
            first = turn.parts[0]
            is_calling = is_calling or any(isinstance(part, ToolCall) for part in turn.parts)
        elif first is not None and turn.role != "assistant":
            break
    return is_calling and not (isinstance(first, Thinking) and first.is_sealed)


def must_not_think(request: Request) -> bool:
    """Would a request with a budget that came on its provider's own wire be refused for a missing thought?"""
    reasoning = request.reasoning
    return reasoning is not None and reasoning.budget is not None and lacks_thought(request)


def is_forced(request: Request) -> bool:
    """Must a tool be called?"""
    return request.tool_choice is not None and request.tool_choice.mode in ("required", "tool")


def is_claude(model: str) -> bool:
    return "claude" in model.lower()
