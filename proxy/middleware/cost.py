"""Can they afford it, and what did it cost?

An account of each attempt. Before it, the most that it may cost is set aside in the budgets, and an intent is written
to the ledger; after it, both learn what it did cost. So an attempt is in the ledger even where pillion dies during it.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import astuple, replace

from proxy.access.named import alternatives
from proxy.budgets import Budgets, Leases, Reservation
from proxy.canon import BUCKETS, NO_USAGE, Usage
from proxy.edge.aside import LARGE, aside
from proxy.envelope import Envelope
from proxy.errors import BadRequest, GatewayError
from proxy.ports import Bill, Call, Handler, Reply, Target
from proxy.prices import EVEN, Price, Prices, UnknownPrice
from proxy.reports.outcome import outcome
from proxy.spending.brake import Brake
from proxy.spending.extent import Longest, extent, named_tier, own_tier, tier
from proxy.spending.money import dollars
from proxy.spending.names import plain
from proxy.spending.tokens import BYTES_PER_TOKEN
from proxy.spending.used import is_unheard, unheard, used, used_so_far
from proxy.store import ESTIMATED, STREAM, UNPRICED, Ledger, Row

LEAST = 16  # tokens: OpenAI's Responses API takes no lower limit, and is asked for so many in its place

# Nano-dollars for one attempt; was the price a guess, has the target answered, and what tokens has it counted?
Paid = Callable[[Target, int, bool, bool, Usage | None], None]


class Held(Struct, frozen=True, gc=False):
    """What is set aside for an attempt."""

    price: Price
    reservation: Reservation | None
    slot: int
    row: Row


class Foreseen(NamedTuple):
    """Nano-dollars: `about` so many, by a guess at the tokens, and a `bound` on them; None where nobody knows one."""

    about: int
    bound: int | None
    source: str


class Cost:
    """The middleware, and the account of each attempt. `paid` hears what each cost. `leases`: of a fleet's budgets."""

    def __init__(
        self, prices: Prices, budgets: Budgets, ledger: Ledger, paid: Paid, leases: Leases | None = None
    ) -> None:
        self._prices = prices
        self._budgets = budgets
        self._ledger = ledger
        self._paid = paid
        self._leases = leases

    def __call__(self, call: Call, handler: Handler) -> Awaitable[Reply]:
        """Raises OverBudget, LedgerUnavailable, UnknownPrice."""
        if call.operation != "count_tokens":  # for which nobody bills
            call.accounts.append(self)
            call.bill = self._so_far
        return handler(call)

    def foresee(self, call: Call, target: Target, read: int, written: int) -> Foreseen:
        """What an attempt of so many tokens would cost there. Raises UnknownPrice, BadRequest."""
        price = self._prices.of(target.adapter.name, target.model, time.time(), tier_asked(call, target))
        guess, bound = price.bound(read, written), self._bound(call, target, price)
        return Foreseen(guess if bound is None else min(guess, bound), bound, price.source)

    async def refusal(self, call: Call, target: Target) -> GatewayError | None:
        """What `reserve` would raise there by now, as far as is known without asking a fleet's store for anything."""
        if call.operation == "count_tokens":
            return None
        provider, model, now = target.adapter.name, target.model, time.time()
        try:
            price = self._prices.of(provider, model, now, tier_asked(call, target))
            if not self._budgets.is_there and call.wishes.cost_limit is None:
                return None
            bound = await aside(len(call.envelope.body), self._bound, call, target, price)
            _check_limit(call, bound)
        except GatewayError as error:
            return error
        return self._budgets.refusal(call.client, provider, model, bound, now)

    async def reserve(self, call: Call) -> Held:
        """Before any byte goes to the provider. Raises OverBudget, LedgerUnavailable, UnknownPrice, BadRequest."""
        assert call.target is not None
        provider, model, now = call.target.adapter.name, call.target.model, time.time()
        price = self._prices.of(provider, model, now, tier := tier_asked(call, call.target))
        for name in filter(None, alternatives(call, call.target)):
            bound = 0 if self._prices.of(provider, name, now, tier).is_free else None
            if error := self._budgets.refusal(call.client, provider, name, bound, now):
                raise error
        reservation, uncounted = None, None
        if self._budgets.is_there or call.wishes.cost_limit is not None:
            size, asked = len(call.envelope.body), (call, call.target, price)
            bound = self._bound(*asked) if size <= LARGE else await aside(size, self._bound, *asked)
            _check_limit(call, bound)
            if self._leases is not None:
                await self._leases.provide(self._budgets.counters(call.client, provider, model, now), bound, call)
            reservation = self._budgets.reserve(call.client, provider, model, bound, now)
            call.stop_at, uncounted = reservation.stop_at, reservation.uncounted
        row, slot = _row(call, call.target, price, now, uncounted), None
        try:
            slot = self._ledger.intend(row)
            await self._ledger.durable(slot)
        except BaseException:
            if slot is not None:
                self._ledger.forget(slot)
            if reservation is not None:
                self._budgets.settle(reservation, 0)
            raise
        return Held(price, reservation, slot, row)

    def begun(self, call: Call, reply: Reply) -> None:
        if call.stop_at is not None:
            reply.taps.append(Brake(call, reply, self._under_way).tap)

    def settle(self, call: Call, held: Held, error: BaseException | None) -> None:
        call.is_settled = True
        if not call.asked:
            self._ledger.forget(held.slot)
            self._release(held, 0)
            return
        assert call.target is not None
        row, price = held.row, held.price
        usage, doubts = used(call, error)
        usage = _served(call, usage)
        flags = (row.flags & ~UNPRICED) | doubts  # the intent's price may have been a guess, and not the answer's
        price = self._answered(call, price, usage)
        if usage.tier:
            price = price.at(usage.tier)
        row.nanos, is_known = 0, price.is_known
        if usage is not NO_USAGE:  # a refusal is no request: some models have a fee for each
            row.nanos, is_known = self._prices.cost(row.provider, price, usage, row.at)
        row.source = price.source
        if error is not None and held.reservation is not None and is_unheard(call, error):
            row.nanos = max(row.nanos, held.reservation.uncounted or 0)
        row.flags = flags if is_known else flags | UNPRICED
        _measure(row, call, usage)
        if error is not None:
            how = outcome(error)
            row.status, row.error = how.status, how.code
            call.booked, call.is_estimated = usage, flags & ESTIMATED > 0
        self._ledger.settle(held.slot, row)
        self._release(held, row.nanos)
        call.spent += row.nanos
        call.price_source = price.source
        if row.flags and _is_guess(usage, flags, row.nanos, is_known):
            call.is_guess = True
        self._paid(call.target, row.nanos, not is_known, call.headed > 0, call.usage)

    def _so_far(self, call: Call) -> Bill:
        """What a call has cost by now, including an answer that is still under way."""
        if call.is_settled or call.target is None:
            return Bill(call.spent, call.is_guess)
        usage, flags = used(call, None)
        nanos, is_known = self._cost(call, call.target, usage)
        return Bill(call.spent + nanos, call.is_guess or _is_guess(usage, flags, nanos, is_known))

    def _under_way(self, call: Call) -> int:
        """Nano-dollars that the attempt under way has cost by now."""
        assert call.target is not None
        return self._cost(call, call.target, used_so_far(call))[0]

    def _cost(self, call: Call, target: Target, usage: Usage) -> tuple[int, bool]:
        """Nano-dollars, in the tier that served it; and is the price known?"""
        name, now = target.adapter.name, time.time()
        price = self._prices.of(name, target.model, now, tier_asked(call, target))
        return self._prices.cost(name, self._answered(call, price, usage), _served(call, usage), now)

    def _answered(self, call: Call, price: Price, usage: Usage) -> Price:
        """The price of the model that answered, where the target's name has none: a deployment, the ARN of a profile.

        And where the client has let the provider choose among several. `price`: the target's.
        """
        target, answered = call.target, usage.model or call.answered_model
        if target is not None and answered != target.model and (names := alternatives(call, target)):
            return self._chosen(call, target, price, answered, filter(None, names))
        if price.is_known or price.is_free or not answered or target is None:
            return price  # what is taken for free had nothing set aside for it
        found = self._prices.of(target.adapter.name, answered, time.time(), tier_asked(call, target))
        return found if found.is_known and not found.is_free else price

    def _chosen(self, call: Call, target: Target, price: Price, answered: str, names: Iterable[str]) -> Price:
        """Of the models that might answer, the price of the one that did; a guess at the dearest, if none of these did.

        OpenRouter names what it has asked by another spelling at times, or not at all where it was cut.
        """
        there = {name: self._of_other(call, target, name, price) for name in names} | {target.model: price}
        dated = {plain(name): its for name, its in there.items()}
        found = there.get(answered) or dated.get(plain(answered)) or self._of_other(call, target, answered, price)
        return found if found.is_known else max(there.values(), key=lambda each: each.bound(*EVEN)).guessed()

    def _of_other(self, call: Call, target: Target, model: str, price: Price) -> Price:
        """What another model costs there; where that must be known and is not, a guess at what the target's costs."""
        try:
            return self._prices.of(target.adapter.name, model, time.time(), tier_asked(call, target))
        except UnknownPrice:
            return price.guessed()

    def _release(self, held: Held, nanos: int) -> None:
        if held.reservation is not None:
            self._budgets.settle(held.reservation, nanos)
        elif self._budgets.is_there:  # by now
            self._budgets.count(held.row.client, held.row.provider, held.row.model, nanos, held.row.at)

    def _bound(self, call: Call, target: Target, price: Price) -> int | None:
        """Nano-dollars that the attempt cannot exceed; None where nobody knows. Raises BadRequest."""
        names = alternatives(call, target)
        if price.is_free and all(self._of_other(call, target, name, price).is_free for name in names):
            return 0
        if names:  # each may read it anew, and write as much
            return None
        hints, ever = target.adapter.hints(target.model), target.adapter.abilities(target.model).max_output
        longest = Longest(hints.max_tokens or hints.needed or ever, ever)
        asked = Envelope(call.envelope.filled(hints.fields)) if hints.fields else call.envelope  # as it will be sent
        known = extent(asked, call.dialect.bounds, longest, hints.like or target.model)
        if known.is_open or known.output is None:
            return None
        return price.bound(known.input, known.output if known.output > LEAST else LEAST)


