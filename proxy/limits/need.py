"""How much of a limit may this request use?

Tokens are estimated: one for every four bytes of the body, as many for an image as one of medium size has, and as many
for the answer as the request allows, or for each of several answers. The estimate is replaced by the provider's count
later, so it need not be exact; but it must not be so large that a reasonable request never passes.
"""

from msgspec import Struct

from proxy.ports import Call
from proxy.spending.extent import is_length, said_choices, said_lengths
from proxy.spending.tokens import ANSWER, BYTES_PER_TOKEN, IMAGE

MOST = 10**9  # tokens; limits go no higher
LARGE = 16 * 1024  # bytes of a body that is worth searching for images
MEDIA = 4 * 1024  # bytes of a string that may be an image


class Need(Struct, frozen=True, gc=False):
    """Tokens that are read, and that are written: at most so many if the request `says` so, else a guess."""

    read: int = 0
    write: int = 0
    says: bool = True

    def within(self, limit: int) -> int:
        """Tokens to take from a limit of this size. A mere guess at the answer never makes it exceed the limit."""
        whole = self.read + self.write
        return whole if self.says or whole <= limit else max(self.read, limit)


NO_TOKENS = Need()


def need_of(call: Call) -> Need:
    """Raises BadRequest where the body cannot be read at the place that gives the answer's length."""
    if call.operation == "count_tokens":  # the model neither reads nor writes any
        return NO_TOKENS
    body, bounds = call.envelope.body, call.dialect.bounds
    read = len(body) // BYTES_PER_TOKEN if len(body) < LARGE else _read(body)
    lengths = said_lengths(call.envelope, bounds)
    write = lengths.most or lengths.least
    if not call.envelope.lacks(bounds.extras) and (said := said_choices(call.envelope, bounds)):
        answers = max(filter(is_length, said), default=1)
        return Need(read, min((write or ANSWER) * answers, MOST), write is not None)
    return Need(read, ANSWER, False) if write is None else Need(read, write if write < MOST else MOST)


def _read(body: bytes) -> int:
    media = [len(text) for text in body.split(b'"') if len(text) > MEDIA and _is_media(text)]
    return (len(body) - sum(media)) // BYTES_PER_TOKEN + len(media) * IMAGE


def _is_media(text: bytes) -> bool:
    """Is it base64? Prose has spaces, or else bytes or escapes beyond ASCII."""
    return b" " not in text and b"\\" not in text and text.isascii()
