"""Who goes on with an answer that breaks after its head?

    first target  --Start, text--> x  its stream breaks, and its attempt is settled as one that failed
    another one        asked for an answer that begins with that text   --text--> the end

It stands around failover, where `failover.resume` is on. A stream goes by as it came, and is read only when it breaks
(docs/decisions/0022-failover.md). It is resumed once. Where nobody can do that, or the second target fails as well, the
client is told of the first error, as it would have been without any of this.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from copy import copy
from time import monotonic, time
from typing import NamedTuple, Protocol

from proxy.canon import NO_USAGE
from proxy.config import Retry
from proxy.edge.aside import aside
from proxy.edge.onlookers import conclude, show
from proxy.errors import GatewayError, UpstreamError
from proxy.failover.attempts import failed
from proxy.failover.hedging import HEDGED, is_bounded
from proxy.failover.retries import verdict
from proxy.failover.sofar import SoFar, asks_for_text, parted
from proxy.failover.splice import Rest
from proxy.failover.standing import LAST, Standing, Standings
from proxy.failover.trial import LOST, Trial, copy_attempt
from proxy.ports import Attempt, Call, Handler, Peek, Renderer, Reply, Target, answering

NO_PREFILL = "cannot continue a text"

Broke = Callable[[Target, GatewayError], None]


class Choosing(Protocol):
    """Failover, as far as it is needed here."""

    standings: Standings
    retry: Retry
    deadline: float

    async def __call__(self, call: Call, handler: Handler) -> Reply: ...
    async def attempt(self, call: Call, handler: Handler, standing: Standing) -> Reply: ...
    async def rest(self, call: Call, handler: Handler, met: Iterable[Target]) -> Iterator[Target]: ...


class Resume:
    """The middleware. `broke` hears of an attempt whose stream broke, where the client does not."""

    def __init__(self, failover: Choosing, broke: Broke) -> None:
        self.failover = failover
        self.broke = broke

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises what failover does."""
        call.resumable = _may_be_resumed(call)
        reply = await self.failover(call, handler)
        if not call.resumable or isinstance(reply.body, bytes):
            return reply
        return _Stream(self, call, handler, reply).told

    def may_go_elsewhere(self, error: UpstreamError) -> bool:
        """Might another target do what this one has not?"""
        return verdict(error, self.failover.retry.retryable_errors, time()).elsewhere

    async def another(self, call: Call, handler: Handler, text: str) -> tuple[Trial, Reply] | None:
        """Who goes on from this text, and the head of their answer. None where nobody does."""
        until = monotonic() + self.failover.deadline
        try:
            rest = await self.failover.rest(call, handler, _met(call))
        except GatewayError:  # the model's name no longer means what it did when the call began
            return None
        for target in rest:
            if text and not target.adapter.abilities(target.model).prefill:
                call.history.append(Attempt(target, skipped=NO_PREFILL))
                continue
            trial = Trial(call, target)
            trial.call.resumable, trial.call.so_far = False, text
            if monotonic() >= until or not trial.call.has_time():
                return None
            try:
                return trial, await self.failover.attempt(trial.call, handler, self.failover.standings.of(target))
            except GatewayError:  # the next one may do better
                continue
            finally:
                trial.book()
        return None


class _Continuation(NamedTuple):
    """Another answer that has begun, and becomes the rest of the first one."""

    reply: Reply
    rest: Rest


