"""How many tokens did Google count, and how does a client read them?

https://ai.google.dev/api/generate-content#UsageMetadata: `promptTokenCount` has the cached ones in it,
`candidatesTokenCount` has no thoughts, and what Google's own tools made the model read is a third count.
"""

from proxy.canon import Usage
from proxy.fields import Object, as_list, as_object, count_of

_COUNTED = {
    "promptTokenCount",
    "cachedContentTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
}
_TOLD_ONLY_HERE = (
    "toolUsePromptTokenCount",
    "promptTokensDetails",
    "cacheTokensDetails",
    "candidatesTokensDetails",
    "toolUsePromptTokensDetails",
    "trafficType",
    "serviceTier",
)


def usage_of(said: object) -> Usage | None:
    """Disjoint buckets; None where nothing was counted, as in the first chunks of some streams.

    Tokens that the total knows and no other count does were thought: the first thinking models told them so.
    """
    told = as_object(said)
    prompt, tools = count_of(told.get("promptTokenCount")), count_of(told.get("toolUsePromptTokenCount"))
    spoken, thought = count_of(told.get("candidatesTokenCount")), count_of(told.get("thoughtsTokenCount"))
    untold = max(0, count_of(told.get("totalTokenCount")) - prompt - tools - spoken - thought)
    if not prompt + tools + spoken + thought + untold:
        return None
    cached = min(count_of(told.get("cachedContentTokenCount")), prompt)
    heard = _sound(told, "promptTokensDetails") - _sound(told, "cacheTokensDetails")
    audio_input = min(max(0, heard) + _sound(told, "toolUsePromptTokensDetails"), prompt + tools - cached)
    audio_output = min(_sound(told, "candidatesTokensDetails"), spoken)
    return Usage(
        input=prompt + tools - cached - audio_input,
        cache_read=cached,
        audio_input=audio_input,
        output=spoken - audio_output,
        reasoning=thought + untold,
        audio_output=audio_output,
        extra={key: value for key, value in told.items() if key not in _COUNTED and value is not None},
    )


def _sound(told: Object, key: str) -> int:
    details = [as_object(item) for item in as_list(told.get(key))]
    return sum(count_of(item.get("tokenCount")) for item in details if item.get("modality") in ("AUDIO", 4))


def usage_fields(usage: Usage) -> Object:
    """`usageMetadata`. Details that came are told as they came; of another wire's, only sound is told apart."""
    said = {key: usage.extra[key] for key in _TOLD_ONLY_HERE if key in usage.extra}
    tools = min(count_of(said.get("toolUsePromptTokenCount")), usage.total_input)
    spoken = usage.output + usage.audio_output
    counts = {
        "promptTokenCount": usage.total_input - tools,
        "cachedContentTokenCount": usage.cache_read,
        "candidatesTokenCount": spoken,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": usage.total_input + usage.total_output,
    }
    optional = ("cachedContentTokenCount", "thoughtsTokenCount")
    told = {key: count for key, count in counts.items() if count or key not in optional}
    inputs, outputs = (usage.total_input - tools, usage.audio_input), (spoken, usage.audio_output)
    return told | _details("promptTokensDetails", *inputs) | _details("candidatesTokensDetails", *outputs) | said


def _details(key: str, tokens: int, sound: int) -> Object:
    if not sound:
        return {}
    text = [{"modality": "TEXT", "tokenCount": tokens - sound}] if tokens > sound else []
    return {key: [*text, {"modality": "AUDIO", "tokenCount": sound}]}
