"""What do they ask for?

Reads the body and learns from it what the rest of the chain must know: which model, whether it is to be streamed, and
how long it may take. It stands behind auth, so that a stranger's megabytes are never read, and inside metrics, so that
nonsense is counted.
"""

from math import isfinite

from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.ports import Call, Handler, Path, Reply

TIMEOUT = "x-pillion-timeout"  # seconds


class Intake:
    """`longest`: seconds that a client may ask for; who asks for more gets as much."""

    def __init__(self, longest: float) -> None:
        self._longest = longest

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises BadRequest."""
        call.envelope = Envelope(await call.receive())
        call.model, call.stream, call.as_array = call.dialect.peek(call.envelope, Path(call.rest, call.query))
        if TIMEOUT in call.headers:
            call.timeout = min(_seconds(call.headers[TIMEOUT]), self._longest)
        return await handler(call)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not (isfinite(seconds) and seconds > 0):
        raise BadRequest(f"{TIMEOUT} must be a number of seconds above 0.", param=TIMEOUT)
    return seconds
