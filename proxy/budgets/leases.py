"""How does a sidecar get what it may spend of a budget that a fleet shares?

It spends what it has leased without asking. Where that does not suffice it asks for more, once for all that wait. With
each beat it reports what it has spent, and gives back what it does not need. leased.py has the arithmetic.
"""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from math import isinf
from time import monotonic, time

from proxy.budgets.counter import Counter, Terms
from proxy.budgets.leased import Leased
from proxy.budgets.windows import Window
from proxy.fleet import PREFIX, Answer, Asker, Fleet, StoreUnavailable, heard

STANDS = 86_400_000  # milliseconds that a window's numbers stay in the store after its end
SHARES = 4  # parts for each sidecar, into which what is left is divided; a lease is one part, or what is needed now
QUIET = 3000  # milliseconds after the store's restart in which nothing is leased, as all must report first
TRIES = 3

# Report, and lease more. KEYS: the budget's numbers, and the fleet's. ARGV: the sidecar, its report's number, what it
# has spent and what it holds; what it needs, and what it would like; the limit; whether one request may cross it; into
# how many parts the rest is divided; when all this may be forgotten, or 0; which run of the store the sidecar knows;
# how long is quiet; whether it is the sidecar's last report; what it holds without using it; and how long this is kept
# at least, as a sidecar's clock may be years late. Answers what was leased, or -1 if a later report came before; what
# all have spent, what all own, which run of the store this is, and whether it is quiet.
LEASE = """
local key, fleet, id = KEYS[1], KEYS[2], ARGV[1]
local n = {}
for i = 2, 15 do n[i] = tonumber(ARGV[i]) end
local number, used, held, need, ample, limit = n[2], n[3], n[4], n[5], n[6], n[7]
local crosses, shares, ends, knows, quiet, is_last = n[8] == 1, n[9], n[10], n[11], n[12], n[13] == 1
local idle, stands = n[14], n[15]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(x) return string.format('%.0f', x) end
local run = tonumber(string.sub(string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'), 1, 12), 16)
local known = redis.call('HMGET', fleet, 'run', 'since')
local since = tonumber(known[2]) or 0
if tonumber(known[1]) ~= run then
  since = (known[1] or knows ~= 0) and now or 0
  redis.call('HSET', fleet, 'run', whole(run), 'since', whole(since))
end
local is_quiet = math.abs(now - since) < quiet
local told = redis.call('HMGET', key, 'spent', 'owned', 'spent:' .. id, 'owned:' .. id, 'number:' .. id)
for i = 1, 5 do told[i] = tonumber(told[i]) or 0 end
local spent, owned = told[1], told[2]
if number <= told[5] then return {-1, spent, owned, run, 0} end
spent = spent - told[3] + used
owned = owned - told[4] + used + held
local more, rest = 0, limit - owned
if need > 0 and not is_quiet then
  if rest >= need then
    more = math.min(rest, math.max(need, math.min(ample, math.floor(rest / shares))))
  elseif crosses and rest + idle > 0 then
    more = need
  end
end
redis.call('HSET', key, 'spent', whole(spent), 'owned', whole(owned + more))
if is_last then
  redis.call('HDEL', key, 'spent:' .. id, 'owned:' .. id, 'number:' .. id)
else
  redis.call('HSET', key, 'spent:' .. id, whole(used), 'owned:' .. id, whole(used + held + more), 'number:' .. id,
    whole(number))
end
if ends > 0 then redis.call('PEXPIREAT', key, whole(math.max(ends, now + stands))) end
return {more, spent, owned + more, run, is_quiet and 1 or 0}
"""
_FLEET = f"{PREFIX}fleet"

# Which run of the store the fleet has met, and since when; zeros where the store knows of no fleet. A store that was
# emptied is the same run and the same connection: whoever has nothing to report would not notice otherwise.
LIFE = """
local known = redis.call('HMGET', KEYS[1], 'run', 'since')
return {tonumber(known[1]) or 0, tonumber(known[2]) or 0}
"""

log = logging.getLogger("pillion")


