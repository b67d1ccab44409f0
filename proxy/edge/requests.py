"""Which requests are in a client's bytes, and where do the bytes stop being requests?

llhttp reads them, through httptools; what it accepts and HTTP forbids is refused here. Each request is handed on when
its head is whole, and its body is added as it comes.
"""

from collections.abc import Collection, Mapping
from itertools import chain
from typing import NamedTuple, Protocol

import httptools

from proxy.edge import heads
from proxy.edge.inbound import Inbound, Sender

HEAD_LIMIT = 64 * 1024  # bytes of a request's line and headers; also of what is not body between two pieces of a body
HEADERS_LIMIT = 256  # header lines
_OTHERS = {
    b"\x16\x03": "is TLS, and pillion speaks plain HTTP: use http://",  # a ClientHello (RFC 8446, 5.1)
    b"PRI * HTTP/2": "is HTTP/2, and pillion speaks HTTP/1.1",  # (RFC 9113, 3.4)
}


class Malformed(NamedTuple):
    """Why a connection's bytes are no request. `headers`: those that were read before the fault."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str]


class Taker(Sender, Protocol):
    """What takes the requests: a door."""

    @property
    def answering(self) -> Inbound | None:
        """The request that is being answered."""
        ...

    def take(self, inbound: Inbound) -> None:
        """Here is a request whose head is whole."""
        ...

    def ended(self) -> None:
        """The body of the last request has come whole."""
        ...

    def head_goes_on(self) -> None:
        """A head has begun, and did not come in one piece."""
        ...

    def hold(self) -> None:
        """Let the client's bytes wait: no further request is wanted for now."""
        ...

    def reject(self, malformed: Malformed) -> None:
        """What came behind the last request is no request, and no more will be read."""
        ...


