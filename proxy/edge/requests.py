"""Which requests do a client's bytes spell, and where do they stop to be any?

llhttp, through httptools, reads them; what it lets pass and HTTP does not is refused here. Each request is handed on as
soon as its head is whole, and its body is added as it comes.
"""

from collections.abc import Collection, Mapping
from itertools import chain
from typing import NamedTuple, Protocol

import httptools

from proxy.edge import heads
from proxy.edge.inbound import Inbound, Sender

HEAD_LIMIT = 64 * 1024  # bytes of a request's line and headers; and of what is no body between two pieces of one
HEADERS_LIMIT = 256  # header lines


class Malformed(NamedTuple):
    """Why a connection's bytes are no request. `headers`: what was read before."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str]


class Taker(Sender, Protocol):
    """Who takes the requests: a door."""

    @property
    def answering(self) -> Inbound | None:
        """Whose answer is under way."""
        ...

    def take(self, inbound: Inbound) -> None:
        """A request whose head is whole."""
        ...

    def ended(self) -> None:
        """The body of the last one has come."""
        ...

    def head_goes_on(self) -> None:
        """A head has begun, and did not come in one piece."""
        ...

    def hold(self) -> None:
        """No more is wanted for now."""
        ...

    def reject(self, malformed: Malformed) -> None:
        """What came behind the last request is none, and no more will be read."""
        ...


class Requests:
    """Those of one connection. `heading`: a head has begun and not ended. `reading`: whose body is coming. `deaf`: what
    comes is not read any more.
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
        self._wish = ""  # the protocol that the request would rather be in, whose head is read again
        self._target = b""
        self._lines: list[tuple[bytes, bytes]] = []  # of the head that is being read
        self._counted = 0  # bytes of reads since the last piece of a body, or end of a request
        self._read = 0  # the same, where neither was in the last one: no head that began in it is longer
        self._trusted = 0  # bytes of reads up to which a head is not measured; 0: it did not come in one piece
        self.heading = False
        self.reading: Inbound | None = None
        self.deaf = False

    @property
    def is_coming(self) -> bool:
        """Is there a request of which only a part has come?"""
        return self.heading or self.reading is not None

    def feed(self, data: bytes) -> None:
        if self.deaf:
            return
        self._counted = self._read = self._counted + len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a bug of ours, and no fault of the client's
        except httptools.HttpParserUpgrade as upgrade:
            if not self.deaf:
                self._read_as_it_is(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.reject(400, "invalid_http", "The request is not valid HTTP.")
        if self.heading:
            self._go_on()
        elif self.reading is not None and self._counted > HEAD_LIMIT:  # extensions of chunks, or trailers
            self.reject(400, "invalid_http", "The request is not valid HTTP.")

    def _go_on(self) -> None:
        """A head did not end with what came."""
        if self._trusted:
            self._trusted = 0
            self._taker.head_goes_on()
        if self._counted > HEAD_LIMIT:
            self._reject_long()

    def _reject_long(self) -> None:
        limits = f"{HEAD_LIMIT} bytes or {HEADERS_LIMIT} lines"
        self.reject(431, "head_too_long", f"The request's head is longer than {limits}.")

    def end(self) -> None:
        """Nothing will come any more. Who takes the requests holds us, and so does the parser."""
        self.deaf = True
        del self._parser, self._taker

    def reject(self, status: int, code: str, message: str) -> None:
        """What came is no request. Nothing behind it is read, and what came before it is answered first."""
        if self.deaf:
            return
        self.deaf = True
        self.heading = False
        reading, self.reading = self.reading, None
        if reading is None:
            self._taker.reject(Malformed(status, code, message, heads.told(self._lines[:HEADERS_LIMIT])[0]))
        else:  # whoever reads the body answers; what never completes does not stay
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
        headers, repeated = heads.told(self._lines)
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
            self.reject(400, "invalid_target", "The request's target is no URL.")
            return
        self.reading = inbound
        self._taker.take(inbound)

    def _length(self) -> int:
        """Bytes of the head: each line has `: ` and its end as well."""
        return len(self._target) + sum(map(len, chain.from_iterable(self._lines))) + 4 * len(self._lines)

    def _sound(self, version: str, repeated: Collection[str]) -> bool:
        """What llhttp lets pass and RFC 9112 does not: 2.3 (versions), 3.2 (Host), 6.1 (codings of the body)."""
        headers = self._headers
        if version not in ("1.0", "1.1") or "host" in repeated:
            return False
        if version == "1.0":
            return "transfer-encoding" not in headers
        return "host" in headers and headers.get("transfer-encoding", "chunked").strip().lower() == "chunked"

    def _wishes(self) -> bool:
        """Will llhttp stop at the end of this head, for `_read_as_it_is`? Nobody pipelines such a wish."""
        if not self._parser.should_upgrade() or self._parser.get_method() == b"CONNECT":
            return False
        if self._taker.answering is not None:
            self.reject(400, "invalid_http", "The request is not valid HTTP.")
        return True

    def _inbound_of(self, http11: bool) -> Inbound:
        """Raises ValueError: the target is no URL."""
        parser, headers = self._parser, self._headers
        method = parser.get_method()
        if method == b"CONNECT":  # names a host, and no path
            raise ValueError
        if self._wish:  # for whoever answers; it goes to no provider
            headers["upgrade"], self._wish = self._wish, ""
        inbound = Inbound(self._taker, method.decode("ascii"), self._target, headers, http11)
        inbound.keep_alive = parser.should_keep_alive()
        if "expect" in headers:
            inbound.expects = http11 and headers["expect"].strip().lower() == "100-continue"
        return inbound

    def _read_as_it_is(self, rest: bytes) -> None:
        """A request that would rather be in another protocol (`Upgrade: h2c`, as Java's HttpClient has it), served in
        this one (RFC 9110, 7.8). llhttp stops at the end of its head, so a new one reads the head again, less the wish.
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
