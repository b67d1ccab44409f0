"""Is what stands at a URL fetched where the operator wants it, and can nobody make us ask what only we can reach?"""

import asyncio
import json
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv4Address, ip_address
from typing import Any, cast

import pytest
import trustme
from aiohttp import DefaultResolver

from proxy import app, registry
from proxy.canon import Audio, Document, Image, Inline, Part, Remote, Request, Source, ToolResult, Turn, Video
from proxy.edge.remote import Address, Fetcher, Found, NotFetched, is_public
from proxy.errors import BadRequest, Unrepresentable
from proxy.lanes import fetching
from proxy.lanes.fetching import Fetching
from proxy.ports import Adapter, Call, Target
from proxy.registry import DIALECTS
from tests.client import ANTHROPIC, OPENAI, Got, Speech, ask, chat, client, spell
from tests.evil import Evil, Scenario, trust
from tests.gateway import Gateway, pillion
from tests.test_adapter_ollama import SAID

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
PDF = b"%PDF-1.7\n%%EOF\n"
SHOWN = Scenario(headers=[("Content-Type", "image/png")], body=PNG)
HERE = IPv4Address("127.0.0.1")
LIMIT = 100  # bytes

JSON = [("Content-Type", "application/json")]


def is_here(address: Address) -> bool:
    return address == HERE


@asynccontextmanager
async def fetcher(*made: Any, **changes: Any) -> AsyncIterator[Fetcher]:
    one = Fetcher(*made, **changes)
    try:
        yield one
    finally:
        await one.close()


async def fetched(evil: Evil, url: str = "", **changes: Any) -> Found:
    async with fetcher(trust(), evil.port, **{"is_allowed": is_here, **changes}) as one:
        return await one.get(url or f"{evil.url}/a.png", LIMIT)


class Names:
    """A name server that gives one answer after another, whatever it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        self.left = list(answers)
        self.asked: list[str] = []
        monkeypatch.setattr(DefaultResolver, "resolve", self._resolve)

    async def _resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        self.asked.append(host)
        found = {"host": self.left.pop(0), "hostname": host, "port": port, "family": 2, "proto": 0, "flags": 0}
        return [found]


# --- which addresses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "100.100.100.200", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.192",
        "192.88.99.1", "168.63.129.16",
        "::", "::1", "::7f00:1", "fe80::1", "fe80::1%2", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1",
        "2001:db8::1", "3fff::1", "100::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808",
        "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::1",
    ],
)  # fmt: skip
def test_an_address_that_not_everybody_can_reach_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "151.101.1.140", "2606:4700::6810:84e5", "64:ff9b::808:808"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "localhost.", "LOCALHOST", "127.1", "2130706433", "0x7f.1", "0x7f000001",
        "0177.0.0.1", "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "[::127.0.0.1]", "127.0.0.1%2f", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021",
    ],
)  # fmt: skip
async def test_loopback_is_not_asked_however_it_is_spelled(host: str) -> None:
    async with Evil(tls=True) as evil:
        with pytest.raises(NotFetched, match=r"cannot be reached at a public address|is not valid"):
            await fetched(evil, f"https://{host}:{evil.port}/a.png", is_allowed=is_public)
        assert evil.connections == 0


@pytest.mark.parametrize("where", ["2130706433", "0x7f.1", "127.1", "localhost", ""])
async def test_what_a_resolver_should_not_have_left_is_no_public_address(where: str) -> None:
    """The kernel would read some of these as 127.0.0.1."""
    fetcher = Fetcher()
    try:
        with pytest.raises(PermissionError, match="not a public address"):
            fetcher._socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", (where, 443)))
    finally:
        await fetcher.close()


@pytest.mark.parametrize("answer", ["127.0.0.1", "::ffff:127.0.0.1", "::1", "64:ff9b::7f00:1", "10.0.0.1"])
async def test_a_name_that_leads_to_a_private_address_is_not_asked(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch, answer)
    async with Evil(tls=True) as evil:
        with pytest.raises(NotFetched, match="cannot be reached at a public address") as caught:
            await fetched(evil, f"https://pictures.test:{evil.port}/a.png", is_allowed=is_public)
        assert (evil.connections, names.asked) == (0, ["pictures.test"])
        assert answer not in str(caught.value)


async def test_a_name_is_looked_up_once_so_that_no_second_answer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.2, where nobody listens, stands for a public address here, and 127.0.0.1 for a private one."""
    names = Names(monkeypatch, "127.0.0.2", "127.0.0.1")
    async with Evil(tls=True) as evil:
        allowed = ip_address("127.0.0.2")
        with pytest.raises(NotFetched, match="cannot be reached"):
            await fetched(evil, f"https://localhost:{evil.port}/", is_allowed=lambda address: address == allowed)
        assert (names.asked, evil.connections) == (["localhost"], 0)


