"""Can a second request be smuggled in behind a first one?

Figure H1: 300 cases and more, each with a request hidden behind it. h11, which shares no line with our own parser,
reads the same bytes: pillion must see the very requests that h11 sees, or fewer, and then refuse the next and close.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import h11

from proxy import registry
from proxy.edge.address import Address
from proxy.ports import Call, Reply
from proxy.routing import ANY, Route
from proxy.server import Server
from tests.client import client
from tests.waiting import soon

HOST = "Host: h\r\n"
BEHIND = "POST /smuggled HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
HIDDEN = f"{len(BEHIND):x}\r\n{BEHIND}\r\n0\r\n\r\n"  # the same, as a chunk

# --- the corpus ------------------------------------------------------------------------------------------------------

CODINGS = [
    "chunked", "Chunked", "CHUNKED", " chunked", "chunked ", "\tchunked", "chunked\t", "\x0bchunked", "\x0cchunked",
    "chunked\x00", "xchunked", "chunkedx", "x chunked", "chunked x", "chunked;q=1", "chunked; a=b", "\"chunked\"",
    "'chunked'", "chunked,", ",chunked", ", chunked", "chunked,chunked", "chunked, chunked", "identity",
    "chunked, identity", "identity, chunked", "gzip", "gzip, chunked", "chunked, gzip", "deflate", "compress", "cow",
    "chunk", "chun\tked", "chu\xf1ked", "\x85chunked", "\xa0chunked", "null", "0", "", "chunked\r\n ", "\r\n chunked",
    "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: cow", "cow\r\nTransfer-Encoding: chunked",
    "identity\r\nTransfer-Encoding: chunked",
]  # fmt: skip
CODING_NAMES = [
    "Transfer-Encoding", "transfer-encoding", "TRANSFER-ENCODING", "Transfer-Encoding ", "Transfer-Encoding\t",
    " Transfer-Encoding", "\tTransfer-Encoding", "Transfer_Encoding", "Transfer-Encoding\x00", "Transfer\x00-Encoding",
    "X: y\nTransfer-Encoding", "X: y\rTransfer-Encoding", "X: y\r\rTransfer-Encoding", "X:\nTransfer-Encoding",
    "Transfer Encoding", "Transfer-\r\n Encoding", "\x0bTransfer-Encoding", "\"Transfer-Encoding\"",
    "Transfer-Encod\xeeng", "X-Transfer-Encoding", "TE",
]  # fmt: skip
LENGTHS = [
    "0", "00", "+0", "-0", "-1", "0x0", "0,0", "0, 0", "0,1", "0;", "0 ", " 0", "0\t", "0 0", "0\x00", "0\x0b", "", " ",
    "\"0\"", "zero", "1e0", "0.0", "0_0", "\u0660", "\xb2", "9", "9", "9", "18446744073709551616", "4294967296",
    "0\r\nContent-Length: 0", "0\r\nContent-Length: 1", "1\r\nContent-Length: 0", "0\r\ncontent-length: 00", "0\r\n ",
    "\r\n 0",
]  # fmt: skip
LENGTH_NAMES = [
    "Content-Length", "content-length", "Content-Length ", "Content-Length\t", " Content-Length", "Content_Length",
    "Content-Length\x00", "X: y\nContent-Length", "X: y\rContent-Length", "Content-\r\n Length", "\x0bContent-Length",
    "Content Length", "Content-Lengt\xe8",
]  # fmt: skip
CHUNKS = [
    "0\r\n\r\n", "00\r\n\r\n", "0000000000000000000\r\n\r\n", "0 \r\n\r\n", " 0\r\n\r\n", "\t0\r\n\r\n", "0\t\r\n\r\n",
    "0x0\r\n\r\n", "+0\r\n\r\n", "-0\r\n\r\n", "0\n\n", "0\r\n\n", "0\n\r\n", "0\r\r\n\r\n", "\r\n0\r\n\r\n",
    "\n0\r\n\r\n", "0;\r\n\r\n", "0;a\r\n\r\n", "0;a=b\r\n\r\n", "0; a=b\r\n\r\n", "0 ;a=b\r\n\r\n", "0;a=\"b\r\n\r\n",
    "0;a=\"\r\n\"\r\n\r\n", "0;a\nb\r\n\r\n", "0;a\rb\r\n\r\n", "0;\x00\r\n\r\n", "0,\r\n\r\n", "g\r\n\r\n", "\r\n\r\n",
    "0\r\nX: y\r\n\r\n", "0\r\nX: y\n\r\n", "0\r\nX y\r\n\r\n", "0\r\nContent-Length: 5\r\n\r\n",
    "0\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\nHost: evil\r\n\r\n", "0\r\n X: y\r\n\r\n", "0\r\nX: \x00\r\n\r\n",
    "2\r\n{}\r\n0\r\n\r\n", "2\r\n{}0\r\n\r\n", "2\r\n{}\n0\r\n\r\n", "2\r\n{}\r0\r\n\r\n", "1\r\n{}\r\n0\r\n\r\n",
    "3\r\n{}\r\n0\r\n\r\n", "2\n{}\r\n0\r\n\r\n", "2\r{}\r\n0\r\n\r\n", "2;\r\n{}\r\n0\r\n\r\n",
    "2\r\n{}\r\n00\r\n\r\n", "fffffffffffffffff\r\n", "10000000000000000\r\n", "ffffffffffffffff\r\n", "-1\r\n",
    "80000000\r\n", "0_2\r\n{}\r\n0\r\n\r\n", "\u0662\r\n{}\r\n0\r\n\r\n", "2 \r\n{}\r\n0\r\n\r\n",
    "02\r\n{}\r\n0\r\n\r\n",
]  # fmt: skip
STARTS = [
    "POST /x HTTP/1.1", "POST\t/x HTTP/1.1", "POST /x\tHTTP/1.1", " POST /x HTTP/1.1", "post /x HTTP/1.1",
    "Post /x HTTP/1.1", "POST /x http/1.1", "POST /x HTTP/1.0", "POST /x HTTP/0.9", "POST /x HTTP/1.2",
    "POST /x HTTP/2.0", "POST /x HTTP/1", "POST /x HTTP/11", "POST /x HTTP/1.10", "POST /x HTTP/ 1.1",
    "POST /x HTTP/1.1 ", "POST /x HTTP/1.1x", "POST /x", "POST /x ", "POST HTTP/1.1", "POST  HTTP/1.1", "/x HTTP/1.1",
    "POST x HTTP/1.1", "POST * HTTP/1.1", "POST http://h/x HTTP/1.1", "POST http://evil/x HTTP/1.1",
    "POST http:///x HTTP/1.1", "POST https://h/x HTTP/1.1", "POST //h/x HTTP/1.1", "POST h:80 HTTP/1.1",
    "POST /x\x00 HTTP/1.1", "POST /x\x80 HTTP/1.1", "POST /x\rGET /x HTTP/1.1", "POST /x y HTTP/1.1",
    "CONNECT h:80 HTTP/1.1", "CONNECT /x HTTP/1.1", "FOO /x HTTP/1.1", "PO\x00ST /x HTTP/1.1", "POST:/x HTTP/1.1",
    "GET /x HTTP/1.1", "HEAD /x HTTP/1.1", "OPTIONS /x HTTP/1.1", "TRACE /x HTTP/1.1", "PRI * HTTP/2.0",
    "GET http://h/x?\r\nHost: evil HTTP/1.1",
]  # fmt: skip
LINES = [
    "Host: h", "Host: evil", "host: evil", "Host : evil", "Host: h, evil", "Host:", "Host: h\r\n evil",
    "X: y\r\n folded", " X: y", "X y", "X", ":y", ": y", "X :y", "X\t: y", "X: a\rb", "X: a\nb", "X: a\x00b", "X: \x01",
    "X: \x7f", "X(: y", "X\xe9: y", "X: \xe9", "X: y\n", "X: y\r", "Expect: 100-continue", "Expect: 200-ok",
    "Upgrade: h2c", "Upgrade: websocket\r\nConnection: upgrade",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    "Connection: close", "Connection: keep-alive", "Connection: content-length", "Connection: transfer-encoding",
    "Connection: close, keep-alive", "Keep-Alive: timeout=1", "Proxy-Connection: keep-alive", "Trailer: Content-Length",
    "X-HTTP-Method-Override: GET", "Range: bytes=0-", "If-Match: *", "Max-Forwards: 0",
]  # fmt: skip


def corpus() -> Iterator[str]:
    post = f"POST /x HTTP/1.1\r\n{HOST}"
    for coding in CODINGS:
        line = f"Transfer-Encoding: {coding}\r\n"
        yield f"{post}{line}\r\n{HIDDEN}"
        yield f"{post}{line}Content-Length: 0\r\n\r\n{HIDDEN}"
        yield f"{post}Content-Length: {len(HIDDEN)}\r\n{line}\r\n{HIDDEN}"
    for name in CODING_NAMES:
        yield f"{post}{name}: chunked\r\n\r\n0\r\n\r\n"
        yield f"{post}Content-Length: 5\r\n{name}: chunked\r\n\r\n0\r\n\r\n"
    for length in LENGTHS:
        yield f"{post}Content-Length: {length}\r\n\r\n"
        yield f"{post}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    for name in LENGTH_NAMES:
        yield f"{post}{name}: {len(BEHIND)}\r\n\r\n"
    for chunks in CHUNKS:
        yield f"{post}Transfer-Encoding: chunked\r\n\r\n{chunks}"
    for start in STARTS:
        yield f"{start}\r\n{HOST}Content-Length: 0\r\n\r\n"
    for line in LINES:
        yield f"{post}Content-Length: 0\r\n{line}\r\n\r\n"
        yield f"POST /x HTTP/1.1\r\n{line}\r\n{HOST}Content-Length: 0\r\n\r\n"


# What we may be kinder to than h11 is, and a proxy in front of us may be as well: neither moves the end of a request.
KINDLY = [
    f"\r\nPOST /x HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n",  # RFC 9112, 2.2: empty lines before a request
    f"\nPOST /x HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n",
    f"\r\n\r\n\r\nPOST /x HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n",
    f"POST /x HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n",
    f"POST  /x HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n",  # RFC 9112, 3: words of the first line, further apart
    f"POST /x  HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n",
    f"POST /x HTTP/1.1\r\n{HOST}Content-Length: {'0' * 22}\r\n\r\n",
]

CASES = [(case + BEHIND).encode("latin-1" if case.isascii() or max(case) <= "\xff" else "utf-8") for case in corpus()]

# --- who reads it ----------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """A request that has come whole."""

    is_smuggled: bool
    body: bytes


def read_by_h11(data: bytes) -> list[Seen]:
    """What it finds, in its order, until it finds something that is no request."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    connection.receive_data(b"")
    seen: list[Seen] = []
    is_smuggled, body = False, b""
    try:
        while True:
            match connection.next_event():
                case h11.Request(target=target):
                    is_smuggled, body = target == b"/smuggled", b""
                case h11.Data(data=some):
                    body += bytes(some)
                case h11.EndOfMessage():
                    seen.append(Seen(is_smuggled, body))
                    _answer(connection)
                case _:
                    return seen
    except h11.RemoteProtocolError:
        return seen


