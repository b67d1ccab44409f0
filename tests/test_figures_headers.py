"""Does any header cross that belongs to one connection, to a browser, or to somebody who wrote it into another?

Figure H3: 200 forms and more of header lines, each way, over both lanes. What a form says of `evil` must not come out
on the other side as a line of its own; what is named in FORBIDDEN must not come out at all.
"""

from collections.abc import Callable, Sequence
from itertools import product

import pytest

from proxy.edge.inbound import CONTINUE
from tests.client import ANTHROPIC, OPENAI, Client, Speech, chat, client, lane_name
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion

HOP_BY_HOP = [
    "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer",
    "Upgrade",
]  # fmt: skip
OF_CLIENTS = [
    "Cookie", "Origin", "Referer", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP",
    "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Access-Control-Request-Headers", "X-Pillion-Anything", "X-Goog-Api-Key",
    "Api-Key", "X-Amz-Security-Token", "X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL",
]  # fmt: skip
OF_PROVIDERS = [
    "Set-Cookie", "Set-Cookie2", "Strict-Transport-Security", "Alt-Svc", "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers", "X-Pillion-Provider", "Authorization",
    "X-Api-Key", "Server", "Via", "Clear-Site-Data", "Refresh", "Location", "Link", "WWW-Authenticate", "NEL",
]  # fmt: skip
# How a name may be written that is one of these all the same.
CASES: Sequence[Callable[[str], str]] = [str, str.lower, str.upper, str.swapcase]
NAMING = [
    "X-Evil", "x-evil", "close, X-Evil", "X-Evil, close", "X-Evil,,", " X-EVIL ", "keep-alive, x-evil", "x-evil\t,te",
    "close\r\nConnection: X-Evil", "X-Evil\r\nConnection: close",
]  # fmt: skip
# Whatever becomes of these, no line called Evil or X-Evil is made of them.
WRITTEN_IN = [
    "X: a\rEvil: 1", "X: a\nEvil: 1", "X: a\n Evil: 1", "X: a\r\n Evil: 1", "X: a\r\n\tEvil: 1", "X: a\x00Evil: 1",
    "X: a%0d%0aEvil: 1", "X: a%0aEvil: 1", "X: a\\r\\nEvil: 1", "X: a\x0bEvil: 1", "X: a\x0cEvil: 1", "X: a\x1cEvil: 1",
    "X: a\x1eEvil: 1", "X: a\x7fEvil: 1", "X: a\x85Evil: 1", "X: a\xc2\x85Evil: 1", "X: a\xe2\x80\xa8Evil: 1",
    "X: a\xe2\x80\xa9Evil: 1", "X: a\xe5\x98\x8a\xe5\x98\x8dEvil: 1", "X: a\xc4\x8d\xc4\x8aEvil: 1",
    "X: a\xff\xfeEvil: 1", "X: a\xed\xa0\x80Evil: 1", "X: \xf0\x9f\x90\xb4 Evil: 1", "X: a\xa0Evil: 1",
    "X\r: a\r\nY: Evil: 1", "X : a", "X\xe9: a", "X: =?utf-8?q?a=0D=0AEvil:_1?=", "X: \"a\r\n Evil: 1\"",
    "X: a;Evil: 1", "X: a,Evil: 1", "X: a\r\r\n Evil: 1", "X: \x1b[31mEvil: 1", "X:", "a", ": Evil: 1",
    "\x00: Evil: 1", "X: a\x08Evil: 1", "X: a\x00\r\n Evil: 1",
]  # fmt: skip
NAMED_IN = ["User-Agent", "Traceparent", "Anthropic-Beta", "OpenAI-Organization", "Via"]  # which do travel


def named(names: Sequence[str]) -> list[str]:
    """Each name, in each case."""
    lines = [f"{case(name)}: evil" for name, case in product(names, CASES)]
    return [line if "onnection" not in line.lower()[:11] else line.replace("evil", "x-nothing") for line in lines]


def hidden() -> list[str]:
    """Lines that `Connection` names, and lines that were written into others."""
    return [
        *(f"Connection: {names}\r\nX-Evil: evil" for names in NAMING),
        *(line for line in WRITTEN_IN),
        *(line.replace("X:", f"{name}:", 1) for line, name in product(WRITTEN_IN[:20], NAMED_IN)),
    ]


