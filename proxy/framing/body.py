"""Has a whole answer come?"""

from proxy.framing.bounds import MAX_WHOLE, FrameTooLong


class Body:
    """Bytes to a whole answer, once it has come. Nothing is kept of one beyond the limit."""

    def __init__(self, limit: int = MAX_WHOLE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> None:
        """Raises FrameTooLong."""
        self._held += len(data)
        if self._held > self._limit:
            self._parts.clear()
            raise FrameTooLong(f"it is longer than {self._limit} bytes")
        self._parts.append(data)

    def close(self) -> bytes:
        return b"".join(self._parts)