async def test_each_fetch_looks_at_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is kept, and no connection, so that the second is checked like the first."""
    names = Names(monkeypatch, "127.0.0.1", "10.0.0.1")
    async with Evil(SHOWN, SHOWN, tls=True) as evil, fetcher(trust(), evil.port, is_here) as one:
        url = f"https://localhost:{evil.port}/a.png"
        assert (await one.get(url, LIMIT)).data == PNG
        with pytest.raises(NotFetched, match="cannot be reached"):
            await one.get(url, LIMIT)
        assert (names.left, evil.connections, len(evil.requests)) == ([], 1, 1)


async def test_an_unknown_name_and_a_private_one_look_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a stranger could learn which names our network has."""

    async def unknown(*asked: object, **named: object) -> None:
        raise OSError(-2, "Name or service not known")

    reasons = []
    async with Evil(tls=True) as evil:
        url = f"https://pictures.test:{evil.port}/a.png"
        Names(monkeypatch, "10.0.0.1")
        with pytest.raises(NotFetched) as private:
            await fetched(evil, url, is_allowed=is_public)
        monkeypatch.setattr(DefaultResolver, "resolve", unknown)
        with pytest.raises(NotFetched) as missing:
            await fetched(evil, url, is_allowed=is_public)
        reasons = [str(private.value), str(missing.value)]
    assert reasons[0] == reasons[1]


# --- which URLs, and which answers ------------------------------------------------------------------------------------


async def test_what_is_asked_carries_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    cookie = [("Content-Type", "image/png"), ("Set-Cookie", "a=b; Path=/")]
    async with Evil(Scenario(headers=cookie, body=PNG), SHOWN, tls=True) as evil:
        async with fetcher(trust(), evil.port, is_here) as one:
            for _ in range(2):
                assert await one.get(f"https://localhost:{evil.port}/a%2Fb.png?sig=x%2By#top", LIMIT) == (
                    PNG,
                    "image/png",
                )
        for request in evil.requests:
            assert (request.method, request.target) == ("GET", "/a%2Fb.png?sig=x%2By")
            assert {name.lower() for name, _ in request.headers} == {
                "host", "accept", "accept-encoding", "user-agent", "connection",
            }  # fmt: skip


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://localhost:{port}/", "must begin with https://"),
        ("HTTP://localhost/", "must begin with https://"),
        ("//localhost/", "must begin with https://"),
        ("https://user:key@localhost:{port}/", "holds credentials"),
        ("https://user@localhost:{port}/", "holds credentials"),
        ("https://:key@localhost:{port}/", "holds credentials"),
        ("https://localhost/", "port 443"),
        ("https://localhost:22/", "port 22"),
        ("https://", "is not valid"),
        ("https:///a.png", "is not valid"),
        ("https://[::1", "is not valid"),
        ("https://localhost:99999/", "is not valid"),
        ("https://local host:{port}/", "is not valid|cannot be reached"),
        ("https://{long}.test:{port}/", "is not valid|cannot be reached"),
        ("https://\udcff:{port}/", "is not valid"),
        ("https://a..b:{port}/", "is not valid|cannot be reached"),
    ],
)
async def test_a_url_of_another_kind_is_not_asked(url: str, reason: str) -> None:
    async with Evil(tls=True) as evil:
        with pytest.raises(NotFetched, match=reason):
            await fetched(evil, url.format(port=evil.port, long="a" * 64))
        assert evil.connections == 0


async def test_only_port_443_is_asked_as_a_rule() -> None:
    async with Evil(tls=True) as evil, fetcher(trust(), is_allowed=is_here) as one:
        with pytest.raises(NotFetched, match=f"port {evil.port}, but only 443 is allowed"):
            await one.get(evil.url, LIMIT)
        assert evil.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with Evil(tls=True) as evil:
        evil.add(Scenario(status=status, headers=[("Location", f"{evil.url}/b.png")]))
        with pytest.raises(NotFetched, match="redirect, which is not followed"):
            await fetched(evil)
        assert len(evil.requests) == 1


