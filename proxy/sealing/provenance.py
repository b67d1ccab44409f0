"""Which provider made a seal that bears no mark?

An answer that passes through keeps its bytes, and the seals in it bear no mark of ours. A client may bring such a seal
to another provider than it is from: to one of several, or after a restart to the only one that is there now. So seals
are remembered as they pass, by digest and with their maker, also where just one provider takes the wire, and the
register (register.py) remembers them from one process to the next. A maker is a provider's name and the host that it
stood for; another key is no other maker. Of a seal that nobody here has seen its form may tell (forms.py) that the
target cannot have made it; else it goes to whom the client asks (docs/decisions/0013-unmarked-seals.md).
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b

import msgspec

from proxy.sealing.forms import maker_of
from proxy.sealing.register import SEALS, Register

TAIL = 256  # bytes at the end of a seal that tell it from any other, with its length

# How the names end under which the wires have seals: `thoughtSignature` is one. A sealed thought may be `data`, as much
# else is that is no seal of anybody's; it is looked at where one of the other words stands beside it.
_NAMES = (b'ignature"', b'encrypted_content"', b'redactedContent"')
_DATA, _BESIDE_DATA = b'"data"', (b"redacted_thinking", b"reasoning.encrypted")
_value = re.compile(rb'\s*+:\s*+"((?:[^"\\]++|\\.)++)"', re.DOTALL).match
_text = msgspec.json.Decoder(str).decode
_STANDARD = bytes.maketrans(b"-_", b"+/")

Foreign = Mapping[tuple[str, str], Collection[str]]
NOBODYS: Foreign = {}


class Provenance:
    """`register`: where it is kept; None where there is nowhere. `limit`: how many seals are remembered, in some 15 MB;
    those that were met least recently are forgotten first.
    """

    def __init__(self, register: Register | None = None, limit: int = SEALS) -> None:
        self._register = register
        self._foreign = NOBODYS
        self._called: Mapping[str, str] = {}
        self.silent: Collection[tuple[str, str]] = ()  # by provider and wire: whose answers need no tap
        self._marks: Mapping[str, str] = {}
        self._limit = limit
        self._makers: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()  # the least recently met first
        self._known: set[str] = set()  # whoever made one of them

    def __repr__(self) -> str:
        return f"<Provenance of {len(self._makers)} seals>"

    async def open(self) -> None:
        """With all that was known when pillion ended."""
        if self._register is not None:
            self._makers.update(await asyncio.to_thread(self._register.read))
            self._known.update(*set(self._makers.values()))

    def become(
        self, foreign: Foreign, called: Mapping[str, str], silent: Collection[tuple[str, str]] = frozenset()
    ) -> None:
        """`foreign`: by provider and wire, whose seals it cannot have made, as forms.py names them. `called`: the
        makers, two words each, by the providers' names. `silent`: providers and wires whose answers hold no seals.
        """
        self._foreign, self._called, self.silent = foreign, called, silent
        self._marks = {name: f"{name}@{_short(maker)}" for name, maker in called.items()}

    def mark(self, provider: str) -> str:
        """The maker, as marks name it (seals.py): clients have no business to know the host."""
        return self._marks.get(provider, provider)

    def tap(self, words: Sequence[bytes], provider: str) -> Callable[[bytes], None]:
        """What is to see an answer's events. `words`: one of them stands beside each seal."""
        note, maker = self._note, self._maker(provider)

        def watch(events: bytes) -> None:
            for word in words:
                if events.find(word) >= 0:
                    note(maker, events)
                    return

        return watch

    def judge(self, provider: str, wire: str) -> Callable[[str], bool] | None:
        """Tells the seals that others made, and that this provider did not; None where nothing would."""
        return partial(self._is_foreign, provider, wire) if self.may_tell(provider, wire) else None

    def may_tell(self, provider: str, wire: str) -> bool:
        if (provider, wire) in self._foreign:
            return True
        if not self._known:
            return False
        return len(self._known) > (self._maker(provider) in self._known)

    def holds_foreign(self, body: bytes, words: Sequence[bytes], provider: str, wire: str) -> bool:
        """Is there such a seal in a request? `words`: one of them stands beside each seal."""
        if not has_one(words, body):
            return False
        return any(self._is_foreign(provider, wire, seal) for seal in _seals_in(body))

    def _maker(self, provider: str) -> str:
        return self._called.get(provider) or f"{provider} -"

    def _note(self, maker: str, events: bytes) -> None:
        for seal in _seals_in(events):
            digest = _digest(seal)
            makers = self._makers.get(digest, ())
            if maker not in makers:
                self._makers[digest] = (*makers, maker)
                self._known.add(maker)
                if self._register is not None:
                    self._register.note(digest, maker)
            self._makers.move_to_end(digest)
        while len(self._makers) > self._limit:
            self._makers.popitem(last=False)

    def _is_foreign(self, provider: str, wire: str, seal: str) -> bool:
        digest = _digest(seal)
        makers = self._makers.get(digest)
        if makers is None:
            foreign = self._foreign.get((provider, wire), ())
            return bool(foreign) and maker_of(seal) in foreign
        with suppress(KeyError):  # a large body is looked at in a thread, and meanwhile it may be forgotten
            self._makers.move_to_end(digest)
        return self._maker(provider) not in makers


def has_one(words: Sequence[bytes], data: bytes) -> bool:
    for word in words:  # noqa: SIM110  what `any` wants takes as long as the search
        if data.find(word) >= 0:  # `in` takes twice as long: it asks first whether the word is a number
            return True
    return False


def _seals_in(data: bytes) -> Iterator[str]:
    beside = any(word in data for word in _BESIDE_DATA)
    for name in (*_NAMES, _DATA) if beside else _NAMES:
        at = data.find(name)
        while at >= 0:
            at += len(name)
            if found := _value(data, at):
                with suppress(msgspec.DecodeError, UnicodeDecodeError):
                    yield _text(b'"%b"' % found[1])
            at = data.find(name, at)


def _short(maker: str) -> str:
    return blake2b(maker.encode(), digest_size=4).hexdigest()


def _digest(seal: str) -> bytes:
    """The same in either alphabet of base64, with its padding or without: some SDKs decode it, and encode it anew."""
    data = seal.encode("utf-8", "surrogatepass").rstrip(b"=").translate(_STANDARD)
    return blake2b(b"%d %b" % (len(data), data[-TAIL:]), digest_size=16).digest()
