"""What is seen of a call, from its answer's head to its end?"""

from collections.abc import Callable
from time import monotonic

from msgspec import Struct

from proxy.ports import Call
from proxy.reports.outcome import Outcome, outcome


class Sight(Struct):
    """What was seen of one call. `status` is 0 where no answer began; `head` is then the time until the call failed.

    `how`: what became of the call; None where its answer came to its own end. `was_shown`: among those under way.
    """

    call: Call
    head: float  # seconds until the answer's head was there
    status: int = 0
    taken: float = 0.0  # seconds until it was over
    bytes_out: int = 0
    error: BaseException | None = None
    how: Outcome | None = None
    was_shown: bool = False

    def over(self, error: BaseException | None) -> None:
        self.taken = monotonic() - self.call.started
        if self.call.reply is not None:
            self.bytes_out = self.call.reply.sent
        if error is not None:
            self.error, self.how = error, outcome(error)


Observer = Callable[[Sight], None]  # hears of each call once, at its end
