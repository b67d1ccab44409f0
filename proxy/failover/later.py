"""Which targets of a route would have a call wait, and which of them is waited for once nobody is left who may be free?

A target has a call wait for a limit of ours, in its queue, or because its provider is busy or asks for a pause.
"""

from collections.abc import Iterator

from proxy.errors import GatewayError
from proxy.failover.retries import full_wait
from proxy.ports import Target


class Later:
    """Those of one call, each with the error by which it has said so."""

    def __init__(self) -> None:
        self._put_off: dict[Target, GatewayError] = {}
        self._due: dict[Target, GatewayError] = {}  # those of them that are waited for

    def __bool__(self) -> bool:
        """Is any of them put off still?"""
        return bool(self._put_off)

    def put_off(self, target: Target, error: GatewayError) -> None:
        self._put_off[target] = error

    def due(self, target: Target) -> GatewayError | None:
        """What it has said, if it is to be waited for now."""
        return self._due.get(target)

    def soonest(self) -> Target | None:
        """The one whose wait, or whose queue, is shortest."""
        if not self._put_off:
            return None
        soonest = min(self._put_off, key=lambda target: _length(self._put_off[target]))
        self._due[soonest] = self._put_off.pop(soonest)
        return soonest

    def all(self) -> Iterator[Target]:
        """Each of them, in the order in which they were put off."""
        self._due |= self._put_off
        there, self._put_off = self._put_off, {}
        return iter(there)


def _length(error: GatewayError) -> tuple[float, int]:
    """Of the wait that it stands for: seconds, and how many wait already."""
    return full_wait(error) or 0.0, error.ahead or 0
