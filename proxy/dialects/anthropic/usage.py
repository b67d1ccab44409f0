"""How many tokens did Anthropic count, and how does a client read them?"""

from proxy.canon import Usage
from proxy.dialects.anthropic.words import DELTA_FIELDS, END_FIELDS
from proxy.fields import Object, as_object

_COUNTED = frozenset(
    "input_tokens cache_read_input_tokens cache_creation_input_tokens cache_creation output_tokens"
    " output_tokens_details".split()
)


# No counts, but they come with the last of them, and no other event has a place for them: they ride in `extra`.
_BESIDE = frozenset(DELTA_FIELDS + END_FIELDS)


class Tally:
    """What a stream has told of its tokens: counts are cumulative, a later one wins, an absent one leaves the last."""

    def __init__(self) -> None:
        self._told: Object = {}

    def add(self, usage: object, beside: Object | None = None) -> Usage | None:
        """`beside`: what came with the counts, and is none."""
        if isinstance(usage, dict):
            self._told.update((key, value) for key, value in usage.items() if value is not None)
        self._told |= beside or {}
        return usage_of(self._told)


def usage_of(told: Object) -> Usage | None:
    """None where there are zeros alone: a model that read nothing and wrote nothing has told nothing."""
    hour = _count(told.get("cache_creation"), "ephemeral_1h_input_tokens")
    minutes = _count(told.get("cache_creation"), "ephemeral_5m_input_tokens")
    written = _count(told, "cache_creation_input_tokens") or hour + minutes
    output = _count(told, "output_tokens")
    thinking = min(_count(told.get("output_tokens_details"), "thinking_tokens"), output)
    usage = Usage(
        input=_count(told, "input_tokens"),
        cache_read=_count(told, "cache_read_input_tokens"),
        cache_write=written - min(hour, written),
        cache_write_1h=min(hour, written),
        output=output - thinking,
        reasoning=thinking,
        extra={key: value for key, value in told.items() if key not in _COUNTED and value is not None},
    )
    return usage if usage.total_input or usage.total_output else None


def _count(told: object, key: str) -> int:
    value = as_object(told).get(key)
    return value if type(value) is int and value > 0 else 0


def usage_fields(usage: Usage | None) -> Object:
    usage = usage or Usage()
    return {key: value for key, value in usage.extra.items() if key not in _BESIDE} | {
        "input_tokens": usage.input + usage.audio_input,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.total_output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def beside(usage: Usage | None, keys: tuple[str, ...]) -> Object:
    """What came with the counts, under these names."""
    extra = usage.extra if usage is not None else {}
    return {key: extra[key] for key in keys if key in extra}
