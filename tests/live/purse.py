"""How often may vendors be asked, and for how long an answer?"""

import os

ALLOWED = int(os.environ.get("PILLION_LIVE_CALLS", "200"))  # calls of one run, to all vendors together
MAX_TOKENS = 100  # of an answer
READ = 600  # tokens that no question here exceeds, the picture among them


class Spent(Exception):
    """The run has asked as often as it may."""


class Purse:
    def __init__(self, allowed: int = ALLOWED) -> None:
        self._left = allowed

    def take(self) -> None:
        """One call. Raises Spent."""
        if not self._left:
            raise Spent(f"no call is left: PILLION_LIVE_CALLS allows {ALLOWED}")
        self._left -= 1