def _check_limit(call: Call, bound: int | None) -> None:
    """Raises BadRequest where the request may cost more than its client will pay."""
    limit = call.wishes.cost_limit
    if limit is None or (bound is not None and call.spent + bound <= limit):
        return
    may = "an amount without a known bound" if bound is None else f"up to {dollars(call.spent + bound)} dollars"
    raise BadRequest(
        f"This request may cost {may}, but its cost_limit is {dollars(limit)}: limit the length of the answer, or raise"
        " cost_limit.",
        code="cost_limit_exceeded",
        param="cost_limit",
    )


def _row(call: Call, target: Target, price: Price, now: float, uncounted: int | None) -> Row:
    """An intent: what the attempt will cost, by a guess. `uncounted`: what is booked in its place after a crash."""
    read, written = len(call.envelope.body) // BYTES_PER_TOKEN, unheard(call, target)
    flags = (STREAM if call.stream else 0) | (0 if price.is_known else UNPRICED)
    return Row(  # by their names, the fields would take seven times as long
        0, now, call.id, call.attempts, call.client, call.dialect.name, call.operation,
        target.adapter.name, target.model,
        read, 0, 0, 0, 0, written, 0, 0,  # tokens
        price.bound(read, written) if uncounted is None else uncounted, price.source,
        0.0, 0.0, 200, "",  # until it is settled: its times, its status, its error
        flags,
    )  # fmt: skip