class Requests:
    """The requests of one connection. `heading`: a head has begun and not ended. `reading`: the request whose body is
    coming. `deaf`: nothing is read any more.
    """

    __slots__ = (
        "_counted",
        "_headers",
        "_lines",
        "_parser",
        "_read",
        "_taker",
        "_target",
        "_trusted",
        "_wish",
        "deaf",
        "heading",
        "reading",
    )

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._parser = httptools.HttpRequestParser(self)
        self._headers: dict[str, str] = {}
        self._wish = ""  # the protocol to which the request wants to upgrade, while its head is read again
        self._target = b""
        self._lines: list[tuple[bytes, bytes]] = []  # of the head that is being read
        self._counted = 0  # bytes read since the last piece of a body, or the last end of a request
        self._read = 0  # the same, as it was when the last read began to be parsed: no head in it is longer
        self._trusted = 0  # a head within so many bytes read need not be measured; 0: it came in several pieces
        self.heading = False
        self.reading: Inbound | None = None
        self.deaf = False

    @property
    def is_coming(self) -> bool:
        """Has only a part of a request come?"""
        return self.heading or self.reading is not None

    def feed(self, data: bytes) -> None:
        if self.deaf:
            return
        self._counted = self._read = self._counted + len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a bug of ours, not a fault of the client's
        except httptools.HttpParserUpgrade as upgrade:
            if not self.deaf:
                self._read_as_it_is(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            told = next((told for start, told in _OTHERS.items() if data.startswith(start)), "is not valid HTTP")
            self.reject(400, "invalid_http", f"The request {told}.")
        if self.heading:
            self._go_on()
        elif self.reading is not None and self._counted > HEAD_LIMIT:  # chunk extensions, or trailers
            self.reject(400, "invalid_http", "The request is not valid HTTP.")

    def _go_on(self) -> None:
        """A head has begun and does not end with what came."""
        if self._trusted:
            self._trusted = 0
            self._taker.head_goes_on()
        if self._counted > HEAD_LIMIT:
            self._reject_long()

    def _reject_long(self) -> None:
        limits = f"{HEAD_LIMIT} bytes or {HEADERS_LIMIT} lines"
        self.reject(431, "head_too_long", f"The request's head is longer than {limits}.")

    def end(self) -> None:
        """Nothing will come any more. The parser and the taker refer to us: the cycles are broken here."""
        self.deaf = True
        del self._parser, self._taker

    def reject(self, status: int, code: str, message: str) -> None:
        """What came is no request. Nothing behind it is read, and the requests before it are answered first."""
        if self.deaf:
            return
        self.deaf = True
        self.heading = False
        reading, self.reading = self.reading, None
        if reading is None:
            self._taker.reject(Malformed(status, code, message, heads.headers_of(self._lines[:HEADERS_LIMIT])[0]))
        else:  # the one who waits for the body answers, and the connection closes since the body never completes
            reading.fail()

    # --- llhttp's side ---

    def on_message_begin(self) -> None:
        self.heading = True
        self._lines = []
        self._target = b""
        self._trusted = HEAD_LIMIT

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        self.heading = False
        if self.deaf:
            return
        if len(self._lines) > HEADERS_LIMIT or (self._read > self._trusted and self._length() > HEAD_LIMIT):
            self._reject_long()
            return
        headers, repeated = heads.headers_of(self._lines)
        self._headers = headers
        version = self._parser.get_http_version()
        doubtful = version != "1.1" or "host" not in headers or repeated or "transfer-encoding" in headers
        if doubtful and not self._sound(version, repeated):
            self.reject(400, "invalid_http", "The request is not valid HTTP.")
            return
        if "upgrade" in headers and self._wishes():
            return
        try:
            inbound = self._inbound_of(version == "1.1")
        except ValueError:
            self.reject(400, "invalid_target", "The request's target is not a URL.")
            return
        self.reading = inbound
        self._lines = []  # further lines are a trailer's, which nobody reads
        self._taker.take(inbound)

    def _length(self) -> int:
        """Bytes of the head; each line has a `: ` and a line end besides."""
        return len(self._target) + sum(map(len, chain.from_iterable(self._lines))) + 4 * len(self._lines)

    def _sound(self, version: str, repeated: Collection[str]) -> bool:
        """False for what llhttp accepts and RFC 9112 forbids: 2.3 (versions), 3.2 (Host), 6.1 (codings of the body)."""
        headers = self._headers
        if version not in ("1.0", "1.1") or "host" in repeated:
            return False
        if version == "1.0":
            return "transfer-encoding" not in headers
        return "host" in headers and headers.get("transfer-encoding", "chunked").strip().lower() == "chunked"

    def _wishes(self) -> bool:
        """Will llhttp stop at the end of this head, to upgrade? Nobody pipelines such a request."""
        if not self._parser.should_upgrade() or self._parser.get_method() == b"CONNECT":
            return False
        if self._taker.answering is not None:
            self.reject(400, "invalid_http", "The request is not valid HTTP.")
        return True

    def _inbound_of(self, http11: bool) -> Inbound:
        """Raises ValueError: the target is no URL."""
        parser, headers = self._parser, self._headers
        method = parser.get_method()
        if method == b"CONNECT":  # its target is a host, and no path
            raise ValueError
        if self._wish:  # our routes look at it; it goes to no provider
            headers["upgrade"], self._wish = self._wish, ""
        inbound = Inbound(self._taker, method.decode("ascii"), self._target, headers, http11)
        inbound.keep_alive = parser.should_keep_alive()
        if "expect" in headers:
            inbound.expects = http11 and headers["expect"].strip().lower() == "100-continue"
        return inbound

    def _read_as_it_is(self, rest: bytes) -> None:
        """Serve a request that wants to upgrade (`Upgrade: h2c`, from Java's HttpClient) without doing so, as RFC 9110,
        7.8 allows. llhttp stops at the end of its head, so a new parser reads the head again, less the upgrade.
        """
        start = b"%b %b HTTP/%b\r\n" % (
            self._parser.get_method(),
            self._target,
            self._parser.get_http_version().encode(),
        )
        kept = [line for line in self._headers.items() if line[0] not in ("upgrade", "connection", "http2-settings")]
        options = [option.strip().lower() for option in self._headers["connection"].split(",")]
        kept += [("connection", option) for option in ("close", "keep-alive") if option in options]
        lines = "".join(f"{name}: {value}\r\n" for name, value in kept).encode("utf-8", "surrogateescape")
        self._wish = self._headers["upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        self.feed(b"%b%b\r\n%b" % (start, lines, rest))

    def on_body(self, chunk: bytes) -> None:
        self._counted = 0
        if self.reading is not None and self.reading.add(chunk):
            self._taker.hold()

    def on_message_complete(self) -> None:
        self._counted = 0
        reading, self.reading = self.reading, None
        if reading is not None:
            reading.end()
            self._taker.ended()
