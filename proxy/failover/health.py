"""How are the providers, also those that nobody is asking just now?

Each is asked at an interval for something that costs nothing. The operator is shown what came of it, and failover puts
those that are down last. One that was never checked counts as well; one that answers anything at all is there, even if
it says that our key may not list its models. One that is down is checked more often, as nobody else asks it meanwhile.

A check that succeeds also tries the keys that the provider had refused. It tells no target's breaker: a list of models
says little about any one of them, and the breaker's own probe is never far.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic, time

from msgspec import Struct

from proxy import config, ports
from proxy.adapters.http import HTTPProvider

FIRST = 1.0  # seconds after the start
JITTER = 0.1  # of the interval, either way: those that start together must not ask together
LISTED = 2.0  # seconds for which somebody who lists the providers waits for their first check
SOONER = 0.1  # of the interval, for one that is down ...
SOONEST = 5.0  # ... though not less than so many seconds, unless the interval is less

log = logging.getLogger("pillion")


class Checked(Struct, frozen=True):
    """What the last check of a provider has found."""

    is_there: bool  # it has answered, if only with an `error`
    latency: float  # seconds
    at: float  # seconds since 1970
    error: str
    why: str = ""  # what the network said


class Health:
    """Checks the providers, and knows what the last check of each found. `dice` gives numbers from 0 up to 1; `clock`:
    seconds, never going back.
    """

    def __init__(self, dice: Callable[[], float] = random.random, clock: Callable[[], float] = monotonic) -> None:
        self._rules = config.Health()
        self._dice = dice
        self._clock = clock
        self._providers: Mapping[str, HTTPProvider] = {}
        self._found: dict[str, Checked] = {}
        self.due: dict[str, float] = {}  # by the clock
        self._task: asyncio.Task[None] | None = None
        self._is_open = False
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        down = [name for name, found in self._found.items() if not found.is_there]
        return f"<Health of {len(self._providers)} providers, {', '.join(down) or 'none'} down>"

    def is_well(self, provider: str) -> bool:
        found = self._found.get(provider)
        return found is None or found.is_there

    def of(self, provider: str) -> Checked | None:
        """None where it was not checked yet, or never is."""
        return self._found.get(provider)

    async def first(self) -> None:
        """Wait until each has been checked once: now, where that is still to come. But not for long."""
        new = self.due.keys() - self._found.keys()
        if self._task is None or not new:
            return
        if any(self.due[name] > self._clock() for name in new):
            self.due |= dict.fromkeys(new, self._clock())
            self._start()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(self._rules.timeout, LISTED)):
                while self.due.keys() - self._found.keys():
                    self._news.clear()
                    await self._news.wait()

    def all(self) -> Mapping[str, Checked]:
        return self._found

    def become(self, rules: config.Health, providers: Mapping[str, HTTPProvider]) -> None:
        """Check these, by these rules. Nothing is known of a provider that was configured anew."""
        kept = {name for name, one in providers.items() if one is self._providers.get(name) and rules == self._rules}
        self._rules, self._providers = rules, providers
        self._found = {name: found for name, found in self._found.items() if name in kept}
        self.due = {name: self.due[name] if name in kept else self._soon() for name in providers}
        if self._is_open:
            self._start()

    def open(self) -> None:
        self._is_open = True
        self._start()

    async def close(self) -> None:
        self._is_open = False
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _start(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._look(), name="health") if self._rules.interval else None

    async def _look(self) -> None:
        while self.due:
            await asyncio.sleep(max(min(self.due.values()) - self._clock(), 0.0))
            now = self._clock()
            await asyncio.gather(*[self._check(name) for name, due in self.due.items() if due <= now])

    async def _check(self, name: str) -> None:
        provider, timeout = self._providers[name], self._rules.timeout
        try:
            async with asyncio.timeout(timeout):
                found = await provider.health()
            if found.ok:
                await provider.try_failed_keys(timeout)
        except TimeoutError:
            found = ports.Health(False, timeout, f"{name} did not answer within {timeout:g} s.", answers=False)
        except Exception as error:  # somebody else's adapter may raise anything, and the others must still be checked
            found = ports.Health(False, 0.0, f"Its adapter failed: {type(error).__name__}.")
        self._note(name, Checked(found.answers, found.latency, time(), found.detail, found.why))
        self.due[name] = self._clock() + self._pause(found.answers)

    def _note(self, name: str, found: Checked) -> None:
        was_well = self.is_well(name)
        self._found[name] = found
        self._news.set()
        if was_well and not found.is_there:
            told = {"event": "provider_down", "detail": found.why}
            log.warning("%s is down: %s", name, found.error, extra=told)
        elif found.is_there and not was_well:
            log.info("%s is up again", name, extra={"event": "provider_back"})

    def _soon(self) -> float:
        return self._clock() + min(FIRST, self._rules.interval) * (1 + self._dice())

    def _pause(self, is_there: bool) -> float:
        """Seconds until it is looked at again."""
        interval = self._rules.interval
        pause = interval if is_there else min(interval, max(SOONER * interval, SOONEST))
        return pause * (1 + JITTER * (2 * self._dice() - 1))