def _answer(connection: h11.Connection) -> None:
    connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
        connection.start_next_cycle()


@dataclass
class Ours:
    server: Server
    seen: list[Seen]
    host: str
    port: int

    async def read(self, data: bytes) -> bytes:
        """What its client hears."""
        self.seen.clear()
        async with client(self) as one:
            with suppress(ConnectionError):
                await one.send(data)
                one.writer.write_eof()
            heard = await one.rest()
        await soon(lambda: not self.server.connections)
        return heard


@asynccontextmanager
async def ours() -> AsyncIterator[Ours]:
    seen: list[Seen] = []

    async def note(is_smuggled: bool, call: Call) -> Reply:
        seen.append(Seen(is_smuggled, await call.receive()))
        return Reply(200, [], b"")

    routes = [
        Route(ANY, path, "chat", partial(note, path == "/smuggled")) for path in ("/x", "/smuggled", "*", "//h/x")
    ]
    server = Server(routes, registry.dialect)
    await server.open(Address("127.0.0.1", 0))
    server.start()
    try:
        yield Ours(server, seen, *server.address[:2])
    finally:
        await server.close()


def statuses(heard: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", heard)]


def is_one_reading(seen: list[Seen], theirs: list[Seen], heard: bytes) -> bool:
    """Ours of theirs: all of it, or the beginning, and then a refusal that is the last word."""
    answers = statuses(heard)
    if answers[: len(seen)] != [200] * len(seen) or seen != theirs[: len(seen)]:
        return False
    return answers[len(seen) :] in ([400], [413]) if answers[len(seen) :] else len(seen) == len(theirs)


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(set(CASES)) >= 300


async def test_what_two_parsers_see_is_the_same_or_refused() -> None:
    split = []
    async with ours() as at:
        for data in CASES:
            heard, theirs = await at.read(data), read_by_h11(data)
            if not is_one_reading(at.seen, theirs, heard):
                split.append(f"{data!r}\n  h11 {theirs}\n  we {at.seen} {statuses(heard)}")
    assert not split, f"{len(split)} of {len(CASES)} are read in two ways\n" + "\n".join(split)


async def test_where_we_are_kinder_no_request_ends_elsewhere() -> None:
    async with ours() as at:
        for case in KINDLY:
            assert statuses(await at.read((case + BEHIND).encode())) == [200, 200]
            assert at.seen == [Seen(False, b""), Seen(True, b"")]
