"""How is an answer put into the client's words?

A provider's bytes in, the client's bytes out. What the ledger wants to know of the answer is noted on the way.
"""

from collections.abc import Iterable, Sequence

from proxy.canon import Close, Delta, Event, Finish, Open, Request, Start, Text, Usage
from proxy.errors import BadRequest, Down, Unrepresentable, UpstreamError
from proxy.lanes.asking import blame, provider_of
from proxy.lanes.estimate import completed
from proxy.lanes.hearing import Hearing
from proxy.lanes.sieve import Sieve
from proxy.ports import Call, Renderer
from proxy.spending.tokens import Length


class Telling:
    """One answer. `begun`: it has said something. `finished`: it has said its last. `ended`: nothing more is heard.
    `fault`: what broke it.
    """

    def __init__(self, call: Call, request: Request, hearing: Hearing, renderer: Renderer) -> None:
        self.begun = self.finished = self.ended = False
        self.fault: UpstreamError | None = None
        self._call = call
        self._hearing = hearing
        self._request = request
        self._demands_usage = call.dialect.demands_usage
        self._written = Length()  # of what is said, where its tokens may be told
        self._open = 0  # blocks
        self._sieve = Sieve(request.wire, call.dialect.cites, call.dialect.declines)
        self._renderer = renderer
        self._asked = call.dropped  # the receipt of the request
        self._named = 0  # names that are in the receipt of the answer

    def feed(self, chunk: bytes, last: bool) -> bytes:
        """What the client gets; with a `fault`, what came before it."""
        said: Sequence[Event] = self._hearing.feed(chunk, last)
        self.fault = self._hearing.fault
        if self.fault is not None:
            blame(self._call, self.fault)
        self.ended = last
        out: list[bytes] = []
        try:
            self._note(said)
            if self._demands_usage and said and type(end := said[-1]) is Finish:
                said = self._filled(said, end)
            out.extend(map(self._renderer.feed, self._sieve.feed(said)))  # what came before an error stays
        except Unrepresentable as error:  # the client asked for nothing wrong: it is the answer that does not fit
            self.fault = Down(error.message, provider=provider_of(self._call), code=error.code, param=error.param)
        except BadRequest as error:  # the renderer cannot spell it: it is nested too deeply
            message = f"The provider's answer could not be translated: {error.message}"
            self.fault = Down(message, provider=provider_of(self._call), code="upstream_protocol")
        if len(self._sieve.dropped) > self._named:
            self._name()
        return b"".join(out)

    def broken(self) -> None:
        """Its connection has broken."""
        if self._hearing.has_ended():
            self._call.is_mixed = True

    def _name(self) -> None:
        """What is left out is told in a header, if the head still waits; else in the log and the metrics.

        The names are the provider's, and it may repeat our key in any place.
        """
        assert self._call.target is not None  # it answers
        self._named = len(self._sieve.dropped)
        self._call.dropped = (*self._asked, *map(self._call.target.adapter.hide, self._sieve.dropped))

    def _filled(self, said: Sequence[Event], end: Finish) -> Sequence[Event]:
        """The end of an answer, with an estimate of its tokens where needed: a zero would be taken for a count."""
        told = self._call.usage
        withheld = any(stop.reason == "content_filter" for stop in end.stops)
        self._call.usage = usage = completed(told, self._request, self._written.tokens, withheld)
        return said if usage is told else [*said[:-1], usage, end]

    def _note(self, said: Iterable[Event]) -> None:
        for event in said:
            if type(event) is Delta:
                self.begun = True
                if self._demands_usage:
                    self._written.add(event.text)
            elif type(event) is Start:
                self._call.answered_model = event.model
            elif type(event) is Usage:
                self._call.usage = event
                if self.begun and not self._open:  # the last counts stand beside the reason why it ended
                    self._call.is_mixed = True
            elif type(event) is Finish:
                self.begun = self.finished = True
            elif type(event) is Close:
                self.begun = True
                self._open -= 1
            elif type(event) is Open:
                self._open += 1
                if type(event.part) is not Text:  # a text that begins is empty
                    self.begun = self._call.is_mixed = True
