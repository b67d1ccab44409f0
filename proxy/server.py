"""How do requests come in, and who answers them?

The edge towards clients. One entry: find the route, make the Call, run its handler, and have delivery write what comes
back, or what went wrong, on the client's own wire. A route is one look-up in a dict, and nothing runs that does not
stand here.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from time import monotonic
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

from proxy.delivery import answer, deliver
from proxy.door import BodyBroken, BodyTooLong, Door, Inbound, Malformed, Patience
from proxy.errors import BadRequest, GatewayError, UpstreamError
from proxy.ports import Call, Dialect, Handler, Reply

BODY_LIMIT = 64 * 1024 * 1024  # bytes of a request
DROPPED_SHOWN = 50  # names in x-pillion-dropped: a header of any length would break the client's parser

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))

# What each vendor's SDK says of itself, and no other does.
_SPOKEN = (
    ("anthropic-version", "anthropic"),
    ("x-goog-api-client", "gemini"),
    ("x-goog-api-key", "gemini"),
    ("x-amzn-bedrock-accept", "bedrock"),
    ("amz-sdk-invocation-id", "bedrock"),
    ("x-fern-sdk-name", "cohere"),
)

log = logging.getLogger("pillion")

STANDARD = Patience()

ANY = "*"  # a route for whichever method


class Route(NamedTuple):
    """Where a path leads. `tail`: the path goes on behind the route's own part (`/models/{id}`), and `ends` so."""

    method: str
    path: str  # without its version
    operation: str
    handler: Handler
    dialect: str = ""  # empty: the caller's headers tell
    tail: bool = False
    ends: str = ""
    versions: Sequence[str] = ("", "/v1")


class Server:
    """The routes behind one entry. `dialect` finds a dialect by its name."""

    def __init__(
        self, routes: Sequence[Route], dialect: Callable[[str], Dialect], patience: Patience = STANDARD
    ) -> None:
        self.patience = patience
        self._doors: set[Door] = set()
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._dialect = dialect
        self._ids = f"req_{secrets.token_hex(8)}"  # of this process; the rest of an id is a count
        self._count = count()
        self._listener: asyncio.Server | None = None
        self._exact: dict[str, dict[str, Route]] = {}
        tails: dict[tuple[str, str], dict[str, Route]] = {}
        for route in routes:
            for path in (version + route.path for version in route.versions):
                methods = (
                    tails.setdefault((path + "/", route.ends), {}) if route.tail else self._exact.setdefault(path, {})
                )
                methods[route.method] = route
        self._tails = [(*key, tails[key]) for key in sorted(tails, key=lambda key: (-len(key[0]), -len(key[1])))]

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises OSError where the address is taken."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Door(self, loop), host, port, backlog=1024)

    async def close(self) -> None:
        """Stop listening, and cut what is still under way."""
        if self._listener is not None:
            self._listener.close()
            for door in list(self._doors):
                door.abort()
            await self._listener.wait_closed()
            await self._nobody.wait()

    def came(self, door: Door) -> None:
        self._doors.add(door)
        self._nobody.clear()

    def went(self, door: Door) -> None:
        self._doors.discard(door)
        if not self._doors:
            self._nobody.set()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: the port that the kernel chose, where it was asked for port 0."""
        assert self._listener is not None
        host, port = self._listener.sockets[0].getsockname()[:2]
        return host, port

    async def serve(self, inbound: Inbound, door: Door) -> None:
        """Answer one request."""
        call: Call | None = None
        request_id = f"{self._ids}{next(self._count):08x}"
        try:
            route, rest = self._find(inbound)
            call = self._call(inbound, route, rest, request_id)
            reply = await route.handler(call)
        except GatewayError as error:
            reply = self._refusal(error, call, self._caller(inbound, call), request_id)
        except Exception:
            log.exception("%s failed inside pillion", request_id)
            fault = GatewayError("pillion failed; its log says why, under this request's id.")
            reply = self._refusal(fault, call, self._caller(inbound, call), request_id)
        try:
            await deliver(door, inbound, reply, _ours(call, request_id))
        except ConnectionError:
            door.abort()
        except Exception:
            log.exception("%s failed inside pillion, in the middle of its answer", request_id)
            door.abort()
        if reply.stopped is not None:
            _tell(call, request_id, reply.stopped)

    def refuse(self, malformed: Malformed) -> bytes:
        """The answer to what is no HTTP request: in our words, with an id, and with nothing of what was sent."""
        request_id = f"{self._ids}{next(self._count):08x}"
        error = BadRequest(malformed.message, status=malformed.status, code=malformed.code)
        reply = self._refusal(error, None, self._dialect(_spoken(malformed.headers)), request_id)
        assert isinstance(reply.body, bytes)
        return answer(reply.status, reply.headers, _ours(None, request_id), reply.body)

    def _find(self, inbound: Inbound) -> tuple[Route, str]:
        """Raises GatewayError: 404, or 405 with the methods that there are."""
        path, method = inbound.path, inbound.method
        methods, rest = (self._exact[path], "") if path in self._exact else self._find_tail(path, method)
        route = methods.get(method) or methods.get(ANY)
        if route is None:
            raise GatewayError(
                f"{path} does not take {method}; it takes {', '.join(methods)}.",
                status=405,
                kind="invalid_request",
                code="method_not_allowed",
                headers=[("allow", ", ".join(methods))],
            )
        return route, rest

    def _find_tail(self, path: str, method: str) -> tuple[dict[str, Route], str]:
        """The longest beginning counts, then the longest end; one that takes the method goes first."""
        other: tuple[dict[str, Route], str] | None = None
        for start, end, methods in self._tails:
            if path.startswith(start) and path.endswith(end) and len(path) > len(start) + len(end):
                found = methods, path[len(start) :]
                if method in methods or ANY in methods:
                    return found
                other = other or found
        if other is not None:
            return other
        raise GatewayError(f"There is no {path} here.", status=404, kind="invalid_request", code="unknown_url")

    def _call(self, inbound: Inbound, route: Route, rest: str, request_id: str) -> Call:
        query = inbound.raw_query
        return Call(
            id=request_id,
            operation=route.operation,
            dialect=self._dialect(route.dialect or _spoken(inbound.headers)),
            headers=inbound.headers,
            query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
            raw_query=query,
            receive=partial(_receive, inbound, self.patience.body),
            started=monotonic(),
            rest=rest,
        )

    def _caller(self, inbound: Inbound, call: Call | None) -> Dialect:
        """Whose error this is to be: the route's, or by the headers where the path leads nowhere."""
        if call is not None:
            return call.dialect
        methods = self._exact.get(inbound.path) or next(
            (m for start, end, m in self._tails if inbound.path.startswith(start) and inbound.path.endswith(end)), {}
        )
        dialects = [route.dialect for route in methods.values() if route.dialect]
        return self._dialect(dialects[0] if dialects else _spoken(inbound.headers))

    def _refusal(self, error: GatewayError, call: Call | None, dialect: Dialect, request_id: str) -> Reply:
        """An error as an answer: the provider's own bytes where the client can read them, else the dialect's."""
        _tell(call, request_id, error)
        body = error.body if isinstance(error, UpstreamError) else None
        if body is None:
            body = dialect.error(error, request_id)
        lines = [("content-type", "application/json"), *dialect.error_headers(error), *error.headers]
        return Reply(error.status, lines, body)


