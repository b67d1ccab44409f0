"""How much does a client of this wire let the model think?"""

from proxy.canon import Reasoning, Request
from proxy.grammar.claude.plan import DISPLAYS, Plan, room_of
from proxy.grammar.fields import Object


def plan_as_asked(request: Request) -> Plan:
    """For a request that came on this wire: its own words again."""
    reasoning, room = request.reasoning or Reasoning(), room_of(request)
    thinking: Object = {}
    if reasoning.off:
        thinking["type"] = "disabled"
    if reasoning.adaptive:
        thinking["type"] = "adaptive"
    if reasoning.budget is not None:
        thinking |= {"type": "enabled", "budget_tokens": reasoning.budget}
    if reasoning.summary is not None:
        thinking["display"] = DISPLAYS.get(reasoning.summary, reasoning.summary)
    return Plan(room, thinking, reasoning.effort)
