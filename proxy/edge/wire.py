"""What is a pooled connection to a provider?

aiohttp dials, resolves, secures and pools them; its connector is made to build `Wire`s. During an exchange the exchange
reads what arrives. aiohttp's own session (model lists, health) uses the same connections: a Wire without an exchange
behaves like the class that it inherits from.

A close is always an abort. A polite close over TLS would go on reading, for up to 30 s, what the provider goes on
generating and billing after our client has gone (uvloop's sslproto waits for the peer's close_notify).
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from aiohttp.client_proto import ResponseHandler

from proxy.edge import kernel
from proxy.edge.alarm import Alarm
from proxy.edge.outbox import Outbox

AHEAD = 32 * 1024  # bytes that TLS takes in before it leaves them in the kernel; never so many, while we read
LIFE = 45.0  # seconds after which a connection is not used again: the provider's name may have another address by now


class Reading(Protocol):
    """What reads all that arrives: an exchange."""

    def received(self, data: bytes) -> None: ...

    def lost(self, exc: BaseException | None) -> None:
        """The peer has closed."""
        ...

    def look(self) -> float:
        """Fail if a timer has run out. Else: when to look again, by the loop's clock; 0: never."""
        ...


class Wire(ResponseHandler):
    """A connection. While an exchange stands, what arrives is the exchange's."""

    exchange: Reading | None = None
    fresh = True  # nothing was asked on it; else it comes from the pool, and the provider may be about to close it

    def __init__(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        super().__init__(loop)
        self._outbox = outbox
        self._alarm = Alarm(loop, self._look)
        self._made = monotonic()

    @property
    def is_old(self) -> bool:
        return monotonic() - self._made > LIFE

    @property
    def should_close(self) -> bool:
        """Whether aiohttp's own pool, which keeps those of its session, is to close it."""
        return self.is_old or super().should_close

    @property
    def is_sending(self) -> bool:
        """Is a part of what was asked still to go out? Who answered without it may never read it."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def data_received(self, data: bytes) -> None:
        if self.exchange is not None:
            self.exchange.received(data)
        elif self._parser is None:  # nobody has asked: it must not pass for the next answer
            self.abort()
        else:
            self.fresh = False
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        exchange, self.exchange = self.exchange, None
        self._alarm.end()
        super().connection_lost(exc)
        if exchange is not None:
            exchange.lost(exc)

    def write(self, data: bytes) -> None:
        """What has not gone out when the connection is closed never will: nobody waits for its answer any more."""
        self._outbox.write(self, data)

    def write_long(self, data: bytes) -> None:
        """Its last byte goes by itself. Over TLS, uvloop hands all of a write to the socket's own transport, where
        nobody can see it; what is written while that one is full stays where `is_sending` finds it.
        """
        self._outbox.write(self, memoryview(data)[:-1])
        self._outbox.write(self, data[-1:])

    def close(self) -> None:
        self.abort()

    def hold(self) -> None:
        """Let what the provider sends from now on wait in the kernel. To be called while something is received.

        Over TLS, pause_reading() would let more be taken in, which uvloop drops if the provider then closes. With room
        for nothing it stops, and goes on, whenever it looks at what it has: twice here, and once more on its way out.
        """
        if self.transport is not None:
            if (limit := self._limit()) is None:
                self.transport.pause_reading()
            else:
                limit(high=0)
                limit(high=0)

    def read_on(self) -> None:
        """Let the provider's bytes come again."""
        if self.transport is not None:
            if (limit := self._limit()) is None:
                self.transport.resume_reading()
            else:
                limit(high=AHEAD)

    def narrow(self) -> None:
        """Let the kernel keep no more of a stream than a client that reads slowly needs."""
        if self.transport is not None:
            kernel.bound(self.transport)

    def _limit(self) -> Callable[..., None] | None:
        """Of TLS: how many bytes it takes in before they are read."""
        return getattr(self.transport, "set_read_buffer_limits", None)

    def wake_at(self, when: float) -> None:
        """Look at the exchange at this time, by the loop's clock, or earlier."""
        self._alarm.set(when)

    def _look(self) -> None:
        if self.exchange is not None and (when := self.exchange.look()):
            self.wake_at(when)

    def __repr__(self) -> str:
        state = "idle" if self.exchange is None else repr(self.exchange)
        return f"<Wire {state}, {'fresh' if self.fresh else 'used'}>"
