"""How do requests come in, and who answers them?

The edge towards clients. For each request: check the head, find the route, make the Call, run the route's handler, and
have delivery write the answer, or the error, on the client's own wire.

A server ends in three steps, and may skip the later ones: `retire` lets nobody in any more, `cut` ends the answers that
are still under way with an error, `close` hangs up.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from socket import socket
from time import monotonic
from urllib.parse import parse_qsl

from proxy.access.accents import spoken
from proxy.edge.address import Address
from proxy.edge.delivery import answer, deliver
from proxy.edge.door import Door
from proxy.edge.inbound import Inbound
from proxy.edge.listening import Listener, listen
from proxy.edge.outbox import Outbox, nothing
from proxy.edge.patience import Patience
from proxy.edge.receiving import receive
from proxy.edge.requests import Malformed
from proxy.edge.room import Room
from proxy.edge.stamp import our_lines
from proxy.errors import BadRequest, GatewayError, UpstreamError, unwound
from proxy.logs import LEVELS
from proxy.ports import PROBES, Call, Dialect, Reply
from proxy.reports.outcome import outcome
from proxy.routing import Route, Routing

BODY_LIMIT = 64 * 1024 * 1024  # bytes of a request
STANDARD = Patience()

log = logging.getLogger("pillion")

Check = Callable[[Mapping[str, str]], None]


class Server:
    """One listener and the routes behind it. `dialect` finds a dialect by its name.

    `checks` see the headers of every request, whatever its path, before anything else is done; they raise GatewayError.
    `room` is shared by all listeners of a process. `before` is called before bytes go to a client.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        dialect: Callable[[str], Dialect],
        patience: Patience = STANDARD,
        body_limit: int = BODY_LIMIT,
        checks: Sequence[Check] = (),
        room: Room | None = None,
        before: Callable[[], None] = nothing,
    ) -> None:
        self._listener: Listener | None = None
        self.become(routes, patience, body_limit, checks)
        self.refused: Counter[str] = Counter()  # requests that reached no route, by the code of our answer
        self._room = room or Room()
        self._before = before
        self._doors: set[Door] = set()
        self._live: dict[Door, Reply] = {}  # answers that go out as they come
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._dialect = dialect
        self._ids = f"req_{secrets.token_hex(8)}"  # of this listener; the rest of an id is a count
        self._count = count()
        self._is_retired = False
        self._dismisses = False  # each answer is the last of its connection
        self._parting: GatewayError | None = None  # the error of those whose answers are cut

    def become(self, routes: Sequence[Route], patience: Patience, body_limit: int, checks: Sequence[Check]) -> None:
        """Answer by these from the next request on; what is under way goes on as it began."""
        self.routing = Routing(routes)
        self.patience = patience
        self.body_limit = body_limit
        self._checks = checks
        if self._listener is not None:
            self._listener.watch(patience.write_stall)

    async def open(self, address: Address, handed: Sequence[socket] = ()) -> None:
        """Bind the address, or use the sockets that were handed over; connections wait for `start`. Raises OSError."""
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop, self._before)
        self._listener = await listen(lambda: Door(self, loop, outbox), address, self._room, handed)
        self._listener.watch(self.patience.write_stall)

    def start(self) -> None:
        """Accept connections."""
        assert self._listener is not None
        self._listener.start()

    def dismiss(self) -> None:
        """Serve on, but let each client leave with its next answer."""
        self._dismisses = True

    def retire(self) -> None:
        """Stop listening, close idle connections, and each other one after its answer."""
        self._is_retired = True
        if self._listener is not None:
            self._listener.close()
        for door in list(self._doors):
            door.retire()

    async def left(self) -> None:
        """Wait until no connection is left, nor one on its way in."""
        if self._listener is not None:
            await self._listener.wait_closed()
        await self._nobody.wait()

    def cut(self, error: GatewayError) -> int:
        """End the answers that are under way, each with an error on its client's wire; how many there were."""
        self._parting = error
        busy = [door for door in self._doors if door.busy]
        for door in busy:
            if (reply := self._live.get(door)) is not None:
                reply.stop(error)
            door.interrupt()
        return len(busy)

    async def close(self) -> None:
        """Stop listening, and cut what is still under way."""
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
            for door in list(self._doors):
                door.abort()
            await self._nobody.wait()

    def came(self, door: Door) -> None:
        self._doors.add(door)
        self._nobody.clear()
        self._room.came(door)
        if self._is_retired:
            door.retire()

    def went(self, door: Door) -> None:
        self._doors.discard(door)
        self._room.went(door)
        if not self._doors:
            self._nobody.set()

    @property
    def connections(self) -> int:
        return len(self._doors)

    @property
    def address(self) -> Address:
        """Where it listens."""
        assert self._listener is not None
        return self._listener.address

    async def serve(self, inbound: Inbound, door: Door) -> None:
        """Answer one request."""
        call: Call | None = None
        inbound.id = request_id = f"{self._ids}{next(self._count):08x}"
        try:
            for check in self._checks:
                check(inbound.headers)
            route, rest = self.routing.find(inbound.method, inbound.path)
            call = self._call(inbound, door, route, rest, request_id)
            if self._room.late and route.operation not in PROBES:
                self._check_room(door, inbound)
            reply = await route.handler(call)
        except BaseException as error:
            if (fault := self._fault(error, door, request_id)) is None:
                raise
            reply = self._refusal(unwound(fault), call, self._caller(inbound, call), request_id)
        if not (is_whole := isinstance(reply.body, bytes)):
            self._live[door] = reply
        if self._dismisses:
            inbound.keep_alive = False
        try:
            await deliver(door, inbound, reply, our_lines(call, request_id, is_whole))
        except ConnectionError:
            door.abort()
        except Exception:
            log.exception("a request failed because of a bug in pillion, in mid-answer", extra={"id": request_id})
            door.abort()
        finally:
            self._live.pop(door, None)

    def _check_room(self, door: Door, inbound: Inbound) -> None:
        """Raises GatewayError, which no journal sees: the room logs once that it is full, not for each request."""
        try:
            self._room.check(door)
        except GatewayError:
            inbound.keep_alive = False
            raise

    def _fault(self, error: BaseException, door: Door, request_id: str) -> GatewayError | None:
        """The error that the client gets; None where the client has left."""
        if isinstance(error, GatewayError):
            return error
        if self._parting is not None and isinstance(error, asyncio.CancelledError) and door.connected:
            return self._parting
        if not isinstance(error, Exception):
            return None
        log.exception("a request failed because of a bug in pillion", extra={"id": request_id})
        return GatewayError("pillion failed because of a bug: its log has the details, under this request's id.")

    def refuse(self, malformed: Malformed) -> bytes:
        """The answer to bytes that are no HTTP request: with an id, and with nothing of what was sent."""
        request_id = f"{self._ids}{next(self._count):08x}"
        error = BadRequest(malformed.message, status=malformed.status, code=malformed.code)
        reply = self._refusal(error, None, self._dialect(spoken(malformed.headers)), request_id)
        assert isinstance(reply.body, bytes)
        return answer(reply.status, reply.headers, our_lines(None, request_id, is_whole=True), reply.body)

    def _call(self, inbound: Inbound, door: Door, route: Route, rest: str, request_id: str) -> Call:
        query = inbound.raw_query
        return Call(
            id=request_id,
            operation=route.operation,
            dialect=self._dialect(route.dialect or spoken(inbound.headers)),
            headers=inbound.headers,
            query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
            raw_query=query,
            receive=partial(receive, inbound, self.body_limit, self.patience),
            started=monotonic(),
            interrupt=door.interrupt,
            rest=rest,
        )

    def _caller(self, inbound: Inbound, call: Call | None) -> Dialect:
        """The dialect to spell an error in: the route's, or as the headers look where the path leads nowhere."""
        if call is not None:
            return call.dialect
        return self._dialect(self.routing.dialect(inbound.path) or spoken(inbound.headers))

    def _refusal(self, error: GatewayError, call: Call | None, dialect: Dialect, request_id: str) -> Reply:
        """An error as an answer: the provider's own bytes where the client can read them, else the dialect's."""
        if call is None:
            self.refused[error.code] += 1
            _log_refusal(request_id, error)
        body = error.body if isinstance(error, UpstreamError) else None
        if body is None:
            body = dialect.error(error, request_id)
        lines = [("content-type", "application/json"), *dialect.error_headers(error), *error.headers]
        return Reply(error.status, lines, body)


def _log_refusal(request_id: str, error: GatewayError) -> None:
    """The log line of a request that reached no middleware; `journal` writes all others."""
    how = outcome(error)
    fields = {"event": "refused", "id": request_id, "status": how.status, "error": how.kind, "code": how.code}
    log.log(LEVELS[how.level], "%s", error.message, extra=fields)
