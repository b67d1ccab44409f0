"""What have the targets said that did not answer a call, and which of that does the client read if nobody does?

What the first one said that was asked: it is the one that the operator would have. One whose wire cannot say the
request was not asked at all, and one that does not keep its conversation may be the wrong one to ask. Both would have
the client change its request, so they count only where no other could be asked at all. Where the error asks the client
to wait, it waits no longer than until the first of all may answer.
"""

from copy import copy
from math import inf

from proxy.access.rights import not_allowed
from proxy.errors import GatewayError, Resting, Unrepresentable
from proxy.failover.retries import NOT_KEPT, full_wait
from proxy.failover.standing import RESTS, Standings
from proxy.failover.trial import copy_attempt
from proxy.failover.waits import shortened
from proxy.ports import Call, Target


class Failures:
    """Those of one call, in the order in which its targets were asked."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._errors: list[tuple[GatewayError, Target]] = []
        self._first: Call | None = None  # what was known of the attempt that will be told of, when it failed
        self._could_answer = False  # the target of that one

    def __len__(self) -> int:
        return len(self._errors)

    def add(self, error: GatewayError, target: Target) -> None:
        self._errors.append((error, target))

    def replace(self, error: GatewayError, target: Target) -> None:
        """What a target has said before was only that it would have the call wait."""
        self._errors = [(error if one is target else said, one) for said, one in self._errors]

    def keep_attempt(self, error: GatewayError) -> None:
        """A target was asked; of the first one the log and the answer's head tell, and not of the last."""
        could_answer = _could_answer(error)
        if self._first is None or (could_answer and not self._could_answer):
            self._first, self._could_answer = copy(self._call), could_answer

    def final(self, first: Target, standings: Standings) -> GatewayError:
        """What the client reads; if no target was asked, that all of them rest, or that its key may use none of them.

        `first`: of its plan.
        """
        rests = {one.target: standings.of(one.target) for one in self._call.history if one.skipped == RESTS}
        soonest = min(rests.values(), key=lambda standing: standing.breaker.wait_of_last, default=None)
        if (told := self._told(any_rests=soonest is not None)) is None:
            if soonest is None:
                self._call.target = first
                return not_allowed(self._call.key, first.adapter.name, first.model)
            self._call.target = soonest.target
            return soonest.resting()
        if self._first is not None:
            copy_attempt(self._call, self._first)
        error, self._call.target = told
        self._shorten(error, inf if soonest is None else max(soonest.breaker.wait_of_last, 1.0))
        return error

    def _told(self, any_rests: bool) -> tuple[GatewayError, Target] | None:
        """The one that the client reads; None where it is that those rest who could have been asked."""
        asked = [one for one in self._errors if not isinstance(one[0], Resting)]
        able = [one for one in asked if _could_answer(one[0])]
        return next(iter(able or ([] if any_rests else asked)), None)

    def _shorten(self, error: GatewayError, rest: float) -> None:
        """`rest`: seconds after which one may be asked that was not."""
        own = full_wait(error)
        shortest = min(each for each in (rest, *(full_wait(other) for other, _ in self._errors)) if each is not None)
        if own is not None and shortest < own:
            error.headers = shortened(error.headers, shortest)


def _could_answer(error: GatewayError) -> bool:
    """At another time, the same request?"""
    return not isinstance(error, Unrepresentable) and error.code != NOT_KEPT
