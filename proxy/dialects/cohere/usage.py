"""How many tokens did Cohere count, and how is that told to a client?

`tokens` is what the model read and wrote, with Cohere's own preamble; `billed_units` is what is paid for. We count the
first, and keep the second in `extra`. Cached tokens are part of `input_tokens`, and reasoning is part of
`output_tokens`, but image tokens are counted beside the input: recordings have more of them than input tokens.
"""

from proxy.canon import Usage
from proxy.grammar.counts import are_counts, count_of, is_null_beside, others_in
from proxy.grammar.fields import Object, as_object

_COUNTED = {"tokens", "cached_tokens"}
_CACHED = ("cached_tokens",)
_TOKENS = {"input_tokens", "output_tokens", "reasoning_tokens"}
_COUNTS = (*_TOKENS, "image_tokens")


def usage_of(told: object) -> Usage | None:
    """None if the answer reports no usage."""
    if not isinstance(told, dict) or not told:
        return None
    tokens, paid = as_object(told.get("tokens")), as_object(told.get("billed_units"))
    counts = tokens if _are_any(tokens) or not _are_any(paid) else paid
    read, written = count_of(counts.get("input_tokens")), count_of(counts.get("output_tokens"))
    cached = min(count_of(told.get("cached_tokens")), read)
    thought = min(count_of(tokens.get("reasoning_tokens")), written)
    rest = others_in(tokens, _TOKENS)
    return Usage(
        input=read - cached + count_of(tokens.get("image_tokens")),
        cache_read=cached,
        output=written - thought,
        reasoning=thought,
        is_odd=not (are_counts(told, _CACHED) and _are_well(tokens) and _are_well(paid)),
        extra=others_in(told, _COUNTED) | ({"tokens": rest} if rest else {}),
    )


def _are_any(counts: Object) -> bool:
    return bool(count_of(counts.get("input_tokens")) or count_of(counts.get("output_tokens")))


def _are_well(counts: Object) -> bool:
    return are_counts(counts, _COUNTS) and not is_null_beside(counts, "input_tokens", "output_tokens")


def usage_fields(usage: Usage) -> Object:
    """If the provider names no `billed_units`, they are all tokens: frameworks read them without a check."""
    rest = as_object(usage.extra.get("tokens"))
    paid = {"billed_units": {"input_tokens": usage.total_input, "output_tokens": usage.total_output}}
    tokens = {
        "input_tokens": usage.total_input - count_of(rest.get("image_tokens")),
        "output_tokens": usage.total_output,
    }
    thought = {"reasoning_tokens": usage.reasoning} if usage.reasoning else {}
    return paid | usage.extra | {"tokens": rest | tokens | thought, "cached_tokens": usage.cache_read}
