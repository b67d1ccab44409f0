"""How does a call reach a provider of another wire?

Parsed by the client's dialect, encoded by the provider's; the answer the other way round. Seals change hands here: out
of the request goes every one that another provider made, and the answer's are marked as their own provider's, or kept
in the vault where the client's wire has no place for them. Of the answer goes what only its own wire understands.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from itertools import chain, groupby
from time import time
from typing import assert_never

from proxy import headers, ratelimits
from proxy.canon import Close, Delta, Event, Finish, Open, Request, Start, Usage
from proxy.envelope import Envelope
from proxy.errors import Down, Unrepresentable, UpstreamError
from proxy.lanes.asking import Begun, ask, blame, is_stream, name_of, or_abort, spoken, timed
from proxy.lanes.fetching import Fetching
from proxy.lanes.sieve import Sieve
from proxy.ports import Answer, Call, Decoder, Dialect, Encoded, Hints, Outgoing, Peek, Renderer, Reply, Target
from proxy.seals import Sealer, unseal
from proxy.vault import Recall, Vault


class Translation:
    """The lane. `strict` refuses a request of which a knob cannot cross."""

    def __init__(self, vault: Vault, strict: bool, fetching: Fetching) -> None:
        self._vault = vault
        self._strict = strict
        self._fetching = fetching

    async def __call__(self, call: Call, target: Target, dialect: Dialect, others: Sequence[Dialect]) -> Reply:
        """`dialect` is the provider's, and `others` are what else it takes.

        Raises GatewayError before the first byte; after it, the body raises.
        """
        provider, hints = target.adapter.name, target.adapter.hints(target.model)
        request = _parsed(call, target)
        own = dialect is call.dialect or dialect.name == request.wire
        foreign = unseal(request, provider, own_wire=own)
        recall = self._vault.recall(request, call.client, provider)
        recall.restore()
        _hint(request, hints, dialect)
        encoded = await self._encoded(call, request, target, dialect)
        gone = sorted({*foreign, *encoded.dropped})
        call.dropped = (*gone, *(() if own else headers.untranslatable(call.headers)))
        if self._strict and call.dropped:
            raise _refusal(call.dropped)
        body = Envelope(encoded.body).filled(hints.fields) if hints.fields else encoded.body
        operation = call.operation if dialect is call.dialect else "chat"
        lines = headers.outgoing(call.headers) if own else headers.translated(call.headers)
        sent = Outgoing(dialect.name, target.model, body, call.stream, lines, "", operation, call.timeout)
        answer = await ask(call, target, dialect, sent)
        if others:
            with or_abort(answer):
                held = await timed(call, answer.chunk())
            answer, dialect = Begun(answer, held), spoken(held, dialect, others)
        return await _answered(call, request, answer, dialect, recall)

    async def answer(self, call: Call, target: Target, answer: Answer, dialect: Dialect) -> Reply:
        """For a request that went out as it was, and was answered in another dialect."""
        request = _parsed(call, target)
        recall = self._vault.recall(request, call.client, target.adapter.name)
        return await _answered(call, request, answer, dialect, recall)

    async def _encoded(self, call: Call, request: Request, target: Target, dialect: Dialect) -> Encoded:
        """Raises BadRequest."""
        await self._fetching(call, request, target, dialect)
        try:
            return dialect.encode(request)
        except Unrepresentable as error:
            self._fetching.hint(error, request, target, dialect)
            raise


def _parsed(call: Call, target: Target) -> Request:
    """Raises BadRequest."""
    request = call.dialect.parse(call.envelope.body, Peek(call.model, call.stream, call.as_array))
    request.model = target.model
    return request


def _hint(request: Request, hints: Hints, dialect: Dialect) -> None:
    """What the operator says where the client does not."""
    if request.max_tokens is None:
        request.max_tokens = hints.max_tokens or (hints.needed if dialect.demands_limit else None)
    if request.temperature is None:
        request.temperature = hints.temperature


def _refusal(dropped: tuple[str, ...]) -> Unrepresentable:
    names = ", ".join(dropped)
    return Unrepresentable(
        f"The provider's wire cannot say {names}, and `strict` lets none be left out.", param=dropped[0]
    )


async def _answered(call: Call, request: Request, answer: Answer, dialect: Dialect, recall: Recall) -> Reply:
    """`dialect` is the one that the answer is in."""
    decoder = dialect.decoder(is_stream(call, answer, dialect))
    events = _Events(decoder, recall, Sealer(name_of(call)))
    renderer = call.dialect.renderer(request)
    body = _rendered(call, answer, events, renderer, Sieve(request.wire))
    limits = ratelimits.spelled(answer.headers, call.dialect.name, time())
    head = [*headers.returning_translated(answer.headers), *limits, ("content-type", renderer.media_type)]
    if not call.stream:
        return Reply(200, head, b"".join([part async for part in body]))
    first = await anext(body)
    if events.over:  # a stream that has come whole is sent whole
        await body.aclose()
        return Reply(200, head, first)
    live = _after(first, body)
    return Reply(200, head, live, ping=call.dialect.ping, last_words=renderer.error, abort=answer.abort)


class _Events:
    """A provider's answer, event by event, as the client may see it."""

    def __init__(self, decoder: Decoder, recall: Recall, sealer: Sealer) -> None:
        self._decoder = decoder
        self._recall = recall
        self._sealer = sealer
        self.over = False

    def of(self, chunk: bytes, last: bool) -> Iterator[Event]:
        """Raises UpstreamError, after what came before."""
        said = self._decoder.feed(chunk)
        for event in _joined(chain(said, _when_asked(self._decoder.close)) if last else said):
            self._recall.watch(event)
            yield from self._sealer.feed(event)
        self.over = last


