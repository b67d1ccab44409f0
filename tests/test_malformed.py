"""Is an answer that is bad HTTP an error on the client's own wire, and its connection never used again? (U7)

Over real connections and through the whole of pillion: before the first word and behind it, streamed and whole. What
comes behind an answer that is whole is nobody's.
"""

import asyncio
import json
import re

import pytest

from tests.client import OPENAI, SPEECHES, Got, Speech, chat, lane_name
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion

WHOLE = OPENAI.whole
BEGUN = b"".join(event + b"\n\n" for event in OPENAI.stream.split(b"\n\n")[:3])
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(WHOLE)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GOOD = OK + LENGTH + b"\r\n" + WHOLE
SHORT = {f"PILLION_OPENAI_TIMERS_{name}": "0.3" for name in ("HEADERS", "FIRST_EVENT", "IDLE", "TOTAL")}


def chunk(data: bytes = WHOLE) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# By what is wrong with it.
REFUSED: dict[str, bytes] = {
    "a length that is too short": OK + b"Content-Length: %d\r\n\r\n" % (len(WHOLE) - 4) + WHOLE,
    "two lengths": OK + LENGTH + b"Content-Length: 3\r\n\r\n" + WHOLE,
    "one length twice": OK + LENGTH * 2 + b"\r\n" + WHOLE,
    "a length with a sign": OK + b"Content-Length: +%d\r\n\r\n" % len(WHOLE) + WHOLE,
    "a length and chunks": OK + LENGTH + CHUNKED + b"\r\n" + chunk() + b"0\r\n\r\n",
    "chunks and a length": OK + CHUNKED + LENGTH + b"\r\n" + chunk() + b"0\r\n\r\n",
    "NUL in a value": OK + b"X: a\0b\r\n" + LENGTH + b"\r\n" + WHOLE,
    "NUL in a name": OK + b"X\0: a\r\n" + LENGTH + b"\r\n" + WHOLE,
    "bare LF everywhere": (OK + LENGTH).replace(b"\r\n", b"\n") + b"\n" + WHOLE,
    "bare LF behind a header": OK + b"X: a\n" + LENGTH + b"\r\n" + WHOLE,
    "bare LF behind the head": OK + LENGTH + b"\n" + WHOLE,
    "bare LF behind a chunk": OK + CHUNKED + b"\r\n" + chunk().replace(b"\r\n", b"\n") + b"0\r\n\r\n",
    "bare CR": OK + b"X: a\rY: b\r\n" + LENGTH + b"\r\n" + WHOLE,
    "HTTP/0.9": WHOLE,
    "HTTP/9.9": GOOD.replace(b"HTTP/1.1", b"HTTP/9.9"),
    "no status": GOOD.replace(b" 200 OK", b""),
    "a status of four digits": GOOD.replace(b" 200 ", b" 2000 "),
    "two status lines": b"HTTP/1.1 200 OK\r\n" + GOOD,
    "a header that goes on in the next line": OK + b"X: a\r\n b\r\n" + LENGTH + b"\r\n" + WHOLE,
    "a header without a colon": OK + b"nonsense\r\n" + LENGTH + b"\r\n" + WHOLE,
    "a blank before the colon": OK + b"Content-Length : %d\r\n\r\n" % len(WHOLE) + WHOLE,
    "a body on 204": GOOD.replace(b" 200 ", b" 204 "),
    "a body on 304": GOOD.replace(b" 200 ", b" 304 "),
    "101": b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "101 and an answer": b"HTTP/1.1 101 Up\r\n\r\n" + GOOD,
    "a body on an interim answer": b"HTTP/1.1 104 Upload\r\nContent-Length: 5\r\n\r\nhello" + GOOD,
    "a chunk of 2^68 bytes": OK + CHUNKED + b"\r\nfffffffffffffffff\r\n" + WHOLE,
    "a chunk of less than none": OK + CHUNKED + b"\r\n-1\r\n" + WHOLE,
    "a chunk without its end": OK + CHUNKED + b"\r\n" + chunk()[:-2] + b"0\r\n\r\n",
    "a trailer that is none": OK + CHUNKED + b"\r\n" + chunk() + b"0\r\nnonsense\r\n\r\n",
}
LATE: dict[str, bytes] = {
    "a length that is too long": OK + b"Content-Length: %d\r\n\r\n" % (len(WHOLE) + 4) + WHOLE,
    "a chunk that never ends": OK + CHUNKED + b"\r\nffffffff\r\n" + WHOLE,
    "a coding that is none": OK + b"Transfer-Encoding: xchunked\r\n\r\n" + chunk() + b"0\r\n\r\n",
    "neither length nor chunks": OK + b"\r\n" + WHOLE,
}
GIVEN: dict[str, bytes] = {
    "bytes behind the answer": GOOD + b"and more",
    "an answer behind the answer": GOOD + GOOD.replace("Grüße".encode(), b"Other"),
    "an answer behind the last chunk": OK + CHUNKED + b"\r\n" + chunk() + b"0\r\n\r\n" + GOOD,
}
# Behind the first words of a stream.
BROKEN: dict[str, bytes] = {
    "a chunk of no size": b"nonsense\r\n",
    "a chunk of less than none": b"-1\r\n",
    "a chunk without its end": chunk(b": x\n\n")[:-2] + b"nonsense\r\n\r\n",
    "another answer": GOOD,
    "NUL": b"\0\0\0\0",
}


