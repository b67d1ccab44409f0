"""How does each target stand: is it well, and how quick is it?

What the calls themselves have shown. A model that nobody has asked for stands as well as any.
"""

from collections.abc import Callable, Iterator
from time import monotonic

from proxy.balance import PeakEWMA
from proxy.breaker import Breaker, Rules
from proxy.ports import Target

KEPT = 1000  # targets; clients choose models


class Standing:
    """Of one target."""

    __slots__ = ("breaker", "latency", "target")

    def __init__(self, target: Target, rules: Rules, clock: Callable[[], float]) -> None:
        self.target = target
        self.breaker = Breaker(rules, clock)
        self.latency = PeakEWMA(clock)

    def __repr__(self) -> str:
        """As operators read it: <Standing openai/gpt-4o closed, 3 in flight>"""
        name = f"{self.target.adapter.name}/{self.target.model}"
        return f"<Standing {name} {self.breaker.state}, {self.latency.in_flight} in flight>"


class Standings:
    def __init__(self, rules: Rules, clock: Callable[[], float] = monotonic) -> None:
        self._rules = rules
        self._clock = clock
        self._known: dict[tuple[str, str], Standing] = {}

    def __iter__(self) -> Iterator[Standing]:
        return iter(list(self._known.values()))

    def of(self, target: Target) -> Standing:
        key = (target.adapter.name, target.model)
        standing = self._known.get(key)
        if standing is None:
            if len(self._known) >= KEPT:
                self._forget()
            standing = self._known[key] = Standing(target, self._rules, self._clock)
        return standing

    def _forget(self) -> None:
        """Those of which there is nothing to remember; else the ones that were met first."""
        idle = [key for key, one in self._known.items() if one.breaker.state == "closed" and not one.latency.in_flight]
        for key in idle or list(self._known)[: KEPT // 2]:
            del self._known[key]
