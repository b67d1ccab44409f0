"""How does a call reach a provider of another wire?

It is parsed by the client's dialect and encoded by the provider's; `answering` is the other way round. Seals that
another provider made are taken out of the request, and those that the client's wire had no place for come back from the
vault.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from proxy import headers
from proxy.canon import Reasoning, Request
from proxy.edge.aside import aside
from proxy.errors import Unrepresentable, UpstreamError
from proxy.grammar.claude.betas import HEADER, named_in
from proxy.grammar.named import called
from proxy.grammar.searching import leave_kept
from proxy.lanes import kept
from proxy.lanes.abilities import fit
from proxy.lanes.answering import Asked, answered
from proxy.lanes.asking import Find, ask, dialect_of, hold, is_stream, read_whole
from proxy.lanes.begun import Begun
from proxy.lanes.bound import refuses_thoughts, without_thoughts
from proxy.lanes.boxing import boxed, needs_box
from proxy.lanes.fetching import Fetching
from proxy.lanes.freetext import as_functions, free_in, lost
from proxy.lanes.heeding import Heeding
from proxy.lanes.naming import Names, named
from proxy.lanes.pairing import pair
from proxy.lanes.prefill import go_on
from proxy.lanes.respelling import as_sent, filled
from proxy.lanes.windows import window
from proxy.ports import Answer, Call, Dialect, Encoded, Hints, Loading, Outgoing, Peek, Reply, Target
from proxy.sealing.provenance import Provenance
from proxy.sealing.seals import unseal
from proxy.sealing.vault import Recall, Vault

# A client's wire, and a provider's that takes the same bodies in another envelope.
_SAME_BODY = {("anthropic", "bedrock_invoke")}


class Translation:
    """The lane. `dialect` finds a dialect by its name; `strict`: a request with a knob that cannot cross is refused."""

    def __init__(
        self, dialect: Find, vault: Vault, strict: bool, fetching: Fetching, provenance: Provenance, heeding: Heeding
    ) -> None:
        self._dialect = dialect
        self._vault = vault
        self._strict = strict
        self._fetching = fetching
        self._provenance = provenance
        self._heeding = heeding

    async def translate(
        self, call: Call, target: Target, dialect: Dialect, taken: Sequence[str], thoughtless: bool = False
    ) -> Reply:
        """`dialect`: the provider's; `taken`: the names of all its dialects; `thoughtless`: it refused the thoughts.

        Raises GatewayError before the first byte; after it, the body raises.
        """
        size, room = len(call.envelope.body), window(call, target, dialect)
        request, recall, unfit = await aside(size, self._read, call, target, dialect, thoughtless)
        own = _is_own(call, request, dialect)
        meant = own and call.is_named
        if not own and (said := _loaded(call, request)):
            return said
        await self._fetching(call, request, target, dialect)
        free = free_in(request, dialect)
        told = as_functions(request) if free else request
        if in_box := needs_box(request, dialect):
            told = boxed(told)
        encoded, names = await aside(size, self._encoded, told, target, dialect, own, room.fields)
        gone = sorted({*unfit, *encoded.dropped, *room.dropped, *(lost(request) if free else ())})
        unsaid = () if dialect is call.dialect else headers.untranslatable(call.headers, own)
        self.receipt(call, (*gone, *unsaid, *headers.unheeded(call.headers)))
        operation = call.operation if dialect is call.dialect else "chat"
        lines = headers.outgoing(call.headers) if own else headers.translated(call.headers)
        timers = call.left(), False, call.timeout
        sent = Outgoing(dialect.name, target.model, encoded.body, call.stream, lines, "", operation, *timers)
        renderer = call.dialect.renderer(request)  # whose clock runs from now on
        try:
            answer = await ask(call, target, dialect, sent)
        except UpstreamError as error:
            unthinking = not thoughtless and refuses_thoughts(error, own)
            if not unthinking and not self._heeding.heard(error, request, target.adapter.name, dialect.name, meant):
                raise
            return await self.translate(call, target, dialect, taken, thoughtless or unthinking)
        if len(taken) > 1:
            try:
                live = is_stream(call, answer, dialect)
                held = await (hold(call, answer, dialect) if live else read_whole(call, answer))
            except BaseException:  # most of all where the client has left: the provider must not go on
                answer.abort()
                raise
            answer, dialect = Begun(answer, held), dialect_of(held, dialect, taken, self._dialect)
        return await answered(call, Asked(request, recall, renderer, names, free, in_box), answer, dialect)

    async def answer(self, call: Call, target: Target, answer: Answer, dialect: Dialect) -> Reply:
        """Translate the answer to a request that went out as it was, and was answered in another dialect."""
        request = await aside(len(call.envelope.body), parsed, call, target)
        recall = self._vault.recall(request, call.client, self._provenance.mark(target.adapter.name))
        return await answered(call, Asked(request, recall, call.dialect.renderer(request)), answer, dialect)

    def receipt(self, call: Call, dropped: tuple[str, ...]) -> None:
        """Note what is left out, in the client's words. Raises Unrepresentable where `strict` allows none of it."""
        call.dropped = dropped = as_sent(call, dropped) if dropped else dropped
        if self._strict and dropped:
            raise _refusal(dropped)

    def _read(
        self, call: Call, target: Target, dialect: Dialect, thoughtless: bool
    ) -> tuple[Request, Recall, list[str]]:
        """What the client asks for, less what this provider must not see, and the receipt. Raises BadRequest."""
        provider = target.adapter.name
        request = parsed(call, target)
        request.searches = target.adapter.searches
        own = _is_own(call, request, dialect)
        maker = self._provenance.mark(provider)
        if not own or target.adapter.call_id_length is not None:
            pair(request.turns)
        same = own or (request.wire, dialect.name) in _SAME_BODY
        foreign = unseal(request, maker, own, self._provenance.judge(provider, request.wire), same)
        recall = self._vault.recall(request, call.client, maker)
        unwanted: set[str] = set()
        if thoughtless:
            recall.forget()
            unwanted = without_thoughts(request, own)
        else:
            recall.restore()
        request.ask_usage = target.adapter.ask_usage
        request.thoughts = target.adapter.thoughts
        request.cache_points = target.adapter.cache_points
        _fill_in(request, target.adapter.hints(target.model), dialect)
        unoffered = [] if same else leave_kept(request)
        unable = [] if own else fit(request, target.adapter.abilities(target.model))
        unknown = [] if own else _ask_betas(request, call.headers.get(HEADER, ""), dialect)
        refused = self._heeding.fit(request, provider, dialect.name, own and call.is_named)
        return request, recall, [*foreign, *unwanted, *unoffered, *unable, *unknown, *refused]

    def _encoded(
        self, request: Request, target: Target, dialect: Dialect, own: bool, wished: Mapping[str, Any]
    ) -> tuple[Encoded, Names]:
        """`wished`: fields that the client wants; they come before the operator's. Raises BadRequest."""
        asked, names = named(request, dialect, own, target.adapter.call_id_length)
        hints = target.adapter.hints(target.model)
        try:
            encoded = _as_its_like(asked, hints.like, dialect) if hints.like else dialect.encode(asked)
        except Unrepresentable as error:
            self._fetching.advise(error, request, target, dialect)
            kept.advise(error, request)
            raise
        for fields in filter(None, (wished, hints.fields)):
            encoded = encoded._replace(body=filled(encoded.body, fields, dialect))
        return encoded, names


