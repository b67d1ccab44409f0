"""How does an answer go on whose beginning was read already?"""

from typing import Any, cast

from proxy.ports import Answer, Pour, Sink


class Begun:
    """The same answer, from its beginning. `held`: what was read of it."""

    def __init__(self, answer: Answer, held: bytes) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.begun = answer.begun
        self.concluded = answer.concluded
        self.abort = answer.abort
        self._answer = answer
        self._held = held

    @property
    def pour(self) -> Pour | None:
        """None where the answer has none. A property, as keeping a bound method would make a cycle."""
        return None if getattr(self._answer, "pour", None) is None else self._pour

    async def chunk(self) -> bytes:
        held, self._held = self._held, b""
        return held or await self._answer.chunk()

    async def read(self, limit: int) -> bytes:
        held, self._held = self._held, b""
        return held + await self._answer.read(limit)

    async def _pour(self, sink: Sink) -> bool:
        held, self._held = self._held, b""
        if held and not sink(held):
            return False
        pour: Pour = cast(Any, self._answer).pour
        return await pour(sink)

    def ended(self) -> bool:
        return not self._held and self._answer.ended()
