"""What does a client leave to the memory of the provider that answered it, and what might it do instead?

A client of the Responses API may name what OpenAI keeps, an item or a whole response, in place of saying it again.
pillion keeps no answers, and no other provider has them.
"""

from proxy.canon import Opaque, Request
from proxy.errors import Unrepresentable

_INSTEAD = (
    " It names what the provider keeps that said it, and pillion keeps no answers: a client that is told `store: false`"
    " says it again instead."
)


def hint(error: Unrepresentable, request: Request) -> None:
    """Tell it where that is what the provider's wire refuses."""
    if error.param == "previous_response_id" or error.param in _references(request):
        error.message += _INSTEAD


def _references(request: Request) -> set[str]:
    parts = (part for turn in request.turns for part in turn.parts)
    return {part.at for part in parts if isinstance(part, Opaque) and part.value.get("type") == "item_reference"}
