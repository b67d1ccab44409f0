"""Does any key get out, in whichever spelling it came in, by any of the ways that anything gets out?

Forty keys are planted: in the configuration, in the heads, queries and bodies of requests, in bytes that are no HTTP at
all, and in what a provider says of the key that it was shown. Each is planted in nine forms, and every form of each is
looked for in all that pillion says: to clients, in its log, in its metrics, on its command line, of itself.
"""

import asyncio
import html
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from proxy.app import App
from proxy.cli import main
from proxy.config import Config, Secret, load
from proxy.framing.eventstream import encode_frame, encode_headers
from proxy.logs import Handler, Log, as_json, as_words
from proxy.logs.redaction import Redaction, secrets_of, spellings
from tests import laws
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Got, Place, Speech, ask, client
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, opened, pillion
from tests.test_cli import environ as environment

# --- the keys and their forms ----------------------------------------------------------------------------------------

FORMS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda key: b64encode(key.encode()).decode(),
    "base64 behind Bearer": lambda key: b64encode(f"Bearer {key}".encode()).decode(),
    "base64 behind a user": lambda key: b64encode(f"user:{key}".encode()).decode(),
    "a URL's": lambda key: quote(key, safe=""),
    "a URL's, all of it": lambda key: "".join(f"%{ord(char):02X}" for char in key),
    "hexadecimal": lambda key: key.encode().hex(),
    "JSON's": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "HTML's": lambda key: "".join(f"&#{ord(char)};" for char in key),
}
form = pytest.mark.parametrize("spell", FORMS.values(), ids=FORMS)
# With the log for people and for programs: `make test` takes two forms of three, with one of them by turns.
LOGGED = [(name, words) for name in FORMS for words in (False, True)]
TAKEN = LOGGED if laws.SOAK else LOGGED[::6] + LOGGED[3::6]
logged_form = pytest.mark.parametrize(
    ("spell", "words"), [pytest.param(FORMS[name], words, id=f"{name}-{words}") for name, words in TAKEN]
)


def key(place: str) -> str:
    """The key that is planted there. It has characters that URLs, JSON and base64 each spell in their own way."""
    return f"sk-canary+{sha256(place.encode()).hexdigest()[:20]}/'~"


def traces(key: str) -> Iterator[bytes]:
    """What is looked for: every form, base64 less its ends, which depend on what stands around, and the first half."""
    for name, spell in FORMS.items():
        yield (spell(key)[8:-4] if "base64" in name else spell(key)).encode()
    yield key[:20].encode()
    yield html.escape(key).encode()
    yield json.dumps(key)[1:-1].encode()


# --- where they are planted ------------------------------------------------------------------------------------------

HEADERS = (
    "Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Cookie", "Proxy-Authorization", "X-Custom",
    "User-Agent", "Referer", "Via", "Content-Type", "OpenAI-Organization", "X-Request-Id", "X-Pillion-Timeout",
)  # fmt: skip
QUERIES = ("key", "api_key", "token")
GOOD = OPENAI.request(model="openai/m")
CONTENT = json.dumps({"model": "openai/m", "messages": [{"role": "user", "content": "KEY"}]})
BODIES: Mapping[str, str] = {
    "a prompt": CONTENT,
    "a prompt of the other wire": CONTENT.replace("openai/m", "anthropic/claude"),
    "a stream": CONTENT.replace('"model"', '"stream": "KEY", "model"'),
    "a number": CONTENT.replace("openai/m", "anthropic/claude").replace('"model"', '"max_tokens": "KEY", "model"'),
    "a field that nobody knows": CONTENT.replace("hello", "").replace('"model"', '"metadata": {"k": "KEY"}, "model"'),
    "broken JSON": CONTENT[:-3],
    "no object": '"KEY"',
}
MALFORMED: Mapping[str, str] = {
    "no method": "KEY / HTTP/1.1\r\nHost: pillion\r\n\r\n",
    "no colon": "GET / HTTP/1.1\r\nHost: pillion\r\nAuthorization KEY\r\n\r\n",
    "a NUL": "GET / HTTP/1.1\r\nHost: pillion\r\nAuthorization: Bearer KEY\0\r\n\r\n",
    "a space": "GET / HTTP/1.1\r\nHost: pillion\r\nX-Api-Key: KEY\r\nX: y\r\nApi-Key : KEY\r\n\r\n",
    "a fold": "GET / HTTP/1.1\r\nHost: pillion\r\nX: y\r\n KEY\r\n\r\n",
    "no version": "GET /v1/models KEY\r\nHost: pillion\r\nAuthorization: KEY\r\n\r\n",
    "two lengths": "POST /v1/chat/completions HTTP/1.1\r\nHost: pillion\r\nContent-Length: KEY\r\n\r\n{}",
    "a chunk": "POST /v1/messages HTTP/1.1\r\nHost: pillion\r\nTransfer-Encoding: chunked\r\n\r\nKEY\r\n{}\r\n0\r\n",
}
USERINFO = "GET http://user:KEY@pillion/v1/models HTTP/1.1\r\nHost: pillion\r\nConnection: close\r\n\r\n"
EVENTS = "text/event-stream"
CONFIGURED = ("client key", "key of a file", "key in YAML", "key by variable", "header", "password", "second header")
PLACES = (*HEADERS, *QUERIES, *BODIES, *MALFORMED, "userinfo", *CONFIGURED)


