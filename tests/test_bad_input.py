"""What does a client get whose request cannot be served: the right status, on its own wire, and a connection that is
usable afterwards or properly closed?
"""

import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.client import OPENAI, SPEECHES, Client, Got, Headers, Speech, client, lane_name, spell
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, config_file, pillion, registry
from tests.nested import TOO_DEEP
from tests.waiting import soon

DEEP = b'{"a":' * 90_000
LISTS = b"[" * TOO_DEEP + b"]" * TOO_DEEP
TEXT = '{"role":"user","content":"x"}'

both_wires = pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)


@asynccontextmanager
async def gateway_and_client(**environ: str) -> AsyncIterator[tuple[Gateway, Client]]:
    async with pillion(**environ) as gateway, client(gateway) as one:
        yield gateway, one


def check(got: Got, speech: Speech, status: int, code: str = "") -> str:
    """The message of an error that is what every error must be."""
    assert got.status == status, got.body
    assert got.whole
    assert got.header("content-type") == "application/json"
    assert (got.header("x-pillion-request-id") or "").startswith("req_")
    assert (got.header("x-request-id") or "").startswith("req_")
    assert got.header("x-request-id") == got.header("request-id")
    error = speech.error(got.body)
    assert b"Traceback" not in got.body
    assert b".py" not in got.body
    if code and speech is OPENAI:
        assert error["code"] == code
    message: str = error["message"]
    return message


async def usable(one: Client, got: Got, speech: Speech) -> None:
    """The connection serves the next request, or was closed in good order after its answer."""
    if (got.header("connection") or "").lower() == "close":
        assert await one.rest() == b""
        return
    await one.send(spell("POST", speech.path, speech.request(model="echo/text"), speech.headers))
    assert (await one.answer()).status == 200


# --- bodies ----------------------------------------------------------------------------------------------------------

BODIES = [
    (b"", "invalid_json", "not valid JSON"),
    (b" ", "invalid_json", "not valid JSON"),
    (b"{", "invalid_json", "not valid JSON"),
    (b'{"model":"echo/text"', "invalid_json", "not valid JSON"),
    (b'{"model":"echo/text",}', "invalid_json", "not valid JSON"),
    (b"{'model':'echo/text'}", "invalid_json", "not valid JSON"),
    (b'{"model":"echo/text"} x', "invalid_json", "not valid JSON"),
    (b'{"model":"echo/text"}{}', "invalid_json", "not valid JSON"),
    (b'\xef\xbb\xbf{"model":"echo/text"}', "invalid_json", "not valid JSON"),
    ('{"model":"echo/text"}'.encode("utf-16"), "invalid_json", "not valid JSON"),
    (b'{"model":"\xff"}', "invalid_json", "The request body is not UTF-8 (byte 10)."),
    (b'{"model":"m","stream":"\xff"}', "invalid_json", "The request body is not UTF-8 (byte 23)."),
    (b'{"model":"m","\xff":1}', "invalid_json", "The request body is not UTF-8 (byte 14)."),
    (b'{"model":"m","nobody":["reads \xc3\xa9, \xff"]}', "invalid_json", "The request body is not UTF-8 (byte 34)."),
    (b'{"model":NaN}', "invalid_json", "not valid JSON"),
    (b"<html>", "invalid_json", "not valid JSON"),
    (b"[]", "invalid_json", "must be a JSON object"),
    (b"null", "invalid_json", "must be a JSON object"),
    (b'"model"', "invalid_json", "must be a JSON object"),
    (b"1", "invalid_json", "must be a JSON object"),
    (b'{"model":"echo/text","model":"echo/think"}', "duplicate_key", "same key twice"),
    (b'{"model":"echo/text","mod\\u0065l":"echo/think"}', "duplicate_key", "same key twice"),
    (b'{"a":1,"a":1,"model":"echo/text"}', "duplicate_key", "same key twice"),
    (DEEP, "invalid_json", ""),
    (b'{"model":' + LISTS + b"}", "invalid_json", "nested too deeply"),
    (b'{"model":"echo/text","messages":' + LISTS + b"}", "invalid_json", "nested too deeply"),
]


