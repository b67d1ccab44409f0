"""Does what leaves go by the proxy that it was told to take, and trust whom it was told to trust?"""

import asyncio
import base64
import contextlib
import json
import re
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from cryptography.hazmat.primitives import serialization

from proxy.config import Timers, load
from proxy.edge.origins import Proxy
from proxy.edge.trust import trusting
from proxy.errors import ConfigError, Down, Timeout, UpstreamError
from proxy.upstream import Upstream
from tests.client import OPENAI, ask, chat
from tests.evil import Evil, Scenario, authority
from tests.gateway import config_file, pillion
from tests.test_upstream import ENOUGH, QUICK, pool

USER, PASSWORD = "me", "p:\u00e4ss-canary"
SHOWN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
LISTED = Scenario(body=b'{"data":[{"id":"m"}]}')
ANSWER = Scenario(body=OPENAI.whole)
How = Literal["relay", "refuse", "stall", "close", "babble"]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """An egress proxy: makes tunnels, and hands plain requests on. `heads` are those that it was asked with."""

    def __init__(self, how: How, key: str) -> None:
        self.heads: list[str] = []
        self.port = 0
        self._how = how
        self._key = key

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        if self._how == "stall":
            await reader.read()
        elif self._how == "babble":
            writer.write(b"SSH-2.0-canary\r\n\r\n")
        elif self._how == "close":
            return
        elif self._how == "refuse" or self._key not in self.heads[-1]:
            writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            method, target, _ = self.heads[-1].split(" ", 2)
            where = target if method == "CONNECT" else target.removeprefix("http://").partition("/")[0]
            there = await asyncio.open_connection(*where.split(":"))
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Go on\r\n\r\n")
            else:
                there[1].write(head)
            await asyncio.gather(_pipe(reader, there[1]), _pipe(there[0], writer))
            with contextlib.suppress(ConnectionError):
                await there[1].wait_closed()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def relay(how: How = "relay", key: str = "", tls: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
    one = Relay(how, key)
    async with await asyncio.start_server(one.serve, "127.0.0.1", 0, ssl=tls) as server:
        one.port = server.sockets[0].getsockname()[1]
        yield one


async def get(upstream: Upstream, url: str, proxy: str = "", tls: ssl.SSLContext | None = None) -> int:
    origin = upstream.origin(url, QUICK, proxy, tls)
    return (await upstream.get(origin, "/models", {}, 5))[0]


async def post(
    upstream: Upstream, url: str, timers: Timers = ENOUGH, proxy: str = "", tls: ssl.SSLContext | None = None
) -> bytes:
    origin = upstream.origin(url, timers, proxy, tls)
    answer = await upstream.send(origin, origin.start("/x", [("host", "h")]), b"{}", stream=False)
    return await answer.read(1_000_000)


# --- an egress proxy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_key", [False, True], ids=["open", "with a password"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_calls_and_lists_go_by_the_proxy(tls: bool, with_key: bool) -> None:
    async with Evil(LISTED, ANSWER, ANSWER, tls=tls) as evil, relay(key=SHOWN if with_key else "") as one:
        proxy = (
            f"http://{USER}:p%3A%C3%A4ss-canary@127.0.0.1:{one.port}" if with_key else f"http://127.0.0.1:{one.port}"
        )
        more = {"PILLION_OPENAI_PROXY": proxy, **({"PILLION_OPENAI_CA": str(evil.ca_pem)} if tls else {})}
        async with pillion(**OPENAI.environ(evil.url), **more) as gateway:
            assert (await ask(gateway, "GET", "/providers/openai/health")).status == 200
            for _ in range(2):
                assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).body == OPENAI.whole
        if tls:  # nothing of what is beyond the tunnel is for the proxy to see, and nothing of the proxy's beyond it
            assert {head.split(" ")[0] for head in one.heads} == {"CONNECT"}
            assert all(("roxy-" in head) == with_key for head in one.heads)
            assert not any("sk-openai" in head or "/v1" in head for head in one.heads)
            assert all(request.header("proxy-authorization") is None for request in evil.requests)
        else:  # this one hands a head on as it is; others take out what is theirs
            assert {request.method for request in evil.requests} == {"GET", "POST"}
            assert all(request.target.startswith(f"{evil.url}/v1/") for request in evil.requests)
            assert {request.header("proxy-authorization") for request in evil.requests} == {SHOWN if with_key else None}


