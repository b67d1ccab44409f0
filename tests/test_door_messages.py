"""Does a client's connection carry what HTTP/1.1 says it may, and refuse what it may not?"""

import asyncio
import json
import logging
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import httptools
import pytest

from proxy.edge import door
from proxy.edge.inbound import BODY_AHEAD, Inbound
from proxy.edge.requests import HEAD_LIMIT, HEADERS_LIMIT, Malformed, Requests
from proxy.errors import GatewayError
from proxy.ports import Call, Reply
from tests.client import client
from tests.doorstep import (
    BODY,
    CHUNKED,
    CUT,
    ENDLESS,
    GARBAGE,
    GET,
    HOST,
    KEY,
    SMUGGLED,
    WHOLE,
    Ear,
    Gate,
    apart,
    check_refusal,
    echoing,
    ended,
    logged,
    naming,
    replying,
    serving,
)
from tests.test_server import MEGABYTE, Watched, saying
from tests.waiting import soon

# --- answers that come before the body has ---------------------------------------------------------------------------


async def test_the_short_rest_of_a_body_that_nobody_wants_costs_no_connection(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LINGER", 0.05)
    async with serving(replying(Reply(401, [], b"no"))) as at, client(at) as one:
        await one.send(WHOLE[:-3])
        got = await one.answer()
        assert (got.status, got.header("connection")) == (401, None)
        await ear.after(one, WHOLE[-3:])
        (here,) = at.doors
        waiting = here._deadline - asyncio.get_running_loop().time()
        assert waiting > 1  # seconds: from now on it is idle, and no more lingering
        await one.send(WHOLE)
        assert (await one.answer()).status == 401


async def test_a_rest_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER", 0.02)
    async with serving(replying(Reply(401, [], b"no"))) as at, client(at) as one:
        await one.send(WHOLE[:-3])
        assert (await one.answer()).status == 401
        assert await ended(one) == b""
        await at.left()


@pytest.mark.parametrize("head", ENDLESS.values(), ids=ENDLESS)
async def test_the_answer_to_a_body_that_is_too_long_can_be_read(head: bytes, ear: Ear) -> None:
    async with serving(replying(Reply(413, [], b"no" * 10_000))) as at, client(at) as one:
        await one.send(head)

        async def sending() -> None:
            with suppress(ConnectionError):
                while True:
                    await one.send(MEGABYTE)

        sends = asyncio.create_task(sending())
        await soon(lambda: ear.heard > 8 * len(MEGABYTE))  # long after the answer
        (got,) = apart(await ended(one))  # and the connection's end, and no reset
        assert (got.status, len(got.body), got.header("connection")) == (413, 20_000, "close")
        sends.cancel()
        with suppress(asyncio.CancelledError):
            await sends


async def test_who_goes_on_sending_for_ever_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER", 0.05)
    async with serving(replying(Reply(413, [], b"no"))) as at, client(at) as one:
        await one.send(ENDLESS["length"])
        with suppress(ConnectionError):
            while True:
                await one.send(MEGABYTE)
        await at.left()


async def test_what_nobody_asked_for_is_not_all_read(ear: Ear) -> None:
    gate = Gate()
    async with serving(gate) as at, client(at) as one:
        sending = asyncio.create_task(one.send(ENDLESS["length"] + MEGABYTE * 16))
        await soon(lambda: bool(at.doors) and at.doors[0]._reading_paused)
        heard = ear.heard
        assert heard <= BODY_AHEAD + 256 * 1024 + 100  # and one read
        one.reset()
        sending.cancel()
        gate.open.set()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sending


async def test_what_somebody_asks_for_late_is_read_to_its_end() -> None:
    body = b"x" * 8 * BODY_AHEAD
    gate = Gate()
    async with serving(gate) as at, client(at) as one:
        sending = asyncio.create_task(one.send(WHOLE.partition(b"14")[0] + b"%d\r\n\r\n" % len(body) + body))
        await soon(lambda: bool(at.doors) and at.doors[0]._reading_paused)
        gate.open.set()
        assert len((await one.answer()).body) == len(body) + 2
        await sending
        assert at.bodies == [body]


async def test_what_is_too_long_is_not_kept(ear: Ear) -> None:
    gate = Gate()

    async def dallying(call: Call) -> Reply:
        try:
            return await echoing(call)
        except GatewayError:
            await gate(call)
            raise

    async with serving(dallying) as at, client(at) as one:
        at.server.body_limit = 1000
        await ear.after(one, ENDLESS["chunks"] + b"x" * 2000, MEGABYTE)
        await soon(lambda: gate.reached == 1)
        await ear.after(one, MEGABYTE)
        inbound = at.doors[0]._inbound
        assert inbound is not None
        assert inbound._body == b""
        gate.then = naming
        one.reset()
        await at.left()


async def test_a_broken_rest_of_a_body_ends_the_connection(ear: Ear) -> None:
    async with serving(replying(Reply(200, [], b"early"))) as at, client(at) as one:
        await one.send(WHOLE[:-3])
        assert (await one.answer()).body == b"early"
        await one.send(WHOLE[-3:] + GARBAGE)
        (got,) = apart(await ended(one))
        assert got.status == 400
        assert len(at.calls) == 1


# --- Expect ----------------------------------------------------------------------------------------------------------

EXPECTING = WHOLE.replace(HOST, HOST + b"Expect: 100-Continue \r\n")


async def test_a_client_that_asks_first_is_told_to_go_on_and_the_connection_stays() -> None:
    async with serving() as at, client(at) as one:
        for _ in range(2):
            await one.send(EXPECTING.removesuffix(BODY))
            assert (await one.head()) == (100, [])
            await one.send(BODY)
            got = await one.answer()
            assert (got.status, got.header("connection")) == (200, None)
        assert at.bodies == [BODY, BODY]


async def test_a_client_that_does_not_wait_is_not_told() -> None:
    async with serving() as at, client(at) as one:
        await one.send(EXPECTING + EXPECTING)
        got = [await one.answer() for _ in range(2)]
        assert [(one.status, one.header("connection")) for one in got] == [(200, None)] * 2
        assert len(at.bodies) == 2


async def test_a_client_that_is_refused_when_it_asks_need_not_send_its_body() -> None:
    async with serving(replying(Reply(401, [], b"no"))) as at, client(at) as one:
        await one.send(EXPECTING.removesuffix(BODY))
        got = await one.answer()
        assert (got.status, got.header("connection")) == (401, "close")  # what comes next: a body, or a request?
        await one.send(SMUGGLED)
        assert await ended(one) == b""
        assert len(at.calls) == 1


async def test_http_1_0_knows_no_interim_answers(ear: Ear) -> None:
    request = EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0")
    async with serving() as at, client(at) as one:
        await ear.after(one, request.removesuffix(BODY), BODY)
        assert (await one.head())[0] == 200
        assert at.bodies == [BODY]


# --- versions, methods, targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stays", [False, True])
async def test_http_1_0_stays_where_it_asks_to(stays: bool) -> None:
    request = WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0").replace(HOST, b"Connection: keep-alive\r\n" if stays else b"")
    async with serving() as at, client(at) as one:
        await one.send(request)
        got = await one.answer()
        assert (got.body, got.header("connection")) == (b"<" + BODY + b">", "keep-alive" if stays else "close")
        if stays:
            await one.send(request)
            assert (await one.answer()).status == 200
        else:
            assert await ended(one) == b""
        assert len(at.calls) == 1 + stays


@pytest.mark.parametrize("ping", [None, b"PING\n"], ids=["live", "frames"])
async def test_a_stream_over_http_1_0_ends_with_its_connection(ping: bytes | None) -> None:
    request = GET.replace(b"HTTP/1.1", b"HTTP/1.0").replace(HOST, b"Connection: keep-alive\r\n")
    async with serving(replying(Watched(saying(b"a\n", b"b\n"), ping=ping).reply)) as at, client(at) as one:
        await one.send(request)
        _, headers = await one.head()
        assert {name.lower(): value for name, value in headers}["connection"] == "close"
        assert await ended(one) == b"a\nb\n"
        await at.left()


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_an_answer_that_may_have_no_body_has_none(method: bytes, status: int, live: bool) -> None:
    watched = Watched(saying(b"no") if live else b"no")
    watched.reply.status = status
    async with serving(replying(watched.reply, Reply(200, [], b"next"))) as at, client(at) as one:
        await one.send(GET.replace(b"GET", method, 1) + GET)
        got = await one.answer(bodiless=True)
        assert got.status == status
        assert got.header("content-length") == (None if live or status != 200 else "2")
        assert got.header("transfer-encoding") is None
        assert (await one.answer()).body == b"next"
        assert await watched.end() is None
        assert watched.aborted == live
        assert len(at.calls) == 2


async def test_blanks_around_a_value_are_no_part_of_it() -> None:
    """RFC 9112, 5: llhttp leaves those behind it."""
    lines = b"Host: \t h\t \r\nX-A:  a b \t\r\nX-A: c\t\r\nX-Last: d \r\n"
    async with serving() as at, client(at) as one:
        await one.send(b"GET /x HTTP/1.1\r\n" + lines + b"\r\n")
        assert (await one.answer()).status == 200
        assert at.calls[0].headers == {"host": "h", "x-a": "a b, c", "x-last": "d"}


async def test_the_host_of_an_absolute_target_is_the_one_that_counts() -> None:
    async with serving(naming) as at, client(at) as one:
        await one.send(b"GET http://user@there:80/x?q=%25 HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await one.answer()).body == b"q=%25"
        assert at.calls[0].headers["host"] == "there:80"


@pytest.mark.parametrize("target", [b"*", b"http://h", b"/%ff%00", b"/x//", b"///x", b"/x#f", b"/%78%2f.."])
async def test_a_target_that_leads_nowhere_is_a_404(target: bytes) -> None:
    async with serving() as at, client(at) as one:
        for _ in range(2):
            await one.send(b"OPTIONS " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            got = await one.answer()
            assert (got.status, json.loads(got.body)["error"]["code"]) == (404, "unknown_url")
        assert at.calls == []


async def test_a_long_url_is_taken() -> None:
    query = b"q=" + b"x" * 60 * 1024
    async with serving(naming) as at, client(at) as one:
        await one.send(b"GET /x?" + query + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await one.answer()).body == query
        assert len(at.calls) == 1


WISHES = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    b"upgrade: websocket\r\nconnection: upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
]


@pytest.mark.parametrize("wish", WISHES, ids=["h2c", "websocket"])
@pytest.mark.parametrize("request_", [WHOLE, CHUNKED], ids=["length", "chunks"])
async def test_a_request_that_would_change_protocols_is_served_in_this_one(
    wish: bytes, request_: bytes, ear: Ear
) -> None:
    wishing = request_.replace(HOST, HOST + wish)
    async with serving() as at, client(at) as one:
        await one.send(wishing + WHOLE)
        assert [(await one.answer()).body for _ in range(2)] == [b"<" + BODY + b">"] * 2
        for cut in range(1, len(wishing), 3):
            await ear.after(one, wishing[:cut], wishing[cut:])
            got = await one.answer()
            assert (got.status, got.body, got.header("connection")) == (200, b"<" + BODY + b">", None)
        assert set(at.bodies) == {BODY}
        assert f"upgrade: {at.calls[0].headers['upgrade']}\r\n" in wish.decode().lower()


@pytest.mark.parametrize("option", [b"close", b"keep-alive"])
async def test_a_wish_for_another_protocol_does_not_hide_what_else_the_connection_is_told(option: bytes) -> None:
    wish = b"Upgrade: h2c\r\nConnection: " + option + b"\r\nConnection: upgrade\r\n"
    async with serving() as at, client(at) as one:
        await one.send(WHOLE.replace(HOST, HOST + wish) + GET)
        got = [await one.answer() for _ in range(1 if option == b"close" else 2)]
        assert (got[-1].header("connection") == "close") == (option == b"close")
        assert len(at.calls) == len(got)


async def test_wishes_do_not_come_in_pipelines() -> None:
    wishing = GET.replace(HOST, HOST + WISHES[0])
    async with serving() as at, client(at) as one:
        await one.send(wishing * 1000)
        got = apart(await ended(one))
    assert [one.status for one in got] == [200, 400]
    assert len(at.calls) == 1


# --- heads -----------------------------------------------------------------------------------------------------------


async def test_a_header_that_comes_twice_is_one_header() -> None:
    async with serving() as at, client(at) as one:
        await one.send(GET[:-2] + b"X-A: 1\r\nx-b:\t3  \r\nx-a: \xff\r\nX-C:\r\n\r\n")
        assert (await one.answer()).status == 200
        headers = at.calls[0].headers
        assert (headers["x-a"], headers["x-b"].strip(), headers["x-c"]) == ("1, \udcff", "3", "")


@pytest.mark.parametrize("lines", [HEADERS_LIMIT - 1, HEADERS_LIMIT, 50_000])
@pytest.mark.parametrize("name", [b"a%d", b"a"], ids=["names", "one name"])
async def test_a_head_has_so_many_lines(
    name: bytes, lines: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    more = b"".join((name % number if b"%" in name else name) + b":\r\n" for number in range(lines))
    async with serving() as at, client(at) as one:
        refuse, refused = at.server.refuse, []

        def noting(malformed: Malformed) -> bytes:
            refused.append(malformed)
            return refuse(malformed)

        monkeypatch.setattr(at.server, "refuse", noting)
        await one.send(GET[:-2] + more + b"\r\n")
        got = await one.answer()
        if lines < HEADERS_LIMIT:  # with Host
            assert got.status == 200
        else:
            check_refusal(got, logged(caplog), 431)
            assert at.calls == []
            (malformed,) = refused
            assert (
                sum(map(len, [*malformed.headers, *malformed.headers.values()])) < 8 * lines
            )  # and no joined megabytes
            assert len(malformed.headers) <= HEADERS_LIMIT


LONG = HEAD_LIMIT - 4096


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_a_head_up_to_the_limit_is_taken_however_it_comes(pieces: int, ear: Ear) -> None:
    head = GET[:-2] + b"X-Long: " + b"x" * LONG + b"\r\n\r\n"
    size = len(head) // pieces + 1
    async with serving() as at, client(at) as one:
        for _ in range(2):
            await ear.after(one, *(head[at : at + size] for at in range(0, len(head), size)))
            assert (await one.answer()).status == 200
        assert len(at.calls[0].headers["x-long"]) == LONG


@pytest.mark.parametrize("head", [b"GET /x?%b HTTP/1.1\r\n\r\n", CUT + b"%b\r\n\r\n"], ids=["target", "value"])
async def test_a_head_over_the_limit_is_refused_though_it_came_whole(
    head: bytes, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving() as at, client(at) as one:
        await ear.after(one, WHOLE[:-3], WHOLE[-3:] + head % (b"x" * HEAD_LIMIT) + SMUGGLED)
        assert (await one.answer()).status == 200
        (got,) = apart(await ended(one))
    check_refusal(got, logged(caplog), 431)
    assert len(at.calls) == 1


@pytest.mark.parametrize("start", [b"GET /", CUT, GET[:-2] + b"X: y\r\n" * 100], ids=["target", "value", "lines"])
@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_head_over_the_limit_is_refused(
    start: bytes, pieces: int, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving() as at, client(at) as one:
        await one.send(start)
        for _ in range(pieces):  # without end
            await one.send(b"x" * (HEAD_LIMIT // pieces + 1))
        await one.send(b"x")
        got = await one.answer()
        check_refusal(got, logged(caplog), 431)
        assert await ended(one) == b""
    assert KEY not in caplog.text
    assert at.calls == []


async def test_a_head_over_the_limit_is_refused_though_it_began_behind_another_request(
    ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    head = CUT + b"x" * HEAD_LIMIT + b"\r\n\r\n"
    async with serving() as at, client(at) as one:
        await ear.after(one, WHOLE + head[: HEAD_LIMIT // 2], head[HEAD_LIMIT // 2 :])
        done, refused = apart(await ended(one))
    assert done.status == 200
    check_refusal(refused, logged(caplog), 431)
    assert len(at.calls) == 1


async def test_a_refusal_can_be_read_while_the_client_is_still_sending() -> None:
    async with serving() as at, client(at) as one:
        sending = asyncio.create_task(one.send(CUT + b"x" * 32 * len(MEGABYTE)))
        (got,) = apart(await ended(one))
        assert got.status == 431
        sending.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sending
        assert at.calls == []


# --- what is no HTTP -------------------------------------------------------------------------------------------------

SECRET = b"X-Key: " + KEY.encode() + b"\r\n"
CHUNKS = b"POST /x HTTP/1.1\r\n" + HOST + SECRET + b"Transfer-Encoding: %b\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
SIZED = b"POST /x HTTP/1.1\r\n" + HOST + SECRET + b"Content-Length: %b\r\n\r\n{}"

NO_HTTP = {
    "key for a method": KEY.encode() + b" / HTTP/1.1\r\n\r\n",
    "key in a name": GET[:-2] + KEY.encode() + b" x: y\r\n\r\n",
    "key before a NUL": GET[:-2] + SECRET[:-2] + b"\0\r\n\r\n",
    "method in lower case": b"get /x HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "method unknown": b"FOO /x HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "HTTP/0.9": b"GET /x\r\n" + SECRET + b"\r\n",
    "HTTP/0.9 by name": b"GET /x HTTP/0.9\r\n" + HOST + SECRET + b"\r\n",
    "HTTP/1.2": b"GET /x HTTP/1.2\r\n" + HOST + SECRET + b"\r\n",
    "HTTP/2.0": b"GET /x HTTP/2.0\r\n" + HOST + SECRET + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECRET,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET,
    "no Host": b"GET /x HTTP/1.1\r\n" + SECRET + b"\r\n",
    "Host twice": b"GET /x HTTP/1.1\r\n" + HOST + HOST + SECRET + b"\r\n",
    "Host twice, of HTTP/1.0": b"GET /x HTTP/1.0\r\n" + HOST + b"host: i\r\n" + SECRET + b"\r\n",
    "CONNECT": b"CONNECT h:443 HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "CONNECT with a key": b"CONNECT " + KEY.encode() + b"@h:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT to a path": b"CONNECT /x HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "CONNECT with a wish": b"CONNECT h:443 HTTP/1.1\r\n" + HOST + SECRET + b"Upgrade: h2c\r\n\r\n",
    "target without a slash": b"GET x HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "target no URL": b"GET http://[" + KEY.encode() + b"/x HTTP/1.1\r\n" + HOST + b"\r\n",
    "target with a space": b"GET /x y HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "target not ASCII": b"GET /x\xff HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "bare LF": GET.replace(b"\r\n", b"\n") + SECRET,
    "bare LF in the head": GET[:-2] + SECRET[:-2] + b"\n\r\n",
    "bare CR": GET[:-2] + SECRET[:-2] + b"\rX: y\r\n\r\n",
    "CR at the end of the head": GET[:-2] + SECRET + b"\rX",
    "obs-fold": GET[:-2] + SECRET + b" folded\r\n\r\n",
    "obs-fold at the start": GET.replace(HOST, b" " + HOST + SECRET),
    "space before the colon": GET[:-2] + SECRET.replace(b":", b" :") + b"\r\n",
    "no colon": GET[:-2] + SECRET.replace(b":", b"") + b"\r\n",
    "no name": GET[:-2] + SECRET.replace(b"X-Key", b"") + b"\r\n",
    "control in a value": GET[:-2] + SECRET.replace(b"sk", b"\x01") + SECRET + b"\r\n",
    "both lengths": CHUNKS.replace(SECRET, SECRET + b"Content-Length: 2\r\n") % b"chunked",
    "both lengths, the other way": CHUNKS.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n", 1) % b"chunked",
    "two lengths": SIZED % b"2\r\nContent-Length: 2",
    "a list of lengths": SIZED % b"2, 2",
    "length below zero": SIZED % b"-2",
    "length with a sign": SIZED % b"+2",
    "length in hexadecimal": SIZED % b"0x2",
    "length in other digits": SIZED % "٢".encode(),
    "length empty": SIZED % b"",
    "length without end": SIZED % (b"9" * 30),
    "chunked, identity": CHUNKS % b"chunked, identity",
    "chunked twice": CHUNKS % b"chunked, chunked",
    "chunked on two lines": CHUNKS % b"chunked\r\nTransfer-Encoding: chunked",
    "identity": CHUNKS % b"identity",
    "identity, then chunked": CHUNKS % b"identity\r\nTransfer-Encoding: chunked",
    "gzip": CHUNKS % b"gzip",
    "gzip, chunked": CHUNKS % b"gzip, chunked",
    "xchunked": CHUNKS % b"xchunked",
    "chunked of HTTP/1.0": CHUNKS.replace(b"HTTP/1.1", b"HTTP/1.0") % b"chunked",
    "coding behind a space": CHUNKS.replace(b"Encoding:", b"Encoding :") % b"chunked",
    "coding behind a control": CHUNKS % b"\x0bchunked",
}


@pytest.mark.parametrize("behind", [b"", SMUGGLED], ids=["alone", "smuggling"])
@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_is_refused_in_our_words(
    data: bytes, behind: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as at, client(at) as one:
        await one.send(data + behind)
        raw = await ended(one)
        (got,) = apart(raw)
        await at.left()
    check_refusal(got, logged(caplog))
    assert at.calls == []
    assert KEY.encode() not in raw
    assert KEY not in caplog.text


def test_a_bug_of_ours_is_not_told_to_be_the_clients_fault() -> None:
    rejected: list[Malformed] = []

    def broken(inbound: Inbound) -> None:
        raise RuntimeError("a bug")

    requests = Requests(cast(Any, SimpleNamespace(take=broken, reject=rejected.append, answering=None)))
    with pytest.raises(httptools.HttpParserCallbackError) as caught:
        requests.feed(GET)
    assert (str(caught.value.__context__), rejected) == ("a bug", [])


@pytest.mark.parametrize("name", ["key in a name", "both lengths", "chunked twice", "HTTP/2 preface", "CONNECT"])
async def test_what_is_no_http_is_refused_byte_by_byte_as_well(name: str, ear: Ear) -> None:
    data = NO_HTTP[name] + SMUGGLED
    async with serving() as at, client(at) as one:
        await ear.after(one, *(data[at : at + 1] for at in range(len(data))))
        (got,) = apart(await ended(one))
        assert got.status == 400
        assert at.calls == []


BROKEN = {
    "size": b"zz\r\n",
    "size below zero": b"-1\r\n",
    "size with a prefix": b"0x2\r\n{}\r\n",
    "size without end": b"f" * 17 + b"\r\n",
    "space behind the size": b"2 \r\n{}\r\n",
    "LF behind the size": b"2\n{}\r\n",
    "LF in an extension": b"2;a\nb\r\n{}\r\n",
    "chunk too long": b"2\r\n{}x\r\n",
    "chunk too short": b"3\r\n{}\r\n",
    "LF behind a chunk": b"2\r\n{}\n0\r\n\r\n",
    "length in a trailer": b"2\r\n{}\r\n0\r\nContent-Length: 2\r\n\r\n",
    "coding in a trailer": b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "NUL in a trailer": b"2\r\n{}\r\n0\r\nX: \0\r\n\r\n",
    "extension of a megabyte": b"2;" + b"x" * 1024 * 1024 + b"\r\n{}\r\n0\r\n\r\n",
    "trailer without end": b"2\r\n{}\r\n0\r\nX: " + b"x" * 1024 * 1024,
    "trailers without end": b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 200_000,
}


@pytest.mark.parametrize("chunks", BROKEN.values(), ids=BROKEN)
async def test_a_body_that_breaks_is_refused_by_whoever_reads_it(
    chunks: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as at, client(at) as one:
        head = CHUNKED.partition(b"6;")[0].replace(HOST, HOST + SECRET)
        sending = asyncio.create_task(one.send(head + chunks + SMUGGLED))
        raw = await ended(one)
        (got,) = apart(raw)
        sending.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sending
    assert (got.status, got.header("connection")) == (400, "close")
    assert logged(caplog) == []  # its line is a middleware's, and here is none
    assert KEY not in caplog.text
    assert KEY.encode() not in raw
    assert [call.headers["host"] for call in at.calls] == ["h"]
    assert at.bodies == []


async def test_extensions_and_trailers_within_reason_are_read_over() -> None:
    chunks = b"6;" + b"x" * 1024 + b"\r\n" + BODY[:6] + b'\r\n8;a="b;c"\r\n' + BODY[6:] + b"\r\n0\r\n" + b"X: y\r\n" * 9
    async with serving() as at, client(at) as one:
        await one.send(CHUNKED.partition(b"6;")[0] + chunks + b"\r\n" + GET)
        assert [(await one.answer()).body for _ in range(2)] == [b"<" + BODY + b">", b"<>"]
        assert "x" not in at.calls[0].headers
