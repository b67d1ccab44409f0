"""What do OpenAI's two wires say in the same words?

https://platform.openai.com/docs/api-reference/chat and .../api-reference/responses
"""

import re

from proxy.canon import Request
from proxy.errors import Kind
from proxy.grammar.fields import Object
from proxy.grammar.receipts import Receipt
from proxy.grammar.thinking import SAYS_NONE, effort_of, is_undecided

# What OpenAI takes as `service_tier`; other wires have tiers of their own.
TIERS = {"auto", "default", "flex", "priority", "scale"}

# The `type` of an error, as OpenAI's SDKs and the hosts know it; for all others it is "server_error".
ERROR_WORDS: dict[Kind, str] = {
    "authentication": "authentication_error",
    "rate_limit": "rate_limit_error",
    "quota_exceeded": "insufficient_quota",
    "invalid_request": "invalid_request_error",
    "timeout": "timeout_error",
}


def is_gpt(model: str) -> bool:
    """Is it OpenAI's, by its name, so that its host knows what only OpenAI's API has? Anybody may run gpt-oss."""
    return _is_gpt(model.lower()) is not None


_is_gpt = re.compile(r"(?:.*[/:]|openai\.)?(?:gpt-(?!oss)|chatgpt-|o[1-9])").match


def effort_in(request: Request, own: bool, dropped: Receipt) -> str | None:
    """The effort. A budget becomes the effort that it would pay for, and the receipt names it.

    `own`: the request came on the wire that it is sent on.
    """
    reasoning = request.reasoning
    if reasoning is None:
        return None
    if reasoning.off:
        if request.wire in SAYS_NONE:
            return "none"
        dropped.add("reasoning")
        return None
    if reasoning.budget is not None and not own:
        dropped.add("reasoning.budget")
        if reasoning.effort is None:
            return effort_of(reasoning.budget)
    if is_undecided(reasoning):
        dropped.add("reasoning.adaptive")
    return reasoning.effort


def model_card(name: str) -> Object:
    """https://platform.openai.com/docs/api-reference/models/object: `created` is required, and 0 means unknown."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "pillion"}
