"""What has a block said so far, for a client that gets all of it again at the block's end?

Kept as a few long strings, as one of four letters takes fifty times its length; and limited, as a stream may never end.
"""

from proxy.canon import Delta
from proxy.errors import Unrepresentable

PIECES = 1024  # deltas that are kept before they are joined
MOST = 64 * 1024 * 1024  # characters; the limit of a whole answer, in bytes, is the same


class Gathered:
    __slots__ = ("_joined", "_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[Delta] = []
        self._joined: list[Delta] = []
        self._size = 0  # characters in `_joined`

    def __repr__(self) -> str:
        return f"<Gathered {self._size} characters and {len(self._pieces)} pieces>"

    def add(self, delta: Delta) -> None:
        """Raises Unrepresentable once the block is too long."""
        self._pieces.append(delta)
        if len(self._pieces) == PIECES:
            self._join()

    @property
    def deltas(self) -> list[Delta]:
        return [*self._joined, *self._pieces]

    @property
    def text(self) -> str:
        return "".join([delta.text for delta in self.deltas])

    def _join(self) -> None:
        pieces, self._pieces = self._pieces, []
        self._size += sum(len(delta.text) for delta in pieces)
        if self._size > MOST:
            raise Unrepresentable(
                f"The provider's answer has more than {MOST} characters in one block.", code="upstream_too_long"
            )
        self._joined += runs(pieces)


def runs(deltas: list[Delta]) -> list[Delta]:
    """The same deltas, with each run of texts joined into one."""
    out: list[Delta] = []
    run: list[str] = []
    for delta in deltas:
        if delta.is_text:
            run.append(delta.text)
            continue
        if run:
            out.append(Delta(index=delta.index, text="".join(run)))
            run = []
        out.append(delta)
    return [*out, Delta(index=deltas[-1].index, text="".join(run))] if run else out