def long(size: int, **changes: Any) -> Scenario:
    return Scenario(body=bytes(size), **changes)


def at_once(scenario: Scenario) -> Scenario:
    """The same in one piece, since we may leave at the head."""
    return Scenario(raw=scenario.wire())


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        (Scenario(status=404), "answered with status 404"),
        (at_once(Scenario(status=206, body=PNG)), "answered with status 206"),
        (at_once(Scenario(status=503, body=PNG)), "answered with status 503"),
        (at_once(Scenario(body=PNG, headers=[("Content-Encoding", "gzip")])), "content encoding"),
        (Scenario(), "is empty"),
        (Scenario(headers=[("Content-Length", "101")], cut_at=0, how="stall"), "longer than"),
        (at_once(long(101)), "longer than"),
        (at_once(long(101, framing="chunked", split=[50])), "longer than"),
        (at_once(long(101, framing="eof")), "longer than"),
        (Scenario(body=PNG, cut_at=10), "cannot be read"),
        (Scenario(body=PNG, cut_at=10, how="rst"), "cannot be read"),
        (Scenario(body=PNG, framing="chunked", cut_at=10), "cannot be read"),
        (Scenario(body=PNG, cut_at=0, cut_of="wire"), "cannot be read"),
        (Scenario(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "cannot be read"),
        (Scenario(raw=b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "cannot be read"),
    ],
)
async def test_an_answer_that_is_no_file_is_refused(scenario: Scenario, reason: str) -> None:
    async with Evil(answering=lambda _: scenario, tls=True) as evil:  # aiohttp asks again where nothing comes
        with pytest.raises(NotFetched, match=reason):
            await fetched(evil)


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
async def test_a_file_of_just_the_limit_is_taken(framing: Any) -> None:
    async with Evil(long(LIMIT, framing=framing), tls=True) as evil:
        assert len((await fetched(evil)).data) == LIMIT


def _stranger() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_a_certificate_of_nobody_we_trust_is_refused() -> None:
    async with Evil(tls=_stranger()) as evil:
        with pytest.raises(NotFetched, match="no trusted certificate"):
            await fetched(evil)
        assert evil.requests == []


async def test_a_certificate_for_another_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, "127.0.0.1")
    async with Evil(tls=True) as evil:
        with pytest.raises(NotFetched, match="no trusted certificate"):
            await fetched(evil, f"https://pictures.test:{evil.port}/")
        assert evil.requests == []


# --- what of a request ------------------------------------------------------------------------------------------------


class Told(Fetcher):
    """Fetches nothing, and says what it was told to; or what the URL is, where it was not."""

    def __init__(self, found: Found | None = None) -> None:
        self.found = found
        self.asked: list[str] = []
        self.most = self._now = 0  # at once

    async def get(self, url: str, limit: int) -> Found:
        self.asked.append(url)
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        return self.found or Found(PNG + url.encode(), "image/png")


class Deaf:
    """As much of an adapter as is asked here."""

    def __init__(self, *no_urls: str) -> None:
        self.name = "p"
        self.no_urls = no_urls


async def never() -> bytes:
    raise AssertionError("nobody asked for the body")


def calling() -> Call:
    return Call(
        id="r",
        operation="chat",
        dialect=registry.dialect("openai_chat"),
        headers={},
        query={},
        receive=never,
        started=0.0,
    )


def request_of(*parts: Part, wire: str = "openai_chat") -> Request:
    for index, part in enumerate(parts):
        part.at = f"messages[0].content[{index}]"
    return Request(wire=wire, model="m", turns=[Turn(role="user", parts=list(parts), at="messages[0]")])


async def filled(request: Request, told: Fetcher, provider: str = "ollama", *no_urls: str) -> list[Part]:
    target = Target(cast(Adapter, Deaf(*no_urls)), "m")
    await Fetching(told)(calling(), request, target, registry.dialect(provider))
    return request.turns[0].parts


def image(number: int = 0) -> Image:
    return Image(source=Remote(f"https://pictures.test/{number}.png"), detail="low")


def inline(data: bytes, media_type: str) -> Inline:
    return Inline(b64encode(data).decode(), media_type)


