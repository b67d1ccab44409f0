"""How do requests come in and answers go out?

The edge towards clients, and the sole owner of aiohttp.web. One entry: find the route, make the Call, run its
handler, and spell what comes back, or what went wrong, on the client's own wire. aiohttp's low-level server is used
and not its Application: a route is one look-up in a dict, and nothing runs that does not stand here.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from itertools import count
from time import monotonic
from typing import NamedTuple
from urllib.parse import quote

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp_sse import EventSourceResponse
from multidict import CIMultiDict, istr

from proxy.errors import BadRequest, GatewayError, UpstreamError
from proxy.headers import spell
from proxy.ports import Call, Dialect, Handler, Headers, Reply

BODY_LIMIT = 64 * 1024 * 1024  # bytes of a request
BODY_STALL = 30.0  # seconds that a client may leave between two pieces of its request
WRITE_STALL = 60.0  # seconds that a client may leave its answer unread
PING_INTERVAL = 15.0  # seconds of silence before a live stream is kept awake
BODILESS = frozenset({204, 304})
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
UNWATCHED = 32 * 1024  # bytes that always fit the transport's empty buffer: writing them cannot stall
DROPPED_SHOWN = 50  # names in x-pillion-dropped: a header of any length would break the client's parser

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))

# Our own headers, their case folded once and not per answer.
X_REQUEST_ID, REQUEST_ID, SERVER = istr("x-request-id"), istr("request-id"), istr("server")
X_PILLION_REQUEST_ID = istr("x-pillion-request-id")
X_PILLION_PROVIDER = istr("x-pillion-provider")
X_PILLION_MODEL = istr("x-pillion-model")
X_PILLION_ATTEMPTS = istr("x-pillion-attempts")
X_PILLION_OVERHEAD_MS = istr("x-pillion-overhead-ms")
X_PILLION_DROPPED = istr("x-pillion-dropped")

log = logging.getLogger("pillion")

ANY = "*"  # a route for whichever method


class Route(NamedTuple):
    """Where a path leads. `tail`: the path goes on behind the route's own part (`/models/{id}`)."""

    method: str
    path: str  # without /v1, which every path may have
    operation: str
    handler: Handler
    dialect: str = ""  # empty: the caller's headers tell
    tail: bool = False


class Server:
    """The routes behind one entry. `dialect` finds a dialect by its name."""

    def __init__(self, routes: Sequence[Route], dialect: Callable[[str], Dialect]) -> None:
        self._dialect = dialect
        self._ids = f"req_{secrets.token_hex(8)}"  # of this process; the rest of an id is a count
        self._count = count()
        self._runner: web.ServerRunner | None = None
        self._exact: dict[str, dict[str, Route]] = {}
        self._tails: dict[str, dict[str, Route]] = {}
        for route in routes:
            table = self._tails if route.tail else self._exact
            table.setdefault(route.path, {})[route.method] = route
            if not route.path.startswith("/v1"):
                table.setdefault("/v1" + route.path, {})[route.method] = route

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises OSError where the address is taken."""
        server = web.Server(
            self._entry,
            handler_cancellation=True,
            access_log=None,  # its line would hold the query, and with it a key
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=5)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=1024).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: the port that the kernel chose, where it was asked for port 0."""
        assert self._runner is not None
        host, port = self._runner.addresses[0][:2]
        return host, port

    async def _entry(self, request: web.BaseRequest) -> web.StreamResponse:
        call: Call | None = None
        request_id = f"{self._ids}{next(self._count):08x}"
        try:
            route, rest = self._find(request)
            call = self._call(request, route, rest, request_id)
            reply = await route.handler(call)
        except GatewayError as error:
            reply = self._refusal(error, call, self._caller(request, call), request_id)
        except Exception:
            log.exception("%s failed inside pillion", request_id)
            fault = GatewayError("pillion failed; its log says why, under this request's id.")
            reply = self._refusal(fault, call, self._caller(request, call), request_id)
        response = await _send(request, reply, _head(reply, call, request_id))
        if reply.stopped is not None:
            _tell(call, request_id, reply.stopped)
        return response

    def _find(self, request: web.BaseRequest) -> tuple[Route, str]:
        """Raises GatewayError: 404, or 405 with the methods that there are."""
        path = request.path
        methods, rest = (self._exact[path], "") if path in self._exact else self._find_tail(path)
        route = methods.get(request.method) or methods.get(ANY)
        if route is None:
            raise GatewayError(
                f"{path} does not take {request.method}; it takes {', '.join(methods)}.",
                status=405,
                kind="invalid_request",
                code="method_not_allowed",
                headers=[("allow", ", ".join(methods))],
            )
        return route, rest

    def _find_tail(self, path: str) -> tuple[dict[str, Route], str]:
        for start, methods in self._tails.items():
            if path.startswith(start) and path[len(start) : len(start) + 1] == "/" and len(path) > len(start) + 1:
                return methods, path[len(start) + 1 :]
        raise GatewayError(f"There is no {path} here.", status=404, kind="invalid_request", code="unknown_url")

    def _call(self, request: web.BaseRequest, route: Route, rest: str, request_id: str) -> Call:
        return Call(
            id=request_id,
            operation=route.operation,
            dialect=self._dialect(route.dialect or _spoken(request)),
            headers=request.headers,
            query=request.query if request.rel_url.raw_query_string else {},
            raw_query=request.rel_url.raw_query_string,
            receive=partial(_receive, request),
            started=monotonic(),
            rest=rest,
        )

    def _caller(self, request: web.BaseRequest, call: Call | None) -> Dialect:
        """Whose error this is to be: the route's, or by the headers where the path leads nowhere."""
        if call is not None:
            return call.dialect
        dialects = [route.dialect for route in self._exact.get(request.path, {}).values() if route.dialect]
        return self._dialect(dialects[0] if dialects else _spoken(request))

    def _refusal(self, error: GatewayError, call: Call | None, dialect: Dialect, request_id: str) -> Reply:
        """An error as an answer: the provider's own bytes where the client can read them, else the dialect's."""
        _tell(call, request_id, error)
        body = error.body if isinstance(error, UpstreamError) else None
        if body is None:
            body = dialect.error(error, request_id)
        lines = [("content-type", "application/json"), *dialect.error_headers(error), *error.headers]
        return Reply(error.status, lines, body)


