"""Which of a provider's keys is used, and what did the answer say about it?

`Cooldown` decides whose turn it is, and which are left out. This module holds the keys with their values at the moment:
one in a file may change, and then it is a new key about which nothing is known. Answers to its former value no longer
matter.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf
from time import monotonic, time
from typing import NamedTuple

from proxy.config import Secret
from proxy.errors import UpstreamError
from proxy.failover.cooldown import LONGEST_HINT, Cooldown, Saved
from proxy.failover.waits import asked_by

STRANGER = "pillion-knows-no-such-key"  # a key that no provider has ever issued
_TURNED_AWAY = frozenset({400, 401, 403})  # answers to an invalid key; 400 is Gemini's

log = logging.getLogger("pillion")


class Key:
    """A key with one value. `lines`: the header lines that show it."""

    __slots__ = ("index", "lines", "value")

    def __init__(self, index: int, value: str, lines: bytes) -> None:
        self.index = index
        self.value = value
        self.lines = lines

    def __repr__(self) -> str:
        return f"<Key {self.index + 1}>"


class Asked(NamedTuple):
    """A request to a provider. `began`: by the clock."""

    key: Key
    model: str
    began: float


class Keys:
    """One provider's keys: at least one, which is "" where it has none. `rows`: each with its weight.

    `spell`: makes the header lines that show a key. `clock`: seconds, never going back; `wall`: since 1970.
    """

    def __init__(
        self,
        provider: str,
        rows: Sequence[tuple[Secret, float]],
        spell: Callable[[str], bytes],
        clock: Callable[[], float] = monotonic,
        wall: Callable[[], float] = time,
    ) -> None:
        self._provider = provider
        self._secrets = [secret for secret, _ in rows]
        self._spell = spell
        self._clock = clock
        self._wall = wall
        self._is_single = len(rows) == 1
        self._keys = [self._made(index) for index in range(len(rows))]
        self._cooldown = Cooldown([""] * len(rows), [weight for _, weight in rows], clock)
        self._spent: set[int] = set()  # those of which was told that they have no quota left
        self._name: Callable[[str], str] = lambda value: ""
        self._changed: Callable[[Sequence[Saved]], None] = lambda news: None

    def __repr__(self) -> str:
        return f"<Keys of {self._provider}: {self._cooldown!r}>"

    def __bool__(self) -> bool:
        """Is there any key?"""
        return any(key.value for key in self._keys)

    # --- asking ---

    @property
    def leaves_out(self) -> bool:
        """Does it matter when an answer shows that a key is good?"""
        return self._cooldown.leaves_out

    def pick(self, model: str) -> Key:
        """The key whose turn it is. The last one is used in any case, as the provider's own refusal says more."""
        if self._cooldown.leaves_out:
            self._look()
        elif self._is_single:
            return self._current(0)
        picked = self._cooldown.pick(model)
        return self._current(self._cooldown.last_resort(model) if picked is None else picked)

    def answered(self, asked: Asked) -> None:
        """The provider accepted the request."""
        index = asked.key.index
        if asked.key is self._keys[index]:
            had_failed = self._cooldown.has_failed(index)
            self._spent.discard(index)
            if back := self._cooldown.succeeded(index, asked.model, asked.began):
                self._changed([self._said(index, model, asked.began) for model in back])
            if had_failed and not self._cooldown.has_failed(index):
                log.info("%s works again", self._named(index), extra={"event": "key_works"})

    def refused(self, asked: Asked, error: UpstreamError) -> None:
        """The provider refused the request. If that was the key's fault, `error.of_key` says so from now on.

        A key from a file that was refused as invalid may have been rotated a moment ago, so the file is read again.
        """
        index = asked.key.index
        if error.kind == "authentication":
            self._secrets[index].look()
        if self._current(index) is not asked.key:
            error.of_key = error.kind == "authentication"
            return
        was_out = self._cooldown.seconds_out(index, asked.model)
        hint = asked_by(error, self._wall(), LONGEST_HINT)
        model = self._cooldown.failed(index, error, asked.model, hint, asked.began)
        error.of_key = model is not None
        if model is not None:
            self._changed([self._said(index, model, asked.began)])
            self._tell(index, error, asked.model, was_out)

    def _tell(self, index: int, error: UpstreamError, model: str, was_out: float) -> None:
        """Log what somebody must act on, once each time; a rate limit that lasts a minute is not among it."""
        seconds = self._cooldown.seconds_out(index, model)
        if self._cooldown.has_failed(index) and was_out < inf:
            words = "%s was refused: it is not used until it is replaced, or works again"
            log.warning(words, self._named(index), extra={"event": "key_failed"})
        elif error.kind == "quota_exceeded" and not (was_out and index in self._spent):  # a rate limit is no news of it
            self._spent.add(index)
            # One that was refused as invalid, and is asked all the same, is left out until it works.
            how_long = f"for {seconds:.0f} s" if seconds < inf else "until it works again"
            words = "%s has used up its quota, and is not used %s: %s"
            log.warning(words, self._named(index), how_long, error.logged, extra={"event": "key_spent"})
        elif error.kind == "authentication" and not was_out:
            words = "%s is not allowed to use %s, and is not used for it for %.0f s: %s"
            log.warning(words, self._named(index), model, seconds, error.logged, extra={"event": "key_forbidden"})

    # --- who is left out ---

    def may_ask(self, model: str) -> bool:
        """Is there a key to use now, other than as a last resort? An empty name: for any model."""
        if not self._cooldown.leaves_out:
            return True
        self._look()
        return self._cooldown.may_pick(model)

    def has_good(self, model: str) -> bool:
        """Is there one that is neither left out nor on trial?"""
        return self._cooldown.has_good(model)

    def good(self) -> Key:
        """For model lists and health checks, out of turn: the first that has not failed."""
        self._look()
        return next((key for key in self._keys if not self._cooldown.has_failed(key.index)), self._keys[0])

    async def try_failed(self, check: Callable[[Key], Awaitable[None]], seconds: float) -> None:
        """Try the keys that were refused as invalid, all within `seconds`. `check` costs nothing, and raises
        UpstreamError.

        It proves nothing where an invalid key is let in as well.
        """
        self._look()
        failed = [key for key in self._keys if self._cooldown.has_failed(key.index)]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._try(failed, check)

    async def _try(self, keys: Sequence[Key], check: Callable[[Key], Awaitable[None]]) -> None:
        is_proof = False  # whether being let in shows that a key is good
        for key in keys:
            asked = Asked(key, "", self._clock())
            with suppress(UpstreamError):
                await check(key)
                is_proof = is_proof or await self._turns_strangers_away(check)
                if not is_proof:
                    return
                self.answered(asked)

    async def _turns_strangers_away(self, check: Callable[[Key], Awaitable[None]]) -> bool:
        """Does the host check keys? Some show their list to everybody, or to whoever sends any key at all."""
        try:
            await check(Key(-1, STRANGER, self._spell(STRANGER)))
        except UpstreamError as error:
            return error.upstream_status in _TURNED_AWAY
        return False

    def counts(self) -> dict[str, int]:
        cooling, failed = self._cooldown.counts()
        return {"count": sum(bool(key.value) for key in self._keys), "cooling": cooling, "failed": failed}

    # --- state for the store and the fleet ---

    def follow(self, name: Callable[[str], str], changed: Callable[[Sequence[Saved]], None]) -> None:
        """From now on call a key by its `name`, which reveals nothing of it, and report changes.

        `changed` gets the keys that are left out, or back; it gets nothing where a key was replaced.
        """
        self._name, self._changed = name, changed
        for key in self._keys:
            self._cooldown.renew(key.index, name(key.value))

    def saved(self) -> list[Saved]:
        return self._cooldown.state(self._wall())

    def restore(self, saved: Sequence[Saved]) -> bool:
        """Returns whether any of it was new."""
        return self._cooldown.restore(saved, self._wall())

    def _said(self, index: int, model: str, found: float) -> Saved:
        return self._cooldown.saved(index, model, found, self._wall())

    def _look(self) -> None:
        """Notice keys that have been replaced, even if nobody uses them."""
        for key in self._keys:
            self._current(key.index)

    def _current(self, index: int) -> Key:
        key, value = self._keys[index], self._secrets[index].reveal()
        return key if key.value == value else self._renewed(index)

    def _renewed(self, index: int) -> Key:
        key = self._keys[index] = self._made(index)
        self._spent.discard(index)
        self._cooldown.renew(index, self._name(key.value))
        self._changed(())
        log.info("%s was replaced", self._named(index), extra={"event": "key_rotated"})
        return key

    def _made(self, index: int) -> Key:
        value = self._secrets[index].reveal()
        return Key(index, value, self._spell(value))

    def _named(self, index: int) -> str:
        """For the log: `openai's key 2 of 3`."""
        return f"{self._provider}'s key" + ("" if self._is_single else f" {index + 1} of {len(self._keys)}")