MAKERS: dict[type, Any] = {Image: Image, Audio: Audio, Video: Video, Document: partial(Document, name="a")}
CARRIED: dict[type, Inline] = {  # bytes of each kind, such as all wires take that take any
    Image: inline(PNG, "image/png"),
    Audio: inline(b"x", "audio/wav"),
    Video: inline(b"x", "video/mp4"),
    Document: inline(PDF, "application/pdf"),
}


def is_carried(provider: str, kind: type, source: Source) -> bool:
    wire = registry.dialect(provider)
    request = request_of(MAKERS[kind](source=source), wire="nobody's")
    request.max_tokens = 10
    try:
        wire.encode(request)
    except Unrepresentable:
        return False
    return True


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("provider", DIALECTS)
def test_each_wire_says_which_media_it_takes_as_bytes_alone(provider: str, kind: type) -> None:
    """Bedrock's InvokeModel spells a URL, as Anthropic's wire does, and its host refuses it."""
    by_bytes = is_carried(provider, kind, CARRIED[kind])
    by_url = is_carried(provider, kind, Remote("https://a.test/a")) and provider != "bedrock_invoke"
    assert (kind in registry.dialect(provider).no_urls) == (by_bytes and not by_url)


async def test_an_image_gets_its_bytes_and_keeps_all_else() -> None:
    stays = Image(source=inline(PNG, "image/png"))
    parts = await filled(request_of(image(), stays), Told(Found(PNG, "text/html")))
    assert parts == [Image(source=inline(PNG, "image/png"), detail="low"), stays]


async def test_the_turns_that_came_stay_what_the_client_said() -> None:
    """The vault knows a conversation by them, and the client will say the same next time."""
    request = request_of(image())
    before = request.turns
    await filled(request, Told())
    assert before[0].parts == [image()]


async def test_an_image_in_a_tool_result_is_fetched() -> None:
    request = request_of(ToolResult(id="c", parts=[image()]))
    parts = await filled(request, Told(Found(PNG, "")), "bedrock")
    assert parts == [ToolResult(id="c", parts=[Image(source=inline(PNG, "image/png"), detail="low")])]


@pytest.mark.parametrize(
    ("provider", "wire", "no_urls", "is_asked"),
    [
        ("ollama", "openai_chat", [], True),
        ("bedrock", "openai_chat", [], True),
        ("bedrock_invoke", "openai_chat", [], True),
        ("anthropic", "openai_chat", [], False),
        ("anthropic", "openai_chat", ["anthropic"], True),  # Vertex AI
        ("anthropic", "anthropic", ["anthropic"], False),  # what came in its own words stays as it came
        ("gemini", "openai_chat", ["anthropic"], False),
        ("openai_chat", "anthropic", [], False),
    ],
)
async def test_only_who_takes_no_urls_has_them_fetched(
    provider: str, wire: str, no_urls: list[str], is_asked: bool
) -> None:
    told = Told()
    await filled(request_of(image(), wire=wire), told, provider, *no_urls)
    assert bool(told.asked) is is_asked


@pytest.mark.parametrize("url", ["s3://bucket/a.png", "gs://bucket/a.png", "ftp://a.test/a.png", "a.png", ""])
async def test_what_does_not_stand_on_the_web_is_left_to_the_wire(url: str) -> None:
    told = Told()
    request = request_of(Image(source=Remote(url)))
    assert await filled(request, told, "bedrock") == [Image(source=Remote(url))]
    assert told.asked == []


TYPES: list[tuple[type, Remote, Found, str | None]] = [
    (Image, Remote("https://a/b"), Found(b"\xff\xd8\xff\xe0", "image/png"), "image/jpeg"),
    (Image, Remote("https://a/b"), Found(b"GIF89a", ""), "image/gif"),
    (Image, Remote("https://a/b"), Found(b"RIFF\n\0\0\0WEBPVP8 ", "application/octet-stream"), "image/webp"),
    (Image, Remote("https://a/b.png", "image/png"), Found(b"<html>", "image/png"), None),
    (Image, Remote("https://a/b.svg"), Found(b"<svg/>", "image/svg+xml"), None),
    (Image, Remote("https://a/b"), Found(PDF, "application/pdf"), None),
    (Document, Remote("https://a/b"), Found(PDF, "text/html"), "application/pdf"),
    (Document, Remote("https://a/b"), Found(b"a,b", "Text/CSV; charset=utf-8"), "text/csv"),
    (Document, Remote("https://a/b", "text/markdown"), Found(b"# a", ""), "text/markdown"),
    (Document, Remote("https://a/b.csv?c=d.png"), Found(b"a,b", "binary/octet-stream"), "text/csv"),
    (Document, Remote("https://a/b"), Found(b"a", "application/octet-stream"), None),
    (Document, Remote("https://a/b"), Found(PNG, ""), None),
    (Document, Remote("https://a/b"), Found(b"a", "text/a b;c"), None),
    (Audio, Remote("https://a/b"), Found(b"RIFF....WAVE", "audio/wav"), "audio/wav"),
    (Audio, Remote("https://a/b"), Found(b"a", "text/html"), None),
    (Video, Remote("https://a/b"), Found(b"a", "video/mp4"), "video/mp4"),
    (Video, Remote("https://a/b"), Found(b"a", "audio/mp4"), None),
]


