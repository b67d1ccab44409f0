"""Can anything but the right key, said to us by name, open a door?

Figures H4 (neither the spelling of a path nor that of a host changes who is let in), A1 (a key for every route but the
probes; no start that would leave a door open) and W1 (no page of somebody else's gets in). Who is called what is in
test_hosts.py, which has W1's eighty spellings of a host.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import cast
from urllib.parse import quote

import pytest

from proxy.config import load
from proxy.edge.door import Door
from proxy.edge.inbound import Inbound
from proxy.errors import ConfigError, GatewayError
from proxy.routing import ANY, Routing
from tests.client import ask
from tests.gateway import Gateway, pillion
from tests.laws import share
from tests.test_hosts import NAMES_OF_OTHERS, NO_NAMES, OURS

PROBES = {"startup", "readiness", "liveness"}

# --- every route -----------------------------------------------------------------------------------------------------


def routes(routing: Routing) -> list[tuple[str, str, str]]:
    """Method, path and operation of each; what a path says behind its route's own part is `m`."""
    found = [(path, methods) for path, methods in routing.table.exact.items()]
    found += [(f"{start}m{end}", methods) for start, tails in routing.table.tails.items() for end, methods in tails]
    return [
        ("GET" if method == ANY else method, path, route.operation)
        for path, methods in found
        for method, route in methods.items()
    ]


async def test_every_route_but_the_probes_asks_for_the_key() -> None:
    async with pillion(
        PILLION_CLIENT_KEY="k", PILLION_QUITQUITQUIT="1", PILLION_ADMIN_ADDRESS="127.0.0.1:0"
    ) as gateway:
        for (_, server), where in zip(gateway.app.listeners, gateway.app.addresses, strict=True):
            for method, path, operation in routes(server.routing):
                got = await ask(where, method, path, b"{}" if method == "POST" else b"")
                assert got.status == (200 if operation in PROBES else 401), (method, path)
        assert not gateway.app.admin.stop.is_set()


async def test_no_route_lets_a_page_of_another_origin_use_it() -> None:
    async with pillion() as gateway:
        for _, path, _ in routes(gateway.app.server.routing):
            for origin in ("http://localhost:3000", "https://evil.example"):
                asking = [("Origin", origin), ("Access-Control-Request-Method", "POST")]
                got = await ask(gateway, "OPTIONS", path, headers=asking)
                assert got.status in (403, 404, 405, 426, 501), path
                assert "access-control" not in got.raw_headers.lower()


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_no_route_takes_what_a_form_can_send(media_type: str) -> None:
    async with pillion() as gateway:
        for method, path, operation in routes(gateway.app.server.routing):
            if method == "POST" and operation != "missing":
                got = await ask(gateway, "POST", path, b"{}", [("Content-Type", media_type)])
                assert got.status == 415, path


# --- however they are spelled ----------------------------------------------------------------------------------------

BEFORE = ["", "/", "/.", "/..", "//", "/%2e", "/x/..", "\\", "/;", "http://pillion"]
BEHIND = ["", "/", "//", "?x", "#x", ";x", "%00", "%20", "/.", "..%2f"]
SPELLED: list[Callable[[str], str]] = [
    str,
    str.upper,
    lambda path: path[:1] + "".join(f"%{ord(char):02x}" for char in path[1:]),
    lambda path: quote(quote(path[1:2].upper(), safe="").join((path[:1], path[2:]))),
    lambda path: path[:1] + "".join(f"%25{ord(char):02X}" for char in path[1:]),
]
PATHS = [*product(SPELLED, BEFORE, BEHIND)]
HOSTS = [*((host, True) for host in OURS), *((host, False) for host in NAMES_OF_OTHERS + NO_NAMES)]


class Nowhere:
    """Stands for a client's connection, and keeps what is written to it."""

    stays = connected = True
    writing_paused = False

    def __init__(self) -> None:
        self.said = b""

    def write(self, data: bytes) -> None:
        self.said += data

    def abort(self) -> None:
        raise AssertionError("aborted")

    def interrupt(self, reason: object = "") -> None:
        raise AssertionError("interrupted")


async def answered(gateway: Gateway, method: str, target: bytes, headers: dict[str, str]) -> tuple[int, Inbound]:
    """Through the server's one entry, past the sockets."""
    door = Nowhere()
    inbound = Inbound(cast(Door, door), method, target, headers, http11=True)
    inbound.end()
    await gateway.app.server.serve(inbound, cast(Door, door))
    return int(door.said.split(b" ", 2)[1]), inbound