async def _receive(request: web.BaseRequest) -> bytes:
    """The request's body. Raises BadRequest: too long, in a coding, or not JSON by its own word."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadRequest("Request bodies are taken as they are, in no content coding.", status=415)
    if request.headers.get("content-type", "application/json") != "application/json":
        media_type = request.content_type
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise BadRequest(f"The content type must be application/json, not {media_type}.", status=415)
    if (request.content_length or 0) > BODY_LIMIT:
        raise _too_long()
    if request.headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # aiohttp's low-level server leaves it to us
    try:
        if request.content.is_eof():  # it came with the head, as nearly all do
            return request.content.read_nowait()
        body = bytearray()
        while True:
            async with asyncio.timeout(BODY_STALL):
                chunk = await request.content.readany()
            if not chunk:
                return bytes(body)
            body += chunk
            if len(body) > BODY_LIMIT:
                raise _too_long()
    except TimeoutError:
        raise BadRequest(f"The request's body did not go on within {BODY_STALL:g} s.", status=408) from None
    except web.RequestPayloadError:
        raise BadRequest("The request's body broke off or is not valid HTTP.") from None


def _too_long() -> BadRequest:
    return BadRequest(f"The request is longer than {BODY_LIMIT} bytes.", status=413, code="request_too_large")


def _spoken(request: web.BaseRequest) -> str:
    """The dialect of a caller whose path says nothing of it."""
    return "anthropic" if "anthropic-version" in request.headers else "openai_chat"


def _head(reply: Reply, call: Call | None, request_id: str) -> Headers:
    """The answer's headers: the provider's that may come back, and ours."""
    upstream_id = (call.upstream_id if call is not None else "") or request_id
    lines = [
        *reply.headers,
        (X_REQUEST_ID, upstream_id),
        (REQUEST_ID, upstream_id),
        (X_PILLION_REQUEST_ID, request_id),
        (SERVER, "pillion"),
    ]
    if call is None:
        return lines
    if call.target is not None:
        lines += [
            (X_PILLION_PROVIDER, call.target.adapter.name),
            (X_PILLION_MODEL, _visible(call.target.model)),
            (X_PILLION_ATTEMPTS, str(call.attempts)),
        ]
    ours = monotonic() - call.started - call.waited
    lines.append((X_PILLION_OVERHEAD_MS, f"{ours * 1000:.2f}"))
    if call.dropped:
        lines.append((X_PILLION_DROPPED, ", ".join(map(_visible, call.dropped[:DROPPED_SHOWN]))))
    return lines


def _visible(text: str) -> str:
    """The client's own text, fit for a header: what is not printable ASCII is percent-encoded."""
    if text.isascii() and text.isprintable():
        return text
    return quote(text, safe=_PRINTABLE, errors="backslashreplace")


async def _send(request: web.BaseRequest, reply: Reply, headers: Headers) -> web.StreamResponse:
    """Write the answer to its end, and tell the endings how it went."""
    broke: BaseException | None = None
    try:
        if isinstance(reply.body, bytes):
            return await _send_whole(request, reply, reply.body, headers)
        return await _send_live(request, reply, reply.body, headers)
    except BaseException as error:
        broke = error
        raise
    finally:
        _conclude(reply, broke or reply.stopped)


async def _send_whole(request: web.BaseRequest, reply: Reply, body: bytes, headers: Headers) -> web.StreamResponse:
    if reply.taps:
        _show(reply, body)
    has_body = request.method != "HEAD" and reply.status not in BODILESS
    is_plain = has_body and request.keep_alive and request.version == HttpVersion11
    if is_plain and len(body) <= UNWATCHED and _has_room(request):
        return _write_at_once(request, reply.status, headers, body)
    response = web.Response(status=reply.status, body=body, headers=CIMultiDict(headers))
    await response.prepare(request)
    await _patiently(request, response.write_eof())
    return response


