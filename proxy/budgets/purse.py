"""What is spent of one budget by one client, from window to window?"""

from collections.abc import Callable

from proxy.budgets.counter import Counter, Terms
from proxy.budgets.windows import WINDOWS, Window

KEPT = 7  # windows before the present one, of those that were met: a clock that goes back finds there what was spent

Make = Callable[[Terms, str, Window], Counter]  # of a client; makes what counts in one window


class Purse:
    """Its counters, by window. `client`: "" where the budget is nobody's own."""

    __slots__ = ("_client", "_counters", "_make", "current", "terms")

    def __init__(self, terms: Terms, client: str, now: float, make: Make) -> None:
        self.terms = terms
        self._client = client
        self._make = make
        self._counters: dict[float, Counter] = {}
        self.current = self._counter(now)

    def at(self, when: float) -> Counter:
        """The counter of the window that this time is in, which becomes the current one."""
        if not self.current.start <= when < self.current.end:
            self.current = self._counter(when)
        return self.current

    def turn(self, now: float) -> Counter:
        """As `at`, and forget all but a few of the earlier windows. Later ones, which only a wrong clock can have met,
        all stay: what was spent in them counts when they come.
        """
        self.at(now)
        earlier = sorted(start for start in self._counters if start < self.current.start)
        for start in earlier[:-KEPT]:
            del self._counters[start]
        return self.current

    def become(self, terms: Terms) -> None:
        """Go by these terms. What was counted stays counted."""
        if terms != self.terms:
            self.terms = terms
            for counter in self._counters.values():
                counter.become(terms)

    def _counter(self, when: float) -> Counter:
        window = WINDOWS[self.terms.window](when)
        if window.start not in self._counters:
            self._counters[window.start] = self._make(self.terms, self._client, window)
        return self._counters[window.start]
