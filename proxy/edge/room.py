"""How many connections may clients have, and which of them is closed when one too many comes?

Each connection takes a descriptor, a process has a limited number of them (RLIMIT_NOFILE), and each call needs another
one to its provider. So clients may have less than half of the descriptors, on all listeners together, or fewer if the
operator says so (`overload.max_connections`). When one too many comes, those that have been idle for longest are
closed, as either side may do at any time (RFC 9112, 9.5). Where all are busy, a few more are let in, whose probes are
answered and whose other requests get a 503. Beyond those, clients wait in the kernel's queue until one has gone.
"""

import logging
import resource
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from time import monotonic
from typing import Protocol

from proxy.errors import GatewayError

OURS = 32  # descriptors for other things than connections: listeners, the loop, the log, name servers, files
SPARE = 32  # connections beyond the limit
AT_ONCE = 32  # one in so many connections is closed at once, because finding the idle ones means looking at all
FEW = 64  # clients at once: hardly anybody means to allow no more by a limit for files
QUIET = 60.0  # seconds between two lines in the log
MANY = 1 << 20  # descriptors, where nobody sets a limit

log = logging.getLogger("pillion")


class Guest(Protocol):
    """A client's connection."""

    @property
    def busy(self) -> bool: ...

    @property
    def idle_since(self) -> float:
        """By a clock that all guests share; only for one that is not busy."""
        ...

    @property
    def speaks(self) -> bool:
        """Has it sent something that nobody has read yet?"""
        ...

    def abort(self) -> None:
        """Close now. `went` follows."""
        ...


class Room:
    """The room for clients' connections, on all listeners together."""

    def __init__(self, descriptors: int = MANY) -> None:
        self._allowed = self.limit = max(1, (descriptors - OURS - SPARE) // 2)
        self.coming = 0  # accepted, and not yet guests
        self.turned_away = 0  # answered with 503, or closed to make room
        self.late: set[Guest] = set()  # guests that came when all others were busy
        self._descriptors = descriptors
        self._inside: set[Guest] = set()
        self._refused: set[Guest] = set()
        self._leaving: set[Guest] = set()
        self._waiting: list[Callable[[], None]] = []
        self._told = -QUIET

    def __repr__(self) -> str:
        return f"<Room {len(self._inside)} of {self.limit}, {len(self._leaving)} leaving>"

    def allow(self, most: int | None) -> None:
        """How many connections the operator allows; None: as many as the descriptors do, which is the upper limit."""
        self.limit = self._allowed if most is None else min(most, self._allowed)
        if most is not None and most > self._allowed:
            words = "max_connections is %d, but %d file descriptors allow only %d (ulimit -n)"
            log.warning(words, most, self._descriptors, self._allowed, extra={"event": "crowded"})
        elif most is None and self._allowed < FEW:
            words = "%d file descriptors (ulimit -n) allow only %d connections from clients"
            log.warning(words, self._descriptors, self._allowed, extra={"event": "crowded"})
        self.go_on()

    @property
    def full(self) -> bool:
        """May nobody else be accepted?"""
        return len(self._inside) + len(self._leaving) + self.coming >= self.limit + SPARE

    def came(self, guest: Guest) -> None:
        if len(self._inside) >= self.limit:
            self._close_some(self._inside - self.late)
        if len(self._inside) >= self.limit:
            self.late.add(guest)
        self._inside.add(guest)

    def went(self, guest: Guest) -> None:
        for group in (self._inside, self.late, self._refused, self._leaving):
            group.discard(guest)
        self.go_on()

    def go_on(self) -> None:
        """Somebody has gone: call those who wait for that."""
        if self._waiting and not self.full:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each()

    def make_way(self, go_on: Callable[[], None]) -> None:
        """Somebody waits to be accepted and there is no room. `go_on` is called once there is."""
        self._waiting.append(go_on)
        self._close_some(self._inside)

    def _close_some(self, among: Iterable[Guest]) -> None:
        """Close the longest idle ones of these."""
        self._tell()
        idle = sorted((guest for guest in among if not guest.busy), key=lambda guest: guest.idle_since)
        silent = (guest for guest in idle if not guest.speaks)
        for guest in list(islice(silent, max(1, self.limit // AT_ONCE))):
            self._inside.discard(guest)
            self._leaving.add(guest)
            self.turned_away += guest not in self._refused
            guest.abort()

    def check(self, guest: Guest) -> None:
        """A late guest has sent a request. Raises GatewayError where there is still no room."""
        if guest not in self.late:
            return
        self.late.discard(guest)
        if len(self._inside) > self.limit:
            self._refused.add(guest)
            self.turned_away += 1
            raise GatewayError(
                "pillion has no room for another connection now: try again.",
                status=503,
                code="too_many_connections",
                headers=[("retry-after", "1")],
            )

    def _tell(self) -> None:
        now = monotonic()
        if now - self._told < QUIET:
            return
        self._told = now
        by_whom = "max_connections allows"
        if self.limit == self._allowed:
            by_whom = f"{self._descriptors} file descriptors allow (ulimit -n)"
        log.warning(
            "clients have %s, the most that %s: new ones take the place of idle ones; where none is idle, they are"
            " answered with 503",
            "1 connection" if self.limit == 1 else f"{self.limit} connections",
            by_whom,
            extra={"event": "crowded"},
        )


def descriptors() -> int:
    """How many this process may have. The soft limit, which is low only for select(2), is raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return MANY if soft == resource.RLIM_INFINITY else soft
