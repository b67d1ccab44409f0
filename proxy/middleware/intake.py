"""What do they ask for?

Reads the body and learns from it what the rest of the chain must know: which model, whether it is to be streamed, how
long it may take, and what the client wishes of pillion itself. It stands behind auth, so that a stranger's megabytes
are never read, and inside metrics, so that nonsense is counted.
"""

from collections.abc import Callable
from time import monotonic

from proxy.access.allowance import ClientKey
from proxy.catalog import bounded
from proxy.edge.aside import SKIMMED, aside
from proxy.envelope import Envelope, check_values
from proxy.errors import BadRequest
from proxy.headers import COST_LIMIT, SUMMARY, TIMEOUT
from proxy.ports import NO_WISHES, Call, Handler, Path, Reply, Wishes, Wishing
from proxy.wishes import in_time, seconds, too_late, wishing, with_headers


class Intake:
    """`longest`: seconds that a client may ask for. `named` makes one name of a provider and a model that the client
    says apart; what that is may depend on its key.
    """

    def __init__(self, longest: float, named: Callable[[str, str, ClientKey | None], str] = "{}/{}".format) -> None:
        self._longest = longest
        self._named = named

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises BadRequest; GatewayError, 504, where the client's time is over with its body."""
        began = monotonic()
        try:
            body, dialect = await call.receive(), wishing(call.dialect)
        finally:
            call.held_up(began)
        size = len(body)
        call.wishes, call.envelope = (
            _read(body, dialect) if size <= SKIMMED else await aside(size, _read, body, dialect)
        )
        peek = call.dialect.peek(call.envelope, Path(call.rest, call.query))
        call.model, call.stream, call.as_array = bounded(peek.model), peek.stream, peek.as_array
        if call.wishes.provider:
            call.model = self._named(bounded(call.wishes.provider, "provider"), call.model, call.key)
        if TIMEOUT in call.headers:
            self._set_timeout(call)
            if not call.has_time():
                raise too_late(call)
        if COST_LIMIT in call.headers or SUMMARY in call.headers:
            call.wishes = with_headers(call.wishes, call.headers)
            if call.wishes.summary and dialect is None:
                raise BadRequest(f"{SUMMARY}: the {call.dialect.name} API has no place for a summary.", param=SUMMARY)
        return await handler(call)

    async def without_model(self, call: Call, handler: Handler) -> Reply:
        """For requests that ask no model, such as a list of them. Raises BadRequest; GatewayError, 504."""
        if TIMEOUT not in call.headers:
            return await handler(call)
        self._set_timeout(call)
        return await in_time(call, handler(call), "there was an answer")

    def _set_timeout(self, call: Call) -> None:
        call.timeout = seconds(call.headers[TIMEOUT], self._longest)


def _read(body: bytes, dialect: Wishing | None) -> tuple[Wishes, Envelope]:
    check_values(body)
    envelope = Envelope(body)
    return (NO_WISHES, envelope) if dialect is None else dialect.wishes(envelope)
