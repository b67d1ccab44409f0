"""May they, now?

A client's own limits come before everything that its request would cause, and what it holds of them is given back when
the answer has ended. A provider's and a model's limits, and those that a provider has announced itself, are kept around
each attempt. Every answer tells its client what is left of the client's own, and a refusal of the limit that refused.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from time import monotonic, monotonic_ns, time
from typing import NamedTuple

from proxy.access.allowance import Limits
from proxy.canon import NO_USAGE
from proxy.config import LimitsRow
from proxy.edge.aside import LARGE, aside
from proxy.errors import GatewayError, OverLimit
from proxy.fleet import Fleet
from proxy.grammar.counts import SANE
from proxy.limits.admission import Admission
from proxy.limits.announced import Announcements, leave_plenty, rows_in
from proxy.limits.fleet import FleetAdmission
from proxy.limits.gcra import SECOND
from proxy.limits.need import NO_TOKENS, Need, need_of
from proxy.limits.ratelimits import has_words, with_ours
from proxy.limits.scope import Held, Kind, Limited, Scope
from proxy.limits.shared import Shared
from proxy.ports import Call, Handler, Reply
from proxy.spending.heard import tokens_of
from proxy.spending.names import plain
from proxy.spending.used import is_refusal

MOST_CLIENTS = 10_000  # whose limits are remembered even if they are as good as new
MOST_TARGETS = 256  # whose announced limits are
NOBODYS = (None, None, None)
NOTHING = Held((), (), NO_TOKENS)  # is held where nothing limits an attempt


class Place(NamedTuple):
    """A provider, and the model by its own name for it."""

    provider: str
    model: str


class RateLimit:
    """The middleware, and the account of each attempt.

    `providers`: their limits, by name. `clock`: nanoseconds, and it never goes back; `wall`: seconds since 1970.
    `fleet`: who shares the operator's limits with this sidecar.
    """

    def __init__(
        self,
        limits: LimitsRow,
        providers: Mapping[str, Limits],
        clock: Callable[[], int] = monotonic_ns,
        wall: Callable[[], float] = time,
        fleet: Fleet | None = None,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._fleet = fleet
        queue = limits.queue
        self._admission = Admission(queue, clock) if fleet is None else FleetAdmission(queue, clock, fleet)
        self._clients: dict[str, Limited] = {}
        self._many = MOST_CLIENTS  # of them, at which those that are as good as new are forgotten
        self._providers: dict[str, Limited] = {}
        self._models: dict[Place, Limited] = {}
        self._announced: dict[Place, Announcements] = {}
        self.become(limits, providers)
        if fleet is not None:
            fleet.beats.append(self._tell)
            fleet.gone.append(self._divide)

    def become(self, limits: LimitsRow, providers: Mapping[str, Limits]) -> None:
        """Go by these from now on. A limit that stays as it was goes on counting; any other begins anew."""
        self._admission.become(limits.queue)
        self._default = limits.client or None
        self._providers = {
            name: self._kept(self._providers.get(name), "provider", name, each)
            for name, each in providers.items()
            if each
        }
        self._models = {
            (place := _named(name)): self._kept(self._models.get(place), "model", name, each)
            for name, each in limits.models.items()
            if each
        }

    @property
    def refused(self) -> Counter[tuple[str, str]]:
        """How often, by whose limit it was (a client's, provider's, model's, announced) and by what it limits."""
        return self._admission.refused

    @property
    def queued(self) -> int:
        """How many wait now."""
        return self._admission.queued

    def __call__(self, call: Call, handler: Handler) -> Awaitable[Reply]:
        """Raises OverLimit, and what the handler raises."""
        call.accounts.append(self)
        limits = call.key.limits if call.key is not None and call.key.limits else self._default
        return handler(call) if limits is None else self._limited(call, handler, self._client(call, limits))

    async def reserve(self, call: Call) -> Held:
        """What an attempt takes of the limits of its provider and its model. Raises OverLimit, Busy."""
        if not (self._announced or self._models or self._providers):
            return NOTHING
        place = _place(call)
        scopes = (self._announced.get(place), self._models.get(_one(place)), self._providers.get(place.provider))
        if scopes == NOBODYS:
            return NOTHING
        there = [scope for scope in scopes if scope is not None]
        size = len(call.envelope.body)
        need = _need(call, there) if size <= LARGE else await aside(size, _need, call, there)
        try:
            return self._admission.admit(there, need) or await self._turn(call, there, need, call.may_wait)
        except OverLimit as error:
            for scope in there:
                if isinstance(scope, Limited):
                    error.headers = self._told(call, scope, error.headers)
            raise

    def begun(self, call: Call, reply: Reply) -> None:
        self._listen(call)

    def settle(self, call: Call, held: Held, error: BaseException | None) -> None:
        self._listen(call)
        if held is not NOTHING:
            self._leave(call, held, error)

    def learn(self, provider: str, model: str, headers: Mapping[str, str], now: float) -> None:
        """Note what an answer says of the provider's own limits. `now`: when it came, by our clock, in seconds."""
        rows, place = rows_in(headers), Place(provider, model)
        if not rows:
            return
        if place not in self._announced:
            if len(self._announced) >= MOST_TARGETS:
                self._announced.clear()  # the next answer of each tells anew
            self._announced[place] = Announcements(provider, model)
        scope = self._announced[place]
        at = int(now * SECOND)
        scope.hear(rows, headers, at, self._wall() - (self._clock() - at) / SECOND)
        self._admission.advance((scope,))

    async def _turn(self, call: Call, scopes: Sequence[Scope], need: Need, may_wait: bool = True) -> Held:
        began, asked = monotonic(), call.store_waited
        call.is_queued = True
        try:
            return await self._admission.enter(scopes, need, call.left() if may_wait else 0.0, call)
        finally:
            call.is_queued = False
            call.held_up(began + call.store_waited - asked)  # asking a fleet's store is no turn

    async def _limited(self, call: Call, handler: Handler, scope: Limited) -> Reply:
        """Every answer, an error too, tells what is left; at its end what was held is given back."""
        size, scopes, held = len(call.envelope.body), (scope,), NOTHING
        try:
            need = _need(call, scopes) if size <= LARGE else await aside(size, _need, call, scopes)
            held = self._admission.admit(scopes, need) or await self._turn(call, scopes, need)
            reply = await handler(call)
        except BaseException as error:
            self._leave(call, held, error)
            if isinstance(error, GatewayError):
                error.headers = self._told(call, scope, error.headers)
            raise
        reply.endings.append(lambda error: self._leave(call, held, error))
        reply.headers = self._told(call, scope, reply.headers)
        return reply

    def _leave(self, call: Call, held: Held, error: BaseException | None) -> None:
        used = None if held.need is NO_TOKENS else _used(call, held.need, error)
        self._admission.leave(held, used)

    def _client(self, call: Call, limits: Limits) -> Limited:
        """The scope of who asks."""
        scope = self._clients.get(call.client)
        if scope is None or (scope.limits is not limits and scope.limits != limits):
            if len(self._clients) >= self._many:
                now = self._clock()
                self._clients = {name: each for name, each in self._clients.items() if not each.is_idle(now)}
                self._many = max(MOST_CLIENTS, 2 * len(self._clients))  # where all are busy, not for each new one
            name = f"client {call.client}" if call.client else "clients without a key"
            scope = self._clients[call.client] = self._scope("client", name, limits)
        return scope

    def _kept(self, scope: Limited | None, kind: Kind, name: str, limits: Limits) -> Limited:
        return scope if scope is not None and scope.limits == limits else self._scope(kind, name, limits)

    def _scope(self, kind: Kind, name: str, limits: Limits) -> Limited:
        if self._fleet is None:
            return Limited(kind, name, limits)
        return Shared(kind, name, limits, self._fleet, self._clock())

    def _shared(self) -> Iterator[Shared]:
        for scopes in (self._clients, self._providers, self._models):
            yield from (scope for scope in scopes.values() if isinstance(scope, Shared))

    def _tell(self) -> None:
        """Tell the store what it does not know yet."""
        assert self._fleet is not None
        now = self._clock()
        for scope in self._shared():
            for script, keys, words in scope.due(now):
                self._fleet.tell(script, keys, words, lambda _: None)

    def _divide(self) -> None:
        """The store is away: each limit becomes this sidecar's share of it."""
        for scope in self._shared():
            scope.divide(self._clock())

    def _listen(self, call: Call) -> None:
        """To what the head of this attempt's answer says. Counting tokens has limits of its own."""
        at, headers = call.answer_head
        if at >= call.began and call.operation != "count_tokens":
            if not self._announced and leave_plenty(headers):
                return
            self.learn(*_place(call), headers, at)

    def _told(self, call: Call, scope: Limited, lines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        if not has_words(call.dialect.name):
            return list(lines)
        return with_ours(lines, scope.levels(self._clock()), call.dialect.name, self._wall())


def _need(call: Call, scopes: Sequence[Scope]) -> Need:
    for scope in scopes:
        if scope.counts_tokens:
            return need_of(call)
    return NO_TOKENS


def _place(call: Call) -> Place:
    assert call.target is not None
    return Place(call.target.adapter.name, call.target.model)


def _named(name: str) -> Place:
    provider, _, model = name.partition("/")
    return _one(Place(provider, model))


def _one(place: Place) -> Place:
    """The same for all names of the model."""
    return Place(place.provider, plain(place.model))


def _used(call: Call, need: Need, error: BaseException | None) -> int | None:
    """Tokens; None where nobody counted them, or counted wrong, so that the estimate stands."""
    if not call.asked or is_refusal(error):
        return 0
    usage = (call.usage or NO_USAGE).whole
    read, written = usage.total_input, usage.total_output
    if error is not None:  # it was cut, and what it says of its length by then is not all that was heard
        written = max(written, tokens_of(call.heard, call.dialect, call.stream))
    elif not (read or written) or (usage.is_odd and not (read and written)):
        return None
    used = (read or need.read) + written  # nobody reads nothing
    return used if 0 <= used <= SANE else None