def _measure(row: Row, call: Call, usage: Usage) -> None:
    """Put into the row what was counted, and how long it took."""
    counts = astuple(usage.whole)[: len(BUCKETS)]
    row.input, row.cache_read, row.cache_write, row.cache_write_1h, row.audio_input = counts[:5]
    row.output, row.reasoning, row.audio_output = counts[5:]
    row.duration = monotonic() - call.began
    row.first_byte = call.headed - call.began if call.headed > call.began else 0.0


def _is_guess(usage: Usage, flags: int, nanos: int, is_known: bool) -> bool:
    """May the provider bill another sum?"""
    return usage is not NO_USAGE and (not is_known or (flags & ESTIMATED > 0 and nanos > 0))


def tier_asked(call: Call, target: Target) -> str:
    """The client's word, else the operator's (`body` in config.yaml); "" where neither says one. Raises BadRequest."""
    bounds, fields = call.dialect.bounds, target.adapter.hints(target.model).fields
    return tier(call.envelope, bounds) or _own_tier(call, target) or tier(fields, bounds)


def _own_tier(call: Call, target: Target) -> str:
    bounds = call.dialect.bounds
    if not (bounds.own_tiers or bounds.tier_headers) or call.dialect.name not in target.adapter.takes(target.model):
        return ""
    word = own_tier(call.envelope, call.headers, bounds)
    return "" if word == "standard" else word


def _served(call: Call, usage: Usage) -> Usage:
    """With the tier that the head of the answer names."""
    bounds = call.dialect.bounds
    word = named_tier(call.answer_head[1], bounds) if bounds.tier_headers else ""
    return replace(usage, tier=word) if word and usage is not NO_USAGE else usage
