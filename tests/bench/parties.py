"""Who takes part where a figure is measured: pillion with a clock in its loop, a provider, a probe, a client?"""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from tests.bench.server import Server
from tests.bench.stage import CHECKOUT, HERE, free_port
from tests.bench.traffic import READINESS

MIB = 1024 * 1024
PATIENCE = 60.0  # seconds

_SAID = json.dumps(
    {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()  # fmt: skip


def spelled(kind: str, body: bytes) -> bytes:
    """An answer of this content type."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


ANSWER = spelled("application/json", _SAID)


class Pillion(NamedTuple):
    server: Server
    cluster: int  # the port where it tells of itself

    def stall(self) -> float:
        """Milliseconds that its loop stood still at most, since it was last asked."""
        return 1000 * self.metric("bench_stall")

    def metric(self, name: str) -> float:
        """Of those without labels, the first that begins with this."""
        _, text = get(self.cluster, "/metrics")
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name))


@contextmanager
def pillion(folder: Path, provider: str, more: Mapping[str, str], descriptors: int = 0) -> Iterator[Pillion]:
    """`provider`: where OpenAI is. `descriptors`: how many it may have."""
    port, cluster = free_port(), free_port()
    environ = {
        "OPENAI_API_KEY": "sk-bench",
        "PILLION_OPENAI_BASE_URL": f"{provider}/v1",
        "PILLION_LISTEN": f"127.0.0.1:{port}",
        "PILLION_METRICS_ADDRESS": f"127.0.0.1:{cluster}",
        "PILLION_ALLOWED_HOSTS": "pillion",
        "PILLION_LOG_LEVEL": "error",
        **more,
    }
    command = [sys.executable, str(HERE / "ticking.py"), *([str(descriptors)] if descriptors else [])]
    with Server(command, port, folder / f"pillion-{port}.log", environ, CHECKOUT) as server:
        server.await_good(READINESS)
        yield Pillion(server, cluster)


class Provider:
    """Answers every request at once, whole, or never (`b""`). It reads with blocking sockets: little of a core goes
    into it.
    """

    def __init__(self, answer: bytes = ANSWER) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=[sock], daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(ConnectionError):
            while _request(sock):
                sock.sendall(self._answer)


def _request(sock: socket.socket) -> bool:
    """Has one come whole, before the end?"""
    held = b""
    while b"\r\n\r\n" not in held:
        if not (some := sock.recv(65536)):
            return False
        held += some
    head, _, body = held.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    sizes = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")]  # none: it is a GET
    left = sum(sizes) - len(body)
    while left > 0:
        left -= len(sock.recv(min(left, MIB)))
    return True


def get(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path)
    with connection.getresponse() as answer:
        return answer.status, answer.read().decode()


def post(port: int, path: str, body: bytes) -> int:
    """The status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    with connection.getresponse() as answer:
        answer.read()
        return answer.status


class Probing:
    """Asks `/liveness` again and again, while it lasts; how long each took, in milliseconds."""

    def __init__(self, port: int) -> None:
        self.took: list[float] = []
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Probing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            get(self._port, "/liveness")
            self.took.append(1000 * (time.perf_counter() - began))
            time.sleep(0.005)
