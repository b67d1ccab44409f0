"""Which provider made a seal that has no mark of ours?

An answer that passes through keeps its bytes, so its seals have no mark. A client may then send such a seal to another
provider than the one that made it: to one of several, or after a restart to the only one that is there now. So seals
are remembered as they pass, by digest, with their maker, even if only one provider takes the wire; and the register
(register.py) remembers them from one process to the next. A maker is a provider's name and the host that it stood for;
another key makes no other maker. Where nobody here has seen a seal, its form may tell (forms.py) that the target cannot
have made it; else it goes to the provider that the client asks (docs/decisions/0013-unmarked-seals.md).
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

TAIL = 256  # bytes at the end of a seal that, with its length, tell it from any other

# How the names of fields with seals end: `thoughtSignature` is one. A sealed thought may also be in `data`, a name that
# much else has; so that is looked at only where one of the words beside it is there, too.
_NAMES = (b'ignature"', b'encrypted_content"', b'redactedContent"')
_DATA, _BESIDE_DATA = b'"data"', (b"redacted_thinking", b"reasoning.encrypted")
_value = re.compile(rb'\s*+:\s*+"((?:[^"\\]++|\\.)++)"', re.DOTALL).match
_text = msgspec.json.Decoder(str).decode
_STANDARD = bytes.maketrans(b"-_", b"+/")

Foreign = Mapping[tuple[str, str], Collection[str]]
NOBODYS: Foreign = {}


class Provenance:
    """`register`: the file; None where there is none. `limit`: how many seals are remembered, in some 15 MB; those that
    were met least recently are forgotten first.
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
        """Read all that was known when pillion ended."""
        if self._register is not None:
            self._makers.update(await asyncio.to_thread(self._register.read))
            self._known.update(*set(self._makers.values()))

    def become(
        self, foreign: Foreign, called: Mapping[str, str], silent: Collection[tuple[str, str]] = frozenset()
    ) -> None:
        """`foreign`: by provider and wire, the makers (as forms.py names them) whose seals it cannot have made.
        `called`: the makers, two words each, by provider. `silent`: providers and wires whose answers have no seals.
        """
        self._foreign, self._called, self.silent = foreign, called, silent
        self._marks = {name: f"{name}@{_short(maker)}" for name, maker in called.items()}

    def mark(self, provider: str) -> str:
        """The maker, as marks name it (seals.py): without the host, which clients need not know."""
        return self._marks.get(provider, provider)

    def tap(self, words: Sequence[bytes], provider: str) -> Callable[[bytes], None]:
        """What must see the events of an answer. `words`: one of them stands beside each seal."""
        note, maker = self._note, self._maker(provider)

        def watch(events: bytes) -> None:
            for word in words:
                if events.find(word) >= 0:
                    note(maker, events)
                    return

        return watch

    def judge(self, provider: str, wire: str) -> Callable[[str], bool] | None:
        """Tells whether a seal is another maker's, and not this provider's; None where nothing is known."""
        return partial(self._is_foreign, provider, wire) if self.may_tell(provider, wire) else None

    def may_tell(self, provider: str, wire: str) -> bool:
        if (provider, wire) in self._foreign:
            return True
        if not self._known:
            return False
        return len(self._known) > (self._maker(provider) in self._known)

    def holds_foreign(self, body: bytes, words: Sequence[bytes], provider: str, wire: str) -> bool:
        """Is there a seal of another maker's in a request? `words`: one of them stands beside each seal."""
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
        with suppress(KeyError):  # this may run in a thread, for a large body, and it may be forgotten meanwhile
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
    """The same in either alphabet of base64, padded or not: some SDKs decode seals and encode them again."""
    data = seal.encode("utf-8", "surrogatepass").rstrip(b"=").translate(_STANDARD)
    return blake2b(b"%d %b" % (len(data), data[-TAIL:]), digest_size=16).digest()
