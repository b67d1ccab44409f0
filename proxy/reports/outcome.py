"""What does it mean for a call that it ended with this error?

The one table behind what is counted and what is logged.
"""

from asyncio import CancelledError
from typing import NamedTuple

from proxy.errors import GatewayError, UpstreamError

BUG = "internal_error"
CLIENT_GONE = 499  # as nginx counts a client that left


class Outcome(NamedTuple):
    """`kind` and `code` as errors.py has them; `by` is who ended it: client, upstream or pillion."""

    status: int
    kind: str
    code: str
    by: str

    @property
    def level(self) -> str:
        """A bug is an error; what a provider does to us, or we cannot do, is a warning; the client's own is neither."""
        if self.code == BUG:
            return "error"
        return "warning" if self.kind != "invalid_request" and (self.by == "upstream" or self.status >= 500) else "info"


def outcome(error: BaseException) -> Outcome:
    match error:
        case UpstreamError():
            return Outcome(error.status, error.kind, error.code, "upstream")
        case GatewayError():
            return Outcome(error.status, error.kind, error.code, "pillion")
        case ConnectionAbortedError():  # by the door, as nobody reads the answer
            return Outcome(CLIENT_GONE, "client", "client_stalled", "client")
        case CancelledError(args=[GatewayError() as reason, *_]):  # somebody ended it, and the client will hear why
            return outcome(reason)
        case CancelledError() if error.args:  # the door has a reason: it was not the client that left
            return Outcome(503, "server_error", "shutting_down", "pillion")
        case Exception() if not isinstance(error, ConnectionError):
            return Outcome(500, "server_error", BUG, "pillion")
        case _:  # the connection broke, or its end cancelled the call
            return Outcome(CLIENT_GONE, "client", "client_gone", "client")