OUT = [*named(HOP_BY_HOP), *named(OF_CLIENTS), *hidden()]
BACK = [*named(HOP_BY_HOP), *named(OF_PROVIDERS), *hidden()]
FORBIDDEN = {"evil", "x-evil", "connection-evil"}


def test_there_are_as_many_forms_as_it_is_said() -> None:
    assert min(len({*OUT}), len({*BACK})) >= 200


def crossed(lines: Sequence[tuple[str, str]], forbidden: Sequence[str]) -> set[str]:
    names = {name.lower() for name, _ in lines}
    return names & ({name.lower() for name in forbidden} | FORBIDDEN)


async def status_of(one: Client) -> int:
    """Of an answer, all of which is read; 0 where there is none.

    A client that has said all may be asked in between whether it is still there: a busy machine takes long enough.
    """
    heard = (await one.rest()).replace(CONTINUE, b"")
    return int(heard.split(b" ", 2)[1]) if heard.startswith(b"HTTP/1.1 ") else 0


@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC], ids=lane_name)
async def test_nothing_of_a_connection_or_a_browser_reaches_a_provider(provider: Speech) -> None:
    body = OPENAI.request(model=f"{provider.provider}/m")
    whole = Scenario(headers=[("Content-Type", "application/json")], body=provider.whole)
    start = (
        f"POST {OPENAI.path} HTTP/1.1\r\nHost: pillion\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n"
    )
    served = 0
    async with Evil(answering=lambda _: whole) as evil, pillion(**provider.environ(evil.url)) as gateway:
        for line in OUT:
            before = len(evil.requests)
            async with client(gateway) as one:
                await one.send(start.encode() + line.encode("latin-1") + b"\r\n\r\n" + body)
                one.writer.write_eof()
                status = await status_of(one)
            assert status in (200, 400, 403, 426, 431), (status, line)
            served += status == 200
            for request in evil.requests[before:]:
                shown = ["X-Goog-Api-Key", "Api-Key"] if provider is OPENAI else []
                assert not crossed(request.headers, [*HOP_BY_HOP, *OF_CLIENTS, *shown]), line
                assert b"evil" not in request.head.lower() or line.partition(":")[0] not in OF_CLIENTS
    assert served > len(OUT) // 2


@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC], ids=lane_name)
async def test_what_connection_names_stays_here_though_it_would_travel(provider: Speech) -> None:
    named = [("Connection", "traceparent, User-Agent"), ("Traceparent", "x"), ("User-Agent", "y"), ("Via", "1.1 z")]
    async with Evil(Scenario(body=provider.whole)) as evil, pillion(**provider.environ(evil.url)) as gateway:
        await chat(gateway, OPENAI, OPENAI.request(model=f"{provider.provider}/m"), named)
    names = {name.lower() for name, _ in evil.requests[0].headers}
    assert names & {"traceparent", "user-agent", "via"} == {"via"}


@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC], ids=lane_name)
async def test_nothing_of_a_connection_or_a_browser_comes_back(provider: Speech) -> None:
    request = OPENAI.request(model=f"{provider.provider}/m")
    ours = ("x-pillion-provider", "server", "connection", "x-pillion-model")
    served = 0

    def answer() -> Scenario:
        sized = f"Content-Type: application/json\r\nContent-Length: {len(provider.whole)}"
        head = f"HTTP/1.1 200 OK\r\n{sized}\r\n{line}\r\n\r\n"
        return Scenario(raw=head.encode("latin-1") + provider.whole, then="close")

    async with Evil(answering=lambda _: answer()) as evil, pillion(**provider.environ(evil.url)) as gateway:
        for line in BACK:
            lines, status = await returned(gateway, request)
            assert status in (200, 502), (status, line)
            served += status == 200
            kept = [(name, value) for name, value in lines if name.lower() not in ours]
            assert not crossed(kept, [*HOP_BY_HOP, *OF_PROVIDERS]), line
            assert not any(value == "evil" for _, value in lines), line
    assert served > len(BACK) // 2


async def returned(gateway: Gateway, request: bytes) -> tuple[list[tuple[str, str]], int]:
    async with client(gateway) as one:
        head = f"POST {OPENAI.path} HTTP/1.1\r\nHost: pillion\r\nContent-Length: {len(request)}\r\n\r\n"
        await one.send(head.encode() + request)
        got = await one.answer()
        return list(got.headers), got.status
