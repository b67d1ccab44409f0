"""How long is a client waited for?"""

from typing import NamedTuple


class Patience(NamedTuple):
    """Seconds that a client may take, by the names that operators know (`client` in config.yaml)."""

    header: float = 10.0  # for its head, from the first byte
    body: float = 300.0  # for its whole body
    body_stall: float = 30.0  # between two pieces of its body
    keep_alive: float = 75.0  # with no request
    write_stall: float = 60.0  # with its answer unread
