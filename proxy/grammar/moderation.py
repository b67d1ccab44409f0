"""Can what OpenAI's moderation has found be read?

In the canon it is as Chat Completions has it: a list of results for the request, and one for the answers.
https://platform.openai.com/docs/api-reference/chat/object
"""

from typing import Literal

import msgspec
from msgspec import Struct

from proxy.grammar.fields import Object


class _Result(Struct, tag="moderation_result"):
    model: str
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Literal["text", "image"]]]


class _Results(Struct, tag="moderation_results"):
    model: str
    results: list[_Result]


class _Error(Struct, tag="error"):
    code: str
    message: str


class _Moderation(Struct):
    input: _Results | _Error | None = None
    output: _Results | _Error | None = None


def readable(said: Object) -> Object | None:
    """The same; None where it says nothing, or what clients could not read: their SDKs' types allow nothing else."""
    try:
        found = msgspec.convert(said, _Moderation)
    except msgspec.ValidationError:
        return None
    return said if found.input or found.output else None
