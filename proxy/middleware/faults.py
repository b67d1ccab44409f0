"""What goes wrong here on purpose?

For an app's own tests: does it survive a 503, a slow provider, a stream that breaks? The configuration says what goes
wrong in all requests to a provider; a request's own header replaces that:

    x-pillion-fault: status=503; delay=0.5; cut=1000; rate=0.5; provider=openai

It stands innermost, around each attempt, and has the provider fail as providers do: retries, failover, the breaker and
the ledger see no difference. Where faults are not switched on it is not in the chain, and the header is refused.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple, cast, get_type_hints

import msgspec
from msgspec.structs import replace

from proxy import config
from proxy.config import Fault
from proxy.edge.failures import within
from proxy.errors import BadRequest, Timeout, excerpt
from proxy.failover.faults import Failing
from proxy.headers import FAULT
from proxy.ports import Adapter, Call, Dialect, Handler, Reply, Target

ANY = "*"  # for the providers that have no row of their own
NOT_ENABLED = (
    f"{FAULT}: fault injection is off. For tests, turn it on with PILLION_FAULTS_ENABLED=true, or faults.enabled in"
    " config.yaml."
)
EXPECTED = {
    "status": "a status from 400 to 599",
    "delay": "a number of seconds from 0 to 86400",
    "cut": "a number of bytes, at least 1",
    "rate": "a number from 0 to 1",
    "provider": "a provider's name",
}
log = logging.getLogger("pillion")

_TYPES: Mapping[str, Any] = get_type_hints(Fault, include_extras=True)


class Said(NamedTuple):
    """What a header asks for. `provider`: whose fault it is; "": whoever is asked."""

    fault: Fault
    provider: str = ""


def refuse(headers: Mapping[str, str]) -> None:
    """Where faults are not switched on: nobody is to believe that they are. Raises BadRequest."""
    if FAULT in headers:
        raise BadRequest(NOT_ENABLED, code="faults_not_enabled", param=FAULT)


class Faults:
    """The middleware, and the look at the header that comes before all else. `named`: providers, by all their names.

    `dialect` finds a dialect by its name; `given` counts faults by provider and kind, and outlives this configuration;
    `dice` gives numbers from 0 up to 1.
    """

    def __init__(
        self,
        rules: config.Faults,
        named: Mapping[str, str],
        dialect: Callable[[str], Dialect],
        given: Counter[tuple[str, ...]],
        dice: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.given = given
        self._rows = {named.get(name, name): row for name, row in rules.providers.items()}
        self._named = named
        self._dialect = dialect
        self._dice = dice
        self._sleep = sleep
        log.warning("fault injection is on: requests may fail on purpose", extra={"event": "faults"})

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises BadRequest."""
        if FAULT in headers and (name := parse(headers[FAULT]).provider) and name not in self._named:
            raise BadRequest(
                f"{FAULT}: there is no provider {excerpt(name)!r}. The providers are: {', '.join(self._named)}.",
                param=FAULT,
            )

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises Timeout, and what the handler raises."""
        assert call.target is not None  # failover chose it
        fault = self._fault_of(call, call.target.adapter.name)
        if fault is None or self._dice() >= fault.rate:
            return await handler(call)
        self._count(call.target.adapter.name, fault)
        if fault.delay:
            await self._delay(call, call.target, fault.delay)
        failing = Failing(call.target.adapter, fault, self._dialect)
        call.target = replace(call.target, adapter=cast(Adapter, failing))
        return await handler(call)

    def _fault_of(self, call: Call, provider: str) -> Fault | None:
        if FAULT in call.headers:
            asked = parse(call.headers[FAULT])
            is_meant = not asked.provider or self._named[asked.provider] == provider
            return asked.fault if is_meant else None
        return self._rows.get(provider) or self._rows.get(ANY)

    async def _delay(self, call: Call, target: Target, seconds: float) -> None:
        """Before anything is sent, so that nothing is paid for where the client leaves meanwhile. Raises Timeout."""
        most = call.left()
        call.is_slowed = True
        try:
            await call.timed(self._sleep(seconds if most is None else min(seconds, most)))
        finally:
            call.is_slowed = False
        if most is None or most > seconds:
            return
        name = target.adapter.name
        message = f"{name}'s answer, which an injected fault delays, did not end {within(most, call.timeout)}."
        raise Timeout(message, code="total_timeout", provider=name)

    def _count(self, provider: str, fault: Fault) -> None:
        for name, asked in (("status", fault.status), ("delay", fault.delay), ("cut", fault.cut)):
            if asked:
                self.given[provider, name] += 1


@lru_cache(maxsize=64)
def parse(text: str) -> Said:
    """What a header's value asks for. Raises BadRequest."""
    fields: dict[str, Any] = {}
    for pair in filter(None, map(str.strip, text.split(";"))):
        name, _, value = (part.strip() for part in pair.partition("="))
        if name not in EXPECTED or name in fields:
            known = ", ".join(EXPECTED)
            raise _wrong(
                f"{excerpt(name)!r} was given twice" if name in fields else f"{excerpt(pair)!r} must be one of {known}"
            )
        fields[name] = _value(name, value)
    provider = fields.pop("provider", "")
    if not fields.keys() - {"rate"}:
        raise _wrong("needs a status, delay or cut")
    return Said(Fault(**fields), provider)


def _value(name: str, text: str) -> Any:
    """Raises BadRequest."""
    value = None
    with suppress(msgspec.ValidationError, UnicodeEncodeError):  # the latter: of bytes that are no text
        value = msgspec.convert(text, _TYPES.get(name, str), strict=False)
    if value in (None, ""):
        raise _wrong(f"{name} must be {EXPECTED[name]}, not {excerpt(text)!r}")
    return value


def _wrong(what: str) -> BadRequest:
    return BadRequest(f"{FAULT}: {what}. Example: status=503; delay=0.5; cut=1000; rate=0.5.", param=FAULT)
