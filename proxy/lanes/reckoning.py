"""How many tokens does a client read, whose wire must say them, where the provider tells of none?

An estimate, which the ledger then books as well: a zero would be taken for a count.
"""

from collections.abc import Sequence

from proxy.canon import Delta, Event, Finish, Request, Usage
from proxy.lanes.estimate import estimate
from proxy.spending.tokens import tokens_in


class Reckoning:
    """Of one answer."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._is_told = False
        self._written = 0  # tokens, by the length of what was said

    def feed(self, said: Sequence[Event]) -> Sequence[Event]:
        """The same; where nothing was told, an estimate stands before the end."""
        if self._is_told:
            return said
        for event in said:
            if type(event) is Delta:
                self._written += tokens_in(event.text)
            elif type(event) is Usage:
                self._is_told = True
                return said
            elif type(event) is Finish:  # the last of a sentence
                guess = Usage(input=estimate(self._request), output=self._written, is_guess=True)
                return [*said[:-1], guess, event]
        return said
