"""How many tokens were in what an answer said, where nobody has counted them?

The beginning of each answer is kept, and if it comes to that, is read by the client's own dialect once the answer is
over. Hardly any answer comes to that, and an estimate is good enough for those that do.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from math import ceil

from proxy.canon import Delta, Event
from proxy.errors import GatewayError
from proxy.ports import Decoder, Dialect, Heard
from proxy.spending.tokens import Length


def tokens_of(heard: Heard | None, dialect: Dialect, stream: bool) -> int:
    """An estimate, scaled up from what was kept."""
    kept = sum(map(len, heard.chunks)) if heard is not None else 0
    if heard is None or not kept:
        return 0
    decoder, length = dialect.decoder(stream), Length()
    with suppress(GatewayError):  # it was cut, or ends in an error: what came before it counts
        for event in _events(decoder, heard.chunks):
            if isinstance(event, Delta):
                length.add(event.text)
    return ceil(length.tokens * heard.size / kept)


def _events(decoder: Decoder, chunks: Iterable[bytes]) -> Iterator[Event]:
    for chunk in chunks:
        yield from decoder.feed(chunk)
    yield from decoder.close()
