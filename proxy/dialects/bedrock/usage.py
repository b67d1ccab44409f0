"""How many tokens did Bedrock count, and how does a client get the counts?

`inputTokens` does not include what was read from the cache or written to it; `totalTokens` is the sum of all, and what
only it counts is taken for thoughts, so that nothing is guessed too low. Thoughts
count as output. How much of it they are, only Claude says, beside the usage, and only if it is asked.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
"""

import re
from collections.abc import Mapping

from proxy.canon import Usage
from proxy.grammar.counts import are_counts, count_of, is_null_beside
from proxy.grammar.fields import Object, as_list, as_object, as_text
from proxy.ports import Headers

# A field `...Count` repeats the one without `Count`.
_COUNTED = frozenset(
    "inputTokens outputTokens totalTokens cacheReadInputTokens cacheWriteInputTokens cacheDetails"
    " cacheReadInputTokenCount cacheWriteInputTokenCount".split()
)


_COUNTS = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens", "totalTokens")


def usage_of(told: object, tier: object = None, more: object = None, speed: object = None) -> Usage | None:
    """None where nothing was counted. Zeros do count: a guardrail let nothing through. `tier`: `serviceTier`; `more`:
    `additionalModelResponseFields`, with fields of Claude's own usage. `speed`: `performanceConfig`, which has a price:
    https://docs.aws.amazon.com/bedrock/latest/userguide/latency-optimized-inference.html
    """
    if not isinstance(told, dict) or not told:
        return None
    details = [as_object(one) for one in as_list(told.get("cacheDetails"))]
    hour = sum(count_of(one.get("inputTokens")) for one in details if one.get("ttl") == "1h")
    written = count_of(told.get("cacheWriteInputTokens")) or sum(count_of(one.get("inputTokens")) for one in details)
    hour = min(hour, written)
    thought = as_object(as_object(as_object(more).get("usage")).get("output_tokens_details"))
    output = count_of(told.get("outputTokens"))
    read, cached = count_of(told.get("inputTokens")), count_of(told.get("cacheReadInputTokens"))
    untold = max(0, count_of(told.get("totalTokens")) - read - cached - written - output)
    thinking = min(count_of(thought.get("thinking_tokens")), output)
    return Usage(
        input=read,
        cache_read=cached,
        cache_write=written - hour,
        cache_write_1h=hour,
        output=output - thinking,
        reasoning=thinking + untold,
        tier=_tier(as_text(as_object(tier).get("type")), as_text(as_object(speed).get("latency"))),
        is_odd=not (
            are_counts(told, _COUNTS)
            and not is_null_beside(told, "inputTokens", "outputTokens")
            and all(are_counts(one, ("inputTokens",)) for one in details)
            and are_counts(thought, ("thinking_tokens",))
        ),
        extra={key: value for key, value in told.items() if key not in _COUNTED and value},
    )


def _tier(tier: str, latency: str) -> str:
    """`standard` where it was served so though it was asked for otherwise."""
    return tier or latency if latency in ("", "standard") else latency


def usage_in_head(headers: Mapping[str, str]) -> Usage | None:
    """What the head of InvokeModel's whole answer counts, for every family of models. None where it counts nothing."""
    said = {key: headers[name] for key, name in _HEAD.items() if name in headers}
    return usage_of({key: int(value) if _is_count(value) else value for key, value in said.items()})


def usage_in_metrics(metrics: Object) -> Usage | None:
    """The same for a stream, from `amazon-bedrock-invocationMetrics`."""
    return usage_of({key: metrics[name] for key, name in _METRICS.items() if name in metrics})


_METRICS = {
    "inputTokens": "inputTokenCount",
    "outputTokens": "outputTokenCount",
    "cacheReadInputTokens": "cacheReadInputTokenCount",
    "cacheWriteInputTokens": "cacheWriteInputTokenCount",
}
_HEAD = {
    "inputTokens": "x-amzn-bedrock-input-token-count",
    "outputTokens": "x-amzn-bedrock-output-token-count",
    "cacheReadInputTokens": "x-amzn-bedrock-cache-read-input-token-count",
    "cacheWriteInputTokens": "x-amzn-bedrock-cache-write-input-token-count",
}
_is_count = re.compile("[0-9]{1,12}").fullmatch


def head_of(usage: Usage) -> Headers:
    """The reverse: the headers in which InvokeModel counts a whole answer, for every family of models."""
    fields = usage_fields(usage)
    return [(name, str(fields[field])) for field, name in _HEAD.items()]


def usage_fields(usage: Usage | None) -> Object:
    usage = usage or Usage()
    written = (("1h", usage.cache_write_1h), ("5m", usage.cache_write))  # the wire's own order
    details = [{"ttl": ttl, "inputTokens": count} for ttl, count in written if count]
    return (
        usage.extra
        | {
            "inputTokens": usage.input + usage.audio_input,
            "outputTokens": usage.total_output,
            "totalTokens": usage.total_input + usage.total_output,
            "cacheReadInputTokens": usage.cache_read,
            "cacheWriteInputTokens": usage.cache_write + usage.cache_write_1h,
        }
        | ({"cacheDetails": details} if details else {})
    )
