"""How can one call have a second attempt?

An attempt writes what it learns into its Call. So a second one gets a copy of the client's own, whether it runs beside
the first one (race.py) or after it (middleware/resume.py). If it wins, what it has written is copied back to the
client's call; what it has spent is added there in any case.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from copy import copy

from proxy.errors import GatewayError
from proxy.ports import Call, Reply, Target

LOST = "hedge_lost"  # the code of an attempt that another one has outrun
# The fields of a Call that are about one attempt, whoever writes them.
ATTEMPT_FIELDS = (
    "target", "is_named", "began", "headed", "stop_at", "is_settled", "price_source", "heard", "is_slowed", "asked",
    "wire", "is_translated", "is_mixed", "answer_head", "upstream_id", "dropped", "usage", "answered_model", "booked",
    "is_estimated",
)  # fmt: skip


class Trial:
    """Another attempt at a client's call, with a Call of its own. `client`: the client's."""

    def __init__(self, client: Call, target: Target) -> None:
        self._client = client
        self.provider = target.adapter.name
        self.call = copy(client)  # the history, and the accounts, are the client's own
        self.call.target, self.call.is_named, self.call.spent = target, False, 0
        # The copied ones are of the client's attempt.
        self.call.asked = self.call.is_slowed = self.call.is_mixed = False

    def book(self) -> None:
        """Add what it has cost to the client's call, whether it has won or lost."""
        self._client.attempts = max(self._client.attempts, self.call.attempts)
        self._client.spent += self.call.spent
        self._client.is_guess |= self.call.is_guess
        self.call.spent = 0

    def won(self, reply: Reply) -> Reply:
        """From now on the client's call tells of this attempt."""
        self._bring_back()
        if not isinstance(reply.body, bytes):
            reply.body = self._told(reply.body)
            reply.endings.append(lambda error: self._bring_back())  # settled by now, and nobody else has looked yet
        return reply

    def _bring_back(self) -> None:
        copy_attempt(self._client, self.call)
        self.book()

    async def _told(self, body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The same chunks. Before each one, and before an error, the client's call learns what this attempt knows."""
        async with aclosing(body):
            try:
                async for chunk in body:
                    self._bring_back()
                    yield chunk
            except GatewayError:
                self._bring_back()
                raise


def copy_attempt(call: Call, attempt: Call) -> None:
    """Copy to a call what belongs to this attempt."""
    for name in ATTEMPT_FIELDS:
        setattr(call, name, getattr(attempt, name))
