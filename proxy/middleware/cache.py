"""Do we already know?

    x-pillion-cache: on       from memory, if it is there; and what comes is kept
                     refresh  asked anew, and kept
                     shared   one answer for all who ask the same at this moment
                     off      as if there were no cache

Without the header the configuration decides. Like failover, the cache may put another body in a reply's place: an
answer that was given before, or one that several calls share.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from proxy import config
from proxy.answers import Answer, Answers, Found, Gathering, Shelf, lasting, left_in, streamed
from proxy.answers.flights import Flights, Key
from proxy.answers.sameness import identity, is_deterministic, stands_alone
from proxy.edge.aside import LARGE, aside
from proxy.errors import BadRequest, GatewayError, LedgerUnavailable, OverBudget, excerpt
from proxy.headers import CACHE
from proxy.ports import Call, Handler, Headers, Reply

HIT, MISS, SHARED = (CACHE, "hit"), (CACHE, "miss"), (CACHE, "shared")
FREE = ("x-pillion-cost-usd", "0")


class Mode(NamedTuple):
    """What is done for a call: is its answer looked for, kept, shared while it comes?"""

    recalls: bool = False
    keeps: bool = False
    shares: bool = False


OFF = Mode()
REFRESH = Mode(keeps=True)
TOGETHER = Mode(shares=True)


Wanted = Callable[[Call], bool | None]


def _by_the_rules(call: Call) -> None:
    """Where no route says whether its answers are kept."""


class Cache:
    """`state`: the state directory. The rest is what `become` is told."""

    def __init__(
        self, rules: config.Cache, state: Path | None = None, about: str = "", wanted: Wanted = _by_the_rules
    ) -> None:
        shelf = None if state is None else Shelf(state) if rules.stored else left_in(state)
        self.answers = Answers(rules.size, rules.ttl, shelf)
        self.flights = Flights(rules.size)
        self.hits = self.misses = self.shared = 0
        self.become(rules, about, wanted)

    def become(self, rules: config.Cache, about: str = "", wanted: Wanted = _by_the_rules) -> None:
        """Go by these rules from now on; whether answers are kept in files is settled at the start.

        `about`: what answers depend on besides the request, such as the configuration. `wanted`: is a call looked up
        that does not say so itself? None: as the rules have it.
        """
        self.answers.become(rules.size, rules.ttl)
        self.flights.most = rules.size
        self._about = about
        self._wanted = wanted
        self._is_enabled = rules.enabled
        self._is_shared = rules.shared
        self._on = Mode(recalls=True, keeps=True, shares=rules.single_flight)
        self._unsaid = TOGETHER if rules.single_flight else OFF
        self._said = {"on": self._on, "refresh": REFRESH, "off": OFF}

    async def open(self) -> None:
        await self.answers.open()

    async def close(self) -> None:
        await self.flights.close()
        await self.answers.close()

    def __call__(self, call: Call, handler: Handler) -> Awaitable[Reply]:
        """Raises BadRequest, and what the target raises."""
        mode = self._mode(call)
        return handler(call) if mode is OFF else self._looked_up(mode, call, handler)

    async def _looked_up(self, mode: Mode, call: Call, handler: Handler) -> Reply:
        if stands_alone(call):
            return await self._asked(call, handler)
        key = await aside(len(call.envelope.body), identity, call, self._about, self._is_shared)
        if mode.recalls and (found := await self.answers.find(key)) is not None:
            return self._again(call, found)
        if mode.keeps:
            handler = partial(self._keeping, key, handler)
        if call.timeout is None and (mode.shares or (mode.recalls and is_deterministic(call.envelope))):
            return await self._together_with_others(key, mode.keeps, call, handler)
        return await self._asked(call, handler)

    def _mode(self, call: Call) -> Mode:
        """Raises BadRequest."""
        said = call.headers.get(CACHE)
        if said is None:
            return self._on if self._is_wanted(call) else self._unsaid
        word = said.strip().lower()
        if word == "shared":
            return self._on._replace(shares=True) if self._is_wanted(call) else TOGETHER
        if (mode := self._said.get(word)) is None:
            raise BadRequest(f"{CACHE} must be on, off, refresh or shared, not {excerpt(said)!r}.", param=CACHE)
        return mode

    def _is_wanted(self, call: Call) -> bool:
        said = self._wanted(call)
        return self._is_enabled if said is None else said

    def _again(self, call: Call, found: Found) -> Reply:
        """Nobody is asked, and nothing is paid. The receipt is the one that the answer had when it was kept."""
        self.hits += 1
        answer = found.answer
        call.cached, call.dropped = HIT[1], answer.dropped
        head = [*answer.headers, ("age", str(int(found.age))), HIT]
        return _for_nothing(call, Reply(200, head, answer.again(), last_words=call.dialect.error_event))

    async def _asked(self, call: Call, handler: Handler) -> Reply:
        self.misses += 1
        return await _marked(handler(call), MISS)

    async def _together_with_others(self, key: str, keeps: bool, call: Call, handler: Handler) -> Reply:
        """Calls share an answer only where they have the same limit of cost, and none of time: whoever has come later
        has more of that left than the first one, at whose end the answer would be cut off.

        Whoever wants it to be kept joins only those for whom it is. Where it is refused to the client that was to pay
        for it, the next one pays.
        """
        kept, mine = ((key, call.wishes.cost_limit, is_kept) for is_kept in (True, keeps))
        while (first := self.flights.first(whose := kept) or self.flights.first(whose := mine)) is not None:
            self.shared += 1
            call.cached = SHARED[1]
            try:
                return await _marked(self._other(whose, call, handler), SHARED)
            except (OverBudget, LedgerUnavailable):
                if first.client == call.client:
                    raise
        self.misses += 1
        call.cached = ""
        return await _marked(self._first(whose, call, handler), MISS)

    async def _first(self, whose: Key, call: Call, handler: Handler) -> Reply:
        return (await self.flights.share(whose, call, handler)).reply

    async def _other(self, whose: Key, call: Call, handler: Handler) -> Reply:
        reply, first = await call.timed(self.flights.share(whose, call, handler))
        reply.headers = lasting(reply.headers)
        _copy_receipt(call, first)
        reply.endings.append(lambda error: _copy_receipt(call, first))
        return _for_nothing(call, reply)

    async def _keeping(self, key: str, handler: Handler, call: Call) -> Reply:
        """An answer is kept once it has ended: its receipt may grow until then."""
        reply = await handler(call)
        if reply.status != 200:
            return reply
        head, body = lasting(reply.headers), reply.body
        if isinstance(body, bytes):
            reply.endings.append(lambda error: self._keep_whole(key, call, head, body, error))
        else:
            gathering = Gathering(self.answers)
            reply.body = gathering.over(body)
            reply.endings.append(lambda error: self._keep_stream(key, call, head, gathering, error))
        return reply

    def _keep_whole(self, key: str, call: Call, head: Headers, body: bytes, error: BaseException | None) -> None:
        if error is None and _says_something(call, body):
            self.answers.keep(key, Answer(headers=tuple(head), body=body, dropped=call.dropped))

    def _keep_stream(
        self, key: str, call: Call, head: Headers, gathering: Gathering, error: BaseException | None
    ) -> None:
        chunks = gathering.take()
        if error is None and chunks is not None:
            self.answers.keep(key, streamed(head, chunks, call.dropped))


async def _marked(asking: Awaitable[Reply], line: tuple[str, str]) -> Reply:
    """With the line that tells where it is from, which an error bears as well."""
    try:
        reply = await asking
    except GatewayError as error:
        error.headers = [*error.headers, line]
        raise
    reply.headers.append(line)
    return reply


def _for_nothing(call: Call, reply: Reply) -> Reply:
    """The head of a whole answer tells its cost: nothing, where somebody else has paid for it."""
    if isinstance(reply.body, bytes) and call.operation != "count_tokens":  # for which nobody bills
        reply.headers.append(FREE)
    return reply


def _says_something(call: Call, body: bytes) -> bool:
    """Is it an answer that its wire can read?

    An answer that passes through is the client's to judge: one without choices, or one whose choice ends in an error,
    comes with 200 as well. Given again, it would be a failure for the whole `ttl`. What was translated has been read
    before, the end of a stream is looked at in its lane, and what is long has something to say.
    """
    has_passed = call.operation == "chat" and call.wire == call.dialect.name and not call.is_translated
    if call.stream or not has_passed or len(body) > LARGE:
        return True
    decoder = call.dialect.decoder(False)
    try:
        deque(decoder.feed(body), 0)
        deque(decoder.close(), 0)
    except GatewayError:
        return False
    return True


def _copy_receipt(call: Call, first: Call) -> None:
    """All who share an answer have the same receipt; a stream's may grow until it ends."""
    call.dropped = first.dropped
