"""Which models has a provider listed, for how long is that believed, and what if there is no list?"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn

import msgspec

from proxy.errors import UpstreamError

LIFE = 300.0  # seconds for which a list is believed
RETRY = 30.0  # seconds until a list that failed is fetched again


class ModelList:
    """What a provider has listed, and why the last attempt to ask it failed, if it did."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.error: UpstreamError | None = None
        self._until = 0.0
        self._asking = asyncio.Lock()

    @property
    def is_old(self) -> bool:
        return time.monotonic() >= self._until

    async def renew(self, ask: Callable[[], Awaitable[list[str]]]) -> None:
        """Ask, if it is old. A list that fails leaves the one before it; a second caller waits for the first one's."""
        async with self._asking:
            if not self.is_old:
                return
            try:
                self.ids = await ask()
            except UpstreamError as error:
                self.error, life = error, RETRY
            else:
                self.error, life = None, LIFE
            self._until = time.monotonic() + life

    def raise_error(self) -> NoReturn:
        """Raises the same object each time, without a traceback that would grow."""
        assert self.error is not None
        raise self.error.with_traceback(None)


class _Named(msgspec.Struct):
    id: str


class _Rows(msgspec.Struct):
    data: list[_Named]


_Bare = Annotated[list[_Named], msgspec.Meta(min_length=1)]  # Together's


def ids(body: bytes) -> list[str]:
    """The ids in a list of the shape that most providers use. Raises msgspec.DecodeError."""
    said = msgspec.json.decode(body, type=_Rows | _Bare)
    return [row.id for row in (said if isinstance(said, list) else said.data)]


def answers(error: UpstreamError) -> bool:
    """Is there a provider that could take requests, although this one failed?

    Some hosts have no list of models, or one of another shape, and some keys may not read it.
    """
    if error.upstream_status is not None:
        return error.upstream_status < 500
    return error.code == "upstream_protocol"
