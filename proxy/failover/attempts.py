"""What must happen around one attempt at a target, whatever comes of it?

The accounts of the call set aside what it may take before the target is asked, and settle exactly once after: a whole
answer before its head goes out, so that its headers can tell; a stream when it has ended.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

from proxy.errors import GatewayError, UpstreamError
from proxy.ports import Account, Attempt, Call, Handler, Heard, Reply, Target
from proxy.reports.outcome import outcome

Reserved = list[tuple[Account, Any]]
Tell = Callable[[Call, BaseException | None], None]


def tell_nobody(call: Call, error: BaseException | None) -> None:
    """Nobody wants to hear of attempts."""


async def attempt(call: Call, handler: Handler, tell: Tell = tell_nobody) -> Reply:
    """Ask `call.target`. Raises what an account or the target raises.

    `tell`: who hears that a target was asked, when its answer's head is there or none will come.
    """
    if call.began:
        _forget(call)
    call.attempts += 1
    call.began = monotonic()
    reserved: Reserved = []
    try:
        for account in call.accounts:
            reserved.append((account, await account.reserve(call)))
    except BaseException as error:
        _settle(call, reserved, error)
        call.attempts -= 1  # nobody was asked
        raise
    try:
        reply = await handler(call)
    except BaseException as error:
        if _is_refused_here(call, error):
            call.attempts -= 1
        else:
            tell(call, error)
        _settle(call, reserved, error)
        raise
    tell(call, None)
    call.headed = monotonic()
    if reserved:
        _follow(call, reply, reserved)
    return reply


def _forget(call: Call) -> None:
    """What the attempt before has left in the call."""
    call.headed, call.asked, call.is_settled, call.usage, call.heard = 0.0, False, False, None, None
    call.upstream_id, call.answered_model, call.dropped, call.wire = "", "", (), ""
    call.is_mixed, call.booked, call.is_estimated = False, None, False


def _is_refused_here(call: Call, error: BaseException) -> bool:
    """Was the target never asked, because its wire cannot say what the client said?"""
    return isinstance(error, GatewayError) and not (call.asked or isinstance(error, UpstreamError))


def failed(call: Call, target: Target, error: BaseException, number: int, status: int = 0) -> Attempt:
    """The attempt that has just failed. `number`: 0 if nobody was asked. `status`: that its answer began with."""
    how = outcome(error)
    return Attempt(
        target,
        number,
        seconds=monotonic() - call.began,
        first_byte=call.headed - call.began if call.headed else 0.0,
        code=how.code,
        kind=how.kind,
        status=status or (isinstance(error, UpstreamError) and error.upstream_status) or 0,
        head=max(0.0, call.answer_head[0] - call.began),
        wire=call.wire,
        is_translated=call.is_translated,
    )


def _follow(call: Call, reply: Reply, reserved: Reserved) -> None:
    call.heard = Heard()
    if isinstance(reply.body, bytes):
        call.heard.tap(reply.body)
        _settle(call, reserved, None)
    else:
        reply.taps.append(call.heard.tap)
        for account, _ in reserved:
            account.begun(call, reply)
        reply.endings.append(lambda error: _settle(call, reserved, error))


def _settle(call: Call, reserved: Reserved, error: BaseException | None) -> None:
    """In the reverse order in which they reserved."""
    while reserved:
        account, kept = reserved.pop()
        account.settle(call, kept, error)
