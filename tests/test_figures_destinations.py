"""Can anything that a client says choose where pillion connects to?

Figure A2: whatever stands in path, query, headers and body, connections are made to the operator's providers alone,
and what is sent on them names the same host, below the same base path. The connector notes where it is to connect to,
and connects to nowhere.
"""

import json
import random
from collections.abc import Iterator, Mapping
from posixpath import normpath
from typing import Any, NoReturn, cast

import pytest
from yarl import URL

from proxy.edge.door import Door
from proxy.edge.inbound import Inbound
from proxy.edge.origins import Origin
from tests.gateway import Gateway, pillion
from tests.laws import share
from tests.test_figures_access import Nowhere, routes

ENVIRON = {
    "OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "GEMINI_API_KEY": "k", "CO_API_KEY": "k", "GROQ_API_KEY": "k",
    "AZURE_OPENAI_API_KEY": "k", "PILLION_AZURE_BASE_URL": "https://mine.openai.azure.com/base",
    "AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "eu-west-1",
    "PILLION_ALLOWED_HOSTS": "*.example, pillion",
}  # fmt: skip
DEEP = ["openai", "anthropic", "gemini", "cohere", "groq", "bedrock"]  # whose base URLs have a path here
ENVIRON |= {f"PILLION_{name.upper()}_BASE_URL": f"https://{name}.example/deep/v1" for name in DEEP}

# --- what clients say ------------------------------------------------------------------------------------------------

PLACES = [
    "http://evil.example", "https://evil.example/v1", "//evil.example", "evil.example", "evil.example:443",
    "@evil.example", "user@evil.example", "k:k@evil.example:80", "\\\\evil.example\\v1", "http:evil.example",
    "169.254.169.254", "http://169.254.169.254/latest/meta-data", "[::1]:80", "127.1", "2130706433", "localhost",
    "file:///etc/passwd", "unix:/var/run/docker.sock", "gopher://evil.example:70/_", "evil.example#", "evil.example?",
    "..", "../..", "../../../evil.example", "%2e%2e/%2e%2e", "..%2f..%2f", "..;/", "./", "/", "//",
    "%2f%2fevil.example", "\r\nHost: evil.example", "m HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /",
    "%0d%0aHost:%20evil.example", "\x00", "\t", "m\u2025m", "evil\u3002example", "\uff0f\uff0fevil.example",
    "xn--vil-hza.example", "${jndi:ldap://evil.example}", "arn:aws:bedrock:evil.example:1:inference-profile/m",
    "arn:aws:bedrock:us-east-1.evil.example/:1:model/m",
    "projects/p/locations/evil.example/publishers/google/models/m", "accounts/evil.example/models/m", "m:443", "m@1",
    "m?key=k&host=evil.example", "m#evil.example", "m;evil.example", "m,evil.example", " ", "", "m", "\ud800",
]  # fmt: skip
SAYABLE = [place for place in PLACES if place.isprintable()]  # in a header: a door lets nothing else through
VENDORS = ["google", "anthropic", "evil.example"]
FIELDS = [
    "base_url", "api_base", "baseURL", "endpoint", "url", "host", "server", "proxy", "region", "location", "project",
    "webhook", "callback_url", "deployment", "provider", "organization", "api_version", "user_agent", "metadata",
    "user",
]  # fmt: skip
HEADERS = [
    "x-forwarded-host", "forwarded", "x-forwarded-server", "x-host", "x-original-url", "x-rewrite-url", "x-base-url",
    "x-pillion-upstream", "x-pillion-provider", "x-pillion-base-url", "proxy", "proxy-connection", "via", "referer",
    "authorization", "x-api-key", "openai-organization", "openai-project", "helicone-target-url",
    "x-portkey-custom-host", "anthropic-beta", "x-goog-user-project", "x-amz-target", "x-ms-region", "location",
    "from", "te", "upgrade",
]  # fmt: skip

Dice = random.Random


def named(dice: Dice, providers: list[str]) -> str:
    """A model's name."""
    provider, place = dice.choice(providers), dice.choice(PLACES)
    return dice.choice([f"{provider}/{place}", f"{provider}/m/{place}", f"{provider}/m{place}", f"{provider}{place}"])


def asked(dice: Dice, providers: list[str]) -> dict[str, Any]:
    """A body that some wire understands, and in it places to go to."""
    place = dice.choice(PLACES)
    parts = [
        {"type": "text", "text": place},
        {"type": "image_url", "image_url": {"url": place}},
        {"type": "image", "source": {"type": "url", "url": place}},
        {"type": "input_file", "file_url": place},
    ]
    content: Any = "Hi" if dice.random() < 0.7 else [dice.choice(parts)]
    data = {"text": "Hi"} if dice.random() < 0.7 else {"fileData": {"fileUri": place}}
    body: dict[str, Any] = {"model": named(dice, providers), "max_tokens": 9, "contents": [{"parts": [data]}]}
    body["messages"] = body["input"] = [{"role": "user", "content": content}]
    if dice.random() < 0.2:
        body["messages"] = [{"role": "user", "content": [{"text": "Hi"}]}]  # in Bedrock's words
    if dice.random() < 0.1:
        body["tools"] = [{"type": "mcp", "server_url": place, "server_label": "m"}]
    return body | {dice.choice(FIELDS): dice.choice([place, {"url": place}]) for _ in range(dice.randrange(3))}