class _Stream:
    """One answer on its way to its client, from one target or from two."""

    def __init__(self, rules: Resume, call: Call, handler: Handler, first: Reply) -> None:
        self._rules = rules
        self._call = call
        self._handler = handler
        self._now: Reply | None = first  # of the attempt that is under way
        self._broken: Call | None = None  # what was known of the first attempt, once its stream has broken
        self._failed: UpstreamError | None = None  # how it has
        self._so_far = SoFar(call.dialect)
        self.told = Reply(first.status, first.headers, self._body(first), first.ping, first.last_words, self._abort)
        self.told.endings.append(self._over)

    async def _body(self, first: Reply) -> AsyncGenerator[bytes]:
        """Raises UpstreamError: the first one, where there is no way around it."""
        try:
            async with aclosing(_shown(first, self._call.id)) as chunks:
                async for chunk in chunks:
                    self._so_far.tap(chunk)
                    yield chunk
            return
        except UpstreamError as error:
            failed = error
        going = await self._successor(failed)
        if going is None:
            if failed.event:
                yield failed.event
                failed.told = True
            raise failed
        async with aclosing(self._rest(going, failed)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _rest(self, going: _Continuation, failed: UpstreamError) -> AsyncGenerator[bytes]:
        """Raises UpstreamError."""
        reply, rest = going
        try:
            async with aclosing(_shown(reply, self._call.id)) as chunks:
                async for chunk in chunks:
                    if out := rest.feed(chunk):
                        yield out
                    if rest.fault is not None:
                        break
            if rest.fault is None:
                yield rest.close()
            fault = rest.fault
        except UpstreamError as error:
            fault = error
        if fault is None:
            return
        if self.told.stopped is None:
            self._give_up(fault, reply.status)
        raise failed

    # --- who goes on ---

    async def _successor(self, failed: UpstreamError) -> _Continuation | None:
        call = self._call
        if self.told.stopped is not None or not self._rules.may_go_elsewhere(failed):
            return None
        renderer = await self._renderer()
        if renderer is None:
            return None
        self._settle(failed)
        _note_break(call, failed, self.told.status)
        self._broken, self._failed = copy(call), failed
        text, blanks = parted(self._so_far.text)
        found = await self._rules.another(call, self._handler, text)
        if found is None:
            self._broken = None
            return None
        trial, reply = found
        self._now = trial.won(reply)
        self.told.last_words = renderer.error
        splice = self._so_far.spliced(blanks, self._broken.booked or NO_USAGE)
        return _Continuation(self._now, Rest(call.dialect.decoder(True), splice, renderer))

    async def _renderer(self) -> Renderer | None:
        """As if it had written all that the client has read so far; None where nobody may go on."""
        call, envelope = self._call, self._call.envelope
        if not self._so_far.may_be_resumed() or not _may_be_two(call):
            return None
        peek = Peek(call.model, call.stream, call.as_array)
        try:
            request = await aside(len(envelope.body), call.dialect.parse, envelope.body, peek)
            request.model = call.target.model if call.target is not None else call.model
            renderer = call.dialect.renderer(request)
            for event in self._so_far.events():
                renderer.feed(event)
        except GatewayError:
            return None
        return renderer if asks_for_text(request) else None

    def _give_up(self, fault: GatewayError, status: int) -> None:
        """The second one has failed as well: the call tells of the first attempt again."""
        call, broken = self._call, self._broken
        self._settle(fault)
        _note_break(call, fault, status)
        if call.target is not None:
            self._rules.broke(call.target, fault)
        if broken is not None:
            copy_attempt(call, broken)
        self._broken = None

    # --- its end ---

    def _abort(self) -> None:
        if self._now is not None and self._now.abort is not None:
            self._now.abort()

    def _settle(self, error: BaseException | None) -> None:
        """The attempt has ended: whoever waits for that hears of it, once."""
        now, self._now = self._now, None
        if now is not None:
            conclude(now, error, self._call.id)

    def _over(self, error: BaseException | None) -> None:
        self._settle(error)
        broken = self._broken
        if broken is not None and broken.target is not None and self._failed is not None:
            self._rules.broke(broken.target, self._failed)


async def _shown(reply: Reply, request_id: str) -> AsyncGenerator[bytes]:
    """Its chunks, each shown first to those who watch the attempt. Raises what one of them has stopped it for."""
    if isinstance(reply.body, bytes):
        show(reply, reply.body, request_id)
        yield reply.body
        return
    async with aclosing(reply.body) as chunks:
        async for chunk in chunks:
            show(reply, chunk, request_id)
            yield chunk
            if reply.stopped is not None:
                raise reply.stopped


def _may_be_resumed(call: Call) -> bool:
    """Might its answer be resumed? A client that limits what a call may cost has not agreed to two attempts."""
    return call.stream and not call.as_array and call.operation in HEDGED and call.wishes.cost_limit is None


def _may_be_two(call: Call) -> bool:
    """May two attempts make one answer of it? Not where it is stopped at a sum, which is not to be paid twice; nor
    where its events refer to each other by ids that only the first provider knows; nor behind a thought, a call, or the
    reason why it ended, of which the client's wire may tell late, or never.
    """
    if call.stop_at is not None or call.is_mixed:
        return False
    return (call.is_translated or not call.dialect.refers) and is_bounded(call)


def _met(call: Call) -> set[Target]:
    """The targets that it has tried or passed over, but for those that only lost a race, or were put last."""
    return {one.target for one in call.history if one.code != LOST and not one.skipped.endswith(LAST)}


def _note_break(call: Call, error: GatewayError, status: int) -> None:
    """Note in the call's history that the attempt that had answered with this status broke."""
    number = answering(call.attempts, {one.number for one in call.history})
    if call.target is not None and number:
        call.history.append(failed(call, call.target, error, number, status))
