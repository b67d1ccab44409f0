"""How long may a model think, and how is it told?

Converse has one field for it, `outputConfig.effort`, that few models know; each family has its own in
additionalModelRequestFields.
"""

from proxy.canon import Reasoning, Request
from proxy.claude import DEFAULT_MAX_TOKENS, budget_for
from proxy.dialects.bedrock.words import EFFORTS
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
        budget = budget_for(request, reasoning)
        return None if budget is None else _enabled(budget)
    if family == "gpt-oss" and not off and reasoning.budget is None and reasoning.effort in EFFORTS:
        return {"reasoning_effort": EFFORTS[reasoning.effort]}
    return None


def room_for(limit: int | None, budget: int) -> int:
    """max_tokens, which counts the thinking as well."""
    return DEFAULT_MAX_TOKENS + budget if limit is None else limit


def _enabled(budget: int) -> Object:
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}
