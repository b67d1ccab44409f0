"""What do they ask for?

Reads the body and learns from it what the rest of the chain must know: which model, whether it is to be streamed, and
how long it may take. It stands behind auth, so that a stranger's megabytes are never read, and inside metrics, so that
nonsense is counted.
"""

import re

from proxy.aside import aside
from proxy.envelope import Envelope, check_values
from proxy.errors import BadRequest
from proxy.ports import Call, Handler, Path, Reply

TIMEOUT = "x-pillion-timeout"  # seconds

_number = re.compile(r"[0-9]+(?:\.[0-9]+)?").fullmatch


class Intake:
    """`longest`: seconds that a client may ask for."""

    def __init__(self, longest: float) -> None:
        self._longest = longest

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises BadRequest."""
        body = await call.receive()
        call.envelope = await aside(len(body), _read, body)
        call.model, call.stream, call.as_array = call.dialect.peek(call.envelope, Path(call.rest, call.query))
        if TIMEOUT in call.headers:
            call.timeout = _seconds(call.headers[TIMEOUT], self._longest)
        return await handler(call)


def _read(body: bytes) -> Envelope:
    check_values(body)
    return Envelope(body)


def _seconds(text: str, longest: float) -> float:
    """Raises BadRequest. Who asks for more than there is would believe to have it."""
    seconds = float(text) if _number(text) else 0.0
    if not 0 < seconds <= longest:
        raise BadRequest(f"{TIMEOUT} must be a number of seconds above 0, and at most {longest:g}.", param=TIMEOUT)
    return seconds
