"""What is an answer in the client's words?

A provider's bytes in, the client's out. What the ledger wants of the answer is noted on the way.
"""

from collections.abc import Iterable, Sequence

from proxy.canon import Event, Request, Start, Usage
from proxy.errors import BadRequest, Down, Unrepresentable, UpstreamError
from proxy.lanes.asking import blame, name_of
from proxy.lanes.hearing import Hearing
from proxy.lanes.reckoning import Reckoning
from proxy.lanes.sieve import Sieve
from proxy.ports import Call, Renderer


class Telling:
    """One answer. `begun`: it has said something. `ended`: nothing more is heard. `fault`: what broke it."""

    def __init__(self, call: Call, request: Request, hearing: Hearing, renderer: Renderer) -> None:
        self.begun = self.ended = False
        self.fault: UpstreamError | None = None
        self._call = call
        self._hearing = hearing
        self._reckoning = Reckoning(request) if call.dialect.demands_usage else None
        self._sieve = Sieve(request.wire, call.dialect.cites, call.dialect.declines)
        self._renderer = renderer
        self._asked = call.dropped  # the receipt of the request

    def feed(self, chunk: bytes, last: bool) -> bytes:
        """Also where there is a fault: what came before it."""
        said: Sequence[Event] = self._hearing.feed(chunk, last)
        if self._reckoning is not None:
            said = self._reckoning.feed(said)
        self.fault = self._hearing.fault
        if self.fault is not None:
            blame(self._call, self.fault)
        self.ended = last
        out: list[bytes] = []
        try:
            self._note(said)
            out.extend(map(self._renderer.feed, self._sieve.feed(said)))  # what came before an error stays
        except Unrepresentable as error:  # the client asked for nothing wrong: it is the answer that does not fit
            self.fault = Down(error.message, provider=name_of(self._call), code=error.code, param=error.param)
        except BadRequest as error:  # the renderer cannot spell it: it is nested too deeply
            message = f"The provider's answer cannot be told: {error.message}"
            self.fault = Down(message, provider=name_of(self._call), code="upstream_protocol")
        if self._sieve.dropped:  # a header tells of it where the head still waits, and else the log and the metrics
            self._call.dropped = (*self._asked, *self._sieve.dropped)
        return b"".join(out)

    def _note(self, said: Iterable[Event]) -> None:
        for event in said:
            if type(event) is Start:
                self._call.answered_model = event.model
            elif type(event) is Usage:
                self._call.usage = event
            else:
                self.begun = True
