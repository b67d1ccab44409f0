"""How much may a model think, and how is it told?

Converse has one field for it, `outputConfig.effort`, which few models know; each family has its own in
additionalModelRequestFields. Nova's second generation has an effort:
https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
"""

import re

from proxy.canon import Reasoning, Request
from proxy.dialects.bedrock.words import EFFORTS
from proxy.grammar.claude.models import Takes
from proxy.grammar.claude.plan import plan
from proxy.grammar.fields import Object, as_object
from proxy.grammar.receipts import Receipt

_is_nova_2 = re.compile(r"nova-2-").search


def said_by_client(reasoning: Reasoning) -> Object:
    """What a client of this wire said to Claude, in the spelling that we use."""
    if reasoning.off:
        return {"thinking": {"type": "disabled"}}
    if reasoning.adaptive:
        return {"thinking": {"type": "adaptive"}}
    return {} if reasoning.budget is None else _enabled(reasoning.budget)


def said_to(family: str, request: Request, reasoning: Reasoning, dropped: Receipt) -> Object:
    """What to tell a model of a family other than Claude; empty where it cannot be told."""
    off = reasoning.off or reasoning.budget == 0 or reasoning.effort == "none"
    is_nova = family == "nova" and _is_nova_2(request.model)
    if is_nova and off:
        return {}  # it thinks only if asked to
    word = EFFORTS.get(reasoning.effort or "")
    if off or reasoning.budget is not None or word is None or not (is_nova or family == "gpt-oss"):
        dropped.add("reasoning")
        return {}
    if is_nova and word == "high" and _is_bounded(request):
        word = "medium"
    if word != reasoning.effort:
        dropped.add("reasoning.effort")
    return (
        {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": word}} if is_nova else {"reasoning_effort": word}
    )


def _is_bounded(request: Request) -> bool:
    """Nova refuses each of these beside its highest effort, and a client's limit is worth more than that."""
    knobs = (request.max_tokens, request.temperature, request.top_p, request.top_k)
    return any(value is not None for value in knobs)


def to_claude(request: Request, takes: Takes, dropped: Receipt) -> Object:
    """What to tell Claude, in its own wire's words: additionalModelRequestFields go to the model as they are."""
    asked = plan(request, takes)
    dropped.update(asked.moved)
    said: Object = {"thinking": asked.thinking} if asked.thinking else {}
    return said if asked.effort is None else said | {"output_config": {"effort": asked.effort}}


def unthinking(body: Object, dropped: Receipt) -> None:
    """Switch thinking off, in whichever of Claude's words it was asked for."""
    dropped.add("reasoning")
    more = as_object(body["additionalModelRequestFields"])
    kept = {key: value for key, value in more.items() if key not in ("thinking", "reasoning_config")}
    body["additionalModelRequestFields"] = kept
    if not kept:
        del body["additionalModelRequestFields"]


def _enabled(budget: int) -> Object:
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}
