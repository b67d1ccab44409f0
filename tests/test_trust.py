"""Are the machine's certificates loaded when somebody shows one, and is nobody trusted without them?"""

import asyncio
import ssl
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import trustme

from proxy.edge import trust
from proxy.edge.remote import Fetcher, NotFetched
from proxy.errors import Down, Timeout
from tests.client import OPENAI, ask, chat
from tests.evil import Evil, authority
from tests.gateway import pillion
from tests.test_egress import ANSWER, LISTED, get, post, relay
from tests.test_remote import LIMIT, PNG, SHOWN, is_here
from tests.test_upstream import QUICK, pool

# What aiohttp's own connector says to a provider that the machine trusts.
ASK = """
import asyncio, os, sys
before = dict(os.environ)
import proxy.process.serving
import aiohttp
assert dict(os.environ) == before

async def ask():
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(sys.argv[1]) as response:
                return response.status
        except aiohttp.ClientConnectorCertificateError as error:
            return error.certificate_error.verify_message

print(asyncio.run(ask()))
"""


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """What has been made to trust the machine's, of which nothing was loaded before, and by which thread."""
    made: list[ssl.SSLContext] = []
    create = ssl.create_default_context

    def make() -> ssl.SSLContext:
        assert threading.current_thread() is not threading.main_thread()
        made.append(create())
        return made[-1]

    monkeypatch.setattr(trust, "_kept", [])
    monkeypatch.setattr(ssl, "create_default_context", make)
    return made


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's file of certificates, with our authority's, which was not loaded yet."""
    monkeypatch.setattr(trust, "_kept", [])
    file = tmp_path / "machine.pem"
    fill(file, authority())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return file


def fill(file: Path, *trusted: trustme.CA) -> None:
    file.write_bytes(b"".join(one.cert_pem.bytes() for one in trusted))


# --- aiohttp's own ---------------------------------------------------------------------------------------------------


def printed(*words: str) -> str:
    return subprocess.check_output([sys.executable, "-c", *words], text=True).strip()


@pytest.mark.usefixtures("machine")
def test_what_serves_has_loaded_none() -> None:
    contexts = "aiohttp.connector._SSL_CONTEXT_VERIFIED, aiohttp.connector._SSL_CONTEXT_UNVERIFIED"
    count = f"print([one.cert_store_stats()['x509'] for one in ({contexts})])"
    assert printed(f"import aiohttp.connector; {count}") == "[1, 1]"
    assert printed(f"import proxy.process.serving, aiohttp.connector; {count}") == "[0, 0]"


@pytest.mark.parametrize("given", ["file", "folder"])
async def test_aiohttps_own_trusts_nobody(given: str, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if given == "folder":
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
        monkeypatch.setenv("SSL_CERT_DIR", str(machine.parent))
        (machine.parent / f"{_hashed(machine)}.0").symlink_to(machine)
    async with Evil(LISTED, tls=True) as evil:
        assert await asyncio.to_thread(printed, ASK, evil.url) == "unable to get local issuer certificate"
        async with aiohttp.ClientSession() as session:  # which is not for want of trust in the machine
            url, tls = evil.url, ssl.create_default_context()
            async with session.get(url, ssl=tls) as response:
                assert response.status == 200


def _hashed(certificate: Path) -> str:
    """What OpenSSL looks for in a folder."""
    command = ["openssl", "x509", "-noout", "-hash", "-in", str(certificate)]
    try:
        return subprocess.check_output(command, text=True).strip()
    except FileNotFoundError:
        pytest.skip("there is no openssl")


# --- ours ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("machine")
async def test_without_tls_nothing_is_loaded(loads: Sequence[ssl.SSLContext]) -> None:
    """Though there is a provider with TLS, whom nobody asks."""
    more = {"ANTHROPIC_API_KEY": "x", "PILLION_FETCH_IMAGES": "true"}
    async with Evil(LISTED, ANSWER) as evil, pillion(**OPENAI.environ(evil.url), **more) as gateway:
        assert (await ask(gateway, "GET", "/providers/openai/health")).status == 200
        assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).body == OPENAI.whole
    assert loads == []


@pytest.mark.usefixtures("machine")
async def test_it_is_loaded_once_for_whoever_needs_it(loads: Sequence[ssl.SSLContext]) -> None:
    plays = {"POST": ANSWER, "GET": LISTED}
    async with (
        Evil(answering=lambda request: plays[request.method], tls=True) as evil,
        pillion(**OPENAI.environ(evil.url)) as gateway,
    ):
        asked = [chat(gateway, OPENAI, OPENAI.request(model="openai/m")) for _ in range(3)]
        assert [got.body for got in await asyncio.gather(*asked)] == [OPENAI.whole] * 3
        assert (await ask(gateway, "GET", "/providers/openai/health")).status == 200
        assert await gateway.app.upstream.tell(f"{evil.url}/hook", b"{}") == 200
    assert len(loads) == 1


@pytest.mark.usefixtures("machine", "loads")
async def test_a_strangers_file_comes_from_whom_the_machine_trusts() -> None:
    async with Evil(SHOWN, tls=True) as evil:
        fetcher = Fetcher(None, evil.port, is_here)
        try:
            assert (await fetcher.get(f"{evil.url}/a.png", LIMIT)).data == PNG
        finally:
            await fetcher.close()


async def test_whom_the_machine_does_not_know_is_refused(loads: Sequence[ssl.SSLContext], machine: Path) -> None:
    fill(machine, trustme.CA())
    async with Evil(tls=True) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
        assert (got.status, OPENAI.error(got.body)["code"]) == (502, "tls_error")
        with pytest.raises(Down, match="TLS connection"):
            await gateway.app.upstream.tell(evil.url, b"{}")
        fetcher = Fetcher(None, evil.port, is_here)
        with pytest.raises(NotFetched, match="no trusted certificate"):
            await fetcher.get(f"{evil.url}/a.png", LIMIT)
        await fetcher.close()
        assert evil.requests == []
    assert len(loads) == 1


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("known", [True, False])
async def test_a_proxy_that_shows_a_certificate_is_judged_too(
    known: bool, loads: Sequence[ssl.SSLContext], machine: Path
) -> None:
    """Though what is behind it speaks plain HTTP."""
    if not known:
        fill(machine, trustme.CA())
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("127.0.0.1").configure_cert(shown)
    async with Evil(LISTED, ANSWER) as evil, relay(tls=shown) as one, pool() as upstream:
        for ask_by in (get, post):
            asking = ask_by(upstream, evil.url, proxy=f"https://127.0.0.1:{one.port}")
            if known:
                assert await asking in (200, OPENAI.whole)
            else:
                with pytest.raises(Down) as caught:
                    await asking
                assert caught.value.code in ("tls_error", "proxy_error")
        evil.queue.clear()
        assert (len(one.heads) > 0) == known
    assert len(loads) == 1


async def test_a_file_that_could_not_be_read_is_looked_at_again(loads: Sequence[ssl.SSLContext], machine: Path) -> None:
    """As when there were no descriptors left: else nobody would be trusted until the next start."""
    fill(machine)
    async with Evil(ANSWER, tls=True) as evil, pool() as upstream:
        with pytest.raises(Down, match="TLS connection"):
            await post(upstream, evil.url)
        fill(machine, authority())
        assert await post(upstream, evil.url) == OPENAI.whole
    assert len(loads) == 2


async def test_whoever_waits_for_it_waits_no_longer_than_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on = threading.Event()
    monkeypatch.setattr(trust, "_kept", [])
    monkeypatch.setattr(trust, "machines", may_go_on.wait)
    try:
        async with Evil(ANSWER, tls=True) as evil, pool() as upstream:
            with pytest.raises(Timeout, match=r"0\.3"):
                await post(upstream, evil.url, QUICK)
            assert evil.connections == 0
    finally:
        may_go_on.set()


@pytest.mark.usefixtures("machine")
def test_aiohttps_own_settings_are_ours() -> None:
    theirs, ours = aiohttp.connector._make_ssl_context(True), trust.machines()
    for name in ("options", "verify_mode", "verify_flags", "check_hostname", "minimum_version", "keylog_filename"):
        assert getattr(ours, name) == getattr(theirs, name), name


async def test_h2_is_not_offered(machine: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("127.0.0.1").configure_cert(server)
    server.set_alpn_protocols(["h2", "http/1.1"])
    for client in (trust.machines(), trust.trusting(machine)):
        one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = [client.wrap_bio(one, other, server_hostname="127.0.0.1"), server.wrap_bio(other, one, server_side=True)]
        for _ in range(4):
            for end in ends:
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        assert {end.selected_alpn_protocol() for end in ends} == {"http/1.1"}