def _as_its_like(request: Request, like: str, dialect: Dialect) -> Encoded:
    """Encoded for the model that it is, under the name that it has here. Raises BadRequest."""
    encoded = dialect.encode(replace(request, model=like))
    return encoded._replace(body=called(encoded.body, request.model))


def parsed(call: Call, target: Target) -> Request:
    """Raises BadRequest."""
    request = call.dialect.parse(call.envelope.body, Peek(call.model, call.stream, call.as_array))
    request.model, request.call = target.model, call.id
    if call.so_far:
        go_on(request, call.so_far)
    return request


def _is_own(call: Call, request: Request, dialect: Dialect) -> bool:
    """Does the provider speak the wire that the request came in?"""
    return dialect is call.dialect or dialect.name == request.wire


def _fill_in(request: Request, hints: Hints, dialect: Dialect) -> None:
    """Fill in what the operator says where the client does not."""
    request.longest = hints.needed
    if request.max_tokens is None:
        request.max_tokens = hints.max_tokens or (hints.needed if dialect.demands_limit else None)
    if request.temperature is None and hints.temperature is not None:
        request.temperature = hints.temperature_beside(_effort(request.reasoning))
        request.hinted = request.temperature is not None


def _ask_betas(request: Request, header: str, dialect: Dialect) -> list[str]:
    """What a header says that stays behind where the body goes to another wire; the receipt."""
    if not header:
        return []
    names = named_in(header)
    known = names if dialect.betas is None else [name for name in names if name in dialect.betas]
    if known:
        request.betas = list(dict.fromkeys([*(request.betas or ()), *known]))
        request.names = {**request.names, "betas": HEADER}
    return [HEADER] if len(known) < len(names) else []


def _effort(reasoning: Reasoning | None) -> str | None:
    """In which words or tokens ever it is said."""
    if reasoning is None or reasoning.off:
        return None
    asks = reasoning.budget is not None or reasoning.adaptive
    return reasoning.effort or ("some" if asks else None)


def _refusal(dropped: tuple[str, ...]) -> Unrepresentable:
    names = ", ".join(dropped)
    message = f"{names}: the provider's API has no equivalent, and `strict` does not allow leaving anything out."
    return Unrepresentable(message, param=dropped[0])


def _loaded(call: Call, request: Request) -> Reply | None:
    """The answer to a request that only asks for a model to be loaded: no other wire can be asked for that."""
    if not (request.demands and isinstance(call.dialect, Loading) and (said := call.dialect.loaded(request))):
        return None
    renderer = call.dialect.renderer(request)
    return Reply(200, [("content-type", renderer.media_type)], b"".join(map(renderer.feed, said)))
