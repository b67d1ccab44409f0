"""Which socket is whose, of those that whoever started us has opened for us?

systemd opens sockets before it starts a service and keeps them while none runs (sd_listen_fds(3)), so that nobody is
refused while one pillion ends and another begins. Here they are dealt out:

    one that is bound to a configured address        is that listener's, and each further one bound to it as well
    the others, in the order in which they came      go to the listeners that have none: apps, operators, cluster

Whoever gets none opens its own. One too many is a mistake, and so is one that can be reached from elsewhere where the
configuration speaks of loopback: it was checked for that.
"""

import asyncio
import socket
from collections.abc import Sequence

from proxy.edge.address import Address
from proxy.edge.listening import address_of
from proxy.errors import ConfigError

FIRST = 3  # descriptor, behind the standard three: https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html


class Handed:
    """A socket that was handed over. Raises ConfigError where nobody can listen at it."""

    def __init__(self, descriptor: int) -> None:
        problem = f"descriptor {descriptor}, of LISTEN_FDS, is no stream socket that listens"
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
    """All of them. Raises ConfigError."""
    return [Handed(descriptor) for descriptor in range(FIRST, FIRST + count)]


async def share(handed: Sequence[Handed], addresses: Sequence[Address]) -> list[list[socket.socket]]:
    """What each of these listeners gets. Raises ConfigError."""
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
            raise ConfigError(f"LISTEN_FDS hands over {each.address}, and all listeners have a socket: {there}")
        _check_reach(each, addresses[free])
        shares[free].append(each)
    return [[each.socket for each in share] for share in shares]


async def _meant_by(address: Address) -> set[Address]:
    """A name may stand for several. One that stands for none is told of by whoever must listen there."""
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
            f" configure {handed.address}, so that it is known who may use it"
        )
