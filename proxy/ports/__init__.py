"""What is the shape of everything that crosses a border between two rooms of this house?

Shapes only, with no more behaviour than keeps a shape honest. A `Call` goes in and a `Reply` comes out, a `Middleware`
stands between the two, a `Dialect` knows one wire, an `Adapter` knows one provider. Everybody imports them from here.
"""

from proxy.ports.adapters import Adapter, Answer, Health, Outgoing, Pour, Sink, Target
from proxy.ports.calls import (
    HEARD,
    NO_BODY,
    PROBES,
    Account,
    Attempt,
    Bill,
    Call,
    Handler,
    Heard,
    Middleware,
    Reply,
    answering,
)
from proxy.ports.dialects import (
    NO_HINTS,
    UNKNOWN,
    Abilities,
    Bounds,
    Decoder,
    Dialect,
    Encoded,
    Forward,
    Gate,
    Headers,
    Hints,
    Meter,
    Path,
    Peek,
    Renderer,
    Strip,
    ToolNames,
)
from proxy.ports.optional import (
    NO_WISHES,
    Assorted,
    Coda,
    Counting,
    HeadCounting,
    Loading,
    Paging,
    Placed,
    Respelling,
    Windowed,
    Wishes,
    Wishing,
)

__all__ = [
    "HEARD", "NO_BODY", "NO_HINTS", "NO_WISHES", "PROBES", "UNKNOWN", "Abilities", "Account", "Adapter", "Answer",
    "Assorted", "Attempt", "Bill", "Bounds", "Call", "Coda", "Counting", "Decoder", "Dialect", "Encoded", "Forward",
    "Gate", "Handler", "HeadCounting", "Headers", "Health", "Heard", "Hints", "Loading", "Meter", "Middleware",
    "Outgoing", "Paging", "Path", "Peek", "Placed", "Pour", "Renderer", "Reply", "Respelling", "Sink", "Strip",
    "Target", "ToolNames", "Windowed", "Wishes", "Wishing", "answering",
]  # fmt: skip