async def test_a_proxy_that_wants_a_password_alone_is_shown_it() -> None:
    shown = "Basic " + base64.b64encode(b":canary").decode()
    async with Evil(LISTED, ANSWER) as evil, relay(key=shown) as one, pool() as upstream:
        proxy = f"http://:canary@127.0.0.1:{one.port}"
        assert "canary" not in repr(Proxy.at(proxy))
        assert await get(upstream, evil.url, proxy=proxy) == 200
        assert await post(upstream, evil.url, proxy=proxy) == OPENAI.whole


async def test_a_proxy_that_refuses_is_named_and_its_password_is_not() -> None:
    async with Evil(tls=True) as evil, relay("refuse") as one, pool() as upstream:
        proxy = f"http://{USER}:canary@127.0.0.1:{one.port}"
        for asking in (post(upstream, evil.url, proxy=proxy), get(upstream, evil.url, proxy=proxy)):
            with pytest.raises(Down, match="The egress proxy answered with status 407") as caught:
                await asking
            assert (caught.value.code, caught.value.kind) == ("proxy_error", "network_error")
            assert "canary" not in repr(caught.value) + caught.value.message
        assert upstream.in_use == 0


async def test_a_proxy_that_refuses_what_needs_no_tunnel_is_named_too() -> None:
    """A 407 can be nobody else's (RFC 9110, 15.5.8), and the client must not take it for its own proxy's."""
    async with Evil() as evil, relay("refuse") as one:
        environ = {**OPENAI.environ(evil.url), "PILLION_OPENAI_PROXY": f"http://{USER}:canary@127.0.0.1:{one.port}"}
        async with pillion(**environ) as gateway:
            for _ in range(2):
                got = await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
                error = OPENAI.error(got.body)
                assert (got.status, error["code"]) == (502, "proxy_error")
                assert error["message"] == "The egress proxy answered with status 407."
            health = (await ask(gateway, "GET", "/providers/openai/health")).body
            assert b"The egress proxy answered with status 407." in health
            assert gateway.app.upstream.in_use == 0
        assert len(one.heads) == 3


async def test_a_proxy_that_is_not_there_is_named() -> None:
    async with relay() as one:
        nobody = f"http://127.0.0.1:{one.port}"
    async with pool() as upstream:
        for url in ("https://127.0.0.1:1", "http://127.0.0.1:1"):
            with pytest.raises(Down, match="egress proxy cannot be reached") as caught:
                await post(upstream, url, proxy=nobody)
            assert caught.value.code == "proxy_error"


async def test_a_proxy_that_makes_no_tunnel_is_named() -> None:
    """Where the list of models is asked for, nobody can say who has closed the connection."""
    for how, whom, said in (
        ("babble", "egress proxy", "'s answer is not valid HTTP."),
        ("close", "provider (or the egress proxy)", " closed the connection without an answer."),
    ):
        async with relay(cast("How", how)) as one, pool() as upstream:
            proxy, place = f"http://127.0.0.1:{one.port}", f"127.0.0.1:{one.port}"
            with pytest.raises(Down) as caught:
                await post(upstream, "https://127.0.0.1:1", proxy=proxy)
            assert caught.value.message == f"The egress proxy{said}"
            assert (caught.value.code, caught.value.detail) == ("proxy_error", place)
            with pytest.raises(Down) as caught:
                await get(upstream, "https://127.0.0.1:1", proxy=proxy)
            assert (caught.value.message, caught.value.detail) == (f"The {whom}{said}", place)


async def test_a_proxy_whose_name_or_certificate_is_no_good_is_named() -> None:
    """The client was told that it was the provider's."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("127.0.0.1").configure_cert(tls)
    async with relay(tls=tls) as one, pool() as upstream:
        for proxy, said in (
            ("http://proxy.invalid:3128", "The egress proxy's host name cannot be resolved."),
            (f"https://127.0.0.1:{one.port}", "The TLS connection to the egress proxy failed."),
        ):
            for asking in (
                post(upstream, "https://127.0.0.1:1", proxy=proxy),
                get(upstream, "https://127.0.0.1:1", proxy=proxy),
            ):
                with pytest.raises(Down, match=re.escape(said)) as caught:
                    await asking
                assert caught.value.code == "proxy_error"
                assert caught.value.detail.startswith(proxy.partition("//")[2])


async def test_a_provider_that_fails_behind_a_proxy_is_not_taken_for_the_proxy() -> None:
    async with Evil(LISTED, ANSWER, tls=True) as evil, relay() as one, pool() as upstream:
        proxy = f"http://127.0.0.1:{one.port}"
        for asking in (post(upstream, evil.url, proxy=proxy), get(upstream, evil.url, proxy=proxy)):
            with pytest.raises(UpstreamError, match="TLS connection to the provider failed") as caught:
                await asking
            assert caught.value.code == "tls_error"


async def test_a_proxy_that_is_silent_is_timed_as_a_connection() -> None:
    async with relay("stall") as one, pool() as upstream:
        with pytest.raises(Timeout) as caught:
            await post(upstream, "https://127.0.0.1:1", QUICK, proxy=f"http://127.0.0.1:{one.port}")
        assert caught.value.code == "connect_timeout"
        assert caught.value.detail == f"127.0.0.1:1 through 127.0.0.1:{one.port}"


async def test_a_proxy_that_lets_nobody_in_is_named() -> None:
    """Its queue is full, as behind a firewall that drops what comes: the client was told that it was the provider."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        where = full.getsockname()
        with socket.create_connection(where), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(where)
            async with pool() as upstream:
                with pytest.raises(Timeout, match="The connection to the egress proxy was not made within") as caught:
                    await post(upstream, "https://127.0.0.1:1", QUICK, proxy=f"http://127.0.0.1:{where[1]}")
    assert (caught.value.code, caught.value.detail) == ("connect_timeout", f"127.0.0.1:{where[1]}")


