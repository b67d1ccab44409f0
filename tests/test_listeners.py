"""Is everything found where it ought to be, and nowhere else?"""

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.edge import listening
from proxy.edge.listening import CannotListen
from tests.client import OPENAI, Client, ask, spell
from tests.gateway import pillion

ROOT = Path(__file__).parent.parent
KEY = "k-canary"
CLUSTER = "127.0.0.1:0"
SHOWN = [("Authorization", f"Bearer {KEY}")]


# --- for the cluster -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/metrics", "/startup", "/readiness", "/liveness"])
async def test_the_cluster_sees_metrics_and_probes_and_needs_no_key(path: str) -> None:
    async with pillion(PILLION_METRICS_ADDRESS=CLUSTER, PILLION_CLIENT_KEY=KEY) as gateway:
        assert (await ask(gateway.app.addresses[-1], "GET", path)).status == 200


NOT_FOR_THE_CLUSTER = [
    "/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/models", "/models/x", "/v1/embeddings", "/providers",
    "/providers/echo/health", "/api/tags", "/v2/chat", "/quitquitquit", "/v1/metrics", "/metrics/x", "/",
    "/readiness/x",
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_cluster_sees_nothing_else(method: str) -> None:
    async with pillion(PILLION_METRICS_ADDRESS=CLUSTER, PILLION_QUITQUITQUIT="true") as gateway:
        there = gateway.app.addresses[-1]
        for path in NOT_FOR_THE_CLUSTER:
            got = await ask(there, method, path, b"{}" if method == "POST" else b"")
            assert (got.status, OPENAI.error(got.body)["code"]) == (404, "unknown_url"), path


@pytest.mark.parametrize(
    ("host", "status"), [("10.2.3.4:9455", 200), ("pillion-metrics", 200), ("a.b.svc:1", 200), ("evil.example", 421)]
)
async def test_prometheus_may_call_us_by_a_services_name(host: str, status: int) -> None:
    async with pillion(PILLION_METRICS_ADDRESS=CLUSTER) as gateway:
        there = gateway.app.addresses[-1]
        reader, writer = await asyncio.open_connection(there.host, there.port)
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert (await Client(reader, writer).answer()).status == status
        writer.close()
        await writer.wait_closed()


def test_the_clusters_listener_is_reached_from_another_namespace_and_the_apps_is_not(tmp_path: Path) -> None:
    if not all(shutil.which(tool) for tool in ("unshare", "nsenter", "ip")):
        pytest.skip("unshare, nsenter and ip are not all here")
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets nobody here make a network namespace")
    script = Path(__file__).with_name("namespaces.sh")
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, "SCRATCH": str(tmp_path)}
    done = subprocess.run(
        ["unshare", "-rn", "sh", str(script)], env=environ, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.splitlines() == [
        "metrics 200", "readiness 200", "liveness 200", "models 404", "apps refused", "apps at home 200"
    ], done.stderr  # fmt: skip


# --- for operators ---------------------------------------------------------------------------------------------------

ADMIN = ["/providers", "/providers/echo/health"]


@pytest.mark.parametrize("path", ADMIN)
async def test_without_keys_operators_are_served_with_the_apps(path: str) -> None:
    async with pillion() as gateway:
        assert (await ask(gateway, "GET", path)).status == 200


OF_BUDGETS = """
keys: {ann: {key: the-key-of-ann}, bob: {key: the-key-of-bob}}
budgets: {each: {usd: 1, client: '*'}, bobs-own: {usd: 2, client: bob}}
admin: {address: '127.0.0.1:0'}
ledger: {create: true}
metrics_address: 127.0.0.1:0
"""
ANN, BOB = [("x-api-key", "the-key-of-ann")], [("x-api-key", "the-key-of-bob")]


async def test_an_app_is_not_told_of_the_budgets_of_others(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(OF_BUDGETS)
    request = OPENAI.request(model="echo/text")
    async with pillion(PILLION_CONFIG=str(tmp_path / "config.yaml"), PILLION_STATE_DIR=str(tmp_path)) as gateway:
        for key in (ANN, BOB):
            assert (await ask(gateway, "POST", OPENAI.path, request, key)).status == 200
        operators, cluster = gateway.app.addresses[1:]
        whole = (await ask(operators, "GET", "/metrics", headers=ANN)).body
        assert b'budget_limit_usd{budget="bobs-own",client="bob",' in whole
        assert b"pillion_budget_limit_usd{" in (await ask(cluster, "GET", "/metrics")).body
        for accept in ("text/plain", "application/openmetrics-text"):
            told = (await ask(gateway, "GET", "/metrics", headers=[*ANN, ("Accept", accept)])).body
            assert b"pillion_budget" not in told
            assert b"bob" not in told
            assert b"pillion_requests_total{" in told


async def test_where_no_key_is_asked_for_metrics_tell_of_budgets() -> None:
    async with pillion(PILLION_BUDGETS='{"all": {"usd": 1}}') as gateway:
        assert b"pillion_budget_limit_usd" in (await ask(gateway, "GET", "/metrics")).body


@pytest.mark.parametrize("path", ADMIN)
async def test_with_keys_operators_have_a_listener_of_their_own(path: str) -> None:
    async with pillion(PILLION_CLIENT_KEY=KEY, PILLION_ADMIN_ADDRESS="127.0.0.1:0") as gateway:
        assert (await ask(gateway, "GET", path)).status == 401
        got = await ask(gateway, "GET", path, headers=SHOWN)
        assert (got.status, OPENAI.error(got.body)["code"]) == (404, "admin_listener_only")
        there = gateway.app.addresses[1]
        assert (await ask(there, "GET", path)).status == 401
        assert (await ask(there, "GET", path, headers=SHOWN)).status == 200
        assert (await ask(there, "GET", "/readiness")).status == 200
        assert (await ask(there, "POST", OPENAI.path, b"{}", SHOWN)).status == 404


async def test_each_listener_asks_for_the_host() -> None:
    async with pillion(
        PILLION_ADMIN_ADDRESS="127.0.0.1:0", PILLION_METRICS_ADDRESS=CLUSTER, PILLION_ALLOWED_HOSTS="other"
    ) as gateway:
        main, admin, cluster = gateway.app.addresses
        assert [(await ask(at, "GET", "/liveness")).status for at in (main, admin, cluster)] == [421, 421, 200]
        page = [("Origin", "https://evil.example")]
        assert (await ask(cluster, "GET", "/metrics", headers=page)).status == 403


async def test_one_address_that_is_taken_lets_none_open() -> None:
    async with pillion() as first:
        taken = f"127.0.0.1:{first.port}"
        with pytest.raises(CannotListen, match=f"cannot listen on {taken}: address already in use"):
            async with pillion(PILLION_METRICS_ADDRESS=taken):
                pass


async def test_where_one_address_of_a_name_is_taken_the_other_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    async def both(host: str, port: int, **more: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (2, 1)]

    def create(where: tuple[str, int], **more: Any) -> socket.socket:
        made.append(socket.create_server(where, **more))
        return made[-1]

    async with pillion() as first:
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "get_running_loop", lambda: SimpleNamespace(getaddrinfo=both))
            patched.setattr(listening, "socket", SimpleNamespace(**{**vars(socket), "create_server": create}))
            with pytest.raises(OSError, match="address already in use"):
                await listening._at_address("localhost", first.port)
        assert [sock.fileno() for sock in made] == [-1]


class Failing:
    """The loop, where the first connection cannot be taken over: its client has reset it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.failed: list[socket.socket] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def connect_accepted_socket(self, doors: Any, sock: socket.socket) -> Any:
        if self.failed:
            return await self._loop.connect_accepted_socket(doors, sock)
        self.failed.append(sock)
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


async def test_who_has_left_before_he_was_let_in_leaves_nothing_behind() -> None:
    async with pillion() as gateway:
        listener = gateway.app.server._listener
        assert listener is not None
        listener._loop = loop = cast(Any, Failing(listener._loop))
        with pytest.raises(asyncio.IncompleteReadError):
            await ask(gateway, "GET", "/liveness")
        assert ([sock.fileno() for sock in loop.failed], gateway.app.room.coming) == ([-1], 0)
        assert (await ask(gateway, "GET", "/liveness")).status == 200


# --- a Unix socket ---------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "pillion.sock"
    assert not list(tmp_path.glob("*.sock")), "the socket's file is still there"


def is_there(path: Path) -> bool:
    return path.exists()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def taken_over(path: Path) -> None:
    path.unlink()
    abandoned(path)


def removed(path: Path) -> None:
    path.unlink()


def abandoned(path: Path) -> None:
    """A socket of a process that died."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


async def asked(path: Path, request: bytes) -> int:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(request)
    got = await Client(reader, writer).answer()
    writer.close()
    await writer.wait_closed()
    return got.status


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("there", [False, True], ids=["free", "abandoned"])
async def test_a_unix_socket_serves_its_owner_and_is_gone_at_the_end(there: bool, stream: bool, path: Path) -> None:
    if there:
        abandoned(path)
    async with pillion(PILLION_LISTEN=f"unix:{path}") as gateway:
        assert mode(path) == 0o600
        request = OPENAI.request(stream, "echo/text")
        assert await asked(path, spell("POST", OPENAI.path, request)) == 200
        assert str(gateway.app.addresses[0]) == f"unix:{path}"
    assert not is_there(path)


async def test_a_unix_socket_where_somebody_listens_is_left_alone(path: Path) -> None:
    async with pillion(PILLION_LISTEN=f"unix:{path}"):
        with pytest.raises(CannotListen, match=f"cannot listen on unix:{path}: address already in use"):
            async with pillion(PILLION_LISTEN=f"unix:{path}"):
                pass
        assert await asked(path, spell("GET", "/liveness")) == 200


async def test_a_unix_socket_where_many_wait_to_be_let_in_is_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as stack:
        busy.bind(str(path))
        busy.listen(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(99):
                one = stack.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                one.connect(str(path))
        with pytest.raises(CannotListen, match="address already in use"):
            async with pillion(PILLION_LISTEN=f"unix:{path}"):
                pass
        assert is_there(path)
    os.unlink(path)


async def test_a_unix_socket_in_a_folder_that_is_not_there_is_told_of(path: Path) -> None:
    where = f"unix:{path.parent}/no/x.sock"
    with pytest.raises(CannotListen, match=f"cannot listen on {where}: no such file or directory"):
        async with pillion(PILLION_LISTEN=where):
            pass


async def test_a_unix_socket_that_somebody_has_removed_is_not_missed(path: Path) -> None:
    async with pillion(PILLION_LISTEN=f"unix:{path}"):
        removed(path)


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_text("data")
    with pytest.raises(CannotListen, match="there is a file that is not a socket"):
        async with pillion(PILLION_LISTEN=f"unix:{file}"):
            pass
    assert file.read_text() == "data"


async def test_a_place_that_another_has_taken_over_is_not_taken_from_him(path: Path) -> None:
    async with pillion(PILLION_LISTEN=f"unix:{path}"):
        taken_over(path)
    assert is_there(path)
    os.unlink(path)


async def test_a_unix_socket_is_given_up_when_the_drain_begins(path: Path) -> None:
    async with pillion(PILLION_LISTEN=f"unix:{path}") as gateway:
        gateway.app.retire()
        assert not is_there(path)
        with contextlib.suppress(FileNotFoundError):
            await asked(path, spell("GET", "/liveness"))
