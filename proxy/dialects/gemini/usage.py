"""How many tokens did Google count, and how does a client get the counts?

https://ai.google.dev/api/generate-content#UsageMetadata: `promptTokenCount` includes the cached ones,
`candidatesTokenCount` does not include thoughts, and what Google's own tools made the model read is a third count.
"""

import re

from msgspec.structs import replace

from proxy.canon import Usage
from proxy.grammar.counts import are_counts, count_of, is_null_beside
from proxy.grammar.fields import Object, as_list, as_object, as_text

_COUNTED = {
    "promptTokenCount",
    "cachedContentTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
}
_DETAILS = ("promptTokensDetails", "cacheTokensDetails", "candidatesTokensDetails", "toolUsePromptTokensDetails")
_TOLD_ONLY_HERE = ("toolUsePromptTokenCount", *_DETAILS, "trafficType", "serviceTier")
_COUNTS = (*_COUNTED, "toolUsePromptTokenCount")
_MAIN = ("promptTokenCount", "candidatesTokenCount")
_COUNT = ("tokenCount",)

# Models that are billed for each prompt with a search; later ones for each search:
# https://ai.google.dev/gemini-api/docs/google-search#pricing
_by_prompt = re.compile(r"gemini-[12]\.").search


class Tally:
    """What an answer has said of its tokens, where only the last count holds, and of its searches, which add up."""

    def __init__(self) -> None:
        self._told: Usage | None = None
        self._last: Usage | None = None  # what `news` returned last
        self._queries: set[str] = set()
        self._by_prompt = False

    @property
    def usage(self) -> Usage | None:
        if self._told is None or not self._queries:
            return self._told
        return replace(self._told, searches=1 if self._by_prompt else len(self._queries))

    def news(self) -> Usage | None:
        """The usage, if it has changed since the last call."""
        if self.usage == self._last:
            return None
        self._last = self.usage
        return self._last

    def hear(self, said: Object) -> bool:
        """A chunk, or a whole answer. Did it count anything?"""
        self.search(said.get("candidates"), said.get("modelVersion"))
        return self.add(said.get("usageMetadata"))

    def add(self, said: object) -> bool:
        """`said`: `usageMetadata`. Did it count anything?"""
        usage = usage_of(said)
        self._told = usage or self._told
        return usage is not None

    def search(self, candidates: object, model: object) -> None:
        """Note the candidates' searches. A query that is empty, or was made before, is not billed."""
        for candidate in map(as_object, as_list(candidates)):
            if asked := as_list(as_object(candidate.get("groundingMetadata")).get("webSearchQueries")):
                self._queries.update(filter(None, map(as_text, asked)))
                self._by_prompt = self._by_prompt or _by_prompt(as_text(model)) is not None


def usage_of(said: object) -> Usage | None:
    """The counts in disjoint buckets; None where nothing was counted, as in the first chunks of some streams.

    Tokens that are only in the total are thoughts: the first thinking models counted theirs so.
    """
    told = as_object(said)
    prompt, tools = count_of(told.get("promptTokenCount")), count_of(told.get("toolUsePromptTokenCount"))
    spoken, thought = count_of(told.get("candidatesTokenCount")), count_of(told.get("thoughtsTokenCount"))
    untold = max(0, count_of(told.get("totalTokenCount")) - prompt - tools - spoken - thought)
    is_odd = not (are_counts(told, _COUNTS) and _are_rows(told)) or is_null_beside(told, *_MAIN)
    if not (prompt + tools + spoken + thought + untold or is_odd):
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
        tier=as_text(told.get("serviceTier")) or as_text(told.get("trafficType")),  # the second is Vertex AI's word
        is_odd=is_odd,
        extra={key: value for key, value in told.items() if key not in _COUNTED and value is not None},
    )


def _are_rows(told: Object) -> bool:
    """Are the counts in the details numbers?"""
    for key in _DETAILS:
        if key in told:
            for row in as_list(told[key]):
                if not are_counts(as_object(row), _COUNT):
                    return False
    return True


def _sound(told: Object, key: str) -> int:
    details = [as_object(item) for item in as_list(told.get(key))]
    return sum(count_of(item.get("tokenCount")) for item in details if item.get("modality") in ("AUDIO", 4))


def usage_fields(usage: Usage) -> Object:
    """`usageMetadata`. Details go out as they came; of another wire's counts, only audio is listed apart."""
    said = {key: usage.extra[key] for key in _TOLD_ONLY_HERE if key in usage.extra} if usage.extra else {}
    read, spoken = usage.total_input, usage.output + usage.audio_output
    tools = min(count_of(said.get("toolUsePromptTokenCount")), read)
    told: Object = {"promptTokenCount": read - tools}
    if usage.cache_read:
        told["cachedContentTokenCount"] = usage.cache_read
    told["candidatesTokenCount"] = spoken
    if usage.reasoning:
        told["thoughtsTokenCount"] = usage.reasoning
    told["totalTokenCount"] = read + usage.total_output
    if usage.audio_input:
        told["promptTokensDetails"] = _details(read - tools, usage.audio_input)
    if usage.audio_output:
        told["candidatesTokensDetails"] = _details(spoken, usage.audio_output)
    return told | said if said else told


def _details(tokens: int, sound: int) -> list[Object]:
    text: list[Object] = [{"modality": "TEXT", "tokenCount": tokens - sound}] if tokens > sound else []
    return [*text, {"modality": "AUDIO", "tokenCount": sound}]