async def test_a_provider_that_is_silent_behind_a_proxy_is_timed_as_tls(tmp_path: Path) -> None:
    async with Evil(welcome="stall", tls=True) as evil, relay() as one, pool() as upstream:
        with pytest.raises(Timeout) as caught:
            await post(upstream, evil.url, QUICK, proxy=f"http://127.0.0.1:{one.port}", tls=trusting(evil.ca_pem))
        assert caught.value.code == "tls_timeout"


async def test_the_proxies_of_the_environment_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Evil(LISTED, ANSWER) as evil, pool() as upstream:
        assert await get(upstream, evil.url) == 200
        assert await post(upstream, evil.url) == OPENAI.whole


# --- whom to trust ---------------------------------------------------------------------------------------------------


async def test_a_providers_own_ca_is_trusted_for_that_provider_alone() -> None:
    async with Evil(LISTED, ANSWER, tls=True) as evil, pool() as upstream:
        tls = trusting(evil.ca_pem)
        assert await get(upstream, evil.url, tls=tls) == 200
        assert await post(upstream, evil.url, tls=tls) == OPENAI.whole
        assert evil.connections == 1
        for asking in (post(upstream, evil.url), get(upstream, evil.url)):
            with pytest.raises(UpstreamError) as caught:
                await asking
            assert caught.value.code == "tls_error"


def asking_for_one() -> ssl.SSLContext:
    """A provider's context that lets in nobody without a certificate of the authority's."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("127.0.0.1").configure_cert(tls)
    authority().configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    return tls


@pytest.mark.parametrize("is_apart", [False, True], ids=["one file", "two files"])
async def test_a_provider_that_asks_for_a_certificate_is_shown_ours(is_apart: bool, tmp_path: Path) -> None:
    ours, cert, key = authority().issue_cert("pillion"), tmp_path / "tls.crt", tmp_path / "tls.key"
    ours.cert_chain_pems[0].write_to_path(str(cert))
    ours.private_key_pem.write_to_path(str(key if is_apart else cert), append=not is_apart)
    async with Evil(LISTED, ANSWER, tls=asking_for_one()) as evil:
        row = {"base_url": f"{evil.url}/v1", "api_key": "sk", "ca": str(evil.ca_pem), "cert": str(cert)}
        row |= {"cert_key": str(key)} if is_apart else {}
        environ = config_file(json.dumps({"providers": {"openai": row}}), tmp_path)
        async with pillion(**environ) as gateway:
            assert (await ask(gateway, "GET", "/providers/openai/health")).status == 200
            assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).status == 200


async def test_one_without_a_certificate_is_not_let_in() -> None:
    async with Evil(tls=asking_for_one()) as evil, pool() as upstream:
        with pytest.raises(Down):
            await post(upstream, evil.url, tls=trusting(evil.ca_pem))
        assert not evil.requests


def issued(*names: str, **more: Any) -> ssl.SSLContext:
    """A provider's context with a certificate of an authority that we trust."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*names, **more).configure_cert(tls)
    return tls


