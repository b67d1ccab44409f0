"""How does a call get to its target and back: as it is, or translated?

`chain` puts the middlewares in front of a handler, in the order of the list. `Dispatch` is the innermost handler, and
the fork into the two lanes. Where the target's provider takes the client's own dialect, the bytes pass through;
otherwise one dialect parses, the other encodes, and the answer comes back the same way. Nobody above can tell which it
was.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from types import FunctionType, MethodType

from proxy.edge.aside import aside
from proxy.edge.remote import Fetcher
from proxy.errors import BadRequest, GatewayError, Unrepresentable, UpstreamError
from proxy.lanes.asking import Find
from proxy.lanes.bound import loses_thought, misses_thought, refuses_thoughts
from proxy.lanes.counting import count
from proxy.lanes.elsewhere import RESPONSES, Elsewhere
from proxy.lanes.fetching import Fetching
from proxy.lanes.heeding import Heeding
from proxy.lanes.naming import has_odd_id, minds_ids
from proxy.lanes.passing import PassThrough
from proxy.lanes.respelling import respelled
from proxy.lanes.translating import Translation, parsed
from proxy.ports import Assorted, Call, Dialect, Handler, Middleware, Reply, Target
from proxy.sealing.provenance import Provenance
from proxy.sealing.seals import is_marked
from proxy.sealing.vault import Vault


def chain(middlewares: Sequence[Middleware], handler: Handler) -> Handler:
    """The first of the list is the outermost."""
    for middleware in reversed(middlewares):
        handler = _before(middleware, handler)
    return handler


def _before(middleware: Middleware, handler: Handler) -> Handler:
    """An object's `__call__` is bound once: to call the object costs more."""
    if not isinstance(middleware, FunctionType):
        middleware = MethodType(type(middleware).__call__, middleware)
    return lambda call: middleware(call, handler)