def answering(request: Received) -> Scenario:
    """As its words have it; who asks for nothing wrong gets an answer."""
    found = re.search(rb"send (\w+): ([^\"]+)", request.body)
    if found is None:
        return Scenario(body=WHOLE, headers=[("Content-Type", "application/json")])
    what = found[2].decode()
    if found[1] == b"BROKEN":
        return Scenario(raw=SSE + chunk(BEGUN) + BROKEN[what], split=[len(SSE + chunk(BEGUN))], gap=0.01)
    return Scenario(raw={"REFUSED": REFUSED, "LATE": LATE, "GIVEN": GIVEN}[found[1].decode()][what])


async def asked(speech: Speech, stream: bool, kind: str, what: str) -> Got:
    """The answer. Whoever asks next has a connection of its own."""
    async with Evil(answering=answering) as evil, pillion(**OPENAI.environ(evil.url), **SHORT) as gateway:
        said = [{"role": "user", "content": f"send {kind}: {what}"}]
        got = await chat(gateway, speech, speech.request(stream, "openai/m", messages=said))
        then = await chat(gateway, speech, speech.request(False, "openai/m"))
        assert (then.status, then.whole, "Grüße" in then.body.decode()) == (200, True, True)
        assert [request.connection for request in evil.requests] == [0, 1]
        return got


every_client = pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
streamed_and_whole = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.mark.parametrize("what", REFUSED)
@streamed_and_whole
@every_client
async def test_what_is_bad_http_is_a_502(speech: Speech, stream: bool, what: str) -> None:
    got = await asked(speech, stream, "REFUSED", what)
    assert (got.status, got.whole) == (502, True)
    speech.error(got.body)


@pytest.mark.parametrize("what", LATE)
@streamed_and_whole
@every_client
async def test_what_has_no_end_is_a_504(speech: Speech, stream: bool, what: str) -> None:
    got = await asked(speech, stream, "LATE", what)
    assert (got.status, got.whole) == (504, True)
    speech.error(got.body)


@pytest.mark.parametrize("what", GIVEN)
@streamed_and_whole
@every_client
async def test_what_comes_behind_an_answer_is_nobodys(speech: Speech, stream: bool, what: str) -> None:
    got = await asked(speech, stream, "GIVEN", what)
    assert (got.status, got.whole) == (200, True)
    assert b"Other" not in got.body
    assert speech.ends_whole(got.body) if stream else json.loads(got.body)


@pytest.mark.parametrize("what", BROKEN)
@every_client
async def test_what_is_bad_http_behind_the_first_words_ends_in_an_error_event(speech: Speech, what: str) -> None:
    got = await asked(speech, True, "BROKEN", what)
    assert (got.status, got.whole, speech.ends_whole(got.body)) == (200, False, False)
    speech.error(speech.last_event(got.body))


@every_client
async def test_a_stream_that_ends_with_its_tls_connection_and_no_farewell_is_not_whole(speech: Speech) -> None:
    """Where the head gives no length, HTTP takes a cut for an end; its wire's own end is missing all the same."""
    cut = Scenario(body=BEGUN, headers=[("Content-Type", "text/event-stream")], framing="eof", then="stall")
    async with Evil(cut, tls=True) as evil:
        environ = {**OPENAI.environ(evil.url), "PILLION_OPENAI_CA": str(evil.ca_pem)}
        async with pillion(**environ) as gateway:
            asking = asyncio.create_task(chat(gateway, speech, speech.request(True, "openai/m")))
            await evil.pushed_all()
            evil.hang_up(0, "fin")
            got = await asking
    assert (got.status, got.whole, speech.ends_whole(got.body)) == (200, False, False)
    speech.error(speech.last_event(got.body))