@pytest.mark.parametrize(("body", "code", "said"), BODIES, ids=lambda value: ascii(value)[:50])
@both_wires
async def test_a_body_that_is_no_request_is_a_400(speech: Speech, body: bytes, code: str, said: str) -> None:
    async with gateway_and_client() as (_, one):
        await one.send(spell("POST", speech.path, body, speech.headers))
        got = await one.answer()
        assert said in check(got, speech, 400, code)
        await usable(one, got, speech)


FIELDS = ["{}", '{"model":null}', '{"model":1}', '{"model":{}}', '{"model":["m"]}', '{"model":""}', '{"model":true}']


@pytest.mark.parametrize("body", FIELDS)
@both_wires
async def test_a_model_that_is_no_name_is_told_so(speech: Speech, body: str) -> None:
    async with gateway_and_client() as (_, one):
        await one.send(spell("POST", speech.path, body.encode(), speech.headers))
        assert "model" in check(await one.answer(), speech, 400)


@pytest.mark.parametrize("stream", ['"yes"', "1", "{}", "[true]", "0"])
@both_wires
async def test_a_stream_that_is_no_boolean_is_told_so(speech: Speech, stream: str) -> None:
    async with gateway_and_client() as (_, one):
        body = f'{{"model":"echo/text","messages":[{TEXT}],"max_tokens":1,"stream":{stream}}}'
        await one.send(spell("POST", speech.path, body.encode(), speech.headers))
        assert "stream" in check(await one.answer(), speech, 400)


ANYTHING: Sequence[object] = [None, True, 7, 1.5, "x", [], {}, [None], [7], ["x"], [[]], [{}], {"a": 1}]


@pytest.mark.parametrize("value", ANYTHING, ids=json.dumps)
@pytest.mark.parametrize("key", ["messages", "tools", "tool_choice", "max_tokens", "temperature", "stop", "system"])
@both_wires
async def test_any_json_in_any_field_is_served_or_refused_by_name(speech: Speech, key: str, value: object) -> None:
    other = next(one for one in SPEECHES if one is not speech)  # so that the request is read, and not passed through
    answer = Scenario(body=other.whole, headers=[("Content-Type", "application/json")])
    body = json.dumps(json.loads(speech.request(model=f"{other.provider}/m")) | {key: value}).encode()
    async with Evil(answering=lambda _: answer) as evil:
        async with pillion(**other.environ(evil.url)) as gateway, client(gateway) as one:
            await one.send(spell("POST", speech.path, body, speech.headers))
            got = await one.answer()
            await usable(one, got, speech)
        if got.status != 200:
            assert key in check(got, speech, 400)
            assert evil.requests == []


# --- heads -----------------------------------------------------------------------------------------------------------


@both_wires
async def test_an_unknown_model_is_a_404_that_lists_what_there_is(speech: Speech) -> None:
    nobody = {"OPENAI_API_KEY": "x", "PILLION_OPENAI_BASE_URL": "http://127.0.0.1:1"}
    async with pillion(**nobody) as gateway, client(gateway) as one:
        body = speech.request(model="anthropic/claude-x")
        await one.send(spell("POST", speech.path, body, speech.headers))
        got = await one.answer()
        message = check(got, speech, 404, "model_not_found")
        assert "ANTHROPIC_API_KEY" in message
        assert "Providers: openai (could not be asked), echo" in message


@pytest.mark.parametrize("model", [".", ".."])
@pytest.mark.parametrize(
    ("provider", "row"),
    [
        ("azure", "{api_version: '2024-10-21', api_key: k, base_url: %s}"),
        ("bedrock", "{location: us-east-1, api_key: k, base_url: %s}"),
        ("invoke", "{kind: bedrock, dialects: [bedrock_invoke], location: us-east-1, api_key: k, base_url: %s}"),
    ],
)
async def test_a_model_of_dots_does_not_lead_out_of_the_path_of_models(
    provider: str, row: str, model: str, tmp_path: Path
) -> None:
    async with Evil() as evil:
        environ = config_file(f"providers: {{{provider}: {row % evil.url}}}", tmp_path)
        async with gateway_and_client(**environ) as (_, one):
            await one.send(spell("POST", OPENAI.path, OPENAI.request(model=f"{provider}/{model}"), OPENAI.headers))
            message = check(await one.answer(), OPENAI, 400)
            assert f"model: '{model}' cannot be a model's name" in message
            assert not evil.requests


