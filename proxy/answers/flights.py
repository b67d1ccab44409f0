"""How do several calls that ask the same share one answer, while it comes?

The first one starts a flight, and the others join it: one call upstream, in a task of its own, whose whole answer each
of them reads at its own pace. The flight goes on when the first one leaves, and is cancelled when the last one does.

    a call --> its seat --\\
    a call --> its seat ---- the tape of what has come <-- the flight <-- the provider
    a call --> its seat --/

While the tape has everything from the beginning, more may join, and the flight reads up to AHEAD bytes more than the
fastest has taken. When the tape becomes too long, or all tapes together do, nobody can join any more, what all have
taken is dropped, and the flight reads up to AHEAD bytes more than the slowest has taken: then one that reads nothing
holds up the others, until the door hangs up on it.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from copy import copy
from functools import partial
from time import monotonic
from typing import NamedTuple, TypeAlias

from proxy.answers.seats import Seat, Seated, why_ended
from proxy.answers.tape import Tape
from proxy.edge.onlookers import conclude, show
from proxy.errors import GatewayError
from proxy.ports import Call, Handler, Reply

AHEAD = 256 * 1024  # bytes that nobody has taken yet
LONGEST = 4 * 1024 * 1024  # bytes of a tape that has everything
TURN = 64 * 1024  # bytes after which other tasks have their turn
PARTING = 1.0  # seconds within which a flight that is cancelled should have ended

Key: TypeAlias = tuple[object, ...]


class Shared(NamedTuple):
    """A reply for one call, and the call that was made for all of them."""

    reply: Reply
    call: Call


class Flights:
    """All flights under way. `most`: bytes of all tapes together, while they have everything."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0  # bytes of all tapes
        self._open: dict[Key, Flight] = {}  # those that may be joined
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Flights: {len(self._tasks)} under way, {len(self._open)} open, {self.held} bytes>"

    def first(self, key: Key) -> Call | None:
        """The call that started the one to join; None where there is none."""
        flight = self._open.get(key)
        return None if flight is None else flight.call

    async def share(self, key: Key, call: Call, handler: Handler) -> Shared:
        """Join the flight of this key, or start one. Raises what the handler does, as an error of its own."""
        flight = self._open.get(key) or self._take_off(key, call, handler)
        seat = flight.join()
        began, counted = monotonic(), call.waited + call.delayed
        try:
            await flight.headed()
        except BaseException as error:
            seat.stopped = why_ended(error)
            await flight.part(seat)
            if flight.call is call and flight.goes_on:  # which counts that time only at its end
                call.waited += monotonic() - began - (call.waited + call.delayed - counted)
            raise
        return Shared(flight.reply(seat), flight.call)

    async def close(self) -> None:
        """Cancel all that are under way."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def shut(self, flight: "Flight") -> None:
        """Let nobody join it any more."""
        if self._open.get(flight.key) is flight:
            del self._open[flight.key]

    def _take_off(self, key: Key, call: Call, handler: Handler) -> "Flight":
        flight = self._open[key] = Flight(self, key, call)
        task = flight.task = asyncio.get_running_loop().create_task(flight.fly(handler))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flight


class Flight:
    """One call upstream, for all that sit in it."""

    def __init__(self, flights: Flights, key: Key, call: Call) -> None:
        self.key = key
        self.call = call
        self.task: asyncio.Task[None] | None = None
        self._flights = flights
        self._seats: set[Seat] = set()
        self._reply: Reply | None = None
        self._error: BaseException | None = None
        self._last_words = b""
        self._has_landed = False
        self._tape = Tape()
        self._has_all = True  # the tape has everything from the beginning
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def goes_on(self) -> bool:
        return not self._has_landed

    # --- those who share it ---

    def join(self) -> Seat:
        seat = Seat()
        self._seats.add(seat)
        return seat

    def leave(self, seat: Seat) -> None:
        """The last one cancels the flight, for the reason for which it was stopped. Harmless the second time."""
        if seat.has_left:
            return
        seat.has_left = True
        self._seats.discard(seat)
        self._tell()
        if self._seats:
            self._check_room()
            return
        self._has_all = False
        self._flights.shut(self)
        self._let_go()
        if self.task is not None and not self._has_landed:
            self.task.cancel(*seat.stopped)

    async def part(self, seat: Seat) -> None:
        """Leave; the last one waits until the flight has ended."""
        self.leave(seat)
        if not self._seats and self.task is not None and not self._has_landed:
            await asyncio.wait((self.task,), timeout=PARTING)

    async def headed(self) -> None:
        """Until there is a reply. Raises the error that came instead."""
        while self._reply is None and not self._has_landed:
            await self._news.wait()
        if self._reply is None:
            raise _again(self._error)

    def reply(self, seat: Seat) -> Reply:
        """The reply, for this seat."""
        inner = self._reply
        assert inner is not None
        if isinstance(inner.body, bytes):
            self.leave(seat)
            return Reply(inner.status, list(inner.headers), inner.body)
        return Seated(
            inner.status,
            list(inner.headers),
            self._body(seat),
            ping=inner.ping,
            last_words=self._say if inner.last_words is not None else None,
            abort=partial(self.leave, seat),
            seat=seat,
        )

    async def _body(self, seat: Seat) -> AsyncGenerator[bytes]:
        """Raises GatewayError, behind all that came before it."""
        turn = TURN
        try:
            while not seat.has_left:
                if seat.at < self._tape.end:
                    yield self._next(seat)
                    if seat.read >= turn:
                        turn = seat.read + TURN
                        await asyncio.sleep(0)
                elif self._has_landed:
                    break
                else:
                    await self._news.wait()
            if self._error is not None and not seat.has_left:
                raise _again(self._error)
        except asyncio.CancelledError as error:
            seat.stopped = why_ended(error)
            raise
        finally:
            await self.part(seat)

    def _next(self, seat: Seat) -> bytes:
        chunk = self._tape.chunk(seat.at)
        seat.at += 1
        seat.read += len(chunk)
        self._check_room()
        return chunk

    def _say(self, error: GatewayError) -> bytes:
        """Last words. What broke the flight is spelled once for all, since the reply's `last_words` keeps a state.

        What stops only this seat must not be spelled by it, since the others go on; nor was it asked for words where
        the flight was cancelled, because this was the last seat.
        """
        return self._last_words if isinstance(self._error, GatewayError) else self.call.dialect.error_event(error)

    # --- the task ---

    async def fly(self, handler: Handler) -> None:
        reply: Reply | None = None
        try:
            reply = self._reply = await handler(self.call)
            self._tell()
            if isinstance(reply.body, bytes):
                show(reply, reply.body, self.call.id)
            else:
                await self._hear(reply, reply.body)
        except BaseException as error:
            self._error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._land(reply)

    async def _hear(self, reply: Reply, body: AsyncGenerator[bytes]) -> None:
        try:
            async with aclosing(body):
                async for chunk in body:
                    show(reply, chunk, self.call.id)
                    self._note(chunk)
                    if reply.stopped is not None:
                        break
                    await self._pace()
        except GatewayError as error:
            raise (reply.stopped or error) from None
        finally:
            if reply.abort is not None:
                reply.abort()
        if reply.stopped is not None:
            raise reply.stopped

    def _note(self, chunk: bytes) -> None:
        size = len(chunk)
        if self._has_all and (self._tape.held + size > LONGEST or self._flights.held + size > self._flights.most):
            self._has_all = False
            self._flights.shut(self)
        self._tape.add(chunk)
        self._flights.held += size
        if not self._has_all:
            self._let_go()
        self._tell()

    async def _pace(self) -> None:
        if self._is_ahead():
            self._room.clear()
            await self._room.wait()

    def _land(self, reply: Reply | None) -> None:
        self._has_landed = True
        if reply is not None:
            error = self._error
            if isinstance(error, GatewayError) and reply.last_words is not None:
                self._last_words = reply.last_words(error)
            conclude(reply, error, self.call.id)
        self._flights.shut(self)
        self._tell()

    # --- both ---

    def _tell(self) -> None:
        """Wake all who wait for news."""
        self._news.set()
        self._news.clear()

    def _check_room(self) -> None:
        if not self._room.is_set() and not self._is_ahead():
            self._room.set()

    def _is_ahead(self) -> bool:
        """Has so much come that it should wait?"""
        pace = max if self._has_all else min
        return self._tape.came - pace(seat.read for seat in self._seats) >= AHEAD

    def _let_go(self) -> None:
        """Drop what all have taken."""
        taken = min((seat.at for seat in self._seats), default=self._tape.end)
        self._flights.held -= self._tape.drop(taken)


def _again(error: BaseException | None) -> Exception:
    """A copy for each seat, as errors collect tracebacks and headers on their way."""
    if isinstance(error, GatewayError):
        return copy(error)
    failure = RuntimeError("a call that several requests share has failed")
    failure.__cause__ = error
    return failure
