"""Which requests are let in, by their Host and Origin?"""

import pytest

from proxy.edge.hosts import Hosts
from proxy.errors import GatewayError
from tests.client import OPENAI, ask, client, spell
from tests.gateway import pillion

OURS = ["localhost", "localhost:7455", "LOCALHOST", "127.0.0.1:7455", "[::1]:7455", "[::1]", "10.1.2.3:80", "pillion:1"]
NAMES_OF_OTHERS = """
    evil.example evil.example:7455 localhost.evil.example 127.0.0.1.nip.io 127.0.0.1.evil.example:7455 localhost.
    localhost.: evillocalhost notlocalhost:7455 localhost-evil local host.docker.internal pillion.evil.example
    evil.pillion 0.0.0.0 0.0.0.0:7455 [::] [::]:7455 [::ffff:0.0.0.0] [0:0:0:0:0:0:0:0] 2130706433 2130706433:7455
    0x7f000001 0x7f.0.0.1 0177.0.0.1 017700000001 127.1 127.0.1 127.000.000.001 1.2.3 1.2.3.4.5 256.0.0.1 127.0.0.1.
    a.svc a.default.svc.cluster.local a.local a.internal pillion-metrics xn--lcalhost-65a localhost.localdomain
    ip6-loopback ip6-localhost [::ffff:0:0] evil.localhost 0 127
""".split()
NO_NAMES = [
    "", ":80", "[]", "[]:80", ":", "localhost@evil", "evil@localhost", "user:pass@localhost", "a, b",
    "localhost, localhost", "localhost localhost", "localhost/x", "localhost/x?", "x/?", "localhost?", "localhost#",
    "localhost:", "localhost:x", "localhost:123456", "localhost:80:80", "[::1", "::1", "::1]:80", "[::1]x", "[::1]80",
    "[127.0.0.1]@", "[localhost]", "http://localhost", "//localhost", "localhost\\", "localhost%00", "localhost\t.evil",
    "l\u00f6calhost", "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54", "127\u30020\u30020\u30021",
    "\udcff", "*", "*.localhost", "local host", "<localhost>", "'localhost'",
]  # fmt: skip
FOREIGN = ["https://evil.example", "http://localhost.evil.example:7455", "null", "http://93.184.216.34", "",
           "localhost", "file://", "chrome-extension://abc", "http://0.0.0.0", "http://10.0.0.1", "http://127.0.0.1.nip.io",
           "http://localhost@evil.example", "http://localhost, http://evil.example"]  # fmt: skip


def refused(headers: dict[str, str], hosts: Hosts | None = None) -> tuple[int, str]:
    with pytest.raises(GatewayError) as caught:
        (hosts or Hosts(["pillion"])).check(headers)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("host", OURS)
def test_our_names_and_bare_addresses_are_let_in(host: str) -> None:
    hosts = Hosts(["pillion"])
    hosts.check({"host": host})
    hosts.check({"host": host})  # remembered now


@pytest.mark.parametrize("host", NAMES_OF_OTHERS)
def test_a_name_that_is_not_ours_is_refused_every_time(host: str) -> None:
    hosts = Hosts(["pillion"])
    assert [refused({"host": host}, hosts)[0] for _ in range(2)] in ([421, 421], [400, 400])


@pytest.mark.parametrize("host", NO_NAMES, ids=ascii)
def test_a_host_that_names_nobody_is_a_bad_request(host: str) -> None:
    assert refused({"host": host})[0] in (400, 421)


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    assert refused({"host": "localhost", "origin": origin}) == (403, "origin_not_allowed")


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:8080", "http://app:80"])
def test_a_page_of_this_machine_is_not(origin: str) -> None:
    ours = {"host": "localhost", "origin": origin}
    Hosts(["app"]).check({**ours, "sec-fetch-site": "same-site"})
    assert refused({**ours, "sec-fetch-site": "cross-site"}, Hosts(["app"])) == (403, "origin_not_allowed")