def expected(routing: Routing, method: str, path: str) -> int:
    """For who shows no key: what the route alone says."""
    try:
        route, _ = routing.find(method, path)
    except GatewayError as error:
        return error.status
    return 200 if route.operation in PROBES else 401


def spellings(whole: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, bytes, str, bool]]:
    """Method, target, host, and is that one of our names?"""
    count = len(whole) * len(PATHS) * len(HOSTS)
    taken = share("H4, routes by spellings of paths and of hosts, sampled", 100_000, 2_500)
    for number in random.Random(7).sample(range(count), taken):
        rest, at_host = divmod(number, len(HOSTS))
        at_route, at_path = divmod(rest, len(PATHS))
        (method, path, _), (spell, before, behind) = whole[at_route], PATHS[at_path]
        target = (before + spell(path) + behind).encode("utf-8", "surrogateescape")
        yield method, target, *HOSTS[at_host]


async def test_who_is_let_in_is_for_the_route_alone_to_say() -> None:
    wrong = []
    async with pillion(PILLION_CLIENT_KEY="k", PILLION_ALLOWED_HOSTS="pillion") as gateway:
        routing = gateway.app.server.routing
        for method, target, host, is_ours in spellings(routes(routing)):
            status, inbound = await answered(gateway, method, target, {"host": host})
            let_in = is_ours or inbound.headers["host"] == "pillion"
            if status not in ((expected(routing, method, inbound.path),) if let_in else (400, 421)):
                wrong.append(f"{status}: {method} {target!r} for {host!r}, which is {inbound.path!r}")
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong[:50])


# --- no start with a door open ---------------------------------------------------------------------------------------

OPENAI = {"OPENAI_API_KEY": "k"}
UNSAFE: list[tuple[dict[str, str], str]] = [
    ({"PILLION_LISTEN": "0.0.0.0:7455"}, "no client key"),
    ({"PILLION_LISTEN": "[::]:7455"}, "no client key"),
    ({"PILLION_LISTEN": "[::ffff:0.0.0.0]:7455"}, "no client key"),
    ({"PILLION_LISTEN": "0:7455"}, "no client key"),
    ({"PILLION_LISTEN": "10.0.0.1:7455"}, "no client key"),
    ({"PILLION_LISTEN": "[2001:db8::1]:7455"}, "no client key"),
    ({"PILLION_LISTEN": "localhost.example:7455"}, "no client key"),
    ({"PILLION_LISTEN": "0.0.0.0:7455", "PILLION_ALLOW_OPEN": "0"}, "no client key"),
    ({"PILLION_LISTEN": "0.0.0.0:7455", "PILLION_ALLOW_OPEN": ""}, "no client key"),
    ({"PILLION_LISTEN": "0.0.0.0:7455", "PILLION_CLIENT_KEY": ""}, "no client key"),
    ({"PILLION_LISTEN": "0.0.0.0:7455", "PILLION_ALLOW_OPEN": "maybe"}, "true or false"),
    ({"PILLION_ADMIN_ADDRESS": "0.0.0.0:9000"}, "no client key"),
    ({"PILLION_CLIENT_KEY": "  "}, "is empty"),
    ({"PILLION_CLIENT_KEY_FILE": "/dev/null"}, "not a regular file"),
    ({"PILLION_CLIENT_KEY_FILE": "/nowhere"}, "no such file"),
    ({"PILLION_METRICS_ADDRESS": "127.0.0.1:7455"}, "already used by listen"),
    ({"PILLION_ALLOWED_HOSTS": "*"}, "must be a host name"),
    ({**OPENAI, "PILLION_OPENAI_BASE_URL": "http://2130706433:7455/v1"}, "pillion's own address"),
    ({**OPENAI, "PILLION_OPENAI_BASE_URL": "https://user:password@h/v1"}, "must be http"),
    ({**OPENAI, "PILLION_OPENAI_BASE_URL": "file:///etc/passwd"}, "must be http"),
    ({**OPENAI, "PILLION_OPENAI_CA": "/nowhere"}, "cannot be read"),
    ({**OPENAI, "PILLION_OPENAI_PROXY": "ftp://h"}, "must be http"),
    ({"OPENAI_API_KEY": "k\r\nX-Injected: 1"}, "cannot be sent in a header"),
    ({"PILLION_CLIENT_HEADER": "inf"}, "a number of seconds"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "why"), UNSAFE, ids=lambda value: " ".join(value) if isinstance(value, dict) else None
)
def test_a_configuration_that_is_not_safe_is_refused_with_the_reason(environ: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load(environ=environ)
