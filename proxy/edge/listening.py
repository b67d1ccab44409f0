"""At which address do we listen, is it free, and who is let in?

A TCP address, or a Unix socket that only its owner may use (mode 0600). A socket that a dead process left behind is
replaced; one at which somebody still listens is not.

Connections are accepted here and not by asyncio's server, which accepts until no descriptor is left for anybody: the
room says how many there may be.
"""

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import EADDRINUSE, EEXIST, EMFILE, ENFILE, ENOBUFS, ENOMEM

from proxy.edge.address import Address
from proxy.edge.kernel import watch
from proxy.edge.room import Room

BACKLOG = 1024  # connections that wait to be accepted
BATCH = 32  # connections that are accepted before anything else has its turn
UNSENT = 128 * 1024  # bytes of an answer that the kernel takes before it can send them; by default megabytes
PAUSE = 0.1  # seconds until we accept again after the system had nothing left to accept with

_NOTHING_LEFT = {EMFILE, ENFILE, ENOBUFS, ENOMEM}

Doors = Callable[[], asyncio.Protocol]


class CannotListen(Exception):
    """Start-up only: the address, and why."""


class Listener:
    """An address that is ours. `start` begins to accept; `close` gives it up, and accepted connections stay."""

    def __init__(self, doors: Doors, socks: Sequence[socket.socket], room: Room, path: str = "") -> None:
        """`path`: of a Unix socket that we have made, and remove at the end."""
        self._loop = asyncio.get_running_loop()
        self._doors = doors
        self._socks = list(socks)
        self._room = room
        self._path = path
        self._file = _identity(path) if path else None
        self._coming: set[asyncio.Task[None]] = set()
        self.address = address_of(socks[0])

    def __repr__(self) -> str:
        return f"<Listener {self.address}>"

    def start(self) -> None:
        self._open()

    def watch(self, patience: float) -> None:
        """`patience`: seconds that clients who come from now on may leave their answers unread."""
        for sock in self._socks:
            if sock.family != socket.AF_UNIX:
                watch(sock, patience)

    def close(self) -> None:
        self._shut()
        for sock in self._socks:
            sock.close()
        self._socks = []
        if self._path and self._file == _identity(self._path):  # not if somebody else has put another one there since
            with suppress(OSError):
                os.unlink(self._path)
        self._path = ""

    async def wait_closed(self) -> None:
        """Wait until every connection that was accepted has its door."""
        if self._coming:
            await asyncio.wait(self._coming)

    def _open(self) -> None:
        for sock in self._socks:
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    def _shut(self) -> None:
        for sock in self._socks:
            self._loop.remove_reader(sock.fileno())

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(BATCH):
            if self._room.full:
                self._shut()
                self._room.make_way(self._open)
                return
            try:
                sock, _address = listening.accept()
            except OSError as error:
                if error.errno in _NOTHING_LEFT:  # others have used up descriptors or memory
                    self._shut()
                    self._loop.call_later(PAUSE, self._open)
                return
            self._room.coming += 1
            task = self._loop.create_task(self._let_in(sock))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _let_in(self, sock: socket.socket) -> None:
        try:
            sock.setblocking(False)
            await self._loop.connect_accepted_socket(self._doors, sock)
        except OSError:  # the client has left again
            sock.close()
        finally:
            self._room.coming -= 1
            self._room.go_on()


async def listen(
    doors: Doors, address: Address, room: Room | None = None, handed: Sequence[socket.socket] = ()
) -> Listener:
    """`doors` makes a protocol for each connection. `handed`: sockets that exist already, and stay when we go.

    Raises OSError where the address is taken or cannot be used.
    """
    socks = handed or ([_at_path(address.path)] if address.path else await _at_address(address.host, address.port))
    for sock in socks:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):  # Linux and macOS
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)  # accepted connections inherit it
    return Listener(doors, socks, room or Room(), "" if handed else address.path)


def address_of(sock: socket.socket) -> Address:
    """Where it listens; for port 0, with the port that the kernel chose."""
    name = sock.getsockname()
    return Address("", 0, name) if sock.family == socket.AF_UNIX else Address(*name[:2])


async def _at_address(host: str, port: int) -> list[socket.socket]:
    """A name may stand for several: `localhost` for 127.0.0.1 and ::1. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    socks: list[socket.socket] = []
    try:
        for family, _, _, _, where in dict.fromkeys(found):
            socks.append(socket.create_server(where, family=family, backlog=BACKLOG))
    except OSError as error:
        for sock in socks:
            sock.close()
        raise OSError(error.errno, os.strerror(error.errno or 0).lower()) from None  # its own text repeats the address
    return socks


def _at_path(path: str) -> socket.socket:
    """Raises OSError."""
    _clear(path)
    sock = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)  # nobody else may connect, from the first moment: a later chmod would leave a gap
    try:
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
    return sock


def _clear(path: str) -> None:
    """Remove a socket at which nobody listens. Raises OSError where somebody does, or where it is no socket."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(EEXIST, "there is a file that is not a socket")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)  # EAGAIN: somebody listens, and the backlog is full
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