def test_a_browser_that_says_no_origin_says_where_its_page_is_from() -> None:
    hosts = Hosts()
    for far in ("cross-site", "Cross-Site", " cross-site ", "none, cross-site", "cross-site,cross-site"):
        assert refused({"host": "localhost", "sec-fetch-site": far}) == (403, "origin_not_allowed")
    for near in ("none", "same-origin", "same-site"):
        hosts.check({"host": "localhost", "sec-fetch-site": near})


def test_only_a_probe_of_http_1_0_need_not_say_a_host() -> None:
    Hosts(private=True).check({})
    assert refused({}) == (400, "invalid_host")


@pytest.mark.parametrize(
    ("allowed", "let_in", "not_let_in"),
    [
        ("pillion", "pillion:7455", "a.pillion"),
        ("Pillion:7455", "pillion:7455", "pillion:7456"),
        ("*.example.com", "a.b.example.com:1", "example.com"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80", "x.example"),
    ],
)
def test_an_allowed_name_may_have_a_port_or_begin_anyhow(allowed: str, let_in: str, not_let_in: str) -> None:
    hosts = Hosts([allowed])
    hosts.check({"host": let_in})
    assert refused({"host": not_let_in}, hosts) == (421, "host_not_allowed")


@pytest.mark.parametrize(
    "host", ["10.1.2.3:9455", "pillion-metrics", "app.default.svc", "app.default.svc.cluster.local:1"]
)
def test_in_a_cluster_names_that_nobody_can_own_in_public_are_let_in(host: str) -> None:
    Hosts(private=True).check({"host": host})


@pytest.mark.parametrize("host", ["evil.example", "svc.evil.example", "2130706433", "0.0.0.0", "app.svc.evil.example"])
def test_in_a_cluster_others_are_not(host: str) -> None:
    assert refused({"host": host}, Hosts(private=True)) == (421, "host_not_allowed")


def test_the_names_that_are_remembered_are_bounded() -> None:
    hosts = Hosts()
    for port in range(1000):
        hosts.check({"host": f"localhost:{port}"})
    assert len(hosts._met) == 100


# --- in front of everything ------------------------------------------------------------------------------------------

PATHS = ["/liveness", "/metrics", "/v1/models", "/v1/chat/completions", "/nowhere", "/providers/echo/health"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_every_route_asks_for_the_host_before_key_and_method(method: str, path: str) -> None:
    async with pillion(PILLION_ALLOWED_HOSTS="other", PILLION_CLIENT_KEY="k") as gateway:
        got = await ask(gateway, method, path)  # for `pillion`
        assert (got.status, OPENAI.error(got.body)["code"]) == (421, "host_not_allowed")
        assert "access-control" not in got.raw_headers.lower()


async def test_a_stranger_by_name_has_no_body_read() -> None:
    async with pillion(PILLION_ALLOWED_HOSTS="other") as gateway, client(gateway) as one:
        await one.send(spell("POST", OPENAI.path, headers=[("Content-Length", "1000")]))  # and no body
        assert (await one.answer()).status == 421


async def test_no_spelling_of_a_host_reaches_a_handler() -> None:
    spellings = [host for host in NAMES_OF_OTHERS + NO_NAMES if host.isascii() and host.isprintable()]
    assert len(spellings) >= 80
    async with pillion(PILLION_ALLOWED_HOSTS="pillion") as gateway:
        for host in spellings:
            async with client(gateway) as one:
                await one.send(f"GET /liveness HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                assert (await one.answer()).status in (400, 421), host


async def test_no_page_of_others_reaches_a_handler() -> None:
    async with pillion() as gateway:
        for origin in FOREIGN:
            for method in ("GET", "POST", "OPTIONS"):
                got = await ask(gateway, method, "/v1/models", headers=[("Origin", origin)])
                assert got.status == 403, origin


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"]
)
async def test_what_a_form_can_send_is_not_taken(media_type: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(model="echo/text"), [("Content-Type", media_type)])
        assert got.status == 415


async def test_a_host_in_an_absolute_target_is_the_one_that_counts() -> None:
    async with pillion() as gateway, client(gateway) as one:
        await one.send(b"GET http://evil.example/liveness HTTP/1.1\r\nHost: pillion\r\n\r\n")
        assert (await one.answer()).status == 421
