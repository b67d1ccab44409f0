"""How does a translated answer go on to the client, while it comes?"""

from collections.abc import AsyncGenerator

from proxy.errors import UpstreamError
from proxy.lanes.pouring import Pouring
from proxy.lanes.telling import Telling
from proxy.ports import Answer, Pour, Sink


class Retelling(Pouring):
    """The body. `first`: what was translated already. Raises UpstreamError, after what came before it.

    What breaks a connection behind the last event of its answer breaks no answer.
    """

    def __init__(self, answer: Answer, telling: Telling, first: bytes) -> None:
        super().__init__(answer)
        self._telling = telling
        self._first = first

    async def _poured(self, sink: Sink, pour: Pour) -> bool:
        telling = self._telling

        def hand_on(out: bytes) -> bool:
            may_go_on = not out or sink(out)
            if telling.fault is not None:
                raise telling.fault
            if telling.finished:
                self._answer.concluded()
            return may_go_on

        def hear(chunk: bytes) -> bool:
            return hand_on(telling.feed(chunk, last=False))

        first, self._first = self._first, b""
        if not hand_on(first):
            return False
        try:
            if not telling.ended and not await pour(hear):
                return False
        except UpstreamError:
            if telling.fault is not None or not telling.finished:
                raise
        if not telling.ended:
            hand_on(telling.feed(b"", last=True))
        return True

    async def _one_by_one(self) -> AsyncGenerator[bytes]:
        answer, telling = self._answer, self._telling
        out, self._first = self._first, b""
        try:
            while True:
                if out:
                    yield out
                if telling.fault is not None:
                    raise telling.fault
                if telling.ended:
                    return
                try:
                    chunk = await next_of(answer, telling)
                except UpstreamError:
                    telling.broken()
                    raise
                out = telling.feed(chunk, last=not chunk or answer.ended())
        finally:
            self._over()


async def next_of(answer: Answer, telling: Telling) -> bytes:
    """The next chunk; b"" at the end. Raises UpstreamError."""
    if not telling.finished:
        return await answer.chunk()
    answer.concluded()
    try:
        return await answer.chunk()
    except UpstreamError:
        return b""
