"""How does a live answer go on to the client, while it comes?

As a body like any other it can be asked for piece by piece, by whoever wants to look into it or keep it. Whoever only
hands it on has it poured: then each piece goes through at once, in the callback in which it came, and no task is woken
for it.
"""

from abc import abstractmethod
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any

from proxy.ports import Answer, Pour, Sink


class Pouring(AsyncGenerator[bytes]):
    """The body of an answer. When it is over, the provider is let go of."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._is_over = False
        self._pieces: AsyncGenerator[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._answer!r}>"

    async def pour(self, sink: Sink) -> bool:
        """Hand all of it on, or until the sink has enough for now (False). Raises what asking for the pieces would, and
        what the sink raises.

        An answer without a `pour` of its own, such as echo's, is asked for piece by piece.
        """
        try:
            pour: Pour | None = getattr(self._answer, "pour", None)
            is_all = await (self._told(sink) if pour is None else self._poured(sink, pour))
        except BaseException:
            self._over()
            raise
        if is_all:
            self._over()
        return is_all

    async def asend(self, value: None) -> bytes:
        """The next piece."""
        if self._pieces is None:
            self._pieces = self._one_by_one()
        return await self._pieces.asend(value)

    async def athrow(
        self, kind: Any, value: BaseException | object = None, traceback: TracebackType | None = None
    ) -> bytes:
        """Nobody throws into a body: whoever wants no more of it closes it."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """The client has all of it, or wants no more: let go of the provider."""
        if self._pieces is not None:
            await self._pieces.aclose()
        self._over()

    @abstractmethod
    async def _poured(self, sink: Sink, pour: Pour) -> bool:
        """What `pour` does for an answer that can pour. `pour`: the answer's."""

    @abstractmethod
    def _one_by_one(self) -> AsyncGenerator[bytes]:
        """The same in pieces; `_over` at the end."""

    def _ended(self) -> None:
        """Called once, when the body is over, whole or not."""

    def _over(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._answer.abort()
            self._ended()

    async def _told(self, sink: Sink) -> bool:
        async for piece in self:
            if not sink(piece):
                return False
        return True
