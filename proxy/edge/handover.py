"""Which listener gets which of the sockets that were opened for us?

systemd opens a service's sockets before it starts, and keeps them while it does not run (sd_listen_fds(3)), so that
nobody is refused while one pillion ends and the next begins. They are dealt out like this:

    those bound to a configured address    go to its listener
    the others, in their order             go to the listeners that have none: apps, operators, cluster

A listener that gets none opens its own. A socket too many is a mistake. So is one that can be reached from elsewhere
where the configuration says loopback, because the configuration was checked for loopback alone.
"""

import asyncio
import socket
from collections.abc import Sequence

from proxy.edge.address import Address
from proxy.edge.listening import address_of
from proxy.errors import ConfigError

FIRST = 3  # descriptor, behind the standard three: https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html


class Handed:
    """A socket that was handed over. Raises ConfigError where it is none that we can accept from."""

    def __init__(self, descriptor: int) -> None:
        problem = f"descriptor {descriptor} of LISTEN_FDS is not a listening stream socket"
        try:
            self.socket = socket.socket(fileno=descriptor)
        except OSError:
            raise ConfigError(problem) from None
        stream = self.socket.type == socket.SOCK_STREAM
        if not (stream and self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
            self.socket.close()
            raise ConfigError(problem)
        self.socket.set_inheritable(False)
        self.address = address_of(self.socket)

    def __repr__(self) -> str:
        return f"<Handed {self.address}>"


def taken(count: int) -> list[Handed]:
    """The sockets of so many descriptors. Raises ConfigError."""
    return [Handed(descriptor) for descriptor in range(FIRST, FIRST + count)]


async def share(handed: Sequence[Handed], addresses: Sequence[Address]) -> list[list[socket.socket]]:
    """The sockets for each of these listeners. Raises ConfigError."""
    shares: list[list[Handed]] = [[] for _ in addresses]
    others: list[Handed] = []
    meant = [await _meant_by(address) for address in addresses]
    for each in handed:
        found = next((share for share, places in zip(shares, meant, strict=True) if each.address in places), others)
        found.append(each)
    for each in others:
        free = next((index for index, share in enumerate(shares) if not share), None)
        if free is None:
            there = ", ".join(map(str, addresses))
            raise ConfigError(f"LISTEN_FDS hands over {each.address}, but all listeners already have a socket: {there}")
        _check_reach(each, addresses[free])
        shares[free].append(each)
    return [[each.socket for each in share] for share in shares]


async def _meant_by(address: Address) -> set[Address]:
    """The addresses that a name stands for. A name without any fails later, where somebody listens at it."""
    if address.path:
        return {address}
    try:
        found = await asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {Address(str(where[0]), address.port) for *_, where in found}


def _check_reach(handed: Handed, address: Address) -> None:
    """Raises ConfigError."""
    if address.is_local and not handed.address.is_local:
        raise ConfigError(
            f"LISTEN_FDS hands over {handed.address}, which can be reached from elsewhere, in place of {address}:"
            f" configure {handed.address} itself, so that pillion checks who may use it"
        )
