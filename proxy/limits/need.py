"""How much of a limit may this request take?

Tokens are an estimate: a token for every four bytes of the body, as much for a picture as one of middle size has, and
as many of the answer as the request allows it. It is settled from what the provider counts, so it need not be good; but
it must not be so large that an honest request could never pass.
"""

from msgspec import Struct

from proxy.lanes.estimate import IMAGE
from proxy.ports import Call
from proxy.spending.extent import is_length, said_length
from proxy.spending.tokens import ANSWER, BYTES_PER_TOKEN

MOST = 10**9  # tokens, as limits have them
LARGE = 16 * 1024  # bytes of a body in which it is worth looking for pictures
MEDIA = 4 * 1024  # bytes of a string that may be one


class Need(Struct, frozen=True, gc=False):
    """Tokens that are read, and tokens that are written: at most so many, where the request `says` so."""

    read: int = 0
    write: int = 0
    says: bool = True

    def within(self, limit: int) -> int:
        """Tokens that it takes of a limit so large. A mere guess at its answer takes no more than there is to take."""
        whole = self.read + self.write
        return whole if self.says or whole <= limit else max(self.read, limit)


NO_TOKENS = Need()


def need_of(call: Call) -> Need:
    """Raises BadRequest where the request says how long its answer may be, and cannot be read there."""
    if call.operation == "count_tokens":  # they are counted, and neither read nor written
        return NO_TOKENS
    body = call.envelope.body
    read = len(body) // BYTES_PER_TOKEN if len(body) < LARGE else _read(body)
    write = next(filter(is_length, said_length(call.envelope, call.dialect.bounds)), None)
    return Need(read, ANSWER, False) if write is None else Need(read, write if write < MOST else MOST)


def _read(body: bytes) -> int:
    media = [len(text) for text in body.split(b'"') if len(text) > MEDIA and _is_media(text)]
    return (len(body) - sum(media)) // BYTES_PER_TOKEN + len(media) * IMAGE


def _is_media(text: bytes) -> bool:
    """Is it base64? Prose has spaces, or else bytes or escapes beyond ASCII."""
    return b" " not in text and b"\\" not in text and text.isascii()
