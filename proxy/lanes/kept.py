"""Which parts of the conversation did the client leave to a provider's memory, and what can it do instead?

A client of the Responses API may refer to an item or a response that OpenAI keeps, rather than send it again. pillion
keeps no answers, and other providers do not have OpenAI's.
"""

from proxy.canon import Opaque, Request
from proxy.errors import Unrepresentable

_INSTEAD = (
    " It refers to something stored by another provider, and pillion stores no answers: send the whole conversation"
    " instead (`store: false` in most SDKs)."
)


def advise(error: Unrepresentable, request: Request) -> None:
    """Add the advice to an error that refuses such a reference."""
    if error.param == "previous_response_id" or error.param in _references(request):
        error.message += _INSTEAD


def _references(request: Request) -> set[str]:
    parts = (part for turn in request.turns for part in turn.parts)
    return {part.at for part in parts if isinstance(part, Opaque) and part.value.get("type") == "item_reference"}