@both_wires
async def test_an_unknown_route_is_a_404(speech: Speech) -> None:
    async with gateway_and_client() as (_, one):
        for method in ("GET", "POST"):
            await one.send(spell(method, "/v1/nonsense", b"", speech.headers))
            got = await one.answer()
            assert "/v1/nonsense" in check(got, speech, 404, "unknown_url")
            await usable(one, got, speech)


UPGRADE = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "x")]


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/openai/v1/responses", "/openai/responses"])
async def test_a_websocket_is_a_426_and_the_connection_serves_on(path: str) -> None:
    """Codex tries one first, and goes on over HTTP at this status alone."""
    async with gateway_and_client() as (_, one):
        await one.send(spell("GET", path, b"", UPGRADE))
        got = await one.answer()
        assert (got.status, json.loads(got.body)["error"]["code"]) == (426, "websocket_not_supported")
        await one.send(spell("GET", path))
        assert (await one.answer()).status == 405


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@both_wires
async def test_a_wrong_method_is_a_405(speech: Speech, method: str) -> None:
    async with gateway_and_client() as (_, one):
        await one.send(spell(method, speech.path, b"", speech.headers))
        got = await one.answer()
        check(got, speech, 405, "method_not_allowed")
        assert got.header("allow") == "POST"
        await usable(one, got, speech)


@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP", "identity, gzip"])
@both_wires
async def test_an_encoded_body_is_a_415(speech: Speech, coding: str) -> None:
    async with gateway_and_client() as (_, one):
        body = speech.request(model="echo/text")
        await one.send(spell("POST", speech.path, body, [*speech.headers, ("Content-Encoding", coding)]))
        got = await one.answer()
        assert "the request body must not be compressed" in check(got, speech, 415)
        await usable(one, got, speech)


MEDIA = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ";;;", "caf\udce9"]


@pytest.mark.parametrize("media", MEDIA)
@both_wires
async def test_what_is_no_json_by_its_own_word_is_a_415(speech: Speech, media: str) -> None:
    async with gateway_and_client() as (_, one):
        body = speech.request(model="echo/text")
        await one.send(spell("POST", speech.path, body, [*speech.headers, ("Content-Type", media)]))
        got = await one.answer()
        assert "application/json" in check(got, speech, 415)
        await usable(one, got, speech)


@pytest.mark.parametrize(
    "media", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json", "", " \t"]
)
@both_wires
async def test_json_under_any_of_its_names_and_under_none_is_taken(speech: Speech, media: str) -> None:
    async with gateway_and_client() as (_, one):
        body = speech.request(model="echo/text")
        await one.send(spell("POST", speech.path, body, [*speech.headers, ("Content-Type", media)]))
        assert (await one.answer()).status == 200


@both_wires
async def test_a_wrong_key_is_a_401(speech: Speech) -> None:
    async with pillion(PILLION_CLIENT_KEY="right") as gateway, client(gateway) as one:
        for headers in ([], [("Authorization", "Bearer wrong")], [("x-api-key", "wrong")]):
            body = speech.request(model="echo/text")
            await one.send(spell("POST", speech.path, body, [*speech.headers, *headers]))
            assert "wrong" not in check(await one.answer(), speech, 401)


# --- bodies that do not arrive ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
@both_wires
async def test_a_body_that_is_too_large_is_a_413(speech: Speech, chunked: bool) -> None:
    body = speech.request(model="echo/text", padding="x" * 2_000_000)
    headers: Headers = [*speech.headers, ("Transfer-Encoding", "chunked")] if chunked else speech.headers
    async with gateway_and_client(PILLION_BODY_LIMIT="500000") as (_, one):
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
        await one.send(spell("POST", speech.path, framed, headers))
        got = await one.answer()
        assert "longer than 500000 bytes" in check(got, speech, 413, "request_too_large")
        await usable(one, got, speech)


