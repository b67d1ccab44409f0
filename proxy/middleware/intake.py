"""What do they ask for?

Reads the body and learns from it what the rest of the chain must know: which model, and whether it is to be streamed.
It stands behind auth, so that a stranger's megabytes are never read, and inside metrics, so that nonsense is counted.
"""

from proxy.envelope import Envelope
from proxy.ports import Call, Handler, Path, Reply


async def intake(call: Call, handler: Handler) -> Reply:
    """Raises BadRequest."""
    call.envelope = Envelope(await call.receive())
    call.model, call.stream, call.as_array = call.dialect.peek(call.envelope, Path(call.rest, call.query))
    return await handler(call)