def _when_asked(close: Callable[[], Iterator[Event]]) -> Iterator[Event]:
    yield from close()


def _joined(events: Iterator[Event]) -> Iterator[Event]:
    """The same sentence: pieces of one text that came at once are one piece."""
    for index, run in groupby(events, _of_text):
        if index is None:
            yield from run
            continue
        texts: list[str] = []
        try:
            texts.extend(event.text for event in run if isinstance(event, Delta))
        except UpstreamError:
            yield Delta(index=index, text="".join(texts))
            raise
        yield Delta(index=index, text="".join(texts))


def _of_text(event: Event) -> int | None:
    """The block of a piece that is text and nothing more."""
    if type(event) is not Delta or event.signature or event.transcript or event.logprobs or event.citations:
        return None
    return event.index


async def _rendered(
    call: Call, answer: Answer, events: _Events, renderer: Renderer, sieve: Sieve
) -> AsyncGenerator[bytes]:
    """The client's bytes, from the first event on that says something. Raises UpstreamError, after what came before."""
    out = bytearray()
    asked = call.dropped  # the receipt of the request
    begun = ended = False
    try:
        while not ended:
            # Up to the head of a live answer, and to the end of a whole one, we wait for the provider.
            chunk = await (answer.chunk() if begun and call.stream else timed(call, answer.chunk()))
            ended = not chunk or answer.ended()
            fault: UpstreamError | None = None
            try:
                for event in events.of(chunk, last=ended):
                    if _note(call, event) and not begun:
                        begun = True
                        answer.begun()
                    if (kept := sieve.feed(event)) is not None:
                        out += renderer.feed(kept)
            except UpstreamError as error:
                fault = error
                blame(call, fault)
            except Unrepresentable as error:  # the client asked for nothing wrong: it is the answer that does not fit
                fault = Down(error.message, provider=name_of(call), code=error.code, param=error.param)
            if sieve.dropped:  # a header tells of it where the head still waits, and else the log and the metrics
                call.dropped = (*asked, *sieve.dropped)
            if begun and out:
                yield bytes(out)
                out.clear()
            if fault is not None:
                raise fault
    finally:
        answer.abort()


async def _after(first: bytes, body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(body):
        yield first
        async for chunk in body:
            yield chunk


def _note(call: Call, event: Event) -> bool:
    """Keep what the ledger wants; tell whether the event says something."""
    match event:
        case Start():
            call.answered_model = event.model
            return False
        case Usage():
            call.usage = event
            return False
        case Open() | Delta() | Close() | Finish():
            return True
        case _:
            assert_never(event)