def spelled(dice: Dice, place: str) -> str:
    """A place as it can stand in a request's line."""
    return "".join(char if "!" <= char <= "~" else f"%{ord(char) & 0xFF:02X}" for char in place)


def said(gateway: Gateway, dice: Dice, whole: list[tuple[str, str, str]]) -> tuple[str, bytes, dict[str, str], bytes]:
    """Method, target, headers and body."""
    providers = [*gateway.app.config.providers, "nobody"]
    method, path, operation = dice.choice(
        whole if dice.random() < 0.2 else [each for each in whole if each[0] == "POST"]
    )
    if path.count("/m") and dice.random() < 0.8:
        before, _, behind = path.rpartition("/m")
        if before.endswith("/projects"):
            before += f"/p/locations/{spelled(dice, dice.choice(PLACES))}/publishers/{dice.choice(VENDORS)}/models"
        path = f"{before}/{spelled(dice, named(dice, providers))}{behind}"
    if dice.random() < 0.05:
        path = spelled(dice, dice.choice(PLACES)) + path
    if dice.random() < 0.3:
        path += f"?{dice.choice(FIELDS)}={spelled(dice, dice.choice(PLACES))}"
    headers = {dice.choice(HEADERS): dice.choice(SAYABLE) for _ in range(dice.randrange(4))}
    headers["host"] = "pillion" if dice.random() < 0.8 else dice.choice(["evil.example", "openai.example"])
    body = json.dumps(asked(dice, providers)).encode() if method == "POST" and operation != "quitquitquit" else b""
    return method, path.encode("ascii"), headers, body


# --- where it leads --------------------------------------------------------------------------------------------------


class Noting:
    """In the place of the way out: what is to be connected to, and what would be sent."""

    def __init__(self, gateway: Gateway) -> None:
        self.reached: set[URL] = set()
        self.sent = 0
        self.faults: list[str] = []
        upstream = gateway.app.upstream
        self._send = upstream.send
        upstream.send = self.send  # type: ignore[method-assign]
        upstream._connector.connect = self.connect  # type: ignore[method-assign]

    async def connect(self, req: Any, traces: object, timeout: object) -> NoReturn:
        self.reached.add(req.url.origin())
        raise ConnectionRefusedError

    async def send(self, origin: Origin, head: bytes, body: bytes, **told: Any) -> Any:
        self.sent += 1
        if fault := misled(origin.url, head):
            self.faults.append(f"{fault}: {head!r}")
        return await self._send(origin, head, body, **told)


def misled(base: URL, head: bytes) -> str:
    """What is wrong with a request's head: nothing where it leads below the base URL."""
    first, *lines = head.decode("utf-8", "surrogateescape").removesuffix("\r\n").split("\r\n")
    method, target, version = first.split(" ")
    names = [line.partition(":")[0].lower() for line in lines]
    hosts = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:")]
    if (method, version, len(hosts), "" in names) != ("POST", "HTTP/1.1", 1, False):
        return "no single request"
    if hosts[0] != (base.host if base.is_default_port() else f"{base.host}:{base.port}"):
        return f"for {hosts[0]}"
    path = normpath(target.partition("?")[0])
    below = path.startswith(base.raw_path.rstrip("/") + "/") and not path.startswith("//")
    return "" if below and "\r" not in target else f"above {base}"


async def serve(gateway: Gateway, request: tuple[str, bytes, Mapping[str, str], bytes]) -> bytes:
    """The answer, through the server's one entry, past the sockets."""
    method, target, headers, body = request
    door = Nowhere()
    try:
        inbound = Inbound(cast(Door, door), method, target, dict(headers), http11=True)
    except ValueError:  # a door answers that it is no URL
        return b""
    inbound.add(body)
    inbound.end()
    await gateway.app.server.serve(inbound, cast(Door, door))
    return door.said


def origins(gateway: Gateway) -> set[URL]:
    return {URL(provider.base_url).origin() for provider in gateway.app.config.providers.values()}


def requests(gateway: Gateway) -> Iterator[tuple[str, bytes, dict[str, str], bytes]]:
    dice = random.Random(7)
    whole = [route for route in routes(gateway.app.server.routing) if route[2] not in ("missing", "quitquitquit")]
    for _ in range(share("A2, requests that name places to go to", 100_000, 3_000)):
        yield said(gateway, dice, whole)


async def test_nothing_that_a_client_says_is_a_destination() -> None:
    async with pillion(**ENVIRON) as gateway:
        noting = Noting(gateway)
        for request in requests(gateway):
            if b" 500 " in (await serve(gateway, request)).partition(b"\r\n")[0]:
                noting.faults.append(f"500 for {request}")
        assert noting.reached == origins(gateway)
        assert noting.faults == []


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (b"POST /v1/chat HTTP/1.1\r\nhost: h\r\n", ""),
        (b"POST /v1/../chat HTTP/1.1\r\nhost: h\r\n", "above https://h/v1"),
        (b"POST //evil/v1 HTTP/1.1\r\nhost: h\r\n", "above https://h/v1"),
        (b"POST /v1/chat HTTP/1.1\r\nhost: evil\r\n", "for evil"),
        (b"POST /v1/chat HTTP/1.1\r\nhost: h\r\nhost: h\r\n", "no single request"),
        (b"POST /v1/chat HTTP/1.1\r\nhost: h\r\n\r\nGET / HTTP/1.1\r\n", "no single request"),
    ],
)
def test_a_head_that_leads_astray_is_seen(head: bytes, fault: str) -> None:
    assert misled(URL("https://h/v1"), head) == fault
