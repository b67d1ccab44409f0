"""What may a client say to pillion itself, and in what form?

In headers on every wire, and in fields of the body on those that have some for it (`ports.Wishing`). Where a client
says both, both hold: of two limits the lower one counts.
"""

import re
from collections.abc import Awaitable, Mapping
from functools import lru_cache
from math import inf
from typing import TypeVar

from msgspec.structs import replace

from proxy.errors import BadRequest, GatewayError
from proxy.grammar.fields import wrong_word
from proxy.headers import COST_LIMIT, SUMMARY, TIMEOUT
from proxy.ports import Call, Dialect, Wishes, Wishing
from proxy.spending.money import MOST, nanos_of

T = TypeVar("T")

ASKED = "a provider could be asked"
LONGEST = 40  # characters of an amount: more than any double has

_seconds = re.compile(r"[0-9]+(?:\.[0-9]+)?").fullmatch
_amount = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?").fullmatch
_SWITCH = {"true": True, "false": False}


@lru_cache(maxsize=64)
def wishing(dialect: Dialect) -> Wishing | None:
    """The dialect, where it is a Wishing one. Remembered, as looking for a protocol's methods takes 20 microseconds."""
    return dialect if isinstance(dialect, Wishing) else None


def seconds(text: str, longest: float) -> float:
    """Raises BadRequest, also for more than `longest`: a client that got less than it asked for would not know."""
    said = float(text) if _seconds(text) else 0.0
    if not 0 < said <= longest:
        raise BadRequest(f"{TIMEOUT} must be a number of seconds above 0 and at most {longest:g}.", param=TIMEOUT)
    return said


async def in_time(call: Call, waiting: Awaitable[T], aim: str = ASKED) -> T:
    """Await it for as long as the client has time. `aim`: what it is for. Raises GatewayError, 504."""
    if call.timeout is None:
        return await waiting
    try:
        return await call.in_time(waiting)
    except TimeoutError:
        raise too_late(call, aim) from None


def too_late(call: Call, aim: str = ASKED) -> GatewayError:
    """The client's time was over before that."""
    message = f"{TIMEOUT}: the {call.timeout:g} s passed before {aim}."
    return GatewayError(message, status=504, kind="timeout", code="total_timeout")


def patience(headers: Mapping[str, str]) -> float:
    """Seconds that a request may wait for its turn. What makes no sense is refused later, when it is read."""
    said = headers.get(TIMEOUT, "")
    return float(said) if _seconds(said) else inf


def cost_limit(text: str, at: str) -> int:
    """Nano-dollars, rounded down: nobody pays more than was said. Raises BadRequest."""
    try:
        if len(text) <= LONGEST and _amount(text):
            return nanos_of(text)
    except ValueError:
        pass
    raise wrong_word(at, f"a number of dollars from 0 to {MOST}, such as 0.05", text)


def with_headers(wishes: Wishes, headers: Mapping[str, str]) -> Wishes:
    """What the body says, together with what the headers say. Raises BadRequest."""
    if COST_LIMIT in headers:
        limits = [cost_limit(headers[COST_LIMIT], COST_LIMIT)]
        limits += [] if wishes.cost_limit is None else [wishes.cost_limit]
        wishes = replace(wishes, cost_limit=min(limits))
    if SUMMARY in headers:
        wishes = replace(wishes, summary=_switch(headers[SUMMARY]))
    return wishes


def _switch(text: str) -> bool:
    said = _SWITCH.get(text.lower())
    if said is None:
        raise wrong_word(SUMMARY, "true or false", text)
    return said
