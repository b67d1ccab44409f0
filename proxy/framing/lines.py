"""Where does one line end and the next begin?"""

from collections.abc import Iterator

from proxy.framing.bounds import MAX_FRAME, FrameTooLong


class LineEnds:
    """LF for every line end. A CR at the end of a chunk becomes one at once; if its LF follows, that is left out."""

    def __init__(self) -> None:
        self._after_cr = False

    def unify(self, data: bytes) -> bytes:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


class Lines:
    """Bytes to lines, without their ends. CR LF counts as one end, also when a chunk ends between the two."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._ends = LineEnds()
        self._parts: list[bytes] = []  # of the line that has not ended
        self._held = 0  # their bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        first, *rest = self._ends.unify(data).split(b"\n")
        if not rest:
            self._keep(first)
            return
        self._parts.append(first)
        line = b"".join(self._parts)
        self._parts, self._held = [], 0
        for following in rest:
            yield self._short(line)
            line = following
        self._keep(line)

    def close(self) -> Iterator[bytes]:
        if self._parts:
            yield b"".join(self._parts)
            self._parts, self._held = [], 0

    def _keep(self, part: bytes) -> None:
        if part:
            self._parts.append(part)
            self._held += len(part)
            self._check(self._held)

    def _short(self, line: bytes) -> bytes:
        self._check(len(line))
        return line

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise FrameTooLong(f"a line is longer than {self._limit} bytes")


class NewlineDelimited:
    """Bytes to lines of JSON, without the blank ones."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._lines = Lines(limit)

    def feed(self, data: bytes) -> Iterator[bytes]:
        return (line for line in self._lines.feed(data) if line.strip())

    def close(self) -> Iterator[bytes]:
        return (line for line in self._lines.close() if line.strip())
