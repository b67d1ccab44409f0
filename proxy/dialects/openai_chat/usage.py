"""How many tokens did a host count, and how is that told to a client?"""

from proxy.canon import Iteration, Start, Usage
from proxy.dialects.openai_chat.counts import plain
from proxy.dialects.openai_chat.words import NAME, always_searches
from proxy.grammar.counts import are_counts, count_of, is_null_beside, others_in
from proxy.grammar.fields import Object, as_object, as_text
from proxy.grammar.openai import TIERS

_COUNTED = {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}
_INPUTS = {"cached_tokens", "cache_write_tokens", "audio_tokens"}
_OUTPUTS = {"reasoning_tokens", "audio_tokens"}

# Alibaba has it among the details: https://www.alibabacloud.com/help/en/model-studio/context-cache
_WRITTEN = "cache_creation_input_tokens"
# What hosts count beside the details; read here, or by the price list.
_BESIDE = (
    "prompt_cache_hit_tokens cached_tokens num_cached_tokens cache_creation_input_tokens reasoning_tokens"
    " citation_tokens num_search_queries".split()
)
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")

# OpenRouter's count of the searches of its own tool: https://openrouter.ai/docs/guides/features/server-tools/web-search
_SEARCHED = "web_search_requests"


def usage_of(said: Object, tier: str = "", searches: int = 0) -> Usage:
    """Disjoint buckets from nested ones.

    OpenAI's details are parts of the two totals. Other hosts deviate from that, which five rules cover: tokens that are
    in `total_tokens` but in neither of the two others are reasoning (xAI, Gemini); no part exceeds its whole; of a
    prompt that is shorter than what was cached nothing counts as cached, since nobody says how much of it was (xAI on
    Azure counts a cached prompt of its own); a cache hit has four names (DeepSeek, Mistral, Moonshot), and a cache that
    was written two (Alibaba); reasoning of Perplexity's searches is counted beside the completion, and no part of it.

    Reasoning that is more than the completion is billed beside it: five recordings of Gemini on Vercel's gateway cost
    that, to the last digit, though their totals leave it out. Clients read the counts as they came.

    `tier` and `searches`: what is said, or known, beside the counts.
    """
    return plain(said, tier, searches) or understood(said, tier, searches)


