"""What is seen of a call, from its answer's head to its end?"""

from collections.abc import Callable
from time import monotonic

from proxy.ports import Call
from proxy.reports.outcome import Outcome, outcome


class Sight:
    """One call's. `status` is 0 where no answer began; `head` is then the time until the call failed.

    `how`: what became of it, where it did not come to its own end; else None.
    """

    __slots__ = ("bytes_out", "call", "error", "head", "how", "status", "taken")

    def __init__(self, call: Call, head: float, status: int = 0) -> None:
        self.call = call
        self.head = head  # seconds until the answer's head was there
        self.taken = head  # seconds until all was over
        self.status = status
        self.bytes_out = 0
        self.error: BaseException | None = None
        self.how: Outcome | None = None

    def over(self, error: BaseException | None) -> None:
        self.taken = monotonic() - self.call.started
        if self.call.reply is not None:
            self.bytes_out = self.call.reply.sent
        if error is not None:
            self.error, self.how = error, outcome(error)


Observer = Callable[[Sight], None]  # hears of each call once, at its end