class Dispatch:
    """The innermost handler. `dialect` finds a dialect by its name; `strict` refuses what would be dropped.

    `fetcher` fetches what a provider will not; None where the operator has not switched it on. `provenance` remembers
    whose the seals are that have passed, and `heeding` what hosts have refused.
    """

    def __init__(
        self,
        dialect: Find,
        vault: Vault,
        strict: bool = False,
        fetcher: Fetcher | None = None,
        provenance: Provenance | None = None,
        heeding: Heeding | None = None,
    ) -> None:
        self._dialect = dialect
        self._fetching = Fetching(fetcher)
        self._provenance = provenance or Provenance()
        self._elsewhere = Elsewhere()
        self._heeding = heeding or Heeding()
        self._translation = Translation(dialect, vault, strict, self._fetching, self._provenance, self._heeding)
        self._pass_through = PassThrough(dialect, self._translation, self._provenance, self._heeding)

    async def answer(self, call: Call) -> Reply:
        """Raises GatewayError before the first byte; after it, the body raises."""
        try:
            assert call.target is not None  # failover chose it
            target, client, body = call.target, call.dialect, call.envelope.body
            taken = _suited(target.adapter.takes(target.model), call, target)
            own = client.name in taken
            if call.operation == "count_tokens":
                counting = client if own else self._dialect(next(filter(target.adapter.counts, taken), taken[0]))
                call.wire, call.is_translated = counting.name, not own
                return await count(call, target, counting, self._fetching, self._provenance)
            if self._elsewhere.met:
                taken = self._elsewhere.left(taken, call, target)
                own = client.name in taken
            preferred = client if own else self._dialect(taken[0])
            call.wire = preferred.name
            call.is_translated = not own or call.so_far != "" or self._must_change(call, target)
            if not call.is_translated and client.seals and self._provenance.may_tell(target.adapter.name, client.name):
                call.is_translated = await self._holds_foreign(body, client, target)
            try:
                if call.is_translated:
                    return await self._translate(call, target, preferred, taken)
                return await self._pass_through.pass_on(call, target, taken)
            except UpstreamError as error:
                if not call.is_translated and await self._may_write_anew(error, call, target):
                    return await self._written_anew(error, call, target, preferred, taken)
                if not (left := self._other_dialects(error, taken, call, target)):
                    raise
                return await self._ask_instead(error, self._dialect(left[0]), call, target)
        except BadRequest as error:
            raise respelled(call, error) from None

    def _must_change(self, call: Call, target: Target) -> bool:
        """Must the provider not get a body on its own wire as it is, because of a seal that is in there, say?"""
        body, length, heeding = call.envelope.body, target.adapter.call_id_length, self._heeding
        return (
            is_marked(body)
            or (length is not None and has_odd_id(body, length))
            or (bool(heeding.lessons) and heeding.wants_change(*_where(target, call.dialect), body, call.is_named))
        )

    async def _may_write_anew(self, error: UpstreamError, call: Call, target: Target) -> bool:
        """May the host take the body that passed through, if it is written anew on its own wire?"""
        where, body = _where(target, call.dialect), call.envelope.body
        if minds_ids(error) or misses_thought(error) or loses_thought(error, body, call.is_named):
            return True
        if self._heeding.minds(error, *where, body):
            return True
        if call.is_named or error.upstream_status not in (400, 422):
            return False
        with suppress(BadRequest):  # what we cannot read may have passed through, too
            request = await aside(len(body), parsed, call, target)
            return self._heeding.heard(error, request, target.adapter.name, call.dialect.name)
        return False

    async def _written_anew(
        self, error: UpstreamError, call: Call, target: Target, own: Dialect, taken: Sequence[str]
    ) -> Reply:
        """The body that passed through, written anew on its own wire. What we cannot read may have passed through, too:
        then the host's word stands.
        """
        call.is_translated = True
        try:
            return await self._translation.translate(call, target, own, taken, refuses_thoughts(error, own=True))
        except BadRequest as ours:
            if isinstance(ours, Unrepresentable) and not call.is_named:
                raise  # so that another target is asked, which may take it
            call.is_translated, call.dropped = False, ()
            raise error from None

    async def _translate(self, call: Call, target: Target, preferred: Dialect, taken: Sequence[str]) -> Reply:
        """In the preferred dialect, or in Responses, if the provider takes that and only that can say it: OpenAI is
        shown a document by its URL there.
        """
        try:
            return await self._translation.translate(call, target, preferred, taken)
        except Unrepresentable as error:
            if RESPONSES not in taken or preferred.name == RESPONSES:
                raise
            try:
                return await self._ask_instead(error, self._dialect(RESPONSES), call, target, taken)
            except Unrepresentable:
                call.wire = preferred.name
            raise

    def _other_dialects(self, error: UpstreamError, taken: Sequence[str], call: Call, target: Target) -> Sequence[str]:
        """The dialects in which to ask once more, where this was said of the endpoint."""
        client, adapter = call.dialect, target.adapter
        if left := self._elsewhere.heard(error, taken, call, target):
            return left
        if call.is_translated or client.sign is None or client.name == taken[0]:
            return ()
        if not _is_endpoint_missing(error):
            return ()
        adapter.do_without(client.name)
        left = adapter.takes(target.model)
        return left if client.name not in left else ()  # the adapter knows better

    async def _ask_instead(
        self, error: GatewayError, dialect: Dialect, call: Call, target: Target, taken: Sequence[str] = ()
    ) -> Reply:
        """A host that names its other endpoint need not have it: then the first word stands."""
        call.wire, call.is_translated = dialect.name, True
        try:
            return await self._translation.translate(call, target, dialect, taken)
        except UpstreamError as second:
            if not _is_endpoint_missing(second):
                raise
            target.adapter.do_without(dialect.name)
            raise error from None

    async def _holds_foreign(self, body: bytes, client: Dialect, target: Target) -> bool:
        """Is a seal in there that another provider made, as far as we can tell?"""
        asked = body, client.seals, target.adapter.name, client.name
        return await aside(len(body), self._provenance.holds_foreign, *asked)


def _suited(taken: Sequence[str], call: Call, target: Target) -> Sequence[str]:
    """The dialects that are left where the client's own has another sort of body for this model."""
    client = _assorted(call.dialect)
    if client is None or client.suits(call.envelope, target.adapter.hints(target.model).like or target.model):
        return taken
    return [name for name in taken if name != call.dialect.name] or taken


@lru_cache(maxsize=64)
def _assorted(dialect: Dialect) -> Assorted | None:
    """The dialect, where it is an Assorted one. Remembered, as `wishes.wishing` is."""
    return dialect if isinstance(dialect, Assorted) else None


def _where(target: Target, client: Dialect) -> tuple[str, str, str]:
    return target.adapter.name, target.model, client.name


def _is_endpoint_missing(error: UpstreamError) -> bool:
    """Is it the endpoint that the host does not have, rather than something that the request named?

    Then its message says no more than the status does, or names the path. (Every host has the first of its dialects.)
    """
    return error.lost or (error.upstream_status in (404, 405, 501) and _names_path(error.message) is not None)


# As it stands in a request, and not in the address of a manual.
_names_path = re.compile(r"(?<![\w.:/])(?:/[\w.-]+)*/(?:chat/completions|responses)\b").search
