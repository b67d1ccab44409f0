"""What has come of an answer that is shared, and how much of it is still held?"""


class Tape:
    """Its chunks, which are numbered from the first one on. Those that nobody needs any more may be dropped."""

    def __init__(self) -> None:
        self.came = 0  # bytes at all
        self.held = 0  # bytes in here
        self._chunks: list[bytes] = []
        self._gone = 0  # chunks before those in here

    @property
    def end(self) -> int:
        """The number of the chunk that comes next."""
        return self._gone + len(self._chunks)

    def chunk(self, number: int) -> bytes:
        return self._chunks[number - self._gone]

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self.came += len(chunk)
        self.held += len(chunk)

    def drop(self, before: int) -> int:
        """The chunks before this number; how many bytes those were."""
        count = before - self._gone
        size = sum(map(len, self._chunks[:count]))
        del self._chunks[:count]
        self._gone = before
        self.held -= size
        return size