def requests(spell: Callable[[str], str]) -> Iterator[bytes]:
    """One for each place in a request, with the right client key where that is not what is planted."""
    shown = f"api-key: {key('client key')}\r\n"

    def post(target: str, body: str, lines: str) -> bytes:
        data = body.encode()
        fixed = f"Host: pillion\r\nConnection: close\r\nContent-Length: {len(data)}\r\n"
        return f"POST {target} HTTP/1.1\r\n{fixed}{lines}\r\n".encode() + data

    good = GOOD.decode()
    for name in HEADERS:
        for right in ("", shown):
            yield post("/v1/chat/completions", good, f"{right}{name}: Bearer {spell(key(name))}\r\n")
    for name in QUERIES:
        for path in ("/v1/chat/completions", "/v1/models/nothing", "/nowhere"):
            yield post(f"{path}?{name}={spell(key(name))}", good, shown if name != "key" else "")
    for name, body in BODIES.items():
        yield post("/v1/chat/completions", body.replace("KEY", spell(key(name))), shown)
    for name, text in MALFORMED.items():
        yield text.replace("KEY", spell(key(name))).encode()
    yield USERINFO.replace("KEY", spell(key("userinfo"))).encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With all that is configured, but for the base URLs."""
    (tmp_path / "key").write_text(key("key of a file"))
    (tmp_path / "config.yaml").write_text(
        f"""\
client_key: {json.dumps(key("client key"))}
providers:
  openai:
    api_key: ${{PLANTED}}
    headers: {{X-Team: {json.dumps(key("header"))}, X-Other: {json.dumps(key("second header"))}}}
  groq:
    api_key: {json.dumps(key("key in YAML"))}
    proxy: {json.dumps(f"http://user:{quote(key('password'), safe='')}@127.0.0.1:9")}
"""
    )
    return tmp_path


def environ(folder: Path, url: str = "http://127.0.0.1:9") -> dict[str, str]:
    return {
        "PILLION_LISTEN": "127.0.0.1:0",
        "PILLION_ALLOWED_HOSTS": "pillion",
        "PLANTED": key("key by variable"),
        "ANTHROPIC_API_KEY_FILE": str(folder / "key"),
        "PILLION_OPENAI_BASE_URL": f"{url}/v1",
        "PILLION_ANTHROPIC_BASE_URL": url,
    }


# --- where they are looked for ---------------------------------------------------------------------------------------


class Sinks:
    """All that was said, by the way that it took. It is a log's sink itself."""

    lost = 0

    def __init__(self) -> None:
        self.said: dict[str, bytes] = {}

    def add(self, sink: str, data: bytes) -> None:
        self.said[sink] = self.said.get(sink, b"") + data

    def write(self, line: bytes) -> None:
        self.add("the log", line)

    def close(self) -> None: ...

    def leaks(self) -> str:
        """A line for each."""
        found = [
            f"{place} in {sink}: {trace.decode()}"
            for sink, data in self.said.items()
            for place in PLACES
            for trace in traces(key(place))
            if trace in data
        ]
        return "\n".join(found)


async def sent(gateway: Place, data: bytes) -> bytes:
    async with client(gateway) as one:
        await one.send(data)
        return await one.rest()


def logged(sinks: Sinks, config: Config, words: bool) -> tuple[Log, logging.Handler]:
    log = Log("debug", as_words if words else as_json, sinks, Redaction(secrets_of(config)))
    return log, Handler(log)


