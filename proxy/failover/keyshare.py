"""What do the sidecars of a fleet tell one another of their providers' keys?

Which ones are left out, and which are back. Each tells the store what it has found out itself, at once or with its next
beat, and hears with each beat what is new; no request waits for any of it. The store has one row for each key, and for
each key and model, with the time at which that was found out, by its own clock. When news comes:

    left out, and was left out   until the later of both
    left out, and worked         where it was refused after it had worked
    works, and was left out      where that was asked after it was refused

So rows may come late, twice or in any order, and a sidecar that was cut off tells what it knows when it returns:
whoever was the last to find something out is right.

A key's name is a hash of it, the same on each sidecar. A salt would not help, as it would lie beside the names, and is
not needed: an API key is one of more than 2^80, which nobody finds from its hash. A key that somebody has chosen, for a
server of their own, may be short enough to be guessed: those shorter than SHORTEST are never told.
"""

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from time import time

import msgspec

from proxy.failover.cooldown import Saved
from proxy.fleet import PREFIX, Fleet, Word, Words

SHORTEST = 20  # characters of a key that is shared
PIECE = 100  # rows that are told, or heard, at once
KEPT = 10_000  # rows; beyond, those that were told longest ago are forgotten
LIFE = 7 * 86_400_000  # milliseconds for which the rows are kept while no sidecar tells anything
SLACK = 100  # milliseconds by which a sidecar may be wrong about when it found something out
WIDTH = 5  # words of a row
ENDLESS, WORKS = -1, 0  # in the place of the milliseconds that it is left out for

# Tell some, and hear what is new. KEYS: the rows, and their names by the number of the change that they were last told
# with. ARGV: the number up to which one has heard; how many rows are to be heard and kept, and for how long; the slack;
# then five words for each row: its name, milliseconds since that was found out, milliseconds that it is left out for,
# its pause and how often. Says the number up to which this tells, the last one that there is, and such words. What is
# stored has moments in place of these spans: when that was found out, and when it ends, which may be NEVER.
EXCHANGE = """
local rows, order, knows, piece, kept = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local slack, time = tonumber(ARGV[5]), redis.call('TIME')
local now, NEVER = time[1] * 1000 + math.floor(time[2] / 1000), 2^52
local function whole(x) return string.format('%.0f', x) end
local function last() return tonumber(redis.call('ZREVRANGE', order, 0, 0, 'WITHSCORES')[2]) or 0 end
local function read(name)
  local row = redis.call('HGET', rows, name)
  local n = {}
  for word in string.gmatch(row or '', '%S+') do n[#n + 1] = tonumber(word) end
  return n
end
local number = last()
for i = 6, #ARGV, 5 do
  local name, at, left = ARGV[i], now - tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local pause, times, old = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), read(name)
  local ends, is_news = left < 0 and NEVER or left > 0 and now + left or 0, true
  if #old == 4 then
    local at0, ends0 = old[1], old[2]
    if ends == 0 then
      is_news = at + slack >= at0
    elseif ends0 == 0 then
      is_news = at > at0
    else
      if ends0 >= ends then ends, pause = ends0, old[3] end
      at, times = math.max(at, at0), math.max(times, old[4])
    end
    is_news = is_news and (at ~= at0 or ends ~= ends0)
  end
  if is_news then
    number = number + 1
    redis.call('HSET', rows, name, table.concat({whole(at), whole(ends), whole(pause), whole(times)}, ' '))
    redis.call('ZADD', order, number, name)
  end
end
local many = redis.call('ZCARD', order) - kept
if many > 0 then
  redis.call('HDEL', rows, unpack(redis.call('ZRANGE', order, 0, math.min(many, 1000) - 1)))
  redis.call('ZREMRANGEBYRANK', order, 0, math.min(many, 1000) - 1)
end
if #ARGV > 5 then
  redis.call('PEXPIRE', rows, ARGV[4])
  redis.call('PEXPIRE', order, ARGV[4])
end
local told, upto = {}, math.min(knows, number)
local fresh = redis.call('ZRANGEBYSCORE', order, '(' .. whole(knows), '+inf', 'WITHSCORES', 'LIMIT', 0, piece)
for i = 1, #fresh, 2 do
  local row = read(fresh[i])
  upto = tonumber(fresh[i + 1])
  if #row == 4 and (row[2] == 0 or row[2] > now) then
    local left = row[2] == NEVER and -1 or math.max(row[2] - now, 0)
    for _, word in ipairs({fresh[i], whole(now - row[1]), whole(left), whole(row[3]), whole(row[4])}) do
      told[#told + 1] = word
    end
  end
end
return {whole(upto), whole(number), unpack(told)}
"""
_KEYS = [f"{PREFIX}keys", f"{PREFIX}keys:order"]

