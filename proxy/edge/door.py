"""How does one HTTP exchange go over a client's connection?

The mirror of wire.py and exchange.py. llhttp reads the requests (requests.py); answers go straight to the outbox.
aiohttp's own server costs twice as much for a short answer, has no timer for a head that does not end, and answers a
malformed request with its bytes: docs/decisions/0008-door.md.

    idle --first byte--> head --end of head--> answering (a task) --> idle, or closed
                          |                        |
                          +---- too slow, too long, malformed: an answer, then closed

The task starts with the head, so that no megabytes are read for a request that is refused; a client that leaves cancels
it. Requests before malformed bytes are answered first, in their turn. After we have begun to close, what still comes is
read and thrown away until the client closes too: a connection that is closed with bytes unread is reset, and a reset
may overtake our answer.
"""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from proxy.edge.alarm import Alarm
from proxy.edge.flow import Flow
from proxy.edge.inbound import Inbound
from proxy.edge.kernel import unread
from proxy.edge.outbox import Outbox
from proxy.edge.patience import Patience
from proxy.edge.pulse import Pulse
from proxy.edge.requests import Malformed, Requests

QUEUE_LIMIT = 16  # pipelined requests in the queue before we stop reading; one read may bring more
LINGER = 10.0  # seconds in which what comes behind an early or a last answer is read and thrown away
FAREWELL = 0.05  # seconds that an idle connection stays open when we are about to end


class House(Protocol):
    """The server behind a door."""

    patience: Patience

    def came(self, door: "Door") -> None: ...
    def went(self, door: "Door") -> None: ...

    def serve(self, inbound: Inbound, door: "Door") -> Awaitable[None]: ...

    def refuse(self, malformed: Malformed) -> bytes:
        """The whole answer to bytes that are no request, after which the connection is closed."""
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

    ssl_context = peername = sockname = None  # aiohttp's request asks its connection for these

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        super().__init__(loop, outbox)
        self._house = house
        self._requests = Requests(self)
        self._inbound: Inbound | None = None  # the request that is being answered
        self._task: asyncio.Task[None] | None = None
        self._queue: list[Inbound] = []  # nearly always empty, and an empty deque takes 0.7 KiB
        self._malformed: Malformed | None = None  # what came behind the last in the queue
        self._closing = False  # no more requests are taken
        self._parting = False  # we have written all; it is the client's turn to close
        self._left = 0  # bytes that the client had not read when we last looked
        self._ended = False  # the client sends no more, and may still be there
        self._pulse: Pulse | None = None  # finds out whether it is
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
        self._pulse = None  # it refers to us: the cycle would be left to the garbage collector
        if self._requests.reading is not None:
            self._requests.reading.fail()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._requests.feed(data)

    def eof_received(self) -> bool:
        """The client sends no more. Returns whether to keep the connection all the same.

        Before the answer has begun, we find out whether the client is still there to read it.
        """
        self.flush()
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
        """The head of a request has come whole: its turn comes when those before it are answered."""
        if self._inbound is None:
            self._begin(inbound)
            return
        self._queue.append(inbound)
        if len(self._queue) >= QUEUE_LIMIT:
            self.hold()

    def ended(self) -> None:
        """A body has come whole. If its request is answered already, the connection is idle from now on."""
        if len(self._queue) < QUEUE_LIMIT:  # reading may have paused for a long body that nobody has asked for
            self.read_on()
        if self._inbound is None:
            self._deadline = self._loop.time() + self.patience.keep_alive

    def head_goes_on(self) -> None:
        """A head has begun, and did not come in one piece."""
        self._await(self.patience.header)

    def reject(self, malformed: Malformed) -> None:
        """What came is no request. Those that came before it are answered first."""
        self._malformed = malformed
        if self._inbound is None:
            self._refuse(malformed)

    # --- the server's side ---

    @property
    def stays(self) -> bool:
        """Will the connection stay open for another request?"""
        inbound = self._inbound
        if inbound is None or not inbound.keep_alive or self._closing:
            return False
        return inbound.complete or inbound.ends_soon()

    def abort(self) -> None:
        """Close now, even if the client has not read all that was written."""
        self._closing = self._requests.deaf = True
        super().abort()

    def break_off(self) -> None:
        """End an answer that is not whole: what is written still goes out, and no mark of its end."""
        self._closing = True

    def retire(self) -> None:
        """Close as soon as nothing is under way. A request that crosses our close on the way is still answered."""
        self._closing = True
        if self._inbound is None and not self._requests.heading and not self._parting:
            self._await(FAREWELL)

    @property
    def busy(self) -> bool:
        """Is an answer under way: not finished, or not yet in the kernel's hands?"""
        if self._inbound is not None:
            return True
        self.flush()
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    @property
    def idle_since(self) -> float:
        """Since when nothing has happened on it, by the loop's clock; only for a door that is not busy."""
        if self._parting or self._requests.reading is not None:
            return self._deadline - LINGER
        return self._deadline - (self.patience.header if self._requests.heading else self.patience.keep_alive)

    @property
    def speaks(self) -> bool:
        """Has the client sent something that we have not read yet?"""
        return self.transport is not None and unread(self.transport) > 0

    def interrupt(self, reason: object = "interrupted") -> None:
        """Cancel what the answer waits for. The client is still there, and may be told why."""
        if self._task is None or self._inbound is None:
            return
        if self._inbound.id:
            self._task.cancel(reason)
        else:  # it begins in this turn: a task that is cancelled before never does, and nobody would tell the client
            self._loop.call_soon(self._task.cancel, reason)

    def part(self) -> None:
        """Close politely: what is written still goes out, and what the client is still sending is read."""
        assert self.transport is not None  # whoever calls it has just looked, or been sent something
        sending = self._requests.deaf or self._requests.is_coming or self._reading_paused or self._queue
        self._closing = self._parting = self._requests.deaf = True
        self._queue.clear()
        self._requests.reading = None
        self.flush()
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
        except BaseException:  # whatever was written so far is no answer
            self.abort()
            raise
        finally:
            self._task = None
            self._over()

    def _over(self) -> None:
        """The answer is given: begin the next, or wait for one, or close."""
        stays = self.stays
        self._inbound = None
        if self.transport is None:
            return
        if not stays:
            self.part()
        elif self._queue:
            self._begin(self._queue.pop(0))
            if len(self._queue) < QUEUE_LIMIT:
                self.read_on()
        elif self._malformed is not None:
            self._refuse(self._malformed)
        elif self._requests.reading is not None:  # it was answered before its body had come
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
        """The client has had its time to close. It gets more as long as it is still reading our last answer."""
        if 0 < (left := self.unsent) < self._left:
            self._left = left
            self._await(self.patience.write_stall)
        else:
            self.abort()