def understood(said: Object, tier: str, searches: int) -> Usage:
    """The same, whatever a host may say."""
    inputs, outputs = as_object(said.get("prompt_tokens_details")), as_object(said.get("completion_tokens_details"))
    prompt, completion = count_of(said.get("prompt_tokens")), count_of(said.get("completion_tokens"))
    cached, written = count_of(inputs.get("cached_tokens")), _first(inputs, "cache_write_tokens", _WRITTEN)
    thought, aside = count_of(outputs.get("reasoning_tokens")), 0
    tools: Object = {}
    if extra := others_in(said, _COUNTED):
        cached = cached or _first(extra, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
        written = written or _first(extra, _WRITTEN)
        if not thought:
            thought, aside = _thoughts(extra, completion)
        tools = as_object(extra.get("server_tool_use") or extra.get("server_tool_use_details"))
    untold = max(0, count_of(said.get("total_tokens")) - prompt - completion, aside)
    cache_read, cache_write, audio_input, fresh = _portion(
        prompt, cached if cached <= prompt else 0, written, count_of(inputs.get("audio_tokens"))
    )
    reasoning, audio_output, _, output = _portion(
        completion + untold, max(thought, untold), count_of(outputs.get("audio_tokens")), 0
    )
    beyond = thought if thought > completion + untold else 0
    if rest := others_in(inputs, _INPUTS):
        extra["prompt_tokens_details"] = rest
    if rest := others_in(outputs, _OUTPUTS):
        extra["completion_tokens_details"] = rest
    return Usage(
        input=fresh,
        cache_read=cache_read,
        cache_write=cache_write,
        audio_input=audio_input,
        output=output,
        reasoning=reasoning,
        audio_output=audio_output,
        searches=searches + (count_of(tools[_SEARCHED]) if _SEARCHED in tools else 0),
        beside=(Iteration("", Usage(reasoning=beyond)),) if beyond else (),
        tier=tier or as_text(extra.get("service_tier")),  # Mistral says it here
        is_odd=not _can_be(said, inputs, outputs) or (bool(extra) and not _can_be_beside(said, inputs, tools)),
        extra=extra,
    )


def _can_be(said: Object, inputs: Object, outputs: Object) -> bool:
    """Are the known counts such as a provider may give?"""
    return (
        are_counts(said, _COUNTS)
        and not is_null_beside(said, "prompt_tokens", "completion_tokens")
        and are_counts(inputs, _INPUTS)
        and are_counts(outputs, _OUTPUTS)
    )


def _can_be_beside(said: Object, inputs: Object, tools: Object) -> bool:
    """And those that only some hosts give?"""
    return are_counts(said, _BESIDE) and are_counts(inputs, (_WRITTEN,)) and are_counts(tools, (_SEARCHED,))


def said_usage(usage: object, x_groq: object, tier: object, model: object) -> Usage | None:
    """The usage of one chunk or answer. Groq's older streams have it in `x_groq`."""
    told = usage if isinstance(usage, dict) and usage else as_object(x_groq).get("usage")
    if not isinstance(told, dict) or not told:
        return None
    return usage_of(told, as_text(tier), 1 if always_searches(as_text(model)) else 0)


def told_usage(usage: object, choices: object) -> object:
    """Where a chunk or an answer counts its tokens. Moonshot's streams do it in the last choice."""
    if usage or not isinstance(choices, list) or not choices:
        return usage
    return choices[0].get("usage") if isinstance(choices[0], dict) else None


def _thoughts(extra: Object, completion: int) -> tuple[int, int]:
    """How many reasoning tokens are counted beside the details, and how many of them the completion does not hold."""
    thought = _first(extra, "reasoning_tokens")
    return thought, thought if thought > completion or "citation_tokens" in extra else 0


def _first(said: Object, *keys: str) -> int:
    for key in keys:
        if key in said and (count := count_of(said[key])):
            return count
    return 0


def _portion(whole: int, first: int, second: int, third: int) -> tuple[int, int, int, int]:
    """Three parts and what they leave of the whole; no part takes more than is there."""
    first = min(first, whole)
    second = min(second, whole - first)
    third = min(third, whole - first - second)
    return first, second, third, whole - first - second - third


def tier_beside(start: Start, usage: Usage) -> Object:
    """The tier, if the host named it only with the counts, as Groq does; another wire's, if OpenAI knows the word."""
    if start.wire != NAME:
        return {"service_tier": usage.tier} if usage.tier in TIERS else {}
    is_told = not usage.tier or "service_tier" in start.extra or "service_tier" in usage.extra
    return {} if is_told else {"service_tier": usage.tier}


def _beyond(usage: Usage) -> int:
    """Reasoning that is more than the completion, which `understood` has put beside it."""
    beside = (ran.usage for ran in usage.beside if not ran.model)
    return next((each.reasoning for each in beside if each.reasoning > usage.total_output), 0)


def usage_fields(usage: Usage) -> Object:
    """OpenAI's buckets are nested: the details are parts of the totals."""
    read, written = usage.total_input, usage.total_output
    inputs = {"cached_tokens": usage.cache_read, "audio_tokens": usage.audio_input}
    if cached := usage.cache_write + usage.cache_write_1h:
        inputs["cache_write_tokens"] = cached
    outputs = {"reasoning_tokens": _beyond(usage) or usage.reasoning, "audio_tokens": usage.audio_output}
    return usage.extra | {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": as_object(usage.extra.get("prompt_tokens_details")) | inputs,
        "completion_tokens_details": as_object(usage.extra.get("completion_tokens_details")) | outputs,
    }
