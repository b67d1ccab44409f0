"""How many of a fleet may pass in a minute, counted in one place?

The arithmetic of gcra.py, by the store's clock, which is the same for all. A Redis script has no whole numbers beyond
those that a double can hold, up to 2**53. So time goes in ticks of 100 microseconds, rounded down, which is as strict
as finer time; and what is remembered is not the moment when all is paid for, but what is owed now. With that all
numbers stay below 2**53 for every limit that can be configured: what a full bucket owes is at most the least common
multiple of limit and minute, 10**9 * 600,000.
"""

from collections import deque
from math import gcd
from typing import NamedTuple

from proxy.limits.gcra import SECOND

TICK = 10**5  # nanoseconds
TICKS = 600_000  # in a minute

# Take from all in one go, or from none; `force`: take whatever is left. ARGV has a word and three numbers for each key:
# `rate`, what a full one owes, what a tick pays for, what is to be taken; or `load`, how many may be under way, 0, how
# many more there are. Answers whether it passed and, for each key, two numbers: what is owed and what was ever given
# back, or how many were under way and 0. A sidecar that was not heard of for ten seconds has nothing under way.
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 10000 + math.floor(time[2] / 100)
local id, force, passes = ARGV[1], ARGV[2] == 'force', true
local rows = {}
for i, key in ipairs(KEYS) do
  local at = 4 * i - 1
  local row = {word = ARGV[at], most = tonumber(ARGV[at + 1]), pace = tonumber(ARGV[at + 2])}
  local want = tonumber(ARGV[at + 3])
  if row.word == 'load' then
    row.mine, row.value, row.given = 0, 0, 0
    local all = redis.call('HGETALL', key)
    for j = 1, #all, 2 do
      local count, seen = string.match(all[j + 1], '^(%d+):(%d+)$')
      if all[j] == id then
        row.mine = tonumber(count)
      elseif now - tonumber(seen) > 100000 then
        redis.call('HDEL', key, all[j])
      else
        row.value = row.value + tonumber(count)
      end
    end
    row.value, row.mine = row.value + row.mine, row.mine + want
    passes = passes and row.value + want <= row.most
  else
    local told = redis.call('HMGET', key, 'owed', 'at', 'given')
    local passed = math.min(math.max(now - (tonumber(told[2]) or now), 0), 600000)
    row.value = math.max((tonumber(told[1]) or 0) - passed * row.pace, 0)
    row.given = tonumber(told[3]) or 0
    passes = passes and row.value + want <= row.most
    row.after = math.max(row.value, math.min(row.value + want, row.most))
  end
  rows[i] = row
end
local answer = {(passes or force) and 1 or 0, now}
for i, key in ipairs(KEYS) do
  local row = rows[i]
  if passes or force then
    if row.word == 'load' then
      redis.call('HSET', key, id, string.format('%.0f:%.0f', row.mine, now))
      redis.call('PEXPIRE', key, 60000)
    else
      row.value = row.after
      redis.call('HSET', key, 'owed', string.format('%.0f', row.value), 'at', string.format('%.0f', now))
      redis.call('PEXPIRE', key, math.ceil(row.value / row.pace / 10) + 1000)
    end
  end
  answer[2 * i + 1], answer[2 * i + 2] = row.value, row.given
end
return answer
"""

# Give back what was taken and not used, as far as time has not paid for it; or take more. ARGV: what a tick pays for,
# how much less it was, and what TAKE had answered: what was owed, when, and what had been given back by then.
SETTLE = """
local time = redis.call('TIME')
local now = time[1] * 10000 + math.floor(time[2] / 100)
local pace, less = tonumber(ARGV[1]), tonumber(ARGV[2])
local told = redis.call('HMGET', KEYS[1], 'owed', 'at', 'given')
local passed = math.min(math.max(now - (tonumber(told[2]) or now), 0), 600000)
local owed = math.max((tonumber(told[1]) or 0) - passed * pace, 0)
local given, wrap = tonumber(told[3]) or 0, 2 ^ 50
if less <= 0 then
  owed = owed - less
else
  local since = math.min(math.max(now - tonumber(ARGV[4]), 0), 600000)
  local stood = tonumber(ARGV[3]) - since * pace - (given - tonumber(ARGV[5])) % wrap
  local back = math.max(math.min(less, stood, owed), 0)
  owed, given = owed - back, (given + back) % wrap
end
redis.call('HSET', KEYS[1], 'owed', string.format('%.0f', owed), 'at', string.format('%.0f', now), 'given',
  string.format('%.0f', given))
redis.call('PEXPIRE', KEYS[1], math.ceil(owed / pace / 10) + 1000)
return {owed}
"""

# One request fewer is under way; ARGV: the sidecar.
LEAVE = """
local count, seen = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+):(%d+)$')
if count and tonumber(count) > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f:%s', count - 1, seen))
end
return {}
"""

# So many are under way, as their own sidecar counts them; ARGV: the sidecar, and how many.
UNDER_WAY = """
local time = redis.call('TIME')
local now = time[1] * 10000 + math.floor(time[2] / 100)
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%s:%.0f', ARGV[2], now))
  redis.call('PEXPIRE', KEYS[1], 60000)
end
return {}
"""

SCRIPTS = frozenset({TAKE, SETTLE, LEAVE, UNDER_WAY})


class Mark(NamedTuple):
    """What the store answered when it was taken."""

    owed: int
    tick: int
    given: int


class Minute:
    """What has passed in the last minute, by the second."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque()

    def note(self, count: int, now: int) -> None:
        second = now // SECOND
        if self._seconds and self._seconds[-1][0] == second:
            count += self._seconds.pop()[1]
        self._seconds.append((second, count))
        self._forget(second)

    def take_back(self, count: int) -> None:
        """So many of those noted in this very moment."""
        second, noted = self._seconds.pop()
        self._seconds.append((second, noted - count))

    def total(self, now: int) -> int:
        self._forget(now // SECOND)
        return sum(count for _, count in self._seconds)

    def clear(self) -> None:
        self._seconds.clear()

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] < second - 60:
            self._seconds.popleft()


class Rate:
    """`limit` in a minute; the store counts what is owed of it. `now`: nanoseconds of our own clock.

    `passed`: on this sidecar, whoever decided it; `missed`: what of that the store does not know yet.
    """

    __slots__ = ("_at", "_owed", "burst", "key", "limit", "missed", "pace", "passed", "step")

    def __init__(self, limit: int, key: str) -> None:
        common = gcd(limit, TICKS)
        self.limit = limit
        self.key = f"{key}:{limit}"  # another limit is another bucket
        self.pace = limit // common  # units that a tick pays for
        self.step = TICKS // common  # units that one costs
        self.burst = limit * self.step
        self.passed = Minute()
        self.missed = Minute()
        self._owed = self._at = 0  # as last heard

    def hear(self, owed: int, now: int) -> None:
        self._owed, self._at = owed, now

    def state(self, now: int) -> tuple[int, int]:
        """How many may pass, and the nanoseconds until all may again, as last heard."""
        owed = max(self._owed - (now - self._at) // TICK * self.pace, 0)
        return max(self.burst - owed, 0) // self.step, -(-owed // self.pace) * TICK

    def wait(self, count: int) -> int:
        """Nanoseconds until so many may pass, from when we last heard."""
        return max(-(-(self._owed + count * self.step - self.burst) // self.pace) * TICK, 0)
