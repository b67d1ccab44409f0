"""How does the answer of a provider of another wire get back to the client?

The provider's dialect decodes it (`hearing`), and the client's renders it (`telling`). A live one goes out as soon as
its first event says something, and the rest as it comes (`retelling`). Its seals are marked with their maker, or kept
in the vault where the client's wire has no place for them. What only its own wire understands is left out of it.
"""

from functools import lru_cache
from time import time
from typing import NamedTuple

from proxy import headers
from proxy.canon import Request, Usage
from proxy.lanes.asking import is_stream
from proxy.lanes.boxing import Unboxing
from proxy.lanes.calls import Calls
from proxy.lanes.freetext import NONE
from proxy.lanes.hearing import Counted, Hearing
from proxy.lanes.naming import AS_THEY_ARE, Names
from proxy.lanes.retelling import Retelling, next_of
from proxy.lanes.telling import Telling
from proxy.limits import ratelimits
from proxy.ports import Answer, Call, Dialect, HeadCounting, Headers, Renderer, Reply
from proxy.sealing.seals import Sealer
from proxy.sealing.vault import Recall


class Asked(NamedTuple):
    """What an answer is an answer to, by what names its provider knows the client's tools, which of them are free
    text to the client alone, and whether the answer comes in a box.
    """

    request: Request
    recall: Recall
    renderer: Renderer
    names: Names = AS_THEY_ARE
    free: frozenset[str] = NONE
    in_box: bool = False


async def answered(call: Call, asked: Asked, answer: Answer, dialect: Dialect) -> Reply:
    """`dialect`: the one that the answer is in.

    Raises UpstreamError before the first byte; after it, the body raises.
    """
    request, recall, renderer = asked.request, asked.recall, asked.renderer
    live = is_stream(call, answer, dialect)
    decoder = dialect.decoder(live)
    if not live and (counting := _counting_in_head(dialect)) is not None:
        decoder = Counted(decoder, counting.usage_in_head(answer.headers))
    if asked.in_box:
        decoder = Unboxing(decoder, bare=request.format is not None and request.format.bare)
    calls = Calls(request.turns, asked.names, asked.free) if request.tools or asked.names else None
    seals = None if live else dialect.seals
    hearing = Hearing(decoder, recall, Sealer(recall.maker, call.dialect.needs_seals), seals, calls)
    telling = Telling(call, request, hearing, renderer)
    limits = ratelimits.translated(answer.headers, call.dialect.name, time())
    head = [*headers.returning_translated(answer.headers), *limits, ("content-type", renderer.media_type)]
    try:
        first = await _first(call, answer, telling)
    except BaseException:  # most of all where the client has left: the provider must not go on
        answer.abort()
        raise
    if telling.ended and telling.fault is None:
        answer.abort()
        if not call.stream and call.usage is not None:
            head += _of_usage(call, call.usage)
        return Reply(200, head, first)  # a stream that has come whole is sent whole
    body = Retelling(answer, telling, first)
    return Reply(200, head, body, ping=call.dialect.ping, last_words=renderer.error, abort=answer.abort)


def _of_usage(call: Call, usage: Usage) -> Headers:
    """The lines in which the head of a whole answer tells its tokens."""
    counting = _counting_in_head(call.dialect)
    said = [] if counting is None else counting.head_of(usage)
    return [*said, ("x-pillion-estimated", "usage")] if usage.is_guess else said


@lru_cache(maxsize=64)
def _counting_in_head(dialect: Dialect) -> HeadCounting | None:
    """The dialect, where it is a HeadCounting one. Remembered, as `wishes.wishing` is."""
    return dialect if isinstance(dialect, HeadCounting) else None


async def _first(call: Call, answer: Answer, telling: Telling) -> bytes:
    """All of a whole answer; of a stream up to the first event that says something. Raises UpstreamError."""
    out = b""
    while not (telling.ended or (call.stream and telling.begun and out)):
        chunk = await call.timed(next_of(answer, telling))
        out += telling.feed(chunk, last=not chunk or answer.ended())
        if telling.fault is not None and not (call.stream and telling.begun and out):
            raise telling.fault
    if telling.begun:
        answer.begun()
    return out
