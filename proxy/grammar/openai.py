"""What do OpenAI's two wires say in the same words?

https://platform.openai.com/docs/api-reference/chat and .../api-reference/responses
"""

import re
from hashlib import sha256

from msgspec.structs import replace

from proxy.canon import Format, Request
from proxy.errors import Kind
from proxy.grammar.fields import Object, as_object
from proxy.grammar.receipts import Receipt
from proxy.grammar.thinking import SAYS_NONE, effort_of, is_undecided, moot

# What both wires of OpenAI take as `service_tier`; other wires have tiers of their own. `fast` is another word for
# `priority`. (https://platform.openai.com/docs/guides/fast-mode)
TIERS = {"auto", "default", "flex", "priority", "scale", "fast"}

# Of knobs: "Expected a value <= 2", and so on.
RANGES = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "top_logprobs": (0, 20),
}

# Fields that both wires have, and no other one; what may stand in each, where the one knows more than the other.
_ALIKE: dict[str, frozenset[str]] = {
    "moderation": frozenset(("model", "policy")),
    "prompt_cache_options": frozenset(("mode", "ttl")),
}

# "Invalid 'user': string too long. Expected a string with maximum length 64": Claude Code says some 150 characters.
# (https://github.com/maximhq/bifrost/pull/1000)
_LONGEST_USER = 64

# The `type` of an error, as OpenAI's SDKs and the hosts know it; for all others it is "server_error".
ERROR_WORDS: dict[Kind, str] = {
    "authentication": "authentication_error",
    "rate_limit": "rate_limit_error",
    "quota_exceeded": "insufficient_quota",
    "invalid_request": "invalid_request_error",
    "timeout": "timeout_error",
}


def blocks(moderation: object) -> bool:
    """Does this `moderation` have what it finds held back, rather than scored? Then it is no mere addition."""
    policy = as_object(as_object(moderation).get("policy"))
    return any(as_object(policy.get(side)).get("mode") == "block" for side in ("input", "output"))


def is_gpt(model: str) -> bool:
    """Is it OpenAI's, by its name, so that its host knows what only OpenAI's API has? Anybody may run gpt-oss."""
    return _is_gpt(model.lower()) is not None


_is_gpt = re.compile(r"(?:.*[/:]|openai\.)?(?:gpt-(?!oss)|chatgpt-|o[1-9])").match


def form_of(request: Request) -> Format | None:
    """The answer's format; where the host wants a schema for any JSON, or the word "json" in a message without one, a
    schema of any object.
    """
    if request.format is not None and request.format.kind == "json" and "schemas" in request.ways:
        return Format(kind="schema", schema={"type": "object"})
    return request.format


def alike(request: Request) -> tuple[Request, Object]:
    """A request from another wire without the fields that only OpenAI's other one has, and these: they go on as they
    came. Other hosts of either wire do not know them.
    """
    if not request.wire.startswith("openai_") or not is_gpt(request.model):
        return request, {}
    said = request.extra | request.demands
    told = {key: value for key, value in said.items() if key in _ALIKE and _is_known(value, _ALIKE[key])}
    if not told:
        return request, {}
    extra = {key: value for key, value in request.extra.items() if key not in told}
    demands = {key: value for key, value in request.demands.items() if key not in told}
    return replace(request, extra=extra, demands=demands), told


def with_short_user(request: Request, dropped: Receipt) -> Request:
    """A request from another wire, with a name for its user that is no longer than OpenAI takes: the digest of one that
    is tells users apart as well.
    """
    if request.user is None or len(request.user) <= _LONGEST_USER:
        return request
    dropped.add("user")
    return replace(request, user=sha256(request.user.encode()).hexdigest()[:_LONGEST_USER])


def _is_known(value: object, keys: frozenset[str]) -> bool:
    return isinstance(value, dict) and value.keys() <= keys


def in_range(request: Request, dropped: Receipt) -> Request:
    """OpenAI refuses other values; other hosts differ."""
    return dropped.within(request, RANGES) if is_gpt(request.model) else request


def effort_in(request: Request, own: bool, dropped: Receipt) -> str | None:
    """The effort. A budget becomes the effort that it would pay for, and the receipt names it.

    `own`: the request came on the wire that it is sent on.
    """
    reasoning = request.reasoning
    if reasoning is None:
        return None
    if reasoning.off:
        dropped.update(() if own else moot(reasoning))
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
