"""How long may a model think, and how is it told?

Converse has one field for it, `outputConfig.effort`, that few models know; each family has its own in
additionalModelRequestFields.
"""

from proxy.canon import Reasoning, Request
from proxy.dialects.bedrock.words import EFFORTS
from proxy.grammar.claude_plan import plan
from proxy.grammar.claudes import takes_of
from proxy.grammar.fields import Object
from proxy.grammar.receipts import Receipt


def said_by_client(reasoning: Reasoning) -> Object:
    """What a client of this wire said to Claude, said again."""
    if reasoning.off:
        return {"thinking": {"type": "disabled"}}
    return {} if reasoning.budget is None else _enabled(reasoning.budget)


def said_to(family: str, reasoning: Reasoning, dropped: Receipt) -> Object:
    """What to tell a model of the family, if it is not Claude; nothing where it cannot be told."""
    off = reasoning.off or reasoning.budget == 0 or reasoning.effort == "none"
    if family == "gpt-oss" and not off and reasoning.budget is None and reasoning.effort in EFFORTS:
        word = EFFORTS[reasoning.effort]
        dropped.update(() if word == reasoning.effort else ("reasoning.effort",))
        return {"reasoning_effort": word}
    dropped.add("reasoning")
    return {}


def to_claude(request: Request, dropped: Receipt) -> Object:
    """In the words of its own wire: additionalModelRequestFields go to the model as they are."""
    asked = plan(request, takes_of(request.model))
    dropped.update(asked.moved)
    said: Object = {"thinking": asked.thinking} if asked.thinking else {}
    return said if asked.effort is None else said | {"output_config": {"effort": asked.effort}}


def _enabled(budget: int) -> Object:
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}
