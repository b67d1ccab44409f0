"""How does each target stand: is it well, and how quick is it?

Judged by the calls themselves. A model that nobody has asked for stands as well as any.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator
from math import ceil, exp
from time import monotonic

from proxy.errors import Resting, UpstreamError
from proxy.failover.balance import PeakEWMA
from proxy.failover.breaker import Breaker, Rules
from proxy.failover.percentile import Percentile
from proxy.ports import Call, Target

KEPT = 1000  # targets; clients choose models
RESTS = "resting"  # why it is not asked, as is the next one
LAST = ": asked last"
UNWELL = f"unwell{LAST}"
SOON = 0.05  # seconds by which a timer may be early
AT_LEAST = 1.0  # seconds that a target may take before it is held against it
MEAN = 8  # answers that the mean time is made of
FADING = 600.0  # seconds in which that falls to 1/e while nothing is answered
SICK = frozenset({"server_error", "network_error", "timeout"})  # kinds of error that say that a target is not well

Heads = deque[tuple[float, float]]

log = logging.getLogger("pillion")


class Standing:
    """How one target is, by the calls to it."""

    __slots__ = ("_clock", "_heads", "breaker", "first_bytes", "latency", "target")

    def __init__(self, target: Target, rules: Rules, clock: Callable[[], float]) -> None:
        self.target = target
        self.breaker = Breaker(rules, clock)
        self.latency = PeakEWMA(clock)
        self._clock = clock
        # When the last answers began, and their heads came: of whole ones, and of streams. Only the mean is of use, but
        # it is seldom asked for, and there is an answer to each request.
        self._heads: tuple[Heads, Heads] = (deque(maxlen=MEAN), deque(maxlen=MEAN))
        self.first_bytes = (Percentile(), Percentile())  # of whole answers, and of streams; hedging keeps them

    def __repr__(self) -> str:
        """As operators read it: <Standing openai/gpt-4o closed, 3 in flight>"""
        return f"<Standing {self._name} {self.breaker.state}, {self.latency.in_flight} in flight>"

    def begun(self, ticket: int) -> None:
        """A stream, which has said something."""
        if self.breaker.begun(ticket):
            self._tell_back()

    def ended(self, call: Call, ticket: int, error: BaseException | None, again: bool = False) -> None:
        """The call's last attempt has ended. A refusal is an answer too; one that was broken off early tells nothing.

        `again`: as `Breaker.failed` has it. The offline echo is never unwell: it fails only where its model's name
        tells it to.
        """
        self.latency.in_flight -= 1
        if error is None:
            if call.operation != "count_tokens":  # which takes no time
                self._heads[call.stream].append((call.began, call.headed))
            if self.breaker.succeeded(ticket):
                self._tell_back()
        elif isinstance(error, UpstreamError) and error.kind not in SICK:
            if self.breaker.succeeded(ticket):
                self._tell_back()
        elif isinstance(error, UpstreamError) and self.target.adapter.real and not self._had_no_chance(call, error):
            if self.breaker.failed(ticket, again):
                told = {"event": "target_resting", "code": error.code, "detail": error.detail}
                log.warning("%s %s: %s", self._name, self._rests, error.logged, extra=told)
        else:
            self.breaker.let_go(ticket)

    def _tell_back(self) -> None:
        log.info("%s answers again", self._name, extra={"event": "target_back"})

    def _had_no_chance(self, call: Call, error: UpstreamError) -> bool:
        """Was it the client's time that ran out, which was less than the target usually takes? Else one impatient
        client would have it left alone for all the others.
        """
        if error.kind != "timeout" or call.has_time(SOON):
            return False
        if call.headed > 0:
            return True
        return self._clock() - call.began < max(AT_LEAST, self._usual(call.stream))

    def _usual(self, stream: bool) -> float:
        """Seconds until the head of an answer comes; 0 where none has."""
        if not (heads := self._heads[stream]):
            return 0.0
        mean = sum(headed - began for began, headed in heads) / len(heads)
        return mean * exp((heads[-1][1] - self._clock()) / FADING)

    @property
    def _name(self) -> str:
        return f"{self.target.adapter.name}/{self.target.model}"

    @property
    def _rests(self) -> str:
        whole, last = _whole(self.breaker.wait), _whole(self.breaker.wait_of_last)
        said = f"has failed too often, and is not used for {whole} s"
        return said if whole == last else f"{said}, or {last} s where nobody else can be asked"

    def resting(self) -> Resting:
        """The error of a target that is left alone."""
        name = self.target.adapter.name
        wait = _whole(self.breaker.wait_of_last)
        return Resting(
            f"{name} has failed too often, and is not used for {wait} s.",
            provider=name,
            headers=[("retry-after", str(wait))],
        )


def _whole(seconds: float) -> int:
    return max(1, ceil(seconds))


class Standings:
    """Those of all targets that were ever asked, as far as KEPT allows. `clock`: seconds, never going back."""

    def __init__(self, rules: Rules, clock: Callable[[], float] = monotonic) -> None:
        self._rules = rules
        self._clock = clock
        self._known: dict[tuple[str, str], Standing] = {}

    def __iter__(self) -> Iterator[Standing]:
        return iter(list(self._known.values()))

    def become(self, rules: Rules, kept: Collection[str]) -> None:
        """Go by these rules. Providers that are not `kept` are others from now on, and begin anew."""
        self._rules = rules
        self._known = {key: standing for key, standing in self._known.items() if key[0] in kept}
        for standing in self:
            standing.breaker.become(rules)

    def of(self, target: Target) -> Standing:
        key = (target.adapter.name, target.model)
        standing = self._known.get(key)
        if standing is None:
            if len(self._known) >= KEPT:
                self._forget()
            standing = self._known[key] = Standing(target, self._rules, self._clock)
        return standing

    def _forget(self) -> None:
        """Drop those that are as good as new; if there are none, the ones that were met first."""
        idle = [key for key, one in self._known.items() if one.breaker.state == "closed" and not one.latency.in_flight]
        for key in idle or list(self._known)[: KEPT // 2]:
            del self._known[key]