def weak(newest: str, ciphers: str = "ALL") -> ssl.SSLContext:
    """One that speaks no newer TLS than this, and nothing but these ciphers."""
    tls = issued("127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion[newest]
    tls.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    return tls


DAY, NOW = timedelta(days=1), datetime.now(UTC)
NOT_GOOD: dict[str, Callable[[], ssl.SSLContext]] = {
    "expired": lambda: issued("127.0.0.1", not_before=NOW - 9 * DAY, not_after=NOW - DAY),
    "not valid yet": lambda: issued("127.0.0.1", not_before=NOW + DAY, not_after=NOW + 9 * DAY),
    "of another name": lambda: issued("api.example.com"),
    "of another address": lambda: issued("127.0.0.2"),
    "of a name that is ours as well": lambda: issued("localhost"),
    "with the name where nobody looks": lambda: issued(common_name="127.0.0.1"),
    "TLS 1.0": lambda: weak("TLSv1"),
    "TLS 1.1": lambda: weak("TLSv1_1"),
    "no certificate at all": lambda: weak("TLSv1_2", "aNULL"),
}


@pytest.mark.parametrize("what", NOT_GOOD)
async def test_to_whom_cannot_be_trusted_no_key_is_sent(what: str) -> None:
    """Nor anything else, by a call, a list or a check."""
    async with Evil(tls=NOT_GOOD[what]()) as evil:
        environ = {**OPENAI.environ(evil.url), "PILLION_OPENAI_CA": str(evil.ca_pem)}
        async with pillion(**environ) as gateway:
            for stream in (False, True):
                got = await chat(gateway, OPENAI, OPENAI.request(stream, "openai/m"))
                assert (got.status, OPENAI.error(got.body)["type"]) == (502, "server_error"), got
            assert (await ask(gateway, "GET", "/providers/openai/health")).status == 503
        assert (evil.connections, evil.requests) == (3, [])


async def alerting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server by asyncio leaves without an alert; this one waits until OpenSSL has written it."""
    inward, outward, tls = ssl.MemoryBIO(), ssl.MemoryBIO(), asking_for_one()
    ours = tls.wrap_bio(inward, outward, server_side=True)
    while data := await reader.read(65_536):
        inward.write(data)
        with contextlib.suppress(ssl.SSLError):
            ours.do_handshake()
        writer.write(outward.read())
    writer.close()


async def test_a_refusal_of_tls_is_told_in_its_own_words_by_calls_and_checks(tmp_path: Path) -> None:
    """aiohttp takes OpenSSL's number, 1, for the system's: "Operation not permitted"."""
    server = await asyncio.start_server(alerting, "127.0.0.1", 0)
    async with server, pool() as upstream:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        tls = trusting(tmp_path / "ca.pem")
        for asking in (post(upstream, url, tls=tls), get(upstream, url, tls=tls)):
            with pytest.raises(Down) as caught:
                await asking
            assert caught.value.detail == "tlsv13 alert certificate required"


def shown(tmp_path: Path, **row: str) -> str:
    """What is wrong with such a row."""
    row = {name: str(tmp_path / file) for name, file in row.items()}
    with pytest.raises(ConfigError) as caught:
        load(environ=config_file(json.dumps({"providers": {"openai": {"api_key": "sk", **row}}}), tmp_path))
    return str(caught.value).partition("providers.openai.")[2]


def test_a_certificate_that_cannot_be_shown_is_a_mistake(tmp_path: Path) -> None:
    ours, other = (authority().issue_cert(name) for name in ("pillion", "other"))
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "cert"))
    other.private_key_pem.write_to_path(str(tmp_path / "other"))
    secret = serialization.load_pem_private_key(ours.private_key_pem.bytes(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    (tmp_path / "locked").write_bytes(secret)
    none = "cert: does not contain a PEM certificate and, there or in `cert_key`, its private key without a passphrase"
    assert shown(tmp_path, cert="cert") == shown(tmp_path, cert="cert", cert_key="other") == none
    assert shown(tmp_path, cert="cert", cert_key="locked") == shown(tmp_path, cert="other") == none
    assert shown(tmp_path, cert="nowhere") == "cert: cannot be read: no such file or directory"
    assert shown(tmp_path, cert="cert", cert_key="gone").endswith(
        "/gone, that cannot be read: no such file or directory"
    )
    assert shown(tmp_path, cert_key="other") == "cert_key: needs `cert`, the certificate that it belongs to"


async def test_each_way_has_connections_of_its_own() -> None:
    async with pool() as upstream:
        ways = ["", "http://p:1", "http://q:1", "http://u:canary@p:1"]
        origins = [upstream.origin("http://h", proxy=way) for way in ways for _ in range(2)]
        assert [origins[n] is origins[n + 1] for n in range(0, 8, 2)] == [True] * 4
        assert len({id(origin) for origin in origins}) == 4
        assert repr(origins[-1].proxy) == "<Proxy http://p:1>"
