"""What does a provider look like that fails on purpose?

Like one that fails by itself: it answers with another status, in the words of the wire that it was asked in, or breaks
off. The fault is below the lanes, so that they and all that stands before them take it for real.
"""

from collections.abc import Callable, Mapping
from typing import Any

from proxy.config import Fault
from proxy.errors import Down, UpstreamError
from proxy.grammar.statuses import class_of
from proxy.ports import Adapter, Answer, Dialect, Outgoing

WAIT = ("retry-after", "1")  # for those that ask again
BUSY = frozenset({429, 503, 529})


class Failing:
    """An adapter with a fault; all else is the provider's own. `dialect` finds one by its name."""

    def __init__(self, adapter: Adapter, fault: Fault, dialect: Callable[[str], Dialect]) -> None:
        self._adapter = adapter
        self._fault = fault
        self._dialect = dialect

    def __repr__(self) -> str:
        return f"<Failing {self._adapter!r}>"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    async def send(self, outgoing: Outgoing) -> Answer:
        """Nothing is sent where the answer is made up. Raises UpstreamError."""
        fault, name = self._fault, self._adapter.name
        if fault.status is not None:
            answer: Answer = _refusal(fault.status, name, self._dialect(outgoing.dialect))
        else:
            answer = await self._adapter.send(outgoing)
        return answer if fault.cut is None else Broken(answer, fault.cut, name)

    def refused(self, answer: Answer, error: UpstreamError) -> None:
        """Only what the provider itself has refused may be its key's fault."""
        if not isinstance(answer, MadeUp):
            self._adapter.refused(answer.answer if isinstance(answer, Broken) else answer, error)


def _refusal(status: int, provider: str, dialect: Dialect) -> "MadeUp":
    made, kind = class_of(status)
    error = made(f"{provider} answered with status {status}, because of an injected fault.", status=status, kind=kind)
    lines = [("content-type", "application/json"), *dialect.error_headers(error), *([WAIT] if status in BUSY else [])]
    return MadeUp(status, {name.lower(): value for name, value in lines}, dialect.error(error, "fault"))


class MadeUp:
    """An answer that nobody gave."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._left = body

    async def read(self, limit: int) -> bytes:
        return await self.chunk()

    async def chunk(self) -> bytes:
        left, self._left = self._left, b""
        return left

    def begun(self) -> None:
        """No timer runs here."""

    def concluded(self) -> None:
        """It ends at once."""

    def ended(self) -> bool:
        return not self._left

    def abort(self) -> None:
        """There is no connection."""


class Broken:
    """An answer that breaks off after so many bytes, where it has more."""

    def __init__(self, answer: Answer, cut: int, provider: str) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.begun = answer.begun
        self.concluded = answer.concluded
        self.abort = answer.abort
        self.answer = answer
        self._left = cut
        self._is_broken = False
        self._provider = provider

    async def read(self, limit: int) -> bytes:
        body = await self.answer.read(limit)
        if len(body) > self._left:
            raise self._cut()
        return body

    async def chunk(self) -> bytes:
        chunk = b"" if self._is_broken else await self.answer.chunk()
        if len(chunk) > self._left:
            self._is_broken = True
            self.abort()
            chunk = chunk[: self._left]
        self._left -= len(chunk)
        if self._is_broken and not chunk:
            raise self._cut()
        return chunk

    def ended(self) -> bool:
        return not self._is_broken and self.answer.ended()

    def _cut(self) -> Down:
        """With the status that came, as nobody bills for an error that broke off."""
        return Down(
            f"{self._provider}'s answer was cut short by an injected fault.",
            provider=self._provider,
            code="upstream_cut",
            upstream_status=self.status,
        )