class Leases:
    """All leases of this sidecar. `counter` makes the counters of budgets."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._counters: dict[str, Leased] = {}
        self._asks = asyncio.Lock()
        self._life: tuple[int, int] | None = None  # of the store, as last heard
        fleet.scripts |= {LEASE, LIFE}
        fleet.beats.append(self.report)

    def __repr__(self) -> str:
        return f"<Leases of {len(self._counters)} budgets>"

    def counter(self, terms: Terms, client: str, window: Window) -> Leased:
        counter = Leased(terms, client, window)
        known = self._counters.setdefault(_key(counter), counter)  # one that was there before, the store knows
        known.become(terms)
        self._tell(known)  # the answer says what others have spent
        return known

    async def provide(self, counters: Iterable[Counter], bound: int | None, asker: Asker | None = None) -> None:
        """Lease what these lack, as far as it is granted. `asker`: the request. Raises StoreUnavailable."""
        wants = [(each, amount) for each in counters if isinstance(each, Leased) and (amount := _wanted(each, bound))]
        if _suffice(wants):
            return
        came = monotonic()
        for counter, amount in wants:
            self._counters[_key(counter)] = counter  # again, for a window to which the clock went back
            counter.wanted += amount
        try:
            async with self._asks:
                for _ in range(TRIES):  # while we wait for one lease, others may spend another that was enough
                    for counter, amount in wants:
                        await self._lease(counter, amount, came, asker)
                    if _suffice(wants):
                        return
        finally:
            for counter, amount in wants:
                counter.wanted -= amount

    def report(self) -> None:
        """With each beat. Windows that are over are forgotten."""
        if self._counters:
            self._fleet.tell(LIFE, [_FLEET], [], self._compare)
        now = time()
        for key, counter in list(self._counters.items()):
            counter.slacken()
            if now > counter.end and counter.is_over:
                del self._counters[key]
                self._tell(counter, is_last=True)
            elif counter.told != (counter.used, counter.held):
                self._tell(counter)

    def _compare(self, answer: Answer) -> None:
        """Tell a store that begins anew all that we own, also where nothing of it has changed."""
        if answer is None:
            return
        before, self._life = self._life, (answer[0], answer[1])
        if before in (None, self._life):
            return
        for counter in self._counters.values():
            self._tell(counter)
        if before != (0, 0):
            log.warning(
                "store: redis has restarted, or was emptied: all tell it again what they have spent, and for %d seconds"
                " budgets pay from what is leased; what sidecars have spent that are gone may be forgotten",
                QUIET // 1000, extra={"event": "store_anew"},
            )  # fmt: skip

    def give_back(self) -> None:
        """Give everything back, as pillion ends. Goes out before the store is closed."""
        counters, self._counters = self._counters, {}
        for counter in counters.values():
            counter.lease = counter.used
            self._tell(counter, is_last=True)

    async def _lease(self, counter: Leased, amount: int, came: float, asker: Asker | None) -> None:
        """As much as there must be for this amount, if the store grants it. `came`: when it was asked for.

        Raises StoreUnavailable.
        """
        need = amount - counter.free
        if need <= 0 or counter.was_denied(need, came):
            return
        waits: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        asked = monotonic()
        self._tell(counter, need, waits)
        is_late = not await heard(waits, asker)
        answer = None if is_late else waits.result()
        if amount <= counter.free:
            return
        if answer is None:
            self._fleet.fallbacks += 1
            raise _unavailable(counter, "is slow to answer" if is_late else "cannot be reached")
        if answer[4]:
            raise _unavailable(counter, "has restarted and is still collecting what was spent")
        if not answer[0]:
            counter.denied = asked, need

    def _tell(
        self, counter: Leased, need: int = 0, waits: "asyncio.Future[Answer] | None" = None, is_last: bool = False
    ) -> None:
        counter.number += 1
        number, used, held, terms = counter.number, counter.used, counter.held, counter.terms
        ends = 0 if isinf(counter.end) else int(counter.end) * 1000 + STANDS
        words = (
            self._fleet.id, number, used, held, need, max(counter.ample, need), counter.limit,
            int(not terms.strict), SHARES * self._fleet.members, ends, self._fleet.run, QUIET, int(is_last),
            max(counter.free, 0), STANDS,
        )  # fmt: skip
        hear = partial(self._hear, counter, (number, used, held), waits)
        if is_last:
            hear = partial(self._left, counter, used)
        self._fleet.tell(LEASE, [_key(counter), _FLEET], words, hear)

    def _hear(
        self, counter: Leased, said: tuple[int, int, int], waits: "asyncio.Future[Answer] | None", answer: Answer
    ) -> None:
        """Only the answer to the last report counts: that report has replaced what any other was granted."""
        number, used, held = said
        if answer is not None and answer[0] >= 0 and number == counter.number:
            more, spent, _, self._fleet.run, _ = answer
            counter.lease += more
            counter.told = used, held + more
            counter.hear(used, spent)
        if waits is not None and not waits.done():
            waits.set_result(answer)

    def _left(self, counter: Leased, used: int, answer: Answer) -> None:
        """After the last report the store forgets us: should the clock go back to this window, we begin anew."""
        if answer is not None and answer[0] >= 0:
            counter.part(used)


def _wanted(counter: Leased, bound: int | None) -> int:
    """How much must be leased for this: nothing for what is free, nor for what the budget refuses in any case."""
    amount = counter.amount(bound) or 0
    return 0 if counter.strict and amount > counter.limit else amount


def _suffice(wants: Iterable[tuple[Leased, int]]) -> bool:
    return all(amount <= counter.free for counter, amount in wants)


def _key(counter: Leased) -> str:
    start = "" if isinf(counter.start) else f"{counter.start:.0f}"
    return f"{PREFIX}budget:{counter.terms.name}:{counter.terms.window}:{start}:{counter.client}"


def _unavailable(counter: Leased, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"Budget `{counter.terms.name}` is shared through `store`, which {why}, and what was leased of it before is"
        " spent: try again.",
        headers=[("retry-after", "1")],
    )
