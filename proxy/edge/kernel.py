"""What does the kernel know about a connection before we do?

How many bytes are still on their way, and whether the other side has reset it.
"""

import asyncio
import fcntl
import socket
import struct
import termios


def unread(transport: asyncio.Transport) -> int:
    """Bytes that have come and that nobody has read yet."""
    return _waiting(transport, termios.FIONREAD)


def unsent(transport: asyncio.Transport) -> int:
    """Bytes on their way to the other side, here and in the kernel: megabytes for a slow reader."""
    return transport.get_write_buffer_size() + _waiting(transport, termios.TIOCOUTQ)


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