async def _receive(inbound: Inbound, stall: float) -> bytes:
    """The request's body. Raises BadRequest: too long, in a coding, or not JSON by its own word."""
    headers = inbound.headers
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise BadRequest("Request bodies are taken as they are, in no content coding.", status=415)
    if headers.get("content-type", "application/json") != "application/json":
        media_type = headers["content-type"].partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise BadRequest(f"The content type must be application/json, not {media_type}.", status=415)
    if int(headers.get("content-length", 0)) > BODY_LIMIT:
        raise _too_long()
    try:
        return await inbound.body(BODY_LIMIT, stall)
    except BodyTooLong:
        raise _too_long() from None
    except BodyBroken:
        raise BadRequest("The request's body broke off or is not valid HTTP.") from None
    except TimeoutError:
        raise BadRequest(f"The request's body did not go on within {stall:g} s.", status=408) from None


def _too_long() -> BadRequest:
    return BadRequest(f"The request is longer than {BODY_LIMIT} bytes.", status=413, code="request_too_large")


def _spoken(headers: Mapping[str, str]) -> str:
    """The dialect of a caller whose path says nothing of it."""
    return next((dialect for name, dialect in _SPOKEN if name in headers), "openai_chat")


def _ours(call: Call | None, request_id: str) -> bytes:
    """The header lines that we add to an answer."""
    upstream_id = (call.upstream_id if call is not None else "") or request_id
    lines = (
        f"x-request-id: {upstream_id}\r\nrequest-id: {upstream_id}\r\n"
        f"x-pillion-request-id: {request_id}\r\nserver: pillion\r\n"
    )
    if call is not None:
        if call.target is not None:
            lines += (
                f"x-pillion-provider: {call.target.adapter.name}\r\n"
                f"x-pillion-model: {_visible(call.target.model)}\r\nx-pillion-attempts: {call.attempts}\r\n"
            )
        ours = monotonic() - call.started - call.waited
        lines += f"x-pillion-overhead-ms: {ours * 1000:.2f}\r\n"
        if call.dropped:
            lines += f"x-pillion-dropped: {', '.join(map(_visible, call.dropped[:DROPPED_SHOWN]))}\r\n"
    return lines.encode("utf-8", "surrogateescape")


def _visible(text: str) -> str:
    """The client's own text, fit for a header: what is not printable ASCII is percent-encoded."""
    if text.isascii() and text.isprintable():
        return text
    return quote(text, safe=_PRINTABLE, errors="backslashreplace")


def _tell(call: Call | None, request_id: str, error: GatewayError) -> None:
    """One log line for a call that failed."""
    who = call.dialect.name if call is not None else "-"
    target = f"{call.target.adapter.name}/{call.target.model}" if call is not None and call.target else "-"
    level = logging.WARNING if error.status >= 500 and error.kind != "invalid_request" else logging.INFO
    message = " ".join(error.message.split())  # a provider's may have lines, and a log line is one
    log.log(level, "%s %s %s %d %s %s: %s", request_id, who, target, error.status, error.kind, error.code, message)