class Planted:
    """A gateway whose every word is kept."""

    def __init__(self, gateway: Gateway, sinks: Sinks) -> None:
        self.gateway = gateway
        self.app = gateway.app
        self.sinks = sinks

    async def ask(self, method: str, path: str, body: bytes = b"") -> Got:
        """With the client key."""
        got = await ask(self.gateway, method, path, body, [("api-key", key("client key"))])
        self.sinks.add(f"{method} {path}", got.raw_headers.encode() + got.body)
        return got


async def with_gateway(folder: Path, url: str, words: bool, use: Callable[[Planted], object]) -> Sinks:
    """Let it be used, and have everything that can be asked of it afterwards."""
    sinks, config = Sinks(), load(folder / "config.yaml", environ(folder, url))
    log, handler = logged(sinks, config, words)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        async with opened(App(config, log=log)) as gateway:
            app, planted = gateway.app, Planted(gateway, sinks)
            used = use(planted)
            if asyncio.iscoroutine(used):
                await used
            for path in ("/metrics", "/v1/models", "/v1/providers", "/v1/providers/openai/health", "/readiness"):
                await planted.ask("GET", path)
            for thing in (config, app, *vars(app).values(), *app.catalog.adapters.values(), *secrets_of(config)):
                sinks.add("repr", repr(thing).encode())
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    return sinks


JSON = [("Content-Type", "application/json")]

# --- the wires, in which providers break off -------------------------------------------------------------------------

WIRE_KEY = key("a wire")


class Wire(NamedTuple):
    """How it is asked, and what its provider says: a word, and an error that repeats what it was shown."""

    provider: str
    path: str
    asked: Mapping[str, object]
    word: bytes
    fault: Callable[[str], bytes]  # in a stream
    bare: Callable[[str], bytes]  # in place of a whole answer
    whole_path: str
    media_type: str = "text/event-stream"
    key_name: str = ""

    @property
    def whole(self) -> Mapping[str, object]:
        return {"stream": False} if "stream" in self.asked else {}

    @property
    def live(self) -> Sequence[tuple[str, str]]:
        return [("Content-Type", self.media_type)]

    def environ(self, url: str) -> dict[str, str]:
        name = self.provider.upper()
        base = url + ("/v1" if self.provider == "openai" else "")
        shown = {self.key_name or f"{name}_API_KEY": WIRE_KEY, f"PILLION_{name}_BASE_URL": base}
        return shown | {"AWS_REGION": "us-east-1", "PILLION_UPSTREAM": f"{self.provider}/m"}


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def event(value: object) -> bytes:
    return b"data: %b\n\n" % dumped(value)


def frame(*lines: tuple[str, str], payload: object) -> bytes:
    return encode_frame(encode_headers([*lines, (":content-type", "application/json")]), dumped(payload))


def exception(said: str) -> bytes:
    named = (":message-type", "exception"), (":exception-type", "internalServerException")
    return frame(*named, payload={"message": said})


def chunk(value: object) -> bytes:
    named = (":message-type", "event"), (":event-type", "chunk")
    return frame(*named, payload={"bytes": b64encode(dumped(value)).decode()})


def told(said: str) -> object:
    return {"type": "error", "error": {"type": "api_error", "message": f"bad {said}"}}


