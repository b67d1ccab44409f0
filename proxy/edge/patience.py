"""How long is a client waited for?"""

from typing import NamedTuple


class Patience(NamedTuple):
    """Seconds that a client may take."""

    header: float = 10.0  # for its head, from the first byte
    body: float = 30.0  # between two pieces of its body
    whole_body: float = 300.0  # for all of them
    keep_alive: float = 75.0  # with no request
    reading: float = 60.0  # with its answer unread
