"""Has the model as large a context window as the client wants?

A client may say in a field of pillion's own how many tokens it needs (`context_window`). A model that is known to have
fewer is not asked. Some wires can be told: Ollama loads a model with as many as are wanted. On the others a model has
what it has, and where nobody knows how much that is, the receipt says that the field was not heeded.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from proxy.errors import BadRequest
from proxy.ports import Call, Dialect, Target, Windowed

FIELD = "context_window"


class Window(NamedTuple):
    fields: Mapping[str, Any] = {}  # that say it to the provider
    dropped: tuple[str, ...] = ()


_AS_IT_IS = Window()


def window(call: Call, target: Target, dialect: Dialect) -> Window:
    """`dialect` is the provider's. Raises BadRequest."""
    wanted = call.wishes.context
    if wanted is None:
        return _AS_IT_IS
    known = target.adapter.abilities(target.model).context
    if known is not None and known < wanted:
        raise BadRequest(
            f"{FIELD} is {wanted}, but {target.adapter.name}/{target.model} has only {known} tokens, as far as pillion"
            " knows; if it has more, the operator can set `context` in a row of `models`.",
            code="context_length_exceeded",
            param=FIELD,
        )
    if isinstance(dialect, Windowed):
        return Window(dialect.window(wanted))
    return _AS_IT_IS if known is not None else Window(dropped=(FIELD,))
