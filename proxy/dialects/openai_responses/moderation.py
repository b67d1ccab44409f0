"""What has OpenAI's moderation found in a request, and in its answer?

A response has one result for each of the two. Chat Completions, and with it the canon, has a list for each, since a
chat may have several answers. https://platform.openai.com/docs/api-reference/responses/object
"""

from proxy.grammar.fields import Object, as_object, as_text
from proxy.grammar.moderation import readable


def heard(said: object) -> Object | None:
    """What a response says of it, as the canon has it; None where that cannot be read."""
    return readable({side: _listed(as_object(result)) for side, result in as_object(said).items()})


def told(moderation: Object) -> Object:
    """The mirror."""
    return {side: _single(as_object(results)) for side, results in moderation.items()}


def _listed(result: Object) -> Object | None:
    if result.get("type") != "moderation_result":  # an error, which both wires spell alike
        return result or None
    return {"type": "moderation_results", "model": as_text(result.get("model")), "results": [result]}


def _single(results: Object) -> Object | None:
    """Of several results the first that flags something."""
    if results.get("type") != "moderation_results":
        return results or None
    found: list[Object] = results["results"]
    return next((result for result in found if result["flagged"]), found[0] if found else None)
