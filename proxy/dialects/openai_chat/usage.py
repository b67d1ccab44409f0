"""How many tokens did a host count, and how does a client read them?"""

from proxy.canon import Usage
from proxy.fields import Object, as_object, count_of

_COUNTED = {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}
_INPUTS = {"cached_tokens", "cache_write_tokens", "audio_tokens"}
_OUTPUTS = {"reasoning_tokens", "audio_tokens"}


def usage_of(said: Object) -> Usage:
    """Disjoint buckets from nested ones.

    OpenAI's details are parts of the two totals. Three hosts are not so tidy, and one rule for each covers them: tokens
    that `total_tokens` knows and the two others do not were thought (xAI, Gemini); no part exceeds its whole (xAI on
    Azure counts a cached prompt of its own); a cache hit has four names (DeepSeek, Mistral, Moonshot).
    """
    inputs, outputs = as_object(said.get("prompt_tokens_details")), as_object(said.get("completion_tokens_details"))
    prompt, completion = count_of(said.get("prompt_tokens")), count_of(said.get("completion_tokens"))
    cached = _first(inputs, "cached_tokens") or _first(
        said, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"
    )
    written = _first(inputs, "cache_write_tokens") or _first(said, "cache_creation_input_tokens")
    thought = _first(outputs, "reasoning_tokens") or _first(said, "reasoning_tokens")
    untold = max(0, count_of(said.get("total_tokens")) - prompt - completion)
    cache_read, cache_write, audio_input, fresh = _portion(
        prompt, cached, written, count_of(inputs.get("audio_tokens"))
    )
    reasoning, audio_output, _, output = _portion(
        completion + untold, max(thought, untold), count_of(outputs.get("audio_tokens")), 0
    )
    extra = _rest(said, _COUNTED)
    if rest := _rest(inputs, _INPUTS):
        extra["prompt_tokens_details"] = rest
    if rest := _rest(outputs, _OUTPUTS):
        extra["completion_tokens_details"] = rest
    return Usage(
        input=fresh,
        cache_read=cache_read,
        cache_write=cache_write,
        audio_input=audio_input,
        output=output,
        reasoning=reasoning,
        audio_output=audio_output,
        extra=extra,
    )


def said_usage(usage: object, x_groq: object) -> Usage | None:
    """The usage of one chunk or answer. Groq's older streams hide it in `x_groq`."""
    if isinstance(usage, dict) and usage:
        return usage_of(usage)
    hidden = as_object(x_groq).get("usage")
    return usage_of(hidden) if isinstance(hidden, dict) and hidden else None


def _first(said: Object, *keys: str) -> int:
    for key in keys:
        if key in said and (count := count_of(said[key])):
            return count
    return 0


def _portion(whole: int, first: int, second: int, third: int) -> tuple[int, int, int, int]:
    """Three parts and what is left of the whole; no part may take more than is there."""
    first = min(first, whole)
    second = min(second, whole - first)
    third = min(third, whole - first - second)
    return first, second, third, whole - first - second - third


def _rest(said: Object, known: set[str]) -> Object:
    if said.keys() <= known:
        return {}
    return {key: value for key, value in said.items() if key not in known and value is not None}


def usage_fields(usage: Usage) -> Object:
    """OpenAI's buckets are nested: the details are parts of the totals."""
    read, written = usage.total_input, usage.total_output
    inputs = {"cached_tokens": usage.cache_read, "audio_tokens": usage.audio_input}
    if cached := usage.cache_write + usage.cache_write_1h:
        inputs["cache_write_tokens"] = cached
    outputs = {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_output}
    return usage.extra | {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": as_object(usage.extra.get("prompt_tokens_details")) | inputs,
        "completion_tokens_details": as_object(usage.extra.get("completion_tokens_details")) | outputs,
    }
