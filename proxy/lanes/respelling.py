"""By what name does the client know a field, where its wire reads more than one?

Receipts and refusals name a field as the client's own body spells it, and what is added to that body is spelled so.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.ports import Call, Dialect, Respelling


def as_sent(call: Call, names: Iterable[str]) -> tuple[str, ...]:
    """The names of fields, as the client wrote them."""
    if (dialect := _respelling(call.dialect)) is not None:
        return tuple(dialect.as_sent(name, call.envelope.body) for name in names)
    said = call.wishes.spelled
    return tuple(said.get(name, name) for name in names) if said else tuple(names)


def respelled(call: Call, error: BadRequest) -> BadRequest:
    """The same error, naming its field as the client does."""
    if error.param:
        (param,) = as_sent(call, [error.param])
        error.message, error.param = error.message.replace(error.param, param), param
    return error


def filled(body: bytes, fields: Mapping[str, Any], dialect: Dialect) -> bytes:
    """The body of this dialect, with those of the fields that it lacks."""
    envelope, respelling = Envelope(body), _respelling(dialect)
    return envelope.filled(fields if respelling is None else respelling.as_spelled(fields, envelope))


@lru_cache(maxsize=64)
def _respelling(dialect: Dialect) -> Respelling | None:
    """The dialect, where it is a Respelling one. Remembered, as `wishes.wishing` is."""
    return dialect if isinstance(dialect, Respelling) else None
