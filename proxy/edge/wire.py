"""What is a pooled connection to a provider?

aiohttp dials, resolves, secures and pools them: its connector is made to build `Wire`s. What is said on one, for the
length of one exchange, is `exchange`'s to read. Whoever goes through aiohttp's session instead (model lists, health) is
served by the same connections: a Wire without an exchange is what it inherits.

A close is always an abort. A polite close over TLS goes on reading, for up to 30 s, what a provider goes on
generating and billing after our client has gone (uvloop's sslproto waits for the peer's close_notify).
"""

import asyncio
from time import monotonic
from typing import Protocol

from aiohttp.client_proto import ResponseHandler

from proxy.edge.alarm import Alarm

LIFE = 45.0  # seconds after which a connection is used no more: its provider's name may mean another address by now


class Reading(Protocol):
    """Whose all is that arrives: an exchange."""

    def received(self, data: bytes) -> None: ...

    def lost(self, exc: BaseException | None) -> None:
        """The peer has closed."""
        ...

    def look(self) -> float:
        """Is a timer over? If none is: when to look again, by the loop's clock; 0: never."""
        ...


class Wire(ResponseHandler):
    """A connection. While an exchange stands, what arrives is the exchange's."""

    exchange: Reading | None = None
    fresh = True  # never asked anything; else it came from the pool, and its peer may be about to close it

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._alarm = Alarm(loop, self._look)
        self._made = monotonic()

    @property
    def is_old(self) -> bool:
        return monotonic() - self._made > LIFE

    @property
    def should_close(self) -> bool:
        """Whether aiohttp's own pool, in which those of the side roads wait, is to let go of it."""
        return self.is_old or super().should_close

    def data_received(self, data: bytes) -> None:
        if self.exchange is not None:
            self.exchange.received(data)
        elif self._parser is None:  # nobody has asked: whatever it is, it must not pass for the next answer
            self.abort()
        else:
            self.fresh = False
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        exchange, self.exchange = self.exchange, None
        self._alarm.stop()
        super().connection_lost(exc)
        if exchange is not None:
            exchange.lost(exc)

    def close(self) -> None:
        self.abort()

    def hold(self, on: bool) -> None:
        """Backpressure: let the provider's bytes wait in the kernel, or let them come."""
        if self.transport is not None:
            if on:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def wake_at(self, when: float) -> None:
        """Look at the exchange at that time at the latest (the loop's)."""
        self._alarm.set(when)

    def _look(self) -> None:
        if self.exchange is not None and (when := self.exchange.look()):
            self.wake_at(when)

    def __repr__(self) -> str:
        state = "idle" if self.exchange is None else repr(self.exchange)
        return f"<Wire {state}, {'fresh' if self.fresh else 'used'}>"
