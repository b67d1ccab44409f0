"""When has a live answer spent what was set aside for it, so that it is stopped?

That is checked every few kilobytes, and at first more often, as little may have been set aside. Until the answer has
ended, its cost is an estimate by what was heard of it.
"""

from collections.abc import Callable

from proxy.errors import OverBudget
from proxy.ports import Call, Reply
from proxy.spending.money import dollars

FIRST = 512  # bytes before the first look; then as many as there were, up to
LOOK = 8 * 1024  # bytes between two looks


class Brake:
    """Of one attempt. `spent`: nano-dollars that this attempt has cost by now."""

    def __init__(self, call: Call, reply: Reply, spent: Callable[[Call], int]) -> None:
        self._call = call
        self._reply = reply
        self._spent = spent
        self._look_at = FIRST

    def tap(self, chunk: bytes) -> None:
        call = self._call
        if call.heard is None or call.stop_at is None or call.heard.size < self._look_at:
            return
        self._look_at = call.heard.size + min(call.heard.size, LOOK)
        if self._spent(call) > call.stop_at:
            self._reply.stop(
                OverBudget(
                    f"The answer was stopped: it has cost the {dollars(call.stop_at)} dollars that its budget had"
                    " reserved."
                )
            )
