"""When is a second target asked while the first one is still silent?

    first   |--------- after -------------------> x   cancelled: `hedge_lost`
    second                  |-------> answers         its reply is the call's

After a time in which nearly all answers begin, and for a share of all requests at most. The rest is in race.py.
"""

import asyncio
from collections import Counter
from time import monotonic

from proxy.config import Hedge
from proxy.errors import BadRequest
from proxy.failover.standing import Standing
from proxy.failover.trial import LOST
from proxy.ports import Call
from proxy.reports.outcome import outcome
from proxy.spending.extent import Longest, extent

HEDGED = frozenset({"chat", "generate"})  # operations; who counts tokens is asked once
SAVED = 10  # hedges that may come at once after a quiet time

_ONE = 10**6  # hedge; shares are counted in whole parts of it, as a sum of fractions goes astray


class Hedging:
    """Which calls may have a hedge, and when. `counts`: hedges, by provider and by what came of them."""

    def __init__(self, hedge: Hedge, counts: Counter[tuple[str, str]]) -> None:
        self._after = hedge.after
        self._share = round(hedge.share * _ONE)
        self._saved = 0
        self.counts = counts

    def __repr__(self) -> str:
        return f"<Hedging, {self._saved / _ONE:g} saved>"

    def asked(self) -> None:
        """A request has come, and adds its share of a hedge to what is saved: so no more than that share have one."""
        self._saved = min(self._saved + self._share, SAVED * _ONE)

    def after(self, call: Call, standing: Standing) -> float | None:
        """Seconds of silence after which a second target is asked; None where none is to be.

        A client that limits what a call may cost has not agreed to two attempts at once.
        """
        if self._saved < _ONE or call.operation not in HEDGED or call.wishes.cost_limit is not None:
            return None
        return self._after or standing.first_bytes[call.stream].value

    def take(self, call: Call) -> bool:
        """Take a hedge for it, which must be used; False: it may have none, or there is none left."""
        if self._saved < _ONE or not is_bounded(call):
            return False
        self._saved -= _ONE
        return True

    def heard(self, call: Call, standing: Standing, error: BaseException | None) -> None:
        """An attempt has come to its answer's head, or has failed.

        One that lost was still silent. It counts where it was silent for longer than most are, or else each hedge would
        make the next one come sooner.
        """
        times, seconds = standing.first_bytes[call.stream], (call.headed or monotonic()) - call.began
        if error is None or (_is_lost(error) and times.value is not None and seconds >= times.value):
            times.add(seconds)


def _is_lost(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError) and outcome(error).code == LOST


def is_bounded(call: Call) -> bool:
    """May two targets be asked? Not where a request has no bound to its cost, or effects besides its answer."""
    try:
        return not extent(call.envelope, call.dialect.bounds, Longest()).is_open
    except BadRequest:  # the first target may say so itself
        return False
