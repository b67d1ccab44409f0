"""Is the pillion of this configuration up?

What `pillion healthcheck` and `pillion wait` ask, by hand over a socket: a container runs the former every few seconds,
so it must not cost what a client of HTTP costs to import.
"""

import socket
from time import monotonic, sleep

from proxy.config import Address, Config

PATIENCE = 4.0  # seconds for one answer
PAUSE = 0.1  # seconds between two questions

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  whoever listens everywhere listens here


def healthcheck(config: Config) -> str:
    """Why it is not alive; nothing where it is."""
    return _why_not(_where(config), "/liveness", PATIENCE)


def wait(config: Config, seconds: float) -> str:
    """Why it is not ready, after as many seconds; nothing as soon as it is."""
    until = monotonic() + seconds
    while (why := _why_not(_where(config), "/readiness", PATIENCE)) and monotonic() < until:
        sleep(PAUSE)
    return why


def _where(config: Config) -> Address:
    """The listener for the cluster, where there is one, answers to the end; the other is closed while we drain."""
    return config.metrics_address or config.listen


def _why_not(address: Address, path: str, patience: float) -> str:
    try:
        with _connected(address, patience) as sock, sock.makefile("rb") as answer:
            sock.sendall(f"GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n".encode())
            status = answer.readline(256).split(b" ")[1:2]
    except OSError as error:
        return f"{address}: {(error.strerror or str(error)).lower()}"
    if status == [b"200"]:
        return ""
    said = status[0].decode() if status and status[0].isdigit() else "no HTTP"
    return f"{address} answers {said} to {path}"


def _connected(address: Address, patience: float) -> socket.socket:
    """Raises OSError."""
    if not address.path:
        host = _ANYWHERE.get(address.host, address.host)
        return socket.create_connection((host, address.port), patience)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(patience)
        sock.connect(address.path)
    except BaseException:
        sock.close()
        raise
    return sock
