"""Can they afford it, and what did it cost?

An account of each attempt: before it the dearest that it may become is set aside in the budgets, and an intent stands
in the ledger; after it both learn what it was. So an attempt that nobody lived to settle is in the ledger all the same.
"""

import time
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import astuple, replace

from proxy.budgets import Budgets, Leases, Reservation
from proxy.canon import BUCKETS, NO_USAGE, Usage
from proxy.envelope import Envelope
from proxy.errors import BadRequest, Down, UpstreamError
from proxy.ports import Bill, Call, Handler, Reply, Target
from proxy.prices import Price, Prices
from proxy.reports.outcome import outcome
from proxy.spending.brake import Brake
from proxy.spending.extent import Longest, extent, is_length, said_length, tier
from proxy.spending.heard import tokens_of
from proxy.spending.money import dollars
from proxy.spending.tokens import ANSWER, BYTES_PER_TOKEN
from proxy.store import ABSURD, ESTIMATED, STREAM, UNPRICED, Ledger, Row

LEAST = 16  # tokens that every wire can be asked for: OpenAI's Responses refuse less, and get so much

# Nano-dollars for one attempt; whether the price was a guess, and whether the target has answered.
Paid = Callable[[Target, int, bool, bool], None]


class Held(Struct, frozen=True, gc=False):
    """What is set aside for an attempt."""

    price: Price
    reservation: Reservation | None
    slot: int
    row: Row


