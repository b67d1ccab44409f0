"""How does one HTTP exchange go over a client's connection?

The mirror of wire.py and exchange.py. llhttp reads the requests (requests.py); what is written goes straight to the
transport. aiohttp's own server would do it as well, at twice the cost for a short answer, without a timer for a head
that does not end, and with an answer to malformed requests that shows their bytes: docs/decisions/0008-door.md.

    idle --first byte--> head --end of head--> answering (a task) --> idle, or closed
                          |                        |
                          +---- too slow, too long, malformed: an answer, then closed

The task starts with the head, so that whoever is not let in has no megabytes read. A client that leaves cancels it.

What came before malformed bytes is answered first, in its turn. From a close that we begin until the client's own,
what comes is thrown away: a connection that is closed with bytes unread is reset, and a reset may overtake our answer.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Protocol

from proxy.edge.alarm import Alarm
from proxy.edge.flow import Flow
from proxy.edge.inbound import Inbound
from proxy.edge.kernel import unread
from proxy.edge.patience import Patience
from proxy.edge.pulse import Pulse
from proxy.edge.requests import Malformed, Requests

QUEUE_LIMIT = 16  # pipelined requests that wait for their turn before the client must; one read may bring more
LINGER = 10.0  # seconds in which what comes behind an early answer, or our last, is read and thrown away
FAREWELL = 0.05  # seconds that a connection without a request is kept open when we are about to end


class House(Protocol):
    """What stands behind every door."""

    patience: Patience

    def came(self, door: "Door") -> None: ...
    def went(self, door: "Door") -> None: ...

    def serve(self, inbound: Inbound, door: "Door") -> Awaitable[None]: ...

    def refuse(self, malformed: Malformed) -> bytes:
        """The whole answer to what is no request, after which the connection is closed."""
        ...


class Door(Flow):
    """A client's connection."""

    __slots__ = (
        "_alarm",
        "_closing",
        "_deadline",
        "_ended",
        "_house",
        "_inbound",
        "_left",
        "_malformed",
        "_parting",
        "_pulse",
        "_queue",
        "_requests",
        "_task",
    )

    ssl_context = peername = sockname = None  # what aiohttp's request wants to know of its connection

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._house = house
        self._requests = Requests(self)
        self._inbound: Inbound | None = None  # who is being answered
        self._task: asyncio.Task[None] | None = None
        self._queue: deque[Inbound] = deque()
        self._malformed: Malformed | None = None  # what came behind the last in the queue
        self._closing = False  # no more requests
        self._parting = False  # nothing more from us; it is the client's turn to close
        self._left = 0  # bytes that the client had not read when we last looked
        self._ended = False  # the client sends no more, and may still be there
        self._pulse: Pulse | None = None  # looks whether it is
        self._alarm = Alarm(loop, self._look)
        self._deadline = 0.0

    @property
    def patience(self) -> Patience:
        return self._house.patience

    def __repr__(self) -> str:
        state = "head" if self._requests.heading else "idle" if self._inbound is None else repr(self._inbound)
        return f"<Door {state}>"

    # --- the connection's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await(self.patience.keep_alive)
        self._house.came(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._house.went(self)
        self._closing = True
        self._queue.clear()
        self._alarm.end()
        self._requests.end()
        if self._pulse is not None:
            self._pulse.stop()
        self._pulse = None  # which holds us
        if self._requests.reading is not None:
            self._requests.reading.fail()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._requests.feed(data)

    def eof_received(self) -> bool:
        """The client sends no more. Is the connection to be kept all the same?

        While the answer has not begun we find out whether there is still somebody to read it.
        """
        inbound = self._inbound
        if inbound is None or inbound.live or self._requests.reading is not None:
            return False
        self._ended = True
        (self._queue[-1] if self._queue else inbound).keep_alive = False
        self._pulse = Pulse(self, inbound, self._loop)
        return True

    # --- what is read ---

    @property
    def answering(self) -> Inbound | None:
        return self._inbound

    def take(self, inbound: Inbound) -> None:
        """A head is whole."""
        if self._inbound is None:
            self._begin(inbound)
            return
        self._queue.append(inbound)
        if len(self._queue) >= QUEUE_LIMIT:
            self.hold()

    def ended(self) -> None:
        """A body has come. Where it was answered long ago, the connection is idle from now on."""
        if len(self._queue) < QUEUE_LIMIT:  # a long body may have had us hold, and have ended before anybody asked
            self.read_on()
        if self._inbound is None:
            self._deadline = self._loop.time() + self.patience.keep_alive

    def head_goes_on(self) -> None:
        """It did not come in one piece."""
        self._await(self.patience.header)

    def reject(self, malformed: Malformed) -> None:
        """What came is no request. What came before it is answered first."""
        self._malformed = malformed
        if self._inbound is None:
            self._refuse(malformed)

    # --- the server's side ---

    @property
    def stays(self) -> bool:
        """Will the connection be there for another request?"""
        inbound = self._inbound
        if inbound is None or not inbound.keep_alive or self._closing:
            return False
        return inbound.complete or inbound.ends_soon()

    def abort(self) -> None:
        """Close now, whatever is still to be written."""
        self._closing = self._requests.deaf = True
        super().abort()

    def break_off(self) -> None:
        """End an answer that is not whole: what is written still goes out, and nothing that would say "the end"."""
        self._closing = True

    def retire(self) -> None:
        """Close as soon as nothing is under way. What a client says before it can have heard of that is answered."""
        self._closing = True
        if self._inbound is None and not self._requests.heading and not self._parting:
            self._await(FAREWELL)

    @property
    def busy(self) -> bool:
        """Is an answer under way: asked for, or not yet out of our hands?"""
        if self._inbound is not None:
            return True
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    @property
    def idle_since(self) -> float:
        """When it was last of use to its client, by the loop's clock; of one that is not busy."""
        if self._parting or self._requests.reading is not None:
            return self._deadline - LINGER
        return self._deadline - (self.patience.header if self._requests.heading else self.patience.keep_alive)

    @property
    def speaks(self) -> bool:
        """Has the client said what we have not read yet?"""
        return self.transport is not None and unread(self.transport) > 0

    def interrupt(self, reason: object = "interrupted") -> None:
        """Cancel what the answer waits for. The client is still there, and whoever answers may tell it why."""
        if self._task is not None:
            self._task.cancel(reason)

    def part(self) -> None:
        """Close, politely: what is written still goes out, and a client that is still sending is heard out."""
        if self.transport is None or self._parting:
            return
        sending = self._requests.deaf or self._requests.is_coming or self._reading_paused or self._queue
        self._closing = self._parting = self._requests.deaf = True
        self._queue.clear()
        self._requests.reading = None
        self._left = self.unsent
        self._await(LINGER)
        if sending and not self._ended and not self.transport.is_closing():
            self.read_on()
            self.transport.write_eof()
        else:
            self.transport.close()

    # --- one after the other ---

    def _begin(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._task = self._loop.create_task(self._answer(inbound))

    async def _answer(self, inbound: Inbound) -> None:
        try:
            await self._house.serve(inbound, self)
        except BaseException:  # whatever was said so far, it is no answer
            self.abort()
            raise
        finally:
            self._task = None
            self._over()

    def _over(self) -> None:
        """The answer is given: the next, please."""
        stays = self.stays
        self._inbound = None
        if self.transport is None:
            return
        if not stays:
            self.part()
        elif self._queue:
            self._begin(self._queue.popleft())
            if len(self._queue) < QUEUE_LIMIT:
                self.read_on()
        elif self._malformed is not None:
            self._refuse(self._malformed)
        elif self._requests.reading is not None:  # answered before its body had come
            self._requests.reading.forget()
            self.read_on()
            self._await(LINGER)
        elif self._requests.heading:
            self._await(self.patience.header)
        else:
            self._deadline = self._loop.time() + self.patience.keep_alive

    def _refuse(self, malformed: Malformed) -> None:
        self.write(self._house.refuse(malformed))
        self.part()

    # --- time ---

    def _await(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        self._alarm.set(self._deadline)

    def _look(self) -> None:
        if self.transport is None:
            return
        now = self._loop.time()
        if now < self._deadline:
            self._alarm.set(self._deadline)
        elif self._inbound is not None:
            self._alarm.set(now + self.patience.keep_alive)
        elif self._parting:
            self._see_off()
        elif self._requests.heading:
            self._requests.reject(408, "head_timeout", "The request's head did not end in time.")
        else:
            self.part()

    def _see_off(self) -> None:
        """The client has had its time to close. One that is still reading our last words has more."""
        if 0 < (left := self.unsent) < self._left:
            self._left = left
            self._await(self.patience.reading)
        else:
            self.abort()
