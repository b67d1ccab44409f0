"""How long may a model think, and how is it told?

Converse has one field for it, `outputConfig.effort`, that few models know; each family has its own in
additionalModelRequestFields. Claude's is a budget of tokens, less than max_tokens, with conditions:
https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html
"""

from proxy.canon import Reasoning, Request, Thinking, ToolCall
from proxy.dialects.bedrock.words import BUDGETS, DEFAULT_MAX_TOKENS, EFFORTS, MIN_BUDGET
from proxy.fields import Object


def said_by_client(reasoning: Reasoning) -> Object:
    """What a client of this wire said to Claude, said again."""
    if reasoning.off:
        return {"thinking": {"type": "disabled"}}
    return {} if reasoning.budget is None else _enabled(reasoning.budget)


def said_to(family: str, request: Request, reasoning: Reasoning) -> Object | None:
    """What to tell a model of the family; None where it cannot be told."""
    off = reasoning.off or reasoning.budget == 0 or reasoning.effort == "none"
    if family == "claude":
        if off:
            return {"thinking": {"type": "disabled"}}
        budget = _budget(request, reasoning)
        return None if budget is None else _enabled(budget)
    if family == "gpt-oss" and not off and reasoning.budget is None and reasoning.effort in EFFORTS:
        return {"reasoning_effort": EFFORTS[reasoning.effort]}
    return None


def room_for(limit: int | None, budget: int) -> int:
    """max_tokens, which counts the thinking as well."""
    return DEFAULT_MAX_TOKENS + budget if limit is None else limit


def thinks_with(key: str, value: float) -> bool:
    """Does Claude take this knob while it thinks?"""
    return {"temperature": value == 1, "top_p": 0.95 <= value <= 1, "top_k": False}[key]


def _enabled(budget: int) -> Object:
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _budget(request: Request, reasoning: Reasoning) -> int | None:
    """Tokens to think with: at least what Claude takes, and less than the limit. None: not so."""
    limit, asked = request.max_tokens, reasoning.budget
    wanted = BUDGETS.get(reasoning.effort or "") if asked is None else asked
    if wanted is None or wanted < 0 or (limit is not None and limit <= MIN_BUDGET) or not _may_think(request):
        return None
    if limit is not None:  # an effort leaves half of the answer to be said; a budget that was asked for may not
        wanted = min(wanted, limit // 2 if asked is None else limit - 1)
    return max(wanted, MIN_BUDGET)


def _may_think(request: Request) -> bool:
    """With thinking Claude refuses a forced tool, a prefill, and tool results whose call shows no thought."""
    forced = request.tool_choice is not None and request.tool_choice.mode in ("required", "tool")
    prefilled = bool(request.turns) and request.turns[-1].role == "assistant"
    last = next((turn for turn in reversed(request.turns) if turn.role == "assistant"), None)
    parts = [] if last is None else last.parts
    thought = any(isinstance(part, Thinking) and (part.signature or part.redacted) for part in parts)
    calling = any(isinstance(part, ToolCall) for part in parts) and not thought
    return not (forced or prefilled or calling)