class Foreseen(NamedTuple):
    """Nano-dollars: by a guess at its tokens, and what it cannot exceed; None where nobody knows."""

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
        """What an attempt there would cost that takes so many tokens. Raises UnknownPrice, BadRequest."""
        price = self._prices.of(target.adapter.name, target.model, time.time(), _tier_asked(call, target))
        guess, bound = price.bound(read, written), self._bound(call, target, price)
        return Foreseen(guess if bound is None else min(guess, bound), bound, price.source)

    async def reserve(self, call: Call) -> Held:
        """Before any byte goes to the provider. Raises OverBudget, LedgerUnavailable, UnknownPrice, BadRequest."""
        assert call.target is not None
        provider, model, now = call.target.adapter.name, call.target.model, time.time()
        price = self._prices.of(provider, model, now, _tier_asked(call, call.target))
        reservation = None
        if self._budgets.is_there or call.wishes.cost_limit is not None:
            bound = self._bound(call, call.target, price)
            _check_limit(call, bound)
            if self._leases is not None:
                await self._leases.provide(self._budgets.counters(call.client, provider, model, now), bound)
            reservation = self._budgets.reserve(call.client, provider, model, bound, now)
            call.stop_at = reservation.stop_at
        row, slot = _row(call, call.target, price, now), None
        if reservation is not None and (uncounted := reservation.uncounted) is not None:
            row.nanos = uncounted  # for whoever finds it after a crash
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
        flags = row.flags & ~UNPRICED  # which the intent's price may have been, and not the answer's
        usage, flags = _usage(call, flags, error)
        if not price.is_known:
            price = self._answered(call, price)
        if usage.tier:
            price = price.at(usage.tier)
        row.nanos, is_known = 0, price.is_known
        if usage is not NO_USAGE:  # a refusal is no request: some models have a fee for each
            row.nanos, is_known = self._prices.cost(row.provider, price, usage, row.at)
        row.source = price.source
        if error is not None and held.reservation is not None and _is_unheard(call, error):
            row.nanos = max(row.nanos, held.reservation.uncounted or 0)
        row.flags = flags if is_known else flags | UNPRICED
        counts = astuple(usage.whole)[: len(BUCKETS)]
        row.input, row.cache_read, row.cache_write, row.cache_write_1h, row.audio_input = counts[:5]
        row.output, row.reasoning, row.audio_output = counts[5:]
        row.duration = monotonic() - call.began
        row.first_byte = call.headed - call.began if call.headed > call.began else 0.0
        if error is not None:
            how = outcome(error)
            row.status, row.error = how.status, how.code
            call.booked = usage
        self._ledger.settle(held.slot, row)
        self._release(held, row.nanos)
        call.spent += row.nanos
        call.price_source = price.source
        if row.flags and _is_guess(usage, flags, row.nanos, is_known):
            call.is_guess = True
        self._paid(call.target, row.nanos, not is_known, call.headed > 0)

    def _so_far(self, call: Call) -> Bill:
        """What a call has cost by now, an answer that is still under way included."""
        if call.is_settled or call.target is None:
            return Bill(call.spent, call.is_guess)
        usage, flags = _usage(call, 0, None)
        nanos, is_known = self._cost(call, call.target, usage)
        return Bill(call.spent + nanos, call.is_guess or _is_guess(usage, flags, nanos, is_known))

    def _under_way(self, call: Call) -> int:
        """What the attempt under way has cost by now. A count from its beginning says nothing of what was written."""
        assert call.target is not None
        heard = _heard(call)
        return self._cost(call, call.target, _no_shorter(call.usage or heard, heard))[0]

    def _cost(self, call: Call, target: Target, usage: Usage) -> tuple[int, bool]:
        """In the tier that it was served in; and is it no guess?"""
        name, now = target.adapter.name, time.time()
        price = self._prices.of(name, target.model, now, _tier_asked(call, target))
        return self._prices.cost(name, self._answered(call, price), usage, now)

    def _answered(self, call: Call, price: Price) -> Price:
        """That of the model that answered, where the target's own name has none: a deployment's, a profile's ARN.

        `price`: the target's.
        """
        if price.is_known or price.is_free or not call.answered_model or call.target is None:
            return price  # what is taken for free had nothing set aside for it
        asked = _tier_asked(call, call.target)
        found = self._prices.of(call.target.adapter.name, call.answered_model, time.time(), asked)
        return found if found.is_known and not found.is_free else price

    def _release(self, held: Held, nanos: int) -> None:
        if held.reservation is not None:
            self._budgets.settle(held.reservation, nanos)
        elif self._budgets.is_there:  # by now
            self._budgets.count(held.row.client, held.row.provider, held.row.model, nanos, held.row.at)

    def _bound(self, call: Call, target: Target, price: Price) -> int | None:
        """Nano-dollars that the attempt cannot exceed; None where nobody knows. Raises BadRequest."""
        if price.is_free:
            return 0
        hints, ever = target.adapter.hints(target.model), target.adapter.abilities(target.model).max_output
        longest = Longest(hints.max_tokens or hints.needed or ever, ever)
        asked = Envelope(call.envelope.filled(hints.fields)) if hints.fields else call.envelope  # as it will be sent
        known = extent(asked, call.dialect.bounds, longest, target.model)
        if known.is_open or known.output is None:
            return None
        return price.bound(known.input, known.output if known.output > LEAST else LEAST)


def _check_limit(call: Call, bound: int | None) -> None:
    """Raises BadRequest where the request may cost more than its client will pay."""
    limit = call.wishes.cost_limit
    if limit is None or (bound is not None and call.spent + bound <= limit):
        return
    may = "what nobody can say" if bound is None else f"up to {dollars(call.spent + bound)} dollars"
    raise BadRequest(
        f"This request may cost {may}, and its cost_limit is {dollars(limit)}: say how long the answer may be, or allow"
        " more.",
        code="cost_limit_exceeded",
        param="cost_limit",
    )


