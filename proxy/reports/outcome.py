"""What does it mean for a call that it ended with this error?

The one table behind both the metrics and the log.
"""

from asyncio import CancelledError
from typing import NamedTuple

from proxy.errors import GatewayError, Resting, UpstreamError

BUG = "internal_error"
CLIENT_GONE = 499  # as nginx counts a client that left
# Codes that mean something about this pillion. A provider may say them of itself, above all where it is a pillion too.
OF_US = frozenset(
    {
        BUG,
        "overloaded",
        "too_many_connections",
        "shutting_down",
        "ledger_unavailable",
        "store_unavailable",
        Resting.code,
    }
)


class Outcome(NamedTuple):
    """`kind` and `code`: as in errors.py. `by`: who ended the call, client, upstream or pillion."""

    status: int
    kind: str
    code: str
    by: str

    @property
    def level(self) -> str:
        """A bug is an error; a provider's failure, or ours, is a warning; what the client did wrong is neither."""
        if self.code == BUG:
            return "error"
        return "warning" if self.kind != "invalid_request" and (self.by == "upstream" or self.status >= 500) else "info"


def outcome(error: BaseException) -> Outcome:
    match error:
        case Resting():  # we did not ask
            return Outcome(error.status, error.kind, error.code, "pillion")
        case UpstreamError():
            code = UpstreamError.code if error.code in OF_US else error.code
            return Outcome(error.status, error.kind, code, "upstream")
        case GatewayError():
            return Outcome(error.status, error.kind, error.code, "pillion")
        case ConnectionAbortedError():  # the door gave up, because the client does not read
            return Outcome(CLIENT_GONE, "client", "client_stalled", "client")
        case CancelledError(args=[GatewayError() as reason, *_]):  # somebody cancelled the call, for this reason
            return outcome(reason)
        case CancelledError() if error.args:  # the door gave a reason: the client has not left
            return Outcome(503, "server_error", "shutting_down", "pillion")
        case Exception() if not isinstance(error, ConnectionError):
            return Outcome(500, "server_error", BUG, "pillion")
        case _:  # the client's connection broke, or the call was cancelled when it closed
            return Outcome(CLIENT_GONE, "client", "client_gone", "client")