@pytest.mark.parametrize(("kind", "source", "found", "media_type"), TYPES)
async def test_it_must_be_what_the_client_calls_it(
    kind: type, source: Remote, found: Found, media_type: str | None
) -> None:
    request = request_of(MAKERS[kind](source=source))
    if media_type is None:
        with pytest.raises(
            BadRequest, match=r"messages\[0\].content\[0\] was not fetched: what was found there is not a"
        ):
            await filled(request, Told(found), "bedrock")
    else:
        parts = await filled(request, Told(found), "bedrock")
        assert cast(Image, parts[0]).source == inline(found.data, media_type)


async def test_a_url_that_stands_twice_is_asked_once() -> None:
    told = Told()
    parts = await filled(request_of(*(image() for _ in range(30))), told)
    assert (len(told.asked), len({cast(Inline, cast(Image, part).source).data for part in parts})) == (1, 1)


async def test_eight_are_asked_at_once_and_each_finds_its_own() -> None:
    told = Told()
    parts = await filled(request_of(*map(image, range(20))), told)
    assert told.most == fetching.AT_ONCE == 8
    assert [cast(Image, part).source for part in parts] == [
        inline(PNG + f"https://pictures.test/{number}.png".encode(), "image/png") for number in range(20)
    ]


async def test_a_request_with_too_many_is_refused_before_any_is_asked() -> None:
    told = Told()
    with pytest.raises(BadRequest, match="at most 20 URLs") as caught:
        await filled(request_of(*map(image, range(21))), told)
    assert (caught.value.param, told.asked) == ("messages[0].content[20]", [])


async def test_all_of_a_request_together_must_not_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TOTAL", 3 * len(PNG))
    told = Told(Found(PNG, ""))
    await filled(request_of(*map(image, range(3))), told)
    with pytest.raises(BadRequest, match="together are longer than") as caught:
        await filled(request_of(*map(image, range(4))), told)
    assert caught.value.param == "messages[0].content[3]"


# --- through pillion --------------------------------------------------------------------------------------------------


def showing(url: str, speech: Speech = OPENAI, model: str = "ollama/m", **fields: Any) -> bytes:
    item = {"type": "image_url", "image_url": {"url": url}}
    if speech is ANTHROPIC:
        item = {"type": "image", "source": {"type": "url", "url": url}}
    content = [{"type": "text", "text": "What is it?"}, item]
    return speech.request(model=model, messages=[{"role": "user", "content": content}], **fields)


@asynccontextmanager
async def gateway(
    evil: Evil, web: Evil, monkeypatch: pytest.MonkeyPatch, is_on: bool = True, **changes: Any
) -> AsyncIterator[Gateway]:
    """`evil` is Ollama, and `web` the rest of the world."""
    made = partial(Fetcher, trust(), web.port, **{"is_allowed": is_here, **changes})
    monkeypatch.setattr(app, "Fetcher", made)
    switch = {"PILLION_FETCH_IMAGES": "true"} if is_on else {}
    async with pillion(PILLION_OLLAMA_BASE_URL=evil.url, OLLAMA_API_KEY="x", **switch) as one:
        yield one


async def asked(evil: Evil, web: Evil, monkeypatch: pytest.MonkeyPatch, speech: Speech, **changes: Any) -> Got:
    async with gateway(evil, web, monkeypatch, **changes) as one:
        return await chat(one, speech, showing(f"{web.url}/a.png", speech))