def about(call: Call, price: Price) -> int:
    """Nano-dollars, by a guess at the length of question and answer."""
    return price.bound(len(call.envelope.body) // BYTES_PER_TOKEN, ANSWER)


def _row(call: Call, target: Target, price: Price, now: float) -> Row:
    """An intent: what the attempt is about to cost, as far as anybody can guess. In the order of Row's fields."""
    read, written = len(call.envelope.body) // BYTES_PER_TOKEN, _unheard(call)
    return Row(
        0, now, call.id, call.attempts, call.client, call.dialect.name, call.operation, target.adapter.name,
        target.model, read, 0, 0, 0, 0, written, 0, 0, price.bound(read, written), price.source, 0.0, 0.0, 200, "",
        (STREAM if call.stream else 0) | (0 if price.is_known else UNPRICED),
    )  # fmt: skip


def _is_guess(usage: Usage, flags: int, nanos: int, is_known: bool) -> bool:
    """Is a cost more or less than what will be billed, as far as anybody knows?"""
    return usage is not NO_USAGE and (not is_known or (flags & ESTIMATED > 0 and nanos > 0))


def _usage(call: Call, flags: int, error: BaseException | None) -> tuple[Usage, int]:
    """What was used, and the row's flags. Of an answer that nobody has counted it is what was heard of it."""
    if _is_refusal(error):
        return call.usage or NO_USAGE, flags
    usage = call.usage
    if usage is not None and error is None and not usage.is_odd:
        read, written = usage.total_input, usage.total_output
        if usage.is_guess:
            return usage, flags | ESTIMATED
        if (read and written) or (usage.beside and not (read or written)):  # only what is beside it ran
            return usage, flags
        if read or written:
            filled = _filled(usage, _heard(call))  # nobody reads nothing, or says something in no tokens
            return filled, flags if filled is usage else flags | ESTIMATED
    heard, flags = _heard(call), flags | ESTIMATED | (ABSURD if usage is not None and usage.is_odd else 0)
    if _is_unheard(call, error):
        heard = replace(heard, output=_unheard(call))
    if usage is None or not (usage.total_input or usage.total_output or usage.beside):
        return heard, flags
    usage = _no_shorter(usage, heard)
    if usage.total_input < heard.input and (usage.is_odd or not usage.total_input):
        usage = replace(usage, input=usage.input + heard.input - usage.total_input)
    return usage, flags


def _no_shorter(usage: Usage, heard: Usage) -> Usage:
    """With no less written than was heard."""
    if usage.total_output >= heard.output:
        return usage
    return replace(usage, output=heard.output, reasoning=0, audio_output=0)


def _filled(usage: Usage, heard: Usage) -> Usage:
    """With an estimate for what was not counted at all."""
    if not usage.total_input:
        return replace(usage, input=heard.input)
    return replace(usage, output=heard.output) if heard.output else usage


def _heard(call: Call) -> Usage:
    """An estimate, by the length of what was asked and of what was heard."""
    written = tokens_of(call.heard, call.dialect, call.stream)
    return Usage(input=len(call.envelope.body) // BYTES_PER_TOKEN, output=written)


def _is_refusal(error: BaseException | None) -> bool:
    """By the provider, which bills nothing for it."""
    return isinstance(error, UpstreamError) and (error.upstream_status or 0) >= 400


def _is_unheard(call: Call, error: BaseException | None) -> bool:
    """Was an answer to come whole, of which nobody heard a word? Unless the provider broke it off, it may be billed."""
    is_over = isinstance(error, Down) or _is_refusal(error)
    return not (call.stream or is_over or tokens_of(call.heard, call.dialect, call.stream))


def _unheard(call: Call) -> int:
    """Tokens of an answer of which nobody has heard a word, by a guess: no more than it may have."""
    assert call.target is not None
    try:
        lengths = [said for said in said_length(call.envelope, call.dialect.bounds) if is_length(said)]
    except BadRequest:  # of a length that nobody can read
        return ANSWER
    most = min(lengths) if lengths else call.target.adapter.hints(call.target.model).max_tokens
    return most if most is not None and most < ANSWER else ANSWER


def _tier_asked(call: Call, target: Target) -> str:
    """The client's word, else the operator's (`body` in config.yaml); "" where neither says one. Raises BadRequest."""
    bounds, fields = call.dialect.bounds, target.adapter.hints(target.model).fields
    return tier(call.envelope, bounds) or tier(fields, bounds)
