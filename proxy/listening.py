"""Where are we to be found, and is the place free?

A TCP address, or a Unix socket that its owner alone may use (mode 0600). A socket that a dead process left behind is
replaced; one where somebody still listens is not.
"""

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE, EEXIST

BACKLOG = 1024  # connections that wait to be accepted

Doors = Callable[[], asyncio.Protocol]


class CannotListen(Exception):
    """Start-up only: the address, and why."""


class Listener:
    """A place that is ours. `close` gives it up; connections that it has accepted stay."""

    def __init__(self, server: asyncio.Server, path: str = "") -> None:
        self._server = server
        self._path = path
        self._file = _identity(path) if path else None
        # Host and port: the one that the kernel chose, where it was asked for port 0. A Unix socket has none.
        self.address: tuple[str, int] = ("", 0) if path else server.sockets[0].getsockname()[:2]

    def __repr__(self) -> str:
        return f"<Listener {self._path or self.address}>"

    def close(self) -> None:
        self._server.close()
        if self._path and self._file == _identity(self._path):  # not where another has taken the place since
            with suppress(OSError):
                os.unlink(self._path)
        self._path = ""

    async def wait_closed(self) -> None:
        await self._server.wait_closed()


async def listen(doors: Doors, host: str, port: int, path: str = "") -> Listener:
    """`doors` makes a protocol for each connection. Raises OSError where the place is taken or cannot be had."""
    loop = asyncio.get_running_loop()
    if not path:
        return Listener(await loop.create_server(doors, host, port, backlog=BACKLOG))
    sock = _bound(path)
    try:
        return Listener(await loop.create_unix_server(doors, sock=sock, backlog=BACKLOG), path)
    except BaseException:
        sock.close()
        raise


def _bound(path: str) -> socket.socket:
    """Raises OSError."""
    _clear(path)
    sock = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)  # from the first moment on nobody else may connect: a later chmod would leave a gap
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
    sock.setblocking(False)
    return sock


def _clear(path: str) -> None:
    """Take away a socket that nobody listens on. Raises OSError where somebody does, or where it is no socket."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(EEXIST, "a file that is no socket is there")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)  # EAGAIN: one that listens, and has its backlog full
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
                return
            except BlockingIOError:
                pass
        raise OSError(EADDRINUSE, "address already in use")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
