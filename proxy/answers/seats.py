"""How far has one call come with the answer that it shares, and why did it leave?"""

import asyncio

from proxy.errors import GatewayError
from proxy.ports import Reply


class Seat:
    """How far one call has come."""

    __slots__ = ("at", "has_left", "read", "stopped")

    def __init__(self) -> None:
        self.at = 0  # the next chunk's number
        self.read = 0  # bytes
        self.has_left = False
        self.stopped: tuple[object, ...] = ()  # why, where somebody has ended the call


class Seated(Reply, kw_only=True):
    """A live reply, for the call that has this seat."""

    seat: Seat

    def stop(self, error: GatewayError) -> None:
        self.seat.stopped = (error,)
        Reply.stop(self, error)


def why_ended(error: BaseException) -> tuple[object, ...]:
    """Why somebody has ended a call, where they have said it."""
    return error.args[:1] if isinstance(error, asyncio.CancelledError) else ()