def _write_at_once(request: web.BaseRequest, status: int, headers: Headers, body: bytes) -> web.StreamResponse:
    """A short answer on a connection that stays open and has room: one write, and nothing that could wait.

    aiohttp's own way makes a response, its header dict and a second pass through its writer for it.
    """
    assert request.transport is not None
    start = b"HTTP/1.1 %d %b\r\n%b" % (status, REASONS.get(status, b""), spell(headers))
    request.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (start, len(body), body))
    return ALREADY_SENT


class AlreadySent(web.StreamResponse):
    """What aiohttp is handed for an answer that is on its way: it finds nothing left to write."""

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing."""


ALREADY_SENT = AlreadySent()


async def _send_live(
    request: web.BaseRequest, reply: Reply, body: AsyncGenerator[bytes], headers: Headers
) -> web.StreamResponse:
    """Raises nothing of the provider's: what breaks the body is spelled as the stream's last event."""
    response = web.StreamResponse(status=reply.status, headers=CIMultiDict(headers))
    if reply.ping is not None:
        response = KeptAwake(reply.ping, CIMultiDict(headers))
    try:
        await response.prepare(request)
        async with aclosing(body):
            async for chunk in body:
                if reply.taps:
                    _show(reply, chunk)
                if len(chunk) <= UNWATCHED and _has_room(request):
                    await response.write(chunk)
                else:
                    await _patiently(request, response.write(chunk))
                if reply.stopped is not None:
                    raise reply.stopped
        await _write_eof(request, response)
    except GatewayError as error:
        reply.stopped = reply.stopped or error
        await _break_off(request, response, reply, reply.stopped)
    finally:
        if isinstance(response, KeptAwake) and response.prepared:
            response.stop_streaming()
        if reply.abort is not None:
            reply.abort()
    return response


async def _write_eof(request: web.BaseRequest, response: web.StreamResponse) -> None:
    if _has_room(request):
        await response.write_eof()
    else:
        await _patiently(request, response.write_eof())


def _has_room(request: web.BaseRequest) -> bool:
    """Is nothing waiting to be sent? Then UNWATCHED bytes are taken at once, and need no timer."""
    return request.transport is not None and not request.transport.get_write_buffer_size()


async def _patiently(request: web.BaseRequest, writing: Awaitable[None]) -> None:
    """Let a client that does not read stall for WRITE_STALL at most; then its connection is aborted."""
    try:
        async with asyncio.timeout(WRITE_STALL):
            await writing
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError("the client does not read its answer") from None


async def _break_off(request: web.BaseRequest, response: web.StreamResponse, reply: Reply, error: GatewayError) -> None:
    """End a stream that is not whole: the wire's error event, and no last HTTP chunk, so that nobody takes it so."""
    if isinstance(error, UpstreamError) and error.told:
        await _write_eof(request, response)
        return
    if reply.last_words is not None:
        await _patiently(request, response.write(reply.last_words(error)))
    if request.transport is not None:
        request.transport.close()  # what is written still goes out


class KeptAwake(EventSourceResponse):
    """A stream of our own frames. In a silent gap it says the wire's own ping, so that no middlebox cuts it."""

    def __init__(self, ping: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(
            headers=headers, sep="\n", allow_all_methods=True, send_timeout=None, ping_interval=PING_INTERVAL
        )
        self._frame = ping
        self._spoke = False

    async def write(self, data: "bytes | bytearray | memoryview[int]") -> None:
        self._spoke = True
        await super().write(data)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._ping_interval)
            if not self._spoke:
                await super().write(self._frame)
            self._spoke = False


def _show(reply: Reply, chunk: bytes) -> None:
    """Let the taps see a chunk. One that raises is dropped: an observer must not cost a client its answer."""
    for tap in list(reply.taps):
        try:
            tap(chunk)
        except Exception:
            log.exception("a tap failed, and is not asked again for this answer")
            reply.taps.remove(tap)


def _conclude(reply: Reply, broke: BaseException | None) -> None:
    """Tell every ending, also after one that raises."""
    for ending in reply.endings:
        try:
            ending(broke)
        except Exception:
            log.exception("an ending failed")


def _tell(call: Call | None, request_id: str, error: GatewayError) -> None:
    """One log line for a call that failed."""
    who = call.dialect.name if call is not None else "-"
    target = f"{call.target.adapter.name}/{call.target.model}" if call is not None and call.target else "-"
    level = logging.WARNING if error.status >= 500 and error.kind != "invalid_request" else logging.INFO
    message = " ".join(error.message.split())  # a provider's may have lines, and a log line is one
    log.log(level, "%s %s %s %d %s %s: %s", request_id, who, target, error.status, error.kind, error.code, message)