MESSAGES = [{"role": "user", "content": "Hi"}]
CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": MESSAGES}
CHAT_WORD = event({"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]})
BLOCK = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}}
PART = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hel"}]}, "index": 0}]}
STARTED = event({"type": "message-start", "delta": {}})
CONTENT_DELTA = frame(
    (":message-type", "event"),
    (":event-type", "contentBlockDelta"),
    payload={"contentBlockIndex": 0, "delta": {"text": "Hel"}},
)
WIRES = {
    "openai_chat": Wire(
        "openai",
        "/v1/chat/completions",
        {"model": "openai/m", "stream": True, "stream_options": {"include_usage": True}, "messages": MESSAGES},
        CHAT_WORD,
        lambda said: event({"error": {"message": f"bad {said}", "code": said}}),
        lambda said: dumped({"error": {"message": f"bad {said}"}}),
        "/v1/chat/completions",
    ),
    "openai_responses": Wire(
        "openai",
        "/v1/responses",
        {"model": "openai/m", "stream": True, "input": "Hi"},
        event({"type": "response.output_text.delta", "delta": "Hel"}),
        lambda said: event({"type": "error", "code": "server_error", "message": f"bad {said}", "param": said}),
        lambda said: dumped({"type": "error", "code": "server_error", "message": f"bad {said}"}),
        "/v1/responses",
    ),
    "anthropic": Wire(
        "anthropic",
        "/v1/messages",
        {"model": "anthropic/m", "stream": True, "max_tokens": 9, "messages": MESSAGES},
        event(BLOCK),
        lambda said: event(told(said)),
        lambda said: dumped(told(said)),
        "/v1/messages",
    ),
    "gemini": Wire(
        "gemini",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
        event(PART),
        lambda said: event({"error": {"code": 503, "status": "UNAVAILABLE", "message": f"bad {said}"}}),
        lambda said: dumped({"error": {"code": 503, "status": "UNAVAILABLE", "message": f"bad {said}"}}),
        "/v1beta/models/m:generateContent",
    ),
    "cohere": Wire(
        "cohere",
        "/v2/chat",
        {"model": "cohere/m", "stream": True, "messages": MESSAGES},
        STARTED + event({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hel"}}}}),
        lambda said: event({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": f"bad {said}"}}),
        lambda said: dumped({"message": f"bad {said}"}),
        "/v2/chat",
    ),
    "ollama": Wire(
        "ollama",
        "/api/chat",
        {"model": "ollama/m", "stream": True, "messages": MESSAGES},
        dumped({"model": "m", "message": {"role": "assistant", "content": "Hel"}, "done": False}) + b"\n",
        lambda said: dumped({"error": f"bad {said}"}) + b"\n",
        lambda said: dumped({"error": f"bad {said}"}),
        "/api/chat",
        "application/x-ndjson",
    ),
    "bedrock": Wire(
        "bedrock",
        "/model/m/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
        CONTENT_DELTA,
        exception,
        lambda said: dumped({"message": f"bad {said}"}),
        "/model/m/converse",
        "application/vnd.amazon.eventstream",
        "AWS_BEARER_TOKEN_BEDROCK",
    ),
    "bedrock_invoke": Wire(
        "bedrock",
        "/model/m/invoke-with-response-stream",
        CLAUDE,
        chunk(BLOCK),
        lambda said: chunk(told(said)),
        lambda said: dumped(told(said)),
        "/model/m/invoke",
        "application/vnd.amazon.eventstream",
        "AWS_BEARER_TOKEN_BEDROCK",
    ),
}


def test_there_are_forty_keys_in_nine_forms() -> None:
    assert len({key(place) for place in PLACES}) == len(PLACES) == 40
    assert len({spell(key("x")) for spell in FORMS.values()}) == len(FORMS) == 9


@logged_form
async def test_no_key_of_a_request_gets_out(spell: Callable[[str], str], words: bool, folder: Path) -> None:
    def answer(request: Received) -> Scenario:
        return Scenario(body=OPENAI.whole, headers=JSON)

    async def use(planted: Planted) -> None:
        for request in requests(spell):
            planted.sinks.add("an answer", await sent(planted.gateway, request))

    async with Evil(answering=answer) as evil:
        sinks = await with_gateway(folder, evil.url, words, use)
    assert sinks.said["the log"].count(b"\n") > len(PLACES) - len(CONFIGURED)
    assert sinks.leaks() == ""


ECHOES: Mapping[str, Callable[[str], Scenario]] = {
    "a refusal": lambda said: Scenario(
        status=401,
        headers=JSON,
        body=json.dumps({"error": {"message": f"No such key: {said}.", "code": said}}).encode(),
    ),
    "a refusal of no shape": lambda said: Scenario(status=500, body=f"<p>{said}</p>".encode()),
    "headers": lambda said: Scenario(status=429, headers=[("X-Api-Key", said), ("X-Shown", said)], body=b"no"),
    "a reason": lambda said: Scenario(status=403, reason=said, body=b"no"),
    "a redirect": lambda said: Scenario(status=302, headers=[("Location", f"http://h/?key={said}")]),
    "a cookie": lambda said: Scenario(
        headers=[*JSON, ("Set-Cookie", said), ("Authorization", said)], body=OPENAI.whole
    ),
    "an error under 200": lambda said: Scenario(headers=JSON, body=json.dumps({"error": {"message": said}}).encode()),
    "what is no JSON": lambda said: Scenario(headers=JSON, body=f"{{{said}".encode()),
    "what is no HTTP": lambda said: Scenario(raw=f"HTTP/1.1 200 OK\r\n{said}\r\n\r\n".encode(), then="close"),
}


@logged_form
async def test_no_key_that_a_provider_repeats_gets_out(spell: Callable[[str], str], words: bool, folder: Path) -> None:
    laws.figures["L1: forms of a key, by the two logs"] = (len(TAKEN), len(LOGGED))
    secrets = {"openai": ("key by variable", "header", "second header"), "anthropic": ("key of a file",)}
    plays = Scenario()

    async def use(planted: Planted) -> None:
        nonlocal plays
        for provider, places in secrets.items():
            for place in places:
                for name, echo in ECHOES.items():
                    plays = echo(spell(key(place)))
                    for stream in (False, True):
                        got = await planted.ask("POST", OPENAI.path, OPENAI.request(stream, f"{provider}/m"))
                        planted.sinks.add(f"the answer to {name}", got.raw_headers.encode() + got.body)

    async with Evil(answering=lambda request: plays) as evil:
        sinks = await with_gateway(folder, evil.url, words, use)
        shown = {value for request in evil.requests for _, value in request.headers}
    assert {key("key of a file"), f"Bearer {key('key by variable')}", key("header")} <= shown  # so they are in use
    assert sinks.leaks() == ""


def post(path: str, body: object, lines: str = "") -> str:
    return f"POST {path} HTTP/1.1\r\nHost: pillion\r\n{lines}\r\n{json.dumps(body)}"


# Places where a sentence cites what it was sent, but no more than so many characters of it.
CITED: Mapping[str, str] = {
    "a role": post("/v1/messages", {"model": "openai/m", "messages": [{"role": "KEY", "content": "Hi"}]}),
    "a type": post("/v1/messages", {"model": "openai/m", "messages": [{"role": "user", "content": [{"type": "KEY"}]}]}),
    "a block": post("/model/m/converse", {"messages": [{"role": "user", "content": [{"text": "x", "KEY": 1}]}]}),
    "two models": post("/v1beta/models/x:generateContent", {"model": "KEY", "contents": []}),
    "a wish": post("/v1/chat/completions", {"model": "openai/m", "messages": []}, "x-pillion-cache: KEY\r\n"),
    "a format": "GET /v1/usage?format=KEY HTTP/1.1\r\nHost: pillion\r\n",
    "a parameter": "GET /v1/usage?KEY=1 HTTP/1.1\r\nHost: pillion\r\n",
    "a number": "GET /v1beta/models?pageSize=KEY HTTP/1.1\r\nHost: pillion\r\n",
    "a host": "GET /v1/models HTTP/1.1\r\nHost: KEY\r\n",
    "a model": post("/v1/chat/completions", {"model": "KEY", "messages": []}),
}
CUTS = (40, 80, 200, 256, 2000)  # characters after which texts are cut


@pytest.mark.parametrize("place", CITED)
async def test_no_half_of_a_key_gets_out_where_a_text_is_cut(place: str, folder: Path) -> None:
    """A client may know the key of a provider, or may be made to repeat it; whoever reads the log may not."""
    whole, log = "sk-canary-" + "0123456789abcdef" * 2, b""

    async def use(planted: Planted) -> None:
        nonlocal log
        for padding in ["", *("a" * (cut - some) for cut in CUTS for some in (34, 26, 14))]:
            head, _, body = CITED[place].replace("KEY", padding + whole).partition("\r\n\r\n")
            lines = f"api-key: {key('client key')}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            assert await sent(planted.gateway, f"{head.rstrip()}\r\n{lines}{body}".encode())
        log = planted.sinks.said["the log"]

    (folder / "key").write_text(whole)
    async with Evil(answering=lambda _: Scenario(body=OPENAI.whole, headers=JSON)) as evil:
        await with_gateway(folder, evil.url, False, use)
    assert log.count(b"\n") > 3 * len(CUTS)
    assert whole[:20].encode() not in log


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("field", ["type", "code", "param", "message"])
@pytest.mark.parametrize("wire", [OPENAI, ANTHROPIC], ids=lambda wire: wire.name)
async def test_nor_where_a_providers_word_is(wire: Speech, field: str, stream: bool, folder: Path) -> None:
    plays, places = Scenario(), {"openai": "key by variable", "anthropic": "key of a file"}

    async def use(planted: Planted) -> None:
        nonlocal plays
        for cut in CUTS:
            for some in (32, 24, 14):
                error = {"type": "t", "code": "c", "message": "m", "param": "p", field: "a" * (cut - some) + shown}
                body, headers = json.dumps({"type": "error", "error": error}).encode(), JSON
                plays = Scenario(body=body, headers=headers, status=400)
                if stream:
                    plays = Scenario(body=b"event: error\ndata: %b\n\n" % body, headers=[("Content-Type", EVENTS)])
                for path, asked in ((one.path, one.request(stream, f"{wire.provider}/m")) for one in SPEECHES):
                    await planted.ask("POST", path, asked)

    shown = key(places[wire.provider])
    async with Evil(answering=lambda _: plays) as evil:
        sinks = await with_gateway(folder, evil.url, False, use)
    assert sinks.leaks() == ""


@pytest.mark.parametrize("words", [False, True], ids=["json", "human"])
@form
async def test_no_key_that_is_a_models_name_gets_out(spell: Callable[[str], str], words: bool, folder: Path) -> None:
    """The client's own, and the providers', in its request and as what a provider says that it has asked."""
    answer = b""

    async def use(planted: Planted) -> None:
        nonlocal answer
        for place in ("client key", "key by variable"):
            answer = OPENAI.whole.replace(b"gpt-real", json.dumps(spell(key(place)))[1:-1].encode())
            for provider in ("echo", "openai"):
                request = OPENAI.request(model=f"{provider}/MODEL").replace(
                    b"MODEL", json.dumps(spell(key(place)))[1:-1].encode()
                )
                got = await ask(planted.gateway, "POST", OPENAI.path, request, [("api-key", key("client key"))])
                assert got.status in ((200,) if provider == "openai" else (200, 404))

    async with Evil(answering=lambda _: Scenario(body=answer, headers=JSON)) as evil:
        sinks = await with_gateway(folder, evil.url, words, use)
    assert b"***" in sinks.said["the log"]
    assert sinks.leaks() == ""


async def test_no_key_gets_out_with_a_bug_of_ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(planted: Planted) -> None:
        def broken(name: str) -> object:
            raise ValueError(f"{key('key by variable')}, {key('header')} and {key('password')}")

        monkeypatch.setattr(planted.app.catalog, "adapter", broken)
        assert (await planted.ask("POST", OPENAI.path, GOOD)).status == 500

    sinks = await with_gateway(folder, "http://127.0.0.1:9", False, use)
    assert b"ValueError: ***" in sinks.said["the log"]
    assert sinks.leaks() == ""


MISTAKES: Mapping[str, str] = {
    "a URL's query": "providers: {x: {base_url: 'https://h/v1?key=KEY'}}",
    "a URL's user": "providers: {x: {base_url: 'https://u:KEY@h/v1'}}",
    "a proxy": "providers: {groq: {api_key: k, proxy: 'ftp://u:KEY@h'}}",
    "a header": "providers: {groq: {api_key: k, headers: {X-Y: \"KEY\\n\"}}}",
    "a list": "client_key: [\"KEY\"]",
    "a table": "client_key: {KEY: KEY}",
    "a line end": "providers: {groq: {api_key: \"KEY\\nKEY\"}}",
    "two of them": "client_key: KEY\nclient_key: KEY",
}  # fmt: skip


@pytest.mark.parametrize("command", [["check"], ["config", "show"]], ids=" ".join)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_no_key_gets_out_with_a_mistake_of_the_operators(
    command: Sequence[str], mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(MISTAKES[mistake].replace("KEY", key("key in YAML").replace("'", "")))
    assert main([*command, "--config", str(file)]) == 2
    told = "".join(capsys.readouterr())
    assert told.startswith("pillion: ")
    assert key("key in YAML")[:20] not in told


@pytest.mark.parametrize("command", [["check"], ["config", "show"], ["config", "schema"]], ids=" ".join)
def test_no_command_shows_a_key(
    command: Sequence[str], folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_API_KEY_FILE"))]:
        monkeypatch.delenv(name)
    for name, value in environ(folder).items():
        monkeypatch.setenv(name, value)
    config = [] if command == ["config", "schema"] else ["--config", str(folder / "config.yaml")]
    assert main([*command, *config]) == 0
    sinks = Sinks()
    for data in capsys.readouterr():
        sinks.add(" ".join(command), data.encode())
    assert sinks.leaks() == ""


@pytest.mark.parametrize("form", ["json", "human"])
async def test_no_key_is_on_the_command_line_or_in_what_the_process_prints(form: str, folder: Path) -> None:
    sinks = Sinks()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", "serve", "--config", str(folder / "config.yaml"), "--log-level", "debug",
        env=environment(**environ(folder), PILLION_LOG_FORMAT=form), stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            started = await process.stderr.readline()
            sinks.add("argv", Path(f"/proc/{process.pid}/cmdline").read_bytes())  # noqa: ASYNC240  memory, no disk
            process.terminate()
            out, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    sinks.add("standard output", out)
    sinks.add("standard error", started + complaints)
    events = ["started", "draining", "stopped"]
    assert all(each.encode() in line for each, line in zip(events, [started, *complaints.splitlines()], strict=True))
    assert (b"In your app" in out) is (form == "human")
    assert sinks.leaks() == ""


# --- the redaction itself --------------------------------------------------------------------------------------------


@form
def test_every_form_is_taken_out_of_a_text(spell: Callable[[str], str]) -> None:
    secret = key("x")
    hidden = Redaction([Secret("other-secret"), Secret(secret)])(f"it is {spell(secret)}, they say")
    assert "***" in hidden
    assert hidden.startswith("it is ")
    assert hidden.endswith(", they say")
    assert [trace for trace in traces(secret) if trace in hidden.encode()] == []


def test_what_other_languages_escape_is_known() -> None:
    """What json_encode does in PHP, encoding/json in Go, Gson in Java and System.Text.Json in .NET; and of URLs what
    Python's `quote` leaves alone, and older encoders spell in lower case.
    """
    secret = "sk-canary+01/23&45='"
    for said in (
        r"sk-canary+01\/23&45='",
        r"sk-canary+01/23\u002645='",
        r"sk-canary+01/23\u002645\u003d\u0027",
        r"sk-canary\u002B01/23\u002645=\u0027",
        "sk-canary%2B01/23%2645%3D%27",
        "sk-canary%2b01%2f23%2645%3d%27",
    ):
        assert Redaction([Secret(secret)])(f"it is {said}, they say") == "it is ***, they say"


def test_what_html_escapes_is_known() -> None:
    secret = "sk-<canary>&'0123'\"45"
    assert Redaction([Secret(secret)])(f"it is {html.escape(secret)}, they say") == "it is ***, they say"


def test_of_headers_only_the_values_that_hold_a_secret_change() -> None:
    hide = Redaction([Secret("sk-canary-0123"), Secret("")])
    lines = {"date": "Sat, 21 Nov 2026 09:03:06 GMT", "x-a": "1", "x-b": "sk-canary-0123, they say"}
    assert hide.headers(lines) == {**lines, "x-b": "***, they say"}
    assert hide.headers(kept := {"x-a": "1"}) is kept
    assert Redaction([]).headers(lines) is lines


def test_every_form_is_taken_out_of_a_header() -> None:
    """The shortest of them is shorter than the secret."""
    secret = key("x")
    told = {str(number): spelled for number, spelled in enumerate(spellings(secret))}
    assert set(Redaction([Secret(secret)]).headers(told).values()) == {"***"}


def test_a_secret_that_is_lent_is_looked_for_in_its_new_value() -> None:
    lent = Secret("")
    hide = Redaction([lent])
    assert hide("ya29.canary") == "ya29.canary"
    lent.become("ya29.canary")
    assert hide("ya29.canary") == "***"
    assert hide.headers({"x": "ya29.canary"}) == {"x": "***"}


def test_what_is_too_short_for_a_key_is_left_alone() -> None:
    assert Redaction([Secret("ollama"), Secret("")])("ollama answered 500") == "ollama answered 500"


def test_of_two_keys_the_longer_one_goes_first() -> None:
    assert Redaction([Secret("sk-canary"), Secret("sk-canary-01")])("sk-canary-01") == "***"


def test_a_key_that_changes_is_looked_for_anew(tmp_path: Path) -> None:
    file, now = tmp_path / "key", 0.0
    file.write_text("sk-canary-old")
    hide = Redaction([Secret("sk-canary-old", file, lambda: now)])
    assert hide("sk-canary-old") == "***"
    file.write_text("sk-canary-newer")
    now = 10.0
    assert hide("sk-canary-newer") == "***"
    assert hide("sk-canary-old") == "***"  # some still show that
    assert "canary" not in repr(hide)


# --- what a client showed us, and no provider may see ----------------------------------------------------------------

SHOWN_TO_US = (
    "Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key", "X-Amz-Security-Token",
    "Cookie", "OpenAI-Organization", "OpenAI-Project", "X-Goog-User-Project",
)  # fmt: skip
ASKED_OF_US = (
    "key", "api_key", "api-key", "subscription-key", "access_token", "oauth_token", "X-Amz-Signature",
    "X-Amz-Credential", "X-Amz-Security-Token",
)  # fmt: skip


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
async def test_no_credential_of_a_clients_goes_on_to_a_provider(wire: Wire) -> None:
    """In head and query, on the lane that passes both through."""
    lines = [(name, f"was-shown-{name}") for name in SHOWN_TO_US]
    query = "&".join(f"{name}=was-shown-{name}" for name in ASKED_OF_US)
    path = f"{wire.path}{'&' if '?' in wire.path else '?'}{query}&kept=1"
    async with (
        Evil(answering=lambda request: Scenario(status=500)) as evil,
        pillion(**wire.environ(evil.url)) as gateway,
    ):
        await ask(gateway, "POST", path, json.dumps(wire.asked).encode(), [*lines, ("X-Kept", "1")])
        asked = next(request for request in evil.requests if request.method == "POST")
    assert b"x-kept: 1" in asked.head
    assert "kept=1" in asked.target
    assert b"was-shown" not in asked.head


# --- what a provider repeats in a stream -----------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
async def test_no_key_gets_out_with_an_error_of_a_providers_own_wire(wire: Wire) -> None:
    """First in a stream, behind what was said, cut short behind that, and in place of a whole answer; in each form."""
    plays = Scenario()
    async with Evil(answering=lambda request: plays) as evil, pillion(**wire.environ(evil.url)) as gateway:
        for said in (spell(WIRE_KEY) for spell in FORMS.values()):
            fault = wire.fault(said)
            for body in (fault, wire.word + fault, wire.word + fault.rstrip(b"\n")):
                for split in ([len(wire.word)], "bytes"):
                    plays = Scenario(headers=wire.live, body=body, framing="chunked", split=split, gap=0.0005)
                    got = await ask(gateway, "POST", wire.path, json.dumps(wire.asked).encode())
                    assert not hidden_in(got), (split, got.body)
                    assert got.status >= 400 or (got.body.startswith(wire.word) and not got.whole)
            plays = Scenario(headers=JSON, body=wire.bare(said))
            got = await ask(gateway, "POST", wire.whole_path, json.dumps({**wire.asked, **wire.whole}).encode())
            assert (got.status >= 400, hidden_in(got)) == (True, [])


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
async def test_no_key_gets_out_where_some_of_its_characters_are_escaped(wire: Wire) -> None:
    """In an error on the client's own wire, whose bytes are the provider's, and read as JSON."""
    escaped = wire.bare(WIRE_KEY).replace(b"-canary", rb"\u002dc\u0061nary")
    plays = Scenario(status=401, headers=JSON, body=escaped)
    async with Evil(answering=lambda request: plays) as evil, pillion(**wire.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", wire.path, json.dumps(wire.asked).encode())
    assert WIRE_KEY in json.dumps(json.loads(escaped))
    assert (got.status, WIRE_KEY in json.dumps(json.loads(got.body))) == (401, False)


@pytest.mark.parametrize("name", ["openai_chat", "anthropic", "gemini"])
async def test_nor_in_a_stream_beside_the_message(name: str) -> None:
    wire = WIRES[name]
    escaped = json.dumps(WIRE_KEY).replace("-canary", r"\u002dc\u0061nary").encode()
    fault = wire.fault("it broke").replace(b'"message"', b'"shown":%b,"message"' % escaped)
    plays = Scenario(headers=wire.live, body=wire.word + fault, framing="chunked", split=[len(wire.word)], gap=0.0005)
    async with Evil(answering=lambda request: plays) as evil, pillion(**wire.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", wire.path, json.dumps(wire.asked).encode())
    assert escaped in fault
    assert (got.status, escaped in got.body, b"it broke" in got.body) == (200, False, True)


def hidden_in(got: Got) -> list[bytes]:
    return [trace for trace in traces(WIRE_KEY) if trace in got.raw_headers.encode() + got.body]


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
async def test_an_error_that_repeats_no_key_is_the_providers_own(wire: Wire) -> None:
    body = wire.word + wire.fault("it broke")
    scenario = Scenario(headers=wire.live, body=body, framing="chunked", split=[len(wire.word)], gap=0.05)
    async with Evil(answering=lambda request: scenario) as evil, pillion(**wire.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", wire.path, json.dumps(wire.asked).encode())
    assert (got.status, got.body, got.whole) == (200, body, True)
