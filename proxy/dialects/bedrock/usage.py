"""How many tokens did Bedrock count, and how does a client read them?

`inputTokens` leaves out what was read from the cache and written to it, and `totalTokens` is the sum of them all. What
was thought counts as output, and nobody tells how much it was.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
"""

from proxy.canon import Usage
from proxy.fields import Object, as_list, as_object

# `...Count` says again what its neighbour says.
_COUNTED = frozenset(
    "inputTokens outputTokens totalTokens cacheReadInputTokens cacheWriteInputTokens cacheDetails"
    " cacheReadInputTokenCount cacheWriteInputTokenCount".split()
)
_SANE = 10**12  # tokens; nobody read more


def usage_of(told: object) -> Usage | None:
    """None where nothing was told. Zeros are news: of a guardrail that let nothing through."""
    if not isinstance(told, dict) or not told:
        return None
    details = [as_object(one) for one in as_list(told.get("cacheDetails"))]
    hour = sum(_count(one, "inputTokens") for one in details if one.get("ttl") == "1h")
    written = _count(told, "cacheWriteInputTokens") or sum(_count(one, "inputTokens") for one in details)
    hour = min(hour, written)
    return Usage(
        input=_count(told, "inputTokens"),
        cache_read=_count(told, "cacheReadInputTokens"),
        cache_write=written - hour,
        cache_write_1h=hour,
        output=_count(told, "outputTokens"),
        extra={key: value for key, value in told.items() if key not in _COUNTED and value},
    )


def _count(told: Object, key: str) -> int:
    value = told.get(key)
    return value if type(value) is int and 0 < value <= _SANE else 0


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