@both_wires
async def test_a_body_up_to_the_limit_is_taken(speech: Speech, monkeypatch: pytest.MonkeyPatch) -> None:
    async with gateway_and_client() as (_, one):
        padded = [{"role": "user", "content": "x" * 2_000_000}]  # aiohttp's own limit is 1 MiB
        body = json.dumps({"model": "echo/text", "max_tokens": 9, "messages": padded}).encode()
        await one.send(spell("POST", speech.path, body, speech.headers))
        assert (await one.answer()).status == 200


BROKEN_CHUNKS = [b"zz\r\n", b"-1\r\n", b"5\r\nab", b"2\r\n{}xx\r\n", b"1\r\n{\r\nffffffffffffffffff\r\n"]


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS)
@both_wires
async def test_a_body_in_broken_chunks_is_refused_and_the_connection_closed(speech: Speech, chunks: bytes) -> None:
    async with gateway_and_client() as (gateway, one):
        await one.send(spell("POST", speech.path, chunks, [*speech.headers, ("Transfer-Encoding", "chunked")]))
        if chunks.endswith(b"ab"):
            one.writer.write_eof()
        left = await one.rest()
        assert left == b"" or left.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert b"Traceback" not in left
        assert gateway.app.upstream.in_use == 0


@pytest.mark.parametrize("how", ["half-close", "fin", "rst"])
@both_wires
async def test_a_body_that_breaks_off_ends_the_call_without_a_word_in_the_log_of_bugs(
    speech: Speech, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway_and_client() as (gateway, one):
        body = speech.request(model="echo/text")
        await one.send(spell("POST", speech.path, body[:20], [*speech.headers, ("Content-Length", str(len(body)))]))
        await counted(gateway, 1)
        if how == "half-close":
            one.writer.write_eof()
            await one.rest()
        else:
            one.leave("rst" if how == "rst" else "fin")
        await counted(gateway, 0)
    assert "Traceback" not in caplog.text
    assert "bug in pillion" not in caplog.text


async def counted(gateway: Gateway, in_flight: int) -> None:
    """Until so many calls are under way."""
    told = registry(gateway.app)
    await soon(lambda: told.get_sample_value("pillion_requests_in_flight") == in_flight)


# --- what is not HTTP ------------------------------------------------------------------------------------------------

NOT_HTTP = [
    b"nonsense\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /v1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: -2\r\n\r\n{}",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX y: z\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
]


async def test_an_app_that_speaks_tls_is_told_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """Its SDK reads no answer at all, and says something of a wrong version: so the line is for who reads the log."""
    caplog.set_level("INFO", "pillion")
    async with gateway_and_client() as (_, one):
        ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
        with suppress(ssl.SSLWantReadError):
            ssl.create_default_context().wrap_bio(ours, theirs, server_hostname="localhost").do_handshake()
        await one.send(theirs.read())
        assert (await one.head())[0] == 400
    assert "The request is TLS, and pillion speaks plain HTTP: use http://." in caplog.text


async def test_an_app_that_speaks_http_2_is_told_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """AWS's SDK for JavaScript, which says nothing but "Protocol error"."""
    caplog.set_level("INFO", "pillion")
    async with gateway_and_client() as (_, one):
        await one.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        assert (await one.head())[0] == 400
    assert "The request is HTTP/2, and pillion speaks HTTP/1.1." in caplog.text


@pytest.mark.parametrize("data", NOT_HTTP, ids=lambda value: ascii(value)[:60])
async def test_what_is_not_http_is_refused_in_our_words_and_the_connection_closed(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pillion")
    async with gateway_and_client() as (_, one):
        await one.send(data)
        status, headers = await one.head()
        left = await one.rest()
    assert status == (431 if len(data) > 100_000 else 400)
    assert json.loads(left)["error"]["code"] in ("invalid_http", "head_too_long")
    request_id = {name.lower(): value for name, value in headers}["x-pillion-request-id"]
    ours = [record for record in caplog.records if record.name == "pillion"]
    (line,) = [record for record in ours if vars(record).get("event") != "ledger_in_memory"]  # told at the start
    assert vars(line)["id"] == request_id
    assert b"nonsense" not in left
    assert "nonsense" not in line.getMessage()