def refusal(got: Got, speech: Speech) -> str:
    assert got.status == 400
    error = speech.error(got.body)
    if speech is OPENAI:
        assert (error["code"], error["param"]) == ("not_fetched", "messages[0].content[1]")
    message: str = error["message"]
    assert message.startswith("messages[0].content[1] was not fetched: ")
    assert "127.0.0.1" not in message
    return message


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC])
async def test_an_image_goes_to_a_provider_that_takes_no_urls(speech: Speech, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Evil(SAID) as evil, Evil(SHOWN, tls=True) as web:
        got = await asked(evil, web, monkeypatch, speech)
        assert (got.status, "Grüße" in got.body.decode()) == (200, True)
        assert json.loads(evil.requests[0].body)["messages"][0]["images"] == [b64encode(PNG).decode()]
        assert len(web.requests) == 1


async def test_an_image_goes_as_bytes_to_a_compatible_host_that_takes_no_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Scenario(body=OPENAI.whole, headers=[("Content-Type", "application/json")])
    async with Evil(said) as evil, Evil(SHOWN, tls=True) as web:
        monkeypatch.setattr(app, "Fetcher", partial(Fetcher, trust(), web.port, is_allowed=is_here))
        there = {"CEREBRAS_API_KEY": "x", "PILLION_CEREBRAS_BASE_URL": evil.url}
        async with pillion(**there, PILLION_FETCH_IMAGES="true") as one:
            body = showing(f"{web.url}/a.png", ANTHROPIC, model="cerebras/m")
            assert (await chat(one, ANTHROPIC, body)).status == 200
        shown = json.loads(evil.requests[0].body)["messages"][0]["content"][1]["image_url"]["url"]
        assert shown == f"data:image/png;base64,{b64encode(PNG).decode()}"


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC])
async def test_with_the_switch_off_nothing_is_asked_and_the_refusal_tells_of_it(
    speech: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Evil() as evil, Evil(tls=True) as web:
        got = await asked(evil, web, monkeypatch, speech, is_on=False)
        assert (got.status, "`fetch_images: true`" in speech.error(got.body)["message"]) == (400, True)
        assert (web.connections, evil.connections) == (0, 0)


async def test_a_refusal_that_is_about_no_url_tells_of_no_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    body = OPENAI.request(model="ollama/m", messages=[{"role": "user", "content": [sound]}])
    async with Evil() as evil, Evil(tls=True) as web, gateway(evil, web, monkeypatch, is_on=False) as one:
        got = await chat(one, OPENAI, body)
        assert (got.status, "fetch_images" in got.body.decode()) == (400, False)


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        (Scenario(status=404), "its host answered with status 404."),
        (Scenario(body=b"<html>", headers=[("Content-Type", "image/png")]), "not an image (PNG, JPEG, GIF or WebP)."),
        (Scenario(headers=[("Content-Length", str(20 * 1024**2 + 1))], cut_at=0, how="stall"), "than 20 MiB."),
    ],
)
async def test_a_failure_is_the_clients_and_told_in_its_words(
    speech: Speech, scenario: Scenario, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Evil() as evil, Evil(scenario, tls=True) as web:
        assert refusal(await asked(evil, web, monkeypatch, speech), speech).endswith(reason)
        assert evil.connections == 0


async def test_loopback_is_not_asked_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Evil() as evil, Evil(tls=True) as web:
        got = await asked(evil, web, monkeypatch, OPENAI, is_allowed=is_public)
        assert "cannot be reached at a public address" in refusal(got, OPENAI)
        assert web.connections == 0


async def test_the_fetcher_of_production_is_the_strict_one() -> None:
    """Nothing is injected here: what the guard promises holds as users get it."""
    async with Evil() as evil, Evil(tls=True) as web:
        async with pillion(PILLION_OLLAMA_BASE_URL=evil.url, OLLAMA_API_KEY="x", PILLION_FETCH_IMAGES="true") as one:
            urls = [web.url, "https://127.0.0.1/", "https://localhost/", "https://[::ffff:127.0.0.1]/"]
            reasons = [refusal(await chat(one, OPENAI, showing(url)), OPENAI) for url in urls]
        assert "only 443 is allowed" in reasons[0]
        assert all("cannot be reached at a public address" in reason for reason in reasons[1:])
        assert (web.connections, evil.connections) == (0, 0)


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(body=PNG, cut_at=0, cut_of="wire", how="stall"),
        Scenario(body=PNG, cut_at=5, how="stall"),
    ],
)
async def test_what_does_not_come_in_time_is_given_up(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.2)
    async with Evil() as evil, Evil(scenario, tls=True) as web:
        assert refusal(await asked(evil, web, monkeypatch, OPENAI), OPENAI).endswith("did not arrive within 0.2 s.")
        await web.closed()


