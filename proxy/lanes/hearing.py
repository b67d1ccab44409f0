"""What does a provider's answer say, event by event, as this client may see it?

Pieces of one text that came together are joined; calls get the client's names; seals are marked, and kept here where
the client's wire has no place for them.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from proxy.canon import Delta, Event, Finish, Usage
from proxy.errors import UpstreamError
from proxy.lanes.calls import Calls
from proxy.ports import Decoder
from proxy.sealing.provenance import has_one
from proxy.sealing.seals import Sealer
from proxy.sealing.vault import Recall

_TWO = (Delta, Delta)


class Hearing:
    """One answer. `seals`: the words beside a seal in a whole one; None for a stream, whose events may be in base64.
    `calls`: None where there are no tools.
    """

    def __init__(
        self,
        decoder: Decoder,
        recall: Recall,
        sealer: Sealer,
        seals: Sequence[bytes] | None = None,
        calls: Calls | None = None,
    ) -> None:
        self._decoder = decoder
        self._recall = recall
        self._sealer = sealer
        self._seals = seals
        self._calls = calls
        self._is_first = True  # nothing was heard yet
        self.fault: UpstreamError | None = None  # what the answer turned out to be, after all that it has said

    def feed(self, chunk: bytes, last: bool) -> list[Event]:
        said: list[Event] = []
        try:
            said.extend(self._decoder.feed(chunk))  # what came before an error stays
            if last:
                said.extend(self._decoder.close())
        except UpstreamError as error:
            self.fault = error
        said = joined(said)
        if self._calls is not None:
            said = self._calls.feed(said)
        is_all, self._is_first = last and self._is_first, False
        if is_all and self._seals is not None and not has_one(self._seals, chunk):  # as most whole answers
            return self._sealer.feed(said) if self._sealer.misses_one(said) else said
        self._recall.watch(said)
        return self._sealer.feed(said)

    def has_ended(self) -> bool:
        """Has it told why it ended, and lacks no more than its wire's last word? Nothing can be fed after this."""
        try:
            return any(type(event) is Finish for event in self._decoder.close())
        except UpstreamError:
            return False


class Counted:
    """The decoder of a whole answer whose head counts the tokens: that counts where the body says nothing."""

    def __init__(self, decoder: Decoder, head: Usage | None) -> None:
        self._decoder = decoder
        self._left = head  # until the body has told

    def feed(self, data: bytes) -> Iterator[Event]:
        return self._with_usage(self._decoder.feed(data))

    def close(self) -> Iterator[Event]:
        return self._with_usage(self._decoder.close())

    def _with_usage(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            if type(event) is Usage:
                self._left = None
            elif type(event) is Finish and self._left is not None:
                yield self._left
            yield event


def joined(events: list[Event]) -> list[Event]:
    """The same sentence, with each run of text deltas of one block joined."""
    if _TWO not in pairwise(map(type, events)):  # as in every whole answer, which is not looked through for nothing
        return events
    out: list[Event] = []
    run: list[Delta] = []
    for event in events:
        text = event if type(event) is Delta and event.is_text else None
        if run and (text is None or text.index != run[0].index):
            out.append(_sum(run))
            run = []
        if text is None:
            out.append(event)
        else:
            run.append(text)
    return [*out, _sum(run)] if run else out


def _sum(run: list[Delta]) -> Delta:
    return run[0] if len(run) == 1 else Delta(index=run[0].index, text="".join([delta.text for delta in run]))
