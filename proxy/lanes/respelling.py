"""By what name does the client know a field, where its wire reads more than one?

Receipts and refusals name a field as the client's own body spells it.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import cast

from proxy.errors import BadRequest
from proxy.ports import Call, Respelling


def as_sent(call: Call, names: Iterable[str]) -> tuple[str, ...]:
    """The names of fields, as the client wrote them."""
    if _respells(type(call.dialect)):
        spelled, body = cast(Respelling, call.dialect), call.envelope.body
        return tuple(spelled.as_sent(name, body) for name in names)
    said = call.wishes.spelled
    return tuple(said.get(name, name) for name in names) if said else tuple(names)


def respelled(call: Call, error: BadRequest) -> BadRequest:
    """The same error, naming its field as the client does."""
    if error.param:
        (param,) = as_sent(call, [error.param])
        error.message, error.param = error.message.replace(error.param, param), param
    return error


@lru_cache(maxsize=64)
def _respells(kind: type) -> bool:
    """Remembered, as to look for a protocol's methods takes 20 microseconds."""
    return issubclass(kind, Respelling)
