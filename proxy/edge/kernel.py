"""What does the kernel know about a connection before we do?

How many bytes are still on their way, whether the other side has reset it, and whether it has vanished without a word.
And how much may come that nobody reads?
"""

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress

# One that vanishes without a word is noticed after a minute: the kernel probes a silent one, and gives up when nothing
# is acknowledged (tcp(7)).
WATCHED = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 60_000}
LATER, SPARE = 1.25, 5.0  # so many times another's patience, and seconds, until the kernel gives up
YOUNG = 256 * 1024  # bytes of a buffer that has not grown yet, with the speed at which it is read
ROOM = 1024 * 1024  # bytes that may come unread; the kernel takes twice as much, or less (net.core.rmem_max)


def watch(sock: socket.socket, patience: float = 0.0) -> None:
    """Close it when the other side has vanished. What is accepted from a listening socket is watched as that one is.

    `patience`: seconds for which somebody else bears that what we send stays unread. The kernel cannot tell that from a
    link that went down, and would give up first.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    longest = max(WATCHED["TCP_USER_TIMEOUT"], int(1000 * (LATER * patience + SPARE)))
    for name, value in (WATCHED | {"TCP_USER_TIMEOUT": longest}).items():
        if hasattr(socket, name):  # not every system has all of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def unread(transport: asyncio.Transport) -> int:
    """Bytes that have come and that nobody has read yet."""
    return _waiting(transport, termios.FIONREAD)


def unsent(transport: asyncio.Transport) -> int:
    """Bytes on their way to the other side, here and in the kernel: megabytes for a slow reader."""
    return transport.get_write_buffer_size() + _waiting(transport, termios.TIOCOUTQ)


def bound(transport: asyncio.Transport) -> None:
    """It may be read slowly: fix the size of the buffer, which would else grow with each burst that is read.

    One that has grown already is let be, since bytes that are on their way might find no room in a smaller one.
    """
    sock = transport.get_extra_info("socket")  # which not every kind of transport has
    with suppress(OSError):  # it has just been closed
        if sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= YOUNG:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)


def is_reset(transport: asyncio.Transport) -> bool:
    return _socket(transport).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def _waiting(transport: asyncio.Transport, way: int) -> int:
    """Bytes that the kernel holds, in one of the two directions."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(_socket(transport), way, bytes(4)))[0])
    except (OSError, ValueError):  # it has just been closed
        return 0


def _socket(transport: asyncio.Transport) -> socket.socket:
    sock: socket.socket = transport.get_extra_info("socket")
    return sock