async def test_fetching_is_a_part_of_the_clients_time(monkeypatch: pytest.MonkeyPatch) -> None:
    stalled = Scenario(body=PNG, cut_at=5, how="stall")
    async with Evil() as evil, Evil(stalled, tls=True) as web, gateway(evil, web, monkeypatch) as one:
        got = await chat(one, OPENAI, showing(f"{web.url}/a.png"), [("x-pillion-timeout", "0.1")])
        assert (got.status, OPENAI.error(got.body)["code"]) == (504, "total_timeout")
        await web.closed()
        assert evil.requests == []


async def test_one_failure_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own connection; the one that never ends is closed by us."""

    def answer(request: Any) -> Scenario:
        return Scenario(body=PNG, cut_at=1, how="stall") if request.target == "/slow" else Scenario(status=404)

    async with Evil() as evil, Evil(answering=answer, tls=True) as web:
        items = [{"type": "image_url", "image_url": {"url": f"{web.url}{path}"}} for path in ("/slow", "/gone")]
        body = OPENAI.request(model="ollama/m", messages=[{"role": "user", "content": items}])
        async with gateway(evil, web, monkeypatch) as one:
            got = await chat(one, OPENAI, body)
            assert OPENAI.error(got.body)["param"] == "messages[0].content[1]"
            for number in range(web.connections):
                await web.closed(number)


async def test_a_client_that_leaves_ends_the_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Evil() as evil, Evil(Scenario(body=PNG, cut_at=1, how="stall"), tls=True) as web:
        async with gateway(evil, web, monkeypatch) as place, client(place) as one:
            await one.send(spell("POST", OPENAI.path, showing(f"{web.url}/a.png")))
            await web.received()
            one.leave("rst")
            await web.closed()
        assert evil.connections == 0


async def test_a_document_is_fetched_for_a_wire_that_takes_it_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemini's clients send a PDF by its URL, and Chat Completions has no place for one."""
    async with Evil(Scenario(body=OPENAI.whole, headers=JSON)) as evil:
        async with Evil(Scenario(body=PDF, headers=[("Content-Type", "application/pdf")]), tls=True) as web:
            monkeypatch.setattr(app, "Fetcher", partial(Fetcher, trust(), web.port, is_here))
            file = {"fileData": {"fileUri": f"{web.url}/a.pdf", "mimeType": "application/pdf"}}
            body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "Read."}, file]}]}).encode()
            async with pillion(**OPENAI.environ(evil.url), PILLION_FETCH_IMAGES="true") as one:
                got = await ask(one, "POST", "/v1beta/models/openai/m:generateContent", body)
        assert got.status == 200
        sent = json.loads(evil.requests[0].body)["messages"][0]["content"][1]
        assert sent["file"]["file_data"] == f"data:application/pdf;base64,{b64encode(PDF).decode()}"


async def test_an_image_is_fetched_to_be_counted_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Evil(Scenario(body=b'{"inputTokens": 42}', headers=JSON)) as evil, Evil(SHOWN, tls=True) as web:
        monkeypatch.setattr(app, "Fetcher", partial(Fetcher, trust(), web.port, is_here))
        environ = {"AWS_BEARER_TOKEN_BEDROCK": "t", "AWS_REGION": "us-east-1", "PILLION_BEDROCK_BASE_URL": evil.url}
        async with pillion(**environ, PILLION_FETCH_IMAGES="true") as one:
            asking = json.loads(showing(f"{web.url}/a.png", ANTHROPIC)) | {"model": "bedrock/m"}
            del asking["max_tokens"]
            got = await ask(one, "POST", "/v1/messages/count_tokens", json.dumps(asking).encode())
        assert (got.status, json.loads(got.body)) == (200, {"input_tokens": 42})
        counted = json.loads(evil.requests[0].body)["input"]["converse"]["messages"][0]["content"][1]
        assert counted["image"]["source"]["bytes"] == b64encode(PNG).decode()