Rows = Mapping[str, Sequence[Saved]]  # by provider


class KeyShare:
    """`rows`: all that are left out here. `hear` is told what is left out, or back, elsewhere.

    A sidecar has its own names for keys; `follow` says which key has which.
    """

    def __init__(self, fleet: Fleet, rows: Callable[[], Rows], hear: Callable[[Rows], None]) -> None:
        self._fleet = fleet
        self._rows = rows
        self._hear = hear
        self._shared: dict[str, str] = {}  # names, by ours
        self._ours: dict[str, str] = {}
        self._untold: dict[str, Saved] = {}  # by the name of its row
        self._knows = 0  # the number of the change up to which we have heard
        self._is_asking = self._has_told = False
        self._is_new = True  # the store is to be told all, and asked for all
        fleet.scripts.add(EXCHANGE)
        fleet.beats.append(self._beat)
        fleet.gone.append(self._gone)

    def __repr__(self) -> str:
        return f"<KeyShare of {len(self._ours)} keys, {len(self._untold)} to tell>"

    def follow(self, ours: str, key: str) -> None:
        """From now on tell and hear of this key, by the name that it has here. Others may know of it already."""
        if len(key) >= SHORTEST:
            self._shared[ours] = shared = shared_name(key)
            self._ours[shared] = ours
            self._is_new = True

    def tell(self, provider: str, news: Iterable[Saved]) -> None:
        """At once, if nothing was told since the last beat: a storm of refusals is told once a beat."""
        self._note(provider, news)
        if self._fleet.is_up and self._untold and not self._has_told:
            self._has_told = True
            self._exchange()

    def _note(self, provider: str, saved: Iterable[Saved]) -> None:
        for each in saved:
            if each.key in self._shared:
                self._untold[f"{provider}/{self._shared[each.key]}/{each.model}"] = each

    def _beat(self) -> None:
        self._has_told = False
        self._exchange()

    def _gone(self) -> None:
        """When the store is back it may know less than before."""
        self._is_new = True

    def _exchange(self) -> None:
        if self._is_asking:
            return
        if self._is_new:
            self._is_new, self._knows = False, 0
            for provider, saved in self._rows().items():
                self._note(provider, saved)
        told = {name: self._untold.pop(name) for name in list(self._untold)[:PIECE]}
        words = [word for name, each in told.items() for word in _words(name, each, time())]
        self._is_asking = True
        asked: Sequence[Word] = [self._knows, PIECE, KEPT, LIFE, SLACK, *words]
        self._fleet.read(EXCHANGE, _KEYS, asked, partial(self._answered, told))

    def _answered(self, told: Mapping[str, Saved], answer: Words) -> None:
        self._is_asking = False
        if answer is None:
            self._untold = {**told, **self._untold}
            return
        upto, last = int(answer[0]), int(answer[1])
        self._is_new |= last < self._knows  # it has forgotten what it knew
        self._knows = upto
        self._hear(self._read(answer[2:]))
        if self._untold or self._is_new or upto < last:
            self._exchange()

    def _read(self, words: Sequence[bytes]) -> Rows:
        found: dict[str, list[Saved]] = {}
        rows = (_saved(words[at : at + WIDTH], time()) for at in range(0, len(words), WIDTH))
        for provider, said in filter(None, rows):
            if said.key in self._ours:
                found.setdefault(provider, []).append(msgspec.structs.replace(said, key=self._ours[said.key]))
        return found


def shared_name(key: str) -> str:
    """The same on each sidecar that has the key. The label makes it another hash than anybody else may have of it."""
    return hmac.digest(b"pillion: the name of a key", key.encode("utf-8", "surrogateescape"), "sha256").hex()[:32]


def _words(name: str, said: Saved, now: float) -> Iterator[Word]:
    """The words of its row; none of a key whose pause is over by now."""
    left = WORKS if said.times == 0 else ENDLESS if said.until is None else round((said.until - now) * 1000)
    if said.times == 0 or said.until is None or left > 0:
        yield name.encode("utf-8", "surrogatepass")
        yield max(0, round((now - said.since) * 1000))
        yield left
        yield round(said.pause * 1000)
        yield said.times


def _saved(words: Sequence[bytes], now: float) -> tuple[str, Saved] | None:
    """The provider, and how it is with its key. None where the row is not one of ours."""
    try:
        name, age, left, pause, times = words
        provider, key, model = name.decode().split("/", 2)
        return provider, Saved(
            key=key,
            model=model,
            until=None if int(left) == ENDLESS else now + int(left) / 1000,
            pause=int(pause) / 1000,
            times=int(times),
            since=now - int(age) / 1000,
        )
    except ValueError:
        return None
